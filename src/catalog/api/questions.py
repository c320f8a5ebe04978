"""What a search asks, as it is sent: one model for the query string, the JSON body, and the pages.

Which objects are meant, and how that is read, stands in `search.wanted`; here is how they are shown.
"""

from dataclasses import replace
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from catalog.access.principals import Caller
from catalog.api import written
from catalog.engines import Engines
from catalog.errors import Fault, Invalid
from catalog.search import facets, language, query, wanted
from catalog.search.facets import OF_CONCEPTS, Level
from catalog.search.fields import FIELDS
from catalog.search.wanted import FILTER, FILTER_EXAMPLES, Wanted
from catalog.vocabulary import hierarchy, looking_up
from catalog.vocabulary.hierarchy import Way
from catalog.vocabulary.looking_up import Meaning

# More than every filter full of its longest values has; what is larger is refused before it is read.
BODY_BYTES_MAX = 512 * 1024

Facet = Literal[
    "kind",
    "project",
    "organization",
    "licence",
    "year",
    "creator",
    "keyword",
    "format",
    "stage",
    "state",
    "quality",
    "sensor",
    "has_labels",
    "subject",
    "task",
    "runtime",
    "created_at",
    "bytes",
]


OfConcepts = Literal["subject", "task"]
CONCEPT_CHARS_MAX = 2_000


class Asked(Wanted):
    """A question to the catalog: which objects are meant, what is counted, in which order, and which page."""

    facet: Annotated[list[Facet], Field(max_length=18)] = Field(
        default=[], description="Which facets to count. A facet is not narrowed by its own filter."
    )
    tree: Annotated[list[OfConcepts], Field(max_length=2)] = Field(
        default=[],
        description="Facets to count level by level, as the vocabulary has them: the topmost concepts, or those "
        "directly below a concept of `below`. Each counts the objects that name it or anything narrower, every object "
        "once. An object that stands under several concepts of a level counts in each of these, so a level adds up to "
        "at least what stands under any of it; `missing` are the objects that have none of the level: all others at "
        "the top, further down those of the concept above.",
    )
    below: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=CONCEPT_CHARS_MAX)]], Field(max_length=2)
    ] = Field(
        default=[],
        description="Concepts by what they are called, or as URIs: of the facet in `tree` that has one, those directly "
        "below are told.",
    )
    sort: Literal["relevance", "newest", "oldest", "title"] | None = Field(
        default=None, description="Default: relevance with words, newest without."
    )
    limit: int = Field(
        default=query.LIMIT_DEFAULT, ge=1, le=query.LIMIT_MAX, description="How many hits a page has at most."
    )
    hybrid: bool | None = Field(
        default=None,
        description="Whether what means the same is found too, though it has other words. Default: as this catalog is "
        "set. `hybrid` in the answer says whether it was.",
    )
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=4_000)
    after_write: str | None = Field(
        default=None,
        description="Wait until the index has this write of yours: the Catalog-Written header of its answer.",
        max_length=written.TOKEN_CHARS_MAX,
    )
    wait_seconds: float = Field(
        default=written.WAIT_SECONDS,
        ge=0,
        le=written.WAIT_SECONDS_MAX,
        description="How long to wait for it; then the answer is given as things stand, and `fresh` is false.",
    )


Form = Literal["ndjson", "csv", "parquet", "bibtex", "manifest", "aria2", "rclone"]
AS: Any = Field(
    default="ndjson",
    alias="as",
    description=(
        "How objects are written: each as JSON on a line, as a row of a table in CSV or Parquet, or as a reference; "
        "or signed links to their files, each as JSON on a line, for aria2, or for rclone."
    ),
)
AFTER: Any = Field(default=None, description="Go on after this id, which was the last that came.")


class SearchQuery(Asked):
    """A question as the query string has it."""

    filter: str | None = Field(default=None, description=FILTER, examples=FILTER_EXAMPLES)


class SearchBody(Asked):
    """A question as a JSON body."""

    filter: str | dict[str, Any] | None = Field(default=None, description=FILTER, examples=FILTER_EXAMPLES)


SIMILAR: Any = Field(
    default=False,
    description="Whether half and mistyped words are looked for where nothing has them as written; a search does so "
    "unless told not to, an export only when told to.",
)


class ExportQuery(Wanted):
    """What an export asks as the query string has it: its `as` and `after` stand with the operation."""

    similar: bool = SIMILAR
    filter: str | None = Field(default=None, description=FILTER, examples=FILTER_EXAMPLES)
    form: Form = AS
    after: UUID | None = AFTER


class ExportBody(Wanted):
    """What an export asks as a JSON body."""

    similar: bool = SIMILAR
    filter: str | dict[str, Any] | None = Field(default=None, description=FILTER, examples=FILTER_EXAMPLES)
    form: Form = AS
    after: UUID | None = AFTER


AnyWanted = SearchQuery | SearchBody | ExportQuery | ExportBody


async def read(engines: Engines, asked: AnyWanted) -> query.Question:
    """Return the question to the index, from its first page on; raises Invalid with everything that is wrong."""
    # Who wants everything counts nothing, and has no pages.
    if not isinstance(asked, Asked):
        return await wanted.read(engines.database, asked, asked.filter)
    faults: list[Fault] = []
    levels = await _levels(engines, asked, faults)
    try:
        question = await wanted.read(engines.database, asked, asked.filter, levels=levels, **_shown(asked))
    except Invalid as wrong:
        raise Invalid(wrong.detail, faults=[*wrong.faults, *faults]) from None
    if faults:
        raise Invalid("The query has faults.", faults=faults)
    return question


async def _levels(engines: Engines, asked: Asked, faults: list[Fault]) -> dict[str, Level]:
    """Return which concepts each tree counts; what is wrong with it is added to the faults."""
    schemes = {str(FIELDS[name].scheme): name for name in asked.tree}
    if asked.tree and not asked.narrower:
        faults.append(
            Fault(
                "/tree", "A tree counts narrower concepts too.", "Leave narrower=false out, or ask for a plain facet."
            )
        )
    opened: dict[str, str] = {}
    ways, meant = await _ways(engines, asked)
    for place, text in enumerate(asked.below):
        if "\x00" in text:
            # Refused already, as anywhere in a question.
            continue
        way = ways.get(meant[text].uri or "")
        if way is None:
            told = ", ".join(schemes) or " or ".join(OF_CONCEPTS)
            faults.append(Fault(f"/below/{place}", f"{text[:200]!r} is no concept of {told}.", meant[text].suggestion))
        elif way.scheme not in schemes:
            name = next((one for one in OF_CONCEPTS if FIELDS[one].scheme == way.scheme), None)
            message = f"{way.steps[-1][1]!r} is a concept of {name or way.scheme}, and that tree is not asked for."
            faults.append(Fault(f"/below/{place}", message, name and f"Ask for it too: tree={name} (--tree {name})."))
        elif way.scheme in opened:
            faults.append(Fault(f"/below/{place}", f"There is another concept of {way.scheme} before: a tree has one."))
        else:
            opened[way.scheme] = way.steps[-1][0]
    levels: dict[str, Level] = {}
    for scheme, name in schemes.items():
        below = opened.get(scheme)
        among = await hierarchy.level(engines.database, scheme, below)
        levels[name] = Level(among, () if below is None else tuple(uri for uri, _ in ways[below].steps))
    return levels


async def _ways(engines: Engines, asked: Asked) -> tuple[dict[str, Way], dict[str, Meaning]]:
    """Return how one gets to the concepts of `below`, by URI, and which concept each text there means."""
    ways = await hierarchy.ways(engines.database, asked.below)
    meant = {text: Meaning(text) for text in asked.below if text in ways}
    named = [text for text in asked.below if text not in ways and "\x00" not in text]
    if named:
        # Of the trees that are asked for first; of the others so that one can say which to ask for.
        schemes = [str(FIELDS[name].scheme) for name in dict.fromkeys([*asked.tree, *OF_CONCEPTS])]
        async with engines.database.transaction() as session:
            told = await looking_up.meanings(session, [(scheme, text) for scheme in schemes for text in named])
        for text in named:
            every = [told[scheme, text] for scheme in schemes]
            meant[text] = next((one for one in every if one.uri is not None), every[0])
        ways |= await hierarchy.ways(engines.database, [one.uri for one in meant.values() if one.uri is not None])
    return ways, meant


def typed_or_nothing(text: str) -> language.Typed:
    """Return what a text asks for that is still being typed: what is wrong, or names concepts, is left out."""
    typed, faults = language.read(text)
    if faults:
        return language.Typed()
    known = tuple(one for one in typed.conditions if not language.concepts_asked([one]))
    return replace(typed, conditions=known)


def _shown(asked: Asked) -> dict[str, Any]:
    return {"facets": tuple(dict.fromkeys([*asked.facet, *asked.tree])), "sort": asked.sort, "limit": asked.limit}


def bound_to(asked: SearchQuery | SearchBody, caller: Caller) -> tuple[Any, ...]:
    """Return what a cursor is bound to: who asks, and what."""
    return "search", caller.id, asked.model_dump(exclude={"cursor", "limit", "after_write", "wait_seconds"})


def narrowed(asked: SearchQuery | SearchBody) -> bool:
    """Whether anything but the text decides what is found."""
    others = (asked.valid_at, asked.runtime, asked.filter, asked.bbox, asked.time)
    return any(others) or any(getattr(asked, name) for name in facets.ASKABLE)

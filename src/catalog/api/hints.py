"""Help with asking: what a text may go on to, the values of a facet, why something is found or not, and what is alike.

All of it is under the caller's audience, and told from the database once more before anything is shown.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access.principals import Caller
from catalog.api import questions, requests, shapes
from catalog.api import search as search_api
from catalog.api.contract import Answer, Operation, operation
from catalog.api.questions import SearchQuery
from catalog.api.requests import AnyRequest
from catalog.api.search import ShownFacet
from catalog.engines import Engines
from catalog.errors import Fault, Invalid, NotFound
from catalog.objects import describing, reading
from catalog.objects.reading import Entry
from catalog.search import facets, hints, language, query
from catalog.search.fields import FIELDS, HAS_LABELS
from catalog.search.hints import Traits
from catalog.vocabulary import looking_up
from catalog.vocabulary.terms import folded

SUGGESTIONS = 8
SUGGESTIONS_MAX = 20
ALIKE = 10
ALIKE_MAX = 50
TEXT_CHARS_MAX = 200
# The last word, where it asks a field.
_OF_FIELD = re.compile(r"(?P<before>.*?)(?P<excluded>-?)(?P<field>[a-z][a-z_]*):(?P<begun>\"?[^\s\"]*)$", re.DOTALL)
_LAST = re.compile(r"\S+$")
# Of these the engine takes no pattern: numbers, ranges, and answers.
_NOT_SEARCHED_IN = (HAS_LABELS, facets.RUNTIME, "year", *facets.RANGED)


class SuggestQuery(BaseModel):
    """What was typed so far."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field(description="What stands in the search box.", max_length=TEXT_CHARS_MAX)
    limit: int = Field(default=SUGGESTIONS, ge=1, le=SUGGESTIONS_MAX, description="How many suggestions at most.")


class Suggestion(msgspec.Struct, frozen=True):
    """Something that may have been meant: `q` is the text of the search box with it, `href` an object itself."""

    type: Literal["object", "creator", "keyword", "identifier", "concept", "field", "value"]
    text: str
    q: str
    href: str | msgspec.UnsetType = msgspec.UNSET


class SuggestionList(msgspec.Struct, frozen=True):
    """What the text may go on to, the likeliest first."""

    items: list[Suggestion]


class FacetQuery(SearchQuery):
    """A question, and which values of the facet."""

    contains: str = Field(
        default="", description="Only values that contain this.", max_length=facets.CONTAINED_CHARS_MAX
    )
    values: int = Field(
        default=facets.FACET_VALUES, ge=1, le=facets.FACET_VALUES_MAX, description="How many values at most."
    )


class ExplainedPart(msgspec.Struct, frozen=True):
    """One thing that the question asks, whether it is to be absent, and whether the object has it."""

    asked: str
    excluded: bool
    has: bool


class Explanation(msgspec.Struct, frozen=True):
    """Why an object is found by a question, or why not: every part must be fulfilled.

    `highlights` tells where its words are; `weights` how much a word counts in each of these fields.
    """

    object: UUID
    found: bool
    parts: list[ExplainedPart]
    highlights: dict[str, list[str]]
    weights: dict[str, float]


class AlikeQuery(BaseModel):
    """How many."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=ALIKE_MAX)] = ALIKE


class AlikeObject(msgspec.Struct, frozen=True):
    """An object that is like another, and what they share."""

    id: UUID
    kind: str
    project: str
    title: str
    href: str
    shared: list[str]


class AlikeList(msgspec.Struct, frozen=True):
    """What is most like an object first."""

    items: list[AlikeObject]


@operation(
    "GET",
    "/api/suggest",
    Operation(
        id="suggest",
        summary="Complete what is typed into the search box",
        description="Titles, creators, keywords, identifiers of objects that you may see; concepts; fields and values.",
        tag="search",
        query=SuggestQuery,
        answers={200: Answer("The suggestions.", SuggestionList, headers={"Cache-Control": "no-store"})},
    ),
)
async def suggest(request: AnyRequest) -> Response[bytes]:
    """Complete a text."""
    asked = requests.query(request, SuggestQuery)

    async def find(caller: Caller) -> list[Suggestion]:
        return await suggestions(request, asked, caller)

    _, found = await requests.while_identifying(request, find)
    return shapes.json_response(SuggestionList(found), headers={"Cache-Control": "no-store"})


async def suggestions(request: AnyRequest, asked: SuggestQuery, caller: Caller) -> list[Suggestion]:
    """Return what a text may go on to for this caller; the search box of the pages asks here too."""
    text, limit = asked.q, asked.limit
    of_field = _OF_FIELD.fullmatch(text)
    if of_field is not None and of_field["field"] not in language.SCHEMES:
        name = language.ALSO.get(of_field["field"], of_field["field"])
        return await _values(request, of_field, name, limit, caller) if name in FIELDS else []
    last = _LAST.search(text)
    if last is None:
        return []
    engines = requests.engines(request)
    before = text[: last.start()]
    question = hints.going_on(text)
    ids = [] if question is None else await engines.index.ids(hints.begun(question, caller.audience))
    entries = await reading.find_each(engines.database, ids, caller.audience, files_most=1)
    begun = [entries[one] for one in ids if one in entries]
    concepts = await looking_up.begun(
        engines.database, (describing.SUBJECTS, describing.TASKS), last[0], most=SUGGESTIONS_MAX
    )
    found = {
        "object": [Suggestion("object", one.record["title"], text, f"/api/objects/{one.id}") for one in begun],
        "creator": list(_names(begun, "creator", last[0], before)),
        "keyword": list(_names(begun, "keyword", last[0], before)),
        "identifier": list(_identifiers(begun, last[0], before)),
        "concept": [
            Suggestion("concept", label, f'{before}{_field_of(scheme)}:"{label}" ') for _, scheme, label in concepts
        ],
        "field": [
            Suggestion("field", f"{one.name}: {one.description}", f"{before}{one.name}:")
            for one in FIELDS.values()
            if one.name.startswith(last[0])
        ],
    }
    return list(islice(_in_turn(list(found.values())), limit))


def _field_of(scheme: str) -> str:
    return next(field.name for field in FIELDS.values() if field.scheme == scheme)


def _in_turn(lists: Sequence[Sequence[Suggestion]]) -> Iterator[Suggestion]:
    """Yield the first of each, then the second of each: no sort of suggestion hides the others."""
    for place in range(max(map(len, lists), default=0)):
        yield from (one[place] for one in lists if place < len(one))


def _names(
    entries: Sequence[Entry], what: Literal["creator", "keyword"], begun: str, before: str
) -> Iterator[Suggestion]:
    names = (
        name
        for entry in entries
        for name in (
            entry.record["keywords"] if what == "keyword" else [one["name"] for one in entry.record["creators"]]
        )
    )
    wanted = folded(begun)
    for name in dict.fromkeys(names):
        if any(word.startswith(wanted) for word in re.split(r"[\W_]+", folded(name))):
            yield Suggestion(what, name, f'{before}{what}:"{name}" ' if '"' not in name else f"{before}{begun}")


def _identifiers(entries: Sequence[Entry], begun: str, before: str) -> Iterator[Suggestion]:
    for entry in entries:
        elsewhere = [one["value"] for one in entry.record.get("identifiers", ())]
        for known in (str(entry.id), entry.record.get("name"), *elsewhere, *(file.path for file in entry.files)):
            if known and known.lower().startswith(begun.lower()):
                yield Suggestion("identifier", known, f"{before}{known} ", f"/api/objects/{entry.id}")


async def _values(request: AnyRequest, typed: re.Match[str], name: str, limit: int, caller: Caller) -> list[Suggestion]:
    """Return values of a field that contain what was typed of one, the most frequent first, under the rest."""
    before, begun = typed["before"], typed["begun"].lstrip('"')
    facet = name if name in facets.COUNTABLE and name not in facets.RANGED else None
    if facet is None:
        values: list[tuple[str, str | None]] = [
            (value, None) for value in FIELDS[name].values if begun.lower() in value
        ]
    else:
        rest = questions.typed_or_nothing(before)
        asked = query.Question(typed=rest, facets=(facet,), facet_values=limit, limit=1)
        shown = await _facet(request, facet, begun, asked, caller)
        values = [
            (str(one.value), None if one.label is msgspec.UNSET else str(one.label))
            for one in shown.buckets
            if facet not in _NOT_SEARCHED_IN or str(one.value).startswith(begun)
        ]
    return [
        Suggestion("value", label or value, f"{before}{typed['excluded']}{name}:{_written(label or value)} ")
        for value, label in values[:limit]
    ]


def _written(value: str) -> str:
    return f'"{value}"' if re.search(r"\s", value) else value


@operation(
    "GET",
    "/api/search/facets/{facet:str}",
    Operation(
        id="search_facet",
        summary="Search the values of one facet",
        description=(
            "Counted as the search counts it: under the question, but for the facet's own choice. With `tree`, the "
            "concepts of one level of the vocabulary, each with all that is narrower."
        ),
        tag="search",
        query=FacetQuery,
        answers={200: Answer("The values.", ShownFacet, headers={"Cache-Control": "no-store"})},
        problems=(404,),
    ),
)
async def search_facet(request: AnyRequest) -> Response[bytes]:
    """Search inside a facet."""
    name = request.path_params["facet"]
    if name not in facets.COUNTABLE:
        raise NotFound(f"There is no facet {name[:80]!r}; there are {', '.join(facets.COUNTABLE)}.")
    asked = requests.query(request, FacetQuery)
    if asked.contains and name in _NOT_SEARCHED_IN:
        fault = Fault("/contains", f"{name} has few values, or numbers: leave this out")
        raise Invalid("The query has faults.", faults=[fault])
    question = await questions.read(requests.engines(request), asked)
    question = replace(question, facets=(name,), facet_values=asked.values, limit=1, sort="newest")

    async def find(caller: Caller) -> ShownFacet:
        return await _facet(request, name, asked.contains, question, caller)

    _, found = await requests.while_identifying(request, find)
    return shapes.json_response(found, headers={"Cache-Control": "no-store"})


async def _facet(request: AnyRequest, name: str, contains: str, question: query.Question, caller: Caller) -> ShownFacet:
    engines = requests.engines(request)
    if contains and name in facets.OF_CONCEPTS:
        # A concept is looked for by what it is called, which its URI does not say.
        among = await looking_up.containing(engines.database, str(FIELDS[name].scheme), contains)
        question = replace(question, facet_among=among)
    elif name not in _NOT_SEARCHED_IN:
        question = replace(question, facet_contains=contains)
    found = await engines.index.find(hints.values(question, caller.audience), question)
    return (await search_api.shown_facets(engines, question, found.facets))[name]


@operation(
    "GET",
    "/api/objects/{object_id:str}/explain",
    Operation(
        id="explain_search",
        summary="See why an object is found by a question, or why not",
        tag="search",
        query=SearchQuery,
        answers={200: Answer("Every part of the question.", Explanation, headers={"Cache-Control": "no-store"})},
        problems=(404, 410),
    ),
)
async def explain_search(request: AnyRequest) -> Response[bytes]:
    """Explain a question for one object."""
    asked = requests.query(request, SearchQuery)
    object_id = requests.object_id(request)
    engines = requests.engines(request)
    caller = await requests.caller(request)
    async with engines.database.transaction() as session:
        await reading.find(session, object_id, caller.audience)
    question = await questions.read(engines, asked)
    parts = hints.parts(question, caller.audience)
    told = await engines.index.explained(hints.explanation(parts, object_id, caller.audience))
    if told is None:
        raise NotFound(f"The object {object_id} is not in the index yet; ask again in a moment.")
    has, highlights = told
    explained = [ExplainedPart(part.asked, part.excluded, str(place) in has) for place, part in enumerate(parts)]
    weights = {name: float(weight or 1) for name, _, weight in (one.partition("^") for one in query.SEARCHED)}
    answer = Explanation(
        object=object_id,
        found=all(part.has is not part.excluded for part in explained),
        parts=explained,
        highlights=highlights,
        weights={name: weights.get(name, 1.0) for name in highlights},
    )
    return shapes.json_response(answer, headers={"Cache-Control": "no-store"})


@operation(
    "GET",
    "/api/objects/{object_id:str}/similar",
    Operation(
        id="list_similar",
        summary="List what is most like an object",
        description="By shared concepts, keywords, sensors, creators and words of the title.",
        tag="search",
        query=AlikeQuery,
        answers={200: Answer("Objects with what they share.", AlikeList, headers={"Cache-Control": "no-store"})},
        problems=(404, 410),
    ),
)
async def list_similar(request: AnyRequest) -> Response[bytes]:
    """List what is like an object."""
    asked = requests.query(request, AlikeQuery)
    engines = requests.engines(request)
    caller = await requests.caller(request)
    async with engines.database.transaction() as session:
        entry = await reading.find(session, requests.object_id(request), caller.audience)
    items = await alike(engines, entry, caller, asked.limit)
    return shapes.json_response(AlikeList(items), headers={"Cache-Control": "no-store"})


async def alike(engines: Engines, entry: Entry, caller: Caller, limit: int) -> list[AlikeObject]:
    """Return what is most like an object, of what this caller may see; its page asks here too. Raises Unavailable."""
    traits = _traits(entry)
    # Some may share nothing that could be shown, such as a word of the title in another form.
    ids = await engines.index.ids(hints.alike(traits, caller.audience, 2 * limit))
    entries = await reading.find_each(engines.database, ids, caller.audience, files_most=1)
    found = [_alike(traits, entries[one]) for one in ids if one in entries]
    return [one for one in found if one.shared][:limit]


def _traits(entry: Entry) -> Traits:
    return Traits(
        id=entry.id,
        title=entry.record["title"],
        keywords=entry.record["keywords"],
        creators=[creator["name"] for creator in entry.record["creators"]],
        concepts=sorted(entry.terms),
        sensors=list(reading.metadata_of(entry).instruments()),
    )


def _alike(one: Traits, other: Entry) -> AlikeObject:
    theirs = _traits(other)
    shared = [
        *(other.terms[uri] for uri in one.concepts if uri in theirs.concepts),
        *(word for word in one.keywords if word in theirs.keywords),
        *(sensor for sensor in one.sensors if sensor in theirs.sensors),
        *(name for name in one.creators if name in theirs.creators),
        *_shared_words(one.title, theirs.title),
    ]
    return AlikeObject(
        other.id, other.kind, other.project, theirs.title, f"/api/objects/{other.id}", list(dict.fromkeys(shared))
    )


def _shared_words(one: str, other: str) -> list[str]:
    """Return the words of a title that the other has too, as singular or plural."""
    theirs = {_singular(word) for word in hints.title_words(other)}
    return [
        f"\N{LEFT DOUBLE QUOTATION MARK}{word}\N{RIGHT DOUBLE QUOTATION MARK} in the title"
        for word in hints.title_words(one)
        if _singular(word) in theirs
    ]


def _singular(word: str) -> str:
    return folded(word).removesuffix("s")


ROUTES: list[HTTPRouteHandler] = [suggest, search_facet, explain_search, list_similar]

"""`/api/search`: the index finds, the database decides, and what is shown carries links that work."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from catalog.access.principals import Caller
from catalog.api import links, requests, shapes
from catalog.api.contract import JSON, Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.database import now
from catalog.errors import Fault, Invalid
from catalog.objects import kinds, reading, running
from catalog.objects.reading import Entry, FileView
from catalog.objects.tables import FileState
from catalog.search import query, unfound
from catalog.storage.signing import Link
from catalog.vocabulary import looking_up

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
DESCRIPTION_CHARS_SHOWN = 400
CHOSEN_VALUES_MAX = 50

Facet = Literal[
    "kind",
    "project",
    "licence",
    "year",
    "creator",
    "format",
    "state",
    "quality",
    "sensor",
    "has_labels",
    "subject",
    "task",
]
# Facets whose values are URIs of concepts.
OF_CONCEPTS = ("subject", "task")
Chosen = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=300)]], Field(max_length=CHOSEN_VALUES_MAX)
]


class SearchQuery(BaseModel):
    """A question to the catalog. Several values of one filter mean any of them; several filters mean all of them."""

    model_config = ConfigDict(extra="forbid")

    q: str | None = Field(
        default=None,
        description='Words that must all occur; "a phrase", -excluded, prefix*.',
        max_length=query.Q_CHARS_MAX,
    )
    kind: Chosen = Field(default=[], description="Only these kinds.")
    project: Chosen = Field(default=[], description="Only these projects, written org/project.")
    licence: Chosen = Field(default=[], description="Only these licences, as SPDX expressions.")
    year: Annotated[list[Annotated[int, Field(ge=0, le=9999)]], Field(max_length=CHOSEN_VALUES_MAX)] = Field(
        default=[], description="Only these years of issue, creation or collection."
    )
    creator: Chosen = Field(default=[], description="Only objects by these creators, names as the facet shows them.")
    format: Chosen = Field(default=[], description="Only objects with a file of one of these media types.")
    state: Chosen = Field(default=[], description="Only drafts, or only published objects.")
    quality: Chosen = Field(default=[], description="Only records that are excellent, good, fair or poor.")
    has_labels: Annotated[list[Literal["yes", "no"]], Field(max_length=2)] = Field(
        default=[],
        description=(
            "Only data sets with labels: their own, or objects of the kind labels that you may see and that name them; "
            "or only data sets without."
        ),
    )
    subject: Chosen = Field(
        default=[], description="Only objects of these scientific fields or of narrower ones, as URIs of concepts."
    )
    task: Chosen = Field(default=[], description="Only objects for these tasks or narrower ones, as URIs of concepts.")
    sensor: Chosen = Field(default=[], description="Only what comes from these sensors, or is for them: their ids.")
    runtime: Chosen = Field(
        default=[],
        description="Only what runs on one of these: software, alone or with the versions that you have: pytorch>=2.1.",
    )
    valid_at: AwareDatetime | None = Field(
        default=None, description="Only what holds at this moment: a calibration by its validity, else its coverage."
    )
    facet: Annotated[list[Facet], Field(max_length=13)] = Field(
        default=[], description="Which facets to count. A facet is not narrowed by its own filter."
    )
    sort: Literal["relevance", "newest", "oldest", "title"] | None = Field(
        default=None, description="Default: relevance with words, newest without."
    )
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many hits a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=4_000)


class LinkedFile(msgspec.Struct, frozen=True):
    """A file of a hit, with a link when its bytes are there."""

    path: str
    size: int
    sha256: str
    media_type: str
    state: Literal["expected", "available", "mismatched", "missing"]
    link: Link | None


class Hit(msgspec.Struct, frozen=True):
    """An object that answers the question. Highlights are HTML: escaped text with <mark> and nothing else."""

    id: UUID
    kind: str
    project: str
    title: str
    description: str
    keywords: list[str]
    creators: list[str]
    licence: str | None
    year: int | None
    visibility: Literal["public", "organization", "project", "private", "embargoed"]
    revision: int
    updated_at: datetime
    href: str
    highlights: dict[str, list[str]]
    files: list[LinkedFile]
    files_total: int


class FacetValue(msgspec.Struct, frozen=True):
    """One value of a facet, and how many hits have it; `label` where the value is the URI of a concept."""

    value: str | int
    count: int
    label: str | msgspec.UnsetType = msgspec.UNSET


class ShownFacet(msgspec.Struct, frozen=True):
    """The most frequent values of a facet, what further values add up to, and how many hits have none."""

    buckets: list[FacetValue]
    rest: int
    missing: int


class SearchAnswer(msgspec.Struct, frozen=True):
    """What was found."""

    total: int
    hits: list[Hit]
    facets: dict[str, ShownFacet]
    cursor: str | None


async def answer(request: AnyRequest, asked: SearchQuery, caller: Caller | None = None) -> SearchAnswer:
    """Answer a question as this caller, or else whoever sent the request, may have it answered; pages ask here too."""
    _known_kinds(asked)
    engines = requests.engines(request)

    runtimes = await _runtimes(request, asked.runtime)

    async def find(caller: Caller) -> query.Found:
        question = _question(request, asked, caller, runtimes)
        return await engines.index.find(query.body_of(question, caller.audience), question)

    if caller is None:
        caller, found = await requests.while_identifying(request, find)
    else:
        found = await find(caller)
    entries = await reading.find_each(
        engines.database, [hit.id for hit in found.hits], caller.audience, files_most=shapes.FILES_SHOWN_MAX
    )
    if not found.total and asked.q and asked.cursor is None and not _narrowed(asked):
        # A count for curators, of which nobody's answer depends.
        with suppress(sa.exc.SQLAlchemyError):
            async with engines.database.transaction() as session:
                await unfound.note(session, asked.q)
    # What is gone or hidden since it was indexed is not in the database's answer, and so not in ours.
    sign = links.downloads(request, caller, now())
    hits = [_hit(entries[hit.id], hit.highlights, sign) for hit in found.hits if hit.id in entries]
    uris = [str(value) for name in OF_CONCEPTS if name in found.facets for value, _ in found.facets[name].buckets]
    labels = await looking_up.labels(engines.database, uris)
    facets = {
        name: ShownFacet(
            [FacetValue(value, count, labels.get(str(value), msgspec.UNSET)) for value, count in facet.buckets],
            facet.rest,
            facet.missing,
        )
        for name, facet in found.facets.items()
    }
    cursor = None if found.last is None else requests.cursors(request).seal(found.last, *_bound_to(asked, caller))
    return SearchAnswer(found.total, hits, facets, cursor)


def _narrowed(asked: SearchQuery) -> bool:
    """Whether anything but the text decides what is found."""
    return bool(asked.valid_at or asked.runtime or any(getattr(asked, name) for name in query.ASKABLE))


async def _runtimes(request: AnyRequest, texts: Sequence[str]) -> list[query.Runtime]:
    """Return the software that is asked for, by its concept where the scheme knows it; raises Invalid."""
    wanted, faults = [], []
    for place, text in enumerate(texts):
        try:
            wanted.append(running.asked(text))
        except ValueError as wrong:
            faults.append(Fault(f"/runtime/{place}", str(wrong)))
    if faults:
        raise Invalid("The query has faults.", faults=faults)
    if not wanted:
        return []
    named = [(running.SOFTWARE, name) for name, _ in wanted]
    async with requests.engines(request).database.transaction() as session:
        meant = await looking_up.meanings(session, named, unexplained=named)
    return [query.Runtime(meant[running.SOFTWARE, name].uri or name, *versions) for name, versions in wanted]


def _question(
    request: AnyRequest, asked: SearchQuery, caller: Caller, runtimes: Sequence[query.Runtime]
) -> query.Question:
    after = None
    if asked.cursor is not None:
        after = tuple(requests.cursors(request).open(asked.cursor, *_bound_to(asked, caller)))
    return query.Question(
        text=asked.q,
        filters={name: tuple(values) for name in query.ASKABLE if (values := getattr(asked, name))},
        facets=tuple(dict.fromkeys(asked.facet)),
        sort=asked.sort,
        limit=asked.limit,
        after=after,
        runtimes=runtimes,
        valid_at=asked.valid_at,
    )


def _bound_to(asked: SearchQuery, caller: Caller) -> tuple[Any, ...]:
    return "search", caller.id, asked.model_dump(exclude={"cursor", "limit"})


def _known_kinds(asked: SearchQuery) -> None:
    faults: list[Fault] = [
        kinds.unknown(f"/kind/{place}", name) for place, name in enumerate(asked.kind) if name not in kinds.known()
    ]
    if faults:
        raise Invalid("The query has faults.", faults=faults)


def _hit(
    entry: Entry,
    highlights: dict[str, list[str]],
    sign: Callable[[UUID, Sequence[FileView], int | None], list[Link]],
) -> Hit:
    record = entry.record
    there = [file for file in entry.files if file.state == FileState.AVAILABLE]
    signed = dict(zip([file.path for file in there], sign(entry.id, there, None), strict=True))
    return Hit(
        id=entry.id,
        kind=entry.kind,
        project=entry.project,
        title=record["title"],
        description=_shortened(record["description"]),
        keywords=record["keywords"],
        creators=[creator["name"] for creator in record["creators"]],
        licence=record.get("licence"),
        year=entry.year,
        visibility=record["visibility"],
        revision=entry.revision,
        updated_at=entry.updated_at,
        href=f"/api/objects/{entry.id}",
        highlights=highlights,
        files=[
            LinkedFile(
                file.path,
                file.size,
                file.sha256,
                file.media_type,
                FileState(file.state).value,
                signed.get(file.path),
            )
            for file in entry.files
        ],
        files_total=entry.files_total,
    )


def _shortened(text: str) -> str:
    if len(text) <= DESCRIPTION_CHARS_SHOWN:
        return text
    return text[:DESCRIPTION_CHARS_SHOWN].rsplit(maxsplit=1)[0] + "\N{HORIZONTAL ELLIPSIS}"


def _promise(**differs: Any) -> Operation:
    return Operation(
        summary="Search objects",
        description=(
            "Hits carry their first files with signed links. Private objects of others are in no hit, total or facet."
        ),
        tag="search",
        answers={
            200: Answer(
                "What was found.", SearchAnswer, headers={"Link": "The next page.", "Cache-Control": "no-store"}
            )
        },
        **differs,
    )


@operation("GET", "/api/search", _promise(id="search", query=SearchQuery))
async def search(request: AnyRequest) -> Response[bytes]:
    """Search by query parameters."""
    asked = requests.query(request, SearchQuery)
    found = await answer(request, asked)
    return shapes.json_response(
        found, headers={**requests.next_link(request, found.cursor), "Cache-Control": "no-store"}
    )


@operation("POST", "/api/search", _promise(id="search_by_body", body=Body(SearchQuery), problems=(413, 415)))
async def search_by_body(request: AnyRequest) -> Response[bytes]:
    """Search by a JSON body."""
    asked = requests.parsed(await requests.body(request, media_types=(JSON,)), SearchQuery)
    found = await answer(request, asked)
    return shapes.json_response(found, headers={"Cache-Control": "no-store"})


ROUTES: list[HTTPRouteHandler] = [search, search_by_body]

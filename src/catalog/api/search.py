"""`/api/search`: the index finds, the database decides, and what is shown carries links that work."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog.access.principals import Caller
from catalog.api import files, requests, shapes
from catalog.api.contract import JSON, Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.database import now
from catalog.errors import Fault, Invalid
from catalog.objects import kinds, reading
from catalog.objects.reading import Entry
from catalog.objects.tables import FileState
from catalog.search import query

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
DESCRIPTION_CHARS_SHOWN = 400
CHOSEN_VALUES_MAX = 50

Facet = Literal["kind", "project", "licence", "year", "creator", "format"]
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
    facet: Annotated[list[Facet], Field(max_length=10)] = Field(
        default=[], description="Which facets to count. A facet is not narrowed by its own filter."
    )
    sort: Literal["relevance", "newest", "oldest", "title"] | None = Field(
        default=None, description="Default: relevance with words, newest without."
    )
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many hits a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=4_000)


class ShownLink(msgspec.Struct, frozen=True):
    """A signed link that works until it expires."""

    href: str
    expires_at: datetime


class LinkedFile(msgspec.Struct, frozen=True):
    """A file of a hit, with a link when its bytes are there."""

    path: str
    size: int
    sha256: str
    media_type: str
    state: Literal["expected", "available", "mismatched", "missing"]
    link: ShownLink | None


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
    visibility: Literal["public", "private"]
    revision: int
    updated_at: datetime
    href: str
    highlights: dict[str, list[str]]
    files: list[LinkedFile]
    files_total: int


class FacetValue(msgspec.Struct, frozen=True):
    """One value of a facet, and how many hits have it."""

    value: str | int
    count: int


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


async def answer(request: AnyRequest, asked: SearchQuery, caller: Caller) -> SearchAnswer:
    """Answer a question as this caller may have it answered; the pages ask through here too."""
    _known_kinds(asked)
    engines = requests.engines(request)
    sealer = requests.cursors(request)
    bound_to = ("search", caller.id, asked.model_dump(exclude={"cursor", "limit"}))
    question = query.Question(
        text=asked.q,
        filters={
            name: tuple(values)
            for name in ("kind", "project", "licence", "year", "creator", "format")
            if (values := getattr(asked, name))
        },
        facets=tuple(dict.fromkeys(asked.facet)),
        sort=asked.sort,
        limit=asked.limit,
        after=None if asked.cursor is None else tuple(sealer.open(asked.cursor, *bound_to)),
    )
    found = await engines.index.find(query.body_of(question, caller.audience), question)
    entries = await reading.find_each(
        engines.database, [hit.id for hit in found.hits], caller.audience, files_most=shapes.FILES_SHOWN_MAX
    )
    # What is gone or hidden since it was indexed is not in the database's answer, and so not in ours.
    at = now()
    hits = [_hit(request, entries[hit.id], hit.highlights, at) for hit in found.hits if hit.id in entries]
    facets = {
        name: ShownFacet([FacetValue(value, count) for value, count in facet.buckets], facet.rest, facet.missing)
        for name, facet in found.facets.items()
    }
    cursor = None if found.last is None else sealer.seal(found.last, *bound_to)
    return SearchAnswer(found.total, hits, facets, cursor)


def _known_kinds(asked: SearchQuery) -> None:
    faults: list[Fault] = [
        kinds.unknown(f"/kind/{place}", name) for place, name in enumerate(asked.kind) if name not in kinds.known()
    ]
    if faults:
        raise Invalid("The query has faults.", faults=faults)


def _hit(request: AnyRequest, entry: Entry, highlights: dict[str, list[str]], at: datetime) -> Hit:
    record = entry.record
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
                path=file.path,
                size=file.size,
                sha256=file.sha256,
                media_type=file.media_type,
                state=FileState(file.state).value,
                link=_link(request, file, at) if file.state == FileState.AVAILABLE else None,
            )
            for file in entry.files
        ],
        files_total=entry.files_total,
    )


def _link(request: AnyRequest, file: reading.FileView, at: datetime) -> ShownLink:
    signed = files.download_link(request, file, at)
    return ShownLink(signed.href, signed.expires_at)


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
    found = await answer(request, asked, await requests.caller(request))
    return shapes.json_response(
        found, headers={**requests.next_link(request, found.cursor), "Cache-Control": "no-store"}
    )


@operation("POST", "/api/search", _promise(id="search_by_body", body=Body(SearchQuery), problems=(413, 415)))
async def search_by_body(request: AnyRequest) -> Response[bytes]:
    """Search by a JSON body."""
    asked = requests.parsed(await requests.body(request, media_types=(JSON,)), SearchQuery)
    found = await answer(request, asked, await requests.caller(request))
    return shapes.json_response(found, headers={"Cache-Control": "no-store"})


ROUTES: list[HTTPRouteHandler] = [search, search_by_body]

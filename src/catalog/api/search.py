"""`/api/search`: the index finds, the database decides, and what is shown carries links that work."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.access.principals import Caller
from catalog.access.scopes import Scope
from catalog.api import hybrid, links, questions, requests, shapes, written
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.hybrid import HybridNote
from catalog.api.questions import SearchBody, SearchQuery
from catalog.api.requests import AnyRequest
from catalog.database import now
from catalog.engines import Engines
from catalog.objects import reading
from catalog.objects.reading import Entry, FileView
from catalog.objects.tables import FileState
from catalog.search import facets as counting
from catalog.search import meant, query, unfound
from catalog.search.answers import Facet, Found
from catalog.search.facets import Level
from catalog.search.query import Question
from catalog.storage.signing import Link
from catalog.vocabulary import hierarchy, looking_up

DESCRIPTION_CHARS_SHOWN = 400
# Enough hits to tell which word was meant.
MEANT_BY_HITS = 10


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
    # Where it was taken or holds: west, south, east, north in degrees (WGS 84); a point is a box without extent.
    bbox: list[float] | None
    highlights: dict[str, list[str]]
    files: list[LinkedFile]
    files_total: int


class FacetValue(msgspec.Struct, frozen=True):
    """One value of a facet, and how many hits have it; `label` where the value is the URI of a concept."""

    value: str | int
    count: int
    label: str | msgspec.UnsetType = msgspec.UNSET
    # Of a concept: the values of this facet that are broader, so that they can be shown as a tree.
    broader: list[str] | msgspec.UnsetType = msgspec.UNSET
    # In a tree: how many concepts of the vocabulary are directly below it.
    narrower: int | msgspec.UnsetType = msgspec.UNSET


class ShownFacet(msgspec.Struct, frozen=True):
    """The most frequent values of a facet, what further values add up to, and how many hits have none."""

    buckets: list[FacetValue]
    rest: int
    missing: int
    # Of a tree: the concepts on the way from the top to the one whose narrower ones these are; none at the top.
    above: list[FacetValue] | msgspec.UnsetType = msgspec.UNSET


class SearchAnswer(msgspec.Struct, frozen=True):
    """What was found. `similar` says that nothing has the words as they were written, and what is near was found."""

    total: int
    hits: list[Hit]
    facets: dict[str, ShownFacet]
    cursor: str | None
    similar: bool
    # The question with the words that were found in place of those that were not.
    did_you_mean: str | None
    # With `after_write`: whether the index had that write when it was asked.
    fresh: bool | msgspec.UnsetType = msgspec.UNSET
    # Where what means the same was asked for, or is by default.
    hybrid: HybridNote | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class _Page:
    """What was found for a page, and the place from which the next one's cursor is made."""

    found: Found
    similar: bool
    place: Any
    hybrid: HybridNote | msgspec.UnsetType = msgspec.UNSET


async def answer(request: AnyRequest, asked: SearchQuery | SearchBody, caller: Caller | None = None) -> SearchAnswer:
    """Answer a question as this caller, or else whoever sent the request, may have it answered; pages ask here too."""
    engines = requests.engines(request)
    question = await questions.read(engines, asked)

    async def find(caller: Caller) -> tuple[_Page, bool | msgspec.UnsetType]:
        fresh: bool | msgspec.UnsetType = msgspec.UNSET
        if asked.after_write is not None:
            fresh = await written.is_found(request, caller, asked.after_write, asked.wait_seconds)
        return await _page(request, asked, question, caller), fresh

    if caller is None:
        caller, (page, fresh) = await requests.while_identifying(request, find)
    else:
        page, fresh = await find(caller)
    found = page.found
    entries = await reading.find_each(
        engines.database, [hit.id for hit in found.hits], caller.audience, files_most=shapes.FILES_SHOWN_MAX
    )
    if not found.total and asked.q and asked.cursor is None and not questions.narrowed(asked):
        # A count for curators, of which nobody's answer depends.
        with suppress(sa.exc.SQLAlchemyError):
            async with engines.database.transaction() as session:
                await unfound.note(session, asked.q)
    # What is gone or hidden since it was indexed is not in the database's answer, and so not in ours.
    backends = {file.backend for entry in entries.values() for file in entry.files}
    sign = await links.downloads(request, caller, now(), backends)
    hits = [_hit(entries[hit.id], hit.highlights, sign) for hit in found.hits if hit.id in entries]
    return SearchAnswer(
        total=found.total,
        hits=hits,
        facets=await shown_facets(engines, question, found.facets),
        cursor=(
            None
            if page.place is None
            else requests.cursors(request).seal(page.place, *_bound(asked, caller, page.hybrid))
        ),
        similar=page.similar,
        did_you_mean=meant.instead(question, found.hits[:MEANT_BY_HITS]) if page.similar else None,
        fresh=fresh,
        hybrid=page.hybrid,
    )


_BY_MEANING = HybridNote(used=True, added=0, why=None, note=None)


def _bound(asked: SearchQuery | SearchBody, caller: Caller, note: HybridNote | msgspec.UnsetType) -> tuple[Any, ...]:
    """Return what a cursor is bound to: what is asked as well as whether that is hybrid here, by default or not."""
    return (*questions.bound_to(asked, caller), *([] if note is msgspec.UNSET else ["hybrid"]))


async def _page(request: AnyRequest, asked: SearchQuery | SearchBody, question: Question, caller: Caller) -> _Page:
    """Return what answers the question, by its words alone or by its meaning too."""
    engines = requests.engines(request)
    wanted = asked.hybrid
    if wanted is None:
        # Where nothing is typed, nothing can mean the same.
        wanted = engines.hybrid_by_default and question.wants_words
    if not wanted:
        found, similar = await _found(request, asked, question, caller)
        return _Page(found, similar, None if found.last is None else [similar, *found.last])
    if asked.cursor is None:
        page = await hybrid.first_page(engines, question, caller, similar=asked.similar)
    else:
        place = requests.cursors(request).open(asked.cursor, *_bound(asked, caller, _BY_MEANING))
        page = await hybrid.next_page(engines, question, caller, msgspec.convert(place, hybrid.Place))
    return _Page(page.found, page.similar, page.place, page.note)


async def _found(
    request: AnyRequest, asked: SearchQuery | SearchBody, question: Question, caller: Caller
) -> tuple[Found, bool]:
    """Return what answers the question, and whether that has other words than were written.

    Nothing but what this caller may see decides whether similar words are looked for.
    """
    index = requests.engines(request).index
    similar = False
    if asked.cursor is not None:
        similar, *after = requests.cursors(request).open(asked.cursor, *questions.bound_to(asked, caller))
        question = replace(question, after=tuple(after), similar=similar)
    found = await index.find(query.body_of(question, caller.audience), question)
    wider = None if found.total or asked.cursor is not None or not asked.similar else meant.widened(question)
    if wider is None:
        return found, similar
    near = await index.find(query.body_of(wider, caller.audience), wider)
    return (near, True) if near.total else (found, False)


async def shown_facets(engines: Engines, question: Question, facets: Mapping[str, Facet]) -> dict[str, ShownFacet]:
    """Return the facets with what their concepts are called, and which of these is broader than which."""
    uris = [
        str(value)
        for name in (*counting.OF_CONCEPTS, counting.RUNTIME)
        if name in facets
        for value in (*(value for value, _ in facets[name].buckets), *_above(question, name))
    ]
    in_trees = [
        str(value)
        for name in question.levels
        if name in facets
        for value in (*(value for value, _ in facets[name].buckets), *_above(question, name))
    ]
    told = await looking_up.labels_and_broader(engines.database, uris)
    below = await hierarchy.narrower_counts(engines.database, in_trees)
    return {name: _shown_facet(facet, question.levels.get(name), told, below) for name, facet in facets.items()}


def _above(question: Question, name: str) -> Sequence[str]:
    return question.levels[name].above if name in question.levels else ()


def _shown_facet(
    facet: Facet, level: Level | None, told: Mapping[str, tuple[str, list[str]]], below: Mapping[str, int]
) -> ShownFacet:
    way = [(uri, facet.above.get(uri, 0)) for uri in ([] if level is None else level.above)]
    there = {value for value, _ in (*facet.buckets, *way)}

    def shown(value: str | int, count: int) -> FacetValue:
        label, broader = told.get(str(value), (msgspec.UNSET, []))
        known = [uri for uri in broader if uri in there]
        narrower = msgspec.UNSET if level is None else below.get(str(value), 0)
        return FacetValue(value, count, label, known or msgspec.UNSET, narrower)

    return ShownFacet(
        [shown(*one) for one in facet.buckets],
        facet.rest,
        facet.missing,
        msgspec.UNSET if level is None else [shown(*one) for one in way],
    )


def _hit(
    entry: Entry,
    highlights: dict[str, list[str]],
    sign: Callable[[UUID, Sequence[FileView], int | None], list[Link | None]],
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
        bbox=_bbox(record),
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


def _bbox(record: Mapping[str, Any]) -> list[float] | None:
    spatial = (record.get("coverage") or {}).get("spatial") or {}
    if (box := spatial.get("box")) is not None:
        return [box["west"], box["south"], box["east"], box["north"]]
    if (point := spatial.get("point")) is not None:
        return [point["longitude"], point["latitude"]] * 2
    return None


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


@operation(
    "POST", "/api/search", _promise(id="search_by_body", scope=Scope.READ, body=Body(SearchBody), problems=(413, 415))
)
async def search_by_body(request: AnyRequest) -> Response[bytes]:
    """Search by a JSON body."""
    asked = await requests.sent(request, SearchBody, most_bytes=questions.BODY_BYTES_MAX)
    found = await answer(request, asked)
    return shapes.json_response(found, headers={"Cache-Control": "no-store"})


ROUTES: list[HTTPRouteHandler] = [search, search_by_body]

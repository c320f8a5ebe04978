"""`/api/snapshots`: freeze what a question finds, so that it can be cited; withdraw it and say why."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access.audience import ANONYMOUS
from catalog.api import dois, history, questions, requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.history import HistoryPage
from catalog.api.objects import MEDIA_TYPES, OTHERS, ObjectFormat, Reason, written
from catalog.api.questions import SearchBody
from catalog.api.requests import AnyRequest
from catalog.doi import describing, minting
from catalog.exchange.work import Work
from catalog.objects.metadata import CREATORS_MAX, Creator, Licence, Prose, Strict, Title
from catalog.search.language import Q_CHARS_MAX
from catalog.search.wanted import CHOSEN_VALUES_MAX, Chosen
from catalog.snapshots import freezing

SNAPSHOT_BYTES_MAX = 256 * 1024
LIMIT_DEFAULT = 100
LIMIT_MAX = 500


class SnapshotQuestion(Strict):
    """What is asked, as a search asks it."""

    q: Annotated[str | None, Field(max_length=Q_CHARS_MAX)] = None
    kind: Chosen = []
    project: Chosen = []
    licence: Chosen = []
    year: Annotated[list[Annotated[int, Field(ge=0, le=9999)]], Field(max_length=CHOSEN_VALUES_MAX)] = []
    creator: Chosen = []
    format: Chosen = []


class SnapshotDraft(Strict):
    """A snapshot to take: what it is, who answers for it, and what is asked."""

    title: Title
    description: Prose = ""
    creators: Annotated[list[Creator], Field(min_length=1, max_length=CREATORS_MAX)]
    licence: Licence | None = None
    query: SnapshotQuestion


class SnapshotReading(BaseModel):
    """Which members to show, and how."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many members a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=2_000)
    format: ObjectFormat | None = Field(
        default=None, description="The catalog's own JSON, or a format of others; left out, the Accept header decides."
    )


class SnapshotHistoryQuery(BaseModel):
    """Which part of the history to show."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many changes a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=2_000)


class FrozenMember(msgspec.Struct, frozen=True):
    """An object as it was; `now`: whether it is still the same, and may still be seen."""

    id: UUID
    revision: int
    version: int | None
    kind: str | None
    title: str | None
    digest: str
    now: freezing.Standing


class ShownSnapshot(msgspec.Struct, frozen=True):
    """What a question found at a moment; `digest` is the SHA-256 over the digests of all members, a line each."""

    id: UUID
    title: str
    description: str
    creators: list[dict[str, Any]]
    licence: str | None
    query: dict[str, Any]
    taken_at: datetime
    taken_by: str
    doi: str | None
    digest: str
    members_total: int
    members: list[FrozenMember]
    cursor: str | None


EXAMPLE = {
    "title": "Soil moisture data of the prairie, as of May 2026",
    "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
    "query": {"q": "soil moisture", "kind": ["sensor-data"]},
}


@operation(
    "POST",
    "/api/snapshots",
    Operation(
        id="take_snapshot",
        summary="Freeze what a question finds now",
        description=(
            "The question is asked as anybody may ask it: a snapshot holds what is public. It never changes. At most "
            f"{freezing.MEMBERS_MAX:,} objects."
        ),
        tag="dois",
        token=True,
        body=Body(SnapshotDraft, example=EXAMPLE),
        answers={201: Answer("Taken.", ShownSnapshot, headers={"Location": "The snapshot's address."})},
        problems=(403, 413, 415, 422),
    ),
)
async def take_snapshot(request: AnyRequest) -> Response[bytes]:
    """Take one snapshot."""
    caller = await requests.caller(request)
    caller.must_register()
    draft = await requests.sent(request, SnapshotDraft, most_bytes=SNAPSHOT_BYTES_MAX)
    engines = requests.engines(request)
    asked = draft.query.model_dump(mode="json", exclude_defaults=True)
    question = await questions.read(engines, SearchBody.model_validate(asked))
    ids = await freezing.found(engines.index, question)
    record = draft.model_dump(mode="json", exclude={"query"}, exclude_none=True)
    async with engines.database.transaction() as session:
        snapshot_id = await freezing.freeze(session, ids, record=record, question=asked, caller=caller)
    shown = await read(request, snapshot_id, start=0, limit=LIMIT_DEFAULT)
    return shapes.json_response(shown, status=201, headers={"Location": f"/api/snapshots/{snapshot_id}"})


async def read(request: AnyRequest, snapshot_id: UUID, *, start: int, limit: int) -> ShownSnapshot:
    """Return a snapshot as everybody may see it; the pages read through here too. Raises NotFound, Gone."""
    async with requests.engines(request).database.transaction() as session:
        view = await freezing.find(session, snapshot_id)
        found = await freezing.members_of(session, snapshot_id, ANONYMOUS, start=start, limit=limit + 1)
        doi = await describing.snapshot_doi(session, snapshot_id)
    members = [
        FrozenMember(
            one.object_id,
            one.revision,
            one.version,
            None if now == "hidden" else one.kind,
            None if now == "hidden" else one.title,
            one.digest,
            now,
        )
        for one, now in found[:limit]
    ]
    more = len(found) > limit
    cursor = requests.cursors(request).seal(start + limit, "snapshot", str(snapshot_id)) if more else None
    return ShownSnapshot(
        id=view.id,
        title=view.record["title"],
        description=view.record["description"],
        creators=view.record["creators"],
        licence=view.record.get("licence"),
        query=view.question,
        taken_at=view.taken_at,
        taken_by=view.taken_by,
        doi=doi,
        digest=view.digest,
        members_total=view.members,
        members=members,
        cursor=cursor,
    )


async def work(request: AnyRequest, snapshot_id: UUID) -> Work:
    """Return a snapshot as formats of others describe it; raises NotFound, Gone."""
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        view = await freezing.find(session, snapshot_id)
        doi = await describing.snapshot_doi(session, snapshot_id)
    return describing.snapshot_work(view, engines.house, doi=doi)


@operation(
    "GET",
    "/api/snapshots/{snapshot_id:str}",
    Operation(
        id="read_snapshot",
        summary="Read a snapshot, with its members page by page",
        description="Everybody sees the same. A member that is hidden by now has neither kind nor title.",
        tag="dois",
        query=SnapshotReading,
        answers={200: Answer("The snapshot.", ShownSnapshot, headers={"Link": "The next page."}, also=OTHERS)},
        problems=(404, 410),
    ),
)
async def read_snapshot(request: AnyRequest) -> Response[bytes]:
    """Read one snapshot."""
    snapshot_id = requests.object_id(request, "snapshot_id")
    asked = requests.query(request, SnapshotReading)
    await requests.caller(request)
    wanted = asked.format or requests.accepted(request, MEDIA_TYPES) or ObjectFormat.JSON
    if wanted != ObjectFormat.JSON:
        return written(await work(request, snapshot_id), wanted)
    bound_to = ("snapshot", str(snapshot_id))
    start = 0 if asked.cursor is None else int(requests.cursors(request).open(asked.cursor, *bound_to))
    shown = await read(request, snapshot_id, start=start, limit=asked.limit)
    headers = {**requests.next_link(request, shown.cursor), "Cache-Control": "no-cache", "Vary": "Accept"}
    return shapes.json_response(shown, headers=headers)


@operation(
    "POST",
    "/api/snapshots/{snapshot_id:str}/doi",
    Operation(
        id="mint_snapshot_doi",
        summary="Make a DOI for a snapshot",
        tag="dois",
        token=True,
        answers=dois.MADE,
        problems=(403, 404, 410, 422),
    ),
)
async def mint_snapshot_doi(request: AnyRequest) -> Response[bytes]:
    """Make the DOI of one snapshot."""
    snapshot_id = requests.object_id(request, "snapshot_id")
    caller = await requests.caller(request)
    caller.must_be_known()
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        view, new = await minting.mint_snapshot(session, snapshot_id, caller=caller, house=engines.house)
    return dois.made(request, view, new=new)


@operation(
    "DELETE",
    "/api/snapshots/{snapshot_id:str}",
    Operation(
        id="withdraw_snapshot",
        summary="Withdraw a snapshot and say why",
        description=(
            "For whoever took it, and for curators. Reading it then answers 410 with the reason; its DOI is hidden at "
            "the registry, and the page of the DOI says what became of it."
        ),
        tag="dois",
        token=True,
        query=Reason,
        answers={204: Answer("Withdrawn.")},
        problems=(403, 404, 410),
    ),
)
async def withdraw_snapshot(request: AnyRequest) -> Response[bytes]:
    """Withdraw one snapshot."""
    snapshot_id = requests.object_id(request, "snapshot_id")
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, Reason)
    async with requests.engines(request).database.transaction() as session:
        await freezing.withdraw(session, snapshot_id, asked.reason, caller=caller)
    return Response(b"", status_code=204)


@operation(
    "GET",
    "/api/snapshots/{snapshot_id:str}/history",
    Operation(
        id="read_snapshot_history",
        summary="See who took, cited and withdrew a snapshot, newest first",
        description="For whoever took it, and for curators. A withdrawn snapshot keeps its history.",
        tag="dois",
        token=True,
        query=SnapshotHistoryQuery,
        answers={200: Answer("A page of changes.", HistoryPage, headers={"Link": "The next page."})},
        problems=(403, 404),
    ),
)
async def read_snapshot_history(request: AnyRequest) -> Response[bytes]:
    """Read a page of the history of one snapshot."""
    snapshot_id = requests.object_id(request, "snapshot_id")
    asked = requests.query(request, SnapshotHistoryQuery)
    caller = await requests.caller(request)
    page = requests.paging(request, asked, int, "history", caller.id, str(snapshot_id))
    async with requests.engines(request).database.transaction() as session:
        found = await freezing.changes_of(session, snapshot_id, caller=caller, before=page.after, limit=page.one_more)
    return history.shown(request, page, found)


ROUTES: list[HTTPRouteHandler] = [
    take_snapshot,
    read_snapshot,
    mint_snapshot_doi,
    withdraw_snapshot,
    read_snapshot_history,
]

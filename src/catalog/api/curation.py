"""`/api/curation`: what needs attention, and changes of many objects at once that can be looked at first and undone."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog.access.audience import LOOKS_AFTER_ALL
from catalog.access.principals import Caller
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.curation import editing, queues
from catalog.curation.editing import EDIT_OBJECTS_MAX, EditView, Planned, Selection
from catalog.errors import Fault, Invalid
from catalog.objects import discovered, kinds
from catalog.objects.metadata import PROJECT_PATTERN
from catalog.search import unfound
from catalog.storage.keys import Stage

LIMIT_DEFAULT = 50
LIMIT_MAX = 200

_Project = Annotated[str, StringConstraints(pattern=PROJECT_PATTERN)]


class PageQuery(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=2_000)


class UnfoundQuery(BaseModel):
    """How many."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many at most.")


class QueueQuery(PageQuery):
    """Which part of a queue."""

    project: _Project | None = Field(default=None, description="Only objects of this project, written org/project.")


class Selecting(BaseModel):
    """Which objects: these, or all that you may change and that fit; curators may change all."""

    model_config = ConfigDict(extra="forbid", strict=True)

    objects: Annotated[list[Annotated[UUID, Field(strict=False)]], Field(max_length=EDIT_OBJECTS_MAX)] = []
    project: _Project | None = None
    kind: str | None = None
    queue: str | None = Field(default=None, description="Only those that wait in this queue.")
    limit: Annotated[int, Field(ge=1, le=EDIT_OBJECTS_MAX)] | None = Field(
        default=None, description="Only the first so many of what fits, oldest first."
    )
    after: Annotated[UUID, Field(strict=False)] | None = Field(
        default=None, description="Only what comes after this id: `next_after` of the plan before."
    )


class Looking(BaseModel):
    """A change to look at: a merge patch (RFC 7396), as PATCH takes for one object.

    An empty one changes what reading the record anew changes: texts that have become terms since.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    select: Selecting
    patch: dict[str, Any]


class Making(Looking):
    """A change that was looked at."""

    preview: Annotated[
        str,
        StringConstraints(pattern=r"^[0-9a-f]{64}$"),
        Field(description="`digest` of the preview: it stands for these objects at these revisions."),
    ]


class ShownQueue(msgspec.Struct, frozen=True):
    """A queue, and how many objects wait in it that you may change; for curators files and searches too."""

    name: str
    title: str
    waiting: int
    href: str


class QueueList(msgspec.Struct, frozen=True):
    """All queues."""

    items: list[ShownQueue]


class ShownWaiting(msgspec.Struct, frozen=True):
    """An object that needs attention; `failed` names the checks of its quality that do not hold."""

    id: UUID
    kind: str
    project: str
    title: str
    owner: str
    revision: int
    updated_at: datetime
    score: int
    failed: list[str]
    href: str


class WaitingPage(msgspec.Struct, frozen=True):
    """Some objects of a queue, newest first, and where the next ones begin."""

    items: list[ShownWaiting]
    cursor: str | None


StageName = Literal["source", "uploaded", "harmonized"]


class ShownDiscovered(msgspec.Struct, frozen=True):
    """Bytes in a bucket that no object claims; `project` and `stage` are what the key's layout tells, if anything."""

    id: UUID
    bucket: str
    key: str
    project: str | None
    stage: StageName | None
    size: int
    etag: str
    media_type: str
    modified_at: datetime
    found_at: datetime


class StageFacet(msgspec.Struct, frozen=True):
    """How much lies in a stage; null for what lies in none."""

    stage: StageName | None
    files: int
    size: int


class DiscoveredPage(msgspec.Struct, frozen=True):
    """Some of these files, newest first, where the next ones begin, and how much there is of each stage in all."""

    items: list[ShownDiscovered]
    stages: list[StageFacet]
    cursor: str | None


class DiscoveredQuery(QueueQuery):
    """Which of these files."""

    stage: StageName | None = Field(default=None, description="Only those in this stage.")


class ShownUnfound(msgspec.Struct, frozen=True):
    """A text that found nothing, without case and accents, and how often it was asked."""

    text: str
    times: int
    first_at: datetime
    last_at: datetime


class UnfoundList(msgspec.Struct, frozen=True):
    """Texts that found nothing."""

    items: list[ShownUnfound]


class ShownPlanned(msgspec.Struct, frozen=True):
    """What becomes of one object: its fields that change, each with its value before and after, or why it cannot."""

    id: UUID
    title: str
    revision: int
    changes: dict[str, Any]
    faults: list[shapes.ShownWarning]


class ShownPlan(msgspec.Struct, frozen=True):
    """What an edit would do; nothing has changed yet.

    `fitting` objects fit the selection; where its limit leaves some out, `next_after` is the `after` of the next edit.
    """

    digest: str
    objects: list[ShownPlanned]
    changing: int
    refusing: int
    fitting: int
    next_after: UUID | None


class ShownEdit(msgspec.Struct, frozen=True):
    """An edit that was made, and what it changed; a list shows it without its objects."""

    id: UUID
    by: str
    made_at: datetime
    undone_at: datetime | None
    patch: dict[str, Any]
    objects: list[ShownPlanned]
    href: str


class EditPage(msgspec.Struct, frozen=True):
    """Some edits, newest first, and where the next ones begin."""

    items: list[ShownEdit]
    cursor: str | None


class LeftAlone(msgspec.Struct, frozen=True):
    """An object that stays as it is, and why."""

    id: UUID
    reason: str


class Undone(msgspec.Struct, frozen=True):
    """The objects that are as they were before the edit, and those that somebody changed since."""

    undone: list[UUID]
    left: list[LeftAlone]


@operation(
    "GET",
    "/api/curation",
    Operation(
        id="list_curation_queues",
        summary="See what needs attention",
        description="Counts your own objects; for curators, all. The last assessment of each is what counts.",
        tag="curation",
        token=True,
        answers={200: Answer("The queues.", QueueList)},
        problems=(403,),
    ),
)
async def list_curation_queues(request: AnyRequest) -> Response[bytes]:
    """List the queues."""
    return shapes.json_response(
        await counted(request, await requests.caller(request)), headers={"Cache-Control": "no-store"}
    )


async def counted(request: AnyRequest, caller: Caller) -> QueueList:
    """Return how much waits for this caller; as all below here, the pages ask here too. Raises Forbidden."""
    caller.must_register()
    async with requests.engines(request).database.transaction() as session:
        waiting = await queues.counts(session, caller)
        everything = caller.role in LOOKS_AFTER_ALL
        foreign = await discovered.count(session) if everything else 0
        unanswered = await unfound.count(session) if everything else 0
    items = [
        ShownQueue(queue.name, queue.title, waiting[queue.name], f"/api/curation/queues/{queue.name}")
        for queue in queues.QUEUES.values()
    ]
    if everything:
        title = "Somebody put them into the bucket, and no object claims them"
        items.append(ShownQueue("discovered-files", title, foreign, "/api/curation/discovered"))
        items.append(ShownQueue("unfound-searches", "Searches that found nothing", unanswered, "/api/curation/unfound"))
    return QueueList(items)


@operation(
    "GET",
    "/api/curation/queues/{queue:str}",
    Operation(
        id="read_curation_queue",
        summary="List the objects that wait in a queue, newest first",
        tag="curation",
        token=True,
        query=QueueQuery,
        answers={200: Answer("A page of objects.", WaitingPage, headers={"Link": "The next page."})},
        problems=(403, 404),
    ),
)
async def read_curation_queue(request: AnyRequest) -> Response[bytes]:
    """List a page of one queue."""
    caller = await requests.caller(request)
    # Who may not ask is told so first, whatever else is wrong with the question.
    caller.must_register()
    asked = requests.query(request, QueueQuery)
    told = await waiting(request, caller, str(request.path_params["queue"]), asked)
    return shapes.json_response(told, headers={**requests.next_link(request, told.cursor), "Cache-Control": "no-store"})


async def waiting(request: AnyRequest, caller: Caller, name: str, asked: QueueQuery) -> WaitingPage:
    """Return a page of what waits in a queue for this caller; raises Forbidden, NotFound."""
    caller.must_register()
    queue = queues.named(name)
    bound_to = ("curation", queue.name, caller.id, asked.project)
    page = requests.paging(request, asked, UUID, *bound_to)
    async with requests.engines(request).database.transaction() as session:
        found = await queues.page(
            session,
            queue,
            caller=caller,
            project=asked.project,
            after=page.after,
            limit=page.one_more,
        )
    items, cursor = page.cut(found, lambda one: one.id)
    shown = [
        ShownWaiting(
            id=one.id,
            kind=one.kind,
            project=one.project,
            title=one.title,
            owner=one.owner,
            revision=one.revision,
            updated_at=one.updated_at,
            score=one.score,
            failed=one.failed,
            href=f"/api/objects/{one.id}/quality",
        )
        for one in items
    ]
    return WaitingPage(shown, cursor)


_EXAMPLE: dict[str, Any] = {
    "select": {"project": "demo/weather", "queue": "without-licence"},
    "patch": {"licence": "CC-BY-4.0"},
}


@operation(
    "GET",
    "/api/curation/discovered",
    Operation(
        id="list_discovered_files",
        summary="List files that others put into the bucket and that no object claims, newest first",
        description="For curators. What is taken out of the bucket leaves this list.",
        tag="curation",
        token=True,
        query=DiscoveredQuery,
        answers={200: Answer("A page of files.", DiscoveredPage, headers={"Link": "The next page."})},
        problems=(403,),
    ),
)
async def list_discovered_files(request: AnyRequest) -> Response[bytes]:
    """List a page of files that no object claims."""
    caller = await requests.caller(request)
    caller.must_look_after_all()
    told = await unclaimed(request, caller, requests.query(request, DiscoveredQuery))
    return shapes.json_response(told, headers={**requests.next_link(request, told.cursor), "Cache-Control": "no-store"})


async def unclaimed(request: AnyRequest, caller: Caller, asked: DiscoveredQuery) -> DiscoveredPage:
    """Return a page of files that no object claims; raises Forbidden."""
    caller.must_look_after_all()
    bound_to = ("discovered", caller.id, asked.project, asked.stage)
    page = requests.paging(request, asked, UUID, *bound_to)
    async with requests.engines(request).database.transaction() as session:
        stage = None if asked.stage is None else Stage(asked.stage)
        found = await discovered.page(
            session, project=asked.project, stage=stage, after=page.after, limit=page.one_more
        )
        counted = await discovered.stages(session, project=asked.project)
    items, cursor = page.cut(found, lambda one: one.id)
    shown = [
        ShownDiscovered(
            id=one.id,
            bucket=one.bucket,
            key=one.key,
            project=one.project,
            stage=one.stage,  # type: ignore[arg-type]  # The column holds exactly these words.
            size=one.size,
            etag=one.etag,
            media_type=one.media_type,
            modified_at=one.modified_at,
            found_at=one.found_at,
        )
        for one in items
    ]
    facets = [StageFacet(None if one.stage is None else one.stage.value, one.files, one.size) for one in counted]
    return DiscoveredPage(shown, facets, cursor)


@operation(
    "GET",
    "/api/curation/unfound",
    Operation(
        id="list_unfound_searches",
        summary="List texts that found nothing, those asked most often first",
        description="For curators: words to add as terms, synonyms or objects. Kept without who asked, for 90 days.",
        tag="curation",
        token=True,
        query=UnfoundQuery,
        answers={200: Answer("The texts.", UnfoundList)},
        problems=(403,),
    ),
)
async def list_unfound_searches(request: AnyRequest) -> Response[bytes]:
    """List searches that found nothing."""
    caller = await requests.caller(request)
    caller.must_look_after_all()
    told = await missed(request, caller, requests.query(request, UnfoundQuery))
    return shapes.json_response(told, headers={"Cache-Control": "no-store"})


async def missed(request: AnyRequest, caller: Caller, asked: UnfoundQuery) -> UnfoundList:
    """Return texts that found nothing; raises Forbidden."""
    caller.must_look_after_all()
    async with requests.engines(request).database.transaction() as session:
        found = await unfound.commonest(session, limit=asked.limit)
    return UnfoundList([ShownUnfound(one.text, one.times, one.first_at, one.last_at) for one in found])


@operation(
    "POST",
    "/api/curation/edits/preview",
    Operation(
        id="preview_edit",
        summary="See what a change would do to many objects",
        description=(
            f"Changes nothing. An edit has at most {EDIT_OBJECTS_MAX} objects: of more, `limit` takes the first ones, "
            "and `after` goes on behind them."
        ),
        tag="curation",
        token=True,
        body=Body(Looking, example=_EXAMPLE),
        answers={200: Answer("What would change.", ShownPlan)},
        problems=(403, 404, 413, 415),
    ),
)
async def preview_edit(request: AnyRequest) -> Response[bytes]:
    """Look at an edit."""
    caller = await requests.caller(request)
    caller.must_register()
    told = await planned(request, caller, await requests.sent(request, Looking))
    return shapes.json_response(told, headers={"Cache-Control": "no-store"})


async def planned(request: AnyRequest, caller: Caller, wanted: Looking) -> ShownPlan:
    """Return what an edit would do; raises as the operation tells."""
    caller.must_register()
    selection = _selection(wanted.select)
    async with requests.engines(request).database.transaction() as session:
        plan = await editing.plan(session, selection, msgspec.json.encode(wanted.patch), caller=caller)
    objects = [_planned(one) for one in plan.objects]
    return ShownPlan(
        digest=plan.digest,
        objects=objects,
        changing=sum(bool(one.changes) for one in objects),
        refusing=sum(bool(one.faults) for one in objects),
        fitting=plan.fitting,
        next_after=plan.next_after,
    )


@operation(
    "POST",
    "/api/curation/edits",
    Operation(
        id="make_edit",
        summary="Change many objects as they were looked at",
        description="All or none: when one refuses, or is not as it was in the preview, nothing changes.",
        tag="curation",
        token=True,
        body=Body(Making, example=_EXAMPLE | {"preview": "ab" * 32}),
        answers={201: Answer("Changed.", ShownEdit, headers={"Location": "The edit's address."})},
        problems=(403, 404, 409, 412, 413, 415, 422),
    ),
)
async def make_edit(request: AnyRequest) -> Response[bytes]:
    """Make an edit."""
    caller = await requests.caller(request)
    caller.must_register()
    told = await made(request, caller, await requests.sent(request, Making))
    return shapes.json_response(told, status=201, headers={"Location": told.href})


async def made(request: AnyRequest, caller: Caller, wanted: Making) -> ShownEdit:
    """Make an edit as it was looked at; raises as the operation tells."""
    caller.must_register()
    selection = _selection(wanted.select)
    async with requests.engines(request).database.transaction() as session:
        view = await editing.apply(session, selection, msgspec.json.encode(wanted.patch), wanted.preview, caller=caller)
    return _shown(view)


@operation(
    "GET",
    "/api/curation/edits",
    Operation(
        id="list_edits",
        summary="List edits of many objects, newest first",
        description="Your own; for curators, everybody's.",
        tag="curation",
        token=True,
        query=PageQuery,
        answers={200: Answer("A page of edits.", EditPage, headers={"Link": "The next page."})},
        problems=(403,),
    ),
)
async def list_edits(request: AnyRequest) -> Response[bytes]:
    """List a page of edits."""
    caller = await requests.caller(request)
    caller.must_register()
    told = await edits(request, caller, requests.query(request, PageQuery))
    return shapes.json_response(told, headers={**requests.next_link(request, told.cursor), "Cache-Control": "no-store"})


async def edits(request: AnyRequest, caller: Caller, asked: PageQuery) -> EditPage:
    """Return a page of the edits that this caller may see; raises Forbidden."""
    caller.must_register()
    bound_to = ("edits", caller.id)
    page = requests.paging(request, asked, UUID, *bound_to)
    async with requests.engines(request).database.transaction() as session:
        found = await editing.page(session, caller=caller, after=page.after, limit=page.one_more)
    items, cursor = page.cut(found, lambda one: one.id)
    return EditPage([_shown(one) for one in items], cursor)


@operation(
    "GET",
    "/api/curation/edits/{edit_id:str}",
    Operation(
        id="read_edit",
        summary="See what an edit changed",
        tag="curation",
        token=True,
        answers={200: Answer("The edit.", ShownEdit)},
        problems=(403, 404),
    ),
)
async def read_edit(request: AnyRequest) -> Response[bytes]:
    """Read one edit."""
    edit_id = requests.object_id(request, "edit_id")
    told = await edit(request, await requests.caller(request), edit_id)
    return shapes.json_response(told, headers={"Cache-Control": "no-store"})


async def edit(request: AnyRequest, caller: Caller, edit_id: UUID) -> ShownEdit:
    """Return an edit; raises Unauthenticated, Forbidden, NotFound."""
    async with requests.engines(request).database.transaction() as session:
        return _shown(await editing.find(session, edit_id, caller=caller))


@operation(
    "POST",
    "/api/curation/edits/{edit_id:str}/undo",
    Operation(
        id="undo_edit",
        summary="Take an edit back",
        description="What somebody changed since in a field that the edit changed stays, and is told.",
        tag="curation",
        token=True,
        answers={200: Answer("What is as before, and what is not.", Undone)},
        problems=(403, 404, 409),
    ),
)
async def undo_edit(request: AnyRequest) -> Response[bytes]:
    """Take one edit back."""
    edit_id = requests.object_id(request, "edit_id")
    return shapes.json_response(await undone(request, await requests.caller(request), edit_id))


async def undone(request: AnyRequest, caller: Caller, edit_id: UUID) -> Undone:
    """Take an edit back; raises as the operation tells."""
    async with requests.engines(request).database.transaction() as session:
        back, left = await editing.undo(session, edit_id, caller=caller)
    return Undone(back, [LeftAlone(*one) for one in left])


def _selection(wanted: Selecting) -> Selection:
    faults = []
    narrowed = [name for name in ("project", "kind", "queue") if getattr(wanted, name) is not None]
    cut = [name for name in ("limit", "after") if getattr(wanted, name) is not None]
    if not wanted.objects and not narrowed:
        faults.append(Fault("/select", "say which objects: objects, or any of project, kind and queue"))
    if wanted.objects and (narrowed or cut):
        faults.append(Fault(f"/select/{[*narrowed, *cut][0]}", "give objects, or what they must be, not both"))
    if wanted.kind is not None and wanted.kind not in kinds.known():
        faults.append(kinds.unknown("/select/kind", wanted.kind))
    if wanted.queue is not None and wanted.queue not in queues.QUEUES:
        message = f"there is no queue {wanted.queue[:80]!r}; the queues are {', '.join(queues.QUEUES)}"
        faults.append(Fault("/select/queue", message))
    if faults:
        raise Invalid("The selection has faults.", faults=faults)
    return Selection(tuple(wanted.objects), wanted.project, wanted.kind, wanted.queue, wanted.limit, wanted.after)


def _planned(one: Planned) -> ShownPlanned:
    return ShownPlanned(one.id, one.title, one.revision, one.changes, shapes.shown_faults(one.faults))


def _shown(edit: EditView) -> ShownEdit:
    return ShownEdit(
        id=edit.id,
        by=edit.by,
        made_at=edit.made_at,
        undone_at=edit.undone_at,
        patch=edit.patch,
        objects=[_planned(one) for one in edit.objects],
        href=f"/api/curation/edits/{edit.id}",
    )


ROUTES: list[HTTPRouteHandler] = [
    list_curation_queues,
    read_curation_queue,
    list_discovered_files,
    list_unfound_searches,
    preview_edit,
    make_edit,
    list_edits,
    read_edit,
    undo_edit,
]

"""`/api/relocations`: moving the files of a project or an organization from one backend to another."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import organization_of
from catalog.access.callers import Caller
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.database import consistently
from catalog.engines import Engines
from catalog.errors import CatalogError, Fault, Unprocessable
from catalog.objects import located, relocations
from catalog.objects.located import Contents, Located, Target
from catalog.objects.metadata import PROJECT_PATTERN
from catalog.objects.relocated import MoveState, Relocation, RelocationState
from catalog.storage import backends, choices
from catalog.storage.backends import Backend, Use
from catalog.storage.keys import OWN
from catalog.storage.s3 import Store

# A plan asks the source for so many files: enough to tell a store that lost many, few enough to be answered at once.
LOOKED_AT_MAX = 50
LOOKS_AT_ONCE = 8

_NAME = PROJECT_PATTERN.removeprefix("^").partition("/")[0]
ScopeName = Annotated[
    str, StringConstraints(pattern=rf"^{_NAME}(/{_NAME})?$"), Field(description="An organization, or org/project.")
]
Named = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class RelocationWanted(BaseModel):
    """Whose files shall move, from where to where."""

    model_config = ConfigDict(extra="forbid", strict=True)

    scope: ScopeName = Field(examples=["lab/soil"])
    source: Named = Field(description="Where they lie: a backend's id, or `default`.")
    target: Named = Field(description="Where they shall lie: a backend for documents.")
    start: bool = Field(default=False, description="Whether to begin; else it is only said what would be done.")


class RelocationsQuery(BaseModel):
    """Whose relocations."""

    model_config = ConfigDict(extra="forbid")

    scope: ScopeName


class NamedBackend(msgspec.Struct, frozen=True):
    """A backend; `name` is null for one that was removed since."""

    id: str
    name: str | None


class FileAmount(msgspec.Struct, frozen=True):
    """So many files with so many bytes."""

    files: int
    bytes: int


class UnreadableFile(msgspec.Struct, frozen=True):
    """A file that nobody can read where it should lie; of an object that you may not see, only why."""

    object: UUID | None
    path: str | None
    reason: str


class RelocationPlan(msgspec.Struct, frozen=True):
    """What a relocation would do; `looked_at` files were asked for in the source, from all over it."""

    scope: str
    source: NamedBackend
    target: NamedBackend
    moved: FileAmount
    unreadable: FileAmount
    looked_at: int
    unreadable_files: list[UnreadableFile]
    warnings: list[str]


class RelocationAmounts(msgspec.Struct, frozen=True):
    """How many files stand where on their way."""

    waiting: FileAmount
    copied: FileAmount
    verified: FileAmount
    switched: FileAmount
    removed: FileAmount
    kept: FileAmount
    mismatched: FileAmount
    failed: FileAmount
    dropped: FileAmount
    cancelled: FileAmount


class RelocationTrouble(msgspec.Struct, frozen=True):
    """A file that does not move, or not yet, or whose old bytes stay; of an object that you may not see, only why."""

    object: UUID | None
    path: str | None
    state: str
    reason: str
    expected_sha256: str | None
    found_sha256: str | None
    attempts: int
    retry_at: datetime | None


class ShownRelocation(msgspec.Struct, frozen=True):
    """A relocation, and how far it is.

    `total` are the files that it began with; `moved` those that lie at the target now. What files left at the source
    is removed from `removal_from` on. `troubles` are the first hundred.
    """

    id: UUID
    scope: str
    source: NamedBackend
    target: NamedBackend
    state: Literal["running", "paused", "cancelled", "finished"]
    created_at: datetime
    changed_at: datetime
    total: FileAmount
    moved: FileAmount
    amounts: RelocationAmounts
    bytes_per_second: int
    removal_from: datetime | None
    troubles: list[RelocationTrouble]


class RelocationList(msgspec.Struct, frozen=True):
    """Relocations, newest first, at most a hundred."""

    items: list[ShownRelocation]


async def _backend(session: AsyncSession, scope: str, name: str) -> Backend | None:
    """Return a backend of the scope's organization, None for the catalog's own; raises NotFound."""
    return None if name == OWN else await backends.named(session, organization_of(scope), name)


def _name_of(backend: Backend | None) -> str:
    return OWN if backend is None else str(backend.id)


async def _shown(session: AsyncSession, request: AnyRequest, one: Relocation, caller: Caller) -> ShownRelocation:
    found = await relocations.progress(session, one, audience=caller.audience)
    amounts = {state: FileAmount(amount.files, amount.size) for state, amount in found.amounts.items()}
    every = {state.value: amounts.get(state, FileAmount(0, 0)) for state in MoveState}
    grace = requests.engines(request).relocating.grace
    return ShownRelocation(
        id=one.id,
        scope=one.scope,
        source=await _named_now(session, one.source),
        target=await _named_now(session, one.target),
        state=RelocationState(one.state).value,
        created_at=one.created_at,
        changed_at=one.changed_at,
        total=_sum(*every.values()),
        moved=_sum(*(every[state] for state in (MoveState.SWITCHED, MoveState.REMOVED, MoveState.KEPT))),
        amounts=RelocationAmounts(**every),
        bytes_per_second=found.bytes_per_second,
        removal_from=None if found.first_switched_at is None else found.first_switched_at + grace,
        troubles=[
            RelocationTrouble(
                trouble.object_id if trouble.visible else None,
                trouble.path if trouble.visible else None,
                trouble.state,
                trouble.reason,
                trouble.sha256 if trouble.visible else None,
                trouble.found_sha256 if trouble.visible else None,
                trouble.attempts,
                trouble.retry_at,
            )
            for trouble in found.troubles
        ],
    )


def _sum(*amounts: FileAmount) -> FileAmount:
    return FileAmount(sum(one.files for one in amounts), sum(one.bytes for one in amounts))


async def _named_now(session: AsyncSession, name: str) -> NamedBackend:
    if name == OWN:
        return NamedBackend(OWN, OWN)
    found = await backends.find_anywhere(session, UUID(name))
    return NamedBackend(name, None if found is None else found.name)


async def _answered(
    session: AsyncSession, request: AnyRequest, relocation: Relocation, caller: Caller, *, status: int = 200
) -> Response[bytes]:
    return shapes.json_response(await _shown(session, request, relocation, caller), status=status)


@operation(
    "POST",
    "/api/relocations",
    Operation(
        id="plan_relocation",
        summary="Plan moving files from one backend to another, or begin",
        description=(
            "For admins of the project or organization. Without `start` nothing is done: the answer says how many "
            "files would move, which nobody can read, and what to mind. With it, every file is copied, read back, "
            "switched to its new place, and removed from the old one once no link to it works any more."
        ),
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(RelocationWanted),
        answers={
            200: Answer("What would be done.", RelocationPlan),
            201: Answer("Begun.", ShownRelocation, headers={"Location": "Its address."}),
        },
        problems=(403, 404, 409, 413, 415, 422),
    ),
)
async def plan_relocation(request: AnyRequest) -> Response[bytes]:
    """Plan a relocation, or begin it."""
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, RelocationWanted)
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        await relocations.must_administer(session, wanted.scope, caller=caller)
        source = await _backend(session, wanted.scope, wanted.source)
        target = await _backend(session, wanted.scope, wanted.target)
        place = _target(engines, source, target)
        if wanted.start:
            relocation_id = await relocations.start(session, wanted.scope, _name_of(source), place, caller=caller)
            begun = await relocations.find(session, relocation_id, caller=caller)
            answer = await _answered(session, request, begun, caller, status=201)
            answer.headers["Location"] = f"/api/relocations/{relocation_id}"
            return answer
        audience = caller.audience
        contents = await located.contents(session, wanted.scope, _name_of(source), place, audience=audience)
        asked = await located.some(session, wanted.scope, _name_of(source), audience=audience, most=LOOKED_AT_MAX)
        used = await choices.used_by(session, wanted.scope)
    looked = await _look(engines, _name_of(source), asked)
    warnings = _warnings(contents, source, target, goes_to=used.document.name, scope=wanted.scope)
    lost = [_unreadable(one, "its bytes are missing") for one in contents.first_unreadable]
    plan = RelocationPlan(
        scope=wanted.scope,
        source=NamedBackend(_name_of(source), OWN if source is None else source.name),
        target=NamedBackend(_name_of(target), OWN if target is None else target.name),
        moved=FileAmount(contents.readable.files, contents.readable.size),
        unreadable=FileAmount(contents.unreadable.files, contents.unreadable.size),
        looked_at=len(asked),
        unreadable_files=[*lost, *(one for one in looked if one is not None)],
        warnings=[*warnings, *await _answers(engines, _name_of(target))],
    )
    return shapes.json_response(plan)


def _target(engines: Engines, source: Backend | None, target: Backend | None) -> Target:
    if _name_of(source) == _name_of(target):
        raise Unprocessable("Nothing would move.", faults=[Fault("/target", "name another backend than the source")])
    if target is None:
        return Target(OWN, engines.placement.bucket, engines.placement.prefix)
    if Use.DOCUMENT not in target.uses:
        message = f"the backend {target.name!r} is for data: the catalog writes nothing there"
        raise Unprocessable("The target takes no files.", faults=[Fault("/target", message)])
    return Target(str(target.id), target.place.bucket, target.place.uploads_prefix)


def _warnings(
    contents: Contents, source: Backend | None, target: Backend | None, *, goes_to: str, scope: str
) -> list[str]:
    found = []
    if contents.unreadable.files:
        found.append(f"{contents.unreadable.files:,} files cannot be read where they should lie: they stay as they are")
    if contents.too_long:
        found.append(f"the paths of {contents.too_long:,} files are too long for keys at the target: they stay")
    if contents.readable.files:
        found.append(
            f"the target needs room for {contents.readable.size:,} bytes; a store does not tell how much it has, and "
            "the source keeps its copies for a while"
        )
    if source is not None and Use.DOCUMENT not in source.uses:
        found.append("the source is for data: the catalog removes nothing there, and its copies stay")
    if source is not None and target is not None and backends.overlapping([source], target.place):
        found.append("source and target overlap: what is in one is in both")
    if goes_to == _name_of(source):
        found.append(f"new files of {scope} still go to the source; `catalog storages set` chooses otherwise")
    return found


async def _look(engines: Engines, source: str, asked: list[Located]) -> list[UnreadableFile | None]:
    """Ask the source for some files, and return those that it does not give."""
    if not asked:
        return []
    try:
        store = await engines.store_of(source)
    except CatalogError as fault:
        return [_unreadable(one, fault.detail) for one in asked]
    gate = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def look(one: Located) -> UnreadableFile | None:
        async with gate:
            reason = await _why_unreadable(store, one)
            return None if reason is None else _unreadable(one, reason)

    return list(await asyncio.gather(*map(look, asked)))


def _unreadable(one: Located, reason: str) -> UnreadableFile:
    return UnreadableFile(one.object_id if one.visible else None, one.path if one.visible else None, reason)


async def _why_unreadable(store: Store, one: Located) -> str | None:
    try:
        found = await store.stat(one.key, version_id=one.store_version)
    except CatalogError as fault:
        return fault.detail
    if found is None:
        return "nothing lies there"
    return None if found.size == one.size else f"{found.size:,} bytes lie there, not {one.size:,}"


async def _answers(engines: Engines, target: str) -> list[str]:
    """Return a warning where the target cannot be reached."""
    try:
        await (await engines.store_of(target)).ping()
    except CatalogError as fault:
        return [f"the target does not answer now: {fault.detail}"]
    return []


@operation(
    "GET",
    "/api/relocations",
    Operation(
        id="list_relocations",
        summary="List the relocations of a project or an organization",
        description="For its admins; those of an organization with those of its projects, newest first.",
        tag="access",
        token=True,
        query=RelocationsQuery,
        answers={200: Answer("The relocations.", RelocationList)},
        problems=(403, 404),
    ),
)
async def list_relocations(request: AnyRequest) -> Response[bytes]:
    """List relocations."""
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, RelocationsQuery)
    async with requests.engines(request).database.transaction() as session:
        await consistently(session)
        await relocations.must_administer(session, asked.scope, caller=caller)
        found = await relocations.of(session, asked.scope)
        items = [await _shown(session, request, one, caller) for one in found]
    return shapes.json_response(RelocationList(items))


@operation(
    "GET",
    "/api/relocations/{relocation_id:str}",
    Operation(
        id="read_relocation",
        summary="See how far a relocation is, and which files are in trouble",
        tag="access",
        token=True,
        answers={200: Answer("The relocation.", ShownRelocation)},
        problems=(403, 404),
    ),
)
async def read_relocation(request: AnyRequest) -> Response[bytes]:
    """Read one relocation."""
    caller = await requests.caller(request)
    caller.must_be_known()
    async with requests.engines(request).database.transaction() as session:
        # Files move meanwhile: the counts, the moments and the state are told as of one.
        await consistently(session)
        found = await relocations.find(session, requests.object_id(request, "relocation_id"), caller=caller)
        return await _answered(session, request, found, caller)


def _promise(verb: str, summary: str, description: str) -> Operation:
    return Operation(
        id=f"{verb}_relocation",
        summary=summary,
        description=f"For admins of its project or organization. {description}",
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        answers={200: Answer("The relocation as it is now.", ShownRelocation)},
        problems=(403, 404, 409),
    )


async def _move_to(request: AnyRequest, state: RelocationState, action: str) -> Response[bytes]:
    caller = await requests.caller(request)
    caller.must_be_known()
    relocation_id = requests.object_id(request, "relocation_id")
    async with requests.engines(request).database.transaction() as session:
        found = await relocations.find(session, relocation_id, caller=caller)
        await relocations.move_to(session, found, state, action=action, caller=caller)
        found = await relocations.find(session, relocation_id, caller=caller)
        return await _answered(session, request, found, caller)


def _moving(verb: str, state: RelocationState, promise: Operation) -> HTTPRouteHandler:
    async def move(request: AnyRequest) -> Response[bytes]:
        return await _move_to(request, state, verb)

    handler: Callable[[AnyRequest], Awaitable[Any]] = move
    handler.__doc__ = promise.summary
    return operation("POST", f"/api/relocations/{{relocation_id:str}}/{verb}", promise)(handler)


pause_relocation = _moving(
    "pause",
    RelocationState.PAUSED,
    _promise("pause", "Pause a relocation", "It stops within seconds, and nothing is removed meanwhile."),
)
resume_relocation = _moving(
    "resume",
    RelocationState.RUNNING,
    _promise(
        "resume", "Go on with a relocation", "One that is finished tries the files anew that it had to leave behind."
    ),
)
cancel_relocation = _moving(
    "cancel",
    RelocationState.CANCELLED,
    _promise(
        "cancel",
        "End a relocation",
        "Files that moved stay where they are now, and their old bytes are not removed; the others stay where they "
        "were, and copies of them are removed.",
    ),
)


ROUTES: list[HTTPRouteHandler] = [
    plan_relocation,
    list_relocations,
    read_relocation,
    pause_relocation,
    resume_relocation,
    cancel_relocation,
]

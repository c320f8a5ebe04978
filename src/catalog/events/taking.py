"""What an event asks for, done once however often it comes. Runs in the caller's transaction."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.access.callers import Caller
from catalog.errors import Conflict, Fault, Forbidden, Unprocessable
from catalog.events.shapes import Event, Taken, WorkflowRequest
from catalog.jobs import reading, running
from catalog.objects import discovered, remembering, uploads
from catalog.objects.remembering import Remember
from catalog.objects.uploads import Placement
from catalog.storage import backends, choices
from catalog.storage.keys import KEY_BYTES_MAX, OWN


@dataclass(frozen=True, slots=True)
class Receipt:
    """That an event was taken. Sent again, it has the same one."""

    source: str
    id: str
    receipt: UUID


class OtherEvent(Conflict):
    """Another event came with this source and id."""


async def take(
    session: AsyncSession, events: Sequence[Taken], *, caller: Caller, placement: Placement, batch: bool
) -> list[Receipt]:
    """Do what these events ask for, all of them or none.

    Raises Forbidden where files are announced beside what the caller may register, OtherEvent, and what beginning a
    job raises; NameTaken when somebody began the same meanwhile: then try again.
    """
    told = []
    for place, event in enumerate(events):
        told.append(await _take(session, event, f"/{place}" if batch else "", caller=caller, placement=placement))
    return told


async def _take(session: AsyncSession, event: Taken, at: str, *, caller: Caller, placement: Placement) -> Receipt:
    subjects = await _subjects(session, event, at, caller=caller, placement=placement)
    if isinstance(event, WorkflowRequest):
        caller.must_register(event.data.project)
    fresh = uuid7()
    try:
        first = await remembering.first_made(session, caller.must_be_known(), _remember(event), fresh)
    except Unprocessable:
        raise OtherEvent(
            f"Another event came from {event.source!r} with the id {event.id!r}: give each one an id of its own.",
            faults=[Fault(f"{at}/id", "another event of this source has this id")],
        ) from None
    if first == fresh:
        await queue.put(session, uploads.KEY, subjects)
        if isinstance(event, WorkflowRequest):
            await _begin(session, event, caller=caller, placement=placement)
    return Receipt(event.source, event.id, first)


def _remember(event: Event) -> Remember:
    # Neither part may run into the other: both are told with their lengths.
    which = hashlib.sha256(msgspec.json.encode([event.source, event.id])).hexdigest()
    # When it was sent and what it is called for people may differ when it is sent again.
    what = event.model_dump_json(include={"type", "data"})
    return Remember(f"event:{which}", hashlib.sha256(what.encode()).digest())


async def _begin(session: AsyncSession, event: WorkflowRequest, *, caller: Caller, placement: Placement) -> None:
    asked = event.data
    if await reading.changeable(session, asked.key, asked.project, caller=caller) is not None:
        return
    said = {"program": asked.program} if asked.program is not None else {}
    record = running.described(asked.project, asked.key, caller=caller, title=asked.title, metadata=said)
    await running.begin(session, record, caller=caller, placement=placement)


async def _subjects(session: AsyncSession, event: Taken, at: str, *, caller: Caller, placement: Placement) -> list[str]:
    """Return where to look; raises Forbidden, with every key that is not for this caller to announce."""
    named, told = event.data.backend, event.data.keys
    if named == OWN:
        bucket, mine = placement.bucket, [_is_own(key, caller, placement) for key in told]
    else:
        backend = await backends.find_anywhere(session, UUID(named))
        scopes = [] if backend is None else [backend.organization, *await choices.scopes_using(session, backend.id)]
        if backend is None or backend.detached_at is not None or not any(caller.may_register(one) for one in scopes):
            # Whether there is one is for those to know who use it.
            fault = Fault(f"{at}/data/backend", "there is no backend of this id that you may register files of")
            raise Forbidden("You may announce files where you may register them alone.", faults=[fault])
        bucket, mine = backend.place.bucket, [key.startswith(backend.place.within) for key in told]
    faults = [
        Fault(f"{at}/data/keys/{place}", "this key lies in no project where you may register")
        for place, (key, is_mine) in enumerate(zip(told, mine, strict=True))
        if not is_mine or len(key.encode()) > KEY_BYTES_MAX
    ]
    if faults:
        raise Forbidden("You may announce files where you may register them alone.", faults=faults)
    return [uploads.subject_of(named, bucket, key) for key in told]


def _is_own(key: str, caller: Caller, placement: Placement) -> bool:
    project = discovered.project_of(key, prefix=placement.prefix)
    return project is not None and caller.may_register(project)

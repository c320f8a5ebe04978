"""Move files from one backend to another: copy, read back, switch, remove, each noted before the next begins.

A step takes seconds, whatever it finds: a relocation that is paused or cancelled stops soon, and so does a process.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog

from catalog import queue
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import CatalogError, NotFound, Unavailable
from catalog.objects import moving, relocations
from catalog.objects.moving import Arrived, Overtaken
from catalog.objects.relocated import LEFT, MoveState, RelocatedFile, Relocation
from catalog.queue import ATTEMPTS_MAX, DELAY_FIRST, DELAY_LAST, Claim
from catalog.storage import copying, parts
from catalog.storage.copying import Load, OtherBytes
from catalog.storage.keys import WrongPath
from catalog.storage.parts import Cut
from catalog.storage.s3 import Stat, Store, Taken
from catalog.storage.stores import Detached, NoSuchBackend
from indexer import handling

log = structlog.get_logger("indexer.relocating")

# Files that are looked up at a time, and those of them on their way at once: enough to hide a store's latency.
BATCH = 64
FILES_AT_ONCE = 8
# After so long a step begins no other file, and no other part of one.
STEP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Way:
    """From where to where, and until when something may be begun."""

    engines: Engines
    relocation: Relocation
    until: float

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    async def source(self) -> Store:
        return await self.engines.store_of(self.relocation.source)

    async def target(self) -> Store:
        return await self.engines.store_of(self.relocation.target)


@dataclass(frozen=True, slots=True)
class _Haul:
    """One file with both its stores."""

    move: RelocatedFile
    source: Store
    target: Store
    load: Load


async def step(engines: Engines) -> int:
    """Claim a relocation and go on with it for a while; returns how many were claimed."""
    return await handling.next_one(engines, relocations.RELOCATE, _go_on, log=log, doing="Moving files")


async def _go_on(engines: Engines, claim: Claim) -> None:
    grace = engines.relocating.grace
    async with engines.database.transaction() as session:
        relocation = await relocations.named(session, UUID(claim.subject))
        due = [] if relocation is None else await moving.due(session, relocation, grace=grace, most=BATCH)
    if relocation is not None and due:
        way = _Way(engines, relocation, time.monotonic() + STEP_SECONDS)
        gate = asyncio.Semaphore(FILES_AT_ONCE)
        await handling.all_of(_within(gate, way, move) for move in due)
    async with engines.database.transaction() as session:
        # The relocation first, then its entry, as whoever pauses it does: else both may wait for each other.
        await relocations.lock(session, UUID(claim.subject))
        if not await queue.hold(session, [claim]):
            return
        relocation = await relocations.named(session, UUID(claim.subject))
        at = None if relocation is None else await moving.next_at(session, relocation, grace=grace)
        if at is not None:
            await queue.again(session, claim, relocations.RELOCATE, after=max(at - now(), timedelta(0)))
            return
        await queue.finish(session, [claim])
        if relocation is not None:
            await relocations.conclude(session, relocation.id)


async def _within(gate: asyncio.Semaphore, way: _Way, move: RelocatedFile) -> None:
    async with gate:
        if way.over:
            return
        try:
            await _advance(way, move)
        except Overtaken:
            log.info("move overtaken", file=move.id)


async def _advance(way: _Way, move: RelocatedFile) -> None:
    """Take a file as far as it goes now; what goes wrong with it is noted with it alone."""
    standing: RelocatedFile | None = move
    # What was begun in time goes one step further at least: a slow store is no reason to stay where one is.
    while standing is not None and (standing is move or not way.over):
        move = standing
        try:
            standing = await _STEPS[MoveState(move.state)](way, move)
        except (Overtaken, sa.exc.SQLAlchemyError):
            raise
        except CatalogError as fault:
            await _later(way, move, fault)
            return
        except Exception as fault:
            # Nobody foresaw this. It must cost the other files nothing.
            log.exception("moving a file failed", file=move.id)
            await _later(way, move, CatalogError(f"Moving it failed: {type(fault).__name__}: {fault}"))
            return


async def _later(way: _Way, move: RelocatedFile, fault: CatalogError) -> None:
    log.warning("file not moved", file=move.id, state=move.state, reason=fault.detail, attempts=move.attempts + 1)
    hopeless = isinstance(fault, NotFound | WrongPath | Detached | NoSuchBackend)
    after = None
    if not hopeless and move.attempts + 1 < ATTEMPTS_MAX:
        after = min(DELAY_FIRST * (1 << move.attempts), DELAY_LAST)
    async with way.engines.database.transaction() as session:
        was, move = move.state, await moving.afresh(session, move.id or 0)
        if move.state != was:
            raise Overtaken
        if move.state not in LEFT:
            await moving.retry(session, move, fault.detail, after=after)
        elif after is not None:
            values = {"attempts": move.attempts + 1, "retry_at": now() + after}
            await moving.note(session, move, MoveState(move.state), **values)
        else:
            told = f"{move.reason or ''} Its copy at the target could not be removed: {fault.detail}".strip()
            await moving.note(session, move, MoveState(move.state), target_key=None, reason=told)


async def _copy(way: _Way, move: RelocatedFile) -> RelocatedFile | None:
    async with way.engines.database.transaction() as session:
        move = await moving.begin(session, way.relocation, move)
    if move.state != MoveState.WAITING or move.target_key is None:
        return move
    source, target = await way.source(), await way.target()
    load = Load(move.key, move.store_version, move.size, move.sha256, move.media_type, move.target_key)
    # Copied before, by whoever could not note it any more?
    arrived = await target.stat(load.target_key)
    if arrived is None:
        try:
            await copying.must_lie_there(source, load)
            arrived = await _brought(way, _Haul(move, source, target, load))
        except OtherBytes as fault:
            return await _mismatched(way, move, fault.sha256, fault.detail)
        if arrived is None:
            return None
    try:
        async with way.engines.database.transaction() as session:
            return await moving.copied(session, way.relocation, move, Arrived(arrived.version_id, arrived.etag))
    except Overtaken:
        async with way.engines.database.transaction() as session:
            standing = await moving.afresh(session, move.id or 0)
        if standing.state in LEFT:
            # Cancelled while it was copied, and perhaps looked for already: it is for nobody.
            await target.remove(load.target_key, arrived.version_id)
        raise


async def _brought(way: _Way, haul: _Haul) -> Stat | None:
    """Copy a file and return what the target says of it; None where its parts are not all there yet."""
    cut = parts.cut(haul.load.size)
    if cut is not None:
        if not await _brought_in_parts(way, haul, cut):
            return None
    else:
        try:
            await copying.copy(haul.source, haul.target, haul.load, way.engines.relocating.throttle)
        except Taken:
            log.info("copy is there already", file=haul.move.id)
    arrived = await haul.target.stat(haul.load.target_key)
    if arrived is None:
        raise Unavailable("The target does not have what it has just taken.")
    return arrived


async def _brought_in_parts(way: _Way, haul: _Haul, cut: Cut) -> bool:
    """Copy the parts that the target lacks, and join them; whether all were copied in time."""
    target, key, multipart_id = haul.target, haul.load.target_key, haul.move.multipart_id
    held = None if multipart_id is None else await target.parts_of(key, multipart_id)
    if held is None or multipart_id is None:
        multipart_id, held = await target.begin_multipart(key, media_type=haul.load.media_type), []
        async with way.engines.database.transaction() as session:
            await moving.note(session, haul.move, MoveState.WAITING, multipart_id=multipart_id)
    throttle = way.engines.relocating.throttle
    for place, number in enumerate(parts.missing(cut, held)):
        if place and way.over:
            return False
        await copying.copy_part(
            haul.source, target, haul.load, throttle, cut=cut, multipart_id=multipart_id, number=number
        )
    held = await target.parts_of(key, multipart_id)
    if held is None or parts.missing(cut, held):
        raise Unavailable("The target has lost parts that it had taken.")
    await target.complete_multipart(key, multipart_id, held)
    return True


async def _mismatched(way: _Way, move: RelocatedFile, sha256: str | None, reason: str) -> RelocatedFile:
    log.error("file does not match", file=move.id, expected=move.sha256, found=sha256)
    async with way.engines.database.transaction() as session:
        return await moving.note(
            session, move, MoveState.MISMATCHED, found_sha256=sha256, reason=reason, attempts=0, retry_at=None
        )


async def _verify(way: _Way, move: RelocatedFile) -> RelocatedFile:
    target = await way.target()
    try:
        # Read back, whatever the target says that it holds: after this the source's bytes are given up.
        found = await target.sha256_of(move.target_key or "", version_id=move.target_version)
    except NotFound:
        gone = {"target_key": None, "target_version": None, "target_etag": None}
        async with way.engines.database.transaction() as session:
            return await moving.note(session, move, MoveState.WAITING, reason="The copy was gone.", **gone)
    if found != move.sha256:
        return await _mismatched(way, move, found, "The copy at the target has other bytes.")
    async with way.engines.database.transaction() as session:
        return await moving.note(session, move, MoveState.VERIFIED)


async def _switch(way: _Way, move: RelocatedFile) -> RelocatedFile | None:
    async with way.engines.database.transaction() as session:
        switched = await moving.switch(session, way.relocation, move)
    log.info("file moved", file=move.id, object_id=str(move.object_id), relocation=str(way.relocation.id))
    # Its bytes at the source stay until no link to them works any more.
    return None if switched.state == MoveState.SWITCHED else switched


async def _remove(way: _Way, move: RelocatedFile) -> None:
    source = await way.source()
    async with way.engines.database.transaction() as session:
        reason = await moving.why_to_keep(session, way.relocation, move)
    if reason is None and not source.writable:
        reason = "The source is for data: the catalog removes nothing there."
    if reason is None:
        found = await source.stat(move.key, version_id=move.store_version)
        if found is not None and found.size != move.size:
            reason = "Other bytes lie there by now."
        elif found is not None:
            await source.remove(move.key, move.store_version)
    state = MoveState.REMOVED if reason is None else MoveState.KEPT
    async with way.engines.database.transaction() as session:
        await moving.note(session, move, state, reason=reason, retry_at=None)


async def _clear(way: _Way, move: RelocatedFile) -> None:
    """Remove the copy of a file that stays where it is; nothing ever named it."""
    if move.target_key is None:
        return
    target = await way.target()
    if move.multipart_id is not None:
        await target.abort_multipart(move.target_key, move.multipart_id)
    lying = await target.stat(move.target_key)
    if lying is not None:
        await target.remove(move.target_key, lying.version_id)
    async with way.engines.database.transaction() as session:
        cleared = {"target_key": None, "target_version": None, "multipart_id": None, "retry_at": None}
        await moving.note(session, move, MoveState(move.state), **cleared)


_STEPS: Mapping[MoveState, Callable[[_Way, RelocatedFile], Awaitable[RelocatedFile | None]]] = {
    MoveState.WAITING: _copy,
    MoveState.COPIED: _verify,
    MoveState.VERIFIED: _switch,
    MoveState.SWITCHED: _remove,
    **dict.fromkeys(LEFT, _clear),
}

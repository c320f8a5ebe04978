"""Build the index anew, step by step: fill it from the database, hold it against that, let searches have it."""

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec
import structlog

from catalog import queue
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import CatalogError, Unavailable
from catalog.objects import changing
from catalog.queue import Claim
from catalog.search import concrete
from catalog.search.index import Index, NoIndex, Verdict
from catalog.sync import comparing, projecting, rebuilding
from catalog.sync.comparing import Compared, Difference, Sides, Stride
from catalog.sync.pacing import Pace
from catalog.sync.rebuilding import REBUILD
from catalog.sync.tables import Rebuild, State
from indexer import documents, handling

log = structlog.get_logger("indexer.rebuilding")

AGAIN = timedelta(seconds=2)
# Where a process keeps what it has learned of searches, by the rebuild beside which they were.
PACE = "pace of the rebuild"

# Whether there is more to be done.
Step = Callable[[Engines, Claim, Rebuild], Awaitable[bool]]


async def step(engines: Engines) -> int:
    """Take the next step of a rebuild; returns how many were claimed."""
    return await handling.next_one(engines, REBUILD, _go_on, log=log, doing="Building the index anew")


async def _go_on(engines: Engines, claim: Claim) -> None:
    rebuild_id = handling.id_of(claim)
    async with engines.database.transaction() as session:
        one = None if rebuild_id is None else await rebuilding.with_id(session, rebuild_id)
    if one is None:
        async with engines.database.transaction() as session:
            await queue.finish(session, [claim])
        return
    try:
        more = await _further(engines, claim, one)
    except CatalogError as fault:
        # However long an engine is away, it goes on from here; nobody has to look at it.
        log.warning("rebuild waits", reason=fault.detail)
        async with engines.database.transaction() as session:
            await queue.postpone(session, claim, reason=fault.detail, after=AGAIN)
        return
    async with engines.database.transaction() as session:
        if not await queue.hold(session, [claim]):
            return
        if more:
            await queue.again(session, claim, REBUILD, after=timedelta())
        else:
            await queue.finish(session, [claim])


async def _further(engines: Engines, claim: Claim, one: Rebuild) -> bool:
    state = State(one.state)
    if one.version != engines.index.shape.version and state in STEPS:
        raise Unavailable("It waits for an indexer of the version that it is for.")
    try:
        return await STEPS.get(state, _tidy)(engines, claim, one)
    except NoIndex:
        standing = await concrete.behind(engines.index)
        # Where all are gone, whoever makes the one that is searched ends it.
        if standing is None or standing.name != one.old or await concrete.is_there(engines.index, str(one.new)):
            raise
    async with engines.database.transaction() as session:
        await rebuilding.fail(session, one, "The new index is gone.")
    log.error("rebuild failed", reason="The new index is gone.")
    return True


async def _make(engines: Engines, _: Claim, one: Rebuild) -> bool:
    index = engines.index
    standing = await concrete.behind(index)
    if standing is None:
        raise Unavailable(f"There is no search index {index.alias!r} yet.")
    # A name that nothing had before, and the same one if this is tried again.
    new = f"{index.alias}-{one.version}-{one.id.hex}"
    await concrete.give_own_alias(index, standing.name)
    await concrete.make(index, new)
    fields = None if standing.version == one.version else sorted(standing.fields)
    async with engines.database.transaction() as session:
        count = await rebuilding.objects(session)
        begun = await rebuilding.move(
            session, one, State.FILLING, old=standing.name, new=new, old_fields=fields, objects=count
        )
    if begun:
        log.info("rebuild begins", why=one.why, searched=standing.name, new=new, objects=count)
    elif await _is_given_up(engines, one.id):
        await concrete.remove(index, [new])
    return True


async def _is_given_up(engines: Engines, rebuild_id: UUID) -> bool:
    async with engines.database.transaction() as session:
        one = await rebuilding.with_id(session, rebuild_id)
    return one is None or one.new is None


async def _fill(engines: Engines, claim: Claim, one: Rebuild) -> bool:
    pace = _pace(engines, one)
    await pace.work(engines.index)
    started, stride = time.monotonic(), Stride(one.stride or comparing.SLICE_FIRST)
    # Both are targets by now, so that what is registered after this look is written to both: to fill that too would be
    # to run after those who write.
    upto = one.upto or await comparing.last_id(engines.database)
    ids = await comparing.ids_after(engines.database, one.after, stride.objects, upto)
    last = ids[-1] if len(ids) == stride.objects else None
    async with engines.database.transaction() as session:
        objects = await projecting.gathered(session, ids, prefix=engines.placement.prefix)
    made = projecting.projected(objects)
    written = await documents.write(_new(engines, one), made.documents)
    # Each is judged alone where it is judged for the index that is searched, too.
    refused = set(made.unreadable)
    refused |= {id_ for id_, told in written.items() if told.verdict in {Verdict.RETRY, Verdict.REJECTED}}
    took = time.monotonic() - started
    stride.note(took)
    if any(told.verdict is Verdict.RETRY for told in written.values()):
        stride.shrink()
    await pace.rest_after(engines.index, took)
    withdrawn = [str(entry.id) for entry in objects.entries.values() if entry.withdrawn_at is not None]
    noted: dict[str, Any] = {
        "after": last,
        "upto": upto,
        "filled": one.filled + len(ids),
        "stride": stride.objects,
        "seconds": one.seconds + time.monotonic() - started,
    }
    async with engines.database.transaction() as session:
        if not await queue.hold(session, [claim]):
            return False
        await queue.put(session, changing.INDEX, [str(id_) for id_ in refused])
        await queue.put(session, documents.PURGE, withdrawn, after=documents.TOMBSTONE_KEPT)
        if last is not None:
            await rebuilding.note(session, one, **noted)
        else:
            await rebuilding.move(session, one, State.VERIFYING, filled_at=now(), **noted)
    return True


def _new(engines: Engines, one: Rebuild) -> Index:
    return engines.index.beside(concrete.own_alias(str(one.new)))


def _pace(engines: Engines, one: Rebuild) -> Pace:
    """Return what this process knows of searches beside this rebuild."""
    known, pace = engines.database.learned.get(PACE, (None, None))
    if known != one.id:
        pace = Pace()
        engines.database.learned[PACE] = (one.id, pace)
    found: Pace = pace
    return found


async def _verify(engines: Engines, claim: Claim, one: Rebuild) -> bool:
    pace = _pace(engines, one)
    await pace.work(engines.index)
    started, stride = time.monotonic(), Stride(one.stride or comparing.SLICE_FIRST)
    upto = one.upto
    if one.after is None or upto is None:
        await concrete.settle(engines.index, str(one.new))
        # What is registered from here on is written to both, and would never end where it comes faster than we look.
        upto = await comparing.last_id(engines.database)
    # Each document is made anew: one that an indexer of another version wrote has the right version, too.
    sides = Sides(engines.database, _new(engines, one), engines.placement.prefix, full=True, stride=stride)
    compared = await comparing.compare(sides, one.after)
    wrong = await _worse(engines, compared)
    more = compared.after is not None and compared.after < upto
    if more:
        await pace.rest_after(engines.index, time.monotonic() - started)
    found = [msgspec.to_builtins(difference) for difference in wrong]
    noted: dict[str, Any] = {
        "after": compared.after,
        "upto": upto,
        "verified": one.verified + compared.objects,
        "stride": stride.objects,
        "differing": one.differing + len(found),
        "differences": rebuilding.named(one.differences, found),
    }
    async with engines.database.transaction() as session:
        if not await queue.hold(session, [claim]):
            return False
        if more:
            await rebuilding.note(session, one, **noted)
        elif noted["differing"]:
            fault = f"The new index differs from the database in {noted['differing']:,} documents."
            await rebuilding.fail(session, one, fault, **noted)
            log.error("rebuild failed", reason=fault, differences=noted["differences"])
        else:
            await rebuilding.move(session, one, State.SWAPPING, **noted)
    return True


async def _worse(engines: Engines, compared: Compared) -> list[Difference]:
    """Return what differs, but for objects that the indexer has given up on and that are searched no better now."""
    parked = [one.id for one in compared.differences if one.parked]
    if not parked:
        return list(compared.differences)
    _, alike = await comparing.look_again(engines.sides(), parked)
    known = {(one.id, one.kind) for one in alike}
    return [one for one in compared.differences if not one.parked or (one.id, one.kind) not in known]


async def _swap(engines: Engines, _: Claim, one: Rebuild) -> bool:
    await concrete.swap(engines.index, str(one.new), instead_of=one.old)
    async with engines.database.transaction() as session:
        swapped = await rebuilding.move(session, one, State.KEPT, swapped_at=now())
        if swapped and one.old_fields is not None:
            await rebuilding.retry_parked(session)
    if swapped:
        log.info("searches are answered by the new index", new=one.new, kept=one.old)
    return True


async def _tidy(engines: Engines, _: Claim, __: Rebuild) -> bool:
    standing = await concrete.behind(engines.index)
    if standing is not None:
        async with engines.database.transaction() as session:
            left = await rebuilding.leftovers(session, standing.name)
        if gone := await concrete.remove(engines.index, left):
            log.info("indices removed", names=gone)
    return False


STEPS: Mapping[State, Step] = MappingProxyType(
    {State.WAITING: _make, State.FILLING: _fill, State.VERIFYING: _verify, State.SWAPPING: _swap}
)

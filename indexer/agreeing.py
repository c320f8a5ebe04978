"""Hold the index against the database once in a while, slice by slice, and mend what differs."""

import time
from datetime import timedelta

import structlog

from catalog import queue
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import CatalogError
from catalog.queue import Claim
from catalog.sync import comparing, mending, rounds
from catalog.sync.rounds import SYNC, Phase, Round, Tally
from indexer import handling

log = structlog.get_logger("indexer.agreeing")

# After a slice it waits this many times as long as the slice took: engines that are busy are asked less.
PAUSE = 3


async def prepare(engines: Engines) -> None:
    """Have the first round begin after an interval: before, there is hardly anything to compare.

    A round that was parked goes on: who repairs everything is to be at work whenever an indexer is.
    """
    async with engines.database.transaction() as session:
        await queue.keep_coming(session, SYNC, Round(phase=Phase.RESTING).subject, after=engines.sync.interval)


async def step(engines: Engines) -> int:
    """Compare the next slice; returns how many were claimed."""
    return await handling.next_one(engines, SYNC, _go_on, log=log, doing="Comparing the index")


async def _go_on(engines: Engines, claim: Claim) -> None:
    started = time.monotonic()
    try:
        after = await _further(engines, rounds.round_from(claim.subject).begun(now()))
    except CatalogError as fault:
        # However long an engine is away, the round goes on from here; nobody has to look at it.
        log.warning("comparing waits", reason=fault.detail)
        async with engines.database.transaction() as session:
            await queue.postpone(session, claim, reason=fault.detail)
        return
    resting = after.phase is Phase.RESTING
    pause = engines.sync.interval if resting else timedelta(seconds=(time.monotonic() - started) * PAUSE)
    async with engines.database.transaction() as session:
        if await queue.hold(session, [claim]):
            await queue.again(session, claim, SYNC, after=pause, subject=after.subject)
    if resting and after.tally is not None:
        _tell(after.tally)


async def _further(engines: Engines, round_: Round) -> Round:
    sides = engines.sides()
    found = await comparing.compare(sides, round_.after)
    if round_.phase is Phase.REMOVING:
        gone = await mending.remove(sides, round_.removing(found, engines.sync))
        for document_id in gone:
            log.warning("document removed", document_id=document_id, reason="There is no such object.")
        return round_.removed(found, len(gone), engines.sync, now())
    for one in found.differences:
        log.warning("index differs", document_id=one.id, kind=one.kind, held=one.held, wanted=one.wanted)
    await mending.write_anew(engines.database, found.differences)
    return round_.compared(found, engines.sync, now())


def _tell(tally: Tally) -> None:
    counted = {name: getattr(tally, name) for name in ("objects", "documents", *comparing.Kind, "removed")}
    if tally.held_back:
        log.error("documents kept that are no object's", hint="Look at them with `catalog diff`.", **counted)
    else:
        log.info("index compared", **counted)

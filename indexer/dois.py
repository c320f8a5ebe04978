"""Tell the registry of DOIs what shall be so, and keep what it answered.

One request at a time for a DOI, several DOIs at once, and no transaction open meanwhile. A worker that is killed leaves
an entry whose lease ends: whoever takes it next says the same again, which is harmless.
"""

from datetime import timedelta

import structlog

from catalog import queue
from catalog.database import now
from catalog.doi import minting, sending
from catalog.doi.registry import Away, FieldsRefused, LockedOut
from catalog.doi.sending import Later, Request
from catalog.engines import Engines
from catalog.errors import CatalogError
from catalog.queue import Claim
from indexer import handling

log = structlog.get_logger("indexer.dois")

BATCH = 16
SENT_AT_ONCE = 4
# A registry that is away for a day is no reason to give up on anybody's DOI.
DELAY_MAX = timedelta(minutes=10)
# How many times the registry's patience a request may be under way before another is sent for the same DOI.
UNDER_WAY_FACTOR = 2


async def prepare(engines: Engines) -> None:
    """Queue the DOIs for which the registry refused the catalog itself: a new process may have a new account."""
    async with engines.database.transaction() as session:
        count = await minting.locked_out(session)
    if count:
        log.warning("DOIs are tried again", count=count, note="the registry had refused this catalog")


async def step(engines: Engines) -> int:
    """Claim a batch of DOIs and bring the registry and their rows into agreement; returns how many were claimed."""
    # All of a batch are sent within the lease, even if each of them waits as long as it may.
    lease = _under_way(engines) * (BATCH // SENT_AT_ONCE + 1)
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, minting.TOPIC, most=BATCH, lease=lease)
    doing = "Telling the registry"
    await handling.at_once(engines, claims, _bring_up_to_date, most=SENT_AT_ONCE, log=log, doing=doing)
    return len(claims)


async def _bring_up_to_date(engines: Engines, claim: Claim) -> None:
    async with engines.database.transaction() as session:
        planned = await sending.plan(session, claim.subject, engines.house, under_way=_under_way(engines))
        if planned is None:
            await queue.finish(session, [claim])
            return
        if isinstance(planned, Later):
            await queue.postpone(session, claim, reason="a request is under way", after=planned.until - now())
            return
    try:
        await engines.registry.put(planned.doi, planned.attributes, planned.event)
    except CatalogError as fault:
        await _conclude(engines, claim, planned, fault)
    else:
        await _conclude(engines, claim, planned, None)


async def _conclude(engines: Engines, claim: Claim, sent: Request, fault: CatalogError | None) -> None:
    async with engines.database.transaction() as session:
        if not await sending.still_ours(session, sent):
            # So late that another worker has begun anew: what it hears is newer.
            log.info("answer overtaken", doi=sent.doi)
            return
        match fault:
            case None:
                kin = await sending.agreed(session, sent)
                await queue.finish_noting(session, claim, minting.TOPIC, kin)
                log.info("DOI registered", doi=sent.doi, became=sent.event)
            case FieldsRefused():
                await sending.refused(session, sent, fault)
                await queue.finish(session, [claim])
                log.warning("DOI refused", doi=sent.doi, reason=fault.detail)
            case LockedOut():
                await sending.refused(session, sent, fault, locked_out=True)
                await queue.park(session, claim, reason=fault.detail)
                log.error("registry refuses this catalog", doi=sent.doi, reason=fault.detail)
            case Away():
                await sending.unanswered(session, sent, fault.detail, perhaps_arrived=fault.perhaps_arrived)
                await queue.postpone(
                    session, claim, reason=fault.detail, after=_delay(claim, fault, _under_way(engines))
                )
                log.warning("DOI postponed", doi=sent.doi, reason=fault.detail)
            case _:
                raise fault


def _under_way(engines: Engines) -> timedelta:
    return UNDER_WAY_FACTOR * engines.registry.patience


def _delay(claim: Claim, fault: Away, under_way: timedelta) -> timedelta:
    asked = timedelta(seconds=fault.after_seconds or 0)
    lost = under_way if fault.perhaps_arrived else timedelta()
    return max(min(claim.delay, DELAY_MAX), asked, lost)

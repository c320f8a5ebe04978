"""Try every store from time to time, and have it told when one fails or works again.

No transaction is open while a store is tried.
"""

import asyncio
import time
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from catalog import queue
from catalog.alerts import notices
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import CatalogError
from catalog.inventory import scanning
from catalog.inventory.tables import Cause
from catalog.queue import Claim
from catalog.storage import backends, health, sealing
from catalog.storage.backends import Tried
from catalog.storage.keys import OWN
from catalog.storage.losses import LossCounter
from catalog.storage.probing import Outcome, failures
from indexer import handling

log = structlog.get_logger("indexer.probes")

BATCH = 4
# A store that has not answered by then does not work for whoever has a file there.
TRIED_SECONDS_MAX = 120.0
# All of a batch are tried at once.
LEASE = health.TRIED_AGAIN_AFTER


async def prepare(engines: Engines) -> None:
    """Queue every store that is not queued."""
    async with engines.database.transaction() as session:
        await health.schedule(session, engines.probe_interval)


async def step(engines: Engines) -> int:
    """Claim a batch of stores that are due, try each, keep what was found; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, health.PROBE, most=BATCH, lease=LEASE)
    await handling.at_once(engines, claims, _try, most=BATCH, log=log, doing="Trying the store")
    return len(claims)


async def _try(engines: Engines, claim: Claim) -> None:
    started = time.monotonic()
    outcome = await _tried(engines, claim.subject)
    milliseconds = int((time.monotonic() - started) * 1000)
    async with engines.database.transaction() as session:
        if outcome is None or not await _is_there(session, claim.subject):
            await health.forget(session, claim.subject)
            await queue.finish(session, [claim])
            return
        if not await queue.hold(session, [claim]):
            # Another worker has tried it since.
            return
        standing = await notices.note_health(session, claim.subject, outcome, milliseconds=milliseconds)
        after = health.wait_until_next(claim.subject, standing, engines.probe_interval, now())
        await queue.again(session, claim, health.PROBE, after=after)
    if claim.subject == OWN and engines.losses is not None:
        await _heed(engines, engines.losses)
    failed = [one.action for one in failures(outcome.tried)]
    log.info("store tried", backend=claim.subject, state=standing.state, failed=failed, milliseconds=milliseconds)


async def _heed(engines: Engines, losses: LossCounter) -> None:
    """Have the own store scanned where it has lost events since the last look."""
    try:
        counted = await losses.read()
    except CatalogError as fault:
        log.warning("lost events not counted", reason=fault.detail)
        return
    async with engines.database.transaction() as session:
        risen = await health.lost_since(session, OWN, counted)
        if risen and not await scanning.begin_unasked(session, OWN, Cause.EVENTS_LOST):
            # One that runs may have passed by: the next look begins another.
            return
        await health.note_lost(session, OWN, counted)
    if risen:
        log.warning("store lost events", events=risen, note="it is scanned")


async def _tried(engines: Engines, name: str) -> Outcome | None:
    """Return what trying a store found; None where it is not there any more."""
    try:
        async with asyncio.timeout(TRIED_SECONDS_MAX):
            if name == OWN:
                return await engines.stores.tried_own(engines.store, engines.token_service)
            async with engines.database.transaction() as session:
                backend = await backends.find_anywhere(session, UUID(name))
                if backend is None or backend.detached_at is not None:
                    return None
                sealed = await sealing.find(session, backend.id)
            return await engines.stores.tried_again(backend, sealed)
    except TimeoutError:
        return Outcome([Tried("answer", f"not all was done within {TRIED_SECONDS_MAX:.0f} s")])


async def _is_there(session: AsyncSession, name: str) -> bool:
    if name == OWN:
        return True
    found = await backends.find_anywhere(session, UUID(name))
    return found is not None and found.detached_at is None

"""Look at keys: what a notification only hinted at is asked of the store, and rows are brought in line with it."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from catalog import queue
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import CatalogError, Unavailable
from catalog.objects import verbs
from catalog.objects.verbs import Seen
from catalog.queue import Claim

log = structlog.get_logger("indexer.keys")

# A HEAD takes a few milliseconds; a small batch keeps leases short when a store is slow.
BATCH = 64
# Connections to one store at a time: enough to hide its latency, few enough to leave it to its users.
LOOKS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Look:
    claim: Claim
    backend: str
    bucket: str
    key: str
    seen: Seen | None


async def step(engines: Engines) -> int:
    """Claim a batch of keys, look at each, settle what was found; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, verbs.KEY, most=BATCH)
    if not claims:
        return 0
    gate = asyncio.Semaphore(LOOKS_AT_ONCE)
    await asyncio.gather(*(_handle(engines, claim, gate) for claim in claims))
    return len(claims)


async def _handle(engines: Engines, claim: Claim, gate: asyncio.Semaphore) -> None:
    async with gate:
        try:
            look = await _look(engines, claim)
            async with engines.database.transaction() as session:
                again_at = await verbs.settle(session, look.backend, look.bucket, look.key, look.seen)
                if again_at is None:
                    await queue.finish(session, [claim])
                else:
                    await queue.postpone(session, claim, reason="awaiting bytes", after=again_at - now())
        except CatalogError as fault:
            await _later(engines, claim, fault)


async def _look(engines: Engines, claim: Claim) -> _Look:
    backend, bucket, key = verbs.location_of(claim.subject)
    async with engines.database.transaction() as session:
        expected = await verbs.expected_size(session, backend, bucket, key)
    if expected is None:
        # No upload of ours: discovering foreign files is another room's work.
        return _Look(claim, backend, bucket, key, None)
    found = await engines.store.stat(key)
    if found is None:
        return _Look(claim, backend, bucket, key, None)
    sha256 = found.sha256
    if sha256 is None and found.size == expected:
        # The store keeps no checksum of the whole: hash the bytes ourselves, in constant memory.
        sha256 = await engines.store.sha256_of(key, version_id=found.version_id)
    return _Look(claim, backend, bucket, key, Seen(found.size, sha256, found.etag, found.version_id))


async def _later(engines: Engines, claim: Claim, fault: CatalogError) -> None:
    async with engines.database.transaction() as session:
        if claim.exhausted and not isinstance(fault, Unavailable):
            log.error("key parked", subject=claim.subject, reason=fault.detail)
            await queue.park(session, claim, reason=fault.detail)
        else:
            log.warning("key postponed", subject=claim.subject, reason=fault.detail, attempts=claim.attempts)
            await queue.postpone(session, claim, reason=fault.detail, after=min(claim.delay, timedelta(minutes=1)))

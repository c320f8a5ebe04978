"""Look at keys: what a notification only hinted at is asked of the store, and rows are brought in line with it."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sa
import structlog

from catalog import queue
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import CatalogError, Unavailable
from catalog.objects import discovered, uploads, versions
from catalog.objects.discovered import Lying
from catalog.objects.uploads import Claimed, Seen
from catalog.queue import LEASE, Claim
from catalog.storage import parts

log = structlog.get_logger("indexer.keys")

# A HEAD takes a few milliseconds; a small batch keeps leases short when a store is slow.
BATCH = 64
# Connections to one store at a time: enough to hide its latency, few enough to leave it to its users.
LOOKS_AT_ONCE = 16


# Hashing a large file takes longer than a lease: what is in hand is kept by renewing it this often per lease.
RENEWALS_PER_LEASE = 3


class NoSuchKey(CatalogError):
    """The subject names no key."""


async def step(engines: Engines) -> int:
    """Claim a batch of keys, look at each, settle what was found; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, uploads.KEY, most=BATCH, lease=LEASE)
    if not claims:
        return 0
    gate = asyncio.Semaphore(LOOKS_AT_ONCE)
    in_hand = {claim.id: claim for claim in claims}
    keeping = asyncio.create_task(_keep(engines, in_hand))
    try:
        # All of them end, whatever one of them meets: none is left running behind the lane's back.
        outcomes = await asyncio.gather(
            *(_handle(engines, claim, gate, in_hand) for claim in claims), return_exceptions=True
        )
    finally:
        keeping.cancel()
    for fault in outcomes:
        if fault is not None:
            raise fault
    return len(claims)


async def _keep(engines: Engines, in_hand: Mapping[int, Claim]) -> None:
    while True:
        await asyncio.sleep(LEASE.total_seconds() / RENEWALS_PER_LEASE)
        # The database may be away for a moment; the next renewal comes before the lease ends.
        with suppress(sa.exc.SQLAlchemyError):
            async with engines.database.transaction() as session:
                await queue.renew(session, list(in_hand.values()), lease=LEASE)


async def _handle(engines: Engines, claim: Claim, gate: asyncio.Semaphore, in_hand: dict[int, Claim]) -> None:
    async with gate:
        try:
            await _settle(engines, claim)
        except CatalogError as fault:
            await _later(engines, claim, fault)
        except sa.exc.SQLAlchemyError:
            # The database is away, and where the reason would be noted is there: the lease brings the key back.
            raise
        except Exception as fault:
            # Nobody foresaw this. It must cost neither the process nor the other keys anything.
            log.exception("look failed", subject=claim.subject)
            reason = f"Looking at the key failed: {type(fault).__name__}: {fault}"
            await _later(engines, claim, CatalogError(reason))
        finally:
            del in_hand[claim.id]


async def _settle(engines: Engines, claim: Claim) -> None:
    try:
        backend, bucket, key = uploads.location_of(claim.subject)
    except ValueError:
        raise NoSuchKey from None
    look = await _look(engines, backend, bucket, key)
    async with engines.database.transaction() as session:
        if not await queue.hold(session, [claim]):
            # Another worker has looked since, and what it saw is newer: settling ours would undo it for good.
            log.info("look overtaken", subject=claim.subject)
            return
        if not look.ours:
            await discovered.note(session, backend, bucket, key, look.lying, prefix=engines.placement.prefix)
            await queue.finish(session, [claim])
            return
        again_at = await uploads.settle(session, backend, bucket, key, look.seen)
        lost_at = await versions.settle(session, (backend, bucket, key), look.seen, look.kept)
        if again_at is not None:
            await queue.postpone(session, claim, reason="awaiting bytes", after=again_at - now())
        elif lost_at is not None:
            await queue.postpone(session, claim, reason="confirming a loss", after=lost_at - now())
        else:
            await queue.finish(session, [claim])


@dataclass(frozen=True, slots=True)
class _Look:
    """What lies under a key: of ours, with the published versions of it that the store still has; or of others."""

    ours: bool
    seen: Seen | None = None
    kept: Mapping[str, bool] = field(default_factory=dict)
    lying: Lying | None = None


async def _look(engines: Engines, backend: str, bucket: str, key: str) -> _Look:
    async with engines.database.transaction() as session:
        claim = await uploads.claim_on(session, backend, bucket, key)
        published = await versions.published_under(session, (backend, bucket, key))
    if claim is not None and claim.multipart_id is not None:
        await _join_or_drop(engines, key, claim, claim.multipart_id)
    expected = None if claim is None else claim.size
    if claim is not None and expected is None and not published:
        # The key of an upload that a newer one took over: whatever lies there is of no more use.
        return _Look(ours=True)
    found = await engines.store.stat(key)
    if claim is None and not published:
        if found is None:
            return _Look(ours=False)
        lying = Lying(found.size, found.etag, found.media_type, found.version_id, found.modified_at)
        return _Look(ours=False, lying=lying)
    kept = {}
    for store_version in filter(None, (name for name, _ in published)):
        there = found is not None and found.version_id == store_version
        kept[store_version] = there or await engines.store.stat(key, version_id=store_version) is not None
    if found is None:
        return _Look(ours=True, kept=kept)
    sha256 = found.sha256
    if sha256 is None and found.size in {expected, *(size for _, size in published)}:
        # The store keeps no checksum of the whole: hash the bytes ourselves, in constant memory.
        sha256 = await engines.store.sha256_of(key, version_id=found.version_id)
    return _Look(ours=True, seen=Seen(found.size, sha256, found.etag, found.version_id), kept=kept)


async def _join_or_drop(engines: Engines, key: str, claim: Claimed, multipart_id: str) -> None:
    """Make one object of an upload's parts when the client has brought them all; drop them when it brings no more."""
    there = await engines.store.stat(key) is not None
    if there or claim.over:
        # Another look has joined them, or the bytes came whole.
        await engines.store.abort_multipart(key, multipart_id)
        return
    cut = None if claim.size is None else parts.cut(claim.size)
    if not claim.sent or cut is None:
        return
    held = await engines.store.parts_of(key, multipart_id)
    if held is None or parts.missing(cut, held):
        # The store has lost what it had when the client was told that nothing is missing.
        async with engines.database.transaction() as session:
            await uploads.not_sent(session, claim.upload_id)
    else:
        await engines.store.complete_multipart(key, multipart_id, held)
        log.info("parts joined", upload=str(claim.upload_id), parts=cut.count)


async def _later(engines: Engines, claim: Claim, fault: CatalogError) -> None:
    hopeless = isinstance(fault, NoSuchKey) or (claim.exhausted and not isinstance(fault, Unavailable))
    async with engines.database.transaction() as session:
        if not await queue.hold(session, [claim]):
            return
        if hopeless:
            log.error("key parked", subject=claim.subject, reason=fault.detail)
            await queue.park(session, claim, reason=fault.detail)
        else:
            log.warning("key postponed", subject=claim.subject, reason=fault.detail, attempts=claim.attempts)
            await queue.postpone(session, claim, reason=fault.detail, after=min(claim.delay, timedelta(minutes=1)))

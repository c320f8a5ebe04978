"""Keep to the rules of retention: a cycle that marks and removes what is due, and bytes deleted one key after another.

Every step is small, stands in the database, and may be repeated: whoever is killed in between loses nothing.
"""

from datetime import timedelta
from uuid import UUID

import structlog

from catalog import queue
from catalog.engines import Engines
from catalog.errors import CatalogError, Unavailable
from catalog.queue import Claim
from catalog.retention import clock, leftovers, marking, removing
from catalog.retention.clock import CYCLE, RETENTION, SUBJECT
from catalog.retention.facts import FIRST
from catalog.retention.leftovers import LEFTOVER, Going
from catalog.storage.s3 import ReadOnly, Store
from catalog.storage.stores import Detached, NoSuchBackend
from indexer import handling

log = structlog.get_logger("indexer.retention")

# A cycle over a hundred thousand objects takes seconds; one that was killed comes back after this.
LEASE = timedelta(minutes=10)
BATCH = 32
# More store versions than this lie under one key only where somebody else keeps writing to it.
VERSIONS_REMOVED_MAX = 1_000


async def prepare(engines: Engines) -> None:
    """Have cycles run, the first one not at once; what is noted already comes no later, and is parked no longer."""
    async with engines.database.transaction() as session:
        await queue.put(session, RETENTION, [SUBJECT], after=CYCLE)


async def step(engines: Engines) -> int:
    """Run a cycle if it is time for one; returns how many were run."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, RETENTION, most=1, lease=LEASE)
    for claim in claims:
        await handling.alone(engines, claim, _cycle(engines, claim), log=log, doing="A cycle of retention")
    return len(claims)


async def _cycle(engines: Engines, claim: Claim) -> None:
    await cycle(engines)
    async with engines.database.transaction() as session:
        await queue.again(session, claim, RETENTION, after=CYCLE)


async def cycle(engines: Engines) -> None:
    """Witness the time, take back marks without a reason, mark what is due, remove what may go, find leftovers."""
    database, policy = engines.database, engines.retention
    async with database.transaction() as session:
        moment = await clock.look(session)
    taken_back, marked = 0, 0
    after: UUID | None = FIRST
    while after is not None:
        async with database.transaction() as session:
            after, count = await marking.review(session, policy, after=after)
        taken_back += count
    after = FIRST
    while after is not None:
        async with database.transaction() as session:
            after, count = await marking.mark_due(session, policy, moment, after=after)
        marked += count
    async with database.transaction() as session:
        ids, stopped = await removing.next_ones(session, policy, moment)
    for stop in stopped:
        log.warning(
            "retention stopped",
            project=stop.project,
            due=stop.due,
            objects=stop.objects,
            note=f"more than {policy.share:.0%} would go at once; `catalog retention resume {stop.project}` goes on",
        )
    removed = 0
    for object_id in ids:
        # One at a time: what goes wrong with it undoes nothing else, and keeps nothing else from going.
        try:
            async with database.transaction() as session:
                removed += await removing.remove(session, object_id, policy)
        except Exception:
            log.exception("removal failed", object_id=str(object_id))
    async with database.transaction() as session:
        found = await leftovers.find(session, policy, moment)
        going = await leftovers.queue_ripe(session, policy, moment)
    counts = {"marked": marked, "taken_back": taken_back, "removed": removed, "leftovers": found, "going": going}
    if any(counts.values()):
        log.info("retention cycle", **counts)


async def leftover_step(engines: Engines) -> int:
    """Claim a batch of leftovers and delete their bytes; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, LEFTOVER, most=BATCH)
    for claim in claims:
        await handling.alone(engines, claim, _delete(engines, claim), log=log, doing="Deleting a leftover")
    return len(claims)


async def _delete(engines: Engines, claim: Claim) -> None:
    leftover_id = await handling.id_or_parked(engines, claim, "leftover")
    if leftover_id is None:
        return
    async with engines.database.transaction() as session:
        backend = await leftovers.backend_of(session, leftover_id)
    if backend is None:
        await _finish(engines, claim)
        return
    try:
        store = await engines.store_of(backend)
        # Before anything is let go of: what lies in a store for data alone is none of ours to write to.
        store.must_be_writable()
        async with engines.database.transaction() as session:
            going = await leftovers.begin(session, leftover_id, engines.retention, prefix=store.prefix)
        if going is None:
            await _finish(engines, claim)
            return
        await remove_bytes(store, going)
    except (ReadOnly, Detached, NoSuchBackend) as fault:
        log.warning("leftover stays", key=claim.subject, reason=fault.detail)
        await _finish(engines, claim, ended=leftover_id, reason=fault.detail)
    except Unavailable as fault:
        await _later(engines, claim, fault)
    else:
        log.info("leftover deleted", backend=backend, upload=str(going.upload_id))
        await _finish(engines, claim, ended=leftover_id)


async def remove_bytes(store: Store, going: Going) -> None:
    """Delete what lies under exactly this key: parts, the versions that are known, and what is left on top."""
    if going.multipart_id is not None:
        await store.abort_multipart(going.key, going.multipart_id)
    for version in going.store_versions:
        await store.remove(going.key, version)
    for _ in range(VERSIONS_REMOVED_MAX):
        lying = await store.stat(going.key)
        if lying is None:
            return
        await store.remove(going.key, lying.version_id)
    raise CatalogError(f"More than {VERSIONS_REMOVED_MAX:,} versions lie under one key: somebody writes to it.")


async def _finish(engines: Engines, claim: Claim, *, ended: UUID | None = None, reason: str | None = None) -> None:
    async with engines.database.transaction() as session:
        if not await queue.hold(session, [claim]):
            return
        if ended is not None:
            await leftovers.end(session, ended, reason=reason)
        await queue.finish(session, [claim])


async def _later(engines: Engines, claim: Claim, fault: CatalogError) -> None:
    async with engines.database.transaction() as session:
        await queue.postpone(session, claim, reason=fault.detail)

"""Read the bytes of files and versions again, as many a day as is allowed, and tell where they are others."""

from datetime import timedelta

import structlog

from catalog import queue
from catalog.engines import Engines
from catalog.errors import CatalogError, NotFound, Unavailable
from catalog.inventory import fixity
from catalog.inventory.fixity import FIXITY, START, Held
from catalog.inventory.tables import Outcome
from catalog.objects import uploads
from catalog.queue import Claim
from catalog.storage.s3 import Store
from catalog.storage.stores import Detached, NoSuchBackend
from indexer import handling

log = structlog.get_logger("indexer.fixity")

DAY = timedelta(days=1)
# Between two batches, however small their files are.
PAUSE_LEAST = timedelta(seconds=1)


async def prepare(engines: Engines) -> None:
    """Begin with reading when it has just been switched on; go on with it where it was parked."""
    if not engines.fixity.bytes_per_day:
        return
    async with engines.database.transaction() as session:
        await queue.keep_coming(session, FIXITY, START)


async def step(engines: Engines) -> int:
    """Read the next batch; returns how many were claimed."""
    return await handling.next_one(engines, FIXITY, _read, log=log, doing="Reading bytes again")


async def _read(engines: Engines, claim: Claim) -> None:
    async with engines.database.transaction() as session:
        if not engines.fixity.bytes_per_day:
            # Switched off since it was noted.
            await queue.finish(session, [claim])
            return
        batch = await fixity.batch(session, claim.subject)
    for held in batch.held:
        await _check(engines, held)
    # A day's allowance is spread over the day: who reads much waits long.
    allowed = sum(held.size for held in batch.held) / engines.fixity.bytes_per_day
    pause = max(PAUSE_LEAST, DAY * allowed)
    place, pause = (START, engines.fixity.rest) if batch.after is None else (batch.after, pause)
    async with engines.database.transaction() as session:
        if await queue.hold(session, [claim]):
            await queue.again(session, claim, FIXITY, after=pause, subject=place)


async def _check(engines: Engines, held: Held) -> None:
    subject = uploads.subject_of(held.backend, held.bucket, held.key)
    try:
        store = await engines.store_of(held.backend)
        sha256 = await store.sha256_of(held.key, version_id=held.store_version)
        if sha256 == held.sha256:
            async with engines.database.transaction() as session:
                await fixity.note(session, held, Outcome.INTACT)
            return
        found = await store.stat(held.key, version_id=held.store_version)
    except (NotFound, Detached, NoSuchBackend):
        async with engines.database.transaction() as session:
            await queue.put(session, uploads.KEY, [subject])
        return
    except Unavailable as fault:
        await _unreadable(engines, held, fault)
        return
    async with engines.database.transaction() as session:
        if found is not None:
            log.error("bytes altered", key=held.key, backend=held.backend, sha256=sha256, declared=held.sha256)
            await fixity.note(session, held, Outcome.ALTERED, found_sha256=sha256)
        # The look settles it, with what was read: the file, its versions and the object's history.
        await queue.put(session, uploads.KEY, [subject])


async def _unreadable(engines: Engines, held: Held, fault: CatalogError) -> None:
    store: Store = await engines.store_of(held.backend)
    try:
        await store.ping()
    except CatalogError as away:
        # All of the store is away: that says nothing of these bytes, whose turn comes again in the next round.
        log.warning("bytes passed over", key=held.key, backend=held.backend, reason=away.detail)
        return
    log.error("bytes unreadable", key=held.key, backend=held.backend, reason=fault.detail)
    async with engines.database.transaction() as session:
        await fixity.note(session, held, Outcome.UNREADABLE, reason=fault.detail)

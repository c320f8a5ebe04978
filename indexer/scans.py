"""Walk over what backends hold, some pages at a time: as somebody asked, and each in its turn."""

import time
from contextlib import aclosing
from datetime import timedelta
from uuid import UUID

import structlog

from catalog import queue
from catalog.engines import Engines
from catalog.errors import CatalogError
from catalog.inventory import rescanning, scanning
from catalog.inventory.tables import Cause, Scan, ScanState
from catalog.objects import discovered
from catalog.objects.discovered import Layout
from catalog.queue import Claim
from catalog.storage import backends, walking
from catalog.storage.keys import OWN
from catalog.storage.stores import Detached, NoSuchBackend
from indexer import handling

log = structlog.get_logger("indexer.scans")

# Twenty thousand keys, seconds of work: then another scan has its turn.
PAGES_AT_ONCE = 20
# Of scans that nobody waits for, who rest after that this many times as long as it took: a store that is slow, or an
# engine that is busy, is asked less.
PAGES_UNASKED = 5
PAUSE = 3


async def prepare(engines: Engines) -> None:
    """Let every store wait for its turn."""
    async with engines.database.transaction() as session:
        await rescanning.schedule(session, engines.scan_interval)


async def begin_step(engines: Engines) -> int:
    """Begin to scan the store whose turn it is; returns how many were claimed."""
    return await handling.next_one(engines, rescanning.RESCAN, _begin, log=log, doing="Beginning a scan")


async def _begin(engines: Engines, claim: Claim) -> None:
    every = engines.scan_interval
    async with engines.database.transaction() as session:
        if not await queue.hold(session, [claim]):
            return
        known = claim.subject == OWN or claim.subject in {str(one.id) for one in await backends.everywhere(session)}
        if not every or not known:
            await queue.finish(session, [claim])
            return
        await scanning.begin_unasked(session, claim.subject, Cause.INTERVAL)
        await queue.again(session, claim, rescanning.RESCAN, after=rescanning.wait(claim.subject, every))


async def step(engines: Engines) -> int:
    """Go on with the scan that has waited longest; returns how many were claimed."""
    return await handling.next_one(engines, scanning.SCAN, _go_on, log=log, doing="Scanning")


async def _go_on(engines: Engines, claim: Claim) -> None:
    async with engines.database.transaction() as session:
        scan = await scanning.find(session, UUID(claim.subject))
        if scan is None or scan.state != ScanState.RUNNING:
            await queue.finish(session, [claim])
            return
        layout = await discovered.layout_of(session, engines.placement.prefix, scan.backend)
    try:
        await _walk(engines, claim, scan, layout)
    except (Detached, NoSuchBackend) as gone:
        await _give_up(engines, claim, scan, gone.detail)
    except CatalogError as fault:
        log.warning("scan waits", scan=str(scan.id), reason=fault.detail)
        if claim.exhausted:
            await _give_up(engines, claim, scan, fault.detail)
            return
        async with engines.database.transaction() as session:
            await scanning.wait(session, scan, fault.detail)
            await queue.postpone(session, claim, reason=fault.detail)


async def _walk(engines: Engines, claim: Claim, scan: Scan, layout: Layout) -> None:
    store = await engines.store_of(scan.backend)
    started, count = time.monotonic(), 0
    most = PAGES_AT_ONCE if scan.asked_by is not None else PAGES_UNASKED
    async with aclosing(walking.ahead(store.pages(layout.everything, after=scan.position), most)) as pages:
        async for page in pages:
            async with engines.database.transaction() as session:
                if not await queue.hold(session, [claim]):
                    # Another worker goes on, from where the rows stand.
                    return
                fresh = await scanning.note_page(session, scan, store.bucket, layout, page)
            count += 1
            if page.items and not fresh and page.after is not None:
                # It would go on for ever; what it does not list must not count as gone.
                await _give_up(engines, claim, scan, "The store lists the same keys again and again.")
                return
            if count == most and page.after is not None:
                await _rest(engines, claim, scan, time.monotonic() - started)
                return
    async with engines.database.transaction() as session:
        if not await queue.hold(session, [claim]):
            return
        reason = await scanning.end(session, scan, store.bucket, share=engines.sync.share)
        await queue.finish(session, [claim])
    if reason is None:
        log.info("scan done", scan=str(scan.id), backend=scan.backend)
    else:
        log.error("scan given up", scan=str(scan.id), reason=reason)


async def _rest(engines: Engines, claim: Claim, scan: Scan, took: float) -> None:
    async with engines.database.transaction() as session:
        if scan.asked_by is not None:
            await queue.release(session, [claim])
        elif await queue.hold(session, [claim]):
            await queue.again(session, claim, scanning.SCAN, after=timedelta(seconds=took * PAUSE))


async def _give_up(engines: Engines, claim: Claim, scan: Scan, reason: str) -> None:
    log.error("scan given up", scan=str(scan.id), reason=reason)
    async with engines.database.transaction() as session:
        await scanning.fail(session, scan, reason)
        await queue.finish(session, [claim])

"""Walk over what backends hold, some pages at a time, as somebody asked."""

from contextlib import aclosing
from uuid import UUID

import structlog

from catalog import queue
from catalog.engines import Engines
from catalog.errors import CatalogError
from catalog.inventory import scanning
from catalog.inventory.tables import Scan, ScanState
from catalog.objects import discovered
from catalog.objects.discovered import Layout
from catalog.queue import Claim
from catalog.storage import walking
from catalog.storage.stores import Detached, NoSuchBackend
from indexer import handling

log = structlog.get_logger("indexer.scans")

# Twenty thousand keys, seconds of work: then another scan has its turn.
PAGES_AT_ONCE = 20


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
    count = 0
    async with aclosing(walking.ahead(store.pages(layout.everything, after=scan.position), PAGES_AT_ONCE)) as pages:
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
            if count == PAGES_AT_ONCE and page.after is not None:
                async with engines.database.transaction() as session:
                    await queue.release(session, [claim])
                return
    async with engines.database.transaction() as session:
        if await queue.hold(session, [claim]):
            await scanning.end(session, scan, store.bucket)
            await queue.finish(session, [claim])
            log.info("scan done", scan=str(scan.id), backend=scan.backend)


async def _give_up(engines: Engines, claim: Claim, scan: Scan, reason: str) -> None:
    log.error("scan given up", scan=str(scan.id), reason=reason)
    async with engines.database.transaction() as session:
        await scanning.fail(session, scan, reason)
        await queue.finish(session, [claim])

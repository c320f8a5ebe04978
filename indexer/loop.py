"""The loop: lanes that step while there is work, sleep until the bell rings, and outlive every engine's absence."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import psycopg
import sqlalchemy as sa
import structlog

from catalog import queue
from catalog.access import issued
from catalog.engines import Engines
from catalog.errors import CatalogError, Unavailable
from catalog.objects import changing, granting, remembering, uploads
from catalog.search import unfound
from indexer import documents, dois, embargoes, keys, outside

log = structlog.get_logger("indexer")

# The bell is a courtesy; without it a change waits this long.
POLL_SECONDS = 1.0
# Between attempts while an engine is away; short, so that recovery is quick.
AWAY_SECONDS = 1.0
# While one batch is on its way to the index, the next is read and projected.
DOCUMENT_LANES = 2
DRAIN_POLL_SECONDS = 0.05
HOUSEKEEPING_SECONDS = 3600.0

Step = Callable[[Engines], Awaitable[int]]


class Wakener:
    """Spreads each ring of the bell to every lane."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def wake(self) -> None:
        """Let every waiting lane go on."""
        self._rung.set()
        self._rung = asyncio.Event()

    def next_ring(self) -> asyncio.Event:
        """Return what the next ring sets: take it before looking for work, or a ring in between is missed."""
        return self._rung


async def _sleep(until: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(until.wait(), seconds)


async def prepare(engines: Engines) -> None:
    """Wait until the index is there; one that is new or empty is filled from the database."""
    created = False
    while True:
        try:
            created = await engines.index.ensure() or created
            # Empty as well: whoever created it may have ended before it was queued that everything belongs there.
            if created or not await engines.index.count():
                async with engines.database.transaction() as session:
                    await changing.index_everything(session)
                log.warning("index filled anew", note="every object is queued for it")
            await outside.prepare(engines)
            await dois.prepare(engines)
        except (Unavailable, sa.exc.SQLAlchemyError) as fault:
            log.warning("waiting for the engines", reason=_line(fault))
            await asyncio.sleep(AWAY_SECONDS)
        else:
            return


async def run(engines: Engines, stop: asyncio.Event) -> None:
    """Work until asked to stop; the batch in hand is finished first."""
    wakener = Wakener()
    listener = asyncio.create_task(_listen(engines.database.url, wakener), name="listener")
    preparing = asyncio.create_task(prepare(engines), name="prepare")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({preparing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await preparing
            log.info("indexer running")
            steps: list[Step] = [
                keys.step,
                *[documents.step] * DOCUMENT_LANES,
                documents.purge_step,
                outside.step,
                dois.step,
                embargoes.step,
            ]
            async with asyncio.TaskGroup() as lanes:
                for step in steps:
                    lanes.create_task(_lane(engines, step, wakener, stop))
                lanes.create_task(_keep_house(engines, stop))
                await stop.wait()
                wakener.wake()
    finally:
        for task in (listener, preparing, stopping):
            task.cancel()
        await asyncio.gather(listener, preparing, stopping, return_exceptions=True)
    log.info("indexer stopped")


async def _lane(engines: Engines, step: Step, wakener: Wakener, stop: asyncio.Event) -> None:
    while not stop.is_set():
        ring = wakener.next_ring()
        try:
            handled = await step(engines)
        except (CatalogError, sa.exc.SQLAlchemyError) as fault:
            log.warning("lane waits", step=step.__module__, reason=_line(fault))
            await _sleep(stop, AWAY_SECONDS)
            continue
        except Exception:
            # Nobody foresaw this: it is told, and the other lanes go on. Leases bring back what was claimed.
            log.exception("lane failed", step=step.__module__)
            await _sleep(stop, AWAY_SECONDS)
            continue
        if not handled:
            await _sleep(ring, POLL_SECONDS)


async def _listen(url: str, wakener: Wakener) -> None:
    while True:
        try:
            async with queue.listening(url) as heard:
                while True:
                    await heard(POLL_SECONDS)
                    wakener.wake()
        except (psycopg.Error, OSError) as fault:
            log.warning("bell not heard, polling", reason=type(fault).__name__)
            await asyncio.sleep(AWAY_SECONDS)


async def _keep_house(engines: Engines, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with suppress(sa.exc.SQLAlchemyError):
            async with engines.database.transaction() as session:
                await remembering.forget_old_requests(session)
                await unfound.forget_old(session)
            removed = issued.FORGOTTEN_AT_ONCE
            while removed == issued.FORGOTTEN_AT_ONCE and not stop.is_set():
                async with engines.database.transaction() as session:
                    removed = await issued.forget_old(session, engines.access_log_kept)
        await _sleep(stop, HOUSEKEEPING_SECONDS)


async def drain(engines: Engines, limit: timedelta) -> None:
    """Work until nothing is due, through every engine's absence; raises Unavailable when that exceeds the limit."""
    clock = asyncio.get_running_loop().time
    ends = clock() + limit.total_seconds()
    try:
        async with asyncio.timeout_at(ends):
            await prepare(engines)
    except TimeoutError:
        raise Unavailable(f"The engines do not answer, after {limit.total_seconds():.0f} seconds.") from None
    last = ""
    while clock() < ends:
        try:
            # What ends an embargo has documents written, what looks at keys as well.
            handled = await embargoes.step(engines) + await keys.step(engines)
            handled += await documents.step(engines) + await dois.step(engines)
            if handled:
                continue
            async with engines.database.transaction() as session:
                left = await queue.due(session, [uploads.KEY, changing.INDEX, changing.DOI, granting.EMBARGO])
            if not left:
                return
        except (Unavailable, sa.exc.SQLAlchemyError) as fault:
            last = f" Last: {_line(fault)}"
            await asyncio.sleep(AWAY_SECONDS)
        # What is left is leased by another worker or postponed for a moment.
        await asyncio.sleep(DRAIN_POLL_SECONDS)
    raise Unavailable(f"The queue is not empty after {limit.total_seconds():.0f} seconds.{last}")


def _line(fault: Exception) -> str:
    return next(iter(str(fault).splitlines()), type(fault).__name__)

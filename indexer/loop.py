"""The loop: lanes that step while there is work, sleep until the bell rings, and outlive every engine's absence."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import psycopg
import sqlalchemy as sa
import structlog

from catalog import queue, tasks, tracing
from catalog.access import issued, quotas
from catalog.alerts import matches, topics
from catalog.alerts import notices as told_notices
from catalog.engines import Engines
from catalog.errors import CatalogError, Unavailable
from catalog.inventory import fixity as inventory_fixity
from catalog.inventory import rescanning, scanning
from catalog.measuring import HANDLED, LANE_FAULTS
from catalog.objects import changing, discovered, granting, relocations, remembering, uploads
from catalog.retention import clock, leftovers
from catalog.search import concrete, unfound, vectors
from catalog.search.index import MappingChanged
from catalog.storage import capacity, health, unreadable
from catalog.subscriptions import telling as subscribed
from catalog.sync import rebuilding as rebuilt
from catalog.sync import rounds
from catalog.sync.rebuilding import WaitsForMigration
from indexer import (
    agreeing,
    alerts,
    documents,
    dois,
    embargoes,
    embedding,
    fixity,
    handling,
    hashes,
    keys,
    notices,
    outside,
    probes,
    rebuilding,
    relocating,
    retention,
    scans,
    subscriptions,
    telling,
)

log = structlog.get_logger("indexer")

# The bell is a courtesy; without it a change waits this long.
POLL_SECONDS = 1.0
# Between attempts while an engine is away; short, so that recovery is quick.
AWAY_SECONDS = 1.0
# While one batch is on its way to the index, the next is read and projected.
DOCUMENT_LANES = 2
# A store that is slow to give its bytes keeps one of them busy.
READ_LANES = 2
# The files of a folder arrive one by one, hundreds in a second, and cost a tenth when many are settled together.
GATHER_SECONDS = 0.05
DRAIN_POLL_SECONDS = 0.05
HOUSEKEEPING_SECONDS = 3600.0
INDEX_WATCHED_SECONDS = 5.0
STOPPING_TOLD_SECONDS = 10.0
# What is sent elsewhere may have to wait for others, and is not waited for.
DRAINED = (
    uploads.KEY,
    uploads.READ,
    changing.INDEX,
    changing.DOI,
    granting.EMBARGO,
    topics.SAVED,
    topics.MATCH,
    topics.ALERT,
)

Step = Callable[[Engines], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Lane:
    """One kind of work: the step that does some of it, and the queue's topic that says there is any.

    One that gathers lets more come in where it just had fewer than so many: what comes one by one, thousands of times,
    is then done in batches, and what comes alone is done at once.
    """

    step: Step
    topic: str
    gathers: int = 0


class Wakener:
    """Spreads each ring of the bell to the lanes of its topics: all the others would look for nothing."""

    def __init__(self) -> None:
        self._rings: dict[str, asyncio.Event] = {}

    def wake(self, topics: Collection[str] | None = None) -> None:
        """Let the lanes of these topics go on, or all of them."""
        for topic in list(self._rings) if topics is None else topics:
            if (ring := self._rings.pop(topic, None)) is not None:
                ring.set()

    def next_ring(self, topic: str) -> asyncio.Event:
        """Return what the next ring sets: take it before looking for work, or a ring in between is missed."""
        return self._rings.setdefault(topic, asyncio.Event())


async def prepare(engines: Engines) -> None:
    """Wait until the index is there; one that is new or empty is filled from the database."""
    created = False
    while True:
        try:
            created = await _ensure_index(engines) or created
            # Empty as well: whoever created it may have ended before it was queued that everything belongs there.
            if created or not await engines.index.count():
                await _queue_everything(engines)
            await alerts.prepare(engines)
            await outside.prepare(engines)
            await dois.prepare(engines)
            await retention.prepare(engines)
            await embedding.prepare(engines)
            await fixity.prepare(engines)
            await probes.prepare(engines)
            await agreeing.prepare(engines)
            await scans.prepare(engines)
        except (Unavailable, WaitsForMigration, sa.exc.SQLAlchemyError) as fault:
            log.warning("waiting for the engines", reason=_line(fault))
            await asyncio.sleep(AWAY_SECONDS)
        else:
            return


async def _queue_everything(engines: Engines) -> None:
    async with engines.database.transaction() as session:
        await changing.index_everything(session)
    log.warning("index filled anew", note="every object is queued for it")


async def _watch_index(engines: Engines, stop: asyncio.Event) -> None:
    """Make the indices anew where they are lost amid work: a disk that was wiped, somebody who removed them."""
    lost = False
    while not stop.is_set():
        await handling.pause(stop, INDEX_WATCHED_SECONDS)
        with suppress(CatalogError, sa.exc.SQLAlchemyError):
            # Until everything is queued: that there is one again, made by us or by another indexer, says nothing yet.
            lost = lost or (not stop.is_set() and await concrete.behind(engines.index) is None)
            if lost:
                await _ensure_index(engines)
                await _queue_everything(engines)
                await alerts.prepare(engines)
                lost = False


async def _ensure_index(engines: Engines) -> bool:
    """Make the index where there is none; return whether this call did. Raises Unavailable, WaitsForMigration."""
    try:
        if await concrete.behind(engines.index) is None:
            async with engines.database.transaction() as session:
                if await rebuilt.recover(session, engines.index):
                    log.warning("index was gone", note="the one that was kept of the last rebuild is searched")
        return await engines.index.ensure()
    except MappingChanged as fault:
        async with engines.database.transaction() as session:
            served = await rebuilt.is_served(session, engines.index)
        if not served:
            # Before it has begun, no document of this version can be written anywhere.
            await rebuilding.step(engines)
            raise Unavailable(fault.detail) from fault
        return False


def lanes() -> tuple[Lane, ...]:
    """Return all kinds of work."""
    return (
        Lane(keys.step, uploads.KEY, gathers=keys.BATCH),
        *[Lane(keys.read_step, uploads.READ)] * READ_LANES,
        *[Lane(documents.step, changing.INDEX)] * DOCUMENT_LANES,
        Lane(documents.purge_step, documents.PURGE),
        Lane(outside.step, changing.OUTSIDE),
        Lane(dois.step, changing.DOI),
        Lane(embargoes.step, granting.EMBARGO),
        Lane(alerts.saved_step, topics.SAVED),
        Lane(alerts.match_step, topics.MATCH),
        Lane(alerts.alert_step, topics.ALERT),
        Lane(telling.confirm_step, topics.CONFIRM),
        Lane(telling.step, topics.TELL),
        Lane(probes.step, health.PROBE),
        Lane(notices.step, topics.NOTICE),
        Lane(embedding.step, vectors.EMBED),
        Lane(scans.step, scanning.SCAN),
        Lane(scans.begin_step, rescanning.RESCAN),
        Lane(hashes.step, discovered.HASH),
        Lane(fixity.step, inventory_fixity.FIXITY),
        Lane(agreeing.step, rounds.SYNC),
        Lane(rebuilding.step, rebuilt.REBUILD),
        Lane(retention.step, clock.RETENTION),
        Lane(retention.leftover_step, leftovers.LEFTOVER),
        Lane(relocating.step, relocations.RELOCATE),
    )


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
            async with asyncio.TaskGroup() as working:
                polling = working.create_task(_poll(engines, wakener), name="poll")
                ending = {
                    *[working.create_task(_work(engines, lane, wakener, stop), name=lane.topic) for lane in lanes()],
                    working.create_task(_keep_house(engines, stop), name="housekeeping"),
                    working.create_task(_watch_index(engines, stop), name="index watch"),
                    working.create_task(subscriptions.run(engines, stop), name="subscriptions"),
                }
                await stop.wait()
                wakener.wake()
                await tasks.end(polling)
                await _ended(ending)
    finally:
        await tasks.end(listener, preparing, stopping)
    log.info("indexer stopped")


async def _ended(ending: set["asyncio.Task[None]"]) -> None:
    while ending:
        _, ending = await asyncio.wait(ending, timeout=STOPPING_TOLD_SECONDS)
        if ending:
            log.info("stopping", waits_for=sorted(task.get_name() for task in ending))


async def _work(engines: Engines, lane: Lane, wakener: Wakener, stop: asyncio.Event) -> None:
    while not stop.is_set():
        ring = wakener.next_ring(lane.topic)
        try:
            with tracing.step(lane.topic):
                handled = await lane.step(engines)
            HANDLED.labels(lane.topic).inc(handled)
        except (CatalogError, sa.exc.SQLAlchemyError) as fault:
            LANE_FAULTS.labels(lane.topic).inc()
            log.warning("lane waits", step=lane.step.__module__, reason=_line(fault))
            await handling.pause(stop, AWAY_SECONDS)
            continue
        except Exception:
            # Nobody foresaw this: it is told, and the other lanes go on. Leases bring back what was claimed.
            LANE_FAULTS.labels(lane.topic).inc()
            log.exception("lane failed", step=lane.step.__module__)
            await handling.pause(stop, AWAY_SECONDS)
            continue
        if not handled:
            await ring.wait()
        elif handled < lane.gathers:
            await handling.pause(stop, GATHER_SECONDS)


async def _poll(engines: Engines, wakener: Wakener) -> None:
    """Look for all lanes what has come due without a ring: what was postponed, and rings that were lost."""
    wanted = {lane.topic for lane in lanes()}
    while True:
        with suppress(psycopg.Error, CatalogError):
            wakener.wake(await queue.topics_due(engines.database, wanted))
        await asyncio.sleep(POLL_SECONDS)


async def _listen(url: str, wakener: Wakener) -> None:
    while True:
        try:
            async with queue.listening(url) as heard:
                # What rang while nobody listened was not heard.
                wakener.wake()
                while True:
                    wakener.wake(await heard(POLL_SECONDS))
        except (psycopg.Error, OSError) as fault:
            log.warning("bell not heard, polling", reason=type(fault).__name__)
            await asyncio.sleep(AWAY_SECONDS)


async def _keep_house(engines: Engines, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await _tidy(engines, stop)
        except Exception:
            # An hour later is early enough, and the lanes have nothing to do with it.
            log.exception("housekeeping failed")
        await handling.pause(stop, HOUSEKEEPING_SECONDS)


async def _tidy(engines: Engines, stop: asyncio.Event) -> None:
    async with engines.database.transaction() as session:
        await remembering.forget_old_requests(session)
        await unfound.forget_old(session)
        await quotas.fold(session)
        await capacity.fold(session)
        await capacity.note_day(session)
        await health.forget_old(session)
        await told_notices.forget_old(session)
        await unreadable.forget_old(session)
        await subscribed.sweep(session)
        await health.schedule(session, engines.probe_interval)
        await rescanning.schedule(session, engines.scan_interval)
    folded = matches.FOLDED_AT_ONCE
    while folded == matches.FOLDED_AT_ONCE and not stop.is_set():
        async with engines.database.transaction() as session:
            folded = await matches.fold(session)
    removed = issued.FORGOTTEN_AT_ONCE
    while removed == issued.FORGOTTEN_AT_ONCE and not stop.is_set():
        async with engines.database.transaction() as session:
            removed = await issued.forget_old(session, engines.access_log_kept)


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
            handled = await embargoes.step(engines) + await keys.step(engines) + await keys.read_step(engines)
            handled += await documents.step(engines) + await dois.step(engines)
            handled += await alerts.saved_step(engines) + await alerts.match_step(engines)
            handled += await alerts.alert_step(engines) + await embedding.step(engines)
            if handled:
                continue
            async with engines.database.transaction() as session:
                embedded = [vectors.EMBED] if await embedding.is_wanted(engines, session) else []
                left = await queue.due(session, [*DRAINED, *embedded])
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

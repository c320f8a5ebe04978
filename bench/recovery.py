"""B10: what a look at the whole store costs. B12: what it costs that indexers are killed amid their work."""

import asyncio
import random
import subprocess
import time
from contextlib import suppress

import msgspec
import psutil
import psycopg
import sqlalchemy as sa

from bench import stand as stands
from bench.measure import Figure, Pair, figure, median
from bench.stand import Stand, say
from catalog import queue
from catalog.database import now
from catalog.inventory import scanning
from catalog.storage.keys import OWN
from indexer import keys, scans

WORKERS = 3
KILLED_EVERY_SECONDS = 3.0
DRAINED_SECONDS_MAX = 600
ROUNDS = 3
LISTED_SHARE_CHANGED = 0.001
PUTS_AT_ONCE = 16
MEMORY_MB_MAX = 150


async def crash_tax(stand: Stand) -> list[Figure]:
    """B12: every object is written anew by three indexers of which one is killed every three seconds, and by three."""
    say("B12 crash tax")
    pair = Pair([], [])
    killed = 0
    for number in range(ROUNDS):
        for harm in (True, False) if number % 2 == 0 else (False, True):
            took, kills = await _drained(stand, harm=harm)
            (pair.ours if harm else pair.limit).append(took)
            killed += kills
    versions = await stand.engines.index.versions(stand.ids[:: max(1, len(stand.ids) // 1000)])
    assert len(versions) == len(stand.ids[:: max(1, len(stand.ids) // 1000)])
    note = f"{WORKERS} indexers, {killed} killed in {ROUNDS} drains; nothing lost"
    return [figure("B12", pair, median, unit="s", objects=len(stand.ids), target="<= 1.25", note=note)]


async def _drained(stand: Stand, *, harm: bool) -> tuple[float, int]:
    async with stand.engines.database.transaction() as session:
        await session.execute(sa.text("UPDATE object SET revision = revision + 1"))
    workers = [stand.start("indexer", "run") for _ in range(WORKERS)]
    chosen, kills = random.Random(5), 0
    try:
        # They are there and have nothing to do.
        await asyncio.sleep(KILLED_EVERY_SECONDS * 2)
        await stands.queue_all(stand.engines)
        started = last = time.perf_counter()
        while await asyncio.to_thread(_left, str(stand.settings.database_url)):
            assert time.perf_counter() - started < DRAINED_SECONDS_MAX
            if harm and time.perf_counter() - last > KILLED_EVERY_SECONDS:
                last, kills = time.perf_counter(), kills + 1
                place = chosen.randrange(WORKERS)
                workers[place].kill()
                await asyncio.to_thread(workers[place].wait)
                workers[place] = stand.start("indexer", "run")
            await asyncio.sleep(0.1)
        return time.perf_counter() - started, kills
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(worker.wait, 20)


def _left(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT 1 FROM queue WHERE topic = 'index' LIMIT 1").fetchone() is not None


async def store_look(stand: Stand) -> list[Figure]:
    """B10: a scan of a store in which one key of a thousand has changed, against its listing alone."""
    say("B10 a look at the whole store")
    size = len(stand.ids)
    store = stand.engines.store
    names = [f"adopted/source/{number // 1000:04}/{number:07}.bin" for number in range(size)]
    gate = asyncio.Semaphore(PUTS_AT_ONCE)

    async def put(name: str, content: bytes) -> None:
        async with gate:
            await store.write(name, content, now=now())

    await asyncio.gather(*(put(name, name.encode()) for name in names))
    await _scanned(stand)
    chosen, pair, most = random.Random(9), Pair([], []), 0.0
    process = psutil.Process()
    for number in range(ROUNDS * 2):
        fresh = [
            f"adopted/source/new/{number:02}-{one:05}.bin" for one in range(max(1, int(size * LISTED_SHARE_CHANGED)))
        ]
        for name in chosen.sample(names, len(fresh)):
            await store.remove(name)
        await asyncio.gather(*(put(name, name.encode()) for name in fresh))
        before = process.memory_info().rss
        for ours in (True, False) if number % 2 == 0 else (False, True):
            started = time.perf_counter()
            if ours:
                added = await _scanned(stand)
                assert added == len(fresh), (added, len(fresh))
            else:
                listed = 0
                async for page in store.pages(""):
                    listed += len(page.items)
            (pair.ours if ours else pair.limit).append(size / (time.perf_counter() - started))
        most = max(most, (process.memory_info().rss - before) / 1e6)
    assert most < MEMORY_MB_MAX
    note = f"{size:,} keys, one of a thousand removed and as many added; memory grew by at most {most:.0f} MB"
    return [figure("B10", pair, median, unit="keys/s", objects=size, target=">= 0.85", note=note)]


async def _scanned(stand: Stand) -> int:
    """Scan the catalog's own store, and return how many keys were new."""
    async with stand.engines.database.transaction() as session:
        await session.execute(sa.text("TRUNCATE queue"))
        scan = await scanning.begin(session, OWN, scope=None, caller=stand.owners[0])
    while await scans.step(stand.engines):
        pass
    async with stand.engines.database.transaction() as session:
        done = await scanning.find(session, scan.id)
        left = await queue.due(session, ["key"])
    assert done is not None
    assert done.state == "done", msgspec.json.encode(done)
    # What is gone is looked at by itself, as it would be; that is no part of the walk.
    while left and await keys.step(stand.engines):
        pass
    return done.added

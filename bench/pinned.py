"""XMIN: what somebody who reads on and on from one old snapshot costs those who work."""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa
from uuid_utils.compat import uuid7

from bench.measure import Figure, Pair, figure, median
from bench.stand import Stand, say
from catalog import queue

# Three minutes at 800 changes a second.
CHANGES, EACH = 180 * 800, 500
BLOCKS, CYCLES = 8, 12
TOPIC = "pinned"


async def old_snapshot(stand: Stand) -> list[Figure]:
    """Put, claim and finish entries with and without a snapshot held since three minutes of changes."""
    say("XMIN work while an old snapshot is held")
    await _block(stand)
    pair = Pair([], [])
    pair.limit.extend([await _block(stand) for _ in range(BLOCKS)])
    with _held(str(stand.settings.database_url)):
        for _ in range(CHANGES // EACH):
            await _cycle(stand)
        # As after three minutes, not as after what they took here.
        await asyncio.sleep(queue.LATE.total_seconds())
        pair.ours.extend([await _block(stand) for _ in range(BLOCKS)])
    async with stand.engines.database.transaction() as session:
        await session.execute(sa.text("TRUNCATE queue"))
    pair.limit.extend([await _block(stand) for _ in range(BLOCKS)])
    note = f"after {CHANGES:,} entries that were put, claimed and finished while it was held"
    return [figure("XMIN", pair, median, unit="entries/s", objects=len(stand.ids), target=">= 0.90", note=note)]


async def _block(stand: Stand) -> float:
    started = time.perf_counter()
    for _ in range(CYCLES):
        await _cycle(stand)
    return CYCLES * EACH / (time.perf_counter() - started)


async def _cycle(stand: Stand) -> None:
    database = stand.engines.database
    async with database.transaction() as session:
        await queue.put(session, TOPIC, [str(uuid7()) for _ in range(EACH)])
    async with database.transaction() as session:
        claims = await queue.claim(session, TOPIC, most=EACH)
    assert len(claims) == EACH
    async with database.transaction() as session:
        await queue.finish(session, claims)


@contextmanager
def _held(url: str) -> Generator[None]:
    """Hold a snapshot of the database as it is now."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM queue")
        yield

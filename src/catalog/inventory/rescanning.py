"""Scans that nobody asks for: each store in its turn, and one that has lost events at once.

Runs in the caller's transaction.
"""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog import queue
from catalog.database import now
from catalog.storage import backends, health
from catalog.storage.backends import Health
from catalog.storage.health import Standing
from catalog.storage.keys import OWN

# What is queued: begin to scan a backend, and again after the interval.
RESCAN = "rescan"

_queue = SQLModel.metadata.tables["queue"]


async def schedule(session: AsyncSession, every: timedelta) -> None:
    """Queue every backend that does not wait for its turn, the catalog's own store too; none where `every` is zero."""
    if not every:
        return
    waiting = await session.execute(
        sa.select(_queue.c.subject).where(
            _queue.c.topic == RESCAN, _queue.c.parked_at.is_(None), _queue.c.ready_at <= sa.func.now() + 2 * every
        )
    )
    known = set(waiting.scalars())
    wanted = [OWN, *(str(one.id) for one in await backends.everywhere(session))]
    for name in wanted:
        if name not in known:
            await queue.put(session, RESCAN, [name], after=wait(name, every))


def wait(backend: str, every: timedelta) -> timedelta:
    """Return how long to wait for a backend's next turn: each has a time of its own within the interval."""
    moment = now()
    return health.wait_until_next(backend, Standing(Health.HEALTHY, moment), every, moment)

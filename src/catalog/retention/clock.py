"""Time as retention counts it: the database's clock says the moment, and what passed under our eyes says the rest.

A clock that jumps forward makes everything look old. So a grace period has to be over by both: the clock has to have
reached its end, and as much time has to have been witnessed, in steps so short that each can be believed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.retention.tables import RetentionClock

# What is queued: run a cycle. There is one entry, so that one indexer at a time does.
RETENTION = "retention"
SUBJECT = "cycle"
# How often a cycle runs, and so the clock is looked at.
CYCLE = timedelta(minutes=10)
# A longer step is a jump, or a time in which no indexer ran; which of the two, nobody can tell: it counts as nothing.
STEP_MAX = 3 * CYCLE

_clock = SQLModel.metadata.tables[str(RetentionClock.__tablename__)]


@dataclass(frozen=True, slots=True)
class Moment:
    """What the database's clock says, and how many seconds were witnessed since retention began."""

    at: datetime
    witnessed: int


def stepped(seen_at: datetime, at: datetime) -> timedelta:
    """Return how much of the time between two looks is believed to have passed."""
    step = at - seen_at
    return step if timedelta() < step <= STEP_MAX else timedelta()


async def look(session: AsyncSession) -> Moment:
    """Look at the clock and witness what has passed since the last look; nobody else does until the transaction ends.

    Only the cycle calls this: who looked more often would count no more.
    """
    await session.execute(
        sa.text("INSERT INTO retention_clock (id, seen_at, witnessed) VALUES (1, now(), 0) ON CONFLICT (id) DO NOTHING")
    )
    row = (
        await session.execute(
            sa.select(_clock.c.seen_at, _clock.c.witnessed, sa.func.now().label("at")).with_for_update()
        )
    ).one()
    # Whole seconds are added and the rest waits for the next look: thousands of short steps lose nothing.
    step = int(stepped(row.seen_at, row.at).total_seconds())
    seen_at = row.seen_at + timedelta(seconds=step) if step or timedelta() <= row.at - row.seen_at < _SECOND else row.at
    await session.execute(_clock.update().values(seen_at=seen_at, witnessed=_clock.c.witnessed + step))
    return Moment(row.at, row.witnessed + step)


async def now(session: AsyncSession) -> Moment:
    """Return the moment without witnessing anything."""
    found = (await session.execute(sa.select(sa.func.now().label("at"), _witnessed()))).one()
    return Moment(found.at, found.witnessed)


def _witnessed() -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.select(_clock.c.witnessed).scalar_subquery(), 0).label("witnessed")


_SECOND = timedelta(seconds=1)


def is_over(removes_at: datetime, witnessed: int, grace: timedelta, moment: Moment) -> bool:
    """Whether a grace period that ends then, and began when so much had been witnessed, is over by both clocks."""
    return moment.at >= removes_at and moment.witnessed - witnessed >= grace.total_seconds()

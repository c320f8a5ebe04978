"""Entries of the queue that wait for a person: listed, tried again, discarded.

Discarding ends a note and nothing else: no object, file or document is touched, and whatever is noted again is done
again. Who retried or discarded what has a row of its own in the same transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog import queue
from catalog.access import audit
from catalog.access.callers import Caller
from catalog.errors import NotFound

# One statement's worth: more are retried by asking again.
RETRIED_AT_ONCE = 10_000

_queue = SQLModel.metadata.tables["queue"]


class NotParked(NotFound):
    """No parked entry of the queue has this id: it may have been retried, touched or discarded meanwhile."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which parked entries are meant: of a topic, with a text in their reason; those of both where both are said."""

    topic: str | None = None
    reason: str | None = None

    @property
    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """What a row of the queue has to fulfil."""
        said: list[sa.ColumnElement[bool]] = [_queue.c.parked_at.is_not(None)]
        if self.topic is not None:
            said.append(_queue.c.topic == self.topic)
        if self.reason is not None:
            said.append(_queue.c.reason.icontains(self.reason, autoescape=True))
        return said


@dataclass(frozen=True, slots=True)
class Entry:
    """A parked entry: since when it is in the queue, since when parked, and why."""

    id: int
    topic: str
    subject: str
    reason: str
    attempts: int
    created_at: datetime
    parked_at: datetime


_COLUMNS = tuple(_queue.c[name] for name in ("id", "topic", "subject", "reason", "attempts", "created_at", "parked_at"))


def _entry(row: sa.Row[tuple[object, ...]]) -> Entry:
    told = row._asdict()
    return Entry(**told | {"reason": told["reason"] or ""})


async def page(session: AsyncSession, chosen: Chosen, *, after: int | None, limit: int) -> Sequence[Entry]:
    """Return parked entries in the order in which they came into the queue."""
    begins = [] if after is None else [_queue.c.id > after]
    rows = await session.execute(
        sa.select(*_COLUMNS).where(*chosen.conditions, *begins).order_by(_queue.c.id).limit(limit)
    )
    return [_entry(row) for row in rows]


async def counts(session: AsyncSession) -> dict[str, int]:
    """Return how many are parked, by topic."""
    rows = await session.execute(
        sa.select(_queue.c.topic, sa.func.count()).where(_queue.c.parked_at.is_not(None)).group_by(_queue.c.topic)
    )
    return {row[0]: row[1] for row in rows}


async def retry(session: AsyncSession, entry_id: int, *, caller: Caller) -> None:
    """Have one entry tried anew, as if for the first time; raises NotParked."""
    if not await _retry(session, _queue.c.id == entry_id, caller=caller):
        raise NotParked


async def retry_all(session: AsyncSession, chosen: Chosen, *, caller: Caller) -> int:
    """Have all of the chosen tried anew, RETRIED_AT_ONCE at most, and return how many those are."""
    return await _retry(session, *chosen.conditions, caller=caller)


async def _retry(session: AsyncSession, *conditions: sa.ColumnElement[bool], caller: Caller) -> int:
    # Locked in the order in which everybody locks entries, so that nobody waits in a circle.
    meant = (
        sa.select(_queue.c.id)
        .where(_queue.c.parked_at.is_not(None), *conditions)
        .order_by(_queue.c.topic.collate("C"), _queue.c.subject.collate("C"))
        .limit(RETRIED_AT_ONCE)
        .with_for_update()
    )
    anew = {"parked_at": None, "reason": None, "attempts": 0, "ready_at": sa.func.now()}
    rows = await session.execute(
        _queue.update()
        .where(_queue.c.id.in_(meant.scalar_subquery()))
        .values(touched=_queue.c.touched + 1, **anew)
        .returning(_queue.c.topic)
    )
    found: list[str] = [topic for (topic,) in rows]
    for topic in sorted(set(found)):
        queue.ring(session, topic)
        told = {"entries": found.count(topic)}
        await audit.note(session, caller.actor, "retry parked", f"queue:{topic}", after=told)
    return len(found)


async def discard(session: AsyncSession, entry_id: int, *, caller: Caller) -> Entry:
    """Take one entry out of the queue and return what it was; raises NotParked."""
    rows = await session.execute(
        _queue.delete().where(_queue.c.id == entry_id, _queue.c.parked_at.is_not(None)).returning(*_COLUMNS)
    )
    row = rows.one_or_none()
    if row is None:
        raise NotParked
    gone = _entry(row)
    told = {"subject": gone.subject, "reason": gone.reason, "attempts": gone.attempts}
    await audit.note(session, caller.actor, "discard parked", f"queue:{gone.topic}", before=told)
    return gone

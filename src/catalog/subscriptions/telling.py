"""What is to be told to whom, how far each subscription is with each object, and what becomes of failures.

An object is in the hands of one worker, for as long as its entry is leased, and what is in the queue for another
subscription has nothing to do with it. Runs in the caller's transaction.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog import queue
from catalog.access.audience import Audience
from catalog.alerts.keys import Keys
from catalog.alerts.telling import FAULT_CHARS_MAX, RETRIES
from catalog.database import Database
from catalog.queue import Claim
from catalog.subscriptions import shapes
from catalog.subscriptions.shapes import Happened, Subject
from catalog.subscriptions.tables import Position, SubscriptionRow

# Of one object, at a time.
EVENTS_READ_MAX = 100
SWEPT_AT_ONCE = 10_000

_rows = SQLModel.metadata.tables[SubscriptionRow.__tablename__]
_positions = SQLModel.metadata.tables[Position.__tablename__]
_queue = SQLModel.metadata.tables["queue"]
_objects = SQLModel.metadata.tables["object"]
_audit = SQLModel.metadata.tables["audit"]

# In no order: where more are due than are served at once, each comes to its turn.
_DUE = """
    SELECT id FROM subscription WHERE stopped_at IS NULL AND (retry_at IS NULL OR retry_at <= now()) AND EXISTS (
        SELECT FROM queue WHERE topic = 'subscription:' || subscription.id AND parked_at IS NULL AND ready_at <= now())
    ORDER BY random() LIMIT %(most)s
    """

# What belongs to nobody who is told anything; held, none of these goes on meanwhile.
# Passing over locked rows: a change holds several, in an order of its own.
_SWEEP = sa.text(
    """
    WITH quiet AS MATERIALIZED (
        SELECT id FROM subscription WHERE stopped_at IS NOT NULL FOR UPDATE SKIP LOCKED
    ), unwanted AS (
        SELECT queue.id FROM queue WHERE queue.topic LIKE 'subscription:%' AND (
            queue.topic IN (SELECT 'subscription:' || quiet.id FROM quiet)
            OR NOT EXISTS (SELECT FROM subscription WHERE 'subscription:' || subscription.id = queue.topic))
        LIMIT :most FOR UPDATE OF queue SKIP LOCKED
    ), gone AS (DELETE FROM queue USING unwanted WHERE queue.id = unwanted.id RETURNING queue.topic, queue.subject)
    DELETE FROM subscription_position USING gone
    WHERE 'subscription:' || subscription_id = gone.topic AND object_id::text = gone.subject
    """
)


def topic_of(subscription_id: UUID) -> str:
    """Return the topic of what is queued for a subscription; the subjects are objects."""
    return f"subscription:{subscription_id}"


@dataclass(frozen=True, slots=True)
class Untold:
    """What a subscription was not told of an object; `subject` is None where its owner may not see it.

    `seen` is where telling begins, and `more` whether there is more than what was read.
    """

    seen: int
    subject: Subject | None
    events: list[Happened]
    more: bool


async def due(database: Database, *, most: int) -> list[UUID]:
    """Return subscriptions for which there is something to do now; raises psycopg.OperationalError."""
    return [one for (one,) in await database.rows(_DUE, {"most": most})]


async def untold(session: AsyncSession, subscription_id: UUID, object_id: UUID, who: Audience, keys: Keys) -> Untold:
    """Return what is next; who may see the object is asked at this moment, also of one that was withdrawn."""
    mine = sa.select(_positions.c.next).where(
        _positions.c.subscription_id == subscription_id, _positions.c.object_id == object_id
    )
    seen: int | None = (await session.execute(mine)).scalar_one_or_none()
    visible = sa.and_(_objects.c.id == object_id, who.sql_condition(_objects.c.readers))
    title = _objects.c.record["title"].astext.label("title")
    found = await session.execute(sa.select(_objects.c.kind, _objects.c.project, title).where(visible))
    row = found.one_or_none()
    if seen is None or row is None:
        return Untold(seen or 0, None, [], more=False)
    rows = await session.execute(
        sa.select(_audit.c.id, _audit.c.at, _audit.c.action, _audit.c.from_revision, _audit.c.to_revision)
        .where(_audit.c.object_id == object_id, _audit.c.id >= seen)
        .order_by(_audit.c.id)
        .limit(EVENTS_READ_MAX)
    )
    events = [
        Happened(
            one.id,
            keys.of_event(one.id),
            one.at,
            shapes.type_of(one.action, new_revision=one.from_revision != one.to_revision),
            one.to_revision,
        )
        for one in rows
    ]
    subject = Subject(object_id, row.kind, row.project, row.title)
    return Untold(seen, subject, events, more=len(events) == EVENTS_READ_MAX)


async def advance(session: AsyncSession, subscription_id: UUID, object_id: UUID, seen: int, told: int) -> None:
    """Take note that an object was told up to this audit row, unless an older one came to light meanwhile."""
    await session.execute(
        _positions.update()
        .where(
            _positions.c.subscription_id == subscription_id,
            _positions.c.object_id == object_id,
            _positions.c.next == seen,
        )
        .values(next=told + 1)
    )


async def finish(session: AsyncSession, subscription_id: UUID, claim: Claim) -> None:
    """Let go of an object of which everything was told, or keep it where something came meanwhile."""
    mine = sa.and_(_queue.c.id == claim.id, _queue.c.touched == claim.touched)
    gone = await session.execute(_queue.delete().where(mine).returning(_queue.c.id))
    if gone.one_or_none() is None:
        await _let_go(session, claim, attempts=0)
        return
    await session.execute(
        _positions.delete().where(
            _positions.c.subscription_id == subscription_id, _positions.c.object_id == UUID(claim.subject)
        )
    )


async def release(session: AsyncSession, claim: Claim) -> None:
    """Give back what was claimed, as if it had never been, whether or not it was touched since."""
    await _let_go(session, claim, attempts=claim.attempts - 1)


async def later(session: AsyncSession, claim: Claim, reason: str, *, progress: bool) -> None:
    """Have an object wait by itself whose events a receiver does not take while it takes others, and at last for ever.

    With `progress` some of them arrived this time: then it begins anew.
    """
    attempts = 1 if progress else claim.attempts
    if attempts > len(RETRIES):
        await queue.park(session, claim, reason=f"Its receiver takes other events, and not this object's: {reason}")
        return
    mine = sa.and_(_queue.c.id == claim.id, _queue.c.attempts == claim.attempts)
    values = {"ready_at": sa.func.now() + RETRIES[attempts - 1], "attempts": attempts, "reason": reason}
    await session.execute(_queue.update().where(mine).values(**values))


async def _let_go(session: AsyncSession, claim: Claim, *, attempts: int) -> None:
    # Claimed anew since, it is another's.
    mine = sa.and_(_queue.c.id == claim.id, _queue.c.attempts == claim.attempts)
    await session.execute(_queue.update().where(mine).values(ready_at=sa.func.now(), attempts=attempts))


async def well(session: AsyncSession, subscription_id: UUID) -> None:
    """Take note that something arrived."""
    values: dict[str, Any] = {"told_at": sa.func.now(), "failures": 0, "retry_at": None, "fault": None}
    await session.execute(_rows.update().where(_rows.c.id == subscription_id).values(**values))


async def failed(session: AsyncSession, subscription_id: UUID, reason: str) -> bool:
    """Take note that nothing arrived; return whether it is tried again. Two who fail at once have failed once."""
    found = sa.select(_rows.c.failures, (_rows.c.retry_at > sa.func.now()).label("waits")).where(
        _rows.c.id == subscription_id
    )
    row = (await session.execute(found.with_for_update(key_share=True))).one_or_none()
    if row is None or row.waits:
        return row is not None
    if row.failures >= len(RETRIES):
        await stop(session, subscription_id, reason)
        return False
    told = {"retry_at": sa.func.now() + RETRIES[row.failures], "failures": row.failures + 1}
    await session.execute(
        _rows.update().where(_rows.c.id == subscription_id).values(fault=reason[:FAULT_CHARS_MAX], **told)
    )
    return True


async def stop(session: AsyncSession, subscription_id: UUID, reason: str) -> None:
    """Tell nothing more until the owner changes it, nor keep what was to be told."""
    await session.execute(
        _rows.update()
        .where(_rows.c.id == subscription_id)
        .values(stopped_at=sa.func.now(), retry_at=None, fault=reason[:FAULT_CHARS_MAX])
    )


async def sweep(session: AsyncSession) -> None:
    """Forget what is queued for subscriptions that are told nothing any more."""
    await session.execute(_SWEEP, {"most": SWEPT_AT_ONCE})

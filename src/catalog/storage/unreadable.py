"""Notifications of a store we trust that could not be read: kept, with the reason, for a person to see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog.database import timestamp_column

# Enough to recognise what it was; a flood of large rubbish must not fill the disk.
BODY_BYTES_KEPT = 16 * 1024
# Long enough for whoever looks once a month. What it told of is found all the same, by a scan of the store.
KEPT = timedelta(days=30)


class KeptNotification(SQLModel, table=True):
    """One body that no parser understood, or the first part of it."""

    __tablename__ = "unreadable_notification"

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, sa.Identity(), primary_key=True))
    received_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    dialect: str = Field(sa_type=sa.Text)
    reason: str = Field(sa_type=sa.Text)
    body: bytes = Field(sa_type=sa.LargeBinary)


_table = SQLModel.metadata.tables["unreadable_notification"]


async def keep(session: AsyncSession, *, dialect: str, reason: str, body: bytes) -> None:
    """Keep the body and the reason."""
    await session.execute(
        _table.insert().values(
            dialect=dialect,
            reason=reason.replace("\x00", "\N{REPLACEMENT CHARACTER}"),
            body=body[:BODY_BYTES_KEPT],
        )
    )


@dataclass(frozen=True, slots=True)
class Unread:
    """One of them: of which dialect it was said to be, why it could not be read, and how long what is kept of it is."""

    id: int
    received_at: datetime
    dialect: str
    reason: str
    kept_bytes: int


async def page(session: AsyncSession, *, before: int | None, limit: int) -> Sequence[Unread]:
    """Return what is kept, newest first, without the bodies: nobody knows what an unreadable text holds."""
    rows = await session.execute(
        sa.select(
            *(_table.c[name] for name in ("id", "received_at", "dialect", "reason")), sa.func.length(_table.c.body)
        )
        .where(*([] if before is None else [_table.c.id < before]))
        .order_by(_table.c.id.desc())
        .limit(limit)
    )
    return [Unread(row[0], row[1], row[2], row[3], row[4]) for row in rows]


async def forget_old(session: AsyncSession) -> None:
    """Forget what came long ago."""
    await session.execute(_table.delete().where(_table.c.received_at < sa.func.now() - KEPT))


async def count(session: AsyncSession) -> int:
    """Return how many are kept."""
    return int((await session.execute(sa.select(sa.func.count()).select_from(_table))).scalar_one())

"""Notifications of a store we trust that could not be read: kept, with the reason, for a person to see."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog.database import timestamp_column

# Enough to recognise what it was; a flood of large rubbish must not fill the disk.
BODY_BYTES_KEPT = 16 * 1024


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


async def count(session: AsyncSession) -> int:
    """Return how many are kept."""
    return int((await session.execute(sa.select(sa.func.count()).select_from(_table))).scalar_one())

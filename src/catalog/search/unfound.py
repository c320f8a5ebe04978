"""Searches that found nothing: which words people use that the catalog does not know. Words and counts, never who.

Curators read them to add terms, synonyms and objects. Nobody else does: what one person asked for is no one else's
business, nor whether something hidden would have answered.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog.database import timestamp_column
from catalog.vocabulary.terms import folded

# A longer text is a sentence that nobody will ask again.
TEXT_CHARS_MAX = 200
# What is asked once by a machine shall not crowd out what people ask: beyond this, new texts wait until old ones go.
TEXTS_MAX = 10_000
KEPT = timedelta(days=90)


class UnfoundSearch(SQLModel, table=True):
    """A text that found nothing, how often, and when last."""

    __tablename__ = "unfound_search"
    __table_args__ = (sa.Index("ix_unfound_search_last_at", "last_at"),)

    text: str = Field(sa_type=sa.Text, primary_key=True)
    times: int = Field(sa_type=sa.BigInteger)
    first_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    last_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


_unfound = SQLModel.metadata.tables[UnfoundSearch.__tablename__]

_NOTE = sa.text(
    "INSERT INTO unfound_search (text, times)"
    " SELECT :text, 1 WHERE EXISTS (SELECT FROM unfound_search WHERE text = :text)"
    "  OR (SELECT count(*) FROM unfound_search) < :most"
    " ON CONFLICT (text) DO UPDATE SET times = unfound_search.times + 1, last_at = now()"
)


async def note(session: AsyncSession, text: str) -> None:
    """Count a search that found nothing."""
    asked = folded(text)
    if asked and len(asked) <= TEXT_CHARS_MAX:
        await session.execute(_NOTE, {"text": asked, "most": TEXTS_MAX})


async def commonest(session: AsyncSession, *, limit: int) -> Sequence[UnfoundSearch]:
    """Return what was asked most often and found nothing, within the last 90 days."""
    rows = await session.execute(
        sa.select(_unfound)
        .where(_unfound.c.last_at > sa.func.now() - KEPT)
        .order_by(_unfound.c.times.desc(), _unfound.c.text)
        .limit(limit)
    )
    return [UnfoundSearch(**row._mapping) for row in rows]  # ruff: ignore[SLF001] - the documented name for it.


async def count(session: AsyncSession) -> int:
    """Return how many texts have found nothing within the last 90 days."""
    statement = sa.select(sa.func.count()).select_from(_unfound).where(_unfound.c.last_at > sa.func.now() - KEPT)
    return (await session.execute(statement)).scalar_one()


async def forget_old(session: AsyncSession) -> None:
    """Remove what nobody has asked for 90 days."""
    await session.execute(_unfound.delete().where(_unfound.c.last_at < sa.func.now() - KEPT))

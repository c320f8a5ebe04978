"""The last assessment of each object."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog.database import timestamp_column
from catalog.quality import assessing
from catalog.quality.assessing import Report


class Quality(SQLModel, table=True):
    """How an object stood when it was last indexed; derived, and made anew with every document."""

    __table_args__ = (
        sa.Index("ix_quality_failed", "failed", postgresql_using="gin"),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name="score_in_percent"),
    )

    object_id: UUID = Field(foreign_key="object.id", primary_key=True)
    score: int = Field(sa_type=sa.SmallInteger)
    band: str = Field(sa_type=sa.Text)
    passes: bool
    failed: list[str] = Field(sa_column=sa.Column(ARRAY(sa.Text), nullable=False))
    assessed_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


_KEEP = sa.text(
    "INSERT INTO quality (object_id, score, band, passes, failed)"
    " SELECT (one->>'id')::uuid, (one->>'score')::smallint, one->>'band', (one->>'passes')::boolean,"
    "  ARRAY(SELECT jsonb_array_elements_text(one->'failed'))"
    " FROM jsonb_array_elements(CAST(:assessed AS jsonb)) AS one ORDER BY 1"
    " ON CONFLICT (object_id) DO UPDATE SET score = excluded.score, band = excluded.band, passes = excluded.passes,"
    "  failed = excluded.failed, assessed_at = now()"
    " WHERE (quality.score, quality.passes, quality.failed) IS DISTINCT FROM"
    "  (excluded.score, excluded.passes, excluded.failed)"
)


async def keep(session: AsyncSession, reports: Mapping[UUID, Report]) -> None:
    """Keep what was found of these objects; a row that says the same already stays as it is."""
    if not reports:
        return
    assessed = [assessing.outcome(report) | {"id": object_id} for object_id, report in reports.items()]
    await session.execute(_KEEP, {"assessed": msgspec.json.encode(assessed).decode()})

"""Files that others put into a bucket: noticed, measured and accounted for, though no object claims them yet.

What lies under a key of ours belongs to its object and is none of these. Runs in the caller's transaction.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.database import timestamp_column
from catalog.objects.metadata import PROJECT_PATTERN

_PROJECT = re.compile(PROJECT_PATTERN.removesuffix("$"))


class DiscoveredFile(SQLModel, table=True):
    """Bytes in a bucket that no object claims; the row goes when they do."""

    __tablename__ = "discovered_file"
    __table_args__ = (
        sa.UniqueConstraint("backend", "bucket", "key"),
        sa.Index("ix_discovered_file_project_id", "project", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    backend: str = Field(sa_type=sa.Text)
    bucket: str = Field(sa_type=sa.Text)
    key: str = Field(sa_type=sa.Text)
    project: str | None = Field(default=None, sa_type=sa.Text, description="As the key's layout says, if it does.")
    size: int = Field(sa_type=sa.BigInteger)
    etag: str = Field(sa_type=sa.Text)
    media_type: str = Field(sa_type=sa.Text)
    store_version: str | None = Field(default=None, sa_type=sa.Text)
    modified_at: datetime = Field(sa_column=timestamp_column())
    found_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


_found = SQLModel.metadata.tables[DiscoveredFile.__tablename__]


@dataclass(frozen=True, slots=True)
class Lying:
    """What the store says of a key that no object claims."""

    size: int
    etag: str
    media_type: str
    store_version: str | None
    modified_at: datetime


def project_of(key: str, *, prefix: str) -> str | None:
    """Return the project that a key's layout names: its first two folders below the store's prefix."""
    below = key.removeprefix(f"{prefix}/") if prefix else key
    if prefix and below == key:
        return None
    named = _PROJECT.match(below)
    return named[0] if named is not None and below[named.end() :].startswith("/") else None


async def note(session: AsyncSession, backend: str, bucket: str, key: str, lying: Lying | None, *, prefix: str) -> None:
    """Keep what lies under a key that no object claims, or forget it when nothing does any more."""
    if lying is None:
        here = (_found.c.backend == backend, _found.c.bucket == bucket, _found.c.key == key)
        await session.execute(_found.delete().where(*here))
        return
    told = {
        "project": project_of(key, prefix=prefix),
        "size": lying.size,
        "etag": lying.etag,
        "media_type": lying.media_type,
        "store_version": lying.store_version,
        "modified_at": lying.modified_at,
    }
    row = insert(_found).values(id=uuid7(), backend=backend, bucket=bucket, key=key, **told)
    await session.execute(row.on_conflict_do_update(index_elements=["backend", "bucket", "key"], set_=told))


async def count(session: AsyncSession) -> int:
    """Return how many there are."""
    return (await session.execute(sa.select(sa.func.count()).select_from(_found))).scalar_one()


async def page(
    session: AsyncSession, *, project: str | None, after: UUID | None, limit: int
) -> Sequence[DiscoveredFile]:
    """Return the next of them, newest first, after the one named: for those who look after the whole catalog."""
    conditions: list[sa.ColumnElement[bool]] = []
    if project is not None:
        conditions.append(_found.c.project == project)
    if after is not None:
        conditions.append(_found.c.id < after)
    rows = await session.execute(sa.select(_found).where(*conditions).order_by(_found.c.id.desc()).limit(limit))
    return [DiscoveredFile(**row._mapping) for row in rows]  # ruff: ignore[SLF001] - the documented name for it.

"""Files whose bytes are there, of many objects, under an audience: some at a time, however many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.audience import Audience
from catalog.objects.tables import CatalogObject, FileState

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_files = SQLModel.metadata.tables["file"]


@dataclass(frozen=True, slots=True)
class Holding:
    """A file that can be fetched, and whose it is."""

    object_id: UUID
    path: str
    size: int
    sha256: str
    media_type: str
    backend: str
    key: str
    store_version: str | None


async def page(
    session: AsyncSession, ids: Sequence[UUID], audience: Audience, *, after: Holding | None, limit: int
) -> list[Holding]:
    """Return the next files of those of these objects that are there and may be seen, by id and path."""
    path = _files.c.path.collate("C")
    conditions = [
        _objects.c.id == sa.any_(sa.bindparam("ids", list(ids), type_=ARRAY(sa.Uuid))),
        _objects.c.withdrawn_at.is_(None),
        audience.sql_condition(_objects.c.readers),
        _files.c.state == FileState.AVAILABLE,
    ]
    if after is not None:
        further = sa.and_(_objects.c.id == after.object_id, path > after.path)
        conditions.append(sa.or_(_objects.c.id > after.object_id, further))
    columns = (_files.c[name] for name in ("path", "size", "sha256", "media_type", "backend", "key", "store_version"))
    rows = await session.execute(
        sa.select(_objects.c.id, *columns)
        .join(_objects, _objects.c.id == _files.c.object_id)
        .where(*conditions)
        .order_by(_objects.c.id, path)
        .limit(limit)
    )
    return [Holding(*row) for row in rows]

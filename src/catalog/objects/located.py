"""What of a project or an organization lies in a backend: every location once, whoever names it.

Runs in the caller's transaction. Counts hidden objects: whoever asks administers them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.audience import Audience
from catalog.objects.tables import CatalogObject, FileState, FrozenState, Version, VersionFile
from catalog.storage import keys

# Files of which a plan names the places.
UNREADABLE_SHOWN_MAX = 20

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_files = SQLModel.metadata.tables["file"]
_versions = SQLModel.metadata.tables[str(Version.__tablename__)]
_frozen = SQLModel.metadata.tables[VersionFile.__tablename__]


@dataclass(frozen=True, slots=True)
class Target:
    """Where files go: the backend as locations name it, its bucket, and what stands before the keys there."""

    backend: str
    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Amount:
    """So many files, and how many bytes they have."""

    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Located:
    """One location that is named by a file, a version, or both."""

    object_id: UUID
    path: str
    key: str
    store_version: str | None
    size: int
    # Whether the caller may see the object: who administers a project need not see all that is in it.
    visible: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """What of a scope lies in a backend: what can be moved, and what nobody can read, with the first of these."""

    readable: Amount
    unreadable: Amount
    # Those whose paths are too long for the target's prefix.
    too_long: int
    first_unreadable: Sequence[Located]


def within(scope: str, column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return the condition for objects of a scope: a project, or all projects of an organization."""
    return column == scope if "/" in scope else column.startswith(f"{scope}/", autoescape=True)


def everywhere(scope: str, source: str) -> sa.Subquery:
    """Return every location of a scope in a backend once, whoever names it."""
    files = (
        sa.select(
            _files.c.object_id,
            *(_files.c[name] for name in ("path", "size", "sha256", "media_type", "bucket", "key", "store_version")),
            (_files.c.state == FileState.AVAILABLE).label("readable"),
        )
        .where(_files.c.backend == source, _files.c.key.is_not(None))
        .subquery()
    )
    frozen = (
        sa.select(
            _versions.c.object_id,
            *(_frozen.c[name] for name in ("path", "size", "sha256", "media_type", "bucket", "key", "store_version")),
            (_frozen.c.state != FrozenState.LOST).label("readable"),
        )
        .join(_versions, _versions.c.id == _frozen.c.version_id)
        .where(_frozen.c.backend == source)
        .subquery()
    )
    every = sa.union_all(sa.select(files), sa.select(frozen)).subquery()
    first = {name: sa.func.min(every.c[name]).label(name) for name in ("path", "size", "sha256", "media_type")}
    return (
        sa.select(
            every.c.object_id,
            _objects.c.project,
            *first.values(),
            every.c.bucket,
            every.c.key,
            every.c.store_version,
            sa.func.bool_or(every.c.readable).label("readable"),
        )
        .join(_objects, _objects.c.id == every.c.object_id)
        .where(within(scope, _objects.c.project))
        .group_by(every.c.object_id, _objects.c.project, every.c.bucket, every.c.key, every.c.store_version)
        .subquery()
    )


async def contents(session: AsyncSession, scope: str, source: str, target: Target, *, audience: Audience) -> Contents:
    """Count what of a scope lies in a backend, hidden objects counted."""
    located = everywhere(scope, source)
    nowhere = f"{target.prefix}/" if target.prefix else ""
    # All of a key but its project and its path: two ids with their slashes, and the folder that they are in.
    beside = len(keys.upload_key("", keys.UploadKey("aa/bb", UUID(int=0), UUID(int=0), "c"))) - len("aa/bbc")
    length = sa.func.octet_length(located.c.project) + sa.func.octet_length(located.c.path)
    too_long = length + len(nowhere.encode()) + beside > keys.KEY_BYTES_MAX
    counted = (
        await session.execute(
            sa.select(
                sa.func.count().filter(located.c.readable),
                sa.func.sum(located.c.size).filter(located.c.readable),
                sa.func.count().filter(~located.c.readable),
                sa.func.sum(located.c.size).filter(~located.c.readable),
                sa.func.count().filter(located.c.readable, too_long),
            )
        )
    ).one()
    first = await session.execute(
        _places(located, audience).where(~located.c.readable).order_by(located.c.key).limit(UNREADABLE_SHOWN_MAX)
    )
    readable, unreadable = Amount(counted[0], int(counted[1] or 0)), Amount(counted[2], int(counted[3] or 0))
    return Contents(readable, unreadable, counted[4], [Located(*row) for row in first])


def _places(located: sa.Subquery, audience: Audience) -> sa.Select[Any]:
    return sa.select(
        *(located.c[name] for name in ("object_id", "path", "key", "store_version", "size")),
        sa.type_coerce(audience.sql_condition(_objects.c.readers), sa.Boolean).label("visible"),
    ).join(_objects, _objects.c.id == located.c.object_id)


async def some(session: AsyncSession, scope: str, source: str, *, audience: Audience, most: int) -> list[Located]:
    """Return some of the places that can be moved, from all over the backend."""
    located = everywhere(scope, source)
    # Spread as hashes are, and the same ones each time.
    rows = await session.execute(
        _places(located, audience).where(located.c.readable).order_by(sa.func.md5(located.c.key)).limit(most)
    )
    return [Located(*row) for row in rows]

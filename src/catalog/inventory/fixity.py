"""Fixity: the bytes of files and versions are read from end to end now and then, whatever the store says of them.

They are read in rounds, one after the other in the order in which they came. Source of the practice: NDSA Levels of
Digital Preservation, "Integrity". Runs in the caller's transaction; the indexer reads.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.inventory.tables import FixityCheck, Outcome
from catalog.objects.tables import FileState, FrozenState

# What is queued: read what comes after the place that the subject names.
FIXITY = "fixity"
# Where a round begins.
START = "files/"
# A batch: enough to make one look at the rows worth while, little enough for a page of memory.
FILES_AT_ONCE = 64
BYTES_AT_ONCE = 256 * 1024 * 1024

_checks = SQLModel.metadata.tables[FixityCheck.__tablename__]
_files = SQLModel.metadata.tables["file"]
_frozen = SQLModel.metadata.tables["version_file"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much is read a day, nothing if 0, and how long a rest there is between two rounds."""

    bytes_per_day: int
    rest: timedelta


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes of ours, as they were when they came; `place` is where the round stands after them."""

    place: str
    backend: str
    bucket: str
    key: str
    store_version: str | None
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What is read next; `after` is where the round goes on, None where it has come to its end."""

    held: Sequence[Held]
    after: str | None


async def batch(session: AsyncSession, place: str) -> Batch:
    """Return what comes after a place of the round: files of objects first, then what only versions have."""
    kind, _, within = place.partition("/")
    held = await (_of_versions(session, within) if kind == "versions" else _of_files(session, within))
    taken: list[Held] = []
    for one in held:
        if taken and sum(before.size for before in taken) + one.size > BYTES_AT_ONCE:
            return Batch(taken, taken[-1].place)
        taken.append(one)
    if len(held) == FILES_AT_ONCE:
        return Batch(taken, taken[-1].place)
    return Batch(taken, None if kind == "versions" else "versions/")


def _columns(table: sa.Table) -> list[sa.Column[object]]:
    return [table.c[name] for name in ("backend", "bucket", "key", "store_version", "size", "sha256")]


async def _of_files(session: AsyncSession, within: str) -> list[Held]:
    conditions = [_files.c.state == FileState.AVAILABLE]
    if within:
        conditions.append(_files.c.id > UUID(within))
    rows = await session.execute(
        sa.select(_files.c.id, *_columns(_files)).where(*conditions).order_by(_files.c.id).limit(FILES_AT_ONCE)
    )
    return [Held(f"files/{row[0]}", *row[1:]) for row in rows]


async def _of_versions(session: AsyncSession, within: str) -> list[Held]:
    version, _, path = within.partition("/")
    current = sa.exists().where(
        *(_files.c[name] == _frozen.c[name] for name in ("backend", "bucket", "key")),
        _files.c.store_version.is_not_distinct_from(_frozen.c.store_version),
    )
    whole = (FrozenState.AVAILABLE.value, FrozenState.OVERWRITTEN.value)
    conditions = [_frozen.c.state.in_(whole), sa.not_(current)]
    if within:
        further = sa.and_(_frozen.c.version_id == UUID(version), _frozen.c.path > path)
        conditions.append(sa.or_(_frozen.c.version_id > UUID(version), further))
    rows = await session.execute(
        sa.select(_frozen.c.version_id, _frozen.c.path, *_columns(_frozen))
        .where(*conditions)
        .order_by(_frozen.c.version_id, _frozen.c.path)
        .limit(FILES_AT_ONCE)
    )
    return [Held(f"versions/{row[0]}/{row[1]}", *row[2:]) for row in rows]


async def note(
    session: AsyncSession, held: Held, outcome: Outcome, *, found_sha256: str | None = None, reason: str | None = None
) -> None:
    """Keep what came of reading bytes again."""
    told = {"sha256": held.sha256, "outcome": outcome, "found_sha256": found_sha256, "reason": reason}
    row = insert(_checks).values(
        backend=held.backend, bucket=held.bucket, key=held.key, store_version=held.store_version or "", **told
    )
    await session.execute(
        row.on_conflict_do_update(
            index_elements=["backend", "bucket", "key", "store_version"], set_=told | {"checked_at": sa.func.now()}
        )
    )


async def altered_under(session: AsyncSession, backend: str, bucket: str, key: str) -> Mapping[str, str]:
    """Return the versions under a key whose bytes were others when they were read, with the SHA-256 each should have.

    A store goes on telling the checksum that it was sent, whatever became of the bytes: these have to be read.
    """
    here = {"backend": backend, "bucket": bucket, "key": key, "outcome": Outcome.ALTERED}
    rows = await session.execute(
        sa.select(_checks.c.store_version, _checks.c.sha256).where(*(_checks.c[name] == here[name] for name in here))
    )
    return {row.store_version: row.sha256 for row in rows}


async def mended(session: AsyncSession, backend: str, bucket: str, key: str, versions: Collection[str]) -> None:
    """Note that bytes which were others are again what they should be."""
    if versions:
        await session.execute(
            _checks.update()
            .where(_checks.c.backend == backend, _checks.c.bucket == bucket, _checks.c.key == key)
            .where(_checks.c.store_version.in_(versions))
            .values(outcome=Outcome.INTACT, found_sha256=None, checked_at=sa.func.now())
        )


@dataclass(frozen=True, slots=True)
class Failed:
    """Bytes that were altered or could not be read when they were last tried."""

    object_id: UUID | None
    path: str | None
    backend: str
    key: str
    outcome: str
    found_sha256: str | None
    reason: str | None
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """How far reading again has come: how many bytes of ours it has met, since when, and what was wrong."""

    checked: int
    oldest_at: datetime | None
    newest_at: datetime | None
    failed: Sequence[Failed]


async def report(session: AsyncSession, *, most: int) -> Report:
    """Return what came of it, the newest failures first."""
    checked, oldest, newest = (
        await session.execute(
            sa.select(sa.func.count(), sa.func.min(_checks.c.checked_at), sa.func.max(_checks.c.checked_at))
        )
    ).one()
    uploads = SQLModel.metadata.tables["upload"]
    same = sa.and_(*(uploads.c[name] == _checks.c[name] for name in ("backend", "bucket", "key")))
    columns = [_checks.c[name] for name in ("backend", "key", "outcome", "found_sha256", "reason", "checked_at")]
    rows = await session.execute(
        sa.select(uploads.c.object_id, uploads.c.path, *columns)
        .select_from(_checks.outerjoin(uploads, same))
        .where(_checks.c.outcome != Outcome.INTACT)
        .order_by(_checks.c.checked_at.desc())
        .limit(most)
    )
    failed = [Failed(**row._mapping) for row in rows]  # ruff: ignore[SLF001] - the documented name for it.
    return Report(checked, oldest, newest, failed)

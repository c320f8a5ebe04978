"""One file of a relocation on its way: copied, verified, switched, removed, in this order, from any interruption.

A step is noted only if the file still stands where it was taken from, so that whoever was overtaken changes nothing.
Runs in the caller's transaction, and no network call happens here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.database import now
from catalog.errors import Conflict
from catalog.objects import changing
from catalog.objects.discovered import DiscoveredFile
from catalog.objects.relocated import (
    LEFT,
    MOVES,
    ON_ITS_WAY,
    MoveState,
    RelocatedFile,
    Relocation,
    RelocationState,
    moves,
    relocations,
)
from catalog.objects.tables import FileState, FrozenState, UploadState, Version, VersionFile
from catalog.storage import keys

# The random part of a UUIDv7, with its version and variant (RFC 9562, section 5.7).
_RANDOM_BITS = 80
REASON_CHARS_MAX = 500

_files = SQLModel.metadata.tables["file"]
_uploads = SQLModel.metadata.tables["upload"]
_versions = SQLModel.metadata.tables[str(Version.__tablename__)]
_frozen = SQLModel.metadata.tables[VersionFile.__tablename__]
_found = SQLModel.metadata.tables[DiscoveredFile.__tablename__]


class Overtaken(Conflict):
    """Somebody else has moved this file on, or has ended its relocation."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """What the target says of a copy."""

    store_version: str | None
    etag: str


async def due(session: AsyncSession, relocation: Relocation, *, grace: timedelta, most: int) -> list[RelocatedFile]:
    """Return what can be done now: files on their way while it runs, bytes to remove, copies that are for nobody."""
    ready = sa.or_(moves.c.retry_at.is_(None), moves.c.retry_at <= sa.func.now())
    found: list[RelocatedFile] = []
    for condition in _work(relocation, grace):
        if len(found) < most:
            rows = await session.execute(
                sa.select(moves)
                .where(moves.c.relocation_id == relocation.id, condition, ready)
                .order_by(moves.c.id)
                .limit(most - len(found))
            )
            found += [_move(row) for row in rows]
    return found


def _work(relocation: Relocation, grace: timedelta) -> list[sa.ColumnElement[bool]]:
    for_nobody = sa.and_(moves.c.state.in_(LEFT), moves.c.target_key.is_not(None))
    if relocation.state != RelocationState.RUNNING:
        return [for_nobody]
    removable = sa.and_(moves.c.state == MoveState.SWITCHED, moves.c.switched_at <= sa.func.now() - grace)
    return [moves.c.state.in_(ON_ITS_WAY), removable, for_nobody]


async def next_at(session: AsyncSession, relocation: Relocation, *, grace: timedelta) -> datetime | None:
    """Return when there is something to do again; None when there never is."""
    for_nobody = sa.and_(moves.c.state.in_(LEFT), moves.c.target_key.is_not(None))
    ready_at: sa.ColumnElement[Any] = sa.func.coalesce(moves.c.retry_at, sa.func.now())
    waiting: sa.ColumnElement[bool] = for_nobody
    if relocation.state == RelocationState.RUNNING:
        removable_at = sa.func.greatest(ready_at, moves.c.switched_at + grace)
        ready_at = sa.case((moves.c.state == MoveState.SWITCHED, removable_at), else_=ready_at)
        waiting = sa.or_(moves.c.state.in_((*ON_ITS_WAY, MoveState.SWITCHED)), for_nobody)
    found = await session.execute(
        sa.select(sa.func.min(ready_at)).where(moves.c.relocation_id == relocation.id, waiting)
    )
    at: datetime | None = found.scalar_one()
    return at


def _move(row: Any) -> RelocatedFile:
    return RelocatedFile(**row._mapping)  # ruff: ignore[SLF001] - the documented name for it.


async def begin(session: AsyncSession, relocation: Relocation, move: RelocatedFile) -> RelocatedFile:
    """Give a file its key at the target, once, before anything is copied there; raises Overtaken, WrongPath.

    A file that nothing names any more is dropped instead.
    """
    await _must_run(session, relocation.id)
    if not await _is_named(session, relocation.source, move):
        return await note(session, move, MoveState.DROPPED, reason="It was replaced or removed before it was copied.")
    if move.target_key is not None:
        return move
    upload = keys.UploadKey(move.project, move.object_id, await _new_id(session, relocation, move), move.path)
    return await note(session, move, MoveState.WAITING, target_key=keys.upload_key(relocation.target_prefix, upload))


async def _new_id(session: AsyncSession, relocation: Relocation, move: RelocatedFile) -> UUID:
    """Return an id for the bytes' new place, as old as the upload that brought them.

    Of several uploads for a path the newest counts: a replacement that is on its way must stay newer than what moves.
    """
    before = await _upload_at(session, relocation.source, move)
    old = move.object_id if before is None else before.id
    return UUID(int=old.int >> _RANDOM_BITS << _RANDOM_BITS | uuid7().int & (1 << _RANDOM_BITS) - 1)


async def _upload_at(session: AsyncSession, backend: str, move: RelocatedFile) -> Any:
    here = (_uploads.c.backend == backend, _uploads.c.bucket == move.bucket, _uploads.c.key == move.key)
    return (await session.execute(sa.select(_uploads).where(*here))).one_or_none()


def _is_ours(upload: Any, move: RelocatedFile) -> bool:
    """Whether the catalog chose the key itself, for this upload: keys of adopted files are those of others."""
    return move.key.endswith(f"/uploads/{move.object_id}/{upload.id}/{move.path}")


async def note(session: AsyncSession, move: RelocatedFile, state: MoveState, **values: Any) -> RelocatedFile:
    """Write where a file stands, unless it stands elsewhere by now; raises Overtaken."""
    if state != move.state and state not in MOVES.get(MoveState(move.state), set()):
        raise AssertionError(f"no file goes from {move.state} to {state}")
    if "reason" in values and values["reason"] is not None:
        values["reason"] = values["reason"][:REASON_CHARS_MAX]
    row = await session.execute(
        moves.update()
        .where(
            moves.c.id == move.id, moves.c.state == move.state, moves.c.target_key.is_not_distinct_from(move.target_key)
        )
        .values(state=state, **values)
        .returning(moves)
    )
    changed = row.one_or_none()
    if changed is None:
        raise Overtaken
    return _move(changed)


async def copied(session: AsyncSession, relocation: Relocation, move: RelocatedFile, arrived: Arrived) -> RelocatedFile:
    """Note that a copy lies at the target; raises Overtaken."""
    await _must_run(session, relocation.id)
    return await note(
        session,
        move,
        MoveState.COPIED,
        target_version=arrived.store_version,
        target_etag=arrived.etag,
        multipart_id=None,
        copied_at=sa.func.now(),
        reason=None,
    )


async def _must_run(session: AsyncSession, relocation_id: UUID) -> None:
    """Hold a relocation as it is until the transaction ends; raises Overtaken unless it is running."""
    row = await session.execute(
        sa.select(relocations.c.state).where(relocations.c.id == relocation_id).with_for_update(read=True)
    )
    if row.scalar_one() != RelocationState.RUNNING:
        raise Overtaken


async def switch(session: AsyncSession, relocation: Relocation, move: RelocatedFile) -> RelocatedFile:
    """Let whatever names the bytes at the source name the verified ones at the target; raises Overtaken.

    Files and versions are looked up as they are now: what was published meanwhile moves too, what was replaced does
    not. Where nothing names them any more, the file is dropped.
    """
    # The object's row is the lock for everything below it, here as in every verb.
    await changing.lock(session, move.object_id)
    await _must_run(session, relocation.id)
    if await _is_to_go(session, relocation, move):
        return await note(session, move, MoveState.DROPPED, reason="It was removed, and its bytes go where they lie.")
    place = {
        "backend": relocation.target,
        "bucket": relocation.target_bucket,
        "key": move.target_key,
        "store_version": move.target_version,
        "etag": move.target_etag,
        "found_size": None,
        "found_sha256": None,
    }
    files = await session.execute(
        _files.update()
        .where(*_here(_files, relocation.source, move), _files.c.object_id == move.object_id)
        .values(state=FileState.AVAILABLE, **place)
        .returning(_files.c.path)
    )
    paths = set(files.scalars())
    frozen = await session.execute(
        _frozen.update()
        .where(*_here(_frozen, relocation.source, move))
        .values(state=FrozenState.AVAILABLE, **place)
        .returning(_frozen.c.version_id, _frozen.c.path)
    )
    published = frozen.all()
    if not (paths or published):
        return await note(session, move, MoveState.DROPPED, reason="It was replaced or removed while it was copied.")
    await _hand_over(session, relocation, move, served=bool(paths))
    numbers = await session.execute(
        sa.select(_versions.c.number).where(_versions.c.id.in_([row.version_id for row in published]))
    )
    changes = {
        "files": sorted(paths | {row.path for row in published}),
        "versions": sorted(numbers.scalars()),
        "relocation": str(relocation.id),
    }
    await changing.note_found(session, move.object_id, action="file moved", changes=changes)
    return await note(session, move, MoveState.SWITCHED, switched_at=sa.func.now(), attempts=0, retry_at=None)


async def _is_to_go(session: AsyncSession, relocation: Relocation, move: RelocatedFile) -> bool:
    """Tell whether the bytes at the source are to be deleted for good, or were: a copy would outlive them."""
    # The room of retention lies above this one, which knows its table by name alone.
    found = await session.execute(
        sa.text(
            "SELECT 1 FROM leftover WHERE (backend, bucket, key) = (:backend, :bucket, :key) AND why <> 'unused'"
            " AND (ended_at IS NULL OR reason IS NULL)"
        ),
        {"backend": relocation.source, "bucket": move.bucket, "key": move.key},
    )
    return found.one_or_none() is not None


def _here(table: sa.Table, backend: str, move: RelocatedFile) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the condition for rows that name exactly the bytes that were copied."""
    return (
        table.c.backend == backend,
        table.c.bucket == move.bucket,
        table.c.key == move.key,
        table.c.store_version.is_not_distinct_from(move.store_version),
        table.c.sha256 == move.sha256,
        table.c.size == move.size,
    )


async def _hand_over(session: AsyncSession, relocation: Relocation, move: RelocatedFile, *, served: bool) -> None:
    """Let an upload at the target stand for the one at the source: the indexer settles files by their uploads."""
    before = await _upload_at(session, relocation.source, move)
    told = {"principal_id": relocation.created_by, "created_at": now(), "expires_at": now()}
    state, lying_size = UploadState.SUPERSEDED, None
    if before is not None:
        told = {name: getattr(before, name) for name in told}
        state, lying_size = UploadState(before.state), before.lying_size
        if _is_ours(before, move):
            # Their bytes count once, while they lie in both places too.
            gone = {"state": UploadState.SUPERSEDED, "lying_size": None, "multipart_id": None}
            await session.execute(_uploads.update().where(_uploads.c.id == before.id).values(**gone))
        else:
            # Adopted where they lay: they are again what others put there.
            await session.execute(_uploads.delete().where(_uploads.c.id == before.id))
    state = UploadState.COMPLETE if served else state
    target = keys.upload_of(relocation.target_prefix, move.target_key or "")
    assert target is not None  # ruff: ignore[S101] - `begin` made it.
    await session.execute(
        _uploads.insert().values(
            id=target.upload_id,
            object_id=move.object_id,
            path=move.path,
            size=move.size,
            sha256=move.sha256,
            media_type=move.media_type,
            backend=relocation.target,
            bucket=relocation.target_bucket,
            key=move.target_key,
            state=state if state in {UploadState.COMPLETE, UploadState.SUPERSEDED} else UploadState.SUPERSEDED,
            seen_at=sa.func.now(),
            lying_size=move.size if state is UploadState.COMPLETE else lying_size,
            **told,
        )
    )
    found = (
        _found.c.backend == relocation.target,
        _found.c.bucket == relocation.target_bucket,
        _found.c.key == move.target_key,
    )
    await session.execute(_found.delete().where(*found))


async def why_to_keep(session: AsyncSession, relocation: Relocation, move: RelocatedFile) -> str | None:
    """Say why bytes at the source may not be removed; None where nothing needs them any more.

    Nothing that names them no more ever does again: keys are never given twice.
    """
    brought = await _upload_at(session, relocation.source, move)
    if brought is None or not _is_ours(brought, move):
        return "The catalog did not put them there: its owner removes them."
    # Of a file whose store version is not known, any may be meant.
    either = sa.or_(*(_may_name(table, relocation.source, move) for table in (_files, _frozen)))
    if (await session.execute(sa.select(either))).scalar_one():
        return "Another file or version names them."
    return None


def _may_name(table: sa.Table, backend: str, move: RelocatedFile) -> sa.ColumnElement[bool]:
    same = sa.or_(
        table.c.store_version.is_(None),
        sa.literal(move.store_version, sa.Text).is_(None),
        table.c.store_version == move.store_version,
    )
    return sa.exists().where(table.c.backend == backend, table.c.bucket == move.bucket, table.c.key == move.key, same)


async def _is_named(session: AsyncSession, backend: str, move: RelocatedFile) -> bool:
    either = sa.or_(*(sa.exists().where(*_here(table, backend, move)) for table in (_files, _frozen)))
    return bool((await session.execute(sa.select(either))).scalar_one())


async def is_copy(session: AsyncSession, backend: str, bucket: str, key: str) -> bool:
    """Whether a key was given to a file on its way: what lies there is no discovery."""
    found = sa.select(
        sa.exists().where(
            moves.c.target_key == key,
            relocations.c.id == moves.c.relocation_id,
            relocations.c.target == backend,
            relocations.c.target_bucket == bucket,
        )
    )
    return bool((await session.execute(found)).scalar_one())


async def retry(session: AsyncSession, move: RelocatedFile, reason: str, *, after: timedelta | None) -> RelocatedFile:
    """Try a file again after a while, and note why; None leaves it where it is. Raises Overtaken."""
    if after is None:
        failed = MoveState.KEPT if move.state == MoveState.SWITCHED else MoveState.FAILED
        return await note(session, move, failed, reason=reason, attempts=moves.c.attempts + 1, retry_at=None)
    later = {"attempts": moves.c.attempts + 1, "retry_at": sa.func.now() + after, "reason": reason}
    return await note(session, move, MoveState(move.state), **later)


async def afresh(session: AsyncSession, move_id: int) -> RelocatedFile:
    """Return a file of a relocation as it stands now."""
    return _move((await session.execute(sa.select(moves).where(moves.c.id == move_id))).one())

"""Versions: publishing freezes an object's description and files; what was published is never changed again.

A version's files are tied to the store's version of their bytes and to their hash. Whether they are still there is
looked at whenever the store tells of their key; whatever happened to them is noted and shown, never served silently.
Everything runs in the caller's transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.access.audience import Audience
from catalog.access.principals import Caller, Principal
from catalog.database import now
from catalog.errors import Conflict, Fault, NotFound, Unprocessable, VersionGone
from catalog.objects import changing, reading
from catalog.objects.differing import Difference, differences
from catalog.objects.reading import Entry
from catalog.objects.tables import CatalogObject, FileState, FrozenState, Version, VersionFile
from catalog.objects.uploads import Seen

# Each holds a copy of the description; who publishes more often wants an object for each state.
VERSIONS_MAX = 1_000
# Longer than any overwriting takes; meanwhile no link is given.
LOSS_CONFIRMED = timedelta(seconds=5)

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_versions = SQLModel.metadata.tables[str(Version.__tablename__)]
_frozen = SQLModel.metadata.tables[VersionFile.__tablename__]
_files = SQLModel.metadata.tables["file"]
_principals = SQLModel.metadata.tables[str(Principal.__tablename__)]

# Backend, bucket and key.
Place = tuple[str, str, str]

# What ties a file to its bytes, as both tables have it.
_TIES = ("path", "size", "sha256", "media_type", "backend", "bucket", "key", "store_version", "etag")


class NothingToPublish(Conflict):
    """The object is exactly as its latest version has it."""


class LabelTaken(Conflict):
    """Another version of this object has this label."""


@dataclass(frozen=True, slots=True)
class FrozenFile:
    """One file of a version: what was published, and how its bytes stand now."""

    path: str
    size: int
    sha256: str
    media_type: str
    state: FrozenState
    backend: str
    key: str
    store_version: str | None
    found_size: int | None
    found_sha256: str | None


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version as a list shows it."""

    id: UUID
    object_id: UUID
    number: int
    label: str | None
    note: str | None
    revision: int
    schema_version: int
    published_at: datetime
    published_by: str
    withdrawn_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Published:
    """One version whole; `record` is the description as it was published."""

    version: VersionView
    record: dict[str, Any]
    files: list[FrozenFile]


async def publish(
    session: AsyncSession,
    object_id: UUID,
    *,
    label: str | None,
    note: str | None,
    caller: Caller,
    revisions: Sequence[int] | None,
) -> Published:
    """Freeze the object as it stands; raises Unprocessable while bytes are missing, NothingToPublish, LabelTaken.

    Also raises NotFound, Gone, Forbidden, PreconditionFailed as every change does.
    """
    entry = await changing.locked(session, object_id, caller, revisions)
    faults = [
        Fault(f"/files/{place}", f"the bytes of {file.path!r} are {file.state}", "upload them, or take the file out")
        for place, file in enumerate(entry.files)
        if file.state != FileState.AVAILABLE
    ]
    if faults:
        raise Unprocessable("Only an object whose bytes have all arrived can be published.", faults=faults)
    earlier = await all_of(session, object_id)
    if len(earlier) >= VERSIONS_MAX:
        raise Conflict(f"An object has at most {VERSIONS_MAX:,} versions; register what follows as an object.")
    latest = _latest(earlier)
    if latest is not None and not list(between(await read(session, latest), entry)):
        raise NothingToPublish(f"Nothing has changed since version {latest.number}.")
    taken = next((one for one in earlier if label is not None and one.label == label), None)
    if taken is not None:
        raise LabelTaken(f"Version {taken.number} has the label {label!r} already; take another one.")
    number = earlier[-1].number + 1 if earlier else 1
    await changing.change(
        session, entry, caller, action="publish", changes={"version": {"from": entry.version, "to": number}},
        version=number,
    )  # fmt: skip
    version_id = uuid7()
    await session.execute(
        _versions.insert().values(
            id=version_id,
            object_id=object_id,
            number=number,
            label=label,
            note=note,
            revision=entry.revision + 1,
            schema_version=sa.select(_objects.c.schema_version).where(_objects.c.id == object_id).scalar_subquery(),
            record=entry.record,
            published_by=caller.must_be_known(),
        )
    )
    await session.execute(
        _frozen.insert().from_select(
            ["version_id", "state", *_TIES],
            sa.select(
                sa.literal(version_id, sa.Uuid),
                sa.literal(FrozenState.AVAILABLE.value),
                *(_files.c[one] for one in _TIES),
            ).where(_files.c.object_id == object_id),
        )
    )
    return await read(session, (await all_of(session, object_id))[-1])


async def withdraw(
    session: AsyncSession,
    object_id: UUID,
    number: int,
    reason: str,
    *,
    caller: Caller,
    revisions: Sequence[int] | None,
) -> int:
    """Withdraw one version and say why; the newest that is left becomes the latest. Returns the object's revision.

    Raises NotFound, Gone.
    """
    entry = await changing.locked(session, object_id, caller, revisions)
    kept = await all_of(session, object_id)
    _there(object_id, next((one for one in kept if one.number == number), None), str(number))
    await session.execute(
        _versions.update()
        .where(_versions.c.object_id == object_id, _versions.c.number == number)
        .values(withdrawn_at=sa.func.now(), reason=reason)
    )
    left = [one.number for one in kept if one.withdrawn_at is None and one.number != number]
    await changing.change(
        session,
        entry,
        caller,
        action="withdraw version",
        changes={"version": number, "reason": reason},
        version=max(left, default=None),
    )
    return entry.revision + 1


async def listed(session: AsyncSession, object_id: UUID, audience: Audience) -> tuple[Entry, list[VersionView]]:
    """Return the object and all of its versions, oldest first, withdrawn ones too; raises NotFound, Gone."""
    entry = await reading.find(session, object_id, audience)
    return entry, await all_of(session, object_id)


async def find(
    session: AsyncSession, object_id: UUID, name: str, audience: Audience, *, at: datetime | None = None
) -> VersionView:
    """Return a version by its number, its label, or as `latest`; `at`: as it was published by then.

    Raises NotFound, and Gone with the reason for a version that was withdrawn.
    """
    await reading.find(session, object_id, audience)
    return named(object_id, await all_of(session, object_id), name, at=at)


def named(object_id: UUID, kept: Sequence[VersionView], name: str, *, at: datetime | None = None) -> VersionView:
    """Return the version that is meant among those of an object; raises NotFound, Gone."""
    if at is not None:
        kept = [one for one in kept if one.published_at <= at]
    if name == "latest":
        found = _latest(kept)
        if found is None and kept:
            # All of them were withdrawn: the newest says why.
            found = kept[-1]
    else:
        found = next((one for one in kept if name in {str(one.number), one.label}), None)
    return _there(object_id, found, name)


def _there(object_id: UUID, version: VersionView | None, name: str) -> VersionView:
    if version is None:
        raise NotFound(
            f"The object has no version {name[:80]!r}; GET /api/objects/{object_id}/versions lists those that it has."
        )
    if version.withdrawn_at is not None:
        raise VersionGone(
            f"Version {version.number} was withdrawn on {version.withdrawn_at:%Y-%m-%d}: "
            f"{reading.stopped(version.reason or '')}"
        )
    return version


def _latest(kept: Iterable[VersionView]) -> VersionView | None:
    there = [one for one in kept if one.withdrawn_at is None]
    return there[-1] if there else None


def between(before: Published | Entry, after: Published | Entry) -> Iterable[Difference]:
    """Return what differs between two states of an object: the description's fields, and files by their paths."""
    yield from differences(before.record, after.record)
    yield from differences(_told_files(before), _told_files(after), "/files")


def _told_files(state: Published | Entry) -> dict[str, Any]:
    return {
        file.path: {"size": file.size, "sha256": file.sha256, "media_type": file.media_type} for file in state.files
    }


async def all_of(session: AsyncSession, object_id: UUID) -> list[VersionView]:
    """Return all versions of an object that has been found before, oldest first, withdrawn ones too."""
    rows = await session.execute(
        sa.select(
            _versions.c.id,
            _versions.c.object_id,
            _versions.c.number,
            _versions.c.label,
            _versions.c.note,
            _versions.c.revision,
            _versions.c.schema_version,
            _versions.c.published_at,
            _principals.c.name,
            _versions.c.withdrawn_at,
            _versions.c.reason,
        )
        .join(_principals, _principals.c.id == _versions.c.published_by)
        .where(_versions.c.object_id == object_id)
        .order_by(_versions.c.number)
    )
    return [VersionView(*row) for row in rows]


async def read(session: AsyncSession, version: VersionView) -> Published:
    """Return the version whole: its description, and its files as they stand now."""
    record = await session.execute(sa.select(_versions.c.record).where(_versions.c.id == version.id))
    files = await session.execute(
        sa.select(*(_frozen.c[name] for name in FrozenFile.__dataclass_fields__))
        .where(_frozen.c.version_id == version.id)
        .order_by(_frozen.c.path.collate("C"))
    )
    return Published(version, record.scalar_one(), [FrozenFile(*row) for row in files])


async def disturbed(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, list[tuple[int, str, str]]]:
    """Return, of each of these objects, the published files that are not as they were: version, path and state."""
    rows = await session.execute(
        sa.select(_versions.c.object_id, _versions.c.number, _frozen.c.path, _frozen.c.state)
        .join(_frozen, _frozen.c.version_id == _versions.c.id)
        .where(
            _versions.c.object_id == sa.any_(sa.bindparam("ids", list(ids), type_=ARRAY(sa.Uuid))),
            _versions.c.withdrawn_at.is_(None),
            _frozen.c.state != FrozenState.AVAILABLE,
        )
        .order_by(_versions.c.object_id, _versions.c.number, _frozen.c.path)
    )
    found: dict[UUID, list[tuple[int, str, str]]] = {}
    for object_id, *told in rows:
        found.setdefault(object_id, []).append((told[0], told[1], told[2]))
    return found


async def published_under(session: AsyncSession, place: Place) -> list[tuple[str | None, int]]:
    """Return the store's versions of the bytes under this key that were published, each with its size.

    None stands for the bytes of a store that keeps no versions.
    """
    rows = await session.execute(sa.select(_frozen.c.store_version, _frozen.c.size).where(*_here(place)).distinct())
    return [(store_version, size) for store_version, size in rows]


async def settle(session: AsyncSession, place: Place, seen: Seen | None, kept: Mapping[str, bool]) -> datetime | None:
    """Bring what was published under this key in line with the store: what lies there now, which versions it kept.

    Returns when to look again, where something is lost since the last look: while a key is being overwritten, a store
    may not find the versions that it keeps.
    """
    again_at = None
    rows = await session.execute(
        sa.select(_versions.c.object_id, _versions.c.number, *_frozen.c)
        .join(_versions, _versions.c.id == _frozen.c.version_id)
        .where(*_here(place))
        .order_by(_versions.c.object_id, _versions.c.number)
    )
    for row in rows.all():
        await changing.lock(session, row.object_id)
        state = _standing(row, seen, kept)
        found: dict[str, Any] = {"found_size": None, "found_sha256": None}
        if state is not FrozenState.AVAILABLE and seen is not None:
            found = {"found_size": seen.size, "found_sha256": seen.sha256}
        if (row.state, row.found_size, row.found_sha256) == (state, *found.values()):
            continue
        await session.execute(
            _frozen.update()
            .where(_frozen.c.version_id == row.version_id, _frozen.c.path == row.path)
            .values(state=state, **found)
        )
        if row.state != state:
            again_at = now() + LOSS_CONFIRMED if state is FrozenState.LOST else again_at
            changes = {"version": row.number, "files": [row.path]}
            await changing.note_found(session, row.object_id, action=f"version file {state}", changes=changes)
    return again_at


def _standing(row: Any, seen: Seen | None, kept: Mapping[str, bool]) -> FrozenState:
    if seen is not None and (seen.size, seen.sha256) == (row.size, row.sha256):
        return FrozenState.AVAILABLE
    there = row.store_version is not None and kept.get(row.store_version, False)
    return FrozenState.OVERWRITTEN if there else FrozenState.LOST


def _here(place: Place) -> tuple[sa.ColumnElement[bool], ...]:
    backend, bucket, key = place
    return (_frozen.c.backend == backend, _frozen.c.bucket == bucket, _frozen.c.key == key)


def state_of(entry: Entry) -> Literal["draft", "published"]:
    """Return where an object stands that was not withdrawn."""
    return "draft" if entry.version is None else "published"

"""Files that others put into a bucket: noticed, measured and accounted for, though no object claims them yet.

What lies under a key of ours belongs to its object and is none of these. Runs in the caller's transaction.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.database import timestamp_column
from catalog.objects.metadata import PROJECT_PATTERN
from catalog.storage import backends, choices, keys
from catalog.storage.backends import Use
from catalog.storage.keys import Stage

# What is queued: read a file for its hash.
HASH = "hash"

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
    stage: str | None = Field(default=None, sa_type=sa.Text, description="As its place in the project tells.")
    size: int = Field(sa_type=sa.BigInteger)
    etag: str = Field(sa_type=sa.Text)
    media_type: str = Field(sa_type=sa.Text)
    store_version: str | None = Field(default=None, sa_type=sa.Text)
    modified_at: datetime = Field(sa_column=timestamp_column())
    found_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    # Of all its bytes, where somebody asked for it; as long as they are the same.
    sha256: str | None = Field(default=None, sa_type=sa.Text)
    hashed_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


_found = SQLModel.metadata.tables[DiscoveredFile.__tablename__]


@dataclass(frozen=True, slots=True)
class Lying:
    """What the store says of a key that no object claims."""

    size: int
    etag: str
    media_type: str
    store_version: str | None
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Layout:
    """How keys of a backend tell project and stage.

    Below `prefix` lie the folders of projects. Where a backend was brought, `within` begins all that is in it, and
    what lies outside of `prefix` was there before: its folders tell the stage, and whose it is tells who chose the
    backend, `project` if just one did.
    """

    prefix: str
    within: str | None = None
    project: str | None = None

    @property
    def everything(self) -> str:
        """What all keys of the backend begin with, with its slash, or nothing."""
        if self.within is not None:
            return self.within
        return f"{self.prefix}/" if self.prefix else ""

    def is_the_applications(self, key: str) -> bool:
        """Whether the application itself keeps something under this key: that is no data of anybody."""
        return self.within is None and key.startswith(f"{self.everything}{keys.APPLICATION}/")

    def standing(self, key: str) -> tuple[str | None, Stage | None]:
        """Return the project and the stage of a key, each None where the key does not tell."""
        project = project_of(key, prefix=self.prefix)
        if project is not None or self.within is None:
            return project, None if project is None else keys.stage_of(self.prefix, project, key)
        return self.project, keys.stage_below(key.removeprefix(self.within))


def project_of(key: str, *, prefix: str) -> str | None:
    """Return the project that a key's layout names: its first two folders below the store's prefix."""
    below = key.removeprefix(f"{prefix}/") if prefix else key
    if prefix and below == key:
        return None
    named = _PROJECT.match(below)
    return named[0] if named is not None and below[named.end() :].startswith("/") else None


async def layout_of(session: AsyncSession, own_prefix: str, backend: str) -> Layout:
    """Return how the keys of a backend are laid out, the catalog's own with its prefix among them."""
    if backend == keys.OWN:
        return Layout(own_prefix)
    found = await backends.find_anywhere(session, UUID(backend))
    if found is None:
        return Layout("")
    scopes = await choices.scopes_using(session, found.id, use=Use.DATA)
    project = scopes[0] if len(scopes) == 1 and "/" in scopes[0] else None
    return Layout(found.place.uploads_prefix, found.place.within, project)


async def note(
    session: AsyncSession, backend: str, bucket: str, key: str, lying: Lying | None, *, layout: Layout
) -> None:
    """Keep what lies under a key that no object claims, or forget it when nothing does any more."""
    if lying is None:
        here = (_found.c.backend == backend, _found.c.bucket == bucket, _found.c.key == key)
        await session.execute(_found.delete().where(*here))
        return
    await note_listed(session, backend, bucket, {key: lying}, layout=layout)


_CHANGING = ("project", "stage", "size", "etag", "media_type", "store_version", "modified_at")
_TYPES = {"id": "uuid", "size": "bigint", "modified_at": "timestamptz"}
_LISTED = ("id", "key", *_CHANGING)


def _told(old: str, new: str) -> dict[str, str]:
    """Return what is to be kept of a file that lies there, by column: as SQL, for what is kept and what is listed."""
    same = f"({old}.size = {new}.size AND {old}.etag = {new}.etag)"
    # A listing tells neither type nor version: what a look has told is kept as long as the bytes are the same.
    return {name: f"{new}.{name}" for name in _CHANGING} | {
        "media_type": f"CASE WHEN {same} AND {new}.store_version IS NULL THEN {old}.media_type"
        f" ELSE {new}.media_type END",
        "store_version": f"CASE WHEN {same} THEN coalesce({new}.store_version, {old}.store_version)"
        f" ELSE {new}.store_version END",
        "sha256": f"CASE WHEN {same} THEN {old}.sha256 END",
        "hashed_at": f"CASE WHEN {same} THEN {old}.hashed_at END",
    }


def _moved(old: str, new: str) -> str:
    return " OR ".join(f"{old}.{name} IS DISTINCT FROM {_told(old, new)[name]}" for name in _CHANGING)


# Most of what is listed is as it was: only what is not is written at all.
_NOTE_LISTED = sa.text(
    f"""
    INSERT INTO discovered_file AS kept (id, backend, bucket, key, {", ".join(_CHANGING)})
    SELECT listed.id, :backend, :bucket, listed.key, {", ".join(f"listed.{name}" for name in _CHANGING)}
    FROM unnest({", ".join(f"CAST(:{name} AS {_TYPES.get(name, 'text')}[])" for name in _LISTED)})
        AS listed ({", ".join(_LISTED)})
    LEFT JOIN discovered_file AS there
        ON there.backend = :backend AND there.bucket = :bucket AND there.key = listed.key
    WHERE there.id IS NULL OR {_moved("there", "listed")}
    ORDER BY listed.key COLLATE "C"
    ON CONFLICT (backend, bucket, key) DO UPDATE
    SET {", ".join(f"{name} = {told}" for name, told in _told("kept", "excluded").items())}
    WHERE {_moved("kept", "excluded")}
    RETURNING xmax = 0 AS new
    """  # ruff: ignore[S608] - ours.
)


async def note_listed(
    session: AsyncSession, backend: str, bucket: str, lying: Mapping[str, Lying], *, layout: Layout
) -> tuple[int, int]:
    """Keep what lies under these keys, which no object claims; return how many were new and how many have changed."""
    columns: dict[str, list[Any]] = {name: [] for name in _LISTED}
    for key, one in lying.items():
        if layout.is_the_applications(key):
            continue
        project, stage = layout.standing(key)
        row = {"id": uuid7(), "key": key, "project": project, "stage": stage}
        row |= {name: getattr(one, name) for name in Lying.__dataclass_fields__}
        for name, values in columns.items():
            values.append(row[name])
    if not columns["id"]:
        return 0, 0
    done = await session.execute(_NOTE_LISTED, {"backend": backend, "bucket": bucket, **columns})
    new = [bool(row.new) for row in done]
    return sum(new), len(new) - sum(new)


async def want_hashes(session: AsyncSession, ids: Collection[UUID], *, whose: "Whose | None" = None) -> int:
    """Have those of these files read whose SHA-256 is not known; return how many they are.

    Those of others than of `whose` organization are passed over, as if they were not there.
    """
    wanted = sa.select(_found.c.id).where(
        _found.c.id == sa.any_(sa.bindparam("ids", list(ids), type_=ARRAY(sa.Uuid))),
        _found.c.sha256.is_(None),
        sa.true() if whose is None else whose.condition(),
    )
    subjects = [str(one) for one in (await session.execute(wanted)).scalars()]
    await queue.put(session, HASH, subjects)
    return len(subjects)


async def find(session: AsyncSession, file_id: UUID) -> DiscoveredFile | None:
    """Return one of these files."""
    row = (await session.execute(sa.select(_found).where(_found.c.id == file_id))).one_or_none()
    return None if row is None else DiscoveredFile(**row._mapping)  # ruff: ignore[SLF001] - as below.


async def note_hash(session: AsyncSession, file: DiscoveredFile, sha256: str) -> None:
    """Keep the SHA-256 of a file's bytes, unless they are others by now."""
    same = (_found.c.id == file.id, _found.c.size == file.size, _found.c.etag == file.etag)
    await session.execute(_found.update().where(*same).values(sha256=sha256, hashed_at=sa.func.now()))


async def count(session: AsyncSession) -> int:
    """Return how many there are."""
    return (await session.execute(sa.select(sa.func.count()).select_from(_found))).scalar_one()


@dataclass(frozen=True, slots=True)
class StageCount:
    """How many of these files there are in a stage, and how many bytes; None for those that lie in none."""

    stage: Stage | None
    files: int
    size: int


async def stages(session: AsyncSession, *, project: str | None) -> list[StageCount]:
    """Return how much lies in which stage, in a project or everywhere."""
    statement = sa.select(_found.c.stage, sa.func.count(), sa.func.sum(_found.c.size)).group_by(_found.c.stage)
    if project is not None:
        statement = statement.where(_found.c.project == project)
    rows = await session.execute(statement.order_by(_found.c.stage.nulls_last()))
    return [StageCount(None if stage is None else Stage(stage), files, int(size)) for stage, files, size in rows]


@dataclass(frozen=True, slots=True)
class Whose:
    """An organization's files: all in the backends that it brought, and what its projects have in the catalog's own."""

    organization: str
    brought: Collection[str]

    def condition(self) -> sa.ColumnElement[bool]:
        """Return what its files fulfil."""
        below = _found.c.project.startswith(f"{self.organization}/", autoescape=True)
        return sa.or_(_found.c.backend.in_(self.brought), sa.and_(_found.c.backend == keys.OWN, below))


async def page(
    session: AsyncSession,
    *,
    project: str | None,
    after: UUID | None,
    limit: int,
    stage: Stage | None = None,
    backend: str | None = None,
    whose: Whose | None = None,
) -> Sequence[DiscoveredFile]:
    """Return the next of them, newest first, after the one named: of an organization, or of everybody."""
    conditions: list[sa.ColumnElement[bool]] = [] if whose is None else [whose.condition()]
    if backend is not None:
        conditions.append(_found.c.backend == backend)
    if project is not None:
        conditions.append(_found.c.project == project)
    if stage is not None:
        conditions.append(_found.c.stage == stage.value)
    if after is not None:
        conditions.append(_found.c.id < after)
    rows = await session.execute(sa.select(_found).where(*conditions).order_by(_found.c.id.desc()).limit(limit))
    return [DiscoveredFile(**row._mapping) for row in rows]  # ruff: ignore[SLF001] - the documented name for it.

"""Who was given a link or credentials to what, and when. Never the link.

A page of hits carries forty links, so what is given out is first kept in the process and written together: a process
that is killed loses what it gave out within its last `WRITTEN_EVERY_SECONDS`. Credentials are written before they are
answered. Knows ids and paths; what they mean is its callers' business.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog.access.principals import Principal
from catalog.database import Database, driver_connection, now, timestamp_column

log = structlog.get_logger("catalog.issued")

WRITTEN_EVERY_SECONDS = 1.0
# Some 10 MB. So much waits only while the database is away, when nothing new can be given out either: every link needs
# its object read first.
WAITING_MAX = 20_000
# As many rows as go in a few tenths of a second, so that no long transaction stands in the way of others.
FORGOTTEN_AT_ONCE = 50_000


class What(StrEnum):
    """What was given out."""

    DOWNLOAD = "download"
    UPLOAD = "upload"
    PART = "part"
    READ = "credentials to read"
    WRITE = "credentials to write"
    READ_AND_WRITE = "credentials to read and write"


class IssuedRow(SQLModel, table=True):
    """Links to files of one object, or credentials for a prefix, given out by one request.

    No keys to other tables: they would have to be looked up for each of twenty rows a page, and it outlives them.
    """

    __tablename__ = "issued"
    __table_args__ = (
        sa.Index("ix_issued_at", "at", postgresql_using="brin"),
        sa.Index("ix_issued_object_id_id", "object_id", "id"),
        sa.Index("ix_issued_principal_id_id", "principal_id", "id"),
    )

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, sa.Identity(), primary_key=True))
    at: datetime = Field(sa_column=timestamp_column())
    request_id: str = Field(sa_type=sa.Text)
    principal_id: UUID | None = Field(default=None, description="None: nobody in particular.")
    what: str = Field(sa_type=sa.Text)
    object_id: UUID | None = Field(default=None, description="None: credentials, which are for a prefix.")
    version: int | None = Field(default=None, description="Of the object, where a published one was asked for.")
    paths: list[str] = Field(sa_column=sa.Column(ARRAY(sa.Text), nullable=False))
    expires_at: datetime = Field(sa_column=timestamp_column())


_issued = SQLModel.metadata.tables[IssuedRow.__tablename__]
_principals = SQLModel.metadata.tables[str(Principal.__tablename__)]
_COPY = (
    "COPY issued (at, request_id, principal_id, what, object_id, version, paths, expires_at) FROM STDIN (FORMAT BINARY)"
)
_TYPES = ("timestamptz", "text", "uuid", "text", "uuid", "int4", "text[]", "timestamptz")


@dataclass(frozen=True, slots=True)
class Issued:
    """What one request gave out for one object, or for one prefix."""

    at: datetime
    request_id: str
    principal_id: UUID | None
    what: What
    object_id: UUID | None
    version: int | None
    paths: Sequence[str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """What was given out, with its number and the principal's name."""

    id: int
    by: str | None
    issued: Issued


@dataclass(frozen=True, slots=True)
class Asked:
    """Which part of it is wanted."""

    object_id: UUID | None = None
    principal: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Ledger:
    """What this process gave out and has not written yet. Run `keep` beside the requests."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[Issued] = []
        self._dropped = 0

    def note(self, issued: Issued) -> None:
        """Take note, to be written within a second; costs a microsecond."""
        if len(self._waiting) >= WAITING_MAX:
            self._dropped += 1
            return
        self._waiting.append(issued)

    async def keep(self, stop: asyncio.Event) -> None:
        """Write what was noted, every second, and once more when asked to stop."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), WRITTEN_EVERY_SECONDS)
            if self._dropped:
                # Nothing is lost in silence.
                log.error("access log incomplete", dropped=self._dropped)
                self._dropped = 0
            try:
                await self._write()
            except (sa.exc.SQLAlchemyError, psycopg.Error) as fault:
                log.warning("access log waits", waiting=len(self._waiting), reason=type(fault).__name__)
        if self._waiting:
            log.error("access log incomplete", dropped=len(self._waiting))

    async def _write(self) -> None:
        """Write what was noted; what cannot be written is kept for the next time."""
        taken = self._waiting
        if not taken:
            return
        self._waiting = []
        try:
            async with self._database.transaction() as session:
                await write(session, taken)
        except BaseException:
            self._waiting = taken + self._waiting
            raise


async def write(session: AsyncSession, rows: Iterable[Issued]) -> None:
    """Write rows in the caller's transaction."""
    connection = await driver_connection(session)
    async with connection.cursor().copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for one in rows:
            await copy.write_row(
                (
                    one.at,
                    one.request_id,
                    one.principal_id,
                    one.what.value,
                    one.object_id,
                    one.version,
                    list(one.paths),
                    one.expires_at,
                )
            )


async def page(session: AsyncSession, asked: Asked, *, before: int | None, limit: int) -> Sequence[Seen]:
    """Return what was given out, newest first. For admins: it tells what people read."""
    rows = await session.execute(_selected(asked, before).limit(limit))
    return [_seen(row) for row in rows]


def _selected(asked: Asked, before: int | None) -> sa.Select[tuple[object, ...]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if asked.object_id is not None:
        conditions.append(_issued.c.object_id == asked.object_id)
    if asked.principal is not None:
        conditions.append(_principals.c.name == asked.principal)
    if asked.since is not None:
        conditions.append(_issued.c.at >= asked.since)
    if asked.until is not None:
        conditions.append(_issued.c.at < asked.until)
    if before is not None:
        conditions.append(_issued.c.id < before)
    return (
        sa.select(_issued, _principals.c.name.label("by"))
        .outerjoin(_principals, _principals.c.id == _issued.c.principal_id)
        .where(*conditions)
        .order_by(_issued.c.id.desc())
    )


def _seen(row: sa.Row[tuple[object, ...]]) -> Seen:
    told = dict(row._mapping)  # ruff: ignore[SLF001] - SQLAlchemy's documented name for the row as a mapping.
    number, by = told.pop("id"), told.pop("by")
    return Seen(number, by, Issued(**told | {"what": What(told["what"])}))


async def forget_old(session: AsyncSession, kept: timedelta) -> int:
    """Remove what is older, some at a time; returns how many were."""
    old = sa.select(_issued.c.id).where(_issued.c.at < now() - kept).limit(FORGOTTEN_AT_ONCE)
    removed = await session.execute(_issued.delete().where(_issued.c.id.in_(old)))
    return int(removed.rowcount)  # type: ignore[attr-defined]  # Of a DELETE it is there.

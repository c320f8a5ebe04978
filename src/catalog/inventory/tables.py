"""The tables of this room."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.database import timestamp_column


class Cause(StrEnum):
    """Why a scan began."""

    ASKED = "asked"
    INTERVAL = "interval"  # It was the backend's turn.
    EVENTS_LOST = "events-lost"  # The store has told that it could not tell of everything.


class ScanState(StrEnum):
    """Where a scan stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


def _count() -> int:
    counted: int = Field(default=0, sa_column=sa.Column(sa.BigInteger, nullable=False, server_default="0"))
    return counted


class Scan(SQLModel, table=True):
    """One walk over all that lies in a backend; `position` is the store's mark behind the last page noted."""

    __table_args__ = (
        sa.Index("ix_scan_backend_id", "backend", "id"),
        sa.Index("uq_scan_running", "backend", unique=True, postgresql_where=sa.text("state = 'running'")),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    backend: str = Field(sa_type=sa.Text)
    state: str = Field(default=ScanState.RUNNING, sa_type=sa.Text)
    position: str | None = Field(default=None, sa_type=sa.Text)
    files: int = _count()
    bytes: int = _count()
    # Of what no object claims: how much was not known, and how much is no longer what it was.
    added: int = _count()
    changed: int = _count()
    # Keys that the indexer was sent to look at, since the rows say otherwise than the listing.
    looks: int = _count()
    reason: str | None = Field(default=None, sa_type=sa.Text)
    cause: str = Field(default=Cause.ASKED, sa_column=sa.Column(sa.Text, nullable=False, server_default="asked"))
    # None where nobody did.
    asked_by: UUID | None = Field(default=None, foreign_key="principal.id")
    started_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    ended_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class ScannedKey(SQLModel, table=True):
    """That a scan that runs has met a key. Stores list in orders of their own, so that no order can stand for it."""

    __tablename__ = "scanned_key"

    scan_id: UUID = Field(sa_column=sa.Column(sa.Uuid, sa.ForeignKey("scan.id", ondelete="CASCADE"), primary_key=True))
    # MD5, for its 16 bytes; who makes two keys alike in it has one of them overlooked in his own bucket.
    key_hash: UUID = Field(primary_key=True)


class Outcome(StrEnum):
    """What came of reading bytes again."""

    INTACT = "intact"
    ALTERED = "altered"
    UNREADABLE = "unreadable"


class FixityCheck(SQLModel, table=True):
    """The last time that these bytes were read from end to end."""

    __tablename__ = "fixity_check"
    __table_args__ = (
        sa.Index("ix_fixity_check_failed", "checked_at", postgresql_where=sa.text("outcome <> 'intact'")),
    )

    backend: str = Field(sa_type=sa.Text, primary_key=True)
    bucket: str = Field(sa_type=sa.Text, primary_key=True)
    key: str = Field(sa_type=sa.Text, primary_key=True)
    # Empty where the store keeps no versions.
    store_version: str = Field(
        default="", sa_column=sa.Column(sa.Text, primary_key=True, nullable=False, server_default="")
    )
    # As it was declared, or published.
    sha256: str = Field(sa_type=sa.Text)
    outcome: str = Field(sa_type=sa.Text)
    found_sha256: str | None = Field(default=None, sa_type=sa.Text)
    reason: str | None = Field(default=None, sa_type=sa.Text)
    checked_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))

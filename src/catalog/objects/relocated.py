"""The rows behind relocations, and where a relocation and each file in it may go from where it stands."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.database import timestamp_column


class RelocationState(StrEnum):
    """Where a relocation stands."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    FINISHED = "finished"


# A finished one goes on with the files that it had to leave.
STATES = {
    RelocationState.RUNNING: {RelocationState.PAUSED, RelocationState.CANCELLED, RelocationState.FINISHED},
    RelocationState.PAUSED: {RelocationState.RUNNING, RelocationState.CANCELLED},
    RelocationState.FINISHED: {RelocationState.RUNNING},
    RelocationState.CANCELLED: set(),
}
LIVE = (RelocationState.RUNNING, RelocationState.PAUSED)


class MoveState(StrEnum):
    """Where one file stands on its way."""

    WAITING = "waiting"
    COPIED = "copied"
    VERIFIED = "verified"
    SWITCHED = "switched"
    REMOVED = "removed"
    # It moved, and its bytes stay at the source, for a reason that is told.
    KEPT = "kept"
    # What arrived is not what was recorded; both hashes are told, and the file is left where it is.
    MISMATCHED = "mismatched"
    # It was tried often enough; the file is left where it is.
    FAILED = "failed"
    # Nothing names these bytes any more.
    DROPPED = "dropped"
    CANCELLED = "cancelled"


MOVES = {
    # Copied bytes that are gone when they are read back are copied again, under another key.
    MoveState.WAITING: {MoveState.COPIED, MoveState.MISMATCHED, MoveState.FAILED, MoveState.DROPPED},
    MoveState.COPIED: {MoveState.VERIFIED, MoveState.MISMATCHED, MoveState.FAILED, MoveState.WAITING},
    MoveState.VERIFIED: {MoveState.SWITCHED, MoveState.DROPPED, MoveState.FAILED},
    MoveState.SWITCHED: {MoveState.REMOVED, MoveState.KEPT},
    MoveState.MISMATCHED: {MoveState.WAITING},
    MoveState.FAILED: {MoveState.WAITING},
}
ON_ITS_WAY = (MoveState.WAITING, MoveState.COPIED, MoveState.VERIFIED)
# Those that left their copy, if they have one, for nobody.
LEFT = (MoveState.MISMATCHED, MoveState.FAILED, MoveState.DROPPED, MoveState.CANCELLED)


class Relocation(SQLModel, table=True):
    """That the files of a scope move from one backend to another; backends are written as locations name them."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    # `<organization>` or `<organization>/<project>`.
    scope: str = Field(sa_type=sa.Text, index=True)
    source: str = Field(sa_type=sa.Text)
    target: str = Field(sa_type=sa.Text)
    target_bucket: str = Field(sa_type=sa.Text)
    # What stands before the keys that the catalog chooses there.
    target_prefix: str = Field(sa_type=sa.Text)
    state: str = Field(sa_type=sa.Text)
    created_by: UUID = Field(foreign_key="principal.id")
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    changed_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


class RelocatedFile(SQLModel, table=True):
    """Bytes on their way: exactly where they lay, and where they are to lie."""

    __tablename__ = "relocated_file"
    __table_args__ = (
        sa.UniqueConstraint("relocation_id", "bucket", "key", "store_version", postgresql_nulls_not_distinct=True),
        sa.Index("ix_relocated_file_relocation_id_state_id", "relocation_id", "state", "id"),
    )

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, sa.Identity(), primary_key=True))
    relocation_id: UUID = Field(
        sa_column=sa.Column(sa.Uuid, sa.ForeignKey("relocation.id", ondelete="CASCADE"), nullable=False)
    )
    object_id: UUID
    project: str = Field(sa_type=sa.Text)
    path: str = Field(sa_type=sa.Text)
    size: int = Field(sa_type=sa.BigInteger)
    sha256: str = Field(sa_type=sa.Text)
    media_type: str = Field(sa_type=sa.Text)
    bucket: str = Field(sa_type=sa.Text)
    key: str = Field(sa_type=sa.Text, index=True)
    store_version: str | None = Field(default=None, sa_type=sa.Text)
    state: str = Field(sa_type=sa.Text)
    # Kept before anything is copied, so that whoever goes on finds what was begun.
    target_key: str | None = Field(default=None, sa_column=sa.Column(sa.Text, nullable=True, index=True))
    target_version: str | None = Field(default=None, sa_type=sa.Text)
    target_etag: str | None = Field(default=None, sa_type=sa.Text)
    multipart_id: str | None = Field(default=None, sa_type=sa.Text)
    copied_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    switched_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    attempts: int = Field(default=0, sa_column=sa.Column(sa.Integer, nullable=False, server_default="0"))
    retry_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    reason: str | None = Field(default=None, sa_type=sa.Text)
    found_sha256: str | None = Field(default=None, sa_type=sa.Text)


relocations = SQLModel.metadata.tables["relocation"]
moves = SQLModel.metadata.tables[RelocatedFile.__tablename__]

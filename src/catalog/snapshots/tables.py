"""The rows of a snapshot: the question with its moment, and each member as it was."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.database import timestamp_column


class Snapshot(SQLModel, table=True):
    """What a question found; `record` says what it is, as a description does."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    record: dict[str, Any] = Field(sa_column=sa.Column(JSONB, nullable=False))
    question: dict[str, Any] = Field(sa_column=sa.Column(JSONB, nullable=False))
    taken_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    principal_id: UUID = Field(foreign_key="principal.id")
    members: int = Field(sa_type=sa.Integer)
    digest: str = Field(sa_type=sa.Text)
    withdrawn_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    withdrawal_reason: str | None = Field(default=None, sa_type=sa.Text)


class SnapshotMember(SQLModel, table=True):
    """One object as it was found."""

    __tablename__ = "snapshot_member"
    __table_args__ = (sa.Index("ix_snapshot_member_object_id", "object_id"),)

    snapshot_id: UUID = Field(foreign_key="snapshot.id", primary_key=True)
    position: int = Field(sa_type=sa.Integer, primary_key=True)
    object_id: UUID
    revision: int = Field(sa_type=sa.BigInteger)
    version: int | None = Field(default=None, sa_type=sa.Integer)
    kind: str = Field(sa_type=sa.Text)
    title: str = Field(sa_type=sa.Text)
    digest: str = Field(sa_type=sa.Text)

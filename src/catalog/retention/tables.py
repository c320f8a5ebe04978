"""The rows of retention: rules, holds, marks, projects that are stopped, the clock, and bytes that are to go."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.database import timestamp_column


class RetentionRule(SQLModel, table=True):
    """How long objects are kept: of an organization or a project, of a kind there, or one; no days: for ever."""

    __tablename__ = "retention_rule"
    __table_args__ = (
        sa.UniqueConstraint("scope", "kind", "object_id", postgresql_nulls_not_distinct=True),
        sa.Index("ix_retention_rule_object_id", "object_id"),
        sa.CheckConstraint("(scope IS NULL) <> (object_id IS NULL)", name="one_place"),
        sa.CheckConstraint("kind IS NULL OR scope IS NOT NULL", name="kind_in_a_scope"),
        sa.CheckConstraint("days > 0", name="days_positive"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    # `<organization>` or `<organization>/<project>`.
    scope: str | None = Field(default=None, sa_type=sa.Text)
    kind: str | None = Field(default=None, sa_type=sa.Text)
    object_id: UUID | None = Field(default=None, foreign_key="object.id")
    days: int | None = Field(default=None, sa_type=sa.Integer)
    since: str = Field(sa_type=sa.Text)
    # Whether published versions go as well.
    versions: bool = Field(default=False, sa_column=sa.Column(sa.Boolean, nullable=False))
    set_by: UUID = Field(foreign_key="principal.id")
    set_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


class RetentionHold(SQLModel, table=True):
    """That an object, or everything in a project, stays whatever a rule says, and why."""

    __tablename__ = "retention_hold"
    __table_args__ = (
        sa.Index("ix_retention_hold_project", "project"),
        sa.Index("ix_retention_hold_object_id", "object_id"),
        sa.CheckConstraint("(project IS NULL) <> (object_id IS NULL)", name="one_place"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    project: str | None = Field(default=None, sa_type=sa.Text)
    object_id: UUID | None = Field(default=None, foreign_key="object.id")
    reason: str = Field(sa_type=sa.Text)
    placed_by: UUID = Field(foreign_key="principal.id")
    placed_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


class RetentionMark(SQLModel, table=True):
    """That an object is about to be removed, since when and by which rule; or that somebody wants it kept longer."""

    __tablename__ = "retention_mark"
    __table_args__ = (
        sa.Index("ix_retention_mark_removes_at", "removes_at"),
        sa.CheckConstraint(
            "(marked_at IS NULL) = (removes_at IS NULL) AND (marked_at IS NULL) = (due_at IS NULL) "
            "AND (marked_at IS NULL) = (witnessed IS NULL) AND (marked_at IS NULL) = (rule IS NULL)",
            name="whole",
        ),
    )

    object_id: UUID = Field(foreign_key="object.id", primary_key=True)
    rule: dict[str, Any] | None = Field(default=None, sa_column=sa.Column(JSONB(none_as_null=True), nullable=True))
    due_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    marked_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    removes_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    # How far the witnessed clock was then.
    witnessed: int | None = Field(default=None, sa_type=sa.BigInteger)
    # Somebody lifted the mark: the rule counts from then on.
    kept_from: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class RetentionStop(SQLModel, table=True):
    """That so much of a project was to go at once that an admin has to say it is meant."""

    __tablename__ = "retention_stop"

    project: str = Field(sa_type=sa.Text, primary_key=True)
    stopped_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    due: int = Field(sa_type=sa.BigInteger)
    objects: int = Field(sa_type=sa.BigInteger)
    # What was to be removed by then may go.
    resumed_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class RetentionClock(SQLModel, table=True):
    """How much time has passed under our eyes, in seconds: jumps of the database's clock are no part of it."""

    __tablename__ = "retention_clock"
    __table_args__ = (sa.CheckConstraint("id = 1", name="one_row"),)

    id: int = Field(default=1, sa_column=sa.Column(sa.SmallInteger, primary_key=True, autoincrement=False))
    seen_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    witnessed: int = Field(sa_type=sa.BigInteger)


class Leftover(SQLModel, table=True):
    """A key of ours whose bytes are to go, and what became of them; kept as a record of what was deleted."""

    __table_args__ = (
        sa.UniqueConstraint("backend", "bucket", "key"),
        sa.Index("ix_leftover_object_id", "object_id"),
        sa.Index("ix_leftover_removes_at", "removes_at", postgresql_where=sa.text("ended_at IS NULL")),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    object_id: UUID = Field(foreign_key="object.id")
    upload_id: UUID
    backend: str = Field(sa_type=sa.Text)
    bucket: str = Field(sa_type=sa.Text)
    key: str = Field(sa_type=sa.Text)
    # The store's versions of the bytes that we know of.
    store_versions: list[str] = Field(sa_column=sa.Column(ARRAY(sa.Text), nullable=False))
    why: str = Field(sa_type=sa.Text)
    found_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    removes_at: datetime = Field(sa_column=timestamp_column())
    witnessed: int = Field(sa_type=sa.BigInteger)
    ended_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    # Why the bytes stay after all; none: they are gone.
    reason: str | None = Field(default=None, sa_type=sa.Text)

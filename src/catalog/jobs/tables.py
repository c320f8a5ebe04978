"""The rows behind jobs: whether each is open or has ended, and how."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from catalog.database import timestamp_column


class JobState(StrEnum):
    """Where a job stands."""

    OPEN = "open"
    ENDED = "ended"


class JobOutcome(StrEnum):
    """How a job ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Job(SQLModel, table=True):
    """What an object of the kind `job` is as a job: one row each, made and kept in line by triggers (ADR 0045).

    `key` and `project` are the object's name and project. The keys of a project's jobs differ as long as these are not
    withdrawn, which the object's own index sees to. `ended_at` is the moment from which its data are kept.
    """

    __table_args__ = (
        sa.Index("ix_job_key", "key", "project"),
        sa.Index("ix_job_ended_at", "ended_at", postgresql_where=sa.text("ended_at IS NOT NULL")),
        sa.CheckConstraint("state IN ('open', 'ended')", name="state"),
        sa.CheckConstraint("outcome IN ('succeeded', 'failed')", name="outcome"),
        sa.CheckConstraint(
            "(state = 'ended') = (ended_at IS NOT NULL) AND (state = 'ended') = (outcome IS NOT NULL)",
            name="ended_whole",
        ),
    )

    object_id: UUID = Field(foreign_key="object.id", primary_key=True)
    key: str = Field(sa_type=sa.Text)
    project: str = Field(sa_type=sa.Text)
    state: str = Field(default=JobState.OPEN, sa_column=sa.Column(sa.Text, nullable=False, server_default="open"))
    outcome: str | None = Field(default=None, sa_type=sa.Text)
    ended_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))

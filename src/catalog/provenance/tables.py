"""The rows of provenance: relations of an object, activities with what they used and generated, agents."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.database import timestamp_column


class Way(StrEnum):
    """How an activity involved an object (PROV-DM, sections 5.1.3 and 5.1.4)."""

    USED = "used"
    GENERATED = "generated"


class Relation(SQLModel, table=True):
    """A typed link from an object to another one, or to an identifier outside the catalog.

    `later_id` and `earlier_id` stand where the type says that one of two objects came from the other: lineage is
    walked along them, whichever of the two said it.
    """

    __table_args__ = (
        sa.UniqueConstraint(
            "subject_id", "type", "target_id", "identifier_type", "identifier", postgresql_nulls_not_distinct=True
        ),
        sa.Index("ix_relation_target_id", "target_id"),
        sa.Index("ix_relation_later_id", "later_id", "earlier_id", postgresql_where=sa.text("later_id IS NOT NULL")),
        sa.Index(
            "ix_relation_earlier_id", "earlier_id", "later_id", postgresql_where=sa.text("earlier_id IS NOT NULL")
        ),
        sa.CheckConstraint("(target_id IS NULL) = (identifier IS NOT NULL)", name="one_target"),
        sa.CheckConstraint("(identifier IS NULL) = (identifier_type IS NULL)", name="identifier_typed"),
        sa.CheckConstraint("(later_id IS NULL) = (earlier_id IS NULL)", name="lineage_whole"),
        sa.CheckConstraint("later_id <> earlier_id", name="not_from_itself"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    subject_id: UUID = Field(foreign_key="object.id")
    type: str = Field(sa_type=sa.Text)
    target_id: UUID | None = Field(default=None, foreign_key="object.id")
    identifier_type: str | None = Field(default=None, sa_type=sa.Text)
    identifier: str | None = Field(default=None, sa_type=sa.Text)
    later_id: UUID | None = None
    earlier_id: UUID | None = None
    position: int = Field(sa_type=sa.Integer)
    principal_id: UUID = Field(foreign_key="principal.id")
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


class Activity(SQLModel, table=True):
    """Something that ran: what, when, with which parameters, software and code."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    type: str = Field(sa_type=sa.Text)
    label: str = Field(sa_type=sa.Text)
    started_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    parameters: dict[str, Any] = Field(sa_column=sa.Column(JSONB, nullable=False))
    software: dict[str, Any] | None = Field(default=None, sa_column=sa.Column(JSONB(none_as_null=True), nullable=True))
    code: dict[str, Any] | None = Field(default=None, sa_column=sa.Column(JSONB(none_as_null=True), nullable=True))
    principal_id: UUID = Field(foreign_key="principal.id")
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


class Involvement(SQLModel, table=True):
    """An object that an activity used or generated."""

    __table_args__ = (sa.Index("ix_involvement_object_id", "object_id", "way", "activity_id"),)

    activity_id: UUID = Field(foreign_key="activity.id", primary_key=True)
    way: str = Field(sa_type=sa.Text, primary_key=True)
    object_id: UUID = Field(foreign_key="object.id", primary_key=True)
    position: int = Field(sa_type=sa.Integer)


class Agent(SQLModel, table=True):
    """Who or what bears responsibility: a person, an organization, software, an instrument."""

    __table_args__ = (sa.UniqueConstraint("type", "name", "identifier", "version", postgresql_nulls_not_distinct=True),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    type: str = Field(sa_type=sa.Text)
    name: str = Field(sa_type=sa.Text)
    identifier: str | None = Field(default=None, sa_type=sa.Text)
    version: str | None = Field(default=None, sa_type=sa.Text)


class Responsibility(SQLModel, table=True):
    """That an object is an agent's work (PROV-DM, section 5.3.2), or that an agent acted on behalf of another one.

    Which of the two is told by `responsible_id`: an attribution has none. An object says both.
    """

    __table_args__ = (
        sa.UniqueConstraint("object_id", "agent_id", "responsible_id", "role", postgresql_nulls_not_distinct=True),
        sa.Index("ix_responsibility_agent_id", "agent_id"),
        sa.CheckConstraint("responsible_id IS NULL OR role IS NULL", name="role_of_attribution"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    object_id: UUID = Field(foreign_key="object.id")
    agent_id: UUID = Field(foreign_key="agent.id")
    responsible_id: UUID | None = Field(default=None, foreign_key="agent.id")
    role: str | None = Field(default=None, sa_type=sa.Text)
    position: int = Field(sa_type=sa.Integer)
    principal_id: UUID = Field(foreign_key="principal.id")
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


class Delegation(SQLModel, table=True):
    """That an agent acted on behalf of another one in an activity (PROV-DM, section 5.3.4)."""

    activity_id: UUID = Field(foreign_key="activity.id", primary_key=True)
    agent_id: UUID = Field(foreign_key="agent.id", primary_key=True)
    responsible_id: UUID = Field(foreign_key="agent.id", primary_key=True)
    position: int = Field(sa_type=sa.Integer)


class Communication(SQLModel, table=True):
    """That an activity used something that another one generated, whatever it was (PROV-DM, section 5.1.5)."""

    __table_args__ = (
        sa.Index("ix_communication_informant_id", "informant_id"),
        sa.CheckConstraint("informed_id <> informant_id", name="not_of_itself"),
    )

    informed_id: UUID = Field(foreign_key="activity.id", primary_key=True)
    informant_id: UUID = Field(foreign_key="activity.id", primary_key=True)
    position: int = Field(sa_type=sa.Integer)


class Association(SQLModel, table=True):
    """An agent's part in an activity."""

    __table_args__ = (sa.Index("ix_association_agent_id", "agent_id"),)

    activity_id: UUID = Field(foreign_key="activity.id", primary_key=True)
    position: int = Field(sa_type=sa.Integer, primary_key=True)
    agent_id: UUID = Field(foreign_key="agent.id")
    role: str | None = Field(default=None, sa_type=sa.Text)

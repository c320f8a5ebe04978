"""The rows behind subscriptions: what was asked for, and where telling of an object goes on."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.database import timestamp_column


class Channel(StrEnum):
    """How events are told."""

    WEBHOOK = "webhook"
    NATS = "nats"
    AMQP = "amqp"


class SubscriptionRow(SQLModel, table=True):
    """What somebody wants to be told of, where, and how that goes."""

    __tablename__ = "subscription"
    __table_args__ = (
        # Asked by the trigger with every change: those that nothing is told to cost nothing.
        sa.Index("ix_subscription_told", "place", postgresql_where=sa.text("stopped_at IS NULL")),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    owner_id: UUID = Field(foreign_key="principal.id", index=True)
    # The token that it was made with, and with the end of which nothing is told any more.
    made_with: UUID | None = Field(default=None, foreign_key="token.id")
    # An organization, a project, or nothing: the whole catalog.
    place: str = Field(sa_column=sa.Column(sa.Text, nullable=False, server_default=""))
    # Empty: all of them.
    kinds: list[str] = Field(sa_column=sa.Column(ARRAY(sa.Text), nullable=False, server_default="{}"))
    types: list[str] = Field(sa_column=sa.Column(ARRAY(sa.Text), nullable=False, server_default="{}"))
    channel: str = Field(sa_type=sa.Text)
    # Where a webhook is posted, the subject in NATS, or exchange and routing key of AMQP.
    address: str = Field(sa_type=sa.Text)
    # The secret that signs is derived from this: another one, another secret.
    secret_id: UUID = Field(default_factory=uuid7)
    # The token to whose holder it was told; when that ends, it signs nothing any more.
    secret_made_with: UUID | None = Field(default=None, foreign_key="token.id")
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    told_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    failures: int = Field(default=0, sa_column=sa.Column(sa.Integer, nullable=False, server_default="0"))
    retry_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    fault: str | None = Field(default=None, sa_type=sa.Text)
    # From then on nothing is told, nor kept to be told, until the owner changes it.
    stopped_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class Position(SQLModel, table=True):
    """The first audit row that a subscription has not been told of an object; there while there is anything to tell.

    It names no other table: a change must never fail because somebody removes a subscription at that moment.
    """

    __tablename__ = "subscription_position"

    subscription_id: UUID = Field(primary_key=True)
    object_id: UUID = Field(primary_key=True)
    next: int = Field(sa_type=sa.BigInteger)

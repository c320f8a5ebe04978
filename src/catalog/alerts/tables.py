"""The rows behind saved searches: the search, the objects that fitted it, and the addresses that mail may go to."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.database import timestamp_column


class Channel(StrEnum):
    """How the owner is told; whatever fits stands in the feed in any case."""

    FEED = "feed"
    WEBHOOK = "webhook"
    MAIL = "mail"


class Rhythm(StrEnum):
    """When the owner is told: of each object as it comes, or once a day of all."""

    AT_ONCE = "at_once"
    DAILY = "daily"


class SavedSearch(SQLModel, table=True):
    """A question that somebody saved, and how its owner is told what fits."""

    __tablename__ = "saved_search"
    __table_args__ = (
        sa.UniqueConstraint("owner_id", "name"),
        sa.UniqueConstraint("feed_digest"),
        sa.UniqueConstraint("number"),
        sa.CheckConstraint("(channel = 'feed') = (address IS NULL)", name="address_where_needed"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    owner_id: UUID = Field(foreign_key="principal.id")
    # The token that it was saved with, and with the end of which nothing is told any more.
    made_with: UUID | None = Field(default=None, foreign_key="token.id")
    name: str = Field(sa_type=sa.Text)
    question: dict[str, Any] = Field(sa_column=sa.Column(JSONB, nullable=False))
    channel: str = Field(sa_type=sa.Text)
    rhythm: str = Field(sa_type=sa.Text)
    # Where a webhook or mail goes.
    address: str | None = Field(default=None, sa_type=sa.Text)
    # The version of the query that the engine keeps.
    revision: int = Field(default=1, sa_column=sa.Column(sa.BigInteger, nullable=False, server_default="1"))
    # What changed before the question was asked is no news.
    asked_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    told_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    feed_digest: bytes | None = Field(default=None, sa_type=sa.LargeBinary)
    # The token with which the key to the feed was made, and with the end of which it opens nothing.
    feed_made_with: UUID | None = Field(default=None, foreign_key="token.id")
    # The secret that signs webhooks is derived from this: another one, another secret.
    secret_id: UUID = Field(default_factory=uuid7)
    # The token to whose holder it was told; when that ends, it signs nothing any more.
    secret_made_with: UUID | None = Field(default=None, foreign_key="token.id")
    # How often telling has failed since it last worked, when it is tried again, and why.
    failures: int = Field(default=0, sa_column=sa.Column(sa.Integer, nullable=False, server_default="0"))
    retry_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    fault: str | None = Field(default=None, sa_type=sa.Text)
    # From then on nothing is sent until the owner changes the search; the feed goes on.
    stopped_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    # A short name for `AlreadyTold`, never given twice.
    number: int | None = Field(default=None, sa_column=sa.Column(sa.Integer, sa.Identity(always=True), nullable=False))


class Alert(SQLModel, table=True):
    """That an object fits a saved search: once for each pair, until it is folded into `AlreadyTold`."""

    __tablename__ = "saved_alert"
    __table_args__ = (
        sa.Index("ix_saved_alert_waiting", "search_id", postgresql_where=sa.text("waiting")),
        sa.Index(
            "ix_saved_alert_unsent",
            "search_id",
            postgresql_where=sa.text("seen_at IS NOT NULL AND sent_at IS NULL"),
        ),
        sa.Index("ix_saved_alert_seen", "search_id", "seen_at"),
    )

    search_id: UUID = Field(
        sa_column=sa.Column(sa.Uuid, sa.ForeignKey("saved_search.id", ondelete="CASCADE"), primary_key=True)
    )
    object_id: UUID = Field(foreign_key="object.id", primary_key=True, index=True)
    matched_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    # Whether it has to be looked at whether the owner may see the object.
    waiting: bool = Field(default=True, sa_column=sa.Column(sa.Boolean, nullable=False, server_default=sa.true()))
    # When the owner was found to see it, which is when it came into the feed.
    seen_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    # When it was sent; what stands in a feed alone counts as sent.
    sent_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    # The message that it goes with: repeated, a message is the same one.
    batch: UUID | None = Field(default=None)


class AlreadyTold(SQLModel, table=True):
    """The saved searches, by their numbers, whose owners were told of an object so long ago that no feed shows it."""

    __tablename__ = "already_told"

    object_id: UUID = Field(foreign_key="object.id", primary_key=True)
    searches: list[int] = Field(sa_column=sa.Column(ARRAY(sa.Integer), nullable=False))


class MailAddress(SQLModel, table=True):
    """An address that somebody wants mail at: nothing is sent there before whoever reads it has agreed."""

    __tablename__ = "mail_address"
    __table_args__ = (sa.UniqueConstraint("principal_id", "address"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    principal_id: UUID = Field(foreign_key="principal.id")
    address: str = Field(sa_type=sa.Text)
    asked_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    confirmed_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    # Whoever reads it wants nothing from this principal, ever.
    refused_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))

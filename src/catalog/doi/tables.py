"""The row behind a DOI, and the moves that it can make."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from catalog.database import timestamp_column
from catalog.errors import CatalogError
from catalog.snapshots import tables as _snapshots  # noqa: F401 - the table that one of the columns names.


class DoiState(StrEnum):
    """Where a DOI stands."""

    # Its text is fixed; no registry knows it.
    RESERVED = "reserved"
    # The registry is being told, and has not answered.
    REGISTERING = "registering"
    FINDABLE = "findable"
    # The registry refused; the reasons are kept.
    FAILED = "failed"
    # It still leads to its page, which says that the subject was withdrawn.
    HIDDEN = "hidden"


MOVES: Mapping[DoiState, frozenset[DoiState]] = MappingProxyType(
    {
        DoiState.RESERVED: frozenset({DoiState.REGISTERING}),
        DoiState.REGISTERING: frozenset({DoiState.FINDABLE, DoiState.FAILED}),
        DoiState.FAILED: frozenset({DoiState.REGISTERING}),
        DoiState.FINDABLE: frozenset({DoiState.HIDDEN}),
        DoiState.HIDDEN: frozenset({DoiState.FINDABLE}),
    }
)
# Only these have been public: they resolve, their pages are shown, and their subjects never disappear.
PUBLIC = frozenset({DoiState.FINDABLE, DoiState.HIDDEN})


class NoSuchMove(CatalogError):
    """A DOI cannot go from this state to that one."""


def move(before: DoiState, after: DoiState) -> DoiState:
    """Return the state after a move; raises NoSuchMove for one that is not in the table. To stay is no move."""
    if after != before and after not in MOVES[before]:
        raise NoSuchMove(f"A DOI does not go from {before} to {after}.")
    return after


class Doi(SQLModel, table=True):
    """One DOI of an object, of a version of an object, or of a snapshot."""

    __table_args__ = (
        sa.UniqueConstraint("object_id", "version", "snapshot_id", postgresql_nulls_not_distinct=True),
        sa.Index("ix_doi_state", "state"),
        sa.CheckConstraint("(object_id IS NULL) <> (snapshot_id IS NULL)", name="one_subject"),
        sa.CheckConstraint("version IS NULL OR object_id IS NOT NULL", name="version_of_an_object"),
    )

    doi: str = Field(sa_type=sa.Text, primary_key=True)
    object_id: UUID | None = Field(default=None, foreign_key="object.id")
    version: int | None = Field(default=None, sa_type=sa.Integer)
    snapshot_id: UUID | None = Field(default=None, foreign_key="snapshot.id")
    state: str = Field(sa_type=sa.Text)
    principal_id: UUID = Field(foreign_key="principal.id")
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    changed_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    # How often the registry was asked since it last answered.
    attempts: int = Field(default=0, sa_column=sa.Column(sa.Integer, nullable=False, server_default="0"))
    reason: str | None = Field(default=None, sa_type=sa.Text)
    errors: list[dict[str, Any]] | None = Field(
        default=None, sa_column=sa.Column(JSONB(none_as_null=True), nullable=True)
    )
    # Whether the registry refused the catalog itself, and not what it was told.
    locked_out: bool = Field(default=False, sa_column=sa.Column(sa.Boolean, nullable=False, server_default="false"))
    # What the registry accepted last, and the digest of what it last judged, accepted or not.
    registered: dict[str, Any] | None = Field(
        default=None, sa_column=sa.Column(JSONB(none_as_null=True), nullable=True)
    )
    judged_digest: str | None = Field(default=None, sa_type=sa.Text)
    # Until then a request of ours may be under way: two at once could arrive in the wrong order.
    sending_until: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))

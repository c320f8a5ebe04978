"""The table of this room."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.database import timestamp_column


class State(StrEnum):
    """Where the building of a new index stands."""

    WAITING = "waiting"  # For an indexer, which makes the new index.
    FILLING = "filling"  # Every change is written to both, from here on.
    VERIFYING = "verifying"
    SWAPPING = "swapping"
    KEPT = "kept"  # Searches are answered by the new one; the old one is kept and written.
    BACK = "back"  # Searches are answered by the old one again; the new one is kept and written.
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.WAITING: frozenset({State.FILLING, State.CANCELLED, State.FAILED}),
        State.FILLING: frozenset({State.VERIFYING, State.CANCELLED, State.FAILED}),
        State.VERIFYING: frozenset({State.SWAPPING, State.CANCELLED, State.FAILED}),
        State.SWAPPING: frozenset({State.KEPT, State.FINISHED, State.FAILED}),
        State.KEPT: frozenset({State.BACK, State.FINISHED}),
        State.BACK: frozenset({State.FINISHED}),
    }
)
# Nothing more is written to what such a one has made.
ENDED = frozenset({State.FINISHED, State.CANCELLED, State.FAILED})
# It may be given up, and nobody who searches notices.
UNFINISHED = frozenset({State.WAITING, State.FILLING, State.VERIFYING})


def _count(first: int = 0) -> int:
    counted: int = Field(default=first, sa_column=sa.Column(sa.BigInteger, nullable=False, server_default=str(first)))
    return counted


class Rebuild(SQLModel, table=True):
    """The building of a new index beside the one that is searched; at most one has not ended."""

    __table_args__ = (sa.Index("ix_rebuild_began_at", "began_at"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    state: str = Field(default=State.WAITING, sa_type=sa.Text)
    # Why it was begun, and the version of the mapping that it is built for.
    why: str = Field(sa_type=sa.Text)
    version: str = Field(sa_type=sa.Text)
    # The index that was searched when it began, and the new one.
    old: str | None = Field(default=None, sa_type=sa.Text)
    new: str | None = Field(default=None, sa_type=sa.Text)
    # Where the old one was made for another mapping: what it knows.
    old_fields: list[str] | None = Field(default=None, sa_column=sa.Column(ARRAY(sa.Text), nullable=True))
    # Up to which object it is filled, or verified, and how many objects go next.
    after: UUID | None = Field(default=None, nullable=True)
    # The last object that there was when filling began: what came later is written to both.
    upto: UUID | None = Field(default=None, nullable=True)
    stride: int = Field(default=0, sa_column=sa.Column(sa.Integer, nullable=False, server_default="0"))
    objects: int = _count()
    filled: int = _count()
    verified: int = _count()
    # Of filling alone, rests included.
    seconds: float = Field(default=0.0, sa_column=sa.Column(sa.Double, nullable=False, server_default="0"))
    differing: int = _count()
    # The first of them.
    differences: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=sa.Column(JSONB, nullable=False, server_default="[]")
    )
    fault: str | None = Field(default=None, sa_type=sa.Text)
    # Since when, and why, the one that is kept has not all that the other one has.
    lost: str | None = Field(default=None, sa_type=sa.Text)
    began_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    filled_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    swapped_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))

"""Tokens with which a store of an organization tells of its keys, one for each, kept as digests.

Whoever holds one may say "look at this key" of that store's bucket and prefix, and nothing else. Runs in the caller's
transaction.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog.access import audit, principals
from catalog.access.callers import Caller
from catalog.access.tokens import OVERLAP_MAX
from catalog.database import now, timestamp_column
from catalog.errors import Conflict, Fault, Invalid
from catalog.storage import backends
from catalog.storage.backends import Backend


class BackendEventToken(SQLModel, table=True):
    """The token of one backend, with the value before the last as long as that works too."""

    __tablename__ = "backend_event_token"
    __table_args__ = (
        sa.UniqueConstraint("digest"),
        sa.UniqueConstraint("former_digest"),
        sa.CheckConstraint("(former_digest IS NULL) = (former_until IS NULL)", name="former_whole"),
    )

    backend_id: UUID = Field(
        sa_column=sa.Column(sa.Uuid, sa.ForeignKey("storage_backend.id", ondelete="CASCADE"), primary_key=True)
    )
    digest: bytes = Field(sa_type=sa.LargeBinary)
    hint: str = Field(sa_type=sa.Text)
    former_digest: bytes | None = Field(default=None, sa_type=sa.LargeBinary)
    former_until: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    made_by: UUID = Field(foreign_key="principal.id")
    made_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


_tokens = SQLModel.metadata.tables[BackendEventToken.__tablename__]


@dataclass(frozen=True, slots=True)
class EventToken:
    """What is shown of a token: how its value begins, and until when the former one works."""

    hint: str
    made_at: datetime
    former_until: datetime | None


@dataclass(frozen=True, slots=True)
class MadeEventToken:
    """A token with its value, which is told this once."""

    shown: EventToken
    value: str = field(repr=False)


async def renew(session: AsyncSession, backend: Backend, overlap: timedelta, *, caller: Caller) -> MadeEventToken:
    """Make the token of a backend, or give it a new value; the one it had works on for the overlap.

    At most two values work: while a former one still does, only a renewal without overlap is done, which ends both.
    Raises Invalid, Conflict.
    """
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        most = f"from 0 to {OVERLAP_MAX.days} days"
        raise Invalid("The overlap cannot be had.", faults=[Fault("/overlap_seconds", f"an overlap is {most}")])
    # One after the other: which value was the former one depends on the order.
    await backends.hold(session, backend.id)
    mine = _tokens.c.backend_id == backend.id
    row = (await session.execute(sa.select(_tokens).where(mine))).one_or_none()
    at = now()
    if row is not None and overlap and row.former_until is not None and row.former_until > at:
        raise Conflict(
            f"The former value works until {row.former_until:%Y-%m-%d %H:%M} UTC, and no third one may; renew it "
            "without an overlap to end both at once."
        )
    value = principals.new_value()
    kept = row is not None and bool(overlap)
    values = {
        "digest": principals.digest_of(value),
        "hint": principals.hint_of(value),
        "former_digest": row.digest if row is not None and kept else None,
        "former_until": at + overlap if kept else None,
        "made_by": caller.must_be_known(),
        "made_at": at,
    }
    first = insert(_tokens).values(backend_id=backend.id, **values)
    await session.execute(first.on_conflict_do_update(index_elements=["backend_id"], set_=values))
    told = {"hint": values["hint"], "overlap_seconds": int(overlap.total_seconds()) if kept else 0}
    await _note(session, backend, "renew event token", caller, told)
    return MadeEventToken((await of(session, [backend.id]))[backend.id], value)


async def revoke(session: AsyncSession, backend: Backend, *, caller: Caller) -> None:
    """End the token of a backend at once, with all its values; none is fine."""
    gone = _tokens.delete().where(_tokens.c.backend_id == backend.id).returning(_tokens.c.hint)
    hint = (await session.execute(gone)).scalar_one_or_none()
    if hint is not None:
        await _note(session, backend, "revoke event token", caller, {"hint": hint})


async def _note(session: AsyncSession, backend: Backend, action: str, caller: Caller, told: dict[str, Any]) -> None:
    subject = f"backend:{backend.id}"
    await audit.note(session, caller.actor, action, subject, scope=backend.organization, after=told)


async def of(session: AsyncSession, backend_ids: Collection[UUID]) -> dict[UUID, EventToken]:
    """Return the tokens of those of these backends that have one."""
    rows = await session.execute(sa.select(_tokens).where(_tokens.c.backend_id.in_(list(backend_ids))))
    return {row.backend_id: EventToken(row.hint, row.made_at, _still(row.former_until)) for row in rows}


def _still(until: datetime | None) -> datetime | None:
    return until if until is not None and until > now() else None


async def holder_of(session: AsyncSession, value: str) -> Backend | None:
    """Return the backend that speaks with this value; None where none does, or it was detached."""
    digest = principals.digest_of(value)
    former = sa.and_(_tokens.c.former_digest == digest, _tokens.c.former_until > sa.func.now())
    wanted = sa.select(_tokens.c.backend_id).where(sa.or_(_tokens.c.digest == digest, former))
    backend_id = (await session.execute(wanted)).scalar_one_or_none()
    found = None if backend_id is None else await backends.find_anywhere(session, backend_id)
    return None if found is None or found.detached_at is not None else found

"""What the last look at each outside address found."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog.database import timestamp_column

REASON_CHARS_MAX = 500


class State(StrEnum):
    """What was found at an address."""

    REACHABLE = "reachable"
    # Something answers, and wants to know who asks.
    RESTRICTED = "restricted"
    UNREACHABLE = "unreachable"
    # It is no address that we ask: not https, or inside a network that is not public.
    REFUSED = "refused"


# Whoever follows such an address finds nothing.
BROKEN = frozenset({State.UNREACHABLE, State.REFUSED})


class OutsideAddress(SQLModel, table=True):
    """One address, whoever names it."""

    __tablename__ = "outside_address"

    address: str = Field(sa_type=sa.Text, primary_key=True)
    state: str = Field(sa_type=sa.Text)
    reason: str | None = Field(default=None, sa_type=sa.Text)
    checked_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


_addresses = SQLModel.metadata.tables[OutsideAddress.__tablename__]


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found, and when."""

    state: State
    reason: str | None = None
    checked_at: datetime | None = None


async def looks_at(session: AsyncSession, addresses: Collection[str]) -> dict[str, Look]:
    """Return the last look at each of these addresses that was ever looked at."""
    if not addresses:
        return {}
    rows = await session.execute(sa.select(_addresses).where(_addresses.c.address.in_(list(addresses))))
    return {row.address: Look(State(row.state), row.reason, row.checked_at) for row in rows}


async def anything(session: AsyncSession) -> bool:
    """Whether any address was ever looked at."""
    return (await session.execute(sa.select(sa.literal(1)).select_from(_addresses).limit(1))).first() is not None


async def note(session: AsyncSession, address: str, look: Look) -> None:
    """Keep what a look found."""
    reason = (
        None if look.reason is None else look.reason.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:REASON_CHARS_MAX]
    )
    found = insert(_addresses).values(address=address, state=look.state, reason=reason)
    await session.execute(
        found.on_conflict_do_update(
            index_elements=["address"],
            set_={"state": found.excluded.state, "reason": found.excluded.reason, "checked_at": sa.func.now()},
        )
    )

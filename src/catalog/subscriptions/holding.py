"""Subscribing, and what owners do with their subscriptions. Everybody has their own; nobody sees those of others.

As with saved searches, what was made with a token is told no longer than that token works, however it ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.access import principals
from catalog.access.audience import Role
from catalog.access.principals import Caller
from catalog.alerts.saved import LIVES
from catalog.database import Database
from catalog.errors import Forbidden, NotFound, TooLarge
from catalog.subscriptions.tables import Channel, SubscriptionRow

SUBSCRIPTIONS_MAX = 20
ENDED = "The token that it was made with has ended: change it with another one to let it go on."

_rows = SQLModel.metadata.tables[SubscriptionRow.__tablename__]
_principals = SQLModel.metadata.tables["principal"]
_tokens = SQLModel.metadata.tables["token"]

# Who owns a subscription, while it lives.
_WHOSE = (
    f"SELECT subscription.owner_id AS principal_id, {principals.OTHERWISE} FROM subscription "  # ruff: ignore[S608] - ours.
    f"LEFT JOIN token ON token.id = subscription.made_with WHERE {LIVES} AND subscription.id = %(id)s"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to be told of, and where; an empty place is the whole catalog, no kinds are all of them."""

    place: str
    kinds: Sequence[str]
    types: Sequence[str]
    channel: Channel
    address: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as its owner sees it: never how much waits, of which some may be hidden."""

    id: UUID
    owner_id: UUID
    wish: Wish
    secret_id: UUID
    # Whether the token with which the secret was told last still works, if it was one.
    secret_lives: bool
    created_at: datetime
    told_at: datetime | None
    failures: int
    retry_at: datetime | None
    fault: str | None
    stopped_at: datetime | None


async def subscribe(session: AsyncSession, wish: Wish, *, caller: Caller) -> Subscription:
    """Tell the caller of what changes from now on.

    Raises Forbidden for a token that counts in one place alone, as all here do, and for whom a broker is not, TooLarge
    beyond twenty.
    """
    owner_id = await _locked_owner(session, caller)
    _must_suit(wish, caller)
    count = sa.select(sa.func.count()).select_from(_rows).where(_rows.c.owner_id == owner_id)
    if (await session.execute(count)).scalar_one() >= SUBSCRIPTIONS_MAX:
        raise TooLarge(f"You have {SUBSCRIPTIONS_MAX} subscriptions, which is the most; remove one.")
    made = uuid7()
    row = {"id": made, "owner_id": owner_id, "secret_id": uuid7(), "made_with": _held(caller)}
    await session.execute(_rows.insert().values(**row, **_columns(wish)))
    return await find(session, made, caller=caller)


async def change(session: AsyncSession, subscription_id: UUID, wish: Wish, *, caller: Caller) -> Subscription:
    """Let a subscription be another, and go on if it had stopped; raises NotFound, Forbidden."""
    await _locked_owner(session, caller)
    _must_suit(wish, caller)
    await find(session, subscription_id, caller=caller)
    well = {"failures": 0, "retry_at": None, "fault": None, "stopped_at": None, "made_with": _held(caller)}
    await _set(session, subscription_id, **_columns(wish), **well)
    return await find(session, subscription_id, caller=caller)


async def remove(session: AsyncSession, subscription_id: UUID, *, caller: Caller) -> None:
    """End a subscription; raises NotFound, Forbidden."""
    await find(session, subscription_id, caller=caller)
    await session.execute(_rows.delete().where(_rows.c.id == subscription_id))


async def find(session: AsyncSession, subscription_id: UUID, *, caller: Caller) -> Subscription:
    """Return one of the caller's own; raises NotFound for one of anybody else, as for none, and Forbidden."""
    mine = sa.and_(_rows.c.id == subscription_id, _rows.c.owner_id == _owner(caller))
    row = (await session.execute(_seen().where(mine))).one_or_none()
    if row is None:
        raise NotFound("You have no such subscription; `GET /api/subscriptions` lists yours.")
    return _shown(row)


async def all_of(session: AsyncSession, *, caller: Caller) -> list[Subscription]:
    """Return the caller's own, oldest first; raises Forbidden."""
    rows = await session.execute(_seen().where(_rows.c.owner_id == _owner(caller)).order_by(_rows.c.id))
    return [_shown(row) for row in rows]


async def with_id(session: AsyncSession, subscription_id: UUID) -> Subscription | None:
    """Return a subscription, whoever owns it: for the indexer alone."""
    row = (await session.execute(_seen().where(_rows.c.id == subscription_id))).one_or_none()
    return None if row is None else _shown(row)


async def owner_of(database: Database, subscription_id: UUID) -> Caller | None:
    """Return the owner with all rights that they have now; None where nobody is to be told.

    That is where the account was ended, or the token with which it was made, by whatever ended it.
    """
    return await principals.caller_by(database, _WHOSE, {"id": subscription_id})


async def renew_secret(session: AsyncSession, subscription_id: UUID, *, caller: Caller) -> UUID:
    """Have webhooks signed with another secret from now on, and return its id; raises NotFound, Forbidden."""
    await find(session, subscription_id, caller=caller)
    secret_id = uuid7()
    await _set(session, subscription_id, secret_id=secret_id, secret_made_with=_held(caller))
    return secret_id


def may_publish(caller: Caller) -> bool:
    """Whether somebody's events may go into the operator's brokers."""
    return caller.role is Role.ADMIN


def _must_suit(wish: Wish, caller: Caller) -> None:
    if wish.channel is not Channel.WEBHOOK and not may_publish(caller):
        raise Forbidden("Into the catalog's brokers admins of the whole catalog alone have events told.")


async def _locked_owner(session: AsyncSession, caller: Caller) -> UUID:
    owner_id = _owner(caller)
    # One after the other for each owner: the count is what the lock protects.
    await session.execute(
        sa.select(_principals.c.id).where(_principals.c.id == owner_id).with_for_update(key_share=True)
    )
    return owner_id


def _owner(caller: Caller) -> UUID:
    owner_id = caller.must_be_known()
    if caller.place is not None:
        # What is told is all that its owner may see: a token would come to more than it is good for.
        raise Forbidden(f"Your token counts in {caller.place} alone; subscriptions are of all that you may see.")
    return owner_id


def _held(caller: Caller) -> UUID | None:
    return None if caller.held is None else caller.held.id


def _lives(made_with: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return sa.or_(made_with.is_(None), sa.exists().where(_tokens.c.id == made_with, sa.text(LIVES)))


def _seen() -> sa.Select[Any]:
    return sa.select(
        _rows,
        _lives(_rows.c.made_with).label("lives"),
        _lives(_rows.c.secret_made_with).label("secret_lives"),
    )


async def _set(session: AsyncSession, subscription_id: UUID, **values: Any) -> None:
    await session.execute(_rows.update().where(_rows.c.id == subscription_id).values(**values))


def _columns(wish: Wish) -> dict[str, Any]:
    return {
        "place": wish.place,
        "kinds": list(wish.kinds),
        "types": list(wish.types),
        "channel": wish.channel.value,
        "address": wish.address,
    }


def _shown(row: Any) -> Subscription:
    return Subscription(
        id=row.id,
        owner_id=row.owner_id,
        wish=Wish(row.place, row.kinds, row.types, Channel(row.channel), row.address),
        secret_id=row.secret_id,
        secret_lives=row.secret_lives,
        created_at=row.created_at,
        told_at=row.told_at,
        failures=row.failures,
        retry_at=row.retry_at,
        fault=row.fault if row.lives else ENDED,
        stopped_at=row.stopped_at,
    )

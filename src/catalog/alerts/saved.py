"""Saving searches, and what their owners do with them. Everybody has their own; nobody sees those of others.

What is made with a token, a search or a key to one, is told and opens no longer than that token works, however it ends.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.access import principals
from catalog.access.principals import Caller
from catalog.alerts import addresses, topics
from catalog.alerts.tables import Channel, Rhythm, SavedSearch
from catalog.database import Database
from catalog.errors import Conflict, Forbidden, NotFound, TooLarge

SAVED_MAX = 100
NAME_CHARS_MAX = 100
FEED_MARK = "catf_"
FEED_KEY_BYTES = 32

_searches = SQLModel.metadata.tables[SavedSearch.__tablename__]
_principals = SQLModel.metadata.tables["principal"]

_tokens = SQLModel.metadata.tables["token"]

# Of the token that a search was saved with, if it was one: whether it still works.
LIVES = "token.revoked_at IS NULL AND (token.expires_at IS NULL OR token.expires_at > now())"
# Who owns a search, while it lives.
_WHOSE = (
    f"SELECT saved_search.owner_id AS principal_id, {principals.OTHERWISE} FROM saved_search "  # ruff: ignore[S608] - ours.
    f"LEFT JOIN token ON token.id = saved_search.made_with WHERE {LIVES} AND saved_search.id = %(id)s"
)
ENDED = "The token that it was saved with has ended: change it with another one, or on its page, to let it go on."


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be found, under which name, and how its owner is told."""

    name: str
    question: dict[str, Any]
    channel: Channel
    rhythm: Rhythm
    address: str | None


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved search as its owner sees it: never how many objects fitted, of which some may be hidden."""

    id: UUID
    owner_id: UUID
    name: str
    question: dict[str, Any]
    channel: Channel
    rhythm: Rhythm
    address: str | None
    revision: int
    asked_at: datetime
    created_at: datetime
    told_at: datetime | None
    secret_id: UUID
    # Whether the token with which the secret was told last still works, if it was one.
    secret_lives: bool
    has_feed_key: bool
    failures: int
    retry_at: datetime | None
    fault: str | None
    stopped_at: datetime | None


async def save(session: AsyncSession, wish: Wish, *, caller: Caller) -> Saved:
    """Save a search for the caller.

    Raises Forbidden for a token that counts in one place alone, as all here do, TooLarge beyond a hundred, Conflict for
    a taken name, and for mail what `addresses.want` raises.
    """
    owner_id = _owner(caller)
    # One after the other for each owner: the count is what the lock protects.
    await session.execute(
        sa.select(_principals.c.id).where(_principals.c.id == owner_id).with_for_update(key_share=True)
    )
    count = sa.select(sa.func.count()).select_from(_searches).where(_searches.c.owner_id == owner_id)
    if (await session.execute(count)).scalar_one() >= SAVED_MAX:
        raise TooLarge(f"You have {SAVED_MAX} saved searches, which is the most; remove one that is not needed.")
    await _must_be_free(session, owner_id, wish.name)
    search_id = uuid7()
    row = {"id": search_id, "owner_id": owner_id, "secret_id": uuid7(), "made_with": _held(caller)}
    await session.execute(_searches.insert().values(**row, **_columns(wish)))
    if wish.channel is Channel.MAIL and wish.address is not None:
        await addresses.want(session, owner_id, wish.address)
    await queue.put(session, topics.SAVED, [str(search_id)])
    return await find(session, search_id, caller=caller)


async def change(session: AsyncSession, search_id: UUID, wish: Wish, *, caller: Caller) -> Saved:
    """Let a search be another; what its owner was told of stays told. Raises NotFound, and as `save` does."""
    before = await _locked(session, search_id, caller)
    if wish.name != before.name:
        await _must_be_free(session, before.owner_id, wish.name)
    asked = {} if wish.question == before.question else {"asked_at": sa.func.now()}
    well = {"failures": 0, "retry_at": None, "fault": None, "stopped_at": None, "made_with": _held(caller)}
    await session.execute(
        _searches.update()
        .where(_searches.c.id == search_id)
        .values(revision=before.revision + 1, **_columns(wish), **asked, **well)
    )
    if wish.channel is Channel.MAIL and wish.address is not None:
        await addresses.want(session, before.owner_id, wish.address)
    await queue.put(session, topics.SAVED, [str(search_id)])
    # What could not be sent before is, if there is any.
    await queue.put(session, topics.TELL, [str(search_id)])
    return await find(session, search_id, caller=caller)


async def remove(session: AsyncSession, search_id: UUID, *, caller: Caller) -> None:
    """Forget a search, its feed, and what it found; raises NotFound."""
    await _locked(session, search_id, caller)
    await session.execute(_searches.delete().where(_searches.c.id == search_id))
    await queue.put(session, topics.SAVED, [str(search_id)])


async def find(session: AsyncSession, search_id: UUID, *, caller: Caller) -> Saved:
    """Return a search of the caller's own; raises NotFound for one of anybody else, as for none, and Forbidden."""
    mine = sa.and_(_searches.c.id == search_id, _searches.c.owner_id == _owner(caller))
    row = (await session.execute(_seen().where(mine))).one_or_none()
    if row is None:
        raise _absent()
    return _saved(row)


async def all_of(session: AsyncSession, *, caller: Caller) -> list[Saved]:
    """Return the caller's own searches, by name; raises Forbidden for a token that counts in one place alone."""
    rows = await session.execute(_seen().where(_searches.c.owner_id == _owner(caller)).order_by(_searches.c.name))
    return [_saved(row) for row in rows]


async def with_ids(session: AsyncSession, ids: Sequence[UUID]) -> list[Saved]:
    """Return these searches, whoever owns them: for the indexer alone."""
    rows = await session.execute(_seen().where(_searches.c.id.in_(ids)))
    return [_saved(row) for row in rows]


async def owner_of(database: Database, search_id: UUID) -> Caller | None:
    """Return the owner of a search with all rights that it has now; None where nobody is to be told.

    That is where the account was ended, or the token with which the search was saved, by whatever ended it.
    """
    return await principals.caller_by(database, _WHOSE, {"id": search_id})


async def renew_feed_key(session: AsyncSession, search_id: UUID, *, caller: Caller) -> str:
    """Return a new key to the feed of a search; the former one opens nothing any more. Raises NotFound, Forbidden."""
    await _locked(session, search_id, caller)
    key = FEED_MARK + secrets.token_urlsafe(FEED_KEY_BYTES)
    await _set(session, search_id, feed_digest=_digest(key), feed_made_with=_held(caller))
    return key


async def revoke_feed_key(session: AsyncSession, search_id: UUID, *, caller: Caller) -> None:
    """Let no key open the feed of a search; raises NotFound."""
    await _locked(session, search_id, caller)
    await _set(session, search_id, feed_digest=None, feed_made_with=None)


async def renew_secret(session: AsyncSession, search_id: UUID, *, caller: Caller) -> UUID:
    """Have webhooks of a search signed with another secret from now on, and return its id; raises NotFound."""
    await _locked(session, search_id, caller)
    secret_id = uuid7()
    await _set(session, search_id, secret_id=secret_id, secret_made_with=_held(caller))
    return secret_id


async def opened_by(session: AsyncSession, search_id: UUID, key: str) -> Saved:
    """Return the search whose feed a key opens; raises NotFound."""
    fits = sa.and_(
        _searches.c.id == search_id, _searches.c.feed_digest == _digest(key), _lives(_searches.c.feed_made_with)
    )
    row = (await session.execute(_seen().where(fits))).one_or_none()
    if row is None:
        raise _absent()
    return _saved(row)


async def keep_everything(session: AsyncSession) -> None:
    """Queue every search: for an index of queries that was just created."""
    found = await session.execute(sa.select(_searches.c.id))
    await queue.put(session, topics.SAVED, [str(row.id) for row in found])


async def anything(session: AsyncSession) -> bool:
    """Whether anybody has saved a search."""
    return (await session.execute(sa.select(sa.literal(1)).select_from(_searches).limit(1))).first() is not None


async def note_fault(session: AsyncSession, search_id: UUID, fault: str) -> None:
    """Let the owner of a search know why nothing comes."""
    await _set(session, search_id, fault=fault)


def _absent() -> NotFound:
    return NotFound("You have no such saved search; `GET /api/saved-searches` lists yours.")


def _held(caller: Caller) -> UUID | None:
    return None if caller.held is None else caller.held.id


def _owner(caller: Caller) -> UUID:
    """Return whose searches the caller has; raises Unauthenticated, or Forbidden for a token of one place."""
    owner_id = caller.must_be_known()
    if caller.place is not None:
        # A search is told and read with all rights that its owner has: a token would come to more than it is good for.
        raise Forbidden(f"Your token counts in {caller.place} alone; saved searches are of all that you may see.")
    return owner_id


def _lives(made_with: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether the token with which something was made still works; what was made without one lives."""
    works = sa.exists().where(_tokens.c.id == made_with, sa.text(LIVES))
    return sa.or_(made_with.is_(None), works)


def _seen() -> sa.Select[Any]:
    """Return what reads searches, with what has ended of each."""
    return sa.select(
        _searches,
        _lives(_searches.c.made_with).label("lives"),
        _lives(_searches.c.secret_made_with).label("secret_lives"),
        sa.and_(_searches.c.feed_digest.is_not(None), _lives(_searches.c.feed_made_with)).label("has_feed_key"),
    )


async def _must_be_free(session: AsyncSession, owner_id: UUID, name: str) -> None:
    taken = sa.and_(_searches.c.owner_id == owner_id, _searches.c.name == name)
    if (await session.execute(sa.select(_searches.c.id).where(taken))).first() is not None:
        raise Conflict(f"You have a saved search called {name!r}; choose another name.")


async def _locked(session: AsyncSession, search_id: UUID, caller: Caller) -> Saved:
    owner_id = _owner(caller)
    # Names are unique for each owner: changes of one owner wait for each other.
    await session.execute(
        sa.select(_principals.c.id).where(_principals.c.id == owner_id).with_for_update(key_share=True)
    )
    return await find(session, search_id, caller=caller)


async def _set(session: AsyncSession, search_id: UUID, **values: Any) -> None:
    await session.execute(_searches.update().where(_searches.c.id == search_id).values(**values))


def _columns(wish: Wish) -> dict[str, Any]:
    told = {"channel": wish.channel.value, "rhythm": wish.rhythm.value, "address": wish.address}
    return {"name": wish.name, "question": wish.question, **told}


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _saved(row: sa.Row[Any]) -> Saved:
    told = dict(row._mapping)  # ruff: ignore[SLF001] - SQLAlchemy's documented name for the row as a mapping.
    for name in ("feed_digest", "made_with", "feed_made_with", "secret_made_with", "number"):
        del told[name]
    if not told.pop("lives"):
        told["fault"] = ENDED
    return Saved(**told | {"channel": Channel(row.channel), "rhythm": Rhythm(row.rhythm)})

"""What people do with tokens of their own, and admins with those of service accounts. Runs in the caller's transaction.

Nobody comes to more by a token than by what they came with: a token that is narrower, or that ends, neither makes nor
rotates one that is wider or ends later. What was made with a token ends when that is revoked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access import accounts, audit, principals
from catalog.access.audience import Role
from catalog.access.callers import Caller, PrincipalKind
from catalog.access.principals import Principal, Token, Wish
from catalog.access.scopes import PLACE, Scope, in_order, lies_in
from catalog.database import now
from catalog.errors import Conflict, Fault, Forbidden, Invalid, NotFound, TooLarge

# More live ones than anybody can keep apart.
TOKENS_MAX = 100
OVERLAP_DEFAULT = timedelta(days=1)
OVERLAP_MAX = timedelta(days=30)

_tokens = SQLModel.metadata.tables[str(Token.__tablename__)]
_principals = SQLModel.metadata.tables[str(Principal.__tablename__)]


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token that lives; `former_until` is until when its former value works too, `this` whether it was used now."""

    id: UUID
    holder: str
    hint: str
    label: str | None
    scopes: Sequence[Scope]
    place: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    former_until: datetime | None
    this: bool


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A token with its value, which is told this once."""

    view: TokenView
    value: str


async def make(session: AsyncSession, wish: Wish, *, holder: str | None, caller: Caller) -> MadeToken:
    """Make a token for the caller, or for the service account `service:NAME` whose admin the caller is.

    Raises Invalid, NotFound for another holder, Forbidden for one that is wider or ends later than the token that the
    caller came with, TooLarge beyond a hundred.
    """
    caller.must_be_known()
    _check(wish)
    row = await _holder(session, holder, caller, making=True)
    must_not_exceed(caller, wish.scopes, wish.place, wish.expires_at)
    # One after the other for each holder: the count is what the lock protects.
    await session.execute(sa.select(_principals.c.id).where(_principals.c.id == row.id).with_for_update(key_share=True))
    live = await session.execute(sa.select(sa.func.count()).where(_tokens.c.principal_id == row.id, *_live()))
    if live.scalar_one() >= TOKENS_MAX:
        raise TooLarge(f"{row.subject} has {TOKENS_MAX} tokens that work, which is the most; revoke those not needed.")
    value = principals.new_value()
    token_id = await principals.put_token(
        session,
        value,
        wish,
        principal_id=row.id,
        subject=row.subject,
        scope=row.organization,
        by=caller.actor,
    )
    return MadeToken(await _view(session, token_id, caller), value)


async def tokens_of(session: AsyncSession, holder: str | None, *, caller: Caller) -> list[TokenView]:
    """Return the tokens of the caller that live, or those of another whose admin the caller is; newest first."""
    caller.must_be_known()
    row = await _holder(session, holder, caller, making=False)
    rows = await session.execute(
        _views().where(_tokens.c.principal_id == row.id, *_live()).order_by(_tokens.c.id.desc())
    )
    return [_seen(one, caller) for one in rows]


async def rotate(session: AsyncSession, token_id: UUID, overlap: timedelta, *, caller: Caller) -> MadeToken:
    """Give a token a new value; the one it had works on for the overlap, with none it ends at once.

    At most two values work: while a former one still does, only a rotation without overlap is done, which ends both.
    Raises NotFound, Forbidden, Invalid, Conflict.
    """
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        most = f"from 0 to {OVERLAP_MAX.days} days"
        raise Invalid("The overlap cannot be had.", faults=[Fault("/overlap_seconds", f"an overlap is {most}")])
    row = await _touched(session, token_id, caller, making=True)
    if not (caller.held is not None and caller.held.id == token_id):
        must_not_exceed(caller, frozenset(in_order(row.scopes)), row.place, row.expires_at)
    at = now()
    if overlap and row.former_until is not None and row.former_until > at:
        raise Conflict(
            f"The former value works until {row.former_until:%Y-%m-%d %H:%M} UTC, and no third one may; rotate without "
            "an overlap to end both at once."
        )
    value = principals.new_value()
    former = {"former_digest": row.digest, "former_until": at + overlap}
    await session.execute(
        _tokens.update()
        .where(_tokens.c.id == token_id)
        .values(
            digest=principals.digest_of(value),
            hint=principals.hint_of(value),
            **(former if overlap else dict.fromkeys(former)),
        )
    )
    await audit.note(
        session,
        caller.actor,
        "rotate token",
        row.subject,
        scope=row.organization,
        before={"token": str(token_id), "hint": row.hint},
        after={"hint": principals.hint_of(value), "overlap_seconds": int(overlap.total_seconds())},
    )
    return MadeToken(await _view(session, token_id, caller), value)


async def revoke(session: AsyncSession, token_id: UUID, *, caller: Caller) -> int:
    """End a token at once, whatever its values, and those that were made with it; returns how many.

    Raises NotFound, and Forbidden for one that is wider than the token that the caller came with.
    """
    row = await _touched(session, token_id, caller, making=False)
    if not (caller.held is not None and caller.held.id == token_id):
        _must_cover(caller, frozenset(in_order(row.scopes)), row.place)
    return await principals.revoke_token(session, token_id, by=caller.actor)


def _check(wish: Wish) -> None:
    faults = []
    if not wish.scopes:
        faults.append(Fault("/scopes", f"say at least one of {', '.join(Scope)}"))
    if wish.place is not None and PLACE.fullmatch(wish.place) is None:
        faults.append(Fault("/place", "write an organization, or a project as organization/project"))
    if wish.expires_at is not None and wish.expires_at <= now():
        faults.append(Fault("/expires_at", "name a moment to come"))
    if faults:
        raise Invalid("The token cannot be made.", faults=faults)


def _must_cover(caller: Caller, scopes: frozenset[Scope], place: str | None) -> None:
    held = caller.held
    if held is None:
        return
    for scope in in_order(scopes - held.scopes):
        caller.must_have(scope)
    if held.place is not None and (place is None or not lies_in(place, held.place)):
        raise Forbidden(f"Your token counts in {held.place} alone, so another one must too: say it as its place.")


def must_not_exceed(caller: Caller, scopes: frozenset[Scope], place: str | None, ends_at: datetime | None) -> None:
    """Raise Forbidden for a token that is wider, or ends later, than the one that the caller came with."""
    _must_cover(caller, scopes, place)
    limit = None if caller.held is None else caller.held.ends_at
    if limit is not None and (ends_at is None or ends_at > limit):
        raise Forbidden(f"Your token ends at {limit.isoformat()}; another one can end then, or before, not later.")


async def _holder(session: AsyncSession, name: str | None, caller: Caller, *, making: bool) -> Any:
    kind, _, rest = (name or f"{caller.kind}:{caller.name}").partition(":")
    found = await session.execute(
        sa.select(
            _principals.c.id,
            _principals.c.kind,
            _principals.c.organization,
            (_principals.c.kind + ":" + _principals.c.name).label("subject"),
        ).where(_principals.c.name == rest, _principals.c.kind == kind, _principals.c.ended_at.is_(None))
    )
    row = found.one_or_none()
    if row is None or not _may_touch(row.id, row.kind, row.organization, caller, making=making):
        raise NotFound(f"There is nobody called {(name or '')[:80]!r} whose tokens you look after.")
    return row


def _may_touch(principal_id: UUID, kind: str, organization: str | None, caller: Caller, *, making: bool) -> bool:
    """Whether the caller looks after tokens of this principal; raises InsufficientScope where its token does not.

    Of people, admins of the whole catalog see and revoke tokens. They make none: whoever held it would be that person.
    """
    if principal_id == caller.id:
        return True
    looks_after = (
        accounts.administers(caller, organization)
        if kind == PrincipalKind.SERVICE
        else caller.role is Role.ADMIN and not making
    )
    if looks_after:
        caller.must_have(Scope.ADMIN)
    return looks_after


async def _touched(session: AsyncSession, token_id: UUID, caller: Caller, *, making: bool) -> Any:
    """Return a token that lives and that the caller looks after, locked; raises NotFound."""
    caller.must_be_known()
    found = await session.execute(
        sa.select(
            _tokens,
            _principals.c.id.label("holder_id"),
            _principals.c.kind,
            _principals.c.organization,
            (_principals.c.kind + ":" + _principals.c.name).label("subject"),
        )
        .join(_principals, _principals.c.id == _tokens.c.principal_id)
        .where(_tokens.c.id == token_id, *_live())
        .with_for_update(of=_tokens)
    )
    row = found.one_or_none()
    if row is None or not _may_touch(row.holder_id, row.kind, row.organization, caller, making=making):
        raise NotFound(f"There is no live token {token_id} that you look after.")
    return row


def _live() -> tuple[sa.ColumnElement[bool], ...]:
    ends = sa.or_(_tokens.c.expires_at.is_(None), _tokens.c.expires_at > sa.func.now())
    return _tokens.c.revoked_at.is_(None), ends


def _views() -> sa.Select[Any]:
    return sa.select(_tokens, (_principals.c.kind + ":" + _principals.c.name).label("holder")).join(
        _principals, _principals.c.id == _tokens.c.principal_id
    )


async def _view(session: AsyncSession, token_id: UUID, caller: Caller) -> TokenView:
    return _seen((await session.execute(_views().where(_tokens.c.id == token_id))).one(), caller)


def _seen(row: sa.Row[Any], caller: Caller) -> TokenView:
    former = row.former_until if row.former_until is not None and row.former_until > now() else None
    return TokenView(
        id=row.id,
        holder=row.holder,
        hint=row.hint,
        label=row.label,
        scopes=in_order(row.scopes),
        place=row.place,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        former_until=former,
        this=caller.held is not None and caller.held.id == row.id,
    )

"""Principals and their bearer tokens, and who it is that came with one.

A token is shown once and kept as a SHA-256 digest: it has 256 random bits, so a slow hash would add nothing.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.access import audit
from catalog.access.audience import Permission, Role, grant_token
from catalog.access.audit import OPERATOR, Actor
from catalog.access.callers import NOBODY, Caller, PrincipalKind
from catalog.access.grants import prefix_tokens
from catalog.access.scopes import ALL_SCOPES, Held, Scope, in_order
from catalog.database import Database, now, timestamp_column
from catalog.errors import Conflict, Fault, Invalid, NotFound, Unauthenticated

# Who reads of principals here reads of callers too.
__all__ = ["NOBODY", "Caller"]

TOKEN_MARK = "cat_"  # ruff: ignore[S105] - a mark by which scanners and people recognise our tokens, not a token.
TOKEN_BYTES = 32
FIRST_ADMIN = "first-admin"
_FIRST_ADMIN_LOCK = 7_201_145_604
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
ENDED = "This account of the catalog was ended; ask an admin."


class Principal(SQLModel, table=True):
    """Somebody or something that acts."""

    __table_args__ = (
        sa.UniqueConstraint("name"),
        sa.CheckConstraint("organization IS NULL OR kind = 'service'", name="organization_of_service"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    name: str = Field(sa_type=sa.Text)
    role: str = Field(sa_type=sa.Text)
    kind: str = Field(default=PrincipalKind.USER, sa_column=sa.Column(sa.Text, nullable=False, server_default="user"))
    # Whose service account it is; without one, that of the whole catalog.
    organization: str | None = Field(default=None, sa_type=sa.Text, foreign_key="organization.name", index=True)
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    # From then on nothing that it holds works: no token of ours or of a provider, no session.
    ended_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class Token(SQLModel, table=True):
    """One bearer token of a principal; the token itself is nowhere.

    It may have two values that work: after a rotation the former one does until `former_until`.
    """

    __table_args__ = (
        sa.UniqueConstraint("digest"),
        sa.UniqueConstraint("former_digest"),
        sa.CheckConstraint("(former_digest IS NULL) = (former_until IS NULL)", name="former_whole"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    principal_id: UUID = Field(foreign_key="principal.id", index=True)
    digest: bytes = Field(sa_type=sa.LargeBinary)
    former_digest: bytes | None = Field(default=None, sa_type=sa.LargeBinary)
    former_until: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    hint: str = Field(sa_type=sa.Text)
    label: str | None = Field(default=None, sa_type=sa.Text)
    scopes: list[str] = Field(
        sa_column=sa.Column(ARRAY(sa.Text), nullable=False, server_default="{read,register,curate,admin}")
    )
    # The organization or project in which alone it counts.
    place: str | None = Field(default=None, sa_type=sa.Text)
    # The token with which it was made, and with which it ends.
    made_with: UUID | None = Field(default=None, foreign_key="token.id", index=True)
    # Known to some minutes: see `uses`.
    last_used_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    expires_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


_tokens = SQLModel.metadata.tables["token"]
_principals = SQLModel.metadata.tables["principal"]

# Few, and found without looking at the many grants to everybody on single objects, which their readers tell.
_OPEN_PREFIXES = """
    SELECT array_agg(prefix) FROM object_grant
    WHERE grantee = 'public' AND prefix IS NOT NULL AND (expires_at IS NULL OR expires_at > now())
    """

_CALLER = f"""
    WITH held AS ({{whose}}), me AS (
        SELECT principal.id, principal.name, principal.role, principal.kind,
            held.token_id, held.scopes, held.place, held.ends_at, held.last_used_at
        FROM held JOIN principal ON principal.id = held.principal_id WHERE principal.ended_at IS NULL
    ), mine AS (
        SELECT 'user:' || me.id AS token FROM me
        UNION ALL
        SELECT 'group:' || group_member.group_id FROM group_member JOIN me ON me.id = group_member.principal_id
    )
    SELECT me.id, me.name, me.role, me.kind, me.token_id, me.scopes, me.place, me.ends_at, me.last_used_at,
        (SELECT array_agg(mine.token) FROM mine),
        (SELECT array_agg(ARRAY[membership.scope, membership.role])
            FROM membership JOIN mine ON membership.member = mine.token),
        (SELECT array_agg(ARRAY[object_grant.id::text, object_grant.prefix, object_grant.permission])
            FROM object_grant JOIN mine ON object_grant.grantee = mine.token
            WHERE (object_grant.expires_at > now())
            OR (object_grant.expires_at IS NULL AND object_grant.prefix IS NOT NULL)),
        ({_OPEN_PREFIXES})
    FROM me
    """  # ruff: ignore[S608] - constants, with a place for one more.

# Whose token of ours it is.
_WHOSE = """
    SELECT principal_id, id AS token_id, scopes, place, expires_at AS ends_at, last_used_at FROM token
    WHERE (digest = %(digest)s OR (former_digest = %(digest)s AND former_until > now()))
    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    """
# What a statement says beside a principal's id that knows the principal by anything else than a token of ours.
OTHERWISE = (
    "NULL::uuid AS token_id, NULL::text[] AS scopes, NULL::text AS place, NULL::timestamptz AS ends_at, "
    "NULL::timestamptz AS last_used_at"
)


# The same of many principals at once, each looked up as one is.
_CALLERS = f"""
    SELECT told.* FROM unnest(CAST(%(ids)s AS uuid[])) AS asked (id)
    CROSS JOIN LATERAL ({_CALLER.format(whose=f"SELECT asked.id AS principal_id, {OTHERWISE}")}) AS told
    """  # ruff: ignore[S608] - constants of ours.


async def caller_by(database: Database, whose: str, parameters: Mapping[str, Any]) -> Caller | None:
    """Return the principal that a statement names by its id, with all rights it has, in one query.

    None where the statement names none, or one that was ended. The one way to a caller, whatever it came with: a token
    of ours, one of a provider, a session of the pages.
    """
    rows = await database.rows(_CALLER.format(whose=whose), parameters)
    return _caller(rows[0]) if rows else None


async def callers_of(database: Database, ids: Sequence[UUID]) -> dict[UUID, Caller]:
    """Return these principals with all rights they have, as `caller_by` does, in one query; no ended ones."""
    callers = map(_caller, await database.rows(_CALLERS, {"ids": list(ids)}))
    return {caller.id: caller for caller in callers if caller.id is not None}


def _caller(row: tuple[Any, ...]) -> Caller:
    principal_id, name, role, kind, token_id, scopes, place, ends_at, last_used_at, mine, rights, grants, opened = row
    tokens = set(mine)
    for grant_id, prefix, permission in grants or ():
        tokens |= {grant_token(UUID(grant_id))} if not prefix else prefix_tokens(Permission(permission), prefix)
    return Caller(
        principal_id,
        name,
        Role(role),
        rights=frozenset((scope, Role(given)) for scope, given in rights or ()),
        tokens=frozenset(tokens),
        opened=_opened(opened),
        kind=PrincipalKind(kind),
        held=None if token_id is None else Held(token_id, frozenset(in_order(scopes)), place, ends_at),
        last_used_at=last_used_at,
    )


async def nobody(database: Database) -> Caller:
    """Return nobody in particular, with what everybody may see below prefixes now, in one query."""
    rows = await database.rows(_OPEN_PREFIXES, {})
    return Caller(None, NOBODY.name, None, opened=_opened(rows[0][0]))


def _opened(prefixes: Sequence[str] | None) -> frozenset[str]:
    return frozenset(token for prefix in prefixes or () for token in prefix_tokens(Permission.READ, prefix))


def digest_of(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


async def identify(database: Database, token: str) -> Caller:
    """Return who holds this token; raises Unauthenticated when it is unknown, expired or revoked."""
    caller = await caller_by(database, _WHOSE, {"digest": digest_of(token)})
    if caller is None:
        raise Unauthenticated("The bearer token is unknown, expired or revoked; ask an admin for a new one.")
    return caller


@dataclass(frozen=True, slots=True)
class Wish:
    """What a new token shall be good for, where, and until when."""

    scopes: frozenset[Scope] = ALL_SCOPES
    place: str | None = None
    label: str | None = None
    expires_at: datetime | None = None


def new_value() -> str:
    """Return what a new token is."""
    return TOKEN_MARK + secrets.token_urlsafe(TOKEN_BYTES)


def hint_of(token: str) -> str:
    """Return so much of a token as tells it from others."""
    return token[: len(TOKEN_MARK) + 4]


async def put_token(
    session: AsyncSession,
    token: str,
    wish: Wish,
    *,
    principal_id: UUID,
    subject: str,
    scope: str | None,
    by: Actor,
) -> UUID:
    """Write a new token of a principal, with its row of the audit; returns its id."""
    token_id = uuid7()
    told = {
        "hint": hint_of(token),
        "label": wish.label,
        "scopes": in_order(wish.scopes),
        "place": wish.place,
    }
    await session.execute(
        _tokens.insert().values(
            id=token_id,
            principal_id=principal_id,
            digest=digest_of(token),
            expires_at=wish.expires_at,
            made_with=by.token_id,
            **told,
        )
    )
    ends = None if wish.expires_at is None else wish.expires_at.isoformat()
    after = {"token": str(token_id), "expires_at": ends, **told}
    await audit.note(session, by, "make token", subject, scope=scope, after=after)
    return token_id


async def create_token(
    session: AsyncSession,
    *,
    name: str,
    role: Role,
    label: str | None = None,
    expires: timedelta | None = None,
    scopes: frozenset[Scope] = ALL_SCOPES,
    place: str | None = None,
    value: str | None = None,
) -> tuple[Caller, str]:
    """Make a token for the principal of that name, who is created when new; the token is returned this once.

    `value` is what it shall be, else it is made up. Raises Invalid when the principal exists with another role: a role
    is changed on purpose, not by the way; Conflict where the principal was ended, or the value was somebody's before.
    """
    new = await session.execute(
        insert(_principals)
        .values(id=uuid7(), name=name, role=role.value)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(_principals.c.id)
    )
    if new.one_or_none() is not None:
        await audit.note(session, OPERATOR, "make principal", f"user:{name}", after={"role": role.value})
    row = (await session.execute(sa.select(_principals).where(_principals.c.name == name))).one()
    if row.ended_at is not None:
        raise Conflict(f"{name} was ended; `catalog principal restore {name}` takes that back.")
    if row.role != role:
        raise Invalid(
            f"{name} exists with the role {row.role}.",
            faults=[Fault("/role", f"{name} has the role {row.role}, not {role}", f"--role {row.role}")],
        )
    token = value or new_value()
    await put_token(
        session,
        token,
        Wish(scopes, place, label, None if expires is None else now() + expires),
        principal_id=row.id,
        subject=f"{row.kind}:{row.name}",
        scope=row.organization,
        by=OPERATOR,
    )
    return Caller(row.id, row.name, role, kind=PrincipalKind(row.kind)), token


async def ensure_admin(session: AsyncSession, token: str) -> bool:
    """Make an admin of the whole catalog who holds this token, unless there is one; returns whether one was made.

    Raises Conflict where the token was somebody's before: what was revoked stays so.
    """
    # Of several that begin at once, one makes it.
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(_FIRST_ADMIN_LOCK)))
    there = sa.select(_principals.c.id).where(_principals.c.role == Role.ADMIN.value, _principals.c.ended_at.is_(None))
    if (await session.execute(there.limit(1))).one_or_none() is not None:
        return False
    digest = digest_of(token)
    known = sa.or_(_tokens.c.digest == digest, _tokens.c.former_digest == digest)
    if (await session.execute(sa.select(_tokens.c.id).where(known))).first() is not None:
        raise Conflict("The token of CATALOG_FIRST_ADMIN_TOKEN was somebody's before; make up another one.")
    await create_token(session, name=FIRST_ADMIN, role=Role.ADMIN, label="first admin", value=token)
    return True


async def list_principals(session: AsyncSession) -> list[dict[str, Any]]:
    """Return every principal's name, kind, role, and when it was made and ended; newest first."""
    shown = (_principals.c[name] for name in ("name", "kind", "organization", "role", "created_at", "ended_at"))
    rows = await session.execute(sa.select(*shown).order_by(_principals.c.id.desc()))
    return [dict(row._mapping) for row in rows]  # ruff: ignore[SLF001] - SQLAlchemy's documented name for the row as a mapping.


async def end(session: AsyncSession, name: str) -> None:
    """End a principal: nothing that it holds works from now on; raises NotFound when none lives of that name."""
    await _move(session, name, "end principal")


async def restore(session: AsyncSession, name: str) -> None:
    """Take back that a principal was ended; raises NotFound when none of that name was."""
    await _move(session, name, "restore principal")


async def _move(session: AsyncSession, name: str, action: str) -> None:
    ending = action == "end principal"
    are = _principals.c.ended_at.is_(None) if ending else _principals.c.ended_at.is_not(None)
    moved = await session.execute(
        _principals.update()
        .where(_principals.c.name == name, are)
        .values(ended_at=sa.func.now() if ending else None)
        .returning(_principals.c.kind, _principals.c.organization)
    )
    row = moved.one_or_none()
    if row is None:
        state = "live" if ending else "ended"
        raise NotFound(f"There is no {state} principal {name}; `catalog principal list` shows them.")
    await audit.note(session, OPERATOR, action, f"{row.kind}:{name}", scope=row.organization)


async def list_tokens(session: AsyncSession) -> list[dict[str, Any]]:
    """Return every token's facts, newest first; never the token."""
    rows = await session.execute(
        sa.select(
            _tokens.c.id,
            _principals.c.name,
            _principals.c.role,
            *(_tokens.c[name] for name in ("hint", "label", "scopes", "place", "created_at")),
            *(_tokens.c[name] for name in ("expires_at", "last_used_at", "former_until", "revoked_at")),
        )
        .join(_principals, _principals.c.id == _tokens.c.principal_id)
        .order_by(_tokens.c.id.desc())
    )
    return [dict(row._mapping) for row in rows]  # ruff: ignore[SLF001] - SQLAlchemy's documented name for the row as a mapping.


async def revoke_token(session: AsyncSession, token_id: UUID, *, by: Actor = OPERATOR) -> int:
    """End a token at once, and those that were made with it; returns how many. Raises NotFound for none that lives."""
    ended = (await session.execute(_REVOKE, {"id": token_id})).all()
    if token_id not in {row.id for row in ended}:
        raise NotFound(f"There is no live token {token_id}; `catalog token list` shows them.")
    for row in ended:
        before = {"token": str(row.id), "hint": row.hint, "label": row.label}
        await audit.note(session, by, "revoke token", row.subject, scope=row.organization, before=before)
    return len(ended)


# Whoever stole a token may have made others with it.
_REVOKE = sa.text(
    """
    WITH RECURSIVE made (id) AS (
        SELECT id FROM token WHERE id = :id
        UNION
        SELECT token.id FROM token JOIN made ON token.made_with = made.id
    )
    UPDATE token SET revoked_at = now() FROM made, principal
    WHERE token.id = made.id AND token.revoked_at IS NULL AND principal.id = token.principal_id
    RETURNING token.id, token.hint, token.label, principal.kind || ':' || principal.name AS subject,
        principal.organization
    """
)

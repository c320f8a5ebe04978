"""Principals, their roles and their bearer tokens.

A token is shown once and kept as a SHA-256 digest: it has 256 random bits, so a slow hash would add nothing.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.access.audience import (
    ANONYMOUS,
    LOOKS_AFTER_ALL,
    PUBLIC,
    REGISTERS,
    Audience,
    Permission,
    Role,
    grant_token,
    organization_of,
    strongest,
    tokens_of,
    user_token,
)
from catalog.access.grants import prefix_tokens
from catalog.database import Database, now, timestamp_column
from catalog.errors import Conflict, Fault, Forbidden, Invalid, NotFound, Unauthenticated

TOKEN_MARK = "cat_"  # ruff: ignore[S105] - a mark by which scanners and people recognise our tokens, not a token.
TOKEN_BYTES = 32
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
ENDED = "This account of the catalog was ended; ask an admin."


class Principal(SQLModel, table=True):
    """Somebody or something that acts."""

    __table_args__ = (sa.UniqueConstraint("name"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    name: str = Field(sa_type=sa.Text)
    role: str = Field(sa_type=sa.Text)
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    # From then on nothing that it holds works: no token of ours or of a provider, no session.
    ended_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class Token(SQLModel, table=True):
    """One bearer token of a principal; the token itself is nowhere."""

    __table_args__ = (sa.UniqueConstraint("digest"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    principal_id: UUID = Field(foreign_key="principal.id", index=True)
    digest: bytes = Field(sa_type=sa.LargeBinary)
    hint: str = Field(sa_type=sa.Text)
    label: str | None = Field(default=None, sa_type=sa.Text)
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    expires_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class Caller:
    """Who sent this request: a principal, or nobody in particular.

    `role` counts in the whole catalog, `rights` in organizations and projects: pairs of such a scope and a role there.
    `tokens` are what else the caller belongs to: groups, and grants that do not stand in the objects' own readers.
    """

    __slots__ = ("audience", "id", "name", "rights", "role")

    def __init__(
        self,
        principal_id: UUID | None,
        name: str,
        role: Role | None,
        *,
        rights: frozenset[tuple[str, Role]] = frozenset(),
        tokens: frozenset[str] = frozenset(),
    ) -> None:
        self.id = principal_id
        self.name = name
        self.role = role
        self.rights = rights
        self.audience = ANONYMOUS
        if principal_id is not None:
            by_right = {token for scope, held in rights for token in tokens_of(held, scope)}
            own = {PUBLIC, user_token(principal_id)}
            self.audience = Audience(frozenset(own | tokens | by_right), everything=role in LOOKS_AFTER_ALL)

    def __repr__(self) -> str:
        """Name the caller."""
        return f"Caller({self.name})"

    def __eq__(self, other: object) -> bool:
        """Whether both are the same principal with the same rights."""
        return isinstance(other, Caller) and self._told() == other._told()

    def __hash__(self) -> int:
        """Fit the equality."""
        return hash(self._told())

    def _told(self) -> tuple[object, ...]:
        return self.id, self.name, self.role, self.rights, self.audience

    def may_register(self, project: str | None = None) -> bool:
        """Whether this caller may register objects in a project, or in any at all."""
        if self.role in REGISTERS:
            return True
        scopes = {scope for scope, role in self.rights if role in REGISTERS}
        return bool(scopes) if project is None else not scopes.isdisjoint({project, organization_of(project)})

    def must_register(self, project: str | None = None) -> UUID:
        """Return the principal's id; raises Unauthenticated for nobody, Forbidden for those who may not register."""
        principal_id = self.must_be_known()
        if not self.may_register(project):
            if project is not None and self.may_register():
                raise Forbidden(
                    f"You may not register in {project}: ask an admin of {organization_of(project)} for the role "
                    "ingest there."
                )
            raise Forbidden("Your token may only read; registering needs the role ingest, curator or admin.")
        return principal_id

    def must_be_known(self) -> UUID:
        """Return the principal's id; raises Unauthenticated for nobody."""
        if self.id is None:
            raise Unauthenticated("This needs a bearer token; send it as `Authorization: Bearer <token>`.")
        return self.id

    def must_look_after_all(self) -> UUID:
        """Return the principal's id; raises unless it is a curator or admin of the whole catalog."""
        principal_id = self.must_be_known()
        if self.role not in LOOKS_AFTER_ALL:
            raise Forbidden("This needs the role curator or admin.")
        return principal_id

    def must_administer_all(self) -> UUID:
        """Return the principal's id; raises unless it is an admin of the whole catalog."""
        principal_id = self.must_be_known()
        if self.role is not Role.ADMIN:
            raise Forbidden("This is for admins of the whole catalog.")
        return principal_id

    def may_change(self, writers: Sequence[str]) -> bool:
        """Whether this caller may change an object that these tokens may change."""
        return self.audience.includes(writers)

    def may_act_for(self, principal_id: UUID) -> bool:
        """Whether this caller may change what belongs to a principal and to no object."""
        return self.role in LOOKS_AFTER_ALL or self.id == principal_id

    def role_in(self, scope: str) -> Role | None:
        """Return the role that may most of those that this caller has in an organization or a project.

        A role in the whole catalog is one there only for those who look after all of it.
        """
        held = [role for one, role in self.rights if one in {scope, organization_of(scope)}]
        return strongest([*held, self.role] if self.role in LOOKS_AFTER_ALL else held)

    @property
    def organizations(self) -> set[str]:
        """The organizations in which this caller has a role, or in a project of which."""
        return {organization_of(scope) for scope, _ in self.rights}


NOBODY = Caller(None, "anonymous", None)

_tokens = SQLModel.metadata.tables["token"]
_principals = SQLModel.metadata.tables["principal"]

_CALLER = """
    WITH me AS (
        SELECT principal.id, principal.name, principal.role FROM principal
        WHERE principal.id = ({whose}) AND principal.ended_at IS NULL
    ), mine AS (
        SELECT 'user:' || me.id AS token FROM me
        UNION ALL
        SELECT 'group:' || group_member.group_id FROM group_member JOIN me ON me.id = group_member.principal_id
    )
    SELECT me.id, me.name, me.role,
        (SELECT array_agg(mine.token) FROM mine),
        (SELECT array_agg(ARRAY[membership.scope, membership.role])
            FROM membership JOIN mine ON membership.member = mine.token),
        (SELECT array_agg(ARRAY[object_grant.id::text, object_grant.prefix, object_grant.permission])
            FROM object_grant JOIN mine ON object_grant.grantee = mine.token
            WHERE (object_grant.expires_at > now())
            OR (object_grant.expires_at IS NULL AND object_grant.prefix IS NOT NULL))
    FROM me
    """

# Whose token of ours it is.
_WHOSE = """
    SELECT principal_id FROM token WHERE digest = %(digest)s AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > now())
    """


async def caller_by(database: Database, whose: str, parameters: Mapping[str, Any]) -> Caller | None:
    """Return the principal that a statement names by its id, with all rights it has, in one query.

    None where the statement names none, or one that was ended. The one way to a caller, whatever it came with: a token
    of ours, one of a provider, a session of the pages.
    """
    rows = await database.rows(_CALLER.format(whose=whose), parameters)
    if not rows:
        return None
    principal_id, name, role, mine, rights, grants = rows[0]
    tokens = set(mine)
    for grant_id, prefix, permission in grants or ():
        tokens |= {grant_token(UUID(grant_id))} if not prefix else prefix_tokens(Permission(permission), prefix)
    held = frozenset((scope, Role(given)) for scope, given in rights or ())
    return Caller(principal_id, name, Role(role), rights=held, tokens=frozenset(tokens))


def digest_of(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


async def identify(database: Database, token: str) -> Caller:
    """Return who holds this token; raises Unauthenticated when it is unknown, expired or revoked."""
    caller = await caller_by(database, _WHOSE, {"digest": digest_of(token)})
    if caller is None:
        raise Unauthenticated("The bearer token is unknown, expired or revoked; ask an admin for a new one.")
    return caller


async def create_token(
    session: AsyncSession, *, name: str, role: Role, label: str | None = None, expires: timedelta | None = None
) -> tuple[Caller, str]:
    """Make a token for the principal of that name, who is created when new; the token is returned this once.

    Raises Invalid when the principal exists with another role: a role is changed on purpose, not by the way.
    """
    await session.execute(
        sa.dialects.postgresql.insert(_principals)
        .values(id=uuid7(), name=name, role=role.value)
        .on_conflict_do_nothing(index_elements=["name"])
    )
    row = (await session.execute(sa.select(_principals).where(_principals.c.name == name))).one()
    if row.ended_at is not None:
        raise Conflict(f"{name} was ended; `catalog principal restore {name}` takes that back.")
    if row.role != role:
        raise Invalid(
            f"{name} exists with the role {row.role}.",
            faults=[Fault("/role", f"{name} has the role {row.role}, not {role}", f"--role {row.role}")],
        )
    token = TOKEN_MARK + secrets.token_urlsafe(TOKEN_BYTES)
    await session.execute(
        _tokens.insert().values(
            id=uuid7(),
            principal_id=row.id,
            digest=digest_of(token),
            hint=token[: len(TOKEN_MARK) + 4],
            label=label,
            expires_at=None if expires is None else now() + expires,
        )
    )
    return Caller(row.id, row.name, role), token


async def list_principals(session: AsyncSession) -> list[dict[str, Any]]:
    """Return every principal's name, role, and when it was made and ended; newest first."""
    shown = (_principals.c[name] for name in ("name", "role", "created_at", "ended_at"))
    rows = await session.execute(sa.select(*shown).order_by(_principals.c.id.desc()))
    return [dict(row._mapping) for row in rows]  # ruff: ignore[SLF001] - SQLAlchemy's documented name for the row as a mapping.


async def end(session: AsyncSession, name: str) -> None:
    """End a principal: nothing that it holds works from now on; raises NotFound when none lives of that name."""
    await _move(session, name, _principals.c.ended_at.is_(None), sa.func.now(), "live")


async def restore(session: AsyncSession, name: str) -> None:
    """Take back that a principal was ended; raises NotFound when none of that name was."""
    await _move(session, name, _principals.c.ended_at.is_not(None), None, "ended")


async def _move(session: AsyncSession, name: str, are: sa.ColumnElement[bool], ended_at: Any, state: str) -> None:
    moved = await session.execute(
        _principals.update()
        .where(_principals.c.name == name, are)
        .values(ended_at=ended_at)
        .returning(_principals.c.id)
    )
    if moved.one_or_none() is None:
        raise NotFound(f"There is no {state} principal {name}; `catalog principal list` shows them.")


async def list_tokens(session: AsyncSession) -> list[dict[str, Any]]:
    """Return every token's facts, newest first; never the token."""
    rows = await session.execute(
        sa.select(
            _tokens.c.id,
            _principals.c.name,
            _principals.c.role,
            _tokens.c.hint,
            _tokens.c.label,
            _tokens.c.created_at,
            _tokens.c.expires_at,
            _tokens.c.revoked_at,
        )
        .join(_principals, _principals.c.id == _tokens.c.principal_id)
        .order_by(_tokens.c.id.desc())
    )
    return [dict(row._mapping) for row in rows]  # ruff: ignore[SLF001] - SQLAlchemy's documented name for the row as a mapping.


async def revoke_token(session: AsyncSession, token_id: UUID) -> None:
    """End a token at once; raises NotFound when there is none of that id."""
    ended = await session.execute(
        _tokens.update()
        .where(_tokens.c.id == token_id, _tokens.c.revoked_at.is_(None))
        .values(revoked_at=sa.func.now())
        .returning(_tokens.c.id)
    )
    if ended.one_or_none() is None:
        raise NotFound(f"There is no live token {token_id}; `catalog token list` shows them.")

"""Who changed who may do what, and when: principals, roles, groups, grants on prefixes, tokens.

A row stands in the transaction of its change, and holds no secret. What was changed is told as people write it, so that
it can be read when what it names is gone. Changes of objects, grants on them too, have a history of their own.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog.database import timestamp_column


class Via(StrEnum):
    """By which way a change came."""

    API = "api"
    # The commands that work in the database, of whoever runs the catalog.
    OPERATOR = "operator"
    # What the OpenID provider's newest token tells.
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change: a principal, with a token of ours if with one; none where it is not one of ours."""

    principal_id: UUID | None
    token_id: UUID | None = None
    via: Via = Via.API


OPERATOR = Actor(None, via=Via.OPERATOR)
PROVIDER = Actor(None, via=Via.PROVIDER)


class AccessChange(SQLModel, table=True):
    """One change of who may do what. No keys to other tables: it outlives them."""

    __tablename__ = "access_change"
    __table_args__ = (
        sa.Index("ix_access_change_scope_id", "scope", "id"),
        sa.Index("ix_access_change_subject_id", "subject", "id"),
        sa.Index("ix_access_change_principal_id_id", "principal_id", "id"),
    )

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, sa.Identity(), primary_key=True))
    at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    principal_id: UUID | None = Field(default=None)
    token_id: UUID | None = Field(default=None)
    via: str = Field(sa_type=sa.Text)
    action: str = Field(sa_type=sa.Text)
    # An organization or a project; none: the whole catalog.
    scope: str | None = Field(default=None, sa_type=sa.Text)
    subject: str = Field(sa_type=sa.Text)
    before: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    after: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))


_changes = SQLModel.metadata.tables[AccessChange.__tablename__]


@dataclass(frozen=True, slots=True)
class SeenChange:
    """A change as it is shown, with its number."""

    id: int
    at: datetime
    by: str | None
    via: Via
    token_id: UUID | None
    action: str
    scope: str | None
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class AskedChanges:
    """Which changes are wanted: `scope` with all that lies in it, `actor` by name."""

    scope: str | None = None
    subject: str | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def note(
    session: AsyncSession,
    by: Actor,
    action: str,
    subject: str,
    *,
    scope: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write a change in the caller's transaction; `before` and `after` hold what differs."""
    await session.execute(
        _changes.insert().values(
            principal_id=by.principal_id,
            token_id=by.token_id,
            via=by.via.value,
            action=action,
            scope=scope,
            subject=subject,
            before=before,
            after=after,
        )
    )


async def page(
    session: AsyncSession,
    asked: AskedChanges,
    *,
    among: Collection[str] | None,
    before: int | None,
    limit: int,
) -> Sequence[SeenChange]:
    """Return changes, newest first; `among` are the scopes whose changes may be told, None for those of all."""
    by = sa.table("principal", sa.column("id"), sa.column("name"), sa.column("kind"))
    conditions = []
    if among is not None:
        conditions.append(sa.or_(sa.false(), *(_in(scope) for scope in sorted(among))))
    if asked.scope is not None:
        conditions.append(_in(asked.scope))
    if asked.subject is not None:
        conditions.append(_changes.c.subject == asked.subject)
    if asked.actor is not None:
        conditions.append(by.c.name == asked.actor)
    if asked.since is not None:
        conditions.append(_changes.c.at >= asked.since)
    if asked.until is not None:
        conditions.append(_changes.c.at < asked.until)
    if before is not None:
        conditions.append(_changes.c.id < before)
    rows = await session.execute(
        sa.select(
            _changes.c.id,
            _changes.c.at,
            by.c.kind + ":" + by.c.name,
            _changes.c.via,
            *(_changes.c[name] for name in ("token_id", "action", "scope", "subject", "before", "after")),
        )
        .outerjoin(by, by.c.id == _changes.c.principal_id)
        .where(*conditions)
        .order_by(_changes.c.id.desc())
        .limit(limit)
    )
    return [SeenChange(number, at, name, Via(via), *rest) for number, at, name, via, *rest in rows]


def _in(scope: str) -> sa.ColumnElement[bool]:
    """Return the condition for a scope and all that lies in it; a name of it has no character that LIKE would read."""
    return sa.or_(_changes.c.scope == scope, _changes.c.scope.startswith(f"{scope}/", autoescape=True))

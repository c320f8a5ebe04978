"""Service accounts: programs that act, of an organization or of the whole catalog. Runs in the caller's transaction.

An organization's account has no role but those it is given; its name is one that nobody else has in the catalog.
"""

import re
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.access import audit, members
from catalog.access.audience import Role
from catalog.access.callers import Caller, PrincipalKind
from catalog.access.principals import NAME_PATTERN, Principal
from catalog.errors import Conflict, Fault, Forbidden, Invalid, NotFound

_principals = SQLModel.metadata.tables[str(Principal.__tablename__)]
_NAME = re.compile(NAME_PATTERN, re.ASCII)


@dataclass(frozen=True, slots=True)
class AccountView:
    """A service account; `role` counts in the whole catalog."""

    name: str
    organization: str | None
    role: Role
    created_at: datetime
    ended_at: datetime | None


async def create(
    session: AsyncSession, name: str, *, organization: str | None, role: Role | None, caller: Caller
) -> None:
    """Make a service account of an organization, or of the whole catalog, with a role there if one is said.

    Raises NotFound for an organization that the caller may not know of, Forbidden, Invalid, and Conflict for a name
    that somebody has.
    """
    await _must_administer(session, organization, caller)
    if _NAME.fullmatch(name) is None:
        rule = "at most 63 small letters, digits, dots, dashes and underscores, beginning with a letter or digit"
        raise Invalid("This is no name of a service account.", faults=[Fault("/name", f"a name has {rule}")])
    everywhere = role if organization is None and role is not None else Role.READER
    made = await session.execute(
        insert(_principals)
        .values(
            id=uuid7(), name=name, role=everywhere.value, kind=PrincipalKind.SERVICE.value, organization=organization
        )
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(_principals.c.id)
    )
    if made.one_or_none() is None:
        raise Conflict(f"Somebody is called {name} already; names are unique in the whole catalog.")
    after = {"role": everywhere.value}
    subject = f"service:{name}"
    await audit.note(session, caller.actor, "make service account", subject, scope=organization, after=after)
    if organization is not None and role is not None:
        await members.set_role(session, organization, subject, role, caller=caller)


async def accounts_of(session: AsyncSession, organization: str | None, *, caller: Caller) -> list[AccountView]:
    """Return the service accounts of an organization, or those of the whole catalog; raises NotFound, Forbidden."""
    await _must_administer(session, organization, caller)
    names = ("name", "organization", "role", "created_at", "ended_at")
    rows = await session.execute(
        sa.select(*(_principals.c[name] for name in names))
        .where(
            _principals.c.kind == PrincipalKind.SERVICE.value,
            _principals.c.organization.is_(None)
            if organization is None
            else _principals.c.organization == organization,
        )
        .order_by(_principals.c.name)
    )
    return [AccountView(row.name, row.organization, Role(row.role), row.created_at, row.ended_at) for row in rows]


async def end(session: AsyncSession, name: str, *, caller: Caller) -> None:
    """End a service account: no token of it works from now on, and what it registered stays.

    Raises NotFound where there is none that lives and whose admin the caller is.
    """
    caller.must_be_known()
    found = await session.execute(
        sa.select(_principals.c.id, _principals.c.organization)
        .where(
            _principals.c.name == name,
            _principals.c.kind == PrincipalKind.SERVICE.value,
            _principals.c.ended_at.is_(None),
        )
        .with_for_update()
    )
    row = found.one_or_none()
    if row is None or not administers(caller, row.organization):
        raise NotFound(f"There is no service account {name[:80]!r} whose admin you are.")
    await session.execute(_principals.update().where(_principals.c.id == row.id).values(ended_at=sa.func.now()))
    await audit.note(session, caller.actor, "end service account", f"service:{name}", scope=row.organization)


def administers(caller: Caller, organization: str | None) -> bool:
    """Whether the caller is an admin of the organization; None stands for the whole catalog."""
    return (caller.role if organization is None else caller.role_in(organization)) is Role.ADMIN


async def _must_administer(session: AsyncSession, organization: str | None, caller: Caller) -> None:
    if organization is None:
        caller.must_administer_all()
        return
    await members.must_be_there(session, organization, caller)
    if not administers(caller, organization):
        raise Forbidden(f"Service accounts of {organization} are the business of its admins.")

"""Organizations and projects as far as somebody sees anything there: a role of their own, or an object they may see.

What nobody shows them answers as if it were not there. Runs in the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.audience import LOOKS_AFTER_ALL, Role
from catalog.access.principals import Caller
from catalog.errors import NotFound
from catalog.objects.tables import CatalogObject

# More than anybody reads on a page; the search has them all.
SHOWN_MAX = 500
_organizations = SQLModel.metadata.tables["organization"]
_projects = SQLModel.metadata.tables["project"]
_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
NUL = "\x00"


@dataclass(frozen=True, slots=True)
class ProjectView:
    """A project and the caller's role there."""

    name: str
    title: str | None
    role: Role | None


@dataclass(frozen=True, slots=True)
class OrganizationView:
    """An organization, the caller's role there, and those of its projects that the caller sees anything of, by name."""

    name: str
    title: str | None
    role: Role | None
    projects: Sequence[ProjectView]


def _seen(caller: Caller) -> sa.ColumnElement[bool]:
    """Return the condition under which a project is seen."""
    if caller.role in LOOKS_AFTER_ALL:
        return sa.true()
    shows = sa.exists().where(
        _objects.c.project == _projects.c.name,
        _objects.c.withdrawn_at.is_(None),
        caller.audience.sql_condition(_objects.c.readers),
    )
    scopes = sorted({scope for scope, _ in caller.rights})
    return sa.or_(_projects.c.name.in_(scopes), _projects.c.organization.in_(scopes), shows)


async def organizations(session: AsyncSession, caller: Caller) -> list[tuple[str, str | None]]:
    """Return name and title of the organizations of which the caller sees anything, by name."""
    there = sa.exists().where(_projects.c.organization == _organizations.c.name, _seen(caller))
    belongs = sa.true() if caller.role in LOOKS_AFTER_ALL else _organizations.c.name.in_(sorted(caller.organizations))
    rows = await session.execute(
        sa.select(_organizations.c.name, _organizations.c.title)
        .where(sa.or_(belongs, there))
        .order_by(_organizations.c.name)
        .limit(SHOWN_MAX)
    )
    return [(row.name, row.title) for row in rows]


async def organization(session: AsyncSession, name: str, caller: Caller) -> OrganizationView:
    """Return an organization with its projects; raises NotFound where the caller sees nothing of it."""
    absent = NotFound(f"There is no organization {name[:80]!r} that you may see.")
    if NUL in name:
        raise absent
    found = (await session.execute(sa.select(_organizations).where(_organizations.c.name == name))).one_or_none()
    rows = await session.execute(
        sa.select(_projects)
        .where(_projects.c.organization == name, _seen(caller))
        .order_by(_projects.c.name)
        .limit(SHOWN_MAX)
    )
    projects = [ProjectView(row.name, row.title, caller.role_in(row.name)) for row in rows]
    belongs = caller.role in LOOKS_AFTER_ALL or name in caller.organizations
    if found is None or not (projects or belongs):
        raise absent
    return OrganizationView(name, found.title, caller.role_in(name), projects)


async def project(session: AsyncSession, name: str, caller: Caller) -> ProjectView:
    """Return a project, written organization/project; raises NotFound where the caller sees nothing of it."""
    wanted = sa.select(_projects).where(_projects.c.name == name, _seen(caller))
    found = None if NUL in name else (await session.execute(wanted)).one_or_none()
    if found is None:
        raise NotFound(f"There is no project {name[:130]!r} that you may see.")
    return ProjectView(name, found.title, caller.role_in(name))

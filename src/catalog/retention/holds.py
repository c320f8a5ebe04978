"""Holds: what stays whatever a rule says, until whoever looks after it lifts the hold.

Runs in the caller's transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.access import audit, members
from catalog.access.audience import LOOKS_AFTER_ALL
from catalog.access.callers import Caller
from catalog.access.principals import Principal
from catalog.access.scopes import Scope
from catalog.errors import Forbidden, NotFound, TooLarge
from catalog.objects import changing, reading
from catalog.objects.tables import CatalogObject
from catalog.retention.tables import RetentionHold

# Each is a matter of its own with a reason; more is a mistake of a program.
HOLDS_MAX = 100

_holds = SQLModel.metadata.tables[str(RetentionHold.__tablename__)]
_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_principals = SQLModel.metadata.tables[str(Principal.__tablename__)]


@dataclass(frozen=True, slots=True)
class HoldView:
    """A hold as it is shown: on what, why, by whom and since when."""

    id: UUID
    project: str | None
    object_id: UUID | None
    reason: str
    placed_by: str
    placed_at: datetime


async def on_project(session: AsyncSession, project: str, *, caller: Caller) -> list[HoldView]:
    """Return the holds on a project itself; raises NotFound where the caller has no role."""
    await members.role_of_member(session, project, caller)
    return await _views(session, _holds.c.project == project)


async def on_object(session: AsyncSession, object_id: UUID, project: str) -> list[HoldView]:
    """Return the holds on an object that has been found before, and on its project."""
    return await _views(session, sa.or_(_holds.c.object_id == object_id, _holds.c.project == project))


async def _views(session: AsyncSession, condition: sa.ColumnElement[bool]) -> list[HoldView]:
    rows = await session.execute(
        sa.select(
            _holds.c.id,
            _holds.c.project,
            _holds.c.object_id,
            _holds.c.reason,
            _principals.c.name,
            _holds.c.placed_at,
        )
        .join(_principals, _principals.c.id == _holds.c.placed_by)
        .where(condition)
        .order_by(_holds.c.id)
    )
    return [HoldView(*row) for row in rows]


async def place_on_project(session: AsyncSession, project: str, reason: str, *, caller: Caller) -> UUID:
    """Hold everything in a project; returns the hold's id. Raises NotFound, Forbidden, TooLarge."""
    await members.role_of_member(session, project, caller)
    _must_look_after(project, caller)
    return await _place(session, caller, project, f"project:{project}", reason, project=project)


async def place_on_object(session: AsyncSession, object_id: UUID, reason: str, *, caller: Caller) -> UUID:
    """Hold an object, a withdrawn one too: its bytes stay then. Raises NotFound, Forbidden, TooLarge."""
    caller.must_be_known()
    await changing.lock(session, object_id)
    entry = await reading.find_even_withdrawn(session, object_id, caller.audience)
    _must_look_after(entry.project, caller)
    return await _place(session, caller, entry.project, f"object:{object_id}", reason, object_id=object_id)


async def _place(
    session: AsyncSession,
    caller: Caller,
    scope: str,
    subject: str,
    reason: str,
    *,
    project: str | None = None,
    object_id: UUID | None = None,
) -> UUID:
    here = _holds.c.project == project if object_id is None else _holds.c.object_id == object_id
    held = (await session.execute(sa.select(sa.func.count()).select_from(_holds).where(here))).scalar_one()
    if held >= HOLDS_MAX:
        raise TooLarge(f"There are at most {HOLDS_MAX} holds on one thing; lift those that are over.")
    made = uuid7()
    values = {"project": project, "object_id": object_id, "reason": reason, "placed_by": caller.must_be_known()}
    await session.execute(_holds.insert().values(id=made, **values))
    told = {"hold": str(made), "reason": reason}
    await audit.note(session, caller.actor, "place hold", subject, scope=scope, after=told)
    return made


async def lift(session: AsyncSession, hold_id: UUID, reason: str, *, caller: Caller) -> None:
    """Lift a hold and say why; raises NotFound where the caller has no role, Forbidden."""
    caller.must_be_known()
    where = sa.func.coalesce(_holds.c.project, _objects.c.project)
    row = (
        await session.execute(
            sa.select(_holds, where.label("where"))
            .outerjoin(_objects, _objects.c.id == _holds.c.object_id)
            .where(_holds.c.id == hold_id)
        )
    ).one_or_none()
    if row is None or caller.role_in(row.where) is None:
        raise NotFound(f"There is no hold {hold_id} that you may see.")
    _must_look_after(row.where, caller)
    gone = await session.execute(_holds.delete().where(_holds.c.id == hold_id).returning(_holds.c.id))
    if gone.one_or_none() is None:
        raise NotFound(f"There is no hold {hold_id} that you may see.")
    subject = f"project:{row.project}" if row.object_id is None else f"object:{row.object_id}"
    before, after = {"hold": str(hold_id), "reason": row.reason}, {"reason": reason}
    await audit.note(session, caller.actor, "lift hold", subject, scope=row.where, before=before, after=after)


def _must_look_after(project: str, caller: Caller) -> None:
    if caller.role_in(project) not in LOOKS_AFTER_ALL:
        raise Forbidden(f"Holds in {project} are the business of its curators and admins.")
    caller.must_have(Scope.CURATE)

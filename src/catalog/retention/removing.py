"""Objects whose grace is over go: everything is asked again under the object's lock, then it is withdrawn.

Runs in the caller's transaction. Its bytes are noted there, and go afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access import audit, members
from catalog.access.callers import Caller
from catalog.errors import Conflict
from catalog.objects import withdrawing
from catalog.objects.tables import CatalogObject
from catalog.retention import clock, leftovers, marking
from catalog.retention.clock import Moment
from catalog.retention.deciding import Policy
from catalog.retention.leftovers import Why
from catalog.retention.tables import RetentionStop

# Fewer are no flood, however few objects a project has.
STOPPED_FROM = 10

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_stops = SQLModel.metadata.tables[str(RetentionStop.__tablename__)]


@dataclass(frozen=True, slots=True)
class Stop:
    """That a project is stopped: since when, how many of its objects were to go at once, and how many it had."""

    project: str
    stopped_at: datetime
    due: int
    objects: int


_RIPE = sa.text(
    """
    SELECT object.project, count(*) AS due,
        count(*) FILTER (WHERE mark.removes_at > coalesce(stop.resumed_at, '-infinity')) AS fresh,
        (
            SELECT count(*) FROM object AS here WHERE here.project = object.project AND here.withdrawn_at IS NULL
        ) AS objects,
        coalesce(stop.project IS NOT NULL AND stop.resumed_at IS NULL, false) AS stopped
    FROM retention_mark AS mark JOIN object ON object.id = mark.object_id
    LEFT JOIN retention_stop AS stop ON stop.project = object.project
    WHERE mark.removes_at <= :at AND :witnessed - mark.witnessed >= :grace AND object.withdrawn_at IS NULL
    GROUP BY object.project, stop.project, stop.resumed_at ORDER BY object.project
    """
)
_NEXT = sa.text(
    """
    SELECT mark.object_id FROM retention_mark AS mark JOIN object ON object.id = mark.object_id
    WHERE mark.removes_at <= :at AND :witnessed - mark.witnessed >= :grace AND object.withdrawn_at IS NULL
        AND object.project = ANY(:projects)
    ORDER BY mark.removes_at, mark.object_id LIMIT :most
    """
)


def is_flood(policy: Policy, due: int, objects: int) -> bool:
    """Whether so many of a project's objects are too many to go at once without anybody saying so."""
    return due > STOPPED_FROM and due > policy.share * objects


async def next_ones(session: AsyncSession, policy: Policy, moment: Moment) -> tuple[Sequence[UUID], list[Stop]]:
    """Return the objects that this cycle may remove, at most as many as it may, and the projects that it stops now."""
    asked = {"at": moment.at, "witnessed": moment.witnessed, "grace": policy.grace.total_seconds()}
    going, stopped = [], []
    for row in (await session.execute(_RIPE, asked)).all():
        if row.stopped:
            continue
        if is_flood(policy, row.fresh, row.objects):
            values = {"stopped_at": moment.at, "due": row.due, "objects": row.objects, "resumed_at": None}
            put = insert(_stops).values(project=row.project, **values)
            await session.execute(put.on_conflict_do_update(index_elements=["project"], set_=values))
            stopped.append(Stop(row.project, moment.at, row.due, row.objects))
        else:
            going.append(row.project)
    ids = await session.execute(_NEXT, {**asked, "projects": going, "most": policy.removals})
    return ids.scalars().all(), stopped


async def stops(session: AsyncSession, *, scope: str | None = None) -> list[Stop]:
    """Return the projects that are stopped, in a scope or everywhere."""
    here = _stops.c.project == scope if scope is not None and "/" in scope else None
    if scope is not None and here is None:
        here = sa.func.split_part(_stops.c.project, "/", 1) == scope
    rows = await session.execute(
        sa.select(*(_stops.c[name] for name in ("project", "stopped_at", "due", "objects")))
        .where(_stops.c.resumed_at.is_(None), sa.true() if here is None else here)
        .order_by(_stops.c.project)
    )
    return [Stop(*row) for row in rows]


async def resume(session: AsyncSession, project: str, *, caller: Caller) -> None:
    """Let go what was to go when a project was stopped; raises NotFound, Forbidden, Conflict where it is not."""
    await members.must_administer(session, project, caller=caller, what=f"Whether things of {project} may go is")
    resumed = await session.execute(
        _stops.update()
        .where(_stops.c.project == project, _stops.c.resumed_at.is_(None))
        .values(resumed_at=sa.func.now())
        .returning(_stops.c.due, _stops.c.objects)
    )
    row = resumed.one_or_none()
    if row is None:
        raise Conflict(f"Removing is not stopped in {project}.")
    told = {"due": row.due, "objects": row.objects}
    await audit.note(session, caller.actor, "resume removing", f"project:{project}", scope=project, after=told)


async def remove(session: AsyncSession, object_id: UUID, policy: Policy) -> bool:
    """Remove an object if all still holds, and say whether it went; a mark whose reason is gone is taken back.

    This is the second look: the rule, the clock, DOIs, holds, dependants and versions are all asked again, while
    nobody can change the object, name it, or give it a DOI.
    """
    # Stronger than the lock of a change: who is about to name the object has to be waited for, and has to wait.
    held = await session.execute(sa.select(_objects.c.withdrawn_at).where(_objects.c.id == object_id).with_for_update())
    row = held.one_or_none()
    mark = await marking.of(session, object_id, hold=True)
    if row is None or row.withdrawn_at is not None or mark is None:
        return False
    moment = await clock.now(session)
    ((_, verdict),) = await marking.judged(session, [object_id], policy)
    if not marking.still_holds(mark, verdict):
        await marking.take_back(session, mark, verdict)
        return False
    if not verdict.removable or not clock.is_over(mark.removes_at, mark.witnessed, policy.grace, moment):
        return False
    assert verdict.rule is not None  # ruff: ignore[S101] - what is due is so by a rule.
    rule = verdict.rule
    await withdrawing.by_rule(session, object_id, f"Removed by the rule of {rule.place}: {rule.text}.")
    await marking.forget(session, object_id)
    await leftovers.add(session, object_id, Why.REMOVED, moment.at, moment)
    return True

"""What is due is marked, and goes only after a grace period in which anybody who may change it can lift the mark.

Runs in the caller's transaction. A mark whose reason is gone is taken back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.callers import Caller
from catalog.errors import Conflict
from catalog.objects import changing, history
from catalog.retention import facts
from catalog.retention.clock import Moment
from catalog.retention.deciding import Facts, Policy, Rule, Since, Verdict, judge
from catalog.retention.tables import RetentionMark

# Judging so many takes some ten milliseconds.
PAGE = 500

_marks = SQLModel.metadata.tables[str(RetentionMark.__tablename__)]
# What a mark that does not stand has none of.
_LIFTED = {"rule": None, "due_at": None, "marked_at": None, "removes_at": None, "witnessed": None}


@dataclass(frozen=True, slots=True)
class Mark:
    """That an object is to be removed at a moment, by a rule as it read then."""

    object_id: UUID
    rule: Rule
    due_at: datetime
    marked_at: datetime
    removes_at: datetime
    witnessed: int


async def of(session: AsyncSession, object_id: UUID, *, hold: bool = False) -> Mark | None:
    """Return the mark that stands at an object; with `hold`, nobody else changes it until the transaction ends."""
    here = sa.select(_marks).where(_marks.c.object_id == object_id, _marks.c.marked_at.is_not(None))
    row = (await session.execute(here.with_for_update() if hold else here)).mappings().one_or_none()
    return None if row is None else _mark(row)


async def among(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Mark]:
    """Return the marks that stand at these objects."""
    rows = await session.execute(
        sa.select(_marks).where(
            _marks.c.object_id == sa.any_(sa.bindparam("ids", list(ids), ARRAY(sa.Uuid))),
            _marks.c.marked_at.is_not(None),
        )
    )
    return {row["object_id"]: _mark(row) for row in rows.mappings()}


def _mark(row: Mapping[Any, Any]) -> Mark:
    told = row["rule"]
    object_id = None if told["object_id"] is None else UUID(told["object_id"])
    rule = Rule(**{**told, "object_id": object_id, "since": Since(told["since"])})
    return Mark(row["object_id"], rule, row["due_at"], row["marked_at"], row["removes_at"], row["witnessed"])


async def judged(session: AsyncSession, ids: Sequence[UUID], policy: Policy) -> list[tuple[Facts, Verdict]]:
    """Return what is known of these objects now, each with what its rule comes to."""
    known = await facts.of(session, ids)
    rules = await facts.rules_for(session, known, policy)
    by_object = {rule.object_id: rule for rule in rules if rule.object_id is not None}
    others = [rule for rule in rules if rule.object_id is None]
    return [(one, judge([*others, *_own(by_object, one.id)], one)) for one in known]


def _own(by_object: Mapping[UUID, Rule], object_id: UUID) -> Iterable[Rule]:
    return (by_object[object_id],) if object_id in by_object else ()


async def mark_due(session: AsyncSession, policy: Policy, moment: Moment, *, after: UUID) -> tuple[UUID | None, int]:
    """Mark what is due among the next objects; returns after which to go on, None at the end, and how many it were."""
    ids = await facts.old_enough(session, policy, after=after, most=PAGE)
    marked = await among(session, ids)
    count = 0
    for known, verdict in await judged(session, [one for one in ids if one not in marked], policy):
        if verdict.removable:
            await _put(session, known, verdict, policy, moment)
            count += 1
    return (ids[-1] if len(ids) == PAGE else None), count


async def _put(session: AsyncSession, known: Facts, verdict: Verdict, policy: Policy, moment: Moment) -> None:
    assert verdict.rule is not None  # ruff: ignore[S101] - what is due is so by a rule.
    rule = asdict(verdict.rule) | {"since": verdict.rule.since.value}
    values = {
        "rule": rule | {"object_id": None if verdict.rule.object_id is None else str(verdict.rule.object_id)},
        "due_at": verdict.due_at,
        "marked_at": moment.at,
        "removes_at": moment.at + policy.grace,
        "witnessed": moment.witnessed,
    }
    put = insert(_marks).values(object_id=known.id, **values)
    await session.execute(put.on_conflict_do_update(index_elements=["object_id"], set_=values))
    told = {"rule": _told(verdict.rule), "removes_at": (moment.at + policy.grace).isoformat()}
    await history.note(session, known.id, by=None, action="mark for removal", changes=told)


def _told(rule: Rule) -> str:
    return f"{rule.text} ({rule.place})"


async def review(session: AsyncSession, policy: Policy, *, after: UUID) -> tuple[UUID | None, int]:
    """Take back those of the next marks whose reason is gone; returns after which to go on, and how many it were."""
    rows = await session.execute(
        sa.select(_marks.c.object_id)
        .where(_marks.c.marked_at.is_not(None), _marks.c.object_id > after)
        .order_by(_marks.c.object_id)
        .limit(PAGE)
    )
    ids = rows.scalars().all()
    standing = await among(session, ids)
    count = 0
    for known, verdict in await judged(session, ids, policy):
        if known.id in standing and not still_holds(standing[known.id], verdict):
            await take_back(session, standing[known.id], verdict)
            count += 1
    return (ids[-1] if len(ids) == PAGE else None), count


def still_holds(mark: Mark, verdict: Verdict) -> bool:
    """Whether a mark has its reason still, whatever the clock says now: the rule falls due no later than it did."""
    return verdict.due_at is not None and verdict.due_at <= mark.due_at and not verdict.obstacles


async def take_back(session: AsyncSession, mark: Mark, verdict: Verdict) -> None:
    """Take back a mark whose reason is gone: when it is due again, it is marked again, with a whole grace period."""
    await session.execute(_marks.update().where(_marks.c.object_id == mark.object_id).values(**_LIFTED))
    told = {"obstacles": [one.value for one in verdict.obstacles]}
    await history.note(session, mark.object_id, by=None, action="take mark back", changes=told)


async def keep(session: AsyncSession, object_id: UUID, *, caller: Caller) -> None:
    """Lift the mark of an object: its rule counts its days from now on, and everything stays as it was.

    Raises NotFound, Gone, Forbidden, and Conflict where no mark stands.
    """
    await changing.locked(session, object_id, caller, None)
    lifted = await session.execute(
        _marks.update()
        .where(_marks.c.object_id == object_id, _marks.c.marked_at.is_not(None))
        .values(**_LIFTED, kept_from=sa.func.now())
        .returning(_marks.c.object_id)
    )
    if lifted.one_or_none() is None:
        raise Conflict("The object is not marked for removal.")
    await history.note(session, object_id, by=caller.id, action="lift mark")


async def forget(session: AsyncSession, object_id: UUID) -> None:
    """Forget what was marked or kept, of an object that is gone."""
    await session.execute(_marks.delete().where(_marks.c.object_id == object_id))

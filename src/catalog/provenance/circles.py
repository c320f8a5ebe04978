"""Keeping circles out of derivation: whatever is recorded, nothing comes from itself."""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import Audience
from catalog.errors import Conflict
from catalog.objects import reading

CYCLE_SHOWN_MAX = 20
# Any number of our own. Two transactions of which each would close half a circle take it one after the other.
LINEAGE_LOCK = 7_201_145_604


class Cycle(Conflict):
    """An object would come from itself."""


# One step towards what an object came from, whoever said it and whoever may see it: for keeping circles out alone.
# Metadata counts where it says derivation; it is not refused itself, for registering thousands cannot wait in turn.
_STEP = """
    SELECT earlier_id AS id, true AS recorded FROM relation WHERE later_id = above.id
    UNION ALL
    SELECT used.object_id, true FROM involvement AS made JOIN involvement AS used USING (activity_id)
    WHERE made.object_id = above.id AND made.way = 'generated' AND used.way = 'used'
    UNION ALL
    SELECT target_id, false FROM reference
    WHERE subject_id = above.id AND NOT former AND bond IN ('IsDerivedFrom', 'Annotates')
"""
_HAS_CHILDREN = """
    SELECT EXISTS (SELECT FROM relation WHERE earlier_id = ANY(:laters))
        OR EXISTS (SELECT FROM involvement WHERE object_id = ANY(:laters) AND way = 'used')
        OR EXISTS (SELECT FROM reference WHERE target_id = ANY(:laters) AND NOT former)
"""
_ABOVE = f"""
    WITH RECURSIVE above(id) AS (
        SELECT unnest(CAST(:earliers AS uuid[]))
        UNION
        SELECT step.id FROM above CROSS JOIN LATERAL ({_STEP}) AS step
    )
"""  # ruff: ignore[S608] - both halves are constants.
_REACHED = f"{_ABOVE} SELECT id FROM above WHERE id = ANY(:laters) LIMIT 1"  # ruff: ignore[S608] - as above.
_STEPS = f"{_ABOVE} SELECT above.id, step.id, step.recorded FROM above CROSS JOIN LATERAL ({_STEP}) AS step"  # ruff: ignore[S608] - as above.


async def refuse_between(
    session: AsyncSession, laters: Iterable[UUID], earliers: Iterable[UUID], audience: Audience
) -> None:
    """Raise Cycle if one of the later objects is among what the earlier ones came from.

    Holds the lineage lock until the transaction ends: what was found stays true until it is written. Rows are locked
    before it and never after, so nobody waits in a circle either.
    """
    await lock_lineage(session)
    ends = {"laters": list(laters), "earliers": list(earliers)}
    # What nothing came from yet, as most new objects, closes no circle.
    if not (await session.execute(sa.text(_HAS_CHILDREN), {"laters": ends["laters"]})).scalar_one():
        return
    found = (await session.execute(sa.text(_REACHED), ends)).scalar_one_or_none()
    if found is None:
        return
    steps = await session.execute(sa.text(_STEPS), {"earliers": ends["earliers"]})
    way = _way([(one, other) for one, other, _ in steps], ends["earliers"], found)
    raise await _cycle(session, way, audience)


async def lock_lineage(session: AsyncSession) -> None:
    """Wait until nobody else records lineage, and keep others from it until the transaction ends."""
    await session.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LINEAGE_LOCK})


async def refuse_above(session: AsyncSession, objects: Iterable[UUID], audience: Audience) -> None:
    """Raise Cycle if there is a circle above these objects; for many that were written at once, under the lock."""
    steps = await session.execute(sa.text(_STEPS), {"earliers": list(objects)})
    above: dict[UUID, set[UUID]] = {}
    recorded = set()
    for lower, upper, was_recorded in steps:
        above.setdefault(lower, set()).add(upper)
        if was_recorded:
            recorded.add((lower, upper))
    while (way := _circle(above)) is not None:
        # Each is the one above the next. What metadata alone says in a circle nobody records here.
        around = [(lower, upper) for upper, lower in pairwise([*way, way[0]])]
        if recorded.intersection(around):
            raise await _cycle(session, way, audience)
        lower, upper = around[0]
        above[lower].remove(upper)


def _circle(above: Mapping[UUID, set[UUID]]) -> list[UUID] | None:
    """Return a circle, each before what came of it; None when there is none."""
    try:
        TopologicalSorter(above).prepare()
    except CycleError as found:
        way: list[UUID] = found.args[1][:-1]
        return way
    return None


async def _cycle(session: AsyncSession, way: Sequence[UUID], audience: Audience) -> Cycle:
    """Return the error that names the circle, as far as the caller may see its objects."""
    seen = await reading.seen_among(session, way, audience)
    shown = [str(one) if one in seen else "an object hidden from you" for one in way[:CYCLE_SHOWN_MAX]]
    told = " → ".join([*shown, "…"] if len(way) > CYCLE_SHOWN_MAX else shown)
    return Cycle(f"This would close a circle, in which each object came from the one before it: {told} → {shown[0]}.")


def _way(steps: Sequence[tuple[Any, Any]], starts: Sequence[UUID], end: UUID) -> list[UUID]:
    """Return a shortest way from the end down to one of the starts, along steps that lead up from the starts."""
    above: dict[UUID, list[UUID]] = {}
    for lower, upper in steps:
        above.setdefault(lower, []).append(upper)
    below: dict[UUID, UUID | None] = dict.fromkeys(starts)
    waiting = list(starts)
    for at in waiting:
        if at == end:
            break
        for upper in above.get(at, ()):
            if upper not in below:
                below[upper] = at
                waiting.append(upper)
    way = []
    at_last: UUID | None = end
    while at_last is not None:
        way.append(at_last)
        at_last = below[at_last]
    return way

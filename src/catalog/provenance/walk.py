"""Walking from an object to what it came from, or to what came of it, in one recursive statement.

A walk goes on from objects that the caller may see, withdrawn ones too, and ends at hidden ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.provenance.reader import Reader

# One step up from `here`, whose statements and those of its visible neighbours are told. OFFSET 0 keeps the planner
# from turning a look at each subject into a walk through all objects, once for every object on the way.
_UP = """
    SELECT relation.earlier_id AS id FROM relation WHERE relation.later_id = here.id
        AND EXISTS (SELECT FROM object AS subject WHERE subject.id = relation.subject_id AND {subject_seen} OFFSET 0)
    UNION ALL
    SELECT used.object_id FROM involvement AS made JOIN involvement AS used USING (activity_id)
    WHERE made.object_id = here.id AND made.way = 'generated' AND used.way = 'used'
    UNION ALL
    SELECT reference.target_id FROM reference WHERE reference.subject_id = here.id AND NOT reference.former
"""
_DOWN = """
    SELECT relation.later_id AS id FROM relation WHERE relation.earlier_id = here.id
        AND EXISTS (SELECT FROM object AS subject WHERE subject.id = relation.subject_id AND {subject_seen} OFFSET 0)
    UNION ALL
    SELECT made.object_id FROM involvement AS used JOIN involvement AS made USING (activity_id)
    WHERE used.object_id = here.id AND used.way = 'used' AND made.way = 'generated' AND {said_by_seen}
    UNION ALL
    SELECT reference.subject_id FROM reference WHERE reference.target_id = here.id AND NOT reference.former
        AND EXISTS (SELECT FROM object AS subject WHERE subject.id = reference.subject_id AND {subject_seen} OFFSET 0)
"""
_WALK = """
    WITH RECURSIVE walk(depth, frontier, seen) AS (
        SELECT 0, ARRAY[CAST(:start AS uuid)], ARRAY[CAST(:start AS uuid)]
        UNION ALL
        SELECT walk.depth + 1, next.ids, walk.seen || next.ids
        FROM walk CROSS JOIN LATERAL (
            SELECT array_agg(found.id) AS ids FROM (
                SELECT step.id FROM unnest(walk.frontier) AS at(id)
                JOIN object AS here ON here.id = at.id CROSS JOIN LATERAL ({step}) AS step
                WHERE {here_seen}
                EXCEPT SELECT unnest(walk.seen)
                ORDER BY id LIMIT greatest(0, :most + 1 - cardinality(walk.seen))
            ) AS found
        ) AS next
        WHERE walk.depth <= :depth AND cardinality(walk.seen) <= :most AND next.ids IS NOT NULL
    )
    SELECT depth, frontier FROM walk
"""
_PLANNING = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # The index of readers has no other scans: it would be asked for all that somebody may read, object by object.
    "enable_bitmapscan": "off",
    "enable_material": "off",
    # A plan for any audience looks up all that anybody of it may read, once for every object on the way.
    "plan_cache_mode": "force_custom_plan",
}


async def along_indices(session: AsyncSession) -> None:
    """Let the walk look each step up, to the end of the transaction.

    Where one object has thousands of dependants, statistics say that any may have: the planner would read whole tables
    for each of these thousands, which have none.
    """
    told = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _PLANNING.items())
    await session.execute(sa.text(f"SELECT {told}"))


@dataclass(frozen=True, slots=True)
class Walk:
    """Whom a walk met: those it went on from, all within the depth, whether there is more beyond it or within."""

    inner: list[UUID] = field(default_factory=list)
    within: frozenset[UUID] = frozenset()
    beyond: bool = False
    cut: bool = False


async def up(ask: Reader, start: UUID, *, depth: int, most: int) -> Walk:
    """Return whom a walk to what an object came from met, at most so many objects away, and at most so many of them."""
    return _walk(await ask.rows(_WALK.replace("{step}", _UP), start=start, depth=depth, most=most), depth, most)


async def down(ask: Reader, start: UUID, *, depth: int, most: int) -> Walk:
    """Return whom a walk to what came of an object met, at most so many objects away, and at most so many of them."""
    return _walk(await levels_down(ask, start, depth=depth, most=most), depth, most)


async def levels_down(ask: Reader, start: UUID, *, depth: int, most: int) -> list[Any]:
    """Return what came of an object, as rows of a `depth` and the `frontier` of ids that lie as far away.

    There is one row for what lies just beyond the depth, if anything does, and up to one object more than `most`.
    """
    return await ask.rows(_WALK.replace("{step}", _DOWN), start=start, depth=depth, most=most)


def _walk(levels: Sequence[Any], depth: int, most: int) -> Walk:
    near = [(row.depth, one) for row in levels if row.depth <= depth for one in row.frontier]
    kept = near[:most]
    return Walk(
        inner=[one for level, one in kept if level < depth],
        within=frozenset(one for level, one in kept if level > 0),
        beyond=any(row.depth > depth for row in levels),
        cut=len(near) > most,
    )

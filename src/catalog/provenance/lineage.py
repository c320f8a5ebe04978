"""What an object came from and what came of it, as far as the caller may see who says so.

Hidden objects stand there only because something visible names them, and nothing that they say themselves is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import Audience
from catalog.objects import reading
from catalog.provenance import walk
from catalog.provenance.activities import PARTS
from catalog.provenance.drawing import Drawing
from catalog.provenance.graph import Direction, Graph
from catalog.provenance.reader import Reader
from catalog.provenance.statements import SUBJECT_IS_EARLIER, SUBJECT_IS_LATER, RelationType
from catalog.provenance.walk import Walk

DEPTH_MAX = 50
DEPTH_DEFAULT = 5
# Objects in each direction, and activities; edges in all. Beyond, a graph tells the nearest and that there is more.
NODES_MAX = 2_000
EDGES_MAX = 20_000

_RELATIONS = """
    SELECT relation.id, relation.type, relation.later_id, relation.earlier_id, relation.subject_id,
        relation.identifier_type, relation.identifier
    FROM relation JOIN object AS subject ON subject.id = relation.subject_id
    JOIN object AS here ON here.id = relation.{here}
    WHERE relation.{here} = ANY(:ids) AND relation.{there} = ANY(:among) AND {here_seen} AND {subject_seen}
    UNION ALL
    SELECT relation.id, relation.type, NULL, NULL, relation.subject_id, relation.identifier_type, relation.identifier
    FROM relation JOIN object AS subject ON subject.id = relation.subject_id
    WHERE relation.subject_id = ANY(:ids) AND relation.identifier IS NOT NULL AND relation.type = ANY(:outside)
        AND {subject_seen}
    ORDER BY 1 LIMIT :most
"""
_REFERENCES = """
    SELECT reference.subject_id, reference.target_id, reference.bond, reference.pointer
    FROM reference JOIN object AS subject ON subject.id = reference.subject_id
    JOIN object AS here ON here.id = reference.{here}
    WHERE reference.{here} = ANY(:ids) AND reference.{there} = ANY(:among) AND NOT reference.former
        AND {here_seen} AND {subject_seen}
    ORDER BY 1, 4 LIMIT :most
"""
_ACTIVITIES_UP = """
    SELECT made.activity_id FROM involvement AS made JOIN object AS here ON here.id = made.object_id
    WHERE made.object_id = ANY(:ids) AND made.way = 'generated' AND {here_seen}
    ORDER BY 1 LIMIT :most
"""
_ACTIVITIES_DOWN = """
    SELECT used.activity_id FROM involvement AS used JOIN object AS here ON here.id = used.object_id
    WHERE used.object_id = ANY(:ids) AND used.way = 'used' AND {here_seen} AND {said_by_seen}
    ORDER BY 1 LIMIT :most
"""
# Those that may be seen.
_ACTIVITY = """
    SELECT id, type, label, started_at, ended_at, parameters, software, code FROM activity
    WHERE id = ANY(:ids) AND {activity_seen}
"""
_RESPONSIBILITIES = """
    SELECT object_id, role, agent_id, responsible_id FROM responsibility
    JOIN object AS here ON here.id = responsibility.object_id
    WHERE object_id = ANY(:ids) AND here.withdrawn_at IS NULL AND {here_seen} ORDER BY object_id, position LIMIT :most
"""
_DELEGATIONS = """
    SELECT activity_id, agent_id, responsible_id FROM delegation
    WHERE activity_id = ANY(:ids) ORDER BY activity_id, position LIMIT :most
"""
_AGENTS = "SELECT id, type, name, identifier, version FROM agent WHERE id = ANY(:ids)"
_COMMUNICATIONS = """
    SELECT informed_id, informant_id FROM communication JOIN activity ON activity.id = communication.informed_id
    WHERE {end} = ANY(:ids) AND {activity_seen} ORDER BY informed_id, position LIMIT :most
"""
_INVOLVED = """
    SELECT activity_id, way, object_id FROM involvement
    WHERE activity_id = ANY(:ids) AND object_id = ANY(:among) ORDER BY activity_id, way DESC, position LIMIT :most
"""


async def graph_of(
    session: AsyncSession,
    object_id: UUID,
    audience: Audience,
    *,
    direction: Direction,
    depth: int,
    most: int | None = None,
) -> Graph:
    """Return the lineage of an object up to so many objects away, the nearest alone if there are too many.

    `most` objects in each direction, NODES_MAX if not said.

    Raises NotFound, Gone.
    """
    await reading.find(session, object_id, audience)
    await walk.along_indices(session)
    ask = Reader(session, audience)
    most = NODES_MAX if most is None else most
    up = await walk.up(ask, object_id, depth=depth, most=most) if direction != Direction.DOWN else Walk()
    down = await walk.down(ask, object_id, depth=depth, most=most) if direction != Direction.UP else Walk()
    among = {object_id} | up.within | down.within
    drawn = Drawing(await reading.seen_among(session, sorted(among), audience))
    drawn.object(object_id)
    relations: dict[UUID, Any] = {}
    references: dict[tuple[UUID, str, UUID], Any] = {}
    activity_ids: set[UUID] = set()
    communications: dict[tuple[UUID, UUID], Any] = {}
    for walked, ways in ((up, _WAYS_UP), (down, _WAYS_DOWN)):
        if walked.inner:
            # What leads to something that was cut off is not drawn.
            asked = {"ids": walked.inner, "among": sorted(among), "most": EDGES_MAX + 1}
            said = await ask.rows(
                _RELATIONS.replace("{here}", ways.later).replace("{there}", ways.earlier),
                outside=sorted(ways.outside),
                **asked,
            )
            relations |= {row.id: row for row in said}
            named = await ask.rows(_REFERENCES.replace("{here}", ways.subject).replace("{there}", ways.target), **asked)
            references |= {(row.subject_id, row.pointer, row.target_id): row for row in named}
            acts = {row.activity_id for row in await ask.rows(ways.activities, ids=walked.inner, most=NODES_MAX + 1)}
            if acts:
                told = await ask.rows(_COMMUNICATIONS.replace("{end}", ways.end), ids=sorted(acts), most=NODES_MAX + 1)
                communications |= {(row.informed_id, row.informant_id): row for row in told}
            activity_ids |= acts
    for _, row in sorted(relations.items()):
        drawn.relation(row)
    for _, row in sorted(references.items()):
        drawn.reference(row)
    if activity_ids:
        await _draw_activities(ask, sorted(activity_ids)[:NODES_MAX], sorted(among), drawn)
    await _draw_responsibilities(ask, sorted(among), drawn)
    if communications:
        await _draw_communications(ask, list(communications.values())[:NODES_MAX], drawn)
    truncated = any(
        (
            up.cut,
            down.cut,
            len(drawn.edges) > EDGES_MAX,
            max(len(activity_ids), len(communications)) > NODES_MAX,
        )
    )
    return Graph(
        object=str(object_id),
        direction=direction,
        depth=depth,
        complete=not (up.beyond or down.beyond or truncated),
        truncated=truncated,
        dependents=None if direction == Direction.UP else drawn.count(down.within),
        nodes=list(drawn.nodes.values()),
        edges=drawn.edges[:EDGES_MAX],
    )


@dataclass(frozen=True, slots=True)
class _Ways:
    """Where the statements of one direction are found."""

    later: str
    earlier: str
    subject: str
    target: str
    outside: frozenset[RelationType]
    activities: str
    # Of a communication, which activity the walk has met.
    end: str


_WAYS_UP = _Ways("later_id", "earlier_id", "subject_id", "target_id", SUBJECT_IS_LATER, _ACTIVITIES_UP, "informed_id")
_WAYS_DOWN = _Ways(
    "earlier_id", "later_id", "target_id", "subject_id", SUBJECT_IS_EARLIER, _ACTIVITIES_DOWN, "informant_id"
)


async def _draw_activities(ask: Reader, ids: Sequence[UUID], among: Sequence[UUID], drawn: Drawing) -> None:
    found = {row.id: row for row in await ask.rows(_ACTIVITY, ids=ids)}
    for activity_id in ids:
        drawn.activity(found[activity_id])
    for row in await ask.rows(_INVOLVED, ids=ids, among=among, most=EDGES_MAX + 1):
        drawn.involvement(row)
    for row in await ask.rows(PARTS, ids=ids, most=EDGES_MAX + 1):
        drawn.association(row)
    delegations = await ask.rows(_DELEGATIONS, ids=ids, most=EDGES_MAX + 1)
    await _draw_agents(ask, delegations, drawn)
    for row in delegations:
        drawn.delegation(row)


async def _draw_responsibilities(ask: Reader, ids: Sequence[UUID], drawn: Drawing) -> None:
    said = await ask.rows(_RESPONSIBILITIES, ids=ids, most=EDGES_MAX + 1)
    await _draw_agents(ask, said, drawn)
    for row in said:
        drawn.responsibility(row)


async def _draw_agents(ask: Reader, named: Sequence[Any], drawn: Drawing) -> None:
    """Draw the agents that these rows name, in the order in which they do."""
    ids = dict.fromkeys(one for row in named for one in (row.agent_id, row.responsible_id) if one is not None)
    if ids:
        found = {row.id: row for row in await ask.rows(_AGENTS, ids=list(ids))}
        for one in ids:
            drawn.agent(found[one])


async def _draw_communications(ask: Reader, told: Sequence[Any], drawn: Drawing) -> None:
    """Draw which activities informed others, with those that the walk did not meet."""
    ids = dict.fromkeys(one for row in told for one in (row.informed_id, row.informant_id))
    beside = [one for one in ids if str(one) not in drawn.nodes]
    found = {row.id: row for row in await ask.rows(_ACTIVITY, ids=beside)} if beside else {}
    for one in beside:
        if one in found:
            drawn.activity(found[one])
    for row in told:
        drawn.communication(row)

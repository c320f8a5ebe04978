"""What an object came from and what came of it, as far as the caller may see who says so.

The walk is one recursive statement. It goes on from objects that the caller may see, withdrawn ones too, and ends at
hidden ones: they stand there only because something visible names them, and nothing that they say themselves is told.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import Audience
from catalog.errors import NotFound
from catalog.objects import reading
from catalog.objects.reading import Outline
from catalog.objects.references import Bond
from catalog.provenance.statements import BONDS, REVISIONS, SUBJECT_IS_EARLIER, SUBJECT_IS_LATER, RelationType
from catalog.provenance.tables import Way

DEPTH_MAX = 50
DEPTH_DEFAULT = 5
# Objects in each direction, and activities; edges in all. Beyond, a graph tells the nearest and that there is more.
NODES_MAX = 2_000
EDGES_MAX = 20_000
# An impact counts so many, and shows the nearest of them.
COUNTED_MAX = 50_000
NEAREST_MAX = 100


class Direction(StrEnum):
    """Which way to walk from an object."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


class Node(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An object, activity, agent or outside identifier.

    A hidden one has nothing but a label, which stands for it in this answer alone; a withdrawn one is a tombstone.
    """

    id: str
    state: Literal["there", "withdrawn", "hidden", "outside"]
    type: Literal["object", "activity", "agent", "identifier"] | None = None
    kind: str | None = None
    name: str | None = None
    title: str | None = None
    href: str | None = None
    withdrawn_at: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    parameters: dict[str, Any] | None = None
    software: dict[str, Any] | None = None
    code: dict[str, Any] | None = None
    version: str | None = None
    identifier_type: str | None = None
    identifier: str | None = None


class Edge(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A PROV relation: from what came later, or acted, to what it came from, or was acted by.

    `relation` is what was said, in DataCite's words; with a `pointer` it is said by the metadata of the first, there.
    """

    type: Literal[
        "wasDerivedFrom",
        "wasRevisionOf",
        "used",
        "wasGeneratedBy",
        "wasAssociatedWith",
        "hadMember",
        "wasInfluencedBy",
    ]
    source: str = msgspec.field(name="from")
    target: str = msgspec.field(name="to")
    relation: str | None = None
    role: str | None = None
    pointer: str | None = None


class Dependents(msgspec.Struct, frozen=True):
    """How many objects that the caller may see depend on the object, and whether visible ones name hidden ones too."""

    visible: int
    hidden: bool


class Graph(msgspec.Struct, frozen=True):
    """The lineage of an object; `complete` when all that may be seen of it is told.

    Else more lies beyond the depth, or within it, and then it is `truncated`: the nearest objects are told.
    """

    object: str
    direction: Direction
    depth: int
    complete: bool
    truncated: bool
    dependents: Dependents | None
    nodes: list[Node]
    edges: list[Edge]


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
_SAID_BY_SEEN = """
    EXISTS (SELECT FROM involvement AS other JOIN object AS subject ON subject.id = other.object_id
    WHERE other.activity_id = used.activity_id AND other.way = 'generated' AND {subject_seen})
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
_ACTIVITY = """
    SELECT id, type, label, started_at, ended_at, parameters, software, code FROM activity WHERE id = ANY(:ids)
"""
_INVOLVED = """
    SELECT activity_id, way, object_id FROM involvement
    WHERE activity_id = ANY(:ids) AND object_id = ANY(:among) ORDER BY activity_id, way DESC, position LIMIT :most
"""
_AGENTS = """
    SELECT activity_id, role, agent.id, agent.type, agent.name, agent.identifier, agent.version
    FROM association JOIN agent ON agent.id = association.agent_id
    WHERE activity_id = ANY(:ids) ORDER BY activity_id, position LIMIT :most
"""
# Writes a parameter as `text` reads it; Postgres' own dialect adds a cast, which `text` takes for another parameter.
_DIALECT = DefaultDialect(paramstyle="named", supports_native_boolean=True)


@dataclass(slots=True)
class _Reader:
    """Asks under one audience."""

    session: AsyncSession
    audience: Audience

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        """Return the rows of a statement, with the audience's condition wherever it names who sees something."""
        subject_seen = self._seen("subject.readers")
        filled = statement.format(
            subject_seen=subject_seen,
            here_seen=self._seen("here.readers"),
            said_by_seen=_SAID_BY_SEEN.format(subject_seen=subject_seen),
        )
        parameters = [
            sa.bindparam(name, value, type_=ARRAY(sa.Uuid) if name in {"ids", "among"} else None)
            for name, value in values.items()
        ]
        if ":audience" in filled:
            parameters.append(sa.bindparam("audience", self.audience.sorted_tokens, type_=ARRAY(sa.Text)))
        return list(await self.session.execute(sa.text(filled).bindparams(*parameters)))

    def _seen(self, readers: str) -> str:
        return str(self.audience.sql_condition(sa.literal_column(readers)).compile(dialect=_DIALECT))


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


async def _along_indices(session: AsyncSession) -> None:
    """Let the walk look each step up, to the end of the transaction.

    Where one object has thousands of dependants, statistics say that any may have: the planner would read whole tables
    for each of these thousands, which have none.
    """
    told = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _PLANNING.items())
    await session.execute(sa.text(f"SELECT {told}"))


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
    await _along_indices(session)
    ask = _Reader(session, audience)
    most = NODES_MAX if most is None else most
    up = await _walk(ask, object_id, _UP, depth, most) if direction != Direction.DOWN else _Walk()
    down = await _walk(ask, object_id, _DOWN, depth, most) if direction != Direction.UP else _Walk()
    among = {object_id} | up.within | down.within
    drawn = _Drawing(await reading.seen_among(session, sorted(among), audience))
    drawn.object(object_id)
    relations: dict[UUID, Any] = {}
    references: dict[tuple[UUID, str, UUID], Any] = {}
    activity_ids: set[UUID] = set()
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
            activity_ids |= {
                row.activity_id for row in await ask.rows(ways.activities, ids=walked.inner, most=NODES_MAX + 1)
            }
    for _, row in sorted(relations.items()):
        drawn.relation(row)
    for _, row in sorted(references.items()):
        drawn.reference(row)
    if activity_ids:
        await _draw_activities(ask, sorted(activity_ids)[:NODES_MAX], sorted(among), drawn)
    truncated = up.cut or down.cut or len(drawn.edges) > EDGES_MAX or len(activity_ids) > NODES_MAX
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


_WAYS_UP = _Ways("later_id", "earlier_id", "subject_id", "target_id", SUBJECT_IS_LATER, _ACTIVITIES_UP)
_WAYS_DOWN = _Ways("earlier_id", "later_id", "target_id", "subject_id", SUBJECT_IS_EARLIER, _ACTIVITIES_DOWN)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Whom a walk met: those it went on from, all within the depth, whether there is more beyond it or within."""

    inner: list[UUID] = field(default_factory=list)
    within: frozenset[UUID] = frozenset()
    beyond: bool = False
    cut: bool = False


async def _walk(ask: _Reader, start: UUID, step: str, depth: int, most: int) -> _Walk:
    levels = await ask.rows(_WALK.replace("{step}", step), start=start, depth=depth, most=most)
    near = [(row.depth, one) for row in levels if row.depth <= depth for one in row.frontier]
    kept = near[:most]
    return _Walk(
        inner=[one for level, one in kept if level < depth],
        within=frozenset(one for level, one in kept if level > 0),
        beyond=any(row.depth > depth for row in levels),
        cut=len(near) > most,
    )


async def _draw_activities(ask: _Reader, ids: Sequence[UUID], among: Sequence[UUID], drawn: "_Drawing") -> None:
    found = {row.id: row for row in await ask.rows(_ACTIVITY, ids=ids)}
    for activity_id in ids:
        drawn.activity(found[activity_id])
    for row in await ask.rows(_INVOLVED, ids=ids, among=among, most=EDGES_MAX + 1):
        drawn.involvement(row)
    for row in await ask.rows(_AGENTS, ids=ids, most=EDGES_MAX + 1):
        drawn.association(row)


class _Drawing:
    """Nodes and edges in the order in which visible things name them, so that nothing hidden decides the order."""

    def __init__(self, seen: Mapping[UUID, Outline]) -> None:
        self._seen = seen
        self._labels: dict[UUID, str] = {}
        self._hidden = 0
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []

    def object(self, object_id: UUID) -> str:
        """Return the id under which an object stands in the answer."""
        if object_id not in self._labels:
            self._hidden += object_id not in self._seen
            node = shown(object_id, self._seen, self._hidden)
            self._labels[object_id] = node.id
            self.nodes[node.id] = node
        return self._labels[object_id]

    def relation(self, row: Any) -> None:
        """Draw a relation that is part of lineage."""
        said = RelationType(row.type)
        if row.identifier is None:
            later, earlier = self.object(row.later_id), self.object(row.earlier_id)
        else:
            outside = f"{row.identifier_type}:{row.identifier}"
            self.nodes.setdefault(
                outside,
                Node(
                    id=outside,
                    state="outside",
                    type="identifier",
                    identifier_type=row.identifier_type,
                    identifier=row.identifier,
                ),
            )
            subject = self.object(row.subject_id)
            later, earlier = (subject, outside) if said in SUBJECT_IS_LATER else (outside, subject)
        kind: Literal["wasDerivedFrom", "wasRevisionOf"] = "wasRevisionOf" if said in REVISIONS else "wasDerivedFrom"
        self.edges.append(Edge(type=kind, source=later, target=earlier, relation=said))

    def reference(self, row: Any) -> None:
        """Draw what metadata names."""
        bond = Bond(row.bond)
        source, target = self.object(row.subject_id), self.object(row.target_id)
        self.edges.append(Edge(type=BONDS[bond], source=source, target=target, relation=bond, pointer=row.pointer))

    def activity(self, row: Any) -> None:
        """Draw an activity."""
        self.nodes[str(row.id)] = Node(
            id=str(row.id),
            state="there",
            type="activity",
            kind=row.type,
            title=row.label,
            href=f"/api/activities/{row.id}",
            started=row.started_at,
            ended=row.ended_at,
            parameters=row.parameters or None,
            software=row.software,
            code=row.code,
        )

    def involvement(self, row: Any) -> None:
        """Draw what an activity used or generated."""
        activity, involved = str(row.activity_id), self.object(row.object_id)
        if row.way == Way.USED:
            self.edges.append(Edge(type="used", source=activity, target=involved))
        else:
            self.edges.append(Edge(type="wasGeneratedBy", source=involved, target=activity))

    def association(self, row: Any) -> None:
        """Draw an agent's part in an activity."""
        self.nodes[str(row.id)] = Node(
            id=str(row.id),
            state="there",
            type="agent",
            kind=row.type,
            title=row.name,
            version=row.version,
            identifier_type={"person": "ORCID", "organization": "ROR"}.get(row.type) if row.identifier else None,
            identifier=row.identifier,
        )
        self.edges.append(
            Edge(type="wasAssociatedWith", source=str(row.activity_id), target=str(row.id), role=row.role)
        )

    def count(self, dependents: Iterable[UUID]) -> Dependents:
        """Return how many of these may be seen and are there, and whether there are hidden ones among them."""
        ids = list(dependents)
        there = [one for one in ids if one in self._seen and self._seen[one].withdrawn_at is None]
        return Dependents(visible=len(there), hidden=any(one not in self._seen for one in ids))


def shown(object_id: UUID, seen: Mapping[UUID, Outline], number: int) -> Node:
    """Return an object as a node: whole, as a tombstone, or as the hidden one of this number."""
    if object_id not in seen:
        return Node(id=f"hidden-{number}", state="hidden")
    one = seen[object_id]
    if one.withdrawn_at is not None:
        return Node(id=str(object_id), state="withdrawn", type="object", kind=one.kind, withdrawn_at=one.withdrawn_at)
    return Node(
        id=str(object_id),
        state="there",
        type="object",
        kind=one.kind,
        name=None if one.name is None else f"{one.project}/{one.kind}/{one.name}",
        title=one.title,
        href=f"/api/objects/{object_id}",
    )


class KindCount(msgspec.Struct, frozen=True):
    """How many objects of a kind."""

    kind: str
    count: int


class Impact(msgspec.Struct, frozen=True):
    """What depends on an object, directly or over others: counted by kind, and the nearest of them.

    Only objects that the caller may see are counted and shown; `hidden` tells that visible ones name others. `direct`
    are those that name the object itself. Not `complete` when there is more beyond the depth; `truncated` when there
    were more than are counted, so that each count is at least that.
    """

    object: str
    depth: int
    complete: bool
    truncated: bool
    total: int
    direct: int
    hidden: bool
    kinds: list[KindCount]
    nearest: list[Node]


async def impact_of(session: AsyncSession, object_id: UUID, audience: Audience, *, depth: int) -> Impact:
    """Return what depends on an object, up to so many objects away; raises NotFound, Gone."""
    await reading.find(session, object_id, audience)
    await _along_indices(session)
    ask = _Reader(session, audience)
    levels = await ask.rows(_WALK.replace("{step}", _DOWN), start=object_id, depth=depth, most=COUNTED_MAX + 1)
    far = [(row.depth, one) for row in levels if 0 < row.depth <= depth for one in row.frontier]
    kept = far[:COUNTED_MAX]
    seen = await reading.seen_among(session, [one for _, one in kept], audience)
    there = [(level, one) for level, one in kept if one in seen and seen[one].withdrawn_at is None]
    kinds = Counter(seen[one].kind for _, one in there)
    return Impact(
        object=str(object_id),
        depth=depth,
        complete=len(far) <= COUNTED_MAX and not any(row.depth > depth for row in levels),
        truncated=len(far) > COUNTED_MAX,
        total=len(there),
        direct=sum(level == 1 for level, _ in there),
        hidden=any(one not in seen for _, one in kept),
        kinds=[KindCount(kind, count) for kind, count in sorted(kinds.items(), key=lambda one: (-one[1], one[0]))],
        nearest=[shown(one, seen, 0) for _, one in there[:NEAREST_MAX]],
    )


class ShownActivity(msgspec.Struct, frozen=True):
    """An activity, with what it used and generated as far as the caller may see it."""

    id: UUID
    type: str
    label: str
    started: datetime | None
    ended: datetime | None
    parameters: dict[str, Any]
    software: dict[str, Any] | None
    code: dict[str, Any] | None
    used: list[Node]
    generated: list[Node]
    agents: list[dict[str, Any]]
    recorded_by: str
    recorded_at: datetime


async def activity_of(session: AsyncSession, activity_id: UUID, audience: Audience) -> ShownActivity:
    """Return an activity to whoever may see something that it generated; raises NotFound."""
    ask = _Reader(session, audience)
    found = await ask.rows(
        "SELECT activity.*, principal.name FROM activity JOIN principal ON principal.id = activity.principal_id"
        " WHERE activity.id = :id AND EXISTS (SELECT FROM involvement JOIN object AS subject"
        " ON subject.id = involvement.object_id WHERE involvement.activity_id = activity.id"
        " AND involvement.way = 'generated' AND {subject_seen})",
        id=activity_id,
    )
    if not found:
        raise NotFound(f"There is no activity {activity_id} that you may see.")
    (row,) = found
    involved = await ask.rows(
        "SELECT way, object_id FROM involvement WHERE activity_id = :id ORDER BY way DESC, position", id=activity_id
    )
    seen = await reading.seen_among(session, [one.object_id for one in involved], audience)
    nodes: dict[str, list[Node]] = {Way.USED: [], Way.GENERATED: []}
    hidden = 0
    for one in involved:
        hidden += one.object_id not in seen
        nodes[one.way].append(shown(one.object_id, seen, hidden))
    facts = {"person": "orcid", "organization": "ror", "instrument": "identifier"}
    agents = [
        {"type": one.type, "name": one.name}
        | ({facts[one.type]: one.identifier} if one.identifier else {})
        | ({"version": one.version} if one.version else {})
        | ({"role": one.role} if one.role else {})
        for one in await ask.rows(_AGENTS, ids=[activity_id], most=EDGES_MAX)
    ]
    return ShownActivity(
        id=row.id,
        type=row.type,
        label=row.label,
        started=row.started_at,
        ended=row.ended_at,
        parameters=row.parameters,
        software=row.software,
        code=row.code,
        used=nodes[Way.USED],
        generated=nodes[Way.GENERATED],
        agents=agents,
        recorded_by=row.name,
        recorded_at=row.created_at,
    )

"""Activities as they were recorded: what ran, what it used and generated, who had a part in it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import Audience
from catalog.errors import NotFound
from catalog.objects import reading
from catalog.provenance import agents
from catalog.provenance.agents import ShownAgent
from catalog.provenance.graph import Node, activity_node, shown
from catalog.provenance.reader import Reader
from catalog.provenance.statements import AGENTS_MAX
from catalog.provenance.tables import Way

# The agents of activities and their parts in them.
PARTS = """
    SELECT activity_id, role, agent.id, agent.type, agent.name, agent.identifier, agent.version
    FROM association JOIN agent ON agent.id = association.agent_id
    WHERE activity_id = ANY(:ids) ORDER BY activity_id, position LIMIT :most
"""


class ShownDelegation(msgspec.Struct, frozen=True):
    """That an agent acted on behalf of another one."""

    agent: ShownAgent
    responsible: ShownAgent


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
    delegations: list[ShownDelegation]
    informed_by: list[Node]
    recorded_by: str
    recorded_at: datetime


async def activity_of(session: AsyncSession, activity_id: UUID, audience: Audience) -> ShownActivity:
    """Return an activity to whoever may see something that it generated; raises NotFound."""
    ask = Reader(session, audience)
    found = await ask.rows(
        "SELECT activity.*, principal.name FROM activity JOIN principal ON principal.id = activity.principal_id"
        " WHERE activity.id = :id AND {activity_seen}",
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
    parts = [
        msgspec.to_builtins(agents.shown(one)) | ({"role": one.role} if one.role else {})
        for one in await ask.rows(PARTS, ids=[activity_id], most=AGENTS_MAX)
    ]
    delegations = await ask.rows(
        "SELECT agent_id, responsible_id FROM delegation WHERE activity_id = :id ORDER BY position", id=activity_id
    )
    answering = await agents.shown_each(session, {who for one in delegations for who in one})
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
        agents=parts,
        delegations=[ShownDelegation(answering[one], answering[other]) for one, other in delegations],
        informed_by=await _informants(ask, activity_id, hidden),
        recorded_by=row.name,
        recorded_at=row.created_at,
    )


async def _informants(ask: Reader, activity_id: UUID, hidden: int) -> list[Node]:
    """Return the activities that informed one, of which so many objects are hidden."""
    rows = await ask.rows(
        "SELECT informant_id AS id, type, label, {activity_seen} AS seen FROM communication"
        " JOIN activity ON activity.id = informant_id WHERE informed_id = :id ORDER BY position",
        id=activity_id,
    )
    nodes = []
    for row in rows:
        hidden += not row.seen
        nodes.append(activity_node(row) if row.seen else Node(id=f"hidden-{hidden}", state="hidden", type="activity"))
    return nodes


async def seen_among(session: AsyncSession, ids: Sequence[UUID], audience: Audience) -> set[UUID]:
    """Return those of the activities that are there and may be seen."""
    if not ids:
        return set()
    rows = await Reader(session, audience).rows(
        "SELECT id FROM activity WHERE id = ANY(:ids) AND {activity_seen}", ids=list(ids)
    )
    return {row.id for row in rows}

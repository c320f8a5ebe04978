"""Activities as they were recorded: what ran, what it used and generated, who had a part in it."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import Audience
from catalog.errors import NotFound
from catalog.objects import reading
from catalog.provenance.graph import Node, shown
from catalog.provenance.reader import Reader
from catalog.provenance.statements import AGENTS_MAX
from catalog.provenance.tables import Way

# The agents of activities and their parts in them.
PARTS = """
    SELECT activity_id, role, agent.id, agent.type, agent.name, agent.identifier, agent.version
    FROM association JOIN agent ON agent.id = association.agent_id
    WHERE activity_id = ANY(:ids) ORDER BY activity_id, position LIMIT :most
"""


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
    ask = Reader(session, audience)
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
        for one in await ask.rows(PARTS, ids=[activity_id], most=AGENTS_MAX)
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

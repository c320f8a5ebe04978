"""What objects say of agents: whose work they are, and on whose behalf somebody acted.

Told like relations: to whoever may see the object that says it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.access.principals import Caller
from catalog.errors import Conflict, NotFound, TooLarge
from catalog.objects import changing, reading
from catalog.objects.reading import Entry
from catalog.provenance import agents, circles
from catalog.provenance.agents import ShownAgent
from catalog.provenance.statements import RESPONSIBILITIES_MAX, AgentName, ResponsibilityDraft
from catalog.provenance.tables import Responsibility

ROWS_AT_ONCE = 1_000

_responsibilities = SQLModel.metadata.tables[str(Responsibility.__tablename__)]
_principals = SQLModel.metadata.tables["principal"]


class AlreadySaid(Conflict):
    """The object says so already."""


@dataclass(frozen=True, slots=True)
class AgentStatement:
    """What an object shall say: of an agent, in which role, or on behalf of whom it acted."""

    object_id: UUID
    agent: AgentName
    role: str | None = None
    responsible: AgentName | None = None


@dataclass(frozen=True, slots=True)
class ResponsibilityView:
    """What an object says of an agent."""

    id: UUID
    agent: ShownAgent
    role: str | None
    responsible: ShownAgent | None
    by: str
    at: datetime


async def say(
    session: AsyncSession,
    object_id: UUID,
    draft: ResponsibilityDraft,
    *,
    caller: Caller,
    revisions: Sequence[int] | None,
) -> tuple[Entry, UUID]:
    """Record what an object says of an agent; returns the object as it stands then, and the statement's id.

    Raises NotFound, Gone, Forbidden, PreconditionFailed, AlreadySaid, TooLarge.
    """
    entry = await changing.locked(session, object_id, caller, revisions)
    await circles.lock_lineage(session)
    said = AgentStatement(object_id, draft.agent, draft.role, draft.responsible)
    written = await write(session, [said], caller.must_be_known())
    if not written:
        raise AlreadySaid(f"The object {object_id} says so already; GET /api/objects/{object_id}/agents shows it.")
    (statement_id,) = written[object_id]
    await changing.change(session, entry, caller, action="name agent", changes={"agents": [str(statement_id)]})
    return await reading.find(session, object_id, caller.audience), statement_id


async def unsay(
    session: AsyncSession, object_id: UUID, statement_id: UUID, *, caller: Caller, revisions: Sequence[int] | None
) -> Entry:
    """Take back what an object says of an agent; raises NotFound when it says nothing of that id."""
    entry = await changing.locked(session, object_id, caller, revisions)
    gone = await session.execute(
        _responsibilities.delete()
        .where(_responsibilities.c.id == statement_id, _responsibilities.c.object_id == object_id)
        .returning(_responsibilities.c.id)
    )
    if gone.one_or_none() is None:
        raise NotFound(f"The object says nothing of an agent under the id {statement_id}.")
    await changing.change(session, entry, caller, action="unname agent", changes={"agents": [str(statement_id)]})
    return await reading.find(session, object_id, caller.audience)


async def all_of(session: AsyncSession, object_id: UUID) -> list[ResponsibilityView]:
    """Return what an object says of agents, in the order in which it was said; the object has been found before."""
    rows = (
        await session.execute(
            sa.select(_responsibilities, _principals.c.name)
            .join(_principals, _principals.c.id == _responsibilities.c.principal_id)
            .where(_responsibilities.c.object_id == object_id)
            .order_by(_responsibilities.c.position)
        )
    ).all()
    ids = {one for row in rows for one in (row.agent_id, row.responsible_id) if one is not None}
    known = await agents.shown_each(session, ids)
    return [
        ResponsibilityView(
            row.id, known[row.agent_id], row.role, known.get(row.responsible_id), row.name, row.created_at
        )
        for row in rows
    ]


async def write(session: AsyncSession, said: Iterable[AgentStatement], principal_id: UUID) -> dict[UUID, list[UUID]]:
    """Write what is not said yet; returns the ids of the new statements by object.

    The objects are locked, and so is lineage. Raises TooLarge when an object would say too much.
    """
    said = list(said)
    named = await agents.ids_of(
        session, (who for one in said for who in (one.agent, one.responsible) if who is not None)
    )
    held = await _held(session, {one.object_id for one in said})
    rows = []
    for one in said:
        count, last = held[one.object_id]
        held[one.object_id] = count, last + 1
        rows.append(
            {
                "id": uuid7(),
                "object_id": one.object_id,
                "agent_id": named[agents.key_of(one.agent)],
                "responsible_id": None if one.responsible is None else named[agents.key_of(one.responsible)],
                "role": one.role,
                "position": last + 1,
                "principal_id": principal_id,
            }
        )
    written: dict[UUID, list[UUID]] = {}
    for first in range(0, len(rows), ROWS_AT_ONCE):
        made = await session.execute(
            insert(_responsibilities)
            .values(rows[first : first + ROWS_AT_ONCE])
            .on_conflict_do_nothing()
            .returning(_responsibilities.c.object_id, _responsibilities.c.id)
        )
        for object_id, statement_id in made:
            written.setdefault(object_id, []).append(statement_id)
    for object_id, ids in written.items():
        if held[object_id][0] + len(ids) > RESPONSIBILITIES_MAX:
            raise TooLarge(
                f"An object says at most {RESPONSIBILITIES_MAX} things of agents; {object_id} would say "
                f"{held[object_id][0] + len(ids)}."
            )
    return written


async def _held(session: AsyncSession, ids: set[UUID]) -> dict[UUID, tuple[int, int]]:
    """Return how much each object says of agents, and the last position."""
    rows = await session.execute(
        sa.select(_responsibilities.c.object_id, sa.func.count(), sa.func.max(_responsibilities.c.position))
        .where(_responsibilities.c.object_id.in_(ids))
        .group_by(_responsibilities.c.object_id)
    )
    return dict.fromkeys(ids, (0, -1)) | {object_id: (count, last) for object_id, count, last in rows}

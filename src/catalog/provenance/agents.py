"""Agents: persons, organizations, software and instruments, each a row for the same facts."""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.provenance.statements import AgentName
from catalog.provenance.tables import Agent

# Type, name, identifier, version: the same facts are the same agent.
Key = tuple[str, str, str | None, str | None]

_agents = SQLModel.metadata.tables[str(Agent.__tablename__)]
_IDENTIFIERS = {"person": "orcid", "organization": "ror", "instrument": "identifier"}


class ShownAgent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An agent, as it was said."""

    type: str
    name: str
    orcid: str | None = None
    ror: str | None = None
    version: str | None = None
    identifier: str | None = None


def shown(row: Any) -> ShownAgent:
    """Return the row of an agent as it is shown."""
    told = {_IDENTIFIERS[row.type]: row.identifier} if row.identifier else {}
    return ShownAgent(type=row.type, name=row.name, version=row.version, **told)


def key_of(draft: AgentName) -> Key:
    """Return what makes two agents one."""
    return draft.type, draft.name, draft.orcid or draft.ror or draft.identifier, draft.version


async def ids_of(session: AsyncSession, drafts: Iterable[AgentName]) -> dict[Key, UUID]:
    """Return the ids of agents, new ones where the facts are; the lineage lock keeps two recordings apart."""
    keys = sorted({key_of(one) for one in drafts}, key=str)
    if not keys:
        return {}
    names = ("type", "name", "identifier", "version")
    rows = [{"id": uuid7(), **dict(zip(names, key, strict=True))} for key in keys]
    await session.execute(insert(_agents).on_conflict_do_nothing(), rows)
    found = await session.execute(
        sa.select(_agents).where(sa.tuple_(_agents.c.type, _agents.c.name).in_([(key[0], key[1]) for key in keys]))
    )
    wanted = set(keys)
    there = {(row.type, row.name, row.identifier, row.version): row.id for row in found}
    return {key: agent_id for key, agent_id in there.items() if key in wanted}


async def shown_each(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, ShownAgent]:
    """Return these agents; whoever asks has found that the caller may see what names them."""
    rows = await session.execute(sa.select(_agents).where(_agents.c.id.in_(ids)))
    return {row.id: shown(row) for row in rows}

"""Recording relations and activities, and refusing those that would close a circle.

Every verb runs in the caller's transaction, with the audit row and the queue entry of every object that it changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.access.principals import Caller
from catalog.errors import Conflict, Fault, NotFound, TooLarge, Unprocessable
from catalog.objects import changing, reading, remembering, resolving
from catalog.objects.reading import Entry
from catalog.objects.references import Reference
from catalog.objects.remembering import Remember
from catalog.provenance import activities, agents, circles
from catalog.provenance.circles import Cycle
from catalog.provenance.statements import (
    RELATIONS_MAX,
    SUBJECT_IS_EARLIER,
    SUBJECT_IS_LATER,
    ActivityDraft,
    ActivityFacts,
    DelegationDraft,
    IdentifierType,
    RelationDraft,
    RelationType,
)
from catalog.provenance.tables import Way

_relations = SQLModel.metadata.tables["relation"]
_activities = SQLModel.metadata.tables["activity"]
_involvements = SQLModel.metadata.tables["involvement"]
_associations = SQLModel.metadata.tables["association"]
_delegations = SQLModel.metadata.tables["delegation"]
_communications = SQLModel.metadata.tables["communication"]
_principals = SQLModel.metadata.tables["principal"]


class AlreadyRelated(Conflict):
    """The object says so already."""


@dataclass(frozen=True, slots=True)
class RelationView:
    """A relation as it stands, whoever may see its target."""

    id: UUID
    type: RelationType
    target_id: UUID | None
    identifier_type: str | None
    identifier: str | None
    by: str
    at: datetime


async def relate(
    session: AsyncSession, object_id: UUID, draft: RelationDraft, *, caller: Caller, revisions: Sequence[int] | None
) -> tuple[Entry, UUID]:
    """Record a relation of the object; returns the object as it stands then, and the relation's id.

    An identifier that is a DOI of ours, of something that the caller may see, is kept as the object that it names.
    Raises NotFound, Gone, Forbidden, PreconditionFailed, Unprocessable for a target that is not there for this caller,
    AlreadyRelated, Cycle, TooLarge.
    """
    entry = await changing.locked(session, object_id, caller, revisions)
    position = await _next_position(session, object_id, 1)
    ours = await _ours(session, [draft], caller)
    relation_id = await _write_relation(session, entry, draft, position=position, caller=caller, ours=ours)
    if relation_id is None:
        raise AlreadyRelated(
            f"The object {object_id} says so already; GET /api/objects/{object_id}/relations shows it."
        )
    await changing.change(session, entry, caller, action="relate", changes={"relation": str(relation_id)})
    return await reading.find(session, object_id, caller.audience), relation_id


async def relate_all(
    session: AsyncSession, object_id: UUID, drafts: Sequence[RelationDraft], *, caller: Caller
) -> Entry:
    """Record several relations of the object as one change, and return the object as it stands then.

    What it says already, or says twice, is recorded once: two DOIs may name one object, its own and that of a version.
    Raises as `relate` does otherwise, and then the caller's transaction must not be committed.
    """
    entry = await changing.locked(session, object_id, caller, None)
    first = await _next_position(session, object_id, len(drafts))
    ours = await _ours(session, drafts, caller)
    made = [
        await _write_relation(session, entry, draft, position=position, caller=caller, ours=ours)
        for position, draft in enumerate(drafts, start=first)
    ]
    ids = [str(one) for one in made if one is not None]
    if ids:
        await changing.change(session, entry, caller, action="relate", changes={"relations": ids})
    return await reading.find(session, object_id, caller.audience)


async def _next_position(session: AsyncSession, object_id: UUID, more: int) -> int:
    """Return where the next relation stands; raises TooLarge where there is no room for so many more."""
    count, last = (
        await session.execute(
            sa.select(sa.func.count(), sa.func.max(_relations.c.position)).where(_relations.c.subject_id == object_id)
        )
    ).one()
    if count + more > RELATIONS_MAX:
        raise TooLarge(f"An object has at most {RELATIONS_MAX:,} relations; remove one first.")
    return 0 if last is None else int(last) + 1


async def _ours(session: AsyncSession, drafts: Sequence[RelationDraft], caller: Caller) -> dict[str, UUID]:
    """Return the object that each DOI of ours among these names, as far as the caller may see it."""
    dois = [
        draft.identifier.value
        for draft in drafts
        if draft.identifier is not None and draft.identifier.type == IdentifierType.DOI
    ]
    named = await reading.named_by_dois(session, dois, caller.audience)
    return {doi: one.id for doi, one in named.items()}


async def _write_relation(
    session: AsyncSession,
    entry: Entry,
    draft: RelationDraft,
    *,
    position: int,
    caller: Caller,
    ours: Mapping[str, UUID],
) -> UUID | None:
    """Write the row of a relation of a locked object, and return its id; none where the object says so already."""
    object_id, target_id = entry.id, None
    if draft.target is not None:
        (target_id,) = await _resolved(session, entry.project, [Reference("/target", draft.target)], caller)
    outside = draft.identifier
    if outside is not None and outside.type == IdentifierType.DOI and outside.value in ours:
        target_id, outside = ours[outside.value], None
    later, earlier = lineage_of(draft.type, object_id, target_id)
    if target_id == object_id:
        raise Cycle(f"This would close a circle: {object_id} → {object_id}.")
    if later is not None and earlier is not None:
        await circles.refuse_between(session, [later], [earlier], caller.audience)
    made = await session.execute(
        insert(_relations)
        .values(
            id=uuid7(),
            subject_id=object_id,
            type=draft.type,
            target_id=target_id,
            identifier_type=None if outside is None else outside.type,
            identifier=None if outside is None else outside.value,
            later_id=later,
            earlier_id=earlier,
            position=position,
            principal_id=caller.must_be_known(),
        )
        .on_conflict_do_nothing()
        .returning(_relations.c.id)
    )
    relation_id: UUID | None = made.scalar_one_or_none()
    return relation_id


async def unrelate(
    session: AsyncSession, object_id: UUID, relation_id: UUID, *, caller: Caller, revisions: Sequence[int] | None
) -> Entry:
    """Take a relation back; raises NotFound when the object has none of that id."""
    entry = await changing.locked(session, object_id, caller, revisions)
    gone = await session.execute(
        _relations.delete()
        .where(_relations.c.id == relation_id, _relations.c.subject_id == object_id)
        .returning(_relations.c.id)
    )
    if gone.one_or_none() is None:
        raise NotFound(f"The object has no relation {relation_id}.")
    await changing.change(session, entry, caller, action="unrelate", changes={"relation": str(relation_id)})
    return await reading.find(session, object_id, caller.audience)


async def relations_of(session: AsyncSession, object_id: UUID) -> list[RelationView]:
    """Return what an object says of others, in the order in which it was said; the object has been found before."""
    rows = await session.execute(
        sa.select(
            _relations.c.id,
            _relations.c.type,
            _relations.c.target_id,
            _relations.c.identifier_type,
            _relations.c.identifier,
            _principals.c.name,
            _relations.c.created_at,
        )
        .join(_principals, _principals.c.id == _relations.c.principal_id)
        .where(_relations.c.subject_id == object_id)
        .order_by(_relations.c.position)
    )
    return [RelationView(one, RelationType(said), *rest) for one, said, *rest in rows]


async def record_activity(
    session: AsyncSession, draft: ActivityDraft, *, caller: Caller, remember: Remember | None = None
) -> UUID:
    """Record an activity and return its id; the same remembered request again returns what it made first.

    Raises Forbidden unless the caller may change everything that was generated, Unprocessable for objects that are not
    there for this caller, Cycle.
    """
    principal_id = caller.must_register()
    activity_id = uuid7()
    if remember is not None:
        first = await remembering.first_made(session, principal_id, remember, activity_id)
        if first != activity_id:
            return first
    used, generated = await _named(session, draft, caller)
    await _refuse_absent(session, draft, caller)
    # All are locked before any is changed, in one order, as everywhere.
    entries = [await changing.locked(session, object_id, caller, None) for object_id in sorted(generated)]
    for entry in entries:
        await changing.change(session, entry, caller, action="generated", changes={"activity": str(activity_id)})
    await circles.refuse_between(session, generated, used, caller.audience)
    await write_activity(session, activity_id, draft, used=used, generated=generated, principal_id=principal_id)
    await write_delegations(session, activity_id, draft.delegations)
    await write_communications(session, activity_id, draft.informed_by)
    return activity_id


async def _refuse_absent(session: AsyncSession, draft: ActivityDraft, caller: Caller) -> None:
    """Raise Unprocessable for activities that are not there for this caller, or are named twice."""
    seen = await activities.seen_among(session, draft.informed_by, caller.audience)
    faults = [
        Fault(f"/informed_by/{place}", f"there is no activity {one} that you may see")
        if one not in seen
        else Fault(f"/informed_by/{place}", f"names the activity {one} a second time")
        for place, one in enumerate(draft.informed_by)
        if one not in seen or one in draft.informed_by[:place]
    ]
    if faults:
        raise Unprocessable("The request names activities that are not there, or one twice.", faults=faults)


async def write_activity(
    session: AsyncSession,
    activity_id: UUID,
    facts: ActivityFacts,
    *,
    used: Sequence[UUID],
    generated: Sequence[UUID],
    principal_id: UUID,
) -> None:
    """Write the rows of an activity; whoever calls has checked it, and holds the lineage lock."""
    said = facts.model_dump(mode="json", include={"parameters", "software", "code"})
    await session.execute(
        _activities.insert().values(
            id=activity_id,
            type=facts.type,
            label=facts.label,
            started_at=facts.started,
            ended_at=facts.ended,
            principal_id=principal_id,
            **said,
        )
    )
    await session.execute(
        _involvements.insert(),
        [
            {"activity_id": activity_id, "way": way, "object_id": object_id, "position": position}
            for way, ids in ((Way.USED, used), (Way.GENERATED, generated))
            for position, object_id in enumerate(ids)
        ],
    )
    named = await agents.ids_of(session, facts.agents)
    for position, agent in enumerate(facts.agents):
        agent_id = named[agents.key_of(agent)]
        await session.execute(
            _associations.insert().values(
                activity_id=activity_id, position=position, agent_id=agent_id, role=agent.role
            )
        )


async def write_delegations(session: AsyncSession, activity_id: UUID, said: Sequence[DelegationDraft]) -> int:
    """Write who acted on whose behalf in an activity, as far as it is not said yet; returns how much was new.

    Whoever calls holds the lineage lock.
    """
    named = await agents.ids_of(session, (who for one in said for who in (one.agent, one.responsible)))
    rows = [
        {
            "activity_id": activity_id,
            "agent_id": named[agents.key_of(one.agent)],
            "responsible_id": named[agents.key_of(one.responsible)],
        }
        for one in said
    ]
    return await _add(session, _delegations, _delegations.c.activity_id == activity_id, rows)


async def write_communications(session: AsyncSession, informed_id: UUID, informants: Sequence[UUID]) -> int:
    """Write which activities informed one, as far as it is not said yet; returns how many were new.

    Whoever calls has checked that they are there, and holds the lineage lock.
    """
    rows = [{"informed_id": informed_id, "informant_id": one} for one in informants]
    return await _add(session, _communications, _communications.c.informed_id == informed_id, rows)


async def _add(
    session: AsyncSession, table: sa.Table, among: sa.ColumnElement[bool], rows: Sequence[dict[str, Any]]
) -> int:
    """Add rows that are not there, after those that are."""
    if not rows:
        return 0
    last = (await session.execute(sa.select(sa.func.max(table.c.position)).where(among))).scalar_one()
    first = 0 if last is None else last + 1
    added = await session.execute(
        insert(table)
        .values([row | {"position": first + place} for place, row in enumerate(rows)])
        .on_conflict_do_nothing()
        .returning(table.c.position)
    )
    return len(added.all())


async def _named(session: AsyncSession, draft: ActivityDraft, caller: Caller) -> tuple[list[UUID], list[UUID]]:
    references = [
        Reference(f"/{way}/{place}", target)
        for way, named in ((Way.USED, draft.used), (Way.GENERATED, draft.generated))
        for place, target in enumerate(named)
    ]
    # An activity is of no project, so a name has to say of which project it is.
    faults = [
        Fault(one.pointer, "name an object here by its id, its DOI, or as org/project/kind/name")
        for one in references
        if one.needs_project
    ]
    if faults:
        raise Unprocessable("The request names objects in a way that fits more than one.", faults=faults)
    ids = await _resolved(session, "", references, caller)
    used, generated = ids[: len(draft.used)], ids[len(draft.used) :]
    twice = [
        Fault(one.pointer, f"names the object {object_id} a second time")
        for place, (one, object_id) in enumerate(zip(references, ids, strict=True))
        if object_id in (ids[:place] if place < len(used) else ids[len(used) : place])
    ]
    if twice:
        raise Unprocessable("The request names an object twice.", faults=twice)
    both = set(used) & set(generated)
    if both:
        raise Cycle(f"The activity would both use and generate the object {min(both)}.")
    return used, generated


async def _resolved(session: AsyncSession, project: str, references: Sequence[Reference], caller: Caller) -> list[UUID]:
    there = await resolving.known(session, ((project, one) for one in references), caller.audience)
    ids, faults = resolving.resolved(there, project, references)
    if faults:
        raise Unprocessable("The request names objects that are not there.", faults=faults)
    return [ids[one.pointer] for one in references]


def lineage_of(said: RelationType, subject: UUID, target: UUID | None) -> tuple[UUID | None, UUID | None]:
    """Return which object came from which, if the relation says that of two objects."""
    if target is not None and said in SUBJECT_IS_LATER:
        return subject, target
    if target is not None and said in SUBJECT_IS_EARLIER:
        return target, subject
    return None, None


_TOLD = sa.text(
    "SELECT subject_id FROM relation WHERE subject_id = ANY(:ids)"
    " UNION SELECT object_id FROM involvement WHERE object_id = ANY(:ids) AND way = 'generated'"
).bindparams(sa.bindparam("ids", type_=ARRAY(sa.Uuid)))


async def told_of(session: AsyncSession, ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the objects of which a relation, or an activity that made them, tells something."""
    return set((await session.execute(_TOLD, {"ids": list(ids)})).scalars())

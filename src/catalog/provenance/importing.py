"""Recording what a PROV-JSON document says, all of it or nothing, and nothing twice.

A relation is there already when its subject says the same; an activity, when one of the same name and facts was
imported, or when it is one of ours that says the same.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid5

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.principals import Caller
from catalog.errors import CatalogError, Fault, Forbidden, Gone, NotFound, TooLarge, Unprocessable
from catalog.objects import changing, reading, resolving, validation
from catalog.objects.reading import Entry
from catalog.objects.references import Reference
from catalog.provenance import activities, circles, import_relations, import_responsibility, recording, responsibility
from catalog.provenance.circles import Cycle
from catalog.provenance.import_responsibility import Spoken
from catalog.provenance.prov_json_document import End, LeftOut
from catalog.provenance.prov_json_import import Run, Statements
from catalog.provenance.statements import (
    ACTIVITY_OBJECTS_MAX,
    ActivityFacts,
    Identifier,
    IdentifierType,
)

LEFT_OUT_SHOWN_MAX = 1_000
# Any UUID of our own: activities from documents get ids from what they say, so that each is recorded once.
_IMPORTED = UUID("5b1d1c52-8a0e-4f37-9f5e-6b6c1c0a7d11")
_activities = SQLModel.metadata.tables["activity"]


class ImportedActivity(msgspec.Struct, frozen=True):
    """An activity of a document: its name there, its id here, and whether it was recorded just now."""

    name: str
    id: UUID
    recorded: bool


class Imported(msgspec.Struct, frozen=True):
    """What became of a document: relations recorded and those that were there, activities, objects that changed.

    `statements` are attributions, delegations, and which activity informed which; what several objects say counts for
    each of them.
    `left_out` are the first parts that were not taken, each with the reason.
    """

    relations_recorded: int
    relations_unchanged: int
    statements_recorded: int
    statements_unchanged: int
    activities: list[ImportedActivity]
    changed: list[UUID]
    left_out: list[LeftOut]
    left_out_total: int


@dataclass(slots=True)
class _Changes:
    """What each object says that it did not say before: ids of relations, activities and statements of agents."""

    relations: dict[UUID, list[str]] = field(default_factory=dict)
    activities: dict[UUID, list[str]] = field(default_factory=dict)
    agents: dict[UUID, list[UUID]] = field(default_factory=dict)

    def act(self, act: "_Act", act_id: UUID) -> None:
        """Note that an activity, and so what it generated, says something new."""
        for one in act.generated:
            told = self.activities.setdefault(one, [])
            told += [] if str(act_id) in told else [str(act_id)]

    @property
    def objects(self) -> list[UUID]:
        """Those that say something new, in the order in which everybody locks them."""
        return sorted({*self.relations, *self.activities, *self.agents})

    async def count(self, session: AsyncSession, entries: Mapping[UUID, Entry], caller: Caller) -> None:
        """Count one change to each of the objects."""
        for one in self.objects:
            changes = {"relations": self.relations.get(one, []), "activities": self.activities.get(one, [])}
            if one in self.agents:
                changes["agents"] = [str(statement_id) for statement_id in self.agents[one]]
            await changing.change(session, entries[one], caller, action="import provenance", changes=changes)


@dataclass(frozen=True, slots=True)
class _Act:
    """An activity whose objects were found."""

    run: Run
    used: list[UUID]
    generated: list[UUID]

    @property
    def id(self) -> UUID:
        """An id of what it says."""
        told = [self.run.iri, self.run.facts.model_dump(mode="json"), sorted(self.used), sorted(self.generated)]
        return uuid5(_IMPORTED, msgspec.json.encode(told, order="deterministic").decode())


async def record(
    session: AsyncSession, told: Statements, *, caller: Caller, project: str | None, base: str
) -> Imported:
    """Record what is not there yet, in the caller's transaction.

    Raises Unprocessable for objects that are not there for this caller, Forbidden for those that may not be changed,
    each with every place; Cycle; TooLarge when an object would have too many relations.
    """
    principal_id = caller.must_register()
    left_out = list(told.left_out)
    ids = await _resolved(session, told, caller, project)
    places: dict[UUID, str] = {}
    relations = import_relations.relations_of(told, ids, left_out, places)
    named = await _named(session, told, caller, base)
    acts = _acts_of(told, ids, named, left_out, places)
    generated = {act.run.name: act.generated for act in acts}
    spoken = import_responsibility.spoken(told, ids, generated, named.keys() | generated.keys(), left_out)
    entries = await _locked(session, spoken.places | places, caller)
    await circles.lock_lineage(session)
    there = await _there(session, acts, caller, base)
    act_ids = named | {act.run.name: there.get(act.run.name, act.id) for act in acts}
    changes = _Changes()
    fresh = await import_relations.fresh_among(session, relations)
    changes.relations = await import_relations.write(session, fresh, principal_id)
    acts_fresh = [act for act in acts if act.run.name not in there]
    for act in acts_fresh:
        await recording.write_activity(
            session, act.id, act.run.facts, used=act.used, generated=act.generated, principal_id=principal_id
        )
        changes.act(act, act.id)
    ends = {one for row in fresh for one in recording.lineage_of(row[1], row[0], row[2]) if one is not None}
    ends |= {one for act in acts_fresh for one in (*act.used, *act.generated)}
    if ends:
        await circles.refuse_above(session, sorted(ends), caller.audience)
    changes.agents = await responsibility.write(session, spoken.objects.values(), principal_id)
    statements = sum(map(len, changes.agents.values()))
    for act in acts:
        added = await _write_more(session, act, spoken, act_ids)
        statements += added
        if added:
            changes.act(act, act_ids[act.run.name])
    await changes.count(session, entries, caller)
    return Imported(
        relations_recorded=len(fresh),
        relations_unchanged=len(relations) - len(fresh),
        statements_recorded=statements,
        statements_unchanged=spoken.count - statements,
        activities=[
            ImportedActivity(act.run.name, act_ids[act.run.name], recorded=act.run.name not in there) for act in acts
        ],
        changed=changes.objects,
        left_out=left_out[:LEFT_OUT_SHOWN_MAX],
        left_out_total=len(left_out),
    )


async def _write_more(session: AsyncSession, act: _Act, spoken: Spoken, ids: Mapping[str, UUID]) -> int:
    """Write on whose behalf agents acted in an activity and what informed it; returns how much was new."""
    act_id, name = ids[act.run.name], act.run.name
    delegations = list(spoken.delegations.get(name, {}).values())
    informants = [one for one in (ids[other] for other in spoken.informants.get(name, ())) if one != act_id]
    added = await recording.write_delegations(session, act_id, delegations)
    return added + await recording.write_communications(session, act_id, informants)


async def _resolved(
    session: AsyncSession, told: Statements, caller: Caller, project: str | None
) -> dict[str, UUID | Identifier]:
    """Return the object or identifier for each entity that a statement names; what is neither is left away."""
    named = {end.name for said in told.said for end in (said.subject, said.target)}
    named |= {one.entity.name for one in told.attributed}
    named |= {one.entity.name for one in told.delegated if one.entity is not None}
    named |= {end.name for run in told.runs for end in (*run.used, *run.generated)}
    entities = {name: told.entities[name] for name in sorted(named)}
    references = {name: Reference(one.pointer, one.target) for name, one in entities.items() if one.target is not None}
    if project is None:
        faults = [
            Fault(
                one.pointer,
                "name an object by its id, its DOI or as org/project/kind/name, or say ?project=org/project",
            )
            for one in references.values()
            if one.needs_project
        ]
        if faults:
            raise Unprocessable("The document names objects in a way that fits more than one.", faults=faults)
    home = project or ""
    there = await resolving.known(session, ((home, one) for one in references.values()), caller.audience)
    # One by one: two names that were only mentioned may share their pointer.
    found: dict[str, UUID | Identifier] = {}
    faults = []
    for name, reference in references.items():
        one, wrong = resolving.resolved(there, home, [reference])
        faults += wrong
        if reference.pointer in one:
            found[name] = one[reference.pointer]
    if faults:
        raise Unprocessable(
            "The document names objects that are not there.", faults=faults[: validation.FAULTS_SHOWN_MAX]
        )
    outside = {name: one.identifier for name, one in entities.items() if one.identifier is not None}
    dois = sorted({one.value for one in outside.values() if one.type == IdentifierType.DOI})
    ours = await reading.named_by_dois(session, dois, caller.audience)
    for name, identifier in outside.items():
        is_ours = identifier.type == IdentifierType.DOI and identifier.value in ours
        found[name] = ours[identifier.value].id if is_ours else identifier
    return found


async def _named(session: AsyncSession, told: Statements, caller: Caller, base: str) -> dict[str, UUID]:
    """Return the activities of ours that the document names by their addresses, as far as the caller may see them."""
    start = f"{base}/api/activities/"
    iris = told.activities | {run.name: run.iri for run in told.runs}
    ids = {}
    for name, iri in iris.items():
        with suppress(ValueError):
            if iri.startswith(start):
                ids[name] = UUID(iri.removeprefix(start))
    seen = await activities.seen_among(session, sorted(set(ids.values())), caller.audience)
    return {name: activity_id for name, activity_id in ids.items() if activity_id in seen}


def _acts_of(
    told: Statements,
    ids: Mapping[str, UUID | Identifier],
    named: Mapping[str, UUID],
    left_out: list[LeftOut],
    places: dict[UUID, str],
) -> list[_Act]:
    acts = []
    for run in told.runs:
        used, generated = _involved(run.used, ids, left_out), _involved(run.generated, ids, left_out)
        if not generated and run.name in named and not run.generated:
            # It stands there only because another one names it.
            continue
        if not generated:
            left_out.append(LeftOut(run.pointer, "it generated no object of this catalog"))
            continue
        if len(used) > ACTIVITY_OBJECTS_MAX or len(generated) > ACTIVITY_OBJECTS_MAX:
            raise TooLarge(f"An activity uses and generates at most {ACTIVITY_OBJECTS_MAX} objects: {run.pointer}.")
        both = set(used) & set(generated)
        if both:
            raise Cycle(f"The activity {run.pointer} would both use and generate the object {min(both)}.")
        for one in generated:
            places.setdefault(one, run.pointer)
        acts.append(_Act(run, used, generated))
    return acts


def _involved(ends: Sequence[End], ids: Mapping[str, UUID | Identifier], left_out: list[LeftOut]) -> list[UUID]:
    found: dict[UUID, None] = {}
    for end in ends:
        object_id = ids.get(end.name)
        if isinstance(object_id, UUID):
            found[object_id] = None
        else:
            left_out.append(LeftOut(end.pointer, "an activity uses and generates objects of this catalog alone"))
    return list(found)


async def _locked(session: AsyncSession, places: Mapping[UUID, str], caller: Caller) -> dict[UUID, Entry]:
    """Lock every object that would say something, in the order in which everybody locks them."""
    entries = {}
    faults = []
    for object_id in sorted(places):
        try:
            entries[object_id] = await changing.locked(session, object_id, caller, None)
        except (Forbidden, NotFound, Gone) as refused:
            faults.append(Fault(places[object_id], f"{object_id}: {refused.detail}"))
    if faults:
        raise Forbidden(
            "The document speaks for objects that you may not change.", faults=faults[: validation.FAULTS_SHOWN_MAX]
        )
    return entries


async def _there(session: AsyncSession, acts: Sequence[_Act], caller: Caller, base: str) -> dict[str, UUID]:
    """Return the id of each activity that is recorded already, by its name in the document."""
    rows = await session.execute(sa.select(_activities.c.id).where(_activities.c.id.in_({act.id for act in acts})))
    imported = set(rows.scalars())
    there = {}
    for act in acts:
        if act.id in imported:
            there[act.run.name] = act.id
        elif (own := await _own(session, act, caller, base)) is not None:
            there[act.run.name] = own
    return there


async def _own(session: AsyncSession, act: _Act, caller: Caller, base: str) -> UUID | None:
    """Return the id of the activity of ours that the document names, if it says the same of it."""
    start = f"{base}/api/activities/"
    if not act.run.iri.startswith(start):
        return None
    try:
        recorded = await activities.activity_of(session, UUID(act.run.iri.removeprefix(start)), caller.audience)
    except (ValueError, CatalogError):
        return None
    facts = ActivityFacts.model_validate(
        {name: getattr(recorded, name) for name in ActivityFacts.model_fields}, strict=False
    )
    # Hidden ones have no id in what this caller could have exported.
    visible = [{node.id for node in nodes if node.state != "hidden"} for nodes in (recorded.used, recorded.generated)]
    told = [{str(one) for one in ids} for ids in (act.used, act.generated)]
    return recorded.id if facts == act.run.facts and visible == told else None

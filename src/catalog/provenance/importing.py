"""Recording what a PROV-JSON document says, all of it or nothing, and nothing twice.

A relation is there already when its subject says the same; an activity, when one of the same name and facts was
imported, or when it is one of ours that says the same.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.access.principals import Caller
from catalog.errors import CatalogError, Fault, Forbidden, Gone, NotFound, TooLarge, Unprocessable
from catalog.objects import changing, reading, resolving, validation
from catalog.objects.reading import Entry
from catalog.objects.references import Reference
from catalog.provenance import activities, circles, recording
from catalog.provenance.circles import Cycle
from catalog.provenance.prov_json_document import End, LeftOut
from catalog.provenance.prov_json_import import Run, Statements
from catalog.provenance.statements import (
    ACTIVITY_OBJECTS_MAX,
    RELATIONS_MAX,
    ActivityFacts,
    Identifier,
    IdentifierType,
    RelationType,
)

LEFT_OUT_SHOWN_MAX = 1_000
# Any UUID of our own: activities from documents get ids from what they say, so that each is recorded once.
_IMPORTED = UUID("5b1d1c52-8a0e-4f37-9f5e-6b6c1c0a7d11")
# What the target would have to say, where only the target is ours.
_TURNED: dict[RelationType, RelationType] = {
    RelationType.IS_DERIVED_FROM: RelationType.IS_SOURCE_OF,
    RelationType.IS_VERSION_OF: RelationType.HAS_VERSION,
    RelationType.IS_NEW_VERSION_OF: RelationType.IS_PREVIOUS_VERSION_OF,
    RelationType.IS_VARIANT_FORM_OF: RelationType.IS_ORIGINAL_FORM_OF,
    RelationType.IS_TRANSLATION_OF: RelationType.HAS_TRANSLATION,
    RelationType.HAS_PART: RelationType.IS_PART_OF,
}
_TURNED |= {after: before for before, after in _TURNED.items()}

_relations = SQLModel.metadata.tables["relation"]
_activities = SQLModel.metadata.tables["activity"]


class ImportedActivity(msgspec.Struct, frozen=True):
    """An activity of a document: its name there, its id here, and whether it was recorded just now."""

    name: str
    id: UUID
    recorded: bool


class Imported(msgspec.Struct, frozen=True):
    """What became of a document: relations recorded and those that were there, activities, objects that changed.

    `left_out` are the first parts that were not taken, each with the reason.
    """

    relations_recorded: int
    relations_unchanged: int
    activities: list[ImportedActivity]
    changed: list[UUID]
    left_out: list[LeftOut]
    left_out_total: int


# Subject, type, target, identifier's type, identifier: what makes two relations one.
_Relation = tuple[UUID, RelationType, UUID | None, str | None, str | None]


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
    relations = _relations_of(told, ids, left_out, places)
    acts = _acts_of(told, ids, left_out, places)
    entries = await _locked(session, places, caller)
    await circles.lock_lineage(session)
    fresh = await _fresh(session, relations)
    acts_there = await _there(session, acts, caller, base)
    acts_fresh = [act for act in acts if act.run.name not in acts_there]
    written = await _write_relations(session, fresh, principal_id)
    for act in acts_fresh:
        await recording.write_activity(
            session, act.id, act.run.facts, used=act.used, generated=act.generated, principal_id=principal_id
        )
    ends = {one for row in fresh for one in recording.lineage_of(row[1], row[0], row[2]) if one is not None}
    ends |= {one for act in acts_fresh for one in (*act.used, *act.generated)}
    if ends:
        await circles.refuse_above(session, sorted(ends), caller.audience)
    changed = await _change(session, entries, written, acts_fresh, caller)
    return Imported(
        relations_recorded=len(fresh),
        relations_unchanged=len(relations) - len(fresh),
        activities=[
            ImportedActivity(
                act.run.name, acts_there.get(act.run.name, act.id), recorded=act.run.name not in acts_there
            )
            for act in acts
        ],
        changed=changed,
        left_out=left_out[:LEFT_OUT_SHOWN_MAX],
        left_out_total=len(left_out),
    )


async def _resolved(
    session: AsyncSession, told: Statements, caller: Caller, project: str | None
) -> dict[str, UUID | Identifier]:
    """Return the object or identifier for each entity that a statement names; what is neither is left away."""
    named = {end.name for said in told.said for end in (said.subject, said.target)}
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


def _relations_of(
    told: Statements,
    ids: Mapping[str, UUID | Identifier],
    left_out: list[LeftOut],
    places: dict[UUID, str],
) -> list[_Relation]:
    """Return the relations to record, each once, and note by which place of the document an object would change."""
    relations: dict[_Relation, None] = {}
    for one in told.said:
        said, subject, target = one.type, ids.get(one.subject.name), ids.get(one.target.name)
        if not isinstance(subject, UUID):
            said, subject, target = _TURNED[said], target, subject
        if not isinstance(subject, UUID):
            left_out.append(LeftOut(one.pointer, "neither end is an object of this catalog"))
        elif target is None:
            left_out.append(LeftOut(one.pointer, "one end is no object of this catalog and has no identifier"))
        elif (
            subject == target
            and told.entities[one.subject.name].identifier != told.entities[one.target.name].identifier
        ):
            left_out.append(LeftOut(one.pointer, "both ends are the same object; DOIs of its versions lead to it"))
        elif subject == target:
            raise Cycle(f"{one.pointer} would close a circle: {subject} → {subject}.")
        else:
            places.setdefault(subject, one.pointer)
            if isinstance(target, UUID):
                relations[subject, said, target, None, None] = None
            else:
                relations[subject, said, None, str(target.type), target.value] = None
    return list(relations)


def _acts_of(
    told: Statements,
    ids: Mapping[str, UUID | Identifier],
    left_out: list[LeftOut],
    places: dict[UUID, str],
) -> list[_Act]:
    acts = []
    for run in told.runs:
        used, generated = _involved(run.used, ids, left_out), _involved(run.generated, ids, left_out)
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


async def _fresh(session: AsyncSession, relations: Sequence[_Relation]) -> list[_Relation]:
    """Return the relations that are not there yet; raises TooLarge when an object would have too many."""
    if not relations:
        return []
    rows = await session.execute(
        sa.select(
            _relations.c.subject_id,
            _relations.c.type,
            _relations.c.target_id,
            _relations.c.identifier_type,
            _relations.c.identifier,
        ).where(_among(_relations.c.subject_id, {row[0] for row in relations}))
    )
    there = {tuple(row) for row in rows}
    fresh = [row for row in relations if row not in there]
    held: dict[UUID, int] = {}
    for subject in [*(row[0] for row in there), *(row[0] for row in fresh)]:
        held[subject] = held.get(subject, 0) + 1
    full = sorted(subject for subject in {row[0] for row in fresh} if held[subject] > RELATIONS_MAX)
    if full:
        raise TooLarge(f"An object has at most {RELATIONS_MAX:,} relations; {full[0]} would have {held[full[0]]:,}.")
    return fresh


def _among(column: Any, ids: Collection[UUID]) -> sa.ColumnElement[bool]:
    condition: sa.ColumnElement[bool] = column == sa.any_(sa.bindparam(None, sorted(ids), type_=ARRAY(sa.Uuid)))
    return condition


async def _there(session: AsyncSession, acts: Sequence[_Act], caller: Caller, base: str) -> dict[str, UUID]:
    """Return the id of each activity that is recorded already, by its name in the document."""
    rows = await session.execute(sa.select(_activities.c.id).where(_among(_activities.c.id, {act.id for act in acts})))
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


async def _write_relations(
    session: AsyncSession, fresh: Sequence[_Relation], principal_id: UUID
) -> dict[UUID, list[str]]:
    """Write the relations; returns their ids by subject."""
    if not fresh:
        return {}
    last = await session.execute(
        sa.select(_relations.c.subject_id, sa.func.max(_relations.c.position))
        .where(_among(_relations.c.subject_id, {row[0] for row in fresh}))
        .group_by(_relations.c.subject_id)
    )
    positions = {subject: position + 1 for subject, position in last}
    written: dict[UUID, list[str]] = {}
    rows = []
    for subject, said, target, identifier_type, identifier in fresh:
        later, earlier = recording.lineage_of(said, subject, target)
        relation_id = uuid7()
        rows.append(
            {
                "id": relation_id,
                "subject_id": subject,
                "type": said,
                "target_id": target,
                "identifier_type": identifier_type,
                "identifier": identifier,
                "later_id": later,
                "earlier_id": earlier,
                "position": positions.get(subject, 0),
                "principal_id": principal_id,
            }
        )
        positions[subject] = positions.get(subject, 0) + 1
        written.setdefault(subject, []).append(str(relation_id))
    await session.execute(insert(_relations), rows)
    return written


async def _change(
    session: AsyncSession,
    entries: Mapping[UUID, Entry],
    relations: Mapping[UUID, Sequence[str]],
    acts: Sequence[_Act],
    caller: Caller,
) -> list[UUID]:
    """Count one change to each object that says something new, and return their ids."""
    acted: dict[UUID, list[str]] = {}
    for act in acts:
        for one in act.generated:
            acted.setdefault(one, []).append(str(act.id))
    changed = sorted({*relations, *acted})
    for one in changed:
        changes = {"relations": list(relations.get(one, ())), "activities": acted.get(one, [])}
        await changing.change(session, entries[one], caller, action="import provenance", changes=changes)
    return changed

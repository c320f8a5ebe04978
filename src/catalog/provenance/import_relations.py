"""What a document says of objects and of things outside, as relations of objects: each is recorded once."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.errors import TooLarge
from catalog.provenance import recording
from catalog.provenance.circles import Cycle
from catalog.provenance.prov_json_document import LeftOut
from catalog.provenance.prov_json_import import Statements
from catalog.provenance.statements import RELATIONS_MAX, Identifier, RelationType
from catalog.provenance.tables import Relation

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

_relations = SQLModel.metadata.tables[str(Relation.__tablename__)]

# Subject, type, target, identifier's type, identifier: what makes two relations one.
Row = tuple[UUID, RelationType, UUID | None, str | None, str | None]


def relations_of(
    told: Statements,
    ids: Mapping[str, UUID | Identifier],
    left_out: list[LeftOut],
    places: dict[UUID, str],
) -> list[Row]:
    """Return the relations to record, each once, and note by which place of the document an object would change."""
    relations: dict[Row, None] = {}
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


async def fresh_among(session: AsyncSession, relations: Sequence[Row]) -> list[Row]:
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


async def write(session: AsyncSession, fresh: Sequence[Row], principal_id: UUID) -> dict[UUID, list[str]]:
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


def _among(column: sa.ColumnElement[UUID], ids: Collection[UUID]) -> sa.ColumnElement[bool]:
    condition: sa.ColumnElement[bool] = column == sa.any_(sa.bindparam(None, sorted(ids), type_=ARRAY(sa.Uuid)))
    return condition

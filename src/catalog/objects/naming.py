"""Which objects the metadata of others names, as rows: written with the record that says so, in one transaction.

Derived from records, never asked of people. Tells the index which data sets have labels, and for whom.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.objects.references import Bond, Reference
from catalog.objects.tables import NamedObject

_references = SQLModel.metadata.tables[NamedObject.__tablename__]


class Named(NamedTuple):
    """An object that metadata names: which, by what bond, and where it is said first."""

    target_id: UUID
    bond: Bond
    pointer: str


def named_by(references: Iterable[Reference], ids: Mapping[str, UUID]) -> list[Named]:
    """Return what is named, each target once for each bond; `ids` has those that were given by name, by pointer."""
    found: dict[tuple[UUID, Bond], Named] = {}
    for reference in references:
        target_id = ids.get(reference.pointer) or reference.id
        if target_id is not None:
            found.setdefault((target_id, reference.bond), Named(target_id, reference.bond, reference.pointer))
    return list(found.values())


def labelled(named: Iterable[Named]) -> set[UUID]:
    """Return the data sets whose labels these are."""
    return {one.target_id for one in named if one.bond == Bond.ANNOTATES}


async def named_now(session: AsyncSession, subject_id: UUID) -> list[Named]:
    """Return what an object names."""
    rows = await session.execute(
        sa.select(_references.c.target_id, _references.c.bond, _references.c.pointer).where(
            _references.c.subject_id == subject_id, ~_references.c.former
        )
    )
    return [Named(target_id, Bond(bond), pointer) for target_id, bond, pointer in rows]


async def write(session: AsyncSession, subject_id: UUID, named: Sequence[Named]) -> None:
    """Record what an object names from now on."""
    kept = [sa.and_(_references.c.target_id == one.target_id, _references.c.bond == one.bond) for one in named]
    await session.execute(
        _references.update()
        .where(_references.c.subject_id == subject_id, ~_references.c.former, ~sa.or_(sa.false(), *kept))
        .values(former=True)
    )
    if named:
        rows = [{"subject_id": subject_id, **one._asdict()} for one in named]
        taken = insert(_references)
        await session.execute(
            taken.on_conflict_do_update(
                index_elements=["subject_id", "target_id", "bond"],
                set_={"pointer": taken.excluded.pointer, "former": False},
            ),
            rows,
        )


_NAMING = sa.text(
    """
    SELECT id FROM object WHERE withdrawn_at IS NULL
    AND id IN (SELECT subject_id FROM reference WHERE target_id = :id AND NOT former) ORDER BY id FOR NO KEY UPDATE
    """
)


async def naming_it(session: AsyncSession, object_id: UUID) -> list[UUID]:
    """Return the objects that name this one, locked in the order in which everybody locks them."""
    return list((await session.execute(_NAMING, {"id": object_id})).scalars())


@dataclass(frozen=True, slots=True)
class Labelling:
    """Who may see labels of a data set, and how often any that ever named it have changed: that only grows."""

    readers: list[str]
    changes: int


_LABELLING = sa.text(
    """
    SELECT reference.target_id, sum(labels.revision)::bigint AS changes,
        array(SELECT DISTINCT unnest(object.readers) FROM reference AS now JOIN object ON object.id = now.subject_id
            WHERE now.target_id = reference.target_id AND now.bond = :bond AND NOT now.former
                AND object.withdrawn_at IS NULL ORDER BY 1) AS readers
    FROM reference JOIN object AS labels ON labels.id = reference.subject_id
    WHERE reference.target_id = ANY(:ids) AND reference.bond = :bond GROUP BY reference.target_id
    """
).bindparams(sa.bindparam("ids", type_=ARRAY(sa.Uuid)))


async def labellings(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, Labelling]:
    """Return the labelling of each of these data sets that ever had labels: for the indexer alone."""
    if not ids:
        return {}
    rows = await session.execute(_LABELLING, {"ids": list(ids), "bond": Bond.ANNOTATES})
    return {row.target_id: Labelling(row.readers, row.changes) for row in rows}

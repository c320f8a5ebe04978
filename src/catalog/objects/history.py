"""What an object went through: who changed what and when, and how its description read at any revision.

For those who may change the object: earlier texts may tell what its readers were never meant to see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.principals import Caller, Principal
from catalog.errors import Forbidden, NotFound
from catalog.objects import reading
from catalog.objects.tables import AuditEntry, CatalogObject

_audit = SQLModel.metadata.tables[AuditEntry.__tablename__]
_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_principals = SQLModel.metadata.tables[str(Principal.__tablename__)]

# Changes whose audit row holds fields of the description, each with its value before and after.
_DESCRIBING = ("revise",)


@dataclass(frozen=True, slots=True)
class Change:
    """One change; `by` is None where the catalog itself found it, having looked at a store."""

    id: int
    at: datetime
    by: str | None
    action: str
    from_revision: int | None
    to_revision: int
    changes: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Past:
    """The description as it read at one revision."""

    revision: int
    at: datetime
    record: dict[str, Any]


async def page(
    session: AsyncSession, object_id: UUID, *, caller: Caller, until: datetime | None, before: int | None, limit: int
) -> Sequence[Change]:
    """Return the changes, newest first; raises NotFound, and Forbidden for those who may only read the object."""
    await _changeable(session, object_id, caller)
    return await changes_of(session, object_id, until=until, before=before, limit=limit)


async def changes_of(
    session: AsyncSession, subject_id: UUID, *, until: datetime | None = None, before: int | None, limit: int
) -> Sequence[Change]:
    """Return the changes of an object, or of what else has an audit trail, whoever may see them; newest first."""
    conditions = [_audit.c.object_id == subject_id]
    if until is not None:
        conditions.append(_audit.c.at <= until)
    if before is not None:
        conditions.append(_audit.c.id < before)
    rows = await session.execute(
        sa.select(
            _audit.c.id,
            _audit.c.at,
            _principals.c.name,
            _audit.c.action,
            _audit.c.from_revision,
            _audit.c.to_revision,
            _audit.c.changes,
        )
        .outerjoin(_principals, _principals.c.id == _audit.c.principal_id)
        .where(*conditions)
        .order_by(_audit.c.id.desc())
        .limit(limit)
    )
    return [Change(*row) for row in rows]


async def note(
    session: AsyncSession, subject_id: UUID, *, by: UUID | None, action: str, changes: dict[str, Any] | None = None
) -> None:
    """Write an audit row for what has no revisions of its own, or whose revision stays as it is; nothing is locked."""
    revision = sa.select(_objects.c.revision).where(_objects.c.id == subject_id).scalar_subquery()
    await session.execute(
        _audit.insert().values(
            object_id=subject_id,
            principal_id=by,
            action=action,
            from_revision=revision,
            to_revision=sa.func.coalesce(revision, 1),
            changes=changes,
        )
    )


async def at(session: AsyncSession, object_id: UUID, revision: int, *, caller: Caller) -> Past:
    """Return the description as it read at a revision: today's, with every later change undone.

    Raises NotFound for a revision that never was, Forbidden.
    """
    entry = await _changeable(session, object_id, caller)
    rows = await session.execute(
        sa.select(_audit.c.at, _audit.c.action, _audit.c.to_revision, _audit.c.changes)
        .where(_audit.c.object_id == object_id, _audit.c.to_revision >= revision)
        .order_by(_audit.c.id.desc())
    )
    record = dict(entry.record)
    for row in rows:
        if row.to_revision == revision:
            return Past(revision, row.at, record)
        if row.action in _DESCRIBING:
            undo(record, row.changes or {})
    raise NotFound(f"The object has no revision {revision}; it is at {entry.revision} and began at 1.")


def undo(record: dict[str, Any], changes: dict[str, Any]) -> None:
    """Take the changes of one revision back."""
    for name, change in changes.items():
        if change["from"] is None:
            record.pop(name, None)
        else:
            record[name] = change["from"]


async def _changeable(session: AsyncSession, object_id: UUID, caller: Caller) -> reading.Entry:
    caller.must_be_known()
    entry = await reading.find_even_withdrawn(session, object_id, caller.audience)
    if not caller.audience.includes(entry.writers):
        raise Forbidden("The history is for those who may change the object; its versions show what was published.")
    return entry

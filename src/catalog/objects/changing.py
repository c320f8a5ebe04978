"""A change to an object, whoever makes it: the lock, the revision, the audit row, and the notes of what must follow.

Runs in the caller's transaction, and no network call happens here.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog import queue
from catalog.access.principals import Caller
from catalog.errors import Forbidden, PreconditionFailed
from catalog.objects import reading
from catalog.objects.reading import Entry
from catalog.objects.tables import AuditEntry, CatalogObject

# What is queued: write an object's document, look at what it names outside, look at a DOI by its text.
INDEX = "index"
OUTSIDE = "outside"
DOI = "doi"

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_audit = SQLModel.metadata.tables[AuditEntry.__tablename__]


async def lock(session: AsyncSession, object_id: UUID) -> None:
    """Hold the object against every other change until the transaction ends."""
    # Ids never change, so rows that only name this object need not wait.
    await session.execute(sa.select(_objects.c.id).where(_objects.c.id == object_id).with_for_update(key_share=True))


async def locked(session: AsyncSession, object_id: UUID, caller: Caller, revisions: Sequence[int] | None) -> Entry:
    """Return an object that this caller may change, locked until the transaction ends.

    `revisions` are those the caller accepts, None for any. Raises NotFound, Gone, Forbidden, PreconditionFailed.
    """
    caller.must_be_known()
    # The lock first, then the read: what is read is what the lock protects.
    await lock(session, object_id)
    entry = await reading.find(session, object_id, caller.audience)
    if not caller.may_change(entry.writers):
        caller.must_have_to_change(entry.writers)
        raise Forbidden("You may read this object but not change it: it belongs to another principal.")
    must_start_from(entry, revisions)
    return entry


def must_start_from(entry: Entry, revisions: Sequence[int] | None) -> None:
    """Raise PreconditionFailed unless the object is at one of these revisions; None stands for any."""
    if revisions is not None and entry.revision not in revisions:
        raise PreconditionFailed(
            f'The object is at revision {entry.revision}; read it again and send If-Match: "{entry.revision}".'
        )


async def change(
    session: AsyncSession,
    entry: Entry,
    caller: Caller,
    *,
    action: str,
    changes: Any = None,
    labelled: Collection[UUID] = (),
    **values: Any,
) -> None:
    """Count a change to a locked object, or to what belongs to it: its revision, an audit row, an entry for the index.

    `labelled` are the data sets whose labels it is, or was; `values` are columns of the object that change with it.
    """
    await session.execute(
        _objects.update()
        .where(_objects.c.id == entry.id)
        .values(revision=entry.revision + 1, updated_at=sa.func.now(), **values)
    )
    revisions = (entry.revision, entry.revision + 1)
    await note(session, entry.id, by=caller.id, action=action, revisions=revisions, changes=changes, labelled=labelled)
    await _look_at_dois(session, entry.id)


async def note_found(
    session: AsyncSession,
    object_id: UUID,
    *,
    action: str,
    changes: dict[str, Any],
    labelled: Collection[UUID] = (),
    index_after: timedelta = timedelta(),
    **values: Any,
) -> None:
    """Count a change that the catalog itself made, having looked at a store or a clock; the object is locked.

    `index_after` lets its document wait for changes that are likely to follow.
    """
    revision = (
        await session.execute(
            _objects.update()
            .where(_objects.c.id == object_id)
            .values(revision=_objects.c.revision + 1, updated_at=sa.func.now(), **values)
            .returning(_objects.c.revision)
        )
    ).scalar_one()
    revisions = (revision - 1, revision)
    await note(
        session,
        object_id,
        by=None,
        action=action,
        revisions=revisions,
        changes=changes,
        labelled=labelled,
        index_after=index_after,
    )
    await _look_at_dois(session, object_id)


async def note(
    session: AsyncSession,
    object_id: UUID,
    *,
    by: UUID | None,
    action: str,
    revisions: tuple[int | None, int],
    changes: Any = None,
    labelled: Collection[UUID] = (),
    index_after: timedelta = timedelta(),
) -> None:
    """Write the audit row, and queue the object; with it the data sets whose labels it is, or was."""
    await session.execute(
        _audit.insert().values(
            object_id=object_id,
            principal_id=by,
            action=action,
            from_revision=revisions[0],
            to_revision=revisions[1],
            changes=changes,
        )
    )
    await queue.put(session, INDEX, [str(one) for one in (object_id, *labelled)], after=index_after)


async def _look_at_dois(session: AsyncSession, object_id: UUID) -> None:
    """Queue the DOIs of an object, if it has any: what the registry knows of it may have become untrue."""
    # The room of DOIs lies above this one, which knows its table by name alone.
    found = await session.execute(sa.text("SELECT doi FROM doi WHERE object_id = :id"), {"id": object_id})
    await queue.put(session, DOI, [row.doi for row in found])


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the top-level fields that differ, each with its old and new value."""
    return {
        name: {"from": before.get(name), "to": after.get(name)}
        for name in sorted(before.keys() | after.keys())
        # What was registered before there was such a field says as much as an empty one.
        if (before.get(name) or None) != (after.get(name) or None)
    }


async def write_documents_anew(session: AsyncSession, ids: Sequence[UUID]) -> None:
    """Have the documents of these objects written again, though nobody revised them; the objects are locked."""
    if ids:
        # The index refuses to go back: what is written anew needs a higher number.
        renumbered = _objects.update().where(_objects.c.id == sa.any_(sa.bindparam("ids", list(ids), ARRAY(sa.Uuid))))
        await session.execute(renumbered.values(relabelled=_objects.c.relabelled + 1))
        await queue.put(session, INDEX, [str(one) for one in ids])


async def index_everything(session: AsyncSession) -> None:
    """Queue every object: for an index that was just created, since it is disposable and Postgres is the truth."""
    await _queue_everything(session, INDEX)


async def look_outside_everywhere(session: AsyncSession) -> None:
    """Queue every object to have what it names outside looked at."""
    await _queue_everything(session, OUTSIDE)


async def _queue_everything(session: AsyncSession, topic: str) -> None:
    await session.execute(
        sa.text(
            "INSERT INTO queue (topic, subject) SELECT :topic, id::text FROM object ORDER BY id"
            " ON CONFLICT (topic, subject) DO UPDATE SET touched = queue.touched + 1, ready_at = now(),"
            " attempts = 0, parked_at = NULL, reason = NULL"
        ),
        {"topic": topic},
    )

"""Changing many objects by one merge patch: what would change is looked at first, and what changed can be taken back.

All or nothing: an edit that one of the objects refuses changes none of them. Taking back leaves alone what somebody
changed since.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.access.audience import LOOKS_AFTER_ALL
from catalog.access.principals import Caller, Principal
from catalog.curation import queues
from catalog.curation.tables import Edit, EditedObject
from catalog.errors import CatalogError, Conflict, Fault, NotFound, PreconditionFailed, TooLarge, Unprocessable
from catalog.objects import changing, reading, verbs
from catalog.objects.tables import CatalogObject
from catalog.objects.validation import pointer_to
from catalog.quality.tables import Quality

# Each is validated, locked and audited in one transaction, which shall not hold up others for long.
EDIT_OBJECTS_MAX = 500
FAULTS_SHOWN_MAX = 100

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_quality = SQLModel.metadata.tables[str(Quality.__tablename__)]
_principals = SQLModel.metadata.tables[str(Principal.__tablename__)]
_edits = SQLModel.metadata.tables[str(Edit.__tablename__)]
_edited = SQLModel.metadata.tables[EditedObject.__tablename__]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects are meant: these, or all that the caller may change and that are of a project, kind or queue.

    Of the latter only the first `limit`, oldest first, after the one of the id `after`, where that is said.
    """

    ids: Sequence[UUID] = ()
    project: str | None = None
    kind: str | None = None
    queue: str | None = None
    limit: int | None = None
    after: UUID | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """What an edit does to one object: its fields that change, or why it cannot."""

    id: UUID
    title: str
    revision: int
    changes: dict[str, Any]
    faults: Sequence[Fault] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What an edit does; `digest` stands for exactly this, down to the revisions.

    `fitting` objects fit the selection; where a limit leaves some out, `next_after` is what the next edit begins after.
    """

    objects: Sequence[Planned]
    digest: str
    fitting: int
    next_after: UUID | None


@dataclass(frozen=True, slots=True)
class EditView:
    """An edit that was made; `objects` are those that it changed."""

    id: UUID
    by: str
    made_at: datetime
    undone_at: datetime | None
    patch: dict[str, Any]
    objects: Sequence[Planned]


class PlanChanged(PreconditionFailed):
    """The objects are not as they were when the edit was looked at."""


async def plan(session: AsyncSession, selection: Selection, patch: bytes, *, caller: Caller) -> Plan:
    """Return what the patch would do to each of the objects, and change nothing.

    Raises NotFound for an id that is not there, Forbidden, and TooLarge for more than 500 objects without a limit.
    """
    ids, fitting = await _selected(session, selection, caller)
    planned = [await _tried(session, object_id, patch, caller, keep=False) for object_id in ids]
    return Plan(planned, _digest(planned, patch), fitting, ids[-1] if len(ids) < fitting else None)


async def apply(session: AsyncSession, selection: Selection, patch: bytes, digest: str, *, caller: Caller) -> EditView:
    """Change all of the objects as they were looked at; raises PlanChanged when something is different now.

    Raises Unprocessable when one of them refuses the patch, and as `plan` does.
    """
    made_by = caller.must_register()
    ids, _ = await _selected(session, selection, caller)
    planned = [await _tried(session, object_id, patch, caller, keep=True) for object_id in ids]
    refusals = [
        Fault(f"/objects/{one.id}{fault.pointer}", fault.message, fault.suggestion)
        for one in planned
        for fault in one.faults
    ]
    if refusals:
        raise Unprocessable(
            "Some of the objects refuse the change; none was changed.", faults=refusals[:FAULTS_SHOWN_MAX]
        )
    if _digest(planned, patch) != digest:
        raise PlanChanged("The objects are not as they were when this edit was looked at; look at it again.")
    changed = [one for one in planned if one.changes]
    if not changed:
        raise Conflict("The edit changes nothing: all objects are as it wants them.")
    edit_id = uuid7()
    await session.execute(_edits.insert().values(id=edit_id, principal_id=made_by, patch=msgspec.json.decode(patch)))
    await session.execute(
        _edited.insert(),
        [
            {
                "edit_id": edit_id,
                "object_id": one.id,
                "from_revision": one.revision,
                "to_revision": one.revision + 1,
                "changes": one.changes,
            }
            for one in changed
        ],
    )
    return await find(session, edit_id, caller=caller)


async def undo(session: AsyncSession, edit_id: UUID, *, caller: Caller) -> tuple[list[UUID], list[tuple[UUID, str]]]:
    """Take an edit back; returns the objects that are as before, and those that were left alone, each with the reason.

    What somebody changed since in a field that the edit changed stays. Raises NotFound, and Conflict when all of it
    was taken back before.
    """
    caller.must_register()
    await session.execute(sa.select(_edits.c.id).where(_edits.c.id == edit_id).with_for_update())
    edit = await find(session, edit_id, caller=caller)
    if edit.undone_at is not None:
        raise Conflict(f"This edit was taken back on {edit.undone_at:%Y-%m-%d}.")
    pending = set(
        (
            await session.execute(
                sa.select(_edited.c.object_id).where(_edited.c.edit_id == edit_id, _edited.c.undone.is_(False))
            )
        ).scalars()
    )
    back: list[UUID] = []
    left: list[tuple[UUID, str]] = []
    for one in edit.objects:
        if one.id not in pending:
            continue
        reason = await _take_back(session, one, caller)
        if reason is None:
            back.append(one.id)
        else:
            left.append((one.id, reason))
    await session.execute(
        _edited.update().where(_edited.c.edit_id == edit_id, _edited.c.object_id.in_(back)).values(undone=True)
    )
    if not left:
        await session.execute(_edits.update().where(_edits.c.id == edit_id).values(undone_at=sa.func.now()))
    return back, left


async def _take_back(session: AsyncSession, one: Planned, caller: Caller) -> str | None:
    try:
        async with session.begin_nested():
            entry = await changing.locked(session, one.id, caller, None)
            changed = [field for name, change in one.changes.items() for field in fields_of((name,), **_sides(change))]
            since = [pointer_to(field.names) for field in changed if _value_at(entry.record, field.names) != field.to]
            if since:
                return f"changed since: {', '.join(since)}"
            back = msgspec.json.encode(_back(changed))
            after = await verbs.revise(session, one.id, back, caller=caller, revisions=None)
            stay = [
                field for field in changed if (_value_at(after.record, field.names) or None) != (field.before or None)
            ]
            if stay:
                # Within the block: what came back beside it goes again.
                places = ", ".join(pointer_to(field.names) for field in stay)
                raise Conflict(f"what was a text in {places} is a term now, and is kept as one")
    except CatalogError as refused:
        return refused.detail
    return None


@dataclass(frozen=True, slots=True)
class ChangedField:
    """A field that an edit changed, by the names that lead to it, with its value before and after; None is absent."""

    names: tuple[str, ...]
    before: Any
    to: Any


def fields_of(names: tuple[str, ...], before: Any, to: Any) -> Iterator[ChangedField]:
    """Yield the innermost fields that differ; a list is one field, since its places mean nothing by themselves."""
    if isinstance(before, dict) and isinstance(to, dict):
        for name in sorted(before.keys() | to.keys()):
            yield from fields_of((*names, name), before.get(name), to.get(name))
    elif before != to:
        yield ChangedField(names, before, to)


def _sides(change: Mapping[str, Any]) -> dict[str, Any]:
    return {"before": change["from"], "to": change["to"]}


def _value_at(record: Any, names: Sequence[str]) -> Any:
    at = record
    for name in names:
        at = at.get(name) if isinstance(at, dict) else None
    return at


def _back(changed: Sequence[ChangedField]) -> dict[str, Any]:
    """Return the merge patch (RFC 7396) that gives these fields the values they had, and touches no other."""
    patch: dict[str, Any] = {}
    for field in changed:
        at = patch
        *way, last = field.names
        for name in way:
            at = at.setdefault(name, {})
        at[last] = field.before
    return patch


async def find(session: AsyncSession, edit_id: UUID, *, caller: Caller) -> EditView:
    """Return an edit of the caller, or anybody's for curators, with the objects that are seen now; raises NotFound.

    What has been hidden from the caller since stands in none of its edits any more.
    """
    conditions = [_edits.c.id == edit_id, *_visible(caller)]
    row = (await session.execute(_views().where(*conditions))).one_or_none()
    if row is None:
        raise NotFound(f"There is no edit {edit_id} that you may see.")
    objects = await session.execute(
        sa.select(
            _edited.c.object_id,
            _objects.c.record["title"].astext.label("title"),
            _edited.c.from_revision,
            _edited.c.changes,
        )
        .join(_objects, _objects.c.id == _edited.c.object_id)
        .where(_edited.c.edit_id == edit_id, caller.audience.sql_condition(_objects.c.readers))
        .order_by(_edited.c.object_id)
    )
    return _view(row, [Planned(*one) for one in objects])


async def page(session: AsyncSession, *, caller: Caller, after: UUID | None, limit: int) -> list[EditView]:
    """Return the next edits, newest first, without their objects."""
    conditions = _visible(caller)
    if after is not None:
        conditions.append(_edits.c.id < after)
    rows = await session.execute(_views().where(*conditions).order_by(_edits.c.id.desc()).limit(limit))
    return [_view(row) for row in rows]


def _view(row: Any, objects: Sequence[Planned] = ()) -> EditView:
    return EditView(row.id, row.name, row.made_at, row.undone_at, row.patch, objects)


def _views() -> sa.Select[Any]:
    return sa.select(_edits.c.id, _principals.c.name, _edits.c.made_at, _edits.c.undone_at, _edits.c.patch).join(
        _principals, _principals.c.id == _edits.c.principal_id
    )


def _visible(caller: Caller) -> list[sa.ColumnElement[bool]]:
    principal_id = caller.must_register()
    return [] if caller.role in LOOKS_AFTER_ALL else [_edits.c.principal_id == principal_id]


async def _tried(session: AsyncSession, object_id: UUID, patch: bytes, caller: Caller, *, keep: bool) -> Planned:
    """Change one object, and take it back at once where it shall only be seen what would happen."""
    savepoint = await session.begin_nested()
    try:
        before = await changing.locked(session, object_id, caller, None)
        after = await verbs.revise(session, object_id, patch, caller=caller, revisions=None)
    except CatalogError as refused:
        await savepoint.rollback()
        entry = await reading.find(session, object_id, caller.audience)
        faults = refused.faults or [Fault("", refused.detail)]
        return Planned(object_id, entry.record["title"], entry.revision, {}, faults)
    if keep:
        await savepoint.commit()
    else:
        await savepoint.rollback()
    changes = changing.difference(before.record, after.record)
    return Planned(object_id, before.record["title"], before.revision, changes)


async def _selected(session: AsyncSession, selection: Selection, caller: Caller) -> tuple[list[UUID], int]:
    """Return the ids in one order, so that two edits never wait for each other in a circle, and how many would fit."""
    if selection.ids:
        ids = sorted(set(selection.ids))
        there = await reading.titles_of(session, ids, caller.audience)
        absent = [one for one in ids if one not in there]
        if absent:
            raise NotFound(f"There is no object {absent[0]} that you may see.")
        fitting = len(ids)
    else:
        conditions = queues.changeable(caller)
        if selection.project is not None:
            conditions.append(_objects.c.project == selection.project)
        if selection.kind is not None:
            conditions.append(_objects.c.kind == selection.kind)
        if selection.after is not None:
            conditions.append(_objects.c.id > selection.after)
        statement = sa.select(_objects.c.id)
        if selection.queue is not None:
            statement = statement.join(_quality, _quality.c.object_id == _objects.c.id)
            conditions.append(queues.named(selection.queue).condition)
        statement = statement.where(*conditions)
        fitting = (await session.execute(sa.select(sa.func.count()).select_from(statement.subquery()))).scalar_one()
        most = selection.limit or EDIT_OBJECTS_MAX + 1
        ids = list((await session.execute(statement.order_by(_objects.c.id).limit(most))).scalars())
    if len(ids) > EDIT_OBJECTS_MAX:
        raise TooLarge(
            f"An edit changes at most {EDIT_OBJECTS_MAX} objects, and {fitting:,} fit; narrow the selection, or give "
            f"it a limit of {EDIT_OBJECTS_MAX} and edit again what comes after the last of these."
        )
    return ids, fitting


def _digest(planned: Sequence[Planned], patch: bytes) -> str:
    told = [(str(one.id), one.revision) for one in planned]
    return hashlib.sha256(msgspec.json.encode([told, msgspec.json.decode(patch)], order="deterministic")).hexdigest()

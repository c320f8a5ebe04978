"""Registering many objects at once: whole batches go through the database in a handful of statements.

A row that names its object (`name`) creates it or brings it to what the row says; a row with an Idempotency-Key makes
its object once; any other row makes an object each time. Rows may name objects that come after them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.access import members, quotas
from catalog.access.principals import Caller
from catalog.access.quotas import Amount
from catalog.database import driver_connection
from catalog.errors import CatalogError, Fault
from catalog.objects import changing, describing, granting, naming, recorded, remaining, resolving, validation, verbs
from catalog.objects.references import Reference
from catalog.objects.remembering import Remember
from catalog.objects.resolving import Known, Place
from catalog.objects.tables import FileState, RememberedRequest
from catalog.vocabulary.looking_up import Meaning

_objects = SQLModel.metadata.tables["object"]
_files = SQLModel.metadata.tables["file"]
_remembered = SQLModel.metadata.tables[RememberedRequest.__tablename__]


class Fate(StrEnum):
    """What became of a row."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    # It names an object that may yet come.
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Row:
    """A valid registration and the line where it stood."""

    line: int
    draft: validation.Draft
    remember: Remember | None = None

    @property
    def place(self) -> Place | None:
        """Project, kind and name, where the object has a name."""
        description = self.draft.description
        return None if description.name is None else (description.project, description.kind, description.name)


@dataclass(frozen=True, slots=True)
class Misrow:
    """A registration whose shape is wrong, and the line where it stood."""

    line: int
    wrong: validation.Misshapen

    @property
    def place(self) -> Place | None:
        """Project, kind and name, where the object has a name."""
        match [self.wrong.raw.get(name) for name in ("project", "kind", "name")]:
            case [str(project), str(kind), str(name)] if "\0" not in project + kind + name:
                return project, kind, name
        return None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row; `id` and `revision` where there is an object now."""

    line: int
    fate: Fate
    id: UUID | None = None
    revision: int | None = None
    faults: Sequence[Fault] = ()


@dataclass(frozen=True, slots=True)
class _Held:
    """An object that has the name already."""

    id: UUID
    writers: list[str]
    revision: int
    record: dict[str, Any]
    files: dict[str, tuple[int, str, str]]


@dataclass(frozen=True, slots=True)
class _New:
    """An object that is to be."""

    id: UUID
    row: Row
    references: list[Reference]
    terms: list[describing.Use]


@dataclass(frozen=True, slots=True)
class _Sound:
    """A new object with the ids and URIs of all that it names, by their pointers, and versions that DOIs said."""

    new: _New
    ids: dict[str, UUID]
    versions: dict[str, str]
    uris: dict[str, str]


async def load(session: AsyncSession, rows: Sequence[Row], *, caller: Caller) -> list[Outcome]:
    """Record a batch of rows in the caller's transaction and return what became of each, in any order.

    Raises psycopg.errors.UniqueViolation when another transaction took a name or key meanwhile: roll back and load
    again.
    """
    outcomes: list[Outcome] = []
    while rows:
        # The second of two rows for one object changes what the first has made.
        first, rows = _apart(rows)
        outcomes += await _load(session, first, caller)
    return outcomes


async def faults_of(session: AsyncSession, rows: Sequence[Misrow], *, caller: Caller) -> list[list[Fault]]:
    """Return what these rows name that is not there or does not fit; a name that may yet come is no fault."""
    held = await _held(session, [row.place for row in rows if row.place is not None])
    several = [(row.wrong, _kept_by(row, held, caller)) for row in rows]
    return await remaining.faults_of(session, several, caller.audience, names_may_come=True)


def _kept_by(row: Misrow, held: Mapping[Place, _Held], caller: Caller) -> remaining.AlreadyNamed:
    there = None if row.place is None else held.get(row.place)
    if there is None or row.wrong.kind is None or not caller.may_change(there.writers):
        return remaining.NOTHING_NAMED
    return remaining.kept_by(row.wrong.kind, there.record)


def _apart(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    first: list[Row] = []
    later: list[Row] = []
    taken: set[Any] = set()
    for row in rows:
        marks = {mark for mark in (row.place, row.remember and row.remember.key) if mark is not None}
        (later if taken & marks else first).append(row)
        taken |= marks
    return first, later


async def _load(session: AsyncSession, rows: Sequence[Row], caller: Caller) -> list[Outcome]:
    owner_id = caller.must_register()
    outcomes: list[Outcome] = []
    remembered = await _already(session, owner_id, [row.remember for row in rows if row.remember is not None])
    held = await _held(session, [row.place for row in rows if row.place is not None])
    news: list[_New] = []
    updates: list[tuple[_Held, Row]] = []
    for row in rows:
        if row.remember is not None and row.remember.key in remembered:
            outcomes.append(_repeated(row, *remembered[row.remember.key]))
        elif row.place is not None and row.place in held:
            updates.append((held[row.place], row))
        elif not caller.may_register(row.draft.description.project):
            message = f"you may not register in {row.draft.description.project}: ask an admin there for the role ingest"
            outcomes.append(Outcome(row.line, Fate.FAILED, faults=[Fault("/project", message)]))
        else:
            news.append(_New(uuid7(), row, list(row.draft.description.metadata.references()), _terms_of(row)))
    named = [(new.row.draft.description.project, one) for new in news for one in new.references]
    named += [(row.draft.description.project, one) for _, row in updates for one in _references_of(row)]
    there = await resolving.known(session, named, caller.audience)
    # One look at the vocabularies for the whole batch, however many of its terms are wrong.
    asked = [use for new in news for use in new.terms]
    asked += [use for _, row in updates for use in _terms_of(row)]
    kept = {text for one, row in updates for text in _kept_terms_of(one, row)}
    # What one row may keep is told to another without the nearest terms.
    meant = await describing.known(session, asked, kept)
    sound, unsound = _sound(news, there, meant)
    outcomes += unsound
    refused = await _without_room(session, sound, caller)
    if refused:
        outcomes += refused.values()
        # Whoever names one of them has to wait for it: what is left is judged again without them.
        _drop(there, [one.new for one in sound])
        sound, unsound = _sound([one.new for one in sound if one.new.id not in refused], there, meant)
        outcomes += unsound
    await _insert(session, sound, owner_id)
    outcomes += [Outcome(one.new.row.line, Fate.CREATED, one.new.id, 1) for one in sound]
    # In the order in which everybody locks queue entries.
    for one, row in sorted(updates, key=lambda update: str(update[0].id)):
        outcomes.append(await _update(session, one, row, caller, there=there, meant=meant))
    return outcomes


def _terms_of(row: Row) -> list[describing.Use]:
    return describing.uses(row.draft.kind, row.draft.description)


def _kept_terms_of(held: _Held, row: Row) -> set[describing.Asked]:
    return {use.asked for use in describing.uses(row.draft.kind, held.record)}


def _references_of(row: Row) -> list[Reference]:
    return list(row.draft.description.metadata.references())


async def _already(
    session: AsyncSession, principal_id: UUID, asked: Sequence[Remember]
) -> dict[str, tuple[bytes, UUID, datetime | None]]:
    if not asked:
        return {}
    rows = await session.execute(
        sa.select(_remembered.c.key, _remembered.c.digest, _remembered.c.object_id, _objects.c.withdrawn_at)
        .outerjoin(_objects, _objects.c.id == _remembered.c.object_id)
        .where(_remembered.c.principal_id == principal_id, _remembered.c.key.in_([one.key for one in asked]))
    )
    return {key: (digest, object_id, withdrawn_at) for key, digest, object_id, withdrawn_at in rows}


def _repeated(row: Row, digest: bytes, object_id: UUID, withdrawn_at: datetime | None) -> Outcome:
    assert row.remember is not None  # ruff: ignore[S101] - only such rows are looked up.
    if digest != row.remember.digest:
        message = f"this key was used for another registration, which made the object {object_id}; take a new key"
    elif withdrawn_at is not None:
        message = (
            f"this key made the object {object_id}, which was withdrawn on {withdrawn_at:%Y-%m-%d}; take a new key"
        )
    else:
        return Outcome(row.line, Fate.UNCHANGED, object_id)
    return Outcome(row.line, Fate.FAILED, faults=[Fault("/idempotency_key", message)])


_HELD = sa.text(
    """
    SELECT object.id, object.project, object.kind, object.name, object.writers, object.revision, object.record,
        (SELECT jsonb_object_agg(path, jsonb_build_array(size, sha256, media_type)) FROM file
         WHERE file.object_id = object.id) AS files
    FROM object JOIN unnest(CAST(:projects AS text[]), CAST(:kinds AS text[]), CAST(:names AS text[]))
        AS asked (project, kind, name) USING (project, kind, name)
    WHERE object.withdrawn_at IS NULL ORDER BY object.id FOR NO KEY UPDATE OF object
    """
)


async def _held(session: AsyncSession, places: Sequence[Place]) -> dict[Place, _Held]:
    if not places:
        return {}
    projects, kinds, names = (list(column) for column in zip(*places, strict=True))
    rows = await session.execute(_HELD, {"projects": projects, "kinds": kinds, "names": names})
    return {
        (row.project, row.kind, row.name): _Held(
            row.id,
            row.writers,
            row.revision,
            row.record,
            {path: tuple(content) for path, content in (row.files or {}).items()},
        )
        for row in rows
    }


def _sound(
    news: Sequence[_New], there: Known, meant: Mapping[describing.Asked, Meaning]
) -> tuple[list[_Sound], list[Outcome]]:
    """Tell the new objects whose references and terms hold, with ids and URIs, from the others.

    A new object may name another new one. So all are counted as there, and whoever is left out takes along those that
    name it, until nobody falls.
    """
    for new in news:
        there.add(new.id, new.row.draft.kind.name, new.row.place)
    fallen: dict[UUID, Outcome] = {}
    ids: dict[UUID, dict[str, UUID]] = {}
    named_by: dict[UUID, list[_New]] = {}
    uris: dict[UUID, dict[str, str]] = {}
    wrong: dict[UUID, list[Fault]] = {}
    for new in news:
        uris[new.id], wrong[new.id] = describing.resolved(meant, new.terms)
    looked_at = [new for new in news if new.references or wrong[new.id]]
    while looked_at:
        falling = []
        for new in looked_at:
            ids[new.id], faults = resolving.resolved(there, new.row.draft.description.project, new.references)
            faults += wrong[new.id]
            for target in set(ids[new.id].values()):
                named_by.setdefault(target, []).append(new)
            if faults:
                fallen[new.id] = _fallen(new.row, new.references, faults)
                falling.append(new)
        _drop(there, falling)
        # Each of these falls now, so nobody is looked at more than twice, however long a chain is.
        naming = {one.id: one for new in falling for one in named_by.get(new.id, ()) if one.id not in fallen}
        looked_at = list(naming.values())
    sound = [
        _Sound(new, ids.get(new.id, {}), resolving.versions_named(there, new.references), uris[new.id])
        for new in news
        if new.id not in fallen
    ]
    return sound, list(fallen.values())


def _drop(there: Known, news: Iterable[_New]) -> None:
    """Count these as not there."""
    for new in news:
        there.kinds.pop(new.id, None)
        if new.row.place is not None:
            there.ids.pop(new.row.place, None)


async def _without_room(session: AsyncSession, sound: Sequence[_Sound], caller: Caller) -> dict[UUID, Outcome]:
    """Return what becomes of the new objects for which a quota has no room, by id; the lines before go first."""
    if not sound:
        return {}
    projects = {one.new.row.draft.description.project for one in sound}
    room = await quotas.room(session, projects, ["objects", "bytes"])
    refused = {}
    for new in sorted((one.new for one in sound), key=lambda new: new.row.line):
        draft = new.row.draft
        asked = Amount(objects=1, bytes=sum(file.size for file in draft.files))
        lacks = room.lacks(draft.description.project, asked)
        if lacks:
            refused[new.id] = Outcome(new.row.line, Fate.FAILED, faults=quotas.faults_of(lacks, caller))
        else:
            room.take(draft.description.project, asked)
    return refused


def _fallen(row: Row, references: Sequence[Reference], faults: Sequence[Fault]) -> Outcome:
    named = {one.pointer for one in references if one.id is None}
    absent = {fault.pointer for fault in faults if fault.message.startswith("there is no object")}
    # An id cannot come later: ids are given here. A name can.
    waits = absent and absent <= named and len(absent) == len(faults)
    return Outcome(row.line, Fate.WAITING if waits else Fate.FAILED, faults=faults)


async def _insert(session: AsyncSession, sound: Sequence[_Sound], owner_id: UUID) -> None:
    if not sound:
        return
    news = [one.new for one in sound]
    # Once: an embargo may end meanwhile.
    told = [recorded.told(one.new.row.draft.description) for one in sound]
    access = [
        granting.access_of(says, owner_id=owner_id, project=one.new.row.draft.description.project)
        for one, says in zip(sound, told, strict=True)
    ]
    await members.ensure(session, (one.new.row.draft.description.project for one in sound))
    raw = await driver_connection(session)
    async with raw.cursor() as cursor:
        await _copy(
            cursor,
            "object (id, kind, schema_version, project, name, owner_id, readers, writers, revision, record)",
            (
                (
                    one.new.id,
                    one.new.row.draft.kind.name,
                    one.new.row.draft.kind.schema_version,
                    one.new.row.draft.description.project,
                    one.new.row.draft.description.name,
                    owner_id,
                    may["readers"],
                    may["writers"],
                    1,
                    recorded.json_of(one.new.row.draft.description, one.ids, one.versions, one.uris, says),
                )
                for one, may, says in zip(sound, access, told, strict=True)
            ),
        )
        await _copy(
            cursor,
            "file (id, object_id, path, size, sha256, media_type, state)",
            (
                (uuid7(), new.id, file.path, file.size, file.sha256, file.media_type, FileState.EXPECTED.value)
                for new in news
                for file in new.row.draft.files
            ),
        )
        await _copy(
            cursor,
            "remembered_request (principal_id, key, digest, object_id)",
            (
                (owner_id, new.row.remember.key, new.row.remember.digest, new.id)
                for new in news
                if new.row.remember is not None
            ),
        )
        await _copy(
            cursor,
            "audit (object_id, principal_id, action, to_revision)",
            ((new.id, owner_id, "register", 1) for new in news),
        )
        named = {one.new.id: naming.named_by(one.new.references, one.ids) for one in sound if one.new.references}
        await _copy(
            cursor,
            "reference (subject_id, target_id, bond, pointer)",
            (
                (subject_id, one.target_id, one.bond.value, one.pointer)
                for subject_id, several in named.items()
                for one in several
            ),
        )
        # New ids: none of them can be in the queue.
        await _copy(cursor, "queue (topic, subject)", ((changing.INDEX, str(new.id)) for new in news))
        outside = (new.id for new in news if next(new.row.draft.description.outside(), None) is not None)
        await _copy(cursor, "queue (topic, subject)", ((changing.OUTSIDE, str(object_id)) for object_id in outside))
    for one, says in zip(sound, told, strict=True):
        await granting.await_embargo(session, one.new.id, says)
    await describing.keep_new(session, [(one.new.id, uri) for one in sound for uri in one.uris.values()])
    queue.ring(session, changing.INDEX)
    queue.ring(session, changing.OUTSIDE)
    labelled = {one for several in named.values() for one in naming.labelled(several)} - {new.id for new in news}
    await queue.put(session, changing.INDEX, [str(one) for one in labelled])


async def _copy(cursor: psycopg.AsyncCursor[Any], into: str, rows: Iterable[tuple[Any, ...]]) -> None:
    waiting = iter(rows)
    first = next(waiting, None)
    if first is None:
        return
    async with cursor.copy(f"COPY {into} FROM STDIN") as copy:
        await copy.write_row(first)
        for row in waiting:
            await copy.write_row(row)


async def _update(
    session: AsyncSession,
    held: _Held,
    row: Row,
    caller: Caller,
    *,
    there: Known,
    meant: Mapping[describing.Asked, Meaning],
) -> Outcome:
    if not caller.may_change(held.writers):
        message = "this name is taken by an object that belongs to another principal"
        return Outcome(row.line, Fate.FAILED, faults=[Fault("/name", message)])
    ids, faults = resolving.resolved(there, row.draft.description.project, _references_of(row))
    uris, wrong = describing.resolved(meant, _terms_of(row), _kept_terms_of(held, row))
    if faults or wrong:
        return _fallen(row, _references_of(row), [*faults, *wrong])
    versions = resolving.versions_named(there, _references_of(row))
    record = recorded.record_of(row.draft.description, ids, versions, uris)
    files = {file.path: (file.size, file.sha256, file.media_type) for file in row.draft.files}
    if record == held.record and files.items() <= held.files.items():
        return Outcome(row.line, Fate.UNCHANGED, held.id, held.revision)
    try:
        async with session.begin_nested():
            entry = await verbs.replace(session, held.id, row.draft, caller=caller)
    except CatalogError as refused:
        return Outcome(row.line, Fate.FAILED, faults=refused.faults or [Fault("", refused.detail)])
    return Outcome(row.line, Fate.CHANGED, entry.id, entry.revision)

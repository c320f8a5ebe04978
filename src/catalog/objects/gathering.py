"""Registrations that come at once are written together: a handful of statements and one commit for all of them.

While one group is on its way, the next comes together; alone, a registration waits for its own group only. A group
takes what simply succeeds. Whatever else a registration may meet is met by `verbs.register`, which does it anew alone:
so nobody is told anything because of another one, and there is one place that says what is wrong.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from catalog import queue, tasks, tracing
from catalog.access import members, quotas
from catalog.access.audience import organization_of
from catalog.access.principals import Caller
from catalog.access.quotas import Amount
from catalog.database import Database, driver_connection, now
from catalog.errors import CatalogError
from catalog.measuring import Call
from catalog.objects import changing, describing, granting, naming, recorded, resolving, uploads, validation, verbs
from catalog.objects.naming import Named
from catalog.objects.reading import Entry, FileView
from catalog.objects.references import Reference
from catalog.objects.remembering import Remember
from catalog.objects.tables import FileState, Upload
from catalog.objects.uploads import Declared, Placement
from catalog.objects.verbs import Registered

log = structlog.get_logger("catalog.gathering")

# Enough to make statements cheap, and few enough that nobody waits long for the others.
GROUP_MAX = 64
# What takes long to write would be waited for by all that come with it.
GROUP_FILES_MAX = 500
TOGETHER_BYTES_MAX = 32 * 1024
# A lock that one of them needs is waited for by that one alone, after this long.
LOCK_WAIT = "100ms"


@dataclass(slots=True, eq=False)
class _Asked:
    """A registration that waits for its group; `made` is None when it has to be done alone."""

    draft: validation.Draft
    caller: Caller
    owner_id: UUID
    remember: Remember | None
    id: UUID = field(default_factory=uuid7)
    context: Context = field(default_factory=copy_context)
    trace: str | None = field(default_factory=tracing.traceparent)
    made: asyncio.Future[Registered | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def project(self) -> str:
        return self.draft.description.project

    @property
    def place(self) -> resolving.Place | None:
        description = self.draft.description
        return None if description.name is None else (description.project, description.kind, description.name)

    @property
    def key(self) -> tuple[UUID, str] | None:
        return None if self.remember is None else (self.owner_id, self.remember.key)

    @property
    def amount(self) -> Amount:
        files = self.draft.files
        return Amount(objects=1, bytes=sum(file.size for file in files), uploads=len(files))

    @property
    def references(self) -> list[Reference]:
        return list(self.draft.description.metadata.references())


@dataclass(frozen=True, slots=True)
class _Ready:
    """A registration of which nothing is wrong, with what its row keeps."""

    asked: _Asked
    record: str
    readers: list[str]
    writers: list[str]
    embargo_until: datetime | None
    named: list[Named]
    # What stands where terms belong: URIs, and texts that may stay.
    terms: list[str]


class Gathering:
    """The registrations of a process, written together as they come."""

    def __init__(self, database: Database, placement: Placement) -> None:
        self._database = database
        self._placement = placement
        self._waiting: deque[_Asked] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def register(
        self, draft: validation.Draft, *, caller: Caller, size_bytes: int, remember: Remember | None = None
    ) -> Registered:
        """Do what `verbs.register` does, in a transaction of its own or with others; `size_bytes` has what was sent."""
        if size_bytes <= TOGETHER_BYTES_MAX:
            asked = _Asked(draft, caller, caller.must_register(draft.description.project), remember)
            self._waiting.append(asked)
            if self._writing is None or self._writing.done():
                self._writing = asyncio.create_task(self._write(), name="registrations")
            made = await asked.made
            if made is not None:
                return made
        async with self._database.transaction() as session:
            return await verbs.register(session, draft, caller=caller, placement=self._placement, remember=remember)

    async def _write(self) -> None:
        while self._waiting:
            if group := self._next():
                # Its lines and spans are of the request that came first in it, and of no earlier one.
                await asyncio.create_task(self._write_together(group), context=group[0].context)

    async def _write_together(self, group: Sequence[_Asked]) -> None:
        """Write a group, and tell each of it what it made, or that it has to be done alone."""
        made: Mapping[UUID, Registered] | None = None
        try:
            async with self._database.transaction() as session:
                made = await _written(session, group, self._placement)
        except sa.exc.TimeoutError as fault:
            # There is no connection to be had, and whoever comes meanwhile would wait longer with each group.
            _answer([*group, *self._waiting], fault)
            self._waiting.clear()
        except psycopg.errors.UniqueViolation:
            # Somebody has taken a name or a key in this moment. By halves it comes out whose it is.
            if len(group) > 1:
                await self._write_together(group[: len(group) // 2])
                await self._write_together(group[len(group) // 2 :])
            else:
                _answer(group, None)
        except Exception as fault:  # ruff: ignore[BLE001] - of one of them, or of a moment; each finds out alone.
            if not isinstance(fault, CatalogError):
                log.warning("registrations done one by one", count=len(group), reason=type(fault).__name__)
            # Nobody knows whether what was to be committed is: done anew, it might be there twice.
            doubtful = {} if made is None else made
            for asked in group:
                tasks.answer(asked.made, fault if asked.id in doubtful else None)
        else:
            for asked in group:
                tasks.answer(asked.made, made.get(asked.id))

    def _next(self) -> list[_Asked]:
        """Take those that came first, as many as go together."""
        group: list[_Asked] = []
        room = GROUP_FILES_MAX
        while self._waiting and len(group) < GROUP_MAX:
            room -= len(self._waiting[0].draft.files)
            if room < 0 and group:
                break
            asked = self._waiting.popleft()
            # Whoever gave up waiting has a future that is over already.
            if not asked.made.done():
                group.append(asked)
        return group


def _answer(group: Iterable[_Asked], found: Exception | None) -> None:
    """Tell a fault to each of them, or let each be done alone."""
    for asked in group:
        tasks.answer(asked.made, found)


async def _written(session: AsyncSession, group: Sequence[_Asked], placement: Placement) -> dict[UUID, Registered]:
    """Write those of the group of which nothing is wrong, and return what is there then, by id."""
    there = await _look(session, _apart(group))
    sound = await _with_room(session, await _sound(session, there.new), there)
    if not sound:
        return {}
    rows = await _insert(session, sound)
    files = [
        Declared(one.asked.id, one.asked.project, one.asked.draft.files, one.asked.owner_id)
        for one in sound
        if one.asked.draft.files
    ]
    tickets = await uploads.issue_all(session, files, placement) if files else {}
    return {one.asked.id: _registered(one, rows[one.asked.id], tickets.get(one.asked.id, [])) for one in sound}


def _apart(group: Sequence[_Asked]) -> list[_Asked]:
    """Return the group without those that have the name or the key of one before."""
    first: list[_Asked] = []
    taken: set[Any] = set()
    for asked in group:
        marks = {mark for mark in (asked.place, asked.key) if mark is not None}
        if not taken & marks:
            first.append(asked)
        taken |= marks
    return first


_LOOK = """
    SELECT set_config('lock_timeout', %(wait)s, true),
        ARRAY(SELECT asked.id FROM unnest(%(named)s::uuid[], %(places)s::text[], %(kinds)s::text[], %(names)s::text[])
            AS asked (id, project, kind, name) JOIN object USING (project, kind, name)
            WHERE object.withdrawn_at IS NULL),
        ARRAY(SELECT asked.id FROM unnest(%(keyed)s::uuid[], %(owners)s::uuid[], %(keys)s::text[])
            AS asked (id, principal_id, key) JOIN remembered_request USING (principal_id, key)),
        EXISTS (SELECT FROM quota WHERE scope = ANY(%(scopes)s::text[])),
        ARRAY(SELECT name FROM project WHERE name = ANY(%(scopes)s::text[]))
    """


@dataclass(frozen=True, slots=True)
class _There:
    """What is there already: those of the group that are new, whether any has a quota, and the projects."""

    new: list[_Asked]
    limited: bool
    projects: frozenset[str]


async def _look(session: AsyncSession, group: Sequence[_Asked]) -> _There:
    """Tell those whose names and keys are new; whoever waits for a lock from now on soon gives up."""
    named = [(asked.id, *asked.place) for asked in group if asked.place is not None]
    keyed = [(asked.id, *asked.key) for asked in group if asked.key is not None]
    projects = {asked.project for asked in group}
    told = {
        "wait": LOCK_WAIT,
        "scopes": sorted(projects | {organization_of(one) for one in projects}),
        **_columns(named, "named", "places", "kinds", "names"),
        **_columns(keyed, "keyed", "owners", "keys"),
    }
    raw = await driver_connection(session)
    with Call("database"):
        found = await (await raw.execute(_LOOK, told)).fetchone()
    assert found is not None  # ruff: ignore[S101] - a SELECT without FROM has one row.
    _, taken, remembered, limited, there = found
    old = {*taken, *remembered}
    return _There([asked for asked in group if asked.id not in old], limited, frozenset(there))


async def _with_room(session: AsyncSession, sound: Sequence[_Ready], there: _There) -> list[_Ready]:
    """Return those for which quotas have room, which nobody else gets until the transaction ends; makes their projects.

    Those that are wrong have been left out: they take no room, and no project comes to be by them.
    """
    fitting = list(sound)
    if there.limited and sound:
        room = await quotas.room(session, {one.asked.project for one in sound}, quotas.DIMENSIONS)
        fitting = []
        for one in sound:
            if not room.lacks(one.asked.project, one.asked.amount):
                room.take(one.asked.project, one.asked.amount)
                fitting.append(one)
    await members.ensure(session, {one.asked.project for one in fitting} - there.projects)
    return fitting


def _columns(rows: Sequence[tuple[Any, ...]], *names: str) -> dict[str, list[Any]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


async def _sound(session: AsyncSession, group: Sequence[_Asked]) -> list[_Ready]:
    """Return those of the group whose references and terms are there for their callers."""
    terms = {asked.id: describing.uses(asked.draft.kind, asked.draft.description) for asked in group}
    every = [use for uses in terms.values() for use in uses]
    # Nobody is told here what else a term might have been.
    meant = await describing.known(session, every, {use.asked for use in every})
    references = {asked.id: asked.references for asked in group}
    there: dict[Caller, resolving.Known] = {}
    for caller in {asked.caller for asked in group if references[asked.id]}:
        named = [(one.project, ref) for one in group if one.caller == caller for ref in references[one.id]]
        there[caller] = await resolving.known(session, named, caller.audience)
    sound = []
    for asked in group:
        uris, wrong = describing.resolved(meant, terms[asked.id])
        known = there.get(asked.caller) or resolving.Known()
        ids, absent = resolving.resolved(known, asked.project, references[asked.id])
        if wrong or absent:
            continue
        description = asked.draft.description
        versions = resolving.versions_named(known, references[asked.id])
        # Once: an embargo may end meanwhile, and both have to say the same.
        told = recorded.told(description)
        access = granting.access_of(told, owner_id=asked.owner_id, project=asked.project)
        # Whoever may not see what it makes is told so alone.
        if asked.caller.audience.includes(access["readers"]):
            record = recorded.json_of(description, ids, versions, uris, told)
            texts = [uris.get(use.pointer, use.text) for use in terms[asked.id]]
            named_by = naming.named_by(references[asked.id], ids)
            until = granting.embargo_of(told)
            sound.append(_Ready(asked, record, access["readers"], access["writers"], until, named_by, texts))
    return sound


# As one alone does: first the keys, then the names, both in one order for everybody.
_INSERT = f"""
    WITH asked AS MATERIALIZED (
        SELECT * FROM json_to_recordset(%(objects)s::json) AS asked (id uuid, kind text, schema_version smallint,
            project text, name text, owner_id uuid, readers text[], writers text[], record jsonb, key text, digest text)
    ), remembered AS (
        INSERT INTO remembered_request (principal_id, key, digest, object_id)
        SELECT owner_id, key, decode(digest, 'hex'), id FROM asked WHERE key IS NOT NULL ORDER BY owner_id, key
        RETURNING 1
    ), made AS (
        INSERT INTO object (id, kind, schema_version, project, name, owner_id, readers, writers, revision, record)
        SELECT id, kind, schema_version, project, name, owner_id, readers, writers, 1, record FROM asked
        WHERE (SELECT count(*) FROM remembered) >= 0 ORDER BY project, kind, name
        RETURNING id, record, created_at, updated_at
    ), expected AS (
        INSERT INTO file (id, object_id, path, size, sha256, media_type, state)
        SELECT id, object_id, path, size, sha256, media_type, '{FileState.EXPECTED.value}'
        FROM json_to_recordset(%(files)s::json) AS file (id uuid, object_id uuid, path text, size bigint, sha256 text,
            media_type text)
    ), named AS (
        INSERT INTO reference (subject_id, target_id, bond, pointer)
        SELECT subject_id, target_id, bond, pointer
        FROM json_to_recordset(%(named)s::json) AS named (subject_id uuid, target_id uuid, bond text, pointer text)
    ), described AS (
        INSERT INTO object_term (object_id, concept) SELECT DISTINCT told.object_id, concept.uri
        FROM json_to_recordset(%(terms)s::json) AS told (object_id uuid, uri text) JOIN concept USING (uri)
        RETURNING object_id, concept
    ), noted AS (
        INSERT INTO audit (object_id, principal_id, action, to_revision) SELECT id, owner_id, 'register', 1 FROM asked
        ORDER BY id
    ), queued AS (
        INSERT INTO queue (topic, subject, ready_at, trace)
        SELECT topic, subject, coalesce(ready_at, now()), trace FROM json_to_recordset(%(queue)s::json)
            AS queued (topic text, subject text, ready_at timestamptz, trace text)
        ORDER BY topic COLLATE "C", subject COLLATE "C" {queue.TOUCH}
    )
    SELECT id, record, created_at, updated_at, (
        SELECT jsonb_object_agg(concept.uri, concept.label) FROM described
        JOIN concept ON concept.uri = described.concept WHERE described.object_id = made.id
    ) FROM made
    """  # ruff: ignore[S608] - ours.


async def _insert(session: AsyncSession, sound: Sequence[_Ready]) -> dict[UUID, tuple[Any, ...]]:
    """Write new objects with all that belongs to them, and return by id what only the database knows of them."""
    noted = [entry for one in sound for entry in _noted(one)]
    told = {
        "objects": [_object(one) for one in sound],
        "files": [
            {"id": uuid7(), "object_id": one.asked.id, **file.model_dump()}
            for one in sound
            for file in one.asked.draft.files
        ],
        "named": [{"subject_id": one.asked.id, **named._asdict()} for one in sound for named in one.named],
        "terms": [{"object_id": one.asked.id, "uri": text} for one in sound for text in one.terms],
        # Several may be labels of one data set.
        "queue": list({(entry["topic"], entry["subject"]): entry for entry in noted}.values()),
    }
    raw = await driver_connection(session)
    with Call("database"):
        cursor = await raw.execute(_INSERT, {name: msgspec.json.encode(rows).decode() for name, rows in told.items()})
        rows = await cursor.fetchall()
    for topic in {entry["topic"] for entry in noted if "ready_at" not in entry}:
        queue.ring(session, topic)
    return {row[0]: row[1:] for row in rows}


def _object(one: _Ready) -> dict[str, Any]:
    asked, description = one.asked, one.asked.draft.description
    remember = asked.remember
    return {
        "id": asked.id,
        "kind": asked.draft.kind.name,
        "schema_version": asked.draft.kind.schema_version,
        "project": description.project,
        "name": description.name,
        "owner_id": asked.owner_id,
        "readers": one.readers,
        "writers": one.writers,
        "record": msgspec.Raw(one.record.encode()),
        "key": None if remember is None else remember.key,
        "digest": None if remember is None else remember.digest.hex(),
    }


def _noted(one: _Ready) -> list[dict[str, Any]]:
    """Return the entries of the queue that follow from a registration."""
    description = one.asked.draft.description
    wanted: list[tuple[str, UUID]] = [
        (changing.INDEX, subject) for subject in (one.asked.id, *naming.labelled(one.named))
    ]
    if next(description.outside(), None) is not None:
        wanted.append((changing.OUTSIDE, one.asked.id))
    noted: list[dict[str, Any]] = [
        {"topic": topic, "subject": str(subject), "trace": one.asked.trace} for topic, subject in wanted
    ]
    if one.embargo_until is not None:
        ready_at = max(one.embargo_until, now())
        noted.append(
            {"topic": granting.EMBARGO, "subject": str(one.asked.id), "trace": one.asked.trace, "ready_at": ready_at}
        )
    return noted


def _registered(one: _Ready, row: tuple[Any, ...], tickets: list[Upload]) -> Registered:
    record, created_at, updated_at, terms = row
    asked = one.asked
    files = [
        FileView(
            file.path, file.size, file.sha256, file.media_type, FileState.EXPECTED, None, None, None, None, None, None
        )
        for file in asked.draft.files
    ]
    entry = Entry(
        id=asked.id,
        kind=asked.draft.kind.name,
        schema_version=asked.draft.kind.schema_version,
        project=asked.project,
        owner_id=asked.owner_id,
        owner=asked.caller.name,
        readers=one.readers,
        writers=one.writers,
        revision=1,
        record=record,
        created_at=created_at,
        updated_at=updated_at,
        withdrawn_at=None,
        withdrawal_reason=None,
        version=None,
        files=sorted(files, key=lambda file: file.path.encode()),
        files_total=len(files),
        terms=terms or {},
        relabelled=0,
    )
    return Registered(entry, tickets)

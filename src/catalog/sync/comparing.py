"""Where the index differs from the database, found slice by slice in the order of ids.

A slice is some hundred ids of the database and all that the index has between them: neither side is ever read as a
whole. What looks different there is only a suspect, because both sides go on changing: it is looked at again by itself,
in an order that makes what is then found a proof.
"""

import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg

from catalog.database import Database, consistently
from catalog.errors import Unavailable
from catalog.objects import changing
from catalog.objects.references import Bond
from catalog.search.answers import Place
from catalog.search.holding import Held, Span
from catalog.search.index import Index
from catalog.sync import projecting

# A slice grows to this many objects while the engine answers quickly.
SLICE_MOST, SLICE_LEAST, SLICE_FIRST = 500, 10, 250
# Between these an answer is as large as it should be.
QUICK_SECONDS, SLOW_SECONDS = 0.25, 1.0
# Suspects are looked at in batches: few as they are, each comes with its whole document.
LOOKED_AT_ONCE = 50


class DatabaseAway(Unavailable):
    """The database does not answer."""


class Kind(StrEnum):
    """What is wrong with a document."""

    MISSING = "missing"  # An object has none.
    STALE = "stale"  # It tells of an earlier state of its object.
    ALTERED = "altered"  # It does not say what the indexer would have written.
    EXTRA = "extra"  # There is no such object.


@dataclass(frozen=True, slots=True)
class Difference:
    """A document that is wrong: `held` is its version in the index, `wanted` that of the database, None for none."""

    id: str
    kind: Kind
    held: int | None
    wanted: int | None
    # Why the indexer has given up on it, where it has.
    parked: str | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """What a slice came to; `after` is where the next one begins, None at the end."""

    after: UUID | None
    objects: int
    documents: int
    # Suspects whose documents are about to be written anyway.
    pending: int
    differences: Sequence[Difference]


@dataclass(slots=True)
class Stride:
    """How many objects a slice has: more while the engine answers quickly, fewer when it is slow or refuses."""

    objects: int = SLICE_FIRST

    def note(self, seconds: float) -> None:
        """Learn from an answer."""
        if seconds < QUICK_SECONDS:
            self.objects = min(self.objects * 2, SLICE_MOST)
        elif seconds > SLOW_SECONDS:
            self.shrink()

    def shrink(self) -> bool:
        """Take smaller slices; return whether that was possible."""
        smaller = max(self.objects // 4, SLICE_LEAST)
        shrunk, self.objects = smaller < self.objects, smaller
        return shrunk


@dataclass(frozen=True, slots=True)
class Standing:
    """An object as the database has it: the version its document should have, and what waits in the queue for it."""

    version: int
    revision: int
    withdrawn: bool
    pending: bool = False
    parked: str | None = None


# Version and digest of a document as it would be written now.
Wanted = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Sides:
    """The two sides; `prefix` is that of the catalog's own store. With `full` each document is projected anew."""

    database: Database
    index: Index
    prefix: str
    full: bool = False
    stride: Stride = field(default_factory=Stride)


_SLICE = "SELECT id FROM object WHERE id > %(after)s AND id <= %(upto)s ORDER BY id LIMIT %(most)s"
_LAST = "SELECT id FROM object ORDER BY id DESC LIMIT 1"
# The version is as `projecting.version_of` has it.
_STANDING = """
SELECT object.id, object.revision + object.relabelled + coalesce((
        SELECT sum(labels.revision) FROM reference JOIN object AS labels ON labels.id = reference.subject_id
        WHERE reference.target_id = object.id AND reference.bond = %(bond)s
    ), 0)::bigint,
    object.revision, object.withdrawn_at IS NOT NULL,
    queue.id IS NOT NULL AND queue.parked_at IS NULL, CASE WHEN queue.parked_at IS NOT NULL THEN queue.reason END
FROM object LEFT JOIN queue ON queue.topic = %(topic)s AND queue.subject = object.id::text
WHERE object.id = ANY(%(ids)s)
"""
_BEFORE_ALL, _AFTER_ALL = UUID(int=0), UUID(int=2**128 - 1)


async def differences(sides: Sides, after: UUID | None = None) -> AsyncIterator[Compared]:
    """Compare slice by slice, from an id on to the end; raises Unavailable when an engine is away."""
    while True:
        compared = await compare(sides, after)
        yield compared
        after = compared.after
        if after is None:
            return


async def compare(sides: Sides, after: UUID | None) -> Compared:
    """Compare the slice that comes after an id; raises Unavailable when an engine is away."""
    while True:
        try:
            return await _compare(sides, after)
        except DatabaseAway:
            raise
        except Unavailable:
            # Documents may be so large that the engine cannot give as many at once.
            if not sides.stride.shrink():
                raise


async def ids_after(database: Database, after: UUID | None, most: int, upto: UUID | None = None) -> list[UUID]:
    """Return the next ids of the database in their order; raises Unavailable when it is away."""
    asked = {"after": after or _BEFORE_ALL, "upto": upto or _AFTER_ALL, "most": most}
    return [object_id for (object_id,) in await _rows(database, _SLICE, asked)]


async def last_id(database: Database) -> UUID:
    """Return the last id of the database, or one before all; raises Unavailable when it is away."""
    return next((object_id for (object_id,) in await _rows(database, _LAST, {})), _BEFORE_ALL)


async def _compare(sides: Sides, after: UUID | None) -> Compared:
    most = sides.stride.objects
    ids = await ids_after(sides.database, after, most)
    expected = await standing(sides.database, [str(one) for one in ids])
    last = ids[-1] if len(ids) == most else None
    wanted = await _projected(sides, list(expected)) if sides.full else {}
    span = Span(None if after is None else str(after), None if last is None else str(last))
    count, suspects, met = 0, set[str](), set[str]()
    async for held in _held(sides, span, first=after is None):
        count += 1
        met.add(held.id)
        if _fault(held, expected.get(held.id), expected.get(held.id), wanted.get(held.id)):
            suspects.add(held.id)
    suspects |= {one for one, standing in expected.items() if one not in met and not standing.withdrawn}
    pending, found = 0, list[Difference]()
    for some in batches(sorted(suspects)):
        waiting, differ = await look_again(sides, some)
        pending += waiting
        found += differ
    return Compared(last, len(expected), count, pending, found)


def batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield ids in batches whose documents may be read at once."""
    for start in range(0, len(ids), LOOKED_AT_ONCE):
        yield ids[start : start + LOOKED_AT_ONCE]


async def _held(sides: Sides, span: Span, *, first: bool) -> AsyncIterator[Held]:
    spans: list[Span | None] = [span, None] if first else [span]
    for one in spans:
        place: Place | None = None
        while True:
            started = time.monotonic()
            # One more than there should be: else a slice without extra documents would be asked for twice.
            page, place = await sides.index.held_in(one, place, most=sides.stride.objects + 1)
            sides.stride.note(time.monotonic() - started)
            for held in page:
                yield held
            if place is None:
                break


async def look_again(sides: Sides, ids: Sequence[str]) -> tuple[int, list[Difference]]:
    """Return how many of these are about to be written, and which differ.

    The database is asked before the index and after it. Whatever was written and had left the queue before, the index
    must have; what the index has beyond, the database must have after.
    """
    before = await standing(sides.database, ids)
    wanted = await _projected(sides, ids) if sides.full else {}
    documents = await sides.index.held(ids)
    after = await standing(sides.database, ids)
    pending, found = 0, []
    for one in ids:
        earlier, later, held = before.get(one), after.get(one), documents.get(one)
        if any(standing is not None and standing.pending for standing in (earlier, later)):
            pending += 1
        elif (kind := _kind(held, earlier, later, wanted.get(one))) is not None:
            version = None if later is None else later.version
            parked = None if later is None else later.parked
            found.append(Difference(one, kind, None if held is None else held.version, version, parked))
    return pending, found


def _kind(held: Held | None, before: Standing | None, after: Standing | None, wanted: Wanted | None) -> Kind | None:
    if held is not None:
        return _fault(held, before, after, wanted)
    if before is None or after is None or before.withdrawn or after.withdrawn:
        # The tombstone of a withdrawn object has served its time.
        return None
    return Kind.MISSING


def _fault(held: Held, before: Standing | None, after: Standing | None, wanted: Wanted | None) -> Kind | None:
    if after is None:
        return Kind.EXTRA if before is None else None
    if before is not None and held.version < before.version:
        return Kind.STALE
    if held.version > after.version or not held.intact:
        return Kind.ALTERED
    if held.version == after.version:
        otherwise = wanted is not None and wanted[0] == held.version and wanted[1] != held.digest
        return Kind.ALTERED if otherwise or held.document.get("revision") != after.revision else None
    return None


async def standing(database: Database, ids: Sequence[str]) -> dict[str, Standing]:
    """Return those of the ids that the database has."""
    asked = {"ids": list(_ours(ids)), "bond": Bond.ANNOTATES, "topic": changing.INDEX}
    return {str(row[0]): Standing(*row[1:]) for row in await _rows(database, _STANDING, asked)}


async def _rows(database: Database, statement: str, asked: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    try:
        return await database.rows(statement, asked)
    except psycopg.OperationalError as fault:
        raise DatabaseAway from fault


async def _projected(sides: Sides, ids: Collection[str]) -> Mapping[str, Wanted]:
    """Return version and digest of each document as it would be written now."""
    async with sides.database.transaction() as session:
        await consistently(session)
        objects = await projecting.gathered(session, list(_ours(ids)), prefix=sides.prefix)
    made = projecting.projected(objects)
    return {str(one.id): (one.revision, one.document["digest"]) for one in made.documents}


def _ours(ids: Collection[str]) -> Iterator[UUID]:
    """Yield those that can be ids of objects: whoever writes by hand may take any."""
    for one in ids:
        try:
            known = UUID(one)
        except ValueError:
            continue
        if str(known) == one:
            yield known

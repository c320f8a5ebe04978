"""Where a store differs from the database, found page by page in the store's own order.

What was listed is kept as 16 bytes a key in a temporary table, which goes with its connection: stores list in orders of
their own, so that nothing can be merged, and a killed walk leaves nothing behind. A listing proves nothing. What looks
different is only a suspect: the database is asked, then the store for exactly that key, then the database again.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg

from catalog.database import Database
from catalog.errors import Unavailable
from catalog.objects import uploads
from catalog.objects.discovered import Layout
from catalog.objects.relocated import MoveState
from catalog.queue import LEASE
from catalog.storage import walking
from catalog.storage.keys import PROBES
from catalog.storage.listings import Listed
from catalog.storage.s3 import Store
from catalog.sync.comparing import DatabaseAway

# Connections to one store at a time.
LOOKS_AT_ONCE = 16
# Rows of the database that one statement reads.
KNOWN_AT_ONCE = 2_000


class Wrong(StrEnum):
    """What is wrong with a key."""

    LOST = "lost"  # Rows tell of bytes, and none are there.
    CHANGED = "changed"  # Other bytes are there than rows tell of.
    UNKNOWN = "unknown"  # No row tells of it.


@dataclass(frozen=True, slots=True)
class WrongKey:
    """A key that is not as rows have it: sizes as they tell it and as it lies there, None for none."""

    key: str
    kind: Wrong
    object_id: UUID | None
    path: str | None
    recorded: int | None
    lying: int | None
    # Why the indexer has given up looking at it, where it has.
    parked: str | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One store, by the name that locations have for it; with how its keys are laid out."""

    backend: str
    store: Store
    layout: Layout

    def subjects(self, keys: Collection[str]) -> list[str]:
        """Return what the queue calls these keys."""
        return [uploads.subject_of(self.backend, self.store.bucket, key) for key in keys]


@dataclass(frozen=True, slots=True)
class Walked:
    """What a part of the walk came to: keys that were listed, rows that were asked after, and what is wrong."""

    keys: int = 0
    recorded: int = 0
    # About to be looked at.
    pending: int = 0
    # Bytes of tickets that are to be looked for later, and are there.
    waiting: Sequence[str] = ()
    differences: Sequence[WrongKey] = ()


@dataclass(frozen=True, slots=True)
class _Bytes:
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class _Row:
    """What rows say of a key: `size` of what lies there, None where nothing is said to."""

    # None: nobody's. False: somebody's, and nothing to be compared with.
    compared: bool | None
    size: int | None = None
    etag: str | None = None
    object_id: UUID | None = None
    path: str | None = None
    # In the queue, to be looked at at once, or later.
    at_once: bool = False
    later: bool = False
    parked: str | None = None

    def fault(self, lying: _Bytes | None) -> Wrong | None:
        """Return what is wrong where this lies under the key."""
        if self.compared is None:
            return None if lying is None else Wrong.UNKNOWN
        if not self.compared:
            return None
        if lying is None:
            return None if self.size is None else Wrong.LOST
        same = self.size == lying.size and (not self.etag or not lying.etag or self.etag == lying.etag)
        return None if same else Wrong.CHANGED


# A key that is being moved is looked at by whoever moves it; one that versions alone name tells no more than that.
_ROWS = f"""
SELECT asked.key,
    CASE WHEN found.id IS NOT NULL OR upload.id IS NOT NULL THEN NOT EXISTS (
            SELECT FROM relocated_file AS moved
            WHERE moved.key = upload.key AND moved.bucket = upload.bucket AND moved.state = '{MoveState.SWITCHED}')
        WHEN EXISTS (
            SELECT FROM version_file AS frozen WHERE frozen.backend = %(backend)s AND frozen.bucket = %(bucket)s
                AND frozen.key = asked.key
        ) OR EXISTS (
            SELECT FROM relocated_file AS moved JOIN relocation ON relocation.id = moved.relocation_id
            WHERE relocation.target = %(backend)s AND relocation.target_bucket = %(bucket)s
                AND moved.target_key = asked.key
        ) THEN false
    END,
    CASE WHEN upload.id IS NULL THEN found.size ELSE upload.lying_size END,
    CASE WHEN upload.id IS NULL THEN found.etag
        ELSE coalesce(upload.lying_etag, CASE WHEN file.state = 'available' THEN file.etag END) END,
    upload.object_id, upload.path,
    coalesce(waits.at_once, false), coalesce(waits.later, false), waits.parked
FROM unnest(%(keys)s::text[]) AS asked (key)
LEFT JOIN upload ON upload.backend = %(backend)s AND upload.bucket = %(bucket)s AND upload.key = asked.key
LEFT JOIN file ON file.object_id = upload.object_id AND file.path = upload.path
    AND file.backend = upload.backend AND file.bucket = upload.bucket AND file.key = upload.key
LEFT JOIN discovered_file AS found
    ON found.backend = %(backend)s AND found.bucket = %(bucket)s AND found.key = asked.key
LEFT JOIN LATERAL (
    SELECT bool_or(parked_at IS NULL AND ready_at <= now() + %(lease)s) AS at_once,
        bool_or(parked_at IS NULL AND ready_at > now() + %(lease)s) AS later,
        min(reason) FILTER (WHERE parked_at IS NOT NULL) AS parked
    FROM queue WHERE queue.topic = ANY (%(topics)s)
        AND queue.subject = %(backend)s || '/' || %(bucket)s || '/' || asked.key
) AS waits ON true
"""  # ruff: ignore[S608] - ours.
_MET = "CREATE TEMPORARY TABLE met (key_hash uuid PRIMARY KEY)"
_MEET = """
INSERT INTO met SELECT md5(key)::uuid FROM unnest(%(keys)s::text[]) AS key ON CONFLICT DO NOTHING RETURNING 1
"""
# What lies there by what rows say, in the order of an index that there is, and whether it was listed.
_KNOWN = """
SELECT key, EXISTS (SELECT FROM met WHERE key_hash = md5(key)::uuid) FROM {table}
WHERE backend = %(backend)s AND bucket = %(bucket)s AND key > %(after)s {lying} ORDER BY key LIMIT %(most)s
"""
_KNOWN_BY = (
    _KNOWN.format(table="upload", lying="AND lying_size IS NOT NULL"),
    _KNOWN.format(table="discovered_file", lying=""),
)


async def differences(database: Database, side: Side) -> AsyncIterator[Walked]:
    """Walk through all that a store lists, then through all that rows tell of; raises Unavailable."""
    try:
        async with database.alone() as kept:
            await kept.execute(_MET)
            async with aclosing(walking.ahead(side.store.pages(side.layout.everything))) as pages:
                async for page in pages:
                    fresh = await kept.execute(_MEET, {"keys": [one.key for one in page.items]})
                    if page.items and not fresh.rowcount and page.after is not None:
                        raise Unavailable("The store lists the same keys again and again.")
                    yield await _listed(database, side, page.items)
            await kept.execute("ANALYZE met")
            for known in _KNOWN_BY:
                async for compared in _unlisted(database, side, kept, known):
                    yield compared
    except psycopg.OperationalError as fault:
        raise DatabaseAway from fault


async def _listed(database: Database, side: Side, items: Sequence[Listed]) -> Walked:
    lying = {one.key: _Bytes(one.size, one.etag) for one in items if not _is_the_applications(side, one.key)}
    rows = await _rows(database, side, lying)
    # Of those that nobody knows there may be millions; where the database goes on knowing none, the listing is enough.
    kinds = {key: rows[key].fault(one) for key, one in lying.items()}
    unknown = {key: lying[key] for key, kind in kinds.items() if kind is Wrong.UNKNOWN}
    suspects = [key for key, kind in kinds.items() if kind is not None and kind is not Wrong.UNKNOWN]
    return await _judged(database, side, rows, suspects, unknown, keys=len(items))


async def _unlisted(
    database: Database, side: Side, kept: psycopg.AsyncConnection[Any], statement: str
) -> AsyncIterator[Walked]:
    after = ""
    while True:
        asked = {"backend": side.backend, "bucket": side.store.bucket, "after": after, "most": KNOWN_AT_ONCE}
        known = await (await kept.execute(statement, asked)).fetchall()
        if not known:
            return
        after = known[-1][0]
        suspects = [key for key, met in known if not met and not _is_the_applications(side, key)]
        rows = await _rows(database, side, suspects)
        yield await _judged(database, side, rows, suspects, {}, recorded=len(known))


def _is_the_applications(side: Side, key: str) -> bool:
    # The bytes of a probe are gone before anybody could look at them.
    return side.layout.is_the_applications(key) or f"/{PROBES}/" in f"/{key}"


async def _judged(
    database: Database,
    side: Side,
    before: Mapping[str, _Row],
    suspects: Sequence[str],
    listed: Mapping[str, _Bytes],
    **counts: int,
) -> Walked:
    """Look at each suspect in the store; take of the others what was listed; ask the database once more."""
    lying: dict[str, _Bytes | None] = {**await _look(side.store, suspects), **listed}
    after = await _rows(database, side, lying)
    pending, waiting, found = 0, list[str](), list[WrongKey]()
    for key, there in lying.items():
        row, kind = after[key], after[key].fault(there)
        if kind is None or before[key].fault(there) is None:
            continue
        if row.at_once or before[key].at_once:
            pending += 1
        elif row.later and row.size is None:
            waiting.append(key)
        else:
            size = None if there is None else there.size
            found.append(WrongKey(key, kind, row.object_id, row.path, row.size, size, row.parked))
    return Walked(**counts, pending=pending, waiting=waiting, differences=found)


async def _look(store: Store, keys: Sequence[str]) -> dict[str, _Bytes | None]:
    gate = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def look(key: str) -> tuple[str, _Bytes | None]:
        async with gate:
            found = await store.stat(key)
        return key, None if found is None else _Bytes(found.size, found.etag)

    return dict(await asyncio.gather(*map(look, keys)))


async def _rows(database: Database, side: Side, keys: Collection[str]) -> dict[str, _Row]:
    if not keys:
        return {}
    asked = {
        "backend": side.backend,
        "bucket": side.store.bucket,
        "keys": list(keys),
        "lease": LEASE,
        "topics": [uploads.KEY, uploads.READ],
    }
    return {row[0]: _Row(*row[1:]) for row in await database.rows(_ROWS, asked)}

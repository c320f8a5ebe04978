"""Which objects fit which saved searches, and which of these their owners may see.

An object alerts once for each search: when it is registered or changed after the question was asked, and its owner may
see it. What is hidden from an owner leaves no trace that the owner could find: it is in no feed and no count, and when
it comes to be seen later, it comes with that moment.

Rows are kept while they wait, while something has to be sent, and as many as a feed may show; of the others there is
but a number for each search, so that they are told no second time.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog import queue
from catalog.access.audience import Audience
from catalog.alerts import topics
from catalog.alerts.saved import LIVES
from catalog.alerts.tables import Alert, Channel, Rhythm, SavedSearch
from catalog.objects.tables import CatalogObject

# More at a time would hold the rows for long; the rest is looked at next.
LOOKED_AT_ONCE = 20_000
FEED_ENTRIES_MAX = 50
# Of what a feed has, some may be hidden again: so many rows fill it all the same, mostly.
FEED_ROWS_KEPT = 4 * FEED_ENTRIES_MAX
# What could not be sent for so long is in the feed alone.
UNSENT_KEPT = timedelta(days=30)
FOLDED_AT_ONCE = 10_000
# Of an advisory lock: whoever notes what fits shares it, whoever folds has it alone.
_FOLDING = 0x616C6572

_alerts = SQLModel.metadata.tables[Alert.__tablename__]
_searches = SQLModel.metadata.tables[SavedSearch.__tablename__]
_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_queue = SQLModel.metadata.tables["queue"]

_NOTE = sa.text(
    """
    INSERT INTO saved_alert (search_id, object_id)
    SELECT fitting.search_id, fitting.object_id
    FROM unnest(CAST(:searches AS uuid[]), CAST(:objects AS uuid[])) AS fitting (search_id, object_id)
    JOIN saved_search ON saved_search.id = fitting.search_id JOIN object ON object.id = fitting.object_id
    LEFT JOIN (
        SELECT object_id, unnest(searches) AS number FROM already_told WHERE object_id = ANY (CAST(:objects AS uuid[]))
    ) AS told ON told.object_id = fitting.object_id AND told.number = saved_search.number
    WHERE object.withdrawn_at IS NULL AND object.updated_at >= saved_search.asked_at AND told.number IS NULL
    ORDER BY fitting.search_id, fitting.object_id
    ON CONFLICT (search_id, object_id) DO UPDATE SET waiting = true, matched_at = clock_timestamp()
    WHERE saved_alert.seen_at IS NULL
    RETURNING search_id
    """
)
_WAITING = sa.text(
    f"""
    SELECT saved_alert.search_id, saved_alert.object_id, saved_alert.matched_at, saved_search.owner_id,
        saved_search.channel, saved_search.rhythm, object.readers,
        {LIVES} AND object.withdrawn_at IS NULL AS live
    FROM saved_alert JOIN saved_search ON saved_search.id = saved_alert.search_id
    JOIN object ON object.id = saved_alert.object_id LEFT JOIN token ON token.id = saved_search.made_with
    WHERE saved_alert.waiting AND saved_alert.search_id = ANY (CAST(:searches AS uuid[])) LIMIT :most
    """  # ruff: ignore[S608] - a constant of ours.
)
# What was noted again meanwhile is looked at again: it may be another's to see by now.
_SEEN = sa.text(
    """
    UPDATE saved_alert SET waiting = false, seen_at = now(), sent_at = CASE WHEN looked.feed THEN now() END
    FROM unnest(CAST(:searches AS uuid[]), CAST(:objects AS uuid[]), CAST(:matched AS timestamptz[]),
        CAST(:feed AS bool[])) AS looked (search_id, object_id, matched_at, feed)
    WHERE saved_alert.search_id = looked.search_id AND saved_alert.object_id = looked.object_id
        AND saved_alert.matched_at = looked.matched_at
    """
)
# Not kept: the object is noted anew when it is changed.
_HIDDEN = sa.text(
    """
    DELETE FROM saved_alert
    USING unnest(CAST(:searches AS uuid[]), CAST(:objects AS uuid[]), CAST(:matched AS timestamptz[]))
        AS looked (search_id, object_id, matched_at)
    WHERE saved_alert.search_id = looked.search_id AND saved_alert.object_id = looked.object_id
        AND saved_alert.matched_at = looked.matched_at
    """
)
_TOLD = sa.text("UPDATE saved_search SET told_at = now() WHERE id = ANY (CAST(:searches AS uuid[]))")


_FOLD = sa.text(
    """
    WITH old AS (
        SELECT alert.search_id, alert.object_id, saved_search.number
        FROM saved_search
        CROSS JOIN LATERAL (
            SELECT seen_at FROM saved_alert WHERE search_id = saved_search.id AND seen_at IS NOT NULL
            ORDER BY seen_at DESC OFFSET :kept LIMIT 1
        ) AS edge
        JOIN saved_alert AS alert ON alert.search_id = saved_search.id AND alert.seen_at <= edge.seen_at
        WHERE alert.sent_at IS NOT NULL OR alert.seen_at < now() - CAST(:unsent AS interval)
        LIMIT :most
    ), removed AS (
        DELETE FROM saved_alert USING old
        WHERE saved_alert.search_id = old.search_id AND saved_alert.object_id = old.object_id
        RETURNING old.object_id, old.number
    ), folded AS (
        INSERT INTO already_told (object_id, searches)
        SELECT object_id, array_agg(number ORDER BY number) FROM removed
        JOIN object ON object.id = removed.object_id WHERE object.withdrawn_at IS NULL
        GROUP BY object_id ORDER BY object_id
        ON CONFLICT (object_id) DO UPDATE SET searches = (
            SELECT array_agg(number ORDER BY number) FROM saved_search
            WHERE number = ANY (already_told.searches || excluded.searches)
        )
    )
    SELECT count(*) FROM removed
    """
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An object that fits a search; `live` unless it was withdrawn, or the token ended that it was saved with."""

    search_id: UUID
    object_id: UUID
    matched_at: datetime
    owner_id: UUID
    channel: Channel
    rhythm: Rhythm
    readers: Sequence[str]
    live: bool


@dataclass(frozen=True, slots=True)
class Told:
    """An object as an owner is told of it; `seen_at` is when it came into the feed."""

    id: UUID
    kind: str
    project: str
    title: str
    description: str
    revision: int
    created_at: datetime
    updated_at: datetime
    seen_at: datetime


async def all_kept(session: AsyncSession) -> bool:
    """Whether the engine keeps the query of every search that was saved by now."""
    due = sa.and_(_queue.c.topic == topics.SAVED, _queue.c.parked_at.is_(None))
    return (await session.execute(sa.select(_queue.c.id).where(due).limit(1))).first() is None


async def note(session: AsyncSession, fitting: Sequence[tuple[UUID, UUID]]) -> None:
    """Take note which searches which objects fit, and have it looked at who may see them."""
    if not fitting:
        return
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_FOLDING)))
    pairs = {"searches": [search_id for search_id, _ in fitting], "objects": [object_id for _, object_id in fitting]}
    found = await session.execute(_NOTE, pairs)
    await queue.put(session, topics.ALERT, {str(row.search_id) for row in found})


async def waiting(session: AsyncSession, searches: Collection[UUID]) -> list[Waiting]:
    """Return what fits these searches and was not looked at, `LOOKED_AT_ONCE` at most."""
    rows = await session.execute(_WAITING, {"searches": list(searches), "most": LOOKED_AT_ONCE})
    return [
        Waiting(
            row.search_id,
            row.object_id,
            row.matched_at,
            row.owner_id,
            Channel(row.channel),
            Rhythm(row.rhythm),
            row.readers,
            row.live,
        )
        for row in rows
    ]


async def looked(
    session: AsyncSession, found: Sequence[Waiting], audiences: Mapping[UUID, Audience]
) -> dict[Rhythm, set[UUID]]:
    """Keep what the owners may see, whose audiences these are by id, and nothing else; who has none sees nothing.

    Return the searches of which something has to be sent.
    """
    nobody = Audience(frozenset())
    seen = [one.live and audiences.get(one.owner_id, nobody).includes(one.readers) for one in found]
    shown = [one for one, is_seen in zip(found, seen, strict=True) if is_seen]
    hidden = [one for one, is_seen in zip(found, seen, strict=True) if not is_seen]
    await session.execute(_SEEN, _pairs(shown) | {"feed": [one.channel is Channel.FEED for one in shown]})
    await session.execute(_HIDDEN, _pairs(hidden))
    fed = {one.search_id for one in shown if one.channel is Channel.FEED}
    await session.execute(_TOLD, {"searches": sorted(fed)})
    return {
        rhythm: {one.search_id for one in shown if one.rhythm is rhythm and one.channel is not Channel.FEED}
        for rhythm in Rhythm
    }


def _pairs(several: Sequence[Waiting]) -> dict[str, list[Any]]:
    return {
        "searches": [one.search_id for one in several],
        "objects": [one.object_id for one in several],
        "matched": [one.matched_at for one in several],
    }


async def fold(session: AsyncSession) -> int:
    """Fold what was told and no feed shows any more, some at a time; returns how many rows that were.

    Each object alerts once for each search all the same.
    """
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(_FOLDING)))
    done = await session.execute(_FOLD, {"kept": FEED_ROWS_KEPT, "unsent": UNSENT_KEPT, "most": FOLDED_AT_ONCE})
    return int(done.scalar_one())


async def fed(session: AsyncSession, search_id: UUID, audience: Audience) -> list[Told]:
    """Return what the feed of a search shows this audience now, newest first."""
    rows = await session.execute(
        _told()
        .where(_alerts.c.search_id == search_id, _alerts.c.seen_at.is_not(None))
        .where(_objects.c.withdrawn_at.is_(None), audience.sql_condition(_objects.c.readers))
        .order_by(_alerts.c.seen_at.desc(), _alerts.c.object_id.desc())
        .limit(FEED_ENTRIES_MAX)
    )
    return [Told(**row._mapping) for row in rows]  # ruff: ignore[SLF001] - the documented name for it.


async def told(session: AsyncSession, which: sa.ColumnElement[bool], audience: Audience) -> list[Told]:
    """Return what of these alerts the audience may see now, in the order in which it came."""
    rows = await session.execute(
        _told()
        .where(which, _objects.c.withdrawn_at.is_(None), audience.sql_condition(_objects.c.readers))
        .order_by(_alerts.c.seen_at, _alerts.c.object_id)
    )
    return [Told(**row._mapping) for row in rows]  # ruff: ignore[SLF001] - the documented name for it.


def _told() -> sa.Select[Any]:
    record = _objects.c.record
    return sa.select(
        _objects.c.id,
        _objects.c.kind,
        _objects.c.project,
        record["title"].astext.label("title"),
        sa.func.coalesce(record["description"].astext, "").label("description"),
        _objects.c.revision,
        _objects.c.created_at,
        _objects.c.updated_at,
        _alerts.c.seen_at,
    ).join(_alerts, _alerts.c.object_id == _objects.c.id)

"""Scans: a walk over all that a backend holds, page by page, that a kill interrupts and does not undo.

A page's rows and the place where the next one begins are written together. What no object claims becomes, or stays, a
discovered file; where rows of ours say otherwise than the listing, the key is looked at, because a listing proves
nothing: least of all that something is gone. Runs in the caller's transaction.
"""

import mimetypes
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.access import audit
from catalog.access.callers import Caller
from catalog.inventory.tables import Cause, Scan, ScanState
from catalog.objects import discovered, uploads
from catalog.objects.discovered import Layout, Lying
from catalog.storage.listings import Page

# What is queued: go on with a scan.
SCAN = "scan"

_scans = SQLModel.metadata.tables[str(Scan.__tablename__)]

# However little a store holds, so many keys may be gone without a question, but not all that it held.
LOST_ALWAYS = 10

_OPAQUE = "application/octet-stream"


def may_be_lost(recorded: int, share: float) -> int:
    """Return how many keys of so many that rows tell of may be found to be gone at once without a question.

    An empty listing, a listing cut short, other rights, another bucket: each is more likely than so great a loss.
    """
    return min(max(LOST_ALWAYS, int(recorded * share)), max(recorded - 1, 1))


async def begin(session: AsyncSession, backend: str, *, scope: str | None, caller: Caller) -> Scan:
    """Begin to scan a backend, written as locations name it, and return the scan; the one that runs, if one does."""
    scan, is_new = await _begin(session, backend, cause=Cause.ASKED, asked_by=caller.must_be_known())
    if is_new:
        await audit.note(session, caller.actor, "scan backend", f"backend:{backend}", scope=scope)
    return scan


async def begin_unasked(session: AsyncSession, backend: str, cause: Cause) -> bool:
    """Begin to scan a backend that nobody asked to be scanned; return whether none ran."""
    return (await _begin(session, backend, cause=cause, asked_by=None))[1]


async def _begin(session: AsyncSession, backend: str, *, cause: Cause, asked_by: UUID | None) -> tuple[Scan, bool]:
    scan_id = uuid7()
    made = await session.execute(
        insert(_scans)
        .values(id=scan_id, backend=backend, state=ScanState.RUNNING, cause=cause, asked_by=asked_by)
        # In words: once the statement is prepared for any value, no value leads to the index of those that run.
        .on_conflict_do_nothing(index_elements=["backend"], index_where=sa.text("state = 'running'"))
        .returning(_scans.c.id)
    )
    is_new = made.one_or_none() is not None
    if is_new:
        await queue.put(session, SCAN, [str(scan_id)])
    running = sa.select(_scans).where(_scans.c.backend == backend, _scans.c.state == ScanState.RUNNING)
    return _scan((await session.execute(running)).one()), is_new


async def find(session: AsyncSession, scan_id: UUID) -> Scan | None:
    """Return a scan."""
    row = (await session.execute(sa.select(_scans).where(_scans.c.id == scan_id))).one_or_none()
    return None if row is None else _scan(row)


async def of(session: AsyncSession, backend: str, *, most: int) -> list[Scan]:
    """Return the last scans of a backend, the newest first."""
    rows = await session.execute(
        sa.select(_scans).where(_scans.c.backend == backend).order_by(_scans.c.id.desc()).limit(most)
    )
    return [_scan(row) for row in rows]


def _scan(row: Any) -> Scan:
    return Scan(**row._mapping)  # ruff: ignore[SLF001] - the documented name for it.


_SEEN = sa.text(
    """
    INSERT INTO scanned_key (scan_id, key_hash)
    SELECT :scan, CAST(md5(key) AS uuid) FROM unnest(CAST(:keys AS text[])) AS key
    ON CONFLICT DO NOTHING RETURNING 1
    """
).bindparams(sa.bindparam("scan", type_=sa.Uuid), sa.bindparam("keys", type_=ARRAY(sa.Text)))

# Which of the listed keys are ours, and of those which lie there otherwise than the rows say.
_OURS = sa.text(
    """
    SELECT listed.key, upload.id IS NOT NULL AND (
        upload.lying_size IS DISTINCT FROM listed.size OR (file.etag <> '' AND file.etag <> listed.etag)
    ) AS otherwise
    FROM unnest(CAST(:keys AS text[]), CAST(:sizes AS bigint[]), CAST(:etags AS text[])) AS listed (key, size, etag)
    LEFT JOIN upload ON upload.backend = :backend AND upload.bucket = :bucket AND upload.key = listed.key
    LEFT JOIN file ON file.object_id = upload.object_id AND file.path = upload.path
        AND file.backend = upload.backend AND file.bucket = upload.bucket AND file.key = upload.key
    WHERE upload.id IS NOT NULL OR EXISTS (
        SELECT FROM version_file AS frozen
        WHERE frozen.backend = :backend AND frozen.bucket = :bucket AND frozen.key = listed.key
    ) OR EXISTS (
        SELECT FROM relocated_file AS moved JOIN relocation ON relocation.id = moved.relocation_id
        WHERE relocation.target = :backend AND relocation.target_bucket = :bucket AND moved.target_key = listed.key
    )
    """
).bindparams(
    sa.bindparam("keys", type_=ARRAY(sa.Text)),
    sa.bindparam("sizes", type_=ARRAY(sa.BigInteger)),
    sa.bindparam("etags", type_=ARRAY(sa.Text)),
)


async def note_page(session: AsyncSession, scan: Scan, bucket: str, layout: Layout, page: Page) -> int:
    """Keep what a page of the listing told, and where the next one begins; return how many keys no page had before."""
    keys = [one.key for one in page.items]
    fresh = len((await session.execute(_SEEN, {"scan": scan.id, "keys": keys})).all())
    rows = await session.execute(
        _OURS,
        {
            "backend": scan.backend,
            "bucket": bucket,
            "keys": keys,
            "sizes": [one.size for one in page.items],
            "etags": [one.etag for one in page.items],
        },
    )
    otherwise = {row.key: row.otherwise for row in rows}
    looks = [uploads.subject_of(scan.backend, bucket, key) for key, differs in otherwise.items() if differs]
    await queue.put(session, uploads.KEY, looks)
    lying = {
        one.key: Lying(one.size, one.etag, mimetypes.guess_type(one.key)[0] or _OPAQUE, None, one.modified_at)
        for one in page.items
        if one.key not in otherwise
    }
    added, changed = await discovered.note_listed(session, scan.backend, bucket, lying, layout=layout)
    await _count(
        session,
        scan,
        position=page.after,
        files=len(keys),
        bytes=sum(one.size for one in page.items),
        added=added,
        changed=changed,
        looks=len(looks),
    )
    return fresh


async def _count(session: AsyncSession, scan: Scan, *, position: str | None, **more: int) -> None:
    grown = {name: _scans.c[name] + number for name, number in more.items()}
    await session.execute(_scans.update().where(_scans.c.id == scan.id).values(position=position, reason=None, **grown))


# What rows say lies there, has been there since before the scan began, and was not listed.
_GONE = sa.text(
    f"""
    INSERT INTO queue (topic, subject)
    SELECT :topic, :backend || '/' || known.bucket || '/' || known.key
    FROM (
        SELECT bucket, key FROM discovered_file WHERE backend = :backend AND found_at < :began
        UNION
        SELECT bucket, key FROM upload WHERE backend = :backend AND lying_size IS NOT NULL AND seen_at < :began
    ) AS known
    WHERE known.bucket = :bucket AND NOT EXISTS (
        SELECT FROM scanned_key WHERE scan_id = :scan AND key_hash = CAST(md5(known.key) AS uuid)
    )
    ORDER BY known.bucket COLLATE "C", known.key COLLATE "C"
    {queue.TOUCH} RETURNING 1
    """  # ruff: ignore[S608] - ours.
).bindparams(sa.bindparam("scan", type_=sa.Uuid))


# Bytes of files that have been there since before the scan began, and how many of them were not listed.
_LOST = sa.text(
    """
    SELECT count(*) AS recorded, count(*) FILTER (WHERE NOT EXISTS (
        SELECT FROM scanned_key WHERE scan_id = :scan AND key_hash = CAST(md5(upload.key) AS uuid)
    )) AS lost
    FROM upload
    WHERE backend = :backend AND bucket = :bucket AND state = 'complete' AND lying_size IS NOT NULL AND seen_at < :began
    """
).bindparams(sa.bindparam("scan", type_=sa.Uuid))


async def end(session: AsyncSession, scan: Scan, bucket: str, *, share: float) -> str | None:
    """Have every key looked at that should have been listed and was not, and call the scan done.

    Where more of our files were not listed than may be lost by that share, none is: the scan has failed. Returns why.
    """
    about = {"scan": scan.id, "backend": scan.backend, "bucket": bucket, "began": scan.started_at}
    found = (await session.execute(_LOST, about)).one()
    if found.lost > may_be_lost(found.recorded, share):
        reason = (
            f"Of {found.recorded:,} files {found.lost:,} were not listed: more than may be lost without a question. Is"
            " it the right bucket, and may its keys list all of it? Whoever runs the catalog sees which with"
            f" `catalog diff --backend {scan.backend}`, and has them looked at with `catalog reconcile`."
        )
        await fail(session, scan, reason)
        return reason
    told = {"topic": uploads.KEY, **about}
    gone = len((await session.execute(_GONE, told)).all())
    queue.ring(session, uploads.KEY)
    await _end(session, scan, ScanState.DONE, looks=_scans.c.looks + gone, reason=None)
    return None


async def fail(session: AsyncSession, scan: Scan, reason: str) -> None:
    """Give a scan up, with the reason; nothing that was not listed counts as gone."""
    await _end(session, scan, ScanState.FAILED, reason=reason)


async def wait(session: AsyncSession, scan: Scan, reason: str) -> None:
    """Tell why a scan does not go on just now."""
    await session.execute(_scans.update().where(_scans.c.id == scan.id).values(reason=reason))


async def _end(session: AsyncSession, scan: Scan, state: ScanState, **values: Any) -> None:
    values |= {"state": state, "ended_at": sa.func.now()}
    await session.execute(_scans.update().where(_scans.c.id == scan.id).values(**values))
    await session.execute(sa.text("DELETE FROM scanned_key WHERE scan_id = :scan"), {"scan": scan.id})

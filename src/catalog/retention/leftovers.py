"""Bytes that nobody names any more: found, and deleted after a grace period, by exact key and store version.

What may be deleted has a row of its own here, made from an upload of ours: no listing of a store and no prefix ever
leads to a key. Runs in the caller's transaction; the deleting itself is the indexer's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog import queue
from catalog.objects import changing
from catalog.objects.tables import FileState, FrozenState, UploadState
from catalog.retention import clock, facts
from catalog.retention.clock import Moment
from catalog.retention.deciding import Policy
from catalog.retention.tables import Leftover
from catalog.storage import keys

# What is queued: delete the bytes of this row.
LEFTOVER = "leftover"
# So many are found, and put into the queue, in one cycle.
FOUND_AT_ONCE = 1_000

_leftovers = SQLModel.metadata.tables[str(Leftover.__tablename__)]
_uploads = SQLModel.metadata.tables["upload"]
_files = SQLModel.metadata.tables["file"]


class Why(StrEnum):
    """Why bytes are to go."""

    # A newer upload took over, or nothing came in time.
    UNUSED = "unused"
    # Their object was removed by a rule.
    REMOVED = "removed"
    # Their object was withdrawn, and an admin wants the bytes gone.
    PURGED = "purged"


@dataclass(frozen=True, slots=True)
class Going:
    """One key whose bytes may be deleted now: where, the store's versions of it, and its parts if it has any."""

    id: UUID
    backend: str
    key: str
    object_id: UUID
    upload_id: UUID
    path: str
    store_versions: list[str]
    multipart_id: str | None


_ADD = sa.text(
    """
    INSERT INTO leftover (id, object_id, upload_id, backend, bucket, key, store_versions, why, found_at, removes_at,
        witnessed)
    SELECT gen_random_uuid(), upload.object_id, upload.id, upload.backend, upload.bucket, upload.key,
        array(
            SELECT store_version FROM version_file AS frozen
            WHERE (frozen.backend, frozen.bucket, frozen.key) = (upload.backend, upload.bucket, upload.key)
                AND store_version IS NOT NULL
            UNION SELECT store_version FROM file
            WHERE file.object_id = upload.object_id AND store_version IS NOT NULL
                AND (file.backend, file.bucket, file.key) = (upload.backend, upload.bucket, upload.key)
        ), :why, :at, :removes_at, :witnessed
    FROM upload WHERE upload.object_id = :id
    ON CONFLICT (backend, bucket, key) DO UPDATE SET why = excluded.why, store_versions = excluded.store_versions,
        found_at = excluded.found_at, removes_at = excluded.removes_at, witnessed = excluded.witnessed,
        ended_at = NULL, reason = NULL
    WHERE leftover.ended_at IS NULL OR leftover.reason IS NOT NULL
    RETURNING id
    """
)


async def add(session: AsyncSession, object_id: UUID, why: Why, removes_at: Any, moment: Moment) -> int:
    """Note all keys that uploads to an object were given, and return how many; those that go at once are queued."""
    asked = {"id": object_id, "why": why, "at": moment.at, "removes_at": removes_at, "witnessed": moment.witnessed}
    ids = (await session.execute(_ADD, asked)).scalars().all()
    if removes_at <= moment.at:
        await queue.put(session, LEFTOVER, [str(one) for one in ids])
    return len(ids)


# A ticket that still works may bring bytes yet. What a version has published stays, however long ago it was replaced.
_FIND = sa.text(
    """
    INSERT INTO leftover (id, object_id, upload_id, backend, bucket, key, store_versions, why, found_at, removes_at,
        witnessed)
    SELECT gen_random_uuid(), upload.object_id, upload.id, upload.backend, upload.bucket, upload.key, '{}', :why, :at,
        :removes_at, :witnessed
    FROM upload
    WHERE (upload.state = 'abandoned' OR upload.state = 'superseded'
            AND (upload.lying_size IS NOT NULL OR upload.multipart_id IS NOT NULL))
        AND upload.expires_at < :at
        AND NOT EXISTS (
            SELECT FROM file
            WHERE (file.backend, file.bucket, file.key) = (upload.backend, upload.bucket, upload.key)
        )
        AND NOT EXISTS (
            SELECT FROM version_file AS frozen
            WHERE (frozen.backend, frozen.bucket, frozen.key) = (upload.backend, upload.bucket, upload.key)
        )
        AND NOT EXISTS (
            SELECT FROM leftover
            WHERE (leftover.backend, leftover.bucket, leftover.key) = (upload.backend, upload.bucket, upload.key)
        )
    LIMIT :most
    RETURNING id
    """
)


async def find(session: AsyncSession, policy: Policy, moment: Moment) -> int:
    """Note keys whose bytes nobody names any more, to go after the grace period; returns how many are new."""
    removes_at = moment.at + policy.grace
    asked = {"why": Why.UNUSED, "at": moment.at, "removes_at": removes_at, "witnessed": moment.witnessed}
    return len((await session.execute(_FIND, {**asked, "most": FOUND_AT_ONCE})).all())


async def queue_ripe(session: AsyncSession, policy: Policy, moment: Moment) -> int:
    """Queue what may go by now and is not tried already, and return how much it is."""
    # All of it, however much is held, or lies in a store that refuses: others' is not to wait behind that.
    tried = "SELECT FROM queue WHERE topic = :topic AND subject = leftover.id::text AND parked_at IS NULL"
    waits = sa.text(f"NOT EXISTS ({tried})").bindparams(topic=LEFTOVER)
    ripe = (_leftovers.c.ended_at.is_(None), _is_ripe(policy.grace, moment), waits)
    count, after = 0, UUID(int=0)
    while True:
        page = sa.select(_leftovers.c.id).where(*ripe, _leftovers.c.id > after).order_by(_leftovers.c.id)
        ids = (await session.execute(page.limit(FOUND_AT_ONCE))).scalars().all()
        await queue.put(session, LEFTOVER, [str(one) for one in ids])
        count += len(ids)
        if len(ids) < FOUND_AT_ONCE:
            return count
        after = ids[-1]


def _is_ripe(grace: timedelta, moment: Moment) -> sa.ColumnElement[bool]:
    waited = _leftovers.c.witnessed <= moment.witnessed - int(grace.total_seconds())
    # What an object left that was removed has waited with it.
    return sa.and_(_leftovers.c.removes_at <= moment.at, sa.or_(_leftovers.c.why == Why.REMOVED, waited))


async def backend_of(session: AsyncSession, leftover_id: UUID) -> str | None:
    """Return the backend in which the bytes of a row lie that may still go; None when there is nothing to do."""
    here = (_leftovers.c.id == leftover_id, _leftovers.c.ended_at.is_(None))
    return (await session.execute(sa.select(_leftovers.c.backend).where(*here))).scalar_one_or_none()


_NAMED = sa.text(
    """
    SELECT EXISTS (
        SELECT FROM file WHERE (backend, bucket, key) = (:backend, :bucket, :key)
            AND NOT (:object_gone AND object_id = :object_id)
        UNION ALL
        SELECT FROM version_file AS frozen JOIN version ON version.id = frozen.version_id
        WHERE (frozen.backend, frozen.bucket, frozen.key) = (:backend, :bucket, :key)
            AND NOT (:object_gone AND version.object_id = :object_id)
        UNION ALL
        SELECT FROM upload WHERE (backend, bucket, key) = (:backend, :bucket, :key) AND id <> :upload_id
    )
    """
)


async def begin(session: AsyncSession, leftover_id: UUID, policy: Policy, *, prefix: str) -> Going | None:
    """Let go of the bytes of a row, so that nothing names them from now on, and say what is to be deleted.

    This is the second look at them. None, and nothing is changed, unless all of it is so: their grace is over, no
    file, version or upload names the key, nothing keeps the object, and the key is exactly the one that the upload
    was given, below the `prefix` that is ours in that store. Repeating it is harmless.
    """
    found = await session.execute(sa.select(_leftovers.c.object_id).where(_leftovers.c.id == leftover_id))
    object_id = found.scalar_one_or_none()
    if object_id is None:
        return None
    await changing.lock(session, object_id)
    moment = await clock.now(session)
    here = (_leftovers.c.id == leftover_id, _leftovers.c.ended_at.is_(None), _is_ripe(policy.grace, moment))
    row = (await session.execute(sa.select(_leftovers).where(*here).with_for_update())).one_or_none()
    if row is None:
        return None
    upload = (await session.execute(sa.select(_uploads).where(_uploads.c.id == row.upload_id))).one_or_none()
    if upload is None or not is_exactly(prefix, row.key, row.object_id, row.upload_id, upload.path):
        await end(session, leftover_id, reason="The key is none that the catalog gives.")
        return None
    gone = await _is_gone(session, object_id)
    if row.why == Why.UNUSED and upload.state not in {UploadState.SUPERSEDED, UploadState.ABANDONED}:
        # It came after all, and is in use.
        await forget(session, leftover_id)
        return None
    if row.why != Why.UNUSED and not (gone and await _may_go(session, object_id)):
        return None
    place = {"backend": row.backend, "bucket": row.bucket, "key": row.key}
    own = {"object_gone": gone and row.why != Why.UNUSED, "object_id": object_id, "upload_id": row.upload_id}
    if (await session.execute(_NAMED, place | own)).scalar_one():
        await forget(session, leftover_id)
        return None
    await _let_go(session, upload, place)
    return Going(
        row.id, row.backend, row.key, object_id, upload.id, upload.path, row.store_versions, upload.multipart_id
    )


def is_exactly(prefix: str, key: str, object_id: UUID, upload_id: UUID, path: str) -> bool:
    """Whether a key is the one that this upload was given below this prefix, part for part: no sibling is."""
    told = keys.upload_of(prefix, key)
    return told is not None and (told.object_id, told.upload_id, told.path) == (object_id, upload_id, path)


async def _is_gone(session: AsyncSession, object_id: UUID) -> bool:
    asked = sa.text("SELECT withdrawn_at IS NOT NULL FROM object WHERE id = :id")
    return bool((await session.execute(asked, {"id": object_id})).scalar_one())


async def _may_go(session: AsyncSession, object_id: UUID) -> bool:
    """Whether nothing keeps the bytes of a withdrawn object: no DOI, no hold, and nobody who depends on it."""
    (known,) = await facts.of(session, [object_id])
    return not (known.has_doi or known.held or known.depended_on)


async def _let_go(session: AsyncSession, upload: Any, place: dict[str, str]) -> None:
    """Let nothing lead to a key any more: whatever is still told of it, it stays ended."""
    lying = sa.case((_uploads.c.state == UploadState.COMPLETE, _uploads.c.size), else_=_uploads.c.lying_size)
    await session.execute(
        _uploads.update()
        .where(_uploads.c.id == upload.id)
        # What lies there takes room until it is gone.
        .values(state=UploadState.SUPERSEDED, lying_size=lying, beside=False)
    )
    none = dict.fromkeys(("backend", "bucket", "key", "store_version", "etag"))
    here = [_files.c[name] == value for name, value in place.items()]
    await session.execute(_files.update().where(*here).values(**none, state=FileState.MISSING))


async def end(session: AsyncSession, leftover_id: UUID, *, reason: str | None = None) -> None:
    """Note that the bytes are gone, or why they stay."""
    await session.execute(
        _leftovers.update().where(_leftovers.c.id == leftover_id).values(ended_at=sa.func.now(), reason=reason)
    )
    if reason is None:
        upload = sa.select(_leftovers.c.upload_id).where(_leftovers.c.id == leftover_id).scalar_subquery()
        nothing = {"lying_size": None, "multipart_id": None}
        await session.execute(_uploads.update().where(_uploads.c.id == upload).values(**nothing))
        await session.execute(_LOST, {"id": leftover_id, "lost": FrozenState.LOST})


_LOST = sa.text(
    """
    UPDATE version_file SET state = :lost FROM leftover AS gone WHERE gone.id = :id
    AND (version_file.backend, version_file.bucket, version_file.key) = (gone.backend, gone.bucket, gone.key)
    """
)


async def forget(session: AsyncSession, leftover_id: UUID) -> None:
    """Forget a row whose bytes are in use after all: they may be left over again one day."""
    await session.execute(_leftovers.delete().where(_leftovers.c.id == leftover_id))


async def of_object(session: AsyncSession, object_id: UUID) -> Sequence[Any]:
    """Return the rows of an object that have not ended."""
    here = (_leftovers.c.object_id == object_id, _leftovers.c.ended_at.is_(None))
    return (await session.execute(sa.select(_leftovers).where(*here).order_by(_leftovers.c.key))).all()

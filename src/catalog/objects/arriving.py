"""Many files that have arrived as declared, settled in a handful of statements; what is anything else is settled alone.

A folder of thousands of small files is one object, and each of them settled by itself would change that object once.
Does what `uploads.settle` does for the same keys. Runs in the caller's transaction, and no network call happens here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.objects import changing
from catalog.objects.tables import FileState
from catalog.objects.uploads import Seen, location_of

# More of a folder is on its way, and to write a document with thousands of files takes long.
INDEX_AFTER = timedelta(seconds=0.25)


@dataclass(frozen=True, slots=True)
class Awaited:
    """An upload that may still be brought whole, by its place, and what is to come there."""

    id: UUID
    backend: str
    key: str
    size: int
    sha256: str

    def is_brought(self, seen: Seen) -> bool:
        """Whether what lies there is what was declared."""
        return (seen.size, seen.sha256) == (self.size, self.sha256)


# What was found to be other bytes once is read, whatever the store says of it. The room of checks lies above this one,
# which knows its table by name alone.
_AWAITED = sa.text(
    """
    SELECT upload.id, upload.backend, upload.bucket, upload.key, upload.size, upload.sha256 FROM upload
    JOIN unnest(CAST(:backends AS text[]), CAST(:buckets AS text[]), CAST(:keys AS text[]))
        AS asked (backend, bucket, key) USING (backend, bucket, key)
    WHERE upload.state = 'open' AND upload.multipart_id IS NULL AND NOT EXISTS (
        SELECT FROM fixity_check WHERE fixity_check.backend = upload.backend AND fixity_check.bucket = upload.bucket
            AND fixity_check.key = upload.key AND fixity_check.outcome <> 'intact')
    """
)


async def awaited(session: AsyncSession, subjects: Collection[str]) -> dict[str, Awaited]:
    """Return the uploads that come whole and are open, by those of these queue subjects that are about one."""
    places = {}
    for subject in subjects:
        parts = subject.split("/", 2)
        if len(parts) == len(("backend", "bucket", "key")):
            places[location_of(subject)] = subject
    if not places:
        return {}
    backends, buckets, keys = (list(column) for column in zip(*places, strict=True))
    rows = await session.execute(_AWAITED, {"backends": backends, "buckets": buckets, "keys": keys})
    return {
        places[row.backend, row.bucket, row.key]: Awaited(row.id, row.backend, row.key, row.size, row.sha256)
        for row in rows
    }


_LOCK = sa.text(
    """
    SELECT id FROM object WHERE id IN (SELECT object_id FROM upload WHERE id = ANY(:ids)) ORDER BY id FOR NO KEY UPDATE
    """
).bindparams(sa.bindparam("ids", type_=ARRAY(sa.Uuid)))
# An older or newer upload of the same file decides with it what the file is: those are looked at one by one.
_ALONE = sa.text(
    """
    UPDATE upload SET state = 'complete', seen_at = now(), lying_size = upload.size,
        found_size = NULL, found_sha256 = NULL
    WHERE upload.id = ANY(:ids) AND upload.state = 'open' AND upload.multipart_id IS NULL AND NOT EXISTS (
        SELECT FROM upload AS other WHERE other.object_id = upload.object_id AND other.path = upload.path
            AND other.id <> upload.id AND other.state <> 'superseded')
    RETURNING upload.id
    """
).bindparams(sa.bindparam("ids", type_=ARRAY(sa.Uuid)))
_FILES = sa.text(
    """
    UPDATE file SET size = upload.size, sha256 = upload.sha256, media_type = upload.media_type, state = :available,
        backend = upload.backend, bucket = upload.bucket, key = upload.key,
        store_version = seen.store_version, etag = seen.etag, found_size = NULL, found_sha256 = NULL
    FROM unnest(CAST(:ids AS uuid[]), CAST(:versions AS text[]), CAST(:etags AS text[]))
        AS seen (id, store_version, etag) JOIN upload ON upload.id = seen.id
    WHERE file.object_id = upload.object_id AND file.path = upload.path
    RETURNING file.object_id, file.path
    """
)


async def settle(session: AsyncSession, arrived: Mapping[UUID, Seen]) -> set[UUID]:
    """Let these uploads be complete and their files available, each object changed once; return those that are.

    What was seen of each is what it declared. Left to be settled alone are those that are not open any more, and those
    that are not the only upload of their file.
    """
    if not arrived:
        return set()
    # In one order, here as wherever several are locked; then read what the locks protect.
    await session.execute(_LOCK, {"ids": list(arrived)})
    done = list((await session.execute(_ALONE, {"ids": list(arrived)})).scalars())
    if not done:
        return set()
    seen = [arrived[one] for one in done]
    versions, etags = [one.store_version for one in seen], [one.etag for one in seen]
    rows = await session.execute(
        _FILES, {"ids": done, "versions": versions, "etags": etags, "available": FileState.AVAILABLE.value}
    )
    paths: dict[UUID, list[str]] = {}
    for object_id, path in rows:
        paths.setdefault(object_id, []).append(path)
    for object_id in sorted(paths):
        changes = {"files": sorted(paths[object_id])}
        await changing.note_found(
            session, object_id, action=f"file {FileState.AVAILABLE}", changes=changes, index_after=INDEX_AFTER
        )
    return set(done)

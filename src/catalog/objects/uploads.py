"""Uploads: a place and a ticket for declared bytes, and what becomes of the file once the store was looked at.

Runs in the caller's transaction, and no network call happens here.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.database import now
from catalog.errors import Conflict, Fault
from catalog.objects import changing
from catalog.objects.metadata import FileDeclaration
from catalog.objects.relocated import MoveState, RelocatedFile
from catalog.objects.tables import FileState, Upload, UploadState
from catalog.storage import capacity, choices, keys, parts
from catalog.storage.capacity import AS_EVERYWHERE, Told

# What is queued: look at a key; and look at one whose bytes have to be read, which takes as long as they are many.
KEY = "key"
READ = "read"

# A notification that was lost costs this long: the key is looked at anyway.
LOOK_ANYWAY = timedelta(minutes=5)
# A large PUT may end well after its ticket expired; only its start must lie before.
UPLOAD_GRACE = timedelta(hours=1)
# Parts that nobody goes on with are dropped after this long: a bad line over a weekend is no reason.
PARTS_KEPT = timedelta(days=7)

# The upload's id in a key: below `uploads`, after the object's.
_UPLOAD_IDS = re.compile(
    r"/uploads/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/"
)

_files = SQLModel.metadata.tables["file"]
_uploads = SQLModel.metadata.tables["upload"]
_moves = SQLModel.metadata.tables[RelocatedFile.__tablename__]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where new bytes go, and how long a ticket to bring them works."""

    backend: str
    bucket: str
    prefix: str
    ticket_lifetime: timedelta
    # What whoever runs the catalog told of the stores.
    told: Told = AS_EVERYWHERE


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store holds under a key now."""

    size: int
    sha256: str | None
    etag: str
    store_version: str | None
    # Whoever has the ticket may put other bytes there while it works: the store neither compares nor refuses.
    replaceable: bool = False


async def settle(session: AsyncSession, backend: str, bucket: str, key: str, seen: Seen | None) -> datetime | None:
    """Bring upload, file and object in line with what the store holds under this key now.

    A function of the rows and of what was seen, whatever notifications led here, so that their loss, repetition and
    order do not matter. Returns when to look again, where bytes may still come, or others.
    """
    here = (_uploads.c.backend == backend, _uploads.c.bucket == bucket, _uploads.c.key == key)
    object_id = (await session.execute(sa.select(_uploads.c.object_id).where(*here))).scalar_one_or_none()
    if object_id is None:
        return None
    # The object's row is the lock for everything below it, here as in every verb: one order, no deadlock.
    await changing.lock(session, object_id)
    upload = (await session.execute(sa.select(_uploads).where(*here))).one()
    if upload.state == UploadState.SUPERSEDED:
        # Of no more use; but what lies there takes room until it is gone. What moved counts where it is now.
        lies = None if seen is None or await _moves_away(session, bucket, key) else seen
        await session.execute(_uploads.update().where(_uploads.c.id == upload.id).values(**_lying(lies)))
        return None
    fits = seen is not None and seen.size == upload.size and seen.sha256 == upload.sha256
    again_at = _next_look(upload) if seen is None else None
    if seen is None:
        await _move_upload(session, upload, UploadState.OPEN if again_at else UploadState.ABANDONED, None)
    elif not fits:
        await _move_upload(session, upload, UploadState.MISMATCHED, seen)
    elif await _newer_is_complete(session, upload):
        await _move_upload(session, upload, UploadState.SUPERSEDED, seen)
        return None
    else:
        await _move_upload(session, upload, UploadState.COMPLETE, seen)
        await _supersede_older(session, upload)
        if seen.replaceable and upload.multipart_id is None and now() < upload.expires_at + UPLOAD_GRACE:
            again_at = upload.expires_at + UPLOAD_GRACE
    file = await _file(session, upload.object_id, upload.path)
    if file is not None:
        values = _arrived(upload, seen) if seen is not None and fits else await _without_arrival(session, file)
        await _move_file(session, file, values)
    return again_at


async def _moves_away(session: AsyncSession, bucket: str, key: str) -> bool:
    """Whether the bytes under a key have moved to another backend, and are removed here before long."""
    left = sa.exists().where(_moves.c.key == key, _moves.c.bucket == bucket, _moves.c.state == MoveState.SWITCHED)
    return bool((await session.execute(sa.select(left))).scalar_one())


def _next_look(upload: Any) -> datetime | None:
    """Return when bytes that are not there should be looked for again; None when they come no more.

    A client may be slow and its notification be lost as well: then it costs as long as the upload took.
    """
    at = now()
    until: datetime = upload.expires_at + (UPLOAD_GRACE if upload.multipart_id is None else PARTS_KEPT)
    return None if at >= until else min(at + max(LOOK_ANYWAY, at - upload.created_at), until)


async def _move_upload(session: AsyncSession, upload: Any, state: UploadState, seen: Seen | None) -> None:
    values: dict[str, Any] = {"state": state, "found_size": None, "found_sha256": None}
    values |= _lying(seen)
    if state != UploadState.OPEN:
        values["multipart_id"] = None
    if seen is not None:
        values["seen_at"] = now()
    if seen is not None and state == UploadState.MISMATCHED:
        values |= {"found_size": seen.size, "found_sha256": seen.sha256}
    await session.execute(_uploads.update().where(_uploads.c.id == upload.id).values(**values))


def _lying(seen: Seen | None) -> dict[str, Any]:
    return {
        "lying_size": None if seen is None else seen.size,
        "lying_etag": None if seen is None else seen.etag or None,
    }


def _arrived(upload: Any, seen: Seen) -> dict[str, Any]:
    return {
        "size": upload.size,
        "sha256": upload.sha256,
        "media_type": upload.media_type,
        "state": FileState.AVAILABLE,
        "backend": upload.backend,
        "bucket": upload.bucket,
        "key": upload.key,
        "store_version": seen.store_version,
        "etag": seen.etag,
        "found_size": None,
        "found_sha256": None,
    }


async def _without_arrival(session: AsyncSession, file: Any) -> dict[str, Any]:
    """Return how a file stands by its uploads, where the last look brought it no bytes that fit."""
    rows = await session.execute(
        sa.select(_uploads)
        .where(
            _uploads.c.object_id == file.object_id,
            _uploads.c.path == file.path,
            _uploads.c.state != UploadState.SUPERSEDED,
        )
        .order_by(_uploads.c.id.desc())
    )
    uploads = rows.all()
    place = (file.backend, file.bucket, file.key)
    served = next((one for one in uploads if (one.backend, one.bucket, one.key) == place), None)
    if served is not None and served.state == UploadState.COMPLETE:
        # A replacement failed or has not come: the bytes that were verified before stay.
        return {}
    # Of several wrong uploads the newest is told, whichever was looked at last.
    wrong = next((one for one in uploads if one.state == UploadState.MISMATCHED), None)
    if wrong is not None:
        return {"state": FileState.MISMATCHED, "found_size": wrong.found_size, "found_sha256": wrong.found_sha256}
    state = FileState.EXPECTED if served is None else FileState.MISSING
    return {"state": state, "found_size": None, "found_sha256": None}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A key that an upload of ours was given: how many bytes it awaits or has, None where a newer one took over.

    `multipart_id` is the store's id for its parts, if it has any; `sent` when the client has brought them all; `over`
    when nobody may bring more.
    """

    upload_id: UUID
    size: int | None
    multipart_id: str | None
    sent: bool
    over: bool


async def claim_on(session: AsyncSession, backend: str, bucket: str, key: str) -> Claimed | None:
    """Return what our uploads have to do with this key; None when none was ever given it."""
    here = (_uploads.c.backend == backend, _uploads.c.bucket == bucket, _uploads.c.key == key)
    row = (await session.execute(sa.select(_uploads).where(*here))).one_or_none()
    if row is None:
        return None
    return Claimed(
        row.id,
        None if row.state == UploadState.SUPERSEDED else row.size,
        row.multipart_id,
        sent=row.sent_at is not None,
        over=row.state != UploadState.OPEN or _next_look(row) is None,
    )


async def read_before(session: AsyncSession, backend: str, bucket: str, key: str) -> dict[tuple[str | None, str], str]:
    """Return the SHA-256 of the bytes under this key that were verified, by the store's version and ETag of them.

    Whatever is put there later has an ETag of its own; that bytes rot is for the fixity check to find.
    """
    here = (_files.c.backend == backend, _files.c.bucket == bucket, _files.c.key == key)
    told = sa.select(_files.c.store_version, _files.c.etag, _files.c.sha256).where(
        *here, _files.c.state == FileState.AVAILABLE, _files.c.etag.is_not(None)
    )
    return {(version, etag): sha256 for version, etag, sha256 in await session.execute(told)}


async def go_on(
    session: AsyncSession, upload: Upload, multipart_id: str, *, instead_of: str | None, lifetime: timedelta
) -> str:
    """Let an open upload be brought in parts for another `lifetime`; return the store's id that counts.

    That is not the one given when somebody else has begun meanwhile, in place of `instead_of` as well. Raises
    Conflict when the upload is not open any more.
    """
    await changing.lock(session, upload.object_id)
    row = (await session.execute(sa.select(_uploads).where(_uploads.c.id == upload.id))).one()
    must_be_open(row.state)
    counts: str = multipart_id if row.multipart_id == instead_of else row.multipart_id
    values = {"multipart_id": counts, "sent_at": None, "expires_at": now() + lifetime}
    await session.execute(_uploads.update().where(_uploads.c.id == upload.id).values(**values))
    return counts


def must_be_open(state: str) -> None:
    """Raise Conflict, with how to go on, unless an upload in this state may still be brought."""
    if state != UploadState.OPEN:
        mend = "" if state == UploadState.COMPLETE else "; POST to /api/uploads for a fresh ticket"
        raise Conflict(f"The upload is {state}: it takes no more bytes{mend}.")


async def all_sent(session: AsyncSession, upload: Upload) -> None:
    """Note that all parts are there, and have them joined."""
    # The key's entry first: whoever looks at the key holds that, and then what is known of it.
    await queue.put(session, KEY, [subject_of(upload.backend, upload.bucket, upload.key)])
    await session.execute(
        _uploads.update()
        .where(_uploads.c.id == upload.id, _uploads.c.state == UploadState.OPEN)
        .values(sent_at=sa.func.now())
    )


async def not_sent(session: AsyncSession, upload_id: UUID) -> None:
    """Note that the store lacks parts after all: the client has to go on."""
    await session.execute(_uploads.update().where(_uploads.c.id == upload_id).values(sent_at=None))


async def _file(session: AsyncSession, object_id: UUID, path: str) -> Any:
    return (
        await session.execute(sa.select(_files).where(_files.c.object_id == object_id, _files.c.path == path))
    ).one_or_none()


async def _newer_is_complete(session: AsyncSession, upload: Any) -> bool:
    # Ids are UUIDv7: later tickets have larger ones, so the outcome does not depend on the order of arrival.
    newer = sa.select(_uploads.c.id).where(
        _uploads.c.object_id == upload.object_id,
        _uploads.c.path == upload.path,
        _uploads.c.id > upload.id,
        _uploads.c.state == UploadState.COMPLETE,
    )
    return (await session.execute(newer.limit(1))).one_or_none() is not None


async def _supersede_older(session: AsyncSession, upload: Any) -> None:
    await session.execute(
        _uploads.update()
        .where(
            _uploads.c.object_id == upload.object_id,
            _uploads.c.path == upload.path,
            _uploads.c.id < upload.id,
            _uploads.c.state != UploadState.SUPERSEDED,
        )
        .values(state=UploadState.SUPERSEDED)
    )


async def _move_file(session: AsyncSession, file: Any, values: dict[str, Any]) -> None:
    if all(getattr(file, name) == value for name, value in values.items()):
        return
    await session.execute(_files.update().where(_files.c.id == file.id).values(**values))
    await changing.note_found(session, file.object_id, action=f"file {values['state']}", changes={"files": [file.path]})


async def issue(
    session: AsyncSession,
    object_id: UUID,
    project: str,
    files: Sequence[FileDeclaration],
    *,
    principal_id: UUID,
    placement: Placement,
    going_on: Mapping[str, Upload] = MappingProxyType({}),
    beside: Collection[str] = (),
    at: str = "/files",
) -> list[Upload]:
    """Give each declared file a key of its own, never used before, and a look at it in case nobody tells of it.

    Those that are `going_on`, by path, keep theirs. `beside` are the paths that have their bytes already. New keys are
    in the backend that the project uses for documents; `placement` is where they are if nobody chose one. Raises
    Invalid for a path that is too long for the backend's prefix, StoreFull where the bytes do not fit, which `at` asks.
    """
    if not files:
        return []
    placement = await _chosen(session, project, placement)
    fresh = [file for file in files if file.path not in going_on]
    if fresh:
        asked = sum(file.size for file in fresh)
        await capacity.must_fit(session, placement.backend, asked, placement.told, at=at)
    # One moment for all: a ticket signed for it lives exactly as long as its row says.
    issued_at, declared = now(), Declared(object_id, project, files, principal_id)
    uploads = [
        _upload(declared, place, placement, issued_at, beside=file.path in beside)
        for place, file in enumerate(files)
        if file.path not in going_on
    ]
    await _keep(session, uploads)
    return [*going_on.values(), *uploads]


@dataclass(frozen=True, slots=True)
class Declared:
    """The files of a new object, and who brings them."""

    object_id: UUID
    project: str
    files: Sequence[FileDeclaration]
    principal_id: UUID


async def issue_all(
    session: AsyncSession, objects: Sequence[Declared], placement: Placement
) -> dict[UUID, list[Upload]]:
    """Do for several new objects what `issue` does for one, and return the uploads of each by its id.

    Raises what it does where one of them, or all together, are refused; which one, asking for each alone tells.
    """
    there = {
        project: await _chosen(session, project, placement) for project in sorted({one.project for one in objects})
    }
    asked: Counter[str] = Counter()
    for one in objects:
        asked[there[one.project].backend] += sum(file.size for file in one.files)
    for backend, size in sorted(asked.items()):
        await capacity.must_fit(session, backend, size, placement.told, at="/files")
    issued_at = now()
    uploads = {
        one.object_id: [_upload(one, place, there[one.project], issued_at) for place in range(len(one.files))]
        for one in objects
    }
    await _keep(session, [upload for several in uploads.values() for upload in several])
    return uploads


async def _chosen(session: AsyncSession, project: str, placement: Placement) -> Placement:
    chosen = await choices.documents_of(session, project)
    return placement if chosen is None else Placement(*chosen, placement.ticket_lifetime, placement.told)


def _upload(
    declared: Declared, place: int, placement: Placement, issued_at: datetime, *, beside: bool = False
) -> Upload:
    upload_id, file = uuid7(), declared.files[place]
    path = keys.UploadKey(declared.project, declared.object_id, upload_id, file.path)
    return Upload(
        id=upload_id,
        object_id=declared.object_id,
        path=file.path,
        size=file.size,
        sha256=file.sha256,
        media_type=file.media_type,
        backend=placement.backend,
        bucket=placement.bucket,
        key=_key(placement, path, place),
        state=UploadState.OPEN,
        principal_id=declared.principal_id,
        created_at=issued_at,
        expires_at=issued_at + placement.ticket_lifetime,
        beside=beside,
    )


async def _keep(session: AsyncSession, uploads: Sequence[Upload]) -> None:
    if uploads:
        await session.execute(_uploads.insert(), [upload.model_dump() for upload in uploads])
    subjects = [subject_of(upload.backend, upload.bucket, upload.key) for upload in uploads]
    await queue.put(session, KEY, subjects, after=LOOK_ANYWAY)


def _key(placement: Placement, upload: keys.UploadKey, place: int) -> str:
    try:
        return keys.upload_key(placement.prefix, upload)
    except keys.WrongPath as wrong:
        raise keys.WrongPath(wrong.detail, faults=[Fault(f"/files/{place}/path", wrong.detail)]) from None


async def going_on(
    session: AsyncSession,
    object_id: UUID,
    files: Sequence[FileDeclaration],
    *,
    principal_id: UUID,
    placement: Placement,
) -> dict[str, Upload]:
    """Return the uploads in parts that this principal has begun for these files, by path, each good for as long anew.

    They go on where they stopped, under the same key.
    """
    wanted = {file.path: (file.size, file.sha256) for file in files if parts.cut(file.size) is not None}
    if not wanted:
        return {}
    begun = (
        _uploads.c.object_id == object_id,
        _uploads.c.principal_id == principal_id,
        _uploads.c.state == UploadState.OPEN,
        _uploads.c.multipart_id.is_not(None),
    )
    until = now() + placement.ticket_lifetime
    rows = await session.execute(_uploads.update().where(*begun).values(expires_at=until).returning(_uploads))
    # The newest of several comes last.
    found = [Upload(**row._mapping) for row in sorted(rows, key=lambda row: row.id)]  # ruff: ignore[SLF001] - its name.
    return {one.path: one for one in found if wanted.get(one.path) == (one.size, one.sha256)}


_SUPERSEDE = sa.text(
    """
    UPDATE upload SET state = 'superseded'
    FROM unnest(CAST(:paths AS text[]), CAST(:sizes AS bigint[]), CAST(:hashes AS text[])) AS told (path, size, sha256)
    WHERE upload.object_id = :object_id AND upload.path = told.path AND upload.state <> 'complete'
        AND (upload.size <> told.size OR upload.sha256 <> told.sha256)
    """
)


async def supersede_other_content(session: AsyncSession, object_id: UUID, files: Sequence[FileDeclaration]) -> None:
    """End the open tickets for other bytes at these paths; one for the same bytes may still be on its way."""
    asked = {
        "object_id": object_id,
        "paths": [file.path for file in files],
        "sizes": [file.size for file in files],
        "hashes": [file.sha256 for file in files],
    }
    await session.execute(_SUPERSEDE, asked)


_EVERY_KEY = sa.text(
    f"""
    INSERT INTO queue (topic, subject)
    SELECT :topic, backend || '/' || bucket || '/' || key AS subject FROM (
        SELECT backend, bucket, key FROM upload WHERE state <> 'superseded'
        UNION SELECT backend, bucket, key FROM version_file
        UNION SELECT backend, bucket, key FROM discovered_file
    ) AS known WHERE backend IS NOT NULL ORDER BY backend COLLATE "C", bucket COLLATE "C", key COLLATE "C"
    {queue.TOUCH} RETURNING 1
    """  # ruff: ignore[S608] - ours.
)


async def look_at_everything(session: AsyncSession) -> int:
    """Queue every key that rows tell of, and return how many: for rows that are of another time than the stores."""
    looks = len((await session.execute(_EVERY_KEY, {"topic": KEY})).all())
    queue.ring(session, KEY)
    return looks


async def awaited_elsewhere(
    session: AsyncSession, places: Collection[tuple[str, str]], *, backend: str | None = None
) -> list[str]:
    """Return the subjects of those buckets and keys that uploads of ours were given, in this backend or whichever.

    Keys have the ids of their uploads in them, so that no key of others is looked for.
    """
    ids = {UUID(found) for _, key in places for found in _UPLOAD_IDS.findall(key)}
    if not ids:
        return []
    rows = await session.execute(
        sa.select(_uploads.c.backend, _uploads.c.bucket, _uploads.c.key).where(_uploads.c.id.in_(ids))
    )
    wanted = set(places)
    return [subject_of(*row) for row in rows if (row.bucket, row.key) in wanted and backend in {None, row.backend}]


def subject_of(backend: str, bucket: str, key: str) -> str:
    """Return the queue's subject for a key; neither backend names nor buckets hold a slash."""
    return f"{backend}/{bucket}/{key}"


def location_of(subject: str) -> tuple[str, str, str]:
    """Return backend, bucket and key of a queue subject."""
    backend, bucket, key = subject.split("/", 2)
    return backend, bucket, key

"""What can be done to an object: register, revise, withdraw, declare files, ask for a ticket, settle an upload.

Every verb runs in the caller's transaction and leaves there, together with the change, its audit row and its queue
entries. Nobody below commits; no network call happens here.
"""

from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.access.audience import readers_of
from catalog.access.principals import Caller
from catalog.database import now
from catalog.errors import (
    Conflict,
    Fault,
    Forbidden,
    NotFound,
    PreconditionFailed,
    TooLarge,
    Unprocessable,
)
from catalog.objects import describing, kinds, naming, reading, resolving, validation
from catalog.objects.description import Description
from catalog.objects.metadata import FILES_MAX, FileDeclaration
from catalog.objects.naming import Named
from catalog.objects.reading import Entry, FileView
from catalog.objects.tables import AuditEntry, CatalogObject, FileState, RememberedRequest, Upload, UploadState
from catalog.storage import keys

INDEX = "index"
KEY = "key"
OUTSIDE = "outside"
# Look at a DOI, by its text.
DOI = "doi"

# A notification that was lost costs this long: the key is looked at anyway.
LOOK_ANYWAY = timedelta(minutes=5)
# A large PUT may end well after its ticket expired; only its start must lie before.
UPLOAD_GRACE = timedelta(hours=1)
# Long enough to resume an interrupted upload after a holiday.
REQUEST_REMEMBERED = timedelta(days=30)

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_files = SQLModel.metadata.tables["file"]
_uploads = SQLModel.metadata.tables["upload"]
_audit = SQLModel.metadata.tables[AuditEntry.__tablename__]
_remembered = SQLModel.metadata.tables[RememberedRequest.__tablename__]


NAMES_ARE_UNIQUE = "uq_object_project_kind_name"


class NameTaken(Conflict):
    """The project has an object of this kind and name already."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where new bytes go, and how long a ticket to bring them works."""

    backend: str
    bucket: str
    prefix: str
    ticket_lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Remember:
    """An Idempotency-Key, and the digest of the request it came with."""

    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Registered:
    """A registration's outcome; `repeated` when the same request had been accepted before."""

    entry: Entry
    uploads: list[Upload]
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store holds under a key now."""

    size: int
    sha256: str | None
    etag: str
    store_version: str | None


async def register(
    session: AsyncSession,
    draft: validation.Draft,
    *,
    caller: Caller,
    placement: Placement,
    remember: Remember | None = None,
) -> Registered:
    """Record a new object with its expected files; the same remembered request again returns what it made first.

    Raises Forbidden, NameTaken, or Unprocessable for a reference to an object that is not there for this caller and
    for an Idempotency-Key that came with another request before.
    """
    owner_id = caller.must_register()
    object_id = uuid7()
    if remember is not None:
        first = await first_made(session, owner_id, remember, object_id)
        if first != object_id:
            return await _repeated(session, first, caller, placement)
    record, named = await _record_of(session, draft.description, caller)
    with _naming(draft.description):
        await session.execute(
            _objects.insert().values(
                id=object_id,
                kind=draft.kind.name,
                schema_version=draft.kind.schema_version,
                project=draft.description.project,
                name=draft.description.name,
                owner_id=owner_id,
                readers=readers_of(visibility=draft.description.visibility, owner_id=owner_id),
                revision=1,
                record=record,
            )
        )
    if named:
        await naming.write(session, object_id, named)
    await describing.keep(session, object_id, draft.kind, record)
    await _look_outside(session, object_id, draft.description)
    if draft.files:
        await _expect(session, object_id, draft.files)
    uploads = await _issue(
        session, object_id, draft.description.project, draft.files, principal_id=owner_id, placement=placement
    )
    await _note(
        session, object_id, by=owner_id, action="register", revisions=(None, 1), labelled=naming.labelled(named)
    )
    return Registered(await reading.find(session, object_id, caller.audience), uploads)


async def first_made(session: AsyncSession, principal_id: UUID, remember: Remember, object_id: UUID) -> UUID:
    """Return what the Idempotency-Key made first, `object_id` itself unless the request was accepted before.

    Raises Unprocessable when the key came with another request.
    """
    # A second request with the same key waits here until the first has committed or rolled back.
    taken = insert(_remembered).values(
        principal_id=principal_id, key=remember.key, digest=remember.digest, object_id=object_id
    )
    inserted = await session.execute(
        taken.on_conflict_do_update(
            index_elements=["principal_id", "key"],
            set_={"digest": remember.digest, "object_id": object_id, "created_at": sa.func.now()},
            where=_remembered.c.created_at < sa.func.now() - REQUEST_REMEMBERED,
        ).returning(_remembered.c.object_id)
    )
    if inserted.one_or_none() is not None:
        return object_id
    row = (
        await session.execute(
            sa.select(_remembered.c.digest, _remembered.c.object_id).where(
                _remembered.c.principal_id == principal_id, _remembered.c.key == remember.key
            )
        )
    ).one()
    if row.digest != remember.digest:
        raise Unprocessable(
            f"The Idempotency-Key was used for another request, which made the object {row.object_id}; take a new key."
        )
    first: UUID = row.object_id
    return first


async def _repeated(session: AsyncSession, object_id: UUID, caller: Caller, placement: Placement) -> Registered:
    entry = await reading.find(session, object_id, caller.audience)
    waiting = [
        FileDeclaration(path=file.path, size=file.size, sha256=file.sha256, media_type=file.media_type)
        for file in entry.files
        if file.state != FileState.AVAILABLE
    ]
    uploads = await _issue(
        session, object_id, entry.project, waiting, principal_id=caller.must_be_known(), placement=placement
    )
    return Registered(entry, uploads, repeated=True)


async def revise(
    session: AsyncSession, object_id: UUID, patch: bytes, *, caller: Caller, revisions: Sequence[int] | None
) -> Entry:
    """Apply a merge patch to the description; a patch that changes nothing leaves the revision as it is.

    `revisions` are those the caller accepts, None for any. Raises NotFound, Gone, Forbidden, PreconditionFailed,
    Invalid, NameTaken, Unprocessable.
    """
    entry = await locked(session, object_id, caller, revisions)
    description = validation.revised_from(reading.kind_of(entry), entry.record, patch)
    return await _describe(session, entry, description, caller)


async def _describe(session: AsyncSession, entry: Entry, description: Description, caller: Caller) -> Entry:
    record, named = await _record_of(session, description, caller, before=entry)
    changes = difference(entry.record, record)
    if not changes:
        return entry
    before = await naming.named_now(session, entry.id)
    if set(before) != set(named):
        await naming.write(session, entry.id, named)
    with _naming(description):
        await change(
            session,
            entry,
            caller,
            action="revise",
            changes=changes,
            labelled=naming.labelled([*before, *named]),
            record=record,
            name=description.name,
            readers=readers_of(visibility=description.visibility, owner_id=entry.owner_id),
        )
    await describing.keep(session, entry.id, reading.kind_of(entry), record)
    await _look_outside(session, entry.id, description)
    return await reading.find(session, entry.id, caller.audience)


async def replace(session: AsyncSession, object_id: UUID, draft: validation.Draft, *, caller: Caller) -> Entry:
    """Bring an object to what a registration says of it, and add the files it has not declared yet.

    Files that it does not name stay. Raises Forbidden, and Unprocessable when bytes that are there would be replaced:
    that needs a ticket, which only declaring the file gives.
    """
    entry = await locked(session, object_id, caller, None)
    held = {file.path: file for file in entry.files}
    faults = [
        Fault(
            f"/files/{place}",
            f"other bytes are there; to replace them declare it by POST to /api/objects/{object_id}/files",
        )
        for place, file in enumerate(draft.files)
        if file.path in held and held[file.path].state == FileState.AVAILABLE and not _same(file, held[file.path])
    ]
    if faults:
        raise Unprocessable("The request would replace bytes that are there.", faults=faults)
    entry = await _describe(session, entry, draft.description, caller)
    fresh = [file for file in draft.files if file.path not in held or not _same(file, held[file.path])]
    if not fresh:
        return entry
    await _declare(session, entry, fresh)
    await change(session, entry, caller, action="declare files", changes={"files": [file.path for file in fresh]})
    return await reading.find(session, object_id, caller.audience)


def _same(declared: FileDeclaration, file: FileView) -> bool:
    return (declared.size, declared.sha256, declared.media_type) == (file.size, file.sha256, file.media_type)


async def withdraw(
    session: AsyncSession, object_id: UUID, reason: str, *, caller: Caller, revisions: Sequence[int] | None
) -> None:
    """Take the object out of every list and search, and say why; its row and history stay, as do its versions."""
    entry = await locked(session, object_id, caller, revisions)
    labelled = naming.labelled(await naming.named_now(session, entry.id))
    await change(
        session,
        entry,
        caller,
        action="withdraw",
        changes={"reason": reason},
        labelled=labelled,
        withdrawn_at=sa.func.now(),
        withdrawal_reason=reason,
    )
    # Their records name what is not there any more: their quality is another.
    await write_documents_anew(session, await naming.naming_it(session, entry.id))


async def declare_files(
    session: AsyncSession,
    object_id: UUID,
    files: Sequence[FileDeclaration],
    *,
    caller: Caller,
    revisions: Sequence[int] | None,
    placement: Placement,
) -> Registered:
    """Add files, or replace those at the same paths; replaced bytes are served until the new ones have arrived."""
    entry = await locked(session, object_id, caller, revisions)
    await _declare(session, entry, files)
    uploads = await _issue(
        session, object_id, entry.project, files, principal_id=caller.must_be_known(), placement=placement
    )
    await change(session, entry, caller, action="declare files", changes={"files": [file.path for file in files]})
    return Registered(await reading.find(session, object_id, caller.audience), uploads)


async def _declare(session: AsyncSession, entry: Entry, files: Sequence[FileDeclaration]) -> None:
    object_id = entry.id
    held = {file.path: file for file in entry.files}
    fresh = [file for file in files if file.path not in held]
    if len(held) + len(fresh) > FILES_MAX:
        raise TooLarge(f"An object has at most {FILES_MAX} files; this one would have {len(held) + len(fresh)}.")
    if fresh:
        await _expect(session, object_id, fresh)
    for file in files:
        if file.path in held and held[file.path].state != FileState.AVAILABLE:
            await session.execute(
                _files.update()
                .where(_files.c.object_id == object_id, _files.c.path == file.path)
                .values(
                    size=file.size,
                    sha256=file.sha256,
                    media_type=file.media_type,
                    state=FileState.EXPECTED,
                    # What was there is not what is declared now: nothing is served from its place any more.
                    backend=None,
                    bucket=None,
                    key=None,
                    store_version=None,
                    etag=None,
                    found_size=None,
                    found_sha256=None,
                )
            )
    await _supersede_other_content(session, object_id, files)


async def remove_file(
    session: AsyncSession, object_id: UUID, path: str, *, caller: Caller, revisions: Sequence[int] | None
) -> None:
    """Take a file out of the object; raises NotFound when it has none at that path."""
    entry = await locked(session, object_id, caller, revisions)
    if path not in {file.path for file in entry.files}:
        raise NotFound(f"The object has no file at {path!r}.")
    await session.execute(_files.delete().where(_files.c.object_id == object_id, _files.c.path == path))
    await session.execute(
        _uploads.update()
        .where(_uploads.c.object_id == object_id, _uploads.c.path == path)
        .values(state=UploadState.SUPERSEDED)
    )
    await change(session, entry, caller, action="remove file", changes={"files": [path]})


async def reissue(session: AsyncSession, object_id: UUID, path: str, *, caller: Caller, placement: Placement) -> Upload:
    """Return a fresh upload for a file that is not available; raises NotFound, Forbidden, Conflict."""
    entry = await locked(session, object_id, caller, None)
    file = next((file for file in entry.files if file.path == path), None)
    if file is None:
        raise NotFound(f"The object has no file at {path!r}.")
    if file.state == FileState.AVAILABLE:
        raise Conflict(
            f"{path!r} is available already; to replace it, declare it again by POST to /api/objects/{object_id}/files."
        )
    declared = FileDeclaration(path=file.path, size=file.size, sha256=file.sha256, media_type=file.media_type)
    uploads = await _issue(
        session, object_id, entry.project, [declared], principal_id=caller.must_be_known(), placement=placement
    )
    return uploads[0]


async def settle(session: AsyncSession, backend: str, bucket: str, key: str, seen: Seen | None) -> datetime | None:
    """Bring upload, file and object in line with what the store holds under this key now.

    A function of the rows and of what was seen, whatever notifications led here, so that their loss, repetition and
    order do not matter. Returns when to look again, where bytes may still come.
    """
    here = (_uploads.c.backend == backend, _uploads.c.bucket == bucket, _uploads.c.key == key)
    object_id = (await session.execute(sa.select(_uploads.c.object_id).where(*here))).scalar_one_or_none()
    if object_id is None:
        return None
    # The object's row is the lock for everything below it, here as in every verb: one order, no deadlock.
    await lock(session, object_id)
    upload = (await session.execute(sa.select(_uploads).where(*here))).one()
    if upload.state == UploadState.SUPERSEDED:
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
    file = await _file(session, upload.object_id, upload.path)
    if file is not None:
        values = _arrived(upload, seen) if seen is not None and fits else await _without_arrival(session, file)
        await _move_file(session, file, values)
    return again_at


def _next_look(upload: Any) -> datetime | None:
    """Return when bytes that are not there should be looked for again; None when they come no more.

    A client may be slow and its notification be lost as well: then it costs as long as the upload took.
    """
    at = now()
    until: datetime = upload.expires_at + UPLOAD_GRACE
    return None if at >= until else min(at + max(LOOK_ANYWAY, at - upload.created_at), until)


async def _move_upload(session: AsyncSession, upload: Any, state: UploadState, seen: Seen | None) -> None:
    values: dict[str, Any] = {"state": state, "found_size": None, "found_sha256": None}
    if seen is not None:
        values["seen_at"] = now()
    if seen is not None and state == UploadState.MISMATCHED:
        values |= {"found_size": seen.size, "found_sha256": seen.sha256}
    await session.execute(_uploads.update().where(_uploads.c.id == upload.id).values(**values))


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
    """A key that an upload of ours was given: how many bytes it awaits or has, None where a newer one took over."""

    size: int | None


async def claim_on(session: AsyncSession, backend: str, bucket: str, key: str) -> Claimed | None:
    """Return what our uploads have to do with this key; None when none was ever given it."""
    here = (_uploads.c.backend == backend, _uploads.c.bucket == bucket, _uploads.c.key == key)
    row = (await session.execute(sa.select(_uploads.c.size, _uploads.c.state).where(*here))).one_or_none()
    if row is None:
        return None
    return Claimed(None if row.state == UploadState.SUPERSEDED else row.size)


async def index_everything(session: AsyncSession) -> None:
    """Queue every object: for an index that was just created, since it is disposable and Postgres is the truth."""
    await _queue_everything(session, INDEX)


async def look_outside_everywhere(session: AsyncSession) -> None:
    """Queue every object to have what it names outside looked at."""
    await _queue_everything(session, OUTSIDE)


async def write_documents_anew(session: AsyncSession, ids: Sequence[UUID]) -> None:
    """Have the documents of these objects written again, though nobody revised them; the objects are locked."""
    if ids:
        # The index refuses to go back: what is written anew needs a higher number.
        renumbered = _objects.update().where(_objects.c.id == sa.any_(sa.bindparam("ids", list(ids), ARRAY(sa.Uuid))))
        await session.execute(renumbered.values(relabelled=_objects.c.relabelled + 1))
        await queue.put(session, INDEX, [str(one) for one in ids])


async def _queue_everything(session: AsyncSession, topic: str) -> None:
    await session.execute(
        sa.text(
            "INSERT INTO queue (topic, subject) SELECT :topic, id::text FROM object ORDER BY id"
            " ON CONFLICT (topic, subject) DO UPDATE SET touched = queue.touched + 1, ready_at = now(),"
            " attempts = 0, parked_at = NULL, reason = NULL"
        ),
        {"topic": topic},
    )


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
    await note_found(session, file.object_id, action=f"file {values['state']}", changes={"files": [file.path]})


async def lock(session: AsyncSession, object_id: UUID) -> None:
    """Hold the object against every other change until the transaction ends."""
    # Ids never change, so rows that only name this object need not wait.
    await session.execute(sa.select(_objects.c.id).where(_objects.c.id == object_id).with_for_update(key_share=True))


async def note_found(session: AsyncSession, object_id: UUID, *, action: str, changes: dict[str, Any]) -> None:
    """Count a change that the catalog itself found, having looked at a store; the object is locked."""
    revision = (
        await session.execute(
            _objects.update()
            .where(_objects.c.id == object_id)
            .values(revision=_objects.c.revision + 1, updated_at=sa.func.now())
            .returning(_objects.c.revision)
        )
    ).scalar_one()
    await _note(session, object_id, by=None, action=action, revisions=(revision - 1, revision), changes=changes)
    await _look_at_dois(session, object_id)


async def locked(session: AsyncSession, object_id: UUID, caller: Caller, revisions: Sequence[int] | None) -> Entry:
    """Return an object that this caller may change, locked until the transaction ends.

    `revisions` are those the caller accepts, None for any. Raises NotFound, Gone, Forbidden, PreconditionFailed.
    """
    caller.must_be_known()
    # The lock first, then the read: what is read is what the lock protects.
    await lock(session, object_id)
    entry = await reading.find(session, object_id, caller.audience)
    if not caller.may_change(entry.owner_id):
        raise Forbidden("You may read this object but not change it: it belongs to another principal.")
    if revisions is not None and entry.revision not in revisions:
        raise PreconditionFailed(
            f'The object is at revision {entry.revision}; read it again and send If-Match: "{entry.revision}".'
        )
    return entry


async def _record_of(
    session: AsyncSession, description: Description, caller: Caller, *, before: Entry | None = None
) -> tuple[dict[str, Any], list[Named]]:
    """Return the description as it is kept, with ids for objects and URIs for terms, and what objects it names.

    Refuses what is not there for this caller, or is of another kind than belongs there, and what is no term. What was
    accepted before stays: whoever mends a title need not see every member, nor replace a term retired since.
    """
    kind = kinds.named(description.kind)
    kept: set[str] = set()
    kept_terms: set[describing.Asked] = set()
    if before is not None:
        kept = {reference.target for reference in reading.metadata_of(before).references()}
        kept_terms = {use.asked for use in describing.uses(kind, before.record)}
    metadata: kinds.Metadata = description.metadata
    named = [reference for reference in metadata.references() if reference.target not in kept]
    project = description.project
    there = await resolving.known(session, ((project, reference) for reference in named), caller.audience)
    ids, faults = resolving.resolved(there, project, named)
    terms = describing.uses(kind, description)
    meant = await describing.known(session, (use for use in terms if use.asked not in kept_terms))
    uris, wrong = describing.resolved(meant, terms, kept_terms)
    if faults or wrong:
        what = " and ".join(filter(None, ("objects" if faults else "", "terms" if wrong else "")))
        raise Unprocessable(f"The request names {what} that are not there or do not fit.", faults=[*faults, *wrong])
    record = validation.record_of(description)
    resolving.write_ids(record, ids)
    describing.write_uris(record, uris)
    return record, naming.named_by(metadata.references(), ids)


async def _look_outside(session: AsyncSession, object_id: UUID, description: Description) -> None:
    if next(description.outside(), None) is not None:
        await queue.put(session, OUTSIDE, [str(object_id)])


@contextmanager
def _naming(description: Description) -> Generator[None]:
    """Tell a name that is taken from other faults of the database."""
    try:
        yield
    except sa.exc.IntegrityError as fault:
        if NAMES_ARE_UNIQUE not in str(fault.orig):
            raise
        raise NameTaken(
            f"The project {description.project} has a {description.kind} called {description.name!r} already; take "
            "another name, or change that object."
        ) from None


async def _expect(session: AsyncSession, object_id: UUID, files: Sequence[FileDeclaration]) -> None:
    await session.execute(
        _files.insert(),
        [
            {
                "id": uuid7(),
                "object_id": object_id,
                "path": file.path,
                "size": file.size,
                "sha256": file.sha256,
                "media_type": file.media_type,
                "state": FileState.EXPECTED,
            }
            for file in files
        ],
    )


async def _issue(
    session: AsyncSession,
    object_id: UUID,
    project: str,
    files: Sequence[FileDeclaration],
    *,
    principal_id: UUID,
    placement: Placement,
) -> list[Upload]:
    if not files:
        return []
    # One moment for all: a ticket signed for it lives exactly as long as its row says.
    issued_at = now()
    uploads = []
    for file in files:
        upload_id = uuid7()
        key = keys.upload_key(placement.prefix, keys.UploadKey(project, object_id, upload_id, file.path))
        uploads.append(
            Upload(
                id=upload_id,
                object_id=object_id,
                path=file.path,
                size=file.size,
                sha256=file.sha256,
                media_type=file.media_type,
                backend=placement.backend,
                bucket=placement.bucket,
                key=key,
                state=UploadState.OPEN,
                principal_id=principal_id,
                created_at=issued_at,
                expires_at=issued_at + placement.ticket_lifetime,
            )
        )
    await session.execute(_uploads.insert(), [upload.model_dump() for upload in uploads])
    subjects = [subject_of(upload.backend, upload.bucket, upload.key) for upload in uploads]
    await queue.put(session, KEY, subjects, after=LOOK_ANYWAY)
    return uploads


async def _supersede_other_content(session: AsyncSession, object_id: UUID, files: Sequence[FileDeclaration]) -> None:
    """End the open tickets for other bytes at these paths; one for the same bytes may still be on its way."""
    for file in files:
        await session.execute(
            _uploads.update()
            .where(
                _uploads.c.object_id == object_id,
                _uploads.c.path == file.path,
                _uploads.c.state != UploadState.COMPLETE,
                sa.or_(_uploads.c.size != file.size, _uploads.c.sha256 != file.sha256),
            )
            .values(state=UploadState.SUPERSEDED)
        )


async def change(
    session: AsyncSession,
    entry: Entry,
    caller: Caller,
    *,
    action: str,
    changes: Any = None,
    labelled: Collection[UUID] = (),
    **values: Any,
) -> None:
    """Count a change to a locked object, or to what belongs to it: its revision, an audit row, an entry for the index.

    `labelled` are the data sets whose labels it is, or was; `values` are columns of the object that change with it.
    """
    await session.execute(
        _objects.update()
        .where(_objects.c.id == entry.id)
        .values(revision=entry.revision + 1, updated_at=sa.func.now(), **values)
    )
    revisions = (entry.revision, entry.revision + 1)
    await _note(session, entry.id, by=caller.id, action=action, revisions=revisions, changes=changes, labelled=labelled)
    await _look_at_dois(session, entry.id)


async def _note(
    session: AsyncSession,
    object_id: UUID,
    *,
    by: UUID | None,
    action: str,
    revisions: tuple[int | None, int],
    changes: Any = None,
    labelled: Collection[UUID] = (),
) -> None:
    """Write the audit row, and queue the object; with it the data sets whose labels it is, or was."""
    await session.execute(
        _audit.insert().values(
            object_id=object_id,
            principal_id=by,
            action=action,
            from_revision=revisions[0],
            to_revision=revisions[1],
            changes=changes,
        )
    )
    await queue.put(session, INDEX, [str(one) for one in (object_id, *labelled)])


async def _look_at_dois(session: AsyncSession, object_id: UUID) -> None:
    """Queue the DOIs of an object, if it has any: what the registry knows of it may have become untrue."""
    # The room of DOIs lies above this one, which knows its table by name alone.
    found = await session.execute(sa.text("SELECT doi FROM doi WHERE object_id = :id"), {"id": object_id})
    await queue.put(session, DOI, [row.doi for row in found])


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the top-level fields that differ, each with its old and new value."""
    return {
        name: {"from": before.get(name), "to": after.get(name)}
        for name in sorted(before.keys() | after.keys())
        # What was registered before there was such a field says as much as an empty one.
        if (before.get(name) or None) != (after.get(name) or None)
    }


def subject_of(backend: str, bucket: str, key: str) -> str:
    """Return the queue's subject for a key; neither backend names nor buckets hold a slash."""
    return f"{backend}/{bucket}/{key}"


def location_of(subject: str) -> tuple[str, str, str]:
    """Return backend, bucket and key of a queue subject."""
    backend, bucket, key = subject.split("/", 2)
    return backend, bucket, key


async def forget_old_requests(session: AsyncSession) -> None:
    """Remove Idempotency-Keys that are no longer promised."""
    await session.execute(_remembered.delete().where(_remembered.c.created_at < sa.func.now() - REQUEST_REMEMBERED))

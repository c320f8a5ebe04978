"""What can be done to an object: register, revise, replace, withdraw, declare and remove files, ask for a ticket.

Every verb runs in the caller's transaction and leaves there, together with the change, its audit row and its queue
entries. Nobody below commits; no network call happens here.
"""

from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.access import members, quotas
from catalog.access.principals import Caller
from catalog.access.quotas import Amount
from catalog.errors import Conflict, Fault, NotFound, TooLarge, Unprocessable
from catalog.objects import (
    changing,
    describing,
    ended,
    granting,
    kinds,
    naming,
    reading,
    recorded,
    remaining,
    remembering,
    resolving,
    uploads,
    validation,
)
from catalog.objects.description import Description
from catalog.objects.metadata import FILES_MAX, OBJECT_FILES_MAX, FileDeclaration
from catalog.objects.naming import Named
from catalog.objects.reading import Entry, FileView
from catalog.objects.remembering import Remember
from catalog.objects.tables import CatalogObject, FileState, Upload, UploadState
from catalog.objects.uploads import Placement

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_files = SQLModel.metadata.tables["file"]
_uploads = SQLModel.metadata.tables["upload"]


NAMES_ARE_UNIQUE = "uq_object_project_kind_name"


class NameTaken(Conflict):
    """The project has an object of this kind and name already."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A registration's outcome; `repeated` when the same request had been accepted before."""

    entry: Entry
    uploads: list[Upload]
    repeated: bool = False


async def register(
    session: AsyncSession,
    draft: validation.Draft,
    *,
    caller: Caller,
    placement: Placement,
    remember: Remember | None = None,
) -> Registered:
    """Record a new object with its expected files; the same remembered request again returns what it made first.

    Raises Forbidden, NameTaken, NoSpace, QuotaFull, or Unprocessable for a reference to an object that is not there for
    this caller and for an Idempotency-Key that came with another request before.
    """
    owner_id = caller.must_register(draft.description.project)
    object_id = uuid7()
    if remember is not None:
        first = await remembering.first_made(session, owner_id, remember, object_id)
        if first != object_id:
            return await _repeated(session, first, caller, placement)
    record, named = await _record_of(session, draft.description, caller)
    asked = Amount(objects=1, bytes=sum(file.size for file in draft.files), uploads=len(draft.files))
    # First of all, as in bulk: whoever holds a new project or name would wait for whoever holds the quota.
    await quotas.take(session, draft.description.project, asked, caller)
    await members.ensure(session, [draft.description.project])
    with _naming(draft.description):
        await session.execute(
            _objects.insert().values(
                id=object_id,
                kind=draft.kind.name,
                schema_version=draft.kind.schema_version,
                project=draft.description.project,
                name=draft.description.name,
                owner_id=owner_id,
                revision=1,
                record=record,
                **granting.access_of(record, owner_id=owner_id, project=draft.description.project),
            )
        )
    await granting.await_embargo(session, object_id, record)
    if named:
        await naming.write(session, object_id, named)
    await describing.keep_new(session, [(object_id, use.text) for use in describing.uses(draft.kind, record)])
    await _look_outside(session, object_id, draft.description)
    if draft.files:
        await _expect(session, object_id, draft.files)
    tickets = await uploads.issue(
        session, object_id, draft.description.project, draft.files, principal_id=owner_id, placement=placement
    )
    await changing.note(
        session, object_id, by=owner_id, action="register", revisions=(None, 1), labelled=naming.labelled(named)
    )
    return Registered(await reading.find(session, object_id, caller.audience), tickets)


async def _repeated(session: AsyncSession, object_id: UUID, caller: Caller, placement: Placement) -> Registered:
    entry = await reading.find(session, object_id, caller.audience)
    waiting = [
        FileDeclaration(path=file.path, size=file.size, sha256=file.sha256, media_type=file.media_type)
        for file in entry.files
        if file.state != FileState.AVAILABLE
    ]
    if waiting:
        await ended.must_take_files(session, object_id, entry.kind)
    # As many as a registration may declare; for others, declared again, there are tickets too.
    tickets = await _tickets(session, entry, waiting[:FILES_MAX], caller, placement)
    return Registered(entry, tickets, repeated=True)


async def revise(
    session: AsyncSession, object_id: UUID, patch: bytes, *, caller: Caller, revisions: Sequence[int] | None
) -> Entry:
    """Apply a merge patch to the description; a patch that changes nothing leaves the revision as it is.

    `revisions` are those the caller accepts, None for any. Raises NotFound, Gone, Forbidden, PreconditionFailed,
    Invalid, NameTaken, Unprocessable.
    """
    entry = await changing.locked(session, object_id, caller, revisions)
    kind = reading.kind_of(entry)
    try:
        description = validation.revised_from(kind, entry.record, patch)
    except validation.Misshapen as wrong:
        kept = remaining.kept_by(kind, entry.record)
        raise await remaining.refusal(session, wrong, caller.audience, kept) from None
    return await _describe(session, entry, description, caller)


async def _describe(session: AsyncSession, entry: Entry, description: Description, caller: Caller) -> Entry:
    record, named = await _record_of(session, description, caller, before=entry)
    changes = changing.difference(entry.record, record)
    if not changes:
        return entry
    before = await naming.named_now(session, entry.id)
    if set(before) != set(named):
        await naming.write(session, entry.id, named)
    with _naming(description):
        await changing.change(
            session,
            entry,
            caller,
            action="revise",
            changes=changes,
            labelled=naming.labelled([*before, *named]),
            record=record,
            name=description.name,
            **granting.access_of(
                record,
                owner_id=entry.owner_id,
                project=entry.project,
                granted=await granting.granted_to(session, entry.id),
            ),
        )
    await describing.keep(session, entry.id, reading.kind_of(entry), record)
    await granting.await_embargo(session, entry.id, record)
    await _look_outside(session, entry.id, description)
    return await reading.find(session, entry.id, caller.audience)


async def replace(session: AsyncSession, object_id: UUID, draft: validation.Draft, *, caller: Caller) -> Entry:
    """Bring an object to what a registration says of it, and add the files it has not declared yet.

    Files that it does not name stay. Raises Forbidden, NoSpace, and Unprocessable when bytes that are there would be
    replaced: that needs a ticket, which only declaring the file gives.
    """
    entry = await changing.locked(session, object_id, caller, None)
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
    await ended.must_take_files(session, object_id, entry.kind)
    await uploads.supersede_other_content(session, object_id, fresh)
    await quotas.take(session, entry.project, Amount(bytes=_growth(entry, fresh)), caller)
    await _declare(session, entry, fresh)
    await changing.change(
        session, entry, caller, action="declare files", changes={"files": [file.path for file in fresh]}
    )
    return await reading.find(session, object_id, caller.audience)


def _same(declared: FileDeclaration, file: FileView) -> bool:
    return (declared.size, declared.sha256, declared.media_type) == (file.size, file.sha256, file.media_type)


async def withdraw(
    session: AsyncSession, object_id: UUID, reason: str, *, caller: Caller, revisions: Sequence[int] | None
) -> int:
    """Take the object out of every list and search, and say why; its row and history stay, as do its versions.

    Returns its last revision.
    """
    entry = await changing.locked(session, object_id, caller, revisions)
    labelled = naming.labelled(await naming.named_now(session, entry.id))
    await changing.change(
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
    await changing.write_documents_anew(session, await naming.naming_it(session, entry.id))
    return entry.revision + 1


async def declare_files(
    session: AsyncSession,
    object_id: UUID,
    files: Sequence[FileDeclaration],
    *,
    caller: Caller,
    revisions: Sequence[int] | None,
    placement: Placement,
) -> Registered:
    """Add files, or replace those at the same paths; replaced bytes are served until the new ones have arrived.

    Raises NoSpace, QuotaFull, TooLarge, and what every change does.
    """
    entry = await changing.locked(session, object_id, caller, revisions)
    await ended.must_take_files(session, object_id, entry.kind)
    await uploads.supersede_other_content(session, object_id, files)
    beside = {file.path for file in entry.files if file.state == FileState.AVAILABLE}
    tickets = await _tickets(session, entry, files, caller, placement, more_bytes=_growth(entry, files), beside=beside)
    await _declare(session, entry, files)
    await changing.change(
        session, entry, caller, action="declare files", changes={"files": [file.path for file in files]}
    )
    return Registered(await reading.find(session, object_id, caller.audience), tickets)


async def _declare(session: AsyncSession, entry: Entry, files: Sequence[FileDeclaration]) -> None:
    object_id = entry.id
    held = {file.path: file for file in entry.files}
    fresh = [file for file in files if file.path not in held]
    if len(held) + len(fresh) > OBJECT_FILES_MAX:
        raise TooLarge(
            f"An object has at most {OBJECT_FILES_MAX:,} files; this one would have {len(held) + len(fresh):,}."
        )
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


def _growth(entry: Entry, files: Sequence[FileDeclaration]) -> int:
    """Return how many bytes more there will be with these files; what is available stays until it is replaced."""
    instead_of = {file.path: file.size for file in entry.files if file.state != FileState.AVAILABLE}
    return sum(file.size - instead_of.get(file.path, 0) for file in files)


async def _tickets(
    session: AsyncSession,
    entry: Entry,
    files: Sequence[FileDeclaration],
    caller: Caller,
    placement: Placement,
    *,
    more_bytes: int = 0,
    beside: Collection[str] = (),
    at: str = "/files",
) -> list[Upload]:
    """Return an upload for each of these files of a locked object, where they and their bytes fit into the quota."""
    who = caller.must_be_known()
    going_on = await uploads.going_on(session, entry.id, files, principal_id=who, placement=placement)
    asked = Amount(bytes=more_bytes, uploads=len(files) - len(going_on))
    await quotas.take(session, entry.project, asked, caller, at=at)
    return await uploads.issue(
        session,
        entry.id,
        entry.project,
        files,
        principal_id=who,
        placement=placement,
        going_on=going_on,
        beside=beside,
        at=at,
    )


async def remove_file(
    session: AsyncSession, object_id: UUID, path: str, *, caller: Caller, revisions: Sequence[int] | None
) -> int:
    """Take a file out of the object and return its revision; raises NotFound when it has none at that path."""
    entry = await changing.locked(session, object_id, caller, revisions)
    if path not in {file.path for file in entry.files}:
        raise NotFound(f"The object has no file at {path!r}.")
    await ended.must_take_files(session, object_id, entry.kind)
    await session.execute(_files.delete().where(_files.c.object_id == object_id, _files.c.path == path))
    await session.execute(
        _uploads.update()
        .where(_uploads.c.object_id == object_id, _uploads.c.path == path)
        .values(state=UploadState.SUPERSEDED)
    )
    await changing.change(session, entry, caller, action="remove file", changes={"files": [path]})
    return entry.revision + 1


async def reissue(session: AsyncSession, object_id: UUID, path: str, *, caller: Caller, placement: Placement) -> Upload:
    """Return a fresh upload for a file that is not available; raises NotFound, Forbidden, Conflict, QuotaFull."""
    entry = await changing.locked(session, object_id, caller, None)
    file = next((file for file in entry.files if file.path == path), None)
    if file is None:
        raise NotFound(f"The object has no file at {path!r}.")
    if file.state == FileState.AVAILABLE:
        raise Conflict(
            f"{path!r} is available already; to replace it, declare it again by POST to /api/objects/{object_id}/files."
        )
    await ended.must_take_files(session, object_id, entry.kind)
    declared = FileDeclaration(path=file.path, size=file.size, sha256=file.sha256, media_type=file.media_type)
    return (await _tickets(session, entry, [declared], caller, placement, at="/object"))[0]


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
    meant = await describing.known(session, terms, kept_terms)
    uris, wrong = describing.resolved(meant, terms, kept_terms)
    if faults or wrong:
        what = " and ".join(filter(None, ("objects" if faults else "", "terms" if wrong else "")))
        raise Unprocessable(f"The request names {what} that are not there or do not fit.", faults=[*faults, *wrong])
    record = recorded.record_of(description, ids, resolving.versions_named(there, named), uris)
    return record, naming.named_by(metadata.references(), ids)


async def _look_outside(session: AsyncSession, object_id: UUID, description: Description) -> None:
    if next(description.outside(), None) is not None:
        await queue.put(session, changing.OUTSIDE, [str(object_id)])


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

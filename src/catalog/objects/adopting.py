"""Adopting: files that lie in a bucket already become files of an object, in place, without being copied.

From then on they are looked at like what a ticket brought; they are never removed, since whoever put them there looks
after them. Runs in the caller's transaction.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.access import quotas
from catalog.access.audience import Role, organization_of
from catalog.access.callers import Caller
from catalog.access.quotas import Amount
from catalog.database import now
from catalog.errors import Conflict, Fault, NotFound, TooLarge
from catalog.objects import changing, ended, reading, validation
from catalog.objects.discovered import DiscoveredFile
from catalog.objects.metadata import FILES_MAX, FileDeclaration
from catalog.objects.reading import Entry
from catalog.objects.tables import FileState, UploadState
from catalog.storage import backends
from catalog.storage.keys import OWN

_files = SQLModel.metadata.tables["file"]
_uploads = SQLModel.metadata.tables["upload"]
_found = SQLModel.metadata.tables[DiscoveredFile.__tablename__]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that was found, and what the object shall call it; None: as the last part of its key."""

    file_id: UUID
    path: str | None = None


class NotReadYet(Conflict):
    """What these bytes are is not known yet; `files` have to be read for their hash first."""

    def __init__(self, files: Mapping[int, UUID]) -> None:
        super().__init__(
            f"{len(files)} of these files have not been read yet, which begins now: try again in a while.",
            faults=[Fault(f"/files/{place}/discovered", "its SHA-256 is not known yet") for place in files],
        )
        self.files = tuple(files.values())


async def adopt(
    session: AsyncSession, object_id: UUID, wanted: Sequence[Wanted], *, caller: Caller, revisions: Sequence[int] | None
) -> Entry:
    """Make files of an object of bytes that lie in its organization's buckets and that no object claims.

    For admins of the organization; for what lies beside the project's uploads in the catalog's own store, its curators
    too. Raises NotReadYet, NotFound, Conflict where the object has a file of that path, NoSpace, and what every change
    does.
    """
    entry = await changing.locked(session, object_id, caller, revisions)
    await ended.must_take_files(session, object_id, entry.kind)
    lying = await _held(session, wanted, entry, caller)
    unread = {place: one.id for place, one in enumerate(lying) if one.sha256 is None}
    if unread:
        raise NotReadYet(unread)
    files = _declared(lying, wanted, entry)
    await quotas.take(session, entry.project, Amount(bytes=sum(one.size for one in lying)), caller, at="/files")
    who, moment = caller.must_be_known(), now()
    for file, one in zip(files, lying, strict=True):
        same = {"path": file.path, "size": one.size, "sha256": one.sha256, "media_type": file.media_type}
        where = {"backend": one.backend, "bucket": one.bucket, "key": one.key, "object_id": object_id}
        upload = {"state": UploadState.COMPLETE, "principal_id": who, "expires_at": moment, "seen_at": moment}
        await session.execute(
            _uploads.insert().values(id=uuid7(), created_at=moment, lying_size=one.size, **same, **where, **upload)
        )
        there = {"state": FileState.AVAILABLE, "store_version": one.store_version, "etag": one.etag}
        await session.execute(_files.insert().values(id=uuid7(), **same, **where, **there))
    await session.execute(_found.delete().where(_found.c.id.in_([one.id for one in lying])))
    changes = {"files": [file.path for file in files]}
    await changing.change(session, entry, caller, action="adopt files", changes=changes)
    return await reading.find(session, object_id, caller.audience)


async def _held(session: AsyncSession, wanted: Sequence[Wanted], entry: Entry, caller: Caller) -> list[DiscoveredFile]:
    ids = [one.file_id for one in wanted]
    rows = await session.execute(
        sa.select(_found)
        .where(_found.c.id == sa.any_(sa.bindparam("ids", ids, type_=ARRAY(sa.Uuid))))
        .order_by(_found.c.id)
        .with_for_update()
    )
    there = {row.id: DiscoveredFile(**row._mapping) for row in rows}  # ruff: ignore[SLF001] - the documented name.
    organization = organization_of(entry.project)
    brought = {str(one.id) for one in await backends.of(session, organization)}
    administers = caller.role_in(organization) is Role.ADMIN
    curates = caller.role_in(entry.project) in {Role.ADMIN, Role.CURATOR}

    def may(one: DiscoveredFile) -> bool:
        beside = one.backend == OWN and one.project == entry.project and curates
        return beside or (one.backend in brought and administers)

    faults = [
        Fault(f"/files/{place}/discovered", "there is no such file that you may make one of this object's")
        for place, one in enumerate(ids)
        if one not in there or not may(there[one])
    ]
    if faults:
        raise NotFound("Some of these files are not there.", faults=faults)
    return [there[one] for one in ids]


def _declared(lying: Sequence[DiscoveredFile], wanted: Sequence[Wanted], entry: Entry) -> list[FileDeclaration]:
    """Return these files as their declarations, checked as those of a ticket are; raises Invalid, Conflict."""
    told = [
        {
            "path": one.path or found.key.rpartition("/")[2],
            "size": found.size,
            "sha256": found.sha256,
            "media_type": found.media_type,
        }
        for one, found in zip(wanted, lying, strict=True)
    ]
    files = validation.files_from(
        json.dumps({"files": told}).encode(), kind=reading.kind_of(entry), prefix="", project=entry.project
    )
    held = {file.path for file in entry.files}
    if len(held) + len(files) > FILES_MAX:
        raise TooLarge(f"An object has at most {FILES_MAX} files; this one would have {len(held) + len(files)}.")
    taken = [
        Fault(f"/files/{place}/path", f"the object has a file {file.path!r} already: say another path")
        for place, file in enumerate(files)
        if file.path in held
    ]
    if taken:
        raise Conflict("The object has files of these paths.", faults=taken)
    return files

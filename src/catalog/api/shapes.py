"""What answers look like on the wire: plain structures, and how rows become them."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import IO, Any, Literal
from urllib.parse import quote
from uuid import UUID

import msgspec
from litestar import Response

from catalog.errors import Fault
from catalog.objects import reading, versions
from catalog.objects.reading import Entry, FileView
from catalog.objects.tables import FileState, Upload
from catalog.storage import parts
from catalog.storage.signing import Link

FILES_SHOWN_MAX = 10
ANSWER_BYTES = 64 * 1024


class FoundBytes(msgspec.Struct, frozen=True):
    """What the store holds instead of what was declared."""

    size: int
    sha256: str | None


class ShownFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file of an object."""

    path: str
    size: int
    sha256: str
    media_type: str
    state: Literal["expected", "available", "mismatched", "missing"]
    href: str
    found: FoundBytes | None = None
    # Where links were asked for, and the bytes are there.
    link: Link | None = None


class ShownObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object with its description; `metadata` holds what only its kind says, `terms` the labels of its concepts."""

    id: UUID
    kind: str
    schema_version: int
    project: str
    name: str | None
    title: str
    description: str
    creators: list[dict[str, Any]]
    contact: dict[str, Any]
    contributors: list[dict[str, Any]]
    publisher: dict[str, Any] | None
    titles: list[dict[str, Any]]
    language: str | None
    funding: list[dict[str, Any]]
    identifiers: list[dict[str, Any]]
    keywords: list[str]
    subjects: list[str]
    licence: str | None
    visibility: Literal["public", "organization", "project", "private", "embargoed"]
    embargo_until: str | msgspec.UnsetType = msgspec.UNSET
    dates: list[dict[str, Any]]
    coverage: dict[str, Any] | None
    external: list[dict[str, Any]]
    custom: dict[str, Any]
    metadata: dict[str, Any]
    terms: dict[str, str]
    files: list[ShownFile]
    files_total: int
    revision: int
    state: Literal["draft", "published"]
    version: int | None
    owner: str
    created_at: datetime
    updated_at: datetime


class ShownParts(msgspec.Struct, frozen=True):
    """How a large file is brought in parts: `count` of them, each of `size` bytes, the last perhaps shorter.

    POST the numbers of those that are sent next to `href`.
    """

    href: str
    size: int
    count: int


class ShownTicket(msgspec.Struct, frozen=True):
    """Leave to PUT exactly the declared bytes, once: send every header as given.

    A large file may be brought in parts. One that is too large for a single PUT, or of which parts have arrived, must
    be: its `method` and `url` are null.
    """

    id: UUID
    path: str
    method: Literal["PUT"] | None
    url: str | None
    headers: dict[str, str]
    expires_at: datetime
    parts: ShownParts | None


class ShownWarning(msgspec.Struct, frozen=True):
    """Something that was accepted and may be regretted: where (a JSON pointer), what, and how to mend it."""

    pointer: str
    message: str
    suggestion: str | None


class ChangedObject(ShownObject, frozen=True, kw_only=True):
    """A changed object, with what may be regretted, if anything may."""

    warnings: list[ShownWarning] | msgspec.UnsetType = msgspec.UNSET


class RegisteredObject(ChangedObject, frozen=True, kw_only=True):
    """A registered object, with a ticket for each file still expected."""

    uploads: list[ShownTicket]


class ObjectPage(msgspec.Struct, frozen=True):
    """Some objects, and where the next ones begin."""

    items: list[ShownObject]
    cursor: str | None


class FileList(msgspec.Struct, frozen=True):
    """All files of an object, or some of them and where the next ones begin."""

    items: list[ShownFile]
    cursor: str | msgspec.UnsetType | None = msgspec.UNSET


def file_href(object_id: UUID, path: str) -> str:
    """Return the address under which a file is downloaded."""
    return f"/api/objects/{object_id}/files/{quoted_path(path)}"


def quoted_path(path: str) -> str:
    """Return a file's path as it stands in an address."""
    return quote(path, safe="/")


def shown_file(object_id: UUID, file: FileView) -> ShownFile:
    """Return the file as the wire shows it."""
    found = None if file.found_size is None else FoundBytes(file.found_size, file.found_sha256)
    return ShownFile(
        path=file.path,
        size=file.size,
        sha256=file.sha256,
        media_type=file.media_type,
        state=FileState(file.state).value,
        href=file_href(object_id, file.path),
        found=found,
    )


def shown_object(entry: Entry) -> ShownObject:
    """Return the object as the wire shows it."""
    return ShownObject(**_fields(entry))


def registered_object(entry: Entry, tickets: list[ShownTicket]) -> RegisteredObject:
    """Return the object with the tickets for its files."""
    return RegisteredObject(**_fields(entry), warnings=_warnings(entry), uploads=tickets)


def changed_object(entry: Entry) -> ChangedObject:
    """Return the object with what may be regretted."""
    return ChangedObject(**_fields(entry), warnings=_warnings(entry))


def _warnings(entry: Entry) -> list[ShownWarning] | msgspec.UnsetType:
    return shown_faults(reading.metadata_of(entry).warnings()) or msgspec.UNSET


def shown_faults(faults: Iterable[Fault]) -> list[ShownWarning]:
    """Return faults as the wire shows them."""
    return [ShownWarning(fault.pointer, fault.message, fault.suggestion) for fault in faults]


def _fields(entry: Entry) -> dict[str, Any]:
    record = entry.record
    return {
        "id": entry.id,
        "kind": entry.kind,
        "schema_version": entry.schema_version,
        "project": entry.project,
        "name": record.get("name"),
        "title": record["title"],
        "description": record["description"],
        "creators": record["creators"],
        "contact": record["contact"],
        # What was registered before there were these fields has none of them.
        "contributors": record.get("contributors", []),
        "publisher": record.get("publisher"),
        "titles": record.get("titles", []),
        "language": record.get("language"),
        "funding": record.get("funding", []),
        "identifiers": record.get("identifiers", []),
        "keywords": record["keywords"],
        "subjects": record.get("subjects", []),
        "licence": record.get("licence"),
        "visibility": record["visibility"],
        "embargo_until": record.get("embargo_until", msgspec.UNSET),
        "dates": record["dates"],
        "coverage": record.get("coverage"),
        "external": record.get("external", []),
        "custom": record["custom"],
        "metadata": record["metadata"],
        "terms": entry.terms,
        "files": [shown_file(entry.id, file) for file in entry.files],
        "files_total": entry.files_total,
        "revision": entry.revision,
        "state": versions.state_of(entry),
        "version": entry.version,
        "owner": entry.owner,
        "created_at": entry.created_at,
        "updated_at": entry.updated_at,
    }


def parts_of(upload: Upload) -> ShownParts | None:
    """Show how an upload may be brought in parts; None for a file that is brought whole."""
    cut = parts.cut(upload.size)
    return None if cut is None else ShownParts(f"/api/uploads/{upload.id}/parts", cut.part_size, cut.count)


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file's bytes from where it stands, and close it."""
    with file:
        while block := file.read(ANSWER_BYTES):
            yield block


def json_response(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """Return the value as a JSON answer."""
    return Response(
        msgspec.json.encode(value), status_code=status, media_type="application/json", headers=headers or {}
    )

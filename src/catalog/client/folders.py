"""Whole folders in and out: what `catalog put` and `catalog get` do, for programs too.

Nothing is remembered on this side. A registration's Idempotency-Key is derived from what is registered, so the same
folder with the same description always meets the same object, and the catalog says what is still missing.
"""

import hashlib
import mimetypes
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from catalog.client.catalog import Catalog, file_of
from catalog.client.connection import encoded
from catalog.client.problems import BytesDiffer, NotNoticed, Stopped, StoreRefused
from catalog.client.shapes import FileDeclaration, Object, Registered, Ticket
from catalog.client.transfer import PART, Downloaded, Progress, Source, at_once, inside, sha256_of, silent
from catalog.errors import CatalogError, Fault, Invalid

# How long a store's own notification may take before the catalog is asked to look by itself.
NOTICE_SECONDS = 10.0
NUDGED_SECONDS = 60.0
# A store keeps no checksum of what it joined from parts: the catalog reads it through, on a slow disk this fast.
CHECKED_BYTES_PER_SECOND = 100_000_000
# 403: a ticket that ended; 404: parts that were dropped. A fresh ticket tells whether it is something else.
ENDED = frozenset({403, 404})
# A ticket this close to its end may end on the way.
TICKET_MARGIN = timedelta(seconds=30)

# The interpreter's own table, without the machine's: the same file must be declared the same way everywhere.
_TYPES = mimetypes.MimeTypes()
for _ending, _media_type in {
    ".geojson": "application/geo+json",
    ".grib": "application/x-grib",
    ".h5": "application/x-hdf5",
    ".jsonl": "application/x-ndjson",
    ".md": "text/markdown",
    ".mseed": "application/vnd.fdsn.mseed",
    ".nc": "application/x-netcdf",
    ".npy": "application/x-npy",
    ".onnx": "application/x-onnx",
    ".parquet": "application/vnd.apache.parquet",
    ".safetensors": "application/x-safetensors",
    ".toml": "application/toml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}.items():
    _TYPES.add_type(_media_type, _ending)
MEDIA_TYPE_DEFAULT = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes on this side that will be a file of an object; `size` and `sha256` once they have been read."""

    path: str
    source: Source
    media_type: str = MEDIA_TYPE_DEFAULT
    size: int = 0
    sha256: str = ""

    def declaration(self) -> FileDeclaration:
        """Return the file as a registration declares it."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256, "media_type": self.media_type}


@dataclass(frozen=True, slots=True)
class Put:
    """An object whose files are all available; the paths sent now, and those the catalog had to be asked to look at."""

    object: Object
    sent: frozenset[str]
    nudged: frozenset[str]


@dataclass(frozen=True, slots=True)
class Got:
    """A file on disk with the right SHA-256; `moved` is None when it was there already."""

    path: str
    target: Path
    moved: Downloaded | None


def media_type_of(name: str) -> str:
    """Return the media type that a file name suggests, the same on every machine."""
    found, encoding = _TYPES.guess_type(name)
    return MEDIA_TYPE_DEFAULT if encoding or found is None else found


def pieces_in(place: Path, *, exclude: Sequence[str] = ()) -> list[Piece]:
    """Return the files of a folder, below it to any depth, or the one file; sorted by path.

    Links to files are followed, links to folders are not. Raises Invalid with every name that cannot be a path of an
    object, and when there is nothing.
    """
    if place.is_file():
        found = [(place.name, place)]
    elif place.is_dir():
        every = (file for file in place.rglob("*") if not file.is_dir())
        found = sorted((file.relative_to(place).as_posix(), file) for file in every)
    else:
        raise Invalid(f"There is no file or folder {_shown(str(place))}.")
    found = [
        (path, file)
        for path, file in found
        if not any(fnmatch(path, pattern) or fnmatch(file.name, pattern) for pattern in exclude)
    ]
    faults = [Fault(_shown(path), fault) for path, file in found if (fault := _fault_of(path, file))]
    if faults:
        raise Invalid("Some names cannot be files of an object; rename them or leave them out.", faults=faults)
    if not found:
        raise Invalid(f"There are no files in {_shown(str(place))}.")
    return [Piece(path, file, media_type_of(path), file.stat().st_size) for path, file in found]


def read_through(pieces: Iterable[Piece], progress: Progress = silent) -> list[Piece]:
    """Return the pieces with the size and SHA-256 of their bytes."""

    def read(piece: Piece, stop: threading.Event) -> Piece:
        sha256, size = sha256_of(piece.source, progress, stop)
        return replace(piece, sha256=sha256, size=size)

    return _all(at_once(read, list(pieces)))


def key_of(draft: Mapping[str, Any]) -> str:
    """Return the Idempotency-Key under which the same registration always meets the same object."""
    return f"content-{hashlib.sha256(encoded(draft)).hexdigest()}"


def put(
    catalog: Catalog,
    draft: Mapping[str, Any],
    pieces: Sequence[Piece],
    *,
    idempotency_key: str | None = None,
    on_registered: Callable[[Registered], None] = lambda _: None,
    on_late: Callable[[list[str]], None] = lambda _: None,
    progress: Progress = silent,
) -> Put:
    """Register an object with these bytes as its files, bring them, and return when all are available.

    Run again after an interruption, it sends only what is missing. `on_late` is told of paths that no notification
    announced in time, before the catalog is asked to look. Raises what stopped the first file that did not arrive.
    """
    whole = {**draft, "files": [piece.declaration() for piece in pieces]}
    registered = catalog.register(whole, idempotency_key=idempotency_key or key_of(whole))
    on_registered(registered)
    uploads = bring(catalog, registered, pieces, progress=progress)
    in_parts = {ticket["path"] for ticket in registered["uploads"] if ticket.get("parts") is not None}
    checked_seconds = sum(piece.size for piece in pieces if piece.path in in_parts) / CHECKED_BYTES_PER_SECOND
    nudged = _noticed(catalog, registered, uploads, on_late, checked_seconds)
    return Put(catalog.get(registered["id"]), frozenset(uploads), nudged)


def bring(
    catalog: Catalog, registered: Registered, pieces: Sequence[Piece], *, progress: Progress = silent
) -> dict[str, str]:
    """Upload the files that are not available yet; return the upload id of each by path."""
    tickets = {ticket["path"]: ticket for ticket in registered["uploads"]}
    states = {file["path"]: file["state"] for file in registered["files"]}

    def send(piece: Piece, stop: threading.Event) -> tuple[str, str] | None:
        if states.get(piece.path) == "available":
            progress(piece.size)
            return None
        ticket = tickets.get(piece.path)
        if ticket is None or _ends_soon(ticket):
            ticket = catalog.ticket(registered["id"], piece.path)
        try:
            catalog.upload(ticket, piece.source, progress=progress, stop=stop)
        except StoreRefused as refused:
            if refused.status not in ENDED:
                raise
            ticket = catalog.ticket(registered["id"], piece.path)
            catalog.upload(ticket, piece.source, progress=progress, stop=stop)
        return piece.path, ticket["id"]

    return dict(upload for upload in _all(at_once(send, list(pieces))) if upload is not None)


def get(
    catalog: Catalog,
    object_: Object,
    folder: Path,
    paths: Sequence[str] = (),
    *,
    on_file: Callable[[Got], None] = lambda _: None,
    progress: Progress = silent,
) -> list[Got | CatalogError]:
    """Fetch an object's files, or some of them, below a folder; what is there with the right SHA-256 is left alone.

    A file that fails does not keep the others from coming: its error stands in its place.
    """
    files = [file_of(object_, path) for path in paths] or object_["files"]
    every = {file["path"] for file in object_["files"]}

    def fetch(path: str, stop: threading.Event) -> Got:
        file = file_of(object_, path)
        target = inside(folder, path)
        if target.is_file() and target.stat().st_size == file["size"]:
            sha256, _ = sha256_of(target, stop=stop)
            if sha256 == file["sha256"]:
                progress(file["size"])
                got = Got(path, target, None)
                on_file(got)
                return got
        # An object may have both `x` and `x.part`.
        part = next(part for part in _part_names() if path + part not in every)
        got = Got(path, target, catalog.download(object_, path, target, part=part, progress=progress, stop=stop))
        on_file(got)
        return got

    return at_once(fetch, [file["path"] for file in files])


def _part_names() -> Iterable[str]:
    yield PART
    number = 1
    while True:
        yield f"{PART}-{number}"
        number += 1


def _noticed(
    catalog: Catalog,
    registered: Registered,
    uploads: Mapping[str, str],
    on_late: Callable[[list[str]], None],
    checked_seconds: float,
) -> frozenset[str]:
    """Wait until all files are available; return the paths for which that needed asking."""
    object_id = registered["id"]
    doubtful = frozenset(file["path"] for file in registered["files"] if file["state"] == "mismatched")
    try:
        catalog.wait_until_available(object_id, NOTICE_SECONDS + checked_seconds, sent_again=doubtful)
    except (NotNoticed, BytesDiffer) as fault:
        if isinstance(fault, BytesDiffer) and not doubtful:
            raise
        late = [
            file["path"]
            for file in catalog.get(object_id)["files"]
            if file["state"] != "available" and file["path"] in uploads
        ]
        on_late(late)
        for path in late:
            catalog.nudge(uploads[path])
        catalog.wait_until_available(object_id, NUDGED_SECONDS + checked_seconds, sent_again=doubtful)
        return frozenset(late)
    return frozenset()


def _all(outcomes: list[Any]) -> list[Any]:
    failed = [outcome for outcome in outcomes if isinstance(outcome, CatalogError)]
    # What was stopped because another failed is not the reason.
    for fault in sorted(failed, key=lambda fault: isinstance(fault, Stopped)):
        raise fault
    return outcomes


def _ends_soon(ticket: Ticket) -> bool:
    return datetime.fromisoformat(ticket["expires_at"]) - datetime.now(UTC) < TICKET_MARGIN


def _fault_of(path: str, file: Path) -> str | None:
    try:
        path.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    if "\\" in path:
        return "the name has a backslash, which is a folder separator elsewhere"
    if not file.exists():
        return "the link leads nowhere"
    if not file.is_file():
        return "this is no regular file"
    return None


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


__all__ = ["Got", "Piece", "Put", "bring", "get", "key_of", "media_type_of", "pieces_in", "put", "read_through"]

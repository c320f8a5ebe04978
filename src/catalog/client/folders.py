"""Whole folders in and out: what `catalog put` and `catalog get` do, for programs too.

Nothing is remembered on this side. A registration's Idempotency-Key is derived from what is registered, so the same
folder with the same description always meets the same object, and the catalog says what is still missing.
"""

import hashlib
import mimetypes
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.client.files import file_of
from catalog.client.problems import BytesDiffer, NotAvailable, NotNoticed, Stopped, StoreRefused
from catalog.client.shapes import Declared, File, FileDeclaration, Link, LinkedFile, Object, Registered, Ticket
from catalog.client.transfer import PART, Downloaded, Progress, Source, at_once, download, inside, sha256_of, silent
from catalog.client.wire import encoded
from catalog.errors import CatalogError, Fault, Invalid

if TYPE_CHECKING:
    from catalog.client.catalog import Catalog

# How long a store's own notification may take before the catalog is asked to look by itself.
NOTICE_SECONDS = 10.0
NUDGED_SECONDS = 60.0
# A store keeps no checksum of what it joined from parts: the catalog reads it through, on a slow disk this fast.
CHECKED_BYTES_PER_SECOND = 100_000_000
IN_PARTS_FROM_BYTES = 64 * 1024 * 1024
# Files whose arrival the catalog notes, on a machine that does much else.
NOTED_PER_SECOND = 50.0
# As many files as one request declares.
DECLARED_AT_ONCE = 1_000
# So few links are asked for one by one.
LINKS_APART_MAX = 2
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
    catalog: "Catalog",
    draft: Mapping[str, Any],
    pieces: Sequence[Piece],
    *,
    idempotency_key: str | None = None,
    on_registered: Callable[[Registered], None] = lambda _: None,
    on_late: Callable[[list[str]], None] = lambda _: None,
    progress: Progress = silent,
    stop: threading.Event | None = None,
) -> Put:
    """Register an object with these bytes as its files, bring them, and return when all are available.

    Run again after an interruption, it sends only what is missing. `on_late` is told of paths that no notification
    announced in time, before the catalog is asked to look. Raises what stopped the first file that did not arrive.
    """
    whole = {**draft, "files": [piece.declaration() for piece in pieces]}
    # Its key is that of the whole; what one request cannot declare is declared after it.
    first, more = pieces[:DECLARED_AT_ONCE], pieces[DECLARED_AT_ONCE:]
    begun = {**draft, "files": whole["files"][:DECLARED_AT_ONCE]}
    registered = catalog.register(begun, idempotency_key=idempotency_key or key_of(whole))
    on_registered(registered)
    there = {file["path"] for file in registered["files"] if file["state"] == "available"}
    progress(sum(piece.size for piece in more if piece.path in there))
    missing = [piece for piece in more if piece.path not in there]
    uploads = bring(catalog, registered, first, progress=progress, stop=stop)
    uploads |= declare_and_bring(catalog, registered["id"], missing, progress=progress, stop=stop)
    nudged = _noticed(catalog, registered, uploads, on_late, notice_seconds(pieces))
    return Put(catalog.get(registered["id"]), frozenset(uploads), nudged)


def bring(
    catalog: "Catalog",
    registered: Registered,
    pieces: Sequence[Piece],
    *,
    progress: Progress = silent,
    stop: threading.Event | None = None,
) -> dict[str, str]:
    """Upload the files that are not available yet; return the upload id of each by path."""
    there = {file["path"] for file in registered["files"] if file["state"] == "available"}
    progress(sum(piece.size for piece in pieces if piece.path in there))
    missing = [piece for piece in pieces if piece.path not in there]
    return _sent(catalog, registered["id"], registered["uploads"], missing, progress=progress, stop=stop)


def declare_and_bring(
    catalog: "Catalog",
    object_id: str,
    pieces: Sequence[Piece],
    *,
    progress: Progress = silent,
    stop: threading.Event | None = None,
) -> dict[str, str]:
    """Declare these files of an object, and upload them; return the upload id of each by path.

    The next files are declared while those before are on their way.
    """
    uploads: dict[str, str] = {}
    stop = stop or threading.Event()
    batches = [pieces[start : start + DECLARED_AT_ONCE] for start in range(0, len(pieces), DECLARED_AT_ONCE)]

    def declare(batch: Sequence[Piece]) -> Sequence[Ticket]:
        # Somebody else may bring other files meanwhile: whichever revision it is.
        answer = catalog.declare_files(object_id, [piece.declaration() for piece in batch], revision=None)
        return answer["uploads"]

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="declaring") as ahead:
        coming = ahead.submit(declare, batches[0]) if batches else None
        for place, batch in enumerate(batches):
            assert coming is not None  # ruff: ignore[S101] - there is one for each batch.
            tickets = coming.result()
            coming = ahead.submit(declare, batches[place + 1]) if place + 1 < len(batches) else None
            uploads |= _sent(catalog, object_id, tickets, batch, progress=progress, stop=stop)
    return uploads


def _sent(
    catalog: "Catalog",
    object_id: str,
    given: Sequence[Ticket],
    pieces: Sequence[Piece],
    *,
    progress: Progress,
    stop: threading.Event | None,
) -> dict[str, str]:
    """Upload these files with the tickets that were given for them; return the upload id of each by path."""
    tickets = {ticket["path"]: ticket for ticket in given}

    def send(piece: Piece, stop: threading.Event) -> tuple[str, str]:
        ticket = tickets.get(piece.path)
        if ticket is None or _ends_soon(ticket):
            ticket = catalog.ticket(object_id, piece.path)
        try:
            catalog.upload(ticket, piece.source, progress=progress, stop=stop)
        except StoreRefused as refused:
            if refused.status not in ENDED:
                raise
            ticket = catalog.ticket(object_id, piece.path)
            catalog.upload(ticket, piece.source, progress=progress, stop=stop)
        return piece.path, ticket["id"]

    return dict(_all(at_once(send, list(pieces), stop=stop)))


def get(
    catalog: "Catalog",
    object_: Object,
    folder: Path,
    paths: Sequence[str] = (),
    *,
    on_file: Callable[[Got], None] = lambda _: None,
    progress: Progress = silent,
    stop: threading.Event | None = None,
) -> list[Got | CatalogError]:
    """Fetch an object's files, or some of them, below a folder; what is there with the right SHA-256 is left alone.

    A file that fails does not keep the others from coming: its error stands in its place.
    """
    named = {file["path"]: file for file in object_["files"]}
    files = [named.get(path) or file_of(object_, path) for path in paths] or object_["files"]
    every = named.keys()
    whole = len(named) > LINKS_APART_MAX and every == {file["path"] for file in files}
    # Links are had for many files at once, as they are wanted: the last ones shall not have ended before their turn.
    coming = catalog.linked_files(object_["id"]) if whole else None
    links: dict[str, Link | None] = {}
    looking = threading.Lock()

    def link_of(path: str) -> Link | None:
        with looking:
            while coming is not None and path not in links:
                more = next(coming, None)
                if more is None:
                    break
                links[more["path"]] = more["link"]
            return links.pop(path, None)

    def fetch(file: File, stop: threading.Event) -> Got:
        path = file["path"]
        target = inside(folder, path)
        moved = None
        if not _holds(target, file, progress, stop):
            if file["state"] != "available":
                raise NotAvailable(
                    f"The bytes of {path!r} are {file['state']}; only an available file can be downloaded."
                )
            link = links_to(catalog, object_["id"], path, link_of(path))
            part = _part_of(path, every)
            moved = download(catalog.connection, link, file, target, part=part, progress=progress, stop=stop)
        got = Got(path, target, moved)
        on_file(got)
        return got

    return at_once(fetch, files, stop=stop)


def fetched(
    catalog: "Catalog",
    object_id: str,
    file: LinkedFile,
    folder: Path,
    *,
    path: str,
    every: Collection[str],
    progress: Progress = silent,
    stop: threading.Event,
) -> Got:
    """Fetch a file to `path` below a folder by the link that came with it; what is there and right stays.

    `every` are the paths of all that is fetched into the folder.
    """
    target = inside(folder, path)
    if _holds(target, file, progress, stop):
        return Got(path, target, None)
    link = links_to(catalog, object_id, file["path"], file["link"])
    part = _part_of(path, every)
    moved = download(catalog.connection, link, file, target, part=part, progress=progress, stop=stop)
    return Got(path, target, moved)


def links_to(catalog: "Catalog", object_id: str, path: str, given: Link | None) -> Callable[[], str]:
    """Return what gives a link to a file: first the one that is there, as long as it lasts, then fresh ones."""
    at_hand = iter([given])

    def link() -> str:
        first = next(at_hand, None)
        lasts = first is not None and datetime.fromisoformat(first["expires_at"]) - datetime.now(UTC) > TICKET_MARGIN
        return first["href"] if first is not None and lasts else catalog.link(object_id, path)

    return link


def _holds(target: Path, file: Declared, progress: Progress, stop: threading.Event) -> bool:
    """Whether a file on disk has the declared bytes."""
    if not target.is_file() or target.stat().st_size != file["size"]:
        return False
    if sha256_of(target, stop=stop)[0] != file["sha256"]:
        return False
    progress(file["size"])
    return True


def _part_of(path: str, every: Collection[str]) -> str:
    """Return what a file's name ends in while it is fetched: an object may have both `x` and `x.part`."""
    return next(part for part in _part_names() if path + part not in every)


def _part_names() -> Iterable[str]:
    yield PART
    number = 1
    while True:
        yield f"{PART}-{number}"
        number += 1


def _noticed(
    catalog: "Catalog",
    registered: Registered,
    uploads: Mapping[str, str],
    on_late: Callable[[list[str]], None],
    notice_seconds: float,
) -> frozenset[str]:
    """Wait until all files are available; return the paths for which that needed asking."""
    object_id = registered["id"]
    doubtful = frozenset(file["path"] for file in registered["files"] if file["state"] == "mismatched")
    try:
        catalog.wait_until_available(object_id, notice_seconds, sent_again=doubtful)
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
        catalog.wait_until_available(object_id, NUDGED_SECONDS + notice_seconds, sent_again=doubtful)
        return frozenset(late)
    return frozenset()


def _all(outcomes: list[Any]) -> list[Any]:
    failed = [outcome for outcome in outcomes if isinstance(outcome, CatalogError)]
    # What was stopped because another failed is not the reason.
    for fault in sorted(failed, key=lambda fault: isinstance(fault, Stopped)):
        raise fault
    return outcomes


def notice_seconds(pieces: Iterable[Piece]) -> float:
    """Return how long the catalog may take to note that these files have arrived, before it is asked to look."""
    number, read_bytes = 0, 0
    for piece in pieces:
        number += 1
        # Those in parts; a file below is checked by the store.
        read_bytes += piece.size if piece.size >= IN_PARTS_FROM_BYTES else 0
    return NOTICE_SECONDS + read_bytes / CHECKED_BYTES_PER_SECOND + number / NOTED_PER_SECOND


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

"""Files of objects: declared, brought, linked, fetched; single ones, whole folders, and files of registrations."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, cast

import httpx2

from catalog.client import parts
from catalog.client.calls import (
    C,
    Call,
    Listing,
    Pause,
    Room,
    Steps,
    get,
    if_match,
    in_thread,
    member,
    nothing,
    object_path,
    quoted,
    request,
    said,
    series,
)
from catalog.client.connection import Blocking
from catalog.client.problems import BytesDiffer, NoSuchFile, NotAvailable, NotNoticed
from catalog.client.shapes import File, FileDeclaration, LinkedFile, Object, Registered, Ticket, Upload
from catalog.client.transfer import PART, Downloaded, Progress, Source, download, silent, upload

if TYPE_CHECKING:
    from catalog.client.folders import Got, Piece, Put
    from catalog.client.rows import Loaded
    from catalog.errors import CatalogError

POLL_SECONDS_FIRST = 0.05
POLL_SECONDS_MAX = 1.0
# Of the time that was waited: whoever waits for long need not know at once, and never loses much of it.
POLL_SHARE = 0.1
# To read an object takes the longer the more files it has: so many are asked after once a second.
POLLED_FILES_PER_SECOND = 5_000
LINKED_AT_ONCE = 1_000


class Files(Room[C]):
    """Bytes, which go straight between a disk and the store."""

    @request
    def declare_files(
        self, object_id: str, files: Sequence[FileDeclaration], *, revision: int | None
    ) -> Call[Registered]:
        """Declare more files of an object, or new bytes for some; the answer has a ticket for each.

        Unless the object has moved on from that revision; None: whatever it was.
        """
        body = {"files": list(files)}
        return Call(
            "POST",
            f"{object_path(object_id)}/files",
            body=body,
            headers=if_match(revision),
            # Declared again, the same files get tickets again.
            repeatable=revision is None,
        )

    @series
    def linked_files(self, object_id: str) -> Listing[LinkedFile]:
        """Yield the files of an object by path, each with a signed link if its bytes are there."""
        return Listing(f"{object_path(object_id)}/files", said(links=True, limit=LINKED_AT_ONCE))

    @request
    def ticket(self, object_id: str, path: str) -> Call[Ticket]:
        """Return a fresh ticket for a file whose bytes are not there."""
        body = {"object": object_id, "path": path}
        return Call("POST", "/api/uploads", body=body, repeatable=True, read=member("upload"))

    @request
    def upload_state(self, upload_id: str) -> Call[Upload]:
        """Return where an upload stands."""
        return get(f"/api/uploads/{quoted(upload_id)}")

    @request
    def nudge(self, upload_id: str) -> Call[None]:
        """Ask the catalog to look at an upload's bytes now, for when the store's notification is late or lost."""
        return Call("POST", f"/api/uploads/{quoted(upload_id)}/complete", repeatable=True, read=nothing)

    @request
    def link(self, object_id: str, path: str) -> Call[str]:
        """Return a signed link to a file's bytes, which works for a short time for whoever holds it."""
        return Call(
            "GET",
            f"{object_path(object_id)}/files/{quoted(path).replace('%2F', '/')}",
            repeatable=True,
            accept=frozenset({httpx2.codes.TEMPORARY_REDIRECT}),
            read=lambda response: response.headers["location"],
        )

    @request
    def wait_until_available(
        self, object_id: str, timeout_seconds: float = 60.0, *, sent_again: Collection[str] = ()
    ) -> Steps[Object]:
        """Return the object once the bytes of all its files are there.

        Raises BytesDiffer when the store holds other bytes than were declared, NotNoticed when the time is over. Of
        paths in `sent_again`, what differs may be the bytes before: they are waited for.
        """
        began = time.monotonic()
        ends = began + timeout_seconds
        while True:
            object_ = cast("Object", (yield get(object_path(object_id))))
            awaited = [file["path"] for file in object_["files"] if file["state"] != "available"]
            if not awaited:
                return object_
            waited = time.monotonic() - began
            pause = min(POLL_SECONDS_MAX, max(POLL_SECONDS_FIRST, waited * POLL_SHARE))
            over = time.monotonic() + pause > ends
            differing = [file["path"] for file in object_["files"] if file["state"] == "mismatched"]
            if differing and (over or not set(differing) <= set(sent_again)):
                raise BytesDiffer(f"The store holds other bytes than were declared for {few(differing)}.")
            if over:
                raise NotNoticed(
                    f"After {timeout_seconds:g} s the catalog has not taken note of the bytes of {few(awaited)}."
                )
            many = len(object_["files"]) / POLLED_FILES_PER_SECOND
            yield Pause(max(pause, many))

    @in_thread
    def upload(
        self: "Files[Blocking]",
        ticket: Ticket,
        source: Source,
        *,
        progress: Progress = silent,
        stop: Event | None = None,
    ) -> None:
        """Send a file's bytes straight to the store; `source` is a path, or opens the bytes anew at each call.

        A large file goes in parts, and goes on with those that an earlier call has brought. The store takes exactly
        the bytes whose SHA-256 was declared.
        """
        bring = upload if ticket.get("parts") is None else parts.upload
        bring(self.connection, ticket, source, progress=progress, stop=stop)

    @in_thread
    def download(
        self: "Files[Blocking]",
        object_: Object,
        path: str,
        target: Path,
        *,
        part: str = PART,
        progress: Progress = silent,
        stop: Event | None = None,
    ) -> Downloaded:
        """Fetch a file of an object to `target` and check its SHA-256, going on with a `.part` file left before.

        The file has its name only when it is whole and right.
        """
        file = file_of(object_, path)
        if file["state"] != "available":
            raise NotAvailable(f"The bytes of {path!r} are {file['state']}; only an available file can be downloaded.")
        return download(
            self.connection,
            lambda: self.link(object_["id"], path),
            file,
            target,
            part=part,
            progress=progress,
            stop=stop,
        )

    @in_thread
    def put(
        self: "Any",
        draft: Mapping[str, Any],
        pieces: "Sequence[Piece]",
        *,
        idempotency_key: str | None = None,
        on_registered: Callable[[Registered], None] = lambda _: None,
        on_late: Callable[[list[str]], None] = lambda _: None,
        progress: Progress = silent,
        stop: Event | None = None,
    ) -> "Put":
        """Register an object with these files, bring their bytes, and return when all are available.

        `pieces_in` and `read_through` make the pieces of a folder. Run again after an interruption, it sends only
        what is missing. `on_late` is told of paths that no notification announced in time, before the catalog is
        asked to look. Raises what stopped the first file that did not arrive.
        """
        from catalog.client import folders  # ruff: ignore[PLC0415] - it builds on this room.

        return folders.put(
            self,
            draft,
            pieces,
            idempotency_key=idempotency_key,
            on_registered=on_registered,
            on_late=on_late,
            progress=progress,
            stop=stop,
        )

    @in_thread
    def fetch(
        self: "Any",
        object_: Object,
        folder: Path,
        paths: Sequence[str] = (),
        *,
        on_file: "Callable[[Got], None]" = lambda _: None,
        progress: Progress = silent,
        stop: Event | None = None,
    ) -> "list[Got | CatalogError]":
        """Fetch an object's files, or some of them, below a folder; what is there with the right SHA-256 stays.

        A file that fails does not keep the others from coming: its error stands in its place.
        """
        from catalog.client import folders  # ruff: ignore[PLC0415] - it builds on this room.

        return folders.get(self, object_, folder, paths, on_file=on_file, progress=progress, stop=stop)

    @in_thread
    def register_rows(
        self: "Any", file: Path, *, new: bool = False, progress: Progress = silent, stop: Event | None = None
    ) -> "Loaded":
        """Register every row of an NDJSON file in one request; raises Invalid when the file cannot be read.

        `new` makes another object of every row that has no name, even of the very same row as before.
        """
        from catalog.client import rows  # ruff: ignore[PLC0415] - it builds on this room.

        return rows.load(self, file, new=new, progress=progress, stop=stop)


def file_of(object_: Object, path: str) -> File:
    """Return the object's file of that path; raises NoSuchFile with what there is."""
    for file in object_["files"]:
        if file["path"] == path:
            return file
    raise NoSuchFile(f"The object has no file {path!r}; it has {few([file['path'] for file in object_['files']])}.")


def few(paths: Sequence[str]) -> str:
    """Name the first paths, and how many more there are."""
    shown = ", ".join(repr(path) for path in paths[:3])
    return f"{shown} and {len(paths) - 3} more" if len(paths) > 3 else shown or "no file"  # ruff: ignore[PLR2004]

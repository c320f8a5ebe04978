"""Moving one file's bytes between disk and store, in constant memory, checked, and resumable where HTTP allows it."""

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

import httpx2

from catalog.client.connection import Blocking
from catalog.client.patience import PASSING, Patience, retry_after
from catalog.client.problems import (
    BytesDiffer,
    FileChanged,
    Stopped,
    StoreRefused,
    Unreachable,
    UnsafePath,
    store_refused,
)
from catalog.client.shapes import Declared, Ticket
from catalog.client.wire import reason
from catalog.errors import CatalogError

CHUNK_BYTES = 256 * 1024
TRANSFERS_AT_ONCE = 4
PART = ".part"
WAIT_SECONDS = 0.2

# Told of every piece moved, in bytes; a negative number takes back what must be sent again.
Progress = Callable[[int], None]
Source = Path | Callable[[], BinaryIO]
Item = TypeVar("Item")
Result = TypeVar("Result")

# 403: the link ended on the way, and the next try has a new one; 416: what we had was too long, and is gone now.
RETRIED = PASSING | {403, 416, 500}

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


def silent(_: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file on disk whose SHA-256 is the declared one."""

    target: Path
    bytes_moved: int
    resumed_from: int


def sha256_of(source: Source, progress: Progress = silent, stop: threading.Event | None = None) -> tuple[str, int]:
    """Return the SHA-256 in hex and the size in bytes."""
    digest = hashlib.sha256()
    size = 0
    with _opened(source) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            if stop is not None and stop.is_set():
                raise Stopped
            digest.update(chunk)
            size += len(chunk)
            progress(len(chunk))
    return digest.hexdigest(), size


def upload(
    connection: Blocking,
    ticket: Ticket,
    source: Source,
    *,
    progress: Progress = silent,
    stop: threading.Event | None = None,
) -> None:
    """Send a file's bytes with its ticket; bytes that the store has already are not sent twice.

    Raises FileChanged when the file is not as declared any more, StoreRefused when the store says no, Unreachable.
    """
    assert ticket["url"] is not None  # ruff: ignore[S101] - a ticket without one is for parts.
    span = Span(repr(ticket["path"]), 0, int(ticket["headers"]["content-length"]), last=True)
    send(connection, ticket["url"], ticket["headers"], source, span, progress=progress, stop=stop)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a source's bytes, and what it is called when it cannot be sent; after the `last` comes nothing."""

    name: str
    offset: int
    size: int
    last: bool


def send(
    connection: Blocking,
    url: str,
    headers: Mapping[str, str],
    source: Source,
    span: Span,
    *,
    progress: Progress = silent,
    stop: threading.Event | None = None,
) -> None:
    """PUT a stretch of a source's bytes to the store, anew where the line broke.

    Raises FileChanged when they are not there any more, StoreRefused, Unreachable.
    """
    patience = Patience(connection.patience_seconds, stop)
    while True:
        with _opened(source) as stream:
            if span.offset:
                stream.seek(span.offset)
            body = _Metered(stream, span, progress, stop or threading.Event())
            try:
                with connection.store.stream("PUT", url, headers=dict(headers), content=body) as response:
                    # 412: an earlier try, whose answer was lost, has brought the bytes (the ticket says if-none-match).
                    if response.is_success or response.status_code == httpx2.codes.PRECONDITION_FAILED:
                        # To its end, which is near: a connection that was not read so far cannot be used again.
                        response.read()
                        progress(span.size - body.sent)
                        return
                    refused = store_refused(response, f"to take {span.name}")
                    asked = retry_after(response)
            except httpx2.TransportError as fault:
                progress(-body.sent)
                if not patience.lasts():
                    raise Unreachable(f"The store did not take {span.name}: {reason(fault)}.") from None
                continue
        progress(-body.sent)
        if refused.status not in PASSING | {500} or not patience.lasts(asked):
            raise refused


def download(
    connection: Blocking,
    link: Callable[[], str],
    file: Declared,
    target: Path,
    *,
    part: str = PART,
    progress: Progress = silent,
    stop: threading.Event | None = None,
) -> Downloaded:
    """Fetch a file to `<target>.part`, going on where an earlier try stopped, check it, and give it its name.

    `link` signs a fresh link for every request. Raises BytesDiffer when what comes is not what was declared; bytes
    left by an earlier try are then fetched again before that is said.
    """
    partial = target.with_name(target.name + part)
    target.parent.mkdir(parents=True, exist_ok=True)
    resumed_from = _kept_bytes(partial, file["size"])
    moved = 0
    for start in dict.fromkeys((resumed_from, 0)):
        if start == 0:
            partial.unlink(missing_ok=True)
        digest, came = _fill(connection, link, file, partial, progress=progress, stop=stop or threading.Event())
        moved += came
        if digest == file["sha256"]:
            partial.replace(target)
            return Downloaded(target, moved, start)
        progress(-file["size"])
    partial.unlink(missing_ok=True)
    raise BytesDiffer(
        f"What the store gives for {file['path']!r} is not what was declared: its SHA-256 is {digest}, "
        f"not {file['sha256']}. Nothing was kept."
    )


class _Partial:
    """The file being filled: what it has, and the digest of it."""

    def __init__(self, out: BinaryIO, progress: Progress, stop: threading.Event) -> None:
        self.have = self.moved = 0
        self.digest = hashlib.sha256()
        self._out = out
        self._progress = progress
        self._stop = stop
        while chunk := out.read(CHUNK_BYTES):
            self._note(chunk)

    def add(self, chunk: bytes) -> None:
        """Append what came."""
        if self._stop.is_set():
            raise Stopped
        self._out.write(chunk)
        self.moved += len(chunk)
        self._note(chunk)

    def begin_anew(self) -> None:
        """Drop everything."""
        self._out.seek(0)
        self._out.truncate()
        self._progress(-self.have)
        self.have = 0
        self.digest = hashlib.sha256()

    def _note(self, chunk: bytes) -> None:
        self.digest.update(chunk)
        self.have += len(chunk)
        self._progress(len(chunk))


def _fill(
    connection: Blocking,
    link: Callable[[], str],
    file: Declared,
    partial: Path,
    *,
    progress: Progress,
    stop: threading.Event,
) -> tuple[str, int]:
    """Append to the partial file until it is as long as declared; return its SHA-256 and how many bytes came."""
    patience = Patience(connection.patience_seconds, stop)
    # O_NOFOLLOW: a link left under this name must not lead our bytes elsewhere.
    handle = os.open(partial, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with os.fdopen(handle, "r+b") as out:
        filling = _Partial(out, progress, stop)
        while filling.have < file["size"]:
            before = filling.moved
            asked: float | None = None
            failed: CatalogError
            try:
                with _rest_of(connection, link(), filling) as response:
                    if response.is_success:
                        for chunk in response.iter_raw(CHUNK_BYTES):
                            filling.add(chunk)
                        break
                    failed, asked = store_refused(response, f"to give {file['path']!r}"), retry_after(response)
                    if failed.status not in RETRIED:
                        raise failed
            except httpx2.TransportError as fault:
                failed = Unreachable(f"The store did not give all of {file['path']!r}: {reason(fault)}.")
            if filling.moved > before:
                patience.renew()
            if not patience.lasts(asked):
                raise failed
        return filling.digest.hexdigest(), filling.moved


@contextmanager
def _rest_of(connection: Blocking, link: str, filling: _Partial) -> Iterator[httpx2.Response]:
    headers = {"range": f"bytes={filling.have}-"} if filling.have else {}
    with connection.store.stream("GET", link, headers=headers) as response:
        if filling.have and not _continues(response, filling.have):
            filling.begin_anew()
        yield response


def _continues(response: httpx2.Response, have: int) -> bool:
    if response.status_code != httpx2.codes.PARTIAL_CONTENT:
        # Refusals keep what we have; a whole answer and an impossible range do not.
        return response.status_code not in {200, 416}
    told = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if told is None or int(told[1]) != have:
        raise StoreRefused("to go on in the middle of a file", response.status_code, "InvalidRange")
    return True


def _kept_bytes(partial: Path, size: int) -> int:
    """Return how much of an earlier try can be used; what is too long to be a beginning is removed."""
    if partial.is_symlink():
        raise UnsafePath(f"{partial} is a symbolic link; remove it.")
    kept = partial.stat().st_size if partial.exists() else 0
    if kept > size:
        partial.unlink()
        return 0
    return kept


def inside(folder: Path, path: str) -> Path:
    """Return where a file of this path goes below the folder; raises UnsafePath where that would be outside it."""
    parts = PurePosixPath(path).parts
    unsafe = (
        not path
        or path.startswith("/")
        or path != "/".join(parts)
        or any(part in {".", ".."} or "\0" in part or os.sep in part or (os.altsep or "/") in part for part in parts)
    )
    target = folder.joinpath(*parts)
    # A symbolic link on the way must not lead outside either.
    if unsafe or not target.parent.resolve().is_relative_to(folder.resolve()):
        raise UnsafePath(f"{path!r} would be written outside {folder}.")
    return target


def at_once(
    work: Callable[[Item, threading.Event], Result],
    items: list[Item],
    workers: int = TRANSFERS_AT_ONCE,
    *,
    stop: threading.Event | None = None,
) -> list[Result | CatalogError]:
    """Do the work for every item, a few at a time; one that fails leaves its error in its place.

    Interrupted, all transfers stop at their next piece before the interruption goes on; so they do once `stop` is set.
    """
    stop = stop or threading.Event()

    def guarded(item: Item) -> Result | CatalogError:
        if stop.is_set():
            return Stopped()
        try:
            return work(item, stop)
        except CatalogError as fault:
            if isinstance(fault, Unreachable):
                # The others would wait for the same silence.
                stop.set()
            return fault
        except OSError as fault:
            return CatalogError(f"{fault.filename or 'a file'}: {fault.strerror or fault}")

    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="transfer") as pool:
        try:
            futures = [pool.submit(guarded, item) for item in items]
            # In short waits: where the kernel hands Ctrl-C to another thread, a long one would not hear of it.
            while wait(futures, timeout=WAIT_SECONDS).not_done:
                pass
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


class _Metered:
    """The bytes of a request: exactly the declared number, told of as they go, stopped when asked to."""

    def __init__(self, stream: BinaryIO, span: Span, progress: Progress, stop: threading.Event) -> None:
        self.sent = 0
        self._stream = stream
        self._span = span
        self._progress = progress
        self._stop = stop

    def __iter__(self) -> Iterator[bytes]:
        size = self._span.size
        while chunk := self._stream.read(min(CHUNK_BYTES, size - self.sent)):
            if self._stop.is_set():
                raise Stopped
            self.sent += len(chunk)
            if self._span.last and self.sent == size and self._stream.read(1):
                raise FileChanged
            self._progress(len(chunk))
            yield chunk
        if self.sent < size:
            raise FileChanged


def _opened(source: Source) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, Path):
        return source.open("rb")
    stream = source()
    return stream if hasattr(stream, "__exit__") else nullcontext(stream)

"""A server on loopback that answers as a test says, to see what a client does when things go wrong."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHUNK_BYTES = 256 * 1024
KEPT_BYTES_MAX = 4 * 1024 * 1024


@dataclass
class Seen:
    """A request as it came in; of a large body only the beginning is kept."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    body_bytes: int


@dataclass
class Answer:
    """What to answer.

    `cut` closes the connection after so many bytes of the body, 0 before anything is said; `hold` keeps it open after
    the body until the server's `release` is set.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    hold: bool = False


Script = Callable[[Seen, int], Answer]


def said(value: Any, status: int = 200, **headers: str) -> Answer:
    """An answer in JSON."""
    kind = "application/problem+json" if status >= 400 else "application/json"
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, json.dumps(value).encode(), {"content-type": kind, **named})


@dataclass
class Server:
    """A running script: where it is, and what it has seen."""

    url: str
    script: Script
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    release: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    """Looks, notes, and does as the script says."""

    protocol_version = "HTTP/1.1"
    told: Server
    lock: threading.Lock

    def setup(self) -> None:
        """Count the connection that begins."""
        with self.lock:
            self.told.connections += 1
        super().setup()

    def answer(self) -> None:
        """Answer one request."""
        headers = {name.lower(): text for name, text in self.headers.items()}
        seen = Seen(self.command, self.path, headers, *self._body(headers))
        with self.lock:
            self.told.seen.append(seen)
            number = len(self.told.seen) - 1
        answer = self.told.script(seen, number)
        self.close_connection = answer.cut is not None or answer.hold
        if answer.cut == 0:
            return
        self.send_response(answer.status)
        for name, text in ({"content-length": str(len(answer.body))} | answer.headers).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(answer.body[: answer.cut])
        if answer.hold:
            self.told.release.wait(60)

    def _body(self, headers: dict[str, str]) -> tuple[bytes, int]:
        if headers.get("transfer-encoding") == "chunked":
            whole = b"".join(self._chunks())
            return whole, len(whole)
        size = int(headers.get("content-length", 0))
        kept = self.rfile.read(min(size, KEPT_BYTES_MAX))
        taken = len(kept)
        while chunk := self.rfile.read(min(size - taken, CHUNK_BYTES)):
            taken += len(chunk)
        return kept, taken

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, format: str, *args: Any) -> None:  # ruff: ignore[A002] - its name in the library.
        """Say nothing."""


for _method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler.answer)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what these tests are about."""


@contextmanager
def serving(script: Script) -> Iterator[Server]:
    """Serve the script; it is given each request and how many came before it."""
    handler = type("Handler", (_Handler,), {"lock": threading.Lock()})
    listener = _Listener(("127.0.0.1", 0), handler)
    server = handler.told = Server(f"http://127.0.0.1:{listener.server_address[1]}", script)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()

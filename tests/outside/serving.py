"""A server with a certificate of its own, that answers as a test says."""

import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests import certificates


@dataclass
class Outside:
    """A server outside: what it answers by method and path, and what it was asked."""

    address: str
    tls: ssl.SSLContext
    answers: dict[tuple[str, str], tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def says(self, method: str, path: str, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer so from now on."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[method, path] = status, named, body

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Method and path of every request, in their order."""
        return [(method, path) for method, path, _ in self.seen]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: Outside

    def answer(self) -> None:
        self.told.seen.append((self.command, self.path, {name.lower(): text for name, text in self.headers.items()}))
        status, headers, body = self.told.answers.get((self.command, self.path), (404, {}, b""))
        self.send_response(status)
        for name, value in ({"content-length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # ruff: ignore[A002] - its name in the library.
        """Say nothing."""


for _method in ("GET", "HEAD"):
    setattr(_Handler, f"do_{_method}", _Handler.answer)


@contextmanager
def serving(folder: Path, host: str) -> Generator[Outside]:
    """Run a server on loopback that calls itself so, with the trust that its certificate needs."""
    authority, pem = certificates.made(folder, host)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(pem)
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.socket = served.wrap_socket(server.socket, server_side=True)
    told = Outside(f"{host}:{server.server_port}", ssl.create_default_context(cafile=authority))
    handler.told = told
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield told
    server.shutdown()
    server.server_close()


@pytest.fixture
def outside(tmp_path: Path) -> Generator[Outside]:
    """A server on loopback called localhost, and the trust that its certificate needs."""
    with serving(tmp_path, "localhost") as told:
        yield told

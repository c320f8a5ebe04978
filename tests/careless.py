"""A gateway before a real store that can do less: the bytes lie there, and headers are ignored or refused."""

import threading
from collections.abc import Collection, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx2

from catalog.storage.signing import Signer

CHECKSUM, ONCE = "x-amz-checksum-sha256", "if-none-match"
PASSED_ON = ("content-length", "content-type", "range", "x-amz-checksum-mode", CHECKSUM, ONCE)
LIFETIME = timedelta(minutes=5)


@contextmanager
def careless(
    endpoint: str,
    region: str,
    keys: tuple[str, str],
    *,
    ignores: Collection[str] = (),
    refuses: Collection[str] = (),
) -> Generator[str]:
    """Serve the store at an endpoint with its headers ignored or answered by 501; yields where.

    It asks nobody who they are, and repeats in a HEAD what it was told of a checksum that it ignored.
    """
    signer = Signer(endpoint=endpoint, region=region, access_key=keys[0], secret_key=keys[1])
    claimed: dict[str, str] = {}

    class Gateway(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            parts = urlsplit(self.path)
            bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            if not bucket or any(name in self.headers for name in refuses):
                self.say(501, {}, b"")
                return
            asked = parse_qsl(parts.query, keep_blank_values=True)
            query = {name: value for name, value in asked if not name.startswith("X-Amz-")}
            headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers and name not in ignores}
            link = signer.sign(
                self.command, bucket, key, expires=LIFETIME, now=datetime.now(UTC), query=query, headers=headers
            )
            answer = client.request(self.command, link.href, headers=headers, content=content or None)
            if self.command == "PUT" and CHECKSUM in ignores and answer.is_success:
                claimed[parts.path] = self.headers.get(CHECKSUM, "")
            told = {name: value for name, value in answer.headers.items() if name not in {"date", "connection"}}
            if self.command == "HEAD" and claimed.get(parts.path):
                told[CHECKSUM] = claimed[parts.path]
            self.say(answer.status_code, told, answer.content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - the library's names.

        def say(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name not in {"transfer-encoding", "content-length", "server"}:
                    self.send_header(name, value)
            self.send_header("content-length", headers.get("content-length", str(len(content))))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with httpx2.Client(trust_env=False, timeout=30, headers={"accept-encoding": "identity"}) as client:
        gateway = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{gateway.server_port}"
        finally:
            gateway.shutdown()
            gateway.server_close()

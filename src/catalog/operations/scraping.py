"""Who may read metrics, and the small door that a process without an API has for them.

With a token, whoever has it. Without one, only this machine, and nobody who comes through a proxy: to us, everybody who
does is this machine.
"""

import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import structlog
import uvicorn
from pydantic import SecretStr

from catalog.errors import Forbidden, Unauthenticated
from catalog.operations.figures import Gauges
from catalog.settings import is_loopback

log = structlog.get_logger("catalog.operations")

# Each is written by proxies alone (RFC 7239, and what was used before it). Some write one of them, and not the others.
FORWARDED = frozenset(
    {
        *("forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip"),
        *(f"x-forwarded-{what}" for what in ("for", "host", "port", "proto", "server", "prefix")),
    }
)
PATH = "/metrics"


def must_be_allowed(token: SecretStr | None, headers: Mapping[str, str], peer: str) -> None:
    """Raise Unauthenticated or Forbidden for whoever may not read metrics; `headers` by their names in lower case."""
    if token is not None:
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        expected = token.get_secret_value().encode()
        if scheme.lower() != "bearer" or not hmac.compare_digest(sent.strip().encode(), expected):
            raise Unauthenticated("Send CATALOG_METRICS_TOKEN as `Authorization: Bearer <token>`.")
    elif not is_loopback(peer) or FORWARDED & headers.keys():
        raise Forbidden("Without CATALOG_METRICS_TOKEN, metrics are told to this machine alone.")


Send = Callable[[dict[str, Any]], Awaitable[None]]


class Door:
    """Answers `/metrics` and nothing else (ASGI 3)."""

    def __init__(self, gauges: Gauges, token: SecretStr | None) -> None:
        self._gauges = gauges
        self._token = token

    async def __call__(self, scope: dict[str, Any], _receive: object, send: Send) -> None:
        """Answer one request."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["path"] != PATH or scope["method"] not in {"GET", "HEAD"}:
            await _answer(send, 404, "text/plain", b"There is only /metrics.\n")
            return
        try:
            must_be_allowed(self._token, headers, (scope.get("client") or ("",))[0])
        except (Unauthenticated, Forbidden) as refusal:
            status = 401 if isinstance(refusal, Unauthenticated) else 403
            await _answer(send, status, "text/plain", f"{refusal.detail}\n".encode())
            return
        body, media_type = await self._gauges.exposition(headers.get("accept", ""))
        await _answer(send, 200, media_type, b"" if scope["method"] == "HEAD" else body)


async def _answer(send: Send, status: int, media_type: str, body: bytes) -> None:
    headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]
    if status == 401:  # ruff: ignore[PLR2004] - Unauthorized.
        headers.append((b"www-authenticate", b'Bearer realm="catalog"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Beside(uvicorn.Server):
    """A server beside the work of a process, which hears the signals itself."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def served(door: Door, host: str, port: int | None) -> AsyncGenerator[None]:
    """Serve metrics for the length of the block; not at all without a port. Raises SystemExit where it is taken."""
    if port is None:
        yield
        return
    config = uvicorn.Config(
        door, host=host, port=port, access_log=False, log_level="warning", lifespan="off", server_header=False
    )
    server = _Beside(config)
    async with anyio.create_task_group() as serving:
        serving.start_soon(server.serve)
        log.info("metrics are served", host=host, port=port)
        try:
            yield
        finally:
            server.should_exit = True

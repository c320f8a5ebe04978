"""Answers that come in pieces, read one piece at a time: what happens between two is the test's to decide."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from litestar import Litestar

from catalog.api.app import Outermost, litestar
from catalog.settings import Settings

SECONDS_MAX = 20


class Reading:
    """One request and its answer. Nothing is written before `piece` or `rest` asks for it."""

    def __init__(self, app: Outermost, parameters: Mapping[str, Any], token: str | None) -> None:
        self._pieces: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._taken = asyncio.Semaphore(0)
        self.status = 0
        self.headers: dict[str, str] = {}
        headers = [(b"host", b"catalog")] + ([] if token is None else [(b"authorization", f"Bearer {token}".encode())])
        scope: Any = {
            "type": "http",
            "method": "GET",
            "path": "/api/search/export",
            "raw_path": b"/api/search/export",
            "query_string": urlencode(parameters, doseq=True).encode(),
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("catalog", 80),
            "scheme": "http",
            "http_version": "1.1",
            "root_path": "",
            "asgi": {"version": "3.0"},
        }
        self._asked = self._ended = False
        self._serving = asyncio.create_task(self._serve(app, scope))

    async def _serve(self, app: Outermost, scope: Any) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            await self._pieces.put(None)

    async def _receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self._pieces.put(message)
        if message["type"] == "http.response.body" and message.get("more_body"):
            await self._taken.acquire()

    async def begin(self) -> int:
        """Return the status."""
        message = await asyncio.wait_for(self._pieces.get(), SECONDS_MAX)
        assert message is not None
        assert message["type"] == "http.response.start"
        self.status = message["status"]
        self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        return self.status

    async def piece(self) -> bytes | None:
        """Return the next piece; None where the answer ends, AssertionError where it is broken off."""
        if self._ended:
            return None
        message = await asyncio.wait_for(self._pieces.get(), SECONDS_MAX)
        if message is None:
            raise AssertionError("broken off")
        if not message.get("more_body", False):
            self._gone.set()
            self._ended = True
            await asyncio.wait_for(self._serving, SECONDS_MAX)
            return message.get("body") or None
        self._taken.release()
        return bytes(message["body"])

    async def next_has_come(self) -> bool:
        """Tell whether the next piece has been written, and waits to be read."""
        return not self._pieces.empty()

    async def rest(self, between: Callable[[], Awaitable[None]] | None = None) -> bytes:
        """Return everything that still comes, doing something between two pieces."""
        whole = b""
        while (piece := await self.piece()) is not None:
            whole += piece
            if between is not None:
                await between()
        return whole

    async def hang_up(self) -> None:
        """Go away in the middle of it."""
        self._gone.set()
        self._taken.release()
        while await asyncio.wait_for(self._pieces.get(), SECONDS_MAX) is not None:
            self._taken.release()
        await asyncio.wait_for(self._serving, SECONDS_MAX)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncGenerator[tuple[Outermost, Litestar]]:
    """Run the application here, on the world of another."""
    inner = litestar(settings)
    async with inner.lifespan():
        yield Outermost(inner), inner

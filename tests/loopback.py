"""Servers on loopback within a test's own event loop, which leave no connection behind when they end."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

ACCEPTING_TURNS = 8

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listening:
    """A server whose every connection is held by `answer`.

    A transport that its loop has not closed by the end of a test is found by the garbage collector amid some other
    test, which then fails for it; so `end` waits until each has closed.
    """

    def __init__(self, answer: Conversation) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._held: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    async def begin(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen at `host`:`port`, any free one if it is 0; return the port."""
        self._server = await asyncio.start_server(self._meet, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def end(self) -> None:
        """Refuse new connections, cut those that are held, and wait until they are gone."""
        assert self._server is not None
        for listener in self._server.sockets:
            asyncio.get_running_loop().remove_reader(listener.fileno())
        # What was accepted just now is handed over a few turns of the loop later, and is to be held by then: a server
        # that is closed in between loses it, and nobody ever closes it.
        for _ in range(ACCEPTING_TURNS):
            await asyncio.sleep(0)
        self._server.close()
        for writer in self._held:
            writer.transport.abort()
        running = [task for task in self._held.values() if not task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for writer in self._held:
            with suppress(OSError):
                await writer.wait_closed()
        self._held.clear()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._held[writer] = task
        try:
            await self._answer(reader, writer)
        except asyncio.CancelledError:
            # Only `end` cancels; Python 3.11 takes a task that was cancelled for a fault of the server.
            return
        finally:
            writer.close()


@asynccontextmanager
async def listening(answer: Conversation, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[int]:
    """Listen for the time of the block, and yield the port."""
    server = Listening(answer)
    try:
        yield await server.begin(host, port)
    finally:
        await server.end()

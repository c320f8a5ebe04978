"""A TCP relay between the catalog and an engine, through which a test makes the engine look away, slow or broken."""

import asyncio
from contextlib import suppress

from tests.loopback import Listening

CHUNK_BYTES = 256 * 1024


class Relay:
    """Passes bytes on to `host:port`; `close` cuts every connection and refuses new ones, `open` takes them again."""

    def __init__(self, host: str, port: int) -> None:
        self._engine = (host, port)
        self._server = Listening(self._serve)
        self._writers: set[asyncio.StreamWriter] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self.port = 0
        self.asked_bytes = 0
        self.connections = 0
        # What follows counts for connections that are there as well as for new ones.
        self.delay_seconds = 0.0
        self.answer_bytes_max: int | None = None

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self.port = await self._server.begin(port=self.port)

    async def close(self) -> None:
        """Stop listening and cut what runs."""
        await self._server.end()

    async def cut(self) -> None:
        """Cut what runs; new connections are taken."""
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    def pause(self) -> None:
        """Pass nothing on, and keep every connection."""
        self._passing.clear()

    def resume(self) -> None:
        """Pass on again, what was held back first."""
        self._passing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._engine)
        except OSError:
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(self._pump(reader, far_writer, answers=False))
                both_ways.create_task(self._pump(far_reader, writer, answers=True))
        finally:
            far_writer.transport.abort()
            with suppress(OSError):
                await far_writer.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        self._writers.add(writer)
        passed = 0
        try:
            with suppress(OSError):
                while data := await reader.read(CHUNK_BYTES):
                    if self.delay_seconds:
                        await asyncio.sleep(self.delay_seconds)
                    await self._passing.wait()
                    self.asked_bytes += 0 if answers else len(data)
                    if answers and self.answer_bytes_max is not None:
                        data = data[: max(self.answer_bytes_max - passed, 0)]
                        passed += len(data)
                    writer.write(data)
                    await writer.drain()
                    if answers and self.answer_bytes_max is not None and passed >= self.answer_bytes_max:
                        await self.cut()
                        return
        finally:
            self._writers.discard(writer)
            writer.close()

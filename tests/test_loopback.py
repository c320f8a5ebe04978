"""A server of a test ends with every connection that it was ever given."""

import asyncio
import socket
from contextlib import closing, suppress

import pytest

from tests.loopback import listening


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_as_the_server_ends_is_cut(turns: int) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as port:
        # The kernel takes it; the server is given it in one of the loop's next turns.
        client = socket.create_connection(("127.0.0.1", port), timeout=5)
        for _ in range(turns):
            await asyncio.sleep(0)

    with closing(client), suppress(ConnectionResetError):
        assert await asyncio.to_thread(client.recv, 1) == b""

"""How bytes travel to the search engine and back: the one importer of its client library.

An engine is one node or several of one cluster, which are asked in turn. Each request of ours may be asked again
(docs/adr/0059): whoever asks hears of a node that is away only when no other one answers.

Importing the library takes most of a second, so `index` imports this module when it first talks, in a thread.
"""

import asyncio
import functools
import io
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import aiohttp
import yarl
from opensearchpy import AIOHttpConnection, AsyncOpenSearch
from opensearchpy.serializer import Serializer

from catalog.errors import Unavailable
from catalog.measuring import ENGINE_ERRORS, Call

# As many as one process has searches in flight at most; further ones wait for a free connection.
CONNECTIONS_MAX = 32

# aiohttp writes a larger body in pieces only when it is given as a file; whole, it would hold up the event loop.
BODY_BYTES_WHOLE_MAX = 1024 * 1024

# A question of ours that is refused is no fault of the engine's, unless it has no room for it.
REFUSED_FROM, TOO_MANY = 500, 429

# So long a node that failed is asked only when the others fail too.
PASSED_OVER_SECONDS = 5.0
# Of several nodes the rest agrees within a second or two on who leads and which copies count: so long what none can
# answer is asked again, with pauses. A single node has nobody to agree with: what it cannot answer is told at once.
AGREEING_SECONDS_MAX = 5.0
AGREEING_PAUSE_SECONDS = 0.25
# A node that says nothing for so long is asked how it is; one that does not answer that either hangs, and another node
# is asked. What is only slow goes on: asking for it twice would make it slower.
SILENT_SECONDS = 2.0
PING_SECONDS_MAX = 1.0
# No cluster manager, no copy of a shard in reach, blocked for the moment.
NOT_NOW = 503

JSON_HEADERS = {"content-type": "application/json"}


# A process asks a handful of addresses, each thousands of times; building one anew costs more than reading an answer.
@functools.lru_cache(maxsize=64)
def _target(url: str, params: tuple[tuple[str, str], ...]) -> yarl.URL:
    return yarl.URL(url, encoded=True).with_query(params)


@functools.lru_cache(maxsize=64)
def _within(seconds: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


class _Silent(Unavailable):
    """The search engine does not answer in time."""


class _Untouched(Serializer):
    """Leaves answers as they came: whoever asked decodes them once, into the types it needs."""

    mimetype = "application/json"

    def loads(self, s: Any) -> Any:
        return s


class _Connection(AIOHttpConnection):
    """Answers with status and bytes, whatever the status is, and writes no question into any log."""

    async def perform_request(  # ruff: ignore[PLR0917] - the library's signature.
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,  # ruff: ignore[ASYNC109] - as above.
        ignore: Collection[int] = (),  # ruff: ignore[ARG002] - as above.
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], tuple[int, bytes]]:
        if self.session is None:
            await self._create_aiohttp_session()
        target = _target(f"{self.host}{self.url_prefix}{url}", tuple((params or {}).items()))
        data = io.BytesIO(body) if body and len(body) > BODY_BYTES_WHOLE_MAX else body
        try:
            with Call("search"):
                async with self.session.request(
                    method, target, data=data, headers=headers, timeout=_within(timeout)
                ) as response:
                    answer = await response.read()
        # Before those that it is one of.
        except TimeoutError as fault:
            raise _Silent(f"The search engine does not answer ({type(fault).__name__}).") from fault
        except (aiohttp.ClientError, OSError) as fault:
            raise Unavailable(f"The search engine does not answer ({type(fault).__name__}).") from fault
        if response.status >= REFUSED_FROM or response.status == TOO_MANY:
            ENGINE_ERRORS.labels("search").inc()
        # No headers go back: by them the library would choose how to decode.
        return response.status, {}, (response.status, answer)


class _Node:
    """One node's address, and the connections kept open to it."""

    def __init__(self, url: str) -> None:
        self.passed_over_until = 0.0
        # It hung, and has answered nothing since.
        self._hung = False
        self._client = _client(url, CONNECTIONS_MAX)
        # Beside the others: these may all be waiting.
        self._pings = _client(url, 1)

    async def ask(
        self, method: str, path: str, params: Mapping[str, Any] | None, body: bytes | None, seconds: float
    ) -> tuple[int, bytes]:
        answered: tuple[int, bytes] = await self._client.transport.perform_request(
            method, path, params=params, body=body, timeout=seconds, headers=JSON_HEADERS
        )
        return answered

    async def ask_unless_it_hangs(
        self, method: str, path: str, params: Mapping[str, Any] | None, body: bytes | None, seconds: float
    ) -> tuple[int, bytes]:
        """Ask, and give up as soon as it answers nobody; raises Unavailable then."""
        if self._hung and not await self._answers():
            raise Unavailable("A node of the search engine hangs.")
        asking = asyncio.create_task(self.ask(method, path, params, body, seconds))
        try:
            while not (await asyncio.wait({asking}, timeout=SILENT_SECONDS))[0]:
                if not await self._answers() and not asking.done():
                    self._hung = True
                    raise Unavailable("A node of the search engine hangs.")
            self._hung = False
            return await asking
        finally:
            asking.cancel()

    async def _answers(self) -> bool:
        with suppress(Unavailable):
            await self._pings.transport.perform_request("HEAD", "/", timeout=PING_SECONDS_MAX, headers=JSON_HEADERS)
            return True
        return False

    def pass_over(self) -> None:
        self.passed_over_until = time.monotonic() + PASSED_OVER_SECONDS

    async def close(self) -> None:
        await self._client.close()
        await self._pings.close()


def _client(url: str, connections: int) -> AsyncOpenSearch:
    # No retries by the library: how long it may take all together is known here.
    return AsyncOpenSearch(
        hosts=[url],
        connection_class=_Connection,
        serializers={"application/json": _Untouched()},
        max_retries=0,
        pool_maxsize=connections,
    )


class Connection:
    """The nodes of one engine, asked in turn."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._nodes = [_Node(url) for url in urls]
        self._turn = 0

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        seconds: float,
    ) -> tuple[int, bytes]:
        """Return status and body of the engine's answer; raises Unavailable when there is none in time.

        Of several nodes the first that can answer does; a 503 is returned when none could for a while.
        """
        began = time.monotonic()
        agreed = began + min(AGREEING_SECONDS_MAX, seconds / 2) if len(self._nodes) > 1 else began
        while True:
            said: tuple[int, bytes] | Unavailable | None = None
            for node in self._in_turn():
                left = seconds - (time.monotonic() - began)
                if said is not None and left <= 0:
                    break
                said = await self._told(node, method, path, params, body, left)
                if not isinstance(said, Unavailable) and said[0] != NOT_NOW:
                    return said
            if time.monotonic() + AGREEING_PAUSE_SECONDS < agreed:
                await asyncio.sleep(AGREEING_PAUSE_SECONDS)
            elif isinstance(said, Unavailable):
                raise said
            elif said is not None:
                return said

    async def _told(self, node: _Node, *asked: Any) -> tuple[int, bytes] | Unavailable:
        """Return what a node said, or why it said nothing; raises _Silent for one that let the time pass."""
        try:
            said = await (node.ask(*asked) if len(self._nodes) == 1 else node.ask_unless_it_hangs(*asked))
        except _Silent:
            node.pass_over()
            raise
        except Unavailable as fault:
            node.pass_over()
            return fault
        if said[0] == NOT_NOW:
            node.pass_over()
        return said

    def _in_turn(self) -> list[_Node]:
        """Return the nodes from the next one on, and then those that failed lately, the longest ago first."""
        self._turn = (self._turn + 1) % len(self._nodes)
        now = time.monotonic()
        turned = self._nodes[self._turn :] + self._nodes[: self._turn]
        return sorted(turned, key=lambda node: max(0.0, node.passed_over_until - now))

    async def close(self) -> None:
        """Close every connection."""
        for node in self._nodes:
            await node.close()

"""How bytes travel to the search engine and back: the one importer of its client library.

Importing the library takes most of a second, so `index` imports this module when it first talks, in a thread.
"""

import functools
import io
from collections.abc import Collection, Mapping
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

JSON_HEADERS = {"content-type": "application/json"}


# A process asks a handful of addresses, each thousands of times; building one anew costs more than reading an answer.
@functools.lru_cache(maxsize=64)
def _target(url: str, params: tuple[tuple[str, str], ...]) -> yarl.URL:
    return yarl.URL(url, encoded=True).with_query(params)


@functools.lru_cache(maxsize=64)
def _within(seconds: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


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
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            raise Unavailable(f"The search engine does not answer ({type(fault).__name__}).") from fault
        if response.status >= REFUSED_FROM or response.status == TOO_MANY:
            ENGINE_ERRORS.labels("search").inc()
        # No headers go back: by them the library would choose how to decode.
        return response.status, {}, (response.status, answer)


class Connection:
    """One engine's address, and the connections kept open to it."""

    def __init__(self, url: str) -> None:
        # No retries: whether a request may be repeated is known only to those who made it.
        self._client = AsyncOpenSearch(
            hosts=[url],
            connection_class=_Connection,
            serializers={"application/json": _Untouched()},
            max_retries=0,
            pool_maxsize=CONNECTIONS_MAX,
        )

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        seconds: float,
    ) -> tuple[int, bytes]:
        """Return status and body of the engine's answer; raises Unavailable when there is none in time."""
        answered: tuple[int, bytes] = await self._client.transport.perform_request(
            method, path, params=params, body=body, timeout=seconds, headers=JSON_HEADERS
        )
        return answered

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

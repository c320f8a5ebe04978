"""Connections to endpoints that organizations name: through the door, to exactly the address that was judged.

A name is resolved anew for each connection, and judged each time: one that leads inside later leads nowhere.
"""

import ssl
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpcore2
import httpx2

from catalog.errors import Unavailable
from catalog.outside.door import Address, Door, NoSuchHost, NotAdmitted
from catalog.storage.signing import origin_of

_PORTS = {"http": 80, "https": 443}


class EndpointRefused(Unavailable):
    """This endpoint is none that the catalog connects to."""

    # Only a person changes a name or the networks that the operator admits.
    retry_after_seconds = 60


class Guarded(httpcore2.AsyncNetworkBackend):
    """Opens connections to addresses that the door admits; without TLS only inside networks that the operator named."""

    def __init__(self, door: Door, *, plain: bool) -> None:
        self._door = door
        self._plain = plain
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # ruff: ignore[ASYNC109] - the library's own signature.
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect; raises EndpointRefused."""
        address = await admitted(self._door, host, port, plain=self._plain)
        return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """HTTP over guarded connections, and over no proxy."""

    def __init__(self, door: Door, *, plain: bool, connections: int, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or httpx2.create_ssl_context(trust_env=False),
            max_connections=connections,
            max_keepalive_connections=connections,
            network_backend=Guarded(door, plain=plain),
        )


async def admitted(door: Door, host: str, port: int, *, plain: bool) -> Address:
    """Return the address to connect to; raises EndpointRefused."""

    def judge() -> Address:
        found = door.admitted(host, port)
        if plain and not door.names(found):
            raise NotAdmitted(f"{host[:100]} is outside, and only https goes there")
        return found

    try:
        return await anyio.to_thread.run_sync(judge)
    except (NotAdmitted, NoSuchHost) as why:
        raise EndpointRefused(
            f"The catalog does not connect to this endpoint: {why}. Whoever runs the catalog can admit networks "
            "(CATALOG_BACKEND_NETWORKS)."
        ) from None


async def must_admit(door: Door, endpoint: str) -> None:
    """Raise EndpointRefused for an endpoint that no connection would be made to."""
    parts = urlsplit(endpoint)
    await admitted(door, parts.hostname or "", parts.port or _PORTS[parts.scheme], plain=parts.scheme == "http")


def endpoint_of(text: str) -> str:
    """Return an endpoint in the one way it is kept; raises ValueError for what is none."""
    return origin_of(text.strip())[0]

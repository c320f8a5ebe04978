"""Clients of stores that organizations bring: through the door, and writing only where they may."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from typing import Any

import pytest

from catalog.local import ports
from catalog.outside.door import Door
from catalog.storage.backends import Place, Use
from catalog.storage.guarding import EndpointRefused
from catalog.storage.s3 import ReadOnly, Remedy, Store
from catalog.storage.sealing import Pair
from catalog.storage.signing import Addressing
from catalog.storage.stores import Stores
from catalog.storage.wrapping import LocalKeys
from tests.loopback import listening

LOOPBACK = IPv4Network("127.0.0.0/8")
PAIR = Pair("an-access-key", "a-secret-key")
Write = Callable[[Store], Awaitable[object]]


def client(endpoint: str, *networks: IPv4Network, uses: frozenset[Use] = frozenset(Use)) -> Store:
    """Return a client as a process makes it for a backend."""
    database: Any = None
    stores = Stores(database, LocalKeys(None), Door(networks), identity=PAIR)
    place = Place(endpoint, "us-east-1", Addressing.PATH, "archive", "", "catalog")
    return stores.client(place, uses, PAIR, remedy=Remedy())


class Heard:
    """A server that counts who connects, and answers nobody."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def meet(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")


@pytest.fixture
async def heard() -> AsyncGenerator[Heard]:
    """A server on this machine."""
    heard = Heard()
    async with listening(heard.meet) as heard.port:
        yield heard


async def test_a_connection_is_made_where_the_operator_admits_it_and_nowhere_else(heard: Heard) -> None:
    inside, outside = (client(f"http://127.0.0.1:{heard.port}", *some) for some in ([LOOPBACK], []))
    assert await inside.stat("a") is None
    assert heard.connections == 1
    with pytest.raises(EndpointRefused, match="not public"):
        await outside.stat("a")
    assert heard.connections == 1
    for store in (inside, outside):
        await store.close()


async def test_a_name_that_leads_inside_later_leads_nowhere(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was public when the backend was connected; each connection is judged by where it goes."""
    answers = iter(["192.0.43.8", "127.0.0.1"])

    def resolve(_host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    door = Door()
    assert str(door.admitted("s3.example.org", heard.port)) == "192.0.43.8"
    store = client(f"https://s3.example.org:{heard.port}")
    with pytest.raises(EndpointRefused, match="not public"):
        await store.stat("a")
    await store.close()
    assert heard.connections == 0


async def test_without_tls_nothing_goes_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(_host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.43.8", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    store = client("http://s3.example.org", LOOPBACK)
    with pytest.raises(EndpointRefused, match="only https goes there"):
        await store.stat("a")
    await store.close()


def at() -> datetime:
    return datetime.now(UTC)


WRITES: dict[str, Write] = {
    "write": lambda store: store.write("a", b"x", now=at()),
    "remove": lambda store: store.remove("a"),
    "begin": lambda store: store.begin_multipart("a", media_type="text/csv"),
    "join": lambda store: store.complete_multipart("a", "1", []),
    "abort": lambda store: store.abort_multipart("a", "1"),
    "ticket": lambda store: asyncio.to_thread(
        lambda: store.upload_ticket(
            "a", size=1, sha256="ab" * 32, media_type="text/csv", lifetime=timedelta(minutes=1), now=at()
        )
    ),
    "part": lambda store: asyncio.to_thread(
        lambda: store.part_ticket("a", "1", 1, size=1, lifetime=timedelta(minutes=1), now=at())
    ),
}


@pytest.mark.req("DEWRANGLE-RFC-26")
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_store_for_data_is_written_to_by_nothing_and_not_even_asked(heard: Heard, write: Write) -> None:
    store = client(f"http://127.0.0.1:{heard.port}", LOOPBACK, uses=frozenset({Use.DATA}))
    with pytest.raises(ReadOnly):
        await write(store)
    assert heard.connections == 0
    assert await store.stat("a") is None
    assert heard.connections == 1
    await store.close()


@pytest.mark.req("DEWRANGLE-RFC-32")
def test_a_store_that_somebody_brought_cannot_be_set_up_by_us() -> None:
    store = client(f"http://127.0.0.1:{ports.choose()}", LOOPBACK)
    assert [name for name in ("ensure_bucket", "set_notification", "_admin") if hasattr(store, name)] == []

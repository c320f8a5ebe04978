"""A catalog of these tests' own, and receivers that answer as a test says."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from catalog.engines import Engines
from catalog.subscriptions import telling
from indexer import subscriptions
from tests.alerts.conftest import Desk, Person, alerts_desk, lab, postbox
from tests.conftest import eventually
from tests.search.conftest import search_url

__all__ = ["alerts_desk", "lab", "postbox", "search_url"]


@dataclass
class Arrived:
    """One request, and how it was answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """What it says."""
        told: dict[str, Any] = json.loads(self.body)
        return told

    @property
    def short(self) -> tuple[str, int, str]:
        """The object, its revision, and the type without what all types have."""
        told = self.event
        return told["subject"], told["data"]["revision"], told["type"].removeprefix("catalog.").removesuffix(".v1")


@dataclass
class Receiver:
    """An HTTP server that events are posted to."""

    url: str = ""
    # How the next requests are answered; after them with 204.
    answers: list[int] = field(default_factory=list)
    always: int = 204
    arrived: list[Arrived] = field(default_factory=list)
    begun: int = 0
    # How long each answer takes.
    slow_seconds: float = 0.0
    # Cleared, nobody is answered.
    open: threading.Event = field(default_factory=threading.Event)
    # At so many requests it clears that itself.
    holds_at: int | None = None

    @property
    def taken(self) -> list[tuple[str, int, str]]:
        """What it took, as it took it."""
        return [one.short for one in self.arrived if one.status < 300]


def _serving(told: Receiver) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.begun += 1
            if told.begun == told.holds_at:
                told.open.clear()
            told.open.wait(30)
            time.sleep(told.slow_seconds)
            status = told.answers.pop(0) if told.answers else told.always
            told.arrived.append(Arrived(status, {name.lower(): text for name, text in self.headers.items()}, body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the library.
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def _receiving() -> Generator[Receiver]:
    told = Receiver()
    told.open.set()
    with _serving(told) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        told.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        yield told
        told.open.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Generator[Receiver]:
    """A receiver on loopback."""
    yield from _receiving()


@pytest.fixture
def other_receiver() -> Generator[Receiver]:
    """Another one."""
    yield from _receiving()


@pytest.fixture
async def desk(alerts_desk: Desk) -> AsyncGenerator[Desk]:
    """The catalog, with nothing queued and nobody subscribed."""
    yield alerts_desk
    await alerts_desk.run("DELETE FROM subscription")
    await alerts_desk.run("DELETE FROM subscription_position")
    await alerts_desk.run("DELETE FROM queue")


async def subscribed(person: Person, address: str, **said: Any) -> dict[str, Any]:
    """Have somebody subscribe a webhook."""
    body = {"tell": {"by": "webhook", "address": address}, **said}
    answer = await person.client.post("/api/subscriptions", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def read(person: Person, made: dict[str, Any]) -> dict[str, Any]:
    """Return a subscription as it is now."""
    answer = await person.client.get(f"/api/subscriptions/{made['id']}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def passed(desk: Desk) -> None:
    """Let the time pass until what failed is tried again."""
    await desk.run("UPDATE queue SET ready_at = now() WHERE topic LIKE 'subscription:%' AND ready_at > now()")
    await desk.run("UPDATE subscription SET retry_at = now() WHERE retry_at IS NOT NULL")


async def tell(engines: Engines) -> None:
    """Tell everybody what is due, as one indexer does."""
    while due := await telling.due(engines.database, most=16):
        for one in due:
            while await subscriptions.step(engines, one):
                pass


@asynccontextmanager
async def telling_all_the_time(engines: Engines) -> AsyncGenerator[None]:
    """Let an indexer tell."""
    stop = asyncio.Event()
    task = asyncio.create_task(subscriptions.run(engines, stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 40)


async def waiting(desk: Desk) -> set[tuple[str, str]]:
    """Return what is queued for subscriptions: whose, and which object."""
    rows = await desk.engines.database.rows(
        "SELECT split_part(topic, ':', 2), subject FROM queue WHERE topic LIKE 'subscription:%%'", {}
    )
    return {(one, subject) for one, subject in rows}


async def all_told(desk: Desk, *, seconds: float = 60) -> None:
    """Wait until nothing is to be told any more."""

    async def nothing() -> bool:
        return not await waiting(desk)

    await eventually(nothing, seconds=seconds)
    assert await desk.engines.database.rows("SELECT * FROM subscription_position", {}) == []

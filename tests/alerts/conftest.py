"""A catalog of these tests' own: an API in this process, and an indexer that works when a test says so."""

import asyncio
import email
import email.policy
import json
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller

from catalog.access import principals
from catalog.access.audience import Role
from catalog.api.app import Outermost, litestar
from catalog.engines import Engines, opened
from catalog.local import ports
from catalog.web import pages
from indexer import alerts, documents, telling
from tests.api.conftest import plain
from tests.conftest import World, make_world, prepare
from tests.search.conftest import search_url

__all__ = ["search_url"]


@dataclass
class Desk:
    """The catalog's engines, its API, and whoever a test brings into being."""

    engines: Engines
    world: World
    app: Any
    stack: AsyncExitStack

    async def person(self, role: Role = Role.READER) -> "Person":
        """Make somebody with a token."""
        name = f"p{uuid4().hex[:12]}"
        async with self.engines.database.transaction() as session:
            caller, token = await principals.create_token(session, name=name, role=role)
        assert caller.id is not None
        return Person(self, caller.id, name, token, await self.holding(token))

    async def holding(self, token: str | None) -> httpx2.AsyncClient:
        """Return a client that carries a token, or none."""
        client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.app),
            base_url="http://catalog",
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
        )
        return await self.stack.enter_async_context(client)

    async def work(self) -> None:
        """Do all that is due, as one indexer does."""
        while True:
            handled = await documents.step(self.engines) + await alerts.saved_step(self.engines)
            handled += await alerts.match_step(self.engines) + await alerts.alert_step(self.engines)
            handled += await telling.confirm_step(self.engines) + await telling.step(self.engines)
            if not handled:
                return

    async def queued(self, *topics: str) -> list[tuple[Any, ...]]:
        """Return what is queued of these topics: topic, subject, attempts, whether parked, reason."""
        return await self.engines.database.rows(
            "SELECT topic, subject, attempts, parked_at IS NOT NULL, reason FROM queue WHERE topic = ANY(%(topics)s)",
            {"topics": list(topics)},
        )

    async def run(self, statement: str, **values: Any) -> None:
        """Change rows as time or an operator does."""
        async with self.engines.database.transaction() as session:
            await session.execute(sa.text(statement), values)


@dataclass
class Postbox:
    """A mail server that takes everything, or says what a test wants."""

    port: int = 0
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    answer: str = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ARG002, N802 - the library's.
        """Take a mail."""
        if self.answer.startswith("250"):
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            self.mails.append((envelope.rcpt_tos, message))
        return self.answer


@pytest.fixture(scope="session")
def postbox() -> Generator[Postbox]:
    """The mail server."""
    box = Postbox(ports.choose())
    controller = Controller(box, hostname="127.0.0.1", port=box.port, ready_timeout=60)
    controller.start()
    yield box
    controller.stop()


@dataclass
class Receiver:
    """An HTTP server that webhooks go to."""

    url: str = ""
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def titles(self) -> list[list[str]]:
        """The titles in each message, in the order in which messages came."""
        return [[one["title"] for one in json.loads(body)["data"]["objects"]] for _, _, body in self.requests]


@pytest.fixture
def receiver() -> Generator[Receiver]:
    """A receiver on loopback."""
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.requests.append((self.path, {name.lower(): text for name, text in self.headers.items()}, body))
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the library.
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        told.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        yield told
        server.shutdown()
        thread.join()


@dataclass
class Person:
    """Somebody with a token, and what they do."""

    desk: Desk
    id: UUID
    name: str
    token: str
    client: httpx2.AsyncClient

    async def save(self, q: str, name: str | None = None, **tell: Any) -> dict[str, Any]:
        """Save a search for words."""
        body = {"name": name or f"Search {uuid4().hex[:8]}", "query": {"q": q}} | ({"tell": tell} if tell else {})
        answer = await self.client.post("/api/saved-searches", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def register(self, title: str, **said: Any) -> str:
        """Register an object, for everybody to see unless said otherwise."""
        body = plain("alerts/soil", **{"title": title, "visibility": "public"} | said)
        answer = await self.client.post("/api/objects", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def change(self, object_id: str, **said: Any) -> None:
        """Change an object."""
        headers = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}
        answer = await self.client.patch(f"/api/objects/{object_id}", json=said, headers=headers)
        assert answer.status_code == 200, answer.text

    async def feed(self, made: Mapping[str, Any]) -> list[str]:
        """Return the titles in the feed of a search of theirs, newest first."""
        answer = await self.client.get(f"/api/saved-searches/{made['id']}/feed", params={"as": "json"})
        assert answer.status_code == 200, answer.text
        return [item["title"] for item in answer.json()["items"]]


@pytest.fixture(scope="session")
async def alerts_desk(
    engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, postbox: "Postbox"
) -> AsyncGenerator[Desk]:
    """The catalog that these tests share."""
    world = make_world(
        engines_ready,
        tmp_path_factory.mktemp("alerts"),
        store="given",
        search_refresh="0.05",
        requests_per_second=100_000,
        requests_per_second_anonymous=100_000,
        alert_networks=("127.0.0.1/32",),
        smtp_host="127.0.0.1",
        smtp_port=postbox.port,
        smtp_security="none",
        smtp_sender="catalog@example.org",
    )
    await prepare(world, engines_ready)
    inner = litestar(world.settings, pages.ROUTES)
    app: Any = Outermost(inner)
    ready, stop = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with inner.lifespan():
            ready.set()
            await stop.wait()

    # In a task of its own: this fixture begins and ends in different ones.
    serving = asyncio.create_task(serve())
    async with opened(world.settings) as engines, AsyncExitStack() as stack:
        await ready.wait()
        await alerts.prepare(engines)
        yield Desk(engines, world, app, stack)
    stop.set()
    await serving


@pytest.fixture
async def desk(alerts_desk: Desk) -> AsyncGenerator[Desk]:
    """The catalog, with nothing queued and nothing saved."""
    yield alerts_desk
    await alerts_desk.run("DELETE FROM saved_search")
    await alerts_desk.run("DELETE FROM mail_address")
    await alerts_desk.run("DELETE FROM queue")


@pytest.fixture
async def lab(desk: Desk) -> Person:
    """A service that registers, and that keeps a bystander which no search may meet."""
    return await desk.person(Role.INGEST)

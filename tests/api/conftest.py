"""Registrations to send, bystanders that no test may touch, and a running catalog on each store."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from catalog.api.app import Outermost, litestar
from catalog.engines import Engines, opened
from catalog.settings import Settings
from tests.api.people import People
from tests.conftest import Clients, Live, make_tokens, make_world, notified, prepare, running

Draft = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
# What every withdrawal must say.
BECAUSE = {"reason": "The sensor was broken."}


@pytest.fixture
def project() -> str:
    """A project that no other test knows."""
    return f"api/p{uuid4().hex[:12]}"


@pytest.fixture
def draft(project: str) -> Draft:
    """The least that can be registered; private."""
    return plain(project)


def plain(project: str, **said: Any) -> Draft:
    """Return a registration that says only what it must, and what the test wants said."""
    return {
        "kind": "training-dataset",
        "project": project,
        "title": "Soil moisture",
        "creators": [{"name": "Rivera, Ana"}],
        "contact": {"name": "Ana Rivera", "email": "ana@example.org"},
        "metadata": {"labelled": False},
    } | said


async def register(client: httpx2.AsyncClient, body: Draft, **headers: str) -> dict[str, Any]:
    """Register an object that has no faults."""
    answer = await client.post("/api/objects", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    registered: dict[str, Any] = answer.json()
    return registered


async def read(client: httpx2.AsyncClient, object_id: str) -> dict[str, Any]:
    """Read an object that is there."""
    answer = await client.get(f"/api/objects/{object_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def patch(client: httpx2.AsyncClient, object_id: str, change: Any, if_match: str | None = "*") -> httpx2.Response:
    """Send a merge patch, unless told otherwise against any revision."""
    headers = {"Content-Type": MERGE_PATCH} | ({} if if_match is None else {"If-Match": if_match})
    return await client.patch(f"/api/objects/{object_id}", json=change, headers=headers)


def bystanders() -> list[Draft]:
    """Registrations of another service that resemble those of the tests."""
    expected = [{"path": "data.csv", "size": 3, "sha256": "ab" * 32}]
    return [
        plain("noise/public", visibility="public", title="Soil moisture nearby", keywords=["noise"], files=expected),
        plain("noise/private", title="Soil moisture in secret", keywords=["noise"], files=expected),
        plain(
            "noise/public", visibility="public", kind="model", title="Soil model", metadata={"task": "image denoising"}
        ),
    ]


@pytest.fixture(scope="session")
async def noise(clients: Clients) -> AsyncGenerator[list[str]]:
    """Objects of the other service, one of them withdrawn; whatever the tests did, they are the same at the end."""
    *ids, withdrawn = [(await register(clients.other, body))["id"] for body in [*bystanders(), bystanders()[0]]]
    await clients.other.delete(f"/api/objects/{withdrawn}", params=BECAUSE, headers={"If-Match": "*"})
    before = [await read(clients.other, object_id) for object_id in ids]
    yield ids
    assert [await read(clients.other, object_id) for object_id in ids] == before


@pytest.fixture
async def people(clients: Clients) -> AsyncGenerator[People]:
    """An organization with one project, and nobody in it."""
    people = People(clients, f"o{uuid4().hex[:10]}")
    projects = f"/api/organizations/{people.organization}/projects"
    for address, name in (("/api/organizations", people.organization), (projects, "soil")):
        answer = await clients.admin.post(address, json={"name": name})
        assert answer.status_code == 201, answer.text
    yield people
    await people.close()


@dataclass(frozen=True)
class Stored:
    """A running catalog on one of the stores, with its clients and a way behind its back."""

    store: str
    live: Live
    clients: Clients
    engines: Engines


@pytest.fixture(scope="session", params=["seaweedfs", "minio"])
async def stored(
    request: pytest.FixtureRequest,
    engines_ready: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> AsyncGenerator[Stored]:
    """A running catalog on each store in turn, notified by the store itself."""
    world = make_world(engines_ready, tmp_path_factory.mktemp(request.param), store=request.param)
    await prepare(world, engines_ready)
    tokens = await make_tokens(world)
    with notified(pytestconfig, world), running(world, tokens, "api", "indexer") as live:
        clients = Clients(live)
        async with opened(world.settings) as engines:
            yield Stored(request.param, live, clients, engines)
        await clients.close()


@asynccontextmanager
async def in_process(settings: Settings, token: str) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run the application here, with settings of its own, on the world of another."""
    inner = litestar(settings)
    app: Any = Outermost(inner)
    async with (
        inner.lifespan(),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app),
            base_url="http://catalog",
            headers={"Authorization": f"Bearer {token}"},
        ) as client,
    ):
        yield client

"""A catalog whose registry is a stand-in of DataCite, and what people do there."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import Clients, Live, World, eventually, make_tokens, make_world, prepare, running
from tests.doi import standin
from tests.doi.standin import PASSWORD, PREFIX, USER, StandIn


def draft(title: str, **said: Any) -> dict[str, Any]:
    """Return a registration that could have a DOI."""
    return {
        "kind": "training-dataset",
        "project": "doi/tests",
        "title": title,
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana@example.org"},
        "licence": "CC0-1.0",
        "visibility": "public",
        "dates": [{"type": "Issued", "date": "2024-05-17"}],
        "metadata": {"labelled": False},
        "external": [{"type": "url", "url": "https://data.example.org/soil"}],
    } | said


async def published(client: httpx2.AsyncClient, title: str, **said: Any) -> str:
    """Register and publish an object; return its id."""
    answer = await client.post("/api/objects", json=draft(title, **said))
    assert answer.status_code == 201, answer.text
    object_id: str = answer.json()["id"]
    await publish(client, object_id)
    return object_id


async def publish(client: httpx2.AsyncClient, object_id: str) -> None:
    """Publish an object as it is."""
    answer = await client.post(f"/api/objects/{object_id}/versions", json={}, headers={"If-Match": "*"})
    assert answer.status_code == 201, answer.text


async def mint(client: httpx2.AsyncClient, object_id: str, version: int | None = None) -> str:
    """Ask for a DOI; return its text."""
    place = f"/api/objects/{object_id}" + ("" if version is None else f"/versions/{version}")
    answer = await client.post(f"{place}/doi")
    assert answer.status_code in {200, 201}, answer.text
    doi: str = answer.json()["doi"]
    return doi


async def patch(client: httpx2.AsyncClient, object_id: str, **changes: Any) -> None:
    """Change an object."""
    headers = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}
    answer = await client.patch(f"/api/objects/{object_id}", json=changes, headers=headers)
    assert answer.status_code == 200, answer.text


async def told(client: httpx2.AsyncClient, doi: str) -> dict[str, Any]:
    """Return a DOI as it stands."""
    answer = await client.get(f"/api/dois/{doi}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def state(client: httpx2.AsyncClient, doi: str, *wanted: str) -> dict[str, Any]:
    """Wait until a DOI is in one of these states, and return it."""

    async def there() -> dict[str, Any] | None:
        found = await told(client, doi)
        return found if found["state"] in wanted else None

    found = await eventually(there)
    assert found is not None
    return found


@dataclass
class Registered:
    """A running catalog with its registry."""

    live: Live
    clients: Clients
    registry: StandIn

    @property
    def ingest(self) -> httpx2.AsyncClient:
        """Who registers."""
        client: httpx2.AsyncClient = self.clients.ingest
        return client


def world_with(registry: StandIn, ready: dict[str, Any], folder: Path, **changes: Any) -> World:
    """Make an empty catalog that registers at the stand-in."""
    settings = {
        "doi_prefix": PREFIX,
        "doi_registry_url": registry.url,
        "doi_registry_user": USER,
        "doi_registry_password": PASSWORD,
        "doi_registry_patience": timedelta(seconds=2),
    }
    return make_world(ready, folder, **settings | changes)


@asynccontextmanager
async def catalog_of(world: World, ready: dict[str, Any], registry: StandIn) -> AsyncGenerator[Registered]:
    """Run a catalog for the length of the block."""
    await prepare(world, ready)
    tokens = await make_tokens(world)
    with running(world, tokens, "api", "indexer") as live:
        clients = Clients(live)
        yield Registered(live, clients, registry)
        await clients.close()


@pytest.fixture(scope="session")
def shared_registry() -> Generator[StandIn]:
    """A registry that the tests of this folder share."""
    with standin.running() as registry:
        yield registry


@pytest.fixture(scope="session")
async def shared_catalog(
    shared_registry: StandIn, engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Registered]:
    """A catalog that registers there."""
    world = world_with(shared_registry, engines_ready, tmp_path_factory.mktemp("doi"))
    async with catalog_of(world, engines_ready, shared_registry) as catalog:
        yield catalog


@pytest.fixture
def catalog(shared_catalog: Registered) -> Generator[Registered]:
    """The catalog, whose registry behaves unless a test says otherwise."""
    yield shared_catalog
    shared_catalog.registry.mishap = lambda _: standin.FINE
    shared_catalog.registry.unwanted = lambda _: {}
    shared_catalog.registry.password = PASSWORD

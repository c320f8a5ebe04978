"""A catalog whose processes reach each engine through a relay."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
import pytest

from catalog.objects import kinds
from catalog.settings import Settings
from tests.conftest import Live, World, _environment_of, prepare
from tests.faults.relay import Relay

BODY: dict[str, Any] = {**kinds.known()["model"].example, "files": []}
# Which setting leads to which engine.
ENGINES = {"database": "database_url", "search": "search_url", "store": "store_url"}


@dataclass
class Relayed:
    """A world with a relay before each engine; `direct` is the same world without."""

    world: World
    direct: World
    database: Relay
    search: Relay
    store: Relay


@pytest.fixture
async def relayed(fresh_world: World, engines_ready: dict[str, Any]) -> AsyncGenerator[Relayed]:
    """A catalog of this test's own behind relays; clients upload and download past them."""
    await prepare(fresh_world, engines_ready)
    relays: dict[str, Relay] = {}
    changed: dict[str, Any] = {"store_public_url": fresh_world.settings.store_url}
    for name, setting in ENGINES.items():
        url = urlsplit(str(getattr(fresh_world.settings, setting)))
        assert url.hostname is not None
        assert url.port is not None
        relays[name] = Relay(url.hostname, url.port)
        await relays[name].open()
        there = url.netloc.rpartition(":")[0]
        changed[setting] = urlunsplit(url._replace(netloc=f"{there}:{relays[name].port}"))
    told = fresh_world.settings.model_dump() | changed
    settings = Settings.model_validate(told)
    world = replace(fresh_world, settings=settings, environment=_environment_of(settings))
    yield Relayed(world, fresh_world, **relays)
    for relay in relays.values():
        relay.resume()
        await relay.close()


def speaking(live: Live, who: str = "ingest") -> httpx2.AsyncClient:
    """Return a client of the catalog that carries the token of a role."""
    headers = {"Authorization": f"Bearer {live.tokens[who]}"}
    return httpx2.AsyncClient(base_url=live.url, headers=headers, timeout=30, trust_env=False)


async def register(client: httpx2.AsyncClient, title: str, **told: Any) -> dict[str, Any]:
    """Register an object, and return the answer's body."""
    answer = await client.post("/api/objects", json={**BODY, "title": title, **told})
    assert answer.status_code == 201, answer.text
    registered: dict[str, Any] = answer.json()
    return registered


async def total(client: httpx2.AsyncClient, word: str) -> int:
    """Return how many objects a search finds."""
    answer = await client.get("/api/search", params={"q": word})
    assert answer.status_code == 200, answer.text
    found: int = answer.json()["total"]
    return found


async def walked(client: httpx2.AsyncClient, word: str) -> list[str]:
    """Return the ids of all that a search finds, page by page."""
    ids: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get("/api/search", params={"q": word, "limit": 100, **cursor})).json()
        ids += [hit["id"] for hit in page["hits"]]
        if page["cursor"] is None:
            return ids
        cursor = {"cursor": page["cursor"]}

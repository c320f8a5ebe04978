"""Processes die and engines go away; what was accepted is never lost, and nothing is found twice."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest
from pydantic import HttpUrl

from catalog.objects import kinds
from tests.conftest import Live, World, _environment_of, eventually, make_tokens, prepare, running
from tests.faults.relay import Relay

REGISTRATIONS = 2_000
KILLED_AFTER = 900
CONNECTIONS = 8
BODY: dict[str, Any] = {**kinds.known()["model"].example, "files": []}


def speaking(live: Live) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {live.tokens['ingest']}"}
    return httpx2.AsyncClient(base_url=live.url, headers=headers, timeout=30, trust_env=False)


async def register(client: httpx2.AsyncClient, title: str) -> str:
    answer = await client.post("/api/objects", json={**BODY, "title": title})
    assert answer.status_code == 201, answer.text
    registered: str = answer.json()["id"]
    return registered


async def total(client: httpx2.AsyncClient, word: str) -> int:
    answer = await client.get("/api/search", params={"q": word})
    assert answer.status_code == 200, answer.text
    found: int = answer.json()["total"]
    return found


async def walked(client: httpx2.AsyncClient, word: str) -> list[str]:
    ids: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get("/api/search", params={"q": word, "limit": 100, **cursor})).json()
        ids += [hit["id"] for hit in page["hits"]]
        if page["cursor"] is None:
            return ids
        cursor = {"cursor": page["cursor"]}


@pytest.mark.timeout(300)
async def test_an_indexer_killed_amid_2000_registrations_loses_none_and_doubles_none(
    fresh_world: World, engines_ready: dict[str, Any]
) -> None:
    await prepare(fresh_world, engines_ready)
    tokens = await make_tokens(fresh_world)
    word = f"zebra{uuid4().hex[:8]}"
    with running(fresh_world, tokens, "api", "indexer") as live:
        async with speaking(live) as client:
            ids: list[str] = []

            async def some(first: int) -> None:
                for number in range(first, REGISTRATIONS, CONNECTIONS):
                    ids.append(await register(client, f"{word} {number}"))
                    if len(ids) == KILLED_AFTER:
                        live.processes["indexer"].send_signal(signal.SIGKILL)

            await asyncio.gather(*(some(first) for first in range(CONNECTIONS)))
            assert live.processes["indexer"].wait(10) == -signal.SIGKILL
            assert await total(client, word) < REGISTRATIONS

            live.start("indexer-again")

            async def all_found() -> bool:
                return await total(client, word) == REGISTRATIONS

            await eventually(all_found, seconds=120)
            assert sorted(await walked(client, word)) == sorted(ids)


@pytest.fixture
async def relayed(fresh_world: World, engines_ready: dict[str, Any]) -> AsyncGenerator[tuple[Relay, World]]:
    """A world whose search engine is reached through a relay."""
    await prepare(fresh_world, engines_ready)
    parts = urlsplit(str(fresh_world.settings.search_url))
    assert parts.hostname is not None
    assert parts.port is not None
    relay = Relay(parts.hostname, parts.port)
    await relay.open()
    settings = fresh_world.settings.model_copy(update={"search_url": HttpUrl(f"http://127.0.0.1:{relay.port}")})
    yield relay, World(settings, fresh_world.folder, _environment_of(settings))
    await relay.close()


@pytest.mark.timeout(120)
async def test_without_the_search_engine_registering_works_and_everything_is_found_once_it_is_back(
    relayed: tuple[Relay, World],
) -> None:
    relay, world = relayed
    tokens = await make_tokens(world)
    word = f"okapi{uuid4().hex[:8]}"
    with running(world, tokens, "api", "indexer") as live:
        async with speaking(live) as client:
            await register(client, f"{word} before")

            async def first_found() -> bool:
                return await total(client, word) == 1

            await eventually(first_found)

            await relay.close()
            for number in range(20):
                await register(client, f"{word} {number}")
            refused = await client.get("/api/search", params={"q": word})
            ready = await client.get("/readyz")

            assert refused.status_code == 503
            assert refused.headers["content-type"] == "application/problem+json"
            assert int(refused.headers["retry-after"]) > 0
            assert refused.json()["type"] == "/problems/unavailable"
            assert (ready.status_code, ready.json()["engines"]["database"]) == (503, "pass")
            assert ready.json()["engines"]["search"].startswith("fail")

            await relay.open()

            async def all_found() -> bool:
                answer = await client.get("/api/search", params={"q": word})
                return answer.status_code == 200 and answer.json()["total"] == 21

            await eventually(all_found, seconds=60)

"""Processes die and engines go away; what was accepted is never lost, and nothing is found twice."""

import asyncio
import signal
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from catalog.queue import LEASE
from tests.conftest import Sized, World, eventually, make_tokens, prepare, running
from tests.faults.conftest import Relayed, register, speaking, total, walked

REGISTRATIONS = 400
REGISTRATIONS_LONG = 2_000
KILLED_AT = 0.45
CONNECTIONS = 8


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.req("MWM-SADD-47", "SAGE-STORAGE-6")
async def test_an_indexer_killed_amid_registrations_loses_none_and_doubles_none(
    fresh_world: World, engines_ready: dict[str, Any], sized: Sized
) -> None:
    registrations = sized(REGISTRATIONS, long=REGISTRATIONS_LONG)
    await prepare(fresh_world, engines_ready)
    tokens = await make_tokens(fresh_world)
    word = f"zebra{uuid4().hex[:8]}"
    with running(fresh_world, tokens, "api", "indexer") as live:
        async with speaking(live) as client:
            ids: list[str] = []

            async def some(first: int) -> None:
                for number in range(first, registrations, CONNECTIONS):
                    ids.append((await register(client, f"{word} {number}"))["id"])
                    if len(ids) == int(registrations * KILLED_AT):
                        live.processes["indexer"].send_signal(signal.SIGKILL)

            await asyncio.gather(*(some(first) for first in range(CONNECTIONS)))
            assert live.processes["indexer"].wait(10) == -signal.SIGKILL
            assert await total(client, word) < registrations

            # What the dead one had claimed comes due when its lease ends, which is waited for at full size only.
            with psycopg.connect(str(fresh_world.settings.database_url)) as connection:
                forward = sized(int(LEASE.total_seconds()), long=0)
                connection.execute("UPDATE queue SET ready_at = ready_at - make_interval(secs => %s)", [forward])
            live.start("indexer-again")

            async def all_found() -> bool:
                return await total(client, word) == registrations

            await eventually(all_found, seconds=90)
            found = await walked(client, word)
        async with speaking(live, "admin") as admin:
            everything = (await admin.get("/api/search")).json()["total"]

    with psycopg.connect(str(fresh_world.settings.database_url)) as connection:
        rows = [str(row[0]) for row in connection.execute("SELECT id FROM object ORDER BY id")]
    assert (len(found), sorted(found), everything) == (registrations, sorted(ids), registrations)
    assert rows == sorted(ids)


@pytest.mark.timeout(120)
async def test_without_the_search_engine_registering_works_and_everything_is_found_once_it_is_back(
    relayed: Relayed,
) -> None:
    tokens = await make_tokens(relayed.direct)
    word = f"okapi{uuid4().hex[:8]}"
    with running(relayed.world, tokens, "api", "indexer") as live:
        async with speaking(live) as client:
            await register(client, f"{word} before")

            async def first_found() -> bool:
                return await total(client, word) == 1

            await eventually(first_found)

            await relayed.search.close()
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

            await relayed.search.open()

            async def all_found() -> bool:
                answer = await client.get("/api/search", params={"q": word})
                return answer.status_code == 200 and answer.json()["total"] == 21

            await eventually(all_found, seconds=60)

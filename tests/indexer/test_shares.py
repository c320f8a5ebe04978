"""Several indexers share a full queue evenly."""

import json
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from catalog.engines import opened
from catalog.objects import changing
from tests import forked
from tests.conftest import Sized, World, eventually, make_tokens, own_port, prepare, running
from tests.faults.conftest import BODY, speaking

INDEXERS = 3
OBJECTS, OBJECTS_LONG = 4_000, 40_000
# A batch is an eighth of the queue, so shares are never equal.
SHARE_LEAST = 1 / 3


async def handled(port: int) -> int:
    """Return how many entries for the index this indexer has claimed."""
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        try:
            told = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        except httpx2.HTTPError:
            return -1
    line = 'catalog_queue_handled_total{topic="index"} '
    return int(sum(float(one.removeprefix(line)) for one in told.splitlines() if one.startswith(line)))


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_of_a_full_queue_each_of_three_indexers_does_its_share(
    fresh_world: World, engines_ready: dict[str, Any], sized: Sized
) -> None:
    await prepare(fresh_world, engines_ready)
    tokens = await make_tokens(fresh_world)
    word, objects = f"gerbil{uuid4().hex[:8]}", sized(OBJECTS, long=OBJECTS_LONG)
    places = [own_port() for _ in range(INDEXERS)]
    with running(fresh_world, tokens, "api") as live:
        async with speaking(live) as client, opened(fresh_world.settings) as engines:
            for first in range(0, objects, 2_000):
                lines = (
                    json.dumps({**BODY, "title": f"{word} {number}"})
                    for number in range(first, min(first + 2_000, objects))
                )
                answer = await client.post(
                    "/api/bulk/objects",
                    content="\n".join(lines),
                    headers={"Content-Type": "application/x-ndjson"},
                    timeout=120,
                )
                assert answer.status_code == 200, answer.text
            await engines.database.rows("WITH gone AS (DELETE FROM queue RETURNING 1) SELECT count(*) FROM gone", {})

            for number, port in enumerate(places):
                log = fresh_world.folder / f"indexer-{number}.log"
                environment = fresh_world.environment | {"CATALOG_INDEXER_METRICS_PORT": str(port)}
                live.processes[f"indexer-{number}"] = forked.start(["catalog-indexer", "run"], environment, log)

            async def all_is_done() -> bool:
                left = await engines.database.rows("SELECT count(*) FROM queue WHERE topic = 'index'", {})
                return left == [(0,)]

            async def all_are_up() -> bool:
                logs = [(fresh_world.folder / f"indexer-{number}.log").read_text() for number in range(INDEXERS)]
                # The first of them fills the empty index.
                return all("indexer running" in log for log in logs) and await all_is_done()

            await eventually(all_are_up, seconds=120)
            before = [await handled(port) for port in places]
            async with engines.database.transaction() as session:
                await changing.index_everything(session)

            await eventually(all_is_done, seconds=240)
            shares = [await handled(port) - already for port, already in zip(places, before, strict=True)]
            await engines.index.refresh()
            assert await engines.index.count() == objects

    assert sum(shares) >= objects
    assert [share for share in shares if share < SHARE_LEAST * objects / INDEXERS] == []

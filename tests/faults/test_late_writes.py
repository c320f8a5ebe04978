"""What was deleted stays deleted, and a document never goes back, however late an old write arrives."""

from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from indexer.loop import DOCUMENT_LANES
from tests.conftest import World, eventually, make_tokens, running
from tests.faults.conftest import Relayed, register, speaking, total

BECAUSE = {"reason": "The sensor was broken."}


async def forget_deletions(world: World) -> None:
    """Let the engine's shards start anew, as when its node does: what it keeps of deletions in memory is gone."""
    async with httpx2.AsyncClient(base_url=str(world.settings.search_url), trust_env=False, timeout=30) as http:
        for step in ("_flush", "_close", "_open"):
            answer = await http.post(f"{world.settings.search_index}/{step}")
            assert answer.status_code == 200, answer.text
        answer = await http.get("_cluster/health", params={"wait_for_status": "yellow"})
        assert answer.status_code == 200, answer.text


async def document(world: World, object_id: str) -> tuple[int, bool]:
    """Return the version of the document that the engine holds, and whether it is a tombstone."""
    async with httpx2.AsyncClient(base_url=str(world.settings.search_url), trust_env=False, timeout=30) as http:
        told = (await http.get(f"{world.settings.search_index}/_doc/{object_id}")).json()
    return told["_version"], told["_source"].get("tombstone", False)


def queued(world: World, object_id: str) -> list[tuple[Any, ...]]:
    """Return how often an object's document was tried, if it waits to be written."""
    with psycopg.connect(str(world.settings.database_url)) as connection:
        asked = "SELECT attempts FROM queue WHERE topic = 'index' AND subject = %s"
        return connection.execute(asked, [object_id]).fetchall()


@pytest.mark.timeout(120)
@pytest.mark.req("SAGE-STORAGE-30")
async def test_a_write_that_arrives_after_the_object_was_withdrawn_does_not_bring_it_back(relayed: Relayed) -> None:
    """One indexer is held up with its write on the way; another writes the withdrawal; the engine starts anew."""
    tokens = await make_tokens(relayed.direct)
    word = f"dugong{uuid4().hex[:8]}"
    with running(relayed.world, tokens, "indexer"), running(relayed.direct, tokens, "api") as live:
        async with speaking(live) as client:

            async def found(count: int) -> bool:
                return await total(client, word) == count

            await register(client, f"{word} before")
            await eventually(lambda: found(1))
            relayed.search.pause()
            passed = relayed.search.asked_bytes
            late = []
            # One for each of its lanes, so that none of them takes the withdrawal too.
            for number in range(DOCUMENT_LANES):
                late.append((await register(client, f"{word} late {number}"))["id"])

                async def claimed() -> bool:
                    return queued(relayed.direct, late[-1]) == [(1,)]

                await eventually(claimed)
            for one in late:
                answer = await client.delete(f"/api/objects/{one}", params=BECAUSE, headers={"If-Match": "*"})
                assert answer.status_code == 204, answer.text
            other = live.start("indexer")

            async def written() -> bool:
                return not any(queued(relayed.direct, one) for one in late)

            await eventually(written)
            withdrawn = [await document(relayed.direct, one) for one in late]
            other.terminate()
            other.wait(20)
            await forget_deletions(relayed.direct)
            relayed.search.resume()
            # Whoever was held up takes on something new when what it held has come to an end.
            await register(client, f"{word} after")
            await eventually(lambda: found(2))

            assert relayed.search.asked_bytes > passed
            assert withdrawn == [(2, True)] * DOCUMENT_LANES
            assert [await document(relayed.direct, one) for one in late] == withdrawn

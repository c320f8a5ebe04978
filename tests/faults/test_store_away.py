"""The store goes away: what was noticed waits for it, what was verified stays linked, and all is settled by itself."""

from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.conftest import eventually, make_tokens, notified, running
from tests.faults.conftest import Relayed, register, speaking
from tests.indexer.scene import declared

CSV = b"depth,pH\n10,6.4\n"


async def put(ticket: dict[str, Any], content: bytes) -> None:
    """Upload as a client does."""
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.put(ticket["url"], content=content, headers=ticket["headers"])
        assert answer.status_code == 200, answer.text


@pytest.mark.timeout(120)
async def test_what_was_uploaded_while_the_store_did_not_answer_us_is_settled_once_it_does(
    relayed: Relayed, pytestconfig: pytest.Config
) -> None:
    tokens = await make_tokens(relayed.direct)

    def waiting() -> list[tuple[str, int, bool]]:
        with psycopg.connect(str(relayed.direct.settings.database_url)) as connection:
            found = connection.execute(
                "SELECT reason, attempts, parked_at IS NOT NULL FROM queue WHERE topic = 'key' AND reason IS NOT NULL"
            )
            return [(str(row[0]), int(row[1]), bool(row[2])) for row in found]

    with notified(pytestconfig, relayed.direct), running(relayed.world, tokens, "api", "indexer") as live:
        async with speaking(live) as client:
            files = [declared("before.csv", CSV), declared("while-away.csv", CSV + CSV)]
            made = await register(client, f"wombat{uuid4().hex[:8]}", files=files)
            tickets = {ticket["path"]: ticket for ticket in made["uploads"]}

            async def states() -> dict[str, str]:
                shown = (await client.get(f"/api/objects/{made['id']}")).json()
                return {file["path"]: file["state"] for file in shown["files"]}

            async def first_there() -> bool:
                return await states() == {"before.csv": "available", "while-away.csv": "expected"}

            await put(tickets["before.csv"], CSV)
            await eventually(first_there)
            await relayed.store.close()
            await put(tickets["while-away.csv"], CSV + CSV)

            async def tried() -> bool:
                return any(attempts >= 2 for _, attempts, _ in waiting())

            await eventually(tried, seconds=60)
            told = waiting()
            link = await client.get(f"/api/objects/{made['id']}/files/before.csv")
            still = await states()
            ready = (await client.get("/readyz")).json()["engines"]

            await relayed.store.open()

            async def both_there() -> bool:
                return set((await states()).values()) == {"available"}

            await eventually(both_there, seconds=60)
            async with httpx2.AsyncClient(trust_env=False, timeout=30) as anybody:
                fetched = await anybody.get(link.headers["location"])

        assert [process.poll() for process in live.processes.values()] == [None, None]

    # A store may tell of the first file once more: then its key waits as well, for the same reason.
    assert {(parked, "cannot be reached" in reason) for reason, _, parked in told} == {(False, True)}
    assert (link.status_code, fetched.content) == (307, CSV)
    assert still == {"before.csv": "available", "while-away.csv": "expected"}
    assert (ready["database"], ready["search"], ready["store"].startswith("fail")) == ("pass", "pass", True)
    assert "Traceback" not in live.log("indexer")

"""Reading one's own write: a search with the token of a write sees it, or says that it does not."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import sqlalchemy as sa

from catalog.access.audience import Audience
from catalog.api import written
from catalog.engines import Engines
from catalog.objects import awaited
from tests.api.conftest import BECAUSE, MERGE_PATCH, Draft
from tests.api.streams import serving
from tests.api.uploads import declared
from tests.conftest import Clients, Live

pytestmark = pytest.mark.usefixtures("noise")

NDJSON = {"content-type": "application/x-ndjson"}
ANY = {"if-match": "*"}


@pytest.fixture
def word() -> str:
    """A word that stands in no other test's objects."""
    return f"tapir{uuid4().hex[:10]}"


async def seen(client: httpx2.AsyncClient, token: str, **asked: Any) -> tuple[bool, list[str]]:
    """Return whether the answer is fresh, and the titles that were found."""
    answer = await client.get("/api/search", params={"after_write": token, "wait_seconds": 20, "limit": 100, **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()["fresh"], sorted(hit["title"] for hit in answer.json()["hits"])


async def test_a_search_with_the_token_of_a_write_sees_it_at_once(clients: Clients, draft: Draft, word: str) -> None:
    client = clients.ingest
    made = await client.post("/api/objects", json=draft | {"title": word})
    address = f"/api/objects/{made.json()['id']}"
    found = [await seen(client, made.headers["catalog-written"], q=word)]

    change = {"title": f"{word} anew"}
    changed = await client.patch(address, json=change, headers=ANY | {"content-type": MERGE_PATCH})
    found.append(await seen(client, changed.headers["catalog-written"], q=word))

    filed = await client.post(f"{address}/files", json={"files": [declared("a.csv", b"x")]}, headers=ANY)
    found.append(await seen(client, filed.headers["catalog-written"], q=f"{word} a.csv"))
    emptied = await client.delete(f"{address}/files/a.csv", headers=ANY)
    found.append(await seen(client, emptied.headers["catalog-written"], q=f"{word} a.csv", similar="false"))
    gone = await client.delete(address, params=BECAUSE, headers=ANY)
    found.append(await seen(client, gone.headers["catalog-written"], q=word))

    one = f"{word} anew"
    assert found == [(True, [word]), (True, [one]), (True, [one]), (True, []), (True, [])]


async def test_one_token_stands_for_all_rows_of_a_bulk_registration(clients: Clients, draft: Draft, word: str) -> None:
    titles = sorted(f"{word} {number:02}" for number in range(60))
    rows = "\n".join(json.dumps(draft | {"title": title}) for title in titles)
    answer = await clients.ingest.post("/api/bulk/objects", content=rows, headers=NDJSON)

    assert await seen(clients.ingest, answer.headers["catalog-written"], q=word) == (True, titles)


async def test_who_does_not_ask_is_told_nothing_of_freshness(clients: Clients) -> None:
    assert "fresh" not in (await clients.ingest.get("/api/search", params={"limit": 1})).json()


async def test_a_token_fits_its_own_principal_alone_and_no_altered_one_fits(clients: Clients, draft: Draft) -> None:
    token = (await clients.ingest.post("/api/objects", json=draft)).headers["catalog-written"]
    page = (await clients.ingest.get("/api/search", params={"limit": 1})).json()["cursor"]
    answers = [
        await client.get("/api/search", params={"after_write": sent})
        for client, sent in (
            (clients.other, token),
            (clients.anonymous, token),
            (clients.ingest, token[:-2]),
            (clients.ingest, page),
        )
    ]
    assert [(answer.status_code, answer.json()["errors"][0]["pointer"]) for answer in answers] == [
        (400, "/after_write")
    ] * 4
    assert len(token) < 120


async def test_a_write_that_the_index_does_not_get_is_said_to_be_missing(
    live: Live, clients: Clients, engines: Engines, draft: Draft, word: str
) -> None:
    """Its note lies far in the future, as that of an index that refuses for a while."""
    answer = await clients.ingest.post("/api/objects", json=draft | {"title": word})
    made = answer.json()
    assert (await seen(clients.ingest, answer.headers["catalog-written"], q=word))[0]
    async with engines.database.transaction() as session:
        await session.execute(
            sa.text(
                "INSERT INTO queue (topic, subject, ready_at) VALUES ('index', :id, now() + interval '1 hour')"
                " ON CONFLICT (topic, subject) DO UPDATE"
                " SET touched = queue.touched + 1, ready_at = now() + interval '1 hour'"
            ),
            {"id": made["id"]},
        )
        moment = await awaited.moment(session)
        writer = (
            await session.execute(sa.text("SELECT owner_id FROM object WHERE id = :id"), {"id": made["id"]})
        ).scalar_one()
    async with serving(live.settings) as (_, inner):
        sealer = inner.state.cursors
        missing = sealer.seal([made["id"], 99], "written", writer)
        many = sealer.seal([moment.isoformat()], "written", writer)
        before = sealer.seal([(moment - timedelta(days=1)).isoformat()], "written", writer)
    told = [
        (await seen(clients.ingest, one, q=word, wait_seconds=wait))[0]
        for one, wait in ((missing, 0.3), (many, 0.3), (before, 20), (missing, 0))
    ]
    async with engines.database.transaction() as session:
        stranger = await awaited.any_waits(session, Audience(frozenset({"user:nobody"})), moment)
        await session.execute(sa.text("DELETE FROM queue WHERE subject = :id"), {"id": made["id"]})
    assert (told, stranger) == ([False, False, True, False], False)


async def test_waits_have_a_limit_that_is_told(clients: Clients) -> None:
    answers = [
        await clients.ingest.get("/api/search", params={"wait_seconds": seconds}) for seconds in ("30.1", "-1", "nan")
    ]
    assert [answer.status_code for answer in answers] == [400] * 3
    assert "30" in answers[0].json()["errors"][0]["message"]


async def test_a_hundred_who_wait_share_the_refreshes(engines: Engines) -> None:
    refreshes = written.Refreshes()
    began = datetime.now(UTC)
    await asyncio.gather(*(refreshes.next(engines.index) for _ in range(100)))
    first = refreshes.count
    await asyncio.gather(*(refreshes.next(engines.index) for _ in range(100)))
    assert (first, refreshes.count) == (1, 2)
    assert (datetime.now(UTC) - began).total_seconds() >= written.REFRESH_SECONDS * 0.9

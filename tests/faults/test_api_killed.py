"""The API is killed: what it has answered for is in the database, and comes to its end without it."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.conftest import Live, World, eventually, make_tokens, prepare, running
from tests.faults.conftest import BODY, speaking, total

CONNECTIONS = 8
KILLED_AFTER = 150

Send = Callable[[httpx2.AsyncClient, int], Awaitable[httpx2.Response]]


async def until_killed(live: Live, send: Send) -> list[tuple[int, httpx2.Response]]:
    """Send on several connections, kill the API in the middle, and return what it answered before it was dead."""
    answered: list[tuple[int, httpx2.Response]] = []

    async def some(client: httpx2.AsyncClient, first: int) -> None:
        number = first
        while True:
            try:
                answer = await send(client, number)
            except httpx2.HTTPError:
                return
            answered.append((number, answer))
            if len(answered) == KILLED_AFTER:
                live.processes["api"].send_signal(signal.SIGKILL)
            number += CONNECTIONS

    async with speaking(live) as client:
        await asyncio.gather(*(some(client, first) for first in range(CONNECTIONS)))
    assert live.processes["api"].wait(10) == -signal.SIGKILL
    return answered


def column(world: World, statement: str) -> list[str]:
    """Return the first column of what the database holds."""
    with psycopg.connect(str(world.settings.database_url)) as connection:
        return [str(row[0]) for row in connection.execute(statement)]


@pytest.mark.timeout(120)
async def test_every_notification_that_was_answered_is_in_the_queue_although_the_api_was_killed(
    fresh_world: World, engines_ready: dict[str, Any]
) -> None:
    await prepare(fresh_world, engines_ready)
    tokens = await make_tokens(fresh_world)
    bucket = fresh_world.settings.store_bucket
    token = fresh_world.settings.notification_token.get_secret_value()

    async def notify(client: httpx2.AsyncClient, number: int) -> httpx2.Response:
        place = {"bucket": {"name": bucket}, "object": {"key": f"key-{number}"}}
        return await client.post(
            "/api/notifications/s3",
            json={"Records": [{"eventName": "s3:ObjectCreated:Put", "s3": place}]},
            headers={"Authorization": f"Bearer {token}"},
        )

    with running(fresh_world, tokens, "api") as live:
        answered = await until_killed(live, notify)
        queued = set(column(fresh_world, "SELECT subject FROM queue WHERE topic = 'key'"))
        live.start("indexer")

        async def done() -> bool:
            return not column(fresh_world, "SELECT 1 FROM queue WHERE topic = 'key'")

        await eventually(done)

    assert {answer.status_code for _, answer in answered} == {204}
    assert {f"default/{bucket}/key-{number}" for number, _ in answered} <= queued
    # At most one more on each connection was kept and could not be answered.
    assert len(answered) <= len(queued) <= len(answered) + CONNECTIONS


@pytest.mark.timeout(120)
@pytest.mark.req("MWM-SADD-18")
async def test_every_object_that_was_registered_is_found_although_the_api_was_killed(
    fresh_world: World, engines_ready: dict[str, Any]
) -> None:
    """The change and the note to index it commit together: nothing is left to be done between the two."""
    await prepare(fresh_world, engines_ready)
    tokens = await make_tokens(fresh_world)
    word = f"tapir{uuid4().hex[:8]}"

    async def write(client: httpx2.AsyncClient, number: int) -> httpx2.Response:
        return await client.post("/api/objects", json={**BODY, "title": f"{word} {number}"})

    with running(fresh_world, tokens, "api") as live:
        answered = await until_killed(live, write)
        there = column(fresh_world, "SELECT id FROM object ORDER BY id")
        queued = column(fresh_world, "SELECT subject FROM queue WHERE topic = 'index' ORDER BY subject")
        live.start("api-again")
        live.start("indexer")
        async with speaking(live) as client:

            async def all_found() -> bool:
                try:
                    return await total(client, word) == len(there)
                except httpx2.ConnectError:
                    return False

            await eventually(all_found)

    assert {answer.status_code for _, answer in answered} == {201}
    assert queued == there
    assert {answer.json()["id"] for _, answer in answered} <= set(there)

"""The database goes away, or its connections end: nobody is told more than is true, and all comes back by itself."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.conftest import Live, eventually, make_tokens, running
from tests.faults.conftest import BODY, Relayed, register, speaking, total

ANSWER_SECONDS_MAX = 10
# Long enough for pools that wait ever longer between their attempts to be caught waiting.
AWAY_SECONDS = 8
RECOVERY_SECONDS_MAX = 6


def event(bucket: str) -> dict[str, Any]:
    return {
        "Records": [
            {"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": "a/b/c"}}}
        ]
    }


async def asked(client: httpx2.AsyncClient, live: Live, object_id: str) -> dict[str, httpx2.Response]:
    """Ask everything that needs the database, at once; every answer must come in time."""
    token = live.settings.notification_token.get_secret_value()
    requests = {
        "register": client.post("/api/objects", json=BODY),
        "read": client.get(f"/api/objects/{object_id}"),
        "list": client.get("/api/objects"),
        "search": client.get("/api/search"),
        "notify": client.post(
            "/api/notifications/s3",
            json=event(live.settings.store_bucket),
            headers={"Authorization": f"Bearer {token}"},
        ),
    }
    started = time.monotonic()
    answers = await asyncio.gather(*requests.values())
    assert time.monotonic() - started < ANSWER_SECONDS_MAX
    return dict(zip(requests, answers, strict=True))


def told(answers: dict[str, httpx2.Response]) -> dict[str, tuple[int, Any, Any]]:
    """Return status, media type and problem type of each answer."""
    return {
        name: (
            answer.status_code,
            answer.headers.get("content-type"),
            answer.json().get("type") if answer.status_code >= 400 else None,
        )
        for name, answer in answers.items()
    }


@pytest.mark.timeout(120)
async def test_without_the_database_every_answer_is_a_503_in_time_and_all_recovers_by_itself(
    relayed: Relayed,
) -> None:
    tokens = await make_tokens(relayed.direct)
    word = f"quokka{uuid4().hex[:8]}"
    with running(relayed.world, tokens, "api", "indexer") as live:
        async with speaking(live) as client:
            known = await register(client, word)

            async def found() -> bool:
                return await total(client, word) == 1

            await eventually(found)
            await relayed.database.close()
            ends = time.monotonic() + AWAY_SECONDS
            during = [told(await asked(client, live, known["id"]))]
            alive = await client.get("/livez")
            ready = await client.get("/readyz")
            while time.monotonic() < ends:
                during.append(told(await asked(client, live, known["id"])))
            await relayed.database.open()
            back = time.monotonic()

            async def answers_again() -> bool:
                answers = await asked(client, live, known["id"])
                return {answer.status_code // 100 for answer in answers.values()} == {2}

            await eventually(answers_again, seconds=RECOVERY_SECONDS_MAX + ANSWER_SECONDS_MAX)
            took = time.monotonic() - back
            after = await register(client, f"{word} after")

            async def both_found() -> bool:
                return await total(client, word) == 2

            await eventually(both_found, seconds=RECOVERY_SECONDS_MAX)

        refused = (503, "application/problem+json", "/problems/unavailable")
        assert [answers for answers in during if set(answers.values()) != {refused}] == []
        assert (alive.status_code, ready.status_code) == (200, 503)
        assert ready.json()["engines"]["database"].startswith("fail")
        assert took < RECOVERY_SECONDS_MAX
        assert after["revision"] == 1
        assert [process.poll() for process in live.processes.values()] == [None, None]


@pytest.mark.timeout(120)
async def test_while_all_connections_are_ended_again_and_again_every_201_is_really_there(relayed: Relayed) -> None:
    tokens = await make_tokens(relayed.direct)
    word = f"numbat{uuid4().hex[:8]}"
    storming = True
    ended = 0

    async def storm() -> None:
        nonlocal ended
        admin = str(relayed.direct.settings.database_url).rsplit("/", 1)
        async with await psycopg.AsyncConnection.connect(f"{admin[0]}/postgres", autocommit=True) as connection:
            while storming:
                done = await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [admin[1]]
                )
                ended += len(await done.fetchall())
                await asyncio.sleep(0.15)

    answers: list[httpx2.Response] = []

    async def write(client: httpx2.AsyncClient, numbers: range) -> None:
        for number in numbers:
            answer = await client.post("/api/objects", json={**BODY, "title": f"{word} {number}"})
            answers.append(answer)

    with running(relayed.world, tokens, "api", "indexer") as live:
        async with speaking(live) as client:
            storms = asyncio.create_task(storm())
            await asyncio.gather(*(write(client, range(first, 200, 8)) for first in range(8)))
            storming = False
            await storms
            problems = [answer for answer in answers if answer.status_code != 201]
            ids = sorted(answer.json()["id"] for answer in answers if answer.status_code == 201)

            with psycopg.connect(str(relayed.direct.settings.database_url)) as connection:
                rows = connection.execute("SELECT id::text FROM object WHERE record->>'title' LIKE %s", [f"{word}%"])
                there = sorted(row[0] for row in rows)

            async def all_found() -> bool:
                return await total(client, word) == len(there)

            await eventually(all_found, seconds=60)
        assert [process.poll() for process in live.processes.values()] == [None, None]

    assert {(answer.status_code, answer.headers["content-type"]) for answer in problems} <= {
        (503, "application/problem+json")
    }
    # A commit whose answer was lost is there although its 201 never came: what matters is the other way round.
    assert [one for one in ids if one not in there] == []
    assert (ended > 0, len(ids) > 0, len(answers)) == (True, True, 200)

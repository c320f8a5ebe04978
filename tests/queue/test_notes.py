"""Entries of many requests at once: each is durable before its request is answered, and few statements write them."""

import asyncio

import psycopg
import pytest

from catalog import queue
from catalog.queue import Notes
from tests.queue.conftest import Topic


async def test_what_was_put_is_there_for_workers_when_the_call_returns(topic: Topic) -> None:
    await Notes(topic.database).put(topic.name, ["a", "b"])

    assert sorted(await topic.claimed()) == ["a", "b"]


async def test_a_thousand_at_once_are_all_kept_by_a_few_statements(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = 0
    rows = topic.database.rows

    async def counted(*asked: object) -> object:
        nonlocal statements
        statements += 1
        return await rows(*asked)  # type: ignore[arg-type]  # Handed on as it came.

    monkeypatch.setattr(topic.database, "rows", counted)
    notes = Notes(topic.database)
    # Ten times each: the store tells of one key again and again.
    await asyncio.gather(*(notes.put(topic.name, [f"{number % 100:03}"]) for number in range(1_000)))

    assert [one["subject"] for one in await topic.rows()] == [f"{number:03}" for number in range(100)]
    assert statements < 10


async def test_a_ring_follows_what_was_put(topic: Topic) -> None:
    rung: list[str] = []
    topic.database.on_queued = rung.extend
    try:
        await Notes(topic.database).put(topic.name, ["a"])
        await Notes(topic.database).put(topic.name, [])
    finally:
        topic.database.on_queued = None
    assert rung == [topic.name]


async def test_a_note_that_cannot_be_kept_is_told_to_those_who_wait_and_to_nobody_after(topic: Topic) -> None:
    notes = Notes(topic.database)
    with pytest.raises(psycopg.DataError):
        await notes.put(topic.name, ["not\x00text"])

    await notes.put(topic.name, ["a"])
    assert await topic.claimed() == ["a"]


async def test_a_request_that_is_given_up_costs_the_others_nothing(topic: Topic) -> None:
    notes = Notes(topic.database)
    given_up = asyncio.create_task(notes.put(topic.name, ["a"]))
    others = [asyncio.create_task(notes.put(topic.name, [name])) for name in ("b", "c")]
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(*others)

    assert {"b", "c"} <= set(await topic.claimed())


async def test_an_entry_that_was_put_by_both_ways_is_one(topic: Topic) -> None:
    await topic.put("a")
    await Notes(topic.database).put(topic.name, ["a"])

    (only,) = await topic.rows()
    assert (only["subject"], only["touched"]) == ("a", 1)
    assert queue.CHANNEL

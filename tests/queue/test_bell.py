"""The bell: writers pay nothing for it, indexers hear it at once, and nothing but time is lost when it breaks."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from catalog import database as database_room
from catalog import queue
from catalog.database import Database
from catalog.queue import CHANNEL, Bell
from tests.conftest import eventually
from tests.queue.conftest import Topic, abandoned

Heard = Callable[[float], Awaitable[None]]
END_LISTENERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND starts_with(query, 'LISTEN ')"
)
END_WRITERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'catalog'"
)


class Ear:
    """Hears what is told on the channel; a mark of its own tells that nothing came before it."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def mark(self, text: str) -> None:
        """Tell the mark, after everything that has been committed so far."""
        await self._connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, text])

    async def until(self, text: str) -> list[str]:
        """Return what was told before the mark; a ring of the bell says nothing."""
        told: list[str] = []
        async for notice in self._connection.notifies(timeout=20):
            if notice.payload == text:
                return told
            told.append(notice.payload)
        raise AssertionError(f"{text} was not heard, only {told}")

    async def ring(self) -> list[str]:
        """Return what the bell says when it rings once."""
        return [notice.payload async for notice in self._connection.notifies(timeout=20, stop_after=1)]


@pytest.fixture
async def ear(database: Database) -> AsyncGenerator[Ear]:
    """A listener beside the indexer's."""
    async with await psycopg.AsyncConnection.connect(database.url, autocommit=True) as connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        yield Ear(connection)


@asynccontextmanager
async def ringing(database: Database) -> AsyncGenerator[Bell]:
    """The bell of a running process, rung by the database's transactions."""
    bell = Bell(database)
    database.on_queued = bell.ring
    task = asyncio.create_task(bell.run())
    try:
        yield bell
    finally:
        database.on_queued = None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_the_transaction_of_a_write_tells_nobody_anything(topic: Topic, ear: Ear) -> None:
    """NOTIFY in the write would take a lock of the whole database at its commit."""
    for number in range(5):
        await topic.put(f"{number}")
    await ear.mark("after the writes")

    assert await ear.until("after the writes") == []


async def test_a_write_is_told_after_its_commit_and_never_before(topic: Topic, ear: Ear) -> None:
    async with ringing(topic.database):
        async with topic.database.transaction() as session:
            await queue.put(session, topic.name, ["a"])
            await ear.mark("before the commit")
            assert await ear.until("before the commit") == []
        assert await ear.ring() == [topic.name]

    assert await topic.claimed() == ["a"]


async def test_a_thousand_rings_at_once_are_told_once(database: Database, ear: Ear) -> None:
    async with ringing(database) as bell:
        for number in range(1_000):
            bell.ring([f"topic-{number % 3}"])
        assert await ear.ring() == ["topic-0 topic-1 topic-2"]
        await ear.mark("after the rings")
        assert await ear.until("after the rings") == []


async def test_what_is_rolled_back_rings_nobody(topic: Topic) -> None:
    rung: list[str] = []
    topic.database.on_queued = rung.extend
    try:
        async with abandoned(topic.database) as session:
            await queue.put(session, topic.name, ["a"])
    finally:
        topic.database.on_queued = None
    assert rung == []


async def test_an_indexer_that_listens_wakes_long_before_it_would_have_polled(topic: Topic) -> None:
    async with queue.listening(topic.database.url) as heard, ringing(topic.database):
        waiting = asyncio.create_task(heard(60))
        await topic.put("a")
        assert await asyncio.wait_for(waiting, 5) == {topic.name}


async def test_a_ring_that_names_no_topic_is_one_for_all_as_older_processes_ring(
    topic: Topic,
) -> None:
    async with queue.listening(topic.database.url) as heard:
        waiting = asyncio.create_task(heard(60))
        await topic.database.rows(f"SELECT pg_notify('{CHANNEL}', '')", {})
        assert await asyncio.wait_for(waiting, 5) is None


async def test_an_indexer_that_hears_nothing_goes_on_when_its_time_is_over(database: Database) -> None:
    async with queue.listening(database.url) as heard:
        assert await asyncio.wait_for(heard(0.05), 5) == set()


async def test_a_listener_whose_connection_is_ended_says_so_and_can_listen_anew(topic: Topic) -> None:
    async with queue.listening(topic.database.url) as heard:
        waiting = asyncio.create_task(heard(60))
        await topic.database.rows(END_LISTENERS, {})
        with pytest.raises(psycopg.OperationalError):
            await asyncio.wait_for(waiting, 5)

    async with queue.listening(topic.database.url) as heard, ringing(topic.database):
        waiting = asyncio.create_task(heard(60))
        await topic.put("a")
        await asyncio.wait_for(waiting, 5)


async def test_the_bell_rings_again_after_its_connections_were_ended(database: Database, ear: Ear) -> None:
    async with ringing(database) as bell:
        bell.ring(["topic"])
        assert await ear.ring() == ["topic"]
        assert await database.rows(END_WRITERS, {})
        bell.ring(["topic"])
        assert await ear.ring() == ["topic"]


async def test_the_bell_rings_again_after_all_connections_were_taken(
    database: Database, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_room, "POOL_WAIT_SECONDS_MAX", 0.05)
    small = Database(database.url, connections=2)

    async def told() -> bool:
        return [line["event"] for line in logged] == ["bell not rung"]

    with capture_logs() as logged:
        async with ringing(small) as bell:
            async with small.engine.connect():
                bell.ring(["topic"])
                await eventually(told)
            bell.ring(["topic"])
            assert await ear.ring() == ["topic"]
    await small.close()

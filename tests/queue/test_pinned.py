"""While somebody holds an old snapshot, what was done stays in the way; whoever looks for work walks around it."""

import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import sqlalchemy as sa

from catalog import queue
from tests.queue.conftest import Topic

ROUNDS, EACH = 30, 100


@pytest.fixture
def pinned(topic: Topic) -> Generator[None]:
    """Somebody has begun to read and goes on for long: nothing that ends from here on may be cleaned up."""
    with psycopg.connect(topic.database.url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM queue")
        yield


async def walked(topic: Topic) -> tuple[int, list[str]]:
    """Return how many places of the index of what is due were looked at to find one entry, and the entry."""
    # Of this connection alone, told at once.
    asked = sa.text("SELECT pg_stat_get_xact_tuples_returned('ix_queue_due'::regclass)")
    async with topic.database.transaction() as session:
        before = (await session.execute(asked)).scalar_one()
        claims = await queue.claim(session, topic.name, most=10)
        after = (await session.execute(asked)).scalar_one()
    return after - before, [claim.subject for claim in claims]


async def churn(topic: Topic) -> None:
    for number in range(ROUNDS):
        await topic.put(*(f"{number}-{one}" for one in range(EACH)))
        await topic.finish(await topic.claim(most=EACH))


@pytest.mark.usefixtures("pinned")
async def test_what_was_done_is_not_walked_over_again_and_again(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "LATE", timedelta())
    monkeypatch.setattr(queue, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(queue, "LOOK_REST", 0)
    await churn(topic)
    await topic.put("from the beginning")
    from_beginning = await walked(topic)
    monkeypatch.setattr(queue, "LOOK_SECONDS", 3600.0)
    await topic.put("another look from there")
    await topic.claim()
    await topic.put("from where nothing was")
    from_there = await walked(topic)

    assert (from_beginning[0] > ROUNDS * EACH, from_beginning[1]) == (True, ["from the beginning"])
    assert (from_there[0] < EACH, from_there[1]) == (True, ["from where nothing was"])


def test_after_a_look_that_took_long_the_next_one_from_the_beginning_is_not_put_off_for_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    floor = queue._Floor()  # noqa: SLF001 - its clock alone is set.
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with floor.look():
        clock[0] = 12.0
    floor.rise(datetime.now(UTC), from_beginning=True)
    clock[0] = 12.0 + queue.LOOK_REST_SECONDS_MAX

    with floor.look() as lowest:
        assert lowest == datetime.min.replace(tzinfo=UTC)


async def test_what_was_committed_late_is_found_by_the_next_look_from_the_beginning(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "LOOK_SECONDS", 3600.0)
    await topic.put("first")
    first = await topic.claimed()
    async with topic.database.transaction() as session:
        await queue.put(session, topic.name, ["late"])
        long_ago = queue.LATE + timedelta(hours=1)
        statement = sa.text("UPDATE queue SET ready_at = ready_at - :ago WHERE subject = 'late' AND topic = :topic")
        typed = statement.bindparams(sa.bindparam("ago", long_ago, type_=sa.Interval))
        await session.execute(typed, {"topic": topic.name})
    before = (await topic.claimed(), await queue.topics_due(topic.database, [topic.name]))
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 3600)

    assert (first, before) == (["first"], ([], []))
    assert await queue.topics_due(topic.database, [topic.name]) == [topic.name]
    assert await topic.claimed() == ["late"]

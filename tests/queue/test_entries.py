"""One entry and what can become of it: put, touched, claimed, finished, postponed, parked, given back."""

import asyncio
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from catalog import queue
from catalog.database import QUEUED
from catalog.queue import ATTEMPTS_MAX, DELAY_LAST, LEASE, PARKED_SHOWN_MAX, REASON_CHARS_MAX, Claim, Parked
from tests.queue.conftest import Topic, abandoned

HOUR = timedelta(hours=1)


def row(subject: str, **differs: Any) -> dict[str, Any]:
    return {"subject": subject, "touched": 0, "attempts": 0, "parked": False, "reason": None, "ready_in": 0} | differs


async def test_a_subject_put_three_times_is_one_entry_that_was_touched_twice(topic: Topic) -> None:
    await topic.put("a")
    await topic.put("a", "b")
    await topic.put("a", "a")

    assert await topic.rows() == [row("a", touched=2), row("b")]


async def test_the_same_subject_under_another_topic_is_another_entry(topic: Topic) -> None:
    await topic.put("a")
    other = Topic(topic.database, topic.name + "-other")
    await other.put("a")

    await topic.finish(await topic.claim())

    assert (await topic.rows(), await other.rows()) == ([], [row("a")])


async def test_putting_nothing_does_nothing(topic: Topic) -> None:
    async with topic.database.transaction() as session:
        await queue.put(session, topic.name, [])
        assert QUEUED not in session.info


async def test_a_claimed_entry_is_nobody_elses_until_its_lease_ends(topic: Topic) -> None:
    await topic.put("a")
    (first,) = await topic.claim()

    assert await topic.claim() == []
    await topic.age(LEASE + timedelta(seconds=1))
    assert await topic.claim() == [Claim(first.id, "a", touched=0, attempts=2)]


async def test_a_finished_entry_is_gone(topic: Topic) -> None:
    await topic.put("a", "b")
    claims = await topic.claim(most=1)

    await topic.finish(claims)

    assert [left["subject"] for left in await topic.rows()] == [{"a": "b", "b": "a"}[claims[0].subject]]


async def test_what_is_touched_while_it_is_handled_is_due_again_and_outlives_its_finish(topic: Topic) -> None:
    await topic.put("a", "b")
    claims = await topic.claim()
    await topic.put("a")

    await topic.finish(claims)

    assert await topic.rows() == [row("a", touched=1)]
    assert await topic.claimed() == ["a"]


async def test_what_is_touched_while_it_is_handled_is_neither_postponed_nor_parked(topic: Topic) -> None:
    await topic.put("a", "b")
    a, b = sorted(await topic.claim(), key=lambda one: one.subject)
    await topic.put("a", "b")

    await topic.postpone(a, "the store is away", HOUR)
    await topic.park(b, "the store never heard of it")

    assert await topic.rows() == [row("a", touched=1), row("b", touched=1)]


async def test_an_entry_that_is_being_touched_outlives_the_finish_that_waits_for_it(topic: Topic) -> None:
    await topic.put("a", "b")
    claims = await topic.claim()

    async with topic.database.transaction() as session:
        await queue.put(session, topic.name, ["a"])
        finishing = asyncio.create_task(topic.finish(claims))
        await topic.until_somebody_waits()
    await finishing

    assert await topic.rows() == [row("a", touched=1)]


async def test_a_claim_holds_while_nobody_else_has_claimed_the_entry(topic: Topic) -> None:
    """Whoever was stopped between looking and acting must know whether somebody else has looked since."""
    await topic.put("untouched", "touched", "expired", "taken", "finished", "again")
    claims = await topic.claim()
    of = {one.subject: one for one in claims}
    await topic.put("taken", "finished", "again")
    await topic.finish([one for one in await topic.claim() if one.subject != "taken"])
    await topic.put("touched", "again")
    async with topic.database.transaction() as session:
        statement = sa.text("UPDATE queue SET ready_at = ready_at - CAST('1 hour' AS interval) WHERE id = :id")
        await session.execute(statement, {"id": of["expired"].id})
    topic.database.learned.clear()
    assert [one.subject for one in await topic.claim(most=1)] == ["expired"]

    async with topic.database.transaction() as session:
        held = await queue.hold(session, claims)

    assert sorted(one.subject for one in held) == ["touched", "untouched"]


async def test_a_delayed_entry_waits_its_time(topic: Topic) -> None:
    await topic.put("a", after=HOUR)

    assert (await topic.claim(), await topic.rows()) == ([], [row("a", ready_in=3600)])
    await topic.age(HOUR)
    assert await topic.claimed() == ["a"]


async def test_putting_again_brings_an_entry_forward_and_never_back(topic: Topic) -> None:
    await topic.put("a", "b", after=HOUR)
    await topic.put("a")
    await topic.put("b", after=HOUR * 2)

    assert await topic.rows() == [row("a", touched=1), row("b", touched=1, ready_in=3600)]


async def test_only_what_is_due_now_rings_for_the_indexer(topic: Topic) -> None:
    rung: list[str] = []
    topic.database.on_queued = rung.extend
    try:
        await topic.put("later", after=HOUR)
        assert rung == []
        await topic.put("now")
    finally:
        topic.database.on_queued = None
    assert rung == [topic.name]


async def test_a_postponed_entry_says_why_and_comes_back(topic: Topic) -> None:
    await topic.put("a")
    (one,) = await topic.claim()

    await topic.postpone(one, "the index is busy", HOUR)

    assert await topic.rows() == [row("a", attempts=1, reason="the index is busy", ready_in=3600)]
    await topic.age(HOUR)
    assert await topic.claim() == [Claim(one.id, "a", touched=0, attempts=2)]


async def test_the_time_between_attempts_doubles_up_to_a_ceiling(topic: Topic) -> None:
    await topic.put("a")
    waited = []
    for _ in range(ATTEMPTS_MAX):
        (one,) = await topic.claim()
        waited.append(one.delay)
        await topic.postpone(one, "again")
        await topic.age(DELAY_LAST)

    seconds = [delay.total_seconds() for delay in waited]
    assert seconds == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]


def test_the_ceiling_holds_for_what_is_never_given_up() -> None:
    assert Claim(1, "a", touched=0, attempts=100_000).delay == DELAY_LAST


async def test_what_comes_round_again_has_never_been_tried(topic: Topic) -> None:
    await topic.put("a", "b")
    for _ in range(ATTEMPTS_MAX):
        first, second = sorted(await topic.claim(), key=lambda one: one.subject)
        await topic.again(first, HOUR)
        await topic.again(second, HOUR, "c" if second.subject == "b" else "b")
        await topic.age(HOUR)
    assert await topic.rows() == [row("a", ready_in=0), row("b", ready_in=0)]


async def test_what_is_touched_during_its_turn_comes_round_at_once(topic: Topic) -> None:
    await topic.put("a")
    (one,) = await topic.claim()
    await topic.put("a")

    await topic.again(one, HOUR)

    assert await topic.claimed() == ["a"]


async def test_an_entry_is_exhausted_at_its_last_attempt_and_fresh_after_a_touch(topic: Topic) -> None:
    await topic.put("a")
    exhausted = []
    for _ in range(ATTEMPTS_MAX):
        exhausted += [one.exhausted for one in await topic.claim()]
        await topic.age(LEASE)
    await topic.put("a")

    (fresh,) = await topic.claim()
    assert (exhausted, fresh.exhausted) == ([False] * (ATTEMPTS_MAX - 1) + [True], False)


async def test_a_parked_entry_is_claimed_by_nobody_until_it_is_touched(topic: Topic) -> None:
    await topic.put("a", "b")
    claims = sorted(await topic.claim(), key=lambda one: one.subject)
    await topic.park(claims[0], "mapper_parsing_exception: failed to parse field [year]")
    await topic.finish(claims[1:])
    await topic.age(HOUR)

    parked = row(
        "a", attempts=1, parked=True, reason="mapper_parsing_exception: failed to parse field [year]", ready_in=-3570
    )
    assert (await topic.claim(), await topic.rows()) == ([], [parked])
    await topic.put("a")
    assert await topic.rows() == [row("a", touched=1)]
    assert await topic.claimed() == ["a"]


async def test_a_reason_fits_whatever_the_engine_said(topic: Topic) -> None:
    await topic.put("a")
    (one,) = await topic.claim()

    await topic.park(one, "bytes \x00" + "x" * REASON_CHARS_MAX)

    assert [left["reason"] for left in await topic.rows()] == ["bytes \N{REPLACEMENT CHARACTER}" + "x" * 1993]


async def test_what_is_given_back_is_due_at_once_as_if_it_had_never_been_claimed(topic: Topic) -> None:
    await topic.put("a", "b")

    await topic.release(await topic.claim())

    assert await topic.rows() == [row("a"), row("b")]


async def test_the_longest_due_come_first(topic: Topic) -> None:
    for subject in ("first", "second", "third"):
        await topic.put(subject)

    taken = [one.subject for _ in range(3) for one in await topic.claim(most=1)]

    assert taken == ["first", "second", "third"]


async def test_an_entry_stands_and_falls_with_the_transaction_that_put_it(topic: Topic) -> None:
    async with topic.database.transaction() as session:
        await session.execute(sa.text("CREATE TABLE IF NOT EXISTS beside (subject text)"))
    for subject, transaction in {"kept": topic.database.transaction(), "dropped": abandoned(topic.database)}.items():
        async with transaction as session:
            await session.execute(sa.text("INSERT INTO beside VALUES (:subject)"), {"subject": subject})
            await queue.put(session, topic.name, [subject])

    beside = await topic.database.rows("SELECT subject FROM beside", {})
    assert (beside, await topic.claimed()) == ([("kept",)], ["kept"])


async def test_depth_counts_what_waits_and_shows_what_is_parked_and_due_counts_the_asked_topics(topic: Topic) -> None:
    await topic.put("waits", "leased", "parked")
    await topic.put("scheduled", after=HOUR)
    claims = {one.subject: one for one in await topic.claim()}
    await topic.park(claims["parked"], "the mapping refuses it")
    await topic.release([claims["waits"]])

    async with topic.database.transaction() as session:
        depth = await queue.depth(session)
        due = [await queue.due(session, topics) for topics in ([topic.name], [topic.name, "noise"], ["nothing"])]

    parked = [
        Parked(topic.name, "parked", "the mapping refuses it", 1, one.parked_at)
        for one in depth.parked
        if one.topic == topic.name
    ]
    assert [one for one in depth.parked if one.topic == topic.name] == parked
    assert (len(parked), depth.waiting[topic.name], due) == (1, 2, [2, 3, 0])
    assert depth.oldest_seconds is not None


async def test_an_empty_queue_has_no_age(topic: Topic) -> None:
    async with topic.database.engine.connect() as connection:
        # In a transaction that is rolled back, so that other tests keep their entries.
        await connection.execute(sa.text("DELETE FROM queue"))
        async with AsyncSession(connection) as session:
            assert await queue.depth(session) == queue.Depth({}, None, [])
        await connection.rollback()


async def test_only_so_many_parked_entries_are_shown_newest_first(topic: Topic) -> None:
    subjects = [f"{number:04}" for number in range(PARKED_SHOWN_MAX + 3)]
    await topic.put(*subjects)
    for one in sorted(await topic.claim(most=500), key=lambda one: one.subject):
        await topic.park(one, "refused")

    async with topic.database.transaction() as session:
        shown = (await queue.depth(session)).parked

    assert [one.subject for one in shown if one.topic == topic.name] == subjects[: -PARKED_SHOWN_MAX - 1 : -1]

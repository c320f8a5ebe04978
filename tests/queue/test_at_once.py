"""Many at once: workers never take the same entry, writers never deadlock, commits in any order are all seen."""

import asyncio
import random
from datetime import timedelta

from catalog import queue
from tests.conftest import eventually
from tests.queue.conftest import Topic, abandoned

WRITERS = 50


async def test_two_workers_take_different_entries_and_neither_waits_for_the_other(topic: Topic) -> None:
    subjects = [f"{number:02}" for number in range(10)]
    await topic.put(*subjects)

    async with topic.database.transaction() as one, topic.database.transaction() as other:
        # The first has not committed when the second asks: it passes over what the first holds.
        first = await queue.claim(one, topic.name, most=6)
        second = await asyncio.wait_for(queue.claim(other, topic.name, most=6), 5)

    assert (len(first), len(second)) == (6, 4)
    assert sorted(claim.subject for claim in [*first, *second]) == subjects


async def test_eight_workers_share_a_thousand_entries_and_take_each_once(topic: Topic) -> None:
    subjects = [f"{number:04}" for number in range(1_000)]
    await topic.put(*subjects)
    taken: list[str] = []

    async def work() -> None:
        while claims := await topic.claim(most=37):
            taken.extend(claim.subject for claim in claims)
            # Workers that look for due entries just then hold these for a moment: they must not stay behind for that.
            await topic.finish(claims)

    await asyncio.gather(*(work() for _ in range(8)))

    assert (sorted(taken), await topic.rows()) == (subjects, [])


async def test_writers_that_touch_the_same_subjects_in_opposite_order_never_deadlock(topic: Topic) -> None:
    subjects = [f"{number:02}" for number in range(40)]
    rounds = 60

    async def write(number: int) -> None:
        await topic.put(*(subjects if number % 2 else reversed(subjects)))

    await asyncio.gather(*(write(number) for number in range(rounds)))

    assert [(row["subject"], row["touched"]) for row in await topic.rows()] == [
        (subject, rounds - 1) for subject in subjects
    ]


async def test_workers_that_end_what_writers_touch_never_deadlock(topic: Topic) -> None:
    """Every way to end a claim, on overlapping entries in different orders, while writers touch all of them."""
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret.
    subjects = [f"{number:02}" for number in range(40)]
    await topic.put(*subjects)
    writing = True

    async def write() -> None:
        for _ in range(15):
            await topic.put(*chance.sample(subjects, 30))

    async def work() -> None:
        while writing:
            claims = await topic.claim(most=25, lease=timedelta())
            chance.shuffle(claims)
            if not claims:
                await asyncio.sleep(0.001)
            way = chance.randrange(3)
            if way == 0:
                await topic.finish(claims)
            elif way == 1:
                await topic.release(claims)
            else:
                async with topic.database.transaction() as session:
                    await queue.hold(session, claims)
                    for claim in claims:
                        await queue.postpone(session, claim, reason="later", after=timedelta())

    workers = [asyncio.create_task(work()) for _ in range(4)]
    await asyncio.gather(*(write() for _ in range(4)))
    writing = False
    await asyncio.gather(*workers)


async def test_who_ends_a_turn_and_notes_others_never_deadlocks_with_who_notes_them_all(topic: Topic) -> None:
    await topic.put("a", "b")
    (own,) = [one for one in await topic.claim() if one.subject == "a"]

    async def ends() -> None:
        async with topic.database.transaction() as session:
            await queue.finish_noting(session, own, topic.name, ["b"])

    async with topic.database.transaction() as session:
        # So that both wait, one after the other.
        await queue.put(session, topic.name, ["b"])
        ending = asyncio.create_task(ends())
        await topic.until_somebody_waits()
        noting = asyncio.create_task(topic.put("a", "b"))
        await topic.until_somebody_waits(2)
    await asyncio.gather(ending, noting)

    assert [(one["subject"], one["touched"]) for one in await topic.rows()] == [("a", 0), ("b", 3)]


async def test_what_was_touched_during_a_turn_that_notes_others_stays(topic: Topic) -> None:
    await topic.put("a")
    (own,) = await topic.claim()
    await topic.put("a")
    async with topic.database.transaction() as session:
        await queue.finish_noting(session, own, topic.name, ["b"])
    assert await topic.claimed() == ["a", "b"]


async def test_whatever_order_writers_commit_in_every_committed_subject_is_claimed_and_no_other(topic: Topic) -> None:
    """A reader that remembers how far it has read would miss what is committed behind it; claiming cannot."""
    chance = random.Random(12)  # noqa: S311 - repeatable, not secret.
    committed = {f"{number:02}" for number in range(WRITERS) if chance.random() < 0.7}
    taken: list[str] = []
    done = False

    async def write(number: int) -> None:
        subject = f"{number:02}"
        transaction = topic.database.transaction() if subject in committed else abandoned(topic.database)
        async with transaction as session:
            await queue.put(session, topic.name, [subject])
            # The order of the commits is not the order of the puts.
            await asyncio.sleep(chance.uniform(0, 0.05))

    async def read() -> None:
        while True:
            last = done
            claims = await topic.claim(most=3)
            taken.extend(claim.subject for claim in claims)
            await topic.finish(claims)
            if last and not claims:
                return

    readers = [asyncio.create_task(read()) for _ in range(3)]
    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    done = True
    await asyncio.gather(*readers)

    assert sorted(taken) == sorted(committed)


async def test_an_entry_committed_behind_a_later_one_is_claimed(topic: Topic) -> None:
    async with topic.database.transaction() as slow:
        await queue.put(slow, topic.name, ["slow"])
        await topic.put("fast")
        fast = await topic.claimed()
    assert (fast, await eventually(topic.claimed)) == (["fast"], ["slow"])

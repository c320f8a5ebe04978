"""What was told long ago takes a number instead of a row, and is told no second time."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from catalog.access.audience import Audience
from catalog.alerts import matches
from indexer import loop
from tests.alerts.conftest import Desk, Person, Receiver
from tests.conftest import eventually

KEPT = 2


@pytest.fixture(autouse=True)
async def few(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[None]:
    """Let two rows of each search be enough for its feed."""
    monkeypatch.setattr(matches, "FEED_ROWS_KEPT", KEPT)
    yield
    await desk.run("DELETE FROM already_told")


async def fold(desk: Desk) -> int:
    async with desk.engines.database.transaction() as session:
        return await matches.fold(session)


async def rows(desk: Desk, made: dict[str, Any]) -> int:
    found = await desk.engines.database.rows(
        "SELECT count(*) FROM saved_alert WHERE search_id = %(id)s", {"id": made["id"]}
    )
    return int(found[0][0])


async def told_of(desk: Desk, lab: Person, word: str, count: int) -> list[str]:
    """Register objects one after the other, and have everybody told of each."""
    ids = []
    for number in range(count):
        ids.append(await lab.register(f"{word} {number}"))
        await desk.work()
    return ids


async def test_what_was_folded_is_told_no_second_time_and_only_to_those_who_were_told(desk: Desk, lab: Person) -> None:
    ana, ben = await desk.person(), await desk.person()
    hers = await ana.save("gibbon")
    ids = await told_of(desk, lab, "Gibbon", 5)
    his, other = await ben.save("gibbon"), await ana.save("gibbon", name="Again")

    folded = [await fold(desk), await fold(desk)]
    after = await ana.feed(hers)
    for one in ids:
        await lab.change(one, description="Seen again.")
        await desk.work()
    folded.append(await fold(desk))
    for one in ids:
        await lab.change(one, description="And once more.")
        await desk.work()

    assert (folded, after) == ([3, 0, 6], ["Gibbon 4", "Gibbon 3"])
    assert [await rows(desk, one) for one in (hers, his, other)] == [KEPT] * 3
    assert await ana.feed(hers) == await ben.feed(his) == after
    # What somebody asks anew is news again.
    await ana.client.delete(f"/api/saved-searches/{hers['id']}")
    anew = await ana.save("gibbon")
    await lab.change(ids[0], description="For the last time.")
    await desk.work()
    assert await ana.feed(anew) == ["Gibbon 0"]


async def test_numbers_of_searches_that_are_gone_go_with_the_next_that_are_folded(desk: Desk, lab: Person) -> None:
    ana = await desk.person()
    gone = await ana.save("siamang")
    ids = await told_of(desk, lab, "Siamang", 3)
    assert await fold(desk) == 1
    await ana.client.delete(f"/api/saved-searches/{gone['id']}")
    await ana.save("siamang")
    for one in ids:
        await lab.change(one, description="Other.")
        await desk.work()
    assert await fold(desk) == 1

    held = await desk.engines.database.rows("SELECT object_id::text, cardinality(searches) FROM already_told", {})
    assert held == [(ids[0], 1)]


async def test_what_is_hidden_from_its_owner_or_withdrawn_keeps_no_row(desk: Desk, lab: Person) -> None:
    ana = await desk.person()
    made = await ana.save("marmoset")
    hidden = await lab.register("Marmoset hidden", visibility="private")
    await desk.work()
    assert await rows(desk, made) == 0
    ids = await told_of(desk, lab, "Marmoset", 3)
    gone = await lab.client.delete(f"/api/objects/{ids[0]}", params={"reason": "Tried."}, headers={"if-match": "*"})
    assert gone.status_code == 204
    assert await fold(desk) == 1
    assert await desk.engines.database.rows("SELECT * FROM already_told", {}) == []

    await lab.change(hidden, visibility="public")
    await desk.work()
    assert (await ana.feed(made))[0] == "Marmoset hidden"


async def test_what_has_to_be_sent_is_kept_for_thirty_days(desk: Desk, lab: Person, receiver: Receiver) -> None:
    ana = await desk.person()
    receiver.status = 500
    made = await ana.save("tamarin", by="webhook", address=receiver.url)
    ids = await told_of(desk, lab, "Tamarin", 4)
    soon = await fold(desk)
    old = matches.UNSENT_KEPT + timedelta(days=1)
    await desk.run("UPDATE saved_alert SET seen_at = seen_at - :old WHERE object_id = :id", old=old, id=UUID(ids[0]))

    assert (soon, await fold(desk), await rows(desk, made)) == (0, 1, 3)


async def test_what_is_noted_while_it_is_folded_waits_and_is_told_no_second_time(desk: Desk, lab: Person) -> None:
    ana = await desk.person()
    made = await ana.save("colobus")
    ids = await told_of(desk, lab, "Colobus", 4)

    async def note() -> None:
        async with desk.engines.database.transaction() as session:
            await matches.note(session, [(UUID(made["id"]), UUID(one)) for one in ids])

    async def waits() -> bool:
        held = await desk.engines.database.rows("SELECT 1 FROM pg_locks WHERE NOT granted", {})
        return bool(held)

    async with desk.engines.database.transaction() as session:
        assert await matches.fold(session) == 2
        noting = asyncio.create_task(note())
        assert await eventually(waits)
    await noting

    assert await rows(desk, made) == KEPT


async def test_what_is_noted_while_it_is_looked_at_is_looked_at_again(desk: Desk, lab: Person) -> None:
    """It was hidden when it was read, and is not any more: nobody would tell of it otherwise."""
    ana = await desk.person()
    made = await ana.save("langur")
    pair = (UUID(made["id"]), UUID(await lab.register("A langur")))
    await desk.work()
    await desk.run("DELETE FROM saved_alert")
    async with desk.engines.database.transaction() as session:
        await matches.note(session, [pair])
        before = await matches.waiting(session, [pair[0]])
    async with desk.engines.database.transaction() as session:
        await matches.note(session, [pair])
    async with desk.engines.database.transaction() as session:
        await matches.looked(session, before, {ana.id: Audience(frozenset())})
    await desk.work()

    assert await ana.feed(made) == ["A langur"]


async def test_a_running_indexer_folds(desk: Desk, lab: Person) -> None:
    ana = await desk.person()
    made = await ana.save("howler")
    await told_of(desk, lab, "Howler", 5)
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run(desk.engines, stop))

    async def folded() -> bool:
        return await rows(desk, made) == KEPT

    try:
        assert await eventually(folded)
    finally:
        stop.set()
        await running

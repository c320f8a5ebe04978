"""What becomes of an object in the index: found, changed, withdrawn, never back, and never at a neighbour's cost."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from catalog import queue
from catalog.access.audience import ANONYMOUS
from catalog.errors import Unavailable
from catalog.objects import changing
from catalog.queue import ATTEMPTS_MAX
from catalog.search.index import Index, Outcome, Written
from indexer import documents, handling
from tests.conftest import eventually
from tests.indexer.scene import Scene, project
from tests.search.conftest import Between

REASON = {"type": "mapper_parsing_exception", "reason": "object mapping tried to parse as object"}
HOUR = timedelta(hours=1)
# For what is put off while a test looks, however long that takes; within what `Scene.entries` shows.
LATER = timedelta(seconds=50)


@pytest.fixture
async def behind(scene: Scene, between: Between) -> Any:
    """The index, met through a proxy that refuses and rewrites."""
    through = Index(between.url, scene.engines.index.alias)
    yield through
    await through.close()


async def test_what_was_registered_is_found_once_it_is_indexed_and_not_before(scene: Scene) -> None:
    there = project()
    await scene.registered("Wind", "Rain", project=there)
    before = await scene.found(there)

    handled = await documents.step(scene.engines)

    assert (before, handled, await scene.found(there), await scene.entries()) == ({}, 2, {"Wind": 1, "Rain": 1}, [])


async def test_a_change_is_indexed_with_its_revision(scene: Scene) -> None:
    there = project()
    ids = await scene.registered("Wind", project=there)
    await scene.work()
    await scene.revise(ids["Wind"], title="Wind speed", visibility="private")

    await scene.work()

    assert (await scene.found(there), await scene.found(there, ANONYMOUS)) == ({"Wind speed": 2}, {})


async def test_many_changes_of_one_object_are_one_entry_and_one_write(scene: Scene) -> None:
    there = project()
    ids = await scene.registered("Wind", project=there)
    for number in range(5):
        await scene.revise(ids["Wind"], title=f"Wind {number}")

    handled = await documents.step(scene.engines)

    assert (handled, await scene.found(there)) == (1, {"Wind 4": 6})


async def test_a_withdrawn_object_leaves_a_tombstone_that_nobody_finds(scene: Scene) -> None:
    there = project()
    ids = await scene.registered("Wind", "Rain", project=there)
    await scene.work()
    await scene.withdraw(ids["Wind"])

    await scene.work()

    versions = await scene.engines.index.versions(list(ids.values()))
    assert (await scene.found(there), versions) == ({"Rain": 1}, {ids["Wind"]: 2, ids["Rain"]: 1})


async def test_a_tombstone_is_removed_when_it_has_served_its_time_and_not_before(scene: Scene) -> None:
    ids = await scene.registered("Wind", "Rain", project=project())
    await scene.withdraw(ids["Wind"])
    await scene.work()

    early = await documents.purge_step(scene.engines)
    await scene.let_pass(documents.TOMBSTONE_KEPT)
    in_time = await documents.purge_step(scene.engines)

    versions = await scene.engines.index.versions(list(ids.values()))
    assert (early, in_time, versions, await scene.entries()) == (0, 1, {ids["Rain"]: 1}, [])


class Held(Index):
    """An index whose writer stops before each write until it is let go."""

    def __init__(self, index: Index) -> None:
        super().__init__(index._url, index.alias)  # noqa: SLF001 - the same engine.
        self.arrived = asyncio.Event()
        self.go = asyncio.Event()

    async def write(self, documents: Sequence[Written]) -> list[Outcome]:
        self.arrived.set()
        await self.go.wait()
        return await super().write(documents)


async def test_a_document_never_goes_back_when_a_slow_worker_writes_an_older_revision_later(scene: Scene) -> None:
    there = project()
    ids = await scene.registered("Wind", project=there)
    slow = Held(scene.engines.index)
    older = asyncio.create_task(documents.step(scene.with_index(slow)))
    await slow.arrived.wait()
    await scene.revise(ids["Wind"], title="Wind speed")
    await scene.work()

    slow.go.set()
    handled = await older

    assert (handled, await scene.found(there), await scene.entries()) == (1, {"Wind speed": 2}, [])
    await slow.close()


async def test_the_deleted_stay_deleted_when_a_slow_worker_writes_them_later(scene: Scene) -> None:
    there = project()
    ids = await scene.registered("Wind", "Rain", project=there)
    slow = Held(scene.engines.index)
    older = asyncio.create_task(documents.step(scene.with_index(slow)))
    await slow.arrived.wait()
    await scene.withdraw(ids["Wind"])
    await scene.work()

    slow.go.set()
    await older

    assert (await scene.found(there), await scene.entries()) == ({"Rain": 1}, [])
    await slow.close()


async def test_a_write_that_takes_longer_than_a_lease_keeps_its_lease(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a lease may be short, and what a dead indexer had in hand comes back soon."""
    monkeypatch.setattr(handling, "RENEWALS_PER_LEASE", queue.LEASE_OF_A_MOMENT.total_seconds() / 0.1)
    there = project()
    ids = await scene.registered("Wind", project=there)
    held = Held(scene.engines.index)
    slow = asyncio.create_task(documents.step(scene.with_index(held)))
    await held.arrived.wait()
    ends = set()

    async def another_claims_nothing_while_the_lease_begins_three_times_anew() -> bool:
        assert await documents.step(scene.engines) == 0
        asked = "SELECT ready_at FROM queue WHERE subject = %(subject)s"
        ends.update(await scene.engines.database.rows(asked, {"subject": str(ids["Wind"])}))
        return len(ends) > 3

    await eventually(another_claims_nothing_while_the_lease_begins_three_times_anew)
    held.go.set()
    await slow

    assert (await scene.found(there), await scene.entries()) == ({"Wind": 1}, [])
    await held.close()


async def test_two_indexers_share_the_work_and_write_nothing_twice(scene: Scene) -> None:
    class Counting(Index):
        def __init__(self, index: Index) -> None:
            super().__init__(index._url, index.alias)  # noqa: SLF001 - the same engine.
            self.written: list[Any] = []

        async def write(self, documents: Sequence[Written]) -> list[Outcome]:
            self.written += [document.id for document in documents]
            return await super().write(documents)

    there = project()
    ids = await scene.registered(*(f"{number:02}" for number in range(60)), project=there)
    one, other = Counting(scene.engines.index), Counting(scene.engines.index)

    async def work(index: Index) -> None:
        while await documents.step(scene.with_index(index)):
            pass

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(documents, "BATCH", 7)
        await asyncio.gather(work(one), work(other))

    assert sorted([*one.written, *other.written]) == sorted(ids.values())
    assert (await scene.found(there), await scene.entries()) == (dict.fromkeys(ids, 1), [])
    await one.close()
    await other.close()


async def test_a_document_that_the_mapping_refuses_is_parked_with_the_engines_reason(scene: Scene) -> None:
    there = project()
    ids = await scene.registered("Wind", "Poison", "Rain", project=there)
    await scene.spoil(ids["Poison"], "record = jsonb_set(record, '{keywords}', '[{\"not\": \"a word\"}]')")

    await scene.work()

    ((topic, subject, attempts, parked, reason),) = await scene.entries()
    assert (topic, subject, attempts, parked) == (changing.INDEX, str(ids["Poison"]), 1, True)
    assert reason is not None
    assert reason.startswith("mapper_parsing_exception: failed to parse field [keywords]")
    assert await scene.found(there) == {"Wind": 1, "Rain": 1}


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        ("kind = 'phlogiston'", "KeyError: 'phlogiston'"),
        ("record = record - 'title'", "KeyError: 'title'"),
        ("record = jsonb_set(record, '{metadata}', '{}')", "ValidationError: 1 validation error for SensorBlob"),
        ('record = jsonb_set(record, \'{dates}\', \'[{"type": "Issued", "date": "soon"}]\')', "ValueError: "),
        ("record = jsonb_set(record, '{creators}', '[1]')", "AttributeError: "),
    ],
)
async def test_a_row_that_cannot_be_projected_is_parked_alone(scene: Scene, spoiled: str, reason: str) -> None:
    there = project()
    ids = await scene.registered("Wind", "Poison", "Rain", project=there)
    await scene.spoil(ids["Poison"], spoiled)

    await scene.work()

    ((topic, subject, attempts, parked, told),) = await scene.entries()
    assert (topic, subject, attempts, parked) == (changing.INDEX, str(ids["Poison"]), 1, True)
    assert told is not None
    assert told.startswith(f"This version cannot project the object: {reason}")
    assert (await scene.engines.index.versions(list(ids.values()))) == {ids["Wind"]: 1, ids["Rain"]: 1}


async def test_a_subject_that_names_no_object_is_parked_alone(scene: Scene) -> None:
    there = project()
    await scene.registered("Wind", project=there)
    async with scene.engines.database.transaction() as session:
        await queue.put(session, changing.INDEX, ["not an id"])

    await scene.work()

    assert await scene.entries() == [(changing.INDEX, "not an id", 1, True, "The subject names no object.")]
    assert await scene.found(there) == {"Wind": 1}


async def test_an_entry_whose_object_is_gone_is_done(scene: Scene) -> None:
    async with scene.engines.database.transaction() as session:
        await queue.put(session, changing.INDEX, ["01900000-0000-7000-8000-000000000000"])

    await scene.work()

    assert await scene.entries() == []


async def test_what_was_parked_is_indexed_when_its_object_is_mended(scene: Scene) -> None:
    there = project()
    ids = await scene.registered("Poison", project=there)
    await scene.spoil(ids["Poison"], "record = jsonb_set(record, '{keywords}', '[{}]')")
    await scene.work()
    assert [parked for _, _, _, parked, _ in await scene.entries()] == [True]

    await scene.revise(ids["Poison"], keywords=["mended"])
    await scene.work()

    assert (await scene.found(there), await scene.entries()) == ({"Poison": 2}, [])


@pytest.mark.parametrize("status", [429, 503])
async def test_an_item_that_the_engine_puts_off_is_tried_again_later_and_its_neighbours_are_done(
    scene: Scene, between: Between, behind: Index, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "DELAY_FIRST", LATER)
    there = project()
    ids = await scene.registered("Wind", "Busy", "Rain", project=there)
    busy = {"type": "rejected_execution_exception", "reason": "queue capacity"}

    def puts_off(_: int, said: dict[str, Any]) -> dict[str, Any]:
        return {**said, "status": status, "error": busy} if said["_id"] == str(ids["Busy"]) else said

    between.items(puts_off)
    await documents.step(scene.with_index(behind))

    told = "rejected_execution_exception: queue capacity"
    assert await scene.entries() == [(changing.INDEX, str(ids["Busy"]), 1, False, told)]
    assert await documents.step(scene.engines) == 0
    await scene.let_pass(LATER)
    assert await documents.step(scene.engines) == 1
    assert (await scene.found(there), await scene.entries()) == ({"Wind": 1, "Busy": 1, "Rain": 1}, [])


async def test_a_write_block_of_the_engine_is_waited_out(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a full disk does to an index: nothing is wrong with the documents."""
    monkeypatch.setattr(queue, "DELAY_FIRST", LATER)
    there = project()
    await scene.registered("Wind", "Rain", project=there)

    async def block(word: str) -> None:
        body = f'{{"index.blocks.write": {word}}}'.encode()
        await scene.engines.index.told("PUT", "/_settings", body=body, seconds=10)

    await block("true")
    try:
        await scene.work()
        waiting = await scene.entries()
    finally:
        await block("false")
    assert [(topic, attempts, parked) for topic, _, attempts, parked, _ in waiting] == [(changing.INDEX, 1, False)] * 2
    await scene.let_pass(LATER)
    await scene.work()

    assert (await scene.found(there), await scene.entries()) == ({"Wind": 1, "Rain": 1}, [])


async def test_while_the_engine_is_away_entries_are_given_back_untried(
    scene: Scene, between: Between, behind: Index
) -> None:
    there = project()
    ids = await scene.registered("Wind", project=there)
    between.refuse = lambda _path, _body: (503, b"")

    for _ in range(ATTEMPTS_MAX + 1):
        with pytest.raises(Unavailable):
            await documents.step(scene.with_index(behind))

    assert await scene.entries() == [(changing.INDEX, str(ids["Wind"]), 0, False, None)]
    await scene.work()
    assert await scene.found(there) == {"Wind": 1}


async def test_an_answer_that_nobody_foresaw_puts_off_with_its_reason_and_parks_in_the_end(
    scene: Scene, between: Between, behind: Index
) -> None:
    there = project()
    ids = await scene.registered("Wind", project=there)
    between.rewrite = lambda _path, _status, _body: (200, b'{"errors": true, "items": []}')

    await documents.step(scene.with_index(behind))
    first = await scene.entries()
    await scene.wear_out()
    await scene.let_pass(HOUR)
    await documents.step(scene.with_index(behind))

    reason = "Writing the document failed: ValueError: zip() argument 2 is shorter than argument 1"
    assert first == [(changing.INDEX, str(ids["Wind"]), 1, False, reason)]
    assert await scene.entries() == [(changing.INDEX, str(ids["Wind"]), ATTEMPTS_MAX, True, reason)]


async def test_a_document_on_which_writing_fails_in_an_unforeseen_way_fails_alone(scene: Scene) -> None:
    class Choking(Index):
        async def write(self, documents: Sequence[Written]) -> list[Outcome]:
            if ids["Poison"] in [document.id for document in documents]:
                raise RuntimeError("out of luck")
            return await super().write(documents)

    there = project()
    ids = await scene.registered("Wind", "Poison", "Rain", "Hail", "Snow", project=there)
    choking = Choking(scene.engines.index._url, scene.engines.index.alias)  # noqa: SLF001 - the same engine.

    await documents.step(scene.with_index(choking))

    reason = "Writing the document failed: RuntimeError: out of luck"
    assert await scene.entries() == [(changing.INDEX, str(ids["Poison"]), 1, False, reason)]
    assert await scene.found(there) == {"Wind": 1, "Rain": 1, "Hail": 1, "Snow": 1}
    await choking.close()

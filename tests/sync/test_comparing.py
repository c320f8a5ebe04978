"""What differs between database and index is found, each id by its name, and nothing else is."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import pytest
import sqlalchemy as sa

from catalog import queue
from catalog.errors import Unavailable
from catalog.objects import changing
from catalog.search.document import digest_of
from catalog.sync import comparing, mending
from catalog.sync.comparing import Kind, Sides, Stride
from indexer import documents
from tests.indexer.scene import Scene, project
from tests.sync.conftest import Hand, differing, indexed

OBJECTS = 300


async def test_an_index_that_was_filled_from_the_database_differs_in_nothing(scene: Scene, sides: Sides) -> None:
    ids = await indexed(scene, 30, project=project())
    await scene.withdraw(ids[0])
    await scene.revise(ids[1], title="Plot one")
    await scene.work()

    assert (await differing(sides), await differing(replace(sides, full=True))) == ({}, {})


@pytest.mark.req("SAGE-STORAGE-30")
async def test_what_was_deleted_altered_and_added_by_hand_is_named_and_repaired_exactly(
    scene: Scene, sides: Sides, hand: Hand
) -> None:
    ids = [str(one) for one in await indexed(scene, OBJECTS, project=project())]
    before = {one: await hand.read(one) for one in ids}
    deleted, altered, replaced = ids[:50], ids[100:120], ids[290:]
    added = [str(uuid4()) for _ in range(18)] + ["by-hand", "UPPER"]
    for one in deleted:
        await hand.delete(one)
    for one in altered:
        await hand.change(one, title="Something else")
    for one in replaced:
        # At the very version that the indexer wrote.
        await hand.put(one, before[one] | {"title": "Other"}, version=1, version_type="external_gte")
    for one in added:
        await hand.put(one, before[ids[0]] | {"id": one})
    await hand.put("without-an-id", {"title": "Nobody"})
    expected = dict.fromkeys(deleted, Kind.MISSING) | dict.fromkeys([*altered, *replaced], Kind.ALTERED)
    expected |= dict.fromkeys([*added, "without-an-id"], Kind.EXTRA)

    compared = [one async for one in comparing.differences(sides)]
    found = [one for slice_ in compared for one in slice_.differences]
    assert {one.id: one.kind for one in found} == expected
    assert len(found) == len(expected)

    queued = await mending.write_anew(sides.database, found)
    removed = await mending.remove(sides, found)
    assert (sorted(queued), sorted(removed)) == (
        sorted([*deleted, *altered, *replaced]),
        sorted([*added, "without-an-id"]),
    )
    await scene.work()
    assert (await differing(sides), await differing(replace(sides, full=True))) == ({}, {})
    assert {one: await hand.read(one) for one in ids} == before


async def test_a_document_that_says_something_else_with_a_digest_that_fits_is_found_by_a_full_look(
    scene: Scene, sides: Sides, hand: Hand
) -> None:
    (one,) = map(str, await indexed(scene, 1, project=project()))
    forged = await hand.read(one) | {"title": "Forged"}
    forged["digest"] = digest_of(forged)
    await hand.put(one, forged, version=1, version_type="external_gte")
    full = replace(sides, full=True)

    assert (await differing(sides), await differing(full)) == ({}, {one: Kind.ALTERED})

    await mending.write_anew(sides.database, [d async for c in comparing.differences(full) for d in c.differences])
    await scene.work()
    assert (await differing(full), (await hand.read(one))["title"]) == ({}, "Plot 0")


async def test_a_document_of_an_earlier_state_is_stale_and_one_that_says_it_is_another_is_altered(
    scene: Scene, sides: Sides, hand: Hand
) -> None:
    ids = await indexed(scene, 3, project=project())
    await scene.revise(ids[0], title="Plot revised")
    async with scene.engines.database.transaction() as session:
        await session.execute(sa.text("DELETE FROM queue"))
    await hand.change(ids[1], id=str(ids[2]))
    first, second = str(ids[0]), str(ids[1])

    assert await differing(sides) == {first: Kind.STALE, second: Kind.ALTERED}


async def test_what_is_in_the_queue_is_no_difference_and_what_is_parked_there_is_one(
    scene: Scene, sides: Sides, hand: Hand
) -> None:
    one, other = (await scene.registered("Wind", "Rain", project=project())).values()
    assert await differing(sides) == {}
    async with scene.engines.database.transaction() as session:
        claims = await queue.claim(session, changing.INDEX, most=2)
        await queue.park(session, next(claim for claim in claims if claim.subject == str(one)), reason="Too large.")
        await queue.release(session, claims)

    (found,) = [d async for c in comparing.differences(sides) for d in c.differences]

    assert (found.id, found.kind, found.held, found.wanted, found.parked) == (
        str(one), Kind.MISSING, None, 1, "Too large."
    )  # fmt: skip
    assert await hand.read(other) == {}


async def test_a_tombstone_that_was_removed_in_its_time_is_not_missed(scene: Scene, sides: Sides, hand: Hand) -> None:
    one, other = await indexed(scene, 2, project=project())
    await scene.withdraw(one)
    await scene.withdraw(other)
    await scene.work()
    await hand.delete(one)

    assert await differing(sides) == {}


async def test_writes_that_go_on_meanwhile_make_no_difference(scene: Scene, sides: Sides, hand: Hand) -> None:
    ids = await indexed(scene, 60, project=project())
    await hand.delete(ids[7])
    ended = asyncio.Event()

    async def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            await scene.revise(ids[10 + number % 40], title=f"Plot {number}")
            if number % 5 == 0:
                await scene.register(title="New", project="sage/meanwhile")

    async def work() -> None:
        while not ended.is_set():
            if not await documents.step(scene.engines):
                await asyncio.sleep(0.01)

    busy = [asyncio.create_task(one) for one in (write(), work(), work())]
    found = []
    for _ in range(15):
        for full in (False, True):
            looked = replace(sides, full=full, stride=Stride(20))
            found.append({d.id: d.kind async for c in comparing.differences(looked) for d in c.differences})
    ended.set()
    await asyncio.gather(*busy)

    assert found == [{str(ids[7]): Kind.MISSING}] * 30


async def test_comparing_goes_on_after_any_id(scene: Scene, sides: Sides, hand: Hand) -> None:
    ids = await indexed(scene, 40, project=project())
    for one in (ids[3], ids[30]):
        await hand.delete(one)
    slices = comparing.differences(replace(sides, stride=Stride(5)))
    places = []
    with suppress(StopAsyncIteration):
        while True:
            places.append((await anext(slices)).after)

    assert places[-1] is None
    assert await differing(sides, after=ids[20]) == {str(ids[30]): Kind.MISSING}


async def test_an_engine_that_cannot_give_so_much_at_once_is_asked_for_less(scene: Scene, sides: Sides) -> None:
    ids = await indexed(scene, 40, project=project())
    asked = []

    class Small:
        def __getattr__(self, name: str) -> object:
            return getattr(scene.engines.index, name)

        async def held_in(self, span: object, place: object, *, most: int) -> object:
            asked.append(most)
            if most > 30:
                raise Unavailable("The search engine cannot do this now.")
            return await scene.engines.index.held_in(span, place, most=most)  # type: ignore[arg-type]

    first = await comparing.compare(replace(sides, index=Small(), stride=Stride(400)), ids[0])  # type: ignore[arg-type]

    assert (asked[:3], first.objects) == ([401, 101, 26], 25)

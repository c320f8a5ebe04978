"""An index is built anew beside the one that is searched: nobody who searches notices, and nothing is lost."""

import asyncio
import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from catalog.engines import Engines
from catalog.errors import Conflict
from catalog.objects import changing
from catalog.queue import LEASE
from catalog.search import concrete, query
from catalog.search.document import MAPPING_VERSION, index_body
from catalog.search.index import Index, Shape, shape_of
from catalog.sync import rebuilding
from catalog.sync.comparing import Kind, Stride
from catalog.sync.rebuilding import OfAnotherVersion, WaitsForMigration
from catalog.sync.tables import Rebuild, State
from indexer import documents, loop
from indexer import rebuilding as lane
from tests.conftest import World, eventually
from tests.indexer.scene import EVERYBODY, Scene, project
from tests.indexer.test_process import start
from tests.sync.conftest import Hand, differing, indexed

OBJECTS = 300
SEARCHED_TIMES_LEAST = 20


@dataclass
class Site:
    """A scene whose index is built anew."""

    scene: Scene
    engines: Engines
    url: str

    async def begin(self, why: str = "asked for") -> Rebuild:
        async with self.engines.database.transaction() as session:
            return await rebuilding.begin(session, version=self.engines.index.shape.version, why=why)

    async def present(self) -> Rebuild:
        async with self.engines.database.transaction() as session:
            one = await rebuilding.latest(session)
        assert one is not None
        return one

    async def slowly(self) -> None:
        """Let the first slice have ten objects."""
        async with self.engines.database.transaction() as session:
            await session.execute(sa.text("UPDATE rebuild SET stride = 10"))

    @asynccontextmanager
    async def always_slow(self) -> AsyncGenerator[None]:
        """Let each slice have ten objects, and take a tenth of a second, for the length of the block, whoever works."""
        body = "BEGIN PERFORM pg_sleep(0.1); NEW.stride := 10; RETURN NEW; END"
        async with self.engines.database.transaction() as session:
            await session.execute(sa.text(f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS '{body}'"))
            await session.execute(
                sa.text("CREATE TRIGGER slow BEFORE UPDATE ON rebuild FOR EACH ROW EXECUTE FUNCTION slow()")
            )
        try:
            yield
        finally:
            async with self.engines.database.transaction() as session:
                await session.execute(sa.text("DROP FUNCTION slow CASCADE"))

    async def until(self, *states: State) -> Rebuild:
        """Take steps until it stands there."""
        while (one := await self.present()).state not in states:
            assert await lane.step(self.engines), one
        return one

    async def build(self) -> Rebuild:
        """Take all steps that there are, and do what they leave for the other lanes."""
        while await lane.step(self.engines) + await documents.step(self.engines):
            pass
        return await self.present()

    async def live(self) -> str:
        """Return the name of the index that is searched."""
        standing = await concrete.behind(self.engines.index)
        assert standing is not None
        return standing.name

    async def names(self) -> set[str]:
        """Return the names of all indices of objects that there are."""
        # Not by an index that a test has closed: it would open again.
        index = self.scene.engines.index
        told = await index.told("GET", f"/{index.alias}-*", target="")
        return {name for name in json.loads(told) if "-saved" not in name}

    def beside(self, name: str | None) -> Index:
        """Return the index of that name."""
        assert name is not None
        return self.engines.index.beside(concrete.own_alias(name))

    async def differing(self, name: str | None) -> dict[str, Kind]:
        """Return what an index of that name has wrong, each document made anew."""
        sides = replace(self.engines.sides(full=True), index=self.beside(name), stride=Stride(100))
        return await differing(sides)

    async def finish(self) -> None:
        async with self.engines.database.transaction() as session:
            await rebuilding.finish(session)

    async def go_back(self) -> None:
        await rebuilding.go_back(self.engines.database, self.engines.index)


@pytest.fixture
async def site(scene: Scene, search_url: str) -> AsyncGenerator[Site]:
    """The scene, with an index of its usual name before and after."""
    site = Site(scene, scene.engines, search_url)
    yield site
    index = scene.engines.index
    async with scene.engines.database.transaction() as session:
        await session.execute(sa.text("DELETE FROM rebuild"))
        await session.execute(sa.text("DELETE FROM queue"))
    await concrete.remove(index, await site.names())
    assert await index.ensure()
    async with scene.engines.database.transaction() as session:
        await changing.index_everything(session)
    await scene.work()
    await index.refresh()


async def ids_found(index: Index, there: str) -> set[UUID]:
    """Return what a search of a project finds."""
    question = query.Question(None, filters={"project": (there,)}, limit=100)
    found = await index.find(query.body_of(question, EVERYBODY), question)
    return {hit.id for hit in found.hits}


@pytest.mark.req("SAGE-STORAGE-30")
async def test_a_rebuild_beside_writes_deletes_and_searches_agrees_with_the_database_and_nobody_notices(
    site: Site,
) -> None:
    scene, there, stays = site.scene, project(), project()
    kept = set(await indexed(scene, 20, project=stays))
    ids = list(await indexed(scene, OBJECTS, project=there))
    await scene.engines.index.refresh()
    before = await site.live()
    ended = asyncio.Event()
    searched = 0

    async def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            await scene.revise(ids[number % 100], title=f"Plot {number}")
            if number % 3 == 0:
                await scene.withdraw(ids.pop())
            if number % 4 == 0:
                ids.insert(0, (await scene.register(title="New", project=there))[0].id)

    async def work() -> None:
        while not ended.is_set():
            if not await documents.step(scene.engines):
                await asyncio.sleep(0.01)

    async def search() -> None:
        nonlocal searched
        while not ended.is_set():
            assert await ids_found(scene.engines.index, stays) == kept
            searched += 1

    await site.begin()
    await site.slowly()
    busy = [asyncio.create_task(one) for one in (write(), work(), work(), search())]
    try:
        swapped = await site.until(State.KEPT)
    finally:
        await asyncio.sleep(0.2)
        ended.set()
        await asyncio.gather(*busy)
    await site.build()

    assert (swapped.old, swapped.new) == (before, await site.live()) != (before, before)
    assert (await site.differing(swapped.new), await site.differing(swapped.old)) == ({}, {})
    assert searched > SEARCHED_TIMES_LEAST
    assert set(await scene.engines.index.versions(ids)) == set(ids)
    assert (swapped.objects <= swapped.filled, swapped.differing, swapped.fault) == (True, 0, None)


@pytest.mark.timeout(120)
async def test_a_rebuild_ends_although_objects_come_faster_than_it_looks_at_them(site: Site) -> None:
    there = project()
    await indexed(site.scene, 30, project=there)
    await site.begin()
    async with site.always_slow():
        filled = await site.until(State.VERIFYING)
        for _ in range(filled.filled // 10 + 30):
            await indexed(site.scene, 12, project=there)
            await lane.step(site.engines)
            if (await site.present()).state == State.KEPT:
                break
        kept = await site.present()
    await site.build()

    assert (kept.state, kept.fault, kept.verified >= filled.filled) == (State.KEPT, None, True)
    assert (await site.differing(kept.old), await site.differing(kept.new)) == ({}, {})


async def test_a_new_index_is_searched_as_the_old_one_was(site: Site) -> None:
    before = await concrete.behind(site.engines.index)
    await site.begin()
    await site.build()
    after = await concrete.behind(site.engines.index)
    settings = await site.engines.index.told("GET", "/_settings")

    assert before is not None
    assert after is not None
    assert replace(after, name="") == replace(before, name="")
    assert b'"auto_expand_replicas":"0-1"' in settings


@pytest.mark.req("SAGE-STORAGE-30")
async def test_a_rebuild_whose_indexer_was_killed_at_half_is_gone_on_with_by_the_next_one(
    site: Site, quiet: World, tmp_path: Path
) -> None:
    there = project()
    await indexed(site.scene, OBJECTS, project=there)
    await site.begin()
    async with site.always_slow():
        first = start(quiet, tmp_path / "first.log")
        try:

            async def half() -> bool:
                one = await site.present()
                return one.state == State.FILLING and one.filled > 20

            await eventually(half, seconds=60, pause_max=0.02)
            first.send_signal(signal.SIGKILL)
        finally:
            first.kill()
            first.wait(10)
    killed = await site.present()
    objects = (await site.engines.database.rows("SELECT count(*) FROM object", {}))[0][0]
    assert killed.state == State.FILLING
    assert 20 < killed.filled < objects

    second = start(quiet, tmp_path / "second.log")
    try:

        async def swapped() -> bool:
            return (await site.present()).state == State.KEPT

        await eventually(swapped, seconds=90)
    finally:
        second.terminate()
        second.wait(10)
    done = await site.present()

    # It went on, and did not begin anew.
    assert (done.id, done.filled, done.verified) == (killed.id, objects, objects)
    assert (await site.differing(done.new), await site.differing(done.old)) == ({}, {})


async def test_an_index_that_somebody_has_tampered_with_is_not_searched(site: Site) -> None:
    ids = [str(one) for one in await indexed(site.scene, 20, project=project())]
    before = await site.live()
    await site.begin()
    verifying = await site.until(State.VERIFYING)
    hand = Hand(f"{site.url}/{verifying.new}")
    extra = str(uuid4())
    await hand.delete(ids[3])
    await hand.change(ids[5], title="Something else")
    await hand.put(extra, {"id": extra, "title": "By hand"})

    failed = await site.build()

    assert (failed.state, failed.differing) == (State.FAILED, 3)
    assert {one["id"]: one["kind"] for one in failed.differences} == {
        ids[3]: Kind.MISSING,
        ids[5]: Kind.ALTERED,
        extra: Kind.EXTRA,
    }
    assert failed.fault == "The new index differs from the database in 3 documents."
    assert (await site.live(), await site.names()) == (before, {before})
    assert await differing(site.engines.sides(full=True)) == {}


async def test_the_old_index_is_written_on_until_it_is_forgotten_and_can_be_gone_back_to(site: Site) -> None:
    there = project()
    wind, rain = await indexed(site.scene, 2, project=there)
    before = await site.live()
    await site.begin()
    kept = await site.build()
    await site.scene.revise(wind, title="Wind")
    await site.scene.withdraw(rain)
    await site.scene.registered("Hail", project=there)
    await site.scene.work()

    with pytest.raises(Conflict, match=r"still kept: `catalog reindex --finish`"):
        await site.begin()
    await site.go_back()
    assert (await site.live(), (await site.present()).state) == (before, State.BACK)
    assert await site.scene.found(there) == {"Wind": 2, "Hail": 1}
    assert (await site.differing(kept.old), await site.differing(kept.new)) == ({}, {})
    with pytest.raises(Conflict, match="no index to go back to"):
        await site.go_back()

    await site.scene.registered("Snow", project=there)
    await site.scene.work()
    assert (await site.differing(kept.old), await site.differing(kept.new)) == ({}, {})
    await site.finish()
    await site.build()
    assert await site.names() == {before}
    await site.scene.revise(wind, title="Gale")
    await site.scene.work()
    assert await site.scene.found(there) == {"Gale": 3, "Hail": 1, "Snow": 1}


async def test_a_tombstone_goes_from_both(site: Site) -> None:
    (one,) = await indexed(site.scene, 1, project=project())
    await site.begin()
    kept = await site.build()
    await site.scene.withdraw(one)
    await site.scene.work()
    assert [await site.beside(name).versions([one]) for name in (kept.old, kept.new)] == [{one: 2}] * 2

    await site.scene.let_pass(documents.TOMBSTONE_KEPT)
    assert await documents.purge_step(site.engines)

    assert [await site.beside(name).versions([one]) for name in (kept.old, kept.new)] == [{}] * 2


async def test_tombstones_that_filling_writes_go_in_their_time(site: Site) -> None:
    (one,) = await indexed(site.scene, 1, project=project())
    await site.scene.withdraw(one)
    await site.scene.work()
    await site.scene.let_pass(documents.TOMBSTONE_KEPT)
    await documents.purge_step(site.engines)
    await site.begin()
    kept = await site.build()
    assert await site.beside(kept.new).versions([one]) == {one: 2}

    await site.scene.let_pass(documents.TOMBSTONE_KEPT)
    while await documents.purge_step(site.engines):
        pass

    assert await site.beside(kept.new).versions([one]) == {}


async def test_of_two_who_begin_at_once_one_does_and_two_who_work_at_it_do_not_fight(site: Site) -> None:
    await indexed(site.scene, 60, project=project())
    begun = await asyncio.gather(*(site.begin() for _ in range(4)))
    await site.slowly()

    async def work() -> None:
        while (await site.present()).state not in {State.KEPT, State.FAILED}:
            if not await lane.step(site.engines):
                await asyncio.sleep(0.02)

    async def expire() -> None:
        # As if whoever is at it had been stopped, and lost its lease.
        for _ in range(5):
            await site.scene.let_pass(LEASE)
            await asyncio.sleep(0.3)

    await asyncio.gather(work(), work(), expire())
    kept = await site.present()

    assert len({one.id for one in begun}) == 1
    assert (kept.state, kept.fault, await site.live()) == (State.KEPT, None, kept.new)
    assert (await site.differing(kept.old), await site.differing(kept.new)) == ({}, {})


async def test_a_swap_that_was_cut_short_is_done_again(site: Site) -> None:
    ids = await indexed(site.scene, 3, project=project())
    await site.begin()
    swapping = await site.until(State.SWAPPING)
    await concrete.swap(site.engines.index, str(swapping.new), instead_of=swapping.old)
    # What is written in between goes to both, too.
    await site.scene.revise(ids[0], title="Wind")
    while await documents.step(site.engines):
        pass

    kept = await site.build()

    assert (kept.state, await site.live()) == (State.KEPT, kept.new)
    assert (await site.differing(kept.old), await site.differing(kept.new)) == ({}, {})


async def test_a_rebuild_that_was_cancelled_leaves_nothing(site: Site) -> None:
    before = await site.live()
    await site.begin()
    await site.until(State.FILLING)
    assert len(await site.names()) == 2
    async with site.engines.database.transaction() as session:
        await rebuilding.cancel(session)
    await site.build()

    assert (await site.names(), (await site.present()).state) == ({before}, State.CANCELLED)
    again = await site.begin()
    assert (again.state, (await site.build()).state) == (State.WAITING, State.KEPT)


# Where something is gone


async def test_a_new_index_that_is_gone_ends_the_rebuild_and_holds_nothing_up(site: Site) -> None:
    there = project()
    await indexed(site.scene, 3, project=there)
    await site.begin()
    filling = await site.until(State.FILLING)
    await concrete.remove(site.engines.index, [str(filling.new)])
    await site.scene.registered("Wind", project=there)
    while await documents.step(site.engines):
        pass

    failed = await site.present()
    assert (failed.state, failed.fault) == (State.FAILED, "The index is gone.")
    assert set(await site.scene.found(there)) == {"Plot 0", "Plot 1", "Plot 2", "Wind"}
    await site.build()
    assert await site.names() == {failed.old}


async def test_a_fill_that_finds_its_index_gone_says_so_and_makes_up_none(site: Site) -> None:
    await indexed(site.scene, 3, project=project())
    await site.begin()
    filling = await site.until(State.FILLING)
    await concrete.remove(site.engines.index, [str(filling.new)])

    failed = await site.build()

    assert (failed.state, failed.fault) == (State.FAILED, "The new index is gone.")
    assert await site.names() == {filling.old}


async def test_when_all_indices_are_wiped_during_a_rebuild_one_is_made_and_filled_from_the_database(site: Site) -> None:
    there = project()
    await indexed(site.scene, 3, project=there)
    await site.begin()
    await site.until(State.FILLING)
    await concrete.remove(site.engines.index, await site.names())
    # It can go nowhere, and waits.
    assert await lane.step(site.engines) == 1

    await loop.prepare(site.engines)
    await site.scene.let_pass(lane.AGAIN)
    await site.build()

    assert (await site.present()).state == State.FAILED
    assert len(await site.names()) == 1
    assert set(await site.scene.found(there)) == {"Plot 0", "Plot 1", "Plot 2"}
    assert await differing(site.engines.sides(full=True)) == {}


async def test_when_the_new_index_is_gone_after_the_swap_the_kept_one_is_searched(site: Site) -> None:
    there = project()
    await indexed(site.scene, 3, project=there)
    await site.begin()
    kept = await site.build()
    await concrete.remove(site.engines.index, [str(kept.new)])

    await loop.prepare(site.engines)
    await site.scene.registered("Wind", project=there)
    await site.build()

    assert (await site.live(), (await site.present()).state) == (kept.old, State.FINISHED)
    assert set(await site.scene.found(there)) == {"Plot 0", "Plot 1", "Plot 2", "Wind"}
    assert await differing(site.engines.sides(full=True)) == {}


async def test_an_index_that_lost_its_alias_after_a_rebuild_gets_it_back(site: Site) -> None:
    there = project()
    await indexed(site.scene, 3, project=there)
    await site.begin()
    kept = await site.build()
    await site.finish()
    await site.build()
    alias = site.engines.index.alias
    await site.engines.index.told("DELETE", f"/{kept.new}/_alias/{alias}", target="")
    await site.scene.registered("Wind", project=there)

    await loop.prepare(site.engines)
    await site.build()

    assert (await site.live(), await site.names()) == (kept.new, {kept.new})
    assert set(await site.scene.found(there)) == {"Plot 0", "Plot 1", "Plot 2", "Wind"}


async def test_an_index_that_is_gone_long_after_a_rebuild_is_made_anew(site: Site) -> None:
    there = project()
    await indexed(site.scene, 3, project=there)
    await site.begin()
    await site.build()
    await site.finish()
    await site.build()
    await concrete.remove(site.engines.index, await site.names())

    await loop.prepare(site.engines)
    await site.build()

    assert set(await site.scene.found(there)) == {"Plot 0", "Plot 1", "Plot 2"}
    assert (await site.live()).endswith(MAPPING_VERSION)
    await site.begin()
    assert (await site.build()).state == State.KEPT


async def test_a_database_that_was_restored_forgets_rebuilds_with_all_that_they_made(site: Site) -> None:
    there = project()
    await indexed(site.scene, 2, project=there)
    await site.begin()
    await site.build()
    async with site.engines.database.transaction() as session:
        await rebuilding.forget(session, site.engines.index)

    assert await site.names() == set()
    await loop.prepare(site.engines)
    await site.scene.work()
    assert set(await site.scene.found(there)) == {"Plot 0", "Plot 1"}


# Where the new one cannot be written


@pytest.mark.usefixtures("hand")
async def test_a_new_index_that_can_be_written_no_more_is_given_up_after_some_attempts(site: Site) -> None:
    there = project()
    await indexed(site.scene, 2, project=there)
    await site.begin()
    filling = await site.until(State.FILLING)
    blocked = b'{"index.blocks.write":true}'
    await site.engines.index.told("PUT", "/_settings", target=str(filling.new), body=blocked)
    await site.scene.registered("Wind", project=there)
    attempts = 0
    while await documents.step(site.engines):
        attempts += 1
        assert await ids_written(site.engines.index, there) == 3
        await site.scene.let_pass(lane.AGAIN * 10)

    failed = await site.present()
    assert (attempts, failed.state) == (documents.BESIDE_ATTEMPTS_MAX, State.FAILED)
    assert "blocked by" in str(failed.fault)
    assert [entry for entry in await site.scene.entries() if entry[0] == changing.INDEX] == []


async def ids_written(index: Index, there: str) -> int:
    await index.refresh()
    return len(await ids_found(index, there))


async def test_a_document_that_only_the_new_index_refuses_ends_the_rebuild_with_its_name(site: Site) -> None:
    def narrower(*, refresh_interval: str) -> dict[str, Any]:
        body = index_body(refresh_interval=refresh_interval)
        properties = {name: one for name, one in body["mappings"]["properties"].items() if name != "year"}
        return body | {"mappings": {**body["mappings"], "properties": properties}}

    there = project()
    (one,) = await indexed(site.scene, 1, project=there)
    index = Index(site.url, site.engines.index.alias, shape=Shape(MAPPING_VERSION, narrower))
    site.engines = replace(site.engines, index=index)
    await site.begin()
    failed = await site.build()
    await index.close()

    assert failed.state == State.FAILED
    assert str(failed.fault).startswith("Object ")
    assert "strict_dynamic_mapping_exception" in str(failed.fault)
    assert [entry for entry in await site.scene.entries() if entry[0] == changing.INDEX] == []
    assert await ids_found(site.scene.engines.index, there) == {one}


async def test_what_neither_index_can_hold_is_parked_and_blocks_no_rebuild(site: Site) -> None:
    there = project()
    ids = await site.scene.registered("Poison", "Wind", project=there)
    await site.scene.spoil(ids["Poison"], "record = jsonb_set(record, '{keywords}', '[{\"not\": \"a word\"}]')")
    await site.scene.work()
    await site.begin()

    kept = await site.build()

    assert (kept.state, kept.differing) == (State.KEPT, 0)
    ((topic, subject, _, parked, _),) = await site.scene.entries()
    assert (topic, subject, parked) == (changing.INDEX, str(ids["Poison"]), True)
    assert await site.scene.found(there) == {"Wind": 1}
    await site.scene.spoil(ids["Poison"], "withdrawn_at = now()")


async def test_after_the_swap_the_old_index_may_fail_and_is_then_no_way_back(site: Site) -> None:
    there = project()
    await indexed(site.scene, 1, project=there)
    await site.begin()
    kept = await site.build()
    await concrete.remove(site.engines.index, [str(kept.old)])
    await site.scene.registered("Wind", project=there)
    await site.scene.work()

    assert set(await site.scene.found(there)) == {"Plot 0", "Wind"}
    with pytest.raises(Conflict, match=r"does not have everything any more: The index is gone\."):
        await site.go_back()
    await site.finish()
    await site.build()
    assert await site.names() == {kept.new}


# Another mapping


@dataclass
class Older:
    """A catalog of an older version: its index lacks a field, and has one that cannot hold what is said today."""

    engines: Engines
    name: str


@pytest.fixture
async def older(site: Site) -> AsyncGenerator[Older]:
    """The scene's index as an older version made it."""
    body = older_body(refresh_interval="50ms")
    name = f"{site.engines.index.alias}-older"
    await concrete.remove(site.engines.index, await site.names())
    index = Index(
        site.url, site.engines.index.alias, shape=Shape("older", older_body), fields=body["mappings"]["properties"]
    )
    assert await index.ensure()
    engines = replace(site.engines, index=index)
    async with site.engines.database.transaction() as session:
        await changing.index_everything(session)
    while await documents.step(engines):
        pass
    await index.refresh()
    # What it cannot hold was parked.
    async with site.engines.database.transaction() as session:
        await session.execute(sa.text("DELETE FROM queue"))
    yield Older(engines, name)
    await index.close()


def older_body(*, refresh_interval: str) -> dict[str, Any]:
    """Return the body of an index that knows no stages, and numbers where we say much."""
    body = index_body(refresh_interval=refresh_interval)
    properties = {name: one for name, one in body["mappings"]["properties"].items() if name != "stage"}
    properties["description"] = {"type": "integer"}
    return body | {"mappings": {"_meta": {"version": "older"}, "dynamic": "strict", "properties": properties}}


async def ensured(engines: Engines) -> None:
    async with asyncio.timeout(60):
        await loop.prepare(engines)


async def test_an_index_of_another_mapping_is_searched_and_written_until_the_new_one_takes_over(
    site: Site, older: Older
) -> None:
    there = project()
    (wind,) = (await site.scene.registered("Wind", project=there)).values()
    while await documents.step(older.engines):
        pass
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await loop.prepare(site.engines)
            raise AssertionError("Nobody has asked for a rebuild.")
    async with site.engines.database.transaction() as session:
        with pytest.raises(WaitsForMigration):
            await rebuilding.is_served(session, site.engines.index)
        await rebuilding.begin_for_mapping(session, version=MAPPING_VERSION, why="mapping")

    await ensured(site.engines)
    filling = await site.present()
    assert (filling.state, filling.old) == (State.FILLING, older.name)
    # The older version writes no more: its documents are not what the new index is to have.
    await site.scene.revise(wind, title="Gale")
    with pytest.raises(OfAnotherVersion):
        await documents.step(older.engines)
    await site.scene.registered("Rain", project=there)
    # What the old index cannot hold is no fault of the object.
    await site.scene.registered("Hail", project=there, description="Hard rain.")
    while await documents.step(site.engines):
        pass
    assert (await site.scene.entries_of(changing.INDEX), await site.live()) == ([], older.name)
    found = await site.scene.found(there)
    assert {title: found.get(title) for title in ("Gale", "Rain")} == {"Gale": 2, "Rain": 1}

    kept = await site.build()

    assert (kept.state, await site.live()) == (State.KEPT, kept.new)
    assert await site.scene.found(there) == {"Gale": 2, "Rain": 1, "Hail": 1}
    assert await site.differing(kept.new) == {}
    await site.finish()
    await site.build()
    await ensured(site.engines)
    assert await site.names() == {kept.new}
    assert await differing(site.engines.sides(full=True)) == {}


@pytest.mark.usefixtures("older")
async def test_a_rebuild_for_another_version_is_given_up_for_that_of_the_next(site: Site) -> None:
    async with site.engines.database.transaction() as session:
        first = await rebuilding.begin_for_mapping(session, version="between", why="mapping")
    # It waits for an indexer of that version, and is not done by this one.
    assert await lane.step(site.engines) == 1
    assert (await site.present()).state == State.WAITING
    async with site.engines.database.transaction() as session:
        second = await rebuilding.begin_for_mapping(session, version=MAPPING_VERSION, why="mapping")
        again = await rebuilding.begin_for_mapping(session, version=MAPPING_VERSION, why="mapping")
        assert first.id != second.id == again.id
    await ensured(site.engines)
    kept = await site.build()

    assert (kept.id, kept.state) == (second.id, State.KEPT)
    assert await site.differing(kept.new) == {}


async def test_a_rebuild_of_another_mapping_that_fails_leaves_the_old_one_searched_and_written(
    site: Site, older: Older
) -> None:
    there = project()
    async with site.engines.database.transaction() as session:
        await rebuilding.begin_for_mapping(session, version=MAPPING_VERSION, why="mapping")
    await ensured(site.engines)
    async with site.engines.database.transaction() as session:
        await rebuilding.cancel(session)
    await site.scene.registered("Wind", project=there)
    await site.build()

    assert (await site.live(), await site.scene.found(there)) == (older.name, {"Wind": 1})
    assert await site.scene.entries_of(changing.INDEX) == []

    # What it cannot hold is parked then, and comes into the next one.
    await site.scene.registered("Hail", project=there, description="Hard rain.")
    await site.build()
    assert [parked for _, parked, _ in await site.scene.entries_of(changing.INDEX)] == [True]
    await site.begin()
    kept = await site.build()
    assert (kept.state, await site.scene.found(there)) == (State.KEPT, {"Wind": 1, "Hail": 1})
    assert await site.scene.entries_of(changing.INDEX) == []


# What a rebuild would do


async def test_another_number_of_shards_has_the_index_built_anew_while_the_old_one_is_searched(site: Site) -> None:
    there, before = project(), site.engines
    ids = set(await indexed(site.scene, 3, project=there))
    index = Index(site.url, before.index.alias, shape=shape_of(3))
    site.engines = replace(before, index=index)
    try:
        standing = await concrete.behind(index)
        assert standing is not None
        async with site.engines.database.transaction() as session:
            plan = await rebuilding.plan(session, index)
            await rebuilding.begin_for_mapping(session, version=index.shape.version, why=plan.reasons[0])
        assert (plan.needed, plan.reasons[0]) == (
            True,
            f"The index {standing.name} has shards: 1; it should have 3.",
        )
        kept = await site.build()

        now_there = await concrete.behind(index)
        assert now_there is not None
        assert (kept.state, now_there.name, now_there.shards) == (State.KEPT, kept.new, 3)
        assert await ids_found(index, there) == ids
        async with site.engines.database.transaction() as session:
            assert not (await rebuilding.plan(session, index)).needed
        await site.finish()
        await site.build()
    finally:
        await index.close()
        site.engines = before


async def test_a_plan_says_whether_a_rebuild_is_needed_and_why_and_changes_nothing(site: Site, older: Older) -> None:
    async def plan(engines: Engines) -> rebuilding.Plan:
        async with engines.database.transaction() as session:
            return await rebuilding.plan(session, engines.index)

    current = await plan(older.engines)
    objects = (await site.engines.database.rows("SELECT count(*) FROM object", {}))[0][0]
    other = await plan(site.engines)

    assert (current.needed, current.reasons, current.objects, current.seconds) == (False, [], objects, None)
    assert current.bytes > 0
    assert (other.needed, other.reasons[0]) == (
        True,
        f"The index {older.name} was made for mapping older, this version needs {MAPPING_VERSION}.",
    )
    assert (await site.live(), await site.engines.database.rows("SELECT id FROM rebuild", {})) == (older.name, [])
    await concrete.remove(site.engines.index, await site.names())
    assert (await plan(site.engines)).needed


async def test_an_index_that_was_just_filled_is_not_taken_for_empty(site: Site) -> None:
    index = site.engines.index
    await index.drop()
    await index.ensure()
    await index.told("PUT", "/_settings", body=b'{"index": {"refresh_interval": "-1"}}', seconds=10)
    await site.scene.registered("Wind", project=project())
    while await documents.step(site.engines):
        pass

    async with site.engines.database.transaction() as session:
        plan = await rebuilding.plan(session, index)

    assert (plan.needed, plan.documents) == (False, 1)
    await index.ensure()


async def test_a_rebuild_goes_only_where_its_table_of_moves_leads(site: Site) -> None:
    one = await site.begin()
    async with site.engines.database.transaction() as session:
        with pytest.raises(ValueError, match="from waiting to kept"):
            await rebuilding.move(session, one, State.KEPT)
        assert await rebuilding.move(session, one, State.CANCELLED)
        assert not await rebuilding.move(session, one, State.FILLING)

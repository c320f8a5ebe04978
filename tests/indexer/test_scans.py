"""A scan tells what lies in a backend, whatever was notified, and whatever happens to the process that walks."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from catalog import queue
from catalog.errors import Unavailable
from catalog.inventory import rescanning, scanning
from catalog.inventory.tables import Scan
from catalog.objects import discovered, uploads
from catalog.storage import s3
from catalog.storage.keys import OWN
from catalog.storage.listings import Page
from catalog.storage.s3 import Store
from catalog.sync.rounds import Rule
from indexer import hashes, keys, scans
from tests.indexer.scene import Scene, declared, project

CSV = b"depth,pH\n10,6.4\n"
OTHER = b"depth,pH\n10,9.9\n"
# SeaweedFS lists folder by folder, so that `a/b` comes before `a-b`, whose byte is the smaller one.
ODD = ("a/b", "a-b/c", "a.b", "a b", "a/b c/d", "aß", "a%2Fb", "a+b", "zz/" + "y/" * 20 + "x")


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three keys a page, two pages a step."""
    monkeypatch.setattr(s3, "PAGE_KEYS", 3)
    monkeypatch.setattr(scans, "PAGES_AT_ONCE", 2)


class Breaking:
    """A store whose listing breaks off after some pages."""

    def __init__(self, store: Store, pages: int) -> None:
        self._store = store
        self._left = pages

    async def pages(self, prefix: str, *, after: str | None = None) -> AsyncIterator[Page]:
        async for page in self._store.pages(prefix, after=after):
            if not self._left:
                raise Unavailable("The store went away.")
            self._left -= 1
            yield page

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Endless(Breaking):
    """A store that lists its first page again and again."""

    async def pages(self, prefix: str, *, after: str | None = None) -> AsyncIterator[Page]:
        async for page in self._store.pages(prefix, after=after and None):
            while True:
                yield replace(page, after="further")


async def begun(scene: Scene) -> Scan:
    async with scene.engines.database.transaction() as session:
        return await scanning.begin(session, OWN, scope=None, caller=scene.caller)


async def as_it_is(scene: Scene, scan: Scan) -> Scan:
    async with scene.engines.database.transaction() as session:
        found = await scanning.find(session, scan.id)
    assert found is not None
    return found


async def scanned(scene: Scene) -> Scan:
    """Scan all of the scene's store, and look at what has to be looked at."""
    scan = await begun(scene)
    while await scans.step(scene.engines):
        pass
    while await keys.step(scene.engines):
        pass
    return await as_it_is(scene, scan)


async def found_in(scene: Scene, where: str) -> dict[str, tuple[str | None, int]]:
    """Return stage and size of each file that was discovered in a project, by its place there."""
    async with scene.engines.database.transaction() as session:
        files = await discovered.page(session, project=where, after=None, limit=1_000)
    prefix = scene.engines.placement.prefix
    within = f"{prefix}/{where}/" if prefix else f"{where}/"
    return {one.key.removeprefix(within): (one.stage, one.size) for one in files}


async def bring(scene: Scene, where: str, *paths: str, content: bytes = CSV) -> list[str]:
    prefix = scene.engines.placement.prefix
    made = [f"{prefix}/{where}/{path}" if prefix else f"{where}/{path}" for path in paths]
    for key in made:
        await scene.overwrite(key, content)
    return made


@pytest.mark.req("DEWRANGLE-RFC-3", "DEWRANGLE-RFC-9")
@pytest.mark.usefixtures("small_pages")
async def test_a_scan_finds_every_file_that_nobody_told_of_once(scene: Scene) -> None:
    where = project()
    places = {f"source/{name}": ("source", len(CSV)) for name in ODD} | {"harmonized/all.csv": ("harmonized", len(CSV))}
    await bring(scene, where, *places)

    first = await scanned(scene)
    found = await found_in(scene, where)
    second = await scanned(scene)

    assert found == places
    assert (first.state, first.added >= len(places), first.ended_at is not None) == ("done", True, True)
    assert (second.files, second.bytes, second.added, second.changed) == (first.files, first.bytes, 0, 0)
    left = await scene.engines.database.rows("SELECT count(*) FROM scanned_key", {})
    assert left == [(0,)]


async def test_a_folder_that_a_store_tells_of_is_no_file(scene: Scene) -> None:
    where = project()
    (key,) = await bring(scene, where, "source/a.csv")
    folder = key.removesuffix("a.csv")
    async with scene.engines.database.transaction() as session:
        told = [uploads.subject_of(OWN, scene.engines.store.bucket, one) for one in (folder, key)]
        await queue.put(session, uploads.KEY, told)
    while await keys.step(scene.engines):
        pass
    assert await found_in(scene, where) == {"source/a.csv": ("source", len(CSV))}


@pytest.mark.usefixtures("small_pages")
async def test_a_scan_that_breaks_off_goes_on_where_it_was(scene: Scene) -> None:
    where = project()
    await bring(scene, where, *(f"source/{number:02}.csv" for number in range(20)))
    whole = await scanned(scene)
    scan = await begun(scene)

    breaking = replace(scene.engines, store=cast("Any", Breaking(scene.engines.store, pages=3)))
    while (await as_it_is(scene, scan)).reason is None:
        await scans.step(breaking)
    broken = await as_it_is(scene, scan)
    async with scene.engines.database.transaction() as session:
        # As if its wait were over.
        await queue.put(session, scanning.SCAN, [str(scan.id)])
    while await scans.step(scene.engines):
        pass
    ended = await as_it_is(scene, scan)

    assert (broken.state, broken.files, broken.reason) == ("running", 9, "The store went away.")
    assert (ended.state, ended.files, ended.bytes, ended.added, ended.reason) == (
        "done",
        whole.files,
        whole.bytes,
        0,
        None,
    )


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("small_pages")
async def test_a_listing_without_end_is_given_up_and_nothing_counts_as_gone(scene: Scene) -> None:
    where = project()
    await bring(scene, where, *(f"source/{number:02}.csv" for number in range(8)))
    await scanned(scene)
    before = await found_in(scene, where)
    scan = await begun(scene)

    endless = replace(scene.engines, store=cast("Any", Endless(scene.engines.store, pages=0)))
    while await scans.step(endless):
        pass
    while await keys.step(scene.engines):
        pass

    ended = await as_it_is(scene, scan)
    assert (ended.state, ended.reason) == ("failed", "The store lists the same keys again and again.")
    assert await found_in(scene, where) == before


async def test_what_went_away_unheard_is_forgotten_or_missing_and_what_came_unheard_is_there(scene: Scene) -> None:
    where = project()
    foreign = await bring(scene, where, "source/a.csv", "source/b.csv")
    held, (kept,) = await scene.register(declared("soil.csv", CSV), project=where)
    await scene.upload(kept, CSV)
    await scanned(scene)
    # What other tests have left to be looked at again and again, such as bytes whose loss is to be confirmed.
    left = (await scanned(scene)).looks
    available = [str(file.state) for file in (await scene.entry(held.id)).files]
    await scene.engines.store.remove(foreign[0])
    await scene.engines.store.remove(kept.key)
    await scene.overwrite(foreign[1], CSV + CSV)

    scan = await scanned(scene)

    assert available == ["available"]
    assert await found_in(scene, where) == {"source/b.csv": ("source", 2 * len(CSV))}
    assert [str(file.state) for file in (await scene.entry(held.id)).files] == ["missing"]
    assert (scan.added, scan.changed, scan.looks - left) == (0, 1, 2)


async def test_one_scan_of_a_backend_runs_at_a_time(scene: Scene) -> None:
    first = await begun(scene)
    # Often enough for the statement to be prepared.
    (second, *others) = [await begun(scene) for _ in range(12)]
    assert {one.id for one in others} == {first.id}
    while await scans.step(scene.engines):
        pass
    third = await begun(scene)
    assert first.id == second.id
    assert third.id != first.id
    while await scans.step(scene.engines):
        pass


@pytest.mark.req("DEWRANGLE-RFC-3")
async def test_a_file_that_was_found_is_read_for_its_hash_which_lasts_as_long_as_its_bytes(scene: Scene) -> None:
    where = project()
    (key,) = await bring(scene, where, "source/a.csv")
    await scanned(scene)

    async def told() -> list[tuple[UUID, str | None]]:
        return await scene.engines.database.rows("SELECT id, sha256 FROM discovered_file WHERE key = %(k)s", {"k": key})

    ((file_id, before),) = await told()
    async with scene.engines.database.transaction() as session:
        wanted = await discovered.want_hashes(session, [file_id])
    while await hashes.step(scene.engines):
        pass
    ((_, read),) = await told()
    async with scene.engines.database.transaction() as session:
        again = await discovered.want_hashes(session, [file_id])
    same = await scanned(scene)
    ((_, kept),) = await told()
    await scene.overwrite(key, OTHER)
    await scanned(scene)
    ((_, forgotten),) = await told()

    assert (before, wanted, again, same.changed) == (None, 1, 0, 0)
    assert read == kept == hashlib.sha256(CSV).hexdigest()
    assert forgotten is None


async def due(scene: Scene) -> list[tuple[str, bool]]:
    """Return whether the catalog's own store waits for its turn, and whether it comes within the interval."""
    return await scene.engines.database.rows(
        "SELECT subject, ready_at <= now() + CAST('1 day' AS interval) FROM queue"
        " WHERE topic = 'rescan' AND subject = %(own)s",
        {"own": OWN},
    )


@pytest.mark.req("SAGE-STORAGE-7")
@pytest.mark.usefixtures("small_pages")
async def test_a_store_is_scanned_in_its_turn_and_rests_between_slices(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "PAGES_UNASKED", 2)
    # Its rests outlast the looks at them, however busy the machine is.
    monkeypatch.setattr(scans, "PAUSE", 1_000_000)
    where = project()
    daily = replace(scene.engines, scan_interval=timedelta(days=1))
    never = replace(scene.engines, scan_interval=timedelta())
    await scans.prepare(never)
    nothing = await due(scene)
    await scans.prepare(daily)
    await scans.prepare(daily)
    waiting = await due(scene)
    await bring(scene, where, *(f"source/{number:02}.csv" for number in range(20)))
    early = await scans.begin_step(daily)
    async with scene.engines.database.transaction() as session:
        await queue.put(session, rescanning.RESCAN, [OWN])

    begun_now = await scans.begin_step(daily)
    again = await due(scene)
    await scans.step(scene.engines)
    async with scene.engines.database.transaction() as session:
        (scan, *_) = await scanning.of(session, OWN, most=1)
    resting = await scene.engines.database.rows(
        "SELECT ready_at > now(), attempts FROM queue WHERE topic = 'scan' AND subject = %(id)s", {"id": str(scan.id)}
    )
    while (await as_it_is(scene, scan)).state == "running":
        await scene.let_pass(timedelta(days=365))
        await scans.step(scene.engines)

    assert (nothing, waiting, early, begun_now, again) == ([], [(OWN, True)], 0, 1, [(OWN, True)])
    assert (scan.cause, scan.asked_by, scan.files, resting) == ("interval", None, 6, [(True, 0)])
    assert len(await found_in(scene, where)) == 20


async def test_a_turn_ends_where_the_store_is_gone_or_nobody_wants_turns(scene: Scene) -> None:
    async with scene.engines.database.transaction() as session:
        await queue.put(session, rescanning.RESCAN, [OWN, "01990000-0000-7000-8000-000000000000"])
    before = await scene.engines.database.rows("SELECT count(*) FROM scan", {})
    while await scans.begin_step(replace(scene.engines, scan_interval=timedelta())):
        pass
    assert (await due(scene), await scene.engines.database.rows("SELECT count(*) FROM scan", {})) == ([], before)


@pytest.mark.req("SAGE-STORAGE-7")
async def test_a_scan_that_misses_more_than_may_be_lost_fails_and_nothing_is_missing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "LOST_ALWAYS", 0)
    strict = replace(scene.engines, sync=Rule(timedelta(days=1), 0.0))
    held, (kept,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.upload(kept, CSV)
    await scene.notice(kept)
    await scene.work()
    await scene.engines.store.remove(kept.key)

    scan = await begun(scene)
    while await scans.step(strict):
        pass
    while await keys.step(scene.engines):
        pass
    failed = await as_it_is(scene, scan)
    states = [str(file.state) for file in (await scene.entry(held.id)).files]
    monkeypatch.undo()
    done = await scanned(scene)

    assert (failed.state, "`catalog diff --backend default`" in (failed.reason or "")) == ("failed", True)
    assert states == ["available"]
    assert (done.state, [str(file.state) for file in (await scene.entry(held.id)).files]) == ("done", ["missing"])

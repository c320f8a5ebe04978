"""What a store lacks, holds otherwise, or holds beside is found key by key, and nothing else is said to differ."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import pytest
import sqlalchemy as sa

from catalog.errors import Unavailable
from catalog.inventory import scanning
from catalog.objects import discovered
from catalog.objects.discovered import Layout
from catalog.objects.tables import Upload
from catalog.storage import s3
from catalog.storage.keys import OWN
from catalog.storage.listings import Page
from catalog.storage.s3 import Store
from catalog.sync import mending, stores
from catalog.sync.stores import Side, Walked, Wrong
from tests.conftest import eventually
from tests.indexer.scene import Scene, declared, project

CSV = b"depth,pH\n10,6.4\n"
OTHER = b"depth,pH\n10,9.9\n"
# SeaweedFS lists folder by folder, S3 by bytes.
ODD = ("a/b", "a-b/c", "a.b", "a b", "aß", "a%2Fb", "a+b")


TEMPORARY = "SELECT count(*) FROM pg_tables WHERE tablename = 'met'"


class Lying:
    """A store that lists what a test wants, and answers truly when it is asked for a key."""

    def __init__(self, store: Store, pages: Sequence[Page], *, endless: bool = False) -> None:
        self._store, self._pages, self._endless = store, pages, endless

    async def pages(self, _prefix: str, **_how: Any) -> AsyncIterator[Page]:
        while True:
            for page in self._pages:
                yield page
            if not self._endless:
                return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture(autouse=True)
async def settled(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three keys a page; what other tests have left differs no more."""
    monkeypatch.setattr(s3, "PAGE_KEYS", 3)
    monkeypatch.setattr(stores, "KNOWN_AT_ONCE", 3)
    found = await walked(scene)
    await mending.look_at(scene.engines.database, (await side_of(scene)).subjects([one.key for one in all_of(found)]))
    await scene.work()
    assert all_of(await walked(scene)) == []


async def side_of(scene: Scene, store: Any = None) -> Side:
    async with scene.engines.database.transaction() as session:
        layout = await discovered.layout_of(session, scene.engines.placement.prefix, OWN)
    return Side(OWN, cast("Store", store) if store else scene.engines.store, layout)


async def walked(scene: Scene, store: Any = None) -> list[Walked]:
    return [one async for one in stores.differences(scene.engines.database, await side_of(scene, store))]


def all_of(found: Sequence[Walked]) -> list[stores.WrongKey]:
    return [one for part in found for one in part.differences]


async def available(scene: Scene, *paths: str) -> list[Upload]:
    """Register files and bring them; return their uploads, in the order of the paths."""
    _, uploads = await scene.register(*(declared(path, CSV) for path in paths), project=project())
    for one in uploads:
        await scene.upload(one, CSV)
    await scene.notice(*uploads)
    await scene.work()
    return sorted(uploads, key=lambda one: paths.index(one.path))


@pytest.mark.req("SAGE-STORAGE-7")
async def test_each_key_that_differs_is_named_and_a_look_at_it_is_enough(scene: Scene) -> None:
    lost, changed, sound = await available(scene, "lost.csv", "changed.csv", "sound.csv")
    prefix = scene.engines.placement.prefix
    odd = [f"{prefix}/{project()}/source/{name}".removeprefix("/") for name in ODD]
    for key in odd:
        await scene.overwrite(key, CSV)
    await scene.engines.store.remove(lost.key)
    await scene.overwrite(changed.key, OTHER)

    found = await walked(scene)
    await scene.notice(*((await side_of(scene)).subjects([one.key for one in all_of(found)])))
    queued = await walked(scene)
    await scene.work()
    again = await walked(scene)

    size = len(CSV)
    assert {(one.key, one.kind, one.object_id, one.path, one.recorded, one.lying) for one in all_of(found)} == {
        (lost.key, Wrong.LOST, lost.object_id, "lost.csv", size, None),
        (changed.key, Wrong.CHANGED, changed.object_id, "changed.csv", size, size),
        *((key, Wrong.UNKNOWN, None, None, None, size) for key in odd),
    }
    assert (all_of(queued), sum(one.pending for one in queued)) == ([], 2 + len(ODD))
    assert all_of(again) == []
    states = {file.path: str(file.state) for file in (await scene.entry(sound.object_id)).files}
    assert states == {"lost.csv": "missing", "changed.csv": "mismatched", "sound.csv": "available"}


async def test_bytes_that_are_mended_under_the_same_key_are_seen_though_their_size_never_changed(scene: Scene) -> None:
    (upload,) = await available(scene, "soil.csv")
    await scene.overwrite(upload.key, OTHER)
    await scene.notice(upload)
    await scene.work()
    wrong = all_of(await walked(scene))
    await scene.overwrite(upload.key, CSV)
    mended = all_of(await walked(scene))
    assert (wrong, [(one.key, one.kind) for one in mended]) == ([], [(upload.key, Wrong.CHANGED)])


async def test_what_others_put_there_is_no_difference_once_it_is_known_until_it_changes_or_goes(scene: Scene) -> None:
    prefix = scene.engines.placement.prefix
    keys = [f"{prefix}/{project()}/source/{name}.csv".removeprefix("/") for name in ("a", "b", "c")]
    for key in keys:
        await scene.overwrite(key, CSV)
    await scene.notice(*(await side_of(scene)).subjects(keys))
    await scene.work()
    known = all_of(await walked(scene))
    await scene.overwrite(keys[0], OTHER)
    await scene.engines.store.remove(keys[1])

    found = all_of(await walked(scene))

    assert known == []
    assert {(one.key, one.kind) for one in found} == {(keys[0], Wrong.CHANGED), (keys[1], Wrong.LOST)}


async def test_bytes_of_a_ticket_that_no_event_told_of_wait_for_their_look(scene: Scene) -> None:
    _, (upload,) = await scene.register(declared("late.csv", CSV), project=project())
    before = [one.waiting for one in await walked(scene)]
    await scene.upload(upload, CSV)
    found = await walked(scene)
    assert not any(before)
    assert (all_of(found), [key for one in found for key in one.waiting]) == ([], [upload.key])


async def test_an_empty_or_a_wrong_listing_makes_nothing_lost(scene: Scene) -> None:
    await available(scene, "a.csv", "b.csv", "c.csv", "d.csv")
    real = [page async for page in scene.engines.store.pages((await side_of(scene)).layout.everything)]
    empty = await walked(scene, Lying(scene.engines.store, []))
    cut = await walked(scene, Lying(scene.engines.store, real[:1]))
    assert (all_of(empty), all_of(cut)) == ([], [])
    assert sum(one.recorded for one in empty) >= 4


async def test_a_walk_that_breaks_off_leaves_nothing_in_the_database(scene: Scene) -> None:
    await available(scene, "a.csv", "b.csv", "c.csv", "d.csv")

    async def nothing_left() -> bool:
        return await scene.engines.database.rows(TEMPORARY, {}) == [(0,)]

    # Nor of the walk of an earlier test: the server takes it away once it has noticed that the connection is gone.
    await eventually(nothing_left)
    walk = stores.differences(scene.engines.database, await side_of(scene))
    await anext(walk)
    during = await scene.engines.database.rows(TEMPORARY, {})
    await cast("Any", walk).aclose()
    await eventually(nothing_left)
    assert during == [(1,)]


@pytest.mark.timeout(60)
async def test_a_listing_without_end_is_given_up(scene: Scene) -> None:
    await available(scene, "a.csv")
    real = [page async for page in scene.engines.store.pages((await side_of(scene)).layout.everything)]
    endless = Lying(scene.engines.store, [replace(real[0], after="further")], endless=True)
    with pytest.raises(Unavailable, match="again and again"):
        await walked(scene, endless)


async def test_what_is_put_and_removed_while_one_looks_is_no_difference(scene: Scene) -> None:
    """Bytes that come after their page was read, and go before they are looked for, are judged as they are."""
    lost, late = await available(scene, "lost.csv", "late.csv")
    pages = [page async for page in scene.engines.store.pages((await side_of(scene)).layout.everything)]
    old = [replace(page, items=[one for one in page.items if one.key != late.key]) for page in pages]
    await scene.engines.store.remove(lost.key)

    found = all_of(await walked(scene, Lying(scene.engines.store, old)))

    # `lost` was listed as it should be, before it went; `late` was not, and is there.
    assert found == []
    assert [one.key for one in all_of(await walked(scene))] == [lost.key]


@pytest.mark.parametrize(
    ("recorded", "most"), [(0, 1), (1, 1), (2, 1), (8, 7), (100, 10), (1_000, 50)], ids=lambda one: f"{one}"
)
def test_so_many_keys_may_be_gone_without_a_question(recorded: int, most: int) -> None:
    assert scanning.may_be_lost(recorded, 0.05) == most


async def test_what_the_application_keeps_for_itself_is_nobodys_difference(scene: Scene) -> None:
    prefix = scene.engines.placement.prefix
    key = f"{prefix}/app/{uuid4()}".removeprefix("/")
    await scene.overwrite(key, CSV)
    assert all_of(await walked(scene)) == []
    async with scene.engines.database.transaction() as session:
        assert (await session.execute(sa.text("SELECT count(*) FROM upload WHERE key = :k"), {"k": key})).scalar() == 0
    assert isinstance((await side_of(scene)).layout, Layout)

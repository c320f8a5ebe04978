"""What becomes of a key that was noticed: the store is asked, rows follow what it says, and no key costs another."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
import sqlalchemy as sa

from catalog import queue
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import Unavailable
from catalog.objects import uploads
from catalog.objects.tables import FileState, Upload
from catalog.queue import ATTEMPTS_MAX
from catalog.storage.s3 import Stat, Store, StoreRefused
from indexer import handling, keys
from tests.conftest import eventually
from tests.indexer.scene import Scene, declared, project, subject

CSV = b"depth,pH\n10,6.4\n"
OTHER = b"depth,pH\n10,9.9\n"
HOUR = timedelta(hours=1)


class Between:
    """A store whose answers to HEAD a test changes, or holds back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.faults: dict[str, Exception] = {}
        self.seen = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def stat(self, key: str) -> Stat | None:
        if key in self.faults:
            raise self.faults[key]
        found = await self._store.stat(key)
        self.seen.set()
        await self.go.wait()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture
def between_store(scene: Scene) -> Between:
    """The scene's store, met through something that can fail."""
    return Between(scene.engines.store)


@pytest.fixture
def through(scene: Scene, between_store: Between) -> Engines:
    """The scene's engines with that store."""
    return replace(scene.engines, store=cast("Store", between_store))


async def states(scene: Scene, *ids: UUID) -> list[list[tuple[str, str, int | None]]]:
    """Return path, state and the size found instead of the declared one, of each object's files."""
    return [
        [(file.path, str(file.state), file.found_size) for file in (await scene.entry(object_id)).files]
        for object_id in ids
    ]


async def uploads_of(scene: Scene, object_id: UUID) -> list[tuple[str, str]]:
    statement = "SELECT path, state FROM upload WHERE object_id = %(id)s ORDER BY id"
    return await scene.engines.database.rows(statement, {"id": object_id})


async def test_uploaded_bytes_are_available_once_their_key_was_looked_at(scene: Scene) -> None:
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.upload(upload, CSV)
    before = await states(scene, entry.id)

    await scene.notice(upload)
    await scene.work()

    after = await scene.entry(entry.id)
    (file,) = after.files
    assert before == [[("soil.csv", "expected", None)]]
    assert (file.state, file.bucket, file.key) == (FileState.AVAILABLE, upload.bucket, upload.key)
    assert file.store_version is not None
    assert (after.revision, await scene.engines.index.versions([entry.id])) == (2, {entry.id: 2})
    assert (await uploads_of(scene, entry.id), await scene.entries()) == ([("soil.csv", "complete")], [])


async def test_a_key_looked_at_again_changes_nothing(scene: Scene) -> None:
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.upload(upload, CSV)
    await scene.notice(upload)
    await scene.work()
    once = await scene.entry(entry.id)

    await scene.notice(upload)
    await scene.work()

    assert await scene.entry(entry.id) == once


@pytest.mark.parametrize("content", [OTHER, CSV + b"20,6.5\n"], ids=["other bytes", "another size"])
async def test_bytes_that_are_not_what_was_declared_are_mismatched_with_both_values(
    scene: Scene, content: bytes
) -> None:
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.overwrite(upload.key, content)

    await scene.notice(upload)
    await scene.work()

    (file,) = (await scene.entry(entry.id)).files
    assert (file.state, file.size, file.found_size) == (FileState.MISMATCHED, len(CSV), len(content))
    assert file.found_sha256 != file.sha256


async def test_bytes_without_a_checksum_in_the_store_are_hashed(scene: Scene) -> None:
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.overwrite(upload.key, CSV)

    await scene.notice(upload)
    await scene.work()

    assert await states(scene, entry.id) == [[("soil.csv", "available", None)]]


async def test_a_notification_of_bytes_that_are_not_there_is_harmless(scene: Scene) -> None:
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())

    await scene.notice(upload)
    await scene.work()

    assert (await states(scene, entry.id), await scene.entries()) == ([[("soil.csv", "expected", None)]], [])


async def test_bytes_that_vanish_are_missed_and_come_back_with_the_bytes(scene: Scene) -> None:
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    told = []
    for act in (scene.upload(upload, CSV), scene.engines.store.remove(upload.key), scene.overwrite(upload.key, CSV)):
        await act
        await scene.notice(upload)
        await scene.work()
        told += (await states(scene, entry.id))[0]

    assert told == [("soil.csv", state, None) for state in ("available", "missing", "available")]


async def test_keys_that_no_upload_claims_are_let_go(scene: Scene) -> None:
    await scene.notice(f"default/{scene.engines.store.bucket}/somebody/elses.csv", "default/other-bucket/key")

    await scene.work()

    assert await scene.entries() == []


async def test_a_subject_that_names_no_key_is_parked_and_its_neighbours_are_settled(scene: Scene) -> None:
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.upload(upload, CSV)
    await scene.notice(upload, "nonsense")

    await scene.work()

    assert await scene.entries() == [(uploads.KEY, "nonsense", 1, True, "The subject names no key.")]
    assert await states(scene, entry.id) == [[("soil.csv", "available", None)]]


@pytest.mark.parametrize("path", ["../../../other/secret.csv", "./a.csv", "a/.."])
async def test_a_key_that_no_request_can_name_is_parked_at_once_and_its_neighbours_are_settled(
    scene: Scene, path: str
) -> None:
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.upload(upload, CSV)
    beside = f"{subject(upload).rpartition('/')[0]}/{path}"
    await scene.notice(upload, beside)

    await scene.work()

    reason = "The key has . or .. parts, which are steps in an address: no store can be asked for it."
    assert await scene.entries() == [(uploads.KEY, beside, 1, True, reason)]
    assert await states(scene, entry.id) == [[("soil.csv", "available", None)]]


@pytest.mark.parametrize(
    ("fault", "reason", "parked"),
    [
        (Unavailable("The store is away."), "The store is away.", False),
        (StoreRefused("The key is wrong."), "The key is wrong.", False),
        (RuntimeError("out of luck"), "Looking at the key failed: RuntimeError: out of luck", True),
        (TimeoutError(), "Looking at the key failed: TimeoutError: ", True),
    ],
    ids=["away", "refused", "unforeseen", "timeout"],
)
async def test_a_key_that_cannot_be_looked_at_is_put_off_and_its_neighbours_are_settled(
    *, scene: Scene, between_store: Between, through: Engines, fault: Exception, reason: str, parked: bool
) -> None:
    entry, (bad, good) = await scene.register(declared("bad.csv", CSV), declared("good.csv", OTHER), project=project())
    await scene.upload(bad, CSV)
    await scene.upload(good, OTHER)
    await scene.notice(bad, good)
    between_store.faults[bad.key] = fault

    assert await keys.step(through) == 2
    first = [one for one in await scene.entries() if one[0] == uploads.KEY]
    await scene.wear_out()
    await scene.let_pass(timedelta(minutes=1))
    await keys.step(through)
    last = [one for one in await scene.entries() if one[0] == uploads.KEY]

    assert first == [(uploads.KEY, subject(bad), 1, False, reason)]
    # A store that is away, or refuses us, says nothing of the key: looking goes on as soon as it is mended.
    assert last == [(uploads.KEY, subject(bad), ATTEMPTS_MAX, parked, reason)]
    assert await states(scene, entry.id) == [[("bad.csv", "expected", None), ("good.csv", "available", None)]]
    await scene.notice(bad)
    await scene.work()
    assert await states(scene, entry.id) == [[("bad.csv", "available", None), ("good.csv", "available", None)]]


async def test_a_lost_database_connection_in_one_key_lets_the_others_end_first(
    scene: Scene, through: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, (bad, good) = await scene.register(declared("bad.csv", CSV), declared("good.csv", OTHER), project=project())
    await scene.upload(good, OTHER)
    await scene.notice(bad, good)
    settle = uploads.settle

    async def cut(session: Any, backend: str, bucket: str, key: str, seen: Any) -> Any:
        if key == bad.key:
            raise sa.exc.OperationalError("settle", {}, Exception("server closed the connection"))
        return await settle(session, backend, bucket, key, seen)

    monkeypatch.setattr(uploads, "settle", cut)
    with pytest.raises(sa.exc.OperationalError):
        await keys.step(through)

    assert await states(scene, entry.id) == [[("bad.csv", "expected", None), ("good.csv", "available", None)]]


async def taken_by_another(scene: Scene, upload: Upload) -> None:
    await scene.notice(upload)
    await scene.work()


async def lease_over(scene: Scene, upload: Upload) -> None:
    del upload
    await scene.let_pass(queue.LEASE)
    await scene.work()


@pytest.mark.parametrize("overtake", [taken_by_another, lease_over])
async def test_a_look_that_another_worker_overtook_changes_nothing(
    scene: Scene, between_store: Between, through: Engines, overtake: Callable[[Scene, Upload], Any]
) -> None:
    """The slow worker has seen an empty key; what it would conclude is out of date, and nobody would look again."""
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.notice(upload)
    between_store.go.clear()
    slow = asyncio.create_task(keys.step(through))
    await between_store.seen.wait()
    await scene.upload(upload, CSV)
    await overtake(scene, upload)
    assert await states(scene, entry.id) == [[("soil.csv", "available", None)]]

    between_store.go.set()
    await slow
    await scene.work()

    assert await states(scene, entry.id) == [[("soil.csv", "available", None)]]


async def test_a_key_that_is_only_touched_during_a_look_is_settled_and_looked_at_again(
    scene: Scene, between_store: Between, through: Engines
) -> None:
    """Otherwise a key that is noticed more often than a look takes would never be settled."""
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.upload(upload, CSV)
    await scene.notice(upload)
    between_store.go.clear()
    looking = asyncio.create_task(keys.step(through))
    await between_store.seen.wait()
    await scene.notice(upload)

    between_store.go.set()
    await looking

    left = [one for one in await scene.entries() if one[0] == uploads.KEY]
    assert await states(scene, entry.id) == [[("soil.csv", "available", None)]]
    assert left == [(uploads.KEY, subject(upload), 0, False, None)]


async def test_a_look_that_takes_longer_than_a_lease_keeps_its_lease(
    scene: Scene, between_store: Between, through: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing a large file takes minutes; other workers must not begin the same."""
    # So often that one renewal after another is seen, and a lease so long that a busy machine is late for none.
    monkeypatch.setattr(handling, "RENEWALS_PER_LEASE", queue.LEASE_OF_A_MOMENT.total_seconds() / 0.1)
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.upload(upload, CSV)
    await scene.notice(upload)
    between_store.go.clear()
    slow = asyncio.create_task(keys.step(through))
    await between_store.seen.wait()

    ends = set()

    async def another_claims_nothing_while_the_lease_begins_three_times_anew() -> bool:
        assert await keys.step(scene.engines) == 0
        asked = "SELECT ready_at FROM queue WHERE subject = %(subject)s"
        ends.update(await scene.engines.database.rows(asked, {"subject": subject(upload)}))
        return len(ends) > 3

    await eventually(another_claims_nothing_while_the_lease_begins_three_times_anew)
    between_store.go.set()
    await slow

    assert await states(scene, entry.id) == [[("soil.csv", "available", None)]]


async def test_bytes_whose_notification_was_lost_are_found_by_the_look_that_comes_anyway(scene: Scene) -> None:
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.upload(upload, CSV)
    await scene.work()
    before = await states(scene, entry.id)

    await scene.let_pass(uploads.LOOK_ANYWAY)
    await scene.work()

    assert (before, await states(scene, entry.id)) == (
        [[("soil.csv", "expected", None)]],
        [[("soil.csv", "available", None)]],
    )


async def test_an_open_upload_is_looked_at_in_ever_longer_steps_until_its_ticket_is_long_over(scene: Scene) -> None:
    """A look that finds nothing is not the last: the client may be slow, and its notification be lost as well."""
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())

    async def grow_older(by: timedelta) -> None:
        statement = sa.text("UPDATE upload SET created_at = created_at - :by, expires_at = expires_at - :by")
        async with scene.engines.database.transaction() as session:
            await session.execute(statement.bindparams(sa.bindparam("by", by, type_=sa.Interval)))

    async def minutes_to_the_next_look() -> int | None:
        statement = "SELECT ready_at FROM queue WHERE subject = %(subject)s"
        rows = await scene.engines.database.rows(statement, {"subject": subject(upload)})
        return round((rows[0][0] - now()).total_seconds() / 60) if rows else None

    steps = []
    while (minutes := await minutes_to_the_next_look()) is not None:
        steps.append(minutes)
        await grow_older(timedelta(minutes=minutes))
        await scene.let_pass(timedelta(minutes=minutes, seconds=30))
        await scene.work()

    assert steps == [5, 5, 10, 20, 40, 40]
    assert (await uploads_of(scene, entry.id), await states(scene, entry.id)) == (
        [("soil.csv", "abandoned")],
        [[("soil.csv", "expected", None)]],
    )


async def test_bytes_that_take_long_to_read_hold_up_no_other_key(
    scene: Scene, between_store: Between, through: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "READ_HERE_MAX", 1)
    large, (slow,) = await scene.register(declared("large.csv", CSV), project=project())
    small, (quick,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.overwrite(slow.key, CSV)
    await scene.upload(quick, CSV)
    await scene.notice(slow)
    await keys.step(scene.engines)
    between_store.go.clear()
    reading = asyncio.create_task(keys.read_step(through))
    await between_store.seen.wait()

    await scene.notice(slow, quick)
    await keys.step(scene.engines)
    meanwhile = await states(scene, large.id, small.id)
    between_store.go.set()
    await reading
    await scene.work()

    assert meanwhile == [[("large.csv", "expected", None)], [("soil.csv", "available", None)]]
    assert await states(scene, large.id) == [[("large.csv", "available", None)]]
    assert await scene.entries() == []


async def test_bytes_that_were_read_are_not_read_for_the_next_event_of_them(
    scene: Scene, between_store: Between, through: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.overwrite(upload.key, CSV)
    await scene.notice(upload)
    await scene.work()
    once = await scene.entry(entry.id)

    async def read(*_: Any, **__: Any) -> str:
        raise AssertionError("read again")

    monkeypatch.setattr(between_store, "sha256_of", read, raising=False)
    await scene.notice(upload)
    await keys.step(through)

    assert await scene.entry(entry.id) == once
    assert await scene.entries() == []


async def test_bytes_overwritten_while_they_were_read_are_looked_at_again(
    scene: Scene, between_store: Between, through: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the look in between saw is newer than what the read began with, and must stand in the end."""
    monkeypatch.setattr(keys, "READ_HERE_MAX", len(CSV) - 1)
    entry, (upload,) = await scene.register(declared("soil.csv", CSV), project=project())
    await scene.overwrite(upload.key, CSV)
    await scene.notice(upload)
    await keys.step(scene.engines)
    between_store.go.clear()
    reading = asyncio.create_task(keys.read_step(through))
    await between_store.seen.wait()

    await scene.overwrite(upload.key, b"wrong")
    await scene.notice(upload)
    await keys.step(scene.engines)
    meanwhile = await states(scene, entry.id)
    between_store.go.set()
    await reading
    await scene.work()

    assert meanwhile == [[("soil.csv", "mismatched", len(b"wrong"))]]
    assert await states(scene, entry.id) == meanwhile
    assert await scene.entries() == []

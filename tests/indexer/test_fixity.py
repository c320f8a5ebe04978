"""Bytes are read again in rounds, and what they are counts, not what the store was told of them once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from catalog import queue
from catalog.engines import Engines
from catalog.errors import Unavailable
from catalog.inventory import fixity as rounds
from catalog.inventory.fixity import Allowance
from catalog.storage.s3 import Store
from indexer import fixity, keys
from tests.indexer.scene import Scene, declared, project

CSV = b"depth,pH\n10,6.4\n"
DAY = timedelta(days=1)


class Rotten:
    """A store in which some bytes are no longer what they were, though it says they are, or cannot be read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.altered: dict[str, str] = {}
        self.unreadable: set[str] = set()
        self.read: list[str] = []

    async def sha256_of(self, key: str, *, version_id: str | None = None) -> str:
        self.read.append(key)
        if key in self.unreadable:
            raise Unavailable("The store broke off.")
        return self.altered.get(key) or await self._store.sha256_of(key, version_id=version_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture
def rotten(scene: Scene) -> Rotten:
    """The scene's store, met through one that can rot."""
    return Rotten(scene.engines.store)


@pytest.fixture
def through(scene: Scene, rotten: Rotten) -> Engines:
    """The scene's engines with that store."""
    return replace(scene.engines, store=cast("Any", rotten), fixity=Allowance(10**15, DAY))


async def stored(scene: Scene, *paths: str) -> tuple[UUID, dict[str, str]]:
    """Return an object with these files, and their keys."""
    entry, made = await scene.register(*(declared(path, CSV) for path in paths), project=project())
    for upload in made:
        await scene.upload(upload, CSV)
    await scene.notice(*made)
    await scene.work()
    return entry.id, {upload.path: upload.key for upload in made}


async def one_round(scene: Scene, engines: Engines) -> None:
    """Read everything once."""
    await fixity.prepare(engines)
    while True:
        await scene.let_pass(timedelta(minutes=1))
        if not await fixity.step(engines):
            return


async def states(scene: Scene, object_id: UUID) -> dict[str, tuple[str, str | None]]:
    return {file.path: (str(file.state), file.found_sha256) for file in (await scene.entry(object_id)).files}


async def test_a_round_reads_every_file_once_and_then_rests(
    scene: Scene, through: Engines, rotten: Rotten, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "FILES_AT_ONCE", 2)
    _, mine = await stored(scene, "a.csv", "b.csv", "c.csv")

    await one_round(scene, through)

    assert sorted(key for key in rotten.read if key in mine.values()) == sorted(mine.values())
    assert len(rotten.read) == len(set(rotten.read))
    entries = await scene.engines.database.rows(
        "SELECT subject, ready_at > now() + interval '20 hours' FROM queue WHERE topic = 'fixity'", {}
    )
    assert entries == [("files/", True)]


async def failures(scene: Scene, object_id: UUID) -> list[tuple[str | None, str, str | None, str | None]]:
    async with scene.engines.database.transaction() as session:
        report = await rounds.report(session, most=200)
    return [
        (one.path, one.outcome, one.found_sha256, one.reason) for one in report.failed if one.object_id == object_id
    ]


async def look_at(engines: Engines, key: str) -> None:
    """Have a key looked at, as a notification does."""
    async with engines.database.transaction() as session:
        await queue.put(session, "key", [f"default/{engines.store.bucket}/{key}"])
    while await keys.step(engines) + await keys.read_step(engines):
        pass


async def test_bytes_that_became_others_are_told_and_stay_so_until_they_are_what_they_were(
    scene: Scene, through: Engines, rotten: Rotten
) -> None:
    object_id, mine = await stored(scene, "a.csv", "b.csv")
    rotten.altered[mine["b.csv"]] = "0" * 64

    await one_round(scene, through)
    while await keys.step(through) + await keys.read_step(through):
        pass
    told = await states(scene, object_id)
    failed = await failures(scene, object_id)
    # The store still tells the checksum that came with the upload.
    await look_at(through, mine["b.csv"])
    later = await states(scene, object_id)
    rotten.altered.clear()
    await look_at(through, mine["b.csv"])

    assert told == {"a.csv": ("available", None), "b.csv": ("mismatched", "0" * 64)}
    assert failed == [("b.csv", "altered", "0" * 64, None)]
    assert later == told
    assert await states(scene, object_id) == {"a.csv": ("available", None), "b.csv": ("available", None)}
    assert await failures(scene, object_id) == []


async def test_what_cannot_be_read_is_told_unless_all_of_the_store_is_away(
    scene: Scene, through: Engines, rotten: Rotten
) -> None:
    object_id, mine = await stored(scene, "a.csv")
    rotten.unreadable = set(mine.values())

    await one_round(scene, through)

    assert await failures(scene, object_id) == [("a.csv", "unreadable", None, "The store broke off.")]
    assert await states(scene, object_id) == {"a.csv": ("available", None)}


async def test_nothing_is_read_where_nothing_is_allowed(scene: Scene, through: Engines, rotten: Rotten) -> None:
    await stored(scene, "a.csv")
    off = replace(through, fixity=Allowance(0, DAY))
    await one_round(scene, off)
    assert rotten.read == []


async def test_reading_is_spread_over_the_day(scene: Scene, through: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "FILES_AT_ONCE", 1)
    await stored(scene, "a.csv", "b.csv")
    slow = replace(through, fixity=Allowance(len(CSV) * 24, DAY))
    await fixity.prepare(slow)
    await scene.let_pass(timedelta(minutes=1))
    await fixity.step(slow)
    rows = await scene.engines.database.rows(
        "SELECT round(extract(epoch FROM ready_at - now()) / 3600) FROM queue WHERE topic = 'fixity'", {}
    )
    assert rows == [(1,)]

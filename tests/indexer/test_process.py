"""`catalog-indexer` as people and supervisors run it: how it ends, what it says, how it starts on a lost index."""

import asyncio
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.errors import Unavailable
from catalog.local import ports
from catalog.objects import changing
from indexer import loop
from tests.conftest import World, eventually
from tests.indexer.scene import Scene, project


def drain(world: World, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `catalog-indexer drain` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "indexer", "drain", *options],
        env=world.environment | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def start(world: World, log: Path) -> "subprocess.Popen[bytes]":
    """Start `catalog-indexer run`."""
    with log.open("wb") as written:
        return subprocess.Popen(
            [sys.executable, "-m", "indexer", "run"], env=world.environment, stdout=written, stderr=written
        )


async def test_drain_works_until_the_queue_is_empty_and_succeeds(scene: Scene, quiet: World) -> None:
    there = project()
    await scene.registered("Wind", "Rain", project=there)

    ended = await asyncio.to_thread(drain, quiet)

    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert (await scene.found(there), await scene.entries()) == ({"Wind": 1, "Rain": 1}, [])


async def test_drain_fails_and_says_so_when_the_search_engine_stays_away(scene: Scene, quiet: World) -> None:
    await scene.registered("Wind", project=project())
    nobody = f"http://127.0.0.1:{ports.choose()}"

    started = time.monotonic()
    ended = await asyncio.to_thread(drain, quiet, "--limit", "2", CATALOG_SEARCH_URL=nobody)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines()[-1] == "catalog-indexer: The engines do not answer, after 2 seconds."
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - started < 20


async def test_drain_fails_and_says_so_when_the_database_stays_away(quiet: World) -> None:
    nobody = f"postgresql://catalog:nothing@127.0.0.1:{ports.choose()}/catalog"

    ended = await asyncio.to_thread(drain, quiet, "--limit", "5", CATALOG_DATABASE_URL=nobody)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines()[-1] == "catalog-indexer: The engines do not answer, after 5 seconds."
    assert "Traceback" not in ended.stderr


async def test_wrong_settings_are_named_before_anything_starts(quiet: World) -> None:
    ended = await asyncio.to_thread(drain, quiet, CATALOG_SEARCH_URL="ftp://somewhere")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "catalog-indexer: CATALOG_SEARCH_URL: URL scheme should be 'http' or 'https' (OpenSearch 3, http://host:port)\n"
    )


async def test_an_index_that_was_wiped_is_made_and_filled_from_the_database_at_the_next_start(
    scene: Scene, quiet: World, tmp_path: Path
) -> None:
    there = project()
    ids = await scene.registered("Wind", "Rain", "Hail", project=there)
    await scene.withdraw(ids["Hail"])
    await scene.work()
    await scene.engines.index.drop()
    expected = {ids["Wind"]: 1, ids["Rain"]: 1, ids["Hail"]: 2}

    indexer = start(quiet, tmp_path / "indexer.log")
    try:

        async def refilled() -> bool:
            # At first there is no index, and then no document in it.
            with suppress(Unavailable):
                return await scene.engines.index.versions(list(ids.values())) == expected
            return False

        await eventually(refilled, seconds=90)
    finally:
        indexer.terminate()
        code = await asyncio.to_thread(indexer.wait, 60)

    assert (code, await scene.found(there)) == (0, {"Wind": 1, "Rain": 1})


async def test_an_index_that_is_wiped_amid_work_is_made_and_filled_by_the_indexer_that_runs(
    scene: Scene, quiet: World, tmp_path: Path
) -> None:
    ids = await scene.registered("Wind", "Rain", project=project())
    indexer = start(quiet, tmp_path / "indexer.log")
    expected = dict.fromkeys(ids.values(), 1)

    async def there() -> bool:
        with suppress(Unavailable):
            return await scene.engines.index.versions(list(expected)) == expected
        return False

    try:
        await eventually(there, seconds=90)
        await scene.engines.index.drop()
        await eventually(there, seconds=90)
    finally:
        indexer.terminate()
        code = await asyncio.to_thread(indexer.wait, 60)

    assert code == 0


async def test_an_index_that_was_lost_is_filled_although_the_database_was_away_when_it_was_made(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await scene.registered("Wind", "Rain", project=project())
    await scene.work()
    await scene.engines.index.drop()
    tries, real, stop = 0, changing.index_everything, asyncio.Event()

    async def at_the_second_try(session: AsyncSession) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise sa.exc.OperationalError("", {}, Exception("away"))
        await real(session)
        stop.set()

    monkeypatch.setattr(changing, "index_everything", at_the_second_try)
    monkeypatch.setattr(loop, "INDEX_WATCHED_SECONDS", 0.05)
    async with asyncio.timeout(60):
        await loop._watch_index(scene.engines, stop)  # noqa: SLF001 - what else waits goes on, and would hide it.
    monkeypatch.undo()
    await scene.work()

    assert await scene.engines.index.versions(list(ids.values())) == dict.fromkeys(ids.values(), 1)


async def test_a_terminated_indexer_ends_quickly_and_succeeds_at_rest_and_at_work(
    scene: Scene, quiet: World, tmp_path: Path
) -> None:
    there = project()
    indexer = start(quiet, tmp_path / "indexer.log")
    titles = [f"{number:03}" for number in range(90)]
    try:
        await scene.registered(*titles, project=there)
        await eventually(lambda: scene.found(there))
        indexer.send_signal(signal.SIGTERM)
        started = time.monotonic()
        code = await asyncio.to_thread(indexer.wait, 60)
        took = time.monotonic() - started
    finally:
        indexer.kill()

    assert (code, took < 5) == (0, True)
    # Nothing is left claimed: whoever comes next finds the rest at once.
    rows = await scene.engines.database.rows("SELECT 1 FROM queue WHERE topic = 'index' AND attempts > 0", {})
    assert rows == []
    await scene.work()
    assert sorted(await scene.found(there)) == titles

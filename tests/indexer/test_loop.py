"""The loop outlives whatever happens to a step, an engine or the bell, and ends when it is asked to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from catalog.engines import Engines
from catalog.errors import Unavailable
from catalog.objects import changing
from catalog.search.index import Index
from indexer import documents, keys, loop
from tests.conftest import eventually
from tests.indexer.scene import Scene, project

END_LISTENERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND starts_with(query, 'LISTEN ')"
)
LISTENERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND starts_with(query, 'LISTEN ')"


@asynccontextmanager
async def running(engines: Engines) -> AsyncGenerator[asyncio.Event]:
    """An indexer in this process; it ends with the block."""
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(engines, stop))
    try:
        yield stop
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


async def nobody_listens(scene: Scene) -> None:
    """Wait until those who listened in an earlier test are gone."""

    async def gone() -> bool:
        return not await scene.engines.database.rows(LISTENERS, {})

    await eventually(gone)


async def found_all(scene: Scene, there: str, titles: list[str]) -> None:
    async def found() -> bool:
        return sorted(await scene.found(there)) == titles

    await eventually(found)


async def test_a_change_is_found_without_anybody_asking_for_it(scene: Scene) -> None:
    there = project()
    async with running(scene.engines):
        await scene.registered("Wind", "Rain", project=there)
        await found_all(scene, there, ["Rain", "Wind"])


async def test_the_bell_alone_wakes_the_indexer(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "POLL_SECONDS", 600.0)
    there = project()
    async with running(scene.engines):
        await eventually(lambda: scene.engines.database.rows(LISTENERS, {}))
        for title in ("1", "2", "3"):
            await scene.registered(title, project=there)
            await found_all(scene, there, [str(number) for number in range(1, int(title) + 1)])


async def test_it_ends_although_a_cancellation_is_lost_and_tells_what_it_waits_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []
    held = asyncio.Event()

    @asynccontextmanager
    async def listening(_: str) -> AsyncGenerator[Any]:
        async def heard(_: float) -> frozenset[str]:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost:
                    raise
                # As Python's wait_for did before 3.12, when the bell rang in the same turn.
                lost.append("bell")
            return frozenset()

        yield heard

    async def step(_: Engines) -> int:
        await held.wait()
        return 0

    monkeypatch.setattr(loop.queue, "listening", listening)
    monkeypatch.setattr(loop.documents, "step", step)
    monkeypatch.setattr(loop, "STOPPING_TOLD_SECONDS", 0.05)
    left = {"event": "stopping", "waits_for": ["index"] * loop.DOCUMENT_LANES, "log_level": "info"}
    with structlog.testing.capture_logs() as lines:

        async def said(line: dict[str, Any]) -> bool:
            return line in lines

        async with running(scene.engines) as stop:
            await eventually(lambda: said({"event": "indexer running", "log_level": "info"}))
            stop.set()
            await eventually(lambda: said(left))
            held.set()
    assert lost == ["bell"]


async def test_the_bell_is_heard_again_after_its_connection_was_ended(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "POLL_SECONDS", 600.0)
    monkeypatch.setattr(loop, "AWAY_SECONDS", 0.1)
    there = project()
    await nobody_listens(scene)
    async with running(scene.engines):
        ((old,),) = await eventually(lambda: scene.engines.database.rows(LISTENERS, {}))
        assert await scene.engines.database.rows(END_LISTENERS, {}) == [(True,)]

        async def listens_anew() -> bool:
            return [pid for (pid,) in await scene.engines.database.rows(LISTENERS, {}) if pid != old] != []

        await eventually(listens_anew)
        await scene.registered("Wind", project=there)
        await found_all(scene, there, ["Wind"])


async def test_what_rang_while_nobody_listened_is_looked_for_as_soon_as_somebody_does(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "POLL_SECONDS", 600.0)
    monkeypatch.setattr(loop, "AWAY_SECONDS", 2.0)
    there = project()
    await nobody_listens(scene)
    async with running(scene.engines):
        await scene.registered("Rain", project=there)
        await found_all(scene, there, ["Rain"])
        assert await scene.engines.database.rows(END_LISTENERS, {}) == [(True,)]
        await scene.registered("Wind", project=there)
        await found_all(scene, there, ["Rain", "Wind"])


@pytest.mark.parametrize(
    "fault",
    [RuntimeError("out of luck"), KeyError("phlogiston"), Unavailable(), sa.exc.TimeoutError("no connection")],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("room", [documents, keys], ids=lambda room: room.__name__)
async def test_whatever_a_step_raises_the_indexer_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, fault: Exception, room: Any
) -> None:
    monkeypatch.setattr(loop, "AWAY_SECONDS", 0.01)
    there, step = project(), room.step
    failed: list[Exception] = []

    async def fails_at_first(engines: Engines) -> int:
        if len(failed) < 3:
            failed.append(fault)
            raise fault
        done: int = await step(engines)
        return done

    fails_at_first.__module__ = room.__name__
    monkeypatch.setattr(room, "step", fails_at_first)
    async with running(scene.engines):
        await scene.registered("Wind", project=there)
        await found_all(scene, there, ["Wind"])
    assert failed == [fault] * 3


async def test_an_index_that_was_created_is_filled_although_the_database_was_away_just_then(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, fill = project(), changing.index_everything
    failed: list[str] = []
    await scene.registered("Wind", "Rain", project=there)
    await scene.work()
    await scene.engines.index.drop()

    async def fails_at_first(session: Any) -> None:
        if not failed:
            failed.append("failed")
            raise sa.exc.OperationalError("INSERT", {}, Exception("server closed the connection"))
        await fill(session)

    monkeypatch.setattr(changing, "index_everything", fails_at_first)
    monkeypatch.setattr(loop, "AWAY_SECONDS", 0.01)
    await loop.drain(scene.engines, timedelta(seconds=30))

    assert (failed, await scene.found(there)) == (["failed"], {"Wind": 1, "Rain": 1})


async def test_an_index_whose_creator_died_before_filling_it_is_filled(scene: Scene) -> None:
    there = project()
    await scene.registered("Wind", "Rain", project=there)
    await scene.work()
    await scene.engines.index.drop()
    assert await scene.engines.index.ensure()

    await loop.drain(scene.engines, timedelta(seconds=30))

    assert await scene.found(there) == {"Wind": 1, "Rain": 1}


async def test_a_filled_index_is_not_filled_again(scene: Scene) -> None:
    await scene.registered("Wind", project=project())
    await scene.work()
    await scene.engines.index.refresh()

    await loop.prepare(scene.engines)

    assert await scene.entries() == []


async def test_draining_waits_for_an_engine_that_comes_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(Index):
        calls = 0

        async def write(self, written: Any) -> Any:
            self.calls += 1
            if self.calls < 3:
                raise Unavailable("The search engine does not answer.")
            return await super().write(written)

    monkeypatch.setattr(loop, "AWAY_SECONDS", 0.01)
    there = project()
    await scene.registered("Wind", project=there)
    away = Away(scene.engines.index._url, scene.engines.index.alias)  # noqa: SLF001 - the same engine.
    monkeypatch.setattr(away, "refresh_interval", "50ms")

    try:
        await loop.drain(scene.with_index(away), timedelta(seconds=30))
    finally:
        await away.close()

    assert (away.calls, await scene.found(there), await scene.entries()) == (3, {"Wind": 1}, [])


async def test_an_indexer_that_is_asked_to_stop_ends_the_batch_in_hand(scene: Scene) -> None:
    class Held(Index):
        arrived = asyncio.Event()
        go = asyncio.Event()

        async def write(self, written: Any) -> Any:
            self.arrived.set()
            await self.go.wait()
            return await super().write(written)

    there = project()
    held = Held(scene.engines.index._url, scene.engines.index.alias)  # noqa: SLF001 - the same engine.
    held._refresh_interval = "50ms"  # noqa: SLF001 - as the scene's.
    await scene.registered("Wind", project=there)
    async with running(scene.with_index(held)) as stop:
        await held.arrived.wait()
        stop.set()
        held.go.set()

    assert (await scene.found(there), await scene.entries()) == ({"Wind": 1}, [])
    await held.close()

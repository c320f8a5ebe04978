"""PostgreSQL is restarted while people write and search, politely and at once: afterwards all agrees."""

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from catalog.local import process
from tests.conftest import Sized, eventually
from tests.faults.storm import Readers, Writers, fresh_word, oracle, place, settled

WRITES, WRITES_LONG = 60, 2_000
SECONDS, SECONDS_LONG = 8, 240
# What each signal asks of the server (PostgreSQL manual, 18.5).
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT
BACK_SECONDS_MAX = 60


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.req("MWM-SADD-3", "SAGE-STORAGE-7")
async def test_a_restart_of_the_database_is_answered_by_503_at_most_and_nothing_is_lost(
    tmp_path: Path, sized: Sized, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "RECOVERED_SECONDS", 0.0)
    async with place(tmp_path / "stack") as here:
        writers = Writers(here, random.randrange(10**6), fresh_word())  # noqa: S311 - whichever.
        readers = Readers(here, writers)
        reading = asyncio.create_task(readers.run())
        seconds = sized(SECONDS, long=SECONDS_LONG)
        writing = asyncio.create_task(writers.write(sized(WRITES, long=WRITES_LONG), seconds))
        server = here.processes["postgres"]
        pids = {name: one.id for name, one in here.processes.items() if name != "postgres"}

        async def restarted(way: signal.Signals) -> None:
            before, running = server.restarts, server.id
            assert running is not None

            async def back() -> bool:
                return server.restarts > before

            os.kill(running.pid, way)
            await eventually(back, seconds=BACK_SECONDS_MAX)

        for way in (FAST, IMMEDIATE):
            await asyncio.sleep(seconds / 4)
            await restarted(way)
        await writing
        await settled(here, leases_over=True, seconds=120)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        differences = await oracle(here, writers)
        still = {name: one.id for name, one in here.processes.items() if name != "postgres"}
        await writers.asking.close()

    assert differences == []
    assert (writers.asking.wrong, readers.wrong) == ([], [])
    # Nobody else had to be started again.
    assert still == pids
    assert (server.restarts, writers.done.total()) == (2, sized(WRITES, long=WRITES_LONG))

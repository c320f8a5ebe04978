"""Everything is killed at random while people write: afterwards database, store, index and what was told agree."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from catalog.local import process
from tests.conftest import Sized
from tests.faults.storm import Readers, Weather, Writers, fresh_word, oracle, place, settled

WRITES, WRITES_LONG = 80, 10_000
KILLS, KILLS_LONG = 5, 60
SECONDS = 15
SETTLED_SECONDS_MAX = 300


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.req("MWM-SADD-3", "MWM-SADD-17", "MWM-SADD-45", "MWM-SADD-46", "SAGE-STORAGE-7")
async def test_after_a_storm_of_kills_everything_agrees_with_what_people_were_told(
    tmp_path: Path,
    sized: Sized,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two APIs, two indexers, PostgreSQL, OpenSearch and the store; killed, stopped for a moment, and cut off."""
    # What is killed that often would be let wait for longer each time.
    monkeypatch.setattr(process, "RECOVERED_SECONDS", 0.0)
    asked = pytestconfig.option
    seed = random.randrange(10**6) if asked.seed is None else asked.seed  # noqa: S311 - told below, to be repeated.
    seconds = sized(SECONDS, long=asked.minutes * 60)
    report: dict[str, Any] = {"seed": seed, "seconds": seconds}
    try:
        async with place(tmp_path / "stack") as here:
            writers = Writers(here, seed, fresh_word())
            readers = Readers(here, writers)
            weather = Weather(here, readers, seed)
            reading = asyncio.create_task(readers.run())
            async with asyncio.TaskGroup() as storm:
                storm.create_task(writers.write(sized(WRITES, long=WRITES_LONG), seconds))
                storm.create_task(weather.rage(sized(KILLS, long=KILLS_LONG), seconds))
            report["settled_seconds"] = round(
                await settled(here, leases_over=not asked.long, seconds=SETTLED_SECONDS_MAX)
            )
            reading.cancel()
            began = time.monotonic()
            differences = await oracle(here, writers)
            report |= {
                "writes": dict(writers.done),
                "objects": len(writers.known),
                "answers": dict(writers.asking.told),
                "searches": dict(readers.searches),
                "killed": dict(weather.killed),
                "stopped": dict(weather.stopped),
                "cut": weather.cut,
                "oracle_seconds": round(time.monotonic() - began, 1),
                "differences": len(differences),
            }
            await writers.asking.close()
    finally:
        with capsys.disabled():
            print(f"\nstorm: {report}")

    assert differences == []
    assert (writers.asking.wrong, readers.wrong) == ([], [])
    assert weather.kills >= sized(KILLS, long=KILLS_LONG)

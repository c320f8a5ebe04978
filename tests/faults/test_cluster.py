"""One of three search nodes is killed while people search and write: nobody notices, and nothing is lost."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from catalog.local import process
from tests.conftest import Sized, eventually
from tests.engines import SHORT_LIVED_JAVA
from tests.faults.storm import BODY, Known, Place, Writers, fresh_word, oracle, place, settled

WRITES, WRITES_LONG = 60, 2_000
SECONDS, SECONDS_LONG = 10, 300
SEARCHERS = 3
# Starting again on a busy machine, with a copy of the index to fetch.
BACK_SECONDS_MAX = 240


class Strict:
    """People who search, once each time, and take nothing but what is there for an answer."""

    def __init__(self, place: Place, word: str) -> None:
        self._place, self._word = place, word
        self.told: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.slowest = 0.0

    async def run(self) -> None:
        """Search until cancelled."""
        await asyncio.gather(*(self._search(number) for number in range(SEARCHERS)))

    async def _search(self, number: int) -> None:
        url = self._place.urls[number % len(self._place.urls)]
        headers = {"Authorization": f"Bearer {self._place.token}"}
        async with httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False, headers=headers) as client:
            while True:
                began = time.monotonic()
                answer = await client.get("/api/search", params={"q": self._word, "limit": 50})
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.told[answer.status_code] += 1
                if answer.status_code != 200:
                    self.wrong.append(f"{answer.status_code}: {answer.text[:300]}")
                elif not answer.json()["hits"]:
                    self.wrong.append(f"an empty page of {answer.json()['total']}")
                await asyncio.sleep(0.02)


async def health(here: Place) -> dict[str, Any]:
    """Return what any node that answers says of the cluster."""
    for url in (here.settings.search_url, *here.settings.search_further_urls):
        with suppress(httpx2.HTTPError):
            async with httpx2.AsyncClient(base_url=str(url), timeout=5, trust_env=False) as client:
                told: dict[str, Any] = (await client.get("/_cluster/health")).json()
                if "number_of_nodes" in told:
                    led = (await client.get("/_cat/cluster_manager", params={"format": "json"})).json()
                    return told | {"led_by": led[0]["node"]}
    return {}


async def whole(here: Place) -> bool:
    """Tell whether all three nodes are there, with every copy of every index."""
    told = await health(here)
    return (told.get("number_of_nodes"), told.get("status")) == (3, "green")


async def kill(here: Place, name: str) -> None:
    """Kill a node, and return when it is back and every copy is there again."""
    node = here.processes[name]
    before, running = node.restarts, node.id
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)

    async def is_back() -> bool:
        return node.restarts > before and await whole(here)

    await eventually(is_back, seconds=BACK_SECONDS_MAX)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.req("MWM-SADD-3", "MWM-SADD-47", "SAGE-STORAGE-7")
async def test_a_killed_node_costs_no_search_and_no_write(
    tmp_path: Path,
    sized: Sized,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The elected cluster manager first; at full size every node, one after the other."""
    for name, value in SHORT_LIVED_JAVA.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(process, "RECOVERED_SECONDS", 0.0)
    word, began = fresh_word(), time.monotonic()
    async with place(tmp_path / "stack", search_nodes=3) as here:
        report: dict[str, Any] = {"up": round(time.monotonic() - began)}
        writers = Writers(here, random.randrange(10**6), word)  # noqa: S311 - whichever.
        known = await writers.asking.ask("POST", "/api/objects", json=BODY | {"title": f"{word} first"})
        assert known.status_code == 201, known.text
        writers.known[known.json()["id"]] = Known(known.json()["id"], f"{word} first")

        async def is_found() -> bool:
            found = await writers.asking.ask("GET", "/api/search", params={"q": word})
            return bool(found.json()["total"] == 1) and await whole(here)

        await eventually(is_found, seconds=BACK_SECONDS_MAX)
        # The other copies show it when they refresh, and each process asks one of them.
        async with httpx2.AsyncClient(base_url=str(here.settings.search_url), timeout=30, trust_env=False) as engine:
            assert (await engine.post(f"/{here.settings.search_index}/_refresh")).status_code == 200
        led_by = (await health(here))["led_by"]
        strict = Strict(here, word)
        searching = asyncio.create_task(strict.run())
        seconds = sized(SECONDS, long=SECONDS_LONG)
        writing = asyncio.create_task(writers.write(sized(WRITES, long=WRITES_LONG), seconds))
        others = [name for name in here.processes if name.startswith("opensearch") and name != led_by]
        for name in [led_by, *others[: sized(0, long=2)]]:
            await asyncio.sleep(seconds / 5)
            await kill(here, name)
        await writing
        searching.cancel()
        with suppress(asyncio.CancelledError):
            await searching
        await settled(here, leases_over=True, seconds=BACK_SECONDS_MAX)
        differences = await oracle(here, writers)
        report |= {
            "killed": led_by,
            "searches": dict(strict.told),
            "slowest": round(strict.slowest, 2),
            "writes": dict(writers.done),
            "answers": dict(writers.asking.told),
            "seconds": round(time.monotonic() - began),
        }
        await writers.asking.close()
    with capsys.disabled():
        print(f"\ncluster: {report}")

    assert differences == []
    assert (strict.wrong[:5], writers.asking.wrong) == ([], [])
    assert strict.told[200] > 0

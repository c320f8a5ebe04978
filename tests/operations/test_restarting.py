"""Processes of the API are restarted one after the other, and no request fails."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from tests import forked
from tests.conftest import Live, eventually, make_tokens, make_world, own_port, prepare, running

ASKING = 8


@pytest.fixture
async def two(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Live]:
    world = make_world(
        engines_ready,
        tmp_path_factory.mktemp("two"),
        drain=timedelta(seconds=8),
        requests_per_second_anonymous=1_000_000,
    )
    await prepare(world, engines_ready)
    with running(world, await make_tokens(world), "api") as live:
        yield live


async def is_ready(address: str) -> bool:
    async with httpx2.AsyncClient(base_url=address, trust_env=False) as client:
        try:
            return (await client.get("/readyz")).status_code == 200
        except httpx2.HTTPError:
            return False


@dataclass
class Shared:
    """Requests shared out to processes as a load balancer does, which knows no more than what readiness tells."""

    live: Live
    addresses: dict[str, str]
    is_open: dict[str, bool] = field(default_factory=dict)
    outcomes: list[Any] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self, name: str) -> None:
        """Start a process again."""
        command = ["catalog", "serve", "--port", self.addresses[name].rpartition(":")[2]]
        log = self.live.world.folder / f"{name}.log"
        self.live.processes[name] = forked.start(command, self.live.world.environment, log)

    async def look(self) -> None:
        """Look which of them are ready, again and again."""
        while not self.stop.is_set():
            for address in self.addresses.values():
                self.is_open[address] = await is_ready(address)
            await asyncio.sleep(0.1)

    async def ask(self) -> None:
        """Ask those that are ready, one after the other."""
        async with httpx2.AsyncClient(trust_env=False, timeout=20) as client:
            while not self.stop.is_set():
                for address in [one for one, is_open in self.is_open.items() if is_open]:
                    try:
                        self.outcomes.append((await client.get(f"{address}/api/objects")).status_code)
                    except httpx2.HTTPError as fault:
                        self.outcomes.append(type(fault).__name__)
                await asyncio.sleep(0)

    async def restart(self, name: str) -> None:
        """End a process, see it drain and end, start it, and wait until it is ready."""
        process, address = self.live.processes[name], self.addresses[name]
        process.send_signal(signal.SIGTERM)

        async def drains() -> bool:
            return not self.is_open[address] and process.poll() is None

        async def has_ended() -> bool:
            return process.poll() is not None

        async def is_back() -> bool:
            return self.is_open[address]

        await eventually(drains, seconds=30)
        await eventually(has_ended, seconds=30)
        self.start(name)
        await eventually(is_back, seconds=30)


async def test_two_processes_are_restarted_one_after_the_other_under_load_and_no_request_fails(two: Live) -> None:
    shared = Shared(two, {"api": two.url, "api-2": f"http://127.0.0.1:{own_port()}"})
    shared.start("api-2")
    await eventually(lambda: is_ready(shared.addresses["api-2"]), seconds=30)
    shared.is_open |= dict.fromkeys(shared.addresses.values(), True)

    tasks = [asyncio.create_task(shared.look()), *(asyncio.create_task(shared.ask()) for _ in range(ASKING))]
    for name in shared.addresses:
        await shared.restart(name)
    shared.stop.set()
    await asyncio.gather(*tasks)

    assert len(shared.outcomes) > 100
    assert set(shared.outcomes) == {200}

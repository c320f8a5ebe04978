"""A file of 5 GiB on its way to the store, whose client is killed and whose links end while it is under way."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from catalog.objects import kinds
from catalog.settings import Settings
from catalog.storage.parts import PART_BYTES
from tests.conftest import Live, Sized, World, _environment_of, eventually, make_tokens, notified, prepare, running
from tests.faults.conftest import speaking
from tests.faults.relay import Relay

GIB = 1024**3
LINK_SECONDS = 5
# Requests have headers, signatures and answers beside the parts.
REQUEST_BYTES_MAX = 2_000
# The interpreter's own noise; the file is a hundred times as large.
GROWTH_BYTES_MAX = 50 * 1024**2
UPLOAD_SECONDS_MAX = 400


@dataclass
class Line:
    """A running catalog, and the relay through which clients reach its store."""

    live: Live
    store: Relay

    def api_bytes(self) -> int:
        """Return the most memory that the API has ever held."""
        status = Path(f"/proc/{self.live.processes['api'].pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.fixture
async def line(fresh_world: World, engines_ready: dict[str, Any], pytestconfig: pytest.Config) -> AsyncGenerator[Line]:
    """A catalog whose tickets live for five seconds."""
    await prepare(fresh_world, engines_ready)
    url = urlsplit(str(fresh_world.settings.store_url))
    assert url.hostname is not None
    assert url.port is not None
    relay = Relay(url.hostname, url.port)
    await relay.open()
    public = urlunsplit(url._replace(netloc=f"{url.hostname}:{relay.port}"))
    told = fresh_world.settings.model_dump() | {"store_public_url": public, "upload_lifetime": LINK_SECONDS}
    settings = Settings.model_validate(told)
    world = replace(fresh_world, settings=settings, environment=_environment_of(settings))
    tokens = await make_tokens(world)
    with notified(pytestconfig, world), running(world, tokens, "api", "indexer") as live:
        yield Line(live, relay)
    await relay.close()


def sparse(target: Path, size: int) -> Path:
    """Make a file that takes no room, and whose parts are all different."""
    with target.open("wb") as file:
        file.truncate(size)
        for number in range(size // PART_BYTES):
            file.seek(number * PART_BYTES)
            file.write(number.to_bytes(8, "big"))
    return target


async def begin(line: Line, source: Path, described: Path) -> asyncio.subprocess.Process:
    """Start `catalog put`."""
    environment = dict(os.environ) | {"CATALOG_URL": line.live.url, "CATALOG_TOKEN": line.live.tokens["ingest"]}
    return await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "catalog", "put", str(source), "--from", str(described), "--json"],
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )


@pytest.mark.req("SAGE-STORAGE-23")
@pytest.mark.long
@pytest.mark.timeout(900)
async def test_multipart_5gib_sparse_upload_killed_at_half_sends_less_than_one_part_again(
    line: Line, tmp_path: Path, sized: Sized
) -> None:
    """Of 5 GiB in `make chaos`; 1.5 GiB last longer than a link too."""
    size = sized(3 * GIB // 2, long=5 * GIB)
    described = tmp_path / "described.json"
    body = {**kinds.known()["sensor-blob"].example, "files": []}
    described.write_text(json.dumps(body))
    source = sparse(tmp_path / "flight.bin", size)
    before = line.api_bytes()
    async with speaking(line.live) as client:
        first = await begin(line, source, described)

        async def half() -> bool:
            assert first.returncode is None, "it ended before it could be killed"
            return line.store.asked_bytes > size / 2

        await eventually(half, seconds=UPLOAD_SECONDS_MAX)
        first.kill()
        await first.wait()

        second = await begin(line, source, described)
        out, _ = await asyncio.wait_for(second.communicate(), UPLOAD_SECONDS_MAX)
        assert second.returncode == 0
        put = json.loads(out)
        answer = (await client.get(f"/api/objects/{put['id']}")).json()

    (file,) = answer["files"]
    assert (file["size"], file["state"]) == (size, "available")
    again = line.store.asked_bytes - size
    assert 0 < again < PART_BYTES + (size // PART_BYTES + 1) * REQUEST_BYTES_MAX
    assert line.api_bytes() - before < GROWTH_BYTES_MAX

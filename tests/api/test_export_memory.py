"""Memory while a large result is exported: it holds a step, however many there are."""

import json
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import polars as pl
import psutil
import pytest
import sqlalchemy as sa

from catalog.engines import opened
from tests.api.conftest import plain, register
from tests.conftest import Clients, Live, World, make_tokens, prepare, running
from tests.search.conftest import entry, written

OBJECTS = 50_000
AT_ONCE = 2_000
MEMORY_BYTES_MAX = 200_000_000
# Each of 1.8 MB, so that a hundred of them, read, are a gigabyte.
LONG = 150

# As many as wanted, each like the one that is there.
COPIES = """
    INSERT INTO object (id, kind, schema_version, project, owner_id, readers, writers, revision, record)
    SELECT (left(id::text, 24) || lpad(to_hex(number), 12, '0'))::uuid, kind, schema_version, project, owner_id,
        readers, writers, revision, record
    FROM object, generate_series(1, :count) AS number
    RETURNING id
    """


async def filled(
    world: World, engines_ready: dict[str, Any], objects: int, **said: Any
) -> AsyncGenerator[tuple[Live, list[UUID]]]:
    """Run an API whose database and index hold so many objects that say this."""
    await prepare(world, engines_ready)
    tokens = await make_tokens(world)
    with running(world, tokens, "api") as live:
        clients = Clients(live)
        await register(clients.ingest, plain("large/result", visibility="public", **said))
        await clients.close()
        async with opened(world.settings) as engines:
            async with engines.database.transaction() as session:
                ids = sorted((await session.execute(sa.text(COPIES), {"count": objects})).scalars())
            document = written(entry(title="large"))
            for start in range(0, objects, AT_ONCE):
                few = [
                    replace(document, id=one, document=document.document | {"id": one})
                    for one in ids[start : start + AT_ONCE]
                ]
                assert {outcome.verdict.value for outcome in await engines.index.write(few)} == {"written"}
            await engines.index.refresh()
        yield live, ids


@pytest.fixture
async def large(fresh_world: World, engines_ready: dict[str, Any]) -> AsyncGenerator[tuple[Live, list[UUID]]]:
    """A running API that holds many objects."""
    async for live, ids in filled(fresh_world, engines_ready, OBJECTS, description="Text. " * 100):
        yield live, ids


@pytest.fixture
async def long(fresh_world: World, engines_ready: dict[str, Any]) -> AsyncGenerator[tuple[Live, list[UUID]]]:
    """A running API that holds objects each of which says about as much as it may."""
    custom = {f"k{number}": [f"{number}" + "x" * 980] * 18 for number in range(100)}
    async for live, ids in filled(fresh_world, engines_ready, LONG, custom=custom):
        yield live, ids


@pytest.mark.timeout(400)
async def test_fifty_thousand_objects_are_exported_in_little_memory_each_once(
    large: tuple[Live, list[UUID]], tmp_path: Path
) -> None:
    live, ids = large
    api = psutil.Process(live.processes["api"].pid)
    took = {}
    for form in ("ndjson", "parquet"):
        before = peak = api.memory_info().rss
        whole = tmp_path / form
        async with (
            httpx2.AsyncClient(timeout=60, trust_env=False) as client,
            client.stream("GET", f"{live.url}/api/search/export", params={"q": "large", "as": form}) as answer,
        ):
            with whole.open("wb") as out:
                async for piece in answer.aiter_bytes():
                    out.write(piece)
                    peak = max(peak, api.memory_info().rss)
        took[form] = peak - before
    with (tmp_path / "ndjson").open() as lines:
        assert [UUID(json.loads(line)["id"]) for line in lines] == ids
    assert list(map(UUID, pl.read_parquet(tmp_path / "parquet", columns=["id"])["id"])) == ids
    assert max(took.values()) < MEMORY_BYTES_MAX, {form: f"{size >> 20} MiB" for form, size in took.items()}


@pytest.mark.timeout(400)
async def test_objects_as_long_as_they_may_be_are_exported_in_little_memory(long: tuple[Live, list[UUID]]) -> None:
    live, ids = long
    api = psutil.Process(live.processes["api"].pid)
    before, told = api.memory_info().rss, {}
    for form in ("ndjson", "csv", "parquet", "bibtex"):
        length = ends = 0
        async with (
            httpx2.AsyncClient(timeout=60, trust_env=False) as client,
            client.stream("GET", f"{live.url}/api/search/export", params={"q": "large", "as": form}) as answer,
        ):
            async for piece in answer.aiter_bytes():
                length += len(piece)
                ends += piece.count(b"\n")
        told[form] = length, ends
    assert told["ndjson"] > (LONG * 1_700_000, len(ids) - 1)
    assert told["ndjson"][1] == len(ids)
    peak = most_ever(api.pid) - before
    assert peak < MEMORY_BYTES_MAX, f"{peak >> 20} MiB"


def most_ever(pid: int) -> int:
    """The most memory that a process ever had, however short that was."""
    (told,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(told) * 1024

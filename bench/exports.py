"""EXPORT: a whole result as one stream while objects are written: each once, and what memory it takes."""

import asyncio
import time

import httpx2
import msgspec
import psutil
import sqlalchemy as sa

from bench.measure import Figure
from bench.stand import Stand

MEMORY_BYTES_MAX = 200_000_000
LOOK_EVERY = 1_000
WRITTEN_EVERY_SECONDS = 0.5


async def whole_result(stand: Stand) -> list[Figure]:
    """Export everything that there is, as NDJSON and for an admin, while objects are registered."""
    url, headers = str(stand.settings.public_url).rstrip("/"), {"Authorization": f"Bearer {stand.admin}"}
    (process,) = [one for one in psutil.Process().children() if "serve" in one.cmdline()]
    async with stand.engines.database.transaction() as session:
        rows = await session.execute(sa.text("SELECT count(*) FROM object WHERE withdrawn_at IS NULL"))
        meant = rows.scalar_one()
    before = peak = process.memory_info().rss
    seen: set[str] = set()
    first = 0.0
    lines = 0
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        writing = asyncio.create_task(_write(client, stand))
        started = time.perf_counter()
        async with client.stream("GET", "/api/search/export") as answer:
            async for line in answer.aiter_lines():
                first = first or time.perf_counter() - started
                lines += 1
                seen.add(msgspec.json.decode(line)["id"])
                if lines % LOOK_EVERY == 0:
                    peak = max(peak, process.memory_info().rss)
        took = time.perf_counter() - started
        writing.cancel()
    assert lines == len(seen) >= meant, (lines, len(seen), meant)
    grown = peak - before
    ratio = round(grown / MEMORY_BYTES_MAX, 4)
    note = f"{lines:,} objects, each once while others were written, in {took:.1f} s; first after {first * 1000:.0f} ms"
    return [
        Figure(
            *("EXPORT", ratio, (ratio, ratio), round(grown / 1e6, 1), MEMORY_BYTES_MAX / 1e6, "MB", len(stand.ids)),
            target="<= 1.00",
            note=note,
        )
    ]


async def _write(client: httpx2.AsyncClient, stand: Stand) -> None:
    for sample in stand.corpus.samples():
        answer = await client.post("/api/objects", json=sample.body | {"name": None})
        assert answer.status_code in {201, 409}, answer.text
        await asyncio.sleep(WRITTEN_EVERY_SECONDS)

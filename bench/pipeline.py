"""B5: what the index pipeline takes, against the engine's bulk requests alone."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from bench.measure import Figure, Pair, figure, median
from bench.stand import Stand, Wire, say
from catalog.objects import reading
from catalog.quality import assessing
from catalog.search.document import document_from
from catalog.sync import projecting
from indexer import documents

INDEX_BLOCKS = 4

# Writes the documents of these objects in this version, and returns how many a second it took.
Bulk = Callable[[Sequence[UUID], int], Awaitable[float]]


@asynccontextmanager
async def bare_bulk(stand: Stand) -> AsyncGenerator[Bulk]:
    """Yield what sends documents that are spelled already, over two connections, to an index made as ours is."""
    path = "/limit/_bulk?timeout=60s"
    wires = [Wire(str(stand.settings.search_url), {"Content-Type": "application/x-ndjson"}) for _ in range(2)]
    settings, mapping = await asyncio.to_thread(_concrete, wires[0], stand.settings.search_index)
    status, told = wires[0].send("PUT", "/limit", msgspec.json.encode({"settings": settings, "mappings": mapping}))
    assert status == 200, told

    async def sent(ids: Sequence[UUID], revision: int) -> float:
        async with stand.engines.database.transaction() as session:
            entries = await reading.read_for_index(session, list(ids))
        lines = [
            msgspec.json.encode({"index": {"_id": entry.id, "version": revision, "version_type": "external"}})
            + b"\n"
            + msgspec.json.encode(document_from(projecting.projection_of(assessing.told(entry), None)))
            + b"\n"
            for entry in entries
        ]
        bodies = [b"".join(lines[at : at + documents.BATCH]) for at in range(0, len(lines), documents.BATCH)]
        started = time.perf_counter()

        def lane(number: int) -> None:
            for body in bodies[number::2]:
                status, told = wires[number].send("POST", path, body)
                assert status == 200, told

        await asyncio.gather(asyncio.to_thread(lane, 0), asyncio.to_thread(lane, 1))
        return len(ids) / (time.perf_counter() - started)

    try:
        yield sent
    finally:
        wires[0].send("DELETE", "/limit")


async def index_pipeline(stand: Stand) -> list[Figure]:
    """B5: queue rows to acknowledged documents, against pre-serialised bulk bodies of the same documents."""
    say("B5 index pipeline")
    size = len(stand.ids)
    part = size // (INDEX_BLOCKS * 2 + 1)
    revisions = count(2)
    engines = stand.engines

    async def ours(ids: Sequence[UUID], revision: int) -> float:
        async with engines.database.transaction() as session:
            await session.execute(
                sa.text("UPDATE object SET revision = :revision WHERE id = ANY(:ids)"),
                {"revision": revision, "ids": list(ids)},
            )
            await session.execute(
                sa.text("INSERT INTO queue (topic, subject) SELECT 'index', unnest(CAST(:ids AS text[]))"),
                {"ids": [str(one) for one in ids]},
            )
        started = time.perf_counter()

        async def lane() -> None:
            while await documents.step(engines):
                pass

        await asyncio.gather(lane(), lane())
        return len(ids) / (time.perf_counter() - started)

    pair = Pair([], [])
    async with bare_bulk(stand) as limit:
        for number in range(INDEX_BLOCKS * 2 + 1):
            ids = stand.ids[number * part : (number + 1) * part]
            order = (ours, limit) if number % 2 == 0 else (limit, ours)
            for one in order:
                rate = await one(ids, next(revisions))
                if number:  # The first block warms both up.
                    (pair.ours if one is ours else pair.limit).append(rate)
    return [figure("B5", pair, median, unit="documents/s", objects=size, target=">= 0.85")]


def _concrete(wire: Wire, alias: str) -> tuple[dict[str, Any], dict[str, Any]]:
    ((_, found),) = msgspec.json.decode(wire.send("GET", f"/{alias}")[1]).items()
    kept = {
        name: value
        for name, value in found["settings"]["index"].items()
        if name in {"number_of_shards", "auto_expand_replicas", "refresh_interval", "analysis", "similarity"}
    }
    return {"index": kept}, found["mappings"]

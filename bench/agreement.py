"""DIFF: documents deleted, altered and added by hand are found and mended exactly, each by its id, in time."""

import random
import time
from uuid import UUID, uuid4

import httpx2

from bench.measure import Figure, once
from bench.stand import Stand, say
from catalog.sync import comparing, mending
from catalog.sync.comparing import Kind, Sides
from indexer import documents

DELETED, ALTERED, ADDED = 50, 30, 20
SECONDS_MAX = 60


async def by_hand(stand: Stand) -> list[Figure]:
    """Spoil a hundred documents of the whole index, find them, mend them, and look again."""
    say("DIFF what was done to the index by hand")
    sides = stand.engines.sides()
    assert await _found(sides) == {}
    expected = await _spoil(stand)
    started = time.perf_counter()
    found = [one async for slice_ in comparing.differences(sides) for one in slice_.differences]
    took = time.perf_counter() - started
    assert {one.id: one.kind for one in found} == expected
    await mending.write_anew(sides.database, found)
    await mending.remove(sides, found)
    while await documents.step(stand.engines):
        pass
    await stand.engines.index.refresh()
    mended = time.perf_counter() - started
    assert await _found(sides) == {}
    started = time.perf_counter()
    assert await _found(stand.engines.sides(full=True)) == {}
    full = time.perf_counter() - started
    note = f"each of {len(expected)} named; mended after {mended:.1f} s; a full look takes {full:.1f} s"
    return [once("DIFF", took, SECONDS_MAX, unit="s", objects=len(stand.ids), note=note)]


async def _found(sides: Sides) -> dict[str, Kind]:
    return {one.id: one.kind async for slice_ in comparing.differences(sides) for one in slice_.differences}


async def _spoil(stand: Stand) -> dict[str, Kind]:
    chosen: list[UUID] = random.Random(7).sample(stand.ids, DELETED + ALTERED)
    deleted, altered = chosen[:DELETED], chosen[DELETED:]
    added = [uuid4() for _ in range(ADDED)]
    url = f"{str(stand.settings.search_url).rstrip('/')}/{stand.settings.search_index}"
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        asked = [
            *[client.delete(f"/_doc/{one}") for one in deleted],
            *[client.post(f"/_update/{one}", json={"doc": {"title": "By hand"}}) for one in altered],
            *[client.put(f"/_doc/{one}", json={"id": str(one), "title": "By hand"}) for one in added],
        ]
        for one in asked:
            (await one).raise_for_status()
    await stand.engines.index.refresh()
    wrong = [*((one, Kind.MISSING) for one in deleted), *((one, Kind.ALTERED) for one in altered)]
    return {str(one): kind for one, kind in [*wrong, *((one, Kind.EXTRA) for one in added)]}

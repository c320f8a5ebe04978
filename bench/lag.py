"""LAG: from the moment a store has taken bytes until a search finds the object by them, told by the store alone."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from urllib.parse import urlsplit

import msgspec

from bench.corpus import Corpus
from bench.measure import Figure, median, once, quantile
from bench.stand import Stand, Wire, say

PUTS_A_SECOND, SECONDS = 20, 30
PUTTERS = 4
LOOKED_EVERY_SECONDS = 0.02
FOUND_SECONDS_MAX = 60.0
SECONDS_MAX = 5.0
CONTENT = b"depth,pH\n10,6.4\n"


class _Ticket(msgspec.Struct):
    url: str
    headers: dict[str, str]


class _Registered(msgspec.Struct):
    id: str
    uploads: list[_Ticket]


class _Hit(msgspec.Struct):
    id: str = msgspec.field(name="_id")


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class _Answer(msgspec.Struct):
    hits: _Hits


async def event_to_searchable(stand: Stand) -> list[Figure]:
    """Bring bytes at a steady rate and see when each object is found under the stage that only lying bytes have."""
    say("LAG from a store's event to a search that finds it")
    made = await asyncio.to_thread(_register, stand, PUTS_A_SECOND * SECONDS)
    # The documents of the registrations are no part of it.
    await asyncio.sleep(SECONDS_MAX)
    put_at: dict[str, float] = {}
    with ThreadPoolExecutor(PUTTERS + 1) as pool:
        began = time.perf_counter()
        looking = pool.submit(_look, stand, made, began + SECONDS + FOUND_SECONDS_MAX)
        bringing = [pool.submit(_bring, made, number, began, put_at) for number in range(PUTTERS)]
        for one in bringing:
            await asyncio.wrap_future(one)
        found_at = await asyncio.wrap_future(looking)
    assert len(found_at) == len(made), f"{len(made) - len(found_at)} were not found in {FOUND_SECONDS_MAX:.0f} s"
    seconds = [found_at[one.id] - put_at[one.id] for one in made]
    p95 = quantile(seconds, 0.95)
    refresh = stand.settings.search_refresh.total_seconds()
    note = (
        f"{PUTS_A_SECOND}/s for {SECONDS} s; p50 {median(seconds):.2f} s, p99 {quantile(seconds, 0.99):.2f} s;"
        f" the index shows what is new every {refresh:.1f} s"
    )
    return [once("LAG.p95", p95, SECONDS_MAX, unit="s", objects=len(stand.ids), note=note)]


def _register(stand: Stand, count: int) -> list[_Registered]:
    """Register objects of one file each, whose bytes are still to come."""
    bearer = {"Authorization": f"Bearer {stand.tokens[0]}", "Content-Type": "application/json"}
    wire, made = Wire(str(stand.settings.public_url), bearer), []
    files = [{"path": "soil.csv", "size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}]
    for one in islice(Corpus(10_000, seed=17).samples(), count):
        status, told = wire.send("POST", "/api/objects", msgspec.json.encode({**one.body, "files": files}))
        assert status == 201, told[:500]
        made.append(msgspec.json.decode(told, type=_Registered))
    return made


def _bring(made: Sequence[_Registered], number: int, began: float, put_at: dict[str, float]) -> None:
    """Put every so many-th file when its time has come, and note when the store had it."""
    first = urlsplit(made[0].uploads[0].url)
    wire = Wire(f"{first.scheme}://{first.netloc}")
    for place in range(number, len(made), PUTTERS):
        time.sleep(max(0.0, began + place / PUTS_A_SECOND - time.perf_counter()))
        (ticket,) = made[place].uploads
        link = urlsplit(ticket.url)
        status, told = wire.send("PUT", f"{link.path}?{link.query}", CONTENT, **ticket.headers)
        put_at[made[place].id] = time.perf_counter()
        assert status == 200, told[:500]


def _look(stand: Stand, made: Sequence[_Registered], until: float) -> dict[str, float]:
    """Ask the engine again and again which of them are found with bytes that lie there, and note when each was."""
    wire = Wire(str(stand.settings.search_url), {"Content-Type": "application/json"})
    path = f"/{stand.settings.search_index}/_search"
    left = {one.id for one in made}
    found: dict[str, float] = {}
    while left and time.perf_counter() < until:
        filters = [{"ids": {"values": sorted(left)}}, {"exists": {"field": "stage"}}]
        body = {"size": len(made), "_source": False, "query": {"bool": {"filter": filters}}}
        status, told = wire.send("POST", path, msgspec.json.encode(body))
        assert status == 200, told[:500]
        fresh = {hit.id for hit in msgspec.json.decode(told, type=_Answer).hits.hits}
        found |= dict.fromkeys(fresh, time.perf_counter())
        left -= fresh
        time.sleep(LOOKED_EVERY_SECONDS)
    return found

"""REBUILD: what somebody who searches notices of an index that is built anew, while others write."""

import asyncio
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import urlencode

import msgspec

from bench.corpus import Corpus
from bench.measure import Figure, median, quantile
from bench.searches import FACETS, LIMIT, QUESTIONS
from bench.stand import Stand, Wire, say
from catalog.search import concrete
from catalog.sync import comparing, rebuilding
from catalog.sync.tables import UNFINISHED, Rebuild, State

SEARCHES_A_SECOND, WRITES_A_SECOND = 50, 100
ASKERS = 4
WRITTEN_AT_ONCE = 50
PHASE_SECONDS = 20.0
TIMES_MAX = 2.0


class _Page(msgspec.Struct):
    hits: list[msgspec.Raw]


@dataclass
class Noticed:
    """What those who search have met."""

    milliseconds: list[float] = field(default_factory=list)
    errors: int = 0
    empty: int = 0

    def p(self, share: float) -> float:
        """Return the time that this share of the answers took at most."""
        return quantile(self.milliseconds, share)


async def noticed(stand: Stand) -> list[Figure]:
    """Search at a steady rate: alone, while others write, and while others write and the index is built anew."""
    say("REBUILD searches and writes while the index is built anew")
    texts = await asyncio.to_thread(_answered, stand)
    alone = await _phase(stand, texts, PHASE_SECONDS, writing=False)
    written = await _phase(stand, texts, PHASE_SECONDS, writing=True)
    size = await concrete.size(stand.engines.index)
    async with stand.engines.database.transaction() as session:
        await rebuilding.begin(session, version=stand.engines.index.shape.version, why="measured")
    began = time.perf_counter()
    beside = await _phase(stand, texts, None, writing=True)
    took = time.perf_counter() - began
    done = await _present(stand)
    assert done.state == State.KEPT, rebuilding.told(done)
    await _settle(stand)
    wrong = [await _wrong(stand, name) for name in (done.new, done.old)]
    async with stand.engines.database.transaction() as session:
        await rebuilding.finish(session)
    ratio = round(beside.p(0.99) / alone.p(0.99), 3)
    note = (
        f"{len(beside.milliseconds):,} searches in {took:.0f} s, {beside.errors} errors, {beside.empty} empty pages;"
        f" p50 {median(alone.milliseconds):.1f} ms alone, {median(written.milliseconds):.1f} beside writes,"
        f" {median(beside.milliseconds):.1f} beside both; p99 beside writes {written.p(0.99):.1f} ms;"
        f" filled in {done.seconds:.0f} s, {done.filled / done.seconds:,.0f} objects/s, {size[1] / 1e6:.0f} MB;"
        f" {wrong[0]} and {wrong[1]} documents of new and old differ"
    )
    limit = alone.p(0.99)
    return [
        Figure(
            *("REBUILD.p99", ratio, (ratio, ratio), round(beside.p(0.99), 2), round(limit, 2), "ms", len(stand.ids)),
            target=f"<= {TIMES_MAX:.2f}, 0 errors, 0 empty pages",
            note=note,
        )
    ]


def _path(text: str) -> str:
    return "/api/search?" + urlencode({"q": text, "facet": FACETS, "limit": LIMIT}, doseq=True)


def _wire(stand: Stand) -> Wire:
    return Wire(str(stand.settings.public_url), {"Authorization": f"Bearer {stand.tokens[0]}"})


def _answered(stand: Stand) -> list[str]:
    """Return the questions to which there is an answer."""
    wire, texts = _wire(stand), []
    for text in stand.corpus.questions(QUESTIONS):
        status, body = wire.send("GET", _path(text))
        assert status == 200, body[:500]
        if msgspec.json.decode(body, type=_Page).hits:
            texts.append(text)
    return texts


async def _phase(stand: Stand, texts: Sequence[str], seconds: float | None, *, writing: bool) -> Noticed:
    """Search for so long, or until a rebuild is over."""
    over = threading.Event()
    with ThreadPoolExecutor(ASKERS + 1) as pool:
        asking = [pool.submit(_ask, stand, texts, number, over) for number in range(ASKERS)]
        writer = pool.submit(_write, stand, over) if writing else None
        try:
            if seconds is not None:
                await asyncio.sleep(seconds)
            else:
                while State((await _present(stand)).state) in {*UNFINISHED, State.SWAPPING}:  # noqa: ASYNC110 - the indexer does it.
                    await asyncio.sleep(0.2)
                # What is met just after the swap counts, too.
                await asyncio.sleep(5)
        finally:
            over.set()
        found = [one.result() for one in asking]
        if writer is not None:
            writer.result()
    return Noticed(
        [took for one in found for took in one.milliseconds],
        sum(one.errors for one in found),
        sum(one.empty for one in found),
    )


def _ask(stand: Stand, texts: Sequence[str], number: int, over: threading.Event) -> Noticed:
    wire, chosen, noticed = _wire(stand), random.Random(number), Noticed()
    step = ASKERS / SEARCHES_A_SECOND
    due = time.perf_counter() + step * number / ASKERS
    while not over.is_set():
        time.sleep(max(0.0, due - time.perf_counter()))
        status, body = wire.send("GET", _path(chosen.choice(texts)))
        # From when it was due: whoever has to wait for a slow answer asks later, and would not be counted.
        noticed.milliseconds.append((time.perf_counter() - due) * 1000)
        if status != 200:
            noticed.errors += 1
        elif not msgspec.json.decode(body, type=_Page).hits:
            noticed.empty += 1
        due += step
    return noticed


_more = Corpus(1_000_000, seed=11).samples()


def _write(stand: Stand, over: threading.Event) -> None:
    wire, due = _wire(stand), time.perf_counter()
    while not over.is_set():
        time.sleep(max(0.0, due - time.perf_counter()))
        body = b"\n".join(msgspec.json.encode(one.body) for one in islice(_more, WRITTEN_AT_ONCE))
        status, told = wire.send("POST", "/api/bulk/objects", body, Content_Type="application/x-ndjson")
        assert (status, told.count(b'"status":"created"')) == (200, WRITTEN_AT_ONCE), told[:500]
        due += WRITTEN_AT_ONCE / WRITES_A_SECOND


async def _present(stand: Stand) -> Rebuild:
    async with stand.engines.database.transaction() as session:
        one = await rebuilding.latest(session)
    assert one is not None
    return one


async def _settle(stand: Stand) -> None:
    """Return when everything that was written is in the index."""
    waiting = "SELECT 1 FROM queue WHERE topic = 'index' LIMIT 1"
    with suppress(TimeoutError):
        async with asyncio.timeout(60):
            while await stand.engines.database.rows(waiting, {}):  # noqa: ASYNC110 - as above.
                await asyncio.sleep(0.2)


async def _wrong(stand: Stand, name: str | None) -> int:
    assert name is not None
    engines = stand.engines
    index = engines.index.beside(concrete.own_alias(name))
    await index.refresh()
    sides = comparing.Sides(engines.database, index, engines.placement.prefix)
    return sum([len(one.differences) async for one in comparing.differences(sides)])

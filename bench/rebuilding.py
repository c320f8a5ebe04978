"""REBUILD and B11: what those who search notice of an index that is built anew beside writes, and how fast it is."""

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
from bench.measure import Figure, median, once, quantile
from bench.pipeline import bare_bulk
from bench.searches import FACETS, LIMIT, QUESTIONS
from bench.stand import Stand, Wire, say
from catalog.search import concrete
from catalog.sync import comparing, rebuilding
from catalog.sync.tables import UNFINISHED, Rebuild, State

SEARCHES_A_SECOND, SEARCHES_A_SECOND_FEW, WRITES_A_SECOND = 50, 20, 100
LIMIT_OBJECTS = 2_000
ASKERS = 4
WRITTEN_AT_ONCE = 50
WARM_SECONDS, PHASE_SECONDS = 20.0, 60.0
MERGED_SECONDS_MAX = 180.0
TIMES_MAX = 2.0


@dataclass(frozen=True)
class Load:
    """What others ask, and write, in a second."""

    searches: int
    writes: int = 0

    @property
    def searching(self) -> "Load":
        """The same searches, and nothing written."""
        return Load(self.searches)


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


@dataclass(frozen=True)
class _Live:
    """What was noticed of a rebuild: of searches alone, beside writes, beside writes and the rebuild."""

    alone: Noticed
    written: Noticed
    beside: Noticed
    rebuild: Rebuild
    note: str

    @property
    def rate(self) -> float:
        """How many objects a second were filled."""
        return self.rebuild.filled / self.rebuild.seconds

    def slowed(self, name: str, stand: Stand) -> Figure:
        """Return how much longer the slowest searches took."""
        ours, limit = self.beside.p(0.99), self.alone.p(0.99)
        return once(
            *(name, ours, round(limit, 2)),
            unit="ms",
            objects=len(stand.ids),
            note=self.note,
            target=f"<= {TIMES_MAX:.2f}, 0 errors, 0 empty pages",
        )


async def noticed(stand: Stand) -> list[Figure]:
    """REBUILD: what searches notice where there are many, beside many writes."""
    live = await _measured(stand, Load(SEARCHES_A_SECOND, WRITES_A_SECOND))
    return [live.slowed("REBUILD.p99", stand)]


async def live(stand: Stand) -> list[Figure]:
    """B11: how fast an index is built anew beside some searches and many writes, and what the searches notice."""
    async with bare_bulk(stand) as limit:
        rates = [await limit(stand.ids[: LIMIT_OBJECTS * turn], turn) for turn in range(1, 3)]
    live = await _measured(stand, Load(SEARCHES_A_SECOND_FEW, WRITES_A_SECOND))
    return [
        once(
            *("B11.rate", live.rate, round(rates[-1], 2)),
            unit="objects/s",
            objects=len(stand.ids),
            note="the engine's own bulk is measured with nothing beside it",
            target=">= 0.70",
        ),
        live.slowed("B11.p99", stand),
    ]


async def _measured(stand: Stand, load: Load) -> _Live:
    """Search at a steady rate: alone, while others write, and while others write and the index is built anew."""
    say(f"{load.searches} searches and {load.writes} writes a second while the index is built anew")
    texts = await asyncio.to_thread(_answered, stand)
    # An index that was filled in one go is merged once it is written again, which is the filling's doing.
    await _phase(stand, texts, WARM_SECONDS, load)
    await _merged(stand)
    alone = await _phase(stand, texts, PHASE_SECONDS, load.searching)
    written = await _phase(stand, texts, PHASE_SECONDS, load)
    size = await concrete.size(stand.engines.index)
    async with stand.engines.database.transaction() as session:
        await rebuilding.begin(session, version=stand.engines.index.shape.version, why="measured")
    began = time.perf_counter()
    beside = await _phase(stand, texts, None, load)
    took = time.perf_counter() - began
    done = await _present(stand)
    assert done.state == State.KEPT, rebuilding.told(done)
    await _settle(stand)
    wrong = [await _wrong(stand, name) for name in (done.new, done.old)]
    async with stand.engines.database.transaction() as session:
        await rebuilding.finish(session)
    note = (
        f"{len(beside.milliseconds):,} searches in {took:.0f} s, {beside.errors} errors, {beside.empty} empty pages;"
        f" p50 {median(alone.milliseconds):.1f} ms alone, {median(written.milliseconds):.1f} beside writes,"
        f" {median(beside.milliseconds):.1f} beside both; p99 beside writes {written.p(0.99):.1f} ms;"
        f" filled in {done.seconds:.0f} s, {done.filled / done.seconds:,.0f} objects/s, {size[1] / 1e6:.0f} MB;"
        f" {wrong[0]} and {wrong[1]} documents of new and old differ"
    )
    return _Live(alone, written, beside, done, note)


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


async def _phase(stand: Stand, texts: Sequence[str], seconds: float | None, load: Load) -> Noticed:
    """Let others ask and write for so long, or until a rebuild is over; return what those who ask have met."""
    over = threading.Event()
    with ThreadPoolExecutor(ASKERS + 1) as pool:
        asking = [pool.submit(_ask, stand, texts, number, load.searches, over) for number in range(ASKERS)]
        writer = pool.submit(_write, stand, load.writes, over) if load.writes else None
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


def _ask(stand: Stand, texts: Sequence[str], number: int, a_second: int, over: threading.Event) -> Noticed:
    wire, chosen, noticed = _wire(stand), random.Random(number), Noticed()
    step = ASKERS / a_second
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


def _write(stand: Stand, a_second: int, over: threading.Event) -> None:
    wire, due = _wire(stand), time.perf_counter()
    while not over.is_set():
        time.sleep(max(0.0, due - time.perf_counter()))
        body = b"\n".join(msgspec.json.encode(one.body) for one in islice(_more, WRITTEN_AT_ONCE))
        status, told = wire.send("POST", "/api/bulk/objects", body, Content_Type="application/x-ndjson")
        assert (status, told.count(b'"status":"created"')) == (200, WRITTEN_AT_ONCE), told[:500]
        due += WRITTEN_AT_ONCE / a_second


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


async def _merged(stand: Stand) -> None:
    """Return when the engine has merged nothing for three seconds."""
    calm = 0
    async with asyncio.timeout(MERGED_SECONDS_MAX):
        while calm < 3:
            answer = await stand.engines.index.told("GET", "/_stats/merge")
            calm = 0 if msgspec.json.decode(answer)["_all"]["total"]["merges"]["current"] else calm + 1
            await asyncio.sleep(1)


async def _wrong(stand: Stand, name: str | None) -> int:
    assert name is not None
    engines = stand.engines
    index = engines.index.beside(concrete.own_alias(name))
    await index.refresh()
    sides = comparing.Sides(engines.database, index, engines.placement.prefix)
    return sum([len(one.differences) async for one in comparing.differences(sides)])

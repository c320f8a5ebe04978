"""PEER: the same objects and questions asked of us and of stac-fastapi-opensearch, on the same engine, in one run.

Before anything is timed, both have to give the same hits for every question.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, islice
from typing import Any

import msgspec
import sqlalchemy as sa

from bench import searches, stac
from bench.corpus import LICENCES, Corpus, Sample
from bench.measure import Figure, Pair, figure, interleaved, median, quantile, timed
from bench.stand import Stand, Wire, queue_all, say
from catalog.access import principals
from catalog.access.audience import Role, user_token
from catalog.web.state import FACETS, TREES

LIMIT = 20
QUESTIONS_OF_A_KIND = 60
QUESTIONS_A_BLOCK = 60
TEXTS = 120
LATENCY_ROUNDS = 10
ROUNDS_OF_A_KIND = 4
THROUGHPUT_ROUNDS = 8
CHUNK = 1_000
BULK_ROUNDS = 6
# What is registered here belongs to an organization of its own, so that each block can be counted.
ORGANIZATION = "bulk"
KINDS = ("model", "training-dataset", "sensor-blob")
# The corpus comes into the database in one moment; it is spread over a year, so that there are periods to ask for.
BEGAN, SPREAD = datetime(2025, 1, 1, tzinfo=UTC), timedelta(days=365)
WAIT_SECONDS_MAX = 900
LOOK_SECONDS = 0.05

Asked = dict[str, Any]
Ask = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Alike:
    """One question as the catalog and as the peer takes it."""

    ours: Asked
    theirs: Asked


@dataclass(frozen=True, slots=True)
class Found:
    """What either answered: how many there are, which are shown, and how long the answer is."""

    total: int
    ids: list[str]
    size: int


@dataclass(frozen=True, slots=True)
class Sides:
    """Both, and who asks ours: somebody with a role in each organization, so that rights decide and show all."""

    stand: Stand
    theirs_url: str
    token: str

    def ours(self) -> Wire:
        """Return a connection to the catalog."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        return Wire(str(self.stand.settings.public_url), headers)

    def theirs(self) -> Wire:
        """Return a connection to the peer."""
        return Wire(self.theirs_url, {"Content-Type": "application/json"})


async def beside_a_peer(stand: Stand) -> list[Figure]:
    """Give the peer the same objects, see that the answers are the same, and measure searching and registering."""
    with stac.peer(stand) as url:
        sides = Sides(stand, url, await _asker(stand))
        step = await _spread(stand)
        await asyncio.to_thread(_fill, sides, step)
        by_kind = questions(Corpus(len(stand.ids)).samples(), len(stand.ids))
        asked = [one for kind in by_kind.values() for one in kind]
        texts = [Alike({"q": one, "limit": LIMIT}, {"q": [one], "limit": LIMIT}) for one in _words(stand.corpus)]
        same = await asyncio.to_thread(_same_answers, sides, asked)
        overlap = await asyncio.to_thread(_overlapping_answers, sides, texts)
        counted = [Alike(one.ours | {"facet": list(FACETS), "tree": list(TREES)}, one.theirs) for one in asked]
        faceted = f"ours counts the {len(FACETS)} facets of the search page too, theirs none"
        return [
            *await _latency(sides, "search", asked, target="<= 1.00", note=same),
            *[(await _latency(sides, name, of_kind, rounds=ROUNDS_OF_A_KIND))[0] for name, of_kind in by_kind.items()],
            *await _latency(sides, "facets", counted, note=faceted),
            *await _latency(sides, "text", texts, note=overlap),
            await _throughput(sides, asked, same),
            *await _bulk(sides),
        ]


async def _asker(stand: Stand) -> str:
    async with stand.engines.database.transaction() as session:
        caller, token = await principals.create_token(session, name="sees-all", role=Role.READER)
        for scope in (ORGANIZATION, *(f"org-{number}" for number in range(5))):
            await session.execute(
                sa.text("INSERT INTO membership (member, scope, role) VALUES (:member, :scope, 'curator')"),
                {"member": user_token(caller.must_be_known()), "scope": scope},
            )
    return token


async def _spread(stand: Stand) -> timedelta:
    """Spread the corpus over a year in whole seconds, see it indexed anew, and return what is between two objects."""
    step = SPREAD // len(stand.ids) // timedelta(seconds=1) * timedelta(seconds=1)
    async with stand.engines.database.transaction() as session:
        (there,) = (await session.execute(sa.text("SELECT count(*) FROM object"))).one()
        assert there == len(stand.ids), "PEER needs the corpus as it was loaded: run it by itself"
        await session.execute(
            sa.text(
                "UPDATE object SET created_at = :began + place * :step, revision = revision + 1"
                " FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM object) AS numbered"
                " WHERE object.id = numbered.id"
            ),
            {"began": BEGAN, "step": step},
        )
    await queue_all(stand.engines)
    ends = time.monotonic() + WAIT_SECONDS_MAX
    while await _waiting(stand):
        assert time.monotonic() < ends, "the indexer does not come to an end"
        await asyncio.sleep(0.2)
    return step


async def _waiting(stand: Stand) -> int:
    async with stand.engines.database.transaction() as session:
        (waiting,) = (await session.execute(sa.text("SELECT count(*) FROM queue WHERE topic = 'index'"))).one()
    return int(waiting)


def _fill(sides: Sides, step: timedelta) -> None:
    say("PEER giving the peer the same objects")
    wire, stand = sides.theirs(), sides.stand
    # The same bodies as the stand has loaded, with the ids that it gave them.
    samples = Corpus(len(stand.ids)).samples()
    items = (
        stac.item_of(Sample(known, one.owner, one.body), BEGAN + place * step)
        for place, (one, known) in enumerate(zip(samples, stand.ids, strict=True))
    )
    while chunk := list(islice(items, CHUNK)):
        _registered_there(wire, stac.bulk_body(chunk), len(chunk))
    engine = Wire(str(stand.settings.search_url))
    for index in (stand.settings.search_index, f"items_{stac.COLLECTION}*"):
        # As an index looks that has lain for a while, with nothing to merge while it is measured.
        for path in ("_refresh", "_forcemerge?max_num_segments=1", "_refresh"):
            status, told = engine.send("POST", f"/{index}/{path}")
            assert status == 200, told


def _registered_there(wire: Wire, body: bytes, most: int) -> None:
    status, told = wire.send("POST", f"/collections/{stac.COLLECTION}/bulk_items", body)
    assert status in {200, 201}, told[:500]
    assert msgspec.json.decode(told)["success"] == most, told[:500]


def questions(samples: Iterable[Sample], size: int) -> dict[str, list[Alike]]:
    """Return what both can be asked with one answer, newest first: by period, by equal properties, and in CQL2."""
    chosen = random.Random(9)
    some = chosen.sample(list(islice(samples, size)), QUESTIONS_OF_A_KIND)
    return {
        "period": [_of_period(chosen) for _ in some],
        "equal": [_of_keyword(sample) for sample in some],
        "cql2": [_of_filter(sample, chosen) for sample in some],
    }


def _of_period(chosen: random.Random) -> Alike:
    first = BEGAN + timedelta(days=chosen.randrange(SPREAD.days - 60))
    last = first + timedelta(days=chosen.randrange(60))
    return _alike(
        {"created_at": [f"{first:%Y-%m-%d}..{last:%Y-%m-%d}"]},
        {"datetime": f"{first:%Y-%m-%dT00:00:00Z}/{last:%Y-%m-%dT23:59:59Z}"},
    )


def _of_keyword(sample: Sample) -> Alike:
    """Ask by equality in the quickest way that each has: parameters here, the query extension there."""
    kind, keyword = sample.body["kind"], sample.body["keywords"][0]
    return _alike(
        {"kind": [kind], "keyword": [keyword]}, {"query": {"kind": {"eq": kind}, "keywords": {"eq": keyword}}}
    )


def _of_filter(sample: Sample, chosen: random.Random) -> Alike:
    licences = chosen.sample(LICENCES, 2)
    project, kinds = sample.body["project"], chosen.sample(KINDS, 2)

    def either(name: str, values: Sequence[str]) -> Asked:
        return {"op": "or", "args": [_equal(name, value) for value in values]}

    def every(licence: str) -> Asked:
        return {"op": "and", "args": [_equal("project", project), either("kind", kinds), either(licence, licences)]}

    return _alike({"filter": every("licence")}, {"filter": every("license"), "filter-lang": "cql2-json"})


def _equal(name: str, value: str) -> Asked:
    return {"op": "=", "args": [{"property": name}, value]}


def _alike(ours: Asked, theirs: Asked) -> Alike:
    # Newest first is the order that the peer's index is kept in; it asks for no other unless told to.
    return Alike(
        {**ours, "sort": "newest", "limit": LIMIT}, {**theirs, "collections": [stac.COLLECTION], "limit": LIMIT}
    )


def _words(corpus: Corpus) -> list[str]:
    return [text for text in corpus.questions(TEXTS * 3) if " " not in text][:TEXTS]


def _find(wire: Wire, asked: Asked) -> Found:
    status, told = wire.send("POST", "/api/search", msgspec.json.encode(asked))
    assert status == 200, told[:500]
    answer = msgspec.json.decode(told)
    return Found(answer["total"], [one["id"] for one in answer["hits"]], len(told))


def _find_there(wire: Wire, asked: Asked) -> Found:
    status, told = wire.send("POST", "/search", msgspec.json.encode(asked))
    assert status == 200, told[:500]
    answer = msgspec.json.decode(told)
    return Found(answer["numberMatched"], [one["id"] for one in answer["features"]], len(told))


def _same_answers(sides: Sides, asked: Sequence[Alike]) -> str:
    """Assert that both find the same in the same order, and return how much that is."""
    ours, theirs = sides.ours(), sides.theirs()
    sizes: list[tuple[int, int]] = []
    shown: list[int] = []
    for one in asked:
        here, there = _find(ours, one.ours), _find_there(theirs, one.theirs)
        assert (here.total, here.ids) == (there.total, there.ids), (one, here, there)
        sizes.append((here.size, there.size))
        shown.append(len(here.ids))
    assert median(shown) > 0, "most questions find nothing"
    sent, received = (statistics.mean(values) / 1000 for values in zip(*sizes, strict=True))
    note = f"{len(asked)} questions, {statistics.mean(shown):.1f} hits each, the same from both"
    return f"{note}; {sent:.0f} kB an answer of ours, {received:.0f} kB of theirs"


def _overlapping_answers(sides: Sides, texts: Sequence[Alike]) -> str:
    """Assert that the peer finds what we find by the same words, and return how much more it finds.

    It takes any word, and other words within two letters of it, and has no other order than by date.
    """
    ours, theirs = sides.ours(), sides.theirs()
    totals: list[tuple[int, int]] = []
    for one in texts:
        here, there = _find(ours, one.ours), _find_there(theirs, one.theirs)
        # Names of files and creators are searched by us alone: what matches there is no question to the peer.
        described = _find(ours, one.ours | {"q": f"description:{one.ours['q']}"})
        within = _find_there(theirs, one.theirs | {"ids": described.ids})
        assert sorted(within.ids) == sorted(described.ids), (one, described, within)
        totals.append((here.total, there.total))
    here_median, there_median = (median(values) for values in zip(*totals, strict=True))
    return f"not the same answers: a word finds {here_median:,.0f} objects here, {there_median:,.0f} similar ones there"


def _asking(wire: Wire, path: str, bodies: Sequence[bytes]) -> Callable[[int], None]:
    def ask(number: int) -> None:
        status, told = wire.send("POST", path, bodies[number])
        assert status == 200, told[:500]

    return ask


def _both(sides: Sides, asked: Sequence[Alike]) -> tuple[Callable[[], Callable[[int], None]], ...]:
    """Return what makes a client of ours, and one of theirs; a client asks the question of a number."""
    ours = [msgspec.json.encode(one.ours) for one in asked]
    theirs = [msgspec.json.encode(one.theirs) for one in asked]
    return (
        lambda: _asking(sides.ours(), "/api/search", ours),
        lambda: _asking(sides.theirs(), "/search", theirs),
    )


async def _latency(
    sides: Sides, name: str, asked: Sequence[Alike], *, rounds: int = LATENCY_ROUNDS, target: str = "", note: str = ""
) -> list[Figure]:
    say(f"PEER {name}")
    ours, theirs = (make() for make in _both(sides, asked))
    chosen = random.Random(1)

    def block(one: Callable[[int], None]) -> list[float]:
        return [timed(partial(one, number)) for number in chosen.choices(range(len(asked)), k=QUESTIONS_A_BLOCK)]

    pair = await asyncio.to_thread(interleaved, partial(block, ours), partial(block, theirs), rounds)
    size = len(sides.stand.ids)
    p99 = partial(quantile, share=0.99)
    return [
        figure(f"PEER.{name}-p50", pair, median, unit="ms", objects=size, target=target, note=note),
        figure(f"PEER.{name}-p99", pair, p99, unit="ms", objects=size, target=target),
    ]


async def _throughput(sides: Sides, asked: Sequence[Alike], note: str) -> Figure:
    say("PEER saturated")
    ours, theirs = _both(sides, asked)

    def client(make: Callable[[], Callable[[int], None]], number: int) -> Ask:
        ask, chosen = make(), random.Random(number)
        return lambda: ask(chosen.randrange(len(asked)))

    pair = await asyncio.to_thread(
        interleaved,
        partial(searches.saturated, partial(client, ours)),
        partial(searches.saturated, partial(client, theirs)),
        THROUGHPUT_ROUNDS,
    )
    size = len(sides.stand.ids)
    return figure("PEER.saturated", pair, median, unit="answers/s", objects=size, target=">= 1.00", note=note)


async def _bulk(sides: Sides) -> list[Figure]:
    """Register blocks of equal size with either, while the indexer works, and wait until a search finds all of each."""
    say("PEER bulk registration")
    stand = sides.stand
    more, numbers = Corpus(1_000_000, seed=17).samples(), count()
    headers = {"Authorization": f"Bearer {stand.tokens[0]}", "Content-Type": "application/x-ndjson"}
    registering, asking = Wire(str(stand.settings.public_url), headers), sides.ours()
    theirs = sides.theirs()
    accepted = Pair([], [])

    def block() -> tuple[str, list[Sample]]:
        project = f"{ORGANIZATION}/block-{next(numbers)}"
        taken = islice(more, CHUNK)
        return project, [Sample(one.id, one.owner, {**one.body, "project": project}) for one in taken]

    def ours() -> list[float]:
        project, samples = block()
        body = b"\n".join(msgspec.json.encode(one.body) for one in samples)
        started = time.perf_counter()
        status, told = registering.send("POST", "/api/bulk/objects", body)
        accepted.ours.append(CHUNK / (time.perf_counter() - started))
        assert (status, told.count(b'"status":"created"')) == (200, CHUNK), told[:500]
        _await_all(lambda: _find(asking, {"project": [project], "limit": 1}).total)
        return [CHUNK / (time.perf_counter() - started)]

    def limit() -> list[float]:
        project, samples = block()
        body = stac.bulk_body(stac.item_of(one, BEGAN + SPREAD) for one in samples)
        started = time.perf_counter()
        _registered_there(theirs, body, CHUNK)
        accepted.limit.append(CHUNK / (time.perf_counter() - started))
        asked = {"collections": [stac.COLLECTION], "query": {"project": {"eq": project}}, "limit": 1}
        _await_all(lambda: _find_there(theirs, asked).total)
        return [CHUNK / (time.perf_counter() - started)]

    searchable = await asyncio.to_thread(interleaved, ours, limit, BULK_ROUNDS)
    # The first of each is the round that is not measured.
    kept = Pair(accepted.ours[1:], accepted.limit[1:])
    size, unit, target = len(stand.ids), "objects/s", ">= 1.00"
    note = f"{CHUNK:,} a request; ours is then kept by the database, theirs by the engine"
    return [
        figure("PEER.bulk", kept, median, unit=unit, objects=size, target=target, note=note),
        figure("PEER.searchable", searchable, median, unit=unit, objects=size, target=target),
    ]


def _await_all(count_found: Callable[[], int]) -> None:
    ends = time.monotonic() + WAIT_SECONDS_MAX
    while count_found() < CHUNK:
        assert time.monotonic() < ends, "what was registered is not found"
        time.sleep(LOOK_SECONDS)

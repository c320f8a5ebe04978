"""B1, B2, SUGGEST, WORST: what searching costs over the engine alone, for one, for many, and beside the worst asked."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from urllib.parse import urlencode

import msgspec

from bench import worst
from bench.measure import Figure, figure, interleaved, median, quantile, timed
from bench.stand import Stand, Wire, say
from catalog.search import hints, query

FACETS = ("kind", "project", "organization", "licence", "year", "creator", "format", "quality")
LIMIT = 20
QUESTIONS = 500
QUESTIONS_A_BLOCK = 60
ROUNDS = 10
CLIENTS = 16
BLOCK_SECONDS = 4.0
SUGGEST_P95_MS_MAX = 50
# So often does somebody ask an ordinary question while another asks the worst that there are.
WORST_QUESTIONS = 300


class Asking:
    """The same questions as the catalog takes them and as the engine does, of somebody who sees some of it."""

    def __init__(self, stand: Stand, asker: int = 0) -> None:
        self._stand, self._asker = stand, asker
        self.texts = stand.corpus.questions(QUESTIONS)
        audience = stand.owners[asker].audience
        self._bodies = {
            text: msgspec.json.encode(query.body_of(query.Question(text=text, facets=FACETS, limit=LIMIT), audience))
            for text in self.texts
        }
        self._paths = {
            text: "/api/search?" + urlencode({"q": text, "facet": FACETS, "limit": LIMIT}, doseq=True)
            for text in self.texts
        }

    def ours(self) -> Callable[[str], None]:
        """Return what asks the catalog, over a connection of its own."""
        return _sending(self.catalog(), lambda text: ("GET", self._paths[text], None))

    def raw(self) -> Callable[[str], None]:
        """Return what asks the engine for the same, over a connection of its own."""
        path = f"/{self._stand.settings.search_index}/_search?allow_partial_search_results=false"
        return _sending(self.engine(), lambda text: ("POST", path, self._bodies[text]))

    def catalog(self) -> Wire:
        """Return a connection to the catalog."""
        headers = {"Authorization": f"Bearer {self._stand.tokens[self._asker]}"}
        return Wire(str(self._stand.settings.public_url), headers)

    def engine(self) -> Wire:
        """Return a connection to the engine."""
        return Wire(str(self._stand.settings.search_url), {"Content-Type": "application/json"})


def _sending(wire: Wire, request: Callable[[str], tuple[str, str, bytes | None]]) -> Callable[[str], None]:
    def send(text: str) -> None:
        status, body = wire.send(*request(text))
        assert status == 200, body[:500]

    return send


async def latency(stand: Stand) -> list[Figure]:
    """B1: text, eight facets, highlights, the permission filter and 20 hits with links, one client."""
    say("B1 search latency")
    asking, chosen = Asking(stand), random.Random(1)
    ours, raw = asking.ours(), asking.raw()

    def block(one: Callable[[str], None]) -> list[float]:
        return [timed(partial(one, text)) for text in chosen.sample(asking.texts, QUESTIONS_A_BLOCK)]

    pair = await asyncio.to_thread(interleaved, partial(block, ours), partial(block, raw), ROUNDS)
    size = len(stand.ids)
    return [
        figure("B1.p50", pair, median, unit="ms", objects=size, target="<= 1.15 at 200,000"),
        figure("B1.p99", pair, _p99, unit="ms", objects=size, target="<= 1.30"),
    ]


async def throughput(stand: Stand) -> list[Figure]:
    """B2: the same questions of sixteen clients at once, answers a second."""
    say("B2 search throughput")
    asking = Asking(stand)
    size = len(stand.ids)

    def client(make: Callable[[], Callable[[str], None]], number: int) -> Callable[[], None]:
        ask, chosen = make(), random.Random(number)
        return lambda: ask(chosen.choice(asking.texts))

    def block(make: Callable[[], Callable[[str], None]]) -> list[float]:
        return saturated(partial(client, make))

    pair = await asyncio.to_thread(interleaved, partial(block, asking.ours), partial(block, asking.raw))
    return [figure("B2", pair, median, unit="answers/s", objects=size, target=">= 0.70")]


def saturated(make: Callable[[int], Callable[[], None]]) -> list[float]:
    """Return the answers a second of sixteen clients; `make` returns what the client of that number does each time."""
    ends = time.perf_counter() + BLOCK_SECONDS
    answered = [0] * CLIENTS

    def client(number: int) -> None:
        ask = make(number)
        while time.perf_counter() < ends:
            ask()
            answered[number] += 1

    with ThreadPoolExecutor(CLIENTS) as pool:
        # What one of them raises is raised.
        list(pool.map(client, range(CLIENTS)))
    return [sum(answered) / BLOCK_SECONDS]


async def completion(stand: Stand) -> list[Figure]:
    """SUGGEST: what somebody may be typing, two letters on, beside the one request to the engine that it needs."""
    say("SUGGEST completion of what is typed")
    asking, chosen = Asking(stand), random.Random(2)
    words = [text.split()[-1] for text in asking.texts]
    typed = sorted({word[: chosen.randint(2, 5)] for word in words})
    audience = stand.owners[0].audience
    path = f"/{stand.settings.search_index}/_search?allow_partial_search_results=false"
    bodies = {}
    for text in typed:
        question = hints.going_on(text)
        assert question is not None, text
        bodies[text] = msgspec.json.encode(hints.begun(question, audience))
    ours = _sending(asking.catalog(), lambda text: ("GET", "/api/suggest?" + urlencode({"q": text}), None))
    raw = _sending(asking.engine(), lambda text: ("POST", path, bodies[text]))

    def block(one: Callable[[str], None]) -> list[float]:
        return [timed(partial(one, text)) for text in chosen.choices(typed, k=QUESTIONS_A_BLOCK)]

    pair = await asyncio.to_thread(interleaved, partial(block, ours), partial(block, raw), ROUNDS)
    p95 = partial(quantile, share=0.95)
    target = f"ours <= {SUGGEST_P95_MS_MAX} ms"
    return [
        figure("SUGGEST.p50", pair, median, unit="ms", objects=len(stand.ids)),
        figure("SUGGEST.p95", pair, p95, unit="ms", objects=len(stand.ids), target=target),
    ]


async def beside_the_worst(stand: Stand) -> list[Figure]:
    """WORST: ordinary questions while somebody else asks the worst, one after the other, against the same alone."""
    say("WORST ordinary questions beside the worst")
    asking, hostile = Asking(stand), Asking(stand, asker=1)
    ask = asking.ours()
    chosen = random.Random(4)
    asked: list[int] = []

    def block() -> list[float]:
        return [timed(partial(ask, text)) for text in chosen.choices(asking.texts, k=WORST_QUESTIONS // ROUNDS)]

    def beside() -> list[float]:
        over = threading.Event()

        def attack() -> int:
            wire, asked = hostile.catalog(), 0
            for one in cycle(worst.QUESTIONS):
                if over.is_set():
                    break
                status, told = wire.send("POST", "/api/search", one.body, Content_Type="application/json")
                assert status == one.answer, (one.name, status, told[:300])
                asked += 1
            return asked

        with ThreadPoolExecutor(1) as pool:
            attacking = pool.submit(attack)
            try:
                measured = block()
            finally:
                over.set()
            asked.append(attacking.result())
        return measured

    pair = await asyncio.to_thread(interleaved, beside, block, ROUNDS)
    note = f"{sum(asked)} of the worst were asked meanwhile, of {len(worst.QUESTIONS)} kinds"
    return [figure("WORST.p99", pair, _p99, unit="ms", objects=len(stand.ids), target="<= 2.00", note=note)]


def _p99(values: Sequence[float]) -> float:
    return quantile(values, 0.99)

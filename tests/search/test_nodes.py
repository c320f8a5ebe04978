"""Several nodes of one engine: asked in turn, one for another, and never for longer than a request may take."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest

from catalog.errors import Unavailable
from catalog.search import connection
from catalog.search.index import Index
from tests.faults.relay import Relay
from tests.search.conftest import Between, ask

# More than the time for which a request is asked again.
PATIENCE_SECONDS = 20


@pytest.fixture
async def relays(search_url: str) -> AsyncGenerator[list[Relay]]:
    """Two ways to the one engine, as if it were two nodes."""
    url = urlsplit(search_url)
    assert url.hostname is not None
    assert url.port is not None
    both = [Relay(url.hostname, url.port) for _ in range(2)]
    for relay in both:
        await relay.open()
    yield both
    for relay in both:
        relay.resume()
        await relay.close()


@pytest.fixture
async def nodes(index: Index, relays: list[Relay]) -> AsyncGenerator[Index]:
    """The test's own index, met through both."""
    async with AsyncExitStack() as ending:
        met = Index([f"http://127.0.0.1:{relay.port}" for relay in relays], index.alias)
        ending.push_async_callback(met.close)
        yield met


async def test_nodes_are_asked_in_turn(nodes: Index, relays: list[Relay]) -> None:
    asked = []
    for _ in range(4):
        before = [relay.asked_bytes for relay in relays]
        assert (await ask(nodes)).total == 1
        asked.append([relay.asked_bytes > was for relay, was in zip(relays, before, strict=True)])
    assert sorted(asked[:2]) == [[False, True], [True, False]]
    assert asked[2:] == asked[:2]


async def test_nobody_notices_a_node_that_refuses_and_for_a_while_it_is_let_alone(
    nodes: Index, relays: list[Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PASSED_OVER_SECONDS", 600.0)
    await ask(nodes)
    await ask(nodes)
    await relays[0].close()
    assert [(await ask(nodes)).total for _ in range(6)] == [1] * 6
    await relays[0].open()
    before = relays[0].asked_bytes
    assert [(await ask(nodes)).total for _ in range(4)] == [1] * 4
    assert relays[0].asked_bytes == before


async def test_a_node_is_asked_again_after_a_while(
    nodes: Index, relays: list[Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PASSED_OVER_SECONDS", 0.05)
    await relays[0].close()
    for _ in range(2):
        await ask(nodes)
    await relays[0].open()
    await asyncio.sleep(connection.PASSED_OVER_SECONDS)
    before = relays[0].asked_bytes
    assert [(await ask(nodes)).total for _ in range(2)] == [1, 1]
    assert relays[0].asked_bytes > before


async def test_requests_in_flight_when_a_node_drops_its_connections_are_answered_by_another(
    nodes: Index, relays: list[Relay]
) -> None:
    relays[0].pause()
    asking = [asyncio.create_task(ask(nodes)) for _ in range(6)]
    await asyncio.wait(asking, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    await relays[0].close()
    assert [found.total for found in await asyncio.gather(*asking)] == [1] * 6


async def test_a_node_that_hangs_is_noticed_and_another_one_answers_instead(
    nodes: Index, relays: list[Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(connection, "PASSED_OVER_SECONDS", 0.05)
    relays[0].pause()
    assert [found.total for found in await asyncio.gather(*(ask(nodes) for _ in range(6)))] == [1] * 6
    await asyncio.sleep(connection.PASSED_OVER_SECONDS)
    # Its time is over, but before it is asked anything it has to say a word.
    monkeypatch.setattr(connection, "SILENT_SECONDS", PATIENCE_SECONDS)
    assert [(await ask(nodes)).total for _ in range(2)] == [1, 1]
    relays[0].resume()
    await asyncio.sleep(connection.PASSED_OVER_SECONDS)
    await ask(nodes)
    await ask(nodes)
    before = relays[0].asked_bytes
    assert [(await ask(nodes)).total for _ in range(2)] == [1, 1]
    assert relays[0].asked_bytes > before


async def test_a_node_that_is_only_slow_is_asked_once(
    index: Index, between: Between, relays: list[Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENT_SECONDS", 0.1)

    def slowly(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if "_search" in path:
            time.sleep(1)
        return status, body

    between.rewrite = slowly
    nodes = Index([f"http://127.0.0.1:{relays[1].port}", between.url], index.alias)
    before = relays[1].asked_bytes
    assert (await ask(nodes)).total == 1
    assert relays[1].asked_bytes == before
    await nodes.close()


async def test_when_all_nodes_are_away_it_is_said_in_time(
    nodes: Index, relays: list[Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "AGREEING_SECONDS_MAX", 0.6)
    for relay in relays:
        await relay.close()
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"does not answer \(ClientConnectorError\)"):
        await ask(nodes)
    assert time.monotonic() - began < PATIENCE_SECONDS


async def test_a_node_that_cannot_answer_now_is_passed_over(
    index: Index, between: Between, relays: list[Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PASSED_OVER_SECONDS", 600.0)
    between.rewrite = lambda _path, _status, _body: (503, b"{}")
    nodes = Index([between.url, f"http://127.0.0.1:{relays[1].port}"], index.alias)
    assert [(await ask(nodes)).total for _ in range(4)] == [1] * 4
    assert len(between.sizes) == 1
    await nodes.close()


async def test_what_no_node_can_answer_while_they_agree_is_asked_again(index: Index, between: Between) -> None:
    refusals = [503, 503, 503]
    between.rewrite = lambda _path, status, body: (refusals.pop(), b"{}") if refusals else (status, body)
    nodes = Index([between.url, between.url], index.alias)
    assert (await ask(nodes)).total == 1
    assert (refusals, len(between.sizes)) == ([], 4)
    await nodes.close()

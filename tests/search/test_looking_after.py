"""The index comes into being once, with its mapping, and says what is wrong when it cannot be used."""

import asyncio
import logging
import socket
import subprocess
import sys
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from catalog.errors import CatalogError, Fault, Invalid, Unavailable
from catalog.search.document import MAPPING_VERSION, index_body
from catalog.search.index import EngineSays, Index, MappingChanged
from tests.search.conftest import Between, ask, entry, written

PROCESSES = 6


def refresh_of(engine: httpx2.Client, alias: str) -> str:
    (told,) = engine.get(f"/{alias}/_settings").json().values()
    interval: str = told["settings"]["index"]["refresh_interval"]
    return interval


async def test_an_index_is_created_once_under_a_name_of_its_mapping(absent: Index, engine: httpx2.Client) -> None:
    assert await absent.ensure() is True
    assert await absent.ensure() is False
    (name,) = engine.get(f"/{absent.alias}").json()
    assert name == f"{absent.alias}-{MAPPING_VERSION}"
    assert await absent.count() == 0
    assert refresh_of(engine, absent.alias) == "1000ms"


async def test_of_processes_that_create_at_once_one_does(absent: Index) -> None:
    others = [Index(absent._url, absent.alias) for _ in range(PROCESSES)]  # noqa: SLF001
    created = await asyncio.gather(*(other.ensure() for other in others))
    assert sorted(created) == [False] * (PROCESSES - 1) + [True]
    await asyncio.gather(*(other.close() for other in others))


async def test_an_operator_who_changes_the_refresh_interval_gets_it(absent: Index, engine: httpx2.Client) -> None:
    await absent.ensure()
    quick = Index(absent._url, absent.alias, timedelta(milliseconds=250))  # noqa: SLF001
    assert await quick.ensure() is False
    assert refresh_of(engine, absent.alias) == "250ms"
    await quick.close()


@pytest.mark.parametrize(
    ("status", "error"), [(400, EngineSays), (403, Unavailable), (503, Unavailable)], ids=["wrong", "forbidden", "busy"]
)
async def test_an_index_that_cannot_be_created_says_why(
    absent: Index, between: Between, status: int, error: type[CatalogError]
) -> None:
    told = b'{"error":{"type":"validation_exception","reason":"this cluster has the maximum of shards open"}}'
    between.refuse = lambda path, _body: (status, told) if path == f"/{absent.alias}-{MAPPING_VERSION}" else None
    through = Index(between.url, absent.alias)
    with pytest.raises(error) as refused:
        await through.ensure()
    said = refused.value.__cause__ or refused.value
    assert str(said) == "validation_exception: this cluster has the maximum of shards open"
    await through.close()


async def test_an_index_of_another_mapping_is_refused_with_the_way_out(absent: Index, engine: httpx2.Client) -> None:
    body: dict[str, Any] = index_body(refresh_interval="1s")
    body["mappings"]["_meta"]["version"] = "elsewhen"
    body["aliases"] = {absent.alias: {}}
    engine.put(f"/{absent.alias}-elsewhen", json=body).raise_for_status()
    with pytest.raises(MappingChanged) as changed:
        await absent.ensure()
    assert changed.value.detail == (
        f"Index '{absent.alias}-elsewhen' was made for mapping elsewhen, this version needs {MAPPING_VERSION}: run"
        " `catalog migrate`, which has it built anew beside this one."
    )


async def test_an_index_in_the_aliass_place_is_refused(absent: Index, engine: httpx2.Client) -> None:
    engine.put(f"/{absent.alias}").raise_for_status()
    with pytest.raises(CatalogError, match="is an index, not an alias"):
        await absent.ensure()


async def test_an_index_that_lost_its_alias_is_refused(absent: Index, engine: httpx2.Client) -> None:
    await absent.ensure()
    name = f"{absent.alias}-{MAPPING_VERSION}"
    engine.delete(f"/{name}/_alias/{absent.alias}").raise_for_status()
    with pytest.raises(CatalogError, match="exists without its alias"):
        await absent.ensure()
    engine.delete(f"/{name}").raise_for_status()


async def test_an_alias_of_several_indices_is_refused(index: Index, engine: httpx2.Client) -> None:
    engine.put(f"/{index.alias}-more", json={"aliases": {index.alias: {}}}).raise_for_status()
    with pytest.raises(CatalogError, match="points to several indices"):
        await index.ensure()


async def test_without_an_index_a_search_says_how_to_make_one(absent: Index) -> None:
    for attempt in (ask(absent, "soil"), absent.count(), absent.ping(), absent.refresh()):
        with pytest.raises(Unavailable) as away:
            await attempt
        assert away.value.detail == (
            f"There is no search index {absent.alias!r}: run `catalog migrate`, which creates it."
        )


async def test_ping_returns_when_searches_can_be_answered(index: Index) -> None:
    await index.ping()


async def test_dropping_what_is_not_there_is_no_fault(absent: Index) -> None:
    await absent.drop()


async def test_an_index_opens_again_after_it_was_closed(index: Index) -> None:
    await index.close()
    await index.close()
    assert await index.count() == 1


# An engine that does not answer


async def test_an_engine_that_is_away_is_unavailable() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        index = Index(f"http://127.0.0.1:{nobody.getsockname()[1]}", "objects")
        for attempt in (ask(index, "soil"), index.write([written(entry())]), index.ensure(), index.ping()):
            with pytest.raises(Unavailable, match=r"The search engine does not answer \(ClientConnectorError\)\."):
                await attempt
        await index.close()


async def test_an_engine_that_is_silent_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.search.index.FIND_SECONDS_MAX", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        index = Index(f"http://127.0.0.1:{silent.getsockname()[1]}", "objects")
        with pytest.raises(Unavailable, match=r"does not answer"):
            await ask(index, "soil")
        await index.close()


async def test_an_engine_that_comes_back_is_asked_again(index: Index, between: Between) -> None:
    through = Index(between.url, index.alias)
    between.rewrite = lambda _path, _status, _body: (503, b"{}")
    with pytest.raises(Unavailable):
        await ask(through)
    between.rewrite = lambda _path, status, body: (status, body)
    assert (await ask(through)).total == 1
    await through.close()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_an_engine_that_refuses_a_search_is_unavailable_and_its_words_stay_inside(
    behind: Index, between: Between, status: int
) -> None:
    told = b'{"error":{"type":"search_phase_execution_exception","reason":"on node 10.1.2.3"},"status":503}'
    between.rewrite = lambda _path, _status, _body: (status, told)
    with pytest.raises(Unavailable) as away:
        await ask(behind, "soil")
    assert away.value.detail == "The search engine cannot do this now."
    assert str(away.value.__cause__) == "search_phase_execution_exception: on node 10.1.2.3"


@pytest.mark.parametrize(
    "partial", [(b'"timed_out":false', b'"timed_out":true'), (b'"failed":0', b'"failed":1')], ids=["late", "failed"]
)
async def test_a_partial_answer_is_never_shown(behind: Index, between: Between, partial: tuple[bytes, bytes]) -> None:
    between.rewrite = lambda _path, status, body: (status, body.replace(*partial))
    with pytest.raises(Unavailable):
        await ask(behind, "bystander")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"{}", b"[]", b""])
async def test_something_else_at_the_engines_address_is_unavailable(
    behind: Index, between: Between, body: bytes
) -> None:
    between.refuse = lambda _path, _body: (200, body)
    attempts = (ask(behind, "soil"), behind.count(), behind.versions([uuid4()]), behind.write([written(entry())]))
    for attempt in attempts:
        with pytest.raises(Unavailable) as away:
            await attempt
        assert away.value.detail == "What answers is not the search engine."


async def test_a_question_that_the_engine_refuses_is_the_askers_to_mend(behind: Index, between: Between) -> None:
    told = b'{"error":{"type":"too_many_nested_clauses","reason":"more than 1024, on shard [x][0]"},"status":400}'
    between.refuse = lambda _path, _body: (400, told)
    with pytest.raises(Invalid) as refused:
        await ask(behind, "soil")
    assert refused.value.faults == (
        Fault("/q", "The search engine cannot answer this question.", "Ask for fewer and shorter words."),
    )
    assert refused.value.detail == "The search engine refuses the question."
    assert str(refused.value.__cause__) == "too_many_nested_clauses: more than 1024, on shard [x][0]"


async def test_the_longest_question_that_we_take_is_answered(index: Index) -> None:
    for text in ("soil-" * 50, "pr* " * 50, '"a b" ' * 25, "京" * 50, "-soil " * 50, "x" * 1_000):
        assert (await ask(index, text)).total in {0, 1}


# What travels


async def test_nothing_that_is_asked_or_written_reaches_a_log(index: Index, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await index.write([written(entry(title="Unspeakable"))])
    await ask(index, "unspeakable")
    with pytest.raises(Invalid):
        await ask(index, "unspeakable", after=["not", "a", "place"])
    assert "nspeakable" not in caplog.text


async def test_a_search_asks_one_copy_for_whole_answers_and_leaves_none_behind(behind: Index, between: Between) -> None:
    paths: list[str] = []

    def remember(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        paths.append(path)
        return status, body

    between.rewrite = remember
    await ask(behind, "soil")
    await ask(behind, "wind")
    told, copies = zip(*(path.split("&preference=") for path in paths), strict=True)
    assert set(told) == {f"/{behind.alias}/_search?allow_partial_search_results=false&request_cache=false"}
    assert (len(told), len(set(copies))) == (2, 1)


def test_importing_the_room_does_not_import_the_engines_library() -> None:
    # It takes most of a second; commands that never search shall not wait for it.
    loaded = subprocess.run(
        [sys.executable, "-c", "import catalog.search.index, sys; print('opensearchpy' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "False\n"


def test_the_event_loop_goes_on_while_the_library_is_imported(search_url: str) -> None:
    # In a process of its own, because here the library is loaded already.
    code = f"""
import asyncio, time
from catalog.search.index import Index
async def main():
    index, longest, stop = Index({search_url!r}, "objects"), 0.0, asyncio.Event()
    async def watch():
        nonlocal longest
        while not stop.is_set():
            # Of this process's work: what a busy machine does beside it holds nobody up.
            began = time.process_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.process_time() - began)
    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    await asyncio.gather(*(asyncio.wait_for(index.ask("GET", "/_count", seconds=5), 30) for _ in range(5)))
    stop.set()
    await watching
    await index.close()
    print(longest)
asyncio.run(main())
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(told.stdout) < 0.4

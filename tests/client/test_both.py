"""`Catalog` and `AsyncCatalog` are the same client: the same methods send the same requests and answer the same."""

import asyncio
import hashlib
import inspect
import json
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from catalog.client import AsyncCatalog, BytesDiffer, Catalog, CatalogError, Closed, Got, Problem, Unreachable
from catalog.client.calls import Operation, Room, Series
from catalog.client.patience import PAUSE_SECONDS_MAX, TRIES_MAX, Patience
from tests.client.scripted import Answer, Seen, said, serving

ROOMS = ("jobs", "vocabularies", "dois", "snapshots", "access", "tokens", "quotas", "backends", "credentials")
OBJECT = {"id": "1", "files": [], "revision": 1}

Ask = Callable[[Any], Any]


def methods_of(room: Any) -> dict[str, Any]:
    """The described methods of a room, by name."""
    described = (Operation, Series)
    every = {name: one for kind in type(room).__mro__ for name, one in vars(kind).items()}
    return {name: getattr(room, name) for name, one in every.items() if isinstance(one, described)}


async def asked_both(script: Callable[[Seen, int], Answer], ask: Ask) -> tuple[list[Seen], list[Seen], Any, Any]:
    """What both clients send and are told, each of a server of its own."""

    def outcome(fault: Exception) -> str:
        return f"{type(fault).__name__}: {fault}"

    with serving(script) as server, Catalog(server.url, "cat_x", patience_seconds=2) as catalog:
        try:
            blocking = await asyncio.to_thread(lambda: whole(ask(catalog)))
        except CatalogError as fault:
            blocking = outcome(fault).replace(server.url, "")
        first = server.seen
    with serving(script) as server:
        async with AsyncCatalog(server.url, "cat_x", patience_seconds=2) as awaiting:
            try:
                awaited = await whole_of(ask(awaiting))
            except CatalogError as fault:
                awaited = outcome(fault).replace(server.url, "")
        return first, server.seen, blocking, awaited


def whole(told: Any) -> Any:
    return list(told) if inspect.isgenerator(told) else told


async def whole_of(told: Any) -> Any:
    if inspect.isasyncgen(told):
        return [one async for one in told]
    assert isinstance(told, Awaitable)
    return await told


def sent(seen: list[Seen]) -> list[Any]:
    left_out = {"host", "idempotency-key", "content-length"}
    return [
        (one.method, one.path, one.body, {name: text for name, text in one.headers.items() if name not in left_out})
        for one in seen
    ]


def pages(seen: Seen, _: int) -> Answer:
    if "cursor=" in seen.path:
        return said({"items": [{"id": "2"}], "hits": [{"id": "2"}], "cursor": None})
    return said({"items": [{"id": "1"}], "hits": [{"id": "1"}], "cursor": "next"})


def broken(body: bytes) -> Answer:
    """An answer that was longer when it began."""
    return Answer(200, body, {"content-length": "99"}, cut=len(body))


CALLS: dict[str, tuple[Callable[[Seen, int], Answer], Ask]] = {
    "a search": (lambda *_: said({"hits": []}), lambda c: c.search("x", kind=["model"], facet=["year"])),
    "a change": (lambda *_: said(OBJECT), lambda c: c.patch("1", {"title": "é"}, revision=3)),
    "pages of hits": (pages, lambda c: c.hits("x")),
    "pages of a listing": (pages, lambda c: c.objects(kind="model", mine=True)),
    "a room of its own": (lambda *_: said({"revoked": 2}), lambda c: c.tokens.revoke("a/b")),
    "several steps": (
        lambda seen, _: said({"scheme": "soils", "uri": "u"} if seen.method == "GET" else {"uri": "u", "done": True}),
        lambda c: c.vocabularies.retire("u"),
    ),
    "a wait": (
        lambda _, number: said(OBJECT | {"files": [{"path": "a", "state": "available" if number else "expected"}]}),
        lambda c: c.wait_until_available("1", 5),
    ),
    "a read that passes after two refusals": (
        lambda _, number: said({}, 503, retry_after="0") if number < 2 else said(OBJECT),
        lambda c: c.get("1"),
    ),
    "too many requests": (
        lambda _, number: said({}, 429, retry_after="0") if number < 1 else said({"items": []}),
        lambda c: c.kinds(),
    ),
    "a lost answer to what may be repeated": (
        lambda _, number: said(OBJECT) if number else Answer(cut=0),
        lambda c: c.get("1"),
    ),
    "a lost answer to what may not": (lambda *_: Answer(cut=0), lambda c: c.patch("1", {}, revision=1)),
    "a refusal of what may not be repeated": (
        lambda *_: said({"status": 503, "detail": "Later."}, 503, retry_after="0"),
        lambda c: c.publish("1", revision=1),
    ),
    "no catalog": (lambda *_: Answer(200, b"<h1>It works!</h1>"), lambda c: c.kinds()),
    "another service's JSON": (lambda *_: said(["x"]), lambda c: c.kinds()),
    "a link": (lambda *_: Answer(307, headers={"location": "/x"}), lambda c: c.link("1", "a b/c.txt")),
    "an export that breaks off": (
        lambda _, number: broken(b'{"id": "1"}\n{"id": "2"}\n') if not number else Answer(200, b'{"id": "3"}\n'),
        lambda c: c.export("x"),
    ),
    "bytes that break off": (
        lambda *_: broken(b"id,title\n"),
        lambda c: c.export_bytes("csv"),
    ),
    "a refused export": (lambda *_: said({"status": 400, "detail": "Unclosed."}, 400), lambda c: c.export('"x')),
}


# How often each of these is sent; what is not here is not looked at so closely.
TRIES = {
    "a read that passes after two refusals": 3,
    "too many requests": 2,
    "a lost answer to what may be repeated": 2,
    "a lost answer to what may not": 1,
    "a refusal of what may not be repeated": 1,
    "an export that breaks off": 2,
    "bytes that break off": 1,
    "no catalog": 1,
}


@pytest.mark.parametrize("name", CALLS)
async def test_both_send_the_same_and_answer_the_same(name: str) -> None:
    script, ask = CALLS[name]
    first, second, blocking, awaited = await asked_both(script, ask)
    assert sent(first) == sent(second)
    assert len(first) == TRIES.get(name, len(first))
    assert first
    assert blocking == awaited


async def test_both_offer_the_same_methods_with_the_same_signatures_and_each_says_what_it_promises() -> None:
    with Catalog("http://127.0.0.1:1") as catalog:
        async with AsyncCatalog("http://127.0.0.1:1") as awaiting:
            for of in ("", *ROOMS):
                mine, theirs = ((getattr(one, of) if of else one) for one in (catalog, awaiting))
                assert isinstance(mine, Room)
                signatures = {name: str(inspect.signature(one)) for name, one in methods_of(mine).items()}
                assert signatures == {name: str(inspect.signature(one)) for name, one in methods_of(theirs).items()}
                assert signatures
                assert [name for name, one in methods_of(mine).items() if not (one.__doc__ or "").strip()] == []
                assert not any(text.startswith("(self") for text in signatures.values())


def test_what_is_tried_again_waits_longer_each_time_within_a_limit() -> None:
    patience = Patience(1000)
    pauses = [patience.pause() for _ in range(TRIES_MAX)]
    assert pauses[-1] is None
    assert all(pause is not None and pause <= PAUSE_SECONDS_MAX for pause in pauses[:-1])
    assert Patience(5).pause(4.5) == 4.5
    assert Patience(5).pause(6) is None


async def test_a_closed_client_says_so() -> None:
    catalog, awaiting = Catalog("http://127.0.0.1:1"), AsyncCatalog("http://127.0.0.1:1")
    catalog.close()
    await awaiting.aclose()
    for ask in (catalog.kinds, lambda: list(catalog.hits("x")), lambda: list(catalog.export("x"))):
        with pytest.raises(Closed, match="This client was closed"):
            ask()
    with pytest.raises(Closed):
        catalog.fetch({"id": "1", "files": []}, Path())  # type: ignore[typeddict-item]  # Nothing is read of it.
    with pytest.raises(Closed):
        await awaiting.kinds()
    with pytest.raises(Closed):
        await whole_of(awaiting.export("x"))
    with pytest.raises(Closed):
        await awaiting.fetch({"id": "1", "files": []}, Path())  # type: ignore[typeddict-item]  # As above.


def test_an_answer_that_takes_too_long_is_not_waited_for() -> None:
    with serving(lambda *_: Answer(200, b"{", {"content-length": "9"}, hold=True)) as server:
        with Catalog(server.url, answer_seconds=0.2, patience_seconds=0) as catalog:
            begun = time.monotonic()
            with pytest.raises(Unreachable, match="it took too long"):
                catalog.patch("1", {}, revision=1)
        assert time.monotonic() - begun < 5
        server.release.set()


def test_any_number_of_pages_takes_the_memory_of_one() -> None:
    page = {"hits": [{"id": str(number), "title": "x" * 1000} for number in range(100)]}

    def script(_: Seen, number: int) -> Answer:
        return said(page | {"cursor": f"c{number}" if number < 60 else None})

    with serving(script) as server, Catalog(server.url) as catalog:
        hits = catalog.hits("x")
        next(hits)
        tracemalloc.start()
        server.seen.clear()
        count = sum(1 for _ in hits)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count > 5000
    assert peak < 2_000_000


@pytest.mark.parametrize("way", ["a scope of anyio", "a task of asyncio"])
async def test_a_cancelled_download_stops_leaves_its_beginning_and_is_gone_on_with(tmp_path: Path, way: str) -> None:
    content = bytes(range(256)) * 8192
    sha256 = hashlib.sha256(content).hexdigest()
    object_: Any = {
        "id": "o1",
        "files": [{"path": "a.bin", "size": len(content), "sha256": sha256, "state": "available"}],
    }
    came = threading.Event()

    def script(seen: Seen, _: int) -> Answer:
        if seen.path.startswith("/api/"):
            return Answer(307, headers={"location": f"http://{seen.headers['host']}/bucket/a"})
        if "range" in seen.headers:
            start = int(seen.headers["range"][6:-1])
            return Answer(206, content[start:], {"content-range": f"bytes {start}-{len(content) - 1}/{len(content)}"})
        return Answer(200, content)

    def slowly(_: int) -> None:
        came.set()
        time.sleep(1)

    target = tmp_path / "a.bin"
    with serving(script) as server:
        async with AsyncCatalog(server.url) as catalog:
            if way == "a scope of anyio":
                async with anyio.create_task_group() as group:
                    group.start_soon(lambda: catalog.download(object_, "a.bin", target, progress=slowly))
                    await anyio.to_thread.run_sync(came.wait, 30)
                    group.cancel_scope.cancel()
            else:
                task = asyncio.create_task(catalog.download(object_, "a.bin", target, progress=slowly))
                await asyncio.to_thread(came.wait, 30)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            kept = (tmp_path / "a.bin.part").stat().st_size
            assert not target.exists()
            assert 0 < kept < len(content)
            got = await catalog.download(object_, "a.bin", target)
    assert target.read_bytes() == content
    assert got.resumed_from == kept


async def test_a_refusal_within_a_thread_is_the_refusal_that_is_raised() -> None:
    with serving(lambda *_: said({"status": 404, "detail": "Not there."}, 404)) as server:
        async with AsyncCatalog(server.url) as catalog:
            with pytest.raises(Problem, match="Not there"):
                await catalog.put({"kind": "model"}, [])


async def test_a_whole_result_is_fetched_in_threads_and_a_file_that_differs_keeps_no_other_from_coming(
    tmp_path: Path,
) -> None:
    def script(seen: Seen, _: int) -> Answer:
        if seen.path != "/api/search/export":
            return Answer(200, b"right")
        lines = [
            {
                "object": "o1",
                "path": name,
                "to": f"o1/{name}",
                "size": 5,
                "sha256": hashlib.sha256(content).hexdigest(),
                "media_type": "text/plain",
                "link": {"href": f"http://{seen.headers['host']}/bucket/{name}", "expires_at": "2100-01-01T00:00:00Z"},
            }
            for name, content in (("a", b"right"), ("b", b"wrong"))
        ]
        return Answer(200, "\n".join(map(json.dumps, lines)).encode())

    with serving(script) as server:
        async with AsyncCatalog(server.url) as catalog:
            fetched = [one async for one in catalog.fetch_found(tmp_path, "x", kind=["model"])]
    assert [(one.file["path"], type(one.got)) for one in fetched] == [("a", Got), ("b", BytesDiffer)]
    assert files_below(tmp_path) == ["o1/a"]


def files_below(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]

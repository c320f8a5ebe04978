"""Large files in parts, against a server that answers as a test says: links that end, parts that get lost, changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.client import Catalog, FileChanged, StoreRefused, Unreachable
from catalog.client.shapes import Ticket
from tests.client.scripted import Answer, Script, Seen, Server, said, serving

pytestmark = pytest.mark.req("SAGE-STORAGE-23")

CONTENT = b"first-second-rest"
SIZE, COUNT = 6, 3


class Store:
    """A catalog and its store: which parts have come, and what the store answers to each PUT in turn."""

    def __init__(self, *answers: Answer, lost: int = 0) -> None:
        self.parts: dict[int, bytes] = {}
        self.puts: list[str] = []
        self.completed = False
        self._answers = list(answers)
        self._lost = lost
        self._signed = 0

    def script(self, server: list[Server]) -> Script:
        def answer(seen: Seen, _: int) -> Answer:
            if seen.method == "PUT":
                return self._put(seen)
            if seen.path.endswith("/complete"):
                return self._complete()
            if seen.method == "GET":
                sent = sorted(self.parts)
                return said(
                    {"size": SIZE, "count": COUNT, "sent": sent, "bytes_sent": sum(map(len, self.parts.values()))}
                )
            self._signed += 1
            numbers = json.loads(seen.body)["numbers"]
            return said({"parts": [self._ticket(server[0].url, number) for number in numbers]})

        return answer

    def _ticket(self, url: str, number: int) -> dict[str, Any]:
        offset = (number - 1) * SIZE
        size = min(SIZE, len(CONTENT) - offset)
        link = f"{url}/bucket/key?partNumber={number}&signed={self._signed}"
        return {
            "number": number,
            "offset": offset,
            "size": size,
            "method": "PUT",
            "url": link,
            "headers": {"content-length": str(size)},
            "expires_at": "2026-01-01T00:00:00Z",
        }

    def _put(self, seen: Seen) -> Answer:
        query = seen.path.partition("?")[2]
        self.puts.append(query)
        refusal = self._answers.pop(0) if self._answers else Answer()
        if refusal.status == 200 and refusal.cut is None:
            self.parts[int(query.partition("&")[0].removeprefix("partNumber="))] = seen.body
        return refusal

    def _complete(self) -> Answer:
        if self._lost:
            self._lost -= 1
            del self.parts[2]
            return said({"status": 409, "detail": "1 of 3 parts are missing: 2."}, 409)
        self.completed = True
        return Answer(202)


def brought(store: Store, tmp_path: Path, content: bytes = CONTENT, **options: Any) -> list[int]:
    (tmp_path / "data.bin").write_bytes(content)
    server: list[Server] = []
    moved: list[int] = []
    ticket: Ticket = {
        "id": "u1",
        "path": "data.bin",
        "method": None,
        "url": None,
        "headers": {},
        "expires_at": "2026-01-01T00:00:00Z",
        "parts": {"href": "/api/uploads/u1/parts", "size": SIZE, "count": COUNT},
    }
    with serving(store.script(server)) as running, Catalog(running.url, **options) as catalog:
        server.append(running)
        catalog.upload(ticket, tmp_path / "data.bin", progress=moved.append)
    return moved


def test_each_part_is_sent_once_and_then_joined(tmp_path: Path) -> None:
    store = Store()
    moved = brought(store, tmp_path)
    assert store.parts == {1: b"first-", 2: b"second", 3: b"-rest"}
    assert store.puts == [f"partNumber={number}&signed=1" for number in (1, 2, 3)]
    assert (store.completed, sum(moved)) == (True, len(CONTENT))


def test_parts_that_are_there_are_not_sent_again(tmp_path: Path) -> None:
    store = Store()
    store.parts = {1: b"first-", 3: b"-rest"}
    moved = brought(store, tmp_path)
    assert store.puts == ["partNumber=2&signed=1"]
    assert (store.completed, sum(moved)) == (True, len(CONTENT))


def test_a_part_whose_link_has_ended_is_sent_with_a_fresh_one(tmp_path: Path) -> None:
    store = Store(Answer(), Answer(403, b"<Error><Code>AccessDenied</Code></Error>"))
    moved = brought(store, tmp_path)
    assert store.puts == [
        "partNumber=1&signed=1",
        "partNumber=2&signed=1",
        "partNumber=2&signed=2",
        "partNumber=3&signed=1",
    ]
    assert (store.completed, sum(moved)) == (True, len(CONTENT))


def test_a_part_that_is_refused_with_a_fresh_link_too_is_said_by_name(tmp_path: Path) -> None:
    denied = Answer(403, b"<Error><Code>AccessDenied</Code></Error>")
    with pytest.raises(StoreRefused) as refused:
        brought(Store(denied, denied), tmp_path)
    assert str(refused.value) == "The store refused to take part 1 of 'data.bin': 403 AccessDenied."


def test_a_part_that_breaks_off_is_sent_again_from_its_beginning(tmp_path: Path) -> None:
    store = Store(Answer(), Answer(cut=0))
    moved = brought(store, tmp_path)
    assert [query.partition("&")[0] for query in store.puts] == [f"partNumber={number}" for number in (1, 2, 2, 3)]
    assert (store.parts[2], sum(moved)) == (b"second", len(CONTENT))


def test_a_part_that_the_store_has_lost_is_sent_again(tmp_path: Path) -> None:
    store = Store(lost=1)
    moved = brought(store, tmp_path)
    assert [query.partition("&")[0] for query in store.puts] == [f"partNumber={number}" for number in (1, 2, 3, 2)]
    assert (store.completed, sum(moved)) == (True, len(CONTENT))


def test_a_store_that_never_keeps_a_part_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as given_up:
        brought(Store(lost=9), tmp_path)
    assert str(given_up.value) == "The store does not keep the parts of 'data.bin'."


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"!", CONTENT[:8]])
def test_a_file_that_has_changed_its_size_is_not_joined(tmp_path: Path, content: bytes) -> None:
    store = Store()
    with pytest.raises(FileChanged):
        brought(store, tmp_path, content)
    assert not store.completed

"""How bytes are moved when stores, networks and disks misbehave."""

import hashlib
import json
import os
import re
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catalog.client import BytesDiffer, Catalog, FileChanged, NoSuchFile, NotAvailable, StoreRefused, UnsafePath
from catalog.client.transfer import TRANSFERS_AT_ONCE, Stopped, at_once, inside
from catalog.errors import CatalogError
from tests.client.scripted import Answer, Seen, Server, serving

CONTENT = bytes(range(256)) * 8192
JSON = {"content-type": "application/json"}


def ticket(server: Server, size: int) -> Any:
    return {
        "id": "u1",
        "path": "data.bin",
        "method": "PUT",
        "url": f"{server.url}/bucket/key?X-Amz-Signature=5e1f",
        "headers": {"content-length": str(size), "content-type": "text/csv", "if-none-match": "*"},
        "expires_at": "2100-01-01T00:00:00Z",
    }


def registered(content: bytes = CONTENT, path: str = "data.bin", state: str = "available") -> Any:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"id": "o1", "files": [{"path": path, "size": len(content), "sha256": sha256, "state": state}]}


def store(give: Callable[[Seen, int], Answer]) -> Callable[[Seen, int], Answer]:
    """A catalog that links to a store which gives as it is told; `number` counts the store's requests."""
    asked = iter(range(1000))

    def script(seen: Seen, _: int) -> Answer:
        if seen.path.startswith("/api/"):
            return Answer(307, headers={"location": f"http://{seen.headers['host']}/bucket/key?X-Amz-Signature=5e1f"})
        return give(seen, next(asked))

    return script


def ranged(seen: Seen) -> Answer:
    """The content, or the rest of it where a range is asked for."""
    asked = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("range", ""))
    if not asked:
        return Answer(200, CONTENT)
    start = int(asked[1])
    return Answer(206, CONTENT[start:], {"content-range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"})


def test_a_file_is_sent_as_its_ticket_says_and_without_our_token(tmp_path: Path) -> None:
    file = tmp_path / "data.bin"
    file.write_bytes(CONTENT)
    moved: list[int] = []
    with serving(lambda *_: Answer()) as server, Catalog(server.url, "cat_token") as catalog:
        catalog.upload(ticket(server, len(CONTENT)), file, progress=moved.append)
    (seen,) = server.seen
    assert seen.body == CONTENT
    assert seen.headers["content-length"] == str(len(CONTENT))
    assert (seen.headers["content-type"], seen.headers["if-none-match"]) == ("text/csv", "*")
    assert not {"transfer-encoding", "authorization"} & seen.headers.keys()
    assert sum(moved) == len(CONTENT)


def test_files_that_are_sent_one_after_the_other_share_a_connection(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)

    with serving(lambda _, __: Answer(200, b"<Stored/>")) as server, Catalog(server.url) as catalog:
        for _ in range(5):
            catalog.upload(ticket(server, len(CONTENT)), tmp_path / "data.bin")

    assert (len(server.seen), server.connections) == (5, 1)


def test_all_files_of_an_object_are_fetched_with_links_that_came_together(tmp_path: Path) -> None:
    """Whether their paths are named or not: asking for each link costs more than a small file."""
    files = [registered(path=f"{number}.bin")["files"][0] for number in range(5)]

    def script(seen: Seen, _: int) -> Answer:
        if not seen.path.startswith("/api/"):
            return Answer(200, CONTENT)
        href = f"http://{seen.headers['host']}/bucket/key"
        linked = [file | {"link": {"href": href, "expires_at": "2100-01-01T00:00:00Z"}} for file in files]
        return Answer(200, json.dumps({"items": linked, "cursor": None}).encode(), JSON)

    with serving(script) as server, Catalog(server.url) as catalog:
        for paths in ([], [file["path"] for file in files]):
            catalog.fetch({"id": "o1", "files": files}, tmp_path / str(len(paths)), paths)  # type: ignore[typeddict-item]  # What matters of it.

    asked = [seen.path.partition("?")[0] for seen in server.seen]
    assert asked.count("/api/objects/o1/files") == 2
    assert asked.count("/bucket/key") == len(asked) - 2 == 10


def test_an_empty_file_is_sent_with_its_length(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with serving(lambda *_: Answer()) as server, Catalog(server.url) as catalog:
        catalog.upload(ticket(server, 0), tmp_path / "empty")
    assert server.seen[0].headers["content-length"] == "0"


def test_a_large_file_is_never_held_in_memory(tmp_path: Path) -> None:
    size = 64 * 1024 * 1024
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    with serving(lambda *_: Answer()) as server, Catalog(server.url) as catalog:
        tracemalloc.start()
        catalog.upload(ticket(server, size), tmp_path / "large")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert server.seen[0].body_bytes == size
    assert peak < 16 * 1024 * 1024


def test_bytes_that_an_earlier_try_has_brought_are_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    moved: list[int] = []

    def script(_: Seen, number: int) -> Answer:
        return Answer(cut=0) if number == 0 else Answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")

    with serving(script) as server, Catalog(server.url) as catalog:
        catalog.upload(ticket(server, len(CONTENT)), tmp_path / "data.bin", progress=moved.append)
    assert len(server.seen) == 2
    assert sum(moved) == len(CONTENT)


def test_a_store_that_refuses_is_quoted_by_its_code_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    answer = (
        b'<?xml version="1.0"?><Error xmlns="https://s3.example.org/doc/"><Code>SignatureDoesNotMatch</Code>'
        b"<StringToSign>X-Amz-Signature=5e1f</StringToSign></Error>"
    )
    with (
        serving(lambda *_: Answer(403, answer)) as server,
        Catalog(server.url) as catalog,
        pytest.raises(StoreRefused) as refused,
    ):
        catalog.upload(ticket(server, len(CONTENT)), tmp_path / "data.bin")
    assert str(refused.value) == "The store refused to take 'data.bin': 403 SignatureDoesNotMatch."
    assert (refused.value.status, refused.value.code) == (403, "SignatureDoesNotMatch")
    assert len(server.seen) == 1


@pytest.mark.parametrize("declared", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_file_that_has_changed_its_size_is_not_sent_as_if_it_had_not(tmp_path: Path, declared: int) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    with serving(lambda *_: Answer()) as server, Catalog(server.url) as catalog, pytest.raises(FileChanged):
        catalog.upload(ticket(server, declared), tmp_path / "data.bin")


def test_a_download_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "data.bin"
    with serving(store(lambda seen, _: ranged(seen))) as server, Catalog(server.url, "cat_token") as catalog:
        done = catalog.download(registered(), "data.bin", target)
    assert target.read_bytes() == CONTENT
    assert [file.name for file in target.parent.iterdir()] == ["data.bin"]
    assert (done.bytes_moved, done.resumed_from) == (len(CONTENT), 0)
    assert "authorization" not in server.seen[1].headers


def test_a_download_goes_on_where_an_earlier_one_stopped(tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1_000_000])
    with serving(store(lambda seen, _: ranged(seen))) as server, Catalog(server.url) as catalog:
        done = catalog.download(registered(), "data.bin", tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert server.seen[1].headers["range"] == "bytes=1000000-"
    assert (done.bytes_moved, done.resumed_from) == (len(CONTENT) - 1_000_000, 1_000_000)


def test_a_download_that_breaks_off_goes_on_with_a_fresh_link(tmp_path: Path) -> None:
    moved: list[int] = []

    def give(seen: Seen, number: int) -> Answer:
        answer = ranged(seen)
        answer.cut = 700_000 if number == 0 else None
        return answer

    with serving(store(give)) as server, Catalog(server.url) as catalog:
        catalog.download(registered(), "data.bin", tmp_path / "data.bin", progress=moved.append)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert [seen.headers.get("range", "all")[:6] for seen in server.seen if "bucket" in seen.path] == ["all", "bytes="]
    assert sum(moved) == len(CONTENT)


def test_a_store_without_ranges_sends_all_of_it_again(tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1000)
    with serving(store(lambda *_: Answer(200, CONTENT))) as server, Catalog(server.url) as catalog:
        catalog.download(registered(), "data.bin", tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert len(server.seen) == 2


def test_a_partial_file_with_other_bytes_is_found_out_and_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1_000_000)
    moved: list[int] = []
    with serving(store(lambda seen, _: ranged(seen))) as server, Catalog(server.url) as catalog:
        done = catalog.download(registered(), "data.bin", tmp_path / "data.bin", progress=moved.append)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert done.resumed_from == 0
    assert sum(moved) == len(CONTENT)
    assert "range" not in server.seen[-1].headers


def test_a_partial_file_that_is_too_long_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT + b"more")
    with serving(store(lambda seen, _: ranged(seen))) as server, Catalog(server.url) as catalog:
        catalog.download(registered(), "data.bin", tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert "range" not in server.seen[-1].headers


@pytest.mark.parametrize("wrong", [CONTENT[:-1] + b"!", CONTENT + b"more"])
def test_wrong_bytes_are_refused_and_not_kept(tmp_path: Path, wrong: bytes) -> None:
    with (
        serving(store(lambda *_: Answer(200, wrong))) as server,
        Catalog(server.url) as catalog,
        pytest.raises(BytesDiffer, match="Nothing was kept"),
    ):
        catalog.download(registered(), "data.bin", tmp_path / "data.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_file_whose_bytes_are_not_there_is_not_asked_for(tmp_path: Path) -> None:
    with Catalog("http://127.0.0.1:1") as catalog:
        with pytest.raises(NotAvailable, match="are expected"):
            catalog.download(registered(state="expected"), "data.bin", tmp_path / "data.bin")
        with pytest.raises(NoSuchFile, match=r"no file 'other\.bin'; it has 'data\.bin'"):
            catalog.download(registered(), "other.bin", tmp_path / "other.bin")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../../up", "a//b", "./a", "a/", "a/.", "nul\0"])
def test_no_path_leads_outside_the_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(UnsafePath):
        inside(tmp_path, path)


def test_no_link_leads_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(UnsafePath):
        inside(tmp_path / "folder", "link/file")


def test_a_partial_file_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "data.bin.part").symlink_to(tmp_path / "precious")
    with Catalog("http://127.0.0.1:1") as catalog, pytest.raises(UnsafePath):
        catalog.download(registered(), "data.bin", tmp_path / "data.bin")
    assert (tmp_path / "precious").read_bytes() == b"precious"


@pytest.mark.parametrize("path", ["a", "a b/ü+%#?.txt", "...", "..a/b..", "a:b"])
def test_odd_but_honest_paths_stay_as_they_are(tmp_path: Path, path: str) -> None:
    assert inside(tmp_path, path) == tmp_path / path


def test_one_failure_leaves_the_others_alone() -> None:
    def work(item: int, _: threading.Event) -> int:
        if item == 2:
            raise BytesDiffer
        return item * 10

    outcomes = at_once(work, [1, 2, 3])
    assert outcomes[::2] == [10, 30]
    assert isinstance(outcomes[1], BytesDiffer)


def test_an_interruption_stops_what_is_under_way() -> None:
    under_way = threading.Barrier(TRANSFERS_AT_ONCE + 1)
    ended: list[bool] = []

    def work(_: int, stop: threading.Event) -> None:
        under_way.wait(60)
        ended.append(stop.wait(60))
        raise Stopped

    def interrupt() -> None:
        under_way.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        at_once(work, list(range(TRANSFERS_AT_ONCE + 2)))
    thread.join()
    # A thread that was just being started is not waited for; it ends by itself.
    ends = time.monotonic() + 60
    while len(ended) < TRANSFERS_AT_ONCE and time.monotonic() < ends:
        time.sleep(0.01)
    assert ended == [True] * TRANSFERS_AT_ONCE


def test_what_the_disk_says_is_an_error_of_ours(tmp_path: Path) -> None:
    def work(item: Path, _: threading.Event) -> bytes:
        return item.read_bytes()

    (outcome,) = at_once(work, [tmp_path / "missing"])
    assert isinstance(outcome, CatalogError)
    assert "No such file" in str(outcome)

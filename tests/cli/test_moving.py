"""`register`, `put` and `get` on a running catalog: whole folders there and back, interrupted and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Catalog, contents
from tests.client.scripted import Answer, Seen, said, serving
from tests.conftest import Live


@pytest.mark.req("SAGE-STORAGE-34")
def test_a_folder_with_awkward_names_comes_back_byte_for_byte(
    catalog: Catalog, folder: Path, described: Path, tmp_path: Path
) -> None:
    put = catalog("put", folder, "--from", described, "--json")
    assert put.code == 0, put.err
    assert {file["path"]: file["size"] for file in put.json["files"]} == {
        path: len(content) for path, content in contents(folder).items()
    }
    assert {(file["state"], file["sent"]) for file in put.json["files"]} == {("available", True)}
    got = catalog("get", put.json["id"], "--to", tmp_path / "back", "--json", by=None)
    assert got.code == 0, got.err
    assert contents(tmp_path / "back") == contents(folder)
    assert {file["outcome"] for file in got.json["files"]} == {"downloaded"}
    assert got.json["id"] == put.json["id"]


def test_the_same_folder_again_is_the_same_object_and_nothing_is_sent(
    catalog: Catalog, folder: Path, described: Path
) -> None:
    first = catalog("put", folder, "--from", described)
    again = catalog("put", folder, "--from", described)
    assert (again.code, again.out) == (0, first.out)
    assert "11 files are there already" in again.err
    anew = catalog("put", folder, "--from", described, "--new")
    assert anew.code == 0
    assert anew.out != first.out


def test_what_options_say_wins_over_the_file(
    catalog: Catalog, folder: Path, described: Path, draft: dict[str, Any]
) -> None:
    words = ["--title", "Rain", "--creator", "Sørensen, Bo (0000-0002-1825-0097)", "--contact", "Bo <bo@example.org>"]
    words += [
        "--keyword",
        "rain",
        "--keyword",
        "soil",
        "--private",
        "--meta",
        "labelled=true",
        "--meta",
        'classes=["a"]',
    ]
    put = catalog("put", folder / "plain.csv", "--from", described, *words)
    assert put.code == 0, put.err
    shown = catalog("show", put.out.strip(), "--json").json
    assert shown["title"] == "Rain"
    assert shown["creators"] == [{"type": "person", "name": "Sørensen, Bo", "orcid": "0000-0002-1825-0097"}]
    assert shown["contact"] == {"name": "Bo", "email": "bo@example.org"}
    assert (shown["keywords"], shown["visibility"]) == (["rain", "soil"], "private")
    assert shown["metadata"] == {"labelled": True, "classes": ["a"], "splits": [], "variables": []}
    assert shown["licence"] == draft["licence"]


def test_a_put_that_was_killed_goes_on_with_the_same_object(
    live: Live, catalog: Catalog, described: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    # Files that arrive together are seen together, 64 at most.
    for number in range(200):
        (folder / f"{number:03}.bin").write_bytes(bytes([number]) * 500_000)
    environment = dict(os.environ) | {"CATALOG_URL": live.url, "CATALOG_TOKEN": live.tokens["ingest"]}
    process = subprocess.Popen(
        [sys.executable, "-m", "catalog", "put", folder, "--from", described],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        object_id = next(line.split()[2] for line in process.stderr if line.startswith("registered as"))
        # In turns: however late the indexer is, it has seen some before all of them are sent.
        while not _available(catalog, object_id, seconds=0):
            process.send_signal(signal.SIGCONT)
            time.sleep(0.2)
            process.send_signal(signal.SIGSTOP)
            if _available(catalog, object_id, seconds=10):
                break
        process.kill()
    assert _states(catalog, object_id).get("expected"), "everything had been sent before the kill"
    again = catalog("put", folder, "--from", described, "--json")
    assert again.code == 0, again.err
    assert again.json["id"] == object_id
    sent = [file["path"] for file in again.json["files"] if file["sent"]]
    assert 0 < len(sent) < 200
    assert {file["state"] for file in again.json["files"]} == {"available"}


def _available(catalog: Catalog, object_id: str, *, seconds: float) -> bool:
    """Tell whether any file is available, within so many seconds."""
    ends = time.monotonic() + seconds
    while not (found := _states(catalog, object_id).get("available")) and time.monotonic() < ends:
        time.sleep(0.02)
    return bool(found)


def _states(catalog: Catalog, object_id: str) -> dict[str, int]:
    counted: dict[str, int] = {}
    for file in catalog("show", object_id, "--json").json["files"]:
        counted[file["state"]] = counted.get(file["state"], 0) + 1
    return counted


def test_get_leaves_whole_files_alone_and_mends_the_others(
    catalog: Catalog, folder: Path, described: Path, tmp_path: Path
) -> None:
    object_id = catalog("put", folder, "--from", described).out.strip()
    back = tmp_path / "back"
    assert catalog("get", object_id, "--to", back).code == 0
    untouched = (back / "plain.csv").stat().st_mtime_ns
    (back / "empty").unlink()
    (back / "same").write_bytes(b"x" * len(b"and its whole"))
    large = (back / "large.bin").read_bytes()
    (back / "large.bin").rename(back / "large.bin.part")
    (back / "large.bin.part").write_bytes(large[:300_000])
    got = catalog("get", object_id, "--to", back, "--json")
    outcomes = {file["path"]: file["outcome"] for file in got.json["files"]}
    assert outcomes.pop("large.bin") == "resumed"
    assert [outcomes.pop(path) for path in ("empty", "same")] == ["downloaded"] * 2
    assert set(outcomes.values()) == {"skipped"}
    assert contents(back) == contents(folder)
    assert (back / "plain.csv").stat().st_mtime_ns == untouched


def test_a_corrupted_partial_file_never_becomes_the_file(
    catalog: Catalog, folder: Path, described: Path, tmp_path: Path
) -> None:
    object_id = catalog("put", folder, "--from", described).out.strip()
    back = tmp_path / "back"
    back.mkdir()
    (back / "large.bin.part").write_bytes(b"corrupted" * 1000)
    got = catalog("get", object_id, "large.bin", "--to", back)
    assert (got.code, got.out) == (0, f"{back / 'large.bin'}\n")
    assert contents(back) == {"large.bin": contents(folder)["large.bin"]}


def test_one_file_is_fetched_by_its_path(catalog: Catalog, folder: Path, described: Path, tmp_path: Path) -> None:
    object_id = catalog("put", folder, "--from", described).out.strip()
    got = catalog("get", object_id, "with space/a b.txt", "--to", tmp_path / "back")
    assert contents(tmp_path / "back") == {"with space/a b.txt": b"spaces"}
    assert got.code == 0
    missing = catalog("get", object_id, "with space", "--to", tmp_path / "back")
    assert missing.code == 4
    assert "no file 'with space'" in missing.err


def test_register_prints_what_it_takes_to_upload(catalog: Catalog, draft: dict[str, Any], tmp_path: Path) -> None:
    draft["files"] = [{"path": "a.csv", "size": 3, "sha256": "0" * 64, "media_type": "text/csv"}]
    (tmp_path / "draft.json").write_text(json.dumps(draft))
    told = catalog("register", tmp_path / "draft.json")
    assert told.code == 0, told.err
    object_id, _, file, put, *headers = told.out.splitlines()
    assert file.startswith("a.csv, until ")
    assert put.startswith("  PUT http://")
    assert "  content-length: 3" in headers
    again = catalog("register", tmp_path / "draft.json", "--json")
    assert again.json["id"] == object_id
    assert [ticket["path"] for ticket in again.json["uploads"]] == ["a.csv"]


def test_interrupted_it_says_how_to_go_on_and_leaves_what_came(tmp_path: Path) -> None:
    content = b"x" * 3_000_000
    file = {"path": "slow.bin", "size": len(content) * 2, "sha256": "0" * 64, "state": "available"}
    found = {"id": "o1", "files": [file]}

    def script(seen: Seen, _: int) -> Answer:
        if seen.path == "/api/objects/o1":
            return said(found)
        if seen.path.startswith("/api/"):
            return Answer(307, headers={"location": f"{server.url}/store?X-Amz-Signature=5e1f"})
        # Half of it comes, and then nothing more for as long as the client cares to wait.
        return Answer(200, content, {"content-length": str(len(content) * 2)}, hold=True)

    with serving(script) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "catalog", "get", "o1", "--to", tmp_path],
            env=dict(os.environ) | {"CATALOG_URL": server.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        partial = tmp_path / "slow.bin.part"
        ends = time.monotonic() + 30
        while (not partial.exists() or partial.stat().st_size < 2_000_000) and time.monotonic() < ends:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        server.release.set()
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert f"stopped; to go on: catalog get o1 --to {tmp_path}" in err
    assert "Traceback" not in err
    assert "5e1f" not in err
    assert partial.stat().st_size >= 2_000_000


@pytest.mark.parametrize("path", ["../outside", "/outside"])
def test_a_catalog_that_names_paths_outside_is_not_followed(tmp_path: Path, run: Catalog, path: str) -> None:
    file = {"path": path, "size": 0, "sha256": "0" * 64, "state": "available"}
    with serving(lambda *_: said({"id": "o1", "files": [file]})) as server:
        got = run("get", "o1", "--to", tmp_path / "back", URL=server.url)
    assert got.code == 1
    assert "would be written outside" in got.err
    assert not (tmp_path / "outside").exists()
    assert not Path("/outside").exists()


@pytest.fixture
def rows(tmp_path: Path, draft: dict[str, Any]) -> Path:
    """A file of three registrations, the first of a bundle that names the last."""
    members = {"version": "1.0", "members": [{"type": "object", "id": f"{draft['kind']}/third"}]}
    file = tmp_path / "many.ndjson"
    write_rows(
        file, draft | {"kind": "ecr-bundle", "metadata": members}, draft | {"title": "2"}, draft | {"name": "third"}
    )
    return file


def write_rows(file: Path, *drafts: Any) -> None:
    file.write_text("\n".join(json.dumps(one) for one in drafts) + "\n")


def test_a_file_of_rows_is_registered_and_the_same_again_changes_nothing(catalog: Catalog, rows: Path) -> None:
    first, again = catalog("register", rows), catalog("register", rows, "--json")
    anew = catalog("register", rows, "--new", "--json")

    assert (first.code, first.out) == (0, "3 created, 0 changed, 0 unchanged, 0 failed\n")
    assert (again.code, again.json) == (0, {"created": 0, "changed": 0, "unchanged": 3, "failed": 0})
    assert (anew.code, anew.json) == (0, {"created": 2, "changed": 0, "unchanged": 1, "failed": 0})
    assert list(rows.parent.glob("*.failed.ndjson")) == []


def test_rows_that_fail_are_written_with_their_reasons_mended_and_sent_as_they_are(
    catalog: Catalog, rows: Path, draft: dict[str, Any]
) -> None:
    write_rows(rows, draft | {"title": "good"}, draft | {"titel": "bad"})
    rows.write_text(rows.read_text() + "{broken\n")
    failed = rows.with_name("many.failed.ndjson")

    first = catalog("register", rows)

    assert (first.code, first.out) == (2, "1 created, 0 changed, 0 unchanged, 2 failed\n")
    assert "line 2: /titel: there is no field 'titel' here (title)\nline 3: not JSON: " in first.err
    assert str(failed) in first.err
    told, broken = [json.loads(line) for line in failed.read_text().splitlines()]
    assert told == {
        "line": 2,
        "errors": [{"pointer": "/titel", "message": "there is no field 'titel' here", "suggestion": "title"}],
        "row": draft | {"titel": "bad"},
    }
    assert (broken["line"], broken["text"], broken["errors"][0]["pointer"]) == (3, "{broken", "")
    again = catalog("register", failed)
    assert "line 2: not JSON: " in again.err
    assert [json.loads(line)["line"] for line in failed.read_text().splitlines()] == [1, 2]
    assert json.loads(failed.read_text().splitlines()[1])["text"] == "{broken"
    told["row"]["title"] = told["row"].pop("titel")
    broken["text"] = json.dumps(draft | {"title": "no longer broken"}, indent=1)
    write_rows(failed, told, broken)
    mended = catalog("register", failed, "--json")
    assert (mended.code, mended.json) == (0, {"created": 2, "changed": 0, "unchanged": 0, "failed": 0})


def test_a_file_of_rows_that_is_not_there_is_told(catalog: Catalog, tmp_path: Path) -> None:
    missing = catalog("register", tmp_path / "none.ndjson")

    assert (missing.code, missing.out) == (2, "")
    assert "none.ndjson cannot be read: No such file or directory." in missing.err


def test_rows_are_sent_again_when_the_connection_breaks_or_the_catalog_is_away(run: Catalog, rows: Path) -> None:
    answer = b"".join(b'{"line":%d,"status":"unchanged"}\n' % line for line in (1, 2, 3))

    def script(_: Seen, number: int) -> Answer:
        return (said({}, 503, retry_after="0"), Answer(cut=0), Answer(200, answer))[number]

    with serving(script) as server:
        outcome = run("register", rows, "--json", URL=server.url, TOKEN="cat_x")

    assert (outcome.code, outcome.json) == (0, {"created": 0, "changed": 0, "unchanged": 3, "failed": 0})
    first, second, third = [one.body for one in server.seen]
    assert first == second == third

"""Whole results as files, on the command line and in programs."""

import csv
import hashlib
import io
import json
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest

from catalog.cli.counting import Counted
from catalog.cli.output import FORMS
from catalog.client import Catalog as Client
from catalog.client import Problem, Unreachable
from catalog.exchange import spreadsheet
from tests import programs
from tests.cli.conftest import Catalog, contents
from tests.cli.terminal import on_terminal
from tests.client.scripted import Answer, said, serving
from tests.conftest import Live

COUNT = 70
EMPTY_TABLE_BYTES = len(spreadsheet.head())


@pytest.fixture
def loaded(live: Live, draft: dict[str, Any], project: str) -> list[str]:
    """Objects of a project of this test's own, found already; their ids, sorted."""
    rows = "\n".join(json.dumps(draft | {"title": f"Soil {number}"}) for number in range(COUNT))
    headers = {"authorization": f"Bearer {live.tokens['ingest']}", "content-type": "application/x-ndjson"}
    answer = httpx2.post(f"{live.url}/api/bulk/objects", content=rows, headers=headers, timeout=30, trust_env=False)
    with Client(live.url) as client:
        waiting = threading.Event()
        for _ in range(600):
            if client.search(project=[project])["total"] == COUNT:
                break
            waiting.wait(0.05)
        assert client.search(project=[project])["total"] == COUNT
    return sorted(json.loads(line)["id"] for line in answer.text.splitlines())


def test_a_whole_result_is_written_to_a_file_or_to_standard_output(
    catalog: Catalog, loaded: list[str], project: str, tmp_path: Path
) -> None:
    table = tmp_path / "soil.csv"

    written = catalog("export", "soil", "--project", project, "--as", "csv", "-o", table, by=None)
    streamed = catalog("export", "--filter", f"project = '{project}' AND title LIKE 'Soil%'", by=None)
    cited = catalog("export", "--project", project, "--as", "bibtex", "--kind", "training-dataset", by=None)

    with table.open(newline="") as lines:
        assert [row["id"] for row in csv.DictReader(lines)] == loaded
    assert (written.code, written.out, list(tmp_path.iterdir())) == (0, "", [table])
    assert written.err == f"{table}: {COUNT} objects, {table.stat().st_size:,} bytes\n"
    assert [json.loads(line)["id"] for line in streamed.out.splitlines()] == loaded
    assert cited.out.count("@misc{") == COUNT


def test_what_cannot_be_asked_is_refused_and_leaves_no_file(catalog: Catalog, tmp_path: Path) -> None:
    refused = catalog("export", '"open', "-o", tmp_path / "out", by=None)
    unknown = catalog("export", "--as", "xlsx", by=None)
    assert (refused.code, unknown.code, list(tmp_path.iterdir())) == (2, 2, [])
    assert "'xlsx' is not one of ndjson, csv, parquet, bibtex, manifest, aria2, rclone" in unknown.err


def test_a_terminal_is_shown_no_bytes_that_it_cannot_show(live: Live) -> None:
    shown = on_terminal("export", "--as", "parquet", columns=200, CATALOG_URL=live.url)
    assert "parquet is no text: give it a file with --output, or pipe it" in shown
    assert "PAR1" not in shown


def test_a_program_walks_every_object(live: Live, loaded: list[str], project: str) -> None:
    with Client(live.url) as client:
        assert [one["id"] for one in client.export("soil", project=[project])] == loaded
        with pytest.raises(Problem, match="faults"):
            next(client.export('"open'))


def test_an_export_that_breaks_off_is_gone_on_with_where_it_ended() -> None:
    """A line that was cut is no object; what came whole before it is not asked for again."""
    first = b'{"id":"1"}\n{"id":"2"}\n{"id":"3"'

    def script(_: object, number: int) -> Answer:
        if number == 0:
            return Answer(body=first, headers={"content-length": str(len(first) + 10)}, cut=len(first))
        return Answer(body=b'{"id":"3"}\n') if number == 2 else said({"detail": "later"}, 503, retry_after="0")

    with serving(script) as server, Client(server.url) as client:
        assert [one["id"] for one in client.export("soil")] == ["1", "2", "3"]
    assert [json.loads(request.body).get("after") for request in server.seen] == [None, "2", "2"]


def test_a_table_that_breaks_off_is_never_taken_for_a_whole_one(tmp_path: Path, run: Catalog) -> None:
    with serving(lambda *_: Answer(body=b"id\r\n1\r\n2\r\n", cut=5)) as server:
        with Client(server.url) as client, pytest.raises(Unreachable, match="broke off"):
            list(client.export_bytes("csv"))
        broken = run("export", "--as", "csv", "-o", tmp_path / "soil.csv", URL=server.url)
    assert (broken.code, (tmp_path / "soil.csv").exists()) == (6, False)


@pytest.fixture
def brought(catalog: Catalog, folder: Path, described: Path, live: Live, project: str) -> str:
    """An object with awkward files whose bytes are there, found already; its id."""
    put = catalog("put", folder, "--from", described)
    assert put.code == 0, put.err
    waiting = threading.Event()
    with Client(live.url) as client:
        for _ in range(600):
            hits = client.search(project=[project], filter="bytes > 0")["hits"]
            if hits and all(file["link"] for file in hits[0]["files"]):
                break
            waiting.wait(0.05)
    return put.out.strip()


def test_a_whole_result_is_fetched_checked_and_gone_on_with(
    catalog: Catalog, brought: str, folder: Path, project: str, tmp_path: Path
) -> None:
    to = tmp_path / "fetched"

    first = catalog("get", "--query", "soil", "--project", project, "-o", to, by=None)
    damaged = to / brought / "plain.csv"
    damaged.write_bytes(b"other bytes")
    again = catalog("get", "--filter", f"project = '{project}'", "--to", to, "--json", by=None)

    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert contents(to / brought) == contents(folder)
    outcomes = {told["path"]: told["outcome"] for told in map(json.loads, again.out.splitlines())}
    assert outcomes == {path: "downloaded" if path == "plain.csv" else "skipped" for path in contents(folder)}
    assert catalog("get", "--query", "soil", brought, by=None).code == 2


def test_every_link_of_a_manifest_is_noted_before_it_is_given(
    catalog: Catalog, live: Live, brought: str, folder: Path, project: str
) -> None:
    assert catalog("export", "--project", project, "--as", "manifest", by=None).code == 0
    seen = httpx2.get(
        f"{live.url}/api/access-log",
        params={"object": brought},
        headers={"authorization": f"Bearer {live.tokens['admin']}"},
        trust_env=False,
    ).json()
    assert sorted(contents(folder)) in [sorted(one["paths"]) for one in seen["items"]]


def test_manifests_are_files_that_other_programs_take(
    catalog: Catalog, brought: str, folder: Path, project: str
) -> None:
    """As aria2c(1) describes input files, and rclone its CSV of links."""
    told = {form: catalog("export", "--project", project, "--as", form, by=None).out for form in ("aria2", "rclone")}
    held = {f"{brought}/{path}": content for path, content in contents(folder).items()}

    listed = dict(row[::-1] for row in csv.reader(io.StringIO(told["rclone"])))
    entries = told["aria2"].split("# until ")[1:]
    options = [entry.splitlines() for entry in entries]

    assert {to: httpx2.get(url, timeout=30, trust_env=False).content for to, url in listed.items()} == held
    assert {lines[2].removeprefix("  out="): lines[3] for lines in options} == {
        to: f"  checksum=sha-256={hashlib.sha256(content).hexdigest()}" for to, content in held.items()
    }
    assert all(lines[1].startswith("http") and len(lines) == 4 for lines in options)


def ran(*command: object) -> None:
    """Run a program of others, which has to succeed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_aria2_fetches_a_whole_result_and_refuses_what_is_not_as_it_was(
    catalog: Catalog, brought: str, folder: Path, project: str, tmp_path: Path
) -> None:
    program, to, told = programs.aria2(), tmp_path / "fetched", tmp_path / "soil.aria2"
    assert catalog("export", "--project", project, "--as", "aria2", "-o", told, by=None).code == 0

    ran(program, "--no-conf", "-q", "-d", to, "-i", told)
    told.write_text(re.sub("checksum=sha-256=.*", f"checksum=sha-256={'0' * 64}", told.read_text()))
    with pytest.raises(AssertionError, match=r"\|ERR \|"):
        ran(program, "--no-conf", "-d", tmp_path / "wrong", "-i", told)

    assert contents(to / brought) == contents(folder)


def test_rclone_fetches_a_whole_result(
    catalog: Catalog, brought: str, folder: Path, project: str, tmp_path: Path
) -> None:
    program, to, told = programs.rclone(), tmp_path / "fetched", tmp_path / "soil.csv"
    assert catalog("export", "--project", project, "--as", "rclone", "-o", told, by=None).code == 0

    ran(program, "--config", os.devnull, "copyurl", "--urls", told, to)

    assert contents(to / brought) == contents(folder)


def test_a_link_that_has_run_out_is_asked_for_anew(
    live: Live, brought: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(live.url) as client:
        lines = list(client.manifest(brought))
        late = [
            line | {"link": {"href": f"{live.url}/nowhere", "expires_at": "2020-01-01T00:00:00Z"}} for line in lines
        ]
        monkeypatch.setattr(client, "manifest", lambda *_, **__: iter(late))
        fetched = list(client.fetch_found(tmp_path / "late"))
    assert {one.file["path"]: type(one.got).__name__ for one in fetched} == dict.fromkeys(contents(folder), "Got")
    assert contents(tmp_path / "late" / brought) == contents(folder)


def test_files_of_an_object_whose_telling_broke_off_come_once() -> None:
    def line(of: str, path: str) -> bytes:
        return json.dumps({"object": of, "path": path}).encode() + b"\n"

    first = line("1", "a") + line("1", "b") + line("2", "a")

    def script(_: object, number: int) -> Answer:
        if number == 0:
            return Answer(body=first, headers={"content-length": str(len(first) + 10)}, cut=len(first))
        return Answer(body=line("2", "a") + line("2", "b"))

    with serving(script) as server, Client(server.url) as client:
        told = [(one["object"], one["path"]) for one in client.manifest()]
    assert told == [("1", "a"), ("1", "b"), ("2", "a"), ("2", "b")]
    assert [json.loads(request.body).get("after") for request in server.seen] == [None, "1"]


def test_what_was_registered_with_wait_is_found_by_the_next_search(
    catalog: Catalog, described: Path, draft: dict[str, Any], project: str, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.ndjson"
    rows.write_text("\n".join(json.dumps(draft | {"title": f"Row {number}"}) for number in range(30)))

    one = catalog("register", described, "--wait", "--json")
    found = catalog("search", "--project", project, "--after-write", one.json["written"], "--json")
    many = catalog("register", rows, "--wait")
    then = catalog("search", "row", "--project", project, "--all", "--json", by=None)

    assert (one.code, many.code) == (0, 0), one.err + many.err
    assert ([hit["id"] for hit in found.json["hits"]], found.json["fresh"]) == ([one.json["id"]], True)
    assert (then.json["total"], len(then.json["hits"])) == (30, 30)


def test_an_export_takes_the_words_as_written_and_says_what_is_like_them(
    catalog: Catalog, brought: str, project: str, draft: dict[str, Any], tmp_path: Path
) -> None:
    """Nothing is written or fetched that was not asked for; told to, it is, and said in the words of a search."""
    word = draft["title"].split()[-1]
    asked, table = ("soyl", word, "--project", project), tmp_path / "soil.csv"

    searched = catalog("search", *asked)
    exact = catalog("export", *asked, "--as", "csv", "-o", table)
    fetched = catalog("get", "--query", f"soyl {word}", "--project", project, "-o", tmp_path / "none")
    rows = table.read_text().count("\n")
    near = catalog("export", *asked, "--as", "csv", "-o", table, "--similar")
    files = catalog("get", "--query", f"soyl {word}", "--project", project, "-o", tmp_path / "near", "--similar")

    said = searched.err.splitlines()[0]
    assert said == f"nothing has these words as written; shown is what has similar ones; did you mean: soil {word}"
    hint = (
        "nothing found: nothing has these words as written; --similar takes what has similar ones: 1 object; "
        f"did you mean: soil {word}"
    )
    assert (exact.code, exact.err.splitlines()) == (0, [f"{table}: 0 objects, {EMPTY_TABLE_BYTES} bytes", hint])
    assert (fetched.code, fetched.err.splitlines(), rows) == (0, [hint], 1)
    assert near.err.splitlines()[0] == files.err.splitlines()[0] == said
    assert near.err.splitlines()[1].startswith(f"{table}: 1 object, ")
    assert (tmp_path / "near" / brought / "plain.csv").exists()
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("brought")
def test_an_export_of_nothing_says_so_and_one_of_something_how_much(
    catalog: Catalog, folder: Path, project: str, tmp_path: Path
) -> None:
    told = {}
    for form in FORMS:
        some, none = (
            catalog("export", "--project", one, "--as", form, "-o", tmp_path / "out") for one in (project, "no/where")
        )
        told[form] = (some.err.partition(": ")[2].rpartition(", ")[0], none.err.splitlines()[1:])
    files = f"{len(contents(folder))} files of 1 object"
    nothing = ["nothing found: try fewer words or filters; `catalog search` shows what there is"]
    assert told == {
        **dict.fromkeys(("ndjson", "csv", "bibtex"), ("1 object", nothing)),
        **dict.fromkeys(("manifest", "aria2", "rclone"), (files, nothing)),
        "parquet": ("", []),
    }
    assert catalog("export", "--project", "no/where").err.splitlines() == nothing


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_rows_are_counted_as_they_pass_wherever_they_are_cut(size: int) -> None:
    told = b'id,title\r\n1,"a\r\nb ""c"""\r\n2,x\r\n'
    counted = Counted("csv")
    assert b"".join(counted.passing(told[at : at + size] for at in range(0, len(told), size))) == told
    assert counted.objects == 2

"""How a command ends: one test for each exit code, colours, pipes that close, and Ctrl-C."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from catalog.cli.output import EXIT_CODES
from catalog.local import ports
from tests.cli.conftest import Catalog
from tests.cli.terminal import COMMAND, environment, on_terminal
from tests.client.scripted import Answer, said, serving
from tests.conftest import Live
from tests.docs.repository import text_of

NOWHERE = "01900000-0000-7000-8000-000000000000"


def test_the_codes_that_are_documented_are_those_that_there_are() -> None:
    page = text_of(Path("docs/commands.md")) or ""
    table = dict(
        line.strip("| ").split(" | ")[:2] for line in page.splitlines() if line.startswith("| ") and line[2:3].isdigit()
    )
    assert table == {str(code): meaning for code, meaning in EXIT_CODES.items()}


def test_0_is_done(catalog: Catalog) -> None:
    assert catalog("kinds").code == 0


def test_1_is_failed(catalog: Catalog, described: Path) -> None:
    object_id = catalog("register", described).out.strip()
    # The record lacks a description, which must hold.
    assert catalog("lint", object_id).code == 1


def test_2_is_wrong_usage_and_faulty_input(catalog: Catalog, tmp_path: Path) -> None:
    assert catalog("search", "--no-such-option").code == 2
    (tmp_path / "faulty.json").write_text('{"kind": "modle"}')
    faulty = catalog("register", tmp_path / "faulty.json")
    assert (faulty.code, faulty.out) == (2, "")


def test_3_is_a_token_that_is_missing_unknown_or_not_enough(catalog: Catalog, described: Path) -> None:
    assert catalog("register", described, by=None).code == 3
    assert catalog("search", by=None, TOKEN="cat_unknown").code == 3


def test_4_is_not_there(catalog: Catalog) -> None:
    assert catalog("show", NOWHERE).code == 4


def test_5_is_in_conflict_with_the_present_state(catalog: Catalog, project: str) -> None:
    name = project.replace("/", "-")
    assert catalog("organization", "create", name, by="admin").code == 0
    assert catalog("organization", "create", name, by="admin").code == 5


def test_6_is_no_answer_and_not_available_now(run: Catalog) -> None:
    assert run("kinds", URL=f"http://127.0.0.1:{ports.choose()}").code == 6
    with serving(lambda *_: said({"status": 503, "detail": "Later."}, 503, retry_after="3600")) as server:
        assert run("kinds", URL=server.url).code == 6


def test_130_is_interrupted_by_ctrl_c_which_is_said_nothing_about() -> None:
    with serving(lambda *_: Answer(200, b"{", {"content-length": "100"}, hold=True)) as server:
        with subprocess.Popen(
            [*COMMAND, "kinds"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(CATALOG_URL=server.url),
        ) as process:
            ends = time.monotonic() + 60
            while not server.seen:
                assert time.monotonic() < ends, "the command never asked"
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        server.release.set()
    assert (process.returncode, out, err) == (130, "", "")


@pytest.mark.parametrize("words", [["kinds"], ["kinds", "model", "--json"], ["--help"]])
def test_a_reader_that_goes_away_is_no_accident(live: Live, words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        [*COMMAND, *words],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment(CATALOG_URL=live.url),
        text=True,
    ) as process:
        os.close(writing)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "")


def test_head_gets_its_line_and_nothing_is_complained_about(live: Live) -> None:
    told = subprocess.run(
        ["bash", "-c", f"{COMMAND[0]} -m catalog kinds | head -1"],
        capture_output=True,
        text=True,
        env=environment(CATALOG_URL=live.url),
        check=True,
    )
    assert (told.stdout, told.stderr) == ("kind\ttitle\tdescription\n", "")


def test_colours_are_for_terminals_alone_and_never_where_they_are_not_wanted(live: Live) -> None:
    coloured = on_terminal("kinds", CATALOG_URL=live.url)
    assert "\x1b[1m" in coloured
    assert "\x1b" not in on_terminal("kinds", CATALOG_URL=live.url, NO_COLOR="1")
    assert "\x1b" not in on_terminal("kinds", CATALOG_URL=live.url, TERM="dumb")
    as_json: Any = json.loads(on_terminal("kinds", "--json", CATALOG_URL=live.url))
    assert [one["name"] for one in as_json][:1] == [coloured.splitlines()[1].split()[0]]


def test_what_is_too_wide_for_a_terminal_stands_below_each_other_and_no_id_is_cut(
    catalog: Catalog, described: Path, draft: dict[str, Any], live: Live
) -> None:
    object_id = catalog("register", described, "--wait").out.strip()
    asked = ("search", "--project", draft["project"])
    narrow = on_terminal(*asked, columns=70, CATALOG_URL=live.url, NO_COLOR="1")
    assert narrow.splitlines()[:3] == [
        draft["title"],
        f"  kind: training-dataset  project: {draft['project']}",
        "  licence: CC-BY-4.0  files: 0",
    ]
    assert f"  id: {object_id}\n" in narrow
    wide = on_terminal(*asked, columns=200, CATALOG_URL=live.url, NO_COLOR="1")
    assert wide.splitlines()[0].split() == ["title", "kind", "project", "licence", "year", "files", "id"]
    assert object_id in wide

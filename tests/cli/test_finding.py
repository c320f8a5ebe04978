"""`search`, `show`, `kinds`: what they show, what they write as JSON, and what they say when something is wrong."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from catalog.local import ports
from tests.cli.conftest import Catalog, Outcome

NOWHERE = "01900000-0000-7000-8000-000000000000"


def until_found(catalog: Catalog, *words: object) -> Outcome:
    """Search until something is found: the index follows within moments."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        found = catalog("search", *words, "--json")
        if found.json["total"]:
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing was found: {words}")


def test_a_search_is_a_table_with_whole_ids(
    catalog: Catalog, folder: Path, described: Path, draft: dict[str, Any]
) -> None:
    object_id = catalog("put", folder, "--from", described).out.strip()
    until_found(catalog, "--project", draft["project"])
    found = catalog("search", "soil", "moisture", "--project", draft["project"])
    header, row = (line.split("\t") for line in found.out.splitlines())
    assert header == ["title", "kind", "project", "licence", "year", "files", "id"]
    assert row == [draft["title"], draft["kind"], draft["project"], "CC-BY-4.0", "", "11", object_id]
    assert "1 found" in found.err
    assert "\x1b" not in found.out + found.err


def test_a_search_in_json_is_what_the_api_answers(catalog: Catalog, described: Path, draft: dict[str, Any]) -> None:
    catalog("register", described)
    project = draft["project"]
    found = until_found(catalog, "--project", project, "--facet", "kind", "--facet", "licence", "--sort", "title").json
    assert {"total", "hits", "facets", "cursor", "similar", "did_you_mean"} == found.keys()
    assert found["facets"]["kind"] == {"buckets": [{"value": "training-dataset", "count": 1}], "rest": 0, "missing": 0}
    assert found["hits"][0]["title"] == draft["title"]


def test_all_pages_are_put_together(catalog: Catalog, draft: dict[str, Any], tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(json.dumps(draft | {"title": f"Number {number}"}))
        catalog("register", tmp_path / f"{number}.json")
    ends = time.monotonic() + 30
    while catalog("search", "--project", draft["project"], "--json").json["total"] < 3 and time.monotonic() < ends:
        time.sleep(0.05)
    some = catalog("search", "--project", draft["project"], "--limit", "2", "--sort", "title")
    assert [line.split("\t")[0] for line in some.out.splitlines()[1:]] == ["Number 0", "Number 1"]
    assert "2 of 3; --all shows all" in some.err
    every = catalog("search", "--project", draft["project"], "--all", "--sort", "title", "--json").json
    assert [hit["title"] for hit in every["hits"]] == ["Number 0", "Number 1", "Number 2"]
    assert every["cursor"] is None


def test_a_private_object_is_shown_to_its_owner_only(catalog: Catalog, described: Path, draft: dict[str, Any]) -> None:
    described.write_text(json.dumps(draft | {"visibility": "private"}))
    object_id = catalog("register", described).out.strip()
    until_found(catalog, "--project", draft["project"])
    own = catalog("search", "--project", draft["project"])
    assert own.out.splitlines()[1].startswith(f"{draft['title']} (private)\t")
    others = catalog("search", "--project", draft["project"], by="reader")
    assert (others.code, others.out) == (0, "")
    assert "nothing found" in others.err
    hidden = catalog("show", object_id, by="reader")
    assert (hidden.code, hidden.out) == (4, "")


def test_an_object_is_shown_with_all_it_says(
    catalog: Catalog, folder: Path, described: Path, draft: dict[str, Any]
) -> None:
    object_id = catalog("put", folder, "--from", described).out.strip()
    shown = catalog("show", object_id, by=None)
    lines = shown.out.splitlines()
    assert lines[0] == draft["title"]
    assert f"  id: {object_id}" in lines
    assert "  licence: CC-BY-4.0" in lines
    assert "    email: ana@example.org" in lines
    assert "\t1.0 MB\tavailable\tapplication/octet-stream\t" in shown.out


def test_kinds_are_listed_and_described(catalog: Catalog) -> None:
    listed = catalog("kinds", by=None)
    assert [line.split("\t")[0] for line in listed.out.splitlines()[1:]] == sorted(
        one["name"] for one in catalog("kinds", "--json", by=None).json
    )
    one = catalog("kinds", "model", "--json", by=None).json
    assert {"name", "title", "description", "schema", "example"} <= one.keys()
    unknown = catalog("kinds", "modle", by=None)
    assert unknown.code == 4
    assert "there is no kind 'modle'" in unknown.err.lower()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["search", "--limit", "101"], 2, "--limit"),
        (["search", "--sort", "oddest"], 2, "'oddest' is not one of relevance, newest, oldest, title"),
        (["search", "--facet", "colour"], 2, "'colour' is not one of"),
        (["search", "--kind", "modle"], 2, "/kind"),
        (["search", "--nonsense"], 2, "--nonsense"),
        (["show", NOWHERE], 4, "catalog: "),
        (["show", "no-id"], 4, "'no-id' is not an id"),
        (["get", NOWHERE], 4, "catalog: "),
        (["register", "/nonexistent.json"], 2, "/nonexistent.json cannot be read: No such file or directory."),
        (["put", "/nonexistent"], 2, "There is no file or folder /nonexistent."),
        (["put", __file__, "--contact", "Ana"], 2, "--contact 'Ana' is not like"),
        (["put", __file__, "--meta", "labelled"], 2, "--meta 'labelled' is not like"),
        (["kinds", "modle"], 4, "modle"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_every_refusal_has_its_code_and_its_reason(catalog: Catalog, words: list[str], code: int, said: str) -> None:
    outcome = catalog(*words)
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err


def test_each_fault_of_a_registration_has_its_line_and_its_mend(
    catalog: Catalog, draft: dict[str, Any], tmp_path: Path
) -> None:
    wrong = draft | {
        "kind": "training-datset",
        "creators": [{"name": "A", "orcid": "0000-0002-1825-0098"}],
        "colour": 1,
    }
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    outcome = catalog("register", tmp_path / "wrong.json")
    assert outcome.code == 2
    assert "  /kind: " in outcome.err
    assert "(training-dataset)" in outcome.err
    assert "  /creators/0/orcid: 0000-0002-1825-0098 is not an ORCID iD" in outcome.err
    assert "  /colour: " in outcome.err


def test_a_number_where_a_text_is_wanted_is_shown_as_it_has_to_be_typed(catalog: Catalog, folder: Path) -> None:
    words = [
        "--kind",
        "weights",
        "--title",
        "T",
        "--project",
        "cli/options",
        "--creator",
        "A",
        "--contact",
        "A <a@b.org>",
    ]

    wrong = catalog("put", folder, *words, "--meta", "model=model/none", "--meta", "model_version=1.0")

    assert wrong.code == 2
    assert """  /metadata/model_version: must be a text (give --meta 'model_version="1.0"')\n""" in wrong.err
    mended = catalog("put", folder, *words, "--meta", "model=model/none", "--meta", 'model_version="1.0"')
    assert "/metadata/model_version" not in mended.err


def test_a_fault_of_put_names_the_option_that_mends_it(catalog: Catalog, folder: Path) -> None:
    outcome = catalog("put", folder, "--kind", "training-dataset", "--title", "T", "--project", "cli/options")
    assert outcome.code == 2
    assert "(give --creator)" in outcome.err
    assert "(give --contact)" in outcome.err
    assert "/metadata/labelled" in outcome.err


def test_put_says_nothing_of_uploading_before_the_catalog_has_taken_the_description(
    catalog: Catalog, folder: Path, described: Path
) -> None:
    refused = catalog("put", folder, "--from", described, "--licence", "CC BY")
    brought = catalog("put", folder, "--from", described)

    assert (refused.code, "uploading" in refused.err) == (2, False)
    assert (brought.code, brought.err.index("registered as") < brought.err.index("uploading")) == (0, True)


def test_json_that_says_something_twice_is_refused_with_the_place(catalog: Catalog, tmp_path: Path) -> None:
    file = tmp_path / "twice.json"
    file.write_text('{"title": "One", "title": "Two"}', encoding="utf-8")
    rows = tmp_path / "rows.ndjson"
    rows.write_text('{"kind": "model", "metadata": {"task": "a", "task": "b"}}\n', encoding="utf-8")

    told = [catalog("register", place) for place in (file, rows)]

    assert [one.code for one in told] == [2, 2]
    assert "/title: this name stands twice in one object" in told[0].err
    assert "/metadata/task: this name stands twice in one object" in told[1].err


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is not JSON: line 1, column 2"), ("[]", "holds no JSON object"), (b"\xff\xfe", "is not JSON in UTF-8")],
)
def test_json_that_is_none_is_refused_where_it_breaks(
    catalog: Catalog, tmp_path: Path, text: str | bytes, said: str
) -> None:
    (tmp_path / "wrong.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    outcome = catalog("register", tmp_path / "wrong.json")
    assert outcome.code == 2
    assert said in outcome.err


def test_an_unknown_token_is_told_apart_from_one_that_may_not(catalog: Catalog, described: Path) -> None:
    unknown = catalog("search", by=None, TOKEN="cat_unknown")
    assert unknown.code == 3
    assert "unknown, expired or revoked" in unknown.err
    assert "cat_unknown" not in unknown.err
    reading = catalog("register", described, by="reader")
    assert reading.code == 3
    # It may have a role elsewhere, by another test; either way it is told which one is needed.
    assert "the role ingest" in reading.err
    nobody = catalog("register", described, by=None)
    assert nobody.code == 3


def test_a_withdrawn_object_is_not_registered_again_unless_asked_for(
    catalog: Catalog, described: Path, live: Any
) -> None:
    from catalog.client import Catalog as Client  # ruff: ignore[PLC0415] - its name is taken here.

    object_id = catalog("register", described).out.strip()
    with Client(live.url, live.tokens["ingest"]) as client:
        client.withdraw(object_id, "The sensor was broken.", revision=client.get(object_id)["revision"])
    assert catalog("show", object_id).code == 4
    again = catalog("register", described)
    assert again.code == 4
    assert "--new registers it as another object" in again.err
    assert catalog("register", described, "--new").code == 0


def test_where_no_catalog_answers_the_address_is_named(run: Catalog) -> None:
    address = f"http://127.0.0.1:{ports.choose()}"
    outcome = run("--url", address, "search", URL="http://127.0.0.1:1")
    assert outcome.code == 6
    assert f"No catalog answers at {address}" in outcome.err


def test_the_token_comes_from_a_file_that_wins_over_the_environment(
    catalog: Catalog, live: Any, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(live.tokens["ingest"] + "\n")
    mine = catalog("--token-file", file, "register", tmp_path / "missing.json", by=None)
    assert mine.code == 2
    assert catalog("--token-file", file, "search", by=None, TOKEN="cat_wrong").code == 0
    assert catalog("search", by=None, TOKEN_FILE=str(file)).code == 0
    both = catalog("search", TOKEN_FILE=str(file))
    assert both.code == 1
    assert "CATALOG_TOKEN or CATALOG_TOKEN_FILE, not both" in both.err
    missing = catalog("--token-file", tmp_path / "nothing", "search", by=None)
    assert missing.code == 1
    assert "cannot be read" in missing.err


def test_a_question_is_explained_and_what_is_alike_is_shown(
    catalog: Catalog, draft: dict[str, Any], tmp_path: Path
) -> None:
    ids = []
    for number in range(2):
        (tmp_path / f"{number}.json").write_text(
            json.dumps(draft | {"keywords": [draft["title"]], "name": f"n{number}"})
        )
        ids.append(catalog("register", tmp_path / f"{number}.json").out.strip())
    ends = time.monotonic() + 30
    while (found := catalog("search", "--project", draft["project"], "--json").json)["total"] < 2:
        assert time.monotonic() < ends, found
        time.sleep(0.05)

    why = catalog("search", "soil", "year:2020", "--kind", draft["kind"], "--explain", ids[0])
    assert [line.split("\t") for line in why.out.splitlines()] == [
        ["asked", "must be", "is", "fulfilled"],
        ["soil", "there", "there", "yes"],
        ["year", "there", "absent", "NO"],
        [f"kind: {draft['kind']}", "there", "there", "yes"],
        [""],
        ["its words are in", "which counts", "there"],
        ["title", "4 times", draft["title"].replace("Soil", "[Soil]")],
        ["keywords", "2 times", draft["title"].replace("Soil", "[Soil]")],
    ]
    assert "not found" in why.err
    alike = catalog("similar", ids[0], "--limit", "1")
    words = "; ".join(f"“{word}” in the title" for word in draft["title"].split())
    assert alike.out.splitlines()[1].split("\t")[3:] == [f"{draft['title']}; Rivera, Ana; {words}", ids[1]]

"""`catalog lint`, `curate`, `edit` and `undo`."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Catalog


@pytest.fixture
def objects(catalog: Catalog, draft: dict[str, Any], tmp_path: Path) -> list[str]:
    """Two objects without a licence."""
    file = tmp_path / "objects.ndjson"
    file.write_text(
        "\n".join(json.dumps(draft | {"title": title, "licence": None}) for title in "ab"), encoding="utf-8"
    )
    assert catalog("register", file).code == 0
    listed = catalog("lint", "--project", draft["project"], "--json").out.splitlines()
    return sorted(json.loads(line)["object"] for line in listed)


def test_records_are_told_how_to_be_mended(catalog: Catalog, objects: list[str]) -> None:
    told = catalog("lint", objects[0])

    assert told.code == 1
    assert "required licence: /licence: none is stated" in told.out
    assert told.err == "1 looked at, 1 do not pass\n"
    unsaid = catalog("lint")
    assert (unsaid.code, unsaid.out) == (2, "")


def test_many_objects_are_changed_after_a_look_and_changed_back(
    catalog: Catalog, draft: dict[str, Any], objects: list[str]
) -> None:
    patch = json.dumps({"licence": "MIT"})

    looked = catalog("edit", patch, "--project", draft["project"])

    assert (looked.code, looked.out.count('"MIT"')) == (0, 2)
    assert looked.err == "2 of 2 would change; nothing has: say --apply to change them\n"
    made = catalog("edit", patch, "--project", draft["project"], "--apply")
    assert made.code == 0
    edit_id = made.out.strip()
    assert [catalog("show", one, "--json").json["licence"] for one in objects] == ["MIT", "MIT"]
    undone = catalog("undo", edit_id)
    assert (undone.code, undone.err) == (0, "2 are as before\n")
    assert [catalog("show", one, "--json").json["licence"] for one in objects] == [None, None]
    refused = catalog("edit", '{"licence": "what"}', *objects, "--apply")
    because = "'what' is not an SPDX licence id or expression; examples: CC-BY-4.0, MIT, CC0-1.0"
    assert (refused.code, refused.out.splitlines()[0]) == (5, "title\tfield\trefused because\tnearest\tid")
    assert sorted(refused.out.splitlines()[1:]) == [
        f"{title}\t/licence\t{because}\t\t{one}" for title, one in zip("ab", objects, strict=True)
    ]
    assert catalog("edit", "{", *objects).code == 2


def test_an_edit_of_the_first_objects_says_how_many_fit_and_how_to_go_on(
    catalog: Catalog, draft: dict[str, Any], objects: list[str]
) -> None:
    patch = json.dumps({"licence": "MIT"})
    first, second = sorted(objects)

    made = catalog("edit", patch, "--project", draft["project"], "--limit", "1", "--apply")
    rest = catalog("edit", patch, "--project", draft["project"], "--limit", "1", "--after", first)

    assert made.err.splitlines()[1:] == [f"these are the first 1 of 2; --after {first} takes the next ones"]
    assert rest.err == "1 of 1 would change; nothing has: say --apply to change them\n"
    assert [catalog("show", one, "--json").json["licence"] for one in (first, second)] == ["MIT", None]


def test_a_look_at_an_edit_shows_the_fields_that_change_and_no_others(catalog: Catalog, objects: list[str]) -> None:
    patch = json.dumps({"metadata": {"labelled": True, "instances": 5}, "licence": "MIT"})

    looked = catalog("edit", patch, objects[0])

    assert looked.out.splitlines() == [
        "title\tfield\tfrom\tto\tid",
        f'a\t/licence\t\t"MIT"\t{objects[0]}',
        f"a\t/metadata/instances\t\t5\t{objects[0]}",
        f"a\t/metadata/labelled\tfalse\ttrue\t{objects[0]}",
    ]


def test_queues_are_counted_and_listed(catalog: Catalog, draft: dict[str, Any], objects: list[str]) -> None:
    counted = {one["name"] for one in catalog("curate", "--json").json}
    assert {"without-licence", "broken-references", "wrong-files"} <= counted
    listed = catalog("curate", "without-licence", "--project", draft["project"], "--json")
    assert {one["id"] for one in listed.json} <= set(objects)
    unknown = catalog("curate", "nothing")
    assert unknown.code == 4
    assert unknown.err.endswith(", not-passing. Curators have discovered-files and unfound-searches too.\n")
    for beside in ("discovered-files", "unfound-searches"):
        assert isinstance(catalog("curate", beside, "--json", by="curator").json, list)
        assert catalog("curate", beside, by="ingest").code == 3
    assert "queue" in catalog("curate").out

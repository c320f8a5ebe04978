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
    assert (refused.code, refused.out.count("refused:")) == (5, 2)
    assert catalog("edit", "{", *objects).code == 2


def test_queues_are_counted_and_listed(catalog: Catalog, draft: dict[str, Any], objects: list[str]) -> None:
    counted = {one["name"] for one in catalog("curate", "--json").json}
    assert {"without-licence", "broken-references", "wrong-files"} <= counted
    listed = catalog("curate", "without-licence", "--project", draft["project"], "--json")
    assert {one["id"] for one in listed.json} <= set(objects)
    assert catalog("curate", "nothing").code == 4
    for beside in ("discovered-files", "unfound-searches"):
        assert isinstance(catalog("curate", beside, "--json", by="curator").json, list)
        assert catalog("curate", beside, by="ingest").code == 3
    assert "queue" in catalog("curate").out

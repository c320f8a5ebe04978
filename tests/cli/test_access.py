"""Organizations, roles, groups and grants on the command line."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.cli.conftest import Catalog


@pytest.fixture
def organization() -> str:
    return f"o{uuid4().hex[:10]}"


def test_three_commands_lead_from_nothing_to_a_project_with_a_member(catalog: Catalog, organization: str) -> None:
    project = f"{organization}/soil"
    made = [
        catalog("organization", "create", organization, "--title", "The lab", by="admin"),
        catalog("project", "create", project, by="admin"),
        catalog("member", "give", project, "user:reader", "ingest", by="admin"),
    ]
    assert [one.code for one in made] == [0, 0, 0], [one.err for one in made]
    assert made[2].err.strip().endswith(f"user:reader is ingest in {project}")
    listed = catalog("member", "list", project, "--json", by="admin").json
    assert [(one["member"], one["role"]) for one in listed] == [("user:reader", "ingest")]
    seen = catalog("organization", "list", "--json", by="reader").json
    assert organization in {one["name"] for one in seen}
    assert [one["name"] for one in catalog("project", "list", organization, "--json", by="reader").json] == [project]
    assert catalog("member", "take", project, "user:reader", by="admin").code == 0
    assert catalog("member", "list", project, "--json", by="admin").json == []


def test_a_group_is_granted_an_object_and_loses_it_again(
    catalog: Catalog, organization: str, draft: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "draft.json"
    file.write_text(json.dumps(draft | {"visibility": "private"}))
    object_id = catalog("register", file).out.strip()
    catalog("organization", "create", organization, by="admin")
    catalog("group", "create", f"{organization}/team", by="admin")
    catalog("group", "add", f"{organization}/team", "reader", by="admin")
    assert catalog("group", "list", organization, "--json", by="admin").json[0]["members"] == ["reader"]
    before = catalog("show", object_id, by="reader").code

    made = catalog("grant", "give", object_id, f"group:{organization}/team", "READ")

    assert (before, made.code, catalog("show", object_id, by="reader").code) == (4, 0, 0)
    listed = catalog("grant", "list", object_id).out
    assert f"group:{organization}/team" in listed
    assert catalog("grant", "revoke", object_id, made.out.strip()).code == 0
    assert catalog("show", object_id, by="reader").code == 4


def test_a_role_that_is_none_is_refused_with_those_there_are(catalog: Catalog, organization: str) -> None:
    catalog("organization", "create", organization, by="admin")
    refused = catalog("member", "give", organization, "user:reader", "boss", by="admin")
    assert refused.code != 0
    assert "'admin', 'curator', 'ingest' or 'reader'" in refused.err


def test_a_file_is_put_under_an_embargo(catalog: Catalog, described: Path, folder: Path) -> None:
    told = json.loads(described.read_text())
    told.pop("visibility", None)
    described.write_text(json.dumps(told))
    words = ["--embargo-until", "2099-01-31T00:00:00Z"]
    put = catalog("put", folder / "plain.csv", "--from", described, *words)
    assert put.code == 0, put.err
    shown = catalog("show", put.out.strip(), "--json").json
    assert (shown["visibility"], shown["embargo_until"]) == ("embargoed", "2099-01-31T00:00:00Z")
    assert catalog("show", put.out.strip(), by=None).code == 4
    for_project = catalog("put", folder / "plain.csv", "--from", described, "--visibility", "project")
    assert catalog("show", for_project.out.strip(), "--json").json["visibility"] == "project"

"""`catalog publish`, `versions`, `compare`, `history`, `withdraw`."""

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.client import Catalog as Client
from tests.cli.conftest import Catalog
from tests.conftest import Live


@pytest.fixture
def object_id(catalog: Catalog, draft: dict[str, Any], tmp_path: Path) -> str:
    """A public object without files."""
    file = tmp_path / "object.json"
    file.write_text(json.dumps(draft | {"visibility": "public"}), encoding="utf-8")
    return catalog("register", file).out.strip()


def revise(live: Live, object_id: str, **changes: Any) -> None:
    """Change an object."""
    with Client(live.url, live.tokens["ingest"]) as client:
        client.patch(object_id, changes, revision=client.get(object_id)["revision"])


def test_an_object_is_published_compared_and_withdrawn(catalog: Catalog, live: Live, object_id: str) -> None:
    nothing = catalog("versions", object_id)
    assert (nothing.code, nothing.out) == (0, "")
    assert "nothing is published" in nothing.err

    label = catalog("publish", object_id, "--label", "a b")
    words = "write 1 to 64 letters, digits, dots, hyphens, + and underscores, a letter or digit first"
    assert (label.code, words in label.err) == (2, True)
    first = catalog("publish", object_id, "--label", "v1", "--note", "The first.")
    assert (first.code, first.out) == (0, "1\n")
    again = catalog("publish", object_id)
    assert (again.code, again.out) == (5, "")
    assert "Nothing has changed since version 1." in again.err

    revise(live, object_id, title="Mended")
    differing = catalog("compare", object_id, "v1", "--json").json
    assert [(one["pointer"], one["after"]) for one in differing["items"]] == [("/title", "Mended")]
    assert "Mended" in catalog("compare", object_id, "v1").out
    assert "changed since" in catalog("versions", object_id).err
    assert catalog("publish", object_id).out == "2\n"
    assert catalog("versions", object_id, "v1", "--json").json["version"]["note"] == "The first."
    assert catalog("versions", object_id, "latest").out.startswith("Mended, version 2\n")

    unsaid = catalog("withdraw", object_id)
    assert (unsaid.code, unsaid.out) == (2, "")
    assert "--reason" in unsaid.err
    assert "Aborted" not in unsaid.err
    ended = catalog("withdraw", object_id, "--version", "2", "--reason", "A wrong title.")
    assert (ended.code, ended.out, ended.err) == (0, "", "version 2 withdrawn\n")
    assert "A wrong title." in catalog("versions", object_id).out
    whole = catalog("withdraw", object_id, "--reason", "The sensor was broken.")
    assert (whole.code, whole.err) == (0, "withdrawn\n")
    gone = catalog("show", object_id)
    assert gone.code == 4
    assert "The sensor was broken." in gone.err


def test_an_object_is_shown_and_fetched_by_its_name_and_by_that_of_a_version(
    catalog: Catalog, live: Live, object_id: str, draft: dict[str, Any], tmp_path: Path
) -> None:
    revise(live, object_id, name="soil")
    project, name = draft["project"], f"{draft['kind']}/soil"
    assert catalog("publish", f"{project}/{name}", "--label", "v1").code == 0

    assert catalog("show", name, "--project", project, "--json").json["id"] == object_id
    assert catalog("show", f"{project}/{name}", "--json").json["id"] == object_id
    assert catalog("show", f"{name}@v1", "--project", project).out.startswith(f"{draft['title']}, version 1\n")
    fetched = catalog("get", name, "--project", project, "--to", tmp_path)
    assert (fetched.code, fetched.err.splitlines()[0]) == (0, "this object has no files")
    alone = catalog("show", name)
    assert (alone.code, alone.err) == (
        4,
        f"catalog: A name needs its project: write org/project/{name}.\n",
    )
    version = catalog("get", f"{project}/{name}@1")
    assert (version.code, f"names version 1 of the object {object_id}" in version.err) == (2, True)


def test_the_history_is_told_to_those_who_may_change_the_object(catalog: Catalog, live: Live, object_id: str) -> None:
    revise(live, object_id, title="Mended")

    told = catalog("history", object_id, "--json").json

    assert [(one["by"], one["action"], one["to_revision"]) for one in told] == [
        ("ingest", "revise", 2),
        ("ingest", "register", 1),
    ]
    assert "revise" in catalog("history", object_id).out
    assert catalog("history", object_id, "--revision", "2").json["description"]["title"] == "Mended"
    refused = catalog("history", object_id, by="reader")
    assert (refused.code, refused.out) == (3, "")

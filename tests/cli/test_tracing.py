"""`provenance`, `impact`, `relate`, `import-provenance`: what they record and show."""

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Catalog


def registered(catalog: Catalog, folder: Path, draft: dict[str, Any], title: str) -> str:
    """Register an object from a file and return its id."""
    file = folder / f"{title}.json"
    file.write_text(json.dumps(draft | {"title": title}))
    done = catalog("register", file)
    assert done.code == 0, done.err
    return done.out.split()[0]


def test_what_is_related_is_shown_up_and_down_and_in_formats(
    catalog: Catalog, draft: dict[str, Any], tmp_path: Path
) -> None:
    raw, data = (registered(catalog, tmp_path, draft, title) for title in ("Raw", "Data"))

    said = [
        catalog("relate", data, "IsDerivedFrom", raw),
        catalog("relate", data, "IsDerivedFrom", "DOI:10.5281/zenodo.1"),
        catalog("relate", data, "Cites", "https://example.org/a"),
    ]

    assert [one.code for one in said] == [0, 0, 0], said
    up, down = catalog("provenance", data), catalog("provenance", raw, "--direction", "down", "--json")
    assert [line.split("\t") for line in up.out.splitlines()] == [
        ["what", "relation", "to", "id"],
        ["Data", "IsDerivedFrom", "Raw", raw],
        ["Data", "IsDerivedFrom", "DOI:10.5281/zenodo.1", "DOI:10.5281/zenodo.1"],
    ]
    assert [(edge["from"], edge["to"]) for edge in down.json["edges"]] == [(data, raw)]
    assert "prov:wasDerivedFrom" in catalog("provenance", data, "--format", "turtle").out
    dependents = catalog("impact", raw)
    assert dependents.out.splitlines()[1:2] == [f"{draft['kind']}\t1"]
    assert "1 depend on it, 1 of them directly" in dependents.err
    assert catalog("impact", raw, "--json").json["total"] == 1
    assert "nothing is recorded" in catalog("provenance", raw).err
    wrong = catalog("provenance", raw, "--direction", "sideways")
    assert (wrong.code, "'sideways' is not one of up, down, both" in wrong.err) == (2, True)


def test_a_document_that_was_written_out_is_taken_in_and_says_what_was_left_out(
    catalog: Catalog, draft: dict[str, Any], tmp_path: Path
) -> None:
    raw, data = (registered(catalog, tmp_path, draft, title) for title in ("Raw", "Data"))
    document = {
        "wasDerivedFrom": {"_:1": {"prov:generatedEntity": data, "prov:usedEntity": raw}},
        "wasStartedBy": {"_:2": {}},
    }
    (tmp_path / "prov.json").write_text(json.dumps(document))

    first, again = (catalog("import-provenance", tmp_path / "prov.json") for _ in range(2))

    assert (first.code, again.code) == (0, 0), first.err
    assert "left out /wasStartedBy/_:2: only the time of an activity" in first.err
    assert "1 relation, 0 activities and 0 other statements recorded, 1 object changed, 1 part left out" in first.err
    assert "0 relations, 0 activities and 0 other statements recorded, 0 objects changed" in again.err
    written = catalog("provenance", data, "--format", "prov-json")
    assert len(written.json["wasDerivedFrom"]) == 1


def test_relations_are_listed_and_taken_back(catalog: Catalog, draft: dict[str, Any], tmp_path: Path) -> None:
    raw, data = (registered(catalog, tmp_path, draft, title) for title in ("Raw", "Data"))
    assert catalog("relate", data, "IsDerivedFrom", raw).code == 0
    assert catalog("relate", data, "Cites", "DOI:10.5281/zenodo.1").code == 0

    listed = catalog("relation", "list", data)
    first, second = catalog("relation", "list", data, "--json").json
    ended = catalog("relation", "remove", data, first["id"])

    assert [line.split("\t")[:3] for line in listed.out.splitlines()] == [
        ["type", "to", "by"],
        ["IsDerivedFrom", "Raw", "ingest"],
        ["Cites", "DOI:10.5281/zenodo.1", "ingest"],
    ]
    assert (ended.code, ended.err) == (0, "taken back\n")
    assert catalog("relation", "list", data, "--json").json == [second]
    assert catalog("relation", "remove", data, first["id"]).code == 4
    assert "nothing is recorded" in catalog("relation", "list", raw).err


def test_agents_are_recorded_listed_and_taken_back(catalog: Catalog, draft: dict[str, Any], tmp_path: Path) -> None:
    data = registered(catalog, tmp_path, draft, "Data")
    person = {"type": "person", "name": "Rivera, Ana"}
    said = tmp_path / "said.json"
    said.write_text(json.dumps({"type": "wasAttributedTo", "agent": person, "role": "author"}))
    behalf = tmp_path / "behalf.json"
    lab = {"type": "organization", "name": "Argonne"}
    behalf.write_text(json.dumps({"type": "actedOnBehalfOf", "agent": person, "responsible": lab}))

    first = catalog("agent", "record", data, said)
    second = catalog("agent", "record", data, behalf)
    listed = catalog("agent", "list", data)

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert [line.split("\t") for line in listed.out.splitlines()] == [
        ["said", "agent", "role", "on behalf of", "by", "id"],
        ["wasAttributedTo", "Rivera, Ana", "author", "", "ingest", first.out.strip()],
        ["actedOnBehalfOf", "Rivera, Ana", "", "Argonne", "ingest", second.out.strip()],
    ]
    assert catalog("agent", "remove", data, first.out.strip()).err == "taken back\n"
    assert [one["id"] for one in catalog("agent", "list", data, "--json").json] == [second.out.strip()]


def test_an_activity_is_recorded_once_and_shown(catalog: Catalog, draft: dict[str, Any], tmp_path: Path) -> None:
    raw, data = (registered(catalog, tmp_path, draft, title) for title in ("Raw", "Data"))
    file = tmp_path / "activity.json"
    told = {"type": "training", "label": "Third run", "parameters": {"epochs": 40}, "used": [raw], "generated": [data]}
    file.write_text(json.dumps(told))

    made, again = (catalog("activity", "record", file) for _ in range(2))
    another = catalog("activity", "record", file, "--new")
    shown = catalog("activity", "show", made.out.strip())

    assert (made.code, again.out, another.code) == (0, made.out, 0), made.err
    assert another.out != made.out
    lines = shown.out.splitlines()
    assert lines[0] == "Third run"
    assert {"  type: training", "    epochs: 40", f"    Raw ({raw})", f"    Data ({data})"} <= set(lines)
    assert catalog("activity", "show", made.out.strip(), "--json").json["parameters"] == {"epochs": 40}
    assert catalog("activity", "show", raw).code == 4

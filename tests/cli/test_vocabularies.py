"""`catalog vocab`: looking at vocabularies, changing them, proposing terms and deciding about them."""

from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.conftest import Catalog
from tests.vocabulary.files import soil, turtle


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A vocabulary of this test's own, in a file of its name."""
    name = f"s{uuid4().hex[:12]}"
    path = tmp_path / f"{name}.ttl"
    path.write_text(soil(f"urn:example:{name}"))
    return path


def test_a_file_is_compared_imported_shown_and_written_again(catalog: Catalog, file: Path) -> None:
    name = file.stem
    before = catalog("vocab", "diff", file, by="curator")
    absent = catalog("vocab", "show", name)
    imported = catalog("vocab", "import", file, "--json", by="curator").json
    listed = {one["name"]: one["concepts"] for one in catalog("vocab", "list", "--json").json}
    shown = catalog("vocab", "show", name, "--find", "boden")
    written = catalog("vocab", "show", name, "--turtle")
    file.write_text(written.out)
    after = catalog("vocab", "diff", file, by="curator")

    assert f"{name}: 4 added, 0 changed, 0 retired, 0 unchanged; nothing was changed" in before.err
    assert (absent.code, "There is no vocabulary" in absent.err) == (4, True)
    assert (imported["revision"], imported["added"], listed[name]) == (1, 4, 4)
    assert shown.out.splitlines() == [
        "label\tnotation\talso called\turi",
        f"Soil\t\tBoden\turn:example:{name}:soil",
        f"Soil moisture\tSM\tBodenfeuchte, water content, humidité du sol\turn:example:{name}:moisture",
    ]
    assert f"{name}: 0 added, 0 changed, 0 retired, 4 unchanged; nothing was changed" in after.err


def test_a_concept_is_retired_with_what_takes_its_place(catalog: Catalog, file: Path) -> None:
    catalog("vocab", "import", file, by="curator")
    old, new = (f"urn:example:{file.stem}:{one}" for one in ("rain", "moisture"))

    forbidden = catalog("vocab", "retire", old, "--replaced-by", new)
    retired = catalog("vocab", "retire", old, "--replaced-by", new, by="curator")
    shown = catalog("vocab", "show", old, "--json").json

    assert (forbidden.code, retired.code) == (3, 0)
    assert f"Precipitation is deprecated; use {new} instead" in retired.err
    assert (shown["deprecated"], shown["replaced_by"]) == (True, new)


def test_a_file_of_another_kind_and_one_with_faults_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    text, faulty = tmp_path / "terms.csv", tmp_path / f"s{uuid4().hex[:8]}.ttl"
    text.write_text("a,b")
    faulty.write_text(turtle("urn:example:faulty", "c:a skos:notation 'x'"))

    wrong_end = catalog("vocab", "import", text, by="curator")
    wrong = catalog("vocab", "import", faulty, by="curator")

    assert (wrong_end.code, "ends in none of .ttl" in wrong_end.err) == (2, True)
    assert (wrong.code, "urn:example:faulty:a has no preferred label" in wrong.err) == (2, True)


@pytest.mark.req("SAGE-STORAGE-29")
def test_a_term_is_proposed_listed_and_decided(catalog: Catalog, file: Path) -> None:
    catalog("vocab", "import", file, by="curator")
    name = file.stem
    ids = [
        catalog("vocab", "propose", name, label, "--reason", "We need it").out.strip()
        for label in ("Mud", "Sand", "Dirt")
    ]
    waiting = catalog("vocab", "proposals", name, "--state", "open")
    accepted = catalog("vocab", "accept", name, ids[0], by="curator")
    declined = catalog("vocab", "decline", name, ids[1], "--reason", "Too narrow", by="curator")
    merged = catalog("vocab", "merge", name, ids[2], "--into", f"urn:example:{name}:soil", "--json", by="curator").json
    again = catalog("vocab", "decline", name, ids[0], "--reason", "Too late", by="curator")

    assert [line.split("\t")[2] for line in waiting.out.splitlines()] == ["label", "Dirt", "Sand", "Mud"]
    assert f"Mud is accepted: urn:example:{name}:mud" in accepted.err
    assert "Sand is declined" in declined.err
    assert (merged["state"], merged["concept"]) == ("merged", f"urn:example:{name}:soil")
    assert (again.code, "The proposal was accepted already." in again.err) == (5, True)

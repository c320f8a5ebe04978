"""The demo's objects are true registrations of real files."""

import json
import re
from collections import Counter

import pytest

from catalog.access.audience import REGISTERS, Role
from catalog.demo import collection, data
from catalog.demo.collection import Specimen
from catalog.objects import kinds, validation

SPECIMENS = collection.specimens()
IDS = {specimen.name: f"01900000-0000-7000-8000-{number:012}" for number, specimen in enumerate(SPECIMENS)}


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_each_object_is_a_registration_without_fault(specimen: Specimen) -> None:
    files = [
        {"path": file["path"], "size": 1, "sha256": "0" * 64, "media_type": file["media_type"]}
        for file in specimen.files
    ]
    draft = specimen.described(IDS) | {"files": files}
    assert validation.draft_from(json.dumps(draft).encode(), prefix="").kind.name == specimen.draft["kind"]


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_each_object_names_where_its_files_come_from(specimen: Specimen) -> None:
    packages = {file["from"].partition(":")[0] for file in specimen.files}
    assert packages <= data.pins().keys()
    for package in packages:
        version = data.pins()[package][0].split()[0].partition("==")[2]
        assert f"the Python package {package} {version}" in specimen.draft["description"]


def test_there_are_enough_of_several_kinds_and_one_that_not_everybody_may_see() -> None:
    counted = Counter(specimen.draft["kind"] for specimen in SPECIMENS)
    assert counted.keys() == {"training-dataset", "model", "sensor-blob", "ecr-bundle"} <= kinds.known().keys()
    assert counted.total() >= 12
    private = [specimen for specimen in SPECIMENS if specimen.draft["visibility"] == "private"]
    assert [specimen.by for specimen in private] == [Role.INGEST]
    assert {specimen.by for specimen in SPECIMENS} <= REGISTERS


def test_what_refers_to_others_comes_after_them() -> None:
    bundle = SPECIMENS[-1]
    assert bundle.draft["kind"] == "ecr-bundle"
    assert set(bundle.members()) < {specimen.name for specimen in SPECIMENS[:-1]}
    assert {member["type"] for member in bundle.draft["metadata"]["members"]} == {"object", "git", "image"}


def test_no_address_but_those_reserved_for_examples_is_named() -> None:
    for file in collection.FOLDER.glob("*.json"):
        for host in re.findall(r"https?://([^/\"]+)", file.read_text(encoding="utf-8")):
            assert host.endswith("example.org")


def test_what_the_docs_ask_of_subjects_is_there() -> None:
    named = Counter(subject for specimen in SPECIMENS for subject in specimen.draft.get("subjects", ()))
    assert named["Seismology"] == 3
    assert len(named) >= 12

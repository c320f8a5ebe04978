"""The schemes that come with the catalog: readable, unambiguous, and what their sources say."""

import re
import tomllib
from collections import defaultdict

import pytest
from pydantic import TypeAdapter

from catalog.objects import describing, kinds
from catalog.objects.references import Unit
from catalog.vocabulary import shipped
from catalog.vocabulary.shipped import Shipped
from catalog.vocabulary.terms import LabelKind, folded
from tests.docs.repository import ROOT
from vocabularies import licences

FOLDER = ROOT / "vocabularies"
SCHEMES = {one.name: one for one in shipped.schemes()}


def notations(scheme: Shipped) -> list[str]:
    return [label.text for term in scheme.vocabulary.terms for label in term.labels if label.kind == LabelKind.NOTATION]


@pytest.mark.req("SAGE-STORAGE-28")
def test_every_scheme_that_a_kind_asks_for_comes_with_the_catalog() -> None:
    asked = {place.scheme for kind in kinds.known().values() for place in describing.places(kind)}
    assert asked == {"formats", "measurement-types", "ml-tasks", "scientific-fields", "sensor-types", "software"}
    assert asked < set(SCHEMES)


def test_a_kind_says_in_its_schema_which_scheme_a_field_takes() -> None:
    model = [(place.way, place.scheme, place.open) for place in describing.places(kinds.named("model"))]
    assert model == [
        (("subjects", None), "scientific-fields", False),
        (("metadata", "task"), "ml-tasks", False),
        (("metadata", "framework"), "software", False),
        (("metadata", "format"), "formats", False),
        (("metadata", "runtime", None, "name"), "software", True),
    ]


@pytest.mark.parametrize("name", SCHEMES)
def test_no_text_means_two_things(name: str) -> None:
    meant: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for term in SCHEMES[name].vocabulary.terms:
        for label in term.labels:
            exact = "" if label.kind in {LabelKind.PREFERRED, LabelKind.NOTATION} else "synonym "
            # Units differ by case alone: A is an ampere, a is a year.
            text = label.text if label.kind == LabelKind.NOTATION else folded(label.text)
            meant[exact + text][0].add(term.uri)
    assert {text: uris[0] for text, uris in meant.items() if len(uris[0]) > 1} == {}


def test_the_wheel_takes_every_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    taken = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert taken == {
        f"vocabularies/{file.name}": f"catalog/vocabulary/shipped/{file.name}" for file in FOLDER.glob("*.ttl")
    }


def test_the_readme_has_a_row_for_every_file_with_its_version() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)\.ttl` \|(?:[^|]*\|){2} CC0-1\.0 \| ([^ |]+) \|",
        (FOLDER / "README.md").read_text(),
        re.MULTILINE,
    )
    assert dict(rows) == {name: one.vocabulary.version for name, one in SCHEMES.items()}


def test_the_licences_are_those_of_the_list() -> None:
    assert (FOLDER / "licences.ttl").read_text(encoding="utf-8") == licences.text(), "run `make vocabularies`"


def test_the_kinds_are_those_of_the_catalog() -> None:
    assert sorted(notations(SCHEMES["object-kinds"])) == sorted(kinds.known())


@pytest.mark.parametrize("code", notations(SCHEMES["units"]))
def test_the_units_are_ucum_codes(code: str) -> None:
    assert TypeAdapter(Unit).validate_python(code) == code

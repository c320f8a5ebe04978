"""Ranges of versions: from where to where they go, and whether two have a version in common."""

import pytest

from catalog.objects.running import HIGHEST, LOWEST, Range, asked, range_of


def meet(one: str | None, other: str | None) -> bool:
    """Whether two ranges have a version in common, as the index compares them."""
    a, b = range_of(one), range_of(other)
    return a.low < b.high and b.low < a.high


@pytest.mark.parametrize(
    ("needed", "had", "runs"),
    [
        (None, ">=2.1", True),
        (">=2.0,<3", ">=2.1", True),
        (">=2.0,<3", "==2.9.1", True),
        (">=2.0,<3", "==3.0", False),
        (">=2.0,<3", ">=3", False),
        ("<2.1", ">=2.1", False),
        ("<=2.1", ">=2.1", True),
        (">2.1", "==2.1", False),
        (">2.1", "==2.1.1", True),
        ("~=1.17", "==1.99", True),
        ("~=1.17", "==2.0", False),
        ("~=1.17.2", "==1.17.9", True),
        ("~=1.17.2", "==1.18", False),
        ("==2.*", "==2.40.1", True),
        ("==2.*", "==3.0", False),
        ("==2.1", "==2.1.0", True),
        (">=1.9", "==1.10", True),
        (">=2022.1", "==2021.12", False),
        ("!=2.0", "==2.0", True),
    ],
)
def test_what_is_had_runs_what_needs_it_where_the_ranges_meet(needed: str | None, had: str, runs: bool) -> None:  # noqa: FBT001
    assert (meet(needed, had), meet(had, needed)) == (runs, runs)


@pytest.mark.parametrize(
    ("text", "name", "versions"),
    [
        ("pytorch", "pytorch", None),
        ("pytorch>=2.1", "pytorch", ">=2.1"),
        (" ONNX Runtime ~= 1.17 ", "ONNX Runtime", "~=1.17"),
        ("tensorflow>=2,<3", "tensorflow", ">=2,<3"),
        ("cuda==12.4", "cuda", "==12.4"),
        ("C++", "C++", None),
    ],
)
def test_a_question_names_software_and_the_versions_that_are_there(text: str, name: str, versions: str | None) -> None:
    assert asked(text) == (name, range_of(versions))


def test_without_a_range_any_version_will_do() -> None:
    assert range_of(None) == Range(LOWEST, HIGHEST)


@pytest.mark.parametrize("text", ["", ">=2.1", "pytorch>=2.x.y", "pytorch>=2.1,what"])
def test_what_is_no_question_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        asked(text)

"""Data frames of whatever is found: the same columns in both libraries, whichever rows meet."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from catalog.client import CatalogError, to_pandas, to_polars
from tests.docs.repository import ROOT

FILES: dict[str, Any] = {"files": [{"path": "a.csv", "size": 3}]}
# What the values of one column may be in the one row, and in the other.
MIXED: dict[str, tuple[Any, Any, list[Any]]] = {
    "lists that are empty, or none": ([], None, [[], None]),
    "a list that is empty in one row": ([], ["soil"], [[], ["soil"]]),
    "numbers of two widths": (1, 2.5, [1.0, 2.5]),
    "numbers of two widths in lists": ([1, 2], [2.5], [[1.0, 2.0], [2.5]]),
    "members in lists": ([{"a": 1}], [{"b": "x"}], [[{"a": 1, "b": None}], [{"a": None, "b": "x"}]]),
    "lists within lists": ([[1.0, 2]], [], [[[1.0, 2.0]], []]),
    "words and numbers": ("x", 1, ['"x"', "1"]),
    "a list and a word": (["x"], "x", ['["x"]', '"x"']),
    "lists of different things": ([1, "x"], None, ['[1, "x"]', None]),
    "a number beyond all": (2**70, 1, [str(2**70), "1"]),
    "members without any": ([{}], [{"a": 1}], ["[{}]", '[{"a": 1}]']),
}


@pytest.mark.parametrize(("one", "other", "expected"), MIXED.values(), ids=MIXED.keys())
def test_values_that_differ_from_row_to_row_have_one_column(one: Any, other: Any, expected: list[Any]) -> None:
    found = [{"id": "1", "metadata": {"x": one}, **FILES}, {"id": "2", "metadata": {"x": other}, **FILES}]
    pandas, polars = to_pandas(found), to_polars(found)
    assert list(pandas.columns) == polars.columns == ["id", "metadata.x", "files", "bytes"]
    assert polars["metadata.x"].to_list() == expected
    assert [None if value is None or value != value else value for value in pandas["metadata.x"]] == expected  # noqa: PLR0124


def test_what_is_nothing_in_one_row_and_has_members_in_another_has_columns_of_its_members() -> None:
    found = [{"id": "1", "sensor": None}, {"id": "2", "sensor": {"id": "A1"}}]
    assert list(to_pandas(found).columns) == to_polars(found).columns == ["id", "sensor.id"]


def test_all_that_the_demo_registers_has_the_same_columns_in_both() -> None:
    """As an export has it: eighteen objects of many kinds, which say different things."""
    drafts = sorted((ROOT / "src/catalog/demo/objects").glob("*.json"))
    found = [json.loads(one.read_text(encoding="utf-8"))["draft"] | FILES for one in drafts]
    pandas, polars = to_pandas(found), to_polars(found)
    assert len(found) == 18
    assert list(pandas.columns) == polars.columns
    assert (len(pandas), len(polars)) == (18, 18)
    assert polars["creators"].to_list()[0][0]["name"]


def test_nothing_found_has_the_columns_that_hits_have() -> None:
    pandas, polars = to_pandas([]), to_polars({"hits": [], "total": 0})
    assert list(pandas.columns) == polars.columns
    assert pandas[["title", "licence", "bytes"]].empty
    assert polars.select("title", "updated_at", "keywords", "files").is_empty()
    assert pandas["bytes"].sum() == polars["bytes"].sum() == 0


async def never() -> AsyncIterator[dict[str, Any]]:
    for one in ():
        yield one


@pytest.mark.parametrize("found", [never(), {"id": "1"}, ["x"], "x", 3])
def test_what_is_no_result_is_refused_by_an_error_of_ours(found: Any) -> None:
    for made in (to_pandas, to_polars):
        with pytest.raises(CatalogError, match="A frame is"):
            made(found)

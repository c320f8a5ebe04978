"""What the command says of a search by meaning."""

from typing import Any, cast

import pytest

from catalog.cli import finding
from catalog.client.shapes import SearchPage

NOTE = "The language model is not installed here; these have the words."


def said(capsys: pytest.CaptureFixture[str], *, hits: int, total: int, added: int, note: str | None = None) -> str:
    hit: dict[str, Any] = {
        "title": "Soil", "kind": "model", "project": "lab/soil", "licence": None, "year": None,
        "visibility": "public", "files_total": 0, "id": "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f",
    }  # fmt: skip
    told = {"used": note is None, "added": added, "why": None, "note": note}
    page = {"total": total, "hits": [hit] * hits, "facets": {}, "similar": False, "did_you_mean": None, "hybrid": told}
    finding._show_page(cast("SearchPage", page))  # noqa: SLF001 - what `catalog search` writes.
    return capsys.readouterr().err


def test_hits_without_the_words_are_counted_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, hits=2, total=1, added=1) == (
        "1 have these words; 1 more mean something near\n"
        "1 found; `catalog show ID` tells more, `catalog get ID` downloads\n"
    )


def test_where_nothing_has_the_words_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, hits=2, total=0, added=3) == (
        "nothing has these words; shown are 2 of 3 that mean something near\n"
    )


def test_why_there_are_no_meanings_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, hits=1, total=1, added=0, note=NOTE).splitlines()[0] == NOTE

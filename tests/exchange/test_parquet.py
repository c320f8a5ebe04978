"""Parquet as another implementation reads it: every value of every column, however the rows were handed over."""

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.exchange import parquet
from catalog.exchange.parquet import Holds, Sheet

COLUMNS = {"text": Holds.TEXT, "number": Holds.NUMBER, "texts": Holds.TEXTS, "moment": Holds.MOMENT}
Row = tuple[str | None, int | None, list[str], datetime | None]
ROW: st.SearchStrategy[Row] = st.tuples(
    st.none() | st.text(),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.lists(st.text(), max_size=4),
    st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few rows fill groups."""
    monkeypatch.setattr(parquet, "GROUP_ROWS", 7)


def whole(handed: Sequence[Sequence[Row]]) -> bytes:
    sheet = Sheet(COLUMNS)
    return b"".join([*map(sheet.add, handed), sheet.end()])


def parts(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def told(content: bytes) -> list[tuple[Any, ...]]:
    return pl.read_parquet(io.BytesIO(content)).rows()


@pytest.mark.usefixtures("small")
@given(rows=st.lists(ROW, max_size=25), size=st.integers(1, 9))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_are_read_as_they_were_written(rows: list[Row], size: int) -> None:
    content = whole(list(parts(rows, size)))

    assert told(content) == rows
    # What can be told from the sizes of steps, of which some rows are left out, is in no file.
    assert content == whole([rows])


def some_rows(count: int, size: int = 1) -> list[Row]:
    moment = datetime(2026, 11, 22, 1, 2, 3, 456_789, tzinfo=UTC)
    return [(f"é {number}" * size, number, ["a"] * (number % 4), moment) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, parquet.GROUP_ROWS, 2 * parquet.GROUP_ROWS + 101])
def test_groups_hold_as_many_rows_as_there_are(count: int) -> None:
    rows = some_rows(count)
    assert told(whole([rows])) == rows


def test_what_was_handed_over_is_sent_a_group_at_a_time() -> None:
    sheet = Sheet(COLUMNS)
    sent = [len(sheet.add(part)) for part in parts(some_rows(3 * parquet.GROUP_ROWS, size=100), 100)]

    assert [place for place, size in enumerate(sent) if size] == [19, 39, 59]
    assert max(sent) < 200_000


def test_long_rows_make_a_group_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_CHARS", 10_000)
    sheet = Sheet(COLUMNS)
    rows = some_rows(100, size=100)
    sent = [sheet.add([row]) for row in rows]

    assert len([piece for piece in sent if piece]) == 3
    assert told(b"".join([*sent, sheet.end()])) == rows


def test_a_file_that_breaks_off_is_read_by_nobody() -> None:
    content = whole([some_rows(500)])
    for length in (4, 100, len(content) // 2, len(content) - 1):
        with pytest.raises(pl.exceptions.ComputeError):
            told(content[:length])

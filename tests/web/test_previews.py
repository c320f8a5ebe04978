"""What is shown of a file: types that run nothing, texts as they are, tables to their last whole row."""

import pytest

from catalog.api.previews import EXCERPT_BYTES_MAX, PICTURE_BYTES_MAX, Form, form_of
from catalog.web.previews import COLUMNS_SHOWN_MAX, ROWS_SHOWN_MAX, Sheet, readable, sheet_of


@pytest.mark.parametrize(
    ("media_type", "size", "form"),
    [
        ("image/png", 10, Form.PICTURE),
        ("IMAGE/PNG; q=1", 10, Form.PICTURE),
        ("image/png", PICTURE_BYTES_MAX + 1, None),
        ("image/svg+xml", 10, None),
        ("audio/wav", 10**9, Form.SOUND),
        ("text/csv; charset=utf-8", 10**9, Form.TABLE),
        ("text/html", 10, Form.TEXT),
        ("application/geo+json", 10, Form.TEXT),
        ("application/octet-stream", 10, None),
        ("application/pdf", 10, None),
        ("", 10, None),
    ],
)
def test_only_what_runs_nothing_gets_a_link_and_the_rest_is_text_or_not_shown(
    media_type: str, size: int, form: Form | None
) -> None:
    assert form_of(media_type, size) is form


def test_a_text_that_was_cut_within_a_letter_loses_that_letter_alone() -> None:
    whole = "pinguïns 🐧".encode()
    assert [readable(whole[:-cut] if cut else whole) for cut in range(5)] == [
        "pinguïns 🐧",
        "pinguïns ",
        "pinguïns ",
        "pinguïns ",
        "pinguïns ",
    ]


def test_bytes_that_are_no_text_are_not_shown_as_one() -> None:
    assert readable(b"\x00\x01") is None
    assert readable(bytes(range(128, 256)) * 10) is None
    assert readable(b"") == ""
    # What turns letters around or rings a bell is left out.
    assert readable("a\u202eb\x07c\n".encode()) == "abc\n"


def test_a_table_is_shown_to_its_last_whole_row() -> None:
    assert sheet_of('a,b\n1,"x\ny"\n2,3\n', ",", whole=True) == Sheet(
        ["a", "b"], [["1", "x\ny"], ["2", "3"]], more_rows=False, columns_left_out=0
    )
    assert sheet_of("a,b\n1,2\n3,", ",", whole=False) == Sheet(
        ["a", "b"], [["1", "2"]], more_rows=True, columns_left_out=0
    )
    assert sheet_of("a\tb\n1\n", "\t", whole=True) == Sheet(
        ["a", "b"], [["1", ""]], more_rows=False, columns_left_out=0
    )
    assert sheet_of("\n\n", ",", whole=True) is None


def test_large_tables_are_shown_in_part_and_say_so() -> None:
    row = ",".join(["1"] * (COLUMNS_SHOWN_MAX + 3)) + "\n"
    sheet = sheet_of(row * 1000, ",", whole=True)
    assert sheet is not None
    assert (len(sheet.heading), len(sheet.rows), sheet.more_rows, sheet.columns_left_out) == (
        COLUMNS_SHOWN_MAX,
        ROWS_SHOWN_MAX,
        True,
        3,
    )
    exactly = sheet_of("1\n" * (ROWS_SHOWN_MAX + 1), ",", whole=True)
    assert exactly is not None
    assert (len(exactly.rows), exactly.more_rows) == (ROWS_SHOWN_MAX, False)


def test_the_limit_is_what_the_decision_says() -> None:
    assert EXCERPT_BYTES_MAX == 64 * 1024

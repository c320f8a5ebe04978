"""Values read the same on every page."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.web import wording


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (2_327_524, "2.3 MB"),
        (48_000_000_000, "48.0 GB"),
        (5 * 1024**4, "5.5 TB"),
        (10**18, "1000.0 PB"),
    ],
)
def test_a_size_is_told_in_the_unit_people_compare(size: int, text: str) -> None:
    assert wording.size_text(size) == text


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("2024", "2024"),
        ("2024-05", "May 2024"),
        ("2024-05-17", "17 May 2024"),
        ("2024-05-17T08:00:00Z", "17 May 2024, 08:00 UTC"),
        ("2024-05-17T01:30:00+02:00", "16 May 2024, 23:30 UTC"),
        ("2021-03/2023-11-02", "March 2021 – 2 November 2023"),
        ("0000-01", "January 0"),
        ("2024-13", "2024-13"),
        ("2024-02-30", "2024-02-30"),
        ("<b>", "<b>"),
        # In UTC these lie in years that the calendar does not have.
        ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00+23:59"),
        ("2024/9999-12-31T23:59:59-23:59", "2024 – 9999-12-31T23:59:59-23:59"),
    ],
)
def test_a_date_keeps_its_precision(written: str, text: str) -> None:
    assert wording.date_text(written) == text


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("sampling_rate_hz", "Sampling rate (Hz)"),
        ("dtype", "Data type"),
        ("sha256", "SHA-256"),
        ("framework", "Framework"),
        ("_", "_"),
    ],
)
def test_a_key_becomes_a_label(key: str, label: str) -> None:
    assert wording.label_of(key) == label


def test_what_a_text_of_ours_marks_as_code_is_code_and_nothing_else() -> None:
    assert wording.coded("What `kind` <b> takes, `") == "What <code>kind</code> &lt;b&gt; takes, `"
    assert wording.coded("`<i>`") == "<code>&lt;i&gt;</code>"


def test_a_licence_that_is_named_by_an_address_is_called_as_people_call_it() -> None:
    told = {
        "https://creativecommons.org/publicdomain/zero/1.0/": "CC0 1.0",
        "https://creativecommons.org/licenses/by-sa/4.0/": "CC BY-SA 4.0",
        "MIT": "MIT",
        "https://creativecommons.org/about": "https://creativecommons.org/about",
    }
    assert {licence: wording.licence_text(licence) for licence in told} == told


def test_a_kind_that_nobody_knows_keeps_its_name() -> None:
    assert (wording.kind_title("ecr-bundle"), wording.kind_title("trigger-app")) == ("ECR bundle", "Trigger app")


def test_numbers_and_nouns_agree() -> None:
    assert [wording.counted(number, "file", "files") for number in (0, 1, 1284)] == ["0 files", "1 file", "1,284 files"]


@pytest.mark.parametrize(
    ("highlight", "markup"),
    [
        ("a <mark>b</mark> c", "a <mark>b</mark> c"),
        ("R&amp;D <mark>x&lt;y</mark>", "R&amp;D <mark>x&lt;y</mark>"),
        ("&lt;mark&gt;typed&lt;/mark&gt;", "&lt;mark&gt;typed&lt;/mark&gt;"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<mark onclick=x>y</mark>", "&lt;mark onclick=x&gt;y"),
        ("<mark>never closed", "never closed"),
        ("</mark>backwards<mark>", "backwards"),
        ("<mark><mark>twice</mark></mark>", "twice"),
        ('<mark>"><img src=x></mark>', "<mark>&#34;&gt;&lt;img src=x&gt;</mark>"),
    ],
)
def test_a_highlight_is_marked_and_nothing_else(highlight: str, markup: str) -> None:
    assert wording.marked(highlight) == markup


@given(st.lists(st.tuples(st.text(), st.text())))
def test_a_highlight_of_any_text_is_that_text_with_marks(pieces: list[tuple[str, str]]) -> None:
    engine = "".join(f"{html.escape(before)}<mark>{html.escape(found)}</mark>" for before, found in pieces)
    text = "".join(before + found for before, found in pieces)
    shown = str(wording.marked(engine))
    assert html.unescape(shown.replace("<mark>", "").replace("</mark>", "")) == text
    assert shown.count("<") == shown.count(">") == 2 * len(pieces)


@pytest.mark.parametrize("address", ["/objects/1", "https://a.example/b?c=d#e", "http://127.0.0.1:9000/k%20a"])
def test_an_address_that_leads_somewhere_is_kept(address: str | None) -> None:
    assert wording.safe_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "//elsewhere.example/",
        "/\\elsewhere.example/",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "https://",
        "https://[broken",
        "http://a.example b/",
        "relative/path",
    ],
)
def test_an_address_that_could_do_something_else_is_dropped(address: str | None) -> None:
    assert wording.safe_address(address) is None

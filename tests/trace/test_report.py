"""What `make trace` prints, and when it trusts the last run."""

import os
from pathlib import Path

import pytest

from tests.trace import __main__ as trace
from tests.trace import rows

PAGE = """
# Requirements

| row | tier | what must be true |
|---|---|---|
| SEED-1 | C | The first thing holds. |
| SEED-2 | X | A value a \\| b is read. |

| row | tier | what must be true |
|---|---|---|
| OTHER-SEED-1 | D | It is written down. |
"""


def test_rows_are_read_from_the_tables() -> None:
    assert rows.rows_of(PAGE) == {
        "SEED-1": rows.Row("SEED-1", "C", "The first thing holds."),
        "SEED-2": rows.Row("SEED-2", "X", "A value a \\| b is read."),
        "OTHER-SEED-1": rows.Row("OTHER-SEED-1", "D", "It is written down."),
    }


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("# Requirements", "no row"),
        ("| SEED-1 | C | One. |\n| SEED-1 | C | Again. |", "SEED-1 stands twice"),
        ("| SEED-1 | Z | One. |", "tier 'Z'"),
    ],
)
def test_a_doubtful_list_is_refused(page: str, complaint: str) -> None:
    with pytest.raises(rows.WrongList, match=complaint):
        rows.rows_of(page)


def test_the_report_counts_per_document_and_names_what_is_missing() -> None:
    lines = list(trace.report(rows.rows_of(PAGE), {"SEED-1": ["test_a", "test_b"], "SEED-2": []}))
    assert lines == [
        "SEED: 1 of 2 rows proved",
        "  SEED-1            C  proved by 2   The first thing holds.",
        "  SEED-2            X  no proof yet  A value a \\| b is read.",
        "",
        "OTHER-SEED: 0 of 1 rows proved",
        "  OTHER-SEED-1      D  no proof yet  It is written down.",
        "",
        "Together: 1 of 3 rows proved",
    ]


@pytest.mark.parametrize("content", [None, "{"])
def test_without_usable_proofs_it_says_what_to_run(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "trace.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert trace.main(["--file", str(file)]) == 1
    assert "make test" in capsys.readouterr().err


def test_proofs_are_fresh_until_a_source_changes(tmp_path: Path) -> None:
    source = tmp_path / "src" / "room.py"
    source.parent.mkdir()
    source.touch()
    proofs = tmp_path / "trace.json"
    assert not trace.is_fresh(proofs, tmp_path)
    proofs.touch()
    assert trace.is_fresh(proofs, tmp_path)
    later = proofs.stat().st_mtime + 1
    os.utime(source, (later, later))
    assert not trace.is_fresh(proofs, tmp_path)


def test_the_list_holds_every_row_of_the_five_documents() -> None:
    documents = {name: len(members) for name, members in rows.by_document(rows.read(trace.ROOT)).items()}
    assert documents == {
        "MWM-STORAGE": 20,
        "SAGE-STORAGE": 35,
        "MWM-SADD": 72,
        "DEWRANGLE-RFC": 56,
        "CHRIS-SWIFT": 19,
    }

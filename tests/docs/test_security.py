"""docs/security.md speaks of every threat, and every test that it names is there."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.docs.repository import ROOT, text_of, tracked

PAGE = Path("docs/security.md")
ROW = re.compile(
    r"^\| (?P<number>\d+) \| (?P<threat>[^|]+) \| (?P<defence>[^|]+) \| (?P<tests>[^|]*) ?\|$", re.MULTILINE
)
NAMED = re.compile(r"`(test_\w+)`")
THREATS = 34


@cache
def collected() -> frozenset[str]:
    """Every test that pytest would collect, by name."""
    return frozenset(
        node.name
        for path in tracked()
        if path.parts[0] == "tests" and path.name.startswith("test_") and path.suffix == ".py"
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def test_every_threat_has_its_row_in_order() -> None:
    assert [int(row["number"]) for row in ROW.finditer(text_of(PAGE) or "")] == list(range(1, THREATS + 1))


def test_every_test_that_the_page_names_is_there() -> None:
    named = NAMED.findall(text_of(PAGE) or "")
    assert len(named) > THREATS
    assert [name for name in named if name not in collected()] == []


def test_a_threat_has_its_test_or_does_not_apply() -> None:
    without = {
        int(row["number"]): row["defence"]
        for row in ROW.finditer(text_of(PAGE) or "")
        if not NAMED.findall(row["tests"])
    }
    assert [number for number, defence in without.items() if not defence.startswith("Does not apply: ")] == []


def test_what_is_missing_says_which_work_brings_it() -> None:
    defences = [row["defence"] for row in ROW.finditer(text_of(PAGE) or "")]
    missing = [defence.partition("Not yet: ")[2] for defence in defences if "Not yet" in defence]
    assert [one for one in missing if not re.search(r"\b(come|comes|brings|sealed)\b", one)] == []

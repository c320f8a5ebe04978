"""The rows of docs/requirements.md, read from the tables that people read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LIST = Path("docs") / "requirements.md"

_ROW = re.compile(r"^\| *(?P<id>[A-Z]+(?:-[A-Z]+)*-[0-9]+) *\| *(?P<tier>\S+) *\| *(?P<sentence>.+?) *\|$")
_TIERS = {"C", "X", "D"}


class WrongList(Exception):
    """The list of requirements cannot be used."""


@dataclass(frozen=True, slots=True)
class Row:
    """One capability that a founding document asks for."""

    id: str
    tier: str
    sentence: str

    @property
    def document(self) -> str:
        """The founding document: the id without its number."""
        return self.id.rpartition("-")[0]


def read(root: Path) -> dict[str, Row]:
    """Read all rows by id, in the order of the page; raises WrongList when the page is missing, doubtful or empty."""
    try:
        text = (root / LIST).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise WrongList(f"{LIST} is missing") from None
    return rows_of(text)


def rows_of(text: str) -> dict[str, Row]:
    """Find all rows of a page by id; raises WrongList for a row given twice, an unknown tier or a page without rows."""
    rows: dict[str, Row] = {}
    for line in text.splitlines():
        if (found := _ROW.match(line)) is None:
            continue
        row = Row(id=found["id"], tier=found["tier"], sentence=found["sentence"])
        if row.id in rows:
            raise WrongList(f"{row.id} stands twice in {LIST}")
        if row.tier not in _TIERS:
            raise WrongList(f"{row.id} has the tier {row.tier!r}; it must be one of {', '.join(sorted(_TIERS))}")
        rows[row.id] = row
    if not rows:
        raise WrongList(f"{LIST} holds no row")
    return rows


def by_document(rows: Mapping[str, Row]) -> dict[str, list[Row]]:
    """Group the rows by document, both in the order of the page."""
    documents: dict[str, list[Row]] = {}
    for row in rows.values():
        documents.setdefault(row.document, []).append(row)
    return documents

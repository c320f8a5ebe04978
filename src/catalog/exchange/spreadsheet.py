"""Objects as rows of a table, in CSV (RFC 4180): one column for each thing that can be said in a cell.

Pure. What a spreadsheet would take for a formula is written so that it is a text there too.
"""

import csv
import io
from collections.abc import Iterable
from datetime import datetime

from catalog.exchange.columns import COLUMNS

# OWASP, "CSV Injection": what a cell must not begin with. The wide ones are the same to spreadsheets of East Asia.
FORMULA_BEGINS = frozenset("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - meant so.
BETWEEN = "; "


def head() -> bytes:
    """Return the first line, which names the columns."""
    return line(COLUMNS)


def line(cells: Iterable[object]) -> bytes:
    """Return a row, which has line breaks inside where its texts have; several values stand in one cell."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(harmless(_cell(cell)) for cell in cells)
    return out.getvalue().encode()


def harmless(text: str) -> str:
    """Return a text that no spreadsheet computes: an apostrophe stands before what would be a formula."""
    return f"'{text}" if text.lstrip(" ")[:1] in FORMULA_BEGINS and text.strip(" ") else text


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    return BETWEEN.join(value) if isinstance(value, list) else str(value)

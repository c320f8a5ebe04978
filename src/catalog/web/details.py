"""Metadata of any shape as labelled text, lists and tables: a kind added tomorrow is shown without a template.

Pure, and bounded: what nests deeper than people read is shown as the JSON it is.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from catalog.web import wording

DEPTH_MAX = 5
# Shapes and ranges read in one line; longer lists of words fold to lines of their own.
_DIMENSIONS = {"shape"}
# Commits and checksums: compared letter by letter.
_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{32,128}")


@dataclass(frozen=True, slots=True)
class Text:
    """A value in one piece; `address` where it leads somewhere."""

    text: str
    address: str | None = None
    code: bool = False
    form: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class Listing:
    """Values of one meaning."""

    items: Sequence[Text]
    form: Literal["listing"] = "listing"


@dataclass(frozen=True, slots=True)
class Table:
    """Things with the same properties, one a row; None where a thing lacks one."""

    columns: Sequence[str]
    rows: Sequence[Sequence["Detail | None"]]
    form: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class Group:
    """Properties of one thing, by label."""

    entries: Sequence[tuple[str, "Detail"]]
    form: Literal["group"] = "group"


@dataclass(frozen=True, slots=True)
class Sequel:
    """Things that have nothing in common but their order."""

    items: Sequence["Detail"]
    form: Literal["sequel"] = "sequel"


Detail = Text | Listing | Table | Group | Sequel


def entries_of(values: Mapping[str, Any], *, labelled: bool = True) -> list[tuple[str, Detail]]:
    """Return what is said, by label; keys that people chose themselves keep their spelling with `labelled=False`."""
    return [
        (wording.label_of(key) if labelled else key, _detail(key, value, DEPTH_MAX))
        for key, value in values.items()
        if not _unsaid(value)
    ]


def detail_of(key: str, value: Any) -> Detail:
    """Return one value by its shape, whatever it is."""
    return _detail(key, value, DEPTH_MAX)


def _unsaid(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _detail(key: str, value: Any, depth: int) -> Detail:
    if depth == 0 and isinstance(value, Mapping | list):
        return Text(json.dumps(value, ensure_ascii=False, default=_plain), code=True)
    match value:
        case {"value": int() | float() as number, "unit": str() as unit} if len(value) == len(("value", "unit")):
            return Text(f"{wording.number_text(number)} {unit}")
        case Mapping():
            return Group([(wording.label_of(k), _detail(k, v, depth - 1)) for k, v in value.items() if not _unsaid(v)])
        case list() if key in _DIMENSIONS and not any(isinstance(item, Mapping | list) for item in value):
            return Text(" \N{MULTIPLICATION SIGN} ".join("any" if item is None else str(item) for item in value))
        case list() if value and all(isinstance(item, Mapping) for item in value):
            columns = list(dict.fromkeys(k for item in value for k, v in item.items() if not _unsaid(v)))
            return Table(
                [wording.label_of(column) for column in columns],
                [[None if _unsaid(item.get(c)) else _detail(c, item[c], depth - 1) for c in columns] for item in value],
            )
        case list() if any(isinstance(item, Mapping | list) for item in value):
            return Sequel([_detail(key, item, depth - 1) for item in value])
        case list():
            return Listing([_text(item) for item in value])
        case _:
            return _text(value)


def _plain(one: Any) -> str:
    return str(one.text)


def _text(value: Any) -> Text:
    match value:
        case Text():
            return value
        case bool():
            return Text("yes" if value else "no")
        case None:
            return Text("not stated")
        case int() | float():
            return Text(wording.number_text(value))
        case str() if _DIGEST.fullmatch(value):
            return Text(value, code=True)
        case str() if value.startswith(("https://", "http://")):
            return Text(value, address=wording.safe_address(value))
        case _:
            return Text(str(value))

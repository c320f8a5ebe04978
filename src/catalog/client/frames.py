"""What was found as a data frame: one row an object, for pandas or polars, whichever is there.

Links are left out: they work for whoever reads the frame, and only for minutes. Both libraries are given the same
columns, whose types are told from all values; `columns` owns that, and knows no library.
"""

import json
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from catalog.errors import CatalogError, Invalid

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

# What only a moment needs, or what a row of its own would be.
LEFT_OUT = frozenset({"highlights", "href"})
MOMENTS = frozenset({"created_at", "updated_at"})
# What both libraries have room for as a whole number.
WHOLE_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Each:
    """A list, each of whose values has this type; None where no list has any."""

    of: "Type | None"


@dataclass(frozen=True, slots=True)
class Members:
    """Members by name, as they stand within lists."""

    of: Mapping[str, "Type | None"]


Type: TypeAlias = type[str] | type[bool] | type[int] | type[float] | type[datetime] | Each | Members

# What a frame has where nothing was found, and what a column without a value in any row is.
OF_HITS: Mapping[str, Type] = MappingProxyType(
    {
        "id": str,
        "kind": str,
        "project": str,
        "title": str,
        "description": str,
        "keywords": Each(str),
        "creators": Each(str),
        "licence": str,
        "year": int,
        "visibility": str,
        "revision": int,
        "updated_at": datetime,
        "bbox": Each(float),
        "files": Each(str),
        "bytes": int,
        "files_total": int,
    }
)

Found: TypeAlias = Mapping[str, Any] | Iterable[Mapping[str, Any]]


class MissingExtra(CatalogError):
    """A library is not installed that is only needed for this."""


class _Differ(Exception):
    """Values that no one column of their own type can hold."""


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one column, one for each row, and what they are; None where no row has any."""

    type: Type | None
    cells: list[Any]


def to_pandas(found: Found) -> "pd.DataFrame":
    """Return hits or exported objects as a pandas frame; `found` is a page of a search, or yields them.

    A value within another has a column named with dots, lists stay lists, moments are in UTC. Files are told by
    `files` (paths) and `bytes` (of those that are shown). Where rows hold values that do not go together in one
    column, it has them as JSON. Nothing found has the columns of hits. Raises MissingExtra without pandas, Invalid
    for what is no object; what an AsyncCatalog yields is gathered first: `[hit async for hit in catalog.hits()]`.
    """
    try:
        import pandas as pd  # ruff: ignore[PLC0415] - it comes with an extra.
    except ImportError:
        raise _missing("pandas") from None

    def series(column: Column) -> Any:
        if column.type is datetime:
            return pd.to_datetime(pd.Series(column.cells, dtype="object"), utc=True)
        if column.type is int:
            # Whole numbers stay whole where some have none.
            return pd.Series(column.cells, dtype="Int64" if None in column.cells else "int64")
        if column.type is float:
            return pd.Series(column.cells, dtype="float64")
        return pd.Series(column.cells, dtype="str" if column.type is str else None if column.cells else "object")

    return pd.DataFrame({name: series(column) for name, column in columns(found).items()})


def to_polars(found: Found) -> "pl.DataFrame":
    """Return hits or exported objects as a polars frame; as `to_pandas`. Raises MissingExtra, Invalid."""
    try:
        import polars as pl  # ruff: ignore[PLC0415] - it comes with an extra.
    except ImportError:
        raise _missing("polars") from None
    simple: dict[Any, Any] = {
        None: pl.Null,
        str: pl.String,
        bool: pl.Boolean,
        int: pl.Int64,
        float: pl.Float64,
        datetime: pl.Datetime("us", "UTC"),
    }

    def dtype(type: Type | None) -> Any:  # ruff: ignore[A002] - as the column calls it.
        if isinstance(type, Each):
            return pl.List(dtype(type.of))
        if isinstance(type, Members):
            return pl.Struct({name: dtype(of) for name, of in type.of.items()})
        return simple[type]

    return pl.DataFrame(
        [pl.Series(name, column.cells, dtype=dtype(column.type)) for name, column in columns(found).items()]
    )


def columns(found: Found) -> dict[str, Column]:
    """Return the columns by name, in the order in which rows have them; raises Invalid for what is no object."""
    flat = list(rows(found))
    names = dict.fromkeys(name for row in flat for name in row) if flat else dict.fromkeys(OF_HITS)
    within = {name[:place] for name in names for place, sign in enumerate(name) if sign == "."}
    made: dict[str, Column] = {}
    for name in names:
        values = [row.get(name) for row in flat]
        if name in within and all(value is None for value in values):
            # What some rows have nothing of has columns of its own in others.
            continue
        made[name] = _column(name, values)
    return made


def rows(found: Found) -> Iterator[dict[str, Any]]:
    """Yield a flat row for every hit or object; raises Invalid for what is none."""
    for one in _each(found):
        row: dict[str, Any] = {}
        for name, value in one.items():
            if name == "files":
                row["files"] = [file["path"] for file in value]
                row["bytes"] = sum(file["size"] for file in value)
            elif name in MOMENTS:
                row[name] = None if value is None else datetime.fromisoformat(value)
            elif name not in LEFT_OUT:
                row.update(_flat(name, value))
        yield row


def _each(found: Found) -> Iterator[Mapping[str, Any]]:
    if isinstance(found, AsyncIterable) or hasattr(found, "__await__"):
        raise Invalid("A frame is not made of what is to be awaited: gather it, [hit async for hit in catalog.hits()].")
    every = found.get("hits") if isinstance(found, Mapping) else found
    if isinstance(every, str | bytes) or not isinstance(every, Iterable):
        raise Invalid("A frame is made of a page of a search, or of hits or objects: to_pandas(catalog.hits()).")
    for one in every:
        if not isinstance(one, Mapping):
            raise Invalid(f"A frame is made of hits or objects, not of {type(one).__name__}.")
        yield one


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for inner, one in value.items():
            yield from _flat(f"{name}.{inner}", one)
    else:
        yield name, value


def _column(name: str, values: list[Any]) -> Column:
    try:
        told = reduce(_both, map(_type, values), None)
    except _Differ:
        # Kinds say different things under one name; as text they fit one column.
        texts = [None if one is None else json.dumps(one, ensure_ascii=False) for one in values]
        return Column(str, texts)
    whole = told or OF_HITS.get(name)
    return Column(whole, [_as(whole, value) for value in values])


def _type(value: Any) -> Type | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        # A member more or less is nothing to polars, no member at all is.
        if not value:
            raise _Differ
        return Members({str(name): _type(one) for name, one in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Each(reduce(_both, map(_type, value), None))
    known: type[Any] = type(value)
    if known is int and abs(value) > WHOLE_MAX:
        raise _Differ
    if known not in {str, bool, int, float, datetime}:
        raise _Differ
    return known


def _both(one: Type | None, other: Type | None) -> Type | None:
    """Return what values of both types are; raises _Differ where there is no such."""
    if one is None or other is None or one == other:
        return other if one is None else one
    if isinstance(one, Each) and isinstance(other, Each):
        return Each(_both(one.of, other.of))
    if isinstance(one, Members) and isinstance(other, Members):
        names = dict.fromkeys((*one.of, *other.of))
        return Members({name: _both(one.of.get(name), other.of.get(name)) for name in names})
    if {one, other} == {int, float}:
        return float
    raise _Differ


def _as(whole: Type | None, value: Any) -> Any:
    """Return a value as its column has all of them: with every member, and numbers of one width."""
    if value is None:
        return None
    if isinstance(whole, Each):
        return [_as(whole.of, one) for one in value]
    if isinstance(whole, Members):
        return {name: _as(of, value.get(name)) for name, of in whole.of.items()}
    return float(value) if whole is float else value


def _missing(library: str) -> MissingExtra:
    return MissingExtra(
        f"{library} is not installed. A clone of the catalog brings it: pip install '/path/to/clone[{library}]'"
    )

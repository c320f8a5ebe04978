"""Filters in CQL2, the Common Query Language of the Open Geospatial Consortium (OGC 21-065r2), as text and as JSON.

The library parses text into the JSON of the standard; what may be asked, of which field, and what is wrong is ours.
Built of the standard: comparisons, LIKE, BETWEEN, IN, IS NULL, CASEI, AND, OR, NOT, A_CONTAINS, A_OVERLAPS,
S_INTERSECTS and T_INTERSECTS, a field on the left and a value on the right.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import cql2

from catalog.errors import Fault, Invalid
from catalog.search import conditions
from catalog.search.answers import Value
from catalog.search.conditions import Alike, Between, Condition, Every, Meets, No, OneOf, Said, Some
from catalog.search.fields import Field, Type
from catalog.search.language import field_named

FILTER_CHARS_MAX = 4_000
VALUES_MAX = 100
POSITIONS_MAX = 200
# The library reads by recursion, and what is nested deeper than its stack would end the process.
_NESTED = re.compile(r"[(\[{]|[)\]}]|\bnot\b|'(?:[^']|'')*'|\"[^\"]*\"", re.IGNORECASE)
_PLACE_IN_TEXT = re.compile(r"-->\s*(\d+):(\d+)")
_EXPECTED = re.compile(r"=\s*expected (.*)", re.DOTALL)
_INTERVAL = 2
_BOX = 4

_BUILT = (
    *("and", "or", "not", "=", "<>", "<", "<=", ">", ">=", "like", "between", "in", "isNull"),
    *("a_contains", "a_overlaps", "s_intersects", "t_intersects"),
)
_GEOMETRIES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")


class _Wrong(ValueError):
    """Something cannot be asked: where in the JSON, what, and what to write instead."""

    def __init__(self, way: Sequence[str | int], message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.way = tuple(way)
        self.suggestion = suggestion


def read(asked: str | Mapping[str, Any]) -> Condition:
    """Return the condition that a filter asks for, text or JSON; raises Invalid with the place of what is wrong."""
    text = asked if isinstance(asked, str) else None
    if text is not None and text.lstrip().startswith("{"):
        asked, text = _from_json(text), None
    tree = asked if text is None else _parsed(text)
    reader = _Reader(_in_text if text is not None else str)
    try:
        return reader.condition(tree, ())
    except _Wrong as wrong:
        raise _refused(text, wrong) from None


def _refused(text: str | None, wrong: _Wrong) -> Invalid:
    pointer, message = "/filter", str(wrong)
    if text is None:
        pointer += "".join(f"/{part}" for part in wrong.way)
    elif (named := re.search(r"'([^']+)'", message)) and (place := text.find(named[1])) >= 0:
        message = f"At character {place + 1}: {message}"
    return Invalid("The filter has faults.", faults=[Fault(pointer, message, wrong.suggestion)])


def _from_json(text: str) -> Any:
    if len(text) > FILTER_CHARS_MAX:
        raise _too_long(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as wrong:
        message = f"This begins as JSON and is none: {wrong}"
        raise Invalid("The filter has faults.", faults=[Fault("/filter", message)]) from None


def _too_long(text: str) -> Invalid:
    message = f"{len(text)} characters are too many: at most {FILTER_CHARS_MAX}."
    return Invalid("The filter has faults.", faults=[Fault("/filter", message)])


def _parsed(text: str) -> Any:
    if len(text) > FILTER_CHARS_MAX:
        raise _too_long(text)
    if not text.strip():
        raise Invalid("The filter has faults.", faults=[Fault("/filter", "It is empty; leave it out.")])
    depth = 0
    for found in _NESTED.finditer(text):
        one = found[0].lower()
        depth += 1 if one in {"(", "[", "{", "not"} else -1 if one in {")", "]", "}"} else 0
        if depth > conditions.DEPTH_MAX:
            message = f"At character {found.start() + 1}: nested deeper than {conditions.DEPTH_MAX} levels."
            raise Invalid("The filter has faults.", faults=[Fault("/filter", message)])
    try:
        return cql2.parse_text(text).to_json()
    except Exception as wrong:  # ruff: ignore[BLE001] - the library's several errors have no common class but this.
        raise Invalid("The filter has faults.", faults=[_misread(text, str(wrong))]) from None


def _misread(text: str, said: str) -> Fault:
    placed = _PLACE_IN_TEXT.search(said)
    example = "Write it as kind = 'model' AND year >= 2020."
    if placed is None:
        return Fault("/filter", "This is no CQL2 text.", example)
    line, column = (int(part) for part in placed.groups())
    place = sum(len(one) + 1 for one in text.split("\n")[: line - 1]) + column
    here = text[place - 1 : place + 19]
    what = f"{here!r} is not expected here" if here else "the filter ends too early"
    if text.count("'") % 2:
        what += "; a quote is not closed"
    return Fault("/filter", f"At character {place}: {what}.", example)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of a field: whether upper and lower case mean the same, all arguments, and where these stand."""

    field: Field
    folded: bool
    args: Sequence[Any]
    way: tuple[str | int, ...]


class _Reader:
    """Reads one tree, and counts what it costs."""

    def __init__(self, spelled: Callable[[str], str]) -> None:
        self._count = 0
        # How operators are called in what was sent.
        self._spelled = spelled

    def condition(self, at: Any, way: tuple[str | int, ...]) -> Condition:
        """Return what this part of the tree asks for; raises _Wrong."""
        self._count += 1
        if self._count > conditions.CONDITIONS_MAX:
            raise _Wrong(way, f"More than {conditions.CONDITIONS_MAX} conditions are too many.")
        if len(way) > 2 * conditions.DEPTH_MAX:
            raise _Wrong(way, f"Nested deeper than {conditions.DEPTH_MAX} levels.")
        if not isinstance(at, Mapping) or not isinstance(at.get("op"), str) or not isinstance(at.get("args"), list):
            raise _Wrong(
                way, "A condition belongs here.", 'For example {"op": "=", "args": [{"property": "kind"}, "model"]}'
            )
        name, args = at["op"], at["args"]
        inside = (*way, "args")
        match name.lower():
            case "and" | "or":
                parts = [self.condition(arg, (*inside, place)) for place, arg in enumerate(args)]
                if not parts:
                    raise _Wrong(inside, f"{name.upper()} joins at least two conditions.")
                return Every(tuple(parts)) if name.lower() == "and" else Some(tuple(parts))
            case "not":
                _must_have(1, args, inside)
                return No(self.condition(args[0], (*inside, 0)))
        made = _MADE.get(name.lower())
        if made is None:
            raise _Wrong(
                (*way, "op"), f"{self._spelled(name[:80])!r} cannot be asked here.", f"One of {self._told(_BUILT)}."
            )
        field, folded = _field(args, inside)
        if name.lower() not in map(str.lower, field.operators):
            told = f"{field.name!r}, which is of the type {field.type}, cannot be asked by {self._spelled(name)}."
            raise _Wrong((*way, "op"), told, f"Ask it by {self._told(field.operators)}.")
        return made(_Asked(field, folded, args, inside))

    def _told(self, operators: Iterable[str]) -> str:
        return ", ".join(map(self._spelled, operators))


def _in_text(operator: str) -> str:
    """Return an operator as the text of the standard spells it, which calls some otherwise than its JSON."""
    return "IS NULL" if operator.lower() == "isnull" else operator.upper()


def _must_have(count: int, args: Sequence[Any], way: tuple[str | int, ...]) -> None:
    if len(args) != count:
        raise _Wrong(way, f"{count} arguments belong here, not {len(args)}.")


def _field(args: Sequence[Any], way: tuple[str | int, ...]) -> tuple[Field, bool]:
    """Return the field that the first argument names, and whether upper and lower case mean the same."""
    first = args[0] if args else None
    folded = isinstance(first, Mapping) and str(first.get("op", "")).lower() in {"casei", "accenti"}
    here: tuple[str | int, ...] = (*way, 0)
    if folded and isinstance(first, Mapping) and isinstance(first.get("args"), list) and first["args"]:
        first, here = first["args"][0], (*here, "args", 0)
    if not isinstance(first, Mapping) or not isinstance(first.get("property"), str):
        raise _Wrong(here, "The name of a field belongs here; values stand on the right.")
    try:
        return field_named(first["property"]), folded
    except ValueError as wrong:
        message, suggestion = wrong.args
        raise _Wrong((*here, "property"), message[0].upper() + message[1:], suggestion) from None


def _bare(value: Any, way: tuple[str | int, ...]) -> Any:
    """Return a value without what CASEI or a date wraps it in."""
    if isinstance(value, Mapping):
        if str(value.get("op", "")).lower() in {"casei", "accenti"} and isinstance(value.get("args"), list):
            return _bare(value["args"][0] if value["args"] else None, way)
        for name in ("timestamp", "date"):
            if isinstance(value.get(name), str):
                return value[name]
        if "property" in value:
            raise _Wrong(way, "A value belongs here, not another field.", "Texts stand in single quotes.")
        raise _Wrong(way, "A value belongs here.")
    return value


def _value(field: Field, value: Any, way: tuple[str | int, ...]) -> Value:
    bare = _bare(value, way)
    if field.type is Type.INTEGER:
        if isinstance(bare, bool) or not isinstance(bare, int | float) or bare != int(bare):
            raise _Wrong(way, f"{field.name} is compared with whole numbers.")
        return int(bare)
    if not isinstance(bare, str):
        raise _Wrong(way, f"{field.name!r} is compared with texts.", "Texts stand in single quotes.")
    if field.values and bare not in field.values:
        raise _Wrong(way, f"{field.name} has no value {bare[:80]!r}.", f"One of {', '.join(field.values)}.")
    return bare


def _span(field: Field, value: Any, way: tuple[str | int, ...]) -> tuple[Any, Any]:
    """Return from where to below where a number or a date goes; raises _Wrong."""
    if field.type is Type.INTEGER:
        number = _value(field, value, way)
        return number, int(number) + 1
    bare = _bare(value, way)
    try:
        return conditions.span(bare if isinstance(bare, str) else "")
    except ValueError as wrong:
        raise _Wrong(way, f"{field.name}: {wrong}.", "For example DATE('2024-05-17')") from None


def _one_of(asked: _Asked, values: Sequence[Any], way: tuple[str | int, ...]) -> Condition:
    field = asked.field
    if len(values) > VALUES_MAX:
        raise _Wrong(way, f"{len(values)} values are too many: at most {VALUES_MAX}.")
    if field.type is Type.DATE:
        spans = [_span(field, value, (*way, place)) for place, value in enumerate(values)]
        return Some([Between(field, low, high) for low, high in spans])
    read_values = [_value(field, value, (*way, place)) for place, value in enumerate(values)]
    if field.exact is None and field.type in {Type.TEXT, Type.NAME}:
        return Some([conditions.Words(field, str(value), "phrase") for value in read_values])
    return OneOf(field, tuple(read_values), asked.folded or field.any_case or field.type is Type.CONCEPT)


def _compared(how: str) -> Callable[[_Asked], Condition]:
    def made(asked: _Asked) -> Condition:
        field, args, way = asked.field, asked.args, asked.way
        _must_have(2, args, way)
        if how in {"=", "<>"}:
            equal = _one_of(asked, args[1:], way)
            return equal if how == "=" else No(equal)
        low, high = _span(field, args[1], (*way, 1))
        return conditions.compared(field, how, low, high)

    return made


def _between(asked: _Asked) -> Condition:
    field, args, way = asked.field, asked.args, asked.way
    _must_have(3, args, way)
    low, high = _span(field, args[1], (*way, 1))[0], _span(field, args[2], (*way, 2))[1]
    return Between(field, low, high)


def _in(asked: _Asked) -> Condition:
    args, way = asked.args, asked.way
    _must_have(2, args, way)
    if not isinstance(args[1], list) or not args[1]:
        raise _Wrong((*way, 1), "A list of values belongs here.")
    return _one_of(asked, args[1], (*way, 1))


def _contains(asked: _Asked) -> Condition:
    args, way = asked.args, asked.way
    _must_have(2, args, way)
    values = args[1] if isinstance(args[1], list) else [args[1]]
    return Every([_one_of(asked, [value], (*way, 1)) for value in values[: VALUES_MAX + 1]])


def _overlaps(asked: _Asked) -> Condition:
    args, way = asked.args, asked.way
    _must_have(2, args, way)
    return _one_of(asked, args[1] if isinstance(args[1], list) else [args[1]], (*way, 1))


def _is_null(asked: _Asked) -> Condition:
    field, args, way = asked.field, asked.args, asked.way
    _must_have(1, args, way)
    return No(Said(field))


def _like(asked: _Asked) -> Condition:
    field, args, way = asked.field, asked.args, asked.way
    _must_have(2, args, way)
    pattern = _value(field, args[1], (*way, 1))
    begin = re.match(r"(?:\\.|[^\\%_])*", str(pattern), re.DOTALL)
    if field.exact is None:
        raise _Wrong(way, f"{field.name!r} is found by its words, not by patterns.", "Ask for the words in q.")
    if begin is None or len(begin[0]) < conditions.BEGINNING_CHARS_MIN:
        least = conditions.BEGINNING_CHARS_MIN
        raise _Wrong((*way, 1), f"A pattern begins with at least {least} characters that are no % or _.")
    return Alike(field, str(pattern), asked.folded or field.any_case)


def _t_intersects(asked: _Asked) -> Condition:
    field, args, way = asked.field, asked.args, asked.way
    _must_have(2, args, way)
    here: tuple[str | int, ...] = (*way, 1)
    interval = args[1].get("interval") if isinstance(args[1], Mapping) else None
    if interval is None:
        low, high = _span(field, args[1], here)
        return Between(field, low, high)
    if not isinstance(interval, list) or len(interval) != _INTERVAL:
        raise _Wrong(here, "An interval has two ends; an open one is '..'.", "INTERVAL('2024-01-01', '..')")
    low_text, high_text = (_bare(end, here) for end in interval)
    start: datetime | None = None if low_text == ".." else _span(field, low_text, here)[0]
    end: datetime | None = None if high_text == ".." else _span(field, high_text, here)[1]
    if start is not None and end is not None and end <= start:
        raise _Wrong(here, "The interval ends before it begins; exchange the two.")
    return Between(field, start, end)


def _s_intersects(asked: _Asked) -> Condition:
    field, args, way = asked.field, asked.args, asked.way
    _must_have(2, args, way)
    here: tuple[str | int, ...] = (*way, 1)
    shape = args[1]
    if isinstance(shape, Mapping) and isinstance(shape.get("bbox"), list):
        degrees = shape["bbox"]
        if len(degrees) != _BOX or not all(isinstance(one, int | float) for one in degrees):
            raise _Wrong(here, "A box has four degrees.", "BBOX(5.9, 45.8, 10.5, 47.8)")
        try:
            return Meets(field, conditions.box(*degrees))
        except ValueError as wrong:
            raise _Wrong(here, f"The box: {wrong}.", "BBOX(5.9, 45.8, 10.5, 47.8)") from None
    if not isinstance(shape, Mapping) or shape.get("type") not in _GEOMETRIES:
        raise _Wrong(here, f"A box or a geometry belongs here: {', '.join(_GEOMETRIES)}.")
    coordinates = shape.get("coordinates")
    if not _are_degrees(coordinates) or _count(coordinates) > POSITIONS_MAX:
        raise _Wrong(here, f"Coordinates are longitude and latitude in degrees, of at most {POSITIONS_MAX} points.")
    return Meets(field, {"type": shape["type"], "coordinates": coordinates})


def _are_degrees(at: Any, depth: int = 0) -> bool:
    if not isinstance(at, list) or not at or depth > 3:  # noqa: PLR2004 - a MultiPolygon has four levels of lists.
        return False
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in at):
        return len(at) == 2 and -180 <= at[0] <= 180 and -90 <= at[1] <= 90  # noqa: PLR2004 - degrees.
    return all(_are_degrees(one, depth + 1) for one in at)


def _count(at: Any) -> int:
    return sum(_count(one) for one in at) if isinstance(at[0], list) else 1


_MADE: Mapping[str, Callable[[_Asked], Condition]] = {
    **{how: _compared(how) for how in ("=", "<>", "<", "<=", ">", ">=")},
    "between": _between,
    "in": _in,
    "like": _like,
    "isnull": _is_null,
    "a_contains": _contains,
    "a_overlaps": _overlaps,
    "s_intersects": _s_intersects,
    "t_intersects": _t_intersects,
}

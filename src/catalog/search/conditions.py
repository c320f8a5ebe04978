"""What a field has to be for an object to be found: a small tree, made by the search box and by filters of CQL2 alike.

Pure. A condition that exists can be asked; its makers (`language.py`, `cql2.py`) tell people what is wrong. An object
without a value fulfils no condition on the field, and so fulfils its negation: there are two truths here, not SQL's
three.
"""

import calendar
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from catalog.access.audience import Audience
from catalog.objects.kinds.labels import DATA_SETS
from catalog.search.answers import Value
from catalog.search.document import epoch_seconds
from catalog.search.fields import HAS_LABELS, YES_OR_NO, Field, Type

# As the engine takes it.
Clause: TypeAlias = dict[str, Any]

# A tree that is larger is no question of a person; it costs the engine a clause for each.
CONDITIONS_MAX = 100
DEPTH_MAX = 20
# A shorter beginning matches so many values that it says nothing and costs much.
BEGINNING_CHARS_MIN = 2
INTEGER_DIGITS_MAX = 18

_NUMBER = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,2})?")
_DAY = re.compile(r"(?P<year>[0-9]{4})(-(?P<month>[0-9]{2})(-(?P<day>[0-9]{2}))?)?")


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values; `folded` where upper and lower case mean the same."""

    field: Field
    values: Sequence[Value]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """The field has these words, anywhere; as a phrase, one after the other; as a beginning, the last one's."""

    field: Field
    text: str
    how: str = "word"


@dataclass(frozen=True, slots=True)
class Alike:
    """The field has a value that is written so: % stands for anything, _ for one character; a backslash ends that."""

    field: Field
    pattern: str
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """The field's value lies from `low` on and below `high`; a bound that is None is open."""

    field: Field
    low: int | datetime | None = None
    high: int | datetime | None = None


@dataclass(frozen=True, slots=True)
class Meets:
    """The place meets this geometry: GeoJSON (RFC 7946), or the engine's own envelope."""

    field: Field
    geometry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """The field has a value."""

    field: Field


@dataclass(frozen=True, slots=True)
class Every:
    """All of these hold."""

    parts: Sequence["Condition"]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of these holds."""

    parts: Sequence["Condition"]


@dataclass(frozen=True, slots=True)
class No:
    """This does not hold."""

    part: "Condition"


Condition: TypeAlias = OneOf | Words | Alike | Between | Meets | Said | Every | Some | No


def leaves(condition: Condition) -> Iterator[OneOf | Words | Alike | Between | Meets | Said]:
    """Yield what the tree asks of single fields."""
    match condition:
        case Every(parts) | Some(parts):
            for part in parts:
                yield from leaves(part)
        case No(part):
            yield from leaves(part)
        case leaf:
            yield leaf


def names(condition: Condition) -> list[str]:
    """Return the fields that the tree asks, by name."""
    return sorted({leaf.field.name for leaf in leaves(condition)})


# Reading values that people write


def integer(text: str) -> int:
    """Read a whole number; raises ValueError with what belongs there."""
    if not re.fullmatch(rf"[+-]?[0-9]{{1,{INTEGER_DIGITS_MAX}}}", text):
        raise ValueError("write a whole number in digits, like 2024")
    return int(text)


def number(text: str) -> float:
    """Read a number in decimal digits, with spaces around it; raises ValueError with what belongs there."""
    # What Python reads beside these (1_0, infinity, digits of other scripts), nobody means here.
    if not _NUMBER.fullmatch(text.strip(" ")):
        raise ValueError("write a number in digits, like 10.5")
    return float(text)


def span(text: str) -> tuple[datetime, datetime]:
    """Read a moment, a day, a month or a year as from when to before when; raises ValueError with what belongs there.

    A moment is one of RFC 3339 with its zone, and lasts a microsecond; days are those of UTC.
    """
    found = _DAY.fullmatch(text)
    try:
        if found is not None:
            return _whole(int(found["year"]), *(int(found[name]) if found[name] else None for name in ("month", "day")))
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC), moment.astimezone(UTC) + timedelta(microseconds=1)
    except (ValueError, OverflowError):
        pass
    raise ValueError("write a date as 2024, 2024-05, 2024-05-17 or 2024-05-17T08:00:00Z, a range as 2007..2009")


def _whole(year: int, month: int | None, day: int | None) -> tuple[datetime, datetime]:
    start = datetime(year, month or 1, day or 1, tzinfo=UTC)
    if day is not None:
        return start, start + timedelta(days=1)
    days = calendar.monthrange(year, month)[1] if month is not None else 366 if calendar.isleap(year) else 365
    return start, start + timedelta(days=days)


def compared(field: Field, how: str, low: int | datetime, high: int | datetime) -> Between:
    """Return a comparison with a value that goes from `low` to below `high`, as a year is all of its days."""
    match how:
        case "<":
            return Between(field, high=low)
        case "<=":
            return Between(field, high=high)
        case ">":
            return Between(field, low=high)
        case ">=":
            return Between(field, low=low)
        case _:
            return Between(field, low, high)


def box(west: float, south: float, east: float, north: float) -> Mapping[str, Any]:
    """Return the region between these degrees, which may cross the antimeridian; raises ValueError."""
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):  # noqa: PLR2004 - degrees.
        raise ValueError("write west,south,east,north in degrees: -180 to 180 and -90 to 90, south below north")
    return {"type": "envelope", "coordinates": [[west, north], [east, south]]}


def begins(text: str) -> str:
    """Return the pattern of what begins so; raises ValueError for what begins so seldom that it says nothing."""
    if len(text) < BEGINNING_CHARS_MIN:
        raise ValueError(f"write at least {BEGINNING_CHARS_MIN} characters before the *")
    return re.sub(r"([\\%_])", r"\\\1", text) + "%"


# Asking the engine


def clause(condition: Condition, audience: Audience) -> Clause:
    """Return the condition as the engine takes it."""
    match condition:
        case Every(parts):
            return {"bool": {"filter": [clause(part, audience) for part in parts]}}
        case Some(parts):
            return {"bool": {"should": [clause(part, audience) for part in parts], "minimum_should_match": 1}}
        case No(part):
            return {"bool": {"must_not": [clause(part, audience)]}}
        case OneOf(field, values) if field.type is Type.ANSWER:
            return {"bool": {"should": [labelled(str(value), audience) for value in values]}}
        case Said(field) if field.name == HAS_LABELS:
            return clause(OneOf(field, YES_OR_NO), audience)
        case Words():
            return of_words(condition)
        case leaf:
            return _of_field(leaf)


def of_words(asked: Words) -> Clause:
    """Return the query for words of one field, which is for everybody the same."""
    kind = {"phrase": "match_phrase", "prefix": "match_bool_prefix"}.get(asked.how, "match")
    match: dict[str, Any] = {"query": asked.text}
    return {kind: {asked.field.words: match if asked.how == "phrase" else match | {"operator": "and"}}}


def _of_field(leaf: OneOf | Alike | Between | Meets | Said) -> Clause:
    match leaf:
        case OneOf(field, values, folded):
            if folded and not field.folded:
                terms = [{"term": {field.exact: {"value": value, "case_insensitive": True}}} for value in values]
                return {"bool": {"should": terms}}
            return {"terms": {field.exact: list(values)}}
        case Alike(field, pattern, folded):
            asked = {"value": _wildcards(pattern), "case_insensitive": folded and not field.folded}
            return {"wildcard": {field.exact: asked}}
        case Between(field):
            return {"range": {field.exact: _bounds(leaf)}}
        case Meets(field, geometry):
            return {"geo_shape": {field.exact: {"shape": dict(geometry), "relation": "intersects"}}}
        case Said(field):
            return {"exists": {"field": field.exact or field.words}}


def _bounds(leaf: Between) -> dict[str, Any]:
    if leaf.field.type is Type.PERIOD:
        return _seconds(leaf)
    low, high = (bound.isoformat() if isinstance(bound, datetime) else bound for bound in (leaf.low, leaf.high))
    return {name: bound for name, bound in (("gte", low), ("lt", high)) if bound is not None}


def _seconds(leaf: Between) -> dict[str, Any]:
    # The index holds periods in whole seconds, both ends included.
    bounds: dict[str, Any] = {"relation": "intersects"}
    if isinstance(leaf.low, datetime):
        bounds["gte"] = epoch_seconds(leaf.low)
    if isinstance(leaf.high, datetime):
        bounds["lte"] = epoch_seconds(leaf.high - timedelta(microseconds=1))
    return bounds


def _wildcards(pattern: str) -> str:
    told, escaped = [], False
    for character in pattern:
        if escaped or character not in "%_\\":
            # What the engine's own wildcards mean is nothing to us.
            told.append(f"\\{character}" if character in "*?\\" else character)
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            told.append("*" if character == "%" else "?")
    return "".join(told)


def labelled(answer: str, audience: Audience) -> Clause:
    """Return the filter for data sets with labels that this audience may see, or without any such."""
    readers = {"exists": {"field": "label_readers"}}
    seen = readers if audience.everything else {"terms": {"label_readers": audience.certain_tokens}}
    if answer == "yes":
        return seen
    return {"bool": {"filter": [{"terms": {"kind": list(DATA_SETS)}}], "must_not": [seen]}}

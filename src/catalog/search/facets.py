"""What can be counted of what a question finds, and how that is asked of the index.

Pure. A facet is not narrowed by its own choice; what is counted stands under the question's own query, and so under the
audience's filter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.access.audience import Audience
from catalog.search.conditions import Clause, labelled
from catalog.search.fields import HAS_LABELS, YES_OR_NO

if TYPE_CHECKING:
    from catalog.search.query import Question

FACETS: Mapping[str, str] = {
    "kind": "kind",
    "project": "project",
    "organization": "organization",
    "licence": "licence",
    "year": "year",
    "creator": "creators.exact",
    "keyword": "keywords.exact",
    "format": "format",
    "stage": "stage",
    "state": "state",
    "quality": "quality",
    "sensor": "sensor",
    "subject": "subject",
    "task": "task",
}
# Facets of concepts, which count what is described by narrower ones too.
OF_CONCEPTS = ("subject", "task")
RUNTIME = "runtime"
# Counted in ranges, each written as the search box takes it.
BY_MONTH = "created_at"
BY_SIZE = "bytes"
SIZES = ((None, 10**3), (10**3, 10**6), (10**6, 10**9), (10**9, 10**12), (10**12, None))
RANGED = (BY_MONTH, BY_SIZE)
COUNTABLE = (*FACETS, HAS_LABELS, RUNTIME, *RANGED)
ASKABLE = (*FACETS, HAS_LABELS, *RANGED)
# Every object has these, so nothing is ever missing there and nobody has to count.
ALWAYS_PRESENT = frozenset({"kind", "project", "organization", "creator", "state", "quality"})

FACET_VALUES = 20
FACET_VALUES_MAX = 100
CONTAINED_CHARS_MAX = 100


@dataclass(frozen=True, slots=True)
class Level:
    """Concepts that a facet counts together: those directly below one, and the way there; or those at the top."""

    among: Sequence[str]
    # From the top to the concept whose level it is.
    above: Sequence[str] = ()


def count(name: str, counted: Mapping[str, Clause], audience: Audience, question: "Question") -> dict[str, Any]:
    """Return the aggregation of a facet; `counted` are the choices in facets that are asked for, by name."""
    others = [clause for other, clause in counted.items() if other != name]
    return {"filter": {"bool": {"filter": others}}, "aggs": _counted(name, audience, question)}


def _counted(name: str, audience: Audience, question: "Question") -> dict[str, Any]:
    if name == HAS_LABELS:
        return {answer: {"filter": labelled(answer, audience)} for answer in YES_OR_NO}
    if name == BY_MONTH:
        return {"values": {"date_histogram": {"field": name, "calendar_interval": "month", "format": "yyyy-MM"}}}
    if name == BY_SIZE:
        ranges = [_range(low, high) for low, high in SIZES]
        return {"values": {"range": {"field": name, "ranges": ranges}}}
    values: dict[str, Any] = {"size": question.facet_values}
    if name in question.levels:
        return _level(name, question.levels[name], question)
    if question.facet_among is not None:
        values["include"] = list(question.facet_among)
    elif question.facet_contains:
        values["include"] = _containing(question.facet_contains)
    if name == RUNTIME:
        # Of an object that needs several versions of one software, one is counted.
        objects: dict[str, Any] = {"objects": {"reverse_nested": {}}}
        order = [{"objects": "desc"}, {"_key": "asc"}]
        inside = {"values": {"terms": {"field": "runtime.name", "order": order, **values}, "aggs": objects}}
        without = {"bool": {"must_not": [{"nested": {"path": RUNTIME, "query": {"match_all": {}}}}]}}
        return {"nested": {"nested": {"path": RUNTIME}, "aggs": inside}, "missing": {"filter": without}}
    own = f"{name}_own" if name in OF_CONCEPTS and not question.narrower else FACETS[name]
    told: dict[str, Any] = {"values": {"terms": {"field": own, **values}}}
    if name not in ALWAYS_PRESENT:
        told["missing"] = {"missing": {"field": own}}
    return told


def _level(name: str, level: Level, question: "Question") -> dict[str, Any]:
    """Count the concepts of a level with all that is narrower, the way there, and what has none of the level's."""
    field_name = FACETS[name]
    listed = level.among
    if question.facet_among is not None:
        wanted = set(question.facet_among)
        listed = [uri for uri in level.among if uri in wanted]
    within = [{"term": {field_name: uri}} for uri in level.above[-1:]]
    beside = {"bool": {"filter": within, "must_not": [{"terms": {field_name: list(level.among)}}]}}
    told: dict[str, Any] = {"missing": {"filter": beside}}
    # An empty list would mean all values.
    if listed:
        told["values"] = {"terms": {"field": field_name, "size": question.facet_values, "include": list(listed)}}
    if level.above:
        above = {"field": field_name, "size": len(level.above), "include": list(level.above)}
        told["above"] = {"terms": above}
    return told


def _range(low: int | None, high: int | None) -> dict[str, Any]:
    bounds = {name: bound for name, bound in (("from", low), ("to", high)) if bound is not None}
    # As the box takes it, both ends included.
    return {"key": f"{'' if low is None else low}..{'' if high is None else high - 1}", **bounds}


def _containing(text: str) -> str:
    """Return the engine's pattern for values that contain a text, in whichever case."""
    return f".*{''.join(map(_either, text[:CONTAINED_CHARS_MAX]))}.*"


def _either(character: str) -> str:
    if character.isalpha():
        return f"[{character.lower()}{character.upper()}]"
    return character if character.isalnum() else f"\\{character}"

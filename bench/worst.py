"""The worst that can be asked of a search: what costs an engine most, or would if it came through."""

from dataclasses import dataclass
from typing import Any

import msgspec

from catalog.search.conditions import DEPTH_MAX
from catalog.search.cql2 import VALUES_MAX
from catalog.search.language import Q_WORDS_MAX
from catalog.search.query import LIMIT_MAX
from catalog.search.wanted import CHOSEN_VALUES_MAX

# Answered, refused with the place and the limit, or not read to its end.
FINE, REFUSED, TOO_LARGE = 200, 400, 413
BEGINNINGS = [f"{one}{other}" for one in "bcdfghklmnprstvxz" for other in "aeiou"]
ALL_FACETS = ["kind", "project", "organization", "licence", "year", "creator", "keyword", "format", "quality", "bytes"]


@dataclass(frozen=True, slots=True)
class Worst:
    """A question as it is sent, the parameters in it, and the status that answers it well."""

    name: str
    asked: tuple[str, ...]
    body: bytes
    answer: int


def _deep(levels: int) -> bytes:
    """Return a filter that no encoder would make: it would not come down so deep."""
    leaf = b'{"op":"=","args":[{"property":"kind"},"model"]}'
    return b'{"op":"not","args":[' * levels + leaf + b"]}" * levels


def _like(pattern: str) -> dict[str, Any]:
    return {"filter": {"op": "like", "args": [{"property": "title"}, pattern]}}


def _one_of(count: int) -> dict[str, Any]:
    return {"filter": {"op": "in", "args": [{"property": "keyword"}, [f"word{number}" for number in range(count)]]}}


def _worst(name: str, asked: dict[str, Any], answer: int) -> Worst:
    return Worst(name, tuple(asked), msgspec.json.encode(asked), answer)


WORDS = " ".join(f"w{number}" for number in range(Q_WORDS_MAX))
_ANY_CASE = ",".join(f"casei('{one}')" for one in BEGINNINGS)
ANY_CASE = " AND ".join([f"casei(kind) in ({_ANY_CASE})"] * 4)
MONTHS = [f"20{year:02}-01..20{year:02}-06" for year in range(CHOSEN_VALUES_MAX)]
SIZES = [f"{size}..{size + 1}" for size in range(CHOSEN_VALUES_MAX)]

# What fits into what a question may have at most costs most of what is answered.
QUESTIONS = (
    _worst("a wildcard first", {"q": "*ation"}, FINE),
    _worst("wildcards all over", {"q": "*a*b*c*d*e*f*"}, FINE),
    _worst("a pattern that begins anyhow", _like("%a%e%i%o%u%"), REFUSED),
    _worst("a pattern of single letters", _like("_" * 60), REFUSED),
    _worst("a pattern with wildcards all over", _like("ba%a%e%i%o%u%a%e%i%"), FINE),
    _worst("as many beginnings as fit", {"q": " ".join(f"{one}*" for one in BEGINNINGS[:Q_WORDS_MAX])}, FINE),
    _worst("more beginnings than fit", {"q": " ".join(f"{one}*" for one in BEGINNINGS)}, REFUSED),
    _worst("five thousand words", {"q": " ".join(f"w{number}" for number in range(5_000))}, REFUSED),
    _worst("as many words as fit", {"q": " ".join(["ba"] * Q_WORDS_MAX)}, FINE),
    _worst("as many mistyped words as fit", {"q": " ".join(f"bakofe{n}xu" for n in range(Q_WORDS_MAX))}, FINE),
    _worst("a phrase of many words", {"q": '"' + " ".join(["ba"] * Q_WORDS_MAX) + '"'}, FINE),
    _worst("as many to leave out as fit", {"q": " ".join(f"-w{number}" for number in range(Q_WORDS_MAX))}, FINE),
    _worst("a regular expression", {"q": "/(a+)+b/"}, FINE),
    _worst("a script", {"q": "title:{{#toJson}}_source{{/toJson}} OR _exists_:readers"}, FINE),
    _worst("nested a thousand deep", {"filter": msgspec.Raw(_deep(1_000))}, REFUSED),
    _worst("nested as deep as is taken", {"filter": msgspec.Raw(_deep(DEPTH_MAX - 1))}, FINE),
    _worst("parentheses two thousand deep", {"filter": "(" * 2_000 + "kind = 'model'" + ")" * 2_000}, REFUSED),
    _worst("a list of a hundred thousand", _one_of(100_000), TOO_LARGE),
    _worst("a list of ten thousand", _one_of(10_000), REFUSED),
    _worst("as long a list as is taken", _one_of(VALUES_MAX), FINE),
    _worst("everything at once", {"q": WORDS, "filter": ANY_CASE, "created_at": MONTHS, "bytes": SIZES}, REFUSED),
    _worst("a region of everything", {"bbox": "-180,-90,180,90"}, FINE),
    _worst("all that there is, counted in every way", {"facet": ALL_FACETS, "limit": LIMIT_MAX}, FINE),
    _worst("the last page that anybody can name", {"cursor": "A" * 4_000}, REFUSED),
)

"""What the address of a search page says: the question, what narrows it, and which levels of trees are shown.

Pure. Equal addresses show equal pages; every link on the page is a `State` with something changed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlencode

from catalog.search import wanted
from catalog.vocabulary.hierarchy import Way
from catalog.web import where_and_when

# The order of the filters beside the results, and what each is called.
FACETS = {
    "kind": "Kind",
    "project": "Project",
    "creator": "Creator",
    "keyword": "Keyword",
    "licence": "Licence",
    "year": "Year",
    "format": "File format",
    "stage": "Stage of the files",
    "state": "State",
    "quality": "Quality of the record",
    "sensor": "Sensor",
    "has_labels": "Labels",
    "subject": "Field",
    "task": "Task",
    "runtime": "Runs on",
    "created_at": "Registered",
    "bytes": "Size of the files",
}
# Facets that unfold level by level, and all whose values are concepts.
TREES = ("subject", "task")
OF_CONCEPTS = (*TREES, "runtime")
# Which level of a tree is shown: the concept above it, or this word for the topmost.
LEVEL = "_below"
TOP = "top"
# What else narrows a search; each stands once, and the page shows it as it was written.
NARROWING = {"filter": "Filter", "bbox": "Region", "time": "Time"}


# Fields of the form that together say the region and the time.
IN_FORM = frozenset({*where_and_when.EDGES, *where_and_when.ENDS})


@dataclass(frozen=True, slots=True)
class State:
    """What the address of a search page says; equal addresses show equal pages."""

    q: str = ""
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    filter: str | None = None
    bbox: str | None = None
    time: str | None = None
    sort: str | None = None
    limit: str | None = None
    cursor: str | None = None
    # Whether what means the same is looked for too, "true" or "false"; else as this catalog does.
    hybrid: str | None = None
    # Which levels of trees are shown, where somebody chose one.
    below: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        """Read the pairs of a query string.

        Of a parameter that stands once, the last counts; the order of chosen values means nothing. What is unknown is
        left out, not refused: mail and chat programs add parameters of their own to links that people share.
        """
        single: dict[str, str] = {}
        # As keys: so a value that stands there again is known at once, however many there are.
        chosen: dict[str, dict[str, None]] = {}
        below: dict[str, str] = {}
        parts: dict[str, str] = {}
        for name, value in pairs:
            if name in IN_FORM:
                parts[name] = value
            elif name.endswith(LEVEL) and (facet := name.removesuffix(LEVEL)) in TREES and value.strip():
                below[facet] = value.strip()
            if name in FACETS:
                if value:
                    chosen.setdefault(name, {})[value] = None
            elif name in {"q", "sort", "limit", "cursor", *NARROWING} and value.strip():
                single[name] = value.strip()
            elif name == "hybrid" and value in {"true", "false"}:
                single[name] = value
        # What stands in the fields of the form counts more than what an address has beside them.
        in_form = {"bbox": where_and_when.region(parts), "time": where_and_when.period(parts)}
        single |= {name: told for name, told in in_form.items() if told is not None}
        return cls(
            q=single.pop("q", ""),
            chosen={name: tuple(sorted(values)) for name, values in chosen.items() if values},
            below={name: below[name] for name in TREES if name in below},
            **single,
        )

    def must_be_short(self) -> None:
        """Raise Invalid where more values are chosen than a question has; `shortened` is what may be shown of it."""
        wanted.must_be_few({name: len(values) for name, values in self.chosen.items()})

    def shortened(self) -> Self:
        """Return this question with no more values than one has: the first of each facet, and of all together."""
        left, kept = wanted.CHOSEN_TOGETHER_MAX, {}
        for name, values in self.chosen.items():
            kept[name] = values[: min(left, wanted.CHOSEN_VALUES_MAX)]
            left -= len(kept[name])
        return replace(self, chosen={name: values for name, values in kept.items() if values})

    @property
    def is_first_visit(self) -> bool:
        """Nothing asked yet."""
        return not (self.q or self.chosen or self.cursor or self.filter or self.bbox or self.time)

    @property
    def filters(self) -> list[tuple[str, str]]:
        """Every chosen value with its facet, in the page's order, and what else narrows."""
        chosen = [(name, value) for name in FACETS for value in self.chosen.get(name, ())]
        return chosen + [(name, value) for name in NARROWING if (value := getattr(self, name))]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query string's pairs, in one order whatever order they came in."""
        single = {"sort": self.sort, "limit": self.limit, "hybrid": self.hybrid, "cursor": self.cursor}
        return [
            *([("q", self.q)] if self.q else []),
            *self.filters,
            *((f"{name}{LEVEL}", uri) for name, uri in self.below.items()),
            *((name, value) for name, value in single.items() if value),
        ]

    def levels(self, ways: Mapping[str, Way]) -> dict[str, str]:
        """Return the concept above the level that each tree shows, where it is not the topmost.

        Where nobody chose a level, it is that of the only concept which is chosen. `ways` leads to those.
        """
        shown = {name: uri for name, uri in self.below.items() if uri != TOP}
        for name in TREES:
            chosen = self.chosen.get(name, ())
            way = ways.get(chosen[0]) if len(chosen) == 1 and name not in self.below else None
            if way is not None and len(way.steps) > 1:
                shown[name] = way.steps[-2][0]
        return shown

    def asked(self) -> dict[str, Any]:
        """Return the question as `POST /api/search` takes it."""
        single = {"q": self.q, "sort": self.sort, "limit": self.limit, "cursor": self.cursor}
        return {
            **{name: value for name, value in single.items() if value},
            **({} if self.hybrid is None else {"hybrid": self.hybrid == "true"}),
            **{name: value for name in NARROWING if (value := getattr(self, name))},
            **{name: list(values) for name, values in self.chosen.items()},
        }

    def counted(self, levels: Mapping[str, str]) -> dict[str, Any]:
        """Return the same with every filter counted, trees at these levels."""
        return {**self.asked(), "facet": list(FACETS), "tree": list(TREES), "below": list(levels.values())}

    def address(self) -> str:
        """Return the address of this state."""
        return f"/?{urlencode(self.pairs)}" if self.pairs else "/"

    def api_address(self, levels: Mapping[str, str]) -> str:
        """Return where the API answers the same; a cursor fits no question that counts other facets."""
        asked = [pair for pair in self.pairs if not pair[0].endswith(LEVEL)]
        asked += [("facet", name) for name in FACETS] + [("tree", name) for name in TREES]
        return f"/api/search?{urlencode([*asked, *(('below', uri) for uri in levels.values())])}"

    def export_address(self, form: str, *, similar: bool) -> str:
        """Return where the API writes all that this question finds; `similar` where the page shows similar words."""
        asked = [("q", self.q)] if self.q else []
        widened = [("similar", "true")] if similar else []
        return f"/api/search/export?{urlencode([*asked, *self.filters, *widened, ('as', form)])}"

    def sorted_by(self, sort: str) -> Self:
        """Return this question in another order, from its start."""
        return replace(self, sort=sort, cursor=None)

    def without(self, name: str, value: str) -> Self:
        """Return this question without one chosen value, from its start."""
        if name in NARROWING:
            gone: dict[str, Any] = {name: None}
            return replace(self, **gone, cursor=None)
        left = {facet: tuple(v for v in values if (facet, v) != (name, value)) for facet, values in self.chosen.items()}
        return replace(self, chosen={facet: values for facet, values in left.items() if values}, cursor=None)

    def with_only(self, name: str, *values: str) -> Self:
        """Return this question narrowed to some values of a facet, from its start."""
        return replace(self, chosen={**self.chosen, name: tuple(sorted(values))}, cursor=None)

    def at_level(self, name: str, uri: str) -> str:
        """Return the address of this question with another level of a tree, at that tree."""
        return f"{replace(self, below={**self.below, name: uri}, cursor=None).address()}#filter-{name}"

    def anywhere(self) -> Self:
        """Return this question without a region or a time, from its start."""
        return replace(self, bbox=None, time=None, cursor=None)

    def unfiltered(self) -> Self:
        """Return this question without any filter, from its start."""
        return replace(self, chosen={}, filter=None, bbox=None, time=None, cursor=None)

    def asking(self, text: str) -> Self:
        """Return this question with another text, from its start."""
        return replace(self, q=text, cursor=None)

    def from_start(self) -> Self:
        """Return this question's first page."""
        return replace(self, cursor=None)

    def after(self, cursor: str) -> Self:
        """Return the page that follows."""
        return replace(self, cursor=cursor)

"""The search page: one state in the URL, one answer of the API, one page.

Pure. `State` is what the address says; every link on the page is a `State` with something changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlencode

from markupsafe import Markup

from catalog.errors import Fault
from catalog.web import rendering, wording

# The order of the filters beside the results, and what each is called.
FACETS = {
    "kind": "Kind",
    "project": "Project",
    "creator": "Creator",
    "licence": "Licence",
    "year": "Year",
    "format": "File format",
    "state": "State",
    "quality": "Quality of the record",
    "sensor": "Sensor",
    "has_labels": "Labels",
    "subject": "Field",
    "task": "Task",
}
LABELS = {"yes": "With labels", "no": "Without labels"}
_OF_CONCEPTS = {"subject", "task"}
# Facets whose values are words of ours.
_WORDS = {"state", "quality"}
SORTS = {"relevance": "Relevance", "newest": "Newest", "oldest": "Oldest", "title": "Title"}
# Enough to compare at a glance; the others fold away without being lost.
FACET_VALUES_SHOWN = 6
CARD_FILES_SHOWN = 3
CARD_CREATORS_SHOWN = 4
# Hits tell where else the words were found; these fields are already marked in place.
_MARKED_IN_PLACE = {"title", "description"}
# The document calls `members` what an object's name and details say.
_MARKED_ELSEWHERE = {"members": "Name and details", "paths": "Files", "terms": "Terms"}
# What a fault's pointer names, as people see it on the page.
_PLACES = {**FACETS, "sort": "Order", "cursor": "Next page", "limit": "Results per page", "": "Address"}


@dataclass(frozen=True, slots=True)
class State:
    """What the address of a search page says; equal addresses show equal pages."""

    q: str = ""
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sort: str | None = None
    limit: str | None = None
    cursor: str | None = None

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        """Read the pairs of a query string.

        Of a parameter that stands once, the last counts; the order of chosen values means nothing. What is unknown is
        left out, not refused: mail and chat programs add parameters of their own to links that people share.
        """
        single: dict[str, str] = {}
        chosen: dict[str, list[str]] = {}
        for name, value in pairs:
            if name in FACETS:
                if value and value not in chosen.setdefault(name, []):
                    chosen[name].append(value)
            elif name in {"q", "sort", "limit", "cursor"} and value.strip():
                single[name] = value.strip()
        return cls(
            q=single.pop("q", ""),
            chosen={name: tuple(sorted(values)) for name, values in chosen.items() if values},
            **single,
        )

    @property
    def is_first_visit(self) -> bool:
        """Nothing asked yet."""
        return not (self.q or self.chosen or self.cursor)

    @property
    def filters(self) -> list[tuple[str, str]]:
        """Every chosen value with its facet, in the page's order."""
        return [(name, value) for name in FACETS for value in self.chosen.get(name, ())]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query string's pairs, in one order whatever order they came in."""
        single = {"sort": self.sort, "limit": self.limit, "cursor": self.cursor}
        return [
            *([("q", self.q)] if self.q else []),
            *self.filters,
            *((name, value) for name, value in single.items() if value),
        ]

    def asked(self) -> dict[str, Any]:
        """Return the question as `POST /api/search` takes it, with every filter counted."""
        single = {"q": self.q, "sort": self.sort, "limit": self.limit, "cursor": self.cursor}
        return {
            **{name: value for name, value in single.items() if value},
            **{name: list(values) for name, values in self.chosen.items()},
            "facet": list(FACETS),
        }

    def address(self) -> str:
        """Return the address of this state."""
        return f"/?{urlencode(self.pairs)}" if self.pairs else "/"

    def api_address(self) -> str:
        """Return where the API answers the same; a cursor fits no question that counts other facets."""
        return f"/api/search?{urlencode([*self.pairs, *(('facet', name) for name in FACETS)])}"

    def sorted_by(self, sort: str) -> Self:
        """Return this question in another order, from its start."""
        return replace(self, sort=sort, cursor=None)

    def without(self, name: str, value: str) -> Self:
        """Return this question without one chosen value, from its start."""
        left = {facet: tuple(v for v in values if (facet, v) != (name, value)) for facet, values in self.chosen.items()}
        return replace(self, chosen={facet: values for facet, values in left.items() if values}, cursor=None)

    def with_only(self, name: str, value: str) -> Self:
        """Return this question narrowed to one value of a facet, from its start."""
        return replace(self, chosen={**self.chosen, name: (value,)}, cursor=None)

    def unfiltered(self) -> Self:
        """Return this question without any filter, from its start."""
        return replace(self, chosen={}, cursor=None)

    def from_start(self) -> Self:
        """Return this question's first page."""
        return replace(self, cursor=None)

    def after(self, cursor: str) -> Self:
        """Return the page that follows."""
        return replace(self, cursor=cursor)


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a facet; the count is unknown for a value that is chosen but was not counted."""

    value: str
    label: str
    count: int | None
    chosen: bool
    only: str


@dataclass(frozen=True, slots=True)
class Facet:
    """One group of filters."""

    name: str
    label: str
    shown: Sequence[Choice]
    folded: Sequence[Choice]
    rest: int
    missing: int


@dataclass(frozen=True, slots=True)
class Download:
    """A file of a hit."""

    path: str
    folder: str
    name: str
    size: str
    size_exact: str
    media_type: str
    sha256: str
    state: str
    state_label: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Card:
    """One hit."""

    id: str
    kind: str
    kind_label: str
    address: str
    title: Markup | str
    description: Markup | str
    creators: str
    project: str
    project_address: str
    licence: str | None
    year: str | None
    hidden: str | None
    updated_at: str
    also: Sequence[tuple[str, Markup]]
    shown: Sequence[Download]
    folded: Sequence[Download]
    files_total: int
    files_beyond: int


def facets_of(counted: Mapping[str, Any], state: State) -> list[Facet]:
    """Return the filters in the page's order; a chosen value stands there even when nothing was counted for it."""
    facets = [_facet(name, counted.get(name, {}), state) for name in FACETS]
    return [facet for facet in facets if facet.shown]


def _facet(name: str, counted: Mapping[str, Any], state: State) -> Facet:
    counts = {str(bucket["value"]): int(bucket["count"]) for bucket in counted.get("buckets", ())}
    labels = {str(bucket["value"]): bucket["label"] for bucket in counted.get("buckets", ()) if bucket.get("label")}
    chosen = state.chosen.get(name, ())
    values = [*(value for value in chosen if value not in counts), *counts]
    if name == "year":
        values.sort(reverse=True)
    choices = [
        Choice(
            value=value,
            label=labels.get(value) or _value_label(name, value),
            count=counts.get(value),
            chosen=value in chosen,
            only=state.with_only(name, value).address(),
        )
        for value in values
    ]
    # A chosen value is never folded away.
    shown = [c for place, c in enumerate(choices) if place < FACET_VALUES_SHOWN or c.chosen]
    return Facet(
        name=name,
        label=FACETS[name],
        shown=shown,
        folded=[c for c in choices if c not in shown],
        rest=int(counted.get("rest", 0)),
        missing=int(counted.get("missing", 0)),
    )


def _value_label(name: str, value: str) -> str:
    if name == "has_labels":
        return LABELS.get(value, value)
    if name in _OF_CONCEPTS:
        # Where nothing was counted, as for a choice without hits, the URI says it as well as it can.
        return value.rpartition(":")[2].replace("-", " ")
    if name in _WORDS:
        return value.capitalize()
    return wording.kind_title(value) if name == "kind" else value


def card_of(hit: Mapping[str, Any]) -> Card:
    """Return a hit as its card."""
    highlights = hit.get("highlights") or {}
    files = [_download(file) for file in hit.get("files", ())]
    names = list(hit.get("creators", ()))
    others = len(names) - CARD_CREATORS_SHOWN
    if others > 0:
        names = [*names[:CARD_CREATORS_SHOWN], f"{wording.counted(others, 'other', 'others')}"]
    total = int(hit.get("files_total", len(files)))
    return Card(
        id=hit["id"],
        kind=hit["kind"],
        kind_label=wording.kind_title(hit["kind"]),
        address=wording.object_address(hit["id"]),
        title=_title(hit["title"], highlights.get("title") or ()),
        description=_excerpt(hit.get("description") or "", highlights.get("description") or ()),
        creators="; ".join(names),
        project=hit["project"],
        project_address=State(chosen={"project": (hit["project"],)}).address(),
        licence=hit.get("licence"),
        year=None if hit.get("year") is None else str(hit["year"]),
        hidden=wording.visibility_text(hit["visibility"], None),
        updated_at=hit["updated_at"],
        also=[
            (
                _MARKED_ELSEWHERE.get(name, wording.label_of(name)),
                Markup(" · ").join(wording.marked(fragment) for fragment in fragments),
            )
            for name, fragments in highlights.items()
            if name not in _MARKED_IN_PLACE and fragments
        ],
        shown=files[:CARD_FILES_SHOWN],
        folded=files[CARD_FILES_SHOWN:],
        files_total=total,
        files_beyond=max(0, total - len(files)),
    )


def _title(title: str, highlights: Sequence[str]) -> Markup | str:
    # Only a highlight of the whole title may stand in its place.
    whole = next((h for h in highlights if wording.unmarked(h) == title), None)
    return title if whole is None else wording.marked(whole)


def _excerpt(description: str, highlights: Sequence[str]) -> Markup | str:
    if not highlights:
        return description
    # Fragments begin and end anywhere: dots where the text goes on.
    before = "" if description.startswith(wording.unmarked(highlights[0])) else "… "
    after = "" if description.endswith(wording.unmarked(highlights[-1])) else " …"
    return Markup("").join([before, Markup(" … ").join(wording.marked(each) for each in highlights), after])


def _download(file: Mapping[str, Any]) -> Download:
    folder, _, name = file["path"].rpartition("/")
    link = file.get("link")
    return Download(
        path=file["path"],
        folder=f"{folder}/" if folder else "",
        name=name,
        size=wording.size_text(file["size"]),
        size_exact=wording.counted(file["size"], "byte", "bytes"),
        media_type=file["media_type"],
        sha256=file["sha256"],
        state=file["state"],
        state_label=wording.STATES.get(file["state"], file["state"]),
        address=wording.safe_address(link["href"]) if link else None,
    )


def render_search(answer: Mapping[str, Any], state: State) -> str:
    """Return the page for an answer of `/api/search`."""
    cards = [card_of(hit) for hit in answer["hits"]]
    counted = answer.get("facets") or {}
    expiries = [file["link"]["expires_at"] for hit in answer["hits"] for file in hit["files"] if file.get("link")]
    cursor = answer.get("cursor")
    kinds = _facet("kind", counted.get("kind", {}), State())
    sort = state.sort or ("relevance" if state.q else "newest")
    return rendering.render(
        "search.html",
        **_frame(state, facets_of(counted, state)),
        total=answer["total"],
        tally=wording.counted(answer["total"], "object", "objects") if answer["total"] else "No objects",
        cards=cards,
        # The same kinds that the filter lists, one click each for somebody who came to look around.
        kinds=[*kinds.shown, *kinds.folded],
        sorts=[
            (label, state.sorted_by(name).address(), name == sort)
            for name, label in SORTS.items()
            if name != "relevance" or state.q
        ],
        next_address=state.after(cursor).address() if cursor else None,
        links_until=min(expiries, default=None),
        json_address=state.api_address(),
    )


def render_refusal(state: State, detail: str, faults: Sequence[Fault]) -> str:
    """Return the page for a question that was refused: what is wrong at the field where it is wrong, nothing lost."""
    at_query = [fault for fault in faults if fault.pointer.split("/")[1:2] == ["q"]]
    return rendering.render(
        "search_refused.html",
        **_frame(state, facets_of({}, state)),
        detail=detail,
        at_query=at_query,
        elsewhere=[
            (fault, _PLACES.get(name := fault.pointer.strip("/").split("/")[0], wording.label_of(name)))
            for fault in faults
            if fault not in at_query
        ],
        start_address=State(q=state.q).address(),
    )


def render_unavailable(state: State, detail: str) -> str:
    """Return the page for the time in which the index does not answer."""
    return rendering.render(
        "search_unavailable.html", **_frame(state, facets_of({}, state)), detail=detail, again_address=state.address()
    )


def _frame(state: State, facets: Sequence[Facet]) -> dict[str, Any]:
    return {
        "state": state,
        "facets": facets,
        "filters": [
            (FACETS[name], _value_label(name, value), state.without(name, value).address())
            for name, value in state.filters
        ],
        "unfiltered_address": state.unfiltered().address(),
        "first_address": state.from_start().address(),
    }

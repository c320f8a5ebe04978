"""The search page: one state in the URL (`state.py`), one answer of the API, one page. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from catalog.errors import Fault
from catalog.vocabulary.hierarchy import Way
from catalog.web import rendering, where_and_when, wording
from catalog.web.state import FACETS, LEVEL, NARROWING, OF_CONCEPTS, TOP, TREES, State
from catalog.web.where_and_when import Shape

LABELS = {"yes": "With labels", "no": "Without labels"}
_FILTERS = FACETS | NARROWING
# Facets whose values are words of ours.
_WORDS = {"stage", "state", "quality"}
SORTS = {"relevance": "Relevance", "newest": "Newest", "oldest": "Oldest", "title": "Title"}
# Enough to compare at a glance; the others fold away without being lost.
FACET_VALUES_SHOWN = 6
# Each chosen value has a link that says all the others: together they would grow with the square of what is chosen.
# Those beyond are taken off where they are ticked.
REMOVING_CHARS_MAX = 100_000
CARD_FILES_SHOWN = 3
CARD_CREATORS_SHOWN = 4
# Hits tell where else the words were found; these fields are already marked in place.
_MARKED_IN_PLACE = {"title", "description"}
# The document calls `members` what an object's name and details say.
_MARKED_ELSEWHERE = {"members": "Name and details", "paths": "Files", "terms": "Terms"}
# Forms in which a page offers all that it found.
EXPORTS = {"csv": "CSV", "parquet": "Parquet", "bibtex": "BibTeX", "aria2": "a list for aria2"}
# What a fault's pointer names, as people see it on the page.
_PLACES = {
    **FACETS,
    "filter": "Filter",
    "bbox": "Region",
    "time": "Time",
    "sort": "Order",
    "cursor": "Next page",
    "limit": "Results per page",
    "below": "Level",
    "": "Address",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a facet; the count is unknown for a value that is chosen but was not counted."""

    value: str
    label: str
    count: int | None
    chosen: bool
    # Of a tree: where the level below is shown, if there is one.
    deeper: str | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """The way to the level that is shown: each step with its address, and the concept above the level."""

    top: str
    steps: Sequence[tuple[str, str]]
    above: Choice


@dataclass(frozen=True, slots=True)
class Facet:
    """One group of filters; `tree` where a level below the topmost is shown."""

    name: str
    label: str
    shown: Sequence[Choice]
    folded: Sequence[Choice]
    rest: int
    missing: int
    tree: Tree | None = None


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
    shapes: Sequence[Shape]


def facets_of(counted: Mapping[str, Any], state: State, ways: Mapping[str, Way]) -> list[Facet]:
    """Return the filters in the page's order; a chosen value stands there even when nothing was counted for it."""
    facets = [_facet(name, counted.get(name, {}), state, ways) for name in FACETS]
    return [facet for facet in facets if facet.shown or facet.tree]


def _facet(name: str, counted: Mapping[str, Any], state: State, ways: Mapping[str, Way]) -> Facet:
    above = [str(bucket["value"]) for bucket in counted.get("above", ())]
    told = {str(bucket["value"]): bucket for bucket in (*counted.get("above", ()), *counted.get("buckets", ()))}
    chosen = state.chosen.get(name, ())

    def choice(value: str) -> Choice:
        bucket = told.get(value, {})
        label = bucket.get("label") or (ways[value].steps[-1][1] if value in ways else _value_label(name, value))
        return Choice(
            value=value,
            label=label,
            count=int(bucket["count"]) if bucket else None,
            chosen=value in chosen,
            deeper=state.at_level(name, value) if bucket.get("narrower") and value not in above else None,
        )

    tree = None
    if above:
        steps = [(choice(uri).label, state.at_level(name, uri)) for uri in above[:-1]]
        tree = Tree(state.at_level(name, TOP), steps, choice(above[-1]))
    values = [str(bucket["value"]) for bucket in counted.get("buckets", ())]
    # What is chosen elsewhere in a tree stays chosen when the form is sent.
    values = [*(value for value in chosen if value not in {*values, *above[-1:]}), *values]
    if name == "year":
        values.sort(reverse=True)
    choices = [choice(value) for value in values]
    # A chosen value is never folded away.
    shown = [c for place, c in enumerate(choices) if place < FACET_VALUES_SHOWN or c.chosen]
    return Facet(
        name=name,
        label=FACETS[name],
        shown=shown,
        folded=[c for c in choices if c not in shown],
        rest=int(counted.get("rest", 0)),
        missing=int(counted.get("missing", 0)),
        tree=tree,
    )


def _value_label(name: str, value: str) -> str:
    if name == "has_labels":
        return LABELS.get(value, value)
    if name in TREES:
        # Of a concept that is not there any more the URI says it as well as it can.
        return value.rpartition(":")[2].replace("-", " ")
    if name == "created_at":
        return " \N{EN DASH} ".join(wording.date_text(part) for part in value.split("..") if part)
    if name in _WORDS:
        return value.capitalize()
    if name == "bytes":
        return wording.size_range(value)
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
        shapes=where_and_when.shapes_of(hit["bbox"], hit["title"]) if hit.get("bbox") else (),
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


@dataclass(frozen=True, slots=True)
class Meaning:
    """The choice whether what means the same is looked for too: what it sends, what it is called, whether it is on."""

    value: str
    label: str
    on: bool


def meaning_of(state: State, *, by_default: bool) -> Meaning:
    """Return the choice as it stands; where meanings are looked for by default, one may choose not to."""
    value, label = ("false", "Only what has these words") if by_default else ("true", "Also what means something near")
    return Meaning(value, label, state.hybrid == value)


def _hybrid_note(answer: Mapping[str, Any]) -> str | None:
    told = answer.get("hybrid")
    if not told:
        return None
    notes = []
    if told["added"] and answer["total"]:
        more = wording.counted(told["added"], "object more means", "objects more mean")
        notes.append(f"{more} something near, in other words; these are not counted here.")
    elif told["added"]:
        notes.append("Nothing has all of these words; what is shown means something near.")
    return " ".join([*notes, *([told["note"]] if told["note"] else [])]) or None


def _tally(answer: Mapping[str, Any]) -> str:
    if answer["total"]:
        return wording.counted(answer["total"], "object", "objects")
    added = (answer.get("hybrid") or {}).get("added")
    return wording.counted(added, "near object", "near objects") if added else "No objects"


def render_search(
    answer: Mapping[str, Any], state: State, meaning: Meaning | None = None, ways: Mapping[str, Way] | None = None
) -> str:
    """Return the page for an answer of `/api/search`; without a choice of meanings where there is no model.

    `ways` leads to each concept that is chosen.
    """
    ways = ways or {}
    cards = [card_of(hit) for hit in answer["hits"]]
    counted = answer.get("facets") or {}
    expiries = [file["link"]["expires_at"] for hit in answer["hits"] for file in hit["files"] if file.get("link")]
    cursor = answer.get("cursor")
    kinds = _facet("kind", counted.get("kind", {}), State(), {})
    sort = state.sort or ("relevance" if state.q else "newest")
    return rendering.render(
        "search.html",
        **_frame(state, facets_of(counted, state, ways), meaning, ways),
        **_map_and_charts(cards, counted, state),
        total=answer["total"],
        tally=_tally(answer),
        cards=cards,
        # The same kinds that the filter lists, one click each for somebody who came to look around.
        kinds=[(one, State().with_only("kind", one.value).address()) for one in (*kinds.shown, *kinds.folded)],
        sorts=[
            (label, state.sorted_by(name).address(), name == sort)
            for name, label in SORTS.items()
            if name != "relevance" or state.q
        ],
        similar=answer.get("similar", False),
        hybrid_note=_hybrid_note(answer),
        meant=answer.get("did_you_mean"),
        meant_address=state.asking(answer["did_you_mean"]).address() if answer.get("did_you_mean") else None,
        next_address=state.after(cursor).address() if cursor else None,
        links_until=min(expiries, default=None),
        json_address=state.api_address(state.levels(ways)),
        exports=[
            (label, state.export_address(form, similar=bool(answer.get("similar"))))
            for form, label in EXPORTS.items()
            if answer["total"]
        ],
    )


def _map_and_charts(cards: Sequence[Card] | None, counted: Mapping[str, Any], state: State) -> dict[str, Any]:
    """Return what is drawn of the hits; None of them, where a question was not answered, are not spoken of."""

    def addressed(name: str, values: Sequence[str]) -> str:
        return state.with_only(name, *values).address()

    charts = (
        where_and_when.by_year(counted.get("year", {}), state.chosen.get("year", ()), addressed),
        where_and_when.by_month(counted.get("created_at", {}), state.chosen.get("created_at", ()), addressed),
    )
    return {
        "placed": None if cards is None else sum(bool(card.shapes) for card in cards),
        "shapes": [shape for card in cards or () for shape in card.shapes],
        "charts": [chart for chart in charts if chart is not None],
    }


def render_refusal(state: State, detail: str, faults: Sequence[Fault]) -> str:
    """Return the page for a question that was refused: what is wrong at the field where it is wrong, nothing lost."""
    at_query = [fault for fault in faults if fault.pointer.split("/")[1:2] == ["q"]]
    return rendering.render(
        "search_refused.html",
        **_frame(state, facets_of({}, state, {})),
        **_map_and_charts(None, {}, state),
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
        "search_unavailable.html",
        **_frame(state, facets_of({}, state, {})),
        **_map_and_charts(None, {}, state),
        detail=detail,
        again_address=state.address(),
    )


def _frame(
    state: State, facets: Sequence[Facet], meaning: Meaning | None = None, ways: Mapping[str, Way] | None = None
) -> dict[str, Any]:
    region, period = where_and_when.edges(state.bbox), where_and_when.ends(state.time)
    linked = REMOVING_CHARS_MAX // len(state.address())
    in_form = {name for name, fields in (("bbox", region), ("time", period)) if fields is not None}

    def told(name: str, value: str) -> str:
        # A concept with all that is above it: its name alone may say little.
        way = (ways or {}).get(value)
        if way is None or name not in OF_CONCEPTS:
            return where_and_when.region_text(value) if name == "bbox" else _value_label(name, value)
        return " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} ".join(
            label for _, label in (way.steps if name in TREES else way.steps[-1:])
        )

    return {
        "state": state,
        "meaning": meaning,
        "facets": facets,
        # What the fields of the form cannot say goes on unseen.
        "kept": [
            *((name, value) for name in NARROWING if name not in in_form and (value := getattr(state, name))),
            *((f"{name}{LEVEL}", uri) for name, uri in state.below.items()),
        ],
        "edges": region or where_and_when.edges(None),
        "ends": period or where_and_when.ends(None),
        "region": where_and_when.chosen_shapes(state.bbox),
        "is_where_or_when": bool(state.bbox or state.time),
        "anywhere_address": state.anywhere().address(),
        "filters": [
            (
                _FILTERS[name],
                told(name, value),
                state.without(name, value).address() if place < linked else None,
            )
            for place, (name, value) in enumerate(state.filters)
        ],
        "unfiltered_address": state.unfiltered().address(),
        "first_address": state.from_start().address(),
    }

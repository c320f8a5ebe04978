"""A lineage as a picture: every node in its column, what came first to the left, with links to walk along.

Pure. Columns count steps from the object in the middle, so that the same graph is always drawn the same way. What is
drawn is also told as a list, since not everybody reads pictures.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from catalog.web import wording

# In the picture's own units; its style sheet makes one of them a pixel where there is room.
NODE_WIDTH, NODE_HEIGHT = 190, 54
GAP_ACROSS, GAP_DOWN = 70, 22
MARGIN = 8
LABEL_CHARS_MAX = 24
NODES_DRAWN_MAX = 60


@dataclass(frozen=True, slots=True)
class Box:
    """A node where it is drawn; `here` is the object in the middle."""

    id: str
    x: int
    y: int
    title: str
    short: str
    about: str
    address: str | None
    state: str
    kind: str
    here: bool


@dataclass(frozen=True, slots=True)
class Line:
    """An edge from a source to what came of it, as a path (SVG 2, section 9.3), and what it says."""

    path: str
    says: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A lineage as it is drawn; `left_out` nodes had no room."""

    width: int
    height: int
    boxes: Sequence[Box]
    lines: Sequence[Line]
    told: Sequence[tuple[str, str, str]]
    left_out: int


def drawn(graph: Mapping[str, Any]) -> Picture:
    """Return the picture of a graph as `GET /api/objects/{id}/provenance` answers it; agents stand beside it."""
    here = graph["object"]
    nodes = {one["id"]: one for one in graph["nodes"] if one.get("type") != "agent"}
    edges = [edge for edge in graph["edges"] if edge["from"] in nodes and edge["to"] in nodes]
    columns = _columns(here, edges)
    order = [one for one in nodes if one in columns]
    kept = set(sorted(order, key=lambda one: (abs(columns[one]), order.index(one)))[:NODES_DRAWN_MAX])
    rows: dict[int, list[str]] = defaultdict(list)
    for one in order:
        if one in kept:
            rows[columns[one]].append(one)
    first = min(rows, default=0)
    tallest = max((len(ids) for ids in rows.values()), default=1)
    places = {
        one: (
            MARGIN + (column - first) * (NODE_WIDTH + GAP_ACROSS),
            MARGIN + round((number + (tallest - len(ids)) / 2) * (NODE_HEIGHT + GAP_DOWN)),
        )
        for column, ids in rows.items()
        for number, one in enumerate(ids)
    }
    boxes = [_box(nodes[one], *places[one], here=one == here) for one in order if one in kept]
    titles = {box.id: box.title for box in boxes}
    shown = [edge for edge in edges if edge["from"] in places and edge["to"] in places]
    return Picture(
        width=2 * MARGIN + (max(rows, default=0) - first + 1) * (NODE_WIDTH + GAP_ACROSS) - GAP_ACROSS,
        height=2 * MARGIN + tallest * (NODE_HEIGHT + GAP_DOWN) - GAP_DOWN,
        boxes=boxes,
        lines=[Line(_path(places[edge["to"]], places[edge["from"]]), _says(edge)) for edge in shown],
        told=[(titles[edge["from"]], _says(edge), titles[edge["to"]]) for edge in shown],
        left_out=len(nodes) - len(boxes),
    )


def _columns(here: str, edges: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many steps before or after the object each node stands, by the shortest way there."""
    sources, results = defaultdict(list), defaultdict(list)
    for edge in edges:
        sources[edge["from"]].append(edge["to"])
        results[edge["to"]].append(edge["from"])
    columns = {here: 0}
    waiting = [here]
    while waiting:
        following: list[str] = []
        for one in waiting:
            for step, others in ((-1, sources[one]), (1, results[one])):
                for other in others:
                    if other not in columns:
                        columns[other] = columns[one] + step
                        following.append(other)
        waiting = following
    return columns


def _box(node: Mapping[str, Any], x: int, y: int, *, here: bool) -> Box:
    state = node["state"]
    kind_label = {"activity": "Activity", "identifier": "Elsewhere"}.get(node.get("type", ""))
    if kind_label is None:
        kind_label = wording.kind_title(node["kind"]) if node.get("kind") else "Object"
    title, address = node.get("title") or "", None
    if state == "hidden":
        title, kind_label = "Not public", f"An {node.get('type', 'object')}"
    elif state == "withdrawn":
        title = "Withdrawn"
    elif state == "outside":
        title = node["identifier"]
        doi = node["identifier_type"] == "DOI"
        address = wording.safe_address(f"https://doi.org/{title}" if doi else title)
    elif node.get("type") == "activity":
        address = node["href"]
    else:
        address = lineage_address(node["id"])
    return Box(
        id=node["id"],
        x=x,
        y=y,
        title=title,
        short=title if len(title) <= LABEL_CHARS_MAX else f"{title[: LABEL_CHARS_MAX - 1].rstrip()}…",
        about=kind_label,
        address=None if here else address,
        state=state,
        kind=node.get("kind") or node.get("type") or "object",
        here=here,
    )


def _path(start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return a curve from the right side of a source to the left side of what came of it."""
    x, y = start[0] + NODE_WIDTH, start[1] + NODE_HEIGHT // 2
    to_x, to_y = end[0], end[1] + NODE_HEIGHT // 2
    bend = max(GAP_ACROSS // 2, abs(to_x - x) // 2)
    return f"M{x} {y}C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"


def _says(edge: Mapping[str, Any]) -> str:
    said = edge.get("relation") or edge["type"]
    # The words of DataCite and PROV are written together: IsDerivedFrom, wasGeneratedBy.
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in said).strip()


def lineage_address(object_id: str) -> str:
    """Return the path of the page with an object's lineage."""
    return f"/objects/{quote(object_id, safe='')}/provenance"

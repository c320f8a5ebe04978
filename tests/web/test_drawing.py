"""Lineage as a picture: what came first stands to the left, everything once, and boxes lead where they should."""

from typing import Any

from catalog.web import drawing
from catalog.web.drawing import NODES_DRAWN_MAX

HERE = "0192f0c8-0000-7c3e-9d2b-0a1b2c3d4e5f"


def there(name: str, **changes: Any) -> dict[str, Any]:
    return {"id": name, "state": "there", "type": "object", "kind": "model", "title": f"Title of {name}"} | changes


def derived(later: str, source: str, **changes: Any) -> dict[str, Any]:
    return {"type": "wasDerivedFrom", "from": later, "to": source, "relation": "IsDerivedFrom"} | changes


def graph(nodes: list[dict[str, Any]], edges: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": HERE, "nodes": [there(HERE), *nodes], "edges": edges}


def test_sources_stand_to_the_left_and_results_to_the_right_whatever_came_first_in_the_answer() -> None:
    nodes = [there("result"), there("source"), there("older")]
    edges = [derived("result", HERE), derived(HERE, "source"), derived("source", "older")]

    picture = drawing.drawn(graph(nodes, edges))

    across = [box.id for box in sorted(picture.boxes, key=lambda box: box.x)]
    assert across == ["older", "source", HERE, "result"]
    assert picture.told == [
        ("Title of result", "is derived from", f"Title of {HERE}"),
        (f"Title of {HERE}", "is derived from", "Title of source"),
        ("Title of source", "is derived from", "Title of older"),
    ]
    assert drawing.drawn(graph(nodes, edges)) == picture


def test_no_two_boxes_cover_each_other_and_all_lie_within_the_picture() -> None:
    nodes = [there(f"n{number}") for number in range(12)]
    edges = [derived(f"n{number}", HERE if number < 5 else f"n{number - 5}") for number in range(12)]
    edges += [derived("n3", "n9"), derived(HERE, "n11")]

    picture = drawing.drawn(graph(nodes, edges))

    taken = {(box.x, box.y) for box in picture.boxes}
    assert len(taken) == len(picture.boxes) == 13
    for box in picture.boxes:
        assert 0 <= box.x <= picture.width - drawing.NODE_WIDTH
        assert 0 <= box.y <= picture.height - drawing.NODE_HEIGHT


def test_boxes_lead_to_the_lineage_of_what_may_be_seen_alone() -> None:
    nodes = [
        there("seen"),
        {"id": "hidden-1", "state": "hidden"},
        {"id": "gone", "state": "withdrawn", "type": "object", "kind": "model"},
        there("run", type="activity", href="/api/activities/run"),
        {"id": "x", "state": "outside", "type": "identifier", "identifier": "10.5072/a", "identifier_type": "DOI"},
        {
            "id": "y",
            "state": "outside",
            "type": "identifier",
            "identifier": "javascript:alert(1)",
            "identifier_type": "URL",
        },
    ]
    edges = [derived(HERE, one["id"]) for one in nodes]

    told = {box.id: (box.title, box.address) for box in drawing.drawn(graph(nodes, edges)).boxes}

    assert told == {
        HERE: (f"Title of {HERE}", None),
        "seen": ("Title of seen", "/objects/seen/provenance"),
        "hidden-1": ("Not public", None),
        "gone": ("Withdrawn", None),
        "run": ("Title of run", "/api/activities/run"),
        "x": ("10.5072/a", "https://doi.org/10.5072/a"),
        "y": ("javascript:alert(1)", None),
    }


def test_circles_and_crowds_are_drawn_as_far_as_there_is_room() -> None:
    nodes = [there(f"n{number}") for number in range(NODES_DRAWN_MAX + 20)]
    edges = [derived(HERE, one["id"]) for one in nodes] + [derived("n0", HERE), derived("n1", "n0")]

    picture = drawing.drawn(graph(nodes, edges))

    assert (len(picture.boxes), picture.left_out) == (NODES_DRAWN_MAX, 21)
    assert HERE in {box.id for box in picture.boxes}
    assert drawing.drawn(graph([], [])).lines == []

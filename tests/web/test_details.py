"""Metadata of any shape is shown by its shape."""

from typing import Any

from catalog.objects import kinds
from catalog.web.details import DEPTH_MAX, Group, Listing, Sequel, Table, Text, entries_of


def test_every_shape_has_its_form() -> None:
    metadata = {
        "task": "speech",
        "parameters": 462594,
        "rate": 0.25,
        "labelled": True,
        "gain": {"value": -62.5, "unit": "dB"},
        "classes": ["a", "b"],
        "shape": [None, 512],
        "sensor": {"id": "s1", "model": None},
        "variables": [{"name": "t", "unit": "°C"}, {"name": "p"}],
        "mixed": [1, {"name": "x"}],
        "home": "https://a.example/",
        "commit": "4f" * 20,
        "unsaid": None,
        "empty": [],
    }
    assert entries_of(metadata) == [
        ("Task", Text("speech")),
        ("Parameters", Text("462,594")),
        ("Rate", Text("0.25")),
        ("Labelled", Text("yes")),
        ("Gain", Text("-62.5 dB")),
        ("Classes", Listing([Text("a"), Text("b")])),
        ("Shape", Text("any × 512")),
        ("Sensor", Group([("Identifier", Text("s1"))])),
        ("Variables", Table(["Name", "Unit"], [[Text("t"), Text("°C")], [Text("p"), None]])),
        ("Mixed", Sequel([Text("1"), Group([("Name", Text("x"))])])),
        ("Home", Text("https://a.example/", address="https://a.example/")),
        ("Commit", Text("4f" * 20, code=True)),
    ]


def test_keys_that_people_chose_keep_their_spelling() -> None:
    assert entries_of({"noise.floor_db": 1}, labelled=False) == [("noise.floor_db", Text("1"))]


def test_what_nests_deeper_than_people_read_is_shown_as_json() -> None:
    deep: dict[str, Any] = {"k": 1}
    for _ in range(DEPTH_MAX):
        deep = {"k": deep}
    (_, shown) = entries_of({"top": deep})[0]
    for _ in range(DEPTH_MAX):
        assert isinstance(shown, Group)
        ((_, shown),) = shown.entries
    assert shown == Text('{"k": 1}', code=True)


def test_every_kind_known_today_is_shown_whole() -> None:
    for kind in kinds.known().values():
        assert entries_of(kind.example["metadata"])

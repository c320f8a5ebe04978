"""A word of a room means one thing there."""

import ast
from collections import defaultdict

from tests.docs.repository import ROOT, tracked


def test_no_two_classes_of_one_room_have_one_name() -> None:
    places = defaultdict(list)
    for path in tracked():
        if path.suffix == ".py" and path.parts[0] in {"src", "indexer"}:
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            for found in tree.body:
                if isinstance(found, ast.ClassDef):
                    places[path.parent, found.name].append(path.name)

    assert len(places) > 100
    assert {name: files for name, files in places.items() if len(files) > 1} == {}

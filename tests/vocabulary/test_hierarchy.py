"""Concepts level by level: what stands at the top, what below, and the way to a concept."""

from collections.abc import AsyncGenerator

import pytest

from catalog.database import Database
from catalog.vocabulary import hierarchy
from catalog.vocabulary.hierarchy import Way
from tests.conftest import World

FIELDS = "urn:x-catalog:scientific-fields:"


@pytest.fixture
async def database(fresh_world: World) -> AsyncGenerator[Database]:
    """A database as `catalog migrate` leaves it, with concepts of a test beside the shipped ones."""
    opened = Database(str(fresh_world.settings.database_url), connections=2)
    yield opened
    await opened.close()


async def test_levels_are_told_by_label_and_how_much_is_below(database: Database) -> None:
    top = await hierarchy.level(database, "scientific-fields", None)
    below = await hierarchy.level(database, "scientific-fields", f"{FIELDS}geophysics")
    counts = await hierarchy.narrower_counts(database, [*below, f"{FIELDS}geophysics", "urn:nothing"])

    assert [uri.removeprefix(FIELDS) for uri in top if "natural" in uri or "life" in uri] == [
        "life-sciences",
        "natural-sciences",
    ]
    assert below == [f"{FIELDS}seismology", f"{FIELDS}volcanology"]
    assert counts == {**dict.fromkeys(below, 0), f"{FIELDS}geophysics": 2, "urn:nothing": 0}
    assert await hierarchy.level(database, "scientific-fields", f"{FIELDS}seismology") == []


async def test_the_way_to_a_concept_begins_at_the_top_and_ends_with_itself(database: Database) -> None:
    asked = [f"{FIELDS}seismology", f"{FIELDS}natural-sciences", "urn:nothing", "\x00"]
    steps = (
        (f"{FIELDS}natural-sciences", "Natural sciences"),
        (f"{FIELDS}earth-sciences", "Earth sciences"),
        (f"{FIELDS}geophysics", "Geophysics"),
        (f"{FIELDS}seismology", "Seismology"),
    )
    assert await hierarchy.ways(database, asked) == {
        asked[0]: Way("scientific-fields", steps),
        asked[1]: Way("scientific-fields", steps[:1]),
    }


@pytest.mark.parametrize(
    ("broader", "way"),
    [
        ({"d": ["c"], "c": ["a"], "a": []}, ["a", "c", "d"]),
        # The shortest, then by label.
        ({"d": ["c", "b"], "c": ["a"], "a": [], "b": []}, ["b", "d"]),
        ({"d": ["c", "b"], "c": [], "b": []}, ["b", "d"]),
        ({"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": []}, ["a", "b", "d"]),
        # No import lets a circle in; one would not hold anybody up.
        ({"d": ["c"], "c": ["d"]}, ["d"]),
    ],
)
def test_of_several_ways_the_shortest_is_told(broader: dict[str, list[str]], way: list[str]) -> None:
    assert hierarchy.shortest_way("d", broader, {uri: uri for uri in broader}) == way

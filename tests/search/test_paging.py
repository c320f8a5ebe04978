"""Orders, and pages that visit every hit once."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from catalog.access.audience import ANONYMOUS
from catalog.search import query
from catalog.search.index import Index
from catalog.search.query import Question
from tests.search.conftest import NOON, Library, ask, entry, put

OBJECTS = 23


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("newest", ["bundle", "resnet", "reanalysis", "penguins", "silero"]),
        ("oldest", ["silero", "penguins", "reanalysis", "resnet", "bundle"]),
        # As people sort: whatever the case and the accents.
        ("title", ["bundle", "reanalysis", "penguins", "resnet", "silero"]),
        (None, ["bundle", "resnet", "reanalysis", "penguins", "silero"]),
    ],
)
async def test_hits_come_in_the_order_asked_for(library: Library, sort: str | None, names: list[str]) -> None:
    assert library.names(await library.ask(sort=sort)) == names


async def test_an_exact_title_comes_first(index: Index) -> None:
    exact = entry(title="Soil")
    repeats = [
        entry(title=f"Soil soil soil {number}", description="soil " * 50, keywords=["soil"]) for number in range(3)
    ]
    await put(index, *repeats, exact)
    found = await ask(index, "soil")
    assert found.total == 4
    assert found.hits[0].id == exact.id


@pytest.mark.parametrize("sort", ["relevance", "newest", "oldest", "title"])
@pytest.mark.parametrize("limit", [1, 5, OBJECTS, 100])
async def test_pages_visit_every_hit_once(index: Index, sort: str, limit: int) -> None:
    # Alike in everything that is sorted by, in groups: only the id tells them apart.
    entries = [
        entry(title=f"Stations {number % 3}", created_at=NOON + timedelta(seconds=number % 4))
        for number in range(OBJECTS)
    ]
    await put(index, *entries)

    visited: list[UUID] = []
    after = None
    for _ in range(OBJECTS + 1):
        found = await ask(index, "stations", sort=sort, limit=limit, after=after)
        assert found.total == OBJECTS
        visited += [hit.id for hit in found.hits]
        after = found.last
        if after is None:
            break

    assert after is None
    assert len(visited) == OBJECTS
    assert set(visited) == {one.id for one in entries}
    whole = await ask(index, "stations", sort=sort, limit=100)
    assert visited == [hit.id for hit in whole.hits]


async def test_an_object_written_between_two_pages_moves_none_of_the_others(index: Index) -> None:
    entries = [entry(title="Stations", created_at=NOON - timedelta(seconds=number)) for number in range(6)]
    await put(index, *entries)
    first = await ask(index, "stations", sort="newest", limit=3)
    await put(index, entry(title="Stations", created_at=NOON + timedelta(days=1)))
    second = await ask(index, "stations", sort="newest", limit=3, after=first.last)
    assert [hit.id for hit in [*first.hits, *second.hits]] == [one.id for one in entries]
    assert second.last is None


# More than a page of the engine's own, and enough for objects to be written between pages.
MANY = 3_000


@pytest.mark.timeout(120)
@pytest.mark.parametrize("sort", ["relevance", "newest", "title", "walk"])
async def test_whatever_is_written_meanwhile_each_object_that_was_there_throughout_is_met_once(
    index: Index, sort: str
) -> None:
    """An object that is changed keeps its place as long as what it is sorted by stays; an export sorts by the id."""
    entries = [
        entry(title=f"Stations {number % 7}", created_at=NOON + timedelta(seconds=number % 50))
        for number in range(MANY)
    ]
    await put(index, *entries)
    changed = entries[::10]

    async def write(revision: int) -> None:
        fresh = [entry(title="Stations 3", created_at=NOON + timedelta(seconds=25)) for _ in range(20)]
        again = [msgspec.structs.replace(one, revision=revision, licence="MIT") for one in changed]
        await put(index, *fresh, *again)

    visited: list[UUID] = []
    revision = 1
    if sort == "walk":
        walk: query.Walk | None = query.Walk(NOON + timedelta(days=1), None, 500)
        while walk is not None:
            ids = await index.ids(query.walk_body_of(Question("stations"), ANONYMOUS, walk))
            visited += ids
            revision += 1
            await write(revision)
            walk = replace(walk, after=ids[-1]) if len(ids) == walk.size else None
    else:
        after = None
        while not visited or after is not None:
            found = await ask(index, "stations", sort=sort, limit=100, after=after)
            visited += [hit.id for hit in found.hits]
            after = found.last
            if len(visited) % 600 == 0:
                revision += 1
                await write(revision)

    assert revision > 3
    assert len(visited) == len(set(visited))
    assert {one.id for one in entries} <= set(visited)

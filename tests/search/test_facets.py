"""Facets that are honest: not narrowed by their own choice, and adding up, checked against counting by hand."""

import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any
from uuid import uuid4

import pytest

from catalog.access.audience import ANONYMOUS, Audience
from catalog.search.document import CreatorProjection, Projection
from catalog.search.index import Index
from catalog.search.query import FACET_VALUES_MAX, FACETS, Facet, Question
from tests.search.conftest import AS_ADMIN, AS_OWNER, AS_STRANGER, Library, ask, entry, put

OBJECTS = 300
ROUNDS = 40
# More values than a facet shows, some far more frequent than others.
PEOPLE = [f"Person {number}" for number in range(40)]

VALUES_OF: dict[str, Callable[[Projection], list[Any]]] = {
    "kind": lambda one: [one.kind],
    "project": lambda one: [one.project],
    "licence": lambda one: [] if one.licence is None else [one.licence],
    "year": lambda one: [] if one.year is None else [one.year],
    "creator": lambda one: sorted({creator.name for creator in one.creators}),
    "format": lambda one: list(one.formats),
    "state": lambda one: [one.state],
    "sensor": lambda one: list(one.sensors),
    "quality": lambda one: [one.quality],
    "subject": lambda one: list(one.subjects),
    "task": lambda one: list(one.tasks),
}
SINGLE_VALUED = ("kind", "project", "licence", "year", "state", "quality")


def _some(dice: random.Random) -> Projection:
    return entry(
        title=dice.choice(["weather station", "penguin count", "weather and penguins"]),
        kind=dice.choice(["model", "training-dataset", "sensor-blob"]),
        project=dice.choice(["sage/cloud", "sage/smoke", "lter/ice"]),
        licence=dice.choice([None, "MIT", "CC0-1.0"]),
        year=dice.choice([None, *range(1990, 2020)]),
        creators=[CreatorProjection(PEOPLE[int(39 * dice.random() ** 2)]) for _ in range(dice.randint(1, 3))],
        formats=dice.sample(["text/csv", "image/png", "application/onnx"], dice.randint(0, 2)),
        subjects=dice.sample(["urn:f:earth", "urn:f:soil", "urn:f:stars"], dice.randint(0, 2)),
        tasks=dice.sample(["urn:t:regression", "urn:t:detection"], dice.randint(0, 1)),
        visibility=dice.choice(["public", "private"]),
        state=dice.choice(["draft", "published"]),
        sensors=dice.sample(["S1", "S2", "BME680"], dice.randint(0, 2)),
        quality=dice.choice(["excellent", "good", "fair", "poor"]),
    )


@pytest.fixture(scope="module")
async def crowd(search_url: str) -> AsyncGenerator[tuple[Index, list[Projection]]]:
    """Three hundred objects, half of them private."""
    dice = random.Random(20240501)  # noqa: S311 - a seed, so that a failure comes again.
    entries = [_some(dice) for _ in range(OBJECTS)]
    index = Index(search_url, f"crowd-{uuid4().hex[:12]}")
    await index.ensure()
    await put(index, *entries, entry(title="weather penguins", withdrawn=True))
    yield index, entries
    await index.drop()
    await index.close()


def by_hand(entries: list[Projection], audience: Audience, question: Question) -> tuple[int, dict[str, Facet]]:
    """Count what a question finds, one object after the other."""
    words = [term.text for term in question.terms]
    seen = [
        one
        for one in entries
        if (audience.everything or audience.tokens & set(one.readers)) and all(word in one.title for word in words)
    ]

    def chosen(one: Projection, *, but: str | None = None) -> bool:
        return all(set(VALUES_OF[name](one)) & set(values) for name, values in question.filters.items() if name != but)

    def facet(name: str) -> Facet:
        counted = [VALUES_OF[name](one) for one in seen if chosen(one, but=name)]
        counts = Counter(value for values in counted for value in values)
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return Facet(
            ranked[:FACET_VALUES_MAX],
            rest=sum(count for _, count in ranked[FACET_VALUES_MAX:]),
            missing=sum(not values for values in counted),
        )

    return sum(chosen(one) for one in seen), {name: facet(name) for name in question.facets}


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_totals_and_facets_are_what_counting_by_hand_gives(
    crowd: tuple[Index, list[Projection]], seed: int
) -> None:
    index, entries = crowd
    dice = random.Random(seed)  # noqa: S311 - as above.
    narrowed = dice.sample(sorted(FACETS), dice.randint(0, 3))
    filters = {}
    for name in narrowed:
        known = sorted({value for one in entries for value in VALUES_OF[name](one)})
        filters[name] = dice.sample(known, min(len(known), dice.randint(1, 3)))
    question = Question(
        dice.choice([None, "weather", "penguin", "weather penguin"]),
        filters=filters,
        facets=dice.sample(sorted(FACETS), dice.randint(1, len(FACETS))),
    )
    audience = dice.choice([ANONYMOUS, AS_OWNER, AS_STRANGER, AS_ADMIN])

    found = await ask(
        index, question.text, audience, filters=question.filters, facets=question.facets, sort=question.sort
    )

    assert (found.total, found.facets) == by_hand(entries, audience, question)
    for name in SINGLE_VALUED:
        if name in found.facets and name not in filters:
            facet = found.facets[name]
            assert sum(count for _, count in facet.buckets) + facet.rest + facet.missing == found.total


async def test_a_facet_is_not_narrowed_by_its_own_choice(library: Library) -> None:
    found = await library.ask(filters={"kind": ["model"]}, facets=["kind", "licence"])
    assert sorted(library.names(found)) == ["resnet", "silero"]
    assert found.total == 2
    assert found.facets == {
        "kind": Facet([("model", 2), ("training-dataset", 2), ("ecr-bundle", 1)], rest=0, missing=0),
        "licence": Facet([("MIT", 2)], rest=0, missing=0),
    }


async def test_values_of_one_filter_widen_and_filters_narrow(library: Library) -> None:
    assert await library.names_of(filters={"kind": ["model", "ecr-bundle"]}) == ["bundle", "resnet", "silero"]
    assert await library.names_of(filters={"kind": ["model", "ecr-bundle"], "year": [2021]}) == ["silero"]


async def test_a_filter_takes_values_whole_and_as_they_are(library: Library) -> None:
    assert await library.names_of(filters={"creator": ["Müller, Ana"]}) == ["silero"]
    for near in ("Müller", "müller, ana", "Muller, Ana", "Müller*"):
        assert await library.names_of(filters={"creator": [near]}) == []


async def test_only_asked_facets_are_counted(library: Library) -> None:
    assert (await library.ask("weather")).facets == {}
    assert set((await library.ask("weather", facets=["format"])).facets) == {"format"}

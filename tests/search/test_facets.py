"""Facets that are honest: not narrowed by their own choice, and adding up, checked against counting by hand."""

import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from catalog.access.audience import ANONYMOUS, Audience
from catalog.objects.running import HIGHEST, LOWEST
from catalog.search import query
from catalog.search.answers import Facet
from catalog.search.document import CreatorProjection, Projection
from catalog.search.facets import FACET_VALUES, FACETS, RANGED, Level
from catalog.search.index import Index
from catalog.search.query import Question, Runtime
from tests.search.conftest import AS_ADMIN, AS_OWNER, AS_STRANGER, NOON, Library, ask, entry, put

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
    "stage": lambda one: list(one.stages),
    "state": lambda one: [one.state],
    "sensor": lambda one: list(one.sensors),
    "quality": lambda one: [one.quality],
    "subject": lambda one: list(one.subjects),
    "task": lambda one: list(one.tasks),
    "organization": lambda one: [one.project.partition("/")[0]],
    "keyword": lambda one: sorted(set(one.keywords)),
    "runtime": lambda one: sorted({name for name, _, _ in one.runtimes}),
    "created_at": lambda one: [f"{one.created_at:%Y-%m}"],
    "bytes": lambda one: [_size_of(one.bytes)],
}
SINGLE_VALUED = ("kind", "project", "organization", "licence", "year", "state", "quality", "created_at", "bytes")
# In the order of their values; all others by how frequent they are.
IN_ORDER = ("created_at", "bytes")
SIZES = ("..999", "1000..999999", "1000000..999999999", "1000000000..999999999999", "1000000000000..")


# A small vocabulary: two at the top, one of them with a level that is wider than a facet, one concept below two others.
TOP = ("urn:f:earth", "urn:f:stars")
BROADER = {f"urn:f:soil{number}": ("urn:f:earth",) for number in range(30)} | {
    "urn:f:clay": ("urn:f:soil1", "urn:f:soil2"),
    "urn:f:dust": ("urn:f:earth", "urn:f:stars"),
}
LEVELS = {
    "top": Level(TOP),
    "earth": Level([uri for uri, above in BROADER.items() if "urn:f:earth" in above], above=["urn:f:earth"]),
    "stars": Level(["urn:f:dust"], above=["urn:f:stars"]),
    "soil": Level(["urn:f:clay"], above=["urn:f:earth", "urn:f:soil2"]),
    "nothing below": Level([], above=["urn:f:earth", "urn:f:soil2", "urn:f:clay"]),
}


def _with_broader(uris: Sequence[str]) -> list[str]:
    told = dict.fromkeys(uris)
    for uri in uris:
        told |= dict.fromkeys(_with_broader(BROADER.get(uri, ())))
    return list(told)


def _size_of(size: int) -> str:
    return SIZES[min(4, max(0, (len(str(size)) - 1) // 3))]


def _some(dice: random.Random) -> Projection:
    return entry(
        title=dice.choice(["weather station", "penguin count", "weather and penguins"]),
        kind=dice.choice(["model", "training-dataset", "sensor-blob"]),
        project=dice.choice(["sage/cloud", "sage/smoke", "lter/ice"]),
        licence=dice.choice([None, "MIT", "CC0-1.0"]),
        year=dice.choice([None, *range(1990, 2020)]),
        creators=[CreatorProjection(PEOPLE[int(39 * dice.random() ** 2)]) for _ in range(dice.randint(1, 3))],
        formats=dice.sample(["text/csv", "image/png", "application/onnx"], dice.randint(0, 2)),
        subjects=_with_broader(dice.sample([*TOP, *BROADER], dice.randint(0, 3))),
        tasks=dice.sample(["urn:t:regression", "urn:t:detection"], dice.randint(0, 1)),
        visibility=dice.choice(["public", "private"]),
        state=dice.choice(["draft", "published"]),
        sensors=dice.sample(["S1", "S2", "BME680"], dice.randint(0, 2)),
        quality=dice.choice(["excellent", "good", "fair", "poor"]),
        stages=dice.sample(["source", "uploaded", "harmonized"], dice.randint(0, 2)),
        keywords=dice.sample(["ice", "smoke", "sun"], dice.randint(0, 2)),
        # The same software twice is one need of it.
        runtimes=[
            (dice.choice(["pytorch", "onnxruntime"]), low, "~") for low in dice.sample(["1", "2"], dice.randint(0, 2))
        ],
        created_at=NOON + timedelta(days=dice.randint(0, 200)),
        bytes=dice.choice([0, 999, 1000, 10**6 - 1, 10**6, 10**12, 3 * 10**12]),
        files=dice.randint(0, 3),
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
    words = [term.text for term in question.read.terms]
    seen = [
        one
        for one in entries
        if (audience.everything or audience.tokens & set(one.readers)) and all(word in one.title for word in words)
    ]

    def chosen(one: Projection, *, but: str | None = None) -> bool:
        wanted: dict[str, Any] = {name: values for name, values in question.filters.items() if values}
        if question.runtimes:
            wanted["runtime"] = [runtime.name for runtime in question.runtimes]
        return all(set(VALUES_OF[name](one)) & set(values) for name, values in wanted.items() if name != but)

    def facet(name: str) -> Facet:
        counted = [VALUES_OF[name](one) for one in seen if chosen(one, but=name)]
        counts = Counter(value for values in counted for value in values)
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        if name in IN_ORDER:
            ranked.sort(key=lambda pair: SIZES.index(pair[0]) if name == "bytes" else pair[0])
        return Facet(
            ranked[:FACET_VALUES],
            rest=sum(count for _, count in ranked[FACET_VALUES:]),
            missing=sum(not values for values in counted),
        )

    def level(name: str, told: Level) -> Facet:
        under = [VALUES_OF[name](one) for one in seen if chosen(one, but=name)]
        counts = Counter(value for values in under for value in set(values) & set(told.among))
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        within = [values for values in under if not told.above or told.above[-1] in values]
        above = {uri: sum(uri in values for values in under) for uri in told.above}
        return Facet(
            ranked[:FACET_VALUES],
            rest=sum(count for _, count in ranked[FACET_VALUES:]),
            missing=sum(not set(values) & set(told.among) for values in within),
            above={uri: count for uri, count in above.items() if count},
        )

    levels = question.levels
    told = {name: level(name, levels[name]) if name in levels else facet(name) for name in question.facets}
    return sum(chosen(one) for one in seen), told


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_totals_and_facets_are_what_counting_by_hand_gives(
    crowd: tuple[Index, list[Projection]], seed: int
) -> None:
    index, entries = crowd
    dice = random.Random(seed)  # noqa: S311 - as above.
    narrowed = dice.sample([*FACETS, *RANGED], dice.randint(0, 3))
    filters = {}
    for name in narrowed:
        known = sorted({value for one in entries for value in VALUES_OF[name](one)})
        filters[name] = dice.sample(known, min(len(known), dice.randint(1, 3)))
    question = Question(
        dice.choice([None, "weather", "penguin", "weather penguin"]),
        filters=filters,
        facets=dice.sample([*FACETS, "runtime", *RANGED], dice.randint(1, len(FACETS) + 3)),
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


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("audience", [ANONYMOUS, AS_OWNER, AS_ADMIN], ids=["anybody", "owner", "admin"])
async def test_a_level_of_concepts_counts_each_object_once_with_all_that_is_narrower(
    crowd: tuple[Index, list[Projection]], name: str, audience: Audience
) -> None:
    index, entries = crowd
    level = LEVELS[name]
    filters: dict[str, Any]
    for filters in ({}, {"kind": ["model"]}, {"subject": ["urn:f:soil1"], "year": list(range(1990, 2005))}):
        question = Question("weather", filters=filters, facets=["subject", "kind"], levels={"subject": level})

        found = await index.find(query.body_of(question, audience), question)

        assert (found.total, found.facets) == by_hand(entries, audience, question)
        facet = found.facets["subject"]
        whole, _ = by_hand(entries, audience, replace(question, filters={**filters, "subject": []}))
        under = facet.above.get(level.above[-1], 0) if level.above else whole
        # An object under two of a level counts in both: together they are never less than there are.
        assert under <= sum(count for _, count in facet.buckets) + facet.rest + facet.missing
        assert all(count <= under for _, count in facet.buckets)


async def test_a_level_is_searched_in_by_what_its_concepts_are_called(crowd: tuple[Index, list[Projection]]) -> None:
    index, entries = crowd
    levels = {"subject": LEVELS["earth"]}
    question = Question(facets=["subject"], levels=levels, facet_among=["urn:f:soil7", "urn:f:clay", "urn:f:stars"])

    found = await index.find(query.body_of(question, AS_ADMIN), question)

    whole = by_hand(entries, AS_ADMIN, question)[1]["subject"]
    count = sum("urn:f:soil7" in one.subjects for one in entries)
    assert found.facets["subject"] == replace(whole, buckets=[("urn:f:soil7", count)], rest=0)


@pytest.mark.parametrize("audience", [ANONYMOUS, AS_OWNER], ids=["anybody", "owner"])
async def test_software_that_is_chosen_does_not_narrow_its_own_facet(
    crowd: tuple[Index, list[Projection]], audience: Audience
) -> None:
    index, entries = crowd
    pytorch = Runtime("pytorch", LOWEST, HIGHEST)
    question = Question("penguin", runtimes=[pytorch], facets=["runtime", "kind"], filters={"state": ["draft"]})

    found = await index.find(query.body_of(question, audience), question)

    assert (found.total, found.facets) == by_hand(entries, audience, question)
    assert {value for value, _ in found.facets["runtime"].buckets} == {"pytorch", "onnxruntime"}


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

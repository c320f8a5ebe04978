"""Who may not see an object meets no trace of it: not in hits, totals, facets, orders or highlights."""

from typing import Any

import pytest

from catalog.access.audience import ANONYMOUS, Audience
from catalog.search.answers import Facet
from catalog.search.facets import FACETS
from tests.search.conftest import AS_ADMIN, AS_OWNER, AS_STRANGER, Library

EVERYTHING = ["bundle", "penguins", "reanalysis", "resnet", "silero"]

# Every way to ask for the secret object, each of which finds it for its owner.
QUESTIONS: list[dict[str, Any]] = [
    {"text": "classified"},
    {"text": "secret"},
    {"text": "class*"},
    {"text": '"secret penguins"'},
    {"filters": {"kind": ["sensor-blob"]}},
    {"filters": {"project": ["secret/project"]}},
    {"filters": {"year": [1999]}},
    {"filters": {"creator": ["Nobody, A."]}},
    {"filters": {"licence": ["LicenseRef-secret"]}},
    {"filters": {"format": ["application/x-secret"]}},
]


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
async def test_a_private_object_is_nowhere_but_with_its_owner_and_those_who_look_after_all(
    library: Library, question: dict[str, Any]
) -> None:
    question = question | {"facets": list(FACETS)}
    nothing = {name: Facet([], 0, 0) for name in FACETS}
    # Counted without their own filter, facets may still count others' objects; none may count the secret one.
    chosen = set(question.get("filters", {}))
    for audience in (ANONYMOUS, AS_STRANGER, Audience(frozenset())):
        found = await library.ask(audience=audience, **question)
        assert (found.total, found.hits, found.last) == (0, [], None)
        assert {n: f for n, f in found.facets.items() if n not in chosen} == {
            n: f for n, f in nothing.items() if n not in chosen
        }
    for audience in (AS_OWNER, AS_ADMIN):
        found = await library.ask(audience=audience, **question)
        assert library.names(found) == ["secret"]
        assert found.total == 1


async def test_facets_count_only_what_the_audience_may_see(library: Library) -> None:
    found = await library.ask(facets=["kind", "year"])
    assert found.facets == {
        "kind": Facet([("model", 2), ("training-dataset", 2), ("ecr-bundle", 1)], rest=0, missing=0),
        "year": Facet([(2021, 2), (2020, 1)], rest=0, missing=2),
    }
    to_its_owner = await library.ask(audience=AS_OWNER, facets=["kind", "year"])
    assert to_its_owner.facets == {
        "kind": Facet(
            [("model", 2), ("training-dataset", 2), ("ecr-bundle", 1), ("sensor-blob", 1)], rest=0, missing=0
        ),
        "year": Facet([(2021, 2), (1999, 1), (2020, 1)], rest=0, missing=2),
    }


async def test_who_belongs_to_nothing_sees_nothing(library: Library) -> None:
    assert await library.names_of(audience=Audience(frozenset())) == []


@pytest.mark.parametrize("audience", [ANONYMOUS, AS_OWNER, AS_ADMIN], ids=["anonymous", "owner", "admin"])
async def test_a_withdrawn_object_is_seen_by_nobody(library: Library, audience: Audience) -> None:
    everything = EVERYTHING if audience is ANONYMOUS else sorted([*EVERYTHING, "secret"])
    assert await library.names_of(audience=audience) == everything
    assert await library.names_of("gone", audience) == []
    assert await library.names_of(str(library.named["withdrawn"].id), audience) == []
    assert await library.names_of("-gone", audience) == everything

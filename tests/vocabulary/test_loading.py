"""What `catalog migrate` makes of the shipped schemes: loaded once, and what people changed stays."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from catalog.access import principals
from catalog.access.audience import Role
from catalog.database import Database
from catalog.objects import schemes
from catalog.vocabulary import importing, looking_up, shipped
from catalog.vocabulary.terms import Label, LabelKind
from tests.conftest import World

TASKS = "urn:x-catalog:ml-tasks"


@pytest.fixture
async def database(fresh_world: World) -> AsyncGenerator[Database]:
    """A database as `catalog migrate` leaves it."""
    opened = Database(str(fresh_world.settings.database_url), connections=2)
    yield opened
    await opened.close()


async def test_every_scheme_is_there_once_and_loading_again_changes_nothing(database: Database) -> None:
    async with database.transaction() as session:
        again = await schemes.load_shipped(session)
        there = await looking_up.schemes(session)

    loaded = {one.name: (one.uri, one.revision, one.concepts) for one in there}
    assert again == {}
    assert loaded == {one.name: (one.vocabulary.uri, 1, len(one.vocabulary.terms)) for one in shipped.schemes()}


async def test_what_the_catalog_alone_has_loaded_is_brought_to_a_new_version(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = [renamed()]
    monkeypatch.setattr(shipped, "schemes", lambda: newer)
    async with database.transaction() as session:
        differences = await schemes.load_shipped(session)
        concept = await looking_up.concept(session, f"{TASKS}:regression")

    assert {name: (list(one.changed), list(one.added)) for name, one in differences.items()} == {
        "ml-tasks": ([f"{TASKS}:regression"], [f"{TASKS}:new"])
    }
    assert concept.label == "Regressing"


async def test_what_people_have_changed_stays_and_what_is_new_comes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = [renamed()]
    monkeypatch.setattr(shipped, "schemes", lambda: newer)
    async with database.transaction() as session:
        curator, _ = await principals.create_token(session, name="curator", role=Role.CURATOR)
        await schemes.retire(session, "ml-tasks", f"{TASKS}:clustering", None, by=curator.must_be_known())
    async with database.transaction() as session:
        differences = await schemes.load_shipped(session)
        again = await schemes.load_shipped(session)
        found: dict[str, Any] = {}
        for name in ("regression", "clustering", "new"):
            concept = await looking_up.concept(session, f"{TASKS}:{name}")
            found[name] = (concept.label, concept.deprecated)

    assert {name: (list(one.changed), list(one.added)) for name, one in differences.items()} == {
        "ml-tasks": ([], [f"{TASKS}:new"])
    }
    assert again == {}
    assert found == {"regression": ("Regression", False), "clustering": ("Clustering", True), "new": ("New", False)}


def renamed() -> shipped.Shipped:
    """Return the tasks with one renamed and one more."""
    (tasks,) = [one for one in shipped.schemes() if one.name == "ml-tasks"]
    terms = {term.uri: term for term in tasks.vocabulary.terms}
    one = terms[f"{TASKS}:regression"]
    terms[one.uri] = msgspec.structs.replace(one, labels=(Label(LabelKind.PREFERRED, "en", "Regressing"),))
    new = msgspec.structs.replace(one, uri=f"{TASKS}:new", labels=(Label(LabelKind.PREFERRED, "en", "New"),))
    changed = msgspec.structs.replace(tasks.vocabulary, terms=(*terms.values(), new))
    assert importing.digest_of(b"newer") != importing.digest_of(tasks.body)
    return replace(tasks, body=b"newer", vocabulary=changed)

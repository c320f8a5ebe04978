"""`catalog diff` names what is wrong in the index, and `catalog reconcile` mends exactly that."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from catalog.cli import output
from catalog.engines import opened
from catalog.sync import mending
from indexer import documents
from tests.cli.conftest import Catalog, Outcome
from tests.cli.test_operating import variables
from tests.conftest import World
from tests.indexer.scene import Scene, scene_on

OBJECTS = 12


class Place:
    """A catalog on which nothing works by itself, and its command line."""

    def __init__(self, world: World, run: Catalog) -> None:
        self._world, self._run = world, run
        self._index = f"{world.settings.search_url}{world.settings.search_index}"

    def command(self, *words: object) -> Outcome:
        """Run a command with its settings."""
        return self._run(*words, **variables(self._world))

    def register(self, *titles: str) -> list[str]:
        """Return the ids of new objects, which are in the index."""

        async def work(scene: Scene) -> list[UUID]:
            made = await scene.registered(*titles)
            await scene.work()
            return list(made.values())

        return [str(one) for one in self._in_scene(work)]

    def work(self) -> None:
        """Do what is queued for the index."""

        async def work(scene: Scene) -> None:
            while await documents.step(scene.engines):
                pass

        self._in_scene(work)

    def _in_scene(self, work: Callable[[Scene], Awaitable[Any]]) -> Any:
        async def inside() -> Any:
            async with opened(self._world.settings) as engines, httpx2.AsyncClient(trust_env=False) as http:
                return await work(await scene_on(engines, http))

        return asyncio.run(inside())

    def by_hand(self, method: str, path: str, body: Any = None) -> None:
        """Do something to the index that the indexer knows nothing of."""
        answer = httpx2.request(method, f"{self._index}{path}", params={"refresh": "true"}, json=body, trust_env=False)
        assert answer.status_code < 300, answer.text


@pytest.fixture
def place(fresh_world: World, run: Catalog) -> Place:
    """A catalog with nothing in it."""
    place = Place(fresh_world, run)
    assert place.command("migrate").code == 0
    return place


def test_what_differs_is_named_mended_and_then_differs_no_more(place: Place) -> None:
    ids = place.register(*(f"Plot {number}" for number in range(OBJECTS)))
    agreed = place.command("diff")
    assert (agreed.code, agreed.out) == (0, "")
    missing, altered, extra = ids[3], ids[5], str(uuid4())
    place.by_hand("DELETE", f"/_doc/{missing}")
    place.by_hand("POST", f"/_update/{altered}", {"doc": {"title": "Something else"}})
    place.by_hand("PUT", f"/_doc/{extra}", {"id": extra})
    counts = {"missing": 1, "stale": 0, "altered": 1, "extra": 1}
    differences = [
        {"id": missing, "kind": "missing", "held": None, "wanted": 1, "parked": None},
        {"id": altered, "kind": "altered", "held": 2, "wanted": 1, "parked": None},
        {"id": extra, "kind": "extra", "held": 1, "wanted": None, "parked": None},
    ]
    told = {"objects": OBJECTS, "documents": OBJECTS, "pending": 0, "counts": counts}

    for words in (["diff", "--json"], ["diff", "--full", "--json"], ["reconcile", "--dry-run", "--json"]):
        found = place.command(*words)
        assert found.code == output.DIFFERS == 7
        assert found.json["differences"] == sorted(differences, key=lambda one: found_order(found.json, one["id"]))
        assert {name: found.json[name] for name in told} == told
    shown = place.command("diff")
    assert (shown.code, f"{missing}\tmissing\t\t1\t" in shown.out, f"{extra}\textra\t1\t\t" in shown.out) == (
        7,
        True,
        True,
    )

    done = place.command("reconcile", "--json")
    assert (done.code, sorted(done.json["queued"]), done.json["removed"]) == (0, sorted([missing, altered]), [extra])
    waiting = place.command("diff", "--json")
    assert (waiting.code, waiting.json["pending"], waiting.json["differences"]) == (0, 2, [])
    place.work()
    for words in (["diff", "--json"], ["diff", "--full", "--json"]):
        after = place.command(*words)
        assert (after.code, after.json["differences"], after.json["documents"]) == (0, [], OBJECTS)


def found_order(told: Any, object_id: str) -> int:
    """Where an id stands among what was found."""
    return [one["id"] for one in told["differences"]].index(object_id)


def test_much_that_is_nobodys_stays_until_somebody_says_how_much_may_go(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "REMOVED_ALWAYS", 1)
    (gone,) = place.register("Plot")
    extra = sorted(str(uuid4()) for _ in range(3))
    for one in extra:
        place.by_hand("PUT", f"/_doc/{one}", {"id": one})
    place.by_hand("DELETE", f"/_doc/{gone}")

    held_back = place.command("reconcile", "--json")
    assert (held_back.code, held_back.json["queued"], held_back.json["removed"]) == (output.CONFLICT, [gone], [])
    assert "catalog reconcile --removals 3" in held_back.err
    assert place.command("diff", "--json").json["counts"]["extra"] == 3

    done = place.command("reconcile", "--removals", "3", "--json")
    assert (done.code, sorted(done.json["removed"])) == (0, extra)
    assert place.command("diff", "--json").json["counts"]["extra"] == 0


def test_without_an_engine_nothing_is_said_to_differ(place: Place, run: Catalog, fresh_world: World) -> None:
    away = run("diff", **variables(fresh_world) | {"SEARCH_URL": "http://127.0.0.1:1"})
    assert (away.code, away.out) == (output.UNAVAILABLE, "")
    database = run("diff", **variables(fresh_world) | {"DATABASE_URL": "postgresql://me:very-secret@127.0.0.1:1/none"})
    assert (database.code, "very-secret" in database.err) == (output.UNAVAILABLE, False)
    assert place.command("diff").code == 0

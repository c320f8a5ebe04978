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
from tests.cli.conftest import Catalog, Outcome
from tests.cli.test_operating import variables
from tests.conftest import World
from tests.indexer.scene import Scene, declared, scene_on

OBJECTS = 12


def test_how_much_may_go_is_said_of_what_is_looked_at_alone(run: Catalog) -> None:
    losses = run("reconcile", "--losses", "3")
    removals = run("reconcile", "--backend", "default", "--removals", "3")
    assert (losses.code, "say which stores are meant: --stores or --backend ID" in losses.err) == (2, True)
    assert (removals.code, "with --backend the index is not looked at" in removals.err) == (2, True)


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

        return [str(one) for one in self.in_scene(work)]

    def work(self) -> None:
        """Do what is queued."""
        self.in_scene(lambda scene: scene.work())

    def states(self, object_id: str) -> dict[str, str]:
        """Return how each file of an object is."""

        async def work(scene: Scene) -> dict[str, str]:
            return {file.path: str(file.state) for file in (await scene.entry(UUID(object_id))).files}

        told: dict[str, str] = self.in_scene(work)
        return told

    def in_scene(self, work: Callable[[Scene], Awaitable[Any]]) -> Any:
        """Do something in the catalog."""

        async def inside() -> Any:
            async with opened(self._world.settings) as engines, httpx2.AsyncClient(trust_env=False, timeout=30) as http:
                return await work(await scene_on(engines, http))

        return asyncio.run(inside())

    def by_hand(self, method: str, path: str, body: Any = None) -> None:
        """Do something to the index that the indexer knows nothing of."""
        answer = httpx2.request(
            method, f"{self._index}{path}", params={"refresh": "true"}, json=body, timeout=30, trust_env=False
        )
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
        told_of = found.json["index"]
        assert told_of["differences"] == sorted(differences, key=lambda one: found_order(told_of, one["id"]))
        assert {name: told_of[name] for name in told} == told
    shown = place.command("diff")
    assert (shown.code, f"{missing}\tmissing\t\t1\t" in shown.out, f"{extra}\textra\t1\t\t" in shown.out) == (
        7,
        True,
        True,
    )

    done = place.command("reconcile", "--json")
    did = done.json["index"]
    assert (done.code, sorted(did["queued"]), did["removed"]) == (0, sorted([missing, altered]), [extra])
    waiting = place.command("diff", "--json")
    assert (waiting.code, waiting.json["index"]["pending"], waiting.json["index"]["differences"]) == (0, 2, [])
    place.work()
    for words in (["diff", "--json"], ["diff", "--full", "--json"]):
        after = place.command(*words)
        assert (after.code, after.json["index"]["differences"], after.json["index"]["documents"]) == (0, [], OBJECTS)


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
    did = held_back.json["index"]
    assert (held_back.code, did["queued"], did["removed"]) == (output.CONFLICT, [gone], [])
    assert "catalog reconcile --removals 3" in held_back.err
    assert place.command("diff", "--json").json["index"]["counts"]["extra"] == 3

    done = place.command("reconcile", "--removals", "3", "--json")
    assert (done.code, sorted(done.json["index"]["removed"])) == (0, extra)
    assert place.command("diff", "--json").json["index"]["counts"]["extra"] == 0


def test_without_an_engine_nothing_is_said_to_differ(place: Place, run: Catalog, fresh_world: World) -> None:
    away = run("diff", **variables(fresh_world) | {"SEARCH_URL": "http://127.0.0.1:1"})
    assert (away.code, away.out) == (output.UNAVAILABLE, "")
    database = run("diff", **variables(fresh_world) | {"DATABASE_URL": "postgresql://me:very-secret@127.0.0.1:1/none"})
    assert (database.code, "very-secret" in database.err) == (output.UNAVAILABLE, False)
    assert place.command("diff").code == 0


CSV = b"depth,pH\n10,6.4\n"


def brought(place: Place, *paths: str) -> dict[str, tuple[str, str]]:
    """Bring files of one object; return object and key of each by its path."""

    async def work(scene: Scene) -> dict[str, tuple[str, str]]:
        entry, uploads = await scene.register(*(declared(path, CSV) for path in paths))
        for one in uploads:
            await scene.upload(one, CSV)
        await scene.notice(*uploads)
        await scene.work()
        return {one.path: (str(entry.id), one.key) for one in uploads}

    told: dict[str, tuple[str, str]] = place.in_scene(work)
    return told


def removed(place: Place, *keys: str) -> None:
    """Take bytes out of the store, and tell nobody."""

    async def work(scene: Scene) -> None:
        for key in keys:
            await scene.engines.store.remove(key)

    place.in_scene(work)


@pytest.mark.req("SAGE-STORAGE-7")
def test_what_a_store_lost_is_named_looked_at_and_then_differs_no_more(place: Place) -> None:
    files = brought(place, "kept.csv", "lost.csv")
    agreed = place.command("diff", "--stores", "--json")
    object_id, key = files["lost.csv"]
    removed(place, key)
    lost = {"kind": "lost", "object": object_id, "path": "lost.csv", "recorded": len(CSV), "lying": None}

    for words in (["diff", "--stores"], ["diff", "--backend", "default"], ["reconcile", "--stores", "--dry-run"]):
        found = place.command(*words, "--json")
        (store,) = found.json["stores"]
        assert (found.code, store["backend"], store["recorded"], store["fault"]) == (7, "default", 2, None)
        assert store["differences"] == [lost | {"key": key, "parked": None}]
        assert (found.json["index"] is None) == ("--backend" in words)
    shown = place.command("diff", "--stores")
    without = place.command("diff")
    done = place.command("reconcile", "--stores")
    queued = place.command("diff", "--stores", "--json")
    place.work()
    after = place.command("diff", "--full", "--stores", "--json")

    assert (agreed.code, agreed.json["stores"][0]["counts"]) == (0, {"lost": 0, "changed": 0, "unknown": 0})
    assert (shown.code, f"default\t{key}\tlost\t{object_id}\tlost.csv\t{len(CSV)}\t\t" in shown.out) == (7, True)
    assert (without.code, without.out) == (0, "")
    assert (done.code, "1 keys queued to be looked at" in done.err) == (0, True), done.err
    assert (queued.code, queued.json["stores"][0]["pending"]) == (0, 1)
    assert (after.code, after.json["stores"][0]["differences"]) == (0, [])
    assert place.states(object_id) == {"kept.csv": "available", "lost.csv": "missing"}


def test_where_all_is_gone_nothing_counts_as_gone_until_somebody_says_so(place: Place) -> None:
    files = brought(place, "a.csv", "b.csv")
    (object_id, _), _ = files.values()
    removed(place, *(key for _, key in files.values()))

    held_back = place.command("reconcile", "--stores")
    place.work()
    states = place.states(object_id)
    done = place.command("reconcile", "--stores", "--losses", "2")
    place.work()

    assert (held_back.code, "catalog reconcile --stores --losses 2" in held_back.err) == (output.CONFLICT, True)
    assert states == {"a.csv": "available", "b.csv": "available"}
    assert done.code == 0, done.err
    assert place.states(object_id) == {"a.csv": "missing", "b.csv": "missing"}
    assert place.command("diff", "--stores").code == 0


def test_a_store_that_is_away_is_told_of_and_nothing_is_lost(place: Place, run: Catalog, fresh_world: World) -> None:
    (object_id, _) = brought(place, "kept.csv")["kept.csv"]
    away = run("reconcile", "--stores", "--json", **variables(fresh_world) | {"STORE_URL": "http://127.0.0.1:1"})
    nobody = place.command("diff", "--backend", str(uuid4()))
    place.work()
    assert (away.code, away.json["stores"][0]["differences"]) == (output.UNAVAILABLE, [])
    assert "cannot be reached" in away.json["stores"][0]["fault"]
    assert nobody.code == output.NOT_FOUND
    assert place.states(object_id) == {"kept.csv": "available"}

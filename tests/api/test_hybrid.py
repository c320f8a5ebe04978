"""Hybrid search: what means the same is found too, under every filter and every right, and an answer says how."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from catalog.api import hybrid as acting
from catalog.engines import Engines, opened
from catalog.errors import Unavailable
from catalog.queue import ATTEMPTS_MAX
from catalog.search import embedding as language_model
from catalog.search import vectors
from catalog.search.aside import Aside
from catalog.search.embedding import Embedder
from catalog.search.hybrid import TOLD, Why
from indexer import documents, embedding
from tests.api.conftest import BECAUSE, Draft, in_process, patch, plain, register
from tests.conftest import World, make_tokens, make_world, prepare

SOILS = 120
ILL = "leaves with signs of illness"


def draft(title: str, description: str = "", **said: Any) -> Draft:
    """Return a public registration."""
    return plain("lab/plants", title=title, description=description, visibility="public", **said)


PLANTS = draft("Plant disease photographs", "Pictures of healthy crops, and of crops with fungal infections.", dates=[])
BEANS = draft("Bean rust", "Photographs of bean plants with a disease, taken in the field.", kind="model",
              metadata={"task": "classification"})  # fmt: skip
HIDDEN = draft("Diseased tomato foliage", "Sick leaves of tomato plants, photographed.") | {"visibility": "private"}
OTHERS = [
    draft("Ground motion at a station", "Seismograms of earthquakes."),
    draft("Movie reviews", "What people thought of films, as positive or negative."),
    draft("Salaries of chief executives", "What large firms paid in 1990."),
]


@dataclass
class Meaning:
    """A catalog whose indexer has read everything: as its ingest service, as anybody, and from inside."""

    world: World
    owner: httpx2.AsyncClient
    anybody: httpx2.AsyncClient
    engines: Engines
    ids: dict[str, str]

    async def ask(self, q: str | None = None, *, by: httpx2.AsyncClient | None = None, **asked: Any) -> dict[str, Any]:
        """Search, hybrid unless said otherwise."""
        parameters = {"hybrid": "true", "limit": 100, **asked} | ({} if q is None else {"q": q})
        answer = await (by or self.anybody).get("/api/search", params=parameters)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def walk(self, q: str, **asked: Any) -> list[dict[str, Any]]:
        """Return every page of a search."""
        pages = [await self.ask(q, **asked)]
        while pages[-1]["cursor"] is not None:
            pages.append(await self.ask(q, cursor=pages[-1]["cursor"], **asked))
        return pages

    async def make_due(self) -> None:
        """Let what waits to be read be tried again now."""
        async with self.engines.database.transaction() as session:
            await session.execute(sa.text("UPDATE queue SET ready_at = now() WHERE topic = 'embed'"))
        self.engines.database.learned.clear()

    async def settle(self) -> int:
        """Let the indexer do all that is due; return how many texts the model read."""
        assert self.engines.embedder is not None
        before = len(READ)
        while await documents.step(self.engines) or await embedding.step(self.engines):
            pass
        await self.engines.index.refresh()
        return len(READ) - before


# Every text that a model has read for an object in these tests.
READ: list[str] = []


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note every text that the indexer has read, and let no answer be too slow to be used unless a test says so."""
    monkeypatch.setattr(acting, "MEANING_SECONDS_MAX", 30)
    monkeypatch.setattr(vectors, "STATEMENT_MILLISECONDS_MAX", 30_000)
    ask = Aside.vector

    async def noting(aside: Aside, text: str) -> list[float]:
        READ.append(text)
        return await ask(aside, text)

    monkeypatch.setattr(Aside, "vector", noting)


@pytest.fixture(scope="module")
async def meaning(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Meaning]:
    """A catalog with plants, soils and other things; nobody changes what others look for."""
    world = make_world(engines_ready, tmp_path_factory.mktemp("hybrid"), hybrid="on-request")
    made: asyncio.Queue[Meaning] = asyncio.Queue()
    stop = asyncio.Event()

    # In one task: what the application opens at its start has to be closed by the task that opened it.
    async def stand() -> None:
        async with AsyncExitStack() as held:
            here = await standing(world, engines_ready, held)
            await fill(here)
            await made.put(here)
            await stop.wait()

    keeping = asyncio.create_task(stand())
    first = asyncio.create_task(made.get())
    await asyncio.wait({keeping, first}, return_when=asyncio.FIRST_COMPLETED)
    yield first.result() if first.done() else await _failed(keeping)
    stop.set()
    await keeping


async def _failed(keeping: "asyncio.Task[None]") -> Meaning:
    await keeping
    raise AssertionError("the catalog was not filled")


async def fill(here: Meaning) -> None:
    named = {"plants": PLANTS, "beans": BEANS, "hidden": HIDDEN}
    for name, body in [*named.items(), *((body["title"], body) for body in OTHERS)]:
        here.ids[name] = (await register(here.owner, body))["id"]
    soils = [draft(f"Soil moisture {number}", "Measured in a meadow.") for number in range(SOILS)]
    answer = await here.owner.post(
        "/api/bulk/objects",
        content="\n".join(map(json.dumps, soils)).encode(),
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert answer.status_code == 200, answer.text
    await here.settle()


async def standing(world: World, ready: dict[str, Any], held: AsyncExitStack) -> Meaning:
    await prepare(world, ready)
    token = (await make_tokens(world))["ingest"]
    owner = await held.enter_async_context(in_process(world.settings, token))
    anybody = await held.enter_async_context(in_process(world.settings, token))
    del anybody.headers["Authorization"]
    return Meaning(world, owner, anybody, await held.enter_async_context(opened(world.settings)), {})


def ids(page: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in page["hits"]]


async def test_what_is_called_otherwise_is_found_by_what_it_means(meaning: Meaning) -> None:
    by_words = await meaning.ask(ILL, hybrid="false")
    found = await meaning.ask(ILL)

    assert (by_words["hits"], "hybrid" in by_words) == ([], False)
    assert sorted(ids(found)[:2]) == sorted([meaning.ids["plants"], meaning.ids["beans"]])
    assert found["hybrid"] == {"used": True, "added": len(found["hits"]), "why": None, "note": None}
    assert found["total"] == 0


async def test_what_has_the_words_comes_first_and_is_marked(meaning: Meaning) -> None:
    found = await meaning.ask("movie reviews")

    first = found["hits"][0]
    assert (first["id"], first["highlights"]["title"]) == (
        meaning.ids["Movie reviews"],
        ["<mark>Movie</mark> <mark>reviews</mark>"],
    )
    assert found["total"] == 1


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"kind": "model"}, ["beans"]),
        ({"kind": "model", "facet": "kind"}, ["beans"]),
        ({"filter": "kind = 'model'"}, ["beans"]),
        ({"q": f"{ILL} kind:model"}, ["beans"]),
        ({"q": f"{ILL} -rust"}, ["plants"]),
        ({"q": f'{ILL} "fungal infections"'}, ["plants"]),
        ({"q": f"{ILL} infect*"}, ["plants"]),
        ({"q": f"{ILL} title:photographs"}, ["plants"]),
        ({"project": "lab/none"}, []),
    ],
)
async def test_what_means_the_same_is_under_everything_else_that_is_asked(
    meaning: Meaning, asked: dict[str, str], kept: list[str]
) -> None:
    found = await meaning.ask(**{"q": ILL} | asked)

    plants = {meaning.ids[name] for name in ("plants", "beans", "hidden")}
    assert [one for one in ids(found) if one in plants] == [meaning.ids[name] for name in kept]
    if "kind" in asked or "filter" in asked:
        assert {hit["kind"] for hit in found["hits"]} == {"model"}


async def test_a_narrow_question_finds_what_is_far_down_among_all(
    meaning: Meaning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearest of all are soils: what the filter leaves is compared for itself, however many lie nearer."""
    monkeypatch.setattr(acting.hybrid, "NEAREST_TO_NARROW", 100)
    earth = {"q": "wet earth in a field with sick crops", "filter": "NOT title LIKE 'Soil%'"}

    found = await meaning.ask(**earth)
    monkeypatch.setattr(acting.hybrid, "WITHIN_MAX", 0)
    among_the_nearest = await meaning.ask(**earth)

    assert ids(found)[0] in {meaning.ids["plants"], meaning.ids["beans"]}
    assert ids(among_the_nearest) == []


async def test_what_is_left_in_great_number_is_found_among_the_nearest(
    meaning: Meaning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting.hybrid, "WITHIN_MAX", 2)

    found = await meaning.ask(ILL, kind="training-dataset")

    assert (ids(found)[0], found["hybrid"]["used"]) == (meaning.ids["plants"], True)


async def test_nobody_is_shown_what_is_hidden_and_its_owner_is(meaning: Meaning) -> None:
    anybodys, owners = await meaning.ask(ILL), await meaning.ask(ILL, by=meaning.owner)

    assert (meaning.ids["hidden"] in ids(anybodys), meaning.ids["hidden"] in ids(owners)[:3]) == (False, True)


@pytest.mark.parametrize("limit", [7, 50, 64])
async def test_a_walk_meets_each_object_once_and_says_how_many_there_are(meaning: Meaning, limit: int) -> None:
    pages = await meaning.walk("soil", limit=limit)

    met = [one for page in pages for one in ids(page)]
    by_words = [one for page in await meaning.walk("soil", limit=100, hybrid="false") for one in ids(page)]
    assert len(by_words) == SOILS
    assert len(met) == len(set(met))
    assert set(by_words) <= set(met)
    notes = {(page["total"], page["hybrid"]["used"], page["hybrid"]["added"]) for page in pages}
    assert notes == {(SOILS, True, len(met) - SOILS)}


async def test_facets_count_what_has_the_words_on_every_page(meaning: Meaning) -> None:
    pages = await meaning.walk("soil", limit=40, facet="kind")

    assert len(pages) > 3
    counted = [page["facets"]["kind"]["buckets"] for page in pages]
    assert counted == [[{"value": "training-dataset", "count": SOILS}]] * len(pages)


async def test_a_cursor_fits_no_other_question(meaning: Meaning) -> None:
    cursor = (await meaning.ask("soil", limit=5))["cursor"]

    refused = await meaning.anybody.get("/api/search", params={"q": "soil", "hybrid": "false", "cursor": cursor})

    assert (refused.status_code, [fault["pointer"] for fault in refused.json()["errors"]]) == (400, ["/cursor"])


@pytest.mark.parametrize(
    ("asked", "why"),
    [({"q": "soil", "sort": "newest"}, Why.ORDER), ({"q": '"soil moisture"'}, Why.WORDS), ({}, Why.WORDS),
     ({"q": "year:2020"}, Why.WORDS), ({"q": "10.5072/abcd"}, Why.WORDS)],
)  # fmt: skip
async def test_what_has_no_meaning_to_ask_is_answered_by_words(
    meaning: Meaning, asked: dict[str, str], why: Why
) -> None:
    found = await meaning.ask(**asked)
    by_words = await meaning.ask(**asked, hybrid="false")

    assert found["hybrid"] == {"used": False, "added": 0, "why": why.value, "note": TOLD[why]}
    assert (found["total"], ids(found)) == (by_words["total"], ids(by_words))


async def fallen_back(meaning: Meaning) -> list[Any]:
    """Return the reasons that two pages give, having seen that their hits are those of a search by words."""
    pages = await meaning.walk("soil", limit=100)
    by_words = await meaning.walk("soil", limit=100, hybrid="false")
    assert [ids(page) for page in pages] == [ids(page) for page in by_words]
    return [(page["hybrid"]["used"], page["hybrid"]["why"]) for page in pages]


async def test_without_the_model_an_answer_by_words_says_so(meaning: Meaning, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Embedder, "vectors", Embedder("no_such_package").vectors)

    assert await fallen_back(meaning) == [(False, "no-model")] * 2


async def test_a_model_that_is_slow_is_not_waited_for(meaning: Meaning, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(_: Embedder, __: Sequence[str]) -> list[list[float]]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(Embedder, "vectors", slow)
    monkeypatch.setattr(acting, "MEANING_SECONDS_MAX", 0.05)

    assert await fallen_back(meaning) == [(False, "slow")] * 2


async def test_a_statement_that_takes_too_long_is_given_up(meaning: Meaning, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "_is_filling", _sleeps)
    monkeypatch.setattr(vectors, "STATEMENT_MILLISECONDS_MAX", 50)

    assert await fallen_back(meaning) == [(False, "slow")] * 2


async def _sleeps(session: Any, _: Any) -> bool:
    await session.execute(sa.text("SELECT pg_sleep(5)"))
    return False


async def test_a_fault_of_the_database_costs_the_meanings_alone(
    meaning: Meaning, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wrong(session: Any, _: Any) -> bool:
        await session.execute(sa.text("SELECT no_such_column"))
        return False

    monkeypatch.setattr(vectors, "_is_filling", wrong)

    assert await fallen_back(meaning) == [(False, "away")] * 2


async def test_what_was_not_read_yet_is_said_to_those_who_may_see_it(meaning: Meaning) -> None:
    secret = draft("Sick vines", "Vineyards with mildew.") | {"visibility": "private"}
    known = (await register(meaning.owner, secret))["id"]
    while await documents.step(meaning.engines):
        pass
    await meaning.engines.index.refresh()

    owners, anybodys = [(await meaning.ask(ILL, by=one))["hybrid"] for one in (meaning.owner, meaning.anybody)]
    assert await meaning.settle() == 1
    after = (await meaning.ask(ILL, by=meaning.owner))["hybrid"]

    assert (owners["used"], owners["why"], owners["note"]) == (True, "filling", TOLD[Why.FILLING])
    assert (anybodys["why"], after["why"]) == (None, None)
    await meaning.owner.delete(f"/api/objects/{known}", params=BECAUSE, headers={"If-Match": "*"})
    await meaning.settle()


async def vector_rows(meaning: Meaning, known: str) -> list[tuple[Any, ...]]:
    async with meaning.engines.database.transaction() as session:
        rows = await session.execute(
            sa.text("SELECT object_id::text, open, revision FROM object_vector WHERE object_id = :id"), {"id": known}
        )
        return [tuple(row) for row in rows]


async def test_a_text_is_read_again_only_when_it_is_another(meaning: Meaning) -> None:
    known = (await register(meaning.owner, draft("Orchids", "Pictures of orchids in bloom.")))["id"]
    first = await meaning.settle()
    await patch(meaning.owner, known, {"licence": "MIT"})
    unchanged = await meaning.settle()
    await patch(meaning.owner, known, {"visibility": "private"})
    hidden = await meaning.settle()
    as_hidden = await vector_rows(meaning, known)
    await patch(meaning.owner, known, {"description": "Drawings of mushrooms."})
    changed = await meaning.settle()

    assert (first, unchanged, hidden, changed) == (1, 0, 0, 1)
    assert as_hidden == [(known, False, 3)]
    assert READ[-1] == "Orchids. Drawings of mushrooms."
    assert ids(await meaning.ask("toadstools and fungi", by=meaning.owner))[0] == known
    await meaning.owner.delete(f"/api/objects/{known}", params=BECAUSE, headers={"If-Match": "*"})
    await meaning.settle()
    assert await vector_rows(meaning, known) == []


async def test_what_a_killed_worker_had_claimed_is_read_by_the_next(meaning: Meaning) -> None:
    known = (await register(meaning.owner, draft("Lichens", "Lichens on bark.")))["id"]
    while await documents.step(meaning.engines):
        pass
    async with meaning.engines.database.transaction() as session:
        claimed = await embedding.queue.claim(session, vectors.EMBED, most=10)
    none = await embedding.step(meaning.engines)
    # As its lease ends.
    await meaning.make_due()

    assert ([one.subject for one in claimed], none, await meaning.settle()) == ([known], 0, 1)
    assert len(await vector_rows(meaning, known)) == 1


async def test_what_is_not_read_in_time_is_given_back(meaning: Meaning, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "READING_SECONDS_MAX", 0.0)
    for name in ("Mosses", "Liverworts", "Hornworts"):
        await register(meaning.owner, draft(name, f"{name} of wet stones."))
    while await documents.step(meaning.engines):
        pass
    steps = [await embedding.step(meaning.engines) for _ in range(4)]

    assert (steps, await meaning.settle()) == ([1, 1, 1, 0], 0)


async def test_a_text_at_which_reading_fails_holds_up_no_other_and_is_parked_with_the_reason(
    meaning: Meaning, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Aside.vector

    async def failing(aside: Aside, text: str) -> list[float]:
        if "poison" in text:
            raise Unavailable("It ended.")
        return await ask(aside, text)

    poison = (await register(meaning.owner, draft("Aconite", "A poison.")))["id"]
    others = [(await register(meaning.owner, draft(name, f"{name} of dry stones.")))["id"] for name in ("Ivy", "Moss")]
    while await documents.step(meaning.engines):
        pass
    with monkeypatch.context() as patch:
        patch.setattr(Aside, "vector", failing)
        for _ in range(ATTEMPTS_MAX):
            await meaning.make_due()
            while await embedding.step(meaning.engines):
                pass

    told = "SELECT subject, reason FROM queue WHERE topic = 'embed' AND parked_at IS NOT NULL"
    assert await meaning.engines.database.rows(told, {}) == [(poison, "Reading it for its meaning failed: It ended.")]
    assert [len(await vector_rows(meaning, one)) for one in (poison, *others)] == [0, 1, 1]

    async with meaning.engines.database.transaction() as session:
        await embedding.queue.put(session, vectors.EMBED, [poison])
    assert await meaning.settle() == 1


async def test_what_was_written_while_it_was_off_is_read_after_a_restart(meaning: Meaning) -> None:
    off = meaning.world.settings.model_copy(update={"hybrid": "off"})
    known = (await register(meaning.owner, draft("Ferns", "Ferns of the forest floor.")))["id"]
    await patch(meaning.owner, meaning.ids["Movie reviews"], {"keywords": ["cinema"]})
    async with opened(off) as engines:
        while await documents.step(engines):
            pass
        nothing = await embedding.step(engines)
    before = await meaning.settle()

    await embedding.prepare(meaning.engines)

    assert (nothing, before, await meaning.settle()) == (0, 0, 2)
    assert len(await vector_rows(meaning, known)) == 1


async def test_switched_off_it_says_so_and_no_model_is_opened(
    meaning: Meaning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_model, "_opened", None)
    off = meaning.world.settings.model_copy(update={"hybrid": "off"})
    async with in_process(off, "none") as anybody:
        del anybody.headers["Authorization"]
        found = await meaning.ask("soil", by=anybody)

    assert found["hybrid"] == {"used": False, "added": 0, "why": "off", "note": TOLD[Why.OFF]}
    assert (found["total"], len(found["hits"])) == (SOILS, 100)


async def test_by_default_it_is_asked_wherever_something_is_typed(meaning: Meaning) -> None:
    on = meaning.world.settings.model_copy(update={"hybrid": "default"})
    async with in_process(on, "none") as anybody:
        del anybody.headers["Authorization"]
        answers = [
            (await anybody.get("/api/search", params=asked)).json().get("hybrid", {}).get("used")
            for asked in ({"q": ILL}, {}, {"q": ILL, "hybrid": "false"})
        ]

    assert answers == [True, None, None]


async def test_a_database_without_vectors_answers_by_words(engines_ready: dict[str, Any], fresh_world: World) -> None:
    world = World(
        fresh_world.settings.model_copy(update={"hybrid": "on-request"}), fresh_world.folder, fresh_world.environment
    )
    async with AsyncExitStack() as held:
        here = await standing(world, engines_ready, held)
        async with here.engines.database.transaction() as session:
            await session.execute(sa.text("DROP TABLE object_vector"))
        await register(here.owner, PLANTS)
        await embedding.prepare(here.engines)
        read = await here.settle()
        found = await here.ask("plant disease")

    assert read == 0
    assert (found["total"], found["hybrid"]["used"], found["hybrid"]["why"]) == (1, False, "no-extension")

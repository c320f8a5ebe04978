"""Nearest of what somebody may see: exact or through a graph, and as if what is hidden were not there.

Random worlds lie in two catalogs, one with everything, one with only what the caller of each may see. The same
questions are walked through both from the first page to the last, and everything of the answers is compared.
"""

import asyncio
import hashlib
import math
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from catalog import queue
from catalog.access.audience import ANONYMOUS, PUBLIC, Audience, readers_of
from catalog.api import hybrid as acting
from catalog.engines import Engines, opened
from catalog.search import hybrid, vectors
from catalog.search.aside import Aside
from catalog.search.document import Projection
from catalog.search.embedding import MODEL, Embedder, digest_of
from catalog.search.query import Question
from tests.conftest import make_world
from tests.search.conftest import AS_ADMIN, OWNER, entry, put
from tests.search.test_non_interference import WORDS, World, dice_of, words

WORLDS = 20
OBJECTS = 24
QUESTIONS = 4
SEED = 20261123
DIMENSIONS = 384
# Few, so that one hidden object among the candidates would push out a visible one.
CANDIDATES = 4
ROWS = 1_500
EMPTY = "TRUNCATE queue; DELETE FROM object_vector; DELETE FROM object"


def of_words(text: str) -> list[float]:
    """Return a vector of length 1 that is near those of texts with the same words: a function of the text alone."""
    told = [0.0] * DIMENSIONS
    for word in text.lower().replace(".", " ").split():
        dice = dice_of(int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big"))
        told = [one + dice.gauss(0, 1) for one in told]
    length = math.hypot(*told) or 1.0
    return [one / length for one in told]


@dataclass(frozen=True)
class Pair:
    """A catalog with everything, and one without what is hidden."""

    full: Engines
    visible: Engines

    async def fill(self, world: World, dice: random.Random) -> None:
        """Let both hold this world alone, some of it not read yet."""
        waiting = {one.id for one in world.objects if dice.random() < 0.05}
        for engines, objects in ((self.full, world.objects), (self.visible, world.visible)):
            await write(engines, objects, waiting)


async def write(engines: Engines, objects: Sequence[Projection], waiting: set[UUID]) -> None:
    async with engines.database.transaction() as session:
        for statement in EMPTY.split("; "):
            await session.execute(sa.text(statement))
        for one in objects:
            await insert(session, one)
            if one.id in waiting:
                await queue.put(session, vectors.EMBED, [str(one.id)])
            elif not one.withdrawn:
                text = f"{one.title} {one.description}"
                await vectors.keep(
                    session, [vectors.Kept(one.id, digest_of(text), 1, PUBLIC in one.readers, of_words(text))]
                )
    # Quicker than another index.
    everything = {"params": {"refresh": "true"}, "body": b'{"query": {"match_all": {}}}', "seconds": 30}
    await engines.index.told("POST", "/_delete_by_query", **everything)
    if objects:
        await put(engines.index, *objects)


INSERT = sa.text(
    "INSERT INTO object (id, kind, schema_version, project, owner_id, readers, writers, revision, record, withdrawn_at)"
    " VALUES (:id, :kind, 1, :project, :owner, :readers, '{}', 1, '{}', CASE WHEN :gone THEN now() END)"
)


async def insert(session: Any, one: Projection) -> None:
    row = {"id": one.id, "kind": one.kind, "project": one.project, "owner": OWNER, "gone": one.withdrawn}
    await session.execute(INSERT, row | {"readers": list(one.readers)})


@pytest.fixture(scope="module")
async def pair(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Pair]:
    """Two catalogs with a principal who owns everything."""
    async with AsyncExitStack() as held:
        full, visible = [await standing(engines_ready, tmp_path_factory.mktemp("pair"), held) for _ in range(2)]
        yield Pair(full, visible)
        for engines in (full, visible):
            await engines.index.drop()


async def standing(ready: dict[str, Any], folder: Path, held: AsyncExitStack) -> Engines:
    """Open a catalog of its own with nothing in it but a principal who owns everything."""
    world = make_world(ready, folder, hybrid="on-request", search_refresh="10")
    engines = await held.enter_async_context(opened(world.settings))
    owner = "INSERT INTO principal (id, kind, name, role) VALUES (:id, 'user', 'owner', 'reader')"
    async with engines.database.transaction() as session:
        await session.execute(sa.text(owner), {"id": OWNER})
    await engines.index.ensure()
    return engines


@pytest.fixture
def by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of words: the model, too, is a function of the text alone, and takes longer."""

    async def read(_: Embedder, texts: Sequence[str]) -> list[list[float]]:
        return [of_words(text) for text in texts]

    async def read_aside(_: Aside, text: str) -> list[float]:
        return of_words(text)

    monkeypatch.setattr(Embedder, "vectors", read)
    monkeypatch.setattr(Aside, "vector", read_aside)
    monkeypatch.setattr(hybrid, "CANDIDATES", CANDIDATES)


@pytest.fixture
def through_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the graph, however few there are, and whatever the planner thinks of that."""
    limits = vectors._within_limits  # noqa: SLF001 - what is set for one question.

    async def through(session: Any) -> None:
        await limits(session)
        await session.execute(
            sa.text("SELECT set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true)")
        )

    monkeypatch.setattr(vectors, "_within_limits", through)
    monkeypatch.setattr(vectors, "COMPARED_MAX", 0)


async def walked(engines: Engines, question: Question, world: World) -> list[Any]:
    """Return everything that a walk answers, with the places from which its cursors are made."""
    page = await acting.first_page(engines, question, world.caller, similar=True)
    pages: list[Any] = [page]
    while page.place is not None:
        page = await acting.next_page(engines, question, world.caller, page.place)
        pages.append(page)
        assert len(pages) < 2 * OBJECTS
    return pages


def some_question(dice: random.Random) -> Question:
    text = dice.choice([words(dice, 2), words(dice, 3), f"{words(dice, 2)} -{dice.choice(WORDS)}", "wet sand"])
    filters: dict[str, Sequence[Any]] = {}
    if dice.random() < 0.3:
        filters["kind"] = [dice.choice(["model", "training-dataset"])]
    facets = ["kind", "project"] if dice.random() < 0.3 else []
    return Question(text, filters=filters, facets=facets, limit=dice.choice([1, 3, 50]))


async def differing(pair: Pair, dice: random.Random, worlds: int) -> list[int]:
    """Return which of so many random worlds answer otherwise with what the caller may not see than without."""
    others = []
    for number in range(worlds):
        world = World.random(dice, f"w{number}", OBJECTS)
        await pair.fill(world, dice)
        for question in [some_question(dice) for _ in range(QUESTIONS)]:
            both = await asyncio.gather(*(walked(one, question, world) for one in (pair.full, pair.visible)))
            if both[0] != both[1]:
                others.append(number)
                break
    return others


@pytest.mark.req("DEWRANGLE-RFC-4", "MWM-STORAGE-7")
@pytest.mark.usefixtures("by_words")
@pytest.mark.parametrize("way", ["each compared", "through the graph"])
@pytest.mark.timeout(300)
async def test_hybrid_answers_are_those_of_a_world_without_what_is_hidden(
    pair: Pair, way: str, request: pytest.FixtureRequest
) -> None:
    if way == "through the graph":
        request.getfixturevalue("through_graph")

    assert await differing(pair, dice_of(SEED + len(way)), WORLDS // 2) == []


@pytest.mark.usefixtures("by_words")
async def test_vectors_asked_without_the_audience_would_be_found_out(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the index lets nothing hidden through, hidden candidates would push visible ones out."""
    monkeypatch.setattr(Audience, "sql_condition", lambda *_: sa.true())

    assert len(await differing(pair, dice_of(SEED + 1), 4)) > 0


@pytest.mark.usefixtures("by_words")
async def test_candidates_that_the_index_is_not_asked_about_would_be_found_out(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter on what was withdrawn or hidden after it was indexed stands at both doors."""
    monkeypatch.setattr(Audience, "sql_condition", lambda *_: sa.true())
    monkeypatch.setattr(Audience, "search_filter", lambda _: {"match_all": {}})

    assert len(await differing(pair, dice_of(SEED + 2), 4)) > 0


# Through the graph


Many = tuple[Engines, list[tuple[UUID, list[float], bool]]]


@pytest.fixture(scope="module")
async def many(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Many]:
    """Vectors in clusters, as texts make them: half of what there is may be seen by everybody, the rest by nobody."""
    dice = dice_of(SEED)
    centres = [[dice.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in range(30)]
    rows = []
    for number in range(ROWS):
        centre = dice.choice(centres)
        point = [one + dice.gauss(0, 0.8) for one in centre]
        length = math.hypot(*point)
        rows.append((UUID(int=dice.getrandbits(128)), [one / length for one in point], number % 2 == 0))
    async with AsyncExitStack() as held:
        engines = await standing(engines_ready, tmp_path_factory.mktemp("many"), held)
        async with engines.database.transaction() as session:
            for known, _, seen in rows:
                visibility = "public" if seen else "private"
                readers = readers_of(visibility=visibility, owner_id=OWNER, project="lab/soil")
                await insert(session, entry(id=known, project="lab/soil", visibility=visibility, readers=readers))
            await vectors.keep(session, [vectors.Kept(known, b"", 1, seen, point) for known, point, seen in rows])
        async with engines.database.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(sa.text("ANALYZE object_vector, object"))
        yield engines, rows


async def nearest(engines: Engines, vector: list[float], audience: Audience, **how: Any) -> list[UUID]:
    asked = {"most": 50, "likeness_least": -1.0, **how}
    async with engines.database.transaction() as session:
        return (await vectors.nearest(session, vector, audience, **asked)).ids


async def test_the_graph_finds_nearly_all_that_comparing_each_finds(many: Many, request: pytest.FixtureRequest) -> None:
    engines, rows = many
    asked = [vector for _, vector, _ in rows[:40]]
    exact = [await nearest(engines, vector, ANONYMOUS) for vector in asked]
    request.getfixturevalue("through_graph")

    found = [await nearest(engines, vector, ANONYMOUS) for vector in asked]

    shown = {known for known, _, seen in rows if seen}
    assert {one for some in (*exact, *found) for one in some} <= shown
    assert {len(some) for some in found} == {50}
    recall = [len(set(one) & set(other)) / 50 for one, other in zip(exact, found, strict=True)]
    assert sum(recall) / len(recall) >= 0.97


@pytest.mark.usefixtures("through_graph")
async def test_the_graph_goes_on_until_a_filter_has_let_enough_through(many: Many) -> None:
    """One in fifty passes here: a graph that stopped at what it keeps in view would come back with a handful."""
    engines, rows = many
    open_ids = [known for known, _, seen in rows if seen]
    async with engines.database.transaction() as session:
        await session.execute(
            sa.text("UPDATE object SET withdrawn_at = now() WHERE id = ANY(:ids)"),
            {"ids": [known for place, known in enumerate(open_ids) if place % 50]},
        )

    found = await nearest(engines, rows[0][1], ANONYMOUS, most=10)

    async with engines.database.transaction() as session:
        await session.execute(sa.text("UPDATE object SET withdrawn_at = NULL"))
    assert len(found) == 10
    assert set(found) <= set(open_ids[::50])


async def test_who_looks_after_all_finds_what_is_in_no_graph_too(many: Many, request: pytest.FixtureRequest) -> None:
    engines, rows = many
    exact = await nearest(engines, rows[1][1], AS_ADMIN)
    request.getfixturevalue("through_graph")

    assert (rows[1][2], exact[0]) == (False, rows[1][0])
    assert (await nearest(engines, rows[1][1], AS_ADMIN))[0] == rows[1][0]


async def test_the_graph_is_asked_for_what_everybody_may_see_and_holds_nothing_else(
    many: Many,
) -> None:
    engines, _ = many
    async with engines.database.transaction() as session:
        held = await session.execute(
            sa.text("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_object_vector_open'")
        )
        assert held.scalar_one().endswith("WHERE open")
        # As it is with many rows: with so few, comparing each is cheaper.
        await session.execute(sa.text("SET LOCAL enable_seqscan = off"))
        planned = await session.execute(
            sa.text(
                "EXPLAIN SELECT object_id FROM object_vector WHERE open AND model = :model"
                " ORDER BY vector <=> CAST(:vector AS halfvec) LIMIT 50"
            ),
            {"model": MODEL, "vector": f"[{','.join(['0.1'] * DIMENSIONS)}]"},
        )
        assert "ix_object_vector_open" in "\n".join(planned.scalars())


async def test_a_newer_state_is_not_written_over(many: Many) -> None:
    engines, rows = many
    known, vector, _ = rows[0]
    newer = vectors.Kept(known, b"new", 7, open=True, vector=vector)
    older = replace(newer, text_sha256=b"old", revision=6)
    async with engines.database.transaction() as session:
        await vectors.keep(session, [newer, older])
        assert await vectors.digests(session, [known]) == {known: b"new"}

"""The indexer compares and mends by itself, goes on where it was, and never removes much without a question."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from catalog import queue
from catalog.engines import Engines
from catalog.errors import Unavailable
from catalog.sync import comparing, mending, rounds
from catalog.sync.comparing import Sides
from catalog.sync.rounds import Phase, Round, Rule, Tally
from indexer import agreeing
from tests.indexer.scene import Scene, project
from tests.sync.conftest import Hand, differing, indexed

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of ten objects."""
    monkeypatch.setattr(comparing.Stride, "note", lambda stride, _: setattr(stride, "objects", 10))
    monkeypatch.setattr(comparing, "SLICE_MOST", 10)
    monkeypatch.setattr(comparing.Sides, "__init__", _small(comparing.Sides.__init__))


def _small(init: Any) -> Any:
    def made(self: Sides, *how: Any, **more: Any) -> None:
        init(self, *how, **({"stride": comparing.Stride(10)} | more))

    return made


async def told(scene: Scene) -> Round:
    async with scene.engines.database.transaction() as session:
        present = await rounds.present(session)
    assert present is not None
    return present


async def begun(scene: Scene, engines: Engines) -> None:
    """Have a first round begin."""
    await scene.engines.index.refresh()
    await agreeing.prepare(engines)
    await scene.let_pass(engines.sync.interval)


async def test_a_round_that_was_parked_goes_on_once_an_indexer_has_begun(scene: Scene) -> None:
    await begun(scene, scene.engines)
    async with scene.engines.database.transaction() as session:
        (claim,) = await queue.claim(session, rounds.SYNC, most=1)
        await queue.park(session, claim, reason="Something that nobody foresaw.")
    assert await agreeing.step(scene.engines) == 0

    await agreeing.prepare(scene.engines)

    assert await agreeing.step(scene.engines) == 1


async def to_the_end(scene: Scene, engines: Engines) -> Tally:
    """Go on until a round has ended."""
    while await agreeing.step(engines):
        await scene.let_pass(MINUTE)
    ended = (await told(scene)).tally
    assert ended is not None
    return ended


async def added(hand: Hand, count: int) -> Sequence[str]:
    """Documents of objects that there are not."""
    ids = [str(uuid4()) for _ in range(count)]
    for one in ids:
        await hand.put(one, {"id": one, "title": "By hand"})
    return ids


def counts(tally: Tally) -> dict[str, int]:
    return {name: number for name in (*comparing.Kind, "removed") if (number := getattr(tally, name))}


async def without_documents(scene: Scene) -> int:
    """Return how many objects have none: those that other tests have withdrawn long ago."""
    ids = [one for (one,) in await scene.engines.database.rows("SELECT id FROM object", {})]
    return len(ids) - len(await scene.engines.index.versions(ids))


@pytest.mark.req("SAGE-STORAGE-30")
async def test_a_round_begins_after_an_interval_mends_everything_and_rests_for_an_interval(
    scene: Scene, sides: Sides, hand: Hand
) -> None:
    ids = await indexed(scene, 25, project=project())
    await agreeing.prepare(scene.engines)
    await agreeing.prepare(scene.engines)
    assert await agreeing.step(scene.engines) == 0
    lacking = await without_documents(scene)
    await hand.delete(ids[0])
    await hand.change(ids[1], title="Something else")
    extra = await added(hand, 3)
    await scene.let_pass(DAY)

    ended = await to_the_end(scene, scene.engines)

    assert (counts(ended), ended.held_back) == ({"missing": 1, "altered": 1, "extra": 3, "removed": 3}, False)
    assert ended.documents == ended.objects - lacking - 1 + 3
    assert await scene.engines.index.held(extra) == {}
    await scene.work()
    assert await differing(sides) == {}
    assert await agreeing.step(scene.engines) == 0
    await scene.let_pass(DAY)
    await scene.engines.index.refresh()
    again = await to_the_end(scene, scene.engines)
    assert (counts(again), again.documents) == ({}, again.objects - lacking)


@pytest.mark.usefixtures("sides", "small")
async def test_a_killed_round_goes_on_where_it_was_and_counts_nothing_twice(scene: Scene, hand: Hand) -> None:
    ids = await indexed(scene, 35, project=project())
    for one in (ids[2], ids[33]):
        await hand.delete(one)
    await begun(scene, scene.engines)
    await agreeing.step(scene.engines)
    before = await told(scene)
    await scene.let_pass(MINUTE)

    class Killed(BaseException):
        """The end of a process."""

    class Dying:
        def __getattr__(self, name: str) -> Any:
            return getattr(scene.engines.index, name)

        async def held_in(self, *how: Any, **more: Any) -> Any:
            await scene.engines.index.held_in(*how, **more)
            raise Killed

    dying: Any = Dying()
    with pytest.raises(Killed):
        await agreeing.step(replace(scene.engines, index=dying))
    # Until the lease ends it is the dead one's.
    assert (await agreeing.step(scene.engines), await told(scene)) == (0, before)
    await scene.let_pass(MINUTE)

    ended = await to_the_end(scene, scene.engines)

    assert before.after is not None
    assert counts(ended) == {"missing": 2}
    async with scene.engines.database.transaction() as session:
        objects = (await session.execute(sa.text("SELECT count(*) FROM object"))).scalar_one()
    assert (ended.objects, before.tally is not None and before.tally.objects) == (objects, 10)


@pytest.mark.usefixtures("sides")
async def test_a_round_that_would_remove_too_much_removes_nothing_and_says_so(
    scene: Scene, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await indexed(scene, 5, project=project())
    extra = await added(hand, 6)
    monkeypatch.setattr(mending, "REMOVED_ALWAYS", 5)
    careful = replace(scene.engines, sync=Rule(DAY, 0.0))
    await begun(scene, careful)

    ended = await to_the_end(scene, careful)

    assert (counts(ended), ended.held_back) == ({"extra": 6}, True)
    assert sorted(await scene.engines.index.held(extra)) == sorted(extra)


@pytest.mark.usefixtures("sides")
async def test_what_appears_while_a_round_removes_does_not_get_past_its_limit(
    scene: Scene, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await indexed(scene, 5, project=project())
    extra = list(await added(hand, 2))
    monkeypatch.setattr(mending, "REMOVED_ALWAYS", 3)
    careful = replace(scene.engines, sync=Rule(DAY, 0.0))
    await begun(scene, careful)
    while (await told(scene)).phase is not Phase.REMOVING:
        assert await agreeing.step(careful)
        await scene.let_pass(MINUTE)
    extra += await added(hand, 2)

    ended = await to_the_end(scene, careful)

    assert (ended.removed, ended.held_back, len(await scene.engines.index.held(extra))) == (0, True, 4)


async def test_an_object_whose_document_looked_like_nobodys_keeps_it(scene: Scene, sides: Sides) -> None:
    (one,) = map(str, await indexed(scene, 1, project=project()))
    wrong = comparing.Difference(one, comparing.Kind.EXTRA, 1, None)

    assert (await mending.remove(sides, [wrong]), list(await scene.engines.index.held([one]))) == ([], [one])


@pytest.mark.usefixtures("sides")
async def test_while_the_index_is_away_a_round_waits_and_is_never_parked(scene: Scene) -> None:
    await begun(scene, scene.engines)

    class Away:
        async def held_in(self, *_: Any, **__: Any) -> Any:
            raise Unavailable("The search engine does not answer.")

    away: Any = Away()
    for _ in range(15):
        assert await agreeing.step(replace(scene.engines, index=away)) == 1
        await scene.let_pass(timedelta(minutes=11))
    ((topic, _, _, parked, reason),) = await scene.entries()
    assert (topic, parked, reason) == (rounds.SYNC, False, "The search engine does not answer.")

    assert counts(await to_the_end(scene, scene.engines)) == {}


def test_a_round_is_told_and_read_again_and_an_unreadable_one_begins_anew() -> None:
    began = datetime(2026, 11, 2, tzinfo=UTC)
    one = Round(phase=Phase.REMOVING, after=uuid4(), tally=Tally(began_at=began, extra=3), last=Tally(began_at=began))
    assert rounds.round_from(one.subject) == one
    assert rounds.round_from("of another version") == Round(phase=Phase.RESTING)
    assert Round(phase=Phase.RESTING).begun(began) == Round(phase=Phase.COMPARING, tally=Tally(began_at=began))

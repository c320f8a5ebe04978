"""A rebuild rests longer while it is in the way of searches, hardly while it is not, and not at all beside nobody."""

import time
from collections.abc import Sequence

from catalog.search import concrete
from catalog.search.concrete import Searched
from catalog.sync.pacing import REST_FIRST, REST_LEAST, REST_MOST, Pace
from tests.indexer.scene import Scene, project


class Engine:
    """What an engine would tell of its searches, in milliseconds for each."""

    def __init__(self) -> None:
        self.so_far = Searched(0, 0.0)

    def answers(self, count: int, milliseconds: float) -> Searched:
        """Let so many searches have been answered, and return what it tells then."""
        self.so_far = Searched(self.so_far.count + count, self.so_far.seconds + count * milliseconds / 1000)
        return self.so_far


def rests(slices: Sequence[tuple[float, float]], *, count: int = 20) -> list[float]:
    """Return the rests after slices: what a search took in the rest before each, and beside it."""
    pace, engine, found = Pace(), Engine(), []
    for calm, beside in slices:
        pace.begins(engine.answers(count, calm))
        pace.ends(engine.answers(count, beside))
        found.append(round(pace.rest, 3))
    return found


def test_it_rests_ever_longer_while_searches_take_longer_beside_it() -> None:
    # Of the first slice nothing is known to hold it against: what was searched before is nobody's rest.
    assert rests([(10, 30)] * 6) == [0.8, 1.6, 3.2, 6.4, REST_MOST, REST_MOST]


def test_it_hardly_rests_while_searches_take_as_long_as_ever() -> None:
    found = rests([(10, 11)] * 12)
    assert (found[0], found[-1], found) == (0.8, REST_LEAST, sorted(found, reverse=True))


def test_it_gives_way_to_others_who_keep_the_engine_busy() -> None:
    found = rests([(10, 11)] * 10 + [(40, 44)] * 10)
    assert (found[9], found[19]) == (REST_LEAST, REST_MOST)


def test_searches_that_took_no_time_at_all_are_no_measure() -> None:
    found = rests([(0, 0)] * 3 + [(6, 7)] * 20)
    assert found[-1] == REST_LEAST


def test_what_was_searched_since_a_slice_that_failed_is_no_rest() -> None:
    pace, engine = Pace(), Engine()
    for _ in range(10):
        pace.begins(engine.answers(20, 10))
        # A slice that failed ended here, and what was searched beside it is counted by the next one.
        pace.begins(engine.answers(20, 100))
        pace.ends(engine.answers(20, 11))
    assert pace.rest == REST_LEAST


def test_it_takes_for_calm_in_the_end_what_stays_as_it_is() -> None:
    found = rests([(10, 11)] * 10 + [(40, 44)] * 200)
    assert found[-1] == REST_LEAST


def test_it_does_not_rest_beside_nobody_and_does_again_when_somebody_comes() -> None:
    pace, engine = Pace(), Engine()
    found = []
    for count in (0, 0, 0, 0, 0, 30):
        pace.begins(engine.answers(0, 0))
        pace.ends(engine.answers(count, 10))
        found.append(pace.rest)
    assert found == [REST_FIRST / 2, REST_FIRST / 4, 0.0, 0.0, 0.0, REST_LEAST]


def test_a_node_that_was_started_again_counts_from_nothing() -> None:
    assert Searched(3, 0.5).since(Searched(10, 4.0)) == Searched(3, 0.5)
    assert Searched(12, 5.0).since(Searched(10, 4.0)) == Searched(2, 1.0)


async def test_the_engine_tells_what_was_searched_by_whomever(scene: Scene) -> None:
    there = project()
    await scene.registered("Wind", project=there)
    await scene.work()
    before = await concrete.searched(scene.engines.index)
    for _ in range(5):
        assert list(await scene.found(there)) == ["Wind"]
    assert (await concrete.searched(scene.engines.index)).since(before).count == 5


async def test_a_rest_is_as_long_as_said_although_the_engine_is_away(scene: Scene) -> None:
    pace = Pace(rest=2.0)
    began = time.monotonic()
    await pace.rest_after(scene.engines.index.beside("not-there"), 0.1)
    assert time.monotonic() - began >= 0.2
    assert pace.rest == 2.0

"""Who is woken by what, and what is gathered."""

import asyncio

from indexer.loop import Wakener, lanes


def test_a_ring_wakes_the_lanes_of_its_topics_and_no_others() -> None:
    wakener = Wakener()
    keys, index, dois = (wakener.next_ring(topic) for topic in ("key", "index", "doi"))

    wakener.wake({"key", "doi", "nobody's"})

    assert (keys.is_set(), index.is_set(), dois.is_set()) == (True, False, True)
    assert not wakener.next_ring("key").is_set()
    assert wakener.next_ring("index") is index


def test_a_ring_that_names_no_topic_wakes_every_lane() -> None:
    wakener = Wakener()
    rings: list[asyncio.Event] = [wakener.next_ring(lane.topic) for lane in lanes()]

    wakener.wake(None)

    assert all(ring.is_set() for ring in rings)

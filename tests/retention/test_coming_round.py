"""The cycle comes round for ever, whatever happened to one of them."""

from datetime import timedelta
from typing import Any

import pytest

from catalog.queue import ATTEMPTS_MAX
from catalog.retention.clock import CYCLE
from indexer import retention
from tests.retention.hourglass import DAY, Hourglass


async def noted(hourglass: Hourglass) -> list[tuple[Any, ...]]:
    """Return of the queue's cycles how often each was tried, whether it is parked, and why."""
    return await hourglass.scene.engines.database.rows(
        "SELECT attempts, parked_at IS NOT NULL, reason FROM queue WHERE topic = 'retention'", {}
    )


def broken(hourglass: Hourglass) -> Hourglass:
    """Return the same catalog with settings on which every cycle fails."""
    return hourglass.with_policy(grace=None)


FAULT = "A cycle of retention failed: AttributeError: 'NoneType' object has no attribute 'total_seconds'"


@pytest.mark.req("MWM-SADD-67")
async def test_a_cycle_that_ran_often_is_put_off_after_one_fault_and_not_parked(hourglass: Hourglass) -> None:
    engines = hourglass.scene.engines
    await retention.prepare(engines)
    for _ in range(ATTEMPTS_MAX + 1):
        assert await retention.step(engines) == 0
        await hourglass.jump(CYCLE)
        assert await retention.step(engines) == 1
    assert await noted(hourglass) == [(0, False, None)]

    await hourglass.jump(CYCLE)
    assert await retention.step(broken(hourglass).scene.engines) == 1
    assert await noted(hourglass) == [(1, False, FAULT)]

    await hourglass.jump(timedelta(minutes=1))
    assert await retention.step(engines) == 1
    assert await noted(hourglass) == [(0, False, None)]


async def test_cycles_that_were_parked_come_round_again_once_an_indexer_has_begun(hourglass: Hourglass) -> None:
    engines = hourglass.scene.engines
    await retention.prepare(engines)
    for _ in range(ATTEMPTS_MAX):
        await hourglass.jump(DAY)
        assert await retention.step(broken(hourglass).scene.engines) == 1
    assert await noted(hourglass) == [(ATTEMPTS_MAX, True, FAULT)]

    await retention.prepare(engines)
    await hourglass.jump(CYCLE)
    assert await retention.step(engines) == 1
    assert await noted(hourglass) == [(0, False, None)]

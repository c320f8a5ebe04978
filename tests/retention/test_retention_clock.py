"""Whatever the database's clock does, nothing goes before its time: with the shortest grace that there may be."""

from datetime import timedelta
from uuid import UUID

import pytest

from tests.indexer.scene import project
from tests.retention.hourglass import DAY, Hourglass

SHORTLY = timedelta(minutes=20)
HOUR = timedelta(hours=1)
GRACE = DAY


@pytest.fixture
def short(hourglass: Hourglass) -> Hourglass:
    """The catalog with a grace period of a day."""
    return hourglass.with_policy(grace=GRACE)


async def marked(short: Hourglass, here: str) -> UUID:
    (object_id,) = (await short.scene.registered("Blob", project=here)).values()
    await short.rule(here, 30)
    await short.cycle()
    await short.let_pass(30 * DAY)
    await short.cycle()
    assert await short.mark(object_id) is not None
    return object_id


@pytest.mark.req("MWM-SADD-69")
async def test_a_clock_that_jumps_a_day_ahead_and_stays_there_removes_nothing_early(short: Hourglass) -> None:
    object_id = await marked(short, project())
    await short.watch(18 * HOUR, SHORTLY)

    await short.jump(DAY)
    await short.cycle()
    assert await short.gone(object_id) == [False]

    await short.watch(6 * HOUR - SHORTLY, SHORTLY)
    assert await short.gone(object_id) == [False]
    await short.watch(SHORTLY, SHORTLY)
    assert await short.gone(object_id) == [True]


@pytest.mark.req("MWM-SADD-69")
async def test_a_clock_that_jumps_a_day_back_removes_nothing_early(short: Hourglass) -> None:
    object_id = await marked(short, project())
    await short.watch(18 * HOUR, SHORTLY)
    await short.jump(-DAY)
    await short.watch(DAY, SHORTLY)
    assert await short.gone(object_id) == [False]
    await short.watch(6 * HOUR, SHORTLY)
    assert await short.gone(object_id) == [True]


@pytest.mark.req("MWM-SADD-69")
@pytest.mark.parametrize("back", [False, True])
async def test_what_a_jump_ahead_has_marked_does_not_go_before_it_is_truly_due(short: Hourglass, *, back: bool) -> None:
    here = project()
    (object_id,) = (await short.scene.registered("Blob", project=here)).values()
    await short.rule(here, 30)
    await short.cycle()
    await short.let_pass(29 * DAY + 12 * HOUR)
    await short.cycle()
    assert await short.mark(object_id) is None

    await short.jump(DAY)
    await short.cycle()
    assert await short.mark(object_id) is not None
    if back:
        await short.jump(-DAY)
    # Until it is truly due.
    await short.watch(12 * HOUR, SHORTLY)
    assert await short.gone(object_id) == [False]
    await short.watch(36 * HOUR, SHORTLY)
    assert await short.gone(object_id) == [True]


@pytest.mark.req("MWM-SADD-69")
async def test_a_time_in_which_no_indexer_ran_counts_as_nothing(short: Hourglass) -> None:
    object_id = await marked(short, project())
    await short.jump(30 * DAY)
    await short.cycle()
    assert await short.gone(object_id) == [False]
    await short.watch(GRACE, SHORTLY)
    assert await short.gone(object_id) == [True]

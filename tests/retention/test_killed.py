"""An indexer that is killed at any step of removing loses nothing, doubles nothing, and deletes nothing else."""

import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import sqlalchemy as sa

from catalog.database import Database
from catalog.engines import opened
from catalog.retention import leftovers, removing
from catalog.settings import Settings
from catalog.storage.s3 import Store
from indexer import retention
from tests.conftest import World
from tests.indexer.scene import project
from tests.retention.hourglass import DAY, Hourglass

GRACE = 7 * DAY
# Each is forked from one that has loaded the code.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload([__name__])

# Where it dies: what it was about to call, or has just called.
STEPS = [
    (removing, "remove", "before"),
    (removing, "remove", "after"),
    (leftovers, "begin", "before"),
    (leftovers, "begin", "after"),
    (Store, "remove", "before"),
    (Store, "remove", "after"),
    (leftovers, "end", "before"),
    (leftovers, "end", "after"),
]


def work(settings: Settings, step: int) -> None:
    """Run a cycle and delete what it left, as an indexer does; at a step this process dies by SIGKILL."""
    where, name, when = STEPS[step]
    real: Callable[..., Awaitable[Any]] = getattr(where, name)

    async def dying(*args: Any, **named: Any) -> Any:
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        await real(*args, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(where, name, dying)

    async def run() -> None:
        async with opened(settings) as engines:
            await retention.cycle(engines)
            while await retention.leftover_step(engines):
                pass

    anyio.run(run)


@pytest.mark.req("MWM-SADD-68")
@pytest.mark.parametrize("step", range(len(STEPS)), ids=[f"{when} {name}" for _, name, when in STEPS])
async def test_an_indexer_that_is_killed_at_a_step_is_gone_on_with_by_the_next(
    hourglass: Hourglass, own_world: World, step: int
) -> None:
    here, beside = project(), project()
    due, upload = await hourglass.stored(here)
    other, kept = await hourglass.stored(beside)
    await hourglass.rule(here, 30)
    await hourglass.cycle()
    await hourglass.let_pass(30 * DAY)
    await hourglass.cycle()
    await hourglass.let_pass(GRACE)

    process = CHILDREN.Process(target=work, args=(own_world.settings, step))
    process.start()
    await anyio.to_thread.run_sync(process.join, 60)
    assert process.exitcode == -signal.SIGKILL
    # The dead one's lease.
    async with hourglass.scene.engines.database.transaction() as session:
        await session.execute(sa.text("UPDATE queue SET ready_at = now() WHERE topic = 'leftover'"))
    await hourglass.cycle()
    await hourglass.delete()

    assert await hourglass.gone(due, other) == [True, False]
    assert await hourglass.lies(upload, kept) == [False, True]
    assert await told(hourglass.scene.engines.database, due) == [
        "register",
        "file available",
        "mark for removal",
        "withdraw",
    ]
    assert await rows(hourglass.scene.engines.database, due) == [(True, None)]


async def told(database: Database, object_id: object) -> list[str]:
    found = await database.rows("SELECT action FROM audit WHERE object_id = %(id)s ORDER BY id", {"id": object_id})
    return [action for (action,) in found]


async def rows(database: Database, object_id: object) -> list[tuple[Any, ...]]:
    asked = "SELECT ended_at IS NOT NULL, reason FROM leftover WHERE object_id = %(id)s"
    return await database.rows(asked, {"id": object_id})

"""What is handled alone: a fault of what came is that claim's own, and only the database's own goes on."""

import pytest
import sqlalchemy as sa
import structlog

from catalog import queue
from indexer import handling
from tests.indexer.scene import Scene

TOPIC = "handled-alone"


@pytest.mark.parametrize("given", ["a\x00b", str(2**63)], ids=["NUL", "too large"])
async def test_what_the_database_cannot_hold_is_told_of_its_claim_and_not_taken_for_its_absence(
    scene: Scene, given: str
) -> None:
    database = scene.engines.database
    async with database.transaction() as session:
        await queue.put(session, TOPIC, ["one"])
        (claim,) = await queue.claim(session, TOPIC, most=1)

    async def handled() -> None:
        async with database.transaction() as session:
            await session.execute(sa.text("SELECT CAST(CAST(:given AS text) AS bigint)"), {"given": given})

    await handling.alone(scene.engines, claim, handled(), log=structlog.get_logger(), doing="Handling")

    ((reason,),) = await database.rows("SELECT reason FROM queue WHERE topic = %(topic)s", {"topic": TOPIC})
    async with database.transaction() as session:
        await queue.finish(session, [claim])
    assert reason.startswith("Handling failed: DataError: ")

"""Let everybody see what was embargoed, once the embargo is over."""

import structlog

from catalog import queue
from catalog.database import now
from catalog.engines import Engines
from catalog.objects import granting
from catalog.queue import Claim
from indexer import handling

log = structlog.get_logger("indexer.embargoes")

BATCH = 64


async def step(engines: Engines) -> int:
    """Claim a batch of objects whose embargo should be over, and let them be seen; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, granting.EMBARGO, most=BATCH)
    for claim in claims:
        await handling.alone(engines, claim, _settle(engines, claim), log=log, doing="Ending the embargo")
    return len(claims)


async def _settle(engines: Engines, claim: Claim) -> None:
    object_id = await handling.id_or_parked(engines, claim, "object")
    if object_id is None:
        return
    async with engines.database.transaction() as session:
        until = await granting.end_embargo(session, object_id)
        if until is None:
            await queue.finish(session, [claim])
        else:
            # The embargo was made longer.
            await queue.postpone(session, claim, reason="embargoed", after=until - now())

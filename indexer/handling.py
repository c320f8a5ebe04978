"""Handling one claim of many: what goes wrong with it must cost neither the process nor the others anything."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import sqlalchemy as sa

from catalog import queue
from catalog.engines import Engines
from catalog.queue import LEASE, Claim

# Reading a large file takes longer than a lease: what is in hand is kept by renewing it this often per lease.
RENEWALS_PER_LEASE = 3


async def alone(engines: Engines, claim: Claim, handled: Awaitable[None], *, log: Any, doing: str) -> None:
    """Await what handles a claim; a fault that nobody foresaw is told, tried again, and in the end parked.

    While the database is away, the fault goes on: the reason would be noted there, and the lease brings the claim back.
    """
    try:
        await handled
    except sa.exc.SQLAlchemyError:
        raise
    except Exception as fault:
        log.exception("claim failed", subject=claim.subject)
        reason = f"{doing} failed: {type(fault).__name__}: {fault}"
        async with engines.database.transaction() as session:
            if claim.exhausted:
                await queue.park(session, claim, reason=reason)
            else:
                await queue.postpone(session, claim, reason=reason)


@asynccontextmanager
async def kept(engines: Engines, in_hand: Mapping[int, Claim]) -> AsyncGenerator[None]:
    """Keep the leases of what is in hand, by id, for the time of the block, however long it takes."""
    keeping = asyncio.create_task(_keep(engines, in_hand))
    try:
        yield
    finally:
        keeping.cancel()


async def _keep(engines: Engines, in_hand: Mapping[int, Claim]) -> None:
    while True:
        await asyncio.sleep(LEASE.total_seconds() / RENEWALS_PER_LEASE)
        # The database may be away for a moment; the next renewal comes before the lease ends.
        with suppress(sa.exc.SQLAlchemyError):
            async with engines.database.transaction() as session:
                await queue.renew(session, list(in_hand.values()), lease=LEASE)

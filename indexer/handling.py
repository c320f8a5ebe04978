"""Handling one claim of many: what goes wrong with it must cost neither the process nor the others anything."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from catalog import queue
from catalog.engines import Engines
from catalog.queue import LEASE, Claim

# Reading a large file takes longer than a lease: what is in hand is kept by renewing it this often per lease.
RENEWALS_PER_LEASE = 3


async def pause(until: asyncio.Event, seconds: float) -> None:
    """Return after so long, or as soon as something happens."""
    with suppress(TimeoutError):
        await asyncio.wait_for(until.wait(), seconds)


async def alone(engines: Engines, claim: Claim, handled: Awaitable[None], *, log: Any, doing: str) -> None:
    """Await what handles a claim; a fault that nobody foresaw is told, tried again, and in the end parked.

    While the database is away, the fault goes on: the reason would be noted there, and the lease brings the claim back.
    """
    try:
        await handled
    except Exception as fault:
        if is_away(fault):
            raise
        log.exception("claim failed", subject=claim.subject)
        reason = f"{doing} failed: {type(fault).__name__}: {fault}"
        await later(engines, claim, reason)


def is_away(fault: Exception) -> bool:
    """Whether a fault is the database's own, and not what it was given: that is no other the next time."""
    return isinstance(fault, sa.exc.SQLAlchemyError) and not isinstance(fault, sa.exc.DataError)


async def later(engines: Engines, claim: Claim, reason: str) -> None:
    """Have a claim tried again later, and set it aside once trying again is no help."""
    async with engines.database.transaction() as session:
        if claim.exhausted:
            await queue.park(session, claim, reason=reason)
        else:
            await queue.postpone(session, claim, reason=reason)


def id_of(claim: Claim) -> UUID | None:
    """Return the id that a claim's subject is, if it is one."""
    try:
        return UUID(claim.subject)
    except ValueError:
        return None


async def id_or_parked(engines: Engines, claim: Claim, what: str) -> UUID | None:
    """Return the id that a claim's subject is; a claim of which it is none is set aside, since it names no `what`."""
    found = id_of(claim)
    if found is None:
        async with engines.database.transaction() as session:
            await queue.park(session, claim, reason=f"The subject names no {what}.")
    return found


Handle = Callable[[Engines, Claim], Awaitable[None]]


async def next_one(engines: Engines, topic: str, handle: Handle, *, log: Any, doing: str) -> int:
    """Claim what has waited longest and handle it, however long that takes; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, topic, most=1)
    for claim in claims:
        async with kept(engines, {claim.id: claim}):
            await alone(engines, claim, handle(engines, claim), log=log, doing=doing)
    return len(claims)


async def at_once(
    engines: Engines, claims: Sequence[Claim], handle: Handle, *, most: int, log: Any, doing: str
) -> None:
    """Handle claims beside each other, so many at a time."""
    gate = asyncio.Semaphore(most)

    async def within(claim: Claim) -> None:
        async with gate:
            await alone(engines, claim, handle(engines, claim), log=log, doing=doing)

    await all_of(map(within, claims))


async def all_of(handled: Iterable[Awaitable[None]]) -> None:
    """Await all of them, and raise what the first met only then: none is left running behind the lane's back."""
    for fault in await asyncio.gather(*handled, return_exceptions=True):
        if fault is not None:
            raise fault


@asynccontextmanager
async def kept(engines: Engines, in_hand: Mapping[int, Claim], *, lease: timedelta = LEASE) -> AsyncGenerator[None]:
    """Keep the leases of what is in hand, by id, for the time of the block, however long it takes."""
    keeping = asyncio.create_task(_keep(engines, in_hand, lease))
    try:
        yield
    finally:
        keeping.cancel()


async def _keep(engines: Engines, in_hand: Mapping[int, Claim], lease: timedelta) -> None:
    while True:
        await asyncio.sleep(lease.total_seconds() / RENEWALS_PER_LEASE)
        # The database may be away for a moment; the next renewal comes before the lease ends.
        with suppress(sa.exc.SQLAlchemyError):
            async with engines.database.transaction() as session:
                await queue.renew(session, list(in_hand.values()), lease=lease)

"""Look at the outside addresses that objects name: now, and again from time to time."""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import structlog

from catalog import queue
from catalog.database import now
from catalog.engines import Engines
from catalog.objects import changing, reading
from catalog.outside import tables
from catalog.outside.looking import LOOK_SECONDS_MAX, Looker
from catalog.outside.tables import BROKEN, Look, State
from catalog.queue import Claim
from indexer import handling

log = structlog.get_logger("indexer.outside")

BATCH = 8
LOOKS_AT_ONCE = 8
# An object names at most some hundred addresses; each is given up after its time.
LEASE = timedelta(seconds=60 * LOOK_SECONDS_MAX)
# What answers today answers tomorrow; what does not may be back after a day.
AGAIN = {
    State.REACHABLE: timedelta(days=30),
    State.RESTRICTED: timedelta(days=30),
    State.UNREACHABLE: timedelta(days=1),
    State.REFUSED: timedelta(days=7),
}


async def prepare(engines: Engines) -> None:
    """Queue every object when looking has just been switched on: what was registered before was passed over."""
    if engines.looker is None:
        return
    async with engines.database.transaction() as session:
        if not await tables.anything(session):
            await changing.look_outside_everywhere(session)


async def step(engines: Engines) -> int:
    """Claim a batch of objects, look at the addresses they name, keep what was found; returns how many were claimed.

    Where nobody looks, they are passed over.
    """
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, changing.OUTSIDE, most=BATCH, lease=LEASE)
        if engines.looker is None:
            await queue.finish(session, claims)
            return len(claims)
    for claim in claims:
        looked = _look_at(engines, engines.looker, claim)
        await handling.alone(engines, claim, looked, log=log, doing="Looking outside")
    return len(claims)


async def _look_at(engines: Engines, looker: Looker, claim: Claim) -> None:
    async with engines.database.transaction() as session:
        entries = await reading.read_for_index(session, [UUID(claim.subject)])
        named = {one.address for entry in entries if entry.withdrawn_at is None for one in reading.outside_of(entry)}
        known = await tables.looks_at(session, named)
    due = [address for address in sorted(named) if not _fresh(known.get(address))]
    found = await _looks(looker, due)
    async with engines.database.transaction() as session:
        for address, look in found.items():
            await tables.note(session, address, look)
        turned = sorted(address for address, look in found.items() if _broken(look) is not _broken(known.get(address)))
        if turned:
            # What an object names went away, or came back: its quality is another, and its history says so.
            object_id = UUID(claim.subject)
            await changing.lock(session, object_id)
            states = {address: found[address].state for address in turned}
            await changing.note_found(session, object_id, action="looked outside", changes={"outside": states})
        if waits := [AGAIN[look.state] for look in (known | found).values()]:
            await queue.again(session, claim, changing.OUTSIDE, after=min(waits))
        else:
            await queue.finish(session, [claim])
    for address, look in found.items():
        log.info("looked outside", address=address, state=look.state, reason=look.reason)


def _broken(look: Look | None) -> bool:
    return look is not None and look.state in BROKEN


def _fresh(look: Look | None) -> bool:
    return look is not None and look.checked_at is not None and now() - look.checked_at < AGAIN[look.state]


async def _looks(looker: Looker, addresses: Collection[str]) -> dict[str, Look]:
    gate = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def look(address: str) -> Look:
        async with gate:
            return await looker.look(address)

    found = await asyncio.gather(*map(look, addresses))
    return dict(zip(addresses, found, strict=True))

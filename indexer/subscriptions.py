"""Tell subscriptions of what happened: each object's events in their order, each subscription beside the others.

Nothing is open in the database while a receiver is waited for. An object is told by one worker at a time, for as long
as its entry is leased; one that is killed lets the lease end, and the next goes on with the event that was not known to
have arrived. A receiver that fails is asked again later, by one event at a time, and nobody else waits for it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import psycopg
import sqlalchemy as sa
import structlog

from catalog import queue
from catalog.access.audience import Audience
from catalog.access.principals import Caller
from catalog.alerts import webhooks
from catalog.alerts.webhooks import NotTold, NotWanted
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import CatalogError
from catalog.measuring import HANDLED
from catalog.queue import Claim
from catalog.subscriptions import holding, shapes, telling
from catalog.subscriptions.holding import Subscription
from catalog.subscriptions.publishing import NOWHERE
from catalog.subscriptions.shapes import STRUCTURED, Happened, Subject
from catalog.subscriptions.tables import Channel
from catalog.subscriptions.telling import Untold
from indexer import handling
from indexer.telling import NOT_SIGNED

log = structlog.get_logger("indexer.subscriptions")

# A change is told within about so long: there is no bell for it, which would cost every writer a little.
POLL_SECONDS = 0.5
AWAY_SECONDS = 1.0
SERVED_AT_ONCE = 16
BATCH = 32
# Objects of one subscription; the events of one object go one after the other.
SENT_AT_ONCE = 4
LEASE = timedelta(seconds=30)
# Nothing is sent later than this after claiming: an answer may take 10 s, and the lease must outlive it.
SENDING_SECONDS_MAX = 15.0
NOT_AN_ADMIN = "Into the catalog's brokers admins alone have events told, and whose this is is none any more."


@dataclass
class _Round:
    """What is claimed for a subscription, and how telling goes."""

    engines: Engines
    subscription: Subscription
    owner: Caller
    until: float
    told: int = 0
    # Of which objects something arrived.
    advanced: set[int] = field(default_factory=set)
    faults: list[tuple[Claim, NotTold]] = field(default_factory=list)

    @property
    def who(self) -> Audience:
        return self.owner.audience

    @property
    def over(self) -> bool:
        """Whether no further event may be sent: the lease would not last, or the receiver does not take them."""
        return asyncio.get_running_loop().time() > self.until or (bool(self.faults) and not self.told)


async def run(engines: Engines, stop: asyncio.Event) -> None:
    """Serve every subscription that has something to be told, until asked to stop."""
    serving: dict[UUID, asyncio.Task[None]] = {}
    crowded = asyncio.Event()
    try:
        while not stop.is_set():
            serving = {one: task for one, task in serving.items() if not task.done()}
            crowded.clear()
            for one in await _due(engines):
                if one in serving:
                    continue
                if len(serving) < SERVED_AT_ONCE:
                    serving[one] = asyncio.create_task(_serve(engines, one, stop, crowded), name=f"subscription {one}")
                else:
                    # Whoever is served has had a turn, and lets others have theirs.
                    crowded.set()
            await handling.pause(stop, POLL_SECONDS)
        # What is being sent is waited for, or it would be sent twice.
        await asyncio.gather(*serving.values())
    finally:
        for task in serving.values():
            task.cancel()


async def _due(engines: Engines) -> list[UUID]:
    try:
        return await telling.due(engines.database, most=2 * SERVED_AT_ONCE)
    except (psycopg.Error, CatalogError) as fault:
        log.warning("waiting for the database", reason=type(fault).__name__)
        await asyncio.sleep(AWAY_SECONDS)
        return []


async def _serve(engines: Engines, subscription_id: UUID, stop: asyncio.Event, crowded: asyncio.Event) -> None:
    try:
        while not stop.is_set() and await step(engines, subscription_id) and not crowded.is_set():
            pass
    except (CatalogError, psycopg.Error, sa.exc.SQLAlchemyError) as fault:
        # Leases bring back what was claimed.
        log.warning("subscription waits", subscription_id=str(subscription_id), reason=type(fault).__name__)
        await asyncio.sleep(AWAY_SECONDS)
    except Exception:
        log.exception("subscription failed", subscription_id=str(subscription_id))
        await asyncio.sleep(AWAY_SECONDS)


async def step(engines: Engines, subscription_id: UUID) -> bool:
    """Tell a subscription of some objects; return whether to go on at once."""
    until = asyncio.get_running_loop().time() + SENDING_SECONDS_MAX
    async with engines.database.transaction() as session:
        found = await holding.with_id(session, subscription_id)
        if found is None or found.stopped_at is not None or (found.retry_at is not None and found.retry_at > now()):
            return False
        # One that failed is asked by one event whether it takes them again.
        most = BATCH if found.failures == 0 else 1
        claims = await queue.claim(session, telling.topic_of(subscription_id), most=most, lease=LEASE)
    if not claims:
        return False
    HANDLED.labels("subscription").inc(len(claims))
    owner = await holding.owner_of(engines.database, subscription_id)
    if owner is None:
        await _stop(engines, found, claims, holding.ENDED)
        return False
    turn = _Round(engines, found, owner, until)
    gate = asyncio.Semaphore(SENT_AT_ONCE)
    handled = await asyncio.gather(*(_within(gate, turn, claim) for claim in claims), return_exceptions=True)
    for fault in handled:
        if isinstance(fault, BaseException):
            raise fault
    return await _conclude(turn)


async def _within(gate: asyncio.Semaphore, turn: _Round, claim: Claim) -> None:
    async with gate:
        if turn.over:
            await _release(turn, claim)
            return
        try:
            await _tell(turn, claim)
        except NotTold as fault:
            turn.faults.append((claim, fault))
        except Exception as fault:
            if handling.is_away(fault):
                raise
            # Nobody foresaw this: the others go on, and it is set aside at last.
            log.exception("event not told", subscription_id=str(turn.subscription.id), subject=claim.subject)
            await handling.later(turn.engines, claim, f"Telling failed: {type(fault).__name__}.")


async def _tell(turn: _Round, claim: Claim) -> None:
    """Tell all that is to be told of one object, oldest first; raises NotTold with what did not arrive still there."""
    engines, mine = turn.engines, turn.subscription.id
    object_id = UUID(claim.subject)
    while True:
        async with engines.database.transaction() as session:
            untold = await telling.untold(session, mine, object_id, turn.who, engines.alerting.keys)
            if untold.subject is None:
                await telling.finish(session, mine, claim)
                return
        if not await _send_all(turn, claim, untold, untold.subject):
            await _release(turn, claim)
            return
        if not untold.more:
            async with engines.database.transaction() as session:
                await telling.finish(session, mine, claim)
            return


async def _send_all(turn: _Round, claim: Claim, untold: Untold, subject: Subject) -> bool:
    """Send these events and note each as told once it has arrived; return whether there was time for all."""
    wanted, seen = turn.subscription.wish.types, untold.seen
    for event in untold.events:
        if event.type is not None and (not wanted or event.type in wanted):
            if turn.over:
                return False
            await _send(turn, event, subject)
            turn.told += 1
            turn.advanced.add(claim.id)
        async with turn.engines.database.transaction() as session:
            await telling.advance(session, turn.subscription.id, UUID(claim.subject), seen, event.number)
        seen = event.number + 1
    return True


async def _send(turn: _Round, event: Happened, subject: Subject) -> None:
    engines, subscription = turn.engines, turn.subscription
    told, channel = shapes.told(event, subject, address=engines.alerting.address), subscription.wish.channel
    if channel is not Channel.WEBHOOK:
        if not holding.may_publish(turn.owner):
            raise NotWanted(NOT_AN_ADMIN)
        publisher = engines.publishers.get(channel)
        if publisher is None:
            raise NotTold(NOWHERE[channel])
        await publisher.publish(subscription.wish.address, told)
        return
    if not subscription.secret_lives:
        raise NotTold(NOT_SIGNED)
    keys, secret_id, body = engines.alerting.keys, subscription.secret_id, told.structured
    headers = webhooks.headers_of(keys, secret_id, event.id, body, now(), media_type=STRUCTURED)
    await engines.alerting.webhooks.post(subscription.wish.address, body, headers)


async def _conclude(turn: _Round) -> bool:
    """Keep how it went; return whether to go on at once."""
    engines, mine = turn.engines, turn.subscription.id
    unwanted = next((fault for _, fault in turn.faults if isinstance(fault, NotWanted)), None)
    if unwanted is not None:
        await _stop(engines, turn.subscription, [claim for claim, _ in turn.faults], unwanted.detail)
        return False
    async with engines.database.transaction() as session:
        if turn.told:
            await telling.well(session, mine)
            for claim, fault in turn.faults:
                await telling.later(session, claim, fault.detail, progress=claim.id in turn.advanced)
            return True
        if not turn.faults:
            return True
        reason = turn.faults[0][1].detail
        again = await telling.failed(session, mine, reason)
        for claim, _ in turn.faults:
            await telling.release(session, claim)
    note = log.warning if again else log.error
    note("subscription is told later" if again else "subscription is told no more", id=str(mine), reason=reason)
    return False


async def _release(turn: _Round, claim: Claim) -> None:
    async with turn.engines.database.transaction() as session:
        await telling.release(session, claim)


async def _stop(engines: Engines, one: Subscription, claims: Sequence[Claim], reason: str) -> None:
    log.warning("subscription is told no more", id=str(one.id), reason=reason)
    async with engines.database.transaction() as session:
        await telling.stop(session, one.id, reason)
        for claim in claims:
            await telling.release(session, claim)

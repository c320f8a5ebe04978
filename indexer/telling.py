"""Send what fits saved searches: webhooks and mails, and ask people whether an address is theirs.

No transaction is open while others are waited for. What does not arrive is sent again later, and given up at last.
"""

from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.alerts import addresses, mail, saved, telling, topics, webhooks
from catalog.alerts.addresses import Address
from catalog.alerts.saved import Saved
from catalog.alerts.tables import Channel, Rhythm
from catalog.alerts.telling import MAIL_PAUSE, Message
from catalog.alerts.webhooks import NotTold, NotWanted
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import NotFound
from catalog.queue import Claim
from indexer import handling

log = structlog.get_logger("indexer.telling")

BATCH = 32
SENT_AT_ONCE = 8
# All of a batch are sent within it, even if each of them waits as long as it may.
LEASE = timedelta(minutes=3)
DAY = timedelta(days=1)
NOT_SIGNED = "The token with which the secret was made has ended, and what it signs may be anybody's: make another one."
MOST = {Channel.WEBHOOK: webhooks.OBJECTS_AT_ONCE, Channel.MAIL: 1_000}


async def step(engines: Engines) -> int:
    """Claim a batch of searches of which something is to be sent, and send it; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, topics.TELL, most=BATCH, lease=LEASE)
    await handling.at_once(engines, claims, _tell, most=SENT_AT_ONCE, log=log, doing="Telling the owner")
    return len(claims)


async def _tell(engines: Engines, claim: Claim) -> None:
    search_id = UUID(claim.subject)
    async with engines.database.transaction() as session:
        found = await saved.with_ids(session, [search_id])
        if not found or found[0].channel is Channel.FEED or found[0].stopped_at is not None:
            await queue.finish(session, [claim])
            return
        (search,) = found
        wait = _wait(search)
        if wait > timedelta(0):
            await queue.postpone(session, claim, reason=search.fault or "mails are not sent more often", after=wait)
            return
        if search.channel is Channel.MAIL and not (await _address(engines, search, session)):
            # Whoever reads it has not answered yet, or has refused; their answer has it looked at again.
            await queue.finish(session, [claim])
            return
    owner = await saved.owner_of(engines.database, search_id)
    async with engines.database.transaction() as session:
        if owner is None:
            await queue.finish(session, [claim])
            return
        until = telling.next_digest(now()) - DAY if search.rhythm is Rhythm.DAILY else now()
        message = await telling.gather(session, search_id, owner.audience, until=until, most=MOST[search.channel])
        if not message.told:
            await _next(session, claim, search, full=False)
            return
    try:
        await _send(engines, search, message)
    except NotTold as fault:
        await _failed(engines, claim, search, fault)
        return
    except Exception as fault:
        # Of what its owner wrote, a message came that nobody can write: that is the owner's to know and to mend.
        log.exception("message not written", search_id=claim.subject)
        await _failed(engines, claim, search, NotTold(f"The message cannot be written: {type(fault).__name__}."))
        return
    async with engines.database.transaction() as session:
        await telling.sent(session, search_id, message)
        await _next(session, claim, search, full=len(message.told) == MOST[search.channel])
    log.info("owner told", search_id=claim.subject, channel=search.channel, objects=len(message.told))


async def _next(session: AsyncSession, claim: Claim, search: Saved, *, full: bool) -> None:
    """Look again where there is more to send: at once, or with the next digest."""
    if not await telling.any_left(session, search.id):
        await queue.finish(session, [claim])
        return
    moment = now()
    waits = search.rhythm is Rhythm.DAILY and not full
    after = telling.next_digest(moment) - moment if waits else timedelta(0)
    await queue.again(session, claim, topics.TELL, after=after)


def _wait(search: Saved) -> timedelta:
    """Return how long nothing may be sent: after a failure, and between mails."""
    until = [now()]
    if search.retry_at is not None:
        until.append(search.retry_at)
    if search.channel is Channel.MAIL and search.rhythm is Rhythm.AT_ONCE and search.told_at is not None:
        until.append(search.told_at + MAIL_PAUSE)
    return max(until) - now()


async def _address(engines: Engines, search: Saved, session: AsyncSession) -> bool:
    """Whether mail may go to the address of a search."""
    if engines.alerting.mailer is None or search.address is None:
        return False
    try:
        known = await addresses.of(session, search.owner_id, search.address)
    except NotFound:
        return False
    return known.confirmed and not known.refused


async def _send(engines: Engines, search: Saved, message: Message) -> None:
    alerting, moment = engines.alerting, now()
    unsubscribe, to = alerting.unsubscribe_address(search.id), search.address or ""
    if search.channel is Channel.WEBHOOK:
        if not search.secret_lives:
            raise NotTold(NOT_SIGNED)
        body = webhooks.body_of(search, message.told, address=alerting.address, unsubscribe=unsubscribe, moment=moment)
        headers = webhooks.headers_of(alerting.keys, search.secret_id, message.id, body, moment)
        await alerting.webhooks.post(to, body, headers)
    elif alerting.mailer is not None:
        written = mail.alert(
            alerting.mailer.head,
            to,
            search,
            message.told,
            unsubscribe=unsubscribe,
            message_id=message.id,
            moment=moment,
        )
        await alerting.mailer.send(written)


async def _failed(engines: Engines, claim: Claim, search: Saved, fault: NotTold) -> None:
    async with engines.database.transaction() as session:
        after = await telling.failed(session, search.id, fault.detail, for_good=isinstance(fault, NotWanted))
        if after is None:
            log.error("owner is told no more", search_id=claim.subject, reason=fault.detail)
            # It has stopped until its owner changes it, which queues it anew; an operator has nothing to do.
            await queue.finish(session, [claim])
        else:
            log.warning("owner is told later", search_id=claim.subject, reason=fault.detail)
            await queue.postpone(session, claim, reason=fault.detail, after=after)


async def confirm_step(engines: Engines) -> int:
    """Claim a batch of addresses and ask whoever reads them whether they want mail; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, topics.CONFIRM, most=BATCH, lease=LEASE * BATCH)
    for claim in claims:
        await handling.alone(engines, claim, _ask(engines, claim), log=log, doing="Asking for an address")
    return len(claims)


async def _ask(engines: Engines, claim: Claim) -> None:
    mailer = engines.alerting.mailer
    async with engines.database.transaction() as session:
        known = await addresses.find(session, UUID(claim.subject))
    if mailer is not None and not known.confirmed and not known.refused:
        try:
            asked = mail.confirmation(
                mailer.head,
                known.address,
                known.principal,
                confirm=engines.alerting.confirm_address(known.id),
                message_id=uuid7(),
                moment=now(),
            )
            await mailer.send(asked)
        except NotTold as fault:
            await _asked_later(engines, claim, known, fault)
            return
    async with engines.database.transaction() as session:
        if claim.attempts > 1:
            await addresses.note_fault(session, known, None)
        await queue.finish(session, [claim])


async def _asked_later(engines: Engines, claim: Claim, known: Address, fault: NotTold) -> None:
    async with engines.database.transaction() as session:
        await addresses.note_fault(session, known, f"The address could not be asked: {fault.detail}")
        if claim.attempts > len(telling.RETRIES):
            log.error("address is asked no more", address_id=claim.subject, reason=fault.detail)
            await queue.finish(session, [claim])
        else:
            log.warning("address is asked later", address_id=claim.subject, reason=fault.detail)
            await queue.postpone(session, claim, reason=fault.detail, after=telling.RETRIES[claim.attempts - 1])

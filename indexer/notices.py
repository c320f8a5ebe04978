"""Send notices of stores that fail or work again: by mail to those who look after them, and as webhooks.

No transaction is open while others are waited for. Who gets mail is asked once more just before it is sent.
"""

from datetime import timedelta
from uuid import UUID

import structlog

from catalog import queue
from catalog.alerts import mail, noticed, notices, topics, webhooks
from catalog.alerts.noticed import NoticeView
from catalog.alerts.tables import Channel
from catalog.alerts.webhooks import NotTold, NotWanted
from catalog.database import now
from catalog.engines import Engines
from catalog.queue import Claim
from indexer import handling

log = structlog.get_logger("indexer.notices")

BATCH = 16
SENT_AT_ONCE = 8
# All of a batch are sent within it, even if each of them waits as long as it may.
LEASE = timedelta(minutes=3)


async def step(engines: Engines) -> int:
    """Claim a batch of notices and send them; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, topics.NOTICE, most=BATCH, lease=LEASE)
    await handling.at_once(engines, claims, _tell, most=SENT_AT_ONCE, log=log, doing="Telling of a store")
    return len(claims)


async def _tell(engines: Engines, claim: Claim) -> None:
    async with engines.database.transaction() as session:
        notice = await notices.find(session, UUID(claim.subject))
    if notice is None:
        async with engines.database.transaction() as session:
            await queue.finish(session, [claim])
        return
    try:
        if notice.channel is Channel.MAIL:
            told = await _mail(engines, notice)
        else:
            told = await _post(engines, notice)
    except NotTold as fault:
        await _failed(engines, claim, notice, fault)
        return
    async with engines.database.transaction() as session:
        if told:
            await notices.sent(session, notice)
        await queue.finish(session, [claim])
    log.info("store's state told", backend=notice.backend, state=notice.state, channel=notice.channel, told=told)


async def _mail(engines: Engines, notice: NoticeView) -> bool:
    """Send it to who is still an admin there and still wants mail; tell whether anybody was."""
    alerting = engines.alerting
    async with engines.database.transaction() as session:
        known = await notices.receivers(session, notice.organization)
    to = next((one for one in known if one.principal_id == notice.principal_id), None)
    if alerting.mailer is None or to is None:
        return False
    end = alerting.confirm_address(to.address_id)
    await alerting.mailer.send(mail.notice(alerting.mailer.head, to.address, notice, end=end, moment=now()))
    return True


async def _post(engines: Engines, notice: NoticeView) -> bool:
    """Post it where the organization wants notices now; tell whether that is anywhere."""
    alerting, moment = engines.alerting, now()
    if notice.organization is None:
        return False
    async with engines.database.transaction() as session:
        webhook = await notices.webhook_of(session, notice.organization)
    if webhook is None or webhook.stopped_at is not None:
        return False
    body = noticed.body_of(notice, address=alerting.address, moment=moment)
    headers = webhooks.headers_of(alerting.keys, webhook.secret_id, notice.id, body, moment)
    await alerting.webhooks.post(webhook.address, body, headers)
    return True


async def _failed(engines: Engines, claim: Claim, notice: NoticeView, fault: NotTold) -> None:
    async with engines.database.transaction() as session:
        after = await notices.failed(session, notice, fault.detail, for_good=isinstance(fault, NotWanted))
        if after is None:
            log.error("store's state is told no more", backend=notice.backend, reason=fault.detail)
            await queue.park(session, claim, reason=fault.detail)
        else:
            log.warning("store's state is told later", backend=notice.backend, reason=fault.detail)
            await queue.postpone(session, claim, reason=fault.detail, after=after)

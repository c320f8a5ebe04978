"""Sending what fits to where its owner wants it: as a message whose parts stay together, repeated until it arrives.

Who may see what is asked of the database once more, just before a message is made.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.access.audience import Audience
from catalog.alerts import matches, saved
from catalog.alerts.keys import Keys
from catalog.alerts.mail import Mailer
from catalog.alerts.matches import Told
from catalog.alerts.saved import Saved
from catalog.alerts.tables import Alert, SavedSearch
from catalog.alerts.webhooks import Webhooks
from catalog.errors import NotFound

# How long after each failure it is tried again: some 30 hours in all, then nothing is sent until the owner says so.
RETRIES = (
    *(timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10), timedelta(minutes=30)),
    *(timedelta(hours=2), timedelta(hours=5), timedelta(hours=10), timedelta(hours=14)),
)
# Mails at once are no more than these apart; what comes in between comes together.
MAIL_PAUSE = timedelta(minutes=10)
FAULT_CHARS_MAX = 500
DIGEST_HOUR_UTC = 6

_alerts = SQLModel.metadata.tables[Alert.__tablename__]
_searches = SQLModel.metadata.tables[SavedSearch.__tablename__]

_GATHER = sa.text(
    """
    UPDATE saved_alert SET batch = :batch FROM (
        SELECT object_id FROM saved_alert WHERE search_id = :search AND seen_at IS NOT NULL AND sent_at IS NULL
        AND seen_at < :until ORDER BY seen_at, object_id LIMIT :most
    ) AS unsent
    WHERE saved_alert.search_id = :search AND saved_alert.object_id = unsent.object_id
    """
)


@dataclass(frozen=True, slots=True)
class Alerting:
    """What telling needs beside the database."""

    keys: Keys
    webhooks: Webhooks
    # None: no mail is sent.
    mailer: Mailer | None
    # Where the catalog is.
    address: str

    def unsubscribe_address(self, search_id: UUID) -> str:
        """Return the address that ends what is sent for a search."""
        return f"{self.address}/saved-searches/{search_id}/unsubscribe?key={self.keys.to_unsubscribe(search_id)}"

    def confirm_address(self, address_id: UUID) -> str:
        """Return the address at which whoever reads a mail address says whether they want mail."""
        return f"{self.address}/mail-addresses/{address_id}?key={self.keys.to_confirm(address_id)}"

    async def close(self) -> None:
        """Close every connection."""
        await self.webhooks.close()


def next_digest(moment: datetime) -> datetime:
    """Return when the next digest is due."""
    today = moment.replace(hour=DIGEST_HOUR_UTC, minute=0, second=0, microsecond=0)
    return today if today > moment else today + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Message:
    """What goes together; repeated, it has the same id."""

    id: UUID
    told: list[Told]


async def gather(session: AsyncSession, search_id: UUID, audience: Audience, *, until: datetime, most: int) -> Message:
    """Return the message that is next: the one that did not arrive, else what came until then and was not sent.

    Empty where there is none. What the audience may not see any more is taken out, and noted anew when it is changed.
    """
    mine = sa.and_(_alerts.c.search_id == search_id, _alerts.c.sent_at.is_(None))
    begun = sa.select(_alerts.c.batch).where(mine, _alerts.c.batch.is_not(None)).limit(1)
    while True:
        batch: UUID | None = (await session.execute(begun)).scalar_one_or_none()
        new = batch is None
        if batch is None:
            batch = uuid7()
            await session.execute(_GATHER, {"search": search_id, "batch": batch, "until": until, "most": most})
        in_it = sa.and_(mine, _alerts.c.batch == batch)
        found = await matches.told(session, in_it, audience)
        hidden = _alerts.c.object_id.not_in([one.id for one in found])
        taken = await session.execute(_alerts.delete().where(in_it, hidden).returning(_alerts.c.object_id))
        if found or (new and not taken.all()):
            return Message(batch, found)


async def any_left(session: AsyncSession, search_id: UUID) -> bool:
    """Whether there is something that was not sent."""
    left = sa.select(_alerts.c.object_id).where(
        _alerts.c.search_id == search_id, _alerts.c.seen_at.is_not(None), _alerts.c.sent_at.is_(None)
    )
    return (await session.execute(left.limit(1))).first() is not None


async def sent(session: AsyncSession, search_id: UUID, message: Message) -> None:
    """Take note that a message arrived."""
    mine = _alerts.c.search_id == search_id
    await session.execute(
        _alerts.update().where(mine, _alerts.c.batch == message.id).values(sent_at=sa.func.now(), batch=None)
    )
    well: dict[str, Any] = {"told_at": sa.func.now(), "failures": 0, "retry_at": None, "fault": None}
    await session.execute(_searches.update().where(_searches.c.id == search_id).values(**well))


async def failed(session: AsyncSession, search_id: UUID, reason: str, *, for_good: bool) -> timedelta | None:
    """Take note that a message did not arrive; return when to try again, None where that was the last time."""
    mine = _searches.c.id == search_id
    row = (await session.execute(sa.select(_searches.c.failures).where(mine))).one_or_none()
    failures = 0 if row is None else row.failures
    after = None if for_good or failures >= len(RETRIES) else RETRIES[failures]
    stopped = {"stopped_at": sa.func.now()} if after is None else {"retry_at": sa.func.now() + after}
    told = {"failures": failures + 1, "fault": reason[:FAULT_CHARS_MAX]}
    await session.execute(_searches.update().where(mine).values(**told, **stopped))
    return after


async def stoppable(session: AsyncSession, search_id: UUID) -> Saved:
    """Return a search, whoever owns it, to whoever has the key that ends its messages; raises NotFound."""
    found = await saved.with_ids(session, [search_id])
    if not found:
        raise NotFound("There is no such saved search any more.")
    return found[0]


async def stop(session: AsyncSession, search_id: UUID, reason: str) -> None:
    """Send nothing more for a search until its owner says so; its feed goes on."""
    await session.execute(
        _searches.update().where(_searches.c.id == search_id).values(stopped_at=sa.func.now(), fault=reason)
    )

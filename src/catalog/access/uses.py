"""When each token was last used: known to some minutes, and written by the process in batches.

A write for every request would cost more than the request. A token that was used within `KNOWN_TO` is not noted again,
and what was noted is written together; a process that is killed loses what it noted within `WRITTEN_EVERY_SECONDS`.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.principals import Caller
from catalog.database import Database, now

log = structlog.get_logger("catalog.access")

KNOWN_TO = timedelta(minutes=5)
WRITTEN_EVERY_SECONDS = 2.0
# Some 200 bytes each. More wait only while the database is away, when no token is found good either.
WAITING_MAX = 20_000

# In one order, so that two processes that write the same tokens never wait for each other in a circle; what another
# one writes just now need not be written twice.
_WRITE = sa.text(
    """
    UPDATE token SET last_used_at = used.at
    FROM unnest(:ids, :moments) AS used (id, at)
    WHERE token.id = used.id AND (token.last_used_at IS NULL OR token.last_used_at < used.at)
    AND token.id IN (SELECT id FROM token WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
    """
).bindparams(sa.bindparam("ids", type_=ARRAY(sa.Uuid)), sa.bindparam("moments", type_=ARRAY(TIMESTAMP(timezone=True))))


class Uses:
    """Which tokens this process saw used and has not written yet. Run `keep` beside the requests."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[UUID, datetime] = {}

    def note(self, caller: Caller) -> None:
        """Take note that the caller's token was used, unless that is known; costs a microsecond."""
        if caller.held is None:
            return
        at = now()
        known = caller.last_used_at
        if (known is None or known < at - KNOWN_TO) and len(self._waiting) < WAITING_MAX:
            self._waiting[caller.held.id] = at

    async def keep(self, stop: asyncio.Event) -> None:
        """Write what was noted every few seconds, and once more when asked to stop."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), WRITTEN_EVERY_SECONDS)
            taken, self._waiting = self._waiting, {}
            if not taken:
                continue
            try:
                async with self._database.transaction() as session:
                    await write(session, taken)
            except (sa.exc.SQLAlchemyError, psycopg.Error) as fault:
                # A later use tells the same: nothing is kept for it.
                log.warning("last uses of tokens not written", tokens=len(taken), reason=type(fault).__name__)


async def write(session: AsyncSession, used: dict[UUID, datetime]) -> None:
    """Write when tokens were used; a moment before the one that is known changes nothing."""
    await session.execute(_WRITE, {"ids": list(used), "moments": list(used.values())})

"""Events out of a broker, beside what comes over HTTP: what stores publish into a stream of NATS or a queue of AMQP.

A message is acknowledged when what it says is committed to the queue, and never before: whatever ends in between, the
broker sends it again, which does no harm. Brokers differ in how one connects, takes, acknowledges and refuses; all
else is here.
"""

import asyncio
import importlib.util
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from catalog.engines import Engines
from catalog.errors import CatalogError
from catalog.measuring import LANE_FAULTS
from catalog.objects import hearing
from catalog.settings import PREFIX, Settings, WrongSettings
from catalog.storage.dialects import streamed
from indexer import handling

log = structlog.get_logger("indexer.streams")

# How many messages are in our hands at a time.
AT_ONCE = 100
# How long a look for messages lasts; also how soon a stop is heeded.
WAIT_SECONDS = 1.0
AWAY_SECONDS = 1.0
# What cannot be kept is given back after a pause, longer each time: brokers may count how often, and drop it at last.
# Less than the 30 s after which NATS sends again what was not answered.
PAUSE_SECONDS_MAX = 20.0
# What each broker's library is imported as, and the extra that has it.
_LIBRARIES = {"nats": "nats", "amqp": "aio_pika"}


class Ended(Exception):
    """The connection has ended, or what messages were taken from was removed."""


class Message(Protocol):
    """A message in our hands."""

    @property
    def body(self) -> bytes:
        """What somebody published."""

    async def acknowledge(self) -> None:
        """Have the broker forget it."""

    async def refuse(self) -> None:
        """Have the broker send it again, to us or to another indexer."""


class Taking(Protocol):
    """A connection over which messages come."""

    async def next_batch(self) -> Sequence[Message]:
        """Return up to AT_ONCE messages, none when WAIT_SECONDS pass without any; raises when the connection ended."""


class Source(Protocol):
    """Where messages wait for us."""

    @property
    def broker(self) -> str:
        """What the log, the metrics and unreadable messages call it."""

    def opened(self) -> AbstractAsyncContextManager[Taking]:
        """Connect; what is not answered when the block ends comes again."""

    def meaning_of(self, fault: Exception) -> str:
        """Return what a fault means, without its text, which may hold a password."""


def must_be_installed(settings: Settings) -> None:
    """Raise WrongSettings where a broker is asked for and what talks to it is not there."""
    asked = {
        "nats": ("EVENTS_URL", "SUBSCRIPTIONS_URL", settings.published_url),
        "amqp": ("EVENTS_AMQP_URL", "SUBSCRIPTIONS_AMQP_URL", settings.amqp_published_url),
    }
    for extra, (events, subscriptions, url) in asked.items():
        if url is not None and importlib.util.find_spec(_LIBRARIES[extra]) is None:
            raise WrongSettings(
                f"{PREFIX}{events}, {PREFIX}{subscriptions}: need the packages of requirements/{extra}.txt "
                f"(the extra `{extra}`)."
            )


async def run(engines: Engines, source: Source, stop: asyncio.Event) -> None:
    """Take messages until asked to stop, through every absence of the broker."""
    while not stop.is_set():
        try:
            async with source.opened() as taking:
                log.info("stream open", broker=source.broker)
                await _take_until(engines, source, taking, stop)
        except asyncio.CancelledError:
            raise
        except Exception as fault:  # ruff: ignore[BLE001] - the library's and the network's, and all of them pass.
            LANE_FAULTS.labels(source.broker).inc()
            log.warning("stream away", broker=source.broker, reason=source.meaning_of(fault))
            await handling.pause(stop, AWAY_SECONDS)


async def _take_until(engines: Engines, source: Source, taking: Taking, stop: asyncio.Event) -> None:
    pause = AWAY_SECONDS
    while not stop.is_set():
        messages = await taking.next_batch()
        kept = await asyncio.gather(*(_kept(engines, source, message) for message in messages))
        refused = [message for message, done in zip(messages, kept, strict=True) if not done]
        if refused:
            LANE_FAULTS.labels(source.broker).inc()
            await handling.pause(stop, pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)
            await asyncio.gather(*(message.refuse() for message in refused))
        elif messages:
            pause = AWAY_SECONDS


async def _kept(engines: Engines, source: Source, message: Message) -> bool:
    heard = hearing.read(source.broker, message.body, lambda: streamed.parse(message.body))
    try:
        await hearing.keep(engines.database, engines.notes, engines.placement, heard)
    except (CatalogError, SQLAlchemyError, psycopg.Error, OSError) as fault:
        # Not acknowledged, it comes again.
        log.warning("message waits", broker=source.broker, reason=type(fault).__name__)
        return False
    await message.acknowledge()
    return True

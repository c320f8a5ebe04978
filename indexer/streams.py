"""Events out of a NATS stream, beside what comes over HTTP: what a store publishes there, in S3's event records.

A message is acknowledged when what it says is committed to the queue, and never before: whatever ends in between, the
server sends it again, which does no harm. The stream is the operator's, with the consumer that we make in it.
"""

import asyncio
import importlib.util
from typing import Any

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from catalog.engines import Engines
from catalog.errors import CatalogError
from catalog.objects import hearing
from catalog.settings import PREFIX, Events, WrongSettings
from catalog.storage.dialects import s3

log = structlog.get_logger("indexer.streams")

# What the server remembers us by: several indexers share it, and each message goes to one of them.
CONSUMER = "science-catalog"
AT_ONCE = 100
# How long one request for messages stays open; also how soon a stop is heeded.
WAIT_SECONDS = 1.0
AWAY_SECONDS = 1.0


def must_be_installed() -> None:
    """Raise WrongSettings where a stream is asked for and what talks to one is not there."""
    if importlib.util.find_spec("nats") is None:
        raise WrongSettings(
            f"{PREFIX}EVENTS_URL, {PREFIX}SUBSCRIPTIONS_URL: need the packages of requirements/nats.txt "
            "(the extra `nats`)."
        )


async def run(engines: Engines, events: Events, stop: asyncio.Event) -> None:
    """Take messages until asked to stop, through every absence of the server."""
    while not stop.is_set():
        try:
            await _take_until(engines, events, stop)
        except asyncio.CancelledError:
            raise
        except Exception as fault:  # ruff: ignore[BLE001] - the library's and the network's, and all of them pass.
            # Its text may hold the address, which has a password in it.
            log.warning("stream away", reason=type(fault).__name__)
            await asyncio.sleep(AWAY_SECONDS)


async def _take_until(engines: Engines, events: Events, stop: asyncio.Event) -> None:
    # Only where it is used: it is no part of every installation.
    import nats  # ruff: ignore[PLC0415]
    from nats.errors import TimeoutError as NothingCame  # ruff: ignore[PLC0415]

    async def said(fault: Exception) -> None:
        log.debug("stream", reason=type(fault).__name__)

    # Connecting anew is our own loop's: then the subscription is made anew as well.
    client = await nats.connect(events.url, allow_reconnect=False, connect_timeout=5, error_cb=said)
    try:
        pulling = await client.jetstream().pull_subscribe(events.subject, durable=CONSUMER)
        log.info("stream open", subject=events.subject)
        while not stop.is_set():
            try:
                messages = await pulling.fetch(AT_ONCE, timeout=WAIT_SECONDS)
            except NothingCame:
                if client.is_closed:
                    return
                continue
            await asyncio.gather(*(_take(engines, message) for message in messages))
    finally:
        await client.close()


async def _take(engines: Engines, message: Any) -> None:
    heard = hearing.read("nats", message.data, lambda: s3.parse(message.data))
    try:
        await hearing.keep(engines.database, engines.notes, engines.placement, heard)
    except (CatalogError, SQLAlchemyError, psycopg.Error, OSError) as fault:
        # Not acknowledged, it comes again.
        log.warning("message waits", reason=type(fault).__name__)
        await message.nak(delay=AWAY_SECONDS)
        return
    await message.ack()

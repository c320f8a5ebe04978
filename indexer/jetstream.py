"""Messages out of a JetStream stream of NATS. The stream is the operator's, with the consumer that we make in it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from catalog.settings import Events
from catalog.subscriptions.streams import ONCE
from indexer.streams import AT_ONCE, WAIT_SECONDS, Ended

# What the server remembers us by: several indexers share it, and each message goes to one of them.
CONSUMER = "science-catalog"
_MEANINGS = {
    "NoServersError": "nobody answers there",
    "Ended": "the connection broke",
    "NotFoundError": "no stream of the server has this subject",
}


class _Published:
    def __init__(self, told: Any) -> None:
        self._told = told

    @property
    def body(self) -> bytes:
        body: bytes = self._told.data
        return body

    async def acknowledge(self) -> None:
        await self._told.ack()

    async def refuse(self) -> None:
        await self._told.nak()


class _Pulling:
    def __init__(self, client: Any, pulling: Any) -> None:
        self._client = client
        self._pulling = pulling

    async def next_batch(self) -> Sequence[_Published]:
        from nats.errors import TimeoutError as NothingCame  # ruff: ignore[PLC0415]

        try:
            return [_Published(told) for told in await self._pulling.fetch(AT_ONCE, timeout=WAIT_SECONDS)]
        except NothingCame:
            if self._client.is_closed:
                raise Ended from None
            return []


class Stream:
    """A subject of a stream."""

    broker = "nats"

    def __init__(self, events: Events) -> None:
        """Take what is published under the subject of these."""
        self._events = events

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[_Pulling]:
        """Connect, once: connecting anew is the indexer's, and then the subscription is made anew as well."""
        # Only where it is used: it is no part of every installation.
        import nats  # ruff: ignore[PLC0415]

        async def said(_: Exception) -> None:
            """Faults are met where messages are taken."""

        client = await nats.connect(self._events.url, error_cb=said, **ONCE)
        try:
            pulling = await client.jetstream().pull_subscribe(self._events.subject, durable=CONSUMER)
            yield _Pulling(client, pulling)
        finally:
            await client.close()

    def meaning_of(self, fault: Exception) -> str:
        """Return what a fault of the library means."""
        if "Authorization Violation" in str(fault):
            return "the server refuses this name or password"
        return _MEANINGS.get(type(fault).__name__, type(fault).__name__)

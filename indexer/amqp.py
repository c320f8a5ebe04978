"""Messages out of a queue of AMQP 0-9-1, such as RabbitMQ's. The queue is the operator's, with what is bound to it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from catalog import amqp
from catalog.settings import Events
from indexer.streams import AT_ONCE, WAIT_SECONDS, Ended

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage


class _Delivery:
    def __init__(self, told: "AbstractIncomingMessage") -> None:
        self._told = told

    @property
    def body(self) -> bytes:
        return self._told.body

    async def acknowledge(self) -> None:
        await self._told.ack()

    async def refuse(self) -> None:
        await self._told.nack(requeue=True)


class _Deliveries:
    """What has arrived waits here, never more than the server may send ahead."""

    def __init__(self, channel: "AbstractChannel") -> None:
        self._channel = channel
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._cancelled = False

    async def begin(self, queue: str) -> None:
        await self._channel.set_qos(prefetch_count=AT_ONCE)
        under = await self._channel.get_underlay_channel()
        under.on_consumer_cancel_callbacks.add(self._on_cancelled)
        # Asked for and not made: how long it lasts and what leads into it is for the operator to say.
        found = await self._channel.get_queue(queue, ensure=True)
        await found.consume(self._arrived.put)

    def _on_cancelled(self, _: object) -> None:
        self._cancelled = True

    async def next_batch(self) -> Sequence[_Delivery]:
        try:
            arrived = [await asyncio.wait_for(self._arrived.get(), WAIT_SECONDS)]
        except TimeoutError:
            if self._cancelled or self._channel.is_closed:
                raise Ended from None
            return []
        while not self._arrived.empty() and len(arrived) < AT_ONCE:
            arrived.append(self._arrived.get_nowait())
        return [_Delivery(told) for told in arrived]


class Queue:
    """A queue that several indexers may share: each message goes to one of them."""

    broker = "amqp"

    def __init__(self, events: Events) -> None:
        """Take what is in the queue that these name."""
        self._events = events

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[_Deliveries]:
        """Connect, once: connecting anew is the indexer's."""
        connection = await amqp.connected(self._events.url)
        try:
            taking = _Deliveries(await connection.channel(publisher_confirms=False))
            await taking.begin(self._events.subject)
            yield taking
        finally:
            await connection.close()

    def meaning_of(self, fault: Exception) -> str:
        """Return what a fault of the library means."""
        return "the queue was removed, or the connection broke" if isinstance(fault, Ended) else amqp.meaning_of(fault)

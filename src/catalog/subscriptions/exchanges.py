"""The way into AMQP 0-9-1: an event is told when the server says that a queue has it, by a publisher confirm.

Exchanges, queues and bindings are the operator's. An event is sent in the binary mode of CloudEvents: its data is the
body, its attributes are headers as CloudEvents' binding of AMQP 1.0 names them, which RabbitMQ hands to receivers
that speak 1.0 as application properties. The library is an extra, and imported where something is published.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from catalog import amqp
from catalog.alerts.webhooks import NotTold
from catalog.subscriptions.publishing import ANSWER_SECONDS_MAX
from catalog.subscriptions.shapes import JSON, Told

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection

# CloudEvents, AMQP protocol binding 1.0.2, section 3.1.3.1.
PREFIX = "cloudEvents:"
# An exchange, never the nameless one, which leads into any queue by its name, and none that the server makes for
# itself; and a routing key without wildcards, which only bindings have. Each takes 255 bytes (AMQP 0-9-1, 4.2.5.3).
ADDRESS = re.compile(r"(?!amq\.)[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}/[A-Za-z0-9_.:-]{1,200}")


class Exchanges:
    """One connection, with a channel for each event that is on its way.

    A channel ends with what it was wrongly asked for, and tells what came back by the message's id: two that share one
    would suffer for each other.
    """

    wrong = "This is no place to publish to: write an exchange, not one of the server's own, a slash and a routing key."
    example = "catalog/changes"

    def __init__(self, url: str) -> None:
        """Publish to the server at an address, which may hold a password."""
        self._url = url
        self._connection: AbstractConnection | None = None
        self._connecting = asyncio.Lock()
        self._idle: list[AbstractChannel] = []

    def takes(self, address: str) -> bool:
        """Whether this is an exchange and a routing key."""
        return ADDRESS.fullmatch(address) is not None

    async def publish(self, address: str, told: Told) -> None:
        """Publish an event under `EXCHANGE/ROUTING.KEY`; raises NotTold, also where it reaches no queue."""
        import aio_pika  # ruff: ignore[PLC0415] - no part of every installation.

        exchange, _, key = address.partition("/")
        message = aio_pika.Message(
            told.data,
            content_type=JSON,
            headers={f"{PREFIX}{name}": value for name, value in told.attributes.items()},
            # As long as a durable queue lasts.
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(told.id),
            app_id=amqp.NAME,
        )
        try:
            async with asyncio.timeout(2 * ANSWER_SECONDS_MAX), self._channel() as channel:
                there = await channel.get_exchange(exchange, ensure=False)
                await there.publish(message, key, mandatory=True, timeout=ANSWER_SECONDS_MAX)
        except asyncio.CancelledError:
            raise
        except Exception as fault:  # ruff: ignore[BLE001] - all of them pass.
            # The library's and the network's: none of their texts is told, which may hold the address.
            raise NotTold(f"No queue of the server took it: {amqp.meaning_of(fault)}.") from None

    @asynccontextmanager
    async def _channel(self) -> AsyncGenerator["AbstractChannel"]:
        connection = await self._connected()
        while self._idle and self._idle[-1].is_closed:
            self._idle.pop()
        channel = self._idle.pop() if self._idle else await connection.channel(on_return_raises=True)
        try:
            yield channel
        except BaseException:
            # What is still to come over it is nobody's.
            with suppress(Exception):
                await asyncio.wait_for(channel.close(), ANSWER_SECONDS_MAX)
            raise
        self._idle.append(channel)

    async def _connected(self) -> "AbstractConnection":
        async with self._connecting:
            # `is_closed` would tell of what we have closed ourselves.
            if self._connection is None or not self._connection.connected.is_set():
                await self.close()
                self._connection = await amqp.connected(self._url)
            return self._connection

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        self._idle.clear()
        if connection is not None:
            with suppress(Exception):
                await connection.close()

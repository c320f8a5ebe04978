"""A connection to a server of AMQP 0-9-1, such as RabbitMQ, and what its faults mean.

The library is an extra, imported where something is connected. None of its texts is told: they may hold the address.
"""

import logging
import ssl
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection

CONNECT_SECONDS_MAX = 5.0
# A server that says nothing for twice as long is gone.
HEARTBEAT_SECONDS = 10
NAME = "science-catalog"
# The library's faults by their names: which of them is raised differs by what was asked, and all are told alike.
_MEANINGS = {
    "ProbableAuthenticationError": "the server refuses this name or password",
    "AuthenticationError": "the server takes no name and password",
    "ChannelNotFoundEntity": "the server has no queue, or no exchange, of this name",
    "ChannelAccessRefused": "this account may not do this with that queue or exchange",
    "ChannelLockedResource": "somebody else has that queue for themselves",
    "ChannelPreconditionFailed": "the queue or exchange is not of the kind that is needed",
    "InvalidFrameError": "the server ended the connection at once: does this account reach the virtual host?",
    "PublishError": "no queue takes what is sent there",
    "DeliveryError": "a queue refused it",
    "TimeoutError": "no answer in time",
    "ChannelInvalidStateError": "the connection broke",
    "RuntimeError": "the connection broke",
    "AMQPConnectionError": "nobody answers there, or the connection broke",
}


async def connected(url: str) -> "AbstractConnection":
    """Return a connection, which is not made anew by itself; raises whatever the library and the network do."""
    import aio_pika  # ruff: ignore[PLC0415] - no part of every installation.

    for name in ("aio_pika", "aiormq"):
        # What it would say is raised as well, and our lines are JSON.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return await aio_pika.connect(
        url,
        timeout=CONNECT_SECONDS_MAX,
        heartbeat=HEARTBEAT_SECONDS,
        client_properties={"connection_name": NAME},
        connection_class=_kind(),
    )


@cache
def _kind() -> type["AbstractConnection"]:
    import aio_pika  # ruff: ignore[PLC0415] - no part of every installation.

    class Connection(aio_pika.Connection):
        def __del__(self) -> None:
            # Whoever asked for it closes it. The library would close once more what never came about, or broke while it
            # was closed, whenever that is collected: where no loop runs.
            pass

    return Connection


def meaning_of(fault: BaseException) -> str:
    """Return what a fault means to whoever runs the catalog, without its text."""
    if isinstance(fault.__cause__, ssl.SSLError):
        return "the server's certificate is not trusted, or it speaks no TLS there"
    for kind in type(fault).__mro__:
        if found := _MEANINGS.get(kind.__name__):
            return found
    return type(fault).__name__

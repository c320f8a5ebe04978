"""What all ways into a broker have in common: the operator's server, one connection, and faults without their texts.

An event is told when the server says that it has kept it.
"""

from typing import Protocol

from catalog.subscriptions.shapes import Told
from catalog.subscriptions.tables import Channel

ANSWER_SECONDS_MAX = 5.0
# What is told where there is no server.
NOWHERE = {
    Channel.NATS: "This catalog publishes into no streams: whoever runs it sets CATALOG_SUBSCRIPTIONS_URL.",
    Channel.AMQP: "This catalog publishes into no exchanges: whoever runs it sets CATALOG_SUBSCRIPTIONS_AMQP_URL.",
}


class Publisher(Protocol):
    """One connection, made when it is needed and anew after any fault."""

    # What is told of an address that it does not take, and one that it would.
    wrong: str
    example: str

    def takes(self, address: str) -> bool:
        """Whether events may be published there."""

    async def publish(self, address: str, told: Told) -> None:
        """Publish an event; raises NotTold."""

    async def close(self) -> None:
        """Close the connection, if there is one."""

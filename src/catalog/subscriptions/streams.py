"""The way into NATS: an event is told when the server says that a stream has kept it.

The library is an extra, and imported where something is published. The stream is the operator's.
"""

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from catalog.alerts.webhooks import NotTold
from catalog.subscriptions.publishing import ANSWER_SECONDS_MAX
from catalog.subscriptions.shapes import STRUCTURED, Told

# Neither a wildcard, nor what the server keeps for itself (`$…`, `_INBOX`).
SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
SUBJECT_CHARS_MAX = 200
# Without these the library tries for two minutes what cannot be connected.
ONCE: Mapping[str, Any] = {
    "allow_reconnect": False,
    "max_reconnect_attempts": 1,
    "reconnect_time_wait": 0,
    "connect_timeout": int(ANSWER_SECONDS_MAX),
}


class Streams:
    """One connection, made when it is needed and anew after any fault."""

    wrong = "This is no subject that is published under: write names with dots between, other than what is heard."
    example = "catalog.changes"

    def __init__(self, url: str, *, heard: str) -> None:
        """Publish to the server at an address, which may hold a password, but never where the catalog itself hears."""
        self._url = url
        self._heard = heard
        self._client: Any = None
        self._connecting = asyncio.Lock()

    def takes(self, address: str) -> bool:
        """Whether this is a subject that events are published under."""
        whole = SUBJECT.fullmatch(address) is not None and len(address) <= SUBJECT_CHARS_MAX
        return whole and address != self._heard

    async def publish(self, address: str, told: Told) -> None:
        """Publish an event; the server drops one that it had a short while ago. Raises NotTold."""
        try:
            async with asyncio.timeout(2 * ANSWER_SECONDS_MAX):
                client = await self._connected()
                # The server knows by the id what it has already.
                headers = {"Nats-Msg-Id": str(told.id), "content-type": STRUCTURED}
                await client.jetstream().publish(address, told.structured, timeout=ANSWER_SECONDS_MAX, headers=headers)
        except asyncio.CancelledError:
            raise
        except Exception as fault:  # ruff: ignore[BLE001] - all of them pass.
            # The library's and the network's: none of their texts is told, which may hold the address.
            await self.close()
            raise NotTold(f"No stream of the server took it: {type(fault).__name__}.") from None

    async def _connected(self) -> Any:
        import nats  # ruff: ignore[PLC0415] - no part of every installation.

        async def said(_: Exception) -> None:
            """Faults are met where something is published."""

        async with self._connecting:
            if self._client is None or not self._client.is_connected:
                self._client = await nats.connect(self._url, error_cb=said, **ONCE)
            return self._client

    async def close(self) -> None:
        """Close the connection, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                await client.close()

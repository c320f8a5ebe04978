"""Topics of AWS that may notify us: their certificates, and the confirmation that we want to hear them.

Both are fetched from the service's own hosts, through the door, and nowhere else. A certificate is kept: a topic uses
one for months.
"""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Mapping

import httpx2
from cryptography import x509

from catalog.errors import Unavailable
from catalog.outside.door import Door
from catalog.storage.dialects import sns
from catalog.storage.guarding import GuardedTransport

CERTIFICATES_MAX = 32
ANSWER_BYTES_MAX = 64 * 1024
SECONDS_MAX = 10.0
_CONNECTIONS = 4


class Topics:
    """The topics that the operator named, each with the backend that it speaks for; `default` is the catalog's own."""

    def __init__(
        self, speaking_for: Mapping[str, str], door: Door, *, tls: ssl.SSLContext | None = None, port: int | None = None
    ) -> None:
        self._speaking_for = dict(speaking_for)
        self._client = httpx2.AsyncClient(
            transport=GuardedTransport(door, plain=False, connections=_CONNECTIONS, tls=tls),
            timeout=SECONDS_MAX,
            follow_redirects=False,
            trust_env=False,
        )
        # Where the service listens; a test has it elsewhere.
        self._port = port
        self._certificates: OrderedDict[str, x509.Certificate] = OrderedDict()
        self._fetching = asyncio.Lock()

    def backend_of(self, topic: str) -> str | None:
        """Return the backend that a topic speaks for; None for topics that nobody named."""
        return self._speaking_for.get(topic)

    async def certificate(self, address: str) -> x509.Certificate:
        """Return the certificate at an address of the service, which was checked; raises Unavailable."""
        held = self._certificates.get(address)
        if held is None:
            # One after the other: a flood of messages asks once.
            async with self._fetching:
                held = self._certificates.get(address) or sns.certificate_in(await self._get(address))
            if held is None:
                raise Unavailable("What the service calls a certificate is none that we can check with.")
        self._certificates[address] = held
        self._certificates.move_to_end(address)
        while len(self._certificates) > CERTIFICATES_MAX:
            self._certificates.popitem(last=False)
        return held

    async def confirm(self, address: str) -> None:
        """Say to the service that we want to hear this topic, at an address that was checked; raises Unavailable."""
        await self._get(address)

    async def _get(self, address: str) -> bytes:
        url = httpx2.URL(address)
        came = bytearray()
        try:
            async with (
                asyncio.timeout(SECONDS_MAX),
                self._client.stream("GET", url if self._port is None else url.copy_with(port=self._port)) as answer,
            ):
                if answer.status_code != httpx2.codes.OK:
                    raise Unavailable(f"{url.host} answered {answer.status_code}.")
                async for chunk in answer.aiter_bytes():
                    came += chunk
                    if len(came) > ANSWER_BYTES_MAX:
                        raise Unavailable(f"The answer of {url.host} has more than {ANSWER_BYTES_MAX:,} bytes.")
        except (httpx2.HTTPError, TimeoutError, OSError) as fault:
            raise Unavailable(f"{url.host} cannot be reached: {type(fault).__name__}.") from None
        return bytes(came)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

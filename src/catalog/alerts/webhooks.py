"""Webhooks: what is posted to a receiver, signed so that it can tell us from others, and never into our own network.

Headers and signature are those of Standard Webhooks. No redirect is followed, and of an answer its status alone counts.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import msgspec

from catalog import __version__
from catalog.alerts.keys import Keys
from catalog.alerts.matches import Told
from catalog.alerts.saved import Saved
from catalog.errors import Unavailable
from catalog.outside.door import Door
from catalog.storage.guarding import EndpointRefused, GuardedTransport, must_admit

POST_SECONDS_MAX = 10.0
OBJECTS_AT_ONCE = 100
ADDRESS_CHARS_MAX = 2_000
CONNECTIONS_MAX = 16
TYPE = "saved-search.matched"
JSON = "application/json"


class NotTold(Unavailable):
    """The message could not be delivered; it is sent again later."""


class NotWanted(NotTold):
    """The receiver wants no more messages."""


class WrongAddress(ValueError):
    """This is no address that webhooks are sent to; its text says what one is."""


def checked(address: str) -> str:
    """Return an address that may be one of a webhook; raises WrongAddress."""
    try:
        parts = urlsplit(address)
        right = parts.scheme in {"https", "http"} and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.username is not None or parts.password is not None or parts.fragment:
        raise WrongAddress(
            "This is no address to which anything can be posted: write https://, a host and a path, without a user and "
            "a fragment."
        )
    if not address.isascii() or not address.isprintable() or " " in address or len(address) > ADDRESS_CHARS_MAX:
        raise WrongAddress(f"An address has visible ASCII characters alone, and at most {ADDRESS_CHARS_MAX:,} of them.")
    return address


def body_of(search: Saved, told: Sequence[Told], *, address: str, unsubscribe: str, moment: datetime) -> bytes:
    """Return what is posted: which objects fit, and nothing that would work for somebody else, such as a link to bytes.

    `address` is where the catalog is, `unsubscribe` what ends these messages when something is posted there.
    """
    return msgspec.json.encode(
        {
            "type": TYPE,
            "timestamp": moment,
            "data": {
                "saved_search": {"id": search.id, "name": search.name},
                "objects": [
                    {
                        "id": one.id,
                        "kind": one.kind,
                        "project": one.project,
                        "title": one.title,
                        "revision": one.revision,
                        "updated_at": one.updated_at,
                        "href": f"{address}/api/objects/{one.id}",
                        "page": f"{address}/objects/{one.id}",
                    }
                    for one in told
                ],
                "unsubscribe": unsubscribe,
            },
        }
    )


def headers_of(
    keys: Keys, secret_id: UUID, message_id: UUID, body: bytes, moment: datetime, *, media_type: str = JSON
) -> dict[str, str]:
    """Return the headers of Standard Webhooks: repeated, a message has the same id and a signature of its own."""
    at = int(moment.timestamp())
    signed = f"{message_id}.{at}.".encode() + body
    return {
        "content-type": media_type,
        "user-agent": f"science-catalog/{__version__}",
        "webhook-id": str(message_id),
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{keys.signature(secret_id, signed)}",
    }


def _refused(address: str) -> str:
    """Say why nothing is posted there, as far as the address itself tells.

    Whether a name leads into our network or nowhere is said in one text: what lies there is nobody's business.
    """
    parts = urlsplit(address)
    host = (parts.hostname or "")[:100]
    admits = "whoever runs the catalog admits networks by CATALOG_ALERT_NETWORKS."
    if parts.scheme == "http":
        return f"Webhooks go over https; over http into networks alone that were named for it: {admits}"
    try:
        ip_address(host)
    except ValueError:
        return (
            f"{host} is no host that everybody reaches: there is none of this name, or it lies in a private network; "
            f"{admits}"
        )
    return f"{host} lies in a private network, where nothing is posted; {admits}"


class Webhooks:
    """The way out: through the door alone, without TLS only into networks that the operator named."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._clients = {
            scheme: httpx2.AsyncClient(
                transport=GuardedTransport(door, plain=scheme == "http", connections=CONNECTIONS_MAX),
                timeout=POST_SECONDS_MAX,
                follow_redirects=False,
                trust_env=False,
            )
            for scheme in ("https", "http")
        }

    async def must_admit(self, address: str) -> None:
        """Raise WrongAddress for an address to which nothing would be sent; asks for the host's addresses."""
        try:
            await must_admit(self._door, address)
        except EndpointRefused:
            raise WrongAddress(_refused(address)) from None

    async def post(self, address: str, body: bytes, headers: dict[str, str]) -> None:
        """Send a message; raises NotTold, or NotWanted where the receiver says so."""
        client = self._clients[urlsplit(address).scheme]
        try:
            async with (
                asyncio.timeout(POST_SECONDS_MAX),
                client.stream("POST", address, content=body, headers=headers) as answer,
            ):
                status = answer.status_code
        except (TimeoutError, httpx2.TimeoutException):
            raise NotTold(f"The receiver did not answer within {POST_SECONDS_MAX:g} s.") from None
        except EndpointRefused:
            raise NotTold("The address leads to no host that everybody reaches.") from None
        except (httpx2.ConnectError, httpx2.InvalidURL):
            raise NotTold("The receiver cannot be reached: no connection to its address can be made.") from None
        except (httpx2.HTTPError, OSError):
            raise NotTold("The receiver broke off the connection before it answered.") from None
        if status == HTTPStatus.GONE:
            raise NotWanted("The receiver answered 410: it wants no more.")
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise NotTold(f"The receiver answered {status}, where 200 to 299 is wanted.")

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()

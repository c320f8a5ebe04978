"""What a registry of DOIs can do for us, and the two there are: DataCite's REST API, and none but our own table.

A request says what shall be so, and saying it twice is harmless: a PUT makes the DOI or brings it up to date
(DataCite REST API, "Create or update a DOI"). So whoever does not know whether the last one arrived sends it again.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import quote

import httpx2
import msgspec

from catalog import __version__
from catalog.errors import CatalogError, Fault, Unavailable

ANSWER_BYTES_MAX = 256 * 1024
FAULTS_KEPT_MAX = 50
MESSAGE_CHARS_MAX = 500
RETRY_SECONDS_MAX = 3600
JSON_API = "application/vnd.api+json"
CONNECTIONS_MAX = 4
_SECONDS = re.compile(r"[0-9]{1,6}")
_STATUS_OK = frozenset({200, 201})
_STATUS_FIELDS = frozenset({400, 413, 422})
_STATUS_LOCKED_OUT = frozenset({401, 403, 404})
_STATUS_SLOW_DOWN = 429


class Event(StrEnum):
    """What shall become of the DOI (DataCite REST API, "event")."""

    PUBLISH = "publish"
    HIDE = "hide"


class FieldsRefused(CatalogError):
    """The registry refuses what it was told; the faults say where."""


class LockedOut(CatalogError):
    """The registry refuses the catalog itself; look at its account and prefix."""


class Away(Unavailable):
    """The registry does not answer now; `after_seconds` is how long it asks us to wait, if it says so.

    `perhaps_arrived` where the request may have been heard, and only the answer was lost.
    """

    def __init__(self, detail: str, *, after_seconds: int | None = None, perhaps_arrived: bool = False) -> None:
        super().__init__(detail)
        self.after_seconds = after_seconds
        self.perhaps_arrived = perhaps_arrived


class Registry(Protocol):
    """Where DOIs are registered."""

    @property
    def resolves(self) -> bool:
        """Whether the DOIs that it makes findable lead to their pages."""

    @property
    def patience(self) -> timedelta:
        """How long it may take to answer."""

    async def put(self, doi: str, attributes: Mapping[str, Any], event: Event) -> None:
        """Make it so; raises FieldsRefused, LockedOut or Away. No transaction may be open meanwhile."""

    async def close(self) -> None:
        """Let go of connections."""


class LocalRegistry:
    """No registry but our own table: states move as anywhere, and the DOIs lead nowhere outside this catalog."""

    resolves = False
    patience = timedelta(seconds=1)

    async def put(self, doi: str, attributes: Mapping[str, Any], event: Event) -> None:
        """Agree: the preflight has seen to what is mandatory."""

    async def close(self) -> None:
        """Nothing is open."""


class DataCiteRegistry:
    """DataCite's REST API, as the account of one repository."""

    resolves = True

    def __init__(self, url: str, *, user: str, password: str, patience: timedelta) -> None:
        self.patience = patience
        self._client = httpx2.AsyncClient(
            base_url=url.rstrip("/"),
            auth=(user, password),
            timeout=httpx2.Timeout(patience.total_seconds()),
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
            headers={
                "accept": JSON_API,
                "content-type": JSON_API,
                "user-agent": f"science-catalog/{__version__}",
            },
            trust_env=False,
            follow_redirects=False,
        )

    async def put(self, doi: str, attributes: Mapping[str, Any], event: Event) -> None:
        """Make it so; raises FieldsRefused, LockedOut or Away."""
        told = dict(attributes) | {"doi": doi, "event": event.value}
        body = {"data": {"id": doi, "type": "dois", "attributes": told}}
        try:
            # The library's own limits are for each step; a server that trickles could take as long as it likes.
            async with (
                asyncio.timeout(self.patience.total_seconds()),
                self._client.stream("PUT", f"/dois/{quote(doi, safe='')}", content=msgspec.json.encode(body)) as answer,
            ):
                status = answer.status_code
                retry_after = answer.headers.get("retry-after", "")
                said = b""
                async for chunk in answer.aiter_bytes():
                    said += chunk
                    if len(said) > ANSWER_BYTES_MAX:
                        break
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            raise Away("The registry cannot be reached.") from None
        except (httpx2.HTTPError, TimeoutError) as fault:
            raise Away(f"The registry's answer was lost ({type(fault).__name__}).", perhaps_arrived=True) from None
        _judge(status, retry_after, said)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()


def _judge(status: int, retry_after: str, said: bytes) -> None:
    """Return when the registry agreed; raises what its refusal means."""
    if status in _STATUS_OK:
        return
    if status in _STATUS_FIELDS:
        raise FieldsRefused(
            f"The registry refused the metadata with {status}.", faults=faults_of(said) or [Fault("", _line(said))]
        )
    if status in _STATUS_LOCKED_OUT:
        raise LockedOut(
            f"The registry refuses this catalog with {status}: look at CATALOG_DOI_REGISTRY_USER, its password and "
            f"CATALOG_DOI_PREFIX. It said: {_line(said)}"
        )
    after = min(int(retry_after), RETRY_SECONDS_MAX) if _SECONDS.fullmatch(retry_after.strip()) else None
    if status == _STATUS_SLOW_DOWN:
        raise Away("The registry asks to be slower (429).", after_seconds=after)
    raise Away(f"The registry answered with {status}.", after_seconds=after, perhaps_arrived=True)


def faults_of(said: bytes) -> list[Fault]:
    """Return the faults that a JSON:API answer names, with pointers into the attributes; none for other bodies."""
    try:
        errors = json.loads(said)["errors"]
    except (ValueError, KeyError, TypeError):
        return []
    if not isinstance(errors, Sequence) or isinstance(errors, str):
        return []
    return [_fault(one) for one in errors[:FAULTS_KEPT_MAX] if isinstance(one, dict)]


def _fault(error: Mapping[str, Any]) -> Fault:
    source = error.get("source")
    # DataCite names the attribute, JSON:API a pointer from the document's root.
    if isinstance(source, Mapping):
        source = source.get("pointer") or source.get("parameter")
    place = str(source or "").removeprefix("/data/attributes").strip("/")
    told = str(error.get("title") or error.get("detail") or "refused without a reason")
    return Fault(f"/{place}" if place else "", told[:MESSAGE_CHARS_MAX].replace("\x00", "\N{REPLACEMENT CHARACTER}"))


def _line(said: bytes) -> str:
    faults = faults_of(said)
    text = faults[0].message if faults else said.decode(errors="replace")
    return " ".join(text.replace("\x00", " ").split())[:MESSAGE_CHARS_MAX] or "nothing"

"""The OpenID provider: what it says of itself and its keys, asked within bounds, and remembered.

Its keys are asked for when they are first needed, again when they have been kept for a while, and when a token names
one that is not among them; the last at most once in a while, whatever is sent here. While the provider is away, what it
said last goes on to count for a day. Answers are read up to a size and a time, from https (or loopback) alone, and
redirects are not followed.

Sources: OpenID Connect Discovery 1.0, sections 4.1 to 4.3; RFC 8414, section 3.3.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pydantic_core
import structlog

from catalog import __version__
from catalog.access import oidc
from catalog.access.oidc import PublicKey, Rules, TokenRefused, UnknownKey, Vouched
from catalog.access.principals import digest_of
from catalog.errors import Unavailable
from catalog.settings import is_loopback

log = structlog.get_logger("catalog.provider")

KEYS_SECONDS_KEPT = 600
KEYS_SECONDS_MAX = 24 * 60 * 60
# A key that is not known costs the provider no more than this, however many such tokens are sent.
ASK_SECONDS_MIN = 30
ASK_SECONDS_MIN_AFTER_FAILURE = 5
PATIENCE_SECONDS = 5.0
DOCUMENT_BYTES_MAX = 64 * 1024
KEYS_BYTES_MAX = 256 * 1024
CONNECTIONS_MAX = 4
# Some 400 bytes each.
VERIFIED_MAX = 10_000
_WELL_KNOWN = "/.well-known/openid-configuration"


class ProviderAway(Unavailable):
    """The OpenID provider does not answer as it should; try again later, or use a token of the catalog."""

    retry_after_seconds = ASK_SECONDS_MIN_AFTER_FAILURE


class _NotUsable(Exception):
    """What came is not what was asked for; the text says why."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """What the provider says of itself, as far as we use it."""

    keys_address: str
    authorization_address: str | None = None
    token_address: str | None = None
    # Whether it names itself in the answer to a login (RFC 9207).
    names_itself: bool = False


@dataclass(frozen=True, slots=True)
class _Told:
    discovered: Discovered
    keys: tuple[PublicKey, ...]
    at: float


class Provider:
    """One OpenID provider, and whom it vouched for lately."""

    def __init__(
        self,
        rules: Rules,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        ask_seconds_min: float = ASK_SECONDS_MIN,
        keys_seconds_kept: float = KEYS_SECONDS_KEPT,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.rules = rules
        self.now = now
        self._patience_seconds = patience_seconds
        self._ask_seconds_min = ask_seconds_min
        self._keys_seconds_kept = keys_seconds_kept
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(patience_seconds),
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
            headers={"user-agent": f"science-catalog/{__version__}", "accept-encoding": "identity"},
            trust_env=False,
            follow_redirects=False,
        )
        self._told: _Told | None = None
        self._asked_at = -float("inf")
        self._failed = False
        self._asking: asyncio.Task[None] | None = None
        self._verified: dict[bytes, Vouched] = {}

    def __repr__(self) -> str:
        """Name the provider."""
        return f"Provider({self.rules.issuer})"

    async def verify(self, token: str) -> Vouched:
        """Return whom an access token vouches for; raises TokenRefused, or ProviderAway where only it could tell."""
        digest = digest_of(token)
        known = self._verified.get(digest)
        if known is None:
            signed = oidc.parsed(token, self.rules)
            known = oidc.access_of(signed, self.rules)
            # Before anything is asked for: what has expired is refused without a look at its key.
            known.must_hold(self.now(), self.rules.skew)
            await self.prove(signed)
            self._remember(digest, known)
        known.must_hold(self.now(), self.rules.skew)
        return known

    async def prove(self, signed: oidc.SignedToken) -> None:
        """Return when the provider made this token; raises TokenRefused or ProviderAway."""
        told = await self._known()
        try:
            signed.verify(told.keys)
        except UnknownKey:
            newer = await self._asked(unless_newer_than=told)
            if newer is told:
                raise
            signed.verify(newer.keys)

    async def discovered(self) -> Discovered:
        """Return what the provider says of itself; raises ProviderAway."""
        return (await self._known()).discovered

    async def post(self, address: str, form: dict[str, str], credentials: tuple[str, str] | None) -> dict[str, Any]:
        """Send a form to one of the provider's own addresses, and return the JSON object of its answer.

        Raises ProviderAway when there is no answer, and TokenRefused where the provider refuses.
        """
        try:
            async with asyncio.timeout(self._patience_seconds):
                status, found = await self._sent("POST", address, DOCUMENT_BYTES_MAX, form, credentials)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, _NotUsable) as fault:
            raise self._away(fault) from None
        if status >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise self._away(_NotUsable(f"it answers {status}"))
        if status != httpx2.codes.OK or not isinstance(found, dict):
            log.warning("login refused by the provider", status=status)
            raise TokenRefused("The provider did not confirm this login; log in again.")
        return found

    async def close(self) -> None:
        """Let go of connections."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._client.aclose()

    def _remember(self, digest: bytes, vouched: Vouched) -> None:
        self._verified[digest] = vouched
        if len(self._verified) > VERIFIED_MAX:
            del self._verified[next(iter(self._verified))]

    async def _known(self) -> _Told:
        """Return what the provider said last, while that counts; raises ProviderAway."""
        told = self._told
        age = 0.0 if told is None else time.monotonic() - told.at
        if told is None or age > KEYS_SECONDS_MAX:
            return await self._asked(unless_newer_than=told, must_be_newer=True)
        if age > self._keys_seconds_kept and self._may_ask():
            # Nobody waits for it: what was said last still counts.
            self._ask_again()
        return told

    async def _asked(self, *, unless_newer_than: _Told | None, must_be_newer: bool = False) -> _Told:
        """Ask, unless it was done since or just now, and return what the provider said last; raises ProviderAway."""
        if self._told is unless_newer_than:
            if self._asking is None and self._may_ask():
                self._ask_again()
            if self._asking is not None:
                # All who wait share one question, and whoever leaves does not end it for the others.
                await asyncio.shield(self._asking)
        told = self._told
        if told is None or (told is unless_newer_than and (self._failed or must_be_newer)):
            raise ProviderAway
        return told

    def _may_ask(self) -> bool:
        least = min(self._ask_seconds_min, ASK_SECONDS_MIN_AFTER_FAILURE) if self._failed else self._ask_seconds_min
        return time.monotonic() - self._asked_at >= least

    def _ask_again(self) -> None:
        if self._asking is None:
            self._asked_at = time.monotonic()
            self._asking = asyncio.create_task(self._ask(), name="ask the OpenID provider")

    async def _ask(self) -> None:
        """Bring up to date what is known of the provider; never raises."""
        try:
            async with asyncio.timeout(self._patience_seconds):
                discovered = discovered_from(await self._got(well_known(self.rules.issuer), DOCUMENT_BYTES_MAX), self)
                keys = _keys_from(await self._got(discovered.keys_address, KEYS_BYTES_MAX))
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, _NotUsable) as fault:
            self._failed = True
            self._away(fault)
        else:
            if self._told is not None and self._told.keys != keys:
                # What a key proved that is no longer published has to be proved anew.
                self._verified.clear()
            self._failed = False
            self._told = _Told(discovered, keys, time.monotonic())
        finally:
            self._asking = None

    def _away(self, fault: Exception) -> ProviderAway:
        log.warning("OpenID provider not usable", issuer=self.rules.issuer, why=_told_of(fault))
        return ProviderAway()

    def must_be_askable(self, address: Any, what: str) -> str:
        """Return an address that the provider names, if it may be asked; raises _NotUsable."""
        parts = urlsplit(address) if isinstance(address, str) else None
        # Loopback only for a provider that is there itself: no other may send us to what listens on this machine.
        ours = urlsplit(self.rules.issuer).scheme == "http"
        secure = parts is not None and (
            parts.scheme == "https" or (ours and parts.scheme == "http" and is_loopback(parts.hostname))
        )
        if parts is None or not secure or not parts.hostname or parts.username is not None:
            raise _NotUsable(f"its {what} is no https address")
        return str(address)

    async def _got(self, address: str, most_bytes: int) -> Any:
        status, found = await self._sent("GET", address, most_bytes)
        if status != httpx2.codes.OK:
            raise _NotUsable(f"it answers {status}")
        return found

    async def _sent(
        self,
        method: str,
        address: str,
        most_bytes: int,
        form: dict[str, str] | None = None,
        credentials: tuple[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Return the status and the JSON of one answer; raises _NotUsable and what the library raises."""
        held = bytearray()
        headers = {"accept": "application/json"}
        async with self._client.stream(
            method, address, data=form, headers=headers, auth=credentials or httpx2.USE_CLIENT_DEFAULT
        ) as answer:
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise _NotUsable("it packs what was asked for unpacked")
            async for chunk in answer.aiter_raw():
                held += chunk
                if len(held) > most_bytes:
                    raise _NotUsable(f"its answer has more than {most_bytes:,} bytes")
            status = answer.status_code
        if httpx2.codes.is_redirect(status):
            raise _NotUsable(f"it redirects ({status}), which is not followed")
        try:
            return status, pydantic_core.from_json(bytes(held))
        except ValueError:
            if status != httpx2.codes.OK:
                return status, None
            raise _NotUsable("its answer is not JSON") from None


def well_known(issuer: str) -> str:
    """Return where an issuer describes itself (OpenID Connect Discovery 1.0, section 4)."""
    return issuer.rstrip("/") + _WELL_KNOWN


def discovered_from(document: Any, provider: Provider) -> Discovered:
    """Return what a discovery document says; raises _NotUsable, first of all where it is of another issuer."""
    if not isinstance(document, dict):
        raise _NotUsable("its discovery document is no JSON object")
    issuer = document.get("issuer")
    if not isinstance(issuer, str) or issuer != provider.rules.issuer:
        raise _NotUsable("its discovery document is of another issuer")
    named = {
        name: provider.must_be_askable(document[name], name)
        for name in ("authorization_endpoint", "token_endpoint")
        if name in document
    }
    return Discovered(
        keys_address=provider.must_be_askable(document.get("jwks_uri"), "jwks_uri"),
        authorization_address=named.get("authorization_endpoint"),
        token_address=named.get("token_endpoint"),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _keys_from(document: Any) -> tuple[PublicKey, ...]:
    try:
        return oidc.keys_from(document)
    except ValueError as fault:
        raise _NotUsable(str(fault)) from None


def _told_of(fault: Exception) -> str:
    return str(fault) if isinstance(fault, _NotUsable) else type(fault).__name__

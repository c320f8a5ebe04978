"""How fast a caller may ask: everyone has a bucket of requests that is filled all the time, and an empty one is told.

Kept in each process for itself, so that several of them allow as many times as much. A token counts for its principal
as soon as this process has seen it work; whoever has none, or one that is no good, counts by address, and so does who
is logged in to the pages. Beside its own a principal's requests come out of the bucket of its organization, which all
share who have a role there; who belongs to several takes from the fullest, so that none of them stops the work for
another. Where that is looked up costs nothing: a caller is remembered with its roles.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send

from catalog.access.principals import digest_of
from catalog.api.requests import Recognised, bearer, is_of_a_store, must_be_short, must_name_something
from catalog.errors import TooManyRequests

# A page has a search, its files and some assets; a program begins with a burst. So much may come at once.
BURST_SECONDS = 10
# Some 300 bytes each. Who is forgotten has asked nothing for longest, and begins with a full bucket.
CALLERS_MAX = 20_000
# What one household or machine has of IPv6 addresses, at least: each counting for itself would be no limit.
IPV6_BITS = 64
# Asked by whoever watches us, or by stores, which have a token of their own.
UNLIMITED = frozenset({"/livez", "/readyz"})
NOTIFICATIONS = "/api/notifications/"


@dataclass(frozen=True, slots=True)
class _Bucket:
    """What somebody has left at a moment."""

    key: Hashable
    rate: float
    level: float

    def must_have_some(self, who: str) -> None:
        """Raise TooManyRequests, with the figures and when to come back, when it is empty."""
        if self.level < 1:
            seconds = math.ceil((1 - self.level) / self.rate)
            raise TooManyRequests(
                f"{who} may ask {self.rate:,g} times a second here, and up to {_most(self.rate):,g} times at once; "
                f"come back in {seconds} s.",
                retry_after_seconds=seconds,
            )


def _most(rate: float) -> float:
    return max(1.0, rate * BURST_SECONDS)


class Limits:
    """The buckets of one process."""

    def __init__(self, per_second: float, *, anonymous_per_second: float, organization_per_second: float) -> None:
        self._per_second = per_second
        self._anonymous_per_second = anonymous_per_second
        self._organization_per_second = organization_per_second
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """How many callers are known."""
        return len(self._buckets)

    def take(
        self, caller: Hashable, *, anonymous: bool, now: float, organizations: Collection[str] = frozenset()
    ) -> None:
        """Take a request out of the caller's bucket, and out of that of its organization if it belongs to any.

        Of several it is the fullest. `now` is in seconds. Raises TooManyRequests when one of the two is empty; then
        nothing is taken out of the other.
        """
        own = self._bucket(caller, self._anonymous_per_second if anonymous else self._per_second, now)
        own.must_have_some("An address without a token" if anonymous else "You")
        taken = [own]
        if organizations:
            several = [
                (name, self._bucket(("organization", name), self._organization_per_second, now))
                for name in sorted(organizations)
            ]
            name, shared = max(several, key=lambda one: one[1].level)
            shared.must_have_some(f"All who belong to {name} together")
            taken.append(shared)
        for bucket in taken:
            self._buckets[bucket.key] = (bucket.level - 1, now)
            self._buckets.move_to_end(bucket.key)
        while len(self._buckets) > CALLERS_MAX:
            self._buckets.popitem(last=False)

    def _bucket(self, key: Hashable, rate: float, now: float) -> _Bucket:
        most = _most(rate)
        level, at = self._buckets.get(key, (most, now))
        return _Bucket(key, rate, min(most, level + (now - at) * rate))


class Events:
    """How much each store may tell, in one process: what one has left is nothing to another."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._rate = per_minute / 60
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        # Tokens by which stores of organizations were known last: a guess whom to spare, never an answer.
        self._tokens: OrderedDict[bytes, str] = OrderedDict()

    def must_have_some(self, store: str, *, now: float) -> None:
        """Raise TooManyRequests where a store has told so much that it has nothing left; `now` is in seconds."""
        level = self._level(store, now)
        if level < 1:
            seconds = math.ceil((1 - level) / self._rate)
            raise TooManyRequests(
                f"A store may tell of {self._per_minute:,} events a minute here; come back in {seconds} s. What is "
                "not told is found some minutes later.",
                retry_after_seconds=seconds,
            )

    def take(self, store: str, events: int, *, now: float) -> None:
        """Count what a store has told; what was more than it had left, it has less to begin with."""
        self._left[store] = (self._level(store, now) - events, now)
        self._left.move_to_end(store)
        while len(self._left) > CALLERS_MAX:
            self._left.popitem(last=False)

    def _level(self, store: str, now: float) -> float:
        level, at = self._left.get(store, (float(self._per_minute), now))
        return min(float(self._per_minute), level + (now - at) * self._rate)

    def store_of(self, token: str | None) -> str | None:
        """Return which store of an organization came with this token last."""
        return None if token is None else self._tokens.get(digest_of(token))

    def know(self, token: str, store: str) -> None:
        """Remember which store came with this token."""
        self._tokens[digest_of(token)] = store
        self._tokens.move_to_end(digest_of(token))
        while len(self._tokens) > CALLERS_MAX:
            self._tokens.popitem(last=False)

    def forget(self, token: str) -> None:
        """Know no more that a store came with this token: none does."""
        self._tokens.pop(digest_of(token), None)


def limited(app: ASGIApp) -> ASGIApp:
    """Let a request through to the handler while its caller has some left, and if its address is short (ASGI 3)."""

    async def limiting(scope: Scope, receive: Receive, send: Send) -> None:
        if str(scope["type"]) == "http" and scope["path"] not in UNLIMITED:
            state = scope["litestar_app"].state
            token = _token(scope)
            if not (scope["path"].startswith(NOTIFICATIONS) and _is_a_store(state, token)):
                recognised: Recognised = state.recognised
                known = None if token is None else recognised.get(token)
                limits: Limits = state.limits
                caller = asking_from(scope) if known is None else known.id
                organizations = frozenset[str]() if known is None else known.organizations
                limits.take(caller, anonymous=known is None, now=time.monotonic(), organizations=organizations)
            must_be_short(scope["query_string"])
            must_name_something(scope["path"])
        await app(scope, receive, send)

    return limiting


def _is_a_store(state: Any, token: str | None) -> bool:
    events: Events = state.events
    return is_of_a_store(state.settings, token) or events.store_of(token) is not None


def asking_from(scope: Scope) -> str:
    """Return the address that a request counts for where nobody says who asks."""
    trusted = scope["litestar_app"].state.settings.trusted_proxies
    return address_of(_peer(scope), _forwarded(scope), trusted)


def _token(scope: Scope) -> str | None:
    header = next((value for name, value in scope["headers"] if name == b"authorization"), b"").decode("latin-1")
    return bearer(header)


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _forwarded(scope: Scope) -> list[str]:
    # The header may come several times; together they are one list (RFC 9110, section 5.3).
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [hop.strip() for hop in ",".join(values).split(",") if hop.strip()]


def address_of(peer: str, forwarded: Sequence[str], trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """Return who is counted for a request: the address that came to us, or to the first of our own proxies.

    What a client writes into X-Forwarded-For stands left of what our proxies added, and is never reached: the list is
    read from its end, as long as the one who wrote an entry is a proxy of ours. Of IPv6 the network counts.
    """
    address = _parsed(peer)
    for hop in reversed(forwarded):
        if address is None or not any(address in network for network in trusted):
            break
        found = _parsed(hop)
        if found is None:
            # A proxy of ours that writes no address: then it is its own.
            break
        address = found
    if address is None:
        return peer
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, IPV6_BITS), strict=False))
    return str(address)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address

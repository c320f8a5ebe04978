"""Signed links: SigV4 query-string signing for S3 URLs, offline and fast.

One link costs a SHA-256, an HMAC and some string building; all that is the same for a whole day (scope,
credential, key) is kept. Format: AWS "Authenticating Requests: Using Query Parameters (Signature Version 4)".
Knows nothing of files, stores or connections.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import urlsplit

# AWS, same page: X-Amz-Expires is at most 604800, seven days.
_LIFETIME_SECONDS_MAX = 604_800
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LAST_OF_OURS = "X-Amz-SignedHeaders"
_OURS = frozenset(("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", _LAST_OF_OURS))
_NOTHING: Mapping[str, str] = MappingProxyType({})

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_UNRESERVED_IN_PATHS = _UNRESERVED + b"/"
# The percent sign comes first: escaping it after another character would escape that character's escape.
_PERCENT = ord("%")
_ESCAPES = [(bytes((byte,)), b"%%%02X" % byte) for byte in range(256)]

_BLOCK_BYTES = hashlib.sha256().block_size
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class Addressing(StrEnum):
    """Where an S3 URL names the bucket (S3 User Guide, "Virtual hosting of general purpose buckets")."""

    PATH = "path"
    VIRTUAL = "virtual"


@dataclass(frozen=True, slots=True)
class Link:
    """A signed URL and the moment from which the store refuses it. Whoever holds `href` may use it: never log it."""

    href: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Terms:
    """What links for one moment and lifetime share, as those of a page do; the key lasts for the day."""

    now: datetime
    expires: timedelta
    expires_at: datetime
    query: str
    day: str
    key: "_Key"
    # The key's first state, with the part of the string to sign that comes before each link's own.
    inner: "hashlib._Hash" = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Key:
    """A day's signing key as the two hash states in which HMAC begins (RFC 2104): copying them is half its price."""

    inner: "hashlib._Hash" = field(repr=False)
    outer: "hashlib._Hash" = field(repr=False)


class Signer:
    """Signs URLs of one endpoint with one pair of keys; never shows the secret.

    `endpoint` is scheme, host and perhaps a port: links are bound to that host as clients spell it. Where a bucket is
    addressed as a host below it, `virtual_bucket` names that bucket, and nothing else is signed.
    """

    __slots__ = ("_access_key", "_host", "_host_line", "_origin", "_region", "_secret_key", "_terms", "_virtual")

    def __init__(
        self, *, endpoint: str, region: str, access_key: str, secret_key: str, virtual_bucket: str | None = None
    ) -> None:
        self._virtual = virtual_bucket
        self._origin, self._host = origin_of(endpoint, virtual_bucket)
        self._host_line = f"host:{self._host}\n"
        self._region = region
        self._access_key = access_key
        self._secret_key = secret_key
        self._terms: _Terms | None = None

    def __repr__(self) -> str:
        return f"Signer(endpoint={self._origin!r}, region={self._region!r})"

    def sign(
        self,
        method: str,
        bucket: str,
        key: str,
        *,
        expires: timedelta,
        now: datetime,
        query: Mapping[str, str] | str = "",
        headers: Mapping[str, str] = _NOTHING,
    ) -> Link:
        """Make a link for one request on `key` (or on the bucket, when `key` is empty), valid from `now`.

        `query` is signed and becomes part of the link: names and values, or, where every microsecond counts, text
        that is `encoded` already and has its names in order and after "X-Amz-". `headers` are signed and must be
        sent with exactly these values; their names may not be Host. Lifetimes count in whole seconds, 1 to 604,800;
        `now` knows its zone. Raises ValueError for anything that no store could accept.
        """
        terms = self._terms
        if terms is None or terms.now != now or terms.expires != expires:
            terms = self._agree(now, expires)

        if self._virtual is not None:
            if bucket != self._virtual:
                raise ValueError(f"this signer is for bucket {self._virtual}")
            path = encoded(f"/{key}", _UNRESERVED_IN_PATHS)
        else:
            path = encoded(f"/{bucket}/{key}" if key else f"/{bucket}", _UNRESERVED_IN_PATHS)
        names, lines = self._canonical(headers) if headers else ("host", self._host_line)
        ours = f"{terms.query}&X-Amz-SignedHeaders={names.replace(';', '%3B') if headers else names}"
        if not query:
            sent = canonical = ours
        elif isinstance(query, str):
            sent, canonical = f"{query}&{ours}", f"{ours}&{query}"
        else:
            order = _order_of(tuple(query))
            given = "&".join([f"{lead}{encoded(query[name])}" for name, lead in order.leads])
            sent = f"{given}&{ours}"
            canonical = f"{ours}&{given}" if order.follows_ours else _sorted(sent)

        request = f"{method}\n{path}\n{canonical}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
        inner = terms.inner.copy()
        inner.update(hashlib.sha256(request.encode()).hexdigest().encode())
        outer = terms.key.outer.copy()
        outer.update(inner.digest())
        return Link(f"{self._origin}{path}?{sent}&X-Amz-Signature={outer.hexdigest()}", terms.expires_at)

    def _agree(self, now: datetime, expires: timedelta) -> _Terms:
        """Prepare what links for this moment and lifetime share, keeping the day's key while the day lasts."""
        seconds = expires // timedelta(seconds=1)
        if not 0 < seconds <= _LIFETIME_SECONDS_MAX:
            raise ValueError(f"a link lives 1 second to 7 days, not {expires}")
        if now.tzinfo is None:
            raise ValueError("a link is signed for a moment that knows its time zone")
        moment = now.astimezone(UTC).replace(microsecond=0)
        stamp = moment.strftime("%Y%m%dT%H%M%SZ")
        day = stamp[:8]
        scope = f"{day}/{self._region}/s3/aws4_request"
        key = self._terms.key if self._terms and self._terms.day == day else self._key_of(day)
        inner = key.inner.copy()
        inner.update(f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n".encode())
        terms = _Terms(
            now=now,
            expires=expires,
            expires_at=moment + timedelta(seconds=seconds),
            query=(
                f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={encoded(f'{self._access_key}/{scope}')}"
                f"&X-Amz-Date={stamp}&X-Amz-Expires={seconds}"
            ),
            day=day,
            key=key,
            inner=inner,
        )
        # One assignment of a frozen value: a reader on another thread sees the old terms or the new, never a mix.
        self._terms = terms
        return terms

    def _key_of(self, day: str) -> _Key:
        """Derive the day's signing key."""
        key = f"AWS4{self._secret_key}".encode()
        for part in (day, self._region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        block = key.ljust(_BLOCK_BYTES, b"\0")
        return _Key(hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER)))

    def _canonical(self, headers: Mapping[str, str]) -> tuple[str, str]:
        """Give the signed names and their canonical lines; raises ValueError for what HTTP could not carry."""
        lines = {"host": self._host}
        for name, value in headers.items():
            lowered = name.lower()
            if lowered in lines or name.encode().translate(None, _UNRESERVED) or not name:
                raise ValueError(f"header {name!r} cannot be signed: it is given twice, reserved or no header name")
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"header {name!r} cannot be signed: its value must be printable ASCII")
            lines[lowered] = " ".join(value.split())
        ordered = sorted(lines.items())
        return ";".join([name for name, _ in ordered]), "".join([f"{name}:{value}\n" for name, value in ordered])


@dataclass(frozen=True, slots=True)
class _Order:
    """In which order a set of query names is sent, each as `name=`, and whether they all sort after our own."""

    leads: tuple[tuple[str, str], ...]
    follows_ours: bool


@lru_cache(maxsize=256)
def _order_of(names: tuple[str, ...]) -> _Order:
    """Find the order once for each set of names: there are a handful, and sorting them per link would be felt."""
    if not _OURS.isdisjoint(names):
        raise ValueError("X-Amz-Algorithm, -Credential, -Date, -Expires and -SignedHeaders belong to the signer")
    leads = tuple((name, f"{encoded(name)}=") for name in sorted(names))
    spelled = [lead[:-1] for _, lead in leads]
    return _Order(leads, follows_ours=spelled == sorted(spelled) and spelled[0] > _LAST_OF_OURS)


def encoded(text: str, unreserved: bytes = _UNRESERVED) -> str:
    """Percent-encode every byte but the unreserved (RFC 3986, section 2.3), as a canonical query wants it."""
    raw = text.encode()
    rest = raw.translate(None, unreserved)
    if not rest:
        return text
    if not rest.strip(b" "):
        return text.replace(" ", "%20")
    # Kind by kind is three times as fast as urllib's quote(), and a content-disposition has few kinds.
    reserved = set(rest)
    if _PERCENT in reserved:
        raw = raw.replace(*_ESCAPES[_PERCENT])
        reserved.discard(_PERCENT)
    for byte in reserved:
        raw = raw.replace(*_ESCAPES[byte])
    return raw.decode()


def _sorted(query: str) -> str:
    """Order an encoded query by name, then value: `a-b` after `a`, although `-` sorts before `=`."""
    return "&".join(["=".join(pair) for pair in sorted(pair.split("=") for pair in query.split("&"))])


def origin_of(endpoint: str, virtual_bucket: str | None = None) -> tuple[str, str]:
    """Split an endpoint into its origin and the Host that clients will send; raises ValueError for any other URL."""
    parts = urlsplit(endpoint)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not endpoint.isascii():
        raise ValueError("a store's endpoint is http:// or https://, a host name in ASCII and perhaps a port")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("a store's endpoint has no path, query, fragment or credentials")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if virtual_bucket is not None:
        host = f"{virtual_bucket}.{host}"
    # Clients leave the scheme's own port out of the Host header, so it must not be signed either.
    if parts.port is not None and parts.port != _DEFAULT_PORTS[parts.scheme]:
        host = f"{host}:{parts.port}"
    return f"{parts.scheme}://{host}", host

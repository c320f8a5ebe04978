"""One bucket of an S3-compatible store: what is there, take it away, and links for clients to move the bytes.

Everything goes out on our own signed URLs over one async client. Bytes never pass through here, except to be hashed
when a store kept no checksum, and as a stream to another store. How a bucket is set up is its owner's: `own` does it
for the catalog's.
"""

import asyncio
import base64
import hashlib
import logging
import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

import httpx2

from catalog.errors import Conflict, NotFound, Unavailable
from catalog.measuring import Call
from catalog.storage import bounded, listings, parts
from catalog.storage.capabilities import Capabilities
from catalog.storage.listings import Listed, Page
from catalog.storage.parts import Part
from catalog.storage.signing import Addressing, Link, Signer, encoded

CONNECT_TIMEOUT = timedelta(seconds=3)
ANSWER_TIMEOUT = timedelta(seconds=15)
PING_TIMEOUT = timedelta(seconds=2)
# Stores that copy the parts of a large file to join them need minutes.
JOIN_TIMEOUT = timedelta(minutes=10)
# Whoever reads bytes through has others wait: a store that gives them more slowly than a telephone line is given up,
# after a while that it may be busy.
SLOW_SECONDS = 60.0
SLOWEST_BYTES_PER_SECOND = 64 * 1024
CONNECTIONS_MAX = 32
CHUNK_BYTES = 256 * 1024
PAGE_KEYS = 1_000
SETTING_BYTES_MAX = 1024 * 1024
# Our own requests are sent at once; the allowance is for clocks that differ, as large as S3's own (15 minutes).
REQUEST_LIFETIME = timedelta(minutes=15)

_OPAQUE = "application/octet-stream"
_ATTACHMENT, _QUOTE = 'attachment; filename="', '"'
_ENCODED_ATTACHMENT, _ENCODED_QUOTE = encoded(_ATTACHMENT), encoded(_QUOTE)
_NO_FOLDERS = str.maketrans("/\\", "__")
# What old clients misread in a quoted file name.
_ODD = re.compile(r"[^A-Za-z0-9 !#$&()+,.;=@\[\]^_`{}~-]")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[ -~]+", re.ASCII)
_CHECKSUM_MODE = {"x-amz-checksum-mode": "ENABLED"}
_META = "x-amz-meta-"

# What is answered with nothing but headers, or with a reason that is short.
_BODILESS = frozenset({"HEAD", "PUT", "DELETE"})

# A version that is a delete marker answers 405 (S3 API, HeadObject).
_NOTHING_THERE = frozenset({404, 405})
# What lies there was not to be replaced (RFC 9110, section 13.1.2).
TAKEN = 412
_TAKEN = frozenset({TAKEN})
# A store's no to what was asked and how, which is neither about keys nor about its own state.
_DECLINED = (frozenset(range(400, 500)) | {501}) - {401, 403, 408, 429}


class StoreRefused(Unavailable):
    """The store refuses the catalog's own credentials; whoever runs the catalog must look at them."""

    # A person has to mend it: sooner, nothing will have changed.
    retry_after_seconds = 60


class Taken(Conflict):
    """Something lies under this key already."""


class ReadOnly(Conflict):
    """This store is for reading and listing alone: the catalog writes nothing there."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What the store says of one key. `sha256` is hex, and None when the store kept no checksum of the whole."""

    size: int
    etag: str
    sha256: str | None
    media_type: str
    version_id: str | None
    modified_at: datetime
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ticket:
    """One PUT that the store will accept: exactly these headers, exactly the declared bytes, once. Never log `url`."""

    url: str = field(repr=False)
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a store answered to a PUT that was tried."""

    status: int
    version_id: str | None

    @property
    def done(self) -> bool:
        """Whether the bytes lie there now."""
        return httpx2.codes.is_success(self.status)


@dataclass(frozen=True, slots=True)
class Remedy:
    """Who mends what a store refuses, as a person is told."""

    # Whose keys they are, and who must do what.
    keys: str = "the catalog's own credentials"
    refused: str = "Whoever runs the catalog must check the access and secret key"
    absent: str = "run `catalog migrate` to create it"


class Store:
    """One bucket with the endpoint as we reach it and as clients do. Close it.

    `transport` is how connections are made, for endpoints that others named. One that is not `writable` refuses
    whatever would write before any call. `capabilities` may change while it is used, as they are found.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        public_endpoint: str,
        region: str,
        bucket: str,
        prefix: str,
        access_key: str,
        secret_key: str,
        addressing: Addressing = Addressing.PATH,
        writable: bool = True,
        transport: httpx2.AsyncBaseTransport | None = None,
        remedy: Remedy = Remedy(),
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.endpoint = endpoint
        self.writable = writable
        self.capabilities = Capabilities()
        self._remedy = remedy
        keys = {"region": region, "access_key": access_key, "secret_key": secret_key}
        virtual = bucket if addressing is Addressing.VIRTUAL else None
        self._inside = Signer(endpoint=endpoint, virtual_bucket=virtual, **keys)
        self._outside = Signer(endpoint=public_endpoint, virtual_bucket=virtual, **keys)
        # httpx2 logs each request's URL at INFO, and ours carry signatures that work for whoever reads the log.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        self._client = httpx2.AsyncClient(
            # A proxy named in the environment would see, and could keep, every signed URL.
            trust_env=False,
            timeout=httpx2.Timeout(ANSWER_TIMEOUT.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds()),
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
            # Hashes and sizes are of the bytes as stored.
            headers={"accept-encoding": "identity"},
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(endpoint={self.endpoint!r}, bucket={self.bucket!r}, prefix={self.prefix!r})"

    async def close(self) -> None:
        """Close the connections; the store is of no use afterwards."""
        await self._client.aclose()

    async def ping(self) -> None:
        """Return when the bucket answers; raises Unavailable, NotFound or StoreRefused when it does not."""
        async with self._request("HEAD", "", patience=PING_TIMEOUT) as response:
            self._there(response)

    async def stat(self, key: str, *, version_id: str | None = None) -> Stat | None:
        """Say what is stored under `key`, or None when nothing is (any more)."""
        query = {"versionId": version_id} if version_id else {}
        async with self._request("HEAD", key, query=query, headers=_CHECKSUM_MODE) as response:
            if response.status_code in _NOTHING_THERE:
                return None
            # One that compares nothing repeats what it was told: that says nothing of the bytes.
            return _stat_of(response.headers, believed=self.capabilities.verifies)

    async def sha256_of(self, key: str, *, version_id: str | None = None) -> str:
        """Read the object through and give its SHA-256 in hex, in constant memory; NotFound when it is not there."""
        query = {"versionId": version_id} if version_id else {}
        digest = hashlib.sha256()
        async with self._request("GET", key, query=query) as response:
            if response.status_code in _NOTHING_THERE:
                raise NotFound("The store has no bytes under this key.")
            try:
                async with asyncio.timeout(SLOW_SECONDS) as ends:
                    # Raw: a file stored with Content-Encoding: gzip is hashed as it is stored.
                    async for chunk in response.aiter_raw(CHUNK_BYTES):
                        digest.update(chunk)
                        ends.reschedule((ends.when() or 0) + len(chunk) / SLOWEST_BYTES_PER_SECOND)
            except TimeoutError:
                raise Unavailable(f"The store at {self.endpoint} gives its bytes too slowly to read them.") from None
        return digest.hexdigest()

    async def beginning(self, key: str, *, version_id: str | None = None, most_bytes: int) -> bytes:
        """Read at most so many bytes from the start; NotFound when it is not there."""
        query = {"versionId": version_id} if version_id else {}
        taken = bytearray()
        async with self._request("GET", key, query=query, headers={"range": f"bytes=0-{most_bytes - 1}"}) as response:
            if response.status_code in _NOTHING_THERE:
                raise NotFound("The store has no bytes under this key.")
            # A store may answer with all of it (RFC 9110, section 14.2).
            async for chunk in response.aiter_raw(CHUNK_BYTES):
                taken += chunk
                if len(taken) >= most_bytes:
                    break
        return bytes(taken[:most_bytes])

    async def first_byte(self, key: str) -> bytes:
        """Return the first byte under a key, or nothing of an empty one: that it can be read; raises NotFound."""
        async with self._request("GET", key) as response:
            if response.status_code in _NOTHING_THERE:
                raise NotFound("The store has no bytes under this key.")
            async for chunk in response.aiter_raw(CHUNK_BYTES):
                # The rest is given up with the connection.
                return chunk[:1]
            return b""

    async def list(self, prefix: str, *, most: int | None = None) -> AsyncIterator[Listed]:
        """List the keys under `prefix`, which ends in a slash (or is empty), page by page in the store's order.

        `most` of them are enough for whoever asks only whether it may.
        """
        count = 0
        async for page in self.pages(prefix, most=most):
            for item in page.items:
                if most is not None and count >= most:
                    return
                count += 1
                yield item
            if most is not None and count >= most:
                return

    async def pages(self, prefix: str, *, after: str | None = None, most: int | None = None) -> AsyncIterator[Page]:
        """List the keys under `prefix` in pages of at most 1,000, or `most`; a page's `after` goes on behind it.

        Pages follow the store's own order, which S3 says is that of bytes and SeaweedFS makes that of folders: only the
        store's own mark leads to the next page, no key does (on 4.48 `start-after` leaves some out and repeats others).
        """
        if prefix and not prefix.endswith("/"):
            raise ValueError("a prefix to list ends in a slash: proj1 must never reach into proj10")
        asked = {"list-type": "2", "encoding-type": "url", "max-keys": str(min(most or PAGE_KEYS, PAGE_KEYS))}
        asked |= {"prefix": prefix} if prefix else {}
        while True:
            further = {"continuation-token": after} if after else {}
            async with self._request("GET", "", query=asked | further) as response:
                self._there(response)
                page = listings.page_of(await _whole(response, listings.ANSWER_BYTES_MAX))
            yield page
            after = page.after
            if after is None:
                return

    async def write(self, key: str, content: bytes, *, now: datetime) -> None:
        """Put a few bytes of our own, as the holder of a ticket would: whole, hashed, and only where nothing lies."""
        told = hashlib.sha256(content).hexdigest()
        await self.bring(key, content, size=len(content), sha256=told, media_type=_OPAQUE, now=now)

    async def bring(
        self,
        key: str,
        content: bytes | AsyncIterable[bytes],
        *,
        size: int,
        sha256: str,
        media_type: str,
        now: datetime,
    ) -> None:
        """Put bytes as the holder of a ticket would; raises Taken where something lies, Unavailable for others."""
        ticket = self.upload_ticket(
            key, size=size, sha256=sha256, media_type=media_type, lifetime=REQUEST_LIFETIME, now=now
        )
        async with self._request("PUT", key, headers=ticket.headers, content=content, also=_TAKEN) as response:
            if response.status_code in _TAKEN:
                raise Taken
            self._there(response)

    async def bring_part(
        self, key: str, upload_id: str, number: int, content: AsyncIterable[bytes], *, size: int, now: datetime
    ) -> None:
        """Put one part; raises NotFound when the store knows no such upload (any more)."""
        ticket = self.part_ticket(key, upload_id, number, size=size, lifetime=REQUEST_LIFETIME, now=now)
        query = {"partNumber": str(number), "uploadId": upload_id}
        async with self._request("PUT", key, query=query, headers=ticket.headers, content=content) as response:
            if response.status_code in _NOTHING_THERE:
                raise NotFound("The store knows no such upload in parts.")

    @asynccontextmanager
    async def reading(
        self, key: str, *, version_id: str | None, span: tuple[int, int] | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open the bytes under a key as a stream, all or those of a `span`: from which on, and how many.

        Raises NotFound; the stream raises Unavailable.
        """
        query = {"versionId": version_id} if version_id else {}
        headers = {} if span is None else {"range": f"bytes={span[0]}-{span[0] + span[1] - 1}"}
        async with self._request("GET", key, query=query, headers=headers) as response:
            if response.status_code in _NOTHING_THERE:
                raise NotFound("The store has no bytes under this key.")
            if span is not None and response.status_code != httpx2.codes.PARTIAL_CONTENT:
                raise Unavailable(f"The store at {self.endpoint} does not give a part of a file.")
            yield self._chunks(response)

    async def _chunks(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.aiter_raw(CHUNK_BYTES):
                yield chunk
        except httpx2.HTTPError as failure:
            # Said here: whoever passes the bytes on talks to another store.
            raise Unavailable(f"The store at {self.endpoint} broke off: {type(failure).__name__}.") from None

    async def attempt(self, key: str, content: bytes, *, sha256: str | None, once: bool) -> Attempt:
        """Try to put a few bytes, with this checksum said or none, and tell what the store answered.

        Raises StoreRefused, and Unavailable for what is no answer to these headers.
        """
        self.must_be_writable()
        headers = _put_headers(len(content), _OPAQUE, sha256=sha256, once=once)
        async with self._request("PUT", key, headers=headers, content=content, also=_DECLINED) as response:
            self._there(response)
            return Attempt(response.status_code, response.headers.get("x-amz-version-id"))

    async def setting(self, name: str) -> bytes | None:
        """Return how a setting of the bucket is, as the store writes it; None where it knows no such setting."""
        async with self._request("GET", "", query={name: ""}, also=_DECLINED) as response:
            is_told = httpx2.codes.is_success(response.status_code)
            return await _whole(response, SETTING_BYTES_MAX) if is_told else None

    async def change_setting(self, name: str, content: bytes) -> bool:
        """Set a setting of the bucket; whether the store took it. Raises StoreRefused where the keys may not."""
        headers = {"content-md5": base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()}
        async with self._request(
            "PUT", "", query={name: ""}, headers=headers, content=content, also=_DECLINED
        ) as response:
            return httpx2.codes.is_success(response.status_code)

    async def remove(self, key: str, version_id: str | None = None) -> str | None:
        """Remove the object; with versions on and no `version_id`, it is only hidden. Nothing there is fine.

        Returns the version of what hides it, if anything does.
        """
        self.must_be_writable()
        query = {"versionId": version_id} if version_id else {}
        async with self._request("DELETE", key, query=query) as response:
            return response.headers.get("x-amz-version-id") if version_id is None else None

    def download_link(
        self, key: str, *, version_id: str | None, filename: str, media_type: str, lifetime: timedelta, now: datetime
    ) -> Link:
        """Sign a link with which a client downloads this version, always as an attachment named `filename`.

        Offline. An attachment is never rendered, so an HTML or SVG file cannot run in the store's origin.
        """
        query = (
            f"response-content-disposition={_encoded_disposition(filename)}"
            f"&response-content-type={_encoded_media_type(media_type)}"
        )
        if version_id:
            query += f"&versionId={encoded(version_id)}"
        return self._outside.sign("GET", self.bucket, key, expires=lifetime, now=now, query=query)

    def inline_link(
        self, key: str, *, version_id: str | None, media_type: str, lifetime: timedelta, now: datetime
    ) -> Link:
        """Sign a link that a page shows in its place. Offline.

        Only for types that run nothing: the caller has a list of them, and the store is told to say this type.
        """
        query = f"response-content-disposition=inline&response-content-type={_encoded_media_type(media_type)}"
        if version_id:
            query += f"&versionId={encoded(version_id)}"
        return self._outside.sign("GET", self.bucket, key, expires=lifetime, now=now, query=query)

    def upload_ticket(
        self, key: str, *, size: int, sha256: str, media_type: str, lifetime: timedelta, now: datetime
    ) -> Ticket:
        """Sign the one PUT that brings the declared bytes to `key`. Offline.

        The store refuses another length (403), another type (403), and a missing header; other bytes (400) and a
        second PUT (412) where it can. Where it cannot it is not asked to: some refuse a header that they do not know.
        """
        self.must_be_writable()
        can = self.capabilities
        headers = _put_headers(size, media_type, sha256=sha256 if can.verifies else None, once=can.writes_once)
        link = self._outside.sign("PUT", self.bucket, key, expires=lifetime, now=now, headers=headers)
        return Ticket(link.href, headers, link.expires_at)

    async def begin_multipart(self, key: str, *, media_type: str) -> str:
        """Begin an upload in parts and return the store's id for it; nothing is under `key` until it is completed."""
        self.must_be_writable()
        headers = {"content-type": media_type}
        async with self._request("POST", key, query={"uploads": ""}, headers=headers) as response:
            self._there(response)
            return parts.upload_id(await _whole(response, parts.ANSWER_BYTES_MAX))

    def part_ticket(
        self, key: str, upload_id: str, number: int, *, size: int, lifetime: timedelta, now: datetime
    ) -> Ticket:
        """Sign the PUT of one part of exactly this size; sent again, it replaces what came before. Offline."""
        self.must_be_writable()
        headers = {"content-length": str(size)}
        query = {"partNumber": str(number), "uploadId": upload_id}
        link = self._outside.sign("PUT", self.bucket, key, expires=lifetime, now=now, query=query, headers=headers)
        return Ticket(link.href, headers, link.expires_at)

    async def parts_of(self, key: str, upload_id: str, *, most: int | None = None) -> Sequence[Part] | None:
        """List the parts that the store holds, in order; None when it knows no such upload (any more).

        `most` of them are enough for whoever asks only whether it does.
        """
        found: list[Part] = []
        after: int | None = 0
        while after is not None and (most is None or len(found) < most):
            query = {"uploadId": upload_id, "max-parts": str(most or PAGE_KEYS), "part-number-marker": str(after)}
            async with self._request("GET", key, query=query) as response:
                if response.status_code in _NOTHING_THERE:
                    return None
                page = parts.listing(await _whole(response, parts.ANSWER_BYTES_MAX))
            found += page.parts
            if page.after is not None and not after < page.after < parts.PARTS_MAX:
                raise Unavailable(f"The store at {self.endpoint} lists parts without end.")
            after = page.after
        return parts.newest(found)

    async def complete_multipart(self, key: str, upload_id: str, held: Sequence[Part]) -> bool:
        """Make one object of the parts; False when the store knows no such upload (any more).

        Completing it twice makes nothing twice: some stores then answer as before, others know it no more.
        Raises Unavailable, with the store's code, when it takes the parts for no whole.
        """
        self.must_be_writable()
        query, body = {"uploadId": upload_id}, parts.completion(held)
        async with self._request("POST", key, query=query, content=body, patience=JOIN_TIMEOUT) as response:
            if response.status_code in _NOTHING_THERE:
                return False
            # Joining takes time: S3 answers 200 first, and then whether it went well.
            code = parts.refusal(await _whole(response, parts.ANSWER_BYTES_MAX, patience=JOIN_TIMEOUT))
        if code == "NoSuchUpload":
            return False
        if code is not None:
            raise Unavailable(f"The store at {self.endpoint} did not join the parts: {code}.")
        return True

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Drop the parts; nothing there is fine."""
        self.must_be_writable()
        async with self._request("DELETE", key, query={"uploadId": upload_id}):
            return

    def must_be_writable(self) -> None:
        """Raise ReadOnly for a store that the catalog only reads."""
        if not self.writable:
            raise ReadOnly(
                f"The store at {self.endpoint} is for data: the catalog reads and lists bucket {self.bucket}, and "
                "writes nothing there."
            )

    def _there(self, response: httpx2.Response) -> None:
        if response.status_code in _NOTHING_THERE:
            raise NotFound(f"The store has no bucket {self.bucket}; {self._remedy.absent}.")

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] = {},
        headers: Mapping[str, str] = {},
        content: bytes | AsyncIterable[bytes] | None = None,
        patience: timedelta | None = None,
        also: frozenset[int] = _NOTHING_THERE,
    ) -> AsyncIterator[httpx2.Response]:
        """Send one signed request; success, 404, 405 and `also` come back, all else is raised as our own error."""
        link = self._inside.sign(
            method, self.bucket, key, expires=REQUEST_LIFETIME, now=datetime.now(UTC), query=query, headers=headers
        )
        patience = patience or ANSWER_TIMEOUT
        limits = httpx2.Timeout(patience.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds())
        request = self._client.build_request(method, link.href, headers=headers, content=content, timeout=limits)
        # What is sent as a stream takes as long as it does; all else is done at once.
        is_short = content is None or isinstance(content, bytes)
        try:
            with Call("store"):
                response = await self._answered(request, also, patience if is_short else None)
            async with aclosing(response):
                yield response
        except httpx2.TimeoutException:
            raise Unavailable(f"The store at {self.endpoint} did not answer in time.") from None
        except httpx2.HTTPError as failure:
            # Its text and its request may hold the signed URL: only its kind is told.
            raise Unavailable(f"The store at {self.endpoint} cannot be reached: {type(failure).__name__}.") from None

    async def _answered(
        self, request: httpx2.Request, also: frozenset[int], patience: timedelta | None
    ) -> httpx2.Response:
        """Send a request, and return the answer as far as its headers; without a body that anybody reads, to its end.

        The library's own limits are for each step: a store that answers byte by byte could hold us for days.
        """
        try:
            async with (
                asyncio.timeout(None if patience is None else patience.total_seconds()),
                AsyncExitStack() as opened,
            ):
                response = await self._client.send(request, stream=True)
                opened.push_async_callback(response.aclose)
                if response.status_code not in also:
                    self._check(response.status_code)
                if request.method in _BODILESS:
                    # To its end: a connection that was not read so far cannot be used again.
                    await _read_away(response)
                opened.pop_all()
                return response
        except TimeoutError:
            raise Unavailable(f"The store at {self.endpoint} did not answer in time.") from None

    def _check(self, status: int) -> None:
        # Redirects are refused with the rest: a store that moved needs another endpoint, and would be sent our links.
        if httpx2.codes.is_success(status) or status in _NOTHING_THERE:
            return
        if status in {httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN}:
            raise self.refused()
        raise Unavailable(f"The store at {self.endpoint} answered {status}.")

    def refused(self, code: str | None = None) -> StoreRefused:
        """Return what is raised where the store refuses our keys."""
        named = f" ({code})" if code else ""
        return StoreRefused(
            f"The store at {self.endpoint} refuses {self._remedy.keys}{named} on bucket {self.bucket}. "
            f"{self._remedy.refused}, the clock of the catalog's machine, and that the store's policy allows these "
            "keys to get, put, delete and list there."
        )


async def _whole(response: httpx2.Response, bytes_max: int, *, patience: timedelta | None = None) -> bytes:
    return await bounded.whole(response, bytes_max=bytes_max, patience=patience or ANSWER_TIMEOUT)


async def _read_away(response: httpx2.Response) -> None:
    """Read what is of no interest, as far as it is short."""
    came = 0
    async for chunk in response.aiter_raw():
        came += len(chunk)
        if came > CHUNK_BYTES:
            return


def _put_headers(size: int, media_type: str, *, sha256: str | None, once: bool) -> dict[str, str]:
    headers = {"content-length": str(size), "content-type": media_type}
    if once:
        headers["if-none-match"] = "*"
    if sha256 is not None:
        headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
    return headers


def disposition(filename: str) -> str:
    """Write Content-Disposition for a download (RFC 6266), with filename* (RFC 8187) when plain ASCII is not enough."""
    # Control characters, quotes and slashes must not reach any header, nor the folder it is saved in.
    plain = _ODD.sub("_", filename)
    header = f"{_ATTACHMENT}{plain}{_QUOTE}"
    if plain == filename:
        return header
    exact = filename.translate(_NO_FOLDERS)
    if not exact.isprintable():
        exact = "".join(letter if letter.isprintable() else "_" for letter in exact)
    return f"{header}; filename*=UTF-8''{encoded(exact)}"


def _encoded_disposition(filename: str) -> str:
    """Give `disposition` as it stands in a query; most names are plain, and then little has to be encoded."""
    spelled = encoded(filename)
    if spelled == filename or not _ODD.search(filename):
        return f"{_ENCODED_ATTACHMENT}{spelled}{_ENCODED_QUOTE}"
    return encoded(disposition(filename))


@lru_cache(maxsize=256)
def _encoded_media_type(media_type: str) -> str:
    return encoded(media_type if _MEDIA_TYPE.fullmatch(media_type) else _OPAQUE)


def _stat_of(headers: httpx2.Headers, *, believed: bool) -> Stat:
    try:
        version_id = headers.get("x-amz-version-id")
        return Stat(
            size=_size_of(headers),
            etag=headers.get("etag", "").strip('"'),
            sha256=_sha256_of(headers) if believed else None,
            media_type=headers.get("content-type", _OPAQUE),
            version_id=None if version_id == "null" else version_id,
            modified_at=parsedate_to_datetime(headers["last-modified"]).astimezone(UTC),
            metadata={name[len(_META) :]: value for name, value in headers.items() if name.startswith(_META)},
        )
    except (KeyError, ValueError, OverflowError):
        # OverflowError: a day that is beyond the calendar in UTC, or in a zone that no clock has.
        raise Unavailable("The store's answer to HEAD lacks a readable size or date.") from None


def _size_of(headers: httpx2.Headers) -> int:
    size = int(headers["content-length"])
    if size > listings.SIZE_BYTES_MAX:
        raise ValueError
    return size


def _sha256_of(headers: httpx2.Headers) -> str | None:
    """Read the checksum of the whole; one made of a multipart upload's parts says nothing of the bytes."""
    if headers.get("x-amz-checksum-type") == "COMPOSITE":
        return None
    try:
        # Stores that send no type mark such a one by -N at its end.
        digest = base64.b64decode(headers.get("x-amz-checksum-sha256", ""), validate=True)
    except ValueError:
        return None
    return digest.hex() if len(digest) == hashlib.sha256().digest_size else None

"""One bucket of an S3-compatible store: what is there, take it away, and links for clients to move the bytes.

The minio SDK, which is synchronous, serves what is rare (bucket, versions, notifications, listing) on a thread. What
every upload and every event needs goes out on our own signed URLs over one async client. Bytes never pass
through here, except to be hashed when a store kept no checksum.
"""

import base64
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import anyio
import httpx2
import urllib3
from minio import Minio
from minio.commonconfig import ENABLED
from minio.error import MinioException, S3Error
from minio.notificationconfig import NotificationConfig, PrefixFilterRule, QueueConfig
from minio.versioningconfig import VersioningConfig

from catalog.errors import Conflict, NotFound, Unavailable
from catalog.storage import parts
from catalog.storage.parts import Part
from catalog.storage.signing import Link, Signer, encoded

CONNECT_TIMEOUT = timedelta(seconds=3)
ANSWER_TIMEOUT = timedelta(seconds=15)
PING_TIMEOUT = timedelta(seconds=2)
# Stores that copy the parts of a large file to join them need minutes.
JOIN_TIMEOUT = timedelta(minutes=10)
CONNECTIONS_MAX = 32
CHUNK_BYTES = 256 * 1024
PAGE_KEYS = 1_000
# Our own requests are sent at once; the allowance is for clocks that differ, as large as S3's own (15 minutes).
REQUEST_LIFETIME = timedelta(minutes=15)

EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")

_OPAQUE = "application/octet-stream"
_ATTACHMENT, _QUOTE = 'attachment; filename="', '"'
_ENCODED_ATTACHMENT, _ENCODED_QUOTE = encoded(_ATTACHMENT), encoded(_QUOTE)
_NO_FOLDERS = str.maketrans("/\\", "__")
# What old clients misread in a quoted file name.
_ODD = re.compile(r"[^A-Za-z0-9 !#$&()+,.;=@\[\]^_`{}~-]")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[ -~]+", re.ASCII)
_CHECKSUM_MODE = {"x-amz-checksum-mode": "ENABLED"}
_META = "x-amz-meta-"

# A version that is a delete marker answers 405 (S3 API, HeadObject).
_NOTHING_THERE = frozenset({404, 405})
# What a store answers to a rule it does not understand: the rest of 4xx is about credentials.
_REFUSALS = frozenset({400, 404, 405, 409, 501})

Answer = TypeVar("Answer")


class StoreRefused(Unavailable):
    """The store refuses the catalog's own credentials; whoever runs the catalog must look at them."""

    # A person has to mend it: sooner, nothing will have changed.
    retry_after_seconds = 60


class NotificationsRefused(Conflict):
    """The store cannot be told to notify us."""


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
class Listed:
    """One key as a listing shows it."""

    key: str
    size: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Ticket:
    """One PUT that the store will accept: exactly these headers, exactly the declared bytes, once. Never log `url`."""

    url: str = field(repr=False)
    headers: Mapping[str, str]
    expires_at: datetime


class Store:
    """One bucket with the endpoint as we reach it and as clients do. Close it."""

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
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._endpoint = endpoint
        self._inside = Signer(endpoint=endpoint, region=region, access_key=access_key, secret_key=secret_key)
        self._outside = Signer(endpoint=public_endpoint, region=region, access_key=access_key, secret_key=secret_key)
        # httpx2 logs each request's URL at INFO, and ours carry signatures that work for whoever reads the log.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        self._client = httpx2.AsyncClient(
            # A proxy named in the environment would see, and could keep, every signed URL.
            trust_env=False,
            timeout=httpx2.Timeout(ANSWER_TIMEOUT.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds()),
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
            # Hashes and sizes are of the bytes as stored.
            headers={"accept-encoding": "identity"},
        )
        parts = urlsplit(endpoint)
        self._admin = Minio(
            parts.netloc,
            access_key=access_key,
            secret_key=secret_key,
            secure=parts.scheme == "https",
            region=region,
            http_client=urllib3.PoolManager(
                timeout=urllib3.Timeout(CONNECT_TIMEOUT.total_seconds(), read=ANSWER_TIMEOUT.total_seconds()),
                retries=urllib3.Retry(total=1, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
            ),
        )

    def __repr__(self) -> str:
        return f"Store(endpoint={self._endpoint!r}, bucket={self.bucket!r}, prefix={self.prefix!r})"

    async def close(self) -> None:
        """Close the connections; the store is of no use afterwards."""
        await self._client.aclose()

    async def ping(self) -> None:
        """Return when the bucket answers; raises Unavailable, NotFound or StoreRefused when it does not."""
        async with self._request("HEAD", "", patience=PING_TIMEOUT) as response:
            self._there(response)

    async def ensure_bucket(self, *, versioned: bool = True) -> None:
        """Create the bucket, with versions, unless it is there; may run anywhere, any number of times at once."""

        def ensure() -> None:
            if not self._admin.bucket_exists(self.bucket):
                try:
                    self._admin.make_bucket(self.bucket)
                except S3Error as refused:
                    # Another process was faster. If the bucket belongs to somebody else, the next call is refused.
                    if refused.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                        raise
            if versioned and self._admin.get_bucket_versioning(self.bucket).status != ENABLED:
                self._admin.set_bucket_versioning(self.bucket, VersioningConfig(ENABLED))

        await self._administer(ensure)

    async def set_notification(self, arn: str) -> None:
        """Have the bucket tell the target `arn` of every object made or removed under our prefix.

        Replaces the bucket's notifications. Raises NotificationsRefused where the store knows no such target, or
        cannot be told over S3 at all: SeaweedFS reads its target from notification.toml.
        """
        under = PrefixFilterRule(f"{self.prefix}/") if self.prefix else None
        target = QueueConfig(list(EVENTS), queue=arn, prefix_filter_rule=under)
        wanted = NotificationConfig(queue_config_list=[target])

        def put() -> None:
            try:
                self._admin.set_bucket_notification(self.bucket, wanted)
            except S3Error as refused:
                if refused.code == "NoSuchBucket" or refused.response.status not in _REFUSALS:
                    raise
                raise NotificationsRefused(
                    f"The store at {self._endpoint} does not take {arn} as a target of notifications: {refused.message}"
                ) from None

        await self._administer(put)

    async def stat(self, key: str, *, version_id: str | None = None) -> Stat | None:
        """Say what is stored under `key`, or None when nothing is (any more)."""
        query = {"versionId": version_id} if version_id else {}
        async with self._request("HEAD", key, query=query, headers=_CHECKSUM_MODE) as response:
            if response.status_code in _NOTHING_THERE:
                return None
            return _stat_of(response.headers)

    async def sha256_of(self, key: str, *, version_id: str | None = None) -> str:
        """Read the object through and give its SHA-256 in hex, in constant memory; NotFound when it is not there."""
        query = {"versionId": version_id} if version_id else {}
        digest = hashlib.sha256()
        async with self._request("GET", key, query=query) as response:
            if response.status_code in _NOTHING_THERE:
                raise NotFound("The store has no bytes under this key.")
            # Raw: a file stored with Content-Encoding: gzip is hashed as it is stored.
            async for chunk in response.aiter_raw(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    async def list(self, prefix: str) -> AsyncIterator[Listed]:
        """List the keys under `prefix`, which ends in a slash (or is empty), page by page in key order."""
        if prefix and not prefix.endswith("/"):
            raise ValueError("a prefix to list ends in a slash: proj1 must never reach into proj10")
        found: Iterator[Any] = self._admin.list_objects(self.bucket, prefix=prefix or None, recursive=True)
        while page := await self._administer(lambda: list(islice(found, PAGE_KEYS))):
            for item in page:
                if item.object_name is None or item.last_modified is None or item.is_dir:
                    continue
                yield Listed(item.object_name, item.size or 0, item.etag or "", item.last_modified)

    async def remove(self, key: str, version_id: str | None = None) -> None:
        """Remove the object; with versions on and no `version_id`, it is only hidden. Nothing there is fine."""
        query = {"versionId": version_id} if version_id else {}
        async with self._request("DELETE", key, query=query):
            return

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

    def upload_ticket(
        self, key: str, *, size: int, sha256: str, media_type: str, lifetime: timedelta, now: datetime
    ) -> Ticket:
        """Sign the one PUT that brings the declared bytes to `key`. Offline.

        The store refuses another length (403), other bytes (400), another type (403), a missing header, and a
        second PUT (412).
        """
        headers = {
            "content-length": str(size),
            "content-type": media_type,
            "if-none-match": "*",
            "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(sha256)).decode(),
        }
        link = self._outside.sign("PUT", self.bucket, key, expires=lifetime, now=now, headers=headers)
        return Ticket(link.href, headers, link.expires_at)

    async def begin_multipart(self, key: str, *, media_type: str) -> str:
        """Begin an upload in parts and return the store's id for it; nothing is under `key` until it is completed."""
        headers = {"content-type": media_type}
        async with self._request("POST", key, query={"uploads": ""}, headers=headers) as response:
            self._there(response)
            return parts.upload_id(await response.aread())

    def part_ticket(
        self, key: str, upload_id: str, number: int, *, size: int, lifetime: timedelta, now: datetime
    ) -> Ticket:
        """Sign the PUT of one part of exactly this size; sent again, it replaces what came before. Offline."""
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
                page = parts.listing(await response.aread())
            found += page.parts
            after = page.after
        return parts.newest(found)

    async def complete_multipart(self, key: str, upload_id: str, held: Sequence[Part]) -> bool:
        """Make one object of the parts; False when the store knows no such upload (any more).

        Completing it twice makes nothing twice: some stores then answer as before, others know it no more.
        Raises Unavailable, with the store's code, when it takes the parts for no whole.
        """
        query, body = {"uploadId": upload_id}, parts.completion(held)
        async with self._request("POST", key, query=query, content=body, patience=JOIN_TIMEOUT) as response:
            if response.status_code in _NOTHING_THERE:
                return False
            # Joining takes time: S3 answers 200 first, and then whether it went well.
            code = parts.refusal(await response.aread())
        if code == "NoSuchUpload":
            return False
        if code is not None:
            raise Unavailable(f"The store at {self._endpoint} did not join the parts: {code}.")
        return True

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Drop the parts; nothing there is fine."""
        async with self._request("DELETE", key, query={"uploadId": upload_id}):
            return

    def _there(self, response: httpx2.Response) -> None:
        if response.status_code in _NOTHING_THERE:
            raise NotFound(f"The store has no bucket {self.bucket}; run `catalog migrate` to create it.")

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] = {},
        headers: Mapping[str, str] = {},
        content: bytes | None = None,
        patience: timedelta = ANSWER_TIMEOUT,
    ) -> AsyncIterator[httpx2.Response]:
        """Send one signed request; success, 404 and 405 come back, everything else is raised as our own error."""
        link = self._inside.sign(
            method, self.bucket, key, expires=REQUEST_LIFETIME, now=datetime.now(UTC), query=query, headers=headers
        )
        limits = httpx2.Timeout(patience.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds())
        try:
            async with self._client.stream(
                method, link.href, headers=headers, content=content, timeout=limits
            ) as response:
                self._check(response.status_code)
                yield response
        except httpx2.TimeoutException:
            raise Unavailable(f"The store at {self._endpoint} did not answer in time.") from None
        except httpx2.HTTPError as failure:
            # Its text and its request may hold the signed URL: only its kind is told.
            raise Unavailable(f"The store at {self._endpoint} cannot be reached: {type(failure).__name__}.") from None

    def _check(self, status: int) -> None:
        # Redirects are refused with the rest: a store that moved needs another endpoint, and would be sent our links.
        if httpx2.codes.is_success(status) or status in _NOTHING_THERE:
            return
        if status in {httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN}:
            raise self._refused()
        raise Unavailable(f"The store at {self._endpoint} answered {status}.")

    def _refused(self, code: str | None = None) -> StoreRefused:
        named = f" ({code})" if code else ""
        return StoreRefused(
            f"The store at {self._endpoint} refuses the catalog's own credentials{named} on bucket {self.bucket}. "
            "Whoever runs the catalog must check the access and secret key, the clock of the catalog's machine, and "
            "that the store's policy allows these keys to get, put, delete and list there."
        )

    async def _administer(self, act: Callable[[], Answer]) -> Answer:
        """Run a call of the SDK on a thread and give its failures our own names."""
        try:
            return await anyio.to_thread.run_sync(act)
        except S3Error as refused:
            if refused.code == "NoSuchBucket":
                raise NotFound(f"The store has no bucket {self.bucket}; run `catalog migrate` to create it.") from None
            if refused.response.status in {httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN}:
                raise self._refused(refused.code) from None
            raise Unavailable(f"The store at {self._endpoint} answered {refused.code}: {refused.message}") from None
        except (MinioException, ParseError) as nonsense:
            raise Unavailable(
                f"What listens at {self._endpoint} does not answer as an S3 server does: {type(nonsense).__name__}."
            ) from None
        except urllib3.exceptions.HTTPError as failure:
            raise Unavailable(f"The store at {self._endpoint} cannot be reached: {type(failure).__name__}.") from None


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


def _stat_of(headers: httpx2.Headers) -> Stat:
    try:
        version_id = headers.get("x-amz-version-id")
        return Stat(
            size=int(headers["content-length"]),
            etag=headers.get("etag", "").strip('"'),
            sha256=_sha256_of(headers),
            media_type=headers.get("content-type", _OPAQUE),
            version_id=None if version_id == "null" else version_id,
            modified_at=parsedate_to_datetime(headers["last-modified"]).astimezone(UTC),
            metadata={name[len(_META) :]: value for name, value in headers.items() if name.startswith(_META)},
        )
    except (KeyError, ValueError):
        raise Unavailable("The store's answer to HEAD lacks a readable size or date.") from None


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

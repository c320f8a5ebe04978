"""Stores that fail: each failure becomes one of our errors, and nothing tells a signature."""

import asyncio
import gzip
import hashlib
import logging
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from catalog.errors import CatalogError, Unavailable
from catalog.local import ports
from catalog.storage import answers, s3
from catalog.storage.bounded import TooLong
from catalog.storage.own import OwnStore
from catalog.storage.s3 import Stat
from tests.loopback import Conversation, listening
from tests.storage.conftest import S3Server

Ask = Callable[[OwnStore], Awaitable[object]]

WHOLE = {
    "content-length": "5",
    "content-type": "text/csv",
    "etag": '"5d41402abc4b2a76b9719d911017c592"',
    "last-modified": "Sun, 01 Mar 2026 12:00:00 GMT",
    "x-amz-checksum-sha256": "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
    "x-amz-version-id": "v1",
    "x-amz-meta-site": "Lakeside",
}
READ = Stat(
    size=5,
    etag="5d41402abc4b2a76b9719d911017c592",
    sha256="2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    media_type="text/csv",
    version_id="v1",
    modified_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    metadata={"site": "Lakeside"},
)


@asynccontextmanager
async def store_that(answers: Conversation) -> AsyncGenerator[OwnStore]:
    """A client of a loopback server that holds each connection's conversation."""
    async with listening(answers) as port:
        store = store_at(port)
        try:
            yield store
        finally:
            await store.close()


def store_at(port: int) -> OwnStore:
    endpoint = f"http://127.0.0.1:{port}"
    return S3Server("none", endpoint, "us-east-1", "reader", "a-secret-of-ours", None).store("catalog")


def says(status: str, headers: dict[str, str], body: bytes = b"") -> Conversation:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {status}\r\n{lines}connection: close\r\n\r\n".encode() + body)

    return answer


async def says_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


ASKS: dict[str, Ask] = {
    "ping": lambda store: store.ping(),
    "stat": lambda store: store.stat("a"),
    "hash": lambda store: store.sha256_of("a"),
    "remove": lambda store: store.remove("a"),
    "list": lambda store: anext(store.list("")),
    "make": lambda store: store.ensure_bucket(),
    "notify": lambda store: store.set_notification("arn:minio:sqs::CATALOG:webhook"),
}


async def failure_of(asking: Awaitable[object]) -> CatalogError:
    with pytest.raises(CatalogError) as failed:
        await asking
    return failed.value


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
async def test_a_store_that_is_not_there_is_unavailable(ask: Ask) -> None:
    store = store_at(ports.choose())

    failure = await failure_of(ask(store))

    await store.close()
    assert (type(failure), "cannot be reached" in failure.detail) == (Unavailable, True)


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize(
    "answers",
    [
        hangs_up,
        says("503 Service Unavailable", {"content-length": "0"}),
        says("500 Internal Server Error", {"content-length": "0"}),
    ],
    ids=["hangs up", "503", "500"],
)
async def test_a_store_that_fails_is_unavailable(ask: Ask, answers: Conversation) -> None:
    async with store_that(answers) as store:
        failure = await failure_of(ask(store))

    assert (type(failure), " at http://127.0.0.1:" in failure.detail) == (Unavailable, True)


@pytest.mark.parametrize("ask", [ASKS["list"], ASKS["make"]], ids=["list", "make"])
async def test_an_answer_that_is_no_xml_is_unavailable(ask: Ask) -> None:
    async with store_that(says("200 OK", {"content-length": "5"}, b"<html")) as store:
        failure = await failure_of(ask(store))

    assert (type(failure), "does not answer as an S3 server does" in failure.detail) == (Unavailable, True)


async def test_a_store_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PING_TIMEOUT", timedelta(seconds=0.2))

    async with store_that(says_nothing) as store:
        failure = await failure_of(store.ping())

    assert (type(failure), failure.detail.endswith("did not answer in time.")) == (Unavailable, True)


@pytest.mark.parametrize("status", ["301 Moved Permanently", "307 Temporary Redirect", "400 Bad Request", "412 No"])
async def test_an_answer_that_is_no_success_is_never_taken_for_one(status: str) -> None:
    async with store_that(says(status, {**WHOLE, "location": "http://127.0.0.1:9/"})) as store:
        failure = await failure_of(store.stat("a"))

    assert (type(failure), failure.detail.endswith(f"answered {status[:3]}.")) == (Unavailable, True)


@pytest.mark.parametrize(
    ("changed", "read"),
    [
        ({}, READ),
        ({"x-amz-version-id": "null"}, replace(READ, version_id=None)),
        ({"x-amz-version-id": None}, replace(READ, version_id=None)),
        ({"x-amz-checksum-sha256": None}, replace(READ, sha256=None)),
        ({"x-amz-checksum-sha256": "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=-2"}, replace(READ, sha256=None)),
        ({"x-amz-checksum-sha256": "LPJN"}, replace(READ, sha256=None)),
        ({"x-amz-checksum-sha256": "größe"}, replace(READ, sha256=None)),
        ({"x-amz-checksum-type": "COMPOSITE"}, replace(READ, sha256=None)),
        ({"content-type": None}, replace(READ, media_type="application/octet-stream")),
        ({"etag": None}, replace(READ, etag="")),
    ],
)
async def test_what_a_store_says_of_a_key_is_read(changed: dict[str, str | None], read: Stat) -> None:
    headers = {name: value for name, value in {**WHOLE, **changed}.items() if value is not None}

    async with store_that(says("200 OK", headers)) as store:
        assert await store.stat("a") == read


@pytest.mark.parametrize(
    "changed",
    [
        {"last-modified": "yesterday"},
        {"last-modified": None},
        {"last-modified": "Fri, 31 Dec 9999 23:59:59 -0100"},
        {"last-modified": "Sun, 01 Mar 2026 12:00:00 +99999999999999999999"},
        {"content-length": None},
        {"content-length": "9223372036854775808"},
    ],
    ids=str,
)
async def test_an_answer_without_size_or_date_is_unavailable(changed: dict[str, str | None]) -> None:
    headers = {name: value for name, value in {**WHOLE, **changed}.items() if value is not None}

    async with store_that(says("200 OK", headers)) as store:
        failure = await failure_of(store.stat("a"))

    assert (type(failure), failure.detail) == (
        Unavailable,
        "The store's answer to HEAD lacks a readable size or date.",
    )


async def test_bytes_that_end_too_early_are_no_hash() -> None:
    async with store_that(says("200 OK", {"content-length": "10"}, b"five!")) as store:
        failure = await failure_of(store.sha256_of("a"))

    assert (type(failure), "cannot be reached" in failure.detail) == (Unavailable, True)


async def test_bytes_are_hashed_as_stored_even_by_a_store_that_likes_to_compress() -> None:
    async def compresses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        body = gzip.compress(b"five!") if b"gzip" in asked.lower() else b"five!"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)

    async with store_that(compresses) as store:
        assert await store.sha256_of("a") == hashlib.sha256(b"five!").hexdigest()


async def test_a_proxy_of_the_environment_sees_none_of_our_requests(
    s3_server: S3Server, any_store: OwnStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{ports.choose()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    store = s3_server.store(any_store.bucket)

    await store.ping()
    await store.ensure_bucket()
    await store.close()


async def test_no_failure_and_no_log_line_tells_a_signature_or_a_secret(
    s3_server: S3Server, any_store: OwnStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stores = [any_store, s3_server.store(any_store.bucket, secret_key="not-the-secret-key"), store_at(ports.choose())]
    told = []
    for store in stores:
        for ask in ASKS.values():
            try:
                await ask(store)
            except (CatalogError, StopAsyncIteration) as failure:
                told += traceback.format_exception(failure)
    for store in stores[1:]:
        await store.close()

    told += [record.getMessage() for record in caplog.records]
    assert [
        line for line in told if "X-Amz-Signature" in line or "secret-" in line or s3_server.secret_key in line
    ] == []
    assert len(told) > len(stores)


ANSWERED: dict[str, Ask] = {
    "list": lambda store: anext(store.list("")),
    "setting": lambda store: store.setting("versioning"),
    "begin in parts": lambda store: store.begin_multipart("a", media_type="text/csv"),
    "parts": lambda store: store.parts_of("a", "1"),
    "join": lambda store: store.complete_multipart("a", "1", []),
}


async def says_ever_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
    # No end, as far as a test may go.
    for _ in range(64):
        writer.write(b" " * 1024 * 1024)
        await writer.drain()


@pytest.mark.parametrize("ask", ANSWERED.values(), ids=ANSWERED)
async def test_an_answer_without_end_is_given_up(ask: Ask) -> None:
    async with store_that(says_ever_more) as store:
        failure = await failure_of(ask(store))

    assert (type(failure), failure.detail.startswith("The store's answer has more than ")) == (TooLong, True)


def trickles(first: bytes) -> Conversation:
    """Answers byte by byte, each in time."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        while not writer.is_closing():
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.05)

    return answer


@pytest.mark.parametrize("asked", ["ping", "stat", "hash", "remove"])
async def test_headers_that_come_byte_by_byte_are_given_up(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PING_TIMEOUT", "ANSWER_TIMEOUT"):
        monkeypatch.setattr(s3, name, timedelta(seconds=0.5))

    async with store_that(trickles(b"HTTP/1.1 200 OK\r\nx-slow: ")) as store, asyncio.timeout(10):
        failure = await failure_of(ASKS[asked](store))

    assert (type(failure), failure.detail.endswith("did not answer in time.")) == (Unavailable, True)


async def test_an_answer_that_comes_byte_by_byte_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "ANSWER_TIMEOUT", timedelta(seconds=2))

    async with store_that(trickles(b"HTTP/1.1 200 OK\r\n\r\n<")) as store, asyncio.timeout(10):
        failure = await failure_of(store.setting("versioning"))

    assert (type(failure), failure.detail) == (Unavailable, "The store did not finish its answer in time.")


async def test_bytes_that_trickle_are_not_read_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "SLOW_SECONDS", 0.5)

    async with store_that(trickles(b"HTTP/1.1 200 OK\r\n\r\n")) as store, asyncio.timeout(10):
        failure = await failure_of(store.sha256_of("a"))

    assert (type(failure), failure.detail.endswith("gives its bytes too slowly to read them.")) == (Unavailable, True)


async def test_parts_that_are_listed_without_end_are_given_up() -> None:
    page = (
        b"<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>"
        b"</ListPartsResult>"
    )
    async with store_that(says("200 OK", {"content-length": str(len(page))}, page)) as store, asyncio.timeout(10):
        failure = await failure_of(store.parts_of("a", "1"))

    assert (type(failure), failure.detail.endswith("lists parts without end.")) == (Unavailable, True)


async def test_declarations_are_refused_in_any_encoding() -> None:
    told = '<!DOCTYPE r [<!ENTITY a "many">]><VersioningConfiguration><Status>&a;</Status></VersioningConfiguration>'

    assert [answers.root_of(told.encode(how), bytes_max=1024) for how in ("utf-8", "utf-16")] == [None, None]


@pytest.mark.parametrize(
    "told",
    [
        {"Key": "a%00b"},
        {"Size": "9223372036854775808"},
        {"Size": "-1"},
        {"LastModified": "9999-12-31T23:59:59-01:00"},
    ],
    ids=str,
)
async def test_a_listing_of_what_no_row_could_hold_is_unavailable(told: dict[str, str]) -> None:
    said = {"Key": "a", "Size": "5", "ETag": "e", "LastModified": "2026-03-01T12:00:00Z"} | told
    one = "".join(f"<{name}>{text}</{name}>" for name, text in said.items())
    page = f"<ListBucketResult><EncodingType>url</EncodingType><Contents>{one}</Contents></ListBucketResult>".encode()
    async with store_that(says("200 OK", {"content-length": str(len(page))}, page)) as store:
        failure = await failure_of(ASKS["list"](store))

    assert (type(failure), failure.detail) == (
        Unavailable,
        "The store's listing has a key without size or date, or one that is none.",
    )

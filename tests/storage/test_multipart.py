"""Uploads in parts on real servers: cut, brought in any order, listed, joined, dropped."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from catalog.errors import Unavailable
from catalog.storage import parts
from catalog.storage.parts import Cut, Listing, Part
from catalog.storage.s3 import Store
from tests.conftest import eventually
from tests.storage.conftest import PREFIX, Heard

MIB = 1024 * 1024
# S3 takes parts from 5 MiB on; the last may be shorter.
SIZES = [5 * MIB, 5 * MIB, 1]
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODIFIED = b"<LastModified>2026-03-01T12:00:00.000Z</LastModified>"
NewKey = Callable[[str], str]

pytestmark = pytest.mark.req("SAGE-STORAGE-23")


def contents() -> list[bytes]:
    return [bytes([65 + place]) * size for place, size in enumerate(SIZES)]


async def put(http: httpx2.AsyncClient, store: Store, upload: tuple[str, str], number: int, content: bytes) -> int:
    ticket = store.part_ticket(*upload, number, size=len(content), lifetime=timedelta(minutes=5), now=datetime.now(UTC))
    return (await http.put(ticket.url, content=content, headers=dict(ticket.headers))).status_code


async def until_the_next_second() -> None:
    """Return when what is brought now bears another second than what was brought before: stores tell no more."""
    second = datetime.now(UTC).second

    async def another() -> bool:
        return datetime.now(UTC).second != second

    await eventually(another)


async def test_parts_brought_in_any_order_become_one_object(
    any_store: Store, http: httpx2.AsyncClient, new_key: NewKey, heard: Heard
) -> None:
    key = new_key("flight.mseed")
    whole = b"".join(contents())
    upload_id = await any_store.begin_multipart(key, media_type="application/vnd.fdsn.mseed")
    before = await any_store.stat(key)
    for number in (3, 1, 2):
        assert await put(http, any_store, (key, upload_id), number, contents()[number - 1]) == 200
    held = await any_store.parts_of(key, upload_id)
    assert held is not None

    joined = await any_store.complete_multipart(key, upload_id, held)

    stat = await any_store.stat(key)
    assert stat is not None
    assert (before, [(one.number, one.size) for one in held], joined) == (None, list(enumerate(SIZES, 1)), True)
    # A checksum of checksums says nothing of the whole, and is not taken for one.
    assert (stat.size, stat.sha256, stat.media_type, bool(stat.version_id)) == (
        len(whole),
        None,
        "application/vnd.fdsn.mseed",
        True,
    )
    assert await any_store.sha256_of(key, version_id=stat.version_id) == hashlib.sha256(whole).hexdigest()
    assert await heard.until(key)


async def test_a_part_sent_again_replaces_the_one_before(
    any_store: Store, http: httpx2.AsyncClient, new_key: NewKey
) -> None:
    key = new_key("again.bin")
    upload_id = await any_store.begin_multipart(key, media_type="application/octet-stream")
    await put(http, any_store, (key, upload_id), 1, b"first")
    await until_the_next_second()
    await put(http, any_store, (key, upload_id), 1, b"second")

    held = await any_store.parts_of(key, upload_id)

    assert held is not None
    second = hashlib.md5(b"second", usedforsecurity=False).hexdigest()
    assert [(one.number, one.size, one.etag) for one in held] == [(1, 6, second)]


async def test_a_part_of_another_length_is_refused(any_store: Store, http: httpx2.AsyncClient, new_key: NewKey) -> None:
    key = new_key("short.bin")
    upload_id = await any_store.begin_multipart(key, media_type="application/octet-stream")
    ticket = any_store.part_ticket(key, upload_id, 1, size=5, lifetime=timedelta(minutes=5), now=datetime.now(UTC))

    answers = [(await http.put(ticket.url, content=content)).status_code for content in (b"longer than said", b"less")]

    assert (answers, await any_store.parts_of(key, upload_id)) == ([403, 403], [])


async def test_joining_twice_makes_nothing_twice(any_store: Store, http: httpx2.AsyncClient, new_key: NewKey) -> None:
    """As when the first answer was lost."""
    key = new_key("twice.bin")
    upload_id = await any_store.begin_multipart(key, media_type="application/octet-stream")
    await put(http, any_store, (key, upload_id), 1, b"all")
    held = await any_store.parts_of(key, upload_id)
    assert held is not None
    assert await any_store.complete_multipart(key, upload_id, held)
    first = await any_store.stat(key)

    await any_store.complete_multipart(key, upload_id, held)

    assert first is not None
    assert (await any_store.stat(key), await any_store.parts_of(key, upload_id)) == (first, None)


async def test_dropped_parts_are_gone_and_may_be_dropped_again(
    any_store: Store, http: httpx2.AsyncClient, new_key: NewKey, project: str
) -> None:
    key = new_key("dropped.bin")
    upload_id = await any_store.begin_multipart(key, media_type="application/octet-stream")
    await put(http, any_store, (key, upload_id), 1, b"some")

    await any_store.abort_multipart(key, upload_id)
    await any_store.abort_multipart(key, upload_id)

    listed = [item.key async for item in any_store.list(f"{PREFIX}/{project}/")]
    assert (await any_store.parts_of(key, upload_id), await any_store.stat(key), listed) == (None, None, [])


async def test_more_parts_than_a_page_are_listed_whole(
    any_store: Store, http: httpx2.AsyncClient, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.storage.s3.PAGE_KEYS", 2)
    key = new_key("paged.bin")
    upload_id = await any_store.begin_multipart(key, media_type="application/octet-stream")
    await asyncio.gather(*(put(http, any_store, (key, upload_id), number, b"x" * number) for number in range(1, 6)))

    held = await any_store.parts_of(key, upload_id)

    assert held is not None
    assert [(one.number, one.size) for one in held] == [(number, number) for number in range(1, 6)]


@pytest.mark.parametrize(
    ("size", "cut"),
    {
        "small": (64 * MIB - 1, None),
        "from 64 MiB": (64 * MIB, Cut(64 * MIB, 16 * MIB, 4)),
        "a rest": (64 * MIB + 1, Cut(64 * MIB + 1, 16 * MIB, 5)),
        "10,000 parts": (10_000 * 16 * MIB, Cut(10_000 * 16 * MIB, 16 * MIB, 10_000)),
        "larger parts": (10_000 * 16 * MIB + 1, Cut(10_000 * 16 * MIB + 1, 17 * MIB, 9_412)),
        "5 TiB": (5 * 1024**4, Cut(5 * 1024**4, 525 * MIB, 9_987)),
    }.values(),
)
def test_a_file_is_cut_into_parts_that_every_store_takes(size: int, cut: Cut | None) -> None:
    found = parts.cut(size)

    assert found == cut
    if found is not None:
        last = found.bytes_of(found.count)
        assert (found.count - 1) * found.part_size + last == size
        assert 0 < last <= found.part_size


def test_what_is_missing_is_told_in_ranges() -> None:
    cut = Cut(size=95, part_size=10, count=10)
    held = [Part(number, size, "a", AT) for number, size in ((1, 10), (4, 9), (10, 5), (11, 10))]

    assert parts.ranges(parts.missing(cut, held)) == "2-9"
    assert parts.ranges([7, 1, 2, 3, 9, 10]) == "1-3, 7, 9-10"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no XML",
        b"<ListPartsResult><Part><PartNumber>x</PartNumber></Part></ListPartsResult>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><ListPartsResult/>',
        b"<a>" * 5_000_000,
    ],
)
def test_what_no_store_should_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(Unavailable):
        parts.listing(answer)


def test_a_listing_is_read_with_and_without_a_namespace() -> None:
    bare = b"<L><IsTruncated>true</IsTruncated><NextPartNumberMarker>7</NextPartNumberMarker>%s</L>"
    part = b"<Part><PartNumber>7</PartNumber><Size>3</Size><ETag>&quot;ab-1&quot;</ETag>%s</Part>" % MODIFIED
    named = (bare % part).replace(b"<L>", b'<L xmlns="http://s3.amazonaws.com/doc/2006-03-01/">')

    assert parts.listing(bare % part) == parts.listing(named) == Listing([Part(7, 3, "ab-1", AT)], 7)


def test_of_several_tries_of_a_part_the_last_one_counts() -> None:
    tries = [Part(2, 5, "b", AT), Part(1, 5, "new", AT), Part(1, 5, "old", AT - timedelta(seconds=1))]

    assert parts.newest(tries) == [Part(1, 5, "new", AT), Part(2, 5, "b", AT)]


def test_an_etag_that_would_break_the_request_is_refused() -> None:
    with pytest.raises(Unavailable):
        parts.completion([Part(1, 1, 'x"/><Part>', AT)])

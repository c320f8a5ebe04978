"""One bucket on real servers: difficult keys, tickets that admit exactly one upload, links, versions, listing."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest
from litestar.testing import RequestFactory

from catalog.api.problems import answer_for
from catalog.errors import NotFound
from catalog.storage.keys import KEY_BYTES_MAX, PART_BYTES_MAX, room_bytes
from catalog.storage.listings import Listed
from catalog.storage.own import NotificationsRefused, OwnStore
from catalog.storage.s3 import Stat, StoreRefused
from tests.faults.relay import Relay
from tests.storage.conftest import PREFIX, Heard, S3Server, ticket_for, upload

CSV = b"depth,pH\n10,6.4\n20,6.5\n"
NewKey = Callable[[str], str]

DIFFICULT = [
    "my file (1).csv",
    "a+b%20c%2Fd=e&f?g#h~i.csv",
    "…/ünï/çødé/数据/😀.csv",
    "cafe\u0301/café.csv",
    "'\"`<>|*:;,@$!^[]{}.csv",
    " leading/trailing .csv ",
    ".hidden/...",
    "xl.meta/part.1",
    "x" * PART_BYTES_MAX,
    "é" * (PART_BYTES_MAX // 2),
]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def link(
    store: OwnStore,
    key: str,
    *,
    version_id: str | None = None,
    filename: str = "soil.csv",
    media_type: str = "text/csv",
    lifetime: timedelta = timedelta(minutes=5),
    now: datetime | None = None,
) -> str:
    return store.download_link(
        key,
        version_id=version_id,
        filename=filename,
        media_type=media_type,
        lifetime=lifetime,
        now=now or datetime.now(UTC),
    ).href


async def listed(store: OwnStore, prefix: str) -> list[str]:
    return [item.key async for item in store.list(prefix)]


@pytest.mark.req("MWM-STORAGE-3")
@pytest.mark.parametrize("path", DIFFICULT)
async def test_a_difficult_path_survives_the_round_trip(
    any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey, project: str, path: str
) -> None:
    key = new_key(path)

    await upload(http, any_store, key, CSV)

    stat = await any_store.stat(key)
    download = await http.get(link(any_store, key))
    assert (stat and stat.sha256, download.content, await listed(any_store, f"{PREFIX}/{project}/")) == (
        sha256(CSV),
        CSV,
        [key],
    )


async def test_a_key_of_as_many_bytes_as_allowed_survives_the_round_trip(
    any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey, project: str
) -> None:
    room = room_bytes(PREFIX, project)
    key = new_key("é/" * 200 + "/".join(["x" * 99] * 4)[: room - 600])

    await upload(http, any_store, key, CSV)

    stat = await any_store.stat(key)
    assert (len(key.encode()), stat and stat.sha256, (await http.get(link(any_store, key))).content) == (
        KEY_BYTES_MAX,
        sha256(CSV),
        CSV,
    )


async def test_two_spellings_of_one_name_are_two_files(
    any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey, project: str
) -> None:
    folder = new_key("x").removesuffix("x")
    await upload(http, any_store, f"{folder}café", b"one")
    await upload(http, any_store, f"{folder}cafe\u0301", b"other")

    found = {item.key: item.size async for item in any_store.list(f"{PREFIX}/{project}/")}
    assert found == {f"{folder}café": 3, f"{folder}cafe\u0301": 5}


async def test_what_a_ticket_brought_is_described_whole(
    any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey
) -> None:
    key = new_key("soil.csv")
    before = datetime.now(UTC).replace(microsecond=0)

    await upload(http, any_store, key, CSV, media_type="text/csv; charset=utf-8")

    stat = await any_store.stat(key)
    assert stat is not None
    assert replace(stat, modified_at=before) == Stat(
        size=len(CSV),
        etag=hashlib.md5(CSV, usedforsecurity=False).hexdigest(),
        sha256=sha256(CSV),
        media_type="text/csv; charset=utf-8",
        version_id=stat.version_id,
        modified_at=before,
        metadata={},
    )
    assert stat.version_id
    assert before - timedelta(seconds=2) <= stat.modified_at <= datetime.now(UTC) + timedelta(seconds=2)


async def test_an_empty_file_can_be_uploaded(any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey) -> None:
    key = new_key("empty.txt")

    await upload(http, any_store, key, b"")

    stat = await any_store.stat(key)
    assert (stat and stat.size, stat and stat.sha256) == (0, sha256(b""))


@pytest.mark.parametrize(
    ("sent", "changed", "refusals"),
    [
        (CSV + b"x", {"content-length": str(len(CSV) + 1)}, {403}),
        (CSV[:-1], {"content-length": str(len(CSV) - 1)}, {403}),
        (CSV.swapcase(), {}, {400}),
        (CSV, {"content-type": "text/html"}, {403}),
        (CSV, {"content-type": None}, {400, 403}),
        (CSV, {"if-none-match": None}, {400, 403}),
        (CSV, {"x-amz-checksum-sha256": None}, {400, 403}),
    ],
    ids=["longer", "shorter", "other bytes", "other type", "no type", "no condition", "no checksum"],
)
async def test_a_ticket_admits_nothing_but_what_was_declared(
    *,
    any_store: OwnStore,
    http: httpx2.AsyncClient,
    new_key: NewKey,
    sent: bytes,
    changed: dict[str, str | None],
    refusals: set[int],
) -> None:
    key = new_key("soil.csv")
    ticket = ticket_for(any_store, key, CSV)
    headers = {name: value for name, value in ({**ticket.headers, **changed}).items() if value is not None}

    answer = await http.put(ticket.url, content=sent, headers=headers)

    assert answer.status_code in refusals, answer.text
    assert await any_store.stat(key) is None


async def test_a_ticket_admits_one_upload(any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey) -> None:
    key = new_key("soil.csv")
    first, second = ticket_for(any_store, key, CSV), ticket_for(any_store, key, b"other")
    await http.put(first.url, content=CSV, headers=dict(first.headers))

    again = await http.put(first.url, content=CSV, headers=dict(first.headers))
    other = await http.put(second.url, content=b"other", headers=dict(second.headers))

    stat = await any_store.stat(key)
    assert (again.status_code, other.status_code, stat and stat.sha256) == (412, 412, sha256(CSV))


async def test_an_old_ticket_is_refused(any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey) -> None:
    key = new_key("soil.csv")
    ticket = any_store.upload_ticket(
        key,
        size=len(CSV),
        sha256=sha256(CSV),
        media_type="text/csv",
        lifetime=timedelta(seconds=1),
        now=datetime.now(UTC) - timedelta(seconds=3),
    )

    answer = await http.put(ticket.url, content=CSV, headers=dict(ticket.headers))

    assert (answer.status_code, await any_store.stat(key)) == (403, None)


async def test_a_ticket_is_for_one_key(any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey) -> None:
    ticket = ticket_for(any_store, new_key("soil.csv"), CSV)

    answer = await http.put(ticket.url.replace("soil.csv", "rock.csv"), content=CSV, headers=dict(ticket.headers))

    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("filename", "media_type", "expected"),
    [
        ("soil 1.csv", "text/csv", ('attachment; filename="soil 1.csv"', "text/csv")),
        ("page.html", "text/html", ('attachment; filename="page.html"', "text/html")),
        ("image.svg", "image/svg+xml", ('attachment; filename="image.svg"', "image/svg+xml")),
        (
            'Ü "1" 100%;\r\nx: y.csv',
            "text/csv\r\nx: y",
            (
                (
                    'attachment; filename="_ _1_ 100_;__x_ y.csv"; '
                    "filename*=UTF-8''%C3%9C%20%221%22%20100%25%3B__x%3A%20y.csv"
                ),
                "application/octet-stream",
            ),
        ),
    ],
)
async def test_a_download_has_the_name_and_type_we_gave_and_is_never_shown(
    *,
    any_store: OwnStore,
    http: httpx2.AsyncClient,
    new_key: NewKey,
    filename: str,
    media_type: str,
    expected: tuple[str, str],
) -> None:
    key = new_key("soil.csv")
    await upload(http, any_store, key, CSV)

    answer = await http.get(link(any_store, key, filename=filename, media_type=media_type))

    assert (answer.headers["content-disposition"], answer.headers["content-type"]) == expected


async def test_a_part_of_a_download_can_be_asked_for(
    any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey
) -> None:
    key = new_key("soil.csv")
    await upload(http, any_store, key, CSV)

    answer = await http.get(link(any_store, key), headers={"range": "bytes=9-13"})

    assert (answer.status_code, answer.headers["content-range"], answer.content) == (
        206,
        f"bytes 9-13/{len(CSV)}",
        b"10,6.",
    )


@pytest.mark.parametrize(
    ("good", "tampered"),
    [
        ("soil.csv?", "rock.csv?"),
        ("attachment", "inline"),
        ("text%2Fcsv", "text%2Fhtml"),
        ("X-Amz-Expires=300", "X-Amz-Expires=301"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
    ],
)
async def test_a_changed_link_is_refused(
    any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey, good: str, tampered: str
) -> None:
    key = new_key("soil.csv")
    await upload(http, any_store, key, CSV)
    href = link(any_store, key)
    assert good in href

    assert (await http.get(href.replace(good, tampered))).status_code == 403


async def test_a_link_dies_at_its_time(any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey) -> None:
    key = new_key("soil.csv")
    await upload(http, any_store, key, CSV)
    now = datetime.now(UTC)

    lives = await http.get(link(any_store, key, now=now - timedelta(seconds=60), lifetime=timedelta(seconds=120)))
    dead = await http.get(link(any_store, key, now=now - timedelta(seconds=60), lifetime=timedelta(seconds=58)))

    assert (lives.status_code, dead.status_code) == (200, 403)


async def test_a_link_reads_the_version_it_names_whatever_came_later(
    any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey
) -> None:
    key = new_key("soil.csv")
    await upload(http, any_store, key, CSV)
    first = await any_store.stat(key)
    assert first is not None
    # Another credential, or an administrator, may write what no ticket of ours would.
    await overwrite(http, any_store, key, b"changed")
    await any_store.remove(key)

    kept = await any_store.stat(key, version_id=first.version_id)
    download = await http.get(link(any_store, key, version_id=first.version_id))
    assert (await any_store.stat(key), kept, download.content) == (None, first, CSV)


async def test_a_removed_version_is_gone_for_good(
    any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey
) -> None:
    key = new_key("soil.csv")
    await upload(http, any_store, key, CSV)
    stat = await any_store.stat(key)
    assert stat is not None

    await any_store.remove(key, stat.version_id)
    await any_store.remove(key, stat.version_id)

    assert [await any_store.stat(key), await any_store.stat(key, version_id=stat.version_id)] == [None, None]
    with pytest.raises(NotFound, match="The store has no bytes under this key"):
        await any_store.sha256_of(key, version_id=stat.version_id)


async def test_bytes_that_came_without_a_checksum_are_hashed_by_reading_them(
    any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey
) -> None:
    key = new_key("soil.txt")
    # Compressible and longer than one chunk: a server that compresses must not change what is hashed.
    content = b"soil " * 200_000
    await overwrite(http, any_store, key, content, **{"content-type": "text/plain", "content-encoding": "gzip"})

    stat = await any_store.stat(key)
    assert stat is not None
    assert (stat.sha256, stat.size, await any_store.sha256_of(key)) == (None, len(content), sha256(content))


async def test_metadata_of_a_foreign_upload_is_told(
    any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey
) -> None:
    key = new_key("soil.csv")
    await overwrite(http, any_store, key, CSV, **{"x-amz-meta-site": "Lakeside 4"})

    stat = await any_store.stat(key)

    assert stat is not None
    assert dict(stat.metadata) == {"site": "Lakeside 4"}


async def test_a_listing_names_every_key_once_in_order(
    any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey, project: str
) -> None:
    # More than a store gives in one page.
    keys = sorted(new_key(f"{number}.txt") for number in range(1_010))
    for start in range(0, len(keys), 10):
        await asyncio.gather(*(upload(http, any_store, key, b"x") for key in keys[start : start + 10]))

    assert await listed(any_store, f"{PREFIX}/{project}/") == keys


async def test_a_listed_key_has_size_etag_and_time(
    any_store: OwnStore, http: httpx2.AsyncClient, new_key: NewKey, project: str
) -> None:
    key = new_key("soil.csv")
    await upload(http, any_store, key, CSV)
    stat = await any_store.stat(key)
    assert stat is not None

    found = [item async for item in any_store.list(f"{PREFIX}/{project}/")]

    assert [replace(item, modified_at=stat.modified_at) for item in found] == [
        Listed(key, len(CSV), stat.etag, stat.modified_at)
    ]
    assert abs(found[0].modified_at - stat.modified_at) < timedelta(seconds=1)


async def test_a_listing_stays_behind_its_slash(any_store: OwnStore, http: httpx2.AsyncClient, project: str) -> None:
    for name in (project, f"{project}0"):
        await upload(http, any_store, f"{PREFIX}/{name}/uploads/a", CSV)

    assert await listed(any_store, f"{PREFIX}/{project}/") == [f"{PREFIX}/{project}/uploads/a"]
    with pytest.raises(ValueError, match="a prefix to list ends in a slash"):
        await listed(any_store, f"{PREFIX}/{project}")


async def test_nothing_is_listed_where_nothing_is(any_store: OwnStore, project: str) -> None:
    assert await listed(any_store, f"{PREFIX}/{project}/") == []


async def test_many_may_make_the_same_bucket_at_once(s3_server: S3Server, http: httpx2.AsyncClient) -> None:
    stores = [s3_server.store(f"t{uuid4().hex[:12]}") for _ in range(1)] * 6

    await asyncio.gather(*(store.ensure_bucket() for store in stores))
    await stores[0].ensure_bucket()

    await upload(http, stores[0], "a", CSV)
    stat = await stores[0].stat("a")
    assert stat
    assert stat.version_id
    await stores[0].close()


async def test_a_bucket_that_is_not_there_is_named(s3_server: S3Server) -> None:
    store = s3_server.store("nobody-made-this")
    says = "The store has no bucket nobody-made-this; run `catalog migrate` to create it."

    with pytest.raises(NotFound) as pinged:
        await store.ping()
    with pytest.raises(NotFound) as read:
        await listed(store, "")

    assert [pinged.value.detail, read.value.detail] == [says, says]
    await store.close()


@pytest.mark.parametrize("wrong", [{"secret_key": "not-the-secret-key"}, {"access_key": "nobody"}])
async def test_credentials_that_the_store_refuses_are_told_apart_and_not_told(
    s3_server: S3Server, any_store: OwnStore, wrong: dict[str, str]
) -> None:
    store = s3_server.store(any_store.bucket, **wrong)
    refusals = []
    for ask in (store.ping(), store.stat("a"), store.remove("a"), store.ensure_bucket()):
        with pytest.raises(StoreRefused) as refused:
            await ask
        refusals.append(refused.value.detail)

    await store.close()
    for told in refusals:
        assert "refuses the catalog's own credentials" in told
        assert "Whoever runs the catalog must check the access and secret key" in told
        assert not {*wrong.values()} & {*told.split()}


async def test_whoever_asks_is_not_blamed_for_keys_of_the_catalog_that_the_store_refuses(
    s3_server: S3Server, any_store: OwnStore
) -> None:
    store = s3_server.store(any_store.bucket, secret_key="not-the-secret-key")
    with pytest.raises(StoreRefused) as refused:
        await store.ping()
    await store.close()

    answer = answer_for(RequestFactory().get("/api/search"), refused.value)

    told = json.loads(answer.content)
    assert told.pop("request_id")
    assert (answer.status_code, answer.headers["Retry-After"], told) == (
        503,
        "60",
        {
            "type": "/problems/unavailable",
            "title": "Temporarily unavailable",
            "status": 503,
            "detail": (
                f"The store at {s3_server.endpoint} refuses the catalog's own credentials on bucket {store.bucket}. "
                "Whoever runs the catalog must check the access and secret key, the clock of the catalog's machine, "
                "and that the store's policy allows these keys to get, put, delete and list there."
            ),
            "instance": "/api/search",
        },
    )


async def test_a_store_that_answers_is_told_by_returning(any_store: OwnStore) -> None:
    await any_store.ping()


async def test_a_target_of_notifications_that_the_store_does_not_know_is_refused(any_store: OwnStore) -> None:
    with pytest.raises(NotificationsRefused, match="does not take arn:minio:sqs::NOBODY:webhook as a target"):
        await any_store.set_notification("arn:minio:sqs::NOBODY:webhook")


@pytest.mark.parametrize("path", ["soil.csv", "my file+ü%20#?&=~.csv", "…/😀/cafe\u0301"])
async def test_an_upload_and_a_removal_are_noticed_under_their_key(
    *,
    s3_server: S3Server,
    any_store: OwnStore,
    http: httpx2.AsyncClient,
    heard: Heard,
    new_key: NewKey,
    project: str,
    path: str,
) -> None:
    key = new_key(path)

    await upload(http, any_store, key, CSV)
    # SeaweedFS tells of the version and of the note that it is the latest.
    uploaded = await heard.until(key, times=1 if s3_server.kind == "minio" else 2)
    await any_store.remove(key)
    removed = await heard.until(key, times=len(uploaded) + 1)

    of_project = [notice for notice in heard.notices if notice.key.startswith(f"{PREFIX}/{project}/")]
    assert {(notice.bucket, notice.key) for notice in of_project} == {(any_store.bucket, key)}
    assert [notice.event for notice in removed[len(uploaded) :]][:1] in (
        [["ObjectRemoved:DeleteMarkerCreated"]] if s3_server.kind == "minio" else [["create"], ["update"]]
    )


async def overwrite(http: httpx2.AsyncClient, store: OwnStore, key: str, content: bytes, **headers: str) -> None:
    """Write as somebody else with rights on the bucket would: unconditionally, with no checksum."""
    signed = store._inside.sign(  # noqa: SLF001 - no verb of ours writes like this.
        "PUT", store.bucket, key, expires=timedelta(minutes=1), now=datetime.now(UTC), headers=headers
    )
    answer = await http.put(signed.href, content=content, headers=headers)
    assert answer.status_code == 200, answer.text


async def test_one_connection_serves_all_that_is_asked_one_after_the_other(
    s3_server: S3Server, any_store: OwnStore, new_key: NewKey
) -> None:
    """A connection costs a store more than what is asked over it."""
    where = urlsplit(s3_server.endpoint)
    relay = Relay(where.hostname or "", where.port or 0)
    await relay.open()
    store = s3_server.store(any_store.bucket, endpoint=f"http://127.0.0.1:{relay.port}")
    try:
        for number in range(5):
            key = new_key(f"{number}.csv")
            await store.write(key, CSV, now=datetime.now(UTC))
            found = await store.stat(key)
            assert (found and found.sha256, await store.stat(f"{key}.not")) == (sha256(CSV), None)
            await store.remove(key)
        assert relay.connections == 1
    finally:
        await store.close()
        await relay.close()

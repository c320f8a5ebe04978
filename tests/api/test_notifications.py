"""What buckets tell is kept before it is answered, readable or not, and nothing else is."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from pydantic import PostgresDsn

from catalog.engines import Engines, opened
from catalog.local import ports
from catalog.storage.dialects import eventbridge, s3, seaweedfs
from catalog.storage.unreadable import BODY_BYTES_KEPT
from indexer import loop
from tests.api.conftest import bystanders, in_process, plain, read, register
from tests.api.problems import problem_of, simple
from tests.api.truth import as_text, everything, rows
from tests.api.uploads import bring, declared, key_of, shown
from tests.conftest import Clients, Live, eventually, make_tokens, make_world, notified, prepare, running

S3 = "/api/notifications/s3"
SEAWEEDFS = "/api/notifications/seaweedfs"
EVENTBRIDGE = "/api/notifications/eventbridge"


@dataclass(frozen=True)
class Unattended:
    """A catalog without an indexer: what is queued stays, to be looked at."""

    live: Live
    clients: Clients
    engines: Engines
    store: httpx2.AsyncClient

    @property
    def bucket(self) -> str:
        """The bucket that this catalog cares for."""
        return self.live.settings.store_bucket

    async def queued(self) -> list[str]:
        """Return the keys to look at now, whichever way they came into the queue."""
        found = await rows(
            self.engines,
            "SELECT subject FROM queue WHERE topic = 'key' AND ready_at <= now() + interval '1 minute' ORDER BY id",
        )
        return [row["subject"] for row in found]

    async def kept(self) -> list[dict[str, Any]]:
        """Return what could not be read."""
        return await rows(self.engines, "SELECT dialect, reason, body FROM unreadable_notification ORDER BY id")

    def event(self, key: str, bucket: str | None = None) -> dict[str, Any]:
        """Return what MinIO sends."""
        told = {"bucket": {"name": bucket or self.bucket}, "object": {"key": key, "sequencer": "1"}}
        return {"Records": [{"eventName": "s3:ObjectCreated:Put", "eventSource": "minio:s3", "s3": told}]}


@pytest.fixture(scope="module")
async def shared(
    engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> AsyncGenerator[Unattended]:
    """The catalog of this module, which its store notifies."""
    world = make_world(engines_ready, tmp_path_factory.mktemp("unattended"))
    await prepare(world, engines_ready)
    tokens = await make_tokens(world)
    headers = {"Authorization": f"Bearer {world.settings.notification_token.get_secret_value()}"}
    with notified(pytestconfig, world), running(world, tokens, "api") as live:
        clients = Clients(live)
        async with (
            opened(world.settings) as engines,
            httpx2.AsyncClient(base_url=live.url, headers=headers, trust_env=False, timeout=30) as store,
        ):
            for body in bystanders():
                await register(clients.other, body)
            yield Unattended(live, clients, engines, store)
        await clients.close()


@pytest.fixture
async def unattended(shared: Unattended) -> Unattended:
    """The catalog with nothing to look at, and nothing unreadable kept."""
    async with shared.engines.database.transaction() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("DELETE FROM queue")
        await connection.exec_driver_sql("DELETE FROM unreadable_notification")
    return shared


async def test_a_notification_is_in_the_queue_when_it_is_answered(unattended: Unattended) -> None:
    answer = await unattended.store.post(S3, json=unattended.event("a%2Bb+c%20d/%E6%97%A5.csv"))

    assert (answer.status_code, answer.content) == (204, b"")
    assert await unattended.queued() == [f"default/{unattended.bucket}/a+b c d/日.csv"]
    # Repetition is one entry, however often.
    for _ in range(3):
        await unattended.store.post(S3, json=unattended.event("a%2Bb+c%20d/%E6%97%A5.csv"))
    (row,) = await rows(unattended.engines, "SELECT subject, touched, attempts FROM queue")
    assert row == {"subject": f"default/{unattended.bucket}/a+b c d/日.csv", "touched": 3, "attempts": 0}


async def test_seaweedfs_is_understood_in_its_own_words(unattended: Unattended) -> None:
    told = {
        "event_type": "create",
        "key": f"/buckets/{unattended.bucket}/a+b c%20.csv",
        "message": {"new_entry": {"name": "a+b c%20.csv"}},
    }

    answer = await unattended.store.post(SEAWEEDFS, json=told)

    assert answer.status_code == 204
    assert await unattended.queued() == [f"default/{unattended.bucket}/a+b c%20.csv"]


async def test_the_bus_is_understood_in_its_own_words_and_kept_where_it_is_not(unattended: Unattended) -> None:
    told = {
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {"bucket": {"name": unattended.bucket}, "object": {"key": "a+b c%20.csv", "sequencer": "1"}},
    }

    answers = [
        await unattended.store.post(EVENTBRIDGE, content=b"hello"),
        await unattended.store.post(EVENTBRIDGE, content=b" " * (eventbridge.BODY_BYTES_MAX + 1)),
        await unattended.store.post(EVENTBRIDGE, json=told),
    ]

    assert [answer.status_code for answer in answers] == [204] * 3
    assert [row["dialect"] for row in await unattended.kept()] == ["eventbridge"] * 2
    assert await unattended.queued() == [f"default/{unattended.bucket}/a+b c%20.csv"]


async def test_only_a_store_with_the_token_is_heard(unattended: Unattended) -> None:
    before = await everything(unattended.engines)
    good = unattended.live.settings.notification_token.get_secret_value()
    refused = simple(
        "unauthenticated", "Who are you?", 401, "Send the notification token as `Authorization: Bearer <token>`."
    )

    for address in (S3, SEAWEEDFS, EVENTBRIDGE):
        for sent in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {good}"},
            {"Authorization": f"Bearer {good}x"},
            {"Authorization": f"Bearer {unattended.live.tokens['admin']}"},
        ):
            for body in (json.dumps(unattended.event("a")).encode(), b"rubbish"):
                answer = await unattended.clients.anonymous.post(address, content=body, headers=sent)
                assert problem_of(answer) == refused
                assert answer.headers["www-authenticate"].startswith('Bearer realm="catalog"')
    assert await everything(unattended.engines) == before


UNREADABLE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"hello",
    "half a body": b'{"Records": [{"eventName": "s3:Obj',
    "no text": b"\xff\xfe\x00",
    "a list": b"[]",
    "another shape": b'{"Records": 5, "event_type": 5}',
    "a record without a key": b'{"Records": [{"eventName": "x", "s3": {"bucket": {"name": "b"}}}], "key": "x"}',
    "nested too deep": b"[" * 50_000,
    "too long": b'{"Records": []}' + b" " * 300_000,
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_what_a_store_sends_and_nobody_can_read_is_kept_with_the_reason_and_blocks_nothing(
    unattended: Unattended, name: str
) -> None:
    body = UNREADABLE[name]

    answer = await unattended.store.post(S3, content=body)
    after = await unattended.store.post(S3, json=unattended.event("good.csv"))

    assert (answer.status_code, after.status_code) == (204, 204)
    (kept,) = await unattended.kept()
    assert kept == {"dialect": "s3", "reason": kept["reason"], "body": body[:BODY_BYTES_KEPT]}
    assert kept["reason"].endswith((".", "`")) or "not what this store sends" in kept["reason"]
    assert await unattended.queued() == [f"default/{unattended.bucket}/good.csv"]
    report = (await unattended.clients.curator.get("/api/operations/queue")).json()
    assert (report["unreadable"], report["depth"]) == (1, {"key": 1})


async def test_seaweedfs_may_send_more_and_is_kept_alike(unattended: Unattended) -> None:
    shapeless = [body for name, body in UNREADABLE.items() if name != "too long"]
    too_long = b" " * (seaweedfs.BODY_BYTES_MAX + 1)

    for body in (*shapeless, too_long):
        assert (await unattended.store.post(SEAWEEDFS, content=body)).status_code == 204

    kept = await unattended.kept()
    assert [(row["dialect"], row["body"]) for row in kept] == [
        ("seaweedfs", body[:BODY_BYTES_KEPT]) for body in (*shapeless, too_long)
    ]
    assert kept[-1]["reason"] == "The body has more than 4,194,304 bytes."
    assert await unattended.queued() == []


async def test_a_body_that_is_too_long_says_so(unattended: Unattended) -> None:
    await unattended.store.post(S3, content=UNREADABLE["too long"])

    (kept,) = await unattended.kept()
    assert kept["reason"] == f"The body has more than {s3.BODY_BYTES_MAX:,} bytes."


async def test_a_key_that_no_database_can_hold_is_kept_as_unreadable(unattended: Unattended) -> None:
    odd = {
        "NUL": "a%00b",
        "no UTF-8": "a%FFb",
        "half a character": "a\ud800b",
        "too long": "x" * 1_025,
    }

    for key in odd.values():
        body = json.dumps(unattended.event(key)).encode()
        assert (await unattended.store.post(S3, content=body)).status_code == 204

    assert len(await unattended.kept()) == len(odd)
    assert await unattended.queued() == []


async def test_other_buckets_and_events_without_a_key_are_nothing_to_us(unattended: Unattended) -> None:
    bucket = unattended.bucket
    events: list[dict[str, Any]] = [
        unattended.event("a.csv", "foreign"),
        unattended.event("a.csv", f"{bucket}x"),
        unattended.event("a.csv", bucket[:-1]),
        unattended.event("a.csv", f"x/{bucket}"),
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": bucket},
        {"Records": []},
    ]
    for body in events:
        assert (await unattended.store.post(S3, json=body)).status_code == 204
    folder = {"event_type": "create", "key": f"/buckets/{bucket}x/a.csv", "message": {"new_entry": {"name": "a.csv"}}}
    assert (await unattended.store.post(SEAWEEDFS, json=folder)).status_code == 204

    assert (await unattended.queued(), await unattended.kept()) == ([], [])


async def test_nothing_is_answered_well_that_could_not_be_kept(unattended: Unattended) -> None:
    nowhere = PostgresDsn(f"postgresql://nobody:nothing@127.0.0.1:{ports.choose()}/none")
    settings = unattended.live.settings.model_copy(update={"database_url": nowhere})

    async with in_process(settings, settings.notification_token.get_secret_value()) as store:
        answer = await store.post(S3, json=unattended.event("a.csv"))

    assert problem_of(answer) == simple(
        "unavailable",
        "Temporarily unavailable",
        503,
        "The database does not answer; try again in a few seconds.",
    )
    assert answer.headers["retry-after"] == "5"


@pytest.mark.req("MWM-STORAGE-12")
async def test_a_reference_and_never_the_bytes_is_sent_on_and_after_garbage_the_file_is_still_seen(
    unattended: Unattended, project: str
) -> None:
    content = b"measured by nobody but this test: 4711"
    registered = await register(unattended.clients.ingest, plain(project, files=[declared("soil.csv", content)]))
    (ticket,) = registered["uploads"]
    key = await key_of(unattended.engines, ticket)
    for body in UNREADABLE.values():
        await unattended.store.post(SEAWEEDFS, content=body)

    await bring([ticket], {"soil.csv": content})

    async def told() -> list[str]:
        return await unattended.queued()

    assert await eventually(told) == [f"default/{unattended.bucket}/{key}"]
    assert content.decode() not in await as_text(unattended.engines)
    await loop.drain(unattended.engines, timedelta(seconds=30))
    found = await read(unattended.clients.ingest, registered["id"])
    assert found["files"] == [shown(registered["id"], "soil.csv", content)]

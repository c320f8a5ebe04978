"""Each store tells of its own keys with a token of its own, and of so many a minute: none speaks for another."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from catalog.api.limits import Events
from catalog.engines import Engines
from catalog.errors import TooManyRequests
from catalog.objects.uploads import location_of
from catalog.settings import Topic
from catalog.storage.topics import Topics
from tests.api.brought import connected, server
from tests.api.conftest import in_process, plain, register
from tests.api.people import People
from tests.api.problems import problem_of, simple
from tests.api.truth import as_text, rows
from tests.api.uploads import declared
from tests.conftest import World
from tests.storage.topic import CERTIFICATE, TOPIC, Service, encoded

pytestmark = pytest.mark.usefixtures("noise")

S3, SEAWEEDFS = "/api/notifications/s3", "/api/notifications/seaweedfs"
CONTENT = b"depth,pH\n"


@dataclass
class Speaking:
    """A store of an organization, the project that uses it, and a key there that a ticket is for."""

    backend: dict[str, Any]
    key: str
    token: str = field(repr=False)

    @property
    def bucket(self) -> str:
        return str(self.backend["bucket"])

    @property
    def subject(self) -> str:
        return f"{self.backend['id']}/{self.bucket}/{self.key}"

    @property
    def address(self) -> str:
        return f"/api/organizations/{self.backend['organization']}/backends/{self.backend['id']}/event-token"


def event(*keys: tuple[str, str]) -> dict[str, Any]:
    """Return what MinIO sends, with a record for each bucket and key."""
    return {
        "Records": [
            {"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}
            for bucket, key in keys
        ]
    }


async def tell(people: People, token: str, body: dict[str, Any], address: str = S3) -> httpx2.Response:
    return await people.holding(token).post(address, json=body)


@pytest.fixture
async def lead(people: People) -> httpx2.AsyncClient:
    """An admin of the organization."""
    return await people.member("lead", "admin", scope=people.organization)


@pytest.fixture
async def two(
    people: People, lead: httpx2.AsyncClient, engines_ready: dict[str, Any]
) -> AsyncGenerator[tuple[Speaking, Speaking]]:
    """Two stores that speak, each with a ticket for a key that nobody has looked at since."""
    minio = server(engines_ready, "minio")
    async with AsyncExitStack() as held:
        speaking = []
        for name in ("soil", "water"):
            bucket = await held.enter_async_context(minio.bucket())
            made = await connected(lead, people.organization, minio.wanted(bucket, uses=["document"]))
            project = f"{people.organization}/{name}"
            if project != people.project:
                await lead.post(f"/api/organizations/{people.organization}/projects", json={"name": name})
            await lead.put(f"/api/projects/{project}/storages", json={"document": made["id"]})
            files = [declared("a.csv", CONTENT)]
            registered = await register(lead, plain(project=project, files=files))
            key = registered["uploads"][0]["url"].partition("?")[0].partition(f"/{bucket.bucket}/")[2]
            one = Speaking(made, key, "")
            told = await lead.post(one.address, json={})
            assert told.status_code == 200, told.text
            speaking.append(Speaking(made, key, told.json()["token"]))
        yield speaking[0], speaking[1]


async def touched(engines: Engines, one: Speaking) -> int:
    """Return how often this key was told of; awaited, it waits in the queue from the ticket on."""
    (row,) = await rows(engines, "SELECT touched FROM queue WHERE topic = 'key' AND subject = :it", it=one.subject)
    return int(row["touched"])


async def test_a_store_is_heard_of_its_own_keys_and_refused_for_those_of_another(
    people: People, two: tuple[Speaking, Speaking], engines: Engines
) -> None:
    first, second = two
    assert location_of(first.subject) == (first.backend["id"], first.bucket, first.key)
    before = [await touched(engines, one) for one in two]

    refused = await tell(people, first.token, event((second.bucket, second.key)))
    mixed = await tell(people, first.token, event((second.bucket, second.key), (first.bucket, "lab/b/beside.csv")))
    after = [await touched(engines, one) for one in two]
    heard = await tell(people, first.token, event((second.bucket, second.key), (first.bucket, first.key)))
    in_other_words = {"event_type": "create", "key": f"/buckets/{second.bucket}/{second.key}", "message": {}}
    understood = await tell(people, second.token, in_other_words, SEAWEEDFS)

    assert problem_of(refused) == simple(
        "forbidden",
        "Not allowed",
        403,
        f"This token is for keys of bucket {first.bucket} alone; give each store the token of its own.",
    )
    assert (mixed.status_code, after) == (204, before)
    assert (heard.status_code, understood.status_code) == (204, 204)
    assert [await touched(engines, one) for one in two] == [before[0] + 1, before[1] + 1]


async def test_two_values_work_for_the_overlap_and_none_once_it_is_ended(
    people: People, lead: httpx2.AsyncClient, two: tuple[Speaking, Speaking], engines: Engines
) -> None:
    first, _ = two

    async def told_by(*values: str) -> list[int]:
        body = event((first.bucket, first.key))
        return [(await tell(people, value, body)).status_code for value in values]

    renewed = (await lead.post(first.address, json={"overlap_seconds": 3600})).json()
    both = await told_by(first.token, renewed["token"])
    third = await lead.post(first.address, json={})
    shown = (await lead.get(first.address.removesuffix("/event-token"))).json()["event_token"]
    last = (await lead.post(first.address, json={"overlap_seconds": 0})).json()
    one = await told_by(first.token, renewed["token"], last["token"])
    ended = await lead.delete(first.address)
    none = await told_by(last["token"])

    assert (both, one, none) == ([204, 204], [401, 401, 204], [401])
    assert (third.status_code, ended.status_code, (await lead.delete(first.address)).status_code) == (409, 204, 204)
    assert shown == {name: renewed[name] for name in ("hint", "made_at", "former_until")}
    assert (renewed["token"].startswith(shown["hint"]), last["former_until"]) == (True, None)
    # No value is kept, and it is good for nothing else.
    kept = await as_text(engines)
    values = [first.token, renewed["token"], last["token"]]
    assert [value for value in values if value in kept] == []
    fresh = (await lead.post(first.address, json={})).json()["token"]
    assert (await people.holding(fresh).get("/api/objects")).status_code == 401
    noted = await rows(
        engines,
        "SELECT action FROM access_change WHERE subject = :it AND action LIKE '%event token' ORDER BY id",
        it=f"backend:{first.backend['id']}",
    )
    renewals = ["renew event token"] * 3
    assert [row["action"] for row in noted] == [*renewals, "revoke event token", "renew event token"]


async def test_a_token_ends_with_its_store_and_only_admins_make_one(
    people: People, lead: httpx2.AsyncClient, two: tuple[Speaking, Speaking]
) -> None:
    first, second = two
    reader = await people.member("reader", "reader", scope=people.organization)
    refused = [
        (await reader.post(first.address, json={})).status_code,
        (await reader.delete(first.address)).status_code,
    ]

    gone = await lead.delete(first.address.removesuffix("/event-token"), params={"detach": "true"})
    told = [(await tell(people, one.token, event((one.bucket, one.key)))).status_code for one in two]

    assert (refused, gone.status_code, told) == ([403, 403], 204, [401, 204])
    assert (await lead.post(first.address, json={})).status_code == 404
    assert second.backend["event_token"] is None


async def test_what_cannot_be_read_of_an_organizations_store_is_refused_and_not_kept(
    people: People, two: tuple[Speaking, Speaking], engines: Engines
) -> None:
    first, _ = two
    before = await rows(engines, "SELECT count(*) FROM unreadable_notification")
    told = [
        await people.holding(first.token).post(S3, content=b"rubbish"),
        await people.holding(first.token).post(S3, content=b" " * 300_000),
    ]
    assert [one.status_code for one in told] == [400, 400]
    assert await rows(engines, "SELECT count(*) FROM unreadable_notification") == before


async def test_a_store_that_floods_is_told_when_to_come_back_and_others_are_served(
    two: tuple[Speaking, Speaking], world: World
) -> None:
    first, second = two
    settings = world.settings.model_copy(update={"notifications_per_minute": 60})
    own = world.settings.notification_token.get_secret_value()

    async with in_process(settings, first.token) as app:

        async def told(token: str, body: dict[str, Any]) -> httpx2.Response:
            return await app.post(S3, json=body, headers={"Authorization": f"Bearer {token}"})

        began = time.monotonic()
        flood = event(*[(first.bucket, f"lab/a/{number}") for number in range(90)])
        taken = await told(first.token, flood)
        refused = await asyncio.gather(*(told(first.token, flood) for _ in range(3)))
        took = time.monotonic() - began
        others = [
            await told(second.token, event((second.bucket, second.key))),
            # The catalog's own store, whose events come from every upload, tells as much as there is.
            *[await told(own, event(*[(settings.store_bucket, "somewhere/else.csv")] * 50)) for _ in range(3)],
        ]

    assert (taken.status_code, [one.status_code for one in refused]) == (204, [429] * 3)
    # Thirty more than it had, one a second.
    assert all(30 - took <= int(one.headers["retry-after"]) <= 31 for one in refused)
    assert [one.status_code for one in others] == [204] * 4


async def test_a_topic_speaks_for_the_backend_that_the_operator_says_and_for_no_other(
    two: tuple[Speaking, Speaking], world: World, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    service = Service()

    class Known(Topics):
        async def _get(self, address: str) -> bytes:
            assert address.endswith(CERTIFICATE)
            return service.certificate

    async def told(*keys: tuple[str, str], speaking_for: str = first.backend["id"]) -> int:
        settings = world.settings.model_copy(update={"sns_topics": (Topic(arn=TOPIC, backend=speaking_for),)})
        message = encoded(service.message(inside=json.dumps(event(*keys))))
        async with in_process(settings, "") as app:
            answer = await app.post("/api/notifications/sns", content=message, headers={"authorization": ""})
        return answer.status_code

    monkeypatch.setattr("catalog.engines.Topics", Known)
    before = [await touched(engines, one) for one in two]
    answers = [
        await told((first.bucket, first.key)),
        await told((second.bucket, second.key)),
        await told((first.bucket, first.key), speaking_for="00000000-0000-4000-8000-000000000000"),
    ]

    assert answers == [204, 403, 403]
    assert [await touched(engines, one) for one in two] == [before[0] + 1, before[1]]


def test_what_a_store_may_tell_comes_back_with_time_and_is_its_own() -> None:
    events = Events(60)
    events.take("one", 90, now=0)
    with pytest.raises(TooManyRequests) as refused:
        events.must_have_some("one", now=10)
    assert refused.value.retry_after_seconds == 21
    events.must_have_some("two", now=10)
    events.must_have_some("one", now=31)
    # Never more than a minute's at once, however long it was silent.
    events.take("one", 60, now=10_000)
    with pytest.raises(TooManyRequests):
        events.must_have_some("one", now=10_000)

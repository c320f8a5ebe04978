"""Topics of AWS speak without a token: what they sign is heard, of the topics that the operator has named."""

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import httpx2
import pytest

from catalog.engines import Engines, opened
from catalog.outside.door import Door
from catalog.settings import Topic
from catalog.storage.topics import Topics
from tests.api.conftest import in_process
from tests.api.problems import problem_of
from tests.api.truth import everything, rows
from tests.conftest import World, make_world, prepare
from tests.outside.serving import Outside, serving
from tests.storage.topic import CERTIFICATE, HOST, TOPIC, Service, confirmation, encoded

ADDRESS = "/api/notifications/sns"
OTHER = "arn:aws:sns:eu-west-1:111122223333:others"


@dataclass
class Hearing:
    """A catalog that hears one topic, and the service as a stand-in on loopback."""

    app: httpx2.AsyncClient
    aws: Outside
    service: Service
    engines: Engines
    world: World

    async def tell(self, message: dict[str, Any]) -> httpx2.Response:
        return await self.app.post(ADDRESS, content=encoded(message), headers={"content-type": "text/plain"})

    def put(self, key: str) -> str:
        bucket = self.world.settings.store_bucket
        record = {"s3": {"bucket": {"name": bucket}, "object": {"key": key}}, "eventName": "ObjectCreated:Put"}
        return encoded({"Records": [record]}).decode()

    async def queued(self, within: str) -> set[str]:
        found = await rows(
            self.engines,
            "SELECT subject FROM queue WHERE topic = 'key' AND subject LIKE :these",
            these=f"%/sns/{within}/%",
        )
        return {row["subject"] for row in found}


Hears = Callable[[], AbstractAsyncContextManager[Hearing]]


@pytest.fixture(scope="module")
async def world(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> World:
    """A catalog of this module's own, without an indexer: what is queued stays, to be looked at."""
    world = make_world(engines_ready, tmp_path_factory.mktemp("sns"))
    await prepare(world, engines_ready)
    return world


@pytest.fixture(scope="module")
async def engines(world: World) -> AsyncGenerator[Engines]:
    async with opened(world.settings) as engines:
        yield engines


@pytest.fixture
def hears(world: World, engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hears:
    """The catalog, to be entered by a test, whose way out leads to the stand-in."""
    return lambda: _hearing(world, engines, tmp_path, monkeypatch)


@asynccontextmanager
async def _hearing(
    world: World, engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Hearing]:
    service = Service()
    with serving(tmp_path, HOST) as aws:
        aws.says("GET", CERTIFICATE, 200, service.certificate)
        aws.says("GET", confirmation().partition(HOST)[2], 200, b"<ConfirmSubscriptionResponse/>")
        real, port = socket.getaddrinfo, int(aws.address.rpartition(":")[2])
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *other, **more: real("localhost" if host == HOST else host, *other, **more),
        )
        loopback = Door([IPv4Network("127.0.0.0/8")])
        monkeypatch.setattr(
            "catalog.engines.Topics", lambda topics, _: Topics(topics, loopback, tls=aws.tls, port=port)
        )
        settings = world.settings.model_copy(update={"sns_topics": (Topic(arn=TOPIC),)})
        async with in_process(settings, "") as app:
            app.headers.pop("authorization")
            yield Hearing(app, aws, service, engines, world)


async def test_a_topic_that_was_named_is_subscribed_to_and_heard(hears: Hears) -> None:
    async with hears() as hearing:
        subscribed = await hearing.tell(hearing.service.message("SubscriptionConfirmation", inside="You have chosen"))
        heard = [
            await hearing.tell(
                hearing.service.message(version=version, inside=hearing.put(f"sns/heard/a%2Bb+{version}.csv"))
            )
            for version in ("1", "2")
        ]
        ended = await hearing.tell(hearing.service.message("UnsubscribeConfirmation", inside="You have chosen"))

        assert [answer.status_code for answer in (subscribed, *heard, ended)] == [204] * 4
        # The certificate is asked for once, and nobody subscribes anew to what was ended.
        assert hearing.aws.asked == [("GET", CERTIFICATE), ("GET", confirmation().partition(HOST)[2])]
        bucket = hearing.world.settings.store_bucket
        assert await hearing.queued("heard") == {
            f"default/{bucket}/sns/heard/a+b {version}.csv" for version in ("1", "2")
        }


async def test_what_nobody_named_or_signed_changes_nothing_and_leads_nowhere(hears: Hears) -> None:
    async with hears() as hearing:
        before = await everything(hearing.engines)
        inside = hearing.put("sns/forged.csv")
        refused = {
            "a topic that nobody named": (hearing.service.message(TopicArn=OTHER, inside=inside), 403),
            "its subscription": (
                hearing.service.message("SubscriptionConfirmation", TopicArn=OTHER, SubscribeURL=confirmation(OTHER)),
                403,
            ),
            "a certificate of elsewhere": (
                hearing.service.message(SigningCertURL=f"https://example.com{CERTIFICATE}", inside=inside),
                401,
            ),
            "no message of a topic": ({"Records": []}, 401),
        }
        answers = {name: (await hearing.tell(message)).status_code for name, (message, _) in refused.items()}
        assert answers == {name: status for name, (_, status) in refused.items()}
        assert hearing.aws.asked == []

        forged = await hearing.tell(Service().message("SubscriptionConfirmation"))
        altered = await hearing.tell(hearing.service.message(inside="") | {"Message": inside})
        too_long = await hearing.app.post(ADDRESS, content=b" " * 600_000)

        assert [answer.status_code for answer in (forged, altered, too_long)] == [401] * 3
        assert hearing.aws.asked == [("GET", CERTIFICATE)]
        assert await everything(hearing.engines) == before


async def test_what_a_topic_says_and_nobody_can_read_is_kept_with_the_reason(hears: Hears) -> None:
    async with hears() as hearing:
        answer = await hearing.tell(hearing.service.message(inside="Hello"))
        after = await hearing.tell(hearing.service.message(inside=hearing.put("sns/kept/after.csv")))

        assert (answer.status_code, after.status_code) == (204, 204)
        kept = await rows(hearing.engines, "SELECT dialect, body FROM unreadable_notification WHERE dialect = 'sns'")
        assert kept == [{"dialect": "sns", "body": b"Hello"}]
        assert await hearing.queued("kept") == {f"default/{hearing.world.settings.store_bucket}/sns/kept/after.csv"}


@pytest.mark.parametrize("answer", [(404, b""), (200, b"<html>Sorry</html>"), (200, b" " * 70_000)])
async def test_where_the_service_does_not_answer_the_message_is_to_come_again(
    hears: Hears, answer: tuple[int, bytes]
) -> None:
    async with hears() as hearing:
        message = hearing.service.message(inside=hearing.put("sns/later.csv"))
        hearing.aws.says("GET", CERTIFICATE, *answer)
        away = await hearing.tell(message)
        hearing.aws.says("GET", CERTIFICATE, 200, hearing.service.certificate)
        again = await hearing.tell(message)

        assert (away.status_code, again.status_code) == (503, 204)


async def test_the_way_to_the_service_never_leads_inside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *other, **more: real("127.0.0.1", *other, **more))
    topics = Topics({TOPIC: "default"}, Door())
    monkeypatch.setattr("catalog.engines.Topics", lambda *_: topics)
    settings = world.settings.model_copy(update={"sns_topics": (Topic(arn=TOPIC),)})
    async with in_process(settings, "") as app:
        answer = await app.post(ADDRESS, content=encoded(Service().message()))

    told = problem_of(answer)
    assert (told["status"], "not public" in told["detail"]) == (503, True)

"""Events into AMQP: a real RabbitMQ, killed and started again, has all of them in its queue, each object's in order."""

import asyncio
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from catalog.access import principals
from catalog.access.audience import Role
from catalog.alerts.webhooks import NotTold
from catalog.engines import Engines
from catalog.errors import Forbidden
from catalog.subscriptions import holding, shapes, telling
from catalog.subscriptions.exchanges import Exchanges
from catalog.subscriptions.holding import Wish
from catalog.subscriptions.shapes import Happened, Subject, Told
from catalog.subscriptions.tables import Channel
from tests.alerts.conftest import Desk, Person
from tests.conftest import eventually
from tests.rabbitmq import Server, running
from tests.subscriptions.conftest import all_told, passed, read, telling_all_the_time, waiting

ADDRESS = "http://catalog.example.org"
# An event that no object has.
SOIL = Subject(UUID("01a1fd1f-74a6-76f6-8383-4ced501143c7"), "model", "lab/soil", "Böden")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A server that runs."""
    with running(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture
async def exchange(server: Server) -> str:
    """An exchange of the test's own, from which everything goes into a queue of its name."""
    name = f"changes.{uuid4().hex[:8]}"
    await server.make(name, exchange=name)
    return name


def into(engines: Engines, publisher: Exchanges) -> Engines:
    """Return the same engines with a way into AMQP."""
    return replace(engines, publishers={Channel.AMQP: publisher})


async def subscribed(desk: Desk, person: Person, address: str) -> str:
    """Have somebody's events published."""
    caller = (await principals.callers_of(desk.engines.database, [person.id]))[person.id]
    async with desk.engines.database.transaction() as session:
        made = await holding.subscribe(session, Wish("", (), (), Channel.AMQP, address), caller=caller)
    return str(made.id)


async def revisions(server: Server, queue: str) -> dict[str, list[int]]:
    """Take what a queue has: of each object its revisions, as they came, without repetitions."""
    found: dict[str, list[int]] = {}
    ids: set[str] = set()
    for message in await server.taken(queue):
        event = str(message.headers["cloudEvents:id"])
        if event not in ids:
            ids.add(event)
            found.setdefault(str(message.headers["cloudEvents:subject"]), []).append(
                msgspec.json.decode(message.body)["revision"]
            )
    return found


def an_event() -> Told:
    at = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    happened = Happened(1, UUID("8a3c0f5e-0a57-5d7c-9c5b-0d9f3e2f6a11"), at, "catalog.object.published.v1", 4)
    return shapes.told(happened, SOIL, address=ADDRESS)


async def test_an_event_is_sent_in_the_binary_mode_of_cloudevents(server: Server, exchange: str) -> None:
    publisher = Exchanges(server.url)
    await publisher.publish(f"{exchange}/lab.soil", an_event())
    await publisher.close()

    (message,) = await server.taken(exchange)
    assert message.headers == {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": "8a3c0f5e-0a57-5d7c-9c5b-0d9f3e2f6a11",
        "cloudEvents:source": ADDRESS,
        "cloudEvents:type": "catalog.object.published.v1",
        "cloudEvents:subject": str(SOIL.id),
        "cloudEvents:time": "2026-11-22T12:00:00Z",
    }
    assert (message.content_type, message.message_id) == ("application/json", "8a3c0f5e-0a57-5d7c-9c5b-0d9f3e2f6a11")
    assert (message.exchange, message.routing_key, message.app_id) == (exchange, "lab.soil", "science-catalog")
    assert msgspec.json.decode(message.body) == {
        "id": str(SOIL.id),
        "kind": "model",
        "project": "lab/soil",
        "revision": 4,
        "title": "Böden",
        "href": f"{ADDRESS}/api/objects/{SOIL.id}",
    }


@pytest.mark.req("MWM-SADD-17")
async def test_a_queue_has_every_event_in_order_although_its_server_is_killed(
    desk: Desk, lab: Person, server: Server, exchange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "RETRIES", [timedelta(seconds=0.3)] * 100)
    await subscribed(desk, await desk.person(Role.ADMIN), f"{exchange}/all")
    publisher = Exchanges(server.url)
    ids = [await lab.register(f"Avocet {number}") for number in range(20)]

    async def write() -> None:
        for turn in range(3):
            for one in ids:
                await lab.change(one, description=f"turn {turn}")

    async with telling_all_the_time(into(desk.engines, publisher)):
        writing = asyncio.create_task(write())
        for least in (5, 30):

            async def some(least: int = least) -> bool:
                return (await server.count(exchange) or 0) >= least

            await eventually(some, seconds=60)
            server.kill()
            server.start()
        await writing
        await all_told(desk)
    await publisher.close()
    assert await revisions(server, exchange) == {one: [1, 2, 3, 4] for one in ids}


async def test_what_reaches_no_queue_waits_and_is_told_in_order_when_one_is_bound(
    desk: Desk, lab: Person, server: Server, exchange: str
) -> None:
    ana = await desk.person(Role.ADMIN)
    made = await subscribed(desk, ana, f"{exchange}/all")
    async with server.channel() as channel:
        queue = await channel.get_queue(exchange)
        await queue.unbind(exchange, "#")
    publisher = Exchanges(server.url)
    one = await lab.register("An avocet")
    await lab.change(one, description="Wading.")
    async with telling_all_the_time(into(desk.engines, publisher)):

        async def state() -> Any:
            return await read(ana, {"id": made})

        async def failing() -> bool:
            return (await state())["state"] == "failing"

        await eventually(failing)
        assert (await state())["fault"] == "No queue of the server took it: no queue takes what is sent there."
        assert len(await waiting(desk)) == 1
        async with server.channel() as channel:
            queue = await channel.get_queue(exchange)
            await queue.bind(exchange, "#")
        await passed(desk)
        await all_told(desk)
    await publisher.close()
    assert await revisions(server, exchange) == {one: [1, 2]}
    assert ((await state())["state"], (await state())["fault"]) == ("active", None)


async def test_what_goes_nowhere_holds_up_no_other_although_they_are_the_same_events(
    server: Server, exchange: str
) -> None:
    async with server.channel() as channel:
        await channel.declare_exchange(f"{exchange}.unbound", "topic", durable=True)
    publisher = Exchanges(server.url)
    # What one event has used, others may use after it.
    await publisher.publish(f"{exchange}/all", an_event())
    nowhere = (f"{exchange}.none/all", f"{exchange}.unbound/all")
    sent = [publisher.publish(address, an_event()) for _ in range(8) for address in (f"{exchange}/all", *nowhere)]
    ends = await asyncio.gather(*sent, return_exceptions=True)
    await publisher.close()

    no_exchange = "No queue of the server took it: the server has no queue, or no exchange, of this name."
    no_queue = "No queue of the server took it: no queue takes what is sent there."
    assert [None if one is None else one.detail for one in ends if one is None or isinstance(one, NotTold)] == [
        None,
        no_exchange,
        no_queue,
    ] * 8
    assert len(await server.taken(exchange)) == 9


async def test_a_queue_that_is_full_counts_as_not_told(server: Server, exchange: str) -> None:
    async with server.channel() as channel:
        full = await channel.declare_queue(
            f"{exchange}.full", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
        await full.bind(exchange, "full")
    publisher = Exchanges(server.url)
    await publisher.publish(f"{exchange}/full", an_event())
    with pytest.raises(NotTold, match="a queue refused it"):
        await publisher.publish(f"{exchange}/full", an_event())
    await publisher.close()


async def test_brokers_are_for_admins_and_a_server_that_is_not_there_is_said(
    desk: Desk, lab: Person, server: Server, exchange: str
) -> None:
    with pytest.raises(Forbidden):
        await subscribed(desk, await desk.person(), f"{exchange}/all")
    ana = await desk.person(Role.ADMIN)
    made = await subscribed(desk, ana, f"{exchange}/all")
    await lab.register("An avocet")
    wrong = Exchanges(server.url.replace("pw-of", "pw-not-of"))
    async with telling_all_the_time(into(desk.engines, wrong)):

        async def failing() -> bool:
            return (await read(ana, {"id": made}))["state"] == "failing"

        await eventually(failing)
    fault = "No queue of the server took it: the server refuses this name or password."
    assert (await read(ana, {"id": made}))["fault"] == fault
    await desk.run("UPDATE principal SET role = 'reader' WHERE id = :id", id=ana.id)
    await passed(desk)
    publisher = Exchanges(server.url)
    async with telling_all_the_time(into(desk.engines, publisher)):

        async def stopped() -> bool:
            return (await read(ana, {"id": made}))["state"] == "stopped"

        await eventually(stopped)
    await publisher.close()
    assert await server.taken(exchange) == []


@pytest.mark.parametrize(
    ("address", "taken"),
    [
        ("catalog/changes", True),
        ("lab.catalog:1/lab.soil.model", True),
        ("catalog", False),
        ("catalog/", False),
        # It would lead into any queue by its name.
        ("/catalog.events", False),
        ("amq.topic/changes", False),
        ("catalog/lab.#", False),
        ("catalog/lab soil", False),
        ("catalog/a/b", False),
        (f"{'a' * 201}/b", False),
    ],
)
def test_an_address_is_an_exchange_and_a_routing_key(address: str, *, taken: bool) -> None:
    assert Exchanges("amqp://127.0.0.1:1").takes(address) is taken


def test_an_event_says_the_same_in_both_modes() -> None:
    told = an_event()
    structured = msgspec.json.decode(told.structured)
    assert structured == {
        **told.attributes,
        "datacontenttype": "application/json",
        "data": msgspec.json.decode(told.data),
    }

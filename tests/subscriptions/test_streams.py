"""Events into NATS: a real server, killed and started again, has all of them in its stream."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest

from catalog.access import principals
from catalog.access.audience import Role
from catalog.alerts.telling import RETRIES
from catalog.errors import Forbidden
from catalog.subscriptions import holding, telling
from catalog.subscriptions.holding import Wish
from catalog.subscriptions.streams import Streams
from catalog.subscriptions.tables import Channel
from tests.alerts.conftest import Desk, Person
from tests.conftest import eventually
from tests.indexer.test_streams import Server
from tests.subscriptions.conftest import all_told, read, telling_all_the_time, waiting

SUBJECT = "changes.catalog"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[Server]:
    """A server with a stream."""
    server = Server(tmp_path)
    server.start()

    async def made() -> bool:
        with suppress(Exception):
            client = await nats.connect(server.events.url, allow_reconnect=False, connect_timeout=2)
            await client.jetstream().add_stream(name="changes", subjects=["changes.>"])
            await client.close()
            return True
        return False

    await eventually(made, seconds=20)
    yield server
    server.kill()


async def published(server: Server) -> list[dict[str, Any]]:
    """Return all that the stream has."""
    client = await nats.connect(server.events.url)
    found: list[dict[str, Any]] = []
    try:
        pulling = await client.jetstream().pull_subscribe(SUBJECT, stream="changes")
        held = (await client.jetstream().stream_info("changes")).state.messages
        async with asyncio.timeout(60):
            while len(found) < held:
                for message in await pulling.fetch(100, timeout=30):
                    told = msgspec.json.decode(message.data)
                    assert (message.headers or {}).get("Nats-Msg-Id") == told["id"]
                    found.append(told)
                    await message.ack()
    finally:
        await client.close()
    return found


async def subscribed(desk: Desk, person: Person) -> str:
    """Have somebody's events published."""
    caller = (await principals.callers_of(desk.engines.database, [person.id]))[person.id]
    async with desk.engines.database.transaction() as session:
        made = await holding.subscribe(session, Wish("", (), (), Channel.NATS, SUBJECT), caller=caller)
    return str(made.id)


@pytest.mark.req("MWM-SADD-17")
async def test_a_stream_has_every_event_in_order_although_its_server_is_killed(
    desk: Desk, lab: Person, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "RETRIES", [timedelta(seconds=0.3)] * 100)
    await subscribed(desk, await desk.person(Role.ADMIN))
    publisher = Streams(server.events.url, heard="catalog.events")
    engines = replace(desk.engines, publishers={Channel.NATS: publisher})
    ids = [await lab.register(f"Avocet {number}") for number in range(20)]

    async def write() -> None:
        for turn in range(3):
            for one in ids:
                await lab.change(one, description=f"turn {turn}")

    async with telling_all_the_time(engines):
        writing = asyncio.create_task(write())
        for _ in range(2):
            server.kill()
            await asyncio.sleep(0.3)
            server.start()
            await asyncio.sleep(0.7)
        await writing
        await all_told(desk)
    await publisher.close()

    found = await published(server)
    # The server dropped what it was told twice.
    assert len({one["id"] for one in found}) == len(found) == 80
    told: dict[str, list[int]] = {}
    for one in found:
        told.setdefault(one["subject"], []).append(one["data"]["revision"])
    assert told == {one: [1, 2, 3, 4] for one in ids}


async def test_where_no_stream_has_the_subject_it_is_said_and_nothing_counts_as_told(
    desk: Desk, lab: Person, server: Server
) -> None:
    ana = await desk.person(Role.ADMIN)
    made = await subscribed(desk, ana)
    await desk.run("UPDATE subscription SET address = 'nowhere.at.all'")
    publisher = Streams(server.events.url, heard="catalog.events")
    await lab.register("An avocet")
    async with telling_all_the_time(replace(desk.engines, publishers={Channel.NATS: publisher})):

        async def failing() -> bool:
            return (await read(ana, {"id": made}))["state"] == "failing"

        await eventually(failing)
    await publisher.close()
    assert "No stream of the server took it" in (await read(ana, {"id": made}))["fault"]
    assert len(await waiting(desk)) == 1


async def test_streams_are_for_admins_and_end_with_their_role(desk: Desk, lab: Person, server: Server) -> None:
    with pytest.raises(Forbidden):
        await subscribed(desk, await desk.person())
    ana = await desk.person(Role.ADMIN)
    made = await subscribed(desk, ana)
    await desk.run("UPDATE principal SET role = 'reader' WHERE id = :id", id=ana.id)
    publisher = Streams(server.events.url, heard="catalog.events")
    await lab.register("An avocet")
    async with telling_all_the_time(replace(desk.engines, publishers={Channel.NATS: publisher})):

        async def stopped() -> bool:
            return (await read(ana, {"id": made}))["state"] == "stopped"

        await eventually(stopped)
    await publisher.close()
    assert await published(server) == []


@pytest.mark.parametrize(
    ("subject", "taken"),
    [
        ("changes.catalog", True),
        ("changes.>", False),
        ("changes..catalog", False),
        ("$JS.API", False),
        ("_INBOX.a", False),
        # There the catalog hears of keys.
        ("catalog.events", False),
        ("a" * 201, False),
    ],
)
def test_a_subject_is_one_name_and_none_that_the_server_or_the_catalog_keeps(subject: str, *, taken: bool) -> None:
    assert Streams("nats://127.0.0.1:1", heard="catalog.events").takes(subject) is taken


def test_patience_is_that_of_saved_searches() -> None:
    assert telling.RETRIES is RETRIES

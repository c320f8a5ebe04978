"""Events by webhook: each at least once, those of one object in order, and none of what its receiver may not see."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jsonschema
import pytest

from catalog.access.audience import Role
from catalog.alerts import webhooks
from catalog.alerts.telling import RETRIES
from catalog.subscriptions import shapes, telling
from indexer import subscriptions
from tests.alerts.conftest import Desk, Person
from tests.api.conftest import plain
from tests.conftest import eventually
from tests.subscriptions.conftest import (
    Receiver,
    all_told,
    passed,
    read,
    subscribed,
    tell,
    telling_all_the_time,
    waiting,
)

ROOT = Path(__file__).parents[2]


def in_order(taken: list[tuple[str, int, str]]) -> dict[str, list[int]]:
    """Return for each object the revisions that were told, without repetitions, and never one before an earlier."""
    told: dict[str, list[int]] = {}
    for subject, revision, _ in taken:
        mine = told.setdefault(subject, [])
        if revision not in mine:
            assert not mine or revision > mine[-1]
            mine.append(revision)
    return told


async def test_an_event_says_what_happened_to_what_and_is_signed_so_that_its_receiver_knows_us(
    desk: Desk, lab: Person, receiver: Receiver
) -> None:
    ana = await desk.person()
    made = await subscribed(ana, receiver.url)
    secret = (await ana.client.post(f"/api/subscriptions/{made['id']}/secret")).json()["secret"]
    tern = await lab.register("A tern")
    await tell(desk.engines)

    (arrived,) = receiver.arrived
    told, headers = arrived.event, arrived.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + arrived.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"
    assert headers["content-type"] == "application/cloudevents+json"
    address = desk.engines.alerting.address
    ((at,),) = await desk.engines.database.rows("SELECT at FROM audit WHERE object_id = %(id)s", {"id": tern})
    assert told == {
        "specversion": "1.0",
        "id": headers["webhook-id"],
        "source": address,
        "type": "catalog.object.registered.v1",
        "subject": tern,
        "time": at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {
            "id": tern,
            "kind": "training-dataset",
            "project": "alerts/soil",
            "revision": 1,
            "title": "A tern",
            "href": f"{address}/api/objects/{tern}",
        },
    }
    schema = json.loads((ROOT / "openapi/events/catalog.object.registered.v1.json").read_text())
    jsonschema.validate(told, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told | {"type": "catalog.object.revised.v1"}, schema)
    shown = await read(ana, made)
    assert (shown["state"], shown["fault"], shown["told_at"] is None) == ("active", None, False)


@pytest.mark.req("MWM-SADD-18")
async def test_what_many_do_at_once_arrives_in_the_order_of_each_object_though_every_third_is_refused(
    desk: Desk, lab: Person, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "RETRIES", [timedelta(seconds=0.05)] * len(RETRIES))
    ana = await desk.person()
    await subscribed(ana, receiver.url)
    receiver.answers = [204, 204, 500] * 40
    ids = [await lab.register(f"Knot {number}") for number in range(4)]

    async def write(writer: int) -> None:
        for turn in range(6):
            await lab.change(ids[(writer + turn) % len(ids)], description=f"{writer} in turn {turn}")

    # Two indexers beside each other.
    async with telling_all_the_time(desk.engines), telling_all_the_time(desk.engines):
        await asyncio.gather(*(write(writer) for writer in range(4)))
        await all_told(desk)

    told = in_order(receiver.taken)
    assert told == {one: list(range(1, 8)) for one in ids}
    named: dict[tuple[str, int, str], set[str]] = {}
    for one in receiver.arrived:
        named.setdefault(one.short, set()).add(one.headers["webhook-id"])
    # Repeated, an event is the same one; another has another id.
    assert {len(names) for names in named.values()} == {1}
    assert len({name for (name,) in map(tuple, named.values())}) == len(named) == 28


async def test_what_changes_while_it_is_told_waits_for_whoever_tells_it(
    desk: Desk, lab: Person, receiver: Receiver
) -> None:
    ana = await desk.person()
    made = UUID((await subscribed(ana, receiver.url))["id"])
    receiver.open.clear()
    sanderling = await lab.register("A sanderling")
    telling_it = asyncio.create_task(subscriptions.step(desk.engines, made))

    async def begun() -> bool:
        return receiver.begun == 1

    await eventually(begun)
    await lab.change(sanderling, title="The sanderling")
    # Another indexer finds nothing to do.
    assert await telling.due(desk.engines.database, most=16) == []
    assert not await subscriptions.step(desk.engines, made)
    assert receiver.begun == 1
    receiver.open.set()
    await telling_it
    await tell(desk.engines)
    assert [one[1:] for one in receiver.taken] == [(1, "object.registered"), (2, "object.revised")]
    assert await waiting(desk) == set()


async def test_an_event_is_repeated_until_it_arrives_and_what_came_since_follows(
    desk: Desk, lab: Person, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "RETRIES", [timedelta(hours=1)] * len(RETRIES))
    ana = await desk.person()
    made = await subscribed(ana, receiver.url)
    receiver.always = 500
    dunlin = await lab.register("A dunlin")
    await tell(desk.engines)
    await lab.change(dunlin, title="The dunlin")
    await tell(desk.engines)

    assert len(receiver.arrived) == 1
    shown = await read(ana, made)
    reason = "The receiver answered 500, where 200 to 299 is wanted."
    assert (shown["state"], shown["fault"], shown["retry_at"] is None) == ("failing", reason, False)
    receiver.always = 204
    await passed(desk)
    await tell(desk.engines)
    assert [one.short[1:] for one in receiver.arrived] == [
        (1, "object.registered"),
        (1, "object.registered"),
        (2, "object.revised"),
    ]
    assert (await read(ana, made))["state"] == "active"
    assert await waiting(desk) == set()


async def test_what_never_arrives_is_given_up_with_the_reason_until_the_owner_changes_it(
    desk: Desk, lab: Person, receiver: Receiver
) -> None:
    ana = await desk.person()
    made = await subscribed(ana, receiver.url)
    receiver.always = 503
    for number in range(3):
        await lab.register(f"Plover {number}")
    for _ in range(len(RETRIES) + 3):
        await tell(desk.engines)
        await passed(desk)

    # At first three are tried beside each other, then one at a time.
    assert len(receiver.arrived) <= 3 + len(RETRIES)
    shown = await read(ana, made)
    assert (shown["state"], shown["stopped_at"] is None) == ("stopped", False)
    await lab.register("Nobody is told")
    receiver.always = 204
    receiver.arrived.clear()
    body = {"tell": made["tell"], "kinds": ["training-dataset"]}
    changed = await ana.client.put(f"/api/subscriptions/{made['id']}", json=body)
    assert (changed.json()["state"], changed.json()["fault"]) == ("active", None)
    after = await lab.register("Told again")
    await tell(desk.engines)
    assert (after, 1, "object.registered") in receiver.taken
    assert "Nobody is told" not in {one.event["data"]["title"] for one in receiver.arrived}


async def test_a_receiver_that_is_gone_is_told_nothing_more(desk: Desk, lab: Person, receiver: Receiver) -> None:
    ana = await desk.person()
    made = await subscribed(ana, receiver.url)
    receiver.always = 410
    await lab.register("First ruff")
    await tell(desk.engines)
    await lab.register("Second ruff")
    await passed(desk)
    await tell(desk.engines)

    assert len(receiver.arrived) == 1
    shown = await read(ana, made)
    assert (shown["state"], shown["fault"]) == ("stopped", "The receiver answered 410: it wants no more.")


async def test_what_its_owner_may_not_see_when_it_is_told_is_not_told(
    desk: Desk, lab: Person, receiver: Receiver
) -> None:
    ana = await desk.person()
    await subscribed(ana, receiver.url)
    private = await lab.register("Secret stint", visibility="private")
    hidden = await lab.register("A stint")
    await lab.change(hidden, visibility="private")
    shown = await lab.register("Shown later", visibility="private")
    await tell(desk.engines)
    await lab.change(shown, visibility="public")
    gone = await lab.register("Withdrawn stint")
    await lab.client.request(
        "DELETE", f"/api/objects/{gone}", headers={"If-Match": "*"}, params={"reason": "never was one"}
    )
    await lab.client.request(
        "DELETE", f"/api/objects/{private}", headers={"If-Match": "*"}, params={"reason": "never was one"}
    )
    await tell(desk.engines)

    assert sorted(receiver.taken) == sorted(
        [
            (shown, 2, "object.revised"),
            (gone, 1, "object.registered"),
            (gone, 2, "object.withdrawn"),
        ]
    )
    assert await waiting(desk) == set()


async def test_without_subscriptions_nothing_is_queued_and_with_one_only_what_it_is_for(
    desk: Desk, lab: Person, receiver: Receiver
) -> None:
    await lab.register("Nobody is told of this")
    assert await waiting(desk) == set()
    ana = await desk.person()
    elsewhere = await subscribed(ana, receiver.url, place="alerts/water")
    models = await subscribed(ana, receiver.url, kinds=["model"])
    here = await subscribed(ana, receiver.url, place="alerts/soil")
    whole = await subscribed(ana, receiver.url, place="alerts", types=["catalog.object.withdrawn.v1"])
    lines = [json.dumps(plain("alerts/soil", title=f"Bulk {number}", visibility="public")) for number in range(3)]
    answer = await lab.client.post(
        "/api/bulk/objects", content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
    )
    ids = [json.loads(line)["id"] for line in answer.text.splitlines() if '"id"' in line]
    assert len(ids) == 3

    assert await waiting(desk) == {(one["id"], object_id) for one in (here, whole) for object_id in ids}
    assert elsewhere["state"] == models["state"] == "active"
    await tell(desk.engines)
    assert sorted(receiver.taken) == sorted((one, 1, "object.registered") for one in ids)
    assert await waiting(desk) == set()


async def test_what_waits_for_a_subscription_that_ended_is_forgotten_and_nothing_else(
    desk: Desk, lab: Person, receiver: Receiver
) -> None:
    ana = await desk.person()
    kept, removed, stopped = [await subscribed(ana, receiver.url) for _ in range(3)]
    ibis = await lab.register("An ibis")
    assert len(await waiting(desk)) == 3
    await ana.client.delete(f"/api/subscriptions/{removed['id']}")
    await desk.run("UPDATE subscription SET stopped_at = now() WHERE id = :id", id=stopped["id"])
    async with desk.engines.database.transaction() as session:
        await telling.sweep(session)
    assert await waiting(desk) == {(kept["id"], ibis)}
    left = await desk.engines.database.rows("SELECT subscription_id::text FROM subscription_position", {})
    assert left == [(kept["id"],)]
    await tell(desk.engines)
    assert receiver.taken == [(ibis, 1, "object.registered")]


async def test_a_receiver_that_does_not_answer_holds_up_nobody_else(
    desk: Desk, lab: Person, receiver: Receiver, other_receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "POST_SECONDS_MAX", 25.0)
    ana = await desk.person()
    await subscribed(ana, receiver.url)
    await subscribed(ana, other_receiver.url)
    receiver.open.clear()
    ids = [await lab.register(f"Whimbrel {number}") for number in range(40)]
    async with telling_all_the_time(desk.engines):

        async def told() -> bool:
            return {one for one, _, _ in other_receiver.taken} == set(ids)

        # Well before the other has been given up for the first time.
        await eventually(told, seconds=20)
        assert receiver.arrived == []
        receiver.open.set()


async def test_whoever_has_much_to_be_told_lets_others_have_their_turn(
    desk: Desk, lab: Person, receiver: Receiver, other_receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "SERVED_AT_ONCE", 1)
    monkeypatch.setattr(subscriptions, "BATCH", 1)
    ana = await desk.person()
    await subscribed(ana, receiver.url)
    many = {await lab.register(f"Whimbrel {number}") for number in range(120)}
    receiver.slow_seconds = 0.25
    async with telling_all_the_time(desk.engines):
        await eventually(lambda: _some(receiver))
        await subscribed(ana, other_receiver.url)
        curlew = await lab.register("A curlew")

        async def told() -> bool:
            return {one for one, _, _ in other_receiver.taken} == {curlew}

        await eventually(told)
        assert len({one for one, _, _ in receiver.taken}) < len(many)


async def _some(receiver: Receiver) -> bool:
    return bool(receiver.taken)


async def test_with_the_token_that_it_was_made_with_a_subscription_ends(
    desk: Desk, lab: Person, receiver: Receiver
) -> None:
    ana = await desk.person()
    token = (await ana.client.post("/api/tokens", json={"label": "hooks", "scopes": ["read"]})).json()
    holding = Person(desk, ana.id, ana.name, token["token"], await desk.holding(token["token"]))
    made = await subscribed(holding, receiver.url)
    await ana.client.delete(f"/api/tokens/{token['id']}")
    await lab.register("A godwit")
    await tell(desk.engines)

    assert receiver.arrived == []
    shown = await read(ana, made)
    assert (shown["state"], "has ended" in shown["fault"]) == ("stopped", True)


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"kinds": ["no-kind"]}, "/kinds/0"),
        ({"types": ["catalog.files.written.v1"]}, "/types/0"),
        ({"place": "Not a place"}, "/place"),
        ({"tell": {"by": "webhook", "address": "https://hooks.example.com/#part"}}, "/tell/address"),
        ({"tell": {"by": "nats", "address": "catalog.changes"}}, "/tell/by"),
        ({"tell": {"by": "amqp", "address": "catalog/changes"}}, "/tell/by"),
    ],
)
async def test_what_cannot_be_told_is_refused_with_its_place(desk: Desk, said: dict[str, Any], pointer: str) -> None:
    ana = await desk.person(Role.ADMIN)
    draft = {"tell": {"by": "webhook", "address": "https://hooks.example.com"}} | said
    answer = await ana.client.post("/api/subscriptions", json=draft)
    assert (answer.status_code, [one["pointer"] for one in answer.json()["errors"]][:1]) == (400, [pointer])


async def test_a_subscription_is_its_owners_alone(desk: Desk, receiver: Receiver) -> None:
    ana, ben = await desk.person(), await desk.person(Role.ADMIN)
    made = await subscribed(ana, receiver.url)
    asked = [("GET", ""), ("PUT", ""), ("POST", "/secret"), ("DELETE", "")]
    body = {"tell": {"by": "webhook", "address": receiver.url}}
    for method, rest in asked:
        answer = await ben.client.request(method, f"/api/subscriptions/{made['id']}{rest}", json=body)
        assert (method, answer.status_code) == (method, 404)
    assert (await ben.client.get("/api/subscriptions")).json() == {"items": []}
    assert [one["id"] for one in (await ana.client.get("/api/subscriptions")).json()["items"]] == [made["id"]]
    assert (await ana.client.delete(f"/api/subscriptions/{made['id']}")).status_code == 204
    assert (await ana.client.get("/api/subscriptions")).json() == {"items": []}


async def test_a_token_of_one_place_touches_no_subscription_of_the_account(desk: Desk, receiver: Receiver) -> None:
    ana = await desk.person()
    made = await subscribed(ana, receiver.url)
    await desk.run("INSERT INTO organization (name) VALUES ('alerts') ON CONFLICT DO NOTHING")
    await desk.run("INSERT INTO project (name, organization) VALUES ('alerts/soil', 'alerts') ON CONFLICT DO NOTHING")
    sent = {"label": "soil", "scopes": ["read"], "place": "alerts/soil"}
    token = (await ana.client.post("/api/tokens", json=sent)).json()["token"]
    placed = await desk.holding(token)
    one, body = f"/api/subscriptions/{made['id']}", {"tell": made["tell"]}
    asked = [
        *(("GET", path, None) for path in ("/api/subscriptions", one)),
        *(("POST", path, body) for path in ("/api/subscriptions", f"{one}/secret")),
        *(("PUT", one, body), ("DELETE", one, None)),
    ]
    answers = [await placed.request(method, path, json=said) for method, path, said in asked]
    assert [(answer.status_code, "alerts/soil alone" in answer.text) for answer in answers] == [(403, True)] * 6
    assert await read(ana, made) == made


@pytest.mark.req("MWM-SADD-17")
async def test_an_indexer_that_is_killed_while_it_tells_loses_nothing_and_keeps_the_order(
    desk: Desk, lab: Person, receiver: Receiver, tmp_path: Path
) -> None:
    ana = await desk.person()
    await subscribed(ana, receiver.url)
    ids = [await lab.register(f"Curlew {number}") for number in range(6)]
    for turn in range(4):
        for one in ids:
            await lab.change(one, description=f"turn {turn} {uuid4()}")
    environment = desk.world.environment | {"CATALOG_ALERT_NETWORKS": "127.0.0.1/32"}

    def started() -> "subprocess.Popen[bytes]":
        with (tmp_path / "indexer.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "indexer", "run"], env=environment, stdout=log, stderr=log)

    for killed_at in (5, 14):
        receiver.holds_at = killed_at
        process = started()
        try:

            async def amid(most: int = killed_at) -> bool:
                return receiver.begun >= most

            await eventually(amid, seconds=40)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        assert await waiting(desk) != set()
        receiver.open.set()
        # The lease of what it had in hand ends.
        await passed(desk)
    async with telling_all_the_time(desk.engines):
        await all_told(desk)

    assert in_order(receiver.taken) == {one: list(range(1, 6)) for one in ids}
    assert set(shapes.TYPES) >= {one.event["type"] for one in receiver.arrived}

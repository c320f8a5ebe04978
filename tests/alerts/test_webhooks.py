"""Webhooks: signed, repeated until they arrive, and never into a network that the operator did not name."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from catalog.alerts import telling as alerts_telling
from catalog.alerts import webhooks
from catalog.alerts.tables import Channel
from catalog.alerts.telling import RETRIES
from catalog.alerts.webhooks import Webhooks, WrongAddress
from catalog.local import ports
from catalog.outside.door import Door
from indexer import telling
from tests.alerts.conftest import Desk, Person, Receiver


async def passed(desk: Desk) -> None:
    """Let the time pass until what failed is tried again."""
    await desk.run("UPDATE queue SET ready_at = now()")
    await desk.run("UPDATE saved_search SET retry_at = now() WHERE retry_at IS NOT NULL")


async def test_a_webhook_tells_what_fits_and_is_signed_so_that_its_receiver_knows_us(
    desk: Desk, lab: Person, receiver: Receiver
) -> None:
    ana = await desk.person()
    made = await ana.save("puffin", by="webhook", address=receiver.url)
    secret = (await ana.client.post(f"/api/saved-searches/{made['id']}/webhook-secret")).json()["secret"]
    ids = [await lab.register(title) for title in ("A puffin", "Two puffins")]
    await lab.register("A gull")
    await desk.work()

    ((path, headers, body),) = receiver.requests
    told = json.loads(body)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"
    assert (path, headers["content-type"], told["type"]) == ("/hook", "application/json", "saved-search.matched")
    assert told["data"]["saved_search"] == {"id": made["id"], "name": made["name"]}
    assert [one["id"] for one in told["data"]["objects"]] == ids
    assert set(told["data"]["objects"][0]) == {
        *("id", "kind", "project", "title", "revision", "updated_at", "href", "page"),
    }
    assert await ana.feed(made) == ["Two puffins", "A puffin"]
    other = (await ana.client.post(f"/api/saved-searches/{made['id']}/webhook-secret")).json()["secret"]
    assert other != secret


async def test_a_message_is_repeated_with_its_id_until_it_arrives_and_what_came_since_follows(
    desk: Desk, lab: Person, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts_telling, "RETRIES", [timedelta(hours=1)] * len(RETRIES))
    ana = await desk.person()
    made = await ana.save("gannet", by="webhook", address=receiver.url)
    receiver.status = 500
    await lab.register("Gannet one")
    await desk.work()
    shown = (await ana.client.get(f"/api/saved-searches/{made['id']}")).json()
    assert (shown["fault"], shown["told_at"], shown["stopped_at"]) == (
        "The receiver answered 500, where 200 to 299 is wanted.",
        None,
        None,
    )
    # What comes meanwhile does not have it asked more often.
    await lab.register("Gannet two")
    await desk.work()
    assert len(receiver.requests) == 1
    receiver.status = 204
    await passed(desk)
    await desk.work()

    assert receiver.titles == [["Gannet one"], ["Gannet one"], ["Gannet two"]]
    ids = [headers["webhook-id"] for _, headers, _ in receiver.requests]
    assert (ids[0] == ids[1], ids[1] == ids[2]) == (True, False)
    shown = (await ana.client.get(f"/api/saved-searches/{made['id']}")).json()
    assert (shown["fault"], shown["told_at"] is None) == (None, False)


async def test_what_never_arrives_is_given_up_with_the_reason_until_the_owner_changes_it(
    desk: Desk, lab: Person, receiver: Receiver
) -> None:
    ana = await desk.person()
    made = await ana.save("shearwater", by="webhook", address=receiver.url)
    receiver.status = 302
    receiver.headers = {"location": "http://127.0.0.1:1/elsewhere"}
    await lab.register("A shearwater")
    for _ in range(len(RETRIES) + 3):
        await desk.work()
        await passed(desk)

    assert len(receiver.requests) == len(RETRIES) + 1
    # It is no concern of whoever runs the catalog.
    assert await desk.queued("tell") == []
    reason = "The receiver answered 302, where 200 to 299 is wanted."
    shown = (await ana.client.get(f"/api/saved-searches/{made['id']}")).json()
    assert (shown["fault"], shown["stopped_at"] is None) == (reason, False)
    assert await ana.feed(made) == ["A shearwater"]
    receiver.status = 200
    await ana.client.put(
        f"/api/saved-searches/{made['id']}", json={name: made[name] for name in ("name", "query", "tell")}
    )
    await desk.work()
    assert receiver.titles[-1] == ["A shearwater"]
    assert await desk.queued("tell") == []


async def test_a_receiver_that_is_gone_is_asked_no_more(desk: Desk, lab: Person, receiver: Receiver) -> None:
    ana = await desk.person()
    await ana.save("albatross", by="webhook", address=receiver.url)
    receiver.status = 410
    for title in ("Albatross one", "Albatross two"):
        await lab.register(title)
        await desk.work()
        await passed(desk)
    assert receiver.titles == [["Albatross one"]]


async def test_what_was_hidden_since_it_failed_is_not_sent(desk: Desk, lab: Person, receiver: Receiver) -> None:
    ana = await desk.person()
    await ana.save("petrel", by="webhook", address=receiver.url)
    receiver.status = 503
    hidden = await lab.register("Secret petrel")
    await lab.register("Petrel")
    await desk.work()
    await lab.change(hidden, visibility="private")
    receiver.status = 204
    await passed(desk)
    await desk.work()

    assert sorted(receiver.titles[0]) == ["Petrel", "Secret petrel"]
    assert receiver.titles[1:] == [["Petrel"]]


async def test_more_than_a_message_holds_comes_in_several(
    desk: Desk, lab: Person, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(telling.MOST, Channel.WEBHOOK, 2)
    ana = await desk.person()
    await ana.save("skua", by="webhook", address=receiver.url)
    for number in range(5):
        await lab.register(f"Skua {number}")
    await desk.work()
    assert [len(titles) for titles in receiver.titles] == [2, 2, 1]
    assert sorted(title for titles in receiver.titles for title in titles) == [f"Skua {number}" for number in range(5)]


@pytest.mark.parametrize(
    ("scheme", "rest"),
    [
        *(("http", "example.org/hook"), ("https", "127.0.0.2/"), ("https", "[::1]/"), ("https", "10.0.0.7/")),
        *(("https", "169.254.169.254/latest"), ("https", "[::ffff:10.0.0.7]/"), ("https", "0x7f000002/")),
        *(
            ("https", "user:word@127.0.0.1/"),
            ("ftp", "127.0.0.1/"),
            ("https", "/nowhere"),
            ("https", "nowhere.invalid/"),
        ),
        *(("http", "127.0.0.1:0/"), ("http", "["), ("https", "127.0.0.1/a b"), ("https", "127.0.0.1/#place")),
    ],
)
async def test_webhooks_into_networks_that_are_not_public_are_refused_before_anything_is_sent(
    desk: Desk, scheme: str, rest: str
) -> None:
    ana = await desk.person()
    address = f"{scheme}://{rest}"
    body = {"name": "x", "query": {"q": "x"}, "tell": {"by": "webhook", "address": address}}
    refused = await ana.client.post("/api/saved-searches", json=body)
    assert (refused.status_code, [one["pointer"] for one in refused.json()["errors"]]) == (400, ["/tell/address"])


async def test_a_webhook_whose_name_leads_inside_later_is_not_sent(receiver: Receiver) -> None:
    """The door judges each connection, whatever was judged when the search was saved."""
    shut = Webhooks(Door())
    with pytest.raises(webhooks.NotTold, match="no host that everybody reaches"):
        await shut.post(receiver.url, b"{}", {})
    with pytest.raises(WrongAddress):
        await shut.must_admit(receiver.url)
    await shut.close()
    assert receiver.requests == []


async def test_how_to_be_told_says_what_is_wrong_with_it(desk: Desk, receiver: Receiver) -> None:
    ana = await desk.person()

    async def refused(**tell: Any) -> tuple[int, list[str]]:
        answer = await ana.client.post("/api/saved-searches", json={"name": "x", "query": {"q": "x"}, "tell": tell})
        return answer.status_code, [one["pointer"] for one in answer.json().get("errors", ())]

    assert await refused(by="webhook") == (400, ["/tell/address"])
    assert await refused(by="feed", address=receiver.url) == (400, ["/tell/address"])
    assert await refused(by="mail", address="ana at example") == (400, ["/tell/address"])
    assert await refused(by="mail", address="ana@example.org\r\nBcc: all@example.org") == (400, ["/tell/address"])
    assert await refused(by="pigeon", when="never") == (400, ["/tell/by", "/tell/when"])


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://hooks.example.org/x", "Webhooks go over https; over http into networks alone that were named for it"),
        ("https://10.0.0.7/x", "10.0.0.7 lies in a private network, where nothing is posted"),
        (
            "https://localhost/x",
            "localhost is no host that everybody reaches: there is none of this name, or it lies in",
        ),
        (
            "https://nowhere.invalid/x",
            "nowhere.invalid is no host that everybody reaches: there is none of this name, or",
        ),
        ("ftp://hooks.example.org", "This is no address to which anything can be posted: write https://"),
    ],
)
async def test_a_webhook_that_is_refused_says_which_reason_it_is_and_what_an_operator_sets(
    address: str, said: str
) -> None:
    shut = Webhooks(Door())
    with pytest.raises(WrongAddress) as wrong:
        await shut.must_admit(webhooks.checked(address))
    await shut.close()
    assert str(wrong.value).startswith(said)
    assert "CATALOG_ALERT_NETWORKS." in str(wrong.value) or address.startswith("ftp")


async def test_a_receiver_that_is_not_there_is_told_of_in_a_sentence_and_when_it_is_tried_again(
    desk: Desk, lab: Person
) -> None:
    ana = await desk.person()
    made = await ana.save("turnstone", by="webhook", address=f"http://127.0.0.1:{ports.choose()}")
    await lab.register("A turnstone")
    await desk.work()
    shown = (await ana.client.get(f"/api/saved-searches/{made['id']}")).json()
    assert shown["fault"] == "The receiver cannot be reached: no connection to its address can be made."
    assert shown["retry_at"] > shown["asked_at"]

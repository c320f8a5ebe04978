"""What was made with a token ends with it, however it ends, and a narrowed token comes to nothing wider."""

from typing import Any

import httpx2

from tests.alerts.conftest import Desk, Person, Receiver

EXPIRE = "UPDATE token SET expires_at = now() - interval '1 second' WHERE id = :id"


async def another(who: Person, **said: Any) -> tuple[str, httpx2.AsyncClient]:
    """Make another token of somebody; return its id and a client that carries it."""
    made = await who.client.post("/api/tokens", json={"scopes": ["read", "register"]} | said)
    assert made.status_code == 201, made.text
    return made.json()["id"], await who.desk.holding(made.json()["token"])


async def saved_by(client: httpx2.AsyncClient, q: str, **tell: Any) -> dict[str, Any]:
    """Save a search."""
    body = {"name": f"Search for {q}", "query": {"q": q}} | ({"tell": tell} if tell else {})
    answer = await client.post("/api/saved-searches", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_token_of_one_place_touches_no_saved_search_of_the_account(desk: Desk) -> None:
    ana = await desk.person()
    made = await ana.save("kestrel")
    key = (await ana.client.post(f"/api/saved-searches/{made['id']}/feed-key")).json()
    await desk.run("INSERT INTO organization (name) VALUES ('alerts') ON CONFLICT DO NOTHING")
    await desk.run("INSERT INTO project (name, organization) VALUES ('alerts/soil', 'alerts') ON CONFLICT DO NOTHING")
    _, placed = await another(ana, scopes=["read"], place="alerts/soil")
    one = f"/api/saved-searches/{made['id']}"
    body = {"name": "Mine", "query": {"q": "kestrel"}}
    asked = [
        *(("GET", path, None) for path in ("/api/saved-searches", one, f"{one}/feed")),
        *(("POST", f"{one}/{what}", None) for what in ("feed-key", "webhook-secret")),
        *(("DELETE", path, None) for path in (f"{one}/feed-key", one)),
        ("PUT", one, body),
        ("POST", "/api/saved-searches", body),
    ]

    answers = [await placed.request(method, path, json=sent) for method, path, sent in asked]

    assert [(answer.status_code, "alerts/soil alone" in answer.text) for answer in answers] == [(403, True)] * 9
    assert (await ana.client.get(one)).json() == made | {"has_feed_key": True}
    assert (await (await desk.holding(None)).get(key["atom"])).status_code == 200


async def test_a_key_ends_with_the_token_that_made_it_and_no_change_brings_it_back(desk: Desk) -> None:
    ana, nobody = await desk.person(), await desk.holding(None)
    for number, end in enumerate(("revoked", "expired")):
        made = await ana.save("heron", name=f"Herons {number}")
        one = f"/api/saved-searches/{made['id']}"
        token_id, other = await another(ana)
        key = (await other.post(f"{one}/feed-key")).json()
        assert (await nobody.get(key["json"])).status_code == 200
        if end == "revoked":
            await ana.client.delete(f"/api/tokens/{token_id}")
        else:
            await desk.run(EXPIRE, id=token_id)
        assert ((await nobody.get(key["json"])).status_code, (await nobody.get(key["atom"])).status_code) == (404, 404)
        assert (await ana.client.get(one)).json()["has_feed_key"] is False

        changed = await ana.client.put(one, json={"name": made["name"], "query": {"q": "egret"}})
        assert (changed.status_code, changed.json()["has_feed_key"]) == (200, False)
        assert (await nobody.get(key["json"])).status_code == 404
        fresh = (await ana.client.post(f"{one}/feed-key")).json()
        assert (await nobody.get(fresh["json"])).status_code == 200


async def test_what_was_saved_with_a_token_tells_nothing_after_it_expired_until_it_is_changed(
    desk: Desk, lab: Person, receiver: Receiver
) -> None:
    ana, nobody = await desk.person(), await desk.holding(None)
    token_id, other = await another(ana)
    made = await saved_by(other, "stork", by="webhook", address=receiver.url)
    one = f"/api/saved-searches/{made['id']}"
    key = (await other.post(f"{one}/feed-key")).json()
    await lab.register("A stork before")
    await desk.work()
    assert receiver.titles == [["A stork before"]]
    await desk.run(EXPIRE, id=token_id)
    await lab.register("A stork after")
    await desk.work()

    assert receiver.titles == [["A stork before"]]
    assert (await nobody.get(key["json"])).status_code == 404
    shown = (await ana.client.get(one)).json()
    assert "has ended: change it" in shown["fault"]
    told = {"name": made["name"], "query": made["query"], "tell": made["tell"]}
    assert (await ana.client.put(one, json=told)).json()["fault"] is None
    await lab.register("A stork at last")
    await desk.work()
    assert receiver.titles[1:] == [["A stork at last"]]


async def test_a_secret_that_was_told_to_a_token_that_ended_signs_nothing(
    desk: Desk, lab: Person, receiver: Receiver
) -> None:
    ana = await desk.person()
    made = await ana.save("crane", by="webhook", address=receiver.url)
    one = f"/api/saved-searches/{made['id']}"
    token_id, other = await another(ana)
    await other.post(f"{one}/webhook-secret")
    await ana.client.delete(f"/api/tokens/{token_id}")
    await lab.register("A crane")
    await desk.work()

    assert receiver.requests == []
    assert "make another one" in (await ana.client.get(one)).json()["fault"]
    await ana.client.post(f"{one}/webhook-secret")
    await desk.run("UPDATE saved_search SET retry_at = NULL")
    await desk.run("UPDATE queue SET ready_at = now()")
    await desk.work()
    assert receiver.titles == [["A crane"]]

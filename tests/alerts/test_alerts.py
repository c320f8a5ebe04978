"""Who saves a search is told of what fits: once, of what is there to be seen by them, and of nothing else."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import pytest

from catalog import queue
from catalog.access.audience import Role
from catalog.errors import Unavailable
from catalog.search.document import Document
from catalog.search.index import EngineSays
from catalog.search.percolator import Percolator
from indexer import alerts, documents
from tests.alerts.conftest import Desk, Person


async def test_what_is_registered_and_fits_stands_in_the_feed_newest_first(desk: Desk, lab: Person) -> None:
    ana = await desk.person()
    await lab.register("Narwhals before")
    await desk.work()
    made = await ana.save("narwhals")
    await lab.register("Narwhals of Greenland")
    await lab.register("Walrus of Greenland")
    await desk.work()
    await lab.register("Narwhals of Svalbard")
    await desk.work()

    assert await ana.feed(made) == ["Narwhals of Svalbard", "Narwhals of Greenland"]
    shown = (await ana.client.get(f"/api/saved-searches/{made['id']}")).json()
    assert datetime.fromisoformat(shown.pop("told_at")) >= datetime.fromisoformat(made["created_at"])
    assert shown == {name: value for name, value in made.items() if name != "told_at"}
    assert made["told_at"] is None


async def test_an_object_alerts_once_and_when_it_comes_to_fit(desk: Desk, lab: Person) -> None:
    ana = await desk.person()
    early = await lab.register("A walrus")
    made = await ana.save("beluga")
    object_id = await lab.register("A beluga")
    await desk.work()
    (first,) = await desk.engines.database.rows("SELECT object_id, seen_at FROM saved_alert", {})
    await lab.change(object_id, description="Seen twice.")
    await lab.change(early, title="A beluga after all")
    await desk.work()

    rows = await desk.engines.database.rows("SELECT object_id, seen_at FROM saved_alert ORDER BY seen_at", {})
    assert (rows[0], [str(one) for one, _ in rows]) == (first, [object_id, early])
    assert await ana.feed(made) == ["A beluga after all", "A beluga"]


async def test_a_hidden_object_leaves_no_trace_until_it_is_seen(desk: Desk, lab: Person) -> None:
    ana = await desk.person()
    made = await ana.save("orca")
    hidden = await lab.register("A secret orca", visibility="private")
    public = await lab.register("An orca")
    await desk.work()
    address = f"/api/saved-searches/{made['id']}"
    before = [await ana.client.get(f"{address}{suffix}") for suffix in ("", "/feed", "/feed?as=json")]
    await lab.change(hidden, description="Still secret.")
    await desk.work()
    after = [await ana.client.get(f"{address}{suffix}") for suffix in ("", "/feed", "/feed?as=json")]
    await lab.change(hidden, visibility="public")
    await desk.work()

    assert [one.content for one in before] == [one.content for one in after]
    assert before[2].json()["items"][0]["id"] == f"urn:uuid:{public}"
    assert await ana.feed(made) == ["A secret orca", "An orca"]
    # It comes with the moment at which it came to be seen.
    told = (await ana.client.get(f"{address}/feed?as=json")).json()["items"]
    assert told[0]["date_modified"] > told[1]["date_modified"]


async def test_who_is_no_longer_granted_is_told_nothing_more_and_reads_nothing_more(desk: Desk, lab: Person) -> None:
    ana, ben = await desk.person(), await desk.person()
    saved = {who.name: await who.save("dugong") for who in (ana, ben)}
    object_id = await lab.register("A dugong", visibility="private")
    grants = {}
    for who in (ana, ben):
        told = {"to": f"user:{who.name}", "permission": "READ"}
        grants[who.name] = (await lab.client.post(f"/api/objects/{object_id}/grants", json=told)).json()["id"]
    # What fits is known; who may be told is asked after the revocation.
    await lab.client.delete(f"/api/objects/{object_id}/grants/{grants[ana.name]}")
    await desk.work()
    assert (await ana.feed(saved[ana.name]), await ben.feed(saved[ben.name])) == ([], ["A dugong"])

    await lab.client.delete(f"/api/objects/{object_id}/grants/{grants[ben.name]}")
    assert await ben.feed(saved[ben.name]) == []
    await desk.work()
    seen = await desk.engines.database.rows(
        "SELECT count(*) FROM saved_alert WHERE seen_at IS NOT NULL AND search_id = %(id)s",
        {"id": saved[ana.name]["id"]},
    )
    assert seen == [(0,)]


async def test_an_account_that_was_ended_and_a_token_that_was_revoked_tell_nobody(desk: Desk, lab: Person) -> None:
    ana, ben = await desk.person(), await desk.person()
    saved = [await who.save("manatee") for who in (ana, ben)]
    feeds = [
        (await who.client.post(f"/api/saved-searches/{one['id']}/feed-key")).json()
        for who, one in zip((ana, ben), saved, strict=True)
    ]
    nobody = await desk.holding(None)
    assert [(await nobody.get(one["atom"])).status_code for one in feeds] == [200, 200]
    await desk.run("UPDATE principal SET ended_at = now() WHERE id = :id", id=ana.id)
    await desk.run("UPDATE token SET revoked_at = now() WHERE principal_id = :id", id=ben.id)
    await lab.register("A manatee")
    await desk.work()

    assert await desk.engines.database.rows("SELECT count(*) FROM saved_alert WHERE seen_at IS NOT NULL", {}) == [(0,)]
    assert [(await nobody.get(one["atom"])).status_code for one in feeds] == [404, 404]


async def test_feeds_are_atom_and_json_feed_and_known_again(desk: Desk, lab: Person) -> None:
    ana = await desk.person()
    made = await ana.save("\N{LEFT-POINTING ANGLE BRACKET}gecko", name='Geckos & "friends" <b>')
    made = (
        await ana.client.put(f"/api/saved-searches/{made['id']}", json={"name": made["name"], "query": {"q": "gecko"}})
    ).json()
    object_id = await lab.register("Gecko <script> & more", description="word " * 200)
    await desk.work()
    address = f"/api/saved-searches/{made['id']}/feed"
    atom = await ana.client.get(address)
    told = await ana.client.get(address, params={"as": "json"})

    names = {"a": "http://www.w3.org/2005/Atom"}
    root = ET.fromstring(atom.text)  # noqa: S314 - our own answer.
    page = f"{desk.engines.house.address}/objects/{object_id}"
    assert atom.headers["content-type"].split(";")[0] == "application/atom+xml"
    assert root.findtext("a:id", namespaces=names) == f"urn:uuid:{made['id']}"
    assert root.findtext("a:title", namespaces=names) == made["name"]
    (entry,) = root.findall("a:entry", names)
    assert entry.findtext("a:title", namespaces=names) == "Gecko <script> & more"
    (link,) = entry.findall("a:link", names)
    assert link.attrib == {"rel": "alternate", "type": "text/html", "href": page}
    assert len(entry.findtext("a:summary", namespaces=names) or "") <= 501
    item = told.json()["items"][0]
    assert told.headers["content-type"].split(";")[0] == "application/feed+json"
    assert (told.json()["version"], item["url"], item["title"]) == (
        "https://jsonfeed.org/version/1.1",
        page,
        "Gecko <script> & more",
    )
    again = await ana.client.get(address, headers={"If-None-Match": atom.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_feed_opens_by_its_key_until_that_is_revoked(desk: Desk) -> None:
    ana, ben = await desk.person(), await desk.person()
    made = await ana.save("tapir")
    nobody = await desk.holding(None)
    address = f"/api/saved-searches/{made['id']}"

    async def statuses(*addresses: str) -> list[int]:
        return [(await nobody.get(one)).status_code for one in addresses]

    first = (await ana.client.post(f"{address}/feed-key")).json()
    assert await statuses(first["atom"], first["json"], f"{address}/feed", f"{address}/feed?key=catf_guess") == [
        200,
        200,
        401,
        404,
    ]
    second = (await ana.client.post(f"{address}/feed-key")).json()
    assert await statuses(first["atom"], second["atom"]) == [404, 200]
    other = await ben.save("tapir")
    assert await statuses(second["atom"].replace(made["id"], other["id"])) == [404]
    assert (await ana.client.get(address)).json()["has_feed_key"] is True
    assert (await ana.client.delete(f"{address}/feed-key")).status_code == 204
    assert await statuses(second["atom"]) == [404]
    kept = await desk.engines.database.rows(
        "SELECT feed_digest FROM saved_search WHERE id = %(id)s", {"id": made["id"]}
    )
    assert kept == [(None,)]


async def test_everybody_has_their_own_and_an_admin_sees_none_of_others(desk: Desk) -> None:
    ana, root = await desk.person(), await desk.person(Role.ADMIN)
    made = await ana.save("lynx", name="Mine")
    address = f"/api/saved-searches/{made['id']}"
    absent = f"/api/saved-searches/{uuid4()}"
    body = {"name": "Theirs", "query": {"q": "lynx"}}

    async def answers(address: str) -> list[tuple[int, Any]]:
        client = root.client
        told = [
            await client.get(address),
            await client.get(f"{address}/feed"),
            await client.put(address, json=body),
            await client.post(f"{address}/feed-key"),
            await client.delete(f"{address}/feed-key"),
            await client.delete(address),
        ]
        return [(one.status_code, one.json()["detail"]) for one in told]

    assert await answers(address) == await answers(absent)
    assert {status for status, _ in await answers(address)} == {404}
    assert (await root.client.get("/api/saved-searches")).json() == {"items": []}
    assert (await ana.client.get("/api/saved-searches")).json() == {"items": [made]}


async def test_what_cannot_be_saved_says_all_that_is_wrong_with_it(desk: Desk) -> None:
    ana = await desk.person()
    made = await ana.save("ibex", name="Ibex")

    async def refused(**body: Any) -> tuple[int, list[str]]:
        answer = await ana.client.post("/api/saved-searches", json={"name": "Other", "query": {"q": "ibex"}} | body)
        return answer.status_code, [fault["pointer"] for fault in answer.json().get("errors", ())]

    assert await refused(query={"q": '"ibex', "kind": ["modle"]}) == (400, ["/query/kind/0", "/query/q"])
    assert await refused(query={"q": "ibex", "has_labels": ["yes"]}) == (400, ["/query"])
    assert await refused(query={}) == (400, ["/query"])
    assert await refused(query={"q": "ibex", "limit": 3}, name="") == (400, ["/name", "/query/limit"])
    assert await refused(name="a\nb") == (400, ["/name"])
    assert await refused(name="Ibex") == (409, [])
    assert (await ana.client.get("/api/saved-searches")).json() == {"items": [made]}


async def test_a_principal_has_a_hundred_and_no_token_of_a_place_saves_any(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.alerts.saved.SAVED_MAX", 2)
    ana = await desk.person()
    await ana.save("one")
    await ana.save("two")
    third = await ana.client.post("/api/saved-searches", json={"name": "Three", "query": {"q": "three"}})
    assert (third.status_code, "2 saved searches" in third.json()["detail"]) == (413, True)

    ben = await desk.person()
    told = {"scopes": ["read"], "place": "alerts/soil"}
    await desk.run("INSERT INTO organization (name) VALUES ('alerts') ON CONFLICT DO NOTHING")
    await desk.run("INSERT INTO project (name, organization) VALUES ('alerts/soil', 'alerts') ON CONFLICT DO NOTHING")
    placed = (await ben.client.post("/api/tokens", json=told)).json()
    client = await desk.holding(placed["token"])
    refused = await client.post("/api/saved-searches", json={"name": "Here", "query": {"q": "here"}})
    assert (refused.status_code, "alerts/soil alone" in refused.json()["detail"]) == (403, True)


async def test_a_search_that_was_changed_or_removed_is_so_for_the_engine(desk: Desk, lab: Person) -> None:
    ana = await desk.person()
    kept, gone = await ana.save("marmot"), await ana.save("marmot")
    await lab.register("Marmot one")
    await desk.work()
    changed = {"name": "Changed", "query": {"filter": "title LIKE 'Vole%'", "kind": ["training-dataset"]}}
    await ana.client.put(f"/api/saved-searches/{kept['id']}", json=changed)
    assert (await ana.client.delete(f"/api/saved-searches/{gone['id']}")).status_code == 204
    await lab.register("Marmot two")
    await lab.register("Vole one")
    await desk.work()

    assert await ana.feed(kept) == ["Vole one", "Marmot one"]
    ids = [UUID(one["id"]) for one in (kept, gone)]
    assert await desk.engines.percolator.versions(ids) == {ids[0]: 2}
    assert json.loads((await ana.client.get(f"/api/saved-searches/{kept['id']}")).text)["query"] == changed["query"]


async def test_objects_wait_until_the_engine_keeps_what_was_saved_before(desk: Desk, lab: Person) -> None:
    ana = await desk.person()
    made = await ana.save("stoat")
    await lab.register("A stoat")
    await documents.step(desk.engines)

    assert await alerts.match_step(desk.engines) == 0
    await desk.work()
    assert await ana.feed(made) == ["A stoat"]


async def test_while_the_engine_is_away_nothing_that_fits_is_given_up(desk: Desk, lab: Person) -> None:
    ana = await desk.person()
    made = await ana.save("puffin")
    await desk.work()
    await lab.register("A puffin")
    await documents.step(desk.engines)
    away = replace(desk.engines, percolator=Percolator("http://127.0.0.1:1", "nobody"))
    for _ in range(queue.ATTEMPTS_MAX + 1):
        with pytest.raises(Unavailable):
            await alerts.match_step(away)
    await away.percolator.close()
    assert [(attempts, parked) for _, _, attempts, parked, _ in await desk.queued("match")] == [(0, False)]

    await desk.work()
    assert await ana.feed(made) == ["A puffin"]


async def test_an_object_that_the_engine_refuses_to_compare_holds_back_no_other(
    desk: Desk, lab: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = await desk.person()
    made = await ana.save("grebe")
    await desk.work()
    for number in range(5):
        await lab.register(f"A grebe, the {number}.")
    refused = await lab.register("A grebe that cannot be compared")
    compare = desk.engines.percolator.fitting

    async def fitting(documents: Sequence[Document]) -> list[tuple[UUID, int]]:
        if any(one["id"] == refused for one in documents):
            raise EngineSays("too_complex_to_determinize_exception")
        return await compare(documents)

    monkeypatch.setattr(desk.engines.percolator, "fitting", fitting)
    await desk.work()

    assert sorted(await ana.feed(made)) == [f"A grebe, the {number}." for number in range(5)]
    told = [(subject, parked, reason) for _, subject, _, parked, reason in await desk.queued("match")]
    assert told == [(refused, False, "too_complex_to_determinize_exception")]


async def test_an_index_of_queries_that_was_lost_is_filled_again(desk: Desk, lab: Person) -> None:
    ana = await desk.person()
    made = await ana.save("heron")
    await desk.work()
    await desk.engines.percolator.drop()

    await alerts.prepare(desk.engines)
    await lab.register("A heron")
    await desk.work()

    assert await ana.feed(made) == ["A heron"]

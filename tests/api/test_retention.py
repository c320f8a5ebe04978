"""How long things are kept, over the API: who may say so, who is told, and what is told."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest
import sqlalchemy as sa

from catalog.engines import Engines
from tests.api.conftest import BECAUSE, plain, register
from tests.api.people import People
from tests.api.problems import problem_of

pytestmark = pytest.mark.usefixtures("noise")

DEFAULT = "keep for 15 days from the end of the job"


@pytest.fixture(autouse=True)
async def no_cycle(engines: Engines) -> None:
    """The indexer of these tests, which runs for all of them, runs no cycle amid one of them."""
    async with engines.database.transaction() as session:
        await session.execute(
            sa.text("UPDATE queue SET ready_at = now() + interval '1 hour' WHERE topic = 'retention'")
        )


def retention_of(scope: str) -> str:
    return f"/api/{'projects' if '/' in scope else 'organizations'}/{scope}/retention"


async def set_rule(client: httpx2.AsyncClient, scope: str, **said: Any) -> None:
    answer = await client.put(retention_of(scope), json=said)
    assert answer.status_code == 204, answer.text


async def explained(client: httpx2.AsyncClient, object_id: str) -> dict[str, Any]:
    answer = await client.get(f"/api/objects/{object_id}/retention")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.mark.req("MWM-SADD-67")
async def test_the_most_specific_rule_wins_and_is_told_with_its_place(people: People) -> None:
    owner = await people.member("owner", "ingest")
    admin = people.clients.admin
    object_id = (await register(owner, plain(people.project)))["id"]
    steps = [
        (people.organization, {"days": 400}),
        (people.organization, {"days": 300, "kind": "training-dataset"}),
        (people.organization, {"days": 1, "kind": "model"}),
        (people.project, {"days": 200, "since": "change"}),
        (people.project, {"days": 100, "since": "publication", "kind": "training-dataset"}),
    ]
    told = [(await explained(owner, object_id))["rule"]]
    for scope, said in steps:
        await set_rule(admin, scope, **said)
        told.append((await explained(owner, object_id))["rule"])
    assert (await owner.put(f"/api/objects/{object_id}/retention", json={"days": None})).status_code == 204
    told.append((await explained(owner, object_id))["rule"])

    organization, project = people.organization, people.project
    assert [one and (one["place"], one["text"]) for one in told] == [
        None,
        (organization, "keep for 400 days from registration"),
        (f"{organization}, kind training-dataset", "keep for 300 days from registration"),
        (f"{organization}, kind training-dataset", "keep for 300 days from registration"),
        (project, "keep for 200 days from the last change"),
        (f"{project}, kind training-dataset", "keep for 100 days from the last publication"),
        ("the object itself", "keep for ever"),
    ]
    assert (await owner.delete(f"/api/objects/{object_id}/retention")).status_code == 204
    assert (await explained(owner, object_id))["rule"]["place"] == f"{project}, kind training-dataset"


@pytest.mark.req("MWM-SADD-67", "MWM-SADD-69")
async def test_an_object_says_where_it_stands_what_prevents_it_and_who_depends_on_it(
    people: People, engines: Engines
) -> None:
    owner = await people.member("owner", "ingest")
    curator = await people.member("curator", "curator")
    object_id = (await register(owner, plain(people.project)))["id"]
    assert (await explained(owner, object_id))["state"] == "kept"
    await set_rule(people.clients.admin, people.project, days=30)
    waiting = await explained(owner, object_id)
    async with engines.database.transaction() as session:
        statement = sa.text("UPDATE object SET created_at = created_at - interval '31 days' WHERE id = :id")
        await session.execute(statement, {"id": object_id})
    labels = {"dataset": object_id}
    seen = await register(owner, plain(people.project, title="Theirs", kind="labels", metadata=labels))
    hold = await curator.post(f"/api/objects/{object_id}/retention/holds", json={"reason": "An inquiry."})
    assert hold.status_code == 201, hold.text
    prevented = await explained(owner, object_id)

    assert (waiting["state"], waiting["obstacles"], waiting["removes_at"]) == ("waiting", [], None)
    assert (prevented["state"], prevented["obstacles"]) == ("prevented", ["hold", "dependants"])
    assert [(one["id"], one["reason"], one["placed_by"]) for one in prevented["holds"]] == [
        (hold.json()["id"], "An inquiry.", people.names["curator"])
    ]
    assert [one["id"] for one in prevented["dependants"]] == [seen["id"]]
    address = f"/api/retention/holds/{hold.json()['id']}"
    assert (await owner.delete(address, params={"reason": "Mine."})).status_code == 403
    assert (await people.clients.other.delete(address, params={"reason": "Mine."})).status_code == 404
    assert (await curator.delete(address, params={"reason": "It is over."})).status_code == 204
    assert (await explained(owner, object_id))["obstacles"] == ["dependants"]


async def test_dependants_that_a_caller_does_not_see_are_told_by_nothing(people: People) -> None:
    owner = await people.member("owner", "ingest")
    curator = await people.member("curator", "curator")
    object_id = (await register(owner, plain(people.project, visibility="project")))["id"]
    labels = {"dataset": object_id}
    hidden = await register(curator, plain(people.project, title="Secret", kind="labels", metadata=labels))
    told = await explained(owner, object_id)
    assert (told["obstacles"], told["dependants"]) == ([], [])
    theirs = await explained(curator, object_id)
    assert (theirs["obstacles"], [one["id"] for one in theirs["dependants"]]) == (["dependants"], [hidden["id"]])


@pytest.mark.req("MWM-SADD-68")
async def test_a_dry_run_tells_what_would_go_and_changes_nothing(people: People, engines: Engines) -> None:
    owner = await people.member("owner", "ingest")
    curator = await people.member("curator", "curator")
    due, held, young = [(await register(owner, plain(people.project, title=title)))["id"] for title in "abc"]
    await set_rule(people.clients.admin, people.project, days=30)
    async with engines.database.transaction() as session:
        statement = sa.text("UPDATE object SET created_at = created_at - interval '31 days' WHERE id = ANY(:ids)")
        await session.execute(statement, {"ids": [due, held]})
    await curator.post(f"/api/objects/{held}/retention/holds", json={"reason": "An inquiry."})

    answer = await curator.get("/api/retention/report", params={"scope": people.project})

    told = answer.json()
    assert [(one["id"], one["step"], one["obstacles"]) for one in told["items"]] == [
        (due, "mark", []),
        (held, "keep", ["hold"]),
    ]
    none = {"objects": 0, "bytes": 0}
    one = {"objects": 1, "bytes": 0}
    assert told["steps"] == {"mark": one, "wait": none, "remove": none, "take_back": none, "keep": one}
    assert (told["scope"], told["whole"], told["stopped"]) == (people.project, True, [])
    assert [(await explained(owner, each))["state"] for each in (due, held, young)] == ["due", "prevented", "waiting"]
    assert (await owner.get("/api/retention/report", params={"scope": people.project})).status_code == 403
    stranger = await people.person("stranger")
    assert (await stranger.get("/api/retention/report", params={"scope": people.project})).status_code == 404


async def test_members_see_the_rules_of_their_project_and_admins_alone_set_them(people: People) -> None:
    reader = await people.member("reader", "reader")
    curator = await people.member("curator", "curator")
    lead = await people.member("lead", "admin")
    await set_rule(lead, people.project, days=7, kind="model", versions=True)
    assert (await lead.put(retention_of(people.project), json={"days": None})).status_code == 204
    refused = [await one.put(retention_of(people.project), json={"days": 1}) for one in (reader, curator)]
    told = (await reader.get(retention_of(people.project))).json()
    assert [answer.status_code for answer in refused] == [403, 403]
    assert [(one["kind"], one["days"], one["versions"], one["set_by"]) for one in told["rules"]] == [
        (None, None, False, people.names["lead"]),
        ("model", 7, True, people.names["lead"]),
    ]
    assert (told["default"]["kind"], told["default"]["text"], told["grace_days"]) == ("job", DEFAULT, 7.0)
    answer = await lead.delete(retention_of(people.project), params={"kind": "model"})
    again = await lead.delete(retention_of(people.project), params={"kind": "model"})
    assert [answer.status_code, again.status_code] == [204, 404]


async def test_every_rule_and_hold_has_its_row_among_the_changes(people: People) -> None:
    admin = people.clients.admin
    await set_rule(admin, people.project, days=7)
    await set_rule(admin, people.project, days=8)
    await admin.delete(retention_of(people.project))
    hold = await admin.post(f"{retention_of(people.project)}/holds", json={"reason": "An inquiry."})
    await admin.delete(f"/api/retention/holds/{hold.json()['id']}", params={"reason": "Over."})
    changes = (await admin.get("/api/audit", params={"scope": people.project})).json()["items"]
    said = {"since": "registration", "versions": False}
    placed = {"hold": hold.json()["id"], "reason": "An inquiry."}
    subject = f"project:{people.project}"
    told = [
        (one["action"], one["subject"], one["before"], one["after"])
        for one in reversed(changes)
        if "retention" in one["action"] or "hold" in one["action"]
    ]
    assert told == [
        ("change retention", subject, None, {"days": 7} | said),
        ("change retention", subject, {"days": 7} | said, {"days": 8} | said),
        ("remove retention", subject, {"days": 8} | said, None),
        ("place hold", subject, None, placed),
        ("lift hold", subject, placed, {"reason": "Over."}),
    ]


async def test_a_rule_with_faults_is_refused_with_all_of_them(people: People) -> None:
    wrong = {"days": 0, "since": "birth", "versions": 1, "more": 1}
    refused = await people.clients.admin.put(retention_of(people.project), json=wrong)
    assert sorted(one["pointer"] for one in problem_of(refused)["errors"]) == ["/days", "/more", "/since", "/versions"]
    unknown = await people.clients.admin.put(retention_of(people.project), json={"days": 1, "kind": "cake"})
    assert [one["pointer"] for one in problem_of(unknown)["errors"]] == ["/kind"]


async def test_only_what_is_marked_can_be_unmarked_and_only_what_is_stopped_resumed(people: People) -> None:
    owner = await people.member("owner", "ingest")
    object_id = (await register(owner, plain(people.project)))["id"]
    kept = await owner.delete(f"/api/objects/{object_id}/retention/mark")
    resumed = await people.clients.admin.post(f"{retention_of(people.project)}/resume")
    assert [kept.status_code, resumed.status_code] == [409, 409]


async def test_bytes_are_purged_of_withdrawn_objects_alone_by_admins_and_it_can_be_undone(people: People) -> None:
    curator = await people.member("curator", "curator")
    admin = people.clients.admin
    object_id = (await register(curator, plain(people.project, files=[{"path": "a", "size": 1, "sha256": "a" * 64}])))[
        "id"
    ]
    address = f"/api/objects/{object_id}/retention/purge"
    there = await admin.post(address, json={"reason": "Recorded by mistake."})
    await curator.delete(f"/api/objects/{object_id}", params=BECAUSE, headers={"If-Match": "*"})
    by_curator = await curator.post(address, json={"reason": "Recorded by mistake."})
    asked = await admin.post(address, json={"reason": "Recorded by mistake."})
    undone = [await admin.delete(address) for _ in range(2)]
    nowhere = await admin.post(f"/api/objects/{uuid4()}/retention/purge", json={"reason": "Mistake."})
    assert [one.status_code for one in (there, by_curator, asked, *undone, nowhere)] == [409, 403, 202, 204, 409, 404]
    assert asked.json()["keys"] == 1

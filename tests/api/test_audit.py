"""Who changed who may do what: every change has its row, each admin sees what concerns them, and no secret is in it."""

import json
import re
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from catalog.access.audience import Role
from tests.api.conftest import plain, register
from tests.api.people import People, members


async def audit(client: httpx2.AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    answer = await client.get("/api/audit", params={"limit": 1000, **asked})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def told(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return rows, oldest first, without what differs from run to run."""
    return [
        tuple(one[name] for name in ("by", "action", "subject", "scope", "before", "after")) for one in reversed(rows)
    ]


async def test_all_of_it_is_told_line_by_line_as_the_pages_tell_it(people: People) -> None:
    admin = await people.member("admin", "admin", scope=people.organization)
    groups = f"/api/organizations/{people.organization}/groups"
    for number in range(5):
        assert (await admin.post(groups, json={"name": f"team{number}"})).is_success
    pages = await audit(admin)
    answer = await admin.get("/api/audit", params={"format": "ndjson", "limit": 1})
    some = await admin.get("/api/audit", params={"format": "ndjson", "subject": f"group:{people.organization}/team3"})
    nobody = await people.clients.anonymous.get("/api/audit", params={"format": "ndjson"})

    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.headers["cache-control"] == "no-store"
    # Those of one organization, as its admin sees them, page or no page.
    assert [json.loads(line) for line in answer.text.splitlines()] == pages
    assert len(pages) > 5
    assert [json.loads(line)["subject"] for line in some.text.splitlines()] == [f"group:{people.organization}/team3"]
    assert nobody.status_code == 401


@pytest.mark.req("MWM-SADD-16")
async def test_every_change_of_roles_groups_grants_and_services_leaves_who_what_and_from_what_to_what(
    people: People,
) -> None:
    organization, project = people.organization, people.project
    admin = await people.member("admin", "admin", scope=organization)
    await people.person("ana")
    ana, service = people.names["ana"], f"s{uuid4().hex[:10]}"
    began = len(await audit(admin))
    group = f"/api/organizations/{organization}/groups"
    grant = {"prefix": f"{project}/", "to": f"user:{ana}", "permission": "READ"}
    granted = ""
    for method, path, body in (
        ("PUT", members(project), {"member": f"user:{ana}", "role": "reader"}),
        ("PUT", members(project), {"member": f"user:{ana}", "role": "reader"}),
        ("PUT", members(project), {"member": f"user:{ana}", "role": "curator"}),
        ("DELETE", f"{members(project)}?member=user:{ana}", None),
        ("POST", group, {"name": "team"}),
        ("PUT", f"{group}/team/members/{ana}", None),
        ("PUT", f"{group}/team/members/{ana}", None),
        ("DELETE", f"{group}/team/members/{ana}", None),
        ("POST", "/api/grants", grant),
        ("POST", "/api/grants", grant | {"expires_at": "2099-01-01T00:00:00Z"}),
        ("DELETE", "/api/grants/{granted}", None),
        ("POST", f"/api/organizations/{organization}/service-accounts", {"name": service, "role": "ingest"}),
        ("DELETE", f"/api/service-accounts/{service}", None),
        ("POST", f"/api/organizations/{organization}/projects", {"name": "air"}),
    ):
        answer = await admin.request(method, path.format(granted=granted), json=body)
        assert answer.is_success, answer.text
        granted = answer.json()["id"] if path == "/api/grants" else granted

    rows = await audit(admin)

    by = f"user:{people.names['admin']}"
    read, ends = {"permission": "READ", "expires_at": None}, "2099-01-01T00:00:00+00:00"
    assert told(rows[: len(rows) - began]) == [
        (by, "give role", f"user:{ana}", project, None, {"role": "reader"}),
        (by, "give role", f"user:{ana}", project, {"role": "reader"}, {"role": "curator"}),
        (by, "take role", f"user:{ana}", project, {"role": "curator"}, None),
        (by, "make group", f"group:{organization}/team", organization, None, None),
        (by, "put into group", f"group:{organization}/team", organization, None, {"member": ana}),
        (by, "take from group", f"group:{organization}/team", organization, {"member": ana}, None),
        (by, "grant", f"user:{ana}", project, None, read),
        (by, "grant", f"user:{ana}", project, read, read | {"expires_at": ends}),
        (by, "revoke", f"user:{ana}", project, read | {"expires_at": ends}, None),
        (by, "make service account", f"service:{service}", organization, None, {"role": "reader"}),
        (by, "give role", f"service:{service}", organization, None, {"role": "ingest"}),
        (by, "end service account", f"service:{service}", organization, None, None),
        (by, "make project", f"project:{organization}/air", f"{organization}/air", None, None),
    ]
    assert {one["via"] for one in rows} == {"api"}
    own = [one["id"] for one in (await admin.get("/api/tokens")).json()["items"]]
    assert [one["token"] for one in rows[: len(rows) - began]] == own * (len(rows) - began)


async def test_every_change_of_a_token_is_there_and_its_value_is_not(people: People) -> None:
    ana = await people.person("ana")
    name = f"user:{people.names['ana']}"
    made = (await ana.post("/api/tokens", json={"scopes": ["read"], "label": "night", "place": "lab"})).json()
    rotated = (await ana.post(f"/api/tokens/{made['id']}/rotate", json={"overlap_seconds": 60})).json()
    await ana.delete(f"/api/tokens/{made['id']}")

    rows = await audit(people.clients.admin, subject=name)

    [own] = [one["id"] for one in (await ana.get("/api/tokens")).json()["items"]]
    assert [(one["by"], one["via"]) for one in rows[3:]] == [(None, "operator")] * 2
    assert told(rows[:3]) == [
        (
            name,
            "make token",
            name,
            None,
            None,
            {
                "token": made["id"],
                "hint": made["hint"],
                "label": "night",
                "scopes": ["read"],
                "place": "lab",
                "expires_at": None,
            },
        ),
        (
            name,
            "rotate token",
            name,
            None,
            {"token": made["id"], "hint": made["hint"]},
            {"hint": rotated["hint"], "overlap_seconds": 60},
        ),
        (name, "revoke token", name, None, {"token": made["id"], "hint": rotated["hint"], "label": "night"}, None),
    ]
    assert {one["token"] for one in rows[:3]} == {own}
    everything = str(await audit(people.clients.admin))
    assert re.search(r"cat_[A-Za-z0-9_-]{5,}", everything) is None
    assert [value for value in (made["token"], rotated["token"]) if value in everything] == []


async def test_admins_see_what_concerns_them_and_nobody_else_anything(people: People) -> None:
    organization = people.organization
    other = f"o{uuid4().hex[:10]}"
    await people.clients.admin.post("/api/organizations", json={"name": other})
    await people.clients.admin.post(f"/api/organizations/{other}/projects", json={"name": "soil"})
    admins = {
        scope: await people.member(f"admin of {scope}".replace("/", "-").replace(" ", "-"), "admin", scope=scope)
        for scope in (organization, people.project, other)
    }
    scopes = {scope: {one["scope"] for one in await audit(client)} for scope, client in admins.items()}
    assert scopes == {
        organization: {organization, people.project},
        people.project: {people.project},
        other: {other, f"{other}/soil"},
    }
    assert await audit(admins[other], scope=organization) == []
    assert {None, organization, other} <= {one["scope"] for one in await audit(people.clients.admin)}
    refused = {
        "curator": await people.member("curator", "curator", scope=organization),
        "looks after all": await people.person("looks-after-all", Role.CURATOR),
        "reader": await people.person("reader"),
        "anonymous": people.clients.anonymous,
    }
    statuses = {who: (await client.get("/api/audit")).status_code for who, client in refused.items()}
    assert statuses == {"curator": 403, "looks after all": 403, "reader": 403, "anonymous": 401}


async def test_it_is_asked_by_scope_whom_who_and_when_and_comes_in_pages(people: People) -> None:
    admin = await people.member("admin", "admin", scope=people.organization)
    for name in ("one", "two", "three"):
        await people.person(name)
        await admin.put(members(people.project), json={"member": f"user:{people.names[name]}", "role": "reader"})
    name, subject = people.names["admin"], f"user:{people.names['two']}"
    everything = await audit(admin)
    mine = await audit(admin, actor=name)
    assert [one["after"] for one in mine] == [{"role": "reader"}] * 3
    assert [one["by"] for one in await audit(admin, subject=subject)] == [f"user:{name}"]
    *same, made = await audit(admin, scope=people.project)
    assert (same, made["action"]) == (mine, "make project")
    at = mine[1]["at"]
    assert await audit(admin, actor=name, since=at) == mine[:2]
    assert await audit(admin, actor=name, until=at) == mine[2:]
    # A name of a scope is compared whole, and has no wildcards.
    like = (people.organization[:-1], "%", f"{people.project[:-1]}_")
    assert [await audit(admin, scope=scope) for scope in like] == [[], [], []]
    pages, cursor = [], None
    while True:
        answer = await admin.get("/api/audit", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        page = answer.json()
        pages += page["items"]
        cursor = page["cursor"]
        assert ('rel="next"' in answer.headers.get("link", "")) == (cursor is not None)
        if cursor is None:
            break
    assert pages == everything


async def test_a_change_that_is_refused_leaves_no_row(people: People) -> None:
    admin = await people.member("admin", "admin", scope=people.organization)
    before = await audit(admin)
    curator = await people.member("curator", "curator", scope=people.organization)
    between = await audit(admin)
    for body in (
        {"member": f"user:{people.names['admin']}", "role": "reader"},
        {"member": f"user:{people.names['curator']}", "role": "admin"},
        {"member": "user:nobody-of-this-name", "role": "reader"},
    ):
        assert (await curator.put(members(people.organization), json=body)).status_code in {400, 403}
    taken = people.names["curator"]
    of = f"/api/organizations/{people.organization}/service-accounts"
    assert (await admin.post(of, json={"name": taken, "role": "ingest"})).status_code == 409
    assert (len(between) - len(before), await audit(admin)) == (1, between)


async def test_objects_keep_to_their_own_history(people: People) -> None:
    admin = await people.member("admin", "admin", scope=people.organization)
    before = await audit(admin)
    object_id = (await register(admin, plain(people.project)))["id"]
    grant = {"to": f"user:{people.names['admin']}", "permission": "READ"}
    assert (await admin.post(f"/api/objects/{object_id}/grants", json=grant)).status_code == 201
    assert await audit(admin) == before
    history = (await admin.get(f"/api/objects/{object_id}/history")).json()["items"]
    assert [one["action"] for one in history] == ["grant", "register"]

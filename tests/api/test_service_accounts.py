"""Programs that act: made by admins, named service:NAME, with tokens and roles of their own."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from catalog.access.audience import Role
from tests.api.conftest import patch, plain, register
from tests.api.people import People, members


@pytest.fixture
def name() -> str:
    """A name that nobody has."""
    return f"ingest-{uuid4().hex[:8]}"


async def account(client: httpx2.AsyncClient, name: str, organization: str | None, **more: Any) -> httpx2.Response:
    of = "" if organization is None else f"/organizations/{organization}"
    return await client.post(f"/api{of}/service-accounts", json={"name": name} | more)


async def token(client: httpx2.AsyncClient, name: str, **more: Any) -> httpx2.Response:
    wanted = {"principal": f"service:{name}", "scopes": ["read", "register"]} | more
    return await client.post("/api/tokens", json=wanted)


@pytest.mark.req("SAGE-STORAGE-2")
async def test_an_organization_has_a_service_that_registers_until_it_is_ended(people: People, name: str) -> None:
    admin = await people.member("admin", "admin", scope=people.organization)
    assert (await account(admin, name, people.organization, role="ingest")).status_code == 201
    made = await token(admin, name, label="station 7")
    assert (made.status_code, made.json()["principal"], made.headers["cache-control"]) == (
        201,
        f"service:{name}",
        "no-store",
    )
    service = people.holding(made.json()["token"])
    registered = await register(service, plain(people.project))
    assert registered["owner"] == name
    listed = (await admin.get(f"/api/organizations/{people.organization}/service-accounts")).json()["items"]
    assert [(one["name"], one["organization"], one["role"], one["ended_at"]) for one in listed] == [
        (name, people.organization, "reader", None)
    ]
    roles = (await admin.get(members(people.organization))).json()["items"]
    assert {"member": f"service:{name}", "role": "ingest"} in [
        {key: one[key] for key in ("member", "role")} for one in roles
    ]
    assert (await admin.delete(f"/api/service-accounts/{name}")).status_code == 204
    assert (await service.get("/api/tokens")).status_code == 401
    # What it registered stays, and its name is not somebody else's one day.
    assert (await admin.get(f"/api/objects/{registered['id']}")).status_code == 200
    assert (await account(admin, name, people.organization)).status_code == 409
    assert (await token(admin, name)).status_code == 404
    assert (await admin.delete(f"/api/service-accounts/{name}")).status_code == 404


async def test_a_service_looks_after_its_own_tokens(people: People, name: str) -> None:
    admin = await people.member("admin", "admin", scope=people.organization)
    await account(admin, name, people.organization, role="ingest")
    made = (await token(admin, name)).json()
    service = people.holding(made["token"])
    rotated = await service.post(f"/api/tokens/{made['id']}/rotate", json={})
    assert rotated.status_code == 200
    shown = (await admin.get("/api/tokens", params={"principal": f"service:{name}"})).json()["items"]
    assert [(one["id"], one["hint"], one["this"]) for one in shown] == [
        (made["id"], rotated.json()["token"][:8], False)
    ]
    assert (await admin.post(f"/api/tokens/{made['id']}/rotate", json={"overlap_seconds": 0})).status_code == 200
    assert (await service.get("/api/tokens")).status_code == 401
    assert (await admin.delete(f"/api/tokens/{made['id']}")).json() == {"revoked": 1}


async def test_services_are_the_business_of_admins_alone(people: People, name: str) -> None:
    admin = await people.member("admin", "admin", scope=people.organization)
    await account(admin, name, people.organization)
    made = (await token(admin, name)).json()
    others = {
        "curator": await people.member("curator", "curator", scope=people.organization),
        "project admin": await people.member("project admin", "admin"),
        "ingest": await people.member("ingest", "ingest", scope=people.organization),
        "stranger": await people.person("stranger"),
        "anonymous": people.clients.anonymous,
        "service": people.holding(made["token"]),
    }
    of = f"/api/organizations/{people.organization}/service-accounts"

    async def statuses(client: httpx2.AsyncClient) -> list[int]:
        return [
            (await client.get(of)).status_code,
            (await client.post(of, json={"name": "x"})).status_code,
            (await client.delete(f"/api/service-accounts/{name}")).status_code,
            (await token(client, name, scopes=["read"])).status_code,
        ]

    told = {who: await statuses(client) for who, client in others.items()}
    assert told == {
        "curator": [403, 403, 404, 404],
        "project admin": [403, 403, 404, 404],
        "ingest": [403, 403, 404, 404],
        "stranger": [404, 404, 404, 404],
        "anonymous": [401, 401, 401, 401],
        # Without the scope, before anything else; for itself it may make a token.
        "service": [403, 403, 403, 201],
    }


async def test_a_service_of_the_whole_catalog_is_made_by_its_admins(people: People, name: str) -> None:
    admin = await people.person("admin", Role.ADMIN)
    assert (await account(admin, name, None, role="ingest")).status_code == 201
    service = people.holding((await token(admin, name)).json()["token"])
    assert (await register(service, plain(f"{people.organization}/new")))["owner"] == name
    listed = (await admin.get("/api/service-accounts")).json()["items"]
    assert [(one["organization"], one["role"]) for one in listed if one["name"] == name] == [(None, "ingest")]
    here = await people.member("here", "admin", scope=people.organization)
    assert (await account(here, f"{name}2", None)).status_code == 403
    assert (await token(here, name)).status_code == 404


async def test_a_service_is_named_beside_users_and_groups(people: People, name: str) -> None:
    admin = await people.member("admin", "admin", scope=people.organization)
    await account(admin, name, people.organization)
    service = people.holding((await token(admin, name)).json()["token"])
    object_id = (await register(admin, plain(people.project)))["id"]
    before = (await service.get(f"/api/objects/{object_id}")).status_code
    grants = f"/api/objects/{object_id}/grants"
    given = await admin.post(grants, json={"to": f"service:{name}", "permission": "WRITE"})
    assert (before, given.status_code, (await patch(service, object_id, {"title": "Ours"})).status_code) == (
        404,
        201,
        200,
    )
    assert [one["to"] for one in (await admin.get(grants)).json()["items"]] == [f"service:{name}"]
    wrong = await admin.post(grants, json={"to": f"user:{name}", "permission": "READ"})
    assert (wrong.status_code, wrong.json()["errors"]) == (
        400,
        [{"pointer": "/to", "message": f"{name} is written service:{name}."}],
    )


@pytest.mark.parametrize(
    ("body", "pointers"),
    [({}, ["/name"]), ({"name": "Not A Name"}, ["/name"]), ({"name": "x", "role": "king", "y": 1}, ["/role", "/y"])],
)
async def test_a_wrong_wish_is_told_and_nothing_is_made(
    people: People, body: dict[str, Any], pointers: list[str]
) -> None:
    admin = await people.member("admin", "admin", scope=people.organization)
    answer = await admin.post(f"/api/organizations/{people.organization}/service-accounts", json=body)
    assert (answer.status_code, [one["pointer"] for one in answer.json()["errors"]]) == (400, pointers)
    listed = await admin.get(f"/api/organizations/{people.organization}/service-accounts")
    assert listed.json() == {"items": []}

"""Organizations and projects are there for whoever has a role in them or sees an object there, and for nobody else."""

from typing import Any

import httpx2

from tests.api.conftest import BECAUSE, plain, register
from tests.api.people import People


async def answers(client: httpx2.AsyncClient, *addresses: str) -> list[int]:
    return [(await client.get(address)).status_code for address in addresses]


async def read(client: httpx2.AsyncClient, address: str) -> Any:
    answer = await client.get(address)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_what_has_nothing_for_somebody_answers_like_what_is_not_there(people: People) -> None:
    stranger, member = await people.person("stranger"), await people.member("member", "reader")
    owner = await people.member("owner", "ingest")
    await register(owner, plain(people.project))
    there = (f"/api/organizations/{people.organization}", f"/api/projects/{people.project}")

    for client in (people.clients.anonymous, stranger):
        assert await answers(client, *there) == [404, 404]
        hidden = (await client.get(there[1])).json()["detail"].replace(people.project, "X")
        absent = (await client.get("/api/projects/no-such/place")).json()["detail"].replace("no-such/place", "X")
        assert hidden == absent
    for client in (member, owner, people.clients.curator, people.clients.admin):
        assert await answers(client, *there) == [200, 200]


async def test_an_object_that_is_seen_shows_its_project_and_no_other(people: People) -> None:
    owner = await people.member("owner", "ingest", scope=people.organization)
    projects = f"/api/organizations/{people.organization}/projects"
    answer = await people.clients.admin.post(projects, json={"name": "rock"})
    assert answer.status_code == 201, answer.text
    shown = await register(owner, plain(people.project, visibility="public"))
    await register(owner, plain(f"{people.organization}/rock"))
    place = f"/api/organizations/{people.organization}"

    seen = await read(people.clients.anonymous, place)
    by_owner = await read(owner, place)
    gone = {"params": BECAUSE, "headers": {"If-Match": "*"}}
    await owner.delete(f"/api/objects/{shown['id']}", **gone)

    soil = {"name": people.project, "title": None, "role": None}
    assert seen == {"name": people.organization, "title": None, "role": None, "projects": [soil]}
    assert [(one["name"], one["role"]) for one in by_owner["projects"]] == [
        (f"{people.organization}/rock", "ingest"),
        (people.project, "ingest"),
    ]
    assert await answers(people.clients.anonymous, place, f"/api/projects/{people.project}") == [404, 404]


async def test_a_name_that_nothing_can_have_is_not_there(people: People) -> None:
    addresses = ("/api/organizations/a%00b", "/api/projects/a%00b/c")
    assert await answers(people.clients.anonymous, *addresses) == [404, 404]

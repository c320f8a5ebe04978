"""Organizations, roles, groups, grants, embargoes: what they show, what they let change, and how soon they end."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from catalog.objects import granting
from tests.api.conftest import in_process, patch, plain, read, register
from tests.api.people import People, found, members
from tests.api.problems import problem_of
from tests.api.uploads import bring, declared, file_of
from tests.conftest import Clients, eventually, in_time

# What a revoked grant may still show in a search, in seconds.
CLEAN_SECONDS = 5
VISIBILITIES = ("public", "organization", "project", "private", "embargoed")


def later(**told: float) -> str:
    return (datetime.now(UTC) + timedelta(**told)).isoformat()


def draft(project: str, visibility: str = "private", **said: Any) -> dict[str, Any]:
    until = {"embargo_until": later(days=30)} if visibility == "embargoed" else {}
    return plain(project, visibility=visibility, **until, **said)


async def seen(client: httpx2.AsyncClient, ids: dict[str, str]) -> set[str]:
    answers = await asyncio.gather(*(client.get(f"/api/objects/{one}") for one in ids.values()))
    assert {answer.status_code for answer in answers} <= {200, 404}
    return {name for name, answer in zip(ids, answers, strict=True) if answer.status_code == 200}


async def grant(client: httpx2.AsyncClient, object_id: str, to: str, permission: str, **more: Any) -> httpx2.Response:
    return await client.post(f"/api/objects/{object_id}/grants", json={"to": to, "permission": permission, **more})


async def available(client: httpx2.AsyncClient, object_id: str) -> bool:
    return (await file_of(client, object_id, "data.csv"))["state"] == "available"


async def open_to_everybody(client: httpx2.AsyncClient, prefix: str, **said: Any) -> httpx2.Response:
    return await client.post("/api/grants", json={"prefix": prefix, "to": "public", "permission": "READ", **said})


async def finds(client: httpx2.AsyncClient, object_id: str, project: str) -> bool:
    return object_id in await found(client, project=project)


@pytest.mark.req("DEWRANGLE-RFC-4", "SAGE-STORAGE-31")
async def test_tenant_isolation_shows_each_role_what_its_scope_holds_by_id_and_by_search(people: People) -> None:
    owner = await people.member("service", "ingest")
    ids = {one: (await register(owner, draft(people.project, one)))["id"] for one in VISIBILITIES}
    readers = {
        "reader of the project": await people.member("ana", "reader"),
        "reader of the organization": await people.member("bo", "reader", scope=people.organization),
        "curator of the project": await people.member("cy", "curator"),
        "another service": await people.member("di", "ingest"),
        "stranger": await people.person("ed"),
    }
    await people.clients.admin.post(f"/api/organizations/{people.organization}/projects", json={"name": "air"})
    readers["reader of a sibling project"] = await people.member("flo", "reader", scope=f"{people.organization}/air")
    meant = {
        "reader of the project": {"public", "organization", "project"},
        "reader of the organization": {"public", "organization", "project"},
        "curator of the project": set(VISIBILITIES),
        "another service": {"public"},
        "stranger": {"public"},
        "reader of a sibling project": {"public", "organization"},
    }

    assert {name: await seen(client, ids) for name, client in readers.items()} == meant
    assert await seen(owner, ids) == set(VISIBILITIES)

    async def all_indexed() -> bool:
        return len(await found(owner, project=people.project)) == len(ids)

    await eventually(all_indexed)
    named = {one: visibility for visibility, one in ids.items()}
    by_search = {name: {named[one] for one in await found(c, project=people.project)} for name, c in readers.items()}
    assert by_search == meant


async def test_a_role_says_where_one_may_register_and_whose_objects_one_may_change(people: People) -> None:
    service = await people.member("service", "ingest")
    curator = await people.member("ana", "curator")
    reader = await people.member("bo", "reader")
    elsewhere = await service.post("/api/objects", json=draft(f"{people.organization}/air"))
    as_reader = await reader.post("/api/objects", json=draft(people.project))
    registered = await register(service, draft(people.project, "project"))

    assert (elsewhere.status_code, as_reader.status_code) == (403, 403)
    assert problem_of(elsewhere)["detail"] == (
        f"You may not register in {people.organization}/air: ask an admin of {people.organization} for the role ingest "
        "there."
    )
    assert (await patch(reader, registered["id"], {"title": "Mine"})).status_code == 403
    assert (await patch(curator, registered["id"], {"title": "Better"})).status_code == 200


async def test_a_bulk_row_for_a_project_of_others_fails_alone(people: People) -> None:
    service = await people.member("service", "ingest")
    rows = [draft(people.project, title="Mine"), draft("noise/private", title="Theirs")]
    answer = await service.post(
        "/api/bulk/objects",
        content="".join(json.dumps(row) + "\n" for row in rows),
        headers={"content-type": "application/x-ndjson"},
    )
    lines = [json.loads(line) for line in answer.text.splitlines()]
    lines.sort(key=lambda line: line["line"])
    assert [line["status"] for line in lines] == ["created", "failed"]
    assert [fault["pointer"] for fault in lines[1]["errors"]] == ["/project"]


@pytest.mark.req("SAGE-STORAGE-4")
@pytest.mark.parametrize(
    ("permission", "may"),
    {
        "READ": {"read"},
        "WRITE": {"read", "change"},
        "READ_ACP": {"read", "list grants"},
        "WRITE_ACP": {"read", "list grants", "grant"},
        "FULL_CONTROL": {"read", "change", "list grants", "grant"},
    }.items(),
)
@pytest.mark.parametrize("to", ["user", "group", "prefix", "user until"])
async def test_acl_matrix_of_permissions_and_whom_they_are_given_to(
    people: People, permission: str, may: set[str], to: str
) -> None:
    owner = await people.member("service", "ingest")
    friend = await people.person("friend")
    admin = people.clients.admin
    registered = await register(owner, draft(people.project))
    href = f"/api/objects/{registered['id']}"
    user, group = f"user:{people.names['friend']}", f"group:{people.organization}/team"
    if to == "group":
        await admin.post(f"/api/organizations/{people.organization}/groups", json={"name": "team"})
        put = f"/api/organizations/{people.organization}/groups/team/members/{people.names['friend']}"
        assert (await admin.put(put)).status_code == 204
    if to == "prefix":
        body = {"prefix": f"{people.project}/", "to": user, "permission": permission}
        assert (await admin.post("/api/grants", json=body)).status_code == 201
    else:
        until = {"expires_at": later(hours=1)} if to == "user until" else {}
        assert (
            await grant(owner, registered["id"], group if to == "group" else user, permission, **until)
        ).status_code == 201

    done = {
        "read": (await friend.get(href)).status_code == 200,
        "change": (await patch(friend, registered["id"], {"title": "Changed"})).status_code == 200,
        "list grants": (await friend.get(f"{href}/grants")).status_code == 200,
        "grant": (await grant(friend, registered["id"], "public", "READ")).status_code == 201,
    }

    assert {what for what, could in done.items() if could} == may


@pytest.mark.req("MWM-STORAGE-9")
async def test_a_revoked_grant_ends_at_once_and_search_loses_it_within_seconds(people: People) -> None:
    owner, friend = await people.member("service", "ingest"), await people.person("friend")
    registered = await register(owner, draft(people.project))
    object_id = registered["id"]
    made = await grant(owner, object_id, f"user:{people.names['friend']}", "READ")
    await eventually(lambda: finds(friend, object_id, people.project))

    gone = await owner.delete(f"/api/objects/{object_id}/grants/{made.json()['id']}")

    assert (gone.status_code, (await friend.get(f"/api/objects/{object_id}")).status_code) == (204, 404)

    async def lost() -> bool:
        answer = await friend.get("/api/search", params={"project": people.project})
        return answer.json()["total"] == {"value": 0, "exact": True} or answer.json()["total"] == 0

    # No hit is shown any more; how many there are is the index's to say, a moment later.
    assert await found(friend, project=people.project) == []
    await eventually(lost, seconds=CLEAN_SECONDS)
    assert [one[1] for one in await history_of(people.clients, object_id)] == ["register", "grant", "revoke"]


async def test_a_grant_that_ends_by_itself_ends_for_links_and_for_search_at_that_moment(people: People) -> None:
    owner, friend = await people.member("service", "ingest"), await people.person("friend")
    object_id = (await register(owner, draft(people.project)))["id"]

    async def granted(ends: datetime) -> None:
        await grant(owner, object_id, f"user:{people.names['friend']}", "READ", expires_at=ends.isoformat())
        left = (ends - datetime.now(UTC)).total_seconds()
        await eventually(lambda: finds(friend, object_id, people.project), seconds=left)

    ends, _ = await in_time(granted)

    async def over() -> bool:
        return (await friend.get(f"/api/objects/{object_id}")).status_code == 404

    await eventually(over)
    assert datetime.now(UTC) >= ends
    assert await found(friend, project=people.project) == []
    assert (await owner.get(f"/api/objects/{object_id}/grants")).json() == {"items": []}


@pytest.mark.req("SAGE-STORAGE-4")
async def test_a_prefix_that_is_open_to_everybody_shows_what_is_there_and_what_will_come(people: People) -> None:
    owner, stranger = await people.member("service", "ingest"), await people.person("ed")
    admin, nobody = people.clients.admin, people.clients.anonymous
    neighbour = f"{people.project}2"
    await admin.post(f"/api/organizations/{people.organization}/projects", json={"name": "soil2"})
    await people.give(f"user:{people.names['service']}", "ingest", scope=neighbour)
    ids = {one: (await register(owner, draft(people.project, one)))["id"] for one in VISIBILITIES}
    beside = (await register(owner, draft(neighbour)))["id"]

    made = await open_to_everybody(admin, f"{people.project}/")

    later_on = (await register(owner, draft(people.project)))["id"]
    everything = {**ids, "to come": later_on}
    assert made.status_code == 201, made.text
    for client in (nobody, stranger):
        assert await seen(client, {**everything, "beside": beside}) == set(everything)
        listed = (await client.get("/api/objects", params={"project": people.project})).json()["items"]
        assert {one["id"] for one in listed} == set(everything.values())
        page = await client.get(f"/objects/{later_on}")
        assert page.status_code == 200

        async def all_found(client: httpx2.AsyncClient = client) -> bool:
            return await found(client, project=people.project) == sorted(everything.values())

        await eventually(all_found)
        asked = {"facet": "project", "limit": 1, "filter": f"organization = '{people.organization}'"}
        answer = (await client.get("/api/search", params=asked)).json()
        counted = {one["value"]: one["count"] for one in answer["facets"]["project"]["buckets"]}
        assert (counted[people.project], counted.get(neighbour)) == (len(everything), None)
        assert (await patch(client, later_on, {"title": "Mine"})).status_code in {401, 403}
    shown = (await admin.get("/api/grants", params={"prefix": f"{people.project}/"})).json()["items"]
    assert [(one["to"], one["permission"], one["expires_at"]) for one in shown] == [("public", "READ", None)]


@pytest.mark.req("MWM-STORAGE-9")
async def test_a_prefix_that_is_closed_again_is_closed_at_once(people: People) -> None:
    owner, stranger = await people.member("service", "ingest"), await people.person("ed")
    admin, nobody = people.clients.admin, people.clients.anonymous
    registered = await register(owner, draft(people.project, files=[declared("data.csv", b"x")]))
    await bring(registered["uploads"], {"data.csv": b"x"})
    await eventually(lambda: available(owner, registered["id"]))
    body = f"/api/objects/{registered['id']}/files/data.csv"
    made = (await open_to_everybody(admin, f"{people.organization}/")).json()["id"]
    links = [await client.get(body, follow_redirects=False) for client in (nobody, stranger)]

    gone = await admin.delete(f"/api/grants/{made}")

    after = [await client.get(body, follow_redirects=False) for client in (nobody, stranger)]
    searched = [await found(client, project=people.project) for client in (nobody, stranger)]
    assert gone.status_code == 204
    assert [one.status_code for one in links] == [307, 307]
    assert ([one.status_code for one in after], searched) == ([404, 404], [[], []])


async def test_a_prefix_that_is_open_until_a_moment_closes_by_itself(people: People) -> None:
    owner, stranger = await people.member("service", "ingest"), await people.person("ed")
    admin, nobody = people.clients.admin, people.clients.anonymous
    object_id = (await register(owner, draft(people.project)))["id"]
    await eventually(lambda: finds(owner, object_id, people.project))

    async def opened(ends: datetime) -> list[list[str]]:
        await open_to_everybody(admin, f"{people.project}/", expires_at=ends.isoformat())
        return [await found(client, project=people.project) for client in (nobody, stranger)]

    ends, during = await in_time(opened)

    async def over() -> bool:
        answers = [await client.get(f"/api/objects/{object_id}") for client in (nobody, stranger)]
        return {answer.status_code for answer in answers} == {404}

    await eventually(over)
    assert (during, datetime.now(UTC) >= ends) == ([[object_id]] * 2, True)
    assert [await found(client, project=people.project) for client in (nobody, stranger)] == [[], []]
    assert (await admin.get("/api/grants", params={"prefix": f"{people.project}/"})).json() == {"items": []}


@pytest.mark.parametrize(
    ("said", "pointer"),
    [({"permission": "WRITE"}, "/permission"), ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at")],
)
async def test_everybody_is_let_read_below_a_prefix_and_nothing_else(
    people: People, said: dict[str, Any], pointer: str
) -> None:
    answer = await open_to_everybody(people.clients.admin, f"{people.project}/", **said)
    assert (answer.status_code, [one["pointer"] for one in problem_of(answer)["errors"]]) == (400, [pointer])


async def test_so_many_prefixes_are_open_to_everybody_and_no_more(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = people.clients.admin
    first = await open_to_everybody(admin, f"{people.project}/")
    live = people.clients.live
    with psycopg.connect(str(live.settings.database_url)) as connection:
        told = connection.execute(
            "SELECT count(*) FROM object_grant WHERE grantee = 'public' AND prefix IS NOT NULL"
            " AND (expires_at IS NULL OR expires_at > now())"
        )
        (held,) = told.fetchone() or (0,)
    monkeypatch.setattr(granting, "OPEN_PREFIXES_MAX", held)
    async with in_process(live.settings, live.tokens["admin"]) as client:
        again = await open_to_everybody(client, f"{people.project}/", expires_at=later(hours=1))
        second = await open_to_everybody(client, f"{people.organization}/")
    assert (again.status_code, again.json()) == (201, first.json())
    assert (second.status_code, problem_of(second)["detail"]) == (
        413,
        f"At most {held} prefixes are open to everybody; make the objects public instead, by their visibility.",
    )
    assert (await admin.delete(f"/api/grants/{first.json()['id']}")).status_code == 204


async def test_an_embargo_ends_by_itself_search_included(people: People) -> None:
    owner = await people.member("service", "ingest")
    nobody = people.clients.anonymous

    async def embargoed(until: datetime) -> tuple[dict[str, Any], int]:
        body = draft(people.project) | {"visibility": "embargoed", "embargo_until": until.isoformat()}
        registered = await register(owner, body)
        return registered, (await nobody.get(f"/api/objects/{registered['id']}")).status_code

    until, (registered, before) = await in_time(embargoed)
    await eventually(lambda: finds(nobody, registered["id"], people.project))

    assert (before, datetime.now(UTC) >= until) == (404, True)
    now_public = await read(nobody, registered["id"])
    assert (registered["visibility"], now_public["visibility"], "embargo_until" in now_public) == (
        "embargoed",
        "public",
        False,
    )
    last = (await history_of(people.clients, registered["id"]))[-1]
    assert last[1] == "end embargo"
    assert set(last[4]) == {"visibility", "embargo_until"}


async def test_a_grant_that_one_may_not_know_of_is_revoked_as_one_that_is_nowhere(people: People) -> None:
    stranger, reader = await people.person("ed"), await people.member("ana", "reader")
    made = (await open_to_everybody(people.clients.admin, f"{people.project}/")).json()["id"]
    nowhere = str(uuid4())

    for client in (stranger, reader):
        hidden, absent = [await client.delete(f"/api/grants/{one}") for one in (made, nowhere)]
        assert (hidden.status_code, problem_of(hidden)["detail"]) == (404, f"There is no grant {made}.")
        assert (absent.status_code, problem_of(absent)["detail"]) == (404, f"There is no grant {nowhere}.")
    assert (await people.clients.admin.delete(f"/api/grants/{made}")).status_code == 204


async def test_an_edit_names_no_object_that_has_been_hidden_from_its_maker_since(people: People) -> None:
    owner, curator = await people.member("service", "ingest"), await people.member("cy", "curator")
    theirs = (await register(owner, draft(people.project)))["id"]
    await people.give(f"user:{people.names['cy']}", "ingest")
    mine = (await register(curator, draft(people.project)))["id"]
    await people.give(f"user:{people.names['cy']}", "curator")
    wanted = {"select": {"objects": [theirs, mine]}, "patch": {"licence": "MIT"}}
    digest = (await curator.post("/api/curation/edits/preview", json=wanted)).json()["digest"]
    made = (await curator.post("/api/curation/edits", json=wanted | {"preview": digest})).json()

    await people.give(f"user:{people.names['cy']}", "ingest")

    seen_now = (await curator.get(made["href"])).json()
    undone = (await curator.post(f"{made['href']}/undo")).json()
    assert sorted(one["id"] for one in made["objects"]) == sorted([theirs, mine])
    assert [one["id"] for one in seen_now["objects"]] == [mine]
    assert undone == {"undone": [mine], "left": []}
    assert (await read(owner, theirs))["licence"] == "MIT"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"visibility": "embargoed"}, "say until when it is embargoed"),
        ({"visibility": "public", "embargo_until": "2030-01-01T00:00:00Z"}, "leave this out"),
        ({"visibility": "embargoed", "embargo_until": "2030-01-01"}, ""),
    ],
)
async def test_an_embargo_without_its_end_is_refused(people: People, said: dict[str, Any], message: str) -> None:
    owner = await people.member("service", "ingest")
    answer = await owner.post("/api/objects", json=draft(people.project) | said)
    (fault,) = problem_of(answer)["errors"]
    assert (answer.status_code, fault["pointer"]) == (400, "/embargo_until")
    assert fault["message"].startswith(message)


async def test_nobody_makes_or_unmakes_anybody_above_themselves(people: People) -> None:
    curator, admin = await people.member("cy", "curator"), await people.member("ada", "admin")
    reader, stranger = await people.member("ana", "reader"), await people.person("ed")
    there = members(people.project)
    await people.person("friend")
    friend = f"user:{people.names['friend']}"
    gives = {
        (who, role): (await client.put(there, json={"member": friend, "role": role})).status_code
        for who, client in {"curator": curator, "reader": reader, "stranger": stranger, "admin": admin}.items()
        for role in ("reader", "ingest", "curator", "admin")
    }
    assert gives == {
        **{("curator", role): 204 for role in ("reader", "ingest", "curator")},
        ("curator", "admin"): 403,
        **{("reader", role): 403 for role in ("reader", "ingest", "curator", "admin")},
        **{("stranger", role): 404 for role in ("reader", "ingest", "curator", "admin")},
        **{("admin", role): 204 for role in ("reader", "ingest", "curator", "admin")},
    }
    # Made an admin last, the friend is out of the curator's reach.
    assert (await curator.put(there, json={"member": friend, "role": "reader"})).status_code == 403
    assert (await curator.delete(there, params={"member": friend})).status_code == 403
    assert (await admin.delete(there, params={"member": friend})).status_code == 204


async def test_a_role_that_was_taken_counts_no_more_at_once(people: People) -> None:
    owner, reader = await people.member("service", "ingest"), await people.member("ana", "reader")
    object_id = (await register(owner, draft(people.project, "project")))["id"]
    assert (await reader.get(f"/api/objects/{object_id}")).status_code == 200

    member = f"user:{people.names['ana']}"
    await people.clients.admin.delete(members(people.project), params={"member": member})

    assert (await reader.get(f"/api/objects/{object_id}")).status_code == 404
    assert await found(reader, project=people.project) == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"to": "user:nobody-of-that-name", "permission": "READ"}, "/to"),
        ({"to": "somebody", "permission": "READ"}, "/to"),
        ({"to": "public", "permission": "WRITE"}, "/permission"),
        ({"to": "public", "permission": "READ", "expires_at": "2040-01-01T00:00:00Z"}, "/expires_at"),
        ({"to": "user:nobody", "permission": "READ", "expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
        ({"to": "public", "permission": "read"}, "/permission"),
    ],
)
async def test_a_grant_that_cannot_be_is_refused_with_its_place(
    people: People, body: dict[str, Any], pointer: str
) -> None:
    owner = await people.member("service", "ingest")
    object_id = (await register(owner, draft(people.project)))["id"]
    answer = await owner.post(f"/api/objects/{object_id}/grants", json=body)
    assert (answer.status_code, [one["pointer"] for one in problem_of(answer)["errors"]]) == (400, [pointer])


async def test_organizations_are_shown_to_those_who_belong(people: People) -> None:
    reader, stranger = await people.member("ana", "reader"), await people.person("ed")
    mine = (await reader.get("/api/organizations")).json()["items"]
    projects = (await reader.get(f"/api/organizations/{people.organization}/projects")).json()["items"]
    assert [(one["name"], one["role"]) for one in mine] == [(people.organization, None)]
    assert [(one["name"], one["role"]) for one in projects] == [(people.project, "reader")]
    assert (await stranger.get("/api/organizations")).json() == {"items": []}
    absent = await stranger.get("/api/organizations/none-of-that-name/projects")
    hidden = await stranger.get(f"/api/organizations/{people.organization}/projects")
    assert (absent.status_code, hidden.status_code) == (404, 404)
    assert (
        problem_of(hidden)["detail"].replace(people.organization, "none-of-that-name") == problem_of(absent)["detail"]
    )


async def history_of(clients: Clients, object_id: str) -> list[tuple[Any, ...]]:
    answer = await clients.admin.get(f"/api/objects/{object_id}/history")
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    rows = [(one.get("by"), one["action"], one.get("from"), one.get("to"), one.get("changes")) for one in items]
    return rows if rows[0][1] == "register" else rows[::-1]

"""How much an organization may hold: nobody gets past it, nobody else learns how full it is, and it is counted well."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from catalog.access import quotas
from catalog.engines import Engines
from tests.api import truth
from tests.api.conftest import BECAUSE, MERGE_PATCH, Stored, patch, plain, read, register
from tests.api.people import People
from tests.api.problems import problem_of
from tests.api.test_bulk import load
from tests.api.uploads import bring, declared, fresh_ticket, key_of, overwrite, put, until
from tests.conftest import Clients, eventually

pytestmark = pytest.mark.usefixtures("noise")

NOTHING = {"objects": 0, "bytes": 0, "uploads": 0}
NO_LIMIT = {"objects": None, "bytes": None, "uploads": None}
WHOM = "ask an admin of the whole catalog for a larger quota, or a curator of {} to make room"


def quota_of(scope: str) -> str:
    return f"/api/{'projects' if '/' in scope else 'organizations'}/{scope}/quota"


async def limit(people: People, scope: str | None = None, **most: int | None) -> dict[str, Any]:
    """Set limits, as an admin of the whole catalog."""
    answer = await people.clients.admin.patch(
        quota_of(scope or people.organization), json=most, headers={"Content-Type": MERGE_PATCH}
    )
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def used(people: People, scope: str | None = None) -> dict[str, int]:
    """Return what is held, as an admin is told."""
    answer = await people.clients.admin.get(quota_of(scope or people.organization))
    told: dict[str, int] = answer.json()["used"]
    return told


def file(size: int, path: str = "a.bin", digit: str = "a") -> dict[str, Any]:
    """Declare bytes that nobody brings."""
    return {"path": path, "size": size, "sha256": digit * 64}


def holding(people: People, *sizes: int, project: str | None = None, **said: Any) -> dict[str, Any]:
    files = [file(size, f"{place}.bin") for place, size in enumerate(sizes)]
    return plain(project or people.project, files=files, **said)


@pytest.fixture
async def service(people: People) -> httpx2.AsyncClient:
    """An ingest service of the project."""
    return await people.member("service", "ingest")


@pytest.fixture(autouse=True)
async def counted_right(engines: Engines) -> AsyncGenerator[None]:
    """Whatever a test does, what is noted is what is there."""
    yield

    async def agree() -> bool:
        # One moment for both: the indexer works on.
        return await truth.noted(engines) == await truth.held(engines)

    assert await eventually(agree)


async def test_of_many_who_ask_for_the_last_bytes_at_once_as_many_get_them_as_fit(
    people: People, service: httpx2.AsyncClient
) -> None:
    await limit(people, bytes=100)

    answers = await asyncio.gather(
        *(service.post("/api/objects", json=holding(people, 30)) for _ in range(12)),
        *(load(service, holding(people, 30), holding(people, 30)) for _ in range(6)),
    )

    made = [one for one in answers if isinstance(one, httpx2.Response) and one.status_code == 201]
    loaded = [row for one in answers if isinstance(one, dict) for row in one.values() if row["status"] == "created"]
    assert len(made) + len(loaded) == 3
    assert {one.status_code for one in answers if isinstance(one, httpx2.Response)} <= {201, 507}
    assert (await used(people))["bytes"] == 90


@pytest.mark.parametrize("what", ["objects", "uploads"])
async def test_of_many_who_ask_for_the_last_object_or_upload_at_once_one_gets_it(
    people: People, service: httpx2.AsyncClient, what: str
) -> None:
    await limit(people, **{what: 3})

    answers = await asyncio.gather(*(service.post("/api/objects", json=holding(people, 1)) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 7
    assert await used(people) == {"objects": 3, "bytes": 3, "uploads": 3}


async def test_files_are_added_and_replaced_at_once_only_as_far_as_they_fit(
    people: People, service: httpx2.AsyncClient
) -> None:
    ids = [(await register(service, holding(people)))["id"] for _ in range(6)]
    await limit(people, bytes=100)

    async def declare(object_id: str) -> int:
        body = {"files": [file(40)]}
        answer = await service.post(f"/api/objects/{object_id}/files", json=body, headers={"If-Match": "*"})
        return answer.status_code

    assert sorted(await asyncio.gather(*map(declare, ids))) == [201, 201, 507, 507, 507, 507]
    assert (await used(people))["bytes"] == 80


async def test_a_full_quota_tells_all_figures_at_once_and_whom_to_ask(people: People) -> None:
    curator = await people.member("curator", "curator", scope=people.organization)
    await register(curator, holding(people, 60))
    await limit(people, bytes=100, objects=1, uploads=2)

    refused = await curator.post("/api/objects", json=holding(people, 30, 20))

    name = people.organization
    told = [
        f"{name} may have 1 object, and has 1; this asks for 1 more",
        f"{name} may have 100 bytes of files, and has 60; this asks for 50 more",
        f"{name} may have 2 open uploads, and has 1; this asks for 2 more",
    ]
    assert problem_of(refused) == {
        "type": "/problems/no-space",
        "title": "No room left",
        "status": 507,
        "detail": f"The quota is full: {'; '.join(told)}. Ask an admin of the whole catalog.",
        "errors": [
            {"pointer": pointer, "message": message, "suggestion": WHOM.format(name)}
            for pointer, message in zip(("/project", "/files", "/files"), told, strict=True)
        ],
    }
    assert "retry-after" not in refused.headers
    assert await used(people) == {"objects": 1, "bytes": 60, "uploads": 1}


async def test_objects_and_uploads_that_are_too_many_are_in_conflict_with_what_is_there(
    people: People, service: httpx2.AsyncClient
) -> None:
    made = await register(service, holding(people, 5))
    await limit(people, people.project, objects=1, uploads=1)

    refused = [
        await service.post("/api/objects", json=holding(people)),
        await service.post("/api/uploads", json={"object": made["id"], "path": "0.bin"}),
    ]

    assert [answer.status_code for answer in refused] == [409, 409]
    assert [problem_of(answer)["errors"] for answer in refused] == [
        [
            {
                "pointer": pointer,
                "message": f"{people.project} may have 1 {what}; this asks for 1 more",
                "suggestion": WHOM.format(people.project),
            }
        ]
        for pointer, what in (("/project", "object"), ("/object", "open upload"))
    ]


async def test_how_much_is_held_is_told_to_those_alone_who_see_everything_there(people: People) -> None:
    hidden = await people.member("hidden", "ingest")
    await register(hidden, holding(people, 60, visibility="private"))
    await limit(people, bytes=100)
    await limit(people, people.project, bytes=90)
    callers = {
        "reader": await people.member("reader", "reader"),
        "ingest": hidden,
        "curator of the project": await people.member("curator", "curator"),
        "curator": await people.member("head", "curator", scope=people.organization),
        "admin of all": people.clients.admin,
        "stranger": await people.person("stranger"),
        "anonymous": people.clients.anonymous,
    }

    async def told(who: str, scope: str) -> Any:
        answer = await callers[who].get(quota_of(scope))
        return answer.json()["used"] if answer.status_code == 200 else answer.status_code

    there = {"objects": 1, "bytes": 60, "uploads": 1}
    found = {who: (await told(who, people.organization), await told(who, people.project)) for who in callers}
    assert found == {
        "reader": (None, None),
        "ingest": (None, None),
        "curator of the project": (None, there),
        "curator": (there, there),
        "admin of all": (there, there),
        "stranger": (404, 404),
        "anonymous": (401, 401),
    }
    refusals = {
        who: [
            fault["message"]
            for fault in (await callers[who].post("/api/objects", json=holding(people, 50))).json()["errors"]
        ]
        for who in ("ingest", "curator of the project", "curator")
    }
    org, project = people.organization, people.project
    limits = (f"{org} may have 100 bytes of files", f"{project} may have 90 bytes of files")
    asks, has = "this asks for 50 more", ", and has 60"
    assert refusals == {
        "ingest": [f"{one}; {asks}" for one in limits],
        "curator of the project": [f"{limits[0]}; {asks}", f"{limits[1]}{has}; {asks}"],
        "curator": [f"{one}{has}; {asks}" for one in limits],
    }


async def test_a_curators_token_that_is_good_to_register_alone_is_not_told_how_much_is_held(people: People) -> None:
    curator = await people.member("curator", "curator", scope=people.organization)
    made = await curator.post("/api/tokens", json={"scopes": ["register"]})
    narrow = people.holding(made.json()["token"])
    await register(curator, holding(people, 60))
    await limit(people, bytes=100)

    refused = await narrow.post("/api/objects", json=holding(people, 50))

    message = f"{people.organization} may have 100 bytes of files; this asks for 50 more"
    assert [fault["message"] for fault in refused.json()["errors"]] == [message]
    assert (await narrow.get(quota_of(people.organization))).status_code == 403


async def test_a_quota_is_set_and_taken_away_by_admins_of_the_whole_catalog_alone(people: People) -> None:
    name = people.organization
    head = await people.member("head", "admin", scope=name)
    headers = {"Content-Type": MERGE_PATCH}
    refused = await head.patch(quota_of(name), json={"bytes": 10}, headers=headers)
    before = (await head.get(quota_of(name))).json()
    first = await limit(people, bytes=10, objects=5)
    second = await limit(people, bytes=None)

    assert refused.status_code == 403
    assert before == {"scope": name, "most": NO_LIMIT, "used": NOTHING, "set_by": None, "set_at": None}
    assert (first["most"], first["set_by"]) == (NO_LIMIT | {"bytes": 10, "objects": 5}, "admin")
    assert second["most"] == NO_LIMIT | {"objects": 5}
    assert second["set_at"] > first["set_at"]


async def test_who_changed_a_quota_is_known(people: People) -> None:
    await limit(people, bytes=10)
    await limit(people, people.project, objects=7)
    await limit(people, bytes=None, uploads=3)

    answer = await people.clients.admin.get("/api/audit", params={"scope": people.organization})

    told = [
        (one["scope"], one["before"], one["after"]) for one in answer.json()["items"] if one["action"] == "change quota"
    ]
    assert sorted(told, key=str) == sorted(
        [
            (people.organization, {"bytes": None}, {"bytes": 10}),
            (people.project, {"objects": None}, {"objects": 7}),
            (people.organization, {"bytes": 10, "uploads": None}, {"bytes": None, "uploads": 3}),
        ],
        key=str,
    )


@pytest.mark.parametrize(
    ("sent", "pointers"),
    [
        ({"bytes": -1, "objects": "many"}, ["/bytes", "/objects"]),
        ({"bytes": 10**18 + 1}, ["/bytes"]),
        ({"bytes": 1.5, "files": 3}, ["/bytes", "/files"]),
        ([], [""]),
    ],
)
async def test_what_is_no_quota_is_refused_with_every_place(people: People, sent: Any, pointers: list[str]) -> None:
    answer = await people.clients.admin.patch(
        quota_of(people.organization), json=sent, headers={"Content-Type": MERGE_PATCH}
    )

    assert answer.status_code == 400
    assert sorted(fault["pointer"] for fault in answer.json()["errors"]) == pointers


@pytest.mark.parametrize("scope", ["none-of-this-name", "none-of-this-name/soil", "{}/none"])
async def test_what_is_not_there_has_no_quota(people: People, scope: str) -> None:
    address = quota_of(scope.format(people.organization))
    answers = [
        await people.clients.admin.get(address),
        await people.clients.admin.patch(address, json={"bytes": 1}, headers={"Content-Type": MERGE_PATCH}),
    ]
    assert [answer.status_code for answer in answers] == [404, 404]


async def test_the_quota_of_a_project_and_that_of_its_organization_both_count(
    people: People, service: httpx2.AsyncClient
) -> None:
    other = f"{people.organization}/sea"
    answer = await people.clients.admin.post(f"/api/organizations/{people.organization}/projects", json={"name": "sea"})
    assert answer.status_code == 201
    await people.give(f"user:{people.names['service']}", "ingest", scope=other)
    await limit(people, bytes=100)
    await limit(people, people.project, bytes=50)

    async def status(project: str, size: int) -> int:
        return (await service.post("/api/objects", json=holding(people, size, project=project))).status_code

    told = [
        await status(people.project, 51),
        await status(people.project, 50),
        await status(other, 51),
        await status(other, 50),
        await status(other, 0),
        await status(people.project, 1),
    ]
    assert told == [507, 201, 507, 201, 201, 507]
    assert [await used(people, scope) for scope in (people.organization, people.project, other)] == [
        {"objects": 3, "bytes": 100, "uploads": 3},
        {"objects": 1, "bytes": 50, "uploads": 1},
        {"objects": 2, "bytes": 50, "uploads": 2},
    ]


async def test_a_neighbour_whose_name_begins_alike_has_a_quota_of_its_own(people: People) -> None:
    longer = f"{people.organization}-b"
    await limit(people, bytes=10)
    body = holding(people, 50, project=f"{longer}/soil")

    assert (await people.clients.ingest.post("/api/objects", json=body)).status_code == 201
    assert await used(people) == NOTHING
    assert (await used(people, longer))["bytes"] == 50


async def test_rows_of_a_bulk_registration_that_do_not_fit_are_told_by_line_and_hinder_no_other(
    people: People, service: httpx2.AsyncClient
) -> None:
    await limit(people, bytes=100, objects=4)

    told = await load(
        service,
        holding(people, 60),
        holding(people, 50),
        holding(people, 30, 10),
        holding(people, 1),
        holding(people),
        holding(people),
        holding(people),
    )

    name = people.organization

    def fault(pointer: str, most: str, more: int) -> dict[str, Any]:
        message = f"{name} may have {most}; this asks for {more} more"
        return {"pointer": pointer, "message": message, "suggestion": WHOM.format(name)}

    assert {line: one.get("errors", one["status"]) for line, one in told.items()} == {
        1: "created",
        2: [fault("/files", "100 bytes of files", 50)],
        3: "created",
        4: [fault("/files", "100 bytes of files", 1)],
        5: "created",
        6: "created",
        7: [fault("/project", "4 objects", 1)],
    }
    assert await used(people) == {"objects": 4, "bytes": 100, "uploads": 0}


async def test_a_row_that_names_one_without_room_falls_with_it(people: People, service: httpx2.AsyncClient) -> None:
    await limit(people, bytes=100)
    members = [{"type": "object", "id": "training-dataset/large"}]
    bundle = {"kind": "ecr-bundle", "metadata": {"version": "1.0", "members": members}}

    told = await load(service, holding(people, 101, name="large"), holding(people) | bundle, holding(people, 100))

    assert [one["status"] for one in told.values()] == ["failed", "failed", "created"]
    assert [[fault["pointer"] for fault in told[line]["errors"]] for line in (1, 2)] == [
        ["/files"],
        ["/metadata/members/0/id"],
    ]


async def test_a_row_that_changes_an_object_is_held_to_the_quota_as_well(
    people: People, service: httpx2.AsyncClient
) -> None:
    await load(service, holding(people, 60, name="soil"))
    await limit(people, bytes=100)

    larger = await load(service, holding(people, 60, 41, name="soil"))
    fitting = await load(service, holding(people, 60, 40, name="soil"))
    other_size = await load(service, holding(people, 30, 40, name="soil"))

    assert [one[1]["status"] for one in (larger, fitting, other_size)] == ["failed", "changed", "changed"]
    assert larger[1]["errors"][0]["pointer"] == "/files"
    assert (await used(people))["bytes"] == 70


async def test_who_is_over_a_quota_that_was_lowered_reads_mends_and_makes_room(
    people: People, service: httpx2.AsyncClient
) -> None:
    made = await register(service, holding(people, 60, 30))
    await limit(people, bytes=10, objects=0, uploads=0)

    smaller = {"files": [file(20, "0.bin", "b")]}
    changed = [
        await patch(service, made["id"], {"title": "Other"}),
        await service.delete(f"/api/objects/{made['id']}/files/1.bin", headers={"If-Match": "*"}),
        await service.post(f"/api/objects/{made['id']}/files", json=smaller, headers={"If-Match": "*"}),
    ]
    assert [answer.status_code for answer in changed] == [200, 204, 409]
    assert await used(people) == {"objects": 1, "bytes": 60, "uploads": 1}
    gone = await service.delete(f"/api/objects/{made['id']}", params=BECAUSE, headers={"If-Match": "*"})
    # Its bytes never came, so that nothing of it is left but a ticket that works for a while.
    assert (gone.status_code, await used(people)) == (204, {"objects": 0, "bytes": 0, "uploads": 1})


async def test_the_same_request_again_takes_nothing_twice(people: People, service: httpx2.AsyncClient) -> None:
    await limit(people, bytes=100, objects=1)
    key = {"Idempotency-Key": f"once-{people.organization}"}

    told = [(await service.post("/api/objects", json=holding(people, 100), headers=key)).status_code for _ in range(3)]

    assert told == [201, 201, 201]
    assert (await used(people))["bytes"] == 100


async def test_a_large_file_goes_on_where_it_stopped_however_full_the_quota_is(
    people: People, service: httpx2.AsyncClient
) -> None:
    made = await register(service, holding(people, 100_000_000))
    ticket = made["uploads"][0]
    begun = await service.post(ticket["parts"]["href"], json={"numbers": [1]})
    await limit(people, bytes=1, objects=0, uploads=0)

    again = await fresh_ticket(service, made["id"], "0.bin")

    assert begun.status_code == 200
    assert again["id"] == ticket["id"]
    assert (await used(people))["uploads"] == 1


async def test_bytes_count_until_they_are_gone_from_the_store(people: People, service: httpx2.AsyncClient) -> None:
    """Declared, arrived, replaced, taken out: what lies in the store takes room, whatever objects say of it."""
    old, new = b"old bytes", b"these are newer bytes"
    made = await register(service, plain(people.project, files=[declared("a.bin", old)]))
    address = f"/api/objects/{made['id']}/files"
    assert await used(people) == {"objects": 1, "bytes": len(old), "uploads": 1}
    await bring(made["uploads"], {"a.bin": old})
    await until(service, made["id"], "a.bin", state="available")
    assert await used(people) == {"objects": 1, "bytes": len(old), "uploads": 0}

    replacing = await service.post(address, json={"files": [declared("a.bin", new)]}, headers={"If-Match": "*"})
    assert await used(people) == {"objects": 1, "bytes": len(old) + len(new), "uploads": 1}
    await bring(replacing.json()["uploads"], {"a.bin": new})
    await until(service, made["id"], "a.bin", size=len(new))
    assert await used(people) == {"objects": 1, "bytes": len(old) + len(new), "uploads": 0}

    taken_out = await service.delete(f"{address}/a.bin", headers={"If-Match": "*"})
    gone = await service.delete(f"/api/objects/{made['id']}", params=BECAUSE, headers={"If-Match": "*"})
    assert (taken_out.status_code, gone.status_code) == (204, 204)
    assert await used(people) == {"objects": 0, "bytes": len(old) + len(new), "uploads": 0}


async def test_what_is_removed_from_the_store_makes_room(stored: Stored) -> None:
    people = People(stored.clients, f"gone-{stored.store}")
    service = stored.clients.ingest
    content = {"a.bin": b"first bytes", "b.bin": b"second"}
    made = await register(service, plain(people.project, files=[declared(*one) for one in content.items()]))
    await bring(made["uploads"], content)
    for ticket in made["uploads"]:
        await service.post(f"/api/uploads/{ticket['id']}/complete")
        await until(service, made["id"], ticket["path"], state="available")
    await service.delete(f"/api/objects/{made['id']}/files/a.bin", headers={"If-Match": "*"})
    gone = await service.delete(f"/api/objects/{made['id']}", params=BECAUSE, headers={"If-Match": "*"})
    assert (gone.status_code, (await used(people))["bytes"]) == (204, 17)

    keys = {ticket["path"]: await key_of(stored.engines, ticket) for ticket in made["uploads"]}
    await stored.engines.store.remove(keys["a.bin"])

    async def bytes_used(number: int) -> bool:
        return (await used(people))["bytes"] == number

    await eventually(lambda: bytes_used(6))
    await stored.engines.store.remove(keys["b.bin"])
    await eventually(lambda: bytes_used(0))


async def test_wrong_bytes_and_bytes_that_come_late_take_room_too(
    people: People, service: httpx2.AsyncClient, engines: Engines
) -> None:
    made = await register(service, plain(people.project, files=[declared("a.bin", b"right")]))
    ticket = made["uploads"][0]
    await overwrite(people.clients.live.settings, await key_of(engines, ticket), b"wrong bytes")
    await until(service, made["id"], "a.bin", state="mismatched")
    assert (await used(people))["bytes"] == 5 + 11

    late = await fresh_ticket(service, made["id"], "a.bin")
    removed = await service.delete(f"/api/objects/{made['id']}/files/a.bin", headers={"If-Match": "*"})
    assert (removed.status_code, await used(people)) == (204, {"objects": 1, "bytes": 11, "uploads": 0})
    assert (await put(late, b"right")).status_code == 200

    async def noticed() -> bool:
        return (await used(people))["bytes"] == 16

    await eventually(noticed)


async def test_adding_up_what_is_counted_changes_nothing_of_it(
    people: People, service: httpx2.AsyncClient, engines: Engines
) -> None:
    for size in range(1, 6):
        await register(service, holding(people, size))
    before = await used(people)

    async def fold() -> None:
        async with engines.database.transaction() as session:
            await quotas.fold(session)

    await asyncio.gather(fold(), fold(), fold(), register(service, holding(people, 100)))
    await fold()

    statement = "SELECT count(*) FROM usage WHERE organization = :organization"
    async with engines.database.transaction() as session:
        kept = (await session.execute(sa.text(statement), {"organization": people.organization})).scalar_one()
    assert kept == 1
    assert await used(people) == {name: number + {"bytes": 100}.get(name, 1) for name, number in before.items()}


async def test_a_limited_organization_adds_up_what_is_counted_by_itself(
    clients: Clients, people: People, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "ROWS_FOLDED_FROM", 4)
    await limit(people, objects=10)
    for size in range(1, 6):
        await register(clients.ingest, holding(people, size))

    async with engines.database.transaction() as session:
        room = await quotas.room(session, [people.project], ["objects"])

    statement = "SELECT count(*) FROM usage WHERE organization = :organization"
    async with engines.database.transaction() as session:
        kept = (await session.execute(sa.text(statement), {"organization": people.organization})).scalar_one()
    assert kept == 1
    assert [len(room.lacks(people.project, quotas.Amount(objects=number))) for number in (5, 6)] == [0, 1]


async def test_an_object_that_was_read_before_reads_the_same_when_the_quota_is_full(
    people: People, service: httpx2.AsyncClient
) -> None:
    made = await register(service, holding(people, 60))
    before = await read(service, made["id"])
    await limit(people, bytes=0, objects=0, uploads=0)

    assert await read(service, made["id"]) == before

"""Stores that organizations bring: connected once they work, used by whoever may, and never showing a key."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import sqlalchemy as sa

from catalog.engines import Engines
from catalog.storage.own import OwnStore
from tests.api.brought import Server, connected, server, user_of
from tests.api.conftest import plain, register
from tests.api.people import People
from tests.api.problems import not_found, problem_of, simple
from tests.api.truth import rows
from tests.conftest import World

pytestmark = pytest.mark.usefixtures("noise")

ALL_ACTIONS = [
    "data: list",
    "data: get",
    "document: put",
    "document: get",
    "document: list",
    "document: put in parts",
    "document: remove",
]
MERGE_PATCH = {"content-type": "application/merge-patch+json"}


def backends(people: People, backend: dict[str, Any] | None = None, *, organization: str | None = None) -> str:
    base = f"/api/organizations/{organization or people.organization}/backends"
    return base if backend is None else f"{base}/{backend['id']}"


def storages(scope: str) -> str:
    return f"/api/projects/{scope}/storages" if "/" in scope else f"/api/organizations/{scope}/storages"


@pytest.fixture(params=["seaweedfs", "minio"])
def each_server(request: pytest.FixtureRequest, engines_ready: dict[str, Any]) -> Server:
    """Each server in turn."""
    return server(engines_ready, request.param)


@dataclass(frozen=True)
class Archive:
    """A bucket of an organization's own, and the server that has it."""

    server: Server
    store: OwnStore

    def wanted(self, **said: Any) -> dict[str, Any]:
        return self.server.wanted(self.store, **said)


@pytest.fixture
async def archive(engines_ready: dict[str, Any]) -> AsyncGenerator[Archive]:
    """A bucket on a server that knows users."""
    minio = server(engines_ready, "minio")
    async with minio.bucket() as store:
        yield Archive(minio, store)


NewUser = Callable[[Mapping[str, Any]], Awaitable[dict[str, str]]]


@pytest.fixture
def new_user(engines_ready: dict[str, Any], world: World) -> NewUser:
    """Make a user of that server who may do what a policy says; gives its keys."""
    return lambda policy: user_of(engines_ready, world, policy)


@pytest.fixture
async def lead(people: People) -> httpx2.AsyncClient:
    """An admin of the organization."""
    return await people.member("lead", "admin", scope=people.organization)


@pytest.mark.req(
    "DEWRANGLE-RFC-12",
    "DEWRANGLE-RFC-19",
    "DEWRANGLE-RFC-20",
    "DEWRANGLE-RFC-24",
    "DEWRANGLE-RFC-36",
    "DEWRANGLE-RFC-41",
)
async def test_a_store_is_connected_once_every_action_was_tried_and_its_keys_are_never_shown(
    each_server: Server, people: People, lead: httpx2.AsyncClient, engines_ready: dict[str, Any]
) -> None:
    account = {"arn": "arn:aws:iam::1:user/x", "account_id": "1", "account_alias": "lab", "user": "x"}
    async with each_server.bucket() as store:
        wanted = each_server.wanted(store, name="Lab archive", account=account)
        made = await lead.post(backends(people), json=wanted)
        left = [item.key async for item in store.list("")]

    shown = made.json()
    assert (made.status_code, made.headers["location"]) == (201, backends(people, shown))
    moments = {name: shown.pop(name) for name in ("created_at", "changed_at", "checked_at")}
    assert len(moments) == 3
    assert shown == {
        "id": shown["id"],
        "organization": people.organization,
        "name": "Lab archive",
        "endpoint": each_server.endpoint,
        "region": each_server.region,
        "addressing": "path",
        "bucket": store.bucket,
        "prefix": "lab/a",
        "root": "catalog",
        "uses": ["data", "document"],
        "account": account,
        "capacity_bytes": None,
        "watermark_percent": None,
        "reserved_gb": None,
        "has_keys": True,
        "health": "healthy",
        "checks": [{"action": action, "ok": True, "reason": None} for action in ALL_ACTIONS],
        "capabilities": {
            "versioning": "on",
            "checksums": True,
            "conditional_writes": True,
            "temporary_credentials": each_server.endpoint == engines_ready["minio_url"].rstrip("/"),
            "notifications": "none",
        },
        "event_token": None,
        "warnings": [],
    }
    # What was tried is no trace of it.
    assert left == []
    listed = (await lead.get(backends(people))).json()["items"]
    assert listed == [(await lead.get(backends(people, shown))).json()] == [shown | moments]
    assert each_server.secret_key not in made.text


@pytest.mark.req("DEWRANGLE-RFC-30")
async def test_a_dry_run_tries_everything_is_refused_for_the_same_reasons_and_keeps_nothing(
    archive: Archive, people: People, lead: httpx2.AsyncClient
) -> None:
    address = f"{backends(people)}?dry_run=true"
    there = await connected(lead, people.organization, archive.wanted(name="Lab archive"))
    kept = (await lead.get(backends(people))).json()

    tried = await lead.post(address, json=archive.wanted(prefix="lab", uses=["data"]))
    wrong = await lead.post(address, json=archive.wanted(prefix="b", uses=["data"], secret_key="wrong-" * 5))
    taken = await lead.post(address, json=archive.wanted())
    elsewhere = await lead.post(f"{backends(people)}?dry=true", json=archive.wanted(prefix="c"))

    assert (tried.status_code, tried.json()) == (
        200,
        {
            "endpoint": archive.server.endpoint,
            "checks": [{"action": action, "ok": True, "reason": None} for action in ALL_ACTIONS[:2]],
            "warnings": ["'Lab archive' lies within this place, or has it within: what is in one is in both"],
        },
    )
    assert [one.status_code for one in (wrong, taken, elsewhere)] == [422, 409, 400]
    assert (await lead.get(backends(people))).json() == kept
    assert [one["id"] for one in kept["items"]] == [there["id"]]


@pytest.mark.req("DEWRANGLE-RFC-37")
async def test_keys_lie_sealed_in_a_table_of_their_own(
    archive: Archive,
    people: People,
    lead: httpx2.AsyncClient,
    engines: Engines,
    new_user: NewUser,
) -> None:
    everything = {"Effect": "Allow", "Action": ["s3:*"], "Resource": [f"arn:aws:s3:::{archive.store.bucket}*"]}
    keys = await new_user({"Version": "2012-10-17", "Statement": [everything]})

    shown = await connected(lead, people.organization, archive.wanted(**keys))

    kept = await rows(engines, "SELECT * FROM backend_secret WHERE backend_id = :id", id=shown["id"])
    told = await rows(engines, "SELECT * FROM storage_backend WHERE id = :id", id=shown["id"])
    assert (len(kept), len(told)) == (1, 1)
    text = repr([dict(row) for row in [*kept, *told]])
    assert [secret for secret in keys.values() if secret in text or secret.encode() in kept[0]["sealed"]] == []


@pytest.mark.req("DEWRANGLE-RFC-11", "DEWRANGLE-RFC-25", "DEWRANGLE-RFC-26")
@pytest.mark.parametrize("use", ["document", "data"])
async def test_keys_that_may_do_what_the_policy_says_are_enough_and_those_for_the_other_use_are_not(
    archive: Archive,
    people: People,
    lead: httpx2.AsyncClient,
    new_user: NewUser,
    use: str,
) -> None:
    place = {"bucket": archive.store.bucket, "prefix": "lab/a"}
    address = f"/api/organizations/{people.organization}/policy"
    policy = (await lead.get(address, params={**place, "use": use})).json()
    keys = await new_user(policy)

    other = {"document": "data", "data": "document"}[use]
    for_the_other = await lead.post(backends(people), json=archive.wanted(uses=[other], **keys))
    beside = await lead.post(backends(people), json=archive.wanted(prefix="lab/ab", uses=[use], **keys))
    made = await lead.post(backends(people), json=archive.wanted(uses=[use], **keys))

    assert (for_the_other.status_code, beside.status_code) == (422, 422)
    assert (made.status_code, made.json()["health"]) == (201, "healthy"), made.text
    assert (await lead.get(f"{backends(people, made.json())}/policy")).json() == policy


@pytest.mark.req("DEWRANGLE-RFC-23", "DEWRANGLE-RFC-39", "DEWRANGLE-RFC-41")
async def test_a_store_whose_keys_may_too_little_is_not_kept_and_the_actions_are_named(
    archive: Archive,
    people: People,
    lead: httpx2.AsyncClient,
    new_user: NewUser,
) -> None:
    address = f"/api/organizations/{people.organization}/policy"
    asked = {"bucket": archive.store.bucket, "prefix": "lab/a", "use": "document"}
    policy = (await lead.get(address, params=asked)).json()
    policy["Statement"][0]["Action"].remove("s3:DeleteObject")
    keys = await new_user(policy)

    refused = await lead.post(backends(people), json=archive.wanted(uses=["document"], **keys))

    told = problem_of(refused)
    assert (told["status"], told["detail"]) == (422, "1 of 5 actions failed: document: remove. Nothing was kept.")
    (fault,) = told["errors"]
    assert fault["message"].startswith("document: remove: The store at ")
    assert fault["suggestion"] == "`catalog backend policy` prints what the keys must be allowed"
    assert (await lead.get(backends(people))).json() == {"items": []}


async def test_a_store_that_is_not_there_is_not_kept(
    archive: Archive,
    people: People,
    lead: httpx2.AsyncClient,
) -> None:
    nowhere = archive.wanted(bucket=f"none-{uuid4().hex[:8]}", uses=["data"])
    told = problem_of(await lead.post(backends(people), json=nowhere))
    assert told["detail"] == "1 of 2 actions failed: data: list. Nothing was kept."
    wrong = archive.wanted(secret_key="wrong-" * 5, uses=["data"])
    assert problem_of(await lead.post(backends(people), json=wrong))["status"] == 422
    assert (await lead.get(backends(people))).json() == {"items": []}


@pytest.mark.parametrize(
    ("scheme", "host", "reason"),
    [
        ("http", "169.254.169.254", "169.254.169.254 lies in a network that is not public"),
        ("https", "10.0.0.1", "10.0.0.1 lies in a network that is not public"),
        ("https", "[::ffff:10.0.0.1]", "::ffff:10.0.0.1 lies in a network that is not public"),
        ("http", "192.0.43.8", "192.0.43.8 is outside, and only https goes there"),
    ],
)
async def test_endpoints_inside_are_refused_before_anything_is_sent(
    people: People, lead: httpx2.AsyncClient, scheme: str, host: str, reason: str
) -> None:
    keys = {"access_key": "somebody", "secret_key": "something"}
    wanted = {"name": "Inside", "endpoint": f"{scheme}://{host}", "bucket": "archive", "uses": ["data"], **keys}
    told = problem_of(await lead.post(backends(people), json=wanted))
    assert (told["status"], told["errors"][0]["pointer"]) == (422, "/endpoint")
    assert reason in told["errors"][0]["message"]


async def test_what_is_no_backend_is_refused_with_every_fault(people: People, lead: httpx2.AsyncClient) -> None:
    wanted = {"name": "", "endpoint": "s3.example.org", "bucket": "B", "prefix": "a/../b", "uses": []}
    told = problem_of(await lead.post(backends(people), json=wanted))
    assert (told["status"], sorted(one["pointer"] for one in told["errors"])) == (
        400,
        ["/bucket", "/name", "/prefix", "/uses"],
    )
    sound = {"name": "x", "endpoint": "ftp://s3.example.org", "bucket": "abc", "uses": ["data"]}
    keys = {"access_key": "abc", "secret_key": "abcabc"}
    told = problem_of(await lead.post(backends(people), json=sound | keys))
    assert (told["status"], told["errors"][0]["pointer"]) == (400, "/endpoint")
    told = problem_of(await lead.post(backends(people), json=sound | {"access_key": "abc"}))
    assert (told["status"], told["errors"]) == (
        400,
        [{"pointer": "/secret_key", "message": "send both keys, or neither"}],
    )


@pytest.mark.req("DEWRANGLE-RFC-40", "DEWRANGLE-RFC-43")
@pytest.mark.parametrize("role", ["curator", "ingest", "reader"])
async def test_only_admins_of_the_organization_create_change_and_remove_backends(
    archive: Archive, people: People, lead: httpx2.AsyncClient, role: str
) -> None:
    shown = await connected(lead, people.organization, archive.wanted())
    of_the_project = await people.member("of-project", "admin", scope=people.project)
    other = await people.member("other", role, scope=people.organization)
    here = backends(people, shown)

    async def statuses(client: httpx2.AsyncClient) -> list[int]:
        answers = [
            await client.get(backends(people)),
            await client.post(backends(people), json=archive.wanted(prefix="b")),
            await client.patch(here, json={"name": "Mine"}, headers=MERGE_PATCH),
            await client.post(f"{here}/check"),
            await client.get(f"{here}/policy"),
            await client.put(storages(people.organization), json={}),
            await client.delete(here),
        ]
        return [answer.status_code for answer in answers]

    assert await statuses(other) == [403] * 7
    assert await statuses(of_the_project) == [200] + [403] * 6
    assert await statuses(people.clients.anonymous) == [401] * 7
    assert (await lead.get(here)).json() == shown


@pytest.mark.req("DEWRANGLE-RFC-33", "DEWRANGLE-RFC-4")
async def test_backends_of_another_organization_are_not_there(
    archive: Archive, people: People, lead: httpx2.AsyncClient
) -> None:
    other = f"o{uuid4().hex[:10]}"
    await people.clients.admin.post("/api/organizations", json={"name": other})
    theirs = await connected(people.clients.admin, other, archive.wanted())
    absent = {"id": str(uuid4())}

    async def told(backend: dict[str, Any]) -> list[dict[str, Any]]:
        here = backends(people, backend)
        answers = [
            await lead.get(here),
            await lead.get(f"{here}/policy"),
            await lead.post(f"{here}/check"),
            await lead.patch(here, json={"name": "Mine"}, headers=MERGE_PATCH),
            await lead.delete(here),
            await lead.put(storages(people.project), json={"document": backend["id"]}),
            await lead.put(storages(people.project), json={"data": ["default", backend["id"]]}),
        ]
        return [problem_of(answer) for answer in answers]

    for backend in (theirs, absent):
        refused = not_found(f"There is no backend {backend['id']} in {people.organization}.")
        assert await told(backend) == [refused] * 7
    # Nor does the organization tell whether it is there.
    hidden = problem_of(await lead.get(backends(people, theirs, organization=other)))
    assert hidden == not_found(f"There is no organization {other!r} that you may see.")


@pytest.mark.req("DEWRANGLE-RFC-38")
async def test_without_keys_the_catalog_acts_as_itself_where_its_own_admins_let_it(
    people: People, lead: httpx2.AsyncClient, engines_ready: dict[str, Any]
) -> None:
    seaweedfs = server(engines_ready, "seaweedfs")
    async with seaweedfs.bucket() as store:
        wanted = seaweedfs.wanted(store)
        keyless = {name: value for name, value in wanted.items() if name not in {"access_key", "secret_key"}}
        refused = await lead.post(backends(people), json=keyless)
        made = await people.clients.admin.post(backends(people), json=keyless)

    assert (refused.status_code, "only an admin of the whole catalog" in refused.json()["detail"]) == (403, True)
    shown = made.json()
    assert (made.status_code, shown["has_keys"], shown["health"]) == (201, False, "healthy"), made.text


async def test_the_catalogs_own_bucket_is_no_backend_of_anybody(
    people: People, lead: httpx2.AsyncClient, engines_ready: dict[str, Any], engines: Engines
) -> None:
    own = server(engines_ready, "seaweedfs")
    wanted = own.wanted(engines.store, prefix="somebody/else")
    told = problem_of(await lead.post(backends(people), json=wanted))
    assert (told["status"], "the backend `default`" in told["detail"]) == (409, True)


@pytest.mark.req("DEWRANGLE-RFC-42", "DEWRANGLE-RFC-43")
async def test_name_and_keys_change_and_the_place_does_not(
    archive: Archive,
    people: People,
    lead: httpx2.AsyncClient,
    new_user: NewUser,
) -> None:
    shown = await connected(lead, people.organization, archive.wanted(name="Old"))
    here = backends(people, shown)

    async def changed(**told: Any) -> httpx2.Response:
        return await lead.patch(here, json=told, headers=MERGE_PATCH)

    for moved in (
        {"bucket": "other-bucket"},
        {"prefix": "b"},
        {"endpoint": "https://s3.example.org"},
        {"uses": ["data"]},
    ):
        told = problem_of(await changed(name="New", **moved))
        assert (told["status"], "Connect the other place" in told["detail"]) == (409, True)
    wrong = problem_of(await changed(access_key="nobody", secret_key="nothing-at-all"))
    assert (wrong["status"], wrong["detail"].startswith("7 of 7 actions failed")) == (422, True)
    assert (await lead.get(here)).json() == shown

    policy = (await lead.get(f"{here}/policy")).json()
    keys = await new_user(policy)
    answer = await changed(name="New", bucket=archive.store.bucket, account={"account_alias": "lab"}, **keys)

    after = answer.json()
    assert (answer.status_code, after["name"], after["account"]["account_alias"]) == (200, "New", "lab"), answer.text
    same = {name: value for name, value in after.items() if shown[name] == value}
    assert sorted(set(shown) - set(same)) == ["account", "changed_at", "checked_at", "name"]
    another = archive.wanted(name="New", prefix="b")
    assert problem_of(await lead.post(backends(people), json=another)) == simple(
        "conflict", "In conflict with the present state", 409, "There is a backend called 'New' already."
    )


@pytest.mark.req("DEWRANGLE-RFC-28")
async def test_overlapping_places_are_pointed_out_and_siblings_are_not(
    archive: Archive, people: People, lead: httpx2.AsyncClient
) -> None:
    outer = await connected(lead, people.organization, archive.wanted(name="Outer", prefix="a", uses=["data"]))
    sibling = await connected(lead, people.organization, archive.wanted(name="Sibling", prefix="ab"))
    inner = await connected(lead, people.organization, archive.wanted(name="Inner", prefix="a/b"))

    assert (outer["warnings"], sibling["warnings"]) == ([], [])
    assert inner["warnings"] == ["'Outer' lies within this place, or has it within: what is in one is in both"]
    chosen = await lead.put(
        storages(people.organization), json={"document": inner["id"], "data": [outer["id"], sibling["id"]]}
    )
    assert chosen.json()["warnings"] == ["'Inner' and 'Outer' overlap: what is in one is in both"]
    both = await lead.put(storages(people.organization), json={"document": inner["id"], "data": [inner["id"]]})
    assert (both.status_code, both.json()["warnings"]) == (200, [])


@pytest.mark.req("DEWRANGLE-RFC-30")
async def test_many_buckets_are_connected_at_once_and_used_by_one_project(
    engines_ready: dict[str, Any], people: People, lead: httpx2.AsyncClient
) -> None:
    seaweedfs, minio = (server(engines_ready, kind) for kind in ("seaweedfs", "minio"))
    async with seaweedfs.bucket() as first, minio.bucket() as second, minio.bucket() as third:
        wanted = [seaweedfs.wanted(first, prefix=""), minio.wanted(second, prefix=""), minio.wanted(third, prefix="")]
        wanted = [one | {"name": f"Bucket {place}", "uses": ["data"]} for place, one in enumerate(wanted)]
        made = await asyncio.gather(*(connected(lead, people.organization, one) for one in wanted))
        again = await asyncio.gather(*(lead.post(backends(people), json=wanted[0]) for _ in range(3)))

    assert [one.status_code for one in again] == [409, 409, 409]
    chosen = await lead.put(storages(people.project), json={"data": [one["id"] for one in made]})
    assert [one["name"] for one in chosen.json()["data"]] == ["Bucket 0", "Bucket 1", "Bucket 2"]


@pytest.mark.req("DEWRANGLE-RFC-39")
async def test_the_health_of_a_backend_is_what_was_found_when_it_was_tried_last(
    archive: Archive, people: People, lead: httpx2.AsyncClient, engines: Engines
) -> None:
    sent = await lead.post(backends(people), json=archive.wanted(healthy=True))
    assert sent.status_code == 400
    shown = await connected(lead, people.organization, archive.wanted())
    lost = sa.text("UPDATE storage_backend SET bucket = 'no-such-bucket-here' WHERE id = :id")
    async with engines.database.transaction() as session:
        await session.execute(lost, {"id": shown["id"]})

    found = await lead.post(f"{backends(people, shown)}/check")

    after = found.json()
    assert (found.status_code, after["health"]) == (200, "failing")
    assert [one["action"] for one in after["checks"]] == ALL_ACTIONS
    # Of what is not there a store says that it may be read.
    failing = [one["action"] for one in after["checks"] if not one["ok"]]
    assert failing == [one for one in ALL_ACTIONS if one != "data: get"]
    assert (await lead.get(backends(people, shown))).json() == after


@pytest.mark.req("DEWRANGLE-RFC-27", "DEWRANGLE-RFC-29", "DEWRANGLE-RFC-34", "DEWRANGLE-RFC-45", "DEWRANGLE-RFC-46")
async def test_a_project_uses_what_it_chose_else_what_its_organization_chose_else_the_catalogs_own(
    archive: Archive, people: People, lead: httpx2.AsyncClient
) -> None:
    first = await connected(lead, people.organization, archive.wanted(name="First", prefix="one"))
    second = await connected(lead, people.organization, archive.wanted(name="Second", prefix="two"))
    reader = await people.member("reader", "reader")

    def storage(backend: dict[str, Any] | None, by: str) -> dict[str, Any]:
        named = (
            {"id": "default", "name": "default"} if backend is None else {"id": backend["id"], "name": backend["name"]}
        )
        return named | {"chosen_by": by}

    async def used(scope: str) -> dict[str, Any]:
        answer = await reader.get(storages(scope))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return {name: found[name] for name in ("document", "data")}

    nobody = {"document": storage(None, "nobody"), "data": [storage(None, "nobody")]}
    assert [await used(people.organization), await used(people.project)] == [nobody, nobody]

    await lead.put(storages(people.organization), json={"document": first["id"], "data": [first["id"]]})
    by_organization = {"document": storage(first, "organization"), "data": [storage(first, "organization")]}
    assert [await used(people.organization), await used(people.project)] == [by_organization, by_organization]

    chosen = {"document": "default", "data": [second["id"], "default", second["id"]]}
    answer = await lead.put(storages(people.project), json=chosen)
    by_project = {
        "document": storage(None, "project"),
        "data": [storage(None, "project"), storage(second, "project")],
    }
    assert (answer.status_code, await used(people.project)) == (200, by_project), answer.text
    (noted, *_) = (await people.clients.admin.get("/api/audit", params={"scope": people.project})).json()["items"]
    told = {name: noted[name] for name in ("by", "action", "subject", "before", "after")}
    assert told == {
        "by": f"user:{people.names['lead']}",
        "action": "choose storages",
        "subject": f"storages:{people.project}",
        "before": {"document": first["id"], "data": [first["id"]]},
        "after": {"document": "default", "data": ["default", second["id"]]},
    }
    assert await used(people.organization) == by_organization

    await lead.put(storages(people.project), json={})
    assert await used(people.project) == by_organization


@pytest.mark.req("DEWRANGLE-RFC-21", "DEWRANGLE-RFC-26")
async def test_a_backend_for_data_is_not_chosen_for_documents(
    archive: Archive, people: People, lead: httpx2.AsyncClient
) -> None:
    data = await connected(lead, people.organization, archive.wanted(name="Data", uses=["data"]))
    chosen = {"document": data["id"], "data": [data["id"]]}
    told = problem_of(await lead.put(storages(people.project), json=chosen))
    message = "the backend 'Data' is for data: the catalog does not use it for document"
    assert (told["status"], told["errors"]) == (422, [{"pointer": "/document", "message": message}])
    assert (await lead.get(storages(people.project))).json()["document"]["chosen_by"] == "nobody"


@pytest.mark.req("DEWRANGLE-RFC-44")
async def test_removing_a_backend_that_holds_nothing_removes_its_keys_and_who_used_it_falls_back(
    archive: Archive, people: People, lead: httpx2.AsyncClient, engines: Engines
) -> None:
    shown = await connected(lead, people.organization, archive.wanted())
    await lead.put(storages(people.project), json={"document": shown["id"], "data": [shown["id"]]})

    gone = await lead.delete(backends(people, shown))

    assert (gone.status_code, (await lead.get(backends(people))).json()) == (204, {"items": []})
    for table, column in {
        "storage_backend": "id",
        "backend_secret": "backend_id",
        "storage_choice": "backend_id",
    }.items():
        assert await rows(engines, f"SELECT * FROM {table} WHERE {column} = :id", id=shown["id"]) == []  # noqa: S608
    used = (await lead.get(storages(people.project))).json()
    assert used["document"] == {"id": "default", "name": "default", "chosen_by": "nobody"}
    # The place is free again.
    await connected(lead, people.organization, archive.wanted())


@pytest.mark.req("DEWRANGLE-RFC-13", "DEWRANGLE-RFC-15", "DEWRANGLE-RFC-50")
async def test_a_new_project_works_at_once_in_the_catalogs_own_bucket(
    people: People, lead: httpx2.AsyncClient, engines: Engines
) -> None:
    registered = await register(lead, plain(people.project, files=[{"path": "a.csv", "size": 3, "sha256": "ab" * 32}]))
    (row,) = await rows(engines, "SELECT backend, bucket, key FROM upload WHERE object_id = :id", id=registered["id"])
    assert (row["backend"], row["bucket"]) == ("default", engines.store.bucket)
    assert row["key"].startswith(f"{people.project}/uploads/{registered['id']}/")

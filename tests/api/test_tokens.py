"""Tokens over the API: made once, good for what they say and no more, rotated, ended."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from catalog.access.audience import Role
from catalog.access.scopes import Scope
from catalog.api.app import ROUTES
from tests.api.conftest import Draft, patch, plain, register
from tests.api.people import People, found
from tests.api.uploads import declared
from tests.conftest import in_time

NOWHERE = str(uuid4())
WAIT_SECONDS_MAX = 30

# What a token has to be good for, route by route; a new one has to be put here.
NEEDS: dict[Scope | None, set[str]] = {
    Scope.READ: {
        "list_backends",
        "list_every_backend",
        "list_parked",
        "list_unreadable",
        "read_backend_health",
        "read_store_health",
        "read_organization_capacity",
        "read_notices",
        "list_scans",
        "read_scan",
        "list_found_files",
        "read_accounting",
        "read_fixity",
        "read_backend",
        "read_backend_policy",
        "read_object_retention",
        "read_organization_retention",
        "read_project_retention",
        "report_retention",
        "plan_backend_policy",
        "read_organization_storages",
        "read_project_storages",
        "list_relocations",
        "read_relocation",
        "search",
        "search_by_body",
        "suggest",
        "search_facet",
        "explain_search",
        "export_search",
        "export_search_by_body",
        "list_similar",
        "list_saved_searches",
        "save_search",
        "read_saved_search",
        "change_saved_search",
        "remove_saved_search",
        "renew_feed_key",
        "revoke_feed_key",
        "renew_webhook_secret",
        "list_subscriptions",
        "subscribe",
        "read_subscription",
        "change_subscription",
        "remove_subscription",
        "renew_subscription_secret",
        "read_feed",
        "list_objects",
        "read_object",
        "list_files",
        "download_file",
        "list_members",
        "list_outside",
        "read_quality",
        "read_provenance",
        "read_impact",
        "list_relations",
        "list_agents",
        "list_versions",
        "read_version",
        "compare_versions",
        "download_version_file",
        "list_object_dois",
        "check_doi",
        "read_history",
        "read_revision",
        "list_grants",
        "list_prefix_grants",
        "read_activity",
        "read_doi",
        "list_dois",
        "read_snapshot",
        "read_snapshot_history",
        "read_organization",
        "read_project",
        "list_organizations",
        "list_projects",
        "list_organization_members",
        "list_project_members",
        "list_groups",
        "list_proposals",
        "list_curation_queues",
        "read_curation_queue",
        "list_edits",
        "read_edit",
        "list_discovered_files",
        "list_unfound_searches",
        "read_queue",
        "read_organization_quota",
        "read_project_quota",
    },
    Scope.REGISTER: {
        "set_object_retention",
        "remove_object_retention",
        "keep_object",
        "begin_job",
        "announce_events",
        "end_job",
        "register_object",
        "register_objects",
        "revise_object",
        "withdraw_object",
        "declare_files",
        "adopt_files",
        "remove_file",
        "issue_ticket",
        "read_upload",
        "list_parts",
        "sign_parts",
        "complete_upload",
        "publish_version",
        "withdraw_version",
        "record_relation",
        "remove_relation",
        "record_agent",
        "remove_agent",
        "record_activity",
        "import_provenance",
        "import_datacite",
        "mint_doi",
        "mint_version_doi",
        "mint_snapshot_doi",
        "retry_doi",
        "take_snapshot",
        "withdraw_snapshot",
        "preview_edit",
        "make_edit",
        "undo_edit",
        "propose_term",
    },
    Scope.CURATE: {
        "hold_object",
        "hold_project",
        "lift_hold",
        "grant_object",
        "revoke_grant",
        "grant_prefix",
        "revoke_prefix_grant",
        "give_organization_role",
        "take_organization_role",
        "give_project_role",
        "take_project_role",
        "create_group",
        "put_into_group",
        "take_from_group",
        "import_vocabulary",
        "retire_concept",
        "accept_proposal",
        "decline_proposal",
        "merge_proposal",
        "retry_parked",
        "discard_parked",
    },
    Scope.ADMIN: {
        "set_organization_retention",
        "remove_organization_retention",
        "set_project_retention",
        "remove_project_retention",
        "resume_project_retention",
        "run_retention",
        "purge_object",
        "undo_purge",
        "create_organization",
        "change_organization_quota",
        "change_project_quota",
        "create_project",
        "create_backend",
        "change_backend",
        "delete_backend",
        "check_backend",
        "renew_event_token",
        "set_backend_notification",
        "revoke_event_token",
        "check_store",
        "choose_notices",
        "renew_notice_secret",
        "want_mail",
        "scan_backend",
        "hash_found_files",
        "choose_organization_storages",
        "choose_project_storages",
        "plan_relocation",
        "pause_relocation",
        "resume_relocation",
        "cancel_relocation",
        "list_service_accounts",
        "create_service_account",
        "list_organization_service_accounts",
        "create_organization_service_account",
        "end_service_account",
        "read_audit",
        "read_access_log",
    },
    # What everybody may read, what a token may do with itself, keys of the store by what they are for, and stores.
    None: {
        # Without the scope read: their own alone.
        "list_jobs",
        "read_job",
        "list_job_files",
        "list_kinds",
        "list_fields",
        "read_kind",
        "list_vocabularies",
        "read_vocabulary",
        "list_concepts",
        "read_concept",
        "read_liveness",
        "read_readiness",
        "list_tokens",
        "create_token",
        "rotate_token",
        "revoke_token",
        "issue_credentials",
        "notify_s3",
        "notify_seaweedfs",
        "notify_eventbridge",
        "notify_sns",
        "list_event_types",
        "read_event_type",
    },
}


# What has to be asked, where nothing asked is a fault.
ASKED = {"suggest": {"q": "soil"}, "search_facet": {"contains": "soil"}}


async def make(client: httpx2.AsyncClient, *scopes: str, **more: Any) -> dict[str, Any]:
    """Make a token, good for everything unless told otherwise."""
    answer = await client.post("/api/tokens", json={"scopes": list(scopes or Scope)} | more)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def listed(client: httpx2.AsyncClient, **asked: str) -> list[dict[str, Any]]:
    answer = await client.get("/api/tokens", params=asked)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def status(client: httpx2.AsyncClient) -> int:
    return (await client.get("/api/tokens")).status_code


def lacking(answer: httpx2.Response) -> str | None:
    """Return the scope that an answer says is missing, if it does (RFC 6750, section 3.1)."""
    told = answer.headers.get("www-authenticate", "")
    if answer.status_code != 403 or 'error="insufficient_scope"' not in told:
        return None
    scope: str = told.rpartition('scope="')[2].rstrip('"')
    assert told == f'Bearer realm="catalog", error="insufficient_scope", scope="{scope}"'
    assert f"lacks the scope {scope}" in answer.json()["detail"]
    return scope


@pytest.mark.req("MWM-SADD-24", "MWM-SADD-26")
async def test_a_token_is_told_once_and_works_until_it_is_revoked(people: People) -> None:
    ana = await people.person("ana")
    answer = await ana.post("/api/tokens", json={"scopes": ["register", "read", "read"], "label": "night shift"})
    made = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    token = made.pop("token")
    assert {name: made[name] for name in made if name not in {"id", "created_at"}} == {
        "principal": f"user:{people.names['ana']}",
        "hint": token[:8],
        "label": "night shift",
        "scopes": ["read", "register"],
        "place": None,
        "expires_at": None,
        "last_used_at": None,
        "former_until": None,
        "this": False,
    }
    shown = await listed(ana)
    assert (shown[0], [one["this"] for one in shown]) == (made, [False, True])
    assert token not in str(shown)
    client = people.holding(token)
    assert [one["this"] for one in await listed(client)] == [True, False]
    ended = await ana.delete(f"/api/tokens/{made['id']}")
    assert (ended.status_code, ended.json()) == (200, {"revoked": 1})
    assert [await status(client), await status(ana)] == [401, 200]
    assert (await ana.delete(f"/api/tokens/{made['id']}")).status_code == 404
    assert [one["this"] for one in await listed(ana)] == [True]


def test_every_route_says_what_a_token_must_be_good_for() -> None:
    said: dict[Scope | None, set[str]] = {scope: set() for scope in NEEDS}
    for route in ROUTES:
        if "promise" in route.opt:
            said[route.opt["promise"].scope_for(next(iter(route.http_methods)))].add(route.opt["promise"].id)
    assert said == NEEDS


@pytest.mark.req("MWM-SADD-24")
@pytest.mark.timeout(300)
async def test_every_route_refuses_a_token_without_its_scope_and_takes_one_with_it(people: People) -> None:
    admin = await people.person("admin", Role.ADMIN)
    holders = {scope: people.holding((await make(admin, scope))["token"]) for scope in Scope}
    paths = {
        route.opt["promise"].id: (next(iter(route.http_methods)), next(iter(route.paths)))
        for route in ROUTES
        if "promise" in route.opt
    }
    gate = asyncio.Semaphore(8)

    async def told(name: str, scope: Scope) -> str | None:
        method, path = paths[name]
        path = re.sub(r"{\w+_id:str}", NOWHERE, path).replace("{facet:str}", "licence")
        # What is no number there is refused before anybody is asked who they are.
        path = re.sub(r"{(version|revision|other)\w*:str}", "1", path)
        path = re.sub(r"{\w+:\w+}", "none", path)
        headers = {"if-match": '"1"'} if method in {"PATCH", "DELETE"} else {}
        async with gate:
            body = {} if method in {"POST", "PUT", "PATCH"} else None
            answer = await holders[scope].request(method, path, json=body, headers=headers, params=ASKED.get(name))
        return lacking(answer)

    needs = {name: scope for scope, names in NEEDS.items() for name in names}
    cases = [(name, scope) for name in needs for scope in Scope]
    outcomes = dict(zip(cases, await asyncio.gather(*(told(*case) for case in cases)), strict=True))
    meant = {(name, scope): None if needs[name] in {None, scope} else needs[name] for name, scope in cases}
    differing = {case: (outcomes[case], meant[case]) for case in cases if outcomes[case] != meant[case]}
    assert differing == {}


async def test_a_token_to_register_alone_brings_an_object_and_reads_nothing(people: People) -> None:
    curator = await people.member("curator", "curator")
    owner = await people.member("owner", "ingest")
    others = (await register(owner, plain(people.project)))["id"]
    writer = people.holding((await make(curator, "register"))["token"])
    body = plain(people.project, files=[declared("a.csv", b"x")])
    made = await register(writer, body)
    upload = await writer.get(f"/api/uploads/{made['uploads'][0]['id']}")
    assert (upload.status_code, upload.json()["state"]) == (200, "open")
    assert (await patch(writer, made["id"], {"title": "Better"})).status_code == 200
    refused = [await writer.get(path) for path in (f"/api/objects/{made['id']}", "/api/search", "/api/objects")]
    assert [lacking(answer) for answer in refused] == ["read"] * 3
    # What it does not read, it does not change either.
    assert (await patch(writer, others, {"title": "Theirs"})).status_code == 404
    assert (await patch(curator, others, {"title": "Ours"})).status_code == 200


async def test_a_curators_token_without_that_scope_changes_only_what_is_the_curators_own(people: People) -> None:
    curator = await people.member("curator", "curator")
    owner = await people.member("owner", "ingest")
    theirs, own = [(await register(one, plain(people.project)))["id"] for one in (owner, curator)]
    narrow = people.holding((await make(curator, "read", "register"))["token"])
    assert (await narrow.get(f"/api/objects/{theirs}")).status_code == 200
    assert lacking(await patch(narrow, theirs, {"title": "Other"})) == "curate"
    assert (await patch(narrow, own, {"title": "Other"})).status_code == 200
    wide = people.holding((await make(curator, "read", "register", "curate"))["token"])
    assert (await patch(wide, theirs, {"title": "Other"})).status_code == 200


async def test_admins_are_made_by_tokens_that_are_good_for_it(people: People) -> None:
    admin = await people.member("admin", "admin", scope=people.organization)
    await people.person("ana")
    curates = people.holding((await make(admin, "curate"))["token"])
    address = f"/api/organizations/{people.organization}/members"
    wanted = {"member": f"user:{people.names['ana']}"}
    assert lacking(await curates.put(address, json=wanted | {"role": "admin"})) == "admin"
    assert (await curates.put(address, json=wanted | {"role": "curator"})).status_code == 204
    both = people.holding((await make(admin, "curate", "admin"))["token"])
    assert (await both.put(address, json=wanted | {"role": "admin"})).status_code == 204
    assert lacking(await curates.delete(address, params=wanted)) == "admin"


@pytest.mark.req("MWM-SADD-16", "MWM-STORAGE-7")
async def test_a_token_of_one_project_does_nothing_elsewhere(people: People) -> None:
    air = f"{people.organization}/air"
    admin = await people.member("admin", "admin", scope=people.organization)
    made = await admin.post(f"/api/organizations/{people.organization}/projects", json={"name": "air"})
    assert made.status_code == 201
    ids = {
        (project, visibility): (await register(admin, plain(project, visibility=visibility)))["id"]
        for project in (people.project, air)
        for visibility in ("public", "private")
    }
    bound = people.holding((await make(admin, place=people.project))["token"])
    reads = {key: (await bound.get(f"/api/objects/{one}")).status_code for key, one in ids.items()}
    changes = {key: (await patch(bound, one, {"title": "Soil, again"})).status_code for key, one in ids.items()}
    grants = {
        key: (await bound.post(f"/api/objects/{one}/grants", json={"to": "public", "permission": "READ"})).status_code
        for key, one in ids.items()
    }
    soil = dict.fromkeys([(people.project, "public"), (people.project, "private")], 200)
    assert reads == soil | {(air, "public"): 200, (air, "private"): 404}
    assert changes == soil | {(air, "public"): 403, (air, "private"): 404}
    assert grants == dict.fromkeys(soil, 201) | {(air, "public"): 403, (air, "private"): 404}
    assert (await bound.post("/api/objects", json=plain(air))).status_code == 403
    assert (await bound.post("/api/objects", json=plain(people.project))).status_code == 201
    page = await bound.get("/api/objects", params={"limit": 100, "project": air})
    assert [one["id"] for one in page.json()["items"]] == [ids[air, "public"]]
    members = f"/api/organizations/{people.organization}/members"
    refused = await bound.put(members, json={"member": f"user:{people.names['admin']}", "role": "reader"})
    assert refused.status_code == 403

    async def finds() -> set[str]:
        return set(await found(bound, project=[people.project, air])) & set(ids.values())

    await until(finds, {ids[key] for key in ids if key != (air, "private")})


async def until(ask: Callable[[], Awaitable[Any]], meant: Any) -> None:
    ends = time.monotonic() + WAIT_SECONDS_MAX
    while (got := await ask()) != meant:
        assert time.monotonic() < ends, (got, meant)
        await asyncio.sleep(0.02)


async def test_by_a_token_nobody_comes_to_more_than_it_is_good_for(people: People) -> None:
    ana = await people.member("ana", "curator")
    wide = await make(ana)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    narrow = await make(ana, "read", place=people.project, expires_at=tomorrow)
    client = people.holding(narrow["token"])
    least = {"scopes": ["read"], "place": people.project, "expires_at": tomorrow}

    async def told(**differs: Any) -> tuple[int, str]:
        answer = await client.post("/api/tokens", json=least | differs)
        return answer.status_code, answer.json().get("detail", "made")

    assert await told() == (201, "made")
    assert await told(scopes=["read", "curate"]) == (
        403,
        "Your token lacks the scope curate: use one that has it, or make one.",
    )
    assert (await told(place=None))[0] == 403
    assert (await told(expires_at=None))[0] == 403
    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    assert (await told(expires_at=later))[0] == 403
    for method, path in (("POST", f"/api/tokens/{wide['id']}/rotate"), ("DELETE", f"/api/tokens/{wide['id']}")):
        answer = await client.request(method, path, json={} if method == "POST" else None)
        assert (answer.status_code, lacking(answer)) == (403, "register")
    assert await status(people.holding(wide["token"])) == 200


async def test_a_rotated_token_works_with_both_values_and_a_third_is_refused(people: People) -> None:
    ana = await people.person("ana")
    made = await make(ana, "read", label="station 7")
    address = f"/api/tokens/{made['id']}/rotate"
    rotated = await ana.post(address, json={})
    second = rotated.json()
    assert (rotated.status_code, rotated.headers["cache-control"]) == (200, "no-store")
    assert (second["id"], second["label"], second["scopes"]) == (made["id"], "station 7", ["read"])
    ends = datetime.fromisoformat(second["former_until"]) - datetime.now(UTC)
    assert timedelta(hours=23) < ends <= timedelta(days=1)
    clients = [people.holding(one["token"]) for one in (made, second)]
    assert [await status(one) for one in clients] == [200, 200]
    third = await ana.post(address, json={"overlap_seconds": 60})
    assert (third.status_code, "rotate without an overlap to end both" in third.json()["detail"]) == (409, True)
    last = await ana.post(address, json={"overlap_seconds": 0})
    clients.append(people.holding(last.json()["token"]))
    assert [await status(one) for one in clients] == [401, 401, 200]
    too_long = await ana.post(address, json={"overlap_seconds": 30 * 86400 + 1})
    assert (too_long.status_code, too_long.json()["errors"][0]["pointer"]) == (400, "/overlap_seconds")


async def test_what_a_stolen_token_made_ends_with_it_at_once(people: People) -> None:
    ana = await people.person("ana")
    stolen = await make(ana)
    child = await make(people.holding(stolen["token"]))
    clients = [people.holding(one["token"]) for one in (stolen, child)]
    assert [await status(one) for one in clients] == [200, 200]
    assert (await ana.delete(f"/api/tokens/{stolen['id']}")).json() == {"revoked": 2}
    assert [await status(one) for one in clients] == [401, 401]


async def test_a_token_ends_when_it_says(people: People) -> None:
    ana = await people.person("ana")

    async def used(ends: datetime) -> httpx2.AsyncClient:
        holder = people.holding((await make(ana, expires_at=ends.isoformat()))["token"])
        assert await status(holder) == 200
        return holder

    _, client = await in_time(used)

    async def asked() -> int:
        return await status(client)

    await until(asked, 401)
    assert [one["this"] for one in await listed(ana)] == [True]


@pytest.mark.req("MWM-SADD-16")
async def test_when_a_token_was_last_used_is_told_within_seconds(people: People) -> None:
    ana = await people.person("ana")
    made = await make(ana, "read")
    assert [one["last_used_at"] for one in await listed(ana) if one["id"] == made["id"]] == [None]
    began = datetime.now(UTC)
    assert (await (people.holding(made["token"])).get("/api/search")).status_code == 200

    async def used() -> str:
        [at] = [one["last_used_at"] for one in await listed(ana) if one["id"] == made["id"]]
        return "then" if at is not None and began <= datetime.fromisoformat(at) <= datetime.now(UTC) else "never"

    await until(used, "then")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/scopes"]),
        ({"scopes": []}, ["/scopes"]),
        ({"scopes": ["everything"], "place": "x" * 201, "forever": True}, ["/scopes/0", "/place", "/forever"]),
        ({"scopes": ["read"], "place": "Lab/", "expires_at": "2020-01-01T00:00:00Z"}, ["/place", "/expires_at"]),
    ],
)
async def test_wrong_wishes_are_told_all_at_once(people: People, body: Draft, pointers: list[str]) -> None:
    answer = await (await people.person("ana")).post("/api/tokens", json=body)
    assert (answer.status_code, [one["pointer"] for one in answer.json()["errors"]]) == (400, pointers)


async def test_tokens_of_others_are_answered_as_those_that_are_not_there(people: People) -> None:
    ana, bea = await people.person("ana"), await people.person("bea")
    theirs = await make(bea)
    for method, suffix, body in (("DELETE", "", None), ("POST", "/rotate", {})):
        answers = [
            await ana.request(method, f"/api/tokens/{one}{suffix}", json=body) for one in (theirs["id"], NOWHERE)
        ]
        told = [(one.status_code, one.json()["detail"]) for one in answers]
        assert told[0][0] == 404
        assert told[0][1].replace(theirs["id"], "ID") == told[1][1].replace(NOWHERE, "ID")
    assert (await ana.get("/api/tokens", params={"principal": f"user:{people.names['bea']}"})).status_code == 404
    made = await ana.post("/api/tokens", json={"scopes": ["read"], "principal": f"user:{people.names['bea']}"})
    assert made.status_code == 404

"""Every route, every role, every visibility: who gets what status. A route that is not in the table fails the build."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from catalog.access.audience import Role
from catalog.api import agents
from catalog.api.app import ROUTES
from tests.api.conftest import MERGE_PATCH, plain, register
from tests.api.people import People
from tests.api.uploads import declared
from tests.conftest import Clients, eventually

VISIBILITIES = ("public", "organization", "project", "private", "embargoed")
# Who asks, and what of an object of `owner` in the project they may see and change, by its visibility.
MEMBERS = {"public", "organization", "project"}
EVERYTHING = set(VISIBILITIES)
SEES = {
    "anonymous": {"public"},
    "stranger": {"public"},
    "service": {"public"},
    "reader": MEMBERS,
    "owner": EVERYTHING,
    "curator": EVERYTHING,
    "admin": EVERYTHING,
}
CHANGES = {"owner", "curator", "admin"}
# Beyond that of the object, a role in its project is needed.
MAY = {"change": CHANGES, "look after": {"curator", "admin"}, "administer": {"admin"}}
STALE = {"if-match": '"999"'}
LINKED = {"type": "References", "identifier": {"type": "URL", "value": "https://example.org/a"}}
NOWHERE = str(uuid4())


@dataclass(frozen=True)
class Ask:
    """A request on an object, what it needs there, and how it is answered where that is given."""

    needs: str
    given: int
    suffix: str = ""
    body: Any = None
    params: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


# `see`: whoever sees the object. `change`: whoever may change it; `look after`, `administer`: who has such a role in
# its project. Others that see it get 403.
# A change is asked for in a way that is refused after the permission: nothing is changed by being allowed to.
OF_AN_OBJECT: dict[str, Ask] = {
    "read_object": Ask("see", 200),
    "list_files": Ask("see", 200, "/files"),
    "download_file": Ask("see", 409, "/files/data.csv"),
    # Only bundles have members, only published objects versions.
    "list_members": Ask("see", 404, "/members"),
    "list_outside": Ask("see", 200, "/outside"),
    "read_quality": Ask("see", 200, "/quality"),
    "explain_search": Ask("see", 200, "/explain", params={"q": "soil"}),
    "list_similar": Ask("see", 200, "/similar"),
    "read_provenance": Ask("see", 200, "/provenance"),
    "read_impact": Ask("see", 200, "/impact"),
    "list_relations": Ask("see", 200, "/relations"),
    "list_agents": Ask("see", 200, "/agents"),
    "list_versions": Ask("see", 200, "/versions"),
    "read_version": Ask("see", 404, "/versions/1"),
    "compare_versions": Ask("see", 404, "/versions/1/diff/2"),
    "download_version_file": Ask("see", 404, "/versions/1/files/data.csv"),
    "list_object_dois": Ask("see", 200, "/doi"),
    "check_doi": Ask("see", 200, "/doi/preflight"),
    "read_history": Ask("change", 200, "/history"),
    "read_revision": Ask("change", 200, "/history/1"),
    "list_grants": Ask("change", 200, "/grants"),
    "revise_object": Ask("change", 412, body={"title": "Other"}, headers={**STALE, "content-type": MERGE_PATCH}),
    "withdraw_object": Ask("change", 412, params={"reason": "Tried."}, headers=STALE),
    "declare_files": Ask("change", 412, "/files", {"files": [declared("more.csv", b"x")]}, headers=STALE),
    "adopt_files": Ask("change", 412, "/adoptions", {"files": [{"discovered": NOWHERE}]}, headers=STALE),
    "remove_file": Ask("change", 412, "/files/data.csv", headers=STALE),
    "publish_version": Ask("change", 412, "/versions", {}, headers=STALE),
    "withdraw_version": Ask("see", 404, "/versions/1", params={"reason": "Tried."}, headers=STALE),
    "record_relation": Ask(
        "change",
        412,
        "/relations",
        {"type": "References", "identifier": {"type": "URL", "value": "https://example.org"}},
        headers=STALE,
    ),
    "remove_relation": Ask("change", 412, f"/relations/{NOWHERE}", headers=STALE),
    "record_agent": Ask("change", 412, "/agents", agents.EXAMPLE, headers=STALE),
    "remove_agent": Ask("change", 412, f"/agents/{NOWHERE}", headers=STALE),
    "mint_doi": Ask("change", 422, "/doi"),
    "mint_version_doi": Ask("change", 404, "/versions/1/doi"),
    "grant_object": Ask("change", 400, "/grants", {"to": "user:nobody-of-this-name", "permission": "READ"}),
    "revoke_grant": Ask("change", 404, f"/grants/{NOWHERE}"),
    "read_object_retention": Ask("change", 200, "/retention"),
    "set_object_retention": Ask("change", 204, "/retention", {"days": None}),
    "remove_object_retention": Ask("change", 204, "/retention"),
    "keep_object": Ask("change", 409, "/retention/mark"),
    "hold_object": Ask("look after", 201, "/retention/holds", {"reason": "Tried."}),
    "purge_object": Ask("administer", 409, "/retention/purge", {"reason": "Tried."}),
    "undo_purge": Ask("administer", 409, "/retention/purge"),
}
# Of the upload that waits for the object's file: others are not told that there is one.
OF_AN_UPLOAD: dict[str, Ask] = {
    "read_upload": Ask("upload", 200),
    "list_parts": Ask("upload", 409, "/parts"),
    "sign_parts": Ask("upload", 409, "/parts", {"numbers": [1]}),
    "complete_upload": Ask("upload", 202, "/complete"),
}
# What is about no object: who may ask at all. Others get 401 without a token and 403 with one.
ANYBODY = set(SEES)
KNOWN = ANYBODY - {"anonymous"}
REGISTERS = {"service", "owner", "curator", "admin"}
LOOKS_AFTER_ALL = {"admin"}
OTHERS: dict[str, set[str]] = {
    **dict.fromkeys(
        [
            "search",
            "search_by_body",
            "search_facet",
            "suggest",
            "export_search",
            "export_search_by_body",
            "list_objects",
            "list_fields",
            "list_kinds",
            "read_kind",
            "list_event_types",
            "read_event_type",
            "read_concept",
            "list_vocabularies",
            "read_vocabulary",
            "list_concepts",
            "read_activity",
            "read_doi",
            "read_snapshot",
            "read_organization",
            "read_project",
            "list_jobs",
            "read_job",
            "list_job_files",
            "read_liveness",
            "read_readiness",
        ],
        ANYBODY,
    ),
    # Which of them belongs to whom decides the rest.
    **dict.fromkeys(
        [
            "issue_ticket",
            "issue_credentials",
            "list_dois",
            "retry_doi",
            "mint_snapshot_doi",
            "list_organizations",
            "list_projects",
            "list_organization_members",
            "give_organization_role",
            "take_organization_role",
            "list_project_members",
            "give_project_role",
            "take_project_role",
            "list_groups",
            "create_group",
            "put_into_group",
            "take_from_group",
            "create_project",
            "read_organization_quota",
            "read_project_quota",
            "read_organization_retention",
            "set_organization_retention",
            "remove_organization_retention",
            "read_project_retention",
            "set_project_retention",
            "remove_project_retention",
            "hold_project",
            "resume_project_retention",
            "lift_hold",
            "list_backends",
            "scan_backend",
            "list_scans",
            "read_scan",
            "list_found_files",
            "hash_found_files",
            "read_accounting",
            "create_backend",
            "read_backend",
            "change_backend",
            "delete_backend",
            "check_backend",
            "renew_event_token",
            "set_backend_notification",
            "revoke_event_token",
            "read_backend_health",
            "read_notices",
            "read_organization_capacity",
            "choose_notices",
            "renew_notice_secret",
            "want_mail",
            "read_backend_policy",
            "plan_backend_policy",
            "read_organization_storages",
            "choose_organization_storages",
            "read_project_storages",
            "choose_project_storages",
            "plan_relocation",
            "list_relocations",
            "read_relocation",
            "pause_relocation",
            "resume_relocation",
            "cancel_relocation",
            "list_prefix_grants",
            "grant_prefix",
            "list_proposals",
            "revoke_prefix_grant",
            "withdraw_snapshot",
            "read_snapshot_history",
            "list_tokens",
            "create_token",
            "rotate_token",
            "revoke_token",
            "list_organization_service_accounts",
            "create_organization_service_account",
            "end_service_account",
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
            # With a key everybody may, with a wrong one nobody finds it.
            "read_feed",
            "end_job",
        ],
        KNOWN,
    ),
    **dict.fromkeys(
        [
            "register_object",
            "register_objects",
            "begin_job",
            "announce_events",
            "record_activity",
            "import_provenance",
            "import_datacite",
            "take_snapshot",
            "list_curation_queues",
            "read_curation_queue",
            "list_edits",
            "make_edit",
            "preview_edit",
            "read_edit",
            "undo_edit",
            "propose_term",
        ],
        REGISTERS,
    ),
    **dict.fromkeys(
        [
            "list_discovered_files",
            "read_fixity",
            "list_unfound_searches",
            "import_vocabulary",
            "retire_concept",
            "accept_proposal",
            "decline_proposal",
            "merge_proposal",
            "create_organization",
            "change_organization_quota",
            "change_project_quota",
            "run_retention",
            "report_retention",
            "read_queue",
            "list_parked",
            "retry_parked",
            "discard_parked",
            "list_unreadable",
            "list_every_backend",
            "read_store_health",
            "check_store",
            "read_access_log",
            # Of the whole catalog; an admin of one organization sees what concerns that.
            "read_audit",
            "list_service_accounts",
            "create_service_account",
        ],
        LOOKS_AFTER_ALL,
    ),
    # The stores say who they are by a token of their own.
    "notify_s3": set(),
    "notify_seaweedfs": set(),
    "notify_eventbridge": set(),
    "notify_sns": set(),
}


def promises() -> dict[str, tuple[str, str]]:
    """Return method and path of every operation by its id."""
    return {
        route.opt["promise"].id: (next(iter(route.http_methods)), next(iter(route.paths)))
        for route in ROUTES
        if "promise" in route.opt
    }


def test_every_route_is_in_the_table() -> None:
    tables = [OF_AN_OBJECT, OF_AN_UPLOAD, OTHERS]
    named = [name for table in tables for name in table]
    assert sorted(named) == sorted(promises())


@dataclass
class Scene:
    """One object of each visibility with an upload that waits, and everybody who may ask."""

    objects: dict[str, str]
    uploads: dict[str, str]
    clients: dict[str, httpx2.AsyncClient]


@pytest.fixture
async def scene(people: People) -> Scene:
    """Everything there is to ask for, and everybody who asks."""
    callers = {
        "anonymous": people.clients.anonymous,
        "stranger": await people.person("stranger"),
        "service": await people.member("service", "ingest"),
        "reader": await people.member("reader", "reader"),
        "owner": await people.member("owner", "ingest"),
        "curator": await people.member("curator", "curator"),
        "admin": await people.person("admin", Role.ADMIN),
    }
    objects, uploads = {}, {}
    for visibility in VISIBILITIES:
        until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        more = {"embargo_until": until} if visibility == "embargoed" else {}
        body = plain(people.project, visibility=visibility, files=[declared("data.csv", b"x")], **more)
        registered = await register(callers["owner"], body)
        objects[visibility] = registered["id"]
        uploads[visibility] = registered["uploads"][0]["id"]
    for object_id in objects.values():

        async def explained(address: str = f"/api/objects/{object_id}/explain") -> bool:
            return (await callers["admin"].get(address, params={"q": "soil"})).status_code == 200

        await eventually(explained)
    return Scene(objects, uploads, callers)


async def ask(client: httpx2.AsyncClient, name: str, ask: Ask, base: str) -> int:
    method = promises()[name][0]
    answer = await client.request(method, base + ask.suffix, json=ask.body, params=ask.params, headers=ask.headers)
    return answer.status_code


def meant_on_object(name: str, ask: Ask, who: str, visibility: str) -> int:
    sees = visibility in SEES[who]
    token = next(route.opt["promise"].token for route in ROUTES if route.opt["promise"].id == name)
    if who == "anonymous" and token:
        return 401
    if not sees:
        return 404
    return ask.given if who in MAY.get(ask.needs, SEES) else 403


@pytest.mark.req("SAGE-STORAGE-31")
@pytest.mark.timeout(300)
async def test_objects_answer_every_role_by_their_visibility(scene: Scene) -> None:
    cases = [(name, who, visibility) for name in OF_AN_OBJECT for who in SEES for visibility in VISIBILITIES]

    async def status(name: str, who: str, visibility: str) -> int:
        return await ask(scene.clients[who], name, OF_AN_OBJECT[name], f"/api/objects/{scene.objects[visibility]}")

    assert await wrong(cases, status, lambda *case: meant_on_object(case[0], OF_AN_OBJECT[case[0]], *case[1:])) == {}


async def test_uploads_are_known_to_those_who_may_change_the_object_alone(scene: Scene) -> None:
    cases = [(name, who, visibility) for name in OF_AN_UPLOAD for who in SEES for visibility in VISIBILITIES]

    async def status(name: str, who: str, visibility: str) -> int:
        return await ask(scene.clients[who], name, OF_AN_UPLOAD[name], f"/api/uploads/{scene.uploads[visibility]}")

    def meant(name: str, who: str, _: str) -> int:
        if who == "anonymous":
            return 401
        return OF_AN_UPLOAD[name].given if who in CHANGES else 404

    assert await wrong(cases, status, meant) == {}


async def test_other_routes_admit_who_the_table_says(scene: Scene) -> None:
    """By the status alone: 401 and 403 are refusals, anything else is an answer to somebody who may ask."""
    paths = promises()

    async def status(name: str, who: str, _: str) -> int:
        method, path = paths[name]
        for part in (
            "object",
            "activity",
            "edit",
            "snapshot",
            "upload",
            "grant",
            "proposal",
            "token",
            "backend",
            "saved",
            "subscription",
            "hold",
        ):
            path = path.replace(f"{{{part}_id:str}}", NOWHERE)
        for part, value in {"scheme": "none", "queue": "none", "kind": "model", "event_type": "none"}.items():
            path = path.replace(f"{{{part}:str}}", value)
        for part in ("organization", "project", "group", "user", "account", "prefix", "suffix", "key"):
            path = path.replace(f"{{{part}:str}}", "none")
        body = {} if method in {"POST", "PUT", "PATCH"} else None
        headers = {"if-match": '"1"'} if method == "DELETE" else {}
        answer = await scene.clients[who].request(method, path, json=body, headers=headers)
        return answer.status_code if answer.status_code in {401, 403} else 200

    def meant(name: str, who: str, _: str) -> int:
        if who in OTHERS[name]:
            return 200
        return 401 if who == "anonymous" or not OTHERS[name] else 403

    assert await wrong([(name, who, "") for name in OTHERS for who in SEES], status, meant) == {}


async def wrong(
    cases: list[tuple[str, str, str]], status: Callable[..., Any], meant: Callable[..., int]
) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Return the cases whose status is not what is meant, each with both."""
    gate = asyncio.Semaphore(8)

    async def one(case: tuple[str, str, str]) -> tuple[int, int]:
        async with gate:
            return await status(*case), meant(*case)

    outcomes = await asyncio.gather(*(one(case) for case in cases))
    return {case: both for case, both in zip(cases, outcomes, strict=True) if both[0] != both[1]}


@pytest.mark.req("SAGE-STORAGE-31")
async def test_a_bad_token_is_told_even_where_everybody_may_read(clients: Clients, scene: Scene) -> None:
    """Silently read as nobody, a caller would believe that its private objects are gone."""
    headers = {"authorization": "Bearer cat_that-was-never-given"}
    answers = [
        await clients.anonymous.get(f"/api/objects/{scene.objects[one]}", headers=headers)
        for one in ("public", "private")
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert all("ask an admin" in answer.json()["detail"] for answer in answers)


@pytest.mark.req("DEWRANGLE-RFC-4")
async def test_a_hidden_object_answers_every_route_byte_for_byte_as_an_absent_one(scene: Scene) -> None:
    hidden, stranger = scene.objects["private"], scene.clients["stranger"]
    differing = []
    for name, asked in OF_AN_OBJECT.items():
        method = promises()[name][0]
        answers = [
            await stranger.request(
                method,
                f"/api/objects/{object_id}{asked.suffix}",
                json=asked.body,
                params=asked.params,
                headers=asked.headers | {"x-request-id": "the-same"},
            )
            for object_id in (hidden, NOWHERE)
        ]
        told = [
            (
                answer.status_code,
                answer.text.replace(hidden, "ID").replace(NOWHERE, "ID"),
                {key: value for key, value in answer.headers.items() if key not in {"date", "content-length"}},
            )
            for answer in answers
        ]
        if told[0] != told[1]:
            differing.append((name, told))
    assert differing == []

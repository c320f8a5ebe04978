"""Registering, reading, revising, withdrawing and listing objects over HTTP."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urljoin
from uuid import UUID

import httpx2
import pytest

from catalog.access import principals
from catalog.access.audience import Role
from catalog.engines import Engines
from catalog.objects import kinds
from tests.api.conftest import BECAUSE, MERGE_PATCH, Draft, patch, plain, read, register
from tests.api.problems import UNKNOWN_TOKEN, invalid, not_found, problem_of, simple
from tests.api.truth import as_text, history, rows
from tests.conftest import Clients

pytestmark = pytest.mark.usefixtures("noise")

ABSENT = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"
FILE = {"path": "data/soil.csv", "size": 5, "sha256": "a1" * 32, "media_type": "text/csv"}


async def test_the_service_is_alive(clients: Clients) -> None:
    answer = await clients.anonymous.get("/readyz")

    told = answer.json()
    # Of stores it tells, and is ready whatever they do: how many there are is other tests' doing.
    assert told.pop("backends").keys() == {"default", "healthy", "failing"}
    index = told.pop("index")
    assert (index.keys(), index["lag_seconds"] >= 0) == ({"lag_seconds", "compared_at", "agreed"}, True)
    assert told == {"status": "pass", "engines": {"database": "pass", "search": "pass", "store": "pass"}}


DETECTION = "urn:x-catalog:ml-tasks:object-detection"
TERMS = {
    "urn:x-catalog:ml-tasks:image-segmentation": "Image segmentation",
    "urn:x-catalog:software:pytorch": "PyTorch",
    "urn:x-catalog:formats:onnx": "Open Neural Network Exchange",
}


def full(project: str) -> Draft:
    """Return a registration that says everything that can be said."""
    return {
        "kind": "model",
        "project": project,
        "name": "cloud-unet",
        "title": "Cloud cover, U-Net ☁",
        "description": "Marks the pixels of a sky image that show cloud.\n\nTrained on <b>one</b> year.",
        "creators": [
            {
                "type": "person",
                "name": "Rivera, Ana",
                "orcid": "0000-0002-1825-0097",
                "affiliation": {"name": "Argonne", "ror": "05gvnxz63"},
            },
            {"type": "organization", "name": "Palmer Station LTER", "ror": "05gvnxz63"},
        ],
        "contact": {"name": "Ana Rivera", "email": "ana@example.org"},
        "keywords": ["cloud", "Wolken über Köln"],
        "subjects": [],
        "licence": "MIT OR Apache-2.0",
        "visibility": "public",
        "dates": [{"type": "Issued", "date": "2024-05"}, {"type": "Collected", "date": "2023/2024-01-02T03:04:05Z"}],
        "coverage": {
            "spatial": {
                "place": "Chicago",
                "point": {"latitude": 41.88, "longitude": -87.63},
                "box": {"west": 170.0, "south": -10.5, "east": -170.0, "north": 10.0},
            },
            "temporal": {"start": "2023-01-01T00:00:00Z", "end": "2024-01-01T00:00:00Z"},
        },
        "external": [
            {"type": "git", "url": "https://git.example.org/cloud.git", "commit": "9f" * 20},
            {"type": "url", "url": "https://data.example.org/cloud.onnx", "sha256": "a1" * 32},
        ],
        "custom": {
            "node": "W023",
            "height": {"value": 2.5, "unit": "m"},
            "bands": [1, 2.5, "nir", True],
            "checked": False,
        },
        "metadata": {
            "task": "urn:x-catalog:ml-tasks:image-segmentation",
            "framework": "urn:x-catalog:software:pytorch",
            "format": "urn:x-catalog:formats:onnx",
            "parameters": 7_760_000,
            "runtime": [{"name": "our-runtime", "version": ">=1.17,<2", "accelerator": "cuda"}],
            "inputs": [{"name": "image", "shape": [None, 3, 256, 256], "dtype": "float32"}],
            "outputs": [{"name": "mask", "shape": [None, 256, 256], "dtype": "float32"}],
        },
        "files": [FILE],
    }


@pytest.mark.req("SAGE-STORAGE-25")
async def test_a_registered_object_is_answered_whole_with_its_address_and_revision(
    clients: Clients, project: str
) -> None:
    before = datetime.now(UTC)

    answer = await clients.ingest.post("/api/objects", json=full(project))

    assert answer.status_code == 201
    body = answer.json()
    (ticket,) = body.pop("uploads")
    object_id, created_at = body["id"], body["created_at"]
    assert {name: answer.headers[name] for name in ("location", "etag", "cache-control", "content-type")} == {
        "location": f"/api/objects/{object_id}",
        "etag": '"1"',
        "cache-control": "no-store",
        "content-type": "application/json",
    }
    assert body == full(project) | {
        "id": object_id,
        "schema_version": kinds.known()["model"].schema_version,
        "terms": TERMS,
        "contributors": [],
        "publisher": None,
        "titles": [],
        "language": None,
        "funding": [],
        "identifiers": [],
        "files": [FILE | {"state": "expected", "href": f"/api/objects/{object_id}/files/data/soil.csv"}],
        "files_total": 1,
        "revision": 1,
        "state": "draft",
        "version": None,
        "owner": "ingest",
        "created_at": created_at,
        "updated_at": created_at,
    }
    assert UUID(object_id).version == 7
    assert before <= datetime.fromisoformat(created_at) <= datetime.now(UTC)
    assert {name: ticket[name] for name in ("path", "method", "headers")} == {
        "path": "data/soil.csv",
        "method": "PUT",
        "headers": {
            "content-length": "5",
            "content-type": "text/csv",
            "if-none-match": "*",
            "x-amz-checksum-sha256": "oaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaE=",
        },
    }
    assert await read(clients.anonymous, object_id) == body


async def test_what_is_left_out_of_a_registration_is_answered_with_its_default(clients: Clients, draft: Draft) -> None:
    registered = await register(clients.ingest, draft)

    assert registered == draft | {
        "id": registered["id"],
        "schema_version": kinds.known()["training-dataset"].schema_version,
        "name": None,
        "contributors": [],
        "publisher": None,
        "titles": [],
        "language": None,
        "funding": [],
        "identifiers": [],
        "external": [],
        "subjects": [],
        "terms": {},
        "description": "",
        "creators": [{"type": "person", "name": "Rivera, Ana"}],
        "keywords": [],
        "licence": None,
        "visibility": "private",
        "dates": [],
        "coverage": None,
        "custom": {},
        "metadata": {"labelled": False, "classes": [], "splits": [], "variables": []},
        "files": [],
        "files_total": 0,
        "revision": 1,
        "state": "draft",
        "version": None,
        "owner": "ingest",
        "created_at": registered["created_at"],
        "updated_at": registered["created_at"],
        "uploads": [],
    }


async def test_an_object_has_its_type_and_its_files_media_type_size_hash_birth_and_schema_version(
    clients: Clients, engines: Engines, project: str
) -> None:
    registered = await register(clients.ingest, plain(project, files=[FILE]))
    schema_version = (await clients.anonymous.get("/api/kinds/training-dataset")).json()["schema_version"]

    found = await read(clients.ingest, registered["id"])

    (kept,) = await rows(engines, "SELECT kind, schema_version FROM object WHERE id = :id", id=found["id"])
    assert kept == {"kind": found["kind"], "schema_version": schema_version}
    (file,) = found["files"]
    assert {name: file[name] for name in FILE} == FILE
    assert datetime.fromisoformat(found["created_at"]).tzinfo is not None


async def test_an_object_that_has_not_changed_is_not_sent_again(clients: Clients, draft: Draft) -> None:
    registered = await register(clients.ingest, draft)
    address = f"/api/objects/{registered['id']}"

    async def statuses() -> dict[str, int]:
        tags = ('"1"', 'W/"1"', '"7", "1"', "*", '"2"', "1")
        return {tag: (await clients.ingest.get(address, headers={"If-None-Match": tag})).status_code for tag in tags}

    same = await clients.ingest.get(address, headers={"If-None-Match": '"1"'})
    assert (same.content, same.headers["etag"], same.headers["vary"]) == (b"", '"1"', "Authorization, Accept")
    assert await statuses() == {'"1"': 304, 'W/"1"': 304, '"7", "1"': 304, "*": 304, '"2"': 200, "1": 200}

    await patch(clients.ingest, registered["id"], {"title": "Changed"})

    assert await statuses() == {'"1"': 200, 'W/"1"': 200, '"7", "1"': 200, "*": 304, '"2"': 304, "1": 200}


async def test_head_answers_as_get_does_without_a_body(clients: Clients, draft: Draft) -> None:
    address = f"/api/objects/{(await register(clients.ingest, draft))['id']}"
    got, asked = await clients.ingest.get(address), await clients.ingest.head(address)

    def told(answer: httpx2.Response) -> dict[str, str]:
        return {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}

    assert (asked.status_code, told(asked), asked.content) == (200, told(got), b"")


# Changing


async def test_a_patch_merges_objects_replaces_lists_and_removes_what_is_null(clients: Clients, project: str) -> None:
    registered = await register(clients.ingest, full(project))
    registered.pop("uploads")

    answer = await patch(
        clients.ingest,
        registered["id"],
        {
            "title": "Better",
            "licence": None,
            "keywords": ["only"],
            "coverage": {"temporal": None, "spatial": {"box": None}},
            "custom": {"node": None, "height": {"value": 3}, "depth": 1},
            "metadata": {"framework": None, "task": "Objekterkennung"},
        },
        '"1"',
    )

    changed = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    custom = {name: value for name, value in registered["custom"].items() if name != "node"}
    metadata = {name: value for name, value in registered["metadata"].items() if name != "framework"}
    spatial = registered["coverage"]["spatial"]
    assert changed == registered | {
        "title": "Better",
        "licence": None,
        "keywords": ["only"],
        "coverage": {"spatial": {"place": spatial["place"], "point": spatial["point"]}},
        "custom": custom | {"height": {"value": 3.0, "unit": "m"}, "depth": 1},
        "metadata": metadata | {"task": DETECTION},
        "terms": {"urn:x-catalog:formats:onnx": "Open Neural Network Exchange", DETECTION: "Object detection"},
        "revision": 2,
        "updated_at": changed["updated_at"],
    }
    assert changed["updated_at"] > registered["updated_at"]
    assert await read(clients.anonymous, registered["id"]) == changed


async def test_a_patch_that_changes_nothing_leaves_revision_date_and_history_alone(
    clients: Clients, engines: Engines, draft: Draft
) -> None:
    registered = await register(clients.ingest, draft)
    registered.pop("uploads")

    same = {"title": draft["title"], "kind": draft["kind"], "project": draft["project"], "licence": None, "custom": {}}
    answers = [await patch(clients.ingest, registered["id"], change, '"1"') for change in ({}, same)]

    assert [(answer.status_code, answer.headers["etag"]) for answer in answers] == [(200, '"1"'), (200, '"1"')]
    assert await read(clients.ingest, registered["id"]) == registered
    assert await history(engines, registered["id"]) == [("ingest", "register", None, 1, None)]


async def test_a_change_must_name_the_revision_it_starts_from(clients: Clients, draft: Draft) -> None:
    object_id = (await register(clients.ingest, draft))["id"]
    await patch(clients.ingest, object_id, {"title": "Second"})
    missing = simple(
        "precondition-missing",
        "If-Match is missing",
        428,
        'Send If-Match with the ETag you read, such as If-Match: "3".',
    )
    stale = simple(
        "precondition-failed",
        "Changed in the meantime",
        412,
        'The object is at revision 2; read it again and send If-Match: "2".',
    )

    async def patched(if_match: str | None) -> dict[str, Any]:
        return problem_of(await patch(clients.ingest, object_id, {"title": "Third"}, if_match))

    async def deleted(if_match: str | None) -> dict[str, Any]:
        headers = {} if if_match is None else {"If-Match": if_match}
        return problem_of(await clients.ingest.delete(f"/api/objects/{object_id}", params=BECAUSE, headers=headers))

    for attempt in (patched, deleted):
        assert await attempt(None) == missing
        # A weak tag never matches a change, and what is no tag of ours names no revision of ours.
        for tag in ('"1"', 'W/"2"', "2", '"99999999999999999999"', ""):
            assert await attempt(tag) == stale, tag
    assert (await read(clients.ingest, object_id))["title"] == "Second"
    assert (await patch(clients.ingest, object_id, {"title": "Third"}, '"7", "2"')).status_code == 200


async def test_of_two_changes_from_one_revision_the_first_wins_and_the_second_is_told(
    clients: Clients, engines: Engines, draft: Draft
) -> None:
    object_id = (await register(clients.ingest, draft))["id"]

    answers = await asyncio.gather(
        *(patch(clients.ingest, object_id, {"title": f"Title {number}"}, '"1"') for number in range(8))
    )

    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 7]
    (won,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert (won["revision"], await read(clients.ingest, object_id)) == (2, won)
    assert [entry[1:4] for entry in await history(engines, object_id)] == [("register", None, 1), ("revise", 1, 2)]


async def test_a_patch_with_faults_is_answered_with_all_of_them_and_changes_nothing(
    clients: Clients, draft: Draft
) -> None:
    registered = await register(clients.ingest, draft)
    registered.pop("uploads")

    answer = await patch(
        clients.ingest,
        registered["id"],
        {"kind": "model", "project": "other/place", "files": [], "title": None, "visibility": "pubic", "keyword": []},
    )

    assert problem_of(answer) == invalid(
        ("/kind", "the kind of an object never changes; register a new object"),
        ("/project", "an object stays in its project; register a new object there"),
        ("/files", "declare files by POST to /api/objects/{id}/files"),
        ("/title", "title is required"),
        ("/visibility", "must be one of 'public', 'organization', 'project', 'private' or 'embargoed'", "public"),
        ("/keyword", "there is no field 'keyword' here", "keywords"),
    )
    assert await read(clients.ingest, registered["id"]) == registered


async def test_a_patch_is_a_merge_patch_and_says_so(clients: Clients, draft: Draft) -> None:
    object_id = (await register(clients.ingest, draft))["id"]
    address = f"/api/objects/{object_id}"

    as_json = await clients.ingest.patch(address, json={"title": "x"}, headers={"If-Match": "*"})
    as_list = await patch(clients.ingest, object_id, [{"op": "remove", "path": "/title"}])

    assert problem_of(as_json) == simple(
        "unsupported",
        "Unsupported media type",
        415,
        f"Send the body as Content-Type: {MERGE_PATCH}, not application/json.",
    )
    assert problem_of(as_list) == invalid(
        ("", "a merge patch of an object is a JSON object"),
        detail="The request has faults; each is listed with its place.",
    )


async def test_a_withdrawn_object_is_gone_from_every_place_and_its_history_stays(
    clients: Clients, engines: Engines, project: str
) -> None:
    withdrawn, kept = [
        (await register(clients.ingest, plain(project, visibility="public", files=[FILE])))["id"] for _ in range(2)
    ]

    answer = await clients.ingest.delete(f"/api/objects/{withdrawn}", params=BECAUSE, headers={"If-Match": '"1"'})

    assert (answer.status_code, answer.content) == (204, b"")
    gone = simple(
        "gone",
        "Withdrawn",
        410,
        f"The object {withdrawn} was withdrawn on {datetime.now(UTC):%Y-%m-%d}: {BECAUSE['reason']}",
    )
    address = f"/api/objects/{withdrawn}"
    for by in (clients.ingest, clients.anonymous, clients.admin):
        assert problem_of(await by.get(address)) == gone
        assert problem_of(await by.get(f"{address}/files")) == gone
        assert problem_of(await by.get(f"{address}/files/data/soil.csv")) == gone
    assert problem_of(await patch(clients.ingest, withdrawn, {"title": "back"})) == gone
    assert problem_of(await clients.ingest.delete(address, params=BECAUSE, headers={"If-Match": "*"})) == gone
    wanted = {"object": withdrawn, "path": "data/soil.csv"}
    assert problem_of(await clients.ingest.post("/api/uploads", json=wanted)) == gone
    listed = (await clients.anonymous.get("/api/objects", params={"project": project})).json()
    assert [item["id"] for item in listed["items"]] == [kept]
    assert await history(engines, withdrawn) == [
        ("ingest", "register", None, 1, None),
        ("ingest", "withdraw", 1, 2, BECAUSE),
    ]


async def test_every_change_leaves_who_what_when_and_from_which_revision_to_which(
    clients: Clients, engines: Engines, draft: Draft
) -> None:
    before = datetime.now(UTC)
    object_id = (await register(clients.ingest, draft | {"files": [FILE]}))["id"]
    address = f"/api/objects/{object_id}"
    await patch(clients.curator, object_id, {"title": "Curated", "licence": "mit"})
    more = {"files": [FILE | {"path": "more.csv"}]}
    await clients.ingest.post(f"{address}/files", json=more, headers={"If-Match": "*"})
    await clients.admin.delete(f"{address}/files/more.csv", headers={"If-Match": "*"})
    # What only reads, and what is refused, leaves nothing.
    await read(clients.ingest, object_id)
    await patch(clients.ingest, object_id, {"title": "stale"}, '"1"')
    await patch(clients.other, object_id, {"title": "not mine"})

    assert await history(engines, object_id) == [
        ("ingest", "register", None, 1, None),
        (
            "curator",
            "revise",
            1,
            2,
            {"licence": {"from": None, "to": "MIT"}, "title": {"from": "Soil moisture", "to": "Curated"}},
        ),
        ("ingest", "declare files", 2, 3, {"files": ["more.csv"]}),
        ("admin", "remove file", 3, 4, {"files": ["more.csv"]}),
    ]
    times = [row["at"] for row in await rows(engines, "SELECT at FROM audit WHERE object_id = :id", id=object_id)]
    assert before <= min(times) <= max(times) <= datetime.now(UTC)


# Idempotency-Key


async def test_a_repeated_registration_makes_nothing_twice_and_answers_fresh_tickets(
    clients: Clients, engines: Engines, project: str
) -> None:
    body = plain(project, files=[FILE])
    first = await register(clients.ingest, body, **{"Idempotency-Key": project})

    again = await register(clients.ingest, body, **{"Idempotency-Key": project})

    (old,), (fresh,) = first.pop("uploads"), again.pop("uploads")
    assert again == first
    assert (fresh["path"], fresh["headers"]) == (old["path"], old["headers"])
    assert len({old["id"], fresh["id"]}) == len({old["url"], fresh["url"]}) == 2
    assert await history(engines, first["id"]) == [("ingest", "register", None, 1, None)]
    listed = (await clients.ingest.get("/api/objects", params={"project": project})).json()
    assert [item["id"] for item in listed["items"]] == [first["id"]]


async def test_an_idempotency_key_stands_for_one_request_of_one_principal(clients: Clients, draft: Draft) -> None:
    key = {"Idempotency-Key": draft["project"]}
    mine = await register(clients.ingest, draft, **key)

    otherwise = await clients.ingest.post("/api/objects", json=draft | {"title": "Other"}, headers=key)
    theirs = await register(clients.other, draft, **key)

    assert problem_of(otherwise) == simple(
        "unprocessable",
        "Contradicts what is recorded",
        422,
        f"The Idempotency-Key was used for another request, which made the object {mine['id']}; take a new key.",
    )
    assert (mine["owner"], theirs["owner"], mine["id"] != theirs["id"]) == ("ingest", "other", True)


async def test_a_refused_registration_does_not_use_up_its_key(clients: Clients, draft: Draft) -> None:
    key = {"Idempotency-Key": draft["project"]}
    refused = [
        await clients.ingest.post("/api/objects", json=draft | {"title": ""}, headers=key),
        await clients.ingest.post("/api/objects", json=bundle(draft, ABSENT), headers=key),
    ]

    assert [answer.status_code for answer in refused] == [400, 422]
    assert (await register(clients.ingest, draft, **key))["title"] == draft["title"]


async def test_registrations_with_one_key_at_once_make_one_object(
    clients: Clients, engines: Engines, draft: Draft
) -> None:
    key = {"Idempotency-Key": draft["project"]}

    answers = await asyncio.gather(*(register(clients.ingest, draft, **key) for _ in range(8)))

    kept = await rows(engines, "SELECT id::text FROM object WHERE project = :project", project=draft["project"])
    assert {answer["id"] for answer in answers} == {row["id"] for row in kept}
    assert len(kept) == 1


# Listing


async def walk(client: httpx2.AsyncClient, address: str) -> list[list[str]]:
    """Follow the Link headers from page to page; return the ids on each."""
    pages = []
    while True:
        answer = await client.get(address)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        pages.append([item["id"] for item in page["items"]])
        if "next" not in answer.links:
            assert page["cursor"] is None
            return pages
        assert page["cursor"] in answer.links["next"]["url"]
        address = urljoin(str(answer.url), answer.links["next"]["url"])


async def test_paging_walks_every_object_once_newest_first_whatever_is_registered_meanwhile(
    clients: Clients, project: str
) -> None:
    ids = [(await register(clients.ingest, plain(project, visibility="public")))["id"] for _ in range(7)]
    first = (await clients.anonymous.get("/api/objects", params={"project": project, "limit": 3})).json()
    await register(clients.ingest, plain(project, visibility="public"))

    rest = await walk(clients.anonymous, f"/api/objects?project={project}&limit=3&cursor={first['cursor']}")

    assert [[item["id"] for item in first["items"]], *rest] == [ids[6:3:-1], ids[3:0:-1], ids[:1]]


async def test_a_last_page_that_is_full_is_the_last(clients: Clients, project: str) -> None:
    ids = [(await register(clients.ingest, plain(project, visibility="public")))["id"] for _ in range(4)]

    assert await walk(clients.anonymous, f"/api/objects?project={project}&limit=2") == [ids[:1:-1], ids[1::-1]]
    assert await walk(clients.anonymous, f"/api/objects?project={project}-none") == [[]]


async def test_the_link_to_the_next_page_holds_behind_any_proxy(clients: Clients, project: str) -> None:
    for _ in range(2):
        await register(clients.ingest, plain(project, visibility="public"))

    asked: dict[str, Any] = {"project": project, "limit": 1}
    answer = await clients.anonymous.get("/api/objects", params=asked, headers={"Host": "elsewhere.example"})

    cursor = answer.json()["cursor"]
    query = urlencode(asked | {"cursor": cursor})
    assert answer.headers["link"] == f'</api/objects?{query}>; rel="next"'


async def test_a_cursor_fits_only_the_caller_and_the_question_it_was_made_for(clients: Clients, project: str) -> None:
    for _ in range(2):
        await register(clients.ingest, plain(project, visibility="public"))
    asked: dict[str, Any] = {"project": project, "limit": 1}
    cursor = (await clients.ingest.get("/api/objects", params=asked)).json()["cursor"]
    searched = (await clients.ingest.get("/api/search", params={"limit": 1})).json()["cursor"]
    refused = invalid(
        ("/cursor", "this cursor belongs to another question or caller, or was altered; start without a cursor"),
        detail="The cursor does not fit.",
    )

    async def answer_to(client: httpx2.AsyncClient, **params: Any) -> Any:
        answer = await client.get("/api/objects", params=asked | {"cursor": cursor} | params)
        return problem_of(answer) if answer.is_error else answer.json()["items"][0]["project"]

    swapped = cursor[:20] + ("A" if cursor[20] != "A" else "B") + cursor[21:]
    assert await answer_to(clients.ingest) == project
    assert await answer_to(clients.ingest, limit=100) == project
    assert await answer_to(clients.other) == refused
    assert await answer_to(clients.anonymous) == refused
    assert await answer_to(clients.ingest, mine=True) == refused
    assert await answer_to(clients.ingest, project="noise/public") == refused
    assert await answer_to(clients.ingest, kind="model") == refused
    for altered in (swapped, cursor[:-1], cursor + "AAAA", searched, "nonsense", "", "é"):
        assert await answer_to(clients.ingest, cursor=altered) == refused, altered


async def test_a_listing_is_narrowed_by_kind_project_and_owner_alone_and_together(
    clients: Clients, project: str
) -> None:
    model: Draft = {"kind": "model", "metadata": {}}
    elsewhere = f"{project}-b"
    named = {
        "mine": await register(clients.ingest, plain(project)),
        "my model": await register(clients.ingest, plain(project, **model)),
        "my other": await register(clients.ingest, plain(elsewhere)),
        "theirs": await register(clients.other, plain(project, visibility="public")),
        "their secret": await register(clients.other, plain(project, **model)),
    }

    async def listed(client: httpx2.AsyncClient, **asked: Any) -> list[str]:
        answer = (await client.get("/api/objects", params={"limit": 100, **asked})).json()
        ids = {item["id"] for item in answer["items"]}
        return [name for name, one in named.items() if one["id"] in ids]

    assert await listed(clients.ingest, project=project) == ["mine", "my model", "theirs"]
    assert await listed(clients.ingest, project=project, kind="model") == ["my model"]
    assert await listed(clients.ingest, project=project, mine=True) == ["mine", "my model"]
    assert await listed(clients.ingest, project=elsewhere) == ["my other"]
    assert await listed(clients.ingest, mine=True) == ["mine", "my model", "my other"]
    assert await listed(clients.other, project=project, kind="model", mine=True) == ["their secret"]
    assert await listed(clients.anonymous, project=project) == ["theirs"]
    assert await listed(clients.reader, project=project) == ["theirs"]
    assert await listed(clients.reader, mine=True) == []
    for sees_all in (clients.curator, clients.admin):
        assert await listed(sees_all, project=project) == ["mine", "my model", "theirs", "their secret"]
    unknown = await clients.anonymous.get("/api/objects", params={"mine": True})
    assert problem_of(unknown) == simple(
        "unauthenticated",
        "Who are you?",
        401,
        "This needs a bearer token; send it as `Authorization: Bearer <token>`.",
    )


async def test_a_listing_shows_the_first_ten_files_and_says_how_many_there_are(clients: Clients, project: str) -> None:
    paths = [f"{number:02}.csv" for number in range(12)]
    await register(clients.ingest, plain(project, files=[FILE | {"path": path} for path in reversed(paths)]))

    (item,) = (await clients.ingest.get("/api/objects", params={"project": project})).json()["items"]

    assert ([file["path"] for file in item["files"]], item["files_total"]) == (paths[:10], 12)
    whole = await clients.ingest.get(f"/api/objects/{item['id']}/files")
    assert [file["path"] for file in whole.json()["items"]] == paths


# Who may do what


@pytest.mark.req("MWM-SADD-26")
async def test_unauthenticated_forbidden_and_hidden_are_three_different_problems(
    clients: Clients, draft: Draft
) -> None:
    private = (await register(clients.ingest, draft))["id"]
    public = (await register(clients.ingest, draft | {"visibility": "public"}))["id"]
    unknown = {"Authorization": "Bearer cat_nobody"}

    without = await clients.anonymous.post("/api/objects", json=draft)
    wrong = await clients.anonymous.get(f"/api/objects/{public}", headers=unknown)
    forbidden = await patch(clients.other, public, {"title": "mine"})
    hidden = await patch(clients.other, private, {"title": "mine"})

    needs = "This needs a bearer token; send it as `Authorization: Bearer <token>`."
    assert problem_of(without) == simple("unauthenticated", "Who are you?", 401, needs)
    assert without.headers["www-authenticate"] == 'Bearer realm="catalog"'
    assert problem_of(wrong) == UNKNOWN_TOKEN
    assert wrong.headers["www-authenticate"] == 'Bearer realm="catalog", error="invalid_token"'
    assert problem_of(forbidden) == simple(
        "forbidden",
        "Not allowed",
        403,
        "You may read this object but not change it: it belongs to another principal.",
    )
    assert problem_of(hidden) == not_found(f"There is no object {private} that you may see.")


@pytest.mark.req("MWM-SADD-27")
async def test_a_hidden_object_and_an_absent_one_are_not_told_apart(clients: Clients, project: str) -> None:
    hidden = (await register(clients.ingest, plain(project, files=[FILE])))["id"]

    async def answers(client: httpx2.AsyncClient, object_id: str) -> list[dict[str, Any]]:
        address = f"/api/objects/{object_id}"
        asked = [
            await client.get(address),
            await client.get(f"{address}/files"),
            await client.get(f"{address}/files/data/soil.csv"),
            await patch(client, object_id, {"title": "x"}),
            await client.delete(address, params=BECAUSE, headers={"If-Match": "*"}),
            await client.post(f"{address}/files", json={"files": [FILE]}, headers={"If-Match": "*"}),
            await client.delete(f"{address}/files/data/soil.csv", headers={"If-Match": "*"}),
            await client.post("/api/uploads", json={"object": object_id, "path": "data/soil.csv"}),
        ]
        told = [problem_of(answer) for answer in asked]
        return [one | {"detail": one["detail"].replace(object_id, "<id>")} for one in told]

    for stranger in (clients.other, clients.reader):
        hidden_told, absent_told = await answers(stranger, hidden), await answers(stranger, ABSENT)
        assert hidden_told == absent_told == [not_found("There is no object <id> that you may see.")] * 8
    assert (await answers(clients.anonymous, hidden))[:3] == (await answers(clients.anonymous, ABSENT))[:3]
    nothing = await clients.anonymous.get("/api/objects/none")
    assert problem_of(nothing) == not_found(f"'none' is not an id; ids look like {ABSENT}.")


async def test_each_role_may_do_exactly_what_it_is_for(clients: Clients, project: str) -> None:
    async def outcome(role: str) -> dict[str, int]:
        """Let a role register, and try everything on a public and a private object of the ingest service."""
        client: httpx2.AsyncClient = getattr(clients, role)
        public = (await register(clients.ingest, plain(project, visibility="public")))["id"]
        private = (await register(clients.ingest, plain(project)))["id"]
        any_revision = {"If-Match": "*"}
        tried = {"register": await client.post("/api/objects", json=plain(project))}
        for name, object_id in {"public": public, "private": private}.items():
            address = f"/api/objects/{object_id}"
            files = {"files": [FILE]}
            tried[f"read {name}"] = await client.get(address)
            tried[f"revise {name}"] = await patch(client, object_id, {"title": "Changed"})
            tried[f"declare {name}"] = await client.post(f"{address}/files", json=files, headers=any_revision)
            tried[f"withdraw {name}"] = await client.delete(address, params=BECAUSE, headers=any_revision)
        return {deed: answer.status_code for deed, answer in tried.items()}

    def matrix(register: int, *others: int) -> dict[str, int]:
        done = ("read", "revise", "declare", "withdraw")
        deeds = [f"{deed} {name}" for name in ("public", "private") for deed in done]
        return dict(zip(["register", *deeds], [register, *others], strict=True))

    everything = matrix(201, 200, 200, 201, 204, 200, 200, 201, 204)
    assert {role: await outcome(role) for role in ("admin", "curator", "ingest", "other", "reader", "anonymous")} == {
        "admin": everything,
        "curator": everything,
        "ingest": everything,
        "other": matrix(201, 200, 403, 403, 403, 404, 404, 404, 404),
        "reader": matrix(403, 200, 403, 403, 403, 404, 404, 404, 404),
        "anonymous": matrix(401, 200, 401, 401, 401, 404, 401, 401, 401),
    }


@pytest.mark.req("MWM-SADD-24")
async def test_a_token_is_kept_as_a_digest_and_ends_when_it_is_revoked_or_expires(
    clients: Clients, engines: Engines
) -> None:
    lasting = {"good": timedelta(hours=1), "revoked": None, "expired": timedelta(seconds=-1)}
    async with engines.database.transaction() as session:
        tokens = {
            name: (await principals.create_token(session, name="ends", role=Role.READER, expires=expires))[1]
            for name, expires in lasting.items()
        }

    async def statuses() -> dict[str, int]:
        sent = {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}
        return {
            name: (await clients.anonymous.get("/api/objects", headers=headers)).status_code
            for name, headers in sent.items()
        }

    assert await statuses() == {"good": 200, "revoked": 200, "expired": 401}
    digest = hashlib.sha256(tokens["revoked"].encode()).digest()
    (kept,) = await rows(engines, "SELECT id FROM token WHERE digest = :digest", digest=digest)
    async with engines.database.transaction() as session:
        await principals.revoke_token(session, kept["id"])

    assert await statuses() == {"good": 200, "revoked": 401, "expired": 401}
    text = await as_text(engines)
    assert [name for name, token in (tokens | clients.live.tokens).items() if token in text] == []


# Bundles, and other references

REFUSED_REFERENCES = "The request names objects that are not there or do not fit."


def bundle(draft: Draft, *members: str | dict[str, Any]) -> Draft:
    """Return a bundle of these members; an id alone stands for an object."""
    told = [{"type": "object", "id": member} if isinstance(member, str) else member for member in members]
    return draft | {"kind": "ecr-bundle", "metadata": {"version": "1.0", "members": told}}


@pytest.mark.req("SAGE-STORAGE-18")
async def test_a_bundle_keeps_its_typed_members_in_their_order(clients: Clients, draft: Draft) -> None:
    model, data = [(await register(clients.ingest, draft))["id"] for _ in range(2)]
    members = [
        {"type": "image", "reference": "edge/cloud-cover:1.2", "platforms": ["linux/arm64"], "role": "runtime"},
        {"type": "object", "id": data, "role": "data"},
        {
            "type": "git",
            "url": "https://git.example.org/a.git",
            "commit": "9f" * 20,
            "directory": "src",
            "name": "code",
        },
        {"type": "object", "id": model, "role": "model"},
        {"type": "image", "reference": f"edge/cloud-cover@sha256:{'30' * 32}", "platforms": []},
        {"type": "url", "url": "https://example.org/manual?lang=en#top"},
        {"type": "object", "id": data},
    ]

    registered = await register(clients.ingest, bundle(draft, *members))

    assert (await read(clients.ingest, registered["id"]))["metadata"]["members"] == members
    turned = await patch(clients.ingest, registered["id"], {"metadata": {"members": members[::-1]}})
    assert turned.json()["metadata"]["members"] == members[::-1]


@pytest.mark.req("SAGE-STORAGE-18")
async def test_members_that_are_absent_hidden_or_withdrawn_are_named_alike(clients: Clients, draft: Draft) -> None:
    mine, theirs, withdrawn = [
        (await register(client, draft))["id"] for client in (clients.ingest, clients.other, clients.ingest)
    ]
    await clients.ingest.delete(f"/api/objects/{withdrawn}", params=BECAUSE, headers={"If-Match": "*"})

    answer = await clients.ingest.post("/api/objects", json=bundle(draft, theirs, mine, ABSENT, withdrawn))

    refused = simple("unprocessable", "Contradicts what is recorded", 422, REFUSED_REFERENCES)
    assert problem_of(answer) == refused | {
        "errors": [
            {"pointer": f"/metadata/members/{place}/id", "message": f"there is no object {object_id} that you may see"}
            for place, object_id in ((0, theirs), (2, ABSENT), (3, withdrawn))
        ]
    }
    kept = (await register(clients.ingest, bundle(draft, mine)))["id"]
    changed = await patch(clients.ingest, kept, {"metadata": {"members": [{"type": "object", "id": theirs}]}})
    assert problem_of(changed)["errors"][0]["pointer"] == "/metadata/members/0/id"
    # Who may see both may join them.
    assert (await register(clients.curator, bundle(draft, mine, theirs)))["owner"] == "curator"


@pytest.mark.req("SAGE-STORAGE-18")
async def test_the_members_of_a_bundle_are_resolved_for_whoever_asks(clients: Clients, draft: Draft) -> None:
    shown, hidden, withdrawn = [
        await register(clients.ingest, draft | {"title": title, "visibility": visibility})
        for title, visibility in (("Shown", "public"), ("Hidden", "private"), ("Withdrawn", "public"))
    ]
    image = {"type": "image", "reference": "edge/app:1.2", "platforms": [], "role": "runtime"}
    members = [hidden["id"], {"type": "object", "id": shown["id"], "role": "data"}, image, withdrawn["id"]]
    made = await register(clients.ingest, bundle(draft, *members) | {"visibility": "public"})
    await clients.ingest.delete(f"/api/objects/{withdrawn['id']}", params=BECAUSE, headers={"If-Match": "*"})

    async def told(client: httpx2.AsyncClient) -> list[tuple[Any, ...]]:
        answer = await client.get(f"/api/objects/{made['id']}/members")
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        assert [item["position"] for item in items] == list(range(len(members)))
        return [(item["state"], item["title"], item["kind"], item["href"]) for item in items]

    def seen(one: dict[str, Any]) -> tuple[Any, ...]:
        return "there", one["title"], one["kind"], f"/api/objects/{one['id']}"

    nothing = (None, None, None)
    outside = ("outside", *nothing)
    assert await told(clients.ingest) == [seen(hidden), seen(shown), outside, ("away", *nothing)]
    assert await told(clients.anonymous) == [("away", *nothing), seen(shown), outside, ("away", *nothing)]
    first = (await clients.anonymous.get(f"/api/objects/{made['id']}/members")).json()["items"][2]
    assert first["member"] == image


async def test_only_a_bundle_has_members(clients: Clients, draft: Draft) -> None:
    made = await register(clients.ingest, draft)

    answer = await clients.ingest.get(f"/api/objects/{made['id']}/members")

    assert problem_of(answer) == simple(
        "not-found", "Not found", 404, f"A {draft['kind']} has no members; only an ecr-bundle has."
    )


@pytest.mark.req("SAGE-STORAGE-13", "SAGE-STORAGE-14")
async def test_a_reference_to_another_kind_than_belongs_there_is_refused(clients: Clients, draft: Draft) -> None:
    data = await register(clients.ingest, draft)
    model = await register(clients.ingest, draft | {"kind": "model", "metadata": {}})

    async def registering(kind: str, **metadata: Any) -> httpx2.Response:
        return await clients.ingest.post("/api/objects", json=draft | {"kind": kind, "metadata": metadata})

    wrong = [await registering("weights", model=data["id"]), await registering("labels", dataset=model["id"])]
    absent = [await registering("weights", model=ABSENT), await registering("labels", dataset=ABSENT)]
    right = [await registering("weights", model=model["id"]), await registering("labels", dataset=data["id"])]

    assert [problem_of(answer)["errors"] for answer in wrong] == [
        [
            {
                "pointer": "/metadata/model",
                "message": f"the object {data['id']} is of the kind training-dataset; here belongs model",
            }
        ],
        [
            {
                "pointer": "/metadata/dataset",
                "message": (
                    f"the object {model['id']} is of the kind model; "
                    "here belongs training-dataset or sensor-data or sensor-blob"
                ),
            }
        ],
    ]
    assert [answer.status_code for answer in (*wrong, *absent, *right)] == [422] * 4 + [201] * 2


async def test_what_was_named_before_it_was_hidden_hinders_no_other_change(clients: Clients, draft: Draft) -> None:
    theirs = (await register(clients.other, draft | {"visibility": "public"}))["id"]
    made = await register(clients.ingest, bundle(draft, theirs))
    hidden = await clients.other.patch(
        f"/api/objects/{theirs}",
        content=b'{"visibility": "private"}',
        headers={"If-Match": "*", "Content-Type": "application/merge-patch+json"},
    )
    assert hidden.status_code == 200

    changed = await patch(clients.ingest, made["id"], {"title": "A better title"})

    assert (changed.status_code, changed.json()["title"]) == (200, "A better title")


@pytest.mark.req("SAGE-STORAGE-20")
async def test_a_tag_without_a_digest_is_accepted_with_a_warning(clients: Clients, draft: Draft) -> None:
    image = draft | {"kind": "docker-image", "metadata": {"reference": "edge/app:1.2", "platforms": ["linux/arm64"]}}

    registered = await register(clients.ingest, image)
    pinned = await patch(clients.ingest, registered["id"], {"metadata": {"reference": f"edge/app@sha256:{'ab' * 32}"}})

    assert registered["warnings"] == [
        {
            "pointer": "/metadata/reference",
            "message": "a tag can be moved to another image: name the digest as well",
            "suggestion": "edge/app:1.2@sha256:<64 hex digits>",
        }
    ]
    assert (pinned.status_code, "warnings" in pinned.json()) == (200, False)

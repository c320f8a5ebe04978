"""Publishing, reading what was published whatever happened since, comparing, withdrawing, and the history of it all."""

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from tests.api.conftest import BECAUSE, Stored, patch, plain, read, register
from tests.api.problems import invalid, not_found, problem_of, simple
from tests.api.uploads import (
    bring,
    declared,
    download,
    key_of,
    overwrite,
    send,
    sha256,
    shown,
    until,
    uploaded,
)
from tests.conftest import Clients, eventually

CSV = b"day,moisture\n1,0.31\n2,0.29\n"
BETTER = b"day,moisture\n1,0.30\n2,0.28\n"
FOREIGN = b"day,moisture\n9,9.99\n9,9.99\n"
ANY = {"If-Match": "*"}


@pytest.fixture
def ingest(stored: Stored) -> httpx2.AsyncClient:
    """The service that uploads and publishes."""
    client: httpx2.AsyncClient = stored.clients.ingest
    return client


async def publish(client: httpx2.AsyncClient, object_id: str, **said: str) -> dict[str, Any]:
    """Publish an object that can be."""
    answer = await client.post(f"/api/objects/{object_id}/versions", json=said, headers=ANY)
    assert answer.status_code == 201, answer.text
    published: dict[str, Any] = answer.json()
    return published


async def version(client: httpx2.AsyncClient, object_id: str, name: int | str, **asked: str) -> dict[str, Any]:
    """Read a version that is there."""
    answer = await client.get(f"/api/objects/{object_id}/versions/{name}", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(client: httpx2.AsyncClient, object_id: str) -> dict[str, Any]:
    """List the versions."""
    found: dict[str, Any] = (await client.get(f"/api/objects/{object_id}/versions")).json()
    return found


async def fetch(client: httpx2.AsyncClient, object_id: str, name: int | str, path: str) -> bytes:
    """Follow a version's link to the store."""
    answer = await client.get(f"/api/objects/{object_id}/versions/{name}/files/{path}")
    assert answer.status_code == 307, answer.text
    return (await send("GET", answer.headers["location"])).content


async def test_a_version_stays_as_it_was_published_while_the_object_goes_on(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    made = await uploaded(ingest, plain(project, visibility="public", title="Soil"), {"soil.csv": CSV})
    object_id = made["id"]
    assert (made["state"], made["version"]) == ("draft", None)

    answer = await ingest.post(
        f"/api/objects/{object_id}/versions",
        json={"label": "2.1.0", "note": "The first season."},
        headers={"If-Match": f'"{made["revision"]}"'},
    )

    published = answer.json()
    told = published["version"]
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/objects/{object_id}/versions/1"
    assert answer.headers["etag"] == f'"{made["revision"] + 1}"'
    assert told == {
        "number": 1,
        "label": "2.1.0",
        "state": "published",
        "note": "The first season.",
        "revision": made["revision"] + 1,
        "published_at": told["published_at"],
        "published_by": "ingest",
        "withdrawn_at": None,
        "reason": None,
        "href": f"/api/objects/{object_id}/versions/1",
    }
    assert (await read(ingest, object_id))["version"] == 1

    await patch(ingest, object_id, {"title": "Soil, mended", "keywords": ["rain"]})
    redeclared = await ingest.post(
        f"/api/objects/{object_id}/files", json={"files": [declared("soil.csv", BETTER)]}, headers=ANY
    )
    await bring(redeclared.json()["uploads"], {"soil.csv": BETTER})
    for ticket in redeclared.json()["uploads"]:
        await ingest.post(f"/api/uploads/{ticket['id']}/complete")
    await until(ingest, object_id, "soil.csv", sha256=sha256(BETTER), state="available")

    for name in (1, "2.1.0", "latest"):
        for anybody in (ingest, stored.clients.anonymous):
            found = await version(anybody, object_id, name)
            assert found == published
            assert await fetch(anybody, object_id, name, "soil.csv") == CSV
    frozen = shown(object_id, "soil.csv", CSV) | {"href": f"/api/objects/{object_id}/versions/1/files/soil.csv"}
    assert published["files"] == [frozen]
    assert published["description"]["title"] == "Soil"
    assert (await download(ingest, object_id, "soil.csv")).content == BETTER
    assert await listed(ingest, object_id) == {"items": [told], "latest": 1, "changed": True}


async def test_what_differs_between_versions_is_told_field_by_field(ingest: httpx2.AsyncClient, project: str) -> None:
    made = await uploaded(ingest, plain(project, keywords=["rain"]), {"a.csv": CSV, "b.csv": CSV})
    object_id = made["id"]
    await publish(ingest, object_id)
    await patch(ingest, object_id, {"title": "Soil moisture 2", "keywords": ["rain", "soil"], "licence": "MIT"})
    await ingest.delete(f"/api/objects/{object_id}/files/b.csv", headers=ANY)

    answer = await ingest.get(f"/api/objects/{object_id}/versions/1/diff/draft")

    gone = {"size": len(CSV), "sha256": sha256(CSV), "media_type": "application/octet-stream"}
    assert answer.json() == {
        "before": "1",
        "after": "draft",
        "items": [
            {"pointer": "/keywords/1", "change": "added", "before": None, "after": "soil"},
            {"pointer": "/licence", "change": "added", "before": None, "after": "MIT"},
            {"pointer": "/title", "change": "changed", "before": "Soil moisture", "after": "Soil moisture 2"},
            {"pointer": "/files/b.csv", "change": "removed", "before": gone, "after": None},
        ],
    }
    await publish(ingest, object_id)
    back = (await ingest.get(f"/api/objects/{object_id}/versions/latest/diff/1")).json()
    assert (back["before"], back["after"], len(back["items"])) == ("2", "1", 4)
    assert (await ingest.get(f"/api/objects/{object_id}/versions/2/diff/draft")).json()["items"] == []
    assert (await listed(ingest, object_id))["changed"] is False


async def test_bytes_overwritten_after_publishing_are_flagged_and_never_served_silently(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    body = plain(project, visibility="public", files=[declared("soil.csv", CSV)])
    made = await register(ingest, body)
    (ticket,) = made["uploads"]
    await bring(made["uploads"], {"soil.csv": CSV})
    await ingest.post(f"/api/uploads/{ticket['id']}/complete")
    await until(ingest, made["id"], "soil.csv", state="available")
    await publish(ingest, made["id"])
    key = await key_of(stored.engines, ticket)

    # By the store's own credentials, past every ticket; the store's own notification tells.
    await overwrite(stored.live.settings, key, FOREIGN)

    async def flagged() -> dict[str, Any]:
        (file,) = (await version(ingest, made["id"], 1))["files"]
        return file if file["state"] == "overwritten" else {}

    file = await eventually(flagged)
    assert file["found"] == {"size": len(FOREIGN), "sha256": sha256(FOREIGN)}
    assert await fetch(stored.clients.anonymous, made["id"], 1, "soil.csv") == CSV
    changes = (await ingest.get(f"/api/objects/{made['id']}/history")).json()["items"]
    found = next(one for one in changes if one["action"] == "version file overwritten")
    assert (found["by"], found["changes"]) == (None, {"version": 1, "files": ["soil.csv"]})


async def test_published_bytes_that_the_store_has_no_longer_are_told_lost_and_not_linked(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    made = await uploaded(ingest, plain(project), {"soil.csv": CSV, "kept.csv": BETTER})
    await publish(ingest, made["id"])
    ticket = next(one for one in made["uploads"] if one["path"] == "soil.csv")
    key = await key_of(stored.engines, ticket)
    there = await stored.engines.store.stat(key)
    assert there is not None

    await stored.engines.store.remove(key, there.version_id)
    await ingest.post(f"/api/uploads/{ticket['id']}/complete")

    async def states() -> dict[str, str]:
        found = {file["path"]: file["state"] for file in (await version(ingest, made["id"], 1))["files"]}
        return found if found["soil.csv"] != "available" else {}

    assert await eventually(states) == {"kept.csv": "available", "soil.csv": "lost"}
    refused = await ingest.get(f"/api/objects/{made['id']}/versions/1/files/soil.csv")
    assert problem_of(refused) == simple(
        "conflict",
        "In conflict with the present state",
        409,
        "The store has no longer the bytes of 'soil.csv' that were published as version 1.",
    )
    assert await fetch(ingest, made["id"], 1, "kept.csv") == BETTER


async def test_only_what_has_all_its_bytes_and_something_new_is_published(
    ingest: httpx2.AsyncClient, project: str
) -> None:
    waiting = await register(ingest, plain(project, files=[declared("a.csv", CSV), declared("b.csv", BETTER)]))
    address = f"/api/objects/{waiting['id']}/versions"

    missing = await ingest.post(address, json={}, headers=ANY)

    assert problem_of(missing) == simple(
        "unprocessable",
        "Contradicts what is recorded",
        422,
        "Only an object whose bytes have all arrived can be published.",
    ) | {
        "errors": [
            {
                "pointer": f"/files/{place}",
                "message": f"the bytes of '{name}' are expected",
                "suggestion": "upload them, or take the file out",
            }
            for place, name in enumerate(["a.csv", "b.csv"])
        ]
    }
    assert (await listed(ingest, waiting["id"])) == {"items": [], "latest": None, "changed": True}

    there = await register(ingest, plain(project))
    await publish(ingest, there["id"], label="v1")
    address = f"/api/objects/{there['id']}/versions"
    again = await ingest.post(address, json={}, headers=ANY)
    assert problem_of(again) == simple(
        "conflict", "In conflict with the present state", 409, "Nothing has changed since version 1."
    )
    await patch(ingest, there["id"], {"title": "Another"})
    taken = await ingest.post(address, json={"label": "v1"}, headers=ANY)
    assert problem_of(taken)["detail"] == "Version 1 has the label 'v1' already; take another one."
    for label in ("7", "latest", "draft"):
        refused = await ingest.post(address, json={"label": label}, headers=ANY)
        told = "take a label that is neither a bare number nor latest nor draft, such as 2.1.0 or v2"
        assert problem_of(refused) == invalid(("/label", told))
    stale = await ingest.post(address, json={}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert (await ingest.post(address, json={})).status_code == 428


async def test_a_withdrawn_version_says_why_and_the_newest_left_is_the_latest(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    made = await uploaded(ingest, plain(project, visibility="public"), {"soil.csv": CSV})
    object_id = made["id"]
    await publish(ingest, object_id)
    await patch(ingest, object_id, {"title": "Soil 2"})
    await publish(ingest, object_id, label="two")

    without = await ingest.delete(f"/api/objects/{object_id}/versions/two", headers=ANY)
    done = await ingest.delete(f"/api/objects/{object_id}/versions/two", params=BECAUSE, headers=ANY)

    assert problem_of(without)["errors"][0]["pointer"] == "/reason"
    assert (done.status_code, done.content) == (204, b"")
    gone = simple(
        "gone", "Withdrawn", 410, f"Version 2 was withdrawn on {datetime.now(UTC):%Y-%m-%d}: {BECAUSE['reason']}"
    )
    for tail in ("", "/diff/1", "/files/soil.csv"):
        answer = await stored.clients.anonymous.get(f"/api/objects/{object_id}/versions/2{tail}")
        assert problem_of(answer) == gone
    assert (await version(ingest, object_id, "latest"))["version"]["number"] == 1
    kept = await listed(stored.clients.anonymous, object_id)
    assert [(one["number"], one["state"], one["reason"]) for one in kept["items"]] == [
        (1, "published", None),
        (2, "withdrawn", BECAUSE["reason"]),
    ]
    assert (kept["latest"], (await read(ingest, object_id))["version"]) == (1, 1)
    await patch(ingest, object_id, {"title": "Soil 3"})
    # A number is never given twice.
    assert (await publish(ingest, object_id))["version"]["number"] == 3


async def test_an_object_is_read_as_it_was_published_on_a_date(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    object_id = (await register(ingest, plain(project, visibility="public", title="First")))["id"]
    before = datetime.now(UTC).isoformat()
    await publish(ingest, object_id)
    between = datetime.now(UTC).isoformat()
    await patch(ingest, object_id, {"title": "Second"})
    await publish(ingest, object_id)

    async def title(at: str) -> str:
        found = await version(stored.clients.anonymous, object_id, "latest", at=at)
        return str(found["description"]["title"])

    assert [await title(at) for at in (between, datetime.now(UTC).isoformat())] == ["First", "Second"]
    nothing = await ingest.get(f"/api/objects/{object_id}/versions/latest", params={"at": before})
    told = f"The object has no version 'latest'; GET /api/objects/{object_id}/versions lists those that it has."
    assert problem_of(nothing) == not_found(told)
    local = await ingest.get(f"/api/objects/{object_id}/versions/latest", params={"at": "2026-01-01T00:00:00"})
    assert problem_of(local)["errors"][0]["pointer"] == "/at"


async def test_the_history_tells_who_changed_what_from_which_revision(clients: Clients, project: str) -> None:
    object_id = (await register(clients.ingest, plain(project, visibility="public")))["id"]
    await patch(clients.ingest, object_id, {"title": "Second", "licence": "MIT"})
    await patch(clients.curator, object_id, {"licence": None, "keywords": ["rain"]})
    await publish(clients.ingest, object_id)
    await clients.ingest.delete(f"/api/objects/{object_id}", params=BECAUSE, headers=ANY)

    first = await clients.ingest.get(f"/api/objects/{object_id}/history", params={"limit": 3})
    rest = await clients.ingest.get(first.headers["link"].partition(">")[0].removeprefix("<"))

    told = [*first.json()["items"], *rest.json()["items"]]
    assert [(one["by"], one["action"], one["from_revision"], one["to_revision"], one["changes"]) for one in told] == [
        ("ingest", "withdraw", 4, 5, BECAUSE),
        ("ingest", "publish", 3, 4, {"version": {"from": None, "to": 1}}),
        (
            "curator",
            "revise",
            2,
            3,
            {"keywords": {"from": [], "to": ["rain"]}, "licence": {"from": "MIT", "to": None}},
        ),
        (
            "ingest",
            "revise",
            1,
            2,
            {"licence": {"from": None, "to": "MIT"}, "title": {"from": "Soil moisture", "to": "Second"}},
        ),
        ("ingest", "register", None, 1, None),
    ]
    assert (len(first.json()["items"]), rest.json()["cursor"]) == (3, None)
    until_then = await clients.ingest.get(f"/api/objects/{object_id}/history", params={"until": told[3]["at"]})
    assert [one["to_revision"] for one in until_then.json()["items"]] == [2, 1]

    async def said(revision: int) -> tuple[Any, ...]:
        past = (await clients.ingest.get(f"/api/objects/{object_id}/history/{revision}")).json()
        described = past["description"]
        return past["revision"], described["title"], described.get("licence"), described["keywords"]

    assert [await said(revision) for revision in (1, 2, 3, 5)] == [
        (1, "Soil moisture", None, []),
        (2, "Second", "MIT", []),
        (3, "Second", None, ["rain"]),
        (5, "Second", None, ["rain"]),
    ]
    for revision, detail in {
        "6": "The object has no revision 6; it is at 5 and began at 1.",
        "0": "The object has no revision 0; it is at 5 and began at 1.",
        "x": "'x' is not a revision; revisions are numbers from 1 on.",
    }.items():
        answer = await clients.ingest.get(f"/api/objects/{object_id}/history/{revision}")
        assert problem_of(answer) == not_found(detail)


async def test_versions_are_seen_by_readers_and_histories_by_those_who_may_change(
    clients: Clients, project: str
) -> None:
    private = (await register(clients.ingest, plain(project)))["id"]
    public = (await register(clients.ingest, plain(project, visibility="public")))["id"]
    for object_id in (private, public):
        await publish(clients.ingest, object_id)

    async def seen(client: httpx2.AsyncClient, object_id: str) -> list[int]:
        address = f"/api/objects/{object_id}"
        tails = ("/versions", "/versions/1", "/versions/1/diff/draft", "/history", "/history/1")
        return [(await client.get(f"{address}{tail}")).status_code for tail in tails]

    assert await seen(clients.ingest, private) == await seen(clients.curator, private) == [200] * 5
    assert await seen(clients.reader, private) == await seen(clients.other, private) == [404] * 5
    assert await seen(clients.anonymous, private) == [404, 404, 404, 401, 401]
    assert await seen(clients.reader, public) == [200, 200, 200, 403, 403]
    assert await seen(clients.anonymous, public) == [200, 200, 200, 401, 401]
    for client, status in ((clients.anonymous, 401), (clients.reader, 403)):
        tried = await client.post(f"/api/objects/{public}/versions", json={}, headers=ANY)
        ended = await client.delete(f"/api/objects/{public}/versions/1", params=BECAUSE, headers=ANY)
        assert (tried.status_code, ended.status_code) == (status, status)


@pytest.mark.req("SAGE-STORAGE-14")
async def test_weights_name_a_version_that_their_model_has_published(clients: Clients, project: str) -> None:
    model = (await register(clients.ingest, plain(project, kind="model", metadata={"task": "segmentation"})))["id"]

    async def weights(model_version: str) -> httpx2.Response:
        said = {"model": model, "model_version": model_version}
        return await clients.ingest.post("/api/objects", json=plain(project, kind="weights", metadata=said))

    # Nothing is published yet: the text is all that is known.
    assert (await weights("0.9-beta")).status_code == 201
    await publish(clients.ingest, model, label="2.1.0")
    assert [(await weights(name)).status_code for name in ("1", "2.1.0")] == [201, 201]
    refused = problem_of(await weights("2.2.0"))
    assert (refused["status"], refused["errors"]) == (
        422,
        [
            {
                "pointer": "/metadata/model_version",
                "message": f"the object {model} has no published version '2.2.0'",
                "suggestion": "it has 1, 2.1.0",
            }
        ],
    )

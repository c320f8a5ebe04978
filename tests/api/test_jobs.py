"""Jobs by their keys: begun once, given files, ended once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.conftest import BECAUSE, Stored, patch, plain, read, register
from tests.api.people import People
from tests.api.problems import problem_of
from tests.api.uploads import bring, declared, send
from tests.conftest import Clients, eventually

pytestmark = pytest.mark.usefixtures("noise")

EMPTY = {"files": 0, "available": 0, "bytes": 0}


@pytest.fixture
def key() -> str:
    """A key that no other test knows."""
    return f"k{uuid4().hex[:12]}"


async def begin(client: httpx2.AsyncClient, project: str, key: str, **said: Any) -> dict[str, Any]:
    """Begin a job that is not there."""
    answer = await client.post("/api/jobs", json={"project": project, "key": key, **said})
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def end(client: httpx2.AsyncClient, key: str, outcome: str, if_match: str = "*", **asked: str) -> httpx2.Response:
    """Say that a job has ended."""
    headers = {"If-Match": if_match}
    return await client.post(f"/api/jobs/{key}/end", json={"outcome": outcome}, headers=headers, params=asked)


async def give(client: httpx2.AsyncClient, job: dict[str, Any], contents: dict[str, bytes]) -> None:
    """Declare and bring files of a job, and wait until they have arrived."""
    body = {"files": [declared(*content) for content in contents.items()]}
    answer = await client.post(f"/api/objects/{job['id']}/files", json=body, headers={"If-Match": "*"})
    assert answer.status_code == 201, answer.text
    await bring(answer.json()["uploads"], contents)
    for ticket in answer.json()["uploads"]:
        await client.post(f"/api/uploads/{ticket['id']}/complete")

    async def there() -> bool:
        now = (await client.get(f"/api/jobs/{job['key']}", params={"project": job["project"]})).json()
        return all(now[area]["available"] == now[area]["files"] for area in ("input", "output"))

    await eventually(there)


@pytest.mark.req("CHRIS-SWIFT-7")
async def test_a_job_is_begun_once_however_often_it_is_asked_for(clients: Clients, project: str, key: str) -> None:
    made = await clients.ingest.post("/api/jobs", json={"project": project, "key": key, "program": "segment 1.4"})
    again = await clients.ingest.post("/api/jobs", json={"project": project, "key": key})

    job = made.json()
    assert (made.status_code, made.headers["location"]) == (201, f"/api/jobs/{key}?project={project}")
    assert job == {
        "id": job["id"],
        "key": key,
        "project": project,
        "title": key,
        "owner": job["owner"],
        "state": "open",
        "outcome": None,
        "created_at": job["created_at"],
        "ended_at": None,
        "revision": 1,
        "input": EMPTY,
        "output": EMPTY,
    }
    assert (again.status_code, again.json(), again.headers["etag"]) == (200, job, '"1"')
    found = await read(clients.ingest, job["id"])
    assert (found["kind"], found["name"], found["owner"], found["metadata"]) == (
        "job",
        key,
        job["owner"],
        {"program": "segment 1.4"},
    )
    assert (await clients.ingest.get(f"/api/jobs/{key}")).json() == job


@pytest.mark.req("CHRIS-SWIFT-7")
async def test_a_key_of_another_form_is_refused_with_all_other_faults(clients: Clients) -> None:
    answer = await clients.ingest.post("/api/jobs", json={"project": "Lab", "key": "../x", "state": "ended"})

    assert [fault["pointer"] for fault in problem_of(answer)["errors"]] == ["/project", "/key", "/state"]


async def test_an_object_of_that_kind_is_a_job_however_it_was_registered(
    clients: Clients, project: str, key: str
) -> None:
    one = plain(project, kind="job", name=key, metadata={})
    two = plain(project, kind="job", name=f"{key}-bulk", metadata={})
    await register(clients.ingest, one)
    line = (await clients.ingest.get("/api/kinds/job")).json()["example"] | two
    answer = await clients.ingest.post(
        "/api/bulk/objects", content=json.dumps(line), headers={"content-type": "application/x-ndjson"}
    )
    assert answer.status_code == 200, answer.text

    listed = (await clients.ingest.get("/api/jobs", params={"project": project})).json()["items"]
    assert [(job["key"], job["state"]) for job in listed] == [(f"{key}-bulk", "open"), (key, "open")]


async def test_a_renamed_job_has_the_new_key(clients: Clients, project: str, key: str) -> None:
    job = await begin(clients.ingest, project, key)

    await patch(clients.ingest, job["id"], {"name": f"{key}-2"})

    assert (await clients.ingest.get(f"/api/jobs/{key}")).status_code == 404
    assert (await clients.ingest.get(f"/api/jobs/{key}-2")).json()["id"] == job["id"]


async def test_a_withdrawn_job_gives_its_key_back(clients: Clients, project: str, key: str) -> None:
    first = await begin(clients.ingest, project, key)
    await clients.ingest.delete(f"/api/objects/{first['id']}", params=BECAUSE, headers={"If-Match": "*"})

    assert (await clients.ingest.get(f"/api/jobs/{key}")).status_code == 404
    second = await begin(clients.ingest, project, key)
    assert second["id"] != first["id"]


async def test_a_job_ends_once_and_its_files_stay_as_they_are(stored: Stored, key: str) -> None:
    ingest = stored.clients.ingest
    job = await begin(ingest, "jobs/ended", key)
    await give(ingest, job, {"input/a.txt": b"in", "output/b.txt": b"out"})
    now = (await ingest.get(f"/api/jobs/{key}")).json()
    assert [now["input"], now["output"]] == [
        {"files": 1, "available": 1, "bytes": 2},
        {"files": 1, "available": 1, "bytes": 3},
    ]

    before = datetime.now(UTC)
    stale = await end(ingest, key, "succeeded", '"1"')
    ended = await end(ingest, key, "succeeded", f'"{now["revision"]}"')
    again = await end(ingest, key, "succeeded", f'"{now["revision"]}"')
    otherwise = await end(ingest, key, "failed")

    assert [one.status_code for one in (stale, ended, again, otherwise)] == [412, 200, 200, 409]
    job = ended.json()
    assert (job["state"], job["outcome"], job["revision"]) == ("ended", "succeeded", now["revision"] + 1)
    assert before - timedelta(seconds=5) < datetime.fromisoformat(job["ended_at"]) < datetime.now(UTC)
    assert again.json() == job
    more = {"files": [declared("input/late.txt", b"late")]}
    address, headers = f"/api/objects/{job['id']}/files", {"If-Match": "*"}
    late = [
        await ingest.post(address, json=more, headers=headers),
        await ingest.delete(f"{address}/input/a.txt", headers=headers),
    ]
    assert [one.status_code for one in late] == [409, 409]
    assert all("its files stay as they are" in one.json()["detail"] for one in late)
    assert (await ingest.get(f"/api/jobs/{key}")).json() == job


async def test_a_job_has_not_succeeded_while_files_are_missing(clients: Clients, project: str, key: str) -> None:
    job = await begin(clients.ingest, project, key)
    body = {"files": [declared("input/a.txt", b"never")]}
    address = f"/api/objects/{job['id']}/files"
    declaring = await clients.ingest.post(address, json=body, headers={"If-Match": "*"})
    assert declaring.status_code == 201

    succeeded = await end(clients.ingest, key, "succeeded")
    failed = await end(clients.ingest, key, "failed")
    ticket = await clients.ingest.post("/api/uploads", json={"object": job["id"], "path": "input/a.txt"})

    assert problem_of(succeeded)["detail"] == (
        "1 of 1 files have not arrived: bring them, take them out of the job, or end it as failed."
    )
    assert (failed.json()["state"], failed.json()["outcome"], ticket.status_code) == ("ended", "failed", 409)


async def test_an_end_needs_if_match_and_an_outcome_there_is(clients: Clients, project: str, key: str) -> None:
    await begin(clients.ingest, project, key)

    without = await clients.ingest.post(f"/api/jobs/{key}/end", json={"outcome": "failed"})
    wrong = await end(clients.ingest, key, "done")

    assert (without.status_code, wrong.status_code) == (428, 400)
    assert wrong.json()["errors"][0]["pointer"] == "/outcome"


@pytest.mark.req("CHRIS-SWIFT-9")
async def test_files_of_one_area_are_listed_with_links_page_by_page(stored: Stored, key: str) -> None:
    ingest = stored.clients.ingest
    job = await begin(ingest, "jobs/listed", key)
    contents = {f"input/{n}.txt": f"in {n}".encode() for n in range(3)} | {"output/o.txt": b"out"}
    await give(ingest, job, contents)

    first = (await ingest.get(f"/api/jobs/{key}/files", params={"area": "input", "limit": 2})).json()
    rest = (
        await ingest.get(f"/api/jobs/{key}/files", params={"area": "input", "limit": 2, "cursor": first["cursor"]})
    ).json()
    output = (await ingest.get(f"/api/jobs/{key}/files", params={"area": "output"})).json()

    listed = [*first["items"], *rest["items"], *output["items"]]
    assert [file["path"] for file in listed] == ["input/0.txt", "input/1.txt", "input/2.txt", "output/o.txt"]
    assert (rest["cursor"], output["cursor"]) == (None, None)
    answers = [await send("GET", file["link"]["href"]) for file in listed]
    assert [answer.content for answer in answers] == [contents[file["path"]] for file in listed]


async def test_a_key_in_several_projects_has_to_be_said_with_its_project(people: People, key: str) -> None:
    curator = await people.member("curator", "curator", scope=people.organization)
    stranger = await people.person("stranger")
    other = f"{people.organization}/air"
    await curator.post("/api/jobs", json={"project": people.project, "key": key})
    await people.clients.admin.post(f"/api/organizations/{people.organization}/projects", json={"name": "air"})
    await curator.post("/api/jobs", json={"project": other, "key": key, "visibility": "public"})

    both = await curator.get(f"/api/jobs/{key}")
    one = await curator.get(f"/api/jobs/{key}", params={"project": people.project})
    # Whoever sees one of them is told of no other.
    seen = await stranger.get(f"/api/jobs/{key}")
    hidden = await stranger.get(f"/api/jobs/{key}", params={"project": people.project})

    assert problem_of(both)["errors"] == [
        {
            "pointer": "/project",
            "message": f"several projects have a job of this key; name one of {other}, {people.project}",
            "suggestion": other,
        }
    ]
    assert (one.json()["project"], seen.json()["project"], hidden.status_code) == (people.project, other, 404)


@pytest.mark.req("CHRIS-SWIFT-7")
async def test_a_hidden_job_answers_like_an_absent_one(people: People, key: str) -> None:
    owner = await people.member("owner", "ingest")
    stranger = await people.person("stranger")
    await begin(owner, people.project, key)

    async def told(of: str) -> list[tuple[int, str]]:
        same = {"x-request-id": "the-same"}
        asked = {"project": people.project}
        answers = [
            await stranger.get(f"/api/jobs/{of}", headers=same),
            await stranger.get(f"/api/jobs/{of}", params=asked, headers=same),
            await stranger.get(f"/api/jobs/{of}/files", headers=same),
            await stranger.post(f"/api/jobs/{of}/end", json={"outcome": "failed"}, headers={**same, "If-Match": "*"}),
        ]
        return [(answer.status_code, answer.text.replace(of, "KEY")) for answer in answers]

    assert await told(key) == await told(f"k{uuid4().hex[:12]}")
    assert (await stranger.get("/api/jobs", params={"project": people.project})).json()["items"] == []


async def test_a_job_of_others_is_met_by_nobody_but_those_who_may_change_it(people: People, key: str) -> None:
    owner = await people.member("owner", "ingest")
    other = await people.member("other", "ingest")
    curator = await people.member("curator", "curator")
    job = await begin(owner, people.project, key, visibility="public")

    taken = await other.post("/api/jobs", json={"project": people.project, "key": key})
    met = await curator.post("/api/jobs", json={"project": people.project, "key": key})
    ending = await end(other, key, "failed")

    assert (taken.status_code, met.status_code, met.json()["id"], ending.status_code) == (409, 200, job["id"], 403)


@pytest.mark.req("CHRIS-SWIFT-9")
async def test_a_token_to_register_alone_sees_its_own_jobs_and_no_bytes(people: People, key: str) -> None:
    curator = await people.member("curator", "curator")
    owner = await people.member("owner", "ingest")
    await begin(owner, people.project, f"{key}-public", visibility="public")
    made = (await curator.post("/api/tokens", json={"scopes": ["register"]})).json()
    writer = people.holding(made["token"])

    job = await begin(writer, people.project, key)
    await give(writer, job, {"input/a.txt": b"secret"})

    files = (await writer.get(f"/api/jobs/{key}/files")).json()["items"]
    assert [(file["path"], file["state"], file["link"]) for file in files] == [("input/a.txt", "available", None)]
    assert [one["key"] for one in (await writer.get("/api/jobs")).json()["items"]] == [key]
    assert (await writer.get(f"/api/jobs/{key}-public")).status_code == 404
    assert (await end(writer, key, "succeeded")).json()["state"] == "ended"


async def test_jobs_are_listed_newest_first_by_state_and_owner(people: People, key: str) -> None:
    owner = await people.member("owner", "ingest")
    curator = await people.member("curator", "curator")
    for number in range(3):
        await begin(owner, people.project, f"{key}-{number}")
    await begin(curator, people.project, f"{key}-3")
    await end(owner, f"{key}-1", "failed")

    async def keys(**asked: Any) -> list[str]:
        answer = await curator.get("/api/jobs", params={"project": people.project, **asked})
        return [one["key"].removeprefix(key) for one in answer.json()["items"]]

    first = (await curator.get("/api/jobs", params={"project": people.project, "limit": 3})).json()
    assert await keys() == ["-3", "-2", "-1", "-0"]
    assert await keys(cursor=first["cursor"], limit=3) == ["-0"]
    assert await keys(state="ended") == ["-1"]
    assert await keys(state="open", mine="true") == ["-3"]

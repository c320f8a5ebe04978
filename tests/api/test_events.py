"""Events that services announce: taken once however often they come, of what the caller may register alone."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from jsonschema import Draft202012Validator

from catalog.events import shapes
from tests.api.brought import server
from tests.api.people import People
from tests.api.problems import problem_of
from tests.api.test_event_tokens import Speaking, lead, two
from tests.api.test_notifications import Unattended, shared, unattended
from tests.api.truth import rows
from tests.conftest import eventually

__all__ = ["lead", "shared", "two", "unattended"]

ADDRESS = "/api/events"
EVENT, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
WRITTEN, REQUEST = "catalog.files.written.v1", "workflow.request.v1"


def event(kind: str = WRITTEN, *, data: Mapping[str, Any], **said: Any) -> dict[str, Any]:
    """Return an event with an id of its own."""
    envelope = {"specversion": "1.0", "id": uuid4().hex, "source": "https://gateway.example.org", "type": kind}
    return envelope | {"data": dict(data)} | said


async def send(client: httpx2.AsyncClient, body: Any, media_type: str | None = None) -> httpx2.Response:
    kind = media_type or (BATCH if isinstance(body, list) else EVENT)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post(ADDRESS, content=content, headers={"content-type": f"{kind}; charset=utf-8"})


def below(at: Unattended, project: str, *paths: str) -> list[str]:
    prefix = at.live.settings.store_prefix
    return [f"{prefix}/{project}/source/{path}" if prefix else f"{project}/source/{path}" for path in paths]


async def jobs(client: httpx2.AsyncClient, project: str) -> list[tuple[str, str]]:
    found = (await client.get("/api/jobs", params={"project": project})).json()["items"]
    return [(job["key"], job["title"]) for job in found]


@pytest.mark.req("MWM-SADD-3", "MWM-SADD-45")
async def test_what_a_service_announces_is_in_the_queue_when_it_is_answered(
    unattended: Unattended, project: str
) -> None:
    keys = below(unattended, project, "a+b c%20.csv", "日/é.csv")
    told = event(data={"backend": "default", "keys": keys}, subject="two files", time="2026-11-22T12:00:00Z", trace="x")

    answer = await send(unattended.clients.ingest, told)

    assert answer.status_code == 202, answer.text
    (receipt,) = answer.json()["items"]
    assert receipt == {"source": told["source"], "id": told["id"], "receipt": receipt["receipt"]}
    assert sorted(await unattended.queued()) == sorted(f"default/{unattended.bucket}/{key}" for key in keys)


async def test_an_event_that_comes_again_is_answered_as_before_and_done_once(
    unattended: Unattended, project: str
) -> None:
    told = event(data={"keys": below(unattended, project, "a.csv")})
    answers = await asyncio.gather(*(send(unattended.clients.ingest, told) for _ in range(8)))
    # It may be called otherwise for people, and come with others.
    later = await send(unattended.clients.ingest, [event(data=told["data"]), told | {"subject": "again"}])
    other = await send(unattended.clients.ingest, told | {"data": {"keys": below(unattended, project, "b.csv")}})
    elsewhere = await send(unattended.clients.ingest, told | {"source": "https://other.example.org"})

    assert ({answer.status_code for answer in answers}, len({answer.text for answer in answers})) == ({202}, 1)
    assert later.json()["items"][1] == answers[0].json()["items"][0]
    assert problem_of(other)["status"] == 409
    assert problem_of(other)["errors"][0]["pointer"] == "/id"
    assert elsewhere.status_code == 202
    (row,) = await rows(unattended.engines, "SELECT touched FROM queue")
    # Of three events: the first, the one beside it in the batch, and that of another source.
    assert row == {"touched": 2}


@pytest.mark.req("MWM-SADD-41")
async def test_a_workflow_request_begins_one_job_and_has_its_data_looked_at(
    unattended: Unattended, project: str
) -> None:
    keys = below(unattended, project, "scan.dcm")
    asked = {"project": project, "key": "payload-17", "title": "Payload 17", "program": "segment 1.0", "keys": keys}
    first = event(REQUEST, data=asked)

    answers = [
        *await asyncio.gather(*(send(unattended.clients.ingest, event(REQUEST, data=asked)) for _ in range(4))),
        await send(unattended.clients.ingest, first),
        await send(unattended.clients.ingest, first),
    ]

    assert [answer.status_code for answer in answers] == [202] * 6, [answer.text for answer in answers]
    assert await jobs(unattended.clients.ingest, project) == [("payload-17", "Payload 17")]
    assert f"default/{unattended.bucket}/{keys[0]}" in await unattended.queued()
    found = (await unattended.clients.ingest.get("/api/jobs/payload-17", params={"project": project})).json()
    shown = (await unattended.clients.ingest.get(f"/api/objects/{found['id']}")).json()
    assert shown["metadata"]["program"] == "segment 1.0"


async def test_of_a_batch_all_is_taken_or_none(unattended: Unattended, project: str) -> None:
    good = event(data={"keys": below(unattended, project, "a.csv")})
    batch = [good, event("catalog.file.written.v1", data={"keys": ["a"]}), event(data={"keys": []}), 7]

    refused = await send(unattended.clients.ingest, batch)
    again = await send(unattended.clients.ingest, [good])

    faults = problem_of(refused)["errors"]
    assert [(one["pointer"], one.get("suggestion")) for one in faults[:1]] == [("/1/type", WRITTEN)]
    assert [one["pointer"] for one in faults] == ["/1/type", "/2/data/keys", "/3"]
    assert again.status_code == 202
    assert len(await unattended.queued()) == 1


WRONG: dict[str, tuple[Any, int]] = {
    "no JSON": (b"hello", 400),
    "a list as one event": (b"[]", 400),
    "half a character": (
        b'{"specversion": "1.0", "id": "\\ud800", "source": "s", "type": "%s"}' % WRITTEN.encode(),
        400,
    ),
    "another version": (event(data={"keys": ["a"]}, specversion="0.3"), 400),
    "no id": ({name: value for name, value in event(data={"keys": ["a"]}).items() if name != "id"}, 400),
    "more than is known": (event(data={"keys": ["a"], "sha256": "0"}), 400),
    "a large number": (event(data={"keys": ["a"]}, big=10**40), 403),
    "too many keys": (event(data={"keys": ["a"] * (shapes.KEYS_MAX + 1)}), 400),
    "NUL": (event(data={"keys": ["a\0"]}), 400),
    "no backend": (event(data={"backend": "../x", "keys": ["a"]}), 400),
    "a key that is too long": (event(data={"keys": ["é" * 1_000]}), 403),
    "too long": (b" " * 3_000_000, 413),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_no_event_says_why_and_changes_nothing(unattended: Unattended, name: str) -> None:
    body, status = WRONG[name]
    assert (await send(unattended.clients.ingest, body)).status_code == status
    assert await unattended.queued() == []


async def test_a_key_that_no_request_can_name_is_refused_with_its_place(unattended: Unattended, project: str) -> None:
    told = below(unattended, project, "..x/a.csv", "../../../other/secret/a.csv", "./a.csv", "a/..")

    refused = problem_of(await send(unattended.clients.ingest, event(data={"keys": told})))

    message = "write the key without . and .. parts: no store can be asked for one that has them"
    assert (refused["status"], [(one["pointer"], one["message"]) for one in refused["errors"]]) == (
        400,
        [(f"/data/keys/{place}", message) for place in (1, 2, 3)],
    )
    assert await unattended.queued() == []


async def test_an_event_has_its_own_media_type(unattended: Unattended) -> None:
    told = event(data={"keys": ["a"]})
    assert (await send(unattended.clients.ingest, told, "application/json")).status_code == 415
    too_many = [told] * (shapes.EVENTS_MAX + 1)
    assert problem_of(await send(unattended.clients.ingest, too_many))["status"] == 400


async def test_files_are_announced_by_those_who_may_register_them_alone(
    people: People, two: tuple[Speaking, Speaking]
) -> None:
    first, _ = two
    stranger = await people.member("stranger", "ingest", scope=await _another(people))
    reader = await people.member("reader", "reader")
    ingest = await people.member("ingest", "ingest", scope=people.organization)
    inside, beside = f"{first.backend['prefix']}/x.csv".lstrip("/"), "beside/x.csv"
    nowhere = "00000000-0000-4000-8000-000000000000"
    own = [f"{people.project}/source/a.csv"]

    def files(backend: str, *keys: str) -> dict[str, Any]:
        return event(data={"backend": backend, "keys": list(keys)})

    answers = {
        "their backend": await send(ingest, files(first.backend["id"], inside)),
        "beside its prefix": await send(ingest, files(first.backend["id"], inside, beside)),
        "a backend of others": await send(stranger, files(first.backend["id"], inside)),
        "no backend": await send(ingest, files(nowhere, inside)),
        "their project": await send(ingest, files("default", *own)),
        "a project of others": await send(stranger, files("default", *own)),
        "no project": await send(ingest, files("default", "a.csv")),
        "a job of others": await send(stranger, event(REQUEST, data={"project": people.project, "key": "run"})),
        "whoever reads": await send(reader, files("default", *own)),
        "nobody": await send(people.clients.anonymous, files("default", *own)),
    }

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "their backend": 202,
        "beside its prefix": 403,
        "a backend of others": 403,
        "no backend": 403,
        "their project": 202,
        "a project of others": 403,
        "no project": 403,
        "a job of others": 403,
        "whoever reads": 403,
        "nobody": 401,
    }
    assert problem_of(answers["beside its prefix"])["errors"][0]["pointer"] == "/data/keys/1"
    # That there is such a backend is not told to those who do not use it.
    told = [problem_of(answers[name]) for name in ("a backend of others", "no backend")]
    assert told[0]["errors"] == told[1]["errors"]


async def _another(people: People) -> str:
    name = f"o{uuid4().hex[:10]}"
    answer = await people.clients.admin.post("/api/organizations", json={"name": name, "title": name})
    assert answer.status_code == 201, answer.text
    return name


async def test_what_lies_in_a_backend_is_found_once_it_is_announced(
    people: People, two: tuple[Speaking, Speaking], lead: httpx2.AsyncClient, engines_ready: dict[str, Any]
) -> None:
    """No notification was configured, nothing was scanned, and the key is none of a ticket."""
    first, _ = two
    key = f"{first.backend['prefix']}/by hand ü%20+.csv".lstrip("/")
    await server(engines_ready, "minio").put(first.bucket, key, b"x\n")

    answer = await send(lead, event(data={"backend": first.backend["id"], "keys": [key]}))

    async def found() -> list[str]:
        address = f"/api/organizations/{people.organization}/discovered"
        answered = await lead.get(address, params={"backend": first.backend["id"]})
        return [one["key"] for one in answered.json()["items"]]

    assert answer.status_code == 202
    assert await eventually(found) == [key]


@pytest.mark.req("MWM-SADD-46")
@pytest.mark.parametrize("name", shapes.TYPES)
async def test_each_type_has_a_schema_that_its_example_fits(unattended: Unattended, name: str) -> None:
    listed = (await unattended.clients.anonymous.get("/api/event-types")).json()["items"]
    told = (await unattended.clients.anonymous.get(f"/api/event-types/{name}")).json()

    assert name in [one["name"] for one in listed]
    Draft202012Validator.check_schema(told["schema"])
    schema = Draft202012Validator(told["schema"])
    assert [fault.message for fault in schema.iter_errors(told["example"])] == []
    for wrong in (told["example"] | {"type": "other"}, told["example"] | {"data": {}}, {"type": name}):
        assert not schema.is_valid(wrong)
    keys = below(unattended, "lab/soil", "2026/a.csv")
    example = told["example"] | {"data": told["example"]["data"] | {"keys": keys}}
    assert (await send(unattended.clients.ingest, example)).status_code == 202


async def test_a_type_that_is_none_is_not_found(unattended: Unattended) -> None:
    assert (await unattended.clients.anonymous.get("/api/event-types/none")).status_code == 404

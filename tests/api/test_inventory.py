"""An organization learns what lies in its buckets: files that were there before, and how much there is."""

import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from catalog.storage.own import OwnStore
from tests.api.brought import Server, connected, server
from tests.api.conftest import plain
from tests.api.people import People
from tests.api.problems import not_found, problem_of
from tests.api.uploads import uploaded
from tests.conftest import eventually

pytestmark = pytest.mark.usefixtures("noise")

CSV = b"depth,pH\n10,6.4\n"
BEFORE = {
    "lab/a/source/reads.csv": ("source", CSV),
    "lab/a/source/uploads/notes.txt": ("uploaded", b"Soil was wet."),
    "lab/a/harmonized/calls.csv": ("harmonized", CSV + CSV),
    "lab/a/readme.md": (None, b"# Soil"),
}
NOWHERE = str(uuid4())
BESIDE = {"lab/ab/source/reads.csv": CSV, "other.csv": CSV}


async def put(store: OwnStore, key: str, content: bytes) -> None:
    """Put bytes as whoever owns the bucket does."""
    link = store._inside.sign(  # noqa: SLF001 - no product code may write to the store like this.
        "PUT", store.bucket, key, expires=timedelta(minutes=5), now=datetime.now(UTC)
    )
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.put(link.href, content=content)
    assert answer.status_code == 200, answer.text


@dataclass(frozen=True)
class Archive:
    """A bucket with files from before, connected for an organization, and its admin."""

    people: People
    lead: httpx2.AsyncClient
    store: OwnStore
    backend: dict[str, Any]

    @property
    def organization(self) -> str:
        return f"/api/organizations/{self.people.organization}"

    async def scanned(self) -> dict[str, Any]:
        """Scan the bucket, and return the scan when it has ended."""
        begun = await self.lead.post("/api/scans", json={"backend": self.backend["id"]})
        assert begun.status_code == 202, begun.text

        async def ended() -> dict[str, Any] | None:
            scan: dict[str, Any] = (await self.lead.get(begun.headers["location"])).json()
            return scan if scan["state"] != "running" else None

        found = await eventually(ended, seconds=30)
        assert found is not None
        return found

    async def found(self, **asked: Any) -> list[dict[str, Any]]:
        """Return the files that no object claims, by key."""
        answer = await self.lead.get(f"{self.organization}/discovered", params=asked)
        assert answer.status_code == 200, answer.text
        return sorted(answer.json()["items"], key=lambda one: one["key"])


@pytest.fixture(params=["seaweedfs", "minio"])
async def archive(
    request: pytest.FixtureRequest, engines_ready: dict[str, Any], people: People
) -> AsyncGenerator[Archive]:
    """A bucket that was there before the catalog, on each server."""
    made: Server = server(engines_ready, request.param)
    lead = await people.member("lead", "admin", scope=people.organization)
    async with made.bucket() as store:
        for key, (_, content) in BEFORE.items():
            await put(store, key, content)
        for key, content in BESIDE.items():
            await put(store, key, content)
        backend = await connected(lead, people.organization, made.wanted(store))
        yield Archive(people, lead, store, backend)


@pytest.mark.req("DEWRANGLE-RFC-3", "DEWRANGLE-RFC-9", "DEWRANGLE-RFC-30", "DEWRANGLE-RFC-53")
async def test_adopt_bucket_what_was_there_stays_and_is_found_and_new_uploads_go_below_the_root(
    archive: Archive,
) -> None:
    people, name = archive.people, archive.backend["id"]
    chosen = await archive.lead.put(f"/api/projects/{people.project}/storages", json={"document": name, "data": [name]})
    assert chosen.status_code == 200, chosen.text
    await people.give(f"user:{people.names['lead']}", "ingest")
    made = await uploaded(archive.lead, plain(people.project), {"soil.csv": CSV})

    scan = await archive.scanned()

    found = await archive.found()
    assert {one["key"]: (one["stage"], one["size"]) for one in found} == {
        key: (stage, len(content)) for key, (stage, content) in BEFORE.items()
    }
    assert {(one["backend"], one["project"], one["sha256"]) for one in found} == {(name, people.project, None)}
    assert (scan["state"], scan["files"], scan["added"], scan["looks"]) == ("done", 1 + len(BEFORE), len(BEFORE), 0)
    keys = [item.key async for item in archive.store.list("lab/a/")]
    (new,) = set(keys) - set(BEFORE)
    assert new.startswith(f"lab/a/catalog/{people.project}/uploads/{made['id']}/")


async def test_a_file_is_read_for_its_hash_when_somebody_asks(archive: Archive) -> None:
    await archive.scanned()
    (file,) = await archive.found(stage="source")
    asked = {"files": [file["id"], str(uuid4())]}

    answer = await archive.lead.post(f"{archive.organization}/discovered/hashes", json=asked)

    async def told() -> str | None:
        (now,) = await archive.found(stage="source")
        sha256: str | None = now["sha256"]
        return sha256

    assert (answer.status_code, answer.json()) == (202, {"queued": 1})
    assert await eventually(told, seconds=30) == hashlib.sha256(CSV).hexdigest()


@pytest.mark.req("DEWRANGLE-RFC-53")
async def test_a_file_of_before_becomes_an_objects_where_it_is(archive: Archive) -> None:
    people = archive.people
    await people.give(f"user:{people.names['lead']}", "ingest")
    made = (await archive.lead.post("/api/objects", json=plain(people.project))).json()
    await archive.scanned()
    (file,) = await archive.found(stage="harmonized")
    address, any_revision = f"/api/objects/{made['id']}/adoptions", {"If-Match": "*"}
    asked = {"files": [{"discovered": file["id"], "path": "calls/all.csv"}]}

    first = await archive.lead.post(address, json=asked, headers=any_revision)

    async def adopted() -> httpx2.Response | None:
        answer = await archive.lead.post(address, json=asked, headers=any_revision)
        return None if answer.status_code == 409 else answer

    answer = await eventually(adopted, seconds=30)
    assert answer is not None
    again = await archive.lead.post(address, json=asked, headers=any_revision)
    link = (await archive.lead.get(f"/api/objects/{made['id']}/files/calls/all.csv")).headers["location"]
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        fetched = await client.get(link)

    assert problem_of(first)["errors"] == [
        {"pointer": "/files/0/discovered", "message": "its SHA-256 is not known yet"}
    ]
    assert answer.status_code == 201, answer.text
    (there,) = answer.json()["files"]
    assert (there["path"], there["size"], there["state"]) == ("calls/all.csv", 2 * len(CSV), "available")
    assert fetched.content == CSV + CSV

    async def counted() -> dict[str, Any] | None:
        asked = {"project": people.project, "facet": "stage", "stage": "harmonized"}
        told: dict[str, Any] = (await archive.lead.get("/api/search", params=asked)).json()
        return told if told["total"] else None

    found = await eventually(counted, seconds=30)
    assert found is not None
    assert [hit["id"] for hit in found["hits"]] == [made["id"]]
    assert [(one["value"], one["count"]) for one in found["facets"]["stage"]["buckets"]] == [("harmonized", 1)]
    assert again.status_code == 404
    # It lies where it lay, is looked at like any other, and found by a scan that knows it.
    scan = await archive.scanned()
    assert (scan["added"], scan["looks"]) == (0, 0)
    assert await archive.found(stage="harmonized") == []
    await archive.store.remove("lab/a/harmonized/calls.csv")
    await archive.scanned()

    async def missing() -> bool:
        files = (await archive.lead.get(f"/api/objects/{made['id']}/files")).json()["items"]
        return [one["state"] for one in files] == ["missing"]

    await eventually(missing, seconds=30)


@pytest.mark.req("DEWRANGLE-RFC-4")
async def test_nobody_adopts_what_lies_in_a_bucket_of_others(archive: Archive) -> None:
    people = archive.people
    await archive.scanned()
    file = (await archive.found())[0]
    curator = await people.member("curator", "curator", scope=people.project)
    stranger = await people.person("stranger")
    theirs = f"t{uuid4().hex[:10]}/soil"
    await people.clients.admin.post("/api/organizations", json={"name": theirs.partition("/")[0]})
    await people.give(f"user:{people.names['stranger']}", "admin", scope=theirs.partition("/")[0])
    made = {}
    for client, project in ((curator, people.project), (stranger, theirs)):
        answer = await client.post("/api/objects", json=plain(project))
        assert answer.status_code == 201, answer.text
        made[client] = answer.json()["id"]

    answers = [
        await client.post(
            f"/api/objects/{object_id}/adoptions",
            json={"files": [{"discovered": one}]},
            headers={"If-Match": "*"},
        )
        for client, object_id in made.items()
        for one in (file["id"], NOWHERE)
    ]

    told = [problem_of(one) for one in answers]
    assert [one["status"] for one in told] == [404] * 4
    assert {tuple(fault["message"] for fault in one["errors"]) for one in told} == {
        ("there is no such file that you may make one of this object's",)
    }


@pytest.mark.req("DEWRANGLE-RFC-3", "MWM-SADD-22")
async def test_what_lies_where_is_added_up_once(archive: Archive) -> None:
    people, name = archive.people, archive.backend["id"]
    await people.give(f"user:{people.names['lead']}", "ingest")
    made = await uploaded(archive.lead, plain(people.project), {"soil.csv": CSV})
    published = await archive.lead.post(f"/api/objects/{made['id']}/versions", json={}, headers={"If-Match": "*"})
    assert published.status_code == 201, published.text
    await archive.scanned()

    told = (await archive.lead.get(f"{archive.organization}/accounting")).json()

    def item(project: str | None, backend: str, called: str, *, stage: str | None, content: bytes, **more: Any) -> Any:
        told = {"project": project, "backend": backend, "backend_name": called, "stage": stage, "claimed": False}
        return told | {"files": 1, "bytes": len(content)} | more

    foreign = sorted(BEFORE.values(), key=lambda one: (one[0] is None, one[0]))
    items = [
        item(people.project, "default", "default", stage="uploaded", content=CSV, claimed=True),
        *(item(None, name, archive.backend["name"], stage=stage, content=content) for stage, content in foreign),
    ]
    assert told == {
        "organization": people.organization,
        "files": 5,
        "bytes": len(CSV) + sum(len(content) for _, content in BEFORE.values()),
        "items": items,
    }


@pytest.mark.req("DEWRANGLE-RFC-4", "DEWRANGLE-RFC-33")
async def test_others_are_told_that_there_is_no_such_backend_scan_or_organization(archive: Archive) -> None:
    scan = await archive.scanned()
    other = await archive.people.person("other")
    member = await archive.people.member("member", "curator", scope=archive.people.organization)
    name = archive.backend["id"]

    refused = [
        await other.post("/api/scans", json={"backend": name}),
        await other.get("/api/scans", params={"backend": name}),
        await other.get(scan["href"]),
    ]
    absent = [
        await other.post("/api/scans", json={"backend": NOWHERE}),
        await other.get("/api/scans", params={"backend": NOWHERE}),
        await other.get(f"/api/scans/{NOWHERE}"),
    ]
    told = [problem_of(one) for one in refused]
    assert [one["status"] for one in told] == [404, 404, 404]
    expected = [
        not_found(f"There is no backend '{name}' that you may see."),
        not_found(f"There is no backend '{name}' that you may see."),
        not_found(f"There is no scan {scan['id']} that you may see."),
    ]
    assert told == expected
    assert [problem_of(one)["detail"].replace(NOWHERE, "X") for one in absent] == [
        one["detail"].replace(name, "X").replace(scan["id"], "X") for one in told
    ]
    for what in ("discovered", "accounting"):
        assert (await other.get(f"{archive.organization}/{what}")).status_code == 404
        assert (await member.get(f"{archive.organization}/{what}")).status_code == 403
    assert (await member.post("/api/scans", json={"backend": name})).status_code == 403
    assert (await archive.lead.post("/api/scans", json={"backend": "default"})).status_code == 403

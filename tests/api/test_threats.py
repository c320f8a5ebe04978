"""Attacks that no other room's tests stand for; `docs/security.md` names the test of each threat."""

import json
from typing import Any

import httpx2
import pytest

from tests.api.conftest import Draft, patch, read, register
from tests.api.uploads import declared, file_of, until
from tests.conftest import Clients, Live

pytestmark = pytest.mark.usefixtures("noise")

CSV = b"day,moisture\n1,0.31\n"
# What the catalog alone decides, each with a value that it could have.
OWNED: dict[str, Any] = {
    "id": "0199b0f2-7c1e-7d61-8000-3f1d2c4b5a69",
    "owner": "admin",
    "owner_id": "0199b0f2-7c1e-7d61-8000-3f1d2c4b5a69",
    "readers": ["public"],
    "revision": 7,
    "schema_version": 1,
    "state": "published",
    "version": 1,
    "doi": "10.5072/abc",
    "terms": {},
    "files_total": 0,
    "uploads": [],
    "created_at": "2020-01-01T00:00:00Z",
    "updated_at": "2020-01-01T00:00:00Z",
    "withdrawn_at": None,
    "withdrawal_reason": None,
}


@pytest.mark.parametrize("name", OWNED)
async def test_what_the_catalog_decides_cannot_be_sent(clients: Clients, draft: Draft, name: str) -> None:
    object_id = (await register(clients.ingest, draft))["id"]
    before = await read(clients.ingest, object_id)

    registered = await clients.ingest.post("/api/objects", json=draft | {name: OWNED[name]})
    changed = await patch(clients.ingest, object_id, {name: "x" if OWNED[name] is None else OWNED[name]})

    assert [
        (answer.status_code, [fault["pointer"] for fault in answer.json()["errors"]])
        for answer in (registered, changed)
    ] == [(400, [f"/{name}"])] * 2
    assert await read(clients.ingest, object_id) == before


async def test_a_file_of_somebody_elses_location_cannot_be_declared(clients: Clients, draft: Draft) -> None:
    location = {"bucket": "other", "key": "lab/secret/weights.onnx", "backend": "default", "state": "available"}

    answer = await clients.ingest.post("/api/objects", json=draft | {"files": [declared("a.csv", CSV) | location]})

    assert answer.status_code == 400
    assert sorted(fault["pointer"] for fault in answer.json()["errors"]) == sorted(
        f"/files/0/{name}" for name in location
    )


async def test_headers_beside_the_ticket_change_nothing_of_the_object(clients: Clients, draft: Draft) -> None:
    registered = await register(clients.ingest, draft | {"files": [declared("soil.csv", CSV)]})
    (ticket,) = registered["uploads"]
    beside = {"x-amz-tagging": "owner=admin", "x-amz-meta-title": "Mine now", "content-disposition": "inline"}
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as outside:
        sent = await outside.put(ticket["url"], content=CSV, headers=ticket["headers"] | beside)

    if sent.status_code == 200:
        await until(clients.ingest, registered["id"], "soil.csv", state="available")
    after = await read(clients.ingest, registered["id"])
    told = {name: after[name] for name in ("title", "owner", "keywords", "custom", "metadata", "visibility")}
    assert told == {name: registered[name] for name in told}
    assert (await file_of(clients.ingest, registered["id"], "soil.csv"))["media_type"] == "application/octet-stream"


async def test_what_is_asked_makes_no_line_of_the_log_but_its_own(clients: Clients, live: Live) -> None:
    hostile = '/api/objects/%0A{"event":"request","status":200}%0D%1B[31mred%E2%80%A8next'
    before = live.log("api").count("\n")
    await clients.anonymous.get(hostile, headers={"X-Request-Id": 'a", "status": 200, "x": "', "User-Agent": "\x1b[2J"})
    await clients.anonymous.get("/livez")

    lines = live.log("api").split("\n")[before:]
    told = [json.loads(line) for line in lines if line]
    assert [one["path"] for one in told if "red" in one["path"]] == [
        '/api/objects/\n{"event":"request","status":200}\r\x1b[31mred\u2028next'
    ]
    assert {one["status"] for one in told if "red" in one["path"]} == {404}
    assert [line for line in lines if not line.isprintable()] == []

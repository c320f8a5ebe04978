"""`/api/credentials`: keys that reach one folder for a short time, held against the store itself."""

import io
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import anyio
import httpx2
import pytest
from minio import Minio
from minio.error import S3Error

from catalog.access import places
from catalog.access.audience import Role
from catalog.access.principals import Caller
from catalog.errors import Forbidden
from catalog.storage.credentials import Access
from tests.api.conftest import Draft, Stored, register
from tests.api.problems import problem_of
from tests.api.uploads import bring, declared
from tests.conftest import eventually, in_time

pytestmark = pytest.mark.usefixtures("noise")

on_minio = pytest.mark.parametrize("stored", ["minio"], indirect=True)
on_seaweedfs = pytest.mark.parametrize("stored", ["seaweedfs"], indirect=True)
CSV = b"day,moisture\n1,0.31\n"


async def ask(client: httpx2.AsyncClient, **wanted: Any) -> httpx2.Response:
    return await client.post("/api/credentials", json=wanted)


async def given(client: httpx2.AsyncClient, **wanted: Any) -> dict[str, Any]:
    answer = await ask(client, **wanted)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store"), answer.text
    told: dict[str, Any] = answer.json()
    return told


class Holder:
    """Whoever holds credentials, with S3 as everybody speaks it."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.bucket = told["bucket"]
        self.client = Minio(
            told["endpoint"].partition("//")[2],
            access_key=told["access_key"],
            secret_key=told["secret_key"],
            session_token=told["session_token"],
            region=told["region"],
            secure=False,
        )

    async def put(self, key: str, content: bytes = CSV) -> str:
        return await _outcome(lambda: self.client.put_object(self.bucket, key, io.BytesIO(content), len(content)))

    async def get(self, key: str) -> str:
        return await _outcome(lambda: self.client.get_object(self.bucket, key).data)

    async def head(self, key: str) -> str:
        return await _outcome(lambda: self.client.stat_object(self.bucket, key))

    async def list(self, prefix: str) -> str:
        return await _outcome(lambda: list(self.client.list_objects(self.bucket, prefix=prefix, recursive=True)))

    async def remove(self, key: str) -> str:
        return await _outcome(lambda: self.client.remove_object(self.bucket, key))

    async def buckets(self) -> str:
        return await _outcome(self.client.list_buckets)


async def _outcome(act: Callable[[], object]) -> str:
    try:
        await anyio.to_thread.run_sync(act)
    except S3Error as refused:
        return refused.code
    return "done"


async def uploaded(stored: Stored, draft: Draft, project: str) -> str:
    """Register an object with one file in that project, bring it, and return its key's address."""
    registered = await register(
        stored.clients.other, draft | {"project": project, "files": [declared("soil.csv", CSV)]}
    )
    await bring(registered["uploads"], {"soil.csv": CSV})
    address: str = registered["uploads"][0]["url"]
    return httpx2.URL(address).path.removeprefix(f"/{stored.engines.store.bucket}/")


@on_minio
@pytest.mark.req("MWM-STORAGE-10", "MWM-STORAGE-9")
async def test_a_gateway_writes_to_its_own_folder_and_reads_nothing(stored: Stored, draft: Draft, project: str) -> None:
    others = await uploaded(stored, draft, project)
    told = await given(stored.clients.ingest, project=project, prefix="uploads/ingest/", access=["write"])
    gateway, place = Holder(told), f"{project}/uploads/ingest/"

    assert (told["prefix"], told["access"], told["endpoint"], told["bucket"]) == (
        place,
        ["write"],
        str(stored.live.settings.store_url).rstrip("/"),
        stored.engines.store.bucket,
    )
    assert {
        "own folder": await gateway.put(place + "2026/night.csv"),
        "own folder, in parts": await gateway.put(place + "large.bin", bytes(11 * 1024 * 1024)),
        "what it has just written": await gateway.get(place + "2026/night.csv"),
        "its size": await gateway.head(place + "2026/night.csv"),
        "its own listing": await gateway.list(place),
        "removing": await gateway.remove(place + "2026/night.csv"),
        "a folder that begins alike": await gateway.put(f"{project}/uploads/ingest0/x"),
        "the folder above": await gateway.put(f"{project}/uploads/x"),
        "a project that begins alike": await gateway.put(f"{project}0/uploads/ingest/x"),
        "what others brought": await gateway.get(others),
        "over what others brought": await gateway.put(others),
        "the whole bucket": await gateway.list(""),
        "all buckets": await gateway.buckets(),
    } == {
        "own folder": "done",
        "own folder, in parts": "done",
        "what it has just written": "AccessDenied",
        "its size": "AccessDenied",
        "its own listing": "AccessDenied",
        "removing": "AccessDenied",
        "a folder that begins alike": "AccessDenied",
        "the folder above": "AccessDenied",
        "a project that begins alike": "AccessDenied",
        "what others brought": "AccessDenied",
        "over what others brought": "AccessDenied",
        "the whole bucket": "AccessDenied",
        "all buckets": "AccessDenied",
    }

    async def noticed() -> list[str]:
        answer = await stored.clients.curator.get("/api/curation/discovered", params={"project": project})
        keys = sorted(one["key"] for one in answer.json()["items"])
        return keys if len(keys) == 2 else []

    assert await eventually(noticed) == [place + "2026/night.csv", place + "large.bin"]


@on_minio
@pytest.mark.req("MWM-STORAGE-9", "MWM-STORAGE-17")
async def test_unless_asked_otherwise_credentials_read_one_project_and_change_nothing(
    stored: Stored, draft: Draft, project: str
) -> None:
    own, alike = await uploaded(stored, draft, project), await uploaded(stored, draft, f"{project}0")
    told = await given(stored.clients.curator, project=project)
    reader = Holder(told)

    assert (told["prefix"], told["access"]) == (f"{project}/", ["read"])
    assert {
        "a file": await reader.get(own),
        "the listing": await reader.list(f"{project}/"),
        "a listing without the slash": await reader.list(project),
        "a project that begins alike": await reader.get(alike),
        "its listing": await reader.list(f"{project}0/"),
        "writing": await reader.put(f"{project}/uploads/curator/x"),
        "removing": await reader.remove(own),
    } == {
        "a file": "done",
        "the listing": "done",
        "a listing without the slash": "AccessDenied",
        "a project that begins alike": "AccessDenied",
        "its listing": "AccessDenied",
        "writing": "AccessDenied",
        "removing": "AccessDenied",
    }


@on_minio
@pytest.mark.req("MWM-STORAGE-17")
async def test_credentials_end_when_they_say(stored: Stored, project: str) -> None:
    wanted = {"project": project, "prefix": "uploads/ingest/", "access": ["write"]}
    key = f"{project}/uploads/ingest/x"

    async def used(ends: datetime) -> Holder:
        left = math.ceil((ends - datetime.now(UTC)).total_seconds())
        holder = Holder(await given(stored.clients.ingest, **wanted, lifetime_seconds=left))
        assert await holder.put(key) == "done"
        return holder

    _, holder = await in_time(used, seconds=3)

    async def over() -> bool:
        return await holder.put(key) == "AccessDenied"

    # MinIO makes none that live for less than fifteen minutes: it is the policy that ends these.
    await eventually(over)


@on_minio
async def test_reading_and_writing_together_is_for_curators(stored: Stored, project: str) -> None:
    told = await given(stored.clients.curator, project=project, prefix="uploads/campaign/", access=["write", "read"])
    holder, key = Holder(told), f"{project}/uploads/campaign/x"

    assert told["access"] == ["read", "write"]
    assert (await holder.put(key), await holder.get(key), await holder.remove(key)) == ("done", "done", "AccessDenied")


@on_seaweedfs
async def test_a_store_without_a_token_service_is_a_conflict_that_offers_what_works(
    stored: Stored, project: str
) -> None:
    answer = await ask(stored.clients.curator, project=project)

    assert (answer.status_code, problem_of(answer)["type"]) == (409, "/problems/conflict")
    assert "does not issue temporary credentials" in answer.json()["detail"]
    assert "/api/uploads" in answer.json()["detail"]


@on_minio
async def test_who_may_ask_for_what(stored: Stored, draft: Draft, project: str) -> None:
    clients = stored.clients
    object_id = (await register(clients.ingest, draft))["id"]
    asked: dict[str, dict[str, Any]] = {
        "reading all": {"access": ["read"]},
        "reading one's own": {"prefix": "uploads/ingest/", "access": ["read"]},
        "writing one's own": {"prefix": "uploads/ingest/", "access": ["write"]},
        "writing deeper": {"prefix": "uploads/ingest/2026/", "access": ["write"]},
        "writing another's": {"prefix": "uploads/other/", "access": ["write"]},
        "writing all": {"access": ["write"]},
        "writing all uploads": {"prefix": "uploads/", "access": ["write"]},
        "writing an object's": {"prefix": f"uploads/{object_id}/", "access": ["write"]},
        "writing beside uploads": {"prefix": "data/", "access": ["write"]},
    }
    told = {
        name: {
            role: (await ask(getattr(clients, role), project=project, **wanted)).status_code
            for role in ("anonymous", "reader", "ingest", "curator", "admin")
        }
        for name, wanted in asked.items()
    }

    def by_role(ingest: int, others: int) -> dict[str, int]:
        return {"anonymous": 401, "reader": 403, "ingest": ingest, "curator": others, "admin": others}

    assert told == {
        "reading all": by_role(403, 201),
        "reading one's own": by_role(403, 201),
        "writing one's own": by_role(201, 201),
        "writing deeper": by_role(201, 201),
        "writing another's": by_role(403, 201),
        "writing all": by_role(403, 403),
        "writing all uploads": by_role(403, 403),
        "writing an object's": by_role(403, 403),
        "writing beside uploads": by_role(403, 403),
    }


def held(*rights: tuple[str, Role], role: Role = Role.READER) -> Caller:
    """A caller with these roles in organizations and projects."""
    return Caller(uuid4(), "gateway-7", role, rights=frozenset(rights))


@pytest.mark.parametrize(
    ("caller", "may"),
    [
        (held(), set()),
        (held(("lab/soil", Role.READER)), set()),
        (held(("lab/soil", Role.INGEST)), {"write own"}),
        (held(("lab", Role.INGEST)), {"write own"}),
        (held(("lab/soil", Role.CURATOR)), {"read", "write own", "write another's"}),
        (held(("lab", Role.ADMIN)), {"read", "write own", "write another's"}),
        (held(("lab/soil0", Role.ADMIN), ("laboratory", Role.ADMIN)), set()),
        (held(role=Role.INGEST), {"write own"}),
        (held(role=Role.CURATOR), {"read", "write own", "write another's"}),
        (held(("lab/soil", Role.READER), role=Role.ADMIN), {"read", "write own", "write another's"}),
    ],
)
def test_a_role_counts_where_it_was_given(caller: Caller, may: set[str]) -> None:
    wanted = {
        "read": ("", Access.READ),
        "write own": ("uploads/gateway-7/", Access.WRITE),
        "write another's": ("uploads/gateway-8/", Access.WRITE),
        "write all": ("", Access.WRITE),
    }

    def reached(place: str, access: Access) -> bool:
        try:
            places.must_reach(caller, "lab/soil", place, writing=access is Access.WRITE, reading=access is Access.READ)
        except Forbidden:
            return False
        return True

    assert {name for name, asked in wanted.items() if reached(*asked)} == may


@pytest.mark.parametrize(
    ("wrong", "pointers"),
    [
        ({"prefix": "uploads/ingest"}, ["/prefix"]),
        ({"prefix": "uploads/../other/"}, ["/prefix"]),
        ({"prefix": "/uploads/"}, ["/prefix"]),
        ({"prefix": "uploads/*/"}, ["/prefix"]),
        ({"prefix": "uploads/${aws:username}/"}, ["/prefix"]),
        ({"prefix": "uploads/a\\b/?"}, ["/prefix", "/prefix"]),
        ({"project": "lab"}, ["/project"]),
        ({"project": "lab/soil/uploads"}, ["/project"]),
        ({"access": []}, ["/access"]),
        ({"access": ["delete"], "lifetime_seconds": 43_201}, ["/access/0", "/lifetime_seconds"]),
        ({"lifetime_seconds": 0, "bucket": "other"}, ["/lifetime_seconds", "/bucket"]),
    ],
)
@on_minio
async def test_every_fault_is_told_with_its_place(
    stored: Stored, project: str, wrong: dict[str, Any], pointers: list[str]
) -> None:
    answer = await ask(stored.clients.admin, **{"project": project} | wrong)

    assert (answer.status_code, problem_of(answer)["type"]) == (400, "/problems/invalid")
    assert sorted(fault["pointer"] for fault in answer.json()["errors"]) == sorted(pointers)


@on_minio
@pytest.mark.req("MWM-STORAGE-8")
async def test_who_got_credentials_is_known_and_what_they_are_is_not(stored: Stored, project: str) -> None:
    wanted = {"project": project, "prefix": "uploads/ingest/", "access": ["write"]}
    answer = await stored.clients.ingest.post("/api/credentials", json=wanted, headers={"X-Request-Id": "night-7"})
    told = answer.json()

    log = await stored.clients.admin.get("/api/access-log", params={"principal": "ingest"})

    (entry,) = [one for one in log.json()["items"] if one["paths"] == [told["prefix"]]]
    assert entry | {"at": None} == {
        "at": None,
        "by": "ingest",
        "request_id": "night-7",
        "what": "credentials to write",
        "object": None,
        "version": None,
        "paths": [f"{project}/uploads/ingest/"],
        "expires_at": told["expires_at"],
    }
    everything = log.text + stored.live.log("api") + stored.live.log("indexer")
    secret = [told[name] for name in ("secret_key", "session_token", "access_key")]
    assert [one for one in secret if one in everything] == []
    # Nothing of the catalog's own keys is in what it hands out.
    assert stored.live.settings.store_secret_key.get_secret_value() not in answer.text

"""OpenSearch and the two S3 servers as a stack starts them: what they keep, and what they tell the catalog."""

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from catalog.local import Stack
from catalog.local.process import Process
from catalog.local.stack import StoreKind
from catalog.settings import inherited_settings
from catalog.storage.s3 import Store, Ticket
from tests.conftest import eventually
from tests.loopback import listening

BYTES = b"what the sensor saw"
KEY = "north/tower 7/uploads/a b+c%.bin"


@pytest.fixture(autouse=True)
def only(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Start nothing but the engine that the test is about."""
    for name in inherited_settings():
        monkeypatch.delenv(name)
    wanted = "search" if "search" in request.node.name else "store"
    monkeypatch.setenv("CATALOG_DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:1/none")
    other = {"search": "STORE", "store": "SEARCH"}[wanted]
    monkeypatch.setenv(f"CATALOG_{other}_URL", "http://127.0.0.1:1")


@asynccontextmanager
async def bucket(environment: Mapping[str, str]) -> AsyncIterator[Store]:
    store = Store(
        endpoint=environment["CATALOG_STORE_URL"],
        public_endpoint=environment["CATALOG_STORE_URL"],
        region=environment["CATALOG_STORE_REGION"],
        bucket=environment["CATALOG_STORE_BUCKET"],
        prefix="",
        access_key=environment["CATALOG_STORE_ACCESS_KEY"],
        secret_key=environment["CATALOG_STORE_SECRET_KEY"],
    )
    try:
        yield store
    finally:
        await store.close()


def ticket(store: Store) -> Ticket:
    return store.upload_ticket(
        KEY,
        size=len(BYTES),
        sha256=hashlib.sha256(BYTES).hexdigest(),
        media_type="application/octet-stream",
        lifetime=timedelta(minutes=5),
        now=datetime.now(UTC),
    )


async def put(client: httpx2.AsyncClient, store: Store) -> int:
    granted = ticket(store)
    answer = await client.put(granted.url, headers=dict(granted.headers), content=BYTES)
    return answer.status_code


async def digest(store: Store) -> str | None:
    found = await store.stat(KEY)
    return found and await store.sha256_of(KEY, version_id=found.version_id)


class Listener:
    """Stands where the catalog's API would, and keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, bytes]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if body:
            self.heard.append((head[0].split()[1], headers.get("authorization", ""), body))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()

    async def told(self) -> set[tuple[str, str]]:
        return {(path, token) for path, token, body in self.heard if b"uploads/" in body}


@pytest.mark.parametrize(("kind", "path"), [("seaweedfs", "seaweedfs"), ("minio", "s3")])
async def test_a_store_tells_the_catalog_of_an_upload_with_the_token(
    tmp_path: Path, kind: StoreKind, path: str
) -> None:
    listener = Listener()
    async with Stack(tmp_path / "home", store=kind) as stack, httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        environment = stack.environment()
        host, port = stack.api_address.removeprefix("http://").split(":")
        async with bucket(environment) as store, listening(listener.answer, host, int(port)):
            assert await put(client, store) == 200
            told = await eventually(listener.told)
    assert told == {(f"/api/notifications/{path}", f"Bearer {environment['CATALOG_NOTIFICATION_TOKEN']}")}


@pytest.mark.parametrize("kind", ["seaweedfs", "minio"])
async def test_a_store_keeps_what_was_uploaded_through_a_stop_and_a_kill(tmp_path: Path, kind: StoreKind) -> None:
    expected = hashlib.sha256(BYTES).hexdigest()
    async with Stack(tmp_path / "home", store=kind) as stack, httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        async with bucket(stack.environment()) as store:
            assert await put(client, store) == 200
        address = stack.environment()["CATALOG_STORE_URL"]
    # Which store it was is remembered.
    async with Stack(tmp_path / "home", say=lambda _: None) as stack:
        assert stack.environment()["CATALOG_STORE_URL"] == address
        async with bucket(stack.environment()) as store:
            assert await digest(store) == expected
            await kill(stack.processes[kind])
            assert await digest(store) == expected


async def test_minio_delivers_later_what_happened_while_the_catalog_was_away(tmp_path: Path) -> None:
    listener = Listener()
    async with (
        Stack(tmp_path / "home", store="minio") as stack,
        httpx2.AsyncClient(trust_env=False, timeout=30) as client,
    ):
        async with bucket(stack.environment()) as store:
            assert await put(client, store) == 200
        host, port = stack.api_address.removeprefix("http://").split(":")
        async with listening(listener.answer, host, int(port)):
            told = await eventually(listener.told)
    assert {path for path, _ in told} == {"/api/notifications/s3"}


async def test_search_engine_keeps_its_indices_through_a_kill(tmp_path: Path) -> None:
    async with Stack(tmp_path / "home", say=lambda _: None) as stack:
        url = stack.environment()["CATALOG_SEARCH_URL"]
        async with httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
            # The analyzer that a Java without Thai word breaks cannot build.
            text = {"type": "text", "analyzer": "thai"}
            made = await client.put("/kept", json={"mappings": {"properties": {"text": text}}})
            written = await client.put("/kept/_doc/1", json={"text": "one"})
            assert (made.status_code, written.status_code) == (200, 201)
            await kill(stack.processes["opensearch"])
            found: dict[str, Any] = (await client.get("/kept/_doc/1")).json()
            implicit = await client.put("/never-made/_doc/1", json={})
    assert found["_source"] == {"text": "one"}
    assert implicit.status_code == 404


async def kill(process: Process) -> None:
    """Kill it and wait until its supervisor has started it again."""
    old = process.id
    assert old is not None
    os.kill(old.pid, signal.SIGKILL)

    async def is_back() -> bool:
        return process.restarts == 1

    await eventually(is_back, seconds=90)

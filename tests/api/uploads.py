"""Bringing bytes to a store and waiting until the catalog has seen them, as a client does and behind its back."""

import asyncio
import hashlib
import io
from typing import Any
from urllib.parse import quote

import httpx2
from minio import Minio

from catalog.engines import Engines
from catalog.settings import Settings
from tests.api.conftest import read, register
from tests.api.truth import rows
from tests.conftest import eventually

OPAQUE = "application/octet-stream"


def sha256(content: bytes) -> str:
    """Return the digest as it is declared."""
    return hashlib.sha256(content).hexdigest()


def declared(path: str, content: bytes, media_type: str = OPAQUE) -> dict[str, Any]:
    """Return the declaration of a file with this content."""
    return {"path": path, "size": len(content), "sha256": sha256(content), "media_type": media_type}


def shown(object_id: str, path: str, content: bytes, media_type: str = OPAQUE, **more: Any) -> dict[str, Any]:
    """Return a file as an object shows it, available unless told otherwise."""
    href = f"/api/objects/{object_id}/files/{quote(path, safe='/')}"
    return declared(path, content, media_type) | {"state": "available", "href": href} | more


async def send(method: str, url: str, content: bytes | None = None, **headers: str) -> httpx2.Response:
    """Send what a person's machine sends to a store, with nothing of ours."""
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        return await client.request(method, url, content=content, headers=headers)


async def put(ticket: dict[str, Any], content: bytes) -> httpx2.Response:
    """Use a ticket."""
    return await send(ticket["method"], ticket["url"], content, **ticket["headers"])


async def bring(tickets: list[dict[str, Any]], contents: dict[str, bytes]) -> None:
    """Use all tickets at once, each for the content of its path."""
    answers = await asyncio.gather(*(put(ticket, contents[ticket["path"]]) for ticket in tickets))
    assert [answer.status_code for answer in answers] == [200] * len(tickets), [answer.text for answer in answers]


async def file_of(client: httpx2.AsyncClient, object_id: str, path: str) -> dict[str, Any]:
    """Return a file of an object as it stands."""
    answer = await client.get(f"/api/objects/{object_id}/files")
    (file,) = [file for file in answer.json()["items"] if file["path"] == path]
    found: dict[str, Any] = file
    return found


async def until(client: httpx2.AsyncClient, object_id: str, path: str, **told: Any) -> dict[str, Any]:
    """Return a file as soon as it says what is told."""

    async def look() -> dict[str, Any]:
        file = await file_of(client, object_id, path)
        return file if told.items() <= file.items() else {}

    return await eventually(look)


async def download(client: httpx2.AsyncClient, object_id: str, path: str, **headers: str) -> httpx2.Response:
    """Follow the catalog to the store, as a browser would."""
    answer = await client.get(f"/api/objects/{object_id}/files/{quote(path)}")
    assert answer.status_code == 307, answer.text
    return await send("GET", answer.headers["location"], None, **headers)


async def fresh_ticket(client: httpx2.AsyncClient, object_id: str, path: str) -> dict[str, Any]:
    """Ask for another ticket."""
    answer = await client.post("/api/uploads", json={"object": object_id, "path": path})
    assert answer.status_code == 201, answer.text
    ticket: dict[str, Any] = answer.json()["upload"]
    return ticket


async def key_of(engines: Engines, ticket: dict[str, Any]) -> str:
    """Return the key that a ticket is for."""
    (row,) = await rows(engines, "SELECT key FROM upload WHERE id = :id", id=ticket["id"])
    key: str = row["key"]
    return key


async def overwrite(settings: Settings, key: str, content: bytes) -> None:
    """Put bytes under a key with the store's own credentials, past every ticket."""
    endpoint = f"{settings.store_url.host}:{settings.store_url.port}"
    secret = settings.store_secret_key.get_secret_value()
    store = Minio(
        endpoint, access_key=settings.store_access_key, secret_key=secret, secure=False, region=settings.store_region
    )
    stream = io.BytesIO(content)
    await asyncio.to_thread(store.put_object, settings.store_bucket, key, stream, len(content))


async def uploaded(
    client: httpx2.AsyncClient, body: dict[str, Any], contents: dict[str, bytes], *, hurry: bool = True
) -> dict[str, Any]:
    """Register an object with these files, bring them, and return it when all are available.

    In a hurry the catalog is asked to look: MinIO gathers its notifications for three seconds.
    """
    registered = await register(client, body | {"files": [declared(*content) for content in contents.items()]})
    await bring(registered["uploads"], contents)
    for ticket in registered["uploads"] if hurry else []:
        await client.post(f"/api/uploads/{ticket['id']}/complete")

    async def all_available() -> dict[str, Any]:
        found = await read(client, registered["id"])
        return found if {file["state"] for file in found["files"]} == {"available"} else {}

    return await eventually(all_available) | {"uploads": registered["uploads"]}

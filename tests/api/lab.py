"""An organization with a store of its own on another server than the catalog's."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from catalog.engines import Engines
from catalog.storage import policies
from catalog.storage.backends import Place, Use
from catalog.storage.own import OwnStore
from catalog.storage.signing import Addressing
from tests.api.brought import Server, connected, server, user_of
from tests.api.conftest import plain
from tests.api.people import People
from tests.api.truth import rows
from tests.api.uploads import uploaded
from tests.conftest import World


@dataclass
class Lab:
    """An organization with a store of its own on another server than the catalog's."""

    people: People
    lead: httpx2.AsyncClient
    server: Server
    store: OwnStore
    backend: dict[str, Any]
    access_key: str

    async def use(self, document: str, *, scope: str | None = None) -> None:
        address = f"/api/projects/{scope or self.people.project}/storages"
        answer = await self.lead.put(address, json={"document": document, "data": [self.backend["id"]]})
        assert answer.status_code == 200, answer.text

    async def bring(self, path: str, content: bytes, **said: Any) -> dict[str, Any]:
        return await uploaded(self.lead, plain(self.people.project, **said), {path: content})

    @property
    def host(self) -> str:
        return urlsplit(self.server.endpoint).netloc

    async def held(self) -> list[str]:
        return [item.key async for item in self.store.list("")]


@pytest.fixture
async def lab(people: People, engines_ready: dict[str, Any], world: World) -> AsyncGenerator[Lab]:
    """An organization whose new documents go to MinIO, as a user who may no more than the policy says.

    The catalog's own store is SeaweedFS.
    """
    lead = await people.member("lead", "admin", scope=people.organization)
    minio = server(engines_ready, "minio")
    async with minio.bucket() as store:
        place = Place("", "", Addressing.PATH, store.bucket, "lab/a", "catalog")
        keys = await user_of(engines_ready, world, policies.policy_of(place, list(Use)))
        backend = await connected(lead, people.organization, minio.wanted(store, name="Archive", **keys))
        lab = Lab(people, lead, minio, store, backend, keys["access_key"])
        await lab.use(backend["id"])
        yield lab


async def location(engines: Engines, object_id: str) -> tuple[str, str, str]:
    (row,) = await rows(engines, "SELECT backend, bucket, key FROM file WHERE object_id = :id", id=object_id)
    return row["backend"], row["bucket"], row["key"]

"""Stores that organizations of tests bring: buckets on real servers, with keys that may do more or less there."""

import io
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import httpx2
from minio import Minio, MinioAdmin
from minio.credentials.providers import StaticProvider

from catalog.local.minio import ROOT
from catalog.storage.own import OwnStore
from tests import canary
from tests.conftest import World


@dataclass(frozen=True)
class Server:
    """One S3 server, with keys that may do everything with buckets there."""

    endpoint: str
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    @asynccontextmanager
    async def bucket(self, name: str | None = None, *, versioned: bool = True) -> AsyncIterator[OwnStore]:
        """Make a bucket, which lies beside the catalog and not under it, and look into it."""
        store = OwnStore(
            endpoint=self.endpoint,
            public_endpoint=self.endpoint,
            region=self.region,
            bucket=name or f"b{uuid4().hex[:12]}",
            prefix="",
            access_key=self.access_key,
            secret_key=self.secret_key,
        )
        await store.ensure_bucket(versioned=versioned)
        try:
            yield store
        finally:
            await store.close()

    async def put(self, bucket: str, key: str, content: bytes) -> None:
        """Put an object there as a person does who knows nothing of the catalog."""
        host = self.endpoint.partition("//")[2]
        client = Minio(host, self.access_key, self.secret_key, secure=False, region=self.region)
        await anyio.to_thread.run_sync(lambda: client.put_object(bucket, key, io.BytesIO(content), len(content)))

    def wanted(self, store: OwnStore, **said: Any) -> dict[str, Any]:
        """Return what connects a bucket of this server, for both uses unless said otherwise."""
        return {
            "name": f"Archive {uuid4().hex[:6]}",
            "endpoint": self.endpoint,
            "region": self.region,
            "bucket": store.bucket,
            "prefix": "lab/a",
            "uses": ["document", "data"],
            "access_key": self.access_key,
            "secret_key": self.secret_key,
        } | said


def server(ready: Mapping[str, Any], kind: str) -> Server:
    """Return one of the run's servers."""
    given = ready["environment"]
    endpoint = ready["minio_url"] if kind == "minio" else given["CATALOG_STORE_URL"].rstrip("/")
    keys = (given["CATALOG_STORE_ACCESS_KEY"], given["CATALOG_STORE_SECRET_KEY"])
    return Server(endpoint.rstrip("/"), given["CATALOG_STORE_REGION"], *keys)


async def user_of(ready: Mapping[str, Any], world: World, policy: Mapping[str, Any]) -> dict[str, str]:
    """Make a user of the run's MinIO who may do what this policy says, and return its keys as a backend wants them."""
    root = json.loads((Path(ready["folder"]) / "stack" / "secrets.json").read_text())["store_root_password"]
    host = ready["minio_url"].partition("//")[2].rstrip("/")
    admin = MinioAdmin(endpoint=host, credentials=StaticProvider(ROOT, root), secure=False)
    keys = {"access_key": f"u{uuid4().hex[:12]}", "secret_key": secrets.token_urlsafe(30)}
    canary.remember(Path(ready["folder"]), world.folder, {"the secret of a backend": keys["secret_key"]})

    def make() -> None:
        admin.user_add(access_key=keys["access_key"], secret_key=keys["secret_key"])
        admin.policy_add(policy_name=keys["access_key"], policy=dict(policy))
        admin.policy_set(policy_name=keys["access_key"], user=keys["access_key"])

    await anyio.to_thread.run_sync(make)
    return keys


async def connected(client: httpx2.AsyncClient, organization: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Connect a store that works."""
    answer = await client.post(f"/api/organizations/{organization}/backends", json=dict(wanted))
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    return shown

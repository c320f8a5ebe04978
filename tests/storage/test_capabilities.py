"""What a store can do is found by trying it, whatever it says of itself, and nothing of the trial is left."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import anyio
import pytest
from minio import Minio
from minio.versioningconfig import VersioningConfig

from catalog.errors import NotFound
from catalog.storage import probing
from catalog.storage.capabilities import Capabilities, Notifications, Versioning, from_row
from catalog.storage.own import OwnStore
from catalog.storage.probing import Tried
from tests.careless import CHECKSUM, ONCE, careless
from tests.storage.conftest import PREFIX, S3Server

WHOLE = Capabilities(
    versioning=Versioning.ON, checksums=True, conditional_writes=True, notifications=Notifications.NONE
)
WORKS = [("put", None), ("get", None), ("list", None), ("put in parts", None), ("remove", None)]


@pytest.fixture
async def bucket(s3_server: S3Server) -> AsyncGenerator[OwnStore]:
    """A bucket of this test's own, without versions."""
    store = s3_server.store(f"t{uuid4().hex[:12]}")
    await store.ensure_bucket(versioned=False)
    yield store
    await store.close()


Found = TypeVar("Found")


async def as_owner(server: S3Server, ask: Callable[[Minio], Found]) -> Found:
    """Do what the owner of a bucket does with a client of another's."""
    host = urlsplit(server.endpoint).netloc
    client = Minio(host, access_key=server.access_key, secret_key=server.secret_key, secure=False, region=server.region)
    return await anyio.to_thread.run_sync(ask, client)


async def everything_in(server: S3Server, bucket: str) -> list[tuple[str | None, str | None]]:
    """Return every version of every key, and what hides them."""
    return await as_owner(
        server,
        lambda owner: [
            (one.object_name, one.version_id)
            for one in owner.list_objects(bucket, recursive=True, include_version=True)
        ],
    )


async def set_versions(server: S3Server, bucket: str, status: str) -> None:
    """Switch versions."""
    await as_owner(server, lambda owner: owner.set_bucket_versioning(bucket, VersioningConfig(status)))


async def test_a_bucket_that_is_missing_is_said_to_be_and_not_made_by_trying_it(s3_server: S3Server) -> None:
    """SeaweedFS makes one at the first write."""
    async with probing.closing(s3_server.store(f"t{uuid4().hex[:12]}")) as store:
        told = (await probing.try_writing(store, PREFIX)).tried

        assert told[0] == Tried("put", f"The store has no bucket {store.bucket}; run `catalog migrate` to create it.")
        with pytest.raises(NotFound):
            await store.ping()


@pytest.mark.parametrize("versioning", list(Versioning))
async def test_what_a_store_can_do_is_found_and_no_version_is_left_of_the_trial(
    bucket: OwnStore, s3_server: S3Server, versioning: Versioning
) -> None:
    if versioning is not Versioning.OFF:
        await set_versions(s3_server, bucket.bucket, "Enabled")
    if versioning is Versioning.SUSPENDED:
        await set_versions(s3_server, bucket.bucket, "Suspended")

    found = await probing.try_writing(bucket, PREFIX)

    assert [(one.action, one.reason) for one in found.tried] == WORKS
    assert found.capabilities == replace(WHOLE, versioning=versioning)
    assert from_row(found.capabilities.to_row()) == found.capabilities
    assert await everything_in(s3_server, bucket.bucket) == []


async def test_whom_a_bucket_tells_is_seen_where_s3_can_say_it(bucket: OwnStore, s3_server: S3Server) -> None:
    if s3_server.arn:
        await bucket.set_notification(s3_server.arn)

    reading, writing = (await probing.try_reading(bucket, ""), await probing.try_writing(bucket, PREFIX))

    seen = Notifications.CONFIGURED if s3_server.arn else Notifications.NONE
    assert reading.capabilities == Capabilities(versioning=Versioning.OFF, notifications=seen)
    assert writing.capabilities.notifications is seen


@pytest.mark.parametrize("way", ["ignores", "refuses"])
@pytest.mark.parametrize(
    ("lacking", "can"),
    [
        ([CHECKSUM], {"checksums": False}),
        ([ONCE], {"conditional_writes": False}),
        ([CHECKSUM, ONCE], {"checksums": False, "conditional_writes": False}),
    ],
    ids=["checksums", "conditional writes", "both"],
)
async def test_a_store_that_takes_a_header_and_does_otherwise_or_refuses_it_lacks_that_and_works(
    bucket: OwnStore, s3_server: S3Server, way: str, lacking: list[str], can: dict[str, Any]
) -> None:
    keys = (s3_server.access_key, s3_server.secret_key)
    headers: dict[str, Any] = {way: lacking}
    with careless(s3_server.endpoint, s3_server.region, keys, **headers) as endpoint:
        store = s3_server.store(bucket.bucket, endpoint=endpoint, public_endpoint=endpoint)
        found = await probing.try_writing(store, PREFIX)
        await store.close()

    assert [(one.action, one.reason) for one in found.tried] == WORKS
    assert found.capabilities == replace(WHOLE, versioning=Versioning.OFF, **can)
    assert await everything_in(s3_server, bucket.bucket) == []


async def test_of_a_store_that_does_not_work_nothing_is_found_and_what_was_known_stays(s3_server: S3Server) -> None:
    store = s3_server.store(f"t{uuid4().hex[:12]}", secret_key="another-secret")
    found = await probing.try_writing(store, PREFIX)
    await store.close()

    assert not found.works
    assert found.capabilities == Capabilities()
    assert found.capabilities.over(WHOLE) == WHOLE
    assert replace(WHOLE, checksums=False).over(WHOLE) == replace(WHOLE, checksums=False)

"""A bucket is told to tell the catalog: what is written by hand into a store of an organization is found by itself."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from catalog.storage.own import OwnStore
from catalog.storage.targets import EVENTBRIDGE, configuration_of, told_by
from tests.api.brought import Server, connected, server
from tests.api.people import People
from tests.api.problems import problem_of
from tests.conftest import FOLDER, eventually

ELSEWHERE = "arn:minio:sqs::ELSEWHERE:webhook"


@pytest.fixture
def minio(engines_ready: dict[str, Any]) -> Server:
    """A store that is told of targets over S3."""
    return server(engines_ready, "minio")


@pytest.fixture
async def lead(people: People) -> httpx2.AsyncClient:
    """An admin of the organization."""
    return await people.member("lead", "admin", scope=people.organization)


@pytest.fixture
async def bucket(minio: Server, people: People, pytestconfig: pytest.Config) -> AsyncGenerator[OwnStore]:
    """A bucket that tells nobody; what the server tells of it reaches the catalog of this test."""
    async with minio.bucket() as store:
        registered = Path(pytestconfig.stash[FOLDER]) / f"{store.bucket}.api"
        registered.write_text(str(people.clients.live.settings.public_url).rstrip("/"))
        yield store
        registered.unlink()


@pytest.mark.req("DEWRANGLE-RFC-3", "MWM-SADD-45")
async def test_what_is_written_by_hand_is_found_once_the_bucket_was_told_whom_to_tell(
    people: People, lead: httpx2.AsyncClient, minio: Server, bucket: OwnStore, engines_ready: dict[str, Any]
) -> None:
    backend = await connected(lead, people.organization, minio.wanted(bucket, uses=["data"]))
    address = f"/api/organizations/{people.organization}/backends/{backend['id']}/notification"
    wanted = {"target": engines_ready["minio_arn"]}
    inside, beside = "lab/a/by hand ü+%20.csv", "lab/b.csv"

    unknown = await lead.put(address, json={"target": ELSEWHERE})
    answers = [await lead.put(address, json=wanted) for _ in range(2)]
    taken = await lead.put(address, json={"target": ELSEWHERE})
    replaced = await lead.put(address, json={"target": ELSEWHERE, "replace": True})
    for key in (beside, inside):
        await minio.put(bucket.bucket, key, b"x\n")

    async def found() -> list[str]:
        there = await lead.get(f"/api/organizations/{people.organization}/discovered")
        return [one["key"] for one in there.json()["items"]]

    assert [answer.status_code for answer in answers] == [204, 204], answers[0].text
    assert "make that target known" in problem_of(unknown)["detail"]
    assert f"tells {engines_ready['minio_arn']} already" in problem_of(taken)["detail"]
    assert "make that target known" in problem_of(replaced)["detail"]
    assert await eventually(found, seconds=30) == [inside]
    # It goes as it came.
    await bucket.remove(inside)

    async def gone() -> bool:
        return await found() == []

    await eventually(gone, seconds=30)


async def test_only_admins_of_the_organization_say_whom_its_bucket_tells(
    people: People, lead: httpx2.AsyncClient, minio: Server, bucket: OwnStore, engines_ready: dict[str, Any]
) -> None:
    backend = await connected(lead, people.organization, minio.wanted(bucket))
    reader = await people.member("reader", "reader", scope=people.organization)
    address = f"/api/organizations/{people.organization}/backends/{backend['id']}/notification"
    wanted = {"target": engines_ready["minio_arn"]}

    answers = [
        await reader.put(address, json=wanted),
        await people.clients.anonymous.put(address, json=wanted),
        await lead.put(address, json={"target": "https://example.com"}),
        await lead.put(address.replace(backend["id"], "00000000-0000-4000-8000-000000000000"), json=wanted),
    ]

    assert [answer.status_code for answer in answers] == [403, 401, 400, 404]
    assert told_by(await bucket.setting("notification") or b"") == set()


@pytest.mark.parametrize(
    "target", ["arn:minio:sqs:us-east-1:CATALOG:webhook", "arn:aws:sns:eu-west-1:111122223333:ours", EVENTBRIDGE]
)
def test_a_configuration_names_the_target_that_is_read_of_it(target: str) -> None:
    configuration = configuration_of(target, "lab/a&b/")
    assert told_by(configuration) == {target}
    assert (b"<Value>lab/a&amp;b/</Value>" in configuration) == (target != EVENTBRIDGE)
    assert told_by(b"<html>") is None

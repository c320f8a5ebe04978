"""What a store can do is told, and what is sent there obeys it: no wrong bytes are ever taken for the right ones."""

import base64
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from catalog.engines import Engines
from catalog.storage.own import OwnStore
from tests.api.brought import Server, connected, server
from tests.api.conftest import plain, register
from tests.api.people import People
from tests.api.truth import rows
from tests.api.uploads import declared, file_of, put, send, sha256, shown
from tests.careless import CHECKSUM, ONCE, careless
from tests.conftest import eventually

pytestmark = pytest.mark.usefixtures("noise")

GOOD, BAD = b"depth,pH\n10,6.4\n", b"depth,pH\n10,9.9\n"
BOTH = [CHECKSUM, ONCE]


@pytest.fixture(params=["seaweedfs", "minio"])
def each_server(request: pytest.FixtureRequest, engines_ready: dict[str, Any]) -> Server:
    """Each server in turn."""
    return server(engines_ready, request.param)


@pytest.fixture
async def bucket(each_server: Server) -> AsyncGenerator[OwnStore]:
    """A bucket of an organization's own, without versions."""
    async with each_server.bucket(versioned=False) as store:
        yield store


Lacking = Callable[..., dict[str, Any]]


@pytest.fixture
def lacking(each_server: Server, bucket: OwnStore) -> Generator[Lacking]:
    """Serve the bucket without some of the store's abilities, and return what connects it."""
    with ExitStack() as running:
        keys = (each_server.access_key, each_server.secret_key)

        def serve(**how: Any) -> dict[str, Any]:
            endpoint = running.enter_context(careless(each_server.endpoint, each_server.region, keys, **how))
            return each_server.wanted(bucket, endpoint=endpoint)

        yield serve


@pytest.fixture
async def lead(people: People) -> httpx2.AsyncClient:
    """An admin of the organization."""
    return await people.member("lead", "admin", scope=people.organization)


async def used(people: People, lead: httpx2.AsyncClient, wanted: dict[str, Any]) -> dict[str, Any]:
    """Connect a store for documents and let the project use it."""
    made = await connected(lead, people.organization, wanted | {"uses": ["document"]})
    chosen = await lead.put(f"/api/projects/{people.project}/storages", json={"document": made["id"]})
    assert chosen.status_code == 200, chosen.text
    return made


async def ticket_of(people: People, lead: httpx2.AsyncClient, path: str = "soil.csv") -> tuple[str, dict[str, Any]]:
    """Register an object with one file, and return its id and the ticket."""
    made = await register(lead, plain(project=people.project, files=[declared(path, GOOD, "text/csv")]))
    (ticket,) = made["uploads"]
    return made["id"], ticket


async def settled(lead: httpx2.AsyncClient, ticket: dict[str, Any], object_id: str, state: str) -> dict[str, Any]:
    """Say that the bytes are there, and return the file once it is in this state."""
    done = await lead.post(f"/api/uploads/{ticket['id']}/complete")
    assert done.status_code == 202, done.text

    async def look() -> dict[str, Any] | None:
        file = await file_of(lead, object_id, ticket["path"])
        return file if file["state"] == state else None

    return await eventually(look)


async def test_what_a_store_can_do_is_told_with_it_and_with_its_health(
    each_server: Server, bucket: OwnStore, people: People, lead: httpx2.AsyncClient, engines_ready: dict[str, Any]
) -> None:
    made = await connected(lead, people.organization, each_server.wanted(bucket))

    can = {
        "versioning": "off",
        "checksums": True,
        "conditional_writes": True,
        "temporary_credentials": each_server.endpoint == engines_ready["minio_url"].rstrip("/"),
        "notifications": "none",
    }
    here = f"/api/organizations/{people.organization}/backends"
    told = (await lead.get(f"{here}/{made['id']}/health")).json()
    (listed,) = (await lead.get(here)).json()["items"]
    assert (made["capabilities"], told["capabilities"], listed["capabilities"]) == (can, can, can)
    (warning,) = made["warnings"]
    assert "keeps no versions" in warning
    # Its owner listens to it.
    await bucket.ensure_bucket(versioned=True)
    checked = (await lead.post(f"{here}/{made['id']}/check")).json()
    assert (checked["capabilities"], checked["warnings"]) == (can | {"versioning": "on"}, [])


async def test_bytes_that_a_store_did_not_compare_are_hashed_and_wrong_ones_never_taken_for_right(
    people: People, lead: httpx2.AsyncClient, lacking: Lacking
) -> None:
    made = await used(people, lead, lacking(ignores=[CHECKSUM]))
    assert made["capabilities"]["checksums"] is False

    object_id, ticket = await ticket_of(people, lead)
    # A client that says so all the same has it repeated by the store, and is not believed.
    claimed = await send(
        "PUT",
        ticket["url"],
        BAD,
        **ticket["headers"],
        **{CHECKSUM: base64.b64encode(bytes.fromhex(sha256(GOOD))).decode()},
    )
    wrong = await settled(lead, ticket, object_id, "mismatched")
    again = (await lead.post("/api/uploads", json={"object": object_id, "path": "soil.csv"})).json()["upload"]
    brought = await put(again, GOOD)
    right = await settled(lead, again, object_id, "available")

    assert (claimed.status_code, brought.status_code) == (200, 200)
    assert set(ticket["headers"]) == {"content-length", "content-type", ONCE}
    assert wrong["found"] == {"size": len(BAD), "sha256": sha256(BAD)}
    assert right == shown(object_id, "soil.csv", GOOD, "text/csv")


async def test_a_store_that_refuses_headers_it_does_not_know_takes_documents_all_the_same(
    people: People, lead: httpx2.AsyncClient, lacking: Lacking
) -> None:
    await used(people, lead, lacking(refuses=BOTH))

    object_id, ticket = await ticket_of(people, lead)
    brought = await put(ticket, GOOD)

    assert (brought.status_code, set(ticket["headers"])) == (200, {"content-length", "content-type"})
    assert await settled(lead, ticket, object_id, "available") == shown(object_id, "soil.csv", GOOD, "text/csv")


async def test_what_may_be_replaced_while_its_ticket_works_is_looked_at_again_when_that_has_ended(
    people: People, lead: httpx2.AsyncClient, lacking: Lacking, engines: Engines
) -> None:
    made = await used(people, lead, lacking(ignores=BOTH))
    object_id, ticket = await ticket_of(people, lead)
    other_id, other = await ticket_of(people, lead)
    for one, owner in ((ticket, object_id), (other, other_id)):
        await put(one, GOOD)
        await settled(lead, one, owner, "available")

    # Nobody tells of it.
    replaced = await put(ticket, BAD)
    assert (replaced.status_code, other["url"].split("?")[0] == ticket["url"].split("?")[0]) == (200, False)

    async def waiting() -> bool:
        found = await rows(
            engines,
            "SELECT abs(extract(epoch FROM ready_at - expires_at) - 3600) < 60 AS due FROM queue JOIN upload"
            " ON subject = backend || '/' || bucket || '/' || key WHERE backend = :backend",
            backend=made["id"],
        )
        return found == [{"due": True}] * 2

    assert await eventually(waiting)
    async with engines.database.transaction() as session:
        due = sa.text("UPDATE queue SET ready_at = now() WHERE subject LIKE :mine")
        await session.execute(due, {"mine": f"{made['id']}/%"})

    async def found() -> dict[str, Any] | None:
        file = await file_of(lead, object_id, "soil.csv")
        return file if file["state"] == "mismatched" else None

    assert (await eventually(found))["found"] == {"size": len(BAD), "sha256": sha256(BAD)}
    assert (await file_of(lead, other_id, "soil.csv"))["state"] == "available"

"""Large files in parts, on every store: in any order, gone on with, joined when all are there, dropped when not."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from catalog.objects import uploads
from catalog.storage.parts import IN_PARTS_FROM_BYTES, PART_BYTES, SINGLE_PUT_BYTES_MAX
from tests.api.conftest import Stored, plain, read, register
from tests.api.problems import problem_of
from tests.api.uploads import declared, download, fresh_ticket, put, send, until
from tests.conftest import eventually

pytestmark = pytest.mark.req("SAGE-STORAGE-23")

# Four whole parts and a rest.
BLOB = b"".join(bytes([number]) * PART_BYTES for number in range(1, 5)) + b"the rest"
COUNT = 5
OTHER = b"\0" * len(BLOB)


def piece(number: int, blob: bytes = BLOB) -> bytes:
    return blob[(number - 1) * PART_BYTES : number * PART_BYTES]


@pytest.fixture
def ingest(stored: Stored) -> httpx2.AsyncClient:
    client: httpx2.AsyncClient = stored.clients.ingest
    return client


@pytest.fixture
async def ticket(ingest: httpx2.AsyncClient, project: str) -> dict[str, Any]:
    """The ticket for the blob, with the object's id."""
    registered = await register(ingest, plain(project, files=[declared("flight.bin", BLOB)]))
    (ticket,) = registered["uploads"]
    return {**ticket, "object": registered["id"]}


async def signed(client: httpx2.AsyncClient, ticket: dict[str, Any], numbers: Sequence[int]) -> list[dict[str, Any]]:
    answer = await client.post(ticket["parts"]["href"], json={"numbers": list(numbers)})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    parts: list[dict[str, Any]] = answer.json()["parts"]
    return parts


async def bring(
    client: httpx2.AsyncClient, ticket: dict[str, Any], numbers: Sequence[int], blob: bytes = BLOB
) -> list[int]:
    parts = await signed(client, ticket, numbers)
    answers = await asyncio.gather(
        *(send(part["method"], part["url"], piece(part["number"], blob), **part["headers"]) for part in parts)
    )
    return [answer.status_code for answer in answers]


async def sent(client: httpx2.AsyncClient, ticket: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(ticket["parts"]["href"])).json()
    return found


async def complete(client: httpx2.AsyncClient, ticket: dict[str, Any]) -> httpx2.Response:
    return await client.post(f"/api/uploads/{ticket['id']}/complete")


async def begun_at_the_store(stored: Stored, ticket: dict[str, Any]) -> int:
    """Return how many times the store knows this key to have been begun, asked with the SDK."""
    ((key, _),) = await rows(stored, ticket)
    admin = stored.engines.store._admin  # noqa: SLF001 - no product code needs this list.
    found = await asyncio.to_thread(admin._list_multipart_uploads, stored.engines.store.bucket, prefix=key)  # noqa: SLF001
    return len(found.uploads)


async def test_parts_sent_in_any_order_are_joined_checked_and_downloaded_as_one_file(
    stored: Stored, ingest: httpx2.AsyncClient, ticket: dict[str, Any]
) -> None:
    assert ticket["parts"] == {"href": f"/api/uploads/{ticket['id']}/parts", "size": PART_BYTES, "count": COUNT}
    assert await sent(ingest, ticket) == {"size": PART_BYTES, "count": COUNT, "sent": [], "bytes_sent": 0}

    tickets = await signed(ingest, ticket, [5, 1])
    assert [(one["number"], one["offset"], one["size"]) for one in tickets] == [
        (5, 4 * PART_BYTES, 8),
        (1, 0, PART_BYTES),
    ]
    assert await bring(ingest, ticket, [5, 3, 1]) == [200] * 3
    assert (await sent(ingest, ticket))["sent"] == [1, 3, 5]
    assert await bring(ingest, ticket, [4, 2]) == [200] * 2
    everything = await sent(ingest, ticket)
    assert everything == {"size": PART_BYTES, "count": COUNT, "sent": [1, 2, 3, 4, 5], "bytes_sent": len(BLOB)}
    assert (await complete(ingest, ticket)).status_code == 202

    await until(ingest, ticket["object"], "flight.bin", state="available")
    got = await download(ingest, ticket["object"], "flight.bin")
    assert hashlib.sha256(got.content).hexdigest() == hashlib.sha256(BLOB).hexdigest()
    assert await begun_at_the_store(stored, ticket) == 0


async def test_what_is_missing_is_told_before_anything_is_joined(
    ingest: httpx2.AsyncClient, ticket: dict[str, Any]
) -> None:
    await bring(ingest, ticket, [2])

    answer = await complete(ingest, ticket)

    assert problem_of(answer)["detail"] == "4 of 5 parts are missing: 1, 3-5. Send them, then complete."
    assert answer.status_code == 409


async def test_registering_again_goes_on_where_the_upload_stopped(ingest: httpx2.AsyncClient, project: str) -> None:
    body = plain(project, files=[declared("flight.bin", BLOB), declared("small.txt", b"x")])
    key = {"idempotency-key": f"resume-{project}"}
    first = (await ingest.post("/api/objects", json=body, headers=key)).json()
    begun = next(one for one in first["uploads"] if one["path"] == "flight.bin")
    await bring(ingest, begun, [1, 2, 3])

    again = (await ingest.post("/api/objects", json=body, headers=key)).json()
    large, small = sorted(again["uploads"], key=lambda one: one["path"])

    assert (again["id"], large["id"], large["url"]) == (first["id"], begun["id"], None)
    # What has not begun gets a fresh key, as ever.
    assert small["id"] not in {one["id"] for one in first["uploads"]}
    assert (await sent(ingest, large))["sent"] == [1, 2, 3]
    assert (await fresh_ticket(ingest, first["id"], "flight.bin"))["id"] == begun["id"]
    await bring(ingest, large, [4, 5])
    assert (await complete(ingest, large)).status_code == 202
    await put(small, b"x")
    await until(ingest, first["id"], "flight.bin", state="available")


async def test_parts_that_make_another_file_are_found_out_and_brought_anew(
    ingest: httpx2.AsyncClient, ticket: dict[str, Any]
) -> None:
    await bring(ingest, ticket, range(1, COUNT + 1), OTHER)
    await complete(ingest, ticket)
    await until(ingest, ticket["object"], "flight.bin", state="mismatched")

    late = await ingest.post(ticket["parts"]["href"], json={"numbers": [1]})
    anew = await fresh_ticket(ingest, ticket["object"], "flight.bin")

    expected = "The upload is mismatched: it takes no more bytes; POST to /api/uploads for a fresh ticket."
    assert (late.status_code, problem_of(late)["detail"]) == (409, expected)
    assert anew["id"] != ticket["id"]
    await bring(ingest, anew, range(1, COUNT + 1))
    await complete(ingest, anew)
    await until(ingest, ticket["object"], "flight.bin", state="available")


async def test_two_who_begin_at_once_go_on_with_the_same_parts(
    stored: Stored, ingest: httpx2.AsyncClient, ticket: dict[str, Any]
) -> None:
    both = await asyncio.gather(*(bring(ingest, ticket, [number]) for number in (1, 2, 3, 4, 5)))

    assert both == [[200]] * COUNT
    assert (await sent(ingest, ticket))["sent"] == [1, 2, 3, 4, 5]
    assert await begun_at_the_store(stored, ticket) == 1


async def test_parts_that_the_store_has_dropped_are_begun_anew(
    stored: Stored, ingest: httpx2.AsyncClient, ticket: dict[str, Any]
) -> None:
    """As its own rule for forgotten uploads may do."""
    await bring(ingest, ticket, [1])
    key, multipart_id = (await rows(stored, ticket))[0]
    await stored.engines.store.abort_multipart(key, multipart_id)

    assert (await sent(ingest, ticket))["sent"] == []
    assert await bring(ingest, ticket, range(1, COUNT + 1)) == [200] * COUNT
    assert (await complete(ingest, ticket)).status_code == 202
    await until(ingest, ticket["object"], "flight.bin", state="available")


async def test_parts_that_nobody_goes_on_with_are_dropped(
    stored: Stored, ingest: httpx2.AsyncClient, ticket: dict[str, Any]
) -> None:
    await bring(ingest, ticket, [1, 2])
    key, multipart_id = (await rows(stored, ticket))[0]

    async with stored.engines.database.transaction() as session:
        long_ago = sa.text("UPDATE upload SET expires_at = now() - CAST(:kept AS interval) WHERE id = :id")
        await session.execute(long_ago, {"kept": uploads.PARTS_KEPT, "id": ticket["id"]})
    await complete_whole(stored, ticket)

    async def dropped() -> bool:
        return await stored.engines.store.parts_of(key, multipart_id) is None

    async def abandoned() -> bool:
        return (await ingest.get(f"/api/uploads/{ticket['id']}")).json()["state"] == "abandoned"

    await eventually(dropped)
    await eventually(abandoned)


async def test_replacing_a_file_drops_the_parts_of_the_one_before(
    stored: Stored, ingest: httpx2.AsyncClient, ticket: dict[str, Any]
) -> None:
    await bring(ingest, ticket, [1])
    key, multipart_id = (await rows(stored, ticket))[0]
    revision = (await read(ingest, ticket["object"]))["revision"]
    answer = await ingest.post(
        f"/api/objects/{ticket['object']}/files",
        json={"files": [declared("flight.bin", b"small")]},
        headers={"if-match": f'"{revision}"'},
    )
    assert answer.status_code == 201
    await complete_whole(stored, ticket)

    async def dropped() -> bool:
        return await stored.engines.store.parts_of(key, multipart_id) is None

    await eventually(dropped)


async def test_a_file_too_large_for_one_put_has_parts_alone(ingest: httpx2.AsyncClient, project: str) -> None:
    huge = {"path": "huge.bin", "size": SINGLE_PUT_BYTES_MAX + 1, "sha256": "0" * 64}
    whole = {"path": "whole.bin", "size": SINGLE_PUT_BYTES_MAX, "sha256": "0" * 64}
    small = {"path": "small.bin", "size": IN_PARTS_FROM_BYTES - 1, "sha256": "0" * 64}

    registered = await register(ingest, plain(project, files=[huge, whole, small]))

    offered = {one["path"]: (one["method"], bool(one["url"]), one["parts"]) for one in registered["uploads"]}
    by_path = {one["path"]: f"/api/uploads/{one['id']}/parts" for one in registered["uploads"]}
    assert offered == {
        "huge.bin": (None, False, {"href": by_path["huge.bin"], "size": PART_BYTES, "count": 321}),
        "whole.bin": ("PUT", True, {"href": by_path["whole.bin"], "size": PART_BYTES, "count": 320}),
        "small.bin": ("PUT", True, None),
    }


async def test_bad_requests_for_parts_say_what_is_wrong(
    ingest: httpx2.AsyncClient, ticket: dict[str, Any], project: str
) -> None:
    href = ticket["parts"]["href"]
    beyond = await ingest.post(href, json={"numbers": [1, 6]})
    none = await ingest.post(href, json={"numbers": []})
    many = await ingest.post(href, json={"numbers": [1] * 101})
    registered = await register(ingest, plain(project, files=[declared("small.txt", b"x")]))
    small = await ingest.post(f"/api/uploads/{registered['uploads'][0]['id']}/parts", json={"numbers": [1]})

    assert [one.status_code for one in (beyond, none, many, small)] == [400, 400, 400, 409]
    assert problem_of(beyond)["errors"] == [{"pointer": "/numbers/1", "message": "the file has 5 parts"}]
    assert problem_of(small)["detail"] == (
        "The file has 1 bytes and is brought whole, with its ticket; parts are for 67,108,864 bytes and more."
    )


async def test_the_parts_of_another_are_not_there(stored: Stored, ticket: dict[str, Any]) -> None:
    href = ticket["parts"]["href"]
    other, nobody = stored.clients.other, stored.clients.anonymous

    answers = [
        await client.request(method, href, json={"numbers": [1]} if method == "POST" else None)
        for client in (other, nobody)
        for method in ("GET", "POST")
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 401, 401]


async def rows(stored: Stored, ticket: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the key and the store's id of an upload."""
    return await stored.engines.database.rows(
        "SELECT key, multipart_id FROM upload WHERE id = %(id)s", {"id": ticket["id"]}
    )


async def complete_whole(stored: Stored, ticket: dict[str, Any]) -> None:
    """Have the key looked at now, as will happen by itself later."""
    async with stored.engines.database.transaction() as session:
        await session.execute(
            sa.text("UPDATE queue SET ready_at = now() WHERE subject LIKE :key"), {"key": f"%/{ticket['id']}/%"}
        )

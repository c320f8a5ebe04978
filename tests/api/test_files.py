"""Uploads through tickets and downloads through links, on every store and by its own notifications."""

import base64
import hashlib
import itertools
import unicodedata
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx2
import pytest

from catalog.storage import keys
from tests.api.conftest import Stored, bystanders, in_process, plain, read, register
from tests.api.problems import not_found, problem_of, simple
from tests.api.truth import history, rows
from tests.api.uploads import (
    OPAQUE,
    bring,
    declared,
    download,
    file_of,
    fresh_ticket,
    key_of,
    overwrite,
    put,
    send,
    sha256,
    shown,
    until,
    uploaded,
)
from tests.conftest import FOLDER, eventually

CSV = b"day,moisture\n1,0.31\n2,0.29\n"
BETTER = b"day,moisture\n1,0.30\n2,0.28\n"
LONGER = CSV + b"3,0.27\n"

AWKWARD = {
    "with space/and  two.csv": b"spaces",
    "percent %41 %2F %.txt": b"percent",
    "plus+and & more = ; sign.csv": b"signs",
    "what#is?this": b"address",
    'quote\'s "double" `back`.txt': b"quotes",
    unicodedata.normalize("NFC", "über/münchen é.nc"): b"composed",
    unicodedata.normalize("NFD", "über/münchen é.nc"): b"decomposed",
    "日本語/🌦 wetter 👩‍🔬.txt": b"wide",
    "-dash/~tilde/.hidden": b"dots",
    "semi;colon,comma:colon@at!$(a)*[b]{c}|d^e": b"reserved",
    "same": b"a file",
    "same.d/same": b"below",
    "empty": b"",
    "files/files/a": b"as in the address",
}


@pytest.fixture(scope="session", autouse=True)
async def noise(stored: Stored) -> AsyncGenerator[list[str]]:
    """Objects of the other service on each store; whatever the tests did, they are the same at the end."""
    other = stored.clients.other
    ids = [(await register(other, body))["id"] for body in bystanders()]
    before = [await read(other, object_id) for object_id in ids]
    yield ids
    assert [await read(other, object_id) for object_id in ids] == before


@pytest.fixture
def ingest(stored: Stored) -> httpx2.AsyncClient:
    """The service that uploads."""
    client: httpx2.AsyncClient = stored.clients.ingest
    return client


async def test_bytes_that_were_put_become_available_by_the_stores_own_notification(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    body = plain(project, files=[declared("soil.csv", CSV, "text/csv"), declared("never.csv", BETTER)])
    registered = await register(ingest, body)
    (_, ticket) = sorted(registered.pop("uploads"), key=lambda one: one["path"])
    object_id = registered["id"]

    assert (await put(ticket, CSV)).status_code == 200

    await until(ingest, object_id, "soil.csv", state="available")
    found = await read(ingest, object_id)
    assert found == registered | {
        "files": [
            shown(object_id, "never.csv", BETTER, state="expected"),
            shown(object_id, "soil.csv", CSV, "text/csv"),
        ],
        "revision": 2,
        "updated_at": found["updated_at"],
    }
    assert await history(stored.engines, object_id) == [
        ("ingest", "register", None, 1, None),
        (None, "file available", 1, 2, {"files": ["soil.csv"]}),
    ]
    upload = (await ingest.get(f"/api/uploads/{ticket['id']}")).json()
    assert upload == {
        "id": ticket["id"],
        "object": object_id,
        "path": "soil.csv",
        "size": len(CSV),
        "sha256": sha256(CSV),
        "state": "complete",
        "created_at": upload["created_at"],
        "expires_at": upload["expires_at"],
        "found": None,
        "parts": None,
    }
    assert datetime.fromisoformat(upload["expires_at"]) - datetime.fromisoformat(upload["created_at"]) == timedelta(
        hours=1
    )


@pytest.mark.req("SAGE-STORAGE-34")
async def test_public_private_roundtrip(stored: Stored, ingest: httpx2.AsyncClient, project: str) -> None:
    public = await uploaded(ingest, plain(project, visibility="public"), {"a/soil.csv": CSV})
    private = await uploaded(ingest, plain(project), {"a/soil.csv": BETTER})

    for anybody in (stored.clients.anonymous, stored.clients.reader, stored.clients.other):
        assert (await download(anybody, public["id"], "a/soil.csv")).content == CSV
        hidden = await anybody.get(f"/api/objects/{private['id']}/files/a/soil.csv")
        assert problem_of(hidden) == not_found(f"There is no object {private['id']} that you may see.")
    for trusted in (ingest, stored.clients.curator, stored.clients.admin):
        assert (await download(trusted, private["id"], "a/soil.csv")).content == BETTER


async def test_a_download_is_a_short_lived_link_that_forces_name_and_type_and_takes_ranges(
    ingest: httpx2.AsyncClient, project: str
) -> None:
    page = b"<script>alert(1)</script>"
    registered = await register(ingest, plain(project, files=[declared("docs/Übersicht, 1.html", page, "text/html")]))
    await bring(registered["uploads"], {"docs/Übersicht, 1.html": page})
    await until(ingest, registered["id"], "docs/Übersicht, 1.html", state="available")

    answer = await ingest.get(f"/api/objects/{registered['id']}/files/docs/%C3%9Cbersicht,%201.html")

    assert (answer.status_code, answer.content) == (307, b"")
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    link = answer.headers["location"]
    assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == ["900"]
    whole, part, past = [
        await send("GET", link, None, **headers) for headers in ({}, {"Range": "bytes=1-6"}, {"Range": "bytes=99-"})
    ]
    assert [one.status_code for one in (whole, part, past)] == [200, 206, 416]
    assert (whole.content, part.content) == (page, page[1:7])
    assert part.headers["content-range"] == f"bytes 1-6/{len(page)}"
    for one in (whole, part):
        assert one.headers["content-type"] == "text/html"
        assert one.headers["content-disposition"] == (
            "attachment; filename=\"_bersicht, 1.html\"; filename*=UTF-8''%C3%9Cbersicht%2C%201.html"
        )


async def test_awkward_paths_survive_the_round_trip_and_leave_nothing_in_the_queue(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    found = await uploaded(ingest, plain(project), AWKWARD, hurry=False)

    assert found["files"] == [shown(found["id"], *content) for content in sorted(AWKWARD.items(), key=by_bytes)]
    changes = await history(stored.engines, found["id"])
    assert found["revision"] == len(changes)
    assert sorted(path for entry in changes[1:] for path in entry[4]["files"]) == sorted(AWKWARD)
    fetched = {path: await download(ingest, found["id"], path) for path in AWKWARD}
    assert {path: answer.content for path, answer in fetched.items()} == AWKWARD
    assert {path: saved_as(answer) for path, answer in fetched.items()} == {path: visible(path) for path in AWKWARD}
    for file in found["files"]:
        assert (await ingest.get(file["href"])).status_code == 307

    async def nothing_left() -> bool:
        return not await rows(
            stored.engines, "SELECT subject FROM queue WHERE strpos(subject, :id) > 0", id=found["id"]
        )

    await eventually(nothing_left)
    assert (await stored.clients.admin.get("/api/operations/queue")).json()["parked"] == []


def by_bytes(content: tuple[str, bytes]) -> bytes:
    return content[0].encode()


def visible(path: str) -> str:
    """Return the name of a file as it is offered for saving: invisible characters could turn or hide a part of it."""
    return "".join(letter if letter.isprintable() else "_" for letter in path.rsplit("/", 1)[-1])


def saved_as(answer: httpx2.Response) -> str:
    """Return the name under which a browser would save a download."""
    plain_name, _, exact = answer.headers["content-disposition"].partition("; filename*=UTF-8''")
    return unquote(exact) if exact else plain_name.removeprefix('attachment; filename="').removesuffix('"')


async def test_a_key_may_have_1024_bytes_and_a_longer_path_is_refused_with_the_figures(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    room = keys.room_bytes("", project)
    parts = "ü" * 123 + "/" + "日" * 82 + "/" + "👩" * 61 + "/"
    longest = parts + "a" * (room - len(parts.encode()))

    found = await uploaded(ingest, plain(project), {longest: CSV})

    key = await key_of(stored.engines, found["uploads"][0])
    assert (len(key.encode()), key.endswith(longest)) == (1024, True)
    assert (await download(ingest, found["id"], longest)).content == CSV
    figures = (
        f"shorten the path: it has {room + 1} bytes in UTF-8 and may have {room} here, because the whole key, with "
        "project and ids, is limited to 1024"
    )
    longer = {"files": [declared(longest + "a", CSV)]}
    refused = [
        await ingest.post("/api/objects", json=plain(project, **longer)),
        await ingest.post(f"/api/objects/{found['id']}/files", json=longer, headers={"If-Match": "*"}),
    ]
    for answer in refused:
        assert problem_of(answer)["errors"] == [{"pointer": "/files/0/path", "message": figures}]


async def test_the_store_refuses_what_was_not_declared_and_takes_what_was_once(
    ingest: httpx2.AsyncClient, project: str
) -> None:
    registered = await register(ingest, plain(project, files=[declared("soil.csv", CSV, "text/csv")]))
    (ticket,) = registered["uploads"]

    async def attempt(content: bytes, **changed: str) -> int:
        headers = ticket["headers"] | {"content-length": str(len(content))} | changed
        return (await send("PUT", ticket["url"], content, **headers)).status_code

    refused = {
        "other bytes": await attempt(BETTER),
        "a longer body": await attempt(LONGER),
        "a shorter body": await attempt(CSV[:-1]),
        "another type": await attempt(CSV, **{"content-type": "text/html"}),
        "another checksum": await attempt(BETTER, **{"x-amz-checksum-sha256": declared_checksum(BETTER)}),
    }

    assert {what: status for what, status in refused.items() if not 400 <= status < 500} == {}
    assert (await file_of(ingest, registered["id"], "soil.csv"))["state"] == "expected"
    assert await attempt(CSV) == 200
    await until(ingest, registered["id"], "soil.csv", state="available")
    assert await attempt(CSV) == 412
    assert (await read(ingest, registered["id"]))["revision"] == 2


def declared_checksum(content: bytes) -> str:
    """Return a checksum as S3 spells it."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


@pytest.mark.parametrize(
    ("content", "found_sha256"), [(BETTER, sha256(BETTER)), (LONGER, None)], ids=["same length", "other length"]
)
async def test_other_bytes_under_the_key_are_a_mismatch_that_a_fresh_ticket_heals(
    stored: Stored, ingest: httpx2.AsyncClient, project: str, content: bytes, found_sha256: str | None
) -> None:
    registered = await register(ingest, plain(project, files=[declared("soil.csv", CSV)]))
    object_id, (ticket,) = registered["id"], registered["uploads"]

    await overwrite(stored.live.settings, await key_of(stored.engines, ticket), content)

    found = {"size": len(content), "sha256": found_sha256}
    mismatched = await until(ingest, object_id, "soil.csv", state="mismatched")
    assert mismatched == shown(object_id, "soil.csv", CSV, state="mismatched", found=found)
    upload = (await ingest.get(f"/api/uploads/{ticket['id']}")).json()
    assert (upload["state"], upload["found"]) == ("mismatched", found)
    refused = await ingest.get(f"/api/objects/{object_id}/files/soil.csv")
    assert problem_of(refused) == conflict("The bytes of 'soil.csv' are mismatched")

    again = await fresh_ticket(ingest, object_id, "soil.csv")
    await bring([again], {"soil.csv": CSV})

    assert await until(ingest, object_id, "soil.csv", state="available") == shown(object_id, "soil.csv", CSV)
    assert (await download(ingest, object_id, "soil.csv")).content == CSV
    assert await key_of(stored.engines, again) != await key_of(stored.engines, ticket)
    assert [entry[1] for entry in await history(stored.engines, object_id)] == [
        "register",
        "file mismatched",
        "file available",
    ]


def conflict(what: str) -> dict[str, Any]:
    return simple(
        "conflict",
        "In conflict with the present state",
        409,
        f"{what}; only an available file can be downloaded.",
    )


async def test_bytes_that_change_or_vanish_after_they_were_seen_are_noticed_and_healed(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    found = await uploaded(ingest, plain(project), {"soil.csv": CSV, "kept.csv": CSV})
    object_id = found["id"]
    (ticket,) = [one for one in found["uploads"] if one["path"] == "soil.csv"]
    key = await key_of(stored.engines, ticket)

    await overwrite(stored.live.settings, key, BETTER)
    changed = await until(ingest, object_id, "soil.csv", state="mismatched")
    assert changed["found"] == {"size": len(BETTER), "sha256": sha256(BETTER)}

    await bring([await fresh_ticket(ingest, object_id, "soil.csv")], {"soil.csv": CSV})
    await until(ingest, object_id, "soil.csv", state="available")
    (row,) = await rows(
        stored.engines, "SELECT key FROM file WHERE object_id = :id AND path = 'soil.csv'", id=object_id
    )
    await stored.engines.store.remove(row["key"])
    await until(ingest, object_id, "soil.csv", state="missing")
    refused = await ingest.get(f"/api/objects/{object_id}/files/soil.csv")
    assert problem_of(refused) == conflict("The bytes of 'soil.csv' are missing")

    await bring([await fresh_ticket(ingest, object_id, "soil.csv")], {"soil.csv": CSV})
    assert await until(ingest, object_id, "soil.csv", state="available") == shown(object_id, "soil.csv", CSV)
    assert await file_of(ingest, object_id, "kept.csv") == shown(object_id, "kept.csv", CSV)


async def test_a_replaced_file_is_served_until_the_new_bytes_have_arrived_under_a_key_of_their_own(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    found = await uploaded(ingest, plain(project), {"soil.csv": CSV})
    address = f"/api/objects/{found['id']}"

    async def declare(content: bytes, media_type: str) -> dict[str, Any]:
        etag = (await ingest.get(address)).headers["etag"]
        body = {"files": [declared("soil.csv", content, media_type)]}
        answer = await ingest.post(f"{address}/files", json=body, headers={"If-Match": etag})
        assert answer.status_code == 201, answer.text
        (ticket,) = answer.json()["uploads"]
        assert answer.headers["etag"] == f'"{answer.json()["revision"]}"'
        return dict(ticket)

    given_up = await declare(LONGER, OPAQUE)
    wanted = await declare(BETTER, "text/csv")
    assert await file_of(ingest, found["id"], "soil.csv") == shown(found["id"], "soil.csv", CSV)
    assert (await download(ingest, found["id"], "soil.csv")).content == CSV

    await bring([wanted], {"soil.csv": BETTER})
    new = shown(found["id"], "soil.csv", BETTER, "text/csv")
    await until(ingest, found["id"], "soil.csv", sha256=sha256(BETTER))
    assert await file_of(ingest, found["id"], "soil.csv") == new
    # The ticket that was given up still works at the store; what it brings is nobody's.
    await bring([given_up], {"soil.csv": LONGER})
    await settled(stored, given_up)

    assert await file_of(ingest, found["id"], "soil.csv") == new
    assert (await download(ingest, found["id"], "soil.csv")).content == BETTER
    tickets = [*found["uploads"], given_up, wanted]
    assert len({await key_of(stored.engines, ticket) for ticket in tickets}) == 3
    states = [(await ingest.get(f"/api/uploads/{ticket['id']}")).json()["state"] for ticket in tickets]
    assert states == ["superseded", "superseded", "complete"]


async def settled(stored: Stored, ticket: dict[str, Any]) -> None:
    """Return when the key of a ticket has been looked at, however often it was to be."""
    key = await key_of(stored.engines, ticket)
    await stored.clients.ingest.post(f"/api/uploads/{ticket['id']}/complete")

    async def done() -> bool:
        return not await rows(stored.engines, "SELECT 1 FROM queue WHERE strpos(subject, :key) > 0", key=key)

    await eventually(done)


async def test_bytes_that_come_late_for_an_older_ticket_do_not_replace_newer_ones(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    registered = await register(ingest, plain(project, files=[declared("soil.csv", CSV)]))
    (first,), second = registered["uploads"], await fresh_ticket(ingest, registered["id"], "soil.csv")

    await bring([second], {"soil.csv": CSV})
    await until(ingest, registered["id"], "soil.csv", state="available")
    await bring([first], {"soil.csv": CSV})
    await settled(stored, first)

    (row,) = await rows(stored.engines, "SELECT key FROM file WHERE object_id = :id", id=registered["id"])
    assert row["key"] == await key_of(stored.engines, second)
    assert (await read(ingest, registered["id"]))["revision"] == 2


async def test_a_removed_file_is_gone_and_late_bytes_do_not_bring_it_back(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    files = [declared("gone.csv", CSV), declared("kept.csv", CSV)]
    registered = await register(ingest, plain(project, files=files))
    gone, kept = sorted(registered["uploads"], key=lambda one: one["path"])
    address = f"/api/objects/{registered['id']}"

    stale = await ingest.delete(f"{address}/files/gone.csv", headers={"If-Match": '"7"'})
    removed = await ingest.delete(f"{address}/files/gone.csv", headers={"If-Match": '"1"'})
    await bring([gone, kept], {"gone.csv": CSV, "kept.csv": CSV})
    await until(ingest, registered["id"], "kept.csv", state="available")
    await settled(stored, gone)

    assert (stale.status_code, removed.status_code) == (412, 204)
    assert (await read(ingest, registered["id"]))["files"] == [shown(registered["id"], "kept.csv", CSV)]
    nothing = not_found("The object has no file at 'gone.csv'.")
    again = await ingest.delete(f"{address}/files/gone.csv", headers={"If-Match": "*"})
    ticket = await ingest.post("/api/uploads", json={"object": registered["id"], "path": "gone.csv"})
    assert [problem_of(again), problem_of(ticket)] == [nothing, nothing]
    missing = await ingest.get(f"{address}/files/gone.csv")
    assert problem_of(missing) == not_found(
        f"The object has no file at 'gone.csv'; GET /api/objects/{registered['id']}/files lists them."
    )


async def test_a_ticket_is_given_for_what_is_not_available_to_those_who_may_change_it(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    found = await uploaded(ingest, plain(project, visibility="public"), {"here.csv": CSV})
    address = f"/api/objects/{found['id']}"
    more = {"files": [declared("expected.csv", BETTER, "text/csv")]}
    await ingest.post(f"{address}/files", json=more, headers={"If-Match": "*"})
    wanted = {"object": found["id"], "path": "expected.csv"}

    answer = await stored.clients.curator.post("/api/uploads", json=wanted)

    upload = answer.json()["upload"]
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert answer.headers["location"] == f"/api/uploads/{upload['id']}"
    assert (upload["path"], upload["method"], upload["headers"]["content-type"]) == ("expected.csv", "PUT", "text/csv")
    available = await ingest.post("/api/uploads", json=wanted | {"path": "here.csv"})
    assert problem_of(available) == simple(
        "conflict",
        "In conflict with the present state",
        409,
        f"'here.csv' is available already; to replace it, declare it again by POST to {address}/files.",
    )
    clients = stored.clients
    asked = {name: getattr(clients, name) for name in ("other", "reader", "anonymous")}
    refused = {name: (await client.post("/api/uploads", json=wanted)).status_code for name, client in asked.items()}
    assert refused == {"other": 403, "reader": 403, "anonymous": 401}
    # That an upload exists is the business of who uploads and of the object's owner: its id tells others nothing.
    mine = (await ingest.post("/api/uploads", json=wanted)).json()["upload"]["id"]
    for which, path in itertools.product((mine, upload["id"]), ("", "/complete")):
        method = "POST" if path else "GET"
        seen = {
            name: (await client.request(method, f"/api/uploads/{which}{path}")).status_code
            for name, client in (asked | {"ingest": ingest, "curator": clients.curator}).items()
        }
        good = 202 if path else 200
        assert seen == {"other": 404, "reader": 404, "anonymous": 401, "ingest": good, "curator": good}


@pytest.mark.req("MWM-STORAGE-7")
async def test_no_bytes_without_grant(stored: Stored, ingest: httpx2.AsyncClient, project: str) -> None:
    found = await uploaded(ingest, plain(project), {"mine.csv": CSV})
    theirs = await uploaded(stored.clients.other, plain(project), {"theirs.csv": BETTER})
    my_key, their_key = [await key_of(stored.engines, one["uploads"][0]) for one in (found, theirs)]
    link = (await ingest.get(f"/api/objects/{found['id']}/files/mine.csv")).headers["location"]
    bare = link.partition("?")[0]
    signature = parse_qs(urlsplit(link).query)["X-Amz-Signature"][0]

    tried = {
        "read without a link": await send("GET", bare),
        "write without a ticket": await send("PUT", bare, b"mine now"),
        "list the bucket": await send("GET", bare.partition(f"/{my_key}")[0]),
        "remove": await send("DELETE", bare),
        "a link of another file": await send("GET", link.replace(my_key, their_key)),
        "another signature": await send("GET", link.replace(signature, signature[::-1])),
        "write with a link to read": await send("PUT", link, b"mine now"),
        "remove with a link to read": await send("DELETE", link),
        "a longer life": await send("GET", link.replace("X-Amz-Expires=900", "X-Amz-Expires=9000")),
    }

    assert {what: answer.status_code for what, answer in tried.items()} == dict.fromkeys(tried, 403)
    assert [CSV in answer.content or BETTER in answer.content for answer in tried.values()] == [False] * len(tried)
    assert problem_of(await ingest.get(f"/api/objects/{theirs['id']}/files/theirs.csv"))["status"] == 404
    assert (await send("GET", link)).content == CSV


async def test_a_lost_notification_is_made_good_by_asking_to_look(
    stored: Stored, ingest: httpx2.AsyncClient, project: str, pytestconfig: pytest.Config
) -> None:
    registered = await register(ingest, plain(project, files=[declared("soil.csv", CSV)]))
    (ticket,) = registered["uploads"]
    early = await ingest.post(f"/api/uploads/{ticket['id']}/complete")
    told = Path(pytestconfig.stash[FOLDER]) / f"{stored.live.settings.store_bucket}.api"
    address = told.read_text()
    told.unlink()
    try:
        await bring([ticket], {"soil.csv": CSV})
        answer = await ingest.post(f"/api/uploads/{ticket['id']}/complete")
        await until(ingest, registered["id"], "soil.csv", state="available")
    finally:
        told.write_text(address)

    # What the store holds decides, not the call: the early one did no harm.
    assert (early.status_code, answer.status_code, answer.content) == (202, 202, b"")
    assert (await read(ingest, registered["id"]))["revision"] == 2


async def test_many_uploads_at_once_are_each_counted_once(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    contents = {f"{number:03}.bin": number.to_bytes(2, "big") * 100 for number in range(40)}

    found = await uploaded(ingest, plain(project), contents, hurry=False)

    assert [file["sha256"] for file in found["files"]] == [sha256(content) for content in contents.values()]
    changes = await history(stored.engines, found["id"])
    # Those that came together are one change.
    steps = [(None, 1), *((number, number + 1) for number in range(1, len(changes)))]
    assert [entry[2:4] for entry in changes] == steps
    assert sorted(path for entry in changes[1:] for path in entry[4]["files"]) == list(contents)


# Lifetimes


async def test_a_link_works_until_it_expires_and_not_longer(
    stored: Stored, ingest: httpx2.AsyncClient, project: str
) -> None:
    found = await uploaded(ingest, plain(project), {"soil.csv": CSV})
    brief = stored.live.settings.model_copy(update={"link_lifetime": timedelta(seconds=2)})
    async with in_process(brief, stored.live.tokens["ingest"]) as client:
        answer = await client.get(f"/api/objects/{found['id']}/files/soil.csv")
    link = answer.headers["location"]
    signed = parse_qs(urlsplit(link).query)["X-Amz-Date"][0]
    ends = datetime.strptime(signed, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) + timedelta(seconds=2)

    fetched = await send("GET", link)
    assert fetched.content == CSV or datetime.now(UTC) >= ends

    async def refused() -> bool:
        return (await send("GET", link)).status_code == 403

    await eventually(refused)
    assert datetime.now(UTC) >= ends


async def test_tickets_may_live_for_one_second_and_say_so(stored: Stored, project: str) -> None:
    brief = stored.live.settings.model_copy(update={"upload_lifetime": timedelta(seconds=1)})
    async with in_process(brief, stored.live.tokens["ingest"]) as client:
        registered = await register(client, plain(project, files=[declared("soil.csv", CSV)]))
        again = await fresh_ticket(client, registered["id"], "soil.csv")

    for ticket in (*registered["uploads"], again):
        query = parse_qs(urlsplit(ticket["url"]).query)
        assert query["X-Amz-Expires"] == ["1"]
        signed = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert datetime.fromisoformat(ticket["expires_at"]) == signed + timedelta(seconds=1)


async def test_many_files_are_listed_page_by_page_with_links_to_those_that_are_there(
    stored: Stored, project: str
) -> None:
    ingest = stored.clients.ingest
    contents = {f"{number}.txt": f"file {number}".encode() for number in range(3)}
    body = await uploaded(ingest, plain(project), contents)
    more = {"files": [declared("9.txt", b"never")]}
    await ingest.post(f"/api/objects/{body['id']}/files", json=more, headers={"If-Match": "*"})
    address = f"/api/objects/{body['id']}/files"

    every = (await ingest.get(address)).json()
    first = (await ingest.get(address, params={"links": True, "limit": 2})).json()
    rest = (await ingest.get(address, params={"links": True, "limit": 5, "cursor": first["cursor"]})).json()
    without_limit = await ingest.get(address, params={"cursor": first["cursor"]})

    files = [*first["items"], *rest["items"]]
    assert "cursor" not in every
    assert (len(first["items"]), rest["cursor"]) == (2, None)
    assert [{name: told for name, told in file.items() if name != "link"} for file in files] == every["items"]
    answers = [await send("GET", file["link"]["href"]) for file in files if "link" in file]
    assert [answer.content for answer in answers] == [*contents.values()]
    assert problem_of(without_limit)["errors"][0]["pointer"] == "/limit"

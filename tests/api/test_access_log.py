"""Who was given which link: every one is known, none is kept."""

import ast
import asyncio
import csv
import io
import json
import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

import catalog
from catalog.access import issued
from catalog.access.issued import Asked, Issued, Ledger, What
from catalog.database import Database, now
from catalog.engines import Engines, opened
from catalog.local import ports
from tests.api.conftest import plain, register
from tests.api.truth import as_text
from tests.api.uploads import bring, declared, download, until
from tests.conftest import Clients, Live, World, eventually, make_tokens, prepare, running

pytestmark = pytest.mark.usefixtures("noise")

CSV = b"day,moisture\n1,0.31\n"
LARGE = 64 * 1024 * 1024


async def entries(clients: Clients, **asked: Any) -> list[dict[str, Any]]:
    """Return what the log says, without moments."""
    answer = await clients.admin.get("/api/access-log", params=asked)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    for one in items:
        lived = datetime.fromisoformat(one.pop("expires_at")) - datetime.fromisoformat(one.pop("at"))
        assert timedelta(0) < lived <= timedelta(hours=1)
    return items


async def logged(clients: Clients, count: int, **asked: Any) -> list[dict[str, Any]]:
    """Return the log when it has so many entries: they are written within a second."""

    async def all_of_them() -> list[dict[str, Any]]:
        found = await entries(clients, **asked)
        return found if len(found) >= count else []

    return await eventually(all_of_them)


async def published(clients: Clients, project: str) -> tuple[str, dict[str, Any]]:
    """Register a public object with a file that is there, and publish it."""
    body = plain(project, visibility="public", files=[declared("soil.csv", CSV), declared("b/two.csv", CSV)])
    registered = await register(clients.ingest, body, **{"X-Request-Id": "registering"})
    await bring(registered["uploads"], {"soil.csv": CSV, "b/two.csv": CSV})
    for path in ("soil.csv", "b/two.csv"):
        await until(clients.ingest, registered["id"], path, state="available")
    answer = await clients.ingest.post(f"/api/objects/{registered['id']}/versions", json={}, headers={"If-Match": "*"})
    assert answer.status_code == 201, answer.text
    return registered["id"], registered


async def test_every_link_is_known_by_who_got_it_to_what_and_when(clients: Clients, project: str) -> None:
    object_id, _ = await published(clients, project)
    again = {"X-Request-Id": "again"}
    large = declared("large.bin", b"") | {"size": LARGE}
    await clients.ingest.post(
        f"/api/objects/{object_id}/files", json={"files": [large]}, headers={"If-Match": "*"} | again
    )
    ticket = await clients.ingest.post("/api/uploads", json={"object": object_id, "path": "large.bin"}, headers=again)
    parts = ticket.json()["upload"]["parts"]["href"]
    await clients.ingest.post(parts, json={"numbers": [1, 2]}, headers=again)
    await clients.reader.get(f"/api/objects/{object_id}/files/b/two.csv", headers={"X-Request-Id": "reading"})
    await clients.anonymous.get(
        f"/api/objects/{object_id}/versions/1/files/soil.csv", headers={"X-Request-Id": "citing"}
    )

    async def found() -> bool:
        answer = await clients.curator.get(
            "/api/search", params={"project": project}, headers={"X-Request-Id": "searching"}
        )
        return len(answer.json()["hits"]) == 1

    await eventually(found)
    told = await logged(clients, 7, object=object_id)

    def entry(by: str | None, request_id: str, what: str, *paths: str, version: int | None = None) -> dict[str, Any]:
        return {
            "by": by,
            "request_id": request_id,
            "what": what,
            "object": object_id,
            "version": version,
            "paths": list(paths),
        }

    assert told[::-1] == [
        entry("ingest", "registering", "upload", "soil.csv", "b/two.csv"),
        entry("ingest", "again", "upload", "large.bin"),
        entry("ingest", "again", "upload", "large.bin"),
        entry("ingest", "again", "part", "large.bin"),
        entry("reader", "reading", "download", "b/two.csv"),
        entry(None, "citing", "download", "soil.csv", version=1),
        entry("curator", "searching", "download", "b/two.csv", "soil.csv"),
    ]


async def test_what_was_not_given_is_not_in_the_log(clients: Clients, project: str) -> None:
    registered = await register(clients.ingest, plain(project, files=[declared("soil.csv", CSV)]))
    await bring(registered["uploads"], {"soil.csv": CSV})
    await until(clients.ingest, registered["id"], "soil.csv", state="available")

    refused = await clients.other.get(f"/api/objects/{registered['id']}/files/soil.csv")
    given = await download(clients.ingest, registered["id"], "soil.csv")

    assert (refused.status_code, given.content) == (404, CSV)
    told = await logged(clients, 2, object=registered["id"])
    assert [(one["by"], one["what"]) for one in told] == [("ingest", "download"), ("ingest", "upload")]


async def test_the_log_is_for_admins(clients: Clients) -> None:
    told = {
        role: (await getattr(clients, role).get("/api/access-log")).status_code
        for role in ("anonymous", "reader", "ingest", "curator", "admin")
    }
    assert told == {"anonymous": 401, "reader": 403, "ingest": 403, "curator": 403, "admin": 200}


async def test_no_link_is_kept(clients: Clients, engines: Engines, live: Live, project: str) -> None:
    object_id, registered = await published(clients, project)
    link = (await clients.reader.get(f"/api/objects/{object_id}/files/soil.csv")).headers["location"]
    await logged(clients, 2, object=object_id)

    told = (await clients.admin.get("/api/access-log", params={"format": "ndjson"})).text
    everywhere = told + await as_text(engines) + live.log("api") + live.log("indexer")
    signatures = [address.rpartition("X-Amz-Signature=")[2] for address in (link, registered["uploads"][0]["url"])]
    assert [len(one) for one in signatures] == [64, 64]
    assert [one for one in [*signatures, "X-Amz-"] if one in everywhere] == []


async def test_the_log_is_read_by_page_and_exported_whole(clients: Clients, project: str) -> None:
    ids = [
        (await register(clients.ingest, plain(project, files=[declared("=1+1;x.csv", CSV)])))["id"] for _ in range(3)
    ]
    began = (await logged(clients, 1, object=ids[0]), await logged(clients, 1, object=ids[2]))
    asked = {"principal": "ingest", "since": (now() - timedelta(minutes=1)).isoformat()}

    whole = await entries(clients, limit=1000, **asked)
    pages: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        answer = (await clients.admin.get("/api/access-log", params={"limit": 2, **asked, **more})).json()
        pages += [{name: one[name] for name in whole[0]} for one in answer["items"]]
        if answer["cursor"] is None:
            break
        more = {"cursor": answer["cursor"]}
    lines = (await clients.admin.get("/api/access-log", params={"format": "ndjson", **asked})).text.splitlines()
    table = await clients.admin.get("/api/access-log", params={"format": "csv", **asked})
    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))

    assert [[one["object"] for one in part] for part in began] == [[ids[0]], [ids[2]]]
    assert [one["object"] for one in whole[:3]] == ids[::-1]
    assert pages == whole
    assert [json.loads(line)["object"] for line in lines] == [one["object"] for one in whole]
    assert table.headers["content-type"].startswith("text/csv")
    assert [row["object"] for row in rows] == [one["object"] for one in whole]
    assert [row["paths"] for row in rows[:3]] == ['["=1+1;x.csv"]'] * 3
    # Nothing begins a cell that a spreadsheet would run.
    assert [cell for row in rows for cell in row.values() if cell[:1] in {"=", "+", "@"}] == []


def an_entry(at: datetime, path: str) -> Issued:
    return Issued(at, "test", None, What.DOWNLOAD, None, None, [path], at + timedelta(minutes=15))


async def paths_of(engines: Engines, asked: Asked) -> list[str]:
    async with engines.database.transaction() as session:
        found = await issued.page(session, asked, before=None, limit=100)
    return [path for one in found for path in one.issued.paths]


async def test_what_is_old_is_forgotten(engines: Engines) -> None:
    long_ago = datetime.fromisoformat("1999-01-01T00:00:00+00:00")
    async with engines.database.transaction() as session:
        await issued.write(session, [an_entry(long_ago, "old"), an_entry(now(), "new-and-kept")])
        removed = await issued.forget_old(session, timedelta(days=90))

    assert removed == 1
    assert await paths_of(engines, Asked(until=long_ago + timedelta(days=1))) == []
    assert "new-and-kept" in await paths_of(engines, Asked())


async def test_what_cannot_be_written_waits_up_to_the_limit_and_what_is_lost_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(issued, "WAITING_MAX", 3)
    away = Database(f"postgresql://nobody@127.0.0.1:{ports.choose()}/nothing", connections=1)
    ledger, stop = Ledger(away), asyncio.Event()
    for number in range(5):
        ledger.note(an_entry(now(), f"waiting-{number}"))

    async def waits() -> bool:
        return any(one["event"] == "access log waits" for one in said)

    with capture_logs() as said:
        keeping = asyncio.create_task(ledger.keep(stop))
        await eventually(waits)
        stop.set()
        await keeping

    await away.close()
    lost = [(one["event"], one["dropped"]) for one in said if one["log_level"] == "error"]
    # Two that were too many, at once; and at the end of the process those that never could be written.
    assert lost == [("access log incomplete", 2), ("access log incomplete", 3)]


async def test_a_process_that_is_asked_to_stop_writes_what_it_has_given_out(
    fresh_world: World, engines_ready: dict[str, Any]
) -> None:
    await prepare(fresh_world, engines_ready)
    tokens = await make_tokens(fresh_world)
    with running(fresh_world, tokens, "api") as live:
        body = plain("lab/soil", files=[declared("soil.csv", CSV)])
        headers = {"Authorization": f"Bearer {tokens['ingest']}"}
        answer = httpx2.post(f"{live.url}/api/objects", json=body, headers=headers, timeout=30, trust_env=False)
        # Sooner than what is noted is written.
        live.processes["api"].send_signal(signal.SIGTERM)
        live.processes["api"].wait(30)

    async with opened(fresh_world.settings) as engines:
        assert (answer.status_code, await paths_of(engines, Asked())) == (201, ["soil.csv"])


def test_nothing_signs_but_what_takes_note() -> None:
    signing = {"download_link", "upload_ticket", "part_ticket"}
    folder = Path(catalog.__file__).parent
    calling = {
        path.relative_to(folder).as_posix()
        for room in ("api", "web", "curation", "exchange", "snapshots", "doi", "search")
        for path in (folder / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in signing
    }
    assert calling == {"api/links.py"}

"""Files move between two servers while they are read; the indexer is killed twice, and nobody who reads notices."""

import asyncio
import hashlib
import signal
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from catalog.queue import LEASE
from catalog.storage import policies
from catalog.storage.backends import Place, Use
from catalog.storage.own import OwnStore
from catalog.storage.signing import Addressing
from tests.api.brought import server, user_of
from tests.conftest import Live, Sized, World, eventually, make_tokens, make_world, notified, prepare, running
from tests.faults.conftest import register, speaking
from tests.indexer.scene import declared

FILES = 60
FILES_LONG = 2_000
FILES_PER_OBJECT = 20
FILE_BYTES = 8192
# Slow enough to be killed amid it.
BYTES_PER_SECOND = 64 * 1024
BYTES_PER_SECOND_LONG = 512 * 1024
READERS = 3
UPLOADS_AT_ONCE = 8
LINK_LIFETIME = timedelta(seconds=4)
# A link is used again until it is so old.
LINK_USED_SECONDS = 2.0
KILLED_AT = (0.25, 0.6)


@dataclass
class Library:
    """Files of an organization, which has a store of its own, and what they are."""

    live: Live
    client: httpx2.AsyncClient
    store: OwnStore
    backend: str
    project: str
    contents: dict[tuple[str, str], str] = field(default_factory=dict)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(str(self.live.settings.database_url)) as connection:
            return connection.execute(statement).fetchall() if statement.startswith("SELECT") else []

    def change(self, statement: str, *values: Any) -> None:
        with psycopg.connect(str(self.live.settings.database_url)) as connection:
            connection.execute(statement, list(values))


@pytest.fixture
def moving_world(engines_ready: dict[str, Any], tmp_path: Path, sized: Sized) -> World:
    """A catalog whose links live for seconds, and whose files move slowly."""
    return make_world(
        engines_ready,
        tmp_path,
        link_lifetime=LINK_LIFETIME,
        relocation_grace=timedelta(seconds=1),
        relocation_bytes_per_second=sized(BYTES_PER_SECOND, long=BYTES_PER_SECOND_LONG),
    )


@pytest.fixture
async def library(
    moving_world: World, engines_ready: dict[str, Any], pytestconfig: pytest.Config, sized: Sized
) -> AsyncGenerator[Library]:
    """An organization with files in MinIO, brought with the keys of a user who may no more than the policy says."""
    await prepare(moving_world, engines_ready)
    tokens = await make_tokens(moving_world)
    minio = server(engines_ready, "minio")
    organization = f"o{uuid4().hex[:10]}"
    with notified(pytestconfig, moving_world), running(moving_world, tokens, "api", "indexer") as live:
        async with minio.bucket() as store, speaking(live, "admin") as client:
            place = Place("", "", Addressing.PATH, store.bucket, "lab/a", "catalog")
            keys = await user_of(engines_ready, moving_world, policies.policy_of(place, list(Use)))
            for address, body in (
                ("/api/organizations", {"name": organization}),
                (f"/api/organizations/{organization}/projects", {"name": "soil"}),
                (f"/api/organizations/{organization}/backends", minio.wanted(store, name="Archive", **keys)),
            ):
                answer = await client.post(address, json=body)
                assert answer.status_code == 201, answer.text
            library = Library(live, client, store, answer.json()["id"], f"{organization}/soil")
            await choose(library, library.backend)
            await fill(library, sized(FILES, long=FILES_LONG))
            await choose(library, "default")
            yield library


async def choose(library: Library, document: str) -> None:
    answer = await library.client.put(f"/api/projects/{library.project}/storages", json={"document": document})
    assert answer.status_code == 200, answer.text


async def fill(library: Library, files: int) -> None:
    """Bring so many files, each with bytes of its own; every other object is published."""
    gate = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def put(http: httpx2.AsyncClient, ticket: dict[str, Any], content: bytes) -> None:
        async with gate:
            answer = await http.put(ticket["url"], content=content, headers=ticket["headers"])
            assert answer.status_code == 200, answer.text
            await library.client.post(f"/api/uploads/{ticket['id']}/complete")

    async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
        for first in range(0, files, FILES_PER_OBJECT):
            contents = {
                f"part/{number}.bin": hashlib.sha256(f"{library.project} {number}".encode()).digest()
                * (FILE_BYTES // 32)
                for number in range(first, min(first + FILES_PER_OBJECT, files))
            }
            told = [declared(path, content) for path, content in contents.items()]
            made = await register(library.client, f"Files {first}", project=library.project, files=told)
            await asyncio.gather(*(put(http, ticket, contents[ticket["path"]]) for ticket in made["uploads"]))
            library.contents |= {(made["id"], one["path"]): one["sha256"] for one in told}

    async def all_there() -> bool:
        return library.rows("SELECT count(*) FROM file WHERE state <> 'available'") == [(0,)]

    await eventually(all_there, seconds=120)
    for object_id in sorted({object_id for object_id, _ in library.contents})[::2]:
        answer = await library.client.post(f"/api/objects/{object_id}/versions", json={}, headers={"If-Match": "*"})
        assert answer.status_code == 201, answer.text


@dataclass
class Reading:
    """Reads all files over and over, with links as long as they are any good."""

    library: Library
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reads: int = 0
    faults: list[str] = field(default_factory=list)

    async def run(self) -> None:
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
            places = sorted(self.library.contents)
            await asyncio.gather(*(self._some(http, places[first::READERS]) for first in range(READERS)))

    async def _some(self, http: httpx2.AsyncClient, places: list[tuple[str, str]]) -> None:
        links: dict[tuple[str, str], tuple[str, float]] = {}
        while not self.stop.is_set():
            for place in places:
                await self._read(http, place, links)

    async def _read(
        self, http: httpx2.AsyncClient, place: tuple[str, str], links: dict[tuple[str, str], tuple[str, float]]
    ) -> None:
        object_id, path = place
        href, signed_at = links.get(place, ("", 0.0))
        if time.monotonic() - signed_at > LINK_USED_SECONDS:
            at = time.monotonic()
            answer = await self.library.client.get(f"/api/objects/{object_id}/files/{path}")
            if answer.status_code != 307:
                self.faults.append(f"{place}: no link: {answer.text}")
                return
            href, signed_at = links[place] = answer.headers["location"], at
        got = await http.get(href)
        self.reads += 1
        if got.status_code != 200 and time.monotonic() - signed_at < LINK_LIFETIME.total_seconds() - 1:
            self.faults.append(f"{place}: {got.status_code} {got.text}")
        elif got.status_code == 200 and hashlib.sha256(got.content).hexdigest() != self.library.contents[place]:
            self.faults.append(f"{place}: other bytes")


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.req("DEWRANGLE-RFC-54", "DEWRANGLE-RFC-56")
async def test_whoever_reads_notices_nothing_of_a_relocation_that_is_killed_and_goes_on_twice(
    library: Library, sized: Sized
) -> None:
    files = len(library.contents)
    wanted = {"scope": library.project, "source": library.backend, "target": "default", "start": True}
    reading = Reading(library)
    readers = asyncio.create_task(reading.run())
    begun = await library.client.post("/api/relocations", json=wanted)
    assert begun.status_code == 201, begun.text
    address = f"/api/relocations/{begun.json()['id']}"

    async def moved(least: float) -> dict[str, Any]:
        shown: dict[str, Any] = (await library.client.get(address)).json()
        return shown if shown["moved"]["files"] >= least * files else {}

    for number, least in enumerate(KILLED_AT):
        await eventually(lambda least=least: moved(least), seconds=300, pause_max=0.05)
        killed = library.live.processes["indexer" if number == 0 else f"indexer-{number}"]
        killed.send_signal(signal.SIGKILL)
        assert killed.wait(10) == -signal.SIGKILL
        shown = (await library.client.get(address)).json()
        assert (shown["state"], shown["moved"]["files"] < files) == ("running", True)
        # What the dead one had claimed comes due when its lease ends, which is waited for at full size only.
        forward = sized(int(LEASE.total_seconds()), long=0)
        library.change("UPDATE queue SET ready_at = ready_at - make_interval(secs => %s)", forward)
        library.live.start(f"indexer-{number + 1}")

    async def finished() -> dict[str, Any]:
        shown: dict[str, Any] = (await library.client.get(address)).json()
        return shown if shown["state"] == "finished" else {}

    done = await eventually(finished, seconds=600)
    reads = reading.reads
    # Once more through all of them, now that the source is empty.
    await eventually(lambda: _reached(reading, reads + files + READERS), seconds=300)
    reading.stop.set()
    await readers

    assert reading.faults == []
    assert reading.reads > 2 * files
    assert {state: amount["files"] for state, amount in done["amounts"].items() if amount["files"]} == {
        "removed": files
    }
    assert done["troubles"] == []
    assert [one.key async for one in library.store.list("")] == []
    assert library.rows("SELECT DISTINCT backend, state FROM file") == [("default", "available")]
    assert library.rows("SELECT DISTINCT backend, state FROM version_file") == [("default", "available")]
    # No copy was left by those that were killed, and none is taken for somebody else's.
    assert library.rows("SELECT count(*) FROM upload WHERE backend = 'default' AND state = 'complete'") == [(files,)]
    assert await _settled(library)


async def _reached(reading: Reading, reads: int) -> bool:
    return reading.reads >= reads


async def _settled(library: Library) -> bool:
    async def nothing_found() -> bool:
        return library.rows("SELECT count(*) FROM discovered_file") == [(0,)] and not library.rows(
            "SELECT id FROM queue WHERE topic = 'key' AND ready_at <= now() AND parked_at IS NULL"
        )

    return await eventually(nothing_found)

"""A storm: people write and search, and what serves them is killed, stopped and cut off at random.

`Writers` keep account of what they were told; `Weather` does the harm; `oracle` compares, when all is quiet again, what
people were told, what the database says, what the store holds and what the index finds.
"""

import asyncio
import hashlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import psutil
import psycopg

from catalog.access import principals
from catalog.access.audience import Role
from catalog.engines import Engines, opened
from catalog.errors import Unavailable
from catalog.local import Stack, ports
from catalog.local.application import Api, Indexer
from catalog.local.process import Process
from catalog.objects import kinds
from catalog.settings import Settings
from catalog.sync import comparing
from tests.conftest import eventually

BODY: dict[str, Any] = {**kinds.known()["model"].example, "files": [], "project": "storm/storm"}
WRITERS = 4
# Nobody asks for longer: that would be a fault of its own.
PATIENCE_SECONDS = 240.0
PAUSE_SECONDS = 0.2
WATCHED = 100
ENGINES = ("postgres", "opensearch", "seaweedfs")
# What fails while something is down, and is asked once more.
PASSING = {429, 503}


@dataclass
class Known:
    """What a writer was told last of one of its objects: files by path, with the SHA-256 of their bytes."""

    id: str
    title: str
    files: dict[str, str] = field(default_factory=dict)
    withdrawn: bool = False
    published: int = 0
    lost: set[str] = field(default_factory=set)


@dataclass
class Place:
    """A stack with two APIs and two indexers, which all start again when they die."""

    stack: Stack
    settings: Settings
    engines: Engines
    urls: list[str]
    processes: dict[str, Process]
    said: list[str]
    token: str = field(repr=False)
    admin: str = field(repr=False)

    @property
    def database(self) -> str:
        """Where the database is."""
        return str(self.settings.database_url)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database as an auditor."""
        with psycopg.connect(self.database) as connection:
            return connection.execute(statement.encode()).fetchall()

    def change(self, statement: str) -> None:
        """Change the database as nobody may."""
        with psycopg.connect(self.database) as connection:
            connection.execute(statement.encode())


@asynccontextmanager
async def place(folder: Path, *, search_nodes: int = 1) -> AsyncGenerator[Place]:
    """Start a place of its own."""
    said: list[str] = []
    async with AsyncExitStack() as ending:
        stack = await ending.enter_async_context(
            Stack(folder, search_nodes=search_nodes, with_catalog=True, say=said.append)
        )
        environment = stack.environment()
        settings = Settings.told(environment)
        engines = await ending.enter_async_context(opened(settings))
        async with engines.database.transaction() as session:
            _, token = await principals.create_token(session, name="storm", role=Role.INGEST)
        other = f"http://127.0.0.1:{ports.choose()}"
        processes = dict(stack.processes)
        for name, service in (
            ("api-2", Api(other, stack.home.folder, environment, name="api-2")),
            ("indexer-2", Indexer(stack.home.folder, environment, name="indexer-2")),
        ):
            process = processes[name] = Process(service, stack.home.logs / f"{name}.log", said.append)
            await process.start()
            ending.push_async_callback(process.stop)
        admin = stack.token_file.read_text().strip()
        urls = [stack.api_address, other]
        yield Place(stack, settings, engines, urls, processes, said, token, admin)


class Asking:
    """Asks until there is a definite answer, of whichever API is there; what no API may answer is kept."""

    def __init__(self, place: Place, chance: random.Random) -> None:
        self._place, self._chance = place, chance
        self._client = httpx2.AsyncClient(timeout=30, trust_env=False)
        self.told: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(self, method: str, path: str, *, token: str | None = None, **asked: Any) -> httpx2.Response:
        """Return the first answer that is no excuse."""
        headers = {"Authorization": f"Bearer {token or self._place.token}"} | asked.pop("headers", {})
        ends = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert time.monotonic() < ends, f"{method} {path} found no answer"
            url = self._chance.choice(self._place.urls)
            try:
                answer = await self._client.request(method, url + path, headers=headers, **asked)
            except httpx2.HTTPError as fault:
                self.told[type(fault).__name__] += 1
            else:
                self.told[str(answer.status_code)] += 1
                if answer.status_code not in PASSING:
                    if answer.status_code >= 500:
                        self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
                    return answer
                if "retry-after" not in answer.headers:
                    self.wrong.append(f"{method} {path}: {answer.status_code} that does not say when to come again")
            await asyncio.sleep(PAUSE_SECONDS * self._chance.random())

    async def put(self, ticket: dict[str, Any], content: bytes) -> None:
        """Bring bytes with a ticket, until the store has them."""

        async def brought() -> bool:
            with suppress(httpx2.HTTPError):
                answer = await self._client.put(ticket["url"], content=content, headers=ticket["headers"])
                # 412: an attempt that was not answered had brought them.
                return answer.status_code in {200, 412}
            return False

        await eventually(brought, seconds=PATIENCE_SECONDS)


class Writers:
    """Several people who write, each to objects of their own, one thing after the other."""

    def __init__(self, place: Place, seed: int, word: str) -> None:
        self._place, self.word = place, word
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, not secret.
        self.asking = Asking(place, self._chance)
        self.known: dict[str, Known] = {}
        self.done: Counter[str] = Counter()

    async def write(self, count: int, seconds: float) -> None:
        """Write so many times in all, spread over so long."""
        turns = iter(range(count))
        began = time.monotonic()

        async def one() -> None:
            mine: list[Known] = []
            for turn in turns:
                await asyncio.sleep(max(0.0, began + seconds * turn / count - time.monotonic()))
                await self._turn(turn, mine)

        await asyncio.gather(*(one() for _ in range(WRITERS)))

    async def _turn(self, turn: int, mine: list[Known]) -> None:
        there = [known for known in mine if not known.withdrawn]
        acts = {"register": 45, "bulk": 5}
        if there:
            acts |= {"revise": 25, "withdraw": 10, "publish": 5, "lose": 5, "hide": 5}
        act = self._chance.choices(list(acts), list(acts.values()))[0]
        self.done[act] += 1
        if act == "register":
            mine.append(await self._register(turn))
        elif act == "bulk":
            mine += await self._bulk(turn)
        else:
            await getattr(self, f"_{act}")(self._chance.choice(there), turn)

    async def _register(self, turn: int) -> Known:
        contents = {f"{name}.bin": self._chance.randbytes(self._chance.randint(0, 4096)) for name in "ab"}
        wanted = dict(list(contents.items())[: self._chance.choice((0, 0, 1, 2))])
        sums = {path: hashlib.sha256(content).hexdigest() for path, content in wanted.items()}
        files = [{"path": path, "size": len(content), "sha256": sums[path]} for path, content in wanted.items()]
        body = BODY | {"title": f"{self.word} {turn}", "files": files}
        answer = await self.asking.ask(
            "POST", "/api/objects", json=body, headers={"Idempotency-Key": f"{self.word}-{turn}"}
        )
        assert answer.status_code == 201, answer.text
        told = answer.json()
        known = self.known[told["id"]] = Known(told["id"], body["title"], sums)
        for ticket in told["uploads"]:
            await self.asking.put(ticket, wanted[ticket["path"]])
            if self._chance.random() < 0.5:
                await self.asking.ask("POST", f"/api/uploads/{ticket['id']}/complete")
        return known

    async def _bulk(self, turn: int) -> list[Known]:
        titles = [f"{self.word} {turn}.{number}" for number in range(self._chance.randint(5, 20))]
        lines = [
            BODY | {"title": title, "idempotency_key": f"{self.word}-{turn}-{number}"}
            for number, title in enumerate(titles)
        ]
        content = "".join(f"{json.dumps(line)}\n" for line in lines)

        async def all_made() -> list[str] | None:
            headers = {"Content-Type": "application/x-ndjson"}
            answer = await self.asking.ask("POST", "/api/bulk/objects", content=content, headers=headers)
            results = [line for line in map(_json, answer.text.splitlines()) if line is not None]
            ids = [one["id"] for one in results if one["status"] in {"created", "changed", "unchanged"}]
            return ids if len(ids) == len(titles) else None

        ids = await eventually(all_made, seconds=PATIENCE_SECONDS)
        assert ids is not None
        made = [Known(one, title) for one, title in zip(ids, titles, strict=True)]
        self.known |= {one.id: one for one in made}
        return made

    async def _revise(self, known: Known, turn: int) -> None:
        await self._patch(known, {"title": f"{self.word} {turn} again"})
        known.title = f"{self.word} {turn} again"

    async def _hide(self, known: Known, _: int) -> None:
        await self._patch(known, {"visibility": self._chance.choice(("public", "private"))})

    async def _patch(self, known: Known, change: dict[str, Any]) -> None:
        while True:
            now_there = await self.asking.ask("GET", f"/api/objects/{known.id}")
            assert now_there.status_code == 200, now_there.text
            if all(now_there.json()[name] == value for name, value in change.items()):
                return
            answer = await self.asking.ask(
                "PATCH",
                f"/api/objects/{known.id}",
                json=change,
                headers={"If-Match": now_there.headers["ETag"], "Content-Type": "application/merge-patch+json"},
            )
            # Somebody else's change came between, the indexer's or our own that was not answered: look again.
            assert answer.status_code in {200, 412}, answer.text

    async def _withdraw(self, known: Known, turn: int) -> None:
        answer = await self.asking.ask(
            "DELETE", f"/api/objects/{known.id}", params={"reason": f"storm {turn}"}, headers={"If-Match": "*"}
        )
        assert answer.status_code in {204, 410}, answer.text
        known.withdrawn = True

    async def _publish(self, known: Known, turn: int) -> None:
        label = f"t{turn}"
        answer = await self.asking.ask(
            "POST", f"/api/objects/{known.id}/versions", json={"label": label}, headers={"If-Match": "*"}
        )
        # 409 as well when an attempt that was not answered has done it: what is there is asked below.
        assert answer.status_code in {201, 409, 422}, answer.text
        kept = await self.asking.ask("GET", f"/api/objects/{known.id}/versions")
        labels = [one["label"] for one in kept.json()["items"]]
        assert answer.status_code != 201 or label in labels
        known.published = len(labels)

    async def _lose(self, known: Known, _: int) -> None:
        """Somebody with other credentials removes bytes that are there."""
        rows = await asyncio.to_thread(self._rows, known)
        if not rows:
            return
        path, key, version = rows[0]
        known.lost.add(path)

        async def removed() -> bool:
            with suppress(Unavailable):
                await self._place.engines.store.remove(key, version)
                return True
            return False

        await eventually(removed, seconds=PATIENCE_SECONDS)

    def _rows(self, known: Known) -> list[tuple[Any, ...]]:
        asked = "SELECT path, key, store_version FROM file WHERE object_id = '{}' AND state = 'available'"
        try:
            return self._place.rows(asked.format(UUID(known.id)))
        except psycopg.OperationalError:
            return []


def _json(line: str) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return told


class Readers:
    """People who search, and one who watches that no document goes back."""

    def __init__(self, place: Place, writers: Writers) -> None:
        self._place, self._writers = place, writers
        self.searches: Counter[int] = Counter()
        self.wrong: list[str] = []
        self._seen: dict[UUID, int] = {}
        # What an engine shows before it is on its disk is gone when it is killed: that is not a document going back.
        self.forget = asyncio.Event()

    async def run(self) -> None:
        """Search and watch until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._search())
            both.create_task(self._watch())

    async def _search(self) -> None:
        headers = {"Authorization": f"Bearer {self._place.token}"}
        async with httpx2.AsyncClient(timeout=30, trust_env=False, headers=headers) as client:
            while True:
                gone = {known.id for known in self._writers.known.values() if known.withdrawn}
                with suppress(httpx2.HTTPError):
                    answer = await client.get(
                        f"{random.choice(self._place.urls)}/api/search",  # noqa: S311 - whichever.
                        params={"q": self._writers.word, "limit": 100},
                    )
                    self.searches[answer.status_code] += 1
                    if answer.status_code == 200:
                        self.wrong += [
                            f"a search showed {hit['id']}, which was withdrawn before"
                            for hit in answer.json()["hits"]
                            if hit["id"] in gone
                        ]
                    elif answer.status_code not in PASSING:
                        self.wrong.append(f"a search was answered {answer.status_code}: {answer.text[:300]}")
                await asyncio.sleep(PAUSE_SECONDS)

    async def _watch(self) -> None:
        chance = random.Random(1)  # noqa: S311 - whichever.
        while True:
            ids = [
                UUID(one) for one in chance.sample(list(self._writers.known), min(WATCHED, len(self._writers.known)))
            ]
            if self.forget.is_set():
                self._seen.clear()
            with suppress(Unavailable):
                for one, version in (await self._place.engines.index.versions(ids)).items():
                    if version < self._seen.get(one, 0) and not self.forget.is_set():
                        self.wrong.append(f"the document of {one} went from {self._seen[one]} back to {version}")
                    self._seen[one] = version
            await asyncio.sleep(PAUSE_SECONDS)


class Weather:
    """Kills, stops and cuts off at random, with a pause between."""

    def __init__(self, place: Place, readers: Readers, seed: int) -> None:
        self._place, self._readers = place, readers
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, not secret.
        self.killed: Counter[str] = Counter()
        self.stopped: Counter[str] = Counter()
        self.cut = 0

    @property
    def kills(self) -> int:
        """How many were killed so far."""
        return self.killed.total()

    async def rage(self, kills: int, seconds: float) -> None:
        """Kill so many times in so long; stop and cut off beside that."""
        pause = seconds / kills
        while self.kills < kills:
            await asyncio.sleep(pause * self._chance.uniform(0.3, 0.8))
            await self._harmless()
            await asyncio.sleep(pause * self._chance.uniform(0.1, 0.3))
            await self._kill(self._chance.choice(sorted(self._place.processes)))

    async def _kill(self, name: str) -> None:
        process = self._place.processes[name]
        if process.id is None:
            return
        if name == "opensearch":
            self._readers.forget.set()
        before = process.restarts
        with suppress(ProcessLookupError):
            os.kill(process.id.pid, signal.SIGKILL)
            self.killed[name] += 1
        if name in ENGINES:

            async def back() -> bool:
                return process.restarts > before

            # Killed again while it starts, it would be away for as long as the storm lasts.
            await eventually(back, seconds=120)
        if name == "opensearch":
            self._readers.forget.clear()

    async def _harmless(self) -> None:
        """Stop one for a moment, as a machine that swaps does, or cut every connection to the database."""
        if self._chance.random() < 0.3:
            self.cut += 1
            await asyncio.to_thread(self._cut)
            return
        name = self._chance.choice([one for one in sorted(self._place.processes) if one != "postgres"])
        process = self._place.processes[name]
        if process.id is None:
            return
        try:
            stopped = psutil.Process(process.id.pid)
            stopped.suspend()
            self.stopped[name] += 1
            try:
                await asyncio.sleep(self._chance.uniform(0.2, 3))
            finally:
                stopped.resume()
        except psutil.NoSuchProcess:
            return

    def _cut(self) -> None:
        with suppress(psycopg.OperationalError):
            self._place.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


async def settled(place: Place, *, leases_over: bool, seconds: float) -> float:
    """Have the store scanned once, as every day, and return after how long nothing was left to be done."""
    began = time.monotonic()
    asking = Asking(place, random.Random(0))  # noqa: S311 - whichever.

    async def nothing_left() -> bool:
        return not _left(place, leases_over=leases_over)

    async def scanned() -> dict[str, Any] | None:
        scan: dict[str, Any] = (await asking.ask("GET", address, token=place.admin)).json()
        return None if scan["state"] == "running" else scan

    try:
        # First what is known of: a look that is leased or postponed would be done before the scan as well as after.
        await _all_done(place, nothing_left, seconds)
        begun = await asking.ask("POST", "/api/scans", json={"backend": "default"}, token=place.admin)
        assert begun.status_code == 202, begun.text
        address = begun.json()["href"]
        scan = await eventually(scanned, seconds=seconds)
        assert scan is not None
        assert scan["state"] == "done", scan
        await _all_done(place, nothing_left, seconds)
    finally:
        await asking.close()
    return time.monotonic() - began


async def _all_done(place: Place, nothing_left: Callable[[], Awaitable[bool]], seconds: float) -> None:
    try:
        await eventually(nothing_left, seconds=seconds)
    except AssertionError:
        told = "topic, attempts, reason, count(*), min(subject), min(ready_at - now())::text"
        asked = f"SELECT {told} FROM queue WHERE {_LEFT} GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 20"  # noqa: S608 - ours.
        left = place.rows(asked)
        raise AssertionError(f"after {seconds:.0f} s there is left: {left}") from None


# Due, or in the hands of a worker, whose lease lies ahead. Of lost bytes nobody knows whether they come once more: that
# they are to be looked for again, in ever longer turns, does not count before it is due.
_LEFT = """
    topic IN ('key', 'read', 'index', 'match', 'alert', 'saved', 'scan') AND parked_at IS NULL
    AND ready_at <= now() + CASE WHEN reason IN ('awaiting bytes', 'until its ticket has ended')
        THEN interval '0' ELSE interval '30 seconds' END
"""


def _left(place: Place, *, leases_over: bool) -> int:
    """Return how many entries are due or leased."""
    if leases_over:
        # As if whoever was killed with claims in hand had been so for half a minute.
        place.change(
            # What somebody works on is left to them: whoever waits for locks here, they may wait for in turn.
            "UPDATE queue SET ready_at = now() WHERE id IN (SELECT id FROM queue WHERE attempts > 0"
            " AND ready_at > now() AND parked_at IS NULL AND reason IS NULL"
            " AND topic IN ('key', 'read', 'index', 'match', 'alert') FOR UPDATE SKIP LOCKED)"
        )
    ((left,),) = place.rows(f"SELECT count(*) FROM queue WHERE {_LEFT}")  # noqa: S608 - ours.
    return int(left)


async def oracle(place: Place, writers: Writers) -> list[str]:
    """Return every difference between what people were told, database, store and index."""
    found = [
        f"parked: {row}" for row in place.rows("SELECT topic, subject, reason FROM queue WHERE parked_at IS NOT NULL")
    ]
    found += _told_against_rows(place, writers.known.values())
    found += await _rows_against_store(place, writers)
    await place.engines.index.refresh()
    async for compared in comparing.differences(place.engines.sides(full=True)):
        found += [f"index: {one}" for one in compared.differences]
        if compared.pending:
            found.append(f"index: {compared.pending} are not written yet")
    audited = place.rows(
        "SELECT object.id, object.revision, count(*) FROM object JOIN audit ON audit.object_id = object.id"
        " GROUP BY object.id HAVING count(*) <> object.revision"
    )
    return found + [f"audit: {one} has revision {revision} and {rows} rows" for one, revision, rows in audited]


def _told_against_rows(place: Place, told: Sequence[Known] | Any) -> list[str]:
    rows = {
        str(row[0]): row[1:]
        for row in place.rows("SELECT id, record ->> 'title', withdrawn_at IS NOT NULL FROM object")
    }
    versions = dict(place.rows("SELECT object_id::text, count(*) FROM version GROUP BY object_id"))
    expected = {known.id: (known.title, known.withdrawn) for known in told}
    wrong = [f"told {expected[one]}, has {rows.get(one)}: {one}" for one in expected if rows.get(one) != expected[one]]
    wrong += [f"nobody was told of {one}: {rows[one]}" for one in rows.keys() - expected.keys()]
    return wrong + [
        f"published {known.published}, has {versions.get(known.id, 0)}: {known.id}"
        for known in told
        if versions.get(known.id, 0) != known.published
    ]


async def _rows_against_store(place: Place, writers: Writers) -> list[str]:
    store, wrong = place.engines.store, []
    lying = {one.key: one.size async for one in store.list("")}
    uploads = place.rows("SELECT key, lying_size FROM upload")
    wrong += [
        f"upload says {size}, the store {lying.get(key)}: {key}" for key, size in uploads if lying.get(key) != size
    ]
    ours = {key for key, _ in uploads}
    wrong += [f"nobody's: {key}" for key in lying if key not in ours]
    files = place.rows("SELECT object_id::text, path, sha256, state, key, store_version FROM file ORDER BY 1, 2")
    for object_id, path, sha256, state, key, version in files:
        known = writers.known[object_id]
        expected = "missing" if path in known.lost else "available"
        if (state, sha256) != (expected, known.files[path]):
            wrong.append(f"{object_id} {path} is {state}, should be {expected}")
        elif state == "available" and await store.sha256_of(key, version_id=version) != sha256:
            wrong.append(f"{object_id} {path} has other bytes")
    return wrong


def fresh_word() -> str:
    """Return a word that nothing else has."""
    return f"storm{uuid4().hex[:8]}"

"""Registrations that come at once and are written together: nobody notices anything of the others but the speed."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import msgspec
import pytest
import sqlalchemy as sa

from catalog.access import principals
from catalog.access.audience import Role
from catalog.access.principals import Caller
from catalog.database import Database
from catalog.engines import Engines
from catalog.errors import Unprocessable
from catalog.objects import gathering, validation, verbs
from catalog.objects.gathering import GROUP_MAX, TOGETHER_BYTES_MAX, Gathering
from catalog.objects.remembering import Remember
from catalog.objects.verbs import NameTaken, Registered
from tests.api import truth
from tests.api.conftest import Draft, plain, register
from tests.api.people import People, found
from tests.api.truth import rows
from tests.conftest import eventually

pytestmark = pytest.mark.usefixtures("noise")

ABSENT = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"
FILES = [{"path": f"data/{name}.csv", "size": 5, "sha256": "a1" * 32} for name in ("b", "a", "Ä")]
HEADERS = ("location", "etag", "cache-control", "content-type", "content-length", "catalog-written")
# What differs between two registrations that say the same.
_OWN = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<at>"),
    (re.compile(r"X-Amz-(Date|Signature|Credential)=[^&\"]+"), "X-Amz-<own>"),
)


@dataclass(frozen=True)
class Sent:
    """A request, and by whom."""

    who: str
    body: Draft
    key: str | None = None
    # Whoever remembers requests compares their bytes.
    spaces: int = 0


def said(project: str, data: str) -> list[Sent]:
    """Return what three people send at once: good and bad, with names and keys that collide."""

    def labels(dataset: str, title: str) -> Draft:
        return plain(project, kind="labels", title=title, metadata={"dataset": dataset})

    described = {"task": "image segmentation", "framework": "PyTorch"}
    return [
        *(Sent("ana", plain(project, title=f"Plain {number}")) for number in range(12)),
        *(Sent("ben", plain(project, title=f"With files {number}", files=FILES)) for number in range(6)),
        Sent("ana", plain(project, title="With terms", kind="model", metadata=described)),
        Sent("ana", labels(data, "Labels")),
        Sent("ana", labels(data, "More labels")),
        Sent("ben", labels(data, "Labels of what Ben may not see")),
        Sent("ana", labels(ABSENT, "Labels of nothing")),
        Sent("ben", plain(project, title="No such term", kind="model", metadata={"task": "image segmentatoin"})),
        Sent("ana", plain(project, title="Named", name="free", visibility="public")),
        Sent("ana", plain(project, title="Taken", name="taken")),
        *(Sent("ben", plain(project, title="Twice", name="twice")) for _ in range(2)),
        *(Sent("ana", plain(project, title="Once", files=FILES), key=f"once-{project}") for _ in range(3)),
        *(Sent("ana", plain(project, title="Other"), key=f"other-{project}", spaces=spaces) for spaces in (0, 1)),
        Sent("ben", plain(project, title="Ben's own"), key=f"once-{project}"),
        Sent("cyd", plain(project, title="By a reader")),
        Sent("ben", plain("elsewhere/soil", title="Elsewhere")),
        Sent("ben", plain(project, title="", keywords=[3])),
        Sent("ana", plain(project, title="Later", visibility="embargoed", embargo_until="2999-01-01T00:00:00Z")),
        Sent("ana", plain(project, title="Outside", external=[{"type": "url", "url": "https://example.org/a"}])),
    ]


async def post(client: httpx2.AsyncClient, sent: Sent, *, alone: bool) -> httpx2.Response:
    """Send a request, with so many spaces behind it that it is written alone where that is wanted."""
    spaces = sent.spaces + (TOGETHER_BYTES_MAX if alone else 0)
    headers = {"Content-Type": "application/json"} | ({} if sent.key is None else {"Idempotency-Key": sent.key})
    return await client.post("/api/objects", content=msgspec.json.encode(sent.body) + b" " * spaces, headers=headers)


def alike(text: str, project: str) -> str:
    """Return a text without what differs between two registrations that say the same."""
    for own, instead in _OWN:
        text = own.sub(instead, text)
    return text.replace(project, "<project>")


def told(answer: httpx2.Response, project: str) -> tuple[int, list[tuple[str, str]], str]:
    headers = [(name, alike(answer.headers[name], project)) for name in HEADERS if name in answer.headers]
    # Sealed, so each is another; and some words that differ have not one length.
    headers = [(name, "" if name in {"catalog-written", "content-length"} else value) for name, value in headers]
    return answer.status_code, headers, re.sub(r'"request_id":"[^"]*"', "", alike(answer.text, project))


_KEPT = """
    SELECT jsonb_build_array(to_jsonb(object),
        (SELECT jsonb_agg(to_jsonb(file) ORDER BY path) FROM file WHERE object_id = object.id),
        (SELECT jsonb_agg(to_jsonb(upload) - 'expires_at' ORDER BY path, id) FROM upload WHERE object_id = object.id),
        (SELECT jsonb_agg(to_jsonb(audit) - 'id' ORDER BY id) FROM audit WHERE object_id = object.id),
        (SELECT jsonb_agg(concept ORDER BY concept) FROM object_term WHERE object_id = object.id),
        (SELECT jsonb_agg(to_jsonb(reference) ORDER BY pointer) FROM reference WHERE subject_id = object.id),
        (SELECT jsonb_agg(key ORDER BY key) FROM remembered_request WHERE object_id = object.id),
        (SELECT jsonb_agg(jsonb_build_array(topic, CASE topic
                WHEN 'embargo' THEN round(extract(epoch FROM ready_at) / 1000)
                ELSE round(extract(epoch FROM ready_at - created_at) / 1000) END))
            FROM queue WHERE topic IN ('key', 'embargo') AND subject LIKE '%' || object.id || '%')
    )::text AS kept FROM object WHERE project = :project
    """


# Of what is there, told by as many rows of the audit.
TITLES = """
    SELECT record ->> 'title' AS title FROM object JOIN audit ON audit.object_id = object.id
    WHERE project = :project ORDER BY 1
    """


def numbered(count: int) -> list[str]:
    """Return so many titles, in the order of the alphabet."""
    return [f"Number {number:03}" for number in range(count)]


async def kept(engines: Engines, project: str) -> list[str]:
    """Return everything that registrations in a project have left."""
    found = await rows(engines, _KEPT, project=project)
    return sorted(alike(re.sub(r"[0-9a-f]{64}|\\\\x[0-9a-f]+", "", row["kept"]), project) for row in found)


async def moments(engines: Engines, project: str) -> list[int]:
    """Return how many objects of a project have come in one transaction, for each that there was."""
    found = await rows(
        engines, "SELECT count(*) FROM object WHERE project = :project GROUP BY created_at", project=project
    )
    return [row["count"] for row in found]


async def test_what_many_send_at_once_is_answered_and_kept_as_if_each_came_alone(
    people: People, engines: Engines
) -> None:
    clients = {"ana": await people.person("ana"), "ben": await people.person("ben"), "cyd": await people.person("cyd")}
    answers = {}
    for name in ("alone", "together"):
        project = f"{people.organization}/{name}"
        made = await people.clients.admin.post(
            f"/api/organizations/{people.organization}/projects", json={"name": name}
        )
        assert made.status_code == 201, made.text
        for who, role in (("ana", "ingest"), ("ben", "ingest"), ("cyd", "reader")):
            await people.give(f"user:{people.names[who]}", role, scope=project)
        await register(clients["ana"], plain(project, title="Was here", name="taken"))
        data = (await register(clients["ana"], plain(project, title="Data")))["id"]
        sent = said(project, data)
        posts = [post(clients[one.who], one, alone=name == "alone") for one in sent]
        got = [await one for one in posts] if name == "alone" else await asyncio.gather(*posts)
        answers[name] = sorted(told(answer, project) for answer in got)

    assert answers["together"] == answers["alone"]
    assert {status for status, _, _ in answers["alone"]} == {201, 400, 403, 409, 422}
    rows_of = {name: await kept(engines, f"{people.organization}/{name}") for name in answers}
    assert rows_of["together"] == rows_of["alone"]
    assert len(rows_of["alone"]) == 30
    assert max(await moments(engines, f"{people.organization}/alone")) == 1
    assert max(await moments(engines, f"{people.organization}/together")) > 1

    project = f"{people.organization}/together"
    hers = await rows(
        engines,
        "SELECT object.id::text FROM object JOIN principal ON principal.id = owner_id"
        " WHERE project = :project AND principal.name = :name ORDER BY 1",
        project=project,
        name=people.names["ana"],
    )

    async def all_are_found() -> bool:
        return await found(clients["ana"], project=project) == [row["id"] for row in hers]

    async def counted() -> bool:
        return await truth.noted(engines) == await truth.held(engines)

    assert await eventually(all_are_found)
    assert await eventually(counted)


async def test_clients_that_hang_up_take_nobody_along(people: People, engines: Engines) -> None:
    ana = await people.member("ana", "ingest")
    parts = urlsplit(people.clients.live.url)

    async def send_and_hang_up(title: str) -> None:
        body = msgspec.json.encode(plain(people.project, title=title))
        lines = [
            *("POST /api/objects HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json"),
            *(f"Authorization: {ana.headers['authorization']}", f"Content-Length: {len(body)}"),
        ]
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        writer.transport.abort()

    sent = [ana.post("/api/objects", json=plain(people.project, title=title)) for title in numbered(12)]
    answers, *_ = await asyncio.gather(asyncio.gather(*sent), *(send_and_hang_up(f"Gone {one}") for one in range(4)))

    assert [answer.status_code for answer in answers] == [201] * 12
    made = [row["title"] for row in await rows(engines, TITLES, project=people.project)]
    assert [title for title in made if not title.startswith("Gone")] == numbered(12)
    assert len(made) == len(set(made))


# Below HTTP, where it is certain who comes together


@dataclass
class Desk:
    """Somebody who registers in a project of the test's own."""

    engines: Engines
    caller: Caller
    project: str

    def draft(self, **said: Any) -> validation.Draft:
        return validation.draft_from(
            msgspec.json.encode(plain(said.pop("project", self.project), **said)), prefix=self.engines.placement.prefix
        )

    def register(self, *, remember: Remember | None = None, **said: Any) -> Awaitable[Registered]:
        return self.engines.registrations.register(
            self.draft(**said), caller=self.caller, size_bytes=500, remember=remember
        )

    async def titles(self) -> list[str]:
        return [row["title"] for row in await rows(self.engines, TITLES, project=self.project)]

    @asynccontextmanager
    async def held_up(self) -> AsyncGenerator[None]:
        """Let whoever registers wait before the last of it is written, until the block ends."""
        async with self.engines.database.transaction() as session:
            await session.execute(sa.text("LOCK TABLE audit IN SHARE MODE"))
            yield

    async def writers(self) -> list[int]:
        """Return the processes of the server that wait for a lock while they write registrations."""
        statement = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND strpos(query, 'json_to_recordset') > 0"
        )
        return [pid for (pid,) in await self.engines.database.rows(statement, {})]

    async def until_held_up(self) -> list[int]:
        return await eventually(self.writers, pause_max=0.005)


@pytest.fixture
async def desk(engines: Engines) -> Desk:
    async with engines.database.transaction() as session:
        caller, _ = await principals.create_token(session, name=f"desk-{uuid4().hex[:8]}", role=Role.INGEST)
    return Desk(engines, caller, f"desk/p{uuid4().hex[:12]}")


async def test_what_comes_at_once_is_one_transaction_up_to_a_number(desk: Desk) -> None:
    made = await asyncio.gather(*(desk.register(title=title) for title in numbered(GROUP_MAX + 6)))

    assert [one.entry.record["title"] for one in made] == numbered(GROUP_MAX + 6) == await desk.titles()
    assert sorted(await moments(desk.engines, desk.project)) == [6, GROUP_MAX]


async def test_files_of_several_come_together_up_to_a_number(desk: Desk) -> None:
    files = [FILES[0] | {"path": f"{number}.csv"} for number in range(200)]

    made = await asyncio.gather(*(desk.register(title=title, files=files) for title in numbered(6)))

    assert [len(one.uploads) for one in made] == [200] * 6
    assert await moments(desk.engines, desk.project) == [2, 2, 2]


async def test_what_is_written_together_is_answered_as_it_is_read_afterwards(desk: Desk) -> None:
    said: Sequence[Draft] = [
        {"title": "A", "files": FILES, "custom": {"zz": 1, "a": [1.50, 2]}},
        {"title": "B", "kind": "model", "metadata": {"task": "image segmentation"}, "name": "b"},
    ]
    made = await asyncio.gather(*(desk.register(**one) for one in said))

    async with desk.engines.database.transaction() as session:
        read = [await verbs.reading.find(session, one.entry.id, desk.caller.audience) for one in made]
    assert [one.entry for one in made] == read
    assert [list(one.entry.record["custom"]) for one in made] == [["a", "zz"], []]


async def test_a_registration_whose_client_gave_up_before_it_was_written_is_not_made(desk: Desk) -> None:
    tasks = [asyncio.ensure_future(desk.register(title=title)) for title in numbered(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()

    await asyncio.wait(tasks)

    assert [task.cancelled() for task in tasks] == [False, False, True, False, False]
    assert await desk.titles() == [title for title in numbered(5) if title != "Number 002"]


async def test_a_client_that_hangs_up_while_all_are_written_takes_nobody_along(desk: Desk) -> None:
    async with desk.held_up():
        tasks = [asyncio.ensure_future(desk.register(title=title)) for title in numbered(5)]
        await desk.until_held_up()
        tasks[0].cancel()

    made = await asyncio.gather(*tasks[1:])

    assert [one.entry.record["title"] for one in made] == numbered(5)[1:]
    there = await desk.titles()
    assert [title for title in there if title != "Number 000"] == numbered(5)[1:]
    assert there.count("Number 000") <= 1


async def test_what_is_refused_makes_no_project(desk: Desk) -> None:
    elsewhere = f"{desk.project}-refused"
    wrong = desk.register(project=elsewhere, kind="labels", metadata={"dataset": ABSENT})

    _, refused = await asyncio.gather(desk.register(), wrong, return_exceptions=True)

    assert isinstance(refused, Unprocessable)
    assert await rows(desk.engines, "SELECT name FROM project WHERE name = :name", name=elsewhere) == []


async def test_who_waits_for_a_name_keeps_nobody_else_waiting(desk: Desk) -> None:
    await desk.register(title="The project is there")
    async with desk.engines.database.transaction() as session:
        await verbs.register(session, desk.draft(name="cloud"), caller=desk.caller, placement=desk.engines.placement)
        waiting = asyncio.ensure_future(desk.register(title="Second", name="cloud"))
        others = [asyncio.ensure_future(desk.register(title=title)) for title in numbered(4)]
        async with asyncio.timeout(8):
            made = await asyncio.gather(*others)
        assert [one.entry.record["title"] for one in made] == numbered(4)
        assert not waiting.done()

    with pytest.raises(NameTaken):
        await waiting


async def test_a_name_that_somebody_takes_in_this_moment_costs_the_others_little(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.register(title="Taken", name="cloud")
    look = gathering._look  # noqa: SLF001 - it looked before the name was there.

    async def too_early(session: Any, group: Sequence[Any]) -> Any:
        return replace(await look(session, group), new=list(group))

    monkeypatch.setattr(gathering, "_look", too_early)
    late = desk.register(title="Late", name="cloud")

    *made, refused = await asyncio.gather(
        *(desk.register(title=title) for title in numbered(7)), late, return_exceptions=True
    )

    assert isinstance(refused, NameTaken)
    assert [one.entry.record["title"] for one in made if isinstance(one, Registered)] == numbered(7)
    assert sorted(await moments(desk.engines, desk.project)) == [1, 1, 2, 4]


async def test_where_no_connection_is_to_be_had_nobody_waits_for_more_than_one_turn(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.database.POOL_WAIT_SECONDS_MAX", 1.0)
    database = Database(desk.engines.database.url, connections=1)
    registrations = Gathering(database, desk.engines.placement)
    async with database.transaction() as session:
        await session.execute(sa.text("SELECT 1"))
        drafts = [desk.draft() for _ in range(3 * GROUP_MAX)]
        began = time.monotonic()
        asked = (registrations.register(draft, caller=desk.caller, size_bytes=1) for draft in drafts)
        told = await asyncio.gather(*asked, return_exceptions=True)
        took = time.monotonic() - began
    await database.close()

    assert {type(one) for one in told} == {sa.exc.TimeoutError}
    assert 1.0 <= took < 2.0
    assert await desk.titles() == []


async def test_when_the_connection_ends_before_the_commit_each_is_registered_once(desk: Desk) -> None:
    async with desk.held_up():
        tasks = [asyncio.ensure_future(desk.register(title=title)) for title in numbered(5)]
        for pid in await desk.until_held_up():
            await desk.engines.database.rows("SELECT pg_terminate_backend(%(pid)s)", {"pid": pid})

    await asyncio.gather(*tasks)

    assert await desk.titles() == numbered(5)


# The last thing that happens before a transaction is committed; it ends the connection, as a server that dies does.
_DIE = """
    CREATE FUNCTION die_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER die_at_commit AFTER INSERT ON object DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.name = 'fatal') EXECUTE FUNCTION die_at_commit()
    """


async def test_when_nobody_knows_whether_it_was_committed_nothing_is_tried_again(desk: Desk) -> None:
    async with desk.engines.database.transaction() as session:
        await session.execute(sa.text(_DIE))
    try:
        tasks = [asyncio.ensure_future(desk.register(title=title)) for title in numbered(3)]
        tasks.append(asyncio.ensure_future(desk.register(title="Fatal", name="fatal")))
        # Of this one everybody knows: it was left out.
        tasks.append(asyncio.ensure_future(desk.register(kind="labels", metadata={"dataset": ABSENT})))
        await asyncio.wait(tasks)
    finally:
        async with desk.engines.database.transaction() as session:
            await session.execute(sa.text("DROP FUNCTION die_at_commit CASCADE"))

    assert [type(task.exception()) for task in tasks] == [*[sa.exc.OperationalError] * 4, Unprocessable]
    assert await desk.titles() == []
    # And whoever comes next is served.
    assert (await desk.register(title="Next")).entry.record["title"] == "Next"

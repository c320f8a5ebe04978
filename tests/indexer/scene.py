"""A catalog on which no process works: tests register, upload and index step by step."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import sqlalchemy as sa

from catalog import queue
from catalog.access import principals
from catalog.access.audience import Audience, Role
from catalog.access.principals import Caller
from catalog.database import now
from catalog.engines import Engines
from catalog.objects import reading, validation, verbs
from catalog.objects.reading import Entry
from catalog.objects.tables import Upload
from catalog.objects.uploads import KEY, subject_of
from catalog.search import query
from catalog.search.index import Index
from indexer import documents, keys

EVERYBODY = Audience(frozenset(), everything=True)


def draft(**told: Any) -> dict[str, Any]:
    """Return a registration; what a test does not tell is plain."""
    plain = {
        "kind": "sensor-blob",
        "project": "sage/cloud",
        "title": "Untitled",
        "creators": [{"name": "Noether, Emmy"}],
        "contact": {"name": "Data desk", "email": "data@example.org"},
        "visibility": "public",
        "metadata": {"sensor": {"id": "S1"}},
    }
    return plain | told


def declared(path: str, content: bytes) -> dict[str, Any]:
    """Return the declaration of a file."""
    return {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@dataclass
class Scene:
    """One catalog's engines, and what a person or a store would do to them."""

    engines: Engines
    caller: Caller
    http: httpx2.AsyncClient = field(repr=False)

    def with_index(self, index: Index) -> Engines:
        """Return the same engines with another way to the index."""
        return replace(self.engines, index=index)

    async def register(self, *files: dict[str, Any], **told: Any) -> tuple[Entry, list[Upload]]:
        """Register an object."""
        body = json.dumps(draft(**told) | {"files": list(files)}).encode()
        wanted = validation.draft_from(body, prefix=self.engines.placement.prefix)
        async with self.engines.database.transaction() as session:
            done = await verbs.register(session, wanted, caller=self.caller, placement=self.engines.placement)
        return done.entry, done.uploads

    async def registered(self, *titles: str, **told: Any) -> dict[str, UUID]:
        """Register objects without files, and return their ids by title."""
        return {title: (await self.register(title=title, **told))[0].id for title in titles}

    async def revise(self, object_id: UUID, **changes: Any) -> None:
        """Change an object's description."""
        async with self.engines.database.transaction() as session:
            await verbs.revise(session, object_id, json.dumps(changes).encode(), caller=self.caller, revisions=None)

    async def withdraw(self, object_id: UUID) -> None:
        """Withdraw an object."""
        async with self.engines.database.transaction() as session:
            await verbs.withdraw(session, object_id, "The sensor was broken.", caller=self.caller, revisions=None)

    async def withdraw_file(self, object_id: UUID, path: str) -> None:
        """Take a file out of an object."""
        async with self.engines.database.transaction() as session:
            await verbs.remove_file(session, object_id, path, caller=self.caller, revisions=None)

    async def spoil(self, object_id: UUID, statement: str, **values: Any) -> None:
        """Change an object's row as no verb would, as an older or a broken version might have."""
        async with self.engines.database.transaction() as session:
            update = f"UPDATE object SET {statement} WHERE id = :id"  # noqa: S608 - the test's own constant.
            await session.execute(sa.text(update), {"id": object_id} | values)

    async def upload(self, upload: Upload, content: bytes) -> None:
        """Bring bytes with the ticket, as a client does."""
        ticket = self.engines.store.upload_ticket(
            upload.key,
            size=upload.size,
            sha256=upload.sha256,
            media_type=upload.media_type,
            lifetime=timedelta(minutes=5),
            now=now(),
        )
        answer = await self.http.put(ticket.url, content=content, headers=dict(ticket.headers))
        assert answer.status_code == 200, answer.text

    async def overwrite(self, key: str, content: bytes, **headers: str) -> None:
        """Put bytes at a key as somebody with other credentials may: nothing holds them to what was declared."""
        link = self.engines.store._inside.sign(  # noqa: SLF001 - no product code may write to the store like this.
            "PUT", self.engines.store.bucket, key, expires=timedelta(minutes=5), now=now(), headers=headers
        )
        answer = await self.http.put(link.href, content=content, headers=headers)
        assert answer.status_code == 200, answer.text

    async def notice(self, *uploads: Upload | str) -> None:
        """Have the keys looked at, as a notification does."""
        subjects = [one if isinstance(one, str) else subject(one) for one in uploads]
        async with self.engines.database.transaction() as session:
            await queue.put(session, KEY, subjects)

    async def work(self) -> None:
        """Do all that is due, as one indexer does."""
        while await keys.step(self.engines) + await keys.read_step(self.engines) + await documents.step(self.engines):
            pass

    async def entry(self, object_id: UUID) -> Entry:
        """Return the object as it stands, withdrawn or not."""
        async with self.engines.database.transaction() as session:
            (entry,) = await reading.read_for_index(session, [object_id])
        return entry

    async def found(self, project: str, audience: Audience = EVERYBODY) -> dict[str, int]:
        """Return what a search finds in a project: titles with the revisions that the index holds."""
        await self.engines.index.refresh()
        question = query.Question(None, filters={"project": (project,)}, limit=100)
        found = await self.engines.index.find(query.body_of(question, audience), question)
        ids = [hit.id for hit in found.hits]
        async with self.engines.database.transaction() as session:
            entries = await reading.read_for_index(session, ids)
        versions = await self.engines.index.versions(ids)
        assert found.total == len(ids)
        return {entry.record["title"]: versions[entry.id] for entry in entries}

    async def entries(self) -> list[tuple[str, str, int, bool, str | None]]:
        """Return what is in the queue and due within a minute, or parked: topic, subject, attempts, parked, reason.

        But that a store is to be tried, which is so at the start of every indexer, or listed, which is so once a week.
        """
        return await self.engines.database.rows(
            "SELECT topic, subject, attempts, parked_at IS NOT NULL, reason FROM queue"
            " WHERE ready_at < now() + CAST('1 minute' AS interval) AND topic NOT IN ('probe', 'rescan')"
            " ORDER BY topic, subject",
            {},
        )

    async def entries_of(self, topic: str) -> list[tuple[str, bool, str | None]]:
        """Return what is in the queue of a topic: subject, parked, reason."""
        asked = "SELECT subject, parked_at IS NOT NULL, reason FROM queue WHERE topic = %(topic)s ORDER BY subject"
        return await self.engines.database.rows(asked, {"topic": topic})

    async def wear_out(self) -> None:
        """Let everything in the queue have been tried as often as it may be, but once."""
        async with self.engines.database.transaction() as session:
            await session.execute(sa.text("UPDATE queue SET attempts = :most"), {"most": queue.ATTEMPTS_MAX - 1})

    async def let_pass(self, time: timedelta) -> None:
        """Put the clock forward for everything in the queue."""
        self.engines.database.learned.clear()
        async with self.engines.database.transaction() as session:
            statement = sa.text("UPDATE queue SET ready_at = ready_at - :time")
            await session.execute(statement.bindparams(sa.bindparam("time", time, type_=sa.Interval)))


def subject(upload: Upload) -> str:
    """Return the queue's subject of an upload's key."""
    return subject_of(upload.backend, upload.bucket, upload.key)


def project() -> str:
    """Return a project that no other test knows."""
    return f"sage/p{uuid4().hex[:12]}"


async def scene_on(engines: Engines, http: httpx2.AsyncClient) -> Scene:
    """Return a scene with a principal who may register."""
    async with engines.database.transaction() as session:
        caller, _ = await principals.create_token(session, name="scene", role=Role.INGEST)
    return Scene(engines, caller, http)

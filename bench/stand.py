"""The stand a bench runs on: a stack of its own, the API and, when wanted, an indexer as processes, a loaded corpus."""

import asyncio
import http.client
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import psycopg
import sqlalchemy as sa

from bench.corpus import OWNERS, Corpus, Sample
from catalog.access import principals
from catalog.access.audience import Role
from catalog.access.principals import Caller
from catalog.engines import Engines, opened
from catalog.local import Stack
from catalog.migrations import upgrade
from catalog.objects import changing, granting, kinds, schemes, validation
from catalog.settings import Settings
from catalog.storage.keys import OWN

# The bench's engine has room for its corpus, as a deployment would; everything else is as the demo has it.
HEAP_MB = 4096
LOAD_BATCH = 2_000


@dataclass(frozen=True)
class Stand:
    """Where everything is, and who asks."""

    settings: Settings
    engines: Engines
    environment: dict[str, str]
    corpus: Corpus
    owners: list[Caller]
    tokens: list[str]
    # The token of one who may change vocabularies.
    admin: str
    ids: list[UUID]
    folder: Path

    def start(self, *module: str) -> "subprocess.Popen[bytes]":
        """Start a process of the catalog; its log lies in the stand's folder."""
        with (self.folder / f"{module[0]}.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", *module], env=self.environment, stdout=log, stderr=log)


@asynccontextmanager
async def standing(folder: Path, objects: int) -> AsyncGenerator[Stand]:
    """Start the stack and load the corpus into the database; nothing is queued or indexed yet."""
    async with Stack(folder, heap_mb=HEAP_MB) as stack:
        # The figures are of searches by words, and nothing else may need the processor meanwhile.
        environment = {**os.environ, **stack.environment(), "CATALOG_HYBRID": "off"}
        os.environ.update(environment)
        settings = Settings.from_environment()
        await asyncio.to_thread(upgrade, str(settings.database_url))
        async with opened(settings) as engines:
            await engines.index.drop()
            await engines.index.ensure()
            await engines.store.ensure_bucket()
            corpus = Corpus(objects)
            owners, tokens = await _owners(engines)
            async with engines.database.transaction() as session:
                _, admin = await principals.create_token(session, name="admin", role=Role.ADMIN)
            print(f"loading {objects:,} objects", file=sys.stderr, flush=True)
            async with engines.database.transaction() as session:
                await schemes.load_shipped(session)
            ids = await asyncio.to_thread(load, str(settings.database_url), corpus, owners, settings)
            async with engines.database.transaction() as session:
                await session.execute(sa.text(DESCRIBE))
            yield Stand(settings, engines, environment, corpus, owners, tokens, admin, ids, folder)


async def _owners(engines: Engines) -> tuple[list[Caller], list[str]]:
    made = []
    async with engines.database.transaction() as session:
        await session.execute(sa.text("TRUNCATE object, file, upload, audit, queue, remembered_request CASCADE"))
        for number in range(OWNERS):
            made.append(await principals.create_token(session, name=f"owner-{number}", role=Role.INGEST))
    return [caller for caller, _ in made], [token for _, token in made]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sample as rows."""

    object: tuple[Any, ...]
    files: list[tuple[Any, ...]]


def prepared(sample: Sample, owner: Caller, settings: Settings) -> Prepared:
    """Validate a sample as a registration would be, and return its rows with the files available."""
    draft = validation.draft_from(msgspec.json.encode(sample.body), prefix=settings.store_prefix)
    record = validation.record_of(draft.description)
    assert owner.id is not None
    project = draft.description.project
    access = granting.access_of(record, owner_id=owner.id, project=project)
    row = (
        sample.id,
        draft.kind.name,
        kinds.known()[draft.kind.name].schema_version,
        project,
        owner.id,
        access["readers"],
        access["writers"],
        1,
        msgspec.json.encode(record).decode(),
    )
    files = [
        (
            sample.id,
            file.path,
            file.size,
            file.sha256,
            file.media_type,
            "available",
            OWN,
            settings.store_bucket,
            f"{project}/uploads/{sample.id}/{sample.id}/{file.path}",
        )
        for file in draft.files
    ]
    return Prepared(row, files)


# What registering keeps beside each model's row.
DESCRIBE = """
    INSERT INTO object_term (object_id, concept)
    SELECT id, uri FROM object, unnest(ARRAY[record #>> '{metadata,task}', record #>> '{metadata,framework}']) AS uri
    WHERE kind = 'model' AND uri IS NOT NULL
    """

OBJECT_COLUMNS = "id, kind, schema_version, project, owner_id, readers, writers, revision, record"
FILE_COLUMNS = "object_id, path, size, sha256, media_type, state, backend, bucket, key"


def load(url: str, corpus: Corpus, owners: Sequence[Caller], settings: Settings) -> list[UUID]:
    """Copy the corpus into the database."""
    ids = []
    with psycopg.connect(url) as connection:
        batch: list[Prepared] = []
        for sample in corpus.samples():
            ids.append(sample.id)
            batch.append(prepared(sample, owners[sample.owner], settings))
            if len(batch) == LOAD_BATCH:
                copy(connection, batch)
                batch.clear()
        copy(connection, batch)
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")
    return ids


def copy(connection: psycopg.Connection[Any], batch: Sequence[Prepared]) -> None:
    """Copy prepared rows."""
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY object ({OBJECT_COLUMNS}) FROM STDIN") as rows:
            for one in batch:
                rows.write_row(one.object)
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS incoming AS SELECT " + FILE_COLUMNS + " FROM file LIMIT 0")
        with cursor.copy(f"COPY incoming ({FILE_COLUMNS}) FROM STDIN") as rows:
            for one in batch:
                for file in one.files:
                    rows.write_row(file)
        cursor.execute(
            f"INSERT INTO file (id, {FILE_COLUMNS}) SELECT uuidv7(), {FILE_COLUMNS} FROM incoming; TRUNCATE incoming"
        )


async def queue_all(engines: Engines) -> None:
    """Queue every object for the index."""
    async with engines.database.transaction() as session:
        await changing.index_everything(session)


def say(text: str) -> None:
    """Tell whoever waits what is being measured."""
    print(text, file=sys.stderr, flush=True)


class Wire:
    """One keep-alive connection, as thin as Python has it: the same for us and for the limit."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        self._headers = headers or {}

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Send a request and return status and body."""
        sent = {**self._headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        try:
            self._connection.request(method, path, body, sent)
            answer = self._connection.getresponse()
        except ConnectionError:
            # The server closed a connection that lay idle meanwhile: once more, as every client does.
            self._connection.close()
            self._connection.request(method, path, body, sent)
            answer = self._connection.getresponse()
        return answer.status, answer.read()


def await_answer(url: str, path: str = "/livez", seconds: float = 30) -> None:
    """Return when a server answers."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            if Wire(url).send("GET", path)[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"{url}{path} does not answer")

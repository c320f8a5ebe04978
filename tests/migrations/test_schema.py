"""The schema goes forward, any number of times, from any number of processes, and ends as the models say."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import alembic.command
import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.types.json import Jsonb
from sqlmodel import SQLModel

from catalog import migrations
from catalog.database import Database, sqlalchemy_url
from catalog.migrations import vectors
from catalog.objects import kinds, naming
from catalog.storage import choices
from catalog.storage.choices import Chosen, Storages

Made = Callable[[], str]
UPGRADE = "import sys; from catalog.migrations import upgrade; upgrade(sys.argv[1])"


@pytest.fixture
def empty(engines_ready: dict[str, Any]) -> Generator[str]:
    """The address of a database with nothing in it."""
    admin = engines_ready["environment"]["CATALOG_DATABASE_URL"]
    name = f"t{uuid4().hex[:12]}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield admin.rsplit("/", 1)[0] + f"/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def shape(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every column, constraint and index of a database."""
    with psycopg.connect(url) as connection:
        return {
            "columns": connection.execute(
                "SELECT table_name, column_name, data_type, is_nullable, column_default"
                " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
            ).fetchall(),
            "constraints": connection.execute(
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE connamespace = 'public'::regnamespace ORDER BY 1"
            ).fetchall(),
            "indices": connection.execute(
                "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
            ).fetchall(),
        }


def test_an_empty_database_gets_every_table_of_the_models(empty: str) -> None:
    migrations.upgrade(empty)

    tables = {row[0] for row in shape(empty)["columns"]}
    assert tables == set(SQLModel.metadata.tables) | {"alembic_version", "object_vector"}


def test_the_schema_is_what_the_models_say(empty: str) -> None:
    migrations.upgrade(empty)

    with sa.create_engine(sqlalchemy_url(empty), poolclass=sa.NullPool).connect() as connection:
        # The table of vectors is there only where the server has pgvector, and no model knows its type.
        opts = {"compare_type": True, "compare_server_default": True, "include_name": _of_models}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, SQLModel.metadata) == []


def _of_models(name: str | None, kind: str, _: Any) -> bool:
    return (name, kind) != ("object_vector", "table")


@pytest.fixture
def without_pgvector(empty: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database on a server that has no such extension."""
    monkeypatch.setattr(vectors, "EXTENSION", "no_such_extension")
    return empty


def test_a_server_without_pgvector_is_upgraded_all_the_same(without_pgvector: str) -> None:
    migrations.upgrade(without_pgvector)

    tables = {row[0] for row in shape(without_pgvector)["columns"]}
    assert tables == set(SQLModel.metadata.tables) | {"alembic_version"}


def test_pgvector_that_comes_later_is_used_after_the_next_upgrade(
    without_pgvector: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations.upgrade(without_pgvector)
    monkeypatch.undo()

    migrations.upgrade(without_pgvector)

    made = [name for name, _ in shape(without_pgvector)["indices"] if "vector" in name]
    assert made == ["ix_object_vector_open", "pk_object_vector"]


def test_who_may_make_no_extension_upgrades_all_the_same(empty: str) -> None:
    """Managed servers let none but their own superuser do that."""
    role = f"r{uuid4().hex[:12]}"
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}")
        connection.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {role}")

    try:
        with sa.create_engine(sqlalchemy_url(empty), poolclass=sa.NullPool).begin() as connection:
            connection.execute(sa.text(f"SET LOCAL ROLE {role}"))
            vectors.ensure(connection)
            there = connection.execute(sa.text("SELECT to_regclass('object_vector')")).scalar_one()
    finally:
        with psycopg.connect(empty, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")

    assert there is None


@pytest.mark.req("MWM-SADD-10")
def test_upgrading_again_changes_nothing_and_keeps_the_rows(empty: str) -> None:
    migrations.upgrade(empty)
    before = shape(empty)
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("INSERT INTO queue (topic, subject) VALUES ('index', 'a')")

    migrations.upgrade(empty)

    with psycopg.connect(empty) as connection:
        kept = connection.execute("SELECT topic, subject FROM queue").fetchall()
    assert (shape(empty), kept) == (before, [("index", "a")])


@pytest.mark.timeout(300)
async def test_processes_that_upgrade_at_once_wait_for_each_other(empty: str) -> None:
    def upgrade() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", UPGRADE, empty], capture_output=True, text=True, timeout=240, check=False
        )

    ended = await asyncio.gather(*(asyncio.to_thread(upgrade) for _ in range(3)))

    with psycopg.connect(empty) as connection:
        versions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert [(one.returncode, one.stderr) for one in ended] == [(0, "")] * 3
    assert versions == [(_script().get_current_head(),)]


def test_steps_follow_one_another_in_one_line() -> None:
    script = _script()

    steps = [step.revision for step in script.walk_revisions()]

    assert script.get_heads() == steps[:1]
    assert steps == sorted(steps, reverse=True)


def test_there_is_no_way_back(empty: str) -> None:
    """A step back would have to throw away what was written since; a wrong step is mended by the next one."""
    migrations.upgrade(empty)
    before = shape(empty)

    with (
        sa.create_engine(sqlalchemy_url(empty), poolclass=sa.NullPool).connect() as connection,
        pytest.raises(AttributeError, match="downgrade"),
    ):
        alembic.command.downgrade(migrations._configuration(connection), "base")  # noqa: SLF001 - what nobody offers.

    assert shape(empty) == before
    assert [step.revision for step in _script().walk_revisions() if hasattr(step.module, "downgrade")] == []


@pytest.mark.req("DEWRANGLE-RFC-17")
async def test_organizations_of_before_use_the_catalogs_own_store(empty: str) -> None:
    (before,) = [step.down_revision for step in _script().walk_revisions() if step.revision == "0026"]
    with sa.create_engine(sqlalchemy_url(empty), poolclass=sa.NullPool).begin() as connection:
        alembic.command.upgrade(migrations._configuration(connection), str(before))  # noqa: SLF001 - one step of many.
        connection.execute(sa.text("INSERT INTO organization (name) VALUES ('lab')"))
        connection.execute(sa.text("INSERT INTO project (name, organization) VALUES ('lab/soil', 'lab')"))

    await asyncio.to_thread(migrations.upgrade, empty)

    database = Database(empty, connections=1)
    async with database.transaction() as session:
        found = [await choices.used_by(session, scope) for scope in ("lab", "lab/soil")]
        documents = await choices.documents_of(session, "lab/soil")
    await database.close()
    own = Chosen(None, None)
    assert (found, documents) == ([Storages(own, [own])] * 2, None)


def _script() -> ScriptDirectory:
    return ScriptDirectory(str(Path(migrations.__file__).parent))


# What the examples of the kinds leave out, and what all of them name.
NAMED = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"
OTHER = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e60"
NAMING: dict[str, dict[str, Any]] = {
    "labels": {"dataset": NAMED},
    "weights": {"model": NAMED, "trained_on": [OTHER, NAMED]},
    "binary": {"built_from": [NAMED, OTHER]},
    "docker-image": {"dockerfile": NAMED},
    "calibration": {"measurements": NAMED},
    "sensor-data": {"calibration": NAMED},
    "trigger-app": {"starts": [NAMED, OTHER]},
    "ecr-bundle": {
        "members": [
            {"type": "url", "url": "https://example.org/a"},
            {"type": "object", "id": NAMED},
            {"type": "object", "id": OTHER},
        ]
    },
    "model": {},
}


def upgrade_to_before(url: str, revision: str) -> None:
    """Leave a database as it was before one step."""
    (before,) = [step.down_revision for step in _script().walk_revisions() if step.revision == revision]
    with sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool).begin() as connection:
        alembic.command.upgrade(migrations._configuration(connection), str(before))  # noqa: SLF001 - one step of many.


def test_what_older_records_name_is_filled_in(empty: str) -> None:
    upgrade_to_before(empty, "0012")
    written = {uuid4(): kind for kind in NAMING}
    records = {kind: {"metadata": {**kinds.known()[kind].example["metadata"], **said}} for kind, said in NAMING.items()}
    with psycopg.connect(empty, autocommit=True) as connection:
        owner = uuid4()
        connection.execute("INSERT INTO principal (id, name, role) VALUES (%s, 'somebody', 'ingest')", [owner])
        for object_id, kind in [*written.items(), (UUID(NAMED), "model"), (UUID(OTHER), "model")]:
            connection.execute(
                "INSERT INTO object (id, kind, schema_version, project, owner_id, readers, revision, record)"
                " VALUES (%s, %s, 1, 'a/b', %s, '{}', 1, %s)",
                [object_id, kind, owner, Jsonb(records[kind])],
            )

    migrations.upgrade(empty)

    with psycopg.connect(empty) as connection:
        filled = connection.execute("SELECT subject_id, target_id, bond, pointer FROM reference").fetchall()
    assert set(filled) == {
        (object_id, *one)
        for object_id, kind in written.items()
        for one in naming.named_by(
            kinds.known()[kind].metadata.model_validate(records[kind]["metadata"], strict=False).references(), {}
        )
    }
    assert len(filled) == 1 + 3 + 2 + 1 + 1 + 1 + 2 + 2


def test_what_older_projects_hold_is_counted(empty: str) -> None:
    upgrade_to_before(empty, "0025")
    there, withdrawn, elsewhere, owner = uuid4(), uuid4(), uuid4(), uuid4()
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("INSERT INTO principal (id, name, role) VALUES (%s, 'somebody', 'ingest')", [owner])
        for object_id, project, withdrawn_at in (
            (there, "lab/soil", None),
            (withdrawn, "lab/soil", "2026-01-01"),
            (elsewhere, "lab-b/soil", None),
        ):
            connection.execute(
                "INSERT INTO object (id, kind, schema_version, project, owner_id, readers, writers, revision, record,"
                " withdrawn_at) VALUES (%s, 'model', 1, %s, %s, '{}', '{}', 1, '{}', %s)",
                [object_id, project, owner, withdrawn_at],
            )
        for object_id, state, size in (
            (there, "expected", 1),
            (there, "available", 10),
            (withdrawn, "expected", 100),
            (withdrawn, "available", 1_000),
        ):
            connection.execute(
                "INSERT INTO file (id, object_id, path, size, sha256, media_type, state)"
                " VALUES (%s, %s, %s, %s, 'aa', 'text/csv', %s)",
                [uuid4(), object_id, state, size, state],
            )
        for state, size, seen_at, found_size in (
            ("open", 1, None, None),
            ("complete", 10, "2026-01-01", None),
            ("mismatched", 1, "2026-01-01", 10_000),
            ("superseded", 100_000, "2026-01-01", None),
            ("superseded", 5, None, None),
            ("abandoned", 5, "2026-01-01", None),
        ):
            connection.execute(
                "INSERT INTO upload (id, object_id, path, size, sha256, media_type, backend, bucket, key, state,"
                " principal_id, expires_at, seen_at, found_size)"
                " VALUES (%s, %s, 'a', %s, 'aa', 'text/csv', 'b', 'c', %s, %s, %s, now(), %s, %s)",
                [uuid4(), there, size, str(uuid4()), state, owner, seen_at, found_size],
            )

    migrations.upgrade(empty)

    with psycopg.connect(empty) as connection:
        counted = connection.execute(
            "SELECT organization, project, objects, bytes, uploads FROM usage ORDER BY bytes DESC"
        )
        assert counted.fetchall() == [("lab", "lab/soil", 1, 111_011, 1), ("lab-b", "lab-b/soil", 1, 0, 0)]

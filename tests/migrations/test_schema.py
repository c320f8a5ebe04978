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
from catalog.database import sqlalchemy_url
from catalog.objects import kinds, naming

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
    assert tables == set(SQLModel.metadata.tables) | {"alembic_version"}


def test_the_schema_is_what_the_models_say(empty: str) -> None:
    migrations.upgrade(empty)

    with sa.create_engine(sqlalchemy_url(empty), poolclass=sa.NullPool).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []


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


async def test_processes_that_upgrade_at_once_wait_for_each_other(empty: str) -> None:
    def upgrade() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", UPGRADE, empty], capture_output=True, text=True, timeout=60, check=False
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


def test_what_older_records_name_is_filled_in(empty: str) -> None:
    (before,) = [step.down_revision for step in _script().walk_revisions() if step.revision == "0012"]
    with sa.create_engine(sqlalchemy_url(empty), poolclass=sa.NullPool).begin() as connection:
        alembic.command.upgrade(migrations._configuration(connection), str(before))  # noqa: SLF001 - one step of many.
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

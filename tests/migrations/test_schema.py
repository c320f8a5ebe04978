"""The schema goes forward, any number of times, from any number of processes, and ends as the models say."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any
from uuid import uuid4

import alembic.command
import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel

from catalog import migrations
from catalog.database import sqlalchemy_url

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

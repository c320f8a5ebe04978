"""`catalog backup` and `catalog restore`: what is lost comes back whole, and index and stores are held against it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest

from catalog.cli import output
from catalog.objects.tables import Upload
from tests.cli.conftest import Catalog
from tests.cli.test_agreeing import Place
from tests.cli.test_operating import variables
from tests.conftest import World
from tests.indexer.scene import Scene, declared

CSV = b"depth,pH\n10,6.4\n"


class Drill(Place):
    """What can happen to a catalog on which nothing works by itself."""

    def __init__(self, world: World, run: Catalog) -> None:
        super().__init__(world, run)
        self.world = world
        self.url = str(world.settings.database_url)

    def bring(self, content: bytes) -> tuple[UUID, Upload]:
        """Return an object whose file is there, and the upload that brought it."""

        async def work(scene: Scene) -> tuple[UUID, Upload]:
            entry, (upload,) = await scene.register(declared("soil.csv", content), title="With a file")
            await scene.upload(upload, content)
            await scene.notice(upload)
            await scene.work()
            return entry.id, upload

        made: tuple[UUID, Upload] = self.in_scene(work)
        return made

    def work(self) -> None:
        """Do all that is queued, as one indexer does, and let searches see it."""
        super().work()
        self.in_scene(lambda scene: scene.engines.index.refresh())

    def titles(self) -> set[str]:
        """What the index can find."""
        asked = {"query": {"bool": {"must_not": {"term": {"tombstone": True}}}}, "size": 100, "_source": ["title"]}
        answer = httpx2.request("POST", f"{self._index}/_search", json=asked, timeout=30, trust_env=False)
        return {hit["_source"]["title"] for hit in answer.json()["hits"]["hits"]}

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement, values).fetchall()

    def files(self, object_id: UUID) -> list[tuple[Any, ...]]:
        return self.rows("SELECT path, state FROM file WHERE object_id = %s", object_id)

    def change(self, *statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of what people have told, but for the queue."""
        names = [name for (name,) in self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        return {
            name: sorted(self.rows(f'SELECT t::text FROM "{name}" AS t'))  # noqa: S608 - the catalog's own table.
            for name in sorted(names)
            if name not in {"queue", "object_vector"}
        }


@pytest.fixture
def drill(fresh_world: World, run: Catalog) -> Drill:
    """A catalog with nothing in it."""
    drill = Drill(fresh_world, run)
    assert drill.command("migrate").code == 0
    return drill


def test_a_catalog_that_lost_its_database_and_its_index_is_back_as_it_was(drill: Drill, tmp_path: Path) -> None:
    drill.register("Kept", "Kept too")
    object_id, _ = drill.bring(CSV)
    folder = tmp_path / "backup"
    backed_up = drill.command("backup", folder)
    before = drill.everything()
    drill.register("Written after the backup")
    drill.change("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")

    restored = drill.command("restore", folder)
    after = drill.everything()
    drill.work()

    assert (backed_up.code, restored.code) == (0, 0), restored.err
    assert after == before
    assert drill.titles() == {"Kept", "Kept too", "With a file"}
    assert drill.files(object_id) == [("soil.csv", "available")]
    agreed = drill.command("diff", "--full", "--json")
    assert (agreed.code, agreed.json["index"]["objects"], agreed.json["index"]["differences"]) == (0, 3, [])


def test_objects_that_went_on_are_replaced_only_when_that_is_said(drill: Drill, tmp_path: Path) -> None:
    (kept,) = drill.register("Kept")
    folder = tmp_path / "backup"
    assert drill.command("backup", folder).code == 0
    # The index holds a later version of its document, which would refuse the earlier one.
    drill.in_scene(lambda scene: scene.revise(UUID(kept), title="Changed afterwards"))
    drill.register("Written after the backup")
    drill.work()
    after = drill.everything()

    refused = drill.command("restore", folder)
    unchanged = drill.everything()
    replaced = drill.command("restore", folder, "--replace")
    drill.work()

    assert (refused.code, unchanged) == (output.CONFLICT, after)
    assert "The database holds 2 objects. To have this backup in their place: --replace." in refused.err
    assert replaced.code == 0, replaced.err
    assert drill.titles() == {"Kept"}
    assert drill.command("diff", "--full").code == 0


def test_files_that_went_since_the_backup_are_told(drill: Drill, tmp_path: Path) -> None:
    object_id, upload = drill.bring(CSV)
    folder = tmp_path / "backup"
    drill.command("backup", folder)

    async def lose(scene: Scene) -> None:
        found = await scene.engines.store.stat(upload.key)
        assert found is not None
        await scene.engines.store.remove(upload.key, found.version_id)

    drill.in_scene(lose)

    drill.command("restore", folder, "--replace")
    drill.work()

    assert drill.files(object_id) == [("soil.csv", "missing")]


def test_a_backup_tells_what_is_in_it_and_nobody_else_may_read_it(drill: Drill, tmp_path: Path) -> None:
    drill.register("Kept", "Kept too")
    drill.bring(CSV)
    folder = tmp_path / "backup"

    told = drill.command("backup", folder, "--json").json

    assert folder.stat().st_mode & 0o777 == 0o700
    assert json.loads((folder / "manifest.json").read_text()) == {
        name: value for name, value in told.items() if name != "folder"
    }
    assert told["tables"]["object"] == 3
    (place,) = told["places"]
    assert (place["backend"], place["files"], place["bytes"]) == ("default", 1, len(CSV))
    assert told["files"].keys() == {one.name for one in (folder / "database").iterdir()}


def test_a_backup_that_is_not_whole_is_refused_before_anything_is_touched(drill: Drill, tmp_path: Path) -> None:
    drill.register("Kept")
    folder, torn, altered, later, beside = (
        tmp_path / name for name in ("backup", "torn", "altered", "later", "beside")
    )
    drill.command("backup", folder)
    for copy in (torn, altered, later, beside):
        shutil.copytree(folder, copy)
    data = min((torn / "database").glob("*.dat.gz")).name
    (torn / "database" / data).unlink()
    (altered / "database" / data).write_bytes(b"something else")
    manifest = json.loads((later / "manifest.json").read_text())
    (later / "manifest.json").write_text(json.dumps(manifest | {"schema": "9999", "catalog": "9.0.0"}))
    left_out = {name: digest for name, digest in manifest["files"].items() if name != "toc.dat"}
    (beside / "manifest.json").write_text(json.dumps(manifest | {"files": left_out}))
    before = drill.everything()

    told = [drill.command("restore", one, "--replace") for one in (torn, altered, later, tmp_path, beside)]

    assert [one.code for one in told] == [*[output.USAGE] * 3, output.NOT_FOUND, output.USAGE]
    assert f"lacks {data}: the backup is not whole." in told[0].err.replace("\n", " ")
    assert "its SHA-256 is another." in told[1].err.replace("\n", " ")
    assert "whose schema 9999" in told[2].err.replace("\n", " ")
    assert "has toc.dat, of which manifest.json does not know." in told[4].err.replace("\n", " ")
    assert drill.everything() == before
    assert drill.command("restore", folder, "--check").code == 0


def test_a_backup_with_other_rows_than_it_says_leaves_the_database_as_it_was(drill: Drill, tmp_path: Path) -> None:
    drill.register("Kept", "Counted")
    folder = tmp_path / "backup"
    drill.command("backup", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tables"]["object"] += 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = drill.everything()

    told = drill.command("restore", folder, "--replace")

    rows = manifest["tables"]["object"]
    assert f"the table object has {rows - 1} rows, and the backup says {rows}" in told.err.replace("\n", " ")
    assert (told.code == 0, drill.everything() == before) == (False, True)


def test_a_restore_that_is_killed_leaves_the_database_as_it_was(drill: Drill, tmp_path: Path) -> None:
    drill.register(*(f"Plot {number}" for number in range(20)))
    folder = tmp_path / "backup"
    drill.command("backup", folder)
    drill.register("Written after the backup")
    before = drill.everything()
    command = [sys.executable, "-m", "catalog", "restore", str(folder), "--replace"]
    environment = os.environ | {f"CATALOG_{name}": value for name, value in variables(drill.world).items()}

    # Somebody reads a table: the restore has to wait for it amid its transaction, and is killed there.
    with psycopg.connect(drill.url) as reader:
        reader.execute("SELECT count(*) FROM object")
        restoring = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        ends = time.monotonic() + 60
        while drill.rows(waiting) != [(1,)]:
            assert time.monotonic() < ends
            time.sleep(0.05)
        restoring.send_signal(signal.SIGKILL)
        restoring.wait()
    while drill.rows("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql'") != [(0,)]:
        assert time.monotonic() < ends
        time.sleep(0.05)

    assert drill.everything() == before


def test_a_place_that_is_taken_is_not_overwritten(drill: Drill, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    folder.mkdir()
    (folder / "note").write_text("mine")

    refused = drill.command("backup", folder)

    assert (refused.code, [one.name for one in folder.iterdir()]) == (output.CONFLICT, ["note"])


def test_what_a_killed_backup_left_is_in_nobodys_way(drill: Drill, tmp_path: Path) -> None:
    drill.register("Kept")
    (tmp_path / "backup.part" / "database").mkdir(parents=True)
    (tmp_path / "backup.part" / "database" / "toc.dat").write_bytes(b"half")

    done = drill.command("backup", tmp_path / "backup")

    assert (done.code, (tmp_path / "backup.part").exists()) == (0, False)
    assert drill.command("restore", tmp_path / "backup", "--check").code == 0

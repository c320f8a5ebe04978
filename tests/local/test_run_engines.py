"""Where the engines of a test run come from: those that the environment names are used, and containers need Docker."""

import asyncio
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from catalog.engines import opened
from catalog.local import Stack
from catalog.local.home import Home
from tests import engines as engine_process
from tests.conftest import make_world, prepare, template
from tests.docs.repository import ROOT
from tests.local.conftest import READY_SECONDS_MAX, bare

# The refused runs need none of these, and each costs time.
WITHOUT = ("-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:schemathesis", "-p", "no:hypothesispytest")


def refused(tmp_path: Path, *options: str, **environment: str) -> tuple[int, str]:
    """Start a run of one test that needs no engine; return its exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *WITHOUT, *options, "tests/docs/test_readme.py"],
        cwd=ROOT,
        # Whatever Docker this machine and this person have, the run shall not find it.
        env=bare() | {"HOME": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/docker.sock"} | environment,
        capture_output=True,
        text=True,
        timeout=READY_SECONDS_MAX,
        check=False,
    )
    return done.returncode, done.stderr.strip()


def test_a_run_in_containers_needs_a_docker_engine_and_says_so_at_once(tmp_path: Path) -> None:
    said = (
        f"ERROR: --engines=docker needs a running Docker engine, and none answers at unix://{tmp_path}/docker.sock:"
        " start it, name it in DOCKER_HOST, or leave the option away, which needs no Docker"
    )
    assert refused(tmp_path, "--engines=docker") == (pytest.ExitCode.USAGE_ERROR, said)


def test_a_given_store_needs_its_keys_and_the_run_says_so_at_once(tmp_path: Path) -> None:
    said = "ERROR: CATALOG_STORE_URL needs its keys: set CATALOG_STORE_ACCESS_KEY and CATALOG_STORE_SECRET_KEY."
    given = {"CATALOG_STORE_URL": "http://127.0.0.1:1", "CATALOG_STORE_ACCESS_KEY": "catalog"}
    assert refused(tmp_path, **given) == (pytest.ExitCode.USAGE_ERROR, said)


@pytest.mark.usefixtures("lent_here")
async def test_engines_that_the_environment_names_are_used_and_hold_what_is_the_tests_own(
    tmp_path: Path, lent: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "engines"
    folder.mkdir()
    async with Stack(tmp_path / "home") as stack:
        database_url = stack.environment()["CATALOG_DATABASE_URL"]
        monkeypatch.setenv("CATALOG_DATABASE_URL", database_url)
        process = engine_process.start(folder, "embedded")
        try:
            ready = await asyncio.to_thread(engine_process.wait, folder)
            started = {name: part.id is not None for name, part in Home(folder / "stack").state().parts.items()}
            world = make_world(ready, tmp_path, store="given")
            await prepare(world, ready)
        finally:
            await asyncio.to_thread(engine_process.stop, process)
        with psycopg.connect(database_url) as connection:
            databases = connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate").fetchall()
        # What the run itself started is gone: what answers now is what it was given.
        async with opened(world.settings) as engines:
            await engines.store.ping()
            assert await engines.index.count() == 0
    own = world.settings.store_bucket
    assert started == {"postgres": False, "opensearch": False, "seaweedfs": True}
    assert {name for (name,) in databases} == {"postgres", "catalog", own, template(database_url)}
    assert (world.settings.search_index, own) != (lent["CATALOG_SEARCH_INDEX"], lent["CATALOG_STORE_BUCKET"])

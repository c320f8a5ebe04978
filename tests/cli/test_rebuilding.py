"""`catalog reindex` has an index built anew beside the one that is searched, tells how far it is, and goes back."""

import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from catalog.cli import output
from catalog.search.document import MAPPING_VERSION, index_body
from tests.cli.conftest import Catalog
from tests.cli.test_agreeing import OBJECTS, Place
from tests.conftest import World
from tests.indexer.test_process import start


@pytest.fixture
def place(fresh_world: World, run: Catalog) -> Place:
    """A catalog with some objects, on which nothing works."""
    place = Place(fresh_world, run)
    assert place.command("migrate").code == 0
    place.register(*(f"Plot {number}" for number in range(OBJECTS)))
    return place


@contextmanager
def working(world: World, folder: Path) -> Generator[None]:
    """Let an indexer work for the length of the block."""
    indexer = start(world, folder / "indexer.log")
    try:
        yield
    finally:
        indexer.terminate()
        indexer.wait(20)


def test_an_index_is_planned_built_gone_back_to_and_forgotten(place: Place, fresh_world: World, tmp_path: Path) -> None:
    planned = place.command("reindex", "--plan", "--json")
    assert (planned.code, planned.json["needed"], planned.json["reasons"]) == (0, False, [])
    assert (planned.json["objects"], planned.json["seconds"]) == (OBJECTS, None)
    assert place.command("reindex", "--plan").out.startswith("no rebuild is needed\n")
    assert place.command("reindex", "--status").err == "no index was ever built anew\n"
    for nothing in ("--cancel", "--rollback", "--finish"):
        assert place.command("reindex", nothing).code == output.CONFLICT

    with working(fresh_world, tmp_path):
        done = place.command("reindex", "--json")
        assert (done.code, done.json["state"], done.json["filled"], done.json["differing"]) == (0, "kept", OBJECTS, 0)
        assert "waiting for the indexer" in done.err
        assert place.command("reindex").code == output.CONFLICT
        assert place.command("diff", "--full", "--json").json["index"]["differences"] == []
        shown = place.command("reindex", "--status")
        assert f"{done.json['old']} is kept: catalog reindex --finish removes it" in shown.err
        assert "s at the rate of the last one" in place.command("reindex", "--plan").out

        back = place.command("reindex", "--rollback", "--json")
        assert (back.code, back.json["state"]) == (0, "back")
        assert f"searches are answered by {done.json['old']} again" in back.err
        finished = place.command("reindex", "--finish", "--json")
        assert (finished.code, finished.json["state"]) == (0, "finished")
        assert f"the indexer removes {done.json['new']}" in finished.err
        assert place.command("diff", "--json").json["index"]["documents"] == OBJECTS


def test_what_cannot_go_together_is_refused(place: Place) -> None:
    refused = place.command("reindex", "--plan", "--cancel")
    assert (refused.code, "--plan and --cancel cannot go together" in refused.err) == (output.USAGE, True)


def test_who_stops_watching_stops_nothing_and_may_end_it(place: Place, fresh_world: World) -> None:
    command = [sys.executable, "-m", "catalog", "reindex"]
    with subprocess.Popen(command, env=fresh_world.environment, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        said = watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        said += watching.stderr.read()
    assert watching.returncode == output.INTERRUPTED
    assert said == (
        "waiting for the indexer\n"
        "it goes on by itself; to watch on: catalog reindex; to end it: catalog reindex --cancel\n"
    )
    assert place.command("reindex", "--status", "--json").json["state"] == "waiting"
    ended = place.command("reindex", "--cancel", "--json")
    assert (ended.code, ended.json["state"]) == (0, "cancelled")


def test_migrate_leaves_an_index_of_another_mapping_searched_and_has_the_indexer_build_it_anew(
    place: Place, fresh_world: World, tmp_path: Path
) -> None:
    url, alias = str(fresh_world.settings.search_url), fresh_world.settings.search_index
    body = index_body(refresh_interval="1s")
    body["mappings"]["_meta"]["version"] = "older"
    with httpx2.Client(base_url=url, trust_env=False, timeout=30) as engine:
        engine.delete(f"/{alias}-{MAPPING_VERSION}").raise_for_status()
        engine.put(f"/{alias}-older", json=body | {"aliases": {alias: {}}}).raise_for_status()
        engine.put(f"/{alias}/_doc/1?refresh=true", json={"title": "Old"}).raise_for_status()
        told = place.command("migrate")
        assert (told.code, engine.get(f"/{alias}/_count").json()["count"]) == (0, 1)
        assert f"index {alias}: made by another version; the indexer builds it anew beside it" in told.err
        assert place.command("migrate").code == 0
        planned = place.command("reindex", "--plan")
        assert (
            f"The index {alias}-older was made for mapping older, this version needs {MAPPING_VERSION}." in planned.out
        )

        with working(fresh_world, tmp_path):
            limit = time.monotonic() + 60
            while engine.get(f"/{alias}/_count").json()["count"] != OBJECTS and time.monotonic() < limit:
                time.sleep(0.1)
            watched = place.command("reindex", "--status", "--json")
            assert watched.json["why"].startswith(f"Index '{alias}-older' was made for mapping older")
        assert place.command("diff", "--full", "--json").json["index"]["differences"] == []
        assert place.command("migrate").code == 0

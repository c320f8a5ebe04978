"""What a stack survives, with Postgres as its only engine; the environment names the others."""

import json
import os
import signal
import socket
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import psycopg
import pytest

from catalog.local import Stack
from catalog.local.home import Home, HomeInUse, Part, ProcessId, State
from catalog.local.process import Process
from catalog.local.stack import TooFewNodes
from catalog.settings import WrongSettings
from tests.conftest import eventually


async def is_back(process: Process, old: ProcessId) -> bool:
    return bool(process.id and process.id != old and await process.service.is_ready())


def rows(url: str) -> list[tuple[int]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT one FROM kept").fetchall()


def fill(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (one int)")
        connection.execute("INSERT INTO kept VALUES (1)")


def asleep() -> "subprocess.Popen[bytes]":
    """Start a process that has nothing to do with us."""
    return subprocess.Popen(["sleep", "60"])


pytestmark = pytest.mark.usefixtures("lent_here")


async def test_the_environment_that_names_engines_wins(tmp_path: Path, lent: dict[str, str]) -> None:
    async with Stack(tmp_path / "home") as stack:
        environment = stack.environment()
        assert list(stack.processes) == ["postgres"]
    assert {name: environment[name] for name in lent if name.startswith("CATALOG_")} == {
        name: value for name, value in lent.items() if name.startswith("CATALOG_")
    }
    assert environment["CATALOG_DATABASE_URL"].startswith("postgresql://catalog:")


async def test_a_secret_file_of_the_environment_is_not_contradicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATALOG_CURSOR_KEY_FILE", str(tmp_path / "key"))
    async with Stack(tmp_path / "home") as stack:
        environment = stack.environment()
    assert environment["CATALOG_CURSOR_KEY_FILE"] == str(tmp_path / "key")
    assert "CATALOG_CURSOR_KEY" not in environment


async def test_a_database_whose_url_stands_in_a_file_is_given_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://me:very-secret@127.0.0.1:1/mine"
    (tmp_path / "url").write_text(f"{url}\n")
    # The processes run in the data folder, where this name would lead nowhere.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CATALOG_DATABASE_URL_FILE", "url")

    async with Stack(tmp_path / "home") as stack:
        environment = stack.environment()
        assert list(stack.processes) == []

    assert {name: value for name, value in environment.items() if name.startswith("CATALOG_DATABASE_")} == {
        "CATALOG_DATABASE_URL": url
    }
    assert "very-secret" not in stack.home.state_file.read_text()


async def test_a_wrong_address_in_the_environment_is_refused_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATALOG_DATABASE_URL", "mysql://me:very-secret@127.0.0.1:1/mine")

    with pytest.raises(WrongSettings) as wrong:
        Stack(tmp_path / "home")

    assert wrong.value.detail == "CATALOG_DATABASE_URL: URL scheme should be 'postgresql' or 'postgres'"


async def test_a_second_start_finds_data_secrets_and_addresses_as_they_were(tmp_path: Path) -> None:
    async with Stack(tmp_path / "home") as stack:
        before = stack.environment()
        fill(before["CATALOG_DATABASE_URL"])
    async with Stack(tmp_path / "home") as stack:
        assert stack.environment() == before
        assert rows(before["CATALOG_DATABASE_URL"]) == [(1,)]


async def test_two_stacks_cannot_hold_one_folder(tmp_path: Path) -> None:
    async with Stack(tmp_path / "home") as stack:
        before = stack.home.state()
        with pytest.raises(HomeInUse, match=r"already running on .*catalog down"):
            await Stack(tmp_path / "home").start()
        assert stack.home.state() == before
        assert await stack.processes["postgres"].service.is_ready()


async def test_a_killed_engine_comes_back_at_its_address_with_its_data_and_it_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    async with Stack(tmp_path / "home", say=said.append) as stack:
        url = stack.environment()["CATALOG_DATABASE_URL"]
        fill(url)
        process = stack.processes["postgres"]
        old = process.id
        assert old is not None
        os.kill(old.pid, signal.SIGKILL)
        await eventually(lambda: is_back(process, old))
        await eventually(lambda: _noted(stack.home, process))
        assert rows(url) == [(1,)]
        assert process.restarts == 1
    assert said[0] == "postgres ended with SIGKILL; starting it again in 0.5 s"
    assert said[-1] == f"postgres is ready again at {process.service.address}"


async def _noted(home: Home, process: Process) -> bool:
    return home.state().parts["postgres"].id == process.id


async def test_a_port_that_another_program_took_meanwhile_is_replaced_and_it_is_said(tmp_path: Path) -> None:
    async with Stack(tmp_path / "home") as stack:
        fill(stack.environment()["CATALOG_DATABASE_URL"])
        old = stack.home.state().ports["postgres"]
    said: list[str] = []
    with socket.create_server(("127.0.0.1", old)):
        async with Stack(tmp_path / "home", say=said.append) as stack:
            new = stack.home.state().ports["postgres"]
            assert rows(stack.environment()["CATALOG_DATABASE_URL"]) == [(1,)]
    assert new != old
    assert said == [f"port {old} of postgres is taken by another program: using {new}"]


async def test_a_note_whose_process_ids_belong_to_others_now_is_not_believed(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    async with Stack(home.folder) as stack:
        url = stack.environment()["CATALOG_DATABASE_URL"]
        fill(url)
        ports = stack.home.state().ports
    stranger = asleep()
    try:
        theirs = ProcessId.of(stranger.pid)
        assert theirs is not None
        reused = replace(theirs, started=theirs.started - 1000)
        stale = State("seaweedfs", ports, reused, {"postgres": Part(reused, "somewhere", "log")}, ready=True)
        home.remember(stale)
        # Postgres keeps a note of its own, which must not stop it either.
        (home.folder / "postgres" / "postmaster.pid").write_text(
            f"{stranger.pid}\n{home.folder}/postgres\n1\n1\n\n\n\n"
        )
        async with Stack(home.folder):
            assert rows(url) == [(1,)]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_an_engine_that_outlived_its_supervisor_is_ended_before_its_data_is_opened_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    survivor = asleep()
    found = ProcessId.of(survivor.pid)
    assert found is not None
    home.remember(State("seaweedfs", {}, found, {"postgres": Part(found, "somewhere", "log")}, ready=True))
    said: list[str] = []
    async with Stack(home.folder, say=said.append):
        assert found.process() is None
    survivor.wait()
    assert said == ["postgres was still running without its supervisor: ended"]


async def test_a_half_made_data_folder_of_an_interrupted_start_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "home" / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    async with Stack(tmp_path / "home") as stack:
        fill(stack.environment()["CATALOG_DATABASE_URL"])
    assert not half.exists()


async def test_an_unreadable_note_is_as_good_as_none(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.state_file.write_text('{"ports": ')
    async with Stack(home.folder) as stack:
        assert list(stack.processes) == ["postgres"]
    assert json.loads(home.state_file.read_text()) == asdict(home.state())


async def test_a_failed_start_leaves_nothing_running_and_lets_go_of_the_folder(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    async with Stack(home.folder):
        pass
    (home.folder / "postgres" / "global" / "pg_control").unlink()
    stack = Stack(home.folder, say=lambda _: None)
    with pytest.raises(Exception, match=r"postgres ended with .* while starting(?s:.*)pg_control(?s:.*)postgres\.log"):
        await stack.start()
    assert (stack.processes, home.is_held(), home.state().parts) == ({}, False, {})


async def test_an_index_on_three_nodes_is_not_started_with_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CATALOG_SEARCH_URL")
    home = Home(tmp_path / "home")
    home.create()
    names = ("opensearch", "opensearch-2", "opensearch-3")
    before = State(ports={f"{name}{end}": 9 for name in names for end in ("", ".transport")})
    home.remember(before)

    with pytest.raises(TooFewNodes, match=r"lies on 3 nodes"):
        await Stack(tmp_path / "home", search_nodes=1).start()

    assert (home.state().ports, home.is_held()) == (before.ports, False)

"""Stacks to start, kill and look at, each in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from catalog.local import ports
from catalog.local.home import Home, State
from catalog.settings import inherited_environment
from tests import canary
from tests.conftest import FOLDER

READY_SECONDS_MAX = 90
STOP_SECONDS_MAX = 20


def until(look: Callable[[], Any], seconds: float = READY_SECONDS_MAX) -> Any:
    """Return the first true thing that `look` returns; raises when the time is over."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"it did not happen within {seconds} seconds: {look}")


class Up:
    """`catalog up` on a folder, as a person would have it in a terminal of its own."""

    def __init__(self, folder: Path, environment: dict[str, str], *options: str) -> None:
        self.home = Home(folder)
        self.environment = environment
        self.said = folder.with_name(f"{folder.name}.said")
        with self.said.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "catalog", "up", "--home", str(folder), *options],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def ready(self) -> State:
        """Wait until all is ready and return the note."""

        def look() -> State | None:
            assert self.process.poll() is None, self.said.read_text()
            state = self.home.state()
            return state if state.ready else None

        found: State = until(look)
        return found

    def everyone(self) -> list[psutil.Process]:
        """Return the supervisor and all it has started, and what those have."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def stop(self) -> None:
        """See that it is over, whatever the test did."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def run(environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "catalog", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=READY_SECONDS_MAX,
        check=False,
    )


def none_left(processes: list[psutil.Process], seconds: float = STOP_SECONDS_MAX) -> None:
    """Wait until none of them runs; raises with those that do."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    assert [one.cmdline() for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def bare() -> dict[str, str]:
    """Return this process's environment without anything that describes a catalog, or a make that runs the tests."""
    return {name: value for name, value in inherited_environment().items() if not name.startswith(("CATALOG_", "MAKE"))}


@pytest.fixture(scope="session")
def lent(engines_ready: dict[str, Any]) -> dict[str, str]:
    """An environment that lends the test run's search engine and store, so that only Postgres is started."""
    given = engines_ready["environment"]
    names = ("SEARCH_URL", "STORE_URL", "STORE_REGION", "STORE_ACCESS_KEY", "STORE_SECRET_KEY")
    own = f"l{uuid4().hex[:12]}"
    return (
        bare()
        | {f"CATALOG_{name}": given[f"CATALOG_{name}"] for name in names}
        | {"CATALOG_SEARCH_INDEX": own, "CATALOG_STORE_BUCKET": own}
    )


@pytest.fixture
def lent_here(lent: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a stack in this process."""
    for name in list(inherited_environment()):
        if name.startswith("CATALOG_"):
            monkeypatch.delenv(name)
    for name, value in lent.items():
        if name.startswith("CATALOG_"):
            monkeypatch.setenv(name, value)


def remember(config: pytest.Config, home: Home) -> None:
    """Have the logs of a stack that is over looked through for its secrets at the end of the run."""
    if home.secrets_file.exists():
        secrets = asdict(home.secrets())
        del secrets["store_access_key"]
        canary.remember(Path(config.stash[FOLDER]), home.logs, secrets)


@pytest.fixture
def up(tmp_path: Path, lent: dict[str, str], pytestconfig: pytest.Config) -> Iterator[Callable[..., Up]]:
    """Start `catalog up` with a Postgres of its own, as often as the test likes."""
    started: list[Up] = []

    def start(*options: str, name: str = "home") -> Up:
        started.append(Up(tmp_path / name, lent, "--port", str(ports.choose()), *options))
        return started[-1]

    yield start
    for one in started:
        one.stop()
        remember(pytestconfig, one.home)


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, lent: dict[str, str], pytestconfig: pytest.Config
) -> Iterator[Up]:
    """A running stack that tests of this module share and leave as it is."""
    one = Up(tmp_path_factory.mktemp("local") / "home", lent, "--port", str(ports.choose()))
    one.ready()
    yield one
    one.stop()
    remember(pytestconfig, one.home)


def as_json(text: str) -> Any:
    """Read what a command wrote."""
    return json.loads(text)

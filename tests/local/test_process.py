"""Starting, watching and stopping any one process."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from catalog.local.process import Process, Program, StartFailed, leashed
from tests.conftest import eventually
from tests.local.conftest import none_left, until


@dataclass
class Script:
    """A service of a few lines of Python, ready when it has made its file."""

    folder: Path
    text: str
    options: dict[str, object] = field(default_factory=dict)
    name: str = "script"
    address: str = "nowhere"

    async def program(self) -> Program:
        (self.folder / "ready").unlink(missing_ok=True)
        return Program([sys.executable, "-c", self.text], self.folder, **self.options)

    async def is_ready(self) -> bool:
        return (self.folder / "ready").exists()


WAITS = "import pathlib, time; pathlib.Path('ready').touch(); time.sleep(60)"
IGNORES = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS


async def test_a_process_that_ignores_being_stopped_is_killed_after_its_limit(tmp_path: Path) -> None:
    said: list[str] = []
    process = Process(Script(tmp_path, IGNORES, {"stop_seconds_max": 0.2}), tmp_path / "log", said.append)
    await process.start()
    found = process.id
    assert found is not None
    await process.stop()
    assert (found.process(), process.id) == (None, None)
    assert said == ["script did not stop in 0.2 s: killed"]


async def test_a_process_that_ends_while_starting_is_reported_with_its_last_words(tmp_path: Path) -> None:
    process = Process(Script(tmp_path, "raise SystemExit('no disk today')"), tmp_path / "log", print)
    with pytest.raises(StartFailed) as failed:
        await process.start()
    assert failed.value.detail == (
        f"script ended with exit code 1 while starting\n  no disk today\n  (whole log: {tmp_path / 'log'})"
    )


async def test_a_strangers_answer_on_its_port_does_not_make_a_process_ready(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        options = {"port": stranger.getsockname()[1], "start_seconds_max": 0.5}
        process = Process(Script(tmp_path, WAITS, options), tmp_path / "log", print)
        with pytest.raises(StartFailed, match="script was not ready"):
            await process.start()


async def test_a_process_that_never_becomes_ready_is_ended_and_reported(tmp_path: Path) -> None:
    script = Script(tmp_path, "import time; time.sleep(60)", {"start_seconds_max": 0.3})
    process = Process(script, tmp_path / "log", print)
    with pytest.raises(StartFailed, match="script was not ready after 0 s"):
        await process.start()
    assert process.id is None


async def test_what_a_process_started_itself_ends_with_it(tmp_path: Path) -> None:
    text = "import subprocess; subprocess.Popen(['sleep', '61']); " + WAITS
    process = Process(Script(tmp_path, text), tmp_path / "log", print)
    await process.start()
    assert process.id is not None
    children = psutil.Process(process.id.pid).children()
    await process.stop()
    none_left(children, 5)


async def test_what_tidies_up_is_told_how_a_process_ended(tmp_path: Path) -> None:
    ended: list[int] = []
    process = Process(Script(tmp_path, WAITS, {"tidy": ended.append}), tmp_path / "log", lambda _: None)
    await process.start()
    assert process.id is not None
    os.kill(process.id.pid, signal.SIGKILL)

    async def is_back() -> bool:
        return process.restarts == 1

    await eventually(is_back)
    await process.stop()
    assert ended == [-signal.SIGKILL, -signal.SIGTERM]


async def test_pauses_between_restarts_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.local.process.RESTART_SECONDS_FIRST", 0.01)
    said: list[str] = []
    script = Script(tmp_path, WAITS)
    process = Process(script, tmp_path / "log", said.append)
    await process.start()
    script.text = "raise SystemExit(3)"
    assert process.id is not None
    os.kill(process.id.pid, signal.SIGKILL)

    async def tried_thrice() -> bool:
        return len(said) >= 4

    await eventually(tried_thrice)
    script.text = WAITS

    async def is_back() -> bool:
        return said[-1] == "script is ready again at nowhere"

    await eventually(is_back)
    await process.stop()
    first_lines = [one.splitlines()[-1] for one in said]
    assert first_lines[:3] == [
        "script ended with SIGKILL; starting it again in 0.01 s",
        "script did not start; trying again in 0.02 s",
        "script did not start; trying again in 0.04 s",
    ]


STARTS_ANOTHER = """
import pathlib, subprocess, sys, time
from catalog.local.process import leashed
child = subprocess.Popen(leashed(["sleep", "62"]), start_new_session=True)
part = pathlib.Path(sys.argv[1] + ".part")
part.write_text(str(child.pid))
part.rename(sys.argv[1])
time.sleep(60)
"""


def test_a_leashed_process_dies_with_its_parent_however_that_dies(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", STARTS_ANOTHER, str(note)])
    until(note.exists)
    child = psutil.Process(int(note.read_text()))
    until(lambda: child.name() == "sleep")
    parent.kill()
    parent.wait()
    none_left([child], 5)


def test_a_program_whose_parent_is_already_gone_does_not_start() -> None:
    command = leashed(["echo", "started"])
    command[command.index(str(os.getpid()))] = "1" if os.getpid() != 1 else "2"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (128 + signal.SIGKILL, "")

"""`make clean`: what runs is stopped before its data are removed."""

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.local.home import Home, Part, ProcessId, State
from tests.docs.repository import ROOT
from tests.local.conftest import STOP_SECONDS_MAX, bare


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which the Makefile finds `catalog`, and some things that are nobody's to remove."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / ".venv" / "bin" / "catalog"
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(sys.executable).with_name("catalog"))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "__pycache__").mkdir()
    (tmp_path / "src" / "kept.py").touch()
    return tmp_path


@pytest.fixture
def left() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that a stack has left running."""
    process = subprocess.Popen(["sleep", "600"])
    # As long as its end is not taken note of, it counts as a process for those who wait for that.
    noting = threading.Thread(target=process.wait)
    noting.start()
    yield process
    process.kill()
    noting.join()


@pytest.mark.parametrize("home", [".data", ".data-minio"])
def test_a_stack_is_stopped_before_its_data_are_removed(
    checkout: Path, left: "subprocess.Popen[bytes]", home: str
) -> None:
    noted = Home(checkout / home)
    noted.create()
    noted.remember(State(parts={"minio": Part(ProcessId.of(left.pid), "http://127.0.0.1:1", "minio.log")}))

    cleaned = subprocess.run(
        ["make", "clean"], cwd=checkout, env=bare(), check=False, capture_output=True, text=True, timeout=60
    )

    assert (cleaned.returncode, cleaned.stdout) == (0, ""), cleaned.stderr
    assert cleaned.stderr == "ended minio, whose supervisor was gone\n"
    assert left.wait(STOP_SECONDS_MAX) == -signal.SIGKILL
    assert sorted(str(path.relative_to(checkout)) for path in checkout.rglob("*")) == ["Makefile", "src", "src/kept.py"]


def test_data_that_somebody_holds_are_not_removed(checkout: Path) -> None:
    home = Home(checkout / ".data-minio")
    home.create()
    with home.held():
        cleaned = subprocess.run(
            ["make", "clean"], cwd=checkout, env=bare(), check=False, capture_output=True, text=True, timeout=60
        )

    assert cleaned.returncode != 0
    assert f"a process that left no note holds {home.folder}" in cleaned.stderr
    assert home.lock_file.exists()

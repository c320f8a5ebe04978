"""Processes that tests fork end as those do that are started from nothing, and tell it."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests import forked

SECONDS_MAX = 60


def test_a_forked_process_says_and_returns_what_a_started_one_does(tmp_path: Path) -> None:
    log = tmp_path / "log"
    refused = forked.start(["catalog-indexer", "run"], {}, log)
    assert refused.wait(SECONDS_MAX) == 1
    assert "CATALOG_DATABASE_URL" in log.read_text()

    written = forked.start(["catalog", "openapi", "--write", str(tmp_path / "openapi")], {}, log)
    assert (written.wait(SECONDS_MAX), written.poll(), written.returncode) == (0, 0, 0)
    assert (tmp_path / "openapi" / "catalog.json").is_file()


def test_the_signal_that_killed_a_forked_process_is_told(tmp_path: Path) -> None:
    stopped = forked.start(["catalog", "openapi"], {}, tmp_path / "log")
    stopped.send_signal(signal.SIGSTOP)
    assert stopped.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        stopped.wait(0.1)
    stopped.kill()
    assert stopped.wait(SECONDS_MAX) == -signal.SIGKILL
    stopped.terminate()
    assert stopped.returncode == -signal.SIGKILL

"""What the demo says when it cannot go on."""

import subprocess
import sys
from pathlib import Path

from catalog.local.home import Home


def test_a_second_demo_on_the_same_folder_is_told_of_the_first(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    with home.held():
        ended = subprocess.run(
            [sys.executable, "-m", "catalog", "demo", "--oneshot", "--home", home.folder],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 5
    assert f"a stack is already running on {home.folder}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_a_store_that_is_not_known_is_refused_before_anything_starts(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "catalog", "demo", "--store", "gcs", "--home", tmp_path / "home"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "'gcs' is not one of seaweedfs, minio" in ended.stderr
    assert not (tmp_path / "home").exists()

"""What the demo says when it cannot go on."""

import socket
import subprocess
import sys
from pathlib import Path

from catalog.local.home import Home
from catalog.settings import inherited_environment


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


def test_without_its_data_the_demo_ends_before_the_engines_are_ready(tmp_path: Path) -> None:
    # It takes connections and never says a word: whoever waits for this database waits for long.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "catalog", "demo", "--oneshot", "--home", tmp_path / "home"],
            env=inherited_environment()
            | {
                "CATALOG_DATABASE_URL": f"postgresql://me@127.0.0.1:{port}/none",
                "CATALOG_SEARCH_URL": f"http://127.0.0.1:{port}",
                "CATALOG_STORE_URL": f"http://127.0.0.1:{port}",
                "CATALOG_STORE_ACCESS_KEY": "me",
                "CATALOG_STORE_SECRET_KEY": "mine",
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
                "PIP_NO_INDEX": "1",
            },
            check=False,
            capture_output=True,
            text=True,
            timeout=90,
        )
    said = [line.partition("] ")[2] or line for line in ended.stderr.splitlines()]
    assert (ended.returncode, ended.stdout) == (6, "")
    assert said == [
        f"starting engines, API and indexer in {tmp_path / 'home'}",
        "everything has stopped",
        (
            "catalog: The demo's data could not be fetched: pip ended with exit code 1; "
            f"see {tmp_path / 'home' / 'logs' / 'downloads.log'}."
        ),
    ]
    assert not Home(tmp_path / "home").is_held()

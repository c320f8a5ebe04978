"""Where the time of a bench goes: stacks sampled by py-spy, drawn as an icicle of functions."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import NamedTuple

SAMPLES_A_SECOND = 200
WIDTH, ROW, LETTER = 1200, 18, 6.6
SHARE_MIN = 0.006
# Whose functions they are, by a folder or file in their path, and in which colour; the first that fits.
OWNERS = (
    ("the catalog", ("catalog/", "indexer/"), "#e8a33d"),
    ("bench", ("bench/",), "#d9d9d9"),
    ("database", ("psycopg", "sqlalchemy", "sqlmodel"), "#7fa8d9"),
    ("HTTP", ("uvicorn", "litestar", "h11", "httptools", "httpx", "httpcore", "anyio"), "#8fc48f"),
    ("search engine's client", ("opensearchpy", "aiohttp", "urllib3"), "#c79fd6"),
    ("the rest", ("",), "#e3d3bd"),
)


class Place(NamedTuple):
    """Where a bench's own work is done: the process, by its command, and a file that is in each of its stacks."""

    process: str = "-m catalog"
    file: str = ""


BENCH = "-m bench"
PLACES = {
    "B5": Place(BENCH, "indexer/documents.py"),
    "B10": Place(BENCH, "indexer/scans.py"),
    "B12": Place("-m indexer"),
    "DIFF": Place(BENCH, "catalog/sync"),
}
_LINE = re.compile(r":\d+\)$")
_LOOP = re.compile(r"asyncio/(runners|base_events|events)\.py")
# Threads that wait for work are seen as busy.
_IDLE = re.compile(r"\((concurrent/futures/thread|threading|selectors)\.py")
_PROCESS = re.compile(r'^process \d+:"(.*)"$')


@dataclass
class Frame:
    """A function as it was called from one stack: samples in it and below it."""

    samples: int = 0
    below: dict[str, "Frame"] = field(default_factory=dict)

    def add(self, stack: list[str], samples: int) -> None:
        """Count a stack, outermost first."""
        self.samples += samples
        if stack:
            self.below.setdefault(stack[0], Frame()).add(stack[1:], samples)

    def depth(self, least: float) -> int:
        """Return how many rows the frames of that many samples at least take."""
        return 1 + max((one.depth(least) for one in self.below.values() if one.samples >= least), default=0)


@contextmanager
def drawn(name: str, folder: Path | None) -> Generator[None]:
    """Sample this process and those it has started, and draw what belongs to the bench into `folder`."""
    if folder is None:
        yield
        return
    program = shutil.which("py-spy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        raise SystemExit("Drawing flames needs py-spy: `pip install py-spy`, or run bench as `make bench` does.")
    with tempfile.TemporaryDirectory(prefix="catalog-flames-") as place:
        raw = Path(place) / "stacks"
        command = [program, "record", "--subprocesses", "--format", "raw", "--rate", str(SAMPLES_A_SECOND)]
        sampler = subprocess.Popen(
            [*command, "--output", str(raw), "--pid", str(os.getpid())],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                sampler.send_signal(signal.SIGINT)
            sampler.wait(60)
        if not raw.exists():
            raise SystemExit("py-spy could not look into this process; it needs the right to trace (ptrace).")
        folder.mkdir(parents=True, exist_ok=True)
        root = read(raw.read_text(), PLACES.get(name, Place()))
        if root.samples:
            (folder / f"{name}.svg").write_text(svg(root, name))


def read(stacks: str, place: Place) -> Frame:
    """Return the stacks that belong there, each from where the event loop called it."""
    root = Frame()
    for line in stacks.splitlines():
        stack, _, samples = line.rpartition(" ")
        frames = stack.split(";")
        # The last process of the line is the one whose stack it is; those before have started it.
        at = max((number for number, frame in enumerate(frames) if _PROCESS.match(frame)), default=-1)
        command = _PROCESS.match(frames[at]) if at >= 0 else None
        if place.process not in (command[1] if command else BENCH):
            continue
        called = [_LINE.sub(")", frame) for frame in frames[at + 1 :]]
        if not any(place.file in frame for frame in called) or _IDLE.search(called[-1]):
            continue
        loops = [number for number, frame in enumerate(called) if _LOOP.search(frame)]
        root.add(called[loops[-1] + 1 :] if loops else called, int(samples))
    return root


def svg(root: Frame, name: str) -> str:
    """Return the picture, the outermost functions above."""
    least = root.samples * SHARE_MIN
    rows: list[str] = []

    def draw(frame: Frame, left: float, row: int) -> None:
        for label, one in sorted(frame.below.items(), key=lambda item: -item[1].samples):
            width = one.samples / root.samples * WIDTH
            if one.samples >= least:
                rows.append(_box(label, left, row, width, one.samples / root.samples))
                draw(one, left, row + 1)
            left += width

    draw(root, 0, 2)
    height = (root.depth(least) + 2) * ROW
    legend = "".join(
        f'<rect x="{90 + 170 * number}" y="3" width="12" height="12" fill="{colour}"/>'
        f'<text x="{106 + 170 * number}" y="13">{owner}</text>'
        for number, (owner, _, colour) in enumerate(OWNERS)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" '
        f'font-size="11"><title>{name}: where the time goes</title><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="4" y="13" font-weight="bold">{name}</text>{legend}\n' + "\n".join(rows) + "\n</svg>\n"
    )


def _box(label: str, left: float, row: int, width: float, share: float) -> str:
    colour = next(colour for _, parts, colour in OWNERS if any(part in label.rpartition("(")[2] for part in parts))
    function = label.rpartition(" (")[0] or label
    shown = function[: int(width / LETTER)] if width > 3 * LETTER else ""
    return (
        f'<g><title>{escape(label)}: {share:.1%}</title><rect x="{left:.1f}" y="{row * ROW}" width="{width:.1f}" '
        f'height="{ROW - 1}" fill="{colour}"/><text x="{left + 2:.1f}" y="{row * ROW + 12}">{escape(shown)}</text></g>'
    )

"""The language model in a process of its own, which has what the others leave of the processor.

Reading one text takes a tenth of a second of one core, and whoever registers many objects would keep one busy for
hours, with searches waiting beside it. So the indexer has it done by a process that is nice (nice(2)), and that ends
with the indexer.
"""

import asyncio
import json
import os
import sys
from array import array
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from catalog.errors import Unavailable
from catalog.search.embedding import WIDTH, NoModel, WrongModel
from catalog.settings import inherited_environment

# Where all others are busy it has a tenth of a core. With 19, the most there is, a text could take half a minute then.
NICENESS = 10
READY = b"ready\n"
# Starting takes a second, a text a tenth of one, and ten times as long where there is no core for it.
TEXT_SECONDS_MAX = 30.0
# A process that ends without a word may have been killed, as where memory is short. So often in a row it never starts.
STARTS_MAX = 3
NOT_STARTED = "The process that reads texts does not start; `python -m catalog.search.aside {folder}` tells why."
_PLACES = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
_BYTES = 4 * WIDTH


@dataclass(frozen=True, slots=True)
class _Child:
    """The process, once it has read the model."""

    process: Process
    texts: asyncio.StreamWriter
    vectors: asyncio.StreamReader


class Aside:
    """A process that reads one text at a time; started when it is first wanted, and anew when it has ended."""

    def __init__(self, folder: Path) -> None:
        """Read with the model in a folder."""
        self._folder = folder
        self._child: _Child | None = None
        self._fault: NoModel | WrongModel | None = None
        self._unheard = 0

    async def vector(self, text: str) -> list[float]:
        """Return the vector of a text; raises NoModel, WrongModel, or Unavailable where the process ends or hangs."""
        if self._fault is not None:
            # It would fail alike until somebody has installed another one, and started us anew.
            raise self._fault
        try:
            async with asyncio.timeout(TEXT_SECONDS_MAX):
                child = self._child = self._child or await self._start()
                child.texts.write(json.dumps(text).encode() + b"\n")
                await child.texts.drain()
                told = await child.vectors.readexactly(_BYTES)
        except BaseException as fault:
            # An answer that is still to come would be taken for that to the next text.
            await self.close()
            if isinstance(fault, NoModel | WrongModel):
                self._fault = fault
            if isinstance(fault, asyncio.IncompleteReadError | OSError):
                # Among them that it could not be started, and that the time was over.
                raise Unavailable("The process that reads texts for their meaning has ended, or hung.") from None
            raise
        return array("f", told).tolist()

    async def _start(self) -> _Child:
        try:
            child = await _started(self._folder)
        except asyncio.IncompleteReadError:
            self._unheard += 1
            if self._unheard < STARTS_MAX:
                raise
            raise NoModel(NOT_STARTED.format(folder=self._folder)) from None
        self._unheard = 0
        return child

    async def close(self) -> None:
        """End it, if it runs."""
        child, self._child = self._child, None
        if child is not None:
            await _ended(child.process)


async def _started(folder: Path) -> _Child:
    """Start it; raises asyncio.IncompleteReadError where it ends without having said why, NoModel, WrongModel."""
    # It needs no secret of ours, but where Python finds what we have found. Ctrl-C in a terminal is for us alone.
    environment = {name: value for name, value in inherited_environment().items() if name in _PLACES}
    command = [sys.executable, "-P", "-m", "catalog.search.aside", str(folder)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment, start_new_session=True
    )
    # Pipes were asked for.
    child = _Child(process, cast("asyncio.StreamWriter", process.stdin), cast("asyncio.StreamReader", process.stdout))
    try:
        told = await child.vectors.readuntil(b"\n")
    except BaseException:
        await _ended(process)
        raise
    if told != READY:
        await _ended(process)
        kind, _, reason = told.decode(errors="replace").strip().partition(": ")
        if kind == WrongModel.__name__:
            raise WrongModel(reason)
        raise NoModel(reason)
    return child


async def _ended(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def main(folder: str) -> None:
    """Answer each line of standard input, a text in JSON, with its vector as little-endian floats of four bytes."""
    _give_way()
    out = sys.stdout.buffer
    try:
        from catalog.search.minilm import Model  # ruff: ignore[PLC0415] - which may not be there.

        model = Model(Path(folder))
    except (WrongModel, ImportError, OSError) as fault:
        out.write(f"{type(fault).__name__}: {fault}\n".encode())
        return
    out.write(READY)
    out.flush()
    # Whoever asks may end at any moment, and nobody is to be told of that.
    with suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            (vector,) = model.vectors([json.loads(line)])
            out.write(array("f", vector).tobytes())
            out.flush()


def _give_way() -> None:
    os.nice(NICENESS)
    # Where the kernel groups processes by their sessions, that counts within a group alone, and this is the group's.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS))


if __name__ == "__main__":
    main(sys.argv[1])

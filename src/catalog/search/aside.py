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

# Where all others are busy it has a tenth of a core. With 19, the most there is, a text could take half a minute then.
NICENESS = 10
READY = b"ready\n"
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

    async def vector(self, text: str) -> list[float]:
        """Return the vector of a text; raises NoModel, WrongModel, or Unavailable where the process has ended."""
        try:
            child = self._child = self._child or await _started(self._folder)
            child.texts.write(json.dumps(text).encode() + b"\n")
            await child.texts.drain()
            told = await child.vectors.readexactly(_BYTES)
        except BaseException as fault:
            # An answer that is still to come would be taken for that to the next text.
            await self.close()
            if isinstance(fault, asyncio.IncompleteReadError | ConnectionError):
                raise Unavailable("The process that reads texts for their meaning has ended.") from None
            raise
        return array("f", told).tolist()

    async def close(self) -> None:
        """End it, if it runs."""
        child, self._child = self._child, None
        if child is not None:
            await _ended(child.process)


async def _started(folder: Path) -> _Child:
    # Nothing of ours in its environment: it needs no secret.
    command = [sys.executable, "-I", "-m", "catalog.search.aside", str(folder)]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={})
    # Pipes were asked for.
    child = _Child(process, cast("asyncio.StreamWriter", process.stdin), cast("asyncio.StreamReader", process.stdout))
    try:
        told = await child.vectors.readline()
    except BaseException:
        await _ended(process)
        raise
    if told != READY:
        await _ended(process)
        raise WrongModel(told.decode().strip()) if told else NoModel
    return child


async def _ended(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def main(folder: str) -> None:
    """Answer each line of standard input, a text in JSON, with its vector as little-endian floats of four bytes."""
    os.nice(NICENESS)
    from catalog.search.minilm import Model  # ruff: ignore[PLC0415] - which may not be there.

    out = sys.stdout.buffer
    try:
        model = Model(Path(folder))
    except WrongModel as fault:
        out.write(f"{fault.detail}\n".encode())
        return
    out.write(READY)
    out.flush()
    # Whoever asks may end at any moment, and nobody is to be told of that.
    with suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            (vector,) = model.vectors([json.loads(line)])
            out.write(array("f", vector).tobytes())
            out.flush()


if __name__ == "__main__":
    main(sys.argv[1])

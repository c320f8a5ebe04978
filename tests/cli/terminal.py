"""`catalog …` as a process of its own: on a terminal of a size that is said, in a pipe, or interrupted."""

import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl

COMMAND = (sys.executable, "-m", "catalog")
SECONDS_MAX = 60.0


def environment(**variables: str) -> dict[str, str]:
    """Our environment without what decides on colours, and with these."""
    left_out = {"NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "TERM", "TTY_COMPATIBLE", "CI"}
    return {name: value for name, value in os.environ.items() if name not in left_out} | variables


def on_terminal(*words: str, columns: int = 80, **variables: str) -> str:
    """What a command shows on a terminal of so many columns."""
    with _started(words, columns, variables) as (process, screen):
        shown = b"".join(_read(screen))
        process.wait(SECONDS_MAX)
    return shown.decode().replace("\r\n", "\n")


@contextmanager
def _started(
    words: tuple[str, ...], columns: int, variables: dict[str, str]
) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    screen, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    named = environment(**({"TERM": "xterm-256color"} | variables))
    process = subprocess.Popen([*COMMAND, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=named)
    os.close(theirs)
    try:
        yield process, screen
    finally:
        process.kill()
        process.wait()
        os.close(screen)


def _read(screen: int) -> Iterator[bytes]:
    ends = time.monotonic() + SECONDS_MAX
    while select.select([screen], [], [], max(0.0, ends - time.monotonic()))[0]:
        try:
            chunk = os.read(screen, 65536)
        except OSError:
            # On Linux, how a terminal says that nobody writes to it any more.
            return
        if not chunk:
            return
        yield chunk
    raise AssertionError(f"the command did not end within {SECONDS_MAX:g} s")

"""Processes of the catalog that are forked from one which has loaded its code, so that each is there in a moment.

Loading takes three seconds of a processor, and a run of all tests starts a hundred processes. A forked one runs the
same `main()` with the words, the environment and the log that it was given, and dies as any other does. That a process
comes up from nothing is for the tests of `catalog up`, `catalog demo` and `catalog-indexer` to prove: those start
theirs as people do.

Runs as a process of its own (`python -m tests.forked`), one for each worker, and ends with the worker.
"""

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

# What `catalog serve` and `catalog-indexer run` load, also what they load late.
LOADED = (
    "catalog.cli.app",
    "catalog.api.app",
    "catalog.web.pages",
    "indexer.commands",
    "idutils",
    "opensearchpy",
    "uvicorn",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.websockets.auto",
)
# Whose `main` runs, by the first word of a command.
PROGRAMS = {"catalog": "catalog.cli", "catalog-indexer": "indexer.commands"}
LENGTH_BYTES = 4
# A process id first, an exit code at the end.
TOLD_BYTES = 12
STOP_SECONDS_MAX = 30


class Forked:
    """A process that runs, and how it ended: what tests ask of a `subprocess.Popen`, for one that is not our child."""

    def __init__(self, pid: int, ended: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = ended

    def poll(self) -> int | None:
        """Return its exit code, the negative signal that killed it, or None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code once it has ended; raises TimeoutExpired after so many seconds."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def send_signal(self, sign: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sign)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _look(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], seconds)[0]:
            self.returncode = int(self._ended.recv(TOLD_BYTES))
            self._ended.close()
        return self.returncode


def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Forked:
    """Start `catalog …` or `catalog-indexer …`; what it writes is appended to the log."""
    order = json.dumps({"command": list(command), "environment": dict(environment)}).encode()
    forking, _ = _forking()
    ours, theirs = socket.socketpair()
    with log.open("ab") as written, theirs:
        length = len(order).to_bytes(LENGTH_BYTES, "big")
        socket.send_fds(forking, [length], [written.fileno(), theirs.fileno()])
        forking.sendall(order)
    return Forked(int(ours.recv(TOLD_BYTES)), ours)


@cache
def _forking() -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """Start the process that forks, once for this worker, and return the way to it."""
    ours, theirs = socket.socketpair()
    with theirs:
        return ours, subprocess.Popen([sys.executable, "-m", "tests.forked"], stdin=theirs.fileno())


def stop() -> None:
    """End the process that forks, if it was started."""
    if _forking.cache_info().currsize:
        orders, process = _forking()
        orders.close()
        process.wait(STOP_SECONDS_MAX)


def _serve() -> list[str]:
    """Fork for each order until there can be no more; returns in each child, with its command."""
    for name in LOADED:
        import_module(name)
    # What was loaded is never looked through again: that would copy it into each child.
    gc.collect()
    gc.freeze()
    orders = socket.socket(fileno=os.dup(0))
    rung, bell = socket.socketpair()
    bell.settimeout(0)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
    running: dict[int, socket.socket] = {}
    while True:
        asked = select.select([orders, rung], [], [])[0]
        if rung in asked:
            rung.recv(4096)
            _tell_of_the_dead(running)
        if orders not in asked:
            continue
        length, fds, _, _ = socket.recv_fds(orders, LENGTH_BYTES, 2)
        if not length:
            raise SystemExit
        log, ended = fds
        order = json.loads(orders.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL))
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _become(order["environment"], log)
            for one in (orders, rung, bell, *running.values()):
                one.close()
            os.close(ended)
            command: list[str] = order["command"]
            return command
        os.close(log)
        running[pid] = socket.socket(fileno=ended)
        running[pid].send(_told(pid))


def _tell_of_the_dead(running: dict[int, socket.socket]) -> None:
    for pid in list(running):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            with running.pop(pid) as ended, suppress(OSError):
                # Nobody may be left who wants to know.
                ended.send(_told(os.waitstatus_to_exitcode(status)))


def _told(number: int) -> bytes:
    return str(number).rjust(TOLD_BYTES).encode()


def _become(environment: dict[str, str], log: int) -> None:
    os.environ.clear()
    os.environ.update(environment)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for place, descriptor in enumerate((nothing, log, log)):
        os.dup2(descriptor, place)
    os.close(nothing)
    os.close(log)


if __name__ == "__main__":
    sys.argv = _serve()
    import_module(PROGRAMS[sys.argv[0]]).main()

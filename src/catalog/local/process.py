"""A process that is kept running: started on a leash, asked whether it is ready, restarted when it dies, stopped.

Knows nothing of what the processes do: each is described by a `Service`.
"""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from catalog import tasks
from catalog.errors import CatalogError, Unavailable
from catalog.local import leash
from catalog.local.home import ProcessId
from catalog.settings import inherited_environment

READY_POLL_SECONDS = 0.05
RESTART_SECONDS_FIRST = 0.5
RESTART_SECONDS_MAX = 30.0
# Who ran this long has recovered: its next death is a new one.
RECOVERED_SECONDS = 60.0
LOG_BYTES_KEPT = 32 * 1024 * 1024
LOG_LINES_SHOWN = 12
LOG_BYTES_SHOWN = 8192

Say = Callable[[str], None]


class StartFailed(Unavailable):
    """A part of the stack did not start."""


class WheelMissing(CatalogError):
    """A wheel of the embedded stack is not installed."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how it wants to be stopped.

    `stops_itself` is false for one that is known not to: it is killed without a word. `tidy` is called with the
    exit code when it has ended. `port` is where it must listen itself to be ready: without it, a stranger's answer
    would do.
    """

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    owner: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    stop_seconds_max: float = 5.0
    start_seconds_max: float = 120.0
    stops_itself: bool = True
    tidy: Callable[[int], None] | None = None
    port: int | None = None


class Service(Protocol):
    """A part of the stack: an engine, or a process of the catalog."""

    @property
    def name(self) -> str:
        """The name people see, which is also its log's."""

    @property
    def address(self) -> str:
        """Where it is reached, without secrets."""

    async def program(self) -> Program:
        """Lay everything out on disk and return what to run."""

    async def is_ready(self) -> bool:
        """Tell whether it does its work now; raises StartFailed when it never will."""


def leashed(
    command: Sequence[str],
    owner: tuple[int, int] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> list[str]:
    """Return the command that runs `command` on a leash held by this process, as `owner` when given."""
    return [
        *(sys.executable, "-I", "-S", leash.__file__),
        *(str(int(death_signal)), str(os.getpid()), "{}:{}".format(*owner) if owner else "-"),
        *command,
    ]


class Process:
    """One service as a running process."""

    def __init__(self, service: Service, log: Path, say: Say) -> None:
        self.service = service
        self.log = log
        self.restarts = 0
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._program: Program | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._changed: Callable[[], None] = lambda: None

    @property
    def id(self) -> ProcessId | None:
        """The running process, None when there is none."""
        return ProcessId.of(self._process.pid) if self._process and self._process.returncode is None else None

    async def start(self, changed: Callable[[], None] = lambda: None) -> None:
        """Start it and wait until it is ready, then keep it running; `changed` is called after each restart."""
        self._changed = changed
        process = await self._launch()
        self._watcher = asyncio.create_task(self._watch(process), name=f"watch {self.service.name}")

    async def stop(self) -> None:
        """Stop it: politely, then after its limit by SIGKILL."""
        if self._watcher:
            await tasks.end(self._watcher)
            self._watcher = None
        await self._end()

    async def _launch(self) -> asyncio.subprocess.Process:
        program = self._program = await self.service.program()
        process = self._process = await self._spawn(program)
        try:
            await self._await_ready(process, program)
        except StartFailed:
            await self._end()
            raise
        return process

    async def _await_ready(self, process: asyncio.subprocess.Process, program: Program) -> None:
        name, began = self.service.name, time.monotonic()
        while not (await self.service.is_ready() and _listens(process.pid, program.port)):
            if process.returncode is not None:
                raise StartFailed(
                    f"{name} ended with {_spelled(process.returncode)} while starting\n{last_words(self.log)}"
                )
            if time.monotonic() - began > program.start_seconds_max:
                raise StartFailed(
                    f"{name} was not ready after {program.start_seconds_max:.0f} s\n{last_words(self.log)}"
                )
            await asyncio.sleep(READY_POLL_SECONDS)

    async def _spawn(self, program: Program) -> asyncio.subprocess.Process:
        if self.log.is_file() and self.log.stat().st_size > LOG_BYTES_KEPT:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            # Its own session: Ctrl-C in the terminal reaches the supervisor alone, which stops all in order.
            return await asyncio.create_subprocess_exec(
                *leashed(program.command, program.owner, program.death_signal),
                cwd=program.folder,
                env=inherited_environment() | dict(program.environment),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        wait = RESTART_SECONDS_FIRST
        while True:
            began = time.monotonic()
            code = await process.wait()
            self._kill_session()
            self._tidy(code)
            if time.monotonic() - began > RECOVERED_SECONDS:
                wait = RESTART_SECONDS_FIRST
            self._say(f"{self.service.name} ended with {_spelled(code)}; starting it again in {wait:g} s")
            self._changed()
            process = await self._launch_again(wait)
            wait = min(wait * 2, RESTART_SECONDS_MAX)
            self.restarts += 1
            self._say(f"{self.service.name} is ready again at {self.service.address}")
            self._changed()

    async def _launch_again(self, wait: float) -> asyncio.subprocess.Process:
        """Try until it starts, with growing pauses."""
        while True:
            await asyncio.sleep(wait)
            try:
                return await self._launch()
            except (CatalogError, OSError) as failed:
                wait = min(wait * 2, RESTART_SECONDS_MAX)
                self._say(f"{failed}\n{self.service.name} did not start; trying again in {wait:g} s")

    async def _end(self) -> None:
        process, program = self._process, self._program
        if process is None or program is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(program.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), program.stop_seconds_max)
            except TimeoutError:
                if program.stops_itself:
                    self._say(f"{self.service.name} did not stop in {program.stop_seconds_max:g} s: killed")
        self._kill_session()
        self._tidy(await process.wait())
        self._process = None

    def _kill_session(self) -> None:
        """Kill what is left of its session: others in it would hold its port or its files."""
        with suppress(ProcessLookupError, PermissionError):
            if self._process:
                os.killpg(self._process.pid, signal.SIGKILL)

    def _tidy(self, code: int) -> None:
        if self._program and self._program.tidy:
            self._program.tidy(code)


def _listens(pid: int, port: int | None) -> bool:
    if port is None:
        return True
    with suppress(psutil.Error):
        found = psutil.Process(pid).net_connections("tcp")
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)
    return False


def last_words(log: Path) -> str:
    """Return the end of a log, for people."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_BYTES_SHOWN))
        lines = file.read().decode("utf-8", "replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES_SHOWN:]) + f"\n  (whole log: {log})"
    return f"  (no log: {log})"


def _spelled(code: int) -> str:
    """Say an exit code in words."""
    if code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"

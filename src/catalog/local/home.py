"""The data folder: who may read it, who holds it, and what is remembered in it between two starts."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from catalog.errors import CatalogError, Conflict

# A process's start time is read from the kernel's tick counter: two readings of one process differ by less.
START_SECONDS_APART_MAX = 1.0


class HomeInUse(Conflict):
    """Another stack is running on this data folder."""


class HomeUnusable(CatalogError):
    """The data folder cannot be used."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, recognized by its id and its start time: ids are given again, the pair is not."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the identity of a running process, None if there is none with that id."""
        with suppress(psutil.Error):
            return cls(pid, psutil.Process(pid).create_time())
        return None

    def process(self) -> psutil.Process | None:
        """Return the process if it still is the one that was meant, and runs."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            apart = abs(process.create_time() - self.started)
            if apart < START_SECONDS_APART_MAX and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a stack: an engine, or a process of the catalog.

    Without an `id` it is between two lives, or, with no `log` either, an engine that the environment gave.
    """

    id: ProcessId | None
    address: str
    log: str | None


@dataclass(frozen=True, slots=True)
class State:
    """What a stack leaves in its data folder for the next start and for other commands."""

    store: str | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    supervisor: ProcessId | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)
    ready: bool = False


@dataclass(frozen=True, slots=True)
class Secrets:
    """The passwords, keys and tokens of one stack, made once and kept."""

    database_password: str
    store_access_key: str
    store_secret_key: str
    store_root_password: str
    notification_token: str
    cursor_key: str

    @classmethod
    def generate(cls) -> Self:
        """Make new ones from the system's random source."""
        return cls(
            database_password=secrets.token_urlsafe(24),
            store_access_key="catalog",
            store_secret_key=secrets.token_urlsafe(30),
            store_root_password=secrets.token_urlsafe(30),
            notification_token=secrets.token_urlsafe(30),
            cursor_key=secrets.token_urlsafe(48),
        )


class Home:
    """One data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.logs = self.folder / "logs"
        self.state_file = self.folder / "state.json"
        self.secrets_file = self.folder / "secrets.json"
        self.key_file = self.folder / "keys"
        self.lock_file = self.folder / "lock"

    def create(self) -> None:
        """Make the folder, readable by its owner only."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as fault:
            raise HomeUnusable(f"{self.folder} cannot be used: {fault.strerror}; choose another with --home") from None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder: nobody else can until the block ends or this process dies, however it dies."""
        with self.lock_file.open("a+b") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as fault:
                if not isinstance(fault, BlockingIOError):
                    raise HomeUnusable(f"{self.folder} cannot be locked: {fault.strerror}") from None
                raise HomeInUse(
                    f"a stack is already running on {self.folder}; see `catalog status`, stop it with `catalog down`"
                ) from None
            yield

    def is_held(self) -> bool:
        """Tell whether a supervisor holds the folder."""
        try:
            with self.held():
                return False
        except HomeInUse:
            return True
        except (OSError, HomeUnusable):
            return False

    def secrets(self) -> Secrets:
        """Read the secrets, making them at the first call, and those that a newer version needs at its first."""
        try:
            kept = json.loads(self.secrets_file.read_text(encoding="utf-8")) if self.secrets_file.exists() else {}
            found = Secrets(**{**asdict(Secrets.generate()), **kept})
            if asdict(found) != kept:
                write_private(self.secrets_file, json.dumps(asdict(found), indent=2))
        except (OSError, ValueError, TypeError):
            raise HomeUnusable(
                f"{self.secrets_file} cannot be read; restore it, or remove {self.folder} and all data in it"
            ) from None
        return found

    def state(self) -> State:
        """Read what the last stack left; nothing, when there was none or its note is unreadable."""
        try:
            return _state_from(json.loads(self.state_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError):
            return State()

    def remember(self, state: State) -> None:
        """Replace the note as a whole."""
        write_private(self.state_file, json.dumps(asdict(state), indent=2))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; a reader sees the old text or the new, never half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)


def _state_from(found: dict[str, Any]) -> State:
    supervisor = found["supervisor"]
    return State(
        store=found["store"],
        ports={str(name): int(port) for name, port in found["ports"].items()},
        supervisor=ProcessId(**supervisor) if supervisor else None,
        parts={
            name: Part(ProcessId(**part["id"]) if part["id"] else None, part["address"], part["log"])
            for name, part in found["parts"].items()
        },
        ready=found["ready"],
    )

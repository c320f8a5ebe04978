"""Backups of the database, which is the truth, and their way back. Bytes stay in the stores, the index is made anew.

A backup is a folder: what PostgreSQL's own `pg_dump` wrote in its directory format, and `manifest.json`, which says
what is in it, as of the same moment. The folder gets its name when it is whole. What comes back is whole or not there:
everything is restored in one transaction.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import psycopg
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg import conninfo, sql

from catalog import __version__, migrations
from catalog.database import now
from catalog.errors import CatalogError, Conflict, Invalid, NotFound, Unavailable

FORMAT = 1
MANIFEST = "manifest.json"
DUMP = "database"
# How a backup that is not whole is called, beside its place.
PART = ".part"

# Made anew from the objects, and its type is there on servers with pgvector alone.
_DERIVED = "object_vector"
# pg_dump would name all, pgvector too, and comments on them are their owner's to write.
_EXTENSION = "pg_trgm"
_PROGRAMS = ("pg_dump", "pg_restore", "psql")
_VERSION_SECONDS_MAX = 10
# Whoever holds a table for longer has to end first.
_LOCK_WAIT = "60s"
_READ_BYTES = 1024 * 1024

Tell = Callable[[str], None]


class ProgramsMissing(CatalogError):
    """PostgreSQL's own programs are not here, or are older than the server."""


class BackupFailed(Unavailable):
    """PostgreSQL's programs gave up; nothing is half done."""


class Place(msgspec.Struct, frozen=True):
    """What rows say lies in a bucket: these bytes are not in the backup."""

    backend: str
    bucket: str
    files: int
    bytes: int


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds.

    `tables` has the rows of each, `files` the SHA-256 of each file of the dump, `keys` the ids of the keys that wrap
    secrets of stores.
    """

    format: int
    made_at: datetime
    catalog: str
    schema: str
    server: int
    tables: Mapping[str, int]
    keys: Sequence[str]
    places: Sequence[Place]
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Programs:
    """Where PostgreSQL's programs are."""

    folder: Path

    def command(self, name: str) -> str:
        """Return what to call."""
        return str(self.folder / name)


def find_programs(server: int, folders: Iterable[Path] = ()) -> Programs:
    """Return the first programs that know a server of this number (180006), of these folders and then of PATH's.

    Raises ProgramsMissing: pg_dump refuses servers that are newer than itself.
    """
    on_path = shutil.which("pg_dump")
    known = []
    for folder in [*folders, *([Path(on_path).resolve().parent, Path(on_path).parent] if on_path else [])]:
        if not all((folder / name).is_file() for name in _PROGRAMS):
            continue
        major = _major(folder / "pg_dump")
        if major is not None and major >= server // 10_000:
            return Programs(folder)
        known.append(f"{folder} has those of {major}")
    wanted = f"pg_dump, pg_restore and psql of PostgreSQL {server // 10_000} or later are needed"
    raise ProgramsMissing(f"{wanted}; {', '.join(known) or 'none are on PATH'}.")


def _major(program: Path) -> int | None:
    try:
        told = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS_MAX, check=True
        ).stdout
        return int(told.split()[2].partition(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def server_of(url: str) -> int:
    """Return the number of the server's version; raises psycopg.OperationalError."""
    with psycopg.connect(url) as connection:
        return connection.info.server_version


def back_up(url: str, folder: Path, programs: Programs, *, jobs: int, tell: Tell = print) -> Manifest:
    """Write a backup of the database as of one moment, while everything goes on.

    Raises Conflict where there is something in its place, BackupFailed.
    """
    if folder.exists():
        raise Conflict(f"{folder} is there already: give each backup a folder of its own.")
    part = folder.with_name(folder.name + PART)
    if part.exists():
        tell(f"{part} is what another backup left, which did not end: it is removed")
        shutil.rmtree(part)
    # Digests of tokens and wrapped keys are in it, and who did what.
    part.mkdir(mode=0o700, parents=True)
    with psycopg.connect(url) as connection, _reachable(url) as reached:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        snapshot = _one(connection, "SELECT pg_export_snapshot()")
        tables = _rows_of(connection)
        _run(
            [
                *(programs.command("pg_dump"), "--format=directory", f"--jobs={jobs}", f"--snapshot={snapshot}"),
                *("--no-owner", "--no-privileges", "--no-comments", f"--extension={_EXTENSION}"),
                *(f"--exclude-table={_DERIVED}", f"--file={part / DUMP}", f"--dbname={reached}"),
            ]
        )
        manifest = Manifest(
            format=FORMAT,
            made_at=now(),
            catalog=__version__,
            schema=_one(connection, "SELECT version_num FROM alembic_version"),
            server=connection.info.server_version,
            tables=tables,
            keys=[row[0] for row in connection.execute("SELECT DISTINCT key_id FROM backend_secret ORDER BY 1")],
            places=[Place(*row) for row in connection.execute(_PLACES)],
            files={one.name: _sha256_of(one) for one in sorted((part / DUMP).iterdir())},
        )
    (part / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    for one in (*(part / DUMP).iterdir(), part / MANIFEST):
        _keep(one)
    part.rename(folder)
    _keep(folder.parent)
    return manifest


_PLACES = """
SELECT backend, bucket, count(*), sum(size)::bigint FROM file WHERE state = 'available' AND backend IS NOT NULL
GROUP BY backend, bucket ORDER BY backend, bucket
"""


def _one(connection: psycopg.Connection, statement: str) -> str:
    row = connection.execute(statement).fetchone()
    return "" if row is None else str(row[0])


def _rows_of(connection: psycopg.Connection) -> dict[str, int]:
    names = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> %s ORDER BY 1", [_DERIVED]
    ).fetchall()
    counts = {}
    for (name,) in names:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()
        counts[name] = 0 if row is None else int(row[0])
    return counts


def _sha256_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _keep(path: Path) -> None:
    """Have the disk keep what was written, as far as it does."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def read(folder: Path) -> Manifest:
    """Return what a backup says of itself; raises NotFound, Invalid where it is none or of a format we do not know."""
    file = folder / MANIFEST
    if not file.is_file():
        raise NotFound(f"{folder} is no backup: it has no {MANIFEST}.")
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Invalid(f"{file} cannot be read: {wrong}.") from None
    if manifest.format != FORMAT:
        raise Invalid(f"{folder} has format {manifest.format}; this version of the catalog reads format {FORMAT}.")
    return manifest


def check(folder: Path, manifest: Manifest) -> None:
    """Raise Invalid unless the backup is whole, as it was written, and of a schema that this version can go on from."""
    there = {one.name for one in (folder / DUMP).iterdir()} if (folder / DUMP).is_dir() else set[str]()
    if missing := sorted(manifest.files.keys() - there):
        raise Invalid(f"{folder / DUMP} lacks {', '.join(missing[:5])}: the backup is not whole.")
    if beside := sorted(there - manifest.files.keys()):
        raise Invalid(f"{folder / DUMP} has {', '.join(beside[:5])}, of which {MANIFEST} does not know.")
    for name, sha256 in manifest.files.items():
        if _sha256_of(folder / DUMP / name) != sha256:
            raise Invalid(f"{folder / DUMP / name} is not what was written: its SHA-256 is another.")
    try:
        ScriptDirectory(str(Path(migrations.__file__).parent)).get_revision(manifest.schema)
    except CommandError:
        raise Invalid(
            f"{folder} was made by catalog {manifest.catalog}, whose schema {manifest.schema} this version, "
            f"{__version__}, does not know: restore it with that version or a later one."
        ) from None


def restore(url: str, folder: Path, manifest: Manifest, programs: Programs, *, replace: bool) -> None:
    """Put a checked backup in the place of whatever the database holds, all of it or nothing, and bring it up to date.

    Raises Conflict where there are objects and none shall be replaced, BackupFailed.
    """
    with psycopg.connect(url) as connection:
        there = _objects(connection)
    if there and not replace:
        raise Conflict(f"The database holds {there:,} objects. To have this backup in their place: --replace.")
    with _reachable(url) as reached:
        _pipe(
            [programs.command("pg_restore"), "--no-owner", "--no-privileges", "--file=-", str(folder / DUMP)],
            [
                *(programs.command("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null"),
                f"--dbname={reached}",
            ],
            last=_counted_as(manifest.tables),
        )
    migrations.upgrade(url)


def _counted_as(tables: Mapping[str, int]) -> str:
    """Return statements that fail unless the tables of a transaction have as many rows as a backup says."""
    told = msgspec.json.encode(tables).decode().replace("'", "''")
    return f"SELECT set_config('catalog.counts', '{told}', true);\n{_COUNTED}"


def _objects(connection: psycopg.Connection) -> int:
    if _one(connection, "SELECT to_regclass('public.object') IS NULL") == "True":
        return 0
    return int(_one(connection, "SELECT count(*) FROM object"))


# In the transaction itself: what has other rows is forgotten like everything else that goes wrong.
_COUNTED = """
DO $counted$
DECLARE one record; rows bigint;
BEGIN
    FOR one IN SELECT key AS name, value::bigint AS told FROM json_each_text(current_setting('catalog.counts')::json)
    LOOP
        rows := 0;
        IF to_regclass(format('public.%I', one.name)) IS NOT NULL THEN
            EXECUTE format('SELECT count(*) FROM public.%I', one.name) INTO rows;
        END IF;
        IF rows <> one.told THEN
            RAISE EXCEPTION 'the table % has % rows, and the backup says %', one.name, rows, one.told;
        END IF;
    END LOOP;
END $counted$;
"""

# What extensions brought stays: whoever restores may not be allowed to make them.
_CLEARED = f"""
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL lock_timeout = '{_LOCK_WAIT}';
SELECT pg_advisory_xact_lock({migrations.LOCK});
DO $clear$
DECLARE one record;
BEGIN
    FOR one IN
        SELECT relkind AS kind, oid::regclass::text AS name FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
    LOOP
        EXECUTE format('DROP %s IF EXISTS %s CASCADE',
            CASE one.kind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, one.name);
    END LOOP;
    FOR one IN
        SELECT oid::regclass::text AS name FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
    LOOP
        EXECUTE format('DROP SEQUENCE IF EXISTS %s CASCADE', one.name);
    END LOOP;
    FOR one IN
        SELECT oid::regprocedure::text AS name FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
    LOOP
        EXECUTE format('DROP ROUTINE IF EXISTS %s CASCADE', one.name);
    END LOOP;
    FOR one IN
        SELECT oid::regtype::text AS name FROM pg_type
        WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_type.oid AND deptype = 'e')
    LOOP
        EXECUTE format('DROP TYPE IF EXISTS %s CASCADE', one.name);
    END LOOP;
END
$clear$;
"""  # ruff: ignore[S608] - ours.


@contextmanager
def _reachable(url: str) -> Iterator[str]:
    """Yield how to connect, for an argument, which everybody on this machine can read: the password is in a file."""
    told = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items() if value is not None}
    password = told.pop("password", None)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        if password is not None:
            escaped = password.replace("\\", "\\\\").replace(":", "\\:")
            file.write(f"*:*:*:*:{escaped}\n")
            file.flush()
            told["passfile"] = file.name
        yield conninfo.make_conninfo(**told)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise _failed(command, done.stderr)


def _pipe(source: Sequence[str], sink: Sequence[str], *, last: str) -> None:
    """Have one program read in a transaction what another writes, and then `last`; committed only if all goes well."""
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen(source, stdout=subprocess.PIPE, stderr=told) as writing,
        tempfile.TemporaryFile() as refused,
        subprocess.Popen(sink, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=refused) as reading,
    ):
        ended_well = _copied(writing, reading, last)
        if reading.wait() != 0 or not ended_well:
            command, lines = (source, told) if reading.returncode == 0 else (sink, refused)
            lines.seek(0)
            raise _failed(command, lines.read().decode(errors="replace"))


def _copied(writing: "subprocess.Popen[bytes]", reading: "subprocess.Popen[bytes]", last: str) -> bool:
    if writing.stdout is None or reading.stdin is None:
        raise RuntimeError("a pipe is missing")
    # Whoever gives up with an error leaves the pipe, and tells why.
    with suppress(BrokenPipeError), reading.stdin, writing.stdout:
        reading.stdin.write(_CLEARED.encode())
        shutil.copyfileobj(writing.stdout, reading.stdin, _READ_BYTES)
        # Without this last word the server forgets everything, whichever of us was killed.
        if writing.wait() == 0:
            reading.stdin.write(f"{last}COMMIT;\n".encode())
            return True
    return False


def _failed(command: Sequence[str], told: str) -> BackupFailed:
    lines = [line for line in told.splitlines() if "ERROR" in line or "FATAL" in line or "error:" in line]
    name = Path(command[0]).name
    return BackupFailed(f"{name} gave up, and nothing was changed: {(lines or told.splitlines() or ['no reason'])[0]}")

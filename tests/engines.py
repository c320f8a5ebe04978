"""The engines of one test run: started once, shared by all workers, gone with the run.

Runs as a process of its own (`python -m tests.engines FOLDER`): starts Postgres, OpenSearch, SeaweedFS, MinIO, writes
`FOLDER/engines.json` when all are ready, and stops when its standard input ends, which happens when pytest does.

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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from catalog.local import Stack, ports
from catalog.local.minio import Minio
from catalog.local.process import Process
from catalog.settings import Workstation

# MinIO's first build takes about four minutes on two cores; everything else is up in ten seconds.
START_SECONDS_MAX = 900


class Switchboard(BaseHTTPRequestHandler):
    """Passes notifications on to the API whose bucket they name."""

    protocol_version = "HTTP/1.1"
    folder: Path

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
            return httpx2.post(url + self.path, content=body, headers=headers, timeout=10).status_code
        except httpx2.HTTPError:
            return 502

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the engines' process; `wait` tells when they are ready."""
    with (folder / "engines.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "tests.engines", str(folder)], stdin=subprocess.PIPE, stderr=log)


def wait(folder: Path) -> dict[str, Any]:
    """Return where the engines are, once they are ready; raises with their log when they are not in time."""
    described = folder / "engines.json"
    ends = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < ends and not (folder / "failed").exists():
        if described.exists():
            return json.loads(described.read_text())
        time.sleep(0.1)
    raise RuntimeError(f"the engines did not start:\n{(folder / 'engines.log').read_text()[-4000:]}")


async def serve(folder: Path) -> None:
    """Run the engines until standard input ends."""
    Switchboard.folder = folder
    port = ports.choose()
    stack = Stack(folder / "stack", store="seaweedfs", api_port=port, say=_say)
    async with stack:
        environment = stack.environment()
        switchboard = ThreadingHTTPServer(("127.0.0.1", port), Switchboard)
        threading.Thread(target=switchboard.serve_forever, daemon=True).start()
        minio = Minio(
            folder=folder / "minio",
            port=ports.choose(),
            region=environment["CATALOG_STORE_REGION"],
            access_key=environment["CATALOG_STORE_ACCESS_KEY"],
            secret_key=environment["CATALOG_STORE_SECRET_KEY"],
            notify=f"{stack.api_address}/api/notifications/s3",
            notification_token=environment["CATALOG_NOTIFICATION_TOKEN"],
            cache=Workstation().cache,
            say=_say,
        )
        process = Process(minio, folder / "minio.log", _say)
        await process.start()
        try:
            ready = {"environment": environment, "minio_url": minio.address, "minio_arn": minio.arn}
            (folder / "engines.json.new").write_text(json.dumps(ready))
            (folder / "engines.json.new").rename(folder / "engines.json")
            await asyncio.Event().wait()
        finally:
            await process.stop()


def _end_with_stdin() -> None:
    # Also while the engines are still starting: pytest may have nothing that needs them.
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGINT)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    home = Path(sys.argv[1])
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        asyncio.run(serve(home))
    except KeyboardInterrupt:
        pass
    except BaseException:
        (home / "failed").touch()
        raise

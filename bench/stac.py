"""The peer, stac-fastapi-opensearch: over the stand's own engine, as it is shipped, with our objects as its items.

It lives in an environment of its own, pinned by hash in requirements/peers.txt; what it needs shall never stand beside
what we need.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.corpus import Sample
from bench.stand import Stand, Wire, await_answer
from catalog.local import ports
from catalog.settings import Workstation

PINS = Path(__file__).parents[1] / "requirements" / "peers.txt"
INSTALL_SECONDS_MAX = 600
STOP_SECONDS_MAX = 15
# One collection, which is one index of one shard, as ours is.
COLLECTION = "objects"
Item = dict[str, Any]


def item_of(sample: Sample, registered_at: datetime) -> Item:
    """Return an object as a STAC item (stac-spec 1.0.0): all that its registration says."""
    body = sample.body
    said = {name: value for name, value in body.items() if name not in {"files", "licence", "creators"}}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": str(sample.id),
        "collection": COLLECTION,
        # The corpus has no places, and an item without one says so (item-spec, `geometry`).
        "geometry": None,
        "properties": {
            **said,
            "datetime": registered_at.isoformat().replace("+00:00", "Z"),
            "license": body["licence"],
            "creators": [one["name"] for one in body["creators"]],
            "organization": body["project"].partition("/")[0],
        },
        "links": [],
        "assets": {file["path"]: _asset(file, f"{body['project']}/{sample.id}") for file in body["files"]},
    }


def _asset(file: dict[str, Any], folder: str) -> dict[str, Any]:
    return {
        "href": f"s3://catalog/{folder}/{file['path']}",
        "type": file["media_type"],
        "file:size": file["size"],
        # As a multihash: 12 is SHA-256, 20 its length of 32 bytes (file extension, `file:checksum`).
        "file:checksum": f"1220{file['sha256']}",
        "roles": ["data"],
    }


def bulk_body(items: Iterable[Item]) -> bytes:
    """Return the body of a bulk registration."""
    return msgspec.json.encode({"method": "insert", "items": {one["id"]: one for one in items}})


@contextmanager
def peer(stand: Stand) -> Iterator[str]:
    """Start the peer on the stand's engine with an empty collection, and return its address."""
    port = ports.choose()
    engine = stand.settings.search_url
    environment = {
        "PATH": os.environ["PATH"],
        "ES_HOST": str(engine.host),
        "ES_PORT": str(engine.port),
        "ES_USE_SSL": "false",
        # Both ends are on this machine: squeezing what passes would only cost it time.
        "ES_HTTP_COMPRESS": "false",
    }
    # One process, as ours is, with the same server, and no line of log for a request.
    server = ["-m", "uvicorn", "--factory", "stac_fastapi.opensearch.app:create_app", "--workers", "1"]
    quiet = ["--no-access-log", "--log-level", "warning"]
    with (stand.folder / "peer.log").open("ab") as log:
        process = subprocess.Popen(
            [str(_python()), *server, "--host", ports.LOOPBACK, "--port", str(port), *quiet],
            env=environment,
            cwd=stand.folder,
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://{ports.LOOPBACK}:{port}"
        await_answer(url, "/_mgmt/ping", seconds=60)
        status, told = Wire(url).send("POST", "/collections", _collection(), Content_Type="application/json")
        assert status == 201, told
        yield url
    finally:
        process.terminate()
        process.wait(STOP_SECONDS_MAX)


def _collection() -> bytes:
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2005-01-01T00:00:00Z", None]]}}
    described = {"description": "The objects of the bench.", "license": "other", "extent": extent, "links": []}
    return msgspec.json.encode({"type": "Collection", "stac_version": "1.0.0", "id": COLLECTION, **described})


def _python() -> Path:
    """Return the Python that has the peer; where there is none yet, its environment is made."""
    folder = Workstation().cache / "peers" / f"stac-{hashlib.sha256(PINS.read_bytes()).hexdigest()[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python, whole = folder / "bin" / "python", folder / "whole"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(folder)],
                [str(python), *install, "-r", str(PINS)],
            ):
                subprocess.run(command, check=True, timeout=INSTALL_SECONDS_MAX)
            whole.touch()
    return python

"""The same store, on every S3 server that we support."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from catalog.storage.dialects import s3, seaweedfs
from catalog.storage.dialects.noticed import Noticed
from catalog.storage.keys import UploadKey, upload_key
from catalog.storage.own import OwnStore
from catalog.storage.s3 import Ticket
from tests.conftest import FOLDER

# A store tells of a thousand keys of another test first, one after the other.
SECONDS_MAX = 90
POLL_SECONDS = 0.05
PREFIX = "lab/archive"


@dataclass(frozen=True)
class S3Server:
    """One running server and the keys that may do everything there."""

    kind: str
    endpoint: str
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    arn: str | None

    def store(self, bucket: str, **other: str) -> OwnStore:
        """Make a client; `other` replaces what a test wants wrong."""
        return OwnStore(
            **{
                "endpoint": self.endpoint,
                "public_endpoint": self.endpoint,
                "region": self.region,
                "bucket": bucket,
                "prefix": PREFIX,
                "access_key": self.access_key,
                "secret_key": self.secret_key,
            }
            | other
        )


@pytest.fixture(scope="session", params=["seaweedfs", "minio"])
def s3_server(request: pytest.FixtureRequest, engines_ready: dict[str, Any]) -> S3Server:
    """Each server in turn; a server that could not be had has failed the run already."""
    given = engines_ready["environment"]
    is_minio = request.param == "minio"
    return S3Server(
        kind=request.param,
        endpoint=engines_ready["minio_url"] if is_minio else given["CATALOG_STORE_URL"],
        region=given["CATALOG_STORE_REGION"],
        access_key=given["CATALOG_STORE_ACCESS_KEY"],
        secret_key=given["CATALOG_STORE_SECRET_KEY"],
        arn=engines_ready["minio_arn"] if is_minio else None,
    )


@pytest.fixture(scope="session")
async def any_store(s3_server: S3Server) -> AsyncGenerator[OwnStore]:
    """A bucket of this run's own with versions; tests share it, each under a project of its own."""
    store = s3_server.store(f"t{uuid4().hex[:12]}")
    await store.ensure_bucket()
    yield store
    await store.close()


@pytest.fixture
def project() -> str:
    """A project that no other test knows."""
    return f"ifremer/p{uuid4().hex[:12]}"


@pytest.fixture
def new_key(project: str) -> Callable[[str], str]:
    """Make keys of fresh uploads in this test's project."""
    return lambda path: upload_key(PREFIX, UploadKey(project, uuid4(), uuid4(), path))


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no store of a busy machine count as away; tests of slow ones say themselves what is slow."""
    monkeypatch.setattr("catalog.storage.s3.PING_TIMEOUT", timedelta(seconds=20))


@pytest.fixture
async def http() -> AsyncGenerator[httpx2.AsyncClient]:
    """What a person's machine sends, with nothing of ours."""
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


def ticket_for(store: OwnStore, key: str, content: bytes, media_type: str = "text/csv") -> Ticket:
    """Ask for the ticket of exactly this content."""
    return store.upload_ticket(
        key,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        media_type=media_type,
        lifetime=timedelta(minutes=5),
        now=datetime.now(UTC),
    )


async def upload(
    http: httpx2.AsyncClient, store: OwnStore, key: str, content: bytes, media_type: str = "text/csv"
) -> None:
    """Bring content to a key as a client does, with a ticket."""
    ticket = ticket_for(store, key, content, media_type)
    answer = await http.put(ticket.url, content=content, headers=dict(ticket.headers))
    assert answer.status_code == 200, answer.text


class Heard:
    """What the stores have told about one bucket so far."""

    def __init__(self) -> None:
        self.notices: list[Noticed] = []

    async def until(self, key: str, times: int = 1) -> list[Noticed]:
        """Give the notices of this key when there are so many of them; fails when they do not come in time."""
        for _ in range(int(SECONDS_MAX / POLL_SECONDS)):
            if len(of_key := [notice for notice in self.notices if notice.key == key]) >= times:
                return of_key
            await asyncio.sleep(POLL_SECONDS)
        raise AssertionError(f"no notice of {key!r}, only of {[notice.key for notice in self.notices]}")


@pytest.fixture
async def heard(s3_server: S3Server, any_store: OwnStore, pytestconfig: pytest.Config) -> AsyncGenerator[Heard]:
    """Listen to the notifications about the bucket, as the API would."""
    if s3_server.arn:
        await any_store.set_notification(s3_server.arn)
    heard = Heard()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            parse = {"/api/notifications/s3": s3.parse, "/api/notifications/seaweedfs": seaweedfs.parse}[self.path]
            heard.notices += parse(body)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
    # The switchboard of the run's engines passes on what is about a bucket to the address in this file.
    registered = Path(pytestconfig.stash[FOLDER]) / f"{any_store.bucket}.api"
    registered.write_text(f"http://127.0.0.1:{listener.server_port}")
    yield heard
    registered.unlink()
    listener.shutdown()
    listener.server_close()

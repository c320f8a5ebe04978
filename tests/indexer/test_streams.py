"""Events out of a NATS stream: a real server, killed and started again, and nothing that was announced is lost."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import nats
import pytest
import sqlalchemy as sa
import structlog
from pydantic import PostgresDsn, SecretStr

from catalog.engines import opened
from catalog.local import ports
from catalog.measuring import REGISTRY
from catalog.settings import Events, WrongSettings
from indexer import streams
from indexer.jetstream import Stream
from tests.conftest import World, eventually
from tests.indexer.scene import Scene

SUBJECT = "buckets.catalog"


class Server:
    """A NATS server that keeps its stream on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = ports.choose()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def events(self) -> Events:
        """What the indexer is told."""
        return Events(f"nats://127.0.0.1:{self.port}", SUBJECT)

    def start(self) -> None:
        """Start it, or start it again."""
        program = Path(sys.executable).parent / "nats-server"
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, "-js", "-a", "127.0.0.1", "-p", str(self.port), "-sd", self.folder / "stream"],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    async def publish(self, *bodies: bytes) -> None:
        """Publish what the server says it has kept."""

        async def published() -> bool:
            with suppress(Exception):
                client = await nats.connect(self.events.url, allow_reconnect=False, connect_timeout=2)
                try:
                    stream = client.jetstream()
                    with suppress(nats.js.errors.BadRequestError):
                        await stream.add_stream(name="buckets", subjects=["buckets.>"])
                    for body in bodies:
                        await stream.publish(SUBJECT, body)
                finally:
                    await client.close()
                return True
            return False

        await eventually(published, seconds=20)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[Server]:
    """A server that runs."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


@asynccontextmanager
async def taking(scene: Scene, server: Server) -> AsyncGenerator[None]:
    """Let an indexer take what the stream has."""
    stop = asyncio.Event()
    task = asyncio.create_task(streams.run(scene.engines, Stream(server.events), stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


def told(scene: Scene, *keys: str) -> list[bytes]:
    bucket = scene.engines.placement.bucket
    return [
        json.dumps(
            {
                "Records": [
                    {"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}
                ]
            }
        ).encode()
        for key in keys
    ]


async def queued(scene: Scene, within: str) -> set[str]:
    async with scene.engines.database.transaction() as session:
        rows = await session.execute(
            sa.text("SELECT subject FROM queue WHERE topic = 'key' AND subject LIKE :these"), {"these": f"%/{within}/%"}
        )
        return {subject.rpartition("/")[2] for (subject,) in rows}


@pytest.mark.req("MWM-SADD-17")
async def test_nothing_that_was_announced_is_lost_although_the_server_is_killed(scene: Scene, server: Server) -> None:
    names = {f"{number}.csv" for number in range(300)}
    keys = [f"killed/{name}" for name in sorted(names)]
    async with taking(scene, server):
        await server.publish(*told(scene, *keys[:150]))
        server.kill()
        server.start()
        # And with something in between that nobody can read.
        await server.publish(b"hello", *told(scene, *keys[150:]))
        server.kill()
        server.start()

        async def all_there() -> bool:
            return await queued(scene, "killed") == names

        await eventually(all_there, seconds=90)


async def test_what_could_not_be_kept_is_not_acknowledged_and_comes_again(
    scene: Scene, server: Server, quiet: World
) -> None:
    await server.publish(*told(scene, "again/a.csv"))
    nowhere = PostgresDsn(f"postgresql://nobody:nothing@127.0.0.1:{ports.choose()}/none")
    stop = asyncio.Event()
    async with opened(quiet.settings.model_copy(update={"database_url": nowhere})) as away:
        task = asyncio.create_task(streams.run(away, Stream(server.events), stop))

        async def tried() -> bool:
            client = await nats.connect(server.events.url)
            try:
                consumers = await client.jetstream().consumers_info("buckets")
            finally:
                await client.close()
            return any(one.num_redelivered or 0 for one in consumers)

        await eventually(tried, seconds=30)
        stop.set()
        await asyncio.wait_for(task, 20)
    assert await queued(scene, "again") == set()

    async with taking(scene, server):

        async def there() -> bool:
            return await queued(scene, "again") == {"a.csv"}

        await eventually(there, seconds=40)


@pytest.mark.parametrize(
    ("reason", "url"),
    [("no stream of the server has this subject", None), ("nobody answers there", "nats://nobody:pw@127.0.0.1:1")],
)
async def test_why_nothing_comes_is_said_and_counted(
    scene: Scene, server: Server, reason: str, url: str | None
) -> None:
    def faults() -> float:
        return REGISTRY.get_sample_value("catalog_lane_faults_total", {"topic": "nats"}) or 0

    before, stop = faults(), asyncio.Event()
    with structlog.testing.capture_logs() as lines:
        source = Stream(server.events if url is None else Events(url, SUBJECT))
        task = asyncio.create_task(streams.run(scene.engines, source, stop))

        async def said() -> bool:
            return reason in [line["reason"] for line in lines if line["event"] == "stream away"]

        await eventually(said, seconds=20)
        stop.set()
        await asyncio.wait_for(task, 20)
    assert faults() > before


@pytest.mark.parametrize(
    ("extra", "setting"), [("nats", "EVENTS_URL"), ("amqp", "EVENTS_AMQP_URL"), ("amqp", "SUBSCRIPTIONS_AMQP_URL")]
)
def test_where_a_library_is_missing_it_is_said_which_packages_have_it(
    quiet: World, monkeypatch: pytest.MonkeyPatch, extra: str, setting: str
) -> None:
    asked = quiet.settings.model_copy(update={setting.lower(): SecretStr(f"{extra}://127.0.0.1")})
    streams.must_be_installed(asked)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    streams.must_be_installed(quiet.settings)
    with pytest.raises(WrongSettings, match=rf"CATALOG_{setting}\b.*requirements/{extra}\.txt"):
        streams.must_be_installed(asked)


def started(environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start `catalog-indexer run`."""
    with log.open("wb") as written:
        return subprocess.Popen(
            [sys.executable, "-m", "indexer", "run"], env=environment, stdout=written, stderr=written
        )


async def ended(process: "subprocess.Popen[bytes]", log: Path) -> int:
    """Ask an indexer to end, and return its exit code; one that goes on is told of with its log."""
    process.terminate()
    try:
        return await asyncio.to_thread(process.wait, 60)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it goes on: {log.read_text()[-4000:]}") from None  # noqa: ASYNC240 - it has failed.


async def test_the_indexer_takes_from_the_stream_that_it_was_told_of_and_ends_when_asked(
    scene: Scene, server: Server, quiet: World, tmp_path: Path
) -> None:
    await server.publish(b"hello from a stream")
    told_of = {"CATALOG_EVENTS_URL": server.events.url, "CATALOG_EVENTS_SUBJECT": SUBJECT}
    process = started(quiet.environment | told_of, tmp_path / "indexer.log")
    try:

        async def kept() -> bool:
            async with scene.engines.database.transaction() as session:
                found = await session.execute(
                    sa.text("SELECT body FROM unreadable_notification WHERE dialect = 'nats'")
                )
                return b"hello from a stream" in {bytes(body) for (body,) in found}

        await eventually(kept, seconds=40)
        assert await ended(process, tmp_path / "indexer.log") == 0
    finally:
        process.kill()
        process.wait()

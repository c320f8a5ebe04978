"""Events out of a queue of AMQP: a real RabbitMQ, killed and started again, and nothing that was announced is lost."""

import asyncio
import gc
import json
import re
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx2
import pytest
import sqlalchemy as sa
import structlog
from pydantic import PostgresDsn

from catalog import amqp
from catalog.cli import eventing
from catalog.cli.eventing import Dialect
from catalog.engines import Engines, opened
from catalog.local import minio, ports
from catalog.local.process import leashed
from catalog.measuring import REGISTRY
from catalog.settings import Events, Workstation
from indexer import streams
from indexer.amqp import Queue
from tests.api.brought import Server as Store
from tests.conftest import World, eventually
from tests.indexer.scene import Scene
from tests.indexer.test_streams import ended, queued, started, told
from tests.rabbitmq import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A server that runs."""
    with running(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture
async def queue(server: Server) -> str:
    """A queue of the test's own."""
    name = f"buckets.{uuid4().hex[:8]}"
    await server.make(name)
    return name


@asynccontextmanager
async def taking(engines: Engines, events: Events) -> AsyncGenerator[None]:
    """Let an indexer take what the queue has."""
    stop = asyncio.Event()
    task = asyncio.create_task(streams.run(engines, Queue(events), stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def unread(scene: Scene) -> dict[bytes, tuple[str, str]]:
    """Return what could not be read: by whom it was told, and why not."""
    async with scene.engines.database.transaction() as session:
        found = await session.execute(sa.text("SELECT body, dialect, reason FROM unreadable_notification"))
        return {bytes(body): (dialect, reason) for body, dialect, reason in found}


async def emptied(server: Server, queue: str) -> None:
    """Wait until nothing is in the queue, when nobody takes from it any more."""

    async def empty() -> bool:
        return await server.count(queue) == 0

    await eventually(empty)


def of_seaweedfs(scene: Scene, key: str) -> bytes:
    path = f"/buckets/{scene.engines.placement.bucket}/{key}"
    entry = {"name": key.rpartition("/")[2]}
    return json.dumps({"event_type": "create", "key": path, "message": {"new_entry": entry}}).encode()


def of_eventbridge(scene: Scene, key: str) -> bytes:
    detail = {"bucket": {"name": scene.engines.placement.bucket}, "object": {"key": key}}
    return json.dumps({"detail-type": "Object Created", "source": "aws.s3", "detail": detail}).encode()


async def test_what_is_told_in_any_tongue_is_kept_and_acknowledged_and_what_nobody_reads_has_its_reason(
    scene: Scene, server: Server, queue: str
) -> None:
    rubbish = f"hello {uuid4()}".encode()
    await server.publish(queue, *told(scene, "told/a.csv", "told/b+c.csv"), rubbish)
    await server.publish(queue, of_seaweedfs(scene, "told/d+e.csv"), of_eventbridge(scene, "told/f.csv"))
    async with taking(scene.engines, server.events(queue)):

        async def kept() -> bool:
            return len(await queued(scene, "told")) == 4 and rubbish in await unread(scene)

        await eventually(kept)
    assert await queued(scene, "told") == {"a.csv", "b c.csv", "d+e.csv", "f.csv"}
    dialect, reason = (await unread(scene))[rubbish]
    assert (dialect, "is not what this store sends" in reason) == ("amqp", True)
    # What was not acknowledged would be back.
    await emptied(server, queue)


@pytest.mark.req("MWM-SADD-17")
async def test_nothing_that_was_announced_is_lost_although_the_server_is_killed(
    scene: Scene, server: Server, queue: str
) -> None:
    names = {f"{number}.csv" for number in range(600)}
    keys = [f"killed/{name}" for name in sorted(names)]
    # Two indexers share the queue.
    async with taking(scene.engines, server.events(queue)), taking(scene.engines, server.events(queue)):
        publishing = asyncio.create_task(server.publish(queue, *told(scene, *keys)))
        for least in (50, 300):

            async def some(least: int = least) -> bool:
                return len(await queued(scene, "killed")) >= least

            await eventually(some, seconds=60)
            server.kill()
            server.start()
        await publishing

        async def all_there() -> bool:
            return await queued(scene, "killed") == names

        await eventually(all_there, seconds=60)

    async def drained() -> bool:
        # What the killed server did not know to be acknowledged comes again.
        async with taking(scene.engines, server.events(queue)):
            await emptied(server, queue)
        return await server.count(queue) == 0

    await eventually(drained, seconds=60)


async def test_what_could_not_be_kept_is_not_acknowledged_and_comes_again(
    scene: Scene, server: Server, quiet: World
) -> None:
    # As the manual makes it: these queues count how often a message is given back.
    queue = f"quorum.{uuid4().hex[:8]}"
    await server.make(queue, x_queue_type="quorum", x_delivery_limit=1_000_000)
    await server.publish(queue, *told(scene, "again/a.csv"))
    # A database without our tables.
    empty = PostgresDsn(urlunsplit(urlsplit(str(quiet.settings.database_url))._replace(path="/postgres")))
    async with opened(quiet.settings.model_copy(update={"database_url": empty})) as away:
        with structlog.testing.capture_logs() as lines:
            async with taking(away, server.events(queue)):

                async def tried() -> bool:
                    return [line["event"] for line in lines].count("message waits") > 1

                await eventually(tried, seconds=30)
    assert (await queued(scene, "again"), await server.count(queue)) == (set(), 1)

    async with taking(scene.engines, server.events(queue)):

        async def there() -> bool:
            return await queued(scene, "again") == {"a.csv"}

        await eventually(there)
    await emptied(server, queue)


@pytest.mark.usefixtures("queue")
@pytest.mark.parametrize(
    ("reason", "events"),
    [
        (
            "the server refuses this name or password",
            lambda server: Events(server.url.replace("pw-of", "pw-not-of"), "buckets"),
        ),
        (
            "the server has no queue, or no exchange, of this name",
            lambda server: server.events("no.such.queue"),
        ),
        (
            "the server ended the connection at once: does this account reach the virtual host?",
            lambda server: Events(f"{server.url}nowhere", "buckets"),
        ),
        (
            "nobody answers there, or the connection broke",
            lambda _: Events(f"amqp://nobody:pw-of-nobody@127.0.0.1:{ports.choose()}", "buckets"),
        ),
        (
            "the server's certificate is not trusted, or it speaks no TLS there",
            lambda server: Events(server.url.replace("amqp:", "amqps:"), "buckets"),
        ),
        # Of nobody whom this machine trusts.
        (
            "the server's certificate is not trusted, or it speaks no TLS there",
            lambda server: Events(server.tls_url, "buckets"),
        ),
    ],
    ids=["password", "queue", "virtual host", "address", "no TLS", "certificate"],
)
async def test_why_nothing_comes_is_said_without_the_password_and_counted(
    scene: Scene, server: Server, reason: str, events: Callable[[Server], Events], caplog: pytest.LogCaptureFixture
) -> None:
    def faults() -> float:
        return REGISTRY.get_sample_value("catalog_lane_faults_total", {"topic": "amqp"}) or 0

    before = faults()
    with structlog.testing.capture_logs() as lines:
        async with taking(scene.engines, events(server)):

            async def said() -> Mapping[str, Any] | None:
                return next((line for line in lines if line["event"] == "stream away"), None)

            line = await eventually(said, seconds=20)
    assert line == {"event": "stream away", "log_level": "warning", "broker": "amqp", "reason": reason}
    # The library says nothing beside us.
    assert ("pw-" in str(lines), caplog.records, faults() > before) == (False, [], True)


async def test_a_server_is_known_by_a_certificate_of_an_authority_that_is_named(
    scene: Scene, server: Server, queue: str
) -> None:
    await server.publish(queue, *told(scene, "sealed/a.csv"))
    async with taking(scene.engines, Events(f"{server.tls_url}?cafile={server.authority}", queue)):

        async def there() -> bool:
            return await queued(scene, "sealed") == {"a.csv"}

        await eventually(there)


async def test_a_minio_that_was_told_what_we_print_tells_through_an_exchange(
    scene: Scene, server: Server, queue: str, tmp_path: Path
) -> None:
    bucket = scene.engines.placement.bucket
    steps = eventing.steps_of(
        Dialect.MINIO_AMQP, url="http://127.0.0.1:1", organization="lab", backend="default", bucket=bucket, prefix=""
    )
    steps = steps.replace("amqp://USER:PASSWORD@HOST:5672", server.url).replace("/var/lib/minio", str(tmp_path))
    said = dict(re.findall(r"^(MINIO_\w+)=(.*)$", steps, re.MULTILINE))
    async with speaking(tmp_path, said) as store, store.bucket(bucket, versioned=False) as seen:
        await seen.set_notification("arn:minio:sqs:eu-test-1:CATALOG:amqp")
        # It makes its exchange when it has something to tell; what was told before a queue is bound goes nowhere.
        async with server.channel() as channel:
            exchange = await channel.declare_exchange(said["MINIO_NOTIFY_AMQP_EXCHANGE_CATALOG"], "topic", durable=True)
            bound = await channel.get_queue(queue)
            await bound.bind(exchange, said["MINIO_NOTIFY_AMQP_ROUTING_KEY_CATALOG"])
        await store.put(bucket, "minio/a b+ü.csv", b"bytes")
        async with taking(scene.engines, server.events(queue)):

            async def there() -> bool:
                return await queued(scene, "minio") == {"a b+ü.csv"}

            await eventually(there)


def brought_up(command: list[str], folder: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    with (folder / "minio.out").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


@asynccontextmanager
async def speaking(folder: Path, said: Mapping[str, str]) -> AsyncGenerator[Store]:
    """Run a MinIO whose environment says this."""
    port, password = ports.choose(), uuid4().hex
    program = await minio.find(Workstation().cache, print)
    environment = {"HOME": str(folder), "MINIO_REGION": "eu-test-1", "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"}
    environment |= {"MINIO_ROOT_USER": minio.ROOT, "MINIO_ROOT_PASSWORD": password, **said}
    command = leashed([str(program), "server", "--address", f"127.0.0.1:{port}", str(folder / "data")])
    process = brought_up(command, folder, environment)
    address = f"http://127.0.0.1:{port}"
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:

            async def ready() -> bool:
                with suppress(httpx2.HTTPError):
                    return (await http.get(f"{address}/minio/health/ready")).status_code == httpx2.codes.OK
                return False

            await eventually(ready, seconds=60)
        yield Store(address, "eu-test-1", minio.ROOT, password)
    finally:
        process.kill()
        process.wait()


async def test_a_queue_that_is_removed_and_made_again_is_heard_again(scene: Scene, server: Server, queue: str) -> None:
    async with taking(scene.engines, server.events(queue)):
        await server.publish(queue, *told(scene, "removed/a.csv"))

        async def first() -> bool:
            return await queued(scene, "removed") == {"a.csv"}

        await eventually(first)
        async with server.channel() as channel:
            await channel.queue_delete(queue)
        await server.make(queue)
        await server.publish(queue, *told(scene, "removed/b.csv"))

        async def second() -> bool:
            return await queued(scene, "removed") == {"a.csv", "b.csv"}

        await eventually(second, seconds=20)


async def test_the_indexer_takes_from_the_queue_that_it_was_told_of_and_ends_when_asked(
    scene: Scene, server: Server, queue: str, quiet: World, tmp_path: Path
) -> None:
    rubbish = f"hello {uuid4()}".encode()
    await server.publish(queue, rubbish)
    told_of = {"CATALOG_EVENTS_AMQP_URL": server.url, "CATALOG_EVENTS_AMQP_QUEUE": queue}
    process = started(quiet.environment | told_of, tmp_path / "indexer.log")
    try:

        async def kept() -> bool:
            return rubbish in await unread(scene)

        await eventually(kept, seconds=40)
        assert await ended(process, tmp_path / "indexer.log") == 0
    finally:
        process.kill()
        process.wait()
    assert "pw-of" not in (tmp_path / "indexer.log").read_text()


def test_a_connection_that_never_came_about_leaves_nothing_to_be_ended_when_it_is_collected() -> None:
    with asyncio.Runner() as runner:
        with pytest.raises(ConnectionError) as raised:
            runner.run(amqp.connected(f"amqp://127.0.0.1:{ports.choose()}"))
        # It is collected in some thread. The library would begin a coroutine that nobody awaits: that fails the test.
        held = [raised]
        del raised
        with ThreadPoolExecutor(1) as pool:
            pool.submit(held.clear).result()
            pool.submit(gc.collect).result()

"""RabbitMQ for tests: the machine's own, or Debian's packages unpacked into the cache, which needs no root.

They are not installed, because Debian starts the service of whoever installs it. A server runs as a child of the test,
on ports of its own, with everything that it writes in the test's folder, and nothing of it is left when it is stopped.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import aio_pika
import psutil
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from catalog import amqp
from catalog.local import ports
from catalog.local.process import leashed
from catalog.settings import Events, Workstation
from tests import certificates
from tests.conftest import eventually
from tests.programs import INSTALL_SECONDS_MAX, NotInstalled

PACKAGE = "rabbitmq-server"
ERLANG = "usr/lib/erlang"
SERVER = "usr/lib/rabbitmq/bin/rabbitmq-server"
USER, PASSWORD = "catalog", "pw-of-the-rabbit"
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20


@dataclass(frozen=True)
class Programs:
    """Where RabbitMQ and its Erlang are."""

    root: Path

    @property
    def server(self) -> Path:
        """The server's script; the name in `bin` may be one that changes the user."""
        return (self.root / SERVER).resolve()

    @property
    def erlang(self) -> Path:
        """Where Erlang is."""
        return self.root / ERLANG


@cache
def find() -> Programs:
    """Return the programs; where they are missing and may be fetched, they are; or skip the test."""
    try:
        return _found()
    except NotInstalled as fault:
        pytest.skip(str(fault))


def _found() -> Programs:
    own = Programs(Path("/"))
    if own.server.exists() and own.erlang.exists():
        return own
    folder = Workstation().cache / PACKAGE
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        # Two workers find it missing at the same moment.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
                raise NotInstalled(
                    f"{PACKAGE} is not installed, and its package is unpacked with apt-get and dpkg alone"
                )
            with tempfile.TemporaryDirectory(dir=folder.parent) as made:
                _unpack(Path(made), folder)
                (Path(made) / "root").rename(folder)
    _said([str(folder / ERLANG / "bin" / "erl"), "-noinput", "-noshell", "-s", "erlang", "halt"], folder)
    return Programs(folder)


def _unpack(made: Path, folder: Path) -> None:
    """Fetch the package with the Erlang that it needs, and unpack it as if it always had been in this folder."""
    depends = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    asked = ["apt-cache", "depends", "--recurse", *depends, PACKAGE]
    try:
        needed = _said(asked, made)
    except NotInstalled:
        # A fresh image has no lists of packages, which root alone may fetch.
        _said(["apt-get", "update"], made)
        needed = _said(asked, made)
    erlang = sorted({name for name in needed.splitlines() if name.startswith("erlang-")})
    _said(["apt-get", "download", PACKAGE, *erlang], made)
    for package in made.glob("*.deb"):
        _said(["dpkg", "-x", str(package), "root"], made)
    script = made / "root" / ERLANG / "bin" / "erl"
    script.write_text(script.read_text().replace(f"/{ERLANG}", str(folder / ERLANG)))


def _said(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=False)
    if done.returncode:
        raise NotInstalled(f"{PACKAGE}: `{' '.join(command[:2])}` failed: {done.stderr.strip()[-300:]}")
    return done.stdout


class Server:
    """A server that keeps its queues on disk, and the daemon by which Erlang's nodes find each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = find()
        taken: list[int] = []
        for _ in range(4):
            taken.append(ports.choose(taken))
        self._port, self._secured, self._between, self._names = taken
        self.authority, self._certificate = certificates.made(folder, "localhost")
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """Where it listens, with a name and a password."""
        return f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self._port}/"

    @property
    def tls_url(self) -> str:
        """Where it listens with a certificate that nobody trusts who does not know its authority."""
        return f"amqps://{USER}:{PASSWORD}@localhost:{self._secured}/"

    def events(self, queue: str) -> Events:
        """What an indexer is told that takes from a queue."""
        return Events(self.url, queue)

    def start(self) -> None:
        """Start it, or start it again."""
        if not self._running:
            epmd = self._programs.erlang / "bin" / "epmd"
            self._run([str(epmd), "-port", str(self._names), "-address", "127.0.0.1"])
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self._port}\n"
            f"listeners.ssl.1 = 127.0.0.1:{self._secured}\n"
            f"ssl_options.certfile = {self._certificate}\nssl_options.keyfile = {self._certificate}\n"
            f"default_user = {USER}\ndefault_pass = {PASSWORD}\n"
            # No person waits for these to be forgiven.
            "vm_memory_high_watermark.absolute = 1GB\ndisk_free_limit.absolute = 10MB\n"
        )
        self._run([str(self._programs.server), "-noinput"])

    def _run(self, command: Sequence[str]) -> None:
        folder = self.folder
        with (folder / "rabbitmq.out").open("ab") as log:
            self._running.append(
                subprocess.Popen(
                    leashed(command),
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={
                        "PATH": f"{self._programs.erlang / 'bin'}:{os.environ['PATH']}",
                        "HOME": str(folder),
                        "LANG": "C.UTF-8",
                        "ERL_EPMD_PORT": str(self._names),
                        "ERL_EPMD_ADDRESS": "127.0.0.1",
                        "RABBITMQ_NODENAME": f"catalog{self._port}@localhost",
                        "RABBITMQ_NODE_PORT": str(self._port),
                        "RABBITMQ_DIST_PORT": str(self._between),
                        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
                        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
                        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
                        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
                        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
                        "RABBITMQ_LOG_BASE": str(folder),
                        # The script becomes the server, which then is our child.
                        "RABBITMQ_ALLOW_INPUT": "1",
                    },
                )
            )

    def kill(self) -> None:
        """End it at once, and see that nothing of it is left."""
        _kill(self._running.pop())

    def stop(self) -> None:
        """End everything."""
        while self._running:
            self.kill()

    @asynccontextmanager
    async def channel(self) -> AsyncGenerator[AbstractChannel]:
        """Connect as one who publishes or receives does, waiting for the server to be there."""

        async def connected() -> aio_pika.abc.AbstractConnection | None:
            with suppress(Exception):
                return await amqp.connected(self.url)
            return None

        connection = await eventually(connected, seconds=START_SECONDS_MAX)
        try:
            yield await connection.channel(on_return_raises=True)
        finally:
            with suppress(Exception):
                await connection.close()

    async def make(self, queue: str, exchange: str | None = None, **arguments: str | int) -> None:
        """Make a queue that outlives the server, and have an exchange lead into it whatever comes."""
        async with self.channel() as channel:
            said = {name.replace("_", "-"): value for name, value in arguments.items()}
            made = await channel.declare_queue(queue, durable=True, arguments=said)
            if exchange is not None:
                await channel.declare_exchange(exchange, "topic", durable=True)
                await made.bind(exchange, "#")

    async def publish(self, queue: str, *bodies: bytes) -> None:
        """Put messages into a queue, each until the server says that it has kept it."""
        left = list(bodies)

        async def published() -> bool:
            with suppress(Exception):
                async with self.channel() as channel:
                    while left:
                        message = aio_pika.Message(left[0], delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                        await channel.default_exchange.publish(message, queue, mandatory=True, timeout=5)
                        del left[0]
                return True
            return False

        await eventually(published, seconds=START_SECONDS_MAX)

    async def count(self, queue: str) -> int | None:
        """Return how many messages wait in a queue and are in nobody's hands, None while the server is away."""
        with suppress(Exception):
            async with self.channel() as channel:
                found = await channel.declare_queue(queue, passive=True)
                return found.declaration_result.message_count
        return None

    async def taken(self, queue: str) -> list[AbstractIncomingMessage]:
        """Take all that is in a queue, in its order."""
        found: list[AbstractIncomingMessage] = []
        async with self.channel() as channel:
            there = await channel.get_queue(queue)
            while message := await there.get(fail=False):
                await message.ack()
                found.append(message)
        return found


@contextmanager
def running(folder: Path) -> Generator[Server]:
    """A server that runs as long as it is needed."""
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    helpers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    process.wait()
    # They end when they notice, and none may stay.
    assert psutil.wait_procs(helpers, STOP_SECONDS_MAX)[1] == []

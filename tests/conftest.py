"""Real engines for every test: started once a run, with a database, an index and a bucket for each worker."""

import asyncio
import gc
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpcore2
import httpx2
import hypothesis
import psycopg
import pytest
import structlog
from pydantic import HttpUrl, PostgresDsn, SecretStr

from catalog.access import principals
from catalog.access.audience import Role
from catalog.cli.operating import GARBAGE_THRESHOLD
from catalog.database import Database
from catalog.engines import Engines, opened
from catalog.errors import CatalogError
from catalog.local import ports
from catalog.migrations import upgrade
from catalog.objects import schemes
from catalog.settings import Settings, inherited_settings
from tests import canary, forked
from tests import engines as engine_process
from tests.api import truth
from tests.forked import Forked

pytest_plugins = ["pytester", "tests.trace.plugin", "tests.api.lab"]

FOLDER = pytest.StashKey[str]()
LOOKED = pytest.StashKey[canary.Looked]()
PROCESS = pytest.StashKey["subprocess.Popen[bytes]"]()
SECONDS_MAX = 30
START_SECONDS_MAX = 120
# Between two looks for what is awaited, longer each time: a look may be a search, and takes from what it waits for.
LOOK_SECONDS_MIN = 0.02
LOOK_SECONDS_MAX = 0.2
Found = TypeVar("Found")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take where the engines come from; those whose addresses the environment gives come from there in any case."""
    parser.getgroup("engines").addoption(
        "--engines",
        choices=["embedded", "docker"],
        default="embedded",
        help="run PostgreSQL, OpenSearch and MinIO as processes (embedded, the default) or in containers (docker)",
    )
    parser.getgroup("size").addoption(
        "--long",
        action="store_true",
        help="run the tests that are marked `long` at their full size, as `make chaos` does",
    )
    parser.getgroup("size").addoption(
        "--seed", type=int, help="the storm's seed, which it tells, to have the same again"
    )
    parser.getgroup("size").addoption("--minutes", type=float, default=30, help="how long a storm lasts with --long")
    parser.getgroup("pages").addoption(
        "--pictures", metavar="FOLDER", help="keep a picture of every page that is shown in Chromium in this folder"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start the engines beside the collection, in the controller alone."""
    given = getattr(config, "workerinput", {}).get("engines")
    if given is not None:
        config.stash[FOLDER] = given
    elif not config.option.collectonly:
        try:
            engine_process.check(config.option.engines)
        except CatalogError as fault:
            raise pytest.UsageError(str(fault)) from None
        folder = Path(tempfile.mkdtemp(prefix="catalog-tests-"))
        config.stash[FOLDER] = str(folder)
        config.stash[PROCESS] = engine_process.start(folder, config.option.engines)
    # Each client of HTTP reads the whole list of certificate authorities anew, which takes 20 ms: tests make thousands.
    httpcore2.default_ssl_context = cache(httpcore2.default_ssl_context)
    # A traceback with every frame's variables takes a second to lay out, for logs that are read when a test fails.
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])
    # What a shell starts in the background is told to ignore Ctrl-C, and so would be what these tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes, and how long making it up, says how busy the machine is.
    hypothesis.settings.register_profile(
        "catalog", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("catalog")
    # A test must meet no engine but through the fixtures, in a database, an index and a bucket of its own.
    for name in inherited_settings():
        del os.environ[name]


def pytest_collection_finish() -> None:
    """Look through what was loaded once, and never again, as `catalog serve` does: tests make few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the engines are."""
    node.workerinput["engines"] = node.config.stash[FOLDER]


pytest_configure_node = pytest.hookimpl(optionalhook=True)(pytest_configure_node)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look through everything that processes of the run have written, when all of them have ended but the engines."""
    if session.config.stash.get(PROCESS, None) is None:
        return
    looked = canary.look(Path(session.config.stash[FOLDER]))
    session.config.stash[LOOKED] = looked
    if looked.seen:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what was found where, never the secret itself."""
    looked = config.stash.get(LOOKED, None)
    if looked is None:
        return
    if looked.seen:
        terminalreporter.section("secrets in what processes have written", red=True)
        for one in looked.seen:
            terminalreporter.line(str(one))
    elif looked.files:
        terminalreporter.line(f"no secret in {looked.size:,} bytes of {looked.files} logs")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the engines, and before them what forks."""
    forked.stop()
    process = config.stash.get(PROCESS, None)
    if process is None:
        return
    engine_process.stop(process)
    shutil.rmtree(config.stash[FOLDER], ignore_errors=True)


class Sized(Protocol):
    """Chooses a size."""

    def __call__(self, usual: int, *, long: int) -> int:
        """Return the usual size, or with `--long` the full one."""


@pytest.fixture(scope="session")
def sized(pytestconfig: pytest.Config) -> Sized:
    """What chooses the size of a test that is marked `long`; its usual one shows the same in less time."""
    return lambda usual, *, long: long if pytestconfig.option.long else usual


@dataclass(frozen=True)
class World:
    """A catalog of its own on the shared engines: settings for its own database, index and bucket."""

    settings: Settings
    folder: Path
    environment: dict[str, str] = field(repr=False)


@pytest.fixture(scope="session")
def engines_ready(pytestconfig: pytest.Config) -> dict[str, Any]:
    """Where the engines are."""
    return engine_process.wait(Path(pytestconfig.stash[FOLDER]))


def make_world(
    ready: dict[str, Any], folder: Path, store: Literal["seaweedfs", "minio", "given"] = "seaweedfs", **changes: Any
) -> World:
    """Make an empty database with the newest schema, and names for an index and a bucket.

    The `given` store is the one that the environment names, else SeaweedFS; it may notify nobody.
    """
    given = (
        ready["environment"]
        | {
            "seaweedfs": {},
            "minio": {"CATALOG_STORE_URL": ready["minio_url"]},
            "given": ready["given_store"],
        }[store]
    )
    name = f"t{uuid4().hex[:12]}"
    admin = given["CATALOG_DATABASE_URL"]
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template(admin)}")
    database_url = urlunsplit(urlsplit(admin)._replace(path=f"/{name}"))
    settings = Settings(
        public_url=HttpUrl(f"http://127.0.0.1:{own_port()}"),
        database_url=PostgresDsn(database_url),
        search_url=HttpUrl(given["CATALOG_SEARCH_URL"]),
        search_index=name,
        search_refresh=changes.pop("search_refresh", "0.1"),
        store_url=HttpUrl(given["CATALOG_STORE_URL"]),
        store_region=given["CATALOG_STORE_REGION"],
        store_bucket=name,
        store_access_key=given["CATALOG_STORE_ACCESS_KEY"],
        store_secret_key=SecretStr(given["CATALOG_STORE_SECRET_KEY"]),
        notification_token=SecretStr(given["CATALOG_NOTIFICATION_TOKEN"]),
        cursor_key=SecretStr(given["CATALOG_CURSOR_KEY"]),
        key_file=Path(given["CATALOG_KEY_FILE"]),
        # Reading texts for their meaning, and bytes again, costs a processor that other tests need; those of either
        # turn it on.
        **(
            {"backend_networks": given["CATALOG_BACKEND_NETWORKS"], "hybrid": "off", "fixity_bytes_per_day": 0}
            | changes
        ),
    )
    world = World(settings, folder, _environment_of(settings))
    canary.remember(Path(ready["folder"]), world.folder, secrets_of_settings(settings))
    return world


def own_port() -> int:
    """Return a free port that nobody else of this run comes upon until somebody listens there.

    It is none of those that the system gives to whoever asks for any, and each worker has its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 12_000 + 2_000 * (worker % 8)
    port = ports.choose(_given, range(first, first + 2_000))
    _given.add(port)
    return port


_given: set[int] = set()


def secrets_of_settings(settings: Settings) -> dict[str, str]:
    """Return what nobody may ever read of these settings, by what it is."""
    return {
        "the store's secret key": settings.store_secret_key.get_secret_value(),
        "the notification token": settings.notification_token.get_secret_value(),
        "the cursor key": settings.cursor_key.get_secret_value(),
        "the database's address": str(settings.database_url),
    }


@cache
def template(admin: str) -> str:
    """Make a database as `catalog migrate` leaves it, once for this worker, and return its name."""
    name = f"t{uuid4().hex[:12]}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = urlunsplit(urlsplit(admin)._replace(path=f"/{name}"))
    upgrade(url)
    with ThreadPoolExecutor(1) as apart:
        # Worlds are made inside and outside of running loops.
        apart.submit(asyncio.run, load_shipped(url)).result()
    return name


async def load_shipped(url: str) -> None:
    """Load the vocabularies that come with the catalog."""
    database = Database(url, connections=1)
    async with database.transaction() as session:
        await schemes.load_shipped(session)
    await database.close()


def _environment_of(settings: Settings) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CATALOG_")}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, tuple):
            value = ",".join(map(str, value))
        if value is None or value == "":
            continue
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if hasattr(value, "total_seconds"):
            value = value.total_seconds()
        environment[f"CATALOG_{name.upper()}"] = str(value)
    return environment


@pytest.fixture(scope="session")
def world(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> World:
    """This worker's own catalog."""
    return make_world(engines_ready, tmp_path_factory.mktemp("world"))


@pytest.fixture
def fresh_world(engines_ready: dict[str, Any], tmp_path: Path) -> World:
    """A catalog of this test's own, with nothing in it and nothing running on it."""
    return make_world(engines_ready, tmp_path)


@dataclass
class Live:
    """A running catalog: API and indexer as processes, with a token for every role."""

    world: World
    url: str
    tokens: dict[str, str] = field(repr=False)
    processes: dict[str, Forked] = field(default_factory=dict, repr=False)

    @property
    def settings(self) -> Settings:
        """What the processes run with."""
        return self.world.settings

    def start(self, name: str) -> Forked:
        """Start `api` or `indexer`; its log lies in the world's folder."""
        command = {
            "api": ["catalog", "serve", "--port", self.url.rsplit(":", 1)[1]],
            "indexer": ["catalog-indexer", "run"],
        }[name.partition("-")[0]]
        log = self.world.folder / f"{name}.log"
        self.processes[name] = forked.start(command, self.world.environment, log)
        return self.processes[name]

    def stop(self) -> None:
        """Stop every process, the hard way after ten seconds."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self, name: str) -> str:
        """Return what a process has written."""
        return (self.world.folder / f"{name}.log").read_text()


async def make_tokens(world: World) -> dict[str, str]:
    """Return a token of each role by the role's name, and one of a second ingest service."""
    database = Database(str(world.settings.database_url), connections=1)
    async with database.transaction() as session:
        tokens = {role.value: (await principals.create_token(session, name=role.value, role=role))[1] for role in Role}
        tokens["other"] = (await principals.create_token(session, name="other", role=Role.INGEST))[1]
    await database.close()
    return tokens


async def prepare(world: World, ready: dict[str, Any]) -> None:
    """Make the index and the bucket, and let the bucket notify."""
    async with opened(world.settings) as engines:
        await engines.index.ensure()
        await engines.store.ensure_bucket()
        if str(world.settings.store_url).rstrip("/") == ready["minio_url"]:
            await engines.store.set_notification(ready["minio_arn"])


@contextmanager
def running(world: World, tokens: dict[str, str], *names: str) -> Generator[Live]:
    """Run processes of the catalog for the length of the block, notified by the store."""
    url = str(world.settings.public_url).rstrip("/")
    live = Live(world, url, tokens)
    try:
        for name in names:
            live.start(name)
        if "api" in names:
            _await_answer(live)
        yield live
    finally:
        live.stop()


def _await_answer(live: Live) -> None:
    # Importing everything takes seconds of work, which a busy machine spreads over many more.
    ends = time.monotonic() + START_SECONDS_MAX
    with httpx2.Client(trust_env=False) as client:
        while time.monotonic() < ends:
            try:
                if client.get(f"{live.url}/livez").status_code == 200:
                    return
            except httpx2.HTTPError:
                if live.processes["api"].poll() is not None:
                    break
                time.sleep(0.02)
    raise AssertionError(f"the API did not start:\n{live.log('api')[-4000:]}")


@pytest.fixture(scope="session")
async def live(world: World, engines_ready: dict[str, Any], pytestconfig: pytest.Config) -> AsyncGenerator[Live]:
    """This worker's running catalog; tests share it, each in a project of its own."""
    await prepare(world, engines_ready)
    tokens = await make_tokens(world)
    with notified(pytestconfig, world), running(world, tokens, "api", "indexer") as live:
        yield live
    # Whatever the tests did: what the catalog has counted for quotas is what is there.
    async with opened(world.settings) as opened_engines:
        assert await truth.noted(opened_engines) == await truth.held(opened_engines)
        assert await truth.counted_in_stores(opened_engines) == await truth.lying_in_stores(opened_engines)
        # Those whom all tests share are in the end what they were: whoever needs a role gives it to a principal of
        # its own, or takes it back.
        assert await truth.belonging(opened_engines, *sorted(set(tokens) - {"admin"})) == []


@contextmanager
def notified(config: pytest.Config, world: World) -> Generator[None]:
    """Let the stores' notifications about the world's bucket reach its API."""
    registered = Path(config.stash[FOLDER]) / f"{world.settings.store_bucket}.api"
    registered.write_text(str(world.settings.public_url).rstrip("/"))
    try:
        yield
    finally:
        registered.unlink()


@pytest.fixture(scope="session")
async def engines(world: World, engines_ready: dict[str, Any]) -> AsyncGenerator[Engines]:
    """Clients of this worker's own database, index and bucket."""
    await prepare(world, engines_ready)
    async with opened(world.settings) as opened_engines:
        yield opened_engines


@dataclass
class Clients:
    """HTTP clients of one running catalog, by the name of the token they carry; `anonymous` carries none."""

    live: Live
    _open: dict[str, httpx2.AsyncClient] = field(default_factory=dict)

    def __getattr__(self, name: str) -> httpx2.AsyncClient:
        if name not in self._open:
            headers = {} if name == "anonymous" else {"Authorization": f"Bearer {self.live.tokens[name]}"}
            self._open[name] = httpx2.AsyncClient(
                base_url=self.live.url,
                headers=headers,
                timeout=30,
                trust_env=False,
                event_hooks={"response": [self._keep_problems]},
            )
        return self._open[name]

    async def _keep_problems(self, answer: httpx2.Response) -> None:
        """Write refusals down: at the end of the run they are looked through with the logs."""
        if answer.headers.get("content-type") == "application/problem+json":
            with (self.live.world.folder / "problems.log").open("ab") as log:
                log.write(await answer.aread() + b"\n")

    async def close(self) -> None:
        for client in self._open.values():
            await client.aclose()


@pytest.fixture(scope="session")
async def clients(live: Live) -> AsyncGenerator[Clients]:
    """A client for each role, `clients.ingest` and so on; `clients.other` is a second ingest service."""
    opened_clients = Clients(live)
    yield opened_clients
    await opened_clients.close()


async def in_time(act: Callable[[datetime], Awaitable[Found]], *, seconds: float = 2) -> tuple[datetime, Found]:
    """Do what has to be done before a moment that the test waits for; returns the moment and what `act` returned.

    A busy machine is not done in time: it does all of it again, for a later moment.
    """
    for _ in range(5):
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        try:
            done = await act(moment)
        except AssertionError:
            if datetime.now(UTC) < moment:
                raise
        else:
            if datetime.now(UTC) < moment:
                return moment, done
        seconds *= 2
    raise AssertionError(f"it was not done within {seconds / 2} seconds: {act}")


async def eventually(
    look: Callable[[], Awaitable[Found]], *, seconds: float = SECONDS_MAX, pause_max: float = LOOK_SECONDS_MAX
) -> Found:
    """Return the first true thing that `look` returns; raises when the time is over.

    What is there for a moment only needs a `pause_max` that is shorter.
    """
    ends = time.monotonic() + seconds
    pause = LOOK_SECONDS_MIN
    while time.monotonic() < ends:
        if found := await look():
            return found
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, pause_max)
    raise AssertionError(f"it did not happen within {seconds} seconds: {look}")

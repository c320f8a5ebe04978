"""The stack as one thing: engines that start together, share a folder and stop together."""

# ruff: noqa: PLC0415 - `catalog status` and `down` must come at once: what only a start needs is imported when it runs.

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

import psutil

from catalog.errors import CatalogError, Unavailable
from catalog.local import ports
from catalog.local.application import Api, Indexer, migrate
from catalog.local.home import Home, Part, ProcessId, Secrets, State
from catalog.local.minio import Minio
from catalog.local.opensearch import HEAP_MB, OpenSearch
from catalog.local.opensearch import PORTS as SEARCH_PORTS
from catalog.local.ports import LOOPBACK
from catalog.local.postgres import Postgres
from catalog.local.process import Process, Say, Service, StartFailed
from catalog.local.search_cluster import SearchNode
from catalog.local.seaweedfs import PORTS as SEAWEEDFS_PORTS
from catalog.local.seaweedfs import SeaweedFS
from catalog.settings import Given, Workstation, inherited_settings

if TYPE_CHECKING:
    from catalog.storage.own import OwnStore

StoreKind = Literal["seaweedfs", "minio"]

# Of a node's two ports, where the others meet it.
TRANSPORT = ".transport"
REGION = "us-east-1"
BUCKET = "catalog"
START_ATTEMPTS_MAX = 3
SURVIVOR_SECONDS_MAX = 5
ANSWER_SECONDS_MAX = 2
TARGET_SECONDS_MAX = 15


class TooFewNodes(CatalogError):
    """The index of this folder lies on more nodes."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How one part is now. Without a `pid` it does not run, or the environment gave it (then `log` is None)."""

    name: str
    ready: bool
    address: str
    log: str | None = None
    pid: int | None = None
    uptime_seconds: int | None = None
    memory_bytes: int | None = None


def say_on_stderr(text: str) -> None:
    """Tell the person who started the stack."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Stack:
    """Postgres, OpenSearch and an S3 server in one data folder; with `with_catalog` also the API and the indexer.

    An engine whose URL the environment gives is not started. `api_port` is where the catalog listens, or will, and
    where the store sends its notifications; 0 takes the port of the last time, or a free one. With `search_nodes`
    OpenSearch is a cluster of so many processes; None: as many as the last time, at first one.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        store: StoreKind | None = None,
        api_port: int = 0,
        heap_mb: int = HEAP_MB,
        search_nodes: int | None = None,
        with_catalog: bool = False,
        say: Say = say_on_stderr,
    ) -> None:
        machine = Workstation()
        self.home = Home(home or machine.catalog_home)
        self.home.create()
        self._cache = machine.cache
        self._given = Given.from_environment()
        self._wanted_store = store
        self._wanted_api_port = api_port
        self._heap_mb = heap_mb
        self._wanted_nodes = search_nodes
        self._search_names: Sequence[str] = ("opensearch",)
        self._with_catalog = with_catalog
        self._say = say
        self._state = State()
        self._ports: dict[str, int] = {}
        self._secrets = Secrets("", "", "", "", "", "")
        self._processes: dict[str, Process] = {}
        self._holding = ExitStack()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def api_address(self) -> str:
        """Where the catalog is, or will be. Known from the start on."""
        return f"http://{LOOPBACK}:{self._ports['api']}"

    @property
    def token_file(self) -> Path:
        """Where an administrator's token lies when the catalog runs too."""
        return self.home.folder / "admin-token"

    @property
    def processes(self) -> dict[str, Process]:
        """What runs, by name."""
        return dict(self._processes)

    async def start(self) -> None:
        """Start everything and return when all is ready; raises HomeInUse, StartFailed, MinioMissing, NoJava and such.

        Whatever goes wrong, an interruption too, nothing is left running.
        """
        self._holding.enter_context(self.home.held())
        try:
            self._recall()
            self._end_survivors()
            self._claim_api()
            if self._search_names[1:]:
                # Each is told where all the others are.
                for name in self._search_names:
                    self._claim(name)
            self._remember()
            await _together([self._start(name) for name in self._engine_names()])
            if self._with_catalog:
                await self._start_catalog()
            self._remember(ready=True)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything, the catalog before its engines, and let go of the folder."""
        ours = [process for name, process in self._processes.items() if name in {"api", "indexer"}]
        engines = [process for process in self._processes.values() if process not in ours]
        for some in (ours, engines):
            await asyncio.gather(*(process.stop() for process in some))
        self._processes.clear()
        if self._state.store:
            # Otherwise the start failed before the last note was read.
            self._state = replace(self._state, ports=dict(self._ports), supervisor=None, parts={}, ready=False)
            self.home.remember(self._state)
        self._holding.close()

    def environment(self) -> dict[str, str]:
        """Return every CATALOG_* variable that the API, the indexer and the command line need; secrets included."""
        inherited = inherited_settings()
        ours = {"CATALOG_PUBLIC_URL": self.api_address}
        if not {"CATALOG_CURSOR_KEY", "CATALOG_CURSOR_KEY_FILE"} & inherited.keys():
            ours["CATALOG_CURSOR_KEY"] = self._secrets.cursor_key
        # A store that the environment gave may have been told another token already.
        told = {"CATALOG_NOTIFICATION_TOKEN", "CATALOG_NOTIFICATION_TOKEN_FILE"} & inherited.keys()
        if not (told and self._given.store_url):
            ours["CATALOG_NOTIFICATION_TOKEN"] = self._secrets.notification_token
        if not {"CATALOG_KEY_FILE", "CATALOG_KEY_VAULT_URL"} & inherited.keys():
            ours["CATALOG_KEY_FILE"] = str(self.home.key_file)
        if "CATALOG_BACKEND_NETWORKS" not in inherited:
            # Whoever runs a stack on their own machine has their other stores there too.
            ours["CATALOG_BACKEND_NETWORKS"] = "127.0.0.0/8,::1/128"
        if not self._given.database_url:
            ours["CATALOG_DATABASE_URL"] = self._postgres().url
        elif "CATALOG_DATABASE_URL" not in inherited:
            # It stood in a file, whose name need not mean the same from the folder that the processes run in.
            ours["CATALOG_DATABASE_URL"] = str(self._given.database_url)
        if not self._given.search_url:
            addresses = [self._service(name).address for name in self._search_names]
            ours["CATALOG_SEARCH_URL"] = addresses[0]
            ours["CATALOG_SEARCH_FURTHER_URLS"] = ",".join(addresses[1:])
        if not self._given.store_url:
            ours |= {
                "CATALOG_STORE_URL": self._store().address,
                "CATALOG_STORE_REGION": REGION,
                "CATALOG_STORE_BUCKET": BUCKET,
                "CATALOG_STORE_ACCESS_KEY": self._secrets.store_access_key,
                "CATALOG_STORE_SECRET_KEY": self._secrets.store_secret_key,
            }
            if not {"CATALOG_STORE_DISK", "CATALOG_STORE_CAPACITY_BYTES"} & inherited.keys():
                # The store, the database and the index share this disk with whatever else is there.
                ours["CATALOG_STORE_DISK"] = str(self.home.folder)
        # A variable and its _FILE must not both be there.
        files = {f"{name}_FILE" for name in ours}
        return {name: value for name, value in inherited.items() if name not in files} | ours

    def _look_up(self) -> None:
        """Know what the supervisor of this folder knows, whichever process it is."""
        if not self._processes:
            self._secrets = self.home.secrets()
            self._state = self.home.state()
            self._ports = dict(self._state.ports)
            self._search_names = _search_names(self._ports)

    def running_environment(self) -> dict[str, str]:
        """Return what the API and the indexer of the stack that runs on this folder were told; secrets included."""
        self._look_up()
        return self.environment()

    async def conditions(self) -> list[Condition]:
        """Look at every part of the stack that runs on this folder, whichever process is its supervisor."""
        self._look_up()
        return list(await asyncio.gather(*(self._condition(name, part) for name, part in self._state.parts.items())))

    async def _condition(self, name: str, part: Part) -> Condition:
        if part.log is None:
            return Condition(name, ready=await _answers(part.address), address=part.address)
        process = part.id and part.id.process()
        if not part.id or not process:
            return Condition(name, ready=False, address=part.address, log=part.log)
        return Condition(
            name,
            ready=await _is_ready(self._service(name)),
            address=part.address,
            log=part.log,
            pid=part.id.pid,
            uptime_seconds=max(0, int(time.time() - part.id.started)),
            memory_bytes=_memory(process),
        )

    def _recall(self) -> None:
        """Take up what the last stack left: secrets, ports, which store holds the files."""
        self._secrets = self.home.secrets()
        if not self.home.key_file.exists():
            from catalog.storage import wrapping

            wrapping.add_key(self.home.key_file)
        self._state = self.home.state()
        self._ports = dict(self._state.ports)
        self._search_names = self._nodes_wanted()
        last = self._state.store
        wanted = self._wanted_store or ("minio" if last == "minio" else "seaweedfs")
        if last and wanted != last and not self._given.store_url:
            self._say(f"files uploaded so far lie in {last} and cannot be downloaded while {wanted} runs here")
        self._state = replace(self._state, store=wanted, ready=False)

    def _nodes_wanted(self) -> Sequence[str]:
        """Return the nodes' names; raises TooFewNodes for fewer than have parts of the index."""
        if self._given.search_url:
            return ("opensearch",)
        before = _search_names(self._ports)
        wanted = self._wanted_nodes or len(before)
        if wanted < len(before):
            raise TooFewNodes(
                f"The index in {self.home.folder} lies on {len(before)} nodes, which a smaller cluster would not find:"
                f" start {len(before)}, or begin in another folder."
            )
        return _named_nodes(wanted)

    def _engine_names(self) -> Sequence[str]:
        given = self._given
        names = {"postgres": given.database_url, self._state.store: given.store_url}
        names |= dict.fromkeys(self._search_names, given.search_url)
        return [name for name, url in names.items() if name and not url]

    def _service(self, name: str) -> Service:
        makers: dict[str, Callable[[], Service]] = {
            "postgres": self._postgres,
            "opensearch": self._opensearch,
            "seaweedfs": self._seaweedfs,
            "minio": self._minio,
            "api": lambda: Api(self.api_address, self.home.folder, self.environment()),
            "indexer": lambda: Indexer(self.home.folder, self.environment()),
        }
        if name in self._search_names[1:] or (name == "opensearch" and self._search_names[1:]):
            return self._search_node(name)
        return makers[name]()

    def _search_node(self, name: str) -> SearchNode:
        others = [one for one in self._search_names if one != name]
        return SearchNode(
            name=name,
            folder=self.home.folder / name,
            port=self._ports[name],
            transports=[self._ports[f"{one}{TRANSPORT}"] for one in (name, *others)],
            cluster=self._opensearch().cluster,
            first=name == self._search_names[0],
            cache=self._cache,
            say=self._say,
            heap_mb=self._heap_mb,
        )

    def _postgres(self) -> Postgres:
        return Postgres(self.home.folder / "postgres", self._ports["postgres"], self._secrets.database_password)

    def _opensearch(self) -> OpenSearch:
        return OpenSearch(
            self.home.folder / "opensearch", self._ports["opensearch"], self._cache, self._say, self._heap_mb
        )

    def _store(self) -> SeaweedFS | Minio:
        return self._minio() if self._state.store == "minio" else self._seaweedfs()

    def _seaweedfs(self) -> SeaweedFS:
        return SeaweedFS(
            folder=self.home.folder / "seaweedfs",
            ports={name: self._ports[f"seaweedfs.{name}"] for name in SEAWEEDFS_PORTS},
            access_key=self._secrets.store_access_key,
            secret_key=self._secrets.store_secret_key,
            notify=f"{self.api_address}/api/notifications/seaweedfs",
            notification_token=self._secrets.notification_token,
        )

    def _minio(self) -> Minio:
        return Minio(
            folder=self.home.folder / "minio",
            port=self._ports["minio"],
            region=REGION,
            access_key=self._secrets.store_access_key,
            secret_key=self._secrets.store_secret_key,
            root_password=self._secrets.store_root_password,
            bucket=BUCKET,
            notify=f"{self.api_address}/api/notifications/s3",
            notification_token=self._secrets.notification_token,
            cache=self._cache,
            say=self._say,
        )

    async def _start(self, name: str) -> None:
        """Start one part; when another program took its port meanwhile, on another port."""
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            if name != "api":
                # The store has been told where the API will be.
                self._claim(name)
            process = Process(self._service(name), self.home.logs / f"{name}.log", self._say)
            self._processes[name] = process
            try:
                await process.start(self._remember)
            except StartFailed:
                if name == "api" or attempt == START_ATTEMPTS_MAX or not self._lost_a_port(name):
                    raise
            else:
                break
        if name in {"seaweedfs", "minio"}:
            await self._prepare_bucket()
        self._remember()

    async def _prepare_bucket(self) -> None:
        """Make the bucket, with versions; have MinIO notify us of it. SeaweedFS notifies of every bucket."""
        from catalog.storage.own import OwnStore

        server = self._store()
        if isinstance(server, Minio):
            await server.ensure_account()
        store = OwnStore(
            endpoint=server.address,
            public_endpoint=server.address,
            region=REGION,
            bucket=BUCKET,
            prefix="",
            access_key=self._secrets.store_access_key,
            secret_key=self._secrets.store_secret_key,
        )
        try:
            await store.ensure_bucket()
            if isinstance(server, Minio):
                await _notify(store, server.arn)
        finally:
            await store.close()

    async def _start_catalog(self) -> None:
        from catalog.local.token import admin_token

        environment = self.environment()
        log = self.home.logs / "migrate.log"
        # The API takes as long to import what it needs as the schema takes to be made.
        await _together([migrate(self.home.folder, environment, log), self._start("api")])
        await _together([self._start("indexer"), admin_token(self.token_file, environment["CATALOG_DATABASE_URL"])])

    def _claim_api(self) -> None:
        wanted = self._wanted_api_port
        if wanted and not ports.is_free(wanted):
            raise ports.NoPort(f"port {wanted} is taken by another program; give another one, or none")
        if wanted:
            self._ports["api"] = wanted
        self._claim("api")

    def _claim(self, name: str) -> None:
        """Give the part its ports: those of the last time where they are free."""
        for wanted in self._port_names(name):
            remembered = self._ports.get(wanted)
            if remembered and ports.is_free(remembered):
                continue
            chosen = ports.choose(self._ports.values(), SEARCH_PORTS if wanted == "opensearch" else ())
            if remembered:
                self._say(f"port {remembered} of {name} is taken by another program: using {chosen}")
            self._ports[wanted] = chosen

    def _lost_a_port(self, name: str) -> bool:
        return not all(ports.is_free(self._ports[wanted]) for wanted in self._port_names(name))

    def _port_names(self, name: str) -> list[str]:
        if name in self._search_names and self._search_names[1:]:
            return [name, f"{name}{TRANSPORT}"]
        return _port_names(name)

    def _end_survivors(self) -> None:
        """End what a supervisor that died left running, so that nobody else has our data open."""
        for name in end_parts(self._state):
            self._say(f"{name} was still running without its supervisor: ended")

    def _remember(self, *, ready: bool | None = None) -> None:
        parts = {
            name: Part(process.id, process.service.address, str(process.log))
            for name, process in self._processes.items()
        }
        given = self._given
        for name, url in {
            "postgres": given.database_url,
            "opensearch": given.search_url,
            self._state.store or "store": given.store_url,
        }.items():
            if url:
                parts[name] = Part(None, _without_secrets(str(url)), None)
        self._state = State(
            store=self._state.store,
            ports=dict(self._ports),
            supervisor=ProcessId.of(os.getpid()),
            parts=parts,
            ready=self._state.ready if ready is None else ready,
        )
        self.home.remember(self._state)


async def _notify(store: "OwnStore", arn: str) -> None:
    # MinIO calls itself ready a moment before it knows its own targets.
    from catalog.storage.own import NotificationsRefused

    ends = time.monotonic() + TARGET_SECONDS_MAX
    while True:
        try:
            await store.set_notification(arn)
        except NotificationsRefused:
            if time.monotonic() > ends:
                raise
            await asyncio.sleep(0.2)
        else:
            return


async def _together(works: Sequence[Coroutine[None, None, None]]) -> None:
    """Do all at once; when one fails the others are called off, and its own error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failed:
        fault: BaseException = failed
        while isinstance(fault, BaseExceptionGroup):
            fault = fault.exceptions[0]
        raise fault from None


def database_url(folder: Path) -> str:
    """Return the address of the database of the stack that runs on a folder, with its password; raises Unavailable."""
    home = Home(folder)
    part = home.state().parts.get("postgres") if home.folder.is_dir() and home.is_held() else None
    if part is None:
        raise Unavailable(f"Nothing runs in {home.folder}; start it with `catalog up --home '{home.folder}'`.")
    if part.log is None:
        given = Given.from_environment().database_url
        if given is None:
            raise Unavailable(f"{home.folder} runs on a database of yours; say in CATALOG_DATABASE_URL which.")
        return str(given)
    return Postgres(home.folder / "postgres", home.state().ports["postgres"], home.secrets().database_password).url


def end_parts(state: State) -> list[str]:
    """Kill what a note says runs and still does, and return the names; for when the supervisor is dead."""
    found = {name: process for name, part in state.parts.items() if part.id and (process := part.id.process())}
    for process in found.values():
        process.kill()
    for process in found.values():
        process.wait(SURVIVOR_SECONDS_MAX)
    return list(found)


def _memory(process: psutil.Process) -> int | None:
    """Return what a process and its children hold, without what they share."""
    found = []
    with suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                memory = one.memory_info()
                found.append(memory.rss - (0 if one is process else getattr(memory, "shared", 0)))
    return sum(found) if found else None


async def _is_ready(service: Service) -> bool:
    with suppress(StartFailed):
        return await service.is_ready()
    return False


async def _answers(url: str) -> bool:
    """Tell whether somebody listens there."""
    where = urlsplit(url)
    port = where.port or {"https": 443, "http": 80}.get(where.scheme, 5432)
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            _, writer = await asyncio.open_connection(where.hostname, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _port_names(name: str) -> list[str]:
    if name == "indexer":
        return []
    return [f"seaweedfs.{part}" for part in SEAWEEDFS_PORTS] if name == "seaweedfs" else [name]


def _named_nodes(count: int) -> Sequence[str]:
    return tuple("opensearch" if number == 1 else f"opensearch-{number}" for number in range(1, count + 1))


def _search_names(ports: Mapping[str, int]) -> Sequence[str]:
    """Return the names of the nodes that have ports."""
    return _named_nodes(max(1, sum(name.endswith(TRANSPORT) for name in ports)))


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()

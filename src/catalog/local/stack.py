"""The stack as one thing: engines that start together, share a folder and stop together."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from catalog.local import ports
from catalog.local.home import Home, Part, ProcessId, Secrets, State
from catalog.local.opensearch import HEAP_MB, OpenSearch
from catalog.local.opensearch import PORTS as SEARCH_PORTS
from catalog.local.ports import LOOPBACK
from catalog.local.postgres import Postgres
from catalog.local.process import Process, Say, Service, StartFailed
from catalog.local.seaweedfs import PORTS as SEAWEEDFS_PORTS
from catalog.local.seaweedfs import SeaweedFS
from catalog.settings import Given, Workstation, inherited_settings

Kind = Literal["seaweedfs", "minio"]

REGION = "us-east-1"
BUCKET = "catalog"
START_ATTEMPTS_MAX = 3


def say_on_stderr(text: str) -> None:
    """Tell the person who started the stack."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Stack:
    """Postgres, OpenSearch and an S3 server in one data folder.

    An engine whose URL the environment gives is not started. `api_port` is where the catalog will listen, and where
    the store sends its notifications; 0 takes the port of the last time, or a free one.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        store: Kind | None = None,
        api_port: int = 0,
        heap_mb: int = HEAP_MB,
        say: Say = say_on_stderr,
    ) -> None:
        self._machine = Workstation()
        self._given = Given()
        self._say = say
        self._heap_mb = heap_mb
        self.home = Home(home or self._machine.catalog_home)
        self.home.create()
        self._state = self.home.state()
        self._secrets: Secrets = self.home.secrets()
        self.store: Kind = store or ("minio" if self._state.store == "minio" else "seaweedfs")
        self._ports: dict[str, int] = dict(self._state.ports)
        if api_port:
            self._ports["api"] = api_port
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
        """Where the catalog is, or will be."""
        return f"http://{LOOPBACK}:{self._ports['api']}"

    async def start(self) -> None:
        """Start the engines together and return when all are ready; raises HomeInUse, StartFailed."""
        self._holding.enter_context(self.home.held())
        try:
            self._end_survivors()
            self._claim("api")
            makers = self._makers()
            async with asyncio.TaskGroup() as group:
                for name, make in makers.items():
                    group.create_task(self._start(name, make))
            self._remember(ready=True)
        except BaseException as fault:
            await self.stop()
            if isinstance(fault, BaseExceptionGroup):
                failed = fault.subgroup(Exception)
                if failed:
                    raise _first(failed) from None
            raise

    async def stop(self) -> None:
        """Stop everything that runs, engines last, and let go of the folder."""
        processes = list(self._processes.values())
        await asyncio.gather(*(process.stop() for process in processes))
        self._processes.clear()
        self._state = replace(self._state, supervisor=None, parts={}, ready=False)
        self.home.remember(self._state)
        self._holding.close()

    def environment(self) -> dict[str, str]:
        """Return every CATALOG_* variable that the API, the indexer and the command line need."""
        ours = {
            "CATALOG_PUBLIC_URL": self.api_address,
            "CATALOG_NOTIFICATION_TOKEN": self._secrets.notification_token,
            "CATALOG_CURSOR_KEY": self._secrets.cursor_key,
        }
        if not self._given.database_url:
            ours["CATALOG_DATABASE_URL"] = self._postgres().url
        if not self._given.search_url:
            ours["CATALOG_SEARCH_URL"] = self._opensearch().address
        if not self._given.store_url:
            ours |= {
                "CATALOG_STORE_URL": self._seaweedfs().address,
                "CATALOG_STORE_REGION": REGION,
                "CATALOG_STORE_BUCKET": BUCKET,
                "CATALOG_STORE_ACCESS_KEY": self._secrets.store_access_key,
                "CATALOG_STORE_SECRET_KEY": self._secrets.store_secret_key,
            }
        return inherited_settings() | ours

    def _makers(self) -> Mapping[str, Callable[[], Service]]:
        makers: dict[str, Callable[[], Service]] = {}
        if not self._given.database_url:
            makers["postgres"] = self._postgres
        if not self._given.search_url:
            makers["opensearch"] = self._opensearch
        if not self._given.store_url:
            makers["seaweedfs"] = self._seaweedfs
        return makers

    def _postgres(self) -> Postgres:
        return Postgres(self.home.folder / "postgres", self._ports["postgres"], self._secrets.database_password)

    def _opensearch(self) -> OpenSearch:
        return OpenSearch(
            self.home.folder / "opensearch", self._ports["opensearch"], self._machine.cache, self._say, self._heap_mb
        )

    def _seaweedfs(self) -> SeaweedFS:
        return SeaweedFS(
            folder=self.home.folder / "seaweedfs",
            ports={name: self._ports[f"seaweedfs.{name}"] for name in SEAWEEDFS_PORTS},
            access_key=self._secrets.store_access_key,
            secret_key=self._secrets.store_secret_key,
            notify=f"{self.api_address}/api/notifications/seaweedfs",
            notification_token=self._secrets.notification_token,
        )

    async def _start(self, name: str, make: Callable[[], Service]) -> None:
        """Start one part; when another program took its port meanwhile, on another port."""
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            self._claim(name)
            service = make()
            process = Process(service, self.home.logs / f"{name}.log", self._say)
            self._processes[name] = process
            try:
                await process.start(self._remember)
            except StartFailed:
                if attempt == START_ATTEMPTS_MAX or not self._lost_a_port(name):
                    raise
            else:
                self._remember()
                return

    def _claim(self, name: str) -> None:
        """Give the part its ports: those of the last time where they are free."""
        for wanted in _port_names(name):
            remembered = self._ports.get(wanted)
            if remembered and ports.is_free(remembered):
                continue
            chosen = ports.choose(self._ports.values(), SEARCH_PORTS if wanted == "opensearch" else ())
            if remembered:
                self._say(f"port {remembered} of {name} is taken by another program: using {chosen}")
            self._ports[wanted] = chosen

    def _lost_a_port(self, name: str) -> bool:
        return not all(ports.is_free(self._ports[wanted]) for wanted in _port_names(name))

    def _end_survivors(self) -> None:
        """End what a supervisor that died left running, so that nobody else has our data open."""
        for part in self._state.parts.values():
            if process := part.id.process():
                process.kill()
                process.wait(5)

    def _remember(self, *, ready: bool | None = None) -> None:
        parts = {
            name: Part(id=found, address=process.service.address, log=str(process.log))
            for name, process in self._processes.items()
            if (found := process.id)
        }
        self._state = State(
            store=self.store,
            ports=dict(self._ports),
            supervisor=ProcessId.of(os.getpid()),
            parts=parts,
            ready=self._state.ready if ready is None else ready,
        )
        self.home.remember(self._state)


def _port_names(name: str) -> list[str]:
    return [f"seaweedfs.{part}" for part in SEAWEEDFS_PORTS] if name == "seaweedfs" else [name]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    fault: BaseException = group
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault

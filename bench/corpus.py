"""A seeded corpus of objects, 1 to 4 kB each, and the questions asked of it.

Models, training data sets and sensor blobs over 50 projects; 60 % are private, spread over ten owners. The words follow
Zipf's law, so that questions meet frequent and rare ones alike.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

SEED = 20_261_121
PROJECTS = 50
OWNERS = 10
PRIVATE_SHARE = 0.6
WORDS = 8_000
LICENCES = ("CC-BY-4.0", "CC0-1.0", "MIT", "Apache-2.0", "BSD-3-Clause", "ODbL-1.0")
MEDIA_TYPES = ("text/csv", "application/x-netcdf", "application/x-hdf5", "image/tiff", "application/octet-stream")
SYLLABLES = (
    "ba",
    "co",
    "du",
    "fe",
    "ga",
    "hi",
    "ka",
    "lo",
    "mu",
    "ne",
    "pa",
    "ri",
    "so",
    "ta",
    "ve",
    "xo",
    "za",
    "tri",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One object as a registration's body, with whose it is."""

    id: UUID
    owner: int
    body: dict[str, Any]


TASKS = ("image-segmentation", "object-detection", "regression", "forecasting", "speech-recognition")
PYTORCH = "urn:x-catalog:software:pytorch"


class Corpus:
    """The same objects and questions for the same seed and size."""

    def __init__(self, size: int, seed: int = SEED) -> None:
        self.size = size
        self._random = random.Random(seed)
        self.words = self._vocabulary()
        self._weights = [1 / (rank + 10) for rank in range(WORDS)]
        self.people = [f"{self._name()}, {self._name()}" for _ in range(400)]

    def _vocabulary(self) -> list[str]:
        words: dict[str, None] = {}
        while len(words) < WORDS:
            words["".join(self._random.choices(SYLLABLES, k=self._random.randint(2, 4)))] = None
        return list(words)

    def _name(self) -> str:
        return "".join(self._random.choices(SYLLABLES, k=3)).capitalize()

    def _text(self, count: int) -> str:
        return " ".join(self._random.choices(self.words, self._weights, k=count))

    def samples(self) -> Iterator[Sample]:
        """Yield every object, in the order of their ids."""
        for number in range(self.size):
            yield Sample(uuid7(), self._random.randrange(OWNERS), self._body(number))

    def _body(self, number: int) -> dict[str, Any]:
        chosen = self._random
        kind = chosen.choice(("model", "training-dataset", "sensor-blob"))
        year = chosen.randint(2005, 2026)
        return {
            "kind": kind,
            "project": f"org-{chosen.randrange(5)}/project-{chosen.randrange(PROJECTS)}",
            "title": self._text(chosen.randint(4, 9)),
            "description": self._text(chosen.randint(60, 350)),
            "creators": [{"name": chosen.choice(self.people)} for _ in range(chosen.randint(1, 4))],
            "contact": {"name": "Desk", "email": "desk@example.org"},
            "keywords": self._text(chosen.randint(2, 6)).split(),
            "licence": chosen.choice(LICENCES),
            "visibility": "private" if chosen.random() < PRIVATE_SHARE else "public",
            "dates": [{"type": "Issued", "date": f"{year}-{chosen.randint(1, 12):02}-{chosen.randint(1, 28):02}"}],
            "metadata": self._metadata(kind, number),
            "files": [
                {
                    "path": f"data/{self._text(1)}-{number}-{part}.bin",
                    "size": chosen.randint(1_000, 10**9),
                    "sha256": f"{chosen.getrandbits(256):064x}",
                    "media_type": chosen.choice(MEDIA_TYPES),
                }
                for part in range(chosen.randint(1, 3))
            ],
        }

    def _metadata(self, kind: str, number: int) -> dict[str, Any]:
        chosen = self._random
        match kind:
            case "model":
                task = f"urn:x-catalog:ml-tasks:{chosen.choice(TASKS)}"
                return {"task": task, "framework": PYTORCH, "runtime": [{"name": PYTORCH, "version": ">=2"}]}
            case "training-dataset":
                return {"labelled": number % 2 == 0, "classes": self._text(5).split(), "instances": number * 7}
            case _:
                return {"sensor": {"id": f"S-{number % 300}"}, "measured": [{"name": self._text(1), "unit": "K"}]}

    def questions(self, count: int) -> list[str]:
        """Return distinct questions of one or two words, frequent and rare ones."""
        asked: dict[str, None] = {}
        chosen = random.Random(SEED + 1)
        while len(asked) < count:
            asked[" ".join(chosen.choices(self.words[:2000], self._weights[:2000], k=chosen.choice((1, 1, 2))))] = None
        return list(asked)

"""Judged questions and what an answer to them is worth. Pure."""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

QUESTIONS = Path(__file__).with_name("questions.toml")
# As far as people look, and as far as they page.
LOOKED_AT = 10
PAGED = 50
# 3: the object that was meant, or as good. 2: answers the question. 1: has to do with it.
GRADES = (1, 2, 3)
# What is pasted to find one object: another before it is a fault, whatever the average says.
IDENTIFIER = "identifier"
# Said otherwise than it stands there: what only a search by meaning can find.
PARAPHRASE = "paraphrase"


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody types, and how well objects answer it; those not named do not."""

    of: str
    text: str
    expected: Mapping[str, int]
    # Written after the ranking was last changed, so that nothing can have been fitted to it.
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A question with what was found, best first, by the names of the corpus."""

    question: Question
    found: Sequence[str]

    @property
    def ndcg(self) -> float:
        """How near the first ten are to the best order, 0 to 1 (Järvelin and Kekäläinen 2002; gain 2^grade - 1)."""
        gains = [self.question.expected.get(name, 0) for name in self.found[:LOOKED_AT]]
        return _gained(gains) / _gained(sorted(self.question.expected.values(), reverse=True)[:LOOKED_AT])

    @property
    def recall(self) -> float:
        """Which share of what answers the question is among the first fifty."""
        return len(self.question.expected.keys() & set(self.found[:PAGED])) / len(self.question.expected)

    @property
    def missed(self) -> bool:
        """Whether the first hit is none of the best that there are."""
        best = max(self.question.expected.values())
        return not self.found or self.question.expected.get(self.found[0]) != best

    @property
    def absent(self) -> list[str]:
        """What answers the question and is not among the first ten, best first."""
        wanted = self.question.expected
        return sorted(wanted.keys() - set(self.found[:LOOKED_AT]), key=lambda name: (-wanted[name], name))


def _gained(grades: Sequence[int]) -> float:
    return math.fsum((2**grade - 1) / math.log2(place + 2) for place, grade in enumerate(grades))


def questions(file: Path = QUESTIONS) -> list[Question]:
    """Return the judged questions; raises ValueError for one that is asked twice or expects nothing."""
    told = tomllib.loads(file.read_text(encoding="utf-8"))
    found = [
        Question(of, one["text"], one["expected"], one.get("held_out", False))
        for of, some in told.items()
        for one in some
    ]
    for one in found:
        if not one.expected or not set(one.expected.values()) <= set(GRADES):
            raise ValueError(f"{one.text!r} needs expected objects with grades of {GRADES}")
    if len({one.text for one in found}) < len(found):
        raise ValueError("a question is asked twice")
    return found


@dataclass(frozen=True, slots=True)
class Figures:
    """Averages over some questions."""

    questions: int
    ndcg_10: float
    recall_50: float
    missed: int

    @classmethod
    def of(cls, judged: Sequence[Judged]) -> "Figures":
        """Return the averages."""
        count = len(judged)
        return cls(
            count,
            round(math.fsum(one.ndcg for one in judged) / count, 3),
            round(math.fsum(one.recall for one in judged) / count, 3),
            sum(one.missed for one in judged),
        )


def figures_in(results: Path, how: str = "figures") -> dict[str, Figures]:
    """Return the figures of a run by class, as it wrote them: by words, or `hybrid`."""
    told = json.loads(results.read_text(encoding="utf-8"))
    return {name: Figures(**one) for name, one in told[how].items()}

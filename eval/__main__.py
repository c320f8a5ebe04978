"""`python -m eval`: fill a catalog, ask the judged questions, print the figures and the misses, write results.json."""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2

from eval import judging, stand
from eval.judging import IDENTIFIER, PARAPHRASE, Figures, Judged, Question
from eval.stand import Stand, standing

RESULTS = Path(__file__).with_name("results.json")
CORPORA = Path(__file__).parents[2] / "shared" / "corpora"
# What is aimed at: the average over all questions, and no identifier question missed.
NDCG_LEAST = 0.85
SHOWN_MAX = 6


@dataclass(frozen=True, slots=True)
class Results:
    """How many objects were searched, whether what is aimed at was reached by words, and the figures by class.

    `hybrid` are those of a search that looks for what means the same too.
    """

    objects: int
    reached: bool
    figures: Mapping[str, Figures]
    hybrid: Mapping[str, Figures]


def main() -> int:
    """Evaluate, and return 1 where what is aimed at was not reached."""
    parser = argparse.ArgumentParser(prog="eval", description=__doc__)
    parser.add_argument(
        "--corpora", type=Path, default=CORPORA, help="folder with croissant, datacite-json, datacite-xml"
    )
    parser.add_argument("--home", type=Path, help="keep the catalog there; a folder that ends with the run otherwise")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write the figures")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="catalog-eval-") as folder:
        judged, meant, objects = asyncio.run(run(asked.home or Path(folder), asked.corpora))
    results = results_of(judged, meant, objects)
    print("-- by words")
    print_misses(judged)
    print("-- hybrid")
    print_misses(meant)
    print("-- by words")
    print_table(results.figures)
    print("-- hybrid")
    print_table(results.hybrid)
    asked.results.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    print(f"written to {asked.results}")
    return 0 if results.reached else 1


async def run(home: Path, corpora: Path) -> tuple[list[Judged], list[Judged], int]:
    """Return what the questions found by words and hybrid in a catalog with the whole corpus, and how large that is."""
    async with standing(home, corpora, lambda text: print(text, flush=True)) as filled:
        judged, meant = await ask_all(filled, hybrid="false"), await ask_all(filled, hybrid="true")
        return judged, meant, len(filled.filled.ids)


async def ask_all(filled: Stand, **how: str) -> list[Judged]:
    """Ask everything as anybody may."""
    asked = [one for one in judging.questions() if one.expected.keys() <= filled.filled.ids.keys()]
    return [await ask(filled.anybody, one, filled.filled.ids, **how) for one in asked]


async def ask(client: httpx2.AsyncClient, question: Question, ids: Mapping[str, str], **narrowed: str) -> Judged:
    """Ask one question; the ids of hits come back as the names of the corpus."""
    names = {known: name for name, known in ids.items()}
    text = question.text.strip("{}")
    found = await stand.hits(client, ids[text] if text != question.text else text, **narrowed)
    return Judged(question, [names.get(one, one) for one in found])


def results_of(judged: Sequence[Judged], meant: Sequence[Judged], objects: int) -> Results:
    """Return the figures of both ways to ask."""
    figures = figures_of(judged)
    reached = figures["all"].ndcg_10 >= NDCG_LEAST and not figures[IDENTIFIER].missed
    return Results(objects, reached, figures, figures_of(meant))


def figures_of(judged: Sequence[Judged]) -> dict[str, Figures]:
    """Return the figures of each class, of all questions, and of those that nothing can have been fitted to.

    Paraphrases are no part of all: no search by words is meant to find them.
    """
    classes = dict.fromkeys(one.question.of for one in judged if one.question.of != PARAPHRASE)
    some = {of: [one for one in judged if one.question.of == of] for of in classes}
    some["all"] = [one for one in judged if one.question.of != PARAPHRASE]
    some["held out"] = [one for one in judged if one.question.held_out]
    some[PARAPHRASE] = [one for one in judged if one.question.of == PARAPHRASE]
    return {name: Figures.of(those) for name, those in some.items() if those}


def print_misses(judged: Sequence[Judged]) -> None:
    """Print each question that is not answered in the best order: what is absent, and what came first instead."""
    for one in sorted(judged, key=lambda one: one.ndcg):
        if one.ndcg < 1:
            print(f"{one.ndcg:.3f} {one.question.of}: {one.question.text}")
            if one.absent:
                print(f"      not in the first ten: {_some(one.absent)}")
            shown = [f"{name} ({one.question.expected.get(name, 0)})" for name in one.found]
            print(f"      came: {_some(shown) or 'nothing'}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else ""
    return ", ".join(names[:SHOWN_MAX]) + more


def print_table(figures: Mapping[str, Figures]) -> None:
    """Print the figures for people; missed are the questions whose first hit is none of the best."""
    print(f"{'class':12} {'questions':>9} {'nDCG@10':>8} {'recall@50':>9} {'missed':>7}")
    for name, one in figures.items():
        print(f"{name:12} {one.questions:9} {one.ndcg_10:8.3f} {one.recall_50:9.3f} {one.missed:7}")


if __name__ == "__main__":
    raise SystemExit(main())

"""What the figures of the evaluation mean, and that its questions can be judged at all."""

import re
from pathlib import Path

import pytest

from eval import judging
from eval.__main__ import RESULTS, results_of
from eval.judging import Figures, Judged, Question
from eval.sources import authors

ROOT = Path(__file__).parents[2]


def judged(*found: str, of: str = "topic") -> Judged:
    return Judged(Question(of, "clouds", {"best": 3, "good": 2, "near": 1}), found)


@pytest.mark.parametrize(
    ("found", "ndcg", "recall", "missed"),
    [
        (("best", "good", "near"), 1.0, 1.0, False),
        # Gains of 3, 7 and 1, the second divided by log2(3) and the third by 2, against 7, 3 and 1.
        (("good", "best", "near"), 0.843, 1.0, True),
        (("other", "best"), 0.47, 0.333, True),
        (("best",), 0.745, 0.333, False),
        ((), 0.0, 0.0, True),
        # Past the tenth place nobody looks, past the fiftieth nobody pages.
        (("best", *map(str, range(9)), "good"), 0.745, 0.667, False),
        ((*map(str, range(50)), "best"), 0.0, 0.0, True),
    ],
)
def test_an_order_is_worth_what_stands_first_in_it(
    found: tuple[str, ...], ndcg: float, recall: float, *, missed: bool
) -> None:
    one = judged(*found)
    assert (round(one.ndcg, 3), round(one.recall, 3), one.missed) == (ndcg, recall, missed)


def test_figures_are_averages_and_an_identifier_that_is_not_first_fails_all() -> None:
    best = ("best", "good", "near")
    some = [judged(*best), judged(*best, of="identifier")]
    assert results_of(some, some, 3).reached
    late = [*some, judged("other", *best, of="identifier")]
    results = results_of(late, late, 3)
    assert not results.reached
    assert results.figures["all"] == Figures(questions=3, ndcg_10=0.892, recall_50=1.0, missed=1)


def test_what_is_absent_is_told_best_first() -> None:
    assert judged("good").absent == ["best", "near"]


def test_there_are_questions_of_every_sort_and_none_twice() -> None:
    asked = judging.questions()
    assert {one.of for one in asked} == {
        *("identifier", "title", "partial", "typo", "number", "concept"),
        *("narrower", "author", "topic", "phrase", "field", "paraphrase"),
    }
    assert len(asked) >= 80


@pytest.mark.parametrize("wrong", ["expected = {}", 'expected = { "demo/penguins" = 4 }'])
def test_a_question_without_a_right_answer_is_refused(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "questions.toml").write_text(f'[[topic]]\ntext = "clouds"\n{wrong}\n')
    with pytest.raises(ValueError, match="'clouds' needs expected objects"):
        judging.questions(tmp_path / "questions.toml")


@pytest.mark.parametrize(
    ("cited", "names"),
    [
        (r'author={R{"u}ckl{\'e}, Andreas and A{"{a}}ron van den Oord},', ["Rücklé, Andreas", "Aäron van den Oord"]),
        (r'author = "Du{\v{s}}ek, Ond{\v{r}}ej  and\n Howcroft, David"', ["Dušek, Ondřej", "Howcroft, David"]),
        ("title = {Nobody}", []),
    ],
)
def test_authors_are_read_as_people_write_them(cited: str, names: list[str]) -> None:
    assert authors(cited.replace(r"\n", "\n")) == names


def test_the_page_on_searching_shows_the_last_results() -> None:
    page = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    numbers = r" \| ([0-9.]+)" * 7
    shown = re.findall(rf"^\| ([a-z ]+){numbers} \|$", page, re.MULTILINE)
    by_words, hybrid = judging.figures_in(RESULTS), judging.figures_in(RESULTS, "hybrid")
    assert shown == [(name, str(one.questions), *_shown(one), *_shown(hybrid[name])) for name, one in by_words.items()]
    assert [(told["all"].ndcg_10 >= 0.85, told["identifier"].missed) for told in (by_words, hybrid)] == [(True, 0)] * 2
    assert hybrid["all"].ndcg_10 >= by_words["all"].ndcg_10


def _shown(one: Figures) -> tuple[str, str, str]:
    return f"{one.ndcg_10:.3f}", f"{one.recall_50:.3f}", str(one.missed)

"""One order of what has the words and what means the same, and which words of a question may be said otherwise."""

from uuid import UUID

import pytest

from catalog.search import hybrid, language
from catalog.search.hybrid import Why
from catalog.search.query import Question

A, B, C, D, E = (UUID(int=number) for number in range(1, 6))
TEXT = {"text"}


def test_what_both_know_comes_first_and_what_has_the_words_before_what_has_not() -> None:
    named = {B: TEXT, C: set(), D: set()}

    order = hybrid.fused([A, B], [C, B, D], named)

    # The second by words and by meaning gets 1/62 and half of that, the first by words alone 1/61.
    assert (order.ids, order.added, order.late) == ([B, A, C, D], 2, [])


def test_where_nothing_has_the_words_meaning_counts_as_much_as_similar_ones() -> None:
    named: dict[UUID, set[str]] = {C: set(), D: set()}

    assert hybrid.fused([A, B], [C, D], named).ids == [A, B, C, D]
    assert hybrid.fused([A, B], [C, D], named, similar=True).ids == [A, C, B, D]


def test_what_the_index_did_not_name_is_out_however_near_it_lies() -> None:
    assert hybrid.fused([A], [E, D], {D: set()}).ids == [A, D]


def test_what_has_the_words_far_down_is_known_so_that_it_does_not_come_twice() -> None:
    order = hybrid.fused([A, B], [C, D], {C: TEXT, D: set()})

    assert (order.added, order.late) == (1, [C])


def test_equal_shares_go_by_words_first() -> None:
    near = [UUID(int=100 + rank) for rank in range(hybrid.CANDIDATES + 1)]
    # The share of the first by meaning is that of a 62nd by words.
    by_words = [UUID(int=1_000 + rank) for rank in range(62)]

    order = hybrid.fused(by_words, near, {one: set() for one in near})

    assert order.ids[61:63] == [by_words[61], near[0]]
    assert (len(order.ids), order.added) == (62 + hybrid.CANDIDATES, hybrid.CANDIDATES)


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("sick leaves", ["sick", "leaves"]),
        ("self-driving cars", ["self-driving", "cars"]),
        ('CIFAR-100 "noisy labels" infect* -dogs pictures', ["pictures"]),
        ("silero_vad.onnx 10.5072/abcd 0000-0002-1825-0097", []),
        ("title:weather year:2020 storms", ["storms"]),
    ],
)
def test_plain_words_may_be_said_otherwise_and_nothing_else(text: str, free: list[str]) -> None:
    typed, faults = language.read(text)

    assert faults == []
    assert [term.text for term in typed.terms if hybrid.is_free(term)] == free


@pytest.mark.parametrize(
    ("question", "why"),
    [
        (Question("sick leaves"), None),
        (Question("sick leaves", sort="relevance"), None),
        (Question("sick leaves", sort="title"), Why.ORDER),
        (Question('"sick leaves"'), Why.WORDS),
        (Question(None), Why.WORDS),
    ],
)
def test_a_question_without_a_meaning_to_ask_is_told_why(question: Question, why: Why | None) -> None:
    assert hybrid.refusal(question) == why


def test_the_meaning_asked_is_the_text_as_it_was_written_where_it_is_nothing_but_words() -> None:
    assert hybrid.meaning(Question("the state of the art")) == "the state of the art"
    assert hybrid.meaning(Question('soil "dry season" -sand year:2020')) == "soil dry season"


def test_every_reason_is_told_in_words() -> None:
    assert set(hybrid.TOLD) == set(Why)

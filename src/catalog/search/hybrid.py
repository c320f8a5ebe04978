"""Hybrid search: what has the words and what means the same, in one order.

Pure. Candidates by meaning come from vectors; every one is asked of the index as well, under the audience and under all
that a question asks beside its plain words, so that both doors hold.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from catalog.access.audience import Audience
from catalog.search import query
from catalog.search.language import Term, Typed
from catalog.search.query import Question

# So many by their words and so many by their meaning make one order. Nobody pages further for what means the same; what
# has the words goes on after them.
CANDIDATES = 50
# Reciprocal rank fusion with the constant of its paper (Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion
# outperforms Condorcet and individual rank learning methods").
RANK_OFFSET = 60
# A rank by meaning counts half: so what has all the words stands before what has none, and is put in order by both.
MEANING_SHARE = 0.5
# Where nothing has the words as they are written, words that are only similar say no more than meaning does.
MEANING_SHARE_WITHOUT_WORDS = 1.0
# A cosine. Below, a text has nothing to do with the question; this trims a long tail and decides no first page.
LIKENESS_LEAST = 0.2
# Where a question narrows to so few, these alone are compared; else so many nearest ones are asked of the index.
WITHIN_MAX = 2_000
NEAREST_TO_NARROW = 1_000
_TEXT = "text"


class Why(StrEnum):
    """Why an answer is not, or not wholly, made of meanings too."""

    OFF = "off"
    NO_MODEL = "no-model"
    NO_EXTENSION = "no-extension"
    ORDER = "order"
    WORDS = "words"
    SLOW = "slow"
    AWAY = "away"
    FILLING = "filling"


TOLD = {
    Why.OFF: "Hybrid search is switched off in this catalog; these have the words.",
    Why.NO_MODEL: "The language model is not installed here: docs/search.md tells whoever runs the catalog how "
    "(requirements/hybrid.txt). These have the words.",
    Why.NO_EXTENSION: "The database of this catalog has no vectors: they come with pgvector and `catalog migrate`. "
    "These have the words.",
    Why.ORDER: "Only an order by relevance knows meanings; these have the words.",
    Why.WORDS: "The question has no plain word that could be said otherwise; these have what it asks.",
    Why.SLOW: "Looking for what means the same took too long; these have the words.",
    Why.AWAY: "Looking for what means the same failed; these have the words.",
    Why.FILLING: "Some objects have not been read for their meaning yet; they are found by their words.",
}


def is_free(term: Term) -> bool:
    """Whether a term may be said otherwise: a plain word; a phrase, a beginning, an identifier may not."""
    return term.how == "word" and not term.excluded and all(part.isalpha() for part in term.text.split("-"))


def refusal(question: Question) -> Why | None:
    """Return why this question is answered by its words alone; None where its meaning may be asked."""
    if not any(map(is_free, question.read.terms)):
        return Why.WORDS
    return None if question.order == "relevance" else Why.ORDER


def meaning(question: Question) -> str:
    """Return the text whose meaning is asked."""
    typed = question.read
    if typed.words or typed.conditions or any(term.excluded or term.how != "word" for term in typed.terms):
        return " ".join(term.text for term in typed.terms if not term.excluded)
    # As it was written, with the little words that searches leave out.
    return question.text or ""


def is_narrowed(question: Question) -> bool:
    """Whether anything but plain words decides what may be found."""
    fixed = any(not is_free(term) for term in question.read.terms)
    beside = question.filters or question.condition or question.runtimes or question.valid_at
    return bool(fixed or question.read.words or question.read.conditions or beside)


def _firm(question: Question) -> Question:
    """Return what must hold of every hit: everything that is asked but the plain words."""
    typed = question.read
    terms = tuple(term for term in typed.terms if not is_free(term))
    firm = Typed(terms, typed.words, typed.conditions)
    return replace(question, typed=firm, facets=(), after=None, similar=False)


def _narrowed(question: Question, audience: Audience, ids: Sequence[UUID] | None = None) -> dict[str, Any]:
    asked: dict[str, Any] = query.body_of(_firm(question), audience)["query"]
    if ids is None:
        return asked
    return {"bool": {"filter": [asked, {"ids": {"values": list(ids)}}]}}


def _with_text(question: Question, audience: Audience) -> dict[str, Any]:
    asked: dict[str, Any] = query.body_of(replace(question, facets=(), after=None), audience)["query"]
    return asked


def ranked(question: Question) -> Question:
    """Return the question for the first candidates by their words."""
    return replace(question, limit=CANDIDATES)


def ranked_body(question: Question, audience: Audience) -> dict[str, Any]:
    """Return the request for the candidates by their words, with total and facets; nothing is marked."""
    body = query.body_of(ranked(question), audience)
    body.pop("highlight", None)
    return body


def counted_body(question: Question, audience: Audience) -> dict[str, Any]:
    """Return the request for total and facets of a question alone: those of its words."""
    body = query.body_of(replace(question, after=None), audience)
    for of_hits in ("highlight", "sort"):
        body.pop(of_hits, None)
    return body | {"size": 0}


def within_body(question: Question, audience: Audience) -> dict[str, Any]:
    """Return the request for all that the question leaves beside its plain words, if it is not too much."""
    asked = _narrowed(question, audience)
    return query.request(asked, sort=["_doc"], size=WITHIN_MAX + 1, track_total_hits=False)


def candidates_body(question: Question, audience: Audience, ids: Sequence[UUID]) -> dict[str, Any]:
    """Return the request for those of the candidates by meaning that may be found, and which have the words too."""
    asked = _narrowed(question, audience, ids)
    asked["bool"]["should"] = [{"bool": {"_name": _TEXT, "must": [_with_text(question, audience)]}}]
    return query.request(asked, size=len(ids), track_total_hits=True)


def page_body(question: Question, audience: Audience, ids: Sequence[UUID]) -> dict[str, Any]:
    """Return the request for the hits of a page, with their words marked: asked anew under all that must hold."""
    marked = query.HIGHLIGHT | {"highlight_query": _with_text(question, audience)}
    asked = _narrowed(question, audience, ids)
    return query.request(asked, size=len(ids), track_total_hits=True, highlight=marked)


def rest_body(question: Question, audience: Audience, shown: Sequence[UUID]) -> dict[str, Any]:
    """Return the request for what has the words and comes after the fused order, without what was in that."""
    body = query.body_of(replace(question, facets=()), audience)
    body["query"]["bool"]["must_not"].append({"ids": {"values": list(shown)}})
    return body


@dataclass(frozen=True, slots=True)
class Fused:
    """One order of both: how many of it have not the words, and which have them and stand further down by these."""

    ids: list[UUID]
    added: int
    late: list[UUID]


def fused(
    by_words: Sequence[UUID], near: Sequence[UUID], named: Mapping[UUID, AbstractSet[str]], *, similar: bool = False
) -> Fused:
    """Return candidates by words and by meaning in one order; those by meaning that the index did not name are out.

    `similar` says that those by words have only similar ones. Equal shares go by words first, then by meaning, so that
    equal candidates make equal orders.
    """
    counts = MEANING_SHARE_WITHOUT_WORDS if similar else MEANING_SHARE
    meant = [one for one in near if one in named][:CANDIDATES]
    score = {one: _share(rank) for rank, one in enumerate(by_words)}
    for rank, one in enumerate(meant):
        score[one] = score.get(one, 0.0) + counts * _share(rank)
    # Sorting keeps equal ones in the order in which they came in.
    ids = sorted(score, key=lambda one: -score[one])
    first = set(by_words)
    beyond = [one for one in meant if one not in first]
    late = [one for one in beyond if _TEXT in named[one]]
    return Fused(ids, len(beyond) - len(late), late)


def _share(rank: int) -> float:
    return 1 / (RANK_OFFSET + rank + 1)

"""What helps a person to ask: what a text may go on to, what is like an object, and why something is found or not.

Pure. Each is a request under the audience, like a question; none reads the engine's dictionary or its statistics, which
know hidden documents too (its suggesters, its `more_like_this` and its `explain` all do).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from catalog.access.audience import Audience
from catalog.search import conditions, language, query
from catalog.search.conditions import BEGINNING_CHARS_MIN, Condition
from catalog.search.query import Question

# So many hits are looked through for names, keywords and identifiers that begin so.
LOOKED_THROUGH = 20
# What two objects share says how alike they are: a concept was chosen from a list, a word of a title was not.
CONCEPT_WEIGHT, KEYWORD_WEIGHT, CREATOR_WEIGHT, SENSOR_WEIGHT, TITLE_WEIGHT = 4, 3, 2, 3, 1
# Beyond, a long list of keywords costs more than it tells.
TRAITS_MAX = 50


def going_on(text: str) -> Question | None:
    """Return the question for what a text may go on to: its last word is a beginning. None where it is too short."""
    words = text.split()
    if not words or sum(character.isalnum() for character in words[-1]) < BEGINNING_CHARS_MIN or text.count('"') % 2:
        return None
    if text[-1].isalnum():
        text += "*"
    typed, faults = language.read(text)
    if faults or not any(not term.excluded for term in typed.terms):
        return None
    return Question(text, typed=typed, limit=LOOKED_THROUGH)


def begun(question: Question, audience: Audience) -> dict[str, Any]:
    """Return the request for what a text may go on to: its ids, neither counted nor marked."""
    body = query.body_of(question, audience)
    body.pop("highlight", None)
    return body | {"track_total_hits": False}


def values(question: Question, audience: Audience) -> dict[str, Any]:
    """Return the request for the facets of a question alone."""
    body = query.body_of(question, audience)
    for of_hits in ("highlight", "post_filter", "sort"):
        body.pop(of_hits, None)
    return body | {"size": 0}


@dataclass(frozen=True, slots=True)
class Traits:
    """What an object may share with others."""

    id: UUID
    title: str
    keywords: Sequence[str] = ()
    creators: Sequence[str] = ()
    # URIs of the concepts that it names.
    concepts: Sequence[str] = ()
    sensors: Sequence[str] = ()


def alike(traits: Traits, audience: Audience, limit: int) -> dict[str, Any]:
    """Return the request for what is most like an object; what shares nothing with it is not."""
    shared = [
        *(_constant("concepts_own", one, CONCEPT_WEIGHT) for one in traits.concepts[:TRAITS_MAX]),
        *(_constant("keywords.exact", one, KEYWORD_WEIGHT) for one in traits.keywords[:TRAITS_MAX]),
        *(_constant("creators.exact", one, CREATOR_WEIGHT) for one in traits.creators[:TRAITS_MAX]),
        *(_constant("sensor", one, SENSOR_WEIGHT) for one in traits.sensors[:TRAITS_MAX]),
        # Little words say nothing of a title.
        *(_constant_word(word) for word in title_words(traits.title)),
    ]
    itself = {"term": {"id": str(traits.id)}}
    asked = query.under(audience, must_not=[itself], should=shared, minimum_should_match=1)
    return query.request(asked, sort=query.SORTS["relevance"], size=limit, track_total_hits=False)


def title_words(title: str) -> list[str]:
    """Return the words of a title that say what it is about, up to a number."""
    return [term.text for term in language.read(_plain(title))[0].terms[:TRAITS_MAX]]


def _plain(title: str) -> str:
    return "".join(character if character.isalnum() else " " for character in title)


def _constant(field: str, value: str, weight: int) -> dict[str, Any]:
    return {"constant_score": {"filter": {"term": {field: value}}, "boost": weight}}


def _constant_word(word: str) -> dict[str, Any]:
    return {"constant_score": {"filter": {"match": {"title": word}}, "boost": TITLE_WEIGHT}}


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a question asks, as it was written where that is known, and the query for it alone."""

    asked: str
    body: dict[str, Any]
    # Whether an object that has it is left out.
    excluded: bool = False


def parts(question: Question, audience: Audience) -> list[Part]:
    """Return everything that a question asks, each for itself."""
    return [*_text_parts(question, audience), *_filter_parts(question, audience)]


def _text_parts(question: Question, audience: Audience) -> Iterator[Part]:
    for term in question.read.terms:
        written = f'"{term.text}"' if term.how == "phrase" else f"{term.text}*" if term.how == "prefix" else term.text
        clause = query.term_clause(term, similar=question.similar, narrower=question.narrower)
        yield Part(written, clause, term.excluded)
    for words in question.read.words:
        yield Part(f"{words.field.name}: {words.text}", conditions.of_words(words))
    for condition in question.read.conditions:
        yield _part(condition, audience)


def _filter_parts(question: Question, audience: Audience) -> Iterator[Part]:
    for name, clause in query.choices(question, audience).items():
        chosen = question.filters.get(name) or [one.name for one in question.runtimes]
        yield Part(f"{name}: {' or '.join(map(str, chosen))}", clause)
    for asked, clause in query.narrowing(question, audience):
        yield Part(asked, clause)


def _part(condition: Condition, audience: Audience) -> Part:
    if isinstance(condition, conditions.No):
        return replace(_part(condition.part, audience), excluded=True)
    return Part(", ".join(conditions.names(condition)), conditions.clause(condition, audience))


def explanation(asked: Sequence[Part], object_id: UUID, audience: Audience) -> dict[str, Any]:
    """Return the request that tells which parts hold of one object that the audience may see."""
    named = [{"constant_score": {"filter": part.body, "_name": str(place)}} for place, part in enumerate(asked)]
    itself = {"term": {"id": str(object_id)}}
    # By the parts themselves: the words stand in filters here.
    marked = query.HIGHLIGHT | {"highlight_query": {"bool": {"should": [part.body for part in asked]}}}
    return query.request(query.under(audience, filters=[itself], should=named), size=1, highlight=marked)

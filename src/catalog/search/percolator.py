"""Questions that are kept in the engine, to be told which of them a document answers: an index beside the objects'.

Its mapping is that of the objects, so that fields mean the same, and one field more, which holds a query. A query has
no audience: who may be told is for whoever tells them, and is asked of the database then.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from catalog.access.audience import Audience
from catalog.errors import Fault, Invalid
from catalog.search import answers, conditions, query
from catalog.search.conditions import Clause, Condition
from catalog.search.document import ANALYSIS, MAPPING, SETTINGS, SIMILARITY, Document
from catalog.search.fields import HAS_LABELS
from catalog.search.index import Index, MappingChanged, Outcome, Shape
from catalog.search.query import Question

# A request holds so many documents and bytes at most: the engine keeps them in memory while it goes through queries.
DOCUMENTS_AT_ONCE = 200
BYTES_AT_ONCE = 4 * 1024 * 1024
# Every document that is written is compared with it: some twenty words are enough to know one's own by.
CLAUSES_MAX = 300
# The engine answers at most 10,000 hits at a time.
QUERIES_AT_ONCE = 5_000
# What was removed for good is not written again: ids are never used twice, and no revision is as large.
LAST_REVISION = 2**62

_EVERYTHING = Audience(frozenset(), everything=True)
_QUERY = "query"
_BODY: dict[str, Any] = {
    **MAPPING,
    "properties": {**MAPPING["properties"], _QUERY: {"type": "percolator"}},
}
_VERSION = hashlib.sha256(
    msgspec.json.encode([_BODY, ANALYSIS, SIMILARITY, SETTINGS], order="deterministic")
).hexdigest()[:10]
_encode = msgspec.json.Encoder().encode


def percolator_body(*, refresh_interval: str) -> dict[str, Any]:
    """Return the body that creates a concrete index of queries."""
    told = {**SETTINGS, "refresh_interval": refresh_interval, "analysis": ANALYSIS, "similarity": SIMILARITY}
    return {"settings": {"index": told}, "mappings": {"_meta": {"version": _VERSION}, **_BODY}}


def clause_of(question: Question) -> Clause:
    """Return what a document has to fulfil to answer a question, whoever asks.

    Raises Invalid for a question whose answer depends on who asks, for one that asks nothing, and for too much at once.
    """
    leaves = [leaf for one in _conditions(question) for leaf in conditions.leaves(one)]
    if HAS_LABELS in question.filters or any(leaf.field.name == HAS_LABELS for leaf in leaves):
        fault = Fault(
            "/query", "has_labels cannot be watched: which labels there are depends on who asks.", "Leave it out."
        )
        raise Invalid("The question cannot be saved.", faults=[fault])
    terms, narrower = question.read.terms, question.narrower
    wanted = [
        *query.choices(question, _EVERYTHING).values(),
        *(clause for _, clause in query.narrowing(question, _EVERYTHING)),
        *(conditions.clause(one, _EVERYTHING) for one in question.read.conditions),
        *(query.term_clause(term, narrower=narrower) for term in terms if not term.excluded),
        *map(conditions.of_words, question.read.words),
    ]
    absent = [query.term_clause(term, narrower=narrower) for term in terms if term.excluded]
    if not wanted and not absent:
        fault = Fault("/query", "This question asks nothing.", "Say what is to be found: words, a field, a filter.")
        raise Invalid("The question cannot be saved.", faults=[fault])
    # Without scores: nothing is ranked here.
    asked = {"bool": {"filter": wanted, "must_not": absent}}
    if (count := query.clauses(asked)) > CLAUSES_MAX:
        message = f"The question asks for {count:,} things at once, each word in each field: at most {CLAUSES_MAX:,}."
        fault = Fault("/query", message, "Use fewer words or conditions.")
        raise Invalid("The question cannot be saved.", faults=[fault])
    return asked


def _conditions(question: Question) -> Iterator[Condition]:
    yield from question.read.conditions
    if question.condition is not None:
        yield question.condition


class Percolator(Index):
    """The queries behind one alias."""

    def __init__(self, url: str | Sequence[str], alias: str, refresh: timedelta = timedelta(seconds=1)) -> None:
        super().__init__(url, alias, refresh, Shape(_VERSION, percolator_body))

    async def ensure(self) -> bool:
        """Create the index of queries where there is none for this mapping; return whether this call did.

        One that was made for another mapping is thrown away: nobody searches it, and it is soon filled again.
        """
        try:
            return await super().ensure()
        except MappingChanged:
            await self.drop()
            return await super().ensure()

    async def remove(self, search_id: UUID) -> Outcome:
        """Remove a query for good."""
        return await self.purge(search_id, LAST_REVISION)

    async def fitting(self, documents: Sequence[Document]) -> list[tuple[UUID, int]]:
        """Return which queries fit which documents, by their places; raises Unavailable when the engine is away."""
        found: list[tuple[UUID, int]] = []
        for first, batch in _batches(documents):
            after: tuple[str, ...] = ()
            while True:
                answer = await self._search(_asking(batch, after))
                page, last = answers.percolated_from(answer)
                found += [(search_id, first + slot) for search_id, slots in page for slot in slots]
                if len(page) < QUERIES_AT_ONCE:
                    break
                after = last
        return found


def query_document(search_id: UUID, clause: Clause) -> Document:
    """Return the document that keeps a query."""
    return {"id": search_id, _QUERY: clause}


def _asking(documents: Sequence[msgspec.Raw], after: tuple[str, ...]) -> dict[str, Any]:
    asked = {"percolate": {"field": _QUERY, "documents": documents}}
    body = query.request({"bool": {"filter": [asked]}}, sort=[{"id": "asc"}], size=QUERIES_AT_ONCE)
    body["track_total_hits"] = False
    return body if not after else body | {"search_after": list(after)}


def _batches(documents: Sequence[Document]) -> Iterator[tuple[int, list[msgspec.Raw]]]:
    batch: list[msgspec.Raw] = []
    size = first = 0
    for place, document in enumerate(documents):
        told = msgspec.Raw(_encode(document))
        if batch and (len(batch) == DOCUMENTS_AT_ONCE or size + len(told) > BYTES_AT_ONCE):
            yield first, batch
            batch, size, first = [], 0, place
        batch.append(told)
        size += len(told)
    if batch:
        yield first, batch

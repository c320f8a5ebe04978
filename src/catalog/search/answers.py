"""What the engine answers, read: hits in their order, totals, facets, and where the next page begins.

Pure. Decodes exactly what is used, and takes an answer about a part of the index for none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import msgspec

from catalog.errors import Unavailable
from catalog.search.fields import YES_OR_NO

Value = str | int
Place = Sequence[int | float | str]


@dataclass(frozen=True, slots=True)
class Hit:
    """An object that answers the question, and where its words are: escaped HTML with <mark> and nothing else."""

    id: UUID
    highlights: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Facet:
    """The most frequent values with their counts, what all others add up to, and how many hits have no value."""

    buckets: list[tuple[Value, int]]
    rest: int
    missing: int
    # Of a level of concepts: how many hits stand under each concept on the way there.
    above: dict[Value, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What answers a question. `last` is where the next page begins; None where there is none.

    `last` holds a score when sorted by relevance: seal it so that nobody reads it before it leaves the process.
    """

    total: int
    hits: list[Hit]
    facets: dict[str, Facet]
    last: Place | None


class _Total(msgspec.Struct, frozen=True):
    value: int


class _EngineHit(msgspec.Struct):
    id: UUID = msgspec.field(name="_id")
    sort: tuple[int | float | str, ...] = ()
    highlight: dict[str, list[str]] = {}
    matched_queries: list[str] = []


class _Hits(msgspec.Struct):
    total: _Total
    hits: list[_EngineHit]


class _Missing(msgspec.Struct, frozen=True):
    doc_count: int


class _Bucket(msgspec.Struct):
    key: int | str
    doc_count: int
    # Of months.
    key_as_string: str | None = None
    # Of what is nested: how many objects these are.
    objects: _Missing | None = None

    def counted(self) -> tuple[Value, int]:
        """Return the value and how many objects have it."""
        count = self.doc_count if self.objects is None else self.objects.doc_count
        return self.key if self.key_as_string is None else self.key_as_string, count


class _Values(msgspec.Struct, frozen=True):
    buckets: list[_Bucket]
    sum_other_doc_count: int = 0


class _Nested(msgspec.Struct, frozen=True):
    values: _Values = _Values([])


class _Count(msgspec.Struct):
    # Of HAS_LABELS there are `yes` and `no`, of software `nested`, of every other facet `values`.
    values: _Values = _Values([])
    nested: _Nested = _Nested()
    missing: _Missing = _Missing(0)
    # Of a level of concepts.
    above: _Values = _Values([])
    yes: _Missing = _Missing(0)
    no: _Missing = _Missing(0)

    def facet(self) -> Facet:
        """Return what was counted, no value without a hit."""
        told = self.nested.values if self.nested.values.buckets else self.values
        answers = ((answer, getattr(self, answer).doc_count) for answer in YES_OR_NO)
        buckets = [one for one in (*(bucket.counted() for bucket in told.buckets), *answers) if one[1]]
        above = dict(bucket.counted() for bucket in self.above.buckets)
        return Facet(buckets, told.sum_other_doc_count, self.missing.doc_count, above)


class _Shards(msgspec.Struct):
    failed: int


class _Answer(msgspec.Struct):
    timed_out: bool
    hits: _Hits
    shards: _Shards = msgspec.field(name="_shards")
    aggregations: dict[str, _Count] = {}


class _Source(msgspec.Struct):
    revision: int


class _Named(msgspec.Struct):
    id: UUID = msgspec.field(name="_id")
    source: _Source | None = msgspec.field(name="_source", default=None)


class _NamedHits(msgspec.Struct):
    hits: list[_Named]


# Where nothing but ids is wanted, nothing is counted.
class _NamedAnswer(msgspec.Struct):
    timed_out: bool
    hits: _NamedHits
    shards: _Shards = msgspec.field(name="_shards")


_decoder = msgspec.json.Decoder(_Answer)
_named_decoder = msgspec.json.Decoder(_NamedAnswer)


T = TypeVar("T")


def read(decoder: msgspec.json.Decoder[T], answer: bytes) -> T:
    """Return the engine's answer decoded; raises Unavailable when something else answered in its place."""
    try:
        return decoder.decode(answer)
    except msgspec.DecodeError as fault:
        raise Unavailable("What answers is not the search engine.") from fault


A = TypeVar("A", "_Answer", "_NamedAnswer", "_PercolatedAnswer")


def _whole(decoder: msgspec.json.Decoder[A], answer: bytes) -> A:
    told = read(decoder, answer)
    if told.timed_out or told.shards.failed:
        raise Unavailable("The search engine answered in part only; try again later.")
    return told


def ids_from(answer: bytes) -> list[UUID]:
    """Read which objects were found, in their order; raises as `found_from`."""
    return [hit.id for hit in _whole(_named_decoder, answer).hits.hits]


def named_from(answer: bytes) -> dict[UUID, set[str]]:
    """Read which named parts hold of each hit; raises as `found_from`."""
    return {hit.id: set(hit.matched_queries) for hit in _whole(_decoder, answer).hits.hits}


def explained_from(answer: bytes) -> tuple[set[str], dict[str, list[str]]] | None:
    """Read which named parts hold of the one hit, and where its words are; None without one. Raises as `found_from`."""
    hits = _whole(_decoder, answer).hits.hits
    return (set(hits[0].matched_queries), hits[0].highlight) if hits else None


def found_from(answer: bytes, limit: int) -> Found:
    """Read the answer to a question for so many hits; raises Unavailable when it is not about all of the index."""
    told = _whole(_decoder, answer)
    shown = told.hits.hits[:limit]
    return Found(
        total=told.hits.total.value,
        hits=[Hit(hit.id, hit.highlight) for hit in shown],
        facets={name: count.facet() for name, count in told.aggregations.items()},
        last=shown[-1].sort if len(told.hits.hits) > len(shown) else None,
    )


class _Slots(msgspec.Struct):
    # Without it, where one document was asked about.
    slots: list[int] = msgspec.field(name="_percolator_document_slot", default_factory=lambda: [0])


class _Percolated(msgspec.Struct):
    id: UUID = msgspec.field(name="_id")
    fields: _Slots = msgspec.field(default_factory=_Slots)
    sort: tuple[str, ...] = ()


class _PercolatedHits(msgspec.Struct):
    hits: list[_Percolated]


class _PercolatedAnswer(msgspec.Struct):
    timed_out: bool
    hits: _PercolatedHits
    shards: _Shards = msgspec.field(name="_shards")


_percolated_decoder = msgspec.json.Decoder(_PercolatedAnswer)


def percolated_from(answer: bytes) -> tuple[list[tuple[UUID, list[int]]], tuple[str, ...]]:
    """Read which queries fit which documents, by their places, and where the next page begins; as `found_from`."""
    told = _whole(_percolated_decoder, answer)
    hits = told.hits.hits
    return [(hit.id, hit.fields.slots) for hit in hits], hits[-1].sort if hits else ()


def revisions_from(answer: bytes) -> dict[UUID, int]:
    """Read the revision that each document of an answer has; raises as `found_from`."""
    hits = _whole(_named_decoder, answer).hits.hits
    return {hit.id: hit.source.revision for hit in hits if hit.source is not None}

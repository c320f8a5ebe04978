"""What the index holds, document by document in the order of ids: to be compared, never for an answer.

Pure. A document is told by the id that the engine knows it by; what it says of itself may be another.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from catalog.errors import Unavailable
from catalog.search import answers
from catalog.search.answers import Place
from catalog.search.document import Document, digest_of


@dataclass(frozen=True, slots=True)
class Held:
    """A document of the index as it is; `write` names the very write that it comes from."""

    id: str
    version: int
    write: tuple[int, int]
    document: Document
    digest: str

    @property
    def intact(self) -> bool:
        """Whether it says what it said when it was made."""
        return self.document.get("digest") == self.digest and self.document.get("id") == self.id


@dataclass(frozen=True, slots=True)
class Span:
    """All ids after one and up to another; None stands for no bound."""

    after: str | None
    upto: str | None


def body_of(span: Span | None, place: Place | None, most: int) -> dict[str, Any]:
    """Return the request for documents of a span by their ids; without a span, for those that tell no id."""
    if span is None:
        asked: dict[str, Any] = {"bool": {"must_not": {"exists": {"field": "id"}}}}
    else:
        bounds = {"gt": span.after, "lte": span.upto}
        limits = {name: bound for name, bound in bounds.items() if bound is not None}
        asked = {"range": {"id": limits}} if limits else {"exists": {"field": "id"}}
    body = {
        "query": {"bool": {"filter": asked}},
        # Several documents may tell one id; which write made each is another of every one.
        "sort": [{"id": {"order": "asc", "missing": "_last"}}, {"_seq_no": "asc"}] if span else [{"_seq_no": "asc"}],
        "size": most,
        "version": True,
        "seq_no_primary_term": True,
        "track_total_hits": False,
    }
    return body if place is None else body | {"search_after": place}


class _HeldHit(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    found: bool = True
    version: int = msgspec.field(name="_version", default=0)
    seq_no: int = msgspec.field(name="_seq_no", default=0)
    primary_term: int = msgspec.field(name="_primary_term", default=0)
    source: Document = msgspec.field(name="_source", default_factory=dict)
    sort: tuple[int | str, ...] = ()

    def held(self) -> Held:
        return Held(self.id, self.version, (self.seq_no, self.primary_term), self.source, digest_of(self.source))


class _HeldHits(msgspec.Struct):
    hits: list[_HeldHit]


class _HeldShards(msgspec.Struct):
    failed: int


class _HeldPage(msgspec.Struct):
    timed_out: bool
    hits: _HeldHits
    shards: _HeldShards = msgspec.field(name="_shards")


class _HeldRows(msgspec.Struct):
    docs: list[_HeldHit]


_page_decoder = msgspec.json.Decoder(_HeldPage)
_rows_decoder = msgspec.json.Decoder(_HeldRows)


def page_from(answer: bytes, most: int) -> tuple[list[Held], Place | None]:
    """Read documents, and the place after them if there may be more; raises Unavailable for a part of an answer."""
    told = answers.read(_page_decoder, answer)
    if told.timed_out or told.shards.failed:
        raise Unavailable("The search engine answered in part only; try again later.")
    hits = told.hits.hits
    return [hit.held() for hit in hits], hits[-1].sort if len(hits) == most else None


def rows_from(answer: bytes) -> dict[str, Held]:
    """Read the documents that are there, by their ids."""
    return {row.id: row.held() for row in answers.read(_rows_decoder, answer).docs if row.found}


def removal_of(one: Held) -> dict[str, Any]:
    """Return the operation that removes exactly this write of a document, and no later one."""
    seq_no, primary_term = one.write
    return {"delete": {"_id": one.id, "if_seq_no": seq_no, "if_primary_term": primary_term}}

"""What a caller may ask of the index, how that becomes a request body, and what its answer says.

Pure. Knows field names and boosts. Knows nothing of HTTP, clients, or who may see what it finds: the audience's filter
is taken as it is and stands in the query itself, so hits, totals and facets are all under it.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from catalog.access.audience import Audience
from catalog.errors import Fault, Invalid, Unavailable
from catalog.objects.kinds.labels import DATA_SETS
from catalog.objects.telling import nearest
from catalog.search.document import epoch_seconds

# Where words are looked for, and how much a match there counts.
SEARCHED = (
    "id^8",  # Who pastes an identifier wants that one object.
    "creator_ids^8",  # As above, for an ORCID or ROR.
    "concepts^8",  # As above, for the URI of a concept, which may be a broader one.
    "title^4",  # What an object is called says best what it is.
    "keywords^2",  # Chosen by a person to be found by.
    "creators^2",  # A surname is rarely meant as a topic.
    "description",
    "members",
    "terms",  # What its concepts and all broader ones are called, in any language.
    "paths",
)
# A word in several fields counts a little more than in its best field alone; a full sum would let long texts win.
OTHER_FIELDS_SHARE = 0.3
# Exact title first: otherwise "soil" ranks below an archive that repeats the word.
EXACT_TITLE_BOOST = 20

# Not asked for unless nothing else is: "the data of penguins" shall find a table whose text has no "the".
UNASKED = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "if", "in", "into", "is", "it", "no"),
        *("not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to"),
        *("was", "were", "will", "with"),
    )
)

FACETS: Mapping[str, str] = {
    "kind": "kind",
    "project": "project",
    "licence": "licence",
    "year": "year",
    "creator": "creators.exact",
    "format": "format",
    "state": "state",
    "quality": "quality",
    "sensor": "sensor",
    "subject": "subject",
    "task": "task",
}
# Whether a data set has labels that the caller may see: asked of readers, not of values.
HAS_LABELS = "has_labels"
YES_OR_NO = ("yes", "no")
ASKABLE = (*FACETS, HAS_LABELS)
# Every object has these, so nothing is ever missing there and nobody has to count.
ALWAYS_PRESENT = frozenset({"kind", "project", "creator", "state", "quality"})

# Each sort ends in the id, which makes it total: paging visits every hit once.
SORTS: Mapping[str, list[dict[str, str]]] = {
    "relevance": [{"_score": "desc"}, {"id": "asc"}],
    "newest": [{"created_at": "desc"}, {"id": "desc"}],
    "oldest": [{"created_at": "asc"}, {"id": "asc"}],
    "title": [{"title.sort": "asc"}, {"id": "asc"}],
}

Q_CHARS_MAX = 1_000
# Parts of words: each becomes one clause per searched field, and the engine takes 1,024 clauses.
Q_WORDS_MAX = 50
# A shorter beginning matches so many words that it says nothing and costs much.
PREFIX_CHARS_MIN = 2
FILTER_VALUES_MAX = 100
FACET_VALUES_MAX = 20
LIMIT_DEFAULT = 20
LIMIT_MAX = 100
TIMEOUT_SECONDS = 10
FRAGMENTS_MAX = 3
FRAGMENT_CHARS = 160

Value = str | int
Place = Sequence[int | float | str]

_TERM = re.compile(r'(?P<excluded>-)?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')
_QUOTES = str.maketrans("“”„«»", '"' * 5)
# Chinese and Japanese characters are words by themselves, as the tokenizer takes them.
_IDEOGRAPHS = r"\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PART = re.compile(rf"[^\W_{_IDEOGRAPHS}]+|[{_IDEOGRAPHS}]")


@dataclass(frozen=True, slots=True)
class Term:
    """One thing the text asks for: a word, the beginning of one, or a phrase; or that it be absent."""

    text: str
    how: str = "word"
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Runtime:
    """Software with its versions, from `low` on and below `high`; both sort as versions do."""

    name: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the index. One that exists can be asked: raises Invalid with every fault when made of a wrong one.

    `after` is `Found.last` of the page before. Without a sort: by relevance where there is text, else newest first.
    """

    text: str | None = None
    filters: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    facets: Sequence[str] = ()
    sort: str | None = None
    limit: int = LIMIT_DEFAULT
    after: Place | None = None
    # Software that somebody has, each with the versions: what runs on any of them is found.
    runtimes: Sequence[Runtime] = ()
    # Only what holds at this moment.
    valid_at: datetime | None = None
    terms: Sequence[Term] = field(init=False)

    def __post_init__(self) -> None:
        terms, faults = _terms_of(self.text or "")
        faults += self._faults()
        if faults:
            raise Invalid("The question has faults.", faults=faults)
        object.__setattr__(self, "terms", terms)

    @property
    def wants_words(self) -> bool:
        """Whether anything must be found in a text, so that there is something to rank and to mark."""
        return any(not term.excluded for term in self.terms)

    @property
    def order(self) -> str:
        """The sort in force: newest first where there is nothing to rank by."""
        if self.sort in {None, "relevance"}:
            return "relevance" if self.wants_words else "newest"
        return str(self.sort)

    def _faults(self) -> Iterable[Fault]:
        for name, values in self.filters.items():
            if name not in ASKABLE:
                yield _unknown(f"/{name}", "filter", name, ASKABLE)
            elif len(values) > FILTER_VALUES_MAX:
                yield Fault(f"/{name}", f"{len(values)} values are too many: at most {FILTER_VALUES_MAX}.")
            yield from _wrong_values(name, values)
        for place, name in enumerate(self.facets):
            if name not in ASKABLE:
                yield _unknown(f"/facet/{place}", "facet", name, ASKABLE)
        if self.sort is not None and self.sort not in SORTS:
            yield _unknown("/sort", "sort", self.sort, SORTS)
        if not 1 <= self.limit <= LIMIT_MAX:
            yield Fault("/limit", f"{self.limit} is not between 1 and {LIMIT_MAX}.")


def _wrong_values(name: str, values: Sequence[Value]) -> Iterable[Fault]:
    for place, value in enumerate(values):
        if name == "year" and not isinstance(value, int):
            yield Fault(f"/year/{place}", f"{value!r} is not a year.", "Write it in digits, like 2024.")
        if name == HAS_LABELS and value not in YES_OR_NO:
            yield _unknown(f"/{HAS_LABELS}/{place}", "answer", str(value), YES_OR_NO)


def _unknown(pointer: str, what: str, name: str, known: Iterable[str]) -> Fault:
    near = nearest(name, known)
    suggestion = f"Did you mean {near}?" if near else f"One of: {', '.join(known)}."
    return Fault(pointer, f"There is no {what} called {name!r}.", suggestion)


def _terms_of(text: str) -> tuple[tuple[Term, ...], list[Fault]]:
    """Read what a person typed: words, "phrases", beginnings* and -exclusions. Nothing else has a meaning."""
    if len(text) > Q_CHARS_MAX:
        return (), [Fault("/q", f"{len(text)} characters are too many: at most {Q_CHARS_MAX}.", "Use fewer words.")]
    text = text.translate(_QUOTES)
    if text.count('"') % 2:
        place = text.rindex('"') + 1
        return (), [
            Fault(
                "/q",
                f"The quote at character {place} is not closed.",
                "Close it, or leave it out to ask for the words.",
            )
        ]
    terms, symbols, faults, parts = [], [], [], 0
    for found in _TERM.finditer(text):
        word, phrase = found["word"], found["phrase"]
        asked = word if phrase is None else phrase
        in_it = _PART.findall(asked)
        if not in_it:
            # Punctuation alone has nothing to be found by; a single * asks for everything, as no word does.
            if any(unicodedata.category(character).startswith("S") for character in asked):
                symbols.append(Term(asked, excluded=bool(found["excluded"])))
            continue
        parts += len(in_it)
        how = "phrase" if phrase is not None else "prefix" if word.endswith("*") else "word"
        if how == "prefix" and sum(map(len, in_it)) < PREFIX_CHARS_MIN:
            message = f"{word!r} is the beginning of too many words."
            faults.append(Fault("/q", message, f"Write at least {PREFIX_CHARS_MIN} characters before the *."))
        terms.append(Term(asked.rstrip("*") if how == "prefix" else asked, how, bool(found["excluded"])))
    if parts > Q_WORDS_MAX:
        faults.append(Fault("/q", f"{parts} words are too many: at most {Q_WORDS_MAX}.", "Keep the rarest words."))
    if not terms:
        # Beside words a symbol is left out, like "20 °C" without its "°". Alone it is what was asked for: it finds what
        # the index has of it (an emoji is a word there), and else nothing.
        terms = symbols[:Q_WORDS_MAX]
    telling = [term for term in terms if term.how != "word" or term.excluded or term.text.lower() not in UNASKED]
    return tuple(telling if any(not term.excluded for term in telling) else terms), faults


def body_of(question: Question, audience: Audience) -> dict[str, Any]:
    """Return the request body that answers this question for this audience."""
    chosen = {name: _chosen(name, values, audience) for name, values in question.filters.items() if values}
    # A facet is not narrowed by its own choice: a choice in an asked facet is applied after the counting.
    counted = {name: clause for name, clause in chosen.items() if name in question.facets}
    before = [clause for name, clause in chosen.items() if name not in counted]
    if question.runtimes:
        before.append({"bool": {"should": [_runs_on(one) for one in question.runtimes]}})
    if question.valid_at is not None:
        before.append({"term": {"holds": epoch_seconds(question.valid_at)}})
    body: dict[str, Any] = {
        "query": {"bool": _asked(question, [audience.search_filter(), *before])},
        "sort": SORTS[question.order],
        # One more than shown: whether there is a next page is then known, not guessed.
        "size": question.limit + 1,
        "_source": False,
        "track_total_hits": True,
        "timeout": f"{TIMEOUT_SECONDS}s",
    }
    if question.after is not None:
        body["search_after"] = list(question.after)
    if counted:
        body["post_filter"] = {"bool": {"filter": list(counted.values())}}
    if question.facets:
        body["aggs"] = {name: _count(name, counted, audience) for name in question.facets}
    if question.wants_words:
        body["highlight"] = HIGHLIGHT
    return body


def _runs_on(one: Runtime) -> dict[str, Any]:
    """Return the filter for what runs on one of these versions: both ranges have some in common."""
    asked: list[dict[str, Any]] = [{"term": {"runtime.name": one.name}}, {"range": {"runtime.high": {"gt": one.low}}}]
    asked.append({"range": {"runtime.low": {"lt": one.high}}})
    return {"nested": {"path": "runtime", "query": {"bool": {"filter": asked}}}}


def _chosen(name: str, values: Sequence[Value], audience: Audience) -> dict[str, Any]:
    if name == HAS_LABELS:
        return {"bool": {"should": [_labelled(str(value), audience) for value in values]}}
    return {"terms": {FACETS[name]: list(values)}}


def _labelled(answer: str, audience: Audience) -> dict[str, Any]:
    """Return the filter for data sets with labels that this audience may see, or without any such."""
    readers = {"exists": {"field": "label_readers"}}
    seen = readers if audience.everything else {"terms": {"label_readers": audience.sorted_tokens}}
    if answer == "yes":
        return seen
    return {"bool": {"filter": [{"terms": {"kind": list(DATA_SETS)}}], "must_not": [seen]}}


def _asked(question: Question, filters: list[dict[str, Any]]) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "filter": filters,
        "must_not": [{"term": {"tombstone": True}}, *(_clause(term) for term in question.terms if term.excluded)],
    }
    wanted = [term for term in question.terms if not term.excluded]
    if wanted:
        asked["must"] = [_clause(term) for term in wanted]
        title = " ".join((question.text or "").split())
        asked["should"] = [{"term": {"title.sort": {"value": title, "boost": EXACT_TITLE_BOOST}}}]
    return asked


_MATCH_TYPES = {"word": "best_fields", "prefix": "bool_prefix", "phrase": "phrase"}


def _clause(term: Term) -> dict[str, Any]:
    """Return the query for one term in any field.

    Term by term, so that words of one question may stand in different fields; the parts of one word
    (silero_vad.onnx) must stand in one field.
    """
    match: dict[str, Any] = {
        "query": term.text,
        "type": _MATCH_TYPES[term.how],
        "fields": SEARCHED,
        "tie_breaker": OTHER_FIELDS_SHARE,
    }
    if term.how != "phrase":
        match["operator"] = "and"
    return {"multi_match": match}


HIGHLIGHT: dict[str, Any] = {
    # Without this encoder the engine passes markup in a title through as it is.
    "encoder": "html",
    "pre_tags": ["<mark>"],
    "post_tags": ["</mark>"],
    "number_of_fragments": FRAGMENTS_MAX,
    "fragment_size": FRAGMENT_CHARS,
    "fields": {
        "title": {"number_of_fragments": 0},
        "description": {},
        "keywords": {},
        "creators": {},
        "members": {},
        "terms": {},
        "paths": {},
    },
}


def _count(name: str, counted: Mapping[str, dict[str, Any]], audience: Audience) -> dict[str, Any]:
    others = [clause for other, clause in counted.items() if other != name]
    if name == HAS_LABELS:
        answers = {answer: {"filter": _labelled(answer, audience)} for answer in YES_OR_NO}
        return {"filter": {"bool": {"filter": others}}, "aggs": answers}
    inside: dict[str, Any] = {"values": {"terms": {"field": FACETS[name], "size": FACET_VALUES_MAX}}}
    if name not in ALWAYS_PRESENT:
        inside["missing"] = {"missing": {"field": FACETS[name]}}
    return {"filter": {"bool": {"filter": others}}, "aggs": inside}


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


@dataclass(frozen=True, slots=True)
class Found:
    """What answers a question. `last` is where the next page begins; None where there is none.

    `last` holds a score when sorted by relevance: seal it so that nobody reads it before it leaves the process.
    """

    total: int
    hits: list[Hit]
    facets: dict[str, Facet]
    last: Place | None


class _Total(msgspec.Struct):
    value: int


class _EngineHit(msgspec.Struct):
    id: UUID = msgspec.field(name="_id")
    sort: tuple[int | float | str, ...] = ()
    highlight: dict[str, list[str]] = {}


class _Hits(msgspec.Struct):
    total: _Total
    hits: list[_EngineHit]


class _Bucket(msgspec.Struct):
    key: int | str
    doc_count: int


class _Values(msgspec.Struct, frozen=True):
    buckets: list[_Bucket]
    sum_other_doc_count: int


class _Missing(msgspec.Struct, frozen=True):
    doc_count: int


class _Count(msgspec.Struct):
    # Of HAS_LABELS there are `yes` and `no`, of every other facet `values`.
    values: _Values = _Values([], 0)
    missing: _Missing = _Missing(0)
    yes: _Missing = _Missing(0)
    no: _Missing = _Missing(0)

    def buckets(self) -> list[tuple[Value, int]]:
        """Return the values that were counted, none of them without a hit."""
        answers = ((answer, getattr(self, answer).doc_count) for answer in YES_OR_NO)
        return [(bucket.key, bucket.doc_count) for bucket in self.values.buckets] + [one for one in answers if one[1]]


class _Shards(msgspec.Struct):
    failed: int


class _Answer(msgspec.Struct):
    timed_out: bool
    hits: _Hits
    shards: _Shards = msgspec.field(name="_shards")
    aggregations: dict[str, _Count] = {}


_decoder = msgspec.json.Decoder(_Answer)


T = TypeVar("T")


def read(decoder: msgspec.json.Decoder[T], answer: bytes) -> T:
    """Return the engine's answer decoded; raises Unavailable when something else answered in its place."""
    try:
        return decoder.decode(answer)
    except msgspec.DecodeError as fault:
        raise Unavailable("What answers is not the search engine.") from fault


def found_from(answer: bytes, question: Question) -> Found:
    """Read the engine's answer; raises Unavailable when it is not about all of the index."""
    told = read(_decoder, answer)
    if told.timed_out or told.shards.failed:
        raise Unavailable("The search engine answered in part only; try again later.")
    shown = told.hits.hits[: question.limit]
    return Found(
        total=told.hits.total.value,
        hits=[Hit(hit.id, hit.highlight) for hit in shown],
        facets={
            name: Facet(
                count.buckets(),
                count.values.sum_other_doc_count,
                count.missing.doc_count,
            )
            for name, count in told.aggregations.items()
        },
        last=shown[-1].sort if len(told.hits.hits) > len(shown) else None,
    )

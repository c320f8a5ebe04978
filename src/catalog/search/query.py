"""What a caller may ask of the index, and how that becomes a request body.

Pure. Knows field names and boosts. Knows nothing of HTTP, clients, or who may see what it finds: the audience's filter
is taken as it is and stands in the query itself, so hits, totals and facets are all under it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from catalog.access.audience import Audience
from catalog.errors import Fault, Invalid
from catalog.objects.telling import nearest
from catalog.search import conditions, facets, language
from catalog.search.answers import Place, Value
from catalog.search.conditions import Clause, Condition, Every, labelled
from catalog.search.document import epoch_seconds
from catalog.search.facets import ASKABLE, COUNTABLE, FACET_VALUES, FACETS, OF_CONCEPTS, RANGED, RUNTIME, Level
from catalog.search.fields import FIELDS, HAS_LABELS, YES_OR_NO
from catalog.search.language import Term, Typed

# Where words are looked for, and how much a match there counts.
IDENTIFIERS = (
    "id^8",  # Who pastes an identifier wants that one object.
    "identifiers^8",  # As above: DOIs, the name, and what it is called elsewhere.
    "hashes^8",  # As above, for the bytes of a file.
    "creator_ids^8",  # As above, for an ORCID or ROR.
)
TEXTS = (
    "title^4",  # What an object is called says best what it is.
    "keywords^2",  # Chosen by a person to be found by.
    "creators^2",  # A surname is rarely meant as a topic.
    "description",
    "members",
    "paths",
)
# What its concepts and all broader ones are called, in any language; the URI as an identifier is.
WITH_NARROWER = ("concepts^8", "terms")
# The same without the broader ones: then who asks for one is not shown what is described by a narrower one.
WITHOUT_NARROWER = ("concepts_own^8", "terms_own")
SEARCHED = (*IDENTIFIERS, *TEXTS, *WITH_NARROWER)

# A word in several fields counts a little more than in its best field alone; a full sum would let long texts win.
OTHER_FIELDS_SHARE = 0.3
# Exact title first: otherwise "soil" ranks below an archive that repeats the word.
EXACT_TITLE_BOOST = 20
# Words that stand side by side as they were written mean more than the same words apart: "sea surface temperature" is
# not a text on the sea in which the temperature of a surface comes up. So are the parts of a file's name.
TOGETHER = ("title^4", "keywords^2", "description", "paths")
# Where nothing has the words as they are written, similar ones are looked for: a word that goes on first, as half a
# word is commoner than a wrong one.
BEGINNING_SHARE = 0.5
MISTYPED_SHARE = 0.25
# And one of three words may be absent, two of six: of many words one is often called otherwise where it is meant.
WORDS_FOR_ONE_LEFT_OUT = 3
# One letter may be wrong from four on, two from eight on; the first is right nearly always, and without it a search
# would go through every word there is.
MISTYPED = {"fuzziness": "AUTO:4,8", "prefix_length": 1}

# Each sort ends in the id, which makes it total: paging visits every hit once.
SORTS: Mapping[str, list[dict[str, str]]] = {
    "relevance": [{"_score": "desc"}, {"id": "asc"}],
    "newest": [{"created_at": "desc"}, {"id": "desc"}],
    "oldest": [{"created_at": "asc"}, {"id": "asc"}],
    "title": [{"title.sort": "asc"}, {"id": "asc"}],
}

# Counted year by year, and chosen so, or in ranges.
YEAR = "year"
FILTER_VALUES_MAX = 100
LIMIT_DEFAULT = 20
LIMIT_MAX = 100
TIMEOUT_SECONDS = 10
# Each word in each field is a clause, and the engine refuses a query of more than 1,024, the default of its setting
# indices.query.bool.max_clause_count.
CLAUSES_MAX = 1_000
FRAGMENTS_MAX = 3
FRAGMENT_CHARS = 160


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
    # What else has to hold, beside the filters and what the text says of fields.
    condition: Condition | None = None
    facets: Sequence[str] = ()
    # How many values of each facet are told, and what each must contain.
    facet_values: int = FACET_VALUES
    facet_contains: str = ""
    # Or which values these are, where it is known before.
    facet_among: Sequence[str] | None = None
    # Facets of concepts that are told level by level.
    levels: Mapping[str, Level] = field(default_factory=dict)
    sort: str | None = None
    limit: int = LIMIT_DEFAULT
    after: Place | None = None
    # Software that somebody has, each with the versions: what runs on any of them is found.
    runtimes: Sequence[Runtime] = ()
    # Only what holds at this moment.
    valid_at: datetime | None = None
    # Whether words may also go on, or be mistyped.
    similar: bool = False
    # Whether a concept stands for all that are narrower.
    narrower: bool = True
    # What the text asks for, where it was read before; made of the text otherwise.
    typed: Typed | None = None

    def __post_init__(self) -> None:
        typed, faults = (self.typed, []) if self.typed is not None else language.read(self.text or "")
        faults = [*faults, *self._faults()]
        if faults:
            raise Invalid("The question has faults.", faults=faults)
        object.__setattr__(self, "typed", typed)

    @property
    def read(self) -> Typed:
        """What the text asks for."""
        return self.typed or Typed()

    @property
    def wants_words(self) -> bool:
        """Whether anything must be found in a text, so that there is something to rank and to mark."""
        return bool(self.read.words) or any(not term.excluded for term in self.read.terms)

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
            if name not in COUNTABLE:
                yield _unknown(f"/facet/{place}", "facet", name, COUNTABLE)
        if self.sort is not None and self.sort not in SORTS:
            yield _unknown("/sort", "sort", self.sort, SORTS)
        if not 1 <= self.limit <= LIMIT_MAX:
            yield Fault("/limit", f"{self.limit} is not between 1 and {LIMIT_MAX}.")


def _wrong_values(name: str, values: Sequence[Value]) -> Iterable[Fault]:
    for place, value in enumerate(values):
        if name == HAS_LABELS and value not in YES_OR_NO:
            yield _unknown(f"/{HAS_LABELS}/{place}", "answer", str(value), YES_OR_NO)
        if name in RANGED or (name == YEAR and not isinstance(value, int)):
            try:
                language.measured(FIELDS[name], str(value))
            except ValueError as wrong:
                yield Fault(f"/{name}/{place}", f"{value!r}: {wrong}.", f"For example {FIELDS[name].examples[0]}")


def _unknown(pointer: str, what: str, name: str, known: Iterable[str]) -> Fault:
    near = nearest(name, known)
    suggestion = f"Did you mean {near}?" if near else f"One of: {', '.join(known)}."
    return Fault(pointer, f"There is no {what} called {name!r}.", suggestion)


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a walk over everything stands: after which id, and how many are taken next.

    What is registered after `registered_until` is left out, or a walk need never end.
    """

    registered_until: datetime
    after: UUID | None
    size: int


def under(
    audience: Audience, *, filters: Iterable[Clause] = (), must_not: Iterable[Clause] = (), **more: list[Clause] | int
) -> Clause:
    """Return the one way to ask anything: under the audience's filter, and never of what is withdrawn."""
    withdrawn = {"term": {"tombstone": True}}
    return {"bool": {"filter": [audience.search_filter(), *filters], "must_not": [withdrawn, *must_not], **more}}


def request(asked: Clause, **how: Any) -> dict[str, Any]:
    """Return a request body: only ids come back, and in time."""
    return {"query": asked, "_source": False, "timeout": f"{TIMEOUT_SECONDS}s", **how}


def body_of(question: Question, audience: Audience) -> dict[str, Any]:
    """Return the request body that answers this question for this audience.

    Raises Invalid where the engine would refuse so much at once.
    """
    chosen = choices(question, audience)
    # A facet is not narrowed by its own choice: a choice in an asked facet is applied after the counting.
    counted = {name: clause for name, clause in chosen.items() if name in question.facets}
    before = [clause for name, clause in chosen.items() if name not in counted]
    beside = [clause for _, clause in narrowing(question, audience)]
    of_text = [conditions.clause(one, audience) for one in question.read.conditions]
    asked = _asked(question, audience, [*before, *beside, *of_text])
    if (count := clauses(asked)) > CLAUSES_MAX:
        message = f"The question asks for {count:,} things at once, each word in each field: at most {CLAUSES_MAX:,}."
        raise Invalid("The query has faults.", faults=[Fault("", message, "Use fewer words or conditions.")])
    body = request(
        asked,
        sort=SORTS[question.order],
        # One more than shown: whether there is a next page is then known, not guessed.
        size=question.limit + 1,
        track_total_hits=True,
    )
    if question.after is not None:
        body["search_after"] = list(question.after)
    if counted:
        body["post_filter"] = {"bool": {"filter": list(counted.values())}}
    if question.facets:
        body["aggs"] = {name: facets.count(name, counted, audience, question) for name in question.facets}
    if question.wants_words:
        body["highlight"] = HIGHLIGHT
    return body


def clauses(asked: Clause) -> int:
    """Return how many clauses the engine makes of a query, at most."""
    ((kind, said),) = asked.items()
    match kind:
        case "bool":
            return sum(clauses(one) for part in said.values() if isinstance(part, list) for one in part)
        case "dis_max":
            return sum(map(clauses, said["queries"]))
        case "nested":
            return clauses(said["query"])
        case "constant_score":
            return clauses(said["filter"])
        case "multi_match":
            return len(said["fields"]) * (1 if said["type"] == "phrase" else language.parts(said["query"]))
        case "match" | "match_bool_prefix":
            return sum(language.parts(one["query"]) for one in said.values())
        case _:
            return 1


def walk_body_of(question: Question, audience: Audience, walk: Walk) -> dict[str, Any]:
    """Return the request body for the next ids of everything that answers this question.

    In the order of ids, which never change, and strictly after the last one. So an object that answers the question
    from the beginning of a walk to its end is met once, whatever is written meanwhile, and nothing is held open.
    """
    whole = body_of(replace(question, facets=(), sort="oldest", after=None), audience)
    begun = {"range": {"created_at": {"lte": walk.registered_until.isoformat()}}}
    whole["query"]["bool"]["filter"].append(begun)
    body = {name: whole[name] for name in ("query", "_source", "timeout")}
    body |= {"sort": [{"id": "asc"}], "size": walk.size, "track_total_hits": False}
    return body if walk.after is None else body | {"search_after": [str(walk.after)]}


def choices(question: Question, audience: Audience) -> dict[str, Clause]:
    """Return the filters that facets count, by name."""
    chosen = {
        name: _chosen(name, values, audience, narrower=question.narrower)
        for name, values in question.filters.items()
        if values
    }
    if question.runtimes:
        chosen[RUNTIME] = {"bool": {"should": [_runs_on(one) for one in question.runtimes]}}
    return chosen


def narrowing(question: Question, audience: Audience) -> Iterator[tuple[str, Clause]]:
    """Yield the filters beside those of the facets and of the text, each with what it asks."""
    if question.condition is not None:
        yield "filter", conditions.clause(question.condition, audience)
    if question.valid_at is not None:
        yield f"valid_at: {question.valid_at.isoformat()}", {"term": {"holds": epoch_seconds(question.valid_at)}}


def _runs_on(one: Runtime) -> Clause:
    """Return the filter for what runs on one of these versions: both ranges have some in common."""
    asked: list[dict[str, Any]] = [{"term": {"runtime.name": one.name}}, {"range": {"runtime.high": {"gt": one.low}}}]
    asked.append({"range": {"runtime.low": {"lt": one.high}}})
    return {"nested": {"path": "runtime", "query": {"bool": {"filter": asked}}}}


def _chosen(name: str, values: Sequence[Value], audience: Audience, *, narrower: bool) -> dict[str, Any]:
    if name == HAS_LABELS:
        return {"bool": {"should": [labelled(str(value), audience) for value in values]}}
    if name in RANGED or (name == YEAR and any(isinstance(value, str) for value in values)):
        ranges = [conditions.clause(language.measured(FIELDS[name], str(value)), audience) for value in values]
        return {"bool": {"should": ranges}}
    if name in OF_CONCEPTS and not narrower:
        return {"terms": {f"{name}_own": list(values)}}
    return {"terms": {FACETS[name]: list(values)}}


def _asked(question: Question, audience: Audience, filters: Iterable[Clause]) -> Clause:
    terms = question.read.terms
    wanted = [term for term in terms if not term.excluded]
    found: dict[str, list[Clause]] = {}
    if question.wants_words:
        found["must"] = [
            *_wanted(wanted, similar=question.similar, narrower=question.narrower),
            *map(conditions.of_words, question.read.words),
        ]
        if better := list(_better(question, wanted)):
            found["should"] = better
    absent = (term_clause(term, narrower=question.narrower) for term in terms if term.excluded)
    return under(audience, filters=filters, must_not=absent, **found)


def _wanted(wanted: Sequence[Term], *, similar: bool, narrower: bool) -> Iterable[dict[str, Any]]:
    """Yield what has to be found: every term, or where similar ones will do, every phrase and most of the words."""
    clauses = [(term.how, term_clause(term, similar=similar, narrower=narrower)) for term in wanted]
    words = [clause for how, clause in clauses if how != "phrase"]
    left_out = len(words) // WORDS_FOR_ONE_LEFT_OUT if similar else 0
    if not left_out:
        yield from (clause for _, clause in clauses)
        return
    yield from (clause for how, clause in clauses if how == "phrase")
    yield {"bool": {"should": words, "minimum_should_match": len(words) - left_out}}


def _better(question: Question, wanted: Sequence[Term]) -> Iterable[dict[str, Any]]:
    """Yield what makes a hit better that is one already: its title is the question, or has words side by side."""
    if wanted:
        title = " ".join((question.text or "").split())
        yield {"term": {"title.sort": {"value": title, "boost": EXACT_TITLE_BOOST}}}
    words = " ".join(term.text for term in wanted if term.how == "word")
    if language.parts(words) > 1:
        fields = (*TOGETHER, (WITH_NARROWER if question.narrower else WITHOUT_NARROWER)[1])
        yield {"multi_match": {"query": words, "type": "phrase", "fields": fields}}
    for one in question.read.words:
        if one.how == "word" and language.parts(one.text) > 1:
            yield conditions.of_words(replace(one, how="phrase"))


_MATCH_TYPES = {"word": "best_fields", "prefix": "bool_prefix", "phrase": "phrase"}


def term_clause(term: Term, *, similar: bool = False, narrower: bool = True) -> Clause:
    """Return the query for one term in any field.

    Term by term, so that words of one question may stand in different fields; the parts of one word
    (silero_vad.onnx) must stand in one field.
    """
    of_concepts = WITH_NARROWER if narrower else WITHOUT_NARROWER
    match: dict[str, Any] = {
        "query": term.text,
        "type": _MATCH_TYPES[term.how],
        "fields": (*IDENTIFIERS, *TEXTS, *of_concepts),
        "tie_breaker": OTHER_FIELDS_SHARE,
    }
    if term.how != "phrase":
        match["operator"] = "and"
    if not similar or term.how == "phrase":
        return {"multi_match": match}
    texts = (*TEXTS, of_concepts[1])
    goes_on = match | {"type": "bool_prefix", "boost": BEGINNING_SHARE}
    # All words within reach, not the commonest: which those are, hidden documents would have a say in.
    mistyped = match | MISTYPED | {"type": "best_fields", "fields": texts, "boost": MISTYPED_SHARE}
    mistyped["fuzzy_rewrite"] = "constant_score"
    return {"dis_max": {"queries": [{"multi_match": one} for one in (match, goes_on, mistyped)]}}


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


def every(parts: Sequence[Condition]) -> Condition | None:
    """Return what holds when all of these do; None where there are none."""
    return None if not parts else parts[0] if len(parts) == 1 else Every(tuple(parts))

"""How a question becomes a request, and an answer what was found. Pure: no engine."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.access.audience import ANONYMOUS, Audience
from catalog.errors import Fault, Invalid, Unavailable
from catalog.search import answers, hybrid, query
from catalog.search.answers import Facet, Found, Hit
from catalog.search.facets import FACETS
from catalog.search.query import Question
from tests.search.conftest import AS_ADMIN, AS_OWNER

ID = UUID("01900000-0000-7000-8000-0000000000aa")
OTHER_ID = UUID("01900000-0000-7000-8000-0000000000bb")

audiences = st.one_of(
    st.just(AS_ADMIN),
    st.builds(Audience, st.frozensets(st.sampled_from(["public", "user:1", "org:sage", "project:sage/cloud"]))),
)
values = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=3)
filters = st.dictionaries(st.sampled_from(["kind", "project", "licence", "creator", "format"]), values, max_size=3)
facets = st.lists(st.sampled_from(sorted(FACETS)), unique=True)


def faults_of(**told: Any) -> list[Fault]:
    with pytest.raises(Invalid) as refused:
        Question(**told)
    return list(refused.value.faults)


def match(text: str, how: str) -> dict[str, Any]:
    told = {"query": text, "type": how, "fields": query.SEARCHED, "tie_breaker": query.OTHER_FIELDS_SHARE}
    return {"multi_match": told if how == "phrase" else told | {"operator": "and"}}


# From question to request


def test_a_question_without_words_asks_for_the_newest_that_the_audience_may_see() -> None:
    assert query.body_of(Question(), ANONYMOUS) == {
        "query": {
            "bool": {
                "filter": [{"terms": {"readers": ["public"]}}],
                "must_not": [{"term": {"tombstone": True}}],
            }
        },
        "sort": [{"created_at": "desc"}, {"id": "desc"}],
        "size": 21,
        "_source": False,
        "track_total_hits": True,
        "timeout": "10s",
    }


def test_words_phrases_beginnings_and_exclusions_each_become_one_clause() -> None:
    body = query.body_of(Question('weather "wind speed" silero_v* -draft'), AS_OWNER)
    assert body["query"]["bool"] == {
        "filter": [AS_OWNER.search_filter()],
        "must_not": [{"term": {"tombstone": True}}, match("draft", "best_fields")],
        "must": [
            match("weather", "best_fields"),
            match("wind speed", "phrase"),
            match("silero_v", "bool_prefix"),
        ],
        "should": [
            {
                "term": {
                    "title.sort": {
                        "value": 'weather "wind speed" silero_v* -draft',
                        "boost": query.EXACT_TITLE_BOOST,
                    }
                }
            }
        ],
    }
    assert body["sort"] == [{"_score": "desc"}, {"id": "asc"}]
    assert body["highlight"] == query.HIGHLIGHT


def test_words_side_by_side_are_asked_for_once_more_and_never_instead() -> None:
    asked = query.body_of(Question('sea -land surface "of ice" file:a.csv', narrower=False), ANONYMOUS)["query"]["bool"]
    fields = (*query.TOGETHER, "terms_own")
    assert asked["should"][1:] == [
        {"multi_match": {"query": "sea surface", "type": "phrase", "fields": fields}},
        {"match_phrase": {"paths": {"query": "a.csv"}}},
    ]
    assert len(asked["must"]) == 4


def test_of_many_words_one_may_be_absent_where_similar_ones_will_do() -> None:
    asked = query.body_of(Question('sea surface temperature "of ice"', similar=True), ANONYMOUS)["query"]["bool"]
    phrase, most = asked["must"]
    assert phrase == match("of ice", "phrase")
    assert (len(most["bool"]["should"]), most["bool"]["minimum_should_match"]) == (3, 2)


def test_a_chosen_value_narrows_everything_but_its_own_facet() -> None:
    question = Question(
        filters={"kind": ["model"], "year": [2020, 2021], "licence": ["MIT"]}, facets=["kind", "year", "format"]
    )
    body = query.body_of(question, ANONYMOUS)
    kind, year = {"terms": {"kind": ["model"]}}, {"terms": {"year": [2020, 2021]}}
    # Nobody asked for the licence facet: its choice is an ordinary filter.
    assert body["query"]["bool"]["filter"] == [ANONYMOUS.search_filter(), {"terms": {"licence": ["MIT"]}}]
    assert body["post_filter"] == {"bool": {"filter": [kind, year]}}
    assert body["aggs"] == {
        "kind": {"filter": {"bool": {"filter": [year]}}, "aggs": {"values": {"terms": {"field": "kind", "size": 20}}}},
        "year": {
            "filter": {"bool": {"filter": [kind]}},
            "aggs": {"values": {"terms": {"field": "year", "size": 20}}, "missing": {"missing": {"field": "year"}}},
        },
        "format": {
            "filter": {"bool": {"filter": [kind, year]}},
            "aggs": {"values": {"terms": {"field": "format", "size": 20}}, "missing": {"missing": {"field": "format"}}},
        },
    }


def test_without_facets_every_choice_is_an_ordinary_filter() -> None:
    body = query.body_of(Question(filters={"kind": ["model"], "year": [2020]}), ANONYMOUS)
    assert body["query"]["bool"]["filter"] == [
        ANONYMOUS.search_filter(),
        {"terms": {"kind": ["model"]}},
        {"terms": {"year": [2020]}},
    ]
    assert not {"post_filter", "aggs"} & set(body)


@given(text=st.text(max_size=60), filters=filters, facets=facets, audience=audiences)
def test_every_request_stands_under_its_audience_and_leaves_out_tombstones(
    text: str, filters: dict[str, list[str]], facets: list[str], audience: Audience
) -> None:
    try:
        question = Question(text, filters=filters, facets=facets)
    except Invalid:
        return
    body = query.body_of(question, audience)
    asked = body["query"]["bool"]
    assert asked["filter"][0] == audience.search_filter()
    assert asked["must_not"][0] == {"term": {"tombstone": True}}
    # Each of these would count documents that the query does not match.
    assert not {"global", "min_doc_count", "significant_terms", "suggest"} & keys_of(body)


@given(text=st.text(max_size=60))
def test_typed_text_stands_only_where_it_is_taken_as_words(text: str) -> None:
    try:
        body = query.body_of(Question(text), ANONYMOUS)
    except Invalid:
        return
    for clause in [*body["query"]["bool"].get("must", []), *body["query"]["bool"]["must_not"][1:]]:
        # In one field, or in any.
        kind, said = next(iter(clause.items()))
        if kind != "multi_match":
            kind, said = next(iter(clause.get("bool", {}).get("must_not", [clause])[0].items()))
            assert kind in {"match", "match_phrase", "match_bool_prefix"}
            said = next(iter(said.values()))
        assert set(said) <= {"query", "type", "fields", "tie_breaker", "operator"}


@given(text=st.text(max_size=60), filters=filters, facets=facets, audience=audiences)
def test_every_request_of_hybrid_search_stands_under_its_audience_too(
    text: str, filters: dict[str, list[str]], facets: list[str], audience: Audience
) -> None:
    try:
        question = Question(text, filters=filters, facets=facets)
    except Invalid:
        return
    ids = [UUID(int=1)]
    bodies = [
        hybrid.ranked_body(question, audience)["query"],
        hybrid.counted_body(question, audience)["query"],
        hybrid.within_body(question, audience)["query"],
        hybrid.rest_body(question, audience, ids)["query"],
        *(
            made(question, audience, ids)["query"]["bool"]["filter"][0]
            for made in (hybrid.candidates_body, hybrid.page_body)
        ),
    ]

    for asked in bodies:
        assert asked["bool"]["filter"][0] == audience.search_filter()
        assert asked["bool"]["must_not"][0] == {"term": {"tombstone": True}}


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize(
    ("told", "order"),
    [
        ({}, "newest"),
        ({"text": "soil"}, "relevance"),
        ({"text": "-soil"}, "newest"),
        ({"sort": "relevance"}, "newest"),
        ({"text": "soil", "sort": "title"}, "title"),
    ],
)
def test_the_order_is_by_relevance_where_there_is_something_to_rank_by(told: dict[str, Any], order: str) -> None:
    assert Question(**told).order == order


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x" * 1_001, Fault("/q", "1001 characters are too many: at most 1000.", "Use fewer words.")),
        ("soil " * 51, Fault("/q", "51 words are too many: at most 50.", "Keep the rarest words.")),
        ("-".join("a" * 51), Fault("/q", "51 words are too many: at most 50.", "Keep the rarest words.")),
        ("京" * 51, Fault("/q", "51 words are too many: at most 50.", "Keep the rarest words.")),
        (
            'soil "wet land',
            Fault(
                "/q",
                "The quote at character 6 is not closed.",
                "Close it, or leave it out to ask for the words.",
            ),
        ),
        (
            "soil a*",
            Fault("/q", "'a*' is the beginning of too many words.", "Write at least 2 characters before the *."),
        ),
    ],
)
def test_text_that_cannot_be_asked_is_refused_with_its_mending(text: str, fault: Fault) -> None:
    assert faults_of(text=text) == [fault]


def test_every_fault_of_a_question_is_told_at_once() -> None:
    told = faults_of(
        text='"',
        filters={"kinds": ["model"], "year": [2020, "soon"], "licence": ["MIT"] * 101},
        facets=["kind", "formats"],
        sort="date",
        limit=101,
    )
    assert told == [
        Fault("/q", "The quote at character 1 is not closed.", "Close it, or leave it out to ask for the words."),
        Fault("/kinds", "There is no filter called 'kinds'.", "Did you mean kind?"),
        Fault("/year/1", "'soon': write a whole number in digits, like 2024.", "For example year:2020"),
        Fault("/licence", "101 values are too many: at most 100."),
        Fault("/facet/1", "There is no facet called 'formats'.", "Did you mean format?"),
        Fault("/sort", "There is no sort called 'date'.", "One of: relevance, newest, oldest, title."),
        Fault("/limit", "101 is not between 1 and 100."),
    ]


# From answer to what was found


def answer(**told: Any) -> bytes:
    plain: dict[str, Any] = {
        "took": 3,
        "timed_out": False,
        "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        "hits": {"total": {"value": 0, "relation": "eq"}, "max_score": None, "hits": []},
    }
    return msgspec.json.encode(plain | told)


def hits(total: int, *found: dict[str, Any]) -> dict[str, Any]:
    return {"total": {"value": total, "relation": "eq"}, "max_score": 2.5, "hits": list(found)}


def test_an_answer_is_read_whole_and_no_score_stays_with_a_hit() -> None:
    told = answer(
        hits=hits(
            9,
            {
                "_index": "objects-1",
                "_id": str(ID),
                "_score": 2.5,
                "highlight": {"title": ["<mark>Soil</mark>"]},
                "sort": [2.5, str(ID)],
            },
            {"_index": "objects-1", "_id": str(OTHER_ID), "_score": 1.25, "sort": [1.25, str(OTHER_ID)]},
        ),
        aggregations={
            "year": {
                "doc_count": 12,
                "values": {
                    "doc_count_error_upper_bound": 0,
                    "sum_other_doc_count": 2,
                    "buckets": [{"key": 2021, "doc_count": 6}],
                },
                "missing": {"doc_count": 4},
            },
            "kind": {
                "doc_count": 9,
                "values": {
                    "doc_count_error_upper_bound": 0,
                    "sum_other_doc_count": 0,
                    "buckets": [{"key": "model", "doc_count": 9}],
                },
            },
        },
    )
    assert answers.found_from(told, 1) == Found(
        total=9,
        hits=[Hit(ID, {"title": ["<mark>Soil</mark>"]})],
        facets={"year": Facet([(2021, 6)], rest=2, missing=4), "kind": Facet([("model", 9)], rest=0, missing=0)},
        last=(2.5, str(ID)),
    )


def test_the_last_page_says_that_it_is_the_last() -> None:
    told = answer(hits=hits(2, {"_id": str(ID), "sort": [1, str(ID)]}, {"_id": str(OTHER_ID), "sort": [0, "b"]}))
    assert answers.found_from(told, 2).last is None


@pytest.mark.parametrize("partial", [{"timed_out": True}, {"_shards": {"total": 2, "successful": 1, "failed": 1}}])
def test_an_answer_about_a_part_of_the_index_is_no_answer(partial: dict[str, Any]) -> None:
    with pytest.raises(Unavailable):
        answers.found_from(answer(**partial), 20)

"""What the engine says of one document and all questions is what it says of one question and all documents."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from catalog.access.audience import Audience
from catalog.errors import Invalid
from catalog.search import cql2, percolator, query
from catalog.search.document import document_from
from catalog.search.index import Index, Outcome, Verdict, Written
from catalog.search.percolator import Percolator
from catalog.search.query import Question, Runtime
from tests.search.conftest import Library, absent, between, entry, index, library, put, search_url

__all__ = ["absent", "between", "index", "library", "search_url"]

EVERYTHING = Audience(frozenset(), everything=True)
TEXTS = [
    *("silero", "silero_vad.onnx", "vad", '"voice activity"', "weather station", "penguin", "antarc*", "-penguins"),
    *("weather -penguins", "READ-ME", "0000-0002-1825-0097", "1a153a22f4509e29*", "muller", "sizes species"),
    *("keyword:speech", "-keyword:speech", "year:>=2021", "year:2015..2020", "-year:*", "licence:MIT", "licence:CC*"),
    *("-licence:*", 'creator:"Müller, Ana"', "title:palmer", "kind:model", "format:text/csv", "quality:fair"),
    *(
        "project:sage/*",
        "created_at:2024",
        "created_at:2024-05",
        "created_at:2020",
        "bytes:<1000",
        "sensor:*",
        "place:*",
    ),
    *("time:*", "-time:*", "file:silero", "nothing-has-this", "title:archip*", "state:draft", "time:2020..2030"),
]
FILTERS = [
    *(
        "kind = 'model' AND year >= 2020",
        "NOT (keyword IN ('penguins'))",
        "licence IS NULL",
        "year BETWEEN 2019 AND 2021",
    ),
    *("CASEI(licence) = CASEI('mit')", "title LIKE 'Palmer%'", "A_OVERLAPS(keyword, ('speech', 'penguins'))"),
    *("S_INTERSECTS(place, BBOX(-180, -90, 180, 90))", "S_INTERSECTS(place, POINT(7 46))"),
    *("T_INTERSECTS(time, INTERVAL('2020-01-01', '2030-01-01'))", "kind = 'model' OR year = 2020"),
]


def asked() -> list[Question]:
    """Every way to ask that a saved search has."""
    more: list[dict[str, Any]] = [
        {"filters": {"kind": ("model",)}},
        {"filters": {"licence": ("MIT", "CC0-1.0"), "year": (2020, 2021)}},
        {"filters": {"created_at": ("2024..2025",)}},
        {"filters": {"bytes": ("0..999",)}},
        {"filters": {"keyword": ("speech",)}, "narrower": False},
        {"runtimes": [Runtime("pytorch", "2.1", "2.2")]},
        {"valid_at": datetime(2024, 6, 1, tzinfo=UTC)},
    ]
    return [
        *(Question(text) for text in TEXTS),
        *(Question(condition=cql2.read(text)) for text in FILTERS),
        *(Question(**told) for told in more),
        Question("weather", filters={"kind": ("training-dataset",)}, condition=cql2.read("year >= 2000")),
    ]


@pytest.fixture
async def queries(search_url: str) -> AsyncGenerator[Percolator]:
    """An index of queries with nothing in it."""
    made = Percolator(search_url, f"p{uuid4().hex[:12]}-saved")
    assert await made.ensure()
    yield made
    await made.drop()
    await made.close()


def more_shelves() -> dict[str, Any]:
    """Objects that have what those of the library lack: a place, a time, software that it runs on, sensors."""
    return {
        "alps": entry(
            title="Snow in the Alps",
            place=[{"type": "envelope", "coordinates": [[5.9, 47.8], [10.5, 45.8]]}],
            holds=(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, tzinfo=UTC)),
            sensors=["S1"],
            bytes=500,
            files=1,
        ),
        "runs": entry(
            title="Runs on torch", runtimes=[("pytorch", "2.0", "3.0")], holds=(datetime(2025, 1, 1, tzinfo=UTC), None)
        ),
        "wide": entry(
            title="Several places",
            place=[{"type": "point", "coordinates": [7, 46]}, {"type": "point", "coordinates": [-120, 10]}],
        ),
    }


async def test_a_saved_search_fits_what_a_search_finds(index: Index, library: Library, queries: Percolator) -> None:
    objects = [one for one in (library.named | more_shelves()).values() if not one.withdrawn]
    await put(index, *objects)
    questions = {uuid4(): question for question in asked()}
    outcomes = await queries.write(
        [Written(one, 1, percolator.query_document(one, percolator.clause_of(q))) for one, q in questions.items()]
    )
    assert outcomes == [Outcome(Verdict.WRITTEN)] * len(questions)
    await queries.refresh()

    fitting = await queries.fitting([document_from(one) for one in objects])

    fits: dict[UUID, set[UUID]] = {one: set() for one in questions}
    for search_id, place in fitting:
        fits[search_id].add(objects[place].id)
    found = {}
    for search_id, question in questions.items():
        answer = await index.find(query.body_of(question, EVERYTHING) | {"size": 100}, question)
        found[search_id] = {hit.id for hit in answer.hits} & {one.id for one in objects}
    differing = {str(questions[one]): (fits[one], found[one]) for one in fits if fits[one] != found[one]}
    assert differing == {}
    assert len({frozenset(one) for one in found.values()}) > 15


async def test_a_query_that_was_removed_fits_nothing_and_is_not_written_again(queries: Percolator) -> None:
    document = document_from(entry(title="Unheard of zebrafish"))
    search_id = uuid4()
    kept = percolator.query_document(search_id, percolator.clause_of(Question("zebrafish")))

    async def fitting() -> list[tuple[UUID, int]]:
        await queries.refresh()
        return await queries.fitting([document])

    await queries.write([Written(search_id, 1, kept)])
    before = await fitting()
    await queries.remove(search_id)
    (again,) = await queries.write([Written(search_id, 2, kept)])

    assert (before, again.verdict, await fitting()) == ([(search_id, 0)], Verdict.STALE, [])


async def test_more_queries_than_a_page_holds_are_all_told(
    queries: Percolator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(percolator, "QUERIES_AT_ONCE", 3)
    monkeypatch.setattr(percolator, "DOCUMENTS_AT_ONCE", 2)
    documents = [document_from(entry(title=title)) for title in ("Quokka one", "Other", "Quokka two", "Quokka three")]
    kept = percolator.clause_of(Question("quokka"))
    ids = sorted(uuid4() for _ in range(7))
    await queries.write([Written(one, 1, percolator.query_document(one, kept)) for one in ids])
    await queries.refresh()

    fitting = await queries.fitting(documents)

    assert sorted(fitting) == [(one, place) for one in ids for place in (0, 2, 3)]


@pytest.mark.parametrize(
    ("question", "pointer"),
    [
        (Question("has_labels:yes"), "/query"),
        (Question("-has_labels:no soil"), "/query"),
        (Question(filters={"has_labels": ("yes",)}), "/query"),
        (Question(condition=cql2.read("NOT has_labels = 'no'")), "/query"),
        (Question(), "/query"),
        (Question(" ".join(f"word{number}" for number in range(30))), "/query"),
    ],
    ids=str,
)
def test_what_depends_on_who_asks_or_asks_nothing_or_too_much_is_refused(question: Question, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        percolator.clause_of(question)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]

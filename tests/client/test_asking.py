"""Questions as programs write them, what is told of refusals, and what `help` tells of the methods."""

import inspect
import json
from datetime import UTC, date, datetime
from pydoc import render_doc
from urllib.parse import parse_qs

import pytest

from catalog.client import Catalog, Problem
from catalog.client.calls import asking
from tests.client.scripted import Answer, said, serving
from tests.conftest import Live

FILTER = {"op": "=", "args": [{"property": "kind"}, "model"]}
EMPTY = {"total": 0, "hits": [], "facets": {}, "cursor": None, "similar": False, "did_you_mean": None}


def test_a_refusal_tells_each_fault_and_how_to_mend_it_of_many_the_first() -> None:
    faults = [{"pointer": f"/q/{one}", "message": f"wrong {one}", "suggestion": "right"} for one in range(12)]
    problem = {"detail": "The query has faults.", "errors": faults}
    with (
        serving(lambda *_: said(problem, 400)) as server,
        Catalog(server.url) as catalog,
        pytest.raises(Problem) as refused,
    ):
        catalog.search("x")
    lines = str(refused.value).splitlines()
    assert (lines[0], lines[1], lines[-1]) == (
        "The query has faults.",
        "  /q/0: wrong 0 (right)",
        "  and 2 more, in `errors`",
    )
    assert (len(lines), refused.value.detail) == (12, "The query has faults.")


def test_a_question_is_written_with_values_of_python() -> None:
    with serving(lambda seen, _: Answer(body=b"") if "export" in seen.path else said(EMPTY)) as server:
        with Catalog(server.url) as catalog:
            catalog.search(bbox=[5.9, 45.8, 10.5, 47.8], filter=FILTER, kind="model", time=date(2009, 8, 1))
            list(catalog.export(bbox=(5.9, 45.8, 10.5, 47.8), filter=FILTER, kind="model", year=2024, similar=True))
        asked, exported = server.seen
    sent = {name: values[0] for name, values in parse_qs(asked.path.partition("?")[2]).items()}
    assert json.loads(sent.pop("filter")) == FILTER
    assert sent == {"bbox": "5.9,45.8,10.5,47.8", "kind": "model", "time": "2009-08-01"}
    assert json.loads(exported.body) == {
        "as": "ndjson",
        "bbox": "5.9,45.8,10.5,47.8",
        "filter": FILTER,
        "kind": ["model"],
        "year": [2024],
        "similar": True,
    }
    moment = datetime(2024, 5, 1, tzinfo=UTC)
    assert asking("", {"valid_at": moment, "cursor": None}) == {"valid_at": "2024-05-01T00:00:00+00:00"}


def test_the_catalog_takes_questions_so_written(live: Live) -> None:
    with Catalog(live.url) as catalog:
        page = catalog.search(bbox=[5.9, 45.8, 10.5, 47.8], filter=FILTER, valid_at=datetime(2024, 5, 1, tzinfo=UTC))
        assert page["total"] == len(list(catalog.hits(bbox=(5.9, 45.8, 10.5, 47.8), filter=FILTER, kind="model")))
        assert list(catalog.export(filter=FILTER, bbox=[5.9, 45.8, 5.9, 45.8])) == []


def test_help_and_signature_tell_what_a_method_takes_and_what_comes_back() -> None:
    signature = inspect.signature(Catalog.search)
    assert list(signature.parameters)[:4] == ["self", "text", "filter", "kind"]
    assert {"bbox", "time", "facet", "limit", "cursor"} <= signature.parameters.keys()
    assert signature.return_annotation.__name__ == "SearchPage"
    assert str(inspect.signature(Catalog.export).return_annotation).endswith("Iterator[catalog.client.shapes.Object]")
    told = render_doc(Catalog.search)
    assert told.startswith("Python Library Documentation: function search")
    assert "Comes back: `total`, `hits`" in told
    with Catalog("http://127.0.0.1:1") as catalog:
        assert next(iter(inspect.signature(catalog.search).parameters)) == "text"

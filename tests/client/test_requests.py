"""What the client does with the catalog's answers, refusals and silence."""

import logging
from datetime import UTC, datetime

import httpx2
import pytest

from catalog.client import Catalog, NotACatalog, Problem, Unreachable
from catalog.client.patience import retry_after
from catalog.errors import CatalogError, Fault, Invalid
from catalog.local import ports
from tests.client.scripted import Answer, said, serving

TOKEN = "cat_secret-of-this-test"
OBJECT = {"id": "1", "files": [], "revision": 1}
PROBLEM = {
    "type": "/problems/invalid",
    "title": "The request has faults",
    "status": 400,
    "detail": "Two things are wrong.",
    "errors": [{"pointer": "/kind", "message": "there is no kind 'modle'", "suggestion": "model"}],
    "request_id": "r-1",
}


def test_a_read_is_repeated_until_the_catalog_is_back() -> None:
    def script(_: object, number: int) -> Answer:
        return said({}, 503, retry_after="0") if number < 2 else said(OBJECT)

    with serving(script) as server, Catalog(server.url) as catalog:
        assert catalog.get("1") == OBJECT
        assert len(server.seen) == 3


def test_a_catalog_that_asks_to_wait_longer_than_our_patience_is_not_waited_for() -> None:
    with serving(lambda *_: said(PROBLEM | {"status": 503}, 503, retry_after="3600")) as server:
        with Catalog(server.url, patience_seconds=5) as catalog, pytest.raises(Problem) as refused:
            catalog.get("1")
        assert refused.value.status == 503
        assert len(server.seen) == 1


def test_a_registration_whose_answer_was_lost_is_repeated_word_for_word() -> None:
    def script(_: object, number: int) -> Answer:
        return Answer(cut=0) if number == 0 else said(OBJECT, 201)

    with serving(script) as server, Catalog(server.url) as catalog:
        catalog.register({"title": "é", "kind": "model"})
    first, second = server.seen
    assert first.body == second.body == '{"kind":"model","title":"é"}'.encode()
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_a_change_whose_answer_was_lost_is_not_repeated() -> None:
    with serving(lambda *_: Answer(cut=0)) as server, Catalog(server.url) as catalog:
        with pytest.raises(Unreachable):
            catalog.patch("1", {"title": "new"}, revision=3)
        assert len(server.seen) == 1
        assert server.seen[0].headers["if-match"] == '"3"'
        assert server.seen[0].headers["content-type"] == "application/merge-patch+json"


def test_an_address_where_nobody_listens_is_unreachable() -> None:
    with (
        Catalog(f"http://127.0.0.1:{ports.choose()}", patience_seconds=0.1) as catalog,
        pytest.raises(Unreachable, match=r"No catalog answers at http://127\.0\.0\.1:\d+: no connection\."),
    ):
        catalog.get("1")


def test_a_problem_carries_everything_that_the_catalog_said() -> None:
    with (
        serving(lambda *_: said(PROBLEM, 400)) as server,
        Catalog(server.url) as catalog,
        pytest.raises(Problem) as refused,
    ):
        catalog.register({})
    problem = refused.value
    assert (problem.status, problem.type, problem.title) == (400, "/problems/invalid", "The request has faults")
    assert (problem.detail, problem.request_id) == ("Two things are wrong.", "r-1")
    assert problem.errors == (Fault("/kind", "there is no kind 'modle'", "model"),)


def test_a_refusal_that_is_no_problem_document_tells_the_address_without_its_query() -> None:
    with (
        serving(lambda *_: Answer(502, b"<h1>proxy</h1>")) as server,
        Catalog(server.url, patience_seconds=0) as catalog,
        pytest.raises(Problem) as refused,
    ):
        catalog.search("private words")
    assert str(refused.value) == f"{server.url}/api/search answered 502 Bad Gateway."


def test_what_is_no_catalog_is_said_to_be_none() -> None:
    with (
        serving(lambda *_: Answer(200, b"<h1>It works!</h1>")) as server,
        Catalog(server.url) as catalog,
        pytest.raises(NotACatalog),
    ):
        catalog.kinds()


def test_pages_are_asked_for_one_after_the_other() -> None:
    def script(_: object, number: int) -> Answer:
        cursor = None if number == 2 else f"c{number}"
        return said({"total": 3, "hits": [{"id": number}], "facets": {}, "cursor": cursor})

    with serving(script) as server, Catalog(server.url) as catalog:
        assert [hit["id"] for hit in catalog.hits("x y", kind=["model", "sensor-blob"])] == [0, 1, 2]
    assert [seen.path for seen in server.seen] == [
        "/api/search?q=x+y&kind=model&kind=sensor-blob&limit=100",
        "/api/search?q=x+y&kind=model&kind=sensor-blob&limit=100&cursor=c0",
        "/api/search?q=x+y&kind=model&kind=sensor-blob&limit=100&cursor=c1",
    ]


def test_a_catalog_below_a_path_is_reached_there() -> None:
    with serving(lambda *_: said({"items": []})) as server, Catalog(f"{server.url}/science/") as catalog:
        catalog.kinds()
    assert server.seen[0].path == "/science/api/kinds"


@pytest.mark.parametrize("url", ["", "catalog.example.org", "ftp://host", "http://", "http://user:word@host"])
def test_an_address_that_cannot_be_one_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        Catalog(url)
    assert "word" not in str(refused.value).replace("password", "")


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "ü"])
def test_a_token_that_cannot_be_one_is_refused_without_repeating_it(token: str) -> None:
    with pytest.raises(CatalogError) as refused:
        Catalog("http://127.0.0.1:1", token)
    assert not token or token not in str(refused.value)


def test_neither_token_nor_signature_reaches_a_log_or_a_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    # Other rooms quiet it in their own processes.
    caplog.set_level(logging.DEBUG, "httpx2")
    signed = "/bucket/key?X-Amz-Signature=5e1f"

    with (
        serving(lambda *_: Answer(307, headers={"location": server.url + signed})) as server,
        Catalog(server.url, TOKEN) as catalog,
    ):
        link = catalog.link("1", "a b.txt")
        (connection,) = vars(catalog).values()
        connection.store.get(link)
        shown = f"{catalog!r} {vars(catalog)!r} {vars(connection)!r}"
    assert link.endswith("5e1f")
    assert server.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert "authorization" not in server.seen[1].headers
    told = shown + "".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
    assert "/bucket/key" in told
    assert TOKEN not in told
    assert "5e1f" not in told


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("Sat, 21 Nov 2026 08:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 07:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(said: str, seconds: float | None) -> None:
    response = httpx2.Response(503, headers={"retry-after": said})
    assert retry_after(response, datetime(2026, 11, 21, 8, tzinfo=UTC)) == seconds

"""The pages of vocabularies and terms, on a running catalog."""

from typing import Any
from uuid import uuid4

import pytest

from catalog.web import concepts
from tests.api.conftest import plain, register
from tests.conftest import Clients, eventually
from tests.web.reading import Page, asked
from tests.web.test_pages import page

AUDIO = "urn:x-catalog:ml-tasks:audio-processing"
NARROWER = "urn:x-catalog:ml-tasks:audio-classification"


async def test_from_all_vocabularies_one_walks_down_to_a_term_and_up_again(clients: Clients) -> None:
    every = await page(clients.anonymous, "/vocabularies")
    told = (await clients.anonymous.get("/api/vocabularies")).json()["items"]
    scheme = await page(clients.anonymous, every.links()["Tasks of machine learning"])
    broad = await page(clients.anonymous, scheme.links()["Audio processing"])
    narrow = await page(clients.anonymous, broad.links()["Audio classification"])

    assert every.texts("h2") == [one["title"] for one in told]
    assert narrow.texts("h1") == ["Audio classification"]
    assert narrow.links()["Audio processing"] == concepts.concept_address(AUDIO)
    assert narrow.links()["Tasks of machine learning"] == "/vocabularies/ml-tasks"


async def test_topmost_terms_have_nothing_broader_and_all_are_there_by_name(clients: Clients) -> None:
    listed: list[dict[str, Any]] = []
    for question in ({"top": "true"}, {}):
        answer = await clients.anonymous.get("/api/vocabularies/ml-tasks/concepts", params={"limit": 100, **question})
        listed.append(answer.json()["items"])
    top, every = listed
    shown_top = await page(clients.anonymous, "/vocabularies/ml-tasks")
    shown_every = await page(clients.anonymous, "/vocabularies/ml-tasks?all=yes")

    assert top == [one for one in every if one["broader"] == []]
    assert 0 < len(top) < len(every)
    for shown, items in ((shown_top, top), (shown_every, every)):
        assert _terms(shown) == [concepts.concept_address(one["uri"]) for one in items]


async def test_terms_are_found_in_any_language_and_all_their_labels_are_told(clients: Clients) -> None:
    found = await page(clients.anonymous, "/vocabularies/ml-tasks?q=audioverarbeitung")
    shown = await page(clients.anonymous, f"/concepts?uri={AUDIO}")

    assert _terms(found) == [concepts.concept_address(AUDIO)]
    assert shown.facts()["de"] == "Audioverarbeitung"
    assert shown.one("dd", lang="de").text == "Audioverarbeitung"


async def test_a_term_leads_to_the_objects_that_it_describes_and_counts_what_is_seen(clients: Clients) -> None:
    term = "urn:x-catalog:ml-tasks:speaker-recognition"
    project = f"web/{uuid4().hex[:8]}"
    told = {"kind": "model", "metadata": {"task": "speaker recognition"}}
    public = await register(clients.ingest, plain(project, visibility="public", **told))
    hidden = await register(clients.ingest, plain(project, **told))

    async def indexed() -> bool:
        answer = await clients.ingest.get("/api/search", params={"project": project})
        return bool(answer.json()["total"] == 2)

    await eventually(indexed)
    shown = await page(clients.anonymous, f"/concepts?uri={term}")
    count = (await clients.anonymous.get("/api/search", params={"task": term})).json()["total"]
    link = next(text for text in shown.links() if text.endswith("described by it"))
    hits = list((await page(clients.anonymous, shown.links()[link])).links().values())

    assert link == f"{count} object{'' if count == 1 else 's'} described by it"
    assert (f"/objects/{public['id']}" in hits, f"/objects/{hidden['id']}" in hits) == (True, False)


async def test_what_no_facet_takes_is_looked_for_by_its_uri() -> None:
    assert asked(concepts.described_by("ml-tasks", AUDIO).address()) == ("/", [("task", AUDIO)])
    assert asked(concepts.described_by("units", "urn:u").address()) == ("/", [("q", '"urn:u"')])


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/vocabularies/none-of-this-name", 404),
        ("/concepts?uri=urn:nothing", 404),
        ("/concepts", 400),
        ("/vocabularies/ml-tasks?cursor=altered", 400),
        (f"/vocabularies/ml-tasks?q={'x' * 201}", 400),
    ],
)
async def test_what_is_not_there_or_cannot_be_read_is_told_as_a_page(
    clients: Clients, address: str, status: int
) -> None:
    shown = await page(clients.anonymous, address, status)
    assert shown.texts("p", class_="kind") == [str(status)]


def _terms(shown: Page) -> list[str]:
    return [href for href in (a.attributes["href"] for a in shown.all("a")) if href.startswith("/concepts?")]

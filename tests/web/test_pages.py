"""The pages of a running catalog: what the API answers, for people."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from pydantic import HttpUrl

from catalog.api.app import Outermost, litestar
from catalog.local import ports
from catalog.settings import Settings
from catalog.web import pages, rendering
from tests.api.conftest import patch, plain, register
from tests.api.uploads import bring, declared, send, until
from tests.conftest import Clients, eventually
from tests.web.reading import Page, asked

CONTENT = b"species,mass\nAdelie,3750\n"
PATH = "data/pinguïns & co #1.csv"


@pytest.fixture
def word() -> str:
    """A word that stands in no other test's objects."""
    return f"okapi{uuid4().hex[:10]}"


async def page(client: httpx2.AsyncClient, address: str, status: int = 200) -> Page:
    """Return the page at an address; every page, whatever its status, is HTML under the same policy."""
    answer = await client.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8"), answer.text
    for name, value in rendering.SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    return Page(answer.text)


async def registered(clients: Clients, word: str, count: int = 1, **said: Any) -> list[dict[str, Any]]:
    """Register public objects and wait until they are found."""
    made = [
        await register(clients.ingest, plain("web/pages", title=f"{word} {number}", visibility="public") | said)
        for number in range(count)
    ]

    async def found() -> bool:
        answer = await clients.anonymous.get("/api/search", params={"q": word})
        return bool(answer.json()["total"] == count)

    await eventually(found)
    return made


def hits(shown: Page) -> list[str]:
    """Return the ids of the objects that a page shows, in its order."""
    addresses = [a.attributes["href"] for a in shown.all("a")]
    return [address.removeprefix("/objects/") for address in addresses if address.startswith("/objects/")]


async def test_page_and_api_find_the_same_in_the_same_order(clients: Clients, word: str) -> None:
    await registered(clients, word, 3)
    for question in (
        {"q": word},
        {"q": word, "sort": "oldest"},
        {"q": word, "kind": "training-dataset", "sort": "title"},
    ):
        told = (await clients.anonymous.get("/api/search", params=question)).json()
        shown = await page(clients.anonymous, str(httpx2.URL("/", params=question)))
        assert hits(shown) == [hit["id"] for hit in told["hits"]]
        assert f"{told['total']} objects for {word}" in shown.texts("h2")


async def test_bytes_come_through_the_buttons_of_both_pages(clients: Clients, word: str) -> None:
    (made,) = await registered(clients, word, files=[declared(PATH, CONTENT, "text/csv")])
    waiting = await page(clients.anonymous, f"/objects/{made['id']}")
    await bring(made["uploads"], {PATH: CONTENT})
    await until(clients.anonymous, made["id"], PATH, state="available")

    async def offered() -> list[str]:
        shown = await page(clients.anonymous, f"/?q={word}")
        return [a.attributes["href"] for a in shown.all("a", class_="download")]

    (signed,) = await eventually(offered)
    button = (await page(clients.anonymous, f"/objects/{made['id']}")).one("a", class_="download")
    redirect = await clients.anonymous.get(button.attributes["href"])

    assert (waiting.all("a", class_="download"), waiting.texts("span", class_="state")) == ([], ["Awaiting upload"])
    assert (await send("GET", signed)).content == CONTENT
    assert redirect.status_code == 307
    assert (await send("GET", redirect.headers["location"])).content == CONTENT


async def test_a_page_with_signed_links_is_kept_by_no_cache(clients: Clients, word: str) -> None:
    (made,) = await registered(clients, word)
    answers = [
        await clients.anonymous.get(address) for address in (f"/?q={word}", f"/objects/{made['id']}", "/objects/x")
    ]
    assert [answer.headers["cache-control"] for answer in answers] == ["no-store", "no-cache", "no-store"]


async def test_walking_the_next_links_shows_every_hit_once(clients: Clients, word: str) -> None:
    made = await registered(clients, word, 5)
    seen, address = [], f"/?q={word}&limit=2&sort=oldest"
    while address:
        shown = await page(clients.anonymous, address)
        seen += hits(shown)
        address = next((a.attributes["href"] for a in shown.all("a", rel="next")), "")
        # The same page as data: the cursor fits there too.
        told = await clients.anonymous.get(shown.links()["This search as JSON"])
        assert told.status_code == 200, told.text
        assert [hit["id"] for hit in told.json()["hits"]] == hits(shown)
    assert seen == [each["id"] for each in made]


async def test_every_link_of_a_page_leads_somewhere(clients: Clients, word: str) -> None:
    (made,) = await registered(
        clients,
        word,
        keywords=["soil & water", "c++"],
        licence="CC0-1.0",
        files=[declared(PATH, CONTENT, "text/csv")],
        creators=[{"name": 'O\'Neil, "A" <b>'}],
    )
    await bring(made["uploads"], {PATH: CONTENT})
    await until(clients.anonymous, made["id"], PATH, state="available")
    addresses = set()
    for address in ("/", f"/?q={word}&sort=title&licence=CC0-1.0&creator=nobody", f"/objects/{made['id']}", "/nowhere"):
        shown = Page((await clients.anonymous.get(address)).text)
        addresses |= {e.attributes["href"] for e in shown.elements if e.attributes.get("href", "").startswith("/")}
    assert len(addresses) > 20
    statuses = {address: (await clients.anonymous.get(address)).status_code for address in addresses}
    assert {address: status for address, status in statuses.items() if status not in {200, 307}} == {}


async def test_what_the_form_sends_becomes_a_short_address(clients: Clients) -> None:
    sent = "q=a&west=1&south=2&east=3&north=4&from=&until=2010&kind=model&bbox=9,9,9,9"
    for question, address in (
        (sent, "/?q=a&kind=model&bbox=1%2C2%2C3%2C4&time=..2010"),
        ("west=&south=&east=&north=", "/"),
    ):
        answer = await clients.anonymous.get(f"/?{question}")
        assert (answer.status_code, answer.headers["location"]) == (303, address)


async def test_text_of_strangers_stays_text_all_the_way(clients: Clients, word: str) -> None:
    hostile = f'{word} <script>alert("&amp;")</script>'
    (made,) = await registered(clients, word, title=hostile, description=hostile, keywords=[hostile])
    found = await page(clients.anonymous, f"/?q={word}")
    shown = await page(clients.anonymous, f"/objects/{made['id']}")
    assert (found.texts("h3"), shown.texts("h1")) == ([hostile], [hostile])
    assert set(found.texts("mark")) == {word}
    assert [ours.text for ours in found.all("script")] == ["", ""]
    # The other one holds data, in which the text is text as well.
    (block,) = [one for one in shown.all("script") if "src" not in one.attributes]
    assert block.attributes == {"type": "application/ld+json"}
    assert json.loads(block.text)["name"] == hostile


async def test_a_page_names_similar_objects_that_everybody_may_see(clients: Clients, word: str) -> None:
    one, other = await registered(clients, word, 2, keywords=[f"kw{word}"])
    hidden = await register(clients.ingest, plain("web/pages", title=f"{word} hidden", keywords=[f"kw{word}"]))

    async def indexed() -> bool:
        return bool((await clients.ingest.get("/api/search", params={"q": word})).json()["total"] == 3)

    await eventually(indexed)
    shown = await page(clients.anonymous, f"/objects/{one['id']}")

    (listed,) = shown.all("ul", class_="similar")
    assert f"Both: kw{word}" in " ".join(listed.text.split())
    assert f"/objects/{other['id']}" in shown.links().values()
    assert f"/objects/{hidden['id']}" not in shown.links().values()
    assert "hidden" not in listed.text


async def test_what_is_private_is_on_no_page_even_with_its_owners_token(clients: Clients, word: str) -> None:
    (made,) = await registered(clients, word)
    hidden = await register(clients.ingest, plain("web/pages", title=f"{word} hidden"))

    async def indexed() -> bool:
        return bool((await clients.ingest.get("/api/search", params={"q": word})).json()["total"] == 2)

    await eventually(indexed)
    for client in (clients.anonymous, clients.ingest):
        assert hits(await page(client, f"/?q={word}")) == [made["id"]]
        shown = await page(client, f"/objects/{hidden['id']}", 404)
        assert shown.texts("h1") == ["Nothing here"]


async def test_a_moment_at_the_end_of_the_calendar_is_shown_as_it_stands(clients: Clients, word: str) -> None:
    first, last = "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"
    (made,) = await registered(
        clients,
        word,
        dates=[{"type": "Valid", "date": f"{first}/{last}"}],
        coverage={"temporal": {"start": first, "end": last}},
    )

    shown = (await page(clients.anonymous, f"/objects/{made['id']}")).facts()

    assert (shown["Valid"], shown["From"], shown["Until"]) == (f"{first} – {last}", first, last)


async def test_a_version_has_a_page_of_its_own_that_stays(clients: Clients, word: str) -> None:
    (made,) = await registered(clients, word, description="First words.")
    address = f"/objects/{made['id']}"
    any_revision = {"If-Match": "*"}
    await clients.ingest.post(f"/api{address}/versions", json={"label": "2.0", "note": "New."}, headers=any_revision)
    await patch(clients.ingest, made["id"], {"title": f"{word} mended", "description": "Second words."})
    await clients.ingest.post(f"/api{address}/versions", json={}, headers=any_revision)
    await clients.ingest.delete(f"/api{address}/versions/2", params={"reason": "A wrong title."}, headers=any_revision)

    today, first = await page(clients.anonymous, address), await page(clients.anonymous, f"{address}/versions/2.0")

    assert (today.texts("h1"), first.texts("h1")) == ([f"{word} mended"], [f"{word} 0"])
    assert (today.facts()["State"], first.facts()["State"]) == ("Published, version 1",) * 2
    assert (first.facts()["Revision"], "Updated" in first.facts(), "Published" in first.facts()) == ("2", False, True)
    assert (today.facts()["Revision"], "Updated" in today.facts(), "Published" in today.facts()) == ("5", True, False)
    for shown in (today, first):
        assert [link for link in hits(shown) if link.startswith(made["id"])][-1] == f"{made['id']}/versions/1"
        assert any(text.endswith(": A wrong title.") for text in shown.texts("p", class_="found"))
    assert [text for text in first.texts("p", class_="notice") if "You see version 1 (2.0)" in text] != []
    assert today.texts("p", class_="notice") == []
    withdrawn = await page(clients.anonymous, f"{address}/versions/2", 410)
    assert withdrawn.texts("h1") == ["This version has been withdrawn"]
    assert withdrawn.texts("p", class_="lead")[0].endswith(": A wrong title.")
    assert made["id"] in hits(withdrawn)


async def test_the_page_of_a_version_says_what_its_terms_are_called_though_the_object_has_others_now(
    clients: Clients, word: str
) -> None:
    terms = {"kind": "model", "subjects": ["Meteorology"], "metadata": {"task": "segmentation"}}
    (made,) = await registered(clients, word, **terms)
    address = f"/objects/{made['id']}"
    await clients.ingest.post(f"/api{address}/versions", json={}, headers={"If-Match": "*"})
    await patch(clients.ingest, made["id"], {"subjects": ["Ecology"], "metadata": {"task": None}})

    today, first = await page(clients.anonymous, address), await page(clients.anonymous, f"{address}/versions/1")

    assert (today.facts()["Fields"], first.facts()["Fields"]) == ("Ecology", "Meteorology")
    assert ("Task" in today.facts(), first.facts()["Task"]) == (False, "Image segmentation")
    told = (await clients.anonymous.get(f"/api{address}/versions/1")).json()
    assert sorted(told["terms"].values()) == ["Image segmentation", "Meteorology"]


async def test_a_withdrawn_object_leaves_a_page_that_says_so(clients: Clients, word: str) -> None:
    (made,) = await registered(clients, word)
    await clients.ingest.delete(
        f"/api/objects/{made['id']}", params={"reason": "The sensor was broken."}, headers={"If-Match": "*"}
    )
    shown = await page(clients.anonymous, f"/objects/{made['id']}", 410)
    assert shown.texts("h1") == ["This object has been withdrawn"]
    assert shown.texts("p", class_="lead")[0].endswith(": The sensor was broken.")


# What a file system refuses in its own ways: no name, a name with a NUL, too long ones, a file taken for a folder.
NO_ASSETS = [
    *("/static", "/static/", "/static/vendor", "/static/%00", "/static/catalog.css/x"),
    *(f"/static/{'a' * 300}", f"/static/{'a/' * 3_000}"),
]


@pytest.mark.parametrize(
    "address",
    [
        "/objects/x",
        "/objects/00000000-0000-7000-8000-000000000000",
        "/objects",
        "/objects/a/b",
        "/nowhere",
        "/a/b",
        *NO_ASSETS,
    ],
)
async def test_an_address_without_anything_has_a_page(clients: Clients, address: str) -> None:
    shown = await page(clients.anonymous, address, 404)
    assert shown.texts("h1") == ["Nothing here"]


async def test_an_unknown_address_under_api_stays_a_problem_document(clients: Clients) -> None:
    answer = await clients.anonymous.get("/api/nowhere")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("question", "place", "said"),
    [
        ('q="open', "ul", "The quote at character 1 is not closed. Close it, or leave it out to ask for the words."),
        ("kind=modle", "div", "Kind: there is no kind 'modle'"),
        ("sort=best", "div", "Order: must be one of"),
        ("limit=0", "div", "Results per page: "),
        ("year=then", "div", "Year: "),
        ("cursor=x", "div", "Next page: this cursor belongs to another question"),
    ],
)
async def test_a_refused_question_is_explained_on_the_page(
    clients: Clients, question: str, place: str, said: str
) -> None:
    shown = await page(clients.anonymous, f"/?{question}", 400)
    (explained,) = shown.texts("ul", id="q-faults") if place == "ul" else shown.texts("div", role="alert")
    assert said in explained
    sent = asked(f"/?{question}")[1]
    assert question.startswith("cursor") or set(sent) <= set(shown.submission("search"))


@pytest.mark.parametrize("path", ["/", "/saved-searches", "/api/search", "/api/search/export", "/objects/x", "/livez"])
async def test_an_address_that_is_too_long_is_refused_with_the_limit_wherever_it_leads(
    clients: Clients, path: str
) -> None:
    answer = await clients.anonymous.get(f"{path}?" + "&".join(f"keyword={number}" for number in range(3_000)))
    limited = path != "/livez"
    assert (answer.status_code, len(answer.content) < 20_000) == (400 if limited else 200, True)
    assert answer.headers["content-type"].startswith(
        "application/problem+json" if path.startswith("/api") else "text/html" if limited else ""
    )
    if limited:
        assert "has 37,889 bytes: at most 16,384" in answer.text


@pytest.mark.parametrize("count", [51, 1_200])
async def test_a_page_of_too_many_values_is_refused_in_a_page_of_bounded_size(clients: Clients, count: int) -> None:
    asked_for = "&".join(f"keyword={number}" for number in range(count))
    answer = await clients.anonymous.get(f"/?{asked_for}")
    assert (answer.status_code, len(answer.content) < 200_000) == (400, True)
    assert f"{count:,} values are too many: at most 50." in answer.text
    told = await clients.anonymous.get(f"/api/search?{asked_for}")
    assert (told.status_code, len(told.content) < 20_000) == (400, True)


async def test_the_longest_question_that_fits_into_an_address_is_a_page_of_bounded_size(clients: Clients) -> None:
    names = ("creator", "keyword", "format", "sensor")
    address = "/?" + "&".join(f"{name}={number:060}" for name in names for number in range(50))
    answer = await clients.anonymous.get(address)
    assert (len(address) > 13_000, answer.status_code) == (True, 200)
    assert len(answer.content) < 1_500_000


async def test_more_values_of_all_filters_together_than_a_question_has_are_refused(clients: Clients) -> None:
    question = {name: [str(n) for n in range(50)] for name in ("creator", "keyword", "format", "sensor")}
    fine = await clients.anonymous.post("/api/search", json=question)
    refused = await clients.anonymous.post("/api/search", json=question | {"licence": ["MIT"]})
    assert (fine.status_code, refused.status_code) == (200, 400)
    assert [fault["message"] for fault in refused.json()["errors"]] == [
        "201 values of filters are too many: at most 200 of all together."
    ]


async def test_a_page_is_only_read(clients: Clients) -> None:
    answer = await clients.ingest.post("/", content=b"q=x")
    assert (answer.status_code, "GET" in answer.headers["allow"]) == (405, True)


async def test_head_tells_what_get_would(clients: Clients) -> None:
    head, get = await clients.anonymous.head("/objects/x"), await clients.anonymous.get("/objects/x")
    assert (head.status_code, head.content) == (404, b"")
    assert head.headers["content-security-policy"] == get.headers["content-security-policy"]


async def test_assets_may_be_kept_for_ever_and_are_under_the_same_policy(clients: Clients) -> None:
    shown = await page(clients.anonymous, "/nowhere", 404)
    assets = [link.attributes["href"] for link in shown.all("link")]
    assert len(assets) == 3
    for address in assets:
        answer = await clients.anonymous.get(address)
        assert answer.status_code == 200
        kept = {part.strip() for part in answer.headers["cache-control"].split(",")}
        assert kept == {"public", "max-age=31536000", "immutable"}
        assert answer.headers["content-security-policy"] == rendering.CONTENT_SECURITY_POLICY


@pytest.mark.parametrize(
    "address", ["/static/..%2fpages.py", "/static/%2e%2e/pages.py", "/static//etc/passwd", "/static/x.css"]
)
async def test_nothing_but_assets_is_served_as_one(clients: Clients, address: str) -> None:
    await page(clients.anonymous, address, 404)


@asynccontextmanager
async def without_search(settings: Settings) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run the application here on an engine that is not there."""
    away = settings.model_copy(update={"search_url": HttpUrl(f"http://127.0.0.1:{ports.choose()}")})
    inner = litestar(away, pages.ROUTES)
    app: Any = Outermost(inner)
    async with (
        inner.lifespan(),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://catalog") as client,
    ):
        yield client


async def test_without_the_search_engine_the_question_is_kept_and_objects_are_shown(
    clients: Clients, word: str
) -> None:
    (made,) = await registered(clients, word)
    async with without_search(clients.live.settings) as client:
        answer = await client.get(f"/?q={word}&kind=model")
        shown = await page(client, f"/?q={word}&kind=model", 503)
        entry = await page(client, f"/objects/{made['id']}")
    assert (answer.headers["retry-after"], answer.headers["cache-control"]) == ("5", "no-store")
    assert shown.links()["ask it again"] == f"/?q={word}&kind=model"
    assert entry.texts("h1") == [f"{word} 0"]


async def test_an_object_shows_what_it_came_from_and_what_was_made_of_it(clients: Clients) -> None:
    async def made(title: str, **said: Any) -> str:
        body = plain("web/lineage", title=title, visibility="public") | said
        return str((await register(clients.ingest, body))["id"])

    data, secret, gone = await made("Data"), await made("Secret"), await made("Wrong")
    model = await made("Model <b>", kind="model", metadata={"task": "regression"})
    weights = await made("Weights", kind="weights", metadata={"model": model, "format": "onnx"})
    used = {"type": "run", "label": "Third run", "used": [data, secret], "generated": [model]}
    assert (await clients.ingest.post("/api/activities", json=used)).status_code == 201
    for target in ({"target": gone}, {"identifier": {"type": "DOI", "value": "10.5281/zenodo.1"}}):
        said = {"type": "IsDerivedFrom", **target}
        answer = await clients.ingest.post(f"/api/objects/{model}/relations", json=said, headers={"If-Match": "*"})
        assert answer.status_code == 201, answer.text
    await clients.ingest.patch(
        f"/api/objects/{secret}",
        json={"visibility": "private"},
        headers={"If-Match": "*", "Content-Type": "application/merge-patch+json"},
    )
    await clients.ingest.delete(f"/api/objects/{gone}", params={"reason": "It was wrong."}, headers={"If-Match": "*"})

    shown = await page(clients.anonymous, f"/objects/{model}")

    sources, results = shown.all("ul", class_="steps")
    assert [" ".join(part.text.split()) for part in (sources, results)] == [
        (
            "Derived from Training data set, withdrawn Derived from DOI 10.5281/zenodo.1 "
            "Used by Third run Data Training data set Used by Third run An object that is not public"
        ),
        "Has Weights Model weights",
    ]
    assert "Secret" not in (await clients.anonymous.get(f"/objects/{model}")).text
    assert f"/objects/{data}" in [link.attributes["href"] for link in shown.all("a")]
    of_data = await page(clients.anonymous, f"/objects/{data}")
    assert of_data.texts("ul", class_="steps") == ["Made by Third run Model <b> Model"]
    assert (await page(clients.anonymous, f"/objects/{weights}")).texts("ul", class_="steps") == [
        "Belongs to Model <b> Model"
    ]
    named = await page(clients.anonymous, f"/objects/{weights}")
    assert (named.facts()["Model"], named.links()["Model <b>"]) == ("Model <b>", f"/objects/{model}")
    # Of what nothing is recorded, nothing is shown.
    assert (await page(clients.anonymous, f"/objects/{await made('Alone')}")).all("ul", class_="steps") == []


async def test_what_an_object_names_is_called_by_its_title_only_for_those_who_may_see_it(clients: Clients) -> None:
    async def made(kind: str, **metadata: Any) -> str:
        body = plain("web/named", title=f"The {kind}", visibility="public", kind=kind, metadata=metadata)
        return str((await register(clients.ingest, body))["id"])

    model = await made("model")
    weights = await made("weights", model=model)
    members = [{"type": "object", "id": model}, {"type": "object", "id": weights, "name": "its weights"}]
    bundle = await made("ecr-bundle", version="1", members=members)

    shown = await page(clients.anonymous, f"/objects/{bundle}")
    await patch(clients.ingest, model, {"visibility": "private"})
    hidden = [await page(clients.anonymous, f"/objects/{one}") for one in (bundle, weights)]

    assert [shown.links().get(name) for name in ("The model", "its weights")] == [
        f"/objects/{model}",
        f"/objects/{weights}",
    ]
    assert hidden[1].facts()["Model"] == model
    assert [one.links().get("The model") for one in hidden] == [None, None]


async def test_an_object_shows_who_is_responsible_for_it_and_for_whom_they_acted(clients: Clients) -> None:
    ana = {"type": "person", "name": "Rivera, <b>Ana</b>", "orcid": "0000-0002-1825-0097"}
    lab = {"type": "organization", "name": "Argonne", "ror": "05gvnxz63"}
    bot = {"type": "software", "name": "scheduler", "version": "4"}

    async def made(title: str, **run: Any) -> tuple[str, str]:
        body = plain("web/responsible", title=title, visibility="public")
        object_id = str((await register(clients.ingest, body))["id"])
        told = {"type": "run", "label": f"Run of {title}", "used": [], "generated": [object_id], **run}
        answer = await clients.ingest.post("/api/activities", json=told)
        assert answer.status_code == 201, answer.text
        return object_id, str(answer.json()["id"])

    secret, hidden = await made("Secret")
    _, shown = await made("Shown")
    behalf = [{"agent": bot, "responsible": ana}]
    model, _ = await made("Model", agents=[bot | {"role": "operator"}], delegations=behalf, informed_by=[shown, hidden])
    for said in (
        {"type": "wasAttributedTo", "agent": ana, "role": "author"},
        {"type": "actedOnBehalfOf", "agent": ana, "responsible": lab},
    ):
        answer = await clients.ingest.post(f"/api/objects/{model}/agents", json=said, headers={"If-Match": "*"})
        assert answer.status_code == 201, answer.text
    assert (await patch(clients.ingest, secret, {"visibility": "private"})).status_code == 200

    read = await page(clients.anonymous, f"/objects/{model}")

    assert read.texts("ul", class_="steps") == [
        (
            "Run of Model was informed by Run of Shown Activity "
            "Run of Model was informed by An activity that is not public"
        ),
        (
            "Attributed to Rivera, <b>Ana</b> author on behalf of Argonne "
            "Had a part in Run of Model scheduler operator on behalf of Rivera, <b>Ana</b>"
        ),
    ]
    assert read.links()["Rivera, <b>Ana</b>"] == "https://orcid.org/0000-0002-1825-0097"
    assert read.links()["Run of Shown"] == f"/api/activities/{shown}"
    assert "Secret" not in (await clients.anonymous.get(f"/objects/{model}")).text


async def test_a_page_for_people_says_where_nobody_can_log_in_and_what_to_use_instead(clients: Clients) -> None:
    shown = await page(clients.anonymous, "/saved-searches", 401)
    assert shown.texts("h1") == ["Nobody can log in here"]
    (said,) = shown.texts("p", class_="lead")
    assert "this catalog has no login" in said
    assert "CATALOG_OIDC_ISSUER" in said
    assert "a token does the same through the API and the command line" in said

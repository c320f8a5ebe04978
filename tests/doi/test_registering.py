"""From a published object to a findable DOI: what is checked before, what the registry is told, what it makes of it."""

import asyncio
from typing import Any

import httpx2
import psycopg
import pytest

from tests.conftest import eventually
from tests.docs.repository import ROOT
from tests.doi import standin
from tests.doi.conftest import Registered, draft, mint, patch, publish, published, state, told
from tests.doi.standin import PREFIX
from tests.web.reading import Page


@pytest.mark.req("SAGE-STORAGE-27")
async def test_a_doi_is_reserved_registered_and_findable_with_what_is_mandatory(catalog: Registered) -> None:
    object_id = await published(catalog.ingest, "Soil moisture, plot 7")

    first = await catalog.ingest.post(f"/api/objects/{object_id}/doi")
    again = await catalog.ingest.post(f"/api/objects/{object_id}/doi")

    doi = first.json()["doi"]
    assert (first.status_code, again.status_code, again.json()["doi"]) == (201, 200, doi)
    assert first.json()["state"] == "reserved"
    assert doi.startswith(f"{PREFIX}/")
    found = await state(catalog.ingest, doi, "findable")
    assert (found["resolves"], found["errors"], found["reason"]) == (True, [], None)
    kept = catalog.registry.dois[doi]
    assert kept["state"] == "findable"
    mandatory = ("doi", "creators", "titles", "publisher", "publicationYear", "types", "url")
    assert {name: kept["attributes"][name] for name in mandatory} == {
        "doi": doi,
        "creators": [
            {
                "name": "Rivera, Ana",
                "nameType": "Personal",
                "familyName": "Rivera",
                "givenName": "Ana",
                "nameIdentifiers": [
                    {
                        "nameIdentifier": "https://orcid.org/0000-0002-1825-0097",
                        "nameIdentifierScheme": "ORCID",
                        "schemeUri": "https://orcid.org",
                    }
                ],
            }
        ],
        "titles": [{"title": "Soil moisture, plot 7"}],
        "publisher": {"name": "Science Catalog"},
        "publicationYear": 2024,
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Training data set"},
        "url": f"{catalog.live.url}/doi/{doi}",
    }
    assert [event for one, event in catalog.registry.asked if one == doi] == ["publish"]


@pytest.mark.req("SAGE-STORAGE-27")
async def test_the_preflight_tells_everything_at_once_and_nothing_is_reserved(catalog: Registered) -> None:
    said = draft("Untitled", visibility="private", dates=[{"type": "Other", "date": "2024"}], licence=None)
    object_id = (await catalog.ingest.post("/api/objects", json=said)).json()["id"]

    checked = await catalog.ingest.get(f"/api/objects/{object_id}/doi/preflight")
    refused = await catalog.ingest.post(f"/api/objects/{object_id}/doi")

    # The last one is asked for by the quality of the record: who has a DOI passes.
    pointers = ["/visibility", "/versions", "/title", "/dates/0/information", "/licence"]
    assert (refused.status_code, [one["pointer"] for one in refused.json()["errors"]]) == (422, pointers)
    body = checked.json()
    assert (body["ready"], [one["pointer"] for one in body["faults"]]) == (False, pointers)
    assert [one["pointer"] for one in body["advice"]] == ["/description", "/keywords"]
    assert (await catalog.ingest.get(f"/api/objects/{object_id}/doi")).json() == {"items": []}


async def test_what_the_registry_refuses_is_shown_by_its_field_until_it_is_mended(catalog: Registered) -> None:
    catalog.registry.unwanted = lambda told: (
        {"titles": "This title is not allowed."} if "wicked" in told["titles"][0]["title"] else {}
    )
    object_id = await published(catalog.ingest, "Something wicked")
    doi = await mint(catalog.ingest, object_id)

    failed = await state(catalog.ingest, doi, "failed")
    listed = (await catalog.clients.curator.get("/api/dois", params={"state": "failed"})).json()["items"]
    public = await catalog.clients.anonymous.get(f"/doi/{doi}")

    async def waiting() -> bool:
        # The queues tell of objects that have been indexed.
        queue = (await catalog.clients.curator.get("/api/curation/queues/failed-dois")).json()["items"]
        return object_id in [one["id"] for one in queue]

    assert failed["errors"] == [{"pointer": "/titles", "message": "This title is not allowed."}]
    assert failed["reason"] == "The registry refused the metadata with 422."
    assert [one for one in listed if one["doi"] == doi] == [failed]
    assert public.status_code == 404
    await eventually(waiting)
    await patch(catalog.ingest, object_id, title="Something tame")
    mended = await state(catalog.ingest, doi, "findable")
    assert (mended["errors"], mended["reason"]) == ([], None)
    assert (await catalog.clients.anonymous.get(f"/doi/{doi}")).status_code == 200


async def test_a_failed_doi_is_tried_again_when_asked(catalog: Registered) -> None:
    catalog.registry.unwanted = lambda told: (
        {"creators": "Nobody we know."} if told["titles"][0]["title"] == "R" else {}
    )
    object_id = await published(catalog.ingest, "R")
    doi = await mint(catalog.ingest, object_id)
    await state(catalog.ingest, doi, "failed")
    foreign = await catalog.clients.other.post(f"/api/dois/{doi}/retry")
    catalog.registry.unwanted = lambda _: {}

    again = await catalog.ingest.post(f"/api/dois/{doi}/retry")

    assert (again.status_code, foreign.status_code) == (202, 404)
    await state(catalog.ingest, doi, "findable")
    needless = await catalog.ingest.post(f"/api/dois/{doi}/retry")
    assert needless.status_code == 409


async def test_a_changed_object_is_told_anew_and_an_unchanged_one_is_not(catalog: Registered) -> None:
    object_id = await published(catalog.ingest, "First title")
    doi = await mint(catalog.ingest, object_id)
    await state(catalog.ingest, doi, "findable")

    await patch(catalog.ingest, object_id, title="Second title")

    async def titled() -> bool:
        return catalog.registry.dois[doi]["attributes"]["titles"] == [{"title": "Second title"}]

    await eventually(titled)
    # What DataCite is not told changes nothing there.
    await patch(catalog.ingest, object_id, custom={"shelf": "3"})
    await patch(catalog.ingest, object_id, title="Third title")

    async def third() -> bool:
        return catalog.registry.dois[doi]["attributes"]["titles"] == [{"title": "Third title"}]

    await eventually(third)
    assert [event for one, event in catalog.registry.asked if one == doi] == ["publish"] * 3


@pytest.mark.req("SAGE-STORAGE-28")
async def test_a_renamed_term_is_told_anew_for_what_says_it_now_and_for_versions_that_said_it(
    catalog: Registered,
) -> None:
    vocabulary = (ROOT / "vocabularies" / "scientific-fields.ttl").read_text(encoding="utf-8")
    object_id = await published(catalog.ingest, "Rain", subjects=["Meteorology"])
    doi, edition = await mint(catalog.ingest, object_id), await mint(catalog.ingest, object_id, 1)
    former = await published(catalog.ingest, "Rain of before", subjects=["Meteorology"])
    await patch(catalog.ingest, former, subjects=["Ecology"])
    former_doi, former_edition = await mint(catalog.ingest, former), await mint(catalog.ingest, former, 1)
    dois = [doi, edition, former_doi, former_edition]
    for one in dois:
        await state(catalog.ingest, one, "findable")

    def subjects() -> list[str]:
        return [catalog.registry.dois[one]["attributes"]["subjects"][0]["subject"] for one in dois]

    async def load(text: str) -> None:
        answer = await catalog.clients.curator.put(
            "/api/vocabularies/scientific-fields", content=text.encode(), headers={"Content-Type": "text/turtle"}
        )
        assert answer.status_code == 200, answer.text

    async def told(*wanted: str) -> bool:
        return subjects() == list(wanted)

    assert subjects() == ["Meteorology", "Meteorology", "Ecology", "Meteorology"]
    await load(vocabulary.replace('"Meteorology"@en', '"Weather lore"@en'))
    await eventually(lambda: told("Weather lore", "Weather lore", "Ecology", "Weather lore"))
    asked = len(catalog.registry.asked)

    await load(vocabulary.replace('"Scientific fields"@en', '"Fields of science"@en'))

    async def renamed() -> bool:
        schemes = {catalog.registry.dois[one]["attributes"]["subjects"][0]["subjectScheme"] for one in dois}
        return schemes == {"Fields of science"}

    await eventually(renamed)
    assert subjects() == ["Meteorology", "Meteorology", "Ecology", "Meteorology"]
    # Nobody else's DOI was told anything.
    assert {one for one, _ in catalog.registry.asked[asked:]} == set(dois)
    await load(vocabulary)


@pytest.mark.req("SAGE-STORAGE-27")
async def test_a_version_has_a_doi_of_its_own_that_names_the_object(catalog: Registered) -> None:
    object_id = await published(catalog.ingest, "Edition one")
    await patch(catalog.ingest, object_id, title="Edition two")
    await publish(catalog.ingest, object_id)

    concept = await mint(catalog.ingest, object_id)
    first = await mint(catalog.ingest, object_id, 1)
    for doi in (concept, first):
        await state(catalog.ingest, doi, "findable")

    async def linked() -> bool:
        kept = {doi: catalog.registry.dois[doi]["attributes"].get("relatedIdentifiers") for doi in (concept, first)}
        return kept == {
            concept: [{"relatedIdentifierType": "DOI", "relatedIdentifier": first, "relationType": "HasVersion"}],
            first: [{"relatedIdentifierType": "DOI", "relatedIdentifier": concept, "relationType": "IsVersionOf"}],
        }

    await eventually(linked)
    titles = {doi: catalog.registry.dois[doi]["attributes"]["titles"] for doi in (concept, first)}
    assert titles == {concept: [{"title": "Edition two"}], first: [{"title": "Edition one"}]}
    assert catalog.registry.dois[first]["attributes"]["version"] == "1"
    page = (await catalog.clients.anonymous.get(f"/doi/{first}")).text
    assert ("Edition one" in page, first in page) == (True, True)


async def test_a_wrong_account_fails_every_doi_with_one_reason_until_it_is_mended(catalog: Registered) -> None:
    catalog.registry.password = "changed"
    object_id = await published(catalog.ingest, "Locked out")
    doi = await mint(catalog.ingest, object_id)

    failed = await state(catalog.ingest, doi, "failed")

    assert failed["reason"] == (
        "The registry refuses this catalog with 401: look at CATALOG_DOI_REGISTRY_USER, its password and "
        "CATALOG_DOI_PREFIX. It said: Bad credentials."
    )
    catalog.registry.password = standin.PASSWORD
    # A new process may have a new account: what was refused for the old one is told again.
    catalog.live.processes["indexer"].kill()
    catalog.live.processes["indexer"].wait()
    catalog.live.start("indexer")
    assert (await state(catalog.ingest, doi, "findable"))["reason"] is None


@pytest.mark.req("SAGE-STORAGE-27")
async def test_what_is_withdrawn_is_hidden_and_leaves_a_page_that_says_why(catalog: Registered) -> None:
    object_id = await published(catalog.ingest, "A mistaken result")
    doi = await mint(catalog.ingest, object_id)
    await state(catalog.ingest, doi, "findable")

    withdrawn = await catalog.ingest.delete(
        f"/api/objects/{object_id}", headers={"If-Match": "*"}, params={"reason": "The sensor was broken"}
    )
    hidden = await state(catalog.ingest, doi, "hidden")

    assert withdrawn.status_code == 204
    assert catalog.registry.dois[doi]["state"] == "registered"
    assert hidden["page"] == f"{catalog.live.url}/doi/{doi}"
    page = await catalog.clients.anonymous.get(f"/doi/{doi}")
    assert page.status_code == 200
    assert ("A mistaken result" in page.text, "The sensor was broken." in page.text) == (True, True)
    assert "/files/" not in page.text
    listed = await catalog.ingest.get(f"/api/objects/{object_id}/doi")
    assert [one["state"] for one in listed.json()["items"]] == ["hidden"]


async def test_a_withdrawn_version_is_hidden_and_its_page_leads_to_what_is_left(catalog: Registered) -> None:
    object_id = await published(catalog.ingest, "Edition with a fault")
    await patch(catalog.ingest, object_id, title="Edition without it")
    await publish(catalog.ingest, object_id)
    doi = await mint(catalog.ingest, object_id, 1)
    await state(catalog.ingest, doi, "findable")

    await catalog.ingest.delete(
        f"/api/objects/{object_id}/versions/1", headers={"If-Match": "*"}, params={"reason": "Wrong units"}
    )
    await state(catalog.ingest, doi, "hidden")

    page = (await catalog.clients.anonymous.get(f"/doi/{doi}")).text
    assert ("Edition with a fault" in page, "Wrong units." in page, f"/objects/{object_id}" in page) == (
        True,
        True,
        True,
    )


async def test_what_becomes_private_is_hidden_and_tells_nothing_new_and_comes_back(catalog: Registered) -> None:
    object_id = await published(catalog.ingest, "Open for now")
    doi = await mint(catalog.ingest, object_id)
    await state(catalog.ingest, doi, "findable")

    await patch(catalog.ingest, object_id, visibility="private", title="A secret title")
    await state(catalog.ingest, doi, "hidden")

    page = (await catalog.clients.anonymous.get(f"/doi/{doi}")).text
    assert ("Open for now" in page, "A secret title" in page) == (True, False)
    shown = (await catalog.clients.anonymous.get(f"/api/dois/{doi}")).json()
    assert (shown["title"], (await told(catalog.ingest, doi))["title"]) == ("Open for now", "A secret title")
    assert (await catalog.clients.anonymous.get(f"/api/objects/{doi}")).status_code == 404
    await patch(catalog.ingest, object_id, visibility="public", title="Open again")
    await state(catalog.ingest, doi, "findable")
    assert catalog.registry.dois[doi]["attributes"]["titles"] == [{"title": "Open again"}]


async def test_the_page_of_a_doi_is_not_there_before_the_registry_has_answered(catalog: Registered) -> None:
    answers = asyncio.Event()
    catalog.registry.mishap = lambda _: standin.FINE if answers.is_set() else standin.BROKEN
    object_id = await published(catalog.ingest, "Not yet")
    doi = await mint(catalog.ingest, object_id)

    waiting = await state(catalog.ingest, doi, "registering")

    async def tried() -> dict[str, Any] | None:
        found = await told(catalog.ingest, doi)
        return found if found["reason"] else None

    reason = await eventually(tried)
    before = await catalog.clients.anonymous.get(f"/doi/{doi}")
    strange = await catalog.clients.anonymous.get(f"/api/dois/{doi}")
    cited = await catalog.clients.anonymous.get(f"/api/objects/{object_id}", params={"format": "bibtex"})
    answers.set()
    await state(catalog.ingest, doi, "findable")
    assert waiting["errors"] == []
    assert reason is not None
    assert reason["reason"] == "The registry answered with 500."
    assert (before.status_code, strange.status_code, doi in cited.text) == (404, 404, False)
    cited = await catalog.clients.anonymous.get(f"/api/objects/{object_id}", params={"format": "bibtex"})
    assert f"https://doi.org/{doi}" in cited.text


async def test_nothing_is_locked_and_no_transaction_open_while_the_registry_is_asked(catalog: Registered) -> None:
    object_id = await published(catalog.ingest, "Changed meanwhile")
    catalog.registry.mishap = lambda _: standin.TIMEOUT
    doi = await mint(catalog.ingest, object_id)

    async def asked() -> bool:
        return doi in [one for one, _ in catalog.registry.asked]

    await eventually(asked)
    with psycopg.connect(str(catalog.live.settings.database_url), autocommit=True) as connection:
        # Raises where anybody holds one of them as long as the registry is waited for.
        connection.execute("SET lock_timeout = '1s'")
        connection.execute("SELECT 1 FROM object WHERE id = %s FOR UPDATE", [object_id])
        row = connection.execute("SELECT state FROM doi WHERE doi = %s FOR UPDATE", [doi]).fetchone()
    catalog.registry.mishap = lambda _: standin.FINE

    assert row == ("registering",)
    await state(catalog.ingest, doi, "findable")


async def test_a_doi_is_accepted_wherever_an_id_is(catalog: Registered) -> None:
    object_id = await published(catalog.ingest, "Named by its DOI")
    concept, first = await mint(catalog.ingest, object_id), await mint(catalog.ingest, object_id, 1)
    await state(catalog.ingest, concept, "findable")
    encoded = concept.replace("/", "%2F")

    async def found(address: str) -> httpx2.Response:
        return await catalog.clients.anonymous.get(address)

    plain = await found(f"/api/objects/{object_id}")
    answers = [await found(f"/api/objects/{one}") for one in (concept, encoded, concept.upper())]
    assert [answer.json() for answer in answers] == [plain.json()] * 3
    assert (await found(f"/api/objects/{encoded}/versions")).json()["latest"] == 1
    assert (await found(f"/api/objects/{first}")).json()["version"]["number"] == 1
    assert (await found(f"/objects/{encoded}")).status_code == 200
    assert (await found(f"/api/objects/{concept[:-1]}~")).status_code == 404
    assert (await found("/api/objects/10.1234/another")).status_code == 404


async def test_a_landing_page_tells_people_and_programs_the_same(catalog: Registered) -> None:
    object_id = await published(catalog.ingest, "Read by machines")
    doi = await mint(catalog.ingest, object_id)
    await state(catalog.ingest, doi, "findable")
    page = f"{catalog.live.url}/doi/{doi}"

    shown = await catalog.clients.anonymous.get(page, headers={"Accept": "text/html,*/*;q=0.8"})
    csl = await catalog.clients.anonymous.get(page, headers={"Accept": "application/vnd.citationstyles.csl+json"})

    assert csl.json()["DOI"] == doi
    assert shown.headers["content-type"].startswith("text/html")
    assert f'"@id":"https://doi.org/{doi}"' in shown.text
    assert f"https://doi.org/{doi}" in shown.text
    links = shown.headers["link"].split(", ")
    assert links[0] == f'<https://doi.org/{doi}>; rel="cite-as"'
    assert '<https://orcid.org/0000-0002-1825-0097>; rel="author"' in links
    assert sum('rel="describedby"' in link for link in links) == 8


async def test_the_page_of_a_doi_shows_provenance_and_the_page_of_the_object_links_the_doi(
    catalog: Registered,
) -> None:
    object_id = await published(catalog.ingest, "Derived")
    answer = await catalog.ingest.post(
        f"/api/objects/{object_id}/relations",
        json={"type": "IsDerivedFrom", "identifier": {"type": "DOI", "value": "10.5281/zenodo.1"}},
        headers={"If-Match": "*"},
    )
    assert answer.status_code == 201, answer.text
    doi = await mint(catalog.ingest, object_id)
    await state(catalog.ingest, doi, "findable")

    shown = [
        Page((await catalog.clients.anonymous.get(address)).text)
        for address in (f"/doi/{doi}", f"/objects/{object_id}")
    ]

    assert [one.texts("ul", class_="steps") for one in shown] == [["Derived from DOI 10.5281/zenodo.1"]] * 2
    assert {one.links()[doi] for one in shown} == {f"https://doi.org/{doi}"}


async def test_dois_are_listed_for_those_who_may_change_what_they_name(catalog: Registered) -> None:
    object_id = await published(catalog.ingest, "Mine")
    doi = await mint(catalog.ingest, object_id)
    foreign = await catalog.clients.other.post(f"/api/objects/{object_id}/doi")

    async def listed(client: httpx2.AsyncClient) -> list[str]:
        dois: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await client.get("/api/dois", params={"limit": 5, **cursor})).json()
            dois += [one["doi"] for one in page["items"]]
            if page["cursor"] is None:
                return dois
            cursor = {"cursor": page["cursor"]}

    own, all_of_them = await listed(catalog.ingest), await listed(catalog.clients.curator)
    assert (doi in own, doi in all_of_them) == (True, True)
    # Other tests make DOIs of theirs as the other service: none of them is of both.
    assert set(own).isdisjoint(await listed(catalog.clients.other))
    assert len(set(own)) == len(own)
    assert foreign.status_code == 403
    assert (await catalog.clients.anonymous.get("/api/dois")).status_code == 401

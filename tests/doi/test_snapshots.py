"""A snapshot of a search stays as it was taken, holds what is public, and can be cited."""

import hashlib
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from catalog.engines import opened
from catalog.errors import TooLarge
from catalog.search.query import Question
from catalog.snapshots import freezing
from tests.conftest import eventually
from tests.doi import standin
from tests.doi.conftest import Registered, draft, patch, published, state
from tests.web.reading import Page

CREATORS = [{"name": "Rivera, Ana"}]


async def taken(client: httpx2.AsyncClient, project: str, **said: Any) -> httpx2.Response:
    """Ask for a snapshot of what is in a project."""
    body = {"title": "Soil, as of today", "creators": CREATORS, "query": {"project": [project]}} | said
    return await client.post("/api/snapshots", json=body)


async def asked_for(catalog: Registered, doi: str) -> bool:
    """Whether the registry has been asked for a DOI."""
    return any(doi == one for one, _ in catalog.registry.asked)


async def indexed(client: httpx2.AsyncClient, project: str, count: int) -> None:
    """Wait until a search by anybody finds so many objects of a project."""

    async def found() -> bool:
        page = (await client.get("/api/search", params={"project": project})).json()
        return bool(page["total"] == count)

    await eventually(found)


@pytest.mark.req("SAGE-STORAGE-27")
async def test_a_snapshot_is_what_everybody_saw_then_and_has_a_doi(catalog: Registered) -> None:
    project = f"doi/p{uuid4().hex[:12]}"
    ids = [await published(catalog.ingest, f"Soil {number}", project=project) for number in range(3)]
    hidden = await catalog.ingest.post("/api/objects", json=draft("Secret", project=project, visibility="private"))
    await indexed(catalog.clients.anonymous, project, 3)

    answer = await taken(catalog.ingest, project)

    assert answer.status_code == 201, answer.text
    snapshot = answer.json()
    members = snapshot["members"]
    assert [(one["id"], one["title"], one["now"]) for one in members] == [
        (object_id, f"Soil {number}", "same") for number, object_id in enumerate(ids)
    ]
    assert hidden.json()["id"] not in answer.text
    whole = "".join(f"{one['digest']}\n" for one in members).encode()
    assert snapshot["digest"] == hashlib.sha256(whole).hexdigest()
    assert (snapshot["query"], snapshot["members_total"]) == ({"project": [project]}, 3)

    # What happens afterwards changes none of it.
    await patch(catalog.ingest, ids[0], title="Soil, renamed")
    await patch(catalog.ingest, ids[1], visibility="private", title="Now a secret")
    await catalog.ingest.delete(f"/api/objects/{ids[2]}", headers={"If-Match": "*"}, params={"reason": "Wrong"})
    place = f"/api/snapshots/{snapshot['id']}"
    later = (await catalog.clients.anonymous.get(place)).json()
    assert [(one["title"], one["now"]) for one in later["members"]] == [
        ("Soil 0", "changed"),
        (None, "hidden"),
        ("Soil 2", "withdrawn"),
    ]
    kept = {name: value for name, value in later.items() if name != "members"}
    assert kept == {name: value for name, value in snapshot.items() if name != "members"}

    minted = await catalog.ingest.post(f"{place}/doi")
    doi = minted.json()["doi"]
    assert (minted.status_code, minted.json()["snapshot"]) == (201, snapshot["id"])
    assert (await catalog.clients.other.post(f"{place}/doi")).status_code == 403
    await state(catalog.ingest, doi, "findable")
    told = catalog.registry.dois[doi]["attributes"]
    assert told["types"]["resourceTypeGeneral"] == "Collection"
    assert snapshot["digest"] in told["descriptions"][0]["description"]
    page = await catalog.clients.anonymous.get(f"/doi/{doi}")
    assert ("Soil, as of today" in page.text, "Soil 0" in page.text, doi in page.text) == (True, True, True)
    assert "Now a secret" not in page.text
    assert "Soil 1" not in page.text
    cited = await catalog.clients.anonymous.get(place, params={"format": "apa"})
    assert cited.text.endswith(f"https://doi.org/{doi}")
    assert (await catalog.clients.anonymous.get(f"/snapshots/{snapshot['id']}")).status_code == 200


async def test_the_members_come_page_by_page(catalog: Registered) -> None:
    project = f"doi/p{uuid4().hex[:12]}"
    titles = [f"Rock {number}" for number in range(5)]
    for title in titles:
        await published(catalog.ingest, title, project=project)
    await indexed(catalog.clients.anonymous, project, 5)
    snapshot = (await taken(catalog.ingest, project)).json()

    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await catalog.clients.anonymous.get(f"/api/snapshots/{snapshot['id']}", params={"limit": 2, **cursor})
        found += [one["title"] for one in page.json()["members"]]
        if page.json()["cursor"] is None:
            break
        cursor = {"cursor": page.json()["cursor"]}

    assert found == titles


async def test_more_than_a_snapshot_holds_is_refused_with_the_figures(
    catalog: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = f"doi/p{uuid4().hex[:12]}"
    for number in range(2):
        await published(catalog.ingest, f"Sand {number}", project=project)
    await indexed(catalog.clients.anonymous, project, 2)
    monkeypatch.setattr(freezing, "MEMBERS_MAX", 1)

    async with opened(catalog.live.settings) as engines:
        with pytest.raises(TooLarge) as refused:
            await freezing.found(engines.index, Question(filters={"project": (project,)}))

    assert refused.value.detail == (
        "The question finds 2 public objects, and a snapshot holds at most 1: narrow it by filters."
    )


async def test_what_cannot_be_cited_is_not_frozen(catalog: Registered) -> None:
    nothing = await taken(catalog.ingest, f"doi/p{uuid4().hex[:12]}")
    nobody = await taken(catalog.clients.anonymous, "doi/tests")
    wrong = await catalog.ingest.post("/api/snapshots", json={"title": "", "creators": [], "query": {"knid": []}})

    assert (nothing.status_code, nothing.json()["errors"][0]["pointer"]) == (422, "/query")
    assert nobody.status_code == 401
    assert [one["pointer"] for one in wrong.json()["errors"]] == ["/title", "/creators", "/query/knid"]
    assert (await catalog.clients.anonymous.get(f"/api/snapshots/{uuid4()}")).status_code == 404


async def test_the_page_of_a_snapshot_says_what_was_asked_in_the_words_of_the_search(catalog: Registered) -> None:
    project = f"doi/p{uuid4().hex[:12]}"
    await published(catalog.ingest, "Soil", project=project)
    await indexed(catalog.clients.anonymous, project, 1)
    question = {"q": "soil", "project": [project], "kind": ["training-dataset"]}
    made = await taken(catalog.ingest, project, query=question)

    shown = Page((await catalog.clients.anonymous.get(f"/snapshots/{made.json()['id']}")).text).facts()

    assert {name: shown[name] for name in ("Words", "Project", "Kind")} == {
        "Words": "soil",
        "Project": project,
        "Kind": "training-dataset",
    }


@pytest.mark.req("SAGE-STORAGE-27")
async def test_a_withdrawn_snapshot_is_hidden_lists_nothing_and_tells_when_and_why(catalog: Registered) -> None:
    project = f"doi/p{uuid4().hex[:12]}"
    member = await published(catalog.ingest, "Salt 0", project=project)
    await indexed(catalog.clients.anonymous, project, 1)
    place = f"/api/snapshots/{(await taken(catalog.ingest, project, title='Salt, as of today')).json()['id']}"
    kept = (await taken(catalog.ingest, project, title="Another one of it")).json()
    doi = (await catalog.ingest.post(f"{place}/doi")).json()["doi"]
    await state(catalog.ingest, doi, "findable")
    why = {"reason": "Asked the wrong way"}

    refused = [
        (await client.delete(place, params=asked)).status_code
        for client, asked in (
            (catalog.ingest, {}),
            (catalog.ingest, {"reason": " "}),
            (catalog.clients.anonymous, why),
            (catalog.clients.other, why),
        )
    ]
    still = await catalog.clients.anonymous.get(place)
    withdrawn = await catalog.ingest.delete(place, params=why)

    assert (refused, still.status_code, withdrawn.status_code) == ([400, 400, 401, 403], 200, 204)
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    await state(catalog.ingest, doi, "hidden")
    assert catalog.registry.dois[doi]["state"] == "registered"
    gone = await catalog.clients.anonymous.get(place)
    told = f"The snapshot {place.rpartition('/')[2]} was withdrawn on {day}: Asked the wrong way."
    assert (gone.status_code, gone.json()["detail"]) == (410, told)
    others = [
        await catalog.clients.anonymous.get(place, params={"format": "datacite"}),
        await catalog.ingest.post(f"{place}/doi"),
        await catalog.ingest.delete(place, params=why),
    ]
    assert [answer.status_code for answer in others] == [410, 410, 410]
    for address, status in ((f"/doi/{doi}", 200), (place.removeprefix("/api"), 410)):
        page = await catalog.clients.anonymous.get(address)
        assert (page.status_code, f"withdrawn on {day}: Asked the wrong way." in page.text) == (status, True)
        assert (member in page.text, "Salt 0" in page.text) == (False, False)
        heading = "Salt, as of today" if status == 200 else "This snapshot has been withdrawn"
        assert Page(page.text).texts("h1") == [heading]
    # The other snapshot of the same objects is as it was.
    assert (await catalog.clients.anonymous.get(f"/api/snapshots/{kept['id']}")).json() == kept

    history = await catalog.ingest.get(f"{place}/history")
    changes = [(one["by"], one["action"], one["changes"]) for one in history.json()["items"]]
    assert changes == [
        (None, "doi hidden", {"doi": doi}),
        ("ingest", "withdraw", {"reason": "Asked the wrong way"}),
        (None, "doi findable", {"doi": doi}),
        ("ingest", "mint doi", {"doi": doi}),
        ("ingest", "take snapshot", None),
    ]
    assert (await catalog.clients.other.get(f"{place}/history")).status_code == 403
    assert (await catalog.clients.curator.get(f"{place}/history", params={"limit": 2})).json()["cursor"] is not None


async def test_a_snapshot_withdrawn_while_its_doi_is_being_registered_never_becomes_findable(
    catalog: Registered,
) -> None:
    project = f"doi/p{uuid4().hex[:12]}"
    await published(catalog.ingest, "Clay", project=project)
    await indexed(catalog.clients.anonymous, project, 1)
    place = f"/api/snapshots/{(await taken(catalog.ingest, project)).json()['id']}"
    catalog.registry.mishap = lambda _: standin.SLOW_DOWN
    doi = (await catalog.ingest.post(f"{place}/doi")).json()["doi"]
    await eventually(lambda: asked_for(catalog, doi))

    withdrawn = await catalog.clients.curator.delete(place, params={"reason": "Too early"})

    assert withdrawn.status_code == 204
    catalog.registry.mishap = lambda _: standin.FINE
    failed = await state(catalog.ingest, doi, "failed")
    assert failed["reason"] == "Its subject is not public any more."
    assert catalog.registry.states()[doi] == "draft"
    assert (await catalog.clients.anonymous.get(f"/doi/{doi}")).status_code == 404

"""Terms that people miss: proposed, listed, accepted, merged and declined, each once."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.api.conftest import plain, register
from tests.conftest import Clients, eventually
from tests.vocabulary.files import turtle

ADDRESS = "/api/vocabularies/{}/proposals"


@pytest.fixture
async def scheme(clients: Clients, project: str) -> str:
    """A vocabulary of this test's own."""
    name = f"s{project[-10:]}"
    text = turtle(f"urn:example:{name}", 'c:sound skos:prefLabel "Sound"@en', 'c:bird skos:prefLabel "Bird call"@en')
    answer = await clients.curator.put(
        f"/api/vocabularies/{name}", content=text.encode(), headers={"Content-Type": "text/turtle"}
    )
    assert answer.status_code == 200, answer.text
    return name


def bats(scheme: str, **said: Any) -> dict[str, Any]:
    return {
        "label": "Bat call",
        "definition": "A sound above what people hear.",
        "broader": f"urn:example:{scheme}:sound",
        "reason": "We record bats.",
    } | said


async def propose(client: httpx2.AsyncClient, scheme: str, **said: Any) -> dict[str, Any]:
    answer = await client.post(ADDRESS.format(scheme), json=bats(scheme, **said))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def decide(client: httpx2.AsyncClient, made: dict[str, Any], verb: str, **said: str) -> httpx2.Response:
    address = f"{ADDRESS.format(made['scheme'])}/{made['id']}/{verb}"
    return await client.post(address, json=said) if said else await client.post(address)


@pytest.mark.req("SAGE-STORAGE-29")
async def test_an_accepted_term_is_a_concept(clients: Clients, scheme: str) -> None:
    made = await propose(clients.ingest, scheme)

    accepted, again = [await decide(clients.curator, made, "accept") for _ in range(2)]

    uri = f"urn:example:{scheme}:bat-call"
    concept = (await clients.anonymous.get("/api/concepts", params={"uri": uri})).json()
    assert (accepted.status_code, again.status_code, again.json()) == (200, 200, accepted.json())
    assert accepted.json() == made | {
        "state": "accepted",
        "concept": uri,
        "decided_at": accepted.json()["decided_at"],
    }
    assert {name: concept[name] for name in ("label", "preferred", "definitions", "broader", "deprecated")} == {
        "label": "Bat call",
        "preferred": {"en": "Bat call"},
        "definitions": {"en": "A sound above what people hear."},
        "broader": [f"urn:example:{scheme}:sound"],
        "deprecated": False,
    }
    told = (await clients.anonymous.get(f"/api/vocabularies/{scheme}")).json()
    assert (told["revision"], told["concepts"]) == (2, 3)


@pytest.mark.req("SAGE-STORAGE-29")
async def test_a_merged_term_is_a_synonym_by_which_objects_are_found(clients: Clients, project: str) -> None:
    label = f"Zz{project[-8:]}ology"
    body = plain(project, subjects=["Ornithology"], visibility="public")
    object_id = (await register(clients.ingest, body))["id"]
    said = bats("", label=label, broader=None, language="de")
    made = (await clients.ingest.post(ADDRESS.format("scientific-fields"), json=said)).json()

    into = "urn:x-catalog:scientific-fields:ornithology"
    merged, again = [await decide(clients.curator, made, "merge", into=into) for _ in range(2)]

    async def found() -> bool:
        answer = await clients.anonymous.get("/api/search", params={"q": label})
        return [hit["id"] for hit in answer.json()["hits"] if hit["project"] == project] == [object_id]

    assert (merged.status_code, merged.json()["state"], merged.json()["concept"]) == (200, "merged", into)
    assert again.json() == merged.json()
    assert await eventually(found)
    taken = await register(clients.ingest, plain(project, subjects=[label.upper()]))
    assert taken["subjects"] == [into]


@pytest.mark.req("SAGE-STORAGE-29")
async def test_a_declined_term_says_why_and_may_be_proposed_again(clients: Clients, scheme: str) -> None:
    made = await propose(clients.ingest, scheme)

    declined, again = [await decide(clients.curator, made, "decline", reason="Too narrow.") for _ in range(2)]
    second = await propose(clients.ingest, scheme)

    assert (declined.json()["state"], declined.json()["answer"], again.json()) == (
        "declined",
        "Too narrow.",
        declined.json(),
    )
    assert second["id"] != made["id"]


async def test_what_is_decided_is_not_decided_otherwise(clients: Clients, scheme: str) -> None:
    made = await propose(clients.ingest, scheme)
    await decide(clients.curator, made, "decline", reason="Too narrow.")

    answers = [
        await decide(clients.curator, made, "accept"),
        await decide(clients.curator, made, "merge", into=f"urn:example:{scheme}:sound"),
        await decide(clients.curator, made, "decline", reason="Another."),
    ]

    assert [(one.status_code, one.json()["detail"]) for one in answers] == [
        (409, "The proposal was declined already.")
    ] * 3


async def test_a_term_waits_once_however_often_it_is_proposed(clients: Clients, scheme: str) -> None:
    bodies = [bats(scheme, label=label) for label in ("Bat call", "bat  CALL", "Bät call", "Bat call")]

    answers = await asyncio.gather(*(clients.ingest.post(ADDRESS.format(scheme), json=one) for one in bodies))

    assert sorted(one.status_code for one in answers) == [200, 200, 200, 201]
    assert len({one.json()["id"] for one in answers}) == 1


async def test_a_term_that_is_there_or_has_no_place_is_refused(clients: Clients, scheme: str) -> None:
    answer = await clients.ingest.post(ADDRESS.format(scheme), json=bats(scheme, label="BIRD call", broader="urn:no"))

    assert (answer.status_code, answer.json()["errors"]) == (
        422,
        [
            {
                "pointer": "/label",
                "message": f"the concept urn:example:{scheme}:bird is called so already",
                "suggestion": "Bird call",
            },
            {
                "pointer": "/broader",
                "message": f"must be the URI of a concept of {scheme} that is not deprecated",
            },
        ],
    )


@pytest.mark.req("SAGE-STORAGE-29")
async def test_who_may_propose_decide_and_see(clients: Clients, scheme: str) -> None:
    made = await propose(clients.ingest, scheme)
    body = bats(scheme, label="Frog call")
    everybody = (clients.anonymous, clients.reader, clients.ingest, clients.other, clients.curator, clients.admin)

    proposing = [(await client.post(ADDRESS.format(scheme), json=body)).status_code for client in everybody]
    deciding = [(await decide(client, made, "accept")).status_code for client in everybody]
    seeing = [(await client.get(ADDRESS.format(scheme))).json().get("items") for client in everybody]

    assert proposing == [401, 403, 201, 200, 200, 200]
    assert deciding == [401, 403, 403, 403, 200, 200]
    assert [None if one is None else [item["label"] for item in one] for one in seeing] == [
        None,
        [],
        ["Frog call", "Bat call"],
        [],
        ["Frog call", "Bat call"],
        ["Frog call", "Bat call"],
    ]
    waiting = (await clients.curator.get(ADDRESS.format(scheme), params={"state": "open"})).json()["items"]
    assert [one["label"] for one in waiting] == ["Frog call"]

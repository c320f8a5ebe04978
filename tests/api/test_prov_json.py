"""PROV-JSON over HTTP: what goes out comes in again, once, and nothing is taken that the caller may not say."""

import json
import time
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from catalog.provenance.prov_json_document import RECORDS_MAX
from tests.api.conftest import Draft, patch, read, register
from tests.api.problems import problem_of
from tests.api.truth import history
from tests.conftest import Clients, Engines

pytestmark = pytest.mark.usefixtures("noise")

# Whoever fetched or read on would take longer, on a busy machine too.
REFUSED_SECONDS_MAX = 5.0
ABSENT = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"
PERSON = {"$": "prov:Person", "type": "prov:QUALIFIED_NAME"}


async def made(client: httpx2.AsyncClient, draft: Draft, **said: Any) -> str:
    """Register an object and return its id."""
    object_id: str = (await register(client, draft | said))["id"]
    return object_id


async def sent(client: httpx2.AsyncClient, document: Any, **asked: Any) -> httpx2.Response:
    """Import a document."""
    headers = {"Content-Type": "application/provenance+json"}
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return await client.post("/api/provenance", content=body, headers=headers, params=asked)


async def imported(client: httpx2.AsyncClient, document: Any, **asked: Any) -> dict[str, Any]:
    """Import a document that has no faults."""
    answer = await sent(client, document, **asked)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def exported(client: httpx2.AsyncClient, object_id: str, **asked: Any) -> dict[str, Any]:
    """Read the provenance of an object as PROV-JSON."""
    answer = await client.get(f"/api/objects/{object_id}/provenance", params={"format": "prov-json", **asked})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/provenance+json")
    document: dict[str, Any] = answer.json()
    return document


def mapped(document: dict[str, Any], project: str) -> dict[str, Any]:
    """Return what a document says, with names in place of what differs from catalog to catalog."""
    elements = ("entity", "activity", "agent")
    text = json.dumps({section: told for section, told in document.items() if section != "prefix"})
    for part in elements:
        for name, told in document[part].items():
            text = text.replace(f'"{name}"', f'"{told.get("catalog:name") or told.get("prov:label") or name}"')
    sections = json.loads(text.replace(project, "here")).items()
    # How relations are called is the document's own business, as is their order.
    return {section: told if section in elements else sorted(told.values(), key=str) for section, told in sections}


@pytest.mark.req("SAGE-STORAGE-26")
async def test_what_goes_out_comes_in_elsewhere_and_says_the_same_there(clients: Clients, draft: Draft) -> None:
    projects = draft["project"], f"{draft['project']}-b"
    ids = [
        [await made(clients.ingest, draft, project=project, name=name) for name in ("raw", "data", "model", "newer")]
        for project in projects
    ]
    raw, data, model, newer = ids[0]
    for subject, said, target in (
        (data, "IsDerivedFrom", {"target": raw}),
        (model, "IsPreviousVersionOf", {"target": newer}),
        (raw, "IsVariantFormOf", {"identifier": {"type": "DOI", "value": "10.5281/zenodo.77"}}),
        (raw, "IsDerivedFrom", {"identifier": {"type": "PURL", "value": "https://purl.org/net/raw"}}),
        (newer, "IsSourceOf", {"identifier": {"type": "URN", "value": "urn:nbn:de:101:1-201102033592"}}),
    ):
        answer = await clients.ingest.post(
            f"/api/objects/{subject}/relations", json={"type": said, **target}, headers={"If-Match": "*"}
        )
        assert answer.status_code == 201, answer.text
    run = {
        "type": "training",
        "label": "Third run",
        "started": "2024-05-17T08:00:00Z",
        "ended": "2024-05-17T11:30:00Z",
        "parameters": {"epochs": 40, "rate": 0.001, "layers": [3, {"width": 64}], "µ": "ü"},
        "software": {"name": "PyTorch", "version": "2.3.0"},
        "code": {"url": "https://git.example.org/a.git", "commit": "9f" * 20, "path": "train.py"},
        "used": [data],
        "generated": [model],
        "agents": [
            {"type": "person", "name": "Rivera, Ana", "orcid": "0000-0002-1825-0097", "role": "operator"},
            {"type": "organization", "name": "Argonne", "ror": "05gvnxz63"},
            {"type": "software", "name": "scheduler", "version": "4"},
            {"type": "instrument", "name": "Sky camera", "identifier": "SN-17"},
        ],
    }
    assert (await clients.ingest.post("/api/activities", json=run)).status_code == 201
    there = await exported(clients.ingest, model, direction="both")

    told = await imported(clients.ingest, there, project=projects[1])

    here = await exported(clients.ingest, ids[1][2], direction="both")
    assert mapped(here, projects[1]) == mapped(there, projects[0])
    assert (told["relations_recorded"], [one["recorded"] for one in told["activities"]]) == (5, [True])
    assert told["left_out"] == []
    assert set(told["changed"]) == set(ids[1])
    # Nothing was lost on the way out either: the activity, in full, is in the document.
    (activity,) = there["activity"].values()
    assert activity == {
        "prov:type": "training",
        "prov:label": "Third run",
        "prov:startTime": "2024-05-17T08:00:00+00:00",
        "prov:endTime": "2024-05-17T11:30:00+00:00",
        "catalog:parameters": '{"epochs":40,"layers":[3,{"width":64}],"rate":0.001,"µ":"ü"}',
        "catalog:software": "PyTorch",
        "catalog:softwareVersion": "2.3.0",
        "catalog:repository": "https://git.example.org/a.git",
        "catalog:commit": "9f" * 20,
        "catalog:path": "train.py",
    }


async def test_a_document_twice_adds_nothing_and_changes_no_revision(clients: Clients, draft: Draft) -> None:
    data, model = [await made(clients.ingest, draft, title=title) for title in ("Data", "Model")]
    document = {
        "prefix": {"x": "urn:example:"},
        "entity": {data: {}, model: {}},
        "activity": {"x:run": {"prov:label": "Run"}},
        "used": {"_:1": {"prov:activity": "x:run", "prov:entity": data}},
        "wasGeneratedBy": {"_:2": {"prov:entity": model, "prov:activity": "x:run"}},
        "wasDerivedFrom": {"_:3": {"prov:generatedEntity": model, "prov:usedEntity": data}},
    }

    first, again = [await imported(clients.ingest, document) for _ in range(2)]
    own = await imported(clients.ingest, await exported(clients.ingest, model))

    (run,) = first["activities"]
    assert first == {
        "relations_recorded": 1,
        "relations_unchanged": 0,
        "statements_recorded": 0,
        "statements_unchanged": 0,
        "activities": [{"name": "x:run", "id": run["id"], "recorded": True}],
        "changed": [model],
        "left_out": [],
        "left_out_total": 0,
    }
    unchanged = {
        "relations_recorded": 0,
        "relations_unchanged": 1,
        "statements_recorded": 0,
        "statements_unchanged": 0,
        "changed": [],
        "left_out": [],
        "left_out_total": 0,
    }
    assert again == unchanged | {"activities": [{"name": "x:run", "id": run["id"], "recorded": False}]}
    assert own == unchanged | {
        "activities": [{"name": f"activity:{run['id']}", "id": run["id"], "recorded": False}],
    }
    assert (await read(clients.ingest, model))["revision"] == 2


async def test_an_import_is_one_change_of_each_object_with_its_history(
    clients: Clients, engines: Engines, draft: Draft
) -> None:
    data, model = [await made(clients.ingest, draft) for _ in range(2)]
    document = {
        "wasDerivedFrom": {"_:1": {"prov:generatedEntity": model, "prov:usedEntity": data}},
        "wasGeneratedBy": {"_:2": {"prov:entity": model, "prov:activity": "_:run"}},
    }

    told = await imported(clients.ingest, document)

    (relation,) = (await clients.ingest.get(f"/api/objects/{model}/relations")).json()["items"]
    assert (relation["type"], relation["target"]["id"]) == ("IsDerivedFrom", data)
    (*_, last) = await history(engines, model)
    changes = {"relations": [relation["id"]], "activities": [told["activities"][0]["id"]]}
    assert last == ("ingest", "import provenance", 1, 2, changes)
    assert len(await history(engines, data)) == 1


async def test_entities_are_found_by_address_id_name_and_attribute(clients: Clients, draft: Draft) -> None:
    names = ("by-address", "by-page", "by-id", "by-urn", "by-name", "by-attribute")
    project = draft["project"]
    ids = {name: await made(clients.ingest, draft, name=name) for name in names}
    model = await made(clients.ingest, draft, title="Model")
    base = clients.live.url
    written = {
        "by-address": f"{base}/api/objects/{ids['by-address']}",
        "by-page": f"web:{ids['by-page']}",
        "by-id": ids["by-id"],
        "by-urn": f"urn:uuid:{ids['by-urn']}",
        "by-name": f"{project}/training-dataset/by-name",
        "by-attribute": "urn:example:else",
    }
    document = {
        "prefix": {"web": f"{base}/objects/"},
        "entity": {written["by-attribute"]: {"catalog:object": f"{project}/training-dataset/by-attribute"}},
        "wasDerivedFrom": {
            f"_:{name}": {"prov:generatedEntity": model, "prov:usedEntity": one} for name, one in written.items()
        },
    }

    told = await imported(clients.ingest, document)

    relations = (await clients.ingest.get(f"/api/objects/{model}/relations")).json()["items"]
    assert [one["target"]["id"] for one in relations] == list(ids.values())
    assert told["left_out"] == []


async def test_a_derivation_of_something_outside_is_said_by_the_object(clients: Clients, draft: Draft) -> None:
    data = await made(clients.ingest, draft)
    document = {
        "prefix": {"doi": "https://doi.org/"},
        "wasDerivedFrom": {
            "_:1": {
                "prov:generatedEntity": "doi:10.5281/ZENODO.1",
                "prov:usedEntity": data,
                "prov:type": {"$": "prov:Revision", "type": "prov:QUALIFIED_NAME"},
            },
            "_:2": {"prov:generatedEntity": data, "prov:usedEntity": "https://example.org/raw.csv"},
        },
        "hadMember": {"_:3": {"prov:collection": "urn:example:list", "prov:entity": data}},
    }

    await imported(clients.ingest, document)

    relations = (await clients.ingest.get(f"/api/objects/{data}/relations")).json()["items"]
    assert [(one["type"], one["identifier"]) for one in relations] == [
        ("IsPreviousVersionOf", {"type": "DOI", "value": "10.5281/zenodo.1"}),
        ("IsDerivedFrom", {"type": "URL", "value": "https://example.org/raw.csv"}),
        ("IsPartOf", {"type": "URN", "value": "urn:example:list"}),
    ]


async def test_what_is_not_taken_is_listed_with_its_reason(clients: Clients, draft: Draft) -> None:
    model = await made(clients.ingest, draft)
    document = {
        "prefix": {"x": "urn:example:"},
        "entity": {model: {"prov:label": "ours says what it is called"}, "_:blank": {}},
        "activity": {"x:a": {"prov:label": "A", "x:mood": "good"}, "x:b": {}},
        "agent": {"x:who": {"prov:label": "Somebody"}},
        "wasGeneratedBy": {
            "_:1": {"prov:entity": model, "prov:activity": "x:a", "prov:time": "2024-05-17T08:00:00Z"},
            "_:2": {"prov:entity": model},
        },
        "used": {"_:3": {"prov:activity": "x:a", "prov:entity": "x:elsewhere"}},
        "wasDerivedFrom": {
            "_:4": {"prov:generatedEntity": "x:one", "prov:usedEntity": "x:other"},
            "_:5": {"prov:generatedEntity": model, "prov:usedEntity": "_:blank"},
        },
        "wasAssociatedWith": {"_:6": {"prov:activity": "x:a", "prov:agent": "x:who"}},
        "wasAttributedTo": {"_:7": {"prov:entity": model, "prov:agent": "x:who"}},
        "wasInformedBy": {"_:8": {"prov:informed": "x:a", "prov:informant": "x:b"}},
        "bundle": {"x:bundle": {}},
    }

    told = await imported(clients.ingest, document)

    assert (told["relations_recorded"], [one["name"] for one in told["activities"]]) == (0, ["x:a"])
    assert {one["pointer"]: one["reason"].split(";")[0] for one in told["left_out"]} == {
        "/activity/x:a/x:mood": "is not kept",
        "/activity/x:b": "it generated no object of this catalog",
        "/agent/x:who": "say by prov:type whether it is a prov:Person, prov:Organization or prov:SoftwareAgent",
        "/wasGeneratedBy/_:1/prov:time": "is not kept",
        "/wasGeneratedBy/_:2": "names no activity",
        "/used/_:3/prov:entity": "an activity uses and generates objects of this catalog alone",
        "/wasDerivedFrom/_:4": "neither end is an object of this catalog",
        "/wasDerivedFrom/_:5": "one end is no object of this catalog and has no identifier",
        "/wasAssociatedWith/_:6/prov:agent": "the agent itself is left out",
        "/wasAttributedTo/_:7/prov:agent": "the agent itself is left out",
        "/wasInformedBy/_:8": "the informant generated no object of this catalog",
        "/bundle/x:bundle": "bundles are not kept",
    }
    assert told["left_out_total"] == len(told["left_out"])


async def test_every_fault_of_a_document_is_told_at_once_and_nothing_is_written(clients: Clients, draft: Draft) -> None:
    data, model = [await made(clients.ingest, draft) for _ in range(2)]
    document = {
        "prefix": {"x": 5},
        "wasderivedFrom": {},
        "activity": {
            "_:a": {
                "prov:startTime": "yesterday",
                "catalog:parameters": "{",
                "catalog:repository": "https://git.example.org/a.git",
                "catalog:commit": "main",
            },
            "_:b": {"prov:startTime": "2024-05-17T08:00:00Z", "prov:endTime": "2024-05-16T08:00:00Z"},
        },
        "agent": {"_:c": {"prov:type": PERSON, "catalog:identifier": "0000-0002-1825-0098", "prov:label": "Ana"}},
        "wasDerivedFrom": {
            "_:1": {"prov:generatedEntity": model, "prov:usedEntity": data},
            "_:2": {"prov:generatedEntity": model},
            "_:3": {"prov:generatedEntity": "y:thing", "prov:usedEntity": data},
            "_:4": {"prov:generatedEntity": model, "prov:usedEntity": data, "catalog:relation": "Cites"},
            "_:5": 7,
        },
        "wasAssociatedWith": {"_:6": {"prov:activity": "_:b", "prov:agent": "_:nobody"}},
    }

    problem = problem_of(await sent(clients.ingest, document))

    assert problem["status"] == 400
    assert {fault["pointer"] for fault in problem["errors"]} == {
        "/prefix/x",
        "/wasderivedFrom",
        "/activity/_:a/prov:startTime",
        "/activity/_:a/catalog:parameters",
        "/activity/_:a/catalog:commit",
        "/activity/_:b",
        "/agent/_:c/catalog:identifier",
        "/wasDerivedFrom/_:2/prov:usedEntity",
        "/wasDerivedFrom/_:3/prov:generatedEntity",
        "/wasDerivedFrom/_:4/catalog:relation",
        "/wasDerivedFrom/_:5",
        "/wasAssociatedWith/_:6/prov:agent",
    }
    assert (await clients.ingest.get(f"/api/objects/{model}/relations")).json() == {"items": []}


async def test_absent_and_hidden_objects_are_refused_alike_with_every_place(clients: Clients, draft: Draft) -> None:
    mine, hidden = await made(clients.ingest, draft), await made(clients.other, draft, name="secret")
    by_name = f"{draft['project']}/training-dataset/secret"
    document = {
        "entity": {ABSENT: {}},
        "wasDerivedFrom": {
            f"_:{place}": {"prov:generatedEntity": mine, "prov:usedEntity": one}
            for place, one in enumerate((ABSENT, hidden, by_name))
        },
    }

    problem = problem_of(await sent(clients.ingest, document))

    assert problem["status"] == 422
    assert {fault["pointer"]: fault["message"] for fault in problem["errors"]} == {
        f"/entity/{ABSENT}": f"there is no object {ABSENT} that you may see",
        "/wasDerivedFrom/_:1/prov:usedEntity": f"there is no object {hidden} that you may see",
        "/wasDerivedFrom/_:2/prov:usedEntity": f"there is no object {by_name} that you may see",
    }
    assert (await read(clients.ingest, mine))["revision"] == 1


async def test_only_who_may_change_an_object_lets_a_document_speak_for_it(clients: Clients, draft: Draft) -> None:
    mine = await made(clients.ingest, draft)
    theirs, other = [await made(clients.other, draft, visibility="public") for _ in range(2)]
    document = {
        "wasDerivedFrom": {
            "_:1": {"prov:generatedEntity": mine, "prov:usedEntity": theirs},
            "_:2": {"prov:generatedEntity": theirs, "prov:usedEntity": other},
        },
        "wasGeneratedBy": {"_:3": {"prov:entity": other, "prov:activity": "_:run"}},
    }

    answer = await sent(clients.ingest, document)
    reader, nobody = await sent(clients.reader, {}), await sent(clients.anonymous, {})

    problem = problem_of(answer)
    assert problem["status"] == 403
    assert {fault["pointer"] for fault in problem["errors"]} == {"/wasDerivedFrom/_:2", "/activity/_:run"}
    assert (await clients.ingest.get(f"/api/objects/{mine}/relations")).json() == {"items": []}
    assert (reader.status_code, nobody.status_code) == (403, 401)


async def test_a_circle_in_a_document_is_refused_and_named(clients: Clients, draft: Draft) -> None:
    first, second, third = [await made(clients.ingest, draft) for _ in range(3)]
    chain = {
        "wasDerivedFrom": {"_:1": {"prov:generatedEntity": second, "prov:usedEntity": first}},
        "used": {"_:2": {"prov:activity": "_:run", "prov:entity": second}},
        "wasGeneratedBy": {"_:3": {"prov:entity": third, "prov:activity": "_:run"}},
    }
    closing = {"_:4": {"prov:generatedEntity": first, "prov:usedEntity": third}}

    at_once = await sent(clients.ingest, chain | {"wasDerivedFrom": chain["wasDerivedFrom"] | closing})
    assert (await read(clients.ingest, first))["revision"] == 1
    await imported(clients.ingest, chain)
    later = await sent(clients.ingest, {"wasDerivedFrom": closing})

    for answer in (at_once, later):
        assert answer.status_code == 409
        named = answer.json()["detail"].rpartition(": ")[2].rstrip(".").split(" → ")
        assert (named[0], set(named)) == (named[-1], {first, second, third})
        # In the direction of what came of what.
        assert (second, third) in pairwise(named)
    itself = await sent(clients.ingest, {"wasDerivedFrom": {"_:1": closing["_:4"] | {"prov:usedEntity": first}}})
    assert itself.status_code == 409


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b'{"entity": {"a": ' + b"[" * 100_000, 400, "recursion limit exceeded"),
        (b'{"entity": {}, "x": ' + b"9" * 100_000 + b"}", 400, "number out of range"),
        (b'{"entity": {"_:a": {}, "_:a": {}}}', 400, '/entity/_:a","message":"this name stands twice in one object'),
        (b'{"entity": {"_:a": {"prov:label": 1e999}}}', 200, None),
        (b"[]", 400, "send one PROV-JSON document"),
        (b"\xff\xfe", 400, "not JSON"),
        (json.dumps({"entity": {f"_:{n}": {} for n in range(RECORDS_MAX + 1)}}).encode(), 413, "at most 2,000 records"),
        (b" " * (2 * 1024 * 1024 + 1), 413, "at most 2,097,152 bytes"),
        # Contexts and prefixes are names: nobody fetches them.
        (b'{"@context": "http://127.0.0.1:1/context"}', 400, "is no part of PROV-JSON"),
        (b'{"prefix": {"prov": "http://127.0.0.1:1/"}}', 400, "prov stands for"),
    ],
)
async def test_attacks_on_the_reader_are_refused_at_once(
    clients: Clients, body: bytes, status: int, told: str | None
) -> None:
    started = time.monotonic()

    answer = await sent(clients.ingest, body)

    assert (answer.status_code, time.monotonic() - started < REFUSED_SECONDS_MAX) == (status, True)
    assert told is None or told in answer.text


async def test_hidden_objects_are_nameless_in_a_document_and_left_out_of_one(clients: Clients, draft: Draft) -> None:
    hidden = await made(clients.ingest, draft, title="Secret", name="secret", visibility="public")
    shown = await made(clients.ingest, draft, visibility="public")
    await imported(
        clients.ingest, {"wasDerivedFrom": {"_:1": {"prov:generatedEntity": shown, "prov:usedEntity": hidden}}}
    )
    assert (await patch(clients.ingest, hidden, {"visibility": "private"})).status_code == 200

    document = await exported(clients.anonymous, shown)

    assert (document["entity"]["_:hidden-1"], hidden in str(document), "Secret" in str(document)) == ({}, False, False)
    again = await imported(clients.ingest, document)
    assert [one["reason"] for one in again["left_out"]] == [
        "one end is no object of this catalog and has no identifier"
    ]

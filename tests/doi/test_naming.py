"""Bodies that name objects by their DOIs: ours lead to the objects, those of others stay outside."""

import json
from typing import Any

import httpx2
import pytest

from tests.api.conftest import Draft, read, register
from tests.api.problems import problem_of
from tests.doi.conftest import Registered, draft, mint, patch, publish, published
from tests.doi.standin import PREFIX

FOREIGN = "10.5281/zenodo.1234"
ABSENT = f"{PREFIX}/01jbrcgqrafgz9tara3cp3tkjz-q"


def says(doi: str) -> str:
    """Return the refusal of a DOI where only an object can stand."""
    return f"no object of this catalog that you may see has the DOI {doi}; here belongs one that is"


def plain(kind: str, **metadata: Any) -> Draft:
    """Return a registration of a kind."""
    return draft(kind, kind=kind, metadata=metadata)


async def faults(client: httpx2.AsyncClient, path: str, body: Any, **headers: str) -> dict[str, str]:
    """Return what a body is refused for, by its place."""
    problem = problem_of(await client.post(path, json=body, headers=headers))
    assert problem["status"] == 422, problem
    return {fault["pointer"]: fault["message"] for fault in problem["errors"]}


async def related(client: httpx2.AsyncClient, subject: str, **end: Any) -> tuple[str | None, str | None]:
    """Record a relation; return the id of its target, or its identifier."""
    body = {"type": "References", **end}
    answer = await client.post(f"/api/objects/{subject}/relations", json=body, headers={"If-Match": "*"})
    assert answer.status_code == 201, answer.text
    told = answer.json()
    return (told["target"] or {}).get("id"), (told["identifier"] or {}).get("value")


@pytest.mark.parametrize("spelling", ["{}", "doi:{}", "DOI:{}", "https://doi.org/{}", "http://doi.org/{}"])
async def test_metadata_names_an_object_by_its_doi_and_keeps_the_id(catalog: Registered, spelling: str) -> None:
    data = await published(catalog.ingest, "Data")
    doi = spelling.format((await mint(catalog.ingest, data)).upper())

    labels = await register(catalog.ingest, plain("labels", dataset=doi))
    bundle = await register(
        catalog.ingest,
        plain(
            "ecr-bundle", version="1", members=[{"type": "object", "id": doi}, {"type": "object", "id": labels["id"]}]
        ),
    )

    assert labels["metadata"]["dataset"] == data
    assert [one["id"] for one in bundle["metadata"]["members"]] == [data, labels["id"]]
    # By id as well: to name it otherwise changes nothing.
    await patch(catalog.ingest, labels["id"], metadata={"dataset": doi})
    assert (await read(catalog.ingest, labels["id"]))["revision"] == labels["revision"]


async def test_the_doi_of_a_version_says_the_version_where_the_record_has_one(catalog: Registered) -> None:
    model = await published(catalog.ingest, "Model", kind="model", metadata={"task": "segmentation"})
    await patch(catalog.ingest, model, title="Model, better")
    await publish(catalog.ingest, model)
    first, whole = await mint(catalog.ingest, model, 1), await mint(catalog.ingest, model)

    weights = await register(catalog.ingest, plain("weights", model=first))
    same = await register(catalog.ingest, plain("weights", model=first, model_version="1"))
    any_version = await register(catalog.ingest, plain("weights", model=whole))
    other = await faults(catalog.ingest, "/api/objects", plain("weights", model=first, model_version="2"))
    bundle = await register(catalog.ingest, plain("ecr-bundle", version="1", members=[{"type": "object", "id": first}]))

    for one in (weights, same):
        assert (one["metadata"]["model"], one["metadata"]["model_version"]) == (model, "1")
    assert (any_version["metadata"]["model"], any_version["metadata"].get("model_version")) == (model, None)
    assert other == {"/metadata/model_version": f"the DOI {first} names the version 1, not '2'"}
    assert bundle["metadata"]["members"][0]["id"] == model


async def test_a_doi_of_others_is_refused_where_only_an_object_can_stand(catalog: Registered) -> None:
    data = await published(catalog.ingest, "Data")
    wrong_kind = await mint(catalog.ingest, data)

    told = [
        await faults(catalog.ingest, "/api/objects", plain("labels", dataset=doi))
        for doi in (FOREIGN, ABSENT, f"https://doi.org/{FOREIGN}")
    ]
    unfit = await faults(catalog.ingest, "/api/objects", plain("weights", model=wrong_kind))
    target = await faults(
        catalog.ingest,
        f"/api/objects/{data}/relations",
        {"type": "References", "target": FOREIGN},
        **{"If-Match": "*"},
    )
    act = {"type": "run", "label": "Run", "used": [FOREIGN], "generated": [data]}
    run = await faults(catalog.ingest, "/api/activities", act)

    assert told == [{"/metadata/dataset": says(doi)} for doi in (FOREIGN, ABSENT, FOREIGN)]
    assert unfit == {
        "/metadata/model": f"the object {wrong_kind} is of the kind training-dataset; here belongs model",
    }
    assert (target, run) == ({"/target": says(FOREIGN)}, {"/used/0": says(FOREIGN)})


async def test_a_relation_to_a_doi_of_ours_is_one_to_the_object(catalog: Registered) -> None:
    subject, data = [await published(catalog.ingest, title) for title in ("Subject", "Data")]
    doi, version = await mint(catalog.ingest, data), await mint(catalog.ingest, data, 1)

    by_target = await related(catalog.ingest, subject, target=f"doi:{doi}")
    again = await catalog.ingest.post(
        f"/api/objects/{subject}/relations",
        json={"type": "References", "identifier": {"type": "DOI", "value": f"https://doi.org/{doi.upper()}"}},
        headers={"If-Match": "*"},
    )
    by_version = await related(catalog.ingest, subject, type="Cites", identifier={"type": "DOI", "value": version})
    foreign = await related(catalog.ingest, subject, identifier={"type": "DOI", "value": FOREIGN})

    assert by_target == by_version == (data, None)
    assert again.status_code == 409
    assert foreign == (None, FOREIGN)


async def test_the_doi_of_a_hidden_object_is_as_unknown_as_any_other(catalog: Registered) -> None:
    hidden = await published(catalog.clients.other, "Secret")
    doi = await mint(catalog.clients.other, hidden)
    await patch(catalog.clients.other, hidden, visibility="private")
    mine = (await register(catalog.ingest, draft("Mine")))["id"]

    refused, unknown = [
        await faults(catalog.ingest, "/api/objects", plain("labels", dataset=one)) for one in (doi, ABSENT)
    ]
    run, no_run = [
        await faults(
            catalog.ingest, "/api/activities", {"type": "run", "label": "Run", "used": [one], "generated": [mine]}
        )
        for one in (doi, ABSENT)
    ]
    kept = await related(catalog.ingest, mine, identifier={"type": "DOI", "value": doi})

    assert json.loads(json.dumps(refused).replace(doi, ABSENT)) == unknown
    assert json.loads(json.dumps(run).replace(doi, ABSENT)) == no_run
    assert kept == (None, doi)
    owner = await register(catalog.clients.other, plain("labels", dataset=doi))
    assert owner["metadata"]["dataset"] == hidden


async def test_activities_and_documents_name_objects_by_doi(catalog: Registered) -> None:
    data, model = [await published(catalog.ingest, title) for title in ("Data", "Model")]
    by_data, by_model = await mint(catalog.ingest, data), await mint(catalog.ingest, model)
    first, second = await mint(catalog.ingest, data, 1), await mint(catalog.ingest, model, 1)
    body = {"type": "run", "label": "Run", "used": [by_data], "generated": [f"https://doi.org/{second}"]}

    recorded = await catalog.ingest.post("/api/activities", json=body)
    twice = await faults(catalog.ingest, "/api/activities", body | {"used": [by_data, first]})
    document = {
        "prefix": {"doi": "https://doi.org/"},
        "wasDerivedFrom": {
            "_:1": {"prov:generatedEntity": f"doi:{by_model}", "prov:usedEntity": first},
            "_:2": {"prov:generatedEntity": model, "prov:usedEntity": f"https://doi.org/{FOREIGN}"},
            "_:3": {"prov:generatedEntity": f"doi:{by_data}", "prov:usedEntity": f"doi:{first}"},
        },
    }
    told = (await catalog.ingest.post("/api/provenance", json=document)).json()

    assert recorded.status_code == 201, recorded.text
    assert [[one["id"] for one in recorded.json()[way]] for way in ("used", "generated")] == [[data], [model]]
    assert twice == {"/used/1": f"names the object {data} a second time"}
    assert (told["relations_recorded"], told["changed"]) == (2, [model])
    assert [one["pointer"] for one in told["left_out"]] == ["/wasDerivedFrom/_:3"]
    said = (await catalog.ingest.get(f"/api/objects/{model}/relations")).json()["items"]
    assert [(one["target"] or one["identifier"]).get("id", FOREIGN) for one in said] == [data, FOREIGN]


async def test_rows_of_a_bulk_registration_name_objects_by_doi(catalog: Registered) -> None:
    model = await published(catalog.ingest, "Model", kind="model", metadata={"task": "segmentation"})
    doi = await mint(catalog.ingest, model, 1)
    rows = [plain("weights", model=one) | {"name": name} for one, name in ((doi, "by-doi"), (FOREIGN, "foreign"))]

    answers = [
        (
            await catalog.ingest.post(
                "/api/bulk/objects",
                content="\n".join(json.dumps(row) for row in rows),
                headers={"Content-Type": "application/x-ndjson"},
            )
        ).text.splitlines()
        for _ in range(2)
    ]

    first, again = [sorted(map(json.loads, lines), key=lambda one: one["line"]) for lines in answers]
    assert [one["status"] for one in (*first[:2], *again[:2])] == ["created", "failed", "unchanged", "failed"]
    assert [one["message"] for one in first[1]["errors"]] == [says(FOREIGN)]
    weights = await read(catalog.ingest, first[0]["id"])
    assert (weights["metadata"]["model"], weights["metadata"]["model_version"]) == (model, "1")

"""Terms that describe objects: what is accepted and kept, what is refused and how, and who is indexed anew."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from catalog.database import Database
from catalog.vocabulary import looking_up
from tests.api.conftest import Draft, patch, plain, read, register
from tests.conftest import Clients, eventually, make_tokens, make_world, running
from tests.vocabulary.files import turtle

TASKS = "urn:x-catalog:ml-tasks:"
SOFTWARE = "urn:x-catalog:software:"
FIELDS = "urn:x-catalog:scientific-fields:"


def model(project: str, **metadata: Any) -> Draft:
    return plain(project, kind="model", metadata=metadata)


@pytest.mark.req("SAGE-STORAGE-12", "SAGE-STORAGE-28")
async def test_a_label_synonym_or_notation_of_any_language_is_kept_as_the_uri(clients: Clients, project: str) -> None:
    runtime = [{"name": "onnxruntime", "version": ">=1.17"}, {"name": "our-own-tool"}]
    body = model(project, task="SEGMENTATION", framework="torch", format=f"{FIELDS}none", runtime=runtime)
    body["metadata"]["format"] = "onnx"
    body["subjects"] = ["meteorologie", "Bodenkunde", "soil science", f"{FIELDS}ecology"]

    registered = await register(clients.ingest, body)

    shown = await read(clients.ingest, registered["id"])
    assert shown["subjects"] == [f"{FIELDS}{one}" for one in ("meteorology", "soil-science", "ecology")]
    assert shown["metadata"] | {"inputs": [], "outputs": []} == {
        "task": f"{TASKS}image-segmentation",
        "framework": f"{SOFTWARE}pytorch",
        "format": "urn:x-catalog:formats:onnx",
        "runtime": [{"name": f"{SOFTWARE}onnx-runtime", "version": ">=1.17"}, {"name": "our-own-tool"}],
        "inputs": [],
        "outputs": [],
    }
    assert shown["terms"] == {
        f"{TASKS}image-segmentation": "Image segmentation",
        f"{SOFTWARE}pytorch": "PyTorch",
        f"{SOFTWARE}onnx-runtime": "ONNX Runtime",
        "urn:x-catalog:formats:onnx": "Open Neural Network Exchange",
        f"{FIELDS}meteorology": "Meteorology",
        f"{FIELDS}soil-science": "Soil science",
        f"{FIELDS}ecology": "Ecology",
    }


@pytest.mark.req("SAGE-STORAGE-21", "SAGE-STORAGE-22")
async def test_sensors_and_what_they_measure_have_types(clients: Clients, project: str) -> None:
    sensor = {"id": "RJOB", "type": "Seismograph"}
    measured = [{"name": "ehz", "type": "Geschwindigkeit", "unit": "m/s"}]
    blob = plain(project, kind="sensor-blob", metadata={"sensor": sensor, "measured": measured})

    registered = await register(clients.ingest, blob)

    assert (registered["metadata"]["sensor"]["type"], registered["metadata"]["measured"][0]["type"]) == (
        "urn:x-catalog:sensor-types:seismometer",
        "urn:x-catalog:measurement-types:velocity",
    )


@pytest.mark.req("SAGE-STORAGE-28")
async def test_a_wrong_term_is_refused_with_its_place_and_the_nearest(clients: Clients, project: str) -> None:
    body = model(project, task="image segmentaton", framework="pytroch") | {"subjects": ["ecology", "metorology"]}

    answer = await clients.ingest.post("/api/objects", json=body)

    faults = {one["pointer"]: (one["message"], one["suggestion"].split("; ")[0]) for one in answer.json()["errors"]}
    assert (answer.status_code, faults) == (
        422,
        {
            "/subjects/1": ("there is no term 'metorology' in scientific-fields", "Meteorology"),
            "/metadata/task": ("there is no term 'image segmentaton' in ml-tasks", "Image segmentation"),
            "/metadata/framework": ("there is no term 'pytroch' in software", "PyTorch"),
        },
    )


@pytest.mark.req("SAGE-STORAGE-28")
async def test_faults_of_shape_terms_and_references_are_told_in_one_answer(clients: Clients, project: str) -> None:
    absent = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"
    weights = plain(project, kind="weights", metadata={"model": absent, "framework": "pytroch", "parameters": "many"})
    weights["metadata"]["trained_on"] = ["training-dataset/nobody", "no name at all", absent]
    weights |= {"licence": "CC BY", "subjects": ["ecology", 7, "metorology"]}

    answer = await clients.ingest.post("/api/objects", json=weights)

    told = {one["pointer"]: one["message"] for one in answer.json()["errors"]}
    assert (answer.status_code, told) == (
        400,
        {
            "/licence": "'CC BY' is not an SPDX licence id or expression; examples: CC-BY-4.0, MIT, CC0-1.0",
            "/subjects/1": "must be a text",
            "/subjects/2": "there is no term 'metorology' in scientific-fields",
            "/metadata/parameters": "must be a whole number",
            "/metadata/framework": "there is no term 'pytroch' in software",
            "/metadata/model": f"there is no object {absent} that you may see",
            "/metadata/trained_on/0": "there is no object training-dataset/nobody that you may see",
            "/metadata/trained_on/1": "name an object by its id, as kind/name, or by its DOI",
            "/metadata/trained_on/2": f"there is no object {absent} that you may see",
        },
    )
    assert answer.json()["detail"] == "There are 9 faults in the request."


async def test_a_patch_of_wrong_shape_is_told_its_terms_too_but_not_those_that_are_kept(
    clients: Clients, engines: Any, project: str
) -> None:
    registered = await register(clients.ingest, model(project, task="OCR") | {"subjects": ["ecology"]})
    change = {"title": "", "subjects": [f"{FIELDS}ecology", "metorology"], "metadata": {"framework": "pytroch"}}

    answer = await patch(clients.ingest, registered["id"], change)

    assert (answer.status_code, [one["pointer"] for one in answer.json()["errors"]]) == (
        400,
        ["/title", "/subjects/1", "/metadata/framework"],
    )
    retire = sa.text("UPDATE concept SET deprecated = :now WHERE uri = :uri")
    try:
        async with engines.database.transaction() as session:
            await session.execute(retire, {"now": True, "uri": f"{FIELDS}ecology"})
        kept = await patch(clients.ingest, registered["id"], change)
    finally:
        async with engines.database.transaction() as session:
            await session.execute(retire, {"now": False, "uri": f"{FIELDS}ecology"})
    assert [one["pointer"] for one in kept.json()["errors"]] == ["/title", "/subjects/1", "/metadata/framework"]


async def test_bulk_rows_of_wrong_shape_tell_their_terms_and_objects_but_not_names_that_may_come(
    clients: Clients, project: str
) -> None:
    absent = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"
    rows = [
        model(project, task="OCRR") | {"name": "later", "title": ""},
        plain(project, kind="weights", metadata={"model": "model/later", "trained_on": [absent]})
        | {"licence": "CC BY"},
        model(project, task="OCR") | {"name": "later"},
    ]

    answer = await clients.ingest.post(
        "/api/bulk/objects",
        content="\n".join(map(json.dumps, rows)).encode(),
        headers={"Content-Type": "application/x-ndjson"},
    )

    told = {one["line"]: one for one in map(json.loads, answer.text.splitlines())}
    assert [told[line]["status"] for line in (1, 2, 3)] == ["failed", "failed", "created"]
    assert [[one["pointer"] for one in told[line]["errors"]] for line in (1, 2)] == [
        ["/title", "/metadata/task"],
        ["/licence", "/metadata/trained_on/0"],
    ]


async def test_a_vocabulary_that_is_not_loaded_is_named(engines: Any) -> None:
    async with engines.database.transaction() as session:
        meant = await looking_up.meanings(session, [("bird-calls", "song")])

    problem = "the vocabulary bird-calls is not loaded here, and nothing can be named in it; `catalog migrate` loads it"
    assert meant == {("bird-calls", "song"): looking_up.Meaning(None, problem)}


async def test_many_wrong_terms_are_all_told_and_only_some_explained(engines: Any) -> None:
    asked = [("ml-tasks", f"image segmentaton {number}") for number in range(2_000)]
    async with engines.database.transaction() as session:
        meant = await looking_up.meanings(session, asked)

    explained = [one for one in meant.values() if one.nearest]
    assert (len(meant), {one.uri for one in meant.values()}) == (2_000, {None})
    assert len(explained) == looking_up.EXPLAINED_MAX


@pytest.mark.req("SAGE-STORAGE-28")
async def test_bulk_rows_keep_uris_and_wrong_terms_fail_alone(clients: Clients, project: str) -> None:
    rows = [
        model(project, task="Bildsegmentierung") | {"name": "good"},
        model(project, task="no such thing at all") | {"name": "bad"},
        model(project, task="OCR") | {"name": "fine", "subjects": ["Physik"]},
    ]
    body = "\n".join(map(json.dumps, rows)).encode()

    answer = await clients.ingest.post(
        "/api/bulk/objects", content=body, headers={"Content-Type": "application/x-ndjson"}
    )
    again = await clients.ingest.post(
        "/api/bulk/objects", content=body, headers={"Content-Type": "application/x-ndjson"}
    )

    told = {one["line"]: one for one in map(json.loads, answer.text.splitlines())}
    assert [told[line]["status"] for line in (1, 2, 3)] == ["created", "failed", "created"]
    assert [one["pointer"] for one in told[2]["errors"]] == ["/metadata/task"]
    good, fine = [await read(clients.ingest, told[line]["id"]) for line in (1, 3)]
    assert (good["metadata"]["task"], good["terms"]) == (
        f"{TASKS}image-segmentation",
        {f"{TASKS}image-segmentation": "Image segmentation"},
    )
    assert fine["terms"] == {
        f"{TASKS}optical-character-recognition": "Optical character recognition",
        f"{FIELDS}physics": "Physics",
    }
    second = {one["line"]: one["status"] for one in map(json.loads, again.text.splitlines())}
    assert second == {1: "unchanged", 2: "failed", 3: "unchanged"}


@pytest.mark.req("SAGE-STORAGE-28")
@pytest.mark.usefixtures("noise")
@pytest.mark.parametrize("text", ["Bodenkunde", "pedology", "edafología", "Geowissenschaften", "natural sciences"])
async def test_a_search_for_a_label_a_synonym_or_a_broader_term_finds_the_object(
    clients: Clients, project: str, text: str
) -> None:
    body = plain(project, title="Profile 7", subjects=["soil science"], visibility="public")
    object_id = (await register(clients.ingest, body))["id"]

    async def found() -> bool:
        answer = await clients.anonymous.get("/api/search", params={"q": text, "project": project})
        return [hit["id"] for hit in answer.json()["hits"]] == [object_id]

    assert await eventually(found)


@pytest.mark.req("SAGE-STORAGE-28")
async def test_the_facet_of_fields_counts_broader_ones_and_says_what_they_are_called(
    clients: Clients, project: str
) -> None:
    for field in ("seismology", "meteorology"):
        await register(clients.ingest, plain(project, subjects=[field], visibility="public"))

    async def counted() -> Any:
        answer = await clients.anonymous.get(
            "/api/search", params={"facet": "subject", "project": project, "subject": f"{FIELDS}seismology"}
        )
        told = answer.json()
        counts = {one["value"]: (one["label"], one["count"]) for one in told["facets"]["subject"]["buckets"]}
        return (told["total"], counts) if counts.get(f"{FIELDS}earth-sciences", ("", 0))[1] == 2 else None

    assert await eventually(counted) == (
        1,
        {
            f"{FIELDS}natural-sciences": ("Natural sciences", 2),
            f"{FIELDS}earth-sciences": ("Earth sciences", 2),
            f"{FIELDS}geophysics": ("Geophysics", 1),
            f"{FIELDS}seismology": ("Seismology", 1),
            f"{FIELDS}atmospheric-science": ("Atmospheric science", 1),
            f"{FIELDS}meteorology": ("Meteorology", 1),
        },
    )


@dataclass
class Quiet:
    """A catalog with no indexer: what is queued stays queued."""

    client: httpx2.AsyncClient
    database: Database

    async def queued(self) -> list[str]:
        """Return the objects to be indexed, and forget them."""
        async with self.database.transaction() as session:
            rows = await session.execute(sa.text("DELETE FROM queue WHERE topic = 'index' RETURNING subject"))
            return sorted(rows.scalars())

    async def forget_others(self) -> None:
        """Let what other tests have described here be described by nothing."""
        async with self.database.transaction() as session:
            await session.execute(sa.text("DELETE FROM object_term"))

    async def load(self, text: str) -> dict[str, Any]:
        """Import the fields anew."""
        answer = await self.client.put(
            "/api/vocabularies/scientific-fields",
            content=turtle("urn:x-catalog:scientific-fields", *text.strip().splitlines()).encode(),
            headers={"Content-Type": "text/turtle"},
        )
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


@pytest.fixture(scope="module")
async def quiet(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Quiet]:
    """A catalog whose queue nobody works off."""
    world = make_world(engines_ready, tmp_path_factory.mktemp("quiet"))
    tokens = await make_tokens(world)
    database = Database(str(world.settings.database_url), connections=2)
    with running(world, tokens, "api") as live:
        clients = Clients(live)
        yield Quiet(clients.admin, database)
        await clients.close()
    await database.close()


FIELDS_FIRST = """
c:earth skos:prefLabel "Earth sciences"@en
c:soil skos:prefLabel "Soil science"@en ; skos:broader c:earth
c:water skos:prefLabel "Hydrology"@en ; skos:broader c:earth
c:stars skos:prefLabel "Astronomy"@en
"""


@pytest.mark.req("SAGE-STORAGE-28")
async def test_a_changed_concept_queues_exactly_the_objects_whose_documents_change(quiet: Quiet) -> None:
    await quiet.forget_others()
    await quiet.load(FIELDS_FIRST)
    ids = {
        name: (await register(quiet.client, plain("api/queue", subjects=subjects)))["id"]
        for name, subjects in {
            "soil": ["Soil science"],
            "both": ["Soil science", "Hydrology"],
            "water": ["Hydrology"],
            "stars": ["Astronomy"],
            "none": [],
        }.items()
    }
    gone = (await register(quiet.client, plain("api/queue", subjects=["Soil science"])))["id"]
    withdrawn = await quiet.client.delete(
        f"/api/objects/{gone}", params={"reason": "Wrong."}, headers={"If-Match": "*"}
    )
    assert withdrawn.status_code == 204
    await quiet.queued()

    async def changed(text: str) -> list[str]:
        await quiet.load(text)
        queued = await quiet.queued()
        return [name for name, object_id in ids.items() if object_id in queued] + sorted({*queued} - {*ids.values()})

    renamed = FIELDS_FIRST.replace("Soil science", "Pedology")
    above = renamed.replace("Earth sciences", "Geoscience")
    moved = above.replace('"Hydrology"@en ; skos:broader c:earth', '"Hydrology"@en')
    without = "\n".join(line for line in moved.splitlines() if "c:stars" not in line)
    assert await changed(FIELDS_FIRST) == []
    assert await changed(renamed) == ["soil", "both"]
    assert await changed(above) == ["soil", "both", "water"]
    assert await changed(moved) == ["both", "water"]
    assert await changed(without) == ["stars"]
    retired = await quiet.client.post(
        "/api/vocabularies/scientific-fields/retire", json={"uri": f"{FIELDS}soil", "replaced_by": f"{FIELDS}earth"}
    )
    assert (retired.status_code, await quiet.queued()) == (200, sorted([ids["soil"], ids["both"]]))
    assert (await read(quiet.client, ids["soil"]))["terms"] == {f"{FIELDS}soil": "Pedology"}


@pytest.mark.req("SAGE-STORAGE-28")
async def test_a_retired_term_is_refused_and_stays_where_it_is(quiet: Quiet) -> None:
    await quiet.load(FIELDS_FIRST + 'c:old skos:prefLabel "Natural philosophy"@en\n')
    body = plain("api/retired", subjects=["Natural philosophy"])
    object_id = (await register(quiet.client, body))["id"]
    await quiet.client.post(
        "/api/vocabularies/scientific-fields/retire", json={"uri": f"{FIELDS}old", "replaced_by": f"{FIELDS}stars"}
    )

    refused = await quiet.client.post("/api/objects", json=body)
    mended = await patch(quiet.client, object_id, {"title": "Another title"})
    added = await patch(quiet.client, object_id, {"subjects": [f"{FIELDS}old", "Hydrology"]})

    fault = {
        "pointer": "/subjects/0",
        "message": "the term 'Natural philosophy' is deprecated",
        "suggestion": "Astronomy",
    }
    assert (refused.status_code, refused.json()["errors"]) == (422, [fault])
    assert (mended.status_code, mended.json()["subjects"]) == (200, [f"{FIELDS}old"])
    assert (added.status_code, added.json()["subjects"]) == (200, [f"{FIELDS}old", f"{FIELDS}water"])


async def test_an_object_keeps_its_revision_and_its_document_moves_on(quiet: Quiet) -> None:
    await quiet.load(FIELDS_FIRST)
    object_id = (await register(quiet.client, plain("api/moves", subjects=["Hydrology"])))["id"]

    await quiet.load(FIELDS_FIRST.replace("Hydrology", "Water science"))

    shown = await read(quiet.client, object_id)
    async with quiet.database.transaction() as session:
        row = (
            await session.execute(sa.text("SELECT revision, relabelled FROM object WHERE id = :id"), {"id": object_id})
        ).one()
    assert (shown["revision"], shown["terms"], tuple(row)) == (1, {f"{FIELDS}water": "Water science"}, (1, 1))

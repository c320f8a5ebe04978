"""Kinds tell what they accept, and accept what they tell."""

import json
from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator

from catalog.objects import kinds
from tests.api.conftest import Draft, register
from tests.conftest import Clients

pytestmark = pytest.mark.usefixtures("noise")

LONG = "x" * 301
FILE = {"path": "a.csv", "size": 1, "sha256": "a1" * 32}
SPATIAL = {"box": {"west": 170, "south": -1, "east": -170, "north": 1}, "point": {"latitude": 90, "longitude": -180}}

# Changes to an example that concern every kind; a value of ... takes the field away.
REFUSED: list[Draft] = [
    {"kind": ...},
    {"kind": "nothing"},
    {"project": ...},
    {"project": "Upper/case"},
    {"project": "one-part"},
    {"title": ...},
    {"title": ""},
    {"title": LONG},
    {"title": 7},
    {"description": "x" * 20_001},
    {"creators": ...},
    {"creators": []},
    {"creators": [{"orcid": "0000-0002-1825-0097"}]},
    {"creators": [{"name": "A", "type": "robot"}]},
    {"creators": [{"name": "A", "email": "a@b.example"}]},
    {"creators": [{"name": "A"}] * 101},
    {"contact": ...},
    {"contact": {"name": "A"}},
    {"contact": {"name": "A", "email": "nobody"}},
    {"keywords": "soil"},
    {"keywords": ["soil"] * 51},
    {"visibility": "secret"},
    {"dates": [{"type": "Born", "date": "2024"}]},
    {"dates": [{"type": "Issued"}]},
    {"coverage": {"spatial": {"point": {"latitude": 91, "longitude": 0}}}},
    {"coverage": {"spatial": {"point": {"latitude": 0}}}},
    {"coverage": {"temporal": {"end": "2024-01-01T00:00:00Z"}}},
    {"coverage": {"time": {}}},
    {"custom": {"1st": 1}},
    {"custom": {"a": {"value": "two", "unit": "m"}}},
    {"custom": {"a": {"b": {"c": 1}}}},
    {"metadata": ...},
    {"metadata": None},
    {"files": [{"path": "a"}]},
    {"files": [FILE | {"size": -1}]},
    {"files": [FILE | {"size": 1.5}]},
    {"files": [FILE | {"sha256": "abc"}]},
    {"files": [FILE | {"url": "https://example.org"}]},
    {"files": [FILE | {"media_type": "text"}]},
    {"owner": "me"},
    {"id": "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"},
]
ACCEPTED: list[Draft] = [
    {},
    {"title": "x" * 300},
    {"visibility": ...},
    {"licence": None},
    {"coverage": None},
    {"keywords": []},
    {"files": []},
    {"files": [FILE, FILE | {"path": "b.csv", "media_type": "text/csv"}]},
    {"coverage": {"spatial": SPATIAL, "temporal": {"start": "2024-01-01T00:00:00+02:00"}}},
    {"custom": {"a": 1, "b": "two", "c": [True, 3.5], "d": {"value": 1e-9, "unit": "m"}}},
    {"dates": [{"type": "Issued", "date": "2024"}]},
    {"creators": [{"type": "organization", "name": "LTER"}]},
]

SOURCE = {"url": "https://git.example.org/a.git", "commit": "9f" * 20}

# The same for the metadata of one kind.
METADATA_REFUSED: dict[str, list[Draft]] = {
    "model": [
        {"task": 5},
        {"parameters": -1},
        {"parameters": 1.5},
        {"runtime": [{"version": ">=1"}]},
        {"runtime": [{"name": "torch", "accelerator": "abacus"}]},
        {"inputs": [{"name": "x", "shape": [-1], "dtype": "int8"}]},
        {"inputs": [{"name": "x", "dtype": "int8"}]},
        {"labelled": True},
    ],
    "training-dataset": [
        {"labelled": ...},
        {"labelled": "yes"},
        {"instances": -1},
        {"splits": [{"name": "train"}]},
        {"variables": [{"unit": "mm"}]},
        {"task": "x"},
    ],
    "sensor-blob": [
        {"sensor": ...},
        {"sensor": {"model": "x"}},
        {"measured": [{"name": "wind"}]},
        {"sampling_rate_hz": 0},
        {"encoding": 5},
    ],
    "ecr-bundle": [
        {"version": ...},
        {"members": ...},
        {"members": []},
        {"members": [{"type": "floppy"}]},
        {"members": [{"url": "https://example.org/a"}]},
        {"members": [{"type": "url", "url": "ftp://example.org/a"}]},
        {"members": [{"type": "git", "url": "https://example.org/a", "commit": "main"}]},
        {"members": [{"type": "object", "id": "none"}]},
        {"members": [{"type": "url", "url": "https://example.org/a", "commit": "9f" * 20}]},
        {"architectures": ["Linux"]},
        {"inputs": [{"id": "x"}]},
    ],
    "weights": [{"model": ...}, {"model": "unet"}, {"precision": "float17"}, {"parameters": 0.5}, {"trained_on": "x"}],
    "job": [{"program": 5}, {"program": ""}, {"site": ["a"]}, {"state": "ended"}],
    "labels": [{"dataset": ...}, {"dataset": None}, {"made_by": "robots"}, {"annotators": 0}, {"guidelines": "a"}],
    "decoder-plugin": [{"source": ...}, {"source": {"url": SOURCE["url"]}}, {"values": [{"name": "x"}]}],
    "trigger-app": [{"source": ...}, {"watches": [{"condition": "x"}]}, {"starts": ["x"]}],
    "edge-code": [{"source": SOURCE | {"commit": "main"}}, {"platforms": ["arm"]}, {"runtime": [{}]}],
    "dockerfile": [{"source": SOURCE | {"url": "git@example.org:a"}}, {"source": SOURCE | {"branch": "main"}}],
    "docker-image": [{"reference": ...}, {"platforms": []}, {"platforms": ...}, {"size": -1}],
    "calibration": [
        {"sensor": {}},
        {"parameters": []},
        {"parameters": [{"name": "gain", "value": 1.0}]},
        {"parameters": [{"name": "gain", "value": [], "unit": "1"}]},
        {"parameters": [{"name": "gain", "value": 1.0, "unit": "1", "uncertainty": -1}]},
        {"valid": ...},
        {"valid": {"end": "2010-01-01T00:00:00Z"}},
    ],
    "sensor-data": [{"sensors": []}, {"measured": []}, {"measured": [{"name": "x"}]}, {"interval_seconds": 0}],
    "binary": [{"platform": ...}, {"platform": "Jetson"}, {"source": ...}, {"source": None}, {"type": "script"}],
}
FILES_REFUSED = {"job": [FILE, FILE | {"path": "inputs/a.csv"}]}
METADATA_ACCEPTED: dict[str, list[Draft]] = {
    "model": [{"task": None}, {"parameters": 0}, {"inputs": [{"name": "x", "shape": [None, 3], "dtype": "int8"}]}],
    "training-dataset": [{"labelled": False, "classes": []}, {"splits": [{"name": "train", "instances": 0}]}],
    "sensor-blob": [{"sampling_rate_hz": 0.5}, {"sensor": {"id": "W023", "manufacturer": "Acme"}}],
    "ecr-bundle": [
        {"members": [{"type": "image", "reference": "edge/app:1.0"}]},
        {"members": [{"type": "url", "url": "https://example.org/a?b#c", "role": "manual"}]},
        {"architectures": [], "inputs": [{"id": "x", "type": "y"}]},
    ],
    "weights": [{"precision": None}, {"trained_on": []}],
    "job": [{"program": None}, {"site": "cluster-b"}],
    "labels": [{"made_by": "model"}, {"classes": []}],
    "decoder-plugin": [{"source": SOURCE | {"path": "a/b"}}, {"sensors": [], "values": []}],
    "trigger-app": [{"watches": [{"name": "x"}]}, {"source": SOURCE | {"commit": "9f" * 32}}],
    "edge-code": [{"platforms": ["linux/arm/v7"]}, {"runtime": [{"name": "torch", "version": ">=2.1"}]}],
    "dockerfile": [{"base_images": ["python:3.11"]}, {"source": SOURCE}],
    "docker-image": [{"reference": "edge/app:1.0"}, {"source": None}],
    "calibration": [
        {"parameters": [{"name": "curve", "value": [1.0, 0.5], "unit": "m/s"}]},
        {"valid": {"start": "2009-01-01T00:00:00Z"}},
    ],
    "sensor-data": [{"interval_seconds": 0.5}, {"calibration": None}],
    "binary": [{"accelerator": "rocm"}, {"type": None}],
}
# What the examples of these kinds name must be there: their field, and of what kind it is.
NAMED = {"weights": ("model", "model"), "labels": ("dataset", "training-dataset")}


def example_of(kind: str) -> Draft:
    """Return the kind's own example, to be changed at will."""
    copied: Draft = json.loads(json.dumps(dict(kinds.known()[kind].example)))
    if "name" in copied:
        # Names are taken once in their project.
        copied["name"] = f"n{uuid4().hex[:12]}"
    return copied


async def example_with_what_it_names(clients: Clients, kind: str) -> Draft:
    """Return the kind's example, with the objects it names registered."""
    body = example_of(kind)
    if kind in NAMED:
        field, other = NAMED[kind]
        body["metadata"][field] = (await register(clients.ingest, example_of(other)))["id"]
    return body


def changed(whole: Draft, change: Draft) -> Draft:
    """Return the whole with some fields replaced, and those of `...` taken away."""
    return {name: value for name, value in (whole | change).items() if value is not ...}


def below(kind: str, files: list[Draft]) -> list[Draft]:
    """Return the files where a kind wants them."""
    return [file | {"path": f"input/{file['path']}"} for file in files] if kind == "job" else files


def variants(kind: str, whole: Draft) -> list[tuple[Draft, Draft, bool]]:
    """Return what was changed, the registration, and whether it is to be accepted."""
    found = [(change, changed(whole, change), False) for change in REFUSED]
    found += [({"files": [one]}, whole | {"files": [one]}, False) for one in FILES_REFUSED.get(kind, [])]
    asks = {pointer.split("/")[1] for pointer in kinds.known()[kind].metadata.asked}
    placed = [change | {"files": below(kind, change["files"])} if "files" in change else change for change in ACCEPTED]
    found += [(change, changed(whole, change), not asks & change.keys() or all(change.values())) for change in placed]
    for inside, good in ((METADATA_REFUSED, False), (METADATA_ACCEPTED, True)):
        for change in inside[kind]:
            found.append((change, whole | {"metadata": changed(whole["metadata"], change)}, good))
    return found


async def judged(clients: Clients, kind: str) -> dict[str, tuple[bool, bool, bool]]:
    """Return where expectation, service and served schema disagree about a registration of this kind."""
    schema = (await clients.anonymous.get(f"/api/kinds/{kind}")).json()["schema"]
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    differing: dict[str, tuple[bool, bool, bool]] = {}
    for change, body, good in variants(kind, await example_with_what_it_names(clients, kind)):
        named = {"name": f"n{uuid4().hex[:12]}"} if "name" in body else {}
        answer = await clients.ingest.post("/api/objects", json=body | named)
        assert answer.status_code in {201, 400}, answer.text
        verdicts = (good, answer.status_code == 201, validator.is_valid(body))
        if len(set(verdicts)) > 1:
            differing[json.dumps(change, default=str)] = verdicts
    return differing


async def test_every_kind_is_listed_with_what_it_is(clients: Clients) -> None:
    listed = await clients.anonymous.get("/api/kinds")

    assert listed.json() == {
        "items": [
            {"name": kind.name, "title": kind.title, "description": kind.description} for kind in kinds.known().values()
        ]
    }
    assert [item["name"] for item in listed.json()["items"]] == sorted(METADATA_REFUSED)


@pytest.mark.parametrize("kind", kinds.known())
async def test_a_kind_tells_its_schema_and_an_example_that_can_be_registered(clients: Clients, kind: str) -> None:
    told = (await clients.anonymous.get(f"/api/kinds/{kind}")).json()

    assert {name: told[name] for name in ("name", "schema_version", "example")} == {
        "name": kind,
        "schema_version": 2 if kind in {"model", "weights", "labels"} else 1,
        "example": dict(kinds.known()[kind].example),
    }
    assert told["schema"]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(told["schema"])
    Draft202012Validator(told["schema"]).validate(told["example"])
    assert told["schema"]["additionalProperties"] is False
    registered = await register(clients.ingest, await example_with_what_it_names(clients, kind))
    assert {name: registered[name] for name in ("kind", "title", "project")} == {
        name: told["example"][name] for name in ("kind", "title", "project")
    }


@pytest.mark.parametrize("kind", kinds.known())
async def test_the_served_schema_accepts_and_refuses_what_the_service_does(clients: Clients, kind: str) -> None:
    assert await judged(clients, kind) == {}


@pytest.mark.req("SAGE-STORAGE-11")
async def test_type_ml_model(clients: Clients, project: str) -> None:
    """A model is registered under its type, found by it, and one that its schema refuses is not recorded."""
    body: dict[str, Any] = example_of("model") | {"project": project, "files": []}
    model = await register(clients.ingest, body)
    refused = await clients.ingest.post("/api/objects", json=body | {"metadata": {"parameters": "many"}})

    listed = await clients.anonymous.get("/api/objects", params={"project": project, "kind": "model"})

    assert [(item["id"], item["metadata"]["task"]) for item in listed.json()["items"]] == [
        (model["id"], "urn:x-catalog:ml-tasks:image-segmentation")
    ]
    assert refused.json()["errors"] == [{"pointer": "/metadata/parameters", "message": "must be a whole number"}]

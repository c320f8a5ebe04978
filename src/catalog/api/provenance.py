"""`/api/objects/{id}/provenance`: what an object came from, and what came of it; `/api/provenance`: PROV-JSON in."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

import anyio
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog.access.principals import Caller
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import JSON, AnyRequest
from catalog.database import consistently
from catalog.objects.metadata import PROJECT_PATTERN
from catalog.provenance import formats, impact, importing, lineage, prov_json, prov_json_import
from catalog.provenance.graph import Direction, Graph
from catalog.provenance.impact import Impact
from catalog.provenance.importing import Imported
from catalog.provenance.lineage import DEPTH_DEFAULT, DEPTH_MAX
from catalog.provenance.prov_json_document import DOCUMENT_BYTES_MAX

Project = Annotated[str, StringConstraints(pattern=PROJECT_PATTERN)]

EXAMPLE = {
    "prefix": {"run": "urn:example:run:"},
    "entity": {
        "demo/weather/training-dataset/sky-images": {},
        "demo/weather/model/cloud-unet": {"prov:label": "Cloud U-Net"},
    },
    "activity": {
        "run:3": {
            "prov:type": "training",
            "prov:label": "Cloud U-Net, third run",
            "prov:startTime": "2024-05-17T08:00:00Z",
            "catalog:parameters": '{"epochs": 40}',
            "catalog:software": "PyTorch",
            "catalog:softwareVersion": "2.3.0",
        }
    },
    "agent": {
        "https://orcid.org/0000-0002-1825-0097": {
            "prov:type": {"$": "prov:Person", "type": "prov:QUALIFIED_NAME"},
            "prov:label": "Rivera, Ana",
        }
    },
    "wasAttributedTo": {
        "_:4": {"prov:entity": "demo/weather/model/cloud-unet", "prov:agent": "https://orcid.org/0000-0002-1825-0097"}
    },
    "used": {"_:1": {"prov:activity": "run:3", "prov:entity": "demo/weather/training-dataset/sky-images"}},
    "wasGeneratedBy": {"_:2": {"prov:entity": "demo/weather/model/cloud-unet", "prov:activity": "run:3"}},
    "wasAssociatedWith": {
        "_:3": {
            "prov:activity": "run:3",
            "prov:agent": "https://orcid.org/0000-0002-1825-0097",
            "prov:role": "operator",
        }
    },
}


class Format(StrEnum):
    """How the graph is written."""

    JSON = "json"
    TURTLE = "turtle"
    JSON_LD = "json-ld"
    PROV_JSON = "prov-json"


# The submission registers no media type for PROV-JSON; this is the one that tools of PROV use.
PROV_JSON = "application/provenance+json"
MEDIA_TYPES = {
    Format.JSON: JSON,
    Format.TURTLE: "text/turtle",
    Format.JSON_LD: "application/ld+json",
    Format.PROV_JSON: PROV_JSON,
}


class ProvenanceQuery(BaseModel):
    """Which way to look, and how far."""

    model_config = ConfigDict(extra="forbid")

    direction: Direction = Field(
        default=Direction.UP, description="up: what it came from; down: what came of it, with how many depend on it."
    )
    depth: int = Field(default=DEPTH_DEFAULT, ge=1, le=DEPTH_MAX, description="How many objects away at most.")
    format: Format | None = Field(default=None, description="How to write it; left out, the Accept header decides.")


@operation(
    "GET",
    "/api/objects/{object_id:str}/provenance",
    Operation(
        id="read_provenance",
        summary="Read what an object came from, and what came of it",
        description=(
            "A graph in the terms of W3C PROV. Hidden objects that visible ones name have a label instead of an id, "
            "good for this answer alone; what hidden objects themselves say is not told. What metadata names (labels "
            "their data, weights their model, bundles their members) stands there with the place where it is said. "
            "Agents stand there with the objects that are attributed to them, the activities in which they had a part "
            "and those on whose behalf they acted. "
            "Turtle and JSON-LD are PROV-O."
        ),
        tag="provenance",
        query=ProvenanceQuery,
        answers={200: Answer("The graph.", Graph, also=tuple(MEDIA_TYPES.values())[1:])},
        problems=(404, 410),
    ),
)
async def read_provenance(request: AnyRequest) -> Response[bytes]:
    """Read the lineage of one object."""
    object_id = requests.object_id(request)
    asked = requests.query(request, ProvenanceQuery)
    caller = await requests.caller(request)
    graph = await read(request, object_id, caller, direction=asked.direction, depth=asked.depth)
    headers = {"Cache-Control": "no-cache", "Vary": "Authorization, Accept"}
    written = asked.format or requests.accepted(request, MEDIA_TYPES) or Format.JSON
    if written == Format.JSON:
        return shapes.json_response(graph, headers=headers)
    base = _base(request)
    if written == Format.PROV_JSON:
        document = prov_json.prov_json_from(graph, base)
        return shapes.json_response(document, headers=headers | {"Content-Type": PROV_JSON})
    told = await anyio.to_thread.run_sync(lambda: formats.prov_o(graph, base, written=written))
    return Response(told, media_type=MEDIA_TYPES[written], headers=headers)


async def read(
    request: AnyRequest,
    object_id: UUID,
    caller: Caller,
    *,
    direction: Direction,
    depth: int,
    most: int | None = None,
) -> Graph:
    """Return a lineage as this caller may see it; pages ask here too. Raises NotFound, Gone."""
    async with requests.engines(request).database.transaction() as session:
        await consistently(session)
        return await lineage.graph_of(session, object_id, caller.audience, direction=direction, depth=depth, most=most)


class ImpactQuery(BaseModel):
    """How far to look."""

    model_config = ConfigDict(extra="forbid")

    depth: int = Field(default=DEPTH_MAX, ge=1, le=DEPTH_MAX, description="How many objects away at most.")


@operation(
    "GET",
    "/api/objects/{object_id:str}/impact",
    Operation(
        id="read_impact",
        summary="Read what depends on an object",
        description=(
            "Before it is changed or withdrawn: how many objects came from it, are labels, weights or bundles of it, "
            "by kind, and the nearest of them. How each depends on it tells its provenance with direction=down."
        ),
        tag="provenance",
        query=ImpactQuery,
        answers={200: Answer("What depends on it.", Impact)},
        problems=(404, 410),
    ),
)
async def read_impact(request: AnyRequest) -> Response[bytes]:
    """Read what depends on one object."""
    object_id = requests.object_id(request)
    asked = requests.query(request, ImpactQuery)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        await consistently(session)
        told = await impact.impact_of(session, object_id, caller.audience, depth=asked.depth)
    return shapes.json_response(told, headers={"Cache-Control": "no-cache", "Vary": "Authorization"})


class DocumentQuery(BaseModel):
    """Where the entities of a document are looked for."""

    model_config = ConfigDict(extra="forbid")

    project: Project | None = Field(
        default=None,
        description=(
            "Look for entities that have a catalog:name by their kind and name in this project, wherever the document "
            "comes from."
        ),
    )


@operation(
    "POST",
    "/api/provenance",
    Operation(
        id="import_provenance",
        summary="Record what a PROV-JSON document says",
        description=(
            "All of it or nothing, and nothing twice. An entity is an object by its address, by its id or kind/name as "
            "its name or under catalog:object, or something outside by an identifier. Taken are activities that "
            "generated an object, with what they used, what informed them, their agents and roles; to whom objects are "
            "attributed, and on whose behalf agents acted; derivations; members. Whatever else the document says is "
            "listed under left_out with the reason. For those who may change every object that says something new."
        ),
        tag="provenance",
        token=True,
        query=DocumentQuery,
        body=Body({"type": "object"}, media_type=PROV_JSON, example=EXAMPLE),
        answers={200: Answer("What was recorded, what was there, and what was left out.", Imported)},
        problems=(403, 409, 413, 415, 422),
    ),
)
async def import_provenance(request: AnyRequest) -> Response[bytes]:
    """Record the statements of one document."""
    caller = await requests.caller(request)
    caller.must_register()
    asked = requests.query(request, DocumentQuery)
    sent = await requests.body(request, media_types=(PROV_JSON, JSON), most_bytes=DOCUMENT_BYTES_MAX)
    base = _base(request)
    # A document of the largest size takes a moment to read, in which others want answers.
    told = await anyio.to_thread.run_sync(lambda: prov_json_import.statements_from(sent, base, project=asked.project))
    async with requests.engines(request).database.transaction() as session:
        imported = await importing.record(session, told, caller=caller, project=asked.project, base=base)
    return shapes.json_response(imported)


def _base(request: AnyRequest) -> str:
    return str(request.app.state.settings.public_url).rstrip("/")


ROUTES: list[HTTPRouteHandler] = [read_provenance, read_impact, import_provenance]

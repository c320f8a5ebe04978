"""`/api/objects/{id}/provenance`: what an object came from, and what came of it."""

import re
from enum import StrEnum

import anyio
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.api import requests, shapes
from catalog.api.contract import JSON, Answer, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.provenance import formats, lineage
from catalog.provenance.lineage import DEPTH_DEFAULT, DEPTH_MAX, Direction, Graph


class Format(StrEnum):
    """How the graph is written."""

    JSON = "json"
    TURTLE = "turtle"
    JSON_LD = "json-ld"


MEDIA_TYPES = {Format.JSON: JSON, Format.TURTLE: "text/turtle", Format.JSON_LD: "application/ld+json"}


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
            "good for this answer alone; what hidden objects themselves say is not told. Turtle and JSON-LD are PROV-O."
        ),
        tag="provenance",
        query=ProvenanceQuery,
        answers={200: Answer("The graph.", Graph, also=(MEDIA_TYPES[Format.TURTLE], MEDIA_TYPES[Format.JSON_LD]))},
        problems=(404, 410),
    ),
)
async def read_provenance(request: AnyRequest) -> Response[bytes]:
    """Read the lineage of one object."""
    object_id = requests.object_id(request)
    asked = requests.query(request, ProvenanceQuery)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        await lineage.consistently(session)
        graph = await lineage.graph_of(
            session, object_id, caller.audience, direction=asked.direction, depth=asked.depth
        )
    headers = {"Cache-Control": "no-cache", "Vary": "Authorization, Accept"}
    written = asked.format or _accepted(request.headers.get("accept", ""))
    if written == Format.JSON:
        return shapes.json_response(graph, headers=headers)
    base = str(request.app.state.settings.public_url).rstrip("/")
    told = await anyio.to_thread.run_sync(lambda: formats.prov_o(graph, base, written=written))
    return Response(told, media_type=MEDIA_TYPES[written], headers=headers)


def _accepted(header: str) -> Format:
    """Return the format that is asked for most (RFC 9110, section 12.5.1); JSON when none of ours is."""
    wanted: list[tuple[float, Format]] = []
    for one in header.split(","):
        media_type, *parameters = [part.strip().lower() for part in one.split(";")]
        found = next((name for name, ours in MEDIA_TYPES.items() if ours == media_type), None)
        weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        if found is not None and re.fullmatch(r"[01](\.\d{1,3})?", weight) and float(weight) > 0:
            wanted.append((float(weight), found))
    return max(wanted, key=lambda pair: pair[0])[1] if wanted else Format.JSON


ROUTES: list[HTTPRouteHandler] = [read_provenance]

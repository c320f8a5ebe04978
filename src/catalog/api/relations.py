"""`/api/objects/{id}/relations`: what an object says of others."""

from datetime import datetime
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.api import contract, requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.objects import ETAG, etag
from catalog.api.requests import AnyRequest
from catalog.objects import reading
from catalog.provenance import graph, recording
from catalog.provenance.graph import Node
from catalog.provenance.recording import RelationView
from catalog.provenance.statements import RelationDraft

RELATION_BYTES_MAX = 16 * 1024


class ShownIdentifier(msgspec.Struct, frozen=True):
    """Something outside the catalog."""

    type: str
    value: str


class ShownRelation(msgspec.Struct, frozen=True):
    """A relation: to an object, as far as the caller may see it, or to an identifier outside."""

    id: UUID
    type: str
    target: Node | None
    identifier: ShownIdentifier | None
    recorded_by: str
    recorded_at: datetime


class RelationList(msgspec.Struct, frozen=True):
    """All relations of an object, in the order in which they were recorded."""

    items: list[ShownRelation]


@operation(
    "GET",
    "/api/objects/{object_id:str}/relations",
    Operation(
        id="list_relations",
        summary="List what an object says of others",
        description="What others say of it stands in its provenance.",
        tag="provenance",
        answers={200: Answer("The relations.", RelationList, headers=ETAG)},
        problems=(404, 410),
    ),
)
async def list_relations(request: AnyRequest) -> Response[bytes]:
    """List the relations of one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        entry = await reading.find(session, object_id, caller.audience)
        told = await recording.relations_of(session, object_id)
        targets = [one.target_id for one in told if one.target_id is not None]
        seen = await reading.seen_among(session, targets, caller.audience)
    items, hidden = [], 0
    for one in told:
        hidden += one.target_id is not None and one.target_id not in seen
        target = None if one.target_id is None else graph.shown(one.target_id, seen, hidden)
        items.append(_shown(one, target))
    return shapes.json_response(
        RelationList(items),
        headers={"ETag": etag(entry.revision), "Cache-Control": "no-cache", "Vary": "Authorization"},
    )


def _shown(one: RelationView, target: Node | None) -> ShownRelation:
    outside = None
    if one.identifier is not None and one.identifier_type is not None:
        outside = ShownIdentifier(one.identifier_type, one.identifier)
    return ShownRelation(one.id, one.type, target, outside, one.by, one.at)


@operation(
    "POST",
    "/api/objects/{object_id:str}/relations",
    Operation(
        id="record_relation",
        summary="Relate an object to another one, or to an identifier outside",
        description=(
            "The types are DataCite's. A relation by which an object would come from itself is refused, and the circle "
            "is named."
        ),
        tag="provenance",
        token=True,
        headers=(contract.IF_MATCH,),
        body=Body(
            RelationDraft, example={"type": "IsDerivedFrom", "identifier": {"type": "DOI", "value": "10.5281/zenodo.1"}}
        ),
        answers={
            201: Answer("Recorded.", ShownRelation, headers=ETAG),
        },
        problems=(403, 404, 409, 410, 412, 413, 415, 422, 428),
    ),
)
async def record_relation(request: AnyRequest) -> Response[bytes]:
    """Record one relation."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    draft = await requests.sent(request, RelationDraft, most_bytes=RELATION_BYTES_MAX)
    revisions = requests.revisions(request)
    async with requests.engines(request).database.transaction() as session:
        entry, relation_id = await recording.relate(session, object_id, draft, caller=caller, revisions=revisions)
        (one,) = [told for told in await recording.relations_of(session, object_id) if told.id == relation_id]
        targets = [] if one.target_id is None else [one.target_id]
        seen = await reading.seen_among(session, targets, caller.audience)
    target = None if one.target_id is None else graph.shown(one.target_id, seen, 1)
    return shapes.json_response(
        _shown(one, target),
        status=201,
        headers={"ETag": etag(entry.revision)},
    )


@operation(
    "DELETE",
    "/api/objects/{object_id:str}/relations/{relation_id:str}",
    Operation(
        id="remove_relation",
        summary="Take a relation back",
        tag="provenance",
        token=True,
        headers=(contract.IF_MATCH,),
        answers={204: Answer("Taken back.", headers=ETAG)},
        problems=(403, 404, 410, 412, 428),
    ),
)
async def remove_relation(request: AnyRequest) -> Response[bytes]:
    """Remove one relation."""
    object_id, relation_id = requests.object_id(request), requests.object_id(request, "relation_id")
    caller = await requests.caller(request)
    caller.must_be_known()
    revisions = requests.revisions(request)
    async with requests.engines(request).database.transaction() as session:
        entry = await recording.unrelate(session, object_id, relation_id, caller=caller, revisions=revisions)
    return Response(b"", status_code=204, headers={"ETag": etag(entry.revision)})


ROUTES: list[HTTPRouteHandler] = [list_relations, record_relation, remove_relation]

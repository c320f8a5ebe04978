"""`/api/objects/{id}/agents`: whose work an object is, and on whose behalf somebody acted."""

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
from catalog.provenance import responsibility
from catalog.provenance.agents import ShownAgent
from catalog.provenance.responsibility import ResponsibilityView
from catalog.provenance.statements import ResponsibilityDraft

RESPONSIBILITY_BYTES_MAX = 16 * 1024

EXAMPLE = {
    "type": "wasAttributedTo",
    "agent": {"type": "person", "name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"},
    "role": "author",
}


class ShownResponsibility(msgspec.Struct, frozen=True):
    """What an object says of an agent: that it is its work, or on behalf of whom it acted."""

    id: UUID
    type: str
    agent: ShownAgent
    role: str | None
    responsible: ShownAgent | None
    recorded_by: str
    recorded_at: datetime


class ResponsibilityList(msgspec.Struct, frozen=True):
    """All that an object says of agents, in the order in which it was recorded."""

    items: list[ShownResponsibility]


@operation(
    "GET",
    "/api/objects/{object_id:str}/agents",
    Operation(
        id="list_agents",
        summary="List whose work an object is, and on whose behalf somebody acted",
        description="Who had a part in the activities that made it stands in its provenance.",
        tag="provenance",
        answers={200: Answer("What the object says of agents.", ResponsibilityList, headers=ETAG)},
        problems=(404, 410),
    ),
)
async def list_agents(request: AnyRequest) -> Response[bytes]:
    """List what one object says of agents."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        entry = await reading.find(session, object_id, caller.audience)
        told = await responsibility.all_of(session, object_id)
    return shapes.json_response(
        ResponsibilityList([_shown(one) for one in told]),
        headers={"ETag": etag(entry.revision), "Cache-Control": "no-cache", "Vary": "Authorization"},
    )


def _shown(one: ResponsibilityView) -> ShownResponsibility:
    said = "wasAttributedTo" if one.responsible is None else "actedOnBehalfOf"
    return ShownResponsibility(one.id, said, one.agent, one.role, one.responsible, one.by, one.at)


@operation(
    "POST",
    "/api/objects/{object_id:str}/agents",
    Operation(
        id="record_agent",
        summary="Say whose work an object is, or on whose behalf somebody acted",
        description=(
            "In PROV's words: wasAttributedTo, with a role if it has one, or actedOnBehalfOf with who is responsible. "
            "The same facts are the same agent. Creators and contributors, for a citation, stand in the object itself."
        ),
        tag="provenance",
        token=True,
        headers=(contract.IF_MATCH,),
        body=Body(ResponsibilityDraft, example=EXAMPLE),
        answers={201: Answer("Recorded.", ShownResponsibility, headers=ETAG)},
        problems=(403, 404, 409, 410, 412, 413, 415, 428),
    ),
)
async def record_agent(request: AnyRequest) -> Response[bytes]:
    """Record one statement."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    draft = await requests.sent(request, ResponsibilityDraft, most_bytes=RESPONSIBILITY_BYTES_MAX)
    revisions = requests.revisions(request)
    async with requests.engines(request).database.transaction() as session:
        entry, statement_id = await responsibility.say(session, object_id, draft, caller=caller, revisions=revisions)
        (one,) = [told for told in await responsibility.all_of(session, object_id) if told.id == statement_id]
    return shapes.json_response(_shown(one), status=201, headers={"ETag": etag(entry.revision)})


@operation(
    "DELETE",
    "/api/objects/{object_id:str}/agents/{statement_id:str}",
    Operation(
        id="remove_agent",
        summary="Take back what an object says of an agent",
        tag="provenance",
        token=True,
        headers=(contract.IF_MATCH,),
        answers={204: Answer("Taken back.", headers=ETAG)},
        problems=(403, 404, 410, 412, 428),
    ),
)
async def remove_agent(request: AnyRequest) -> Response[bytes]:
    """Remove one statement."""
    object_id, statement_id = requests.object_id(request), requests.object_id(request, "statement_id")
    caller = await requests.caller(request)
    caller.must_be_known()
    revisions = requests.revisions(request)
    async with requests.engines(request).database.transaction() as session:
        entry = await responsibility.unsay(session, object_id, statement_id, caller=caller, revisions=revisions)
    return Response(b"", status_code=204, headers={"ETag": etag(entry.revision)})


ROUTES: list[HTTPRouteHandler] = [list_agents, record_agent, remove_agent]

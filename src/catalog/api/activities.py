"""`/api/activities`: what ran, from what, and what came of it."""

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.api import contract, requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import JSON, AnyRequest
from catalog.database import consistently
from catalog.provenance import activities, recording
from catalog.provenance.activities import ShownActivity
from catalog.provenance.statements import ActivityDraft

ACTIVITY_BYTES_MAX = 512 * 1024

EXAMPLE = {
    "type": "training",
    "label": "Cloud U-Net, third run",
    "started": "2024-05-17T08:00:00Z",
    "ended": "2024-05-17T11:30:00Z",
    "parameters": {"epochs": 40, "rate": 0.001},
    "software": {"name": "PyTorch", "version": "2.3.0"},
    "code": {"url": "https://git.example.org/clouds.git", "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8"},
    "used": ["demo/weather/training-dataset/sky-images"],
    "generated": ["demo/weather/model/cloud-unet"],
    "agents": [{"type": "person", "name": "Rivera, Ana", "orcid": "0000-0002-1825-0097", "role": "operator"}],
    "delegations": [
        {
            "agent": {"type": "person", "name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"},
            "responsible": {"type": "organization", "name": "Argonne", "ror": "05gvnxz63"},
        }
    ],
}


@operation(
    "POST",
    "/api/activities",
    Operation(
        id="record_activity",
        summary="Record what ran, from what, and what came of it",
        description=(
            "For those who may change everything that it generated. One by which an object would come from itself is "
            "refused, and the circle is named. `delegations` tell who acted on whose behalf in it, `informed_by` which "
            "activities it follows where what passed between them is not in the catalog."
        ),
        tag="provenance",
        token=True,
        headers=(contract.IDEMPOTENCY_KEY,),
        body=Body(ActivityDraft, example=EXAMPLE),
        answers={201: Answer("Recorded.", ShownActivity, headers={"Location": "The activity's address."})},
        problems=(403, 404, 409, 410, 413, 415, 422),
    ),
)
async def record_activity(request: AnyRequest) -> Response[bytes]:
    """Record one activity."""
    caller = await requests.caller(request)
    caller.must_register()
    sent = await requests.body(request, media_types=(JSON,), most_bytes=ACTIVITY_BYTES_MAX)
    draft = requests.parsed(sent, ActivityDraft)
    remember = requests.remember(request, sent)
    async with requests.engines(request).database.transaction() as session:
        activity_id = await recording.record_activity(session, draft, caller=caller, remember=remember)
        recorded = await activities.activity_of(session, activity_id, caller.audience)
    return shapes.json_response(recorded, status=201, headers={"Location": f"/api/activities/{activity_id}"})


@operation(
    "GET",
    "/api/activities/{activity_id:str}",
    Operation(
        id="read_activity",
        summary="Read an activity",
        description="For those who may see something that it generated.",
        tag="provenance",
        answers={200: Answer("The activity.", ShownActivity)},
        problems=(404,),
    ),
)
async def read_activity(request: AnyRequest) -> Response[bytes]:
    """Read one activity."""
    activity_id = requests.object_id(request, "activity_id")
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        await consistently(session)
        found = await activities.activity_of(session, activity_id, caller.audience)
    return shapes.json_response(found, headers={"Vary": "Authorization"})


ROUTES: list[HTTPRouteHandler] = [record_activity, read_activity]

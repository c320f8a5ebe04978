"""`/api/events`: where ingestion services announce what has arrived; `/api/event-types`: what they may say."""

from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import JSON, AnyRequest
from catalog.errors import NotFound
from catalog.events import shapes as events
from catalog.events import taking
from catalog.events.taking import Receipt
from catalog.objects.verbs import NameTaken

EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
# A thousand keys of full length in one event; a batch has rarely as much.
BODY_BYTES_MAX = 2 * 1024 * 1024


class EventReceipt(msgspec.Struct, frozen=True):
    """That an event was taken; the same one sent again has the same receipt."""

    source: str
    id: str
    receipt: UUID


class EventReceipts(msgspec.Struct, frozen=True):
    """The receipts, in the order of the events."""

    items: list[EventReceipt]


class EventTypeSummary(msgspec.Struct, frozen=True):
    """A type of events, in short."""

    name: str
    description: str


class EventTypeList(msgspec.Struct, frozen=True):
    """All types."""

    items: list[EventTypeSummary]


class ShownEventType(msgspec.Struct, frozen=True):
    """A type, with the schema of an event and an example that it accepts."""

    name: str
    description: str
    schema: dict[str, Any]
    example: dict[str, Any]


@operation(
    "POST",
    "/api/events",
    Operation(
        id="announce_events",
        summary="Announce what has arrived",
        description=(
            "For whoever may register where it lies. An event is CloudEvents 1.0 in JSON: one as "
            f"`{EVENT}`, up to {events.EVENTS_MAX} as `{BATCH}`, of which all are taken or none. It says where to "
            "look, and what lies there decides: repeated, late or out of order it does no harm. Each is known by its "
            "`source` and `id` for 30 days: sent again, it is answered as before. `/api/event-types` lists the types."
        ),
        tag="notifications",
        token=True,
        body=Body(
            {"type": "object", "description": "An event of one of the types that `/api/event-types` lists."},
            media_type=EVENT,
            example=events.example_of("catalog.files.written.v1"),
            also=(BATCH,),
        ),
        answers={202: Answer("Taken: what it says is looked at.", EventReceipts)},
        problems=(403, 409, 413, 415, 422, 507),
    ),
)
async def announce_events(request: AnyRequest) -> Response[bytes]:
    """Take events."""
    caller = await requests.caller(request)
    caller.must_register()
    body = await requests.body(request, media_types=(EVENT, BATCH), most_bytes=BODY_BYTES_MAX)
    batch = request.headers.get("content-type", "").partition(";")[0].strip().lower() == BATCH
    wanted = events.read(body, batch=batch)
    engines = requests.engines(request)

    async def take() -> list[Receipt]:
        async with engines.database.transaction() as session:
            return await taking.take(session, wanted, caller=caller, placement=engines.placement, batch=batch)

    try:
        told = await take()
    except NameTaken:
        # The same job was begun meanwhile; it is there now, or belongs to others.
        told = await take()
    return shapes.json_response(
        EventReceipts([EventReceipt(one.source, one.id, one.receipt) for one in told]), status=202
    )


@operation(
    "GET",
    "/api/event-types",
    Operation(
        id="list_event_types",
        summary="List the types of events",
        tag="notifications",
        scope=None,
        answers={200: Answer("The types.", EventTypeList)},
    ),
)
async def list_event_types(request: AnyRequest) -> Response[bytes]:  # ruff: ignore[ARG001] - Litestar passes it by name.
    """List the types."""
    found = [EventTypeSummary(name, _described(name)) for name in events.TYPES]
    return shapes.json_response(EventTypeList(found))


@operation(
    "GET",
    "/api/event-types/{event_type:str}",
    Operation(
        id="read_event_type",
        summary="Read the schema of a type of events, and an example",
        tag="notifications",
        scope=None,
        answers={200: Answer("The type.", ShownEventType)},
        problems=(404,),
    ),
)
async def read_event_type(request: AnyRequest) -> Response[bytes]:
    """Read one type."""
    name = request.path_params["event_type"]
    if name not in events.TYPES:
        raise NotFound(f"There are no events of the type {name[:80]!r}.")
    return Response(_encoded(name), media_type=JSON)


def _described(name: str) -> str:
    return (events.TYPES[name].__doc__ or "").strip()


# Making a schema takes milliseconds, and it changes with the code alone.
@cache
def _encoded(name: str) -> bytes:
    shown = ShownEventType(name, _described(name), events.schema_of(name), events.example_of(name))
    return msgspec.json.encode(shown)


ROUTES: list[HTTPRouteHandler] = [announce_events, list_event_types, read_event_type]

"""`/api/kinds`: what an object can be, with the JSON Schema of its registration."""

from functools import cache
from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.api import shapes
from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import JSON, AnyRequest
from catalog.errors import NotFound
from catalog.objects import kinds, validation


class KindSummary(msgspec.Struct, frozen=True):
    """A kind, in short."""

    name: str
    title: str
    description: str


class KindList(msgspec.Struct, frozen=True):
    """All kinds."""

    items: list[KindSummary]


class ShownKind(msgspec.Struct, frozen=True):
    """A kind, with the schema of a registration and an example that it accepts."""

    name: str
    title: str
    description: str
    schema_version: int
    schema: dict[str, Any]
    example: dict[str, Any]


@operation(
    "GET",
    "/api/kinds",
    Operation(
        id="list_kinds",
        summary="List the kinds",
        tag="kinds",
        scope=None,
        answers={200: Answer("The kinds.", KindList)},
    ),
)
async def list_kinds(request: AnyRequest) -> Response[bytes]:  # ruff: ignore[ARG001] - Litestar passes it by name.
    """List the kinds."""
    summaries = [KindSummary(kind.name, kind.title, kind.description) for kind in kinds.known().values()]
    return shapes.json_response(KindList(summaries))


@operation(
    "GET",
    "/api/kinds/{kind:str}",
    Operation(
        id="read_kind",
        summary="Read a kind's schema and example",
        tag="kinds",
        scope=None,
        answers={200: Answer("The kind.", ShownKind)},
        problems=(404,),
    ),
)
async def read_kind(request: AnyRequest) -> Response[bytes]:
    """Read one kind."""
    name = request.path_params["kind"]
    kind = kinds.known().get(name)
    if kind is None:
        fault = kinds.unknown("", name)
        raise NotFound(fault.message[0].upper() + fault.message[1:] + ".")
    return Response(_encoded(kind), media_type=JSON)


# Making a schema takes milliseconds, and it changes with the code alone.
@cache
def _encoded(kind: kinds.Kind) -> bytes:
    return msgspec.json.encode(
        ShownKind(
            name=kind.name,
            title=kind.title,
            description=kind.description,
            schema_version=kind.schema_version,
            schema=validation.schema_of(kind),
            example=dict(kind.example),
        )
    )


ROUTES: list[HTTPRouteHandler] = [list_kinds, read_kind]

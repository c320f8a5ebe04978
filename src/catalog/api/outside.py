"""`/api/objects/{id}/outside`: what an object names outside the catalog, and whether anything is there."""

from datetime import datetime
from typing import Literal

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.api import requests, shapes
from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.objects import reading
from catalog.objects.references import Outside
from catalog.outside import tables
from catalog.outside.tables import Look


class ShownOutside(msgspec.Struct, frozen=True):
    """An address, where the object names it, and what the last look found there; `unchecked`: none was made yet."""

    pointer: str
    address: str
    state: Literal["unchecked", "reachable", "restricted", "unreachable", "refused"]
    reason: str | None
    checked_at: datetime | None


class OutsideList(msgspec.Struct, frozen=True):
    """All addresses that an object names."""

    items: list[ShownOutside]


@operation(
    "GET",
    "/api/objects/{object_id:str}/outside",
    Operation(
        id="list_outside",
        summary="List what an object names outside the catalog",
        description="Repositories, images and addresses, each with what the last look found there.",
        tag="objects",
        answers={200: Answer("The addresses.", OutsideList)},
        problems=(404, 410),
    ),
)
async def list_outside(request: AnyRequest) -> Response[bytes]:
    """List the outside addresses of one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        named = reading.outside_of(await reading.find(session, object_id, caller.audience))
        looks = await tables.looks_at(session, {one.address for one in named})
    items = [_shown(one, looks.get(one.address)) for one in named]
    return shapes.json_response(OutsideList(items), headers={"Vary": "Authorization"})


def _shown(one: Outside, look: Look | None) -> ShownOutside:
    if look is None:
        return ShownOutside(one.pointer, one.address, "unchecked", None, None)
    return ShownOutside(one.pointer, one.address, look.state.value, look.reason, look.checked_at)


ROUTES: list[HTTPRouteHandler] = [list_outside]

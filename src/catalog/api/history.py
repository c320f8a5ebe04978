"""`/api/objects/{id}/history`: who changed what, and how the object read before."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from catalog.api import requests, shapes
from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import AnyRequest, Paging
from catalog.errors import NotFound
from catalog.objects import history
from catalog.objects.history import Change

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
REVISION_DIGITS_MAX = 18


class HistoryQuery(BaseModel):
    """Which part of the history to show."""

    model_config = ConfigDict(extra="forbid")

    until: AwareDatetime | None = Field(default=None, description="Only what happened until then.")
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many changes a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=2_000)


class ShownChange(msgspec.Struct, frozen=True):
    """One change; `by` is null where the catalog itself found it, having looked at a store."""

    at: datetime
    by: str | None
    action: str
    from_revision: int | None
    to_revision: int
    changes: dict[str, Any] | None


class HistoryPage(msgspec.Struct, frozen=True):
    """Some changes, newest first, and where the next ones begin."""

    items: list[ShownChange]
    cursor: str | None


class ShownPast(msgspec.Struct, frozen=True):
    """The description as it read at one revision, and since when."""

    object: UUID
    revision: int
    at: datetime
    description: dict[str, Any]


@operation(
    "GET",
    "/api/objects/{object_id:str}/history",
    Operation(
        id="read_history",
        summary="See who changed what, newest first",
        description="For those who may change the object. A withdrawn object keeps its history.",
        tag="versions",
        token=True,
        query=HistoryQuery,
        answers={200: Answer("A page of changes.", HistoryPage, headers={"Link": "The next page."})},
        problems=(403, 404),
    ),
)
async def read_history(request: AnyRequest) -> Response[bytes]:
    """Read a page of the history of one object."""
    object_id = requests.object_id(request)
    asked = requests.query(request, HistoryQuery)
    caller = await requests.caller(request)
    bound_to = ("history", caller.id, str(object_id), None if asked.until is None else asked.until.isoformat())
    page = requests.paging(request, asked, int, *bound_to)
    async with requests.engines(request).database.transaction() as session:
        found = await history.page(
            session, object_id, caller=caller, until=asked.until, before=page.after, limit=page.one_more
        )
    return shown(request, page, found)


def shown(request: AnyRequest, page: Paging[int], found: Sequence[Change]) -> Response[bytes]:
    """Return the answer to whoever asked for a page of changes."""
    items, cursor = page.cut(found, lambda one: one.id)
    told = [ShownChange(one.at, one.by, one.action, one.from_revision, one.to_revision, one.changes) for one in items]
    return shapes.json_response(
        HistoryPage(told, cursor), headers={**requests.next_link(request, cursor), "Cache-Control": "no-store"}
    )


@operation(
    "GET",
    "/api/objects/{object_id:str}/history/{revision:str}",
    Operation(
        id="read_revision",
        summary="Read the description as it was at a revision",
        description="For those who may change the object.",
        tag="versions",
        token=True,
        answers={200: Answer("The description as it was.", ShownPast)},
        problems=(403, 404),
    ),
)
async def read_revision(request: AnyRequest) -> Response[bytes]:
    """Read one object as it was at a revision."""
    object_id = requests.object_id(request)
    text = str(request.path_params["revision"])
    if not (text.isascii() and text.isdecimal() and len(text) <= REVISION_DIGITS_MAX):
        raise NotFound(f"{text[:80]!r} is not a revision; revisions are numbers from 1 on.")
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        past = await history.at(session, object_id, int(text), caller=caller)
    return shapes.json_response(
        ShownPast(object_id, past.revision, past.at, past.record), headers={"Cache-Control": "no-store"}
    )


ROUTES: list[HTTPRouteHandler] = [read_history, read_revision]

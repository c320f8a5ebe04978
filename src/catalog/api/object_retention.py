"""`/api/objects/{id}/retention`: how long one object is kept, by which rule, and what stands against its removal."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.api.retention import (
    EXAMPLE,
    HoldWanted,
    MadeHold,
    Reason,
    RuleWanted,
    ShownHold,
    ShownRule,
    holds_shown,
    rule_shown,
)
from catalog.retention import explaining, holds, marking, purging, rules
from catalog.retention.explaining import Explained

_ADDRESS = "/api/objects/{object_id:str}/retention"


class PurgeWanted(BaseModel):
    """Why bytes are to be deleted, and whether those of published versions are as well."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Reason
    versions: Annotated[bool, Field(description="Whether the bytes of published versions go too.")] = False


class DependingObject(msgspec.Struct, frozen=True):
    """An object that is made from this one or names it."""

    id: UUID
    kind: str
    project: str
    title: str


class ShownStanding(msgspec.Struct, frozen=True):
    """How long an object is kept, and why.

    `kept`: nothing ever removes it. `waiting`: not due yet. `prevented`: due, and `obstacles` keep it. `due`: the next
    cycle marks it. `marked`: it goes at `removes_at` at the earliest. `dependants` are the first of those that you see.
    """

    state: Literal["kept", "waiting", "prevented", "due", "marked"]
    rule: ShownRule | None
    counted_from: datetime | None
    due_at: datetime | None
    removes_at: datetime | None
    obstacles: list[Literal["doi", "hold", "dependants", "versions"]]
    holds: list[ShownHold]
    dependants: list[DependingObject]
    grace_days: float


class ShownPurge(msgspec.Struct, frozen=True):
    """How many keys of the store are to be deleted, and when at the earliest."""

    keys: int
    removes_at: datetime


def _shown(found: Explained) -> ShownStanding:
    return ShownStanding(
        found.standing.value,
        None if found.rule is None else rule_shown(found.rule),
        found.counts,
        found.due_at,
        found.removes_at,
        [one.value for one in found.obstacles],
        holds_shown(found.holds),
        [DependingObject(one, told.kind, told.project, told.title) for one, told in found.dependants],
        found.grace_days,
    )


@operation(
    "GET",
    _ADDRESS,
    Operation(
        id="read_object_retention",
        summary="See how long an object is kept, and why",
        description="For those who may change it: which rule holds and where it stands, when it falls due, and what "
        "prevents its removal.",
        tag="retention",
        token=True,
        answers={200: Answer("What holds for it.", ShownStanding)},
        problems=(403, 404, 410),
    ),
)
async def read_object_retention(request: AnyRequest) -> Response[bytes]:
    """Explain the retention of one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        found = await explaining.explain(session, object_id, engines.retention, caller=caller)
    return shapes.json_response(_shown(found), headers={"Cache-Control": "no-store"})


@operation(
    "PUT",
    _ADDRESS,
    Operation(
        id="set_object_retention",
        summary="Say how long an object is kept",
        description="For those who may change it. It wins over every other rule; the same again replaces it.",
        tag="retention",
        token=True,
        body=Body(RuleWanted, example=EXAMPLE),
        answers={204: Answer("Set.")},
        problems=(403, 404, 410, 413, 415),
    ),
)
async def set_object_retention(request: AnyRequest) -> Response[bytes]:
    """Set the rule of one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, RuleWanted)
    async with requests.engines(request).database.transaction() as session:
        await rules.put_on_object(session, object_id, wanted.wanted, caller=caller)
    return Response(b"", status_code=204)


@operation(
    "DELETE",
    _ADDRESS,
    Operation(
        id="remove_object_retention",
        summary="Let the rule of its project count for an object again",
        tag="retention",
        token=True,
        answers={204: Answer("Taken back.")},
        problems=(403, 404, 410),
    ),
)
async def remove_object_retention(request: AnyRequest) -> Response[bytes]:
    """Take the rule of one object back."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        await rules.remove_from_object(session, object_id, caller=caller)
    return Response(b"", status_code=204)


@operation(
    "DELETE",
    f"{_ADDRESS}/mark",
    Operation(
        id="keep_object",
        summary="Keep an object that is marked for removal",
        description="For those who may change it, until it is removed. The days of its rule are counted from now on.",
        tag="retention",
        token=True,
        answers={204: Answer("It is marked no more.")},
        problems=(403, 404, 409, 410),
    ),
)
async def keep_object(request: AnyRequest) -> Response[bytes]:
    """Lift the mark of one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        await marking.keep(session, object_id, caller=caller)
    return Response(b"", status_code=204)


@operation(
    "POST",
    f"{_ADDRESS}/holds",
    Operation(
        id="hold_object",
        summary="Let an object not be removed",
        description="For curators and admins of its project. The bytes of a withdrawn object are held as well.",
        tag="retention",
        token=True,
        scope=Scope.CURATE,
        body=Body(HoldWanted),
        answers={201: Answer("Held.", MadeHold)},
        problems=(403, 404, 413, 415),
    ),
)
async def hold_object(request: AnyRequest) -> Response[bytes]:
    """Place a hold on one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, HoldWanted)
    async with requests.engines(request).database.transaction() as session:
        made = await holds.place_on_object(session, object_id, wanted.reason, caller=caller)
    return shapes.json_response(MadeHold(made), status=201)


@operation(
    "POST",
    f"{_ADDRESS}/purge",
    Operation(
        id="purge_object",
        summary="Delete the bytes of a withdrawn object",
        description="For admins of its project. They go after the grace period; until then it can be undone. What has "
        "a DOI, a hold or dependants keeps its bytes.",
        tag="retention",
        token=True,
        scope=Scope.ADMIN,
        body=Body(PurgeWanted),
        answers={202: Answer("They are to go.", ShownPurge)},
        problems=(403, 404, 409, 413, 415),
    ),
)
async def purge_object(request: AnyRequest) -> Response[bytes]:
    """Have the bytes of one withdrawn object deleted."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, PurgeWanted)
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        found = await purging.ask(
            session, object_id, wanted.reason, versions=wanted.versions, caller=caller, policy=engines.retention
        )
    return shapes.json_response(ShownPurge(found.keys, found.removes_at), status=202)


@operation(
    "DELETE",
    f"{_ADDRESS}/purge",
    Operation(
        id="undo_purge",
        summary="Leave the bytes of a withdrawn object where they are",
        description="For admins of its project, until the grace period is over.",
        tag="retention",
        token=True,
        scope=Scope.ADMIN,
        answers={204: Answer("They stay.")},
        problems=(403, 404, 409),
    ),
)
async def undo_purge(request: AnyRequest) -> Response[bytes]:
    """Leave the bytes of one withdrawn object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        await purging.undo(session, object_id, caller=caller)
    return Response(b"", status_code=204)


ROUTES: list[HTTPRouteHandler] = [
    read_object_retention,
    set_object_retention,
    remove_object_retention,
    keep_object,
    hold_object,
    purge_object,
    undo_purge,
]

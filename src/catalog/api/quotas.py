"""`…/quota` of organizations and projects: how much each may hold, and how much it does."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access import quotas
from catalog.access.quotas import DIMENSIONS, LIMIT_MAX, QuotaView
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import MERGE_PATCH, Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest

Limit = Annotated[int | None, Field(ge=0, le=LIMIT_MAX)]


class QuotaPatch(BaseModel):
    """The most of each; `null` takes a limit away, and what is left out stays as it is (JSON Merge Patch, RFC 7396)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    objects: Annotated[Limit, Field(description="Objects that were not withdrawn.")] = None
    bytes: Annotated[Limit, Field(description="Bytes of files, declared or still in the store.")] = None
    uploads: Annotated[Limit, Field(description="Uploads that are open at once.")] = None


class ShownLimits(msgspec.Struct, frozen=True):
    """The most of each; `null` where there is no limit."""

    objects: int | None
    bytes: int | None
    uploads: int | None


class ShownUse(msgspec.Struct, frozen=True):
    """How much there is, hidden objects counted."""

    objects: int
    bytes: int
    uploads: int


class ShownQuota(msgspec.Struct, frozen=True):
    """The quota of an organization or a project; `used` is told to its curators and admins alone."""

    scope: str
    most: ShownLimits
    used: ShownUse | None
    set_by: str | None
    set_at: datetime | None


def _shown(view: QuotaView) -> Response[bytes]:
    most = ShownLimits(view.limits.objects, view.limits.bytes, view.limits.uploads)
    used = None if view.used is None else ShownUse(view.used.objects, view.used.bytes, view.used.uploads)
    return shapes.json_response(ShownQuota(view.scope, most, used, view.set_by, view.set_at))


async def _read(request: AnyRequest) -> Response[bytes]:
    caller = await requests.caller(request)
    caller.must_be_known()
    async with requests.engines(request).database.transaction() as session:
        return _shown(await quotas.show(session, requests.scope(request), caller=caller))


async def _change(request: AnyRequest) -> Response[bytes]:
    caller = await requests.caller(request)
    caller.must_administer_all()
    patch = requests.parsed(await requests.body(request, media_types=(MERGE_PATCH,)), QuotaPatch)
    wanted = {one: getattr(patch, one) for one in DIMENSIONS if one in patch.model_fields_set}
    async with requests.engines(request).database.transaction() as session:
        return _shown(await quotas.change(session, requests.scope(request), wanted, caller=caller))


_READ = "For whoever has a role there. Its curators and admins also see how much of it is used."
_CHANGED = "For admins of the whole catalog. What is there stays; a quota refuses what would come in addition."
_EXAMPLE = {"objects": 100_000, "bytes": 2_000_000_000_000, "uploads": None}


def _promise_to_read(**differs: Any) -> Operation:
    return Operation(
        description=_READ,
        tag="access",
        token=True,
        answers={200: Answer("The quota.", ShownQuota)},
        problems=(404,),
        **differs,
    )


def _promise_to_change(description: str, **differs: Any) -> Operation:
    return Operation(
        description=description,
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(QuotaPatch, MERGE_PATCH, example=_EXAMPLE),
        answers={200: Answer("The quota.", ShownQuota)},
        problems=(403, 404, 413, 415),
        **differs,
    )


@operation(
    "GET",
    "/api/organizations/{organization:str}/quota",
    _promise_to_read(id="read_organization_quota", summary="See how much an organization may hold"),
)
async def read_organization_quota(request: AnyRequest) -> Response[bytes]:
    """Show the quota of an organization."""
    return await _read(request)


@operation(
    "PATCH",
    "/api/organizations/{organization:str}/quota",
    _promise_to_change(_CHANGED, id="change_organization_quota", summary="Limit how much an organization may hold"),
)
async def change_organization_quota(request: AnyRequest) -> Response[bytes]:
    """Change the quota of an organization."""
    return await _change(request)


@operation(
    "GET",
    "/api/projects/{organization:str}/{project:str}/quota",
    _promise_to_read(id="read_project_quota", summary="See how much a project may hold"),
)
async def read_project_quota(request: AnyRequest) -> Response[bytes]:
    """Show the quota of a project."""
    return await _read(request)


@operation(
    "PATCH",
    "/api/projects/{organization:str}/{project:str}/quota",
    _promise_to_change(
        f"{_CHANGED} The quota of its organization counts beside it.",
        id="change_project_quota",
        summary="Limit how much a project may hold",
    ),
)
async def change_project_quota(request: AnyRequest) -> Response[bytes]:
    """Change the quota of a project."""
    return await _change(request)


ROUTES: list[HTTPRouteHandler] = [
    read_organization_quota,
    change_organization_quota,
    read_project_quota,
    change_project_quota,
]

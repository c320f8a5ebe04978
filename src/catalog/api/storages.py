"""`…/storages`: which backends an organization or a project uses."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access import members
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.storage import choices
from catalog.storage.choices import Chosen, Storages
from catalog.storage.keys import OWN

DATA_MAX = 50
Named = Annotated[str, Field(min_length=1, max_length=64, description="A backend's id, or `default`.")]


class StoragesWanted(BaseModel):
    """Which backends shall be used; what is left out or null follows the organization, or is the catalog's own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    document: Named | None = Field(default=None, description="Where what is brought goes from now on.")
    data: Annotated[list[Named], Field(min_length=1, max_length=DATA_MAX)] | None = Field(
        default=None, description="Where data lie that others look after."
    )


class ShownStorage(msgspec.Struct, frozen=True):
    """A backend that is used, and who chose it."""

    id: str
    name: str
    chosen_by: Literal["project", "organization", "nobody"]


class ShownStorages(msgspec.Struct, frozen=True):
    """What is used: exactly one backend for documents, one or more for data."""

    document: ShownStorage
    data: list[ShownStorage]
    warnings: list[str]


def _shown(found: Storages) -> Response[bytes]:
    warnings = [
        f"{one.backend.name!r} and {other.backend.name!r} overlap: what is in one is in both"
        for one, other in found.overlaps()
        if one.backend and other.backend
    ]
    document, data = _storage(found.document), [_storage(one) for one in found.data]
    return shapes.json_response(ShownStorages(document, data, warnings))


def _storage(one: Chosen) -> ShownStorage:
    by: Literal["project", "organization", "nobody"] = "nobody"
    if one.by is not None:
        by = "project" if "/" in one.by else "organization"
    return ShownStorage(one.name, OWN if one.backend is None else one.backend.name, by)


async def _read(request: AnyRequest) -> Response[bytes]:
    scope = requests.scope(request)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        await members.role_of_member(session, scope, caller)
        return _shown(await choices.used_by(session, scope))


async def _choose(request: AnyRequest) -> Response[bytes]:
    scope = requests.scope(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, StoragesWanted)
    async with requests.engines(request).database.transaction() as session:
        await members.must_administer(session, scope, caller=caller, what="Where its files go is")
        data = None if wanted.data is None else list(dict.fromkeys(wanted.data))
        return _shown(await choices.choose(session, scope, document=wanted.document, data=data, caller=caller))


_CHOSEN = (
    "Files that are there stay where they are, and are found there. A backend of another organization is not there."
)


def _promise_to_read(**differs: Any) -> Operation:
    return Operation(
        tag="access", token=True, answers={200: Answer("The backends.", ShownStorages)}, problems=(404,), **differs
    )


def _promise_to_choose(**differs: Any) -> Operation:
    return Operation(
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(StoragesWanted),
        answers={200: Answer("The backends as they are used now.", ShownStorages)},
        problems=(403, 404, 413, 415, 422),
        **differs,
    )


@operation(
    "GET",
    "/api/organizations/{organization:str}/storages",
    _promise_to_read(
        id="read_organization_storages",
        summary="See which backends the projects of an organization use unless they chose others",
    ),
)
async def read_organization_storages(request: AnyRequest) -> Response[bytes]:
    """Read the defaults of an organization."""
    return await _read(request)


@operation(
    "PUT",
    "/api/organizations/{organization:str}/storages",
    _promise_to_choose(
        id="choose_organization_storages",
        summary="Choose which backends the projects of an organization use unless they chose others",
        description=f"For admins of the organization. {_CHOSEN}",
    ),
)
async def choose_organization_storages(request: AnyRequest) -> Response[bytes]:
    """Choose the defaults of an organization."""
    return await _choose(request)


@operation(
    "GET",
    "/api/projects/{organization:str}/{project:str}/storages",
    _promise_to_read(
        id="read_project_storages",
        summary="See which backends a project uses",
    ),
)
async def read_project_storages(request: AnyRequest) -> Response[bytes]:
    """Read what a project uses."""
    return await _read(request)


@operation(
    "PUT",
    "/api/projects/{organization:str}/{project:str}/storages",
    _promise_to_choose(
        id="choose_project_storages",
        summary="Choose which backends a project uses",
        description=f"For admins of the project. {_CHOSEN}",
    ),
)
async def choose_project_storages(request: AnyRequest) -> Response[bytes]:
    """Choose what a project uses."""
    return await _choose(request)


ROUTES: list[HTTPRouteHandler] = [
    read_organization_storages,
    choose_organization_storages,
    read_project_storages,
    choose_project_storages,
]

"""`/api/organizations` and `/api/projects`: what there is, and what of it the caller sees."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access import members
from catalog.access.audience import Role
from catalog.access.members import ScopeView
from catalog.access.principals import Caller
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.objects import projects
from catalog.objects.projects import ProjectView

RoleName = Literal["admin", "curator", "ingest", "reader"]


VARYING = {"Vary": "Authorization"}


class Named(BaseModel):
    """A new organization, project or group."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=64, examples=["lab"])]
    title: Annotated[str | None, Field(max_length=500)] = None


class ShownScope(msgspec.Struct, frozen=True):
    """An organization or a project, with the caller's own role there."""

    name: str
    title: str | None
    role: RoleName | None
    created_at: datetime


class ScopeList(msgspec.Struct, frozen=True):
    """Organizations or projects, by name."""

    items: list[ShownScope]


class ShownProject(msgspec.Struct, frozen=True):
    """A project, with the caller's own role there."""

    name: str
    title: str | None
    role: RoleName | None


class ShownOrganization(msgspec.Struct, frozen=True):
    """An organization, with the caller's own role there, and the projects of which the caller sees anything."""

    name: str
    title: str | None
    role: RoleName | None
    projects: list[ShownProject]


def _scopes(found: list[ScopeView]) -> Response[bytes]:
    items = [
        ShownScope(one.name, one.title, None if one.role is None else one.role.value, one.created_at) for one in found
    ]
    return shapes.json_response(ScopeList(items))


@operation(
    "GET",
    "/api/organizations",
    Operation(
        id="list_organizations",
        summary="List the organizations in which you have a role",
        tag="access",
        token=True,
        answers={200: Answer("The organizations.", ScopeList)},
    ),
)
async def list_organizations(request: AnyRequest) -> Response[bytes]:
    """List organizations."""
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        return _scopes(await members.organizations(session, caller))


@operation(
    "POST",
    "/api/organizations",
    Operation(
        id="create_organization",
        summary="Make an organization",
        description="For admins of the whole catalog.",
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(Named),
        answers={201: Answer("Made.")},
        problems=(403, 409, 413, 415),
    ),
)
async def create_organization(request: AnyRequest) -> Response[bytes]:
    """Make an organization."""
    caller = await requests.caller(request)
    caller.must_administer_all()
    wanted = await requests.sent(request, Named)
    async with requests.engines(request).database.transaction() as session:
        await members.create_organization(session, wanted.name, wanted.title, caller=caller)
    return Response(b"", status_code=201)


_SEEN = "You see what you have a role in, and what has an object that you may see; anything else is not there for you."


@operation(
    "GET",
    "/api/organizations/{organization:str}",
    Operation(
        id="read_organization",
        summary="Read an organization with its projects",
        description=_SEEN,
        tag="access",
        answers={200: Answer("The organization.", ShownOrganization)},
        problems=(404,),
    ),
)
async def read_organization(request: AnyRequest) -> Response[bytes]:
    """Read one organization."""
    return shapes.json_response(await organization(request, await requests.caller(request)), headers=VARYING)


async def organization(request: AnyRequest, caller: Caller) -> ShownOrganization:
    """Return the organization in the path as this caller sees it; the pages read it here too; raises NotFound."""
    async with requests.engines(request).database.transaction() as session:
        found = await projects.organization(session, requests.organization(request), caller)
    return ShownOrganization(found.name, found.title, _role(found.role), [_project_of(one) for one in found.projects])


@operation(
    "GET",
    "/api/projects/{organization:str}/{project:str}",
    Operation(
        id="read_project",
        summary="Read a project",
        description=_SEEN,
        tag="access",
        answers={200: Answer("The project.", ShownProject)},
        problems=(404,),
    ),
)
async def read_project(request: AnyRequest) -> Response[bytes]:
    """Read one project."""
    return shapes.json_response(await project(request, await requests.caller(request)), headers=VARYING)


async def project(request: AnyRequest, caller: Caller) -> ShownProject:
    """Return the project in the path as this caller sees it; the pages read it here too; raises NotFound."""
    async with requests.engines(request).database.transaction() as session:
        return _project_of(await projects.project(session, requests.scope(request), caller))


async def seen(request: AnyRequest, caller: Caller) -> list[tuple[str, str | None]]:
    """Return name and title of the organizations of which the caller sees anything."""
    async with requests.engines(request).database.transaction() as session:
        return await projects.organizations(session, caller)


def _project_of(found: ProjectView) -> ShownProject:
    return ShownProject(found.name, found.title, _role(found.role))


def _role(role: Role | None) -> RoleName | None:
    return None if role is None else role.value


@operation(
    "GET",
    "/api/organizations/{organization:str}/projects",
    Operation(
        id="list_projects",
        summary="List the projects of an organization in which you have a role",
        tag="access",
        token=True,
        answers={200: Answer("The projects.", ScopeList)},
        problems=(404,),
    ),
)
async def list_projects(request: AnyRequest) -> Response[bytes]:
    """List projects."""
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        return _scopes(await members.projects(session, requests.organization(request), caller))


@operation(
    "POST",
    "/api/organizations/{organization:str}/projects",
    Operation(
        id="create_project",
        summary="Make a project",
        description="For admins of the organization.",
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(Named),
        answers={201: Answer("Made.")},
        problems=(403, 404, 409, 413, 415),
    ),
)
async def create_project(request: AnyRequest) -> Response[bytes]:
    """Make a project."""
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, Named)
    async with requests.engines(request).database.transaction() as session:
        name = f"{requests.organization(request)}/{wanted.name}"
        await members.create_project(session, name, wanted.title, caller=caller)
    return Response(b"", status_code=201)


ROUTES: list[HTTPRouteHandler] = [
    list_organizations,
    create_organization,
    read_organization,
    read_project,
    list_projects,
    create_project,
]

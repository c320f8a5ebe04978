"""`/api/organizations` and `/api/projects`: who owns, who belongs, and who may do what there."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access import members
from catalog.access.audience import Role
from catalog.access.members import ScopeView
from catalog.api import requests, shapes
from catalog.api.contract import JSON, Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest

Member = Annotated[
    str,
    Field(min_length=1, max_length=200, description="`user:NAME` or `group:ORGANIZATION/NAME`.", examples=["user:ana"]),
]
RoleName = Literal["admin", "curator", "ingest", "reader"]


class Named(BaseModel):
    """A new organization, project or group."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=64, examples=["lab"])]
    title: Annotated[str | None, Field(max_length=500)] = None


class GroupNamed(BaseModel):
    """A new group."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=64, examples=["field-team"])]


class RoleGiven(BaseModel):
    """Who shall have which role."""

    model_config = ConfigDict(extra="forbid", strict=True)

    member: Member
    role: Annotated[Role, Field(strict=False)]


class MemberQuery(BaseModel):
    """Whose role."""

    model_config = ConfigDict(extra="forbid")

    member: Member


class ShownScope(msgspec.Struct, frozen=True):
    """An organization or a project, with the caller's own role there."""

    name: str
    title: str | None
    role: RoleName | None
    created_at: datetime


class ScopeList(msgspec.Struct, frozen=True):
    """Organizations or projects, by name."""

    items: list[ShownScope]


class ShownRole(msgspec.Struct, frozen=True):
    """Somebody's role."""

    member: str
    role: RoleName
    created_at: datetime


class RoleList(msgspec.Struct, frozen=True):
    """Roles, the oldest first."""

    items: list[ShownRole]


class ShownGroup(msgspec.Struct, frozen=True):
    """A group and who belongs to it."""

    name: str
    members: list[str]
    created_at: datetime


class GroupList(msgspec.Struct, frozen=True):
    """Groups, by name."""

    items: list[ShownGroup]


def _scopes(found: list[ScopeView]) -> Response[bytes]:
    items = [
        ShownScope(one.name, one.title, None if one.role is None else one.role.value, one.created_at) for one in found
    ]
    return shapes.json_response(ScopeList(items))


def _organization(request: AnyRequest) -> str:
    name: str = request.path_params["organization"]
    return name


def _project(request: AnyRequest) -> str:
    return f"{_organization(request)}/{request.path_params['project']}"


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
        body=Body(Named),
        answers={201: Answer("Made.")},
        problems=(403, 409, 413, 415),
    ),
)
async def create_organization(request: AnyRequest) -> Response[bytes]:
    """Make an organization."""
    caller = await requests.caller(request)
    caller.must_administer_all()
    wanted = requests.parsed(await requests.body(request, media_types=(JSON,)), Named)
    async with requests.engines(request).database.transaction() as session:
        await members.create_organization(session, wanted.name, wanted.title, caller=caller)
    return Response(b"", status_code=201)


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
        return _scopes(await members.projects(session, _organization(request), caller))


@operation(
    "POST",
    "/api/organizations/{organization:str}/projects",
    Operation(
        id="create_project",
        summary="Make a project",
        description="For admins of the organization.",
        tag="access",
        token=True,
        body=Body(Named),
        answers={201: Answer("Made.")},
        problems=(403, 404, 409, 413, 415),
    ),
)
async def create_project(request: AnyRequest) -> Response[bytes]:
    """Make a project."""
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = requests.parsed(await requests.body(request, media_types=(JSON,)), Named)
    async with requests.engines(request).database.transaction() as session:
        name = f"{_organization(request)}/{wanted.name}"
        await members.create_project(session, name, wanted.title, caller=caller)
    return Response(b"", status_code=201)


async def _members(request: AnyRequest, scope: str) -> Response[bytes]:
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        found = await members.members_of(session, scope, caller=caller)
    return shapes.json_response(RoleList([ShownRole(one.member, one.role.value, one.created_at) for one in found]))


async def _give_role(request: AnyRequest, scope: str) -> Response[bytes]:
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = requests.parsed(await requests.body(request, media_types=(JSON,)), RoleGiven)
    async with requests.engines(request).database.transaction() as session:
        await members.set_role(session, scope, wanted.member, wanted.role, caller=caller)
    return Response(b"", status_code=204)


async def _take_role(request: AnyRequest, scope: str) -> Response[bytes]:
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, MemberQuery)
    async with requests.engines(request).database.transaction() as session:
        await members.remove_member(session, scope, asked.member, caller=caller)
    return Response(b"", status_code=204)


_LISTED = "For its admins and curators."
_GIVEN = "Nobody gives or takes a role above their own. A role in an organization counts in all of its projects."


@operation(
    "GET",
    "/api/organizations/{organization:str}/members",
    Operation(
        id="list_organization_members",
        summary="List who has a role in an organization",
        description=_LISTED,
        tag="access",
        token=True,
        answers={200: Answer("The members.", RoleList)},
        problems=(403, 404),
    ),
)
async def list_organization_members(request: AnyRequest) -> Response[bytes]:
    """List the members of an organization."""
    return await _members(request, _organization(request))


@operation(
    "PUT",
    "/api/organizations/{organization:str}/members",
    Operation(
        id="give_organization_role",
        summary="Give somebody a role in an organization",
        description=_GIVEN,
        tag="access",
        token=True,
        body=Body(RoleGiven),
        answers={204: Answer("Given.")},
        problems=(403, 404, 413, 415),
    ),
)
async def give_organization_role(request: AnyRequest) -> Response[bytes]:
    """Give a role in an organization."""
    return await _give_role(request, _organization(request))


@operation(
    "DELETE",
    "/api/organizations/{organization:str}/members",
    Operation(
        id="take_organization_role",
        summary="Take somebody's role in an organization",
        tag="access",
        token=True,
        query=MemberQuery,
        answers={204: Answer("Taken.")},
        problems=(403, 404),
    ),
)
async def take_organization_role(request: AnyRequest) -> Response[bytes]:
    """Take a role in an organization."""
    return await _take_role(request, _organization(request))


@operation(
    "GET",
    "/api/projects/{organization:str}/{project:str}/members",
    Operation(
        id="list_project_members",
        summary="List who has a role in a project",
        description=_LISTED,
        tag="access",
        token=True,
        answers={200: Answer("The members.", RoleList)},
        problems=(403, 404),
    ),
)
async def list_project_members(request: AnyRequest) -> Response[bytes]:
    """List the members of a project."""
    return await _members(request, _project(request))


@operation(
    "PUT",
    "/api/projects/{organization:str}/{project:str}/members",
    Operation(
        id="give_project_role",
        summary="Give somebody a role in a project",
        description=_GIVEN,
        tag="access",
        token=True,
        body=Body(RoleGiven),
        answers={204: Answer("Given.")},
        problems=(403, 404, 413, 415),
    ),
)
async def give_project_role(request: AnyRequest) -> Response[bytes]:
    """Give a role in a project."""
    return await _give_role(request, _project(request))


@operation(
    "DELETE",
    "/api/projects/{organization:str}/{project:str}/members",
    Operation(
        id="take_project_role",
        summary="Take somebody's role in a project",
        tag="access",
        token=True,
        query=MemberQuery,
        answers={204: Answer("Taken.")},
        problems=(403, 404),
    ),
)
async def take_project_role(request: AnyRequest) -> Response[bytes]:
    """Take a role in a project."""
    return await _take_role(request, _project(request))


@operation(
    "GET",
    "/api/organizations/{organization:str}/groups",
    Operation(
        id="list_groups",
        summary="List the groups of an organization",
        description=_LISTED,
        tag="access",
        token=True,
        answers={200: Answer("The groups.", GroupList)},
        problems=(403, 404),
    ),
)
async def list_groups(request: AnyRequest) -> Response[bytes]:
    """List groups."""
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        found = await members.groups(session, _organization(request), caller=caller)
    return shapes.json_response(GroupList([ShownGroup(one.name, list(one.members), one.created_at) for one in found]))


@operation(
    "POST",
    "/api/organizations/{organization:str}/groups",
    Operation(
        id="create_group",
        summary="Make a group",
        description="Its members get roles and grants together. For admins and curators of the organization.",
        tag="access",
        token=True,
        body=Body(GroupNamed),
        answers={201: Answer("Made.")},
        problems=(403, 404, 409, 413, 415),
    ),
)
async def create_group(request: AnyRequest) -> Response[bytes]:
    """Make a group."""
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = requests.parsed(await requests.body(request, media_types=(JSON,)), GroupNamed)
    async with requests.engines(request).database.transaction() as session:
        await members.create_group(session, _organization(request), wanted.name, caller=caller)
    return Response(b"", status_code=201)


GROUP_MEMBER = "/api/organizations/{organization:str}/groups/{group:str}/members/{user:str}"


@operation(
    "PUT",
    GROUP_MEMBER,
    Operation(
        id="put_into_group",
        summary="Put a user into a group",
        tag="access",
        token=True,
        answers={204: Answer("Belongs to it.")},
        problems=(403, 404),
    ),
)
async def put_into_group(request: AnyRequest) -> Response[bytes]:
    """Put a user into a group."""
    caller = await requests.caller(request)
    group, user = str(request.path_params["group"]), str(request.path_params["user"])
    async with requests.engines(request).database.transaction() as session:
        await members.put_into_group(session, _organization(request), group, user, caller=caller)
    return Response(b"", status_code=204)


@operation(
    "DELETE",
    GROUP_MEMBER,
    Operation(
        id="take_from_group",
        summary="Take a user out of a group",
        tag="access",
        token=True,
        answers={204: Answer("Does not belong to it any more.")},
        problems=(403, 404),
    ),
)
async def take_from_group(request: AnyRequest) -> Response[bytes]:
    """Take a user out of a group."""
    caller = await requests.caller(request)
    group, user = str(request.path_params["group"]), str(request.path_params["user"])
    async with requests.engines(request).database.transaction() as session:
        await members.take_from_group(session, _organization(request), group, user, caller=caller)
    return Response(b"", status_code=204)


ROUTES: list[HTTPRouteHandler] = [
    list_organizations,
    create_organization,
    list_projects,
    create_project,
    list_organization_members,
    give_organization_role,
    take_organization_role,
    list_project_members,
    give_project_role,
    take_project_role,
    list_groups,
    create_group,
    put_into_group,
    take_from_group,
]

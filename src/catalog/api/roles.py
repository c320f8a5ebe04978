"""`…/members` and `…/groups`: who belongs to organizations and projects, and who may do what there."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access import members
from catalog.access.audience import Role
from catalog.access.principals import Caller
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.organizations import RoleName
from catalog.api.requests import AnyRequest

Member = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="`user:NAME`, `service:NAME` or `group:ORGANIZATION/NAME`.",
        examples=["user:ana"],
    ),
]


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


async def _members(request: AnyRequest) -> Response[bytes]:
    return shapes.json_response(await belonging(request, requests.scope(request), await requests.caller(request)))


async def belonging(request: AnyRequest, scope: str, caller: Caller) -> RoleList:
    """Return who has which role in an organization or a project; the pages read it here too.

    Raises Unauthenticated, NotFound, Forbidden for who does not look after it.
    """
    async with requests.engines(request).database.transaction() as session:
        found = await members.members_of(session, scope, caller=caller)
    return RoleList([ShownRole(one.member, one.role.value, one.created_at) for one in found])


async def _give_role(request: AnyRequest) -> Response[bytes]:
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, RoleGiven)
    async with requests.engines(request).database.transaction() as session:
        await members.set_role(session, requests.scope(request), wanted.member, wanted.role, caller=caller)
    return Response(b"", status_code=204)


async def _take_role(request: AnyRequest) -> Response[bytes]:
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, MemberQuery)
    async with requests.engines(request).database.transaction() as session:
        await members.remove_member(session, requests.scope(request), asked.member, caller=caller)
    return Response(b"", status_code=204)


OF_ORGANIZATION = "/api/organizations/{organization:str}/members"
OF_PROJECT = "/api/projects/{organization:str}/{project:str}/members"

_LISTED = "For its admins and curators."


def _promise_to_list(**differs: Any) -> Operation:
    return Operation(
        description=_LISTED,
        tag="access",
        token=True,
        answers={200: Answer("The members.", RoleList)},
        problems=(403, 404),
        **differs,
    )


def _promise_to_give(**differs: Any) -> Operation:
    return Operation(
        description=(
            "Nobody gives or takes a role above their own. A role in an organization counts in all of its projects."
        ),
        tag="access",
        token=True,
        scope=Scope.CURATE,
        body=Body(RoleGiven),
        answers={204: Answer("Given.")},
        problems=(403, 404, 413, 415),
        **differs,
    )


def _promise_to_take(**differs: Any) -> Operation:
    return Operation(
        tag="access",
        token=True,
        scope=Scope.CURATE,
        query=MemberQuery,
        answers={204: Answer("Taken.")},
        problems=(403, 404),
        **differs,
    )


@operation(
    "GET",
    "/api/organizations/{organization:str}/members",
    _promise_to_list(id="list_organization_members", summary="List who has a role in an organization"),
)
async def list_organization_members(request: AnyRequest) -> Response[bytes]:
    """List the members of an organization."""
    return await _members(request)


@operation(
    "PUT",
    "/api/organizations/{organization:str}/members",
    _promise_to_give(id="give_organization_role", summary="Give somebody a role in an organization"),
)
async def give_organization_role(request: AnyRequest) -> Response[bytes]:
    """Give a role in an organization."""
    return await _give_role(request)


@operation(
    "DELETE",
    "/api/organizations/{organization:str}/members",
    _promise_to_take(id="take_organization_role", summary="Take somebody's role in an organization"),
)
async def take_organization_role(request: AnyRequest) -> Response[bytes]:
    """Take a role in an organization."""
    return await _take_role(request)


@operation(
    "GET",
    "/api/projects/{organization:str}/{project:str}/members",
    _promise_to_list(id="list_project_members", summary="List who has a role in a project"),
)
async def list_project_members(request: AnyRequest) -> Response[bytes]:
    """List the members of a project."""
    return await _members(request)


@operation(
    "PUT",
    "/api/projects/{organization:str}/{project:str}/members",
    _promise_to_give(id="give_project_role", summary="Give somebody a role in a project"),
)
async def give_project_role(request: AnyRequest) -> Response[bytes]:
    """Give a role in a project."""
    return await _give_role(request)


@operation(
    "DELETE",
    "/api/projects/{organization:str}/{project:str}/members",
    _promise_to_take(id="take_project_role", summary="Take somebody's role in a project"),
)
async def take_project_role(request: AnyRequest) -> Response[bytes]:
    """Take a role in a project."""
    return await _take_role(request)


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
        found = await members.groups(session, requests.organization(request), caller=caller)
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
        scope=Scope.CURATE,
        body=Body(GroupNamed),
        answers={201: Answer("Made.")},
        problems=(403, 404, 409, 413, 415),
    ),
)
async def create_group(request: AnyRequest) -> Response[bytes]:
    """Make a group."""
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, GroupNamed)
    async with requests.engines(request).database.transaction() as session:
        await members.create_group(session, requests.organization(request), wanted.name, caller=caller)
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
        scope=Scope.CURATE,
        answers={204: Answer("Belongs to it.")},
        problems=(403, 404),
    ),
)
async def put_into_group(request: AnyRequest) -> Response[bytes]:
    """Put a user into a group."""
    caller = await requests.caller(request)
    group, user = str(request.path_params["group"]), str(request.path_params["user"])
    async with requests.engines(request).database.transaction() as session:
        await members.put_into_group(session, requests.organization(request), group, user, caller=caller)
    return Response(b"", status_code=204)


@operation(
    "DELETE",
    GROUP_MEMBER,
    Operation(
        id="take_from_group",
        summary="Take a user out of a group",
        tag="access",
        token=True,
        scope=Scope.CURATE,
        answers={204: Answer("Does not belong to it any more.")},
        problems=(403, 404),
    ),
)
async def take_from_group(request: AnyRequest) -> Response[bytes]:
    """Take a user out of a group."""
    caller = await requests.caller(request)
    group, user = str(request.path_params["group"]), str(request.path_params["user"])
    async with requests.engines(request).database.transaction() as session:
        await members.take_from_group(session, requests.organization(request), group, user, caller=caller)
    return Response(b"", status_code=204)


ROUTES: list[HTTPRouteHandler] = [
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

"""`/api/service-accounts`: programs that act, of an organization or of the whole catalog. For admins there."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access import accounts
from catalog.access.audience import Role
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.organizations import RoleName
from catalog.api.requests import AnyRequest


class AccountWanted(BaseModel):
    """A new service account."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=63, examples=["ingest-a"])]
    role: Annotated[
        Role | None,
        Field(strict=False, description="Its role there, which may be given later too; left out, none."),
    ] = None


class ShownAccount(msgspec.Struct, frozen=True):
    """A service account, written `service:NAME` where members and grantees are named.

    `role` counts in the whole catalog; an account of an organization has there what its members have.
    """

    name: str
    organization: str | None
    role: RoleName
    created_at: datetime
    ended_at: datetime | None


class AccountList(msgspec.Struct, frozen=True):
    """Service accounts, by name."""

    items: list[ShownAccount]


async def _list(request: AnyRequest, organization: str | None) -> Response[bytes]:
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        found = await accounts.accounts_of(session, organization, caller=caller)
    return shapes.json_response(
        AccountList(
            [ShownAccount(one.name, one.organization, one.role.value, one.created_at, one.ended_at) for one in found]
        )
    )


async def _create(request: AnyRequest, organization: str | None) -> Response[bytes]:
    caller = await requests.caller(request)
    caller.must_be_known()
    if organization is None:
        caller.must_administer_all()
    wanted = await requests.sent(request, AccountWanted)
    async with requests.engines(request).database.transaction() as session:
        await accounts.create(session, wanted.name, organization=organization, role=wanted.role, caller=caller)
    return Response(b"", status_code=201)


_OF = "/api/organizations/{organization:str}/service-accounts"
_NAMED = "Its name is unique in the whole catalog. It has no token yet: `POST /api/tokens` makes one."


@operation(
    "GET",
    "/api/service-accounts",
    Operation(
        id="list_service_accounts",
        summary="List the service accounts of the whole catalog",
        description="For admins of the whole catalog. Those of organizations are listed there.",
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        answers={200: Answer("The accounts.", AccountList)},
        problems=(403,),
    ),
)
async def list_service_accounts(request: AnyRequest) -> Response[bytes]:
    """List the service accounts of the whole catalog."""
    return await _list(request, None)


@operation(
    "POST",
    "/api/service-accounts",
    Operation(
        id="create_service_account",
        summary="Make a service account of the whole catalog",
        description=f"For admins of the whole catalog. {_NAMED}",
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(AccountWanted),
        answers={201: Answer("Made.")},
        problems=(403, 409, 413, 415),
    ),
)
async def create_service_account(request: AnyRequest) -> Response[bytes]:
    """Make a service account of the whole catalog."""
    return await _create(request, None)


@operation(
    "GET",
    _OF,
    Operation(
        id="list_organization_service_accounts",
        summary="List the service accounts of an organization",
        description="For admins of the organization.",
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        answers={200: Answer("The accounts.", AccountList)},
        problems=(403, 404),
    ),
)
async def list_organization_service_accounts(request: AnyRequest) -> Response[bytes]:
    """List the service accounts of an organization."""
    return await _list(request, requests.organization(request))


@operation(
    "POST",
    _OF,
    Operation(
        id="create_organization_service_account",
        summary="Make a service account of an organization",
        description=f"For admins of the organization. {_NAMED}",
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(AccountWanted),
        answers={201: Answer("Made.")},
        problems=(403, 404, 409, 413, 415),
    ),
)
async def create_organization_service_account(request: AnyRequest) -> Response[bytes]:
    """Make a service account of an organization."""
    return await _create(request, requests.organization(request))


@operation(
    "DELETE",
    "/api/service-accounts/{account:str}",
    Operation(
        id="end_service_account",
        summary="End a service account: nothing that it holds works any more",
        description="For admins of its organization, or of the whole catalog. What it registered stays.",
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        answers={204: Answer("Ended.")},
        problems=(403, 404),
    ),
)
async def end_service_account(request: AnyRequest) -> Response[bytes]:
    """End a service account."""
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        await accounts.end(session, str(request.path_params["account"]), caller=caller)
    return Response(b"", status_code=204)


ROUTES: list[HTTPRouteHandler] = [
    list_service_accounts,
    create_service_account,
    list_organization_service_accounts,
    create_organization_service_account,
    end_service_account,
]

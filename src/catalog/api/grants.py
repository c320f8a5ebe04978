"""`/api/objects/{id}/grants` and `/api/grants`: who else may see and change an object, or all below a prefix."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from catalog.access.audience import Permission
from catalog.access.grants import check_prefix
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.objects import granting
from catalog.objects.granting import GrantView


class GrantWanted(BaseModel):
    """A permission for somebody: READ sees, WRITE changes, READ_ACP sees grants, WRITE_ACP grants and revokes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    to: Annotated[
        str,
        Field(
            min_length=1,
            max_length=200,
            description="`user:NAME`, `service:NAME`, `group:ORGANIZATION/NAME`, or `public`.",
            examples=["user:ana"],
        ),
    ]
    permission: Annotated[Permission, Field(strict=False)]
    expires_at: Annotated[
        AwareDatetime | None, Field(strict=False, description="When it ends by itself; left out, never.")
    ] = None


class PrefixGrantWanted(GrantWanted):
    """A permission on everything below a prefix, now and later."""

    prefix: Annotated[
        str,
        Field(max_length=200, description="`<organization>/` or `<organization>/<project>/`.", examples=["lab/soil/"]),
    ]


class PrefixQuery(BaseModel):
    """Whose grants."""

    model_config = ConfigDict(extra="forbid")

    prefix: Annotated[str, Field(max_length=200, description="`<organization>/` or `<organization>/<project>/`.")]


class ShownGrant(msgspec.Struct, frozen=True):
    """A grant: to whom, what, until when, and who gave it."""

    id: UUID
    to: str
    permission: Literal["READ", "WRITE", "READ_ACP", "WRITE_ACP", "FULL_CONTROL"]
    expires_at: datetime | None
    granted_by: str
    created_at: datetime


class GrantList(msgspec.Struct, frozen=True):
    """Grants that have not ended, oldest first."""

    items: list[ShownGrant]


class MadeGrant(msgspec.Struct, frozen=True):
    """The grant that holds now."""

    id: UUID


def _shown(found: Sequence[GrantView]) -> Response[bytes]:
    return shapes.json_response(
        GrantList(
            [
                ShownGrant(one.id, one.grantee, one.permission.value, one.expires_at, one.granted_by, one.created_at)
                for one in found
            ]
        ),
        headers={"Cache-Control": "no-store"},
    )


@operation(
    "GET",
    "/api/objects/{object_id:str}/grants",
    Operation(
        id="list_grants",
        summary="See who else may see and change an object",
        tag="access",
        token=True,
        answers={200: Answer("The grants.", GrantList)},
        problems=(403, 404, 410),
    ),
)
async def list_grants(request: AnyRequest) -> Response[bytes]:
    """List the grants of one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        return _shown(await granting.grants_of(session, object_id, caller=caller))


@operation(
    "POST",
    "/api/objects/{object_id:str}/grants",
    Operation(
        id="grant_object",
        summary="Let somebody else see or change an object",
        description=(
            "For the owner, for curators and admins of its project, and for holders of WRITE_ACP or FULL_CONTROL. "
            "Every permission lets its holder see the object. The same again only moves its end."
        ),
        tag="access",
        token=True,
        scope=Scope.CURATE,
        body=Body(GrantWanted),
        answers={201: Answer("Granted.", MadeGrant)},
        problems=(403, 404, 410, 413, 415),
    ),
)
async def grant_object(request: AnyRequest) -> Response[bytes]:
    """Grant a permission on one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, GrantWanted)
    async with requests.engines(request).database.transaction() as session:
        made = await granting.grant(
            session,
            object_id,
            to=wanted.to,
            permission=wanted.permission,
            expires_at=wanted.expires_at,
            caller=caller,
        )
    return shapes.json_response(MadeGrant(made), status=201)


@operation(
    "DELETE",
    "/api/objects/{object_id:str}/grants/{grant_id:str}",
    Operation(
        id="revoke_grant",
        summary="Take a grant on an object back",
        description="No link is signed for it any more from now on; searches lose it within seconds.",
        tag="access",
        token=True,
        scope=Scope.CURATE,
        answers={204: Answer("Revoked.")},
        problems=(403, 404, 410),
    ),
)
async def revoke_grant(request: AnyRequest) -> Response[bytes]:
    """Revoke a grant on one object."""
    object_id, grant_id = requests.object_id(request), requests.object_id(request, "grant_id")
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        await granting.revoke(session, object_id, grant_id, caller=caller)
    return Response(b"", status_code=204)


@operation(
    "GET",
    "/api/grants",
    Operation(
        id="list_prefix_grants",
        summary="See who was granted everything below a prefix",
        tag="access",
        token=True,
        query=PrefixQuery,
        answers={200: Answer("The grants on exactly this prefix.", GrantList)},
        problems=(403, 404),
    ),
)
async def list_prefix_grants(request: AnyRequest) -> Response[bytes]:
    """List the grants on a prefix."""
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, PrefixQuery)
    async with requests.engines(request).database.transaction() as session:
        return _shown(await granting.grants_below(session, check_prefix(asked.prefix), caller=caller))


@operation(
    "POST",
    "/api/grants",
    Operation(
        id="grant_prefix",
        summary="Let somebody see or change everything below a prefix",
        description=(
            "What is there and what will come, private objects included. For curators and admins of the "
            "organization or project, and for holders of WRITE_ACP or FULL_CONTROL there."
        ),
        tag="access",
        token=True,
        scope=Scope.CURATE,
        body=Body(PrefixGrantWanted),
        answers={201: Answer("Granted.", MadeGrant)},
        problems=(403, 404, 413, 415),
    ),
)
async def grant_prefix(request: AnyRequest) -> Response[bytes]:
    """Grant a permission on a prefix."""
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, PrefixGrantWanted)
    async with requests.engines(request).database.transaction() as session:
        made = await granting.grant_below(
            session,
            check_prefix(wanted.prefix),
            to=wanted.to,
            permission=wanted.permission,
            expires_at=wanted.expires_at,
            caller=caller,
        )
    return shapes.json_response(MadeGrant(made), status=201)


@operation(
    "DELETE",
    "/api/grants/{grant_id:str}",
    Operation(
        id="revoke_prefix_grant",
        summary="Take a grant on a prefix back",
        tag="access",
        token=True,
        scope=Scope.CURATE,
        answers={204: Answer("Revoked.")},
        problems=(403, 404),
    ),
)
async def revoke_prefix_grant(request: AnyRequest) -> Response[bytes]:
    """Revoke a grant on a prefix."""
    grant_id = requests.object_id(request, "grant_id")
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        await granting.revoke_below(session, grant_id, caller=caller)
    return Response(b"", status_code=204)


ROUTES: list[HTTPRouteHandler] = [
    list_grants,
    grant_object,
    revoke_grant,
    list_prefix_grants,
    grant_prefix,
    revoke_prefix_grant,
]

"""`/api/tokens`: tokens of one's own, and for admins those of service accounts. A token's value is answered once."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from catalog.access import tokens
from catalog.access.principals import Caller, Wish
from catalog.access.scopes import Scope, in_order
from catalog.access.tokens import OVERLAP_DEFAULT, OVERLAP_MAX, MadeToken, TokenView
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest

SCOPES_MAX = 10
LABEL_CHARS_MAX = 200
OVERLAP_SECONDS_DEFAULT = int(OVERLAP_DEFAULT.total_seconds())
OVERLAP_SECONDS_MAX = int(OVERLAP_MAX.total_seconds())
ScopeName = Literal["read", "register", "curate", "admin"]
Holder = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=200,
        description="`service:NAME`, a service account whose admin you are; left out, you yourself.",
    ),
]
NO_STORE = {"Cache-Control": "no-store"}


class TokenWanted(BaseModel):
    """What a new token shall be good for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=SCOPES_MAX)] = Field(
        description="What it may be used for: each route says which one it needs.", examples=[["read", "register"]]
    )
    principal: Holder = None
    place: Annotated[
        str | None,
        Field(
            max_length=200,
            description="An organization, or a project as organization/project, in which alone it counts. Elsewhere it "
            "reads what is public. Left out, wherever its holder has rights.",
            examples=["lab/soil"],
        ),
    ] = None
    label: Annotated[str | None, Field(max_length=LABEL_CHARS_MAX, description="To tell it from others.")] = None
    expires_at: Annotated[
        AwareDatetime | None, Field(strict=False, description="When it ends by itself; left out, never.")
    ] = None


class RotationWanted(BaseModel):
    """How long the value that it has now works beside the new one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_seconds: int = Field(
        default=OVERLAP_SECONDS_DEFAULT,
        ge=0,
        le=OVERLAP_SECONDS_MAX,
        description="0 ends every value that it had, at once.",
    )


class TokenQuery(BaseModel):
    """Whose tokens."""

    model_config = ConfigDict(extra="forbid")

    principal: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description="`service:NAME` whose admin you are, or for admins of the whole catalog `user:NAME`; left out, "
            "you yourself.",
        ),
    ] = None


class ShownToken(msgspec.Struct, frozen=True):
    """A token that works, never its value: `hint` is how that begins.

    `last_used_at` is known to some five minutes; until `former_until` the value before the last rotation works too.
    `this` says that the request came with it.
    """

    id: UUID
    principal: str
    hint: str
    label: str | None
    scopes: list[ScopeName]
    place: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    former_until: datetime | None
    this: bool


class MadeTokenShown(ShownToken, frozen=True, kw_only=True):
    """A token with its value, which is shown this once."""

    token: str


class TokenList(msgspec.Struct, frozen=True):
    """Tokens that work, newest first."""

    items: list[ShownToken]


class RevokedTokens(msgspec.Struct, frozen=True):
    """How many tokens were ended: the one that was meant, and those that were made with it."""

    revoked: int


@operation(
    "GET",
    "/api/tokens",
    Operation(
        id="list_tokens",
        summary="List your tokens that work, or those of a service account",
        tag="access",
        token=True,
        scope=None,
        query=TokenQuery,
        answers={200: Answer("The tokens.", TokenList)},
        problems=(403, 404),
    ),
)
async def list_tokens(request: AnyRequest) -> Response[bytes]:
    """List tokens."""
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, TokenQuery)
    return shapes.json_response(await listed(request, caller, asked.principal), headers=NO_STORE)


async def listed(request: AnyRequest, caller: Caller, holder: str | None) -> TokenList:
    """Return the tokens of a holder, left out: the caller's own; as all below here, the pages ask here too.

    Raises Unauthenticated, Forbidden, NotFound.
    """
    caller.must_be_known()
    async with requests.engines(request).database.transaction() as session:
        found = await tokens.tokens_of(session, holder, caller=caller)
    return TokenList([ShownToken(**_told(one)) for one in found])


@operation(
    "POST",
    "/api/tokens",
    Operation(
        id="create_token",
        summary="Make a token for yourself or for a service account",
        description=(
            "It can do at most what its holder may, and at most what its scopes say. With a token that is narrower or "
            "ends, none is made that is wider or ends later; what was made with a token ends when that is revoked. At "
            f"most {tokens.TOKENS_MAX} tokens of one principal work."
        ),
        tag="access",
        token=True,
        scope=None,
        body=Body(TokenWanted, example={"scopes": ["read", "register"], "label": "night shift"}),
        answers={201: Answer("The token, this once.", MadeTokenShown, headers=NO_STORE)},
        problems=(403, 404, 413, 415),
    ),
)
async def create_token(request: AnyRequest) -> Response[bytes]:
    """Make a token."""
    caller = await requests.caller(request)
    caller.must_be_known()
    return _once(await made(request, caller, await requests.sent(request, TokenWanted)), 201)


async def made(request: AnyRequest, caller: Caller, wanted: TokenWanted) -> MadeTokenShown:
    """Make a token; raises as the operation tells."""
    caller.must_be_known()
    wish = Wish(frozenset(in_order(wanted.scopes)), wanted.place, wanted.label, wanted.expires_at)
    async with requests.engines(request).database.transaction() as session:
        return _whole(await tokens.make(session, wish, holder=wanted.principal, caller=caller))


@operation(
    "POST",
    "/api/tokens/{token_id:str}/rotate",
    Operation(
        id="rotate_token",
        summary="Give a token a new value, while the old one works on for a time",
        description=(
            "The value that it has now works for `overlap_seconds` more, a day unless asked otherwise and 30 days at "
            "most. No more than two work: while a former one does, a further rotation is refused with 409, but for one "
            "with an overlap of 0, which ends both at once. Its end stays."
        ),
        tag="access",
        token=True,
        scope=None,
        body=Body(RotationWanted),
        answers={200: Answer("The new value, this once.", MadeTokenShown, headers=NO_STORE)},
        problems=(403, 404, 409, 413, 415),
    ),
)
async def rotate_token(request: AnyRequest) -> Response[bytes]:
    """Rotate a token."""
    token_id = requests.object_id(request, "token_id")
    caller = await requests.caller(request)
    caller.must_be_known()
    return _once(await rotated(request, caller, token_id, await requests.sent(request, RotationWanted)), 200)


async def rotated(request: AnyRequest, caller: Caller, token_id: UUID, wanted: RotationWanted) -> MadeTokenShown:
    """Give a token a new value; raises as the operation tells."""
    caller.must_be_known()
    overlap = timedelta(seconds=wanted.overlap_seconds)
    async with requests.engines(request).database.transaction() as session:
        return _whole(await tokens.rotate(session, token_id, overlap, caller=caller))


@operation(
    "DELETE",
    "/api/tokens/{token_id:str}",
    Operation(
        id="revoke_token",
        summary="End a token at once, and those that were made with it",
        tag="access",
        token=True,
        scope=None,
        answers={200: Answer("Ended.", RevokedTokens)},
        problems=(403, 404),
    ),
)
async def revoke_token(request: AnyRequest) -> Response[bytes]:
    """Revoke a token."""
    token_id = requests.object_id(request, "token_id")
    told = await revoked(request, await requests.caller(request), token_id)
    return shapes.json_response(told, headers=NO_STORE)


async def revoked(request: AnyRequest, caller: Caller, token_id: UUID) -> RevokedTokens:
    """End a token, and those that were made with it; raises as the operation tells."""
    async with requests.engines(request).database.transaction() as session:
        return RevokedTokens(await tokens.revoke(session, token_id, caller=caller))


def _told(view: TokenView) -> dict[str, Any]:
    return {
        "id": view.id,
        "principal": view.holder,
        "hint": view.hint,
        "label": view.label,
        "scopes": [scope.value for scope in view.scopes],
        "place": view.place,
        "created_at": view.created_at,
        "expires_at": view.expires_at,
        "last_used_at": view.last_used_at,
        "former_until": view.former_until,
        "this": view.this,
    }


def _whole(made: MadeToken) -> MadeTokenShown:
    return MadeTokenShown(**_told(made.view), token=made.value)


def _once(shown: MadeTokenShown, status: int) -> Response[bytes]:
    return shapes.json_response(shown, status=status, headers=NO_STORE)


ROUTES: list[HTTPRouteHandler] = [list_tokens, create_token, rotate_token, revoke_token]

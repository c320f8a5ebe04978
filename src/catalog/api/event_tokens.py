"""`/api/organizations/…/backends/…/event-token`: with which a store of an organization tells of its keys."""

from datetime import datetime, timedelta

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.access.callers import Caller
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.api.tokens import NO_STORE, RotationWanted
from catalog.storage import backends, event_tokens
from catalog.storage.event_tokens import EventToken


class ShownEventToken(msgspec.Struct, frozen=True):
    """The token of a store, never its value: `hint` is how that begins.

    Until `former_until` the value before the last works too.
    """

    hint: str
    made_at: datetime
    former_until: datetime | None


class MadeEventTokenShown(ShownEventToken, frozen=True, kw_only=True):
    """A token with its value, which is shown this once."""

    token: str


def shown(token: EventToken | None) -> ShownEventToken | None:
    """Return what is told of a token."""
    return None if token is None else ShownEventToken(token.hint, token.made_at, token.former_until)


async def _administering(request: AnyRequest) -> Caller:
    caller = await requests.caller(request)
    caller.must_be_known()
    async with requests.engines(request).database.transaction() as session:
        await backends.must_administer(session, requests.organization(request), caller=caller)
    return caller


@operation(
    "POST",
    "/api/organizations/{organization:str}/backends/{backend_id:str}/event-token",
    Operation(
        id="renew_event_token",
        summary="Make the token with which a store tells of its keys, or give it a new value",
        description=(
            "For admins of the organization. The store sends it as a bearer token to `/api/notifications/…`, and is "
            "heard of keys of its own bucket and prefix alone. A value that it has now works for `overlap_seconds` "
            "more; no more than two work: while a former one does, a further renewal is refused with 409, but for one "
            "with an overlap of 0, which ends both at once."
        ),
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(RotationWanted),
        answers={200: Answer("The new value, this once.", MadeEventTokenShown, headers=NO_STORE)},
        problems=(403, 404, 409, 413, 415),
    ),
)
async def renew_event_token(request: AnyRequest) -> Response[bytes]:
    """Make or renew a token."""
    caller = await _administering(request)
    wanted = await requests.sent(request, RotationWanted)
    backend_id = requests.object_id(request, "backend_id")
    async with requests.engines(request).database.transaction() as session:
        backend = await backends.find(session, requests.organization(request), backend_id)
        made = await event_tokens.renew(session, backend, timedelta(seconds=wanted.overlap_seconds), caller=caller)
    told = made.shown
    answer = MadeEventTokenShown(token=made.value, hint=told.hint, made_at=told.made_at, former_until=told.former_until)
    return shapes.json_response(answer, headers=NO_STORE)


@operation(
    "DELETE",
    "/api/organizations/{organization:str}/backends/{backend_id:str}/event-token",
    Operation(
        id="revoke_event_token",
        summary="End the token with which a store tells of its keys, at once",
        description="For admins of the organization. Keys of tickets are looked at all the same, some minutes later.",
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        answers={204: Answer("Ended, or there was none.")},
        problems=(403, 404),
    ),
)
async def revoke_event_token(request: AnyRequest) -> Response[bytes]:
    """End a token."""
    caller = await _administering(request)
    backend_id = requests.object_id(request, "backend_id")
    async with requests.engines(request).database.transaction() as session:
        backend = await backends.find(session, requests.organization(request), backend_id)
        await event_tokens.revoke(session, backend, caller=caller)
    return Response(b"", status_code=204)


ROUTES: list[HTTPRouteHandler] = [renew_event_token, revoke_event_token]

"""`…/notices` and `/api/mail-addresses`: who is told when a store of an organization fails or works again."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access import members
from catalog.access.scopes import Scope
from catalog.alerts import addresses, notices, webhooks
from catalog.alerts.webhooks import WrongAddress
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.api.saved_searches import NO_STORE, WebhookSecret
from catalog.engines import Engines
from catalog.errors import Conflict, Fault, Invalid


class NoticesWanted(BaseModel):
    """Where notices are posted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    webhook: Annotated[str | None, Field(max_length=webhooks.ADDRESS_CHARS_MAX)] = Field(
        description="An https address, or null for none.", examples=["https://lab.example.org/hooks/catalog"]
    )


class AddressWanted(BaseModel):
    """An address of your own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    address: Annotated[str, Field(max_length=addresses.ADDRESS_CHARS_MAX, examples=["ana@example.org"])]


class ShownNotices(msgspec.Struct, frozen=True):
    """Who is told. `mailed` are the admins who agreed to mail; `fault` is why the last notice did not arrive.

    With `stopped_at` nothing is posted any more until the webhook is set again: its receiver wants no more.
    """

    organization: str
    webhook: str | None
    set_at: datetime | None
    fault: str | None
    stopped_at: datetime | None
    mailed: list[str]


_OF = "/api/organizations/{organization:str}/notices"
_TOLD = "Once when a store of the organization fails, and once when it works again."


async def _shown(request: AnyRequest, organization: str) -> Response[bytes]:
    async with requests.engines(request).database.transaction() as session:
        webhook = await notices.webhook_of(session, organization)
        mailed = [one.name for one in await notices.receivers(session, organization)]
    if webhook is None:
        return shapes.json_response(ShownNotices(organization, None, None, None, None, mailed))
    told = (webhook.address, webhook.set_at, webhook.fault, webhook.stopped_at)
    return shapes.json_response(ShownNotices(organization, *told, mailed))


async def _must_administer(request: AnyRequest) -> str:
    caller = await requests.caller(request)
    caller.must_be_known()
    organization = requests.organization(request)
    async with requests.engines(request).database.transaction() as session:
        await members.must_administer(session, organization, caller=caller, what="Who is told of its stores is")
    return organization


@operation(
    "GET",
    _OF,
    Operation(
        id="read_notices",
        summary="See who is told when a store fails",
        description=f"For admins of the organization. {_TOLD}",
        tag="access",
        token=True,
        answers={200: Answer("Who is told.", ShownNotices)},
        problems=(403, 404),
    ),
)
async def read_notices(request: AnyRequest) -> Response[bytes]:
    """Show who is told."""
    return await _shown(request, await _must_administer(request))


@operation(
    "PUT",
    _OF,
    Operation(
        id="choose_notices",
        summary="Have somebody told when a store fails",
        description=(
            f"For admins of the organization. {_TOLD} Webhooks are signed as those of saved searches; admins who "
            "agreed to mail get one besides."
        ),
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(NoticesWanted),
        answers={200: Answer("Who is told now.", ShownNotices)},
        problems=(403, 404, 413, 415),
    ),
)
async def choose_notices(request: AnyRequest) -> Response[bytes]:
    """Set the webhook."""
    caller = await requests.caller(request)
    organization = await _must_administer(request)
    wanted = await requests.sent(request, NoticesWanted)
    engines = requests.engines(request)
    if wanted.webhook is not None:
        await _must_be_reachable(engines, wanted.webhook)
    async with engines.database.transaction() as session:
        await members.must_administer(session, organization, caller=caller, what="Who is told of its stores is")
        await notices.set_webhook(session, organization, wanted.webhook, caller=caller)
    return await _shown(request, organization)


async def _must_be_reachable(engines: Engines, address: str) -> None:
    try:
        await engines.alerting.webhooks.must_admit(webhooks.checked(address))
    except WrongAddress as wrong:
        raise Invalid("Nothing could be posted there.", faults=[Fault("/webhook", str(wrong))]) from None


@operation(
    "POST",
    f"{_OF}/secret",
    Operation(
        id="renew_notice_secret",
        summary="Make a secret by which a receiver knows notices as ours; the former one signs nothing any more",
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        answers={200: Answer("The secret, this once.", WebhookSecret, headers=NO_STORE)},
        problems=(403, 404, 409),
    ),
)
async def renew_notice_secret(request: AnyRequest) -> Response[bytes]:
    """Make a secret."""
    organization = await _must_administer(request)
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        secret_id = await notices.renew_secret(session, organization)
    if secret_id is None:
        raise Conflict("No notices are posted; set a webhook first.")
    return shapes.json_response(WebhookSecret(engines.alerting.keys.of_webhooks(secret_id)), headers=NO_STORE)


@operation(
    "POST",
    "/api/mail-addresses",
    Operation(
        id="want_mail",
        summary="Have whoever reads an address asked whether mail for you may go there",
        description=(
            "An admin of an organization who agreed gets a mail when one of its stores fails. "
            f"Of one account {addresses.ASKED_A_DAY_MAX} addresses a day are asked."
        ),
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(AddressWanted),
        answers={202: Answer("They are asked, unless they have answered before.")},
        problems=(403, 413, 415),
    ),
)
async def want_mail(request: AnyRequest) -> Response[bytes]:
    """Ask for an address."""
    caller = await requests.caller(request)
    principal_id = caller.must_be_known()
    wanted = await requests.sent(request, AddressWanted)
    engines = requests.engines(request)
    fault = None
    if engines.alerting.mailer is None:
        fault = "this catalog sends no mail"
    elif not addresses.is_address(wanted.address):
        fault = "an address as ana@example.org"
    if fault is not None:
        raise Invalid("Mail cannot go there.", faults=[Fault("/address", fault)])
    async with engines.database.transaction() as session:
        await addresses.lock_asker(session, principal_id)
        await addresses.want(session, principal_id, addresses.kept(wanted.address), at="/address")
    return Response(b"", status_code=202)


ROUTES: list[HTTPRouteHandler] = [read_notices, choose_notices, renew_notice_secret, want_mail]

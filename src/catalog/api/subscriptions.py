"""`/api/subscriptions`: who is told of changes of objects, event by event, and where."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog.access.scopes import Scope
from catalog.alerts import webhooks
from catalog.alerts.webhooks import ADDRESS_CHARS_MAX, WrongAddress
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.engines import Engines
from catalog.errors import Fault, Invalid
from catalog.objects import kinds
from catalog.subscriptions import holding
from catalog.subscriptions.holding import SUBSCRIPTIONS_MAX, Subscription, Wish
from catalog.subscriptions.publishing import NOWHERE
from catalog.subscriptions.shapes import TYPES
from catalog.subscriptions.tables import Channel

NO_STORE = {"Cache-Control": "no-store"}
PLACE_PATTERN = r"^[a-z0-9][a-z0-9-]{1,62}(/[a-z0-9][a-z0-9-]{1,62})?$"
EXAMPLE = {
    "place": "lab/soil",
    "types": ["catalog.object.published.v1"],
    "tell": {"by": "webhook", "address": "https://hooks.example.org/catalog"},
}
Place = Annotated[str, StringConstraints(pattern=PLACE_PATTERN)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class EventsTelling(BaseModel):
    """Where events go."""

    model_config = ConfigDict(extra="forbid", strict=True)

    by: Literal["webhook", "nats", "amqp"] = Field(
        default="webhook",
        description="To an https address, or, for admins of the catalog, into a stream of NATS or an exchange of AMQP.",
    )
    address: str = Field(
        min_length=1,
        max_length=ADDRESS_CHARS_MAX,
        description="Where it is posted, the subject of the stream, or `EXCHANGE/ROUTING.KEY`.",
    )


class SubscriptionDraft(BaseModel):
    """What to be told of, and where; of all that you may see, unless it says less."""

    model_config = ConfigDict(extra="forbid", strict=True)

    place: Place | None = Field(default=None, description="An organization or a project.")
    kinds: list[Name] = Field(default=[], max_length=50, description="Kinds of objects; left out, all of them.")
    types: list[Name] = Field(default=[], max_length=50, description="Types of events; left out, all of them.")
    tell: EventsTelling


class ShownEventsTelling(msgspec.Struct, frozen=True):
    """Where events go."""

    by: Literal["webhook", "nats", "amqp"]
    address: str


class ShownSubscription(msgspec.Struct, frozen=True):
    """A subscription. `told_at` is when an event arrived last, `fault` why none does.

    `failing` ones are tried again at `retry_at`; with `stopped` nothing is told until it is changed.
    """

    id: UUID
    place: str | None
    kinds: list[str]
    types: list[str]
    tell: ShownEventsTelling
    state: Literal["active", "failing", "stopped"]
    created_at: datetime
    told_at: datetime | None
    fault: str | None
    retry_at: datetime | None
    stopped_at: datetime | None


class SubscriptionList(msgspec.Struct, frozen=True):
    """Your subscriptions, oldest first."""

    items: list[ShownSubscription]


class SubscriptionSecret(msgspec.Struct, frozen=True):
    """By what a receiver checks that an event is ours. Shown this once."""

    secret: str


@operation(
    "GET",
    "/api/subscriptions",
    Operation(
        id="list_subscriptions",
        summary="List your subscriptions",
        tag="notifications",
        token=True,
        answers={200: Answer("Yours, oldest first; nobody sees those of others.", SubscriptionList)},
        problems=(403,),
    ),
)
async def list_subscriptions(request: AnyRequest) -> Response[bytes]:
    """List the caller's own."""
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        found = await holding.all_of(session, caller=caller)
    return shapes.json_response(SubscriptionList([shown(one) for one in found]), headers=NO_STORE)


@operation(
    "POST",
    "/api/subscriptions",
    Operation(
        id="subscribe",
        summary="Be told of changes of objects, event by event",
        description=(
            "From now on each change of an object that you may see is told as a CloudEvent: at least once, those of "
            "one object in their order. Who may see it is asked when it is told. Webhooks are signed as Standard "
            f"Webhooks says. At most {SUBSCRIPTIONS_MAX} of one principal."
        ),
        tag="notifications",
        token=True,
        # What it tells is what its owner may see.
        scope=Scope.READ,
        body=Body(SubscriptionDraft, example=EXAMPLE),
        answers={201: Answer("You are told from now on.", ShownSubscription, headers={"Location": "Its address."})},
        problems=(403, 413, 415),
    ),
)
async def subscribe(request: AnyRequest) -> Response[bytes]:
    """Subscribe."""
    caller = await requests.caller(request)
    caller.must_be_known()
    engines = requests.engines(request)
    wish = await _wish(engines, await requests.sent(request, SubscriptionDraft))
    async with engines.database.transaction() as session:
        made = shown(await holding.subscribe(session, wish, caller=caller))
    headers = {"Location": f"/api/subscriptions/{made.id}", **NO_STORE}
    return shapes.json_response(made, status=201, headers=headers)


@operation(
    "GET",
    "/api/subscriptions/{subscription_id:str}",
    Operation(
        id="read_subscription",
        summary="Read one of your subscriptions",
        tag="notifications",
        token=True,
        answers={200: Answer("The subscription.", ShownSubscription)},
        problems=(403, 404),
    ),
)
async def read_subscription(request: AnyRequest) -> Response[bytes]:
    """Read one of the caller's own."""
    subscription_id = requests.object_id(request, "subscription_id")
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        found = await holding.find(session, subscription_id, caller=caller)
    return shapes.json_response(shown(found), headers=NO_STORE)


@operation(
    "PUT",
    "/api/subscriptions/{subscription_id:str}",
    Operation(
        id="change_subscription",
        summary="Let one of your subscriptions be another, or go on after it stopped",
        description="What happened while it was stopped is not told.",
        tag="notifications",
        token=True,
        scope=Scope.READ,
        body=Body(SubscriptionDraft, example=EXAMPLE),
        answers={200: Answer("As it is now.", ShownSubscription)},
        problems=(403, 404, 413, 415),
    ),
)
async def change_subscription(request: AnyRequest) -> Response[bytes]:
    """Change one of the caller's own."""
    subscription_id = requests.object_id(request, "subscription_id")
    caller = await requests.caller(request)
    caller.must_be_known()
    engines = requests.engines(request)
    wish = await _wish(engines, await requests.sent(request, SubscriptionDraft))
    async with engines.database.transaction() as session:
        found = await holding.change(session, subscription_id, wish, caller=caller)
    return shapes.json_response(shown(found), headers=NO_STORE)


@operation(
    "DELETE",
    "/api/subscriptions/{subscription_id:str}",
    Operation(
        id="remove_subscription",
        summary="End one of your subscriptions",
        tag="notifications",
        token=True,
        scope=Scope.READ,
        answers={204: Answer("Nothing is told any more.")},
        problems=(403, 404),
    ),
)
async def remove_subscription(request: AnyRequest) -> Response[bytes]:
    """Remove one of the caller's own."""
    subscription_id = requests.object_id(request, "subscription_id")
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        await holding.remove(session, subscription_id, caller=caller)
    return Response(b"", status_code=204)


@operation(
    "POST",
    "/api/subscriptions/{subscription_id:str}/secret",
    Operation(
        id="renew_subscription_secret",
        summary="Make a secret by which a receiver knows events as ours; the former one signs nothing any more",
        description=(
            "`webhook-signature` is `v1,` and the HMAC-SHA256, in base64, of `webhook-id`, `webhook-timestamp` and the "
            "body with dots between."
        ),
        tag="notifications",
        token=True,
        scope=Scope.READ,
        answers={200: Answer("The secret, this once.", SubscriptionSecret, headers=NO_STORE)},
        problems=(403, 404),
    ),
)
async def renew_subscription_secret(request: AnyRequest) -> Response[bytes]:
    """Make a secret."""
    subscription_id = requests.object_id(request, "subscription_id")
    caller = await requests.caller(request)
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        secret_id = await holding.renew_secret(session, subscription_id, caller=caller)
    return shapes.json_response(SubscriptionSecret(engines.alerting.keys.of_webhooks(secret_id)), headers=NO_STORE)


async def _wish(engines: Engines, draft: SubscriptionDraft) -> Wish:
    known = (("kinds", draft.kinds, kinds.known()), ("types", draft.types, TYPES))
    faults = [
        Fault(f"/{name}/{place}", f"there is none of this name; take one of {', '.join(there)}")
        for name, asked, there in known
        for place, one in enumerate(asked)
        if one not in there
    ]
    faults += await _unreachable(engines, draft.tell)
    if faults:
        raise Invalid("Of this you could not be told.", faults=faults)
    channel = Channel(draft.tell.by)
    return Wish(draft.place or "", sorted(set(draft.kinds)), sorted(set(draft.types)), channel, draft.tell.address)


async def _unreachable(engines: Engines, tell: EventsTelling) -> list[Fault]:
    if tell.by == "webhook":
        try:
            await engines.alerting.webhooks.must_admit(webhooks.checked(tell.address))
        except WrongAddress as wrong:
            return [Fault("/tell/address", str(wrong))]
        return []
    channel = Channel(tell.by)
    publisher = engines.publishers.get(channel)
    if publisher is None:
        return [Fault("/tell/by", NOWHERE[channel], "webhook")]
    if not publisher.takes(tell.address):
        return [Fault("/tell/address", publisher.wrong, publisher.example)]
    return []


def shown(one: Subscription) -> ShownSubscription:
    """Return a subscription as its owner is shown it."""
    stopped, wish = one.stopped_at is not None, one.wish
    return ShownSubscription(
        id=one.id,
        place=wish.place or None,
        kinds=list(wish.kinds),
        types=list(wish.types),
        tell=ShownEventsTelling(wish.channel.value, wish.address),
        state="stopped" if stopped else "active" if one.fault is None else "failing",
        created_at=one.created_at,
        told_at=one.told_at,
        fault=one.fault,
        retry_at=one.retry_at,
        stopped_at=one.stopped_at,
    )


ROUTES: list[HTTPRouteHandler] = [
    list_subscriptions,
    subscribe,
    read_subscription,
    change_subscription,
    remove_subscription,
    renew_subscription_secret,
]

"""`/api/saved-searches`: questions that somebody saved, how they are told of what fits, and the feeds of it."""

import hashlib
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog.access.principals import Caller
from catalog.access.scopes import Scope
from catalog.alerts import addresses, feeds, matches, saved, webhooks
from catalog.alerts.feeds import ATOM, JSON_FEED, Feed
from catalog.alerts.saved import NAME_CHARS_MAX, SAVED_MAX, Saved, Wish
from catalog.alerts.tables import Channel, Rhythm
from catalog.alerts.webhooks import ADDRESS_CHARS_MAX, WrongAddress
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.engines import Engines
from catalog.errors import Fault, Invalid, NotFound
from catalog.search import percolator, wanted
from catalog.search.wanted import WantedBody

SAVED_BYTES_MAX = 256 * 1024
# Names stand in a line of a mail's head: nothing that ends a line, to anybody, and no control characters.
NAME_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
NO_STORE = {"Cache-Control": "no-store"}
EXAMPLE = {"name": "Soil moisture", "query": {"q": "soil moisture", "kind": ["sensor-data"]}}


class Telling(BaseModel):
    """How somebody is told of what fits."""

    model_config = ConfigDict(extra="forbid", strict=True)

    by: Literal["feed", "webhook", "mail"] = Field(
        default="feed", description="By the feed alone, in which whatever fits stands in any case, or by a message too."
    )
    when: Literal["at_once", "daily"] = Field(
        default="at_once", description="Of each object as it comes, or of all once a day, at 06:00 UTC."
    )
    address: str | None = Field(
        default=None, min_length=1, max_length=ADDRESS_CHARS_MAX, description="Where the webhook or the mail goes."
    )


class SavedDraft(BaseModel):
    """A search to save."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=NAME_CHARS_MAX, pattern=NAME_PATTERN),
    ] = Field(description="What you call it; no two of yours are called the same.")
    query: WantedBody = Field(description="What is to be found, as a search asks it.")
    tell: Telling = Field(default=Telling(), description="How you are told.")


class FeedQuery(BaseModel):
    """In which format, and the key that opens it."""

    model_config = ConfigDict(extra="forbid")

    form: Literal["atom", "json"] = Field(default="atom", alias="as", description="Atom (RFC 4287), or JSON Feed 1.1.")
    key: str | None = Field(
        default=None,
        max_length=200,
        description="The key of the feed, for readers that send no token; left out, your token opens it.",
    )


class ShownTelling(msgspec.Struct, frozen=True):
    """How the owner is told."""

    by: Literal["feed", "webhook", "mail"]
    when: Literal["at_once", "daily"]
    address: str | None


class ShownSaved(msgspec.Struct, frozen=True):
    """A saved search. `told_at` is when its owner was last told of anything, `fault` why nothing comes.

    With `stopped_at` nothing is sent any more until it is changed; the feed goes on.
    """

    id: UUID
    name: str
    query: dict[str, Any]
    tell: ShownTelling
    created_at: datetime
    asked_at: datetime
    told_at: datetime | None
    has_feed_key: bool
    fault: str | None
    # When what did not arrive is sent again.
    retry_at: datetime | None
    stopped_at: datetime | None


class SavedList(msgspec.Struct, frozen=True):
    """Your saved searches, by name."""

    items: list[ShownSaved]


class FeedAddresses(msgspec.Struct, frozen=True):
    """Where the feed is for whoever has these addresses: keep them as a password. Shown this once."""

    atom: str
    json: str


class WebhookSecret(msgspec.Struct, frozen=True):
    """By what a receiver checks that a webhook is ours. Shown this once."""

    secret: str


@operation(
    "GET",
    "/api/saved-searches",
    Operation(
        id="list_saved_searches",
        summary="List your saved searches",
        tag="search",
        token=True,
        answers={200: Answer("Yours, by name; nobody sees those of others.", SavedList)},
    ),
)
async def list_saved_searches(request: AnyRequest) -> Response[bytes]:
    """List the caller's own."""
    return shapes.json_response(await listed(request, await requests.caller(request)), headers=NO_STORE)


async def listed(request: AnyRequest, caller: Caller) -> SavedList:
    """Return the caller's own; as all below here, the pages ask here too. Raises Unauthenticated."""
    async with requests.engines(request).database.transaction() as session:
        found = await saved.all_of(session, caller=caller)
    return SavedList([shown(one) for one in found])


@operation(
    "POST",
    "/api/saved-searches",
    Operation(
        id="save_search",
        summary="Save a search, to be told of what fits",
        description=(
            "You are told of each object that is registered or changed from now on, fits, and may be seen by you: "
            f"once. At most {SAVED_MAX} of one principal. `has_labels` cannot be watched."
        ),
        tag="search",
        token=True,
        # What it tells is what its owner may see.
        scope=Scope.READ,
        body=Body(SavedDraft, example=EXAMPLE),
        answers={201: Answer("Saved.", ShownSaved, headers={"Location": "The saved search's address."})},
        problems=(403, 409, 413, 415),
    ),
)
async def save_search(request: AnyRequest) -> Response[bytes]:
    """Save a search."""
    caller = await requests.caller(request)
    caller.must_be_known()
    told = await made(request, caller, await requests.sent(request, SavedDraft, most_bytes=SAVED_BYTES_MAX))
    headers = {"Location": f"/api/saved-searches/{told.id}", **NO_STORE}
    return shapes.json_response(told, status=201, headers=headers)


async def made(request: AnyRequest, caller: Caller, draft: SavedDraft) -> ShownSaved:
    """Save a search; raises as the operation tells."""
    caller.must_be_known()
    engines = requests.engines(request)
    wish = await _wish(engines, draft)
    async with engines.database.transaction() as session:
        return shown(await saved.save(session, wish, caller=caller))


@operation(
    "GET",
    "/api/saved-searches/{saved_id:str}",
    Operation(
        id="read_saved_search",
        summary="Read one of your saved searches",
        tag="search",
        token=True,
        answers={200: Answer("The saved search.", ShownSaved)},
        problems=(404,),
    ),
)
async def read_saved_search(request: AnyRequest) -> Response[bytes]:
    """Read one of the caller's own."""
    saved_id = requests.object_id(request, "saved_id")
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        found = await saved.find(session, saved_id, caller=caller)
    return shapes.json_response(shown(found), headers=NO_STORE)


@operation(
    "PUT",
    "/api/saved-searches/{saved_id:str}",
    Operation(
        id="change_saved_search",
        summary="Let one of your saved searches be another",
        description=(
            "What you were told of stays told. With another question, what was registered or changed before is no news."
        ),
        tag="search",
        token=True,
        scope=Scope.READ,
        body=Body(SavedDraft, example=EXAMPLE),
        answers={200: Answer("As it is now.", ShownSaved)},
        problems=(403, 404, 409, 413, 415),
    ),
)
async def change_saved_search(request: AnyRequest) -> Response[bytes]:
    """Change one of the caller's own."""
    saved_id = requests.object_id(request, "saved_id")
    caller = await requests.caller(request)
    caller.must_be_known()
    engines = requests.engines(request)
    wish = await _wish(engines, await requests.sent(request, SavedDraft, most_bytes=SAVED_BYTES_MAX))
    async with engines.database.transaction() as session:
        found = await saved.change(session, saved_id, wish, caller=caller)
    return shapes.json_response(shown(found), headers=NO_STORE)


@operation(
    "DELETE",
    "/api/saved-searches/{saved_id:str}",
    Operation(
        id="remove_saved_search",
        summary="Remove one of your saved searches, with its feed",
        tag="search",
        token=True,
        scope=Scope.READ,
        answers={204: Answer("Removed.")},
        problems=(403, 404),
    ),
)
async def remove_saved_search(request: AnyRequest) -> Response[bytes]:
    """Remove one of the caller's own."""
    saved_id = requests.object_id(request, "saved_id")
    await removed(request, await requests.caller(request), saved_id)
    return Response(b"", status_code=204)


async def removed(request: AnyRequest, caller: Caller, saved_id: UUID) -> None:
    """Remove a saved search; raises Unauthenticated, NotFound."""
    async with requests.engines(request).database.transaction() as session:
        await saved.remove(session, saved_id, caller=caller)


@operation(
    "POST",
    "/api/saved-searches/{saved_id:str}/feed-key",
    Operation(
        id="renew_feed_key",
        summary="Make addresses of the feed that need no token; the former ones open nothing any more",
        description="For feed readers, which send no token. Whoever has the address reads what you may see.",
        tag="search",
        token=True,
        scope=Scope.READ,
        answers={200: Answer("The addresses, this once.", FeedAddresses, headers=NO_STORE)},
        problems=(403, 404),
    ),
)
async def renew_feed_key(request: AnyRequest) -> Response[bytes]:
    """Make a key of a feed."""
    saved_id = requests.object_id(request, "saved_id")
    caller = await requests.caller(request)
    return shapes.json_response(await opened_feed(request, caller, saved_id), headers=NO_STORE)


async def opened_feed(request: AnyRequest, caller: Caller, saved_id: UUID) -> FeedAddresses:
    """Make a key of a feed and return its addresses; the pages make them here too. Raises NotFound."""
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        key = await saved.renew_feed_key(session, saved_id, caller=caller)
    return FeedAddresses(*(_feed_address(engines, saved_id, form, key) for form in ("atom", "json")))


@operation(
    "DELETE",
    "/api/saved-searches/{saved_id:str}/feed-key",
    Operation(
        id="revoke_feed_key",
        summary="Let the feed be read with your token alone",
        tag="search",
        token=True,
        scope=Scope.READ,
        answers={204: Answer("No address opens it any more.")},
        problems=(403, 404),
    ),
)
async def revoke_feed_key(request: AnyRequest) -> Response[bytes]:
    """Revoke the key of a feed."""
    saved_id = requests.object_id(request, "saved_id")
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        await saved.revoke_feed_key(session, saved_id, caller=caller)
    return Response(b"", status_code=204)


@operation(
    "GET",
    "/api/saved-searches/{saved_id:str}/feed",
    Operation(
        id="read_feed",
        summary="Read what fits a saved search, as a feed",
        description=f"The newest {matches.FEED_ENTRIES_MAX} of what its owner may see now.",
        tag="search",
        query=FeedQuery,
        answers={
            200: Answer(
                "The feed.", {"type": "string"}, media_type=ATOM, headers={"ETag": "What it holds."}, also=(JSON_FEED,)
            ),
            304: Answer("As If-None-Match says that it is known."),
        },
        problems=(403, 404),
    ),
)
async def read_feed(request: AnyRequest) -> Response[bytes]:
    """Read a feed."""
    saved_id = requests.object_id(request, "saved_id")
    asked = requests.query(request, FeedQuery)
    engines = requests.engines(request)
    found, caller = await _opened(request, saved_id, asked.key)
    async with engines.database.transaction() as session:
        entries = await matches.fed(session, saved_id, caller.audience)
    own = _feed_address(engines, saved_id, asked.form, asked.key)
    feed = Feed(found, entries, engines.house.publisher, engines.house.address, own)
    told, media_type = (feeds.atom(feed), ATOM) if asked.form == "atom" else (feeds.json_feed(feed), JSON_FEED)
    headers = {"ETag": f'"{hashlib.sha256(told).hexdigest()[:32]}"', "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(b"", status_code=304, headers=headers)
    return Response(told, media_type=media_type, headers=headers)


async def _opened(request: AnyRequest, saved_id: UUID, key: str | None) -> tuple[Saved, Caller]:
    """Return the search whose feed is asked for, and by whose rights."""
    engines = requests.engines(request)
    if key is None:
        caller = await requests.caller(request)
        caller.must_be_known()
        async with engines.database.transaction() as session:
            return await saved.find(session, saved_id, caller=caller), caller
    async with engines.database.transaction() as session:
        found = await saved.opened_by(session, saved_id, key)
    owner = await saved.owner_of(engines.database, saved_id)
    if owner is None:
        raise NotFound("There is no such feed.")
    return found, owner


async def _wish(engines: Engines, draft: SavedDraft) -> Wish:
    await _must_be_askable(engines, draft.query)
    await _must_be_reachable(engines, draft.tell)
    asked = draft.query.model_dump(mode="json", exclude_defaults=True)
    channel, address = Channel(draft.tell.by), draft.tell.address
    if channel is Channel.MAIL and address is not None:
        address = addresses.kept(address)
    return Wish(draft.name, asked, channel, Rhythm(draft.tell.when), address)


async def _must_be_askable(engines: Engines, asked: WantedBody) -> None:
    """Raise Invalid, with places in the body that was sent, for a question that cannot be watched."""
    try:
        percolator.clause_of(await wanted.read(engines.database, asked, asked.filter))
    except Invalid as wrong:
        faults = [
            fault
            if fault.pointer.startswith("/query")
            else Fault(f"/query{fault.pointer}", fault.message, fault.suggestion)
            for fault in wrong.faults
        ]
        raise Invalid(wrong.detail, faults=faults) from None


async def _must_be_reachable(engines: Engines, tell: Telling) -> None:
    """Raise Invalid for an address that does not fit how somebody wants to be told."""
    place, address = "/tell/address", tell.address
    fault = None
    if tell.by == "feed":
        if address is not None:
            fault = Fault(
                place, "A feed is fetched and goes to no address.", "Leave it out, or tell by webhook or mail."
            )
    elif address is None:
        fault = Fault(place, f"Say to which address the {tell.by} goes.")
    elif tell.by == "mail":
        if engines.alerting.mailer is None:
            fault = Fault(
                "/tell/by",
                "This catalog sends no mail: whoever runs it sets CATALOG_SMTP_HOST.",
                "Tell by feed or webhook.",
            )
        elif not addresses.is_address(address):
            fault = Fault(place, "This is no mail address; write one as ana@example.org.")
    else:
        try:
            await engines.alerting.webhooks.must_admit(webhooks.checked(address))
        except WrongAddress as wrong:
            fault = Fault(place, str(wrong))
    if fault is not None:
        raise Invalid("You could not be told so.", faults=[fault])


def shown(one: Saved) -> ShownSaved:
    """Return a saved search as its owner is shown it."""
    return ShownSaved(
        id=one.id,
        name=one.name,
        query=one.question,
        tell=ShownTelling(one.channel.value, one.rhythm.value, one.address),
        created_at=one.created_at,
        asked_at=one.asked_at,
        told_at=one.told_at,
        has_feed_key=one.has_feed_key,
        fault=one.fault,
        retry_at=one.retry_at,
        stopped_at=one.stopped_at,
    )


def _feed_address(engines: Engines, saved_id: UUID, form: str, key: str | None) -> str:
    asked = {"as": form} | ({} if key is None else {"key": key})
    return f"{engines.house.address}/api/saved-searches/{saved_id}/feed?{urlencode(asked)}"


@operation(
    "POST",
    "/api/saved-searches/{saved_id:str}/webhook-secret",
    Operation(
        id="renew_webhook_secret",
        summary="Make a secret by which a receiver knows webhooks as ours; the former one signs nothing any more",
        description=(
            "Webhooks are signed as Standard Webhooks says: `webhook-signature` is `v1,` and the HMAC-SHA256, in "
            "base64, of `webhook-id`, `webhook-timestamp` and the body with dots between."
        ),
        tag="search",
        token=True,
        scope=Scope.READ,
        answers={200: Answer("The secret, this once.", WebhookSecret, headers=NO_STORE)},
        problems=(403, 404),
    ),
)
async def renew_webhook_secret(request: AnyRequest) -> Response[bytes]:
    """Make a secret."""
    saved_id = requests.object_id(request, "saved_id")
    caller = await requests.caller(request)
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        secret_id = await saved.renew_secret(session, saved_id, caller=caller)
    return shapes.json_response(WebhookSecret(engines.alerting.keys.of_webhooks(secret_id)), headers=NO_STORE)


ROUTES: list[HTTPRouteHandler] = [
    list_saved_searches,
    save_search,
    read_saved_search,
    change_saved_search,
    remove_saved_search,
    renew_feed_key,
    revoke_feed_key,
    read_feed,
    renew_webhook_secret,
]

"""`/api/operations/queue/parked`: entries of the queue that wait for a person; and notifications nobody could read."""

from datetime import datetime
from typing import Any, Self

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field, model_validator

from catalog.access.callers import Caller
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.operations import parked
from catalog.operations.parked import RETRIED_AT_ONCE, Chosen
from catalog.storage import unreadable

LIMIT_DEFAULT = 100
LIMIT_MAX = 1_000
# What an entry's id fits in: beyond, the database would refuse to compare.
ID_MAX = 2**63 - 1

PLACE = "/api/operations/queue/parked"
NO_STORE = {"Cache-Control": "no-store"}


class ParkedQuery(BaseModel):
    """Which parked entries are wanted."""

    model_config = ConfigDict(extra="forbid")

    topic: str | None = Field(default=None, max_length=100, description="Only of this topic.")
    reason: str | None = Field(
        default=None, min_length=1, max_length=500, description="Only those whose reason has this text, in any case."
    )
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=2_000)


class UnreadableQuery(BaseModel):
    """How much is wanted."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=2_000)


class Retrying(BaseModel):
    """Which entries shall be tried again: one by its id; or all of a topic, with a text in their reason, or both."""

    model_config = ConfigDict(extra="forbid")

    id: int | None = Field(default=None, ge=1, le=ID_MAX, description="This entry alone.")
    topic: str | None = Field(default=None, max_length=100, description="All of this topic.")
    reason: str | None = Field(
        default=None, min_length=1, max_length=500, description="All whose reason has this text, in any case."
    )

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        one, many = self.id is not None, self.topic is not None or self.reason is not None
        if one == many:
            raise ValueError("say an `id`, or a `topic`, a `reason` or both of them")
        return self


class ShownParked(msgspec.Struct, frozen=True):
    """An entry that waits for a person: in the queue since `created_at`, tried `attempts` times, then set aside."""

    id: int
    topic: str
    subject: str
    reason: str
    attempts: int
    created_at: datetime
    parked_at: datetime


class ParkedPage(msgspec.Struct, frozen=True):
    """Some parked entries, in the order in which they came; how many there are by topic; where the next ones begin."""

    items: list[ShownParked]
    topics: dict[str, int]
    cursor: str | None


class Retried(msgspec.Struct, frozen=True):
    """How many entries will be tried again; with `more` there are others left to be asked for."""

    retried: int
    more: bool


class ShownUnreadable(msgspec.Struct, frozen=True):
    """A notification that no parser understood, and how many bytes of it are kept."""

    id: int
    received_at: datetime
    dialect: str
    reason: str
    kept_bytes: int


class UnreadablePage(msgspec.Struct, frozen=True):
    """Some of them, newest first, and where the next ones begin."""

    items: list[ShownUnreadable]
    cursor: str | None


@operation(
    "GET",
    PLACE,
    Operation(
        id="list_parked",
        summary="List what was set aside in the queue, with the reason",
        description=(
            "For curators and admins of the whole catalog. An entry is parked when trying again is no help; it harms "
            "nothing else, and what it was about is as it was before."
        ),
        tag="operations",
        token=True,
        query=ParkedQuery,
        answers={200: Answer("Parked entries.", ParkedPage, headers={"Link": "The next page."})},
        problems=(403,),
    ),
)
async def list_parked(request: AnyRequest) -> Response[bytes]:
    """List a page of what is parked."""
    found = await listed(request, await requests.caller(request), requests.query(request, ParkedQuery))
    return shapes.json_response(found, headers={**requests.next_link(request, found.cursor), **NO_STORE})


async def listed(request: AnyRequest, caller: Caller, asked: ParkedQuery) -> ParkedPage:
    """Return a page of what is parked, for whoever looks after the whole catalog."""
    caller.must_look_after_all()
    chosen = Chosen(asked.topic, asked.reason)
    page = requests.paging(request, asked, int, "parked", caller.id, asked.topic, asked.reason)
    async with requests.engines(request).database.transaction() as session:
        found = await parked.page(session, chosen, after=page.after, limit=page.one_more)
        topics = await parked.counts(session)
    items, cursor = page.cut(found, lambda one: one.id)
    return ParkedPage(msgspec.convert(items, list[ShownParked], from_attributes=True), topics, cursor)


async def number(request: AnyRequest, caller: Caller) -> int:
    """Return how many are parked, for whoever looks after the whole catalog."""
    caller.must_look_after_all()
    async with requests.engines(request).database.transaction() as session:
        return sum((await parked.counts(session)).values())


@operation(
    "POST",
    f"{PLACE}/retry",
    Operation(
        id="retry_parked",
        summary="Have parked entries tried again: one, or all of a topic or with a text in their reason",
        description=(
            f"For curators and admins of the whole catalog. At most {RETRIED_AT_ONCE:,} at once. They begin anew, with "
            "all their attempts; what still fails is parked again."
        ),
        tag="operations",
        token=True,
        scope=Scope.CURATE,
        body=Body(Retrying, example={"topic": "index"}),
        answers={200: Answer("They are due.", Retried)},
        problems=(403, 404),
    ),
)
async def retry_parked(request: AnyRequest) -> Response[bytes]:
    """Have entries tried again."""
    caller = await requests.caller(request)
    caller.must_look_after_all()
    return shapes.json_response(await retried(request, caller, await requests.sent(request, Retrying)))


async def retried(request: AnyRequest, caller: Caller, wanted: Retrying) -> Retried:
    """Have entries tried again, for whoever looks after the whole catalog; raises NotParked for an id of none."""
    caller.must_look_after_all()
    async with requests.engines(request).database.transaction() as session:
        if wanted.id is not None:
            await parked.retry(session, wanted.id, caller=caller)
            return Retried(1, more=False)
        chosen = Chosen(wanted.topic, wanted.reason)
        count = await parked.retry_all(session, chosen, caller=caller)
        left = await parked.page(session, chosen, after=None, limit=1)
    return Retried(count, more=bool(left))


@operation(
    "DELETE",
    f"{PLACE}/{{entry_id:str}}",
    Operation(
        id="discard_parked",
        summary="Discard a parked entry",
        description=(
            "For curators and admins of the whole catalog. The note is ended, and what it was about stays as it is; "
            "docs/operations.md says for each topic what that means. Who discarded what is kept."
        ),
        tag="operations",
        token=True,
        scope=Scope.CURATE,
        answers={204: Answer("It is gone.")},
        problems=(403, 404),
    ),
)
async def discard_parked(request: AnyRequest) -> Response[Any]:
    """Discard an entry."""
    caller = await requests.caller(request)
    caller.must_look_after_all()
    await discarded(request, caller, number_of(str(request.path_params["entry_id"])))
    return Response(b"", status_code=204)


async def discarded(request: AnyRequest, caller: Caller, number: int) -> None:
    """Discard an entry, for whoever looks after the whole catalog; raises NotParked."""
    caller.must_look_after_all()
    async with requests.engines(request).database.transaction() as session:
        await parked.discard(session, number, caller=caller)


def number_of(text: str) -> int:
    """Return the id that a text is; raises NotParked for one that no entry could have."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(ID_MAX)) else 0
    if not 1 <= number <= ID_MAX:
        raise parked.NotParked
    return number


@operation(
    "GET",
    "/api/operations/notifications/unreadable",
    Operation(
        id="list_unreadable",
        summary="List notifications of stores that no parser understood",
        description=(
            "For curators and admins of the whole catalog. They are kept for "
            f"{unreadable.KEPT.days} days. What they told of is found by a scan of the store."
        ),
        tag="operations",
        token=True,
        query=UnreadableQuery,
        answers={200: Answer("Notifications.", UnreadablePage, headers={"Link": "The next page."})},
        problems=(403,),
    ),
)
async def list_unreadable(request: AnyRequest) -> Response[bytes]:
    """List a page of what could not be read."""
    found = await unread(request, await requests.caller(request), requests.query(request, UnreadableQuery))
    return shapes.json_response(found, headers={**requests.next_link(request, found.cursor), **NO_STORE})


async def unread(request: AnyRequest, caller: Caller, asked: UnreadableQuery) -> UnreadablePage:
    """Return a page of what could not be read, for whoever looks after the whole catalog."""
    caller.must_look_after_all()
    page = requests.paging(request, asked, int, "unreadable", caller.id)
    async with requests.engines(request).database.transaction() as session:
        found = await unreadable.page(session, before=page.after, limit=page.one_more)
    items, cursor = page.cut(found, lambda one: one.id)
    return UnreadablePage(msgspec.convert(items, list[ShownUnreadable], from_attributes=True), cursor)


ROUTES: list[HTTPRouteHandler] = [list_parked, retry_parked, discard_parked, list_unreadable]

"""Subscriptions: be told of changes of objects, event by event."""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from catalog.client.calls import C, Call, Room, get, member, nothing, quoted, request

SUBSCRIPTIONS = "/api/subscriptions"


class EventsTelling(TypedDict):
    """Where events go: to an address, under a subject of NATS, or to `EXCHANGE/ROUTING.KEY` of AMQP."""

    by: Literal["webhook", "nats", "amqp"]
    address: str


class Subscription(TypedDict):
    """A subscription; `told_at` is when an event arrived last, `fault` why none does.

    A failing one is tried again at `retry_at`; a stopped one is not told anything until it is changed.
    """

    id: str
    place: str | None
    kinds: list[str]
    types: list[str]
    tell: EventsTelling
    state: Literal["active", "failing", "stopped"]
    created_at: str
    told_at: str | None
    fault: str | None
    retry_at: str | None
    stopped_at: str | None


class Subscriptions(Room[C]):
    """Subscriptions made, listed, changed and removed."""

    @request
    def add(
        self, tell: EventsTelling, *, place: str | None = None, kinds: Sequence[str] = (), types: Sequence[str] = ()
    ) -> Call[Subscription]:
        """Be told of what changes from now on: in an organization or project, of these kinds and types, or of all."""
        return Call("POST", SUBSCRIPTIONS, body=_draft(tell, place, kinds, types))

    @request
    def change(
        self,
        subscription_id: str,
        tell: EventsTelling,
        *,
        place: str | None = None,
        kinds: Sequence[str] = (),
        types: Sequence[str] = (),
    ) -> Call[Subscription]:
        """Let a subscription be another, and go on if it had stopped."""
        return Call("PUT", _address(subscription_id), body=_draft(tell, place, kinds, types), repeatable=True)

    @request
    def mine(self) -> Call[list[Subscription]]:
        """Return one's own subscriptions, oldest first."""
        return Call("GET", SUBSCRIPTIONS, repeatable=True, read=member("items"))

    @request
    def read(self, subscription_id: str) -> Call[Subscription]:
        """Return one subscription."""
        return get(_address(subscription_id))

    @request
    def remove(self, subscription_id: str) -> Call[None]:
        """End a subscription."""
        return Call("DELETE", _address(subscription_id), read=nothing)

    @request
    def renew_secret(self, subscription_id: str) -> Call[str]:
        """Return a new secret by which a receiver checks events; the former one signs nothing any more."""
        return Call("POST", f"{_address(subscription_id)}/secret", read=member("secret"))


def _draft(tell: EventsTelling, place: str | None, kinds: Sequence[str], types: Sequence[str]) -> dict[str, Any]:
    said = {} if place is None else {"place": place}
    return {"tell": tell, "kinds": list(kinds), "types": list(types), **said}


def _address(subscription_id: str) -> str:
    return f"{SUBSCRIPTIONS}/{quoted(subscription_id)}"

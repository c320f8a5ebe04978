"""What has arrived, announced: events in CloudEvents 1.0, and the types that the catalog takes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict
from uuid import uuid4

from catalog.client.calls import C, Call, Room, get, items, member, quoted, request

EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
WRITTEN, REMOVED = "catalog.files.written.v1", "catalog.files.removed.v1"
SOURCE = "urn:catalog:client"


class Receipt(TypedDict):
    """That an event was taken; sent again, it has the same one."""

    source: str
    id: str
    receipt: str


class EventType(TypedDict):
    """A type of events, in short."""

    name: str
    description: str


class ShownEventType(EventType):
    """A type, with its JSON Schema and an example."""

    schema: dict[str, Any]
    example: dict[str, Any]


class Events(Room[C]):
    """What has arrived, announced."""

    @request
    def send(self, events: Sequence[Mapping[str, Any]]) -> Call[list[Receipt]]:
        """Announce these events, all of them or none; each needs a `source` and an `id`, and may be sent again."""
        return _sent(events)

    @request
    def announce(
        self,
        keys: Sequence[str],
        *,
        backend: str = "default",
        removed: bool = False,
        source: str = SOURCE,
        event_id: str | None = None,
    ) -> Call[list[Receipt]]:
        """Say that files were written, or removed, under these keys; without an id, the event has a new one."""
        event = {
            "specversion": "1.0",
            "type": REMOVED if removed else WRITTEN,
            "source": source,
            "id": event_id or str(uuid4()),
            "data": {"backend": backend, "keys": list(keys)},
        }
        return _sent([event])

    @request
    def types(self) -> Call[list[EventType]]:
        """Return the types of events that the catalog takes."""
        return items("/api/event-types")

    @request
    def read_type(self, name: str) -> Call[ShownEventType]:
        """Return the JSON Schema of a type, and an example."""
        return get(f"/api/event-types/{quoted(name)}")


def _sent(events: Sequence[Mapping[str, Any]]) -> Call[list[Receipt]]:
    one = len(events) == 1
    body = json.dumps(events[0] if one else list(events)).encode()
    headers = {"content-type": EVENT if one else BATCH}
    # The source and the id make it one event, however often it is sent.
    return Call("POST", "/api/events", body=body, headers=headers, repeatable=True, read=member("items"))

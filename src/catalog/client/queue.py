"""What the catalog set aside for a person, and what stores told it that it could not read."""

from typing import TypedDict

from catalog.client.calls import C, Call, Listing, Room, member, nothing, request, said, series

_PARKED = "/api/operations/queue/parked"


class ParkedEntry(TypedDict):
    """An entry of the queue that waits for a person, with the reason."""

    id: int
    topic: str
    subject: str
    reason: str
    attempts: int
    created_at: str
    parked_at: str


class Retried(TypedDict):
    """How many entries will be tried again; with `more` there are others left to be asked for."""

    retried: int
    more: bool


class UnreadableNotification(TypedDict):
    """A notification that no parser understood, and how many bytes of it are kept."""

    id: int
    received_at: str
    dialect: str
    reason: str
    kept_bytes: int


class Queue(Room[C]):
    """Parked entries looked at, tried again, discarded; for curators and admins of the whole catalog."""

    @series
    def parked(self, *, topic: str | None = None, reason: str | None = None) -> Listing[ParkedEntry]:
        """Yield what was set aside: of one topic, or with a text in the reason, where that is said."""
        return Listing(_PARKED, said(topic=topic, reason=reason))

    @request
    def counts(self) -> Call[dict[str, int]]:
        """Return how many entries are parked, by topic."""
        return Call("GET", _PARKED, said(limit=1), repeatable=True, read=member("topics"))

    @request
    def retry(
        self, entry_id: int | None = None, *, topic: str | None = None, reason: str | None = None
    ) -> Call[Retried]:
        """Have one entry tried again, or all of a topic, with a text in their reason, or both."""
        named = {"id": entry_id, "topic": topic, "reason": reason}
        body = {name: value for name, value in named.items() if value is not None}
        return Call("POST", f"{_PARKED}/retry", body=body)

    @request
    def discard(self, entry_id: int) -> Call[None]:
        """End an entry: what it was about stays as it is."""
        return Call("DELETE", f"{_PARKED}/{entry_id}", read=nothing)

    @series
    def unreadable(self) -> Listing[UnreadableNotification]:
        """Yield notifications that no parser understood, newest first."""
        return Listing("/api/operations/notifications/unreadable", ())

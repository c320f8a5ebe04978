"""Snapshots of a search: take one, read it, cite it, withdraw it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, cast

from catalog.client.calls import C, Call, Listing, Room, Steps, get, nothing, quoted, request, said, series
from catalog.client.dois import Doi
from catalog.client.shapes import Change

MEMBERS_LIMIT = 500
CHANGES_LIMIT = 500
# The question is asked of the index, and every member is read and hashed.
TAKING_SECONDS_MAX = 120.0


class Member(TypedDict):
    """An object as it was; `now`: how it stands since. What is hidden by now has neither kind nor title."""

    id: str
    revision: int
    version: int | None
    kind: str | None
    title: str | None
    digest: str
    now: Literal["same", "changed", "withdrawn", "hidden"]


class Snapshot(TypedDict):
    """What a question found at a moment, with the first of its members."""

    id: str
    title: str
    description: str
    creators: list[dict[str, Any]]
    licence: str | None
    query: dict[str, Any]
    taken_at: str
    taken_by: str
    doi: str | None
    digest: str
    members_total: int
    members: list[Member]
    cursor: str | None


class Snapshots(Room[C]):
    """Snapshots taken, read, cited and withdrawn."""

    @request
    def take(
        self, title: str, creators: Sequence[str], question: Mapping[str, Any], *, description: str = ""
    ) -> Call[Snapshot]:
        """Freeze what a question finds among what is public; `question` is `q` and filters, as a search has them."""
        body = {
            "title": title,
            "description": description,
            "creators": [{"name": name} for name in creators],
            "query": question,
        }
        return Call("POST", "/api/snapshots", body=body, answer_seconds=TAKING_SECONDS_MAX)

    @request
    def read(self, snapshot_id: str) -> Steps[Snapshot]:
        """Return a snapshot with all of its members."""
        limit = said(limit=MEMBERS_LIMIT)
        page = whole = cast("Snapshot", (yield get(_address(snapshot_id), limit)))
        while page["cursor"] is not None:
            page = cast("Snapshot", (yield get(_address(snapshot_id), [*limit, ("cursor", page["cursor"])])))
            whole["members"] += page["members"]
        whole["cursor"] = None
        return whole

    @request
    def mint(self, snapshot_id: str) -> Call[Doi]:
        """Make the DOI of a snapshot; asked again, it answers the same."""
        return Call("POST", f"{_address(snapshot_id)}/doi", repeatable=True)

    @request
    def withdraw(self, snapshot_id: str, reason: str) -> Call[None]:
        """Withdraw a snapshot and say why."""
        return Call("DELETE", _address(snapshot_id), said(reason=reason), read=nothing)

    @series
    def history(self, snapshot_id: str) -> Listing[Change]:
        """Yield who took, cited and withdrew a snapshot, newest first; for those who may withdraw it."""
        return Listing(f"{_address(snapshot_id)}/history", said(limit=CHANGES_LIMIT))


def _address(snapshot_id: str) -> str:
    return f"/api/snapshots/{quoted(snapshot_id)}"

"""Snapshots of a search: take one, read it, cite it, withdraw it."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypedDict
from urllib.parse import quote

from catalog.client.catalog import Catalog
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


def take(
    catalog: Catalog, title: str, creators: Sequence[str], question: dict[str, Any], *, description: str = ""
) -> Snapshot:
    """Freeze what a question finds among what is public; `question` is `q` and filters, as a search has them."""
    body = {
        "title": title,
        "description": description,
        "creators": [{"name": name} for name in creators],
        "query": question,
    }
    answer: Snapshot = catalog.connection.json("POST", "/api/snapshots", body=body, answer_seconds=TAKING_SECONDS_MAX)
    return answer


def read(catalog: Catalog, snapshot_id: str) -> Snapshot:
    """Return a snapshot with all of its members."""
    parameters = [("limit", str(MEMBERS_LIMIT))]
    whole: Snapshot = catalog.connection.json("GET", _address(snapshot_id), parameters=parameters, repeatable=True)
    page = whole
    while page["cursor"] is not None:
        more = [*parameters, ("cursor", page["cursor"])]
        page = catalog.connection.json("GET", _address(snapshot_id), parameters=more, repeatable=True)
        whole["members"] += page["members"]
    whole["cursor"] = None
    return whole


def mint(catalog: Catalog, snapshot_id: str) -> Doi:
    """Make the DOI of a snapshot; asked again, it answers the same."""
    answer: Doi = catalog.connection.json("POST", f"{_address(snapshot_id)}/doi", repeatable=True)
    return answer


def withdraw(catalog: Catalog, snapshot_id: str, reason: str) -> None:
    """Withdraw a snapshot and say why."""
    catalog.connection.send("DELETE", _address(snapshot_id), parameters=[("reason", reason)])


def history(catalog: Catalog, snapshot_id: str) -> Iterator[Change]:
    """Yield who took, cited and withdrew a snapshot, newest first; for those who may withdraw it."""
    parameters = [("limit", str(CHANGES_LIMIT))]
    return catalog.connection.pages(f"{_address(snapshot_id)}/history", parameters)


def _address(snapshot_id: str) -> str:
    return f"/api/snapshots/{quote(snapshot_id, safe='')}"

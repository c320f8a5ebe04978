"""Saved searches: save one, list, change and remove them, and where their feeds are."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from catalog.client.calls import C, Call, Room, asking, get, member, nothing, quoted, request

SAVED = "/api/saved-searches"


class Telling(TypedDict, total=False):
    """How one is told: by the feed alone, or by a webhook or mail to an address too; as it comes, or once a day."""

    by: Literal["feed", "webhook", "mail"]
    when: Literal["at_once", "daily"]
    address: str | None


class SavedSearch(TypedDict):
    """A saved search; `told_at` is when one was last told of anything, `fault` why nothing comes.

    With `retry_at` it is tried again from then on; with `stopped_at` not until the search is changed.
    """

    id: str
    name: str
    query: dict[str, Any]
    tell: Telling
    created_at: str
    asked_at: str
    told_at: str | None
    has_feed_key: bool
    fault: str | None
    retry_at: str | None
    stopped_at: str | None


class Feed(TypedDict):
    """Where the feed is for whoever has these addresses: keep them as a password."""

    atom: str
    json: str


class SavedSearches(Room[C]):
    """Searches saved, listed, changed and removed, and where their feeds are."""

    @request
    def save(self, name: str, question: Mapping[str, Any], tell: Telling | None = None) -> Call[SavedSearch]:
        """Save a search; `question` is `q`, `filter` and the other parameters of a search."""
        return Call("POST", SAVED, body=_draft(name, question, tell))

    @request
    def change(
        self, saved_id: str, name: str, question: Mapping[str, Any], tell: Telling | None = None
    ) -> Call[SavedSearch]:
        """Let a saved search be another."""
        return Call("PUT", _address(saved_id), body=_draft(name, question, tell), repeatable=True)

    @request
    def mine(self) -> Call[list[SavedSearch]]:
        """Return one's own saved searches, by name."""
        return Call("GET", SAVED, repeatable=True, read=member("items"))

    @request
    def read(self, saved_id: str) -> Call[SavedSearch]:
        """Return one saved search."""
        return get(_address(saved_id))

    @request
    def remove(self, saved_id: str) -> Call[None]:
        """Remove a saved search with its feed."""
        return Call("DELETE", _address(saved_id), read=nothing)

    @request
    def fitting(self, saved_id: str) -> Call[list[dict[str, Any]]]:
        """Return the newest objects in the feed, as JSON Feed 1.1 has them: `title`, `url`, `date_modified`."""
        asked = [("as", "json")]
        return Call("GET", f"{_address(saved_id)}/feed", asked, repeatable=True, read=member("items"))

    @request
    def open_feed(self, saved_id: str) -> Call[Feed]:
        """Return new addresses of the feed, which need no token; the former ones open nothing any more."""
        return Call("POST", f"{_address(saved_id)}/feed-key")

    @request
    def close_feed(self, saved_id: str) -> Call[None]:
        """Let the feed be read with a token alone."""
        return Call("DELETE", f"{_address(saved_id)}/feed-key", read=nothing)

    @request
    def renew_secret(self, saved_id: str) -> Call[str]:
        """Return a new secret by which a receiver checks webhooks; the former one signs nothing any more."""
        return Call("POST", f"{_address(saved_id)}/webhook-secret", read=member("secret"))


def _draft(name: str, question: Mapping[str, Any], tell: Telling | None) -> dict[str, Any]:
    return {"name": name, "query": asking(question.get("q"), question)} | ({} if tell is None else {"tell": tell})


def _address(saved_id: str) -> str:
    return f"{SAVED}/{quoted(saved_id)}"

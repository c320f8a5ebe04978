"""Finding objects: pages of hits, every hit, why one is found, what is alike, what can be asked."""

import time
from typing import Unpack

from catalog.client.calls import (
    C,
    Call,
    Listing,
    Room,
    Steps,
    get,
    items,
    object_path,
    parameters_of,
    request,
    said,
    series,
)
from catalog.client.shapes import AlikeObject, AskableField, Explanation, Hit, Question, SearchPage, Suggestion

PAGE_LIMIT = 100
# As long as the catalog lets one search wait.
WAIT_SECONDS_MAX = 30.0


class Searching(Room[C]):
    """What a catalog finds."""

    @request
    def search(self, text: str | None = None, **question: Unpack[Question]) -> Call[SearchPage]:
        """Return one page of what matches; several values of one field mean any of them, several fields mean all.

        `text` is what one types into the search box: words, "a phrase", -without, begin*, `year:>=2020`. The other
        arguments narrow (`kind` to `valid_at`; `filter` is CQL2 as text or as its JSON, `bbox` west, south, east and
        north in degrees), count (`facet`, `tree` with `below`), order (`sort`), and choose the page (`limit`,
        `cursor`).

        Comes back: `total`, `hits` (each with `id`, `title`, `kind`, `project`, `licence`, `year`, and `files` with
        signed `link`s), `facets` by name, the `cursor` of the next page or None, and whether what is shown has only
        `similar` words, with `did_you_mean`. Raises Problem with every fault of the question, and Unreachable.
        """
        return get("/api/search", parameters_of(text, question))

    @series
    def search_pages(self, text: str | None = None, **question: Unpack[Question]) -> Listing[SearchPage]:
        """Yield every page of what matches, asking for the next one as it is wanted; arguments as for `search`."""
        return Listing("/api/search", parameters_of(text, question), read=lambda page: [page])

    @series
    def hits(self, text: str | None = None, **question: Unpack[Question]) -> Listing[Hit]:
        """Yield every object that matches; arguments as for `search`."""
        asked = {**question, "limit": question.get("limit", PAGE_LIMIT)}
        return Listing("/api/search", parameters_of(text, asked), read=lambda page: page["hits"])

    @request
    def suggest(self, text: str, *, limit: int | None = None) -> Call[list[Suggestion]]:
        """Return what a text may go on to."""
        return items("/api/suggest", said(q=text, limit=limit))

    @request
    def explain(self, object_id: str, text: str | None = None, **question: Unpack[Question]) -> Call[Explanation]:
        """Return why a question finds an object, or why not; arguments as for `search`."""
        return get(f"{object_path(object_id)}/explain", parameters_of(text, question))

    @request
    def similar(self, object_id: str, *, limit: int = 10) -> Call[list[AlikeObject]]:
        """Return what is most like an object, and what they share."""
        return items(f"{object_path(object_id)}/similar", said(limit=limit))

    @request
    def fields(self) -> Call[list[AskableField]]:
        """Return what can be asked by name, in texts and in filters."""
        return items("/api/fields")

    @property
    def written(self) -> str | None:
        """The token of the last write through this client: `after_write` of a search waits for it."""
        return self._wire.written

    @request
    def is_found(self, seconds: float) -> Steps[bool]:
        """Wait until searches see the last write through this client; return whether they did in time."""
        ends = time.monotonic() + seconds
        while self.written is not None:
            left = max(0.0, ends - time.monotonic())
            asked = said(limit=1, after_write=self.written, wait_seconds=min(left, WAIT_SECONDS_MAX))
            page = yield get("/api/search", asked)
            fresh = bool(page.get("fresh", True))
            if fresh or left <= WAIT_SECONDS_MAX:
                return fresh
        return True

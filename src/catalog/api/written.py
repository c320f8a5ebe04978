"""Reading one's own write: every write answers a token, and a search with it waits until the index has that write.

A token is sealed and fits its own principal alone. Of one object it holds id and revision, and the wait asks the index
for that document as searches see it. Of many it holds a moment: the wait asks the queue whether anything of this
caller's is left of before, then lets the index refresh, once for all who wait. Who does not ask pays nothing.
"""

import asyncio
import time
from datetime import datetime
from typing import Any
from uuid import UUID

from catalog.access.principals import Caller
from catalog.api import requests
from catalog.api.requests import AnyRequest
from catalog.engines import Engines
from catalog.errors import Fault, Invalid
from catalog.objects import awaited
from catalog.search.index import Index

HEADER = "Catalog-Written"
TOLD = {HEADER: "A token of this write: `after_write` of a search waits for it."}
WAIT_SECONDS = 5.0
WAIT_SECONDS_MAX = 30.0
TOKEN_CHARS_MAX = 400
LOOK_SECONDS_FIRST = 0.05
LOOK_SECONDS_MAX = 0.5
# As often as the index refreshes by itself, unless it is configured otherwise: waiting at most doubles that.
REFRESH_SECONDS = 1.0
# Each asks a few times a second. Who comes when so many wait is told how things stand.
WAITING_MAX = 200
_BOUND = "written"


def token_of(request: AnyRequest, caller: Caller, object_id: UUID, revision: int) -> dict[str, str]:
    """Return the header that tells of a write of one object."""
    return {HEADER: requests.cursors(request).seal([str(object_id), revision], _BOUND, caller.id)}


def token_until(request: AnyRequest, caller: Caller, moment: datetime) -> dict[str, str]:
    """Return the header that tells of everything that this caller wrote until that moment."""
    return {HEADER: requests.cursors(request).seal([moment.isoformat()], _BOUND, caller.id)}


class Refreshes:
    """Refreshes that searches wait for: one serves everybody who came before it began, and they keep their distance."""

    def __init__(self) -> None:
        self._next: asyncio.Task[None] | None = None
        self._began = -REFRESH_SECONDS
        self.count = 0
        self.waiting = 0

    async def next(self, index: Index) -> None:
        """Return when a refresh is done that began after this call; raises Unavailable."""
        if self._next is None:
            self._next = asyncio.create_task(self._refresh(index), name="refresh")
        # Who hangs up takes it from nobody else.
        await asyncio.shield(self._next)

    async def _refresh(self, index: Index) -> None:
        await asyncio.sleep(self._began + REFRESH_SECONDS - time.monotonic())
        self._next, self._began = None, time.monotonic()
        self.count += 1
        await index.refresh()


async def is_found(request: AnyRequest, caller: Caller, token: str, seconds: float) -> bool:
    """Return whether searches see the write of a token, waiting for so long; raises Invalid for a foreign token."""
    try:
        place = requests.cursors(request).open(token, _BOUND, caller.id)
    except Invalid:
        message = "this token is of another principal, or was altered; send the one that your write answered"
        raise Invalid("The query has faults.", faults=[Fault("/after_write", message)]) from None
    engines = requests.engines(request)
    refreshes: Refreshes = request.app.state.refreshes
    if refreshes.waiting >= WAITING_MAX:
        seconds = 0
    refreshes.waiting += 1
    try:
        return await _until(engines, refreshes, caller, place, time.monotonic() + seconds)
    finally:
        refreshes.waiting -= 1


async def _until(engines: Engines, refreshes: Refreshes, caller: Caller, place: list[Any], ends: float) -> bool:
    pause = LOOK_SECONDS_FIRST
    while not await _is_written(engines, caller, place):
        left = ends - time.monotonic()
        if left <= 0:
            return False
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 2, LOOK_SECONDS_MAX)
    if len(place) == 1:
        # Written, and seen after the next refresh.
        try:
            await asyncio.wait_for(refreshes.next(engines.index), max(0.0, ends - time.monotonic()))
        except TimeoutError:
            return False
    return True


async def _is_written(engines: Engines, caller: Caller, place: list[Any]) -> bool:
    if len(place) == 1:
        async with engines.database.transaction() as session:
            return not await awaited.any_waits(session, caller.audience, datetime.fromisoformat(place[0]))
    object_id, revision = UUID(place[0]), int(place[1])
    return (await engines.index.seen_revisions([object_id])).get(object_id, 0) >= revision

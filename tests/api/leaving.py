"""Requests that leave nothing behind, however busy the indexer is with what was asked before."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from catalog.engines import Engines
from tests.api.truth import everything, rows
from tests.conftest import eventually

Found = TypeVar("Found")

TRIES_MAX = 5


async def quiet(engines: Engines) -> dict[str, tuple[int, str]]:
    """Return all that is kept, once nothing is on its way any more."""

    async def nothing_due() -> bool:
        # A key that is looked at from time to time, because its bytes have not come, changes nothing but its entry.
        due = (
            "SELECT 1 FROM queue WHERE parked_at IS NULL"
            " AND topic NOT IN ('probe', 'rescan', 'retention', 'fixity', 'leftover')"
            " AND ready_at <= now() + CASE topic WHEN 'key' THEN interval '0' ELSE interval '1 minute' END"
        )
        return not await rows(engines, due)

    await eventually(nothing_due)
    return await everything(engines)


async def nothing_is_left_by(engines: Engines, ask: Callable[[], Awaitable[Found]]) -> Found:
    """Return what asking gives, having seen that all that is kept stayed as it was.

    What earlier tests left for the indexer may still change rows meanwhile. Then it is asked anew: whatever writes
    does so each time.
    """
    for _ in range(TRIES_MAX):
        before = await quiet(engines)
        found = await ask()
        after = await everything(engines)
        if after == before:
            break
    assert after == before
    return found

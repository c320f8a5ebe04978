"""Ending tasks that go on until they are cancelled, and answering those that wait for a batch."""

import asyncio
from typing import Any, TypeVar

Answer = TypeVar("Answer")

# A cancellation that arrives while a wait ends may be lost; then it is said again.
AGAIN_SECONDS = 1.0


def answer(future: asyncio.Future[Answer], found: Answer | Exception) -> None:
    """Give an answer, or a fault, to whoever waits for it; one who gave up has a future that is over already."""
    if future.done():
        return
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended, whatever with.

    One cancellation may not be enough: before Python 3.12, `asyncio.wait_for` swallows one that comes in the same
    turn as the end of what it waits for (CPython issue 86296), and pools and drivers wait with it.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        ended, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
        for task in ended:
            # Looked at, or it would be told when it is collected.
            _ = task.cancelled() or task.exception()

"""How a process of the API ends: it says so first, answers for a while, and finishes every request in hand."""

import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

import uvicorn


class _Draining(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, say_so: Callable[[], None], goes_on: timedelta) -> None:
        super().__init__(config)
        self._say_so = say_so
        self._goes_on_seconds = goes_on.total_seconds()
        self._ends_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Asked a second time, it ends at once.
        if self._ends_at is not None or not self._goes_on_seconds:
            super().handle_exit(sig, frame)
            return
        self._captured_signals.append(sig)
        self._ends_at = time.monotonic() + self._goes_on_seconds
        self._say_so()

    async def on_tick(self, counter: int) -> bool:
        over = self._ends_at is not None and time.monotonic() >= self._ends_at
        return await super().on_tick(counter) or over


def draining(config: uvicorn.Config, say_so: Callable[[], None], goes_on: timedelta) -> uvicorn.Server:
    """Return a server that calls `say_so` when it is asked to end, and ends so much later."""
    return _Draining(config, say_so, goes_on)

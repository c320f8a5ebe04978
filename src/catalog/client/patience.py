"""How often and how long a call is tried again."""

import random
import threading
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

TRIES_MAX = 6
PAUSE_SECONDS_FIRST = 0.25
PAUSE_SECONDS_MAX = 8.0
# 429: too many; 502, 503, 504: not now. Anything else would answer the same again.
PASSING = frozenset({429, 502, 503, 504})


class Patience:
    """What is left of the tries and the waiting time of one call."""

    def __init__(self, seconds: float, stop: threading.Event | None = None) -> None:
        self._seconds = seconds
        self._stop = stop or threading.Event()
        self.renew()

    def renew(self) -> None:
        """Begin anew: the last try got somewhere."""
        self._left = self._seconds
        self._tries = 1

    def pause(self, asked: float | None = None) -> float | None:
        """Return how long to wait before another try, `asked` seconds where the server said so; None when it is over.

        Whoever asks waits that long.
        """
        longest = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_FIRST * 2**self._tries)
        # Full jitter: clients that failed together must not come back together.
        pause = random.uniform(0, longest) if asked is None else asked  # ruff: ignore[S311]
        if self._tries >= TRIES_MAX or pause > self._left:
            return None
        self._tries += 1
        self._left -= pause
        return pause

    def lasts(self, asked: float | None = None) -> bool:
        """Wait before another try, as `pause` says, in this thread; False at once when it is over."""
        pause = self.pause(asked)
        return pause is not None and not self._stop.wait(pause)


def retry_after(response: httpx2.Response, now: datetime | None = None) -> float | None:
    """Return the seconds that Retry-After asks for (RFC 9110, section 10.2.3), None when it does not."""
    said = response.headers.get("retry-after", "").strip()
    if said.isdigit():
        return float(said)
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return None
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())

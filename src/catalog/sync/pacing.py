"""How fast the index is built anew: by what searches take while it is worked at, against what they take in its rests.

The engine itself counts the searches of an index and the time that they take, whoever asked them and of which process.
So nothing has to be probed, and nothing to be known of how fast this engine is, or of what else it does.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from catalog.errors import CatalogError
from catalog.search import concrete
from catalog.search.concrete import Searched
from catalog.search.index import Index

# Rests by how long the work before them took. While anybody searches there are some, or nothing would tell of calm.
REST_FIRST, REST_LEAST, REST_MOST = 1.0, 0.25, 8.0
REST_SECONDS_MAX = 3.0
# Searches that take so many times as long beside the work are disturbed by it.
DISTURBED = 1.5
# Those that take so many times as long in the rests as they once did are disturbed by others: then it gives way, too.
CROWDED = 2.0
# Nobody notices what takes less, and the engine counts whole milliseconds: a mean may be none at all.
UNNOTICED_SECONDS = 0.005
# What is remembered of a mean for each further search, and how fast the calmest one is forgotten with each slice.
KEPT, FORGOTTEN = 0.95, 1.01


@dataclass(slots=True)
class _Mean:
    """What a search takes of late, in seconds; None as long as there was none."""

    seconds: float | None = None

    def note(self, searched: Searched) -> None:
        if not searched.count:
            return
        found = searched.seconds / searched.count
        kept = KEPT**searched.count
        self.seconds = found if self.seconds is None else kept * self.seconds + (1 - kept) * found


@dataclass(slots=True)
class Pace:
    """What is known of searches beside one rebuild; a process that goes on with it learns anew."""

    rest: float = REST_FIRST
    _seen: Searched | None = None
    # Whether what is counted now falls into a rest: a slice may have failed, and others have been at work since.
    _resting: bool = False
    _beside: _Mean = field(default_factory=_Mean)
    _calm: _Mean = field(default_factory=_Mean)
    _calmest: float | None = None

    async def work(self, index: Index) -> None:
        """Note that a slice begins."""
        # Whether there is an engine, the slice will find out.
        with suppress(CatalogError):
            self.begins(await concrete.searched(index))

    async def rest_after(self, index: Index, took: float) -> None:
        """Rest after a slice that took so many seconds."""
        with suppress(CatalogError):
            self.ends(await concrete.searched(index))
        await asyncio.sleep(min(took * self.rest, REST_SECONDS_MAX))

    def begins(self, so_far: Searched) -> None:
        """Learn at the beginning of a slice from what was searched in the rest before it."""
        if self._seen is not None and self._resting:
            self._calm.note(so_far.since(self._seen))
        if self._calm.seconds is not None:
            remembered = self._calm.seconds if self._calmest is None else self._calmest * FORGOTTEN
            self._calmest = max(min(self._calm.seconds, remembered), UNNOTICED_SECONDS)
        self._seen, self._resting = so_far, False

    def ends(self, so_far: Searched) -> None:
        """Learn at the end of a slice from what was searched beside it, and choose the next rest."""
        beside = Searched(0, 0.0) if self._seen is None else so_far.since(self._seen)
        self._beside.note(beside)
        self._seen, self._resting = so_far, True
        if not beside.count:
            # Nobody is in its way. Whoever comes next meets one slice.
            self.rest = 0.0 if self.rest <= REST_LEAST else self.rest / 2
        elif self._disturbs():
            self.rest = min(max(self.rest, REST_LEAST) * 2, REST_MOST)
        else:
            self.rest = max(self.rest * 0.8, REST_LEAST)

    def _disturbs(self) -> bool:
        calm, calmest, beside = self._calm.seconds, self._calmest, self._beside.seconds
        if calm is None or calmest is None or beside is None:
            return False
        return beside > DISTURBED * max(calm, UNNOTICED_SECONDS) or calm > CROWDED * calmest

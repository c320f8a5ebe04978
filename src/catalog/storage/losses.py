"""How many events a store says it could not tell: MinIO counts them for Prometheus.

Without a queue folder, or where that is full, MinIO drops what a receiver does not take, and counts. The counters have
the names of its metrics version 2 (`/minio/v2/metrics/cluster`) or 3 (`/minio/metrics/v3/notification`).
"""

import re
from dataclasses import dataclass, field

import httpx2

from catalog.errors import Unavailable

PATIENCE_SECONDS = 10.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024

# One for a whole server, whichever targets it has: those of each target count the same events once more.
_COUNTER = re.compile(
    r"^minio_(?:notify|notification)_events_(?:errors|skipped)_total(?:\{[^}]*\})?\s+([0-9.eE+]+)(?:\s|$)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class LossCounter:
    """Where the catalog's own store counts what it could not tell."""

    url: str
    token: str | None = field(default=None, repr=False)

    async def read(self) -> int:
        """Return how many events were lost since the store's servers were started; raises Unavailable."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        try:
            async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE_SECONDS) as client:
                answer = await client.get(self.url, headers=headers)
        except httpx2.HTTPError as fault:
            raise Unavailable(f"The store's metrics cannot be read: {type(fault).__name__}.") from None
        if answer.status_code != httpx2.codes.OK or len(answer.content) > ANSWER_BYTES_MAX:
            raise Unavailable(f"The store's metrics cannot be read: it answered {answer.status_code}.")
        return counted(answer.text)


def counted(metrics: str) -> int:
    """Return the sum of the counters of lost events over all servers; raises Unavailable where there is none."""
    found = [float(value) for value in _COUNTER.findall(metrics)]
    if not found:
        raise Unavailable("The store's metrics do not count lost events: MinIO does, at /minio/v2/metrics/cluster.")
    return int(sum(found))

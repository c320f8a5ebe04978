"""What a receiver is told of a store, and how a webhook says it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from catalog.alerts.tables import Channel
from catalog.storage.backends import Health, Tried

TYPES = {Health.FAILING: "backend.failing", Health.HEALTHY: "backend.recovered"}


@dataclass(frozen=True, slots=True)
class NoticeView:
    """One notice as its receiver is told it."""

    id: UUID
    backend: str
    name: str
    organization: str | None
    state: Health
    since: datetime
    faults: Sequence[Tried]
    channel: Channel
    principal_id: UUID | None
    failures: int


def body_of(notice: NoticeView, *, address: str, moment: datetime) -> bytes:
    """Return what is posted; `address` is where the catalog is."""
    return msgspec.json.encode(
        {
            "type": TYPES[notice.state],
            "timestamp": moment,
            "data": {
                "backend": {"id": notice.backend, "name": notice.name, "organization": notice.organization},
                "state": notice.state.value,
                "since": notice.since,
                "faults": [{"action": one.action, "reason": one.reason} for one in notice.faults],
                "page": f"{address}/organizations/{notice.organization}",
            },
        }
    )

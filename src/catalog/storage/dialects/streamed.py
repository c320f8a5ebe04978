"""What a store put into a stream, which says not how it speaks: told by what it looks like.

A relay of SeaweedFS' webhook, or of AWS' event bus, is known by names that S3's event records do not have; all else is
read as those, which nearly everybody sends.
"""

import msgspec

from catalog.storage.dialects import eventbridge, noticed, s3, seaweedfs
from catalog.storage.dialects.noticed import Noticed

BODY_BYTES_MAX = max(s3.BODY_BYTES_MAX, seaweedfs.BODY_BYTES_MAX, eventbridge.BODY_BYTES_MAX)


class _Look(msgspec.Struct, rename={"seaweedfs": "event_type", "eventbridge": "detail-type"}):
    seaweedfs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    eventbridge: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def parse(body: bytes) -> list[Noticed]:
    """Read what any store sends; raises UnreadableNotification, and nothing else."""
    look = noticed.read(body, _Look, bytes_max=BODY_BYTES_MAX)
    if look.seaweedfs is not msgspec.UNSET:
        return seaweedfs.parse(body)
    if look.eventbridge is not msgspec.UNSET:
        return eventbridge.parse(body)
    return s3.parse(body)

"""What AWS's event bus sends of S3: one event a body, keys written as they are.

Its API destinations send a header of one's choice, so that it speaks with a token as every other store does.
"""

import msgspec

from catalog.storage.dialects import noticed
from catalog.storage.dialects.noticed import Noticed

# An event has at most 256 KiB ("Amazon EventBridge event size").
BODY_BYTES_MAX = 256 * 1024
SOURCE = "aws.s3"


class _Mentioned(msgspec.Struct):
    key: str
    sequencer: str | None = None


class _Holding(msgspec.Struct):
    name: str


class _Detail(msgspec.Struct):
    bucket: _Holding | None = None
    # Absent where an event is about something else than one object.
    object: _Mentioned | None = None


class _Event(msgspec.Struct, rename={"event": "detail-type"}):
    event: str
    source: str
    detail: _Detail


def parse(body: bytes) -> list[Noticed]:
    """Read an event of the bus; one of another service, or of no object, gives an empty list.

    Format: AWS "Amazon S3 event message structure for Amazon EventBridge". Raises UnreadableNotification, and nothing
    else.
    """
    told = noticed.read(body, _Event, bytes_max=BODY_BYTES_MAX)
    bucket, one = told.detail.bucket, told.detail.object
    if told.source != SOURCE or bucket is None or one is None:
        return []
    return [noticed.of(bucket.name, one.key, told.event, one.sequencer)]

"""S3's event records, as MinIO, AWS, Ceph and RustFS send them.

They differ in little: MinIO and RustFS send one record in each body and name the key beside it, AWS tests a new target
with an event without records, Ceph leaves out `s3:` before an event's name and, by version, encodes keys or does not.
"""

from urllib.parse import unquote_to_bytes

import msgspec

from catalog.storage.dialects import noticed
from catalog.storage.dialects.noticed import Noticed, UnreadableNotification

# One record has about 1 kB; AWS delivers at most 256 KiB through its own queues.
BODY_BYTES_MAX = 256 * 1024
RECORDS_MAX = 1_000
CEPH = "ceph:s3"


class _Object(msgspec.Struct):
    key: str
    sequencer: str | None = None


class _Bucket(msgspec.Struct):
    name: str


class _Place(msgspec.Struct):
    bucket: _Bucket
    object: _Object


class _Record(msgspec.Struct, rename={"event": "eventName", "source": "eventSource"}):
    event: str
    s3: _Place
    source: str = ""


class _Records(msgspec.Struct, rename={"records": "Records"}):
    # Absent in the event with which AWS tests a new target.
    records: list[_Record] | None = None


def parse(body: bytes) -> list[Noticed]:
    """Read S3 event records; an event without records gives an empty list.

    Format: AWS "Event message structure", versions 2.x. Raises UnreadableNotification, and nothing else.
    """
    found: list[Noticed] = []
    unreadable: UnreadableNotification | None = None
    records = noticed.read(body, _Records, bytes_max=BODY_BYTES_MAX).records or []
    if len(records) > RECORDS_MAX:
        raise UnreadableNotification(f"The body has {len(records)} records and may have {RECORDS_MAX}.")
    for record in records:
        try:
            found += _noticed_in(record)
        except UnreadableNotification as wrong:
            unreadable = unreadable or wrong
    if unreadable is not None:
        # It is no reason to forget the records beside it.
        raise UnreadableNotification(unreadable.detail, beside=found)
    return found


def _noticed_in(record: _Record) -> list[Noticed]:
    # Ceph encodes keys in some versions and not in others: both are looked at, and one is not there.
    readings = (_form_decoded, str) if record.source == CEPH else (_form_decoded,)
    found: dict[str, Noticed] = {}
    unreadable: UnreadableNotification | None = None
    for reading in readings:
        try:
            one = _noticed(record, reading(record.s3.object.key))
        except UnreadableNotification as wrong:
            unreadable = unreadable or wrong
        else:
            found[one.key] = one
    if unreadable is not None and not found:
        raise unreadable
    return list(found.values())


def _noticed(record: _Record, key: str) -> Noticed:
    event = record.event.removeprefix("s3:")
    return noticed.of(record.s3.bucket.name, key, event, record.s3.object.sequencer)


def _form_decoded(key: str) -> str:
    """Decode a key once, `+` as space: MinIO and AWS form-encode, so `a+b%20` arrives as `a%2Bb%2520`."""
    try:
        return unquote_to_bytes(key.replace("+", " ")).decode()
    except UnicodeError:
        raise UnreadableNotification("A record's key is not UTF-8.") from None

"""What a bucket tells us, read into "look at this key".

Pure: bytes in, values out, and whatever the bytes are, nothing but UnreadableNotification is raised. A notification
is a hint and never the truth, so nothing else of it is kept: size, hash and versions are asked of the store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote_to_bytes

import msgspec

from catalog.errors import CatalogError
from catalog.storage.keys import KEY_BYTES_MAX, MULTIPART_FOLDER, VERSIONS_SUFFIX

# One record has about 1 kB; AWS delivers at most 256 KiB through its own queues.
S3_BODY_BYTES_MAX = 256 * 1024
# SeaweedFS lists a file's chunks, about 200 bytes for each 4 MiB, up to 10,000, before and after a change.
SEAWEEDFS_BODY_BYTES_MAX = 4 * 1024 * 1024
RECORDS_MAX = 1_000
_BUCKETS = "/buckets/"
_VERSION_ID = "Seaweed-X-Amz-Version-Id"
_LATEST_VERSION_ID = "Seaweed-X-Amz-Latest-Version-Id"


@dataclass(frozen=True, slots=True)
class Noticed:
    """Look at this key. `sequencer` orders events of one key where the store gives one; nothing may depend on it."""

    bucket: str
    key: str
    event: str
    sequencer: str | None = None


class UnreadableNotification(CatalogError):
    """The body is no notification that we know; it is kept with this reason. `beside` is what could be read of it."""

    def __init__(self, detail: str, *, beside: Sequence[Noticed] = ()) -> None:
        super().__init__(detail)
        self.beside = tuple(beside)


class _S3Object(msgspec.Struct):
    key: str
    sequencer: str | None = None


class _S3Bucket(msgspec.Struct):
    name: str


class _S3Place(msgspec.Struct):
    bucket: _S3Bucket
    object: _S3Object


class _S3Record(msgspec.Struct, rename={"event": "eventName", "source": "eventSource"}):
    event: str
    s3: _S3Place
    source: str = ""


class _S3Body(msgspec.Struct, rename={"records": "Records"}):
    # Absent in the event with which AWS tests a new target.
    records: list[_S3Record] | None = None


class _Entry(msgspec.Struct):
    name: str = ""
    is_directory: bool = False
    extended: dict[str, str] = {}


class _Change(msgspec.Struct):
    old_entry: _Entry | None = None
    new_entry: _Entry | None = None
    new_parent_path: str = ""


class _SeaweedBody(msgspec.Struct):
    event_type: str
    key: str
    message: _Change


def parse_s3(body: bytes) -> list[Noticed]:
    """Read S3 event records as MinIO, AWS and Ceph send them; an event without records gives an empty list.

    Format: AWS "Event message structure", versions 2.x. Raises UnreadableNotification, and nothing else.
    """
    noticed: list[Noticed] = []
    unreadable: UnreadableNotification | None = None
    records = _read(body, _S3Body, bytes_max=S3_BODY_BYTES_MAX).records or []
    if len(records) > RECORDS_MAX:
        raise UnreadableNotification(f"The body has {len(records)} records and may have {RECORDS_MAX}.")
    for record in records:
        try:
            noticed += _noticed_in(record)
        except UnreadableNotification as wrong:
            unreadable = unreadable or wrong
    if unreadable is not None:
        # It is no reason to forget the records beside it.
        raise UnreadableNotification(unreadable.detail, beside=noticed)
    return noticed


def _noticed_in(record: _S3Record) -> list[Noticed]:
    sent = record.s3.object.key
    keys = [_form_decoded(sent)]
    if record.source == "ceph:s3" and sent not in keys:
        # Ceph encodes keys in some versions and not in others: both are looked at, and one is not there.
        keys.append(sent)
    event = record.event.removeprefix("s3:")
    return [_noticed(record.s3.bucket.name, key, event, record.s3.object.sequencer) for key in keys]


def parse_seaweedfs(body: bytes) -> list[Noticed]:
    """Read what SeaweedFS' filer tells its webhook; folders and its own housekeeping give an empty list.

    The filer speaks of files, not of objects: a bucket is a folder under /buckets, and with versions on an object is
    a folder `<key>.versions` of files `v_<version id>`. Such a file, and the folder's note which version is the
    latest, both say "look at <key>"; the second comes when the store answers a HEAD with it.
    Raises UnreadableNotification, and nothing else.
    """
    told = _read(body, _SeaweedBody, bytes_max=SEAWEEDFS_BODY_BYTES_MAX)
    before, after = told.message.old_entry, told.message.new_entry
    paths = [told.key]
    if after is not None and told.message.new_parent_path:
        # Renaming names the old path; the new one is in the entry.
        paths.append(f"{told.message.new_parent_path}/{after.name}")
    entry = _Entry(
        is_directory=any(seen.is_directory for seen in (before, after) if seen is not None),
        extended={**(before.extended if before else {}), **(after.extended if after else {})},
    )
    objects = dict.fromkeys(_object_at(path, entry) for path in paths)
    return [_noticed(bucket, key, told.event_type, None) for bucket, key in filter(None, objects)]


def _object_at(path: str, entry: _Entry) -> tuple[str, str] | None:
    """Find the object that a filer entry belongs to; None for folders, part uploads and what is in no bucket."""
    bucket, _, key = path.removeprefix(_BUCKETS).partition("/")
    if not path.startswith(_BUCKETS) or bucket.startswith(".") or not key or key.split("/", 1)[0] == MULTIPART_FOLDER:
        return None
    if entry.is_directory:
        is_object = key.endswith(VERSIONS_SUFFIX) and _LATEST_VERSION_ID in entry.extended
        return (bucket, key.removesuffix(VERSIONS_SUFFIX)) if is_object else None
    folder, _, name = key.rpartition("/")
    if _VERSION_ID in entry.extended and folder.endswith(VERSIONS_SUFFIX) and name.startswith("v_"):
        return bucket, folder.removesuffix(VERSIONS_SUFFIX)
    return bucket, key


Body = TypeVar("Body")


def _read(body: bytes, kind: type[Body], *, bytes_max: int) -> Body:
    if len(body) > bytes_max:
        raise UnreadableNotification(f"The body has {len(body)} bytes and may have {bytes_max}.")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise UnreadableNotification(f"The body is not what this store sends: {wrong}") from None
    except RecursionError:
        raise UnreadableNotification("The body is nested deeper than any store's.") from None


def _form_decoded(key: str) -> str:
    """Decode a key once, `+` as space: MinIO and AWS form-encode, so `a+b%20` arrives as `a%2Bb%2520`."""
    try:
        return unquote_to_bytes(key.replace("+", " ")).decode()
    except UnicodeError:
        raise UnreadableNotification("A record's key is not UTF-8.") from None


def _noticed(bucket: str, key: str, event: str, sequencer: str | None) -> Noticed:
    """Make the hint, refusing what could be no key or what the database cannot hold."""
    if not bucket or not key:
        raise UnreadableNotification("A record has no bucket or no key.")
    if any("\0" in text for text in (bucket, key, event, sequencer or "")):
        raise UnreadableNotification("A record has a NUL character.")
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        raise UnreadableNotification("A record's key has half of a surrogate pair.") from None
    if size_bytes > KEY_BYTES_MAX:
        raise UnreadableNotification(f"A record's key has {size_bytes} bytes; S3 keys have at most {KEY_BYTES_MAX}.")
    return Noticed(bucket, key, event, sequencer)

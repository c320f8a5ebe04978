"""What SeaweedFS' filer tells its webhook.

The filer speaks of files, not of objects: a bucket is a folder under /buckets, keys are written as they are, and it
tells of folders and of its own housekeeping too.
"""

import msgspec

from catalog.storage.dialects import noticed
from catalog.storage.dialects.noticed import Noticed
from catalog.storage.keys import MULTIPART_FOLDER, VERSIONS_SUFFIX

# It lists a file's chunks, about 200 bytes for each 4 MiB, up to 10,000, before and after a change.
BODY_BYTES_MAX = 4 * 1024 * 1024
_BUCKETS = "/buckets/"
_VERSION_ID = "Seaweed-X-Amz-Version-Id"
_LATEST_VERSION_ID = "Seaweed-X-Amz-Latest-Version-Id"


class _Entry(msgspec.Struct):
    name: str = ""
    is_directory: bool = False
    extended: dict[str, str] = {}


class _Change(msgspec.Struct):
    old_entry: _Entry | None = None
    new_entry: _Entry | None = None
    new_parent_path: str = ""


class _Told(msgspec.Struct):
    event_type: str
    key: str
    message: _Change


def parse(body: bytes) -> list[Noticed]:
    """Read what SeaweedFS' filer tells its webhook; folders and its own housekeeping give an empty list.

    The filer speaks of files, not of objects: a bucket is a folder under /buckets, and with versions on an object is
    a folder `<key>.versions` of files `v_<version id>`. Such a file, and the folder's note which version is the
    latest, both say "look at <key>"; the second comes when the store answers a HEAD with it.
    Raises UnreadableNotification, and nothing else.
    """
    told = noticed.read(body, _Told, bytes_max=BODY_BYTES_MAX)
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
    return [noticed.of(bucket, key, told.event_type, None) for bucket, key in filter(None, objects)]


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

"""How the bucket is laid out: `<prefix>/<org>/<project>/uploads/<object id>/<upload id>/<file path>`.

Beside `uploads/` a project has `source/`, where others deliver, and `harmonized/`, where processing puts its results:
the place tells the stage.

Every upload has its own id in the key, so a key is never used twice and holds one file. A prefix always means
prefix plus slash: `proj1` never reaches into `proj10`. File paths are kept byte for byte, in whatever Unicode
normal form they came.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from catalog.errors import Invalid

# S3 User Guide, "Naming Amazon S3 objects": the key's UTF-8 encoding is at most 1,024 bytes long.
KEY_BYTES_MAX = 1_024
# Where SeaweedFS keeps an object's versions and an upload's parts: it hides such names from listings.
VERSIONS_SUFFIX = ".versions"
MULTIPART_FOLDER = ".uploads"
# SeaweedFS and MinIO keep each part of a key as one file name, at most 255 bytes; with versions on, SeaweedFS adds
# its suffix to the last part and answers 500 from 247 bytes on (tried on 4.48). One limit for all parts and stores:
# an object may move between them.
PART_BYTES_MAX = 255 - len(VERSIONS_SUFFIX)

# Embeddings, overrides and isolates (Unicode, section 23.2): `a\u202Egpj.exe` is shown as if it were a picture.
REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069]")

# What locations call the catalog's own store.
OWN = "default"
# The folder there of what the application keeps for itself: no organization is called so, and nothing in it is data.
APPLICATION = "app"
# Where trying a store leaves its few bytes for a moment. No project is called so: names begin with a letter or digit.
PROBES = ".probe"

_UPLOADS = "uploads"
_PROJECT = re.compile(r"[a-z0-9][a-z0-9-]{1,62}/[a-z0-9][a-z0-9-]{1,62}", re.ASCII)


class Stage(StrEnum):
    """How far bytes have come in a project."""

    SOURCE = "source"
    UPLOADED = "uploaded"
    HARMONIZED = "harmonized"


# The longest first: what was uploaded into the source is uploaded.
STAGES = {
    "source/uploads/": Stage.UPLOADED,
    f"{_UPLOADS}/": Stage.UPLOADED,
    "source/": Stage.SOURCE,
    "harmonized/": Stage.HARMONIZED,
}


class WrongPath(Invalid, ValueError):
    """A file's path cannot be kept in a store; the text says why and how to mend it."""


@dataclass(frozen=True, slots=True)
class UploadKey:
    """The parts of a key that one of our upload tickets was made for."""

    project: str
    object_id: UUID
    upload_id: UUID
    path: str


def upload_key(prefix: str, upload: UploadKey) -> str:
    """Give the key of one upload; raises WrongPath when its path cannot be kept. Mirror of `upload_of`."""
    folder = _folder(prefix, upload.project, upload.object_id, upload.upload_id)
    return folder + check_path(upload.path, room_bytes=KEY_BYTES_MAX - len(folder.encode()))


def upload_of(prefix: str, key: str) -> UploadKey | None:
    """Take a key apart; None when it lies outside `prefix` or is none of ours. Mirror of `upload_key`."""
    within = f"{prefix}/" if prefix else ""
    if not key.startswith(within):
        return None
    parts = key.removeprefix(within).split("/", 5)
    if len(parts) != 6 or parts[2] != _UPLOADS:  # noqa: PLR2004 - org, project, uploads, object, upload, path.
        return None
    try:
        upload = UploadKey(f"{parts[0]}/{parts[1]}", UUID(parts[3]), UUID(parts[4]), parts[5])
        return upload if upload_key(prefix, upload) == key else None
    except ValueError:
        return None


def room_bytes(prefix: str, project: str) -> int:
    """Say how many bytes a file's path may have in this project."""
    nobody = UUID(int=0)
    return KEY_BYTES_MAX - len(_folder(prefix, project, nobody, nobody).encode())


def check_path(path: str, *, room_bytes: int = KEY_BYTES_MAX) -> str:
    """Give back `path`, unchanged, when every supported store can keep it; raises WrongPath when one could not."""
    fault = _keeping_fault(path, room_bytes)
    if fault is not None:
        raise WrongPath(f"The path of a file cannot be kept: {fault}.")
    return path


def nameable(key: str) -> bool:
    """Whether a request can name this key: `.` and `..` in an address are steps, which clients and servers take.

    What is asked for then is another key, under a signature that does not fit it (RFC 3986, section 5.2.4).
    """
    return not {".", ".."} & set(key.split("/"))


def path_fault(path: str, *, room_bytes: int) -> str | None:
    """Say what is wrong with a file's path and how to mend it; None when nothing is.

    A path is relative, its parts are joined by `/`, and it has at most `room_bytes` bytes of UTF-8 (see
    `room_bytes`). Refused, because not every supported store keeps it (tried on SeaweedFS 4.48 and MinIO) or not
    every system can save it, or show it as it is: empty, `.` and `..` parts; backslashes; control characters,
    noncharacters and what reorders a text; parts
    over PART_BYTES_MAX bytes, called `.uploads` or ending in `.versions`.
    """
    return _reordering_fault(path) or _keeping_fault(path, room_bytes)


def _keeping_fault(path: str, room_bytes: int) -> str | None:
    # Without what is refused only since people are misled by it: keys of before are still keys.
    return _character_fault(path) or _shape_fault(path) or _size_fault(path, room_bytes)


def _reordering_fault(path: str) -> str | None:
    found = REORDERING.search(path)
    if found is None:
        return None
    place = found.start() + 1
    return f"remove the character U+{ord(found[0]):04X} at place {place}: it reorders what is shown of a name"


def _character_fault(path: str) -> str | None:
    if path.isascii() and path.isprintable() and "\\" not in path:
        return None
    for place, character in enumerate(path, 1):
        if character == "\\":
            return f"join folders with /, not with the backslash at place {place}"
        category = unicodedata.category(character)
        if category == "Cs":
            return f"send the whole character at place {place}: it is half of a surrogate pair"
        # The last two code points of each plane are noncharacters (Unicode, section 23.7).
        if category == "Cc" or ord(character) & 0xFFFE == 0xFFFE:  # noqa: PLR2004 - said on the line above.
            return f"remove the character U+{ord(character):04X} at place {place}: no file name may have it"
    return None


def _shape_fault(path: str) -> str | None:
    parts = path.split("/")
    if not path:
        return "name a file, such as data/weights.onnx"
    if parts[0] == "":
        return "leave out the slash at the start: paths begin at the object's own root"
    if parts[-1] == "":
        return "leave out the slash at the end: a path names a file, not a folder"
    if "" in parts:
        return "give every folder a name: there are two slashes in a row"
    if "." in parts or ".." in parts:
        return "write the path from the object's own root, without . and .. parts"
    for part in parts:
        if part == MULTIPART_FOLDER or part.endswith(VERSIONS_SUFFIX):
            return (
                f"rename {part}: some stores keep names like {MULTIPART_FOLDER} and *{VERSIONS_SUFFIX} for themselves"
            )
    return None


def _size_fault(path: str, room_bytes: int) -> str | None:
    for part in path.split("/"):
        size_bytes = len(part.encode())
        if size_bytes > PART_BYTES_MAX:
            return f"shorten the name {part[:20]}…: it has {size_bytes} bytes in UTF-8 and may have {PART_BYTES_MAX}"
    size_bytes = len(path.encode())
    if size_bytes > room_bytes:
        return (
            f"shorten the path: it has {size_bytes} bytes in UTF-8 and may have {room_bytes} here, because the whole "
            f"key, with project and ids, is limited to {KEY_BYTES_MAX}"
        )
    return None


def stage_of(prefix: str, project: str, key: str) -> Stage | None:
    """Return the stage that a key's place in its project tells; None where it lies in none of these folders."""
    folder = f"{prefix}/{project}/" if prefix else f"{project}/"
    below = key.removeprefix(folder)
    return None if below == key else stage_below(below)


def stage_below(below: str) -> Stage | None:
    """Return the stage that a place tells, written from where the folders of the stages lie."""
    return next((stage for place, stage in STAGES.items() if below.startswith(place)), None)


def place_of(prefix: str, project: str, place: str) -> str:
    """Give the prefix of a place in a project, as `uploads/gateway-7/`; nothing stands for all of the project.

    It ends in a slash. Raises WrongPath when a place does not, or could not be part of a key.
    """
    within = f"{prefix}/{project}/" if prefix else f"{project}/"
    if place:
        if not place.endswith("/"):
            raise WrongPath(f"A place ends in a slash: write {place}/, or it would reach into {place}0 too.")
        fault = path_fault(place[:-1], room_bytes=KEY_BYTES_MAX - len(within.encode()) - 1)
        if fault is not None:
            raise WrongPath(f"The place cannot be part of a key: {fault}.")
    return within + place


def _folder(prefix: str, project: str, object_id: UUID, upload_id: UUID) -> str:
    if not _PROJECT.fullmatch(project):
        raise ValueError(f"{project!r} is no <org>/<project>")
    within = f"{prefix}/" if prefix else ""
    return f"{within}{project}/{_UPLOADS}/{object_id}/{upload_id}/"

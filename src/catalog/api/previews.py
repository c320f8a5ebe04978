"""What is shown of a file without downloading it: a link for a picture or sound, the beginning of a text or table.

No routes: the pages show it. Types that could run something are shown as the text they are, or not at all
(docs/adr/0031-previews.md).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from catalog.access.principals import Caller
from catalog.api import files, links, requests
from catalog.api.requests import AnyRequest
from catalog.database import now
from catalog.errors import Conflict
from catalog.objects.reading import Entry, FileView
from catalog.objects.tables import FileState
from catalog.storage.signing import Link

FOLDER: Final = "preview"
EXCERPT_BYTES_MAX = 64 * 1024
# What a browser draws at once without trouble.
PICTURE_BYTES_MAX = 20 * 1024 * 1024
# Neither SVG nor anything else that holds scripts.
PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"})
SOUNDS = frozenset(
    {"audio/mpeg", "audio/wav", "audio/x-wav", "audio/wave", "audio/ogg", "audio/flac", "audio/mp4", "audio/aac"}
)
TABLES = {"text/csv": ",", "text/tab-separated-values": "\t"}
TEXTS = frozenset(
    {"application/json", "application/x-ndjson", "application/xml", "application/yaml", "application/toml"}
)


class Form(StrEnum):
    """How a file is shown."""

    PICTURE = "picture"
    SOUND = "sound"
    TABLE = "table"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Preview:
    """A file and what is shown of it: a link, or how it begins; neither where it is too large or of another type."""

    entry: Entry
    file: FileView
    form: Form | None
    link: Link | None = None
    excerpt: bytes = b""

    @property
    def whole(self) -> bool:
        """Whether the excerpt is all of it."""
        return len(self.excerpt) == self.file.size


def form_of(media_type: str, size: int) -> Form | None:
    """Return how a file of this type and size, in bytes, is shown; none where it is not."""
    plain = media_type.partition(";")[0].strip().lower()
    if plain in PICTURES:
        return Form.PICTURE if size <= PICTURE_BYTES_MAX else None
    if plain in SOUNDS:
        return Form.SOUND
    if plain in TABLES:
        return Form.TABLE
    return Form.TEXT if plain.startswith("text/") or plain in TEXTS or plain.endswith("+json") else None


async def read(request: AnyRequest, caller: Caller, *, base: str) -> Preview:
    """Return what is shown of the file that the path below `base` names.

    Raises NotFound, Gone, Conflict where the bytes are not there, Unavailable where the store is away.
    """
    entry, file = await files.found(request, caller, base, FOLDER)
    if file.state != FileState.AVAILABLE or file.key is None or file.backend is None:
        raise Conflict(f"The bytes of {file.path!r} are {file.state}; only an available file can be shown.")
    form = form_of(file.media_type, file.size)
    if form is None:
        return Preview(entry, file, None)
    at = now()
    if form in {Form.PICTURE, Form.SOUND}:
        return Preview(entry, file, form, link=await links.inline(request, caller, entry.id, file, at))
    excerpt = b""
    if file.size:
        store = await requests.engines(request).store_of(file.backend)
        excerpt = await store.beginning(file.key, version_id=file.store_version, most_bytes=EXCERPT_BYTES_MAX)
        links.shown(request, caller, entry.id, file.path, at)
    return Preview(entry, file, form, excerpt=excerpt)

"""What every dialect is read into: "look at this key"; and what is refused, whichever store said it.

Pure: bytes in, values out, and whatever the bytes are, nothing but UnreadableNotification is raised. A notification
is a hint and never the truth, so nothing else of it is kept: size, hash and versions are asked of the store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from catalog.errors import CatalogError
from catalog.storage.keys import KEY_BYTES_MAX


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


Body = TypeVar("Body")


def read(body: bytes, kind: type[Body], *, bytes_max: int) -> Body:
    """Return a body of up to so many bytes as its shape; raises UnreadableNotification."""
    if len(body) > bytes_max:
        raise UnreadableNotification(f"The body has {len(body)} bytes and may have {bytes_max}.")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise UnreadableNotification(f"The body is not what this store sends: {wrong}") from None
    except RecursionError:
        raise UnreadableNotification("The body is nested deeper than any store's.") from None


def of(bucket: str, key: str, event: str, sequencer: str | None) -> Noticed:
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

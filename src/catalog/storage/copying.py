"""Bytes from one store to another, as a stream: each store is asked with its own keys, and no file is held whole.

Whether they arrived is not said here: whoever copied reads them back.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from catalog.database import now
from catalog.errors import CatalogError, Conflict, NotFound
from catalog.storage.parts import Cut
from catalog.storage.s3 import Store


class OtherBytes(Conflict):
    """What lies at the source is not what was recorded; `sha256` is that of what was read, None where it was not."""

    def __init__(self, detail: str, *, sha256: str | None) -> None:
        super().__init__(detail)
        self.sha256 = sha256


class Throttle:
    """Lets at most so many bytes a second pass, all that ask together; None lets everything pass."""

    def __init__(self, bytes_per_second: int | None) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0

    def __repr__(self) -> str:
        return f"Throttle({self._rate})"

    async def take(self, size: int) -> None:
        """Return when so many bytes may pass."""
        if self._rate is None:
            return
        at = time.monotonic()
        wait = self._free_at - at
        self._free_at = max(self._free_at, at) + size / self._rate
        if wait > 0:
            await asyncio.sleep(wait)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast files are moved, and how long their bytes stay where they were, after links to them were given."""

    throttle: Throttle
    grace: timedelta


@dataclass(frozen=True, slots=True)
class Load:
    """What is copied: which bytes, from where, and to which key."""

    key: str
    store_version: str | None
    size: int
    sha256: str
    media_type: str
    target_key: str


async def must_lie_there(source: Store, load: Load) -> None:
    """Raise NotFound where the source has nothing, OtherBytes where it is of another length."""
    found = await source.stat(load.key, version_id=load.store_version)
    if found is None:
        raise NotFound("The source has no bytes under this key any more.")
    if found.size != load.size:
        raise OtherBytes(f"The source has {found.size:,} bytes there, not {load.size:,}.", sha256=found.sha256)


async def copy(source: Store, target: Store, load: Load, throttle: Throttle) -> None:
    """Bring a file in one request; raises Taken where something lies at the target, OtherBytes.

    The target is told the hash and takes no other bytes.
    """
    read = hashlib.sha256()
    taken = 0
    async with source.reading(load.key, version_id=load.store_version) as chunks:

        async def passing() -> AsyncIterator[bytes]:
            nonlocal taken
            async for chunk in chunks:
                await throttle.take(len(chunk))
                read.update(chunk)
                taken += len(chunk)
                yield chunk

        try:
            await target.bring(
                load.target_key, passing(), size=load.size, sha256=load.sha256, media_type=load.media_type, now=now()
            )
        except CatalogError:
            if taken == load.size and read.hexdigest() != load.sha256:
                # The target refused them for that, in words of its own.
                raise OtherBytes("The source has other bytes there.", sha256=read.hexdigest()) from None
            raise


async def copy_part(
    source: Store, target: Store, load: Load, throttle: Throttle, *, cut: Cut, multipart_id: str, number: int
) -> None:
    """Bring one part of a large file; sent again, it replaces what came before."""
    size = cut.bytes_of(number)
    first = (number - 1) * cut.part_size
    async with source.reading(load.key, version_id=load.store_version, span=(first, size)) as chunks:

        async def passing() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                await throttle.take(len(chunk))
                yield chunk

        await target.bring_part(load.target_key, multipart_id, number, passing(), size=size, now=now())

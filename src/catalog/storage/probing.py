"""What a backend's keys can do, found by doing it: each action that a use needs is tried, and its outcome told.

What is written is a few bytes under a folder that no project can be called, and is removed again.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

from catalog.database import now
from catalog.errors import CatalogError, NotFound
from catalog.storage.backends import Tried
from catalog.storage.keys import PROBES
from catalog.storage.s3 import Store

_MEDIA_TYPE = "application/octet-stream"


class Failed(CatalogError):
    """An action went through and did not do what it should."""


async def try_reading(store: Store, prefix: str) -> list[Tried]:
    """Try what data need below a prefix that ends in a slash or is empty: listing, and getting if anything is there."""
    trying = _Trying()
    found: list[str] = []

    async def first() -> None:
        found.extend([one.key async for one in store.list(prefix, most=1)])

    await trying.of("list", first())
    # Where nothing lies, a store says so to whoever may read.
    await trying.of("get", _read(store, found[0] if found else f"{prefix}{PROBES}/{uuid4()}"))
    return trying.told


async def _read(store: Store, key: str) -> None:
    await store.stat(key)
    try:
        await store.first_byte(key)
    except NotFound:
        return


async def try_writing(store: Store, uploads_prefix: str) -> list[Tried]:
    """Try what documents need below the uploads' prefix: putting whole and in parts, getting, listing, removing."""
    trying = _Trying()
    within = f"{uploads_prefix}/" if uploads_prefix else ""
    folder = f"{within}{PROBES}/uploads/{uuid4()}/"
    key, content = f"{folder}probe", secrets.token_bytes(16)

    async def get() -> None:
        await store.stat(key)
        if await store.first_byte(key) != content[:1]:
            raise Failed("other bytes came back than were put")

    async def listed() -> None:
        if [one.key async for one in store.list(folder, most=1)] != [key]:
            raise Failed("what was put is not listed")

    async def in_parts() -> None:
        multipart_id = await store.begin_multipart(f"{folder}parts", media_type=_MEDIA_TYPE)
        await store.parts_of(f"{folder}parts", multipart_id, most=1)
        await store.abort_multipart(f"{folder}parts", multipart_id)

    put = await trying.of("put", store.write(key, content, now=now()))
    if put:
        await trying.of("get", get())
        await trying.of("list", listed())
    else:
        trying.told += [Tried(action, "not tried, since nothing could be put") for action in ("get", "list")]
    await trying.of("put in parts", in_parts())
    await trying.of("remove", store.remove(key))
    return trying.told


class _Trying:
    """The outcomes so far."""

    def __init__(self) -> None:
        self.told: list[Tried] = []

    async def of(self, action: str, doing: Awaitable[object]) -> bool:
        """Do something, and note how it went."""
        reason = None
        try:
            await doing
        except CatalogError as fault:
            reason = fault.detail
        self.told.append(Tried(action, reason))
        return reason is None


def failures(tried: Sequence[Tried]) -> list[Tried]:
    """Return what did not go well."""
    return [one for one in tried if one.reason is not None]


@asynccontextmanager
async def closing(store: Store) -> AsyncIterator[Store]:
    """Close a client that was made for one occasion."""
    try:
        yield store
    finally:
        await store.close()

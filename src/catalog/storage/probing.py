"""What a backend's keys can do, and what its store can, found by doing it.

Each action that a use needs is tried and its outcome told; what a store can do beyond that is found beside, and is no
failure where it cannot. What is written is a few bytes under a folder that no project can be called, and is removed
again with its versions.
"""

import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

from catalog.database import now
from catalog.errors import CatalogError, NotFound, Unavailable
from catalog.storage import answers
from catalog.storage.backends import Tried
from catalog.storage.capabilities import Capabilities, Notifications, Versioning
from catalog.storage.credentials import Access, NoTemporaryCredentials, TokenService
from catalog.storage.keys import PROBES
from catalog.storage.s3 import SETTING_BYTES_MAX, TAKEN, Attempt, Store, StoreRefused

_MEDIA_TYPE = "application/octet-stream"
# What no version has for a name: bytes that came while versions were off or suspended.
_NO_VERSION = "null"
# As a ticket would have it, then with less and less, for stores that refuse a header that they do not know.
_WAYS = ((True, True), (True, False), (False, True), (False, False))
_STATUS = {"Enabled": Versioning.ON, "Suspended": Versioning.SUSPENDED}
_CREDENTIALS_LIFETIME = timedelta(minutes=15)

Found = TypeVar("Found")
Client = TypeVar("Client", Store, TokenService)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What trying a store found."""

    tried: Sequence[Tried]
    capabilities: Capabilities = field(default_factory=Capabilities)

    @property
    def works(self) -> bool:
        """Whether every action that was tried went well."""
        return not failures(self.tried)


class Failed(CatalogError):
    """An action went through and did not do what it should."""


async def try_reading(store: Store, prefix: str) -> Outcome:
    """Try what data need below a prefix that ends in a slash or is empty: listing, and getting if anything is there."""
    trying = _Trying()
    found: list[str] = []

    async def first() -> None:
        found.extend([one.key async for one in store.list(prefix, most=1)])

    listed = await trying.of("list", first())
    # Where nothing lies, a store says so to whoever may read.
    await trying.of("get", _read(store, found[0] if found else f"{prefix}{PROBES}/{uuid4()}"))
    return Outcome(trying.told, await _settings(store) if listed else Capabilities())


async def _read(store: Store, key: str) -> None:
    await store.stat(key)
    try:
        await store.first_byte(key)
    except NotFound:
        return


_READING = ("get", "list")


async def try_writing(store: Store, uploads_prefix: str) -> Outcome:
    """Try what documents need below the uploads' prefix: putting whole and in parts, getting, listing, removing."""
    trying = _Trying()
    within = f"{uploads_prefix}/" if uploads_prefix else ""
    folder = f"{within}{PROBES}/uploads/{uuid4()}/"
    writing = _Writing(store, folder)

    async def get() -> None:
        await store.stat(writing.key)
        if await store.first_byte(writing.key) != writing.content[:1]:
            raise Failed("other bytes came back than were put")

    async def listed() -> None:
        if [one.key async for one in store.list(folder, most=1)] != [writing.key]:
            raise Failed("what was put is not listed")

    async def in_parts() -> None:
        multipart_id = await store.begin_multipart(f"{folder}parts", media_type=_MEDIA_TYPE)
        await store.parts_of(f"{folder}parts", multipart_id, most=1)
        await store.abort_multipart(f"{folder}parts", multipart_id)

    try:
        # Some stores make a bucket that is missing at the first write, where keys may. The catalog makes none.
        [_ async for _ in store.list(folder, most=1)]
    except NotFound as fault:
        rest = (
            Tried(action, "not tried, since there is no bucket") for action in (*_READING, "put in parts", "remove")
        )
        return Outcome([Tried("put", fault.detail), *rest])
    except CatalogError:
        # Said where listing is tried by itself.
        pass
    put = await trying.of("put", writing.put())
    capabilities = Capabilities()
    if put:
        await trying.of("get", get())
        await trying.of("list", listed())
        capabilities = await writing.capabilities(await _settings(store))
    else:
        trying.told += [Tried(action, "not tried, since nothing could be put") for action in _READING]
    await trying.of("put in parts", in_parts())
    await trying.of("remove", writing.remove(capabilities.versioning))
    await writing.tidy(capabilities.versioning)
    return Outcome(trying.told, capabilities)


class _Writing:
    """A few bytes that are put below a folder in several ways, and removed again."""

    def __init__(self, store: Store, folder: str) -> None:
        self.key = f"{folder}probe"
        self.content = secrets.token_bytes(16)
        self._store = store
        self._sha256 = hashlib.sha256(self.content).hexdigest()
        self._other_key = f"{folder}other"
        self._checksums = self._once = True
        self._version_id: str | None = None
        # What was made, as far as the store tells: None is what has no version.
        self._made: list[tuple[str, str | None]] = []

    async def put(self) -> None:
        """Put the bytes as a ticket has it brought, or, where the store refuses that, with fewer headers."""
        for self._checksums, self._once in _WAYS:
            done = await self._attempt(self.key, self._sha256, once=self._once)
            if done.done:
                self._version_id = done.version_id
                return
        raise Unavailable(f"The store at {self._store.endpoint} answered {done.status}.")

    async def _attempt(self, key: str, sha256: str, *, once: bool) -> Attempt:
        told = sha256 if self._checksums else None
        attempt = await self._store.attempt(key, self.content, sha256=told, once=once)
        if attempt.done:
            self._made.append((key, attempt.version_id))
        return attempt

    async def capabilities(self, settings: Capabilities) -> Capabilities:
        """Return what the store can do, once the bytes were put; `settings` are what its bucket tells."""
        seen = {None: Versioning.OFF, _NO_VERSION: Versioning.SUSPENDED}.get(self._version_id, Versioning.ON)
        return replace(
            settings,
            # Keys that may not read the setting see by what they have put.
            versioning=settings.versioning or seen,
            checksums=await _if_known(self._verifies()),
            conditional_writes=await _if_known(self._refuses_another()),
        )

    async def _verifies(self) -> bool:
        if not self._checksums:
            return False
        wrong = hashlib.sha256(self._sha256.encode()).hexdigest()
        return not (await self._attempt(self._other_key, wrong, once=self._once)).done

    async def _refuses_another(self) -> bool | None:
        if not self._once:
            return False
        again = await self._attempt(self.key, self._sha256, once=True)
        if again.done:
            return False
        return True if again.status == TAKEN else None

    async def remove(self, versioning: Versioning | None) -> None:
        """Remove what was put, as files are removed that nobody needs any more."""
        if versioning is Versioning.SUSPENDED:
            # Not hidden, where the keys may: SeaweedFS (4.48) cannot remove what hides bytes without a version.
            with suppress(StoreRefused):
                await self._store.remove(self.key, _NO_VERSION)
                return
        hidden_by = await self._store.remove(self.key)
        if hidden_by is not None:
            self._made.append((self.key, hidden_by))

    async def tidy(self, versioning: Versioning | None) -> None:
        """Remove what is left, versions too, where the keys may: it is no failure if not."""
        # Without its name, what has no version would be hidden by something that stays.
        unnamed = _NO_VERSION if versioning is Versioning.SUSPENDED else None
        left = [(key, version_id or unnamed) for key, version_id in self._made]
        for key, version_id in dict.fromkeys(left):
            with suppress(CatalogError):
                await self._store.remove(key, version_id)


async def _settings(store: Store) -> Capabilities:
    """Return what the bucket tells of itself to these keys."""
    return Capabilities(
        versioning=await _if_known(_versioning(store)), notifications=await _if_known(_notifications(store))
    )


async def _versioning(store: Store) -> Versioning | None:
    told = await store.setting("versioning")
    if told is None:
        return None
    root = answers.root_of(told, bytes_max=SETTING_BYTES_MAX)
    return None if root is None else _STATUS.get(answers.text_of(root, "Status"), Versioning.OFF)


async def _notifications(store: Store) -> Notifications | None:
    told = await store.setting("notification")
    if told is None:
        return Notifications.UNSUPPORTED
    root = answers.root_of(told, bytes_max=SETTING_BYTES_MAX)
    if root is None:
        return None
    return Notifications.NONE if len(root) == 0 else Notifications.CONFIGURED


async def issues_credentials(service: TokenService, prefix: str) -> bool | None:
    """Return whether a store makes temporary credentials; those that were made are forgotten, and reach nothing."""
    at = now()
    until = at + _CREDENTIALS_LIFETIME
    try:
        await service.issue(f"{prefix}{PROBES}/", access=[Access.READ], until=until, now=at)
    except NoTemporaryCredentials:
        return False
    except CatalogError:
        return None
    return True


async def _if_known(finding: Awaitable[Found | None]) -> Found | None:
    """Return what was found, or None where the store would not have it found."""
    try:
        return await finding
    except CatalogError:
        return None


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
async def closing(client: Client) -> AsyncIterator[Client]:
    """Close a client that was made for one occasion."""
    try:
        yield client
    finally:
        await client.close()

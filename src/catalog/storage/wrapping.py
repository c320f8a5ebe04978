"""The keys that wrap other keys: a small service, and the simplest there is, a file on this machine.

The other one, Vault's, is in `transit`. It is asked over the network, which is why all questions are awaited, and never
asked inside a transaction. AES-256-GCM (NIST SP 800-38D) with a fresh nonce for each.
"""

import base64
import binascii
import fcntl
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from catalog.errors import Conflict, Unavailable

KEY_BYTES = 32
NONCE_BYTES = 12
# A line is 60 bytes long; nobody keeps so many old keys.
FILE_BYTES_MAX = 64 * 1024
_LINE = re.compile(r"([a-z0-9][a-z0-9-]{0,31})[ \t]+([A-Za-z0-9+/]{43}=)", re.ASCII)


class NoKeyService(Conflict):
    """This catalog keeps no secrets of others until whoever runs it sets CATALOG_KEY_FILE or CATALOG_KEY_VAULT_URL."""


class KeyMissing(Unavailable):
    """The key that wraps a secret is not at hand."""

    # A person has to bring the key back.
    retry_after_seconds = 60


class KeyServiceAway(Unavailable):
    """The key service does not answer; no key of it is lost."""


class KeyServiceRefuses(KeyServiceAway):
    """The key service answers, and does nothing for us until a person has mended something."""

    retry_after_seconds = 60


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A data key that only the key service can open, and which of its keys does."""

    key_id: str
    text: bytes = field(repr=False)


class KeyService(Protocol):
    """Wraps data keys under keys that never leave it. `bound_to` must be the same when one is opened again.

    Every question raises NoKeyService, KeyMissing or KeyServiceAway where it has no answer.
    """

    async def current(self) -> str:
        """Return the id of the key that wraps now."""

    async def wrap(self, data_key: bytes, *, bound_to: bytes) -> Wrapped:
        """Wrap a data key with the current key."""

    async def unwrap(self, wrapped: Wrapped, *, bound_to: bytes) -> bytes:
        """Open a data key with whichever key wrapped it."""

    async def close(self) -> None:
        """Let go of connections."""


class LocalKeys:
    """A file of keys, one `ID KEY` a line, the key in base64; the first wraps, all of them open.

    It is read again when it wraps, and when a key is asked for that was not in it: processes that run learn of new
    keys by themselves.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: Mapping[str, bytes] = {}

    def __repr__(self) -> str:
        return f"LocalKeys({str(self._path)!r})"

    async def current(self) -> str:
        """Return the id of the first key; raises NoKeyService, KeyMissing."""
        return next(iter(await self._read()))

    async def wrap(self, data_key: bytes, *, bound_to: bytes) -> Wrapped:
        """Wrap a data key with the first key; raises NoKeyService, KeyMissing."""
        key_id, key = next(iter((await self._read()).items()))
        return Wrapped(key_id, sealed(key, data_key, bound_to=_bound(key_id, bound_to)))

    async def unwrap(self, wrapped: Wrapped, *, bound_to: bytes) -> bytes:
        """Open a data key; raises NoKeyService, KeyMissing where its key is not in the file or does not fit."""
        known = self._known if wrapped.key_id in self._known else await self._read()
        key = known.get(wrapped.key_id)
        if key is None:
            raise KeyMissing(f"The key file has no key {wrapped.key_id}, which wraps this secret: put it back.")
        try:
            return opened(key, wrapped.text, bound_to=_bound(wrapped.key_id, bound_to))
        except InvalidTag:
            raise KeyMissing(f"The key {wrapped.key_id} of the key file does not open what it wrapped.") from None

    async def close(self) -> None:
        """Nothing is open."""

    async def _read(self) -> Mapping[str, bytes]:
        if self._path is None:
            raise NoKeyService
        self._known = await anyio.to_thread.run_sync(read_file, self._path)
        return self._known


class Moving:
    """Wraps with one service and opens what two have wrapped, for a rotation from the one to the other."""

    def __init__(self, file: LocalKeys, other: KeyService, *, into_file: bool) -> None:
        self._file = file
        self._other = other
        self._into: KeyService = file if into_file else other

    async def current(self) -> str:
        """Return the id of the key that wraps now; raises KeyMissing, KeyServiceAway."""
        return await self._into.current()

    async def wrap(self, data_key: bytes, *, bound_to: bytes) -> Wrapped:
        """Wrap a data key with the service that it moves to; raises KeyMissing, KeyServiceAway."""
        return await self._into.wrap(data_key, bound_to=bound_to)

    async def unwrap(self, wrapped: Wrapped, *, bound_to: bytes) -> bytes:
        """Open a data key with the service that wrapped it; raises KeyMissing, KeyServiceAway."""
        # No key of a file has a colon in its id.
        opener = self._other if ":" in wrapped.key_id else self._file
        return await opener.unwrap(wrapped, bound_to=bound_to)

    async def close(self) -> None:
        """Let go of connections."""
        await self._other.close()


def read_file(path: Path) -> Mapping[str, bytes]:
    """Return the keys of a file by their ids, the current one first; raises KeyMissing. No fault shows a key."""
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except OSError as fault:
        raise KeyMissing(f"The key file {path} cannot be read: {fault.strerror}.") from None
    found: dict[str, bytes] = {}
    for number, line in enumerate(text.decode(errors="replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line.strip())
        try:
            key = base64.b64decode(parts[2], validate=True) if parts else b""
        except binascii.Error:
            key = b""
        if parts is None or len(key) != KEY_BYTES or parts[1] in found or len(text) > FILE_BYTES_MAX:
            raise KeyMissing(f"Line {number} of the key file {path} is no `ID KEY` of its own.")
        found[parts[1]] = key
    if not found:
        raise KeyMissing(f"The key file {path} has no key; `catalog keys create` makes one.")
    return found


def add_key(path: Path) -> str:
    """Make a key, put it first in the file, which is made if it is not there, and return its id; raises KeyMissing.

    A reader sees the old file or the new, and nobody else's new key is lost.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if before:
            read_file(path)
        key_id = f"k{secrets.token_hex(6)}"
        line = f"{key_id} {base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}\n"
        part = path.with_name(f"{path.name}.new")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(line + before)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    return key_id


def sealed(key: bytes, text: bytes, *, bound_to: bytes) -> bytes:
    """Encrypt and authenticate; the nonce comes first."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, bound_to)


def opened(key: bytes, text: bytes, *, bound_to: bytes) -> bytes:
    """Decrypt what `sealed` made; raises InvalidTag for anything else."""
    if len(text) <= NONCE_BYTES:
        raise InvalidTag
    return AESGCM(key).decrypt(text[:NONCE_BYTES], text[NONCE_BYTES:], bound_to)


def _bound(key_id: str, bound_to: bytes) -> bytes:
    return b"data key\0" + key_id.encode() + b"\0" + bound_to

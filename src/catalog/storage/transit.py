"""Vault's Transit engine as the key service, or OpenBao's, which is asked the same way: keys never leave it.

What is wrapped is bound to its row as the engine's associated data, so the key must be of an AEAD type, as the default
`aes256-gcm96` is. A key's id has the version that Vault tells with each ciphertext. Nothing that is sent, and nothing
that is said in an answer, is ever told on: an error tells the status, what it means here, and what to mend.

Source: Vault API, "Transit secrets engine" ("Encrypt data", "Decrypt data") and "HTTP API" ("HTTP status codes").
"""

import asyncio
import base64
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
import msgspec
from pydantic import SecretStr

from catalog import __version__
from catalog.storage.wrapping import KEY_BYTES, KeyMissing, KeyServiceAway, KeyServiceRefuses, Wrapped

# A key service is near; whoever waits for it holds a request of somebody else's.
PATIENCE_SECONDS = 5.0
CONNECT_SECONDS = 2.0
CONNECTIONS_MAX = 8
ANSWER_BYTES_MAX = 64 * 1024
TOKEN_BYTES_MAX = 8 * 1024
# What a header can carry.
TOKEN = re.compile(r"[!-~]+", re.ASCII)
# Names as the settings take them: a row must not lead out of its path.
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_KEY_ID = re.compile(rf"vault:v[0-9]{{1,9}}:(?P<mount>[A-Za-z0-9_/-]+)/(?P<name>{_NAME})", re.ASCII)
_CIPHERTEXT = re.compile(r"vault:(?P<version>v[0-9]{1,9}):[A-Za-z0-9+/=]{16,1000}", re.ASCII)

_OK, _BAD_REQUEST, _FORBIDDEN, _NOT_FOUND, _SLOW_DOWN, _SEALED = 200, 400, 403, 404, 429, 503
# What the engine says with a 400, and what it means to whoever set the key up.
_REASONS = (
    ("key not found", "there is no key of this name: look at CATALOG_KEY_VAULT_NAME"),
    ("no existing key", "there is no key of this name: look at CATALOG_KEY_VAULT_NAME"),
    ("too old", "the key's min_decryption_version no longer lets it open: lower it, rotate, and raise it again"),
    ("too new", "the key has no such version: it was restored from an old backup, or is another one"),
    ("authentication failed", "the key did not wrap this, or not for this row"),
    ("non-AEAD", "the key's type takes no associated data: make one of the type aes256-gcm96"),
    ("derivation", "the key is derived, which we do not use: make one that is not"),
    ("not supported for", "the key's type does not encrypt: make one of the type aes256-gcm96"),
)
Verb = Literal["encrypt", "decrypt"]


class VaultKeys:
    """A key of a Transit engine. The token's file is read again when the token is refused: agents renew it."""

    def __init__(
        self,
        url: str,
        *,
        mount: str,
        name: str,
        token: SecretStr,
        token_file: Path | None = None,
        authorities: Path | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Raise OSError for certificates that cannot be used."""
        self._mount = mount
        self._name = name
        self._token = token
        self._token_file = token_file
        self._patience_seconds = patience_seconds
        secure = ssl.create_default_context()
        if authorities is not None:
            secure.load_verify_locations(authorities)
        self._client = httpx2.AsyncClient(
            base_url=url.rstrip("/"),
            verify=secure,
            timeout=httpx2.Timeout(patience_seconds, connect=min(CONNECT_SECONDS, patience_seconds)),
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
            headers={
                "x-vault-request": "true",
                "user-agent": f"science-catalog/{__version__}",
                "accept-encoding": "identity",
            },
            trust_env=False,
            follow_redirects=False,
        )

    def __repr__(self) -> str:
        return f"VaultKeys({self._mount}/{self._name})"

    async def current(self) -> str:
        """Return the id of the key's newest version; raises KeyMissing, KeyServiceAway."""
        # Whoever may wrap learns it from what is wrapped; reading the key's settings would take one more right.
        return (await self.wrap(bytes(KEY_BYTES), bound_to=b"nothing")).key_id

    async def wrap(self, data_key: bytes, *, bound_to: bytes) -> Wrapped:
        """Wrap a data key with the newest version; raises KeyMissing, KeyServiceAway."""
        said = await self._ask("encrypt", self._name, bound_to, plaintext=_text_of(data_key))
        text = said.get("ciphertext")
        found = _CIPHERTEXT.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise _no_vault()
        return Wrapped(f"vault:{found['version']}:{self._mount}/{self._name}", found[0].encode())

    async def unwrap(self, wrapped: Wrapped, *, bound_to: bytes) -> bytes:
        """Open a data key with the key and version that wrapped it; raises KeyMissing, KeyServiceAway."""
        named = _KEY_ID.fullmatch(wrapped.key_id)
        # A row must not have us ask elsewhere than we were told to.
        if named is None or named["mount"] != self._mount:
            raise KeyMissing(
                f"The key {wrapped.key_id[:100]} is none of the engine that CATALOG_KEY_VAULT_MOUNT names: "
                "`catalog keys rotate --from-file` takes over what a key file wrapped."
            )
        text = wrapped.text.decode("ascii", errors="replace")
        found = _CIPHERTEXT.fullmatch(text)
        if found is None or not wrapped.key_id.startswith(f"vault:{found['version']}:"):
            raise KeyMissing(f"What the key {wrapped.key_id} wrapped is spoilt.")
        said = await self._ask("decrypt", named["name"], bound_to, ciphertext=text)
        try:
            data_key = base64.b64decode(str(said.get("plaintext")), validate=True)
        except ValueError:
            data_key = b""
        if len(data_key) != KEY_BYTES:
            raise _no_vault()
        return data_key

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def _ask(self, verb: Verb, name: str, bound_to: bytes, **told: str) -> Mapping[str, Any]:
        path = f"/v1/{self._mount}/{verb}/{name}"
        # Before Vault 1.13 this was ignored; the pair itself is bound to its row all the same.
        body = told | {"associated_data": _text_of(b"data key\0" + bound_to)}
        token = self._token
        status, said = await self._post(path, body, token)
        if status == _FORBIDDEN and (renewed := await self._renewed(token)) is not None:
            status, said = await self._post(path, body, renewed)
        if status != _OK:
            raise _refusal(status, said, f"{self._mount}/{verb}/{name}")
        try:
            found = msgspec.json.decode(said, type=dict[str, Any]).get("data")
        except (ValueError, RecursionError):
            # Bytes that are no UTF-8 are no DecodeError.
            found = None
        if not isinstance(found, dict):
            raise _no_vault()
        return found

    async def _renewed(self, refused: SecretStr) -> SecretStr | None:
        """Return the token if it is another one by now."""
        if self._token_file is not None:
            self._token = await anyio.to_thread.run_sync(_read_token, self._token_file)
        return self._token if self._token != refused else None

    async def _post(self, path: str, body: Mapping[str, str], token: SecretStr) -> tuple[int, bytes]:
        said = b""
        headers = {"x-vault-token": token.get_secret_value(), "content-type": "application/json"}
        sent = msgspec.json.encode(body)
        try:
            # The library's own limits are for each step; a server that trickles could take as long as it likes.
            async with (
                asyncio.timeout(self._patience_seconds),
                self._client.stream("POST", path, content=sent, headers=headers) as answer,
            ):
                async for chunk in answer.aiter_bytes():
                    said += chunk
                    if len(said) > ANSWER_BYTES_MAX:
                        raise _no_vault()
        except (httpx2.TimeoutException, TimeoutError):
            raise KeyServiceAway(f"Vault does not answer within {self._patience_seconds:g} s.") from None
        except httpx2.ConnectError as fault:
            if "CERTIFICATE_VERIFY_FAILED" in str(fault):
                raise KeyServiceRefuses(
                    "Vault is not known for what it says it is: name who vouches for it in CATALOG_KEY_VAULT_CA_FILE."
                ) from None
            raise KeyServiceAway("Vault cannot be reached: look at CATALOG_KEY_VAULT_URL and the network.") from None
        except httpx2.HTTPError as fault:
            raise KeyServiceAway(f"Vault's answer was lost ({type(fault).__name__}).") from None
        return answer.status_code, said


def _refusal(status: int, said: bytes, path: str) -> KeyMissing | KeyServiceAway:
    """Return what a refusal means. What Vault says is looked through, and never told on."""
    if status == _BAD_REQUEST:
        text = said.decode(errors="replace")
        why = next((meaning for words, meaning in _REASONS if words in text), "its own log says why")
        return KeyMissing(f"Vault refuses {path} (400): {why}.")
    if status == _FORBIDDEN:
        return KeyServiceRefuses(
            f"Vault refuses our token for {path} (403): it has ended, or its policy does not have `update` there, or "
            "there is no key of this name. Renew what CATALOG_KEY_VAULT_TOKEN or its file holds, or mend the policy."
        )
    if status == _NOT_FOUND:
        return KeyServiceRefuses(f"Vault has no Transit engine for {path} (404): look at CATALOG_KEY_VAULT_MOUNT.")
    if status == _SEALED:
        return KeyServiceRefuses("Vault is sealed or not ready (503): unseal it.")
    if status == _SLOW_DOWN:
        return KeyServiceAway("Vault asks us to be slower (429): raise its quota for this mount.")
    if httpx2.codes.is_redirect(status):
        return KeyServiceRefuses(
            f"Vault sends us elsewhere ({status}), where a token is not taken along: name the server that answers in "
            "CATALOG_KEY_VAULT_URL."
        )
    return KeyServiceAway(f"Vault answered {path} with {status}; its own log says why.")


def _no_vault() -> KeyServiceRefuses:
    return KeyServiceRefuses("What answers is no Transit engine: look at CATALOG_KEY_VAULT_URL and _MOUNT.")


def _read_token(file: Path) -> SecretStr:
    try:
        with file.open("rb") as opened:
            text = opened.read(TOKEN_BYTES_MAX + 1).decode("ascii", errors="replace").strip()
    except OSError as fault:
        raise KeyServiceRefuses(
            f"Vault refuses our token, and CATALOG_KEY_VAULT_TOKEN_FILE cannot be read again: {fault.strerror}."
        ) from None
    if len(text) > TOKEN_BYTES_MAX or TOKEN.fullmatch(text) is None:
        raise KeyServiceRefuses("Vault refuses our token, and CATALOG_KEY_VAULT_TOKEN_FILE holds none any more.")
    return SecretStr(text)


def _text_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

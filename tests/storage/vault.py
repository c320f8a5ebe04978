"""Vault's Transit engine for tests: a server of our own that does what its API documentation says, and a real one.

The stand-in encrypts with AES-256-GCM under keys with versions, binds associated data, knows tokens and what they may,
is sealed and unsealed. It answers as Vault API documents: "Transit secrets engine" (create, rotate and configure a
key; encrypt; decrypt), "Token auth method" (create, revoke), "/sys/mounts", "/sys/policies/acl", "/sys/seal",
"/sys/unseal" and "HTTP API" (status codes, `errors`). Tests speak to either through its API alone: where a program
`bao` or `vault` is on the path, they run against that too.
"""

import base64
import json
import re
import secrets
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from catalog.local import ports

START_SECONDS_MAX = 60
PROGRAM = shutil.which("bao") or shutil.which("vault")
KINDS = ["stand-in", *(["server"] if PROGRAM else [])]


class Refused(Exception):
    """Vault's answer to what it does not do."""

    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(status)
        self.status = status
        self.errors = errors


@dataclass
class Key:
    """A named key: a fresh AES-256 key for each version, the first being 1."""

    versions: list[bytes] = field(default_factory=lambda: [AESGCM.generate_key(256)])
    min_decryption_version: int = 1
    aead: bool = True

    def encrypt(self, told: dict[str, Any]) -> dict[str, Any]:
        """Encrypt with the newest version."""
        if not self.aead and told.get("associated_data"):
            raise Refused(400, "'[0].associated_data' provided for non-AEAD cipher suite rsa-2048")
        nonce = secrets.token_bytes(12)
        bound = base64.b64decode(told.get("associated_data", ""))
        text = nonce + AESGCM(self.versions[-1]).encrypt(nonce, base64.b64decode(told["plaintext"]), bound)
        version = len(self.versions)
        return {"ciphertext": f"vault:v{version}:{base64.b64encode(text).decode()}", "key_version": version}

    def decrypt(self, told: dict[str, Any]) -> dict[str, Any]:
        """Decrypt with the version that the text names."""
        prefix, version, text = told["ciphertext"].split(":")
        number = int(version.removeprefix("v"))
        if prefix != "vault":
            raise Refused(400, "invalid ciphertext: no prefix")
        if number > len(self.versions):
            raise Refused(400, "invalid ciphertext: version is too new")
        if number < self.min_decryption_version:
            raise Refused(400, "ciphertext or signature version is disallowed by policy (too old)")
        raw, bound = base64.b64decode(text), base64.b64decode(told.get("associated_data", ""))
        try:
            opened = AESGCM(self.versions[number - 1]).decrypt(raw[:12], raw[12:], bound)
        except InvalidTag:
            raise Refused(400, "cipher: message authentication failed") from None
        return {"plaintext": base64.b64encode(opened).decode()}


@dataclass
class StandIn:
    """One server: its mounts with their keys, its policies, and what each token may."""

    root: str = field(default_factory=lambda: f"hvs.{secrets.token_urlsafe(24)}", repr=False)
    share: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    sealed: bool = False
    mounts: dict[str, dict[str, Key]] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, list[str]] = field(default_factory=dict, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str, token: str, told: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked, or raise Refused."""
        with self.lock:
            if path == "sys/unseal":
                self.sealed = told["key"] != self.share
                return {}
            if self.sealed:
                raise Refused(503, "Vault is sealed")
            self._must_be_allowed(path, token)
            if path.startswith(("sys/", "auth/")):
                return self._administered(path, told)
            return {"data": self._transit(path, told)}

    def _must_be_allowed(self, path: str, token: str) -> None:
        if token == self.root:
            return
        lines = [self.policies.get(name, "") for name in self.tokens.get(token, ())]
        if not any(f'path "{path}"' in line for line in lines):
            raise Refused(403, *(["permission denied"] + ([] if token in self.tokens else ["invalid token"])))

    def _administered(self, path: str, told: dict[str, Any]) -> dict[str, Any]:
        *_, last = path.split("/")
        if path == "sys/seal":
            self.sealed = True
        elif path.startswith("sys/mounts/"):
            self.mounts[path.removeprefix("sys/mounts/")] = {}
        elif path.startswith("sys/policies/acl/"):
            self.policies[last] = told["policy"]
        elif path == "auth/token/create":
            made = f"hvs.{secrets.token_urlsafe(24)}"
            self.tokens[made] = told["policies"]
            return {"auth": {"client_token": made}}
        elif path == "auth/token/revoke":
            self.tokens.pop(told["token"], None)
        return {}

    def _transit(self, path: str, told: dict[str, Any]) -> dict[str, Any]:
        mount = next((one for one in self.mounts if path.startswith(f"{one}/")), None)
        if mount is None:
            raise Refused(404, f'no handler for route "{path}". route entry not found.')
        keys = self.mounts[mount]
        verb, name, *rest = path.removeprefix(f"{mount}/").split("/")
        if verb == "keys" and not rest:
            keys.setdefault(name, Key(aead=told.get("type", "aes256-gcm96") == "aes256-gcm96"))
            return {}
        if name not in keys:
            raise Refused(400, "encryption key not found")
        if verb == "keys" and rest == ["rotate"]:
            keys[name].versions.append(AESGCM.generate_key(256))
            return {}
        if verb == "keys" and rest == ["config"]:
            keys[name].min_decryption_version = told["min_decryption_version"]
            return {}
        return keys[name].encrypt(told) if verb == "encrypt" else keys[name].decrypt(told)


@dataclass
class Vault:
    """A server with a Transit engine, a key in it, and hands that may do everything there."""

    url: str
    root: str = field(repr=False)
    share: str = field(repr=False)
    mount: str = "transit"
    name: str = "catalog"

    def prepare(self) -> None:
        """Mount the engine, make the key, and the policy that docs/backends.md asks for."""
        self.ask(f"sys/mounts/{self.mount}", type="transit")
        self.ask(f"{self.mount}/keys/{self.name}")
        self.allow("catalog", self.name)

    def ask(self, path: str, **told: Any) -> Any:
        """Do something as the root."""
        answer = httpx2.post(f"{self.url}/v1/{path}", json=told, headers={"x-vault-token": self.root}, timeout=30)
        assert answer.status_code in {200, 204}, answer.text
        return answer.json() if answer.content else {}

    def allow(self, policy: str, name: str, *, verbs: tuple[str, ...] = ("encrypt", "decrypt")) -> None:
        """Write a policy that lets its tokens use one key."""
        rules = [f'path "{self.mount}/{verb}/{name}" {{ capabilities = ["update"] }}' for verb in verbs]
        self.ask(f"sys/policies/acl/{policy}", policy="\n".join(rules))

    def token(self, policy: str = "catalog") -> str:
        """Make a token."""
        made: str = self.ask("auth/token/create", policies=[policy], no_default_policy=True)["auth"]["client_token"]
        return made

    def revoke(self, token: str) -> None:
        """End a token."""
        self.ask("auth/token/revoke", token=token)

    def rotate(self) -> None:
        """Make another version of the key, which wraps from now on."""
        self.ask(f"{self.mount}/keys/{self.name}/rotate")

    def forget_before(self, version: int) -> None:
        """Let earlier versions open nothing any more."""
        self.ask(f"{self.mount}/keys/{self.name}/config", min_decryption_version=version)

    def seal(self) -> None:
        """Close it."""
        self.ask("sys/seal")

    def unseal(self) -> None:
        """Open it again."""
        httpx2.post(f"{self.url}/v1/sys/unseal", json={"key": self.share}, timeout=30).raise_for_status()

    def environment(self, token: str) -> dict[str, str]:
        """Return what has a catalog use this key."""
        told = {"URL": self.url, "NAME": self.name, "MOUNT": self.mount, "TOKEN": token}
        return {f"CATALOG_KEY_VAULT_{name}": value for name, value in told.items()}


@contextmanager
def serving(
    answer: Callable[[str, str, dict[str, Any]], dict[str, Any]], *, secure: ssl.SSLContext | None = None
) -> Generator[str]:
    """Serve what `answer` says for the length of the block; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length", 0)))
            try:
                said = answer(
                    self.path.removeprefix("/v1/"), self.headers.get("x-vault-token", ""), json.loads(sent or b"{}")
                )
                status = 200 if said else 204
            except Refused as why:
                said, status = {"errors": list(why.errors)}, why.status
            body = json.dumps(said).encode() if status != 204 else b""
            with suppress(OSError):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # ruff: ignore[A002] - its name in the library.
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if secure is not None:
        server.socket = secure.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    # Clients are killed while they ask.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # The library asks to replace it.
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"{'http' if secure is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def running(kind: str, folder: Path) -> Generator[Vault]:
    """Run a server of one of KINDS for the length of the block."""
    if kind == "stand-in":
        standin = StandIn()
        with serving(standin.answer) as url:
            vault = Vault(url, standin.root, standin.share)
            vault.prepare()
            yield vault
        return
    assert PROGRAM is not None
    address = f"127.0.0.1:{ports.choose()}"
    log = folder / "vault.log"
    words = (f"-dev-listen-address={address}", "-dev-no-store-token")
    with log.open("w") as said:
        process = subprocess.Popen([PROGRAM, "server", "-dev", *words], stdout=said, stderr=subprocess.STDOUT)
    try:
        vault = Vault(f"http://{address}", *_told(log))
        vault.prepare()
        yield vault
    finally:
        process.kill()
        process.wait()


def _told(log: Path) -> tuple[str, str]:
    """Return the root's token and what unseals a server, once it has said so and listens."""
    until = time.monotonic() + START_SECONDS_MAX
    while (found := re.search(r"Unseal Key: (\S+)\s+Root Token: (\S+)\s", log.read_text())) is None:
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)
    return found[2], found[1]

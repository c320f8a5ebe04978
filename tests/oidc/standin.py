"""A provider that signs whatever a test wants signed, right or wrong, and counts what it is asked."""

import base64
import json
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.conftest import own_port

AUDIENCE = "https://catalog.example.org/api"
JWKS = "/keys"
WELL_KNOWN = "/.well-known/openid-configuration"
SIGNERS = {one.name: one for one in JWS_ALGORITHMS}
Key = RSAKey | ECKey | OKPKey

# Made once: an RSA key takes a tenth of a second.
RSA = RSAKey.generate_key(2048)
OTHER_RSA = RSAKey.generate_key(2048)
EC = ECKey.generate_key("P-256")
ED = OKPKey.generate_key("Ed25519")


def encoded(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwt(header: Mapping[str, Any], claims: Any, key: Key | None = RSA, *, signer: str | None = None) -> str:
    """Return a token as the header has it, signed by the algorithm that the header (or the test) names."""
    signed = f"{encoded(header)}.{encoded(claims)}"
    if key is None:
        return f"{signed}."
    named = signer or str(header["alg"])
    model = SIGNERS["Ed25519" if named == "EdDSA" else named]
    return f"{signed}.{encoded(model.sign(signed.encode(), key))}"


def weakly_signed(header: Mapping[str, Any], claims: Any, key: Any) -> str:
    """Return an RS256 token by a key that the library would not sign with."""
    signed = f"{encoded(header)}.{encoded(claims)}"
    return f"{signed}.{encoded(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def public(key: Key, kid: str, **more: Any) -> dict[str, Any]:
    """Return what is published of a key."""
    return {**key.as_dict(private=False), "kid": kid, **more}


@dataclass
class StandIn:
    """What the provider says, and what it was asked."""

    url: str
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    away: bool = False

    def publishes(self, *keys: dict[str, Any]) -> None:
        """Publish these keys from now on."""
        self.answers[JWKS] = {"keys": list(keys)}

    def says(self, **changes: Any) -> None:
        """Describe itself otherwise from now on; None leaves a member out."""
        document = {"issuer": self.url, "jwks_uri": f"{self.url}{JWKS}"} | changes
        self.answers[WELL_KNOWN] = {name: value for name, value in document.items() if value is not None}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a good access token with changes; None leaves a claim out."""
        at = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": uuid4().hex, "iat": at, "exp": at + 600} | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, key: Key | None = RSA, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """Return a good access token with changes of its claims and header; None leaves one out."""
        whole = {"alg": "RS256", "typ": "at+jwt", "kid": "rsa"} | dict(header or {})
        return jwt({name: value for name, value in whole.items() if value is not None}, self.claims(**changes), key)


@dataclass(frozen=True)
class Answer:
    """What is answered where JSON with status 200 would not do."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    after_seconds: float = 0
    # How long the body takes, a byte at a time.
    trickles_seconds: float = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standin: StandIn

    def do_GET(self) -> None:
        self.standin.asked.append(self.path)
        if self.standin.away:
            self.close_connection = True
            return
        told = self.standin.answers.get(self.path, Answer(404))
        answer = told if isinstance(told, Answer) else Answer(body=json.dumps(told).encode())
        time.sleep(answer.after_seconds)
        try:
            self.send_response(answer.status)
            for name, value in ({"content-length": str(len(answer.body))} | dict(answer.headers)).items():
                self.send_header(name, value)
            self.end_headers()
            if answer.trickles_seconds:
                for place in range(len(answer.body)):
                    self.wfile.write(answer.body[place : place + 1])
                    time.sleep(answer.trickles_seconds / len(answer.body))
            else:
                self.wfile.write(answer.body)
        except OSError:
            # Whoever asked has seen enough.
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # ruff: ignore[A002] - its name in the library.
        """Say nothing."""


@contextmanager
def running() -> Generator[StandIn]:
    """Run a provider that publishes an RSA, an EC and an Ed25519 key, for the length of the block."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", own_port()), handler)
    server.daemon_threads = True
    standin = StandIn(f"http://127.0.0.1:{server.server_port}")
    handler.standin = standin
    standin.says()
    standin.publishes(public(RSA, "rsa"), public(EC, "ec"), public(ED, "ed"))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)

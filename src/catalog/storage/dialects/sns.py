"""The envelopes of AWS's topics (SNS): read, checked against a certificate, and opened.

A topic sends no token of ours. Instead each envelope is signed, and names the certificate that it is signed with, which
is taken from the service's own hosts alone. Pure: whoever has the certificate fetched it.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from catalog.errors import Unauthenticated
from catalog.storage.dialects import eventbridge, noticed, s3
from catalog.storage.dialects.noticed import Noticed, UnreadableNotification

# A message has at most 256 KiB ("Amazon SNS quotas"), and quoting it may double that.
BODY_BYTES_MAX = 2 * 256 * 1024 + 16 * 1024

# The service in one region, by name; `.cn` in China.
_HOST = re.compile(r"sns\.[a-z0-9-]{4,40}\.amazonaws\.com(\.cn)?", re.ASCII)
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]{1,100}\.pem", re.ASCII)


class Kind(StrEnum):
    """What an envelope is about."""

    SUBSCRIPTION = "SubscriptionConfirmation"
    NOTIFICATION = "Notification"
    UNSUBSCRIPTION = "UnsubscribeConfirmation"


class _Message(
    msgspec.Struct,
    rename={
        "kind": "Type",
        "message_id": "MessageId",
        "topic": "TopicArn",
        "message": "Message",
        "timestamp": "Timestamp",
        "version": "SignatureVersion",
        "signature": "Signature",
        "certificate": "SigningCertURL",
        "subject": "Subject",
        "token": "Token",
        "subscribe": "SubscribeURL",
    },
):
    kind: Kind
    message_id: str
    topic: str
    message: str
    timestamp: str
    version: str
    signature: str
    certificate: str
    subject: str | None = None
    token: str | None = None
    subscribe: str | None = None


class _Inside(msgspec.Struct, rename={"event": "detail-type"}):
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a topic sent, not yet believed. `certificate` and `confirm` are addresses of the service, if any."""

    kind: Kind
    topic: str
    message: str
    certificate: str
    confirm: str | None
    signed: bytes
    signature: bytes
    version: str


# In this order (AWS, "Verifying the signatures of Amazon SNS messages"); what an envelope has not is left out.
_SIGNED = {
    Kind.NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    Kind.SUBSCRIPTION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    Kind.UNSUBSCRIPTION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    # The service's older way, which is still what a topic signs with unless it was told otherwise.
    "1": hashes.SHA1(),  # ruff: ignore[S303] - said on the line above.
    "2": hashes.SHA256(),
}


def read(body: bytes) -> Envelope:
    """Return the envelope; raises UnreadableNotification for what could be none of the service's."""
    told = noticed.read(body, _Message, bytes_max=BODY_BYTES_MAX)
    confirm = told.subscribe if told.kind is Kind.SUBSCRIPTION else None
    if told.version not in _HASHES:
        raise UnreadableNotification(f"Signatures of version {told.version[:20]!r} are not known here.")
    if not _is_certificate(told.certificate):
        raise UnreadableNotification("The certificate is not at an address of the service.")
    if told.kind is Kind.SUBSCRIPTION and (confirm is None or not _confirms(confirm, told.topic)):
        raise UnreadableNotification("The subscription is not confirmed at an address of the service.")
    try:
        signature = base64.b64decode(told.signature, validate=True)
        signed = _text(told)
    except (binascii.Error, ValueError):
        raise UnreadableNotification("The signature is no Base64, or what it is of no text.") from None
    return Envelope(told.kind, told.topic, told.message, told.certificate, confirm, signed, signature, told.version)


def _text(told: _Message) -> bytes:
    values = msgspec.to_builtins(told)
    named = [(name, values[name]) for name in _SIGNED[told.kind] if values[name] is not None]
    return "".join(f"{name}\n{value}\n" for name, value in named).encode()


def _is_the_services(address: str) -> bool:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    # As a whole: a user before it, a port or anything after it would be another place.
    return parts.scheme == "https" and port is None and _HOST.fullmatch(parts.netloc) is not None


def _is_certificate(address: str) -> bool:
    parts = urlsplit(address) if _is_the_services(address) else None
    return parts is not None and not parts.query and _CERTIFICATE.fullmatch(parts.path) is not None


def _confirms(address: str, topic: str) -> bool:
    if not _is_the_services(address):
        return False
    asked = parse_qs(urlsplit(address).query)
    return asked.get("Action") == ["ConfirmSubscription"] and asked.get("TopicArn") == [topic]


def certificate_in(pem: bytes) -> x509.Certificate | None:
    """Return the certificate that these bytes are, None where they are none."""
    try:
        held = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return None
    return held if isinstance(held.public_key(), rsa.RSAPublicKey) else None


def must_be_signed(envelope: Envelope, certificate: x509.Certificate, *, at: datetime) -> None:
    """Raise Unauthenticated unless this certificate, valid at that time, signed the envelope."""
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise Unauthenticated("The certificate of this message is not valid now.")
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)  # ruff: ignore[S101] - `certificate_in` takes no others.
    try:
        key.verify(envelope.signature, envelope.signed, padding.PKCS1v15(), _HASHES[envelope.version])
    except InvalidSignature:
        raise Unauthenticated("The signature of this message is wrong.") from None


def parse(envelope: Envelope) -> list[Noticed]:
    """Read what a notification wraps: S3's own records, or an event of the bus; raises UnreadableNotification.

    What says that somebody has subscribed, or no longer is, notices nothing.
    """
    if envelope.kind is not Kind.NOTIFICATION:
        return []
    inside = envelope.message.encode(errors="surrogatepass")
    of_the_bus = noticed.read(inside, _Inside, bytes_max=BODY_BYTES_MAX).event is not None
    return eventbridge.parse(inside) if of_the_bus else s3.parse(inside)

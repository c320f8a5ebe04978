"""A topic of AWS as a test needs one: its messages, signed with a certificate that the test made."""

import base64
import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

HOST = "sns.eu-west-1.amazonaws.com"
TOPIC = "arn:aws:sns:eu-west-1:111122223333:measurements"
CERTIFICATE = "/SimpleNotificationService-0123456789abcdef.pem"
DAY = dt.timedelta(days=1)
# AWS, "Verifying the signatures of Amazon SNS messages".
SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


@dataclass
class Service:
    """Who signs: a key, and the certificate that everybody may fetch."""

    valid_from: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC) - DAY)
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048), repr=False)

    @property
    def certificate(self) -> bytes:
        """The certificate, in PEM."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(self.valid_from)
            .not_valid_after(self.valid_from + 2 * DAY)
        )
        return made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def message(
        self, kind: str = "Notification", *, version: str = "2", inside: str = "", **told: Any
    ) -> dict[str, Any]:
        """Return a signed message, after the documented shape; `told` replaces parts, or leaves them out."""
        message = {
            "Type": kind,
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Message": inside,
            "Timestamp": "2026-11-22T12:00:00.000Z",
            "SignatureVersion": version,
            "SigningCertURL": f"https://{HOST}{CERTIFICATE}",
        }
        if kind == "Notification":
            message["Subject"] = "Amazon S3 Notification"
            message["UnsubscribeURL"] = f"https://{HOST}/?Action=Unsubscribe&SubscriptionArn={quote(TOPIC)}"
        else:
            message["Token"] = "2336412f37"
            message["SubscribeURL"] = confirmation()
        message = {name: value for name, value in (message | told).items() if value is not None}
        text = "".join(f"{name}\n{message[name]}\n" for name in SIGNED[kind] if name in message)
        digest = hashes.SHA1() if version == "1" else hashes.SHA256()  # ruff: ignore[S303] - as the service does.
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), digest)
        return message | {"Signature": base64.b64encode(signature).decode()}


def confirmation(topic: str = TOPIC) -> str:
    """Return the address at which a subscription is confirmed."""
    return f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={quote(topic, safe='')}&Token=2336412f37"


def encoded(message: dict[str, Any]) -> bytes:
    """Return a message as it is sent."""
    return json.dumps(message).encode()

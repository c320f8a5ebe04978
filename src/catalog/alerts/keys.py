"""Secrets that are computed where they are needed, and lie nowhere: what signs webhooks, and what opens links in mails.

Each is an HMAC of what it is for, under the key that seals cursors: who replaces that key replaces them all.
"""

import base64
import hashlib
import hmac
from uuid import UUID

# As Standard Webhooks writes a secret.
SECRET_MARK = "whsec_"  # ruff: ignore[S105] - a mark, not a secret.
LINK_MARK = "catu_"


class Keys:
    """Secrets of this catalog."""

    def __init__(self, key: str) -> None:
        self._key = hashlib.sha256(b"alerts:" + key.encode()).digest()

    def of_webhooks(self, secret_id: UUID) -> str:
        """Return the secret by which a receiver checks that a webhook is ours."""
        return SECRET_MARK + base64.b64encode(self._of("webhook", secret_id)).decode()

    def signature(self, secret_id: UUID, signed: bytes) -> str:
        """Return the signature of a webhook (Standard Webhooks, "Signature scheme")."""
        return base64.b64encode(hmac.digest(self._of("webhook", secret_id), signed, "sha256")).decode()

    def to_unsubscribe(self, search_id: UUID) -> str:
        """Return what lets whoever has it stop what is sent for a search."""
        return self._link("unsubscribe", search_id)

    def to_confirm(self, address_id: UUID) -> str:
        """Return what lets whoever has it agree to mail at an address, or refuse it."""
        return self._link("confirm", address_id)

    def of_event(self, number: int) -> UUID:
        """Return what an event is called outside: nobody learns from it how many there are."""
        return UUID(bytes=hmac.digest(self._key, f"event:{number}".encode(), "sha256")[:16], version=5)

    def _link(self, purpose: str, about: UUID) -> str:
        return LINK_MARK + base64.urlsafe_b64encode(self._of(purpose, about)).decode().rstrip("=")

    def _of(self, purpose: str, about: UUID) -> bytes:
        return hmac.digest(self._key, f"{purpose}:{about}".encode(), "sha256")


def is_same(expected: str, given: str) -> bool:
    """Whether somebody has the key, in a time that tells nothing of it."""
    return hmac.compare_digest(expected.encode(), given.encode())

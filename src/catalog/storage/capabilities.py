"""What a store can do beyond what its uses need: what is sent there obeys it.

Pure. How it is found out stands in `probing`, where it is kept in `health`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any


class Versioning(StrEnum):
    """Whether a bucket keeps what lay under a key before."""

    ON = "on"
    SUSPENDED = "suspended"
    OFF = "off"


class Notifications(StrEnum):
    """Whether a bucket has somebody to tell of its keys: it has, it could, or S3 knows no such thing there."""

    CONFIGURED = "configured"
    NONE = "none"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was found; None where nobody has tried yet, or where the keys may not find out.

    `checksums`: a PUT with another SHA-256 than its bytes have is refused. `conditional_writes`: one that says
    `If-None-Match: *` is refused where something lies. A store that takes either and does otherwise has it not.
    """

    versioning: Versioning | None = None
    checksums: bool | None = None
    conditional_writes: bool | None = None
    temporary_credentials: bool | None = None
    notifications: Notifications | None = None

    @property
    def verifies(self) -> bool:
        """Whether tickets name the SHA-256, and what the store then says of it is believed."""
        return self.checksums is not False

    @property
    def writes_once(self) -> bool:
        """Whether tickets ask that nothing is replaced."""
        return self.conditional_writes is not False

    def over(self, before: "Capabilities") -> "Capabilities":
        """Return these, with what was known before where nothing was found now."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return Capabilities(
            **{name: getattr(before, name) if value is None else value for name, value in found.items()}
        )

    def to_row(self) -> dict[str, Any]:
        """Return what is kept."""
        return asdict(self)


def from_row(kept: Mapping[str, Any] | None) -> Capabilities:
    """Return what was kept; of a store that was never tried nothing is known."""
    told = kept or {}
    versioning, notifications = told.get("versioning"), told.get("notifications")
    return Capabilities(
        versioning=None if versioning is None else Versioning(versioning),
        checksums=told.get("checksums"),
        conditional_writes=told.get("conditional_writes"),
        temporary_credentials=told.get("temporary_credentials"),
        notifications=None if notifications is None else Notifications(notifications),
    )

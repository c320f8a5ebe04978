"""Everything that can go wrong, one class per decision a caller can make.

    CatalogError
    ├── Invalid             the request cannot be understood; `faults` say where and how to mend it
    ├── Unauthenticated     no principal could be made of what the caller sent
    ├── Forbidden           the caller is known and may not do this
    │   └── InsufficientScope  its token may not: another token of the same principal might
    ├── NotFound            nothing there, or nothing the caller may know of
    ├── Gone                it was there and has been withdrawn
    │   ├── VersionGone     a version was; the object and its other versions may be there
    │   └── SnapshotGone    a snapshot was; the objects that it found may be there
    ├── Conflict            the request is fine, the present state refuses it
    ├── PreconditionFailed  the object changed since the caller read it
    ├── PreconditionMissing the change names no revision it starts from
    ├── Unprocessable       well formed, but it contradicts something already accepted
    ├── TooLarge            a stated limit is exceeded
    ├── Unsupported         the media type is not one we read
    ├── NoSpace             the bytes would not fit any more, whoever brings them
    ├── TooManyRequests     the caller asks faster than it may; the same request succeeds later
    └── Unavailable         an engine does not answer, or not to us; the same request may succeed later

Knows nothing of HTTP: `api/problems.py` maps each class to a status once.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the input: where (a JSON pointer, RFC 6901), what, and how to mend it."""

    pointer: str
    message: str
    suggestion: str | None = None


class CatalogError(Exception):
    """The catalog could not do what was asked."""

    def __init__(self, detail: str | None = None, *, faults: Sequence[Fault] = ()) -> None:
        self.detail = detail or (type(self).__doc__ or "").splitlines()[0]
        self.faults = tuple(faults)
        super().__init__(self.detail)


class Invalid(CatalogError):
    """The request has faults; each is listed with its place."""


class Unauthenticated(CatalogError):
    """The token is unknown, expired or revoked."""


class Forbidden(CatalogError):
    """This principal may not do that."""


class InsufficientScope(Forbidden):
    """The token is not good for that; `scope` is what it lacks."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"Your token lacks the scope {scope}: use one that has it, or make one.")
        self.scope = scope


class NotFound(CatalogError):
    """There is nothing here that you may see."""


class Gone(CatalogError):
    """This object has been withdrawn."""


class VersionGone(Gone):
    """This version has been withdrawn."""


class SnapshotGone(Gone):
    """This snapshot has been withdrawn."""


class Conflict(CatalogError):
    """The present state does not allow this."""


class PreconditionFailed(CatalogError):
    """The object has changed since the revision that If-Match names."""


class PreconditionMissing(CatalogError):
    """A change must name the revision it starts from."""


class Unprocessable(CatalogError):
    """The request contradicts something already accepted."""


class TooLarge(CatalogError):
    """The request is larger than the stated limit."""


class Unsupported(CatalogError):
    """This media type is not one we read."""


class NoSpace(CatalogError):
    """There is no room for so many bytes."""


class TooManyRequests(CatalogError):
    """You ask faster than you may; come back later."""

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(CatalogError):
    """An engine does not answer; try again later."""

    retry_after_seconds = 5

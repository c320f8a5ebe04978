"""What can go wrong between a client, the catalog and the store. No text here ever holds a token or a signed URL."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import httpx2

from catalog.client.patience import retry_after
from catalog.errors import CatalogError, Fault, NotFound, Unavailable

STORE_ANSWER_BYTES_MAX = 64 * 1024
# In the text of a refusal; `errors` has all.
FAULTS_TOLD_MAX = 10


class Problem(CatalogError):
    """The catalog refused: its problem document (RFC 9457), field by field."""

    def __init__(
        self,
        status: int,
        *,
        type: str = "about:blank",  # ruff: ignore[A002] - the document's own name for it.
        title: str = "",
        detail: str | None = None,
        errors: Sequence[Fault] = (),
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail or title or f"The catalog answered {status}.", faults=errors)
        self.status = status
        self.type = type
        self.title = title
        self.errors = self.faults
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        """Return what is wrong, and below it each fault with its place and how to mend it; of many the first ten."""
        told = [self.detail]
        for fault in self.errors[:FAULTS_TOLD_MAX]:
            place = f"{fault.pointer}: " if fault.pointer else ""
            told.append(f"  {place}{fault.message}" + (f" ({fault.suggestion})" if fault.suggestion else ""))
        more = len(self.errors) - FAULTS_TOLD_MAX
        return "\n".join([*told, f"  and {more} more, in `errors`"] if more > 0 else told)

    @classmethod
    def of(cls, response: httpx2.Response) -> "Problem":
        """Read the problem that an answer carries, or make one of its status where it carries none."""
        request_id = response.headers.get("x-request-id")
        try:
            said = response.json()
        except ValueError:
            said = None
        if not isinstance(said, Mapping):
            text = f"{_address(response.request.url)} answered {response.status_code} {response.reason_phrase}."
            return cls(response.status_code, detail=text, request_id=request_id)
        return cls(
            response.status_code,
            type=str(said.get("type", "about:blank")),
            title=str(said.get("title", "")),
            detail=str(said["detail"]) if said.get("detail") else None,
            errors=[_fault(one) for one in said.get("errors", ()) if isinstance(one, Mapping)],
            request_id=said.get("request_id", request_id),
            retry_after_seconds=retry_after(response),
        )


class Unreachable(Unavailable):
    """The catalog or its store does not answer."""


class Closed(CatalogError):
    """This client was closed; make another one, or keep it open as long as it is used."""


class NotACatalog(CatalogError):
    """Something answers at this address, but not a catalog."""


class StoreRefused(CatalogError):
    """The store did not take or give the bytes; `status` and `code` are its own words."""

    def __init__(self, doing: str, status: int, code: str | None) -> None:
        super().__init__(f"The store refused {doing}: {status}{f' {code}' if code else ''}.")
        self.status = status
        self.code = code


class FileChanged(CatalogError):
    """The file changed while it was being uploaded."""


class BytesDiffer(CatalogError):
    """The bytes are not those that were declared."""


class NoSuchFile(NotFound):
    """The object has no file of that path."""


class NotAvailable(CatalogError):
    """The file's bytes are not there to be downloaded."""


class NotNoticed(Unavailable):
    """The bytes are in the store, but the catalog has not taken note of them."""


class UnsafePath(CatalogError):
    """The file's path would be written outside the target folder."""


class Stopped(CatalogError):
    """The transfer was stopped before its end."""


def store_refused(response: httpx2.Response, doing: str) -> StoreRefused:
    """Read the error code of an S3 answer; the rest of its text may repeat what was signed."""
    taken = b""
    for chunk in response.iter_raw(STORE_ANSWER_BYTES_MAX):
        taken += chunk
        if len(taken) >= STORE_ANSWER_BYTES_MAX:
            break
    try:
        # expat neither fetches nor expands outside entities; the answer is bounded and only one word of it is used.
        code = ET.fromstring(taken).findtext("{*}Code") or ET.fromstring(taken).findtext("Code")  # ruff: ignore[S314]
    except ET.ParseError:
        code = None
    return StoreRefused(doing, response.status_code, code[:80] if code and code.isalnum() else None)


def _fault(said: Mapping[str, Any]) -> Fault:
    suggestion = said.get("suggestion")
    return Fault(
        str(said.get("pointer", "")), str(said.get("message", "")), None if suggestion is None else str(suggestion)
    )


def _address(url: httpx2.URL) -> str:
    """Return the URL without what may be secret: user, password, query."""
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))

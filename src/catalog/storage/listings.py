"""What a store lists. Pure. Format: Amazon S3 API, ListObjectsV2."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element

from catalog.errors import Unavailable
from catalog.storage import answers
from catalog.storage.answers import children, text_of

# A thousand keys of 1,024 bytes each, every byte percent-encoded, and what is said of them.
ANSWER_BYTES_MAX = 8 * 1024 * 1024
# More than any store holds, and the most that a row takes.
SIZE_BYTES_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Listed:
    """One key as a listing shows it."""

    key: str
    size: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; `after` asks for the next, None when there is none."""

    items: Sequence[Listed]
    after: str | None


def page_of(answer: bytes) -> Page:
    """Read a page, without the empty keys that some tools put in the place of folders; raises Unavailable."""
    root = answers.root_of(answer, bytes_max=ANSWER_BYTES_MAX)
    if root is None or answers.name_of(root) != "ListBucketResult":
        raise Unavailable("The store does not answer as an S3 server does: this is no listing.")
    encoded = text_of(root, "EncodingType") == "url"
    try:
        items = [_listed(one, encoded=encoded) for one in children(root, "Contents")]
    except (ValueError, OverflowError):
        raise Unavailable("The store's listing has a key without size or date, or one that is none.") from None
    after = text_of(root, "NextContinuationToken") if text_of(root, "IsTruncated") == "true" else ""
    return Page([one for one in items if not one.key.endswith("/")], after or None)


def _listed(one: Element, *, encoded: bool) -> Listed:
    """Read one key; raises ValueError and OverflowError for what no row could hold."""
    key, size = text_of(one, "Key"), int(text_of(one, "Size"))
    key = unquote_plus(key) if encoded else key
    if "\0" in key or not 0 <= size <= SIZE_BYTES_MAX:
        raise ValueError
    modified_at = datetime.fromisoformat(text_of(one, "LastModified"))
    if modified_at.tzinfo is None:
        modified_at = modified_at.replace(tzinfo=UTC)
    return Listed(key, size, text_of(one, "ETag").strip('"'), modified_at.astimezone(UTC))

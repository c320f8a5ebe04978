"""Multipart uploads: how a file is cut into parts, and what a store says of them.

Pure. Format: Amazon S3 API, CreateMultipartUpload, ListParts, CompleteMultipartUpload.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element

from catalog.errors import Unavailable
from catalog.storage import answers
from catalog.storage.answers import children, name_of, text_of

_MIB = 1024 * 1024
# What a broken line costs at most; S3 takes parts from 5 MiB on.
PART_BYTES = 16 * _MIB
# S3 User Guide, "Amazon S3 multipart upload limits".
PARTS_MAX = 10_000
# Below this one request is less work than several.
IN_PARTS_FROM_BYTES = 64 * _MIB
# S3 User Guide, "Uploading objects": what one PUT may carry.
SINGLE_PUT_BYTES_MAX = 5 * 1024 * _MIB
# A listing of a thousand parts has about 250 kB.
ANSWER_BYTES_MAX = 4 * _MIB


@dataclass(frozen=True, slots=True)
class Cut:
    """How a file of `size` bytes is cut: `count` parts of `part_size` bytes each, the last one perhaps shorter."""

    size: int
    part_size: int
    count: int

    def bytes_of(self, number: int) -> int:
        """Return how long a part is; they are numbered from 1."""
        return min(self.part_size, self.size - (number - 1) * self.part_size)


@dataclass(frozen=True, slots=True)
class Part:
    """One part that a store holds."""

    number: int
    size: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of the parts that a store holds; `after` asks for the next, None when there is none."""

    parts: list[Part]
    after: int | None


def cut(size: int) -> Cut | None:
    """Say how a file is cut; None for one that is better brought whole."""
    if size < IN_PARTS_FROM_BYTES:
        return None
    needed = -(-size // PARTS_MAX)
    part_size = max(PART_BYTES, -(-needed // _MIB) * _MIB)
    return Cut(size, part_size, -(-size // part_size))


def missing(cut: Cut, held: Collection[Part]) -> list[int]:
    """Return the numbers of the parts that are not there whole."""
    whole = {part.number for part in held if 0 < part.number <= cut.count and part.size == cut.bytes_of(part.number)}
    return [number for number in range(1, cut.count + 1) if number not in whole]


def ranges(numbers: Collection[int]) -> str:
    """Write numbers in order as people do: 1-3, 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def upload_id(answer: bytes) -> str:
    """Read the id that CreateMultipartUpload answers; raises Unavailable for anything else."""
    found = text_of(_root(answer), "UploadId")
    if not found:
        raise Unavailable("The store's answer to CreateMultipartUpload names no upload.")
    return found


def listing(answer: bytes) -> Listing:
    """Read a page of ListParts; raises Unavailable for anything else."""
    root = _root(answer)
    try:
        parts = [
            Part(
                int(text_of(one, "PartNumber")),
                int(text_of(one, "Size")),
                text_of(one, "ETag").strip('"'),
                datetime.fromisoformat(text_of(one, "LastModified")),
            )
            for one in children(root, "Part")
        ]
        truncated = text_of(root, "IsTruncated") == "true"
        after = int(text_of(root, "NextPartNumberMarker")) if truncated else None
    except ValueError:
        raise Unavailable("The store's answer to ListParts has a part without number, size or date.") from None
    return Listing(parts, after)


def newest(held: Iterable[Part]) -> list[Part]:
    """Return one part for each number, the one brought last: SeaweedFS keeps and lists every try.

    Of tries within one second either may be taken. They have the same length, and a whole of other bytes is found out.
    """
    last: dict[int, Part] = {}
    for part in held:
        if part.number not in last or part.modified_at >= last[part.number].modified_at:
            last[part.number] = part
    return [last[number] for number in sorted(last)]


def completion(parts: Iterable[Part]) -> bytes:
    """Write what CompleteMultipartUpload is sent, for parts in order."""
    # An ETag is hexadecimal digits, and perhaps a dash: nothing in it needs escaping, and nothing else may be in it.
    body = "".join(
        f"<Part><PartNumber>{one.number}</PartNumber><ETag>&quot;{_etag(one)}&quot;</ETag></Part>" for one in parts
    )
    return f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode()


def refusal(answer: bytes) -> str | None:
    """Return the code of an error that comes with status 200, as CompleteMultipartUpload may; None for success."""
    root = _root(answer)
    return (text_of(root, "Code") or "unknown") if name_of(root) == "Error" else None


def _etag(part: Part) -> str:
    if not part.etag.isascii() or not part.etag.replace("-", "").isalnum():
        raise Unavailable("The store's answer to ListParts has an ETag that is none.")
    return part.etag


def _root(answer: bytes) -> Element:
    root = answers.root_of(answer, bytes_max=ANSWER_BYTES_MAX)
    if root is None:
        raise Unavailable("The store's answer is no XML as S3 servers send it.")
    return root

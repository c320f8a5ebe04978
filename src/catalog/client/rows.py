"""A file of registrations, one a line, sent in one request; rerun, it sends all and changes only what is new.

A row without `name` and `idempotency_key` gets a key made of its content, so that the same row always meets the same
object. What failed is written to a file of the same form with the reasons, to be mended and sent as it is.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import httpx2

from catalog.client.calls import Call
from catalog.client.folders import key_of
from catalog.client.patience import PASSING, Patience
from catalog.client.problems import NotACatalog, Problem, Stopped, Unreachable
from catalog.client.transfer import Progress, silent
from catalog.client.wire import encoded
from catalog.errors import Invalid

if TYPE_CHECKING:
    from catalog.client.catalog import Catalog

NDJSON = "application/x-ndjson"
# The service answers when it has recorded the last row, and may try what waits for others several times.
ANSWER_SECONDS_MAX = 3_600.0
SENT_BYTES = 64 * 1024


@dataclass(slots=True)
class Loaded:
    """How many rows came to what; `failed` holds the faults by line."""

    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("created", "changed", "unchanged", "failed"), 0)
    )
    failed: dict[int, list[dict[str, str]]] = field(default_factory=dict)


def load(
    catalog: "Catalog", file: Path, *, new: bool = False, progress: Progress = silent, stop: Event | None = None
) -> Loaded:
    """Register every row of a file; raises Problem, Unreachable, and Invalid when the file cannot be read.

    `new` makes another object of every row that has no name, even of the very same row as before.
    """
    salt = uuid.uuid4().hex if new else ""
    connection = catalog.connection
    patience = Patience(connection.patience_seconds)
    while True:
        counted = 0

        def count(moved: int) -> None:
            nonlocal counted
            if stop is not None and stop.is_set():
                raise Stopped
            counted += moved
            progress(moved)

        body = _body(file, salt, count)
        headers = {"accept": NDJSON, "content-type": NDJSON}
        call: Call[Any] = Call(
            "POST", "/api/bulk/objects", body=body, headers=headers, answer_seconds=ANSWER_SECONDS_MAX
        )
        try:
            with connection.opened(call) as response:
                return _read(response)
        except Unreachable:
            progress(-counted)
            # Rows are repeatable: whatever the service took before is there already.
            if new or not patience.lasts():
                raise
        except Problem as refused:
            progress(-counted)
            if refused.status not in PASSING or not patience.lasts(refused.retry_after_seconds):
                raise


def write_failed(loaded: Loaded, file: Path, target: Path) -> None:
    """Write each row that failed with its line and the reasons; `target` may be the file itself."""
    written = target.with_name(target.name + ".part")
    with written.open("w", encoding="utf-8") as out:
        for number, line in _lines(file):
            if number in loaded.failed:
                meant = _unwrapped(line)
                row = _parsed(meant)
                told = {"line": number, "errors": loaded.failed[number]}
                told |= {"text": meant.decode(errors="replace")} if row is None else {"row": row}
                out.write(json.dumps(told, ensure_ascii=False) + "\n")
    written.replace(target)


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with file.open("rb") as rows:
            yield from ((number, line.rstrip(b"\r\n")) for number, line in enumerate(rows, 1))
    except OSError as fault:
        raise Invalid(f"{file} cannot be read: {fault.strerror}.") from None


def _body(file: Path, salt: str, progress: Progress) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for number, line in _lines(file):
        held.append(_repeatable(line, salt and f"{salt}-{number}"))
        size += len(line) + 1
        if size >= SENT_BYTES:
            yield b"\n".join(held) + b"\n"
            progress(size)
            held, size = [], 0
    yield b"\n".join(held)
    progress(size)


def _repeatable(line: bytes, key: str) -> bytes:
    meant = _unwrapped(line)
    row = _parsed(meant)
    if row is None:
        # The service says where it breaks.
        return meant
    if "name" in row or "idempotency_key" in row:
        return encoded(row)
    return encoded({**row, "idempotency_key": key or key_of(row)})


def _unwrapped(line: bytes) -> bytes:
    """Return the row itself of what failed before and was written with its reasons; any other line as it stands."""
    told = _parsed(line)
    if told is None:
        return line
    if told.keys() == {"line", "errors", "row"}:
        return encoded(told["row"])
    if told.keys() == {"line", "errors", "text"} and isinstance(told["text"], str):
        # What was mended in an editor may have got line breaks, and a row is one line.
        return " ".join(told["text"].splitlines()).encode()
    return line


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line, object_pairs_hook=_said_once)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _said_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    # Written anew, an object would have lost what stands in it twice; the service says where.
    found = dict(members)
    if len(found) < len(members):
        raise ValueError
    return found


def _read(response: httpx2.Response) -> Loaded:
    loaded = Loaded()
    try:
        for line in response.iter_lines():
            told = json.loads(line)
            loaded.counts[told["status"]] += 1
            if told["status"] == "failed":
                loaded.failed[told["line"]] = told["errors"]
    except (ValueError, KeyError, TypeError):
        raise NotACatalog("What answers is not a catalog; check the address.") from None
    return loaded

"""Bringing a large file in parts: what the store holds already is not sent again, whatever stopped the try before."""

import threading
from collections.abc import Iterator, Sequence

import httpx2

from catalog.client.calls import Call, get
from catalog.client.connection import Blocking
from catalog.client.problems import StoreRefused, Unreachable
from catalog.client.shapes import PartTicket, SentParts, SignedParts, Ticket
from catalog.client.transfer import Progress, Source, Span, send, silent

# Signed on demand: a link must not end before its turn has come.
SIGNED_AT_ONCE = 8
# A store that loses parts more often is none.
ROUNDS_MAX = 3


def upload(
    connection: Blocking,
    ticket: Ticket,
    source: Source,
    *,
    progress: Progress = silent,
    stop: threading.Event | None = None,
) -> None:
    """Send the parts of a file that the store does not hold, one after the other, and have them joined.

    Interrupted, it loses what it had sent of one part. Raises FileChanged when the file is shorter than declared,
    StoreRefused when the store says no, Unreachable, and Problem when the upload takes no more bytes.
    """
    address = f"/api/uploads/{ticket['id']}"
    told = 0
    for _ in range(ROUNDS_MAX):
        held: SentParts = connection.run(get(f"{address}/parts"))
        progress(held["bytes_sent"] - told)
        told = held["bytes_sent"]
        sent = set(held["sent"])
        missing = [number for number in range(1, held["count"] + 1) if number not in sent]
        for part in _tickets(connection, address, missing):
            last = part["number"] == held["count"]
            span = Span(f"part {part['number']} of {ticket['path']!r}", part["offset"], part["size"], last)
            _send(connection, address, part, source, span, progress=progress, stop=stop)
            told += part["size"]
        if connection.run(_joining(address)):
            return
    raise Unreachable(f"The store does not keep the parts of {ticket['path']!r}.")


def _tickets(connection: Blocking, address: str, numbers: Sequence[int]) -> Iterator[PartTicket]:
    for start in range(0, len(numbers), SIGNED_AT_ONCE):
        body = {"numbers": numbers[start : start + SIGNED_AT_ONCE]}
        signed: SignedParts = connection.run(Call("POST", f"{address}/parts", body=body, repeatable=True))
        yield from signed["parts"]


def _joining(address: str) -> Call[bool]:
    """Have the parts joined; False where the store has lost some of them meanwhile."""
    return Call(
        "POST",
        f"{address}/complete",
        repeatable=True,
        accept=frozenset({httpx2.codes.CONFLICT}),
        read=lambda response: response.is_success,
    )


def _send(
    connection: Blocking,
    address: str,
    part: PartTicket,
    source: Source,
    span: Span,
    *,
    progress: Progress,
    stop: threading.Event | None,
) -> None:
    try:
        send(connection, part["url"], part["headers"], source, span, progress=progress, stop=stop)
    except StoreRefused as refused:
        # 403 from a store is a link that ended before its turn; a fresh one tells whether it is something else.
        if refused.status != httpx2.codes.FORBIDDEN:
            raise
        (again,) = _tickets(connection, address, [part["number"]])
        send(connection, again["url"], again["headers"], source, span, progress=progress, stop=stop)

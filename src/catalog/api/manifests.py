"""Signed links to every file of a whole result, in forms that programs which download take.

Each link is signed when its line is written and lives as long as any other link. What was given out is noted before it
leaves, in the same step: the ledger of the process, which writes every second, holds fewer rows than one manifest has.
"""

import csv
import io
from collections.abc import AsyncGenerator, Callable, Sequence
from uuid import UUID

import msgspec

from catalog.access.principals import Caller
from catalog.api import links, requests
from catalog.api.requests import AnyRequest
from catalog.database import now
from catalog.objects import holdings
from catalog.objects.holdings import Holding
from catalog.storage.signing import Link

FILES_AT_ONCE = 500
ARIA2 = "text/plain"

_encode = msgspec.json.Encoder().encode


class ManifestLine(msgspec.Struct, frozen=True):
    """A file of a result with its link; `to` is where it goes below a folder, whatever other files there are."""

    object: UUID
    path: str
    to: str
    size: int
    sha256: str
    media_type: str
    link: Link


Signed = tuple[Holding, Link]


def _to(file: Holding) -> str:
    return f"{file.object_id}/{file.path}"


def json_lines(signed: Sequence[Signed]) -> bytes:
    """Return a line of JSON for each file."""
    return b"".join(
        _encode(ManifestLine(file.object_id, file.path, _to(file), file.size, file.sha256, file.media_type, link))
        + b"\n"
        for file, link in signed
    )


def aria2(signed: Sequence[Signed]) -> bytes:
    """Return entries of an input file (aria2c(1), "Input File"): the address, then options on indented lines."""
    return "".join(
        f"# until {link.expires_at.isoformat()}\n{link.href}\n  out={_to(file)}\n  checksum=sha-256={file.sha256}\n"
        for file, link in signed
    ).encode()


def rclone(signed: Sequence[Signed]) -> bytes:
    """Return rows of address and file name, without a head (rclone copyurl, "--urls")."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows((link.href, _to(file)) for file, link in signed)
    return out.getvalue().encode()


def step(
    write: Callable[[Sequence[Signed]], bytes],
) -> Callable[[AnyRequest, Caller, Sequence[UUID]], AsyncGenerator[bytes]]:
    """Return what writes the files of some objects, a few hundred at a time, with the rights of that moment."""

    async def lines(request: AnyRequest, caller: Caller, ids: Sequence[UUID]) -> AsyncGenerator[bytes]:
        database = requests.engines(request).database
        after: Holding | None = None
        while True:
            async with database.transaction() as session:
                found = await holdings.page(session, ids, caller.audience, after=after, limit=FILES_AT_ONCE)
            if found:
                yield write(await links.for_manifest(request, caller, found, now()))
            if len(found) < FILES_AT_ONCE:
                return
            after = found[-1]
            caller = await requests.caller(request)

    return lines

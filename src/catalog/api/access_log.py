"""`/api/access-log`: who was given a link or credentials to what. For admins, and never the link."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from catalog.access import issued
from catalog.access.issued import Asked, Seen
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import AnyRequest

LIMIT_DEFAULT = 100
LIMIT_MAX = 1_000
NDJSON, CSV = "application/x-ndjson", "text/csv"


class LogFormat(StrEnum):
    """How the log is told."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


class AccessLogQuery(BaseModel):
    """Which part of the log is wanted."""

    model_config = ConfigDict(extra="forbid")

    object: UUID | None = Field(default=None, description="Only what concerns this object.")
    principal: str | None = Field(default=None, description="Only what this principal got.", max_length=200)
    since: AwareDatetime | None = Field(default=None, description="Only from this moment on.")
    until: AwareDatetime | None = Field(default=None, description="Only before this moment.")
    format: LogFormat = Field(
        default=LogFormat.JSON, description="json answers a page; ndjson and csv answer all of it, one entry a line."
    )
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many entries a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=2_000)


class ShownIssued(msgspec.Struct, frozen=True):
    """What one request gave out for one object, or for one prefix.

    `by` is null for anonymous callers, `version` where the object was meant as it stands. `paths` are those of files,
    or with credentials the prefix.
    """

    at: datetime
    by: str | None
    request_id: str
    what: str
    object: UUID | None
    version: int | None
    paths: list[str]
    expires_at: datetime


class AccessLogPage(msgspec.Struct, frozen=True):
    """Some entries, newest first, and where the next ones begin."""

    items: list[ShownIssued]
    cursor: str | None


@operation(
    "GET",
    "/api/access-log",
    Operation(
        id="read_access_log",
        summary="See who was given links and credentials to what, newest first",
        description=(
            "For admins. An entry appears within a second of the answer that it tells of, and is kept for "
            "CATALOG_ACCESS_LOG_KEPT. The links themselves are kept nowhere."
        ),
        tag="operations",
        token=True,
        scope=Scope.ADMIN,
        query=AccessLogQuery,
        answers={200: Answer("Entries.", AccessLogPage, headers={"Link": "The next page."}, also=(NDJSON, CSV))},
        problems=(403,),
    ),
)
async def read_access_log(request: AnyRequest) -> Response[bytes] | Stream:
    """Read a page of the log, or all of it as lines."""
    caller = await requests.caller(request)
    caller.must_administer_all()
    asked = requests.query(request, AccessLogQuery)
    wanted = Asked(asked.object, asked.principal, asked.since, asked.until)
    if asked.format != LogFormat.JSON:
        # Each part is read for itself: a slow reader keeps no transaction open.
        media_type, first, write = WRITTEN[asked.format]
        lines = _lines(request, wanted, first, write)
        return Stream(lines, media_type=media_type, status_code=200, headers={"Cache-Control": "no-store"})
    bound_to = ("access-log", caller.id, asked.model_dump(mode="json", exclude={"cursor", "limit"}))
    page = requests.paging(request, asked, int, *bound_to)
    async with requests.engines(request).database.transaction() as session:
        found = await issued.page(session, wanted, before=page.after, limit=page.one_more)
    items, cursor = page.cut(found, lambda one: one.id)
    return shapes.json_response(
        AccessLogPage([_shown(one) for one in items], cursor),
        headers={**requests.next_link(request, cursor), "Cache-Control": "no-store"},
    )


async def _lines(
    request: AnyRequest, asked: Asked, first: bytes, write: Callable[[ShownIssued], bytes]
) -> AsyncIterator[bytes]:
    if first:
        yield first
    before: int | None = None
    while True:
        async with requests.engines(request).database.transaction() as session:
            found = await issued.page(session, asked, before=before, limit=LIMIT_MAX)
        if not found:
            return
        yield b"".join([write(_shown(one)) for one in found])
        before = found[-1].id


def _as_json(entry: ShownIssued) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def _as_csv(entry: ShownIssued) -> bytes:
    told: dict[str, Any] = msgspec.to_builtins(entry)
    # As JSON: a path may have any character, and a cell that begins with `=` would be run by a spreadsheet.
    return _row([*(told | {"paths": msgspec.json.encode(entry.paths).decode()}).values()])


def _row(cells: Sequence[object]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(["" if cell is None else cell for cell in cells])
    return line.getvalue().encode()


WRITTEN: Mapping[LogFormat, tuple[str, bytes, Callable[[ShownIssued], bytes]]] = {
    LogFormat.NDJSON: (NDJSON, b"", _as_json),
    LogFormat.CSV: (CSV, _row(ShownIssued.__struct_fields__), _as_csv),
}


def _shown(seen: Seen) -> ShownIssued:
    one = seen.issued
    return ShownIssued(
        one.at,
        seen.by,
        one.request_id,
        one.what.value,
        one.object_id,
        one.version,
        list(one.paths),
        one.expires_at,
    )


ROUTES: list[HTTPRouteHandler] = [read_access_log]

"""What backends really hold: `/api/scans`, and for an organization `…/discovered` and `…/accounting`."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access import members
from catalog.access.callers import Caller
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.curation import StageName
from catalog.api.requests import AnyRequest
from catalog.errors import NotFound
from catalog.inventory import accounting, fixity, scanning
from catalog.inventory.tables import Cause, Scan, ScanState
from catalog.objects import discovered
from catalog.objects.discovered import DiscoveredFile, Whose
from catalog.storage import backends
from catalog.storage.keys import OWN, Stage

SCANS_SHOWN = 20
LIMIT_DEFAULT = 50
LIMIT_MAX = 200
HASHES_MAX = 1_000
FAILURES_SHOWN = 200

Named = Annotated[str, Field(min_length=1, max_length=64, description="A backend's id, or `default`.")]


class ScanWanted(BaseModel):
    """Which backend shall be scanned."""

    model_config = ConfigDict(extra="forbid", strict=True)

    backend: Named


class ScansQuery(BaseModel):
    """Of which backend."""

    model_config = ConfigDict(extra="forbid")

    backend: Named


class FoundQuery(BaseModel):
    """Which of an organization's files that no object claims."""

    model_config = ConfigDict(extra="forbid")

    backend: Named | None = Field(default=None, description="Only those in this backend: its id, or `default`.")
    project: str | None = Field(default=None, max_length=130, description="Only those of this project.")
    stage: StageName | None = Field(default=None, description="Only those in this stage.")
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=2_000)


class HashesWanted(BaseModel):
    """Of which files the SHA-256 shall be told."""

    model_config = ConfigDict(extra="forbid", strict=True)

    files: Annotated[list[Annotated[UUID, Field(strict=False)]], Field(min_length=1, max_length=HASHES_MAX)] = Field(
        description="Their ids, as the list of files that no object claims tells them."
    )


class ShownScan(msgspec.Struct, frozen=True):
    """One walk over all that lies in a backend.

    `cause` tells why it began: somebody asked, it was the backend's turn, or the store told that it has lost events.
    `added` files that no object claims were not known, `changed` ones are not what they were; `looks` is how many keys
    were looked at because they were not as recorded. `reason` tells what it waits for, or why it was given up.
    """

    id: UUID
    backend: str
    state: Literal["running", "done", "failed"]
    cause: Literal["asked", "interval", "events-lost"]
    files: int
    bytes: int
    added: int
    changed: int
    looks: int
    reason: str | None
    started_at: datetime
    ended_at: datetime | None
    href: str


class ScanList(msgspec.Struct, frozen=True):
    """The last scans of a backend, the newest first."""

    items: list[ShownScan]


class ShownFound(msgspec.Struct, frozen=True):
    """Bytes in a backend that no object claims; `sha256` is null until somebody asks for it."""

    id: UUID
    backend: str
    bucket: str
    key: str
    project: str | None
    stage: StageName | None
    size: int
    etag: str
    sha256: str | None
    media_type: str
    modified_at: datetime
    found_at: datetime


class FoundPage(msgspec.Struct, frozen=True):
    """Some of these files, newest first, and where the next ones begin."""

    items: list[ShownFound]
    cursor: str | None


class Queued(msgspec.Struct, frozen=True):
    """How many files will be read; those whose hash is known are not."""

    queued: int


class ShownHolding(msgspec.Struct, frozen=True):
    """How much there is in one place: claimed by objects and their versions, or not."""

    project: str | None
    backend: str
    backend_name: str
    stage: StageName | None
    claimed: bool
    files: int
    bytes: int


class Accounting(msgspec.Struct, frozen=True):
    """All that lies in the backends of an organization, and of its projects in the catalog's own store."""

    organization: str
    files: int
    bytes: int
    items: list[ShownHolding]


class ShownFailed(msgspec.Struct, frozen=True):
    """Bytes that were others, or could not be read, when they were last read from end to end."""

    object: UUID | None
    path: str | None
    backend: str
    key: str
    outcome: Literal["altered", "unreadable"]
    found_sha256: str | None
    reason: str | None
    checked_at: datetime


class FixityReport(msgspec.Struct, frozen=True):
    """How far reading bytes again has come, and what was wrong."""

    bytes_per_day: int
    checked: int
    oldest_at: datetime | None
    newest_at: datetime | None
    failed: list[ShownFailed]


def _scan(one: Scan) -> ShownScan:
    columns = ("id", "backend", "files", "bytes", "added", "changed", "looks", "reason", "started_at", "ended_at")
    told = {name: getattr(one, name) for name in columns}
    told["cause"] = Cause(one.cause).value
    return ShownScan(state=ScanState(one.state).value, href=f"/api/scans/{one.id}", **told)


async def _must_look_after(session: AsyncSession, backend: str, caller: Caller) -> str | None:
    """Return the organization of a backend, None for the catalog's own; raises NotFound, Forbidden."""
    if backend == OWN:
        caller.must_administer_all()
        return None
    absent = NotFound(f"There is no backend {backend[:80]!r} that you may see.")
    try:
        found = await backends.find_anywhere(session, UUID(backend))
    except ValueError:
        raise absent from None
    if found is None or found.detached_at is not None:
        raise absent
    try:
        await backends.must_administer(session, found.organization, caller=caller)
    except NotFound:
        raise absent from None
    return found.organization


@operation(
    "POST",
    "/api/scans",
    Operation(
        id="scan_backend",
        summary="Have all that lies in a backend listed and compared with what is recorded",
        description=(
            "For admins of its organization; `default` for admins of the whole catalog. Files that no object claims "
            "are noted, with size, ETag and time. One scan of a backend runs at a time: asked again, it is answered."
        ),
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(ScanWanted, example={"backend": "default"}),
        answers={202: Answer("It goes on in the background.", ShownScan, headers={"Location": "Where it is told of."})},
        problems=(403, 404, 413, 415),
    ),
)
async def scan_backend(request: AnyRequest) -> Response[bytes]:
    """Begin a scan."""
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, ScanWanted)
    async with requests.engines(request).database.transaction() as session:
        scope = await _must_look_after(session, wanted.backend, caller)
        scan = await scanning.begin(session, wanted.backend, scope=scope, caller=caller)
    shown = _scan(scan)
    return shapes.json_response(shown, status=202, headers={"Location": shown.href})


@operation(
    "GET",
    "/api/scans",
    Operation(
        id="list_scans",
        summary=f"See the last {SCANS_SHOWN} scans of a backend, the newest first",
        tag="access",
        token=True,
        query=ScansQuery,
        answers={200: Answer("The scans.", ScanList)},
        problems=(403, 404),
    ),
)
async def list_scans(request: AnyRequest) -> Response[bytes]:
    """List scans."""
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, ScansQuery)
    async with requests.engines(request).database.transaction() as session:
        await _must_look_after(session, asked.backend, caller)
        found = await scanning.of(session, asked.backend, most=SCANS_SHOWN)
    return shapes.json_response(ScanList([_scan(one) for one in found]), headers={"Cache-Control": "no-store"})


@operation(
    "GET",
    "/api/scans/{scan_id:str}",
    Operation(
        id="read_scan",
        summary="See how far a scan has come",
        tag="access",
        token=True,
        answers={200: Answer("The scan.", ShownScan)},
        problems=(403, 404),
    ),
)
async def read_scan(request: AnyRequest) -> Response[bytes]:
    """Read one scan."""
    caller = await requests.caller(request)
    caller.must_be_known()
    scan_id = requests.object_id(request, "scan_id")
    async with requests.engines(request).database.transaction() as session:
        scan = await scanning.find(session, scan_id)
        absent = NotFound(f"There is no scan {scan_id} that you may see.")
        if scan is None:
            raise absent
        try:
            await _must_look_after(session, scan.backend, caller)
        except NotFound:
            raise absent from None
    return shapes.json_response(_scan(scan), headers={"Cache-Control": "no-store"})


async def _whose(session: AsyncSession, organization: str, caller: Caller) -> Whose:
    await members.must_administer(session, organization, caller=caller, what="What lies in its backends is")
    return Whose(organization, [str(one.id) for one in await backends.of(session, organization)])


@operation(
    "GET",
    "/api/organizations/{organization:str}/discovered",
    Operation(
        id="list_found_files",
        summary="List the files of an organization that no object claims, newest first",
        description="For its admins: all in its backends, and what others put beside its projects' uploads.",
        tag="access",
        token=True,
        query=FoundQuery,
        answers={200: Answer("A page of files.", FoundPage, headers={"Link": "The next page."})},
        problems=(403, 404),
    ),
)
async def list_found_files(request: AnyRequest) -> Response[bytes]:
    """List files that no object of an organization claims."""
    caller = await requests.caller(request)
    caller.must_be_known()
    asked, organization = requests.query(request, FoundQuery), requests.organization(request)
    narrowed = (asked.backend, asked.project, asked.stage)
    page = requests.paging(request, asked, UUID, "found", caller.id, organization, *narrowed)
    async with requests.engines(request).database.transaction() as session:
        whose = await _whose(session, organization, caller)
        found = await discovered.page(
            session,
            project=asked.project,
            stage=None if asked.stage is None else Stage(asked.stage),
            backend=asked.backend,
            whose=whose,
            after=page.after,
            limit=page.one_more,
        )
    items, cursor = page.cut(found, lambda one: one.id)
    told = FoundPage([_found(one) for one in items], cursor)
    return shapes.json_response(told, headers={**requests.next_link(request, cursor), "Cache-Control": "no-store"})


def _found(one: DiscoveredFile) -> ShownFound:
    return ShownFound(**{name: getattr(one, name) for name in ShownFound.__struct_fields__})


@operation(
    "POST",
    "/api/organizations/{organization:str}/discovered/hashes",
    Operation(
        id="hash_found_files",
        summary="Have files that no object claims read, to tell their SHA-256",
        description="For admins of the organization. Each is read from end to end in the background, once.",
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(HashesWanted),
        answers={202: Answer("They are read in the background.", Queued)},
        problems=(403, 404, 413, 415),
    ),
)
async def hash_found_files(request: AnyRequest) -> Response[bytes]:
    """Have files read."""
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, HashesWanted)
    async with requests.engines(request).database.transaction() as session:
        whose = await _whose(session, requests.organization(request), caller)
        queued = await discovered.want_hashes(session, wanted.files, whose=whose)
    return shapes.json_response(Queued(queued), status=202)


@operation(
    "GET",
    "/api/organizations/{organization:str}/accounting",
    Operation(
        id="read_accounting",
        summary="See how much of an organization lies where",
        description="For its admins: by project, backend and stage, with what no object claims. Bytes count once.",
        tag="access",
        token=True,
        answers={200: Answer("The sums.", Accounting)},
        problems=(403, 404),
    ),
)
async def read_accounting(request: AnyRequest) -> Response[bytes]:
    """Add up what an organization has."""
    caller = await requests.caller(request)
    caller.must_be_known()
    organization = requests.organization(request)
    async with requests.engines(request).database.transaction() as session:
        await _whose(session, organization, caller)
        found = await accounting.of(session, organization)
    items = [ShownHolding(**{name: getattr(one, name) for name in ShownHolding.__struct_fields__}) for one in found]
    told = Accounting(organization, sum(one.files for one in items), sum(one.bytes for one in items), items)
    return shapes.json_response(told, headers={"Cache-Control": "no-store"})


@operation(
    "GET",
    "/api/curation/fixity",
    Operation(
        id="read_fixity",
        summary="See which bytes were altered or cannot be read",
        description=f"For curators. Bytes are read again in rounds; shown are the newest {FAILURES_SHOWN} failures.",
        tag="curation",
        token=True,
        answers={200: Answer("What came of it.", FixityReport)},
        problems=(403,),
    ),
)
async def read_fixity(request: AnyRequest) -> Response[bytes]:
    """Report on fixity."""
    caller = await requests.caller(request)
    caller.must_look_after_all()
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        report = await fixity.report(session, most=FAILURES_SHOWN)
    failed = [
        ShownFailed(object=one.object_id, **{name: getattr(one, name) for name in ShownFailed.__struct_fields__[1:]})
        for one in report.failed
    ]
    told = FixityReport(engines.fixity.bytes_per_day, report.checked, report.oldest_at, report.newest_at, failed)
    return shapes.json_response(told, headers={"Cache-Control": "no-store"})


ROUTES: list[HTTPRouteHandler] = [
    scan_backend,
    list_scans,
    read_scan,
    list_found_files,
    hash_found_files,
    read_accounting,
    read_fixity,
]

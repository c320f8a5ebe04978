"""`/api/uploads`: tickets to bring declared bytes, whole or in parts, and where an upload stands."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog import queue
from catalog.access.principals import Caller
from catalog.access.scopes import Scope
from catalog.api import links, requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.database import now
from catalog.errors import Conflict, Fault, Invalid, NotFound
from catalog.objects import reading, uploads, verbs
from catalog.objects.tables import Upload
from catalog.storage import parts
from catalog.storage.parts import Cut

# A client asks for more as it goes on, so that no link ends before its turn comes.
PARTS_SIGNED_MAX = 100


class TicketWanted(BaseModel):
    """Which file a fresh ticket is for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # JSON has no UUIDs: a string in, whatever the strictness around it.
    object: Annotated[UUID, Field(strict=False)]
    path: Annotated[str, Field(min_length=1)]


class PartsWanted(BaseModel):
    """Which parts are to be sent next; they are numbered from 1."""

    model_config = ConfigDict(extra="forbid", strict=True)

    numbers: Annotated[
        list[Annotated[int, Field(ge=1, le=parts.PARTS_MAX)]], Field(min_length=1, max_length=PARTS_SIGNED_MAX)
    ]


class ShownUpload(msgspec.Struct, frozen=True):
    """Where an upload stands."""

    id: UUID
    object: UUID
    path: str
    size: int
    sha256: str
    state: Literal["open", "complete", "mismatched", "abandoned", "superseded"]
    created_at: datetime
    expires_at: datetime
    found: shapes.FoundBytes | None
    parts: shapes.ShownParts | None


class IssuedTicket(msgspec.Struct, frozen=True):
    """A fresh ticket."""

    upload: shapes.ShownTicket


class SentParts(msgspec.Struct, frozen=True):
    """How the file is cut, and the numbers of the parts that the store holds whole."""

    size: int
    count: int
    sent: list[int]
    bytes_sent: int


class PartTicket(msgspec.Struct, frozen=True):
    """Leave to PUT one part: exactly `size` bytes from `offset` on. Sent again, it replaces what came before."""

    number: int
    offset: int
    size: int
    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    expires_at: datetime


class PartTickets(msgspec.Struct, frozen=True):
    """A ticket for each part that was asked for."""

    parts: list[PartTicket]


@operation(
    "POST",
    "/api/uploads",
    Operation(
        id="issue_ticket",
        summary="Get a ticket for a file that is not available",
        description="A fresh one, except where the caller has brought parts of the file: that upload goes on.",
        tag="files",
        token=True,
        body=Body(TicketWanted),
        answers={201: Answer("Issued.", IssuedTicket, headers={"Location": "The upload's address."})},
        problems=(403, 404, 409, 410, 413, 415, 507),
    ),
)
async def issue_ticket(request: AnyRequest) -> Response[bytes]:
    """Issue a ticket."""
    caller = await requests.caller(request)
    caller.must_be_known()
    engines = requests.engines(request)
    wanted = await requests.sent(request, TicketWanted)
    async with engines.database.transaction() as session:
        upload = await verbs.reissue(session, wanted.object, wanted.path, caller=caller, placement=engines.placement)
    (ticket,) = await links.tickets(request, caller, [upload], now())
    return shapes.json_response(
        IssuedTicket(ticket),
        status=201,
        headers={"Location": f"/api/uploads/{upload.id}", "Cache-Control": "no-store"},
    )


@operation(
    "GET",
    "/api/uploads/{upload_id:str}",
    Operation(
        id="read_upload",
        summary="See where an upload stands",
        tag="files",
        token=True,
        scope=Scope.REGISTER,
        answers={200: Answer("The upload.", ShownUpload)},
        problems=(403, 404),
    ),
)
async def read_upload(request: AnyRequest) -> Response[bytes]:
    """Read one upload."""
    _, upload = await _upload(request)
    return shapes.json_response(
        ShownUpload(
            id=upload.id,
            object=upload.object_id,
            path=upload.path,
            size=upload.size,
            sha256=upload.sha256,
            state=upload.state,  # type: ignore[arg-type]  # The column holds exactly these words.
            created_at=upload.created_at,
            expires_at=upload.expires_at,
            found=None if upload.found_size is None else shapes.FoundBytes(upload.found_size, upload.found_sha256),
            parts=shapes.parts_of(upload),
        )
    )


@operation(
    "GET",
    "/api/uploads/{upload_id:str}/parts",
    Operation(
        id="list_parts",
        summary="See which parts of a large file have arrived",
        description="To go on after an interruption: send the others.",
        tag="files",
        token=True,
        scope=Scope.REGISTER,
        answers={200: Answer("The parts.", SentParts)},
        problems=(403, 404, 409),
    ),
)
async def list_parts(request: AnyRequest) -> Response[bytes]:
    """List the parts that the store holds."""
    _, upload = await _upload(request)
    cut = _cut(upload)
    held = None
    if upload.multipart_id is not None:
        store = await requests.engines(request).store_of(upload.backend)
        held = await store.parts_of(upload.key, upload.multipart_id)
    missing = set(parts.missing(cut, held or []))
    sent = [number for number in range(1, cut.count + 1) if number not in missing]
    return shapes.json_response(SentParts(cut.part_size, cut.count, sent, sum(map(cut.bytes_of, sent))))


@operation(
    "POST",
    "/api/uploads/{upload_id:str}/parts",
    Operation(
        id="sign_parts",
        summary="Get tickets for some parts of a large file",
        description=(
            "PUT each part with its headers, in any order and several at a time, then POST to "
            "`/api/uploads/{upload_id}/complete`. Parts that nobody goes on with are dropped after seven days."
        ),
        tag="files",
        token=True,
        body=Body(PartsWanted),
        answers={200: Answer("A ticket for each.", PartTickets)},
        problems=(403, 404, 409, 413, 415),
    ),
)
async def sign_parts(request: AnyRequest) -> Response[bytes]:
    """Begin an upload in parts, or go on with it, and sign the parts that are sent next."""
    caller, upload = await _upload(request)
    cut = _cut(upload)
    uploads.must_be_open(upload.state)
    wanted = await requests.sent(request, PartsWanted)
    faults = [
        Fault(f"/numbers/{place}", f"the file has {cut.count} parts")
        for place, number in enumerate(wanted.numbers)
        if number > cut.count
    ]
    if faults:
        raise Invalid("The file has no such parts.", faults=faults)
    multipart_id = await _multipart(request, upload)
    sizes = [(number, cut.bytes_of(number)) for number in dict.fromkeys(wanted.numbers)]
    signed = await links.for_parts(request, caller, upload, multipart_id, sizes=sizes, at=now())
    tickets = [
        PartTicket(number, (number - 1) * cut.part_size, size, "PUT", one.url, dict(one.headers), one.expires_at)
        for (number, size), one in zip(sizes, signed, strict=True)
    ]
    return shapes.json_response(PartTickets(tickets), headers={"Cache-Control": "no-store"})


async def _multipart(request: AnyRequest, upload: Upload) -> str:
    """Return the store's id for the upload's parts, which it knows; nothing is left behind when two begin at once."""
    engines = requests.engines(request)
    begun = upload.multipart_id
    store = await engines.store_of(upload.backend)
    if begun is not None and await store.parts_of(upload.key, begun, most=1) is not None:
        ours = begun
    else:
        # Never begun, or somebody else has dropped it at the store.
        ours = await store.begin_multipart(upload.key, media_type=upload.media_type)
    lifetime = request.app.state.settings.upload_lifetime
    counts = None
    try:
        async with engines.database.transaction() as session:
            counts = await uploads.go_on(session, upload, ours, instead_of=begun, lifetime=lifetime)
    finally:
        if ours not in {counts, begun}:
            await store.abort_multipart(upload.key, ours)
    return counts


@operation(
    "POST",
    "/api/uploads/{upload_id:str}/complete",
    Operation(
        id="complete_upload",
        summary="Have a file's parts joined, or its key looked at now",
        description=(
            "For a file brought in parts, once all are sent; answers 409 with the numbers of those that are missing. "
            "For a file brought whole, when the store's notification is late or lost. What the store holds decides, "
            "not this call."
        ),
        tag="files",
        token=True,
        answers={202: Answer("It will be looked at.")},
        problems=(403, 404, 409),
    ),
)
async def complete_upload(request: AnyRequest) -> Response[bytes]:
    """Queue a look at the key, with parts to join where there are any."""
    _, upload = await _upload(request)
    engines = requests.engines(request)
    cut = None if upload.multipart_id is None else parts.cut(upload.size)
    if cut is not None and upload.multipart_id is not None:
        store = await engines.store_of(upload.backend)
        held = await store.parts_of(upload.key, upload.multipart_id)
        # None: the store has joined them already.
        missing = [] if held is None else parts.missing(cut, held)
        if missing:
            raise Conflict(
                f"{len(missing)} of {cut.count} parts are missing: {parts.ranges(missing)}. Send them, then complete."
            )
    async with engines.database.transaction() as session:
        if cut is None:
            await queue.put(session, uploads.KEY, [uploads.subject_of(upload.backend, upload.bucket, upload.key)])
        else:
            await uploads.all_sent(session, upload)
    return Response(b"", status_code=202)


def _cut(upload: Upload) -> Cut:
    cut = parts.cut(upload.size)
    if cut is None:
        raise Conflict(
            f"The file has {upload.size:,} bytes and is brought whole, with its ticket; parts are for "
            f"{parts.IN_PARTS_FROM_BYTES:,} bytes and more."
        )
    return cut


async def _upload(request: AnyRequest) -> tuple[Caller, Upload]:
    upload_id = requests.object_id(request, "upload_id")
    caller = await requests.caller(request)
    caller.must_be_known()
    async with requests.engines(request).database.transaction() as session:
        upload, writers = await reading.find_upload(session, upload_id, caller.audience)
    # A reader of a public object may not see its uploads: that they exist is the uploader's and the owner's business.
    if not (caller.may_act_for(upload.principal_id) or caller.may_change(writers)):
        raise NotFound(f"There is no upload {upload_id} that you may see.")
    return caller, upload


ROUTES: list[HTTPRouteHandler] = [issue_ticket, read_upload, list_parts, sign_parts, complete_upload]

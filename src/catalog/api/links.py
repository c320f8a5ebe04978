"""Everything that is signed for a caller: links to download, tickets, parts. Each is noted, none is kept.

Nothing else here signs: what was not noted was not given out. Whoever asks has just been checked against the object.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from catalog.access.issued import Issued, Ledger, What
from catalog.access.principals import Caller
from catalog.api import problems, requests, shapes
from catalog.api.requests import AnyRequest
from catalog.api.shapes import ShownTicket
from catalog.objects.reading import FileView
from catalog.objects.tables import Upload
from catalog.objects.versions import FrozenFile
from catalog.storage import parts
from catalog.storage.s3 import Ticket
from catalog.storage.signing import Link


def downloads(
    request: AnyRequest, caller: Caller, at: datetime
) -> Callable[[UUID, Sequence[FileView | FrozenFile], int | None], list[Link]]:
    """Return what signs links to files of an object that are there, or of a version of it.

    Links of one answer share their moment `at`, and with it most of the work.
    """
    store = requests.engines(request).store
    lifetime = request.app.state.settings.link_lifetime

    def sign(object_id: UUID, files: Sequence[FileView | FrozenFile], version: int | None) -> list[Link]:
        signed = []
        for file in files:
            assert file.key is not None  # ruff: ignore[S101] - an available file has a location.
            signed.append(
                store.download_link(
                    file.key,
                    version_id=file.store_version,
                    filename=file.path.rsplit("/", 1)[-1],
                    media_type=file.media_type,
                    lifetime=lifetime,
                    now=at,
                )
            )
        if signed:
            paths = [file.path for file in files]
            _note(
                request,
                caller,
                What.DOWNLOAD,
                object_id,
                paths,
                at=at,
                expires_at=signed[0].expires_at,
                version=version,
            )
        return signed

    return sign


def tickets(request: AnyRequest, caller: Caller, uploads: Sequence[Upload], at: datetime) -> list[ShownTicket]:
    """Sign a ticket for each upload of one object, from the moment it was issued; no call to the store."""
    store = requests.engines(request).store
    shown = []
    for upload in uploads:
        in_parts = shapes.parts_of(upload)
        if upload.multipart_id is not None or upload.size > parts.SINGLE_PUT_BYTES_MAX:
            shown.append(ShownTicket(upload.id, upload.path, None, None, {}, upload.expires_at, in_parts))
            continue
        signed = store.upload_ticket(
            upload.key,
            size=upload.size,
            sha256=upload.sha256,
            media_type=upload.media_type,
            lifetime=upload.expires_at - upload.created_at,
            now=upload.created_at,
        )
        told = dict(signed.headers)
        shown.append(ShownTicket(upload.id, upload.path, "PUT", signed.url, told, signed.expires_at, in_parts))
    paths = [ticket.path for ticket in shown if ticket.url is not None]
    if paths:
        ends = max(ticket.expires_at for ticket in shown if ticket.url is not None)
        _note(request, caller, What.UPLOAD, uploads[0].object_id, paths, at=at, expires_at=ends)
    return shown


def for_parts(
    request: AnyRequest,
    caller: Caller,
    upload: Upload,
    multipart_id: str,
    *,
    sizes: Sequence[tuple[int, int]],
    at: datetime,
) -> list[Ticket]:
    """Sign the PUT of each of these parts, given as number and size."""
    store, lifetime = requests.engines(request).store, request.app.state.settings.upload_lifetime
    signed = [
        store.part_ticket(upload.key, multipart_id, number, size=size, lifetime=lifetime, now=at)
        for number, size in sizes
    ]
    _note(request, caller, What.PART, upload.object_id, [upload.path], at=at, expires_at=signed[0].expires_at)
    return signed


def _note(
    request: AnyRequest,
    caller: Caller,
    what: What,
    object_id: UUID,
    paths: Sequence[str],
    *,
    at: datetime,
    expires_at: datetime,
    version: int | None = None,
) -> None:
    ledger: Ledger = request.app.state.ledger
    ledger.note(Issued(at, problems.request_id.get(), caller.id, what, object_id, version, paths, expires_at))

"""Everything that is signed for a caller: links to download, tickets, parts. Each is noted, none is kept.

Nothing else here signs: what was not noted was not given out. Whoever asks has just been checked against the object.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from catalog.access import issued
from catalog.access.issued import Issued, Ledger, What
from catalog.access.principals import Caller
from catalog.api import problems, requests, shapes
from catalog.api.requests import AnyRequest
from catalog.api.shapes import ShownTicket
from catalog.errors import CatalogError
from catalog.objects.holdings import Holding
from catalog.objects.reading import FileView
from catalog.objects.tables import Upload
from catalog.objects.versions import FrozenFile
from catalog.storage import parts
from catalog.storage.keys import OWN
from catalog.storage.s3 import Store, Ticket
from catalog.storage.signing import Link


async def downloads(
    request: AnyRequest, caller: Caller, at: datetime, backends: Iterable[str | None]
) -> Callable[[UUID, Sequence[FileView | FrozenFile], int | None], list[Link | None]]:
    """Return what signs links to files of an object that are there, or of a version of it.

    Links of one answer share their moment `at`, and with it most of the work. `backends` are those of all files that
    it will be asked for; a file in one that cannot be had now gets no link.
    """
    stores = await _stores(request, backends)
    lifetime = request.app.state.settings.link_lifetime

    def sign(object_id: UUID, files: Sequence[FileView | FrozenFile], version: int | None) -> list[Link | None]:
        signed: list[Link | None] = []
        for file in files:
            store = stores[file.backend]
            if isinstance(store, CatalogError):
                signed.append(None)
                continue
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
        given = [(file.path, link) for file, link in zip(files, signed, strict=True) if link is not None]
        if given:
            paths = [path for path, _ in given]
            _note(
                request,
                caller,
                What.DOWNLOAD,
                object_id,
                paths,
                at=at,
                expires_at=given[0][1].expires_at,
                version=version,
            )
        return signed

    return sign


async def inline(request: AnyRequest, caller: Caller, object_id: UUID, file: FileView, at: datetime) -> Link:
    """Sign a link that a page shows in its place; of types that run nothing, which the caller has made sure of."""
    assert file.key is not None  # ruff: ignore[S101] - an available file has a location.
    assert file.backend is not None  # ruff: ignore[S101] - as above.
    store = await requests.engines(request).store_of(file.backend)
    link = store.inline_link(
        file.key,
        version_id=file.store_version,
        media_type=file.media_type,
        lifetime=request.app.state.settings.link_lifetime,
        now=at,
    )
    _note(request, caller, What.DOWNLOAD, object_id, [file.path], at=at, expires_at=link.expires_at)
    return link


def shown(request: AnyRequest, caller: Caller, object_id: UUID, path: str, at: datetime) -> None:
    """Note that the beginning of a file was shown to this caller: who has seen bytes is known, however they came."""
    _note(request, caller, What.DOWNLOAD, object_id, [path], at=at, expires_at=at)


async def download(
    request: AnyRequest,
    caller: Caller,
    file: FileView | FrozenFile,
    *,
    object_id: UUID,
    version: int | None,
    at: datetime,
) -> Link:
    """Return a link to one file that is there; raises Detached, Unavailable where its store cannot be had."""
    stores = await _stores(request, [file.backend])
    fault = stores[file.backend]
    if isinstance(fault, CatalogError):
        raise fault
    (link,) = (await downloads(request, caller, at, [file.backend]))(object_id, [file], version)
    assert link is not None  # ruff: ignore[S101] - its store is there.
    return link


async def _stores(request: AnyRequest, backends: Iterable[str | None]) -> dict[str | None, Store | CatalogError]:
    """Return the store of each backend, or why it cannot be had: one that is out of order takes no other along."""
    engines = requests.engines(request)
    found: dict[str | None, Store | CatalogError] = {OWN: engines.store}
    for name in set(backends) - {OWN, None}:
        try:
            found[name] = await engines.store_of(name or OWN)
        except CatalogError as fault:
            found[name] = fault
    return found


async def tickets(request: AnyRequest, caller: Caller, uploads: Sequence[Upload], at: datetime) -> list[ShownTicket]:
    """Sign a ticket for each upload of one object, from the moment it was issued; no call to the store."""
    engines = requests.engines(request)
    shown = []
    for upload in uploads:
        in_parts = shapes.parts_of(upload)
        if upload.multipart_id is not None or upload.size > parts.SINGLE_PUT_BYTES_MAX:
            shown.append(ShownTicket(upload.id, upload.path, None, None, {}, upload.expires_at, in_parts))
            continue
        store = await engines.store_of(upload.backend)
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


async def for_parts(
    request: AnyRequest,
    caller: Caller,
    upload: Upload,
    multipart_id: str,
    *,
    sizes: Sequence[tuple[int, int]],
    at: datetime,
) -> list[Ticket]:
    """Sign the PUT of each of these parts, given as number and size."""
    store = await requests.engines(request).store_of(upload.backend)
    lifetime = request.app.state.settings.upload_lifetime
    signed = [
        store.part_ticket(upload.key, multipart_id, number, size=size, lifetime=lifetime, now=at)
        for number, size in sizes
    ]
    _note(request, caller, What.PART, upload.object_id, [upload.path], at=at, expires_at=signed[0].expires_at)
    return signed


async def for_manifest(
    request: AnyRequest, caller: Caller, files: Sequence[Holding], at: datetime
) -> list[tuple[Holding, Link]]:
    """Sign links to files of many objects, sorted by these; who got them is written down before they are returned.

    Files whose store cannot be had now are left out: nobody could fetch them.
    """
    stores, lifetime = (
        await _stores(request, [file.backend for file in files]),
        request.app.state.settings.link_lifetime,
    )
    signed = [
        (
            file,
            store.download_link(
                file.key,
                version_id=file.store_version,
                filename=file.path.rsplit("/", 1)[-1],
                media_type=file.media_type,
                lifetime=lifetime,
                now=at,
            ),
        )
        for file in files
        if not isinstance(store := stores[file.backend], CatalogError)
    ]
    if not signed:
        return []
    request_id, ends = problems.request_id.get(), signed[0][1].expires_at
    rows = [
        Issued(at, request_id, caller.id, What.DOWNLOAD, object_id, None, [file.path for file, _ in own], ends)
        for object_id, own in groupby(signed, lambda one: one[0].object_id)
    ]
    async with requests.engines(request).database.transaction() as session:
        await issued.write(session, rows)
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

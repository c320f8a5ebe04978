"""`/api/notifications`: where buckets say "look at this key".

Only the token, the size and one insert stand between a store and its 2xx: a refused event would block the store's
queue, so whatever an authenticated store sends is kept, readable or not.
"""

from collections.abc import Callable

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.api import requests
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.errors import Unauthenticated
from catalog.objects import uploads
from catalog.storage import notifications, unreadable
from catalog.storage.keys import OWN, PROBES
from catalog.storage.notifications import Noticed, UnreadableNotification

# Longer than any key we ever hand out; what does not fit an index row cannot be ours either.
SUBJECT_BYTES_MAX = 2_000


def _promise(dialect: str, shape: str) -> Operation:
    return Operation(
        id=f"notify_{dialect}",
        summary=f"Take a notification in {shape}",
        tag="notifications",
        token=True,
        scope=None,
        description="Needs the notification token as a bearer token. What cannot be read is kept with the reason.",
        body=Body({"type": "object"}),
        answers={204: Answer("Kept.")},
        problems=(413,),
    )


@operation("POST", "/api/notifications/s3", _promise("s3", "S3's event record format (MinIO, AWS, Ceph)"))
async def notify_s3(request: AnyRequest) -> Response[bytes]:
    """Take an S3 event."""
    return await _take(request, "s3", notifications.parse_s3, notifications.S3_BODY_BYTES_MAX)


@operation("POST", "/api/notifications/seaweedfs", _promise("seaweedfs", "SeaweedFS's webhook format"))
async def notify_seaweedfs(request: AnyRequest) -> Response[bytes]:
    """Take a SeaweedFS event."""
    return await _take(request, "seaweedfs", notifications.parse_seaweedfs, notifications.SEAWEEDFS_BODY_BYTES_MAX)


async def _take(
    request: AnyRequest, dialect: str, parse: Callable[[bytes], list[Noticed]], most_bytes: int
) -> Response[bytes]:
    _must_be_a_store(request)
    engines = requests.engines(request)
    subjects: set[str] = set()
    body = await requests.beginning(request, most_bytes)
    reason = f"The body has more than {most_bytes:,} bytes." if len(body) > most_bytes else None
    if reason is None:
        try:
            subjects = {_subject(noticed) for noticed in parse(body)}
        except UnreadableNotification as fault:
            reason, subjects = fault.detail, {_subject(noticed) for noticed in fault.beside}
    own = f"{OWN}/{engines.placement.bucket}/"
    # What trying our own store brought is gone again, and nobody's.
    within = f"{engines.placement.prefix}/" if engines.placement.prefix else ""
    tried = f"{own}{within}{PROBES}/"
    subjects = {subject for subject in subjects if not subject.startswith(tried)}
    ours = [subject for subject in subjects if subject.startswith(own) and _fits(subject)]
    others = [subject for subject in subjects if not subject.startswith(own) and _fits(subject)]
    if reason is not None or others:
        async with engines.database.transaction() as session:
            if reason is not None:
                await unreadable.keep(session, dialect=dialect, reason=reason, body=body)
            # Of other buckets only what a ticket of ours was for, whichever store speaks: a hint does no harm.
            ours += await uploads.awaited_elsewhere(session, [uploads.location_of(one)[1:] for one in others])
    await engines.notes.put(uploads.KEY, ours)
    return Response(b"", status_code=204)


def _subject(noticed: Noticed) -> str:
    return uploads.subject_of(OWN, noticed.bucket, noticed.key)


def _fits(subject: str) -> bool:
    return "\x00" not in subject and len(subject.encode(errors="replace")) <= SUBJECT_BYTES_MAX


def _must_be_a_store(request: AnyRequest) -> None:
    token = requests.bearer(request.headers.get("authorization", ""))
    if not requests.is_of_a_store(request.app.state.settings, token):
        raise Unauthenticated("Send the notification token as `Authorization: Bearer <token>`.")


ROUTES: list[HTTPRouteHandler] = [notify_s3, notify_seaweedfs]

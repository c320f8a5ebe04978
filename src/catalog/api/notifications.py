"""`/api/notifications`: where buckets say "look at this key".

Only the token, the size and one insert stand between a store and its 2xx: a refused event would block the store's
queue, so whatever an authenticated store sends is kept, readable or not.
"""

import hmac
from collections.abc import Callable
from typing import Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog import queue
from catalog.api import requests
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.engines import BACKEND
from catalog.errors import Unauthenticated
from catalog.objects import uploads
from catalog.storage import notifications, unreadable
from catalog.storage.notifications import Noticed, UnreadableNotification

# Longer than any key we ever hand out; what does not fit an index row cannot be ours either.
SUBJECT_BYTES_MAX = 2_000


def _promise(dialect: str, shape: str) -> Operation:
    return Operation(
        id=f"notify_{dialect}",
        summary=f"Take a notification in {shape}",
        tag="notifications",
        token=True,
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
    async with engines.database.transaction() as session:
        if reason is not None:
            await unreadable.keep(session, dialect=dialect, reason=reason, body=body)
        # Keys of other buckets are none of ours; the token says which backend speaks.
        ours = [subject for subject in subjects if subject.startswith(f"{BACKEND}/{engines.placement.bucket}/")]
        await queue.put(session, uploads.KEY, [subject for subject in ours if _fits(subject)])
    return Response(b"", status_code=204)


def _subject(noticed: Noticed) -> str:
    return uploads.subject_of(BACKEND, noticed.bucket, noticed.key)


def _fits(subject: str) -> bool:
    return "\x00" not in subject and len(subject.encode(errors="replace")) <= SUBJECT_BYTES_MAX


def _must_be_a_store(request: AnyRequest) -> None:
    expected: Any = request.app.state.settings.notification_token
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    known = hmac.compare_digest(token.strip().encode(), expected.get_secret_value().encode())
    if scheme.lower() != "bearer" or not known:
        raise Unauthenticated("Send the notification token as `Authorization: Bearer <token>`.")


ROUTES: list[HTTPRouteHandler] = [notify_s3, notify_seaweedfs]

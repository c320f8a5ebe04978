"""`/api/notifications`: where buckets say "look at this key".

Only the token, the size, what the store has told this minute and one insert stand between it and its 2xx: a refused
event would block the store's queue, so whatever the catalog's own store sends is kept, readable or not. A store of an
organization has a token of its own, and is heard of its own keys alone.
"""

import time
from collections.abc import Callable, Sequence

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.api import requests
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.limits import Events
from catalog.api.requests import AnyRequest
from catalog.engines import Engines
from catalog.errors import Forbidden, Invalid, Unauthenticated
from catalog.objects import uploads
from catalog.storage import event_tokens, notifications, unreadable
from catalog.storage.backends import Backend
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
        description=(
            "Needs the notification token as a bearer token, of the catalog or of a store of an organization, which is "
            "heard of its own keys alone. What cannot be read of the former is kept with the reason. Beyond so many "
            "events a minute a store is answered 429."
        ),
        body=Body({"type": "object"}),
        answers={204: Answer("Kept.")},
        problems=(403, 413),
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
    backend = await _speaking(request)
    engines = requests.engines(request)
    told: list[Noticed] = []
    body = await requests.beginning(request, most_bytes)
    reason = f"The body has more than {most_bytes:,} bytes." if len(body) > most_bytes else None
    if reason is None:
        try:
            told = parse(body)
        except UnreadableNotification as fault:
            reason, told = fault.detail, list(fault.beside)
    if backend is not None:
        _events(request).take(str(backend.id), max(len(told), 1), now=time.monotonic())
        await _queue_of(engines, backend, told, reason)
        return Response(b"", status_code=204)
    subjects = {_subject(noticed) for noticed in told}
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


async def _queue_of(engines: Engines, backend: Backend, told: Sequence[Noticed], reason: str | None) -> None:
    """Queue what a store of an organization tells of itself; raises Forbidden where all of it is of others, Invalid.

    What cannot be read is refused and not kept: how much of our disk it takes is not for an organization to say.
    """
    if not told and reason is not None:
        raise Invalid(reason)
    place = backend.place
    mine = {(one.bucket, one.key) for one in told if one.bucket == place.bucket}
    if told and not mine:
        raise Forbidden(f"This token is for keys of bucket {place.bucket} alone; give each store the token of its own.")
    # The bucket may tell of all that lies in it: what is beside the prefix is passed over.
    within = [(bucket, key) for bucket, key in mine if key.startswith(place.within)]
    async with engines.database.transaction() as session:
        awaited = await uploads.awaited_elsewhere(session, within, backend=str(backend.id))
    await engines.notes.put(uploads.KEY, awaited)


def _subject(noticed: Noticed) -> str:
    return uploads.subject_of(OWN, noticed.bucket, noticed.key)


def _fits(subject: str) -> bool:
    return "\x00" not in subject and len(subject.encode(errors="replace")) <= SUBJECT_BYTES_MAX


def _events(request: AnyRequest) -> Events:
    events: Events = request.app.state.events
    return events


async def _speaking(request: AnyRequest) -> Backend | None:
    """Return the backend whose token this is, None with that of the catalog's own store.

    Raises Unauthenticated, and TooManyRequests for a store that has told too much.
    """
    token = requests.bearer(request.headers.get("authorization", ""))
    events, at = _events(request), time.monotonic()
    if requests.is_of_a_store(request.app.state.settings, token):
        # Its operator is ours, and what is refused may be lost: some stores tell once.
        return None
    known = events.store_of(token)
    if known is not None:
        # Before anything is asked: a flood costs the database nothing.
        events.must_have_some(known, now=at)
    backend = None
    if token is not None:
        async with requests.engines(request).database.transaction() as session:
            backend = await event_tokens.holder_of(session, token)
    if token is None or backend is None:
        events.forget(token or "")
        raise Unauthenticated("Send the notification token as `Authorization: Bearer <token>`.")
    events.know(token, str(backend.id))
    events.must_have_some(str(backend.id), now=at)
    return backend


ROUTES: list[HTTPRouteHandler] = [notify_s3, notify_seaweedfs]

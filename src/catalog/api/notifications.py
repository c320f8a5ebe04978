"""`/api/notifications`: where buckets say "look at this key".

Only the token, the size, what the store has told this minute and one insert stand between it and its 2xx: a refused
event would block the store's queue, so whatever the catalog's own store sends is kept, readable or not. A store of an
organization has a token of its own, and is heard of its own keys alone.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.api import requests
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.limits import Events
from catalog.api.requests import AnyRequest
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import Forbidden, Invalid, Unauthenticated
from catalog.objects import hearing, uploads
from catalog.storage import backends, event_tokens
from catalog.storage.backends import Backend, Use
from catalog.storage.dialects import eventbridge, s3, seaweedfs, sns
from catalog.storage.dialects.noticed import Noticed, UnreadableNotification
from catalog.storage.keys import OWN

log = structlog.get_logger("catalog.notifications")


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


@operation("POST", "/api/notifications/s3", _promise("s3", "S3's event record format (MinIO, AWS, Ceph, RustFS)"))
async def notify_s3(request: AnyRequest) -> Response[bytes]:
    """Take an S3 event."""
    return await _take(request, Dialect("s3", s3.parse, s3.BODY_BYTES_MAX))


@operation("POST", "/api/notifications/seaweedfs", _promise("seaweedfs", "SeaweedFS's webhook format"))
async def notify_seaweedfs(request: AnyRequest) -> Response[bytes]:
    """Take a SeaweedFS event."""
    return await _take(request, Dialect("seaweedfs", seaweedfs.parse, seaweedfs.BODY_BYTES_MAX))


@operation("POST", "/api/notifications/eventbridge", _promise("eventbridge", "the format of AWS's EventBridge"))
async def notify_eventbridge(request: AnyRequest) -> Response[bytes]:
    """Take an event of AWS's event bus."""
    return await _take(request, Dialect("eventbridge", eventbridge.parse, eventbridge.BODY_BYTES_MAX))


@operation(
    "POST",
    "/api/notifications/sns",
    Operation(
        id="notify_sns",
        summary="Take a message of one of AWS's topics (SNS)",
        tag="notifications",
        scope=None,
        description=(
            "Needs no token: each message is signed, and heard if the operator has named its topic "
            "(`CATALOG_SNS_TOPICS`). That we want to hear such a topic is confirmed by itself. What cannot be read of "
            "one that speaks for the catalog's own store is kept with the reason."
        ),
        body=Body({"type": "object"}),
        answers={204: Answer("Kept.")},
        problems=(403, 413),
    ),
)
async def notify_sns(request: AnyRequest) -> Response[bytes]:
    """Take a message of a topic."""
    topics = requests.engines(request).topics
    try:
        envelope = sns.read(await requests.beginning(request, sns.BODY_BYTES_MAX))
    except UnreadableNotification as fault:
        raise Unauthenticated(f"This is no signed message of a topic: {fault.detail}") from None
    speaking_for = topics.backend_of(envelope.topic)
    if speaking_for is None:
        raise Forbidden("Nobody has named this topic among those that are heard (CATALOG_SNS_TOPICS).")
    sns.must_be_signed(envelope, await topics.certificate(envelope.certificate), at=now())
    if envelope.confirm is not None:
        await topics.confirm(envelope.confirm)
    if envelope.kind is not sns.Kind.NOTIFICATION:
        log.info("topic", said=envelope.kind.value, topic=envelope.topic)
        return Response(b"", status_code=204)
    backend = None if speaking_for == OWN else await _brought(request, speaking_for)
    if backend is not None:
        _events(request).must_have_some(str(backend.id), now=time.monotonic())
    heard = hearing.read("sns", envelope.message.encode(errors="replace"), lambda: sns.parse(envelope))
    return await _keep(request, heard, backend)


async def _brought(request: AnyRequest, named: str) -> Backend:
    async with requests.engines(request).database.transaction() as session:
        backend = await backends.find_anywhere(session, UUID(named))
    if backend is None or backend.detached_at is not None:
        raise Forbidden("The backend that this topic speaks for is not there any more.")
    return backend


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one family of stores speaks."""

    name: str
    parse: Callable[[bytes], list[Noticed]]
    bytes_max: int


async def _take(request: AnyRequest, dialect: Dialect) -> Response[bytes]:
    backend = await _speaking(request)
    body = await requests.beginning(request, dialect.bytes_max)
    if len(body) > dialect.bytes_max:
        heard = hearing.Heard(dialect.name, body, reason=f"The body has more than {dialect.bytes_max:,} bytes.")
    else:
        heard = hearing.read(dialect.name, body, lambda: dialect.parse(body))
    return await _keep(request, heard, backend)


async def _keep(request: AnyRequest, heard: hearing.Heard, backend: Backend | None) -> Response[bytes]:
    """Queue what was heard, of the catalog's own store or of that of an organization."""
    engines = requests.engines(request)
    if backend is not None:
        _events(request).take(str(backend.id), max(len(heard.told), 1), now=time.monotonic())
        await _queue_of(engines, backend, heard.told, heard.reason)
        return Response(b"", status_code=204)
    await hearing.keep(engines.database, engines.notes, engines.placement, heard)
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
    if Use.DATA in backend.uses:
        looks = hearing.lying_in([backend], within)
    else:
        async with engines.database.transaction() as session:
            looks = await uploads.awaited_elsewhere(session, within, backend=str(backend.id))
    await engines.notes.put(uploads.KEY, looks)


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


ROUTES: list[HTTPRouteHandler] = [notify_s3, notify_seaweedfs, notify_eventbridge, notify_sns]

"""`/api/operations`, `/livez`, `/readyz`: how the catalog itself is doing."""

import asyncio
from datetime import datetime
from typing import Literal

import msgspec
import sqlalchemy as sa
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog import queue
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.engines import Engines
from catalog.errors import CatalogError
from catalog.operations.figures import Gauges
from catalog.storage import health, unreadable
from catalog.storage.backends import Health as BackendHealth
from catalog.storage.keys import OWN
from catalog.sync import rounds
from catalog.sync.comparing import Kind

PING_SECONDS_MAX = 3


class ParkedEntry(msgspec.Struct, frozen=True):
    """A queue entry that waits for a person."""

    topic: str
    subject: str
    reason: str
    attempts: int
    parked_at: datetime


class Agreement(msgspec.Struct, frozen=True):
    """What the last comparison of the index with the database met, by what was wrong, and how much it removed.

    Where it `held_back`, more documents were of no object than may be removed without a question.
    """

    began_at: datetime
    ended_at: datetime | None
    objects: int
    documents: int
    missing: int
    stale: int
    altered: int
    extra: int
    removed: int
    held_back: bool


class QueueReport(msgspec.Struct, frozen=True):
    """How much waits to be done; `unreadable` counts notifications that no parser understood.

    `agreement` is null until the index was once compared with the database.
    """

    depth: dict[str, int]
    oldest_seconds: float | None
    parked: list[ParkedEntry]
    unreadable: int
    agreement: Agreement | None


class BackendCounts(msgspec.Struct, frozen=True):
    """How many stores of organizations work and how many fail, and how the catalog's own was found last."""

    healthy: int
    failing: int
    default: Literal["healthy", "failing"]


class IndexStanding(msgspec.Struct, frozen=True):
    """How far the index is behind, in seconds, and whether the last comparison with the database found all right.

    Both are null before a first comparison has ended. How much was wrong is told to curators and by metrics.
    """

    lag_seconds: int
    compared_at: datetime | None
    agreed: bool | None


class Health(msgspec.Struct, frozen=True):
    """Whether the service can do its work, engine by engine.

    `backends` and `index` are told and decide nothing: the service is ready whatever stores do, and however far the
    index is behind; some seconds old, null without a database.
    """

    status: Literal["pass", "fail"]
    engines: dict[str, str]
    backends: BackendCounts | None
    index: IndexStanding | None


@operation(
    "GET",
    "/api/operations/queue",
    Operation(
        id="read_queue",
        summary="See what waits to be done, what is parked, and whether the index agreed",
        description="For curators and admins.",
        tag="operations",
        token=True,
        answers={200: Answer("The queue.", QueueReport)},
        problems=(403,),
    ),
)
async def read_queue(request: AnyRequest) -> Response[bytes]:
    """Report the queue."""
    caller = await requests.caller(request)
    caller.must_look_after_all()
    async with requests.engines(request).database.transaction() as session:
        depth = await queue.depth(session)
        kept = await unreadable.count(session)
        round_ = await rounds.present(session)
    tally = None if round_ is None else round_.ended
    agreement = None if tally is None else msgspec.convert(tally, Agreement, from_attributes=True)
    parked = [ParkedEntry(one.topic, one.subject, one.reason, one.attempts, one.parked_at) for one in depth.parked]
    return shapes.json_response(QueueReport(depth.waiting, depth.oldest_seconds, parked, kept, agreement))


@operation(
    "GET",
    "/livez",
    Operation(
        id="read_liveness",
        summary="Whether the process answers",
        tag="operations",
        scope=None,
        answers={200: Answer("It does.", {"type": "string"}, media_type="text/plain")},
    ),
)
async def read_liveness(request: AnyRequest) -> Response[str]:  # ruff: ignore[ARG001] - Litestar passes it by name.
    """Answer."""
    return Response("alive\n", media_type="text/plain")


@operation(
    "GET",
    "/readyz",
    Operation(
        id="read_readiness",
        summary="Whether every engine answers",
        tag="operations",
        scope=None,
        answers={
            200: Answer("All do.", Health, headers={"Cache-Control": "no-store"}),
            503: Answer("Some do not, or this process is about to end.", Health),
        },
    ),
)
async def read_readiness(request: AnyRequest) -> Response[bytes]:
    """Ask every engine."""
    engines = requests.engines(request)
    counted = asyncio.create_task(_backends(engines))
    standing = asyncio.create_task(_index(request))
    named = {"database": engines.database.ping(), "search": engines.index.ping(), "store": engines.store.ping()}
    outcomes = await asyncio.gather(
        *(asyncio.wait_for(ping, PING_SECONDS_MAX) for ping in named.values()), return_exceptions=True
    )
    told = {
        name: "pass" if outcome is None else f"fail: {type(outcome).__name__}"
        for name, outcome in zip(named, outcomes, strict=True)
    }
    # Whoever shares out requests sends none any more, before the process ends.
    ready = all(word == "pass" for word in told.values()) and not request.app.state.draining
    answer = Health("pass" if ready else "fail", told, await counted, await standing)
    return shapes.json_response(answer, status=200 if ready else 503, headers={"Cache-Control": "no-store"})


async def _index(request: AnyRequest) -> IndexStanding | None:
    gauges: Gauges = request.app.state.gauges
    try:
        figures = await asyncio.wait_for(gauges.figures(), PING_SECONDS_MAX)
    except TimeoutError:
        return None
    if figures is None:
        return None
    last = figures.agreement
    wrong = None if last is None else any(getattr(last, kind.value) for kind in Kind)
    compared_at = None if last is None else last.ended_at
    return IndexStanding(int(figures.lag_seconds), compared_at, None if wrong is None else not wrong)


async def _backends(engines: Engines) -> BackendCounts | None:
    try:
        async with asyncio.timeout(PING_SECONDS_MAX), engines.database.transaction() as session:
            counted = await health.counts(session)
            own = (await health.of(session, [OWN])).get(OWN)
    except (TimeoutError, CatalogError, sa.exc.SQLAlchemyError, OSError):
        return None
    failing = own is not None and own.standing.state is BackendHealth.FAILING
    return BackendCounts(
        counted[BackendHealth.HEALTHY], counted[BackendHealth.FAILING], "failing" if failing else "healthy"
    )


ROUTES: list[HTTPRouteHandler] = [read_queue, read_liveness, read_readiness]

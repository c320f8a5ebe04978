"""`/api/operations`, `/livez`, `/readyz`: how the catalog itself is doing."""

import asyncio
from datetime import datetime
from typing import Literal

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog import queue
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.storage import unreadable

PING_SECONDS_MAX = 3


class ParkedEntry(msgspec.Struct, frozen=True):
    """A queue entry that waits for a person."""

    topic: str
    subject: str
    reason: str
    attempts: int
    parked_at: datetime


class QueueReport(msgspec.Struct, frozen=True):
    """How much waits to be done; `unreadable` counts notifications that no parser understood."""

    depth: dict[str, int]
    oldest_seconds: float | None
    parked: list[ParkedEntry]
    unreadable: int


class Health(msgspec.Struct, frozen=True):
    """Whether the service can do its work, engine by engine."""

    status: Literal["pass", "fail"]
    engines: dict[str, str]


@operation(
    "GET",
    "/api/operations/queue",
    Operation(
        id="read_queue",
        summary="See what waits to be done, and what is parked",
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
    parked = [ParkedEntry(one.topic, one.subject, one.reason, one.attempts, one.parked_at) for one in depth.parked]
    return shapes.json_response(QueueReport(depth.waiting, depth.oldest_seconds, parked, kept))


@operation(
    "GET",
    "/livez",
    Operation(
        id="read_liveness",
        summary="Whether the process answers",
        tag="operations",
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
        answers={
            200: Answer("All do.", Health, headers={"Cache-Control": "no-store"}),
            503: Answer("Some do not.", Health),
        },
    ),
)
async def read_readiness(request: AnyRequest) -> Response[bytes]:
    """Ask every engine."""
    engines = requests.engines(request)
    named = {"database": engines.database.ping(), "search": engines.index.ping(), "store": engines.store.ping()}
    outcomes = await asyncio.gather(
        *(asyncio.wait_for(ping, PING_SECONDS_MAX) for ping in named.values()), return_exceptions=True
    )
    told = {
        name: "pass" if outcome is None else f"fail: {type(outcome).__name__}"
        for name, outcome in zip(named, outcomes, strict=True)
    }
    ready = all(word == "pass" for word in told.values())
    return shapes.json_response(
        Health("pass" if ready else "fail", told), status=200 if ready else 503, headers={"Cache-Control": "no-store"}
    )


ROUTES: list[HTTPRouteHandler] = [read_queue, read_liveness, read_readiness]

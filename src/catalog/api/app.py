"""The application: routes, error handlers, what every request passes, and the engines' lifetime."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Litestar, Response, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.types import ControllerRouterHandler, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from catalog import measuring, tracing
from catalog.access.issued import Ledger
from catalog.access.uses import Uses
from catalog.api import (
    access_log,
    accounts,
    activities,
    addressing,
    adoptions,
    agents,
    audit,
    backends,
    bulk,
    capacity,
    contract,
    credentials,
    curation,
    dois,
    event_tokens,
    events,
    exports,
    fields,
    files,
    grants,
    health,
    hints,
    history,
    imports,
    inventory,
    jobs,
    kinds,
    limits,
    members,
    notices,
    notifications,
    object_retention,
    objects,
    operations,
    organizations,
    outside,
    parked,
    problems,
    proposals,
    provenance,
    quality,
    quotas,
    relations,
    relocations,
    requests,
    retention,
    roles,
    saved_searches,
    search,
    shapes,
    snapshots,
    storages,
    subscriptions,
    targets,
    tokens,
    uploads,
    versions,
    vocabularies,
    written,
)
from catalog.engines import opened
from catalog.operations import scraping
from catalog.operations.figures import Gauges
from catalog.settings import Settings

log = structlog.get_logger("catalog.access")

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# Asked every few seconds by whoever watches us; a line for each would drown the rest.
UNLOGGED = frozenset({"/livez", "/readyz", scraping.PATH})

# What every answer says that does not say it itself. An answer of the API is no page: a browser that is led to one runs
# and loads nothing, frames it nowhere, and keeps it for nobody else.
UNLESS_SAID = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"private, no-cache"),
)

ROUTES: list[HTTPRouteHandler] = [
    *objects.ROUTES,
    *members.ROUTES,
    *versions.ROUTES,
    *history.ROUTES,
    *outside.ROUTES,
    *quality.ROUTES,
    *quotas.ROUTES,
    *inventory.ROUTES,
    *adoptions.ROUTES,
    *retention.ROUTES,
    *object_retention.ROUTES,
    *relations.ROUTES,
    *activities.ROUTES,
    *agents.ROUTES,
    *provenance.ROUTES,
    *bulk.ROUTES,
    *curation.ROUTES,
    *imports.ROUTES,
    *dois.ROUTES,
    *snapshots.ROUTES,
    *files.ROUTES,
    *uploads.ROUTES,
    *jobs.ROUTES,
    *grants.ROUTES,
    *organizations.ROUTES,
    *roles.ROUTES,
    *accounts.ROUTES,
    *tokens.ROUTES,
    *audit.ROUTES,
    *backends.ROUTES,
    *event_tokens.ROUTES,
    *targets.ROUTES,
    *capacity.ROUTES,
    *health.ROUTES,
    *notices.ROUTES,
    *storages.ROUTES,
    *relocations.ROUTES,
    *credentials.ROUTES,
    *access_log.ROUTES,
    *search.ROUTES,
    *saved_searches.ROUTES,
    *subscriptions.ROUTES,
    *exports.ROUTES,
    *fields.ROUTES,
    *hints.ROUTES,
    *kinds.ROUTES,
    *vocabularies.ROUTES,
    *proposals.ROUTES,
    *notifications.ROUTES,
    *events.ROUTES,
    *operations.ROUTES,
    *parked.ROUTES,
    *problems.ROUTES,
]


@get("/schema/openapi.json", include_in_schema=False)
async def read_contract(request: requests.AnyRequest) -> Response[bytes]:
    """Return the OpenAPI document."""
    return shapes.json_response(request.app.state.contract)


@get(scraping.PATH, include_in_schema=False)
async def read_metrics(request: requests.AnyRequest) -> Response[bytes]:
    """Return what is measured, for whoever may scrape it; the path says no more about it than the answer."""
    peer = request.client.host if request.client else ""
    scraping.must_be_allowed(request.app.state.settings.metrics_token, request.headers, peer)
    gauges: Gauges = request.app.state.gauges
    body, media_type = await gauges.exposition(request.headers.get("accept", ""))
    return Response(body, media_type=media_type, headers={"Cache-Control": "no-store"})


def contract_document() -> dict[str, Any]:
    """Return the OpenAPI document, which depends on no setting and needs no engine."""
    return contract.document(Litestar(ROUTES, openapi_config=None, logging_config=None))


def litestar(settings: Settings, pages: Sequence[ControllerRouterHandler] = ()) -> Litestar:
    """Return the inner application; `pages` are the HTML routes of the web room."""

    @asynccontextmanager
    async def engines(app: Litestar) -> AsyncGenerator[None]:
        async with opened(settings) as engines:
            app.state.engines = engines
            if engines.embedder is not None:
                engines.embedder.open()
            app.state.gauges = Gauges(engines.database, engines.placement.told)
            app.state.ledger = ledger = Ledger(engines.database)
            app.state.uses = uses = Uses(engines.database)
            stop = asyncio.Event()
            keeping = [
                asyncio.create_task(ledger.keep(stop), name="ledger"),
                asyncio.create_task(uses.keep(stop), name="uses"),
            ]
            try:
                yield
            finally:
                # Every request has been answered.
                stop.set()
                await asyncio.gather(*keeping)

    app = Litestar(
        [*ROUTES, read_contract, read_metrics, *pages],
        lifespan=[engines],
        state=State(
            {
                "settings": settings,
                "cursors": requests.Cursors(settings.cursor_key.get_secret_value()),
                "recognised": requests.Recognised(),
                "draining": False,
                "exports": exports.Exports(),
                "refreshes": written.Refreshes(),
                "events": limits.Events(settings.notifications_per_minute),
                "limits": limits.Limits(
                    settings.requests_per_second,
                    anonymous_per_second=settings.requests_per_second_anonymous,
                    organization_per_second=settings.requests_per_second_organization,
                ),
            }
        ),
        middleware=[limits.limited],
        exception_handlers=problems.HANDLERS,
        openapi_config=None,
        logging_config=None,
        # Each handler has its own, smaller limit; this one stands behind them.
        request_max_body_size=None,
    )
    app.state.contract = contract.document(app)
    return app


class Outermost:
    """What every request passes, whatever the route: an id, a log line without secrets, HEAD as GET without a body."""

    def __init__(self, app: Litestar, *, doi_prefix: str = "") -> None:
        self._app = app
        self._doi_prefix = doi_prefix

    def drain(self) -> None:
        """Say from now on that this process is about to end, and go on answering."""
        self._app.state.draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""
        if str(scope["type"]) != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = sent.decode() if REQUEST_ID.fullmatch(sent) else str(uuid7())
        problems.request_id.set(request_id)
        asked: Any = scope
        method: str = asked["method"]
        inner: Any = {**asked, "method": "GET", requests.HEAD: True} if method == "HEAD" else asked
        path = addressing.with_one_part(asked["path"], self._doi_prefix)
        if path != asked["path"]:
            # A problem names the address that was asked for.
            inner = {**inner, "path": path, problems.SENT_PATH: asked["path"]}
        status = 0

        async def out(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said = list(message.get("headers", []))
                names = {name.lower() for name, _ in said}
                said += [header for header in UNLESS_SAID if header[0] not in names]
                message["headers"] = [*said, (b"x-request-id", request_id.encode())]
            elif method == "HEAD" and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        measuring.REQUESTS_IN_FLIGHT.inc()
        asked_by = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            with tracing.request(method if method in measuring.METHODS else "other", request_id, asked_by) as traced:
                try:
                    await self._app(inner, receive, out)
                finally:
                    traced.route, traced.status = inner.get("path_template"), status
        finally:
            seconds = time.perf_counter() - started
            measuring.REQUESTS_IN_FLIGHT.dec()
            measuring.answered(inner.get("path_template"), method, status, seconds)
            if scope["path"] not in UNLOGGED or status >= HTTPStatus.BAD_REQUEST:
                # The path alone: queries are people's business, and headers hold tokens.
                log.info(
                    "request",
                    method=method,
                    path=scope["path"],
                    status=status,
                    milliseconds=round(seconds * 1000, 1),
                )
            structlog.contextvars.reset_contextvars(**bound)


def create_app(settings: Settings, pages: Sequence[ControllerRouterHandler] = ()) -> Outermost:
    """Return the application that a server runs."""
    return Outermost(litestar(settings, pages), doi_prefix=settings.doi_prefix)

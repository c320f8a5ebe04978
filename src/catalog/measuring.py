"""What a process counts about itself, for Prometheus: requests, calls of engines, work that was done.

Every label has few values, all of them ours: templates of routes, never paths; no name of a person, an organization or
an object. What is read from the database at a scrape stands in `operations/figures`.
"""

import time
from types import TracebackType
from typing import Any, Literal, Self

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

from catalog import tracing

Engine = Literal["database", "search", "store"]

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

# From a row that is read to a search that takes all its time; an answer that takes longer is an export.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# What an address leads to that is none of ours.
NOWHERE = "none"

REQUEST_SECONDS = Histogram(
    "catalog_request_seconds",
    "How long requests took, to the last byte of the answer, by route.",
    ("route", "method", "status"),
    buckets=SECONDS,
    registry=REGISTRY,
)
REQUESTS_IN_FLIGHT = Gauge("catalog_requests_in_flight", "Requests that are being answered.", registry=REGISTRY)
ENGINE_SECONDS = Histogram(
    "catalog_engine_call_seconds",
    "How long calls of engines took: statements, searches and writes, requests to stores.",
    ("engine",),
    buckets=CALL_SECONDS,
    registry=REGISTRY,
)
ENGINE_ERRORS = Counter(
    "catalog_engine_errors", "Calls of engines that failed, or were refused.", ("engine",), registry=REGISTRY
)
DOCUMENTS = Counter(
    "catalog_documents",
    "Documents that the indexer sent to the search engine, by what became of them.",
    ("outcome",),
    registry=REGISTRY,
)
HANDLED = Counter(
    "catalog_queue_handled", "Entries of the queue that the indexer claimed.", ("topic",), registry=REGISTRY
)
LANE_FAULTS = Counter(
    "catalog_lane_faults",
    "How often a lane of the indexer had to wait, because an engine was away or a fault was not foreseen.",
    ("topic",),
    registry=REGISTRY,
)

# What is known beforehand is there from the start: a rate needs a first value.
for _engine in ("database", "search", "store"):
    ENGINE_SECONDS.labels(_engine)
    ENGINE_ERRORS.labels(_engine)


def answered(route: str | None, method: str, status: int, seconds: float) -> None:
    """Count a request; one that was broken off before it was answered has the status class 0xx."""
    known = method if method in METHODS else "other"
    REQUEST_SECONDS.labels(route or NOWHERE, known, f"{status // 100}xx").observe(seconds)


class Call:
    """A call of an engine, measured from the beginning of the block to its end; what it raises is an error."""

    __slots__ = ("_began", "_began_ns", "_engine")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._began, self._began_ns = 0.0, 0

    def __enter__(self) -> Self:
        self._began, self._began_ns = time.perf_counter(), time.time_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        ENGINE_SECONDS.labels(self._engine).observe(time.perf_counter() - self._began)
        # Whoever gave up waiting says nothing of the engine.
        failed = kind is not None and issubclass(kind, Exception)
        tracing.call(self._engine, self._began_ns, failed=failed)
        if failed:
            ENGINE_ERRORS.labels(self._engine).inc()


# Where the context of a statement keeps the moment at which it began. Not its connection: one that the server has ended
# must not be asked for anything.
_BEGAN = "catalog_began_ns"


def measure_statements(engine: sa.Engine) -> None:
    """Have every statement of an engine measured; one that contradicts what is there is no error of the database."""

    def began(
        _connection: object, _cursor: object, _statement: str, _parameters: object, context: Any, *_: Any
    ) -> None:
        setattr(context, _BEGAN, time.time_ns())

    def ended(_connection: object, _cursor: object, statement: str, _parameters: object, context: Any, *_: Any) -> None:
        measured(context, statement, failed=False)

    def measured(context: Any, statement: str, *, failed: bool) -> None:
        began_ns = getattr(context, _BEGAN, None)
        if began_ns is None:
            return
        ENGINE_SECONDS.labels("database").observe(max(time.time_ns() - began_ns, 0) / 1e9)
        # The first word alone: what follows may be somebody's.
        verb = (statement.split(maxsplit=1) or [""])[0]
        tracing.call("database", began_ns, failed=failed, doing=verb if verb.isalpha() else None)

    def failed(context: sa.ExceptionContext) -> None:
        measured(context.execution_context, context.statement or "", failed=True)
        if not isinstance(context.sqlalchemy_exception, sa.exc.IntegrityError | sa.exc.DataError):
            ENGINE_ERRORS.labels("database").inc()

    sa.event.listen(engine, "before_cursor_execute", began)
    sa.event.listen(engine, "after_cursor_execute", ended)
    sa.event.listen(engine, "handle_error", failed)

"""Traces of OpenTelemetry, from a request through the queue to the indexer and the engines.

Off unless somebody named where they go: then nothing of the library is loaded, and every function here returns at once.
A span says which route, topic or engine it is about and how that ended, never what was asked, sent or found.
"""

import importlib
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, Span, SpanKind, Tracer

Kind = Literal["server", "client", "consumer"]

# How long spans wait for each other before they are sent, and how long a process waits for the last ones at its end.
SENT_EVERY_SECONDS = 2
ENDING_SECONDS_MAX = 5
# A batch has hundreds of entries, and a span holds so many links at most.
LINKS_MAX = 64


class _State:
    tracer: "Tracer | None" = None
    provider: "TracerProvider | None" = None


class _Step:
    """A step of a lane: it becomes a span when it has claimed something that somebody traces."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.began = time.time_ns()
        self.span: Span | None = None
        self.token: object = None


_step: ContextVar[_Step | None] = ContextVar("step", default=None)


def begin(endpoint: str, *, service: str, share: float) -> None:
    """Send a share of all traces to this address by OTLP over HTTP; raises ModuleNotFoundError without the packages."""
    sdk = importlib.import_module("opentelemetry.sdk.trace")
    export = importlib.import_module("opentelemetry.sdk.trace.export")
    sampling = importlib.import_module("opentelemetry.sdk.trace.sampling")
    resources = importlib.import_module("opentelemetry.sdk.resources")
    otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    provider: TracerProvider = sdk.TracerProvider(
        resource=resources.Resource.create({"service.name": service}),
        sampler=sampling.ParentBased(sampling.TraceIdRatioBased(share)),
        shutdown_on_exit=False,
    )
    exporter = otlp.OTLPSpanExporter(endpoint=endpoint, timeout=ENDING_SECONDS_MAX)
    provider.add_span_processor(export.BatchSpanProcessor(exporter, schedule_delay_millis=SENT_EVERY_SECONDS * 1000))
    _State.provider, _State.tracer = provider, provider.get_tracer("catalog")


def end() -> None:
    """Send what is left, and trace no more."""
    provider, _State.provider, _State.tracer = _State.provider, None, None
    if provider is not None:
        provider.force_flush(ENDING_SECONDS_MAX * 1000)
        provider.shutdown()


class Request:
    """What is known of a request when it has been answered."""

    __slots__ = ("route", "status")

    def __init__(self) -> None:
        self.route: str | None = None
        self.status = 0


@contextmanager
def request(method: str, request_id: str, asked: str | None) -> Generator[Request]:
    """Trace a request, from the beginning of the block to its end; the block fills in what is known at its end.

    `asked` is the traceparent that came with it. Whoever asks does not decide what is traced here, so it is linked.
    """
    told = Request()
    if _State.tracer is None:
        yield told
        return
    links = [] if asked is None else _links([asked])
    with _State.tracer.start_as_current_span(
        method,
        kind=_kind("server"),
        links=links,
        record_exception=False,
        set_status_on_exception=False,
        context=_nowhere(),
    ) as span:
        try:
            yield told
        finally:
            if span.is_recording():
                span.update_name(f"{method} {told.route or 'none'}")
                span.set_attribute("http.request.method", method)
                span.set_attribute("http.route", told.route or "none")
                span.set_attribute("http.response.status_code", told.status)
                span.set_attribute("catalog.request_id", request_id)
                _end(span, failed=told.status >= 500)  # ruff: ignore[PLR2004] - a fault of ours.


def call(engine: str, began_ns: int, *, failed: bool, doing: str | None = None) -> None:
    """Add a call of an engine, which has just ended, to what is being traced, if anything is."""
    if _State.tracer is None:
        return
    trace = importlib.import_module("opentelemetry.trace")
    if not trace.get_current_span().is_recording():
        return
    span = _State.tracer.start_span(engine, kind=_kind("client"), start_time=began_ns)
    span.set_attribute("peer.service", engine)
    if doing is not None:
        span.set_attribute("db.operation.name", doing)
    _end(span, failed=failed)
    span.end()


def traceparent() -> str | None:
    """Return what stands in the queue of who wants something done: the present span, if one is traced."""
    if _State.tracer is None:
        return None
    held = importlib.import_module("opentelemetry.trace").get_current_span().get_span_context()
    if not held.is_valid or not held.trace_flags.sampled:
        return None
    return f"00-{held.trace_id:032x}-{held.span_id:016x}-01"


@contextmanager
def step(topic: str) -> Generator[None]:
    """Trace a step of a lane, if what it claims is traced."""
    if _State.tracer is None:
        yield
        return
    mine = _Step(topic)
    token = _step.set(mine)
    failed = True
    try:
        yield
        failed = False
    finally:
        _step.reset(token)
        if mine.span is not None:
            importlib.import_module("opentelemetry.context").detach(mine.token)
            _end(mine.span, failed=failed)
            mine.span.end()


def claimed(traces: Iterable[str | None]) -> None:
    """Tell the present step who wanted what it has claimed: one trace goes on, several are linked."""
    mine = _step.get()
    if _State.tracer is None or mine is None or mine.span is not None:
        return
    wanted = sorted({one for one in traces if one is not None})
    if not wanted:
        return
    trace = importlib.import_module("opentelemetry.trace")
    links = _links(wanted)
    alone = len({link.context.trace_id for link in links}) == 1
    parent = trace.set_span_in_context(trace.NonRecordingSpan(links[0].context)) if alone else _nowhere()
    mine.span = _State.tracer.start_span(
        f"work {mine.topic}",
        context=parent,
        kind=_kind("consumer"),
        links=links[1:] if alone else links,
        start_time=mine.began,
        attributes={"catalog.topic": mine.topic, "catalog.claimed": len(wanted)},
    )
    mine.token = importlib.import_module("opentelemetry.context").attach(trace.set_span_in_context(mine.span))


def _links(traces: list[str]) -> "list[Link]":
    trace = importlib.import_module("opentelemetry.trace")
    propagation = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
    read = propagation.TraceContextTextMapPropagator()
    found = [
        trace.get_current_span(read.extract({"traceparent": one}, context=_nowhere())).get_span_context()
        for one in traces[:LINKS_MAX]
    ]
    return [trace.Link(one) for one in found if one.is_valid]


def _nowhere() -> "Context":
    empty: Context = importlib.import_module("opentelemetry.context").Context()
    return empty


def _kind(kind: Kind) -> "SpanKind":
    found: SpanKind = importlib.import_module("opentelemetry.trace").SpanKind[kind.upper()]
    return found


def _end(span: "Span", *, failed: bool) -> None:
    if failed:
        trace = importlib.import_module("opentelemetry.trace")
        # Without a description: what a fault says may quote what was asked.
        span.set_status(trace.Status(trace.StatusCode.ERROR))

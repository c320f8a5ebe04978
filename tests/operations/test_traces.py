"""One trace from a request through the queue to the indexer and the engines, and none where nobody wants any."""

import http.server
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pydantic import HttpUrl

from tests.api.conftest import plain
from tests.conftest import Clients, Live, eventually, make_tokens, make_world, prepare, running

STEPS = """
import sys
from catalog import queue, tracing
from catalog.api.app import create_app
from indexer import loop
assert tracing.traceparent() is None
with tracing.step("index"), tracing.request("GET", "1", "00-" + "1" * 32 + "-" + "1" * 16 + "-01"):
    tracing.claimed(["00-" + "1" * 32 + "-" + "1" * 16 + "-01"])
    tracing.call("database", 0, failed=False)
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


@dataclass
class Collector:
    """What was sent to a receiver of OTLP: as it came, and decoded."""

    address: str = ""
    raw: list[bytes] = field(default_factory=list)
    spans: list[tuple[str, Span]] = field(default_factory=list)

    def named(self, service: str, name: str) -> list[Span]:
        """Return the spans of a service by their name."""
        return [span for of, span in list(self.spans) if (of, span.name) == (service, name)]


@pytest.fixture(scope="module")
def collector() -> Generator[Collector]:
    """A receiver on loopback, as a collector is one."""
    found = Collector()

    class Receiver(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        kept: ClassVar[Collector] = found

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.kept.raw.append(body)
            told = ExportTraceServiceRequest.FromString(body)
            for resource in told.resource_spans:
                names = [one.value.string_value for one in resource.resource.attributes if one.key == "service.name"]
                spans = [(names[0], span) for scope in resource.scope_spans for span in scope.spans]
                self.kept.spans += spans
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        found.address = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture(scope="module")
async def traced(
    engines_ready: dict[str, Any], collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Live]:
    folder = tmp_path_factory.mktemp("traced")
    world = make_world(engines_ready, folder, traces_endpoint=HttpUrl(collector.address))
    await prepare(world, engines_ready)
    tokens = await make_tokens(world)
    with running(world, tokens, "api", "indexer") as live:
        yield live


def said(span: Span) -> dict[str, Any]:
    """Return the attributes of a span."""
    return {
        one.key: getattr(one.value, str(one.value.WhichOneof("value")))
        for one in span.attributes
        if one.key != "thread"
    }


async def test_a_registration_is_one_trace_from_the_request_to_its_document(traced: Live, collector: Collector) -> None:
    clients = Clients(traced)
    request_id, title = f"trace-{uuid4().hex}", f"Soil {uuid4().hex}"
    stranger = f"00-{uuid4().hex}-{'1' * 16}-01"
    answer = await clients.ingest.post(
        "/api/objects",
        json=plain(f"traces/p{uuid4().hex[:8]}", title=title),
        headers={"x-request-id": request_id, "traceparent": stranger},
    )
    await clients.ingest.get("/api/search", params={"q": title})
    await clients.close()

    async def whole() -> tuple[Span, Span] | None:
        asked = [
            one
            for one in collector.named("catalog", "POST /api/objects")
            if said(one)["catalog.request_id"] == request_id
        ]
        worked = [
            one
            for one in collector.named("catalog-indexer", "work index")
            if asked and one.trace_id == asked[0].trace_id and one.parent_span_id == asked[0].span_id
        ]
        return (asked[0], worked[0]) if asked and worked else None

    asked, worked = await eventually(whole)

    def below(span: Span, name: str) -> list[Span]:
        return [one for _, one in list(collector.spans) if one.parent_span_id == span.span_id and one.name == name]

    assert answer.status_code == 201
    assert asked.kind == Span.SPAN_KIND_SERVER
    assert said(asked) == {
        "http.request.method": "POST",
        "http.route": "/api/objects",
        "http.response.status_code": 201,
        "catalog.request_id": request_id,
    }
    # Whoever asks is linked, and decides nothing: the trace is our own.
    assert asked.parent_span_id == b""
    assert asked.trace_id.hex() not in stranger
    assert [f"00-{one.trace_id.hex()}-{one.span_id.hex()}-01" for one in asked.links] == [stranger]
    assert (worked.kind, said(worked)["catalog.topic"]) == (Span.SPAN_KIND_CONSUMER, "index")
    assert "INSERT" in {said(one).get("db.operation.name") for one in below(asked, "database")}
    assert [said(one) for one in below(worked, "search")][:1] == [{"peer.service": "search"}]
    assert below(worked, "database") != []
    assert {one.status.code for one in (asked, worked)} == {Status.STATUS_CODE_UNSET}
    everything = b"".join(collector.raw)
    for secret in (title, traced.tokens["ingest"], answer.json()["id"], "SELECT "):
        assert secret.encode() not in everything


async def test_the_answer_and_every_line_of_the_log_name_the_request(live: Live) -> None:
    request_id = f"asked-{uuid4().hex}"
    async with httpx2.AsyncClient(base_url=live.url, trust_env=False, timeout=30) as client:
        answer = await client.get("/api/objects/none", headers={"x-request-id": request_id})
        own = await client.get("/livez", headers={"x-request-id": "no id\x7f"})
    log = (live.world.folder / "api.log").read_text(encoding="utf-8", errors="replace")

    assert answer.headers["x-request-id"] == answer.json()["request_id"] == request_id
    assert len(own.headers["x-request-id"]) == len(str(uuid4()))
    assert [line for line in log.splitlines() if request_id in line and "/api/objects/none" in line] != []


def test_nothing_of_the_library_is_loaded_where_nobody_wants_traces() -> None:
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"

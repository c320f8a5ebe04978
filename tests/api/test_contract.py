"""The OpenAPI document says what the service does, and the service does what the document says."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from litestar import Litestar
from openapi_spec_validator import OpenAPIV31SpecValidator

from catalog.access import principals
from catalog.access.audience import Role
from catalog.api import contract
from catalog.api.app import ROUTES, contract_document, litestar
from catalog.engines import Engines
from catalog.settings import inherited_environment
from tests.api import schemathesis_hooks
from tests.conftest import Clients, Live

pytestmark = pytest.mark.usefixtures("noise")

ROOT = Path(__file__).parents[2]
CHECKED_IN = ROOT / "openapi" / "catalog.json"
# Routes that make no promise to programs: explanations for people, and the document itself.
UNPROMISED = {("GET", "/metrics"), ("GET", "/problems/{name}"), ("GET", "/schema/openapi.json")}
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
SECONDS_MAX = 45
EXAMPLES_MAX = 15


def routes(app: Litestar) -> set[tuple[str, str]]:
    """Return method and address of everything that the app serves."""
    served = {
        (str(method), re.sub(r":\w+}", "}", route.path_format))
        for route in app.routes
        for handler in getattr(route, "route_handlers", [])
        for method in handler.http_methods
    }
    return {(method, path) for method, path in served if method != "OPTIONS"}


async def test_the_served_document_is_valid_and_is_the_one_that_is_checked_in(clients: Clients) -> None:
    answer = await clients.anonymous.get("/schema/openapi.json")

    document = answer.json()
    OpenAPIV31SpecValidator(document).validate()
    assert document == contract_document() == json.loads(CHECKED_IN.read_text())


def test_every_route_has_a_promise_and_every_promise_a_route(live: Live) -> None:
    app = litestar(live.settings)

    promised = {
        (method.upper(), path) for path, operations in contract.document(app)["paths"].items() for method in operations
    }

    assert routes(app) == promised | UNPROMISED
    assert len(promised) == len(ROUTES) - 1


def test_every_promise_tells_how_it_is_refused_and_where_a_token_is_needed(live: Live) -> None:
    document = contract.document(litestar(live.settings))

    operations: list[dict[str, Any]] = [one for path in document["paths"].values() for one in path.values()]
    for operation in operations:
        problems = [operation["responses"][status] for status in ("400", "401", "500")]
        assert [list(answer["content"]) for answer in problems] == [["application/problem+json"]] * 3
        *open_to_all, needed = operation["security"]
        assert (open_to_all, list(needed)) in (([], ["token"]), ([{}], ["token"]))
        # A token may be good for less than the operation needs, whoever holds it.
        assert "403" in operation["responses"] or needed["token"] == []
    assert len({operation["operationId"] for operation in operations}) == len(operations)


@pytest.mark.timeout(SECONDS_MAX * 3)
async def test_the_running_service_keeps_every_promise_whatever_it_is_sent(
    live: Live, engines: Engines, tmp_path: Path
) -> None:
    # What it does to its own tokens, which it finds in answers and may revoke, must harm no other test.
    async with engines.database.transaction() as session:
        _, token = await principals.create_token(session, name=f"fuzz{uuid4().hex[:12]}", role=Role.INGEST)
    report = tmp_path / "schemathesis.log"
    with report.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{live.url}/schema/openapi.json",
            f"--checks={','.join(CHECKS)}",
            f"--header=Authorization: Bearer {token}",
            f"--max-examples={EXAMPLES_MAX}",
            f"--max-time={SECONDS_MAX}",
            "--phases=examples,coverage,fuzzing",
            "--generation-deterministic",
            "--continue-on-failure",
            "--no-color",
            "--workers=1",
            "--suppress-health-check=all",
            cwd=tmp_path,
            env={**inherited_environment(), "SCHEMATHESIS_HOOKS": schemathesis_hooks.__name__, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    said = report.read_text()
    assert code == 0, said[-12_000:]
    count = len(list(contract.promises(litestar(live.settings))))
    assert f"Selected: {count}/{count}\n  Tested: {count}\n" in said
    faults = [json.loads(line) for line in live.log("api").splitlines() if '"unexpected"' in line]
    assert [fault["path"] for fault in faults] == []

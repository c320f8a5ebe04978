"""What every answer says to browsers and caches, whichever route gives it."""

import re
from typing import Any
from uuid import uuid4

import pytest

from catalog.api.app import litestar
from catalog.web import pages
from tests.conftest import Clients, Live

pytestmark = pytest.mark.usefixtures("noise")

FILLED = {"path": "a.csv", "name": "unavailable"}
ABSENT = str(uuid4())


def addresses(live: Live) -> list[tuple[str, str]]:
    """Return method and an address of every route that is served, pages and assets too."""
    served = {
        (str(method), route.path_format)
        for route in litestar(live.settings, pages.ROUTES).routes
        for handler in getattr(route, "route_handlers", [])
        for method in handler.http_methods
        if str(method) != "OPTIONS"
    }
    return sorted(
        (method, re.sub(r"{(\w+):?\w*}", lambda found: FILLED.get(found[1], ABSENT), path)) for method, path in served
    )


async def test_every_route_tells_browsers_to_run_nothing_and_caches_what_they_may_keep(
    clients: Clients, live: Live
) -> None:
    told: dict[tuple[str, str], dict[str, Any]] = {}
    statuses = set()
    for method, address in addresses(live):
        for client in (clients.anonymous, clients.admin):
            answer = await client.request(method, address)
            statuses.add(answer.status_code)
            assert answer.status_code < 500, (method, address, answer.text)
            told[method, address] = {
                "nosniff": answer.headers.get("x-content-type-options") == "nosniff",
                "policy": (answer.headers.get("content-security-policy") or "").startswith("default-src 'none'; "),
                "not framed": "frame-ancestors 'none'" in (answer.headers.get("content-security-policy") or ""),
                "referrer": answer.headers.get("referrer-policy") in {"no-referrer", "same-origin"},
                "cache": bool(re.match(r"no-store|private|no-cache|public, max-age", answer.headers["cache-control"])),
                "once": len(answer.headers.get_list("cache-control")) == 1,
                "request id": bool(answer.headers.get("x-request-id")),
                "says what serves": "server" in answer.headers or "x-powered-by" in answer.headers,
            }

    right = dict.fromkeys(next(iter(told.values())), True) | {"says what serves": False}
    assert {place: found for place, found in told.items() if found != right} == {}
    # Pages and answers of the API, well and refused.
    assert len(told) > 90
    assert {200, 400, 401, 404} <= statuses


async def test_nothing_but_an_asset_may_be_kept_by_everybody(clients: Clients, live: Live) -> None:
    kept = {
        address
        for method, address in addresses(live)
        if "public" in (await clients.anonymous.request(method, address)).headers["cache-control"]
    }
    assert kept == set()

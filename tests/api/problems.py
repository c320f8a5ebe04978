"""Reading problem details (RFC 9457) and holding their frame, which is the same for all."""

from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx2


def problem_of(answer: httpx2.Response) -> dict[str, Any]:
    """Return a problem without what differs from request to request, after checking exactly that."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    told: dict[str, Any] = answer.json()
    assert told.pop("request_id") == answer.headers["x-request-id"]
    instance = told.pop("instance")
    assert unquote(instance) == unquote(urlsplit(str(answer.request.url)).path)
    assert quote(instance, safe="/%~") == instance
    assert told["status"] == answer.status_code
    assert answer.headers["cache-control"] == "no-store"
    return told


def invalid(*faults: tuple[str, str] | tuple[str, str, str], detail: str | None = None) -> dict[str, Any]:
    """Return the problem that lists these faults: pointer, message and, where there is one, what to write instead."""
    count = len(faults)
    counted = f"There {'is 1 fault' if count == 1 else f'are {count} faults'} in the request."
    names = ("pointer", "message", "suggestion")
    return {
        "type": "/problems/invalid",
        "title": "The request has faults",
        "status": 400,
        "detail": detail or counted,
        "errors": [dict(zip(names, fault, strict=False)) for fault in faults],
    }


def simple(name: str, title: str, status: int, detail: str) -> dict[str, Any]:
    """Return a problem that has no list of faults."""
    return {"type": f"/problems/{name}", "title": title, "status": status, "detail": detail}


def not_found(detail: str) -> dict[str, Any]:
    """Return the problem of what is absent or hidden."""
    return simple("not-found", "Not found", 404, detail)


UNKNOWN_TOKEN = simple(
    "unauthenticated",
    "Who are you?",
    401,
    "The bearer token is unknown, expired or revoked; ask an admin for a new one.",
)

"""From what went wrong to problem details (RFC 9457): the one place where kinds of error meet HTTP statuses."""

import asyncio
import re
from collections.abc import Mapping
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
import psycopg
import sqlalchemy as sa
import structlog
from litestar import Request, Response, get
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from catalog import errors
from catalog.api.contract import PROBLEM

log = structlog.get_logger("catalog.api")

# Set by the outermost wrapper of the app, so that every answer and log line of a request names it.
request_id: ContextVar[str] = ContextVar("request_id", default="-")

# Where the scope of a request keeps its path as it was sent, if another one was put in its place.
SENT_PATH = "catalog.sent_path"

STATUS: dict[type[errors.CatalogError], tuple[int, str]] = {
    errors.Invalid: (400, "The request has faults"),
    errors.Unauthenticated: (401, "Who are you?"),
    errors.Forbidden: (403, "Not allowed"),
    errors.NotFound: (404, "Not found"),
    errors.Conflict: (409, "In conflict with the present state"),
    errors.Gone: (410, "Withdrawn"),
    errors.PreconditionFailed: (412, "Changed in the meantime"),
    errors.TooLarge: (413, "Too large"),
    errors.Unsupported: (415, "Unsupported media type"),
    errors.Unprocessable: (422, "Contradicts what is recorded"),
    errors.PreconditionMissing: (428, "If-Match is missing"),
    errors.TooManyRequests: (429, "Too many requests"),
    errors.Unavailable: (503, "Temporarily unavailable"),
    # WebDAV, RFC 4918, section 11.5.
    errors.NoSpace: (507, "No room left"),
}

HELP = {
    "invalid": "Each entry of `errors` has a JSON pointer to the place, what is wrong there, and often what to write.",
    "unauthenticated": (
        "Send a token as `Authorization: Bearer …`, the catalog's own (`cat_…`) or an access token of its OpenID "
        "provider, or no such header to read what is public."
    ),
    "forbidden": "Your token is known, and its role, ownership or scopes do not allow this: `detail` says which.",
    "not-found": "Nothing is there, or nothing that you may see: the two are not told apart.",
    "conflict": "The present state refuses this; `detail` says what to do instead.",
    "gone": "The object was withdrawn.",
    "precondition-failed": "Read the object again, merge your change, and send If-Match with its new ETag.",
    "precondition-missing": "Send If-Match with the ETag of the revision that your change starts from.",
    "too-large": "A limit is exceeded; `detail` names it.",
    "unsupported": "`detail` names the media type to send.",
    "unprocessable": "The request is well formed but contradicts something already recorded.",
    "too-many-requests": "Wait the seconds in Retry-After; `detail` says how fast you may ask.",
    "no-space": "A limit of bytes is reached: `detail` has the figures and whom to ask. Trying again is of no use.",
    "unavailable": (
        "An engine behind the catalog does not answer, or refuses the catalog itself: `detail` says which. "
        "Repeat after the seconds in Retry-After."
    ),
    "internal": "A fault of ours. It is logged under `request_id`.",
    "http": "The request does not fit this address: see `status` and `detail`.",
}


def slug(kind: type[errors.CatalogError]) -> str:
    """Return the last part of a problem's type."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


def known_kind(fault: errors.CatalogError) -> type[errors.CatalogError]:
    """Return the kind in the table that decides this error's status."""
    return next((kind for kind in type(fault).__mro__ if kind in STATUS), errors.CatalogError)


def answer_for(request: Request[Any, Any, Any], fault: errors.CatalogError) -> Response[bytes]:
    """Return the problem for one of our errors."""
    kind = known_kind(fault)
    if kind not in STATUS:
        return _internal(request, fault)
    status, title = STATUS[kind]
    headers = {}
    if status == 401:  # ruff: ignore[PLR2004] - the table above names it.
        sent = "Authorization" in request.headers
        headers["WWW-Authenticate"] = 'Bearer realm="catalog"' + (', error="invalid_token"' if sent else "")
    if isinstance(fault, errors.InsufficientScope):
        # RFC 6750, section 3.1.
        headers["WWW-Authenticate"] = f'Bearer realm="catalog", error="insufficient_scope", scope="{fault.scope}"'
    if isinstance(fault, errors.Unavailable | errors.TooManyRequests):
        headers["Retry-After"] = str(fault.retry_after_seconds)
    return problem(request, slug(kind), title, status, detail=fault.detail, faults=fault.faults, headers=headers)


def problem(
    request: Request[Any, Any, Any],
    name: str,
    title: str,
    status: int,
    *,
    detail: str,
    faults: tuple[errors.Fault, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """Return a problem document."""
    body: dict[str, Any] = {
        "type": f"/problems/{name}",
        "title": title,
        "status": status,
        "detail": detail,
        # Not of `request.url`, which reads the Host header too and fails where that is none.
        # A reference, as the RFC has it: what a path may not hold as it is stands percent-encoded.
        "instance": quote(str(dict(request.scope).get(SENT_PATH) or request.scope["path"])),
        "request_id": request_id.get(),
    }
    if faults:
        body["errors"] = [
            {"pointer": fault.pointer, "message": fault.message}
            | ({} if fault.suggestion is None else {"suggestion": fault.suggestion})
            for fault in faults
        ]
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type=PROBLEM,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _catalog_error(request: Request[Any, Any, Any], fault: errors.CatalogError) -> Response[bytes]:
    return answer_for(request, fault)


def _http_error(request: Request[Any, Any, Any], fault: HTTPException) -> Response[bytes]:
    """Answer for Litestar's router, which knows addresses and methods and nothing of what they mean."""
    status = fault.status_code
    if status == HTTPStatus.NOT_FOUND:
        return answer_for(request, errors.NotFound("There is nothing at this address."))
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return _method_not_allowed(request, (fault.headers or {}).get("allow", ""))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _internal(request, fault)
    return problem(request, "http", "Bad request", status, detail=fault.detail, headers=fault.headers)


def _method_not_allowed(request: Request[Any, Any, Any], allow: str) -> Response[bytes]:
    allowed = {method.strip() for method in allow.split(",")}
    if "GET" in allowed:
        allowed.add("HEAD")
    useful = ", ".join(sorted(allowed - {"OPTIONS"}))
    return problem(
        request,
        "http",
        "Method not allowed",
        HTTPStatus.METHOD_NOT_ALLOWED,
        detail=f"{request.method} is not possible here; this address takes {useful}.",
        headers={"Allow": ", ".join(sorted(allowed))},
    )


def _database_error(request: Request[Any, Any, Any], fault: Exception) -> Response[bytes]:
    cause = getattr(fault, "orig", fault)
    if isinstance(fault, sa.exc.TimeoutError) or isinstance(cause, BUSY):
        log.warning("database unavailable", request_id=request_id.get(), cause=type(cause or fault).__name__)
        return answer_for(request, errors.Unavailable("The database does not answer; try again in a few seconds."))
    return _internal(request, fault)


# Connection lost or refused, server starting or stopping, locks not had in time, deadlocks, statement timeouts.
BUSY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
)


def _internal(request: Request[Any, Any, Any], fault: Exception) -> Response[bytes]:
    log.error("unexpected", request_id=request_id.get(), path=request.scope["path"], exc_info=fault)
    return problem(
        request,
        "internal",
        "A fault of ours",
        500,
        detail="Something unexpected happened; it is logged under the request id.",
    )


HANDLERS: dict[Any, Any] = {
    errors.CatalogError: _catalog_error,
    HTTPException: _http_error,
    sa.exc.SQLAlchemyError: _database_error,
    psycopg.Error: _database_error,
    asyncio.TimeoutError: lambda request, _: answer_for(request, errors.Unavailable()),
    Exception: _internal,
}


@get("/problems/{name:str}", include_in_schema=False, media_type="text/plain", sync_to_thread=False)
def explain(request: Request[Any, Any, Any]) -> str:
    """Explain a problem type to whoever follows its address."""
    name: str = request.path_params["name"]
    if name not in HELP:
        raise errors.NotFound(f"There is no problem type {name!r}.")
    return HELP[name] + "\n"


ROUTES: list[HTTPRouteHandler] = [explain]

"""Logging in and out of the pages, and who is looking at one.

A cookie names a session of the browser, and works for pages alone: the API reads bearer tokens and no cookie, so that
no other site can have a browser change anything there. The one form that changes something here, logging out, has a key
that only pages of the session have (OWASP, "Cross-Site Request Forgery Prevention").
"""

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
import structlog
from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from catalog.access import identities, login, principals, sessions
from catalog.access.login import Answer, Begun, Client, LoginRefused
from catalog.access.principals import Caller
from catalog.access.provider import Provider
from catalog.api import requests
from catalog.api.requests import AnyRequest
from catalog.errors import Forbidden, Invalid

log = structlog.get_logger("catalog.web")

LOGIN_PATH = "/login"
LOGIN_LIFETIME = timedelta(minutes=10)
FORM_BYTES_MAX = 4096
PLACE_CHARS_MAX = 2000
_SESSION = "catalog_session"
_BEGUN = "catalog_login"
# What a browser could take for another host begins with two strokes, of either kind (WHATWG URL, "path start state").
_PLACE = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_SECRET = re.compile(r"[A-Za-z0-9_-]{20,100}")


@dataclass(frozen=True, slots=True)
class Account:
    """What every page says of who looks at it: a name with the key of the form to log out, or where to log in."""

    name: str | None
    form_key: str | None
    login_address: str
    # Whether there is a desk for this visitor.
    registers: bool = False


# Of the request at hand; None where nobody can log in.
account: ContextVar[Account | None] = ContextVar("account", default=None)


async def recognise(request: AnyRequest) -> None:
    """Find out whether somebody is logged in, before a page is made."""
    account.set(None)
    request.state.visitor = None
    client = requests.engines(request).login
    if client is None:
        return
    secret = _cookie(request, _SESSION)
    if secret is not None and _SECRET.fullmatch(secret):
        visitor = await sessions.visitor(requests.engines(request).database, secret)
        if visitor is not None:
            request.state.visitor = visitor
            key = sessions.form_key_of(secret)
            account.set(Account(visitor.name, key, LOGIN_PATH, registers=visitor.may_register()))
            return
    here = quote(request.scope["path"])
    if request.scope["query_string"]:
        here += "?" + request.scope["query_string"].decode("latin-1")
    account.set(Account(None, None, f"{LOGIN_PATH}?next={quote(here, safe='')}"))


async def form_key(request: AnyRequest) -> str | None:
    """Return the key that a form of this browser's session must have; None where nobody is logged in."""
    secret = _cookie(request, _SESSION)
    return None if secret is None or (await visitor(request)).id is None else sessions.form_key_of(secret)


def is_our_origin(request: AnyRequest) -> bool:
    """Whether a form comes from a page of ours, as far as the browser says."""
    client = requests.engines(request).login
    origin = request.headers.get("origin")
    # Browsers say where a form was shown; what says otherwise is of another site, whatever it holds.
    return client is not None and (origin is None or origin == _origin(client))


async def visitor(request: AnyRequest) -> Caller:
    """Return who looks at a page: what nobody in particular may see is asked once, and only where it matters."""
    known: Caller | None = request.state.visitor
    if known is None:
        known = request.state.visitor = await principals.nobody(requests.engines(request).database)
    return known


@get(LOGIN_PATH, include_in_schema=False)
async def begin_login(request: AnyRequest) -> Response[bytes]:
    """Send the browser to the provider, with what is begun in a cookie that only we can read."""
    provider, client = _login(request)
    begun = login.begin(_place(request.query_params.get("next", "/")))
    address = login.address(await provider.discovered(), client, begun)
    sealed = requests.cursors(request).seal([msgspec.to_builtins(begun), _now(provider)], _BEGUN)
    return _sent_to(address, _baked(client, _BEGUN, sealed, LOGIN_LIFETIME))


@get(f"{LOGIN_PATH}/answer", include_in_schema=False)
async def finish_login(request: AnyRequest) -> Response[bytes]:
    """Take the provider's answer, and begin a session for whom it vouches."""
    provider, client = _login(request)
    begun = _begun(request, provider)
    told = request.query_params
    if any(len(told.getall(name, [])) > 1 for name in ("state", "code", "iss", "error")):
        raise LoginRefused
    answer = Answer(told.get("state", ""), told.get("code"), told.get("iss"), told.get("error"))
    vouched = await login.finish(provider, client, begun, answer)
    async with requests.engines(request).database.transaction() as session:
        principal_id = await identities.admit(session, vouched)
        secret = await sessions.begin(
            session, principal_id, client.session_lifetime, instead_of=_cookie(request, _SESSION)
        )
    log.info("logged in", principal_id=str(principal_id))
    return _sent_to(
        begun.place,
        _baked(client, _SESSION, secret, client.session_lifetime),
        _baked(client, _BEGUN, "", timedelta(0)),
    )


@post("/logout", status_code=303, include_in_schema=False)
async def log_out(request: AnyRequest) -> Response[bytes]:
    """End the session; raises Forbidden for a form that is not of this session."""
    _, client = _login(request)
    secret = _cookie(request, _SESSION)
    sent = await requests.body(request, media_types=("application/x-www-form-urlencoded",), most_bytes=FORM_BYTES_MAX)
    if secret is None:
        return _sent_to("/")
    key = parse_qs(sent.decode("ascii", "replace")).get("key", [""])[0]
    if not is_our_origin(request) or not secrets.compare_digest(key.encode(), sessions.form_key_of(secret).encode()):
        raise Forbidden("This form is not of your session; go back to a page of the catalog and log out there.")
    async with requests.engines(request).database.transaction() as session:
        await sessions.end(session, secret)
    return _sent_to("/", _baked(client, _SESSION, "", timedelta(0)))


def _login(request: AnyRequest) -> tuple[Provider, Client]:
    engines = requests.engines(request)
    if engines.provider is None or engines.login is None:
        raise NotFoundException
    return engines.provider, engines.login


def _begun(request: AnyRequest, provider: Provider) -> Begun:
    """Return what this browser began; raises LoginRefused when it began nothing, or too long ago."""
    try:
        told, at = requests.cursors(request).open(_cookie(request, _BEGUN) or "", _BEGUN)
    except Invalid:
        raise LoginRefused("This browser has not begun to log in, or refuses cookies; log in again.") from None
    if not 0 <= _now(provider) - at <= LOGIN_LIFETIME.total_seconds():
        raise LoginRefused(f"A login takes at most {LOGIN_LIFETIME.total_seconds() / 60:g} minutes; log in again.")
    return msgspec.convert(told, Begun)


def _now(provider: Provider) -> int:
    return int(provider.now())


def _place(wanted: str) -> str:
    """Return a place of ours to go to after the login: never another site."""
    return wanted if len(wanted) <= PLACE_CHARS_MAX and _PLACE.fullmatch(wanted) else "/"


def _origin(client: Client) -> str:
    parts = urlsplit(client.redirect)
    return f"{parts.scheme}://{parts.netloc}"


def _name(client: Client, plain: str) -> str:
    # Browsers take a cookie of this name from https and for this host alone (RFC 6265bis, section 4.1.3.2).
    return f"__Host-{plain}" if _is_secure(client) else plain


def _is_secure(client: Client) -> bool:
    return client.redirect.startswith("https:")


def _cookie(request: AnyRequest, plain: str) -> str | None:
    client = requests.engines(request).login
    return None if client is None else request.cookies.get(_name(client, plain))


def _baked(client: Client, plain: str, value: str, lifetime: timedelta) -> Cookie:
    return Cookie(
        _name(client, plain),
        path="/",
        value=value,
        max_age=int(lifetime.total_seconds()),
        secure=_is_secure(client) or None,
        httponly=True,
        samesite="lax",
    )


def _sent_to(address: str, *cookies: Cookie) -> Response[bytes]:
    headers: dict[str, Any] = {"Location": address, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(b"", status_code=303, headers=headers, cookies=list(cookies))


ROUTES: list[HTTPRouteHandler] = [begin_login, finish_login, log_out]

"""The page of one's own tokens: which there are, a new one, a new value for one, and the end of one.

A value is shown in the answer to the form that made it, this once: it stands in no address and on no page that can be
asked for again.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from catalog.api import requests
from catalog.api import tokens as tokens_api
from catalog.api.requests import AnyRequest
from catalog.errors import Fault, Invalid
from catalog.web import login, rendering
from catalog.web.answers import NO_STORE, form, page, sent_to
from catalog.web.state import State

TOKENS = "/tokens"
SCOPES = {
    "read": "Read what you may see",
    "register": "Register objects and change those that you may",
    "curate": "Look after what others have registered, where you may",
    "admin": "Administer, where you may",
}
# How long a token works, by what the form says.
LIFETIMES = {
    "7": ("A week", timedelta(days=7)),
    "30": ("30 days", timedelta(days=30)),
    "90": ("90 days", timedelta(days=90)),
    "365": ("A year", timedelta(days=365)),
    "": ("Until it is revoked", None),
}
LIFETIME_DEFAULT = "90"


@get(TOKENS, include_in_schema=False)
async def show_tokens(request: AnyRequest) -> Response[str]:
    """Show the visitor's own tokens that work."""
    return await _shown(request)


async def _shown(request: AnyRequest, made: tokens_api.MadeTokenShown | None = None) -> Response[str]:
    told = msgspec.to_builtins(await tokens_api.listed(request, await login.visitor(request), None))
    who = login.account.get()
    html = rendering.render(
        "tokens.html",
        state=State(),
        tokens=[{**one, "scopes_told": ", ".join(one["scopes"])} for one in told["items"]],
        made=None if made is None else msgspec.to_builtins(made),
        scopes=SCOPES.items(),
        lifetimes=[(value, label, value == LIFETIME_DEFAULT) for value, (label, _) in LIFETIMES.items()],
        form_key=(who.form_key if who else None) or "",
    )
    return page(html, headers=NO_STORE)


@post(TOKENS, status_code=200, include_in_schema=False)
async def make_token(request: AnyRequest) -> Response[str]:
    """Make a token, and show its value."""
    sent = await form(request)
    told = dict(sent)
    lifetime = told.get("lifetime", LIFETIME_DEFAULT)
    if lifetime not in LIFETIMES:
        raise Invalid("The form has faults.", faults=[Fault("/lifetime", "choose one of the list")])
    lasts = LIFETIMES[lifetime][1]
    wanted = {
        "scopes": [value for name, value in sent if name == "scope"],
        "label": told.get("label", "").strip() or None,
        "place": told.get("place", "").strip() or None,
        "expires_at": None if lasts is None else (datetime.now(UTC) + lasts).isoformat(),
    }
    asked = requests.parsed(msgspec.json.encode(wanted), tokens_api.TokenWanted)
    return await _shown(request, await tokens_api.made(request, await login.visitor(request), asked))


@post(f"{TOKENS}/{{token_id:str}}/rotate", status_code=200, include_in_schema=False)
async def rotate_token(request: AnyRequest) -> Response[str]:
    """Give a token a new value, and show it; the former one works on for a day."""
    await form(request)
    token_id = requests.object_id(request, "token_id")
    asked = tokens_api.RotationWanted()
    return await _shown(request, await tokens_api.rotated(request, await login.visitor(request), token_id, asked))


@post(f"{TOKENS}/{{token_id:str}}/revoke", status_code=303, include_in_schema=False)
async def revoke_token(request: AnyRequest) -> Response[Any]:
    """End a token at once."""
    await form(request)
    await tokens_api.revoked(request, await login.visitor(request), requests.object_id(request, "token_id"))
    return sent_to(TOKENS)


PAGES: list[HTTPRouteHandler] = [show_tokens]
FORMS: list[HTTPRouteHandler] = [make_token, rotate_token, revoke_token]

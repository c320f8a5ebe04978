"""Logging in at the OpenID provider: the authorization code flow with PKCE, seen from our side.

What is begun and what comes back are values; the provider is asked once, for the tokens behind a code. Whoever keeps
what was begun for the browser seals it: it is what ties the answer to the browser that asked.

Sources: OpenID Connect Core 1.0, section 3.1; RFC 7636 (PKCE); RFC 9207 (who answers); RFC 9700 (best practice).
"""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote_plus, urlencode

from catalog.access import oidc
from catalog.access.oidc import TokenRefused, Vouched
from catalog.access.provider import Discovered, Provider, ProviderAway

RANDOM_BYTES = 32


class LoginRefused(TokenRefused):
    """This login cannot be finished; log in again."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are to the provider, and where it sends people back to, to the letter."""

    id: str
    secret: str | None = field(repr=False)
    redirect: str
    scopes: str
    session_lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Begun:
    """What a login began with, and where the person wanted to go."""

    state: str
    nonce: str
    verifier: str
    place: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider sent the browser back with."""

    state: str
    code: str | None = None
    issuer: str | None = None
    error: str | None = None


def begin(place: str) -> Begun:
    """Return a new login that ends at a place of ours."""
    state, nonce, verifier = (secrets.token_urlsafe(RANDOM_BYTES) for _ in range(3))
    return Begun(state, nonce, verifier, place)


def address(discovered: Discovered, client: Client, begun: Begun) -> str:
    """Return where the browser goes to log in; raises ProviderAway where the provider offers no login."""
    if discovered.authorization_address is None or discovered.token_address is None:
        raise ProviderAway("The OpenID provider offers no login for pages.")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": client.redirect,
        "scope": client.scopes,
        "state": begun.state,
        "nonce": begun.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    there = discovered.authorization_address
    return f"{there}{'&' if '?' in there else '?'}{urlencode(asked)}"


async def finish(provider: Provider, client: Client, begun: Begun, answer: Answer) -> Vouched:
    """Return who logged in; raises LoginRefused or TokenRefused where that is not proved, and ProviderAway."""
    if not secrets.compare_digest(answer.state.encode(), begun.state.encode()):
        raise LoginRefused
    discovered = await provider.discovered()
    issuer = provider.rules.issuer
    if answer.issuer != issuer and (answer.issuer is not None or discovered.names_itself):
        raise LoginRefused("The answer is from another provider than the one that was asked; log in again.")
    if answer.error is not None or answer.code is None or discovered.token_address is None:
        raise LoginRefused("The provider did not log you in; you may try again.")
    form = {
        "grant_type": "authorization_code",
        "code": answer.code,
        "redirect_uri": client.redirect,
        "code_verifier": begun.verifier,
    }
    # As in a form before they are joined (RFC 6749, section 2.3.1): either may hold a colon.
    credentials = None if client.secret is None else (quote_plus(client.id), quote_plus(client.secret))
    if credentials is None:
        form["client_id"] = client.id
    told = await provider.post(discovered.token_address, form, credentials)
    token = told.get("id_token")
    if not isinstance(token, str):
        raise LoginRefused("The provider did not say who you are.")
    signed = oidc.parsed(token, provider.rules)
    vouched = oidc.login_of(signed, provider.rules, client_id=client.id, nonce=begun.nonce)
    vouched.must_hold(provider.now(), provider.rules.skew)
    await provider.prove(signed)
    return vouched

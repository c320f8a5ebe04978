"""Tokens of one's own and of service accounts; service accounts; who changed who may do what."""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from catalog.client.access import RoleName
from catalog.client.calls import C, Call, Listing, Room, items, member, nothing, quoted, request, said, series

ScopeName = Literal["read", "register", "curate", "admin"]


class Token(TypedDict):
    """A token that works, never its value; `this` is the one in use."""

    id: str
    principal: str
    hint: str
    label: str | None
    scopes: list[ScopeName]
    place: str | None
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    former_until: str | None
    this: bool


class NewToken(Token):
    """A token with its value, which is answered this once: keep it out of logs."""

    token: str


class ServiceAccount(TypedDict):
    """A program that acts, of an organization or of the whole catalog."""

    name: str
    organization: str | None
    role: RoleName
    created_at: str
    ended_at: str | None


class AccessChange(TypedDict):
    """One change of who may do what."""

    at: str
    by: str | None
    via: Literal["api", "operator", "provider"]
    token: str | None
    action: str
    scope: str | None
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Tokens(Room[C]):
    """Tokens and service accounts, made and ended; what was changed."""

    @request
    def listed(self, principal: str | None = None) -> Call[list[Token]]:
        """Return one's tokens, or those of `service:NAME` whose admin one is; newest first."""
        return items("/api/tokens", said(principal=principal))

    @request
    def create(
        self,
        *,
        scopes: Sequence[str],
        principal: str | None = None,
        place: str | None = None,
        label: str | None = None,
        expires_at: str | None = None,
    ) -> Call[NewToken]:
        """Make a token for oneself, or for `service:NAME`; its value is in the answer, this once."""
        body = {
            "scopes": list(scopes),
            "principal": principal,
            "place": place,
            "label": label,
            "expires_at": expires_at,
        }
        return Call("POST", "/api/tokens", body=body)

    @request
    def rotate(self, token_id: str, *, overlap_seconds: int | None = None) -> Call[NewToken]:
        """Give a token a new value; the one it had works for the overlap, a day if none is said."""
        body = {} if overlap_seconds is None else {"overlap_seconds": overlap_seconds}
        return Call("POST", f"/api/tokens/{quoted(token_id)}/rotate", body=body)

    @request
    def revoke(self, token_id: str) -> Call[int]:
        """End a token at once, and those that were made with it; returns how many."""
        return Call("DELETE", f"/api/tokens/{quoted(token_id)}", read=member("revoked"))

    @request
    def service_accounts(self, organization: str | None = None) -> Call[list[ServiceAccount]]:
        """Return the service accounts of an organization, or of the whole catalog."""
        return items(_accounts(organization))

    @request
    def create_service_account(
        self, name: str, *, organization: str | None = None, role: str | None = None
    ) -> Call[None]:
        """Make a service account, with a role in its organization or in the whole catalog if one is said."""
        return Call("POST", _accounts(organization), body={"name": name, "role": role}, read=nothing)

    @request
    def end_service_account(self, name: str) -> Call[None]:
        """End a service account: nothing that it holds works any more."""
        return Call("DELETE", f"/api/service-accounts/{quoted(name)}", read=nothing)

    @series
    def audit(
        self,
        *,
        scope: str | None = None,
        subject: str | None = None,
        actor: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Listing[AccessChange]:
        """Yield who changed who may do what, newest first, as far as one is an admin."""
        asked = said(scope=scope, subject=subject, actor=actor, since=since, until=until)
        return Listing("/api/audit", asked)


def _accounts(organization: str | None) -> str:
    if organization is None:
        return "/api/service-accounts"
    return f"/api/organizations/{quoted(organization)}/service-accounts"

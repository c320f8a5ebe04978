"""`/api/audit`: who changed who may do what. For admins, each as far as they are."""

from collections.abc import AsyncIterator, Collection
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from catalog.access import audit
from catalog.access.audience import Role
from catalog.access.audit import AskedChanges, SeenChange
from catalog.access.callers import Caller
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.errors import Forbidden

LIMIT_DEFAULT = 100
LIMIT_MAX = 1_000
NDJSON = "application/x-ndjson"


class AuditFormat(StrEnum):
    """How changes are told."""

    JSON = "json"
    NDJSON = "ndjson"


class AuditQuery(BaseModel):
    """Which changes are wanted."""

    model_config = ConfigDict(extra="forbid")

    scope: str | None = Field(
        default=None, max_length=200, description="Only what concerns this organization or project, and what is in it."
    )
    subject: str | None = Field(
        default=None,
        max_length=200,
        description="Only what was done to whom: `user:NAME`, `service:NAME`, `group:ORG/NAME`, `organization:NAME`.",
    )
    actor: str | None = Field(default=None, max_length=200, description="Only what the principal of this name did.")
    since: AwareDatetime | None = Field(default=None, description="Only from this moment on.")
    until: AwareDatetime | None = Field(default=None, description="Only before this moment.")
    format: AuditFormat = Field(
        default=AuditFormat.JSON, description="json answers a page; ndjson answers all of it, one change a line."
    )
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many changes a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=2_000)


class ShownAccessChange(msgspec.Struct, frozen=True):
    """One change of who may do what, never a secret.

    `by` is null where it came from the operator's own commands or from the OpenID provider, which `via` tells. `token`
    is the id of the token with which it was made. `scope` is null for the whole catalog.
    """

    at: datetime
    by: str | None
    via: Literal["api", "operator", "provider"]
    token: UUID | None
    action: str
    scope: str | None
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditPage(msgspec.Struct, frozen=True):
    """Some changes, newest first, and where the next ones begin."""

    items: list[ShownAccessChange]
    cursor: str | None


@operation(
    "GET",
    "/api/audit",
    Operation(
        id="read_audit",
        summary="See who changed who may do what, newest first",
        description=(
            "Principals, roles, members, groups, grants on prefixes, tokens and service accounts; rules of retention, "
            "relocations, and parked work that was retried or discarded too. Admins of the whole catalog see all, "
            "admins of an organization or a project what concerns that. Objects have histories of their own."
        ),
        tag="operations",
        token=True,
        scope=Scope.ADMIN,
        query=AuditQuery,
        answers={200: Answer("Changes.", AuditPage, headers={"Link": "The next page."}, also=(NDJSON,))},
        problems=(403,),
    ),
)
async def read_audit(request: AnyRequest) -> Response[bytes] | Stream:
    """Read a page of changes, or all of them as lines."""
    caller = await requests.caller(request)
    among = _looked_after(caller)
    asked = requests.query(request, AuditQuery)
    wanted = AskedChanges(asked.scope, asked.subject, asked.actor, asked.since, asked.until)
    if asked.format is AuditFormat.NDJSON:
        lines = _lines(request, wanted, among)
        return Stream(lines, media_type=NDJSON, status_code=200, headers={"Cache-Control": "no-store"})
    bound_to = ("audit", caller.id, asked.model_dump(mode="json", exclude={"cursor", "limit"}))
    page = requests.paging(request, asked, int, *bound_to)
    async with requests.engines(request).database.transaction() as session:
        found = await audit.page(session, wanted, among=among, before=page.after, limit=page.one_more)
    items, cursor = page.cut(found, lambda one: one.id)
    return shapes.json_response(
        AuditPage([_shown(one) for one in items], cursor),
        headers={**requests.next_link(request, cursor), "Cache-Control": "no-store"},
    )


async def _lines(request: AnyRequest, wanted: AskedChanges, among: Collection[str] | None) -> AsyncIterator[bytes]:
    before: int | None = None
    while True:
        # Each part is read for itself: a slow reader keeps no transaction open.
        async with requests.engines(request).database.transaction() as session:
            found = await audit.page(session, wanted, among=among, before=before, limit=LIMIT_MAX)
        if not found:
            return
        yield b"".join([msgspec.json.encode(_shown(one)) + b"\n" for one in found])
        before = found[-1].id


def _looked_after(caller: Caller) -> set[str] | None:
    """Return the scopes whose admin the caller is, None for all; raises Unauthenticated, Forbidden without any."""
    caller.must_be_known()
    if caller.role is Role.ADMIN:
        return None
    scopes = {scope for scope, role in caller.rights if role is Role.ADMIN}
    if not scopes:
        raise Forbidden("This is for admins, of the whole catalog, an organization or a project.")
    return scopes


def _shown(one: SeenChange) -> ShownAccessChange:
    return ShownAccessChange(
        one.at, one.by, one.via.value, one.token_id, one.action, one.scope, one.subject, one.before, one.after
    )


ROUTES: list[HTTPRouteHandler] = [read_audit]

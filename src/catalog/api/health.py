"""How stores are: what trying them found, those of organizations and the catalog's own."""

import time
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from catalog import queue
from catalog.access.callers import Caller
from catalog.access.scopes import Scope
from catalog.alerts import notices
from catalog.api import capacity, requests, shapes
from catalog.api.capacity import ShownCapacity
from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.database import now
from catalog.engines import Engines
from catalog.storage import backends, health
from catalog.storage.backends import Backend, Tried
from catalog.storage.capabilities import Capabilities
from catalog.storage.health import KEPT, SHOWN_MAX, HealthView
from catalog.storage.keys import OWN
from catalog.storage.probing import Outcome

StateName = Literal["healthy", "failing"]


class ProbesQuery(BaseModel):
    """How much of what was found."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=30, ge=1, le=SHOWN_MAX, description="The newest so many.")


class ShownFault(msgspec.Struct, frozen=True):
    """An action that failed, and why."""

    action: str
    reason: str


class ShownProbe(msgspec.Struct, frozen=True):
    """What was found once: all went well where there are no faults."""

    at: datetime
    ok: bool
    milliseconds: int
    faults: list[ShownFault]


class ShownCapabilities(msgspec.Struct, frozen=True):
    """What a store can do, found by trying; null where it is not known, or keys may not find out.

    `checksums`: it refuses bytes of another SHA-256 than a ticket names. `conditional_writes`: it refuses to replace
    what a ticket brought. `notifications`: whether its bucket has somebody to tell, as S3 has it.
    """

    versioning: Literal["on", "suspended", "off"] | None
    checksums: bool | None
    conditional_writes: bool | None
    temporary_credentials: bool | None
    notifications: Literal["configured", "none", "unsupported"] | None


def capabilities(view: HealthView | None) -> ShownCapabilities:
    """Return what a store can do."""
    can = Capabilities() if view is None else view.capabilities
    return ShownCapabilities(
        versioning=None if can.versioning is None else can.versioning.value,
        checksums=can.checksums,
        conditional_writes=can.conditional_writes,
        temporary_credentials=can.temporary_credentials,
        notifications=None if can.notifications is None else can.notifications.value,
    )


class ShownHealth(msgspec.Struct, frozen=True):
    """How a store is. All but `backend` and `state` is null where it was not tried yet.

    With `suspected_since` it has failed since then, which counts only if it still does after some minutes.
    """

    backend: str
    state: StateName
    since: datetime | None
    suspected_since: datetime | None
    checked_at: datetime | None
    faults: list[ShownFault]
    capabilities: ShownCapabilities
    history: list[ShownProbe]


def _faults(faults: list[Tried] | tuple[Tried, ...]) -> list[ShownFault]:
    return [ShownFault(one.action, one.reason or "") for one in faults]


async def shown(session: AsyncSession, backend: str, *, most: int) -> ShownHealth:
    """Return how a store is, with the newest of what was found."""
    view: HealthView | None = (await health.of(session, [backend])).get(backend)
    found = await health.history(session, backend, most=most)
    return ShownHealth(
        backend=backend,
        state="healthy" if view is None else view.standing.state.value,
        since=None if view is None else view.standing.since,
        suspected_since=None if view is None else view.standing.suspected_at,
        checked_at=None if view is None else view.checked_at,
        faults=[] if view is None else _faults(list(view.faults)),
        capabilities=capabilities(view),
        history=[ShownProbe(one.at, not one.faults, one.milliseconds, _faults(list(one.faults))) for one in found],
    )


async def note(engines: Engines, session: AsyncSession, backend: str, outcome: Outcome, *, since: float) -> None:
    """Keep what was found when somebody asked; `since` is when trying began, by the monotonic clock.

    What speaks against a store is looked at again by an indexer before it counts.
    """
    milliseconds = int((time.monotonic() - since) * 1000)
    standing = await notices.note_health(session, backend, outcome, milliseconds=milliseconds)
    after = health.wait_until_next(backend, standing, engines.probe_interval, now())
    await queue.put(session, health.PROBE, [backend], after=after)


async def known(request: AnyRequest, organization: str, caller: Caller) -> list[tuple[Backend, HealthView | None]]:
    """Return the stores of an organization with how each is; raises for those who may not know, as the list does."""
    async with requests.engines(request).database.transaction() as session:
        await backends.must_know(session, organization, caller=caller)
        found = await backends.of(session, organization)
        views = await health.of(session, [str(one.id) for one in found])
    return [(one, views.get(str(one.id))) for one in found]


_KEPT = f"Every store is tried once a day unless the operator says otherwise; {KEPT.days} days are kept."


@operation(
    "GET",
    "/api/organizations/{organization:str}/backends/{backend_id:str}/health",
    Operation(
        id="read_backend_health",
        summary="See how a store is, and what was found when it was tried",
        description=f"For admins of the organization, and of its projects. {_KEPT}",
        tag="access",
        token=True,
        query=ProbesQuery,
        answers={200: Answer("How it is.", ShownHealth)},
        problems=(403, 404),
    ),
)
async def read_backend_health(request: AnyRequest) -> Response[bytes]:
    """Read the health of one backend."""
    caller = await requests.caller(request)
    asked = requests.query(request, ProbesQuery)
    organization = requests.organization(request)
    backend_id: UUID = requests.object_id(request, "backend_id")
    async with requests.engines(request).database.transaction() as session:
        await backends.must_know(session, organization, caller=caller)
        found = await backends.find(session, organization, backend_id)
        return shapes.json_response(await shown(session, str(found.id), most=asked.limit))


@operation(
    "GET",
    "/api/operations/store/health",
    Operation(
        id="read_store_health",
        summary="See how the catalog's own store is, and what was found when it was tried",
        description=f"For curators and admins of the whole catalog. {_KEPT}",
        tag="operations",
        token=True,
        query=ProbesQuery,
        answers={200: Answer("How it is.", ShownHealth)},
        problems=(403,),
    ),
)
async def read_store_health(request: AnyRequest) -> Response[bytes]:
    """Read the health of the catalog's own store."""
    caller = await requests.caller(request)
    caller.must_look_after_all()
    asked = requests.query(request, ProbesQuery)
    async with requests.engines(request).database.transaction() as session:
        return shapes.json_response(await shown(session, OWN, most=asked.limit))


@operation(
    "POST",
    "/api/operations/store/check",
    Operation(
        id="check_store",
        summary="Try the catalog's own store",
        description="For admins of the whole catalog. What is found is kept.",
        tag="operations",
        token=True,
        scope=Scope.ADMIN,
        answers={200: Answer("How it is.", ShownHealth)},
        problems=(403,),
    ),
)
async def check_store(request: AnyRequest) -> Response[bytes]:
    """Try the catalog's own store, and keep what was found."""
    caller = await requests.caller(request)
    caller.must_administer_all()
    engines = requests.engines(request)
    since = time.monotonic()
    outcome = await engines.stores.tried_own(engines.store, engines.token_service)
    async with engines.database.transaction() as session:
        await note(engines, session, OWN, outcome, since=since)
        answer = await shown(session, OWN, most=1)
    engines.stores.forget(OWN)
    return shapes.json_response(answer)


class AnyBackend(msgspec.Struct, frozen=True):
    """A store, whose it is, how it is and how full; the catalog's own is `default` and nobody's."""

    id: str
    name: str
    organization: str | None
    state: StateName
    since: datetime | None
    suspected_since: datetime | None
    checked_at: datetime | None
    capacity: ShownCapacity


class AnyBackendList(msgspec.Struct, frozen=True):
    """Every store, the catalog's own first, then by organization and name."""

    items: list[AnyBackend]


@operation(
    "GET",
    "/api/operations/backends",
    Operation(
        id="list_every_backend",
        summary="List every store, with how it is, how full, and when it will be",
        description="For curators and admins of the whole catalog.",
        tag="operations",
        token=True,
        answers={200: Answer("The stores.", AnyBackendList)},
        problems=(403,),
    ),
)
async def list_every_backend(request: AnyRequest) -> Response[bytes]:
    """List every store."""
    caller = await requests.caller(request)
    caller.must_look_after_all()
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        every = await backends.everywhere(session)
        views = await health.of(session, [OWN, *(str(one.id) for one in every)])
        full = await capacity.views(session, every, engines.placement.told, own=True)
    named = [(OWN, OWN, None), *((str(one.id), one.name, one.organization) for one in every)]
    items = []
    for backend, name, organization in named:
        view = views.get(backend)
        items.append(
            AnyBackend(
                id=backend,
                name=name,
                organization=organization,
                state="healthy" if view is None else view.standing.state.value,
                since=None if view is None else view.standing.since,
                suspected_since=None if view is None else view.standing.suspected_at,
                checked_at=None if view is None else view.checked_at,
                capacity=capacity.shown(full[backend]),
            )
        )
    return shapes.json_response(AnyBackendList(items))


ROUTES: list[HTTPRouteHandler] = [read_backend_health, read_store_health, check_store, list_every_backend]

"""`…/capacity`: how full stores are, how they grow, and when no more uploads will fit."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access import members
from catalog.access.audience import LOOKS_AFTER_ALL
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.errors import Forbidden
from catalog.storage import backends, capacity
from catalog.storage.backends import Backend
from catalog.storage.capacity import GROWTH_DAYS, CapacityView, Told
from catalog.storage.keys import OWN


class ShownCapacity(msgspec.Struct, frozen=True):
    """How full a store is, in bytes: uploads are taken while `stored` and `awaited` together do not exceed `limit`.

    `awaited` is what open tickets may still bring; `capacity` and `limit` are null where nobody knows what the store
    can hold. What it grew by a day over `seen_days`, and the day on which it will be full at that rate, are null until
    it was seen on two days; `full_on` also where it does not grow.
    """

    capacity: int | None
    watermark_percent: int
    reserved: int
    limit: int | None
    stored: int
    awaited: int
    seen_days: int | None
    growth_per_day: int | None
    full_on: date | None


class BackendCapacity(msgspec.Struct, frozen=True):
    """A store of an organization, and how full it is."""

    id: str
    name: str
    capacity: ShownCapacity


class CapacityList(msgspec.Struct, frozen=True):
    """Stores by name."""

    items: list[BackendCapacity]


def shown(view: CapacityView) -> ShownCapacity:
    """Return how full a store is, as it is told."""
    forecast = view.forecast
    return ShownCapacity(
        capacity=view.rule.capacity,
        watermark_percent=view.rule.watermark_percent,
        reserved=view.rule.reserved,
        limit=view.rule.limit,
        stored=view.use.stored,
        awaited=view.use.awaited,
        seen_days=None if forecast is None else forecast.days,
        growth_per_day=None if forecast is None else forecast.growth_per_day,
        full_on=None if forecast is None else forecast.full_on,
    )


async def views(
    session: AsyncSession, found: Sequence[Backend], told: Told, *, own: bool = False
) -> dict[str, CapacityView]:
    """Return how full these stores are, and the catalog's `own`."""
    rules: dict[str, Any] = {
        str(one.id): told.of(one.size.capacity_bytes, one.size.watermark_percent, one.size.reserved_gb) for one in found
    }
    return await capacity.views(session, rules | ({OWN: None} if own else {}), told)


@operation(
    "GET",
    "/api/organizations/{organization:str}/capacity",
    Operation(
        id="read_organization_capacity",
        summary="See how full the stores of an organization are, and when they will be",
        description=(
            "For its curators and admins, as hidden objects count too. Growth is that of the last "
            f"{GROWTH_DAYS} days; above `limit` tickets are refused with 507 until there is room again."
        ),
        tag="access",
        token=True,
        answers={200: Answer("The stores.", CapacityList)},
        problems=(403, 404),
    ),
)
async def read_organization_capacity(request: AnyRequest) -> Response[bytes]:
    """Tell how full the stores of an organization are."""
    caller = await requests.caller(request)
    caller.must_be_known()
    engines, organization = requests.engines(request), requests.organization(request)
    async with engines.database.transaction() as session:
        role = await members.role_of_member(session, organization, caller)
        if role not in LOOKS_AFTER_ALL:
            raise Forbidden(f"How full its stores are is the business of the curators and admins of {organization}.")
        found = await backends.of(session, organization)
        full = await views(session, found, engines.placement.told)
    items = [BackendCapacity(str(one.id), one.name, shown(full[str(one.id)])) for one in found]
    return shapes.json_response(CapacityList(items))


ROUTES: list[HTTPRouteHandler] = [read_organization_capacity]

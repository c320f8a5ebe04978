"""A provider for each test, and the catalog's side of it."""

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest

from catalog.access.audience import Role
from catalog.access.oidc import Rules
from catalog.access.provider import Provider
from tests.oidc import standin
from tests.oidc.standin import AUDIENCE, StandIn

ROLES = (("lab-admins", Role.ADMIN), ("stewards", Role.CURATOR), ("stations", Role.INGEST))
Asks = Callable[..., Provider]


def rules(issuer: str, **changes: Any) -> Rules:
    told: dict[str, Any] = {
        "issuer": issuer,
        "audience": AUDIENCE,
        "algorithms": frozenset({"RS256", "ES256", "EdDSA"}),
        "roles": ROLES,
    }
    return Rules(**told | changes)


@pytest.fixture
def idp() -> Generator[StandIn]:
    """A provider of this test's own."""
    with standin.running() as running:
        yield running


@pytest.fixture
async def asks() -> AsyncGenerator[Asks]:
    """Makes the catalog's side of a provider."""
    made: list[Provider] = []

    def make(issuer: str, *, told: dict[str, Any] | None = None, **options: Any) -> Provider:
        made.append(Provider(rules(issuer, **told or {}), **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def provider(idp: StandIn, asks: Asks) -> Provider:
    """The catalog's side of that provider."""
    return asks(idp.url)

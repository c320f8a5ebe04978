"""The only place where clients of the engines are built and closed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from catalog.access.audience import Role
from catalog.access.login import Client
from catalog.access.oidc import Rules
from catalog.access.provider import Provider
from catalog.database import Database
from catalog.doi.describing import House
from catalog.doi.registry import DataCiteRegistry, LocalRegistry, Registry
from catalog.objects.uploads import Placement
from catalog.outside.looking import Looker
from catalog.queue import Bell
from catalog.search.index import Index
from catalog.settings import Settings
from catalog.storage.credentials import TokenService
from catalog.storage.s3 import Store

# There is one backend until organizations bring their own; every location names it already.
BACKEND = "default"


@dataclass(frozen=True, slots=True)
class Engines:
    """Everything a process talks to."""

    database: Database
    index: Index
    store: Store
    token_service: TokenService
    bell: Bell
    placement: Placement
    # None: addresses outside the catalog are not looked at.
    looker: Looker | None
    registry: Registry
    house: House
    access_log_kept: timedelta
    # None: only tokens of our own count.
    provider: Provider | None = None
    # None: nobody logs in to the pages.
    login: Client | None = None


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Engines]:
    """Build the clients, ring the bell while the block runs, close everything at its end."""
    database = Database(str(settings.database_url), connections=settings.database_connections)
    index = Index(url=str(settings.search_url), alias=settings.search_index, refresh=settings.search_refresh)
    store = Store(
        endpoint=str(settings.store_url),
        public_endpoint=str(settings.store_link_url),
        region=settings.store_region,
        bucket=settings.store_bucket,
        prefix=settings.store_prefix,
        access_key=settings.store_access_key,
        secret_key=settings.store_secret_key.get_secret_value(),
    )
    token_service = TokenService(
        endpoint=str(settings.store_sts_url or settings.store_url),
        store_endpoint=str(settings.store_url),
        region=settings.store_region,
        bucket=settings.store_bucket,
        access_key=settings.store_access_key,
        secret_key=settings.store_secret_key.get_secret_value(),
        role=settings.store_role,
    )
    bell = Bell(database)
    database.on_queued = bell.ring
    ringing = asyncio.create_task(bell.run(), name="bell")
    placement = Placement(BACKEND, settings.store_bucket, settings.store_prefix, settings.upload_lifetime)
    looker = Looker(settings.outside_networks) if settings.outside_checks else None
    registry = _registry(settings)
    provider = _provider(settings)
    house = House(str(settings.public_url).rstrip("/"), settings.publisher, settings.doi_prefix, registry.resolves)
    try:
        yield Engines(
            database,
            index,
            store,
            token_service,
            bell,
            placement,
            looker,
            registry,
            house,
            settings.access_log_kept,
            provider,
            _login(settings),
        )
    finally:
        ringing.cancel()
        with suppress(asyncio.CancelledError):
            await ringing
        if provider is not None:
            await provider.close()
        await registry.close()
        await token_service.close()
        await store.close()
        await index.close()
        await database.close()


def _registry(settings: Settings) -> Registry:
    if settings.doi_registry_url is None:
        return LocalRegistry()
    password = settings.doi_registry_password
    return DataCiteRegistry(
        str(settings.doi_registry_url),
        user=settings.doi_registry_user or "",
        password="" if password is None else password.get_secret_value(),
        patience=settings.doi_registry_patience,
    )


def _provider(settings: Settings) -> Provider | None:
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    return Provider(
        Rules(
            issuer=settings.oidc_issuer,
            audience=settings.oidc_audience,
            algorithms=frozenset(settings.oidc_algorithms),
            groups_claim=settings.oidc_groups_claim,
            roles=tuple((one.group, Role(one.role)) for one in settings.oidc_roles),
            skew=settings.oidc_clock_skew,
        )
    )


def _login(settings: Settings) -> Client | None:
    if settings.oidc_client_id is None:
        return None
    secret = settings.oidc_client_secret
    return Client(
        id=settings.oidc_client_id,
        secret=None if secret is None else secret.get_secret_value(),
        redirect=f"{str(settings.public_url).rstrip('/')}/login/answer",
        scopes=settings.oidc_scopes,
        session_lifetime=settings.session_lifetime,
    )

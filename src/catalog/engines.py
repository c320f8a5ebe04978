"""The only place where clients of the engines are built and closed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from catalog.database import Database
from catalog.objects.verbs import Placement
from catalog.outside.looking import Looker
from catalog.queue import Bell
from catalog.search.index import Index
from catalog.settings import Settings
from catalog.storage.s3 import Store

# There is one backend until organizations bring their own; every location names it already.
BACKEND = "default"


@dataclass(frozen=True, slots=True)
class Engines:
    """Everything a process talks to."""

    database: Database
    index: Index
    store: Store
    bell: Bell
    placement: Placement
    # None: addresses outside the catalog are not looked at.
    looker: Looker | None


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
    bell = Bell(database)
    database.on_queued = bell.ring
    ringing = asyncio.create_task(bell.run(), name="bell")
    placement = Placement(BACKEND, settings.store_bucket, settings.store_prefix, settings.upload_lifetime)
    looker = Looker(settings.outside_networks) if settings.outside_checks else None
    try:
        yield Engines(database, index, store, bell, placement, looker)
    finally:
        ringing.cancel()
        with suppress(asyncio.CancelledError):
            await ringing
        await store.close()
        await index.close()
        await database.close()

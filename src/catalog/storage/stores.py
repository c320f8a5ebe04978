"""Clients of organizations' stores, opened when a location asks for one, and kept while they are in use.

Whoever has a location asks `of` for its store and need not know whose it is. A client is as old as its backend's row:
before it is used again after a while, the row is looked at, so that new keys, and what was found that a store can do,
count in every process within seconds.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.database import Database
from catalog.errors import CatalogError, Conflict, NotFound, Unavailable
from catalog.outside.door import Door
from catalog.storage import backends, health, probing, sealing
from catalog.storage.backends import Backend, Place, Tried, Use
from catalog.storage.capabilities import Capabilities
from catalog.storage.credentials import TokenService
from catalog.storage.guarding import GuardedTransport
from catalog.storage.probing import Outcome
from catalog.storage.s3 import Remedy, Store
from catalog.storage.sealing import Pair, Sealed
from catalog.storage.wrapping import KeyMissing, KeyService, KeyServiceAway, NoKeyService

log = structlog.get_logger("catalog.storage")

# How long a client is used before its backend's row is looked at again.
LOOKED_SECONDS = 5.0
# Whoever looks so long after a backend was changed sees it as it is now, in every process.
KNOWN_WITHIN = timedelta(seconds=2 * LOOKED_SECONDS)
# Each holds a few connections at most; whose is used least is closed.
CLIENTS_MAX = 64
CONNECTIONS_PER_BACKEND = 16
# How long somebody may still be talking through a client that was replaced: the store joins parts for ten minutes.
RETIRED_SECONDS = 15 * 60.0


class NoSuchBackend(NotFound):
    """A location names a backend that is not there."""


class StoreAway(Unavailable):
    """The store of these bytes cannot be used now; whoever runs the catalog must look at the key service."""

    # A person has to mend it.
    retry_after_seconds = 60


class Detached(Conflict):
    """The store of these bytes was detached from the catalog by its organization: there is no way to them."""


@dataclass(slots=True)
class _Open:
    store: Store
    revision: int
    looked_at: float


class Stores:
    """The clients of one process. Close them."""

    def __init__(self, database: Database, keys: KeyService, door: Door, *, identity: Pair) -> None:
        self.door = door
        self.keys = keys
        self._database = database
        # For backends without keys: the catalog's own at its own store.
        self._identity = identity
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._retired: list[tuple[float, Store]] = []
        # When it was looked at last what a store can do whose client is not ours to open.
        self._known_at: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Stores({len(self._open)} open)"

    async def close(self) -> None:
        """Close every client."""
        for store in [*(one.store for one in self._open.values()), *(store for _, store in self._retired)]:
            await store.close()
        self._open.clear()
        self._retired.clear()

    def forget(self, name: str) -> None:
        """Look at a backend's row before its client is used again: it has just been changed."""
        self._known_at.pop(name, None)
        if name in self._open:
            self._open[name].looked_at = float("-inf")

    async def of(self, name: str) -> Store:
        """Return the client of the backend that a location names; raises Detached, NoSuchBackend, StoreAway."""
        kept = self._open.get(name)
        if kept is not None and time.monotonic() - kept.looked_at < LOOKED_SECONDS:
            self._open.move_to_end(name)
            return kept.store
        async with self._database.transaction() as session:
            backend = await _named(session, name)
            sealed = None if backend is None else await sealing.find(session, backend.id)
            can = await health.capabilities_of(session, name)
        if backend is None:
            raise NoSuchBackend(f"There is no backend {name[:80]!r}.")
        if backend.detached_at is not None:
            raise Detached
        kept = self._open.get(name)
        if kept is not None and kept.revision == backend.revision:
            kept.looked_at = time.monotonic()
            kept.store.capabilities = can
            return kept.store
        try:
            pair = None if sealed is None else await sealing.unseal(sealed, backend.id, self.keys)
        except (KeyMissing, NoKeyService) as fault:
            # Which key and which file is nothing to whoever wants a file.
            log.warning("backend keys not opened", backend=name, reason=fault.detail)
            raise StoreAway from None
        except KeyServiceAway as fault:
            log.warning("key service away", backend=name, reason=fault.detail)
            away = StoreAway("The store of these bytes cannot be used now: the service that opens its keys is away.")
            away.retry_after_seconds = fault.retry_after_seconds
            raise away from None
        store = self.client(backend.place, backend.uses, pair, remedy=_remedy(backend))
        store.capabilities = can
        return await self._keep(name, backend, store)

    def client(self, place: Place, uses: frozenset[Use], pair: Pair | None, *, remedy: Remedy) -> Store:
        """Return a client of a place with these keys, or the catalog's own; whoever asks closes it."""
        keys = pair or self._identity
        plain = place.endpoint.startswith("http://")
        return Store(
            endpoint=place.endpoint,
            public_endpoint=place.endpoint,
            region=place.region,
            bucket=place.bucket,
            prefix=place.uploads_prefix,
            access_key=keys.access_key,
            secret_key=keys.secret_key,
            addressing=place.addressing,
            writable=Use.DOCUMENT in uses,
            transport=GuardedTransport(self.door, plain=plain, connections=CONNECTIONS_PER_BACKEND),
            remedy=remedy,
        )

    async def tried(self, place: Place, uses: frozenset[Use], pair: Pair | None, *, remedy: Remedy) -> Outcome:
        """Try every action that these uses of a place need, with these keys; each is told as `use: action`.

        What the store can do beside is found too, if all of them went well.
        """
        found: list[Tried] = []
        can = Capabilities()
        async with probing.closing(self.client(place, uses, pair, remedy=remedy)) as store:
            for use in sorted(uses):
                if use is Use.DATA:
                    outcome = await probing.try_reading(store, place.within)
                else:
                    outcome = await probing.try_writing(store, place.uploads_prefix)
                found += _of(use, outcome.tried)
                can = outcome.capabilities.over(can)
        if not probing.failures(found):
            service = self._token_service(place, pair)
            async with probing.closing(service):
                issues = await probing.issues_credentials(service, f"{place.uploads_prefix}/")
            can = replace(can, temporary_credentials=issues)
        return Outcome(found, can)

    def _token_service(self, place: Place, pair: Pair | None) -> TokenService:
        keys = pair or self._identity
        plain = place.endpoint.startswith("http://")
        return TokenService(
            endpoint=place.endpoint,
            store_endpoint=place.endpoint,
            region=place.region,
            bucket=place.bucket,
            access_key=keys.access_key,
            secret_key=keys.secret_key,
            transport=GuardedTransport(self.door, plain=plain, connections=1),
        )

    async def tried_again(self, backend: Backend, sealed: Sealed | None) -> Outcome:
        """Try a backend with the keys that it has."""
        try:
            pair = None if sealed is None else await sealing.unseal(sealed, backend.id, self.keys)
        except CatalogError as fault:
            return Outcome([Tried("open the keys", fault.detail)])
        return await self.tried(backend.place, backend.uses, pair, remedy=_remedy(backend))

    async def tried_own(self, store: Store, service: TokenService) -> Outcome:
        """Try the catalog's own store, where documents are written, and its token service."""
        found = await probing.try_writing(store, store.prefix)
        can = found.capabilities
        if found.works:
            within = f"{store.prefix}/" if store.prefix else ""
            can = replace(can, temporary_credentials=await probing.issues_credentials(service, within))
        return Outcome(_of(Use.DOCUMENT, found.tried), can)

    async def knowing(self, name: str, store: Store) -> Store:
        """Return a store that knows what was found that it can do, as everybody does within seconds."""
        at = time.monotonic()
        if at - self._known_at.get(name, float("-inf")) >= LOOKED_SECONDS:
            # Others who come meanwhile go on with what was known.
            self._known_at[name] = at
            async with self._database.transaction() as session:
                store.capabilities = await health.capabilities_of(session, name)
        return store

    async def _keep(self, name: str, backend: Backend, store: Store) -> Store:
        at = time.monotonic()
        before = self._open.pop(name, None)
        self._open[name] = _Open(store, backend.revision, at)
        gone = [] if before is None else [before]
        while len(self._open) > CLIENTS_MAX:
            gone.append(self._open.popitem(last=False)[1])
        over = [store for since, store in self._retired if at - since > RETIRED_SECONDS]
        self._retired = [one for one in self._retired if at - one[0] <= RETIRED_SECONDS]
        self._retired += [(at, one.store) for one in gone]
        for one in over:
            await one.close()
        return store


def _of(use: Use, tried: Sequence[Tried]) -> list[Tried]:
    return [Tried(f"{use}: {one.action}", one.reason) for one in tried]


async def _named(session: AsyncSession, name: str) -> Backend | None:
    try:
        return await backends.find_anywhere(session, UUID(name))
    except ValueError:
        return None


def _remedy(backend: Backend) -> Remedy:
    return Remedy(
        keys=f"the keys of backend {backend.name!r}",
        refused=f"An admin of {backend.organization} must check them (`catalog backend check`)",
        absent="its owner has to make it",
    )

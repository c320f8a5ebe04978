"""The only place where clients of the engines are built and closed."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import anyio

from catalog import tasks, tracing
from catalog.access.audience import Role
from catalog.access.login import Client
from catalog.access.oidc import Rules
from catalog.access.provider import Provider
from catalog.alerts.keys import Keys
from catalog.alerts.mail import Letterhead, Mailer
from catalog.alerts.telling import Alerting
from catalog.alerts.webhooks import Webhooks
from catalog.database import Database
from catalog.doi.describing import House
from catalog.doi.registry import DataCiteRegistry, LocalRegistry, Registry
from catalog.inventory.fixity import Allowance
from catalog.objects.gathering import Gathering
from catalog.objects.uploads import Placement
from catalog.outside.door import Door
from catalog.outside.looking import Looker
from catalog.queue import Bell, Notes
from catalog.retention.deciding import Policy
from catalog.search.aside import Aside
from catalog.search.embedding import Embedder
from catalog.search.index import Index, shape_of
from catalog.search.percolator import Percolator
from catalog.settings import PREFIX, Settings, WrongSettings
from catalog.storage.capacity import Told
from catalog.storage.copying import Pace, Throttle
from catalog.storage.credentials import TokenService
from catalog.storage.keys import OWN
from catalog.storage.losses import LossCounter
from catalog.storage.own import OwnStore
from catalog.storage.s3 import Store
from catalog.storage.sealing import Pair
from catalog.storage.signing import Addressing
from catalog.storage.stores import Stores
from catalog.storage.topics import Topics
from catalog.storage.transit import VaultKeys
from catalog.storage.wrapping import KeyService, LocalKeys
from catalog.subscriptions.exchanges import Exchanges
from catalog.subscriptions.publishing import Publisher
from catalog.subscriptions.streams import Streams
from catalog.subscriptions.tables import Channel
from catalog.sync.comparing import Sides
from catalog.sync.rounds import Rule


@dataclass(frozen=True, slots=True)
class Engines:
    """Everything a process talks to."""

    database: Database
    index: Index
    # The queries of saved searches, beside the index of objects.
    percolator: Percolator
    # The catalog's own store, and those that organizations bring.
    store: OwnStore
    stores: Stores
    token_service: TokenService
    bell: Bell
    notes: Notes
    registrations: Gathering
    placement: Placement
    # None: addresses outside the catalog are not looked at.
    looker: Looker | None
    registry: Registry
    house: House
    access_log_kept: timedelta
    alerting: Alerting
    fixity: Allowance
    retention: Policy
    relocating: Pace
    sync: Rule
    # Whose messages come without a token of ours.
    topics: Topics
    # How often every store is tried.
    probe_interval: timedelta = timedelta(days=1)
    # None: only tokens of our own count.
    provider: Provider | None = None
    # None: nobody logs in to the pages.
    login: Client | None = None
    # None: hybrid search is off.
    embedder: Embedder | None = None
    hybrid_by_default: bool = False
    # Into which brokers events are told.
    publishers: Mapping[Channel, Publisher] = field(default_factory=dict)
    # How often every store is scanned; zero: never.
    scan_interval: timedelta = timedelta()
    # None: nobody told where the own store counts the events that it loses.
    losses: LossCounter | None = None
    # Reads objects for their meaning, beside everything else; None where the embedder cannot.
    aside: Aside | None = None

    def sides(self, *, full: bool = False) -> Sides:
        """Return the database and the index, to be compared."""
        return Sides(self.database, self.index, self.placement.prefix, full)

    async def store_of(self, backend: str) -> Store:
        """Return the store of the backend that a location names; raises Detached, NoSuchBackend, StoreAway."""
        return await self.stores.knowing(OWN, self.store) if backend == OWN else await self.stores.of(backend)


@asynccontextmanager
async def opened(settings: Settings, *, service: str = "catalog") -> AsyncGenerator[Engines]:
    """Build the clients, ring the bell while the block runs, close everything at its end; traces name the `service`."""
    _trace(settings, service)
    database = Database(str(settings.database_url), connections=settings.database_connections)
    search = [str(url) for url in (settings.search_url, *settings.search_further_urls)]
    index = Index(
        search, alias=settings.search_index, refresh=settings.search_refresh, shape=shape_of(settings.search_shards)
    )
    percolator = Percolator(search, f"{settings.search_index}-saved", settings.search_refresh)
    store = OwnStore(
        endpoint=str(settings.store_url),
        public_endpoint=str(settings.store_link_url),
        region=settings.store_region,
        bucket=settings.store_bucket,
        prefix=settings.store_prefix,
        access_key=settings.store_access_key,
        secret_key=settings.store_secret_key.get_secret_value(),
        addressing=Addressing(settings.store_addressing),
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
    keys = key_service(settings)
    stores = Stores(
        database,
        keys,
        Door(settings.backend_networks),
        identity=Pair(settings.store_access_key, settings.store_secret_key.get_secret_value()),
    )
    topics = Topics({one.arn: one.backend for one in settings.sns_topics}, Door())
    bell = Bell(database)
    database.on_queued = bell.ring
    ringing = asyncio.create_task(bell.run(), name="bell")
    told = Told(
        settings.backend_watermark_percent,
        settings.backend_reserved_gb,
        settings.store_capacity_bytes,
        settings.store_disk,
    )
    placement = Placement(OWN, settings.store_bucket, settings.store_prefix, settings.upload_lifetime, told)
    looker = Looker(settings.outside_networks) if settings.outside_checks else None
    registry = _registry(settings)
    provider = _provider(settings)
    embedder = None if settings.hybrid == "off" else Embedder()
    aside = None if embedder is None or embedder.folder is None else Aside(embedder.folder)
    house = House(str(settings.public_url).rstrip("/"), settings.publisher, settings.doi_prefix, registry.resolves)
    alerting = _alerting(settings, house)
    publishers = _publishers(settings)
    # As long as the last link to them works, and then for a while.
    relocating = Pace(
        Throttle(settings.relocation_bytes_per_second), settings.link_lifetime + settings.relocation_grace
    )
    try:
        yield Engines(
            database,
            index,
            percolator,
            store,
            stores,
            token_service,
            bell,
            Notes(database),
            Gathering(database, placement),
            placement,
            looker,
            registry,
            house,
            settings.access_log_kept,
            alerting,
            Allowance(settings.fixity_bytes_per_day, settings.fixity_rest),
            _retention(settings),
            relocating,
            Rule(settings.sync_interval, settings.sync_share),
            topics,
            settings.backend_probe_interval,
            provider,
            _login(settings),
            embedder,
            settings.hybrid == "default",
            publishers,
            settings.scan_interval,
            _losses(settings),
            aside,
        )
    finally:
        await tasks.end(ringing)
        if provider is not None:
            await provider.close()
        await alerting.close()
        for publisher in publishers.values():
            await publisher.close()
        if embedder is not None:
            await embedder.close()
        if aside is not None:
            await aside.close()
        await registry.close()
        await token_service.close()
        await topics.close()
        await stores.close()
        await keys.close()
        await store.close()
        await percolator.close()
        await index.close()
        await database.close()
        # It waits for whoever collects them.
        await anyio.to_thread.run_sync(tracing.end)


def _trace(settings: Settings, service: str) -> None:
    if settings.traces_endpoint is None:
        return
    try:
        tracing.begin(str(settings.traces_endpoint), service=service, share=settings.traces_share)
    except ModuleNotFoundError:
        raise WrongSettings(f"{PREFIX}TRACES_ENDPOINT: needs the packages of requirements/traces.txt.") from None


def key_service(settings: Settings) -> KeyService:
    """Return what wraps the keys of organizations' stores; close it. Raises WrongSettings for unusable certificates."""
    if settings.key_vault_url is None or settings.key_vault_name is None or settings.key_vault_token is None:
        return LocalKeys(settings.key_file)
    try:
        return VaultKeys(
            str(settings.key_vault_url),
            mount=settings.key_vault_mount,
            name=settings.key_vault_name,
            token=settings.key_vault_token,
            token_file=settings.key_vault_token_file,
            authorities=settings.key_vault_ca_file,
        )
    except OSError:
        raise WrongSettings(f"{PREFIX}KEY_VAULT_CA_FILE: holds no certificates in PEM.") from None


def _losses(settings: Settings) -> LossCounter | None:
    if settings.store_metrics_url is None:
        return None
    token = settings.store_metrics_token
    return LossCounter(str(settings.store_metrics_url), None if token is None else token.get_secret_value())


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


def _publishers(settings: Settings) -> dict[Channel, Publisher]:
    found: dict[Channel, Publisher] = {}
    if settings.published_url is not None:
        found[Channel.NATS] = Streams(settings.published_url, heard=settings.events_subject)
    if settings.amqp_published_url is not None:
        found[Channel.AMQP] = Exchanges(settings.amqp_published_url)
    return found


def _retention(settings: Settings) -> Policy:
    return Policy(
        job_days=settings.retention_job_days,
        grace=settings.retention_grace,
        removals=settings.retention_removals,
        share=settings.retention_share,
    )


def _alerting(settings: Settings, house: House) -> Alerting:
    mailer = None
    if settings.smtp_host is not None and settings.smtp_sender is not None:
        password = settings.smtp_password
        mailer = Mailer(
            settings.smtp_host,
            settings.smtp_port,
            settings.smtp_security,
            settings.smtp_ca_file,
            settings.smtp_user,
            None if password is None else password.get_secret_value(),
            Letterhead(settings.smtp_sender, settings.publisher, house.address),
        )
    keys = Keys(settings.cursor_key.get_secret_value())
    return Alerting(keys, Webhooks(Door(settings.alert_networks)), mailer, house.address)


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

"""What the environment says, read once, typed and checked before anything starts.

The only reader of the environment. Every setting is `CATALOG_<NAME>`; for each secret, which the database's URL is too,
`CATALOG_<NAME>_FILE` names a file that holds it instead (a mounted secret).
"""

import os
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FilePath,
    HttpUrl,
    PostgresDsn,
    SecretStr,
    UrlConstraints,
    ValidationError,
)
from pydantic.dataclasses import dataclass
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from catalog.errors import CatalogError

PREFIX = "CATALOG_"

# SigV4 refuses links that live longer than seven days (AWS, "Authenticating Requests: Using Query Parameters").
LINK_LIFETIME_MAX = timedelta(days=7)


def _seconds(value: object) -> object:
    """Read a plain number as seconds; leave ISO 8601 durations to pydantic."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str | int | float) else value
    except (ValueError, OverflowError):
        return value


Duration = Annotated[timedelta, BeforeValidator(_seconds)]
Lifetime = Annotated[Duration, Field(ge=timedelta(seconds=1), le=LINK_LIFETIME_MAX)]
Engine = Annotated[HttpUrl, UrlConstraints(allowed_schemes=["http", "https"])]
# SQLAlchemy's names of drivers, such as postgresql+psycopg, mean nothing to libpq, which half of our connections ask.
DatabaseUrl = Annotated[PostgresDsn, UrlConstraints(allowed_schemes=["postgresql", "postgres"])]


def _listed(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Nodes = Annotated[tuple[Engine, ...], NoDecode, BeforeValidator(_listed), Field(max_length=100)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_listed)]

# None that shares a secret with the provider: whoever could check a signature could make one (RFC 8725, section 3.2).
SigningAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]
SigningAlgorithms = Annotated[
    tuple[SigningAlgorithm, ...], NoDecode, BeforeValidator(_listed), Field(min_length=1, max_length=11)
]


@dataclass(frozen=True)
class GroupRole:
    """The role of whoever is in a group of the provider."""

    group: Annotated[str, Field(min_length=1, max_length=200)]
    role: Literal["admin", "curator", "ingest", "reader"]

    def __str__(self) -> str:
        """Return it as the environment has it."""
        return f"{self.group}={self.role}"


def _group_roles(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.rpartition("=") for part in value.split(",") if part.strip()]
    return tuple({"group": group.strip(), "role": role.strip()} for group, _, role in pairs)


GroupRoles = Annotated[tuple[GroupRole, ...], NoDecode, BeforeValidator(_group_roles)]


@dataclass(frozen=True)
class Topic:
    """A topic of AWS (SNS) that is heard, and the backend that it speaks for: an id, or `default`."""

    arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$")]
    backend: Annotated[str, Field(pattern=r"^(default|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$")] = "default"

    def __str__(self) -> str:
        """Return it as the environment has it."""
        return f"{self.arn}={self.backend}"


def _topics(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    return tuple({"arn": arn.strip(), "backend": backend.strip() or "default"} for arn, _, backend in pairs)


def _server(*schemes: str) -> AfterValidator:
    """Return what takes the address of a broker, which may hold a password and is therefore not told."""

    def checked(value: SecretStr) -> SecretStr:
        if re.fullmatch(rf"({'|'.join(schemes)})://[!-~]{{1,1000}}", value.get_secret_value()) is None:
            raise ValueError("an address as " + ", or ".join(f"{scheme}://host:port" for scheme in schemes))
        return value

    return AfterValidator(checked)


EventsUrl = Annotated[SecretStr, _server("nats", "tls")]
AmqpUrl = Annotated[SecretStr, _server("amqp", "amqps")]
Topics = Annotated[tuple[Topic, ...], NoDecode, BeforeValidator(_topics)]


def is_loopback(host: str | None) -> bool:
    """Whether a host of an address is this machine, where nobody listens in between."""
    return host in {"127.0.0.1", "::1", "localhost"}


def _issuer(value: str) -> str:
    """Refuse what cannot be an issuer (OpenID Connect Discovery 1.0, section 2); it is kept to the letter."""
    parts = urlsplit(value)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("an https address (http on loopback alone)")
    if not parts.hostname or parts.username is not None or "?" in value or "#" in value:
        raise ValueError("an address without user, query and fragment")
    return value


def _first_token(value: SecretStr) -> SecretStr:
    """Refuse what is no token of ours: everybody who looks for leaked ones knows them by their form."""
    if re.fullmatch(r"cat_[A-Za-z0-9_-]{43,200}", value.get_secret_value()) is None:
        raise ValueError("`cat_` and 43 or more of letters, digits, - and _")
    return value


def _vault(value: HttpUrl) -> HttpUrl:
    """Refuse an address at which the token could be read by others."""
    if value.scheme != "https" and not is_loopback(value.host):
        raise ValueError("an https address (http on loopback alone)")
    if value.username is not None or value.query is not None or value.fragment is not None:
        raise ValueError("an address without user, query and fragment")
    return value


def _vault_token(value: SecretStr) -> SecretStr:
    """Refuse what no header can carry."""
    if re.fullmatch(r"[!-~]{1,8192}", value.get_secret_value()) is None:
        raise ValueError("one word of ASCII characters")
    return value


VaultUrl = Annotated[Engine, AfterValidator(_vault)]
VaultToken = Annotated[SecretStr, AfterValidator(_vault_token)]
MetricsToken = Annotated[SecretStr, Field(min_length=16), AfterValidator(_vault_token)]
FirstToken = Annotated[SecretStr, AfterValidator(_first_token)]
Issuer = Annotated[str, Field(max_length=2000), AfterValidator(_issuer)]

Read = TypeVar("Read", bound=BaseSettings)


class WrongSettings(CatalogError):
    """The environment does not describe a catalog that could start."""


# What is refused may be a secret, or have one in it: an error never shows the value.
CONFIG = SettingsConfigDict(
    env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
)


# What is of no use alone.
TOGETHER = {
    "the registry of DOIs needs all three": ("doi_registry_url", "doi_registry_user", "doi_registry_password"),
    "Vault's key service needs all three": ("key_vault_url", "key_vault_name", "key_vault_token"),
    "mail needs both": ("smtp_host", "smtp_sender"),
    "an account for mail needs both": ("smtp_user", "smtp_password"),
    "an OpenID provider needs both": ("oidc_issuer", "oidc_audience"),
}


class Events(NamedTuple):
    """A stream of events: the server's address, which may hold a password, and the subject or queue that is heard."""

    url: str
    subject: str


class Settings(BaseSettings):
    """One running catalog: its engines, its secrets and its limits that an operator may turn."""

    model_config = CONFIG

    public_url: Engine = Field(
        default=HttpUrl("http://127.0.0.1:8000"), description="Where people and clients reach the API and pages."
    )
    database_url: DatabaseUrl = Field(
        repr=False, description="PostgreSQL 16 or newer, postgresql://user:password@host:port/name."
    )
    database_connections: int = Field(default=10, ge=1, le=200, description="Connections each process may hold open.")
    search_url: Engine = Field(description="OpenSearch 3, http://host:port.")
    search_further_urls: Nodes = Field(
        default=(),
        description="Further nodes of the same cluster, comma between: all are asked in turn, and one for another.",
    )
    search_index: str = Field(
        default="objects", pattern=r"^[a-z][a-z0-9-]{0,62}$", description="The alias that searches go through."
    )
    search_refresh: Duration = Field(
        default=timedelta(seconds=1),
        ge=timedelta(milliseconds=50),
        description="How often the index makes written documents searchable.",
    )
    search_shards: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Into how many shards the index is divided; another number has it built anew.",
    )
    hybrid: Literal["off", "on-request", "default"] = Field(
        default="on-request",
        description="Whether searches look for what means the same too: never, where asked, or unless asked not to. "
        "Needs pgvector and the packages of requirements/hybrid.txt.",
    )
    store_url: Engine = Field(description="The S3 endpoint as this process reaches it.")
    store_public_url: Engine | None = Field(
        default=None, description="The S3 endpoint as clients reach it; links are signed for it. Default: store_url."
    )
    store_region: str = Field(default="us-east-1", min_length=1)
    store_addressing: Literal["path", "virtual"] = Field(
        default="path", description="Whether addresses name the bucket in their path, or as a host, as AWS prefers."
    )
    store_bucket: str = Field(default="catalog", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    store_prefix: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*)?$",
        description="Put before every key, no slashes around.",
    )
    store_access_key: str = Field(min_length=1, description="The store's access key.")
    store_secret_key: SecretStr = Field(min_length=1, description="The secret of the store's access key.")
    store_sts_url: Engine | None = Field(
        default=None, description="The store's token service, for temporary credentials. Default: store_url."
    )
    store_role: str | None = Field(
        default=None,
        pattern=r"^arn:[!-~]{1,300}$",
        description="The role that temporary credentials are made from, where the store wants one: AWS and Ceph do.",
    )
    backend_networks: Networks = Field(
        default=(),
        description="Networks beside the public ones in which organizations' stores may lie, as 10.1.0.0/16, comma "
        "between; http is allowed there too.",
    )
    backend_root: str = Field(
        default="catalog",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$",
        description="The folder that is the catalog's in the stores of organizations.",
    )
    store_capacity_bytes: int | None = Field(
        default=None, ge=1, le=10**18, description="What the store can hold. Not set: it is not known, or measured."
    )
    store_disk: Path | None = Field(
        default=None,
        description="A folder on the disk that the store has, where that is a disk of this machine: what is free is "
        "measured there.",
    )
    backend_watermark_percent: int = Field(
        default=85, ge=1, le=100, description="How full a store may get before uploads are refused."
    )
    backend_reserved_gb: int = Field(
        default=100,
        ge=0,
        le=10**9,
        description="How much of a store stays free in any case, in GB; of a small one a quarter at most.",
    )
    backend_probe_interval: Duration = Field(
        default=timedelta(days=1),
        ge=timedelta(minutes=1),
        le=timedelta(days=30),
        description="How often the indexer tries every store.",
    )
    key_file: Path | None = Field(
        default=None,
        description="The keys that wrap those of organizations' stores, one `ID KEY` a line; the first one wraps.",
    )
    key_vault_url: VaultUrl | None = Field(
        default=None, description="Vault or OpenBao, whose Transit engine wraps those keys instead of a key file."
    )
    key_vault_mount: str = Field(
        default="transit",
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        max_length=200,
        description="Where that engine is mounted; in a namespace, with its path before it.",
    )
    key_vault_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$",
        max_length=100,
        description="The key of that engine.",
    )
    key_vault_token: VaultToken | None = Field(
        default=None, repr=False, description="Our token there, which may encrypt and decrypt with that key."
    )
    key_vault_token_file: FilePath | None = Field(
        default=None, description="A file that holds the token and is read again when the token is refused."
    )
    key_vault_ca_file: FilePath | None = Field(
        default=None,
        description="Certificates of authorities, in PEM, that may vouch for that server beside the system's.",
    )
    notification_token: SecretStr = Field(
        min_length=16, description="The bearer token with which buckets notify us, 16 characters or more."
    )
    notifications_per_minute: int = Field(
        default=30_000,
        ge=1,
        le=10_000_000,
        description="How many events of a store of an organization one process of the API takes in a minute.",
    )
    events_url: EventsUrl | None = Field(
        default=None,
        repr=False,
        description="A NATS server with JetStream, nats://user:password@host:port, whose stream tells of keys too.",
    )
    events_subject: str = Field(
        default="catalog.events",
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
        max_length=200,
        description="The subject of that stream.",
    )
    subscriptions_url: EventsUrl | None = Field(
        default=None,
        repr=False,
        description="A NATS server with JetStream into whose streams admins may have events told. Not set: the one of "
        "CATALOG_EVENTS_URL.",
    )
    events_amqp_url: AmqpUrl | None = Field(
        default=None,
        repr=False,
        description="A server of AMQP 0-9-1 such as RabbitMQ, amqp(s)://user:password@host:port/vhost, out of a queue "
        "of which keys are told too.",
    )
    events_amqp_queue: str = Field(
        default="catalog.events",
        pattern=r"^[A-Za-z0-9_.:/@-]+$",
        max_length=200,
        description="That queue.",
    )
    subscriptions_amqp_url: AmqpUrl | None = Field(
        default=None,
        repr=False,
        description="A server of AMQP 0-9-1 into whose exchanges admins may have events told. Not set: the one of "
        "CATALOG_EVENTS_AMQP_URL.",
    )
    sns_topics: Topics = Field(
        default=(),
        description="Topics of AWS (SNS) that are heard, comma between: ARN for the catalog's own store, ARN=BACKEND "
        "for one of an organization.",
    )
    cursor_key: SecretStr = Field(
        min_length=32, description="Seals paging cursors; any 32 characters or more, kept secret."
    )
    first_admin_token: FirstToken | None = Field(
        default=None,
        repr=False,
        description="The token of the admin whom `catalog migrate` makes while there is none: `cat_` and 43 or more of "
        "letters, digits, - and _.",
    )
    link_lifetime: Lifetime = Field(default=timedelta(minutes=15), description="How long a download link works.")
    upload_lifetime: Lifetime = Field(default=timedelta(hours=1), description="How long an upload ticket works.")

    fixity_bytes_per_day: int = Field(
        default=10_000_000_000,
        ge=0,
        le=10**15,
        description="How many bytes of files are read again a day, to see that they are what they were; 0: none.",
    )
    fixity_rest: Duration = Field(
        default=timedelta(days=30),
        ge=timedelta(seconds=1),
        description="How long reading again rests when it has come to the end, before it begins anew.",
    )

    sync_interval: Duration = Field(
        default=timedelta(days=1),
        ge=timedelta(minutes=1),
        le=timedelta(days=365),
        description="How often the indexer compares the index with the database, and mends it.",
    )
    sync_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="The share of the index's documents that may be no object's and removed at once, 100 in any case, "
        "and of a store's files that may be gone, 10 in any case; beyond, somebody has to say so.",
    )

    store_metrics_url: Engine | None = Field(
        default=None,
        description="Where the catalog's own store, if it is MinIO, tells Prometheus how many events it has lost: "
        "/minio/v2/metrics/cluster of its address.",
    )
    store_metrics_token: SecretStr | None = Field(
        default=None, description="The bearer token for that, unless it is open to everybody."
    )
    scan_interval: Duration = Field(
        default=timedelta(days=7),
        ge=timedelta(0),
        le=timedelta(days=365),
        description="How often every store is listed and compared with the database by itself; 0: never.",
    )

    relocation_grace: Duration = Field(
        default=timedelta(days=1),
        ge=timedelta(seconds=1),
        description="How long bytes of a file that was moved stay where they were, after the last link to them ended.",
    )
    relocation_bytes_per_second: int | None = Field(
        default=None, ge=65_536, description="How fast one indexer copies files that move. Not set: as fast as it can."
    )

    access_log_kept: Duration = Field(
        default=timedelta(days=90),
        ge=timedelta(days=1),
        description="How long it is known who was given which links and credentials.",
    )

    retention_job_days: int = Field(
        default=15,
        ge=1,
        le=36_500,
        description="Days after its end at which the data of a job goes, where no rule says otherwise.",
    )
    retention_grace: Duration = Field(
        default=timedelta(days=7),
        ge=timedelta(days=1),
        le=timedelta(days=365),
        description="How long what is due is marked before it goes, and what nobody names before it is deleted.",
    )
    retention_removals: int = Field(
        default=500, ge=1, le=100_000, description="The most objects that rules remove in a cycle of ten minutes."
    )
    retention_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="The share of a project's objects that may be due at once; beyond, an admin has to say go on.",
    )

    drain: Duration = Field(
        default=timedelta(0),
        ge=timedelta(0),
        le=timedelta(minutes=10),
        description="How long a process of the API goes on answering after SIGTERM, while /readyz says that it ends.",
    )
    metrics_token: MetricsToken | None = Field(
        default=None,
        repr=False,
        description="The bearer token with which /metrics is read, 16 characters or more. Not set: only this machine "
        "reads it, and nobody through a proxy.",
    )
    indexer_metrics_port: int | None = Field(
        default=None, ge=1, le=65_535, description="The port at which an indexer tells its metrics. Not set: none."
    )
    indexer_metrics_host: str = Field(
        default="127.0.0.1", min_length=1, max_length=253, description="The address of that port."
    )

    traces_endpoint: Engine | None = Field(
        default=None,
        description="Where traces go, by OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces. Not set: none are "
        "made. Needs the packages of requirements/traces.txt.",
    )
    traces_share: float = Field(default=1.0, ge=0, le=1, description="The share of requests that are traced.")

    outside_checks: bool = Field(
        default=False, description="Whether the indexer looks at the outside addresses that objects name."
    )
    outside_networks: Networks = Field(
        default=(), description="Networks beside the public ones that it may look into, as 10.1.0.0/16, comma between."
    )

    alert_networks: Networks = Field(
        default=(),
        description="Networks beside the public ones that webhooks may go to, as 10.1.0.0/16, comma between; http is "
        "allowed there too.",
    )
    smtp_host: str | None = Field(
        default=None, min_length=1, max_length=253, description="The server that takes our mail. Not set: none is sent."
    )
    smtp_port: int = Field(default=587, ge=1, le=65_535, description="The port of that server.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection to it is protected; `none` is for this machine alone."
    )
    smtp_ca_file: FilePath | None = Field(
        default=None,
        description="Certificates of authorities, in PEM, that may vouch for that server beside the system's.",
    )
    smtp_user: str | None = Field(default=None, min_length=1, description="Our account there, where it wants one.")
    smtp_password: SecretStr | None = Field(default=None, repr=False, description="The password of that account.")
    smtp_sender: str | None = Field(
        default=None, pattern=r"^[!-?A-~]+@[!-?A-~]+$", max_length=254, description="The address that mail comes from."
    )

    requests_per_second: float = Field(
        default=200, ge=1, le=1_000_000, description="How fast one principal may ask one process of the API."
    )
    requests_per_second_anonymous: float = Field(
        default=50, ge=1, le=1_000_000, description="The same for whoever has no token, by address."
    )
    requests_per_second_organization: float = Field(
        default=2_000, ge=1, le=1_000_000, description="The same for all principals of an organization together."
    )
    trusted_proxies: Networks = Field(
        default=(),
        description="Networks of proxies of ours, comma between: of a request that comes from there, X-Forwarded-For "
        "tells the client's address.",
    )

    publisher: str = Field(
        default="Science Catalog",
        min_length=1,
        max_length=200,
        description="Who is named as publisher in citations and DOIs where an object names nobody.",
    )
    doi_prefix: str = Field(
        # DataCite's old test prefix (DataCite Support, "Test DOIs"): it resolves nowhere and is nobody's.
        default="10.5072",
        pattern=r"^10\.[0-9]{4,9}(\.[0-9]+)*$",
        description="What every DOI of this catalog begins with, as the registry assigned it.",
    )
    doi_registry_url: Engine | None = Field(
        default=None, description="DataCite's REST API. Not set: DOIs are kept here alone and resolve nowhere."
    )
    doi_registry_user: str | None = Field(default=None, description="The repository's account at the registry.")
    doi_registry_password: SecretStr | None = Field(
        default=None, repr=False, description="The password of the repository's account."
    )
    doi_registry_patience: Duration = Field(
        default=timedelta(seconds=20),
        ge=timedelta(milliseconds=100),
        le=timedelta(minutes=5),
        description="How long the registry may take to answer.",
    )

    oidc_issuer: Issuer | None = Field(
        default=None, description="The OpenID provider whose tokens count here, to the letter. Not set: none."
    )
    oidc_audience: str | None = Field(
        default=None, min_length=1, max_length=2000, description="What a token must name as its audience to count here."
    )
    oidc_algorithms: SigningAlgorithms = Field(
        default=("RS256", "ES256", "EdDSA"), description="Signatures that count, comma between; asymmetric ones only."
    )
    oidc_groups_claim: str = Field(
        default="groups", min_length=1, max_length=200, description="The claim that lists the groups of a person."
    )
    oidc_roles: GroupRoles = Field(
        default=(), description="What groups may do, as lab-admins=admin,stations=ingest; whoever is in none reads."
    )
    oidc_clock_skew: Duration = Field(
        default=timedelta(seconds=60),
        ge=timedelta(0),
        le=timedelta(minutes=5),
        description="How far the provider's clock may be from ours.",
    )
    oidc_client_id: str | None = Field(
        default=None, min_length=1, max_length=200, description="Who the pages are to the provider. Not set: no login."
    )
    oidc_client_secret: SecretStr | None = Field(
        default=None, repr=False, description="The secret of that client; public clients have none."
    )
    oidc_scopes: str = Field(
        default="openid profile",
        pattern=r"^openid( [!#-\[\]-~]{1,100}){0,20}$",
        description="What a login asks for, with whatever the provider wants for groups.",
    )
    session_lifetime: Duration = Field(
        default=timedelta(hours=8),
        ge=timedelta(minutes=1),
        le=timedelta(days=7),
        description="How long somebody stays logged in to the pages.",
    )

    @property
    def events(self) -> Events | None:
        """The stream of events, if there is one."""
        url = self.events_url
        return None if url is None else Events(url.get_secret_value(), self.events_subject)

    @property
    def published_url(self) -> str | None:
        """The server that events are published to, if there is one."""
        url = self.subscriptions_url or self.events_url
        return None if url is None else url.get_secret_value()

    @property
    def amqp_events(self) -> Events | None:
        """The queue of events, if there is one."""
        url = self.events_amqp_url
        return None if url is None else Events(url.get_secret_value(), self.events_amqp_queue)

    @property
    def amqp_published_url(self) -> str | None:
        """The server into whose exchanges events are published, if there is one."""
        url = self.subscriptions_amqp_url or self.events_amqp_url
        return None if url is None else url.get_secret_value()

    @property
    def store_link_url(self) -> HttpUrl:
        """The endpoint that links are signed for."""
        return self.store_public_url or self.store_url

    @classmethod
    def told(cls, environment: Mapping[str, str]) -> Self:
        """Read what another process was told in its environment, which it has checked."""
        known = {f"{PREFIX}{name.upper()}": name for name in cls.model_fields}
        said: dict[str, Any] = {known[name]: value for name, value in environment.items() if name in known}
        held, _ = _from_files(secrets_of(cls), environment)
        return cls(**said, **held)

    @classmethod
    def from_environment(cls) -> Self:
        """Read and check the environment; raises WrongSettings that names every variable at fault."""
        found = _checked(cls)
        for what, together in TOGETHER.items():
            missing = [f"{PREFIX}{name.upper()}" for name in together if not getattr(found, name)]
            if 0 < len(missing) < len(together):
                raise WrongSettings(f"{' and '.join(missing)}: not set, and {what}.")
        if found.key_file is not None and found.key_vault_url is not None:
            raise WrongSettings(f"{PREFIX}KEY_FILE: set it or {PREFIX}KEY_VAULT_URL, not both: one service wraps.")
        if found.oidc_client_id is not None:
            _must_be_fit_for_login(found)
        return found


def _must_be_fit_for_login(found: Settings) -> None:
    if found.oidc_issuer is None:
        raise WrongSettings(f"{PREFIX}OIDC_ISSUER: not set, and a login needs a provider.")
    if found.oidc_client_id == found.oidc_audience:
        # Whoever has seen an ID token, which tells who logged in, could call the API with it.
        raise WrongSettings(f"{PREFIX}OIDC_AUDIENCE: must not be the client's id, which ID tokens have as theirs.")
    if found.public_url.scheme != "https" and not is_loopback(found.public_url.host):
        raise WrongSettings(f"{PREFIX}PUBLIC_URL: must be https where people log in; their sessions could be read.")


class ClientSettings(BaseSettings):
    """Which catalog the command line talks to, and as whom."""

    model_config = CONFIG

    url: str = Field(default="http://127.0.0.1:8000", description="The catalog's address.")
    token: SecretStr | None = Field(default=None, description="Your token.")
    token_file: Path | None = Field(default=None, description="A file that holds your token.")
    job_key: str | None = Field(default=None, description="The key of the job that is pushed to or pulled from.")

    @classmethod
    def from_environment(cls, *, url: str | None = None, token_file: Path | None = None) -> Self:
        """Read the environment, where what is given here wins; raises WrongSettings for a token that cannot be had."""
        found = cls()
        if token_file is None and found.token is not None and found.token_file is not None:
            raise WrongSettings(f"Set {PREFIX}TOKEN or {PREFIX}TOKEN_FILE, not both.")
        token, file = found.token, token_file or found.token_file
        if file is not None:
            try:
                token = SecretStr(file.read_text(encoding="utf-8").strip())
            except (OSError, UnicodeDecodeError) as fault:
                raise WrongSettings(f"The token file {file} cannot be read: {type(fault).__name__}.") from None
        return found.model_copy(update={"url": url or found.url, "token": token, "token_file": file})


class Given(BaseSettings):
    """The engines that the environment already provides; the embedded stack starts only the others."""

    model_config = CONFIG

    database_url: DatabaseUrl | None = Field(default=None, repr=False)
    search_url: Engine | None = None
    store_url: Engine | None = None

    @classmethod
    def from_environment(cls) -> Self:
        """Read and check the environment; raises WrongSettings that names every variable at fault."""
        return _checked(cls)


class Workstation(BaseSettings):
    """What the embedded stack must know of the machine and the person it runs for."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    catalog_home: Path = Field(default=Path(".data"), description="Where the embedded stack keeps everything.")
    java_home: Path | None = None
    xdg_cache_home: Path | None = None

    @property
    def cache(self) -> Path:
        """Where downloads and builds are kept between data folders (XDG Base Directory Specification)."""
        return (self.xdg_cache_home or Path.home() / ".cache") / "science-catalog"


def secrets_of(kind: type[BaseSettings]) -> list[str]:
    """Return the names of the settings that are secrets: none is ever shown, and each may stand in a file."""
    return [name for name, field in kind.model_fields.items() if field.annotation is SecretStr or not field.repr]


def _checked(kind: type[Read]) -> Read:
    """Read the environment and the files that it names; raises WrongSettings with a line for each setting at fault."""
    held, faults = _from_files(secrets_of(kind), inherited_settings())
    try:
        found = kind(**held)
    except ValidationError as wrong:
        for error in wrong.errors(include_input=False, include_url=False, include_context=False):
            name = str(error["loc"][0])
            variable = f"{PREFIX}{name.upper()}"
            told = f"{variable}{'_FILE' if name in held else ''}: {error['msg']}"
            if error["type"] == "missing":
                told = f"{variable}: not set" + (f", nor is {variable}_FILE" if name in secrets_of(kind) else "")
            # A file that could not be read has been told of already.
            faults.setdefault(name, told)
    if not faults:
        return found
    fields = kind.model_fields
    meant = {name: f" ({text.rstrip('.')})" if (text := fields[name].description) else "" for name in fields}
    raise WrongSettings("; ".join(f"{faults[name]}{meant[name]}" for name in fields if name in faults))


def _from_files(names: Iterable[str], given: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the files hold that `CATALOG_<NAME>_FILE` names, and what is wrong with the others."""
    held: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name in names:
        variable = f"{PREFIX}{name.upper()}"
        path = given.get(f"{variable}_FILE")
        if path is None:
            continue
        if variable in given:
            faults[name] = f"{variable}: set it or {variable}_FILE, not both"
            continue
        try:
            held[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as fault:
            # Not even the path is told: it may be the secret itself, put into the wrong variable.
            faults[name] = f"{variable}_FILE: the file cannot be read, {type(fault).__name__}"
    return held, faults


def inherited_environment() -> dict[str, str]:
    """Return a copy of this process's environment, to be extended and given to a child process."""
    return dict(os.environ)  # ruff: ignore[TID251] - this is the one reader.


def inherited_settings() -> dict[str, str]:
    """Return the part of the environment that describes a catalog: every `CATALOG_*` variable that is set."""
    return {name: value for name, value in inherited_environment().items() if name.startswith(PREFIX) and value}

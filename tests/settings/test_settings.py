"""What the environment may say, what is told of what it may not, and that neither ever shows a secret."""

import os
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import HttpUrl, SecretStr, ValidationError
from pydantic_settings import BaseSettings

from catalog.settings import (
    PREFIX,
    ClientSettings,
    Given,
    GroupRole,
    Settings,
    Topic,
    Workstation,
    WrongSettings,
    inherited_settings,
    secrets_of,
)

PASSWORD = "pa55word-of-the-database"
SECRETS = {
    "DATABASE_URL": f"postgresql://catalog:{PASSWORD}@db.example.org:5432/catalog",
    "STORE_SECRET_KEY": "the-store's-secret-key",
    "NOTIFICATION_TOKEN": "the-notification-token",
    "CURSOR_KEY": "the-key-that-seals-every-cursor-of-paging",
}
REQUIRED = {
    "SEARCH_URL": "http://search.example.org:9200",
    "STORE_URL": "http://store.example.org:9000",
    "STORE_ACCESS_KEY": "catalog",
    **SECRETS,
}
# What nobody asked for, or asked others for: none of it may change or disturb anything.
NOISE = {"URL": "http://catalog.example.org", "TOKEN": "cat_somebody", "HOME": "elsewhere", "STORE_REGION": ""}

MEANT = {
    "DATABASE_URL": "PostgreSQL 16 or newer, postgresql://user:password@host:port/name",
    "SEARCH_URL": "OpenSearch 3, http://host:port",
    "STORE_URL": "The S3 endpoint as this process reaches it",
    "STORE_ACCESS_KEY": "The store's access key",
    "STORE_SECRET_KEY": "The secret of the store's access key",
    "NOTIFICATION_TOKEN": "The bearer token with which buckets notify us, 16 characters or more",
    "CURSOR_KEY": "Seals paging cursors; any 32 characters or more, kept secret",
}

Say = Callable[..., None]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Set the environment to the noise and these variables, and to nothing else of the kind."""

    def say(**variables: str) -> None:
        for name in inherited_settings():
            monkeypatch.delenv(name)
        for name, value in (NOISE | variables).items():
            monkeypatch.setenv(f"{PREFIX}{name}", value)

    return say


def refusal(kind: type[Settings | Given] = Settings) -> str:
    with pytest.raises(WrongSettings) as wrong:
        kind.from_environment()
    return wrong.value.detail


def plain(settings: BaseSettings) -> dict[str, Any]:
    """Every setting as it is used: addresses as texts, secrets opened."""
    return {
        name: value.get_secret_value()
        if isinstance(value, SecretStr)
        else str(value)
        if name.endswith("_url") and value is not None
        else value
        for name, value in settings
    }


def test_what_must_be_said_is_enough_and_the_rest_has_defaults(say: Say) -> None:
    say(**REQUIRED)

    assert plain(Settings.from_environment()) == {
        "public_url": "http://127.0.0.1:8000/",
        "database_url": SECRETS["DATABASE_URL"],
        "database_connections": 10,
        "search_url": "http://search.example.org:9200/",
        "search_further_urls": (),
        "search_index": "objects",
        "search_refresh": timedelta(seconds=1),
        "search_shards": 1,
        "hybrid": "on-request",
        "store_url": "http://store.example.org:9000/",
        "store_public_url": None,
        "store_region": "us-east-1",
        "store_bucket": "catalog",
        "store_prefix": "",
        "store_access_key": "catalog",
        "store_secret_key": SECRETS["STORE_SECRET_KEY"],
        "notification_token": SECRETS["NOTIFICATION_TOKEN"],
        "cursor_key": SECRETS["CURSOR_KEY"],
        "first_admin_token": None,
        "key_file": None,
        "key_vault_url": None,
        "key_vault_mount": "transit",
        "key_vault_name": None,
        "key_vault_token": None,
        "key_vault_token_file": None,
        "key_vault_ca_file": None,
        "notifications_per_minute": 30_000,
        "backend_networks": (),
        "backend_root": "catalog",
        "store_capacity_bytes": None,
        "store_disk": None,
        "backend_watermark_percent": 85,
        "backend_reserved_gb": 100,
        "backend_probe_interval": timedelta(days=1),
        "link_lifetime": timedelta(minutes=15),
        "upload_lifetime": timedelta(hours=1),
        "store_sts_url": None,
        "store_role": None,
        "access_log_kept": timedelta(days=90),
        "store_addressing": "path",
        "fixity_bytes_per_day": 10_000_000_000,
        "fixity_rest": timedelta(days=30),
        "sync_interval": timedelta(days=1),
        "sync_share": 0.05,
        "scan_interval": timedelta(days=7),
        "store_metrics_url": None,
        "store_metrics_token": None,
        "retention_job_days": 15,
        "retention_grace": timedelta(days=7),
        "retention_removals": 500,
        "retention_share": 0.2,
        "relocation_grace": timedelta(days=1),
        "relocation_bytes_per_second": None,
        "requests_per_second": 200,
        "requests_per_second_anonymous": 50,
        "requests_per_second_organization": 2000,
        "trusted_proxies": (),
        "drain": timedelta(0),
        "metrics_token": None,
        "indexer_metrics_port": None,
        "indexer_metrics_host": "127.0.0.1",
        "traces_endpoint": None,
        "traces_share": 1.0,
        "outside_checks": False,
        "outside_networks": (),
        "alert_networks": (),
        "sns_topics": (),
        "events_url": None,
        "events_subject": "catalog.events",
        "subscriptions_url": None,
        "events_amqp_url": None,
        "events_amqp_queue": "catalog.events",
        "subscriptions_amqp_url": None,
        "smtp_host": None,
        "smtp_port": 587,
        "smtp_security": "starttls",
        "smtp_ca_file": None,
        "smtp_user": None,
        "smtp_password": None,
        "smtp_sender": None,
        "publisher": "Science Catalog",
        "doi_prefix": "10.5072",
        "doi_registry_url": None,
        "doi_registry_user": None,
        "doi_registry_password": None,
        "doi_registry_patience": timedelta(seconds=20),
        "oidc_issuer": None,
        "oidc_audience": None,
        "oidc_algorithms": ("RS256", "ES256", "EdDSA"),
        "oidc_groups_claim": "groups",
        "oidc_roles": (),
        "oidc_clock_skew": timedelta(seconds=60),
        "oidc_client_id": None,
        "oidc_client_secret": None,
        "oidc_scopes": "openid profile",
        "session_lifetime": timedelta(hours=8),
    }


def test_a_registry_of_dois_needs_its_address_its_account_and_a_password(say: Say, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("of-the-repository\n")
    account = {"DOI_REGISTRY_URL": "https://registry.example.org", "DOI_REGISTRY_USER": "LAB.SOIL"}

    say(**REQUIRED, **account)
    with pytest.raises(WrongSettings) as refused:
        Settings.from_environment()
    say(**REQUIRED, **account, DOI_REGISTRY_PASSWORD_FILE=str(tmp_path / "password"))
    found = Settings.from_environment()

    assert refused.value.detail == ("CATALOG_DOI_REGISTRY_PASSWORD: not set, and the registry of DOIs needs all three.")
    assert plain(found)["doi_registry_password"] == "of-the-repository"
    assert "of-the-repository" not in repr(found)


PROVIDER = {"OIDC_ISSUER": "https://idp.example.org/realms/lab/", "OIDC_AUDIENCE": "urn:catalog"}


def test_an_openid_provider_is_taken_to_the_letter_and_its_groups_give_roles(say: Say) -> None:
    said = {
        "OIDC_ALGORITHMS": "ES256, Ed25519",
        "OIDC_ROLES": "lab-admins=admin, /lab/a=b=ingest,",
        "OIDC_GROUPS_CLAIM": "https://example.org/roles",
        "OIDC_CLOCK_SKEW": "5",
    }
    say(**REQUIRED)
    before = plain(Settings.from_environment())
    say(**REQUIRED, **PROVIDER, **said)

    assert plain(Settings.from_environment()) == before | {
        "oidc_issuer": "https://idp.example.org/realms/lab/",
        "oidc_audience": "urn:catalog",
        "oidc_algorithms": ("ES256", "Ed25519"),
        "oidc_groups_claim": "https://example.org/roles",
        "oidc_roles": (GroupRole("lab-admins", "admin"), GroupRole("/lab/a=b", "ingest")),
        "oidc_clock_skew": timedelta(seconds=5),
    }


ARN = "arn:aws:sns:eu-west-1:111122223333:ours"
BACKEND = "01a1fd1f-74a6-76f6-8383-4ced501143c7"


def test_topics_are_named_with_the_backend_that_they_speak_for(say: Say) -> None:
    say(**REQUIRED, SNS_TOPICS=f"{ARN}, {ARN}.fifo={BACKEND},")

    assert Settings.from_environment().sns_topics == (Topic(ARN, "default"), Topic(f"{ARN}.fifo", BACKEND))


def test_a_stream_is_an_address_and_a_subject_and_its_password_is_not_shown(say: Say) -> None:
    say(**REQUIRED, EVENTS_URL="nats://catalog:s3cret-of-the-stream@host:4222", EVENTS_SUBJECT="buckets.catalog")

    found = Settings.from_environment()
    assert found.published_url == "nats://catalog:s3cret-of-the-stream@host:4222"
    assert found.events == ("nats://catalog:s3cret-of-the-stream@host:4222", "buckets.catalog")
    assert "s3cret" not in repr(found)


def test_a_queue_is_an_address_and_a_name_beside_a_stream_and_events_may_go_elsewhere(say: Say) -> None:
    say(
        **REQUIRED,
        EVENTS_URL="nats://host:4222",
        EVENTS_AMQP_URL="amqps://catalog:s3cret-of-the-queue@host:5671/science",
        SUBSCRIPTIONS_AMQP_URL="amqp://catalog:s3cret-of-the-exchange@host:5672",
    )

    found = Settings.from_environment()
    assert found.amqp_events == ("amqps://catalog:s3cret-of-the-queue@host:5671/science", "catalog.events")
    assert found.amqp_published_url == "amqp://catalog:s3cret-of-the-exchange@host:5672"
    assert (found.events, "s3cret" in repr(found)) == (("nats://host:4222", "catalog.events"), False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EVENTS_URL", "amqp://host:5672"),
        ("EVENTS_AMQP_URL", "nats://host:4222"),
        ("EVENTS_AMQP_URL", "amqp://host:5672/a vhost"),
        ("EVENTS_AMQP_QUEUE", "buckets catalog"),
        ("SUBSCRIPTIONS_AMQP_URL", "https://host:5672"),
        ("EVENTS_SUBJECT", "buckets.>"),
        ("SUBSCRIPTIONS_URL", "amqp://host:5672"),
        ("SNS_TOPICS", "ours"),
        ("SNS_TOPICS", ARN.replace("sns", "sqs")),
        ("SNS_TOPICS", f"{ARN}=lab"),
        ("OIDC_ISSUER", "http://idp.example.org"),
        ("OIDC_ISSUER", "idp.example.org"),
        ("OIDC_ISSUER", "https://user@idp.example.org"),
        ("OIDC_ISSUER", "https://idp.example.org?tenant=1"),
        ("OIDC_ISSUER", "https://idp.example.org#"),
        ("OIDC_ISSUER", "https://"),
        ("OIDC_ALGORITHMS", "none"),
        ("OIDC_ALGORITHMS", "RS256,HS256"),
        ("OIDC_ALGORITHMS", ","),
        ("OIDC_ROLES", "lab-admins"),
        ("OIDC_ROLES", "=admin"),
        ("OIDC_ROLES", "lab-admins=root"),
        ("OIDC_CLOCK_SKEW", "301"),
        ("OIDC_CLOCK_SKEW", "-1"),
    ],
)
def test_what_would_weaken_the_check_of_a_provider_is_refused_at_the_start(say: Say, name: str, value: str) -> None:
    say(**REQUIRED, **PROVIDER | {name: value})

    assert refusal().startswith(f"{PREFIX}{name}: ")


@pytest.mark.parametrize("missing", PROVIDER)
def test_an_openid_provider_needs_issuer_and_audience(say: Say, missing: str) -> None:
    say(**REQUIRED, **{name: value for name, value in PROVIDER.items() if name != missing})

    assert refusal() == f"{PREFIX}{missing}: not set, and an OpenID provider needs both."


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            PROVIDER | {"OIDC_CLIENT_ID": PROVIDER["OIDC_AUDIENCE"]},
            "CATALOG_OIDC_AUDIENCE: must not be the client's id, which ID tokens have as theirs.",
        ),
        (
            PROVIDER | {"OIDC_CLIENT_ID": "pages", "PUBLIC_URL": "http://catalog.example.org"},
            "CATALOG_PUBLIC_URL: must be https where people log in; their sessions could be read.",
        ),
        ({"OIDC_CLIENT_ID": "pages"}, "CATALOG_OIDC_ISSUER: not set, and a login needs a provider."),
    ],
)
def test_a_login_that_would_not_be_safe_is_refused_at_the_start(say: Say, said: dict[str, str], told: str) -> None:
    say(**REQUIRED, **said)

    assert refusal() == told


def test_what_is_said_wins_over_the_defaults(say: Say) -> None:
    said = {
        "PUBLIC_URL": "https://catalog.example.org/",
        "DATABASE_CONNECTIONS": "3",
        "SEARCH_FURTHER_URLS": "http://second.example.org:9200, http://third.example.org:9200",
        "SEARCH_INDEX": "soil-2",
        "SEARCH_REFRESH": "0.25",
        "SEARCH_SHARDS": "12",
        "STORE_PUBLIC_URL": "https://data.example.org/",
        "STORE_REGION": "eu-central-1",
        "STORE_BUCKET": "soil.samples-1",
        "STORE_PREFIX": "lab/archive_1",
        "LINK_LIFETIME": "60",
        "UPLOAD_LIFETIME": "PT2H",
    }
    say(**REQUIRED)
    before = plain(Settings.from_environment())
    say(**REQUIRED, **said)

    assert plain(Settings.from_environment()) == before | {
        "public_url": "https://catalog.example.org/",
        "database_connections": 3,
        "search_further_urls": (
            HttpUrl("http://second.example.org:9200"),
            HttpUrl("http://third.example.org:9200"),
        ),
        "search_index": "soil-2",
        "search_refresh": timedelta(milliseconds=250),
        "search_shards": 12,
        "store_public_url": "https://data.example.org/",
        "store_region": "eu-central-1",
        "store_bucket": "soil.samples-1",
        "store_prefix": "lab/archive_1",
        "link_lifetime": timedelta(minutes=1),
        "upload_lifetime": timedelta(hours=2),
    }


def test_links_are_signed_for_the_address_that_clients_reach(say: Say) -> None:
    say(**REQUIRED)
    one = Settings.from_environment().store_link_url
    say(**REQUIRED, STORE_PUBLIC_URL="https://data.example.org/")
    other = Settings.from_environment().store_link_url

    assert [str(one), str(other)] == ["http://store.example.org:9000/", "https://data.example.org/"]


def test_settings_cannot_be_changed_once_read(say: Say) -> None:
    say(**REQUIRED)
    settings = Settings.from_environment()

    with pytest.raises(ValidationError, match="Instance is frozen"):
        settings.public_url = HttpUrl("https://elsewhere.example.org")


def missing(name: str) -> str:
    variable = f"CATALOG_{name}"
    return f"{variable}: not set{f', nor is {variable}_FILE' if name in SECRETS else ''} ({MEANT[name]})"


def test_everything_that_is_missing_is_named_at_once_with_what_to_write_there(say: Say) -> None:
    say()

    assert refusal() == "; ".join(missing(name) for name in MEANT)


@pytest.mark.parametrize("name", MEANT)
def test_what_alone_is_missing_is_named_alone(say: Say, name: str) -> None:
    say(**{other: value for other, value in REQUIRED.items() if other != name})

    assert refusal() == missing(name)


@pytest.mark.parametrize("name", MEANT)
def test_a_variable_that_is_empty_is_not_set(say: Say, name: str) -> None:
    say(**REQUIRED | {name: ""})

    assert refusal() == missing(name)


HTTP = "URL scheme should be 'http' or 'https'"
POSTGRES = "URL scheme should be 'postgresql' or 'postgres'"
NO_URL = "Input should be a valid URL, relative URL without a base"
PAST_LIFETIMES = "Input should be less than or equal to datetime.timedelta(days=7)"
NO_LIFETIME = "Input should be greater than or equal to datetime.timedelta(seconds=1)"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PUBLIC_URL", "catalog.example.org", NO_URL),
        ("DATABASE_URL", "mysql://catalog:pa55word@db.example.org/catalog", POSTGRES),
        # A name of SQLAlchemy's, with which only half of our connections could be made.
        ("DATABASE_URL", "postgresql+psycopg://catalog:pa55word@db.example.org/catalog", POSTGRES),
        ("DATABASE_URL", "postgresql://catalog:pa55word@db.example.org:65536/catalog", "Input should be a valid URL,"),
        ("SEARCH_URL", "search.example.org:9200", HTTP),
        ("STORE_URL", "s3://bucket", HTTP),
        ("STORE_PUBLIC_URL", "ftp://data.example.org", HTTP),
        ("DATABASE_CONNECTIONS", "many", "Input should be a valid integer,"),
        ("DATABASE_CONNECTIONS", "0", "Input should be greater than or equal to 1"),
        ("DATABASE_CONNECTIONS", "201", "Input should be less than or equal to 200"),
        ("SEARCH_INDEX", "Objects", "String should match pattern"),
        ("SEARCH_REFRESH", "0.01", "Input should be greater than or equal to 50000 microseconds"),
        ("SEARCH_REFRESH", "soon", "Input should be a valid timedelta,"),
        ("STORE_BUCKET", "Soil_Samples", "String should match pattern"),
        ("STORE_PREFIX", "/lab/", "String should match pattern"),
        ("LINK_LIFETIME", "0", NO_LIFETIME),
        ("LINK_LIFETIME", "604801", PAST_LIFETIMES),
        ("LINK_LIFETIME", "nan", "Input should be a valid timedelta,"),
        ("LINK_LIFETIME", "1e999", "Input should be a valid timedelta,"),
        ("UPLOAD_LIFETIME", "P8D", PAST_LIFETIMES),
        ("NOTIFICATION_TOKEN", "pa55word", "Value should have at least 16 items after validation, not 8"),
        ("CURSOR_KEY", "pa55word", "Value should have at least 32 items after validation, not 8"),
        ("FIRST_ADMIN_TOKEN", "cat_pa55word", "Value error, `cat_` and 43 or more of letters, digits, - and _"),
        ("FIRST_ADMIN_TOKEN", "pa55word" * 8, "Value error, `cat_` and 43 or more of letters, digits, - and _"),
    ],
)
def test_a_wrong_value_is_told_by_name_and_reason_and_never_by_itself(
    say: Say, name: str, value: str, told: str
) -> None:
    say(**REQUIRED | {name: value})

    refused = refusal()

    assert refused.startswith(f"CATALOG_{name}: {told}")
    # Nothing else is at fault, and what is meant stands behind it where the name does not say it.
    assert refused.count("CATALOG_") == 1
    assert refused.endswith(")") == bool(Settings.model_fields[name.lower()].description)
    assert value == "0" or value not in refused
    assert "pa55word" not in refused


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("DATABASE_CONNECTIONS", "1", "200"), ("LINK_LIFETIME", "1", "604800"), ("UPLOAD_LIFETIME", "PT1S", "P7D")],
)
def test_a_limit_itself_is_allowed(say: Say, name: str, least: str, most: str) -> None:
    for value in (least, most):
        say(**REQUIRED | {name: value})
        Settings.from_environment()


def test_all_that_is_at_fault_is_told_in_one_error(say: Say, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    others = {name: value for name, value in REQUIRED.items() if name not in {"STORE_ACCESS_KEY", "CURSOR_KEY"}}
    say(
        **others | {"SEARCH_URL": "nowhere", "STORE_SECRET_KEY": ""},
        STORE_SECRET_KEY_FILE=str(tmp_path / "none"),
        NOTIFICATION_TOKEN_FILE=str(tmp_path / "key"),
        CURSOR_KEY_FILE=str(tmp_path / "key"),
    )

    assert [fault.partition(" (")[0] for fault in refusal().replace("cursors; ", "cursors, ").split("; ")] == [
        f"CATALOG_SEARCH_URL: {NO_URL}",
        "CATALOG_STORE_ACCESS_KEY: not set",
        "CATALOG_STORE_SECRET_KEY_FILE: the file cannot be read, FileNotFoundError",
        "CATALOG_NOTIFICATION_TOKEN: set it or CATALOG_NOTIFICATION_TOKEN_FILE, not both",
        "CATALOG_CURSOR_KEY_FILE: Value should have at least 32 items after validation, not 5",
    ]


def test_the_secrets_are_these() -> None:
    assert secrets_of(Settings) == [
        "database_url",
        "store_secret_key",
        "key_vault_token",
        "notification_token",
        "events_url",
        "subscriptions_url",
        "events_amqp_url",
        "subscriptions_amqp_url",
        "cursor_key",
        "first_admin_token",
        "metrics_token",
        "smtp_password",
        "doi_registry_password",
        "oidc_client_secret",
    ]
    assert secrets_of(Given) == ["database_url"]


@pytest.mark.req("CHRIS-SWIFT-5")
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_stand_in_a_file_whose_last_line_break_does_not_count(
    say: Say, tmp_path: Path, name: str, end: str
) -> None:
    say(**REQUIRED)
    said = plain(Settings.from_environment())
    (tmp_path / "mounted").write_bytes(f"{SECRETS[name]}{end}".encode())
    say(**REQUIRED | {name: "", f"{name}_FILE": str(tmp_path / "mounted")})

    assert plain(Settings.from_environment()) == said


VAULT = {
    "KEY_VAULT_URL": "https://vault.example.org:8200",
    "KEY_VAULT_NAME": "catalog",
    "KEY_VAULT_TOKEN": "hvs.the-token-of-the-catalog",
}


@pytest.mark.req("DEWRANGLE-RFC-37")
def test_vault_may_wrap_keys_and_its_tokens_file_is_known_to_be_read_again(say: Say, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{VAULT['KEY_VAULT_TOKEN']}\n")
    say(**REQUIRED | VAULT)
    said = plain(Settings.from_environment())
    say(**REQUIRED | VAULT | {"KEY_VAULT_TOKEN": ""}, KEY_VAULT_TOKEN_FILE=str(file))

    assert plain(Settings.from_environment()) == said | {"key_vault_token_file": file}
    assert (said["key_vault_url"], said["key_vault_token"]) == (
        "https://vault.example.org:8200/",
        VAULT["KEY_VAULT_TOKEN"],
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"KEY_FILE": "keys.txt"}, "CATALOG_KEY_FILE: set it or CATALOG_KEY_VAULT_URL, not both: one service wraps."),
        ({"KEY_VAULT_NAME": ""}, "CATALOG_KEY_VAULT_NAME: not set, and Vault's key service needs all three."),
        ({"KEY_VAULT_TOKEN": ""}, "CATALOG_KEY_VAULT_TOKEN: not set, and Vault's key service needs all three."),
        ({"KEY_VAULT_URL": "http://vault.example.org"}, "an https address (http on loopback alone)"),
        ({"KEY_VAULT_URL": "https://vault.example.org/?token=x"}, "an address without user, query and fragment"),
        ({"KEY_VAULT_TOKEN": "two words"}, "CATALOG_KEY_VAULT_TOKEN: Value error, one word of ASCII characters"),
        ({"KEY_VAULT_NAME": "../keys"}, "CATALOG_KEY_VAULT_NAME: String should match pattern"),
        ({"KEY_VAULT_MOUNT": "transit/"}, "CATALOG_KEY_VAULT_MOUNT: String should match pattern"),
    ],
)
def test_one_service_wraps_keys_and_vault_is_named_as_a_whole(say: Say, changed: dict[str, str], told: str) -> None:
    say(**REQUIRED | VAULT | changed)
    refused = refusal()
    assert (told in refused, "two words" in refused) == (True, False), refused


@pytest.mark.parametrize("name", SECRETS)
def test_a_file_without_a_name_is_not_set(say: Say, name: str) -> None:
    say(**REQUIRED, **{f"{name}_FILE": ""})

    assert plain(Settings.from_environment())[name.lower()] == SECRETS[name]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_and_its_file_together_are_refused(say: Say, tmp_path: Path, name: str) -> None:
    (tmp_path / "mounted").write_text(SECRETS[name])
    say(**REQUIRED, **{f"{name}_FILE": str(tmp_path / "mounted")})

    assert refusal() == f"CATALOG_{name}: set it or CATALOG_{name}_FILE, not both ({MEANT[name]})"


@pytest.mark.parametrize(
    ("held", "reason"),
    [(None, "FileNotFoundError"), (b"\xff\xfe", "UnicodeDecodeError")],
    ids=["absent", "not a text"],
)
@pytest.mark.parametrize("name", SECRETS)
def test_a_file_that_cannot_be_read_is_told_by_its_variable(
    say: Say, tmp_path: Path, name: str, held: bytes | None, reason: str
) -> None:
    if held is not None:
        (tmp_path / "mounted").write_bytes(held)
    say(**REQUIRED | {name: "", f"{name}_FILE": str(tmp_path / "mounted")})

    assert refusal() == f"CATALOG_{name}_FILE: the file cannot be read, {reason} ({MEANT[name]})"


@pytest.mark.parametrize("secret", [SECRETS["CURSOR_KEY"], "longer-than-any-path" * 500])
def test_a_secret_that_was_put_where_its_file_belongs_is_not_shown(say: Say, secret: str) -> None:
    say(**REQUIRED | {"CURSOR_KEY": "", "CURSOR_KEY_FILE": secret})

    assert secret not in refusal()


def test_no_setting_but_a_secret_is_read_from_a_file(say: Say, tmp_path: Path) -> None:
    (tmp_path / "mounted").write_text("http://elsewhere.example.org:9200")
    say(**REQUIRED | {"SEARCH_URL": "", "SEARCH_URL_FILE": str(tmp_path / "mounted")})

    assert refusal() == missing("SEARCH_URL")


def test_what_is_shown_of_settings_holds_no_secret(say: Say) -> None:
    say(**REQUIRED, HOME="folder")
    kinds = (Settings.from_environment(), Given.from_environment(), ClientSettings.from_environment(), Workstation())

    shown = [text for settings in kinds for text in (repr(settings), str(settings), f"{settings}")]

    hidden = {PASSWORD, NOISE["TOKEN"], *SECRETS.values()}
    assert [(secret, text) for secret in hidden for text in shown if secret in text] == []
    # What is no secret is shown, so that one can tell two apart.
    assert "search.example.org" in repr(kinds[0])


WRONG_SECRETS = {
    "DATABASE_URL": f"mysql://catalog:{PASSWORD}@db.example.org/catalog",
    "NOTIFICATION_TOKEN": "n0t-a-secret",
    "CURSOR_KEY": "no-secret-either",
}


@pytest.mark.parametrize("in_file", [False, True], ids=["variable", "file"])
@pytest.mark.parametrize("kind", [Settings, Given])
def test_the_trace_of_a_refusal_holds_no_secret(
    say: Say, tmp_path: Path, kind: type[Settings | Given], *, in_file: bool
) -> None:
    for name, value in WRONG_SECRETS.items():
        (tmp_path / name).write_text(value)
    files = {f"{name}_FILE": str(tmp_path / name) for name in WRONG_SECRETS}
    others = {name: value for name, value in REQUIRED.items() if name not in WRONG_SECRETS}
    say(**others, **(files if in_file else WRONG_SECRETS))

    with pytest.raises(WrongSettings) as wrong:
        kind.from_environment()

    told = "".join(traceback.format_exception(wrong.value)) + repr(wrong.value)
    assert [secret for secret in (PASSWORD, *WRONG_SECRETS.values()) if secret in told] == []
    # Nor would it stand in the library's own words, whoever were to show those.
    with pytest.raises(ValidationError) as raw:
        kind(database_url=WRONG_SECRETS["DATABASE_URL"])
    assert PASSWORD not in str(raw.value) + repr(raw.value)


def test_engines_that_nobody_gives_are_none(say: Say) -> None:
    say()

    assert plain(Given.from_environment()) == {"database_url": None, "search_url": None, "store_url": None}


@pytest.mark.parametrize("in_file", [False, True], ids=["variable", "file"])
def test_engines_that_are_given_are_taken(say: Say, tmp_path: Path, *, in_file: bool) -> None:
    (tmp_path / "url").write_text(f"{SECRETS['DATABASE_URL']}\n")
    say(**REQUIRED | ({"DATABASE_URL": "", "DATABASE_URL_FILE": str(tmp_path / "url")} if in_file else {}))

    assert plain(Given.from_environment()) == {
        "database_url": SECRETS["DATABASE_URL"],
        "search_url": "http://search.example.org:9200/",
        "store_url": "http://store.example.org:9000/",
    }


def test_a_wrong_address_of_a_given_engine_is_told_by_its_variable(say: Say) -> None:
    say(DATABASE_URL="mysql://nobody", STORE_URL="nowhere")

    assert refusal(Given) == f"CATALOG_DATABASE_URL: {POSTGRES}; CATALOG_STORE_URL: {NO_URL}"


def test_a_token_may_stand_in_a_file_and_what_the_command_says_wins(say: Say, tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).write_text(f"cat_{name}\n")

    def told(**given: Any) -> tuple[str, str | None]:
        settings = ClientSettings.from_environment(**given)
        return settings.url, settings.token and settings.token.get_secret_value()

    say(TOKEN="")
    none = told()
    say()
    said = told()
    said_but = told(url="http://said.example.org", token_file=tmp_path / "mine")
    say(TOKEN="", TOKEN_FILE=str(tmp_path / "other"))
    in_file = told()
    in_file_but = told(token_file=tmp_path / "mine")

    assert [none, said, said_but, in_file, in_file_but] == [
        (NOISE["URL"], None),
        (NOISE["URL"], NOISE["TOKEN"]),
        ("http://said.example.org", "cat_mine"),
        (NOISE["URL"], "cat_other"),
        (NOISE["URL"], "cat_mine"),
    ]


def test_a_token_that_cannot_be_had_is_told_with_the_file(say: Say, tmp_path: Path) -> None:
    say(TOKEN="", TOKEN_FILE=str(tmp_path / "none"))
    with pytest.raises(WrongSettings) as absent:
        ClientSettings.from_environment()
    say(TOKEN_FILE=str(tmp_path / "none"))
    with pytest.raises(WrongSettings) as both:
        ClientSettings.from_environment()

    assert [absent.value.detail, both.value.detail] == [
        f"The token file {tmp_path / 'none'} cannot be read: FileNotFoundError.",
        "Set CATALOG_TOKEN or CATALOG_TOKEN_FILE, not both.",
    ]


def test_the_cache_is_where_the_machine_keeps_caches(say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    say(HOME="")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    usual = Workstation()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))
    say(HOME="elsewhere")
    other = Workstation()

    assert [(one.catalog_home, one.cache) for one in (usual, other)] == [
        (Path(".data"), tmp_path / ".cache" / "science-catalog"),
        (Path("elsewhere"), tmp_path / "kept" / "science-catalog"),
    ]


def test_only_what_describes_a_catalog_and_says_something_is_inherited(say: Say) -> None:
    say(SEARCH_INDEX="soil")

    assert inherited_settings() == {
        f"CATALOG_{name}": value for name, value in (NOISE | {"SEARCH_INDEX": "soil"}).items() if value
    }
    assert "PATH" in os.environ

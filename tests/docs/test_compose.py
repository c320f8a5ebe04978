"""docker-compose.yml, read without Docker: its settings are real ones, its services watched, its ports on loopback."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from catalog.settings import PREFIX, Settings, secrets_of
from catalog.storage import wrapping
from tests.docs.repository import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"account", "migrate", "notify"}
OURS = {"migrate", "catalog", "indexer"}
SECRET = secrets_of(Settings)


def test_the_services_are_these() -> None:
    assert SERVICES.keys() == {"postgres", "opensearch", "store"} | OURS | ONE_SHOT


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONE_SHOT))
def test_every_lasting_service_is_watched_and_restarted(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(ONE_SHOT))
def test_what_runs_once_is_waited_for(name: str) -> None:
    assert SERVICES[name]["restart"] == "no"
    waiting = [other for other, service in SERVICES.items() if name in service.get("depends_on", {})]
    assert waiting
    conditions = {SERVICES[other]["depends_on"][name]["condition"] for other in waiting}
    assert conditions == {"service_completed_successfully"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned_and_of_no_named_registry(name: str) -> None:
    repository, colon, tag = SERVICES[name]["image"].partition(":")
    assert (colon, bool(tag), tag == "latest", "." in repository.split("/", maxsplit=1)[0]) == (":", True, False, False)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_on_loopback(name: str) -> None:
    assert [port for port in SERVICES[name].get("ports", []) if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_settings_are_real_and_complete(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, str] = SERVICES[name]["environment"]
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    known |= {f"{PREFIX}{field.upper()}_FILE" for field in SECRET}
    assert {setting for setting in given if setting.startswith(PREFIX)} - known == set()
    for setting, value in given.items():
        if setting.startswith(PREFIX) and setting.endswith("_FILE"):
            mounted = tmp_path / Path(value).name
            mounted.write_text("cat_" + "0123456789" * 5 + "\n", encoding="utf-8")
            monkeypatch.setenv(setting, str(mounted))
        else:
            monkeypatch.setenv(setting, value)
    settings = Settings.from_environment()
    # Inside, the store has another address than for clients, for whom links are signed.
    assert (str(settings.store_url), str(settings.store_link_url)) == ("http://store:9000/", "http://127.0.0.1:9000/")


def test_no_secret_stands_in_the_file() -> None:
    given = {f"{PREFIX}{field.upper()}" for field in SECRET if field != "database_url"}
    given |= {"POSTGRES_PASSWORD", "MINIO_ROOT_PASSWORD"}
    assert {name for service in SERVICES.values() for name in service.get("environment", {})} & given == set()
    # The database's URL may stand there, because the password does not stand in it.
    urls = [urlsplit(SERVICES[name]["environment"]["CATALOG_DATABASE_URL"]) for name in sorted(OURS)]
    assert [url.password for url in urls] == [None] * len(OURS)


def test_every_secret_is_made_by_make_secrets() -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nsecrets:")[2].partition("\nclean:")[0]
    files = {name: secret["file"] for name, secret in COMPOSE["secrets"].items()}
    assert files == {name: f".secrets/{name}" for name in files}
    assert [name for name in files if name not in recipe] == []
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert used == files.keys()


def test_the_keys_of_backends_are_made_by_make_secrets_and_mounted_as_a_folder(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    made = subprocess.run(["make", "-C", tmp_path, "secrets"], check=True, capture_output=True, text=True)
    file = tmp_path / ".secrets/keys/keys.txt"
    first = file.read_text(encoding="utf-8")
    again = subprocess.run(["make", "-C", tmp_path, "secrets"], check=True, capture_output=True, text=True)
    assert ("made .secrets/keys/keys.txt" in made.stdout, "made" in again.stdout) == (True, False)
    assert file.read_text(encoding="utf-8") == first
    assert len(wrapping.read_file(file)) == 1
    for name in OURS:
        assert SERVICES[name]["volumes"] == ["./.secrets/keys:/run/keys:ro"]
        assert SERVICES[name]["environment"]["CATALOG_KEY_FILE"] == "/run/keys/keys.txt"


def test_the_first_admins_token_is_seen_by_the_process_that_makes_the_admin_alone() -> None:
    holders = {name for name, service in SERVICES.items() if "first_admin_token" in service.get("secrets", [])}
    told = {name for name, one in SERVICES.items() if "CATALOG_FIRST_ADMIN_TOKEN_FILE" in one.get("environment", {})}
    assert (holders, told) == ({"migrate"}, {"migrate"})


def test_the_bucket_tells_the_catalog() -> None:
    store = SERVICES["store"]["environment"]
    assert store["MINIO_NOTIFY_WEBHOOK_ENDPOINT_CATALOG"] == "http://catalog:8000/api/notifications/s3"
    assert (store["MINIO_API_SYNC_EVENTS"], store["MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_CATALOG"]) == ("on", "/data/.events")
    # The queue must outlive the container.
    assert SERVICES["store"]["volumes"] == ["store:/data"]
    region = store["MINIO_REGION"]
    assert f"arn:minio:sqs:{region}:CATALOG:webhook" in SERVICES["notify"]["command"][0]
    assert SERVICES["catalog"]["environment"]["CATALOG_STORE_REGION"] == region


def test_the_catalog_is_no_root_of_the_store() -> None:
    store, account = SERVICES["store"]["environment"], SERVICES["account"]["command"][0]
    ours = {SERVICES[name]["environment"]["CATALOG_STORE_ACCESS_KEY"] for name in OURS}
    assert (store["MINIO_ROOT_USER"], ours) == ("minio-root", {"catalog"})
    assert "user add store catalog " in account
    assert f'arn:aws:s3:::{SERVICES["catalog"]["environment"]["CATALOG_STORE_BUCKET"]}/*"' in account
    # Nobody but the store and what makes the account holds the root's password.
    holders = {name for name, service in SERVICES.items() if "store_root_password" in service.get("secrets", [])}
    assert holders == {"store", "account"}


def test_the_image_copies_what_is_there_and_runs_without_root() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [
        name for line in lines if line.startswith("COPY ") and "--from" not in line for name in line.split()[1:-1]
    ]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    assert any(line.startswith("HEALTHCHECK ") for line in lines)
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    assert [
        name for name in copied if f"!{name}" not in allowed and f"!{name.partition('/')[0]}/*.txt" not in allowed
    ] == []

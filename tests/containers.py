"""PostgreSQL, OpenSearch and MinIO as containers, for `--engines=docker`.

Takes images, variables and health checks from docker-compose.yml, so that tests run on what an installation runs on.
SeaweedFS is not among them: an installation has none, and its wheel came with pytest.

The library publishes ports on every interface, and its companion container removes what a killed run leaves behind.
"""

import asyncio
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docker.errors import DockerException
from docker.types import Ulimit
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient, get_docker_host
from testcontainers.core.wait_strategies import ExecWaitStrategy

from catalog.errors import Unavailable
from catalog.local.home import Secrets
from catalog.local.minio import ROOT, TARGET
from catalog.local.ports import LOOPBACK
from catalog.local.postgres import CONNECTIONS_MAX, DATABASE, USER
from catalog.settings import inherited_settings
from catalog.storage import accounts

COMPOSE = Path(__file__).parents[1] / "docker-compose.yml"
ANSWER_SECONDS_MAX = 10
# Without images: those are pulled before.
READY_SECONDS_MAX = 180
LOG_CHARACTERS_SHOWN = 2000
# What a container calls the machine it runs on.
HOST = "host.docker.internal"


class NoDocker(Unavailable):
    """There is no Docker engine."""


@dataclass(frozen=True)
class Containers:
    """Where the containers are; `environment` names those that an embedded stack takes in place of its own."""

    environment: dict[str, str]
    minio_url: str


def check() -> None:
    """Return when a Docker engine answers; raises NoDocker."""
    try:
        client = DockerClient(timeout=ANSWER_SECONDS_MAX).client
    except DockerException:
        where = get_docker_host() or "its usual socket"
        raise NoDocker(
            f"--engines=docker needs a running Docker engine, and none answers at {where}: start it, name it in"
            " DOCKER_HOST, or leave the option away, which needs no Docker"
        ) from None
    client.close()


@contextmanager
def running(secrets: Secrets, port: int) -> Generator[Containers]:
    """Run what the environment does not give for the length of the block; MinIO tells this machine's `port`."""
    services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    given = inherited_settings()
    made = {"store": _minio(services["store"], secrets, port)}
    if "CATALOG_DATABASE_URL" not in given:
        made["postgres"] = _postgres(services["postgres"], secrets.database_password)
    if "CATALOG_SEARCH_URL" not in given:
        made["opensearch"] = _opensearch(services["opensearch"])
    with ExitStack() as holding:
        # All are started before the first is waited for.
        for container in made.values():
            holding.enter_context(container)
        for name, container in made.items():
            _await_health(container, services[name])
        store = _address(made["store"], 9000)
        asyncio.run(
            accounts.ensure(
                store,
                root=ROOT,
                root_password=secrets.store_root_password,
                access_key=secrets.store_access_key,
                secret_key=secrets.store_secret_key,
                # Each world has a bucket of its own.
                bucket="*",
            )
        )
        environment = {}
        if "postgres" in made:
            address = _address(made["postgres"], 5432)
            environment["CATALOG_DATABASE_URL"] = (
                f"postgresql://{USER}:{secrets.database_password}@{address}/{DATABASE}"
            )
        if "opensearch" in made:
            environment["CATALOG_SEARCH_URL"] = f"http://{_address(made['opensearch'], 9200)}"
        yield Containers(environment, f"http://{store}")


def _postgres(service: dict[str, Any], password: str) -> DockerContainer:
    told = _variables(service) | {"POSTGRES_USER": USER, "POSTGRES_DB": DATABASE, "POSTGRES_PASSWORD": password}
    return (
        DockerContainer(service["image"], env=told, ports=[5432], shm_size=service["shm_size"])
        # Each worker runs several catalogs, and each of those keeps a pool.
        .with_command(["postgres", "-c", f"max_connections={CONNECTIONS_MAX}"])
    )


def _opensearch(service: dict[str, Any]) -> DockerContainer:
    # A developer's disk is often nearly full; by default OpenSearch then makes every index read-only.
    told = _variables(service) | {"cluster.routing.allocation.disk.threshold_enabled": "false"}
    files = service["ulimits"]["nofile"]
    return DockerContainer(
        service["image"], env=told, ports=[9200], ulimits=[Ulimit(name="nofile", soft=files, hard=files)]
    )


def _minio(service: dict[str, Any], secrets: Secrets, port: int) -> DockerContainer:
    told = _variables(service) | {
        "MINIO_ROOT_USER": ROOT,
        "MINIO_ROOT_PASSWORD": secrets.store_root_password,
        f"MINIO_NOTIFY_WEBHOOK_ENDPOINT_{TARGET}": f"http://{HOST}:{port}/api/notifications/s3",
        f"MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_{TARGET}": f"Bearer {secrets.notification_token}",
    }
    return DockerContainer(service["image"], env=told, ports=[9000], extra_hosts={HOST: "host-gateway"}).with_command(
        ["server", "/data/store"]
    )


def _variables(service: dict[str, Any]) -> dict[str, str]:
    """Return what a service is told, without the names of files that hold its secrets."""
    return {name: value for name, value in service["environment"].items() if not name.endswith("_FILE")}


def _await_health(container: DockerContainer, service: dict[str, Any]) -> None:
    _, *command = service["healthcheck"]["test"]
    try:
        ExecWaitStrategy(command).with_startup_timeout(READY_SECONDS_MAX).wait_until_ready(container)
    except TimeoutError as late:
        logs = b"\n".join(container.get_logs()).decode("utf-8", "replace")
        late.add_note(f"{service['image']} said:\n{logs[-LOG_CHARACTERS_SHOWN:]}")
        raise


def _address(container: DockerContainer, port: int) -> str:
    host = container.get_container_host_ip()
    return f"{LOOPBACK if host == 'localhost' else host}:{container.get_exposed_port(port)}"

"""`backend notify`: what a store needs is printed, whole and without a secret, and changes nothing."""

from typing import Any
from uuid import uuid4

import pytest

from catalog.cli.eventing import Dialect
from catalog.client import Catalog as Client
from catalog.storage.targets import told_by
from tests.api.brought import server
from tests.cli.conftest import Catalog
from tests.conftest import Live


@pytest.fixture
async def backend(catalog: Catalog, live: Live, engines_ready: dict[str, Any]) -> Any:
    """A store of an organization, with its organization."""
    minio = server(engines_ready, "minio")
    organization = f"o{uuid4().hex[:10]}"
    assert catalog("organization", "create", organization, by="admin").code == 0
    async with minio.bucket() as store:
        with Client(live.url, live.tokens["admin"]) as client:
            made = client.backends.create(organization, minio.wanted(store))
        yield organization, made, store


BROKERS = {Dialect.MINIO_AMQP, Dialect.MINIO_NATS}


@pytest.mark.parametrize("dialect", Dialect)
async def test_the_steps_name_the_catalog_the_bucket_and_no_secret(
    catalog: Catalog, live: Live, backend: Any, dialect: Dialect
) -> None:
    organization, made, store = backend
    told = catalog("backend", "notify", organization, made["id"], "--dialect", dialect.value, "--json", by="admin")

    assert told.code == 0, told.err
    steps = told.json["steps"]
    assert (live.url.rstrip("/") + "/api/notifications/" in steps) is (dialect not in BROKERS)
    assert ("TOKEN" in steps, "cat_" in steps) == (dialect not in BROKERS | {Dialect.SNS}, False)
    assert ("CATALOG_EVENTS_" in steps) is (dialect in BROKERS)
    assert made["bucket"] in steps or dialect in {Dialect.CEPH, Dialect.SNS}
    # Every word that had to be filled in was.
    assert [
        word for word in ("{url}", "{bucket}", "{backend}", "{organization}", "{name}", "{target}") if word in steps
    ] == []
    assert told_by(await store.setting("notification") or b"") == set()

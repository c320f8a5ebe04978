"""`catalog subscription`: what is refused when one is added, then list, show, change, secret, remove."""

import stat
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from catalog.access import principals
from tests.cli.conftest import Catalog
from tests.conftest import Live

ADDRESS = "https://hooks.example.com/catalog"


def made(live: Live) -> UUID:
    """Return a subscription of the ingest service, to a host that no test reaches, of a place where nothing is."""
    one = uuid4()
    with psycopg.connect(str(live.settings.database_url)) as connection:
        connection.execute(
            "INSERT INTO subscription (id, owner_id, place, kinds, channel, address, secret_id)"
            " SELECT %s, principal_id, 'nobody/nowhere', '{model}', 'webhook', %s, %s FROM token WHERE digest = %s",
            (one, ADDRESS, uuid4(), principals.digest_of(live.tokens["ingest"])),
        )
    return one


def test_a_subscription_is_refused_where_nothing_could_be_told(catalog: Catalog) -> None:
    nowhere = catalog("subscription", "add", "--in", "lab/soil")
    assert (nowhere.code, "say where" in nowhere.err) == (2, True)
    assert catalog("subscription", "add", "--webhook", ADDRESS, "--nats", "catalog.changes").code == 2
    assert catalog("subscription", "add", "--nats", "catalog.changes", "--amqp", "catalog/changes").code == 2
    inside = catalog("subscription", "add", "--webhook", "https://127.0.0.1/hook", "--kind", "model")
    assert (inside.code, "127.0.0.1 lies in a private network" in inside.err) == (2, True)
    streamed = catalog("subscription", "add", "--nats", "catalog.changes", by="admin")
    assert (streamed.code, "CATALOG_SUBSCRIPTIONS_URL" in streamed.err) == (2, True)
    queued = catalog("subscription", "add", "--amqp", "catalog/changes", by="admin")
    assert (queued.code, "CATALOG_SUBSCRIPTIONS_AMQP_URL" in queued.err) == (2, True)


def test_subscriptions_are_listed_shown_given_a_secret_and_removed(
    catalog: Catalog, live: Live, tmp_path: Path
) -> None:
    one = made(live)
    rows = [line.split("\t") for line in catalog("subscription", "list").out.splitlines()]
    assert rows[0] == ["id", "of", "told to", "state", "last told", "what is wrong"]
    assert [str(one), "nobody/nowhere model", f"webhook {ADDRESS}", "active", "", ""] in rows
    shown = catalog("subscription", "show", one, "--json").json
    assert (shown["id"], shown["kinds"], shown["tell"]) == (str(one), ["model"], {"by": "webhook", "address": ADDRESS})
    assert f"webhook {ADDRESS}" in catalog("subscription", "show", one).out
    assert catalog("subscription", "list", "--json").json == [shown]
    # What is not said stays, and is looked at again.
    changed = catalog("subscription", "change", one, "--webhook", "https://127.0.0.1/hook")
    assert (changed.code, "private network" in changed.err) == (2, True)
    file = tmp_path / "secret"
    assert catalog("subscription", "secret", one, "--into", file).code == 0
    assert (file.read_text()[:6], stat.S_IMODE(file.stat().st_mode)) == ("whsec_", 0o600)
    assert catalog("subscription", "show", one, by="other").code == 4
    assert catalog("subscription", "remove", one).err == "removed\n"
    assert catalog("subscription", "show", one).code == 4

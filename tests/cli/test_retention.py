"""How long things are kept, on the command line."""

import json
from collections.abc import Generator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.cli.conftest import Catalog
from tests.conftest import Live
from tests.local.conftest import until


@pytest.fixture
def where(catalog: Catalog) -> Generator[str]:
    """A project where the reader of the catalog may register, for the length of the test."""
    name = f"o{uuid4().hex[:10]}"
    made = [
        catalog("organization", "create", name, by="admin"),
        catalog("project", "create", f"{name}/soil", by="admin"),
        catalog("member", "give", f"{name}/soil", "user:reader", "ingest", by="admin"),
    ]
    assert [one.code for one in made] == [0, 0, 0]
    yield f"{name}/soil"
    assert catalog("member", "take", f"{name}/soil", "user:reader", by="admin").code == 0


@pytest.fixture
def registered(catalog: Catalog, where: str, draft: dict[str, Any], tmp_path: Any) -> str:
    """An object there."""
    path = tmp_path / "draft.json"
    path.write_text(json.dumps(draft | {"project": where}))
    made = catalog("register", path, "--json", by="reader")
    assert made.code == 0, made.err
    told: str = made.json["id"]
    return told


def test_a_rule_is_set_shown_and_taken_back(catalog: Catalog, where: str, registered: str) -> None:
    organization = where.split("/", maxsplit=1)[0]
    codes = [
        catalog("retention", "set", organization, "--days", "300", by="admin").code,
        catalog("retention", "set", where, "--kind", "model", "--days", "1", "--from", "change", by="admin").code,
        catalog("retention", "set", registered, "--forever", by="reader").code,
    ]
    shown = catalog("retention", "show", where, by="reader")
    told = catalog("retention", "show", registered, by="reader")
    unset = catalog("retention", "unset", registered, by="reader")
    after = catalog("retention", "show", registered, "--json", by="reader")
    assert codes == [0, 0, 0]
    assert shown.out.splitlines() == [
        "where\trule\tset by",
        f"{where}, kind model\tkeep for 1 day from the last change\tadmin",
        "the catalog's default, kind job\tkeep for 15 days from the end of the job\t",
    ]
    assert told.out.splitlines() == [
        "what\tis",
        "state\tkept",
        "rule\tkeep for ever",
        "stands at\tthe object itself",
    ]
    assert (unset.code, after.json["rule"]["place"], after.json["state"]) == (0, organization, "waiting")


@pytest.mark.req("MWM-SADD-68")
def test_a_dry_run_tells_what_is_due_and_what_keeps_it(
    catalog: Catalog, where: str, registered: str, live: Live
) -> None:
    catalog("retention", "set", where, "--days", "30", by="admin")
    with psycopg.connect(str(live.settings.database_url), autocommit=True) as connection:
        connection.execute("UPDATE queue SET ready_at = now() + interval '1 hour' WHERE topic = 'retention'")
        # Nor does one look that has begun already.
        looks = "SELECT 1 FROM queue WHERE topic = 'retention' AND attempts > 0"
        until(lambda: connection.execute(looks).fetchone() is None)
        old = "UPDATE object SET created_at = created_at - interval '31 days' WHERE id = %s"
        connection.execute(old, [registered])
    due = catalog("retention", "run", "--dry-run", "--scope", where, by="admin")
    hold = catalog("retention", "hold", registered, "--reason", "An inquiry.", by="admin")
    held = catalog("retention", "run", "--dry-run", "--scope", where, "--json", by="admin").json
    lifted = catalog("retention", "lift", hold.out.strip(), "--reason", "Over.", by="admin")
    assert due.out.splitlines()[1].split("\t")[:2] == ["mark", registered]
    assert due.err.splitlines() == ["mark 1 object (0 bytes); nothing was changed"]
    assert [(one["id"], one["step"], one["obstacles"]) for one in held["items"]] == [(registered, "keep", ["hold"])]
    assert lifted.code == 0
    assert catalog("retention", "run", "--dry-run", "--scope", where, by="reader").code == 3


def test_what_is_said_twice_or_not_at_all_is_told(catalog: Catalog, registered: str) -> None:
    said = [
        catalog("retention", "set", registered, by="reader"),
        catalog("retention", "set", registered, "--days", "3", "--forever", by="reader"),
        catalog("retention", "set", registered, "--days", "3", "--from", "birth", by="reader"),
        catalog("retention", "run", "--scope", "lab", by="admin"),
        catalog("retention", "purge", registered, by="admin"),
    ]
    assert [one.code for one in said] == [2] * 5


def test_what_the_state_does_not_allow_is_told_as_a_conflict(catalog: Catalog, where: str, registered: str) -> None:
    said = [
        catalog("retention", "keep", registered, by="reader"),
        catalog("retention", "purge", registered, "--reason", "Mistake.", by="admin"),
        catalog("retention", "purge", registered, "--undo", by="admin"),
        catalog("retention", "resume", where, by="admin"),
    ]
    assert [one.code for one in said] == [5] * 4


def test_a_cycle_can_be_asked_for_by_admins_alone(catalog: Catalog) -> None:
    assert [catalog("retention", "run", by=by).code for by in ("admin", "curator", "reader")] == [0, 3, 3]

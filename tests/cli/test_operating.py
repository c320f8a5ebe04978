"""`token`, `migrate`, `openapi`, and how the command line itself behaves."""

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from catalog.cli.app import app
from catalog.cli.output import EXIT_CODES
from tests.cli.conftest import Catalog
from tests.conftest import Live, World


def variables(world: World) -> dict[str, str]:
    """What the world's processes are told, without the prefix."""
    return {
        name.removeprefix("CATALOG_"): value for name, value in world.environment.items() if name.startswith("CATALOG_")
    }


@pytest.mark.req("SAGE-STORAGE-2")
def test_a_token_is_shown_once_and_works_until_it_is_revoked(run: Catalog, live: Live) -> None:
    settings = variables(live.world)
    made = run(
        "token", "create", "night-shift", "--role", "reader", "--label", "for tests", "--expires", "1d", **settings
    )
    assert made.code == 0, made.err
    token = made.out.strip()
    assert token not in made.err
    assert run("search", URL=live.url, TOKEN=token).code == 0
    listed = run("token", "list", "--database", "--json", **settings)
    assert token not in listed.out
    (one,) = [one for one in listed.json if one["name"] == "night-shift"]
    assert (one["role"], one["label"], one["hint"]) == ("reader", "for tests", token[:8])
    assert one["expires_at"] > one["created_at"]
    assert (
        f"{one['id']}\tnight-shift\treader\t{token[:8]}…\tfor tests\t"
        in run("token", "list", "--database", **settings).out
    )
    assert run("token", "revoke", one["id"], "--database", **settings).code == 0
    assert run("search", URL=live.url, TOKEN=token).code == 3
    again = run("token", "revoke", one["id"], "--database", **settings)
    assert again.code == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "x", "--role", "king"], "'king' is not one of admin, curator, ingest, reader"),
        (["create", "Not A Name", "--role", "reader"], "lower-case"),
        (["create", "x", "--role", "reader", "--expires", "soon"], "'soon' is not like 12h or 30d"),
        (["create", "x"], "--role"),
        (["create"], "--scope read --scope register"),
        (["create", "--role", "reader"], "this goes with a NAME"),
        (["create", "x", "--service", "y", "--role", "reader"], "a NAME or --service, not both"),
        (["create", "x", "--role", "reader", "--scope", "everything"], "scopes are read, register, curate, admin"),
        (["create", "x", "--role", "reader", "--place", "Lab"], "write an organization, or organization/project"),
        (["create", "x", "--role", "reader", "--into", "/no/such/folder/token"], "there is no such folder"),
        (["rotate", "1"], "no id"),
        (["revoke", "1"], "no id"),
    ],
)
def test_wrong_words_about_tokens_are_refused_before_anything_is_done(
    run: Catalog, words: list[str], said: str
) -> None:
    outcome = run("token", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in " ".join(outcome.err.replace("│", " ").split())


def test_a_role_is_not_changed_by_the_way(run: Catalog, live: Live) -> None:
    outcome = run("token", "create", "ingest", "--role", "admin", **variables(live.world))
    assert outcome.code == 2
    assert "ingest exists with the role ingest" in outcome.err


def test_migrate_makes_everything_and_may_be_repeated(run: Catalog, fresh_world: World) -> None:
    settings = variables(fresh_world)
    first = run("migrate", **settings)
    assert first.code == 0, first.err
    assert "index " in first.err
    assert "made; every object is queued" in first.err
    again = run("migrate", **settings)
    assert again.code == 0
    assert "made" not in again.err


def test_keys_that_the_store_refuses_are_no_matter_of_a_token(run: Catalog, fresh_world: World) -> None:
    outcome = run("migrate", **variables(fresh_world) | {"STORE_SECRET_KEY": "not-the-secret-key"})
    assert outcome.code == 6
    assert "Whoever runs the catalog must check the access and secret key" in outcome.err
    assert "not-the-secret-key" not in outcome.err


def test_a_setting_at_fault_is_named(run: Catalog) -> None:
    outcome = run("migrate", DATABASE_URL="mysql://nobody", SEARCH_URL="http://127.0.0.1:1")
    assert outcome.code == 1
    assert "CATALOG_DATABASE_URL: " in outcome.err
    assert "CATALOG_STORE_URL: " in outcome.err


def test_without_any_settings_it_is_said_how_a_catalog_is_named(
    run: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("reindex", "--plan")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        f"catalog: Which catalog is meant? CATALOG_DATABASE_URL is not set, and there is no {tmp_path / '.data'}. Name "
        "the data folder of an embedded stack by --home or CATALOG_HOME, or set what a catalog runs with "
        "(docs/configuration.md).\n"
    )


def test_a_database_that_does_not_answer_is_named_without_its_password(run: Catalog, live: Live) -> None:
    settings = variables(live.world) | {"DATABASE_URL": "postgresql://me:very-secret@127.0.0.1:1/none"}
    outcome = run("token", "list", "--database", **settings)
    assert outcome.code == 6
    assert "CATALOG_DATABASE_URL does not answer" in outcome.err
    assert "very-secret" not in outcome.err


# Litestar warns of how a route of the API declares its path parameter; what this test is about is the files.
def test_the_contract_is_written_checked_and_found_stale(run: Catalog, tmp_path: Path) -> None:
    assert run("openapi", "--write", tmp_path).code == 0
    assert run("openapi", "--check", tmp_path).code == 0
    (tmp_path / "kinds" / "model.json").write_text("{}")
    (tmp_path / "kinds" / "gone.json").write_text("{}")
    stale = run("openapi", "--check", tmp_path)
    assert stale.code == 5
    assert "kinds/gone.json, kinds/model.json" in stale.err
    assert run("openapi").json["openapi"].startswith("3.1")


def test_help_comes_without_importing_what_commands_need() -> None:
    heavy = ["pydantic", "sqlalchemy", "httpx2", "litestar", "opensearchpy", "minio", "alembic", "anyio", "rich.table"]
    program = f"import sys, catalog.cli.app; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_every_command_says_what_it_is_for_and_every_exit_code_is_documented(run: Catalog) -> None:
    told = run("--help")
    assert told.code == 0
    for command in (
        "search",
        "show",
        "register",
        "put",
        "get",
        "kinds",
        "serve",
        "migrate",
        "token",
        "openapi",
        "demo",
    ):
        assert f" {command} " in told.out
        assert run(command, "--help").code == 0
    said = " ".join(told.out.split())
    for code, meaning in EXIT_CODES.items():
        assert f"{code} {meaning}" in said
    assert app.info.name == "catalog"


def test_output_to_a_closed_pipe_ends_quietly(live: Live) -> None:
    import os  # ruff: ignore[PLC0415] - the one test that needs it.

    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        [sys.executable, "-m", "catalog", "kinds", "model", "--json"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=dict(os.environ) | {"CATALOG_URL": live.url},
        text=True,
    ) as process:
        os.close(writing)
        _, err = process.communicate(timeout=30)
    assert err == ""
    assert process.returncode == 1


@pytest.mark.req("SAGE-STORAGE-32")
def test_every_stored_object_is_held_against_its_kinds_schema(run: Catalog, fresh_world: World) -> None:
    settings = variables(fresh_world)
    record = {
        "kind": "model",
        "project": "cli/schemas",
        "title": "Kept as it was accepted",
        "creators": [{"name": "Rivera, Ana"}],
        "contact": {"name": "Ana Rivera", "email": "ana@example.org"},
        "visibility": "public",
        "metadata": {"parameters": 5},
    }
    ids = [f"00000000-0000-7000-8000-00000000000{number}" for number in range(4)]
    records = [record, record | {"metadata": {"parameters": "many"}}, record | {"metadata": 5}, record | {"title": ""}]
    with psycopg.connect(str(fresh_world.settings.database_url)) as connection:
        owner = connection.execute(
            "INSERT INTO principal (id, name, role) VALUES (gen_random_uuid(), 'o', 'ingest') RETURNING id"
        ).fetchone()
        assert owner is not None
        for object_id, one in zip(ids, records, strict=True):
            connection.execute(
                "INSERT INTO object"
                " (id, kind, schema_version, project, owner_id, readers, writers, revision, record, withdrawn_at)"
                " VALUES (%s, 'model', 1, 'cli/schemas', %s, '{public}', '{}', 1, %s, %s)",
                [object_id, owner[0], json.dumps(one), None if one["title"] else "2026-01-01T00:00:00Z"],
            )

    checked = run("schema", "check", "--json", **settings)
    told = run("schema", "check", **settings)

    assert (checked.code, checked.json) == (
        1,
        {
            "checked": 3,
            "short": [
                {
                    "id": ids[1],
                    "kind": "model",
                    "schema_version": 1,
                    "errors": [{"pointer": "/metadata/parameters", "message": "must be a whole number"}],
                },
                {
                    "id": ids[2],
                    "kind": "model",
                    "schema_version": 1,
                    "errors": [{"pointer": "/metadata", "message": "must be a JSON object"}],
                },
            ],
        },
    )
    assert told.out.startswith(
        f"{ids[1]}  model, accepted under version 1\n  /metadata/parameters: must be a whole number"
    )
    assert "3 objects checked, 2 fall short" in told.err
    with psycopg.connect(str(fresh_world.settings.database_url)) as connection:
        connection.execute("DELETE FROM object WHERE id = ANY(%s::uuid[])", [ids[1:3]])
    assert run("schema", "check", **settings).code == 0

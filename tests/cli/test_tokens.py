"""`catalog token`, `service`, `audit`, `principal`: over the API for everybody, in the database for the operator."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from catalog.access import principals
from tests.cli.conftest import Catalog
from tests.cli.test_operating import variables
from tests.conftest import Live, World


@pytest.fixture
def organization(catalog: Catalog) -> str:
    name = f"o{uuid4().hex[:10]}"
    assert catalog("organization", "create", name, by="admin").code == 0
    assert catalog("project", "create", f"{name}/soil", by="admin").code == 0
    return name


def mode(file: Path) -> str:
    return oct(file.stat().st_mode & 0o777)


@pytest.mark.req("SAGE-STORAGE-2")
def test_three_commands_lead_to_a_service_that_registers(
    catalog: Catalog, run: Catalog, live: Live, organization: str, described: Path
) -> None:
    name = f"ingest-{uuid4().hex[:8]}"
    made = catalog("service", "create", name, "--organization", organization, "--role", "ingest", by="admin")
    assert made.code == 0, made.err
    assert f"catalog token create --service {name} --scope register" in made.err
    file = described.with_name("token")
    token = catalog(
        "token", "create", "--service", name, "--scope", "read,register", "--label", "mast", "--into", file, by="admin"
    )
    assert (token.code, token.out, mode(file)) == (0, "", "0o600"), token.err
    assert f"the token of service:{name} is in {file}" in token.err
    described.write_text(json.dumps(json.loads(described.read_text()) | {"project": f"{organization}/soil"}))
    registered = run("register", described, URL=live.url, TOKEN_FILE=str(file))
    assert registered.code == 0, registered.err
    listed = catalog("token", "list", "--service", name, by="admin").out.splitlines()
    assert [line.split("\t")[1:5] for line in listed] == [
        ["begins", "label", "good for", "place"],
        [f"{file.read_text()[:8]}…", "mast", "read register", ""],
    ]
    services = catalog("service", "list", "--organization", organization, "--json", by="admin").json
    assert [(one["name"], one["organization"]) for one in services] == [(name, organization)]
    assert catalog("service", "end", name, by="admin").code == 0
    assert run("token", "list", URL=live.url, TOKEN_FILE=str(file)).code == 3


def test_a_token_of_ones_own_is_made_rotated_and_revoked(run: Catalog, live: Live, tmp_path: Path) -> None:
    """By a principal of its own: no other test sees its tokens."""
    name = f"p{uuid4().hex[:10]}"
    own = run("token", "create", name, "--role", "reader", **variables(live.world)).out.strip()
    me = {"URL": live.url, "TOKEN": own}
    file = tmp_path / "token"
    made = run("token", "create", "--scope", "read", "--expires", "1h", "--into", file, "--json", **me).json
    first = file.read_text().strip()
    assert ("token" in made, made["file"], made["scopes"], made["principal"]) == (
        False,
        str(file),
        ["read"],
        f"user:{name}",
    )
    taken = run("token", "create", "--scope", "read", "--into", file, **me)
    assert (taken.code, "there is such a file already" in taken.err) == (2, True)
    rotated = run("token", "rotate", made["id"], "--overlap", "10m", "--into", file, **me)
    assert rotated.code == 0, rotated.err
    second = file.read_text().strip()
    assert [run("search", URL=live.url, TOKEN=one).code for one in (first, second)] == [0, 0]
    again = run("token", "rotate", made["id"], **me)
    assert (again.code, "no third one may" in again.err) == (5, True)
    third = run("token", "rotate", made["id"], "--overlap", "0", **me).out.strip()
    assert [run("search", URL=live.url, TOKEN=one).code for one in (first, second, third)] == [3, 3, 0]
    narrow = run("register", "none.json", URL=live.url, TOKEN=third)
    assert narrow.code != 0
    ended = run("token", "revoke", made["id"], **me)
    assert (ended.code, ended.err) == (0, f"token {made['id']} works no more\n")
    assert run("search", URL=live.url, TOKEN=third).code == 3
    assert [one["this"] for one in run("token", "list", "--json", **me).json] == [True]


def test_the_scope_that_a_token_lacks_is_told(catalog: Catalog, run: Catalog, live: Live, described: Path) -> None:
    token = catalog("token", "create", "--scope", "read", by="ingest").out.strip()
    outcome = run("register", described, URL=live.url, TOKEN=token)
    assert outcome.code == 3
    assert "Your token lacks the scope register: use one that has it, or make one." in outcome.err


def test_a_token_of_the_operators_may_be_narrow_and_go_into_a_file(run: Catalog, live: Live, tmp_path: Path) -> None:
    name, file = f"p{uuid4().hex[:10]}", tmp_path / "token"
    words = ("--role", "curator", "--scope", "read", "--place", "lab/soil", "--into", file)
    made = run("token", "create", name, *words, **variables(live.world))
    assert (made.code, made.out, mode(file)) == (0, "", "0o600"), made.err
    me = {"URL": live.url, "TOKEN_FILE": str(file)}
    [shown] = run("token", "list", "--json", **me).json
    assert (shown["scopes"], shown["place"]) == (["read"], "lab/soil")


@pytest.mark.req("MWM-SADD-16")
def test_who_changed_what_is_shown_to_admins(catalog: Catalog, run: Catalog, live: Live, organization: str) -> None:
    name = f"p{uuid4().hex[:10]}"
    assert run("token", "create", name, "--role", "reader", **variables(live.world)).code == 0
    given = catalog("member", "give", f"{organization}/soil", f"user:{name}", "ingest", by="admin")
    assert given.code == 0
    rows = catalog("audit", "--scope", organization, "--json", by="admin").json
    assert [(one["by"], one["action"], one["subject"], one["scope"], one["after"]) for one in rows] == [
        ("user:admin", "give role", f"user:{name}", f"{organization}/soil", {"role": "ingest"}),
        ("user:admin", "make project", f"project:{organization}/soil", f"{organization}/soil", None),
        ("user:admin", "make organization", f"organization:{organization}", organization, None),
    ]
    newest = catalog("audit", "--scope", organization, "--limit", "1", by="admin").out.splitlines()
    assert [line.split("\t")[1:] for line in newest] == [
        ["by", "action", "whom", "where", "before", "after"],
        ["user:admin", "give role", f"user:{name}", f"{organization}/soil", "", '{"role": "ingest"}'],
    ]
    assert catalog("audit", by="curator").code == 3


def test_what_the_operator_does_is_in_the_audit_too(catalog: Catalog, run: Catalog, live: Live) -> None:
    name, settings = f"p{uuid4().hex[:10]}", variables(live.world)
    for words in (
        ("token", "create", name, "--role", "reader"),
        ("principal", "end", name),
        ("principal", "restore", name),
    ):
        assert run(*words, **settings).code == 0
    rows = catalog("audit", "--subject", f"user:{name}", "--json", by="admin").json
    assert [(one["by"], one["via"], one["action"]) for one in rows] == [
        (None, "operator", action) for action in ("restore principal", "end principal", "make token", "make principal")
    ]


def test_migrate_makes_a_first_admin_from_a_file_and_no_second_one(
    run: Catalog, fresh_world: World, tmp_path: Path
) -> None:
    settings, file = variables(fresh_world), tmp_path / "first"
    first, second = principals.new_value(), principals.new_value()
    told = []
    for token in (first, first, second):
        file.write_text(f"{token}\n")
        outcome = run("migrate", **settings, FIRST_ADMIN_TOKEN_FILE=str(file))
        assert outcome.code == 0, outcome.err
        told.append(next(line for line in outcome.err.splitlines() if line.startswith("admin ")))
        assert [one for one in (first, second) if one in outcome.err + outcome.out] == []
    assert told == [
        "admin first-admin: made, with the token of CATALOG_FIRST_ADMIN_TOKEN",
        *["admin first-admin: not needed, there is an admin"] * 2,
    ]
    listed = run("token", "list", "--database", "--json", **settings).json
    assert [(one["name"], one["role"], one["hint"]) for one in listed] == [("first-admin", "admin", first[:8])]
    [shown] = run("principal", "list", "--json", **settings).json
    assert (shown["name"], shown["kind"], shown["organization"]) == ("first-admin", "user", None)

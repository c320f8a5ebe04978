"""Stores of organizations on the command line, and the keys that wrap theirs."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from catalog.storage.own import OwnStore
from tests.api.brought import Server, server
from tests.api.test_inventory import put
from tests.cli.conftest import Catalog
from tests.conftest import World


@pytest.fixture
def minio(engines_ready: dict[str, Any]) -> Server:
    return server(engines_ready, "minio")


@pytest.fixture
async def bucket(minio: Server) -> AsyncGenerator[OwnStore]:
    async with minio.bucket() as store:
        yield store


@pytest.fixture
def organization(catalog: Catalog) -> str:
    name = f"o{uuid4().hex[:10]}"
    assert catalog("organization", "create", name, by="admin").code == 0
    return name


@pytest.fixture
def place(minio: Server, bucket: OwnStore, tmp_path: Path) -> list[str]:
    """The words that name a bucket and its keys."""
    secret = tmp_path / "secret"
    secret.write_text(minio.secret_key + "\n")
    words = {"endpoint": minio.endpoint, "bucket": bucket.bucket, "prefix": "lab", "region": minio.region}
    keys = ["--access-key", minio.access_key, "--secret-file", str(secret)]
    return [word for name, value in words.items() for word in (f"--{name}", value)] + keys


async def test_a_store_is_scanned_and_what_was_found_is_listed_read_and_added_up(
    catalog: Catalog, organization: str, place: list[str], bucket: OwnStore, *, draft: dict[str, Any], tmp_path: Path
) -> None:
    described = tmp_path / "draft.json"
    await put(bucket, "lab/source/reads.csv", b"day,moisture\n")
    made = catalog("backend", "create", organization, "Archive", *place, "--data", by="admin")
    backend_id = made.out.strip()

    scanned = catalog("backend", "scan", backend_id, "--wait", by="admin")
    (file,) = catalog("backend", "files", organization, "--stage", "source", "--json", by="admin").json
    read = catalog("backend", "hash", organization, file["id"], by="admin")
    sums = catalog("organization", "accounting", organization, by="admin")
    (scan,) = catalog("backend", "scans", backend_id, "--json", by="admin").json

    described.write_text(json.dumps(draft | {"project": f"{organization}/soil", "files": []}))
    made_object = catalog("register", described, by="admin").out.strip()
    adopted = catalog("adopt", made_object, f"{file['id']}=reads/all.csv", by="admin")
    got = catalog("get", made_object, "--to", tmp_path / "out", by="admin")

    assert (adopted.code, adopted.out) == (0, "reads/all.csv\n"), adopted.err
    assert (tmp_path / "out/reads/all.csv").read_text() == "day,moisture\n", got.err
    assert scanned.code == 0, scanned.err
    assert "done: 1 files, 13 bytes; 1 new, 0 changed, 0 keys looked at" in scanned.err
    assert (file["key"], file["size"], file["backend"]) == ("lab/source/reads.csv", 13, backend_id)
    assert read.err.startswith("1 files will be read"), read.err
    assert sums.out.splitlines()[1:] == ["\tArchive\tsource\tFalse\t1\t13"]
    assert (scan["id"], scan["state"]) == (scanned.out.strip(), "done")


@pytest.mark.req("DEWRANGLE-RFC-2", "DEWRANGLE-RFC-13")
async def test_three_commands_from_nothing_reach_an_uploaded_file(
    catalog: Catalog, organization: str, draft: dict[str, Any], tmp_path: Path
) -> None:
    described, file = tmp_path / "draft.json", tmp_path / "soil.csv"
    described.write_text(json.dumps(draft | {"project": f"{organization}/soil"}))
    file.write_text("day,moisture\n")
    assert catalog("project", "create", f"{organization}/soil", by="admin").code == 0
    put = catalog("put", file, "--from", described, by="admin")
    assert put.code == 0, put.err
    shown = catalog("show", put.out.strip(), "--json", by="admin").json
    assert [one["state"] for one in shown["files"]] == ["available"]


async def test_a_store_is_connected_chosen_checked_and_disconnected(
    catalog: Catalog, organization: str, place: list[str], draft: dict[str, Any], tmp_path: Path
) -> None:
    made = catalog("backend", "create", organization, "Archive", *place, "--document", "--data", by="admin")
    assert (made.code, made.err.count(": ok")) == (0, 7), made.err
    assert Path(place[-1]).read_text().strip() not in made.out + made.err  # noqa: ASYNC240 - one line.
    backend_id = made.out.strip()
    listed = catalog("backend", "list", organization, "--json", by="admin").json
    assert [(one["id"], one["name"], one["health"]) for one in listed] == [(backend_id, "Archive", "healthy")]

    chosen = catalog("storages", "set", organization, "--document", backend_id, "--json", by="admin").json
    assert chosen["document"] == {"id": backend_id, "name": "Archive", "chosen_by": "organization"}
    described, file = tmp_path / "draft.json", tmp_path / "soil.csv"
    described.write_text(json.dumps(draft | {"project": f"{organization}/soil"}))
    file.write_text("day,moisture\n1,0.31\n")
    put = catalog("put", file, "--from", described, by="admin")
    assert put.code == 0, put.err
    got = catalog("get", put.out.strip(), "--to", tmp_path / "out", by="admin")
    assert got.code == 0, got.err
    assert [path.read_text() for path in (tmp_path / "out").rglob("soil.csv")] == ["day,moisture\n1,0.31\n"]

    assert catalog("backend", "change", organization, backend_id, "--name", "Old archive", by="admin").code == 0
    checked = catalog("backend", "check", organization, backend_id, "--json", by="admin")
    assert (checked.code, checked.json["name"], checked.json["health"]) == (0, "Old archive", "healthy")
    assert catalog("backend", "remove", organization, backend_id, by="admin").code == 5
    assert catalog("backend", "remove", organization, backend_id, "--detach", by="admin").code == 0
    assert catalog("backend", "list", organization, "--json", by="admin").json == []
    shown = catalog("storages", "show", f"{organization}/soil", by="admin").out
    assert "default" in shown


async def test_keys_that_do_not_work_are_told_and_nothing_is_kept(
    catalog: Catalog, organization: str, place: list[str], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not-the-secret-at-all")
    words = [str(wrong) if word.endswith("/secret") else word for word in place]
    refused = catalog("backend", "create", organization, "Archive", *words, "--data", by="admin")
    assert (refused.code, "2 of 2 actions failed" in refused.err) == (5, True)
    assert "not-the-secret-at-all" not in refused.err
    assert catalog("backend", "list", organization, "--json", by="admin").json == []
    unsaid = catalog("backend", "create", organization, "Archive", *place, by="admin")
    assert (unsaid.code, "say --document, --data or both" in unsaid.err) == (2, True)


@pytest.mark.req("DEWRANGLE-RFC-11")
def test_a_policy_can_be_printed_before_anything_is_connected(catalog: Catalog, organization: str) -> None:
    words = ["--bucket", "archive", "--prefix", "lab"]
    data = catalog("backend", "policy", organization, *words, "--data", by="admin").json
    assert data == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                "Resource": ["arn:aws:s3:::archive/lab/*"],
            },
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": ["arn:aws:s3:::archive"],
                "Condition": {"StringLike": {"s3:prefix": ["lab/*"]}},
            },
            {
                "Effect": "Allow",
                "Action": ["s3:GetBucketVersioning", "s3:GetBucketNotification"],
                "Resource": ["arn:aws:s3:::archive"],
            },
        ],
    }
    document = catalog("backend", "policy", organization, *words, "--document", by="admin").json
    assert [one["Resource"] for one in document["Statement"]] == [
        ["arn:aws:s3:::archive/lab/catalog/*"],
        ["arn:aws:s3:::archive"],
        ["arn:aws:s3:::archive"],
    ]
    assert catalog("backend", "policy", organization, by="admin").code == 2


def test_keys_are_made_listed_and_rotated(run: Catalog, fresh_world: World, tmp_path: Path) -> None:
    file = tmp_path / "made" / "keys"
    made = [run("keys", "create", "--file", file).out.strip() for _ in range(2)]
    given = {
        name.removeprefix("CATALOG_"): value
        for name, value in fresh_world.environment.items()
        if name.startswith("CATALOG_")
    } | {"KEY_FILE": str(file)}
    listed = run("keys", "list", "--json", **given)
    assert (listed.code, [(one["id"], one["current"], one["wraps"]) for one in listed.json]) == (
        0,
        [(made[1], True, 0), (made[0], False, 0)],
    ), listed.err
    rotated = run("keys", "rotate", **given)
    assert (rotated.code, rotated.err.startswith("0 wrapped anew")) == (0, True), rotated.err
    without = run("keys", "rotate", **{name: value for name, value in given.items() if name != "KEY_FILE"})
    assert (without.code, "CATALOG_KEY_FILE" in without.err) == (5, True)
    keys = [line.split()[1] for line in file.read_text().splitlines()]
    assert [key for key in keys if key in listed.out + listed.err + rotated.err] == []


@pytest.mark.req("DEWRANGLE-RFC-51")
def test_how_stores_are_and_how_full_is_shown_and_told(
    catalog: Catalog, organization: str, place: list[str], tmp_path: Path
) -> None:
    words = ("backend", "create", organization, "Archive", *place, "--document", "--data")
    made = catalog(*words, by="admin").out.strip()

    shown = catalog("backend", "history", organization, made, "--json", by="admin").json
    assert (shown["state"], [one["ok"] for one in shown["history"]]) == ("healthy", [True])
    assert "ok" in catalog("backend", "history", organization, made, by="admin").out
    every = catalog("backend", "check", organization, "--all", by="admin")
    assert (every.code, every.out.splitlines()[1:]) == (0, [f"{made}\t{organization}\tArchive\tok"])
    told = {one["id"]: one["faults"] for one in catalog("backend", "check", "--all", "--json", by="admin").json}
    assert (told["default"], told[made]) == ([], [])
    brought = catalog("backend", "show", organization, made, by="admin")
    assert (brought.out.strip(), "refuses other bytes than a ticket names: yes" in brought.err) == (made, True)
    file = tmp_path / "events"
    token = catalog("backend", "event-token", organization, made, by="admin").out.strip()
    again = catalog("backend", "event-token", organization, made, "--overlap", "2h", "--into", file, by="admin")
    assert (again.out, "the former value works until" in again.err) == ("", True)
    assert (file.read_text().strip() != token, file.stat().st_mode & 0o777) == (True, 0o600)
    hint = catalog("backend", "show", organization, made, "--json", by="admin").json["event_token"]["hint"]
    assert file.read_text().startswith(hint)
    assert catalog("backend", "event-token", organization, made, by="admin").code == 5
    assert catalog("backend", "event-token", organization, made, "--revoke", by="admin").code == 0
    own = catalog("backend", "check", "default", by="admin")
    assert (own.code, "keeps versions: on" in own.err) == (0, True), own.err
    known = catalog("backend", "show", "default", "--json", by="admin").json
    assert (known["state"], known["capabilities"]["conditional_writes"]) == ("healthy", True)
    assert catalog("backend", "show", organization, by="admin").code == 2
    own = catalog("backend", "history", "default", "--limit", 1, "--json", by="admin").json
    assert (own["backend"], own["state"]) == ("default", "healthy")
    assert catalog("backend", "history", organization, by="admin").code == 2
    assert catalog("backend", "check", organization, by="admin").code == 2
    assert catalog("backend", "check", "--all", by="ingest").code == 3

    limits = ("--capacity", "2TB", "--watermark", "90", "--reserved", "50")
    changed = catalog("backend", "change", organization, made, *limits, "--json", by="admin").json
    assert (changed["capacity_bytes"], changed["watermark_percent"], changed["reserved_gb"]) == (2 * 10**12, 90, 50)
    (full,) = catalog("backend", "capacity", organization, "--json", by="admin").json
    assert (full["capacity"]["limit"], full["capacity"]["stored"]) == (18 * 10**11, 0)
    assert "1,800.00 GB" in catalog("backend", "capacity", organization, by="admin").out
    assert made in catalog("backend", "capacity", by="admin").out
    assert catalog("backend", "change", organization, made, "--capacity", "much", by="admin").code == 2
    nothing = catalog("backend", "change", organization, made, "--reserved", "none", "--json", by="admin").json
    assert nothing["reserved_gb"] is None

    nobody = catalog("backend", "alert", organization, "--json", by="admin").json
    assert (nobody["webhook"], nobody["mailed"]) == (None, [])
    scheme, inside = "https", "10.0.0.1"
    refused = catalog("backend", "alert", organization, "--webhook", f"{scheme}://{inside}/hook", by="admin")
    assert (refused.code, f"{inside} lies in a private network, where nothing is posted" in refused.err) == (2, True)
    assert catalog("backend", "alert", organization, "--secret-into", tmp_path / "secret.txt", by="admin").code == 5


@pytest.mark.req("MWM-SADD-72")
def test_the_settings_of_stores_are_shown_as_they_are_and_secrets_are_not(run: Catalog, world: World) -> None:
    environment = {name.removeprefix("CATALOG_"): value for name, value in world.environment.items()}
    changed = {"BACKEND_WATERMARK_PERCENT": "80", "BACKEND_RESERVED_GB": "7", "STORE_CAPACITY_BYTES": "1000000"}

    told = run("config", "show", "--json", **environment | changed).json
    text = run("config", "show", **environment)

    shown = {name.upper(): (told[name.lower()]["value"], told[name.lower()]["set"]) for name in changed}
    assert shown == {
        "BACKEND_WATERMARK_PERCENT": (80, True),
        "BACKEND_RESERVED_GB": (7, True),
        "STORE_CAPACITY_BYTES": (1_000_000, True),
    }
    assert told["store_secret_key"] == told["store_secret_key"] | {"value": None, "set": True, "secret": True}
    secrets = [one for one in told.values() if one["secret"] and one["value"] is not None]
    assert secrets == []
    # The world of a test says every setting that it has.
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in text.out.splitlines()}
    assert rows["CATALOG_BACKEND_WATERMARK_PERCENT"] == ["85", "set"]
    assert rows["CATALOG_BACKEND_RESERVED_GB"] == ["100", "set"]
    assert rows["CATALOG_STORE_CAPACITY_BYTES"] == ["", "default"]
    assert rows["CATALOG_STORE_SECRET_KEY"] == ["kept secret", "set"]
    assert world.settings.store_secret_key.get_secret_value() not in text.out + text.err

"""Many stores from one file on the command line: each row is tried, stands for itself, and is there once."""

import csv
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from catalog.cli import connecting
from catalog.storage import guarding
from catalog.storage.own import OwnStore
from tests.api.brought import Server, server
from tests.cli.conftest import Catalog, Outcome

NO_SECRET = "not-the-secret-of-anybody"


@pytest.fixture
def organization(catalog: Catalog) -> str:
    name = f"o{uuid4().hex[:10]}"
    assert catalog("organization", "create", name, by="admin").code == 0
    return name


@pytest.fixture(params=["seaweedfs", "minio"])
def each_server(request: pytest.FixtureRequest, engines_ready: dict[str, Any]) -> Server:
    """Each server in turn."""
    return server(engines_ready, request.param)


@pytest.fixture
async def bucket(each_server: Server) -> AsyncGenerator[OwnStore]:
    async with each_server.bucket() as store:
        yield store


@pytest.fixture
def row(each_server: Server, bucket: OwnStore, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """A row of a file, whose keys are in the environment unless it says so itself."""
    monkeypatch.setenv("BACKEND_LAB_KEY", each_server.access_key)
    monkeypatch.setenv("BACKEND_LAB_SECRET", each_server.secret_key)

    def row(name: str, **said: str) -> dict[str, str]:
        told = {"name": name, "endpoint": each_server.endpoint, "bucket": bucket.bucket, "prefix": name.lower()}
        keys = {"access_key_env": "BACKEND_LAB_KEY", "secret_key_env": "BACKEND_LAB_SECRET"}
        return told | {"region": each_server.region, "uses": "document data"} | keys | said

    return row


def written(file: Path, rows: Iterable[Mapping[str, str]], *, between: str = ",") -> Path:
    """Write a CSV as spreadsheets do."""
    rows = list(rows)
    with file.open("w", encoding="utf-8-sig", newline="") as opened:
        sheet = csv.DictWriter(opened, list(dict.fromkeys(name for row in rows for name in row)), delimiter=between)
        sheet.writeheader()
        sheet.writerows(rows)
    file.chmod(0o600)
    return file


def results(outcome: Outcome) -> list[tuple[int, str, str]]:
    return [(one["line"], one["name"], one["result"]) for one in outcome.json]


def held(catalog: Catalog, organization: str) -> Any:
    """Every store with all that is known of it, and what is written down of them."""
    audit = catalog("audit", "--scope", organization, "--json", by="admin").out
    return catalog("backend", "list", organization, "--json", by="admin").json, audit


@pytest.mark.req("DEWRANGLE-RFC-30")
async def test_each_row_is_tried_and_stands_for_itself_and_a_second_time_nothing_changes(
    catalog: Catalog, organization: str, each_server: Server, row: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    own_keys = {"access_key_env": "", "secret_key_env": ""}
    in_file = own_keys | {"access_key": each_server.access_key, "secret_key": each_server.secret_key}
    rows = [
        row("Soil", arn="arn:aws:iam::1:user/x", capacity_bytes="2TB"),
        row("Nowhere", bucket=f"none-{uuid4().hex[:8]}", uses="data"),
        row("Water", **in_file),
        row("Locked", **own_keys, access_key=each_server.access_key, secret_key=NO_SECRET),
        row("Soil again", prefix="soil"),
        row("Forest", uses="data"),
    ]
    file = written(tmp_path / "buckets.csv", rows)
    words = ("backend", "import", file, "--organization", organization, "--json")
    before = held(catalog, organization)

    tried = catalog(*words, "--dry-run", by="admin")
    assert held(catalog, organization) == before
    made = catalog(*words, by="admin")
    after = held(catalog, organization)
    again = catalog(*words, by="admin")

    expected = [
        (2, "Soil", "created"),
        (3, "Nowhere", "refused"),
        (4, "Water", "created"),
        (5, "Locked", "refused"),
        (6, "Soil again", "refused"),
        (7, "Forest", "created"),
    ]
    assert (made.code, results(made)) == (2, expected), made.err
    assert (tried.code, results(tried)) == (
        2,
        [(line, name, {"created": "would be created"}.get(what, what)) for line, name, what in expected],
    )
    assert (again.code, results(again)) == (
        2,
        [(line, name, {"created": "there"}.get(what, what)) for line, name, what in expected],
    )
    assert held(catalog, organization) == after
    assert "3 created, 3 refused" in made.err
    reasons = {one["name"]: one["reasons"] for one in made.json if one["result"] == "refused"}
    assert reasons["Nowhere"][0].endswith("actions failed: " + _all_of(reasons["Nowhere"][0]) + ". Nothing was kept.")
    assert reasons["Soil again"] == [
        "this place is connected already, with another name: `catalog backend change` changes it"
    ]
    ids = {one["name"]: one["id"] for one in made.json if one["id"]}
    stores, _ = after
    assert {one["name"]: (one["id"], one["health"], one["has_keys"]) for one in stores} == {
        name: (ids[name], "healthy", True) for name in ("Forest", "Soil", "Water")
    }
    (soil,) = [one for one in stores if one["name"] == "Soil"]
    assert (soil["account"]["arn"], soil["capacity_bytes"], sorted(soil["uses"])) == (
        "arn:aws:iam::1:user/x",
        2 * 10**12,
        ["data", "document"],
    )
    for outcome in (tried, made, again):
        for secret in (each_server.secret_key, NO_SECRET):
            assert secret not in outcome.out + outcome.err


def _all_of(detail: str) -> str:
    return detail.partition("actions failed: ")[2].removesuffix(". Nothing was kept.")


async def test_json_and_lines_of_it_say_the_same_and_rows_name_their_organization(
    catalog: Catalog, organization: str, row: Callable[..., Any], tmp_path: Path
) -> None:
    rows = [
        row(name, organization=organization) | {"uses": ["data"], "account": {"user": "ana"}} for name in ("A", "B")
    ]
    lines, whole = tmp_path / "buckets.ndjson", tmp_path / "buckets.json"
    # The keys of the second row are in the environment no more when it is there already.
    lines.write_text("\n".join([json.dumps(rows[0]), "", "{", json.dumps(rows[1] | {"region": "elsewhere-1"})]))
    whole.write_text(json.dumps([rows[0], rows[1], rows[1] | {"secret_key_env": "BACKEND_GONE"}, 5]))

    first = catalog("backend", "import", whole, by="admin")
    second = catalog("backend", "import", lines, "--json", by="admin")

    assert [line.split("\t")[:4] for line in first.out.splitlines()] == [
        ["line", "organization", "name", "result"],
        ["1", organization, "A", "created"],
        ["2", organization, "B", "created"],
        ["3", organization, "B", "there"],
        ["4", "", "", "refused"],
    ], first.out
    assert [(one["line"], one["result"], one["reasons"]) for one in second.json] == [
        (1, "there", []),
        (3, "refused", ["no JSON"]),
        (
            4,
            "refused",
            ["this place is connected already, with another region: `catalog backend change` changes it"],
        ),
    ]


async def test_only_variables_that_are_meant_for_it_are_read(
    catalog: Catalog, organization: str, row: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    rows = [
        row("Curious", access_key_env="CATALOG_TOKEN"),
        row("Unset", secret_key_env="BACKEND_NOBODY"),
        row("Both", access_key="someone"),
        row("Half", secret_key_env=""),
    ]
    file = written(tmp_path / "buckets.csv", rows, between=";")
    done = catalog("backend", "import", file, "--organization", organization, "--json", by="admin")
    assert [one["reasons"][0] for one in done.json] == [
        "access_key_env names no variable that begins with BACKEND_, the only ones that are read.",
        "The environment has no BACKEND_NOBODY, which secret_key_env names.",
        "access_key and access_key_env say the same thing twice.",
        "A key is missing.",
    ]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("b.csv", "name,buckett\n", "'buckett' is no column, or is there twice; "),
        ("b.csv", "name,buckett\n", "Did you mean bucket?"),
        ("b.csv", 'name,bucket\na,"b', "is no CSV: look at its quotes"),
        ("b.json", "{}", "The file holds no list of stores"),
        ("b.json", "[", "The file is not JSON: line 1, column 2"),
        ("b.json", '[{"name": "a", "name": "b"}]', "The file says something twice"),
        ("b.txt", "", "ends in none of .csv, .ndjson, .jsonl, .json"),
        ("b.csv", "name\n" + "a\n" * 1001, "has more than 1,000 rows"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(
    catalog: Catalog, tmp_path: Path, name: str, text: str, told: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    refused = catalog("backend", "import", file, "--organization", "lab", by="admin")
    assert (refused.code, told in refused.err) == (2, True), refused.err


def test_who_may_not_is_told_for_each_row_and_a_wrong_token_ends_it(
    catalog: Catalog, organization: str, tmp_path: Path
) -> None:
    endpoint = "https://s3.example.org"
    told = {"name": "A", "endpoint": endpoint, "bucket": "archive", "uses": "data", "secret_key": NO_SECRET}
    file = written(tmp_path / "buckets.csv", [told, told | {"name": "A,B"}, {"name": "C"}])
    file.chmod(0o644)
    words = ("backend", "import", file, "--organization", organization)
    refused = catalog(*words, "--json", by="ingest")
    nobody = catalog(*words, by=None)
    assert (refused.code, results(refused)) == (2, [(2, "A", "refused"), (3, "A,B", "refused"), (4, "C", "refused")])
    assert f"warning: others on this machine may read {file}" in refused.err
    assert (nobody.code, NO_SECRET in nobody.err + refused.err + refused.out) == (3, False)


@pytest.mark.parametrize(
    "endpoint",
    ["HTTPS://S3.Example.org", "https://s3.example.org:443/", "http://[::1]:80", "http://s3.example.org:9000"],
)
def test_a_place_is_known_however_its_endpoint_is_written(endpoint: str) -> None:
    assert connecting.place_of("lab", {"endpoint": endpoint, "bucket": "b"}) == (
        "lab",
        guarding.endpoint_of(endpoint),
        "b",
        "",
    )


@pytest.mark.parametrize(
    "text", ['{"reserved_gb": NaN}', r'{"name": "\ud800"}', "["], ids=["NaN", "half a pair", "open"]
)
def test_a_row_that_nobody_could_send_is_refused_and_holds_up_no_other(tmp_path: Path, text: str) -> None:
    file = tmp_path / "b.ndjson"
    file.write_text(f'{text}\n{{"name": "B"}}\n')

    assert [(row.line, row.fault) for row in connecting.read(file)] == [(1, "no JSON"), (2, None)]

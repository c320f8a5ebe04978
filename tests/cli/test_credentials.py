"""`catalog credentials`: keys in the form that other tools read, on a store that makes them."""

import configparser
import io
import shlex
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest
from minio import Minio
from minio.error import S3Error

from tests.cli.conftest import Catalog, Outcome
from tests.conftest import Live, make_tokens, make_world, prepare, running


@pytest.fixture(scope="module")
async def on_minio(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Live]:
    """An API whose store makes temporary credentials."""
    world = make_world(engines_ready, tmp_path_factory.mktemp("credentials"), store="minio")
    await prepare(world, engines_ready)
    with running(world, await make_tokens(world), "api") as live:
        yield live


@pytest.fixture
def ask(run: Catalog, on_minio: Live) -> Catalog:
    """Run `catalog credentials` for the ingest service's own folder, unless `by` names somebody else."""

    def ask(*words: object, by: str = "ingest", **_: str) -> Outcome:
        return run("credentials", *words, URL=on_minio.url, TOKEN=on_minio.tokens[by])

    return ask


WRITING = ("--project", "lab/soil", "--prefix", "uploads/ingest/", "--write")


async def written(live: Live, told: dict[str, str], key: str) -> str:
    client = Minio(
        told["endpoint"].partition("//")[2],
        access_key=told["access_key"],
        secret_key=told["secret_key"],
        session_token=told["session_token"],
        region=told["region"],
        secure=False,
    )
    try:
        await anyio.to_thread.run_sync(lambda: client.put_object(live.settings.store_bucket, key, io.BytesIO(b"x"), 1))
    except S3Error as refused:
        return refused.code
    return "done"


async def test_variables_for_a_shell_are_keys_that_work(ask: Catalog, on_minio: Live) -> None:
    outcome = ask(*WRITING)

    assigned = [shlex.split(line) for line in outcome.out.splitlines()]
    assert [words[0] for words in assigned] == ["export"] * 5
    variables = dict(words[1].split("=", 1) for words in assigned)
    told = {
        "access_key": variables["AWS_ACCESS_KEY_ID"],
        "secret_key": variables["AWS_SECRET_ACCESS_KEY"],
        "session_token": variables["AWS_SESSION_TOKEN"],
        "endpoint": variables["AWS_ENDPOINT_URL_S3"],
        "region": variables["AWS_REGION"],
    }
    outcomes = [await written(on_minio, told, key) for key in ("lab/soil/uploads/ingest/x", "lab/soil/uploads/other/x")]
    assert (outcome.code, outcomes) == (0, ["done", "AccessDenied"])
    assert f"write below s3://{on_minio.settings.store_bucket}/lab/soil/uploads/ingest/\n" in outcome.err
    assert [value for value in told.values() if value in outcome.err] == []


@pytest.mark.parametrize(
    ("by", "words", "no_head", "copying"),
    [
        ("ingest", WRITING, "true", "rclone copy FOLDER catalog:{bucket}/lab/soil/uploads/ingest/"),
        ("curator", ("--project", "lab/soil"), None, "rclone copy catalog:{bucket}/lab/soil/ FOLDER"),
    ],
)
def test_rclone_reads_its_section(
    ask: Catalog, on_minio: Live, *, by: str, words: tuple[str, ...], no_head: str | None, copying: str
) -> None:
    outcome = ask(*words, "--rclone", by=by)

    section = configparser.ConfigParser(interpolation=None)
    section.read_string(outcome.out)
    told = dict(section["catalog"])
    secret = {name: bool(told.pop(name)) for name in ("access_key_id", "secret_access_key", "session_token")}
    assert set(secret.values()) == {True}
    assert told.pop("no_head", None) == no_head
    assert told == {
        "type": "s3",
        "provider": "Other",
        "endpoint": str(on_minio.settings.store_url).rstrip("/"),
        "region": on_minio.settings.store_region,
        "no_check_bucket": "true",
    }
    assert copying.format(bucket=on_minio.settings.store_bucket) in outcome.err.splitlines()


def test_json_is_what_the_catalog_answered(ask: Catalog, on_minio: Live) -> None:
    outcome = ask(*WRITING, "--seconds", 60, "--json")

    assert outcome.json | dict.fromkeys(("access_key", "secret_key", "session_token", "expires_at"), "") == {
        "access_key": "",
        "secret_key": "",
        "session_token": "",
        "endpoint": str(on_minio.settings.store_url).rstrip("/"),
        "region": on_minio.settings.store_region,
        "bucket": on_minio.settings.store_bucket,
        "prefix": "lab/soil/uploads/ingest/",
        "access": ["write"],
        "expires_at": "",
    }


def test_what_cannot_be_had_is_said_in_a_line(ask: Catalog, catalog: Catalog) -> None:
    reading = ask("--project", "lab/soil")
    odd = ask(*WRITING, "--json", "--rclone")
    elsewhere = catalog("credentials", *WRITING)

    assert [one.code for one in (reading, odd, elsewhere)] == [3, 2, 5]
    assert "ask for links instead" in reading.err
    assert "say one of --env, --rclone and --json" in odd.err
    assert "does not issue temporary credentials" in elsewhere.err
    assert [one.out for one in (reading, odd, elsewhere)] == [""] * 3

"""Vault's Transit engine wraps the keys of stores: bound to their row, rotated while it runs, away at times."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from pydantic import SecretStr

from catalog.database import Database
from catalog.storage import sealing, wrapping
from catalog.storage.sealing import Rotated
from catalog.storage.transit import VaultKeys
from catalog.storage.wrapping import KeyMissing, KeyService, KeyServiceAway, KeyServiceRefuses, LocalKeys, Wrapped
from tests import certificates, forked
from tests.api.brought import server
from tests.api.conftest import plain
from tests.api.problems import problem_of
from tests.conftest import START_SECONDS_MAX, World, eventually, make_tokens, prepare
from tests.conftest import running as catalog_running
from tests.forked import Forked
from tests.loopback import listening
from tests.storage import vault as vaults
from tests.storage.test_sealing import PAIR, backends_with, counts, database, opened
from tests.storage.vault import Vault

__all__ = ["database"]

ROW = b"a row"
DATA_KEY = bytes(range(32))


@pytest.fixture(params=vaults.KINDS)
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Vault]:
    """A server with a Transit engine."""
    with vaults.running(request.param, tmp_path) as running:
        yield running


@pytest.fixture
async def keys(vault: Vault) -> AsyncGenerator[VaultKeys]:
    """Its key, with a token that may do what docs/backends.md says and no more."""
    keys = keys_of(vault, vault.token())
    yield keys
    await keys.close()


def keys_of(vault: Vault, token: str, **said: Any) -> VaultKeys:
    told: dict[str, Any] = {"mount": vault.mount, "name": vault.name, "token": SecretStr(token)}
    url = said.pop("url", vault.url)
    return VaultKeys(url, **told | said)


async def refused(keys: KeyService, *secrets: str) -> tuple[type[Exception], str]:
    """What wrapping comes to, which must show none of these."""
    with pytest.raises((KeyMissing, KeyServiceAway)) as told:
        await keys.wrap(DATA_KEY, bound_to=ROW)
    await keys.close()
    for secret in (*secrets, "AAECAwQFBgc"):
        assert secret not in f"{told.value!r} {told.value.detail} {keys!r}"
    assert told.value.__cause__ is None
    return type(told.value), told.value.detail


@pytest.mark.req("DEWRANGLE-RFC-37")
async def test_what_vault_wrapped_opens_for_its_row_alone(keys: VaultKeys) -> None:
    here, there = uuid4(), uuid4()
    sealed, other = await sealing.seal(PAIR, here, keys), await sealing.seal(PAIR, there, keys)

    assert await sealing.unseal(sealed, here, keys) == PAIR
    assert sealed.data_key.key_id == "vault:v1:transit/catalog"
    assert sealed.data_key.text.startswith(b"vault:v1:")
    text = sealed.data_key.text
    spoilt = text[:-8] + (b"AAAAAAA=" if text[-8:] != b"AAAAAAA=" else b"BBBBBBB=")
    # Moved to another row as a whole, its data key alone, and with a bit of it another.
    for moved, row in (
        (sealed, there),
        (sealing.Sealed(other.data_key, sealed.text), here),
        (sealing.Sealed(replace(sealed.data_key, text=spoilt), sealed.text), here),
    ):
        with pytest.raises(KeyMissing):
            await sealing.unseal(moved, row, keys)


async def test_vault_itself_refuses_a_data_key_of_another_row(keys: VaultKeys) -> None:
    wrapped = await keys.wrap(DATA_KEY, bound_to=ROW)
    assert await keys.unwrap(wrapped, bound_to=ROW) == DATA_KEY
    with pytest.raises(KeyMissing, match=r"refuses transit/decrypt/catalog \(400\): the key did not wrap this"):
        await keys.unwrap(wrapped, bound_to=b"another row")


@pytest.mark.parametrize(
    "key_id",
    [
        "k0123456789ab",
        "vault:v1:elsewhere/catalog",
        "vault:v1:transit/../sys/seal",
        "vault:v1:transit/..",
        "vault:v10:transit/catalog",
    ],
)
async def test_a_row_leads_nowhere_but_to_keys_of_the_engine(vault: Vault, keys: VaultKeys, key_id: str) -> None:
    wrapped = await keys.wrap(DATA_KEY, bound_to=ROW)
    with pytest.raises(KeyMissing):
        await keys.unwrap(Wrapped(key_id, wrapped.text), bound_to=ROW)
    assert vault.name == "catalog"


async def test_a_new_version_wraps_at_once_and_earlier_ones_go_on_opening(vault: Vault, keys: VaultKeys) -> None:
    first = await keys.wrap(DATA_KEY, bound_to=ROW)
    vault.rotate()
    second = await keys.wrap(DATA_KEY, bound_to=ROW)

    assert [await keys.unwrap(one, bound_to=ROW) for one in (first, second)] == [DATA_KEY] * 2
    assert (await keys.current(), second.key_id) == ("vault:v2:transit/catalog",) * 2
    vault.forget_before(2)
    with pytest.raises(KeyMissing, match="min_decryption_version no longer lets it open"):
        await keys.unwrap(first, bound_to=ROW)


async def test_another_key_of_the_engine_takes_over_from_the_one_before(vault: Vault, keys: VaultKeys) -> None:
    wrapped = await keys.wrap(DATA_KEY, bound_to=ROW)
    vault.ask("transit/keys/next")
    vault.ask("sys/policies/acl/both", policy="\n".join(_rules("catalog", "next")))
    following = keys_of(vault, vault.token("both"), name="next")

    assert await following.unwrap(wrapped, bound_to=ROW) == DATA_KEY
    assert await following.current() == "vault:v1:transit/next"
    await following.close()


def _rules(*names: str) -> list[str]:
    return [
        f'path "transit/{verb}/{name}" {{ capabilities = ["update"] }}'
        for name in names
        for verb in ("encrypt", "decrypt")
    ]


async def test_a_token_that_was_renewed_in_its_file_counts_at_once(vault: Vault, tmp_path: Path) -> None:
    file, first = tmp_path / "token", vault.token()
    file.write_text(f"{first}\n")
    keys = keys_of(vault, first, token_file=file)
    wrapped = await keys.wrap(DATA_KEY, bound_to=ROW)

    vault.revoke(first)
    with pytest.raises(KeyServiceRefuses, match=r"refuses our token for transit/decrypt/catalog \(403\)"):
        await keys.unwrap(wrapped, bound_to=ROW)
    file.write_text(f"{vault.token()}\n")

    assert await asyncio.gather(*(keys.unwrap(wrapped, bound_to=ROW) for _ in range(8))) == [DATA_KEY] * 8
    vault.revoke(file.read_text().strip())
    file.write_text("two words\n")
    assert await refused(keys, "two words") == (
        KeyServiceRefuses,
        "Vault refuses our token, and CATALOG_KEY_VAULT_TOKEN_FILE holds none any more.",
    )


async def test_each_refusal_says_what_to_mend_and_shows_no_secret(vault: Vault) -> None:
    token, elsewhere = vault.token(), vault.token("nothing")
    vault.ask("transit/keys/asymmetric", type="rsa-2048")
    where = "transit/encrypt/catalog"
    unknown = (
        f"Vault refuses our token for {where} (403): it has ended, or its policy does not have `update` there, or "
        "there is no key of this name. Renew what CATALOG_KEY_VAULT_TOKEN or its file holds, or mend the policy."
    )
    assert await refused(keys_of(vault, elsewhere), elsewhere) == (KeyServiceRefuses, unknown)
    # A misspelt name must make no key of that name, as a token that may `create` would have it.
    kind, told = await refused(keys_of(vault, token, name="catalogue"), token)
    assert (kind, "there is no key of this name" in told) == (KeyServiceRefuses, True)
    assert await refused(keys_of(vault, vault.root, mount="transits"), vault.root) == (
        KeyServiceRefuses,
        "Vault has no Transit engine for transits/encrypt/catalog (404): look at CATALOG_KEY_VAULT_MOUNT.",
    )
    kind, told = await refused(keys_of(vault, vault.root, name="asymmetric"), vault.root)
    assert (kind, told.endswith("takes no associated data: make one of the type aes256-gcm96.")) == (KeyMissing, True)
    vault.seal()
    sealed = await refused(keys_of(vault, token), token)
    vault.unseal()
    assert sealed == (KeyServiceRefuses, "Vault is sealed or not ready (503): unseal it.")


async def test_without_an_answer_it_is_away_and_whoever_asks_waits_not_long(vault: Vault) -> None:
    token = vault.token()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with listening(silent) as port:
        keys = keys_of(vault, token, url=f"http://127.0.0.1:{port}", patience_seconds=0.3)
        assert await refused(keys, token) == (KeyServiceAway, "Vault does not answer within 0.3 s.")
    gone = keys_of(vault, token, url=f"http://127.0.0.1:{port}")
    assert await refused(gone, token) == (
        KeyServiceAway,
        "Vault cannot be reached: look at CATALOG_KEY_VAULT_URL and the network.",
    )
    async with listening(trickling) as port:
        keys = keys_of(vault, token, url=f"http://127.0.0.1:{port}", patience_seconds=0.3)
        assert await refused(keys, token) == (KeyServiceAway, "Vault does not answer within 0.3 s.")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "What answers is no Transit engine"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"data":{}}', "What answers is no Transit engine"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{"data":"\xff"}', "What answers is no Transit engine"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 40000\r\n\r\n" + b'{"a":' * 8_000, "What answers is no Transit engine"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n" + b" " * 70_000, "What answers is no Transit engine"),
        (
            b"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/v1/x\r\ncontent-length: 0\r\n\r\n",
            "Vault sends us elsewhere (307), where a token is not taken along",
        ),
        (b"HTTP/1.1 429 Slow\r\ncontent-length: 0\r\n\r\n", "Vault asks us to be slower (429)"),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", "Vault answered transit/encrypt/catalog with 500"),
        (b"nothing of the kind\r\n\r\n", "Vault's answer was lost (RemoteProtocolError)."),
    ],
    ids=["no JSON", "no data", "no text", "too deep", "too much", "redirect", "slow down", "broken", "no HTTP"],
)
async def test_what_is_no_answer_of_vault_is_told_and_the_token_goes_nowhere_else(answer: bytes, told: str) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with listening(reply) as port:
        keys = keys_of(Vault("", "", ""), "hvs.a-token", url=f"http://127.0.0.1:{port}")
        kind, said = await refused(keys, "hvs.a-token")
    assert (issubclass(kind, KeyServiceAway), said.startswith(told)) == (True, True), said


async def test_over_tls_whoever_vouches_for_it_is_named(tmp_path: Path) -> None:
    authority, certificate = certificates.made(tmp_path, "localhost")
    standin = vaults.StandIn()
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secure.load_cert_chain(certificate)
    with vaults.serving(standin.answer) as plain, vaults.serving(standin.answer, secure=secure) as url:
        vault = Vault(plain, standin.root, standin.share)
        vault.prepare()
        keys = keys_of(vault, vault.token(), url=url, authorities=authority)
        assert await keys.unwrap(await keys.wrap(DATA_KEY, bound_to=ROW), bound_to=ROW) == DATA_KEY
        await keys.close()
        assert await refused(keys_of(vault, vault.token(), url=url)) == (
            KeyServiceRefuses,
            "Vault is not known for what it says it is: name who vouches for it in CATALOG_KEY_VAULT_CA_FILE.",
        )


def environment(world: World, vault: Vault, token: str) -> dict[str, str]:
    """The world's environment with Vault in the place of the key file."""
    others = {name: value for name, value in world.environment.items() if name != "CATALOG_KEY_FILE"}
    return others | vault.environment(token)


@pytest.mark.timeout(START_SECONDS_MAX * 4)
@pytest.mark.req("DEWRANGLE-RFC-37")
async def test_a_rotation_in_vault_is_followed_although_it_is_killed_again_and_again(
    vault: Vault, keys: VaultKeys, database: Database, fresh_world: World
) -> None:
    ids = await backends_with(database, keys, 60)
    old, new = "vault:v1:transit/catalog", "vault:v2:transit/catalog"
    assert await counts(database) == {old: 60}
    vault.rotate()
    told = environment(fresh_world, vault, vault.token())
    killed = 0
    for _ in range(10):
        before = (await counts(database)).get(new, 0)
        if killed >= 2:
            break
        process = forked.start(["catalog", "keys", "rotate"], told, fresh_world.folder / "rotate.log")

        async def moved(process: Forked = process, before: int = before) -> bool:
            return process.poll() is not None or (await counts(database)).get(new, 0) > before

        # Killed as soon as something has moved, wherever it is then.
        await eventually(moved, seconds=START_SECONDS_MAX, pause_max=0.02)
        if process.poll() is None:
            process.kill()
            killed += 1
        process.wait()
        assert await opened(database, keys, ids) == [PAIR] * 60
    assert killed >= 1

    done = await sealing.rotate(database, keys)

    assert (done.lost, await counts(database)) == ([], {new: 60})
    vault.forget_before(2)
    # The old version is of no more use.
    assert await opened(database, keys, ids) == [PAIR] * 60


async def test_a_rotation_while_vault_is_away_ends_and_takes_nothing_for_lost(
    vault: Vault, keys: VaultKeys, database: Database
) -> None:
    ids = await backends_with(database, keys, 3)
    vault.rotate()
    vault.seal()
    with pytest.raises(KeyServiceRefuses, match="unseal it"):
        await sealing.rotate(database, keys)
    vault.unseal()
    # It may go amid a rotation too, when the newest version is known already.
    vault.allow("catalog", vault.name, verbs=("encrypt",))
    with pytest.raises(KeyServiceRefuses, match="transit/decrypt/catalog"):
        await sealing.rotate(database, keys)
    vault.allow("catalog", vault.name)
    assert await sealing.rotate(database, keys) == Rotated(3, [])
    assert await opened(database, keys, ids) == [PAIR] * 3


async def test_keys_move_from_a_key_file_to_vault_and_back(
    vault: Vault, keys: VaultKeys, database: Database, fresh_world: World, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    made = wrapping.add_key(file)
    ids = await backends_with(database, LocalKeys(file), 3)
    told = environment(fresh_world, vault, vault.token())

    there = _command(["rotate", "--from-file", str(file)], told, tmp_path / "there.log")
    assert (there, await counts(database)) == (0, {"vault:v1:transit/catalog": 3})
    assert await opened(database, keys, ids) == [PAIR] * 3

    back = _command(["rotate", "--into-file", str(file)], told, tmp_path / "back.log")
    assert (back, await counts(database)) == (0, {made: 3})
    assert await opened(database, LocalKeys(file), ids) == [PAIR] * 3


def _command(words: list[str], told: dict[str, str], log: Path) -> int:
    return forked.start(["catalog", "keys", *words], told, log).wait(START_SECONDS_MAX)


async def test_on_the_command_line_vault_makes_the_keys_and_versions_are_counted(
    vault: Vault, keys: VaultKeys, database: Database, fresh_world: World, tmp_path: Path
) -> None:
    await backends_with(database, keys, 2)
    vault.rotate()
    told = environment(fresh_world, vault, vault.token())
    listed, made = tmp_path / "list.log", tmp_path / "create.log"

    assert (_command(["list", "--json"], told, listed), _command(["create"], told, made)) == (0, 5)

    assert [(one["id"], one["wraps"], one["current"]) for one in json.loads(listed.read_text())] == [
        ("vault:v2:transit/catalog", 0, True),
        ("vault:v1:transit/catalog", 2, False),
    ]
    assert "vault write -f transit/keys/catalog/rotate" in made.read_text()


@pytest.mark.timeout(START_SECONDS_MAX * 4)
async def test_while_vault_is_away_its_stores_are_answered_with_503_and_all_others_go_on(
    vault: Vault, fresh_world: World, engines_ready: dict[str, Any]
) -> None:
    world = replace(fresh_world, environment=environment(fresh_world, vault, vault.token()))
    await prepare(world, engines_ready)
    tokens = await make_tokens(world)
    minio = server(engines_ready, "minio")
    headers = {"authorization": f"Bearer {tokens['admin']}"}
    async with minio.bucket() as bucket:
        with catalog_running(world, tokens, "api") as live:
            async with httpx2.AsyncClient(base_url=live.url, headers=headers, timeout=30, trust_env=False) as client:
                made = await _connected(client, minio.wanted(bucket))
                assert (await _registered(client, "lab/soil")).status_code == 201
                vault.seal()
                # A client that is open needs its keys no more.
                open_ones = [await _registered(client, project) for project in ("lab/soil", "other/soil")]
        with catalog_running(world, tokens, "api") as live:
            async with httpx2.AsyncClient(base_url=live.url, headers=headers, timeout=30, trust_env=False) as client:
                away, default = [await _registered(client, project) for project in ("lab/soil", "other/soil")]
                refused = await client.post(
                    "/api/organizations/lab/backends", json=minio.wanted(bucket, prefix="lab/b")
                )
                vault.unseal()
                back = await _registered(client, "lab/soil")

    assert [one.status_code for one in open_ones] == [201, 201]
    assert (away.status_code, away.headers["retry-after"], default.status_code, back.status_code) == (
        503,
        "60",
        201,
        201,
    ), away.text
    why = "The store of these bytes cannot be used now: the service that opens its keys is away."
    assert problem_of(away)["detail"] == why
    assert (refused.status_code, problem_of(refused)["detail"]) == (
        503,
        "Vault is sealed or not ready (503): unseal it.",
    )
    assert made["has_keys"] is True
    log = live.log("api")
    assert '"Vault is sealed or not ready (503): unseal it."' in log or "Vault is sealed" in log
    for secret in (minio.secret_key, world.environment["CATALOG_KEY_VAULT_TOKEN"]):
        assert secret not in log


async def _connected(client: httpx2.AsyncClient, wanted: dict[str, Any]) -> dict[str, Any]:
    for organization in ("lab", "other"):
        assert (await client.post("/api/organizations", json={"name": organization})).status_code == 201
    made = await client.post("/api/organizations/lab/backends", json=wanted)
    assert made.status_code == 201, made.text
    chosen = {"document": made.json()["id"], "data": None}
    assert (await client.put("/api/organizations/lab/storages", json=chosen)).status_code == 200
    shown: dict[str, Any] = made.json()
    return shown


async def _registered(client: httpx2.AsyncClient, project: str) -> httpx2.Response:
    file = {"path": "soil.csv", "size": 3, "sha256": "0" * 64, "media_type": "text/csv"}
    body = plain(project, title=f"Soil moisture {uuid4()}", files=[file])
    return await client.post("/api/objects", json=body)

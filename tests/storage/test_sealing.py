"""Keys of organizations' stores lie sealed, each bound to its row, and the keys that wrap them can be replaced."""

# ruff: noqa: ASYNC240 - a key file has one line.

import asyncio
import stat
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from catalog.access import principals
from catalog.access.audience import Role
from catalog.database import Database
from catalog.storage import sealing, wrapping
from catalog.storage.sealing import Pair, Rotated
from catalog.storage.wrapping import KeyMissing, KeyService, LocalKeys, NoKeyService, Wrapped
from tests import forked
from tests.conftest import START_SECONDS_MAX, World, eventually
from tests.forked import Forked

# So many that one who looks all the time sees them amid being moved.
BACKENDS = 300
PAIR = Pair("an-access-key", "a-secret-key-of-somebody")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A key file with one key."""
    path = tmp_path / "keys"
    wrapping.add_key(path)
    return path


@pytest.fixture
async def database(fresh_world: World) -> AsyncGenerator[Database]:
    """A database of this test's own."""
    database = Database(str(fresh_world.settings.database_url), connections=2)
    yield database
    await database.close()


async def backends_with(database: Database, keys: KeyService, count: int) -> list[UUID]:
    """Make backends with sealed pairs, straight in the database."""
    ids = [uuid4() for _ in range(count)]
    async with database.transaction() as session:
        caller, _ = await principals.create_token(session, name="somebody", role=Role.ADMIN)
        await session.execute(sa.text("INSERT INTO organization (name) VALUES ('lab') ON CONFLICT DO NOTHING"))
    for backend_id in ids:
        sealed = await sealing.seal(PAIR, backend_id, keys)
        async with database.transaction() as session:
            await session.execute(
                sa.text(
                    "INSERT INTO storage_backend (id, organization, name, endpoint, region, addressing, bucket, prefix,"
                    " root, document, data, health, checks, created_by, changed_by) VALUES (:id, 'lab', CAST(:id AS"
                    " text), 'https://s3.example.org', 'x', 'path', 'bucket', CAST(:id AS text), 'catalog', true, true,"
                    " 'healthy', '[]', :by, :by)"
                ),
                {"id": backend_id, "by": caller.id},
            )
            await sealing.put(session, backend_id, sealed)
    return ids


async def opened(database: Database, keys: KeyService, ids: list[UUID]) -> list[Pair]:
    pairs = []
    for backend_id in ids:
        async with database.transaction() as session:
            sealed = await sealing.find(session, backend_id)
        assert sealed is not None
        pairs.append(await sealing.unseal(sealed, backend_id, keys))
    return pairs


async def counts(database: Database) -> dict[str, int]:
    async with database.transaction() as session:
        return await sealing.count_by_key(session)


async def test_what_was_sealed_opens_for_its_row_alone(file: Path) -> None:
    keys = LocalKeys(file)
    here, there = uuid4(), uuid4()
    sealed = await sealing.seal(PAIR, here, keys)

    assert await sealing.unseal(sealed, here, keys) == PAIR
    for text in (sealed.text, sealed.data_key.text):
        assert [one for one in ("an-access-key", "a-secret") if one.encode() in text] == []
    with pytest.raises(KeyMissing):
        await sealing.unseal(sealed, there, keys)
    again = await sealing.seal(PAIR, here, keys)
    assert (again.text != sealed.text, again.data_key.text != sealed.data_key.text) == (True, True)
    # One row's pair does not open under another row's data key, nor when a bit of it is another.
    for spoilt in (
        sealing.Sealed(again.data_key, sealed.text),
        sealing.Sealed(sealed.data_key, sealed.text[:-1] + bytes([sealed.text[-1] ^ 1])),
        sealing.Sealed(Wrapped(sealed.data_key.key_id, b""), sealed.text),
    ):
        with pytest.raises(KeyMissing):
            await sealing.unseal(spoilt, here, keys)


async def test_nothing_that_is_printed_shows_a_key(file: Path) -> None:
    keys = LocalKeys(file)
    sealed = await sealing.seal(PAIR, uuid4(), keys)
    text = file.read_text()
    for shown in (repr(keys), repr(PAIR), repr(sealed), str(sealed.data_key)):
        assert [one for one in ("an-access-key", "a-secret", text.split()[1]) if one in shown] == []


async def test_a_new_key_wraps_and_the_old_ones_go_on_opening_without_a_restart(file: Path) -> None:
    keys = LocalKeys(file)
    backend_id = uuid4()
    first = await sealing.seal(PAIR, backend_id, keys)
    made = wrapping.add_key(file)
    second = await sealing.seal(PAIR, backend_id, LocalKeys(file))

    # This process has read the file before the key came, and reads it again for the sake of one it does not know.
    assert [await sealing.unseal(one, backend_id, keys) for one in (first, second)] == [PAIR, PAIR]
    assert (await keys.current(), second.data_key.key_id, first.data_key.key_id == made) == (made, made, False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_keys_made_at_once_are_all_kept(file: Path) -> None:
    made = await asyncio.gather(*(asyncio.to_thread(wrapping.add_key, file) for _ in range(8)))
    assert set(made) <= set(wrapping.read_file(file))
    assert len(wrapping.read_file(file)) == 9


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no key"),
        ("# only a note\n", "has no key"),
        ("k1 short\n", "Line 1 of the key file"),
        ("k1 " + "A" * 43 + "=\nk1 " + "B" * 43 + "=\n", "Line 2 of the key file"),
        ("K1 " + "A" * 43 + "=\n", "Line 1 of the key file"),
    ],
)
def test_a_key_file_that_is_none_is_refused_and_not_shown(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(KeyMissing) as refused:
        wrapping.read_file(path)
    assert (told in refused.value.detail, "AAAA" in refused.value.detail) == (True, False)


async def test_without_a_key_file_no_secret_is_taken() -> None:
    with pytest.raises(NoKeyService):
        await sealing.seal(PAIR, uuid4(), LocalKeys(None))
    with pytest.raises(KeyMissing):
        await sealing.seal(PAIR, uuid4(), LocalKeys(Path("/nowhere/keys")))


@pytest.mark.req("DEWRANGLE-RFC-37")
async def test_a_rotation_wraps_everything_anew_and_what_a_key_wrapped_is_read_all_the_time(
    file: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "BATCH_ROWS", 3)
    keys = LocalKeys(file)
    old = await keys.current()
    ids = await backends_with(database, keys, 8)
    new = wrapping.add_key(file)
    assert (await counts(database), await opened(database, keys, ids)) == ({old: 8}, [PAIR] * 8)

    assert await sealing.rotate(database, keys) == Rotated(8, [])

    assert await counts(database) == {new: 8}
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if line.startswith(new)))
    # The old key is of no more use.
    assert await opened(database, LocalKeys(file), ids) == [PAIR] * 8
    assert await sealing.rotate(database, LocalKeys(file)) == Rotated(0, [])


async def test_what_no_key_opens_is_named_and_holds_up_nothing_else(file: Path, database: Database) -> None:
    keys = LocalKeys(file)
    (lost,) = await backends_with(database, keys, 1)
    file.unlink()
    wrapping.add_key(file)
    found = await backends_with(database, LocalKeys(file), 2)
    new = wrapping.add_key(file)

    assert await sealing.rotate(database, LocalKeys(file)) == Rotated(2, [lost])

    assert (await counts(database))[new] == 2
    assert await opened(database, LocalKeys(file), found) == [PAIR, PAIR]


async def test_keys_that_were_set_anew_during_a_rotation_stay(file: Path, database: Database) -> None:
    keys = LocalKeys(file)
    (backend_id,) = await backends_with(database, keys, 1)
    async with database.transaction() as session:
        row = (await session.execute(sa.text("SELECT * FROM backend_secret"))).one()
    other = Pair("another", "secret-altogether")
    wrapping.add_key(file)
    async with database.transaction() as session:
        await sealing.put(session, backend_id, await sealing.seal(other, backend_id, keys))

    moved = await sealing._move(database, row, Wrapped("k0", b"late"))  # noqa: SLF001 - the moment between two reads.

    assert (moved, await opened(database, keys, [backend_id])) == (0, [other])


@pytest.mark.timeout(START_SECONDS_MAX * 4)
@pytest.mark.req("DEWRANGLE-RFC-37")
async def test_a_rotation_that_is_killed_again_and_again_ends_with_everything_wrapped_anew(
    file: Path, database: Database, fresh_world: World
) -> None:
    keys = LocalKeys(file)
    ids = await backends_with(database, keys, BACKENDS)
    new = wrapping.add_key(file)
    environment: dict[str, Any] = {**fresh_world.environment, "CATALOG_KEY_FILE": str(file)}
    killed = 0
    for _ in range(10):
        before = (await counts(database)).get(new, 0)
        if killed >= 2:
            break
        process = forked.start(["catalog", "keys", "rotate"], environment, fresh_world.folder / "rotate.log")

        async def moved(process: Forked = process, before: int = before) -> bool:
            return process.poll() is not None or (await counts(database)).get(new, 0) > before

        # Killed as soon as something has moved, wherever it is then.
        await eventually(moved, seconds=START_SECONDS_MAX, pause_max=0.02)
        if process.poll() is None:
            process.kill()
            killed += 1
        process.wait()
        assert await opened(database, keys, ids) == [PAIR] * BACKENDS
    assert killed >= 1

    done = await sealing.rotate(database, keys)

    assert (done.lost, await counts(database)) == ([], {new: BACKENDS})
    assert await opened(database, keys, ids) == [PAIR] * BACKENDS

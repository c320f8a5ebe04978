"""Reads find their way back as soon as the database does."""

import asyncio
import time

import psycopg
import pytest

from catalog import database as database_room
from catalog.database import Database
from tests.conftest import eventually
from tests.faults.conftest import Relayed

# A pool that waits ever longer tries again after 1, 3, 7, 15 … seconds; this lies early in a long pause.
AWAY_SECONDS = 3.5
BACK_SECONDS_MAX = 3


async def test_a_read_is_answered_at_once_when_the_database_is_back(
    relayed: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_room, "READ_WAIT_SECONDS_MAX", 0.3)
    database = Database(str(relayed.world.settings.database_url))

    async def answered() -> bool:
        try:
            return await database.rows("SELECT 1", {}) == [(1,)]
        except psycopg.OperationalError:
            return False

    await eventually(answered)
    await relayed.database.close()
    ends = time.monotonic() + AWAY_SECONDS
    during = []
    while time.monotonic() < ends:
        during.append(await answered())
    await relayed.database.open()

    await eventually(answered, seconds=BACK_SECONDS_MAX)
    assert not any(during)
    await database.close()


async def test_a_read_outlives_the_end_of_every_connection_of_the_pool(relayed: Relayed) -> None:
    database = Database(str(relayed.direct.settings.database_url), connections=10)
    await asyncio.gather(*(database.rows("SELECT pg_sleep(2)", {}) for _ in range(5)))
    admin, name = str(relayed.direct.settings.database_url).rsplit("/", 1)
    with psycopg.connect(f"{admin}/postgres", autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name]
        ).fetchall()

    answers = [await database.rows("SELECT 1", {}) for _ in range(5)]

    await database.close()
    assert (len(ended), answers) == (5, [[(1,)]] * 5)

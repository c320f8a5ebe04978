"""A database that nothing but these tests works on, and a topic of each test's own."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from catalog import queue
from catalog.database import Database
from catalog.queue import LEASE, Claim
from tests.conftest import eventually, make_world

# One server works for all of the run's workers: enough for the tests that let many write at once.
CONNECTIONS = 24


@dataclass(frozen=True)
class Topic:
    """One topic, with each act of the queue in a transaction of its own."""

    database: Database
    name: str

    async def put(self, *subjects: str, after: timedelta = timedelta()) -> None:
        """Note subjects down."""
        async with self.database.transaction() as session:
            await queue.put(session, self.name, subjects, after=after)

    async def claim(self, most: int = 100, lease: timedelta = LEASE) -> list[Claim]:
        """Take what is due."""
        async with self.database.transaction() as session:
            return await queue.claim(session, self.name, most=most, lease=lease)

    async def claimed(self, most: int = 100, lease: timedelta = LEASE) -> list[str]:
        """Take what is due, and return its subjects in one order."""
        return sorted(one.subject for one in await self.claim(most, lease))

    async def finish(self, claims: list[Claim]) -> None:
        """Remove what is done."""
        async with self.database.transaction() as session:
            await queue.finish(session, claims)

    async def park(self, one: Claim, reason: str) -> None:
        """Set an entry aside."""
        async with self.database.transaction() as session:
            await queue.park(session, one, reason=reason)

    async def postpone(self, one: Claim, reason: str, after: timedelta | None = None) -> None:
        """Put an entry off."""
        async with self.database.transaction() as session:
            await queue.postpone(session, one, reason=reason, after=after)

    async def again(self, one: Claim, after: timedelta, subject: str | None = None) -> None:
        """End a turn and note the next one."""
        async with self.database.transaction() as session:
            await queue.again(session, one, self.name, after=after, subject=subject)

    async def release(self, claims: list[Claim]) -> None:
        """Give entries back."""
        async with self.database.transaction() as session:
            await queue.release(session, claims)

    async def age(self, by: timedelta) -> None:
        """Let as much time pass for every entry of the topic as if the clock were put forward."""
        self.database.learned.clear()
        async with self.database.transaction() as session:
            await session.execute(
                sa.text("UPDATE queue SET ready_at = ready_at - :by WHERE topic = :topic").bindparams(
                    sa.bindparam("by", by, type_=sa.Interval), topic=self.name
                )
            )

    async def until_somebody_waits(self, least: int = 1) -> None:
        """Return when statements on this database wait for a lock, so many at least."""

        async def waiting() -> bool:
            statement = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            return len(await self.database.rows(statement, {})) >= least

        await eventually(waiting)

    async def rows(self) -> list[dict[str, Any]]:
        """Return the entries as they stand; `ready_in` is to ten seconds, however busy the machine is."""
        statement = """
            SELECT subject, touched, attempts, parked_at IS NOT NULL AS parked, reason,
            round(extract(epoch FROM ready_at - now()), -1)::integer AS ready_in
            FROM queue WHERE topic = :topic ORDER BY subject
            """
        async with self.database.transaction() as session:
            found = await session.execute(sa.text(statement), {"topic": self.name})
            return [dict(row) for row in found.mappings()]


class Abandoned(Exception):
    """Whoever was writing gives up."""


@asynccontextmanager
async def abandoned(database: Database) -> AsyncGenerator[AsyncSession]:
    """A transaction that is rolled back at the end of its block."""
    with suppress(Abandoned):
        async with database.transaction() as session:
            yield session
            raise Abandoned


@pytest.fixture(scope="session")
async def database(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Database]:
    """A database on which no API and no indexer works."""
    world = make_world(engines_ready, tmp_path_factory.mktemp("queue"))
    opened = Database(str(world.settings.database_url), connections=CONNECTIONS)
    async with opened.transaction() as session:
        # Noise: nobody who asks for another topic may ever see it.
        await queue.put(session, "noise", ["bystander"])
    yield opened
    async with opened.transaction() as session:
        assert [one.subject for one in await queue.claim(session, "noise", most=2)] == ["bystander"]
    await opened.close()


@pytest.fixture
def topic(database: Database) -> Topic:
    """A topic that no other test knows."""
    return Topic(database, f"topic-{uuid4().hex[:12]}")

"""How backends are: what trying them found, what of it counts, and when each is tried next.

Backends are named as locations name them: by their ids, and `default` for the catalog's own store. Runs in the
caller's transaction, and no network call happens here.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog import queue
from catalog.database import now, timestamp_column
from catalog.storage import backends, capabilities
from catalog.storage.backends import Health, StorageBackend, Tried
from catalog.storage.capabilities import Capabilities
from catalog.storage.keys import OWN
from catalog.storage.probing import Outcome, failures

# What is queued: try a backend.
PROBE = "probe"

# A store that is restarted, or a line that is cut for a moment, is back within minutes, and nobody has to get up for
# it: what failed is tried twice more, five minutes apart, and counts when the last of the three fails as well.
TRIED_AGAIN_AFTER = timedelta(minutes=5)
COUNTS_AFTER = 2 * TRIED_AGAIN_AFTER
# Clocks and queues are not exact to the second.
_SLACK = timedelta(seconds=10)
# While it fails, whoever mends it wants to know that it works again before the next day.
TRIED_WHILE_FAILING = timedelta(hours=1)
# How long it is known what was found, and the most that is known of one backend.
KEPT = timedelta(days=90)
KEPT_MAX = 1_000
SHOWN_MAX = 200


class BackendHealth(SQLModel, table=True):
    """How one backend is: the state that counts, and what speaks against it."""

    __tablename__ = "backend_health"

    backend: str = Field(sa_type=sa.Text, primary_key=True)
    state: str = Field(sa_type=sa.Text)
    since: datetime = Field(sa_column=timestamp_column())
    # It has failed since then, which does not count yet.
    suspected_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    checked_at: datetime = Field(sa_column=timestamp_column())
    faults: list[dict[str, Any]] = Field(sa_column=sa.Column(JSONB, nullable=False))
    # As far as it was ever found.
    capabilities: dict[str, Any] | None = Field(default=None, sa_column=sa.Column(JSONB(none_as_null=True)))
    # What the store's own counter of events that it could not tell was at the last look.
    events_lost: int | None = Field(default=None, sa_type=sa.BigInteger)


class BackendProbe(SQLModel, table=True):
    """What was found when a backend was tried once."""

    __tablename__ = "backend_probe"
    __table_args__ = (sa.Index("ix_backend_probe_backend_id", "backend", "id"),)

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, sa.Identity(), primary_key=True))
    backend: str = Field(sa_type=sa.Text)
    at: datetime = Field(sa_column=timestamp_column())
    milliseconds: int = Field(sa_type=sa.Integer)
    faults: list[dict[str, Any]] = Field(sa_column=sa.Column(JSONB, nullable=False))


_health = SQLModel.metadata.tables[BackendHealth.__tablename__]
_probes = SQLModel.metadata.tables[BackendProbe.__tablename__]
_backends = SQLModel.metadata.tables[StorageBackend.__tablename__]
_queue = SQLModel.metadata.tables["queue"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a backend is: in which state, since when, and since when something speaks against it that is not sure."""

    state: Health
    since: datetime
    suspected_at: datetime | None = None

    def after(self, found: Health, at: datetime) -> "Standing":
        """Return how it is once it was tried again: one success proves that it works, one failure proves little."""
        if found is Health.HEALTHY:
            return replace(self, suspected_at=None) if self.state is found else Standing(found, at)
        if self.state is Health.FAILING:
            return self
        suspected_at = self.suspected_at or at
        if at - suspected_at < COUNTS_AFTER - _SLACK:
            return replace(self, suspected_at=suspected_at)
        # Since then nothing has worked.
        return Standing(Health.FAILING, suspected_at)


@dataclass(frozen=True, slots=True)
class Turn:
    """That a backend changed from one state to the other, and why."""

    backend: str
    state: Health
    since: datetime
    faults: Sequence[Tried]


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found once."""

    at: datetime
    milliseconds: int
    faults: Sequence[Tried]


@dataclass(frozen=True, slots=True)
class HealthView:
    """How a backend is, and when it was tried last; None where it was not tried yet."""

    standing: Standing
    checked_at: datetime
    faults: Sequence[Tried]
    capabilities: Capabilities


def wait_until_next(backend: str, standing: Standing, every: timedelta, moment: datetime) -> timedelta:
    """Return how long to wait before a backend is tried again.

    Each has a time of its own within `every`, which its name decides: many are spread evenly, and each is tried at the
    same time of the day.
    """
    if standing.state is Health.FAILING:
        return min(TRIED_WHILE_FAILING, every)
    if standing.suspected_at is not None:
        return min(TRIED_AGAIN_AFTER, every)
    step = every.total_seconds()
    own = int.from_bytes(hashlib.sha256(backend.encode()).digest()[:8]) / 2**64 * step
    wait = (own - moment.timestamp()) % step
    # Just now it was tried.
    return timedelta(seconds=wait if wait > step / 100 else wait + step)


async def note(
    session: AsyncSession, backend: str, outcome: Outcome, *, milliseconds: int
) -> tuple[Standing, Turn | None]:
    """Keep what was found; return how the backend is now, and the turn where its state is another one than before."""
    tried = outcome.tried
    at, faults = now(), failures(tried)
    told = [{"action": one.action, "reason": one.reason} for one in faults]
    found = Health.FAILING if faults else Health.HEALTHY
    if backend != OWN:
        # First of all, as whoever changes the backend or removes it.
        await backends.note_health(session, UUID(backend), tried)
    first = insert(_health).values(backend=backend, state=Health.HEALTHY.value, since=at, checked_at=at, faults=[])
    await session.execute(first.on_conflict_do_nothing(index_elements=["backend"]))
    mine = _health.c.backend == backend
    row = (await session.execute(sa.select(_health).where(mine).with_for_update())).one()
    before = _standing(row)
    standing = before.after(found, at)
    values = {"state": standing.state.value, "since": standing.since, "suspected_at": standing.suspected_at}
    can = outcome.capabilities.over(capabilities.from_row(row.capabilities))
    await session.execute(_health.update().where(mine).values(checked_at=at, faults=told, **values))
    if can != Capabilities():
        await session.execute(_health.update().where(mine).values(capabilities=can.to_row()))
    await session.execute(_probes.insert().values(backend=backend, at=at, milliseconds=milliseconds, faults=told))
    turned = standing.state is not before.state
    return standing, Turn(backend, standing.state, standing.since, faults) if turned else None


def _standing(row: Any) -> Standing:
    return Standing(Health(row.state), row.since, row.suspected_at)


async def of(session: AsyncSession, names: Collection[str]) -> dict[str, HealthView]:
    """Return how these backends are, without those that were not tried since they were connected."""
    rows = await session.execute(sa.select(_health).where(_health.c.backend.in_(list(names))))
    return {row.backend: _view(row) for row in rows}


def _view(row: Any) -> HealthView:
    return HealthView(_standing(row), row.checked_at, _tried(row.faults), capabilities.from_row(row.capabilities))


async def lost_since(session: AsyncSession, backend: str, counted: int) -> int:
    """Return by how much a store's counter of lost events has risen since it was noted; one that fell began anew."""
    kept = await session.execute(sa.select(_health.c.events_lost).where(_health.c.backend == backend).with_for_update())
    before: int = kept.scalar_one_or_none() or 0
    return counted - before if counted >= before else counted


async def note_lost(session: AsyncSession, backend: str, counted: int) -> None:
    """Keep what a store's counter of lost events is."""
    await session.execute(_health.update().where(_health.c.backend == backend).values(events_lost=counted))


async def capabilities_of(session: AsyncSession, backend: str) -> Capabilities:
    """Return what was found that a backend's store can do."""
    kept = await session.execute(sa.select(_health.c.capabilities).where(_health.c.backend == backend))
    return capabilities.from_row(kept.scalar_one_or_none())


async def history(session: AsyncSession, backend: str, *, most: int) -> list[Probe]:
    """Return what was found, newest first."""
    rows = await session.execute(
        sa.select(_probes).where(_probes.c.backend == backend).order_by(_probes.c.id.desc()).limit(most)
    )
    return [Probe(row.at, row.milliseconds, _tried(row.faults)) for row in rows]


def _tried(faults: Sequence[dict[str, Any]]) -> list[Tried]:
    return [Tried(one["action"], one["reason"]) for one in faults]


async def counts(session: AsyncSession) -> dict[Health, int]:
    """Return how many backends of organizations are in which state; those that were detached are in none."""
    state = sa.func.coalesce(_health.c.state, Health.HEALTHY.value)
    rows = await session.execute(
        sa.select(state, sa.func.count())
        .select_from(_backends.outerjoin(_health, _health.c.backend == sa.cast(_backends.c.id, sa.Text)))
        .where(_backends.c.detached_at.is_(None))
        .group_by(state)
    )
    found = {Health(name): count for name, count in rows}
    return {one: found.get(one, 0) for one in Health}


async def schedule(session: AsyncSession, every: timedelta) -> None:
    """Queue every backend that is not queued, the catalog's own store too, each for a time of its own.

    One of which nobody knows what it can do is due at once.
    """
    rows = await session.execute(
        sa.select(sa.cast(_backends.c.id, sa.Text)).where(_backends.c.detached_at.is_(None)).order_by(_backends.c.id)
    )
    wanted = [OWN, *rows.scalars()]
    waiting = await session.execute(
        sa.select(_queue.c.subject).where(
            # What was to wait for longer than is wanted now, or was set aside, is not waiting for its turn.
            _queue.c.topic == PROBE,
            _queue.c.parked_at.is_(None),
            _queue.c.ready_at <= sa.func.now() + 2 * every,
        )
    )
    known = set(waiting.scalars())
    found = set(
        (await session.execute(sa.select(_health.c.backend).where(_health.c.capabilities.is_not(None)))).scalars()
    )
    moment = datetime.now(UTC)
    for name in wanted:
        if name not in found:
            await queue.put(session, PROBE, [name])
        elif name not in known:
            after = wait_until_next(name, Standing(Health.HEALTHY, moment), every, moment)
            await queue.put(session, PROBE, [name], after=after)


async def forget(session: AsyncSession, backend: str) -> None:
    """Forget what was found of a backend that is not there any more."""
    await session.execute(_health.delete().where(_health.c.backend == backend))
    await session.execute(_probes.delete().where(_probes.c.backend == backend))


async def forget_old(session: AsyncSession) -> None:
    """Forget what was found long ago, and of each backend what is more than is kept."""
    await session.execute(_probes.delete().where(_probes.c.at < sa.func.now() - KEPT))
    place = sa.func.row_number().over(partition_by=_probes.c.backend, order_by=_probes.c.id.desc()).label("place")
    ranked = sa.select(_probes.c.id, place).subquery()
    await session.execute(
        _probes.delete().where(_probes.c.id.in_(sa.select(ranked.c.id).where(ranked.c.place > KEPT_MAX)))
    )

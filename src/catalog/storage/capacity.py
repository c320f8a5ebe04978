"""How much a store may take, how much lies in it, and whether more fits; how it grows, and when it will be full.

What lies in a store is told by a table that the database itself keeps (migration 0032): every change of uploads and of
discovered files adds a row, and their sum is exact at any moment. Runs in the caller's transaction.
"""

import math
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog.database import now
from catalog.errors import Fault, NoSpace
from catalog.storage.backends import StorageBackend
from catalog.storage.keys import OWN

WATERMARK_PERCENT = 85
RESERVED_GB = 100
GB = 10**9
# Of a store that is small, the reserve is no more than this part: a laptop's disk takes something too.
RESERVED_PART_MAX = 4
# An exabyte: sums of such numbers fit into 64 bits.
CAPACITY_BYTES_MAX = 10**18
RESERVED_GB_MAX = CAPACITY_BYTES_MAX // GB
# Whoever asks for a thousandth of what is left, or less, waits for nobody: see `must_fit`.
ROOMY = 1_000
# Reading so many rows takes a millisecond; beyond, they are added up to one for each store.
ROWS_FOLDED_FROM = 1_000
# How a store grows is told by so many days, of those that are kept.
GROWTH_DAYS = 30
DAYS_KEPT = 400
# What would take longer is no forecast.
FORECAST_DAYS_MAX = 36_500


class BackendUse(SQLModel, table=True):
    """By how much what lies in a store has grown, or shrunk; written by triggers, and added up now and then."""

    __tablename__ = "backend_use"

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, sa.Identity(), primary_key=True))
    backend: str = Field(sa_type=sa.Text, index=True)
    # What lay there when it was looked at last, and what open tickets may still bring.
    stored: int = Field(sa_type=sa.BigInteger)
    awaited: int = Field(sa_type=sa.BigInteger)


class BackendDay(SQLModel, table=True):
    """How much lay in a store at the end of a day, in UTC; of today, up to now."""

    __tablename__ = "backend_day"

    backend: str = Field(sa_type=sa.Text, primary_key=True)
    day: date = Field(sa_type=sa.Date, primary_key=True)
    stored: int = Field(sa_type=sa.BigInteger)


_uses = SQLModel.metadata.tables[BackendUse.__tablename__]
_days = SQLModel.metadata.tables[BackendDay.__tablename__]
_backends = SQLModel.metadata.tables[StorageBackend.__tablename__]


class StoreFull(NoSpace):
    """The store has no room for so many bytes."""


@dataclass(frozen=True, slots=True)
class Held:
    """How many bytes lie in a store, and how many open tickets may still bring."""

    stored: int = 0
    awaited: int = 0

    @property
    def total(self) -> int:
        """What counts against the store's limit."""
        return self.stored + self.awaited


@dataclass(frozen=True, slots=True)
class Rule:
    """What a store can hold, None where nobody knows, and how much of that is not for uploads."""

    capacity: int | None
    watermark_percent: int = WATERMARK_PERCENT
    reserved_gb: int = RESERVED_GB

    @property
    def reserved(self) -> int:
        """The bytes that stay free: what is reserved, but of a small store a quarter at most."""
        told = self.reserved_gb * GB
        return told if self.capacity is None else min(told, self.capacity // RESERVED_PART_MAX)

    @property
    def limit(self) -> int | None:
        """The most bytes that uploads may fill: up to the watermark, and never into the reserve."""
        if self.capacity is None:
            return None
        return min(self.capacity * self.watermark_percent // 100, self.capacity - self.reserved)


@dataclass(frozen=True, slots=True)
class Told:
    """What whoever runs the catalog told: of every store the watermark and the reserve, of its own what it can hold."""

    watermark_percent: int = WATERMARK_PERCENT
    reserved_gb: int = RESERVED_GB
    own_capacity: int | None = None
    # A folder on the disk that the own store has, where that is a disk of this machine.
    own_disk: Path | None = None

    def own(self, stored: int) -> Rule:
        """Return the rule of the catalog's own store, in which so much lies.

        Of a disk that is shared with others, what the store holds and what is free is what it can hold.
        """
        capacity = self.own_capacity
        if capacity is None and self.own_disk is not None:
            capacity = stored + _free(self.own_disk)
        return Rule(capacity, self.watermark_percent, self.reserved_gb)

    def of(self, capacity: int | None, watermark_percent: int | None, reserved_gb: int | None) -> Rule:
        """Return the rule of an organization's store, by what its admins told of it."""
        return Rule(
            capacity,
            self.watermark_percent if watermark_percent is None else watermark_percent,
            self.reserved_gb if reserved_gb is None else reserved_gb,
        )


# Where nobody told anything.
AS_EVERYWHERE = Told()


def _free(folder: Path) -> int:
    # The folder may not have been made yet; its disk is there.
    standing = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
    return shutil.disk_usage(standing).free


@dataclass(frozen=True, slots=True)
class Forecast:
    """By how much a store grows a day, over how many days that was seen, and on which day it will be full."""

    days: int
    growth_per_day: int
    full_on: date | None


@dataclass(frozen=True, slots=True)
class CapacityView:
    """How full a store is; `forecast` is None until it was seen on two days."""

    rule: Rule
    use: Held
    forecast: Forecast | None


def forecast_of(seen: Sequence[tuple[date, int]], use: Held, limit: int | None) -> Forecast | None:
    """Return how a store grows by what was seen on some days, the oldest first, and when it reaches its limit so."""
    if not seen or (days := (seen[-1][0] - seen[0][0]).days) < 1:
        return None
    (_, first), (today, last) = seen[0], seen[-1]
    growth = (last - first) / days
    return Forecast(days, round(growth), _full_on(today, growth, use.total, limit))


def _full_on(today: date, growth: float, used: int, limit: int | None) -> date | None:
    if limit is None:
        return None
    if used >= limit:
        return today
    if growth <= 0 or (limit - used) / growth > FORECAST_DAYS_MAX:
        return None
    return today + timedelta(days=math.ceil((limit - used) / growth))


async def must_fit(session: AsyncSession, backend: str, asked: int, told: Told, *, at: str) -> None:
    """Make sure that so many bytes more fit into a store; `at` is the place in the request that asks.

    Raises StoreFull with the figures. A store of which nobody knows what it can hold takes everything, and nothing is
    read. Who asks for little of what is left waits for nobody: a hundred of them in one moment may together go beyond
    the limit by a tenth of what was left then, which the reserve is for. Who asks for more waits for others who do.
    """
    name, rule = OWN, None
    if backend == OWN:
        if told.own_capacity is None and told.own_disk is None:
            return
    else:
        found = await session.execute(
            sa.select(
                _backends.c.name, _backends.c.capacity_bytes, _backends.c.watermark_percent, _backends.c.reserved_gb
            ).where(_backends.c.id == UUID(backend))
        )
        name, *limits = found.one()
        rule = told.of(*limits)
        if rule.capacity is None:
            return
    use = await use_of(session, backend)
    rule = rule or told.own(use.stored)
    limit = rule.limit or 0
    if use.total + ROOMY * asked > limit:
        lock = sa.func.hashtextextended(f"room in {backend}", 0)
        await session.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))
        # A statement of its own sees what others have committed while this one waited for them.
        use = await use_of(session, backend)
        if use.total + asked > limit:
            raise _refusal(name, rule, use, asked, at)


def _refusal(name: str, rule: Rule, use: Held, asked: int, at: str) -> StoreFull:
    told = (
        f"the store {name!r} can hold {rule.capacity or 0:,} bytes and takes uploads up to {rule.limit or 0:,} (its "
        f"watermark is {rule.watermark_percent} %, and {rule.reserved:,} stay reserved); {use.stored:,} lie there and "
        f"{use.awaited:,} more are on their way; this asks for {asked:,}"
    )
    whom = "whoever runs the catalog" if name == OWN else "an admin of the organization"
    mend = f"ask {whom} to make room, to raise the store's limits, or to choose another one; tickets then work at once"
    return StoreFull(
        f"There is no room: {told}. {mend[0].upper()}{mend[1:]}. Objects without files are still registered.",
        faults=[Fault(at, told, mend)],
    )


_USED = sa.text(
    """
    SELECT backend, sum(stored)::bigint AS stored, sum(awaited)::bigint AS awaited, count(*) AS rows
    FROM backend_use WHERE CAST(:backends AS text[]) IS NULL OR backend = ANY(CAST(:backends AS text[]))
    GROUP BY backend
    """
)
_FOLD = sa.text(
    """
    WITH gone AS (
        DELETE FROM backend_use WHERE id IN (
            SELECT id FROM backend_use WHERE backend IN (
                SELECT backend FROM backend_use
                WHERE CAST(:backend AS text) IS NULL OR backend = CAST(:backend AS text)
                GROUP BY backend HAVING count(*) > 1
            ) FOR UPDATE SKIP LOCKED
        ) RETURNING backend, stored, awaited
    )
    INSERT INTO backend_use (backend, stored, awaited)
    SELECT backend, sum(stored), sum(awaited) FROM gone GROUP BY backend HAVING sum(stored) <> 0 OR sum(awaited) <> 0
    """
)
_DAY = sa.text(
    """
    INSERT INTO backend_day (backend, day, stored)
    SELECT named.backend, (now() AT TIME ZONE 'UTC')::date, coalesce(sum(backend_use.stored), 0)::bigint
    FROM (SELECT 'default' AS backend UNION ALL SELECT id::text FROM storage_backend WHERE detached_at IS NULL) AS named
    LEFT JOIN backend_use ON backend_use.backend = named.backend GROUP BY named.backend
    ON CONFLICT (backend, day) DO UPDATE SET stored = excluded.stored
    """
)


async def use_of(session: AsyncSession, backend: str) -> Held:
    """Return what lies in a store."""
    row = (await session.execute(_USED, {"backends": [backend]})).one_or_none()
    if row is None:
        return Held()
    if row.rows > ROWS_FOLDED_FROM:
        await fold(session, backend)
    return Held(row.stored, row.awaited)


async def uses(session: AsyncSession, backends: Collection[str]) -> dict[str, Held]:
    """Return what lies in these stores."""
    found = {row.backend: Held(row.stored, row.awaited) for row in await session.execute(_USED, _named(backends))}
    return {one: found.get(one, Held()) for one in backends}


def _named(backends: Collection[str]) -> dict[str, Any]:
    return {"backends": list(backends)}


async def fold(session: AsyncSession, backend: str | None = None) -> None:
    """Make one row of what lies in a store, or in each; the sums stay what they are."""
    await session.execute(_FOLD, {"backend": backend})


async def note_day(session: AsyncSession) -> None:
    """Keep how much lies in every store today, and forget what is too old to tell anything."""
    await session.execute(_DAY)
    await session.execute(_days.delete().where(_days.c.day < sa.func.current_date() - DAYS_KEPT))


async def forget(session: AsyncSession, backend: str) -> None:
    """Forget how a store that is not there any more has grown."""
    await session.execute(_days.delete().where(_days.c.backend == backend))


async def views(session: AsyncSession, rules: Mapping[str, Rule | None], told: Told) -> dict[str, CapacityView]:
    """Return how full these stores are, each by its rule; None is the catalog's own."""
    used = await uses(session, list(rules))
    since = now().date() - timedelta(days=GROWTH_DAYS)
    rows = await session.execute(
        sa.select(_days).where(_days.c.backend.in_(list(rules)), _days.c.day >= since).order_by(_days.c.day)
    )
    seen: dict[str, list[tuple[date, int]]] = {}
    for row in rows:
        seen.setdefault(row.backend, []).append((row.day, row.stored))
    found = {}
    for backend, ruled in rules.items():
        use = used[backend]
        rule = ruled or told.own(use.stored)
        found[backend] = CapacityView(rule, use, forecast_of(seen.get(backend, []), use, rule.limit))
    return found

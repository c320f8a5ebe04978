"""What is told of the catalog's state at a scrape: what waits, what failed, whether the index agreed, how stores are.

Read from the database, for as many scrapers as ask, at most once in some seconds. Names of organizations and of their
stores are not told: a store is its id.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.database import Database, now
from catalog.errors import CatalogError
from catalog.measuring import REGISTRY
from catalog.objects import changing, uploads
from catalog.storage import backends, capacity, health, unreadable
from catalog.storage.backends import Health
from catalog.storage.capacity import CapacityView, Told
from catalog.storage.keys import OWN
from catalog.sync import rounds
from catalog.sync.comparing import Kind
from catalog.sync.rounds import Tally

# Two Prometheus servers that scrape every 15 s, several times over, cost the database one look.
KEPT_SECONDS = 10.0
READ_SECONDS_MAX = 5.0
# Each has some 400 bytes in an answer. Beyond, the sums still count all of them.
BACKENDS_TOLD_MAX = 1_000

# Each subscription has a topic of its own, and they are told as one.
# What is in the hands of a worker for the first time waits no longer; what was tried before has waited since it came.
_QUEUE = sa.text(
    """
    SELECT split_part(topic, ':', 1) AS topic,
        count(*) FILTER (WHERE parked_at IS NULL AND (ready_at <= now() OR attempts = 1)) AS waiting,
        count(*) FILTER (WHERE parked_at IS NULL AND attempts > 1) AS failing,
        count(*) FILTER (WHERE parked_at IS NULL AND attempts = 0 AND ready_at > now()) AS scheduled,
        count(*) FILTER (WHERE parked_at IS NOT NULL) AS parked,
        coalesce(extract(epoch FROM max(
            CASE WHEN attempts > 1 THEN now() - created_at WHEN ready_at <= now() THEN now() - ready_at END
        ) FILTER (WHERE parked_at IS NULL)), 0)::float AS oldest,
        coalesce(extract(epoch FROM max(now() - parked_at)), 0)::float AS oldest_parked
    FROM queue GROUP BY 1 ORDER BY 1
    """
)
# Until it is given back, nothing that ended since can be cleaned up, and everything gets slower. Of sessions of other
# users the server may tell nothing.
_SNAPSHOT = sa.text(
    """
    SELECT coalesce(extract(epoch FROM max(now() - xact_start)), 0)::float FROM pg_stat_activity
    WHERE backend_xmin IS NOT NULL AND datname = current_database() AND backend_type <> 'autovacuum worker'
    """
)
LAGGING = (uploads.KEY, changing.INDEX)


@dataclass(frozen=True, slots=True)
class Topic:
    """How much of a topic is in the queue, and how long the oldest of it has waited, in seconds."""

    waiting: int
    failing: int
    scheduled: int
    parked: int
    oldest: float
    oldest_parked: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What was read at a moment."""

    at: datetime
    topics: dict[str, Topic]
    unreadable: int
    # What the last comparison of the index that ended came to, if any has.
    agreement: Tally | None
    states: dict[Health, int]
    failing: frozenset[str]
    full: dict[str, CapacityView]
    # How long the oldest snapshot of the database has been held.
    snapshot_seconds: float = 0.0

    @property
    def lag_seconds(self) -> float:
        """How far the index is behind the database and the stores."""
        return lag_seconds(self.topics)


async def topics_of(session: AsyncSession) -> dict[str, Topic]:
    """Return how much of each topic is in the queue."""
    return {row.topic: Topic(*row[1:]) for row in await session.execute(_QUEUE)}


def lag_seconds(topics: Mapping[str, Topic]) -> float:
    """Return how far the index is behind the database and the stores: how long what it does not know has waited."""
    return max((one.oldest for name, one in topics.items() if name in LAGGING), default=0.0)


async def read(session: AsyncSession, told: Told) -> Figures:
    """Read the figures."""
    await session.execute(sa.text(f"SET LOCAL statement_timeout = '{READ_SECONDS_MAX:.0f}s'"))
    topics = await topics_of(session)
    round_ = await rounds.present(session)
    every = await backends.everywhere(session)
    shown = every[: BACKENDS_TOLD_MAX - 1]
    names = [OWN, *(str(one.id) for one in shown)]
    views = await health.of(session, names)
    sizes = {
        str(one.id): told.of(one.size.capacity_bytes, one.size.watermark_percent, one.size.reserved_gb) for one in shown
    }
    return Figures(
        at=now(),
        topics=topics,
        unreadable=await unreadable.count(session),
        agreement=None if round_ is None else round_.ended,
        states=await health.counts(session),
        failing=frozenset(name for name, one in views.items() if one.standing.state is Health.FAILING),
        full=await capacity.views(session, {OWN: None, **sizes}, told),
        snapshot_seconds=(await session.execute(_SNAPSHOT)).scalar_one(),
    )


class Gauges:
    """The figures as they were read last, and all that the process counts, as Prometheus reads it."""

    def __init__(self, database: Database, told: Told) -> None:
        self._database = database
        self._told = told
        self._reading = asyncio.Lock()
        self._last: Figures | None = None
        self._read_at = float("-inf")

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return what a scraper is answered, and its media type; without the figures where the database is away."""
        figures = await self.figures()
        both = CollectorRegistry(auto_describe=False)
        both.register(REGISTRY)
        both.register(_Read(figures))
        write, media_type = choose_encoder(accept)
        return write(both), media_type

    async def figures(self) -> Figures | None:
        """Return the figures, at most some seconds old; None where the database does not tell them."""
        async with self._reading:
            if time.monotonic() - self._read_at > KEPT_SECONDS:
                try:
                    async with asyncio.timeout(READ_SECONDS_MAX), self._database.transaction() as session:
                        self._last = await read(session, self._told)
                except (TimeoutError, CatalogError, sa.exc.SQLAlchemyError, psycopg.Error, OSError):
                    self._last = None
                self._read_at = time.monotonic()
            return self._last


class _Read(Collector):
    def __init__(self, figures: Figures | None) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        name, meaning = "catalog_figures_read", "Whether the database told the figures that this process has from it."
        yield GaugeMetricFamily(name, meaning, value=float(self._figures is not None))
        if self._figures is not None:
            yield from families(self._figures)


def families(figures: Figures) -> Iterator[Metric]:
    """Yield the figures as metrics."""
    yield from _queue(figures)
    if figures.agreement is not None:
        yield from _agreement(figures.agreement)
    yield from _stores(figures)


def _queue(figures: Figures) -> Iterator[Metric]:
    entries = GaugeMetricFamily(
        "catalog_queue_entries", "Entries of the queue, by topic and state.", labels=("topic", "state")
    )
    oldest = GaugeMetricFamily(
        "catalog_queue_oldest_seconds", "How long the oldest entry of a topic has waited.", labels=("topic",)
    )
    parked = GaugeMetricFamily(
        "catalog_queue_oldest_parked_seconds", "How long ago the oldest entry of a topic was parked.", labels=("topic",)
    )
    for name, topic in figures.topics.items():
        for state in ("waiting", "failing", "scheduled", "parked"):
            entries.add_metric((name, state), getattr(topic, state))
        oldest.add_metric((name,), topic.oldest)
        parked.add_metric((name,), topic.oldest_parked)
    yield from (entries, oldest, parked)
    meaning = "How long the oldest change has waited that the index does not know."
    yield GaugeMetricFamily("catalog_index_lag_seconds", meaning, value=figures.lag_seconds)
    meaning = "Notifications of stores that no parser understood, of the last 30 days."
    yield GaugeMetricFamily("catalog_notifications_unreadable", meaning, value=figures.unreadable)
    meaning = "How long the oldest snapshot of the database has been held, of those that the server tells of."
    yield GaugeMetricFamily("catalog_database_oldest_snapshot_seconds", meaning, value=figures.snapshot_seconds)


def _agreement(last: Tally) -> Iterator[Metric]:
    differences = GaugeMetricFamily(
        "catalog_index_differences",
        "Documents that were wrong when the index was last compared with the database.",
        labels=("kind",),
    )
    for kind in Kind:
        differences.add_metric((kind.value,), getattr(last, kind.value))
    yield differences
    ended = 0.0 if last.ended_at is None else last.ended_at.timestamp()
    meaning = "When the index was last compared with the database, in seconds since 1970."
    yield GaugeMetricFamily("catalog_index_compared_timestamp_seconds", meaning, value=ended)
    meaning = "How many objects were compared then."
    yield GaugeMetricFamily("catalog_index_compared_objects", meaning, value=last.objects)
    meaning = "Whether more documents were of no object then than may be removed without a question."
    yield GaugeMetricFamily("catalog_index_removals_held_back", meaning, value=float(last.held_back))


def _stores(figures: Figures) -> Iterator[Metric]:
    states = GaugeMetricFamily("catalog_backends", "Stores of organizations, by how they are.", labels=("state",))
    for state, count in figures.states.items():
        states.add_metric((state.value,), count)
    working = GaugeMetricFamily(
        "catalog_backend_healthy", "Whether a store did what it has to when it was tried last.", labels=("backend",)
    )
    stored = GaugeMetricFamily(
        "catalog_backend_stored_bytes", "What lies in a store or is awaited there, of ours.", labels=("backend",)
    )
    limit = GaugeMetricFamily(
        "catalog_backend_limit_bytes", "Up to where a store takes uploads, where that is known.", labels=("backend",)
    )
    for name, view in figures.full.items():
        working.add_metric((name,), float(name not in figures.failing))
        stored.add_metric((name,), view.use.total)
        if view.rule.limit is not None:
            limit.add_metric((name,), view.rule.limit)
    yield from (states, working, stored, limit)

"""Durable notes to ourselves: look at this key, index this object.

An entry says where to look and carries no data that could go stale, so doing it twice is harmless. There is at
most one entry per (topic, subject): putting it again marks it touched and due. `ready_at` is both "not before" and
the lease: claiming moves it into the future, and a worker that dies simply lets it come due again.

Knows nothing of what the topics mean.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Generator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog import tasks, tracing
from catalog.database import LEARNED, QUEUED, Database, now, timestamp_column

log = structlog.get_logger("catalog.queue")

# A crashed worker's entries come back after this long; a batch takes well under a second.
LEASE = timedelta(seconds=30)
# Of what is usually done in a moment, and renewed while it takes longer: a crashed worker's come back this soon.
LEASE_OF_A_MOMENT = timedelta(seconds=6)
# 12 attempts with the delays below span about 40 minutes: longer than a restart of any engine, short enough to notice.
ATTEMPTS_MAX = 12
DELAY_FIRST = timedelta(seconds=1)
DELAY_LAST = timedelta(minutes=10)
REASON_CHARS_MAX = 2_000

# Entries of transactions that take no longer than this to commit are found at once, those of others by the next look
# from the beginning: once a second, or, where that takes long, for a thirtieth of the time.
LATE = timedelta(seconds=5)
LOOK_SECONDS = 1.0
LOOK_REST = 30
# However long one look took: where the server stood still, what was committed late is not to wait for many minutes.
LOOK_REST_SECONDS_MAX = 30.0

CHANNEL = "catalog_queue"
# Many writes within this window ring once: the bell costs the server one tiny transaction per window, writers nothing.
RING_SECONDS = 0.01


class QueueEntry(SQLModel, table=True):
    """The durable note; see the module's docstring."""

    __tablename__ = "queue"
    __table_args__ = (
        sa.UniqueConstraint("topic", "subject"),
        sa.Index("ix_queue_due", "topic", "ready_at", postgresql_where=sa.text("parked_at IS NULL")),
        sa.Index("ix_queue_parked", "topic", "id", postgresql_where=sa.text("parked_at IS NOT NULL")),
    )

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, sa.Identity(), primary_key=True))
    topic: str = Field(sa_type=sa.Text)
    subject: str = Field(sa_type=sa.Text)
    ready_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    touched: int = Field(default=0, sa_column=sa.Column(sa.BigInteger, nullable=False, server_default="0"))
    attempts: int = Field(default=0, sa_column=sa.Column(sa.Integer, nullable=False, server_default="0"))
    parked_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    reason: str | None = Field(default=None, sa_type=sa.Text)
    # Where whoever touched it last is traced (W3C Trace Context, traceparent), if anybody is.
    trace: str | None = Field(default=None, sa_type=sa.Text)


@dataclass(frozen=True, slots=True)
class Claim:
    """An entry this worker may handle until its lease ends."""

    id: int
    subject: str
    touched: int
    attempts: int

    @property
    def exhausted(self) -> bool:
        """Whether it was tried so often that trying again is no help."""
        return self.attempts >= ATTEMPTS_MAX

    @property
    def delay(self) -> timedelta:
        """How long to wait before the next attempt: doubling, with a ceiling."""
        # What is never given up is tried any number of times: doubled as often, no number would hold it.
        return min(DELAY_FIRST * (1 << min(self.attempts - 1, ATTEMPTS_MAX)), DELAY_LAST)


@dataclass(frozen=True, slots=True)
class Parked:
    """An entry that waits for a person, with the reason."""

    topic: str
    subject: str
    reason: str
    attempts: int
    parked_at: datetime


_BEGINNING = datetime.min.replace(tzinfo=UTC)


class _Floor:
    """From which moment on a topic's due entries are looked for.

    Entries that are done leave their places in the index of what is due until the server may clean it up, which it may
    not while anybody holds an old snapshot: walking over these each time would cost ever more. So a look begins where
    the last one has found nothing before; what may be there all the same, of a transaction that took long to commit or
    was rolled back, is found by looks from the beginning, as often as they are cheap.
    """

    def __init__(self) -> None:
        self._at = _BEGINNING
        self._from_beginning_at = 0.0

    @contextmanager
    def look(self) -> Generator[datetime]:
        """Yield from where to look, and take the time if that is the beginning."""
        began = time.monotonic()
        if began < self._from_beginning_at:
            yield self._at
            return
        yield _BEGINNING
        ended = time.monotonic()
        self._from_beginning_at = ended + max(min((ended - began) * LOOK_REST, LOOK_REST_SECONDS_MAX), LOOK_SECONDS)

    def forget(self) -> None:
        """Have the next look begin at the beginning: there is something, maybe below."""
        self._from_beginning_at = 0.0

    def rise(self, seen: datetime, *, from_beginning: bool) -> None:
        """Take note that nothing was due before that moment, but what is committed late.

        A look from the beginning tells it anew: the server's clock may have been set back.
        """
        self._at = seen - LATE if from_beginning else max(self._at, seen - LATE)


def _floors(learned: dict[str, Any]) -> defaultdict[str, _Floor]:
    floors: defaultdict[str, _Floor] = learned.setdefault("floors", defaultdict(_Floor))
    return floors


_table = SQLModel.metadata.tables["queue"]

# How every INSERT of entries ends: one that is there is touched, due as soon as either of both, and begins anew.
TOUCH = """
    ON CONFLICT (topic, subject) DO UPDATE
    SET touched = queue.touched + 1,
        ready_at = CASE WHEN queue.parked_at IS NULL
            THEN LEAST(queue.ready_at, excluded.ready_at) ELSE excluded.ready_at END,
        attempts = 0, parked_at = NULL, reason = NULL, trace = excluded.trace
    """

_PUT = sa.text(
    f"""
    INSERT INTO queue (topic, subject, ready_at, trace)
    SELECT :topic, subject, now() + :after, CAST(:trace AS text) FROM unnest(CAST(:subjects AS text[])) AS subject
    {TOUCH}
    """  # ruff: ignore[S608] - ours.
).bindparams(sa.bindparam("subjects", type_=ARRAY(sa.Text)), sa.bindparam("after", type_=sa.Interval))

_CLAIM = sa.text(
    """
    WITH due AS (
        SELECT id, ready_at FROM queue
        WHERE topic = :topic AND parked_at IS NULL AND ready_at <= now() AND ready_at >= :floor
        ORDER BY ready_at, id LIMIT :most FOR UPDATE SKIP LOCKED
    )
    UPDATE queue SET ready_at = now() + :lease, attempts = queue.attempts + 1 FROM due WHERE queue.id = due.id
    RETURNING queue.id, queue.subject, queue.touched, queue.attempts, queue.trace, due.ready_at AS was_ready_at
    """
).bindparams(sa.bindparam("lease", type_=sa.Interval), sa.bindparam("floor", type_=sa.TIMESTAMP(timezone=True)))

# Rows are locked in the order in which `put` locks them, so that workers and writers wait for each other and never in a
# circle. Passing over locked rows would be no cure: a worker that looked for due entries while these were claimed holds
# some of them for a moment, and they would stay behind until their lease ends.
_mine = _table.c.id.in_(
    sa.text(
        """
        SELECT queue.id FROM queue JOIN unnest(CAST(:ids AS bigint[]), CAST(:touches AS bigint[])) AS mine (id, touched)
        ON queue.id = mine.id AND queue.touched = mine.touched ORDER BY queue.subject COLLATE "C" FOR UPDATE OF queue
        """
    ).columns(_table.c.id)
)
_HOLD = sa.text(
    """
    SELECT id, touched, attempts FROM queue WHERE id = ANY (CAST(:ids AS bigint[]))
    ORDER BY topic COLLATE "C", subject COLLATE "C" FOR UPDATE
    """
)
_FINISH = _table.delete().where(_mine)
_POSTPONE = (
    _table.update()
    .where(_mine)
    .values(ready_at=sa.func.now() + sa.bindparam("after", type_=sa.Interval), reason=sa.bindparam("why"))
)
_PARK = _table.update().where(_mine).values(parked_at=sa.func.now(), reason=sa.bindparam("why"))
_RELEASE = (
    _table.update().where(_mine).values(ready_at=sa.func.now(), attempts=sa.func.greatest(_table.c.attempts - 1, 0))
)

_TOPICS_DUE = """
SELECT asked.topic, now(), EXISTS (
    SELECT FROM queue WHERE queue.topic = asked.topic AND parked_at IS NULL AND ready_at <= now()
    AND ready_at >= asked.floor)
FROM unnest(%(topics)s::text[], %(floors)s::timestamptz[]) AS asked (topic, floor)
"""

_RENEW = (
    _table.update()
    .where(_mine)
    .values(ready_at=sa.func.greatest(_table.c.ready_at, sa.func.now() + sa.bindparam("after", type_=sa.Interval)))
)


async def put(session: AsyncSession, topic: str, subjects: Collection[str], *, after: timedelta = timedelta()) -> None:
    """Note the subjects down in the caller's transaction, due after the given time."""
    if not subjects:
        return
    # By code point, as Postgres orders by the collation "C": one order for everybody who locks several entries.
    await session.execute(
        _PUT, {"topic": topic, "subjects": sorted(set(subjects)), "after": after, "trace": tracing.traceparent()}
    )
    if not after:
        ring(session, topic)


def ring(session: AsyncSession, topic: str) -> None:
    """Have the bell rung for a topic once the transaction is committed, for whoever writes entries by itself."""
    session.info.setdefault(QUEUED, set()).add(topic)


async def claim(session: AsyncSession, topic: str, *, most: int, lease: timedelta = LEASE) -> list[Claim]:
    """Take up to `most` due entries for the length of the lease; others pass over them."""
    floor = _floors(session.info[LEARNED])[topic]
    # To wait for a connection is no part of the look.
    await session.connection()
    with floor.look() as lowest:
        rows = await session.execute(_CLAIM, {"topic": topic, "most": most, "lease": lease, "floor": lowest})
        found = rows.all()
    from_beginning = lowest == _BEGINNING
    if found:
        floor.rise(max(row.was_ready_at for row in found), from_beginning=from_beginning)
    elif from_beginning:
        floor.rise((await session.execute(sa.select(sa.func.now()))).scalar_one(), from_beginning=True)
    tracing.claimed(row.trace for row in found)
    return [Claim(row.id, row.subject, row.touched, row.attempts) for row in found]


async def hold(session: AsyncSession, claims: Sequence[Claim]) -> list[Claim]:
    """Keep others from these entries until the transaction ends, and return those that nobody has claimed since.

    For whoever ends several entries in one transaction, and whoever acts on what was seen under a claim: a worker that
    was stopped in between may find that another has seen and done more.
    """
    rows = await session.execute(_HOLD, {"ids": [one.id for one in claims]})
    there = {row.id: row for row in rows}
    # Touching alone starts the attempts anew, from 0; claiming counts one more.
    return [
        one
        for one in claims
        if (row := there.get(one.id)) is not None
        and row.attempts == (one.attempts if row.touched == one.touched else 0)
    ]


async def renew(session: AsyncSession, claims: Sequence[Claim], *, lease: timedelta = LEASE) -> None:
    """Let the lease of what is still being handled begin anew, except where it was touched meanwhile."""
    if claims:
        await session.execute(_RENEW, _ids(claims) | {"after": lease})


async def finish(session: AsyncSession, claims: Sequence[Claim]) -> None:
    """Remove what is done, except entries that were touched since they were claimed."""
    if claims:
        await session.execute(_FINISH, _ids(claims))


async def finish_noting(session: AsyncSession, one: Claim, topic: str, subjects: Collection[str]) -> None:
    """Remove what is done, except where it was touched meanwhile, and note down others of the same topic.

    To end one's own and to note the others is to lock entries in two steps, and a circle with whoever notes them all.
    So one's own is noted with them, in the order in which everybody locks, and removed as this left it.
    """
    if not subjects:
        await finish(session, [one])
        return
    await put(session, topic, [*subjects, one.subject])
    await finish(session, [replace(one, touched=one.touched + 1)])


async def again(session: AsyncSession, one: Claim, topic: str, *, after: timedelta, subject: str | None = None) -> None:
    """End a turn that went well and note the next one, of this subject or another one, as if it had never been tried.

    Postponing counts attempts on: what comes round for ever would have none left when something fails for once.
    """
    await finish(session, [one])
    await put(session, topic, [subject or one.subject], after=after)


async def postpone(session: AsyncSession, one: Claim, *, reason: str, after: timedelta | None = None) -> None:
    """Try again later, or at once if it was touched meanwhile."""
    later = {"after": one.delay if after is None else after, "why": _shortened(reason)}
    await session.execute(_POSTPONE, _ids([one]) | later)


async def park(session: AsyncSession, one: Claim, *, reason: str) -> None:
    """Set it aside for a person, with the reason; touching it brings it back."""
    await session.execute(_PARK, _ids([one]) | {"why": _shortened(reason)})


async def release(session: AsyncSession, claims: Sequence[Claim]) -> None:
    """Give back what was claimed and not handled, as if it had never been claimed."""
    if claims:
        await session.execute(_RELEASE, _ids(claims))


def _ids(claims: Sequence[Claim]) -> dict[str, Any]:
    return {"ids": [one.id for one in claims], "touches": [one.touched for one in claims]}


def _shortened(reason: str) -> str:
    # Postgres text holds no NUL, and an engine's reason may quote the bytes it choked on.
    return reason.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:REASON_CHARS_MAX]


@dataclass(frozen=True, slots=True)
class Depth:
    """How much waits: entries due or leased per topic, the oldest one's age, and what is parked."""

    waiting: dict[str, int]
    oldest_seconds: float | None
    parked: list[Parked]


PARKED_SHOWN_MAX = 100


async def depth(session: AsyncSession) -> Depth:
    """Return what waits and what is parked; entries that are only scheduled for later do not count as waiting."""
    waiting = await session.execute(
        sa.select(_table.c.topic, sa.func.count(), sa.func.min(_table.c.created_at))
        # A lease lies at most LEASE ahead; what lies further is scheduled.
        .where(_table.c.parked_at.is_(None), _table.c.ready_at <= sa.func.now() + LEASE)
        .group_by(_table.c.topic)
    )
    rows = [tuple(row) for row in waiting]
    parked = await session.execute(
        sa.select(_table.c.topic, _table.c.subject, _table.c.reason, _table.c.attempts, _table.c.parked_at)
        .where(_table.c.parked_at.is_not(None))
        .order_by(_table.c.parked_at.desc())
        .limit(PARKED_SHOWN_MAX)
    )
    oldest = min((at for _, _, at in rows), default=None)
    return Depth(
        waiting={topic: count for topic, count, _ in rows},
        oldest_seconds=None if oldest is None else max((now() - oldest).total_seconds(), 0.0),
        parked=[Parked(row.topic, row.subject, row.reason or "", row.attempts, row.parked_at) for row in parked],
    )


async def due(session: AsyncSession, topics: Sequence[str]) -> int:
    """Return how many entries of these topics are neither parked nor scheduled for later than a lease from now."""
    found = await session.execute(
        sa.select(sa.func.count())
        .select_from(_table)
        .where(
            _table.c.topic == sa.func.any(array(list(topics))),
            _table.c.parked_at.is_(None),
            _table.c.ready_at <= sa.func.now() + LEASE,
        )
    )
    return int(found.scalar_one())


async def topics_due(database: Database, topics: Collection[str]) -> list[str]:
    """Return those of the topics of which something can be claimed now: one look for as many workers as there are.

    Raises psycopg.OperationalError when the server does not answer.
    """
    floors = {topic: _floors(database.learned)[topic] for topic in topics}
    with ExitStack() as looking:
        lowest = {topic: looking.enter_context(floor.look()) for topic, floor in floors.items()}
        rows = await database.rows(_TOPICS_DUE, {"topics": list(lowest), "floors": list(lowest.values())})
    for topic, at, is_due in rows:
        from_beginning = lowest[topic] == _BEGINNING
        if not is_due:
            floors[topic].rise(at, from_beginning=from_beginning)
        elif from_beginning:
            floors[topic].forget()
    return [topic for topic, _, is_due in rows if is_due]


async def keep_coming(session: AsyncSession, topic: str, first: str, *, after: timedelta = timedelta()) -> None:
    """Have a topic go on of which one entry comes round for ever: with `first` where there is none.

    What was parked is tried anew: it is work of ours that no person has to decide about.
    """
    # One of several processes begins.
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(topic, 0))))
    here = sa.select(_table.c.subject, _table.c.parked_at).where(_table.c.topic == topic)
    there = (await session.execute(here)).all()
    if there:
        await put(session, topic, [one.subject for one in there if one.parked_at is not None])
    else:
        await put(session, topic, [first], after=after)


# As `_PUT`, for what is due now; the rows that come back are nobody's.
_NOTE = f"""
    INSERT INTO queue (topic, subject, trace)
    SELECT %(topic)s, subject, trace FROM unnest(%(subjects)s::text[], %(traces)s::text[]) AS noted (subject, trace)
    {TOUCH} RETURNING 1
    """  # ruff: ignore[S608] - ours.


@dataclass(frozen=True, slots=True)
class _Note:
    """What one caller wants noted, and how it is told that it was."""

    topic: str
    subjects: Collection[str]
    kept: asyncio.Future[None]
    trace: str | None


class Notes:
    """Entries for callers who have nothing else to write: what many bring at once is one statement, and one commit.

    While one batch is on its way, the next comes together; alone, a caller waits for its own statement only.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Note] = []
        self._writing: asyncio.Task[None] | None = None

    async def put(self, topic: str, subjects: Collection[str]) -> None:
        """Return when the subjects are in the queue, due now; raises psycopg.Error when they are not."""
        if not subjects:
            return
        note = _Note(topic, subjects, asyncio.get_running_loop().create_future(), tracing.traceparent())
        self._waiting.append(note)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="notes")
        await note.kept

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            for topic in {note.topic for note in batch}:
                mine = [note for note in batch if note.topic == topic]
                try:
                    await self._keep(topic, mine)
                except psycopg.DataError:
                    # What one of them brought cannot be kept, and the others have nothing to do with it.
                    for note in mine:
                        await self._keep_alone(note)
                except Exception as fault:  # ruff: ignore[BLE001] - raised where it is awaited.
                    for note in mine:
                        tasks.answer(note.kept, fault)

    async def _keep_alone(self, note: _Note) -> None:
        try:
            await self._keep(note.topic, [note])
        except Exception as fault:  # ruff: ignore[BLE001] - raised where it is awaited.
            tasks.answer(note.kept, fault)

    async def _keep(self, topic: str, notes: Sequence[_Note]) -> None:
        traced = {subject: note.trace for note in notes for subject in note.subjects}
        subjects = sorted(traced)
        told = {"topic": topic, "subjects": subjects, "traces": [traced[one] for one in subjects]}
        await self._database.rows(_NOTE, told)
        for note in notes:
            tasks.answer(note.kept, None)
        if self._database.on_queued is not None:
            self._database.on_queued([topic])


_NOTIFY = sa.text(f"SELECT pg_notify('{CHANNEL}', :told)")


class Bell:
    """Wakes indexers soon after a commit, on a connection of its own: the write itself pays nothing.

    NOTIFY inside the write would serialise all commits of the database. A ring that is lost costs one polling interval.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted = asyncio.Event()
        self._topics: set[str] = set()

    def ring(self, topics: Collection[str]) -> None:
        """Ask for a ring that says of which topics there is something; returns at once."""
        self._topics.update(topics)
        self._wanted.set()

    async def run(self) -> None:
        """Ring when asked, at most once per window, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            told, self._topics = " ".join(sorted(self._topics)), set()
            try:
                async with self._database.engine.connect() as connection:
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                    await connection.execute(_NOTIFY, {"told": told})
            except Exception as fault:  # ruff: ignore[BLE001] - whatever it is, the next ring is tried.
                # The server is away, or all connections are in use. Indexers poll as well: nothing is lost but speed.
                log.warning("bell not rung", reason=type(fault).__name__)
                await asyncio.sleep(1)
            await asyncio.sleep(RING_SECONDS)


@asynccontextmanager
async def listening(url: str) -> AsyncGenerator[Any]:
    """Yield a coroutine function `heard(seconds)` that returns the topics for which the bell rang, none if it did not.

    None where it rang without naming any, as older processes do: there may be something of every topic.
    """
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=5)
    async with connection:
        await connection.execute(f"LISTEN {CHANNEL}")

        async def heard(seconds: float) -> frozenset[str] | None:
            told = [notice.payload.split() async for notice in connection.notifies(timeout=seconds, stop_after=1)]
            return frozenset(chain(*told)) if all(told) else None

        yield heard

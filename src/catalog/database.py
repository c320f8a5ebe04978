"""The Postgres engine, and the transaction as a block one can see.

Knows nothing of tables: rooms declare theirs on `SQLModel.metadata`, whose naming convention is set here so that
every constraint has a name a migration can drop.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
import psycopg_pool
import sqlalchemy as sa
from psycopg.types.json import set_json_loads
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlmodel import SQLModel

from catalog.measuring import Call, measure_statements

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# The topics of which a session has put something into the queue, in `session.info`.
QUEUED = "queued"
# What is known of the database from earlier sessions, there as well.
LEARNED = "learned"

# A statement that runs longer is a mistake or an attack; a lock that is not had in time is answered, not waited for.
CONNECTION_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "statement_timeout": "30s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "60s",
        "timezone": "UTC",
        # Short statements only: compiling a plan costs more than it ever saves here.
        "jit": "off",
    }.items()
)
CONNECT_SECONDS_MAX = 5
POOL_WAIT_SECONDS_MAX = 10
READ_WAIT_SECONDS_MAX = 5
# By itself the pool would wait ever longer between its attempts, and keep everybody waiting after the server is back.
# When it gives up instead, whoever reads next has it try at once.
RECONNECT_SECONDS_MAX = 1


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def driver_connection(session: AsyncSession) -> psycopg.AsyncConnection[Any]:
    """Return psycopg's connection under a session's transaction, for COPY."""
    connection = await (await session.connection()).get_raw_connection()
    # Whose it is, is said by our URL.
    driver: Any = connection.driver_connection
    raw: psycopg.AsyncConnection[Any] = driver
    return raw


async def consistently(session: AsyncSession) -> None:
    """Let everything that this transaction reads be of one moment; call it before the first read."""
    await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def timestamp_column(**options: Any) -> sa.Column[datetime]:
    """Return a column for a moment in time; required unless `nullable=True` is given."""
    return sa.Column(sa.TIMESTAMP(timezone=True), **({"nullable": False} | options))


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


class _ConnectionEnded(psycopg.OperationalError):
    """The connection that was used had been ended by the server."""


class Database:
    """Two pools of connections: one for transactions, each in a block one can see, and one for single reads."""

    def __init__(self, url: str, *, connections: int = 10) -> None:
        self.url = url
        reading = max(1, connections // 2)
        self.engine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=max(1, connections - reading),
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS_MAX,
            # A connection the server closed (restart, terminate) is replaced unseen instead of failing a request.
            pool_pre_ping=True,
            pool_recycle=1800,
            connect_args={
                "options": CONNECTION_OPTIONS,
                "connect_timeout": CONNECT_SECONDS_MAX,
                "application_name": "catalog",
            },
            # An error of a statement is logged, and what the statement carried is people's.
            hide_parameters=True,
            json_serializer=_to_json,
            json_deserializer=msgspec.json.decode,
        )
        measure_statements(self.engine.sync_engine)
        self._reading = psycopg_pool.AsyncConnectionPool(
            url,
            min_size=1,
            max_size=reading,
            open=False,
            timeout=READ_WAIT_SECONDS_MAX,
            reconnect_timeout=RECONNECT_SECONDS_MAX,
            configure=_read_json_fast,
            kwargs={
                "autocommit": True,
                "options": CONNECTION_OPTIONS,
                "connect_timeout": CONNECT_SECONDS_MAX,
                "application_name": "catalog reading",
            },
        )
        self.on_queued: Callable[[Collection[str]], None] | None = None
        # What rooms have learned of this database and may forget at any time; `session.info` has it, too.
        self.learned: dict[str, Any] = {}

    def __repr__(self) -> str:
        """Name the server, never the password."""
        return f"Database({self.engine.url.render_as_string(hide_password=True)})"

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncSession]:
        """Commit at the end of the block, roll back when it raises; ring for the indexer if something was queued."""
        async with (
            AsyncSession(self.engine, expire_on_commit=False, info={LEARNED: self.learned}) as session,
            session.begin(),
        ):
            yield session
        queued: Collection[str] = session.info.get(QUEUED, ())
        if self.on_queued is not None and queued:
            self.on_queued(queued)

    async def rows(self, statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return the rows of one read that needs no transaction: one round trip, prepared when it is asked often.

        A connection that the server has closed meanwhile (restart, terminate) is replaced unseen: reading twice is
        harmless. Raises psycopg.OperationalError when the server does not answer.
        """
        if self._reading.closed:
            await self._reading.open()
        # Every failure throws one dead connection out, and after a restart of the server all of them may be dead.
        for _ in range(self._reading.max_size):
            try:
                return await self._read(statement, parameters)
            except _ConnectionEnded:
                continue
        return await self._read(statement, parameters)

    async def _read(self, statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self._reading.connection() as connection:
            try:
                with Call("database"):
                    cursor = await connection.execute(statement, parameters)
                    found: list[tuple[Any, ...]] = await cursor.fetchall()
            except psycopg.OperationalError as error:
                if connection.closed:
                    raise _ConnectionEnded(*error.args) from error
                raise
            return found

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
        """Yield a connection of its own: its temporary tables go with it, however the process ends.

        Raises psycopg.OperationalError when the server does not answer.
        """
        connection = await psycopg.AsyncConnection.connect(
            self.url,
            autocommit=True,
            options=CONNECTION_OPTIONS,
            connect_timeout=CONNECT_SECONDS_MAX,
            application_name="catalog comparing",
        )
        async with connection:
            yield connection

    async def ping(self) -> None:
        """Return when the server answers."""
        async with self.engine.connect() as connection:
            await connection.execute(sa.text("select 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self._reading.close()
        await self.engine.dispose()


async def _read_json_fast(connection: psycopg.AsyncConnection[Any]) -> None:
    set_json_loads(msgspec.json.decode, connection)


def sqlalchemy_url(url: str) -> str:
    """Return the libpq URL with the driver that SQLAlchemy shall use."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} else url

"""Keys of organizations' stores: each pair sealed under a data key of its own, which the key service wraps.

What is sealed is bound to the row it belongs to: put into another row, it does not open. Nothing here is ever logged
or shown; a pair leaves only to the client that signs with it.
"""

import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog.database import Database, timestamp_column
from catalog.storage import wrapping
from catalog.storage.wrapping import KEY_BYTES, KeyMissing, KeyService, Wrapped

# Rows that are wrapped anew before the next are read.
BATCH_ROWS = 100


class BackendSecret(SQLModel, table=True):
    """The keys of one backend, sealed; a row that is gone takes them along."""

    __tablename__ = "backend_secret"

    backend_id: UUID = Field(
        sa_column=sa.Column(sa.Uuid, sa.ForeignKey("storage_backend.id", ondelete="CASCADE"), primary_key=True)
    )
    # The key of the key service that wraps the data key.
    key_id: str = Field(sa_type=sa.Text, index=True)
    data_key: bytes = Field(sa_type=sa.LargeBinary)
    sealed: bytes = Field(sa_type=sa.LargeBinary)
    changed_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


_secrets = SQLModel.metadata.tables[BackendSecret.__tablename__]


@dataclass(frozen=True, slots=True)
class Pair:
    """An access key and its secret."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A pair as it is kept."""

    data_key: Wrapped
    text: bytes = field(repr=False)


async def seal(pair: Pair, backend_id: UUID, keys: KeyService) -> Sealed:
    """Seal a pair for a backend under a fresh data key; asks the key service, and raises what it does."""
    data_key = secrets.token_bytes(KEY_BYTES)
    wrapped = await keys.wrap(data_key, bound_to=_row(backend_id))
    text = json.dumps([pair.access_key, pair.secret_key]).encode()
    return Sealed(wrapped, wrapping.sealed(data_key, text, bound_to=_row(backend_id)))


async def unseal(sealed: Sealed, backend_id: UUID, keys: KeyService) -> Pair:
    """Open what was sealed for this backend and no other; asks the key service. Raises KeyMissing, KeyServiceAway."""
    data_key = await keys.unwrap(sealed.data_key, bound_to=_row(backend_id))
    try:
        access_key, secret_key = json.loads(wrapping.opened(data_key, sealed.text, bound_to=_row(backend_id)))
    except InvalidTag:
        raise KeyMissing(f"The keys of backend {backend_id} were not sealed for it; set them anew.") from None
    return Pair(access_key, secret_key)


async def put(session: AsyncSession, backend_id: UUID, sealed: Sealed) -> None:
    """Keep a sealed pair, in the place of the one before."""
    told = {
        "key_id": sealed.data_key.key_id,
        "data_key": sealed.data_key.text,
        "sealed": sealed.text,
        "changed_at": sa.func.now(),
    }
    row = insert(_secrets).values(backend_id=backend_id, **told)
    await session.execute(row.on_conflict_do_update(index_elements=["backend_id"], set_=told))


async def remove(session: AsyncSession, backend_id: UUID) -> None:
    """Forget the pair of a backend; nothing there is fine."""
    await session.execute(_secrets.delete().where(_secrets.c.backend_id == backend_id))


async def find(session: AsyncSession, backend_id: UUID) -> Sealed | None:
    """Return the sealed pair of a backend; None for one that has no keys of its own."""
    row = (await session.execute(sa.select(_secrets).where(_secrets.c.backend_id == backend_id))).one_or_none()
    return None if row is None else Sealed(Wrapped(row.key_id, row.data_key), row.sealed)


async def count_by_key(session: AsyncSession) -> dict[str, int]:
    """Return how many pairs each key of the key service wraps."""
    rows = await session.execute(
        sa.select(_secrets.c.key_id, sa.func.count().label("pairs")).group_by(_secrets.c.key_id)
    )
    return {row.key_id: row.pairs for row in rows}


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did: how many were wrapped anew, and the backends whose key is not at hand."""

    count: int
    lost: list[UUID]


async def rotate(database: Database, keys: KeyService) -> Rotated:
    """Wrap every data key with the current key that another one wraps; raises what the key service does.

    Each row moves by itself, in one statement, and can be read before and after: whoever is interrupted starts again
    and finds only what is left. A pair that was set anew meanwhile stays as it is.
    """
    current = await keys.current()
    after = UUID(int=0)
    count = 0
    lost: list[UUID] = []
    while True:
        others = sa.select(_secrets).where(_secrets.c.key_id != current, _secrets.c.backend_id > after)
        async with database.transaction() as session:
            rows = (await session.execute(others.order_by(_secrets.c.backend_id).limit(BATCH_ROWS))).all()
        if not rows:
            return Rotated(count, lost)
        for row in rows:
            after = row.backend_id
            try:
                data_key = await keys.unwrap(Wrapped(row.key_id, row.data_key), bound_to=_row(row.backend_id))
            except KeyMissing:
                lost.append(row.backend_id)
                continue
            count += await _move(database, row, await keys.wrap(data_key, bound_to=_row(row.backend_id)))


async def _move(database: Database, row: sa.Row[tuple[object, ...]], wrapped: Wrapped) -> int:
    same = (_secrets.c.backend_id == row.backend_id, _secrets.c.data_key == row.data_key)
    moved = _secrets.update().where(*same).values(key_id=wrapped.key_id, data_key=wrapped.text)
    async with database.transaction() as session:
        rows = await session.execute(moved.returning(_secrets.c.backend_id))
        return len(rows.all())


def _row(backend_id: UUID) -> bytes:
    return b"storage_backend\0" + backend_id.bytes

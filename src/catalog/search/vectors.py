"""The table of vectors beside the objects: kept by the indexer, asked under an audience for what lies nearest.

The table is there where the server has pgvector (`migrations/vectors.py`). What somebody may not see has no say in what
is nearest: rows that everybody may see are found through a graph of such rows alone, all others by comparing each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.audience import PUBLIC, Audience
from catalog.errors import CatalogError
from catalog.objects.reading import Entry
from catalog.objects.tables import CatalogObject
from catalog.queue import QueueEntry
from catalog.search.embedding import MODEL

# What is queued: read an object for its meaning.
EMBED = "embed"
# Up to so many rows that everybody may see are compared one by one, which is exact; beyond, the graph is asked.
# Comparing 20,000 takes a tenth of a second on a busy machine (docs/adr/0037).
COMPARED_MAX = 20_000
# How many rows the graph keeps in view, and goes through at most where the filter leaves most of them out.
EF_SEARCH, SCANNED_MAX = 200, 40_000
STATEMENT_MILLISECONDS_MAX = 1_000

_ID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_queue = SQLModel.metadata.tables[QueueEntry.__tablename__]
_vectors = sa.table(
    "object_vector",
    *(sa.column(name) for name in ("object_id", "model", "text_sha256", "revision", "open", "vector")),
)


class NoExtension(CatalogError):
    """The database has no table of vectors: install pgvector and run `catalog migrate`."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The vector of an object: of which text, of which state of the object, and whether everybody may see that."""

    object_id: UUID
    text_sha256: bytes
    revision: int
    open: bool
    # None: the one that is there, since the text is the same.
    vector: Sequence[float] | None = None


def kept(entry: Entry, text_sha256: bytes, vector: Sequence[float] | None = None) -> Kept:
    """Return what is kept of an object."""
    return Kept(entry.id, text_sha256, entry.document_version, PUBLIC in entry.readers, vector)


async def is_there(session: AsyncSession) -> bool:
    """Whether the database has the table."""
    found = await session.execute(sa.text("SELECT to_regclass('object_vector') IS NOT NULL"))
    return bool(found.scalar_one())


# Keeping


async def digests(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """Return of which texts these objects have vectors of this model."""
    rows = await session.execute(
        sa.select(_vectors.c.object_id, _vectors.c.text_sha256).where(
            _vectors.c.object_id.in_(ids), _vectors.c.model == MODEL
        )
    )
    return {row.object_id: row.text_sha256 for row in rows}


_KEEP = sa.text(
    """
    INSERT INTO object_vector (object_id, model, text_sha256, revision, open, vector)
    VALUES (:object_id, :model, :text_sha256, :revision, :open, CAST(:vector AS halfvec))
    ON CONFLICT (object_id) DO UPDATE SET model = excluded.model, text_sha256 = excluded.text_sha256,
        revision = excluded.revision, open = excluded.open, vector = excluded.vector
    WHERE object_vector.revision <= excluded.revision OR object_vector.model <> excluded.model
    """
)
_KEEP_AS_IT_IS = sa.text(
    "UPDATE object_vector SET revision = :revision, open = :open"
    " WHERE object_id = :object_id AND text_sha256 = :text_sha256 AND revision < :revision"
)


async def keep(session: AsyncSession, those: Sequence[Kept]) -> None:
    """Write vectors, none over that of a newer state of its object."""
    for one in those:
        row = {
            "object_id": one.object_id,
            "text_sha256": one.text_sha256,
            "revision": one.revision,
            "open": one.open,
        }
        if one.vector is None:
            await session.execute(_KEEP_AS_IT_IS, row)
        else:
            await session.execute(_KEEP, row | {"model": MODEL, "vector": _written(one.vector)})


async def forget(session: AsyncSession, ids: Sequence[UUID]) -> None:
    """Remove the vectors of objects that are withdrawn."""
    if ids:
        await session.execute(_vectors.delete().where(_vectors.c.object_id.in_(ids)))


_QUEUE_MISSING = sa.text(
    """
    INSERT INTO queue (topic, subject)
    SELECT :topic, object.id::text FROM object LEFT JOIN object_vector AS kept ON kept.object_id = object.id
    WHERE CASE WHEN object.withdrawn_at IS NOT NULL THEN kept.object_id IS NOT NULL
        ELSE kept.object_id IS NULL OR kept.model <> :model OR kept.revision <> object.revision + object.relabelled END
    ORDER BY object.id
    ON CONFLICT (topic, subject) DO NOTHING
    """
)


async def queue_missing(session: AsyncSession) -> int:
    """Queue every object whose vector is absent, old or too much; returns how many were not queued already."""
    found: Any = await session.execute(_QUEUE_MISSING, {"topic": EMBED, "model": MODEL})
    return int(found.rowcount)


# Asking


@dataclass(frozen=True, slots=True)
class Nearest:
    """What lies nearest, nearest first, and whether some of what the audience may see has not been read yet."""

    ids: list[UUID]
    filling: bool


async def nearest(
    session: AsyncSession,
    vector: Sequence[float],
    audience: Audience,
    *,
    most: int,
    likeness_least: float,
    among: Sequence[UUID] | None = None,
) -> Nearest:
    """Return up to `most` objects nearest to a vector that the audience may see, and among these ids where given.

    Likeness is the cosine of the angle between, from -1 to 1. Raises NoExtension.
    """
    if not await is_there(session):
        raise NoExtension
    await _within_limits(session)
    # How many these are, everybody could count.
    through_graph = among is None and await _open_rows(session) > COMPARED_MAX
    distance = _vectors.c.vector.op("<=>", return_type=sa.Float)(sa.bindparam("asked", _written(vector), _HalfVector()))
    seen = [
        _vectors.c.model == MODEL,
        _objects.c.withdrawn_at.is_(None),
        audience.sql_condition(_objects.c.readers),
        *([] if among is None else [_vectors.c.object_id == sa.any_(sa.bindparam("among", among, ARRAY(sa.Uuid)))]),
    ]
    rows = sa.select(_vectors.c.object_id, distance.label("distance")).select_from(
        _vectors.join(_objects, _objects.c.id == _vectors.c.object_id)
    )
    if through_graph:
        graph = rows.where(_vectors.c.open, *seen).order_by(distance).limit(most).subquery()
        # The sum keeps the planner from the graph: these are compared one by one.
        exact = (
            rows.where(~_vectors.c.open, *seen).order_by(distance + 0.0, _vectors.c.object_id).limit(most).subquery()
        )
        some = sa.union_all(sa.select(graph), sa.select(exact)).subquery()
    else:
        some = rows.where(*seen).order_by(distance + 0.0, _vectors.c.object_id).limit(most).subquery()
    found = await session.execute(
        sa.select(some.c.object_id)
        .where(some.c.distance <= 1 - likeness_least)
        .order_by(some.c.distance, some.c.object_id)
        .limit(most)
    )
    return Nearest([row.object_id for row in found], await _is_filling(session, audience))


async def _within_limits(session: AsyncSession) -> None:
    limits = {
        "statement_timeout": str(STATEMENT_MILLISECONDS_MAX),
        # Goes on until enough have passed the filter, nearest first.
        "hnsw.iterative_scan": "strict_order",
        "hnsw.ef_search": str(EF_SEARCH),
        "hnsw.max_scan_tuples": str(SCANNED_MAX),
    }
    settings = [sa.func.set_config(name, value, True) for name, value in limits.items()]  # noqa: FBT003 - as it is called.
    await session.execute(sa.select(*settings))


async def _open_rows(session: AsyncSession) -> int:
    few = sa.select(sa.literal(1)).select_from(_vectors).where(_vectors.c.open).limit(COMPARED_MAX + 1).subquery()
    return int((await session.execute(sa.select(sa.func.count()).select_from(few))).scalar_one())


async def _is_filling(session: AsyncSession, audience: Audience) -> bool:
    """Whether something that the audience may see waits to be read: of what is hidden, the answer knows nothing."""
    # Nothing else is ever queued there; what would be no id must not end the statement.
    object_id = sa.case((_queue.c.subject.op("~")(_ID), sa.cast(_queue.c.subject, sa.Uuid)))
    waiting = (
        sa.select(sa.literal(1))
        .select_from(_queue.join(_objects, _objects.c.id == object_id))
        .where(_queue.c.topic == EMBED, _objects.c.withdrawn_at.is_(None), audience.sql_condition(_objects.c.readers))
    )
    return bool((await session.execute(sa.select(sa.exists(waiting)))).scalar_one())


class _HalfVector(sa.types.UserDefinedType[Any]):
    """Numbers of half precision, as pgvector calls them."""

    cache_ok = True
    # A parameter is of this type from the start: a text would be read anew for every row that it is compared with.
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        return "halfvec"


def _written(vector: Sequence[float]) -> str:
    return f"[{','.join(f'{number:.6g}' for number in vector)}]"

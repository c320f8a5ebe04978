"""What needs attention, as queues of objects: those of the caller, or all for curators.

Queues read the last assessment, which the indexer makes whenever an object changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.principals import Caller, Principal
from catalog.doi.tables import Doi, DoiState
from catalog.errors import NotFound
from catalog.objects.tables import CatalogObject, FileState
from catalog.quality.tables import Quality

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_principals = SQLModel.metadata.tables[str(Principal.__tablename__)]
_quality = SQLModel.metadata.tables[str(Quality.__tablename__)]
_dois = SQLModel.metadata.tables[str(Doi.__tablename__)]
_files = SQLModel.metadata.tables["file"]

WRONG_BYTES = (FileState.MISMATCHED.value, FileState.MISSING.value)


@dataclass(frozen=True, slots=True)
class Queue:
    """One kind of thing that needs attention."""

    name: str
    title: str
    condition: sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An object that needs attention, and which checks it fails."""

    id: UUID
    kind: str
    project: str
    title: str
    owner: str
    revision: int
    updated_at: datetime
    score: int
    failed: list[str]


def _failing(*checks: str) -> sa.ColumnElement[bool]:
    return _quality.c.failed.op("&&")(sa.literal(list(checks), ARRAY(sa.Text)))


def _wrong_bytes() -> sa.ColumnElement[bool]:
    wrong = sa.select(sa.literal(1)).where(_files.c.object_id == _objects.c.id, _files.c.state.in_(WRONG_BYTES))
    return sa.or_(_failing("published-files"), sa.and_(_failing("files"), wrong.exists()))


def _refused() -> sa.ColumnElement[bool]:
    trouble = sa.or_(_dois.c.state == DoiState.FAILED, _dois.c.errors.is_not(None))
    return sa.select(sa.literal(1)).where(_dois.c.object_id == _objects.c.id, trouble).exists()


QUEUES: Mapping[str, Queue] = MappingProxyType(
    {
        queue.name: queue
        for queue in (
            Queue("without-licence", "Nobody knows what they may do with it", _failing("licence")),
            Queue("broken-references", "It names what is not there", _failing("outside", "references")),
            Queue("wrong-terms", "A text stands where a term belongs, or a term was retired", _failing("terms")),
            Queue("wrong-files", "Bytes are not what was declared or published", _wrong_bytes()),
            Queue("without-bytes", "It has no bytes and names none elsewhere", _failing("bytes")),
            Queue("failed-dois", "The registry refused its DOI, or its last change", _refused()),
            Queue("not-passing", "Something that must hold does not", _quality.c.passes.is_(False)),
        )
    }
)


def named(name: str) -> Queue:
    """Return a queue; raises NotFound."""
    queue = QUEUES.get(name)
    if queue is None:
        raise NotFound(f"There is no queue {name[:80]!r}; the queues are {', '.join(QUEUES)}.")
    return queue


def changeable(caller: Caller) -> list[sa.ColumnElement[bool]]:
    """Return the conditions under which an object is there and this caller may change it."""
    caller.must_register()
    audience = caller.audience
    return [
        _objects.c.withdrawn_at.is_(None),
        audience.sql_condition(_objects.c.readers),
        audience.sql_condition(_objects.c.writers),
    ]


async def counts(session: AsyncSession, caller: Caller) -> dict[str, int]:
    """Return how many objects wait in each queue, of those that the caller may change."""
    columns = [sa.func.count().filter(queue.condition).label(queue.name) for queue in QUEUES.values()]
    row = await session.execute(
        sa.select(*columns)
        .select_from(_quality)
        .join(_objects, _objects.c.id == _quality.c.object_id)
        .where(*changeable(caller))
    )
    return dict(zip(QUEUES, row.one(), strict=True))


async def page(
    session: AsyncSession, queue: Queue, *, caller: Caller, project: str | None, after: UUID | None, limit: int
) -> Sequence[Waiting]:
    """Return the next objects that wait in a queue, newest first, after the one named."""
    conditions = [*changeable(caller), queue.condition]
    if project is not None:
        conditions.append(_objects.c.project == project)
    if after is not None:
        conditions.append(_objects.c.id < after)
    rows = await session.execute(
        sa.select(
            _objects.c.id,
            _objects.c.kind,
            _objects.c.project,
            _objects.c.record["title"].astext,
            _principals.c.name,
            _objects.c.revision,
            _objects.c.updated_at,
            _quality.c.score,
            _quality.c.failed,
        )
        .join(_quality, _quality.c.object_id == _objects.c.id)
        .join(_principals, _principals.c.id == _objects.c.owner_id)
        .where(*conditions)
        .order_by(_objects.c.id.desc())
        .limit(limit)
    )
    return [Waiting(*row) for row in rows]

"""What depends on a backend: it is removed only where nothing does, or on purpose, and then it is told of every file.

Runs in the caller's transaction.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog import queue
from catalog.access.callers import Caller
from catalog.errors import Conflict
from catalog.objects import relocations, uploads
from catalog.objects.discovered import DiscoveredFile
from catalog.objects.tables import UploadState, VersionFile
from catalog.storage import backends, capacity, choices, health
from catalog.storage.backends import Backend
from catalog.storage.stores import KNOWN_WITHIN

_files = SQLModel.metadata.tables["file"]
_uploads = SQLModel.metadata.tables["upload"]
_frozen = SQLModel.metadata.tables[VersionFile.__tablename__]
_found = SQLModel.metadata.tables[DiscoveredFile.__tablename__]

# Keys that are put into the queue at a time.
KEYS_AT_ONCE = 1_000


class InUse(Conflict):
    """Files lie in this backend."""


@dataclass(frozen=True, slots=True)
class Dependants:
    """How many locations name a backend: files of objects, files of published versions, uploads on their way."""

    files: int
    version_files: int
    open_uploads: int

    def __bool__(self) -> bool:
        """Whether anything depends on it."""
        return bool(self.files or self.version_files or self.open_uploads)


async def dependants_of(session: AsyncSession, backend: Backend) -> Dependants:
    """Count what depends on a backend."""
    name = str(backend.id)

    async def count(*conditions: sa.ColumnElement[bool]) -> int:
        return (await session.execute(sa.select(sa.func.count()).where(*conditions))).scalar_one()

    return Dependants(
        await count(_files.c.backend == name),
        await count(_frozen.c.backend == name),
        await count(_uploads.c.backend == name, _uploads.c.state == UploadState.OPEN),
    )


async def remove(session: AsyncSession, backend: Backend, *, even_if_used: bool, caller: Caller) -> None:
    """Remove a backend and its keys; who chose it uses the next one. Raises InUse with the figures.

    While a relocation uses it, that is so in any case. `even_if_used`: its keys go all the same, and every file that
    lies there is looked at and found missing. The row stays then, because locations name it.
    """
    await backends.hold(session, backend.id)
    await relocations.must_not_use(session, str(backend.id), told=InUse)
    depending = await dependants_of(session, backend)
    if depending and not even_if_used:
        raise InUse(
            f"{depending.files:,} files of objects, {depending.version_files:,} files of versions and "
            f"{depending.open_uploads:,} open uploads lie in {backend.name!r}. Without it nobody can fetch them; "
            "detach=true removes its keys all the same."
        )
    await choices.forget(session, backend.id)
    await health.forget(session, str(backend.id))
    await capacity.forget(session, str(backend.id))
    await session.execute(_found.delete().where(_found.c.backend == str(backend.id)))
    if not depending:
        await session.execute(_uploads.delete().where(_uploads.c.backend == str(backend.id)))
        await backends.delete(session, backend, caller=caller)
        return
    await backends.detach(session, backend, caller=caller)
    await _look_everywhere(session, str(backend.id))


# An indexer that still has the keys would see everything as it was: it looks when it knows.
async def _look_everywhere(session: AsyncSession, name: str) -> None:
    here = sa.union(
        *(
            sa.select(table.c.bucket, table.c.key).where(table.c.backend == name, table.c.key.is_not(None))
            for table in (_files, _frozen, _uploads)
        )
    )
    # In the order in which `put` locks them, over all of the batches.
    subjects = sorted(uploads.subject_of(name, bucket, key) for bucket, key in await session.execute(here))
    for start in range(0, len(subjects), KEYS_AT_ONCE):
        await queue.put(session, uploads.KEY, subjects[start : start + KEYS_AT_ONCE], after=KNOWN_WITHIN)

"""How much lies where: of an organization's projects, in which backend, in which stage, claimed by objects or not.

Bytes are counted once, however many files and versions name them. Runs in the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class Holding:
    """How much of one kind there is in one place; `project` and `stage` are None where keys do not tell them."""

    project: str | None
    backend: str
    backend_name: str
    stage: str | None
    claimed: bool
    files: int
    bytes: int


# What objects have, with what only their versions have; what is on its way or was superseded is not counted here.
_HELD = sa.text(
    """
    WITH of_organization AS (
        SELECT id, project FROM object WHERE project LIKE :below
    ), held AS (
        SELECT project, backend, bucket, key, coalesce(store_version, '') AS store_version, size
        FROM file JOIN of_organization AS owner ON owner.id = file.object_id WHERE state = 'available'
        UNION
        SELECT project, backend, bucket, key, coalesce(store_version, ''), size
        FROM version_file AS frozen JOIN version ON version.id = frozen.version_id
        JOIN of_organization AS owner ON owner.id = version.object_id WHERE frozen.state <> 'lost'
    ), counted AS (
        SELECT project, backend, 'uploaded' AS stage, true AS claimed, count(*) AS files, sum(size) AS bytes
        FROM held GROUP BY project, backend
        UNION ALL
        SELECT found.project, found.backend, found.stage, false, count(*), sum(found.size)
        FROM discovered_file AS found
        LEFT JOIN storage_backend AS brought ON CAST(brought.id AS text) = found.backend
        WHERE brought.organization = :organization OR (brought.id IS NULL AND found.project LIKE :below)
        GROUP BY found.project, found.backend, found.stage
    )
    SELECT counted.project, counted.backend, coalesce(brought.name, 'default') AS backend_name,
        counted.stage, counted.claimed, counted.files, CAST(counted.bytes AS bigint) AS bytes
    FROM counted LEFT JOIN storage_backend AS brought ON CAST(brought.id AS text) = counted.backend
    ORDER BY counted.project NULLS LAST, backend_name, counted.backend, counted.claimed DESC, counted.stage NULLS LAST
    """
)


async def of(session: AsyncSession, organization: str) -> Sequence[Holding]:
    """Return what lies where of an organization, by project, backend and stage."""
    # Names hold no character that LIKE reads as a pattern.
    rows = await session.execute(_HELD, {"organization": organization, "below": f"{organization}/%"})
    return [Holding(*row) for row in rows]

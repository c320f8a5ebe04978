"""Whether an object takes changes of its files: a job that has ended does not."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.errors import Conflict

JOB = "job"


class JobEnded(Conflict):
    """The job has ended, and its files stay as they are."""


async def must_take_files(session: AsyncSession, object_id: UUID, kind: str) -> None:
    """Raise JobEnded where the object, which is locked, is a job that has ended."""
    if kind != JOB:
        return
    # The room of jobs lies above this one, which knows its table by name alone.
    ended = await session.execute(
        sa.text("SELECT ended_at FROM job WHERE object_id = :id AND ended_at IS NOT NULL"), {"id": object_id}
    )
    row = ended.one_or_none()
    if row is not None:
        raise JobEnded(
            f"The job ended on {row.ended_at:%Y-%m-%d at %H:%M} UTC: its files stay as they are. Take another key."
        )

"""What happens to a job: it is opened, and it ends. Every verb runs in the caller's transaction."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.callers import PrincipalKind
from catalog.access.principals import Caller
from catalog.errors import Conflict
from catalog.jobs import reading
from catalog.jobs.reading import JobView
from catalog.jobs.tables import JobOutcome, JobState
from catalog.objects import changing, kinds, validation, verbs
from catalog.objects.uploads import Placement

KIND = "job"
# RFC 6761, section 6.4: no mail reaches it.
NOBODYS_MAIL = "nobody@jobs.invalid"

_jobs = SQLModel.metadata.tables["job"]


class OtherwiseEnded(Conflict):
    """The job has ended otherwise."""


class FilesAwaited(Conflict):
    """Files of the job have not arrived."""


def described(
    project: str,
    key: str,
    *,
    caller: Caller,
    title: str | None = None,
    description: str = "",
    creators: Sequence[Mapping[str, Any]] = (),
    contact: Mapping[str, Any] | None = None,
    visibility: str = "private",
    metadata: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the description of a job's object; what is not said is told of the caller."""
    itself = {"type": "person" if caller.kind is PrincipalKind.USER else "organization", "name": caller.name}
    return {
        "kind": KIND,
        "project": project,
        "name": key,
        "title": title or key,
        "description": description,
        "creators": list(creators) or [itself],
        "contact": contact or {"name": caller.name, "email": NOBODYS_MAIL},
        "visibility": visibility,
        "metadata": dict(metadata),
    }


async def begin(session: AsyncSession, description: dict[str, Any], *, caller: Caller, placement: Placement) -> JobView:
    """Register a job as this record describes it, which is sound; raises as registering any object does, NameTaken too.

    A key of a job that was withdrawn may be taken again.
    """
    kind = kinds.named(KIND)
    draft = validation.Draft(kind, kind.draft().model_validate(description, strict=False), ())
    await verbs.register(session, draft, caller=caller, placement=placement)
    return await reading.find(session, description["name"], description["project"], caller=caller)


async def end(
    session: AsyncSession, job: JobView, outcome: JobOutcome, *, caller: Caller, revisions: Sequence[int] | None
) -> JobView:
    """End a job: from then on its files stay as they are. One that has ended so already is returned as it is.

    `revisions` are those the caller accepts, None for any. Raises NotFound, Gone, Forbidden, PreconditionFailed,
    OtherwiseEnded, and FilesAwaited where it is said to have succeeded and files are missing.
    """
    entry = await changing.locked(session, job.id, caller, None)
    job = await reading.find(session, job.key, job.project, caller=caller)
    if job.outcome == outcome:
        # Asked again, it has been done: the revision it started from is gone.
        return job
    if job.state is JobState.ENDED:
        raise OtherwiseEnded(f"The job has {job.outcome} already, on {job.ended_at:%Y-%m-%d at %H:%M} UTC.")
    changing.must_start_from(entry, revisions)
    if outcome is JobOutcome.SUCCEEDED and job.awaited:
        raise FilesAwaited(
            f"{job.awaited} of {job.input.files + job.output.files} files have not arrived: bring them, take them out "
            "of the job, or end it as failed."
        )
    await session.execute(
        _jobs.update()
        .where(_jobs.c.object_id == job.id)
        .values(state=JobState.ENDED.value, outcome=outcome.value, ended_at=sa.func.now())
    )
    await changing.change(session, entry, caller, action="end job", changes={"outcome": outcome.value})
    return await reading.find(session, job.key, job.project, caller=caller)

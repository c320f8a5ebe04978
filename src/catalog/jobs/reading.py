"""Reading jobs under an audience: one by its key, a page of them, the files of one."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.principals import Caller
from catalog.access.scopes import Scope
from catalog.errors import Fault, Invalid, NotFound
from catalog.jobs.tables import JobOutcome, JobState
from catalog.objects.tables import CatalogObject, FileState

# So many projects with a job of one key are named to whoever has to choose.
PROJECTS_NAMED_MAX = 10

_objects = SQLModel.metadata.tables[str(CatalogObject.__tablename__)]
_files = SQLModel.metadata.tables["file"]
_jobs = SQLModel.metadata.tables["job"]
_principals = SQLModel.metadata.tables["principal"]


class Area(StrEnum):
    """Which way a job's files go: what it is given, and what it gives back."""

    INPUT = "input"
    OUTPUT = "output"

    @property
    def folder(self) -> str:
        """The folder of the job that holds them, with its slash."""
        return f"{self.value}/"


@dataclass(frozen=True, slots=True)
class Held:
    """How many files an area has, how many of them are there, and how large all are together."""

    files: int
    available: int
    bytes: int


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as it stands."""

    id: UUID
    key: str
    project: str
    title: str
    owner: str
    state: JobState
    outcome: JobOutcome | None
    created_at: datetime
    ended_at: datetime | None
    revision: int
    input: Held
    output: Held

    @property
    def awaited(self) -> int:
        """How many of its files have not arrived."""
        return sum(area.files - area.available for area in (self.input, self.output))


def readable_by(caller: Caller) -> sa.ColumnElement[bool]:
    """Return the condition under which this caller sees an object as a job: with a token that may not read, its own."""
    seen = caller.audience.sql_condition(_objects.c.readers)
    return seen if caller.has(Scope.READ) else sa.and_(seen, _objects.c.owner_id == caller.id)


def _seen(caller: Caller) -> sa.ColumnElement[bool]:
    return sa.and_(_objects.c.withdrawn_at.is_(None), readable_by(caller))


def _views(condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
    counted: list[Any] = []
    for area in Area:
        within = sa.func.starts_with(_files.c.path, area.folder)
        there = sa.and_(within, _files.c.state == FileState.AVAILABLE)
        counted += [
            sa.func.count().filter(within).label(f"{area}_files"),
            sa.func.count().filter(there).label(f"{area}_available"),
            sa.func.coalesce(sa.func.sum(_files.c.size).filter(within), 0).label(f"{area}_bytes"),
        ]
    held = sa.select(*counted).where(_files.c.object_id == _objects.c.id).correlate(_objects).lateral("held")
    return (
        sa.select(
            _objects.c.id,
            _jobs.c.key,
            _jobs.c.project,
            _objects.c.record["title"].astext,
            _principals.c.name,
            _jobs.c.state,
            _jobs.c.outcome,
            _objects.c.created_at,
            _jobs.c.ended_at,
            _objects.c.revision,
            *held.c,
        )
        .join(_jobs, _jobs.c.object_id == _objects.c.id)
        .join(_principals, _principals.c.id == _objects.c.owner_id)
        .join(held, sa.true())
        .where(condition)
    )


def _view(row: Any) -> JobView:
    object_id, key, project, title, owner, state, outcome, created_at, ended_at, revision = row[:10]
    given, back = (Held(files, available, int(size)) for files, available, size in (row[10:13], row[13:16]))
    return JobView(
        object_id,
        key,
        project,
        title,
        owner,
        JobState(state),
        None if outcome is None else JobOutcome(outcome),
        created_at,
        ended_at,
        revision,
        given,
        back,
    )


async def find(session: AsyncSession, key: str, project: str | None, *, caller: Caller) -> JobView:
    """Return the job of this key; raises NotFound, and Invalid where several projects have one and none was named."""
    # What Postgres cannot hold is nobody's key.
    conditions = [_jobs.c.key == key.replace("\0", ""), _seen(caller)]
    if project is not None:
        conditions.append(_jobs.c.project == project)
    statement = _views(sa.and_(*conditions)).order_by(_jobs.c.project).limit(PROJECTS_NAMED_MAX)
    found = [_view(row) for row in await session.execute(statement)]
    if not found or "\0" in key:
        raise NotFound(f"There is no job {key[:128]!r} that you may see{f' in {project}' if project else ''}.")
    if len(found) > 1:
        named = ", ".join(job.project for job in found)
        message = f"several projects have a job of this key; name one of {named}"
        raise Invalid("Name the project.", faults=[Fault("/project", message, found[0].project)])
    return found[0]


async def changeable(session: AsyncSession, key: str, project: str, *, caller: Caller) -> JobView | None:
    """Return the job of this key that the caller may see and change, if the project has one."""
    condition = sa.and_(_jobs.c.key == key, _jobs.c.project == project, _seen(caller))
    row = (await session.execute(_views(condition).add_columns(_objects.c.writers))).one_or_none()
    return _view(row) if row is not None and caller.may_change(row.writers) else None


async def page(
    session: AsyncSession,
    *,
    project: str | None,
    state: JobState | None,
    mine: bool,
    after: UUID | None,
    limit: int,
    caller: Caller,
) -> list[JobView]:
    """Return the next jobs, newest first, after the one named."""
    conditions = [_seen(caller)]
    if project is not None:
        conditions.append(_jobs.c.project == project)
    if state is not None:
        conditions.append(_jobs.c.state == state.value)
    if mine:
        conditions.append(_objects.c.owner_id == caller.must_be_known())
    if after is not None:
        conditions.append(_objects.c.id < after)
    statement = _views(sa.and_(*conditions)).order_by(_objects.c.id.desc()).limit(limit)
    return [_view(row) for row in await session.execute(statement)]

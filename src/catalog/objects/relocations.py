"""Relocations: the files of a project or an organization move from one backend to another, each by itself.

What is recorded of a relocation, who may start, pause, resume and cancel it, and how far it is. What lies where is of
`located`, how one file moves of `moving`. Runs in the caller's transaction, and no network call happens here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.access import audit, members
from catalog.access.audience import Audience, organization_of
from catalog.access.callers import Caller
from catalog.errors import Conflict, NotFound
from catalog.objects import located
from catalog.objects.located import Amount, Target
from catalog.objects.relocated import (
    LIVE,
    ON_ITS_WAY,
    STATES,
    MoveState,
    Relocation,
    RelocationState,
    moves,
    relocations,
)
from catalog.objects.tables import CatalogObject
from catalog.storage.backends import StorageBackend
from catalog.storage.keys import OWN

# What is queued: go on with this relocation.
RELOCATE = "relocate"
LISTED_MAX = 100
TROUBLES_SHOWN_MAX = 100
# How fast it goes is told of so long.
RATE_SECONDS = 60

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_backends = SQLModel.metadata.tables[StorageBackend.__tablename__]


class NothingThere(Conflict):
    """No file of this scope lies in the source."""


class AlreadyMoving(Conflict):
    """Files of this scope are moving out of the source already."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A file that does not move, or not yet, and why."""

    object_id: UUID
    path: str
    state: MoveState
    reason: str
    sha256: str
    found_sha256: str | None
    attempts: int
    retry_at: datetime | None
    # As of a place.
    visible: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """A relocation, and how far it is."""

    relocation: Relocation
    amounts: Mapping[MoveState, Amount]
    bytes_per_second: int
    # When the bytes at the source of the file that was switched first may be removed; None where none waits for that.
    first_switched_at: datetime | None
    troubles: Sequence[Trouble]


async def start(session: AsyncSession, scope: str, source: str, target: Target, *, caller: Caller) -> UUID:
    """Have every file of a scope that lies in the source moved; raises NothingThere, AlreadyMoving, NotFound.

    What is uploaded meanwhile goes where the choice says, and is none of it.
    """
    organization = organization_of(scope)
    # One at a time in each organization: what does not move stays so until this transaction ends.
    await session.execute(
        sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"relocations of {organization}", 0)))
    )
    await _hold(session, organization, source, target.backend)
    await _must_be_alone(session, scope, source)
    relocation_id = uuid7()
    await session.execute(
        relocations.insert().values(
            id=relocation_id,
            scope=scope,
            source=source,
            target=target.backend,
            target_bucket=target.bucket,
            target_prefix=target.prefix,
            state=RelocationState.RUNNING,
            created_by=caller.must_be_known(),
        )
    )
    lying = located.everywhere(scope, source)
    columns = ("object_id", "project", "path", "size", "sha256", "media_type", "bucket", "key", "store_version")
    await session.execute(
        moves.insert().from_select(
            ["relocation_id", *columns, "state", "reason"],
            sa.select(
                sa.literal(relocation_id, sa.Uuid),
                *(lying.c[name] for name in columns),
                sa.case((lying.c.readable, MoveState.WAITING.value), else_=MoveState.FAILED.value),
                sa.case((lying.c.readable, None), else_="Its bytes were missing before it was to move."),
            ).order_by(lying.c.object_id, lying.c.key),
        )
    )
    files = sum(amount.files for amount in (await _amounts(session, relocation_id)).values())
    if not files:
        raise NothingThere(f"No file of {scope} lies there.")
    await queue.put(session, RELOCATE, [str(relocation_id)])
    told = {"from": source, "to": target.backend, "files": files}
    await audit.note(session, caller.actor, "start relocation", f"relocation:{relocation_id}", scope=scope, after=told)
    return relocation_id


async def _hold(session: AsyncSession, organization: str, *names: str) -> None:
    """Keep backends from being removed until this transaction ends; raises NotFound for one that was."""
    for name in sorted(set(names) - {OWN}):
        row = await session.execute(
            sa.select(_backends.c.id)
            .where(
                _backends.c.id == UUID(name),
                _backends.c.organization == organization,
                _backends.c.detached_at.is_(None),
            )
            .with_for_update(read=True, key_share=True)
        )
        if row.one_or_none() is None:
            raise NotFound(f"There is no backend {name} in {organization}.")


async def _must_be_alone(session: AsyncSession, scope: str, source: str) -> None:
    organization = organization_of(scope)
    rows = await session.execute(
        sa.select(relocations.c.id, relocations.c.scope).where(
            relocations.c.source == source,
            relocations.c.state.in_(LIVE),
            sa.or_(relocations.c.scope == organization, located.within(organization, relocations.c.scope)),
        )
    )
    for other_id, other in rows:
        if scope in {other, organization} or other == organization:
            raise AlreadyMoving(f"The relocation {other_id} moves files of {other} out of there; wait, or cancel it.")


async def find(session: AsyncSession, relocation_id: UUID, *, caller: Caller) -> Relocation:
    """Return a relocation for an admin of its scope; NotFound for whoever knows nothing of that scope."""
    found = await named(session, relocation_id)
    if found is None:
        raise _unknown(relocation_id)
    try:
        await must_administer(session, found.scope, caller=caller)
    except NotFound:
        raise _unknown(relocation_id) from None
    return found


def _unknown(relocation_id: UUID) -> NotFound:
    return NotFound(f"There is no relocation {relocation_id}.")


async def must_administer(session: AsyncSession, scope: str, *, caller: Caller) -> None:
    """Raise unless the caller is an admin of the scope; NotFound for those who know nothing of it."""
    await members.must_administer(session, scope, caller=caller, what="Where its files lie is")


async def named(session: AsyncSession, relocation_id: UUID) -> Relocation | None:
    """Return a relocation by its id, whoever asks."""
    row = (await session.execute(sa.select(relocations).where(relocations.c.id == relocation_id))).one_or_none()
    return None if row is None else _relocation(row)


def _relocation(row: Any) -> Relocation:
    return Relocation(**row._mapping)  # ruff: ignore[SLF001] - the documented name for it.


async def of(session: AsyncSession, scope: str) -> list[Relocation]:
    """Return the relocations of a scope and of what lies in it, newest first, at most LISTED_MAX."""
    within = sa.or_(relocations.c.scope == scope, relocations.c.scope.startswith(f"{scope}/", autoescape=True))
    rows = await session.execute(
        sa.select(relocations).where(within).order_by(relocations.c.id.desc()).limit(LISTED_MAX)
    )
    return [_relocation(row) for row in rows]


async def progress(session: AsyncSession, relocation: Relocation, *, audience: Audience) -> Progress:
    """Return how far a relocation is, and which files are in trouble; call `consistently` before the first read."""
    mine = moves.c.relocation_id == relocation.id
    recently = moves.c.copied_at > sa.func.now() - timedelta(seconds=RATE_SECONDS)
    further = await session.execute(
        sa.select(
            sa.func.coalesce(sa.func.sum(moves.c.size).filter(recently), 0),
            sa.func.min(moves.c.switched_at).filter(moves.c.state == MoveState.SWITCHED),
        ).where(mine)
    )
    copied, switched_at = further.one()
    told = ("object_id", "path", "state", "reason", "sha256", "found_sha256", "attempts", "retry_at")
    rows = await session.execute(
        sa.select(
            *(moves.c[name] for name in told), sa.type_coerce(audience.sql_condition(_objects.c.readers), sa.Boolean)
        )
        .join(_objects, _objects.c.id == moves.c.object_id)
        .where(mine, moves.c.reason.is_not(None), moves.c.state != MoveState.CANCELLED)
        .order_by(moves.c.id)
        .limit(TROUBLES_SHOWN_MAX)
    )
    troubles = [Trouble(object_id, path, MoveState(state), *more) for object_id, path, state, *more in rows]
    amounts = await _amounts(session, relocation.id)
    return Progress(relocation, amounts, int(copied) // RATE_SECONDS, switched_at, troubles)


async def _amounts(session: AsyncSession, relocation_id: UUID) -> dict[MoveState, Amount]:
    rows = await session.execute(
        sa.select(moves.c.state, sa.func.count(), sa.func.sum(moves.c.size))
        .where(moves.c.relocation_id == relocation_id)
        .group_by(moves.c.state)
    )
    return {MoveState(state): Amount(files, int(size)) for state, files, size in rows}


async def move_to(
    session: AsyncSession, relocation: Relocation, state: RelocationState, *, action: str, caller: Caller
) -> None:
    """Pause, resume or cancel a relocation; raises Conflict where it stands so that this means nothing.

    Resumed, it tries files anew that it had to leave. Cancelled, files that moved stay where they are now, their bytes
    at the source too, and the others where they were.
    """
    row = await session.execute(sa.select(relocations).where(relocations.c.id == relocation.id).with_for_update())
    now = RelocationState(row.one().state)
    mine = moves.c.relocation_id == relocation.id
    troubled = moves.c.state.in_((MoveState.FAILED, MoveState.MISMATCHED))
    again = now is RelocationState.FINISHED and state is RelocationState.RUNNING
    if again:
        left = await session.execute(sa.select(sa.func.count()).select_from(moves).where(mine, troubled))
        if not left.scalar_one():
            raise Conflict("The relocation is finished, and left no file behind.")
    if state not in STATES[now]:
        raise Conflict(f"The relocation is {now}; it cannot be {state} now.")
    if again:
        await _must_be_alone(session, relocation.scope, relocation.source)
        await _hold(session, organization_of(relocation.scope), relocation.source, relocation.target)
    await _set(session, relocation.id, state)
    if state is RelocationState.RUNNING:
        await session.execute(
            moves.update()
            .where(mine, troubled)
            .values(state=MoveState.WAITING, attempts=0, retry_at=None, reason=None, found_sha256=None)
        )
    elif state is RelocationState.CANCELLED:
        await session.execute(
            moves.update().where(mine, moves.c.state.in_(ON_ITS_WAY)).values(state=MoveState.CANCELLED, retry_at=None)
        )
        kept = {"state": MoveState.KEPT, "reason": "The relocation was cancelled before they were removed."}
        await session.execute(moves.update().where(mine, moves.c.state == MoveState.SWITCHED).values(**kept))
    # Copies for nobody are removed by whoever goes on.
    await queue.put(session, RELOCATE, [str(relocation.id)])
    await audit.note(
        session,
        caller.actor,
        f"{action} relocation",
        f"relocation:{relocation.id}",
        scope=relocation.scope,
        before={"state": now.value},
        after={"state": state.value},
    )


async def _set(session: AsyncSession, relocation_id: UUID, state: RelocationState) -> None:
    await session.execute(
        relocations.update().where(relocations.c.id == relocation_id).values(state=state, changed_at=sa.func.now())
    )


async def lock(session: AsyncSession, relocation_id: UUID) -> None:
    """Keep a relocation as it stands until the transaction ends."""
    await session.execute(sa.select(relocations.c.id).where(relocations.c.id == relocation_id).with_for_update())


async def conclude(session: AsyncSession, relocation_id: UUID) -> None:
    """Note that a running relocation has nothing left to do, if that is so."""
    row = await session.execute(
        sa.select(relocations.c.state).where(relocations.c.id == relocation_id).with_for_update()
    )
    busy = moves.c.state.in_((*ON_ITS_WAY, MoveState.SWITCHED))
    left = sa.select(sa.exists().where(moves.c.relocation_id == relocation_id, busy))
    if row.scalar_one() == RelocationState.RUNNING and not (await session.execute(left)).scalar_one():
        await _set(session, relocation_id, RelocationState.FINISHED)


async def must_not_use(session: AsyncSession, name: str, *, told: type[Conflict]) -> None:
    """Raise the error with the figures while a relocation brings files into a backend or takes them out of it."""
    used = sa.or_(relocations.c.source == name, relocations.c.target == name)
    row = (
        await session.execute(
            sa.select(relocations).where(used, relocations.c.state.in_(LIVE)).order_by(relocations.c.id).limit(1)
        )
    ).one_or_none()
    if row is None:
        return
    amounts = await _amounts(session, row.id)

    def files(*states: MoveState) -> int:
        return sum(amounts[state].files for state in states if state in amounts)

    way = "out of it" if row.source == name else "into it"
    raise told(
        f"The relocation {row.id} moves files {way}: {files(*ON_ITS_WAY):,} have not moved yet, and of "
        f"{files(MoveState.SWITCHED):,} that have the old bytes are not removed yet. Wait for it, or cancel it first."
    )

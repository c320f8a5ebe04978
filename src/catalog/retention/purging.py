"""The bytes of a withdrawn object, deleted because an admin asks for it: after a grace period, in which it is undone.

Runs in the caller's transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.audience import Role
from catalog.access.callers import Caller
from catalog.errors import Conflict, Forbidden
from catalog.objects import changing, history, reading
from catalog.objects.reading import Entry
from catalog.retention import clock, facts, leftovers
from catalog.retention.deciding import Policy
from catalog.retention.leftovers import Why
from catalog.retention.tables import Leftover

_leftovers = SQLModel.metadata.tables[str(Leftover.__tablename__)]


class Kept(Conflict):
    """Something keeps the bytes of this object."""


@dataclass(frozen=True, slots=True)
class Purge:
    """How many keys are to be deleted, and when."""

    keys: int
    removes_at: datetime


async def ask(
    session: AsyncSession, object_id: UUID, reason: str, *, versions: bool, caller: Caller, policy: Policy
) -> Purge:
    """Have the bytes of a withdrawn object deleted after the grace period; `versions`: published ones too.

    Raises NotFound, Forbidden unless by an admin of its project, Conflict for one that is there, Kept.
    """
    entry = await _held(session, object_id, caller)
    if entry.withdrawn_at is None:
        raise Conflict("The object is there: withdraw it first. Only the bytes of a withdrawn object can be purged.")
    (known,) = await facts.of(session, [object_id])
    told = [
        text
        for text, stands in (
            ("it has a DOI, or a snapshot with one names it", known.has_doi),
            ("a hold lies on it or on its project", known.held),
            ("other objects are made from it or name it", known.depended_on),
            (
                f"it has {known.versions} published versions, and `versions` is not said",
                known.versions and not versions,
            ),
        )
        if stands
    ]
    if told:
        raise Kept(f"The bytes stay: {'; '.join(told)}.")
    moment = await clock.now(session)
    removes_at = moment.at + policy.grace
    keys = await leftovers.add(session, object_id, Why.PURGED, removes_at, moment)
    changes = {"reason": reason, "keys": keys, "removes_at": removes_at.isoformat()}
    await history.note(session, object_id, by=caller.id, action="purge", changes=changes)
    return Purge(keys, removes_at)


async def undo(session: AsyncSession, object_id: UUID, *, caller: Caller) -> None:
    """Leave the bytes of a withdrawn object where they are after all; raises NotFound, Forbidden, Conflict."""
    await _held(session, object_id, caller)
    here = (_leftovers.c.object_id == object_id, _leftovers.c.why == Why.PURGED, _leftovers.c.ended_at.is_(None))
    # What the indexer has let go of cannot be had back: its file names no place any more.
    moment = await clock.now(session)
    gone = await session.execute(
        _leftovers.delete().where(*here, _leftovers.c.removes_at > moment.at).returning(_leftovers.c.id)
    )
    if not gone.all():
        raise Conflict("Nothing of this object waits to be purged.")
    await history.note(session, object_id, by=caller.id, action="undo purge")


async def _held(session: AsyncSession, object_id: UUID, caller: Caller) -> Entry:
    caller.must_be_known()
    await changing.lock(session, object_id)
    entry = await reading.find_even_withdrawn(session, object_id, caller.audience)
    if caller.role_in(entry.project) is not Role.ADMIN:
        raise Forbidden(f"Deleting bytes is the business of the admins of {entry.project}.")
    return entry

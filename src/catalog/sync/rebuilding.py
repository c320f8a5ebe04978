"""Building the index anew beside the one that is searched: how far it is, which indices are written, what may follow.

Everything that has to outlive a process stands in one row, and each step is a move of its state. Only the indexer
writes documents; whoever asks for a rebuild writes the row, and the queue has it looked at.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.database import Database
from catalog.errors import CatalogError, Conflict
from catalog.objects import changing
from catalog.search import concrete
from catalog.search.index import Index
from catalog.sync.tables import ENDED, MOVES, UNFINISHED, Rebuild, State

# What is queued: take the next step of the rebuild with this id.
REBUILD = "rebuild"
# More are counted, and not named.
DIFFERENCES_NAMED_MAX = 100
# What those before have left was removed by then.
LOOKED_BACK = 10

_rebuilds = SQLModel.metadata.tables["rebuild"]
_queue = SQLModel.metadata.tables["queue"]
_objects = SQLModel.metadata.tables["object"]

# Of an advisory lock: whoever begins one.
_BEGINNING = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('rebuild', 0))")

NEW_IS_SEARCHED = frozenset({State.SWAPPING, State.KEPT})
_STANDING_FOR_NEW = frozenset({State.FILLING, State.VERIFYING, *NEW_IS_SEARCHED})


class OfAnotherVersion(CatalogError):
    """The index is for documents of another version of the catalog, whose indexers write them."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Where documents are written: the index that is searched, and one beside it where there is one.

    `rebuild` is why there are two; `foreign` says that the first was made for another mapping than documents are.
    """

    live: Index
    beside: Index | None = None
    rebuild: Rebuild | None = None
    foreign: bool = False


async def latest(session: AsyncSession) -> Rebuild | None:
    """Return the rebuild that goes on, or the last one that there was."""
    rows = await session.execute(sa.select(_rebuilds).order_by(_rebuilds.c.id.desc()).limit(1))
    row = rows.mappings().one_or_none()
    return None if row is None else Rebuild(**row)


async def with_id(session: AsyncSession, rebuild_id: UUID, *, locked: bool = False) -> Rebuild | None:
    """Return a rebuild as it stands, held against every move where that is asked for."""
    asked = sa.select(_rebuilds).where(_rebuilds.c.id == rebuild_id)
    row = (await session.execute(asked.with_for_update() if locked else asked)).mappings().one_or_none()
    return None if row is None else Rebuild(**row)


async def rate(session: AsyncSession) -> float | None:
    """Return how many objects were filled in a second the last time that it was measured."""
    measured = _rebuilds.c.filled_at.is_not(None) & (_rebuilds.c.seconds > 0) & (_rebuilds.c.filled > 0)
    asked = sa.select(_rebuilds.c.filled / _rebuilds.c.seconds).where(measured).order_by(_rebuilds.c.id.desc()).limit(1)
    found = (await session.execute(asked)).scalar_one_or_none()
    return None if found is None else float(found)


async def objects(session: AsyncSession) -> int:
    """Return how many objects there are, withdrawn ones too: each has a document, or a tombstone for a while."""
    return int((await session.execute(sa.select(sa.func.count()).select_from(_objects))).scalar_one())


def targets(index: Index, one: Rebuild | None) -> Targets:
    """Return where documents have to be written; ask for the rebuild after claiming what is to be written.

    Whatever was claimed before a second target was there is of a state that filling it reads or has left behind. Raises
    OfAnotherVersion where the index that is searched, or becomes so, is for documents that this version does not make.
    """
    if one is None or one.old is None or one.new is None:
        return Targets(index)
    state = State(one.state)
    if one.version != index.shape.version:
        if state in _STANDING_FOR_NEW or (state is State.FINISHED and one.swapped_at is not None):
            raise OfAnotherVersion
        return Targets(index)
    old = index.beside(concrete.own_alias(one.old), one.old_fields)
    new = index.beside(concrete.own_alias(one.new))
    foreign = one.old_fields is not None
    if state in ENDED:
        # Where the old one goes on being searched, it goes on knowing its fields alone.
        stays = foreign and one.swapped_at is None
        return Targets(old, None, one, foreign=True) if stays else Targets(index)
    if state in NEW_IS_SEARCHED:
        return Targets(new, None if one.lost else old, one)
    return Targets(old, None if one.lost else new, one, foreign)


async def begin(session: AsyncSession, *, version: str, why: str) -> Rebuild:
    """Return the rebuild that goes on for this mapping, or a new one; raises Conflict while an index is kept."""
    await session.execute(_BEGINNING)
    one = await latest(session)
    if one is not None and State(one.state) not in ENDED:
        if State(one.state) in {State.KEPT, State.BACK}:
            raise Conflict(
                f"The index {one.old if one.state == State.KEPT else one.new!r} of the last rebuild is still kept:"
                " `catalog reindex --finish` removes it, `catalog reindex --rollback` goes back to it."
            )
        if one.version == version:
            await look(session, one.id)
            return one
        raise Conflict("A rebuild for another version of the catalog goes on: `catalog reindex --cancel` ends it.")
    return await _begun(session, version=version, why=why)


async def begin_for_mapping(session: AsyncSession, *, version: str, why: str) -> Rebuild:
    """Return the rebuild for this mapping, or begin one; one for another mapping is given up, and so is what it kept.

    Whoever went back to the old index meant to: that is left as it is.
    """
    await session.execute(_BEGINNING)
    one = await latest(session)
    if one is not None and State(one.state) not in ENDED:
        if one.version == version:
            await look(session, one.id)
            return one
        await move(session, one, State.CANCELLED if State(one.state) in UNFINISHED else State.FINISHED)
        await queue.put(session, REBUILD, [str(one.id)])
    return await _begun(session, version=version, why=why)


async def _begun(session: AsyncSession, *, version: str, why: str) -> Rebuild:
    told = {"id": uuid7(), "state": State.WAITING, "version": version, "why": why}
    made = await session.execute(_rebuilds.insert().values(**told).returning(*_rebuilds.c))
    one = Rebuild(**made.mappings().one())
    await look(session, one.id)
    return one


async def look(session: AsyncSession, rebuild_id: UUID) -> None:
    """Have the next step taken, unless somebody is at it: a step that was given up is tried again."""
    taken = sa.select(_queue.c.id).where(
        _queue.c.topic == REBUILD, _queue.c.subject == str(rebuild_id), _queue.c.parked_at.is_(None)
    )
    if (await session.execute(taken)).first() is None:
        await queue.put(session, REBUILD, [str(rebuild_id)])


async def retry_parked(session: AsyncSession) -> None:
    """Try again what was parked for an index of another mapping, which may have been the reason."""
    parked = (_queue.c.topic == changing.INDEX) & _queue.c.parked_at.is_not(None)
    subjects = (await session.execute(sa.select(_queue.c.subject).where(parked))).scalars().all()
    await queue.put(session, changing.INDEX, subjects)


async def move(session: AsyncSession, one: Rebuild, to: State, **values: Any) -> bool:
    """Move a rebuild on from the state that it was seen in; return whether it still was."""
    if to not in MOVES.get(State(one.state), ()):
        raise ValueError(f"No rebuild goes from {one.state} to {to}.")
    if to in ENDED:
        values["ended_at"] = sa.func.now()
    return await note(session, one, state=to, **values)


async def note(session: AsyncSession, one: Rebuild, **values: Any) -> bool:
    """Note something of a rebuild in the state that it was seen in; return whether it still was."""
    mine = (_rebuilds.c.id == one.id) & (_rebuilds.c.state == one.state)
    done = await session.execute(_rebuilds.update().where(mine).values(**values).returning(_rebuilds.c.id))
    return done.first() is not None


async def fail(session: AsyncSession, one: Rebuild, fault: str, **values: Any) -> bool:
    """End a rebuild before its index is searched: nobody notices; return whether it was still as it was seen."""
    failed = await move(session, one, State.FAILED, fault=fault, **values)
    if failed:
        await queue.put(session, REBUILD, [str(one.id)])
    return failed


async def spoil(session: AsyncSession, one: Rebuild, name: str, why: str) -> bool:
    """Give up the index of that own alias, which lacks something; return False if it is the one that is searched."""
    present = await with_id(session, one.id, locked=True)
    if present is None or State(present.state) in ENDED:
        return True
    state = State(present.state)
    searched = present.new if state in NEW_IS_SEARCHED else present.old
    if searched is None or name == concrete.own_alias(searched):
        return False
    if state in UNFINISHED:
        return await fail(session, present, why)
    return await note(session, present, lost=present.lost or why)


async def cancel(session: AsyncSession) -> Rebuild:
    """End the unfinished rebuild; raises Conflict where there is none."""
    one = await _locked(session)
    if one is None or State(one.state) not in UNFINISHED:
        raise Conflict("No rebuild is unfinished." + _way_out(one))
    await move(session, one, State.CANCELLED)
    await queue.put(session, REBUILD, [str(one.id)])
    return one


async def finish(session: AsyncSession) -> Rebuild:
    """Forget the index that is kept; raises Conflict where none is."""
    one = await _locked(session)
    if one is None or State(one.state) not in {State.KEPT, State.BACK}:
        raise Conflict("No index is kept.")
    await move(session, one, State.FINISHED)
    await queue.put(session, REBUILD, [str(one.id)])
    return one


async def go_back(database: Database, index: Index) -> Rebuild:
    """Let searches be answered by the old index again, in one step; raises Conflict where there is none that could.

    Killed in between, it is done again: what stands behind the alias is the truth.
    """
    async with database.transaction() as session:
        one = await _must_go_back(session)
    await concrete.swap(index, str(one.old), instead_of=one.new)
    async with database.transaction() as session:
        await move(session, one, State.BACK, swapped_at=None)
    return one


async def _must_go_back(session: AsyncSession) -> Rebuild:
    """Return the rebuild that can be undone; raises Conflict where none can."""
    one = await _locked(session)
    if one is None or one.state != State.KEPT or one.old is None or one.new is None:
        raise Conflict("There is no index to go back to.")
    if one.lost:
        raise Conflict(f"The old index does not have everything any more: {one.lost}")
    return one


async def _locked(session: AsyncSession) -> Rebuild | None:
    one = await latest(session)
    return None if one is None else await with_id(session, one.id, locked=True)


def _way_out(one: Rebuild | None) -> str:
    kept = one is not None and one.state in {State.KEPT, State.BACK}
    return " An index is kept: `catalog reindex --finish` removes it." if kept else ""


async def leftovers(session: AsyncSession, live: str) -> set[str]:
    """Return the indices of rebuilds that have ended, which nothing needs any more."""
    asked = sa.select(_rebuilds.c.old, _rebuilds.c.new, _rebuilds.c.state).order_by(_rebuilds.c.id.desc())
    rows = (await session.execute(asked.limit(LOOKED_BACK))).all()
    made = {name for old, new, _ in rows for name in (old, new) if name}
    needed = {name for old, new, state in rows if State(state) not in ENDED for name in (old, new) if name}
    return made - needed - {live}


async def recover(session: AsyncSession, index: Index) -> bool:
    """Where nothing stands behind the alias, put there what is whole, if anything is; return whether something was.

    Several indexers that start at once do it one after the other. A rebuild that goes on ends: it has nothing beside
    which to be built.
    """
    one = await _locked(session)
    if one is None or one.old is None or one.new is None or await concrete.behind(index) is not None:
        return False
    state = State(one.state)
    searched = one.new if state in NEW_IS_SEARCHED or one.swapped_at is not None else one.old
    # The other one has everything as well, while it is kept and has lost nothing.
    kept = {one.old, one.new} if state in {*NEW_IS_SEARCHED, State.BACK} and not one.lost else {searched}
    there = {name for name in (one.old, one.new) if await concrete.is_there(index, name)}
    whole = [name for name in sorted(kept, key=lambda name: name != searched) if name in there]
    gone = "The index that was searched is gone."
    if state not in ENDED:
        await move(session, one, State.FAILED if state in UNFINISHED else State.FINISHED, fault=gone)
        one = await with_id(session, one.id) or one
    if not whole:
        # Were one left, none of its name could be made. Whatever is made now is as this version wants it.
        await concrete.remove(index, there)
        await note(session, one, old=None, new=None, old_fields=None)
        return False
    await concrete.swap(index, whole[0], instead_of=None)
    if whole[0] == one.new:
        await note(session, one, old_fields=None, swapped_at=one.swapped_at or sa.func.now())
    else:
        await note(session, one, swapped_at=None)
    await queue.put(session, REBUILD, [str(one.id)])
    return True


async def forget(session: AsyncSession, index: Index) -> None:
    """Forget all rebuilds and remove what they made: the database is of another time than the indices."""
    await session.execute(_queue.delete().where(_queue.c.topic == REBUILD))
    await session.execute(_rebuilds.delete())
    await concrete.remove(index, await concrete.took_part(index))


def told(one: Rebuild) -> dict[str, Any]:
    """Return what there is to know of a rebuild."""
    hidden = {"old_fields", "stride", "after", "upto"}
    return {name: value for name, value in one.model_dump(mode="json").items() if name not in hidden}


@dataclass(frozen=True, slots=True)
class Plan:
    """Whether a rebuild is needed, why, and what it would have to do; `seconds` is None before any was measured."""

    needed: bool
    reasons: list[str]
    objects: int
    documents: int
    bytes: int
    seconds: float | None


async def plan(session: AsyncSession, index: Index) -> Plan:
    """Return what a rebuild would do; changes nothing."""
    count, measured = await objects(session), await rate(session)
    standing = await concrete.behind(index)
    seconds = None if measured is None else round(count / measured, 1)
    if standing is None:
        why = ["There is no index. `catalog migrate`, or the start of an indexer, makes and fills it."]
        return Plan(needed=True, reasons=why, objects=count, documents=0, bytes=0, seconds=seconds)
    documents, stored = await concrete.size(index)
    if count and not documents:
        # What was written within the last second is counted once the index has been refreshed.
        await index.refresh()
        documents, stored = await concrete.size(index)
    reasons = []
    if standing.version != index.shape.version:
        reasons.append(why_shape(standing, index))
    if count and not documents:
        reasons.append("The index is empty. The start of an indexer fills it where it stands, too.")
    notes = []
    if standing.refresh != index.refresh_interval:
        notes.append(
            f"It refreshes every {standing.refresh} and should every {index.refresh_interval}: the start of an indexer"
            " changes that where it stands."
        )
    return Plan(bool(reasons), [*reasons, *notes], count, documents, stored, seconds)


def why_shape(standing: concrete.Standing, index: Index) -> str:
    """Return the reason to rebuild what was made for other shards or another mapping."""
    wanted = index.shape.body(refresh_interval=index.refresh_interval)["settings"]["index"]["number_of_shards"]
    if standing.shards != wanted:
        return f"The index {standing.name} has shards: {standing.shards}; it should have {wanted}."
    return why_mapping(standing, index.shape.version)


def why_mapping(standing: concrete.Standing, version: str) -> str:
    """Return the reason to rebuild what was made for another mapping."""
    return f"The index {standing.name} was made for mapping {standing.version}, this version needs {version}."


class WaitsForMigration(CatalogError):
    """The index was made for another mapping, and nothing has it built anew: run `catalog migrate`."""


async def is_served(session: AsyncSession, index: Index) -> bool:
    """Return whether documents can be written to an index of another mapping by now; if not, the next step is due.

    Raises WaitsForMigration where nobody has asked for a rebuild. An indexer asks for none: of two versions that run
    beside each other, each would undo what the other has built.
    """
    one = await latest(session)
    if one is None or one.version != index.shape.version:
        raise WaitsForMigration
    if one.state == State.WAITING:
        return False
    if one.old_fields is None:
        raise WaitsForMigration
    return True


Named = Mapping[str, Any]


def named(before: Collection[Named], found: Collection[Named]) -> list[Named]:
    """Return those differences that are named: the first ones."""
    return [*before, *found][:DIFFERENCES_NAMED_MAX]

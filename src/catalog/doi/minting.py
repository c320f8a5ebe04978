"""Making DOIs, and what a person does about those that failed: mint, find, list, try again.

Every verb runs in the caller's transaction and talks to nobody: the registry is the indexer's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog import queue
from catalog.access.audience import Audience
from catalog.access.principals import Caller
from catalog.doi import describing, names, preflight
from catalog.doi.describing import House
from catalog.doi.names import Subject
from catalog.doi.tables import PUBLIC, Doi, DoiState
from catalog.errors import Conflict, Fault, NotFound, Unprocessable
from catalog.objects import changing, history, versions
from catalog.objects.reading import Entry
from catalog.objects.tables import CatalogObject
from catalog.quality import assessing
from catalog.quality.assessing import Level
from catalog.quality.facts import facts_of
from catalog.snapshots import freezing

TOPIC = changing.DOI
# Whoever is here has been found to see the object.
EVERYBODY = Audience(frozenset(), everything=True)

_dois = SQLModel.metadata.tables[str(Doi.__tablename__)]
_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_snapshots = SQLModel.metadata.tables["snapshot"]


class NotReady(Unprocessable):
    """Something stands between this and its DOI; each fault says what."""


class NothingFailed(Conflict):
    """The DOI has not failed: there is nothing to try again."""


@dataclass(frozen=True, slots=True)
class DoiView:
    """A DOI as it stands."""

    doi: str
    object_id: UUID | None
    version: int | None
    snapshot_id: UUID | None
    state: DoiState
    created_at: datetime
    changed_at: datetime
    attempts: int
    reason: str | None
    faults: Sequence[Fault]
    registered: dict[str, Any] | None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What stands between something and its DOI, and what it had better say."""

    faults: list[Fault]
    advice: list[Fault]


async def check(session: AsyncSession, entry: Entry, house: House, version: int | None = None) -> Checked:
    """Return what stands between an object, or a version of it, and its DOI; raises NotFound, Gone for the version."""
    published = None
    if version is not None:
        view = await versions.find(session, entry.id, str(version), EVERYBODY)
        published = await versions.read(session, view)
    doi = names.doi_of(house.prefix, Subject(entry.id, version))
    work = await describing.work_of(session, entry, house, published=published, doi=doi)
    public = entry.record["visibility"] == "public"
    faults = preflight.faults_of(work, public=public, published=entry.version is not None)
    return Checked([*faults, *await _required(session, entry)], preflight.advice_on(work))


async def _required(session: AsyncSession, entry: Entry) -> list[Fault]:
    """Return what a record must have before it is cited: the checks of its quality that decide whether it passes."""
    (facts,) = await facts_of(session, [assessing.told(entry)])
    report = assessing.assess(facts)
    return [fault for one in report.checks if one.level is Level.REQUIRED for fault in one.faults]


async def mint(
    session: AsyncSession, object_id: UUID, *, version: int | None, caller: Caller, house: House
) -> tuple[DoiView, bool]:
    """Reserve the DOI of an object or version and queue it for the registry; returns it, and whether it is new.

    The text is fixed by what it names: whoever asks again gets the same. Raises NotFound, Gone, Forbidden, and NotReady
    with everything that is missing or malformed; then nothing is reserved.
    """
    entry = await changing.locked(session, object_id, caller, None)
    subject = Subject(object_id, version)
    doi = names.doi_of(house.prefix, subject)
    known = await find(session, doi)
    if known is not None:
        return known, False
    checked = await check(session, entry, house, version)
    if checked.faults:
        raise NotReady("Nothing was reserved: mend what is listed, then ask again.", faults=checked.faults)
    return await _reserved(session, doi, subject, caller), True


async def mint_snapshot(
    session: AsyncSession, snapshot_id: UUID, *, caller: Caller, house: House
) -> tuple[DoiView, bool]:
    """Reserve the DOI of a snapshot and queue it; returns it, and whether it is new.

    Raises NotFound, Gone, Forbidden unless the caller took it or looks after all, NotReady.
    """
    snapshot = await freezing.find(session, snapshot_id)
    freezing.must_change(snapshot, caller)
    doi = names.doi_of(house.prefix, Subject(snapshot_id))
    known = await find(session, doi)
    if known is not None:
        return known, False
    faults = preflight.faults_of(describing.snapshot_work(snapshot, house, doi=doi), public=True, published=True)
    if faults:
        raise NotReady("Nothing was reserved: take a snapshot that says what is listed.", faults=faults)
    return await _reserved(session, doi, Subject(snapshot_id), caller, snapshot=True), True


async def _reserved(
    session: AsyncSession, doi: str, subject: Subject, caller: Caller, *, snapshot: bool = False
) -> DoiView:
    """Fix the text of a DOI, have the registry told of it, and return it as it stands then."""
    made = insert(_dois).values(
        doi=doi,
        object_id=None if snapshot else subject.id,
        version=subject.version,
        snapshot_id=subject.id if snapshot else None,
        state=DoiState.RESERVED,
        principal_id=caller.must_be_known(),
    )
    await session.execute(made.on_conflict_do_nothing())
    await queue.put(session, TOPIC, [doi])
    if not snapshot:
        # Found by its DOI from now on.
        await changing.write_documents_anew(session, [subject.id])
    await history.note(session, subject.id, by=caller.must_be_known(), action="mint doi", changes={"doi": doi})
    kept = await find(session, doi)
    if kept is None:
        raise NotFound(f"The DOI {doi} was not kept.")
    return kept


def _views() -> sa.Select[Any]:
    return sa.select(
        _dois.c.doi,
        _dois.c.object_id,
        _dois.c.version,
        _dois.c.snapshot_id,
        _dois.c.state,
        _dois.c.created_at,
        _dois.c.changed_at,
        _dois.c.attempts,
        _dois.c.reason,
        _dois.c.errors,
        _dois.c.registered,
        sa.func.coalesce(_objects.c.record["title"].astext, _snapshots.c.record["title"].astext).label("title"),
    ).select_from(
        _dois.outerjoin(_objects, _objects.c.id == _dois.c.object_id).outerjoin(
            _snapshots, _snapshots.c.id == _dois.c.snapshot_id
        )
    )


def _view(row: Any) -> DoiView:
    return DoiView(
        row.doi,
        row.object_id,
        row.version,
        row.snapshot_id,
        DoiState(row.state),
        row.created_at,
        row.changed_at,
        row.attempts,
        row.reason,
        [Fault(one["pointer"], one["message"]) for one in row.errors or ()],
        row.registered,
        row.title,
    )


async def find(session: AsyncSession, doi: str) -> DoiView | None:
    """Return a DOI as it stands, whoever may see its subject; none where there is none."""
    row = (await session.execute(_views().where(_dois.c.doi == doi))).one_or_none()
    return None if row is None else _view(row)


async def all_of(session: AsyncSession, object_id: UUID) -> list[DoiView]:
    """Return the DOIs of an object and of its versions; the object has been found before."""
    rows = await session.execute(_views().where(_dois.c.object_id == object_id).order_by(_dois.c.version.nulls_first()))
    return [_view(row) for row in rows]


async def page(
    session: AsyncSession,
    caller: Caller,
    *,
    state: DoiState | None,
    attention: bool,
    after: str | None,
    limit: int,
) -> list[DoiView]:
    """Return the next DOIs of what the caller may change, by their text, after the one named.

    With `attention`: those that failed, and those whose last change the registry refused.
    """
    conditions = [_changeable(caller)]
    if state is not None:
        conditions.append(_dois.c.state == state)
    if attention:
        conditions.append(sa.or_(_dois.c.state == DoiState.FAILED, _dois.c.errors.is_not(None)))
    if after is not None:
        conditions.append(_dois.c.doi.collate("C") > after)
    statement = _views().where(*conditions).order_by(_dois.c.doi.collate("C")).limit(limit)
    return [_view(row) for row in await session.execute(statement)]


def _changeable(caller: Caller) -> sa.ColumnElement[bool]:
    """Return the condition under which a caller may change what a DOI names; a snapshot is of whoever cited it.

    To have made the DOI of an object is not enough: the object may have been hidden from its maker since.
    """
    if caller.changes.everything:
        return sa.true()
    changes = caller.changes.sql_condition(_objects.c.writers)
    own = sa.and_(_dois.c.object_id.is_(None), _dois.c.principal_id == caller.id)
    # A snapshot lies in no place.
    return changes if caller.place is not None else sa.or_(changes, own)


async def seen(session: AsyncSession, doi: str, caller: Caller) -> tuple[DoiView, bool]:
    """Return a DOI, and whether the caller may change what it names; raises NotFound.

    Others see those that are or were public. One statement, so that a hidden one takes the time of an absent one.
    """
    absent = NotFound(f"There is no DOI {doi[:80]!r} that you may see.")
    if "\x00" in doi:
        raise absent
    whole = sa.func.coalesce(_changeable(caller), sa.false())
    asked = (
        _views().add_columns(whole.label("whole")).where(_dois.c.doi == doi, sa.or_(whole, _dois.c.state.in_(PUBLIC)))
    )
    row = (await session.execute(asked)).one_or_none()
    if row is None:
        raise absent
    return _view(row), row.whole


async def retry(session: AsyncSession, doi: str) -> DoiView:
    """Have the registry told again; the caller has been found to be allowed. Raises NotFound, NothingFailed."""
    known = await find(session, doi)
    if known is None:
        raise NotFound(f"There is no DOI {doi[:80]} that you may see.")
    if known.state != DoiState.FAILED and not known.faults and known.reason is None:
        raise NothingFailed(f"The DOI {doi} is {known.state}: there is nothing to try again.")
    await session.execute(_dois.update().where(_dois.c.doi == doi).values(judged_digest=None))
    await queue.put(session, TOPIC, [doi])
    return known


async def locked_out(session: AsyncSession) -> int:
    """Queue every DOI for which the registry refused the catalog itself: its account may have been mended since."""
    rows = await session.execute(
        _dois.update().where(_dois.c.locked_out).values(judged_digest=None, locked_out=False).returning(_dois.c.doi)
    )
    dois = [row.doi for row in rows]
    await queue.put(session, TOPIC, dois)
    return len(dois)


async def kin_of(session: AsyncSession, row: Any) -> list[str]:
    """Return the other DOIs of the same object: an object's names its versions', and theirs name it."""
    if row.object_id is None:
        return []
    found = await session.execute(
        sa.select(_dois.c.doi).where(_dois.c.object_id == row.object_id, _dois.c.doi != row.doi)
    )
    return [one.doi for one in found]

"""What the registry shall be told of a DOI now, and what its answer means for the DOI's state.

`plan` and `conclude` each run in a short transaction of their own; between them no transaction is open, and nothing but
the DOI's own row says that a request is under way. The subject is never locked.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.database import now
from catalog.doi import describing, minting, preflight
from catalog.doi.describing import House
from catalog.doi.registry import Event
from catalog.doi.tables import PUBLIC, Doi, DoiState, move
from catalog.errors import CatalogError, Fault, Gone, NotFound
from catalog.exchange import datacite
from catalog.exchange.work import Work
from catalog.objects import history, reading, versions
from catalog.snapshots import freezing

_dois = SQLModel.metadata.tables[str(Doi.__tablename__)]


@dataclass(frozen=True, slots=True)
class Request:
    """What to tell the registry: these attributes, and what shall become of the DOI."""

    doi: str
    attributes: dict[str, Any]
    event: Event
    digest: str
    # By which its answer is told from those to other requests.
    until: datetime


@dataclass(frozen=True, slots=True)
class Later:
    """A request of ours may still be under way until then."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What a DOI names as it stands now: none of it, where it is not for everybody to see."""

    work: Work | None
    faults: list[Fault]


async def plan(session: AsyncSession, doi: str, house: House, *, under_way: timedelta) -> Request | Later | None:
    """Return what to tell the registry, noted as under way for that long; none where it knows all, or must not know.

    Metadata that fails the preflight by now is not sent: the DOI fails with the faults, or keeps what was registered.
    """
    row = (await session.execute(sa.select(_dois).where(_dois.c.doi == doi).with_for_update())).one_or_none()
    if row is None:
        return None
    if row.sending_until is not None and row.sending_until > now():
        return Later(row.sending_until)
    state = DoiState(row.state)
    until = now() + under_way
    standing = await _standing(session, row, house)
    if standing.work is None:
        request = _hiding(row, state, house, until)
        if request is None:
            await _set(session, doi, reason=None if state in PUBLIC else "Its subject is not public now.")
            return None
    else:
        attributes = datacite.datacite_from(standing.work)
        request = Request(doi, attributes, Event.PUBLISH, _digest(attributes, Event.PUBLISH), until)
        if row.judged_digest == request.digest and state in {DoiState.FINDABLE, DoiState.FAILED}:
            return None
        if standing.faults:
            await _refuse(session, row, request.digest, standing.faults, "The preflight found faults.")
            return None
    values: dict[str, Any] = {"attempts": row.attempts + 1, "sending_until": until}
    if state in {DoiState.RESERVED, DoiState.FAILED}:
        values["state"] = move(state, DoiState.REGISTERING)
    await _set(session, doi, **values)
    return request


async def _standing(session: AsyncSession, row: Any, house: House) -> Standing:
    if row.snapshot_id is not None:
        snapshot = await freezing.find_even_withdrawn(session, row.snapshot_id)
        if snapshot.withdrawn_at is not None:
            return Standing(None, [])
        frozen = describing.snapshot_work(snapshot, house, doi=row.doi)
        return Standing(frozen, preflight.faults_of(frozen, public=True, published=True))
    entries = await reading.read_for_index(session, [row.object_id])
    entry = next(iter(entries), None)
    if entry is None or entry.withdrawn_at is not None or entry.record["visibility"] != "public":
        return Standing(None, [])
    if entry.version is None:
        # Nothing of it is published any more.
        return Standing(None, [])
    published = None
    if row.version is not None:
        try:
            view = await versions.find(session, entry.id, str(row.version), minting.EVERYBODY)
        except (NotFound, Gone):
            return Standing(None, [])
        published = await versions.read(session, view)
    work = await describing.work_of(session, entry, house, published=published, doi=row.doi)
    return Standing(work, preflight.faults_of(work, public=True, published=True))


def _hiding(row: Any, state: DoiState, house: House, until: datetime) -> Request | None:
    """Return the request that hides a DOI whose subject is gone or private; none where nobody has seen it."""
    perhaps_known = state == DoiState.FINDABLE or (state == DoiState.REGISTERING and row.attempts > 0)
    if not perhaps_known:
        return None
    # The registry keeps what it has; the page says what became of it.
    attributes = {"url": house.page_of(row.doi)}
    return Request(row.doi, attributes, Event.HIDE, _digest(attributes, Event.HIDE), until)


def _digest(attributes: dict[str, Any], event: Event) -> str:
    return hashlib.sha256(msgspec.json.encode([attributes, event], order="deterministic")).hexdigest()


async def still_ours(session: AsyncSession, request: Request) -> bool:
    """Whether the row still waits for the answer to this request; it is locked until the transaction ends."""
    row = await _locked(session, request.doi)
    return bool(row.sending_until == request.until)


async def agreed(session: AsyncSession, request: Request) -> list[str]:
    """Keep that the registry agreed: the DOI is findable or hidden from now on; return which others name it."""
    row = await _locked(session, request.doi)
    state = DoiState(row.state)
    values: dict[str, Any] = {"judged_digest": request.digest}
    if request.event is Event.PUBLISH:
        # What was hidden and is public again comes back the way it went.
        values |= {"state": move(state, DoiState.FINDABLE), "registered": request.attributes}
    elif state == DoiState.REGISTERING:
        # It may have been findable for a moment, of which nobody here was told. Now it is not.
        values |= {"state": move(state, DoiState.FAILED), "reason": "Its subject is not public any more."}
    else:
        values["state"] = move(state, DoiState.HIDDEN)
    settled = {"attempts": 0, "errors": None, "reason": None, "locked_out": False, "sending_until": None}
    await _set(session, request.doi, **settled | values)
    if values["state"] == state:
        return []
    await _note(session, row, f"doi {values['state']}")
    return await minting.kin_of(session, row)


async def refused(session: AsyncSession, request: Request, fault: CatalogError, *, locked_out: bool = False) -> None:
    """Keep why the registry refused: a DOI that was being registered fails; one that is public stays as it was."""
    row = await _locked(session, request.doi)
    await _refuse(session, row, request.digest, list(fault.faults), fault.detail, locked_out=locked_out)


async def _refuse(
    session: AsyncSession, row: Any, digest: str, faults: list[Fault], reason: str, *, locked_out: bool = False
) -> None:
    state = DoiState(row.state)
    values: dict[str, Any] = {
        "judged_digest": digest,
        "errors": [{"pointer": one.pointer, "message": one.message} for one in faults] or None,
        "reason": reason,
        "locked_out": locked_out,
        "sending_until": None,
    }
    if state in {DoiState.RESERVED, DoiState.FAILED}:
        state = move(state, DoiState.REGISTERING)
    if state == DoiState.REGISTERING:
        state = move(state, DoiState.FAILED)
    await _set(session, row.doi, **values | {"state": state})
    if state != row.state:
        await _note(session, row, f"doi {state}")


async def unanswered(session: AsyncSession, request: Request, reason: str, *, perhaps_arrived: bool) -> None:
    """Keep why there was no answer; where the request may have arrived, its time is waited for."""
    values: dict[str, Any] = {"reason": reason}
    if not perhaps_arrived:
        values["sending_until"] = None
    await _set(session, request.doi, **values)


async def _locked(session: AsyncSession, doi: str) -> Any:
    return (await session.execute(sa.select(_dois).where(_dois.c.doi == doi).with_for_update())).one()


async def _set(session: AsyncSession, doi: str, **values: Any) -> None:
    await session.execute(_dois.update().where(_dois.c.doi == doi).values(changed_at=sa.func.now(), **values))


async def _note(session: AsyncSession, row: Any, action: str) -> None:
    subject = row.object_id or row.snapshot_id
    await history.note(session, subject, by=None, action=action, changes={"doi": row.doi})

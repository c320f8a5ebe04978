"""An object as a work, with what others may be told of its relations and its DOI."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from urllib.parse import quote
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.audience import ANONYMOUS, Audience
from catalog.doi.names import Subject
from catalog.doi.tables import PUBLIC, Doi
from catalog.exchange.work import SNAPSHOT, Part, Related, Work
from catalog.objects import reading
from catalog.objects.reading import Entry
from catalog.objects.versions import Published
from catalog.provenance import recording
from catalog.provenance.statements import RelationType
from catalog.snapshots.freezing import SnapshotView
from catalog.vocabulary import looking_up

# The registry takes more; a record of a thousand versions is read by nobody.
EDITIONS_MAX = 200

_dois = SQLModel.metadata.tables[str(Doi.__tablename__)]


@dataclass(frozen=True, slots=True)
class House:
    """This catalog, as others are told of it: its address, its name as a publisher, and its DOIs."""

    address: str
    publisher: str
    prefix: str
    # Whether the registry is one that the world asks: DOIs of our own registry lead nowhere.
    resolves: bool

    def page_of(self, doi: str) -> str:
        """Return the address of a DOI's landing page."""
        return f"{self.address}/doi/{doi}"


async def public_doi(session: AsyncSession, subject: Subject) -> str | None:
    """Return the DOI of an object or version, if the registry has made it public."""
    found = await session.execute(
        sa.select(_dois.c.doi).where(
            _dois.c.object_id == subject.id,
            _dois.c.version.is_not_distinct_from(subject.version),
            _dois.c.state.in_(PUBLIC),
        )
    )
    doi: str | None = found.scalar_one_or_none()
    return doi


async def public_dois(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the DOI of each of these objects for which the registry has made one public."""
    rows = await session.execute(
        sa.select(_dois.c.object_id, _dois.c.doi).where(
            _dois.c.object_id == sa.any_(sa.bindparam("ids", list(ids), type_=ARRAY(sa.Uuid))),
            _dois.c.version.is_(None),
            _dois.c.state.in_(PUBLIC),
        )
    )
    return {row.object_id: row.doi for row in rows}


async def works_to_cite(session: AsyncSession, entries: Sequence[Entry], house: House) -> list[Work]:
    """Return objects as works with what a reference needs: without files, and without what they are related to."""
    dois = await public_dois(session, [entry.id for entry in entries])
    subjects = {uri for entry in entries for uri in entry.record.get("subjects") or ()}
    names = await looking_up.names_of(session, subjects)
    return [
        Work(
            id=str(entry.id),
            kind=entry.kind,
            record=entry.record,
            address=_address(house, entry.id, dois.get(entry.id)),
            publisher=house.publisher,
            registered_at=entry.created_at,
            doi=dois.get(entry.id),
            resolves=house.resolves,
            revision=entry.revision,
            concepts=[names[uri] for uri in entry.record.get("subjects") or () if uri in names],
        )
        for entry in entries
    ]


def _address(house: House, object_id: UUID, doi: str | None) -> str:
    return house.page_of(doi) if doi else f"{house.address}/objects/{object_id}"


async def work_of(
    session: AsyncSession,
    entry: Entry,
    house: House,
    audience: Audience = ANONYMOUS,
    *,
    published: Published | None = None,
    doi: str | None = None,
) -> Work:
    """Return an object, or one of its versions, as a work, with those of its relations that the audience may follow.

    `doi` is the one to describe it under; none: the one that is public, if there is one.
    """
    number = None if published is None else published.version.number
    named = doi or await public_doi(session, Subject(entry.id, number))
    place = f"/objects/{entry.id}" if number is None else f"/objects/{entry.id}/versions/{number}"
    record = entry.record if published is None else published.record
    subjects = record.get("subjects") or ()
    names = await looking_up.names_of(session, subjects)
    return Work(
        id=str(entry.id),
        kind=entry.kind,
        record=record,
        address=house.page_of(named) if named else f"{house.address}{place}",
        publisher=house.publisher,
        registered_at=entry.created_at if published is None else published.version.published_at,
        doi=named,
        resolves=house.resolves,
        version=None if published is None else published.version.label or str(number),
        revision=entry.revision if published is None else published.version.revision,
        files=[
            Part(
                file.path,
                file.size,
                file.sha256,
                file.media_type,
                f"{house.address}/api{place}/files/{quote(file.path, safe='/')}",
            )
            for file in (entry.files if published is None else published.files)
        ],
        related=[
            *await _editions(session, entry.id, number, house),
            *await _related(session, entry.id, house, audience),
        ],
        concepts=[names[uri] for uri in subjects if uri in names],
    )


async def snapshot_doi(session: AsyncSession, snapshot_id: UUID) -> str | None:
    """Return the DOI of a snapshot, if the registry has made it public."""
    found = await session.execute(
        sa.select(_dois.c.doi).where(_dois.c.snapshot_id == snapshot_id, _dois.c.state.in_(PUBLIC))
    )
    doi: str | None = found.scalar_one_or_none()
    return doi


def snapshot_work(view: SnapshotView, house: House, *, doi: str | None) -> Work:
    """Return a snapshot as a work."""
    taken = {"type": "Created", "date": f"{view.taken_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    told = f"{view.members} objects as they were found, SHA-256 {view.digest}."
    record = view.record | {
        "dates": [taken],
        "visibility": "public",
        "description": f"{view.record['description']}\n\n{told}".strip(),
    }
    return Work(
        id=str(view.id),
        kind=SNAPSHOT,
        record=record,
        address=house.page_of(doi) if doi else f"{house.address}/snapshots/{view.id}",
        publisher=house.publisher,
        registered_at=view.taken_at,
        doi=doi,
        resolves=house.resolves,
    )


async def _editions(session: AsyncSession, object_id: UUID, number: int | None, house: House) -> Sequence[Related]:
    """Tell a version of what it is a version of, and an object of its versions, where both have public DOIs."""
    if not house.resolves:
        return []
    of_one = _dois.c.version.is_not(None) if number is None else _dois.c.version.is_(None)
    rows = await session.execute(
        sa.select(_dois.c.doi)
        .where(_dois.c.object_id == object_id, of_one, _dois.c.state.in_(PUBLIC))
        .order_by(_dois.c.version)
        .limit(EDITIONS_MAX)
    )
    relation = RelationType.HAS_VERSION if number is None else RelationType.IS_VERSION_OF
    return [Related(relation, "DOI", row.doi) for row in rows]


async def _related(session: AsyncSession, object_id: UUID, house: House, audience: Audience) -> Sequence[Related]:
    told = await recording.relations_of(session, object_id)
    targets = [one.target_id for one in told if one.target_id is not None]
    seen = await reading.seen_among(session, targets, audience)
    rows = await session.execute(
        sa.select(_dois.c.object_id, _dois.c.doi).where(
            _dois.c.object_id.in_(targets), _dois.c.version.is_(None), _dois.c.state.in_(PUBLIC)
        )
    )
    dois = {row.object_id: row.doi for row in rows} if house.resolves else {}
    related = []
    for one in told:
        if one.identifier is not None and one.identifier_type is not None:
            related.append(Related(one.type, one.identifier_type, one.identifier))
        elif one.target_id in seen and one.target_id in dois:
            related.append(Related(one.type, "DOI", dois[one.target_id]))
        elif one.target_id in seen:
            related.append(Related(one.type, "URL", f"{house.address}/objects/{one.target_id}"))
    return related

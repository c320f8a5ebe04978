"""Reading objects under an audience: one, several, a page of them.

The condition comes from `access.audience` and stands in every statement here; nothing else selects objects for people.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.audience import Audience
from catalog.access.principals import Principal
from catalog.database import Database
from catalog.errors import Gone, NotFound
from catalog.objects import kinds
from catalog.objects.metadata import ACCEPTED, dated_year
from catalog.objects.references import External, Outside, outside_external
from catalog.objects.tables import CatalogObject, FileState, ObjectTerm, Upload
from catalog.vocabulary.tables import Concept

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_files = SQLModel.metadata.tables["file"]
_principals = SQLModel.metadata.tables[str(Principal.__tablename__)]
_uploads = SQLModel.metadata.tables["upload"]
_versions = SQLModel.metadata.tables["version"]
_terms = SQLModel.metadata.tables[ObjectTerm.__tablename__]
_concepts = SQLModel.metadata.tables[str(Concept.__tablename__)]
# The room of DOIs lies above this one, which knows its table by name alone.
_dois = sa.table("doi", sa.column("doi"), sa.column("object_id"), sa.column("version"))


RECORDS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class FileView:
    """One file as it stands."""

    path: str
    size: int
    sha256: str
    media_type: str
    state: FileState
    backend: str | None
    bucket: str | None
    key: str | None
    store_version: str | None
    found_size: int | None
    found_sha256: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as it stands, with all of its files or the first of them."""

    id: UUID
    kind: str
    # Of the kind's schema, as it was when the object was registered.
    schema_version: int
    project: str
    owner_id: UUID
    owner: str
    readers: list[str]
    writers: list[str]
    revision: int
    record: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    withdrawn_at: datetime | None
    withdrawal_reason: str | None
    version: int | None
    files: list[FileView]
    files_total: int
    # What the concepts that describe it are called, by their URIs.
    terms: dict[str, str]
    relabelled: int

    @property
    def document_version(self) -> int:
        """A number that grows whenever its document becomes another: by its revision, or by a label of a concept."""
        return self.revision + self.relabelled

    @property
    def year(self) -> int | None:
        """The year people would cite: of issue, else of creation, else of collection."""
        year = dated_year(self.record["dates"])
        return None if year is None else int(year)


_PACKED = (
    "path", "size", "sha256", "media_type", "state", "backend", "bucket", "key", "store_version",
    "found_size", "found_sha256"
)  # fmt: skip


# Building one of these takes longer than the database does: there is one for each shape of a question.
_finding: dict[tuple[bool, bool, bool], sa.Select[Any]] = {}


def _entries(
    condition: sa.ColumnElement[bool], *, files_most: int | None, path: sa.ColumnElement[str] | None = None
) -> sa.Select[Any]:
    first = (
        sa.select(_files)
        .where(_files.c.object_id == _objects.c.id, sa.true() if path is None else _files.c.path == path)
        .order_by(_files.c.path.collate("C"))
        .limit(files_most)
        .correlate(_objects)
        .lateral("first_files")
    )
    packed = sa.select(
        sa.func.jsonb_agg(sa.func.jsonb_build_array(*(first.c[name] for name in _PACKED))).label("files")
    ).lateral("packed")
    total = (
        sa.select(sa.func.count())
        .where(_files.c.object_id == _objects.c.id)
        .correlate(_objects)
        .scalar_subquery()
        .label("files_total")
    )
    terms = (
        sa.select(sa.func.jsonb_object_agg(_concepts.c.uri, _concepts.c.label))
        .select_from(_terms.join(_concepts, _concepts.c.uri == _terms.c.concept))
        .where(_terms.c.object_id == _objects.c.id)
        .correlate(_objects)
        .scalar_subquery()
        .label("terms")
    )
    return (
        sa.select(
            _objects.c.id,
            _objects.c.kind,
            _objects.c.schema_version,
            _objects.c.project,
            _objects.c.owner_id,
            _principals.c.name.label("owner"),
            _objects.c.readers,
            _objects.c.writers,
            _objects.c.revision,
            _objects.c.record,
            _objects.c.created_at,
            _objects.c.updated_at,
            _objects.c.withdrawn_at,
            _objects.c.withdrawal_reason,
            _objects.c.version,
            packed.c.files,
            total,
            terms,
            _objects.c.relabelled,
        )
        .join(_principals, _principals.c.id == _objects.c.owner_id)
        .join(packed, sa.true())
        .where(condition)
    )


def _entry(row: Any) -> Entry:
    *columns, files, total, terms, relabelled = row
    views = [FileView(*packed) for packed in files or []]
    views.sort(key=_path_bytes)
    return Entry(*columns, files=views, files_total=total, terms=terms or {}, relabelled=relabelled)  # type: ignore[misc]  # As many columns as there are fields.


def _path_bytes(file: FileView) -> bytes:
    return file.path.encode()


async def find(session: AsyncSession, object_id: UUID, audience: Audience, *, path: str | None = None) -> Entry:
    """Return the object, with `path` of its files that one alone if it has it.

    Raises NotFound when it is absent or hidden alike, Gone with the reason when withdrawn.
    """
    entry = await find_even_withdrawn(session, object_id, audience, path=path)
    if entry.withdrawn_at is not None:
        reason = f": {entry.withdrawal_reason}" if entry.withdrawal_reason else ""
        raise Gone(f"The object {object_id} was withdrawn on {entry.withdrawn_at:%Y-%m-%d}{stopped(reason)}")
    return entry


async def find_even_withdrawn(
    session: AsyncSession, object_id: UUID, audience: Audience, *, path: str | None = None
) -> Entry:
    """Return the object, withdrawn or not, as `find` does; raises NotFound when it is absent or hidden alike."""
    shape = (audience.everything, audience.within is None, path is None)
    if shape not in _finding:
        condition = sa.and_(_objects.c.id == sa.bindparam("object_id"), audience.sql_condition(_objects.c.readers))
        named = None if path is None else sa.bindparam("path", type_=sa.Text)
        _finding[shape] = _entries(condition, files_most=None, path=named)
    asked = {**audience.parameters, "object_id": object_id} | ({} if path is None else {"path": path})
    row = (await session.execute(_finding[shape], asked)).one_or_none()
    if row is None:
        raise NotFound(f"There is no object {object_id} that you may see.")
    return _entry(row)


async def file_page(
    session: AsyncSession, object_id: UUID, *, folder: str = "", after: str | None, limit: int
) -> list[FileView]:
    """Return the next files, by path, of an object that the caller was shown; below a folder alone, if one is named."""
    path = _files.c.path.collate("C")
    conditions = [_files.c.object_id == object_id]
    if folder:
        conditions.append(sa.func.starts_with(_files.c.path, folder))
    if after is not None:
        conditions.append(path > after)
    rows = await session.execute(
        sa.select(*(_files.c[name] for name in _PACKED)).where(*conditions).order_by(path).limit(limit)
    )
    return [FileView(*row) for row in rows]


def stopped(reason: str) -> str:
    """Return the text as a sentence: with a full stop, unless it ends in a mark of its own."""
    return reason if reason.endswith((".", "!", "?")) else f"{reason}."


async def find_each(
    database: Database, ids: Sequence[UUID], audience: Audience, *, files_most: int
) -> dict[UUID, Entry]:
    """Return those of the objects that are there and may be seen, by id, each with its first files."""
    if not ids:
        return {}
    statement, fixed = _each(audience, files_most)
    rows = await database.rows(statement, {**fixed, "ids": ids, **audience.parameters})
    return {entry.id: entry for entry in map(_entry, rows)}


# Without its compression, which makes little of much that repeats itself.
_RECORD_SIZES = "SELECT id, octet_length(record::text) FROM object WHERE id = ANY(%(ids)s)"


async def record_sizes(database: Database, ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return how many bytes the record of each of these objects has, whoever may see it: never for an answer."""
    rows: list[Any] = await database.rows(_RECORD_SIZES, {"ids": list(ids)})
    return dict(rows)


_DIALECT = postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no type for it.

# Every search asks this: it is compiled once for those who see everything, for those of one place, and for all others.
_compiled: dict[tuple[bool, bool, int], tuple[str, dict[str, Any]]] = {}


def _each(audience: Audience, files_most: int) -> tuple[str, dict[str, Any]]:
    alike = (audience.everything, audience.within is None, files_most)
    kept = _compiled.get(alike)
    if kept is None:
        condition = sa.and_(
            _objects.c.id == sa.any_(sa.bindparam("ids", [], type_=ARRAY(sa.Uuid))),
            _objects.c.withdrawn_at.is_(None),
            audience.sql_condition(_objects.c.readers),
        )
        compiled = _entries(condition, files_most=files_most).compile(dialect=_DIALECT)
        kept = _compiled[alike] = str(compiled), dict(compiled.params)
    return kept


_FOR_INDEX = _entries(
    _objects.c.id == sa.any_(sa.bindparam("ids", type_=ARRAY(sa.Uuid))),
    files_most=None,
)


async def read_for_index(session: AsyncSession, ids: Sequence[UUID]) -> list[Entry]:
    """Return the objects with all files whoever may see them: for the indexer alone, never for an answer."""
    rows = await session.execute(_FOR_INDEX, {"ids": list(ids)})
    return [_entry(row) for row in rows]


async def dois_of(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Return the DOIs of these objects and of their versions, as far as they have any; for the indexer alone."""
    rows = await session.execute(
        sa.select(
            _dois.c.object_id, sa.func.array_agg(postgresql.aggregate_order_by(_dois.c.doi, _dois.c.doi)).label("dois")
        )
        .where(_dois.c.object_id == sa.any_(sa.bindparam("ids", list(ids), type_=ARRAY(sa.Uuid))))
        .group_by(_dois.c.object_id)
    )
    return {row.object_id: row.dois for row in rows}


async def page(
    session: AsyncSession,
    audience: Audience,
    *,
    kind: str | None,
    project: str | None,
    owner_id: UUID | None,
    after: UUID | None,
    limit: int,
    files_most: int,
) -> list[Entry]:
    """Return the next objects, newest first, after the one named."""
    conditions = [_objects.c.withdrawn_at.is_(None), audience.sql_condition(_objects.c.readers)]
    if kind is not None:
        conditions.append(_objects.c.kind == kind)
    if project is not None:
        conditions.append(_objects.c.project == project)
    if owner_id is not None:
        conditions.append(_objects.c.owner_id == owner_id)
    if after is not None:
        conditions.append(_objects.c.id < after)
    statement = _entries(sa.and_(*conditions), files_most=files_most).order_by(_objects.c.id.desc()).limit(limit)
    return [_entry(row) for row in await session.execute(statement)]


@dataclass(frozen=True, slots=True)
class Kept:
    """A description as it is kept, with the version of its kind's schema under which it was accepted."""

    id: UUID
    kind: str
    schema_version: int
    record: dict[str, Any]


async def every_record(session: AsyncSession) -> AsyncIterator[Kept]:
    """Yield the description of every object that is not withdrawn, oldest first: for operators, never for an answer."""
    rows = await session.stream(
        sa.select(_objects.c.id, _objects.c.kind, _objects.c.schema_version, _objects.c.record)
        .where(_objects.c.withdrawn_at.is_(None))
        .order_by(_objects.c.id)
        .execution_options(yield_per=RECORDS_AT_ONCE)
    )
    async for row in rows:
        yield Kept(*row)


async def titles_of(session: AsyncSession, ids: Sequence[UUID], audience: Audience) -> dict[UUID, tuple[str, str]]:
    """Return kind and title of each of these objects that is there and may be seen."""
    if not ids:
        return {}
    rows = await session.execute(
        sa.select(_objects.c.id, _objects.c.kind, _objects.c.record["title"].astext).where(
            _objects.c.id.in_(ids), _objects.c.withdrawn_at.is_(None), audience.sql_condition(_objects.c.readers)
        )
    )
    return {object_id: (kind, title) for object_id, kind, title in rows}


@dataclass(frozen=True, slots=True)
class Outline:
    """What tells an object apart for whoever may see it."""

    kind: str
    project: str
    name: str | None
    title: str
    withdrawn_at: datetime | None


async def seen_among(session: AsyncSession, ids: Sequence[UUID], audience: Audience) -> dict[UUID, Outline]:
    """Return what tells each of these objects apart that may be seen, withdrawn or not."""
    if not ids:
        return {}
    rows = await session.execute(
        sa.select(
            _objects.c.id,
            _objects.c.kind,
            _objects.c.project,
            _objects.c.name,
            _objects.c.record["title"].astext,
            _objects.c.withdrawn_at,
        ).where(
            _objects.c.id == sa.any_(sa.bindparam("ids", list(ids), type_=ARRAY(sa.Uuid))),
            audience.sql_condition(_objects.c.readers),
        )
    )
    return {object_id: Outline(*told) for object_id, *told in rows}


async def ids_of(
    session: AsyncSession, places: Sequence[tuple[str, str, str]], audience: Audience
) -> dict[tuple[str, str, str], UUID]:
    """Return the id of each of these projects, kinds and names that is there and may be seen."""
    if not places:
        return {}
    here = sa.tuple_(_objects.c.project, _objects.c.kind, _objects.c.name)
    rows = await session.execute(
        sa.select(_objects.c.project, _objects.c.kind, _objects.c.name, _objects.c.id).where(
            here.in_(places), _objects.c.withdrawn_at.is_(None), audience.sql_condition(_objects.c.readers)
        )
    )
    return {(project, kind, name): object_id for project, kind, name, object_id in rows}


@dataclass(frozen=True, slots=True)
class NamedByDoi:
    """The object that a DOI of ours names, and the number of its version where it names a version."""

    id: UUID
    kind: str
    version: int | None


async def named_by_dois(session: AsyncSession, dois: Sequence[str], audience: Audience) -> dict[str, NamedByDoi]:
    """Return the object of each of these DOIs that was made here, if it is there and may be seen."""
    if not dois:
        return {}
    rows = await session.execute(
        sa.select(_dois.c.doi, _objects.c.id, _objects.c.kind, _dois.c.version)
        .join(_objects, _objects.c.id == _dois.c.object_id)
        .where(_dois.c.doi.in_(dois), _objects.c.withdrawn_at.is_(None), audience.sql_condition(_objects.c.readers))
    )
    return {doi: NamedByDoi(*named) for doi, *named in rows}


async def withdrawn_among(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Return those of the objects that were withdrawn, each with who might see it: never for an answer."""
    if not ids:
        return {}
    rows = await session.execute(
        sa.select(_objects.c.id, _objects.c.readers).where(
            _objects.c.id == sa.any_(sa.bindparam("ids", list(ids), type_=ARRAY(sa.Uuid))),
            _objects.c.withdrawn_at.is_not(None),
        )
    )
    return {row.id: row.readers for row in rows}


async def version_names_of(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, dict[int, str | None]]:
    """Return the published versions of each of these objects that has any, newest first, with their labels."""
    if not ids:
        return {}
    rows = await session.execute(
        sa.select(_versions.c.object_id, _versions.c.number, _versions.c.label)
        .where(
            _versions.c.object_id == sa.any_(sa.bindparam("ids", list(ids), type_=ARRAY(sa.Uuid))),
            _versions.c.withdrawn_at.is_(None),
        )
        .order_by(_versions.c.number.desc())
    )
    found: dict[UUID, dict[int, str | None]] = {}
    for object_id, number, label in rows:
        found.setdefault(object_id, {})[number] = label
    return found


async def find_upload(session: AsyncSession, upload_id: UUID, audience: Audience) -> tuple[Upload, list[str]]:
    """Return the upload of an object the audience may see, and who may change the object; raises NotFound."""
    row = (
        await session.execute(
            sa.select(_objects.c.writers, *_uploads.c)
            .join(_objects, _objects.c.id == _uploads.c.object_id)
            .where(_uploads.c.id == upload_id, audience.sql_condition(_objects.c.readers))
        )
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no upload {upload_id} that you may see.")
    writers, *columns = row
    return Upload(**dict(zip(_uploads.c.keys(), columns, strict=True))), writers


def kind_of(entry: Entry) -> kinds.Kind:
    """Return the kind of an accepted object."""
    return kinds.known()[entry.kind]


def metadata_of(entry: Entry) -> kinds.Metadata:
    """Return what only the kind says, as its model."""
    return kind_of(entry).metadata.model_validate(entry.record["metadata"], strict=False, context=ACCEPTED)


_external: TypeAdapter[list[External]] = TypeAdapter(list[External])


def outside_of(entry: Entry) -> list[Outside]:
    """Return what the object names outside the catalog."""
    external = _external.validate_python(entry.record.get("external", []))
    return [*outside_external(external), *metadata_of(entry).outside()]

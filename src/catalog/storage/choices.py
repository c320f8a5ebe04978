"""Which backends a project uses: what it chose itself, else what its organization chose, else the catalog's own.

A choice decides where new bytes go and where data are looked for. Files that are there stay where they are: their
locations name their backends. Runs in the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.access import audit
from catalog.access.audience import organization_of
from catalog.access.callers import Caller
from catalog.errors import Fault, Unprocessable
from catalog.storage import backends
from catalog.storage.backends import Backend, StorageBackend, Use
from catalog.storage.keys import OWN


class StorageChoice(SQLModel, table=True):
    """That an organization or a project uses a backend; None is the catalog's own, chosen on purpose."""

    __tablename__ = "storage_choice"
    __table_args__ = (
        # However it is written, a scope has one backend for documents.
        sa.Index("uq_storage_choice_document", "scope", unique=True, postgresql_where=sa.text("use = 'document'")),
        sa.UniqueConstraint("scope", "use", "backend_id", postgresql_nulls_not_distinct=True),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    # `<organization>` or `<organization>/<project>`.
    scope: str = Field(sa_type=sa.Text)
    use: str = Field(sa_type=sa.Text)
    backend_id: UUID | None = Field(
        default=None,
        sa_column=sa.Column(
            sa.Uuid, sa.ForeignKey("storage_backend.id", ondelete="CASCADE"), nullable=True, index=True
        ),
    )


_choices = SQLModel.metadata.tables[StorageChoice.__tablename__]
_backends = SQLModel.metadata.tables[StorageBackend.__tablename__]


@dataclass(frozen=True, slots=True)
class Chosen:
    """One backend that is used, and who chose it: a scope, or nobody."""

    backend: Backend | None
    by: str | None

    @property
    def name(self) -> str:
        """What locations call it."""
        return OWN if self.backend is None else str(self.backend.id)


@dataclass(frozen=True, slots=True)
class Storages:
    """What a scope uses: one backend for documents, one or more for data."""

    document: Chosen
    data: Sequence[Chosen]

    def overlaps(self) -> list[tuple[Chosen, Chosen]]:
        """Return the pairs of different backends of which one lies within the other."""
        every = {one.name: one for one in (self.document, *self.data)}
        brought = [one for one in every.values() if one.backend is not None]
        return [
            (one, other)
            for place, one in enumerate(brought)
            for other in brought[place + 1 :]
            if one.backend and other.backend and backends.overlapping([one.backend], other.backend.place)
        ]


async def used_by(session: AsyncSession, scope: str) -> Storages:
    """Return what an organization or a project uses."""
    documents = await _chosen(session, scope, Use.DOCUMENT)
    return Storages(documents[0], await _chosen(session, scope, Use.DATA))


async def _chosen(session: AsyncSession, scope: str, use: Use) -> list[Chosen]:
    for by in dict.fromkeys((scope, organization_of(scope))):
        rows = await session.execute(
            sa.select(_choices.c.backend_id)
            .outerjoin(_backends, _backends.c.id == _choices.c.backend_id)
            .where(_choices.c.scope == by, _choices.c.use == use.value)
            .order_by(_backends.c.name.nulls_first())
        )
        ids = list(rows.scalars())
        if ids:
            found = [None if one is None else await backends.find(session, organization_of(scope), one) for one in ids]
            return [Chosen(one, by) for one in found]
    return [Chosen(None, None)]


async def documents_of(session: AsyncSession, project: str) -> tuple[str, str, str] | None:
    """Return backend, bucket and prefix for new documents of a project; None for the catalog's own.

    The backend cannot be removed before this transaction ends: what it writes will be seen by whoever wants to.
    """
    scopes = (project, organization_of(project))
    # One statement where nobody chose anything: every registration with files asks it.
    first = (
        sa.select(_choices.c.backend_id)
        .where(_choices.c.scope.in_(scopes), _choices.c.use == Use.DOCUMENT.value)
        .order_by(sa.func.length(_choices.c.scope).desc())
        .limit(1)
    )
    chosen = (await session.execute(first)).scalar_one_or_none()
    if chosen is None:
        return None
    held = sa.select(_backends).where(_backends.c.id == chosen, _backends.c.detached_at.is_(None))
    row = (await session.execute(held.with_for_update(read=True, key_share=True))).one_or_none()
    if row is None:
        return None
    return str(row.id), row.bucket, f"{row.prefix}/{row.root}" if row.prefix else row.root


async def choose(
    session: AsyncSession, scope: str, *, document: str | None, data: Sequence[str] | None, caller: Caller
) -> Storages:
    """Let a scope use these backends from now on; None follows the organization, or nobody.

    Backends are written as locations name them. Raises NotFound for one that the organization does not have,
    Unprocessable for one that is not for this use.
    """
    wanted: list[tuple[Use, str, str]] = []
    if document is not None:
        wanted.append((Use.DOCUMENT, "/document", document))
    for place, one in enumerate(data or ()):
        wanted.append((Use.DATA, f"/data/{place}", one))
    rows, faults = [], []
    for use, pointer, name in wanted:
        backend_id = None
        if name != OWN:
            backend = await backends.named(session, organization_of(scope), name)
            backend_id = backend.id
            if use not in backend.uses:
                is_for = ", ".join(sorted(backend.uses))
                message = f"the backend {backend.name!r} is for {is_for}: the catalog does not use it for {use}"
                faults.append(Fault(pointer, message))
        rows.append({"id": uuid7(), "scope": scope, "use": use.value, "backend_id": backend_id})
    if faults:
        raise Unprocessable("A backend is not for this use.", faults=faults)
    before = await used_by(session, scope)
    await session.execute(_choices.delete().where(_choices.c.scope == scope))
    if rows:
        await session.execute(_choices.insert(), rows)
    after = await used_by(session, scope)
    told = {"before": _told(before), "after": _told(after)}
    await audit.note(session, caller.actor, "choose storages", f"storages:{scope}", scope=scope, **told)
    return after


def _told(used: Storages) -> dict[str, object]:
    return {"document": used.document.name, "data": [one.name for one in used.data]}


async def scopes_using(session: AsyncSession, backend_id: UUID, *, use: Use | None = None) -> list[str]:
    """Return the organizations and projects that chose a backend, for any use or for this one."""
    wanted = sa.select(_choices.c.scope).where(_choices.c.backend_id == backend_id)
    if use is not None:
        wanted = wanted.where(_choices.c.use == use.value)
    rows = await session.execute(wanted.distinct().order_by(_choices.c.scope))
    return list(rows.scalars())


async def forget(session: AsyncSession, backend_id: UUID) -> None:
    """Take back every choice of a backend: who chose it follows the organization, or uses the catalog's own."""
    await session.execute(_choices.delete().where(_choices.c.backend_id == backend_id))

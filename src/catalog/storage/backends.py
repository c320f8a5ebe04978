"""Backends: stores that organizations bring, each an endpoint, a bucket, a prefix and perhaps keys.

Runs in the caller's transaction, and no network call happens here: whether a store can be had is tried before. The
catalog's own store is a backend too, called `default`; it has no row.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.access import audit, members
from catalog.access.callers import Caller
from catalog.database import timestamp_column
from catalog.errors import Conflict, Forbidden, NotFound
from catalog.storage.keys import OWN
from catalog.storage.sealing import BackendSecret
from catalog.storage.signing import Addressing

# An organization with more wants fewer, larger ones: each is tried, shown and chosen by people.
BACKENDS_MAX = 200


class Use(StrEnum):
    """What a backend is for: documents are written and read, data only listed and read."""

    DOCUMENT = "document"
    DATA = "data"


class Health(StrEnum):
    """What we found when we last tried a backend."""

    HEALTHY = "healthy"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Tried:
    """One action that a use needs, and why it failed; None where it went well."""

    action: str
    reason: str | None


class StorageBackend(SQLModel, table=True):
    """A store of an organization. Where it is never changes: locations name it."""

    __tablename__ = "storage_backend"
    __table_args__ = (
        sa.Index(
            "uq_storage_backend_place",
            "organization",
            "endpoint",
            "bucket",
            "prefix",
            unique=True,
            postgresql_where=sa.text("detached_at IS NULL"),
        ),
        sa.Index(
            "uq_storage_backend_name",
            "organization",
            "name",
            unique=True,
            postgresql_where=sa.text("detached_at IS NULL"),
        ),
        sa.CheckConstraint("document OR data", name="used"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    organization: str = Field(sa_type=sa.Text, foreign_key="organization.name")
    name: str = Field(sa_type=sa.Text)
    endpoint: str = Field(sa_type=sa.Text)
    region: str = Field(sa_type=sa.Text)
    addressing: str = Field(sa_type=sa.Text)
    bucket: str = Field(sa_type=sa.Text)
    prefix: str = Field(sa_type=sa.Text)
    # The folder below the prefix that is the catalog's, as the settings named it when the backend was made.
    root: str = Field(sa_type=sa.Text)
    document: bool
    data: bool
    # Of the account and its user, for people: nothing here depends on them.
    arn: str | None = Field(default=None, sa_type=sa.Text)
    account_id: str | None = Field(default=None, sa_type=sa.Text)
    account_alias: str | None = Field(default=None, sa_type=sa.Text)
    account_user: str | None = Field(default=None, sa_type=sa.Text)
    # As its admins say: what it can hold, and how much of that is not for uploads; see `Size`.
    capacity_bytes: int | None = Field(default=None, sa_type=sa.BigInteger)
    watermark_percent: int | None = Field(default=None, sa_type=sa.BigInteger)
    reserved_gb: int | None = Field(default=None, sa_type=sa.BigInteger)
    health: str = Field(sa_type=sa.Text)
    checks: list[dict[str, Any]] = Field(sa_column=sa.Column(JSONB, nullable=False))
    checked_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    # Grows with every change, so that clients of other processes learn of new keys.
    revision: int = Field(default=1, sa_column=sa.Column(sa.BigInteger, nullable=False, server_default="1"))
    created_by: UUID = Field(foreign_key="principal.id")
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    changed_by: UUID = Field(foreign_key="principal.id")
    changed_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    # Its keys are gone and nobody may choose it; the row stays because locations name it.
    detached_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


_backends = SQLModel.metadata.tables[StorageBackend.__tablename__]
_secrets = SQLModel.metadata.tables[BackendSecret.__tablename__]


class NameTaken(Conflict):
    """The organization has a backend of this name already."""


class PlaceTaken(Conflict):
    """The organization has a backend at this endpoint, bucket and prefix already."""


class OwnBucket(Conflict):
    """This is the catalog's own bucket: every organization has its part of it already, as the backend `default`."""


class Fixed(Conflict):
    """Where a backend lies cannot change, since locations name it."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose account it is, as its owner tells."""

    arn: str | None = None
    account_id: str | None = None
    account_alias: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backend lies. `prefix` has no slash around it and may be empty."""

    endpoint: str
    region: str
    addressing: Addressing
    bucket: str
    prefix: str
    root: str

    @property
    def within(self) -> str:
        """The prefix with its slash, or nothing."""
        return f"{self.prefix}/" if self.prefix else ""

    @property
    def uploads_prefix(self) -> str:
        """What stands before the keys that the catalog chooses here, without a slash at its end."""
        return f"{self.within}{self.root}"


@dataclass(frozen=True, slots=True)
class Size:
    """How much a backend can hold, and how much of that is not for uploads; None: nobody knows, or as everywhere."""

    capacity_bytes: int | None = None
    watermark_percent: int | None = None
    reserved_gb: int | None = None


SIZES = ("capacity_bytes", "watermark_percent", "reserved_gb")


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend as it stands; its keys are not in it."""

    id: UUID
    organization: str
    name: str
    place: Place
    uses: frozenset[Use]
    account: Account
    size: Size
    has_keys: bool
    health: Health
    checks: Sequence[Tried]
    checked_at: datetime
    revision: int
    created_at: datetime
    changed_at: datetime
    detached_at: datetime | None


async def must_administer(
    session: AsyncSession, organization: str, *, caller: Caller, own_identity: bool = False
) -> None:
    """Raise unless the caller is an admin of the organization; NotFound for those who know nothing of it.

    `own_identity` when a backend shall have no keys: then the catalog's own are used, and whoever runs it decides who
    may send it where.
    """
    await members.must_administer(session, organization, caller=caller, what="Its backends are")
    if own_identity and not caller.administers_all:
        raise Forbidden(
            "Without keys the catalog acts as itself, in whatever bucket it may: only an admin of the whole catalog "
            "gives an organization such a backend. Send access_key and secret_key."
        )


async def must_know(session: AsyncSession, organization: str, *, caller: Caller) -> None:
    """Raise unless the caller is an admin of the organization or of one of its projects, who choose among backends."""
    await members.must_administer(session, organization, caller=caller, what="Its backends are", projects_too=True)


async def must_be_free(session: AsyncSession, organization: str, name: str, place: Place) -> None:
    """Raise NameTaken, PlaceTaken, or Conflict where the organization has as many backends as it may."""
    there = [one for one in await of(session, organization) if one.detached_at is None]
    if len(there) >= BACKENDS_MAX:
        raise Conflict(f"An organization has at most {BACKENDS_MAX} backends.")
    same = next((one for one in there if _where(one.place) == _where(place)), None)
    if same is not None:
        raise PlaceTaken(f"The backend {same.name!r} ({same.id}) is at this endpoint, bucket and prefix already.")
    must_have_free_name(there, name)


def must_have_free_name(there: Sequence[Backend], name: str) -> None:
    """Raise NameTaken where one of these is called so, and for the name of the catalog's own store."""
    if name == OWN or any(one.name == name for one in there):
        raise NameTaken(f"There is a backend called {name!r} already.")


def _where(place: Place) -> tuple[str, str, str]:
    return place.endpoint, place.bucket, place.prefix


async def insert(
    session: AsyncSession,
    backend_id: UUID,
    organization: str,
    *,
    name: str,
    place: Place,
    uses: frozenset[Use],
    account: Account,
    size: Size,
    checks: Sequence[Tried],
    caller: Caller,
) -> None:
    """Keep a backend that was tried; raises NameTaken, PlaceTaken where another was faster."""
    principal_id = caller.must_be_known()
    # One at a time in each organization: what is free is free until this transaction ends.
    await session.execute(
        sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"backends of {organization}", 0)))
    )
    await must_be_free(session, organization, name, place)
    await session.execute(
        _backends.insert().values(
            id=backend_id,
            organization=organization,
            name=name,
            endpoint=place.endpoint,
            region=place.region,
            addressing=place.addressing.value,
            bucket=place.bucket,
            prefix=place.prefix,
            root=place.root,
            document=Use.DOCUMENT in uses,
            data=Use.DATA in uses,
            arn=account.arn,
            account_id=account.account_id,
            account_alias=account.account_alias,
            account_user=account.user,
            **{one: getattr(size, one) for one in SIZES},
            created_by=principal_id,
            changed_by=principal_id,
            **_found(checks),
        )
    )
    after = _told(name, place, uses)
    await audit.note(session, caller.actor, "connect backend", f"backend:{backend_id}", scope=organization, after=after)


def _told(name: str, place: Place, uses: frozenset[Use]) -> dict[str, Any]:
    """Return what is written down of a backend: what it is called, where it is, what for; never a key."""
    where = {"endpoint": place.endpoint, "bucket": place.bucket, "prefix": place.prefix}
    return {"name": name, **where, "uses": sorted(uses)}


def _found(checks: Sequence[Tried]) -> dict[str, Any]:
    return {
        "health": (Health.FAILING if any(one.reason for one in checks) else Health.HEALTHY).value,
        "checks": [{"action": one.action, "reason": one.reason} for one in checks],
        "checked_at": sa.func.now(),
    }


async def of(session: AsyncSession, organization: str) -> list[Backend]:
    """Return the backends of an organization by name, without those that were detached."""
    mine = sa.and_(_backends.c.organization == organization, _backends.c.detached_at.is_(None))
    rows = await session.execute(_selected().where(mine).order_by(_backends.c.name))
    return [_backend(row) for row in rows]


async def note_target(session: AsyncSession, backend: Backend, target: str, *, caller: Caller) -> None:
    """Write down whom the bucket of a backend tells of its keys from now on."""
    subject, told = f"backend:{backend.id}", {"target": target}
    await audit.note(session, caller.actor, "set notification", subject, scope=backend.organization, after=told)


async def holding(session: AsyncSession, buckets: Collection[str]) -> list[Backend]:
    """Return the backends for data that lie in one of these buckets, whichever endpoint that is at."""
    if not buckets:
        return []
    there = (_backends.c.bucket.in_(list(buckets)), _backends.c.data, _backends.c.detached_at.is_(None))
    return [_backend(row) for row in await session.execute(_selected().where(*there))]


async def everywhere(session: AsyncSession) -> list[Backend]:
    """Return every backend by organization and name, without those that were detached."""
    rows = await session.execute(
        _selected().where(_backends.c.detached_at.is_(None)).order_by(_backends.c.organization, _backends.c.name)
    )
    return [_backend(row) for row in rows]


async def find(session: AsyncSession, organization: str, backend_id: UUID) -> Backend:
    """Return a backend of this organization; raises NotFound for those of others and those that are not there alike."""
    found = await find_anywhere(session, backend_id)
    if found is None or found.organization != organization or found.detached_at is not None:
        raise NotFound(f"There is no backend {backend_id} in {organization}.")
    return found


async def named(session: AsyncSession, organization: str, name: str) -> Backend:
    """Return a backend of this organization as a location or a person names it, by its id; raises NotFound."""
    try:
        return await find(session, organization, UUID(name))
    except ValueError:
        raise NotFound(f"There is no backend {name[:80]!r} in {organization}.") from None


async def find_anywhere(session: AsyncSession, backend_id: UUID) -> Backend | None:
    """Return a backend by its id, detached or not: for whoever has a location that names it."""
    row = (await session.execute(_selected().where(_backends.c.id == backend_id))).one_or_none()
    return None if row is None else _backend(row)


def _selected() -> sa.Select[Any]:
    has_keys = sa.exists().where(_secrets.c.backend_id == _backends.c.id).label("has_keys")
    return sa.select(*_backends.c, has_keys)


def _backend(row: Any) -> Backend:
    uses = {use for use in Use if getattr(row, use.value)}
    return Backend(
        id=row.id,
        organization=row.organization,
        name=row.name,
        place=Place(row.endpoint, row.region, Addressing(row.addressing), row.bucket, row.prefix, row.root),
        uses=frozenset(uses),
        account=Account(row.arn, row.account_id, row.account_alias, row.account_user),
        size=Size(row.capacity_bytes, row.watermark_percent, row.reserved_gb),
        has_keys=row.has_keys,
        health=Health(row.health),
        checks=[Tried(one["action"], one["reason"]) for one in row.checks],
        checked_at=row.checked_at,
        revision=row.revision,
        created_at=row.created_at,
        changed_at=row.changed_at,
        detached_at=row.detached_at,
    )


async def change(
    session: AsyncSession,
    backend: Backend,
    *,
    caller: Caller,
    name: str | None = None,
    account: Mapping[str, str | None] | None = None,
    size: Mapping[str, int | None] | None = None,
    checks: Sequence[Tried] | None = None,
) -> None:
    """Call a backend otherwise, or note that its keys are others, which `checks` of them tell; raises NameTaken.

    Of its size, what is not named stays.
    """
    told: dict[str, Any] = {**(account or {}), **(size or {})}
    if name is not None and name != backend.name:
        must_have_free_name(await of(session, backend.organization), name)
        told["name"] = name
    found = {} if checks is None else _found(checks)
    who = {"changed_by": caller.must_be_known(), "changed_at": sa.func.now(), "revision": _backends.c.revision + 1}
    await session.execute(_backends.update().where(_backends.c.id == backend.id).values(**told, **found, **who))
    subject, changed = f"backend:{backend.id}", told | ({} if checks is None else {"keys": "others"})
    before = {"name": backend.name} if "name" in told else None
    await audit.note(
        session,
        caller.actor,
        "change backend",
        subject,
        scope=backend.organization,
        before=before,
        after=changed,
    )


async def hold(session: AsyncSession, backend_id: UUID) -> None:
    """Wait for those who are placing files in a backend, and keep others from it until this transaction ends."""
    await session.execute(sa.select(_backends.c.id).where(_backends.c.id == backend_id).with_for_update())


async def note_health(session: AsyncSession, backend_id: UUID, checks: Sequence[Tried]) -> None:
    """Keep what was found when the backend was tried."""
    await session.execute(_backends.update().where(_backends.c.id == backend_id).values(**_found(checks)))


async def delete(session: AsyncSession, backend: Backend, *, caller: Caller) -> None:
    """Remove a backend that no location names, with its keys."""
    await session.execute(_backends.delete().where(_backends.c.id == backend.id))
    await _note_end(session, backend, "disconnect backend", caller)


async def _note_end(session: AsyncSession, backend: Backend, action: str, caller: Caller) -> None:
    before = _told(backend.name, backend.place, backend.uses)
    subject = f"backend:{backend.id}"
    await audit.note(session, caller.actor, action, subject, scope=backend.organization, before=before)


async def detach(session: AsyncSession, backend: Backend, *, caller: Caller) -> None:
    """Remove the keys of a backend and let nobody choose it; locations go on naming it."""
    await session.execute(_secrets.delete().where(_secrets.c.backend_id == backend.id))
    who = {"changed_by": caller.must_be_known(), "changed_at": sa.func.now(), "revision": _backends.c.revision + 1}
    gone = _backends.update().where(_backends.c.id == backend.id).values(detached_at=sa.func.now(), **who)
    await session.execute(gone)
    await _note_end(session, backend, "detach backend", caller)


def overlapping(backends: Sequence[Backend], place: Place) -> list[Backend]:
    """Return those that lie in a place or have it within them: what one writes, another may list."""
    return [
        one
        for one in backends
        if (one.place.endpoint, one.place.bucket) == (place.endpoint, place.bucket)
        and (one.place.within.startswith(place.within) or place.within.startswith(one.place.within))
    ]

"""Quotas: how much an organization or a project may hold, how much it holds, and whether more fits.

What is held is told by a table that the database itself keeps (migration 0025): every change of objects, files and
uploads adds a row, and their sum is exact at any moment. Runs in the caller's transaction.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog.access import audit, members
from catalog.access.audience import LOOKS_AFTER_ALL, organization_of
from catalog.access.callers import Caller
from catalog.access.scopes import Scope
from catalog.database import timestamp_column
from catalog.errors import CatalogError, Conflict, Fault, NoSpace

# Reading so many rows takes a millisecond; beyond, they are added up to one for each project.
ROWS_FOLDED_FROM = 1_000
# An exabyte: sums of such numbers fit into 64 bits.
LIMIT_MAX = 10**18


class Quota(SQLModel, table=True):
    """The most that an organization or a project may hold; what is not limited is null."""

    # `<organization>` or `<organization>/<project>`.
    scope: str = Field(sa_type=sa.Text, primary_key=True)
    objects: int | None = Field(default=None, sa_type=sa.BigInteger)
    bytes: int | None = Field(default=None, sa_type=sa.BigInteger)
    uploads: int | None = Field(default=None, sa_type=sa.BigInteger)
    set_by: UUID = Field(foreign_key="principal.id")
    set_at: datetime = Field(sa_column=timestamp_column())


class UsageEntry(SQLModel, table=True):
    """By how much what a project holds has grown, or shrunk; written by triggers, and added up now and then."""

    __tablename__ = "usage"
    __table_args__ = (sa.Index("ix_usage_organization_project", "organization", "project"),)

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, sa.Identity(), primary_key=True))
    organization: str = Field(sa_type=sa.Text)
    project: str = Field(sa_type=sa.Text)
    objects: int = Field(sa_type=sa.BigInteger)
    bytes: int = Field(sa_type=sa.BigInteger)
    uploads: int = Field(sa_type=sa.BigInteger)


_quotas = SQLModel.metadata.tables["quota"]
_principals = SQLModel.metadata.tables["principal"]


class QuotaFull(Conflict):
    """The quota has no room for more objects or uploads."""


@dataclass(frozen=True, slots=True)
class Amount:
    """So many objects, bytes of files, and open uploads."""

    objects: int = 0
    bytes: int = 0
    uploads: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """The most of each; None where there is no limit."""

    objects: int | None = None
    bytes: int | None = None
    uploads: int | None = None


@dataclass(frozen=True, slots=True)
class QuotaView:
    """The quota of an organization or a project; `used` for those alone who see everything there."""

    scope: str
    limits: Limits
    used: Amount | None
    set_by: str | None
    set_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lack:
    """What does not fit: where, what of, and the figures."""

    scope: str
    what: str
    most: int
    used: int
    asked: int


DIMENSIONS = ("objects", "bytes", "uploads")
# What people call one and several of them.
_TOLD = {
    "objects": ("object", "objects"),
    "bytes": ("byte of files", "bytes of files"),
    "uploads": ("open upload", "open uploads"),
}
# Where a registration says how many it asks for.
_AT = {"objects": "/project", "bytes": "/files", "uploads": "/files"}


class Room:
    """What is left in some projects, for as long as the transaction holds their quotas."""

    def __init__(self, limits: Mapping[str, Limits], used: Mapping[str, Amount]) -> None:
        self._limits = limits
        self._used = dict(used)

    def lacks(self, project: str, asked: Amount) -> list[Lack]:
        """Return for which quotas this is too much."""
        return [
            Lack(scope, what, most, getattr(self._used[scope], what), more)
            for scope, limits in self._of(project)
            for what, most, more in _limited(limits, asked)
            if getattr(self._used[scope], what) + more > most
        ]

    def take(self, project: str, asked: Amount) -> None:
        """Count this as held, for whatever is asked next."""
        for scope, _ in self._of(project):
            held = self._used[scope]
            self._used[scope] = replace(held, **{one: getattr(held, one) + getattr(asked, one) for one in DIMENSIONS})

    def _of(self, project: str) -> Iterable[tuple[str, Limits]]:
        scopes = (organization_of(project), project)
        return [(scope, self._limits[scope]) for scope in scopes if scope in self._limits]


def _limited(limits: Limits, asked: Amount) -> Iterable[tuple[str, int, int]]:
    for what in DIMENSIONS:
        most, more = getattr(limits, what), getattr(asked, what)
        # Whoever asks for nothing more of it is not refused, even where a quota was lowered below what is held.
        if most is not None and more > 0:
            yield what, most, more


async def take(session: AsyncSession, project: str, asked: Amount, caller: Caller, *, at: str | None = None) -> None:
    """Make sure that so much more fits into a project, and let nobody else have the room until the transaction ends.

    Call it before the change is made. `at` is the place in the request that asks. Raises NoSpace for bytes, QuotaFull
    for objects and open uploads.
    """
    more = [what for what in DIMENSIONS if getattr(asked, what) > 0]
    if not more:
        return
    left = await room(session, [project], more)
    lacks = left.lacks(project, asked)
    if lacks:
        raise _refusal(lacks, caller, at)


async def room(session: AsyncSession, projects: Collection[str], asked: Collection[str]) -> Room:
    """Return what is left in these projects, which nobody else changes by registering until the transaction ends.

    Where nobody set a quota for what is asked this is one read, and holds up nobody.
    """
    scopes = sorted({*projects, *map(organization_of, projects)})
    # In one order, so that two who need several do not wait for each other.
    held = await session.execute(
        sa.select(_quotas.c.scope, *(_quotas.c[what] for what in DIMENSIONS))
        .where(_quotas.c.scope.in_(scopes), sa.or_(*(_quotas.c[what].is_not(None) for what in asked)))
        .order_by(_quotas.c.scope)
        .with_for_update()
    )
    limits = {scope: Limits(*most) for scope, *most in held}
    if not limits:
        return Room({}, {})
    # A statement of its own sees what others have committed while this one waited for them.
    used, rows = await _used(session, list(limits))
    if rows > ROWS_FOLDED_FROM:
        await fold(session, {organization_of(scope) for scope in limits})
    return Room(limits, used)


_USED = sa.text(
    """
    SELECT asked.scope, count(usage.id) AS rows,
        coalesce(sum(usage.objects), 0)::bigint AS objects,
        coalesce(sum(usage.bytes), 0)::bigint AS bytes,
        coalesce(sum(usage.uploads), 0)::bigint AS uploads
    FROM unnest(CAST(:scopes AS text[])) AS asked (scope)
    LEFT JOIN usage ON usage.organization = split_part(asked.scope, '/', 1)
        AND usage.project = CASE WHEN asked.scope LIKE '%/%' THEN asked.scope ELSE usage.project END
    GROUP BY asked.scope
    """
)


async def _used(session: AsyncSession, scopes: Sequence[str]) -> tuple[dict[str, Amount], int]:
    """Return what each scope holds, and how many rows were added up for one at most."""
    found = (await session.execute(_USED, {"scopes": list(scopes)})).all()
    used = {row.scope: Amount(row.objects, row.bytes, row.uploads) for row in found}
    return used, max((row.rows for row in found), default=0)


_FOLD = sa.text(
    """
    WITH gone AS (
        DELETE FROM usage WHERE id IN (
            SELECT id FROM usage WHERE (organization, project) IN (
                SELECT organization, project FROM usage
                WHERE CAST(:organizations AS text[]) IS NULL OR organization = ANY(CAST(:organizations AS text[]))
                GROUP BY organization, project HAVING count(*) > 1
            ) FOR UPDATE SKIP LOCKED
        ) RETURNING organization, project, objects, bytes, uploads
    )
    INSERT INTO usage (organization, project, objects, bytes, uploads)
    SELECT organization, project, sum(objects), sum(bytes), sum(uploads) FROM gone GROUP BY organization, project
    HAVING sum(objects) <> 0 OR sum(bytes) <> 0 OR sum(uploads) <> 0
    """
)


async def fold(session: AsyncSession, organizations: Collection[str] | None = None) -> None:
    """Make one row of what each project holds, in these organizations or in all; the sums stay what they are."""
    await session.execute(_FOLD, {"organizations": None if organizations is None else sorted(organizations)})


def faults_of(lacks: Sequence[Lack], caller: Caller, at: str | None = None) -> list[Fault]:
    """Tell what does not fit and whom to ask; how much is held is told to those who see everything there."""
    return [
        Fault(
            at or _AT[lack.what],
            _sentence(lack, caller),
            f"ask an admin of the whole catalog for a larger quota, or a curator of {lack.scope} to make room",
        )
        for lack in lacks
    ]


def _sees_all(caller: Caller, scope: str) -> bool:
    # How much is held counts what is hidden as well. A token that is good to register alone sees its own.
    return caller.role_in(scope) in LOOKS_AFTER_ALL and caller.has(Scope.READ)


def _sentence(lack: Lack, caller: Caller) -> str:
    told = f", and has {lack.used:,}" if _sees_all(caller, lack.scope) else ""
    one, several = _TOLD[lack.what]
    most = f"{lack.most:,} {one if lack.most == 1 else several}"
    return f"{lack.scope} may have {most}{told}; this asks for {lack.asked:,} more"


def _refusal(lacks: Sequence[Lack], caller: Caller, at: str | None) -> CatalogError:
    faults = faults_of(lacks, caller, at)
    detail = f"The quota is full: {'; '.join(fault.message for fault in faults)}. Ask an admin of the whole catalog."
    kind = NoSpace if any(lack.what == "bytes" for lack in lacks) else QuotaFull
    return kind(detail, faults=faults)


async def show(session: AsyncSession, scope: str, *, caller: Caller) -> QuotaView:
    """Return the quota of an organization or a project, to whoever has a role there; raises NotFound."""
    await members.role_of_member(session, scope, caller)
    return await _view(session, scope, caller)


async def _view(session: AsyncSession, scope: str, caller: Caller) -> QuotaView:
    found = await session.execute(
        sa.select(*(_quotas.c[what] for what in DIMENSIONS), _quotas.c.set_at, _principals.c.name)
        .join(_principals, _principals.c.id == _quotas.c.set_by)
        .where(_quotas.c.scope == scope)
    )
    row = found.one_or_none()
    used = (await _used(session, [scope]))[0][scope] if _sees_all(caller, scope) else None
    if row is None:
        return QuotaView(scope, Limits(), used, None, None)
    return QuotaView(scope, Limits(*attrgetter(*DIMENSIONS)(row)), used, row.name, row.set_at)


async def change(session: AsyncSession, scope: str, wanted: Mapping[str, int | None], *, caller: Caller) -> QuotaView:
    """Limit what an organization or a project may hold; None takes a limit away, what is not named stays.

    What is there stays, however much it is. Raises NotFound, Forbidden unless by an admin of the whole catalog.
    """
    set_by = caller.must_administer_all()
    await members.role_of_member(session, scope, caller)
    if wanted:
        before = (await _view(session, scope, caller)).limits
        values: dict[str, Any] = {**wanted, "set_by": set_by, "set_at": sa.func.now()}
        put = insert(_quotas).values(scope=scope, **values)
        await session.execute(put.on_conflict_do_update(index_elements=["scope"], set_=values))
        told = {what: getattr(before, what) for what in wanted}
        subject = f"{'project' if '/' in scope else 'organization'}:{scope}"
        await audit.note(session, caller.actor, "change quota", subject, scope=scope, before=told, after=dict(wanted))
    return await _view(session, scope, caller)

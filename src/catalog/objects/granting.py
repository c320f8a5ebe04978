"""Who may see and change an object: what its visibility says, what was granted, and when an embargo ends.

The only place that writes `readers` and `writers`. Runs in the caller's transaction.
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
from catalog.access.audience import (
    LOOKS_AFTER_ALL,
    PUBLIC,
    Granted,
    Permission,
    grant_token,
    organization_of,
    readers_of,
    writers_of,
)
from catalog.access.grants import Grant, reading_grants, writing_grants
from catalog.access.principals import Caller
from catalog.database import now
from catalog.errors import Fault, Forbidden, Invalid, NotFound, TooLarge
from catalog.objects import changing, naming, reading, validation
from catalog.objects.reading import Entry
from catalog.objects.tables import CatalogObject

# What is queued: look whether an embargo has ended.
EMBARGO = "embargo"
# More is a group.
GRANTS_MAX = 200
# Each is a token in every filter of everybody: so many cost a few percent of a search.
OPEN_PREFIXES_MAX = 200

_objects = SQLModel.metadata.tables[str(CatalogObject.__tablename__)]
_grants = SQLModel.metadata.tables[str(Grant.__tablename__)]
_principals = SQLModel.metadata.tables["principal"]

_SEES_GRANTS = frozenset({Permission.READ_ACP, Permission.WRITE_ACP, Permission.FULL_CONTROL})
_GRANTS = frozenset({Permission.WRITE_ACP, Permission.FULL_CONTROL})


@dataclass(frozen=True, slots=True)
class GrantView:
    """A grant as it is shown: to whom as people write it, what, until when, by whom."""

    id: UUID
    grantee: str
    permission: Permission
    expires_at: datetime | None
    granted_by: str
    created_at: datetime


def access_of(
    record: Mapping[str, Any], *, owner_id: UUID, project: str, granted: Sequence[Granted] = ()
) -> dict[str, list[str]]:
    """Return an object's `readers` and `writers` as its record and what was granted say now."""
    return {
        "readers": readers_of(visibility=record["visibility"], owner_id=owner_id, project=project, granted=granted),
        "writers": writers_of(owner_id=owner_id, project=project, granted=granted),
    }


def embargo_of(record: Mapping[str, Any]) -> datetime | None:
    """Return when an embargoed object becomes public; None for all others."""
    until = record.get("embargo_until")
    return None if until is None else datetime.fromisoformat(until)


async def await_embargo(session: AsyncSession, object_id: UUID, record: Mapping[str, Any]) -> None:
    """Have the object looked at when its embargo ends, if it has one."""
    until = embargo_of(record)
    if until is not None:
        # It may have ended since the record was made.
        await queue.put(session, EMBARGO, [str(object_id)], after=max(until - now(), timedelta()))


async def end_embargo(session: AsyncSession, object_id: UUID) -> datetime | None:
    """Let everybody see an object whose embargo is over; returns when to look again where it is not."""
    await changing.lock(session, object_id)
    entries = await reading.read_for_index(session, [object_id])
    if not entries or entries[0].withdrawn_at is not None:
        return None
    (entry,) = entries
    until = embargo_of(entry.record)
    if until is None:
        return None
    if until > now():
        return until
    record = validation.without_embargo(entry.record)
    await _derive(session, entry, record)
    changes = changing.difference(entry.record, record)
    await changing.note_found(session, object_id, action="end embargo", changes=changes)
    return None


async def _derive(session: AsyncSession, entry: Entry, record: Mapping[str, Any]) -> None:
    """Write what a locked object says, and who may see and change it."""
    granted = await granted_to(session, entry.id)
    access = access_of(record, owner_id=entry.owner_id, project=entry.project, granted=granted)
    await session.execute(_objects.update().where(_objects.c.id == entry.id).values(record=record, **access))
    # Whose labels they are shows in the documents of the data sets.
    named = await naming.named_now(session, entry.id)
    await queue.put(session, changing.INDEX, [str(one) for one in naming.labelled(named)])


async def granted_to(session: AsyncSession, object_id: UUID) -> list[Granted]:
    """Return to whom an object was granted; a grant that ends by itself stands under a token of its own."""
    rows = await session.execute(
        sa.select(_grants.c.id, _grants.c.grantee, _grants.c.permission, _grants.c.expires_at).where(
            _grants.c.object_id == object_id
        )
    )
    return [
        Granted(row.grantee if row.expires_at is None else grant_token(row.id), Permission(row.permission))
        for row in rows
    ]


async def grants_of(session: AsyncSession, object_id: UUID, *, caller: Caller) -> list[GrantView]:
    """Return what was granted on an object, oldest first; raises NotFound, Forbidden."""
    caller.must_be_known()
    entry = await reading.find(session, object_id, caller.audience)
    if not await _permitted(session, entry, caller, _SEES_GRANTS, reading_grants, writing_grants):
        raise Forbidden("Who may see this object is shown to those who may grant: its owner, and admins and curators.")
    return await _views(session, _grants.c.object_id == object_id)


async def grants_below(session: AsyncSession, prefix: str, *, caller: Caller) -> list[GrantView]:
    """Return what was granted on exactly this prefix, oldest first; raises NotFound, Forbidden."""
    _may_grant_below(prefix, caller, reading_grants, writing_grants)
    return await _views(session, _grants.c.prefix == prefix)


async def _views(session: AsyncSession, condition: sa.ColumnElement[bool]) -> list[GrantView]:
    rows = await session.execute(
        sa.select(_grants, _principals.c.name.label("by_name"))
        .join(_principals, _principals.c.id == _grants.c.granted_by)
        .where(condition, sa.or_(_grants.c.expires_at.is_(None), _grants.c.expires_at > sa.func.now()))
        .order_by(_grants.c.id)
    )
    found = rows.all()
    names = await members.names_of(session, [row.grantee for row in found])
    return [
        GrantView(row.id, names[row.grantee], Permission(row.permission), row.expires_at, row.by_name, row.created_at)
        for row in found
    ]


async def grant(
    session: AsyncSession,
    object_id: UUID,
    *,
    to: str,
    permission: Permission,
    expires_at: datetime | None,
    caller: Caller,
) -> UUID:
    """Grant a permission on an object to `user:NAME`, `group:ORGANIZATION/NAME` or `public`; returns the grant's id.

    The same again only moves its end. Raises NotFound, Gone, Forbidden, Invalid, TooLarge.
    """
    entry = await _grantable(session, object_id, caller)
    grantee = await _grantee(session, to, permission, expires_at)
    held = await session.execute(sa.select(sa.func.count()).where(_grants.c.object_id == object_id))
    if held.scalar_one() >= GRANTS_MAX:
        raise TooLarge(f"An object has at most {GRANTS_MAX} grants; grant it to a group, and put people into that.")
    grant_id = await _put(session, caller, grantee, permission, expires_at, object_id=object_id)
    await _changed(session, entry, caller, "grant", to=to, permission=permission)
    return grant_id


async def revoke(session: AsyncSession, object_id: UUID, grant_id: UUID, *, caller: Caller) -> None:
    """Take a grant on an object back, at once; raises NotFound, Gone, Forbidden."""
    entry = await _grantable(session, object_id, caller)
    gone = await session.execute(
        _grants.delete()
        .where(_grants.c.id == grant_id, _grants.c.object_id == object_id)
        .returning(_grants.c.grantee, _grants.c.permission)
    )
    row = gone.one_or_none()
    if row is None:
        raise NotFound(f"The object has no grant {grant_id}.")
    to = (await members.names_of(session, [row.grantee]))[row.grantee]
    await _changed(session, entry, caller, "revoke", to=to, permission=Permission(row.permission))


async def grant_below(
    session: AsyncSession, prefix: str, *, to: str, permission: Permission, expires_at: datetime | None, caller: Caller
) -> UUID:
    """Grant a permission on everything below a prefix, now and later; raises NotFound, Forbidden, Invalid, TooLarge."""
    _may_grant_below(prefix, caller, writing_grants)
    grantee = await _grantee(session, to, permission, expires_at, prefix=prefix)
    held = await session.execute(
        sa.select(_grants.c.expires_at).where(
            _grants.c.prefix == prefix, _grants.c.grantee == grantee, _grants.c.permission == permission.value
        )
    )
    before = held.one_or_none()
    made = await _put(session, caller, grantee, permission, expires_at, prefix=prefix)
    await audit.note(
        session,
        caller.actor,
        "grant",
        to,
        scope=prefix.removesuffix("/"),
        before=None if before is None else _told(permission.value, before.expires_at),
        after=_told(permission.value, expires_at),
    )
    return made


def _told(permission: str, expires_at: datetime | None) -> dict[str, str | None]:
    return {"permission": permission, "expires_at": None if expires_at is None else expires_at.isoformat()}


async def revoke_below(session: AsyncSession, grant_id: UUID, *, caller: Caller) -> None:
    """Take a grant on a prefix back, at once; raises NotFound, Forbidden."""
    caller.must_be_known()
    row = (
        await session.execute(sa.select(_grants).where(_grants.c.id == grant_id, _grants.c.prefix.is_not(None)))
    ).one_or_none()
    # Which prefixes were granted is for those who may see that.
    if row is None or not _looks_after_grants(row.prefix, caller, reading_grants, writing_grants):
        raise NotFound(f"There is no grant {grant_id}.")
    _may_grant_below(row.prefix, caller, writing_grants)
    gone = await session.execute(_grants.delete().where(_grants.c.id == grant_id).returning(_grants.c.id))
    if gone.one_or_none() is None:
        raise NotFound(f"There is no grant {grant_id}.")
    to = (await members.names_of(session, [row.grantee]))[row.grantee]
    scope, before = row.prefix.removesuffix("/"), _told(row.permission, row.expires_at)
    await audit.note(session, caller.actor, "revoke", to, scope=scope, before=before)


async def _grantable(session: AsyncSession, object_id: UUID, caller: Caller) -> Entry:
    caller.must_be_known()
    await changing.lock(session, object_id)
    entry = await reading.find(session, object_id, caller.audience)
    if not await _permitted(session, entry, caller, _GRANTS, writing_grants):
        raise Forbidden("You may see this object but not say who else may: that is for its owner, admins and curators.")
    return entry


async def _permitted(
    session: AsyncSession, entry: Entry, caller: Caller, wanted: frozenset[Permission], *below: Any
) -> bool:
    scopes = (organization_of(entry.project), entry.project)
    by_prefix = [token(scope) for token in below for scope in scopes]
    if (
        (entry.owner_id == caller.id and caller.may_change(entry.writers))
        or caller.role_in(entry.project) in LOOKS_AFTER_ALL
        or caller.audience.includes(by_prefix)
    ):
        return True
    granted = await granted_to(session, entry.id)
    return any(one.permission in wanted and one.token in caller.audience.tokens for one in granted)


def _may_grant_below(prefix: str, caller: Caller, *tokens: Any) -> None:
    caller.must_be_known()
    if _looks_after_grants(prefix, caller, *tokens):
        return
    if caller.role_in(prefix.removesuffix("/")) is None:
        raise NotFound(f"There is nothing below {prefix} that you may grant.")
    raise Forbidden(f"Grants below {prefix} are for those who look after it: its admins and curators.")


def _looks_after_grants(prefix: str, caller: Caller, *tokens: Any) -> bool:
    """Whether the caller looks after a prefix, or was granted one of these there."""
    scope = prefix.removesuffix("/")
    below = [token(one) for token in tokens for one in (organization_of(scope), scope)]
    return caller.role_in(scope) in LOOKS_AFTER_ALL or caller.audience.includes(below)


async def _grantee(
    session: AsyncSession, to: str, permission: Permission, expires_at: datetime | None, *, prefix: str | None = None
) -> str:
    if to == PUBLIC:
        if permission is not Permission.READ:
            raise Invalid(
                "Everybody may only be let read.", faults=[Fault("/permission", "everybody may be given READ", "READ")]
            )
        # It would be a token of everybody's, one for each such object; prefixes are few.
        if expires_at is not None and prefix is None:
            raise Invalid(
                "A grant of one object to everybody has no end.",
                faults=[Fault("/expires_at", "leave this out, and revoke the grant when it shall end")],
            )
    if expires_at is not None and expires_at <= now():
        raise Invalid("The grant would have ended already.", faults=[Fault("/expires_at", "name a moment to come")])
    if to == PUBLIC:
        if prefix is not None:
            await _one_more_open(session, prefix)
        return PUBLIC
    return await members.token_named(session, to, "/to")


async def _one_more_open(session: AsyncSession, prefix: str) -> None:
    """Raise TooLarge where everybody may read below as many other prefixes as there may be."""
    others = (
        _grants.c.grantee == PUBLIC,
        _grants.c.prefix.is_not(None),
        _grants.c.prefix != prefix,
        sa.or_(_grants.c.expires_at.is_(None), _grants.c.expires_at > sa.func.now()),
    )
    held = await session.execute(sa.select(sa.func.count()).where(*others))
    if held.scalar_one() >= OPEN_PREFIXES_MAX:
        raise TooLarge(
            f"At most {OPEN_PREFIXES_MAX} prefixes are open to everybody; make the objects public instead, by their "
            "visibility."
        )


async def _put(
    session: AsyncSession,
    caller: Caller,
    grantee: str,
    permission: Permission,
    expires_at: datetime | None,
    *,
    object_id: UUID | None = None,
    prefix: str | None = None,
) -> UUID:
    where = _grants.c.object_id == object_id if prefix is None else _grants.c.prefix == prefix
    same = (where, _grants.c.grantee == grantee, _grants.c.permission == permission.value)
    moved = await session.execute(_grants.update().where(*same).values(expires_at=expires_at).returning(_grants.c.id))
    held = moved.scalars().first()
    if held is not None:
        return UUID(str(held))
    made = uuid7()
    await session.execute(
        _grants.insert().values(
            id=made,
            object_id=object_id,
            prefix=prefix,
            grantee=grantee,
            permission=permission.value,
            expires_at=expires_at,
            granted_by=caller.must_be_known(),
        )
    )
    return made


async def _changed(session: AsyncSession, entry: Entry, caller: Caller, action: str, **told: str) -> None:
    """Count the change: who may see an object is part of it, and its document says so."""
    await _derive(session, entry, entry.record)
    await changing.change(session, entry, caller, action=action, changes=told)

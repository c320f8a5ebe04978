"""Freezing what a question finds, reading it again, and withdrawing it.

The question is asked of the index as anybody may ask it; what is kept is what the database says of those objects in one
moment. The digests are SHA-256: of a member over its id, revision, description and the hashes of its files, and of the
snapshot over those of its members in their order. Whoever has the objects can compute them again.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.access.audience import ANONYMOUS, Audience
from catalog.access.principals import Caller, Principal
from catalog.database import consistently
from catalog.errors import Fault, Forbidden, NotFound, SnapshotGone, TooLarge, Unprocessable
from catalog.objects import changing, history, reading
from catalog.objects.history import Change
from catalog.objects.reading import Entry, Outline
from catalog.search import query
from catalog.search.index import Index
from catalog.search.query import Question
from catalog.snapshots.tables import Snapshot, SnapshotMember

# A list that nobody reads cites nothing; and all members are read in one moment.
MEMBERS_MAX = 2_000
PAGE = 100
READ_AT_ONCE = 500

_snapshots = SQLModel.metadata.tables[str(Snapshot.__tablename__)]
_members = SQLModel.metadata.tables[SnapshotMember.__tablename__]
_principals = SQLModel.metadata.tables[str(Principal.__tablename__)]


# How a member stands now, against what was frozen.
Standing = Literal["same", "changed", "withdrawn", "hidden"]


@dataclass(frozen=True, slots=True)
class Member:
    """An object as it was when the snapshot was taken."""

    object_id: UUID
    revision: int
    version: int | None
    kind: str
    title: str
    digest: str


@dataclass(frozen=True, slots=True)
class SnapshotView:
    """A snapshot without its members."""

    id: UUID
    record: dict[str, Any]
    question: dict[str, Any]
    taken_at: datetime
    taken_by: str
    owner_id: UUID
    members: int
    digest: str
    withdrawn_at: datetime | None
    reason: str | None


async def found(index: Index, question: Question) -> list[UUID]:
    """Return the ids of all public objects that answer the question, oldest first.

    Raises Unprocessable when nothing does, TooLarge when more do than a snapshot holds. No transaction may be open.
    """
    ids: list[UUID] = []
    after = None
    while True:
        asked = replace(question, sort="oldest", limit=PAGE, after=after)
        page = await index.find(query.body_of(asked, ANONYMOUS), asked)
        if page.total > MEMBERS_MAX:
            raise TooLarge(
                f"The question finds {page.total:,} public objects, and a snapshot holds at most {MEMBERS_MAX:,}: "
                "narrow it by filters."
            )
        ids += [hit.id for hit in page.hits]
        after = page.last
        if after is None:
            return ids


async def freeze(
    session: AsyncSession, ids: Sequence[UUID], *, record: dict[str, Any], question: dict[str, Any], caller: Caller
) -> UUID:
    """Keep these objects as they are now, those of them that are public; raises Unprocessable when none is."""
    # One moment for all of them, however many statements it takes.
    await consistently(session)
    members: list[Member] = []
    for start in range(0, len(ids), READ_AT_ONCE):
        entries = {
            entry.id: entry for entry in await reading.read_for_index(session, ids[start : start + READ_AT_ONCE])
        }
        members += [member_of(entries[one]) for one in ids[start : start + READ_AT_ONCE] if _public(entries.get(one))]
    if not members:
        fault = Fault("/query", "finds no public object; a snapshot cites what everybody can see")
        raise Unprocessable("There is nothing to freeze.", faults=[fault])
    snapshot_id = uuid7()
    await session.execute(
        _snapshots.insert().values(
            id=snapshot_id,
            record=record,
            question=question,
            principal_id=caller.must_be_known(),
            members=len(members),
            digest=digest_of(members),
        )
    )
    rows = [
        {
            "snapshot_id": snapshot_id,
            "position": position,
            "object_id": one.object_id,
            "revision": one.revision,
            "version": one.version,
            "kind": one.kind,
            "title": one.title,
            "digest": one.digest,
        }
        for position, one in enumerate(members)
    ]
    await session.execute(_members.insert(), rows)
    await history.note(session, snapshot_id, by=caller.must_be_known(), action="take snapshot")
    return snapshot_id


def _public(entry: Entry | None) -> bool:
    return entry is not None and entry.withdrawn_at is None and ANONYMOUS.tokens <= set(entry.readers)


def member_of(entry: Entry) -> Member:
    """Return an object as a snapshot keeps it."""
    whole = {
        "id": str(entry.id),
        "revision": entry.revision,
        "description": entry.record,
        "files": [[file.path, file.size, file.sha256] for file in entry.files],
    }
    digest = hashlib.sha256(msgspec.json.encode(whole, order="deterministic")).hexdigest()
    return Member(entry.id, entry.revision, entry.version, entry.kind, entry.record["title"], digest)


def digest_of(members: Sequence[Member]) -> str:
    """Return the digest of a snapshot: over the digests of its members, a line each."""
    return hashlib.sha256("".join(f"{one.digest}\n" for one in members).encode()).hexdigest()


async def find(session: AsyncSession, snapshot_id: UUID) -> SnapshotView:
    """Return a snapshot, which everybody may see; raises NotFound, and Gone with the reason when it was withdrawn."""
    view = await find_even_withdrawn(session, snapshot_id)
    if view.withdrawn_at is not None:
        raise SnapshotGone(f"The snapshot {snapshot_id} was withdrawn on {withdrawn(view.withdrawn_at, view.reason)}")
    return view


def withdrawn(at: datetime, reason: str | None) -> str:
    """Return the day and the reason, as the end of a sentence."""
    return f"{at:%Y-%m-%d}: {reading.stopped(reason or 'no reason was given')}"


async def find_even_withdrawn(session: AsyncSession, snapshot_id: UUID) -> SnapshotView:
    """Return a snapshot, withdrawn or not; raises NotFound."""
    row: Any = (
        await session.execute(
            sa.select(
                _snapshots.c.id,
                _snapshots.c.record,
                _snapshots.c.question,
                _snapshots.c.taken_at,
                _principals.c.name,
                _snapshots.c.principal_id,
                _snapshots.c.members,
                _snapshots.c.digest,
                _snapshots.c.withdrawn_at,
                _snapshots.c.withdrawal_reason,
            )
            .join(_principals, _principals.c.id == _snapshots.c.principal_id)
            .where(_snapshots.c.id == snapshot_id)
        )
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no snapshot {snapshot_id}.")
    return SnapshotView(*row)


async def withdraw(session: AsyncSession, snapshot_id: UUID, reason: str, *, caller: Caller) -> None:
    """Withdraw a snapshot and say why: its members are shown no more, and its DOI leads to a page that says so.

    Raises NotFound, Gone, and Forbidden unless the caller took it or looks after all.
    """
    caller.must_be_known()
    # The lock first, then the read: of two who withdraw it, the second is told that it is gone.
    await session.execute(sa.select(_snapshots.c.id).where(_snapshots.c.id == snapshot_id).with_for_update())
    must_change(await find(session, snapshot_id), caller)
    await session.execute(
        _snapshots.update()
        .where(_snapshots.c.id == snapshot_id)
        .values(withdrawn_at=sa.func.now(), withdrawal_reason=reason)
    )
    await history.note(session, snapshot_id, by=caller.id, action="withdraw", changes={"reason": reason})
    # The room of DOIs lies above this one, which knows its table by name alone.
    dois = await session.execute(sa.text("SELECT doi FROM doi WHERE snapshot_id = :id"), {"id": snapshot_id})
    await queue.put(session, changing.DOI, [row.doi for row in dois])


def must_change(view: SnapshotView, caller: Caller) -> None:
    """Raise Forbidden unless the caller took the snapshot or looks after all."""
    if not caller.may_act_for(view.owner_id):
        raise Forbidden("You may read this snapshot; it was taken by another principal.")


async def changes_of(
    session: AsyncSession, snapshot_id: UUID, *, caller: Caller, before: int | None, limit: int
) -> Sequence[Change]:
    """Return who took, cited and withdrew a snapshot, newest first; raises NotFound, Forbidden."""
    caller.must_be_known()
    must_change(await find_even_withdrawn(session, snapshot_id), caller)
    return await history.changes_of(session, snapshot_id, before=before, limit=limit)


async def members_of(
    session: AsyncSession, snapshot_id: UUID, audience: Audience, *, start: int, limit: int
) -> list[tuple[Member, Standing]]:
    """Return members from a position on, each with how it stands now: same, changed, withdrawn or hidden.

    What has become hidden since has no title any more for those who may not see it.
    """
    rows = await session.execute(
        sa.select(*(_members.c[name] for name in Member.__dataclass_fields__))
        .where(_members.c.snapshot_id == snapshot_id, _members.c.position >= start)
        .order_by(_members.c.position)
        .limit(limit)
    )
    members = [Member(*row) for row in rows]
    seen = await reading.seen_among(session, [one.object_id for one in members], audience)
    now = {
        entry.id: entry.revision for entry in await reading.read_for_index(session, [one.object_id for one in members])
    }
    return [(one, _standing(one, seen.get(one.object_id), now.get(one.object_id))) for one in members]


def _standing(member: Member, seen: Outline | None, revision: int | None) -> Standing:
    if seen is None:
        return "hidden"
    if seen.withdrawn_at is not None:
        return "withdrawn"
    return "same" if revision == member.revision else "changed"

"""Freezing what a question finds, and reading it again.

The question is asked of the index as anybody may ask it; what is kept is what the database says of those objects in one
moment. The digests are SHA-256: of a member over its id, revision, description and the hashes of its files, and of the
snapshot over those of its members in their order. Whoever has the objects can compute them again.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.access.audience import ANONYMOUS, Audience
from catalog.access.principals import Caller, Principal
from catalog.database import consistently
from catalog.errors import Fault, NotFound, TooLarge, Unprocessable
from catalog.objects import reading
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


async def found(index: Index, question: Question) -> list[UUID]:
    """Return the ids of all public objects that answer the question, oldest first.

    Raises Unprocessable when nothing does, TooLarge when more do than a snapshot holds. No transaction may be open.
    """
    ids: list[UUID] = []
    after = None
    while True:
        asked = Question(question.text, filters=question.filters, sort="oldest", limit=PAGE, after=after)
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
    """Return a snapshot, which everybody may see; raises NotFound."""
    row = (
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
            )
            .join(_principals, _principals.c.id == _snapshots.c.principal_id)
            .where(_snapshots.c.id == snapshot_id)
        )
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no snapshot {snapshot_id}.")
    return SnapshotView(*row)


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

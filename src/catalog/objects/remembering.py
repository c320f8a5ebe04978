"""Requests that were accepted before, by their Idempotency-Key: the same one again makes nothing anew."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.errors import Unprocessable
from catalog.objects.tables import RememberedRequest

# Long enough to resume an interrupted upload after a holiday.
REQUEST_REMEMBERED = timedelta(days=30)

_remembered = SQLModel.metadata.tables[RememberedRequest.__tablename__]


@dataclass(frozen=True, slots=True)
class Remember:
    """An Idempotency-Key, and the digest of the request it came with."""

    key: str
    digest: bytes


async def first_made(session: AsyncSession, principal_id: UUID, remember: Remember, object_id: UUID) -> UUID:
    """Return what the Idempotency-Key made first, `object_id` itself unless the request was accepted before.

    Raises Unprocessable when the key came with another request.
    """
    # A second request with the same key waits here until the first has committed or rolled back.
    taken = insert(_remembered).values(
        principal_id=principal_id, key=remember.key, digest=remember.digest, object_id=object_id
    )
    inserted = await session.execute(
        taken.on_conflict_do_update(
            index_elements=["principal_id", "key"],
            set_={"digest": remember.digest, "object_id": object_id, "created_at": sa.func.now()},
            where=_remembered.c.created_at < sa.func.now() - REQUEST_REMEMBERED,
        ).returning(_remembered.c.object_id)
    )
    if inserted.one_or_none() is not None:
        return object_id
    row = (
        await session.execute(
            sa.select(_remembered.c.digest, _remembered.c.object_id).where(
                _remembered.c.principal_id == principal_id, _remembered.c.key == remember.key
            )
        )
    ).one()
    if row.digest != remember.digest:
        raise Unprocessable(
            f"The Idempotency-Key was used for another request, which made the object {row.object_id}; take a new key."
        )
    first: UUID = row.object_id
    return first


async def forget_old_requests(session: AsyncSession) -> None:
    """Remove Idempotency-Keys that are no longer promised."""
    await session.execute(_remembered.delete().where(_remembered.c.created_at < sa.func.now() - REQUEST_REMEMBERED))

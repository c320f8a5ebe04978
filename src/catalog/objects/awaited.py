"""What of a caller's writes the index does not have yet."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.audience import Audience
from catalog.objects.changing import INDEX
from catalog.objects.tables import CatalogObject

_objects = SQLModel.metadata.tables[CatalogObject.__tablename__]
_queue = SQLModel.metadata.tables["queue"]
_ID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


async def moment(session: AsyncSession) -> datetime:
    """Return the present moment of the database's clock, by which queue entries are dated."""
    found: datetime = (await session.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    return found


async def any_waits(session: AsyncSession, audience: Audience, until: datetime) -> bool:
    """Whether a document of an object that this audience may change was queued by then, and is not written yet.

    An entry keeps the moment of its first note until it is done, so one of later says that the earlier ones are done.
    What the index refused for good waits for a person and for nobody else.
    """
    # Nothing else is ever queued there; what would be no id must not end the statement.
    object_id = sa.case((_queue.c.subject.op("~")(_ID), sa.cast(_queue.c.subject, sa.Uuid)))
    found = await session.execute(
        sa.select(
            sa.exists(
                sa.select(sa.literal(1))
                .select_from(_queue.join(_objects, _objects.c.id == object_id))
                .where(
                    _queue.c.topic == INDEX,
                    _queue.c.parked_at.is_(None),
                    _queue.c.created_at <= until,
                    audience.sql_condition(_objects.c.writers),
                )
            )
        )
    )
    return bool(found.scalar_one())

"""An object withdrawn by the catalog itself, because a rule says so: nobody asks, and the same follows as otherwise.

Runs in the caller's transaction.
"""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.objects import changing, naming

_versions = SQLModel.metadata.tables["version"]


async def by_rule(session: AsyncSession, object_id: UUID, reason: str) -> None:
    """Withdraw a locked object that is there, and its versions, and say why; its row and history stay."""
    labelled = naming.labelled(await naming.named_now(session, object_id))
    await session.execute(
        _versions.update()
        .where(_versions.c.object_id == object_id, _versions.c.withdrawn_at.is_(None))
        .values(withdrawn_at=sa.func.now(), reason=reason)
    )
    await changing.note_found(
        session,
        object_id,
        action="withdraw",
        changes={"reason": reason},
        labelled=labelled,
        withdrawn_at=sa.func.now(),
        withdrawal_reason=reason,
        version=None,
    )
    # Nothing that is there names it, as far as anybody saw; what came to do so this moment is another now.
    await changing.write_documents_anew(session, await naming.naming_it(session, object_id))

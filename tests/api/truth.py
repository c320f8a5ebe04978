"""What the database holds, whoever may see it."""

from typing import Any

import sqlalchemy as sa

from catalog.engines import Engines

# Leases and delays move while nobody asks anything of the catalog; that an entry is there does not.
_MOVING = frozenset({"queue"})
# Who was given which link is written up to a second after the answer, which an earlier test may have got.
_LATE = frozenset({"issued"})


async def rows(engines: Engines, statement: str, **values: Any) -> list[dict[str, Any]]:
    """Return the rows of a statement."""
    async with engines.database.transaction() as session:
        return [dict(row) for row in (await session.execute(sa.text(statement), values)).mappings()]


async def history(engines: Engines, object_id: str) -> list[tuple[str | None, str, int | None, int, Any]]:
    """Return who did what to an object, from which revision to which, and what changed, oldest first."""
    found = await rows(
        engines,
        "SELECT principal.name, action, from_revision, to_revision, changes FROM audit"
        " LEFT JOIN principal ON principal.id = audit.principal_id WHERE object_id = :id ORDER BY audit.id",
        id=object_id,
    )
    return [(row["name"], row["action"], row["from_revision"], row["to_revision"], row["changes"]) for row in found]


async def everything(engines: Engines) -> dict[str, tuple[int, str]]:
    """Return how many rows every table has, and a digest of their contents."""
    tables = await rows(engines, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    counted = {}
    for name in sorted({table["table_name"] for table in tables} - _LATE):
        digest = "''" if name in _MOVING else "md5(coalesce(string_agg(one::text, ',' ORDER BY one::text), ''))"
        # The names come from the database itself.
        (row,) = await rows(engines, f'SELECT count(*), {digest} AS digest FROM "{name}" AS one')  # noqa: S608
        counted[name] = (row["count"], row["digest"])
    return counted


async def as_text(engines: Engines) -> str:
    """Return every row of every table as one text, to look for what must not be kept."""
    tables = await rows(engines, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    kept = []
    for name in sorted(table["table_name"] for table in tables):
        found = await rows(engines, f'SELECT one::text AS row FROM "{name}" AS one')  # noqa: S608 - as above.
        kept += [row["row"] for row in found]
    return "\n".join(kept)

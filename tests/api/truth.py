"""What the database holds, whoever may see it."""

from typing import Any

import sqlalchemy as sa

from catalog.engines import Engines

# Leases and delays move while nobody asks anything of the catalog; that an entry is there does not.
_MOVING = frozenset({"queue"})
# Who was given which link is written up to a second after the answer, which an earlier test may have got.
# Stores are tried, and what is due is looked for, at times of their own.
_LATE = frozenset(
    {
        *("issued", "backend_health", "backend_probe", "backend_day"),
        *("retention_clock", "retention_mark", "retention_stop", "leftover"),
    }
)


# When a token was last used is likewise written later, and tells of the asking, not of what was asked for.
_TOLD_BY = {"token": "to_jsonb(one) - 'last_used_at'"}


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
        told = f"({_TOLD_BY.get(name, 'one')})::text"
        digest = "''" if name in _MOVING else f"md5(coalesce(string_agg({told}, ',' ORDER BY {told}), ''))"
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


async def belonging(engines: Engines, *names: str) -> list[tuple[str, str, str]]:
    """Return the roles that these principals have anywhere: who, where, which."""
    found = await rows(
        engines,
        "SELECT name, scope, membership.role FROM membership JOIN principal ON member = 'user:' || principal.id"
        " WHERE name = ANY (:names) ORDER BY 1, 2",
        names=list(names),
    )
    return [(row["name"], row["scope"], row["role"]) for row in found]


async def held(engines: Engines) -> dict[str, tuple[int, int, int]]:
    """Return what every project holds, counted one by one: objects, bytes and open uploads; none holds nothing."""
    objects = {
        row["id"]: row for row in await rows(engines, "SELECT id, project, withdrawn_at IS NULL AS there FROM object")
    }
    counted: dict[str, list[int]] = {}

    def add(object_id: Any, place: int, number: int) -> None:
        counted.setdefault(objects[object_id]["project"], [0, 0, 0])[place] += number

    for object_id, row in objects.items():
        add(object_id, 0, int(row["there"]))
    for row in await rows(engines, "SELECT object_id, state, size FROM file"):
        if objects[row["object_id"]]["there"] or row["state"] == "available":
            add(row["object_id"], 1, row["size"])
    for row in await rows(engines, "SELECT object_id, state, size, beside, lying_size FROM upload"):
        if row["state"] == "open":
            add(row["object_id"], 2, 1)
            add(row["object_id"], 1, row["size"] if row["beside"] else 0)
        elif row["state"] != "complete":
            add(row["object_id"], 1, row["lying_size"] or 0)
    return {project: (found[0], found[1], found[2]) for project, found in counted.items() if any(found)}


async def noted(engines: Engines) -> dict[str, tuple[int, int, int]]:
    """Return what every project holds as the catalog has counted it; none holds nothing."""
    found = await rows(
        engines,
        "SELECT project, sum(objects)::bigint AS objects, sum(bytes)::bigint AS bytes, sum(uploads)::bigint AS uploads"
        " FROM usage GROUP BY project",
    )
    counted = {row["project"]: (row["objects"], row["bytes"], row["uploads"]) for row in found}
    return {project: told for project, told in counted.items() if any(told)}


async def counted_in_stores(engines: Engines) -> list[tuple[str, int, int]]:
    """Return what the catalog has counted in each store: bytes that lie there, and those that tickets await."""
    found = await rows(
        engines,
        "SELECT backend, sum(stored)::bigint AS stored, sum(awaited)::bigint AS awaited FROM backend_use"
        " GROUP BY backend HAVING sum(stored) <> 0 OR sum(awaited) <> 0 ORDER BY backend",
    )
    return [(row["backend"], row["stored"], row["awaited"]) for row in found]


async def lying_in_stores(engines: Engines) -> list[tuple[str, int, int]]:
    """Return the same as the rows of uploads and of discovered files tell it."""
    found = await rows(
        engines,
        "SELECT backend, sum(stored)::bigint AS stored, sum(awaited)::bigint AS awaited FROM ("
        "  SELECT backend, 0 AS stored, size AS awaited FROM upload WHERE state = 'open'"
        "  UNION ALL SELECT backend, lying_size, 0 FROM upload WHERE state <> 'open' AND lying_size IS NOT NULL"
        "  UNION ALL SELECT backend, size, 0 FROM discovered_file"
        ") AS one GROUP BY backend HAVING sum(stored) <> 0 OR sum(awaited) <> 0 ORDER BY backend",
    )
    return [(row["backend"], row["stored"], row["awaited"]) for row in found]

"""What is known of objects when they are judged, and the rules that may speak of them: read, never locked.

DOIs, snapshots, relations, activities and jobs belong to other rooms, whose tables are known here by name alone.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.access.audience import organization_of
from catalog.objects.ended import JOB
from catalog.retention.deciding import Facts, Policy, Rule, Since, default
from catalog.retention.tables import RetentionRule

_rules = SQLModel.metadata.tables[str(RetentionRule.__tablename__)]

# Others that are made from an object or name it. A snapshot names it once it is cited itself.
_DEPENDANTS = """
    SELECT subject_id AS id FROM reference WHERE target_id = {id} AND NOT former
    UNION SELECT subject_id FROM relation WHERE target_id = {id}
    UNION SELECT later_id FROM relation WHERE earlier_id = {id}
    UNION SELECT made.object_id FROM involvement AS used JOIN involvement AS made USING (activity_id)
        WHERE used.object_id = {id} AND used.way = 'used' AND made.way = 'generated'
    """
_LIVE = f"""
    SELECT live.id FROM object AS live WHERE live.withdrawn_at IS NULL AND live.id <> {{id}}
    AND live.id IN ({_DEPENDANTS})
    """  # ruff: ignore[S608] - all of it stands in this file.

_FACTS = sa.text(
    f"""
    SELECT object.id, object.kind, object.project, object.record->>'title' AS title,
        coalesce((SELECT sum(size) FROM file WHERE object_id = object.id AND state = 'available'), 0)::bigint AS size,
        object.created_at, object.updated_at,
        (SELECT max(published_at) FROM version WHERE object_id = object.id AND withdrawn_at IS NULL) AS published_at,
        (SELECT ended_at FROM job WHERE object_id = object.id) AS job_ended_at,
        (SELECT kept_from FROM retention_mark WHERE object_id = object.id) AS kept_from,
        EXISTS (SELECT FROM doi WHERE object_id = object.id) OR EXISTS (
            SELECT FROM snapshot_member JOIN doi USING (snapshot_id) WHERE snapshot_member.object_id = object.id
        ) AS has_doi,
        EXISTS (
            SELECT FROM retention_hold AS hold WHERE hold.object_id = object.id OR hold.project = object.project
        ) AS held,
        EXISTS ({_LIVE.format(id="object.id")}) AS depended_on,
        (SELECT count(*) FROM version WHERE object_id = object.id AND withdrawn_at IS NULL) AS versions,
        now() AS at
    FROM object WHERE object.id = ANY(:ids) ORDER BY object.id
    """  # ruff: ignore[S608] - as above.
).bindparams(sa.bindparam("ids", type_=ARRAY(sa.Uuid)))

_DEPENDING = sa.text(_LIVE.format(id="CAST(:id AS uuid)") + " ORDER BY live.id LIMIT :most")


async def of(session: AsyncSession, ids: Collection[UUID]) -> list[Facts]:
    """Return what is known of these objects now, withdrawn ones too, in the order of their ids."""
    if not ids:
        return []
    return [Facts(**row) for row in (await session.execute(_FACTS, {"ids": list(ids)})).mappings()]


async def depending_on(session: AsyncSession, object_id: UUID, *, most: int) -> Sequence[UUID]:
    """Return the objects that depend on one, whoever may see them: never for an answer as they are."""
    return (await session.execute(_DEPENDING, {"id": object_id, "most": most})).scalars().all()


async def rules_for(session: AsyncSession, facts: Iterable[Facts], policy: Policy) -> list[Rule]:
    """Return every rule that may speak of one of these objects, the default among them."""
    judged = list(facts)
    scopes = {scope for one in judged for scope in (one.project, organization_of(one.project))}
    mine = sa.or_(
        _rules.c.scope == sa.any_(sa.bindparam("scopes", sorted(scopes), ARRAY(sa.Text))),
        _rules.c.object_id == sa.any_(sa.bindparam("ids", [one.id for one in judged], ARRAY(sa.Uuid))),
    )
    rows = await session.execute(sa.select(_rules).where(mine))
    return [*(rule_of(row) for row in rows.mappings()), default(policy)]


def rule_of(row: Mapping[Any, Any]) -> Rule:
    """Return a rule as it stands in its row."""
    return Rule(row["scope"], row["kind"], row["object_id"], row["days"], Since(row["since"]), row["versions"])


# What has lain long enough since its registration under any rule that speaks of it: nothing that is due is missing,
# because whatever else days are counted from comes later. Who is really due, the most specific rule says.
_OLD = sa.text(
    """
    SELECT object.id FROM object
    WHERE object.withdrawn_at IS NULL AND object.id > :after
        AND (CAST(:scope AS text) IS NULL OR object.project = :scope OR split_part(object.project, '/', 1) = :scope)
        AND (
            object.kind = :job AND object.created_at <= now() - make_interval(days => :job_days)
            OR EXISTS (SELECT FROM retention_mark AS mark WHERE mark.object_id = object.id AND marked_at IS NOT NULL)
            OR EXISTS (
                SELECT FROM retention_rule AS rule
                WHERE object.created_at <= now() - make_interval(days => rule.days) AND (
                    rule.object_id = object.id
                    OR rule.scope IN (object.project, split_part(object.project, '/', 1))
                        AND (rule.kind IS NULL OR rule.kind = object.kind)
                )
            )
        )
    ORDER BY object.id LIMIT :most
    """
)
FIRST = UUID(int=0)


async def old_enough(
    session: AsyncSession, policy: Policy, *, after: UUID, most: int, scope: str | None = None
) -> Sequence[UUID]:
    """Return the next objects that may be due or are marked, by their ids, within a scope or everywhere."""
    asked = {"after": after, "scope": scope, "job": JOB, "job_days": policy.job_days, "most": most}
    return (await session.execute(_OLD, asked)).scalars().all()

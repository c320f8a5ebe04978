"""Rules set and taken back, by those who look after what they speak of; each change has its audit row.

Runs in the caller's transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog.access import audit, members
from catalog.access.callers import Caller
from catalog.access.principals import Principal
from catalog.errors import Fault, Invalid, NotFound
from catalog.objects import changing, kinds
from catalog.retention import facts
from catalog.retention.deciding import Rule, Since
from catalog.retention.tables import RetentionRule

_rules = SQLModel.metadata.tables[str(RetentionRule.__tablename__)]
_principals = SQLModel.metadata.tables[str(Principal.__tablename__)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants a rule to say; `days` None: keep for ever."""

    days: int | None
    since: Since = Since.REGISTRATION
    versions: bool = False


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule with who set it, and when."""

    rule: Rule
    set_by: str
    set_at: datetime


async def of_scope(session: AsyncSession, scope: str, *, caller: Caller) -> list[RuleView]:
    """Return the rules that stand at exactly this organization or project; raises NotFound where it has no role."""
    await members.role_of_member(session, scope, caller)
    return await _views(session, _rules.c.scope == scope)


async def of_object(session: AsyncSession, object_id: UUID) -> RuleView | None:
    """Return the rule that stands at an object itself, of one that has been found before."""
    found = await _views(session, _rules.c.object_id == object_id)
    return found[0] if found else None


async def _views(session: AsyncSession, condition: sa.ColumnElement[bool]) -> list[RuleView]:
    rows = await session.execute(
        sa.select(_rules, _principals.c.name.label("by_name"))
        .join(_principals, _principals.c.id == _rules.c.set_by)
        .where(condition)
        .order_by(_rules.c.kind.nulls_first())
    )
    return [RuleView(facts.rule_of(row), row["by_name"], row["set_at"]) for row in rows.mappings()]


async def put(session: AsyncSession, scope: str, kind: str | None, wanted: Wanted, *, caller: Caller) -> None:
    """Set the rule of an organization or a project, or of a kind there; raises NotFound, Forbidden, Invalid."""
    await members.must_administer(session, scope, caller=caller, what=f"How long things of {scope} are kept is")
    if kind is not None and kind not in kinds.known():
        known = ", ".join(sorted(kinds.known()))
        raise Invalid("The rule is for a kind that is not there.", faults=[Fault("/kind", f"one of {known}")])
    before = await _said(session, (_rules.c.scope == scope, _rules.c.kind.is_not_distinct_from(kind)))
    await _write(session, caller, wanted, scope=scope, kind=kind)
    await _note(session, caller, scope, _subject(scope, kind), before=before, wanted=wanted)


async def remove(session: AsyncSession, scope: str, kind: str | None, *, caller: Caller) -> None:
    """Take back the rule of an organization or a project, or of a kind there; raises NotFound, Forbidden."""
    await members.must_administer(session, scope, caller=caller, what=f"How long things of {scope} are kept is")
    here = (_rules.c.scope == scope, _rules.c.kind.is_not_distinct_from(kind))
    before = await _said(session, here)
    if before is None:
        what = scope if kind is None else f"the kind {kind[:80]} in {scope}"
        raise NotFound(f"No rule stands at {what}.")
    await session.execute(_rules.delete().where(*here))
    await _note(session, caller, scope, _subject(scope, kind), before=before, wanted=None)


async def put_on_object(session: AsyncSession, object_id: UUID, wanted: Wanted, *, caller: Caller) -> None:
    """Set the rule of one object; raises NotFound, Gone, Forbidden for those who may not change it."""
    entry = await changing.locked(session, object_id, caller, None)
    before = await _said(session, (_rules.c.object_id == object_id,))
    await _write(session, caller, wanted, object_id=object_id)
    await _note(session, caller, entry.project, f"object:{object_id}", before=before, wanted=wanted)


async def remove_from_object(session: AsyncSession, object_id: UUID, *, caller: Caller) -> None:
    """Take back the rule of one object, if any: its project's counts then; raises NotFound, Gone, Forbidden."""
    entry = await changing.locked(session, object_id, caller, None)
    here = (_rules.c.object_id == object_id,)
    before = await _said(session, here)
    await session.execute(_rules.delete().where(*here))
    await _note(session, caller, entry.project, f"object:{object_id}", before=before, wanted=None)


async def _said(session: AsyncSession, here: tuple[sa.ColumnElement[bool], ...]) -> dict[str, Any] | None:
    row = (await session.execute(sa.select(_rules).where(*here).with_for_update())).mappings().one_or_none()
    return None if row is None else {"days": row["days"], "since": row["since"], "versions": row["versions"]}


async def _write(session: AsyncSession, caller: Caller, wanted: Wanted, **place: object) -> None:
    said = {"days": wanted.days, "since": wanted.since.value, "versions": wanted.versions}
    values = {**said, "set_by": caller.must_be_known(), "set_at": sa.func.now()}
    put = insert(_rules).values(id=uuid7(), **place, **values)
    await session.execute(put.on_conflict_do_update(index_elements=["scope", "kind", "object_id"], set_=values))


async def _note(
    session: AsyncSession, caller: Caller, scope: str, subject: str, *, before: Any, wanted: Wanted | None
) -> None:
    after = None if wanted is None else {"days": wanted.days, "since": wanted.since.value, "versions": wanted.versions}
    action = "change retention" if after is not None else "remove retention"
    if before != after:
        await audit.note(session, caller.actor, action, subject, scope=scope, before=before, after=after)


def _subject(scope: str, kind: str | None) -> str:
    told = f"{'project' if '/' in scope else 'organization'}:{scope}"
    return told if kind is None else f"{told} kind:{kind}"

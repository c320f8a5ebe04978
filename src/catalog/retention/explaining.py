"""What retention says of one object, and what a cycle would do: read by people, nothing is changed.

Runs in the caller's transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access import members
from catalog.access.audience import LOOKS_AFTER_ALL, Audience
from catalog.access.callers import Caller
from catalog.errors import Forbidden
from catalog.objects import reading
from catalog.objects.reading import Entry, Outline
from catalog.retention import clock, facts, holds, marking, removing
from catalog.retention.deciding import Facts, Obstacle, Policy, Rule, Verdict
from catalog.retention.facts import FIRST
from catalog.retention.holds import HoldView
from catalog.retention.marking import PAGE, Mark
from catalog.retention.removing import Stop

# More tell a person nothing more.
DEPENDANTS_SHOWN_MAX = 20
DEPENDANTS_LOOKED_AT_MAX = 1_000
# A report is read in one go: beyond, it says that it is not all.
REPORTED_MAX = 1_000
JUDGED_MAX = 20_000


class Standing(StrEnum):
    """Where an object stands with its rule."""

    KEPT = "kept"
    WAITING = "waiting"
    PREVENTED = "prevented"
    DUE = "due"
    MARKED = "marked"


@dataclass(frozen=True, slots=True)
class Explained:
    """What holds for an object: `counts` is what its days run from, `dependants` are those that the caller sees."""

    standing: Standing
    rule: Rule | None
    counts: datetime | None
    due_at: datetime | None
    removes_at: datetime | None
    obstacles: tuple[Obstacle, ...]
    holds: Sequence[HoldView]
    dependants: Sequence[tuple[UUID, Outline]]
    grace_days: float


@dataclass(frozen=True, slots=True)
class Notice:
    """That an object is about to be removed: when at the earliest, and by which rule."""

    removes_at: datetime
    rule: Rule


async def explain(session: AsyncSession, object_id: UUID, policy: Policy, *, caller: Caller) -> Explained:
    """Say which rule holds for an object, when it falls due, and what prevents it, to those who may change it.

    Raises NotFound, Gone, Forbidden.
    """
    caller.must_be_known()
    entry = await reading.find(session, object_id, caller.audience)
    must_look_after(entry, caller)
    ((known, verdict),) = await marking.judged(session, [object_id], policy)
    mark = await marking.of(session, object_id)
    dependants = await _seen_dependants(session, known, caller.audience)
    # Those that the caller does not see keep it as well, and are told by nothing here.
    unseen = {Obstacle.DEPENDANTS} if not dependants else set()
    verdict = replace(verdict, obstacles=tuple(one for one in verdict.obstacles if one not in unseen))
    return Explained(
        standing=standing_of(verdict, mark),
        rule=verdict.rule,
        counts=verdict.since,
        due_at=verdict.due_at,
        removes_at=None if mark is None else mark.removes_at,
        obstacles=verdict.obstacles,
        holds=await holds.on_object(session, object_id, entry.project),
        dependants=dependants[:DEPENDANTS_SHOWN_MAX],
        grace_days=policy.grace.total_seconds() / 86_400,
    )


def must_look_after(entry: Entry, caller: Caller) -> None:
    """Raise Forbidden unless the caller may change an object that it sees."""
    if not caller.audience.includes(entry.writers):
        raise Forbidden("How long the object is kept is told to those who may change it.")


async def _seen_dependants(session: AsyncSession, known: Facts, audience: Audience) -> list[tuple[UUID, Outline]]:
    if not known.depended_on:
        return []
    ids = await facts.depending_on(session, known.id, most=DEPENDANTS_LOOKED_AT_MAX)
    seen = await reading.seen_among(session, ids, audience)
    return [(one, seen[one]) for one in ids if one in seen]


def standing_of(verdict: Verdict, mark: Mark | None) -> Standing:
    """Return where an object stands."""
    if mark is not None:
        return Standing.MARKED
    if verdict.due_at is None:
        return Standing.KEPT
    if not verdict.due:
        return Standing.WAITING
    return Standing.PREVENTED if verdict.obstacles else Standing.DUE


async def notice_of(session: AsyncSession, object_id: UUID) -> Notice | None:
    """Return that an object is about to be removed, if it is: for those alone who may change it."""
    mark = await marking.of(session, object_id)
    return None if mark is None else Notice(mark.removes_at, mark.rule)


class Step(StrEnum):
    """What a cycle would do with an object."""

    MARK = "mark"
    WAIT = "wait"
    REMOVE = "remove"
    TAKE_BACK = "take back"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Reported:
    """One object that is due, and what a cycle would do with it."""

    facts: Facts
    verdict: Verdict
    step: Step
    removes_at: datetime | None


@dataclass(slots=True)
class Report:
    """What a cycle would do now; `whole` unless there is more than one report tells."""

    items: list[Reported] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    whole: bool = True


async def report(session: AsyncSession, policy: Policy, *, scope: str | None, caller: Caller) -> Report:
    """Say what a cycle would do with the objects of a scope, or of all, and change nothing.

    For curators and admins there. Raises NotFound, Forbidden.
    """
    if scope is None:
        caller.must_look_after_all()
    else:
        await members.role_of_member(session, scope, caller)
        if caller.role_in(scope) not in LOOKS_AFTER_ALL:
            raise Forbidden(f"What is due in {scope} is told to its curators and admins.")
    moment = await clock.now(session)
    told = Report(stops=await removing.stops(session, scope=scope))
    stopped = {stop.project for stop in told.stops}
    after, judged = FIRST, 0
    while True:
        ids = await facts.old_enough(session, policy, after=after, most=PAGE, scope=scope)
        marks = await marking.among(session, ids)
        for known, verdict in await marking.judged(session, ids, policy):
            mark = marks.get(known.id)
            if verdict.due or mark is not None:
                step = _step(verdict, mark, policy, moment, stopped=known.project in stopped)
                told.items.append(Reported(known, verdict, step, None if mark is None else mark.removes_at))
        judged += len(ids)
        if len(ids) < PAGE:
            break
        after = ids[-1]
        if judged >= JUDGED_MAX or len(told.items) > REPORTED_MAX:
            told.whole = False
            break
    if len(told.items) > REPORTED_MAX:
        told.whole = False
        del told.items[REPORTED_MAX:]
    return told


def _step(verdict: Verdict, mark: Mark | None, policy: Policy, moment: clock.Moment, *, stopped: bool) -> Step:
    if mark is None:
        return Step.MARK if verdict.removable else Step.KEEP
    if not marking.still_holds(mark, verdict):
        return Step.TAKE_BACK
    over = verdict.due and clock.is_over(mark.removes_at, mark.witnessed, policy.grace, moment)
    return Step.REMOVE if over and not stopped else Step.WAIT


def counted(items: Iterable[Reported]) -> dict[Step, tuple[int, int]]:
    """Return how many objects each step is for, and how many bytes they have."""
    found = dict.fromkeys(Step, (0, 0))
    for one in items:
        count, size = found[one.step]
        found[one.step] = (count + 1, size + one.facts.size)
    return found

"""Which rule holds for an object, when it falls due, and what stands against it.

Pure: rows and a moment in, a verdict out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from catalog.access.audience import organization_of
from catalog.objects.ended import JOB

# About a hundred years; who means longer says for ever.
DAYS_MAX = 36_500


class Since(StrEnum):
    """What the days of a rule are counted from."""

    REGISTRATION = "registration"
    CHANGE = "change"
    PUBLICATION = "publication"
    JOB_END = "job-end"


class Obstacle(StrEnum):
    """What keeps an object that is due."""

    DOI = "doi"
    HOLD = "hold"
    DEPENDANTS = "dependants"
    VERSIONS = "versions"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say: the days after which jobs go, the grace, the most removals of a cycle, the largest share.

    `share` is how much of a project's objects may be due at once, from 0 to 1.
    """

    job_days: int
    grace: timedelta
    removals: int
    share: float


@dataclass(frozen=True, slots=True)
class Rule:
    """How long something is kept; `days` None: for ever. One without a scope and an object is the default."""

    scope: str | None
    kind: str | None
    object_id: UUID | None
    days: int | None
    since: Since
    versions: bool

    @property
    def place(self) -> str:
        """Where it stands, as people are told."""
        if self.object_id is not None:
            return "the object itself"
        where = "the catalog's default" if self.scope is None else self.scope
        return where if self.kind is None else f"{where}, kind {self.kind}"

    @property
    def text(self) -> str:
        """What it says, in a few words."""
        if self.days is None:
            return "keep for ever"
        days = "1 day" if self.days == 1 else f"{self.days:,} days"
        also = ", published versions too" if self.versions else ""
        return f"keep for {days} from {_TOLD[self.since]}{also}"


_TOLD = {
    Since.REGISTRATION: "registration",
    Since.CHANGE: "the last change",
    Since.PUBLICATION: "the last publication",
    Since.JOB_END: "the end of the job",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an object when it is judged, all of one moment, `at`."""

    id: UUID
    kind: str
    project: str
    title: str
    size: int
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None
    job_ended_at: datetime | None
    kept_from: datetime | None
    has_doi: bool
    held: bool
    depended_on: bool
    versions: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule comes to for one object; without a rule, or with one that keeps for ever, nothing is ever due."""

    rule: Rule | None
    since: datetime | None
    due_at: datetime | None
    obstacles: tuple[Obstacle, ...]
    due: bool

    @property
    def removable(self) -> bool:
        """Whether the object is due and nothing stands against it."""
        return self.due and not self.obstacles


def default(policy: Policy) -> Rule:
    """Return the rule for the data of jobs where nobody set another: nothing else is ever removed by default."""
    return Rule(None, JOB, None, policy.job_days, Since.JOB_END, versions=False)


def holding(rules: Iterable[Rule], facts: Facts) -> Rule | None:
    """Return the rule that holds for an object: the most specific of those that speak of it."""
    return min((rule for rule in rules if _speaks_of(rule, facts)), key=_rank, default=None)


def _speaks_of(rule: Rule, facts: Facts) -> bool:
    if rule.object_id is not None:
        return rule.object_id == facts.id
    here = rule.scope in {None, facts.project, organization_of(facts.project)}
    return here and rule.kind in {None, facts.kind}


def _rank(rule: Rule) -> tuple[int, bool]:
    """Return how far a rule is from the object: a project is nearer than its organization, a kind than all kinds."""
    place = 0 if rule.object_id is not None else 3 if rule.scope is None else 1 if "/" in rule.scope else 2
    return place, rule.kind is None


def judge(rules: Iterable[Rule], facts: Facts) -> Verdict:
    """Say which rule holds for an object, when it falls due, and what stands against it at that moment."""
    rule = holding(rules, facts)
    obstacles = _obstacles(rule, facts)
    since = None if rule is None or rule.days is None else _since(rule.since, facts)
    if rule is None or rule.days is None or since is None:
        return Verdict(rule, None, None, obstacles, due=False)
    if facts.kept_from is not None:
        since = max(since, facts.kept_from)
    due_at = since + timedelta(days=rule.days)
    return Verdict(rule, since, due_at, obstacles, due=due_at <= facts.at)


def _since(since: Since, facts: Facts) -> datetime | None:
    """Return what the days are counted from; None while that has not come: a job that runs is never due."""
    if facts.kind == JOB and facts.job_ended_at is None:
        return None
    match since:
        case Since.REGISTRATION:
            return facts.created_at
        case Since.CHANGE:
            return facts.updated_at
        case Since.PUBLICATION:
            return facts.published_at
        case Since.JOB_END:
            return facts.job_ended_at


def _obstacles(rule: Rule | None, facts: Facts) -> tuple[Obstacle, ...]:
    stand = {
        Obstacle.DOI: facts.has_doi,
        Obstacle.HOLD: facts.held,
        Obstacle.DEPENDANTS: facts.depended_on,
        Obstacle.VERSIONS: facts.versions > 0 and not (rule is not None and rule.versions),
    }
    return tuple(one for one, there in stand.items() if there)

"""`…/retention` of organizations and projects: how long things are kept there, what is held, and what is due."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from catalog import queue
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.objects.metadata import printable
from catalog.retention import explaining, holds, removing, rules
from catalog.retention.clock import RETENTION, SUBJECT
from catalog.retention.deciding import DAYS_MAX, Policy, Rule, Since, default
from catalog.retention.explaining import Report, Step
from catalog.retention.holds import HoldView
from catalog.retention.rules import RuleView, Wanted

REASON_CHARS_MAX = 2_000
_NO_STORE = {"Cache-Control": "no-store"}

Counted = Literal["registration", "change", "publication", "job-end"]
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=REASON_CHARS_MAX),
    AfterValidator(printable),
    Field(description="Why, for whoever asks later."),
]


class RuleWanted(BaseModel):
    """How long something is kept: for days from a moment on, or for ever."""

    model_config = ConfigDict(extra="forbid", strict=True)

    days: Annotated[int | None, Field(ge=1, le=DAYS_MAX, description="`null`: for ever.")]
    since: Annotated[Since, Field(strict=False, description="What the days are counted from.")] = Since.REGISTRATION
    versions: Annotated[
        bool, Field(description="Whether objects with published versions go too; without it they never do.")
    ] = False

    @property
    def wanted(self) -> Wanted:
        """The rule as it is set."""
        return Wanted(self.days, self.since, self.versions)


class ScopeRuleWanted(RuleWanted):
    """A rule of an organization or a project, or of a kind there."""

    kind: Annotated[str | None, Field(max_length=64, description="Left out: all kinds.", examples=["sensor-data"])] = (
        None
    )


class WhichRule(BaseModel):
    """Which rule of an organization or a project."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[str | None, Field(max_length=64, description="Left out: the one of all kinds.")] = None


class HoldWanted(BaseModel):
    """Why something is to stay, whatever a rule says."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Reason


class LiftQuery(BaseModel):
    """Why a hold is lifted."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class ReportQuery(BaseModel):
    """Of what."""

    model_config = ConfigDict(extra="forbid")

    scope: Annotated[
        str | None,
        Field(
            max_length=130,
            pattern=r"^[a-z0-9][a-z0-9-]{1,62}(/[a-z0-9][a-z0-9-]{1,62})?$",
            description="An organization or a project; left out: the whole catalog.",
        ),
    ] = None


class ShownRule(msgspec.Struct, frozen=True):
    """A rule: where it stands, what it says, and the same in words. The default was set by nobody."""

    scope: str | None
    kind: str | None
    days: int | None
    since: Counted
    versions: bool
    place: str
    text: str
    set_by: str | None = None
    set_at: datetime | None = None


class ShownHold(msgspec.Struct, frozen=True):
    """A hold on an object or a project."""

    id: UUID
    project: str | None
    object: UUID | None
    reason: str
    placed_by: str
    placed_at: datetime


class ShownStop(msgspec.Struct, frozen=True):
    """A project in which removing is stopped: how many of its objects were to go at once, and how many it had."""

    project: str
    stopped_at: datetime
    due: int
    objects: int


class ShownRetention(msgspec.Struct, frozen=True):
    """How long things are kept in an organization or a project; its own rules win over the default."""

    scope: str
    rules: list[ShownRule]
    default: ShownRule
    holds: list[ShownHold]
    stopped: list[ShownStop]
    grace_days: float


class MadeHold(msgspec.Struct, frozen=True):
    """The hold that was placed."""

    id: UUID


class Tally(msgspec.Struct, frozen=True):
    """So many objects, with so many bytes."""

    objects: int
    bytes: int


class Tallies(msgspec.Struct, frozen=True):
    """What each step is for."""

    mark: Tally
    wait: Tally
    remove: Tally
    take_back: Tally
    keep: Tally


class DueObject(msgspec.Struct, frozen=True):
    """An object that is due or marked, and what a cycle would do with it."""

    id: UUID
    kind: str
    project: str
    title: str
    bytes: int
    step: Literal["mark", "wait", "remove", "take back", "keep"]
    rule: ShownRule | None
    due_at: datetime | None
    removes_at: datetime | None
    obstacles: list[Literal["doi", "hold", "dependants", "versions"]]


class ShownReport(msgspec.Struct, frozen=True):
    """What a cycle would do now; nothing was changed. `whole` unless there is more than one report tells."""

    scope: str | None
    steps: Tallies
    items: list[DueObject]
    stopped: list[ShownStop]
    whole: bool


def rule_shown(rule: Rule, *, by: RuleView | None = None) -> ShownRule:
    """Return a rule as it is shown."""
    return ShownRule(
        scope=rule.scope,
        kind=rule.kind,
        days=rule.days,
        since=rule.since.value,
        versions=rule.versions,
        place=rule.place,
        text=rule.text,
        set_by=None if by is None else by.set_by,
        set_at=None if by is None else by.set_at,
    )


def holds_shown(found: Sequence[HoldView]) -> list[ShownHold]:
    """Return holds as they are shown."""
    return [ShownHold(one.id, one.project, one.object_id, one.reason, one.placed_by, one.placed_at) for one in found]


def _stops_shown(found: Sequence[removing.Stop]) -> list[ShownStop]:
    return [ShownStop(one.project, one.stopped_at, one.due, one.objects) for one in found]


def grace_days(policy: Policy) -> float:
    """Return the grace period in days."""
    return policy.grace.total_seconds() / 86_400


async def _read(request: AnyRequest) -> Response[bytes]:
    caller = await requests.caller(request)
    caller.must_be_known()
    scope, engines = requests.scope(request), requests.engines(request)
    async with engines.database.transaction() as session:
        found = await rules.of_scope(session, scope, caller=caller)
        held = await holds.on_project(session, scope, caller=caller) if "/" in scope else []
        stopped = await removing.stops(session, scope=scope)
    if "/" not in scope:
        # Of projects in which the caller has no role, nothing is told.
        stopped = [one for one in stopped if caller.role_in(one.project) is not None]
    shown = ShownRetention(
        scope,
        [rule_shown(one.rule, by=one) for one in found],
        rule_shown(default(engines.retention)),
        holds_shown(held),
        _stops_shown(stopped),
        grace_days(engines.retention),
    )
    return shapes.json_response(shown, headers=_NO_STORE)


async def _put(request: AnyRequest) -> Response[bytes]:
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, ScopeRuleWanted)
    async with requests.engines(request).database.transaction() as session:
        await rules.put(session, requests.scope(request), wanted.kind, wanted.wanted, caller=caller)
    return Response(b"", status_code=204)


async def _remove(request: AnyRequest) -> Response[bytes]:
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, WhichRule)
    async with requests.engines(request).database.transaction() as session:
        await rules.remove(session, requests.scope(request), asked.kind, caller=caller)
    return Response(b"", status_code=204)


_READING = "For whoever has a role there."
_SETTING = (
    "For its admins. The most specific rule wins: of an object, of a kind in a project, of a project, of a kind in an "
    "organization, of an organization. The same again replaces the rule."
)
EXAMPLE = {"days": 365, "since": "change"}


def _promise_to_read(told: str, **differs: Any) -> Operation:
    return Operation(
        description=_READING,
        tag="retention",
        token=True,
        answers={200: Answer(told, ShownRetention)},
        problems=(404,),
        **differs,
    )


def _promise_to_set(example: Mapping[str, Any], **differs: Any) -> Operation:
    return Operation(
        description=_SETTING,
        tag="retention",
        token=True,
        scope=Scope.ADMIN,
        body=Body(ScopeRuleWanted, example=example),
        answers={204: Answer("Set.")},
        problems=(403, 404, 413, 415),
        **differs,
    )


def _promise_to_remove(**differs: Any) -> Operation:
    return Operation(
        tag="retention",
        token=True,
        scope=Scope.ADMIN,
        query=WhichRule,
        answers={204: Answer("Taken back.")},
        problems=(403, 404),
        **differs,
    )


@operation(
    "GET",
    "/api/organizations/{organization:str}/retention",
    _promise_to_read(
        "The rules.", id="read_organization_retention", summary="See how long things of an organization are kept"
    ),
)
async def read_organization_retention(request: AnyRequest) -> Response[bytes]:
    """Show the rules of an organization."""
    return await _read(request)


@operation(
    "PUT",
    "/api/organizations/{organization:str}/retention",
    _promise_to_set(
        EXAMPLE, id="set_organization_retention", summary="Say how long things of an organization are kept"
    ),
)
async def set_organization_retention(request: AnyRequest) -> Response[bytes]:
    """Set a rule of an organization."""
    return await _put(request)


@operation(
    "DELETE",
    "/api/organizations/{organization:str}/retention",
    _promise_to_remove(
        id="remove_organization_retention", summary="Take back how long things of an organization are kept"
    ),
)
async def remove_organization_retention(request: AnyRequest) -> Response[bytes]:
    """Take a rule of an organization back."""
    return await _remove(request)


@operation(
    "GET",
    "/api/projects/{organization:str}/{project:str}/retention",
    _promise_to_read(
        "The rules and holds of the project itself.",
        id="read_project_retention",
        summary="See how long things of a project are kept",
    ),
)
async def read_project_retention(request: AnyRequest) -> Response[bytes]:
    """Show the rules of a project."""
    return await _read(request)


@operation(
    "PUT",
    "/api/projects/{organization:str}/{project:str}/retention",
    _promise_to_set(
        EXAMPLE | {"kind": "sensor-data"},
        id="set_project_retention",
        summary="Say how long things of a project are kept",
    ),
)
async def set_project_retention(request: AnyRequest) -> Response[bytes]:
    """Set a rule of a project."""
    return await _put(request)


@operation(
    "DELETE",
    "/api/projects/{organization:str}/{project:str}/retention",
    _promise_to_remove(id="remove_project_retention", summary="Take back how long things of a project are kept"),
)
async def remove_project_retention(request: AnyRequest) -> Response[bytes]:
    """Take a rule of a project back."""
    return await _remove(request)


@operation(
    "POST",
    "/api/projects/{organization:str}/{project:str}/retention/holds",
    Operation(
        id="hold_project",
        summary="Let nothing of a project be removed",
        description="For its curators and admins. Each hold is lifted by itself.",
        tag="retention",
        token=True,
        scope=Scope.CURATE,
        body=Body(HoldWanted),
        answers={201: Answer("Held.", MadeHold)},
        problems=(403, 404, 413, 415),
    ),
)
async def hold_project(request: AnyRequest) -> Response[bytes]:
    """Place a hold on a project."""
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, HoldWanted)
    async with requests.engines(request).database.transaction() as session:
        made = await holds.place_on_project(session, requests.scope(request), wanted.reason, caller=caller)
    return shapes.json_response(MadeHold(made), status=201)


@operation(
    "POST",
    "/api/projects/{organization:str}/{project:str}/retention/resume",
    Operation(
        id="resume_project_retention",
        summary="Go on removing where too much was due at once",
        description="For its admins. What was due when the project was stopped may go; what comes later may stop it "
        "again.",
        tag="retention",
        token=True,
        scope=Scope.ADMIN,
        answers={204: Answer("It goes on.")},
        problems=(403, 404, 409),
    ),
)
async def resume_project_retention(request: AnyRequest) -> Response[bytes]:
    """Go on in a project that was stopped."""
    caller = await requests.caller(request)
    caller.must_be_known()
    async with requests.engines(request).database.transaction() as session:
        await removing.resume(session, requests.scope(request), caller=caller)
    return Response(b"", status_code=204)


@operation(
    "DELETE",
    "/api/retention/holds/{hold_id:str}",
    Operation(
        id="lift_hold",
        summary="Lift a hold",
        description="For curators and admins of the project that it lies in.",
        tag="retention",
        token=True,
        scope=Scope.CURATE,
        query=LiftQuery,
        answers={204: Answer("Lifted.")},
        problems=(403, 404),
    ),
)
async def lift_hold(request: AnyRequest) -> Response[bytes]:
    """Lift one hold."""
    hold_id = requests.object_id(request, "hold_id")
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, LiftQuery)
    async with requests.engines(request).database.transaction() as session:
        await holds.lift(session, hold_id, asked.reason, caller=caller)
    return Response(b"", status_code=204)


@operation(
    "GET",
    "/api/retention/report",
    Operation(
        id="report_retention",
        summary="See what rules would remove now",
        description="A dry run: nothing is changed. For curators and admins of the scope, or of the whole catalog.",
        tag="retention",
        token=True,
        query=ReportQuery,
        answers={200: Answer("What a cycle would do.", ShownReport)},
        problems=(403, 404),
    ),
)
async def report_retention(request: AnyRequest) -> Response[bytes]:
    """Tell what a cycle would do."""
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, ReportQuery)
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        found = await explaining.report(session, engines.retention, scope=asked.scope, caller=caller)
    return shapes.json_response(_report_shown(found, asked.scope), headers=_NO_STORE)


def _report_shown(found: Report, scope: str | None) -> ShownReport:
    tallies = {step: Tally(*tally) for step, tally in explaining.counted(found.items).items()}
    items = [
        DueObject(
            one.facts.id,
            one.facts.kind,
            one.facts.project,
            one.facts.title,
            one.facts.size,
            one.step.value,
            None if one.verdict.rule is None else rule_shown(one.verdict.rule),
            one.verdict.due_at,
            one.removes_at,
            [obstacle.value for obstacle in one.verdict.obstacles],
        )
        for one in found.items
    ]
    steps = Tallies(*(tallies[step] for step in (Step.MARK, Step.WAIT, Step.REMOVE, Step.TAKE_BACK, Step.KEEP)))
    return ShownReport(scope, steps, items, _stops_shown(found.stops), found.whole)


@operation(
    "POST",
    "/api/retention/run",
    Operation(
        id="run_retention",
        summary="Keep to the rules now",
        description="For admins of the whole catalog. The next cycle begins at once instead of within ten minutes.",
        tag="retention",
        token=True,
        scope=Scope.ADMIN,
        answers={202: Answer("A cycle is queued.")},
        problems=(403,),
    ),
)
async def run_retention(request: AnyRequest) -> Response[bytes]:
    """Queue a cycle."""
    caller = await requests.caller(request)
    caller.must_administer_all()
    async with requests.engines(request).database.transaction() as session:
        await queue.put(session, RETENTION, [SUBJECT])
    return Response(b"", status_code=202)


ROUTES: list[HTTPRouteHandler] = [
    read_organization_retention,
    set_organization_retention,
    remove_organization_retention,
    read_project_retention,
    set_project_retention,
    remove_project_retention,
    hold_project,
    resume_project_retention,
    lift_hold,
    report_retention,
    run_retention,
]

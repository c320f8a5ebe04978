"""How long things are kept, what is held, and what is due to be removed."""

import re
from typing import Any, Literal, TypedDict

from catalog.client.calls import C, Call, Room, get, member, nothing, object_path, quoted, request, said

Since = Literal["registration", "change", "publication", "job-end"]
_SCOPE = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)?")
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Rule(TypedDict):
    """A rule: where it stands, what it says, and the same in words."""

    scope: str | None
    kind: str | None
    days: int | None
    since: Since
    versions: bool
    place: str
    text: str
    set_by: str | None
    set_at: str | None


class Hold(TypedDict):
    """A hold on an object or a project."""

    id: str
    project: str | None
    object: str | None
    reason: str
    placed_by: str
    placed_at: str


class Stop(TypedDict):
    """A project in which removing is stopped."""

    project: str
    stopped_at: str
    due: int
    objects: int


class Retention(TypedDict):
    """How long things are kept in an organization or a project."""

    scope: str
    rules: list[Rule]
    default: Rule
    holds: list[Hold]
    stopped: list[Stop]
    grace_days: float


class Standing(TypedDict):
    """How long an object is kept, and why."""

    state: Literal["kept", "waiting", "prevented", "due", "marked"]
    rule: Rule | None
    counted_from: str | None
    due_at: str | None
    removes_at: str | None
    obstacles: list[str]
    holds: list[Hold]
    dependants: list[dict[str, str]]
    grace_days: float


class Report(TypedDict):
    """What a cycle would do now."""

    scope: str | None
    steps: dict[str, dict[str, int]]
    items: list[dict[str, Any]]
    stopped: list[Stop]
    whole: bool


class Purge(TypedDict):
    """How many keys of the store are to be deleted, and when at the earliest."""

    keys: int
    removes_at: str


def is_scope(what: str) -> bool:
    """Whether this is how an organization or a project is written, and not an object."""
    return _SCOPE.fullmatch(what) is not None and _ID.fullmatch(what) is None


class Retentions(Room[C]):
    """Rules, holds and marks; `what` is an organization, a project written organization/project, or an object."""

    @request
    def of(self, scope: str) -> Call[Retention]:
        """Return the rules and holds of an organization or a project."""
        return get(_address(scope))

    @request
    def explain(self, object_id: str) -> Call[Standing]:
        """Return which rule holds for an object, when it falls due, and what prevents it."""
        return get(_address(object_id))

    @request
    def set(
        self,
        what: str,
        days: int | None,
        *,
        kind: str | None = None,
        since: Since = "registration",
        versions: bool = False,
    ) -> Call[None]:
        """Say how long something is kept, None for ever; `kind` for the objects of one kind of a scope."""
        body: dict[str, object] = {"days": days, "since": since, "versions": versions}
        if kind is not None:
            body["kind"] = kind
        return Call("PUT", _address(what), body=body, repeatable=True, read=nothing)

    @request
    def unset(self, what: str, *, kind: str | None = None) -> Call[None]:
        """Take a rule back."""
        return Call("DELETE", _address(what), said(kind=kind), read=nothing)

    @request
    def keep(self, object_id: str) -> Call[None]:
        """Keep an object that is marked for removal: the days of its rule are counted from now on."""
        return Call("DELETE", f"{_address(object_id)}/mark", read=nothing)

    @request
    def hold(self, what: str, reason: str) -> Call[str]:
        """Hold an object or a project, and return the hold's id."""
        return Call("POST", f"{_address(what)}/holds", body={"reason": reason}, read=member("id"))

    @request
    def lift(self, hold_id: str, reason: str) -> Call[None]:
        """Lift a hold."""
        return Call("DELETE", f"/api/retention/holds/{quoted(hold_id)}", said(reason=reason), read=nothing)

    @request
    def report(self, scope: str | None = None) -> Call[Report]:
        """Return what a cycle would do in a scope, or everywhere; nothing is changed."""
        return get("/api/retention/report", said(scope=scope))

    @request
    def run(self) -> Call[None]:
        """Begin the next cycle at once."""
        return Call("POST", "/api/retention/run", repeatable=True, read=nothing)

    @request
    def resume(self, project: str) -> Call[None]:
        """Go on removing in a project where too much was due at once."""
        return Call("POST", f"{_address(project)}/resume", read=nothing)

    @request
    def purge(self, object_id: str, reason: str, *, versions: bool = False) -> Call[Purge]:
        """Have the bytes of a withdrawn object deleted after the grace period."""
        body = {"reason": reason, "versions": versions}
        return Call("POST", f"{_address(object_id)}/purge", body=body, repeatable=True)

    @request
    def undo_purge(self, object_id: str) -> Call[None]:
        """Leave the bytes of a withdrawn object where they are."""
        return Call("DELETE", f"{_address(object_id)}/purge", read=nothing)


def _address(what: str) -> str:
    if not is_scope(what):
        return f"{object_path(what)}/retention"
    parts = "/".join(quoted(part) for part in what.split("/", 1))
    return f"/api/{'projects' if '/' in what else 'organizations'}/{parts}/retention"

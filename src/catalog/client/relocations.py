"""Moving files from one backend to another."""

from typing import Literal, TypedDict

from catalog.client.calls import C, Call, Room, get, items, quoted, request, said

# A plan asks the source for some files, and the target whether it answers.
PLANNING_SECONDS_MAX = 180.0


class FileAmount(TypedDict):
    """So many files with so many bytes."""

    files: int
    bytes: int


class NamedBackend(TypedDict):
    """A backend; `name` is None for one that was removed since."""

    id: str
    name: str | None


class UnreadableFile(TypedDict):
    """A file that nobody can read where it should lie; of an object that you may not see, only why."""

    object: str | None
    path: str | None
    reason: str


class RelocationPlan(TypedDict):
    """What a relocation would do."""

    scope: str
    source: NamedBackend
    target: NamedBackend
    moved: FileAmount
    unreadable: FileAmount
    looked_at: int
    unreadable_files: list[UnreadableFile]
    warnings: list[str]


class RelocationTrouble(TypedDict):
    """A file that does not move, or not yet, or whose old bytes stay, and why."""

    object: str | None
    path: str | None
    state: str
    reason: str
    expected_sha256: str | None
    found_sha256: str | None
    attempts: int
    retry_at: str | None


class Relocation(TypedDict):
    """A relocation, and how far it is; `amounts` by where files stand on their way."""

    id: str
    scope: str
    source: NamedBackend
    target: NamedBackend
    state: Literal["running", "paused", "cancelled", "finished"]
    created_at: str
    changed_at: str
    total: FileAmount
    moved: FileAmount
    amounts: dict[str, FileAmount]
    bytes_per_second: int
    removal_from: str | None
    troubles: list[RelocationTrouble]


class Relocations(Room[C]):
    """Files on their way from one backend to another: planned, begun, watched; paused, resumed, cancelled."""

    @request
    def plan(self, scope: str, *, source: str, target: str) -> Call[RelocationPlan]:
        """Say what moving the files of a project or an organization would do; backends by ids or as `default`."""
        body = {"scope": scope, "source": source, "target": target}
        return Call("POST", _ROOT, body=body, answer_seconds=PLANNING_SECONDS_MAX, repeatable=True)

    @request
    def start(self, scope: str, *, source: str, target: str) -> Call[Relocation]:
        """Have the files of a project or an organization moved."""
        body = {"scope": scope, "source": source, "target": target, "start": True}
        return Call("POST", _ROOT, body=body, answer_seconds=PLANNING_SECONDS_MAX)

    @request
    def listed(self, scope: str) -> Call[list[Relocation]]:
        """Return the relocations of a project, or of an organization and its projects, newest first."""
        return items(_ROOT, said(scope=scope))

    @request
    def show(self, relocation_id: str) -> Call[Relocation]:
        """Return how far a relocation is."""
        return get(_relocation(relocation_id))

    @request
    def pause(self, relocation_id: str) -> Call[Relocation]:
        """Stop a relocation for a while."""
        return Call("POST", f"{_relocation(relocation_id)}/pause")

    @request
    def resume(self, relocation_id: str) -> Call[Relocation]:
        """Go on with a relocation; a finished one tries anew the files that it had to leave behind."""
        return Call("POST", f"{_relocation(relocation_id)}/resume")

    @request
    def cancel(self, relocation_id: str) -> Call[Relocation]:
        """End a relocation: what moved stays where it is now, the rest where it was."""
        return Call("POST", f"{_relocation(relocation_id)}/cancel")


_ROOT = "/api/relocations"


def _relocation(relocation_id: str) -> str:
    return f"{_ROOT}/{quoted(relocation_id)}"

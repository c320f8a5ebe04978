"""Jobs: begun and ended by their keys, and whole folders pushed to them and pulled from them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from catalog.client.calls import C, Call, Listing, Room, get, if_match, in_thread, quoted, request, said, series
from catalog.client.shapes import FileState, Link
from catalog.client.transfer import Progress, silent

if TYPE_CHECKING:
    from catalog.client.folders import Got, Piece
    from catalog.client.pushing import Pushed
    from catalog.errors import CatalogError

PAGE_LIMIT = 100
FILES_LIMIT = 1_000

Area = Literal["input", "output"]
Outcome = Literal["succeeded", "failed"]


class JobArea(TypedDict):
    """How many files an area has, how many of them have arrived, and how many bytes all have together."""

    files: int
    available: int
    bytes: int


class Job(TypedDict):
    """A job; `id` is its object's."""

    id: str
    key: str
    project: str
    title: str
    owner: str
    state: Literal["open", "ended"]
    outcome: Outcome | None
    created_at: str
    ended_at: str | None
    revision: int
    input: JobArea
    output: JobArea


class JobFile(TypedDict):
    """A file of a job, with a link when its bytes are there and the token may read."""

    path: str
    size: int
    sha256: str
    media_type: str
    state: FileState
    link: Link | None


class Jobs(Room[C]):
    """Computations outside the catalog that are given files and give files back."""

    @request
    def begin(self, key: str, project: str, *, described: Mapping[str, Any] | None = None) -> Call[Job]:
        """Begin a job, or meet the one of this key; `described` may have its title, contact, program and the like."""
        return Call("POST", "/api/jobs", body={**(described or {}), "project": project, "key": key}, repeatable=True)

    @request
    def show(self, key: str, project: str | None = None) -> Call[Job]:
        """Return where a job stands; the project where you may see jobs of this key in several."""
        return get(f"/api/jobs/{quoted(key)}", said(project=project))

    @series
    def every(
        self,
        *,
        project: str | None = None,
        state: Literal["open", "ended"] | None = None,
        mine: bool = False,
        limit: int = PAGE_LIMIT,
    ) -> Listing[Job]:
        """Yield every job that may be seen, newest first."""
        return Listing("/api/jobs", said(project=project, state=state, mine=mine or None, limit=limit))

    @series
    def files(self, key: str, project: str | None = None, *, area: Area | None = None) -> Listing[JobFile]:
        """Yield the files of a job by path, with links to those that are there."""
        return Listing(f"/api/jobs/{quoted(key)}/files", said(project=project, area=area, limit=FILES_LIMIT))

    @request
    def end(self, key: str, outcome: Outcome, project: str | None = None, *, revision: int | None = None) -> Call[Job]:
        """Say that a job has succeeded or failed; its files stay as they are from then on.

        With a revision only if the job has not moved on from it.
        """
        return Call(
            "POST",
            f"/api/jobs/{quoted(key)}/end",
            said(project=project),
            body={"outcome": outcome},
            headers=if_match(revision),
            repeatable=True,
        )


class Exchanging(Room[C]):
    """Folders pushed to jobs and pulled from them."""

    @in_thread
    def push(
        self: Any,
        key: str,
        pieces: "Sequence[Piece]",
        *,
        project: str | None = None,
        area: Area = "input",
        on_begun: Callable[[Job, int], None] = lambda _job, _there: None,
        on_late: Callable[[list[str]], None] = lambda _: None,
        progress: Progress = silent,
        stop: Event | None = None,
    ) -> "Pushed":
        """Bring files to an area of a job, and return when all have arrived; what is there already is not sent.

        `pieces_in` and `read_through` make the pieces of a folder. With a project the job is begun where there is none
        of this key. `on_begun` is told how many of the files are there. Raises what stopped the first file.
        """
        from catalog.client import pushing  # ruff: ignore[PLC0415] - it builds on this room.

        return pushing.push(
            self,
            key,
            pieces,
            project=project,
            area=area,
            on_begun=on_begun,
            on_late=on_late,
            progress=progress,
            stop=stop,
        )

    @in_thread
    def pull(
        self: Any,
        key: str,
        folder: Path,
        *,
        project: str | None = None,
        area: Area = "output",
        on_file: "Callable[[Got], None]" = lambda _: None,
        progress: Progress = silent,
        stop: Event | None = None,
    ) -> "list[Got | CatalogError]":
        """Fetch the files of an area of a job below a folder, checked; what is there with the right SHA-256 stays.

        A file that fails, or has not arrived, does not keep the others from coming: its error stands in its place.
        """
        from catalog.client import pushing  # ruff: ignore[PLC0415] - it builds on this room.

        return pushing.pull(
            self, key, folder, project=project, area=area, on_file=on_file, progress=progress, stop=stop
        )

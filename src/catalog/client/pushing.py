"""Whole folders to a job and from it: what `catalog push` and `catalog pull` do, for programs too.

Nothing is remembered on this side: the job says what it has, and only what differs is sent.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.client import folders
from catalog.client.files import few
from catalog.client.folders import Got, Piece
from catalog.client.jobs import Area, Job, JobFile
from catalog.client.problems import BytesDiffer, NotAvailable, NotNoticed, Stopped
from catalog.client.transfer import Progress, at_once, silent
from catalog.errors import CatalogError

if TYPE_CHECKING:
    from catalog.client.catalog import Catalog

LOOK_SECONDS_FIRST = 0.05
LOOK_SECONDS_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Pushed:
    """A job that has all the files that were pushed; the paths sent now, and those that had to be asked after."""

    job: Job
    sent: frozenset[str]
    nudged: frozenset[str]


def push(
    catalog: "Catalog",
    key: str,
    pieces: Sequence[Piece],
    *,
    project: str | None = None,
    area: Area = "input",
    on_begun: Callable[[Job, int], None] = lambda _job, _there: None,
    on_late: Callable[[list[str]], None] = lambda _: None,
    progress: Progress = silent,
    stop: threading.Event | None = None,
) -> Pushed:
    """Bring these bytes to an area of a job, as `Catalog.push` says."""
    job = catalog.jobs.show(key) if project is None else catalog.jobs.begin(key, project)
    project = job["project"]
    placed = [replace(piece, path=f"{area}/{piece.path}") for piece in pieces]
    held = {file["path"]: file for file in catalog.jobs.files(key, project, area=area)}
    missing = [piece for piece in placed if not _is_there(held.get(piece.path), piece)]
    on_begun(job, len(placed) - len(missing))
    progress(sum(piece.size for piece in placed) - sum(piece.size for piece in missing))
    uploads = folders.declare_and_bring(catalog, job["id"], missing, progress=progress, stop=stop)
    nudged = _arrived(catalog, job, area, missing, uploads, on_late=on_late, stop=stop or threading.Event())
    return Pushed(catalog.jobs.show(key, project), frozenset(piece.path for piece in missing), nudged)


def _is_there(file: JobFile | None, piece: Piece) -> bool:
    return (
        file is not None
        and file["state"] == "available"
        and (file["size"], file["sha256"]) == (piece.size, piece.sha256)
    )


def _arrived(
    catalog: "Catalog",
    job: Job,
    area: Area,
    pieces: Iterable[Piece],
    uploads: Mapping[str, str],
    *,
    on_late: Callable[[list[str]], None],
    stop: threading.Event,
) -> frozenset[str]:
    """Wait until the catalog has seen these files arrive; return those that it had to be asked to look at.

    As long as some arrive, others are waited for. Raises NotNoticed, BytesDiffer.
    """
    awaited = {piece.path: piece for piece in pieces}
    nudged: frozenset[str] = frozenset()
    pause = LOOK_SECONDS_FIRST
    patience = folders.notice_seconds(awaited.values())
    since = time.monotonic()
    while awaited:
        files = list(catalog.jobs.files(job["key"], job["project"], area=area))
        differing = [file["path"] for file in files if file["path"] in awaited and file["state"] == "mismatched"]
        here = [file["path"] for file in files if file["path"] in awaited and _is_there(file, awaited[file["path"]])]
        for path in here:
            del awaited[path]
        if here:
            since = time.monotonic()
        if not awaited:
            break
        if time.monotonic() - since > patience:
            late = sorted(awaited)
            if nudged and differing:
                raise BytesDiffer(f"The store holds other bytes than were declared for {few(differing)}.")
            if nudged:
                raise NotNoticed(f"After {patience:g} s the catalog has not taken note of the bytes of {few(late)}.")
            on_late(late)
            for path in late:
                catalog.nudge(uploads[path])
            nudged, since, patience = frozenset(late), time.monotonic(), patience + folders.NUDGED_SECONDS
        if stop.wait(pause):
            raise Stopped
        pause = min(LOOK_SECONDS_MAX, pause * 1.5)
    return nudged


def pull(
    catalog: "Catalog",
    key: str,
    folder: Path,
    *,
    project: str | None = None,
    area: Area = "output",
    on_file: Callable[[Got], None] = lambda _: None,
    progress: Progress = silent,
    stop: threading.Event | None = None,
) -> list[Got | CatalogError]:
    """Fetch the files of an area of a job below a folder, as `Catalog.pull` says."""
    job = catalog.jobs.show(key, project)
    files = list(catalog.jobs.files(key, job["project"], area=area))
    every = {_below(area, file["path"]) for file in files}

    def fetch(file: JobFile, stop: threading.Event) -> Got:
        path = _below(area, file["path"])
        if file["state"] != "available":
            raise NotAvailable(f"The bytes of {path!r} are {file['state']}; only an available file can be pulled.")
        got = folders.fetched(catalog, job["id"], file, folder, path=path, every=every, progress=progress, stop=stop)
        on_file(got)
        return got

    return at_once(fetch, files, stop=stop)


def _below(area: Area, path: str) -> str:
    return path.removeprefix(f"{area}/")

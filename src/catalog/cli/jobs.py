"""Jobs: folders pushed to them and pulled from them by a key, and where they stand. One-shot; the exit code tells."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from catalog.cli import output
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client.jobs import Area, Job, Outcome

AREAS = ("input", "output")
STATES = ("open", "ended")
OUTCOMES = ("succeeded", "failed")

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Key = Annotated[str | None, typer.Option(help="The job's key; CATALOG_JOB_KEY says so too.")]

commands = Commands(help="See where jobs stand, and say that they have ended.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel="Bringing and fetching")(push)
    app.command(rich_help_panel="Bringing and fetching")(pull)
    app.add_typer(commands, name="job", rich_help_panel="Bringing and fetching")


def push(
    context: typer.Context,
    place: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="A folder with all below it, or a file.")],
    *,
    key: Key = None,
    project: Annotated[
        str | None, typer.Option(help="The job's project; the job is begun there if there is none of this key.")
    ] = None,
    area: Annotated[
        str, typer.Option(help="Where it belongs: input or output.", autocompletion=output.choices(AREAS))
    ] = "input",
    exclude: Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Leave out such names: '*.tmp'.")] = None,
    json: Json = False,
) -> None:
    """Push a folder to a job; print the job's key when every file has arrived.

    Only what the job does not have is sent: interrupted, run it again.
    """
    from catalog.client import folders

    output.must_be_one_of(AREAS, [area], "--area")
    wanted = _key(key)
    pieces = folders.pieces_in(place, exclude=exclude or [])
    invocation: Invocation = context.obj
    shown = ExitStack()
    bars: list[Callable[[int], None]] = []

    def begun(job: "Job", there: int) -> None:
        already = f", {there} of {len(pieces)} files are there already" if there else ""
        output.say(f"job {job['key']} of {job['project']}{already}")
        # Not before: what is refused is not uploaded.
        bars.append(shown.enter_context(output.bar("pushing", sum(piece.size for piece in pieces))))

    def late(paths: list[str]) -> None:
        output.say(f"the store has not told the catalog of {output.counted(len(paths), 'file')}: asking it to look")

    def moved(count: int) -> None:
        for bar in bars:
            bar(count)

    with invocation.catalog(output.MOVING_SECONDS) as catalog, output.resumable():
        with output.bar("hashing", sum(piece.size for piece in pieces)) as progress:
            pieces = folders.read_through(pieces, progress)
        with shown:
            done = catalog.push(
                wanted,
                pieces,
                project=project,
                area=cast("Area", area),
                on_begun=begun,
                on_late=late,
                progress=moved,
            )
    if json:
        output.as_json({"job": done.job, "sent": sorted(done.sent), "nudged": sorted(done.nudged)})
        return
    output.data(done.job["key"])
    output.say(f"{output.counted(len(done.sent), 'file')} sent, {len(pieces) - len(done.sent)} were there already")


def pull(
    context: typer.Context,
    to: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the files; made if it is not there.")],
    *,
    key: Key = None,
    project: Annotated[str | None, typer.Option(help="Of this project, if several have a job of this key.")] = None,
    area: Annotated[
        str, typer.Option(help="What to fetch: input or output.", autocompletion=output.choices(AREAS))
    ] = "output",
    json: Json = False,
) -> None:
    """Pull a folder from a job, and check the SHA-256 of each file; print where each one is.

    Files that are there already and right are left alone, and begun ones are gone on with.
    """
    from catalog.errors import CatalogError

    output.must_be_one_of(AREAS, [area], "--area")
    wanted = _key(key)
    invocation: Invocation = context.obj
    with invocation.catalog(output.MOVING_SECONDS) as catalog, output.resumable():
        job = catalog.jobs.show(wanted, project)
        held = job["input"] if area == "input" else job["output"]
        if not held["files"]:
            output.say(f"this job has no {area}")
        with output.bar("pulling", held["bytes"]) as progress:
            outcomes = catalog.pull(wanted, to, project=job["project"], area=cast("Area", area), progress=progress)
    fetched = [got for got in outcomes if not isinstance(got, CatalogError)]
    if json:
        told = [{"path": got.path, "target": str(got.target), "outcome": output.outcome(got)} for got in fetched]
        output.as_json({"job": job, "files": told})
    else:
        for got in fetched:
            output.data(str(got.target))
    failed = [fault for fault in outcomes if isinstance(fault, CatalogError)]
    if failed:
        codes = [output.refusal(fault) for fault in failed]
        output.say(f"{len(failed)} of {len(outcomes)} files were not fetched; run the same command again to go on")
        raise typer.Exit(codes[0])


@commands.command()
def show(
    context: typer.Context,
    *,
    key: Key = None,
    project: Annotated[str | None, typer.Option(help="Of this project, if several have a job of this key.")] = None,
    json: Json = False,
) -> None:
    """Show where a job stands, and what it has."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        _told(catalog.jobs.show(_key(key), project), json=json)


@commands.command(name="list")
def list_jobs(
    context: typer.Context,
    *,
    project: Annotated[str | None, typer.Option(help="Only jobs of this project, written org/project.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only jobs that are open or ended.", autocompletion=output.choices(STATES))
    ] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only your own.")] = False,
    json: Json = False,
) -> None:
    """List jobs, newest first."""
    output.must_be_one_of(STATES, [state] if state else [], "--state")
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        wanted = cast("Literal['open', 'ended'] | None", state)
        found = list(catalog.jobs.every(project=project, state=wanted, mine=mine))
    if json:
        output.as_json(found)
        return
    rows = [
        [job["key"], job["project"], job["outcome"] or job["state"], _held(job, "input"), _held(job, "output")]
        for job in found
    ]
    output.table(("key", "project", "state", "input", "output"), rows)


@commands.command()
def end(
    context: typer.Context,
    outcome: Annotated[
        str, typer.Argument(metavar="OUTCOME", help="succeeded or failed.", autocompletion=output.choices(OUTCOMES))
    ],
    *,
    key: Key = None,
    project: Annotated[str | None, typer.Option(help="Of this project, if several have a job of this key.")] = None,
    json: Json = False,
) -> None:
    """Say that a job has succeeded or failed: its files stay as they are, and the time they are kept begins."""
    output.must_be_one_of(OUTCOMES, [outcome], "OUTCOME")
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        _told(catalog.jobs.end(_key(key), cast("Outcome", outcome), project), json=json)


def _key(given: str | None) -> str:
    from catalog.settings import ClientSettings

    key = given or ClientSettings.from_environment().job_key
    if not key:
        raise typer.BadParameter("say which job, or set CATALOG_JOB_KEY", param_hint="--key")
    return key


def _told(job: "Job", *, json: bool) -> None:
    if json:
        output.as_json(job)
        return
    told = {
        "key": job["key"],
        "project": job["project"],
        "title": job["title"],
        "owner": job["owner"],
        "state": job["state"],
        "outcome": job["outcome"],
        "begun": job["created_at"],
        "ended": job["ended_at"],
        "input": _held(job, "input"),
        "output": _held(job, "output"),
        "id": job["id"],
    }
    for line in output.lines_of(told):
        output.data(line)


def _held(job: "Job", area: Literal["input", "output"]) -> str:
    from rich.filesize import decimal

    held = job[area]
    missing = held["files"] - held["available"]
    awaited = f", {missing} missing" if missing else ""
    return f"{output.counted(held['files'], 'file')}, {decimal(held['bytes'])}{awaited}"

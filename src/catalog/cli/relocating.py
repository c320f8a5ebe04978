"""Moving files from one store to another, on the command line."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from catalog.cli import output
from catalog.cli.access import PANEL, Json
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client import Catalog
    from catalog.client.relocations import FileAmount, Relocation, RelocationPlan

Told = TypeVar("Told")
TROUBLES_SHOWN = 20
Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="An organization, or a project written org/project.")]
RelocationId = Annotated[str, typer.Argument(metavar="ID", help="The id that `catalog relocate start` printed.")]
Source = Annotated[str, typer.Option("--from", help="Where the files lie: a store's id, or `default`.")]
Target = Annotated[str, typer.Option("--to", help="Where they shall lie: a store's id, or `default`.")]

relocating = Commands(help="Move files from one store to another.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(relocating, name="relocate", rich_help_panel=PANEL)


def _asked(context: typer.Context, ask: "Callable[[Catalog], Told]") -> Told:
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        return ask(catalog)


def _amount(amount: "FileAmount") -> str:
    return f"{amount['files']:,} files, {amount['bytes']:,} bytes"


def _planned(plan: "RelocationPlan") -> None:
    output.say(f"{_amount(plan['moved'])} would move from {plan['source']['name']} to {plan['target']['name']}")
    if plan["unreadable"]["files"]:
        output.say(f"  cannot be read: {_amount(plan['unreadable'])}")
    for one in plan["unreadable_files"][:TROUBLES_SHOWN]:
        output.say(f"  {_where(one['object'], one['path'])}: {output.clean(one['reason'])}")
    for warning in plan["warnings"]:
        output.say(f"  warning: {output.clean(warning)}")


def _where(object_id: str | None, path: str | None) -> str:
    return "a file that you may not see" if object_id is None else f"{object_id} {output.clean(path or '')}"


@relocating.command("plan")
def plan_relocation(
    context: typer.Context, scope: Scope, *, source: Source, target: Target, json: Json = False
) -> None:
    """Say which files would move, which nobody can read, and what to mind. Nothing is done."""
    plan = _asked(context, lambda catalog: catalog.relocations.plan(scope, source=source, target=target))
    if json:
        output.as_json(plan)
    else:
        _planned(plan)


@relocating.command("start")
def start_relocation(
    context: typer.Context,
    scope: Scope,
    *,
    source: Source,
    target: Target,
    yes: Annotated[bool, typer.Option("--yes", help="Begin without asking.")] = False,
    json: Json = False,
) -> None:
    """Move the files of a project or an organization, once somebody has seen the plan; print the relocation's id."""
    plan = _asked(context, lambda catalog: catalog.relocations.plan(scope, source=source, target=target))
    _planned(plan)
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("is needed: say it once the plan is what you want", param_hint="--yes")
        typer.confirm("Move them?", abort=True, err=True)
    begun = _asked(context, lambda catalog: catalog.relocations.start(scope, source=source, target=target))
    if json:
        output.as_json(begun)
        return
    output.data(begun["id"])
    output.say(f"`catalog relocate show {begun['id']}` tells how far it is")


@relocating.command("list")
def list_relocations(context: typer.Context, scope: Scope, *, json: Json = False) -> None:
    """List the relocations of a project, or of an organization and its projects."""
    found = _asked(context, lambda catalog: catalog.relocations.listed(scope))
    if json:
        output.as_json(found)
        return
    rows = [
        [
            one["id"],
            one["scope"],
            _name(one, "source"),
            _name(one, "target"),
            one["state"],
            one["moved"]["files"],
            one["total"]["files"],
        ]
        for one in found
    ]
    output.table(["id", "scope", "from", "to", "state", "moved", "of"], rows)


def _name(one: "Relocation", end: str) -> str:
    backend = one["source"] if end == "source" else one["target"]
    return backend["name"] or backend["id"]


@relocating.command("show")
def show_relocation(context: typer.Context, relocation_id: RelocationId, *, json: Json = False) -> None:
    """Show how far a relocation is, how fast it goes, and which files are in trouble."""
    _shown(_asked(context, lambda catalog: catalog.relocations.show(relocation_id)), json=json)


@relocating.command("pause")
def pause_relocation(context: typer.Context, relocation_id: RelocationId, *, json: Json = False) -> None:
    """Stop a relocation for a while; nothing is removed meanwhile."""
    _shown(_asked(context, lambda catalog: catalog.relocations.pause(relocation_id)), json=json)


@relocating.command("resume")
def resume_relocation(context: typer.Context, relocation_id: RelocationId, *, json: Json = False) -> None:
    """Go on with a relocation; a finished one tries anew the files that it had to leave behind."""
    _shown(_asked(context, lambda catalog: catalog.relocations.resume(relocation_id)), json=json)


@relocating.command("cancel")
def cancel_relocation(context: typer.Context, relocation_id: RelocationId, *, json: Json = False) -> None:
    """End a relocation: what moved stays where it is now, the rest where it was."""
    _shown(_asked(context, lambda catalog: catalog.relocations.cancel(relocation_id)), json=json)


def _shown(found: "Relocation", *, json: bool) -> None:
    if json:
        output.as_json(found)
        return
    rows = [[state, amount["files"], amount["bytes"]] for state, amount in found["amounts"].items() if amount["files"]]
    output.table(["state", "files", "bytes"], rows)
    output.say(
        f"{found['state']}: {_amount(found['moved'])} of {_amount(found['total'])} moved, "
        f"{found['bytes_per_second']:,} bytes a second"
    )
    if found["removal_from"] is not None:
        output.say(f"what was left behind is removed from {found['removal_from']} on")
    for one in found["troubles"][:TROUBLES_SHOWN]:
        output.say(f"  {one['state']} {_where(one['object'], one['path'])}: {output.clean(one['reason'])}")
        if one["found_sha256"] is not None:
            output.say(f"    expected sha256 {one['expected_sha256']}, found {one['found_sha256']}")

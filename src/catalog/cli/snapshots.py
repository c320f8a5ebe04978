"""Snapshots of a search: take one, show it, make its DOI, withdraw it, see who did what."""

from typing import Annotated

import typer

from catalog.cli import output
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The snapshot's id.")]

commands = Commands(help="Freeze what a search finds, so that it can be cited.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(commands, name="snapshot", rich_help_panel="Publishing")


@commands.command()
def take(
    context: typer.Context,
    text: Annotated[list[str] | None, typer.Argument(help="What to look for, as `catalog search` takes it.")] = None,
    *,
    title: Annotated[str, typer.Option(help="What it is called where it is cited.")],
    author: Annotated[list[str], typer.Option(help="Who answers for it, written Family, Given; may be repeated.")],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only objects of this kind; may be repeated.", autocompletion=output.choices(output.KINDS)),
    ] = None,
    project: Annotated[list[str] | None, typer.Option(help="Only objects of this project; may be repeated.")] = None,
    json: Json = False,
) -> None:
    """Freeze what a question finds now among what is public."""
    asked = {"q": " ".join(text or []), "kind": kind, "project": project}
    invocation: Invocation = context.obj
    with invocation.catalog(output.MOVING_SECONDS) as catalog:
        question = {name: value for name, value in asked.items() if value}
        taken = catalog.snapshots.take(title, author, question, description=description)
    if json:
        output.as_json(taken)
        return
    output.data(taken["id"])
    count = taken["members_total"]
    told = "1 object" if count == 1 else f"{count} objects"
    output.say(f"{told}; `catalog snapshot mint {taken['id']}` makes its DOI")


@commands.command()
def show(context: typer.Context, snapshot_id: Id, *, json: Json = False) -> None:
    """Show a snapshot with its members, and how each of them stands since."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.snapshots.read(snapshot_id)
    if json:
        output.as_json(found)
        return
    output.data(f"{output.clean(found['title'])}, taken {output.clean(found['taken_at'])[:19]}")
    output.data(f"SHA-256 {found['digest']}")
    if found["doi"] is not None:
        output.data(f"DOI {found['doi']}")
    rows = [[one["title"] or "", one["kind"] or "", one["revision"], one["now"], one["id"]] for one in found["members"]]
    output.table(("title", "kind", "revision", "now", "id"), rows)


@commands.command()
def mint(context: typer.Context, snapshot_id: Id, *, json: Json = False) -> None:
    """Make the DOI of a snapshot; asked again, it is the same. `catalog doi show` tells where it stands."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        made = catalog.snapshots.mint(snapshot_id)
    if json:
        output.as_json(made)
    else:
        output.data(made["doi"])


@commands.command()
def withdraw(
    context: typer.Context,
    snapshot_id: Id,
    *,
    reason: Annotated[str, typer.Option(help="Why: whoever looks for it is told.", prompt=True)],
) -> None:
    """Withdraw a snapshot and say why; a tombstone with the reason stays, also behind its DOI."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.snapshots.withdraw(snapshot_id, reason)
    output.say("withdrawn")


@commands.command()
def history(context: typer.Context, snapshot_id: Id, *, json: Json = False) -> None:
    """List who took, cited and withdrew a snapshot, newest first; for those who may withdraw it."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        changes = list(catalog.snapshots.history(snapshot_id))
    if json:
        output.as_json(changes)
        return
    rows = [
        [
            output.clean(one["at"])[:19],
            one["by"] or "(the catalog)",
            one["action"],
            (one["changes"] or {}).get("reason", ""),
        ]
        for one in changes
    ]
    output.table(("when", "who", "what", "why"), rows)

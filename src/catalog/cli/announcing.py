"""Announcing on the command line: what has arrived in a bucket, or what a file says."""

import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from catalog.cli import output
from catalog.cli.output import Invocation
from catalog.cli.quotas import Json


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("announce", rich_help_panel="Bringing and fetching")(announce)


def announce(
    context: typer.Context,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="Keys as the store has them, not encoded.")
    ] = None,
    *,
    backend: Annotated[
        str, typer.Option(metavar="ID", help="Where they lie: a store's id, or `default` for the catalog's own.")
    ] = "default",
    removed: Annotated[bool, typer.Option("--removed", help="They were removed, not written.")] = False,
    event: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Send the event, or the list of events, in this JSON file; - reads it here."),
    ] = None,
    json: Json = False,
) -> None:
    """Announce what has arrived in a bucket, so that it is looked at now."""
    if bool(keys) == (event is not None):
        output.say("catalog: name keys, or a file of events by --event")
        raise typer.Exit(output.USAGE)
    invocation: Invocation = context.obj
    events = None if event is None else _read(event)
    with invocation.catalog() as catalog:
        if events is None:
            told = catalog.events.announce(keys or [], backend=backend, removed=removed)
        else:
            told = catalog.events.send(events)
    if json:
        output.as_json(told)
        return
    output.table(["source", "id", "receipt"], [[one["source"], one["id"], one["receipt"]] for one in told])


def _read(file: Path) -> list[Any]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found = json_module.loads(text)
    except (OSError, ValueError) as fault:
        output.say(f"catalog: {file} cannot be read as JSON: {fault}")
        raise typer.Exit(output.USAGE) from None
    return found if isinstance(found, list) else [found]

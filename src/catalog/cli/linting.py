"""`catalog lint`: how good records are, and how to mend them."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.cli import output
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client import Catalog
    from catalog.client.shapes import Quality


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Curating")(lint)


def lint(
    context: typer.Context,
    object_id: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="These objects.")] = None,
    *,
    project: Annotated[str | None, typer.Option(help="All objects of this project that you may see.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="All of your objects.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write a report for each object, one JSON a line.")] = False,
) -> None:
    """Tell what is missing or broken in records, and how to mend it; exit code 1 when one of them does not pass."""
    from catalog.errors import Invalid

    if bool(object_id) == (project is not None or mine):
        raise Invalid("Say which objects: their ids, or --project, or --mine.")
    invocation: Invocation = context.obj
    failing = looked_at = 0
    with invocation.catalog() as catalog:
        for one in object_id or _listed(catalog, project, mine=mine):
            report = catalog.quality(one)
            looked_at += 1
            failing += not report["passes"]
            output.as_line(report) if json else _show(report)
    output.say(f"{looked_at} looked at, {failing} do not pass")
    if failing:
        raise typer.Exit(output.FAILED)


def _listed(catalog: "Catalog", project: str | None, *, mine: bool) -> Iterator[str]:
    for found in catalog.objects(project=project, mine=mine):
        yield found["id"]


def _show(report: "Quality") -> None:
    passes = "passes" if report["passes"] else "does not pass"
    output.data(f"{report['object']}: {report['score']} % ({report['band']}), {passes}")
    for check in report["checks"]:
        for fault in check["faults"]:
            mend = f"; {fault['suggestion']}" if fault["suggestion"] else ""
            place = f"{fault['pointer']}: " if fault["pointer"] else ""
            output.data(output.clean(f"  {check['level']:8} {check['name']}: {place}{fault['message']}{mend}"))
    if report["empty"]:
        output.data(
            f"  {len(report['empty'])} of {report['fields']} fields of its kind say nothing: "
            + ", ".join(report["empty"])
        )

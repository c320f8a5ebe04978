"""Provenance: where an object comes from, what depends on it, and saying so."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.cli import output
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client.shapes import Lineage, LineageNode

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
ObjectArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The object's id, a DOI of it, or org/project/kind/name.")
]
DIRECTIONS = ("up", "down", "both")
FORMATS = ("turtle", "json-ld", "prov-json")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel="Provenance")(provenance)
    app.command(rich_help_panel="Provenance")(impact)
    app.command(rich_help_panel="Provenance")(relate)
    app.command(rich_help_panel="Provenance")(import_provenance)


def provenance(
    context: typer.Context,
    object_id: ObjectArgument,
    *,
    direction: Annotated[
        str,
        typer.Option(
            help="up: what it came from; down: what came of it; both.", autocompletion=output.choices(DIRECTIONS)
        ),
    ] = "up",
    depth: Annotated[int, typer.Option(min=1, max=50, help="How many objects away at most.")] = 5,
    format: Annotated[  # noqa: A002
        str | None, typer.Option(help=f"Write it as {', '.join(FORMATS)}.", autocompletion=output.choices(FORMATS))
    ] = None,
    json: Json = False,
) -> None:
    """Show what an object came from, or what came of it."""
    output.must_be_one_of(DIRECTIONS, [direction], "--direction")
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        if format is not None:
            output.must_be_one_of(FORMATS, [format], "--format")
            output.data(catalog.provenance_as(object_id, format, direction=direction, depth=depth).rstrip("\n"))
            return
        graph = catalog.provenance(object_id, direction=direction, depth=depth)
    if json:
        output.as_json(graph)
    else:
        _show(graph)


def impact(context: typer.Context, object_id: ObjectArgument, *, json: Json = False) -> None:
    """Show what depends on an object, before it is changed or withdrawn."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.impact(object_id)
    if json:
        output.as_json(found)
        return
    output.table(("kind", "objects"), [[one["kind"], one["count"]] for one in found["kinds"]])
    if found["nearest"]:
        output.data("")
        output.table(("nearest", "kind", "id"), [[_called(one), one["kind"], one["id"]] for one in found["nearest"]])
    more = " at least" if found["truncated"] else ""
    hidden = ", and objects hidden from you" if found["hidden"] else ""
    output.say(f"{found['total']}{more} depend on it, {found['direct']} of them directly{hidden}")


def relate(
    context: typer.Context,
    object_id: ObjectArgument,
    relation: Annotated[str, typer.Argument(metavar="TYPE", help="One of DataCite's, such as IsDerivedFrom.")],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="An object by id or kind/name, a DOI; else an address, ISSN:… or the like."
        ),
    ],
    *,
    json: Json = False,
) -> None:
    """Record how an object relates to another one, or to something outside."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        told = catalog.relate(object_id, relation, target, revision=catalog.get(object_id)["revision"])
    if json:
        output.as_json(told)
    else:
        output.say(f"recorded: {output.clean(object_id)} {output.clean(relation)} {output.clean(target)}")


def import_provenance(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A PROV-JSON document.", exists=True, dir_okay=False)],
    *,
    project: Annotated[
        str | None, typer.Option(help="Look for named objects in this project, written org/project.")
    ] = None,
    json: Json = False,
) -> None:
    """Record what a PROV-JSON document says of objects: all of it or nothing, and nothing twice."""
    invocation: Invocation = context.obj
    with invocation.catalog(output.MOVING_SECONDS) as catalog:
        told = catalog.import_provenance(file.read_bytes(), project=project)
    if json:
        output.as_json(told)
        return
    for one in told["left_out"]:
        output.say(f"left out {output.clean(one['pointer'])}: {output.clean(one['reason'])}")
    activities = sum(one["recorded"] for one in told["activities"])
    output.say(
        f"{output.counted(told['relations_recorded'], 'relation')}, "
        f"{output.counted(activities, 'activity', 'activities')} and "
        f"{output.counted(told['statements_recorded'], 'other statement')} recorded, "
        f"{output.counted(len(told['changed']), 'object')} changed, "
        f"{output.counted(told['left_out_total'], 'part')} left out"
    )


def _show(graph: "Lineage") -> None:
    nodes = {node["id"]: node for node in graph["nodes"]}
    rows = [
        [_called(nodes[edge["from"]]), edge.get("relation", edge["type"]), _called(nodes[edge["to"]]), edge["to"]]
        for edge in graph["edges"]
    ]
    if rows:
        output.table(("what", "relation", "to", "id"), rows)
    else:
        output.say("nothing is recorded; `catalog relate` records something")
    if graph["truncated"]:
        output.say("there is more than one answer holds: these are the nearest; ask for a smaller --depth")
    elif not graph["complete"]:
        output.say(f"there is more beyond {graph['depth']} objects; --depth looks further")


def _called(node: "LineageNode") -> str:
    if node["state"] == "hidden":
        return "(hidden from you)"
    if node["state"] == "withdrawn":
        return "(withdrawn)"
    return node.get("title") or node["id"]

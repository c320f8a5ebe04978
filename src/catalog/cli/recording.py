"""Provenance in its parts: activities, and relations and agents of one object; recorded, listed, taken back."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from catalog.cli import output
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

PANEL = "Provenance"
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
ObjectArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The object's id, a DOI of it, or org/project/kind/name.")
]

activities = Commands(help="Record what ran, and show it.", no_args_is_help=True)
relations = Commands(
    help="List what an object says of others, and take it back; `catalog relate` says it.", no_args_is_help=True
)
agents = Commands(help="Say whose work an object is, list it, and take it back.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(activities, name="activity", rich_help_panel=PANEL)
    app.add_typer(relations, name="relation", rich_help_panel=PANEL)
    app.add_typer(agents, name="agent", rich_help_panel=PANEL)


@activities.command("record")
def record_activity(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(help="JSON with type, label, used, generated, agents and so on; - reads standard input.")
    ],
    *,
    new: Annotated[bool, typer.Option("--new", help="Another one, even if the very same was recorded before.")] = False,
    json: Json = False,
) -> None:
    """Record an activity from JSON, as POST /api/activities takes it; print its id. Run again, it makes no second."""
    from catalog.cli import drafts
    from catalog.client import folders

    draft = drafts.read(file)
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        made = catalog.record_activity(draft, idempotency_key=None if new else folders.key_of(draft))
    if json:
        output.as_json(made)
        return
    output.data(made["id"])
    output.say(f"`catalog activity show {made['id']}` shows it")


@activities.command("show")
def show_activity(
    context: typer.Context,
    activity_id: Annotated[str, typer.Argument(metavar="ACTIVITY", help="The activity's id.")],
    *,
    json: Json = False,
) -> None:
    """Show what ran, from what, what came of it, and who had a part in it."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.activity(activity_id)
    if json:
        output.as_json(found)
        return
    output.data(output.clean(found["label"]))
    told: dict[str, Any] = {name: value for name, value in found.items() if name != "label"}
    for name in ("used", "generated", "informed_by"):
        told[name] = [f"{_called(one)} ({one['id']})" for one in told[name]]
    for line in output.lines_of(told, "  "):
        output.data(line)


@relations.command("list")
def list_relations(context: typer.Context, object_id: ObjectArgument, *, json: Json = False) -> None:
    """List what an object says of others; `catalog provenance` shows what others say of it too."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.relations(object_id)
    if json:
        output.as_json(found)
        return
    if not found:
        output.say("nothing is recorded; `catalog relate` records something")
        return
    output.table(
        ("type", "to", "by", "on", "id"),
        [[one["type"], _end(one), one["recorded_by"], one["recorded_at"][:10], one["id"]] for one in found],
    )


@relations.command("remove")
def remove_relation(
    context: typer.Context,
    object_id: ObjectArgument,
    relation_id: Annotated[str, typer.Argument(metavar="RELATION", help="As `catalog relation list` shows it.")],
) -> None:
    """Take back what an object says of another one."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.unrelate(object_id, relation_id, revision=catalog.get(object_id)["revision"])
    output.say("taken back")


@agents.command("list")
def list_agents(context: typer.Context, object_id: ObjectArgument, *, json: Json = False) -> None:
    """List whose work an object is, and on whose behalf somebody acted."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.agents(object_id)
    if json:
        output.as_json(found)
        return
    if not found:
        output.say("nothing is recorded; `catalog agent record` records something")
        return
    output.table(
        ("said", "agent", "role", "on behalf of", "by", "id"),
        [
            [
                one["type"],
                one["agent"]["name"],
                one["role"],
                one["responsible"] and one["responsible"]["name"],
                one["recorded_by"],
                one["id"],
            ]
            for one in found
        ],
    )


@agents.command("record")
def record_agent(
    context: typer.Context,
    object_id: ObjectArgument,
    file: Annotated[
        str,
        typer.Argument(
            help='JSON such as {"type": "wasAttributedTo", "agent": {"type": "person", "name": "Rivera, Ana"}}; - '
            "reads standard input."
        ),
    ],
    *,
    json: Json = False,
) -> None:
    """Say whose work an object is, or who acted on whose behalf, from JSON as POST …/agents takes it; print its id."""
    from catalog.cli import drafts

    said = drafts.read(file)
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        told = catalog.record_agent(object_id, said, revision=catalog.get(object_id)["revision"])
    if json:
        output.as_json(told)
    else:
        output.data(told["id"])


@agents.command("remove")
def remove_agent(
    context: typer.Context,
    object_id: ObjectArgument,
    statement_id: Annotated[str, typer.Argument(metavar="STATEMENT", help="As `catalog agent list` shows it.")],
) -> None:
    """Take back what an object says of an agent."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.remove_agent(object_id, statement_id, revision=catalog.get(object_id)["revision"])
    output.say("taken back")


def _end(relation: Mapping[str, Any]) -> str:
    outside = relation["identifier"]
    return _called(relation["target"]) if outside is None else f"{outside['type']}:{outside['value']}"


def _called(node: Mapping[str, Any]) -> str:
    if node["state"] == "hidden":
        return "(hidden from you)"
    if node["state"] == "withdrawn":
        return "(withdrawn)"
    return str(node.get("title") or node["id"])

"""What curators do: queues of what needs attention, and edits of many objects with a look first and a way back."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import json as json_text
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli import output
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client.shapes import EditPlan

PANEL = "Curating"
ROWS_SHOWN = 50
# Lists beside the queues of objects, and what is shown of each.
LISTS = {
    "discovered-files": ("key", "size", "project", "stage", "modified_at"),
    "unfound-searches": ("text", "times", "last_at"),
}

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel=PANEL)(curate)
    app.command(rich_help_panel=PANEL)(edit)
    app.command(rich_help_panel=PANEL)(undo)


def curate(
    context: typer.Context,
    queue: Annotated[
        str | None,
        typer.Argument(
            help="List this queue; without one, count all.", autocompletion=output.choices((*output.QUEUES, *LISTS))
        ),
    ] = None,
    *,
    project: Annotated[str | None, typer.Option(help="Only objects of this project.")] = None,
    json: Json = False,
) -> None:
    """Tell what needs attention: of your objects, or of all if you are a curator."""
    from catalog.client import Problem

    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        if queue is None:
            every = catalog.curation()
            if json:
                output.as_json(every)
            else:
                rows = [[one["name"], one["waiting"], one["title"]] for one in every]
                output.table(("queue", "objects", "what is wrong"), rows)
                output.say("`catalog curate QUEUE` lists them, `catalog lint ID` tells how to mend one")
            return
        if queue in LISTS:
            found: list[Any] = (
                list(catalog.discovered_files(project=project))
                if queue == "discovered-files"
                else catalog.unfound_searches()
            )
            if json:
                output.as_json(found)
            else:
                output.table(LISTS[queue], [[one[column] for column in LISTS[queue]] for one in found])
            return
        try:
            found = list(catalog.waiting(queue, project=project))
        except Problem as problem:
            if problem.status == 404:  # ruff: ignore[PLR2004] - Not Found.
                problem.detail += f" Curators have {' and '.join(LISTS)} too."
            raise
    if json:
        output.as_json(found)
    else:
        output.table(
            ("title", "kind", "project", "owner", "score", "fails", "id"),
            [
                [
                    one["title"],
                    one["kind"],
                    one["project"],
                    one["owner"],
                    one["score"],
                    ", ".join(one["failed"]),
                    one["id"],
                ]
                for one in found
            ],
        )


def _written(value: object) -> str | None:
    return None if value is None else json_text.dumps(value, ensure_ascii=False)


def edit(
    context: typer.Context,
    patch: Annotated[str, typer.Argument(help='A merge patch, such as \'{"licence": "CC-BY-4.0"}\'.')],
    object_id: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="These objects.")] = None,
    *,
    project: Annotated[str | None, typer.Option(help="All objects of this project that you may change.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only of this kind.", autocompletion=output.choices(output.KINDS))
    ] = None,
    queue: Annotated[
        str | None,
        typer.Option(help="Only those that wait in this queue.", autocompletion=output.choices(output.QUEUES)),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=500, help="Only the first so many of them, oldest first.")
    ] = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Only what comes after this object.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Make the change; without it, only look.")] = False,
    json: Json = False,
) -> None:
    """Change many objects at once: first see what would change, then say --apply. `catalog undo` takes it back.

    At most 500 in one edit: of more, --limit 500 takes the first, and it is said how to go on after them.
    """
    from catalog.errors import Invalid

    given = {"project": project, "kind": kind, "queue": queue, "limit": limit, "after": after}
    select: dict[str, Any] = {"objects": object_id} if object_id else {}
    select |= {name: value for name, value in given.items() if value}
    try:
        wanted = json_text.loads(patch)
    except ValueError as broken:
        raise Invalid(f"The patch is not JSON: {broken}.") from None
    invocation: Invocation = context.obj
    with invocation.catalog(output.MOVING_SECONDS) as catalog:
        plan = catalog.preview_edit(select, wanted)
        if not apply or plan["refusing"]:
            output.as_json(plan) if json else _show(plan)
            if plan["refusing"]:
                output.say(f"{plan['refusing']} of {len(plan['objects'])} refuse it; nothing was changed")
                raise typer.Exit(output.CONFLICT)
            output.say(
                f"{plan['changing']} of {len(plan['objects'])} would change; nothing has: say --apply to change them"
            )
            _say_rest(plan)
            return
        made = catalog.make_edit(select, wanted, plan)
    if json:
        output.as_json(made)
    else:
        output.data(made["id"])
        output.say(f"{len(made['objects'])} changed; `catalog undo {made['id']}` takes it back")
    _say_rest(plan)


def undo(
    context: typer.Context,
    edit_id: Annotated[str, typer.Argument(metavar="EDIT", help="The edit's id.")],
    *,
    json: Json = False,
) -> None:
    """Take an edit of many objects back, except where somebody changed since what it changed."""
    invocation: Invocation = context.obj
    with invocation.catalog(output.MOVING_SECONDS) as catalog:
        done = catalog.undo_edit(edit_id)
    if json:
        output.as_json(done)
    elif done["left"]:
        output.table(("left as it is", "why"), [[one["id"], one["reason"]] for one in done["left"]])
    output.say(f"{len(done['undone'])} are as before" + (f", {len(done['left'])} are not" if done["left"] else ""))
    if done["left"]:
        raise typer.Exit(output.CONFLICT)


def _say_rest(plan: "EditPlan") -> None:
    if plan["next_after"] is not None:
        looked_at = len(plan["objects"])
        output.say(
            f"these are the first {looked_at} of {plan['fitting']:,}; --after {plan['next_after']} takes the next ones"
        )


def _show(plan: "EditPlan") -> None:
    from catalog.objects.differing import differences

    shown = plan["objects"][:ROWS_SHOWN]
    changes = [
        [one["title"], found.pointer, _written(found.before), _written(found.after), one["id"]]
        for one in shown
        for name, change in one["changes"].items()
        for found in differences(change["from"], change["to"], f"/{name}")
    ]
    refusals = [
        [one["title"], fault["pointer"], fault["message"], fault.get("suggestion"), one["id"]]
        for one in shown
        for fault in one["faults"]
    ]
    if changes:
        output.table(("title", "field", "from", "to", "id"), changes)
    if refusals:
        output.table(("title", "field", "refused because", "nearest", "id"), refusals)
    if len(plan["objects"]) > ROWS_SHOWN:
        output.say(f"and {len(plan['objects']) - ROWS_SHOWN} more objects; --json shows all")

"""How long things are kept: rules shown and set, holds, what is due, and what is kept after all."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

from typing import TYPE_CHECKING, Annotated, cast

import typer

from catalog.cli import output
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client.retention import Hold, Report, Retention, Since, Standing

SINCE = ("registration", "change", "publication", "job-end")


commands = Commands(help="How long things are kept, what is held, and what is due.", no_args_is_help=True)

What = Annotated[str, typer.Argument(metavar="WHAT", help="An organization, org/project, or an object.")]
Object = Annotated[str, typer.Argument(metavar="OBJECT", help="An object: its id, a DOI, or its name.")]
Kind = Annotated[str | None, typer.Option(help="Only for objects of this kind, in an organization or project.")]
Reason = Annotated[str, typer.Option(help="Why, for whoever asks later.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(commands, name="retention", rich_help_panel="Curating")


@commands.command()
def show(context: typer.Context, what: What, *, json: Json = False) -> None:
    """Show the rules and holds of an organization or a project; of an object, which rule holds and when it is due."""
    from catalog.client.retention import is_scope

    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.retention.of(what) if is_scope(what) else catalog.retention.explain(what)
    if json:
        output.as_json(found)
    elif is_scope(what):
        _show_scope(cast("Retention", found))
    else:
        _show_object(cast("Standing", found))


def _show_scope(found: "Retention") -> None:
    rules = [*found["rules"], found["default"]]
    output.table(("where", "rule", "set by"), [(one["place"], one["text"], one["set_by"] or "") for one in rules])
    _show_holds(found["holds"])
    for stop in found["stopped"]:
        told = (
            f"{stop['due']} of {stop['objects']} objects of {stop['project']} were to go at once: removing is stopped"
        )
        output.say(f"{told}; `catalog retention resume {stop['project']}` goes on")


def _show_object(found: "Standing") -> None:
    rule = found["rule"]
    rows: list[tuple[str, object]] = [("state", found["state"])]
    if rule is not None:
        rows += [("rule", rule["text"]), ("stands at", rule["place"])]
    rows += [
        (name.replace("_", " "), value)
        for name, value in (
            ("counted_from", found["counted_from"]),
            ("due_at", found["due_at"]),
            ("removes_at", found["removes_at"]),
            ("prevented by", ", ".join(found["obstacles"])),
            ("depend on it", ", ".join(one["title"] for one in found["dependants"])),
        )
        if value
    ]
    output.table(("what", "is"), rows)
    _show_holds(found["holds"])


def _show_holds(holds: "list[Hold]") -> None:
    if holds:
        rows = [(one["id"], one["project"] or one["object"], one["reason"], one["placed_by"]) for one in holds]
        output.table(("hold", "on", "reason", "placed by"), rows)


@commands.command("set")
def set_rule(
    context: typer.Context,
    what: What,
    *,
    days: Annotated[int | None, typer.Option(min=1, help="Keep for so many days.")] = None,
    forever: Annotated[bool, typer.Option("--forever", help="Keep for ever.")] = False,
    kind: Kind = None,
    since: Annotated[
        str,
        typer.Option("--from", help="What days are counted from.", autocompletion=output.choices(SINCE)),
    ] = "registration",
    versions: Annotated[
        bool, typer.Option("--versions", help="Objects with published versions go too; else they never do.")
    ] = False,
) -> None:
    """Say how long something is kept. The most specific rule wins: object, kind in project, project, organization."""
    if forever == (days is not None):
        raise typer.BadParameter("say either --days or --forever", param_hint="--days")
    output.must_be_one_of(SINCE, [since], "--from")
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.retention.set(what, days, kind=kind, since=cast("Since", since), versions=versions)
    output.say(f"the rule stands at {what}")


@commands.command("unset")
def unset_rule(context: typer.Context, what: What, *, kind: Kind = None) -> None:
    """Take a rule back; the next less specific one counts again."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.retention.unset(what, kind=kind)
    output.say(f"no rule stands at {what} any more")


@commands.command()
def keep(context: typer.Context, object_id: Object) -> None:
    """Keep an object that is marked for removal: the days of its rule are counted from now on."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.retention.keep(object_id)
    output.say(f"{object_id} is marked no more")


@commands.command()
def hold(context: typer.Context, what: What, *, reason: Reason) -> None:
    """Let an object, or anything of a project, not be removed; prints the hold's id."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        output.data(catalog.retention.hold(what, reason))


@commands.command()
def lift(
    context: typer.Context,
    hold_id: Annotated[str, typer.Argument(metavar="HOLD", help="The hold's id.")],
    *,
    reason: Reason,
) -> None:
    """Lift a hold."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.retention.lift(hold_id, reason)
    output.say("lifted")


@commands.command()
def run(
    context: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    scope: Annotated[str | None, typer.Option(help="Of a dry run: an organization or org/project alone.")] = None,
    json: Json = False,
) -> None:
    """Keep to the rules now instead of within ten minutes, or tell what would be done."""
    if scope is not None and not dry_run:
        raise typer.BadParameter("only a dry run is of one scope", param_hint="--scope")
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        if not dry_run:
            catalog.retention.run()
            output.say("a cycle is queued")
            return
        found = catalog.retention.report(scope)
    if json:
        output.as_json(found)
    else:
        _show_report(found)


def _show_report(found: "Report") -> None:
    rows = [
        (one["step"], one["id"], one["title"], one["bytes"], one["removes_at"] or "", ", ".join(one["obstacles"]))
        for one in found["items"]
    ]
    output.table(("step", "object", "title", "bytes", "removes at", "prevented by"), rows)
    told = [
        f"{step.replace('_', ' ')} {output.counted(tally['objects'], 'object')} ({tally['bytes']:,} bytes)"
        for step, tally in found["steps"].items()
        if tally["objects"]
    ]
    output.say(f"{', '.join(told) or 'nothing is due'}; nothing was changed")
    for stop in found["stopped"]:
        output.say(f"{stop['project']} is stopped: `catalog retention resume {stop['project']}` goes on")
    if not found["whole"]:
        output.say("there is more than one report tells: name a --scope")


@commands.command()
def resume(
    context: typer.Context, project: Annotated[str, typer.Argument(metavar="ORG/PROJECT", help="The project.")]
) -> None:
    """Go on removing in a project where too much was due at once."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.retention.resume(project)
    output.say(f"removing goes on in {project}")


@commands.command()
def purge(
    context: typer.Context,
    object_id: Object,
    *,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever asks later.")] = None,
    versions: Annotated[bool, typer.Option("--versions", help="The bytes of published versions too.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Leave them where they are after all.")] = False,
) -> None:
    """Delete the bytes of a withdrawn object after the grace period; --undo until then."""
    if undo == (reason is not None):
        raise typer.BadParameter("say either --reason or --undo", param_hint="--reason")
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        if reason is None:
            catalog.retention.undo_purge(object_id)
            output.say(f"the bytes of {object_id} stay")
            return
        found = catalog.retention.purge(object_id, reason, versions=versions)
    output.say(f"{output.counted(found['keys'], 'key')} of the store will be deleted after {found['removes_at']}")

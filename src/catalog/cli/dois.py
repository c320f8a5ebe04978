"""DOIs: make one, see where it stands, list those that failed, have the registry told again, check before."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.cli import output
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client import Catalog
    from catalog.client.dois import Doi, Faulty

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The object's id, a DOI of it, or org/project/kind/name.")]
Version = Annotated[int | None, typer.Option(min=1, help="A version by its number; left out, the object.")]
STATES = ("reserved", "registering", "findable", "failed", "hidden")
POLL_SECONDS = 0.3

commands = Commands(help="Make DOIs, and look after them.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(commands, name="doi", rich_help_panel="Publishing")


@commands.command()
def mint(
    context: typer.Context,
    object_id: Id,
    *,
    version: Version = None,
    wait: Annotated[float, typer.Option(min=0, help="Wait so many seconds for the registry.")] = 0.0,
    json: Json = False,
) -> None:
    """Make the DOI of a published object, or of one of its versions; asked again, it is the same."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        made = catalog.dois.mint(object_id, version)
        made = _settled(catalog, made, wait)
    if json:
        output.as_json(made)
    else:
        output.data(made["doi"])
        _tell(made)
    if made["state"] == "failed":
        raise typer.Exit(output.FAILED)


def _settled(catalog: "Catalog", made: "Doi", seconds: float) -> "Doi":

    ends = time.monotonic() + seconds
    while made["state"] in {"reserved", "registering"} and time.monotonic() < ends:
        time.sleep(POLL_SECONDS)
        made = catalog.dois.show(made["doi"])
    return made


def _tell(made: "Doi") -> None:
    nowhere = "" if made["resolves"] or made["state"] != "findable" else "; it leads nowhere outside this catalog"
    output.say(f"{made['state']}{nowhere}; its page: {made['page']}")
    if made["reason"]:
        output.say(output.clean(made["reason"]))
    _tell_faults(made["errors"])


def _tell_faults(faults: "list[Faulty]") -> None:
    for one in faults:
        output.say(f"  {output.clean(one['pointer'])}: {output.clean(one['message'])}")


@commands.command()
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="DOI|ID", help="A DOI, or an object: all DOIs of it.")],
    *,
    json: Json = False,
) -> None:
    """Show where a DOI stands, and what stands in its way."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = [catalog.dois.show(name)] if name.startswith("10.") else catalog.dois.of_object(name)
    if json:
        output.as_json(found)
        return
    for one in found:
        output.data(f"{one['doi']}\t{one['state']}")
        _tell(one)
    if not found:
        output.say("it has no DOI; `catalog doi mint` makes one")


@commands.command("list")
def list_dois(
    context: typer.Context,
    *,
    state: Annotated[
        str | None,
        typer.Option(help=f"Only those that are {', '.join(STATES)}.", autocompletion=output.choices(STATES)),
    ] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Only those that failed, or whose last change was refused.")
    ] = False,
    json: Json = False,
) -> None:
    """List the DOIs of what you may change, with what the registry said of them."""
    output.must_be_one_of(STATES, [state] if state else [], "--state")

    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = list(catalog.dois.every(state=state, attention=attention))
    if json:
        output.as_json(found)
        return
    rows = [[one["doi"], one["state"], one["title"] or "", _why(one)] for one in found]
    output.table(("doi", "state", "title", "why"), rows)


def _why(one: "Doi") -> str:
    faults = "; ".join(f"{fault['pointer']}: {fault['message']}" for fault in one["errors"])
    return faults or one["reason"] or ""


@commands.command()
def retry(
    context: typer.Context,
    doi: Annotated[str | None, typer.Argument(metavar="DOI", help="Left out with --all.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that failed or were refused.")] = False,
    json: Json = False,
) -> None:
    """Have the registry told again; not needed after the object was mended, which is noticed."""
    if (doi is None) is not everything:
        raise typer.BadParameter("name one DOI, or give --all", param_hint="DOI")

    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        named = [doi] if doi is not None else [one["doi"] for one in catalog.dois.every(attention=True)]
        asked = [catalog.dois.retry(one) for one in named]
    if json:
        output.as_json(asked)
        return
    for told in asked:
        output.data(told["doi"])


@commands.command()
def lint(context: typer.Context, object_id: Id, *, version: Version = None, json: Json = False) -> None:
    """Tell what stands between an object and its DOI; succeeds when nothing does."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.dois.check(object_id, version)
    if json:
        output.as_json(found)
    else:
        for one in found["faults"]:
            output.data(f"{output.clean(one['pointer'])}: {output.clean(one['message'])}")
        if found["advice"]:
            output.say("better, and not asked for:")
            _tell_faults(found["advice"])
        if found["ready"]:
            output.say(f"ready for {found['doi']}")
    if not found["ready"]:
        raise typer.Exit(output.FAILED)

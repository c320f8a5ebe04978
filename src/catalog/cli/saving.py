"""Saved searches: save one, list and remove them, see what fits, and where the feed is."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from catalog.cli import asking, output
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalog.client import Catalog
    from catalog.client.saved import SavedSearch, Telling

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Id = Annotated[
    str, typer.Argument(metavar="NAME|ID", help="What you call it, or its id: `catalog saved list` shows both.")
]
Text = Annotated[list[str] | None, typer.Argument(help="What to look for, as `catalog search` takes it.")]
Mail = Annotated[str | None, typer.Option(help="Send mail to this address, whose reader is asked first.")]
Webhook = Annotated[str | None, typer.Option(help="Post to this https address.")]

commands = Commands(help="Be told of what is new and fits a search.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(commands, name="saved", rich_help_panel="Finding")


@commands.command()
@asking.asks
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What you call it.")],
    text: Text = None,
    *,
    wanted: dict[str, Any],
    mail: Mail = None,
    webhook: Webhook = None,
    daily: Annotated[bool, typer.Option("--daily", help="Once a day, not as it comes.")] = False,
    json: Json = False,
) -> None:
    """Save a search: whatever is registered or changed from now on and fits stands in its feed."""
    tell = _telling({}, mail=mail, webhook=webhook, feed=False, daily=daily)
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        made = catalog.saved.save(name, _question(text, wanted), tell)
    if json:
        output.as_json(made)
        return
    output.data(made["id"])
    output.say(f"`catalog saved show {made['id']}` lists what fits")
    _say_of_secret(made["id"], webhook)


@commands.command()
@asking.asks
def change(
    context: typer.Context,
    saved_id: Id,
    text: Text = None,
    *,
    wanted: dict[str, Any],
    name: Annotated[str | None, typer.Option(help="What you call it from now on.")] = None,
    mail: Mail = None,
    webhook: Webhook = None,
    feed: Annotated[bool, typer.Option("--feed", help="Send nothing: the feed alone.")] = False,
    daily: Annotated[bool | None, typer.Option("--daily/--at-once", help="Once a day, or as it comes.")] = None,
    json: Json = False,
) -> None:
    """Change a saved search. What is not said stays; words or options that narrow are all of the question then."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        before = _found(catalog, saved_id)
        tell = _telling(before["tell"], mail=mail, webhook=webhook, feed=feed, daily=daily)
        question = _question(text, wanted) or before["query"]
        made = catalog.saved.change(before["id"], name or before["name"], question, tell)
    if json:
        output.as_json(made)
        return
    output.say(
        f"{output.clean(made['name'])}: {output.clean(_asked(made['query']))}; {output.clean(_told(made['tell']))}"
    )
    _say_of_secret(made["id"], webhook)


def _say_of_secret(saved_id: str, webhook: str | None) -> None:
    if webhook is not None:
        output.say(f"`catalog saved secret {saved_id} --into FILE` makes what its receiver checks signatures with")


def _question(text: list[str] | None, wanted: dict[str, Any]) -> dict[str, Any]:
    typed = asking.words(text)
    return wanted if typed is None else {"q": typed, **wanted}


def _telling(
    before: "Mapping[str, Any]", *, mail: str | None, webhook: str | None, feed: bool, daily: bool | None
) -> "Telling":
    """Return how one is told: as before, but for what was said."""
    if sum((mail is not None, webhook is not None, feed)) > 1:
        raise typer.BadParameter("say one of --mail, --webhook and --feed", param_hint="--webhook")
    by = "mail" if mail else "webhook" if webhook else "feed" if feed else before.get("by", "feed")
    when = before.get("when", "at_once") if daily is None else "daily" if daily else "at_once"
    address = mail or webhook or (None if by == "feed" else before.get("address"))
    told = {"by": by, "when": when, "address": address}
    return cast("Telling", {key: value for key, value in told.items() if value is not None})


def _asked(query: "Mapping[str, Any]") -> str:
    """Return a question as one would type it."""
    parts = [str(query["q"])] if query.get("q") else []
    for option in asking.SHARED:
        value = query.get(option.name, [])
        parts += [f"--{option.name.replace('_', '-')} {one}" for one in (value if isinstance(value, list) else [value])]
    return " ".join(parts) or "everything"


def _told(tell: "Mapping[str, Any]") -> str:
    where = f" to {tell['address']}" if tell.get("address") else ""
    return f"{tell['by']}{where}{', once a day' if where and tell['when'] == 'daily' else ''}"


def _wrong(one: "SavedSearch") -> str:
    if one["fault"] is None:
        return ""
    if one["stopped_at"] is not None:
        return f"stopped: {one['fault']}"
    again = one.get("retry_at")
    return f"{one['fault']} Tried again from {again[:19]} on." if again else one["fault"]


def _found(catalog: "Catalog", named: str) -> "SavedSearch":
    """Return the saved search that is called so, or has this id; raises NotFound with those that there are."""
    from catalog.errors import NotFound

    every = catalog.saved.mine()
    found = next((one for one in every if named in {one["id"], one["name"]}), None)
    if found is None:
        names = ", ".join(repr(one["name"]) for one in every)
        raise NotFound(f"You have no saved search {named!r}; " + (f"you have {names}." if names else "you have none."))
    return found


@commands.command(name="list")
def list_saved(context: typer.Context, *, json: Json = False) -> None:
    """List your saved searches, by name."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.saved.mine()
    if json:
        output.as_json(found)
        return
    rows = [
        [one["name"], _asked(one["query"]), _told(one["tell"]), (one["told_at"] or "")[:19], _wrong(one), one["id"]]
        for one in found
    ]
    output.table(("name", "question", "told by", "last told", "what is wrong", "id"), rows)


@commands.command()
def show(context: typer.Context, saved_id: Id, *, json: Json = False) -> None:
    """List the newest objects that fit a saved search."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.saved.fitting(_found(catalog, saved_id)["id"])
    if json:
        output.as_json(found)
        return
    rows = [
        [one["title"], one["tags"][0], output.clean(one["date_modified"])[:19], one["id"].rpartition(":")[2]]
        for one in found
    ]
    output.table(("title", "kind", "came", "id"), rows)


@commands.command()
def feed(
    context: typer.Context,
    saved_id: Id,
    *,
    into: Annotated[Path, typer.Option(help="Write the addresses into this file, which only you can read.")],
) -> None:
    """Make addresses of a feed for readers that send no token; the former ones open nothing any more."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        made = catalog.saved.open_feed(_found(catalog, saved_id)["id"])
    write(into, f"{made['atom']}\n{made['json']}\n")
    output.say(f"{into}: the addresses in Atom and as JSON Feed; keep them as a password")


@commands.command()
def secret(
    context: typer.Context,
    saved_id: Id,
    *,
    into: Annotated[Path, typer.Option(help="Write the secret into this file, which only you can read.")],
) -> None:
    """Make a secret with which a receiver checks webhooks; the former one signs nothing any more."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        made = catalog.saved.renew_secret(_found(catalog, saved_id)["id"])
    write(into, f"{made}\n")
    output.say(f"{into}: the secret")


@commands.command()
def remove(context: typer.Context, saved_id: Id) -> None:
    """Remove a saved search with its feed."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.saved.remove(_found(catalog, saved_id)["id"])
    output.say("removed")


def write(into: Path, text: str) -> None:
    """Write a secret into a file that only its owner can read; raises CatalogError."""
    from catalog.errors import CatalogError
    from catalog.local.home import write_private

    try:
        write_private(into, text)
    except OSError as fault:
        raise CatalogError(f"{into} cannot be written: {fault.strerror}; the command can be repeated.") from None
